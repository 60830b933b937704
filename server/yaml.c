/* yaml.c - see yaml.h.
 *
 * The tree is built from libfyaml's events, not from its document: the document resolves aliases (a
 * small file can take gigabytes), compares every key of a map with every other, and its parser recurses.
 * Events cost memory in proportion to the file, and refusing an alias is then one line.
 *
 * libfyaml 0.7 cuts a scalar short at a NUL or at a byte that is not UTF-8 and says nothing, and loops
 * for ever in some directives (%…): so the bytes are checked before it sees them. It gives no mark for
 * empty scalars, the mark behind the opening character for quoted ones, anchors and aliases, and that of
 * the first line of content for block ones; places are mended here. It loses a little memory on some
 * faults, and does not survive an allocation that fails (fy_parser_set_string writes through NULL): a file
 * is read seldom, and whoever is that short of memory has no configuration anyway.
 */
#include "yaml.h"

#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auto.h"
#include "utf8.h"

#define YAML_BYTES_MAX (1024 * 1024) /* yaml.h; people write files of a few KiB */
#define YAML_NODES_MAX 100000        /* yaml.h */
#define YAML_DEPTH_MAX 64            /* nested any/all/not conditions of a policy stay far below */
#define FAULTS_KEPT    100           /* yaml.h */

struct place {
    size_t pos; /* bytes from the start of the text */
    unsigned line, column;
};

struct level {
    struct yaml_node *node, *last; /* a list or map, and its newest child */
    struct yaml_node *key;         /* the key that waits for its value */
};

struct builder {
    struct arena *arena;
    struct yaml_faults *faults;
    const char *file, *text;
    size_t len;
    struct place at; /* the end of what was read last: empty scalars stand here */
    struct yaml_node *root;
    struct level stack[YAML_DEPTH_MAX];
    size_t depth, nodes;
    unsigned documents;
    enum err_code stop; /* no sense in reading on */
};

/* ---- faults ---------------------------------------------------------------------------------- */

void yaml_faults_init(struct yaml_faults *f, struct arena *a)
{
    *f = (struct yaml_faults){.arena = a};
    f->end = &f->first;
}

__attribute__((format(printf, 5, 0))) static void fault_v(struct yaml_faults *f, const char *file,
                                                          unsigned line, unsigned column,
                                                          const char *fmt, va_list ap)
{
    struct yaml_fault *fault;
    char *text = NULL;
    va_list again;
    int len;

    f->count++;
    if (f->count > FAULTS_KEPT)
        return;
    va_copy(again, ap);
    len = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    fault = arena_alloc(f->arena, sizeof *fault);
    if (len >= 0)
        text = arena_alloc(f->arena, (size_t)len + 1);
    if (text)
        (void)vsnprintf(text, (size_t)len + 1, fmt, ap); /* measured above */
    if (!fault)
        return;                        /* the count says that something is wrong */
    for (char *p = text; p && *p; p++) /* what a file writes as "\e[2J" does not reach a terminal */
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    fault->text = text ? text : "out of memory";
    /* The file's name is copied: faults outlive the tree they speak of. */
    fault->file = f->first && file && f->first->file && strcmp(f->first->file, file) == 0
                      ? f->first->file
                      : (file ? arena_str(f->arena, file) : NULL);
    fault->line = line;
    fault->column = column;
    *f->end = fault;
    f->end = &fault->next;
}

void yaml_fault(struct yaml_faults *f, const struct yaml_node *at, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fault_v(f, at ? at->file : NULL, at ? at->line : 0, at ? at->column : 0, fmt, ap);
    va_end(ap);
}

void yaml_fault_write(struct buf *out, const struct yaml_fault *fault)
{
    if (fault->file && fault->line)
        buf_addf(out, "%s:%u:%u: ", fault->file, fault->line, fault->column);
    else if (fault->file)
        buf_addf(out, "%s: ", fault->file);
    buf_adds(out, fault->text);
}

static int by_place(const void *a, const void *b)
{
    const struct yaml_fault *x = *(struct yaml_fault *const *)a,
                            *y = *(struct yaml_fault *const *)b;
    int files = strcmp(x->file ? x->file : "", y->file ? y->file : "");

    if (files)
        return files;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return strcmp(x->text, y->text);
}

void yaml_faults_sort(struct yaml_faults *f)
{
    struct yaml_fault *list[FAULTS_KEPT];
    size_t n = 0;

    for (struct yaml_fault *x = f->first; x && n < FAULTS_KEPT; x = x->next)
        list[n++] = x;
    qsort(list, n, sizeof list[0], by_place);
    f->end = &f->first;
    for (size_t i = 0; i < n; i++) {
        *f->end = list[i];
        f->end = &list[i]->next;
    }
    *f->end = NULL;
}

