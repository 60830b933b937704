/* file.h - opens what a configuration names: regular files, and nothing that has to be waited for.
 *
 * A FIFO holds whoever opens it until somebody writes, and a device may have no end: a command that only
 * checks a configuration would never come back.
 */
#ifndef CORDON_FILE_H
#define CORDON_FILE_H

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

/* The error of what is there and no regular file; open(2) never gives it. */
#define FILE_NOT_REGULAR EMEDIUMTYPE

/**
 * Opens path for reading, at once. Links are followed.
 *
 * ret_st     what is there, on failure too; zeroed where nothing could be opened. NULL: nobody wants to know.
 * ret_error  on failure: errno, EISDIR for a folder, or FILE_NOT_REGULAR; see file_why.
 * Returns    the descriptor, which is yours to close; -1.
 * Threads    any.
 */
int file_open(const char *path, struct stat *ret_st, int *ret_error);
/** The same as a stream; NULL. */
FILE *file_open_stream(const char *path, int *ret_error);

/** An error of file_open in words: "there is no such file". Static storage. */
const char *file_why(int error);

#endif
