/* ledger.c - see ledger.h: whose turn it is, and the review of a machine that is isolated.
 *
 * A review looks before it speaks: at the machine's actions (a person may have released it meanwhile) and at
 * the alert (whether it was called a false positive since, which is offered as a reason to release and is none
 * for us). What cannot be read for a quarter of an hour does not keep people from being asked, and neither does a
 * tenant that is not configured any more: the machine is isolated still.
 */
#include "ledger.h"

#include <string.h>
#include <strings.h>

#include "channel.h"
#include "deed.h"
#include "log.h"
#include "lookout.h"
#include "notice_letter.h"
#include "notice_system.h"
#include "releasing.h"
#include "settings.h"

#define UNWATCHED_AT_ONCE 200
/* Cases of one machine that are looked at before it is released unasked; with more it is not. */
#define CASES_MAX 20
/* What was received before that may have been stored since. */
#define STORED_LATE_MS MINUTE_MS

/* ---- what releasing.c and lookout.c share --------------------------------------------------------- */

/* No case asked for r, and so there is no thread: it was adopted from Defender (reconcile.h). */
static enum err_code tell_without_case(struct db_tx *tx, const struct ledger_turn *t,
                                       const struct isolation_record *r, enum notice_kind kind,
                                       const char *why, const char *body, struct err *e)
{
    const bool asks = kind == NOTICE_REVIEW || kind == NOTICE_OVERDUE;
    const bool again = kind == NOTICE_RELEASED && t->anew;
    const bool good = kind == NOTICE_RELEASED && !again;
    const char *name = r->machine_name ? r->machine_name : r->machine_id;
    const struct case_record none = {.machine_id = r->machine_id};
    const char *topic =
        notice_machine_topic(&(struct notice){.c = &none, .isolation = r}, t->arena);
    char since[CLOCK_TEXT_SIZE];
    const struct notice_system_fact facts[] = {
        {"Machine", arena_fmt(t->arena, "%s (%s)", name, r->machine_id)},
        {"Tenant", r->tenant},
        {"Asked by", r->requestor},
        {"Isolated since", clock_format(notice_isolated_since(r), since)},
        {"Reason", r->comment},
        {"Action id", r->action_id},
        {"Why", why},
    };
    const struct notice_system n = {
        .about = arena_fmt(t->arena, "machine:%s", r->machine_id),
        .kind = notice_kind_name(kind),
        .subject = arena_fmt(t->arena,
                             asks    ? "%s is still isolated: is that still right?"
                             : again ? "%s was released, and is isolated again"
                             : good  ? "%s is released"
                                     : "%s: what was asked for was not done",
                             topic ? topic : "a machine"),
        .headline = asks    ? "A machine is still isolated - is that still right?"
                    : again ? "A machine was released, and somebody has isolated it again"
                    : good  ? "A machine is released - Defender confirmed it"
                            : "What was asked for was not done",
        .body = body ? body
                : asks
                    ? arena_fmt(t->arena,
                                "No alert that cordon knows has led to this: somebody isolated the "
                                "machine at Defender, and cordon leaves it as it is. `cordon "
                                "isolations release %s --why TEXT` ends it; `cordon isolations "
                                "extend %s --for 24h` says that it is right.",
                                r->machine_id, r->machine_id)
                    : "`cordon isolations list` tells which machines are isolated.",
        .good = good,
        .follows = true,
        .facts = facts,
        .n_facts = sizeof facts / sizeof *facts,
    };

    return notice_system_put(tx, t->g, t->rt, t->arena, &n, t->now, e);
}

/* Cases that joined have their own people, who were told how the machine stands: each of them hears what became of it
 * once, in the thread of such a case. And in that of each case of which a mail is still to go out, to whomever: what it says
 * of the isolation is old news. */