__attribute__((format(printf, 3, 4))) static void fault_at(struct builder *b, struct place at,
                                                           const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fault_v(b->faults, b->file, at.line, at.column, fmt, ap);
    va_end(ap);
}

/* A fault after which nothing that follows can be trusted. */
static void stop_at(struct builder *b, enum err_code code, struct place at, const char *text)
{
    fault_at(b, at, "%s", text);
    b->stop = code;
}

/* ---- nearest word ---------------------------------------------------------------------------- */

#define WORD_MAX 64 /* longer ones are no slip of the finger */

static char folded(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c == '-' ? '_' : c;
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b; case and - or _ cost nothing. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2], *spare;

    for (size_t j = 0; j <= b_len; j++)
        before[j] = above[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            char x = folded(a[i - 1]), y = folded(b[j - 1]);
            size_t best = above[j - 1] + (x != y);

            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && x == folded(b[j - 2]) && y == folded(a[i - 2]) &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[b_len];
}

/* "cert_file" for certificate_file: does each part of word begin the part of whole that stands in its place? */
static bool shortens(const char *word, const char *whole)
{
    for (;; word++, whole++) {
        size_t n = strcspn(word, "_-"), of = strcspn(whole, "_-");

        if (n == 0 || n > of || distance(word, n, whole, n) > 0)
            return false;
        word += n;
        whole += of;
        if (!*word || !*whole)
            return !*word && !*whole;
    }
}

/* The one word of the list that word is the beginning of, or shortens, or NULL: where a word was cut short, edits say
 * nothing. */
static const char *begun(const char *word, size_t len, const char *const *list)
{
    const char *found = NULL;

    if (len < 3)
        return NULL;
    for (; *list; list++) {
        if (strnlen(*list, len + 1) <= len ||
            (distance(word, len, *list, len) > 0 && !shortens(word, *list)))
            continue;
        if (found)
            return NULL;
        found = *list;
    }
    return found;
}

const char *yaml_nearest(const char *word, const char *const *list)
{
    size_t len = strnlen(word, WORD_MAX + 1), nearest = WORD_MAX;
    const char *found = NULL, *whole = NULL;

    if (len == 0 || len > WORD_MAX)
        return NULL;
    whole = begun(word, len, list);
    for (; *list; list++) {
        size_t other = strnlen(*list, WORD_MAX + 1), edits;

        if (other > WORD_MAX)
            continue;
        edits = distance(word, len, *list, other);
        if (edits <= (len > other ? len : other) / 3 && edits < nearest) {
            nearest = edits;
            found = *list;
        }
    }
    return whole && nearest > 1 ? whole : found;
}

const char *yaml_meant(const char *near, const char *otherwise, char out[YAML_MEANT_SIZE])
{
    if (!near)
        return otherwise;
    (void)snprintf(out, YAML_MEANT_SIZE, "; did you mean %s?", near); /* what has no room is cut */
    return out;
}

/* ---- the bytes ------------------------------------------------------------------------------- */

/* Moves over one character. */
static void step(const struct builder *b, struct place *p)
{
    char c = b->text[p->pos];

    if (c == '\n' || (c == '\r' && !(p->pos + 1 < b->len && b->text[p->pos + 1] == '\n'))) {
        p->line++;
        p->column = 1;
        p->pos++;
        return;
    }
    do
        p->pos++;
    while (p->pos < b->len && ((unsigned char)b->text[p->pos] & 0xc0) == 0x80);
    p->column++;
}

/* What libfyaml would pass over in silence, or never come back from. */
static void check_bytes(struct builder *b)
{
    struct place p = {.line = 1, .column = 1};

    while (p.pos < b->len) {
        unsigned char c = (unsigned char)b->text[p.pos];

        if (utf8_read(b->text + p.pos, b->len - p.pos, NULL) == 0) {
            stop_at(b, ERR_INVALID, p, "bytes that are not UTF-8");
            return;
        }
        if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) {
            fault_at(b, p, "a control character (0x%02x)", c);
            b->stop = ERR_INVALID;
            return;
        }
        if (c == '%' && p.column == 1) {
            stop_at(b, ERR_INVALID, p,
                    "directives (%NAME) are not supported: no line begins with %");
            return;
        }
        step(b, &p);
    }
}

/* ---- the tree -------------------------------------------------------------------------------- */

