/* test_weather.c - the two promises in any weather: random lives of an engine, judged by what Defender saw.
 *
 * A life is a few hundred steps, each of which the dice choose: alerts are pushed or wait for a poll, work that is due
 * is run, time passes, people give orders and answer questions, the policy changes, a lease is lost, a record cannot
 * be written, the wall clock is set, a process is stopped or dies, and Defender (kit/fickle.h) answers as it pleases.
 * Any of that may happen in the middle of a run, too: at each request that it sends, and around each transaction that
 * it writes. Then the weather clears, hours pass, and everything must have come to an end.
 *
 * What must hold is judged by the far side: at every request to act, whether cordon had been shown that it is wrong;
 * at every notice, whether it is true; in the end, whether the ledger and the last word are.
 *
 * A life follows from its seed. One that went wrong is lived again, with what happened in it, by
 *
 *     WEATHER_SEED=1234 build/test_weather         WEATHER_SEED=1000-1999: many, as far as they are good
 *
 * From SHARED_FROM on, two processes with clocks that differ live it on one PostgreSQL.
 */
#include "engine_kit.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "action.h"
#include "desk.h"
#include "hunting.h"
#include "kit/fickle.h"
#include "kit/postgres.h"
#include "log.h"
#include "pause.h"
#include "polling.h"
#include "reconcile.h"
#include "store_questions.h"
#include "store_quota.h"
#include "upkeep.h"

#define STEPS         250
#define SEEDS         12 /* of the suite */
#define SHARED_SEEDS  2
#define SHARED_FROM   1000000
#define RUN_MAX       200
#define CLOCK_OFF_MAX 2000 /* of a replica's clock from the database's: it takes no more */

/* ---- chance --------------------------------------------------------------------------------------- */

static _Atomic uint64_t chance, chance_of_others;

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* In place of the C library's: what the engine leaves to chance (how long it waits after a failure, four bytes at a
 * time) follows from the seed, too. What libraries take in threads of their own does not come in between. */
ssize_t getrandom(void *buffer, size_t length, unsigned flags)
{
    _Atomic uint64_t *from = length == sizeof(uint32_t) ? &chance : &chance_of_others;

    (void)flags;
    for (size_t i = 0; i < length; i++)
        ((unsigned char *)buffer)[i] =
            (unsigned char)mix(atomic_fetch_add(from, 0x9e3779b97f4a7c15u));
    return (ssize_t)length;
}

/* No power is cut here, and what a killed process has written stays: the disk is not waited for. */
int fsync(int fd)
{
    (void)fd;
    return 0;
}

int fdatasync(int fd)
{
    (void)fd;
    return 0;
}

/* ---- a life ---------------------------------------------------------------------------------------- */

enum {
    POLICY_ISOLATES = 1,
    POLICY_PROTECTS = 2,
    POLICY_LIMITS = 4,
    POLICY_RELEASES = 8,
    POLICY_SELECTIVE = 16,
    POLICY_ASKS = 32,
    POLICY_ASKS_DOUBT = 64,
    POLICY_REVIEWS = 128, /* soon */
    POLICY_NARROW = 256,  /* half of the limit */
    POLICY_SHADOW = 512,
    POLICY_CANARY = 1024,
    POLICY_MORE = 2048,   /* steps besides the isolation */
    POLICY_FREES = 4096,  /* by a rule */
    POLICY_PAIR = 8192,   /* two people say yes */
    POLICY_ALONE = 16384, /* the other tenant is not configured */
    POLICIES = 32768
};

#define CALLS_MIN  7 /* that a poor tenant has in a minute, and in an hour */
#define CALLS_HOUR 300
/* So many that left side by side may come late, and so count with those that leave after them. */
#define CALLS_LATE 3

/* What the tester knows of an alert. */
struct known {
    int64_t id;           /* its case */
    bool strong;          /* pushed by a source that may isolate */
    int named;            /* and its first such push named this machine; -1: none */
    int64_t dropped, yes; /* when; 0: never */
    bool spent;           /* the isolation it asked for was released by cordon */
    bool told;            /* of anything yet */
    int64_t ran;          /* when the run began after which it was not told of yet; 0: none did */
};

/* A clock that is off by so much. */
struct own_clock {
    struct clock clock;
    const struct hands *hands;
    int64_t off_ms;
};

static int64_t own_wall(const struct clock *c)
{
    const struct own_clock *own = (const struct own_clock *)c;

    return hands_wall(&own->hands->clock) + own->off_ms;
}

static int64_t own_mono(const struct clock *c)
{
    return hands_mono(&((const struct own_clock *)c)->hands->clock);
}

/* One that serves the store; its engine is replaced when it dies. */
struct process {
    struct engine *g;
    struct store *store;
    struct own_clock clock;
    const char *owner;
    int runs;         /* under way, one in the other */
    atomic_bool dead; /* set by the thread of its far ends, too */
};

struct life {
    struct rig r;
    struct fickle *f;
    struct process p[2];
    size_t n;            /* of them */
    struct process *top; /* whose run is the innermost */
    bool shared;         /* on PostgreSQL */
    bool jumps;          /* the wall clock does */
    int64_t gives_up;    /* libcurl does, about the request to act that is under way */
    bool sick;           /* the database often takes nothing, or takes it and does not say so */
    uint64_t seed, dice;
    unsigned policy;
    struct {
        unsigned policy;
        int64_t until;
    } past[8];                  /* those before, the newest first */
    int64_t paused;             /* since then; 0: it is not */
    bool quick;                 /* everything happens within minutes */
    bool strict;                /* limits from the first to the last, and nobody lifts them */
    bool poor;                  /* few calls are to be had */
    bool polls, hunts, weakly;  /* Defender is asked for alerts; and those isolate nothing */
    uint64_t proven[STEPS * 4]; /* policies (name_of) in force when a yes was said */
    size_t n_proven;
    bool ordered[FICKLE_MACHINES]; /* a person has ordered a release, ever */
    bool freed;                    /* rules may have, ever */
    unsigned badness;
    unsigned deaths;
    int depth;   /* of runs within runs */
    bool nested; /* in this step something happened in the middle of a run */
    bool calm;
    int step;
    struct known known[FICKLE_ALERTS];
    int64_t asked[500]; /* when isolations were asked for */
    int64_t asked_id[500];
    size_t n_asked;
    int64_t last_notice;
    struct {
        int alert;
        bool isolated;
        bool vague; /* since then one of that id was released, of which tenant nobody knows */
    } word
        [FICKLE_MACHINES]; /* the last one about its isolation, and in whose thread it was; alert -1: none */
    size_t runs;
    struct {
        int64_t id;
        int runs;
    } spin[400];
    char wrong[500]; /* what went wrong first */
    bool aloud;
};

static unsigned roll(struct life *l, unsigned below)
{
    l->dice += 0x9e3779b97f4a7c15u;
    return (unsigned)(mix(l->dice) % below);
}

static bool one_in(struct life *l, unsigned n)
{
    return roll(l, n) == 0;
}

