/* program.c - see program.h. */
#include "kit/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "clock.h"
#include "kit/look.h"

#define DEADLINE_MS (60 * SECOND_MS)
#define OUTPUT_MAX  ((size_t)16 * 1024 * 1024)
#define ENV_MAX     1024

const char *program_path(const char *name)
{
    static char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 256);
    char *slash;

    assert_true(len > 0);
    path[len] = '\0';
    slash = strrchr(path, '/');
    assert_non_null(slash);
    (void)snprintf(slash + 1, 256, "%s", name);
    return path;
}

/* The child's side: only calls that are safe after a fork of a threaded program. */
static void become(const char *path, const char *const *argv, char *const *env, const char *folder,
                   const int pipes[4])
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(pipes[1], STDOUT_FILENO) >= 0 &&
        dup2(pipes[3], STDERR_FILENO) >= 0 && (!folder || chdir(folder) == 0))
        (void)execve(path, (char *const *)argv, env);
    _exit(127);
}

/* Takes what is there; false at the end. */
static bool take(int fd, struct buf *out)
{
    char chunk[4096];
    ssize_t n = read(fd, chunk, sizeof chunk);

    if (n > 0)
        buf_add(out, chunk, (size_t)n);
    return n > 0 || (n < 0 && errno == EINTR);
}

/* Reads both until their ends; false when the time is over. */
static bool listen_to(int out_fd, int err_fd, struct buf *out, struct buf *err)
{
    struct pollfd fds[2] = {{.fd = out_fd, .events = POLLIN}, {.fd = err_fd, .events = POLLIN}};
    int64_t end = look_now_ms() + DEADLINE_MS;

    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        int64_t left = end - look_now_ms();

        if (left <= 0)
            return false;
        if (poll(fds, 2, (int)left) < 0 && errno != EINTR)
            return false;
        if (fds[0].revents && !take(fds[0].fd, out))
            fds[0].fd = -1;
        if (fds[1].revents && !take(fds[1].fd, err))
            fds[1].fd = -1;
    }
    return true;
}

void program_run(struct ran *ret, const char *folder, const char *const *env,
                 const char *const *argv)
{
    struct buf out = BUF_INIT(OUTPUT_MAX), err = BUF_INIT(OUTPUT_MAX);
    const char *path = strchr(argv[0], '/') ? argv[0] : program_path(argv[0]);
    char *whole[ENV_MAX + 1];
    int pipes[4], status = 0;
    size_t n = 0;
    bool in_time;
    pid_t pid;

    for (char **e = environ; *e && n < ENV_MAX / 2; e++)
        if (strncmp(*e, "CORDON_", 7) != 0)
            whole[n++] = *e;
    for (; env && *env && n < ENV_MAX; env++)
        whole[n++] = (char *)*env;
    whole[n] = NULL;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(pipe2(pipes + 2, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0)
        become(path, argv, whole, folder, pipes);
    (void)close(pipes[1]);
    (void)close(pipes[3]);
    assert_true(pid > 0);
    in_time = listen_to(pipes[0], pipes[2], &out, &err);
    if (!in_time)
        (void)kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    (void)close(pipes[0]);
    (void)close(pipes[2]);
    ret->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    ret->out = buf_take(&out);
    ret->err = buf_take(&err);
    if (!in_time)
        fail_msg("%s did not end; so far:\n%s%s", argv[0], ret->out, ret->err);
}

void ran_clear(struct ran *r)
{
    free(r->out);
    free(r->err);
    *r = (struct ran){0};
}
