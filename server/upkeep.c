/* upkeep.c - see upkeep.h.
 *
 * Transactions are small, because deliveries that arrive meanwhile wait for the same disk; and a look has a
 * bound, so that a store that was away for long is caught up with over some minutes. Several replicas may
 * do this side by side: what one has forgotten the other does not find.
 */
#include "upkeep.h"

#include <pthread.h>
#include <stdlib.h>

#include "log.h"
#include "store_upkeep.h"

#define LOOK_MS MINUTE_MS
#define ROWS    200 /* in one transaction: some milliseconds of the writer's time */
#define ROUNDS  500 /* in one look: 100,000 deliveries a minute, more than arrive for long */

struct upkeep {
    struct store *store;
    pthread_mutex_t lock; /* of stopping */
    pthread_cond_t cond;
    pthread_t thread;
    bool stopping;
};

static bool is_stopping(struct upkeep *u)
{
    bool stopping;

    pthread_mutex_lock(&u->lock);
    stopping = u->stopping;
    pthread_mutex_unlock(&u->lock);
    return stopping;
}

static void look(struct upkeep *u)
{
    int64_t forgotten = 0, count = ROWS;

    for (int i = 0; i < ROUNDS && count == ROWS && !is_stopping(u); i++) {
        struct err e;

        if (store_forget_deliveries(u->store, ROWS, &count, &e)) {
            log_event(LOG_WARN, "upkeep_failed", LOG_ERR(&e)); /* the next look tries again */
            return;
        }
        forgotten += count;
    }
    if (forgotten)
        log_event(LOG_DEBUG, "deliveries_forgotten", LOG_INT("count", forgotten));
}

static void *run(void *arg)
{
    struct upkeep *u = arg;

    while (!is_stopping(u)) {
        struct timespec until;

        look(u);
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += LOOK_MS / SECOND_MS;
        pthread_mutex_lock(&u->lock);
        while (!u->stopping && pthread_cond_timedwait(&u->cond, &u->lock, &until) == 0)
            ; /* woken without a reason */
        pthread_mutex_unlock(&u->lock);
    }
    return NULL;
}

enum err_code upkeep_start(struct store *s, struct upkeep **ret, struct err *e)
{
    struct upkeep *u = calloc(1, sizeof *u);
    pthread_condattr_t monotonic;

    if (!u)
        return err_set(e, ERR_NOMEM, "upkeep");
    u->store = s;
    (void)pthread_mutex_init(&u->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&u->cond, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (pthread_create(&u->thread, NULL, run, u)) {
        pthread_cond_destroy(&u->cond);
        pthread_mutex_destroy(&u->lock);
        free(u);
        return err_set(e, ERR_NOMEM, "cannot start a thread");
    }
    *ret = u;
    return ERR_OK;
}

void upkeep_stop(struct upkeep *u)
{
    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    u->stopping = true;
    pthread_cond_signal(&u->cond);
    pthread_mutex_unlock(&u->lock);
    (void)pthread_join(u->thread, NULL);
    pthread_cond_destroy(&u->cond);
    pthread_mutex_destroy(&u->lock);
    free(u);
}
