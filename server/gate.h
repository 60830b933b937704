/* gate.h - how often may somebody knock? Token buckets per client address and per source.
 *
 * Asked before any cryptography is spent. An address pays for every request, and more for one that was refused
 * before its sender had proven who it is: so a flood of bad signatures is held up, and a storm of good
 * alerts is not. A source pays only for requests that were proven to be its own: whoever can reach the
 * door, but knows no secret, cannot empty the bucket of those who do.
 *
 * Memory is fixed: GATE_SLOTS addresses (IPv6 by /64, the smallest network that one customer gets: RFC 6177
 * section 2) and the names of sources. Any thread. Times come from the clock's mono_ms.
 */
#ifndef CORDON_GATE_H
#define CORDON_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "auto.h"
#include "clock.h"
#include "err.h"

#define GATE_SLOTS 65536 /* addresses remembered: 2 MiB, touched as they are used */

/* What a rate may be, so that no product of its numbers overflows: a bucket is full again within a week. */
#define GATE_REQUESTS_MAX 1000000
#define GATE_FILL_MAX_MS  (7 * DAY_MS)

struct gate_rate {
    int64_t requests, per_ms; /* this many come back in this time */
    int64_t burst;            /* this many at once */
};

struct gate; /* opaque */

/** clock: borrowed. ERR_NOMEM; ERR_IO without randomness. */
enum err_code gate_new(const struct clock *clock, struct gate **ret, struct err *e);
void gate_free(struct gate *g);
AUTO_FREEP(struct gate, gate)

/** Is r one that the other functions take: all above 0, within the limits above? */
bool gate_rate_is_sound(const struct gate_rate *r);

/** A request of a client (IPv4 as ::ffff:a.b.c.d): 0, and one token is taken; or ms until there will be one. */
int64_t gate_enter(struct gate *g, const unsigned char address[16], const struct gate_rate *r);
/** Its request was refused before anybody had proven anything: takes more, even what is not there yet. */
void gate_blame(struct gate *g, const unsigned char address[16], const struct gate_rate *r);
/** What a refusal takes, in tokens: fifty, or where the burst is small, fewer. */
int64_t gate_blame_cost(const struct gate_rate *r);

/** ms until the source has a token; 0: it has. Takes none. */
int64_t gate_source_wait(struct gate *g, const char *source, const struct gate_rate *r);
/** A proven request of a source: 0, and a token is taken; or ms until there will be one. */
int64_t gate_source_take(struct gate *g, const char *source, const struct gate_rate *r);

/* ---- telling of it, once ----------------------------------------------------------------------- */

#define GATE_LOG_MS    MINUTE_MS
#define GATE_HEAVY     1000 /* turned away within GATE_LOG_MS: people should know */
#define GATE_PEOPLE_MS (6 * HOUR_MS)

enum gate_tell {
    GATE_LOG = 1,   /* a line for the log */
    GATE_PEOPLE = 2 /* a message to people */
};

struct gate_flood {
    int64_t count;   /* turned away since the last line; for people: in this minute */
    char client[64]; /* the last of them */
    char source[68]; /* whose bucket was empty; "": the client's own */
};

/**
 * Somebody was turned away (client not NULL; source NULL when it was for the client's own rate), or just: is
 * there something to tell (client NULL)? Returns who is to hear of it now, with what in *ret: the log of the
 * first one of a flood, and then once in GATE_LOG_MS while there is something new; people when GATE_HEAVY were
 * turned away within a minute, but not within GATE_PEOPLE_MS of the last time. 0: nobody. Never both at once.
 */
enum gate_tell gate_flood(struct gate *g, const char *client, const char *source,
                          struct gate_flood *ret);
/** People could not be told: they are to be with the next minute in which so many are turned away. */
void gate_untold(struct gate *g);

#endif