static void happens(struct life *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void happens(struct life *l, const char *fmt, ...)
{
    va_list ap;
    char at[CLOCK_TEXT_SIZE];

    if (!l->aloud)
        return;
    va_start(ap, fmt);
    (void)fprintf(stderr, "%s %*s%d: ", clock_format(fickle_now(l->f), at) + 8, 2 * l->depth, "",
                  l->step);
    (void)vfprintf(stderr, fmt, ap);
    (void)fprintf(stderr, "\n");
    va_end(ap);
}

static void wrong(struct life *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void wrong(struct life *l, const char *fmt, ...)
{
    va_list ap;

    if (l->wrong[0])
        return;
    va_start(ap, fmt);
    (void)vsnprintf(l->wrong, sizeof l->wrong, fmt, ap);
    va_end(ap);
    happens(l, "WRONG: %s", l->wrong);
}

/* ---- the configuration ------------------------------------------------------------------------------ */

static void describe(struct buf *out, unsigned policy)
{
    bool isolates = policy & POLICY_ISOLATES, more = policy & POLICY_MORE;

    buf_adds(out, "rules:\n");
    if (isolates) {
        buf_adds(out, "  - name: contain\n    when: {alert.severity: High}\n    do:\n");
        if (policy & POLICY_ASKS)
            buf_addf(out, "      - ask: {within: 4h%s}\n",
                     policy & POLICY_PAIR ? ", people: 2" : "");
        buf_addf(out, "      - isolate: {type: %s%s}\n%s",
                 policy & POLICY_SELECTIVE ? "selective" : "full",
                 policy & POLICY_RELEASES ? ", release_after: 1h" : "",
                 more && policy & POLICY_REVIEWS ? "        on_failure: ask\n" : "");
        if (more)
            buf_adds(out, "      - restrict: {}\n        if: {isolate: done}\n"
                          "      - scan: {type: full}\n        if: {isolate: isolated}\n"
                          "      - collect: {}\n");
        buf_adds(out, "      - email: {}\n");
    }
    if (policy & POLICY_FREES)
        buf_adds(out,
                 "  - {name: free, when: {alert.severity: Low}, do: [release: {}, email: {}]}\n");
    buf_addf(out, "  - {name: tell, do: [email: {}]}\nsafety:\n  review: %s\n",
             policy & POLICY_REVIEWS ? "90m" : "24h");
    if (policy & POLICY_SHADOW)
        buf_adds(out, "  mode: shadow\n");
    if (policy & POLICY_PROTECTS)
        buf_adds(out, "  protected: [{machine.tags: [tier-0]}]\n");
    if (policy & POLICY_LIMITS)
        buf_addf(out, "  limits: [{isolations: %d, per: 1h}%s]\n", policy & POLICY_NARROW ? 1 : 2,
                 more ? ", {isolations: 3, per: 4h, of: rule}, {percent: 50, per: 4h, of: group}"
                      : "");
    if (policy & POLICY_CANARY)
        buf_adds(out, "  canary: 2\n");
    if (policy & POLICY_ASKS_DOUBT)
        buf_addf(out, "  ask: {within: 4h%s}\n", policy & POLICY_PAIR ? ", people: 2" : "");
}

/* Of its text: bits that say nothing in it do not count. */
static uint64_t name_of(unsigned policy)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(4096);
    uint64_t h = 0;

    describe(&text, policy);
    for (const char *p = buf_text(&text); *p; p++)
        h = mix(h + (unsigned char)*p);
    return h;
}

static bool is_proven(const struct life *l)
{
    bool any = false;

    for (size_t i = 0; i < l->n_proven; i++) {
        any = any || l->proven[i] == name_of(l->policy);
        for (size_t k = 0; k < sizeof l->past / sizeof l->past[0]; k++)
            any = any || (l->proven[i] == name_of(l->past[k].policy) && l->past[k].until &&
                          fickle_now(l->f) - l->past[k].until < 2 * MINUTE_MS);
    }
    return any;
}

/* A source that may only notify. */
static void add_bell(struct buf *out, const char *name, const char *tenant)
{
    buf_addf(out,
             "  %s:\n    tenant: %s\n    may: [notify]\n    verify:\n"
             "      - none: {insecure: true}\n",
             name, tenant);
}

static struct runtime *runtime_of(struct life *l, const struct process *p, unsigned policy)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(4096);
    AUTO(buf_clear) struct buf tenants = BUF_INIT(4096);
    AUTO(buf_clear) struct buf sources = BUF_INIT(4096);
    char quota[80] = "";

    if (l->poor)
        (void)snprintf(quota, sizeof quota, "    quota: {per_minute: %d, per_hour: %d}\n",
                       CALLS_MIN, CALLS_HOUR);
    buf_adds(&tenants, quota);
    if (!(policy & POLICY_ALONE))
        buf_addf(&tenants,
                 "  fabrikam:\n    tenant_id: 1b4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                 "    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f51\n"
                 "    client_secret_file: %s/secret\n    api_url: %s\n    login_url: %s\n"
                 "    api_scope: https://api.example/.default\n%s",
                 l->r.dir, peer_url(l->r.peer), peer_url(l->r.peer), quota);
    l->r.tenants = buf_text(&tenants);
    add_bell(&sources, "bell", "contoso");
    if (!(policy & POLICY_ALONE))
        add_bell(&sources, "bell-fabrikam", "fabrikam");
    l->r.sources = buf_text(&sources);
    if (l->polls)
        buf_addf(&text, "polling: {every: 1m, may: [notify%s]}\n", l->weakly ? "" : ", isolate");
    if (l->hunts)
        buf_addf(&text,
                 "hunts:\n  - {name: rows, tenant: contoso, schedule: '*/5 * * * *', api: defender,"
                 " query: q, may: [notify%s], do: [{case: {severity: High, title: t}}]}\n",
                 l->weakly ? "" : ", isolate");
    describe(&text, policy);
    return rig_runtime_by(&l->r, &p->clock.clock, buf_text(&text));
}

static void use_policy(struct life *l, unsigned policy)
{
    static const char *const words[] = {"isolates", "protects", "limits",  "releases", "selective",
                                        "asks",     "doubts",   "reviews", "narrow",   "shadow",
                                        "canary",   "more",     "frees",   "pair",     "alone"};
    char text[200] = "";

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (policy & 1u << i)
            (void)snprintf(text + strlen(text), sizeof text - strlen(text), " %s", words[i]);
    happens(l, "policy%s", text);
    memmove(l->past + 1, l->past, sizeof l->past - sizeof l->past[0]);
    l->past[0].policy = l->policy;
    l->past[0].until = fickle_now(l->f);
    l->policy = policy;
    l->freed = l->freed || policy & (POLICY_FREES | POLICY_RELEASES);
    for (size_t i = 0; i < l->n; i++)
        if (!l->p[i].dead) {
            engine_use(l->p[i].g, runtime_of(l, &l->p[i], policy));
            (void)reconcile_start(l->p[i].g, NULL); /* as serve does, whatever comes of it */
            (void)polling_start(l->p[i].g, NULL);
            (void)hunting_start(l->p[i].g, NULL);
        }
}

static unsigned some_policy(struct life *l)
{
    unsigned policy = roll(l, POLICIES);

    if (!one_in(l, 5))
        policy |= POLICY_ISOLATES;
    if (!one_in(l, 4))
        policy &= ~(unsigned)POLICY_ASKS;
    policy &= ~(unsigned)(one_in(l, 3) ? 0 : POLICY_CANARY);
    policy &= ~(unsigned)(one_in(l, 5) ? 0 : POLICY_SHADOW);
    policy &= ~(unsigned)(one_in(l, 5) ? 0 : POLICY_ALONE);
    if (l->strict)
        policy = (policy | POLICY_LIMITS) & ~(unsigned)POLICY_CANARY;
    return policy;
}

enum err_code real_read(struct db *db, db_fn fn, void *arg,
                        struct err *e) __asm__("__real_db_read");

/* ---- what is judged at a request to act -------------------------------------------------------------- */

static enum err_code cases_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct life *l = arg;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, "SELECT id, tenant, alert_id FROM cases", "");

    while (!code && db_next(rows))
        for (int i = strcmp(db_text(rows, 1), "contoso") != 0; i < FICKLE_ALERTS;
             i += FICKLE_TENANTS)
            if (strcmp(db_text(rows, 2), fickle_alert_id(i)) == 0)
                l->known[i].id = db_int(rows, 0);
    return code ? code : db_rows_end(rows, e);
}

/* Which alerts have become cases: a poll does not say. */
static void meet_cases(struct life *l)
{
    if (l->polls || l->hunts)
        assert_int_equal(real_read(l->r.store->db, cases_fn, l, NULL), ERR_OK);
}

static int alert_of_case(struct life *l, int64_t id)
{
    for (int round = 0; round < 2 && id; round++) {
        for (int i = 0; i < FICKLE_ALERTS; i++)
            if (l->known[i].id == id)
                return i;
        if (round == 0)
            meet_cases(l);
    }
    return -1;
}

/* Is it in force, or was it when a run that is under way may have begun? */
static bool is_policy_with(const struct life *l, unsigned bit, bool set)
{
    bool any = !(l->policy & bit) == !set;

    for (size_t i = 0; i < sizeof l->past / sizeof l->past[0]; i++)
        any = any || (!(l->past[i].policy & bit) == !set && l->past[i].until &&
                      fickle_now(l->f) - l->past[i].until < 2 * MINUTE_MS);
    return any;
}

static bool is_policy(const struct life *l, unsigned bit)
{
    return is_policy_with(l, bit, true);
}

