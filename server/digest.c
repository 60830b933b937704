/* digest.c - see digest.h. */
#include "digest.h"

#include <inttypes.h>
#include <string.h>

#include "id.h"
#include "json.h"
#include "log.h"
#include "notice_system.h"
#include "store_audit.h"
#include "store_digests.h"
#include "store_isolations.h"

/* When days begin, for people who read mail in Europe's and Africa's morning: 06:00 UTC. */
#define HOUR_OF_DAY_MS (6 * HOUR_MS)
/* A digest that comes sooner after the last is none: the work was only hurried, after the clock was set back. */
#define LEAST_MS (12 * HOUR_MS)
/* Steps that are shown one by one; the counts have all. */
#define STEPS_MAX 25
/* Of what a person would have been asked about. */
#define AFTER_A_YES " (after a yes)"

/* The next 06:00 UTC. */
static int64_t next_due(int64_t now)
{
    int64_t into = (now - HOUR_OF_DAY_MS) % DAY_MS;

    return now + DAY_MS - (into < 0 ? into + DAY_MS : into);
}

static enum err_code begin_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct engine *g = arg;
    int64_t now = clock_wall_ms(g->clock);

    return digest_begin(tx, now, next_due(now), e);
}

enum err_code digest_watch(struct engine *g, struct err *e)
{
    return db_write(g->store->db, begin_fn, g, e) ? err_in(e, "daily digest") : ERR_OK;
}

/* ---- composing ---------------------------------------------------------------------------------- */

struct digest {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    const struct work *w;
    int64_t now;
};

/* "ws-114.corp.example (9c1f…), rule contain, alert da1, case 0sc…" */
static const char *one_step(struct arena *a, const struct digest_step *s)
{
    AUTO(json_freep) struct json *facts = NULL;
    const char *name = NULL;
    char id[ID_TEXT_SIZE];

    if (s->facts && json_parse(s->facts, strlen(s->facts), &facts, NULL) == ERR_OK)
        name = json_get_string(json_get(facts, "machine"), "computerDnsName");
    return arena_fmt(a, "%s%s%s%s%s, rule %s, alert %s, case %s", name ? name : "",
                     name ? " (" : "", s->machine_id ? s->machine_id : "unknown machine",
                     name ? ")" : "", s->asked ? AFTER_A_YES : "", s->rule ? s->rule : "none",
                     s->alert_id, id_format(s->case_id, id));
}

/* What a day came to. */
struct day {
    int64_t from, cases;
    int64_t isolations, unsent; /* asked for; not asked for, or not yet */
    struct digest_count *counts;
    struct digest_step *steps;
    size_t n_counts, n_steps;
    int64_t held_back; /* steps, of all counts */
    struct audit_head head;
};

static enum err_code read_day(struct db_tx *tx, struct digest *d, struct day *day, struct err *e)
{
    enum err_code code =
        digest_counts(tx, d->arena, day->from, d->now, &day->counts, &day->n_counts, e);

    if (!code && day->n_counts)
        code = digest_held_back(tx, day->from, d->now, &day->held_back, e);
    if (!code && day->n_counts)
        code =
            digest_steps(tx, d->arena, day->from, d->now, STEPS_MAX, &day->steps, &day->n_steps, e);
    if (!code)
        code = digest_cases(tx, day->from, d->now, &day->cases, e);
    if (!code)
        code = isolation_count_since(tx, day->from, &day->isolations, e);
    if (!code)
        code = isolation_count_unsent_since(tx, day->from, &day->unsent, e);
    day->isolations -= day->unsent;
    if (!code)
        code = audit_head_read(tx, &day->head, e);
    return code;
}

#define ROWS_BESIDES 4 /* what has no row of its own, cases, isolations, the audit head */

/* The rows of the mail. NULL: out of memory. */
static struct notice_system_fact *rows_of(struct arena *a, const struct day *day, size_t *ret_count)
{
    const struct digest_count *c = day->counts;
    struct notice_system_fact *rows =
        arena_array(a, day->n_counts + day->n_steps + ROWS_BESIDES, sizeof *rows);
    int64_t left = day->held_back;
    size_t n = 0;

