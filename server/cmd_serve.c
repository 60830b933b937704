/* cmd_serve.c - builds the parts, joins them and waits.
 *
 * Order: configuration, store, far ends, the two sides' sockets, the engine's work, the two sides: whoever
 * cannot start has done nothing, and a push is accepted only when all that it needs is there; who comes before
 * that waits in the kernel's queue. Ending goes the other way round: first nothing more is accepted, then what was
 * accepted is answered, while the workers finish what they hold, for as long as a drain may take; the rest is on disk.
 *
 * Meanwhile main waits for signals and for nothing else: who ends the server is heard at once, and his second signal ends
 * it. What a reload, or a file that has changed, asks for is done by a thread beside it, the keeper.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "action.h"
#include "admin.h"
#include "audit.h"
#include "burst.h"
#include "auto.h"
#include "capability.h"
#include "cli.h"
#include "config.h"
#include "digest.h"
#include "engine.h"
#include "expand.h"
#include "fill.h"
#include "flood.h"
#include "handover.h"
#include "http.h"
#include "http_tls.h"
#include "isolation.h"
#include "ledger.h"
#include "log.h"
#include "mute.h"
#include "notice.h"
#include "hunting.h"
#include "polling.h"
#include "question.h"
#include "question_page.h"
#include "reconcile.h"
#include "receive.h"
#include "rest.h"
#include "routes.h"
#include "sdnotify.h"
#include "silence.h"
#include "status.h"
#include "store_keys.h"
#include "store_policies.h"
#include "upkeep.h"
#include "ways.h"
#include "watch.h"

/* Two threads of each kind suffice: they parse, verify and hand over, and never wait. */
#define HTTP_THREADS 2
/* Heads carry a token of up to 16 KiB and the senders' own headers (webhook-sources.md section 1.4). No more
 * than that: the HTTP library clears all of the memory that it keeps for a head after each request. */
#define MAX_HEAD          (24 * 1024)
#define HEAD_DEADLINE_MS  (10 * SECOND_MS)
#define BODY_DEADLINE_MS  (30 * SECOND_MS)
#define IDLE_MS           (60 * SECOND_MS)
#define MAX_BODIES        (64 << 20) /* of all connections together: four of the largest */
#define MAX_CONNECTIONS   2000 /* one address: half of them, as senders may come through one proxy */
#define ADMIN_CONNECTIONS 64   /* one address: half of them, for the kill switch must be in reach */
/* A drain, in all: less than the 10 s after which `docker stop` kills. Reads are given up before: they are done
 * again by the next start, whereas a request that acts, if its answer is missed, has to be looked for. */
#define DRAIN_READS_MS   (5 * SECOND_MS)
#define DRAIN_SENDERS_MS (6 * SECOND_MS)
#define DRAIN_MS         (8 * SECOND_MS)
/* Who waits longer waits for a database that does not answer, which can be minutes, one after the other. */
#define LEAVE_MS    (DRAIN_MS + 3 * SECOND_MS / 2)
#define OTHER_FILES (ADMIN_CONNECTIONS + 256) /* the people's side, store, far ends, the rest */
/* A change that the store kept from coming into force is looked at again; the log has a line each time. */
#define LOOK_AGAIN_MS (5 * SECOND_MS)

struct serving {
    struct config *config; /* the one in force */
    struct store *store;
    struct rest *rest;
    struct metrics *metrics;
    struct health *health;
    struct engine *engine;
    struct capabilities *capabilities;
    struct status *status;
    struct question_page *questions;
    struct upkeep *upkeep;
    struct receiver *receiver;
    struct route routes[3];
    unsigned connections; /* that senders may have at a time */
    struct routes senders_routes;
    struct admin *admin;
    struct http_server *senders, *people;
    struct watch *files;          /* what config was read from */
    int64_t told_end_ms, told_ms; /* of the senders' certificate, and when that was told */
    struct handover sockets;
    int64_t head_due_ms; /* when the audit's head is logged next; mono */
    int64_t look_ms;     /* mono: no look at `files` before */
    unsigned not_begun;  /* of `rounds` a bit each, by index */
    pthread_t early;     /* hears who ends it before anything is done */
    bool is_early;
    pthread_t leaver; /* bounds the end */
    bool is_bounded;
    sem_t ended;
    pthread_t keeper; /* sees to config, files and what follows them while it serves */
    bool keeps;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t change;
    bool asked; /* a person wants it to read its configuration again */
    bool ends;
};