static enum err_code tell_joined(struct db_tx *tx, const struct ledger_turn *t,
                                 const struct isolation_record *r, enum notice_kind kind,
                                 const char *why, struct err *e)
{
    struct notice_joined *list;
    size_t count = 0;
    enum err_code code = notice_joined(tx, t->arena, r->id, r->case_id, &list, &count, e);
    const char **to = code ? NULL : arena_array(t->arena, count + 1, sizeof *to);

    if (!code && !to)
        return err_set(e, ERR_NOMEM, "recipients");
    for (size_t i = 0, n; i < count && !code; i += n) {
        struct case_record c;
        struct notice notice = {
            .kind = kind, .why = why, .c = &c, .isolation = r, .anew = t->anew, .to = to};

        for (n = 0; i + n < count && list[i + n].case_id == list[i].case_id; n++)
            to[n] = list[i + n].address;
        notice.n_to = n;
        code = case_load_row(tx, t->arena, list[i].case_id, &c, e);
        if (!code)
            code = notice_put(tx, t->g, t->rt, t->arena, &notice, t->now, e);
    }
    return code;
}

/* And so have their channels; what waits for a webhook or a helpdesk is old news, too. */
static enum err_code tell_joined_channels(struct db_tx *tx, const struct ledger_turn *t,
                                          const struct isolation_record *r, enum notice_kind kind,
                                          const char *why, struct err *e)
{
    struct notice_joined *list;
    size_t count = 0;
    enum err_code code = notice_joined_channels(tx, t->arena, r->id, r->case_id, &list, &count, e);
    const char **to = code ? NULL : arena_array(t->arena, count + 1, sizeof *to);

    if (!code && !to)
        return err_set(e, ERR_NOMEM, "recipients");
    for (size_t i = 0, n; i < count && !code; i += n) {
        const char *channel = list[i].channel;
        struct case_record c;
        struct notice notice = {
            .kind = kind, .why = why, .c = &c, .isolation = r, .anew = t->anew, .to = to};

        for (n = 0; i + n < count && list[i + n].case_id == list[i].case_id &&
                    strcmp(list[i + n].channel, channel) == 0;
             n++)
            to[n] = list[i + n].address;
        notice.n_to = n;
        code = case_load(tx, t->arena, list[i].case_id, &c, e);
        if (!code)
            code = channels_settle(tx, t->g, t->rt, t->arena, &notice, channel, t->now, e);
    }
    return code;
}

enum err_code ledger_tell(struct db_tx *tx, const struct ledger_turn *t,
                          const struct isolation_record *r, enum notice_kind kind, const char *why,
                          const char *body, struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    struct case_record c;
    struct facts facts;
    struct notice n = {
        .kind = kind, .why = why, .body = body, .c = &c, .isolation = r, .anew = t->anew};
    const bool ends = kind == NOTICE_RELEASED || kind == NOTICE_NOT_ISOLATED; /* for all of them */
    enum err_code code;

    if (!r->case_id)
        return tell_without_case(tx, t, r, kind, why, body, e);
    code = case_load(tx, t->arena, r->case_id, &c, e);
    if (code)
        return code;
    if (c.facts && !json_parse(c.facts, strlen(c.facts), &doc, NULL) &&
        !facts_read(doc, &facts, NULL))
        n.facts = &facts;
    code = notice_put(tx, t->g, t->rt, t->arena, &n, t->now, e);
    if (!code && ends)
        code = tell_joined(tx, t, r, kind, why, e);
    if (!code && ends)
        code = tell_joined_channels(tx, t, r, kind, why, e);
    return code;
}

int64_t ledger_in_force_by(const struct isolation_record *r)
{
    return r->took_effect ? r->took_effect : r->confirmed + DEFENDER_SKEW_MS;
}

bool ledger_is_free(const struct isolation_record *r, const struct defender_reads *look)
{
    return !look->actions_code &&
           deed_is_free(look->actions, look->n_actions, r->action_id, ledger_in_force_by(r));
}

const struct defender_action *ledger_in_its_place(const struct isolation_record *r,
                                                  const struct defender_reads *look)
{
    const struct defender_action *last = deed_in_force(look->actions, look->n_actions);

    return !look->actions_code && last && last->type == DEFENDER_ISOLATE &&
                   deed_was_released(look->actions, look->n_actions, r->action_id,
                                     ledger_in_force_by(r))
               ? last
               : NULL;
}

