/* match_pattern.c - texts that PCRE2 compares: expressions, globs, and equality beyond ASCII. See match_own.h.
 *
 * A glob becomes an expression that never backtracks over a `*` (each piece between two stars is
 * matched at the first place where it fits, for good), so its time is bounded by the text's length.
 * Written expressions run under limits of steps, depth and memory; who meets one is unknown. PCRE2
 * counts steps anew for each place where a match may start, which would allow 16,384 times the limit;
 * so an expression is tried at the start alone, behind a lazy `.*?` of ours, and all steps count as one
 * try's. No JIT: its limits count differently, and a verdict must come out the same on every machine.
 *
 * PCRE2's memory for compiled expressions comes from the arena, which is why a policy needs no free.
 */
#include <ctype.h>
#include <string.h>

#include "buf.h"
#include "match_own.h"

static void *take_memory(size_t size, void *arena)
{
    return arena_alloc(arena, size);
}

static void leave_memory(void *p, void *arena)
{
    (void)p;
    (void)arena; /* it goes with the arena */
}

bool match_prepare_patterns(struct match_compiler *c)
{
    c->memory = pcre2_general_context_create(take_memory, leave_memory, c->reader->arena);
    if (!c->memory)
        return false;
    c->rules = pcre2_compile_context_create(c->memory);
    c->limits = pcre2_match_context_create(c->memory);
    if (!c->rules || !c->limits)
        return false;
    (void)pcre2_set_match_limit(c->limits, REGEX_MATCH_LIMIT); /* these setters always return 0 */
    (void)pcre2_set_depth_limit(c->limits, REGEX_DEPTH_LIMIT);
    (void)pcre2_set_heap_limit(c->limits, REGEX_HEAP_KIB);
    return true;
}

#define WHOLE_TEXT      (PCRE2_ANCHORED | PCRE2_ENDANCHORED)
#define PATTERN_OPTIONS (PCRE2_UTF | PCRE2_CASELESS | PCRE2_NEVER_BACKSLASH_C)

static pcre2_code *try_compile(struct match_compiler *c, const char *text, uint32_t options,
                               int *ret_error, size_t *ret_offset)
{
    return pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, ret_error, ret_offset,
                         c->rules);
}

/* Notes why PCRE2 would not take a text; kind: "glob". */
static void refuse_pattern(struct match_compiler *c, const struct yaml_node *at,
                           const struct field *f, const char *kind, int error, size_t offset)
{
    PCRE2_UCHAR why[160];

    if (error == PCRE2_ERROR_HEAP_FAILED || pcre2_get_error_message(error, why, sizeof why) < 0)
        (void)match_no_memory(c, at);
    else if (offset)
        yaml_fault(c->reader->faults, at, "%s: not %s %s: %s (after character %zu)", f->name,
                   match_article(kind), kind, (const char *)why, offset);
    else
        yaml_fault(c->reader->faults, at, "%s: not %s %s: %s", f->name, match_article(kind), kind,
                   (const char *)why);
}

/* Verbs that give up the place where a match began for the next one: behind our lazy run there is one place alone, so that
 * they would give up the whole text, and `lab(*SKIP)(*F)|prod` not find the prod of labprod. And (*COMMIT), which gives up
 * the whole text: PCRE2 begins where a match can begin, unless what goes before it is ours, so that `(*COMMIT)prod` would
 * not find it either. */
static bool has_verb(const char *text)
{
    static const char *const verbs[] = {"(*COMMIT", "(*PRUNE", "(*SKIP", "(*THEN"};

    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strstr(text, verbs[i]))
            return true;
    return false;
}