static bool is_no_policy(const struct life *l, unsigned bit)
{
    return is_policy_with(l, bit, false);
}

/* How many were asked for in an hour before `to`, but for those that turned out to be somebody else's. */
static int count_asked(struct life *l, int64_t before_id, int64_t to)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct isolation_record r;
    int n = 0;

    for (size_t i = 0; i < l->n_asked; i++)
        n += l->asked_id[i] < before_id && l->asked[i] > to - HOUR_MS && l->asked[i] <= to &&
             !store_isolation_load(l->r.store, arena, l->asked_id[i], &r, NULL) && !r.adopted;
    return n;
}

static void judge_limits(struct life *l, const struct isolation_record *r)
{
    int within;

    if (is_policy(l, POLICY_NARROW) && !is_no_policy(l, POLICY_NARROW) && l->strict &&
        count_asked(l, r->id, fickle_now(l->f)))
        wrong(l, "asked for over a limit that has changed since");
    for (size_t i = 0; i < l->n_asked; i++)
        if (l->asked_id[i] == r->id)
            return;
    assert_true(l->n_asked < 500);
    l->asked_id[l->n_asked] = r->id;
    l->asked[l->n_asked++] = r->requested;
    within = count_asked(l, INT64_MAX, r->requested);
    if (l->strict && within > 2)
        wrong(l, "%d isolations asked for within an hour, over the limit", within);
}

/* Does Defender say that the alert is of this machine, as far as cordon may know? */
static bool is_of(const struct life *l, const struct fickle_alert *a, int machine)
{
    int64_t now = fickle_now(l->f), last = 0;

    for (int i = 0; i < FICKLE_MACHINES; i++)
        last = a->named[i] > last ? a->named[i] : last;
    return a->named[machine] &&
           (a->named[machine] == last || now - a->named[machine] < 2 * MINUTE_MS);
}

/* Grounds of the case that the ledger's row stands for. */
static void judge_grounds(struct life *l, int machine, const struct isolation_record *r)
{
    int at = alert_of_case(l, r->case_id);
    const struct fickle_machine *m = fickle_machine(l->f, machine);
    struct known *k = &l->known[at < 0 ? 0 : at];
    const struct fickle_alert *a = fickle_alert(l->f, at < 0 ? 0 : at);
    int64_t now = fickle_now(l->f);

    if (at < 0) {
        wrong(l, "an isolation for no case");
        return;
    }
    if (!is_of(l, a, machine))
        wrong(l, "machine %d isolated for alert %d, which is of another", machine, at);
    if (!k->strong)
        wrong(l, "isolated for alert %d, which no source pushed that may isolate", at);
    if (k->named >= 0 && k->named != machine && !k->yes)
        wrong(l, "isolated for alert %d, whose sender named another machine", at);
    if (!a->shown || (strcmp(a->shown, "High") != 0 && now - a->lowered > 2 * MINUTE_MS))
        wrong(l, "isolated for alert %d, which was shown as %s", at, a->shown ? a->shown : "none");
    if (!is_policy(l, POLICY_ISOLATES))
        wrong(l, "isolated for alert %d by a policy that isolates nothing", at);
    if (is_policy(l, POLICY_PROTECTS) && !is_no_policy(l, POLICY_PROTECTS) && m->shown_tagged &&
        now - m->tagged_since > 2 * MINUTE_MS && !k->yes)
        wrong(l, "protected machine %d isolated for alert %d", machine, at);
    if (m->shown_merged && now - m->merged_since > 2 * MINUTE_MS)
        wrong(l, "machine %d isolated, which was merged into another", machine);
    if (!is_no_policy(l, POLICY_SHADOW))
        wrong(l, "machine %d isolated in shadow mode", machine);
    if (machine % FICKLE_TENANTS && !is_no_policy(l, POLICY_ALONE))
        wrong(l, "machine %d isolated, whose tenant is not configured", machine);
    if (!is_no_policy(l, POLICY_CANARY) && !k->yes && !is_proven(l))
        wrong(l, "machine %d isolated by a changed policy, and nobody said yes", machine);
    if (!is_no_policy(l, POLICY_ASKS) && !k->yes)
        wrong(l, "isolated for alert %d, and nobody said yes", at);
    if (k->dropped && k->dropped < m->look)
        wrong(l, "isolated for alert %d, which a person has dropped", at);
    if (k->spent)
        wrong(l, "isolated once more for alert %d, whose isolation was released", at);
}

/* One of ours is under way already? Asked when it leaves, and when it arrives. */
static void judge_second(struct life *l, int machine, const char *type)
{
    int64_t now = fickle_now(l->f);

    for (size_t i = 0; fickle_nth(l->f, i); i++) {
        const struct fickle_action *a = fickle_nth(l->f, i);

        if (a->machine == machine && a->ours && strcmp(a->type, type) == 0 &&
            fickle_is_open(a, now))
            wrong(l, "a second %s of machine %d while %s of %s is %s", type, machine, a->id,
                  a->external, fickle_status(a, now));
    }
}

static void judge_isolate(struct life *l, int machine, const char *external)
{
    const struct fickle_machine *m = fickle_machine(l->f, machine);
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    int64_t now = fickle_now(l->f), id = 0;
    struct isolation_record r;

    judge_second(l, machine, "Isolate");
    if (!m->looked || now - m->look > 2 * MINUTE_MS)
        wrong(l, "an isolate of machine %d without a look", machine);
    else if (!l->nested && m->look_open)
        wrong(l, "an isolate of machine %d though the look showed one under way", machine);
    else if (!l->nested && m->look_isolated)
        wrong(l, "an isolate of machine %d though the look showed that it is isolated", machine);
    if (l->paused && l->paused < m->look)
        wrong(l, "an isolate of machine %d while paused", machine);
    if (strncmp(external, "cordon-", 7) != 0 || id_parse(external + 7, &id, NULL) ||
        store_isolation_load(l->r.store, arena, id, &r, NULL)) {
        wrong(l, "an isolate that the ledger knows nothing of: %s", external);
        return;
    }
    judge_grounds(l, machine, &r);
    judge_limits(l, &r);
}

/* Is another alert of the machine one that keeps it from being released unasked? */
static bool is_other_open(const struct life *l, int machine, int64_t case_id)
{
    bool any = false;

    for (int i = 0; i < FICKLE_ALERTS; i++) {
        const struct fickle_alert *a = fickle_alert(l->f, i);
        bool moved = false;

        for (int m = 0; m < FICKLE_MACHINES; m++)
            moved = moved || (m != machine && a->named[m]);
        any = any || (l->known[i].id && l->known[i].id != case_id && !moved && a->named[machine] &&
                      a->named[machine] < fickle_now(l->f) - 5 * MINUTE_MS && !a->was_lowered &&
                      !l->known[i].dropped);
    }
    return any;
}

static void judge_release(struct life *l, int machine, const struct isolation_record *r)
{
    int64_t now = fickle_now(l->f);

    if (l->ordered[machine])
        return;
    if (r->adopted)
        wrong(l, "machine %d is released unasked, and somebody else isolated it", machine);
    if (!l->freed)
        wrong(l, "machine %d is released, and no rule says so", machine);
    if (r->release_why && strstr(r->release_why, "release_after")) {
        if (now - r->confirmed < HOUR_MS - 10 * MINUTE_MS)
            wrong(l, "machine %d is released too early", machine);
        if (is_other_open(l, machine, r->case_id))
            wrong(l, "machine %d is released unasked while another alert is open", machine);
    }
}

/* A release was asked for: its cases have had what they asked for. */
static void note_release(struct life *l, int machine, const char *external)
{
    struct isolation_record r;
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct case_record c;
    char text[80];
    int64_t id;

    if (strncmp(external, "cordon-release-", 15) != 0)
        return;
    (void)snprintf(text, sizeof text, "%.*s", (int)strcspn(external + 15, "-"), external + 15);
    if (id_parse(text, &id, NULL))
        return;
    if (!store_isolation_load(l->r.store, arena, id, &r, NULL))
        judge_release(l, machine, &r);
    for (int i = 0; i < FICKLE_ALERTS; i++)
        if (l->known[i].id && !store_case_load(l->r.store, arena, l->known[i].id, &c, NULL) &&
            c.isolation == id)
            l->known[i].spent = true;
}

