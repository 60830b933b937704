/* mail_graph.c - see mail_graph.h. Sections are those of defender-api.md. */
#include "mail_graph.h"

#include <openssl/evp.h>
#include <string.h>

#include "auto.h"
#include "clock.h"
#include "json.h"
#include "mime.h"
#include "rest.h"

#define ANSWER_MAX  (64 * 1024)
#define MESSAGE_MAX (2 * 1024 * 1024) /* about 4 MB as base64 is what Graph takes: section 9.1 */

/* ---- what an answer means (section 9.1) -------------------------------------------------------- */

static const struct {
    long status;
    const char *code; /* of its body; NULL: any other */
    enum err_code is;
    const char *cure;
} answers[] = {
    {400, "ErrorInvalidRecipients", ERR_INVALID, "it takes an address for none"},
    {400, NULL, ERR_REFUSED, "it does not take the message"},
    {401, NULL, ERR_DENIED, "it does not take the token"},
    {403, "ErrorSendAsDenied", ERR_FORBIDDEN,
     "mail.from must be the mailbox, or an address that it may send as"},
    {403, NULL, ERR_FORBIDDEN,
     "give the application the permission Microsoft Graph " MAIL_GRAPH_ROLE
     " with admin consent, and let the mailbox into its scope"},
    {404, NULL, ERR_NOT_FOUND, "look at the mailbox behind graph: in mail.server"},
    {413, NULL, ERR_REFUSED, "the message is too long for it"},
    {429, NULL, ERR_THROTTLED, "too many mails at once"},
};

static enum err_code judge(const struct mail_graph *g, const char *token,
                           const struct rest_answer *a, struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    const char *code = NULL, *message = NULL, *cure = "it cannot be used just now";
    enum err_code is = ERR_AGAIN;
    AUTO(buf_clear) struct buf words = BUF_INIT(ANSWER_MAX * 8);

    if (a->status == 202)
        return ERR_OK;
    if (a->body_len && !json_parse(a->body, a->body_len, &doc, NULL)) {
        code = json_get_string(json_get(doc, "error"), "code");
        message = token_unsaid(json_get_string(json_get(doc, "error"), "message"), token);
    }
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        if (answers[i].status == a->status &&
            (!answers[i].code || (code && strcmp(answers[i].code, code) == 0))) {
            is = answers[i].is;
            cure = answers[i].cure;
            break;
        }
    mime_clean_line(&words, message ? message : "");
    (void)err_set(e, is, "Graph, mailbox %s: %s (HTTP %ld%s%s%s%.120s)", g->mailbox, cure,
                  a->status, code ? " " : "", code ? code : "", words.len ? ": " : "",
                  buf_text(&words));
    if (e)
        e->retry_ms = a->retry_ms;
    return is;
}

/* ---- the message ------------------------------------------------------------------------------- */

static enum err_code encode(const char *const *to, size_t n, const char *message, size_t len,
                            struct buf *out, struct err *e)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(MESSAGE_MAX);
    unsigned char piece[4 * 768 + 1];

    mime_readdress(&text, message, len, "To", to, n); /* and nobody else */
    if (buf_failed(&text))
        return err_set(e, buf_failed(&text), "the message for Graph, of %zu bytes", len);
    for (size_t at = 0; at < text.len; at += sizeof piece / 4 * 3) {
        size_t left = text.len - at, take = sizeof piece / 4 * 3;
        int got = EVP_EncodeBlock(piece, (const unsigned char *)text.data + at,
                                  (int)(left < take ? left : take));

        buf_add(out, piece, (size_t)got);
    }
    return buf_failed(out) ? err_set(e, buf_failed(out), "the message for Graph") : ERR_OK;
}

/* ---- the call ---------------------------------------------------------------------------------- */

