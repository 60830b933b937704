/* way.c - see way.h. */
#include "way.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "credential.h"
#include "id.h"
#include "mail_graph.h"
#include "post.h"
#include "rest.h"
#include "text.h"
#include "token.h"
#include "webhook.h"

/* Where a far end that is throttled does not say for how long: Graph's windows are a minute and more (section 9.1). */
#define THROTTLED_MS MINUTE_MS
/* Notices that a way does not take while it takes others, which are few. One more is taken for the first. */
#define ODD_MAX 16
/* Notices that were sent and not answered. One more takes the place of one that was not tried for so long, and so is settled
 * elsewhere, or of none: if it took that of the first, of more than there is room for each would be forgotten by its next
 * try, and none ever waited for. */
#define UNANSWERED_MAX     256
#define UNANSWERED_KEEP_MS (6 * HOUR_MS)

struct way {
    const struct config_way *config;
    struct rest *rest;
    const struct clock *clock;
    struct token *token; /* NULL: it needs none of ours */
    char words[300];
    _Atomic int64_t not_before_ms; /* mono */
    pthread_mutex_t lock;          /* of what follows */
    uint64_t taken;                /* how often it took something */
    struct {
        int64_t id;
        uint64_t taken; /* when it first did not take this notice */
    } odd[ODD_MAX];
    size_t next; /* of odd */
    struct {
        int64_t id, mono_ms; /* 0: free; when it was tried last */
    } unanswered[UNANSWERED_MAX];
};

/* A token of the way's tenant, for Graph or for what the login asks for. */
static enum err_code open_token(struct way *w, struct err *e)
{
    struct token_options o = {.rest = w->rest, .clock = w->clock, .scope = w->config->scope};

    credential_use(w->config->tenant, &o);
    return token_new(&o, &w->token, e);
}

enum err_code way_new(const struct config_way *config, struct rest *rest, const struct clock *clock,
                      struct way **ret, struct err *e)
{
    struct way *w = calloc(1, sizeof *w);
    enum err_code code = ERR_OK;

    if (!w)
        return err_set(e, ERR_NOMEM, "a way out");
    w->config = config;
    w->rest = rest;
    w->clock = clock;
    (void)pthread_mutex_init(&w->lock, NULL);
    if (config->webhook)
        (void)snprintf(w->words, sizeof w->words, "webhook %s", config->webhook->name);
    else
        (void)snprintf(w->words, sizeof w->words, "%s", config->server);
    if (config->tenant)
        code = open_token(w, e);
    if (code) {
        way_free(w);
        return err_in(e, "%s", config->name);
    }
    *ret = w;
    return ERR_OK;
}

void way_free(struct way *w)
{
    if (!w)
        return;
    token_free(w->token);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

/* Whoever is asked to wait is who logs in there, or whose application does. */
static bool is_same_caller(const struct config_way *a, const struct config_way *b)
{
    const struct config_tenant *x = a->tenant, *y = b->tenant;

    if (!text_is_same(a->username, b->username) || !x != !y)
        return false;
    return !x ||
           (text_is_same(x->tenant_id, y->tenant_id) && text_is_same(x->client_id, y->client_id));
}

static bool leads_where(const struct config_way *a, const struct config_way *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == CONFIG_WAY_WEBHOOK)
        return text_is_same(config_webhook_url(a->webhook), config_webhook_url(b->webhook));
    return text_is_same(a->server, b->server) && is_same_caller(a, b);
}

void way_inherit(struct way *w, struct way *old)
{
    int64_t until = atomic_load(&old->not_before_ms);

    if (!leads_where(w->config, old->config))
        return;
    if (until > atomic_load(&w->not_before_ms))
        atomic_store(&w->not_before_ms, until);
    pthread_mutex_lock(&old->lock);
    memcpy(w->unanswered, old->unanswered, sizeof w->unanswered);
    pthread_mutex_unlock(&old->lock);
}

const char *way_name(const struct way *w)
{
    return w->config->name;
}

const char *way_words(const struct way *w)
{
    return w->words;
}

bool way_can_be_probed(const struct way *w, const char *let_in)
{
    return w->config->kind == CONFIG_WAY_SMTP && !(let_in && strcmp(let_in, w->words) == 0);
}

/* ---- SMTP ------------------------------------------------------------------------------------- */

/* The password or token of the login, as it is now. */
static enum err_code read_secret(void *ctx, struct buf *out, struct err *e)
{
    const struct way *w = ctx;
    const struct secret *s = w->config->oauth ? &w->config->token : &w->config->password;

    if (w->token)
        return token_get(w->token, out, e);
    buf_add(out, s->text, s->len);
    return ERR_OK; /* buf_failed is looked at by the reader */
}