/* ---- what happens ------------------------------------------------------------------------------------ */

static void turn(struct life *l, int64_t ms)
{
    hands_turn(&l->r.hands, ms);
}

static void start(struct life *l, struct process *p)
{
    struct err e = {0};

    assert_int_equal(
        engine_new(p->store, l->r.rest, &p->clock.clock, runtime_of(l, p, l->policy), &p->g, &e),
        ERR_OK);
    assert_int_equal(runtime_keep(p->g->runtime, p->store, &e), ERR_OK);
    if (p == l->p)
        l->r.g = p->g;
}

static void kill_process(struct life *l, struct process *p)
{
    happens(l, "%s dies", p->owner);
    l->deaths++;
    p->dead = true;
}

/* The process is dead, and what it ran is over; another starts. Replicas wait for its leases. */
static void replace(struct life *l, struct process *p)
{
    happens(l, "%s starts", p->owner);
    engine_free(p->g);
    start(l, p);
    if (l->n == 1)
        assert_int_equal(store_work_recover(p->store, NULL), ERR_OK);
    assert_int_equal(ledger_watch(p->g, NULL), ERR_OK);
    assert_int_equal(reconcile_start(p->g, NULL), ERR_OK);
    assert_int_equal(polling_start(p->g, NULL), ERR_OK);
    assert_int_equal(hunting_start(p->g, NULL), ERR_OK);
    p->dead = false;
}

/* One that is alive; NULL: none is. */
static struct process *some_process(struct life *l)
{
    struct process *p = &l->p[l->n > 1 && one_in(l, 3)];

    if (p->dead && l->n > 1)
        p = p == l->p ? l->p + 1 : l->p;
    return p->dead ? NULL : p;
}

/* The run that this thread is in: what that writes is a moment in which something may happen (write_within). */
static _Thread_local struct process *running;
static struct life *living;

static void run_one(struct life *l, struct process *p, const struct work *w)
{
    static const engine_run runs[WORK_KINDS] = {
        [WORK_CASE] = expand_run,       [WORK_ISOLATION] = isolation_run,
        [WORK_LEDGER] = ledger_run,     [WORK_ACTION] = action_run,
        [WORK_QUESTION] = question_run, [WORK_RECONCILE] = reconcile_run,
        [WORK_POLL] = polling_run,      [WORK_HUNT] = hunting_run};
    struct process *before = l->top;
    struct work mine = *w;
    int at;

    for (size_t i = 0; l->calm && i < sizeof l->spin / sizeof l->spin[0]; i++)
        if (!l->spin[i].id || l->spin[i].id == w->id) {
            l->spin[i].id = w->id;
            l->spin[i].runs++;
            break;
        }
    l->runs++;
    at = alert_of_case(l, w->kind == WORK_CASE ? w->id : 0);
    if (at >= 0 && !l->known[at].ran && !l->known[at].told)
        l->known[at].ran = fickle_now(l->f);
    happens(l, "run %" PRId64 ", kind %d, by %s", w->id % 100000, (int)w->kind, p->owner);
    p->runs++;
    l->top = running = p;
    fickle_sync(l->f);
    runs[w->kind](p->g, &mine);
    fickle_sync(l->f);
    l->top = before;
    running = NULL;
    p->runs--;
    if (p->dead && !p->runs)
        replace(l, p);
}

static bool claim(struct life *l, struct process *p, struct work *ret)
{
    size_t room[WORK_KINDS] = {
        [WORK_CASE] = 1,     [WORK_ISOLATION] = 1, [WORK_LEDGER] = 1, [WORK_ACTION] = 1,
        [WORK_QUESTION] = 1, [WORK_RECONCILE] = 1, [WORK_POLL] = 1,   [WORK_HUNT] = 1};
    size_t n = 0;
    int64_t next;

    (void)l;
    return !store_work_claim(p->store, p->owner, room, 1, ret, &n, &next, NULL) && n == 1;
}

static void run_due(struct life *l, int most)
{
    struct work w, again;

    for (int n = 0; n < most; n++) {
        struct process *p = some_process(l), *other;

        if (!p || !claim(l, p, &w))
            break;
        for (int k = 0; k < WORK_KINDS; k++)
            atomic_store(&p->g->crowd[k], !l->calm && one_in(l, 6));
        if (!l->calm && !l->depth &&
            one_in(l, 60)) { /* it sleeps through its lease, and another has it meanwhile */
            happens(l, "sleeps");
            turn(l, 31 * SECOND_MS);
            other = some_process(l);
            if (claim(l, other, &again))
                run_one(l, other, &again);
        }
        run_one(l, p, &w);
    }
}

/* It is there for a poll or a hunt from now on: that may isolate. */
static void is_there(struct life *l, struct known *k)
{
    if (l->weakly || k->strong)
        return;
    k->strong = true;
    k->named = -1;
    k->spent = false;
}

static void list_alert(struct life *l, int at)
{
    fickle_alert_changes(l->f, at);
    if (l->polls)
        is_there(l, &l->known[at]);
}

/* One that was not pushed yet, if there is any. */
static int some_new_alert(struct life *l)
{
    int first = (int)roll(l, FICKLE_ALERTS);

    for (int i = 0; i < FICKLE_ALERTS; i++)
        if (!l->known[(first + i) % FICKLE_ALERTS].id)
            return (first + i) % FICKLE_ALERTS;
    return first;
}

/* Since when each tenant is polled: what was made before is not news. */
static enum err_code since_fn(struct db_tx *tx, void *arg, struct err *e)
{
    int64_t *since = arg;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT tenant, since FROM polls WHERE list = 'alerts'", "");

    while (!code && db_next(rows))
        since[strcmp(db_text(rows, 0), "contoso") != 0] = db_int(rows, 1);
    return code ? code : db_rows_end(rows, e);
}

static enum err_code covered_fn(struct db_tx *tx, void *arg, struct err *e)
{
    int64_t *covered = arg;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, "SELECT covered FROM hunts", "");

    while (!code && db_next(rows))
        *covered = db_int(rows, 0);
    return code ? code : db_rows_end(rows, e);
}

/* An alert that nobody pushes. Of what hunts found at their first run nobody hears. */
static void appear(struct life *l)
{
    int at = some_new_alert(l);
    int64_t covered = 0;

    if (l->hunts)
        assert_int_equal(real_read(l->r.store->db, covered_fn, &covered, NULL), ERR_OK);
    if (covered && (!l->polls || one_in(l, 2))) {
        at -= at % FICKLE_TENANTS; /* it is contoso's */
        happens(l, "a hunt finds alert %d of machine %d", at, fickle_alert(l->f, at)->machine);
        fickle_alert_found(l->f, at);
        is_there(l, &l->known[at]);
    } else if (l->polls) {
        happens(l, "alert %d of machine %d is there", at, fickle_alert(l->f, at)->machine);
        list_alert(l, at);
    }
}

static void push(struct life *l)
{
    int at = one_in(l, 4) ? (int)roll(l, FICKLE_ALERTS) : some_new_alert(l);
    int named = fickle_alert(l->f, at)->machine;
    struct known *k = &l->known[at];
    bool strong = !one_in(l, 10), names = !one_in(l, 4);
    const char *machine;
    struct alert_ref ref = {.alert_id = fickle_alert_id(at), .likely_high = one_in(l, 2)};
    bool second = at % FICKLE_TENANTS;
    struct notification n = {.tenant = second ? "fabrikam" : "contoso",
                             .source = second   ? (strong ? "relay-fabrikam" : "bell-fabrikam")
                                       : strong ? "relay"
                                                : "bell",
                             .received_ms = clock_wall_ms(&l->r.hands.clock),
                             .alerts = &ref,
                             .count = 1};
    struct acceptance a = {.n = &n};
    sem_t done;

    if (!fickle_alert(l->f, at)->made)
        list_alert(l, at);
    if (one_in(l, 30))
        named = (named + FICKLE_TENANTS) % FICKLE_MACHINES;
    machine = fickle_machine_id(named);
    ref.machine_id = names ? machine : NULL;
    (void)sem_init(&done, 0, 0);
    a.ctx = &done;
    assert_int_equal(store_accept(l->r.store, &a, rig_stored, NULL), ERR_OK);
    while (sem_wait(&done))
        ;
    (void)sem_destroy(&done);
    if (a.count != 1) {
        happens(l, "push %d fails", at);
        return;
    }
    happens(l, "push %d of machine %d%s%s", at, fickle_alert(l->f, at)->machine,
            strong ? "" : ", weak",
            names && named != fickle_alert(l->f, at)->machine ? ", names another" : "");
    k->id = a.cases[0];
    if (strong && !k->strong) {
        k->named = names ? named : -1;
        k->spent = false;
    }
    k->strong = k->strong || strong;
}

