/* fickle.c - see fickle.h. */
#include "fickle.h"

#include <assert.h>
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auto.h"
#include "buf.h"

#define PORTAL    FICKLE_KINDS /* dice of the portal's */
#define TIMELESS  13           /* an alert in so many says not when it changed */
#define FNV_PRIME 1099511628211u

struct fickle {
    struct hands *hands;
    int64_t mono0, wall0;
    fickle_fn fn;
    void *ctx;
    uint64_t seed, dice[FICKLE_KINDS + 1];

    pthread_mutex_t lock; /* of what follows */
    unsigned badness;
    bool ids_back;     /* ExternalId comes back */
    unsigned conflict; /* what a second request of a kind gets: section 4.5's three ways */
    bool strict;       /* likewise one while the opposite is under way */
    bool loud;         /* machine ids in alerts are in capitals */
    struct fickle_action actions[FICKLE_ACTIONS];
    size_t n;
    struct fickle_alert alerts[FICKLE_ALERTS];
    struct fickle_machine machines[FICKLE_MACHINES];
    int64_t calls[FICKLE_TENANTS][FICKLE_CALLS]; /* when they came */
    size_t n_calls[FICKLE_TENANTS];
};

/* splitmix64 */
static unsigned roll(struct fickle *f, int of, unsigned below)
{
    uint64_t z = (f->dice[of] += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (unsigned)((z ^ (z >> 31)) % below);
}

/* What becomes of a request that only reads follows from what it asks for and when: in which order those come that
 * leave side by side, nobody knows. */
static void cast(struct fickle *f, enum fickle_kind kind, const char *target)
{
    uint64_t h = f->seed ^ (uint64_t)fickle_now(f) * FNV_PRIME;

    for (const char *p = target; *p; p++)
        h = (h ^ (unsigned char)*p) * FNV_PRIME;
    f->dice[kind] = h;
}

struct fickle *fickle_new(struct hands *hands, uint64_t seed, fickle_fn fn, void *ctx)
{
    struct fickle *f = calloc(1, sizeof *f);

    assert(f);
    f->hands = hands;
    f->seed = seed;
    f->mono0 = hands_mono(&hands->clock);
    f->wall0 = hands_wall(&hands->clock);
    f->fn = fn;
    f->ctx = ctx;
    for (int i = 0; i <= FICKLE_KINDS; i++)
        f->dice[i] = (seed + 1) * 1000003 + (uint64_t)i * 7919;
    f->ids_back = roll(f, PORTAL, 4) > 0;
    f->conflict = roll(f, PORTAL, 3);
    f->strict = roll(f, PORTAL, 3) == 0;
    f->loud = roll(f, PORTAL, 4) == 0;
    for (int i = 0; i < FICKLE_ALERTS; i++) {
        f->alerts[i].severity = "High";
        f->alerts[i].machine = i % FICKLE_MACHINES;
    }
    (void)pthread_mutex_init(&f->lock, NULL);
    return f;
}

void fickle_free(struct fickle *f)
{
    if (!f)
        return;
    (void)pthread_mutex_destroy(&f->lock);
    free(f);
}

void fickle_weather(struct fickle *f, unsigned badness)
{
    (void)pthread_mutex_lock(&f->lock);
    f->badness = badness;
    (void)pthread_mutex_unlock(&f->lock);
}

void fickle_sync(struct fickle *f)
{
    (void)pthread_mutex_lock(&f->lock);
    (void)pthread_mutex_unlock(&f->lock);
}

int64_t fickle_now(const struct fickle *f)
{
    return f->wall0 + hands_mono(&f->hands->clock) - f->mono0;
}

size_t fickle_calls(struct fickle *f, int tenant, int64_t within_ms)
{
    const int64_t *at = f->calls[tenant];
    size_t most = 0;

    for (size_t from = 0, to = 0; to < f->n_calls[tenant]; to++) {
        while (at[to] - at[from] >= within_ms)
            from++;
        most = to - from + 1 > most ? to - from + 1 : most;
    }
    return most;
}

struct fickle_alert *fickle_alert(struct fickle *f, int alert)
{
    return &f->alerts[alert];
}

void fickle_alert_changes(struct fickle *f, int alert)
{
    struct fickle_alert *a = &f->alerts[alert];

    (void)pthread_mutex_lock(&f->lock);
    a->changed = fickle_now(f);
    if (!a->made)
        a->made = a->changed - roll(f, PORTAL, 30000);
    a->shows = a->changed + roll(f, PORTAL, f->badness ? 60000 : 1);
    (void)pthread_mutex_unlock(&f->lock);
}

void fickle_alert_found(struct fickle *f, int alert)
{
    (void)pthread_mutex_lock(&f->lock);
    f->alerts[alert].found = fickle_now(f) + roll(f, PORTAL, f->badness ? 60000 : 1);
    (void)pthread_mutex_unlock(&f->lock);
}

struct fickle_machine *fickle_machine(struct fickle *f, int machine)
{
    return &f->machines[machine];
}

static char alert_ids[FICKLE_ALERTS / FICKLE_TENANTS][16];

static void name_alerts(void)
{
    for (int i = 0; i < FICKLE_ALERTS / FICKLE_TENANTS; i++)
        (void)snprintf(alert_ids[i], sizeof alert_ids[i], "da63_-%02d", i);
}

const char *fickle_alert_id(int alert)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, name_alerts);
    return alert_ids[alert / FICKLE_TENANTS];
}

