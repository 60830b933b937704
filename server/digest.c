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

/* When days begin, for people who read mail in Europe's and Africa's morning: 06:00 UTC. */
#define HOUR_OF_DAY_MS (6 * HOUR_MS)
/* A digest that comes sooner after the last is none: the work was only hurried, after the clock was set back. */
#define LEAST_MS (12 * HOUR_MS)
/* Steps that are shown one by one; the counts have all. */
#define STEPS_MAX 25

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
    return arena_fmt(a, "%s%s%s%s, rule %s, alert %s, case %s", name ? name : "", name ? " (" : "",
                     s->machine_id ? s->machine_id : "unknown machine", name ? ")" : "",
                     s->rule ? s->rule : "none", s->alert_id, id_format(s->case_id, id));
}

/* The rows of the mail, with room for one more. NULL: out of memory. */
static struct notice_system_fact *rows_of(struct arena *a, const struct digest_count *counts,
                                          size_t n_counts, const struct digest_step *steps,
                                          size_t n_steps)
{
    struct notice_system_fact *rows = arena_array(a, n_counts + n_steps + 1, sizeof *rows);
    size_t n = 0;

    if (!rows)
        return NULL;
    for (size_t i = 0; i < n_counts; i++)
        rows[n++] = (struct notice_system_fact){
            .name = arena_fmt(a, "Rule %s", counts[i].rule ? counts[i].rule : "none"),
            .value = arena_fmt(a, "%s: %" PRId64 " time%s, on %" PRId64 " machine%s of tenant %s",
                               counts[i].handler, counts[i].steps, counts[i].steps == 1 ? "" : "s",
                               counts[i].machines, counts[i].machines == 1 ? "" : "s",
                               counts[i].tenant)};
    for (size_t i = 0; i < n_steps; i++)
        rows[n++] =
            (struct notice_system_fact){.name = steps[i].handler, .value = one_step(a, &steps[i])};
    for (size_t i = 0; i < n; i++)
        if (!rows[i].name || !rows[i].value)
            return NULL;
    return rows;
}

static enum err_code tell(struct db_tx *tx, struct digest *d, int64_t from, struct err *e)
{
    struct digest_count *counts;
    struct digest_step *steps;
    struct notice_system n = {.about = "digest",
                              .kind = "shadow_digest",
                              .headline = "What shadow mode held back",
                              .good = true};
    struct notice_system_fact *rows;
    size_t n_counts = 0, n_steps = 0;
    char text[CLOCK_TEXT_SIZE];
    struct audit_head head;
    int64_t all = 0;
    enum err_code code = digest_counts(tx, d->arena, from, d->now, &counts, &n_counts, e);

    if (!code && n_counts)
        code = digest_steps(tx, d->arena, from, d->now, STEPS_MAX, &steps, &n_steps, e);
    if (code || !n_counts)
        return code;
    for (size_t i = 0; i < n_counts; i++)
        all += counts[i].steps;
    n.subject = arena_fmt(d->arena, "shadow mode held back %" PRId64 " step%s since %s", all,
                          all == 1 ? "" : "s", clock_format(from, text));
    n.body = arena_fmt(
        d->arena,
        "This would have been done at Defender since %s, and was not, because the policy, the rule or the "
        "source is in shadow mode. Limits are not counted in: `cordon backtest` does that. `cordon cases "
        "explain CASE` tells of one why.%s",
        clock_format(from, text),
        all > (int64_t)n_steps
            ? arena_fmt(d->arena, " The newest %zu are listed one by one.", n_steps)
            : "");
    rows = rows_of(d->arena, counts, n_counts, steps, n_steps);
    code = audit_head_read(tx, &head, e);
    if (code)
        return code;
    if (rows) /* kept with people, and so elsewhere than in the store */
        rows[n_counts + n_steps] = (struct notice_system_fact){
            "Audit head", arena_fmt(d->arena, "%s (record %" PRId64 ")", head.hash, head.n)};
    n.facts = rows;
    n.n_facts = n_counts + n_steps + 1;
    if (!n.subject || !n.body || !rows)
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
        engine_again(g, w, engine_backoff(w->attempts, 0));
    }
    engine_kick(g);
}
