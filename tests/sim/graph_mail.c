/* graph_mail.c - Microsoft Graph's sendMail (section 9.1), below /graph: what it takes becomes a mail of the sink.
 *
 * A call passes, in this order: token and its audience (401), permission (403), mailbox (404), the limit of
 * mails (429), size (413), the message (400). The From of a message must be the mailbox (403).
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "house.h"
#include "loop.h"
#include "odata.h"

#define AUD         "https://graph.microsoft.com"
#define REQUEST_MAX (4 * 1024 * 1024) /* section 9.1: about 4 MB */
#define RCPT_MAX    500               /* section 9.1 */
#define PREFIX      "/graph/v1.0/users/"
#define SUFFIX      "/sendmail"

static void refuse(struct call *c, unsigned status, const char *code, const char *message)
{
    struct json_out o = JSON_OUT(&c->body);

    buf_reset(&c->body);
    c->status = status;
    c->type = "application/json";
    json_out_object(&o, NULL);
    json_out_object(&o, "error");
    json_out_string(&o, "code", code);
    json_out_string(&o, "message", message);
    json_out_object_end(&o);
    json_out_object_end(&o);
}

/* Is a word in a list with blanks between? Without case. */
static bool is_in(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = list; at && *at; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");

        if (n == len && strncasecmp(at, word, len) == 0)
            return true;
        at += n;
    }
    return false;
}

static bool may_send(struct call *c)
{
    const char *authorization = httpd_header(c->q, "Authorization");
    struct bearer *b = NULL;

    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0) {
        refuse(c, 401, "InvalidAuthenticationToken", "Access token is empty.");
        return false;
    }
    if (entra_check(c->house, authorization + 7, &b, NULL)) {
        refuse(c, 401, "InvalidAuthenticationToken",
               "Lifetime validation failed, the token is expired.");
        return false;
    }
    c->client = arena_str(c->arena, b->client);
    if (strcmp(b->aud, AUD) != 0) {
        refuse(c, 401, "InvalidAuthenticationToken",
               "Access token validation failure. Invalid audience.");
        return false;
    }
    for (size_t i = 0; b->roles[i]; i++)
        if (strcmp(b->roles[i], "Mail.Send") == 0)
            return true;
    refuse(c, 403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.");
    return false;
}

static bool there_is(struct call *c, const char *mailbox)
{
    const char *all = c->house->world.tuning.graph.mailboxes;

    if (!all || is_in(all, mailbox))
        return true;
    refuse(c, 404, "ErrorInvalidUser", "The requested user is invalid.");
    return false;
}

static bool fits(struct call *c)
{
    if (c->q->body_len <= REQUEST_MAX)
        return true;
    refuse(c, 413, "RequestEntityTooLarge", "The request is too large.");
    return false;
}

