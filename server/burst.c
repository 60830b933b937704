/* burst.c - see burst.h.
 *
 * A digest is one notice without a case; the notices in it become "grouped" in the transaction that makes it, so a kill
 * finds them held or told, never neither. How a case stands is looked up when the digest is made: what was held
 * may be old news by then.
 */
#include "burst.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "id.h"
#include "letter.h"
#include "log.h"
#include "notice_letter.h"
#include "pause.h"
#include "store_audit.h"
#include "store_bursts.h"

/* Cases of one digest; more of them make another at once. Its parts stay below MIME_PART_MAX. */
#define CASES_MAX 5000
/* Of those so many, the most urgent, have a row of the table: with more, Gmail cuts the mail (102 KB). The rest are
 * named in few words each. */
#define ROWS_MAX     100
#define NAME_MAX_LEN 60
#define COUNTS_MAX   12
/* Bytes of an audience: it stands in a key, and PostgreSQL's take 2,700 in all. */
#define AUDIENCE_MAX 1024
#define ABOUT_SIZE   (ID_TEXT_SIZE + 8)
/* The configuration has no mail any more: looked at again after so long, for a reload may bring it back. */
#define NO_MAIL_MS (5 * MINUTE_MS)

/* ---- the gate ----------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The same people in any order are the same audience; very many are named by a hash. NULL: out of memory. */
static const char *audience_of(struct arena *a, const char *const *to, size_t n)
{
    const char **sorted = arena_array(a, n + 1, sizeof *sorted);
    struct buf b = BUF_INIT(1 << 20);
    char hash[AUDIT_HASH_SIZE];
    const char *text;
    bool failed;

    if (!sorted)
        return NULL;
    memcpy(sorted, to, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_text);
    for (size_t i = 0; i < n; i++)
        if (!i || strcmp(sorted[i], sorted[i - 1]) != 0)
            buf_addf(&b, "%s ", sorted[i]);
    failed = buf_failed(&b) || (b.len > AUDIENCE_MAX && audit_sha256(buf_text(&b), hash, NULL));
    text = failed ? NULL : arena_str(a, b.len > AUDIENCE_MAX ? hash : buf_text(&b));
    buf_clear(&b);
    return text;
}

/* What a burst of it would be open under. */
static size_t names_of(struct arena *a, const struct config_group *group,
                       const struct case_record *c, const struct notice_record *r,
                       const char *names[CONFIG_GROUPS])
{
    const char *machine = c->machine_id ? c->machine_id : c->pushed_machine_id;
    size_t n = 0;

    if (group->by[CONFIG_GROUP_INCIDENT] && strstr(r->thread, " incident "))
        names[n++] = r->thread;
    if (group->by[CONFIG_GROUP_MACHINE] && machine)
        names[n++] = arena_fmt(a, "%s machine %s", c->tenant, machine);
    if (group->by[CONFIG_GROUP_RULE] && c->rule)
        names[n++] = arena_fmt(a, "%s rule %s", c->tenant, c->rule);
    for (size_t i = 0; i < n; i++)
        if (!names[i])
            return 0; /* out of memory: told at once */
    return n;
}

enum err_code burst_gate(struct db_tx *tx, struct engine *g, struct runtime *rt,
                         struct arena *arena, const struct case_record *c, struct notice_record *r,
                         const char *const *to, size_t n_to, int64_t now, struct err *e)
{
    const struct config_group *group = &rt->config->mail.group;
    const char *names[CONFIG_GROUPS], *audience;
    struct burst b;
    int64_t due;
    enum err_code code;
    size_t n = group->interval_ms ? names_of(arena, group, c, r, names) : 0;

    if (!n)
        return ERR_OK;
    audience = audience_of(arena, to, n_to);
    if (!audience)
        return err_set(e, ERR_NOMEM, "notice");
    code = burst_find(tx, names, n, audience, &b, e);
    if (code || (b.id && b.lead == c->id))
        return code;
    if (!b.id) {
        b = (struct burst){.id = id_new(g->clock), .lead = c->id, .first = r->id, .last = r->id};
        return burst_open(tx, &b, names, n, audience, now + group->interval_ms, now, e);
    }
    r->burst = b.id;
    due = now + group->wait_ms;
    if (b.mailed > now) /* the clock was set back */
        b.mailed = now;
    if (b.mailed && b.mailed + group->interval_ms > due)
        due = b.mailed + group->interval_ms;
    return burst_hold(tx, &b, due, e);
}

