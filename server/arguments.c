/* arguments.c - see arguments.h. */
#include "arguments.h"

#include <stdio.h>
#include <string.h>

#include "auto.h"
#include "buf.h"
#include "yaml.h"

static bool is_known(const char *name, const char *const *known)
{
    for (; known && *known; known++)
        if (strcmp(name, *known) == 0)
            return true;
    return false;
}

/* "why, by" */
static void list(struct buf *out, const char *const *known)
{
    for (size_t i = 0; known && known[i]; i++)
        buf_addf(out, "%s%s", i ? ", " : "", known[i]);
}

static enum err_code refuse(const char *what, const char *name, const char *const *known,
                            struct err *e)
{
    AUTO(buf_clear) struct buf all = BUF_INIT(1024);
    char meant[YAML_MEANT_SIZE];

    list(&all, known);
    return err_set(e, ERR_INVALID, "'%.40s': there is no such %s here%s (known: %s)", name, what,
                   yaml_meant(known ? yaml_nearest(name, known) : NULL, "", meant),
                   all.len ? buf_text(&all) : "none");
}

/* The names as they are sent: those that are known need no encoding. */
enum err_code arguments_query(struct http_request *r, const char *const *known, struct err *e)
{
    const char *p = http_query(r);

    while (*p) {
        size_t len = strcspn(p, "&"), key = strcspn(p, "=&");
        char name[64];

        if (len) {
            (void)snprintf(name, sizeof name, "%.*s", key < sizeof name ? (int)key : 63, p);
            if (key >= sizeof name || !is_known(name, known))
                return refuse("parameter", name, known, e);
            if (!http_query_param(r, name))
                return err_set(e, ERR_INVALID, "%s: given twice, or not encoded as it must be",
                               name);
        }
        p += len + (p[len] == '&');
    }
    return ERR_OK;
}

enum err_code arguments_flag(struct http_request *r, const char *name, bool *ret, struct err *e)
{
    const char *value = http_query_param(r, name);

    if (value && strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
        return err_set(e, ERR_INVALID, "%s: expected 0 or 1", name);
    *ret = value && *value == '1';
    return ERR_OK;
}

enum err_code arguments_body(struct http_request *r, const char *const *known, struct json **ret,
                             struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    size_t len;
    const char *body = http_body(r, &len);

    if (len && (json_parse(body, len, &doc, NULL) || json_type(doc) != JSON_OBJECT)) {
        AUTO(buf_clear) struct buf all = BUF_INIT(1024);

        list(&all, known);
        return err_set(e, ERR_INVALID, "expected a JSON object; its members may be: %s",
                       buf_text(&all));
    }
    JSON_EACH (member, doc)
        if (!is_known(json_name(member), known))
            return refuse("member", json_name(member), known, e);
    *ret = doc;
    doc = NULL;
    return ERR_OK;
}

enum err_code arguments_text(const struct json *doc, const char *name, size_t max, const char **ret,
                             struct err *e)
{
    const struct json *value = json_get(doc, name);

    *ret = NULL;
    if (json_type(value) == JSON_ABSENT || json_type(value) == JSON_NULL)
        return ERR_OK;
    *ret = json_string(value);
    return *ret && strlen(*ret) <= max
               ? ERR_OK
               : err_set(e, ERR_INVALID, "%s: expected a text of at most %zu bytes", name, max);
}
