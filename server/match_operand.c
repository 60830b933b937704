/* match_operand.c - one value of a condition, read as its field and its operator ask for. See match_own.h.
 *
 * Equality of plain ASCII is strcasecmp; with other letters PCRE2 compares, which knows their cases.
 */
#include <assert.h>
#include <string.h>

#include "buf.h"
#include "match_own.h"

#define WORDS_SHOWN_MAX 8 /* expected words named in a fault */

/* ---- texts ------------------------------------------------------------------------------------- */

static bool is_ascii(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80)
            return false;
    return true;
}

/* defender-api.md section 3.2. A name in a list of ids would protect nothing, and nobody would notice. */
static bool is_machine_id(const char *text)
{
    size_t len = strspn(text, "0123456789abcdefABCDEF");

    return len >= 32 && len <= 64 && !text[len];
}

/* Which of the texts that hardly equal anything is it? NOTED: none. */
static enum noted find_note(const struct field *f, enum field_op op, const char *text)
{
    bool pattern = op == FIELD_OP_GLOB || op == FIELD_OP_REGEX;

    if (!pattern && strchr(text, '*'))
        return NOTED_STAR;
    /* YAML makes one text of a, b without brackets */
    if (!pattern && strncmp(f->name, "machine.", strlen("machine.")) == 0 && strchr(text, ','))
        return NOTED_COMMA;
    if (op == FIELD_OP_REGEX)
        return NOTED;
    /* A machine of a domain has its full name (defender-api.md section 3.2, computerDnsName), one of a workgroup no
     * other than its first label. */
    if (strcmp(f->name, "machine.name") == 0 && !strpbrk(text, pattern ? ".*?[" : "."))
        return NOTED_NAME;
    /* the portal writes "Windows Server 2022" (defender-api.md section 3.2, osPlatform) */
    if (strcmp(f->name, "machine.os") == 0 && strchr(text, ' '))
        return NOTED_OS;
    /* the portal writes "Credential access" (defender-api.md section 2.3, category) */
    if (strcmp(f->name, "alert.category") == 0 && strchr(text, ' '))
        return NOTED_CATEGORY;
    return NOTED;
}

/* A text that hardly equals anything makes a rule that never matches and a protection that protects nothing, and
 * nobody would notice. It is said, and no fault, as it may be meant. Once of a kind: a list file may hold thousands. */
static void note_text(struct match_compiler *c, const struct yaml_node *at, const struct field *f,
                      enum field_op op, const char *text)
{
    struct yaml_faults *notes = c->reader->notes;
    enum noted what = find_note(f, op, text);

    if (!notes || what == NOTED || c->noted[what])
        return;
    c->noted[what] = true;
    switch (what) {
    case NOTED_STAR:
        yaml_fault(notes, at,
                   "%s: '%.60s' is compared as it stands, with its '*'; to match a pattern write "
                   "{glob: '%.60s'}",
                   f->name, text, text);
        break;
    case NOTED_COMMA:
        yaml_fault(notes, at, "%s: '%.60s' is one text, with its ','; write a list as [%.60s]",
                   f->name, text, text);
        break;
    case NOTED_NAME:
        yaml_fault(
            notes, at,
            "machine.name: '%.60s' does not equal %.60s.corp.example, as Defender calls a machine of a "
            "domain; to match both write {glob: ['%.60s', '%.60s.*']}",
            text, text, text, text);
        break;
    case NOTED_OS:
        yaml_fault(notes, at,
                   "machine.os: '%.60s' has blanks, and what Defender sends has none: Windows11, "
                   "WindowsServer2022",
                   text);
        break;
    case NOTED_CATEGORY:
        yaml_fault(
            notes, at,
            "alert.category: '%.60s' has blanks, and what Defender sends has none: CredentialAccess, "
            "LateralMovement",
            text);
        break;
    case NOTED:
        break;
    }
}