const char *fickle_machine_id(int machine)
{
    static const char *const ids[] = {"9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f1",
                                      "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f2",
                                      "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f3"};

    return ids[machine / FICKLE_TENANTS];
}

/* ---- the truth ------------------------------------------------------------------------------------ */

bool fickle_is_isolate(const struct fickle_action *a)
{
    return strcmp(a->type, "Isolate") == 0;
}

bool fickle_is_release(const struct fickle_action *a)
{
    return strcmp(a->type, "Unisolate") == 0;
}

/* Does it change whether the machine is isolated? */
static bool counts(const struct fickle_action *a)
{
    return fickle_is_isolate(a) || fickle_is_release(a);
}

const char *fickle_status(const struct fickle_action *a, int64_t at)
{
    return at < a->begins ? "Pending" : at < a->ends ? "InProgress" : a->end;
}

bool fickle_is_open(const struct fickle_action *a, int64_t at)
{
    return at < a->ends;
}

const struct fickle_action *fickle_in_force(struct fickle *f, int machine, int64_t at)
{
    const struct fickle_action *last = NULL;

    for (size_t i = 0; i < f->n; i++) {
        const struct fickle_action *a = &f->actions[i];

        if (a->machine == machine && counts(a) && at >= a->ends &&
            strcmp(a->end, "Succeeded") == 0 && (!last || a->ends >= last->ends))
            last = a;
    }
    return last;
}

bool fickle_is_isolated(struct fickle *f, int machine, int64_t at)
{
    const struct fickle_action *a = fickle_in_force(f, machine, at);

    return a && fickle_is_isolate(a);
}

bool fickle_was_isolated(struct fickle *f, int machine, int64_t from, int64_t to)
{
    bool was = fickle_is_isolated(f, machine, from);

    for (size_t i = 0; i < f->n && !was; i++) {
        const struct fickle_action *a = &f->actions[i];

        was = a->machine == machine && fickle_is_isolate(a) && a->ends > from && a->ends <= to &&
              strcmp(a->end, "Succeeded") == 0;
    }
    return was;
}

const struct fickle_action *fickle_nth(struct fickle *f, size_t n)
{
    return n < f->n ? &f->actions[n] : NULL;
}

/* ---- making actions, locked ------------------------------------------------------------------------ */

static struct fickle_action *find_open(struct fickle *f, int machine, const char *type, int64_t now)
{
    for (size_t i = f->n; i-- > 0;) {
        struct fickle_action *a = &f->actions[i];

        if (a->machine == machine && strcmp(a->type, type) == 0 && fickle_is_open(a, now))
            return a;
    }
    return NULL;
}

static int64_t one_of_ends(const struct fickle *f, int machine, int64_t at)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->actions[i].machine == machine && f->actions[i].ends == at)
            return 1;
    return 0;
}

