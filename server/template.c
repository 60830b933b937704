/* template.c - see template.h. A template is a chain of pieces: literal text, or a field. */
#include "template.h"

#include <stdio.h>
#include <string.h>

#include "auto.h"
#include "buf.h"
#include "fields.h"
#include "file.h"
#include "utf8.h"
#include "yaml.h"

struct piece {
    struct piece *next;
    const char *text; /* literal; NULL: field */
    const struct field *field;
};

struct template
{
    struct piece *first;
};

static size_t skip_blanks(const char *p)
{
    return strspn(p, " \t");
}

/* How people count: lines and characters, from 1. "character 7", "line 3, character 7", or "body.txt:3:7". */
static const char *place(struct arena *a, const char *path, const char *text, const char *p)
{
    size_t line = 1, column = 1;
    const char *at;

    for (; text < p; text++) {
        column += ((unsigned char)*text & 0xc0) != 0x80;
        if (*text == '\n') {
            line++;
            column = 1;
        }
    }
    at = path       ? arena_fmt(a, "%s:%zu:%zu", path, line, column)
         : line > 1 ? arena_fmt(a, "line %zu, character %zu", line, column)
                    : arena_fmt(a, "character %zu", column);
    return at ? at : "somewhere";
}

static enum err_code add_piece(struct arena *a, struct piece ***end, const char *text, size_t len,
                               const struct field *field, struct err *e)
{
    struct piece *piece;

    if (!field && len == 0)
        return ERR_OK;
    piece = arena_alloc(a, sizeof *piece);
    if (!piece || (!field && !(piece->text = arena_strn(a, text, len))))
        return err_set(e, ERR_NOMEM, "template");
    piece->field = field;
    **end = piece;
    *end = &piece->next;
    return ERR_OK;
}

/* path: where it was read, NULL: it stood in the configuration. */
static enum err_code compile(struct arena *a, const char *path, const char *text,
                             const struct template **ret, struct err *e)
{
    struct template *t = arena_alloc(a, sizeof *t);
    struct piece **end;
    const char *p = text, *open;
    enum err_code code;

    if (!t)
        return err_set(e, ERR_NOMEM, "template");
    if (strlen(text) > TEMPLATE_SOURCE_MAX)
        return err_set(e, ERR_TOO_BIG, "%s%slonger than %d bytes", path ? path : "",
                       path ? ": " : "", TEMPLATE_SOURCE_MAX);
    end = &t->first;
    while ((open = strstr(p, "{{"))) {
        const char *name = open + 2 + skip_blanks(open + 2);
        size_t len = strcspn(name, "{} \t\n");
        const char *close = name + len + skip_blanks(name + len);
        const char *at = place(a, path, text, open);
        char *word = arena_strn(a, name, len);
        const struct field *field;

        if (!word)
            return err_set(e, ERR_NOMEM, "template");
        if (open[2] == '{')
            return err_set(e, ERR_INVALID, "%s: '{{{' means nothing here; write {{field}}", at);
        if (!strstr(name, "}}"))
            return err_set(e, ERR_INVALID, "%s: '{{' without '}}'", at);
        if (len == 0 || strncmp(close, "}}", 2) != 0)
            return err_set(e, ERR_INVALID, "%s: expected one field name between '{{' and '}}'", at);
        field = field_find(word);
        if (!field) {
            char meant[YAML_MEANT_SIZE];

            return err_set(e, ERR_INVALID, "%s: no such field '%.60s'%s", at, word,
                           yaml_meant(field_nearest(word), "; see `cordon fields`", meant));
        }
        if ((code = add_piece(a, &end, p, (size_t)(open - p), NULL, e)) != ERR_OK ||
            (code = add_piece(a, &end, NULL, 0, field, e)) != ERR_OK)
            return code;
        p = close + 2;
    }
    if ((code = add_piece(a, &end, p, strlen(p), NULL, e)) != ERR_OK)
        return code;
    *ret = t;
    return ERR_OK;
}

