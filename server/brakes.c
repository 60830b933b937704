/* brakes.c - see brakes.h. */
#include "brakes.h"

#include <string.h>

#include "deed.h"
#include "fields.h"
#include "policy.h"
#include "store_rows.h"
#include "store_upkeep.h"

/* Bytes: what names a detector stands in keys, and PostgreSQL's take 2,700 in all. A title may have any length. */
#define DETECTOR_MAX 512

static const char *group_of(const struct braking *b)
{
    return facts_group_of(b->facts->machine);
}

/* As rows of before have it. */
static const char *once_called(const struct braking *b)
{
    const char *name = group_of(b);

    return *name ? name : FACTS_NO_GROUP;
}

/* What counts as a tenant's counts so by the names, too, that a configuration of before had for it: a reload that renames it makes no
 * room. name, id: the numbers of the statement's parameters for its name and its tenant_id. */
#define OF_TENANT(name, id)                                                                        \
    "tenant IN (SELECT " name " UNION SELECT tenant FROM polls WHERE tenant_id = " id ")"

static const char *tenant_id_of(const struct braking *b)
{
    const struct config_tenant *t = config_tenant(b->rt->config, b->c->tenant);

    return t ? t->tenant_id : "-";
}

/* ---- what has been seen ----------------------------------------------------------------------- */

/* What names the detector (defender-api.md section 3.1): its id, or without one where the alert comes from and what
 * it is called. */
const char *brakes_detector(const struct json *alert, struct arena *a)
{
    const char *id = json_get_string(alert, "detectorId");
    const char *source = json_get_string(alert, "detectionSource");
    const char *title = json_get_string(alert, "title"), *both;

    if (id && *id)
        return arena_str(a, id);
    both = arena_fmt(a, "%s/%s", source ? source : "", title ? title : "");
    return both ? field_shown(a, both, DETECTOR_MAX) : NULL;
}

static enum err_code see_machine(struct db_tx *tx, const struct braking *b, struct err *e)
{
    return db_run(tx, e, NULL,
                  "INSERT INTO machines (tenant, machine_id, machine_group, seen)"
                  " VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, machine_id) DO UPDATE"
                  " SET machine_group = excluded.machine_group, seen = excluded.seen",
                  "ttti", b->c->tenant, b->c->machine_id, group_of(b), b->now);
}

enum err_code brakes_see(struct db_tx *tx, const struct braking *b, struct err *e)
{
    size_t n;
    const struct policy_limit *limits = policy_limits(b->rt->config->policy, &n);
    bool shares = false;

    for (size_t i = 0; i < n; i++)
        shares = shares || limits[i].percent;
    return shares ? see_machine(tx, b, e) : ERR_OK;
}

/* Was the yes to it, which was given under this policy (NULL: there is none), one under the policy in force? */
static bool is_lifted(const struct braking *b, const char *policy)
{
    return policy && strcmp(policy, policy_hash(b->rt->config->policy)) == 0;
}

/* ---- the brakes ------------------------------------------------------------------------------- */

/* Scopes name the policy in force: by another one nobody can say yes to a question any more, so nothing joins that. */

static enum err_code check_canary(struct db_tx *tx, const struct braking *b, bool *ret_held,
                                  struct question_hold *ret, struct err *e)
{
    const struct policy *p = b->rt->config->policy;
    int64_t least = policy_canary(p), used = 0;
    struct db_rows *rows;
    enum err_code code;

    if (!least || is_lifted(b, b->approval->canary_policy))
        return ERR_OK;
    code = db_query(tx, e, &rows, "SELECT isolations FROM canaries WHERE policy = $1", "t",
                    policy_hash(p));
    if (!code)
        code = store_take_int(rows, &used, e);
    if (code || used >= least)
        return code;
    *ret_held = true;
    *ret = (struct question_hold){
        .kind = QUESTION_CANARY,
        .scope = arena_fmt(b->arena, "canary:%s", policy_hash(p)),
        .what = arena_fmt(b->arena, "the first %lld isolations of a changed policy are asked for",
                          (long long)least)};
    return ERR_OK;
}

static enum err_code check_storm(struct db_tx *tx, const struct braking *b, bool *ret_held,
                                 struct question_hold *ret, struct err *e)
{
    const struct policy_storm *storm = policy_storm(b->rt->config->policy);
    const char *detector = brakes_detector(b->facts->alert, b->arena);
    char within[CLOCK_SPAN_SIZE];
    int64_t machines = 0;
    struct db_rows *rows;
    enum err_code code;