static struct fickle_action *make(struct fickle *f, int dice, int machine, const char *type,
                                  int64_t shows)
{
    struct fickle_action *a = &f->actions[f->n];
    unsigned how = roll(f, dice, 100), pace = roll(f, dice, 100);
    int64_t now = fickle_now(f);

    assert(f->n < FICKLE_ACTIONS);
    *a = (struct fickle_action){.machine = machine, .type = type, .made = now};
    (void)snprintf(a->id, sizeof a->id, "b2d0c1f4-7a83-4f5e-9f66-%012zx", f->n + 1);
    a->begins = now + roll(f, dice, 5000);
    a->ends = a->begins + 500 + roll(f, dice, pace < 60 ? 4000 : pace < 90 ? 300000 : 14400000);
    a->shows = shows;
    a->end = how < 80 ? "Succeeded" : how < 88 ? "Failed" : how < 94 ? "Cancelled" : "TimeOut";
    if (f->badness == 0) {
        a->end = "Succeeded";
        a->ends = a->begins + 500 + roll(f, dice, 60000);
    }
    while (one_of_ends(f, machine, a->ends)) /* nobody could tell which of two came last */
        a->ends += 1;
    f->n++;
    return a;
}

bool fickle_portal(struct fickle *f, int machine, bool release)
{
    const char *type = release ? "Unisolate" : "Isolate";
    bool made;

    (void)pthread_mutex_lock(&f->lock);
    made = !find_open(f, machine, type, fickle_now(f));
    if (made)
        (void)make(f, PORTAL, machine, type,
                   fickle_now(f) + roll(f, PORTAL, f->badness ? 8000 : 1));
    (void)pthread_mutex_unlock(&f->lock);
    return made;
}

/* ---- documents, locked ------------------------------------------------------------------------------ */

/* As it stood at `at`. */
static void add_action(struct fickle *f, struct buf *out, const struct fickle_action *a, int64_t at)
{
    int64_t updated = at < a->begins ? a->made : at < a->ends ? a->begins : a->ends;
    char made[CLOCK_TEXT_SIZE], then[CLOCK_TEXT_SIZE];
    char external[100];

    (void)snprintf(external, sizeof external, "\"%s\"", a->external);
    buf_addf(out,
             "{\"id\":\"%s\",\"type\":\"%s\",\"status\":\"%s\",\"machineId\":\"%s\","
             "\"creationDateTimeUtc\":\"%s\",\"lastUpdateDateTimeUtc\":\"%s\",\"externalId\":%s,"
             "\"requestor\":\"%s\"}",
             a->id, a->type, fickle_status(a, at), fickle_machine_id(a->machine),
             clock_format(a->made, made), clock_format(updated, then),
             f->ids_back && a->external[0] ? external : "null", a->ours ? "cordon" : "anna");
}

static void say(struct peer_answer *ret, int status, const char *body)
{
    ret->status = status;
    ret->body = strdup(body);
}

static void throttle(struct fickle *f, int dice, struct peer_answer *ret)
{
    static const char *const headers[] = {"Retry-After: 2\r\n", "Retry-After: 20\r\n",
                                          "Retry-After: 100\r\n"};

    ret->headers = headers[roll(f, dice, 3)];
    say(ret, 429, "{\"error\":{\"code\":\"TooManyRequests\",\"message\":\"m\"}}");
}

/* Gone in the middle of the answer. Not without a word: then it may be asked again, by what the client knows of its
 * connections. */
static void break_off(struct peer_answer *ret)
{
    say(ret, 200, "{}");
    ret->cut = 20;
}

/* An answer that says nothing, if the weather wants it so. */
static bool is_spoilt(struct fickle *f, enum fickle_kind kind, struct peer_answer *ret)
{
    if (roll(f, (int)kind, 100) >= f->badness)
        return false;
    switch (roll(f, (int)kind, 8)) {
    case 0:
        throttle(f, (int)kind, ret);
        break;
    case 1:
        break_off(ret);
        break;
    case 2:
        say(ret, 500, "{}");
        break;
    case 3:
        say(ret, 401, "{\"error\":{\"code\":\"Unauthorized\",\"message\":\"m\"}}");
        break;
    case 4:
        say(ret, kind == FICKLE_ACTION ? 404 : 503,
            "{\"error\":{\"code\":\"ResourceNotFound\",\"message\":\"m\"}}");
        break;
    default:
        say(ret, 503, "");
    }
    return true;
}

