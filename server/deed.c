/* deed.c - see deed.h. */
#include "deed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "log.h"
#include "match.h"

/* What must be left of the lease when a POST begins: the rest is for its way to the wire. */
#define ROOM_MS (WORK_POST_LEASE_MS - WORK_LEAVE_MS)
/* How often a pending action is looked at: every half of its age, between DEED_FOLLOW_MIN_MS and this. */
#define FOLLOW_MAX_MS (15 * MINUTE_MS)
/* Until then the look before the request still counts: those of a storm are asked after together once a minute or two. */
#define LOOKED_MS (3 * MINUTE_MS)
/* Nobody was there for so long: the longest pause between two tries (engine_backoff) is shorter. */
#define PAUSE_MS (HOUR_MS / 2)
/* Looks that failed one after the other before a request is given up: a quarter of an hour of them, or more. */
#define FAILED_LOOKS 10

const char *deed_id(int64_t row_id, char out[DEED_ID_SIZE])
{
    char id[ID_TEXT_SIZE];

    (void)snprintf(out, DEED_ID_SIZE, "cordon-%s", id_format(row_id, id));
    return out;
}

bool deed_row(const struct defender_action *a, int64_t *ret_row_id)
{
    static const char ours[] = "cordon-";
    const size_t len = sizeof ours - 1;

    return strncmp(a->external_id, ours, len) == 0 &&
           !id_parse(a->external_id + len, ret_row_id, NULL);
}

#define RELEASE "cordon-release-%s-"

const char *deed_release_id(int64_t row_id, int64_t ordered_ms, char out[DEED_ID_SIZE])
{
    char id[ID_TEXT_SIZE];

    (void)snprintf(out, DEED_ID_SIZE, RELEASE "%" PRId64, id_format(row_id, id), ordered_ms);
    return out;
}

bool deed_is_release_of(const struct defender_action *a, int64_t row_id)
{
    char id[ID_TEXT_SIZE], ours[DEED_ID_SIZE];

    (void)snprintf(ours, sizeof ours, RELEASE, id_format(row_id, id));
    return strncmp(a->external_id, ours, strlen(ours)) == 0;
}

bool deed_is_own(const struct defender_action *a, const char *own_id, int64_t asked_ms)
{
    if (a->external_id[0])
        return strcmp(a->external_id, own_id) == 0;
    return asked_ms && a->created_ms >= asked_ms - DEFENDER_SKEW_MS && !a->from_elsewhere;
}

const char *deed_failure(const struct defender_action *a)
{
    return a->status == DEFENDER_TIME_OUT ? "the machine stayed offline: Defender gave up (TimeOut)"
           : a->status == DEFENDER_CANCELLED ? "somebody cancelled it at Defender"
                                             : "the machine could not do it (Failed)";
}

const char *deed_comment(const char *text)
{
    const char *shown = text;

    return text && match_trim(&shown) ? text : "cordon";
}

/* Did a take effect after b? Without times of update, and at the same one, in the order in which they were made. */
static bool is_later(const struct defender_action *a, const struct defender_action *b)
{
    return a->updated_ms == b->updated_ms ? a->created_ms > b->created_ms
                                          : a->updated_ms > b->updated_ms;
}

const struct defender_action *deed_in_force(const struct defender_action *actions, size_t n)
{
    const struct defender_action *last = NULL;

    for (size_t i = 0; i < n; i++)
        if (actions[i].type != DEFENDER_OTHER && actions[i].status == DEFENDER_SUCCEEDED &&
            (!last || is_later(&actions[i], last)))
            last = &actions[i];
    return last;
}

int64_t deed_took_effect(const struct defender_action *a)
{
    return a->status == DEFENDER_SUCCEEDED && a->updated_ms > a->created_ms ? a->updated_ms : 0;
}

bool deed_was_released(const struct defender_action *actions, size_t n, const char *own_id,
                       int64_t by_ms)
{
    const struct defender_action *own = NULL;
    bool released = false;

    for (size_t i = 0; i < n && own_id; i++)
        if (actions[i].status == DEFENDER_SUCCEEDED && strcasecmp(actions[i].id, own_id) == 0)
            own = &actions[i];
    for (size_t i = 0; i < n; i++)
        released = released || (actions[i].type == DEFENDER_UNISOLATE &&
                                actions[i].status == DEFENDER_SUCCEEDED &&
                                (own ? is_later(&actions[i], own) : actions[i].updated_ms > by_ms));
    return released;
}