enum err_code template_compile(struct arena *a, const char *text, const struct template **ret,
                               struct err *e)
{
    return compile(a, NULL, text, ret, e);
}

enum err_code template_load(struct arena *a, const char *path, const struct template **ret,
                            struct err *e)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(TEMPLATE_SOURCE_MAX + 1);
    int error = 0;
    FILE *file = file_open_stream(path, &error);
    char piece[4096];
    bool broken;
    size_t n;

    if (!file)
        return err_set(e, ERR_IO, "%s: %s", path, file_why(error));
    while ((n = fread(piece, 1, sizeof piece, file)) > 0 && !buf_failed(&text))
        buf_add(&text, piece, n);
    broken = ferror(file) != 0;
    (void)fclose(file); /* was only read */
    if (broken)
        return err_set(e, ERR_IO, "%s: cannot be read", path);
    if (buf_failed(&text))
        return err_set(e, ERR_TOO_BIG, "%s: longer than %d bytes", path, TEMPLATE_SOURCE_MAX);
    if (strlen(buf_text(&text)) != text.len)
        return err_set(e, ERR_INVALID, "%s is no text: it holds a NUL", path);
    if (!utf8_is_whole(buf_text(&text)))
        return err_set(e, ERR_INVALID, "%s is no text: it holds bytes that are not UTF-8", path);
    if (strncmp(buf_text(&text), "\xef\xbb\xbf", 3) == 0) /* editors of Windows mark UTF-8 */
        return compile(a, path, buf_text(&text) + 3, ret, e);
    return compile(a, path, buf_text(&text), ret, e);
}

/* A field's values, cleaned, as one text. */
static enum err_code show_field(const struct field *field, const struct facts *f, struct arena *a,
                                const char **ret)
{
    AUTO(buf_clear)
    struct buf joined = BUF_INIT(TEMPLATE_VALUE_MAX + 4); /* one byte over: cut below */
    struct field_value value;

    if (field_read(field, f, a, &value) != ERR_OK)
        return ERR_NOMEM;
    for (size_t i = 0; i < value.count && joined.len <= TEMPLATE_VALUE_MAX; i++) {
        const char *item = field_shown(a, value.items[i].text, TEMPLATE_VALUE_MAX);

        if (!item)
            return ERR_NOMEM;
        buf_adds(&joined, i ? ", " : "");
        /* what is beyond the cut need not be there, but the cut must show */
        buf_add(&joined, item, strnlen(item, joined.limit - joined.len));
    }
    if (buf_failed(&joined) == ERR_NOMEM)
        return ERR_NOMEM;
    *ret = value.missing ? "unknown" : field_shown(a, buf_text(&joined), TEMPLATE_VALUE_MAX);
    return *ret ? ERR_OK : ERR_NOMEM;
}

enum err_code template_expand(const struct template *t, const struct facts *f, struct arena *a,
                              const char **ret)
{
    static const char ellipsis[] = UTF8_ELLIPSIS;
    AUTO(buf_clear) struct buf out = BUF_INIT(TEMPLATE_TEXT_MAX);
    bool cut = false;
    char *text;

    for (const struct piece *p = t->first; p && !cut; p = p->next) {
        const char *piece = p->text;
        size_t len, left = TEMPLATE_TEXT_MAX - out.len;

        if (!piece && show_field(p->field, f, a, &piece) != ERR_OK)
            return ERR_NOMEM;
        len = strlen(piece);
        if (len > left) {
            cut = true;
            len = left;
        }
        buf_add(&out, piece, len);
    }
    if (buf_failed(&out))
        return buf_failed(&out);
    text = arena_str(a, buf_text(&out));
    if (!text)
        return ERR_NOMEM;
    if (cut)
        memcpy(text + utf8_cut(text, TEMPLATE_TEXT_MAX - (sizeof ellipsis - 1)), ellipsis,
               sizeof ellipsis);
    *ret = text;
    return ERR_OK;
}