/* Without memory for a name, too: NULL would be that nobody is. */
static const char *said_of(struct arena *a, const struct defender_action *other)
{
    const char *said = other->requestor[0]
                           ? arena_fmt(a, "%s has isolated the machine as well", other->requestor)
                           : NULL;

    return said ? said : "somebody else has isolated the machine as well";
}

const char *ledger_beside(const struct isolation_record *r, const struct defender_reads *look,
                          struct arena *a)
{
    int64_t ours;

    if (ledger_in_its_place(r, look))
        return NULL;
    for (size_t i = 0; i < look->n_actions; i++) {
        const struct defender_action *other = &look->actions[i];

        if (other->type == DEFENDER_ISOLATE && other->status == DEFENDER_SUCCEEDED &&
            !deed_row(other, &ours) &&
            (!r->action_id || strcasecmp(other->id, r->action_id) != 0) &&
            !deed_was_released(look->actions, look->n_actions, other->id, INT64_MAX))
            return said_of(a, other);
    }
    return NULL;
}

const char *ledger_shadow(const struct runtime *rt)
{
    return policy_is_shadow(rt->config->policy) ? "shadow mode: nothing is done at Defender" : NULL;
}

const char *ledger_why_released(struct arena *a, const struct defender_action *anew)
{
    return anew ? arena_fmt(a, "released at Defender, and isolated there again since%s%s",
                            anew->requestor[0] ? " by " : "", anew->requestor)
                : "released at Defender";
}

enum err_code ledger_write(struct ledger_turn *t, db_fn fn, void *arg, struct err *e)
{
    enum err_code code = db_write(t->g->store->db, fn, arg, e);

    if (!code)
        t->row = t->after;
    return code;
}

void ledger_moved(const struct ledger_turn *t, enum isolation_state before)
{
    const struct isolation_record *r = &t->row;
    bool moved = r->state != before;

    log_event(moved ? LOG_INFO : LOG_DEBUG, "isolation", LOG_ID("isolation", r->id),
              LOG_ID("case", r->case_id), LOG_STR("tenant", r->tenant),
              LOG_STR("machine", r->machine_id), LOG_STR("state", isolation_state_name(r->state)),
              LOG_STR("action", r->release_id), LOG_BOOL("adopted", r->adopted),
              LOG_STR("why", r->why));
    if (moved && r->state == ISOLATION_RELEASED)
        metrics_add(t->g->metrics, METRIC_ISOLATIONS_ENDED, 1, r->tenant,
                    isolation_state_name(r->state));
    engine_kick(t->g);
}

void ledger_not_written(const struct ledger_turn *t, const struct err *e)
{
    log_event(e->code == ERR_STALE ? LOG_INFO : LOG_ERROR, "isolation_not_written",
              LOG_ID("isolation", t->row.id), LOG_ID("case", t->row.case_id), LOG_ERR(e));
    engine_retry(t->g, &t->w);
}

/* ---- when ------------------------------------------------------------------------------------------ */

/* When the rules let it end by themselves, wall ms; 0: never. It ends for none of the cases that share it before that one's
 * rule says so. Somebody else's isolation never does. */
static enum err_code find_release_at(struct db_tx *tx, struct arena *a,
                                     const struct isolation_record *r, int64_t *ret, struct err *e)
{
    /* This host's clock may have been behind when it was confirmed: then Defender's says when that was. */
    const int64_t from = r->took_effect > r->confirmed ? r->took_effect : r->confirmed;
    struct step_record *steps;
    size_t n = 0;
    bool stays = r->adopted;
    enum err_code code = case_shared_steps(tx, a, r->id, r->case_id, "isolate", &steps, &n, e);

    *ret = 0;
    for (size_t i = 0; i < n && !code && !stays; i++) {
        AUTO(json_freep) struct json *args = NULL;
        const char *text = json_parse(steps[i].args, strlen(steps[i].args), &args, NULL)
                               ? NULL
                               : json_get_string(args, "release_after");
        int64_t after;

        stays = !text || settings_duration(text, &after, NULL);
        if (!stays && *ret < from + after)
            *ret = from + after;
    }
    if (stays)
        *ret = 0;
    if (*ret && *ret < r->keep_until)
        *ret = r->keep_until;
    return code;
}

