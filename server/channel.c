/* channel.c - see channel.h. */
#include "channel.h"

#include <string.h>

#include "helpdesk.h"
#include "id.h"
#include "log.h"
#include "notice_letter.h"
#include "post.h"
#include "store_notices.h"
#include "utf8.h"

/* Bytes of a value in JSON of ours; the templates for people cut further. */
#define VALUE_MAX 2000
#define BODY_MAX  ((size_t)256 * 1024)

/* ---- a post ------------------------------------------------------------------------------------ */

static const char *short_text(struct arena *arena, const char *text)
{
    return utf8_short(arena, text, VALUE_MAX, " " UTF8_ELLIPSIS);
}

static enum err_code write_post(const struct config_webhook *w, const struct notice *n,
                                const struct runtime *rt, struct arena *arena, int64_t id,
                                int64_t now, const char **ret_subject, struct buf *out,
                                struct err *e)
{
    const struct json *alert = n->facts ? n->facts->alert : NULL;
    const char *machine = n->c->machine_id ? n->c->machine_id : n->c->pushed_machine_id;
    char case_id[ID_TEXT_SIZE];
    struct notice_gist gist;

    notice_gist(n, rt, arena, &gist);
    {
        const struct post_fact facts[] = {
            {"Machine", short_text(arena, gist.machine ? gist.machine : machine)},
            {"User",
             short_text(arena, json_get_string(json_get(alert, "relatedUser"), "userName"))},
            {"Alert", short_text(arena, json_get_string(alert, "title"))},
            {"Severity", json_get_string(alert, "severity")},
            {"Category", short_text(arena, json_get_string(alert, "category"))},
            {"Rule", n->c->rule},
            {"In doubt", short_text(arena, n->doubt)},
            {"Isolation", notice_isolation(n, arena)},
            {"Case", id_format(n->c->id, case_id)},
        };
        const struct post p = {
            .id = id,
            .case_id = n->c->id,
            .now = now,
            .kind = notice_kind_name(n->kind),
            .subject = gist.subject,
            .headline = gist.headline,
            .bad = gist.bad,
            .why = n->why ? arena_fmt(arena, "Why: %s", short_text(arena, n->why)) : NULL,
            .next = gist.next,
            .tenant = n->c->tenant,
            .alert_id = n->c->alert_id,
            .machine_id = machine,
            .facts = facts,
            .n_facts = sizeof facts / sizeof *facts,
            .link = gist.portal,
            .link_words = "Open the alert in the Defender portal",
        };

        if (!gist.subject || !gist.next)
            return err_set(e, ERR_NOMEM, "a post to a webhook");
        *ret_subject = gist.subject;
        return post_write(w->template, &p, out, e);
    }
}

/* One post to w. r: but for what is the same in all of them; body: of write_post's like. */
static enum err_code insert_post(struct db_tx *tx, const struct config_webhook *w,
                                 struct notice_record *r, const struct buf *body, int64_t now,
                                 struct err *e)
{
    struct recipient_record to = {.address = w->way};

    r->channel = w->way;
    r->sender = "cordon";
    r->recipients = &to;
    r->n_recipients = 1;
    r->message = buf_text(body);
    return notice_insert(tx, r, now, e);
}

/* By what is known that it was said: of one question after the other the brackets say the same. */
static const char *said_in_post(const struct notice *n, struct arena *arena)
{
    char id[ID_TEXT_SIZE];

    return n->question ? arena_fmt(arena, "question %s", id_format(n->question->id, id))
                       : notice_said_alone(n, arena);
}

static enum err_code put_post(struct db_tx *tx, struct engine *g, struct runtime *rt,
                              struct arena *arena, const struct notice *n,
                              const struct config_webhook *w, int64_t after, int64_t now,
                              struct err *e)
{
    AUTO(buf_clear) struct buf body = BUF_INIT(BODY_MAX);
    struct notice_record r = {.id = id_new_after(g->clock, after),
                              .case_id = n->c->id,
                              .after = after,
                              .kind = notice_kind_name(n->kind),
                              .said = said_in_post(n, arena)};
    struct notice mine = *n;
    enum err_code code;

    notice_look_beside(tx, arena, &mine);
    code = write_post(w, &mine, rt, arena, r.id, now, &r.subject, &body, e);
    if (!code && !r.said)
        code = err_set(e, ERR_NOMEM, "a post to a webhook");
    return code ? code : insert_post(tx, w, &r, &body, now, e);
}

enum err_code channels_announce(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                const char *about, const struct post *p, int64_t now, struct err *e)
{
    int64_t last, created;
    enum err_code code = notice_last(tx, about, NULL, &last, &created, e);