/* ---- the digest --------------------------------------------------------------------------------- */

/* What a digest is about: notices that are not stale, the most urgent first. */
struct crowd {
    struct arena *arena;
    const struct burst_notice **list;
    size_t n, n_cases;
};

static int by_urgency(const void *a, const void *b)
{
    const struct burst_notice *x = *(const struct burst_notice *const *)a;
    const struct burst_notice *y = *(const struct burst_notice *const *)b;
    int order = notice_urgency(y->kind) - notice_urgency(x->kind);

    if (!order)
        order = strcmp(x->said, y->said);
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

/* "NOT ISOLATED" of "NOT ISOLATED: why": what is counted together. */
static size_t word_len(const struct burst_notice *n)
{
    return strcspn(n->said, ":");
}

static bool same_word(const struct burst_notice *x, const struct burst_notice *y)
{
    return word_len(x) == word_len(y) && strncmp(x->said, y->said, word_len(x)) == 0;
}

/* Of the fresh ones from `from` on: how many say the same. */
static size_t run_of(const struct crowd *t, size_t from, bool whole)
{
    size_t n = from;

    while (n < t->n && (whole ? strcmp(t->list[n]->said, t->list[from]->said) == 0
                              : same_word(t->list[n], t->list[from])))
        n++;
    return n - from;
}

/* "2 NOT ISOLATED, 37 ISOLATED" */
static const char *counts_of(const struct crowd *t)
{
    struct buf b = BUF_INIT(4096);
    const char *text;

    for (size_t i = 0, n; i < t->n; i += n) {
        n = run_of(t, i, false);
        buf_addf(&b, "%s%zu %.*s", i ? ", " : "", n, (int)word_len(t->list[i]), t->list[i]->said);
    }
    text = buf_failed(&b) ? NULL : arena_str(t->arena, buf_text(&b));
    buf_clear(&b);
    return text;
}

static bool all_same(const struct crowd *t, size_t member)
{
    for (size_t i = 0; i < t->n; i++) {
        const char *first = *(const char *const *)((const char *)t->list[0] + member);
        const char *other = *(const char *const *)((const char *)t->list[i] + member);

        if (!first || !other || strcmp(first, other) != 0)
            return false;
    }
    return true;
}

/* What they have in common: " of rule contain-high, incident 924521". Ours: a configured name, a number. */
static const char *common(const struct crowd *t)
{
    const struct burst_notice *first = t->list[0];
    const char *incident = all_same(t, offsetof(struct burst_notice, thread))
                               ? strstr(first->thread, " incident ")
                               : 0;
    const char *rule = all_same(t, offsetof(struct burst_notice, rule)) ? first->rule : NULL;

    return arena_fmt(t->arena, "%s%s%s%s", rule || incident ? " of" : "", rule ? " rule " : "",
                     rule ? rule : "",
                     incident ? arena_fmt(t->arena, "%s%s", rule ? "," : "", incident) : "");
}

static size_t count_machines(const struct crowd *t)
{
    const char **ids = arena_array(t->arena, t->n + 1, sizeof *ids);
    size_t n = 0, different = 0;

    for (size_t i = 0; i < t->n && ids; i++)
        if (t->list[i]->machine_id)
            ids[n++] = t->list[i]->machine_id;
    if (n)
        qsort(ids, n, sizeof *ids, by_text);
    for (size_t i = 0; i < n; i++)
        different += !i || strcmp(ids[i], ids[i - 1]) != 0;
    return different;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* What became of a machine besides is a notice of its own: a case may be there more than once. */
static size_t count_cases(const struct crowd *t)
{
    int64_t *ids = arena_array(t->arena, t->n + 1, sizeof *ids);
    size_t n = 0;

    for (size_t i = 0; i < t->n && ids; i++)
        ids[i] = t->list[i]->case_id;
    if (ids)
        qsort(ids, t->n, sizeof *ids, by_number);
    for (size_t i = 0; i < t->n && ids; i++)
        n += !i || ids[i] != ids[i - 1];
    return n;
}

static const char *name_of(struct crowd *t, struct letter *l, const struct burst_notice *n)
{
    const char *name = n->machine ? notice_short_name(t->arena, n->machine) : NULL;

    return name ? letter_harmless(l, name, NAME_MAX_LEN) : "unknown machine";
}

/* A list for each state. */
static void add_rows(struct crowd *t, struct letter *l)
{
    static const char *const head[] = {"Machine", "Alert", "Case"};
    char id[ID_TEXT_SIZE];

    for (size_t i = 0, n; i < t->n && i < ROWS_MAX; i += n) {
        n = run_of(t, i, false);
        letter_heading(
            l, arena_fmt(t->arena, "%.*s (%zu)", (int)word_len(t->list[i]), t->list[i]->said, n));
        letter_list_begin(l, head, 3);
        for (size_t k = i; k < i + n && k < ROWS_MAX; k++) {
            const struct burst_notice *b = t->list[k];
            const char *const cells[] = {name_of(t, l, b), b->alert, id_format(b->case_id, id)};

            letter_list_row(l, cells, 3);
        }
        letter_list_end(l);
    }
}

/* Those that have no row: "and 12 more ISOLATED: ws-1 0sc…, ws-2 0sd…" */
static void add_rest(struct crowd *t, struct letter *l)
{
    for (size_t i = ROWS_MAX, n; i < t->n; i += n) {
        struct buf b = BUF_INIT(MIME_PART_MAX);
        char id[ID_TEXT_SIZE];

        n = run_of(t, i, false);
        for (size_t k = i; k < i + n; k++)
            buf_addf(&b, "%s%s %s", k > i ? ", " : "", name_of(t, l, t->list[k]),
                     id_format(t->list[k]->case_id, id));
        if (buf_failed(&b))
            l->text.failed = buf_failed(&b);
        letter_own_words(l,
                         arena_fmt(t->arena, "and %zu more %.*s", n, (int)word_len(t->list[i]),
                                   t->list[i]->said),
                         buf_text(&b));
        buf_clear(&b);
    }
}

/* Each state with its reason, and how many. */
static void add_counts(struct crowd *t, struct letter *l)
{
    size_t shown = 0, left = 0;

    letter_table_begin(l);
    for (size_t i = 0, n; i < t->n; i += n) {
        n = run_of(t, i, true);
        if (shown++ < COUNTS_MAX)
            letter_fact(l, arena_fmt(t->arena, "%zu", n), t->list[i]->said);
        else
            left += n;
    }
    if (left)
        letter_own_fact(l, arena_fmt(t->arena, "%zu", left), "with other reasons, below");
    letter_table_end(l);
}

static bool asks_for_review(const struct crowd *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (notice_is_review(t->list[i]->kind))
            return true;
    return false;
}

static void sort(struct crowd *t)
{
    qsort(t->list, t->n, sizeof *t->list, by_urgency);
    t->n_cases = count_cases(t);
}

static void compose(struct crowd *t, struct letter *l, const struct pause *pause)
{
    const bool urgent = notice_urgency(t->list[0]->kind) >= NOTICE_URGENT;
    size_t machines = count_machines(t);
    const char *of = common(t);

    letter_begin(l, t->arena,
                 arena_fmt(t->arena, "%zu cases%s, on %zu machine%s", t->n_cases, of, machines,
                           machines == 1 ? "" : "s"),
                 notice_colour(t->list[0]->kind));
    if (pause->on)
        letter_paused(l, pause_words(pause, t->arena), pause_end(pause), urgent ? "CASE" : NULL);
    add_counts(t, l);
    letter_labelled(
        l, "Why in one mail",
        "They followed another of the same incident, machine or rule, which had a mail of "
        "its own. Each is told here as it stood when this "
        "mail was made.");
    letter_labelled(
        l, "Next",
        arena_fmt(t->arena, "%s%s", urgent ? "The first of the list need a person now. " : "",
                  "`cordon cases show CASE` tells one of them whole, `cordon notify preview "
                  "CASE` is the mail that it would have had by itself: with what comes next and "
                  "how to release the machine. How those that are under way end is told in "
                  "another mail."));
    if (asks_for_review(t))
        letter_labelled(l, "Review",
                        "Is it right that the machines under Review are still isolated? If it is, "
                        "`cordon isolations extend MACHINE --for 24h` says so; if not, `cordon "
                        "isolations release MACHINE --why TEXT` has one released. Else people are "
                        "asked again when as much time has passed.");
    add_rows(t, l);
    add_rest(t, l);
}

const char *burst_subject(struct arena *arena, const struct burst_notice **list, size_t n)
{
    struct crowd t = {.arena = arena, .list = list, .n = n};
    const char *counts, *of;

    sort(&t);
    counts = counts_of(&t);
    of = common(&t);
    return counts && of ? arena_fmt(arena, "[%s] %zu cases%s", counts, t.n_cases, of) : NULL;
}

void burst_compose(struct letter *l, struct arena *arena, const struct burst_notice **list,
                   size_t n, const struct pause *pause)
{
    struct crowd t = {.arena = arena, .list = list, .n = n};

    sort(&t);
    compose(&t, l, pause);
}

/* ---- telling ------------------------------------------------------------------------------------ */

struct telling {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    struct work *w;
    struct burst b;
    struct burst_notice *held;
    const struct burst_notice **fresh; /* those that are not stale */
    size_t n_held, n_fresh;
    int64_t now;
    int64_t digest; /* the notice that was made, for the log; 0: one was sent as it is */
};

/* What is stale was told already, or is, by something newer: the last mail of its case. */
static enum err_code settle_stale(struct db_tx *tx, const struct telling *t, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < t->n_held && !code; i++) {
        struct notice_thread thread;

        if (!t->held[i].stale)
            continue;
        code = notice_thread(tx, t->arena, t->held[i].case_id, "", &thread, e);
        if (!code)
            code = notice_grouped(tx, t->held[i].id, t->held[i].case_id,
                                  thread.last ? thread.last : t->b.last, t->now, e);
    }
    return code;
}

static enum err_code put_digest(struct db_tx *tx, struct telling *t, struct err *e)
{
    char about[ABOUT_SIZE], id[ID_TEXT_SIZE];
    const struct mime_header headers[] = {{"X-Cordon-About", about}, {"X-Cordon-State", "digest"}};
    struct letter_post post = {.root = t->b.first,
                               .answers_to = t->b.last,
                               .headers = headers,
                               .n_headers = sizeof headers / sizeof *headers};
    struct notice_record like, r = {.about = about, .kind = "digest", .after = t->b.last};
    int64_t newest = t->b.last;
    const char **to;
    struct pause pause;
    struct letter l;
    enum err_code code = notice_load(tx, t->arena, t->fresh[0]->id, &like, e);

    if (!code)
        code = pause_read(tx, t->rt, t->arena, &pause, e);
    if (code)
        return code;
    for (size_t i = 0; i < t->n_fresh; i++)
        newest = t->fresh[i]->id > newest ? t->fresh[i]->id : newest;
    r.id = id_new_after(t->g->clock, newest);
    (void)snprintf(about, sizeof about, "burst:%s", id_format(t->b.id, id));
    to = arena_array(t->arena, like.n_recipients + 1, sizeof *to);
    r.sender = t->rt->config->mail.server ? t->rt->config->mail.from : like.sender;
    r.subject = burst_subject(t->arena, t->fresh, t->n_fresh);
    r.thread = arena_fmt(t->arena, "burst %s", id);
    post.topic = arena_fmt(t->arena, "Cases told together, from %s on", id);
    if (!to || !r.subject || !r.thread || !post.topic)
        return err_set(e, ERR_NOMEM, "digest");
    for (size_t i = 0; i < like.n_recipients; i++)
        to[i] = like.recipients[i].address;
    post.to = to;
    post.n_to = like.n_recipients;
    burst_compose(&l, t->arena, t->fresh, t->n_fresh, &pause);
    code = letter_put(tx, &l, &post, &r, t->now, e);
    letter_clear(&l);
    t->digest = t->b.last = r.id;
    for (size_t i = 0; i < t->n_fresh && !code; i++)
        code = notice_grouped(tx, t->fresh[i]->id, t->fresh[i]->case_id, r.id, t->now, e);
    return code ? code : settle_stale(tx, t, e);
}

/* What there is of one case alone are mails as any other. */
static enum err_code send_alone(struct db_tx *tx, struct telling *t, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < t->n_fresh && !code; i++)
        code = notice_unhold(tx, t->fresh[i]->id, t->fresh[i]->kind, t->fresh[i]->after, t->now, e);
    return code ? code : settle_stale(tx, t, e);
}

