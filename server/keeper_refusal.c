/* keeper_refusal.c - see keeper_refusal.h. */
#include "keeper_refusal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "health.h"
#include "log.h"
#include "notice_system.h"

#define REFUSED      "configuration_refused"
#define TRY_AGAIN_MS (5 * SECOND_MS)
/* What rotates files may put one after another, or be at a mount that comes and goes. */
#define SETTLES_MS (10 * SECOND_MS)

static void show(const struct keeper_refusals *r, struct engine *g)
{
    const char *why = *r->asked.why ? r->asked.why : r->changed.why;

    (void)health_note(g->health, KEEPER_REFUSAL_PART, NULL, !*why, why);
}

void keeper_refusal_note(struct keeper_refusals *r, struct engine *g, bool asked, bool waits,
                         const char *why)
{
    struct keeper_refusal *to = asked ? &r->asked : &r->changed;
    /* of what a person asked for nobody is told by what files that settle may take back */
    const bool untold = strcmp(r->changed.why, why) == 0 && asked && r->changed.owed;

    if (untold || (strcmp(r->asked.why, why) != 0 && strcmp(r->changed.why, why) != 0)) {
        to->owed = true;
        to->due_ms = asked ? 0 : clock_mono_ms(g->clock) + SETTLES_MS;
    }
    r->changed.owed = r->changed.owed && !untold;
    to->owed = to->owed && !waits;
    (void)snprintf(to->why, sizeof to->why, "%s", why);
    show(r, g);
}

void keeper_refusal_over(struct keeper_refusals *r, struct engine *g, bool all)
{
    r->changed = (struct keeper_refusal){.owed = false};
    r->unread = !all;
    if (all)
        r->asked = r->changed;
    show(r, g);
}

struct telling {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    const char *why; /* NULL: it is over */
    bool unread;     /* then: for the files that it names alone */
};

static enum err_code tell_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct telling *t = arg;
    const int64_t now = clock_wall_ms(t->g->clock);
    char host[65] = "";
    const struct notice_system_fact facts[] = {
        {"Host", host},
        {"File", t->rt->config->file},
        {"First fault", t->why},
    };
    struct notice_system n = {.kind = REFUSED, .facts = facts, .n_facts = t->why ? 3 : 2};

    if (gethostname(host, sizeof host - 1) != 0 || !*host)
        (void)snprintf(host, sizeof host, "localhost");
    n.about =
        arena_fmt(t->arena, "configuration:%s", host); /* each replica reads files of its own */
    if (!n.about)
        return err_set(e, ERR_NOMEM, "notice");
    if (t->why) {
        n.subject = "a changed configuration is NOT in force";
        n.headline = "What was changed in the configuration is not in force";
        n.body =
            "cordon was to take it over and did not, as it has a fault; it goes on by the one of before. A "
            "machine that was to be protected now may not be. `cordon check` names every fault; mend them, and "
            "let it be read again (SIGHUP, `systemctl reload cordon`). Another message says when one is in "
            "force.";
        return notice_system_put(tx, t->g, t->rt, t->arena, &n, now, e);
    }
    n.kind = "configuration_in_force";
    n.good = n.follows = true;
    n.subject = "the configuration is in force";
    n.headline = "What the configuration says is in force again";
    n.body = "Nothing is left out of it.";
    if (t->unread) {
        n.subject = "the configuration file itself was NOT read";
        n.headline = "The files that the configuration names are in force again";
        n.body =
            "The configuration itself says something else by now, and that is not in force: let it be read "
            "(SIGHUP, `systemctl reload cordon`).";
    }
    return notice_system_turn(tx, t->g, t->rt, t->arena, &n, REFUSED, now, e);
}

/* Could it be written? */
static bool tell(struct engine *g, const char *why, bool unread)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct telling t = {.g = g, .rt = rt, .arena = arena, .why = why, .unread = unread};
    struct err e;
    enum err_code code =
        arena ? db_write(g->store->db, tell_fn, &t, &e) : err_set(&e, ERR_NOMEM, "notice");

    if (code)
        log_event(LOG_ERROR, "notice_not_written", LOG_STR("about", KEEPER_REFUSAL_PART),
                  LOG_ERR(&e));
    else
        engine_kick(g);
    return !code;
}

void keeper_refusal_tell(struct keeper_refusals *r, struct engine *g)
{
    struct keeper_refusal *const both[] = {&r->asked, &r->changed};
    const bool over = !*r->asked.why && !*r->changed.why;
    bool ok = true;
    struct err e;

    if ((!r->asked.owed && !r->changed.owed && r->told_over) ||
        clock_mono_ms(g->clock) < r->next_ms || db_health(g->store->db, &e))
        return;
    for (size_t i = 0; i < 2 && ok; i++) {
        if (!both[i]->owed || clock_mono_ms(g->clock) < both[i]->due_ms)
            continue;
        ok = tell(g, both[i]->why, false);
        both[i]->owed = !ok;
        r->told_over = false;
    }
    if (ok && over && !r->told_over)
        ok = r->told_over = tell(g, NULL, r->unread);
    r->next_ms = ok ? 0 : clock_mono_ms(g->clock) + TRY_AGAIN_MS;
}
