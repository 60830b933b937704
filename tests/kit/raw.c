/* raw.c - see raw.h. */
#include "raw.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int dial(const char *address)
{
    const struct timeval wait = {.tv_sec = RAW_WAIT_MS / 1000};
    const int on = 1;
    int fd = -1;

    if (strncmp(address, "unix:", 5) == 0) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};

        (void)snprintf(un.sun_path, sizeof un.sun_path, "%s", address + 5);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&un, sizeof un) < 0)
            goto refused;
    } else {
        const char *colon = strrchr(address, ':');
        const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
        struct addrinfo *found = NULL;
        char host[64];
        int rc;

        (void)snprintf(host, sizeof host, "%.*s", (int)(colon - address) - 2 * (*address == '['),
                       address + (*address == '['));
        if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
            return -1;
        fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        rc = fd < 0 ? -1 : connect(fd, found->ai_addr, found->ai_addrlen);
        freeaddrinfo(found);
        if (rc < 0)
            goto refused;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    return fd;
refused:
    if (fd >= 0)
        close(fd);
    return -1;
}

struct raw *raw_open(const char *address)
{
    int fd = dial(address);
    struct raw *r = fd < 0 ? NULL : calloc(1, sizeof *r);

    if (r)
        r->fd = fd;
    else if (fd >= 0)
        close(fd);
    return r;
}

struct raw *raw_open_tls(const char *address, const char *certificate, const char *key,
                         bool max_tls_1_1)
{
    struct raw *r = raw_open(address);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = ctx ? SSL_new(ctx) : NULL;

    if (!r || !ssl)
        goto bad;
    r->ctx = ctx;
    r->ssl = ssl;
    if (max_tls_1_1) {
        SSL_set_security_level(ssl, 0);
        (void)SSL_set_min_proto_version(ssl, TLS1_VERSION);
        (void)SSL_set_max_proto_version(ssl, TLS1_1_VERSION);
    }
    if (certificate && (SSL_use_certificate_file(ssl, certificate, SSL_FILETYPE_PEM) != 1 ||
                        SSL_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1))
        goto bad;
    if (!SSL_set_fd(ssl, r->fd) || SSL_connect(ssl) != 1)
        goto bad;
    return r;
bad:
    if (r) {
        r->ssl = r->ctx = NULL;
        raw_free(r);
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return NULL;
}

void raw_free(struct raw *r)
{
    if (!r)
        return;
    if (r->ssl)
        (void)SSL_shutdown(r->ssl);
    SSL_free(r->ssl);
    SSL_CTX_free(r->ctx);
    close(r->fd);
    free(r);
}

void raw_send(struct raw *r, const void *bytes, size_t len)
{
    const char *p = bytes;

    while (len) {
        ssize_t n = r->ssl ? SSL_write(r->ssl, p, (int)len) : send(r->fd, p, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* what came back says why */
        p += n;
        len -= (size_t)n;
    }
}

void raw_text(struct raw *r, const char *text)
{
    raw_send(r, text, strlen(text));
}

/* Reads more; 0 at the end, -1 when nothing came in time. */
static int more(struct raw *r)
{
    size_t room = sizeof r->in - 1 - r->in_len;
    ssize_t n;

    if (!room)
        return 0;
    do {
        errno = 0;
        n = r->ssl ? SSL_read(r->ssl, r->in + r->in_len, (int)room)
                   : recv(r->fd, r->in + r->in_len, room, 0);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? -1 : 0;
    r->in_len += (size_t)n;
    r->in[r->in_len] = '\0';
    return 1;
}

const char *raw_header(const struct raw_answer *a, const char *name)
{
    static _Thread_local char value[1024];
    size_t len = strlen(name);

    for (const char *line = strstr(a->head, "\r\n"); line && line[2]; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            const char *v = line + len + 1 + strspn(line + len + 1, " ");

            (void)snprintf(value, sizeof value, "%.*s", (int)strcspn(v, "\r"), v);
            return value;
        }
    }
    return NULL;
}

void raw_answer(struct raw *r, struct raw_answer *a, bool no_body)
{
    const char *length;
    char *end;
    int rc = 1;
    size_t head;

    memset(a, 0, sizeof *a);
    while (!(end = r->in_len ? strstr(r->in, "\r\n\r\n") : NULL) && (rc = more(r)) > 0)
        ;
    if (!end) {
        a->status = rc < 0 ? 1 : 0;
        return;
    }
    head = (size_t)(end + 4 - r->in);
    (void)snprintf(a->head, sizeof a->head, "%.*s", (int)head, r->in);
    a->status = (unsigned)strtoul(a->head + sizeof "HTTP/1.1", NULL, 10);
    length = raw_header(a, "Content-Length");
    a->body_len = no_body || !length ? 0 : strtoul(length, NULL, 10);
    while (r->in_len < head + a->body_len && (rc = more(r)) > 0)
        ;
    if (r->in_len < head + a->body_len || a->body_len >= sizeof a->body) {
        a->status = rc < 0 ? 1 : 0;
        return;
    }
    memcpy(a->body, r->in + head, a->body_len);
    r->in_len -= head + a->body_len;
    memmove(r->in, r->in + head + a->body_len, r->in_len + 1);
}

long raw_until_closed(struct raw *r)
{
    long n = (long)r->in_len;
    int rc;

    do {
        r->in_len = 0;
        rc = more(r);
        n += (long)r->in_len;
    } while (rc > 0);
    return rc < 0 ? -1 : n;
}

bool raw_readable(struct raw *r, int ms)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};

    return r->in_len || (r->ssl && SSL_pending(r->ssl)) || poll(&p, 1, ms) > 0;
}
