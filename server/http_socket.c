/* http_socket.c - see http_socket.h. */
#include "http_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Connections that the kernel holds until a thread takes them: a storm of senders must not meet
 * resets. The kernel cuts it to net.core.somaxconn (4096 by default). */
#define BACKLOG 4096

static const char unix_prefix[] = "unix:";

static bool is_unix(const char *address)
{
    return strncmp(address, unix_prefix, sizeof unix_prefix - 1) == 0;
}

/* ---- Unix ------------------------------------------------------------------------------------- */

/* Whether somebody still accepts connections at this path. */
static bool is_alive(const struct sockaddr_un *un)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool alive;

    if (fd < 0)
        return true; /* unknown: leave it alone */
    alive = connect(fd, (const struct sockaddr *)un, sizeof *un) == 0 || errno != ECONNREFUSED;
    close(fd);
    return alive;
}

static enum err_code bind_unix(struct http_socket *s, const char *path, struct err *e)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct stat st;
    int rc;

    if (path[0] != '/' || strlen(path) >= sizeof un.sun_path)
        return err_set(e, ERR_INVALID,
                       "'unix:%.120s': expected an absolute path of at most %zu bytes", path,
                       sizeof un.sun_path - 1);
    memcpy(un.sun_path, path, strlen(path) + 1);
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0)
        return err_set(e, ERR_IO, "unix:%s: socket: %s", path, strerror(errno));

    /* The mode before bind closes the moment in which others could connect; what the umask takes
     * away again comes back with chmod. */
    (void)fchmod(s->fd, 0660);
    rc = bind(s->fd, (struct sockaddr *)&un, sizeof un);
    if (rc < 0 && errno == EADDRINUSE && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
        !is_alive(&un)) {
        (void)unlink(path); /* if it fails, so does the bind, which is reported */
        rc = bind(s->fd, (struct sockaddr *)&un, sizeof un);
    }
    if (rc < 0)
        return err_set(e, ERR_IO, "unix:%s: bind: %s", path, strerror(errno));
    (void)snprintf(s->address, sizeof s->address, "%s%s", unix_prefix, path);
    if (lstat(path, &st) < 0 || chmod(path, 0660) < 0)
        return err_set(e, ERR_IO, "unix:%s: chmod: %s", path, strerror(errno));
    s->is_unix = true; /* from here on the file is ours to remove */
    s->inode = st.st_ino;
    return ERR_OK;
}

/* ---- TCP -------------------------------------------------------------------------------------- */

/* "host:port" or "[host]:port" to an address; numbers only, but "localhost" is known. */
static enum err_code parse_tcp(const char *address, struct sockaddr_storage *ret,
                               socklen_t *ret_len, struct err *e)
{
    const char *colon = strrchr(address, ':');
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const char *start = address;
    char host[80];
    size_t len, digits;

    if (!colon)
        goto bad;
    digits = strspn(colon + 1, "0123456789");
    if (!digits || digits > 5 || colon[1 + digits] || strtoul(colon + 1, NULL, 10) > 65535)
        goto bad;
    len = (size_t)(colon - address);
    if (address[0] == '[') {
        if (len < 2 || address[len - 1] != ']')
            goto bad;
        start++;
        len -= 2;
        if (!memchr(start, ':', len))
            goto bad; /* brackets are for IPv6 */
    } else if (memchr(address, ':', len)) {
        goto bad;
    }
    if (!len || len >= sizeof host)
        goto bad;
    memcpy(host, start, len);
    host[len] = '\0';
    if (getaddrinfo(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, colon + 1, &hints,
                    &found) != 0)
        goto bad;
    memcpy(ret, found->ai_addr, found->ai_addrlen);
    *ret_len = found->ai_addrlen;
    freeaddrinfo(found);
    return ERR_OK;
bad:
    return err_set(e, ERR_INVALID,
                   "'%.120s': expected ADDRESS:PORT, [IPv6]:PORT or unix:/path (numbers, no names)",
                   address);
}

/* Writes what fd is bound to into s->address. */
static bool note_tcp(struct http_socket *s)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    char host[INET6_ADDRSTRLEN + 20], port[8];

    if (getsockname(s->fd, (struct sockaddr *)&sa, &len) < 0 ||
        getnameinfo((struct sockaddr *)&sa, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    (void)snprintf(s->address, sizeof s->address, sa.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
                   host, port);
    return true;
}

static enum err_code bind_tcp(struct http_socket *s, const char *address, struct err *e)
{
    const int on = 1, off = 0;
    struct sockaddr_storage sa = {0};
    socklen_t len = 0;
    enum err_code rc = parse_tcp(address, &sa, &len, e);

    if (rc)
        return rc;
    s->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0)
        return err_set(e, ERR_IO, "%s: socket: %s", address, strerror(errno));
    /* A restart must not wait for old connections to leave TIME_WAIT. */
    (void)setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (sa.ss_family == AF_INET6) /* whatever the host's default is: [::] is everybody */
        (void)setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(s->fd, (struct sockaddr *)&sa, len) < 0)
        return err_set(e, ERR_IO, "%s: bind: %s", address, strerror(errno));
    if (!note_tcp(s))
        return err_set(e, ERR_IO, "%s: the bound address is unreadable", address);
    return ERR_OK;
}

enum err_code http_socket_open(const char *address, struct http_socket *ret, struct err *e)
{
    struct http_socket s = {.fd = -1};
    enum err_code rc = is_unix(address) ? bind_unix(&s, address + sizeof unix_prefix - 1, e)
                                        : bind_tcp(&s, address, e);