static void answer_alert(struct fickle *f, int alert, struct buf *out)
{
    struct fickle_alert *a = &f->alerts[alert];
    char machine[60];

    a->named[a->machine] = fickle_now(f);
    (void)snprintf(machine, sizeof machine, "%s", fickle_machine_id(a->machine));
    for (char *p = machine; *p && f->loud; p++)
        *p = (char)toupper((unsigned char)*p);
    if (strcmp(a->severity, "High") == 0)
        a->lowered = 0;
    else if (!a->lowered)
        a->lowered = fickle_now(f);
    a->was_lowered = a->was_lowered || a->lowered;
    a->shown = a->severity;
    buf_addf(out, "{\"id\":\"%s\",\"severity\":\"%s\",\"title\":\"Alert %d\",\"machineId\":\"%s\"}",
             fickle_alert_id(alert), a->severity, alert, machine);
}

static void answer_machine(struct fickle *f, int machine, struct buf *out)
{
    struct fickle_machine *m = &f->machines[machine];
    char seen[CLOCK_TEXT_SIZE];

    if (!m->tagged)
        m->tagged_since = 0;
    else if (!m->tagged_since)
        m->tagged_since = fickle_now(f);
    m->shown_tagged = m->tagged;
    if (!m->merged)
        m->merged_since = 0;
    else if (!m->merged_since)
        m->merged_since = fickle_now(f);
    m->shown_merged = m->merged;
    buf_addf(out,
             "{\"id\":\"%s\",\"computerDnsName\":\"ws-%d.corp.example\",\"machineTags\":[%s],"
             "\"lastSeen\":\"%s\",\"mergedIntoMachineId\":%s}",
             fickle_machine_id(machine), machine, m->tagged ? "\"tier-0\"" : "",
             clock_format(fickle_now(f), seen),
             m->merged ? "\"0c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f0\"" : "null");
}

static int compare(const void *a, const void *b)
{
    const struct fickle_action *x = *(const struct fickle_action *const *)a;
    const struct fickle_action *y = *(const struct fickle_action *const *)b;

    return x->made < y->made ? -1 : x->made > y->made;
}

/* A list may lack for a while what it had before. */
static bool is_mislaid(struct fickle *f, const struct fickle_action *a)
{
    return f->badness && a->known && a->ours && fickle_is_isolate(a) &&
           roll(f, FICKLE_LIST, 10) == 0;
}

/* Of alerts, by when they changed; NULLs are first. */
static int64_t changed(const struct fickle *f, int alert)
{
    return alert % TIMELESS ? f->alerts[alert].changed : 0;
}

/* The time that a filter asks from. */
static int64_t since_in(const char *query)
{
    const char *at = strstr(query, "%20ge%20");
    char text[40];
    int64_t from = 0;

    if (!at)
        return 0;
    (void)snprintf(text, sizeof text, "%.*s", (int)strcspn(at + 8, "%&"), at + 8);
    assert(!clock_parse(text, &from, NULL));
    return from;
}

/* The alerts that were made or changed since a time. */
static void answer_changes(struct fickle *f, int tenant, const char *query, struct buf *out)
{
    int64_t now = fickle_now(f), from = since_in(query);
    int list[FICKLE_ALERTS], n = 0;

    for (int i = tenant; i < FICKLE_ALERTS; i += FICKLE_TENANTS) {
        const struct fickle_alert *a = &f->alerts[i];
        int at = n;

        if (!a->made || a->hidden || now < a->shows || (changed(f, i) < from && a->made < from))
            continue;
        for (; at > 0 && changed(f, list[at - 1]) > changed(f, i); at--)
            list[at] = list[at - 1];
        list[at] = i;
        n++;
    }
    buf_adds(out, "{\"value\":[");
    for (int i = (int)strtoul(strstr(query, "$skip=") + 6, NULL, 10); i < n; i++) {
        const struct fickle_alert *a = &f->alerts[list[i]];
        char made[CLOCK_TEXT_SIZE], then[CLOCK_TEXT_SIZE];

        buf_addf(out, "%s{\"id\":\"%s\",\"severity\":\"%s\",\"machineId\":\"%s\",", i ? "," : "",
                 fickle_alert_id(list[i]), a->severity, fickle_machine_id(a->machine));
        buf_addf(out,
                 "\"alertCreationTime\":\"%s\",\"lastUpdateTime\":", clock_format(a->made, made));
        if (changed(f, list[i]))
            buf_addf(out, "\"%s\"}", clock_format(a->changed, then));
        else
            buf_adds(out, "null}");
    }
    buf_adds(out, "]}");
}