/* One call with a token as it is now; stale: Graph did not take it, and there may be a better one. */
static enum err_code call(const struct mail_graph *g, const char *url, const struct buf *body,
                          int64_t timeout_ms, bool *ret_stale, struct err *e)
{
    static const char auth[] = "Authorization: Bearer ";
    AUTO(token_clear) struct buf header = BUF_INIT(TOKEN_MAX + sizeof auth);
    AUTO(rest_answer_clear) struct rest_answer answer = {0};
    struct rest_request q = {.method = "POST",
                             .url = url,
                             .headers = {NULL, "Content-Type: text/plain"},
                             .body = body->data,
                             .body_len = body->len,
                             .max_answer = ANSWER_MAX,
                             .cut_answer = true, /* 202 is that it has the mail */
                             .timeout_ms = timeout_ms};
    const char *token;
    enum err_code code;

    *ret_stale = false;
    buf_adds(&header, auth);
    code = token_get(g->token, &header, e);
    if (code)
        return code;
    q.headers[0] = buf_text(&header);
    code = rest_do(g->rest, &q, &answer, e);
    if (code)
        return err_in(e, "Graph");
    token = header.data + sizeof auth - 1;
    code = judge(g, token, &answer, e);
    *ret_stale = (code == ERR_DENIED && token_drop(g->token, token)) ||
                 (code == ERR_FORBIDDEN && token_renew(g->token, token));
    return code;
}

/* One message for some of its recipients. ERR_OK: results has their fates. */
static enum err_code send_to(const struct mail_graph *g, const char *url, const char *const *to,
                             size_t n, const char *message, size_t len, int64_t deadline,
                             struct mail_result *results, struct err *e)
{
    AUTO(buf_clear) struct buf body = BUF_INIT(MESSAGE_MAX / 3 * 4 + 4);
    struct err why = {0};
    bool stale = false;
    enum err_code code = encode(to, n, message, len, &body, &why);

    if (code == ERR_TOO_BIG) { /* and it stays so, as where a mail server says it (552) */
        mail_results_set(results, n, MAIL_REFUSED, false, why.text);
        if (e)
            *e = why;
        return code;
    }
    for (int tries = 0; tries < 2 && (!tries || stale); tries++) {
        int64_t left = deadline - clock_mono_ms(clock_system());

        if (code)
            break;
        if (left <= 0)
            code = err_set(&why, ERR_TIMEOUT, "Graph: there was no more time");
        else
            code = call(g, url, &body, left, &stale, &why);
        if (stale && !tries)
            code = ERR_OK; /* again, with another token */
    }
    if (!code) {
        mail_results_set(results, n, MAIL_SENT, false, "202 accepted by Graph");
        return ERR_OK;
    }
    mail_results_set(results, n, code == ERR_INVALID && n == 1 ? MAIL_REFUSED : MAIL_RETRY,
                     code == ERR_UNKNOWN || code == ERR_TOO_BIG, why.text);
    /* An answer that was lost, and a recipient that is none, say nothing of the others. */
    if (code == ERR_UNKNOWN || code == ERR_TOO_BIG || (code == ERR_INVALID && n == 1))
        return ERR_OK;
    if (e)
        *e = why;
    return code;
}

enum err_code mail_graph_send(const struct mail_graph *g, const char *const *to, size_t n,
                              const char *message, size_t len, struct mail_result *results,
                              struct err *e)
{
    int64_t timeout = g->timeout_ms ? g->timeout_ms : MAIL_TIMEOUT_MS;
    int64_t deadline = clock_mono_ms(clock_system()) + timeout;
    AUTO(auto_free) char *mailbox = rest_encode(g->mailbox);
    AUTO(buf_clear) struct buf url = BUF_INIT(2048);
    enum err_code code;

    mail_results_set(results, n, MAIL_RETRY, false, "not tried");
    if (!mailbox)
        return err_set(e, ERR_NOMEM, "Graph");
    buf_addf(&url, "%s/v1.0/users/%s/sendMail", g->base_url, mailbox);
    if (buf_failed(&url))
        return err_set(e, buf_failed(&url), "Graph's URL");
    code = send_to(g, buf_text(&url), to, n, message, len, deadline, results, e);
    if (code != ERR_INVALID)
        return code;
    code = ERR_OK; /* one of several is bad, and it does not say which */
    for (size_t i = 0; i < n && !code; i++)
        code = send_to(g, buf_text(&url), &to[i], 1, message, len, deadline, &results[i], e);
    if (code && results[0].fate != MAIL_RETRY)
        return ERR_OK; /* those before it have their fates */
    return code;
}
