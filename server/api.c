/* api.c - see api.h. */
#include "api.h"

#include <inttypes.h>
#include <string.h>

#include "facts.h"
#include "id.h"
#include "ledger.h"
#include "mute.h"
#include "notice_letter.h"
#include "releasing.h"
#include "store_work.h"

static void write_steps(struct json_out *o, const struct step_record *steps, size_t n)
{
    json_out_array(o, "steps");
    for (size_t i = 0; i < n; i++) {
        json_out_object(o, NULL);
        json_out_string(o, "handler", steps[i].handler);
        json_out_string(o, "state", step_state_name(steps[i].state));
        json_out_string(o, "why", steps[i].why);
        json_out_raw(o, "args", steps[i].args);
        json_out_time(o, "updated", steps[i].updated);
        json_out_object_end(o);
    }
    json_out_array_end(o);
}

/* What people call the alert and its machine: nothing of it is known before Defender was read. */
static void write_names(struct json_out *o, const char *facts, const char *machine_id)
{
    AUTO(json_freep) struct json *doc = NULL;
    const struct json *alert, *machine;

    if (facts)
        (void)json_parse(facts, strlen(facts), &doc,
                         NULL); /* of our own store; else null is written */
    alert = json_get(doc, "alert");
    machine = json_get(doc, "machine");
    json_out_string(o, "severity", json_get_string(alert, "severity"));
    json_out_string(o, "title", json_get_string(alert, "title"));
    json_out_string(o, "machine_name", facts_name_of(machine, machine_id));
}

/* The members that every case has, without the closing brace. */
static void write_case(struct json_out *o, const struct case_record *c,
                       const struct step_record *steps, size_t n_steps)
{
    json_out_object(o, NULL);
    json_out_id(o, "id", c->id);
    json_out_string(o, "tenant", c->tenant);
    json_out_string(o, "alert_id", c->alert_id);
    json_out_string(o, "machine_id", c->machine_id); /* the alert's own; null: it was not read */
    json_out_string(o, "pushed_machine_id", c->pushed_machine_id); /* as a sender says */
    write_names(o, c->facts, c->machine_id);
    json_out_string(o, "state", case_state_name(c->state));
    json_out_string(o, "rule", c->rule);
    json_out_string(o, "why", c->why);
    json_out_string(o, "told", c->told);
    json_out_raw(o, "verdict", c->verdict);
    write_steps(o, steps, n_steps);
    json_out_string(o, "source", c->source);
    json_out_id(o, "delivery", c->delivery);
    json_out_time(o, "created", c->created);
    json_out_time(o, "updated", c->updated);
}

struct release_reading {
    struct arena *arena;
    const struct isolation_record *i;
    int64_t at;
};

static enum err_code read_release(struct db_tx *tx, void *arg, struct err *e)
{
    struct release_reading *r = arg;

    return ledger_release_at(tx, r->arena, r->i, &r->at, e);
}

/* When it ends by itself, 0: never. */
static enum err_code find_release(struct store *s, struct arena *a,
                                  const struct isolation_record *i, int64_t *ret, struct err *e)
{
    struct release_reading r = {.arena = a, .i = i};
    enum err_code code =
        i->state == ISOLATION_ISOLATED ? db_read(s->db, read_release, &r, e) : ERR_OK;

    *ret = r.at;
    return code;
}

/* The members that every isolation has, without the closing brace. */
static void begin_isolation(struct json_out *o, const char *name, const struct isolation_record *i,
                            int64_t release_at)
{
    json_out_object(o, name);
    json_out_id(o, "id", i->id);
    json_out_string(o, "tenant", i->tenant);
    json_out_string(o, "machine_id", i->machine_id);
    json_out_string(o, "machine_name", i->machine_name);
    json_out_string(o, "state", isolation_state_name(i->state));
    json_out_bool(o, "unknown", isolation_is_unknown(i));
    json_out_string(o, "why", i->why);
    json_out_id(o, "case", i->case_id);
    json_out_string(o, "rule", i->rule);
    json_out_string(o, "type", i->type);
    json_out_string(o, "comment", i->comment);
    json_out_string(o, "action_id", i->action_id);
    json_out_bool(o, "adopted", i->adopted);
    json_out_string(o, "requestor", i->requestor);
    json_out_time(o, "requested", i->requested);
    json_out_time(o, "confirmed", i->confirmed);
    json_out_time(o, "released", i->released);
    json_out_time(o, "since", notice_since(i));
    json_out_time(o, "review", i->state == ISOLATION_ISOLATED ? i->review : 0);
    json_out_time(o, "release_at", release_at); /* by itself, as the rule says */
    json_out_int(o, "reminded", i->reminded);
    json_out_time(o, "lapsed", i->lapsed);
    json_out_string(o, "release_action_id", i->release_id);
    json_out_string(o, "release_why", i->release_why);
    json_out_bool(o, "release_waits",
                  release_is_waiting(i)); /* a person may still order or stop it */
    json_out_time(o, "updated", i->updated);
}