/* What a query finds, whatever it is. */
static void answer_hunt(struct fickle *f, int tenant, struct buf *out)
{
    bool some = false;

    buf_adds(out, "{\"Schema\":[{\"Name\":\"Timestamp\",\"Type\":\"DateTime\"},"
                  "{\"Name\":\"DeviceId\",\"Type\":\"String\"},"
                  "{\"Name\":\"AlertId\",\"Type\":\"String\"}],\"Results\":[");
    for (int i = tenant; i < FICKLE_ALERTS; i += FICKLE_TENANTS) {
        const struct fickle_alert *a = &f->alerts[i];
        char at[CLOCK_TEXT_SIZE];

        if (!a->found || fickle_now(f) < a->found)
            continue;
        buf_addf(out, "%s{\"Timestamp\":\"%s\",\"DeviceId\":\"%s\",\"AlertId\":\"%s\"}",
                 some ? "," : "", clock_format(a->found, at),
                 fickle_machine_id(i % FICKLE_MACHINES), fickle_alert_id(i));
        some = true;
    }
    buf_adds(out, "]}");
}

/* The actions that a filter asks for: of machines, by their own ids, or since a time. */
static void answer_actions(struct fickle *f, int tenant, const char *query, struct buf *out)
{
    const struct fickle_action *list[FICKLE_ACTIONS];
    bool of_machines = strstr(query, "machineId") != NULL, by_id = strstr(query, "filter=id");
    bool typed = strstr(query, "type") != NULL;
    bool desc = strstr(query, "desc") != NULL, some = false;
    const char *skip = strstr(query, "$skip=");
    int64_t now = fickle_now(f), from = since_in(query);
    int64_t lag = roll(f, FICKLE_LIST, f->badness ? 3 : 1) * 600;
    size_t n = 0;

    for (size_t i = 0; i < f->n; i++) {
        const struct fickle_action *a = &f->actions[i];

        if (a->machine % FICKLE_TENANTS != tenant || now < a->shows || a->made < from ||
            (of_machines && !strstr(query, fickle_machine_id(a->machine))) ||
            (by_id && !strstr(query, a->id)) || (typed && !strstr(query, a->type)) ||
            is_mislaid(f, a))
            continue;
        list[n++] = a;
    }
    qsort(list, n, sizeof list[0], compare);
    buf_adds(out, "{\"value\":[");
    for (size_t i = skip ? strtoul(skip + 6, NULL, 10) : 0; i < n; i++) {
        const struct fickle_action *a = list[desc ? n - 1 - i : i];

        buf_adds(out, some ? "," : "");
        add_action(f, out, a, now - lag < a->made ? a->made : now - lag);
        some = true;
    }
    buf_adds(out, "]}");
    for (int m = tenant; of_machines && m < FICKLE_MACHINES; m += FICKLE_TENANTS) {
        struct fickle_machine *k = &f->machines[m];
        const struct fickle_action *last = NULL;

        if (!strstr(query, fickle_machine_id(m)) || !strstr(query, "Unisolate"))
            continue;
        k->looked = true;
        k->look = now;
        k->look_open = false;
        for (size_t i = 0; i < n; i++) {
            if (list[i]->machine != m)
                continue;
            k->look_open =
                k->look_open || (fickle_is_isolate(list[i]) && fickle_is_open(list[i], now - lag));
            if (now - lag >= list[i]->ends && strcmp(list[i]->end, "Succeeded") == 0 &&
                (!last || list[i]->ends > last->ends))
                last = list[i];
        }
        k->look_isolated = last && fickle_is_isolate(last);
    }
}

