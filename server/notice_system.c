/* notice_system.c - see notice_system.h. */
#include "notice_system.h"

#include <stdlib.h>

#include "channel.h"
#include "id.h"
#include "letter.h"
#include "log.h"
#include "pause.h"

static void compose(struct letter *l, struct arena *arena, const struct notice_system *n,
                    const struct pause *pause)
{
    letter_begin(l, arena, n->headline, n->good ? LETTER_GREEN : LETTER_RED);
    if (pause->on)
        letter_paused(l, pause_words(pause, arena), pause_end(pause), NULL);
    letter_paragraph(l, n->body);
    letter_table_begin(l);
    for (size_t i = 0; i < n->n_facts; i++)
        letter_fact(l, n->facts[i].name, n->facts[i].value);
    letter_table_end(l);
}

/* A post has room for so many rows: the first of them, how many are left out, and the last, which sum up. */
#define ROWS_POSTED  12
#define ROWS_SUMMING 3

/* out: ROWS_POSTED of them. How many there are. */
static size_t rows_posted(const struct notice_system *n, struct arena *arena, struct post_fact *out)
{
    size_t left_out = n->n_facts > ROWS_POSTED ? n->n_facts - ROWS_POSTED + 1 : 0, count = 0;

    for (size_t i = 0; i < n->n_facts; i++) {
        const struct notice_system_fact *f = &n->facts[i];

        out[count++] = (struct post_fact){f->name, f->value};
        if (left_out && count == ROWS_POSTED - ROWS_SUMMING - 1) {
            out[count++] = (struct post_fact){
                "And", arena_fmt(arena, "%zu more rows, for which a post has no room", left_out)};
            i += left_out;
        }
    }
    return count;
}

/* Nobody can be mailed, or not by what it is about. */
static enum err_code post_it(struct db_tx *tx, struct engine *g, struct runtime *rt,
                             struct arena *arena, const struct notice_system *n,
                             const char *subject, int64_t now, struct err *e)
{
    struct post_fact facts[ROWS_POSTED];
    const struct post p = {.kind = n->kind,
                           .subject = subject,
                           .headline = n->headline,
                           .bad = !n->good,
                           .next = n->body,
                           .facts = facts,
                           .n_facts = rows_posted(n, arena, facts)};

    return channels_announce(tx, g, rt, n->about, &p, now, e);
}

void notice_system_log(const struct notice_system *n)
{
    log_event(n->good ? LOG_INFO : LOG_WARN, n->kind, LOG_STR("about", n->about),
              LOG_STR("why", n->subject));
}

enum err_code notice_system_put(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                struct arena *arena, const struct notice_system *n, int64_t now,
                                struct err *e)
{
    const struct config_mail *mail = &rt->config->mail;
    const struct mime_header headers[] = {{"X-Cordon-About", n->about},
                                          {"X-Cordon-State", n->kind}};
    const bool usual = mail->to.count || !n->n_to;
    struct letter_post post = {.to = usual ? (const char *const *)mail->to.items : n->to,
                               .n_to = usual ? mail->to.count : n->n_to,
                               .headers = headers,
                               .n_headers = sizeof headers / sizeof *headers};
    struct notice_record r = {.about = n->about, .kind = n->kind, .sender = mail->from};
    int64_t same, same_created, created;
    struct pause pause;
    struct letter l;
    enum err_code code = notice_last(tx, n->about, n->kind, &same, &same_created, e);

    if (!code)
        code = pause_read(tx, rt, arena, &pause, e);
    if (!code)
        code = notice_last(tx, n->about, NULL, &r.after, &created, e);
    /* One of a time that is long to come says nothing: the clock was ahead then, and set back. */
    if (code || (same && llabs((long long)(now - same_created)) < n->not_within))
        return code;
    if (!n->logged_after)
        notice_system_log(n);
    r.subject = arena_fmt(arena, "[CORDON] %s", n->subject);
    if (!r.subject)
        return err_set(e, ERR_NOMEM, "notice");
    if (n->posted || !mail->server || !post.n_to) {
        if (rt->config->n_webhooks)
            return post_it(tx, g, rt, arena, n, r.subject, now, e);
        log_event(LOG_WARN, "nobody_told", LOG_STR("about", n->about), LOG_STR("kind", n->kind),
                  LOG_STR("why", n->subject));
        return ERR_OK;
    }
    r.id = id_new_after(g->clock, r.after);
    post.root = post.answers_to = n->follows ? r.after : 0;
    compose(&l, arena, n, &pause);
    code = letter_put(tx, &l, &post, &r, now, e);
    letter_clear(&l);
    return code;
}

enum err_code notice_system_turn(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                 struct arena *arena, const struct notice_system *n,
                                 const char *fails, int64_t now, struct err *e)
{
    int64_t bad = 1, good = 0, created;
    enum err_code code = ERR_OK;

    if (n->good)
        code = notice_last(tx, n->about, fails, &bad, &created, e);
    if (!code && n->good)
        code = notice_last(tx, n->about, n->kind, &good, &created, e);
    return code || bad <= good ? code : notice_system_put(tx, g, rt, arena, n, now, e);
}

struct tell {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    const struct notice_system *n;
};

static enum err_code tell_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct tell *t = arg;

    return notice_system_put(tx, t->g, t->rt, t->arena, t->n, clock_wall_ms(t->g->clock), e);
}

enum err_code notice_system_tell(struct engine *g, const struct notice_system *n, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct tell t = {.g = g, .rt = rt, .arena = arena, .n = n};
    enum err_code code;

    if (!arena)
        return err_set(e, ERR_NOMEM, "notice");
    code = db_write(g->store->db, tell_fn, &t, e);
    engine_kick(g);
    return code ? err_in(e, "tell about %s", n->about) : ERR_OK;
}
