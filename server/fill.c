/* fill.c - see fill.h. What people know is what the last notice about the store says: nothing else is remembered. */
#include "fill.h"

#include <inttypes.h>

#include "log.h"
#include "notice_system.h"
#include "store_notices.h"

#define ABOUT    "store"
#define FULL     "store_full"
#define HAS_ROOM "store_has_room"

struct filling {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    bool full;
    int64_t used, max;
};

/* Were people told last that it is full? */
static enum err_code is_known_full(struct db_tx *tx, bool *ret, struct err *e)
{
    int64_t full = 0, room = 0, created;
    enum err_code code = notice_last(tx, ABOUT, FULL, &full, &created, e);

    if (!code)
        code = notice_last(tx, ABOUT, HAS_ROOM, &room, &created, e);
    *ret = full > room;
    return code;
}

static enum err_code tell_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct filling *f = arg;
    const struct notice_system_fact facts[] = {
        {"In use", arena_fmt(f->arena, "%" PRId64 " MiB", f->used >> 20)},
        {"store.max_size", f->max ? arena_fmt(f->arena, "%" PRId64 " MiB", f->max >> 20) : NULL},
    };
    const struct notice_system full = {
        .about = ABOUT,
        .kind = FULL,
        .subject = "the store is full: nothing new is accepted",
        .headline = "The store is full - no notification is accepted",
        .body =
            "Senders are answered 503 and told to come again, and Defender is not asked for new alerts. What was "
            "accepted goes on: isolations, their confirmation, mails. Give the store more room "
            "(store.max_size) or a shorter retention and reload; `cordon_store_used_bytes` shows how it "
            "goes. Another message says when it is over.",
        .facts = facts,
        .n_facts = sizeof facts / sizeof *facts};
    const struct notice_system room = {
        .about = ABOUT,
        .kind = HAS_ROOM,
        .subject = "the store has room again",
        .headline = "Notifications are accepted again",
        .body =
            "What senders could not push meanwhile they push again, as far as they keep it; where `polling` is "
            "on, alerts of up to seven days are made up for.",
        .good = true,
        .follows = true,
        .facts = facts,
        .n_facts = sizeof facts / sizeof *facts};
    bool known = false;
    enum err_code code = is_known_full(tx, &known, e);

    if (code || known == f->full)
        return code;
    return notice_system_put(tx, f->g, f->rt, f->arena, f->full ? &full : &room,
                             clock_wall_ms(f->g->clock), e);
}

bool fill_tell(struct engine *g, bool full, int64_t used, int64_t max)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct filling f = {.g = g, .rt = rt, .arena = arena, .full = full, .used = used, .max = max};
    struct err e;
    enum err_code code =
        arena ? db_write(g->store->db, tell_fn, &f, &e) : err_set(&e, ERR_NOMEM, "notice");

    if (code)
        log_event(LOG_ERROR, "notice_not_written", LOG_STR("about", ABOUT), LOG_ERR(&e));
    else
        engine_kick(g);
    return !code;
}