/* An expression or a glob. */
static bool read_pattern(struct match_compiler *c, const struct yaml_node *at,
                         const struct field *f, enum field_op op, struct operand *ret)
{
    const char *text = ret->text;
    bool regex = op == FIELD_OP_REGEX;

    if (strlen(text) > REGEX_TEXT_MAX) {
        yaml_fault(c->reader->faults, at, "%s: %s %s of more than %d characters", f->name,
                   match_article(field_op_name(op)), field_op_name(op), REGEX_TEXT_MAX);
        return false;
    }
    if (!*text) { /* maybe a variable that is empty: the rule would be one for all machines, or for none */
        yaml_fault(c->reader->faults, at, "%s: an empty %s", f->name,
                   regex ? "regular expression matches everything" : "glob matches nothing");
        return false;
    }
    note_text(c, at, f, op, text);
    ret->pattern = regex ? match_compile_regex(c, at, f, text) : match_compile_glob(c, at, f, text);
    return ret->pattern != NULL;
}

/* A text that is compared as it stands, without the blanks around it. */
static bool read_plain(struct match_compiler *c, const struct yaml_node *at, const struct field *f,
                       enum field_op op, struct operand *ret)
{
    size_t len = match_trim(&ret->text);
    const char *text = ret->text;

    if (text[len] && !(text = arena_strn(c->reader->arena, text, len))) {
        (void)match_no_memory(c, at);
        return false;
    }
    ret->text = text;
    note_text(c, at, f, op, text);
    if (!*text) {
        yaml_fault(
            c->reader->faults, at,
            "%s: an empty text equals nothing; ask with {exists: false} whether there is none",
            f->name);
        return false;
    }
    if (strcmp(f->name, "machine.id") == 0 && !is_machine_id(text)) {
        yaml_fault(c->reader->faults, at,
                   "%s: '%.60s' is no machine id (40 hexadecimal digits); names are compared by "
                   "machine.name",
                   f->name, text);
        return false;
    }
    if (is_ascii(text))
        return true;
    ret->pattern = match_compile_literal(c, at, f, text);
    return ret->pattern != NULL;
}

/* ---- words, numbers, addresses ------------------------------------------------------------------ */