static void notify_manager(const char *state)
{
    struct err e;

    if (sdnotify(getenv("NOTIFY_SOCKET"), state, &e))
        log_event(LOG_WARN, "notify_failed", LOG_ERR(&e));
}

static void kick(void *engine)
{
    engine_kick_cases(engine);
}

static bool reserve(void *engine)
{
    return engine_reserve(engine);
}

static void hand_over(void *engine, const struct work *w)
{
    engine_hand_over(engine, w);
}

static bool flooded(void *engine, const struct gate_flood *f)
{
    return flood_tell(engine, f);
}

/* ---- building --------------------------------------------------------------------------------- */

/* Before it judges anything: a verdict names it by its hash. */
static enum err_code keep_policy(struct serving *s, const struct config *config, struct err *e)
{
    return store_policy_keep(s->store, policy_hash(config->policy), policy_text(config->policy),
                             clock_wall_ms(clock_system()), e);
}

static enum err_code open_engine(struct serving *s, struct err *e)
{
    const struct rest_options rest = {.user_agent = "cordon/" CORDON_VERSION};
    struct runtime *rt;
    enum err_code code = store_open_as(s->config->store_url, s->config->store_password.text, false,
                                       clock_system(), &s->store, e);

    if (!code)
        code = rest_new(&rest, &s->rest, e);
    if (!code)
        code = metrics_new(&s->metrics, e);
    if (!code)
        code = health_new(clock_system(), &s->health, e);
    if (!code)
        code = runtime_new(config_ref(s->config), s->rest, clock_system(), &rt, e);
    if (!code)
        code = engine_new(s->store, s->rest, clock_system(), rt, &s->engine, e);
    if (!code)
        code = capabilities_open(s->store, &s->capabilities, e);
    if (code)
        return code;
    s->engine->capabilities = s->capabilities;
    s->engine->metrics = s->metrics;
    s->engine->health = s->health;
    return ERR_OK;
}

/* From here on things are done. */
static enum err_code begin_work(struct serving *s, struct err *e)
{
    static const engine_run runs[WORK_KINDS] = {
        [WORK_CASE] = expand_run,       [WORK_ISOLATION] = isolation_run,
        [WORK_NOTICE] = notice_run,     [WORK_HEARTBEAT] = silence_run,
        [WORK_POLL] = polling_run,      [WORK_DIGEST] = digest_run,
        [WORK_LEDGER] = ledger_run,     [WORK_ACTION] = action_run,
        [WORK_QUESTION] = question_run, [WORK_WAY] = ways_run,
        [WORK_HUNT] = hunting_run,      [WORK_RECONCILE] = reconcile_run,
        [WORK_BURST] = burst_run,       [WORK_MUTE] = mute_run};
    enum err_code code = keep_policy(s, s->config, e);

    if (!code)
        code = silence_watch(s->engine, true, e);
    if (!code)
        code = ways_watch(s->engine, e);
    if (!code)
        code = polling_start(s->engine, e);
    if (!code)
        code = hunting_start(s->engine, e);
    if (!code)
        code = reconcile_start(s->engine, e);
    if (!code)
        code = digest_watch(s->engine, e);
    if (!code)
        code = ledger_watch(s->engine, e);
    return code ? code : engine_start(s->engine, runs, e);
}

static enum err_code open_senders(struct serving *s, struct err *e)
{
    const struct status_options status = {
        .store = s->store, .clock = clock_system(), .metrics = s->metrics, .config = s->config};
    struct receiver_options receiver = {.store = s->store,
                                        .rest = s->rest,
                                        .clock = clock_system(),
                                        .metrics = s->metrics,
                                        .config = s->config,
                                        .kick = kick,
                                        .reserve = reserve,
                                        .hand_over = hand_over,
                                        .flooded = flooded,
                                        .engine = s->engine};
    struct http_options http = {.address = s->config->listen.address,
                                .handed_over = s->sockets.listen,
                                .certificate_file = s->config->listen.tls.certificate_file,
                                .key_file = s->config->listen.tls.key_file,
                                .client_certificates = s->config->listen.tls.client_certificates,
                                .max_body = (size_t)s->config->listen.max_body,
                                .max_bodies = MAX_BODIES,
                                .max_head = MAX_HEAD,
                                .head_deadline_ms = HEAD_DEADLINE_MS,
                                .body_deadline_ms = BODY_DEADLINE_MS,
                                .idle_ms = IDLE_MS,
                                .threads = HTTP_THREADS,
                                .max_connections = s->connections,
                                .max_connections_per_ip = (s->connections + 1) / 2,
                                .begin_later = true,
                                .handler = routes_handler(),
                                .ctx = &s->senders_routes,
                                .clock = clock_system()};
    enum err_code code = status_new(&status, &s->status, e);

