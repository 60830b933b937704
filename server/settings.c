/* settings.c - see settings.h.
 *
 * One function per kind of value, each of which either writes the field or notes a fault; settings_read
 * walks the table. Numbers and times are in settings_number.c, network addresses in settings_net.c, files and secrets in
 * settings_secret.c. What a file says is echoed in faults so that people find it, secrets never are: a secret is only
 * ever named by its file.
 */
#include "settings_own.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auto.h"
#include "buf.h"
#include "mime.h"
#include "utf8.h"

#define EXPANDED_MAX (64 * 1024) /* bytes of a scalar after ${…} */
#define SHOWN_MAX    60          /* bytes of a value that a fault echoes */
#define FAULTS_WORTH_WORDS                                                                         \
    100 /* yaml.h keeps no more: looking for the nearest word is lost on the rest */

/* ---- saying it -------------------------------------------------------------------------------- */

const char *settings_shown(const struct settings_reader *r, const char *text)
{
    size_t len = utf8_cut(text, SHOWN_MAX);
    char *out = arena_fmt(r->arena, "'%.*s%s'", (int)len, text, text[len] ? UTF8_ELLIPSIS : "");

    return out ? out : SETTINGS_NO_MEMORY;
}

static const char *kind_name(const struct yaml_node *n)
{
    switch (n->kind) {
    case YAML_LIST:
        return "a list";
    case YAML_MAP:
        return "a map";
    case YAML_SCALAR:
        break;
    }
    return n->null ? "nothing" : "text";
}

/* "a, b, c" */
static const char *join(const struct settings_reader *r, const char *const *words)
{
    const char *out = "";

    for (; out && *words; words++)
        out = arena_fmt(r->arena, "%s%s%s", out, *out ? ", " : "", *words);
    return out ? out : SETTINGS_NO_MEMORY;
}

bool settings_expected(const struct reading *x, const char *what, const char *found)
{
    yaml_fault(x->reader->faults, x->node, "%s: expected %s, found %s", x->name, what,
               settings_shown(x->reader, found));
    return false;
}

const char *settings_meant(const struct settings_reader *reader, const char *text,
                           const char *const *words)
{
    const char *near = words ? yaml_nearest(text, words) : NULL;
    const char *out = near ? arena_fmt(reader->arena, "; did you mean %s?", near) : "";

    return out ? out : "";
}

const char *settings_suffix(const struct setting *s)
{
    return s->type == SET_SECRET ? "_file" : s->type == SET_SECRET_LIST ? "_files" : "";
}

/* ---- scalars ---------------------------------------------------------------------------------- */

const char *settings_environment(const struct settings_reader *r, const char *name)
{
    return r->env ? r->env(name) : getenv(name);
}

/* "'${NAME:-…}'": the ${ at p for a fault, without what stands behind the name that ends at name_end, which may be a secret. */
static const char *shown_name(const struct settings_reader *r, const char *p, const char *name_end)
{
    size_t len = (size_t)(name_end - p) + strspn(name_end, ":-=?+");
    const char *rest = p[len] == '}' ? "" : UTF8_ELLIPSIS;
    const char *out = arena_fmt(r->arena, "'%.*s%s}'", (int)len, p, rest);

    return out ? out : SETTINGS_NO_MEMORY;
}

