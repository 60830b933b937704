/* serving.h - `cordon serve` in the background, started as a service manager would start it.
 *
 * For tests that bring a configuration of their own (house.h writes one). It is ready when it says so
 * on NOTIFY_SOCKET. The process ends with the test program, however that ends. What goes wrong fails
 * the running cmocka test, with what it logged.
 */
#ifndef KIT_SERVING_H
#define KIT_SERVING_H

#include <sys/types.h>

struct serving {
    pid_t pid;
    int notify_fd;
    char notify[100];   /* the socket's name */
    char log_file[300]; /* stdout and stderr; in the folder */
};

/** The path of a program in build/, $CORDON_BUILD or the default; static memory until the next call. */
const char *serving_program(const char *name);

/**
 * Starts `cordon serve` and waits until it is ready.
 *
 * argv      NULL-terminated, argv[0] a path; NULL: cordon serve. A shell that ends with `exec cordon serve`
 *           will do.
 * folder    its working directory; a file cordon.log is made there.
 * env       "NAME=value" strings on top of the test's environment, from which every CORDON_ variable is
 *           taken; NULL-terminated.
 */
void serving_start(struct serving *s, const char *const *argv, const char *folder,
                   const char *const *env);
/** SIGTERM; the exit code must be 0. */
void serving_stop(struct serving *s);

#endif