/* Some isolation of the ledger's that is open; id 0: none. */
static struct isolation_record some_isolation(struct life *l)
{
    const struct isolation_filter open = {.limit = 50, .open_only = true};
    struct isolation_record *list;
    size_t n = 0;

    assert_int_equal(store_isolation_list(l->r.store, l->r.arena, &open, &list, &n, NULL), ERR_OK);
    return n ? list[roll(l, (unsigned)n)] : (struct isolation_record){0};
}

static void answer(struct life *l)
{
    static const char *const people[] = {"anna@x.example", "bo@x.example", "cy@x.example"};
    struct question_answer a = {.person = people[roll(l, 3)], .way = "operator"};
    struct process *p = some_process(l);
    bool waits[FICKLE_ALERTS] = {false};
    struct question_record *list;
    enum question_state now = QUESTION_OPEN;
    size_t n = 0;

    assert_int_equal(
        store_question_list(l->r.store, l->r.arena, QUESTION_OPEN, 0, 10, &list, &n, NULL), ERR_OK);
    if (!n || !p)
        return;
    a.question = list[roll(l, (unsigned)n)].id;
    a.yes = !one_in(l, 3) && !l->strict;
    happens(l, "answers %s", a.yes ? "yes" : "no");
    for (int i = 0; i < FICKLE_ALERTS; i++)
        waits[i] = l->known[i].id && rig_case(&l->r, l->known[i].id).state == CASE_WAITING;
    if (question_answer(p->g, &a, &now, NULL) || now != QUESTION_APPROVED)
        return;
    /* Coarse: to whatever waits. */
    assert_true(l->n_proven < sizeof l->proven / sizeof *l->proven);
    l->proven[l->n_proven++] = name_of(l->policy);
    for (int i = 0; i < FICKLE_ALERTS; i++)
        if (waits[i])
            l->known[i].yes = fickle_now(l->f);
}

static bool is_machine(int machine, const struct isolation_record *r)
{
    return strcmp(fickle_machine_id(machine), r->machine_id) == 0 &&
           strcmp(machine % FICKLE_TENANTS ? "fabrikam" : "contoso", r->tenant) == 0;
}

static void order(struct life *l)
{
    int at = (int)roll(l, FICKLE_ALERTS);
    struct known *k = &l->known[at];
    struct desk_order o = {.who = "maria", .why = "so it is", .id = k->id};
    struct process *p = some_process(l);
    struct isolation_record i;
    struct err e;

    if (!p)
        return;
    switch (roll(l, 8)) {
    case 0:
        if (k->id && !desk_drop(p->g, &o, &e)) {
            happens(l, "drops %d", at);
            k->dropped = fickle_now(l->f);
        }
        break;
    case 1:
    case 2:
        if (k->id && !desk_retry(p->g, &o, &e)) {
            happens(l, "retries %d", at);
            k->spent = false;
            k->dropped = 0;
        }
        break;
    case 3:
    case 4:
    case 5:
        i = some_isolation(l);
        o.id = i.id;
        o.machine = i.machine_id;
        if (o.id && !desk_release(p->g, &o, &e)) {
            happens(l, "releases %s of %s", o.machine + 38, i.tenant);
            for (int m = 0; m < FICKLE_MACHINES; m++)
                l->ordered[m] = l->ordered[m] || is_machine(m, &i);
        }
        break;
    case 6:
        o.id = some_isolation(l).id;
        o.for_ms = HOUR_MS;
        if (o.id)
            (void)desk_extend(p->g, &o, &e);
        break;
    default:
        if (l->paused && !desk_resume(p->g, &o, &e)) {
            l->paused = 0;
            happens(l, "resumes");
        } else if (one_in(l, 3) && !desk_pause(p->g, &o, &e)) {
            l->paused = fickle_now(l->f);
            happens(l, "pauses");
        }
    }
}

static void portal(struct life *l)
{
    int machine = (int)roll(l, FICKLE_MACHINES);
    bool release = !one_in(l, 3);

    if (fickle_portal(l->f, machine, release))
        happens(l, "portal %s %d", release ? "releases" : "isolates", machine);
}

/* What Defender says of things changes. */
static void change_facts(struct life *l)
{
    int at = (int)roll(l, FICKLE_ALERTS);
    struct fickle_alert *a = fickle_alert(l->f, at);
    struct fickle_machine *m = fickle_machine(l->f, (int)roll(l, FICKLE_MACHINES));
    static const char *const severities[] = {"High", "High", "High", "Medium", "Low"};

    switch (roll(l, 8)) {
    case 0:
        a->hidden = !a->hidden && one_in(l, 2);
        a->was_hidden = a->was_hidden || a->hidden;
        break;
    case 1: /* of the same tenant */
        a->machine = (a->machine + FICKLE_TENANTS) % FICKLE_MACHINES;
        break;
    case 2:
        m->merged = !m->merged && one_in(l, 3);
        break;
    case 3:
    case 4:
        m->tagged = one_in(l, 3);
        break;
    default:
        a->severity = severities[roll(l, 5)];
    }
    if (a->made)
        list_alert(l, at);
}

/* A record cannot be written, for a while. */
static void break_store(struct life *l, bool broken)
{
    static const char *const tables[] = {"isolations", "cases", "case_steps", "notices"};
    const char *table = tables[roll(l, 2)];

    if (l->shared)
        l->sick = broken;
    else if (broken)
        rig_sql(&l->r, arena_fmt(l->r.arena,
                                 "CREATE TRIGGER IF NOT EXISTS broken BEFORE UPDATE ON %s BEGIN "
                                 "SELECT RAISE(ABORT, 'broken'); END",
                                 table));
    else
        rig_sql(&l->r, "DROP TRIGGER IF EXISTS broken");
    happens(l, "store %s %s", broken ? "broken:" : "mended", broken ? table : "");
}

static void weather(struct life *l)
{
    static const unsigned kinds[] = {0, 0, 5, 10, 20, 40, 95};

    l->badness = kinds[roll(l, 7)];
    happens(l, "weather %u", l->badness);
    fickle_weather(l->f, l->badness);
}

#define CLOCK_WRONG_MAX (4 * MINUTE_MS) /* less than DEFENDER_SKEW_MS */

/* Somebody sets the wall clock; never so that it is off by more than Defender's may be. */
static void set_clock(struct life *l, int64_t ms)
{
    int64_t off = l->r.hands.wall - fickle_now(l->f);

    if (!l->jumps || l->strict)
        return;
    if (off + ms > CLOCK_WRONG_MAX || off + ms < -CLOCK_WRONG_MAX)
        ms = -off;
    happens(l, "the clock is set by %" PRId64 " ms", ms);
    atomic_fetch_add(&l->r.hands.wall, ms);
    if (ms < -MINUTE_MS) /* work.c sees that */
        (void)store_work_hurry(l->r.store, NULL);
}

static void jump(struct life *l)
{
    static const int64_t far[] = {3 * SECOND_MS, 40 * SECOND_MS, 100 * SECOND_MS, CLOCK_WRONG_MAX};
    int64_t ms = (int64_t)roll(l, (unsigned)far[roll(l, 4)]);

    set_clock(l, one_in(l, 2) ? ms : -ms);
}

/* Forward, and all leases seem to have run out. */
static void leap(struct life *l)
{
    set_clock(l, WORK_POST_LEASE_MS + SECOND_MS);
}

/* What may come in between at any moment. */
static void interfere(struct life *l)
{
    switch (roll(l, 8)) {
    case 0:
        portal(l);
        break;
    case 1:
    case 2:
        order(l);
        break;
    case 3:
        answer(l);
        break;
    case 4:
        change_facts(l);
        break;
    case 5:
        use_policy(l, some_policy(l));
        break;
    case 6:
        jump(l);
        break;
    default:
        run_due(l, 2);
    }
}

