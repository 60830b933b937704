/* serving.c - see serving.h. */
#include "kit/serving.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "kit/look.h"

#define READY_MS (20 * SECOND_MS) /* sanitizers on two shared cores are slow */
#define ENV_MAX  1024

const char *serving_program(const char *name)
{
    static char path[PATH_MAX];
    const char *build = getenv("CORDON_BUILD");

    (void)snprintf(path, sizeof path, "%s/%s", build ? build : "build", name);
    return path;
}

static void show_log(const struct serving *s)
{
    FILE *f = fopen(s->log_file, "re");
    char line[4096];

    while (f && fgets(line, sizeof line, f))
        print_error("%s", line);
    if (f)
        (void)fclose(f);
}

/* The socket that it is to say READY=1 on; a name of the abstract kind leaves nothing behind. */
static void open_socket(struct serving *s)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    static unsigned serial;
    int len = snprintf(s->notify, sizeof s->notify, "@cordon-test-%d-%u", getpid(), serial++);

    memcpy(at.sun_path + 1, s->notify + 1, (size_t)len - 1);
    s->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(s->notify_fd >= 0);
    assert_int_equal(bind(s->notify_fd, (struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)),
                     0);
}

/* The child's side: only calls that are safe after a fork of a threaded program. */
static void become(const char *const *argv, char *const *env, const char *folder, int log_fd)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(log_fd, STDOUT_FILENO) >= 0 && dup2(log_fd, STDERR_FILENO) >= 0 && chdir(folder) == 0)
        (void)execve(argv[0], (char *const *)(uintptr_t)argv, env);
    _exit(127);
}

static void wait_until_ready(struct serving *s)
{
    int64_t end = look_now_ms() + READY_MS;

    for (;;) {
        struct pollfd p = {.fd = s->notify_fd, .events = POLLIN};
        int64_t left = end - look_now_ms();
        char said[512];
        ssize_t n;

        if (left > 100) /* one that cannot start says nothing: look whether it still runs */
            left = 100;
        if (poll(&p, 1, left < 0 ? 0 : (int)left) > 0 &&
            (n = recv(s->notify_fd, said, sizeof said - 1, 0)) > 0) {
            said[n] = '\0';
            if (strstr(said, "READY=1"))
                return;
        }
        if (left <= 0 || waitpid(s->pid, NULL, WNOHANG) != 0) {
            show_log(s);
            fail_msg("cordon serve did not get ready");
        }
    }
}

void serving_start(struct serving *s, const char *const *argv, const char *folder,
                   const char *const *env)
{
    char notify[120], path[PATH_MAX], *whole[ENV_MAX + 2];
    const char *const usual[] = {path, "serve", NULL};
    size_t n = 0;
    int log_fd;

    open_socket(s);
    assert_non_null(realpath(serving_program("cordon"), path));
    (void)snprintf(notify, sizeof notify, "NOTIFY_SOCKET=%s", s->notify);
    (void)snprintf(s->log_file, sizeof s->log_file, "%s/cordon.log", folder);
    for (char **e = environ; *e && n < ENV_MAX / 2; e++)
        if (strncmp(*e, "CORDON_", 7) != 0)
            whole[n++] = *e;
    for (; env && *env && n < ENV_MAX; env++)
        whole[n++] = (char *)(uintptr_t)*env;
    whole[n++] = notify;
    whole[n] = NULL;
    log_fd = open(s->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(log_fd >= 0);
    s->pid = fork();
    if (s->pid == 0)
        become(argv ? argv : usual, whole, folder, log_fd);
    (void)close(log_fd);
    assert_true(s->pid > 0);
    wait_until_ready(s);
}

void serving_stop(struct serving *s)
{
    int status = 0;

    assert_int_equal(kill(s->pid, SIGTERM), 0);
    while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
        ;
    (void)close(s->notify_fd);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        show_log(s);
        fail_msg("cordon serve ended with status 0x%x", (unsigned)status);
    }
    *s = (struct serving){.notify_fd = -1};
}
