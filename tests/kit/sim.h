/* sim.h - starts cordon-sim for a test and talks to its control interface (tests/sim/README.md).
 *
 *     struct sim *sim = sim_start(NULL);
 *     sim_tell(sim, "/alerts", "{\"id\":\"da1_-2\",\"severity\":\"High\"}");
 *     … let cordon loose on sim->api_url, sim->login_url, sim->smtp_url …
 *     AUTO(json_freep) struct json *calls =
 *         sim_wait_calls(sim, "POST", SIM_ISOLATE, 1, 10000);
 *     AUTO(json_freep) struct json *mails = sim_wait_mails(sim, 1, 10000);
 *     sim_stop(sim);
 *
 * What goes wrong in the simulator or its control interface fails the running cmocka test; so does a
 * wait whose time is over, with the calls that did come. The simulator ends with the test program, however
 * that ends. It is found beside the test's own binary or one folder up, or as $CORDON_SIM. One struct sim may be used by
 * several threads; cmocka's failure must happen in the test's own thread, so waits belong there.
 */
#ifndef KIT_SIM_H
#define KIT_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "json.h"

/* Paths as globs, for sim_wait_calls and its kin. */
#define SIM_TOKEN     "/*/oauth2/*"
#define SIM_ALERT     "/api/alerts/*"
#define SIM_ISOLATE   "/api/machines/*/isolate"
#define SIM_UNISOLATE "/api/machines/*/unisolate"

struct sim_options {
    const char *config;      /* JSON as for POST /sim/config; NULL: the defaults */
    const char *const *args; /* more arguments, NULL-terminated; may be NULL */
    bool verbose;            /* its log on stderr; else in DIR/sim.log */
};

struct sim {
    /* what its ready line said; borrowed until sim_stop */
    const char *api_url, *login_url, *graph_url, *control_url;
    const char *tenant_id, *client_id, *client_secret, *api_scope;
    const char *smtp_url, *smtps_url, *smtp_ca_file, *smtp_username, *smtp_password;
    const char *journal_file;
    const char *dir; /* its folder, removed by sim_stop; the test may put files there too */
    pid_t pid;
    /* sim.c's own */
    struct json *ready;
    int stdin_fd;
    char *own_dir;
};

/** Starts it and waits until it is ready. o may be NULL. Never NULL: failing fails the test. */
struct sim *sim_start(const struct sim_options *o);
/** Ends it (it must exit with 0), removes its folder, frees. NULL is fine. */
void sim_stop(struct sim *sim);
/** The same for a sim that the test has killed or stopped in its own way. */
void sim_forget(struct sim *sim);

/* ---- the control interface: path is below /sim; answers are the caller's to json_free --------- */

struct json *sim_post(struct sim *sim, const char *path, const char *json);
struct json *sim_postf(struct sim *sim, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** The same where the answer does not matter. */
void sim_tell(struct sim *sim, const char *path, const char *json);
void sim_tellf(struct sim *sim, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** path may carry a query, values percent-encoded. */
struct json *sim_get(struct sim *sim, const char *path);
void sim_delete(struct sim *sim, const char *path);

/* method, path (a glob over the raw path): NULL for any. */

/** The calls so far, in order: {"next":…,"calls":[…]}. since: 0, or "next" of an earlier answer. */
struct json *sim_calls(struct sim *sim, const char *method, const char *path, int64_t since);
int64_t sim_count_calls(struct sim *sim, const char *method, const char *path);
/** Waits until count matching calls were answered. Same shape as sim_calls. */
struct json *sim_wait_calls(struct sim *sim, const char *method, const char *path, int64_t count,
                            int64_t timeout_ms);
/** Waits until count mails arrived: {"mails":[{from, rcpt, raw, tls, user, …}]}. */
struct json *sim_wait_mails(struct sim *sim, int64_t count, int64_t timeout_ms);
/** Waits until count machines are isolated; returns GET /sim/state. */
struct json *sim_wait_isolated(struct sim *sim, int64_t count, int64_t timeout_ms);
/** A number of GET /sim/state ("actions", "isolate_posts", "max_active_isolates" …). */
int64_t sim_state(struct sim *sim, const char *name);
/** A bearer token for cordon's own doors; spec as for POST /sim/mint. Heap. */
char *sim_mint(struct sim *sim, const char *spec);
/** A Defender token as a client of the simulator gets it. Heap. */
char *sim_token(struct sim *sim);

#endif
