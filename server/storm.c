/* storm.c - see storm.h.
 *
 * How many ids one filter may hold is written nowhere, so it is found out: when Defender does not take a
 * call for what it is, the next ones hold half as much, and after an hour it is tried again. So it is when a list goes
 * on failing, because it takes too long or one of its alerts spoils it, and the first of its ids can be listed by
 * itself. With less than a handful it is no use: then everybody reads alone, as in quiet times. Nor is it where that first one
 * can be read, and not even be listed by itself.
 */
#include "storm.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "log.h"

/* Path and query of one call. 8 KiB is the longest request line that the service's own web server
 * (Kestrel) takes unless told otherwise; the host and the method need some of it. */
#define URL_MAX    7800
#define URL_BESIDE 200 /* what is not ids */

#define MANY_MIN    8
#define MANY_AGAIN  HOUR_MS
#define MACHINES    4000       /* that are shared at a time */
#define MACHINE_MAX (32 << 10) /* bytes of one; a larger one is not shared */

/* So long somebody waits for his turn. A Defender that is well has answered all lists of a batch by then; one that hangs
 * takes a minute for each, and other tenants need the threads. */
#define TURN_MS (5 * SECOND_MS)

/* A reader that waits says so every other second or more often. */
#define WAITED_MS (3 * SECOND_MS)

#define BARE    512 /* looks that are kept: those of a minute or two */
#define ID_SIZE 72

struct machine {
    char *id, *text; /* the document */
    int64_t read_ms; /* wall */
    int64_t got_ms;  /* mono: when that clock is set back, what is old may look young once more */
};

struct storm {
    const struct clock *clock;
    int64_t rests_until;  /* mono; of who has entered */
    pthread_mutex_t lock; /* of what follows, but for the machines */
    pthread_cond_t left;  /* !taken */
    bool taken;           /* somebody has entered */
    bool hangs;           /* and has kept others waiting for TURN_MS */
    size_t many;          /* ids in one call; 0: none */
    int64_t shrunk_ms;    /* mono */
    int64_t spoken_for;   /* calls */
    int64_t waited_ms;    /* mono; that a reader said it waits. 0: none does */
    int64_t last_read_ms; /* mono; 0: never */
    struct {
        char id[ID_SIZE];
        int64_t read_ms; /* wall; 0: free */
        int64_t got_ms;  /* mono, likewise */
    } bare[BARE];
    size_t next_bare;         /* the oldest */
    struct machine *machines; /* sorted by id; touched by who has entered alone */
    size_t n_machines;
};

enum err_code storm_new(const struct clock *clock, struct storm **ret, struct err *e)
{
    struct storm *s = calloc(1, sizeof *s);

    if (!s)
        return err_set(e, ERR_NOMEM, "storm");
    s->clock = clock;
    s->many = DEFENDER_MANY_MAX;
    (void)pthread_mutex_init(&s->lock, NULL); /* cannot fail without attributes on Linux */
    clock_cond_init(&s->left);
    *ret = s;
    return ERR_OK;
}

static void machine_clear(struct machine *m)
{
    free(m->id);
    free(m->text);
}

void storm_free(struct storm *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_machines; i++)
        machine_clear(&s->machines[i]);
    free(s->machines);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->left);
    free(s);
}

static void end_turn(struct storm *s)
{
    pthread_mutex_lock(&s->lock);
    s->taken = s->hangs = false;
    pthread_cond_signal(&s->left);
    pthread_mutex_unlock(&s->lock);
}

/* wait: for whoever has it, but not for one that hangs. */
static bool take_turn(struct storm *s, bool wait)
{
    const struct timespec until = clock_cond_until(TURN_MS);
    bool mine;

    pthread_mutex_lock(&s->lock);
    while (s->taken && wait && !s->hangs)
        s->hangs = pthread_cond_timedwait(&s->left, &s->lock, &until) != 0 && s->taken;
    mine = !s->taken;
    s->taken = true;
    pthread_mutex_unlock(&s->lock);
    return mine;
}

/* It is this thread's turn, unless everybody is to rest. */
static int64_t entered(struct storm *s)
{
    int64_t wait = s->rests_until - clock_mono_ms(s->clock);

    if (wait <= 0)
        return 0;
    end_turn(s);
    return wait;
}

int64_t storm_enter(struct storm *s)
{
    return take_turn(s, true) ? entered(s) : TURN_MS;
}