    if (!storm->machines)
        return ERR_OK;
    code = db_run(tx, e, NULL,
                  "INSERT INTO detections (tenant, detector, machine_id, seen)"
                  " VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, detector, machine_id) DO UPDATE"
                  " SET seen = excluded.seen",
                  "ttti", b->c->tenant, detector, b->c->machine_id, b->now);
    if (!code)
        code = db_run(tx, e, NULL,
                      "DELETE FROM detections WHERE tenant = $1 AND detector = $2 AND seen < $3",
                      "tti", b->c->tenant, detector, b->now - storm->within_ms);
    if (!code)
        code = db_query(tx, e, &rows,
                        "SELECT count(DISTINCT machine_id) FROM detections WHERE " OF_TENANT(
                            "$1", "$2") " AND detector = $3 AND seen >= $4",
                        "ttti", b->c->tenant, tenant_id_of(b), detector, b->now - storm->within_ms);
    if (!code)
        code = store_take_int(rows, &machines, e);
    if (code || machines <= storm->machines || is_lifted(b, b->approval->limits_policy))
        return code;
    *ret_held = true;
    *ret = (struct question_hold){
        .kind = QUESTION_STORM,
        .scope = arena_fmt(b->arena, "storm:%s:%s:%s", policy_hash(b->rt->config->policy),
                           b->c->tenant, detector),
        .what = arena_fmt(b->arena, "one detector fired on more than %lld machines within %s",
                          (long long)storm->machines, clock_span(storm->within_ms, within))};
    return ERR_OK;
}

/* How old one may be that was sent lately or waits still, which is for the index; before which id; since when; asked for since
 * when it may be sent still; which id is none of them. What was sent again and again, and given up without an action of
 * Defender's, isolated nothing, unless the last time may have been carried out (posted). */
#define COUNT                                                                                      \
    "SELECT count(*) FROM isolations WHERE requested >= $1 AND adopted = 0 AND id < $2"            \
    " AND (requested >= $3 OR (state = 'requested' AND (ask_from = 0 OR ask_from > $4))"           \
    " OR (sent >= $3 AND (state <> 'failed' OR action_id IS NOT NULL OR posted <> 0)))"            \
    " AND id <> $5"

/* Isolations that cordon asked for, of those that a limit counts together. What Defender has not taken yet keeps its
 * place for as long as it may be sent, and then counts from when it was sent: else all that gathers while it takes nothing would
 * be within the limit, and isolated at a blow. */
static enum err_code count_used(struct db_tx *tx, const struct braking *b,
                                const struct policy_limit *l, int64_t *ret, struct err *e)
{
    static const char all[] = COUNT, tenant[] = COUNT " AND " OF_TENANT("$6", "$7"),
                      rule[] = COUNT " AND rule = $6",
                      group[] =
                          COUNT " AND " OF_TENANT("$6", "$7") " AND machine_group IN ($8, $9)";
    bool placed = b->isolation && !b->last && !(b->moved && l->of == POLICY_RULE);
    int64_t since = b->now - l->per_ms, before = placed ? b->isolation : INT64_MAX;
    int64_t oldest = since - DEED_FOLLOW_FOR_MS, sends = b->now - DEED_ASK_FOR_MS;
    struct db_rows *rows;
    enum err_code code;

    switch (l->of) {
    case POLICY_TENANT:
        code = db_query(tx, e, &rows, tenant, "iiiiitt", oldest, before, since, sends, b->isolation,
                        b->c->tenant, tenant_id_of(b));
        break;
    case POLICY_RULE:
        code = db_query(tx, e, &rows, rule, "iiiiit", oldest, before, since, sends, b->isolation,
                        b->c->rule ? b->c->rule : "");
        break;
    case POLICY_GROUP:
        code = db_query(tx, e, &rows, group, "iiiiitttt", oldest, before, since, sends,
                        b->isolation, b->c->tenant, tenant_id_of(b), group_of(b), once_called(b));
        break;
    default:
        code = db_query(tx, e, &rows, all, "iiiii", oldest, before, since, sends, b->isolation);
    }
    return code ? code : store_take_int(rows, ret, e);
}