enum err_code ledger_release_at(struct db_tx *tx, struct arena *a, const struct isolation_record *r,
                                int64_t *ret, struct err *e)
{
    enum err_code code = ERR_OK;

    *ret = 0;
    if (r->state == ISOLATION_ISOLATED)
        code = find_release_at(tx, a, r, ret, e);
    if (*ret == INT64_MAX) /* the rule has ordered it once, and it came to nothing */
        *ret = 0;
    return code;
}

static int64_t next_due(const struct isolation_record *r, int64_t release_at, int64_t now)
{
    int64_t due = release_at && release_at < r->review && release_at > now ? release_at : r->review;

    /* whether somebody has released the machine at Defender */
    return due < now + WORK_LEDGER_EVERY_MS ? due : now + WORK_LEDGER_EVERY_MS;
}

enum err_code ledger_take(struct db_tx *tx, struct arena *a, const struct isolation_record *r,
                          int64_t now, struct err *e)
{
    int64_t release_at = 0;
    enum err_code code;

    switch (r->state) {
    case ISOLATION_ISOLATED:
        code = find_release_at(tx, a, r, &release_at, e);
        return code ? code
                    : work_turn(tx, r->id, WORK_LEDGER, WORK_NORMAL, next_due(r, release_at, now),
                                now, e);
    case ISOLATION_RELEASING:
        return work_turn(tx, r->id, WORK_LEDGER, WORK_URGENT, now, now, e);
    case ISOLATION_FAILED:
        if (r->lapsed)
            return work_turn(tx, r->id, WORK_LEDGER, WORK_NORMAL, now + LOOKOUT_EVERY_MS, now, e);
        return work_cancel(tx, r->id, e);
    default:
        return work_cancel(tx, r->id, e);
    }
}

struct watching {
    struct runtime *rt;
    int64_t now;
    size_t n;
};

static enum err_code watch_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct watching *w = arg;
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct isolation_record *list;
    enum err_code code = a ? isolation_unwatched(tx, a, UNWATCHED_AT_ONCE, &list, &w->n, e)
                           : err_set(e, ERR_NOMEM, "isolations");

    for (size_t i = 0; i < w->n && !code; i++) {
        struct isolation_record *r = &list[i];

        if (!r->review)
            r->review = w->now + policy_review(w->rt->config->policy);
        code = isolation_move(tx, r, r->state, r->why, w->now, e);
        if (!code)
            code = ledger_take(tx, a, r, w->now, e);
    }
    return code;
}

enum err_code ledger_watch(struct engine *g, struct err *e)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct watching w = {.rt = rt, .now = clock_wall_ms(g->clock)};
    enum err_code code;
    int met = 0; /* another replica that starts at the same moment */

    do {
        w.n = 0;
        code = db_write(g->store->db, watch_fn, &w, e);
    } while ((!code && w.n == UNWATCHED_AT_ONCE) || (code == ERR_CONFLICT && met++ < 5));
    return code ? err_in(e, "isolations") : ERR_OK;
}

/* ---- the review ------------------------------------------------------------------------------------ */

/* The clock was set back since r was written: what was still to come then is as far from now, and people are not asked when
 * the clock has caught up. */
static bool mind_the_clock(struct isolation_record *r, int64_t now)
{
    int64_t ahead = r->updated - now;

    if (ahead <= 0)
        return false;
    if (r->keep_until == r->review) /* else it is of another time, and a person's extension holds */
        r->keep_until -= ahead;
    r->review -= ahead;
    if (r->confirmed > now)
        r->confirmed = now;
    return true;
}

struct review {
    struct ledger_turn *t;
    struct defender_reads reads;
    int64_t release_at;
    bool set_back;    /* its times are other ones than in the store */
    bool looked;      /* the machine's actions could be read */
    bool released;    /* somebody has released it at Defender */
    bool may_release; /* it is time, and nothing speaks against it */
    int64_t newest;   /* of the machine's cases that were looked at for that; 0: none was */
    size_t n_cases;
    const char *against; /* what does, for people */
    const char *body;
    enum isolation_state before;
};

static bool is_below_high(const char *severity)
{
    return severity && (strcasecmp(severity, "Medium") == 0 || strcasecmp(severity, "Low") == 0 ||
                        strcasecmp(severity, "Informational") == 0);
}