    receiver.status = s->status;
    if (!code)
        code = question_page_new(s->engine, s->rest, &s->questions, e);
    if (!code)
        code = receiver_new(&receiver, &s->receiver, e);
    s->routes[0] = (struct route){STATUS_PATH, status_handler(), s->status};
    s->routes[1] = (struct route){QUESTION_PATH, question_page_handler(), s->questions};
    s->routes[2] = (struct route){"", receiver_handler(), s->receiver};
    s->senders_routes = (struct routes){s->routes, sizeof s->routes / sizeof *s->routes};
    if (!code)
        code = http_server_open(&http, &s->senders, e);
    return code ? err_in(e, "listen") : ERR_OK;
}

static enum err_code open_people(struct serving *s, struct err *e)
{
    const struct admin_options admin = {.engine = s->engine,
                                        .senders = s->senders,
                                        .version = CORDON_VERSION,
                                        .started_ms = clock_wall_ms(clock_system())};
    struct http_options http = {.address = s->config->admin.address,
                                .handed_over = s->sockets.admin,
                                .max_body = 64 * 1024,
                                .max_head = MAX_HEAD,
                                .head_deadline_ms = HEAD_DEADLINE_MS,
                                .body_deadline_ms = BODY_DEADLINE_MS,
                                .idle_ms = IDLE_MS,
                                .threads = 1,
                                .max_connections = ADMIN_CONNECTIONS,
                                .max_connections_per_ip = ADMIN_CONNECTIONS / 2,
                                .begin_later = true,
                                .handler = admin_handler(),
                                .clock = clock_system()};
    enum err_code code = admin_new(&admin, &s->admin, e);

    http.ctx = s->admin;
    if (!code)
        code = http_server_open(&http, &s->people, e);
    return code ? err_in(e, "admin") : ERR_OK;
}

static struct upkeep_limits limits_of(const struct config *c)
{
    return (struct upkeep_limits){.keep_ms = c->retention_ms, .max_bytes = c->store_max_size};
}

static bool filled(void *engine, bool full, int64_t used, int64_t max)
{
    return fill_tell(engine, full, used, max);
}

/* A host without a good clock of its own, or with one in local time, gets the time from the network: within so long. */
#define CLOCK_SETTLES_MS (15 * MINUTE_MS)

static enum err_code open_upkeep(struct serving *s, struct err *e)
{
    return upkeep_start(&(struct upkeep_options){.store = s->store,
                                                 .metrics = s->metrics,
                                                 .limits = limits_of(s->config),
                                                 .settle_ms = CLOCK_SETTLES_MS,
                                                 .filled = filled,
                                                 .engine = s->engine},
                        &s->upkeep, e);
}

/* ---- while it runs ---------------------------------------------------------------------------- */

static void log_notes(const struct config *c)
{
    for (const char *const *note = c->notes; *note; note++)
        log_event(LOG_WARN, "note", LOG_STR("why", *note));
}

/* Which configuration is in force from now on is on record; that it could not be put there does not keep
 * cordon from working. */
static void record_config(struct serving *s, const char *event, const char *why)
{
    struct err e;

    if (store_audit_put(s->store, &e, AUDIT_CONFIG, LOG_STR("event", event),
                        LOG_STR("policy", policy_hash(s->config->policy)),
                        LOG_STR("file", s->config->file), LOG_STR("version", CORDON_VERSION),
                        LOG_STR("why", why)))
        log_event(LOG_ERROR, "audit_not_written", LOG_ERR(&e));
}

static enum err_code watch_heartbeats(struct engine *g, struct err *e)
{
    return silence_watch(g, false, e);
}

/* What a configuration asks for again and again: each has to put into the store when it is due. */
static const struct {
    enum err_code (*begin)(struct engine *g, struct err *e);
    const char *what;
} rounds[] = {
    {watch_heartbeats, "heartbeats"}, {ways_watch, "ways"},           {polling_start, "polling"},
    {hunting_start, "hunts"},         {reconcile_start, "reconcile"},
};

