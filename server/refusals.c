/* refusals.c - see refusals.h. The teller is a thread of its own, who may wait for the disk as no thread of HTTP's may. */
#include "refusals.h"

#include <pthread.h>
#include <stdlib.h>

#include "log.h"
#include "ration.h"

struct refusals {
    struct refusals_options o;
    struct ration lines;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t cond;
    bool closing, started;
    bool flooded; /* flood is to be told */
    struct gate_flood flood;
    pthread_t teller;
};

void refusals_note(struct refusals *r, const char *source, unsigned status, const char *peer,
                   const char *why)
{
    if (ration_takes(&r->lines, clock_wall_ms(r->o.clock), "refusals_not_shown"))
        log_event(LOG_WARN, "refused", LOG_STR("source", source), LOG_INT("status", status),
                  LOG_STR("peer", peer), LOG_STR("why", why));
}

void refusals_flood(struct refusals *r, const char *client, const char *source, const char *why)
{
    struct gate_flood flood;
    enum gate_tell tell = gate_flood(r->o.gate, client, source, &flood);

    if (tell == GATE_PEOPLE && r->o.flooded) {
        pthread_mutex_lock(&r->lock);
        r->flooded = true;
        r->flood = flood;
        pthread_cond_signal(&r->cond);
        pthread_mutex_unlock(&r->lock);
    }
    if (tell == GATE_LOG)
        log_event(LOG_WARN, "throttled", LOG_INT("count", flood.count),
                  LOG_STR("peer", flood.client),
                  LOG_STR("source", *flood.source ? flood.source : NULL), LOG_STR("why", why));
}

static void *tell_floods(void *arg)
{
    struct refusals *r = arg;

    pthread_mutex_lock(&r->lock);
    for (;;) {
        struct gate_flood flood;

        while (!r->closing && !r->flooded)
            pthread_cond_wait(&r->cond, &r->lock);
        if (!r->flooded)
            break;
        flood = r->flood;
        r->flooded = false;
        pthread_mutex_unlock(&r->lock);
        if (!r->o.flooded(r->o.engine, &flood))
            gate_untold(r->o.gate);
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

enum err_code refusals_new(const struct refusals_options *o, struct refusals **ret, struct err *e)
{
    struct refusals *r = calloc(1, sizeof *r);

    if (!r)
        return err_set(e, ERR_NOMEM, "refusals");
    r->o = *o;
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_cond_init(&r->cond, NULL);
    ration_init(&r->lines);
    r->started = pthread_create(&r->teller, NULL, tell_floods, r) == 0;
    if (!r->started) {
        refusals_free(r);
        return err_set(e, ERR_NOMEM, "cannot start a thread");
    }
    *ret = r;
    return ERR_OK;
}

void refusals_free(struct refusals *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->lock);
    if (r->started)
        (void)pthread_join(r->teller, NULL);
    ration_clear(&r->lines);
    pthread_cond_destroy(&r->cond);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
