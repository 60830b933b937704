/* runtime.h - the configuration in force and what is built from it: a Defender client per tenant, the
 * ways out of mails. A reload builds a new one; whoever works with the old goes on with it. */
#ifndef CORDON_RUNTIME_H
#define CORDON_RUNTIME_H

#include "config.h"
#include "defender.h"
#include "graph.h"
#include "quota.h"
#include "storm.h"
#include "token.h"
#include "way.h"

struct runtime_tenant {
    const struct config_tenant *config;
    struct token *token;
    struct quota *quota;
    struct defender *defender;
    struct storm *storm;
    const struct clock *clock;
    /* By so much our wall clock would be before the monotonic one if it was Defender's, as its last answer showed it
     * (defender.h, on_clock), or one of Entra's since (token.h, on_clock); 0: none yet. So a clock that is set since is known
     * without another. */
    _Atomic int64_t clock_lead_ms;
    _Atomic int64_t clock_told_ms; /* mono: when that was */
    struct token *graph_token;     /* for Microsoft Graph */
    struct quota *hunt_quota; /* hunting has a budget of its own: defender-api.md section 7.4 */
    struct graph *graph;
};

struct runtime {
    struct config *config;
    struct runtime_tenant *tenants; /* config->n_tenants of them, in its order */
    struct way **ways;              /* of mails, in their order: config->mail.n_ways of them */
    struct way **posts;             /* the webhooks: config->n_webhooks of them, in its order */
    const struct clock *clock;
    int64_t clock_lead_ms, clock_told_ms; /* the last word of an application that asks no more */
    _Atomic int refs;
};

/** Takes over the caller's reference to config, also on failure. rest and clock outlive it. */
enum err_code runtime_new(struct config *config, struct rest *rest, const struct clock *clock,
                          struct runtime **ret, struct err *e);
/** Budgets go on where those of the same application and tenant in `old` stand, what its Defender said of the time
 *  stays known, and a way out that wants to be left alone is. Before r is shared. */
void runtime_inherit(struct runtime *r, struct runtime *old);
/** Binds the budgets that are not yet to the store, with what it knows of the last hour. */
enum err_code runtime_keep(struct runtime *r, struct store *store, struct err *e);
struct runtime *runtime_ref(struct runtime *r);
void runtime_unref(struct runtime *r);
/** By configured name, or NULL. */
struct runtime_tenant *runtime_tenant(struct runtime *r, const char *name);
/** ERR_AGAIN with a sentence when this host's clock is so far off Defender's that limits and times which are counted by it
 *  cannot be relied upon: nothing is then isolated, nor released by a rule, until somebody has set it. t NULL: ERR_OK. */
enum err_code runtime_check_clock(const struct runtime_tenant *t, struct err *e);
/** Is it off by more than so many ms, as far as any tenant's Defender has said, by this configuration or one before, or has none said
 *  anything yet? By a clock that is far enough off no certificate of theirs is good, and no answer ever comes. What was said long before
 *  another's last word counts no more: a tenant that answers no longer. */
bool runtime_clock_is_doubtful(const struct runtime *r, int64_t ms);
/** So many ms this host's clock is ahead of Defender's; 0: about none, or nobody knows yet. */
int64_t runtime_clock_ahead_ms(const struct runtime_tenant *t);
/** The same of whichever Defender said it last. */
int64_t runtime_last_ahead_ms(const struct runtime *r);
/** The same; below 0: it is behind. */
int64_t runtime_clock_off_ms(const struct runtime_tenant *t);

/* Scoped release. */
static inline void runtime_unrefp(struct runtime **r)
{
    runtime_unref(*r);
}

#endif