    if (!rows)
        return NULL;
    for (size_t i = 0; i < day->n_counts; i++, c++) {
        left -= c->steps;
        rows[n++] = (struct notice_system_fact){
            .name = arena_fmt(a, "Rule %s", c->rule ? c->rule : "none"),
            .value = arena_fmt(a, "%s%s: %" PRId64 " time%s, on %" PRId64 " machine%s of tenant %s",
                               c->handler, c->asked ? AFTER_A_YES : "", c->steps,
                               c->steps == 1 ? "" : "s", c->machines, c->machines == 1 ? "" : "s",
                               c->tenant)};
    }
    if (left > 0)
        rows[n++] = (struct notice_system_fact){
            "Other rules", arena_fmt(a, "%" PRId64 " more time%s", left, left == 1 ? "" : "s")};
    for (size_t i = 0; i < day->n_steps; i++)
        rows[n++] = (struct notice_system_fact){.name = day->steps[i].handler,
                                                .value = one_step(a, &day->steps[i])};
    rows[n++] = (struct notice_system_fact){"Cases", arena_fmt(a, "%" PRId64 " came", day->cases)};
    rows[n++] = (struct notice_system_fact){
        "Isolations", day->unsent
                          ? arena_fmt(a, "%" PRId64 " asked for, %" PRId64 " more not, or not yet",
                                      day->isolations, day->unsent)
                          : arena_fmt(a, "%" PRId64 " asked for", day->isolations)};
    /* kept with people, and so elsewhere than in the store */
    rows[n++] = (struct notice_system_fact){
        "Audit head", arena_fmt(a, "%s (record %" PRId64 ")", day->head.hash, day->head.n)};
    for (size_t i = 0; i < n; i++)
        if (!rows[i].name || !rows[i].value)
            return NULL;
    *ret_count = n;
    return rows;
}

/* What stands above the rows, and the subject. */
static void words_of(struct digest *d, const struct day *day, struct notice_system *n)
{
    static const char keep[] =
        "Keep the audit head below, elsewhere than in the store: `cordon audit verify --head HASH` says "
        "later whether the record up to here is what it was.";
    char since[CLOCK_TEXT_SIZE];

    clock_format(day->from, since);
    if (!day->n_counts) {
        n->kind = "daily";
        n->headline = "The day in numbers";
        n->subject = arena_fmt(d->arena,
                               "daily report: %" PRId64 " case%s, %" PRId64 " isolation%s since %s",
                               day->cases, day->cases == 1 ? "" : "s", day->isolations,
                               day->isolations == 1 ? "" : "s", since);
        n->body = arena_fmt(d->arena, "What came and was asked for since %s. %s", since, keep);
        return;
    }
    n->kind = "shadow_digest";
    n->headline = "What shadow mode held back";
    n->subject = arena_fmt(d->arena, "shadow mode held back %" PRId64 " step%s since %s",
                           day->held_back, day->held_back == 1 ? "" : "s", since);
    n->body = arena_fmt(
        d->arena,
        "This would have been done at Defender since %s, and was not, because the policy, the rule or the "
        "source is in shadow mode; what is said to come after a yes, when a person had said it. Limits are not "
        "counted in: `cordon backtest` does that. `cordon cases explain CASE` tells of one why.%s %s",
        since,
        day->held_back > (int64_t)day->n_steps
            ? arena_fmt(d->arena, " The newest %zu are listed one by one.", day->n_steps)
            : "",
        keep);
}

static enum err_code tell(struct db_tx *tx, struct digest *d, int64_t from, struct err *e)
{
    struct notice_system n = {.about = "digest", .good = true};
    struct day day = {.from = from};
    enum err_code code = read_day(tx, d, &day, e);

    if (code)
        return code;
    words_of(d, &day, &n);
    n.facts = rows_of(d->arena, &day, &n.n_facts);
    if (!n.subject || !n.body || !n.facts)
        return err_set(e, ERR_NOMEM, "digest");
    return notice_system_put(tx, d->g, d->rt, d->arena, &n, d->now, e);
}

static enum err_code run_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct digest *d = arg;
    int64_t told = 0;
    enum err_code code = digest_told(tx, &told, e);

    if (!code && d->now - told >= LEAST_MS)
        code = tell(tx, d, told, e);
    if (!code && (d->now - told >= LEAST_MS || told > d->now))
        code = digest_set_told(tx, d->now, e);
    return code ? code : work_again(tx, d->w, next_due(d->now), 0, e);
}

void digest_run(struct engine *g, struct work *w)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct digest d = {.g = g, .rt = rt, .arena = arena, .w = w, .now = clock_wall_ms(g->clock)};
    struct err e;
    enum err_code code =
        arena ? db_write(g->store->db, run_fn, &d, &e) : err_set(&e, ERR_NOMEM, "digest");

    if (code) {
        log_event(code == ERR_STALE ? LOG_INFO : LOG_ERROR, "digest_not_written", LOG_ERR(&e));
        engine_retry(g, w);
    }
    engine_kick(g);
}
