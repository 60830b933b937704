/* explain.c - see explain.h. */
#include "explain.h"

#include <string.h>

#include "cordon/handler.h"
#include "decide.h"
#include "json.h"
#include "store_cases.h"
#include "store_policies.h"
#include "text.h"

/* What came of giving the verdict again. */
struct again {
    const char *why; /* not the same, or not to be said: for people; NULL: the same */
    bool known, same;
    const char *verdict; /* JSON, when it is another */
};

/* The first difference that counts; what else the explanation says may grow with the program. */
static const char *difference(struct arena *a, const struct verdict *then,
                              const struct verdict *now)
{
    if (!text_is_same(then->rule, now->rule))
        return arena_fmt(a, "the rule would be %s", now->rule ? now->rule : "none");
    if (!text_is_same(then->doubt, now->doubt))
        return arena_fmt(a, "in doubt would be: %s", now->doubt ? now->doubt : "nothing");
    for (size_t i = 0; i < then->n_steps && i < now->n_steps; i++) {
        const struct verdict_step *x = &then->steps[i], *y = &now->steps[i];

        if (strcmp(x->handler, y->handler) != 0)
            return arena_fmt(a, "step %zu would be %s", i + 1, y->handler);
        if (strcmp(x->args, y->args) != 0)
            return arena_fmt(a, "%s would be called with other settings", x->handler);
        if (!text_is_same(x->withheld, y->withheld))
            return arena_fmt(a, "%s would be %s%s", x->handler, y->withheld ? "withheld: " : "done",
                             y->withheld ? y->withheld : "");
        if (!text_is_same(x->asks, y->asks))
            return arena_fmt(a, "%s would %s%s", x->handler,
                             y->asks ? "wait for a person: " : "be done unasked",
                             y->asks ? y->asks : "");
    }
    return then->n_steps == now->n_steps
               ? NULL
               : arena_fmt(a, "there would be %zu steps, not %zu", now->n_steps, then->n_steps);
}

static struct again unknown(struct arena *a, const struct err *e)
{
    return (struct again){.why = arena_str(a, e->text)};
}

/* policy: as it was kept; NULL: it was not. */
static struct again judge_again(struct arena *a, const struct json *stored,
                                const struct json *facts, const char *policy)
{
    const char *at = json_get_string(stored, "at");
    struct again r = {.known = true};
    const struct policy *p;
    struct verdict then, now;
    struct facts f;
    int64_t at_ms;
    struct err e = {0};

    if (!policy)
        return (struct again){.why = "its policy came into force before policies were kept"};
    if (verdict_read(stored, a, &then, &e) || facts_read(facts, &f, &e) ||
        clock_parse(at ? at : "", &at_ms, &e) || policy_restore(a, policy, &p, &e) ||
        decide(p, &f, at_ms, a, &now, &e))
        return unknown(a, &e);
    r.why = difference(a, &then, &now);
    r.same = !r.why;
    r.verdict = r.same ? NULL : now.json;
    return r;
}

static void write_again(struct json_out *o, const struct again *r)
{
    json_out_object(o, "again");
    if (r->known)
        json_out_bool(o, "same", r->same);
    else
        json_out_null(o, "same");
    json_out_string(o, "why", r->why);
    if (r->verdict)
        json_out_raw(o, "verdict", r->verdict);
    json_out_object_end(o);
}

/* A case that is judged again keeps its steps: those of the verdict that is stored may be others, and stand elsewhere.
 * Which of the verdict's is the nth of this handler? NULL: none. */
static const struct json *wanted_step(const struct json *verdict, const char *handler, size_t nth)
{
    JSON_EACH (step, json_get(verdict, "steps")) {
        const char *name = json_get_string(step, "handler");

        if (name && strcmp(name, handler) == 0 && nth-- == 0)
            return step;
    }
    return NULL;
}

/* How many of the case's steps are of this handler, of its first n. */
static size_t count_steps(const struct step_record *steps, size_t n, const char *handler)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += strcmp(steps[i].handler, handler) == 0;
    return count;
}

