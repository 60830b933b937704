/* life.c - see life.h. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "crash/life.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void life_start(struct house *h)
{
    const char *build = getenv("CORDON_BUILD");
    char exe[400];
    char *argv[] = {exe, (char *)(uintptr_t) "serve", (char *)(uintptr_t) "-c", h->config_file,
                    NULL};
    pid_t parent = getpid();
    int log;

    (void)snprintf(exe, sizeof exe, "%s/cordon", build ? build : "build");
    log = open(h->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0)
        fail_msg("%s: %s", h->log_file, strerror(errno));
    h->pid = fork();
    if (h->pid < 0)
        fail_msg("fork: %s", strerror(errno));
    if (h->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127);
        (void)dup2(log, STDERR_FILENO);
        (void)execv(exe, argv);
        _exit(127);
    }
    (void)close(log);
}

int life_end(struct house *h, int number)
{
    int status = 0;

    if (number)
        (void)kill(h->pid, number);
    while (waitpid(h->pid, &status, 0) < 0 && errno == EINTR)
        ;
    h->pid = 0;
    return status;
}

int64_t life_work_left(const char *metrics)
{
    static const char *const names[] = {
        "cordon_work{kind=\"case\"} ",
        "cordon_work{kind=\"isolation\"} ",
        "cordon_work{kind=\"notice\"} ",
    };
    int64_t left = 0;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *at = metrics ? strstr(metrics, names[i]) : NULL;

        if (!at)
            return -1;
        left += strtoll(at + strlen(names[i]), NULL, 10);
    }
    return left;
}
