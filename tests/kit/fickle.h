/* fickle.h - a Defender with a memory and with moods: it carries out what it is asked for, in its own time, and
 * answers as it pleases.
 *
 * Machines have actions, each of which becomes InProgress and then ends in one way or another (defender-api.md section
 * 4.5); whether a machine is isolated follows from those that succeeded. In bad weather answers are late, lost or
 * refused, requests are carried out without an answer, and lists are some seconds behind. People at the portal
 * isolate and release, too. Alerts are not to be read for a while, or name another machine than before; machines are
 * merged into others; what was listed is missing from a list now and then; alerts are listed some time after they were made
 * or changed. The truth is the tester's to read; what is
 * answered is all that the program under test gets to know of it.
 *
 * Everything follows from the seed, in whatever order requests come that leave side by side, as long as those that act
 * come one after the other. Time is that of the hands' mono, which nobody sets back.
 */
#ifndef CORDON_KIT_FICKLE_H
#define CORDON_KIT_FICKLE_H

#include <stdbool.h>
#include <stdint.h>

#include "hands.h"
#include "peer.h"

#define FICKLE_TENANTS  2
#define FICKLE_MACHINES 6  /* of them all: the even ones are the first tenant's */
#define FICKLE_ALERTS   96 /* likewise; the nth is about machine n % FICKLE_MACHINES */
#define FICKLE_ACTIONS  1500
#define FICKLE_CALLS    20000

struct fickle_action {
    char id[40], external[80]; /* external: "" unless ours */
    int machine;
    const char *type; /* "Isolate" … */
    bool ours;
    bool known;                        /* it was answered by its id: cordon has that on record */
    int64_t made, begins, ends, shows; /* ms: listed from then on */
    const char *end;                   /* how it ends */
};

struct fickle_alert {
    const char *severity;
    const char *shown;              /* as last answered; NULL: never */
    int64_t lowered;                /* since when no answer said High; 0: the last one did */
    bool was_lowered;               /* ever */
    int machine;                    /* that it names */
    int64_t named[FICKLE_MACHINES]; /* when an answer named it last; 0: none did */
    bool hidden;                    /* Defender does not show it */
    bool was_hidden;                /* ever */
    int64_t made, changed;          /* what lists of alerts say; made 0: none has it */
    int64_t shows;                  /* in lists, as it is now */
    int64_t found;                  /* a hunt finds it from then on; 0: none does */
};

struct fickle_machine {
    bool tagged;          /* tier-0 */
    bool shown_tagged;    /* by the last answer */
    int64_t tagged_since; /* since when answers say so */
    bool merged;          /* into another */
    bool shown_merged;    /* likewise */
    int64_t merged_since;
    bool looked;                   /* a list of its actions was answered */
    int64_t look;                  /* when the last was */
    bool look_open, look_isolated; /* an isolation under way, in force: what that one said */
};

enum fickle_kind {
    FICKLE_ALERT,
    FICKLE_MACHINE,
    FICKLE_LIST,
    FICKLE_ACTION,
    FICKLE_POST,
    FICKLE_TOKEN,
    FICKLE_KINDS
};

struct fickle;
/* Called in the thread of the connection, without a lock, before a list is read (kind LIST) and before and after
 * a request to act (POST; after: done). false: the one who asks is dead by now, and is not answered. */
struct fickle_event {
    enum fickle_kind kind;
    bool done;
    int machine;          /* POST */
    const char *type;     /* POST: of the action, "Isolate" … */
    const char *external; /* POST: our id; LIST: the target */
};
typedef bool (*fickle_fn)(void *ctx, const struct fickle_event *ev);

struct fickle *fickle_new(struct hands *hands, uint64_t seed, fickle_fn fn, void *ctx);
void fickle_free(struct fickle *f);
/* peer_fn. */
void fickle_answer(void *f, const struct peer_request *q, struct peer_answer *ret);
/* 0: fair, and whatever is under way ends within minutes; 100: nothing works. */
void fickle_weather(struct fickle *f, unsigned badness);
/* What other threads have done so far comes before what follows, also for a checker of races, which knows nothing of
 * what a request and its answer order. */
void fickle_sync(struct fickle *f);

int64_t fickle_now(const struct fickle *f);
/* The most calls of a tenant that came within so long. */
size_t fickle_calls(struct fickle *f, int tenant, int64_t within_ms);
struct fickle_alert *fickle_alert(struct fickle *f, int alert);
struct fickle_machine *fickle_machine(struct fickle *f, int machine);
/* Text of its id, the same in both tenants; static storage. */
/* From now on, or some seconds from now, lists of alerts have it; or have it anew, as it has changed. */
void fickle_alert_changes(struct fickle *f, int alert);
/* Likewise, what hunts find. */
void fickle_alert_found(struct fickle *f, int alert);
const char *fickle_alert_id(int alert);
const char *fickle_machine_id(int machine);

/* ---- the truth at a time -------------------------------------------------------------------------- */

bool fickle_is_isolate(const struct fickle_action *a);
bool fickle_is_release(const struct fickle_action *a);
const char *fickle_status(const struct fickle_action *a, int64_t at);
bool fickle_is_open(const struct fickle_action *a, int64_t at);
/* What is in force; NULL: nothing ever was. */
const struct fickle_action *fickle_in_force(struct fickle *f, int machine, int64_t at);
bool fickle_is_isolated(struct fickle *f, int machine, int64_t at);
/* At some time from `from` to `to`. */
bool fickle_was_isolated(struct fickle *f, int machine, int64_t from, int64_t to);
/* The nth action of all, NULL: there are no more. */
const struct fickle_action *fickle_nth(struct fickle *f, size_t n);

/* Somebody at the portal; false: the same is under way already. */
bool fickle_portal(struct fickle *f, int machine, bool release);

#endif
