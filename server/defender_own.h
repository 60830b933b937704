/* defender_own.h - what the rooms of the Defender client share, and nobody else sees.
 *
 *     defender.c           a client; one alert, machine and its actions side by side; one action
 *     defender_exchange.c  one call: token, quota, what an answer other than success means
 *     defender_parse.c     what an answer holds: texts, alerts, machines, actions
 *     defender_list.c      many at once, page by page
 *     defender_act.c       what changes something: isolation and what else can be asked for
 *
 * A call is a struct exchange: it asks for a token and for quota and goes, then is waited for, and what came is settled
 * by the table outcomes[]. Between the two any number of others may be started, which is how the alert, the machine and
 * its actions are read in one round trip.
 *
 * Whatever cannot be read, or speaks of something else than was asked for, is no answer: ERR_AGAIN for a
 * read, ERR_UNKNOWN for an isolate (it was probably carried out).
 *
 * Section and trap numbers, here and in all of them, are those of defender-api.md.
 */
#ifndef CORDON_DEFENDER_OWN_H
#define CORDON_DEFENDER_OWN_H

#include "defender.h"

#include "buf.h"
#include "rest.h"

struct defender {
    struct defender_options o;
    char *base; /* api_url without a slash at its end */
};

struct exchange {
    enum defender_class class;
    enum defender_api api;
    const char *method;
    char path[256];     /* with its leading slash, ids encoded; for messages too */
    const char *query;  /* with its '?', or NULL */
    const char *body;   /* or NULL */
    bool list;          /* its answer may be large */
    size_t most, taken; /* elements of the list that are wanted (0: all), and that came */
    bool to_act;        /* a read that an action hangs on */
    struct buf auth;    /* the header as it was sent */
    struct rest_call *call;
    struct rest_answer answer;
    int64_t leave_by_ms;
    int64_t began_ms; /* wall */
    bool stale;       /* 401, or 403 to an old one, and a newer token may be had */
    bool named;       /* a refusal that names an error code, as Defender's do (section 7.1) */
    enum err_code code;
    struct err err;
};

/* ---- defender_exchange.c ----------------------------------------------------------------------- */

/** id: encoded into the path between head and tail. Its alphabet needs no encoding today; it is done all
 *  the same, so that a wider alphabet stays safe. Nothing to clear yet if the caller returns before exchange_run. */
void exchange_init(struct exchange *x, enum defender_class class, const char *method,
                   const char *head, const char *id, const char *tail);
void exchange_clear(struct exchange *x);
/** Sends all that have not failed, waits for all; those whose token was stale once more. x->code ERR_OK: a success, its
 *  body in x->answer. */
void exchange_run(struct defender *d, struct exchange *const x[], size_t n);
/** Parses the body of a success; the caller frees it. NULL: x has failed. */
struct json *exchange_parse(struct exchange *x);
/** The answer was no answer: what is wrong with it. */
void exchange_spoil(struct exchange *x, const char *what);

/* ---- defender_parse.c -------------------------------------------------------------------------- */

/** Copies foreign UTF-8 text: controls become blanks; cut at a character when too long. */
void defender_copy_plain(char *out, size_t room, const char *text);
/** A comment as Defender is to get it: one line of bounded length (heap). NULL: out of memory. */
char *defender_clean_comment(const char *text);
/** An id of an alert or an action, as it may stand in a path. */
bool defender_is_id(const char *text, size_t most);
bool defender_is_machine_id(const char *text);
/** Is it the same id? A machine's is of hex digits, in either case. */
bool defender_is_same(enum defender_list of, const char *a, const char *b);

/** Takes the alert or machine out of a finished exchange; the caller frees it. NULL: x has failed. */
struct json *defender_take_entity(struct exchange *x, enum defender_list of, const char *id);
/** Reads one action (section 4.2). machine_id: it must be this machine's; NULL: any. NULL, or what is wrong with it;
 *  *ret is then undefined. An action that cannot be read may not be skipped: it might be the open isolation. */
const char *defender_read_action(const struct json *v, const char *machine_id,
                                 struct defender_action *ret);
/** Keeps the newest of the list, newest first; among equals Defender's order, which is the same. NULL, or what is wrong:
 *  one that cannot be kept may not be skipped, either. */
const char *defender_insert_action(struct defender_reads *r, const struct defender_action *a);
/** "?$filter=…": section 4.5. Quotes in a literal are doubled (section 2.4); machine ids hold none. types: a
 *  condition on them. false: out of memory. */
bool defender_actions_query(struct buf *out, const char *machine_id, const char *types);

/* ---- defender_list.c --------------------------------------------------------------------------- */

/** A list with nothing in it may be a 404 (trap 38), and that is Defender's own. Where another service stands at api_url, or a
 *  gateway before it, each list may be one: then x has failed as with a page of theirs. */
void defender_mind_stranger(struct exchange *x);

/** Takes a machine's newest actions out of a finished exchange, which asked for them by query; and out of the next pages,
 *  where the first holds fewer than were asked for. One that cannot be read fails it. */
void defender_take_actions(struct defender *d, struct exchange *x, struct buf *query,
                           const char *machine_id, struct defender_reads *r);

/* ---- defender.c -------------------------------------------------------------------------------- */

/** Runs one exchange that answers with an action of this machine, id and type, as Defender writes them; NULL: any. */
enum err_code defender_run_action(struct defender *d, struct exchange *x, const char *machine_id,
                                  const char *action_id, const char *type,
                                  struct defender_action *ret, struct err *e);

#endif
