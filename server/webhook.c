/* webhook.c - see webhook.h. */
#include "webhook.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "auto.h"
#include "id.h"
#include "mime.h"
#include "rest.h"
#include "verify_standard_webhooks.h"

#define ANSWER_MAX (64 * 1024)
#define SHOWN_MAX  120 /* bytes of what it answers that a sentence shows */
#define SECRET_MIN 12 /* bytes of the URL in a row that say something of it; no token is as short */
/* Standard Webhooks' own recommendation is 15 to 30 s; Teams' flows answer within a few. */
#define TIMEOUT_MS (30 * SECOND_MS)
/* Bytes of one, of the blank before it, and of the header's name: webhook-sources.md section 5. */
#define SIGNATURE_ROOM 64

static const struct {
    int status; /* 0: all of this hundred that no row before names */
    int hundred;
    enum err_code is;
    const char *words;
} answers[] = {
    {0, 2, ERR_OK, ""},
    {0, 3, ERR_REFUSED,
     "it wants to send the post elsewhere, which is not followed: set its new URL"},
    {401, 4, ERR_DENIED, "it does not take the signature, or the secret in its URL"},
    {403, 4, ERR_DENIED, "it does not take the signature, or the secret in its URL"},
    {404, 4, ERR_NOT_FOUND, "it is not there any more: make a new one, and set its URL"},
    {410, 4, ERR_NOT_FOUND, "it is not there any more: make a new one, and set its URL"},
    {408, 4, ERR_AGAIN, "it was too slow"},
    {425, 4, ERR_AGAIN, "it cannot be used just now"},
    {429, 4, ERR_THROTTLED, "too many posts at once"},
    {0, 4, ERR_REFUSED, "it does not take the post: is `template` the right one?"},
    {0, 5, ERR_AGAIN, "it cannot be used just now"},
};

/* Frameworks name the path that they do not know ("Route POST:/… not found"), and a URL out of a file is the permission to
 * post. Is a part of what stands behind its host in there? */
static bool repeats_url(const struct config_webhook *w, const char *said, size_t said_len)
{
    const char *secret = w->url.text ? strstr(w->url.text, "://") : NULL;
    size_t len, run;

    if (!secret)
        return false;
    secret += strlen("://");
    secret += strcspn(secret, "/?#");
    len = strlen(secret);
    run = len < SECRET_MIN ? len : SECRET_MIN;
    for (size_t i = 0; run > 1 && i + run <= len; i++)
        if (memmem(said, said_len, secret + i, run))
            return true;
    return false;
}

/* Teams' older webhooks say in a 200 that they did not take the post: section 9.4. *ret_words: what is wrong, if anything. */
static enum err_code judge_teams(const struct rest_answer *a, const char **ret_words)
{
    const char *body = a->body ? a->body : "";

    if (a->status != 200)
        return ERR_OK;
    if (strstr(body, "HTTP error 429")) {
        *ret_words = "too many posts at once";
        return ERR_THROTTLED;
    }
    if (!a->broken || strcmp(body, "1") == 0)
        return ERR_OK;
    *ret_words = "its answer breaks off before it says whether it took the post";
    return ERR_UNKNOWN;
}

static enum err_code judge(const struct config_webhook *w, const struct rest_answer *a,
                           struct err *e)
{
    AUTO(buf_clear) struct buf said = BUF_INIT(ANSWER_MAX * 8);
    enum err_code is = ERR_AGAIN;
    const char *words = "it answers what is no answer";

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        if (answers[i].status == a->status ||
            (!answers[i].status && answers[i].hundred == a->status / 100)) {
            is = answers[i].is;
            words = answers[i].words;
            break;
        }
    if (!is && w->template == CONFIG_TEMPLATE_TEAMS)
        is = judge_teams(a, &words);
    if (!is)
        return ERR_OK;
    if (a->body && repeats_url(w, a->body, a->body_len))
        buf_adds(&said, "(words withheld: they repeat the URL)");
    else
        mime_clean_line(&said, a->body ? a->body : "");
    (void)err_set(e, is, "webhook %s: %s (HTTP %ld%s%.*s)", w->name, words, a->status,
                  said.len ? ": " : "", SHOWN_MAX, buf_text(&said));
    if (e)
        e->retry_ms = a->retry_ms;
    return is;
}

/* One signature by each secret that is good now. */
static enum err_code sign(const struct config_webhook *w, const char *id, const char *timestamp,
                          const char *body, size_t len, int64_t now, struct buf *out, struct err *e)
{
    enum err_code code = ERR_OK;
    size_t begun = out->len;

    for (size_t i = 0; i < w->secrets.count && !code; i++) {
        unsigned char key[STANDARD_WEBHOOKS_KEY_MAX];
        size_t key_len;

        if (!window_holds(&w->secrets.items[i].window, now))
            continue;
        if (out->len > begun)
            buf_addc(out, ' ');
        code = standard_webhooks_key(w->secrets.items[i].text, key, &key_len, e);
        if (!code)
            code = standard_webhooks_sign(key, key_len, id, timestamp, body, len, out, e);
        explicit_bzero(key, sizeof key);
    }
    if (!code && w->secrets.count && out->len == begun)
        code =
            err_set(e, ERR_DENIED,
                    "webhook %s: none of its secrets is good at this time (not_before, not_after)",
                    w->name);
    return !code && buf_failed(out)
               ? err_set(e, buf_failed(out), "webhook %s: its signatures", w->name)
               : code;
}

enum err_code webhook_post(struct rest *rest, const struct config_webhook *w, int64_t id,
                           const char *body, size_t len, int64_t now, struct mail_result *result,
                           struct err *e)
{
    AUTO(buf_clear) struct buf signature = BUF_INIT(SIGNATURE_ROOM * (w->secrets.count + 1));
    AUTO(rest_answer_clear) struct rest_answer answer = {0};
    char id_text[ID_TEXT_SIZE], message_id[ID_TEXT_SIZE + 40], stamp_header[60], stamp[24];
    struct rest_request q = {.method = "POST",
                             .url = config_webhook_url(w),
                             .headers = {"Content-Type: application/json", message_id},
                             .body = body,
                             .body_len = len,
                             .max_answer = ANSWER_MAX,
                             .cut_answer = true,
                             .timeout_ms = TIMEOUT_MS,
                             .ca_file = w->ca_file};
    struct err why = {0};
    enum err_code code = ERR_OK;

    (void)snprintf(message_id, sizeof message_id, "webhook-id: %s", id_format(id, id_text));
    (void)snprintf(stamp, sizeof stamp, "%" PRId64, now / SECOND_MS);
    (void)snprintf(stamp_header, sizeof stamp_header, "webhook-timestamp: %s", stamp);
    q.headers[2] = stamp_header;
    buf_adds(&signature, "webhook-signature: ");
    if (w->secrets.count) {
        code = sign(w, id_text, stamp, body, len, now, &signature, &why);
        q.headers[3] = buf_text(&signature);
    }
    if (!code) {
        code = rest_do(rest, &q, &answer, &why);
        code = code ? err_in(&why, "webhook %s", w->name) : judge(w, &answer, &why);
    }
    if (!code) {
        mail_results_set(result, 1, MAIL_SENT, false, "");
        (void)snprintf(result->text, sizeof result->text, "HTTP %ld", answer.status);
        return ERR_OK;
    }
    mail_results_set(result, 1, MAIL_RETRY, code == ERR_UNKNOWN || code == ERR_TOO_BIG, why.text);
    if (e)
        *e = why;
    return code;
}
