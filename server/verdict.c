/* verdict.c - see verdict.h. */
#include "verdict.h"

#include <string.h>

static const char *const holds[] = {
    [HOLD_NONE] = "",           [HOLD_DOUBT] = "doubt",
    [HOLD_MACHINE] = "machine", [HOLD_PROTECTED] = "protected",
    [HOLD_SOURCE] = "source",   [HOLD_SHADOW] = "shadow",
};

const char *hold_name(enum hold hold)
{
    return holds[hold];
}

static bool text_or_null(const struct json *doc, const char *name, const char **ret)
{
    const struct json *v = json_get(doc, name);

    *ret = json_string(v);
    return *ret || json_type(v) == JSON_NULL;
}

static enum err_code read_step(const struct json *doc, struct arena *a, struct verdict_step *ret,
                               struct err *e)
{
    AUTO(buf_clear) struct buf args = BUF_INIT(VERDICT_MAX);
    const char *by = json_get_string(doc, "by");

    for (enum hold h = HOLD_NONE; by && h < HOLDS; h++)
        if (strcmp(holds[h], by) == 0)
            ret->hold = h;
    ret->handler = json_get_string(doc, "handler");
    ret->acts = json_is_true(json_get(doc, "acts"));
    if (!ret->handler || json_type(json_get(doc, "acts")) != JSON_BOOL ||
        json_type(json_get(doc, "args")) != JSON_OBJECT ||
        !text_or_null(doc, "withheld", &ret->withheld) ||
        (json_type(json_get(doc, "asks")) != JSON_ABSENT && !text_or_null(doc, "asks", &ret->asks)))
        return err_set(e, ERR_INVALID, "verdict: a step that is none");
    json_write(&args, json_get(doc, "args"));
    ret->args = buf_failed(&args) ? NULL : arena_strn(a, buf_text(&args), args.len);
    return ret->args ? ERR_OK : err_set(e, ERR_NOMEM, "verdict");
}

enum err_code verdict_read(const struct json *doc, struct arena *a, struct verdict *ret,
                           struct err *e)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(VERDICT_MAX);
    const struct json *steps = json_get(doc, "steps");
    struct verdict v = {0};
    enum err_code code;

    v.policy = json_get_string(doc, "policy");
    if (!v.policy || !text_or_null(doc, "rule", &v.rule) || !text_or_null(doc, "doubt", &v.doubt) ||
        json_type(steps) != JSON_ARRAY)
        return err_set(e, ERR_INVALID, "verdict: not what was stored");
    v.steps = arena_array(a, json_count(steps) + 1, sizeof *v.steps);
    if (!v.steps)
        return err_set(e, ERR_NOMEM, "verdict");
    JSON_EACH (step, steps) {
        code = read_step(step, a, &v.steps[v.n_steps++], e);
        if (code)
            return code;
    }
    json_write(&text, doc);
    v.json = buf_failed(&text) ? NULL : arena_strn(a, buf_text(&text), text.len);
    if (!v.json)
        return err_set(e, ERR_NOMEM, "verdict");
    *ret = v;
    return ERR_OK;
}