#define N_ROUNDS (sizeof rounds / sizeof rounds[0])

static bool is_ending(struct serving *s)
{
    bool ends;

    pthread_mutex_lock(&s->lock);
    ends = s->ends;
    pthread_mutex_unlock(&s->lock);
    return ends;
}

/* Those that the store kept from beginning are tried again; the log has a line for the first time and for the end. Not
 * while the store is out of reach: each would wait for it, and whoever ends the server for all of them. */
static void begin_rounds(struct serving *s, bool first)
{
    for (size_t i = 0; i < N_ROUNDS; i++) {
        struct err e;

        if (is_ending(s) || (!first && s->not_begun && db_health(s->store->db, &e)))
            return;
        if (!(s->not_begun & 1U << i))
            continue;
        if (!rounds[i].begin(s->engine, &e)) {
            s->not_begun &= ~(1U << i);
            if (!first)
                log_event(LOG_INFO, "begun_after_all", LOG_STR("what", rounds[i].what));
        } else if (first) {
            (void)err_in(&e, "tried again in a moment");
            log_event(LOG_ERROR, "not_begun", LOG_STR("what", rounds[i].what), LOG_ERR(&e));
        }
    }
}

/* Puts fresh in force, or says why not: ERR_AGAIN, it is the store's fault and not that of the files. The certificate is
 * last of what can fail. */
static enum err_code put_in_force(struct serving *s, struct config *fresh, const char *changed,
                                  struct err *e)
{
    const struct upkeep_limits limits = limits_of(fresh);
    const struct config_tls *tls = &fresh->listen.tls;
    const char *key = config_needs_restart(s->config, fresh);
    struct runtime *rt;

    if (key) {
        log_event(
            LOG_ERROR, "reload_refused", LOG_STR("key", key),
            LOG_STR("why", "this setting needs a restart; the old configuration stays in force"));
        return err_set(e, ERR_REFUSED, "%s: this setting needs a restart", key);
    }
    if (keep_policy(s, fresh, e)) {
        if (changed)
            (void)err_in(e, "tried again in a moment");
        log_event(LOG_ERROR, "reload_refused", LOG_ERR(e));
        return ERR_AGAIN;
    }
    if (runtime_new(config_ref(fresh), s->rest, clock_system(), &rt, e)) {
        log_event(LOG_ERROR, "reload_refused", LOG_ERR(e));
        return ERR_REFUSED;
    }
    if (tls->certificate_file &&
        http_server_use_certificate(s->senders, tls->certificate_file, tls->key_file, e)) {
        log_event(LOG_ERROR, "reload_refused", LOG_ERR(e));
        runtime_unref(rt);
        return ERR_REFUSED;
    }
    /* The socket goes on asking for them: a source that wants one again needs no restart. */
    fresh->listen.tls.client_certificates |= s->config->listen.tls.client_certificates;
    /* It is no reason to keep out what else was rotated: a sender's new secret, for one, which would be told 401. */
    if (!config_keeps_password(s->config, fresh))
        log_event(LOG_WARN, "note",
                  LOG_STR("why",
                          "store.password_file says something else: the store goes on as it was "
                          "opened, and takes what it says now with the next start"));
    receiver_use(s->receiver, fresh);
    status_use(s->status, fresh);
    engine_use(s->engine, rt);
    upkeep_use(s->upkeep, &limits);
    s->not_begun = (1U << N_ROUNDS) - 1;
    begin_rounds(s, true);
    config_unref(s->config);
    s->config = fresh;
    log_event(LOG_INFO, "reloaded", LOG_STR("policy", policy_hash(fresh->policy)),
              LOG_STR("changed", changed));
    record_config(s, "reload", changed ? changed : "SIGHUP");
    log_notes(fresh);
    return ERR_OK;
}

/* A faulty file changes nothing and says so. changed: the file for whose sake those that the configuration
 * names are read anew, while its own text stays; NULL: a person asks, and that is read too. */
