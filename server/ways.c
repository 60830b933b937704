/* ways.c - see ways.h. */
#include "ways.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "notice_system.h"
#include "store_notices.h"

/* RFC 5321 section 4.5.3.2.6: so long a server may take over a message that has left whole. One that takes longer than a mail
 * usually gets (a content filter, say) has it all the same, and would get it again with each try. So what was not
 * answered is waited for the next time: one at a time, for those that come after it wait for the others' threads, and not
 * past the time at which the next way may be used, or at which what is parked behind it may follow (sent_fn of notice.c). */
#define ANSWER_MS (10 * MINUTE_MS)

static const struct way_record *record_of(const struct way_record *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

static int64_t after_of(const struct runtime *rt)
{
    return rt->config->mail.fallback_after_ms ? rt->config->mail.fallback_after_ms
                                              : CONFIG_FALLBACK_AFTER_MS;
}

/* The way of this name in the configuration in force: a mail's, or a webhook's. */
static struct way *find(struct runtime *rt, const char *name)
{
    for (size_t i = 0; i < rt->config->mail.n_ways; i++)
        if (strcmp(way_name(rt->ways[i]), name) == 0)
            return rt->ways[i];
    for (size_t i = 0; i < rt->config->n_webhooks; i++)
        if (strcmp(way_name(rt->posts[i]), name) == 0)
            return rt->posts[i];
    return NULL;
}

/* ---- sending ---------------------------------------------------------------------------------- */

struct pending {
    const char *to[MAIL_RECIPIENTS_MAX];
    size_t at[MAIL_RECIPIENTS_MAX]; /* place in the caller's list */
    size_t n;
    /* by that place: a way may take it yet that fails now */
    bool open[MAIL_RECIPIENTS_MAX];
};

static void leave_open(struct pending *p)
{
    for (size_t i = 0; i < p->n; i++)
        p->open[p->at[i]] = true;
}

/* Those of p who have not got it yet. */
static void keep_waiting(struct pending *p, const struct mail_result *results)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n; i++)
        if (results[p->at[i]].fate == MAIL_RETRY) {
            p->to[n] = p->to[i];
            p->at[n++] = p->at[i];
        }
    p->n = n;
}

/* Refused for good by this way for everybody, and nobody else is to be told: the next way is the last hope. */
static bool is_lost(const struct way_mail *m, const struct mail_result *results)
{
    for (size_t i = 0; i < m->n; i++)
        if (results[i].fate != MAIL_REFUSED)
            return false;
    return m->nobody_else;
}

/* Nobody would be told, and a way before the one that refused it for good only fails: it waits for that. */
static void keep_open(const struct pending *p, const struct way_mail *m,
                      struct mail_result *results)
{
    for (size_t i = 0; i < m->n && m->nobody_else; i++)
        if (p->open[i] && results[i].fate == MAIL_REFUSED)
            results[i].fate = MAIL_RETRY;
}

/* How long m may wait for its answer at this way; 0: as long as any. room_ms: for which it holds up nothing. What is not 0
 * is to be given back: g->patient. */
static int64_t be_patient(struct engine *g, struct way *way, const struct way_mail *m,
                          int64_t room_ms)
{
    int64_t wait = room_ms < ANSWER_MS ? room_ms : ANSWER_MS, nobody = 0;

    return wait > MAIL_TIMEOUT_MS && way_was_unanswered(way, m->id) &&
                   atomic_compare_exchange_strong(&g->patient, &nobody, m->id)
               ? wait
               : 0;
}

/* A message that is too long for a way was refused without it: whether it works nobody knows. */
static bool is_unasked(enum err_code code, const struct mail_result *sent)
{
    return code == ERR_TOO_BIG && sent[0].fate == MAIL_REFUSED;
}