/* i: NULL, there is none. */
static void write_isolation(struct json_out *o, const char *name, const struct isolation_record *i,
                            int64_t release_at)
{
    if (!i) {
        json_out_null(o, name);
        return;
    }
    begin_isolation(o, name, i, release_at);
    json_out_object_end(o);
}

/* The isolations of the cases of a list, and when they end. That takes a look at all cases of each: once, however many of these
 * are in the list. */
struct releases {
    size_t n;
    struct {
        int64_t id, at;
    } known[API_LIMIT_MAX];
};

static enum err_code find_release_once(struct releases *r, struct store *s, struct arena *a,
                                       const struct isolation_record *i, int64_t *ret,
                                       struct err *e)
{
    enum err_code code;

    for (size_t k = 0; k < r->n; k++)
        if (r->known[k].id == i->id) {
            *ret = r->known[k].at;
            return ERR_OK;
        }
    code = find_release(s, a, i, ret, e);
    if (!code && r->n < API_LIMIT_MAX) {
        r->known[r->n].id = i->id;
        r->known[r->n++].at = *ret;
    }
    return code;
}

static void write_notices(struct json_out *o, const struct notice_record *list, size_t n)
{
    json_out_array(o, "notices");
    for (size_t i = 0; i < n; i++) {
        json_out_object(o, NULL);
        json_out_id(o, "id", list[i].id);
        json_out_string(o, "channel", list[i].channel);
        json_out_string(o, "kind", list[i].kind);
        json_out_string(o, "subject", list[i].subject);
        json_out_string(o, "state", list[i].state);
        json_out_string(o, "why", list[i].why);
        json_out_id(o, "digest", list[i].digest);
        json_out_array(o, "recipients");
        for (size_t r = 0; r < list[i].n_recipients; r++) {
            const struct recipient_record *to = &list[i].recipients[r];

            json_out_object(o, NULL);
            json_out_string(o, "address", to->address);
            json_out_string(o, "state", recipient_state_name(to->state));
            json_out_int(o, "code", to->code);
            json_out_string(o, "reply", to->reply);
            json_out_object_end(o);
        }
        json_out_array_end(o);
        json_out_time(o, "created", list[i].created);
        json_out_time(o, "ended", list[i].ended);
        json_out_object_end(o);
    }
    json_out_array_end(o);
}

static void write_actions(struct json_out *o, const struct action_record *list, size_t n)
{
    json_out_array(o, "actions");
    for (size_t i = 0; i < n; i++) {
        json_out_object(o, NULL);
        json_out_id(o, "id", list[i].id);
        json_out_string(o, "handler", list[i].handler);
        json_out_string(o, "detail", list[i].detail);
        json_out_string(o, "state", action_state_name(list[i].state));
        json_out_string(o, "why", list[i].why);
        json_out_string(o, "action_id", list[i].action_id);
        json_out_bool(o, "adopted", list[i].adopted);
        json_out_string(o, "requestor", list[i].requestor);
        json_out_time(o, "requested", list[i].requested);
        json_out_time(o, "ended", list[i].ended);
        json_out_object_end(o);
    }
    json_out_array_end(o);
}

struct question_reading {
    struct arena *arena;
    struct json_out *o;
    const struct question_record *q;
    int64_t after_id; /* the cases above, so many at most */
    size_t limit;
};

