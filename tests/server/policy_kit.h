/* policy_kit.h - what the tests of conditions, policies and verdicts share: reading YAML and facts from
 * literals. Included by one file of a program only.
 */
#ifndef POLICY_KIT_H
#define POLICY_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arena.h"
#include "buf.h"
#include "facts.h"
#include "json.h"
#include "settings.h"
#include "yaml.h"

/* 2025-01-01T00:00:00Z, the present of these tests. */
#define NOW ((int64_t)1735689600000)

/* One reading of one text. */
struct rig {
    struct arena *arena;
    struct yaml_faults faults;
    struct settings_reader reader;
};

static const char *rig_env(const char *name)
{
    return strcmp(name, "LEVEL") == 0 ? "High" : strcmp(name, "BUILD") == 0 ? "22631" : NULL;
}

static inline void rig_init(struct rig *r)
{
    r->arena = arena_new(0);
    assert_non_null(r->arena);
    yaml_faults_init(&r->faults, r->arena);
    r->reader = (struct settings_reader){.arena = r->arena, .faults = &r->faults, .env = rig_env};
}

static inline void rig_clear(struct rig *r)
{
    arena_free(r->arena);
}

/* Text as a tree; the file is called "p". */
static inline struct yaml_node *rig_yaml(struct rig *r, const char *text)
{
    struct yaml_node *root = NULL;
    struct err e = {0};

    if (yaml_read(r->arena, "p", text, strlen(text), &root, &e))
        fail_msg("%s\nin: %s", e.text, text);
    return root;
}

/* Every fault, "line:column: text", one per line, in order of place. */
static inline const char *rig_faults(struct rig *r)
{
    struct buf b = BUF_INIT(65536);
    char *text;

    yaml_faults_sort(&r->faults);
    for (const struct yaml_fault *f = r->faults.first; f; f = f->next)
        buf_addf(&b, "%u:%u: %s%s", f->line, f->column, f->text, f->next ? "\n" : "");
    text = arena_str(r->arena, buf_text(&b));
    buf_clear(&b);
    assert_non_null(text);
    return text;
}

/* JSON from a literal with ' for "; NULL stays NULL. json_free it. */
static inline struct json *parse(const char *text)
{
    struct json *doc = NULL;
    struct err e = {0};
    char *copy;

    if (!text)
        return NULL;
    copy = strdup(text);
    assert_non_null(copy);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    if (json_parse(copy, strlen(copy), &doc, &e))
        fail_msg("%s\nin: %s", e.text, copy);
    free(copy);
    return doc;
}

/* Facts around two documents, which must outlive them. */
static inline struct facts facts_of(const struct json *alert, const struct json *machine)
{
    return (struct facts){
        .tenant = "contoso",
        .source = "relay",
        .may_isolate = true,
        .alert_id = "da1",
        .alert = alert,
        .machine = machine,
        .read_ms = NOW,
    };
}

#endif
