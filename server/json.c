/* json.c - see json.h.
 *
 * Reading goes through three hands:
 *   1. scanner  our own (json_scan.c) walks the bytes and refuses all that RFC 8259 does not allow, before a
 *               single byte of memory is asked for. It notes where the numbers are whose digits a
 *               double would not keep.
 *   2. cJSON    builds the tree from bytes that are now known to be plain. All of it lies in one block, whose
 *               size the scanner found: one allocation for a document, and one call gives it back.
 *   3. settle   walks the tree once: hangs the noted digits on their numbers and refuses double member
 *               names, which can only be compared after the escapes are gone.
 * A tree of our own instead of cJSON's would save the walk; cJSON is the project's choice, and its
 * nodes are enough once nothing strange reaches it (library-traps.md, "cJSON 1.7.15").
 *
 * Recursion is bounded by JSON_DEPTH_MAX, or JSON_OWN_DEPTH_MAX, everywhere: the scanner lets nothing deeper through.
 */
#include "json_own.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "id.h"
#include "utf8.h"

/* Up to here comparing every pair of names is faster than sorting them. */
#define PAIRWISE_NAMES 8

/* ---- where a tree lies ------------------------------------------------------------------------ */

_Static_assert(JSON_PIECE % _Alignof(cJSON) == 0, "pieces must be aligned for a node");

/* What cJSON asks for while it builds a tree comes out of the block that its thread fills. What it gives back goes with
 * the block. */
struct block {
    size_t used, room;
    _Alignas(max_align_t) unsigned char bytes[]; /* the root is the first piece */
};

static _Thread_local struct block *filling;

/* NULL: more than was reckoned with. */
static void *take_piece(size_t size)
{
    struct block *b = filling;
    void *p;

    assert(b); /* cJSON builds for json_parse and json_copy alone */
    if (size > b->room - b->used)
        return NULL;
    p = b->bytes + b->used;
    b->used += json_piece_size(size); /* room is a multiple of it, too */
    return p;
}

static void leave_piece(void *p)
{
    (void)p;
}

static void set_hooks(void)
{
    cJSON_Hooks hooks = {.malloc_fn = take_piece, .free_fn = leave_piece};

    cJSON_InitHooks(&hooks);
}

/* From here to fill_end this thread's pieces come from a block of that room; false: no memory. */
static bool fill_begin(size_t room)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, set_hooks);
    assert(!filling);
    filling = malloc(sizeof *filling + room);
    if (filling)
        *filling = (struct block){.room = room};
    return filling != NULL;
}

/* The tree with that root is built, or NULL: none; what it takes is given back then. */
static struct json *fill_end(cJSON *root)
{
    struct block *b = filling;

    filling = NULL;
    if (!root)
        free(b);
    assert(!root || (unsigned char *)root == b->bytes);
    return (struct json *)root;
}

/* ---- settling the tree ------------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum err_code refuse_double(const char *name, struct err *e)
{
    return err_set(e, ERR_INVALID, "the member name '%.60s' stands twice in one object", name);
}

static enum err_code check_names(const cJSON *object, struct err *e)
{
    enum err_code code = ERR_OK;
    const char **names;
    size_t count = 0, i = 0;

    for (const cJSON *c = object->child; c; c = c->next)
        count++;
    if (count <= PAIRWISE_NAMES) {
        for (const cJSON *c = object->child; c; c = c->next)
            for (const cJSON *d = c->next; d; d = d->next)
                if (strcmp(c->string, d->string) == 0)
                    return refuse_double(c->string, e);
        return ERR_OK;
    }
    names = calloc(count, sizeof *names);
    if (!names)
        return err_set(e, ERR_NOMEM, "%zu member names", count);
    for (const cJSON *c = object->child; c; c = c->next)
        names[i++] = c->string;
    qsort(names, count, sizeof *names, compare_names);
    for (i = 1; i < count && !code; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            code = refuse_double(names[i], e);
    free(names);
    return code;
}

/* s->numbers counts the numbers met; *next, in s->kept, is the next one that gets its text. */
static enum err_code settle(cJSON *v, struct json_scan *s, size_t *next, struct err *e)
{
    enum err_code code = ERR_OK;

    if (cJSON_IsNumber(v)) {
        if (*next < s->kept_count && s->kept[*next].ordinal == s->numbers) {
            const struct json_kept *kept = &s->kept[(*next)++];
            char *text = take_piece(kept->len + 1);

            if (!text)
                return err_set(e, ERR_NOMEM, "a number's digits");
            memcpy(text, s->start + kept->offset, kept->len);
            text[kept->len] = '\0';
            v->valuestring = text;
        }
        s->numbers++;
        return ERR_OK;
    }
    if (cJSON_IsObject(v))
        code = check_names(v, e);
    for (cJSON *c = v->child; c && !code; c = c->next)
        code = settle(c, s, next, e);
    return code;
}

