/* question_mail.c - see question_mail.h. */
#include "question_mail.h"

#include <stdio.h>
#include <string.h>

#include "capability.h"
#include "channel.h"
#include "helpdesk.h"
#include "id.h"
#include "letter.h"
#include "notice.h"
#include "notice_letter.h"
#include "pause.h"
#include "question.h"
#include "store_isolations.h"
#include "utf8.h"

#define CASES_SHOWN  50   /* rows of a mail */
#define CASES_NAMED  2000 /* in it, those that have no row in few words */
#define NAME_MAX_LEN 60
#define CASES_POSTED 10 /* in a post, which people read in a chat */

#define QUESTIONS_OF_CASE 8 /* the newest of those that held one back: canary, storm and limits */

#define ABOUT QUESTION_ABOUT

const char *question_link(struct engine *g, const struct runtime *rt, struct arena *a,
                          int64_t invitation, int64_t expires)
{
    char text[CAPABILITY_TEXT_SIZE];

    if (!rt->config->public_url || !g->capabilities ||
        capability_make(g->capabilities, CAPABILITY_APPROVE, invitation,
                        expires + QUESTION_SHOWN_MS, text, NULL))
        return NULL;
    return arena_fmt(a, "%s" QUESTION_PATH "%s", rt->config->public_url, text);
}

/* Is its machine isolated for something else, as far as cordon knows? Since it was held back: by another alert, or by somebody
 * at Defender. */
static enum err_code is_isolated(struct db_tx *tx, struct arena *a, const struct question_case *m,
                                 bool *ret, struct err *e)
{
    struct isolation_record r;
    bool found = false;
    enum err_code code = m->machine_id
                             ? isolation_find_open(tx, a, m->tenant, m->machine_id, &r, &found, e)
                             : ERR_OK;

    *ret = !code && found && (r.state == ISOLATION_ISOLATED || r.state == ISOLATION_RELEASING);
    return code;
}

enum err_code question_extent_read(struct db_tx *tx, struct arena *a, int64_t question,
                                   struct question_extent *ret, struct err *e)
{
    enum err_code code = question_count_cases(tx, question, &ret->cases, e);

    if (!code)
        code = question_count_machines(tx, question, &ret->machines, e);
    if (!code)
        code = question_count_isolated(tx, question, &ret->isolated, e);
    if (!code)
        code = question_cases(tx, a, question, 0, CASES_NAMED, &ret->list, &ret->n, e);
    if (code)
        return code;
    ret->isolated_already = arena_array(a, ret->n + 1, sizeof *ret->isolated_already);
    if (!ret->isolated_already)
        return err_set(e, ERR_NOMEM, "question");
    for (size_t i = 0; i < ret->n && ret->isolated && !code; i++)
        code = is_isolated(tx, a, &ret->list[i], &ret->isolated_already[i], e);
    return code;
}

static const char *machine_of(const struct question_case *m)
{
    return m->machine_name ? m->machine_name : m->machine_id ? m->machine_id : "unknown";
}

/* Rows that name the cases. */
static void show_cases(struct letter *l, struct arena *a, const struct question_extent *of)
{
    char id[ID_TEXT_SIZE];

    for (size_t i = 0; i < of->n && i < CASES_SHOWN; i++)
        letter_fact(
            l, "Machine",
            arena_fmt(a, "%s, case %s%s", machine_of(&of->list[i]),
                      id_format(of->list[i].case_id, id),
                      of->isolated_already[i] ? " (isolated already, not for this alert)" : ""));
}

/* Those that have no row: when the answer is no, this mail is all that people hear of them. "ws-1 0sc…, ws-2 0sd…" */
static void show_others(struct letter *l, struct arena *a, const struct question_extent *of)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(MIME_PART_MAX);
    const char *label =
        arena_fmt(a, "And %lld more cases", (long long)(of->cases - (int64_t)CASES_SHOWN));
    char id[ID_TEXT_SIZE];

    if (of->cases <= (int64_t)CASES_SHOWN)
        return;
    for (size_t i = CASES_SHOWN; i < of->n; i++)
        buf_addf(&b, "%s%s %s%s", b.len ? ", " : "",
                 letter_harmless(l, machine_of(&of->list[i]), NAME_MAX_LEN),
                 id_format(of->list[i].case_id, id),
                 of->isolated_already[i] ? " (isolated already)" : "");
    if (of->cases > (int64_t)of->n)
        buf_addf(&b, ", and %lld others", (long long)(of->cases - (int64_t)of->n));
    if (buf_failed(&b) || !label)
        l->text.failed = ERR_NOMEM;
    else
        letter_own_words(l, label, buf_text(&b));
}