static enum err_code read_people(struct db_tx *tx, struct arena *a, struct api_asked *x,
                                 struct err *e)
{
    enum err_code code = invitation_list(tx, a, x->q->id, &x->invited, &x->n_invited, e);

    return code ? code : answer_list(tx, a, x->q->id, &x->answers, &x->n_answers, e);
}

/* Who has been asked, and who has answered. */
static void write_people(struct json_out *o, const struct api_asked *x)
{
    json_out_array(o, "asked");
    for (size_t i = 0; i < x->n_invited; i++)
        json_out_string(o, NULL, x->invited[i].address);
    json_out_array_end(o);
    json_out_array(o, "answers");
    for (size_t i = 0; i < x->n_answers; i++) {
        json_out_object(o, NULL);
        json_out_string(o, "person", x->answers[i].person);
        json_out_bool(o, "yes", x->answers[i].yes);
        json_out_string(o, "why", x->answers[i].why);
        json_out_string(o, "way", x->answers[i].way);
        json_out_time(o, "at", x->answers[i].at);
        json_out_object_end(o);
    }
    json_out_array_end(o);
}

/* What every question says of itself, without the closing brace. */
static void begin_question(struct json_out *o, const struct question_record *q)
{
    json_out_object(o, NULL);
    json_out_id(o, "id", q->id);
    json_out_string(o, "kind", question_kind_name(q->kind));
    json_out_string(o, "state", question_state_name(q->state));
    json_out_string(o, "what", q->what);
    json_out_string(o, "why", q->why);
    json_out_string(o, "policy", q->policy);
    json_out_int(o, "people", q->people);
    /* nobody was asked yet: its time begins with the first mail, and an answer before that is in time (question.c) */
    json_out_bool(o, "unasked",
                  q->state == QUESTION_OPEN && !q->told && !question_is_of_one(q->kind));
}

static void end_question(struct json_out *o, const struct question_record *q)
{
    json_out_time(o, "created", q->created);
    json_out_time(o, "expires", q->expires);
    json_out_time(o, "ended", q->ended);
    json_out_object_end(o);
}

static enum err_code write_question(struct db_tx *tx, void *arg, struct err *e)
{
    const struct question_reading *r = arg;
    const struct question_record *q = r->q;
    struct json_out *o = r->o;
    struct api_asked people = {.q = q};
    struct question_case *cases;
    size_t n_cases = 0;
    int64_t total = 0, machines = 0;
    bool more;
    enum err_code code =
        question_cases(tx, r->arena, q->id, r->after_id, r->limit + 1, &cases, &n_cases, e);

    if (!code)
        code = question_count_cases(tx, q->id, &total, e);
    if (!code)
        code = question_count_machines(tx, q->id, &machines, e);
    if (!code)
        code = read_people(tx, r->arena, &people, e);
    if (code)
        return code;
    more = api_cut(&n_cases, r->limit);
    begin_question(o, q);
    json_out_int(o, "count", total);
    json_out_int(o, "machines", machines); /* several cases may be of one */
    json_out_array(o, "cases");
    for (size_t i = 0; i < n_cases; i++) {
        json_out_object(o, NULL);
        json_out_id(o, "case", cases[i].case_id);
        json_out_string(o, "tenant", cases[i].tenant);
        json_out_string(o, "alert_id", cases[i].alert_id);
        json_out_string(o, "machine_id", cases[i].machine_id);
        json_out_string(o, "machine_name", cases[i].machine_name);
        json_out_string(o, "action", cases[i].action);
        json_out_object_end(o);
    }
    json_out_array_end(o);
    json_out_id(o, "next", more ? cases[n_cases - 1].case_id : 0);
    write_people(o, &people);
    end_question(o, q);
    return ERR_OK;
}

struct asked_reading {
    struct arena *arena;
    struct api_asked *list;
    size_t n;
};

static enum err_code read_asked(struct db_tx *tx, void *arg, struct err *e)
{
    const struct asked_reading *r = arg;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < r->n && !code; i++)
        code = read_people(tx, r->arena, &r->list[i], e);
    return code;
}

