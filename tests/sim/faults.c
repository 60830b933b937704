/* faults.c - see faults.h. */
#include "faults.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "glob.h"

static const struct {
    const char *name;
    unsigned status; /* unless the fault says another */
    bool act;        /* the request is carried out, whatever the fault says */
} kinds[FAULT_KINDS] = {
    [FAULT_DELAY] = {"delay", 0, true},
    [FAULT_ANSWER] = {"answer", 500, false},
    [FAULT_HANG] = {"hang", 0, false},
    [FAULT_RESET] = {"reset", 0, false},
    [FAULT_LOST] = {"lost", 0, true},
    [FAULT_CLOSE] = {"close", 0, false},
    [FAULT_TRUNCATED] = {"truncated", 0, true},
    [FAULT_WRONG_LENGTH] = {"wrong_length", 0, true},
    [FAULT_MALFORMED] = {"malformed", 0, true},
    [FAULT_HUGE] = {"huge", 200, true},
    [FAULT_DRIP] = {"drip", 0, true},
    [FAULT_HTML] = {"html", 502, false},
    [FAULT_UNAUTHORIZED] = {"unauthorized", 401, false},
    [FAULT_LICENCE] = {"licence", 401, false},
    [FAULT_FORBIDDEN] = {"forbidden", 403, false},
    [FAULT_DISABLED] = {"disabled", 403, false},
    [FAULT_DISALLOWED] = {"disallowed", 403, false},
    [FAULT_THROTTLE] = {"throttle", 429, false},
    [FAULT_ERROR] = {"error", 500, false},
};

const char *fault_name(enum fault_kind kind)
{
    return kinds[kind].name;
}

static void fault_free(struct fault *f)
{
    json_free(f->spec);
    free(f);
}

enum err_code faults_add(struct faults *f, struct json *spec, struct fault **ret, struct err *e)
{
    static const char *const known[] = {"method",  "path",     "query",         "body_glob", "skip",
                                        "count",   "hits",     "probability",   "delay_ms",  "kind",
                                        "status",  "headers",  "body",          "json",      "act",
                                        "bytes",   "every_ms", "retry_after_s", "header",    "id",
                                        "message", "code"};
    const char *kind = json_get_string(spec, "kind");
    struct fault fault = {.count = 1, .probability = 1, .spec = spec, .every_ms = 10};
    int64_t status;

    if (json_type(spec) != JSON_OBJECT)
        return err_set(e, ERR_INVALID, "a fault: expected an object");
    JSON_EACH (v, spec) {
        size_t i = 0;

        while (i < sizeof known / sizeof *known && strcmp(known[i], json_name(v)) != 0)
            i++;
        if (i == sizeof known / sizeof *known)
            return err_set(e, ERR_INVALID, "%s: unknown key", json_name(v));
    }
    while (fault.kind < FAULT_KINDS && (!kind || strcmp(kinds[fault.kind].name, kind) != 0))
        fault.kind++;
    if (fault.kind == FAULT_KINDS)
        return err_set(e, ERR_INVALID, "kind: expected one of README.md's table");
    fault.method = json_get_string(spec, "method");
    fault.path = json_get_string(spec, "path");
    fault.query = json_get_string(spec, "query");
    fault.body = json_get_string(spec, "body_glob");
    fault.bytes = 64 << 20;
    (void)json_int64(json_get(spec, "skip"), &fault.skip); /* absent: as above */
    (void)json_int64(json_get(spec, "count"), &fault.count);
    (void)json_int64(json_get(spec, "delay_ms"), &fault.delay_ms);
    (void)json_int64(json_get(spec, "bytes"), &fault.bytes);
    (void)json_int64(json_get(spec, "every_ms"), &fault.every_ms);
    (void)json_double(json_get(spec, "probability"), &fault.probability);
    fault.status = kinds[fault.kind].status;
    if (json_int64(json_get(spec, "status"), &status))
        fault.status = (unsigned)status;
    fault.act = kinds[fault.kind].act || json_is_true(json_get(spec, "act"));
    if (fault.bytes < 0 || fault.bytes > (INT64_C(1) << 30) || fault.every_ms < 1)
        return err_set(e, ERR_INVALID, "bytes, every_ms: out of range");

    snprintf(fault.id, sizeof fault.id, "f%lld", (long long)++f->made);
    *ret = malloc(sizeof **ret);
    f->list = reallocarray(f->list, f->count + 1, sizeof *f->list);
    assert(*ret && f->list); /* a simulator without memory can only stop */
    **ret = fault;
    f->list[f->count++] = *ret;
    return ERR_OK;
}

bool faults_remove(struct faults *f, const char *id)
{
    size_t kept = 0, before = f->count;

    for (size_t i = 0; i < f->count; i++)
        if (id && strcmp(f->list[i]->id, id) != 0)
            f->list[kept++] = f->list[i];
        else
            fault_free(f->list[i]);
    f->count = kept;
    if (!kept) {
        free(f->list);
        f->list = NULL;
    }
    return !id || kept < before;
}

void faults_write(struct json_out *out, const struct faults *f)
{
    json_out_object(out, NULL);
    json_out_array(out, "faults");
    for (size_t i = 0; i < f->count; i++) {
        json_out_object(out, NULL);
        json_out_string(out, "id", f->list[i]->id);
        json_out_int(out, "hits", f->list[i]->hits);
        JSON_EACH (v, f->list[i]->spec)
            if (strcmp(json_name(v), "id") != 0 && strcmp(json_name(v), "hits") != 0)
                json_out_value(out, json_name(v), v);
        json_out_object_end(out);
    }
    json_out_array_end(out);
    json_out_object_end(out);
}

struct fault *faults_meet(struct faults *f, struct world *w, const struct httpd_request *q)
{
    for (size_t i = 0; i < f->count; i++) {
        struct fault *fault = f->list[i];

        if ((fault->count >= 0 && fault->hits >= fault->count) ||
            (fault->method && strcasecmp(fault->method, q->method) != 0) ||
            !glob_matches(fault->path, q->path) || !glob_matches(fault->query, q->query) ||
            !glob_matches(fault->body, q->body))
            continue;
        if (fault->skip > 0) {
            fault->skip--;
            continue;
        }
        if (fault->probability < 1 &&
            (double)(world_random(w) >> 11) / 9007199254740992.0 >= fault->probability)
            continue;
        fault->hits++;
        return fault;
    }
    return NULL;
}