/* A list is being read: now its lease may run out, too. */
static void disturb_look(struct life *l, struct process *p)
{
    switch (roll(l, 8)) {
    case 0:
        turn(l, roll(l, 50000));
        break;
    case 1:
        turn(l, 31 * SECOND_MS);
        happens(l, "its lease is lost");
        run_due(l, 8);
        break;
    case 2:
        kill_process(l, p);
        break;
    default:
        interfere(l);
    }
}

/* Time passes while a request to act is under way, as long as its answer is waited for. */
static void turn_waiting(struct life *l, int64_t ms)
{
    int64_t most = l->gives_up - fickle_now(l->f);

    turn(l, ms < most ? ms : most > 0 ? most : 0);
}

/* A request to act has left, and is not there yet. */
static void disturb_request(struct life *l, struct process *p)
{
    switch (roll(l, 8)) {
    case 0:
        turn_waiting(l, roll(l, 12000));
        break;
    case 1:
    case 2:
        kill_process(l, p);
        break;
    case 3:
        turn_waiting(l, 32000);
        run_due(l, 8);
        break;
    case 4:
        leap(l);
        run_due(l, 8);
        break;
    default:
        interfere(l);
    }
}

/* Its answer is on the way back. */
static void disturb_answer(struct life *l, struct process *p)
{
    if (one_in(l, 8))
        break_store(l, true); /* what came of it cannot be recorded */
    else
        disturb_request(l, p);
}

/* Around a transaction. */
static void disturb_write(struct life *l, struct process *p)
{
    switch (roll(l, 8)) {
    case 0:
        turn(l, roll(l, 12000));
        break;
    case 1: /* it is stopped for so long that others take over */
    case 2:
        happens(l, "%s is stopped", p->owner);
        turn(l, one_in(l, 2) ? 31 * SECOND_MS : 95 * SECOND_MS);
        run_due(l, 8);
        break;
    case 3:
        kill_process(l, p);
        break;
    default:
        interfere(l);
    }
}

/* In the middle of a run of p's one thing happens, or several in a row do. false: p is dead by then. */
static bool disturb(struct life *l, struct process *p,
                    void (*how)(struct life *l, struct process *p))
{
    int n = 1 + (int)roll(l, 3);

    l->nested = true;
    l->depth++;
    for (int i = 0; i < n && !p->dead; i++)
        how(l, p);
    l->depth--;
    return !p->dead;
}

/* By what is asked for and when: lists may be read side by side with others. */
static bool is_disturbed(const struct life *l, const struct fickle_event *ev)
{
    uint64_t h = l->seed + (uint64_t)fickle_now(l->f) * 31 + ev->done;

    if (ev->kind == FICKLE_POST)
        return mix(h) % 3 == 0;
    for (const char *p = ev->external; *p; p++)
        h = h * 131 + (unsigned char)*p;
    return mix(h) % 12 == 0;
}

static bool take_request(struct life *l, const struct fickle_event *ev)
{
    bool alive;

    if (l->top && l->top->dead)
        return false;
    if (ev->kind == FICKLE_POST && !ev->done) {
        if (!l->depth) /* one of a run within waits for nothing */
            l->gives_up = fickle_now(l->f) + WORK_ANSWER_MS - 2 * SECOND_MS;
        happens(l, "POST %s machine %d %s", ev->type, ev->machine, ev->external);
        if (strcmp(ev->type, "Unisolate") == 0)
            note_release(l, ev->machine, ev->external);
        else if (strcmp(ev->type, "Isolate") == 0)
            judge_isolate(l, ev->machine, ev->external);
        else
            judge_second(l, ev->machine, ev->type);
    }
    if (l->calm || l->depth || !is_disturbed(l, ev))
        return true;
    alive = disturb(l, l->top,
                    ev->kind != FICKLE_POST ? disturb_look
                    : ev->done              ? disturb_answer
                                            : disturb_request);
    if (alive && ev->kind == FICKLE_POST && !ev->done && strcmp(ev->type, "Unisolate") != 0)
        judge_second(l, ev->machine, ev->type);
    return alive;
}

/* ---- what happens when a run writes ------------------------------------------------------------------ */

/* A moment of a run in which one time in n something happens. false: the process is dead. */
static bool pass_moment(struct life *l, unsigned n)
{
    struct process *p = running;
    bool alive;

    if (l->calm || l->depth || !one_in(l, n))
        return true;
    running = NULL;
    alive = disturb(l, p, disturb_write);
    running = p;
    return alive;
}

typedef enum err_code (*write_fn)(struct db *db, db_fn fn, void *arg, struct err *e);

static enum err_code write_within(write_fn write, struct db *db, db_fn fn, void *arg, struct err *e)
{
    struct life *l = living;
    enum err_code code;

    if (!running)
        return write(db, fn, arg, e);
    if (running->dead || !pass_moment(l, 24))
        return err_set(e, ERR_IO, "the process is dead");
    if (l->sick && one_in(l, 2))
        return err_set(e, ERR_AGAIN, "the database is sick");
    code = write(db, fn, arg, e);
    if (!code && !pass_moment(l, 24))
        return err_set(e, ERR_IO, "the process is dead");
    if (!code && l->sick && one_in(l, 3)) {
        happens(l, "a commit is not answered");
        return err_set(e, ERR_IO, "the database did not say whether it was committed");
    }
    return code;
}

/* The linker puts ours in the place of the real ones (Makefile). */
enum err_code real_write(struct db *db, db_fn fn, void *arg,
                         struct err *e) __asm__("__real_db_write");
enum err_code real_write_loose(struct db *db, db_fn fn, void *arg,
                               struct err *e) __asm__("__real_db_write_loose");
enum err_code our_write(struct db *db, db_fn fn, void *arg,
                        struct err *e) __asm__("__wrap_db_write");
enum err_code our_write_loose(struct db *db, db_fn fn, void *arg,
                              struct err *e) __asm__("__wrap_db_write_loose");
enum err_code our_read(struct db *db, db_fn fn, void *arg, struct err *e) __asm__("__wrap_db_read");
int64_t our_boot_ms(void) __asm__("__wrap_clock_boot_ms");
bool real_post_begins(struct engine *g, int64_t id) __asm__("__real_engine_post_begins");
bool our_post_begins(struct engine *g, int64_t id) __asm__("__wrap_engine_post_begins");
enum err_code real_quota_take(struct store *s, struct quota_slice *slice,
                              struct err *e) __asm__("__real_store_quota_take");
enum err_code our_quota_take(struct store *s, struct quota_slice *slice,
                             struct err *e) __asm__("__wrap_store_quota_take");

enum err_code our_write(struct db *db, db_fn fn, void *arg, struct err *e)
{
    return write_within(real_write, db, fn, arg, e);
}

enum err_code our_write_loose(struct db *db, db_fn fn, void *arg, struct err *e)
{
    return write_within(real_write_loose, db, fn, arg, e);
}

enum err_code our_read(struct db *db, db_fn fn, void *arg, struct err *e)
{
    if (running && running->dead)
        return err_set(e, ERR_IO, "the process is dead");
    return real_read(db, fn, arg, e);
}

/* Between the intent and the request. */
bool our_post_begins(struct engine *g, int64_t id)
{
    if (running)
        (void)pass_moment(living, 3);
    return real_post_begins(g, id);
}

/* Whoever wants a call waits for the one who asks for a share of the budget: it is no moment for a run in a run. */
enum err_code our_quota_take(struct store *s, struct quota_slice *slice, struct err *e)
{
    struct process *p = running;
    enum err_code code;

    running = NULL;
    code = real_quota_take(s, slice, e);
    running = p;
    return code;
}

/* The host is up as long as the life lasts: a process that was stopped finds out by it. */
int64_t our_boot_ms(void)
{
    return hands_mono(&living->r.hands.clock);
}

/* fickle_fn */
static bool on_request(void *ctx, const struct fickle_event *ev)
{
    struct life *l = ctx;
    bool answered;

    fickle_sync(l->f);
    answered = take_request(l, ev);
    fickle_sync(l->f);
    return answered;
}

/* ---- what people are told ---------------------------------------------------------------------------- */

