/* house.h - a whole cordon between the simulator and a sender, for end-to-end tests.
 *
 *     struct house *h = house_start(NULL);
 *     sim_tell(h->sim, "/alerts", "{\"id\":\"da1_-2\",\"severity\":\"High\",…}");
 *     AUTO(json_freep) struct json *answer = house_push(h, "da1_-2", NULL, 202);
 *     … sim_wait_calls, sim_wait_mails, house_wait_case …
 *     house_stop(h);
 *
 * The process is the real build/cordon with a configuration file, an SQLite store and a secret in the
 * simulator's folder, on ports of its own; its log stands in DIR/cordon.log. It can be stopped, killed
 * and started again on the same store. Requests are signed here with OpenSSL, not by cordon's code.
 * What goes wrong fails the running cmocka test.
 */
#ifndef KIT_HOUSE_H
#define KIT_HOUSE_H

#include <pthread.h>

#include "kit/fetch.h"
#include "kit/sim.h"

struct house_options {
    struct sim_options sim;
    const char *listen_address, *admin_address; /* NULL: 127.0.0.1, any free port */
    /* YAML under `rules:`, indented by 2; NULL: High: isolate and mail, rest: mail */
    const char *rules;
    const char *safety; /* YAML under `safety:`; NULL: no such part */
    const char *source; /* YAML of the source `relay` below `tenant:`, indented by 4; NULL:
                              standard_webhooks with house.secret */
    /* more YAML under `mail:`, indented by 2; may be NULL. Notices are not grouped unless it has a `group:` */
    const char *mail;
    const char *mail_url;  /* NULL: the simulator's smtp:// */
    const char *listen;    /* more YAML under `listen:`, indented by 2; may be NULL */
    const char *quota;     /* YAML flow map; NULL: {per_minute: 100000, per_hour: 1000000} */
    const char *more;      /* whole top-level parts */
    const char *store_url; /* NULL: sqlite:DIR/cordon.db */
    /* a replica of this one: its simulator, secrets and rules, files of its own below its folder. It is stopped
     * first */
    struct house *beside;
    bool not_yet; /* do not start cordon: house_cordon_start does */
};

struct house {
    struct sim *sim;
    const char *dir; /* the simulator's: gone after house_stop */
    char config_file[300], secret_file[300], log_file[300], store_file[300];
    char secret[64]; /* whsec_… */
    pid_t pid;       /* 0: not running */
    /* "http://127.0.0.1:43121" or "unix:/path:", of the running process; fit for fetch */
    char hooks[200];
    char admin[200];
    unsigned serial; /* of delivery ids */
    int listen_fd; /* a listening socket that every start is handed over, named `listen`; 0: none */
    struct house *beside;
    unsigned replicas; /* that moved in beside this one */
    /* house.c's own */
    int log_fd, ready_fd;
    pthread_t reader;
    bool reading;
};

struct house *house_start(const struct house_options *o);
/** Stops cordon (it must exit with 0 within 15 s) and the simulator, frees. */
void house_stop(struct house *h);

/** Starts cordon and waits until it logs `ready`. */
void house_cordon_start(struct house *h);
/** SIGTERM; the exit code must be 0. */
void house_cordon_stop(struct house *h);
/** SIGKILL. */
void house_cordon_kill(struct house *h);
void house_cordon_signal(struct house *h, int number);

/** Writes a secret of the senders' kind into DIR/name; returns the path (heap). */
char *house_write_file(struct house *h, const char *name, const char *text);
/** Replaces a text that stands in the configuration file exactly once. Before house_cordon_start, or before
 *  a SIGHUP. */
void house_edit(struct house *h, const char *from, const char *to);
/** The log of all runs so far. Heap. */
char *house_log(const struct house *h);
/** How often the text stands in it. */
unsigned house_log_count(const struct house *h, const char *text);
/** Fails the test when the log of all runs so far holds the text. */
void house_log_lacks(struct house *h, const char *text);
/** Waits until the log holds the text; count: at least so many times. */
void house_wait_log(struct house *h, const char *text, unsigned count, int64_t timeout_ms);

/**
 * Pushes a notification, signed, with a delivery id of its own; machine_id may be NULL. The answer's
 * status must be `status` (0: any, *no* answer included). Returns the parsed body; NULL when it is none.
 */
struct json *house_push(struct house *h, const char *alert_id, const char *machine_id, int status);
/** And says when it was sent (fetch.h). */
struct json *house_push_timed(struct house *h, const char *alert_id, const char *machine_id,
                              int status, int64_t *ret_sent_us);
/** The same with all of the parts in the caller's hand. delivery_id NULL: a new one. Fills f. Threads: any
 *  (nothing here fails the test). */
bool house_post(struct house *h, const char *delivery_id, const char *body, struct fetched *f);
/** Headers of a signed request: three strings in out, each of 200 bytes. now_s: the timestamp. */
void house_sign(const char *secret, const char *delivery_id, int64_t now_s, const char *body,
                size_t len, char out[3][200]);

/** GET of the admin side, parsed; fails the test unless the answer is 200. */
struct json *house_get(struct house *h, const char *path);
/** What a series shows on /metrics, its name as it is printed there (`cordon_work{kind="notice"}`); fails the test
 *  when there is none. */
double house_metric(struct house *h, const char *series);
/** Gives an order at the admin address ("/api/pause"); body: JSON. Returns the answer's status. */
int house_order(struct house *h, const char *path, const char *body);
/** Waits until the case of an answer's first id has a state; returns the whole case. */
struct json *house_wait_case(struct house *h, const struct json *answer, const char *state,
                             int64_t timeout_ms);
/** Waits until there are so many cases, at most 500; the list. */
struct json *house_wait_cases(struct house *h, size_t count, int64_t timeout_ms);
/** Waits until one question is open, and over so many cases; its id in out. */
void house_wait_question(struct house *h, int64_t count, char out[20]);
/** Calls of Defender's API so far, but for the look at what others isolated, which every server takes by itself. */
int64_t house_asked_defender(struct house *h);
/** Waits until it was told what time it is, as it is soon after each start: before that no time is a reason for it to answer
 *  401. Of a house with one replica, whose start nothing is in the way of. */
void house_wait_time(struct house *h);
/** Waits until no case is in a state other than done, failed or dropped. */
void house_wait_quiet(struct house *h, int64_t timeout_ms);
/** Waits until nothing is left to be done for cases, isolations and notices: what became of the last mail is on disk,
 *  too. */
void house_wait_idle(struct house *h, int64_t timeout_ms);

/** Runs build/cordon with arguments (argv[0] aside, NULL-terminated); stdout and stderr into out (heap).
 *  Returns the exit code. */
int house_run(struct house *h, char **out, const char *const *args);

#endif