static bool has_room(struct call *c)
{
    struct world *w = &c->house->world;
    int64_t now = simclock_now(&w->clock), minute = 60 * TICKS_PER_S;

    if (!w->tuning.graph.per_minute)
        return true;
    if (!w->graph_window || now - w->graph_window >= minute) {
        w->graph_window = now;
        w->graph_mails = 0;
    }
    if (w->graph_mails++ < w->tuning.graph.per_minute)
        return true;
    refuse(c, 429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.");
    call_header(c, "Retry-After", "%lld",
                (long long)((w->graph_window + minute - now + TICKS_PER_S - 1) / TICKS_PER_S));
    return false;
}

/* ---- the message ------------------------------------------------------------------------------- */

struct letter {
    char *from;
    const char *rcpt[RCPT_MAX];
    size_t n_rcpt;
};

/* A header's value, unfolded; NULL: there is none. */
static char *header(struct call *c, const char *message, const char *name)
{
    AUTO(buf_clear) struct buf value = BUF_INIT(1 << 20);
    size_t len = strlen(name);

    for (const char *line = message; *line && *line != '\r'; line++) {
        size_t n = strcspn(line, "\n");
        bool ours = strncasecmp(line, name, len) == 0 && line[len] == ':';

        if (ours)
            buf_add(&value, line + len + 1, n - len - 1);
        for (line += n; *line && (line[1] == ' ' || line[1] == '\t'); line += n + 1) {
            n = strcspn(line + 1, "\n");
            if (ours)
                buf_add(&value, line + 1, n);
        }
        if (ours)
            return arena_str(c->arena, buf_text(&value));
        if (!*line)
            break;
    }
    return NULL;
}

static bool add_recipient(struct call *c, struct letter *l, const char *address)
{
    if (!strchr(address, '@') || l->n_rcpt == RCPT_MAX ||
        is_in(c->house->world.tuning.graph.reject, address)) {
        refuse(c, 400, "ErrorInvalidRecipients", "At least one recipient isn't valid.");
        return false;
    }
    l->rcpt[l->n_rcpt++] = address;
    return true;
}

/* Plain addresses with commas between: what cordon writes. */
static bool read_mime(struct call *c, const struct buf *message, struct letter *l)
{
    char *to = header(c, buf_text(message), "To"), *save = NULL;

    l->from = header(c, buf_text(message), "From");
    if (l->from) {
        l->from += strspn(l->from, " ");
        l->from[strcspn(l->from, " \r")] = '\0';
    }
    for (char *p = to ? strtok_r(to, ", \r\t", &save) : NULL; p;
         p = strtok_r(NULL, ", \r\t", &save))
        if (!add_recipient(c, l, p))
            return false;
    if (l->n_rcpt)
        return true;
    refuse(c, 400, "ErrorInvalidRecipients", "At least one recipient is needed.");
    return false;
}

static bool read_json(struct call *c, struct letter *l, struct buf *out)
{
    AUTO(json_freep) struct json *doc = NULL;
    const struct json *message;

    if (json_parse(c->q->body, c->q->body_len, &doc, NULL) ||
        !(message = json_get(doc, "message"))) {
        refuse(c, 400, "BadRequest", "Unable to read JSON request payload.");
        return false;
    }
    JSON_EACH (r, json_get(message, "toRecipients")) {
        const char *address = json_get_string(json_get(r, "emailAddress"), "address");

        if (!add_recipient(c, l, arena_str(c->arena, address ? address : "")))
            return false;
    }
    if (!l->n_rcpt) {
        refuse(c, 400, "ErrorInvalidRecipients", "At least one recipient is needed.");
        return false;
    }
    buf_add(out, c->q->body, c->q->body_len);
    return true;
}

static bool read_message(struct call *c, struct letter *l, struct buf *out)
{
    const char *type = httpd_header(c->q, "Content-Type");

    if (type && strncasecmp(type, "application/json", 16) == 0)
        return read_json(c, l, out);
    if (!type || strncasecmp(type, "text/plain", 10) != 0) {
        refuse(c, 415, "RequestBodyRead", "A message is application/json or text/plain.");
        return false;
    }
    if (!b64_read(c->q->body, c->q->body_len, out) || !out->len) {
        refuse(c, 400, "ErrorMimeContentInvalidBase64String",
               "Invalid base64 string for MIME content.");
        return false;
    }
    return read_mime(c, out, l);
}

bool graph_mail_serve(struct call *c)
{
    AUTO(buf_clear) struct buf message = BUF_INIT(REQUEST_MAX);
    const char *path = c->q->path;
    size_t len = strlen(path), head = sizeof PREFIX - 1, tail = sizeof SUFFIX - 1;
    struct letter l = {0};
    char *mailbox;

    if (len <= head + tail || strncasecmp(path, PREFIX, head) != 0 ||
        strcasecmp(path + len - tail, SUFFIX) != 0)
        return false;
    c->api = "sendMail";
    mailbox = arena_strn(c->arena, path + head, len - head - tail);
    if (!query_decode(mailbox))
        mailbox[0] = '\0';
    if (strcmp(c->q->method, "POST") != 0)
        refuse(c, 405, "Request_BadRequest", "The OData request is not supported.");
    else if (may_send(c) && there_is(c, mailbox) && has_room(c) && fits(c) &&
             read_message(c, &l, &message)) {
        const struct mail m = {.from = mailbox,
                               .helo = "graph",
                               .user = c->client,
                               .rcpt = l.rcpt,
                               .n_rcpt = l.n_rcpt,
                               .confirmed = true,
                               .raw = buf_text(&message),
                               .raw_len = message.len};

        if (l.from && strcasecmp(l.from, mailbox) != 0) {
            refuse(c, 403, "ErrorSendAsDenied",
                   "The user account does not have the right to send as this one.");
            return true;
        }
        mails_add(c->house->mails, &m);
        loop_poke(c->house->loop);
        c->status = 202; /* no body and no id */
    }
    return true;
}