static const char *const headlines[2][2][2] = {
    /* is it open, is it one machine, are some isolated for something else? */
    {{"cordon does NOT isolate these machines",
      "cordon does NOT isolate these machines: some are isolated already, as far as cordon knows"},
     {"cordon does NOT isolate this machine",
      "cordon does NOT isolate this machine: it is isolated already, as far as cordon knows"}},
    {{"A person must decide: these machines are not isolated",
      "A person must decide: some of these machines are isolated already, as far as cordon knows"},
     {"A person must decide: this machine is not isolated",
      "A person must decide: this machine is isolated already, as far as cordon knows"}},
};

/* "[QUESTION] 3 machines (1 isolated already): why"; as it ended without the reason. NULL: out of memory. */
static const char *subject_of(const struct question_mail *m, struct arena *a, const char *what)
{
    const struct question_record *q = m->q;
    const struct notice closing = {.kind = NOTICE_NOT_ISOLATED, .why = q->why};
    bool open = q->state == QUESTION_OPEN;
    const char *said = open ? "QUESTION" : notice_said(&closing, a);
    const char *some =
        m->of->isolated ? arena_fmt(a, " (%lld isolated already)", (long long)m->of->isolated) : "";

    return said ? arena_fmt(a, "[%s] %lld machine%s%s%s%s", said, (long long)m->of->machines,
                            m->of->machines == 1 ? "" : "s", some, open ? ": " : "",
                            open ? what : "")
                : NULL;
}

/* What it is about, or how it ended. what: harmless. */
static void say_what_it_is(struct letter *l, struct arena *a, const struct question_mail *m,
                           const char *what)
{
    const long long machines = m->of->machines;
    const char *s = machines == 1 ? "" : "s";
    char when[CLOCK_TEXT_SIZE];

    if (m->q->state == QUESTION_OPEN)
        letter_paragraph(
            l, arena_fmt(
                   a,
                   "The rules want %lld machine%s isolated, and safety holds that back: %s. Until "
                   "%s you can let this go on, or refuse. When nobody answers nothing is isolated, "
                   "and you are told again.",
                   machines, s, what, clock_format(m->q->expires, when)));
    else
        letter_paragraph(
            l, arena_fmt(
                   a,
                   "Safety held the isolation of %lld machine%s back (%s), and it is not asked "
                   "for: %s. A person should look now; `cordon cases retry ID` begins a case anew.",
                   machines, s, what, letter_harmless(l, m->q->why, LETTER_VALUE_MAX)));
}

/* By command, and by the link if there is one. */
static void say_how_to_answer(struct letter *l, struct arena *a, const char *id, const char *link)
{
    letter_paragraph(
        l,
        arena_fmt(a, "By command: `cordon approve %s --why TEXT`, `cordon refuse %s --why TEXT`.",
                  id, id));
    if (link)
        letter_link(l, "Decide (opening the page does nothing)", "Look at it and decide", link);
}

enum err_code question_mail_put(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                struct arena *a, const struct question_mail *m, int64_t now,
                                struct err *e)
{
    const struct question_record *q = m->q;
    bool open = q->state == QUESTION_OPEN;
    char id[ID_TEXT_SIZE];
    const struct mime_header headers[] = {
        {"X-Cordon-About", arena_fmt(a, ABOUT "%s", id_format(q->id, id))},
        {"X-Cordon-State", open ? "question" : "not_isolated"}};
    struct letter_post post = {.to = &m->who->address,
                               .n_to = 1,
                               .headers = headers,
                               .n_headers = sizeof headers / sizeof *headers};
    struct notice_record r = {.id = id_new(g->clock),
                              .about = headers[0].value,
                              .kind = headers[1].value,
                              .sender = rt->config->mail.from};
    const char *what;
    struct pause pause;
    struct letter l;
    enum err_code code = pause_read(tx, rt, a, &pause, e);

    if (code)
        return code;
    letter_begin(&l, a, headlines[open][m->of->machines == 1][m->of->isolated > 0],
                 open ? LETTER_AMBER : LETTER_RED);
    what =
        letter_harmless(&l, q->what, LETTER_VALUE_MAX); /* device groups have names of Defender's */
    r.subject = subject_of(m, a, what);
    if (pause.on)
        letter_paused(&l, pause_words(&pause, a), pause_end(&pause), NULL);
    say_what_it_is(&l, a, m, what);
    letter_table_begin(&l);
    letter_own_fact(&l, "Question", id);
    if (open && q->people > 1)
        letter_own_fact(&l, "Persons needed", arena_fmt(a, "%lld", (long long)q->people));
    show_cases(&l, a, m->of);
    letter_table_end(&l);
    show_others(&l, a, m->of);
    if (open)
        say_how_to_answer(&l, a, id, question_link(g, rt, a, m->who->id, q->expires));
    code = letter_put(tx, &l, &post, &r, now, e);
    letter_clear(&l);
    return code;
}