/* The questions of a case with whom each was sent to, and what was said to it. */
static enum err_code load_asked(struct store *s, struct arena *a, int64_t id,
                                const struct api_asked **ret, size_t *ret_count, struct err *e)
{
    struct question_record *questions;
    struct asked_reading r = {.arena = a};
    enum err_code code = store_question_of_case(s, a, id, API_LIMIT_MAX, &questions, &r.n, e);

    if (code)
        return code;
    r.list = arena_array(a, r.n + 1, sizeof *r.list);
    if (!r.list)
        return err_set(e, ERR_NOMEM, "questions of a case");
    for (size_t i = 0; i < r.n; i++)
        r.list[i].q = &questions[i];
    code = db_read(s->db, read_asked, &r, e);
    *ret = r.list;
    *ret_count = r.n;
    return code;
}

/* Of one case's document: without the other cases that wait for the same answer. */
static void write_asked(struct json_out *o, const struct api_asked *asked, size_t n)
{
    json_out_array(o, "questions");
    for (size_t i = 0; i < n; i++) {
        begin_question(o, asked[i].q);
        write_people(o, &asked[i]);
        end_question(o, asked[i].q);
    }
    json_out_array_end(o);
}

static enum err_code written(const struct buf *out, struct err *e)
{
    return buf_failed(out) ? err_set(e, buf_failed(out), "the answer") : ERR_OK;
}

bool api_cut(size_t *n, size_t limit)
{
    bool more = *n > limit;

    *n = more ? limit : *n;
    return more;
}

enum err_code api_cases(struct store *s, const struct case_filter *f, struct buf *out,
                        struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct case_filter and_one = *f;
    struct json_out o = JSON_OUT(out);
    struct releases releases = {.n = 0};
    struct case_record *list;
    size_t n = 0;
    bool more;
    enum err_code code;

    and_one.limit++;
    code = arena ? store_case_list(s, arena, &and_one, &list, &n, e)
                 : err_set(e, ERR_NOMEM, "list of cases");
    if (code)
        return code;
    more = api_cut(&n, f->limit);
    json_out_object(&o, NULL);
    json_out_array(&o, "cases");
    for (size_t i = 0; i < n && !code; i++) {
        AUTO(arena_freep) struct arena *own = arena_new(0); /* verdicts are large: one at a time */
        struct isolation_record isolation;
        struct step_record *steps;
        struct case_record c;
        int64_t release_at = 0;
        size_t n_steps = 0;

        code = own ? store_case_load(s, own, list[i].id, &c, e) : err_set(e, ERR_NOMEM, "case");
        if (code == ERR_NOT_FOUND) { /* it was forgotten since the list was read */
            code = ERR_OK;
            continue;
        }
        if (!code)
            code = store_case_steps(s, own, list[i].id, &steps, &n_steps, e);
        if (!code && c.isolation)
            code = store_isolation_load(s, own, c.isolation, &isolation, e);
        if (code == ERR_NOT_FOUND) { /* likewise */
            code = ERR_OK;
            continue;
        }
        if (!code && c.isolation)
            code = find_release_once(&releases, s, own, &isolation, &release_at, e);
        if (code)
            return code;
        write_case(&o, &c, steps, n_steps);
        /* a case is done, too, whose isolation failed */
        write_isolation(&o, "isolation", c.isolation ? &isolation : NULL, release_at);
        json_out_object_end(&o);
    }
    json_out_array_end(&o);
    json_out_id(&o, "next", more ? list[n - 1].id : 0);
    json_out_object_end(&o);
    return written(out, e);
}

enum err_code api_case_named(struct store *s, const char *word, int64_t *ret, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    const struct case_filter of = {.alert_id = word, .limit = 2};
    char one[ID_TEXT_SIZE], other[ID_TEXT_SIZE];
    struct case_record *list;
    size_t n = 0;
    enum err_code code;

    if (!id_parse(word, ret, NULL))
        return ERR_OK;
    code = arena ? store_case_list(s, arena, &of, &list, &n, e) : err_set(e, ERR_NOMEM, "an alert");
    if (code)
        return code;
    if (!n)
        return err_set(e, ERR_NOT_FOUND, "there is no case with the id %.40s", word);
    if (n > 1)
        return err_set(
            e, ERR_CONFLICT,
            "several tenants have an alert with this id: name the case, as %s of %s or %s of %s",
            id_format(list[0].id, one), list[0].tenant, id_format(list[1].id, other),
            list[1].tenant);
    *ret = list[0].id;
    return ERR_OK;
}