/* A request to act: is it carried out, and what is said of it? */
static void carry_out(struct fickle *f, const struct fickle_event *ev, struct peer_answer *ret)
{
    static const char conflict[] =
        "{\"error\":{\"code\":\"ActiveRequestAlreadyExists\",\"message\":\"m\"}}";
    static const char *const opposites[] = {"Isolate", "Unisolate", "RestrictCodeExecution",
                                            "UnrestrictCodeExecution"};
    unsigned fate = roll(f, FICKLE_POST, 100), kind = roll(f, FICKLE_POST, 8);
    int64_t now = fickle_now(f), late = 0;
    struct fickle_action *a = find_open(f, ev->machine, ev->type, now);
    AUTO(buf_clear) struct buf out = BUF_INIT(4096);
    int status = 201;

    if (fate < f->badness && kind == 7) {
        say(ret, 401, "{\"error\":{\"code\":\"Unauthorized\",\"message\":\"m\"}}");
        return;
    }
    if (fate < f->badness && kind < 3) { /* not carried out */
        if (kind == 0)
            throttle(f, FICKLE_POST, ret);
        else if (kind == 1)
            ret->act = PEER_CLOSE;
        else
            say(ret, 503, "");
        return;
    }
    if (fate < f->badness && kind == 6 && roll(f, FICKLE_POST, 3) == 0) {
        say(ret, 403, "{\"error\":{\"code\":\"Forbidden\",\"message\":\"m\"}}");
        return;
    }
    if (a && f->conflict == 0) {
        say(ret, 400, conflict);
        return;
    }
    for (size_t i = 0; f->strict && i < 4; i++)
        if (strcmp(ev->type, opposites[i]) == 0 &&
            find_open(f, ev->machine, opposites[i ^ 1], now)) {
            say(ret, 400, conflict);
            return;
        }
    if (a && f->conflict == 1) {
        status = 200;
    } else {
        late = roll(f, FICKLE_POST, f->badness ? 8000 : 1);
        a = make(f, FICKLE_POST, ev->machine, ev->type, now + late);
        a->ours = true;
        (void)snprintf(a->external, sizeof a->external, "%s", ev->external);
    }
    if (fate < f->badness && kind < 6) { /* carried out, and nobody hears of it */
        if (kind == 3)
            ret->act = PEER_CLOSE;
        else if (kind == 4)
            say(ret, 500, "{}");
        else
            say(ret, 504, "");
        return;
    }
    add_action(f, &out, a, now);
    say(ret, status, buf_text(&out));
}

/* ---- requests --------------------------------------------------------------------------------------- */

static int alert_of(const char *target, int tenant)
{
    for (int i = tenant; i < FICKLE_ALERTS; i += FICKLE_TENANTS)
        if (strncmp(target, fickle_alert_id(i), strlen(fickle_alert_id(i))) == 0)
            return i;
    return -1;
}

static int machine_of(const char *target, int tenant)
{
    for (int i = tenant; i < FICKLE_MACHINES; i += FICKLE_TENANTS)
        if (strncmp(target, fickle_machine_id(i), strlen(fickle_machine_id(i))) == 0)
            return i;
    return -1;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void answer_token(const char *target, struct peer_answer *ret)
{
    char text[100];

    (void)snprintf(text, sizeof text, "{\"expires_in\":35990,\"access_token\":\"t%c\"}", target[1]);
    say(ret, 200, text);
}

/* Of the action that is asked for at the end of a path. */
static const char *type_of(const char *tail)
{
    static const char *const types[] = {"Isolate",
                                        "Unisolate",
                                        "RunAntiVirusScan",
                                        "CollectInvestigationPackage",
                                        "RestrictCodeExecution",
                                        "UnrestrictCodeExecution",
                                        "StopAndQuarantineFile"};

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcasecmp(tail, types[i]) == 0)
            return types[i];
    assert(!"an action that is known");
    return "";
}

static void answer_post(struct fickle *f, int machine, const struct peer_request *q,
                        struct peer_answer *ret)
{
    const char *at = strstr(q->body, "\"ExternalId\":\""), *tail = strrchr(q->target, '/');
    struct fickle_event ev = {.kind = FICKLE_POST, .machine = machine, .type = type_of(tail + 1)};
    char external[80] = "";

    if (at)
        (void)snprintf(external, sizeof external, "%.*s", (int)strcspn(at + 14, "\""), at + 14);
    ev.external = external;
    if (!f->fn(f->ctx, &ev)) {
        ret->act = PEER_CLOSE;
        return;
    }
    (void)pthread_mutex_lock(&f->lock);
    carry_out(f, &ev, ret);
    (void)pthread_mutex_unlock(&f->lock);
    ev.done = true;
    if (!f->fn(f->ctx, &ev))
        ret->act = PEER_CLOSE;
}

/* Lists of alerts and of machines: all whose ids stand in the query. */
static void answer_list(struct fickle *f, int tenant, const struct peer_request *q, struct buf *out)
{
    bool alerts = begins(q->target, "/api/alerts"), some = false;
    int n = alerts ? FICKLE_ALERTS : FICKLE_MACHINES;
    char quoted[80];

    buf_adds(out, "{\"value\":[");
    for (int i = tenant; i < n; i += FICKLE_TENANTS) {
        (void)snprintf(quoted, sizeof quoted, "'%s'",
                       alerts ? fickle_alert_id(i) : fickle_machine_id(i));
        if (!strstr(q->target, quoted) || (alerts && f->alerts[i].hidden))
            continue;
        buf_adds(out, some ? "," : "");
        if (alerts)
            answer_alert(f, i, out);
        else
            answer_machine(f, i, out);
        some = true;
    }
    buf_adds(out, "]}");
}

