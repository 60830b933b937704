/* cmd_serve.c - builds the parts, joins them and waits.
 *
 * Order: configuration, store, far ends, the two sides' sockets, the engine's work, the two sides: whoever
 * cannot start has done nothing, and a push is accepted only when all that it needs is there; who comes before
 * that waits in the kernel's queue. Ending goes the other way round: first nothing more is accepted, then what was
 * accepted is answered, while the workers finish what they hold, for as long as a drain may take; the rest is on disk.
 *
 * Meanwhile main waits for signals and for nothing else (signals.h): who ends the server is heard at once. What a reload,
 * or a file that has changed, asks for is done by a thread beside it, the keeper (keeper.h).
 */
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include "action.h"
#include "admin.h"
#include "burst.h"
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
#include "hunting.h"
#include "isolation.h"
#include "keeper.h"
#include "ledger.h"
#include "log.h"
#include "mute.h"
#include "notice.h"
#include "polling.h"
#include "question.h"
#include "question_page.h"
#include "reconcile.h"
#include "receive.h"
#include "rest.h"
#include "routes.h"
#include "sdnotify.h"
#include "signals.h"
#include "silence.h"
#include "status.h"
#include "store_keys.h"
#include "upkeep.h"
#include "watch.h"
#include "ways.h"

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
 * again by the next start, whereas a request that acts, if its answer is missed, has to be looked for. People come before
 * that: with the second and a half that the last of an answer and the last words may take, they leave senders theirs. */
#define DRAIN_PEOPLE_MS  (3 * SECOND_MS)
#define DRAIN_READS_MS   (5 * SECOND_MS)
#define DRAIN_SENDERS_MS (6 * SECOND_MS)
#define DRAIN_MS         (8 * SECOND_MS)
/* Who waits longer waits for a database that does not answer, which can be minutes, one after the other. */
#define LEAVE_MS    (DRAIN_MS + 3 * SECOND_MS / 2)
#define OTHER_FILES (ADMIN_CONNECTIONS + 256) /* the people's side, store, far ends, the rest */

struct serving {
    struct config *config; /* as the file said at the start; NULL: the keeper has it */
    struct watch *files;   /* what it was read from; likewise */
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
    struct handover sockets;
    struct keeper *keeper;
};

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

static bool clock_is_doubtful(void *engine)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(engine);

    return runtime_clock_is_doubtful(rt, DEFENDER_SKEW_MS);
}

/* Enough to make a good sender's time look wrong, by the least that a source may tolerate. */
static bool senders_clock_is_doubtful(void *engine)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(engine);

    return runtime_clock_is_doubtful(rt, VERIFY_LEAST_MS);
}

static bool flooded(void *engine, const struct gate_flood *f)
{
    return flood_tell(engine, f);
}

/* ---- building --------------------------------------------------------------------------------- */

static enum err_code open_engine(struct serving *s, struct err *e)
{
    struct runtime *rt;
    enum err_code code = store_open_as(s->config->store_url, s->config->store_password.text, false,
                                       clock_system(), &s->store, e);

    if (!code)
        code = cli_rest_new(&s->rest, e);
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

/* What is to be done again and again is due from now on. */
static enum err_code begin_rounds(struct serving *s, struct err *e)
{
    enum err_code code = keeper_keep_policy(s->store, s->config, e);

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
    return code;
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

    return engine_start(s->engine, runs, e);
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
                                        .clock_is_off = senders_clock_is_doubtful,
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
                                                 .limits = keeper_limits(s->config),
                                                 .settle_ms = CLOCK_SETTLES_MS,
                                                 .filled = filled,
                                                 .clock_is_doubtful = clock_is_doubtful,
                                                 .engine = s->engine},
                        &s->upkeep, e);
}