enum err_code api_case(struct store *s, int64_t id, struct buf *out, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(16384);
    struct json_out o = JSON_OUT(out);
    struct isolation_record isolation;
    struct notice_record *notices;
    struct step_record *steps;
    struct case_record c;
    struct action_record *actions;
    struct audit_record *orders;
    struct mute_record mute;
    struct api_story story = {.c = &c};
    int64_t due = 0, release_at = 0;
    bool muted = false;
    enum err_code code =
        arena ? store_case_load(s, arena, id, &c, e) : err_set(e, ERR_NOMEM, "case");

    if (!code)
        code = store_case_steps(s, arena, id, &steps, &story.n_steps, e);
    if (!code)
        code = store_notice_list(s, arena, id, &notices, &story.n_notices, e);
    if (!code)
        code = store_action_list(s, arena, id, API_LIMIT_MAX, &actions, &story.n_actions, e);
    if (!code)
        code = load_asked(s, arena, id, &story.asked, &story.n_asked, e);
    if (!code) {
        code = store_mute_of_case(s, arena, id, &mute, e);
        muted = !code;
        code = code == ERR_NOT_FOUND ? ERR_OK : code;
    }
    if (!code && c.isolation)
        code = store_isolation_load(s, arena, c.isolation, &isolation, e);
    if (!code && c.isolation)
        code = find_release(s, arena, &isolation, &release_at, e);
    if (!code)
        code = store_work_due(s, id, &due, e);
    if (!code)
        code = store_audit_orders(s, arena, id, c.isolation ? isolation.case_id : 0, &orders,
                                  &story.n_orders, e);
    if (code)
        return code;
    story.orders = orders;
    story.steps = steps;
    story.notices = notices;
    story.actions = actions;
    story.isolation = c.isolation ? &isolation : NULL;
    write_case(&o, &c, steps, story.n_steps);
    json_out_time(&o, "due", due); /* when it is tried again, or gone on with */
    json_out_string(&o, "silenced", muted ? mute_words(&mute, arena) : NULL);
    json_out_raw(&o, "facts", c.facts);
    write_isolation(&o, "isolation", story.isolation, release_at);
    write_asked(&o, story.asked, story.n_asked);
    write_actions(&o, actions, story.n_actions);
    write_notices(&o, notices, story.n_notices);
    api_timeline(&o, arena, &story);
    json_out_object_end(&o);
    return written(out, e);
}

enum err_code api_isolation(struct store *s, int64_t id, int64_t after_id, size_t limit,
                            struct buf *out, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    const struct case_filter of = {.isolation = id, .after_id = after_id, .limit = limit + 1};
    struct json_out o = JSON_OUT(out);
    struct isolation_record isolation;
    struct case_record *cases;
    int64_t all = 0, release_at = 0;
    size_t n = 0;
    bool more;
    enum err_code code = arena ? store_isolation_load(s, arena, id, &isolation, e)
                               : err_set(e, ERR_NOMEM, "isolation");

    if (!code)
        code = store_case_list(s, arena, &of, &cases, &n, e);
    if (!code)
        code = store_case_count_shared(s, id, &all, e);
    if (!code)
        code = find_release(s, arena, &isolation, &release_at, e);
    if (code)
        return code;
    more = api_cut(&n, limit);
    begin_isolation(&o, NULL, &isolation, release_at);
    json_out_int(&o, "count", all);
    json_out_array(&o, "cases");
    for (size_t i = 0; i < n; i++) {
        json_out_object(&o, NULL);
        json_out_id(&o, "id", cases[i].id);
        json_out_string(&o, "alert_id", cases[i].alert_id);
        json_out_string(&o, "state", case_state_name(cases[i].state));
        json_out_string(&o, "rule", cases[i].rule);
        json_out_object_end(&o);
    }
    json_out_array_end(&o);
    json_out_id(&o, "next", more ? cases[n - 1].id : 0);
    json_out_object_end(&o);
    return written(out, e);
}