bool storm_hangs(struct storm *s)
{
    bool hangs;

    pthread_mutex_lock(&s->lock);
    hangs = s->hangs;
    pthread_mutex_unlock(&s->lock);
    return hangs;
}

bool storm_try_enter(struct storm *s, int64_t *ret_wait)
{
    if (!take_turn(s, false))
        return false;
    *ret_wait = entered(s);
    return true;
}

void storm_leave(struct storm *s, int64_t rest_ms)
{
    s->rests_until = clock_mono_ms(s->clock) + rest_ms;
    end_turn(s);
}

int64_t storm_speak_for(struct storm *s, int64_t free_calls, int64_t least, int64_t want)
{
    int64_t got;

    pthread_mutex_lock(&s->lock);
    got = free_calls - s->spoken_for < want ? free_calls - s->spoken_for : want;
    got = got >= least && got > 0 ? got : 0;
    s->spoken_for += got;
    pthread_mutex_unlock(&s->lock);
    return got;
}

int64_t storm_spoken_for(struct storm *s)
{
    int64_t n;

    pthread_mutex_lock(&s->lock);
    n = s->spoken_for;
    pthread_mutex_unlock(&s->lock);
    return n;
}

void storm_spent(struct storm *s, int64_t calls)
{
    pthread_mutex_lock(&s->lock);
    s->spoken_for -= calls;
    pthread_mutex_unlock(&s->lock);
}

void storm_wait_turn(struct storm *s)
{
    pthread_mutex_lock(&s->lock);
    s->waited_ms = clock_mono_ms(s->clock);
    pthread_mutex_unlock(&s->lock);
}

bool storm_is_waited_for(struct storm *s)
{
    bool waits;

    pthread_mutex_lock(&s->lock);
    waits = s->waited_ms && clock_mono_ms(s->clock) - s->waited_ms < WAITED_MS;
    pthread_mutex_unlock(&s->lock);
    return waits;
}

int64_t storm_read_ago(struct storm *s)
{
    int64_t ago;

    pthread_mutex_lock(&s->lock);
    ago = s->last_read_ms ? clock_mono_ms(s->clock) - s->last_read_ms : INT64_MAX;
    pthread_mutex_unlock(&s->lock);
    return ago;
}

static void note_read(struct storm *s)
{
    pthread_mutex_lock(&s->lock);
    s->last_read_ms = clock_mono_ms(s->clock);
    s->waited_ms = 0;
    pthread_mutex_unlock(&s->lock);
}

/* Its place, or -1. */
static int bare_locked(const struct storm *s, const char *machine_id)
{
    for (int i = 0; i < BARE; i++)
        if (s->bare[i].read_ms && strcasecmp(s->bare[i].id, machine_id) == 0)
            return i;
    return -1;
}

void storm_note_bare(struct storm *s, const char *machine_id, int64_t read_ms)
{
    int at;

    if (strlen(machine_id) >= ID_SIZE)
        return;
    pthread_mutex_lock(&s->lock);
    at = bare_locked(s, machine_id);
    if (at < 0) {
        at = (int)s->next_bare;
        s->next_bare = (s->next_bare + 1) % BARE;
    }
    (void)snprintf(s->bare[at].id, sizeof s->bare[at].id, "%s", machine_id);
    s->bare[at].read_ms = read_ms;
    s->bare[at].got_ms = clock_mono_ms(s->clock);
    pthread_mutex_unlock(&s->lock);
}

int64_t storm_find_bare(struct storm *s, const char *machine_id)
{
    int64_t read_ms = 0;
    int at;

    pthread_mutex_lock(&s->lock);
    at = bare_locked(s, machine_id);
    if (at >= 0 && clock_mono_ms(s->clock) - s->bare[at].got_ms < STORM_BARE_MS)
        read_ms = s->bare[at].read_ms;
    pthread_mutex_unlock(&s->lock);
    return read_ms;
}

void storm_forget_bare(struct storm *s, const char *machine_id)
{
    int at;

    pthread_mutex_lock(&s->lock);
    at = bare_locked(s, machine_id);
    if (at >= 0)
        s->bare[at].read_ms = 0;
    pthread_mutex_unlock(&s->lock);
}

/* ---- how much goes into one call ----------------------------------------------------------------- */