/* One way, for all that wait. False: it failed, whatever single recipients came to. */
static bool try_way(struct engine *g, struct way *way, const struct way_mail *m, struct pending *p,
                    int64_t room_ms, struct mail_result *results, struct ways_sent *ret)
{
    struct mail_result sent[MAIL_RECIPIENTS_MAX];
    struct way_mail mine = *m;
    struct err e = {0};
    enum err_code code;
    size_t t = ret->n++;

    mine.to = p->to;
    mine.n = p->n;
    mine.answer_ms = be_patient(g, way, m, room_ms);
    code = way_send(way, &mine, sent, &e);
    if (mine.answer_ms)
        atomic_store(&g->patient, 0);
    for (size_t i = 0; i < p->n; i++)
        results[p->at[i]] = sent[i];
    ret->tries[t].name = way_name(way);
    ret->tries[t].words = way_words(way);
    ret->tries[t].ok = !code;
    ret->tries[t].let_in = code && sent[0].for_all;
    ret->tries[t].alone =
        is_unasked(code, sent) ||
        ((code == ERR_REFUSED || ret->tries[t].let_in) && way_takes_others(way, m->id));
    (void)snprintf(ret->tries[t].why, sizeof ret->tries[t].why, "%s", code ? e.text : "");
    /* How long one wants to be left alone is no reason for another to wait. */
    if (!t || e.retry_ms < ret->retry_ms)
        ret->retry_ms = e.retry_ms;
    if (!ret->tries[t].alone)
        (void)health_note(g->health, way_name(way), NULL, !code, e.text);
    if (code)
        log_event(LOG_WARN, "mail_failed", LOG_ID("case", m->case_id), LOG_ID("notice", m->id),
                  LOG_STR("way", way_name(way)), LOG_ERR(&e));
    return !code;
}

void ways_send(struct engine *g, struct runtime *rt, struct way *const *ways, size_t n,
               const struct way_mail *m, int64_t created, struct mail_result *results,
               struct ways_sent *ret)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    int64_t now = clock_wall_ms(g->clock), after = after_of(rt);
    struct way_record *known = NULL;
    size_t n_known = 0;
    struct pending p = {.n = m->n};
    struct err e;

    *ret = (struct ways_sent){0};
    mail_results_set(results, m->n, MAIL_RETRY, false, "not tried");
    for (size_t i = 0; i < m->n; i++) {
        p.to[i] = m->to[i];
        p.at[i] = i;
    }
    /* Not to know is no reason to keep a notice: then the first way is tried. */
    if (arena && store_way_list(g->store, arena, &known, &n_known, &e))
        log_event(LOG_WARN, "ways_unreadable", LOG_ERR(&e));
    for (size_t i = 0; i < n && p.n && ret->n < CONFIG_WAYS_MAX; i++) {
        const struct way_record *r = record_of(known, n_known, way_name(ways[i]));
        int64_t since = r && r->failing && r->failing < created ? r->failing : created;
        bool last = i + 1 == n, worked;
        int64_t due;

        /* It failed for so long, and is asked by itself whether it works. */
        if (!last && r && r->failing && now - r->failing >= after &&
            way_can_be_probed(ways[i], r->let_in)) {
            leave_open(&p);
            continue;
        }
        due = engine_late_due(now, last ? now + ANSWER_MS : since + after, created);
        worked = try_way(g, ways[i], m, &p, due - now, results, ret);
        now = clock_wall_ms(g->clock); /* a minute later, or ten: the next way may be used by now */
        if (!last && is_lost(m, results)) {
            log_event(LOG_WARN, "mail_refused", LOG_ID("case", m->case_id), LOG_ID("notice", m->id),
                      LOG_STR("way", way_name(ways[i])), LOG_STR("why", results[0].text));
            continue;
        }
        keep_waiting(&p, results);
        leave_open(&p);
        /* Where the way works and only somebody's server is slow, the notice itself must be that old. */
        if (worked)
            since = created;
        if (p.n && !last && now - since < after) {
            ret->by = since + after;
            break;
        }
    }
    keep_open(&p, m, results);
}

/* ---- what is known of them --------------------------------------------------------------------- */

/* Whom a notice about a way is for. */
struct audience {
    bool stuck; /* none of the ways of mails works: by itself it could only be told late */
    bool mail, post;
};

static const char *about_way(struct arena *arena, const char *name)
{
    return arena_fmt(arena, "way:%s", name);
}