static struct place place_of(const struct fy_mark *m)
{
    return (struct place){
        .pos = m->input_pos, .line = (unsigned)m->line + 1, .column = (unsigned)m->column + 1};
}

/* The same for what begins with a character (a quote, & or *) that libfyaml's mark leaves out. */
static struct place place_before(const struct fy_mark *m)
{
    struct place p = place_of(m);

    if (p.column > 1) {
        p.column--;
        p.pos--;
    }
    return p;
}

/* Where a block scalar's | or > stands: behind what was read last, over blanks and comments. */
static struct place find_block(const struct builder *b)
{
    struct place p = b->at;

    while (p.pos < b->len && b->text[p.pos] != '|' && b->text[p.pos] != '>') {
        if (b->text[p.pos] == '#')
            while (p.pos < b->len && b->text[p.pos] != '\n' && b->text[p.pos] != '\r')
                step(b, &p);
        else
            step(b, &p);
    }
    return p.pos < b->len ? p : b->at;
}

/* An anchor or a tag on a node. */
static void refuse_properties(struct builder *b, struct fy_event *event)
{
    struct fy_token *anchor = fy_event_get_anchor_token(event),
                    *tag = fy_event_get_tag_token(event);

    if (anchor)
        fault_at(
            b, place_before(fy_token_start_mark(anchor)),
            "anchors (&name) are not supported: write the value out where it is needed; a text that "
            "begins with & needs quotes");
    if (tag)
        fault_at(b, place_of(fy_token_start_mark(tag)),
                 "tags (!name) are not supported; a text that begins with ! needs quotes");
}

/* Puts a node where it belongs; a scalar in a map may be a key. */
static struct yaml_node *add_node(struct builder *b, enum yaml_kind kind, struct place at)
{
    struct level *top = b->depth ? &b->stack[b->depth - 1] : NULL;
    struct yaml_node *n;

    if (++b->nodes > YAML_NODES_MAX) {
        stop_at(b, ERR_TOO_BIG, at, "more than 100000 values in one file");
        return NULL;
    }
    n = arena_alloc(b->arena, sizeof *n);
    if (!n) {
        b->stop = ERR_NOMEM;
        return NULL;
    }
    n->kind = kind;
    n->file = b->file;
    n->line = at.line;
    n->column = at.column;
    n->text = "";
    if (!top) {
        b->root = n;
    } else if (top->node->kind == YAML_MAP && !top->key) {
        if (kind != YAML_SCALAR) {
            stop_at(b, ERR_INVALID, at,
                    "a key must be a word (a text that begins with { or [ needs quotes: "
                    "\"{{field}}\")");
            return NULL;
        }
        top->key = n;
    } else {
        n->key = top->key;
        top->key = NULL;
        if (top->last)
            top->last->next = n;
        else
            top->node->first = n;
        top->last = n;
        top->node->count++;
    }
    return n;
}

static bool is_null(const char *text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"}; /* YAML 1.2 core schema */

    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++)
        if (strcmp(text, nulls[i]) == 0)
            return true;
    return false;
}

/* Where a scalar begins; NULL when nothing is written. libfyaml 0.8 has a mark, behind
 * the colon, for what is not there. */
static const struct fy_mark *mark_of(struct fy_token *token)
{
    size_t len = 0;

    if (fy_token_scalar_style(token) == FYSS_PLAIN && fy_token_get_text(token, &len) && len == 0)
        return NULL;
    return fy_token_start_mark(token);
}

static void add_scalar(struct builder *b, struct fy_token *token)
{
    const struct fy_mark *mark = mark_of(token);
    enum fy_scalar_style style = fy_token_scalar_style(token);
    struct level *top = b->depth ? &b->stack[b->depth - 1] : NULL;
    bool is_key = top && top->node->kind == YAML_MAP && !top->key;
    struct place at = b->at;
    struct yaml_node *n;
    const char *text;
    size_t len = 0;

    if (style == FYSS_LITERAL || style == FYSS_FOLDED)
        at = find_block(b);
    else if (mark)
        at = style == FYSS_PLAIN ? place_of(mark) : place_before(mark);
    if (!mark && top && top->key) {
        at.line = top->key->line; /* nothing is written: the key is all there is to point at */
        at.column = top->key->column;
    }

    n = add_node(b, YAML_SCALAR, at);
    if (!n)
        return;
    n->quoted = mark && style != FYSS_PLAIN;
    text = mark ? fy_token_get_text(token, &len) : "";
    if (!text) {
        b->stop = ERR_NOMEM;
        return;
    }
    if (memchr(text, '\0', len))
        fault_at(b, at, "a text may not hold a zero byte");
    n->text = arena_strn(b->arena, text, len);
    if (!n->text) {
        b->stop = ERR_NOMEM;
        return;
    }
    n->null = !n->quoted && is_null(n->text);
    if (is_key && !n->quoted && strcmp(n->text, "<<") == 0)
        fault_at(b, at, "merge keys (<<) are not supported: write the settings out");
    else if (is_key && n->text[0] == '\0')
        fault_at(b, at, "a key is missing before ':'");
    if (n->null && !is_key)
        n->text = "";
}