static void reload(struct serving *s, const char *changed)
{
    AUTO(watch_freep) struct watch *files = NULL;
    struct config *fresh = NULL;
    enum err_code code;
    struct err e;
    bool done;

    if (watch_new(&files, &e)) {
        log_event(LOG_ERROR, "reload_refused", LOG_ERR(&e));
        return;
    }
    notify_manager("RELOADING=1");
    code = cli_reload_config(s->config, changed, files, &fresh, &e);
    if (code == ERR_INVALID)
        (void)err_in(&e, "the file has faults, each of them an event config_fault; the old "
                         "configuration stays in force");
    if (code) {
        log_event(LOG_ERROR, "reload_refused", LOG_STR("changed", changed), LOG_ERR(&e));
    } else if ((code = put_in_force(s, fresh, changed, &e))) {
        config_unref(fresh);
    }
    if (code == ERR_AGAIN && changed) { /* the watch goes on to see the change */
        s->look_ms = clock_mono_ms(clock_system()) + LOOK_AGAIN_MS;
        notify_manager("READY=1");
        return;
    }
    done = !code;
    if (!done && changed) /* the next try is for the next change */
        watch_take_over(files, s->files);
    if (!done)
        record_config(s, "reload_refused", e.text);
    if (done || changed) {
        struct watch *old = s->files;

        s->files = files;
        files = old;
    }
    notify_manager("READY=1");
}

/* A line a day from the fortnight before the certificate's end. */
static void tell_certificate(struct serving *s)
{
    const int64_t end = http_server_certificate_end_ms(s->senders);
    const int64_t now = clock_wall_ms(clock_system());
    char text[CLOCK_TEXT_SIZE];

    if (!end || end - now >= HTTP_TLS_ENDS_SOON_MS ||
        (end == s->told_end_ms && now - s->told_ms < DAY_MS))
        return;
    s->told_end_ms = end;
    s->told_ms = now;
    log_event(LOG_WARN, "certificate_ends", LOG_STR("at", clock_format(end, text)),
              LOG_STR("why", end < now ? "senders refuse it; put another in its place"
                                       : "put another in its place; no restart is needed"));
}

static void block_signals(sigset_t *ret)
{
    (void)sigemptyset(ret);
    (void)sigaddset(ret, SIGTERM);
    (void)sigaddset(ret, SIGINT);
    (void)sigaddset(ret, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, ret, NULL); /* threads inherit it: only sigwait sees them */
    (void)signal(SIGPIPE, SIG_IGN);
}

/* Each worker reads hundreds of cases when many wait, and glibc gives each thread a pool of its own, which keeps
 * what was freed: 10,000 alerts pushed at once took 102 MiB, and 70 to 85 with these. Ingest is as fast
 * (tests/bench). */
static void bound_malloc(void)
{
    (void)mallopt(M_ARENA_MAX, 4);
    (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024); /* set, it does not grow */
    (void)mallopt(M_TRIM_THRESHOLD, 128 * 1024);
}

/* Every connection is an open file, and what a process usually begins with is a soft limit of 1,024. Where no more
 * are to be had it is senders who wait: by taking the last files they would keep us from Defender, from the mail
 * server and from people's orders. Returns how many connections senders may have. */
static unsigned allow_open_files(void)
{
    const rlim_t wanted = MAX_CONNECTIONS + OTHER_FILES;
    struct rlimit files;
    unsigned connections;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= wanted)
        return MAX_CONNECTIONS;
    files.rlim_cur = files.rlim_max < wanted ? files.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur == wanted)
        return MAX_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur > wanted)
        return MAX_CONNECTIONS;
    connections = (unsigned)files.rlim_cur;
    connections = connections > 2 * OTHER_FILES ? connections - OTHER_FILES : connections / 2;
    log_event(LOG_WARN, "note",
              LOG_STR("why", "this process may open few files (ulimit -n): senders can have fewer "
                             "connections at a time, and some would have to wait"),
              LOG_INT("files", (int64_t)files.rlim_cur), LOG_INT("connections", connections));
    return connections ? connections : 1;
}