/* ---- the process ------------------------------------------------------------------------------ */

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
    signals_waits_for("the configuration that is being read again");
    keeper_free(s->keeper);
    /* It counts the senders' connections: it goes first. */
    signals_waits_for("people's requests");
    http_server_free(s->people, left_of(DRAIN_PEOPLE_MS, began));
    admin_free(s->admin);
    if (runs)
        (void)engine_wait(s->engine, left_of(DRAIN_READS_MS, began));
    if (s->rest)
        rest_wind_down(s->rest, false); /* who waits for keys is told to come again */
    signals_waits_for("senders' requests");
    http_server_free(s->senders, left_of(DRAIN_SENDERS_MS, began));
    receiver_free(s->receiver);
    status_free(s->status);
    question_page_free(s->questions);
    signals_waits_for("the store's upkeep");
    upkeep_stop(s->upkeep);
    if (runs) {
        signals_waits_for("the work under way");
        if (!engine_wait(s->engine, left_of(DRAIN_MS, began)))
            rest_wind_down(s->rest, true);
        engine_stop(s->engine);
    }
    engine_free(s->engine);
    capabilities_free(s->capabilities);
    health_free(s->health);
    metrics_free(s->metrics);
    rest_free(s->rest);
    signals_waits_for("the store");
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

/* Each of them waits for the store, and can be ended while it does. */
static enum err_code open_all(struct serving *s, struct err *e)
{
    enum err_code code = handover_take(&s->sockets, e);

    if (!code)
        code = open_engine(s, e);
    if (!code)
        code = open_senders(s, e);
    if (!code)
        code = open_people(s, e);
    return code ? code : begin_rounds(s, e);
}

static enum err_code begin_all(struct serving *s, struct err *e)
{
    enum err_code code = begin_work(s, e);

    if (!code)
        code = open_upkeep(s, e);
    if (!code)
        code = http_server_begin(s->senders, e);
    return code ? code : http_server_begin(s->people, e);
}

static void tell_ready(struct serving *s)
{
    log_event(LOG_INFO, "ready", LOG_STR("version", CORDON_VERSION),
              LOG_STR("listen", http_server_address(s->senders)),
              LOG_STR("admin", http_server_address(s->people)),
              LOG_STR("store", db_name(s->store->db)),
              LOG_STR("policy", policy_hash(s->config->policy)),
              LOG_STR("proxy", rest_proxy(s->rest)), LOG_INT("pid", (int64_t)getpid()));
    sdnotify_tell("READY=1");
}

static enum err_code keep(struct serving *s, struct err *e)
{
    const struct keeper_parts parts = {.config = s->config,
                                       .files = s->files,
                                       .store = s->store,
                                       .rest = s->rest,
                                       .engine = s->engine,
                                       .status = s->status,
                                       .upkeep = s->upkeep,
                                       .receiver = s->receiver,
                                       .senders = s->senders};
    enum err_code code = keeper_start(&parts, &s->keeper, e);

    if (code)
        return code;
    s->config = NULL;
    s->files = NULL;
    return ERR_OK;
}

static void reload(void *keeper)
{
    keeper_reload(keeper);
}

int cmd_serve(int argc, char **argv);

int cmd_serve(int argc, char **argv)
{
    struct options o = {0};
    struct serving s = {0};
    struct err e = {0};
    enum err_code code;
    int exit_code = cli_parse(argc, argv, &command, &o, NULL);

    if (exit_code != CLI_GO_ON)
        return exit_code;
    signals_begin();
    if (watch_new(&s.files, &e) || cli_start_config(o.config, s.files, &s.config, &e)) {
        log_event(LOG_ERROR, "cannot_start", LOG_ERR(&e));
        signals_begun();
        watch_free(s.files);
        return CLI_FAILED;
    }
    s.connections = allow_open_files();
    bound_malloc();
    cli_log_notes(s.config);
    code = open_all(&s, &e);
    signals_begun();
    if (!code)
        code = begin_all(&s, &e);
    if (!code) {
        tell_ready(&s);
        code = keep(&s, &e);
    }
    if (code)
        log_event(LOG_ERROR, "cannot_start", LOG_ERR(&e));
    else
        signals_wait(reload, s.keeper);
    exit_code = code ? CLI_FAILED : CLI_DONE;
    signals_ending(LEAVE_MS, exit_code);
    if (!code) {
        log_event(LOG_INFO, "stopping");
        sdnotify_tell("STOPPING=1");
    }
    close_all(&s);
    signals_ended();
    if (!code)
        log_event(LOG_INFO, "stopped");
    return exit_code;
}