static void answer_one(struct fickle *f, enum fickle_kind kind, int tenant,
                       const struct peer_request *q, struct buf *out)
{
    const char *last = strrchr(q->target, '/') + 1;
    int of = kind == FICKLE_ALERT ? alert_of(q->target + strlen("/api/alerts/"), tenant)
                                  : machine_of(last, tenant);

    if (begins(q->target, "/api/alerts?") && strstr(q->target, "lastUpdateTime"))
        answer_changes(f, tenant, q->target, out);
    else if (strchr(q->target, '?') && kind != FICKLE_LIST && !begins(q->target, "/api/alerts/"))
        answer_list(f, tenant, q, out);
    else if (kind == FICKLE_LIST)
        answer_actions(f, tenant, q->target, out);
    else if (kind == FICKLE_ALERT && of >= 0 && f->alerts[of].hidden)
        return;
    else if (kind == FICKLE_ALERT && of >= 0)
        answer_alert(f, of, out);
    else if (kind == FICKLE_MACHINE && of >= 0)
        answer_machine(f, of, out);
    for (size_t i = 0; kind == FICKLE_ACTION && i < f->n; i++) {
        struct fickle_action *a = &f->actions[i];

        if (strcmp(a->id, last) == 0) {
            a->known = true;
            add_action(f, out, a, fickle_now(f));
        } else if (strcmp(last, "getPackageUri") == 0 && strstr(q->target, a->id) &&
                   !fickle_is_open(a, fickle_now(f))) {
            buf_adds(out, "{\"value\":\"https://packages.example/p.zip\"}");
        }
    }
}

void fickle_answer(void *ctx, const struct peer_request *q, struct peer_answer *ret)
{
    struct fickle *f = ctx;
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    const char *bearer = peer_header(q, "Authorization");
    int tenant = bearer && strcmp(bearer, "Bearer t1") == 0;
    enum fickle_kind kind = begins(q->target, "/api/alerts")            ? FICKLE_ALERT
                            : begins(q->target, "/api/machineactions/") ? FICKLE_ACTION
                            : begins(q->target, "/api/machineactions")  ? FICKLE_LIST
                            : begins(q->target, "/api/machines")        ? FICKLE_MACHINE
                                                                        : FICKLE_TOKEN;

    if (kind == FICKLE_TOKEN && !begins(q->target, "/api/")) {
        answer_token(q->target, ret);
        return;
    }
    if (begins(q->target,
               "/api/advancedqueries/")) { /* it only reads, and has a budget of its own */
        (void)pthread_mutex_lock(&f->lock);
        cast(f, FICKLE_ALERT, q->target);
        if (!is_spoilt(f, FICKLE_ALERT, ret)) {
            answer_hunt(f, tenant, &out);
            say(ret, 200, buf_text(&out));
        }
        (void)pthread_mutex_unlock(&f->lock);
        return;
    }
    (void)pthread_mutex_lock(&f->lock);
    if (f->n_calls[tenant] < FICKLE_CALLS)
        f->calls[tenant][f->n_calls[tenant]++] = fickle_now(f);
    (void)pthread_mutex_unlock(&f->lock);
    if (strcmp(q->method, "POST") == 0) {
        int machine = machine_of(q->target + strlen("/api/machines/"), tenant);

        assert(machine >= 0);
        answer_post(f, machine, q, ret);
        return;
    }
    if (kind == FICKLE_LIST &&
        !f->fn(f->ctx, &(struct fickle_event){.kind = kind, .external = q->target})) {
        break_off(ret);
        return;
    }
    (void)pthread_mutex_lock(&f->lock);
    cast(f, kind, q->target);
    if (!is_spoilt(f, kind, ret)) {
        answer_one(f, kind, tenant, q, &out);
        if (buf_text(&out)[0])
            say(ret, 200, buf_text(&out));
        else
            say(ret, 404, "{\"error\":{\"code\":\"ResourceNotFound\",\"message\":\"m\"}}");
    }
    (void)pthread_mutex_unlock(&f->lock);
}
