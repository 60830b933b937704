/* test_handover.c - which of the descriptors that a service manager announces are taken, and for what. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handover.h"

static void say(const char *name, const char *value)
{
    if (value)
        (void)setenv(name, value, 1);
    else
        (void)unsetenv(name);
}

enum what { LISTENING, CONNECTED, DATAGRAM, A_FILE };

static int make(enum what what)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd;

    if (what == A_FILE)
        return open("/dev/null", O_RDONLY);
    fd = socket(AF_INET, what == DATAGRAM ? SOCK_DGRAM : SOCK_STREAM, 0);
    if (what == LISTENING && (bind(fd, (struct sockaddr *)&in, sizeof in) || listen(fd, 1)))
        return -1;
    return fd;
}

struct row {
    const char *label, *pid; /* "own": this process's */
    const char *fds, *names;
    enum what first, second;
    enum err_code code;
    int listen, admin;
    const char *says;
};

static const struct row rows[] = {
    {"nothing", NULL, NULL, NULL, LISTENING, LISTENING, ERR_OK, 0, 0, NULL},
    {"for another process", "1", "1", "listen", LISTENING, LISTENING, ERR_OK, 0, 0, NULL},
    {"without a process", NULL, "1", "listen", LISTENING, LISTENING, ERR_OK, 0, 0, NULL},
    {"none of them", "own", "0", NULL, LISTENING, LISTENING, ERR_OK, 0, 0, NULL},
    {"no number", "own", "1x", NULL, LISTENING, LISTENING, ERR_OK, 0, 0, NULL},
    {"one without a name", "own", "1", NULL, LISTENING, A_FILE, ERR_OK, 3, 0, NULL},
    {"two without names", "own", "2", NULL, LISTENING, LISTENING, ERR_OK, 3, 4, NULL},
    {"named", "own", "1", "listen", LISTENING, A_FILE, ERR_OK, 3, 0, NULL},
    {"the other way round", "own", "2", "admin:listen", LISTENING, LISTENING, ERR_OK, 4, 3, NULL},
    {"admin alone", "own", "1", "admin", LISTENING, A_FILE, ERR_OK, 0, 3, NULL},
    {"a name of no use", "own", "1", "cordon.socket", LISTENING, A_FILE, ERR_INVALID, 0, 0,
     "FileDescriptorName=listen"},
    {"a name too few", "own", "2", "listen", LISTENING, LISTENING, ERR_INVALID, 0, 0, "socket 4"},
    {"twice", "own", "2", "listen:listen", LISTENING, LISTENING, ERR_INVALID, 0, 0, "two sockets"},
    {"too many", "own", "3", NULL, LISTENING, LISTENING, ERR_INVALID, 0, 0, "3 sockets"},
    {"not listening", "own", "1", NULL, CONNECTED, A_FILE, ERR_INVALID, 0, 0, "descriptor 3"},
    {"of datagrams", "own", "1", NULL, DATAGRAM, A_FILE, ERR_INVALID, 0, 0, "descriptor 3"},
    {"a file", "own", "2", NULL, LISTENING, A_FILE, ERR_INVALID, 0, 0, "descriptor 4"},
};

/* In a process of its own, whose descriptors 3 and 4 are free to be anything. */
static const char *try(const struct row *r)
{
    static char why[600];
    char own[20];
    struct handover h = {.listen = 9, .admin = 9};
    struct err e = {0};
    int first, second;
    enum err_code code;

    (void)close(3);
    (void)close(4);
    first = make(r->first);
    second = make(r->second);
    if (first != 3 || second != 4)
        return "the descriptors are not 3 and 4";
    (void)snprintf(own, sizeof own, "%ld", (long)getpid());
    say("LISTEN_PID", r->pid && strcmp(r->pid, "own") == 0 ? own : r->pid);
    say("LISTEN_FDS", r->fds);
    say("LISTEN_FDNAMES", r->names);
    code = handover_take(&h, &e);
    (void)snprintf(why, sizeof why, "%s: %s, listen %d, admin %d: %s", r->label, err_name(code),
                   h.listen, h.admin, e.text);
    if (code != r->code || h.listen != r->listen || h.admin != r->admin)
        return why;
    if (r->says && !strstr(e.text, r->says))
        return why;
    if (getenv("LISTEN_PID") || getenv("LISTEN_FDS") || getenv("LISTEN_FDNAMES"))
        return "a child would believe that they are for it";
    for (int fd = 3; fd < 5; fd++)
        if (!code && (h.listen == fd || h.admin == fd) && fcntl(fd, F_GETFD) != FD_CLOEXEC)
            return "a child would inherit it";
    return NULL;
}

static void test_handover__takes_what_is_for_us_and_refuses_what_has_no_use(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int status = 0;
        pid_t pid = fork();

        if (pid == 0) {
            const char *why = try(&rows[i]);

            if (why)
                (void)fprintf(stderr, "%s\n", why);
            _exit(why ? 1 : 0);
        }
        assert_true(pid > 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status)
            fail_msg("row '%s'", rows[i].label);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handover__takes_what_is_for_us_and_refuses_what_has_no_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
