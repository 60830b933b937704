/* keeper.c - see keeper.h. */
#include "keeper.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "cli.h"
#include "clock.h"
#include "config_own.h"
#include "http_tls.h"
#include "hunting.h"
#include "keeper_refusal.h"
#include "log.h"
#include "polling.h"
#include "reconcile.h"
#include "sdnotify.h"
#include "silence.h"
#include "store_policies.h"
#include "ways.h"

/* A change that the store kept from coming into force is looked at again; the log has a line each time. */
#define LOOK_AGAIN_MS (5 * SECOND_MS)

struct keeper {
    struct keeper_parts with;     /* config and files are those in force */
    int64_t told_end_ms, told_ms; /* of the senders' certificate, and when that was told */
    int64_t head_due_ms;          /* when the audit's head is logged next; mono */
    int64_t look_ms;              /* mono: nothing is read again before, unless a person asks */
    bool asked_before;  /* what a person asked for was kept from coming into force by the store */
    unsigned not_begun; /* of `rounds` a bit each, by index */
    struct keeper_refusals refusals;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t change;
    bool asked; /* a person wants it to read its configuration again */
    bool ends;
};

struct upkeep_limits keeper_limits(const struct config *c)
{
    return (struct upkeep_limits){.keep_ms = c->retention_ms, .max_bytes = c->store_max_size};
}

enum err_code keeper_keep_policy(struct store *store, const struct config *config, struct err *e)
{
    return store_policy_keep(store, policy_hash(config->policy), policy_text(config->policy),
                             clock_wall_ms(clock_system()), e);
}

/* Which configuration is in force from now on is on record; that it could not be put there does not keep
 * cordon from working. */
static void record_config(struct keeper *k, const char *event, const char *why)
{
    struct err e;

    if (store_audit_put(k->with.store, &e, AUDIT_CONFIG, LOG_STR("event", event),
                        LOG_STR("policy", policy_hash(k->with.config->policy)),
                        LOG_STR("file", k->with.config->file), LOG_STR("version", CORDON_VERSION),
                        LOG_STR("why", why)))
        log_event(LOG_ERROR, "audit_not_written", LOG_ERR(&e));
}

/* Nothing to refuse the start for: who runs it so may know. */
static void tell_doubt(struct keeper *k)
{
    const char *doubt = NULL;
    struct err e;

    if (!db_doubt(k->with.store->db, &doubt, &e) && doubt)
        log_event(LOG_WARN, "note", LOG_STR("why", doubt));
}

static enum err_code watch_heartbeats(struct engine *g, struct err *e)
{
    return silence_watch(g, false, e);
}

/* What a configuration asks for again and again: each has to put into the store when it is due. */
static const struct {
    enum err_code (*begin)(struct engine *g, struct err *e);
    const char *what;
} rounds[] = {
    {watch_heartbeats, "heartbeats"}, {ways_watch, "ways"},
    {polling_start, "polling"},       {hunting_start, "hunts"},
    {reconcile_start, "reconcile"},   {engine_ask_owed, "questions"},
};

#define N_ROUNDS (sizeof rounds / sizeof rounds[0])

static bool is_ending(struct keeper *k)
{
    bool ends;

    pthread_mutex_lock(&k->lock);
    ends = k->ends;
    pthread_mutex_unlock(&k->lock);
    return ends;
}

/* Those that the store kept from beginning are tried again; the log has a line for the first time and for the end. Not
 * while the store is out of reach: each would wait for it, and whoever ends the server for all of them. */
static void begin_rounds(struct keeper *k, bool first)
{
    for (size_t i = 0; i < N_ROUNDS; i++) {
        struct err e;

        if (is_ending(k) || (!first && k->not_begun && db_health(k->with.store->db, &e)))
            return;
        if (!(k->not_begun & 1U << i))
            continue;
        if (!rounds[i].begin(k->with.engine, &e)) {
            k->not_begun &= ~(1U << i);
            if (!first)
                log_event(LOG_INFO, "begun_after_all", LOG_STR("what", rounds[i].what));
        } else if (first) {
            (void)err_in(&e, "tried again in a moment");
            log_event(LOG_ERROR, "not_begun", LOG_STR("what", rounds[i].what), LOG_ERR(&e));
        }
    }
}

