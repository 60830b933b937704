/* flood.h - somebody who means harm: requests with a wrong signature, as many a second as asked for, and clients
 * that send their heads a byte at a time. All from one source address of the loopback network, in one thread.
 *
 *     struct flood *f = flood_start(&(struct flood_options){.address = "127.0.0.1:8080", .from = "127.0.0.2",
 *                                                           .path = "/hooks/relay", .per_second = 10000,
 *                                                           .connections = 32, .slow = 500});
 *     …
 *     flood_stop(f, &counts);
 */
#ifndef KIT_FLOOD_H
#define KIT_FLOOD_H

#include <stdint.h>

struct flood_options {
    const char *address;  /* "127.0.0.1:43121": whom to */
    const char *from;     /* "127.0.0.2": our own address */
    const char *path;     /* of the source */
    unsigned per_second;  /* bad requests in all; 0: none */
    unsigned connections; /* kept ones that they come over, each with one under way */
    /* clients that send a byte every 200 ms, and come back when they are thrown out */
    unsigned slow;
};

struct flood_counts {
    int64_t sent;        /* bad requests */
    int64_t status[600]; /* answers to them */
    int64_t closed;      /* connections of theirs that the server closed, or would not open */
    int64_t slow_closed; /* likewise of the slow ones */
    int64_t ms;          /* how long it went on */
};

struct flood;

/** NULL when it cannot be started. */
struct flood *flood_start(const struct flood_options *o);
/** Ends it, counts (may be NULL) and frees. NULL is fine. */
void flood_stop(struct flood *f, struct flood_counts *ret);
/** Bad requests answered so far. Any thread. */
int64_t flood_answers(struct flood *f);

#endif
