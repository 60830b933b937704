/* file.c - see file.h. */
#include "file.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int file_open(const char *path, struct stat *ret_st, int *ret_error)
{
    struct stat st = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY |
                            O_NONBLOCK); /* for regular files no difference */
    int error = fd < 0 || fstat(fd, &st) < 0 ? errno
                : S_ISDIR(st.st_mode)        ? EISDIR
                : !S_ISREG(st.st_mode)       ? FILE_NOT_REGULAR
                                             : 0;

    if (ret_st)
        *ret_st = st;
    if (!error)
        return fd;
    if (fd >= 0)
        (void)close(fd);                                    /* was only looked at */
    *ret_error = error == ENXIO ? FILE_NOT_REGULAR : error; /* a socket cannot even be opened */
    return -1;
}

FILE *file_open_stream(const char *path, int *ret_error)
{
    int fd = file_open(path, NULL, ret_error);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "r");

    if (fd >= 0 && !stream) {
        *ret_error = errno;
        (void)close(fd); /* was only opened */
    }
    return stream;
}

const char *file_why(int error)
{
    const char *why = error == ENOENT             ? "there is no such file"
                      : error == EACCES           ? "this user may not read it"
                      : error == EISDIR           ? "it is a folder"
                      : error == ENOTDIR          ? "a part of its path is no folder"
                      : error == FILE_NOT_REGULAR ? "it is no regular file"
                                                  : strerrordesc_np(error);

    return why ? why : "unknown error";
}