/* Puts fresh in force, or says why not: ERR_AGAIN, it is the store's fault and not that of the files. The certificate is
 * last of what can fail. */
static enum err_code put_in_force(struct keeper *k, struct config *fresh, const char *changed,
                                  struct err *e)
{
    const struct upkeep_limits limits = keeper_limits(fresh);
    const struct config_tls *tls = &fresh->listen.tls;
    const char *key = config_needs_restart(k->with.config, fresh);
    struct runtime *rt;

    if (key) {
        log_event(
            LOG_ERROR, "reload_refused", LOG_STR("key", key),
            LOG_STR("why", "this setting needs a restart; the old configuration stays in force"));
        return err_set(e, ERR_REFUSED, "%s: this setting needs a restart", key);
    }
    if (keeper_keep_policy(k->with.store, fresh, e)) {
        (void)err_in(e, "tried again in a moment");
        log_event(LOG_ERROR, "reload_refused", LOG_ERR(e));
        return ERR_AGAIN;
    }
    if (runtime_new(config_ref(fresh), k->with.rest, clock_system(), &rt, e)) {
        log_event(LOG_ERROR, "reload_refused", LOG_ERR(e));
        return ERR_REFUSED;
    }
    if (tls->certificate_file &&
        http_server_use_certificate(k->with.senders, tls->certificate_file, tls->key_file, e)) {
        log_event(LOG_ERROR, "reload_refused", LOG_ERR(e));
        runtime_unref(rt);
        return ERR_REFUSED;
    }
    /* The socket goes on asking for them: a source that wants one again needs no restart. */
    fresh->listen.tls.client_certificates |= k->with.config->listen.tls.client_certificates;
    /* It is no reason to keep out what else was rotated: a sender's new secret, for one, which would be told 401. */
    if (!config_keeps_password(k->with.config, fresh))
        log_event(LOG_WARN, "note",
                  LOG_STR("why",
                          "store.password_file says something else: the store goes on as it was "
                          "opened, and takes what it says now with the next start"));
    receiver_use(k->with.receiver, fresh);
    status_use(k->with.status, fresh);
    engine_use(k->with.engine, rt);
    upkeep_use(k->with.upkeep, &limits);
    k->not_begun = (1U << N_ROUNDS) - 1;
    begin_rounds(k, true);
    config_unref(k->with.config);
    k->with.config = fresh;
    log_event(LOG_INFO, "reloaded", LOG_STR("policy", policy_hash(fresh->policy)),
              LOG_STR("changed", changed));
    record_config(k, "reload", changed ? changed : "SIGHUP");
    cli_log_notes(fresh);
    return ERR_OK;
}

/* Does the file still say what is in force? */
static bool is_text_in_force(const struct config *c)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(CONFIG_FILE_MAX);
    struct err e;

    return !config_read_file(c->file, &text, &e) && text.len == c->text_len &&
           memcmp(buf_text(&text), c->text, text.len) == 0;
}

/* A faulty file changes nothing and says so. changed: the file for whose sake those that the configuration
 * names are read anew, while its own text stays; NULL: a person asks, and that is read too. */
static void reload(struct keeper *k, const char *changed)
{
    AUTO(watch_freep) struct watch *files = NULL;
    struct config *fresh = NULL;
    enum err_code code;
    struct err e;
    bool done;

    if (watch_new(&files, &e)) {
        log_event(LOG_ERROR, "reload_refused", LOG_ERR(&e));
        keeper_refusal_note(&k->refusals, k->with.engine, !changed, false, e.text);
        return;
    }
    sdnotify_tell("RELOADING=1");
    code = cli_reload_config(k->with.config, changed, files, &fresh, &e);
    if (code == ERR_INVALID)
        (void)err_in(&e, "the file has faults, each of them an event config_fault; the old "
                         "configuration stays in force");
    if (code) {
        log_event(LOG_ERROR, "reload_refused", LOG_STR("changed", changed), LOG_ERR(&e));
    } else if ((code = put_in_force(k, fresh, changed, &e))) {
        config_unref(fresh);
    }
    if (code)
        keeper_refusal_note(&k->refusals, k->with.engine, !changed, code == ERR_AGAIN, e.text);
    else
        keeper_refusal_over(&k->refusals, k->with.engine,
                            !changed || is_text_in_force(k->with.config));
    k->asked_before = !changed && code == ERR_AGAIN;
    if (code == ERR_AGAIN) { /* the watch goes on to see the change */
        k->look_ms = clock_mono_ms(clock_system()) + LOOK_AGAIN_MS;
        sdnotify_tell("READY=1");
        return;
    }
    done = !code;
    if (!done && changed) /* the next try is for the next change */
        watch_take_over(files, k->with.files);
    if (!done)
        record_config(k, "reload_refused", e.text);
    if (done || changed) {
        struct watch *old = k->with.files;

        k->with.files = files;
        files = old;
    }
    sdnotify_tell("READY=1");
}