    for (size_t i = 0; i < rt->config->n_webhooks && !code; i++) {
        const struct config_webhook *w = &rt->config->webhooks[i];
        AUTO(buf_clear) struct buf body = BUF_INIT(BODY_MAX);
        struct notice_record r = {.id = id_new_after(g->clock, last),
                                  .about = about,
                                  .kind = p->kind,
                                  .subject = p->subject};
        struct post mine = *p;

        mine.id = r.id;
        mine.now = now;
        code = post_write(w->template, &mine, &body, e);
        if (!code)
            code = insert_post(tx, w, &r, &body, now, e);
    }
    return code;
}

/* How the case stands, or a question: said once. A review is asked for again and again. */
static bool is_state(enum notice_kind kind)
{
    return kind == NOTICE_ALERT || kind == NOTICE_REQUESTED || kind == NOTICE_ISOLATED ||
           kind == NOTICE_NOT_ISOLATED || kind == NOTICE_RELEASED || kind == NOTICE_ACTION_FAILED ||
           kind == NOTICE_QUESTION;
}

/* What was tried again may come to nothing again, for another reason: that is news. What became of another step meanwhile makes
 * no news of how the case stands. */
static bool is_known(const struct notice_spoken *s, const struct notice *n, struct arena *arena)
{
    bool step = n->kind == NOTICE_ACTION_DONE || n->kind == NOTICE_ACTION_FAILED;
    const char *kind = step ? s->kind : s->kind_of_case, *before = step ? s->said : s->said_of_case;
    const char *said = before ? said_in_post(n, arena) : NULL;

    return kind && is_state(n->kind) && strcmp(kind, notice_kind_name(n->kind)) == 0 &&
           (!said || strcmp(before, said) == 0);
}

/* Does the webhook know n, and will its post reach it? *spoken: what it was told last. Of what came of a step it is asked by its own
 * words, for another step may have come to something since. */
static enum err_code find_known(struct db_tx *tx, struct arena *arena, const struct notice *n,
                                const struct config_webhook *w, struct notice_spoken *spoken,
                                bool *ret_known, bool *ret_failed, struct err *e)
{
    const char *kind = notice_kind_name(n->kind), *said = said_in_post(n, arena);
    const bool step = notice_is_of_step(kind);
    enum err_code code = notice_channel(tx, arena, n->c->id, w->way, spoken, e);

    if (code)
        return code;
    if (!said)
        return err_set(e, ERR_NOMEM, "a post to a webhook");
    *ret_known = is_known(spoken, n, arena);
    *ret_failed = step ? spoken->failed : spoken->failed_of_case;
    return step && n->since ? notice_channel_step(tx, n->c->id, w->way, kind, said, n->since,
                                                  ret_known, ret_failed, e)
                            : ERR_OK;
}

static const char *no_webhook(struct arena *arena, const char *name)
{
    const char *why = arena_fmt(arena, "there is no webhook '%.60s' any more", name);

    return why ? why : "there is no such webhook any more";
}

/* Says n to one webhook, unless it knows that. */
static enum err_code tell_webhook(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                  struct arena *arena, const struct notice *n, const char *name,
                                  int64_t now, struct err *e)
{
    const struct config_webhook *w = config_webhook(rt->config, name);
    struct notice_spoken spoken;
    bool known, failed;
    enum err_code code;

    if (!w) {
        log_event(LOG_WARN, "nobody_told", LOG_ID("case", n->c->id),
                  LOG_STR("kind", notice_kind_name(n->kind)), LOG_STR("webhook", name),
                  LOG_STR("why", no_webhook(arena, name)));
        return ERR_OK;
    }
    code = find_known(tx, arena, n, w, &spoken, &known, &failed, e);
    if (code || known)
        return code;
    return put_post(tx, g, rt, arena, n, w, spoken.last, now, e);
}

/* ---- the channels of a case -------------------------------------------------------------------- */

struct channels {
    const char *webhooks
        [16]; /* more steps of one rule than anybody writes: the rest hears of their own step alone */
    size_t n;
    const char **desk; /* addresses of the helpdesk; NULL: no step wrote to it */
    size_t n_desk;
};

static bool has(const struct channels *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->webhooks[i], name) == 0)
            return true;
    return false;
}

/* A webhook step: by its name. False: no memory. */
static bool add_webhook(struct channels *c, struct arena *arena, const struct json *args)
{
    const char *to = json_get_string(args, "to");

    if (!to || has(c, to) || c->n == sizeof c->webhooks / sizeof *c->webhooks)
        return true;
    c->webhooks[c->n] = arena_str(arena, to);
    return c->webhooks[c->n++] != NULL;
}

/* An email step for the helpdesk, of which there may be several: whom it names, else the configured one. False: no
 * memory. */