static struct mail_server smtp_server(struct way *w, const char *helper)
{
    const struct config_way *c = w->config;

    return (struct mail_server){.url = c->server,
                                .username = c->oauth || c->password.text ? c->username : NULL,
                                .read_password = read_secret,
                                .read_password_ctx = w,
                                .oauth = c->oauth,
                                .ca_file = c->ca_file,
                                .helper = helper};
}

/* A login that was refused: with a token of ours, the next try gets a new one. */
static void forget_token(struct way *w)
{
    AUTO(token_clear) struct buf now = BUF_INIT(TOKEN_MAX);

    if (w->token && !token_get(w->token, &now, NULL))
        (void)token_drop(w->token, buf_text(&now));
}

/* ---- a webhook -------------------------------------------------------------------------------- */

/* Where all of it is to be found, of which a post has no more than the subject. */
static const char *what_next(const struct way_mail *m)
{
    if (m->case_id)
        return "`cordon cases show` tells the whole case.";
    if (strcmp(m->kind, "question") == 0)
        return "`cordon questions list` has the question: `cordon approve ID --why TEXT` and `cordon refuse ID --why "
               "TEXT` answer it.";
    return m->is_post
               ? "The log and the console tell more of what is cordon's own, `cordon cases list` of alerts."
               : "`/readyz` says what fails, and why.";
}

/* A message that is a post already, or what it comes to in one: its subject, and of a mail to whom it should have gone. So is
 * told what waited while a reload gave the webhook another template, for the one before may have been the wrong one. */
static enum err_code post_gist(struct way *w, const struct way_mail *m, struct mail_result *results,
                               struct err *e)
{
    AUTO(buf_clear) struct buf to = BUF_INIT(64 * 1024), body = BUF_INIT(POST_MAX * 4);
    char case_id[ID_TEXT_SIZE] = "";
    struct post_fact facts[] = {{"For", NULL}, {"Case", case_id}};
    const struct post p = {.id = m->id,
                           .case_id = m->case_id,
                           .now = clock_wall_ms(w->clock),
                           .kind = m->kind,
                           .subject = m->subject,
                           .headline = m->is_post
                                           ? "A post of cordon that was made for another template"
                                           : "A mail of cordon that could not leave by its own way",
                           .bad = true,
                           .next = what_next(m),
                           .facts = facts,
                           .n_facts = sizeof facts / sizeof *facts};
    const char *text = m->message;
    size_t len = m->len;
    enum err_code code = ERR_OK;

    if (!m->is_post || !post_is_for(w->config->webhook->template, m->message)) {
        for (size_t i = 0; i < m->n && !m->is_post; i++)
            buf_addf(&to, "%s%s", i ? ", " : "", m->to[i]);
        facts[0].value = buf_text(&to);
        if (m->case_id)
            id_format(m->case_id, case_id);
        code = post_write(w->config->webhook->template, &p, &body, e);
        text = buf_text(&body);
        len = body.len;
    }
    if (!code)
        code = webhook_post(w->rest, w->config->webhook, m->id, text, len, clock_wall_ms(w->clock),
                            &results[0], e);
    else
        mail_results_set(results, 1, MAIL_RETRY, false, e->text);
    for (size_t i = 1; i < m->n; i++)
        results[i] = results[0];
    return code;
}

/* ---- all -------------------------------------------------------------------------------------- */

/* Was a word said of anybody? A server that takes no sender or no message, or hangs up on each, works for nobody. */
static bool was_answered(const struct mail_result *results, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (results[i].fate != MAIL_RETRY || (results[i].smtp_code && !results[i].for_all))
            return true;
    return false;
}

static bool took_any(const struct mail_result *results, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (results[i].fate == MAIL_SENT)
            return true;
    return false;
}

bool way_takes_others(struct way *w, int64_t id)
{
    size_t i = 0;
    bool others;

    pthread_mutex_lock(&w->lock);
    while (i < ODD_MAX && w->odd[i].id != id)
        i++;
    if (i == ODD_MAX) {
        i = w->next;
        w->next = (w->next + 1) % ODD_MAX;
        w->odd[i].id = id;
        w->odd[i].taken = w->taken;
    }
    others = w->taken > w->odd[i].taken;
    pthread_mutex_unlock(&w->lock);
    return others;
}

/* The place of notice id among those that were not answered; UNANSWERED_MAX: it has none. */
static size_t unanswered_locked(const struct way *w, int64_t id)
{
    size_t i = 0;

    while (i < UNANSWERED_MAX && w->unanswered[i].id != id)
        i++;
    return i;
}

bool way_was_unanswered(struct way *w, int64_t id)
{
    bool known;

    pthread_mutex_lock(&w->lock);
    known = unanswered_locked(w, id) < UNANSWERED_MAX;
    pthread_mutex_unlock(&w->lock);
    return known;
}

