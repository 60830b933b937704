/* policy_name.c - the name of a policy: the hash of its normal form. See policy_own.h. */
#include "policy_own.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "buf.h"
#include "json.h"
#include "lists.h"

#define NORMAL_MAX (8 * 1024 * 1024) /* bytes of the normal form; a file has 1 MiB (yaml.h) */

static int by_key(const void *a, const void *b)
{
    const struct yaml_node *const *x = a, *const *y = b;

    return strcmp((*x)->key->text, (*y)->key->text);
}

/* Is a plain scalar something other than text to whoever reads it? Then "10" and 10 differ. */
static bool is_plain_value(const struct yaml_node *n, const char *text)
{
    if (n->quoted && !strstr(n->text, "${"))
        return false;
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0 ||
           (*text && text[strspn(text, "-0123456789")] == '\0');
}

/* Below these keys stand conditions. What they hold stays in the order of the file, which is that of an
 * explanation and of the reasons in it. */
static bool begins_conditions(const char *key)
{
    return strcmp(key, "when") == 0 || strcmp(key, "protected") == 0;
}

/* The normal form: JSON, keys in order (ordered: as they stand), the environment filled in, quotes only where
 * they matter. */
static void write_normal(struct policy_compiler *c, struct json_out *o, const char *name,
                         const struct yaml_node *n, bool ordered)
{
    const struct yaml_node **sorted;
    const char *text;
    size_t i = 0;

    switch (n->kind) {
    case YAML_SCALAR:
        text = n->null ? NULL : settings_text(c->reader, n);
        if (text && is_plain_value(n, text)) {
            json_out_object(o, name); /* no text of the file can look like this */
            json_out_string(o, "plain", text);
            json_out_object_end(o);
        } else {
            json_out_string(o, name, text);
        }
        return;
    case YAML_LIST:
        json_out_array(o, name);
        for (const struct yaml_node *child = n->first; child; child = child->next)
            write_normal(c, o, NULL, child, ordered);
        json_out_array_end(o);
        return;
    case YAML_MAP:
        sorted = arena_array(c->reader->arena, n->count + 1, sizeof *sorted);
        if (!sorted) {
            (void)policy_no_memory(c, n);
            return;
        }
        for (const struct yaml_node *child = n->first; child; child = child->next)
            sorted[i++] = child;
        if (!ordered)
            qsort(sorted, n->count, sizeof *sorted, by_key);
        json_out_object(o, name);
        for (i = 0; i < n->count; i++)
            write_normal(c, o, sorted[i]->key->text, sorted[i],
                         ordered || begins_conditions(sorted[i]->key->text));
        json_out_object_end(o);
    }
}

static int by_name(const void *a, const void *b)
{
    const struct list_file *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

/* What stood in files counts as if it stood in the policy. */
static bool write_lists(struct policy_compiler *c, struct json_out *o)
{
    const struct list_file **sorted;
    size_t n = 0, i = 0;

    for (const struct list_file *f = c->reader->lists->first; f; f = f->next)
        n++;
    if (n == 0)
        return true;
    sorted = arena_array(c->reader->arena, n, sizeof *sorted);
    if (!sorted)
        return false;
    for (const struct list_file *f = c->reader->lists->first; f; f = f->next)
        sorted[i++] = f;
    qsort(sorted, n, sizeof *sorted, by_name);
    json_out_object(o, "lists");
    for (i = 0; i < n; i++) {
        json_out_array(o, sorted[i]->name);
        for (size_t k = 0; k < sorted[i]->count; k++)
            json_out_string(o, NULL, sorted[i]->lines[k]);
        json_out_array_end(o);
    }
    json_out_object_end(o);
    return true;
}

void policy_name(struct policy_compiler *c, const struct yaml_node *rules,
                 const struct yaml_node *safety)
{
    AUTO(buf_clear) struct buf normal = BUF_INIT(NORMAL_MAX);
    struct json_out o = JSON_OUT(&normal);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool good;

    json_out_object(&o, NULL);
    write_normal(c, &o, "rules", rules, false);
    if (safety)
        write_normal(c, &o, "safety", safety, false);
    good = write_lists(c, &o);
    json_out_object_end(&o);
    good = good && !buf_failed(&normal);
    c->policy->text = good ? arena_strn(c->reader->arena, buf_text(&normal), normal.len) : NULL;
    if (!c->policy->text ||
        EVP_Digest(buf_text(&normal), normal.len, digest, &len, EVP_sha256(), NULL) != 1) {
        (void)policy_no_memory(c, rules);
        return;
    }
    assert(len * 2 + 1 == sizeof c->policy->hash);
    for (unsigned i = 0; i < len; i++)
        (void)snprintf(c->policy->hash + i * 2, 3, "%02x", digest[i]); /* two digits and the NUL */
}
