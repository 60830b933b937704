/* mailpeer.c - see mailpeer.h. */
#include "mailpeer.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEARD_MAX 65536

struct mailpeer {
    struct wire_server *server;
    unsigned port;
    enum mailpeer_tls mode;
    struct wire_tls *tls;
    const char *auth;
    const struct mailpeer_rule *rules;
    pthread_mutex_t lock; /* what follows */
    char heard[HEARD_MAX];
    size_t len;
};

static void hear(struct mailpeer *p, unsigned number, const char *line)
{
    int n;

    (void)pthread_mutex_lock(&p->lock);
    n = snprintf(p->heard + p->len, HEARD_MAX - p->len, "%u %s\n", number, line);
    assert(n > 0 && (size_t)n < HEARD_MAX - p->len);
    p->len += (size_t)n;
    (void)pthread_mutex_unlock(&p->lock);
}

/* Replies by rule, else with usual; false when the connection is to end. */
static bool reply(struct mailpeer *p, struct wire *w, const char *command, const char *usual)
{
    for (const struct mailpeer_rule *r = p->rules; r && r->command; r++) {
        if (r->command[0] ? strncasecmp(command, r->command, strlen(r->command)) != 0
                          : command[0] != '\0')
            continue;
        return r->reply && wire_write(w, r->reply, strlen(r->reply)) && !r->close;
    }
    return wire_write(w, usual, strlen(usual));
}

static void serve(struct wire *w, unsigned number, void *ctx, bool *ret_reset)
{
    struct mailpeer *p = ctx;
    char line[16384], ehlo[512];
    bool go_on;

    *ret_reset = false;
    if (p->mode == MAILPEER_IMPLICIT && !wire_start_tls(w, p->tls))
        return;
    go_on = reply(p, w, "", "220 mail.test ESMTP\r\n");
    while (go_on && wire_line(w, line, sizeof line)) {
        hear(p, number, line);
        if (strncasecmp(line, "EHLO", 4) == 0) {
            (void)snprintf(ehlo, sizeof ehlo, "250-mail.test\r\n%s%s%s%s250 HELP\r\n",
                           p->mode == MAILPEER_STARTTLS && !w->ssl ? "250-STARTTLS\r\n" : "",
                           p->auth ? "250-AUTH " : "", p->auth ? p->auth : "",
                           p->auth ? "\r\n" : "");
            go_on = reply(p, w, line, ehlo);
        } else if (strncasecmp(line, "STARTTLS", 8) == 0) {
            go_on = reply(p, w, line, "220 go\r\n") && wire_start_tls(w, p->tls);
            if (go_on)
                hear(p, number, "(TLS)");
        } else if (strncasecmp(line, "AUTH", 4) == 0) {
            if (!strchr(line + 5, ' ')) { /* no initial response */
                char response[sizeof line];

                go_on = wire_write(w, "334 \r\n", 6) && wire_line(w, response, sizeof response);
                if (go_on)
                    hear(p, number, response);
            }
            go_on = go_on && reply(p, w, line, "235 2.7.0 welcome\r\n");
        } else if (strncasecmp(line, "DATA", 4) == 0) {
            go_on = reply(p, w, line, "354 go on\r\n");
            while (go_on && wire_line(w, line, sizeof line)) {
                hear(p, number, line);
                if (strcmp(line, ".") == 0) {
                    go_on = reply(p, w, ".", "250 2.0.0 queued as 1\r\n");
                    break;
                }
            }
        } else if (strncasecmp(line, "QUIT", 4) == 0) {
            if (reply(p, w, line, "221 bye\r\n"))
                wire_wait_closed(w);
            return;
        } else {
            go_on = reply(p, w, line, "250 ok\r\n");
        }
    }
}

struct mailpeer *mailpeer_new(enum mailpeer_tls mode, struct wire_tls *tls, const char *auth,
                              const struct mailpeer_rule *rules)
{
    struct mailpeer *p = calloc(1, sizeof *p);

    assert(p);
    p->mode = mode;
    p->tls = tls;
    p->auth = auth;
    p->rules = rules;
    (void)pthread_mutex_init(&p->lock, NULL);
    p->server = wire_server_new(serve, p);
    p->port = wire_server_port(p->server);
    return p;
}

void mailpeer_free(struct mailpeer *p)
{
    if (!p)
        return;
    wire_server_free(p->server);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

unsigned mailpeer_port(const struct mailpeer *p)
{
    return p->port;
}

const char *mailpeer_heard(struct mailpeer *p)
{
    wire_server_free(p->server);
    p->server = NULL;
    return p->heard;
}