/* Notice id was tried: what is known of it, or is now. */
static void note_unanswered_locked(struct way *w, int64_t id, bool unanswered, bool settled)
{
    int64_t now = clock_mono_ms(w->clock);
    size_t at = unanswered_locked(w, id);

    if (at == UNANSWERED_MAX && unanswered) {
        at = unanswered_locked(w, 0);
        for (size_t i = 0; i < UNANSWERED_MAX && at == UNANSWERED_MAX; i++)
            if (now - w->unanswered[i].mono_ms > UNANSWERED_KEEP_MS)
                at = i;
    }
    if (at == UNANSWERED_MAX)
        return;
    w->unanswered[at].id = settled ? 0 : id;
    w->unanswered[at].mono_ms = now;
}

/* What became of m, as far as it matters for the next try of it, and for what others came to. */
static void note_results(struct way *w, const struct way_mail *m, const struct mail_result *results)
{
    bool unanswered = false, settled = true;

    for (size_t i = 0; i < m->n; i++) {
        unanswered = unanswered || results[i].maybe_sent;
        settled = settled && results[i].fate != MAIL_RETRY;
    }
    pthread_mutex_lock(&w->lock);
    w->taken += took_any(results, m->n);
    if (w->config->kind == CONFIG_WAY_SMTP)
        note_unanswered_locked(w, m->id, unanswered, settled);
    pthread_mutex_unlock(&w->lock);
}

static enum err_code left_alone(const struct way *w, struct err *e)
{
    int64_t until = atomic_load(&w->not_before_ms), now = clock_mono_ms(w->clock);

    if (until <= now)
        return ERR_OK;
    (void)err_set(e, ERR_THROTTLED, "%s wants to be left alone for %lld s more", w->words,
                  (long long)((until - now + SECOND_MS - 1) / SECOND_MS));
    if (e)
        e->retry_ms = until - now;
    return ERR_THROTTLED;
}

enum err_code way_send(struct way *w, const struct way_mail *m, struct mail_result *results,
                       struct err *e)
{
    struct err why = {0};
    enum err_code code = left_alone(w, &why);
    struct mail_server server;

    if (code) {
        mail_results_set(results, m->n, MAIL_RETRY, false, why.text);
    } else if (w->config->kind == CONFIG_WAY_GRAPH) {
        const struct mail_graph graph = {.rest = w->rest,
                                         .token = w->token,
                                         .base_url = w->config->tenant->graph_url,
                                         .mailbox = w->config->mailbox};

        code = mail_graph_send(&graph, m->to, m->n, m->message, m->len, results, &why);
    } else if (w->config->kind == CONFIG_WAY_WEBHOOK) {
        code = post_gist(w, m, results, &why);
    } else {
        server = smtp_server(w, m->helper);
        server.answer_ms = m->answer_ms;
        code = mail_send(&server, w->rest, m->from, m->to, m->n, m->message, m->len, results, &why);
        if (code == ERR_DENIED)
            forget_token(w);
    }
    note_results(w, m, results);
    if (!code && !was_answered(results, m->n))
        code = err_set(&why, ERR_AGAIN, "%s", results[0].text);
    if (code == ERR_THROTTLED || (code == ERR_AGAIN && why.retry_ms)) {
        int64_t wait = why.retry_ms ? why.retry_ms : THROTTLED_MS;

        why.retry_ms = wait;
        atomic_store(&w->not_before_ms, clock_mono_ms(w->clock) + wait);
    }
    if (code && e)
        *e = why;
    return code;
}

static enum err_code probe_graph(struct way *w, char ret_what[160], struct err *e)
{
    AUTO(json_freep) struct json *claims = NULL;
    enum err_code code = token_claims(w->token, &claims, e);

    if (code)
        return code;
    if (!token_claims_have_role(claims, MAIL_GRAPH_ROLE))
        return err_set(e, ERR_FORBIDDEN,
                       "the application has not the permission Microsoft Graph " MAIL_GRAPH_ROLE);
    (void)snprintf(ret_what, 160, "the token may send (" MAIL_GRAPH_ROLE ")");
    return ERR_OK;
}

enum err_code way_probe(struct way *w, const char *from, const char *helper, char ret_what[160],
                        struct err *e)
{
    struct mail_server server = smtp_server(w, helper);

    switch (w->config->kind) {
    case CONFIG_WAY_GRAPH:
        return probe_graph(w, ret_what, e);
    case CONFIG_WAY_WEBHOOK:
        (void)snprintf(ret_what, 160, "to ask would be to post");
        return ERR_OK;
    case CONFIG_WAY_SMTP:
        break;
    }
    return mail_probe(&server, w->rest, from, ret_what, e);
}