/* Names of machines and device groups are Defender's. */
static const char *post_machine(struct arena *a, const struct question_extent *of, size_t i)
{
    const char *name = utf8_short(a, machine_of(&of->list[i]), NAME_MAX_LEN, UTF8_ELLIPSIS);
    char id[ID_TEXT_SIZE];

    return name
               ? arena_fmt(a, "%s, case %s%s", name, id_format(of->list[i].case_id, id),
                           of->isolated_already[i] ? " (isolated already, not for this alert)" : "")
               : NULL;
}

/* id: of q, as text. */
static const char *post_next(struct arena *a, const struct question_record *q, const char *id)
{
    char when[CLOCK_TEXT_SIZE];

    if (q->state != QUESTION_OPEN)
        return arena_fmt(
            a,
            "It is not asked for: %s. A person should look now; `cordon cases retry ID` "
            "begins a case anew.",
            q->why);
    return arena_fmt(
        a,
        "Until %s a yes lets it go on, by command: `cordon approve %s --why TEXT`, "
        "`cordon refuse %s --why TEXT`. When nobody answers nothing is isolated, and you "
        "are told again.",
        clock_format(q->expires, when), id, id);
}

enum err_code question_post_put(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                struct arena *a, const struct question_record *q,
                                const struct question_extent *of, int64_t now, struct err *e)
{
    const struct question_mail m = {.q = q, .of = of};
    const bool one = of->machines == 1, open = q->state == QUESTION_OPEN;
    struct post_fact facts[CASES_POSTED + 3];
    char id[ID_TEXT_SIZE];
    struct post p = {
        .kind = notice_kind_name(open ? NOTICE_QUESTION : NOTICE_NOT_ISOLATED),
        .subject = subject_of(&m, a, q->what),
        .headline = headlines[open][one][of->isolated > 0],
        .bad = true,
        .why = arena_fmt(a, "Why: safety holds back what the rules want isolated: %s", q->what),
        .next = post_next(a, q, id_format(q->id, id)),
        .facts = facts};
    const char *about = arena_fmt(a, ABOUT "%s", id);

    facts[p.n_facts++] = (struct post_fact){"Question", id};
    facts[p.n_facts++] = (struct post_fact){
        "Persons needed",
        open && q->people > 1 ? arena_fmt(a, "%lld", (long long)q->people) : NULL};
    for (size_t i = 0; i < of->n && i < CASES_POSTED; i++)
        facts[p.n_facts++] = (struct post_fact){"Machine", post_machine(a, of, i)};
    if (of->cases > CASES_POSTED)
        facts[p.n_facts++] = (struct post_fact){
            "And", arena_fmt(a, "%lld more cases", (long long)of->cases - CASES_POSTED)};
    if (!p.subject || !p.why || !p.next || !about)
        return err_set(e, ERR_NOMEM, "a post to a webhook");
    return channels_announce(tx, g, rt, about, &p, now, e);
}

enum err_code question_post_instead(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                    struct arena *a, const struct notice_record *n, int64_t now,
                                    bool *ret_is, struct err *e)
{
    bool asks = strcmp(n->kind, notice_kind_name(NOTICE_QUESTION)) == 0, told = false;
    struct question_extent of = {.cases = 0};
    struct question_record q;
    int64_t id;
    enum err_code code;

    *ret_is = strncmp(n->about, ABOUT, strlen(ABOUT)) == 0 &&
              !id_parse(n->about + strlen(ABOUT), &id, NULL);
    if (!*ret_is)
        return ERR_OK;
    code = question_load(tx, a, id, &q, e);
    if (code || (asks && q.state != QUESTION_OPEN))
        return code;
    code = notice_was_taken(tx, n, HELPDESK_CHANNEL, &told, e);
    if (!code && !told) /* for another mail of it that reached nobody */
        code = notice_was_posted(tx, n->about, NULL, n->created, &told, e);
    if (code || told)
        return code;
    code = question_extent_read(tx, a, id, &of, e);
    *ret_is = asks || of.cases;
    return code || !of.cases ? code : question_post_put(tx, g, rt, a, &q, &of, now, e);
}

enum err_code question_may_be_mailed(struct db_tx *tx, struct arena *a,
                                     const struct notice_record *n, bool *ret, struct err *e)
{
    struct notice_record like = *n;
    int64_t ids[QUESTIONS_OF_CASE];
    char id[ID_TEXT_SIZE];
    size_t count = 0;
    enum err_code code = question_over_many_of(tx, n->case_id, ids, QUESTIONS_OF_CASE, &count, e);

    *ret = false;
    like.case_id = 0;
    if (strcmp(n->kind, notice_kind_name(NOTICE_QUESTION)) == 0)
        like.kind =
            ""; /* what was asked before over many is another question than the case's own */
    for (size_t i = 0; i < count && !code && !*ret; i++) {
        like.about = arena_fmt(a, ABOUT "%s", id_format(ids[i], id));
        code = like.about ? notice_may_be_mailed(tx, &like, ret, e)
                          : err_set(e, ERR_NOMEM, "question");
    }
    return code;
}
