/* match.c - see match.h: judging, and telling what came of it.
 *
 * A condition is a tree: ALL, ANY and NOT over tests of one field. Judging walks the whole tree without
 * short cuts, because every predicate belongs into the explanation. A child that came out otherwise than its node
 * did not decide it, and its range of tests loses the mark `decisive`. What is left at the end is why.
 */
#include "match.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "match_tree.h"
#include "utf8.h"

#define DOUBT_VALUE_MAX 64 /* bytes of a foreign value inside a sentence */
#define DOUBTS_MAX      4  /* sentences; more do not help anybody */
#define HITS_MAX        8  /* elements in a reason; of more it says how many */

/* ---- judging ----------------------------------------------------------------------------------- */

struct judge {
    const struct facts *facts;
    int64_t now_ms;
    struct arena *arena;
    pcre2_match_data *scratch;
    pcre2_match_context *limits;
    struct predicate *predicates;
    bool nomem;
    /* of the test at hand */
    const char *obstacle; /* why a pattern could not be judged */
    bool gave_up;         /* a limit was met: its other values are not tried, so that the time for a
                             test does not grow with the length of a hostile list */
};

static enum truth truth_of(bool holds)
{
    return holds ? TRUTH_TRUE : TRUTH_FALSE;
}

static enum truth negate(enum truth t)
{
    return TRUTH_TRUE - t;
}

/* What shows as nothing at the ends of a text: control characters, the blanks of Unicode, and the marks without a width that a
 * text copied out of a page or a dialog brings along. */
static bool is_blank(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } blanks[] = {{0x01, 0x20},     {0x7f, 0xa0},     {0x1680, 0x1680},
                  {0x2000, 0x200f}, {0x2028, 0x202f}, {0x205f, 0x2060},
                  {0x2066, 0x2069}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};

    for (size_t i = 0; i < sizeof blanks / sizeof *blanks && c >= blanks[i].first; i++)
        if (c <= blanks[i].last)
            return true;
    return false;
}

size_t match_trim(const char **text)
{
    uint32_t c = 0;
    size_t len, n;

    while ((n = utf8_read(*text, SIZE_MAX, &c)) && is_blank(c))
        *text += n;
    for (len = strlen(*text); len; len -= n) {
        n = len - utf8_cut(*text, len - 1); /* bytes of the last character */
        if (utf8_read(*text + len - n, n, &c) != n || !is_blank(c))
            break;
    }
    return len;
}

static enum truth try_pattern(struct judge *j, const pcre2_code *pattern, const char *text,
                              size_t len)
{
    int rc;

    if (len > REGEX_SUBJECT_MAX) {
        j->obstacle = "the text is too long to be searched";
        return TRUTH_UNKNOWN;
    }
    rc = pcre2_match(pattern, (PCRE2_SPTR)text, len, 0, 0, j->scratch, j->limits);
    if (rc >= 0)
        return TRUTH_TRUE;
    if (rc == PCRE2_ERROR_NOMATCH)
        return TRUTH_FALSE;
    if (rc == PCRE2_ERROR_NOMEMORY)
        j->nomem = true;
    j->gave_up = true;
    j->obstacle = "the expression met its limit on this text";
    return TRUTH_UNKNOWN;
}

/* Blanks around a text are nobody's word: a tag typed as "tier-0 " looks like any other in the portal. Expressions
 * and globs have the text as it was sent. */
static enum truth judge_text(struct judge *j, const struct condition *n, const char *text,
                             const struct operand *o)
{
    bool whole = n->op == FIELD_OP_GLOB || n->op == FIELD_OP_REGEX;
    size_t len = whole ? strlen(text) : match_trim(&text);

    if (o->pattern)
        return try_pattern(j, o->pattern, text, len);
    return truth_of(strlen(o->text) == len && strncasecmp(o->text, text, len) == 0);
}