/* One ${…} at p; returns its end, or NULL with a fault noted. */
static const char *expand_one(const struct settings_reader *r, const struct yaml_node *node,
                              const char *p, struct buf *out)
{
    const char *start = p + 2, *end, *name_end = start, *value;
    char *name;

    end = strchr(start, '}');
    if (!end) {
        yaml_fault(r->faults, node, "${ without its }; write $${ for a plain ${");
        return NULL;
    }
    while (name_end < end && (isalpha((unsigned char)*name_end) || *name_end == '_' ||
                              (name_end > start && isdigit((unsigned char)*name_end))))
        name_end++;
    if (name_end == start || (name_end < end && strncmp(name_end, ":-", 2) != 0)) {
        yaml_fault(r->faults, node, "expected ${NAME} or ${NAME:-default}, found %s",
                   shown_name(r, p, name_end));
        return NULL;
    }
    if (memchr(name_end, '{', (size_t)(end - name_end))) {
        yaml_fault(r->faults, node,
                   "%s: a default ends at the first }, so it holds no { and no other variable",
                   shown_name(r, p, name_end));
        return NULL;
    }
    name = arena_strn(r->arena, start, (size_t)(name_end - start));
    value = name ? settings_environment(r, name) : NULL;
    if (value && !utf8_is_whole(value)) { /* yaml.c refuses such a file, too */
        yaml_fault(r->faults, node,
                   "the environment's %s is no text: it holds bytes that are not UTF-8", name);
        return NULL;
    }
    if (name_end < end && (!value || !*value))
        buf_add(out, name_end + 2, (size_t)(end - name_end - 2));
    else if (value)
        buf_adds(out, value);
    else {
        yaml_fault(r->faults, node,
                   "the environment has no %s; set it, or give a default: ${%s:-default}",
                   name ? name : SETTINGS_NO_MEMORY, name ? name : "NAME");
        return NULL;
    }
    return end + 1;
}

/* The text after expansion; NULL with a fault noted. *ret_bare: may be a number, a bool or null. */
static const char *expand(const struct settings_reader *r, const struct yaml_node *node,
                          bool *ret_bare)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(EXPANDED_MAX);
    const char *p = node->text, *dollar;
    char *text;

    *ret_bare = !node->quoted;
    if (!strstr(p, "${"))
        return p;
    while ((dollar = strchr(p, '$'))) {
        buf_add(&out, p, (size_t)(dollar - p));
        if (strncmp(dollar, "$${", 3) == 0) {
            buf_adds(&out, "${");
            p = dollar + 3;
        } else if (dollar[1] == '{') {
            *ret_bare = true;
            p = expand_one(r, node, dollar, &out);
            if (!p)
                return NULL;
        } else {
            buf_addc(&out, '$');
            p = dollar + 1;
        }
    }
    buf_adds(&out, p);
    text = buf_failed(&out) ? NULL : arena_strn(r->arena, buf_text(&out), out.len);
    if (!text)
        yaml_fault(r->faults, node, "%s",
                   buf_failed(&out) == ERR_TOO_BIG
                       ? "longer than 64 KiB with the environment's values"
                       : SETTINGS_NO_MEMORY);
    return text;
}

const char *settings_text(const struct settings_reader *reader, const struct yaml_node *node)
{
    bool bare;

    if (node->kind != YAML_SCALAR || node->null) {
        yaml_fault(reader->faults, node, "expected text, found %s", kind_name(node));
        return NULL;
    }
    return expand(reader, node, &bare);
}

const char *settings_scalar(const struct reading *x, const char *what, bool *ret_bare)
{
    if (x->node->kind != YAML_SCALAR) {
        yaml_fault(x->reader->faults, x->node, "%s: expected %s, found %s", x->name, what,
                   kind_name(x->node));
        return NULL;
    }
    if (x->node->null) {
        yaml_fault(x->reader->faults, x->node, "%s is empty; expected %s%s", x->name, what,
                   x->setting->required ? "" : ", or the key left out");
        return NULL;
    }
    return expand(x->reader, x->node, ret_bare);
}

/* ---- texts ------------------------------------------------------------------------------------ */

static bool read_text(const struct reading *x, const char **field)
{
    bool bare;
    const char *text = settings_scalar(x, "text", &bare);

    if (!text)
        return false;
    if (!*text && x->setting->required) {
        yaml_fault(x->reader->faults, x->node, "%s is empty", x->name);
        return false;
    }
    *field = text;
    return true;
}

static bool read_word(const struct reading *x, int *field)
{
    const char *const *words = x->setting->words;
    bool bare;
    const char *text = settings_scalar(x, join(x->reader, words), &bare);

    if (!text)
        return false;
    for (int i = 0; words[i]; i++)
        if (strcmp(text, words[i]) == 0) {
            *field = i;
            return true;
        }
    yaml_fault(x->reader->faults, x->node, "%s: expected one of %s, found %s%s", x->name,
               join(x->reader, words), settings_shown(x->reader, text),
               settings_meant(x->reader, text, words));
    return false;
}

