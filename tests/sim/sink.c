/* sink.c - receivers of cordon's own posts: `/sink/NAME` for each that POST /sim/sinks described.
 *
 * Signatures are checked as Standard Webhooks has it (webhook-sources.md section 5), with OpenSSL and not with
 * cordon's code. `teams` is a Workflows webhook (defender-api.md section 9.4): a secret `sig` in the query, an
 * Adaptive Card and nothing else, 28 KB at most, 202 without a body. `slack` answers as its incoming webhooks do
 * [I]: 200 `ok`, 400 `invalid_payload`. What came, and its webhook-id as action_id, is in the journal.
 */
#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "house.h"
#include "odata.h"

#define TEAMS_MAX   (28 * 1024) /* section 9.4 */
#define TOLERANCE_S 300         /* webhook-sources.md section 6 */

struct sink {
    struct sink *next;
    char *name, *kind; /* kind: "standard", "teams", "slack" */
    char *secret;      /* whsec_…; NULL: no signature is asked for */
    char *sig;         /* what the query must have; NULL: nothing */
};

static char *copy(const struct json *object, const char *name)
{
    const char *text = json_get_string(object, name);
    char *own = text ? strdup(text) : NULL;

    assert(own || !text);
    return own;
}

static void sink_free(struct sink *s)
{
    free(s->name);
    free(s->kind);
    free(s->secret);
    free(s->sig);
    free(s);
}

static struct sink **find(struct house *h, const char *name)
{
    struct sink **at = &h->sinks;

    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

enum err_code sink_put(struct house *h, const struct json *object, struct err *e)
{
    static const char *const names[] = {"name", "kind", "secret", "sig"};
    const char *name = json_get_string(object, "name"), *kind = json_get_string(object, "kind");
    struct sink *s, **at;

    JSON_EACH (v, object) {
        size_t i = 0;

        while (i < sizeof names / sizeof *names && strcmp(names[i], json_name(v)) != 0)
            i++;
        if (i == sizeof names / sizeof *names)
            return err_set(e, ERR_INVALID, "%s: unknown key", json_name(v));
    }
    if (!name || !kind ||
        (strcmp(kind, "standard") != 0 && strcmp(kind, "teams") != 0 && strcmp(kind, "slack") != 0))
        return err_set(e, ERR_INVALID, "a sink has a name, and a kind: standard, teams, slack");
    at = find(h, name);
    if (*at) {
        struct sink *old = *at;

        *at = old->next;
        sink_free(old);
    }
    s = calloc(1, sizeof *s);
    assert(s);
    s->name = copy(object, "name");
    s->kind = copy(object, "kind");
    s->secret = copy(object, "secret");
    s->sig = copy(object, "sig");
    s->next = h->sinks;
    h->sinks = s;
    return ERR_OK;
}

void sinks_forget(struct house *h)
{
    while (h->sinks) {
        struct sink *s = h->sinks;

        h->sinks = s->next;
        sink_free(s);
    }
}

/* Any of the list's "v1,…" entries is the HMAC of id.timestamp.body, and the time is now. */
static bool is_signed(struct call *c, const struct sink *s)
{
    const char *id = httpd_header(c->q, "webhook-id");
    const char *stamp = httpd_header(c->q, "webhook-timestamp");
    const char *list = httpd_header(c->q, "webhook-signature");
    AUTO(buf_clear) struct buf key = BUF_INIT(1024), text = BUF_INIT(SIZE_MAX);
    int64_t now = time(NULL), at; /* the host's clock: cordon knows no other */
    unsigned char mac[EVP_MAX_MD_SIZE], wanted[2 * EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    const char *secret = s->secret + (strncmp(s->secret, "whsec_", 6) == 0 ? 6 : 0);

    if (!id || !*id || !stamp || !*stamp || strspn(stamp, "0123456789") != strlen(stamp) || !list)
        return false;
    at = strtoll(stamp, NULL, 10);
    if (at < now - TOLERANCE_S || at > now + TOLERANCE_S || !b64_read(secret, strlen(secret), &key))
        return false;
    buf_addf(&text, "%s.%s.", id, stamp);
    buf_add(&text, c->q->body, c->q->body_len);
    if (!HMAC(EVP_sha256(), key.data, (int)key.len, (const unsigned char *)text.data, text.len, mac,
              &mac_len))
        return false;
    (void)EVP_EncodeBlock(wanted, mac, (int)mac_len);
    for (const char *p = list; *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");

        if (n == 3 + strlen((const char *)wanted) && strncmp(p, "v1,", 3) == 0 &&
            memcmp(p + 3, wanted, n - 3) == 0)
            return true;
        p += n;
    }
    return false;
}

static bool is_card(const struct json *doc)
{
    const struct json *attachment = json_first(json_get(doc, "attachments"));
    const char *type = json_get_string(doc, "type");
    const char *content = json_get_string(attachment, "contentType");
    const char *card = json_get_string(json_get(attachment, "content"), "type");

    return type && strcmp(type, "message") == 0 && content &&
           strcmp(content, "application/vnd.microsoft.card.adaptive") == 0 && card &&
           strcmp(card, "AdaptiveCard") == 0;
}

static bool is_shaped(const struct sink *s, const struct json *doc)
{
    if (strcmp(s->kind, "teams") == 0)
        return is_card(doc);
    return strcmp(s->kind, "slack") != 0 || json_get_string(doc, "text") || json_get(doc, "blocks");
}

static void say(struct call *c, unsigned status, const char *text)
{
    c->status = status;
    c->type = "text/plain";
    buf_adds(&c->body, text);
}

bool sink_serve(struct call *c)
{
    static const char prefix[] = "/sink/";
    AUTO(json_freep) struct json *doc = NULL;
    const char *id = httpd_header(c->q, "webhook-id"), *sig;
    struct sink *s;

    if (strncmp(c->q->path, prefix, sizeof prefix - 1) != 0)
        return false;
    c->api = "sink";
    c->action_id = id ? arena_str(c->arena, id) : NULL;
    s = *find(c->house, c->q->path + sizeof prefix - 1);
    sig = query_get(c->arena, c->q->query, "sig");
    if (!s)
        say(c, 404, "no_service");
    else if (strcmp(c->q->method, "POST") != 0)
        say(c, 405, "a sink takes POST");
    else if (s->sig && (!sig || strcmp(sig, s->sig) != 0))
        say(c, 401, "the signature of the URL is wrong");
    else if (s->secret && !is_signed(c, s))
        say(c, 401, "not signed with the secret, or long ago");
    else if (strcmp(s->kind, "teams") == 0 && c->q->body_len > TEAMS_MAX)
        say(c, 413, "too large");
    else if (json_parse(c->q->body, c->q->body_len, &doc, NULL) || !is_shaped(s, doc))
        say(c, 400, "invalid_payload");
    else if (strcmp(s->kind, "slack") == 0)
        say(c, 200, "ok");
    else
        c->status = strcmp(s->kind, "teams") == 0 ? 202 : 200;
    return true;
}