/* Does one value satisfy one operand? */
static enum truth judge_item(struct judge *j, const struct condition *n,
                             const struct field_item *item, const struct operand *o)
{
    switch (n->op) {
    case FIELD_OP_AT_LEAST:
        return truth_of(n->field->type == FIELD_LEVEL ? item->rank >= o->rank
                                                      : item->number >= o->number);
    case FIELD_OP_AT_MOST:
        return truth_of(n->field->type == FIELD_LEVEL ? item->rank <= o->rank
                                                      : item->number <= o->number);
    case FIELD_OP_OLDER_THAN:
        return truth_of(j->now_ms - item->number > o->number);
    case FIELD_OP_NEWER_THAN:
        return truth_of(j->now_ms - item->number < o->number);
    case FIELD_OP_CIDR:
        return truth_of(cidr_contains(&o->net, item->address));
    case FIELD_OP_IN_FILE:
        if (n->field->type == FIELD_ADDRESS)
            return truth_of(cidr_contains(&o->net, item->address));
        break;
    default:
        break;
    }
    switch (n->field->type) {
    case FIELD_TEXT:
        return judge_text(j, n, item->text, o);
    case FIELD_WORD:
    case FIELD_LEVEL:
        return truth_of(item->rank == o->rank);
    case FIELD_ADDRESS:
        return truth_of(memcmp(item->address, o->address, sizeof o->address) == 0);
    default:
        return truth_of(item->number == o->number);
    }
}

const char *match_cut(struct arena *a, const char *text)
{
    size_t len = utf8_first(text, MATCH_SHOWN_MAX);

    return text[len] ? arena_fmt(a, "%.*s" UTF8_ELLIPSIS, (int)len, text) : text;
}

/* The value as JSON text, cut. */
static const char *show_seen(struct judge *j, const struct condition *n,
                             const struct field_value *value)
{
    AUTO(buf_clear)
    struct buf b = BUF_INIT(64 * 1024); /* beyond the cut; what does not fit is lost */
    struct json_out o = JSON_OUT(&b);
    const char *text;

    if (value->missing)
        return "null";
    if (n->field->list)
        json_out_array(&o, NULL);
    for (size_t i = 0; i < value->count && b.len <= MATCH_SHOWN_MAX * 4; i++) {
        const struct field_item *item = &value->items[i];
        const char *shown = match_cut(j->arena, item->text);

        if (!shown)
            return NULL;
        if (item->is_text)
            json_out_string(&o, NULL, shown);
        else
            json_out_raw(&o, NULL, shown);
    }
    if (n->field->list)
        json_out_array_end(&o);
    if (buf_failed(&b) == ERR_NOMEM)
        return NULL;
    text = arena_str(j->arena, buf_text(&b));
    return text ? match_cut(j->arena, text) : NULL;
}

/* Why a test is unknown, for people. */
static const char *explain_doubt(struct judge *j, const struct field *f,
                                 const struct field_value *value)
{
    const struct field_item *strange = NULL;
    const char *shown;

    if (value->missing && strncmp(f->name, "machine.", strlen("machine.")) == 0 &&
        !j->facts->machine)
        return arena_fmt(j->arena, "%s: there is no machine to ask", f->name);
    if (value->missing)
        return arena_fmt(j->arena, "%s: Defender sent no value", f->name);
    if (j->obstacle)
        return arena_fmt(j->arena, "%s: %s", f->name, j->obstacle);
    for (size_t i = 0; i < value->count && !strange; i++)
        if (!value->items[i].known)
            strange = &value->items[i];
    assert(strange);
    shown = field_shown(j->arena, strange->text, DOUBT_VALUE_MAX);
    if (!shown)
        return NULL;
    return arena_fmt(j->arena, "%s: Defender sent '%s', which cordon does not know", f->name,
                     shown);
}

static int by_word(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    int order = strcasecmp(*x, *y);

    return order ? order : strcmp(*x, *y);
}

/* "no-isolate and tier-0": what a person's yes is held against does not hang on the order in which Defender sends them, and is
 * another when one more has come. Sorts them. NULL: there are none, or memory ran out. */