static bool read_guid(const struct reading *x, const char **field)
{
    static const char what[] = "a GUID such as 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50";
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    bool bare, good;
    const char *text = settings_scalar(x, what, &bare);
    char *lower;

    if (!text)
        return false;
    good = strlen(text) == sizeof shape - 1;
    for (size_t i = 0; good && shape[i]; i++)
        good = shape[i] == '-' ? text[i] == '-' : isxdigit((unsigned char)text[i]) != 0;
    if (!good && strlen(text) == 32 && strspn(text, "0123456789abcdefABCDEF") == 32) {
        yaml_fault(x->reader->faults, x->node, /* which may be a secret all the same */
                   "%s: expected %s, found 32 hexadecimal digits without hyphens", x->name, what);
        return false;
    }
    /* The app's secret is shown beside its id, and easily taken for it. */
    if (!good && settings_looks_secret(text)) {
        yaml_fault(x->reader->faults, x->node,
                   "%s: expected %s, found what looks like a secret and is not repeated", x->name,
                   what);
        return false;
    }
    if (!good)
        return settings_expected(x, what, text);
    lower = arena_str(x->reader->arena, text);
    if (!lower)
        return settings_expected(x, what, SETTINGS_NO_MEMORY);
    for (char *p = lower; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    *field = lower;
    return true;
}

static bool take_address(const struct reading *x, const char *text, const char **ret)
{
    struct err e = {0};

    if (!mime_address_ok(text, &e)) {
        yaml_fault(x->reader->faults, x->node, "%s: %s", x->name, e.text);
        return false;
    }
    *ret = text;
    return true;
}

static bool read_address(const struct reading *x, const char **field)
{
    bool bare;
    const char *text = settings_scalar(x, "a mail address such as soc@contoso.example", &bare);

    return text && take_address(x, text, field);
}

/* ---- lists ------------------------------------------------------------------------------------ */

/* Walks a list, or one scalar as a list of one. take writes one element of `size` bytes. */
static bool read_list(const struct reading *x, const char *what, size_t size, void **ret_items,
                      size_t *ret_count, bool (*take)(const struct reading *x, void *item))
{
    const struct yaml_node *first = x->node;
    size_t count = 1, done = 0;
    bool good = true;
    char *items;

    if (x->node->kind == YAML_LIST) {
        first = x->node->first;
        count = x->node->count;
        if (count == 0 && !x->setting->may_be_empty) {
            yaml_fault(x->reader->faults, x->node, "%s is an empty list; expected %s%s", x->name,
                       what, x->setting->required ? "" : ", or the key left out");
            return false;
        }
    } else if ((x->node->kind == YAML_MAP && take != settings_take_entry) || x->node->null) {
        yaml_fault(x->reader->faults, x->node, "%s: expected %s, found %s", x->name, what,
                   kind_name(x->node));
        return false;
    }
    items = arena_array(x->reader->arena, count ? count : 1, size);
    if (!items) {
        yaml_fault(x->reader->faults, x->node, "%s: %s", x->name, SETTINGS_NO_MEMORY);
        return false;
    }
    for (const struct yaml_node *n = first; n && done < count; n = n->next, done++) {
        struct reading one = *x;

        one.node = n;
        if (!take(&one, items + done * size))
            good = false;
    }
    if (good) {
        *ret_items = items;
        *ret_count = count;
    }
    return good;
}

static bool take_list_text(const struct reading *x, void *item)
{
    bool bare;
    const char *text = settings_scalar(x, "text", &bare);

    if (text && !*text) {
        yaml_fault(x->reader->faults, x->node, "%s: an empty text", x->name);
        return false;
    }
    *(const char **)item = text;
    return text != NULL;
}

static bool take_list_address(const struct reading *x, void *item)
{
    return read_address(x, item);
}

static bool take_list_cidr(const struct reading *x, void *item)
{
    struct err e = {0};
    bool bare;
    const char *text = settings_scalar(x, "a network such as 10.0.0.0/8", &bare);

    if (!text)
        return false;
    if (settings_cidr(text, item, &e)) {
        yaml_fault(x->reader->faults, x->node, "%s: %s", x->name, e.text);
        return false;
    }
    return true;
}

static bool read_text_list(const struct reading *x, struct text_list *field)
{
    void *items = NULL;
    size_t count = 0;

    if (!read_list(x, "a list of texts", sizeof(const char *), &items, &count, take_list_text))
        return false;
    *field = (struct text_list){.items = items, .count = count};
    return true;
}

static bool read_address_list(const struct reading *x, struct text_list *field)
{
    void *items = NULL;
    size_t count = 0;

    if (!read_list(x, "a list of mail addresses", sizeof(const char *), &items, &count,
                   take_list_address))
        return false;
    if (count > SETTINGS_ADDRESSES_MAX) {
        yaml_fault(x->reader->faults, x->node,
                   "%s: a mail goes to %d addresses at most, found %zu; take a distribution list",
                   x->name, SETTINGS_ADDRESSES_MAX, count);
        return false;
    }
    *field = (struct text_list){.items = items, .count = count};
    return true;
}

static bool read_secret_list(const struct reading *x, struct secret_list *field)
{
    const char *what = x->setting->type == SET_PUBLIC_LIST ? "a list of texts" : "a list of files";
    void *items = NULL;
    size_t count = 0;

    if (!read_list(x, what, sizeof(struct secret), &items, &count, settings_take_entry))
        return false;
    *field = (struct secret_list){.items = items, .count = count};
    settings_note_windows(x, field);
    return true;
}

static bool read_cidr_list(const struct reading *x, struct cidr_list *field)
{
    void *items = NULL;
    size_t count = 0;

    if (!read_list(x, "a list of networks", sizeof(struct cidr), &items, &count, take_list_cidr))
        return false;
    *field = (struct cidr_list){.items = items, .count = count};
    return true;
}

/* ---- the table -------------------------------------------------------------------------------- */

static bool read_value(const struct reading *x, void *field)
{
    switch (x->setting->type) {
    case SET_TEXT:
        return read_text(x, field);
    case SET_URL:
        return settings_read_url(x, field);
    case SET_LISTEN:
        return settings_read_listen(x, field);
    case SET_PATH:
        return settings_read_path(x, field);
    case SET_ADDRESS:
        return read_address(x, field);
    case SET_GUID:
        return read_guid(x, field);
    case SET_WORD:
        return read_word(x, field);
    case SET_BOOL:
        return settings_read_bool(x, field);
    case SET_INT:
        return settings_read_int(x, field);
    case SET_DURATION:
        return settings_read_duration(x, field);
    case SET_SIZE:
        return settings_read_size(x, field);
    case SET_TIME:
        return settings_read_time(x, field);
    case SET_SECRET:
        ((struct secret *)field)->at = x->node;
        return settings_take_secret_file(x, field);
    case SET_SECRET_LIST:
    case SET_PUBLIC_LIST:
        return read_secret_list(x, field);
    case SET_TEXT_LIST:
        return read_text_list(x, field);
    case SET_ADDRESS_LIST:
        return read_address_list(x, field);
    case SET_CIDR_LIST:
        return read_cidr_list(x, field);
    case SET_NODE:
        if (x->node->null) {
            yaml_fault(x->reader->faults, x->node, "%s is empty", x->name);
            return false;
        }
        *(const struct yaml_node **)field = x->node;
        return true;
    }
    assert(!"a setting of unknown type");
    return false;
}

/* Is this how the key is written in the file? */
static bool is_key(const struct setting *s, const char *text)
{
    size_t len = strlen(s->key);

    return strncmp(text, s->key, len) == 0 && strcmp(text + len, settings_suffix(s)) == 0;
}

static const struct yaml_node *find_value(const struct yaml_node *map, const struct setting *s)
{
    for (const struct yaml_node *n = map && map->kind == YAML_MAP ? map->first : NULL; n;
         n = n->next)
        if (is_key(s, n->key->text))
            return n;
    return NULL;
}

/* The key as it is written in the file, for messages. */
static const char *written(const struct settings_reader *r, const struct setting *s)
{
    const char *key =
        *settings_suffix(s) ? arena_fmt(r->arena, "%s%s", s->key, settings_suffix(s)) : s->key;

    return key ? key : s->key;
}

static const char *full_name(const struct settings_reader *r, const char *what, const char *key)
{
    const char *name = what && *what ? arena_fmt(r->arena, "%s.%s", what, key) : key;

    return name ? name : key;
}

static void apply_fallback(const struct settings_reader *reader, const struct setting *s,
                           const char *name, void *field)
{
    const struct yaml_node node = {.kind = YAML_SCALAR, .text = s->fallback};
    const struct reading x = {.reader = reader, .setting = s, .name = name, .node = &node};

    /* There is nothing a file could write for these. */
    assert(s->type != SET_NODE && s->type != SET_SECRET && s->type != SET_SECRET_LIST &&
           s->type != SET_PUBLIC_LIST);
    /* Were it no good, the fault would be noted like any other, only without a place. */
    (void)read_value(&x, field);
}

static void unknown_key(const struct settings_reader *reader, const struct yaml_node *key,
                        const char *what, const struct setting *table)
{
    const struct setting *s;
    const char **words, *near;
    size_t n = 0;

    for (s = table; s->key; s++) {
        if (*settings_suffix(s) && strcmp(key->text, s->key) == 0) {
            yaml_fault(
                reader->faults, key,
                "%s: secrets do not stand in this file; put it into a file of its own and name "
                "that with %s",
                full_name(reader, what, key->text), full_name(reader, what, written(reader, s)));
            return;
        }
        n++;
    }
    if (reader->faults->count >= FAULTS_WORTH_WORDS) {
        yaml_fault(reader->faults, key, "%s: unknown key", key->text);
        return;
    }
    words = arena_array(reader->arena, n + 1, sizeof *words);
    for (size_t i = 0; words && i < n; i++)
        words[i] = written(reader, &table[i]);
    near = words ? yaml_nearest(key->text, words) : NULL;
    if (near)
        yaml_fault(reader->faults, key, "%s: unknown key; did you mean %s?",
                   full_name(reader, what, key->text), full_name(reader, what, near));
    else
        yaml_fault(reader->faults, key, "%s: unknown key; expected one of %s",
                   full_name(reader, what, key->text),
                   words ? join(reader, words) : SETTINGS_NO_MEMORY);
}

void settings_read_key(const struct settings_reader *reader, const struct yaml_node *map,
                       const char *what, const struct setting *row, void *out)
{
    const struct reading x = {.reader = reader,
                              .setting = row,
                              .name = full_name(reader, what, written(reader, row)),
                              .node = find_value(map, row)};
    void *field = (char *)out + row->offset;

    if (row->fallback)
        apply_fallback(reader, row, x.name, field);
    if (x.node)
        (void)read_value(&x, field); /* a fault was noted; the others are read all the same */
    else if (row->required)
        yaml_fault(reader->faults, map && map->key ? map->key : map, "%s is missing%s%s", x.name,
                   row->meaning ? ": " : "", row->meaning ? row->meaning : "");
}

void settings_check_keys(const struct settings_reader *reader, const struct yaml_node *map,
                         const char *what, const struct setting *table)
{
    for (const struct yaml_node *child = map ? map->first : NULL; child; child = child->next) {
        const struct setting *s = table;

        while (s->key && !is_key(s, child->key->text))
            s++;
        if (!s->key)
            unknown_key(reader, child->key, what, table);
    }
}

void settings_read(const struct settings_reader *reader, const struct yaml_node *map,
                   const char *what, const struct setting *table, void *out)
{
    if (map && map->kind != YAML_MAP) {
        yaml_fault(reader->faults, map, "%s: expected a map of settings, found %s",
                   what && *what ? what : "the file", kind_name(map));
        for (const struct setting *s = table; s->key; s++)
            if (s->fallback)
                apply_fallback(reader, s, s->key, (char *)out + s->offset);
        return;
    }
    settings_check_keys(reader, map, what, table);
    for (const struct setting *s = table; s->key; s++)
        settings_read_key(reader, map, what, s, out);
}