/* Mails leave again: do webhooks know that they did not? since: when people were told of that. */
static enum err_code was_posted(struct db_tx *tx, struct runtime *rt, struct arena *arena,
                                int64_t since, bool *ret, struct err *e)
{
    enum err_code code = ERR_OK;

    *ret = false;
    for (size_t i = 0; i < rt->config->mail.n_ways && !*ret && !code; i++) {
        const char *about = about_way(arena, way_name(rt->ways[i]));

        code = about ? notice_was_posted(tx, about, NULL, since, ret, e)
                     : err_set(e, ERR_NOMEM, "notice");
    }
    return code;
}

static enum err_code find_audience(struct db_tx *tx, struct runtime *rt, struct arena *arena,
                                   const struct way_record *r, bool back, struct audience *ret,
                                   struct err *e)
{
    const struct config *c = rt->config;
    bool posts = config_is_webhook_way(r->name), mailed = c->mail.server && c->mail.to.count;
    struct audience a = {.stuck = !posts && !back};
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < c->mail.n_ways && a.stuck && !code; i++)
        code = way_fails(tx, way_name(rt->ways[i]), &a.stuck, e);
    a.mail = mailed && (posts || back || c->mail.n_ways > 1);
    if (!mailed)
        a.post = c->n_webhooks > (posts && !back ? 1 : 0);
    else if (!posts && back && !code)
        code = was_posted(tx, rt, arena, r->told, &a.post, e);
    else
        a.post = a.stuck;
    a.post = a.post && c->n_webhooks;
    *ret = a;
    return code;
}

static enum err_code tell(struct db_tx *tx, struct engine *g, struct runtime *rt,
                          struct arena *arena, const struct way_record *r, const char *words,
                          bool back, int64_t now, struct err *e)
{
    char since[CLOCK_TEXT_SIZE];
    const struct notice_system_fact facts[] = {
        {"Way", words},
        {"Failing since", clock_format(r->failing, since)},
        {"Last failure", r->why},
    };
    bool posts = config_is_webhook_way(r->name);
    struct audience to;
    enum err_code code = find_audience(tx, rt, arena, r, back, &to, e);
    struct notice_system n = {
        .about = about_way(arena, r->name),
        .kind = back ? "way_works" : "way_fails",
        .good = back,
        .follows = back,
        .headline = back ? "A way out of notices works again" : "A way out of notices fails",
        .subject = back ? arena_fmt(arena, "notices leave by %s again", words)
                        : arena_fmt(arena, "notices do not leave by %s", words),
        .body =
            back
                ? "What waited for it is on its way. Where others took notices meanwhile, those are not "
                  "sent again."
            : posts
                ? "It has failed for as long as mail.fallback.after allows. Posts for it are kept and tried for "
                  "five days; a case that nobody but it was to hear of goes to mail.to then, or where nobody "
                  "can be mailed to the other webhooks. The last failure says what is wrong; another message "
                  "follows when it works again."
            : to.stuck
                ? "It has failed for as long as mail.fallback.after allows, and mails have no other way that works: they "
                  "are kept and tried for five days. The last failure says what is wrong; `cordon doctor` "
                  "asks it once more, without a mail. Another message follows when it works again."
                : "It has failed for as long as mail.fallback.after allows. Notices that were for it go "
                  "by the next way of mail.fallback.ways, where there is one. What has "
                  "none is kept and tried for five days. The last failure says what is wrong; `cordon doctor` "
                  "asks it once more, without a mail. Another message follows when it works again.",
        .facts = facts,
        .n_facts = sizeof facts / sizeof *facts,
    };

    if (!code && (!n.about || !n.subject))
        code = err_set(e, ERR_NOMEM, "notice");
    if (!code && to.mail)
        code = notice_system_put(tx, g, rt, arena, &n, now, e);
    n.posted = true;
    return code || !to.post ? code : notice_system_put(tx, g, rt, arena, &n, now, e);
}

/* It works: the end of its failing, where it did. */
static enum err_code note_worked(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                 struct arena *arena, const char *name, const char *words,
                                 int64_t now, struct err *e)
{
    struct way_record before;
    enum err_code code = way_worked(tx, arena, name, &before, e);

    if (code || !before.failing)
        return code;
    code = notices_hurry(tx, now, e);
    if (!code && before.told)
        code = tell(tx, g, rt, arena, &before, words, true, now, e);
    return code;
}