static bool was_released(struct life *l, int machine)
{
    int64_t now = fickle_now(l->f);

    for (size_t i = 0; fickle_nth(l->f, i); i++) {
        const struct fickle_action *a = fickle_nth(l->f, i);

        if (a->machine == machine && fickle_is_release(a) && now >= a->ends &&
            strcmp(a->end, "Succeeded") == 0)
            return true;
    }
    return false;
}

/* That a subject names; -1: none. */
static int machine_in(const char *subject)
{
    const char *at = strstr(subject, "ws-");

    return at ? atoi(at + 3) : -1;
}

/* How old what is said may be: it is asked after ever more seldom, and looked at again when that is long ago
 * (episode_run.c); a run that was stopped says what it has seen before. */
#define WORD_AGE_MS (4 * MINUTE_MS)

static enum err_code told_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct life *l = arg;
    struct db_rows *rows;
    int64_t off = atomic_load(&l->r.hands.wall) - fickle_now(l->f);
    int64_t age = WORD_AGE_MS + (l->nested ? 10 * MINUTE_MS : 0) + (l->jumps ? CLOCK_WRONG_MAX : 0);
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT id, case_id, subject, created FROM notices WHERE id > $1 "
                                  "ORDER BY id",
                                  "i", l->last_notice);

    if (code)
        return code;
    while (db_next(rows)) {
        int at = alert_of_case(l, db_int(rows, 1));
        const char *subject = db_text(rows, 2);
        int machine = machine_in(subject);
        int64_t then = db_int(rows, 3) - off, from = then - age;

        l->last_notice = db_int(rows, 0);
        happens(l, "told of %d: %s", at, subject);
        /* It joined, and what is to tell of that runs but now: the ledger's word is as old. */
        if (at >= 0 && !l->known[at].told && l->known[at].ran && l->known[at].ran - age < from)
            from = l->known[at].ran - age;
        if (at >= 0)
            l->known[at].told = true;
        /* Of one that was somebody else's no alert's thread tells; and of a machine's id, not whose tenant's it is. */
        for (int m = 0; m < FICKLE_MACHINES; m++)
            if (strstr(subject, fickle_machine_id(m)))
                l->word[m].vague = true;
        if (machine < 0)
            continue;
        if (strstr(subject, "[ISOLATED") || strstr(subject, "RELEASED")) {
            l->word[machine].alert = at;
            l->word[machine].isolated = !strstr(subject, "[RELEASED");
            l->word[machine].vague = false;
        }
        /* What others isolated anew is theirs from then on. */
        if (strstr(subject, "isolated there again since by"))
            l->word[machine].vague = true;
        if (strstr(subject, "[ISOLATED") && !strstr(subject, "Review") && /* by the ledger alone */
            !fickle_was_isolated(l->f, machine, from, then + (l->jumps ? CLOCK_WRONG_MAX : 5000)))
            wrong(l, "told of alert %d that machine %d is isolated, and it is not: %s", at, machine,
                  subject);
        if (strstr(subject, "[RELEASED") && !was_released(l, machine))
            wrong(l, "told of alert %d that machine %d is released, and it never was: %s", at,
                  machine, subject);
    }
    return db_rows_end(rows, e);
}

static void judge_told(struct life *l)
{
    meet_cases(l);
    assert_int_equal(db_read(l->r.store->db, told_fn, l, NULL), ERR_OK);
}

/* ---- the end ------------------------------------------------------------------------------------------ */

/* The sky clears, and time passes. */
static void clear_up(struct life *l)
{
    int64_t ends = fickle_now(l->f) + 9 * HOUR_MS;
    struct desk_order o = {.who = "maria", .why = "all is well"};

    happens(l, "it clears up");
    break_store(l, false);
    fickle_weather(l->f, l->badness = 0);
    if (l->paused)
        assert_int_equal(desk_resume(l->r.g, &o, NULL), ERR_OK);
    l->paused = 0;
    if (l->policy & POLICY_ALONE)
        use_policy(l, l->policy & ~(unsigned)POLICY_ALONE);
    l->calm = true;
    l->nested = false;
    for (int64_t step = SECOND_MS; fickle_now(l->f) < ends && !l->wrong[0];
         step = step < 5 * MINUTE_MS ? step + 2 * SECOND_MS : step) {
        turn(l, step);
        run_due(l, RUN_MAX);
        judge_told(l);
    }
    for (size_t i = 0; i < sizeof l->spin / sizeof l->spin[0]; i++)
        if (l->spin[i].runs > 600)
            wrong(l, "a row of work is run %d times in nine hours of calm", l->spin[i].runs);
}

static bool is_one_of(const char *text, const char *list)
{
    const char *at = text ? strstr(list, text) : NULL;

    return at && (at == list || at[-1] == ' ') && strchr(" ", at[strlen(text)]);
}

static void judge_case(struct life *l, int at)
{
    struct case_record c = rig_case(&l->r, l->known[at].id);
    int64_t now = fickle_now(l->f);
    bool isolated = fickle_is_isolated(l->f, fickle_alert(l->f, at)->machine, now), held;
    struct question_record *list;
    size_t n = 0;

    assert_int_equal(
        store_question_list(l->r.store, l->r.arena, QUESTION_OPEN, 0, 10, &list, &n, NULL), ERR_OK);
    held = c.state == CASE_WAITING && n;
    happens(l, "case of %d: %s, told %s, machine %s", at, case_state_name(c.state), c.told,
            isolated ? "isolated" : "free");
    if (c.state == CASE_DROPPED)
        return;
    if (c.state != CASE_DONE && c.state != CASE_FAILED && !held)
        wrong(l, "the case of alert %d is %s after hours of calm: %s", at, case_state_name(c.state),
              c.why);
    if (!c.told)
        wrong(l, "nobody was told of alert %d", at);
    else if (is_one_of(c.told, "requested late lapsing"))
        wrong(l, "the last word of alert %d is '%s' after hours of calm", at, c.told);
}

/* An alert that is no case. */
static void judge_unmet(struct life *l, int at)
{
    const struct fickle_alert *a = fickle_alert(l->f, at);
    int64_t since[FICKLE_TENANTS] = {INT64_MAX, INT64_MAX};

    assert_int_equal(real_read(l->r.store->db, since_fn, since, NULL), ERR_OK);
    if (a->made >= since[at % FICKLE_TENANTS] && !a->was_hidden)
        wrong(l, "alert %d is no case after hours of calm, and polls listed it", at);
    if (a->found)
        wrong(l, "alert %d is no case after hours of calm, and a hunt found it", at);
}

static void judge_machine(struct life *l, int machine)
{
    const struct isolation_filter of = {
        .limit = 50, .open_only = true, .machine = fickle_machine_id(machine)};
    int64_t now = fickle_now(l->f);
    const struct fickle_action *a = fickle_in_force(l->f, machine, now);
    const struct isolation_record *open = NULL;
    struct isolation_record *list;
    size_t n = 0;

    assert_int_equal(store_isolation_list(l->r.store, l->r.arena, &of, &list, &n, NULL), ERR_OK);
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].tenant, machine % FICKLE_TENANTS ? "fabrikam" : "contoso") == 0)
            open = &list[i];
    happens(l, "machine %d: %s%s, ledger: %s", machine,
            a && fickle_is_isolate(a) ? "isolated" : "free", a && a->ours ? " by us" : "",
            open ? isolation_state_name(open->state) : "nothing");
    if (open && open->state != ISOLATION_ISOLATED)
        wrong(l, "the isolation of machine %d is %s after hours of calm", machine,
              isolation_state_name(open->state));
    else if (open && (!a || !fickle_is_isolate(a)))
        wrong(l, "the ledger calls machine %d isolated, and it is free", machine);
    else if (!open && a && fickle_is_isolate(a))
        wrong(l, "machine %d is isolated%s, and the ledger knows nothing of it", machine,
              a->ours ? " by us" : "");
    if (l->word[machine].vague)
        return;
    if (l->word[machine].alert >= 0 && l->word[machine].isolated && (!a || !fickle_is_isolate(a)))
        wrong(l, "the last word of machine %d, of alert %d, is that it is isolated, and it is free",
              machine, l->word[machine].alert);
    else if (open && open->case_id && !open->adopted &&
             (l->word[machine].alert < 0 || !l->word[machine].isolated))
        wrong(l, "machine %d is isolated by us, and the last word is another", machine);
}