/* How many a limit allows here. */
static enum err_code count_allowed(struct db_tx *tx, const struct braking *b,
                                   const struct policy_limit *l, int64_t *ret, struct err *e)
{
    struct db_rows *rows;
    int64_t machines = 0;
    enum err_code code;

    *ret = l->isolations;
    if (!l->percent)
        return ERR_OK;
    code = see_machine(tx, b, e);
    if (!code)
        code =
            db_query(tx, e, &rows,
                     "SELECT count(*) FROM machines WHERE tenant = $1"
                     " AND machine_group IN ($2, $3) AND seen >= $4",
                     "ttti", b->c->tenant, group_of(b), once_called(b), b->now - SEEN_MACHINE_MS);
    if (!code)
        code = store_take_int(rows, &machines, e);
    *ret = machines * l->percent / 100;
    if (*ret < 1)
        *ret = 1;
    return code;
}

/* What is counted together, as a word of the scope and of the sentence; "" for all. */
static const char *among(const struct braking *b, const struct policy_limit *l)
{
    switch (l->of) {
    case POLICY_TENANT:
        return arena_fmt(b->arena, " of tenant %s", b->c->tenant);
    case POLICY_RULE:
        return arena_fmt(b->arena, " of rule %s", b->c->rule ? b->c->rule : "none");
    case POLICY_GROUP:
        return arena_fmt(b->arena, " of device group %s", *group_of(b) ? group_of(b) : "none");
    default:
        return "";
    }
}

static enum err_code check_limit(struct db_tx *tx, const struct braking *b, size_t i,
                                 const struct policy_limit *l, bool *ret_held,
                                 struct question_hold *ret, struct err *e)
{
    int64_t used = 0, allowed = 0;
    char per[CLOCK_SPAN_SIZE];
    enum err_code code = count_allowed(tx, b, l, &allowed, e);

    if (!code)
        code = count_used(tx, b, l, &used, e);
    if (code || used < allowed || is_lifted(b, b->approval->limits_policy))
        return code;
    *ret_held = true;
    *ret = (struct question_hold){
        .kind = QUESTION_LIMIT,
        .scope = arena_fmt(b->arena, "limit:%s:%zu%s%s%s", policy_hash(b->rt->config->policy), i,
                           among(b, l), l->of == POLICY_GROUP ? " in " : "",
                           l->of == POLICY_GROUP ? b->c->tenant : ""),
        .what = arena_fmt(b->arena, "the limit of %lld isolations%s in %s is reached",
                          (long long)allowed, among(b, l), clock_span(l->per_ms, per))};
    return ERR_OK;
}

enum err_code brakes_check(struct db_tx *tx, const struct braking *b, bool *ret_held,
                           struct question_hold *ret, struct err *e)
{
    size_t n;
    const struct policy_limit *limits = policy_limits(b->rt->config->policy, &n);
    enum err_code code;

    *ret_held = false;
    code = check_storm(tx, b, ret_held, ret, e); /* first, as it notes the machine */
    if (!code && !*ret_held)
        code = check_canary(tx, b, ret_held, ret, e);
    for (size_t i = 0; i < n && !code && !*ret_held; i++)
        code = check_limit(tx, b, i, &limits[i], ret_held, ret, e);
    return code;
}

enum err_code brakes_recheck(struct db_tx *tx, const struct braking *b, const char **ret_why,
                             struct err *e)
{
    size_t n;
    const struct policy_limit *limits = policy_limits(b->rt->config->policy, &n);
    struct question_hold hold;
    bool held = false;
    enum err_code code = check_canary(tx, b, &held, &hold, e);

    for (size_t i = 0; i < n && !code && !held; i++)
        code = check_limit(tx, b, i, &limits[i], &held, &hold, e);
    *ret_why = !code && held ? hold.what : NULL;
    return code;
}

enum err_code brakes_sent(struct db_tx *tx, int64_t isolation, int64_t now, struct err *e)
{
    return db_run(tx, e, NULL, "UPDATE isolations SET sent = $1 WHERE id = $2", "ii", now,
                  isolation);
}

enum err_code brakes_count(struct db_tx *tx, const struct braking *b, int64_t isolation,
                           struct err *e)
{
    enum err_code code =
        db_run(tx, e, NULL, "UPDATE isolations SET machine_group = $1 WHERE id = $2", "ti",
               group_of(b), isolation);

    if (code || !policy_canary(b->rt->config->policy))
        return code;
    return db_run(tx, e, NULL,
                  "INSERT INTO canaries (policy, isolations) VALUES ($1, 1)"
                  " ON CONFLICT (policy) DO UPDATE SET isolations = canaries.isolations + 1",
                  "t", policy_hash(b->rt->config->policy));
}