/* A line a day from the fortnight before the certificate's end. */
static void tell_certificate(struct keeper *k)
{
    const int64_t end = http_server_certificate_end_ms(k->with.senders);
    const int64_t now = clock_wall_ms(clock_system());
    char text[CLOCK_TEXT_SIZE];

    if (!end || end - now >= HTTP_TLS_ENDS_SOON_MS ||
        (end == k->told_end_ms && now - k->told_ms < DAY_MS))
        return;
    k->told_end_ms = end;
    k->told_ms = now;
    log_event(LOG_WARN, "certificate_ends", LOG_STR("at", clock_format(end, text)),
              LOG_STR("why", end < now ? "senders refuse it; put another in its place"
                                       : "put another in its place; no restart is needed"));
}

/* Waits until a person asks, or a look is due. False: the server is to end. */
static bool wait_for_turn(struct keeper *k, bool *ret_asked)
{
    const struct timespec until = clock_cond_until(WATCH_EVERY_MS);
    bool go_on;
    int rc = 0;

    pthread_mutex_lock(&k->lock);
    while (!k->ends && !k->asked && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&k->change, &k->lock, &until);
    *ret_asked = k->asked;
    k->asked = false;
    go_on = !k->ends;
    pthread_mutex_unlock(&k->lock);
    return go_on;
}

/* All of this may have to wait for the store, half a minute and longer when that is out of reach. */
static void *keep(void *arg)
{
    struct keeper *k = arg;
    bool asked = false;

    (void)pthread_setname_np(pthread_self(), "keeper");
    record_config(k, "start", NULL);
    tell_doubt(k);
    keeper_refusal_over(&k->refusals, k->with.engine, true);
    while (wait_for_turn(k, &asked)) {
        const bool look = !asked && clock_mono_ms(clock_system()) >= k->look_ms;
        const char *changed = look && !k->asked_before ? watch_look(k->with.files) : NULL;

        if (asked || changed || (look && k->asked_before))
            reload(k, changed);
        begin_rounds(k, false);
        keeper_refusal_tell(&k->refusals, k->with.engine);
        tell_certificate(k);
        k->head_due_ms =
            audit_tell_head(k->with.store, clock_mono_ms(clock_system()), k->head_due_ms);
    }
    return NULL;
}

/* ---- its thread ------------------------------------------------------------------------------- */

enum err_code keeper_start(const struct keeper_parts *parts, struct keeper **ret, struct err *e)
{
    struct keeper *k = calloc(1, sizeof *k);
    int rc;

    if (!k)
        return err_set(e, ERR_NOMEM, "keeper");
    k->with = *parts;
    (void)pthread_mutex_init(&k->lock, NULL);
    clock_cond_init(&k->change);
    rc = pthread_create(&k->thread, NULL, keep, k);
    if (rc) {
        (void)pthread_cond_destroy(&k->change);
        (void)pthread_mutex_destroy(&k->lock);
        free(k);
        return err_set(e, ERR_IO, "start a thread: %s", strerror(rc));
    }
    *ret = k;
    return ERR_OK;
}

static void tell(struct keeper *k, bool *what)
{
    pthread_mutex_lock(&k->lock);
    *what = true;
    pthread_cond_signal(&k->change);
    pthread_mutex_unlock(&k->lock);
}

void keeper_reload(struct keeper *k)
{
    tell(k, &k->asked);
}

void keeper_free(struct keeper *k)
{
    if (!k)
        return;
    tell(k, &k->ends);
    (void)pthread_join(k->thread, NULL);
    (void)pthread_cond_destroy(&k->change);
    (void)pthread_mutex_destroy(&k->lock);
    config_unref(k->with.config);
    watch_free(k->with.files);
    free(k);
}
