/* port.c - see port.h.
 *
 * What says that a port is taken is a unix socket with a name in the kernel alone (unix(7), abstract): it goes with the
 * process, however that ends, and leaves no file.
 */
#include "port.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Below those that the kernel gives to whoever connects (ip(7), ip_local_port_range). */
enum { FIRST = 15000, COUNT = 15000 };

/* The socket stays open: it is the claim. */
static bool claim(unsigned port)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int n = snprintf(un.sun_path + 1, sizeof un.sun_path - 1, "cordon-test-port-%u", port);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);

    if (fd >= 0 && bind(fd, (struct sockaddr *)&un, len) == 0)
        return true;
    if (fd >= 0)
        (void)close(fd);
    return false;
}

static bool is_free(unsigned port)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool free = fd >= 0 && bind(fd, (struct sockaddr *)&in, sizeof in) == 0;

    if (fd >= 0)
        (void)close(fd);
    return free;
}

unsigned port_take(void)
{
    static unsigned last;

    if (!last)
        last = (unsigned)getpid() * 16;
    for (int i = 0; i < COUNT; i++) {
        unsigned port = FIRST + ++last % COUNT;

        if (is_free(port) && claim(port))
            return port;
    }
    fail_msg("no port between %d and %d is free", FIRST, FIRST + COUNT);
    return 0;
}

char *port_take_address(char out[40])
{
    (void)snprintf(out, 40, "127.0.0.1:%u", port_take());
    return out;
}