/* ---- reading --------------------------------------------------------------------------------- */

static const cJSON *node(const struct json *v)
{
    return (const cJSON *)v;
}

static const struct json *value(const cJSON *v)
{
    return (const struct json *)v;
}

static enum err_code parse(const char *bytes, size_t len, int deepest, struct json **ret_doc,
                           struct err *e)
{
    const unsigned char *start = (const unsigned char *)(len ? bytes : "");
    struct json_scan s = {.start = start, .at = start, .end = start + len, .deepest = deepest};
    enum err_code code = ERR_OK;
    struct json *doc;
    size_t next = 0;
    cJSON *root;

    if (!json_scan(&s)) {
        code = s.code == ERR_NOMEM
                   ? err_set(e, ERR_NOMEM, "the document's numbers")
                   : err_set(e, ERR_INVALID, "offset %zu: %s", (size_t)(s.at - start), s.why);
        free(s.kept);
        return code;
    }
    /* The scanner is the stricter of the two (fuzz_json holds them against each other), so memory is
     * the only reason left to fail. */
    root = fill_begin(s.values * json_piece_size(sizeof(cJSON)) + s.text_room)
               ? cJSON_ParseWithLength((const char *)start, len)
               : NULL;
    s.numbers = 0;
    if (!root)
        code = err_set(e, ERR_NOMEM, "a JSON document of %zu bytes", len);
    else
        code = settle(root, &s, &next, e);
    free(s.kept);
    doc = fill_end(code ? NULL : root);
    if (!code)
        *ret_doc = doc;
    return code;
}

/* What a copy of the tree at v takes. */
static size_t tree_room(const cJSON *v)
{
    size_t room = json_piece_size(sizeof *v);

    if (v->string)
        room += json_piece_size(strlen(v->string) + 1);
    if (v->valuestring)
        room += json_piece_size(strlen(v->valuestring) + 1);
    for (const cJSON *c = v->child; c; c = c->next)
        room += tree_room(c);
    return room;
}

struct json *json_copy(const struct json *v)
{
    return fill_end(fill_begin(tree_room(node(v))) ? cJSON_Duplicate(node(v), true) : NULL);
}

enum err_code json_parse(const char *bytes, size_t len, struct json **ret_doc, struct err *e)
{
    return parse(bytes, len, JSON_DEPTH_MAX, ret_doc, e);
}

enum err_code json_parse_own(const char *bytes, size_t len, struct json **ret_doc, struct err *e)
{
    return parse(bytes, len, JSON_OWN_DEPTH_MAX, ret_doc, e);
}

void json_free(struct json *doc)
{
    if (doc)
        free((unsigned char *)doc - offsetof(struct block, bytes));
}

enum json_type json_type(const struct json *v)
{
    const cJSON *n = node(v);

    if (!n)
        return JSON_ABSENT;
    switch (n->type & 0xff) { /* the rest are flags */
    case cJSON_NULL:
        return JSON_NULL;
    case cJSON_False:
    case cJSON_True:
        return JSON_BOOL;
    case cJSON_Number:
        return JSON_NUMBER;
    case cJSON_String:
        return JSON_STRING;
    case cJSON_Array:
        return JSON_ARRAY;
    case cJSON_Object:
        return JSON_OBJECT;
    default:
        return JSON_ABSENT;
    }
}

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {
        [JSON_ABSENT] = "nothing",   [JSON_NULL] = "null",       [JSON_BOOL] = "true or false",
        [JSON_NUMBER] = "a number",  [JSON_STRING] = "a string", [JSON_ARRAY] = "an array",
        [JSON_OBJECT] = "an object",
    };

    return (unsigned)type < sizeof names / sizeof *names ? names[type] : "?";
}

const struct json *json_get(const struct json *v, const char *name)
{
    return json_type(v) == JSON_OBJECT ? value(cJSON_GetObjectItemCaseSensitive(node(v), name))
                                       : NULL;
}

const struct json *json_path(const struct json *v, ...)
{
    const char *name;
    va_list ap;

    va_start(ap, v);
    while (v && (name = va_arg(ap, const char *)))
        v = json_get(v, name);
    va_end(ap);
    return v;
}

size_t json_count(const struct json *v)
{
    size_t count = 0;

    JSON_EACH (c, v)
        count++;
    return count;
}

const struct json *json_first(const struct json *v)
{
    return v ? value(node(v)->child) : NULL; /* only arrays and objects have one */
}

const struct json *json_next(const struct json *child)
{
    return child ? value(node(child)->next) : NULL;
}