static bool is_at_work(const struct case_record *c)
{
    return c->state != CASE_DONE && c->state != CASE_FAILED && c->state != CASE_DROPPED;
}

/* Is the alert of this case High by now, as far as anybody can tell, and not resolved? In doubt it is. What cannot be read is as
 * it was when it was judged, and open. */
static bool is_open_high(struct ledger_turn *t, const struct case_record *row)
{
    AUTO(json_freep) struct json *doc = NULL;
    struct defender_reads reads;
    const char *severity, *status;
    struct case_record c;
    struct facts facts;
    bool open;

    if (row->state == CASE_DROPPED)
        return false;
    if (is_at_work(row))
        return true;
    if (store_case_load(t->g->store, t->arena, row->id, &c, NULL) || !c.facts ||
        json_parse(c.facts, strlen(c.facts), &doc, NULL) || facts_read(doc, &facts, NULL))
        return true;
    defender_read(t->tenant->defender, c.alert_id, NULL, DEFENDER_READ_ALERT, &reads);
    severity = json_get_string(reads.alert_code ? facts.alert : reads.alert, "severity");
    status = json_get_string(reads.alert, "status");
    open = !is_below_high(severity) &&
           (reads.alert_code || !status || strcasecmp(status, "Resolved") != 0);
    defender_reads_clear(&reads);
    return open;
}

static struct case_filter of_machine(const struct isolation_record *r)
{
    return (struct case_filter){
        .tenant = r->tenant, .machine_id = r->machine_id, .limit = CASES_MAX + 1};
}

/* Without memory for its id, too: NULL would be that none is. */
static const char *not_closed(struct arena *a, const struct case_record *c)
{
    const char *said = arena_fmt(a, "alert %s of the machine is not closed", c->alert_id);

    return said ? said : "an alert of the machine is not closed";
}

/* Why the machine is not released although the rule says that it is time; NULL: nothing speaks against it. */
static const char *find_against(struct review *v)
{
    const struct isolation_record *r = &v->t->row;
    const struct case_filter same = of_machine(r);
    const char *beside = ledger_beside(r, &v->reads, v->t->arena);
    struct case_record *cases;
    struct err off;
    size_t n = 0;

    if (ledger_shadow(v->t->rt))
        return ledger_shadow(v->t->rt);
    if (!v->looked)
        return "Defender could not be read";
    if (beside)
        return beside;
    if (runtime_check_clock(v->t->tenant, &off))
        return arena_str(v->t->arena, off.text);
    if (store_case_list(v->t->g->store, v->t->arena, &same, &cases, &n, NULL))
        return "the other cases of the machine could not be read";
    if (n > CASES_MAX)
        return "the machine has too many cases to look at";
    v->newest = n ? cases[0].id : 0;
    v->n_cases = n;
    for (size_t i = 0; i < n; i++)
        if (cases[i].id != r->case_id && is_open_high(v->t, &cases[i]))
            return not_closed(v->t->arena, &cases[i]);
    return NULL;
}

const char *ledger_come_since(struct ledger_turn *t, int64_t since, bool open_too, bool *ret_waits)
{
    const struct case_filter same = of_machine(&t->row);
    struct case_record *cases;
    size_t n = 0;

    *ret_waits = true;
    if (store_case_list(t->g->store, t->arena, &same, &cases, &n, NULL))
        return "the other cases of the machine could not be read";
    if (n > CASES_MAX && cases[n - 1].created > since)
        return "the machine has too many cases to look at";
    for (size_t i = 0; i < n; i++) {
        const bool fresh = cases[i].created > (open_too ? since - STORED_LATE_MS : since);

        *ret_waits = is_at_work(&cases[i]);
        if (cases[i].id != t->row.case_id &&
            (*ret_waits ? fresh || open_too : fresh && open_too && is_open_high(t, &cases[i])))
            return not_closed(t->arena, &cases[i]);
    }
    return NULL;
}