static bool add_desk(struct channels *c, const struct config *config, struct arena *arena,
                     const struct json *args)
{
    const char *audience = json_get_string(args, "audience");
    const struct json *to = json_get(args, "to");
    const struct text_list *usual = &config->mail.desk_to;
    size_t count = json_count(to);
    const char **all;

    if (!audience || strcmp(audience, "desk") != 0)
        return true;
    all = arena_array(arena, c->n_desk + (count ? count : usual->count) + 1, sizeof *all);
    if (!all)
        return false;
    for (size_t i = 0; i < c->n_desk; i++)
        all[i] = c->desk[i];
    c->desk = all;
    for (size_t i = 0; i < usual->count && !count; i++)
        all[c->n_desk++] = usual->items[i];
    JSON_EACH (address, to)
        if (json_string(address) && !(all[c->n_desk++] = arena_str(arena, json_string(address))))
            return false;
    return true;
}

/* Where nobody could be mailed, or no mail reached anybody, webhooks were told what no step of the case had told: they hear on. */
static enum err_code add_who_heard(struct db_tx *tx, const struct config *config,
                                   struct arena *arena, int64_t case_id, struct channels *c,
                                   struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < config->n_webhooks && !code; i++) {
        const struct config_webhook *w = &config->webhooks[i];
        struct notice_spoken spoken = {0};

        if (has(c, w->name) || c->n == sizeof c->webhooks / sizeof *c->webhooks)
            continue;
        code = notice_channel(tx, arena, case_id, w->way, &spoken, e);
        if (spoken.last)
            c->webhooks[c->n++] = w->name;
    }
    return code;
}

/* Those that a step of the case has opened. */
static enum err_code load(struct db_tx *tx, const struct config *config, struct arena *arena,
                          int64_t case_id, struct channels *ret, struct err *e)
{
    struct step_record *steps;
    size_t n;
    enum err_code code = case_steps(tx, arena, case_id, &steps, &n, e);

    *ret = (struct channels){0};
    for (size_t i = 0; i < n && !code; i++) {
        AUTO(json_freep) struct json *args = NULL;
        bool webhook = strcmp(steps[i].handler, "webhook") == 0;

        if (steps[i].state != STEP_DONE || (!webhook && strcmp(steps[i].handler, "email") != 0) ||
            json_parse(steps[i].args, strlen(steps[i].args), &args, NULL))
            continue;
        if (webhook ? !add_webhook(ret, arena, args) : !add_desk(ret, config, arena, args))
            code = err_set(e, ERR_NOMEM, "channels");
    }
    if (!code)
        code = add_who_heard(tx, config, arena, case_id, ret, e);
    return code;
}

/* What an address heard last; NULL: nothing. */
static const char *last_heard(const struct notice_heard *list, size_t n, const char *address)
{
    while (n-- > 0)
        if (strcmp(list[n].address, address) == 0)
            return list[n].kind;
    return NULL;
}

/* Says n to those of the helpdesk for whom it is news. begins: by a step of its own, which for whom it names is the first that
 * he hears. */
static enum err_code tell_desk(struct db_tx *tx, struct engine *g, struct runtime *rt,
                               struct arena *arena, const struct notice *n, const char *const *to,
                               size_t n_to, bool begins, int64_t now, struct err *e)
{
    const char **news = arena_array(arena, n_to + 1, sizeof *news), *kind;
    struct notice mine = *n;
    struct notice_spoken spoken;
    struct notice_heard *heard;
    size_t n_heard = 0, n_news = 0;
    enum err_code code = news ? notice_channel(tx, arena, n->c->id, HELPDESK_CHANNEL, &spoken, e)
                              : err_set(e, ERR_NOMEM, "helpdesk");

    if (!code)
        code = notice_channel_heard(tx, arena, n->c->id, HELPDESK_CHANNEL, &heard, &n_heard, e);
    notice_look_beside(tx, arena, &mine);
    kind = notice_kind_name(notice_is_isolated_beside(&mine) ? NOTICE_ISOLATED : n->kind);
    for (size_t i = 0; i < n_to && !code; i++) {
        const char *last = last_heard(heard, n_heard, to[i]);

        if (helpdesk_cares(n->kind, last || (spoken.kind && !begins)) &&
            (!last || strcmp(last, kind) != 0))
            news[n_news++] = to[i];
    }
    if (code || (n_to && !n_news))
        return code;
    if (!n_to && (!helpdesk_cares(n->kind, spoken.kind != NULL)))
        return ERR_OK;
    return helpdesk_put(tx, g, rt, arena, &mine, news, n_news, spoken.first, spoken.last, now, e);
}

static bool is_way_of(const char *channel, const char *webhook)
{
    return config_is_webhook_way(channel) &&
           strcmp(channel + strlen(CONFIG_WEBHOOK_WAY), webhook) == 0;
}