const char *json_name(const struct json *child)
{
    return child ? node(child)->string : NULL;
}

const char *json_string(const struct json *v)
{
    return json_type(v) == JSON_STRING ? node(v)->valuestring : NULL;
}

const char *json_get_string(const struct json *v, const char *name)
{
    return json_string(json_get(v, name));
}

bool json_is_true(const struct json *v)
{
    return v && cJSON_IsTrue(node(v));
}

/* The integer that a number's text stands for, digit by digit: 9007199254740993, 1.50e1 and -0 are
 * integers, 1.5 is none, and neither is what 64 bits cannot hold. text: of JSON's grammar. */
static bool exact_int64(const char *text, int64_t *ret)
{
    char digits[JSON_NUMBER_MAX + 1];
    bool negative = *text == '-';
    size_t count = 0;
    int64_t scale = 0, n = 0; /* the number is digits * 10^scale */
    const char *p = text + negative;

    for (; json_is_digit((unsigned char)*p); p++)
        digits[count++] = *p;
    if (*p == '.')
        for (p++; json_is_digit((unsigned char)*p); p++, scale--)
            digits[count++] = *p;
    if (*p == 'e' || *p == 'E') {
        int64_t power = 0;
        bool down = p[1] == '-';

        for (p += p[1] == '-' || p[1] == '+' ? 2 : 1; json_is_digit((unsigned char)*p); p++)
            if (power < 10000) /* beyond any scale that could still matter */
                power = power * 10 + (*p - '0');
        scale += down ? -power : power;
    }
    for (; count && digits[count - 1] == '0'; count--)
        scale++;
    if (count && scale < 0)
        return false;
    for (size_t i = 0; i < count + (count ? (size_t)scale : 0); i++) {
        int digit = i < count ? digits[i] - '0' : 0;

        /* counted downwards: the negative side reaches one further */
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_sub_overflow(n, digit, &n))
            return false;
    }
    if (!negative && __builtin_sub_overflow(0, n, &n))
        return false;
    *ret = n;
    return true;
}

bool json_int64(const struct json *v, int64_t *ret)
{
    if (json_type(v) != JSON_NUMBER)
        return false;
    if (node(v)->valuestring)
        return exact_int64(node(v)->valuestring, ret);
    *ret = (int64_t)node(v)->valuedouble; /* at most JSON_PLAIN_DIGITS digits */
    return true;
}

int64_t json_get_int64(const struct json *v, const char *name, int64_t otherwise)
{
    int64_t n;

    return json_int64(json_get(v, name), &n) ? n : otherwise;
}

bool json_int64_lax(const struct json *v, int64_t *ret)
{
    const char *text = json_string(v);
    size_t digits;

    if (!text)
        return json_int64(v, ret);
    digits = strspn(text + (*text == '-'), "0123456789");
    if (digits == 0 || digits > 19 || text[(*text == '-') + digits] != '\0')
        return false;
    return exact_int64(text, ret);
}

bool json_double(const struct json *v, double *ret)
{
    if (json_type(v) != JSON_NUMBER || !isfinite(node(v)->valuedouble))
        return false;
    *ret = node(v)->valuedouble;
    return true;
}

/* The UTF-16 unit of an escape \uXXXX that at is the backslash of; -1 when it is none. */
static int escaped_unit(const char *at)
{
    int unit = 0;

    if (at[0] != '\\' || at[1] != 'u')
        return -1;
    for (const char *p = at + 2; p < at + 6; p++) {
        if (!*p || !strchr("0123456789abcdefABCDEF", *p))
            return -1;
        unit = unit << 4 | (*p <= '9' ? *p - '0' : (*p | 0x20) - 'a' + 10);
    }
    return unit;
}