/* Waits until a person asks, or a look is due. False: the server is to end. */
static bool wait_for_turn(struct serving *s, bool *ret_asked)
{
    const struct timespec until = clock_cond_until(WATCH_EVERY_MS);
    bool go_on;
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    while (!s->ends && !s->asked && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&s->change, &s->lock, &until);
    *ret_asked = s->asked;
    s->asked = false;
    go_on = !s->ends;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

/* All of this may have to wait for the store, half a minute and longer when that is out of reach. */
static void *keep(void *arg)
{
    struct serving *s = arg;
    bool asked = false;

    (void)pthread_setname_np(pthread_self(), "keeper");
    record_config(s, "start", NULL);
    while (wait_for_turn(s, &asked)) {
        const bool look = !asked && clock_mono_ms(clock_system()) >= s->look_ms;
        const char *changed = look ? watch_look(s->files) : NULL;

        if (asked || changed)
            reload(s, changed);
        begin_rounds(s, false);
        tell_certificate(s);
        s->head_due_ms = audit_tell_head(s->store, clock_mono_ms(clock_system()), s->head_due_ms);
    }
    return NULL;
}

static enum err_code start_keeper(struct serving *s, struct err *e)
{
    int rc;

    clock_cond_init(&s->change);
    rc = pthread_create(&s->keeper, NULL, keep, s);
    s->keeps = rc == 0;
    return rc ? err_set(e, ERR_IO, "start a thread: %s", strerror(rc)) : ERR_OK;
}

static void tell_keeper(struct serving *s, bool *what)
{
    pthread_mutex_lock(&s->lock);
    *what = true;
    pthread_cond_signal(&s->change);
    pthread_mutex_unlock(&s->lock);
}

static void end_keeper(struct serving *s)
{
    if (!s->keeps)
        return;
    tell_keeper(s, &s->ends);
    (void)pthread_join(s->keeper, NULL);
    (void)pthread_cond_destroy(&s->change);
}

/* SIGTERM is heard at once, whatever the keeper waits for. */
static void wait_for_end(struct serving *s, const sigset_t *signals)
{
    int number = 0;

    while (sigwait(signals, &number) || number == SIGHUP)
        if (number == SIGHUP)
            tell_keeper(s, &s->asked);
}

/* A thread that no signal interrupts. */
static int start_aside(pthread_t *ret, void *(*fn)(void *s), struct serving *s)
{
    sigset_t all, before;
    int rc;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(ret, NULL, fn, s);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static void *heed_early_ends(void *unused)
{
    sigset_t ends;
    int number = 0;

    (void)unused;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    (void)sigaddset(&ends, SIGUSR1); /* that main will */
    while (sigwait(&ends, &number))
        ;
    if (number == SIGUSR1)
        return NULL;
    log_event(LOG_INFO, "stopped", LOG_STR("why", "it was told to before it was ready"));
    _exit(CLI_DONE);
}

/* A start waits for its database, minutes where another replica migrates that, and main with it. Nothing is under way yet that
 * would be lost with the process. */
static void start_early(struct serving *s)
{
    s->is_early = start_aside(&s->early, heed_early_ends, NULL) == 0; /* else signals wait, too */
}

static void end_early(struct serving *s)
{
    if (!s->is_early)
        return;
    (void)pthread_kill(s->early, SIGUSR1);
    (void)pthread_join(s->early, NULL);
}

static void at_once(int number)
{
    _exit(128 + number);
}

/* From here on a second signal ends the process at once: what was accepted is on disk anyway. */
static void arm_second_signal(const sigset_t *signals)
{
    (void)signal(SIGHUP, SIG_IGN); /* nothing is reloaded any more */
    (void)signal(SIGTERM, at_once);
    (void)signal(SIGINT, at_once);
    (void)pthread_sigmask(SIG_UNBLOCK, signals, NULL);
}

/* What was accepted is on disk, and the next start goes on with what was under way, as after a kill. */
static void *leave_in_time(void *arg)
{
    struct serving *s = arg;
    const struct timespec until = clock_cond_until(LEAVE_MS);

    while (sem_clockwait(&s->ended, CLOCK_MONOTONIC, &until)) {
        if (errno == EINTR)
            continue;
        log_event(LOG_WARN, "stopped",
                  LOG_STR("why", "not all has ended in time, the store does not answer: the next "
                                 "start goes on with it"));
        _exit(CLI_DONE);
    }
    return NULL;
}

/* Whatever hangs from here on does not keep the process. */
static void bound_the_end(struct serving *s)
{
    (void)sem_init(&s->ended, 0, 0);
    s->is_bounded = start_aside(&s->leaver, leave_in_time, s) == 0; /* else it may take longer */
}

static void end_in_time(struct serving *s)
{
    if (!s->is_bounded)
        return;
    (void)sem_post(&s->ended);
    (void)pthread_join(s->leaver, NULL);
}

/* What is left of limit_ms that began at began_ms. */
static int64_t left_of(int64_t limit_ms, int64_t began_ms)
{
    int64_t left = began_ms + limit_ms - clock_mono_ms(clock_system());

    return left > 0 ? left : 0;
}

static void close_all(struct serving *s)
{
    const int64_t began = clock_mono_ms(clock_system());
    const bool runs = s->engine && s->engine->workers;

    if (s->senders)
        http_server_quiesce(s->senders);
    if (s->receiver)
        receiver_stopping(s->receiver);
    if (s->admin)
        admin_stopping(s->admin);
    if (runs)
        engine_quiesce(s->engine);
    end_keeper(s);
    /* It counts the senders' connections: it goes first. */
    http_server_free(s->people, left_of(DRAIN_READS_MS, began));
    admin_free(s->admin);
    if (runs)
        (void)engine_wait(s->engine, left_of(DRAIN_READS_MS, began));
    if (s->rest)
        rest_wind_down(s->rest, false); /* who waits for keys is told to come again */
    http_server_free(s->senders, left_of(DRAIN_SENDERS_MS, began));
    receiver_free(s->receiver);
    status_free(s->status);
    question_page_free(s->questions);
    upkeep_stop(s->upkeep);
    if (runs) {
        if (!engine_wait(s->engine, left_of(DRAIN_MS, began)))
            rest_wind_down(s->rest, true);
        engine_stop(s->engine);
    }
    engine_free(s->engine);
    capabilities_free(s->capabilities);
    health_free(s->health);
    metrics_free(s->metrics);
    rest_free(s->rest);
    store_free(s->store);
    config_unref(s->config);
    watch_free(s->files);
}

struct options {
    const char *config;
};

static const struct cli_option options[] = {
    CLI_CONFIG(struct options, config),
    {.name = NULL},
};

static const struct cli_command command = {
    .name = "serve",
    .about =
        "Receives alerts, decides and acts, until SIGTERM. Stays in the foreground; ready\n"
        "when it logs `ready`. SIGHUP reads the configuration again; secrets and certificates\n"
        "that change on disk take effect by themselves. SIGTERM finishes what is under way, for\n"
        "8 seconds at most; a second one ends it at once. Sockets that a service manager hands\n"
        "over (LISTEN_FDS, named `listen` and `admin`) are used as they are. What it does and\n"
        "waits for is seen with a browser at admin.address.",
    .options = options,
};

int cmd_serve(int argc, char **argv);

int cmd_serve(int argc, char **argv)
{
    struct options o = {0};
    struct serving s = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct err e = {0};
    sigset_t signals;
    enum err_code code;
    int exit_code = cli_parse(argc, argv, &command, &o, NULL);

    if (exit_code != CLI_GO_ON)
        return exit_code;
    if (watch_new(&s.files, &e) || cli_start_config(o.config, s.files, &s.config, &e)) {
        log_event(LOG_ERROR, "cannot_start", LOG_ERR(&e));
        watch_free(s.files);
        return CLI_FAILED;
    }
    block_signals(&signals);
    start_early(&s);
    s.connections = allow_open_files();
    bound_malloc();
    log_notes(s.config);
    code = handover_take(&s.sockets, &e);
    if (!code)
        code = open_engine(&s, &e);
    if (!code)
        code = open_senders(&s, &e);
    if (!code)
        code = open_people(&s, &e);
    end_early(&s);
    if (!code)
        code = begin_work(&s, &e);
    if (!code)
        code = open_upkeep(&s, &e);
    if (!code)
        code = http_server_begin(s.senders, &e);
    if (!code)
        code = http_server_begin(s.people, &e);
    if (!code) {
        log_event(
            LOG_INFO, "ready", LOG_STR("version", CORDON_VERSION),
            LOG_STR("listen", http_server_address(s.senders)),
            LOG_STR("admin", http_server_address(s.people)), LOG_STR("store", db_name(s.store->db)),
            LOG_STR("policy", policy_hash(s.config->policy)), LOG_INT("pid", (int64_t)getpid()));
        notify_manager("READY=1");
        code = start_keeper(&s, &e);
    }
    if (code) {
        log_event(LOG_ERROR, "cannot_start", LOG_ERR(&e));
    } else {
        wait_for_end(&s, &signals);
        arm_second_signal(&signals);
        bound_the_end(&s);
        log_event(LOG_INFO, "stopping");
        notify_manager("STOPPING=1");
    }
    close_all(&s);
    end_in_time(&s);
    if (!code)
        log_event(LOG_INFO, "stopped");
    return code ? CLI_FAILED : CLI_DONE;
}