static void open_container(struct builder *b, enum yaml_kind kind, const struct fy_mark *mark)
{
    struct place at = mark ? place_of(mark) : b->at;
    struct yaml_node *n = add_node(b, kind, at);

    if (!n)
        return;
    if (b->depth == YAML_DEPTH_MAX) {
        stop_at(b, ERR_TOO_BIG, at, "nested more than 64 levels deep");
        return;
    }
    b->stack[b->depth++] = (struct level){.node = n};
}

static int by_key(const void *a, const void *b)
{
    const struct yaml_node *x = (*(struct yaml_node *const *)a)->key;
    const struct yaml_node *y = (*(struct yaml_node *const *)b)->key;
    int order = strcmp(x->text, y->text);

    if (order)
        return order;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return x->column < y->column ? -1 : x->column > y->column;
}

/* Sorts the keys rather than comparing each with each: a file may hold fifty thousand of them. */
static void refuse_double_keys(struct builder *b, const struct yaml_node *map)
{
    AUTO(auto_free) struct yaml_node **list = NULL;
    size_t n = 0;

    if (map->count < 2)
        return;
    list = malloc(map->count * sizeof *list);
    if (!list) {
        b->stop = ERR_NOMEM;
        return;
    }
    for (struct yaml_node *child = map->first; child; child = child->next)
        list[n++] = child;
    qsort(list, n, sizeof *list, by_key);
    for (size_t i = 1; i < n; i++) {
        const struct yaml_node *key = list[i]->key;

        if (strcmp(list[i - 1]->key->text, key->text) == 0)
            yaml_fault(b->faults, key, "the key '%s' is here twice, first in line %u", key->text,
                       list[i - 1]->key->line);
    }
}

static void close_container(struct builder *b)
{
    const struct yaml_node *n = b->stack[--b->depth].node;

    if (n->kind == YAML_MAP)
        refuse_double_keys(b, n);
}

static void take_event(struct builder *b, struct fy_event *event)
{
    const struct fy_mark *start = fy_event_start_mark(event), *end;

    switch (event->type) {
    case FYET_DOCUMENT_START:
        if (++b->documents > 1)
            stop_at(b, ERR_INVALID, start ? place_of(start) : b->at,
                    "a second document begins here: one file holds one");
        break;
    case FYET_ALIAS:
        fault_at(
            b, start ? place_before(start) : b->at,
            "aliases (*name) are not supported: write the value out where it is needed; a text that "
            "begins with * needs quotes: \"*.example\"");
        (void)add_node(b, YAML_SCALAR,
                       start ? place_of(start) : b->at); /* so that the rest is read */
        break;
    case FYET_SCALAR:
        refuse_properties(b, event);
        add_scalar(b, event->scalar.value);
        break;
    case FYET_SEQUENCE_START:
        refuse_properties(b, event);
        open_container(b, YAML_LIST, start);
        break;
    case FYET_MAPPING_START:
        refuse_properties(b, event);
        open_container(b, YAML_MAP, start);
        break;
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        close_container(b);
        break;
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_END:
        break;
    }
    end = fy_event_end_mark(event);
    if (end && end->input_pos <= b->len)
        b->at = place_of(end);
}

/* ---- libfyaml's own words --------------------------------------------------------------------- */

static void keep_quiet(struct fy_diag *diag, void *user, const char *bytes, size_t len)
{
    (void)diag, (void)user, (void)bytes, (void)len; /* what it says is collected instead */
}

/* Does something like [::]:8443 begin at p, without quotes? */
static bool is_bare_address(const struct builder *b, size_t p)
{
    static const char letters[] = "0123456789abcdefABCDEF:.";
    bool quoted = p > 0 && (b->text[p - 1] == '"' || b->text[p - 1] == '\'');
    size_t end = p + 1, colons = 0;

    if (b->text[p] != '[' || quoted)
        return false;
    for (; end < b->len && memchr(letters, b->text[end], sizeof letters - 1); end++)
        colons += b->text[end] == ':';
    return colons > 1 && end + 1 < b->len && b->text[end] == ']' && b->text[end + 1] == ':';
}