static const char *name_hits(struct judge *j, const char **hits, size_t n)
{
    uint32_t rest = 0;
    const char *text = NULL;
    size_t all = n;

    n = 0;
    if (all)
        qsort(hits, all, sizeof *hits, by_word);
    for (size_t i = 0; i < all; i++) /* each once */
        if (!n || strcmp(hits[i], hits[n - 1]) != 0)
            hits[n++] = hits[i];
    for (size_t i = 0; i < n && i < HITS_MAX && !j->nomem; i++) {
        const char *shown = field_shown(j->arena, hits[i], DOUBT_VALUE_MAX);

        text = i && shown ? arena_fmt(j->arena, "%s and %s", text, shown) : shown;
        j->nomem |= !text;
    }
    for (size_t i = HITS_MAX; i < n; i++)
        rest = match_digest(rest, hits[i]);
    if (n > HITS_MAX && text)
        text = arena_fmt(j->arena, "%s and %zu more (%08x)", text, n - HITS_MAX, rest);
    j->nomem |= n && !text;
    return text;
}

/* Does any of the values satisfy any operand? Those that do are p->hit. */
static enum truth judge_values(struct judge *j, const struct condition *n,
                               const struct field_value *value, struct predicate *p)
{
    const char **hits = arena_array(j->arena, value->count + 1, sizeof *hits);
    enum truth result = TRUTH_FALSE;
    size_t n_hits = 0;

    j->nomem |= !hits;
    for (size_t i = 0; i < value->count && hits; i++) {
        enum truth t = TRUTH_FALSE;

        for (size_t k = 0; k < n->n_operands && t != TRUTH_TRUE; k++) {
            enum truth one = value->items[i].known && !j->gave_up
                                 ? judge_item(j, n, &value->items[i], &n->operands[k])
                                 : TRUTH_UNKNOWN;

            t = one > t ? one : t;
        }
        if (t == TRUTH_TRUE)
            hits[n_hits++] = value->items[i].text;
        result = t > result ? t : result;
    }
    p->hit = hits ? name_hits(j, hits, n_hits) : NULL;
    return result;
}

static enum truth judge_test(struct judge *j, const struct condition *n)
{
    struct predicate *p = &j->predicates[n->from];
    enum truth result = TRUTH_FALSE;
    struct field_value value;

    *p = (struct predicate){
        .field = n->field->name,
        .op = field_op_name(n->op),
        .within = n->within,
        .wanted = n->wanted,
    };
    j->obstacle = NULL;
    j->gave_up = false;
    if (field_read(n->field, j->facts, j->arena, &value) != ERR_OK) {
        j->nomem = true;
        return TRUTH_UNKNOWN;
    }
    if (n->op == FIELD_OP_EXISTS) {
        result = truth_of((value.count > 0) == (n->operands->number != 0));
    } else if (value.missing) {
        result = TRUTH_UNKNOWN;
    } else {
        result = judge_values(j, n, &value, p);
        if (n->op == FIELD_OP_NOT) {
            result = negate(result);
            p->hit = NULL;
        }
    }
    if (j->nomem)
        return TRUTH_UNKNOWN;
    p->result = result;
    p->seen = show_seen(j, n, &value);
    p->decisive = true; /* until a node above comes out otherwise */
    if (result == TRUTH_UNKNOWN)
        p->doubt = explain_doubt(j, n->field, &value);
    if (!p->seen || (result == TRUTH_UNKNOWN && !p->doubt))
        j->nomem = true;
    return result;
}

/* Takes the mark from tests that came out otherwise than the node above them. */
static void acquit(struct judge *j, const struct condition *n)
{
    for (size_t i = n->from; i < n->end; i++)
        j->predicates[i].decisive = false;
}

static enum truth judge_node(struct judge *j, const struct condition *n)
{
    bool all = n->kind == NODE_ALL;
    enum truth result = all ? TRUTH_TRUE : TRUTH_FALSE;

    if (n->kind == NODE_TEST)
        return judge_test(j, n);
    if (n->kind == NODE_NOT)
        return negate(judge_node(j, n->first));
    for (struct condition *child = n->first; child; child = child->next) {
        enum truth t = judge_node(j, child);

        if (all ? t < result : t > result) { /* what was before decided nothing */
            for (const struct condition *c = n->first; c != child; c = c->next)
                acquit(j, c);
            result = t;
        } else if (t != result) {
            acquit(j, child);
        }
    }
    return result;
}

enum err_code condition_match(const struct condition *c, const struct facts *f, int64_t now_ms,
                              struct arena *a, struct match *ret)
{
    struct judge j = {.facts = f, .now_ms = now_ms, .arena = a, .limits = c->limits};
    enum truth result;

