/* backtest_feed.c - see backtest_feed.h.
 *
 * Alerts are asked for in the order of their creation with $skip, until a page is empty: an element that is new
 * stands at the end, so pages do not shift. What comes twice all the same is left out by its id. Machines are read
 * with `id in (…)` (defender-api.md section 2.4), each once, and kept: there are fewer of them than alerts.
 */
#include "backtest_feed.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "arena.h"
#include "buf.h"

/* Alerts of one call, with their evidence: some 20 KiB each at most, so far below DEFENDER_LIST_MAX. */
#define PAGE_MAX 500
/* Machine ids of one filter: 100 of 43 bytes are within what front ends take of a URL (8 KiB). */
#define MACHINES_MAX 100
#define SHARE        4 /* one part of so many of the quota */
#define TRIES_MAX    8 /* of one call */
#define PAUSE_MS     2000 /* before a call that failed for a moment is tried again; doubled each time */

struct known {
    const char *id;
    const struct json *machine; /* NULL: not listed */
};

struct feed {
    struct feed_options o;
    struct arena *arena;
    int64_t *calls; /* mono ms of the last calls, a ring of per_hour */
    size_t n_calls, room;
    struct json *page; /* of alerts; elements are borrowed from it */
    const struct json *next;
    int64_t skip, page_size, unreadable;
    bool ended;
    void *seen;     /* tree of alert ids */
    void *machines; /* tree of struct known */
    struct json **kept;
    size_t n_kept, kept_room;
};

static void leave(void *node)
{
    (void)node; /* lives in the arena */
}

static int64_t at_least_one(int64_t n)
{
    return n < 1 ? 1 : n;
}

enum err_code feed_new(const struct feed_options *o, struct feed **ret, struct err *e)
{
    AUTO(feed_freep) struct feed *f = calloc(1, sizeof *f);

    if (!f || !(f->arena = arena_new(0)))
        return err_set(e, ERR_NOMEM, "backtest");
    f->o = *o;
    f->o.per_minute = at_least_one(o->per_minute / SHARE);
    f->o.per_hour = at_least_one(o->per_hour / SHARE);
    f->page_size = PAGE_MAX;
    f->room = (size_t)f->o.per_hour;
    f->calls = calloc(f->room, sizeof *f->calls);
    if (!f->calls)
        return err_set(e, ERR_NOMEM, "backtest");
    *ret = f;
    f = NULL;
    return ERR_OK;
}

void feed_free(struct feed *f)
{
    if (!f)
        return;
    tdestroy(f->seen, leave);
    tdestroy(f->machines, leave);
    for (size_t i = 0; i < f->n_kept; i++)
        json_free(f->kept[i]);
    free(f->kept);
    json_free(f->page);
    free(f->calls);
    arena_free(f->arena);
    free(f);
}

int64_t feed_unreadable(const struct feed *f)
{
    return f->unreadable;
}

/* ---- one call ----------------------------------------------------------------------------------- */

static void pause_for(const struct feed *f, int64_t ms, const char *why)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    if (f->o.waiting)
        f->o.waiting(f->o.ctx, ms, why);
    while (nanosleep(&t, &t)) /* interrupted: the rest of it */
        ;
}

/* How long the n-th last call keeps the next one waiting. */
static int64_t wait_of(const struct feed *f, int64_t n, int64_t per_ms, int64_t now)
{
    if ((int64_t)f->n_calls < n)
        return 0;
    return f->calls[(f->n_calls - (size_t)n) % f->room] + per_ms - now;
}

static void keep_pace(struct feed *f)
{
    int64_t now = clock_mono_ms(f->o.clock);
    int64_t minute = wait_of(f, f->o.per_minute, MINUTE_MS, now);
    int64_t hour = wait_of(f, f->o.per_hour, HOUR_MS, now);
    int64_t wait = minute > hour ? minute : hour;

    if (wait > 0)
        pause_for(f, wait, NULL);
    f->calls[f->n_calls++ % f->room] = clock_mono_ms(f->o.clock);
}

/* A page, however long it takes; what no patience heals is returned. */
static enum err_code get_page(struct feed *f, enum defender_list list, const char *query,
                              struct json **ret, struct err *e)
{
    int64_t pause = PAUSE_MS;
    enum err_code code = ERR_AGAIN;

    for (int n = 0; n < TRIES_MAX; n++) {
        keep_pace(f);
        code = defender_get_page(f->o.defender, list, query, ret, e);
        if (code != ERR_AGAIN && code != ERR_THROTTLED)
            return code;
        if (n + 1 < TRIES_MAX)
            pause_for(f, e->retry_ms > 0 ? e->retry_ms : pause, e->text);
        pause *= 2;
    }
    return code;
}

/* ---- machines ----------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    const struct known *x = a, *y = b;

    return strcasecmp(x->id, y->id);
}

static struct known *find_machine(const struct feed *f, const char *id)
{
    const struct known key = {.id = id};
    struct known **found = tfind(&key, &f->machines, by_id);

    return found ? *found : NULL;
}

/* defender-api.md section 3.2; others cannot be asked for, and would change the filter. */
static bool is_machine_id(const char *id)
{
    size_t len = id ? strspn(id, "0123456789abcdefABCDEF") : 0;

    return len >= 32 && len <= 64 && !id[len];
}