static bool is_one_case(const struct telling *t)
{
    for (size_t i = 1; i < t->n_fresh; i++)
        if (t->fresh[i]->case_id != t->fresh[0]->case_id)
            return false;
    return t->n_fresh > 0;
}

static enum err_code tell(struct db_tx *tx, struct telling *t, struct err *e)
{
    enum err_code code = burst_held(tx, t->arena, t->b.id, CASES_MAX, &t->held, &t->n_held, e);

    if (code)
        return code;
    t->n_fresh = 0;
    t->fresh = arena_array(t->arena, t->n_held + 1, sizeof *t->fresh);
    if (!t->fresh)
        return err_set(e, ERR_NOMEM, "digest");
    for (size_t i = 0; i < t->n_held; i++)
        if (!t->held[i].stale)
            t->fresh[t->n_fresh++] = &t->held[i];
    return is_one_case(t) ? send_alone(tx, t, e)
           : t->n_fresh   ? put_digest(tx, t, e)
                          : settle_stale(tx, t, e);
}

static enum err_code run_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct telling *t = arg;
    int64_t due = t->now + t->rt->config->mail.group.interval_ms;
    enum err_code code = burst_load(tx, t->w->id, &t->b, e);

    t->digest = 0;
    t->n_held = 0;
    if (code == ERR_NOT_FOUND)
        return work_done(tx, t->w, e);
    if (!code && !t->b.held) {
        code = burst_close(tx, t->b.id, e);
        return code ? code : work_done(tx, t->w, e);
    }
    /* No way, nor a webhook that it could be told to as any other mail that has none. */
    if (!code && !t->rt->config->mail.server && !t->rt->config->n_webhooks) {
        log_event(LOG_WARN, "nobody_told", LOG_ID("burst", t->b.id), LOG_INT("notices", t->b.held),
                  LOG_STR("why", "there is no mail server"));
        return work_again(tx, t->w, t->now + NO_MAIL_MS, 0, e);
    }
    if (!code)
        code = tell(tx, t, e);
    if (code)
        return code;
    t->b.held = t->n_held == CASES_MAX ? t->b.held - CASES_MAX : 0;
    t->b.mailed = t->now;
    code = burst_save(tx, &t->b, e);
    return code ? code : work_again(tx, t->w, t->b.held ? t->now : due, 0, e);
}

void burst_run(struct engine *g, struct work *w)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct telling t = {.g = g, .rt = rt, .arena = arena, .w = w, .now = clock_wall_ms(g->clock)};
    struct err e;
    enum err_code code =
        arena ? db_write(g->store->db, run_fn, &t, &e) : err_set(&e, ERR_NOMEM, "digest");

    if (code) {
        log_event(code == ERR_STALE ? LOG_INFO : LOG_ERROR, "burst_not_written",
                  LOG_ID("burst", w->id), LOG_ERR(&e));
        engine_retry(g, w);
    } else if (t.n_held) {
        log_event(LOG_INFO, "burst_told", LOG_ID("burst", w->id), LOG_ID("notice", t.digest),
                  LOG_INT("notices", (int64_t)t.n_held), LOG_INT("told", (int64_t)t.n_fresh));
    }
    engine_kick(g);
}
