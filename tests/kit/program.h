/* program.h - runs a program as a user would, and takes what it says.
 *
 * The program is found beside the test's own binary ("cordon"), or by its path when there is a slash in
 * it ("/bin/sh"). It ends within 60 s or is killed, which fails the test.
 */
#ifndef KIT_PROGRAM_H
#define KIT_PROGRAM_H

struct ran {
    int code;  /* exit code; 128 + the signal that ended it */
    char *out; /* what it wrote to stdout and stderr, NUL-terminated */
    char *err;
};

/**
 * Runs argv (NULL-terminated) and waits for its end. Fails the running test when it cannot.
 *
 * folder    working directory; NULL: the test's own.
 * env       "NAME=value" strings on top of the test's environment, from which every CORDON_ variable is
 *           taken; NULL-terminated; may be NULL.
 * ret       ran_clear it.
 */
void program_run(struct ran *ret, const char *folder, const char *const *env,
                 const char *const *argv);
void ran_clear(struct ran *r);
/** The path of a program beside the test's own; static memory until the next call. */
const char *program_path(const char *name);

#endif