static enum err_code keep_document(struct feed *f, struct json *doc, struct err *e)
{
    if (f->n_kept == f->kept_room) {
        size_t room = f->kept_room ? f->kept_room * 2 : 16;
        struct json **kept = reallocarray(f->kept, room, sizeof *kept);

        if (!kept) {
            json_free(doc);
            return err_set(e, ERR_NOMEM, "backtest");
        }
        f->kept = kept;
        f->kept_room = room;
    }
    f->kept[f->n_kept++] = doc;
    return ERR_OK;
}

static enum err_code read_machines(struct feed *f, struct known *const wanted[], size_t n,
                                   struct err *e)
{
    AUTO(buf_clear) struct buf query = BUF_INIT(65536);
    struct json *doc = NULL;
    enum err_code code;

    buf_adds(&query, "?$filter=id%20in%20(");
    for (size_t i = 0; i < n; i++)
        buf_addf(&query, "%s'%s'", i ? "," : "", wanted[i]->id);
    buf_adds(&query, ")");
    if (buf_failed(&query))
        return err_set(e, ERR_NOMEM, "backtest");
    code = get_page(f, DEFENDER_MACHINES, buf_text(&query), &doc, e);
    if (code == ERR_NOT_FOUND) /* none of them: trap 38 */
        return ERR_OK;
    if (!code)
        code = keep_document(f, doc, e);
    if (code)
        return code;
    JSON_EACH (m, json_get(doc, "value")) {
        const char *id = json_get_string(m, "id");
        struct known *k = id ? find_machine(f, id) : NULL;

        if (k && !defender_misfit(DEFENDER_MACHINES, m))
            k->machine = m;
    }
    return ERR_OK;
}

/* Reads the machines of the page that are not known yet. */
static enum err_code know_machines(struct feed *f, struct err *e)
{
    struct known *wanted[MACHINES_MAX];
    enum err_code code = ERR_OK;
    size_t n = 0;

    JSON_EACH (alert, json_get(f->page, "value")) {
        const char *id = json_get_string(alert, "machineId");
        struct known *k;

        if (!is_machine_id(id) || find_machine(f, id))
            continue;
        k = arena_alloc(f->arena, sizeof *k);
        if (k)
            *k = (struct known){.id = arena_str(f->arena, id)};
        if (!k || !k->id || !tsearch(k, &f->machines, by_id))
            return err_set(e, ERR_NOMEM, "backtest");
        wanted[n++] = k;
        if (n == MACHINES_MAX) {
            code = read_machines(f, wanted, n, e);
            n = 0;
        }
        if (code)
            return code;
    }
    return n ? read_machines(f, wanted, n, e) : ERR_OK;
}

/* ---- alerts ------------------------------------------------------------------------------------- */

static enum err_code next_page(struct feed *f, struct err *e)
{
    AUTO(buf_clear) struct buf query = BUF_INIT(1024);
    char from[CLOCK_TEXT_SIZE];
    enum err_code code;

    json_free(f->page);
    f->page = NULL;
    f->next = NULL;
    do {
        buf_reset(&query);
        buf_addf(
            &query,
            "?$filter=alertCreationTime%%20ge%%20%s&$orderby=alertCreationTime&$expand=evidence"
            "&$top=%lld&$skip=%lld",
            clock_format(f->o.from_ms, from), (long long)f->page_size, (long long)f->skip);
        code = get_page(f, DEFENDER_ALERTS, buf_text(&query), &f->page, e);
        if (code == ERR_TOO_BIG)
            f->page_size /= 2;
    } while (code == ERR_TOO_BIG && f->page_size > 0);
    if (code)
        return code;
    f->skip += (int64_t)json_count(json_get(f->page, "value"));
    f->next = json_first(json_get(f->page, "value"));
    f->ended = !f->next;
    return f->ended ? ERR_OK : know_machines(f, e);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Is it one to be counted? */
static enum err_code take(struct feed *f, const struct json *alert, struct feed_item *ret,
                          struct err *e)
{
    const char *id = json_get_string(alert, "id");
    const char *created = json_get_string(alert, "alertCreationTime");
    const char *machine_id = json_get_string(alert, "machineId");
    struct known *k = is_machine_id(machine_id) ? find_machine(f, machine_id) : NULL;
    char *own;

    if (defender_misfit(DEFENDER_ALERTS, alert) || !created ||
        clock_parse(created, &ret->created_ms, NULL)) {
        f->unreadable++;
        return ERR_OK;
    }
    if (ret->created_ms >= f->o.to_ms || tfind(id, &f->seen, by_text))
        return ERR_OK;
    own = arena_str(f->arena, id);
    if (!own || !tsearch(own, &f->seen, by_text))
        return err_set(e, ERR_NOMEM, "backtest");
    ret->alert = alert;
    ret->machine = k ? k->machine : NULL;
    return ERR_OK;
}

enum err_code feed_next(struct feed *f, struct feed_item *ret, struct err *e)
{
    enum err_code code = ERR_OK;

    *ret = (struct feed_item){0};
    while (!code && !ret->alert) {
        const struct json *alert = f->next;

        if (f->ended)
            return ERR_OK;
        if (!alert) {
            code = next_page(f, e);
            continue;
        }
        f->next = json_next(alert);
        code = take(f, alert, ret, e);
    }
    return code;
}