enum err_code ways_note(struct db_tx *tx, struct engine *g, struct runtime *rt, struct arena *arena,
                        const struct ways_sent *s, int64_t now, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < s->n && !code; i++)
        code =
            s->tries[i].alone ? ERR_OK
            : s->tries[i].ok
                ? note_worked(tx, g, rt, arena, s->tries[i].name, s->tries[i].words, now, e)
                : way_failed(tx, s->tries[i].name, s->tries[i].why,
                             s->tries[i].let_in ? s->tries[i].words : NULL, after_of(rt), now, e);
    return code;
}

enum err_code ways_watch(struct engine *g, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct way_record *list;
    size_t n = 0;
    enum err_code code =
        arena ? store_way_list(g->store, arena, &list, &n, e) : err_set(e, ERR_NOMEM, "ways");

    for (size_t i = 0; i < n && !code; i++)
        if (list[i].failing && find(rt, list[i].name))
            (void)health_note(g->health, list[i].name, NULL, false, list[i].why);
    return code;
}

/* ---- a look ----------------------------------------------------------------------------------- */

struct look {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    struct work *w;
    struct way_record r;
    struct way *way; /* NULL: it is not configured any more */
    bool works;
    char why[ERR_TEXT_SIZE];
    int64_t now;
};

static enum err_code load_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct look *l = arg;

    return way_load(tx, l->arena, l->w->id, &l->r, e);
}

/* A claim that another worker's first failure took over ends with ERR_STALE, and nothing is written. */
static enum err_code look_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct look *l = arg;
    struct way_record unused;
    enum err_code code = way_load(tx, l->arena, l->w->id, &l->r, e);

    if (code == ERR_NOT_FOUND)
        return work_done(tx, l->w, e);
    if (code)
        return code;
    if (!l->r.failing || !l->way) {
        code = l->way ? ERR_OK : way_worked(tx, l->arena, l->r.name, &unused, e);
        return code ? code : work_done(tx, l->w, e);
    }
    /* A mail may have been let in and not taken meanwhile: that tells more than a login. */
    if (l->works && way_can_be_probed(l->way, l->r.let_in)) {
        code = note_worked(tx, l->g, l->rt, l->arena, l->r.name, way_words(l->way), l->now, e);
        return code ? code : work_done(tx, l->w, e);
    }
    if (l->why[0])
        code = way_failed(tx, l->r.name, l->why, NULL, 0, l->now, e);
    if (!code && !l->r.told && l->now - l->r.failing >= after_of(l->rt)) {
        code = tell(tx, l->g, l->rt, l->arena, &l->r, way_words(l->way), false, l->now, e);
        if (!code)
            code = way_told(tx, l->r.id, l->now, e);
    }
    return code ? code : work_again(tx, l->w, l->now + WAYS_LOOK_MS, 0, e);
}

void ways_run(struct engine *g, struct work *w)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct look l = {.g = g, .rt = rt, .arena = arena, .w = w};
    struct err e = {0};
    enum err_code code =
        arena ? db_read(g->store->db, load_fn, &l, &e) : err_set(&e, ERR_NOMEM, "ways");
    char what[160];

    if (!code)
        l.way = find(rt, l.r.name);
    if (!code && l.way && l.r.failing && way_can_be_probed(l.way, l.r.let_in)) {
        l.works = !way_probe(l.way, rt->config->mail.from, g->mail_helper, what, &e);
        if (!l.works)
            (void)snprintf(l.why, sizeof l.why, "%s", e.text);
        (void)health_note(g->health, l.r.name, NULL, l.works, e.text);
    }
    l.now = clock_wall_ms(g->clock);
    if (!code || code == ERR_NOT_FOUND)
        code = db_write(g->store->db, look_fn, &l, &e);
    if (code) {
        log_event(code == ERR_STALE ? LOG_INFO : LOG_ERROR, "way_not_written",
                  LOG_ID("work", w->id), LOG_ERR(&e));
        engine_retry(g, w);
        return;
    }
    engine_kick(g);
}