enum err_code api_isolations(struct store *s, const struct isolation_filter *f, struct buf *out,
                             struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct isolation_filter and_one = *f;
    struct json_out o = JSON_OUT(out);
    struct isolation_record *list;
    size_t n = 0;
    bool more;
    enum err_code code;

    and_one.limit++;
    code = arena ? store_isolation_list(s, arena, &and_one, &list, &n, e)
                 : err_set(e, ERR_NOMEM, "list of isolations");
    if (code)
        return code;
    more = api_cut(&n, f->limit);
    json_out_object(&o, NULL);
    json_out_array(&o, "isolations");
    for (size_t i = 0; i < n; i++) {
        int64_t release_at = 0;

        code = find_release(s, arena, &list[i], &release_at, e);
        if (code)
            return code;
        write_isolation(&o, NULL, &list[i], release_at);
    }
    json_out_array_end(&o);
    json_out_id(&o, "next", more ? list[n - 1].id : 0);
    json_out_object_end(&o);
    return written(out, e);
}

enum err_code api_questions(struct store *s, enum question_state state, int64_t before_id,
                            size_t limit, struct buf *out, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct json_out o = JSON_OUT(out);
    struct question_record *list;
    size_t n = 0;
    bool more;
    enum err_code code =
        arena ? store_question_list(s, arena, state, before_id, limit + 1, &list, &n, e)
              : err_set(e, ERR_NOMEM, "list of questions");

    if (code)
        return code;
    more = api_cut(&n, limit);
    json_out_object(&o, NULL);
    json_out_array(&o, "questions");
    for (size_t i = 0; i < n && !code; i++) {
        struct question_reading r = {
            .arena = arena, .o = &o, .q = &list[i], .limit = API_QUESTION_CASES};

        code = db_read(s->db, write_question, &r, e);
    }
    if (code)
        return code;
    json_out_array_end(&o);
    json_out_id(&o, "next", more ? list[n - 1].id : 0);
    json_out_object_end(&o);
    return written(out, e);
}

struct question_loading {
    struct question_reading r;
    struct question_record q;
    int64_t id;
};

static enum err_code load_question(struct db_tx *tx, void *arg, struct err *e)
{
    struct question_loading *l = arg;
    enum err_code code = question_load(tx, l->r.arena, l->id, &l->q, e);

    return code ? code : write_question(tx, &l->r, e);
}

enum err_code api_question(struct store *s, int64_t id, int64_t after_id, size_t limit,
                           struct buf *out, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct json_out o = JSON_OUT(out);
    struct question_loading l = {
        .r = {.arena = arena, .o = &o, .after_id = after_id, .limit = limit}, .id = id};
    enum err_code code;

    l.r.q = &l.q;
    code = arena ? db_read(s->db, load_question, &l, e) : err_set(e, ERR_NOMEM, "question");
    return code ? code : written(out, e);
}

static bool is_same_machine(const struct json *a, const struct json *b)
{
    const char *id = json_get_string(a, "machine_id"), *other = json_get_string(b, "machine_id");
    const char *tenant = json_get_string(a, "tenant"), *another = json_get_string(b, "tenant");

    return id && other && tenant && another && strcmp(id, other) == 0 &&
           strcmp(tenant, another) == 0;
}

const char *api_question_machines(const struct json *q, struct arena *a)
{
    const struct json *named[API_MACHINES_NAMED];
    const char *names = "";
    int64_t all = json_get_int64(q, "machines", 0), shown = 0;

    JSON_EACH (c, json_get(q, "cases")) {
        const char *name = json_get_string(c, "machine_name");
        const char *id = json_get_string(c, "machine_id");
        bool seen = false;

        for (int64_t i = 0; i < shown; i++)
            seen = seen || is_same_machine(named[i], c);
        if (seen)
            continue;
        if (shown == API_MACHINES_NAMED || !names)
            break;
        names = arena_fmt(a, "%s%s%s", names, shown ? ", " : "",
                          name && *name ? name
                          : id          ? id
                                        : "unknown machine");
        named[shown++] = c;
    }
    return names && all > shown ? arena_fmt(a, "%s and %" PRId64 " more", names, all - shown)
                                : names;
}