static void read_review(struct review *v, const struct case_record *c)
{
    struct ledger_turn *t = v->t;
    const char *classification;

    if (!t->tenant) {
        v->body = arena_fmt(t->arena,
                            "Tenant '%s' is no longer configured: cordon can neither look at the "
                            "machine nor release it. This is what the ledger says; the Defender "
                            "portal can do both.",
                            t->row.tenant);
        return;
    }
    defender_read(t->tenant->defender, c->alert_id, t->row.machine_id,
                  DEFENDER_READ_ALERT | DEFENDER_READ_ACTIONS, &v->reads);
    v->looked = !v->reads.actions_code;
    v->released = ledger_is_free(&t->row, &v->reads);
    classification = json_get_string(v->reads.alert, "classification");
    if (classification && strcasecmp(classification, "FalsePositive") == 0)
        v->body = arena_fmt(
            t->arena,
            "In Defender the alert is classified as a false positive by now. cordon does not "
            "release the machine for that; you can: cordon isolations release %s "
            "--why \"false positive\"",
            t->row.machine_id);
    else if (!v->looked)
        v->body = "Defender could not be read just now: this is what the ledger says.";
}

/* The words of ours in a review's mail; NULL: none. */
static const char *words_of(const struct review *v)
{
    char when[CLOCK_TEXT_SIZE];

    if (v->release_at <= v->t->now || v->release_at == INT64_MAX || ledger_shadow(v->t->rt))
        return v->body;
    return arena_fmt(
        v->t->arena,
        "%s%sBy its rule (`release_after`) cordon releases it on %s; `extend` holds against "
        "that as well.",
        v->body ? v->body : "", v->body ? " " : "", clock_format(v->release_at, when));
}

/* Has another case of the machine come since they were looked at, each of which takes a call? */
static enum err_code has_come(struct db_tx *tx, const struct review *v, bool *ret, struct err *e)
{
    const struct case_filter same = of_machine(&v->t->row);
    struct case_record *cases;
    size_t n = 0;
    enum err_code code = case_list(tx, v->t->arena, &same, &cases, &n, e);

    *ret = !code && (n != v->n_cases || (n && cases[0].id != v->newest));
    return code;
}

static enum err_code review_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct review *v = arg;
    struct ledger_turn *t = v->t;
    struct isolation_record r = t->row;
    bool may_release = v->may_release, come = false;
    int64_t release_at = 0;
    enum err_code code = work_again(tx, &t->w, t->now, 0, e);

    if (!code && v->set_back)
        code = isolation_move(tx, &r, ISOLATION_ISOLATED, r.why, t->now, e);
    /* A case may have joined it since, whose rule does not let it end; or come, and be about to. */
    if (!code && may_release)
        code = find_release_at(tx, t->arena, &r, &release_at, e);
    if (!code && may_release)
        code = has_come(tx, v, &come, e);
    if (code)
        return code;
    if (come && !v->released) {
        t->after = r;
        return work_again(tx, &t->w, t->now + MINUTE_MS, 0, e);
    }
    may_release = may_release && release_at && t->now >= release_at;
    if (v->released) {
        code = isolation_move(tx, &r, ISOLATION_RELEASED, "released at Defender", t->now, e);
        if (!code && ledger_is_known(&r))
            code = ledger_tell(tx, t, &r, NOTICE_RELEASED, "released at Defender", NULL, e);
    } else if (may_release) {
        r.keep_until = INT64_MAX; /* once: if it is not to be, people decide at the reviews */
        code =
            release_order(tx, t->arena, &r, "the rule's release_after has passed", true, t->now, e);
    } else if (t->now >= r.review) {
        enum notice_kind kind = r.reminded ? NOTICE_OVERDUE : NOTICE_REVIEW;

        r.reminded++;
        r.review = t->now + policy_review(t->rt->config->policy);
        r.keep_until = v->against ? r.review : r.keep_until;
        code = isolation_move(tx, &r, ISOLATION_ISOLATED, r.why, t->now, e);
        if (!code)
            code = ledger_tell(tx, t, &r, kind, v->against, words_of(v), e);
    } else if (v->against) {
        r.keep_until = r.review;
        code = isolation_move(tx, &r, ISOLATION_ISOLATED, r.why, t->now, e);
    }
    if (!code && !may_release)
        code = ledger_take(tx, t->arena, &r, t->now, e);
    t->after = r;
    return code;
}