static enum err_code unended_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct life *l = arg;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT a.handler, a.why FROM actions a JOIN cases c ON c.id = a.case_id WHERE "
                 "a.state NOT IN ('done', 'failed')",
                 "");

    while (!code && db_next(rows))
        wrong(l, "a %s has not ended after hours of calm: %s", db_text(rows, 0), db_text(rows, 1));
    return code ? code : db_rows_end(rows, e);
}

/* What else was asked for, and how often Defender was called. */
static void judge_rest(struct life *l)
{
    assert_int_equal(db_read(l->r.store->db, unended_fn, l, NULL), ERR_OK);
    for (int i = 0; l->poor && i < FICKLE_TENANTS && (l->n == 1 || l->shared) && !l->jumps; i++) {
        size_t minute = fickle_calls(l->f, i, MINUTE_MS), hour = fickle_calls(l->f, i, HOUR_MS);
        size_t more = CALLS_LATE + l->deaths * QUOTA_NOTE_CALLS;

        if (minute > CALLS_MIN + more || hour > CALLS_HOUR + more)
            wrong(l, "%zu calls within a minute, %zu within an hour: more than the quota", minute,
                  hour);
    }
}

/* ---- one life ------------------------------------------------------------------------------------------ */

static void live(struct life *l)
{
    unsigned what = roll(l, 100);

    l->nested = false;
    if (what < 16 && (l->polls || l->hunts) && one_in(l, 3))
        appear(l);
    else if (what < 16)
        push(l);
    else if (what < 50)
        run_due(l, 1 + (int)roll(l, 6));
    else if (what < 60)
        turn(l, roll(l, 2000));
    else if (what < 71)
        turn(l, roll(l, 60000));
    else if (what < 72)
        jump(l);
    else if (what < 76)
        turn(l, roll(l, l->quick ? 60000 : 30 * 60000));
    else if (what < 77)
        turn(l, roll(l, l->quick ? 60000 : 5 * 3600000));
    else if (what < 86)
        order(l);
    else if (what < 88)
        answer(l);
    else if (what < 91)
        portal(l);
    else if (what < 93)
        change_facts(l);
    else if (what < 95)
        use_policy(l, some_policy(l));
    else if (what < 97)
        weather(l);
    else if (what < 98)
        replace(l, some_process(l));
    else if (what < 99)
        break_store(l, one_in(l, 3));
    else if (one_in(l, 2))
        (void)store_work_hurry(l->r.store, NULL);
    else
        leap(l);
    if (one_in(l, 10))
        break_store(l, false);
    judge_told(l);
}

/* The processes, without their engines. */
static void settle_in(struct life *l)
{
    static const char *const owners[] = {"one", "other"};

    for (size_t i = 0; i < 2; i++) {
        struct process *p = &l->p[i];

        *p = (struct process){
            .store = l->r.store,
            .owner = owners[i],
            .clock = {.clock = {.wall_ms = own_wall, .mono_ms = own_mono}, .hands = &l->r.hands}};
        if (i > 0 && l->shared) {
            p->clock.off_ms = (int64_t)roll(l, 2 * CLOCK_OFF_MAX) - CLOCK_OFF_MAX;
            assert_int_equal(store_open(l->r.store_url, false, &p->clock.clock, &p->store, NULL),
                             ERR_OK);
        }
    }
    engine_free(l->r.g); /* the rig's, of another policy */
    l->n = l->shared || one_in(l, 3) ? 2 : 1;
}

/* store_url: of a PostgreSQL; NULL: SQLite. */
static void begin(struct life *l, uint64_t seed, const char *store_url)
{
    atomic_store(&chance, seed);
    l->seed = seed;
    l->dice = seed * 31 + 7;
    for (int i = 0; i < FICKLE_MACHINES; i++)
        l->word[i].alert = -1;
    living = l;
    l->shared = store_url != NULL;
    rig_open_on(&l->r, NULL, store_url);
    l->f = fickle_new(&l->r.hands, seed, on_request, l);
    peer_answer_by(l->r.peer, fickle_answer, l->f);
    l->strict = one_in(l, 5);
    l->quick = one_in(l, 2);
    l->poor = one_in(l, 4);
    l->polls = one_in(l, 2);
    l->hunts = one_in(l, 3);
    l->weakly = one_in(l, 3);
    settle_in(l);
    l->jumps =
        l->n == 1 && !one_in(l, 3); /* replicas whose clocks jump write nothing (db_postgres.c) */
    l->policy = some_policy(l) | POLICY_ISOLATES;
    for (size_t i = 0; i < l->n; i++)
        start(l, &l->p[i]);
    use_policy(l, l->policy);
    assert_int_equal(reconcile_start(l->r.g, NULL), ERR_OK);
    assert_int_equal(polling_start(l->r.g, NULL), ERR_OK);
    assert_int_equal(hunting_start(l->r.g, NULL), ERR_OK);
    weather(l);
}

/* false: something went wrong, which was said. */
static bool is_good(uint64_t seed, const char *store_url, bool aloud)
{
    struct life *l = calloc(1, sizeof *l);
    bool good;

    assert_non_null(l);
    l->aloud = aloud;
    begin(l, seed, store_url);
    for (l->step = 0; l->step < STEPS && !l->wrong[0]; l->step++)
        live(l);
    if (!l->wrong[0])
        clear_up(l);
    for (int i = 0; i < FICKLE_ALERTS && !l->wrong[0]; i++)
        if (l->known[i].id)
            judge_case(l, i);
        else
            judge_unmet(l, i);
    for (int i = 0; i < FICKLE_MACHINES && !l->wrong[0]; i++)
        judge_machine(l, i);
    if (!l->wrong[0])
        judge_rest(l);
    good = !l->wrong[0];
    if (!good)
        print_message("seed %" PRIu64 ", step %d: %s\n", seed, l->step, l->wrong);
    if (l->n > 1)
        engine_free(l->p[1].g);
    if (l->shared)
        store_free(l->p[1].store);
    rig_close(&l->r);
    fickle_free(l->f);
    free(l);
    return good;
}

/* In a process of its own: ids go on where those before them ended, and a life is to follow from its seed alone. */
static bool is_good_alone(uint64_t seed, const char *store_url, bool aloud)
{
    int status = 0;
    pid_t pid;

    (void)fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bool good = is_good(seed, store_url, aloud);

        (void)fflush(NULL);
        _exit(good ? 0 : 1);
    }
    while (waitpid(pid, &status, 0) < 0)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
        print_message("seed %" PRIu64 ": ended with status %#x\n", seed, (unsigned)status);
    return status == 0;
}

/* On a database of its own. */
static bool is_good_shared(uint64_t seed, bool aloud)
{
    char url[POSTGRES_URL_MAX], drop[60];
    bool good;

    if (!postgres_start(NULL))
        return true;
    good = is_good_alone(seed, postgres_url(url), aloud);
    (void)snprintf(drop, sizeof drop, "DROP SCHEMA %s CASCADE", strstr(url, "%3D") + 3);
    free(postgres_sql(drop));
    return good;
}

/* Of the seeds that were asked for those from `from` on and before `end`, or the suite's first n of them. */
static bool are_good(uint64_t from, uint64_t end, uint64_t n)
{
    const char *seeds = getenv("WEATHER_SEED"), *to = seeds ? strchr(seeds, '-') : NULL;
    uint64_t first = seeds ? strtoull(seeds, NULL, 10) : from;
    uint64_t last = to ? strtoull(to + 1, NULL, 10) : seeds ? first : from + n - 1;
    bool aloud = seeds && !to, good = true;

    if (!aloud)
        log_setup(LOG_ERROR, false);
    for (uint64_t seed = first > from ? first : from; seed <= last && seed < end; seed++)
        good =
            (from < SHARED_FROM ? is_good_alone(seed, NULL, aloud) : is_good_shared(seed, aloud)) &&
            good;
    return good;
}

static void test_weather__whatever_happens_the_promises_hold(void **state)
{
    (void)state;
    assert_true(are_good(1, SHARED_FROM, SEEDS));
}

static void test_weather__and_so_they_do_among_replicas(void **state)
{
    (void)state;
    assert_true(are_good(SHARED_FROM, UINT64_MAX, SHARED_SEEDS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weather__whatever_happens_the_promises_hold),
        cmocka_unit_test(test_weather__and_so_they_do_among_replicas)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    postgres_stop();
    return failed;
}
