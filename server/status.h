/* status.h - `reply: status`: a sender may ask what came of its delivery, until it is known.
 *
 * The 202 of a push carries `Location: <public_url>/status/<capability>`. A GET of it is 202 with Retry-After and the
 * same Location while a case of the delivery is at work, and 200 with the outcome as JSON at the end, or without one when
 * the link is about to end: the pattern that Logic Apps and Power Automate poll by themselves (webhook-sources.md section
 * 1.5). What is no capability, forged or expired is 404 and never says which. No credential is asked for: the link is one.
 *
 * Knows the store alone. It reads in a thread of its own, so that no HTTP thread waits for a disk.
 */
#ifndef CORDON_STATUS_H
#define CORDON_STATUS_H

#include "config.h"
#include "http.h"
#include "metrics.h"
#include "store.h"

#define STATUS_PATH "/status/"

/* A case is at work for a day at most (expand.c and act.c give up then), unless a person has longer to answer; the flow may
 * wait longer than that (30 days, Logic Apps 90: webhook-sources.md section 1.5). A second day is for reading the end. */
#define STATUS_LIFETIME_MS (2 * DAY_MS)

/* A flow that is not told otherwise comes every 20 s (webhook-sources.md section 1.5). In the first minute, in which
 * an isolation of an online machine is confirmed, sooner: seconds, as a header's value. */
#define STATUS_RETRY_SOON "5"

struct status;

struct status_options {
    struct store *store; /* borrowed, like the rest */
    const struct clock *clock;
    struct metrics *metrics; /* may be NULL */
    struct config *config;   /* status_new takes a reference of its own */
};

/** Makes or reads the server's key and starts the thread. */
enum err_code status_new(const struct status_options *o, struct status **ret, struct err *e);
/** No request may be under way: after http_server_free. NULL is fine. */
void status_free(struct status *s);
AUTO_FREEP(struct status, status)
/** Another configuration from now on; a reference is taken. */
void status_use(struct status *s, struct config *config);
/** What a route wants: ctx is the struct status. */
struct http_handler status_handler(void);

/** The link to what comes of a delivery, below public_url; in a. NULL when out of memory. Any thread. */
const char *status_link(struct status *s, struct arena *a, const char *public_url, int64_t delivery,
                        int64_t now);

#endif