    j.predicates = arena_array(a, c->end, sizeof *j.predicates);
    j.scratch = pcre2_match_data_create(1, NULL);
    if (!j.predicates || !j.scratch) {
        pcre2_match_data_free(j.scratch);
        return ERR_NOMEM;
    }
    result = judge_node(&j, c);
    pcre2_match_data_free(j.scratch);
    if (j.nomem)
        return ERR_NOMEM;
    *ret = (struct match){.result = result, .predicates = j.predicates, .count = c->end};
    return ERR_OK;
}

/* ---- telling ----------------------------------------------------------------------------------- */

/* The seen value of a negation, without the quotes of a single text. NULL: out of memory. */
static const char *unquoted(struct arena *a, const char *seen)
{
    size_t len = strlen(seen);

    return len > 2 && seen[0] == '"' && seen[len - 1] == '"' ? arena_strn(a, seen + 1, len - 2)
                                                             : seen;
}

uint32_t match_digest(uint32_t before, const char *text)
{
    uint32_t digest = before ? before : 2166136261U; /* FNV-1a */

    do /* the end as well: "ab" and "c" are not "a" and "bc" */
        digest = (digest ^ (unsigned char)*text) * 16777619U;
    while (*text++);
    return digest;
}

const char *match_doubt(const struct match *m, struct arena *a)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(4096);
    uint32_t rest = 0;
    size_t said = 0, more = 0;

    for (size_t i = 0; i < m->count; i++) {
        const struct predicate *p = &m->predicates[i];
        bool repeated = false;

        if (!p->decisive || !p->doubt)
            continue;
        for (size_t k = 0; k < i && !repeated; k++)
            repeated = m->predicates[k].decisive && m->predicates[k].doubt &&
                       strcmp(m->predicates[k].field, p->field) == 0;
        if (repeated)
            continue;
        if (said < DOUBTS_MAX) {
            buf_addf(&b, "%s%s", said++ ? "; " : "", p->doubt);
        } else {
            rest = match_digest(rest, p->doubt);
            more++;
        }
    }
    if (more)
        buf_addf(&b, "; and %zu more (%08x)", more, rest);
    return buf_failed(&b) == ERR_NOMEM ? NULL : arena_str(a, buf_text(&b));
}

/* "machine.os is Linux". Of a time, which is another whenever the machine is seen, the side of the limit. NULL: out of memory. */
static const char *say_predicate(const struct predicate *p, struct arena *a)
{
    bool older = strcmp(p->op, field_op_name(FIELD_OP_OLDER_THAN)) == 0;
    const char *shown;

    if (older || strcmp(p->op, field_op_name(FIELD_OP_NEWER_THAN)) == 0) {
        shown = unquoted(a, p->wanted);
        return shown ? arena_fmt(a, "%s is %s%s than %s", p->field,
                                 p->result == TRUTH_TRUE ? "" : "not ", older ? "older" : "newer",
                                 shown)
                     : NULL;
    }
    shown = p->hit ? p->hit : strcmp(p->seen, "null") == 0 ? "missing" : unquoted(a, p->seen);
    if (shown && !p->hit)
        shown = field_shown(a, shown, DOUBT_VALUE_MAX);
    return shown ? arena_fmt(a, "%s is %s", p->field, shown) : NULL;
}

const char *match_reason(const struct match *m, struct arena *a)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(4096);
    uint32_t rest = 0;
    size_t said = 0, more = 0;

    for (size_t i = 0; i < m->count; i++) {
        const char *one = m->predicates[i].decisive ? say_predicate(&m->predicates[i], a) : "";

        if (!one)
            return NULL;
        if (!*one)
            continue;
        if (said < DOUBTS_MAX) {
            buf_addf(&b, "%s%s", said++ ? ", " : "", one);
        } else {
            rest = match_digest(rest, one);
            more++;
        }
    }
    if (more)
        buf_addf(&b, " and %zu more (%08x)", more, rest);
    return buf_failed(&b) == ERR_NOMEM ? NULL : arena_str(a, buf_text(&b));
}

const char *truth_name(enum truth t)
{
    static const char *const names[] = {"false", "unknown", "true"};

    return names[t];
}