    if (!rc && listen(s.fd, BACKLOG) < 0)
        rc = err_set(e, ERR_IO, "%s: listen: %s", address, strerror(errno));
    if (rc) {
        http_socket_close(&s);
        return rc;
    }
    *ret = s;
    return ERR_OK;
}

/* ---- handed over ------------------------------------------------------------------------------ */

static bool same_tcp(const struct sockaddr_storage *is, const struct sockaddr_storage *asked)
{
    const struct sockaddr_in *a4 = (const struct sockaddr_in *)is;
    const struct sockaddr_in *b4 = (const struct sockaddr_in *)asked;
    const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)is;
    const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)asked;

    if (is->ss_family != asked->ss_family)
        return false;
    if (is->ss_family == AF_INET)
        return a4->sin_addr.s_addr == b4->sin_addr.s_addr &&
               (!b4->sin_port || a4->sin_port == b4->sin_port);
    return memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof a6->sin6_addr) == 0 &&
           (!b6->sin6_port || a6->sin6_port == b6->sin6_port);
}

/* Is it bound to what is configured? Writes s->address. */
static enum err_code match(struct http_socket *s, const char *address, struct err *e)
{
    struct sockaddr_storage is = {0}, asked = {0};
    socklen_t len = sizeof is, asked_len;
    const char *path = address + sizeof unix_prefix - 1;
    enum err_code rc;
    bool same;

    if (getsockname(s->fd, (struct sockaddr *)&is, &len) < 0)
        return err_set(e, ERR_INVALID, "the socket handed over: %s", strerror(errno));
    if (is.ss_family == AF_UNIX) {
        /* The name need not end with a NUL (unix(7)); an abstract one begins with it. */
        (void)snprintf(s->address, sizeof s->address, "%s%.*s", unix_prefix,
                       (int)(len - offsetof(struct sockaddr_un, sun_path)),
                       ((const struct sockaddr_un *)&is)->sun_path);
        s->is_unix = true;
        same = is_unix(address) && *path && strcmp(s->address, address) == 0;
    } else {
        if (!note_tcp(s))
            return err_set(e, ERR_INVALID,
                           "the socket handed over has no address to be listened on");
        if (is_unix(address)) {
            same = false;
        } else {
            rc = parse_tcp(address, &asked, &asked_len, e);
            if (rc)
                return rc;
            same = same_tcp(&is, &asked);
        }
    }
    if (!same)
        return err_set(e, ERR_INVALID,
                       "the socket handed over is bound to %s, and the configuration says %.120s: "
                       "make them the same (in the socket unit: ListenStream=)",
                       s->address, address);
    return ERR_OK;
}

enum err_code http_socket_take(int fd, const char *address, struct http_socket *ret, struct err *e)
{
    struct http_socket s = {.fd = fd, .handed_over = true};
    int flags = fcntl(fd, F_GETFL);
    enum err_code rc = match(&s, address, e);

    if (rc)
        return rc;
    /* Whoever handed it over may take a connection that we saw: the watchdog must not wait for the next one. */
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return err_set(e, ERR_IO, "%s: %s", s.address, strerror(errno));
    *ret = s;
    return ERR_OK;
}

void http_socket_quiesce(struct http_socket *s)
{
    if (s->fd >= 0 && !s->handed_over)
        (void)shutdown(s->fd, SHUT_RDWR); /* a listening socket stops listening */
}

void http_socket_close(struct http_socket *s)
{
    if (s->is_unix && !s->handed_over) {
        const char *path = s->address + sizeof unix_prefix - 1;
        struct stat st;

        if (lstat(path, &st) == 0 && st.st_ino == s->inode)
            (void)unlink(path); /* gone or not: nothing more to be done */
    }
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->is_unix = false;
}

/* ---- peers ------------------------------------------------------------------------------------ */

void http_peer_normalise(const struct sockaddr *peer, struct sockaddr_storage *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->ss_family = AF_UNIX;
    if (peer && peer->sa_family == AF_INET) {
        memcpy(ret, peer, sizeof(struct sockaddr_in));
    } else if (peer && peer->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, peer, sizeof in6);
        if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
            struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = in6.sin6_port};

            memcpy(&in.sin_addr, in6.sin6_addr.s6_addr + 12, 4);
            memcpy(ret, &in, sizeof in);
        } else {
            memcpy(ret, &in6, sizeof in6);
        }
    }
}

void http_peer_network(struct sockaddr_storage *peer)
{
    struct in6_addr *a = &((struct sockaddr_in6 *)(void *)peer)->sin6_addr;

    if (peer->ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(a))
        memset(a->s6_addr + 8, 0, 8);
}

bool http_peer_is_same(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
    const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

    if (a->ss_family != b->ss_family || a->ss_family == AF_UNIX)
        return a->ss_family == b->ss_family;
    return a->ss_family == AF_INET ? a4->sin_addr.s_addr == b4->sin_addr.s_addr
                                   : memcmp(&a6->sin6_addr, &b6->sin6_addr, 8) == 0;
}

char *http_peer_text(const struct sockaddr *peer, char out[HTTP_PEER_TEXT_SIZE])
{
    struct sockaddr_storage sa;

    http_peer_normalise(peer, &sa);
    if (sa.ss_family == AF_UNIX ||
        getnameinfo((struct sockaddr *)&sa,
                    sa.ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                            : sizeof(struct sockaddr_in6),
                    out, HTTP_PEER_TEXT_SIZE, NULL, 0, NI_NUMERICHOST) != 0)
        (void)snprintf(out, HTTP_PEER_TEXT_SIZE, "unix");
    return out;
}
