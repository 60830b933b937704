/* house.h - the simulator as a whole, and one call to one of its services.
 *
 * front.c takes every request: /sim goes to control.c; all else becomes a struct call, meets the faults
 * (faults.c), is carried out by entra.c or defender.c, journalled, and answered when it is due.
 */
#ifndef SIM_HOUSE_H
#define SIM_HOUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "buf.h"
#include "faults.h"
#include "journal.h"
#include "keys.h"
#include "limits.h"
#include "loop.h"
#include "mails.h"
#include "map.h"
#include "httpd.h"
#include "world.h"

struct smtp_sink;
struct control;
struct planted;

struct house {
    struct loop *loop;
    struct httpd *httpd;
    struct world world;
    struct keys *keys;
    struct journal *journal;
    struct faults faults;
    struct limits limits;
    struct mails *mails;
    struct smtp_sink *sink;
    struct control *control;
    struct map bearers;    /* token to struct bearer: entra.c */
    struct map seen_jti;   /* client assertions used: entra.c */
    char base_url[128];    /* http://127.0.0.1:P */
    struct sink *sinks;    /* sink.c */
    bool keys_down;        /* discovery and JWKS answer 503 */
    struct planted *hunts; /* hunting.c */
    /* what a reset returns to */
    const char *start_config; /* JSON or NULL */
    int64_t start_delay_ms;
    const char *client_id, *client_secret, *roles;
};

/** Client and configuration as at the start. Called by main and by POST /sim/reset. */
enum err_code house_furnish(struct house *h, struct err *e);

/* ---- one call --------------------------------------------------------------------------------- */

struct call {
    struct house *house;
    struct httpd_request *q;
    struct arena *arena; /* dies with the call */
    /* the answer, which entra.c or defender.c fill */
    unsigned status;
    const char *type;
    struct httpd_header headers[8];
    size_t n_headers;
    struct buf body;
    /* for the journal */
    const char *api;       /* "token", "alerts", "machines", "machineactions" …; NULL: nobody's */
    const char *client;    /* application of a good token */
    const char *name;      /* its display name */
    const char *action_id; /* made by this call */
    const char *noted_body; /* instead of the real one; NULL: the real one */
    const struct fault *fault;
};

/** Adds a header; value is copied. */
void call_header(struct call *c, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* defender.c */
void defender_serve(struct call *c);
/** An answer in Defender's envelope (section 7.1), instead of whatever c held. */
void defender_error(struct call *c, unsigned status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/** The 429 of section 7.3. allowed, window: as in its sentence. header: send Retry-After. */
void defender_throttle(struct call *c, int64_t allowed, const char *window, int64_t seconds,
                       bool header, bool long_message);

/* entra.c */
/** false: the path is none of Entra's. */
bool entra_serve(struct call *c);

struct bearer {
    char *token;  /* key of house.bearers */
    char *client; /* appid */
    char *aud;
    char **roles; /* NULL-terminated */
    int64_t nbf_s, exp_s, number;
};
/** What a token of ours says; ERR_DENIED: not ours, or stale now. *ret lives until the next call. */
enum err_code entra_check(struct house *h, const char *token, struct bearer **ret, struct err *e);
void entra_forget(struct house *h);

/* graph_mail.c */
/** false: the path is not sendMail's. */
bool graph_mail_serve(struct call *c);

/* sink.c */
/** false: the path is none of a sink. */
bool sink_serve(struct call *c);
/** A sink as POST /sim/sinks describes it; one of the same name is replaced. */
enum err_code sink_put(struct house *h, const struct json *object, struct err *e);
void sinks_forget(struct house *h);

/* front.c */
void front_door(struct httpd_request *q, void *house);

/* control.c */
enum err_code control_new(struct house *h, struct control **ret, struct err *e);
void control_free(struct control *c);
void control_serve(struct house *h, struct httpd_request *q);
/** Tells those who wait that calls, mails or machines may have changed. */
void control_call_seen(struct house *h, int64_t seq);
void control_look(struct house *h);

#endif