void json_mend(char *body)
{
    for (char *at = body; (at = strchr(at, '\\')) != NULL;) { /* within strings only */
        int unit = escaped_unit(at), next = unit < 0 ? -1 : escaped_unit(at + 6);
        bool pair = unit >= 0xd800 && unit <= 0xdbff && next >= 0xdc00 && next <= 0xdfff;

        if (unit == 0 || (unit >= 0xd800 && unit <= 0xdfff && !pair))
            memcpy(at + 2, "fffd", 4);
        at += pair ? 12 : unit >= 0 ? 6 : at[1] ? 2 : 1;
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The controls that DEL and C1 are (U+0080 to U+009F), and what turns a line round or ends it: JSON asks for no escape of
 * them, but a terminal that shows a log line or an answer of the API would obey. */
static bool is_obeyed(uint32_t c)
{
    return (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* Quoted and escaped. */
static void add_quoted(struct buf *out, const char *text, size_t len)
{
    static const char brief[] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r',
                                 ['\t'] = 't', ['"'] = '"',  ['\\'] = '\\'};
    static const bool stands[256] = {
        [' '] = true, ['!'] = true, ['#' ... '['] = true, [']' ... '~'] = true};
    const unsigned char *p = (const unsigned char *)text, *end = p + len, *plain = p;

    buf_addc(out, '"');
    p += json_plain_run(p, len);
    while (p < end) {
        uint32_t c = *p;
        size_t n = 1;

        if (stands[*p]) {
            p++;
            continue;
        }
        if (*p >= 0x80 && (n = utf8_read((const char *)p, (size_t)(end - p), &c)) > 0 &&
            !is_obeyed(c)) {
            p += n;
            continue;
        }
        buf_add(out, plain, (size_t)(p - plain));
        if (n == 0 || *p == '\0') /* what json_parse would refuse to read back */
            buf_adds(out, "\xef\xbf\xbd");
        else if (*p < sizeof brief && brief[*p])
            buf_add(out, (char[]){'\\', brief[*p]}, 2);
        else
            buf_addf(out, "\\u%04x", (unsigned)c);
        p += n ? n : 1;
        plain = p;
    }
    buf_add(out, plain, (size_t)(p - plain));
    buf_addc(out, '"');
}

static void write_node(struct buf *out, const cJSON *v)
{
    switch (v->type & 0xff) {
    case cJSON_False:
        buf_adds(out, "false");
        return;
    case cJSON_True:
        buf_adds(out, "true");
        return;
    case cJSON_Number:
        if (v->valuestring)
            buf_adds(out, v->valuestring);
        else
            buf_addf(out, "%" PRId64, (int64_t)v->valuedouble); /* an integer: see scan_number */
        return;
    case cJSON_String:
        add_quoted(out, v->valuestring, strlen(v->valuestring));
        return;
    case cJSON_Array:
    case cJSON_Object: {
        bool object = cJSON_IsObject(v);

        buf_addc(out, object ? '{' : '[');
        for (const cJSON *c = v->child; c; c = c->next) {
            if (c != v->child)
                buf_addc(out, ',');
            if (object) {
                add_quoted(out, c->string, strlen(c->string));
                buf_addc(out, ':');
            }
            write_node(out, c);
        }
        buf_addc(out, object ? '}' : ']');
        return;
    }
    default:
        buf_adds(out, "null");
    }
}

void json_write(struct buf *out, const struct json *v)
{
    if (v)
        write_node(out, node(v));
    else
        buf_adds(out, "null");
}

/* What stands before a value: a comma when one is due, the member's name when there is one. */
static void begin(struct json_out *o, const char *name)
{
    if (o->comma)
        buf_addc(o->buf, ',');
    o->comma = true;
    if (name) {
        add_quoted(o->buf, name, strlen(name));
        buf_addc(o->buf, ':');
    }
}

void json_out_object(struct json_out *o, const char *name)
{
    begin(o, name);
    buf_addc(o->buf, '{');
    o->comma = false;
}

void json_out_object_end(struct json_out *o)
{
    buf_addc(o->buf, '}');
    o->comma = true;
}

void json_out_array(struct json_out *o, const char *name)
{
    begin(o, name);
    buf_addc(o->buf, '[');
    o->comma = false;
}

void json_out_array_end(struct json_out *o)
{
    buf_addc(o->buf, ']');
    o->comma = true;
}

void json_out_string(struct json_out *o, const char *name, const char *text)
{
    if (text)
        json_out_stringn(o, name, text, strlen(text));
    else
        json_out_null(o, name);
}

void json_out_stringn(struct json_out *o, const char *name, const char *text, size_t len)
{
    begin(o, name);
    add_quoted(o->buf, len ? text : "", len);
}

void json_out_int(struct json_out *o, const char *name, int64_t number)
{
    begin(o, name);
    buf_addi(o->buf, number);
}

void json_out_bool(struct json_out *o, const char *name, bool yes)
{
    begin(o, name);
    buf_adds(o->buf, yes ? "true" : "false");
}

void json_out_null(struct json_out *o, const char *name)
{
    begin(o, name);
    buf_adds(o->buf, "null");
}

void json_out_time(struct json_out *o, const char *name, int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE];

    json_out_string(o, name, wall_ms ? clock_format(wall_ms, text) : NULL);
}

void json_out_id(struct json_out *o, const char *name, int64_t id)
{
    char text[ID_TEXT_SIZE];

    json_out_string(o, name, id ? id_format(id, text) : NULL);
}

void json_out_value(struct json_out *o, const char *name, const struct json *v)
{
    begin(o, name);
    json_write(o->buf, v);
}

void json_out_raw(struct json_out *o, const char *name, const char *json_text)
{
    begin(o, name);
    buf_adds(o->buf, json_text ? json_text : "null");
}