/* only: as of channels_settle. */
static enum err_code tell_all(struct db_tx *tx, struct engine *g, struct runtime *rt,
                              struct arena *arena, const struct notice *n, const struct channels *c,
                              const char *only, int64_t now, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < c->n && !code; i++)
        if (!only || is_way_of(only, c->webhooks[i]))
            code = tell_webhook(tx, g, rt, arena, n, c->webhooks[i], now, e);
    if (!code && c->desk && (!only || strcmp(only, HELPDESK_CHANNEL) == 0))
        code = tell_desk(tx, g, rt, arena, n, c->desk, c->n_desk, false, now, e);
    return code;
}

enum err_code channel_step(struct db_tx *tx, struct engine *g, struct runtime *rt,
                           struct arena *arena, const struct notice *n, int64_t now, struct err *e)
{
    const char *nobody = n->desk                                  ? helpdesk_nobody(rt, n->n_to)
                         : config_webhook(rt->config, n->webhook) ? NULL
                                                                  : no_webhook(arena, n->webhook);
    struct case_record c = *n->c;
    enum err_code code;

    if (n->ret_nobody)
        *n->ret_nobody = nobody;
    if (n->desk) /* it judges nothing: what those know who do stays what it was */
        return tell_desk(tx, g, rt, arena, n, n->to, n->n_to, true, now, e);
    code = tell_webhook(tx, g, rt, arena, n, n->webhook, now, e);
    return code || nobody || c.told ? code : case_told(tx, &c, notice_kind_name(n->kind), e);
}

enum err_code channels_tell(struct db_tx *tx, struct engine *g, struct runtime *rt,
                            struct arena *arena, const struct notice *n, int64_t now,
                            bool *ret_posted, bool *ret_enough, struct err *e)
{
    struct notice_thread thread = {0};
    struct notice_gist gist;
    struct channels c;
    enum err_code code = load(tx, rt->config, arena, n->c->id, &c, e);

    *ret_posted = *ret_enough = false;
    if (!code)
        code = tell_all(tx, g, rt, arena, n, &c, NULL, now, e);
    for (size_t i = 0; i < c.n; i++) /* one that is not configured any more hears nothing */
        *ret_posted = *ret_posted || config_webhook(rt->config, c.webhooks[i]);
    if (code || !*ret_posted)
        return code;
    code = notice_thread(tx, arena, n->c->id, "", &thread, e);
    notice_gist(n, rt, arena, &gist);
    /* The link to a package is a secret, and in mails alone. */
    *ret_enough = !thread.last_of_case && !gist.bad && !n->link;
    return code;
}

enum err_code channels_instead(struct db_tx *tx, struct engine *g, struct runtime *rt,
                               struct arena *arena, const struct notice *n, bool first, int64_t now,
                               bool *ret_posted, struct err *e)
{
    const struct config *config = rt->config;
    enum err_code code = ERR_OK;

    *ret_posted = false;
    for (size_t i = 0; i < config->n_webhooks && !code; i++) {
        const struct config_webhook *w = &config->webhooks[i];
        struct notice_spoken spoken = {0};
        bool known = false, failed = false;

        code = find_known(tx, arena, n, w, &spoken, &known, &failed, e);
        if (code || (first && spoken.last))
            continue;
        code = tell_webhook(tx, g, rt, arena, n, w->name, now, e);
        *ret_posted = *ret_posted || !failed || !known;
    }
    return code;
}

static bool is_among(const char *address, const char *const *to, size_t n_to)
{
    for (size_t i = 0; i < n_to; i++)
        if (strcmp(to[i], address) == 0)
            return true;
    return false;
}

/* The others of the helpdesk hear of it by another case. If it is another helpdesk by now, it is for all of that. */
static void keep_some(struct channels *c, const char *const *to, size_t n_to)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_desk; i++)
        if (is_among(c->desk[i], to, n_to))
            c->desk[n++] = c->desk[i];
    if (n)
        c->n_desk = n;
}

enum err_code channels_settle(struct db_tx *tx, struct engine *g, struct runtime *rt,
                              struct arena *arena, const struct notice *n, const char *only,
                              int64_t now, struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    struct notice mine = *n;
    struct facts facts;
    struct channels c;
    enum err_code code = load(tx, rt->config, arena, n->c->id, &c, e);

    if (!code && only)
        keep_some(&c, n->to, n->n_to);
    if (code || (!c.n && !c.desk))
        return code;
    mine.n_to = 0;
    if (!mine.facts && n->c->facts && !json_parse(n->c->facts, strlen(n->c->facts), &doc, NULL) &&
        !facts_read(doc, &facts, NULL))
        mine.facts = &facts;
    return tell_all(tx, g, rt, arena, &mine, &c, only, now, e);
}