static bool read_word(struct match_compiler *c, const struct yaml_node *at, const struct field *f,
                      const char *text, struct operand *ret)
{
    AUTO(buf_clear) struct buf words = BUF_INIT(512);
    const char *noun, *nearest;
    size_t count = 0;

    ret->rank = field_word(f->words, text);
    if (ret->rank >= 0)
        return true;
    noun = field_noun(f, c->reader->arena);
    noun = noun ? noun : "value";
    nearest = yaml_nearest(text, f->words);
    while (f->words[count])
        count++;
    if (nearest) {
        yaml_fault(c->reader->faults, at, "%s: '%.60s' is no %s; did you mean %s?", f->name, text,
                   noun, nearest);
        return false;
    }
    if (count > WORDS_SHOWN_MAX) {
        yaml_fault(c->reader->faults, at, "%s: '%.60s' is no %s; see `cordon fields`", f->name,
                   text, noun);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        buf_addf(&words, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " or ", f->words[i]);
    yaml_fault(c->reader->faults, at, "%s: '%.60s' is no %s; expected %s", f->name, text, noun,
               buf_text(&words));
    return false;
}

/* May a scalar be a number or a truth value? "${BUILD}" needs its quotes and says nothing by them. */
static bool is_bare(const struct yaml_node *at)
{
    return !at->quoted || strstr(at->text, "${");
}

/* Notes what is no number or truth value; want: "expected true or false". */
static bool refuse_bare(struct match_compiler *c, const struct yaml_node *at, const struct field *f,
                        const char *want, const char *text)
{
    yaml_fault(c->reader->faults, at, "%s: %s, found '%.60s'%s", f->name, want, text,
               is_bare(at) ? "" : " in quotes");
    return false;
}

/* Digits with a sign, nothing else. */
static bool read_number(const struct yaml_node *at, const char *text, int64_t *ret)
{
    size_t digits = strspn(text + (*text == '-'), "0123456789");
    AUTO(json_freep) struct json *v = NULL;

    return is_bare(at) && digits && !text[(*text == '-') + digits] &&
           json_parse(text, strlen(text), &v, NULL) == ERR_OK && json_int64(v, ret);
}

/* true and false as YAML 1.2 has them. */
static bool read_bool(const struct yaml_node *at, const char *text, int64_t *ret)
{
    *ret = strcmp(text, "true") == 0;
    return is_bare(at) && (*ret || strcmp(text, "false") == 0);
}

static bool read_address(struct match_compiler *c, const struct yaml_node *at,
                         const struct field *f, const char *text, struct operand *ret)
{
    struct cidr net;

    if (field_address(text, ret->address))
        return true;
    if (strchr(text, '/') && settings_cidr(text, &net, NULL) == ERR_OK)
        yaml_fault(c->reader->faults, at, "%s: '%.60s' is a network; write {cidr: %.60s}", f->name,
                   text, text);
    else
        yaml_fault(c->reader->faults, at, "%s: expected an IP address, found '%.60s'", f->name,
                   text);
    return false;
}

/* ---- any of them ------------------------------------------------------------------------------- */

/* What the field's own type asks for. */
static bool read_of_type(struct match_compiler *c, const struct yaml_node *at,
                         const struct field *f, enum field_op op, const char *text,
                         struct operand *ret)
{
    switch (f->type) {
    case FIELD_TEXT:
        ret->text = text;
        return op == FIELD_OP_REGEX || op == FIELD_OP_GLOB ? read_pattern(c, at, f, op, ret)
                                                           : read_plain(c, at, f, op, ret);
    case FIELD_WORD:
    case FIELD_LEVEL:
        return read_word(c, at, f, text, ret);
    case FIELD_NUMBER:
        return read_number(at, text, &ret->number) ||
               refuse_bare(c, at, f, "expected a whole number", text);
    case FIELD_BOOL:
        return read_bool(at, text, &ret->number) ||
               refuse_bare(c, at, f, "expected true or false", text);
    case FIELD_ADDRESS:
        return read_address(c, at, f, text, ret);
    case FIELD_TIME:
        break;
    }
    assert(!"a time is only asked for its age");
    return false;
}

/* Operators that take a value of their own, whatever the field's type: an age, a network. */
static bool read_of_op(struct match_compiler *c, const struct yaml_node *at, const struct field *f,
                       enum field_op op, const char *text, struct operand *ret)
{
    bool age = op == FIELD_OP_OLDER_THAN || op == FIELD_OP_NEWER_THAN;
    struct err e;

    if (!(age ? settings_duration(text, &ret->number, &e) : settings_cidr(text, &ret->net, &e)))
        return true;
    yaml_fault(c->reader->faults, at, "%s: %s: %s", f->name, field_op_name(op), e.text);
    return false;
}

bool match_read_operand(struct match_compiler *c, const struct yaml_node *at, const struct field *f,
                        enum field_op op, struct operand *ret)
{
    struct yaml_faults *faults = c->reader->faults;
    const char *text;

    if (at->kind != YAML_SCALAR) {
        yaml_fault(faults, at, "%s: expected one value, found a %s", f->name,
                   at->kind == YAML_LIST ? "list" : "map");
        return false;
    }
    if (at->null) {
        yaml_fault(faults, at,
                   "%s: expected a value; ask with {exists: false} whether there is none", f->name);
        return false;
    }
    text = settings_text(c->reader, at);
    if (!text)
        return false;
    if (op == FIELD_OP_EXISTS)
        return read_bool(at, text, &ret->number) ||
               refuse_bare(c, at, f, "exists takes true or false", text);
    if (op == FIELD_OP_OLDER_THAN || op == FIELD_OP_NEWER_THAN || op == FIELD_OP_CIDR ||
        (op == FIELD_OP_IN_FILE && f->type == FIELD_ADDRESS))
        return read_of_op(c, at, f, op, text, ret);
    return read_of_type(c, at, f, op, text, ret);
}