bool deed_is_free(const struct defender_action *actions, size_t n, const char *own_id,
                  int64_t by_ms)
{
    const struct defender_action *last = deed_in_force(actions, n);

    return last && last->type == DEFENDER_UNISOLATE && deed_was_released(actions, n, own_id, by_ms);
}

int64_t deed_rest_ms(const struct engine *g, int64_t posted, int64_t now)
{
    int64_t after_start = g->began_ms + WORK_SETTLE_MS - clock_mono_ms(g->clock);
    int64_t rest = posted > now ? WORK_SETTLE_MS : posted + WORK_SETTLE_MS - now;

    rest = rest > after_start ? rest : after_start;
    return posted && rest > 0 ? rest : 0;
}

int64_t deed_ask_due(int64_t now, int64_t due, int64_t since, int64_t for_ms)
{
    return now < since + for_ms && since + for_ms < due ? since + for_ms : due;
}

enum err_code deed_check_clock(const struct runtime_tenant *t, int64_t now, int64_t *ask_from,
                               struct err *e)
{
    enum err_code code = runtime_check_clock(t, e);

    if (code)
        *ask_from = 0;
    else if (!*ask_from || *ask_from > now)
        *ask_from = now;
    return code;
}

void deed_mind_the_pause(struct engine *g, int64_t last, int64_t now, int64_t *ask_from)
{
    int64_t still = now - last;

    if (*ask_from && now - *ask_from >= DEED_ASK_FOR_MS && still >= PAUSE_MS &&
        !engine_was_here(g, still - PAUSE_MS))
        *ask_from = now;
}

bool deed_is_given_up(const struct work *w, int64_t age_ms, enum err_code code)
{
    return age_ms > DEED_FOLLOW_FOR_MS && (!code || w->attempts >= FAILED_LOOKS);
}

bool deed_is_our_budget(const struct runtime_tenant *t, const struct err *why)
{
    return why->code == ERR_THROTTLED && t && !quota_is_blocked(t->quota);
}

int64_t deed_follow_ms(int64_t age_ms)
{
    return age_ms < 0                        ? MINUTE_MS
           : age_ms / 2 < DEED_FOLLOW_MIN_MS ? DEED_FOLLOW_MIN_MS
           : age_ms / 2 > FOLLOW_MAX_MS      ? FOLLOW_MAX_MS
                                             : age_ms / 2;
}

bool deed_is_late(int64_t age_ms)
{
    return deed_follow_ms(age_ms) > LOOKED_MS / 2;
}

int64_t deed_looks_failed(int64_t before, const struct err *why)
{
    return before + 1 + why->retry_ms / ENGINE_LATE_MS;
}

bool deed_is_open(struct engine *g, const char *what, const struct work *w)
{
    int64_t wait = engine_post_wait(g, w);

    /* Its record is on disk a moment before its thread says that it has ended, and who joins the isolation has woken the row
     * since. Or it is under way, and its lease only seems to have run out: the clock jumped. */
    if (wait == INT64_MAX)
        log_event(LOG_INFO, "post_has_not_ended", LOG_ID(what, w->id));
    else if (wait > 0)
        engine_again(g, w, wait);
    return wait > 0;
}

bool deed_begin(struct engine *g, const char *what, int64_t row_id)
{
    if (engine_post_begins(g, row_id))
        return true;
    log_event(LOG_WARN, "post_abandoned", LOG_ID(what, row_id));
    return false;
}

enum err_code deed_send(struct engine *g, struct defender *d, const struct work *w,
                        const struct defender_request *q, struct defender_action *ret,
                        struct err *e)
{
    enum err_code code;

    if (clock_wall_ms(g->clock) > w->lease_end - ROOM_MS)
        return err_set(e, ERR_AGAIN, "this process was stopped for too long");
    code = defender_ask(d, q, ret, e);
    if (deed_end_of(code) == DEED_UNKNOWN)
        engine_post_is_lost(g, w->id);
    return code;
}

enum deed_end deed_end_of(enum err_code code)
{
    switch (code) {
    case ERR_OK:
        return DEED_TAKEN;
    case ERR_UNKNOWN:
        return DEED_UNKNOWN;
    case ERR_CONFLICT: /* the same action is under way: the look will find it */
    case ERR_DENIED:   /* an expired secret */
    case ERR_AGAIN:
    case ERR_THROTTLED:
    case ERR_TIMEOUT:
    case ERR_IO:
    case ERR_NOMEM:
    case ERR_STOPPING:
        return DEED_LATER;
    default:
        return DEED_REFUSED;
    }
}
