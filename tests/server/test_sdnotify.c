/* test_sdnotify.c - what the service manager's socket receives. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sdnotify.h"

/* A datagram socket at name ('@' first: abstract). */
static int listen_at(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(at.sun_path, name, strlen(name));
    if (name[0] == '@')
        at.sun_path[0] = '\0';
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                     0);
    return fd;
}

static const char *heard(int fd, char out[200])
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n = poll(&p, 1, 5000) == 1 ? recv(fd, out, 199, 0) : 0;

    out[n > 0 ? n : 0] = '\0';
    return out;
}

static void test_sdnotify__tells_a_socket_in_the_file_system(void **state)
{
    const char *tmp = getenv("TMPDIR");
    char dir[64], path[80], text[200];
    int fd;

    (void)state;
    (void)snprintf(dir, sizeof dir, "%.40s/notify-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/s", dir);
    fd = listen_at(path);
    assert_int_equal(sdnotify(path, "READY=1", NULL), ERR_OK);
    assert_string_equal(heard(fd, text), "READY=1");
    assert_int_equal(sdnotify(path, "RELOADING=1\nMONOTONIC_USEC=5", NULL), ERR_OK);
    assert_string_equal(heard(fd, text), "RELOADING=1\nMONOTONIC_USEC=5");
    (void)close(fd);
    (void)unlink(path);
    (void)rmdir(dir);
}

static void test_sdnotify__tells_an_abstract_socket(void **state)
{
    char name[60], text[200];
    int fd;

    (void)state;
    (void)snprintf(name, sizeof name, "@cordon-test-%d", (int)getpid());
    fd = listen_at(name);
    assert_int_equal(sdnotify(name, "STOPPING=1", NULL), ERR_OK);
    assert_string_equal(heard(fd, text), "STOPPING=1");
    (void)close(fd);
}

static void test_sdnotify__nothing_to_tell_is_no_fault(void **state)
{
    (void)state;
    assert_int_equal(sdnotify(NULL, "READY=1", NULL), ERR_OK);
    assert_int_equal(sdnotify("", "READY=1", NULL), ERR_OK);
}

/* A manager that cannot be told is worth a line, never an end. */
static void test_sdnotify__says_what_is_wrong(void **state)
{
    char longer[300];
    const struct {
        const char *path;
        enum err_code code;
    } rows[] = {
        {"relative/path", ERR_INVALID}, {"tcp:1", ERR_INVALID},
        {longer, ERR_INVALID},          {"/nonexistent/socket", ERR_IO},
        {"/dev/null", ERR_IO},          {"@cordon-test-nobody-listens", ERR_IO},
    };

    (void)state;
    memset(longer, 'a', sizeof longer - 1);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};

        assert_int_equal(sdnotify(rows[i].path, "READY=1", &e), rows[i].code);
        assert_true(strlen(e.text) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sdnotify__tells_a_socket_in_the_file_system),
        cmocka_unit_test(test_sdnotify__tells_an_abstract_socket),
        cmocka_unit_test(test_sdnotify__nothing_to_tell_is_no_fault),
        cmocka_unit_test(test_sdnotify__says_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