/* Compiles the expression as written, for its faults, and then behind a lazy run, for its limits. */
pcre2_code *match_compile_regex(struct match_compiler *c, const struct yaml_node *at,
                                const struct field *f, const char *text)
{
    /* an expression that ends in a comment of (?x) swallows the bracket of the first form; then it is
     * in extended mode, where the line end of the second means nothing */
    static const char *const ends[] = {")", "\n)"};
    AUTO(buf_clear) struct buf whole = BUF_INIT(REGEX_TEXT_MAX + 64);
    pcre2_code *code;
    size_t offset;
    int error;

    if (!try_compile(c, text, PATTERN_OPTIONS, &error, &offset)) {
        refuse_pattern(c, at, f, "regular expression", error, offset);
        return NULL;
    }
    if (has_verb(text)) {
        yaml_fault(c->reader->faults, at,
                   "%s: not a regular expression: a verb such as (*SKIP) is not taken", f->name);
        return NULL;
    }
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        buf_reset(&whole);
        buf_adds(&whole, "(?s:.*?)(?:");
        buf_adds(&whole, text);
        buf_adds(&whole, ends[i]);
        code = try_compile(c, buf_text(&whole), PATTERN_OPTIONS | PCRE2_ANCHORED, &error, &offset);
        if (code)
            return code;
    }
    if (error == PCRE2_ERROR_HEAP_FAILED)
        return match_no_memory(c, at);
    yaml_fault(c->reader->faults, at,
               "%s: not a regular expression: settings such as (*UCP) at its start are not taken",
               f->name);
    return NULL;
}

/* One character for an expression, its special meaning taken away. */
static void add_literal(struct buf *b, char ch)
{
    if (ch == '\n')
        buf_adds(b, "\\n");
    else if ((unsigned char)ch < 0x80 && ispunct((unsigned char)ch))
        buf_addf(b, "\\%c", ch);
    else
        buf_addc(b, ch);
}

/* [abc], [a-z], [!abc]; p at the bracket. Returns the end behind it, or NULL when it has none. */
static const char *add_class(struct buf *b, const char *p)
{
    const char *first;

    buf_addc(b, '[');
    p++;
    if (*p == '!' || *p == '^') {
        buf_addc(b, '^');
        p++;
    }
    for (first = p; *p && (*p != ']' || p == first); p++) {
        if (*p == '-' && p != first && p[1] && p[1] != ']')
            buf_addc(b, '-');
        else
            add_literal(b, *p);
    }
    buf_addc(b, ']');
    return *p ? p + 1 : NULL;
}

/* `*` any run, `?` any character, [..] any of these; all else is itself, the backslash too, because
 * what is matched is full of Windows paths. */
pcre2_code *match_compile_glob(struct match_compiler *c, const struct yaml_node *at,
                               const struct field *f, const char *glob)
{
    AUTO(buf_clear) struct buf whole = BUF_INIT(REGEX_TEXT_MAX * 8);
    AUTO(buf_clear) struct buf piece = BUF_INIT(REGEX_TEXT_MAX * 8);
    bool star = false; /* one stands before the piece */
    pcre2_code *code;
    size_t offset;
    int error;

    for (const char *p = glob;;) {
        if (*p && *p != '*') {
            if (*p == '?') {
                buf_addc(&piece, '.');
                p++;
            } else if (*p == '[') {
                p = add_class(&piece, p);
                if (!p) {
                    yaml_fault(c->reader->faults, at, "%s: not a glob: '[' without ']'", f->name);
                    return NULL;
                }
            } else {
                add_literal(&piece, *p++);
            }
            continue;
        }
        if (buf_failed(&piece))
            return match_no_memory(c, at);
        if (!star)
            buf_adds(&whole, buf_text(&piece)); /* stands at the start */
        else if (!*p)
            buf_addf(&whole, ".*%s", buf_text(&piece)); /* stands at the end: one place only */
        else if (piece.len)
            buf_addf(&whole, "(?>.*?%s)", buf_text(&piece));
        buf_reset(&piece);
        if (!*p)
            break;
        star = true;
        p++;
    }
    if (buf_failed(&whole))
        return match_no_memory(c, at); /* the limits fit the longest glob */
    code = try_compile(c, buf_text(&whole), PATTERN_OPTIONS | WHOLE_TEXT | PCRE2_DOTALL, &error,
                       &offset);
    if (!code)
        refuse_pattern(c, at, f, "glob", error, 0); /* the offset is not the glob's */
    return code;
}

/* Equality with a text that is not ASCII. */
pcre2_code *match_compile_literal(struct match_compiler *c, const struct yaml_node *at,
                                  const struct field *f, const char *text)
{
    pcre2_code *code;
    size_t offset;
    int error;

    code = try_compile(c, text, PCRE2_UTF | PCRE2_CASELESS | PCRE2_LITERAL | WHOLE_TEXT, &error,
                       &offset);
    if (!code)
        refuse_pattern(c, at, f, "text", error, offset);
    return code;
}