static enum err_code plan_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct review *v = arg;

    return find_release_at(tx, v->t->arena, &v->t->row, &v->release_at, e);
}

/* How long until Defender is asked again: no longer than people may wait for the review that is due since then, however
 * long Defender wants to be left alone. */
static int64_t review_wait(const struct ledger_turn *t, const struct err *why, int64_t since)
{
    int64_t now = clock_wall_ms(t->g->clock);

    return engine_late_due(now, now + engine_backoff(t->w.attempts, why->retry_ms), since) - now;
}

static void review(struct ledger_turn *t)
{
    struct review v = {.t = t, .before = t->row.state, .set_back = mind_the_clock(&t->row, t->now)};
    struct case_record c = {0};
    bool release_due, due;
    struct err e;
    enum err_code code = db_read(t->g->store->db, plan_fn, &v, &e);

    if (!code && t->row.case_id)
        code = store_case_load(t->g->store, t->arena, t->row.case_id, &c, &e);
    if (code) {
        ledger_not_written(t, &e);
        return;
    }
    /* At its time; and while something speaks against it, with every review (keep_until). */
    release_due = v.release_at && t->now >= v.release_at;
    due = t->now >= t->row.review;
    if (release_due || due) {
        int64_t since = due ? t->row.review : v.release_at;

        read_review(&v, &c);
        if (!v.looked && t->now - since < ENGINE_LATE_MS) {
            log_event(LOG_INFO, "review_later", LOG_ID("isolation", t->row.id),
                      LOG_ID("case", t->row.case_id), LOG_ERR(&v.reads.actions_err));
            engine_again(t->g, &t->w, review_wait(t, &v.reads.actions_err, since));
            defender_reads_clear(&v.reads);
            return;
        }
        if (release_due && !v.released) {
            v.against = find_against(&v);
            v.may_release = !v.against;
            if (v.against)
                v.against = arena_fmt(t->arena, "not released by itself: %s", v.against);
        }
    } else if (t->tenant) { /* not known: at the next look */
        defender_read(t->tenant->defender, NULL, t->row.machine_id, DEFENDER_READ_ACTIONS,
                      &v.reads);
        v.released = ledger_is_free(&t->row, &v.reads);
    }
    t->now = clock_wall_ms(t->g->clock);
    code = ledger_write(t, review_fn, &v, &e);
    defender_reads_clear(&v.reads);
    if (code)
        ledger_not_written(t, &e);
    else
        ledger_moved(t, v.before);
}

/* ---- a run ---------------------------------------------------------------------------------------- */

static enum err_code done_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct ledger_turn *t = arg;

    return work_done(tx, &t->w, e);
}

static void see_to(struct ledger_turn *t)
{
    struct err e;

    if (t->row.state == ISOLATION_ISOLATED)
        review(t);
    else if (t->row.state == ISOLATION_RELEASING)
        release_run(t);
    else if (t->row.state == ISOLATION_FAILED && t->row.lapsed)
        lookout_run(t);
    else if (db_write(t->g->store->db, done_fn, t, &e))
        engine_retry(t->g, &t->w);
}

void ledger_run(struct engine *g, struct work *w)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct ledger_turn t = {
        .g = g, .rt = rt, .arena = arena, .w = *w, .now = clock_wall_ms(g->clock)};
    struct err e = {0};
    enum err_code code = arena ? store_isolation_load(g->store, arena, w->id, &t.row, &e)
                               : err_set(&e, ERR_NOMEM, "isolation");

    if (deed_is_open(g, "isolation", w))
        return;
    if (code) {
        log_event(LOG_ERROR, "isolation_unreadable", LOG_ID("isolation", w->id), LOG_ERR(&e));
        engine_retry(g, w);
        return;
    }
    t.tenant = runtime_tenant(rt, t.row.tenant);
    if (!t.tenant)
        log_event(LOG_WARN, "tenant_gone", LOG_ID("isolation", w->id),
                  LOG_ID("case", t.row.case_id), LOG_STR("tenant", t.row.tenant));
    if (!t.tenant || engine_enter(g, w, t.row.tenant, rt->config->n_tenants))
        see_to(&t);
}