static bool has_bare_address(const struct builder *b, unsigned line)
{
    struct place p = {.line = 1, .column = 1};

    for (; p.pos < b->len && p.line <= line; step(b, &p))
        if (p.line == line && is_bare_address(b, p.pos))
            return true;
    return false;
}

static void note_diagnostics(struct builder *b, struct fy_diag *diag)
{
    const struct fy_diag_error *x;
    void *previous = NULL;

    while ((x = fy_diag_errors_iterate(diag, &previous))) {
        struct place at = {.line = x->line > 0 ? (unsigned)x->line : 1,
                           .column = x->column > 0 ? (unsigned)x->column : 1};

        fault_at(b, at, "not YAML: %s%s", x->msg,
                 has_bare_address(b, at.line)
                     ? "; an address that begins with [ needs quotes: \"[::]:8443\""
                     : "");
    }
}

static void diag_freep(struct fy_diag **diag)
{
    fy_diag_destroy(*diag);
}

static void parser_freep(struct fy_parser **parser)
{
    fy_parser_destroy(*parser);
}

static enum err_code parse(struct builder *b)
{
    struct fy_diag_cfg quiet;
    struct fy_parse_cfg options = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_JSON_NONE |
                                            FYPCF_DISABLE_MMAP_OPT};
    AUTO(diag_freep) struct fy_diag *diag = NULL;
    AUTO(parser_freep) struct fy_parser *parser = NULL;
    struct fy_event *event;

    fy_diag_cfg_default(&quiet);
    quiet.fp = NULL;
    quiet.output_fn = keep_quiet;
    quiet.colorize = false;
    diag = fy_diag_create(&quiet);
    if (!diag)
        return ERR_NOMEM;
    fy_diag_set_collect_errors(diag, true);
    options.diag = diag;
    parser = fy_parser_create(&options);
    if (!parser || fy_parser_set_string(parser, b->text, b->len) != 0)
        return ERR_NOMEM;
    while (!b->stop && (event = fy_parser_parse(parser))) {
        take_event(b, event);
        fy_parser_event_free(parser, event);
    }
    if (b->stop)
        return b->stop;
    note_diagnostics(b, diag);
    if (fy_parser_get_stream_error(parser) && b->faults->count == 0)
        fault_at(b, b->at, "not YAML");
    return ERR_OK;
}

enum err_code yaml_read_all(struct arena *a, const char *file, const char *text, size_t len,
                            struct yaml_faults *faults, struct yaml_node **ret_root)
{
    struct builder b = {.arena = a, .faults = faults, .text = text, .len = len};
    size_t faults_before = faults->count;
    enum err_code code;

    b.at = (struct place){.line = 1, .column = 1};
    b.file = arena_str(a, file);
    if (!b.file)
        return ERR_NOMEM;
    if (len > YAML_BYTES_MAX) {
        fault_at(&b, b.at, "the file is larger than 1 MiB");
        return ERR_TOO_BIG;
    }
    if (len >= 3 &&
        memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark, as some editors write */
        b.text += 3;
        b.len -= 3;
    }
    check_bytes(&b);
    if (b.stop)
        return b.stop;
    if (b.len) {
        code = parse(&b);
        if (code)
            return code;
    }
    if (faults->count == faults_before &&
        (!b.root || (b.root->kind == YAML_SCALAR && b.root->null)))
        fault_at(&b, (struct place){.line = 1, .column = 1}, "the file is empty");
    if (faults->count != faults_before)
        return ERR_INVALID;
    *ret_root = b.root;
    return ERR_OK;
}

enum err_code yaml_read(struct arena *a, const char *file, const char *text, size_t len,
                        struct yaml_node **ret_root, struct err *e)
{
    AUTO(buf_clear) struct buf line = BUF_INIT(4096);
    struct yaml_faults faults;
    enum err_code code;

    yaml_faults_init(&faults, a);
    code = yaml_read_all(a, file, text, len, &faults, ret_root);
    if (!code)
        return ERR_OK;
    if (!faults.first)
        return err_set(e, code, "%s: %s", file, code == ERR_NOMEM ? "out of memory" : "not YAML");
    yaml_faults_sort(&faults);
    yaml_fault_write(&line, faults.first);
    return err_set(e, code, "%s", buf_text(&line));
}

struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    if (!map || map->kind != YAML_MAP)
        return NULL;
    for (struct yaml_node *child = map->first; child; child = child->next)
        if (strcmp(child->key->text, key) == 0)
            return child;
    return NULL;
}