static void write_steps(struct json_out *o, const struct step_record *steps, size_t n,
                        const struct json *verdict)
{
    json_out_array(o, "steps");
    for (size_t i = 0; i < n; i++) {
        const struct json *wanted =
            wanted_step(verdict, steps[i].handler, count_steps(steps, i, steps[i].handler));

        json_out_object(o, NULL);
        json_out_string(o, "handler", steps[i].handler);
        json_out_string(o, "state", step_state_name(steps[i].state));
        json_out_string(o, "why", steps[i].why);
        if (json_get_string(wanted, "asks"))
            json_out_string(o, "asks", json_get_string(wanted, "asks"));
        json_out_time(o, "updated", steps[i].updated);
        json_out_object_end(o);
    }
    json_out_array_end(o);
    json_out_array(o, "not_taken");
    JSON_EACH (step, json_get(verdict, "steps")) {
        const char *name = json_get_string(step, "handler");
        size_t before = 0;

        JSON_EACH (other, json_get(verdict, "steps")) {
            const char *same = json_get_string(other, "handler");

            if (other == step)
                break;
            before += name && same && strcmp(same, name) == 0;
        }
        if (name && before >= count_steps(steps, n, name))
            json_out_string(o, NULL, name);
    }
    json_out_array_end(o);
}

enum err_code explain_case(struct store *s, int64_t id, const struct policy *in_force,
                           struct buf *out, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(16384);
    AUTO(json_freep) struct json *verdict = NULL, *facts = NULL;
    struct json_out o = JSON_OUT(out);
    const char *hash, *policy = NULL;
    struct step_record *steps;
    struct case_record c;
    struct again again;
    size_t n_steps = 0;
    int64_t since = 0;
    enum err_code code =
        arena ? store_case_load(s, arena, id, &c, e) : err_set(e, ERR_NOMEM, "case");

    if (!code)
        code = store_case_steps(s, arena, id, &steps, &n_steps, e);
    if (code)
        return code;
    if (!c.verdict || !c.facts)
        return err_set(e, ERR_CONFLICT, "the case has no verdict yet: it is %s",
                       case_state_name(c.state));
    if (json_parse(c.verdict, strlen(c.verdict), &verdict, e) ||
        json_parse(c.facts, strlen(c.facts), &facts, e))
        return err_in(e, "what the store holds of the case");
    hash = json_get_string(verdict, "policy");
    hash = hash ? hash : "";
    code = store_policy_load(s, arena, hash, &policy, &since, e);
    if (code && code != ERR_NOT_FOUND)
        return code;
    again = judge_again(arena, verdict, facts, policy);

    json_out_object(&o, NULL);
    json_out_id(&o, "case", c.id);
    json_out_string(&o, "tenant", c.tenant);
    json_out_string(&o, "alert_id", c.alert_id);
    json_out_string(&o, "machine_id", c.machine_id);
    json_out_string(&o, "state", case_state_name(c.state));
    json_out_raw(&o, "verdict", c.verdict);
    write_steps(&o, steps, n_steps, verdict);
    json_out_object(&o, "policy");
    json_out_string(&o, "hash", hash);
    json_out_bool(&o, "kept", policy != NULL);
    json_out_time(&o, "since", since);
    json_out_bool(&o, "in_force", strcmp(hash, policy_hash(in_force)) == 0);
    json_out_object_end(&o);
    write_again(&o, &again);
    json_out_raw(&o, "facts", c.facts);
    json_out_object_end(&o);
    return buf_failed(out) ? err_set(e, buf_failed(out), "the answer") : ERR_OK;
}

static bool is_result(const struct json *judged, const char *result)
{
    const char *text = json_get_string(judged, "result");

    return text && strcmp(text, result) == 0;
}

const char *explain_rule_says(const struct json *rule, const char *gave, bool *found)
{
    const char *name = json_get_string(rule, "rule");

    if (*found)
        return is_result(rule, "true")      ? "would match; a rule above gave the verdict"
               : is_result(rule, "unknown") ? "could not be judged; not asked"
                                            : "would not match; not asked";
    if (!gave || !name || strcmp(name, gave) != 0)
        return "does not match";
    *found = true;
    return is_result(rule, "true") ? "matches, and gives the verdict"
                                   : "cannot be judged, and gives the verdict in doubt";
}

const char *explain_protection_says(const struct json *protection)
{
    return is_result(protection, "true")      ? "protects"
           : is_result(protection, "unknown") ? "cannot be judged, so it protects"
                                              : "does not protect";
}

const char *explain_step_says(const struct json *step)
{
    return explain_step_word(json_get_string(step, "handler"), json_get_string(step, "state"));
}

const char *explain_step_word(const char *name, const char *state)
{
    const struct handler *h = name ? handler_find(name) : NULL;

    if (h && h->follows && state && strcmp(state, step_state_name(STEP_DONE)) == 0)
        return "asked for";
    return state ? state : "";
}