static size_t many(struct storm *s)
{
    size_t n;

    pthread_mutex_lock(&s->lock);
    if (s->many < DEFENDER_MANY_MAX && clock_mono_ms(s->clock) - s->shrunk_ms >= MANY_AGAIN)
        s->many = DEFENDER_MANY_MAX;
    n = s->many;
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* The call for n ids was refused: fewer from now on. */
static void shrink(struct storm *s, size_t n, const struct err *e)
{
    pthread_mutex_lock(&s->lock);
    if (n / 2 < s->many)
        s->many = n / 2 < MANY_MIN ? 0 : n / 2;
    s->shrunk_ms = clock_mono_ms(s->clock);
    pthread_mutex_unlock(&s->lock);
    log_event(LOG_WARN, "list_refused", LOG_INT("ids", (int64_t)n), LOG_ERR(e));
}

/* How many of the first ids go into the next call; 0: lists are no use. */
static size_t portion(struct storm *s, const char *const ids[], size_t n)
{
    size_t most = many(s), i = 0, bytes = URL_BESIDE;

    for (; i < n && i < most; i++) {
        bytes += strlen(ids[i]) + 3;
        if (bytes > URL_MAX)
            break;
    }
    return i;
}

/* Does a shorter call help? */
static bool is_too_long(enum err_code code)
{
    return code == ERR_REFUSED || code == ERR_TOO_BIG || code == ERR_NOT_FOUND;
}

/* A failure that says nothing about what was asked for. */
static bool is_transient(enum err_code code)
{
    return code == ERR_THROTTLED || code == ERR_AGAIN || code == ERR_STOPPING || code == ERR_NOMEM;
}

/* One list after the other. fn reads those from `at` on; ERR_INVALID: lists are no use. alone (NULL: lists did not go on failing
 * until now): can the one at `at` be read without a list? Then a few of those before *ret_done may be left out, because of one
 * among them. */
typedef enum err_code (*portion_fn)(void *ctx, size_t at, size_t n, struct err *e);
typedef bool (*alone_fn)(void *ctx, size_t at);

static enum err_code in_portions(struct storm *s, const char *const ids[], size_t n, portion_fn fn,
                                 void *ctx, alone_fn alone, size_t *ret_done, struct err *e)
{
    bool vain = false; /* a list of a few failed, and none has worked since */

    *ret_done = 0;
    while (*ret_done < n) {
        size_t some = portion(s, ids + *ret_done, n - *ret_done);
        enum err_code code = some ? fn(ctx, *ret_done, some, e)
                                  : err_set(e, ERR_INVALID, "Defender takes no lists of ids");

        if (!code) {
            *ret_done += some;
            vain = false;
        } else if (is_too_long(code)) {
            shrink(s, some, e);
        } else if (code == ERR_AGAIN && alone && some > 1 && !fn(ctx, *ret_done, 1, NULL)) {
            bool few = some / 2 < MANY_MIN; /* each is read alone, and the next list may do */

            *ret_done += few && !vain ? some : 1;
            if (few && vain)
                return err_set(e, ERR_INVALID, "lists of %zu ids go on failing", some);
            if (few)
                vain = true;
            else
                shrink(s, some, e);
        } else if (code == ERR_AGAIN && alone && alone(ctx, *ret_done)) {
            return err_set(e, ERR_INVALID, "lists go on failing, and one by itself does not");
        } else {
            return code;
        }
    }
    return ERR_OK;
}

/* ---- machines that are shared ---------------------------------------------------------------------- */

/* Where id is, or would be. */
static size_t machine_at(const struct storm *s, const char *id)
{
    size_t low = 0, high = s->n_machines;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (strcmp(s->machines[middle].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_fresh(const struct storm *s, const struct machine *m, int64_t now)
{
    return m->read_ms <= now && now - m->read_ms < STORM_FRESH_MS &&
           clock_mono_ms(s->clock) - m->got_ms < STORM_FRESH_MS;
}

/* What others read of it since then; NULL: nothing that is fresh. */
static const struct machine *shared_machine(const struct storm *s, const char *id, int64_t now,
                                            int64_t since_ms)
{
    size_t at = machine_at(s, id);

    if (at == s->n_machines || strcmp(s->machines[at].id, id) != 0 ||
        !is_fresh(s, &s->machines[at], now) || s->machines[at].read_ms < since_ms)
        return NULL;
    return &s->machines[at];
}

static void forget_old_machines(struct storm *s, int64_t now)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->n_machines; i++) {
        if (is_fresh(s, &s->machines[i], now))
            s->machines[kept++] = s->machines[i];
        else
            machine_clear(&s->machines[i]);
    }
    s->n_machines = kept;
}

/* There are as many as may be: those that are old are forgotten, or else the one that was read first. */
static void make_room(struct storm *s, int64_t now)
{
    size_t first = 0;

    forget_old_machines(s, now);
    if (s->n_machines < MACHINES)
        return;
    for (size_t i = 1; i < s->n_machines; i++)
        if (s->machines[i].read_ms < s->machines[first].read_ms)
            first = i;
    machine_clear(&s->machines[first]);
    s->n_machines--;
    memmove(&s->machines[first], &s->machines[first + 1],
            (s->n_machines - first) * sizeof *s->machines);
}

/* Without memory it is not shared: the next case reads it anew. */
static void share_machine(struct storm *s, const char *id, const struct json *doc, int64_t read_ms)
{
    struct buf text = BUF_INIT(MACHINE_MAX);
    struct machine m = {.id = strdup(id), .read_ms = read_ms, .got_ms = clock_mono_ms(s->clock)};
    size_t at;

    json_write(&text, doc);
    m.text = buf_failed(&text) ? NULL : buf_take(&text);
    buf_clear(&text);
    if (s->n_machines == MACHINES)
        make_room(s, read_ms);
    if (!s->machines)
        s->machines = calloc(MACHINES, sizeof *s->machines);
    if (!m.id || !m.text || !s->machines) {
        machine_clear(&m);
        return;
    }
    at = machine_at(s, id);
    if (at < s->n_machines && strcmp(s->machines[at].id, id) == 0) {
        machine_clear(&s->machines[at]);
    } else {
        memmove(&s->machines[at + 1], &s->machines[at], (s->n_machines - at) * sizeof *s->machines);
        s->n_machines++;
    }
    s->machines[at] = m;
}

/* ---- reading ------------------------------------------------------------------------------------- */

struct reading {
    struct storm *s;
    struct defender *d;
    struct storm_case *cases;
    const char **ids;
    bool stubborn;
};

static enum err_code read_alerts(void *ctx, size_t at, size_t n, struct err *e)
{
    struct reading *r = ctx;
    struct json *docs[DEFENDER_MANY_MAX];
    int64_t read_ms;
    enum err_code code = defender_list_alerts(r->d, r->ids + at, n, docs, &read_ms, e);

    for (size_t i = 0; i < n && !code; i++) {
        struct storm_case *c = &r->cases[at + i];

        c->missing = !docs[i];
        c->reads.alert = docs[i];
        c->reads.read_ms = read_ms;
    }
    return code;
}

static enum err_code read_machines(void *ctx, size_t at, size_t n, struct err *e)
{
    struct reading *r = ctx;
    struct json *docs[DEFENDER_MANY_MAX];
    int64_t read_ms;
    enum err_code code = defender_list_machines(r->d, r->ids + at, n, docs, &read_ms, e);

    for (size_t i = 0; i < n && !code; i++)
        if (docs[i]) {
            share_machine(r->s, r->ids[at + i], docs[i], read_ms);
            json_free(docs[i]);
        }
    return code;
}

static bool alert_alone(void *ctx, size_t at)
{
    const struct reading *r = ctx;
    struct defender_reads reads;
    enum err_code code;

    defender_read(r->d, r->ids[at], NULL, DEFENDER_READ_ALERT, &reads);
    code = reads.alert_code;
    defender_reads_clear(&reads);
    return !code || code == ERR_NOT_FOUND;
}

static bool machine_alone(void *ctx, size_t at)
{
    const struct reading *r = ctx;
    struct defender_reads reads;
    enum err_code code;

    defender_read(r->d, NULL, r->ids[at], DEFENDER_READ_MACHINE, &reads);
    code = reads.machine_code;
    defender_reads_clear(&reads);
    return !code || code == ERR_NOT_FOUND;
}

/* The machine an alert names, in the one spelling that lists are compared by; false: none fit for a list. */
static bool machine_of(const struct storm_case *c, char out[65])
{
    const char *id = json_get_string(c->reads.alert, "machineId");
    size_t n = id ? strspn(id, "0123456789abcdefABCDEF") : 0;

    if (n < 32 || n > 64 || id[n])
        return false;
    for (size_t i = 0; i <= n; i++)
        out[i] = id[i] >= 'A' && id[i] <= 'F' ? (char)(id[i] - 'A' + 'a') : id[i];
    return true;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Gives c its own copy of its machine. Facts are as old as their oldest part. */
static void hand_out(struct storm_case *c, const char *text, int64_t read_ms)
{
    c->reads.machine_code =
        json_parse(text, strlen(text), &c->reads.machine, &c->reads.machine_err);
    if (c->reads.machine_code) /* it was parsed before: memory */
        c->reads.machine_code = ERR_AGAIN;
    if (read_ms < c->reads.read_ms)
        c->reads.read_ms = read_ms;
}

/* ids: of the machines that were to be read; those from `done` on were not, because of code and why. */
static void give_machines(struct reading *r, size_t n, size_t n_ids, size_t done,
                          enum err_code code, const struct err *why)
{
    int64_t now = clock_wall_ms(r->s->clock);

    for (size_t i = 0; i < n; i++) {
        struct storm_case *c = &r->cases[i];
        const struct machine *m;
        char id[65];
        const char *key = id;
        const char **at;

        if (!c->reads.alert || !machine_of(c, id))
            continue;
        m = shared_machine(r->s, id, now, c->since_ms);
        at = bsearch(&key, r->ids, n_ids, sizeof *r->ids, compare_ids);
        if (m) {
            hand_out(c, m->text, m->read_ms);
        } else if (at && (size_t)(at - r->ids) >= done && is_transient(code)) {
            c->reads.machine_code = code;
            c->reads.machine_err = *why;
        } else { /* not listed, not to be had by lists, or too large to be shared */
            c->machine_missing = true;
        }
    }
}

static void with_machines(struct reading *r, size_t n)
{
    int64_t now = clock_wall_ms(r->s->clock);
    char names[STORM_CASES_MAX][65];
    const char *ids[STORM_CASES_MAX];
    size_t count = 0, unique = 0, done = 0;
    struct err e = {0};
    enum err_code code;

    for (size_t i = 0; i < n; i++)
        if (r->cases[i].reads.alert && machine_of(&r->cases[i], names[count]) &&
            !shared_machine(r->s, names[count], now, r->cases[i].since_ms)) {
            ids[count] = names[count];
            count++;
        }
    qsort(ids, count, sizeof *ids, compare_ids);
    for (size_t i = 0; i < count; i++)
        if (!i || strcmp(ids[i], ids[unique - 1]) != 0)
            ids[unique++] = ids[i];
    r->ids = ids;
    code = in_portions(r->s, ids, unique, read_machines, r, r->stubborn ? machine_alone : NULL,
                       &done, &e);
    give_machines(r, n, unique, done, code, &e);
}

void storm_read(struct storm *s, struct defender *d, struct storm_case cases[], size_t n)
{
    const char *ids[STORM_CASES_MAX] = {NULL};
    struct reading r = {.s = s, .d = d, .cases = cases, .ids = ids};
    size_t done;
    struct err e = {0};
    enum err_code code;

    for (size_t i = 0; i < n; i++) {
        ids[i] = cases[i].alert_id;
        r.stubborn = r.stubborn || cases[i].stubborn;
    }
    code = in_portions(s, ids, n, read_alerts, &r, r.stubborn ? alert_alone : NULL, &done, &e);
    for (size_t i = 0; i < done; i++)
        cases[i].alone = !cases[i].reads.alert && !cases[i].missing;
    for (size_t i = done; i < n; i++) {
        /* What may be for good is concluded from an answer for that one alert only. */
        cases[i].alone = !is_transient(code);
        cases[i].reads.alert_code = code;
        cases[i].reads.alert_err = e;
    }
    with_machines(&r, n);
    note_read(s);
}

/* ---- looks --------------------------------------------------------------------------------------- */

struct looking {
    struct defender *d;
    const char *const *ids;
    struct defender_reads *const *looks;
};

static enum err_code look_at(void *ctx, size_t at, size_t n, struct err *e)
{
    const struct looking *l = ctx;

    return defender_look(l->d, l->ids + at, n, l->looks + at, e);
}

enum err_code storm_look(struct storm *s, struct defender *d, const char *const ids[], size_t n,
                         struct defender_reads *const looks[], struct err *e)
{
    struct looking l = {.d = d, .ids = ids, .looks = looks};
    size_t done;

    return in_portions(s, ids, n, look_at, &l, NULL, &done, e); /* who fails looks alone */
}
