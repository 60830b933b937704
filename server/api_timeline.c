/* api_timeline.c - see api.h: what happened in a case, in the order of time.
 *
 * It is made of what the store keeps of the case now, and of the orders that people gave about it. Of what was done twice (a step
 * that was tried again, a second reading) that is the last time; the audit has all of them. */
#include "api.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "explain.h"
#include "id.h"
#include "text.h"

struct moment {
    int64_t at;
    size_t n; /* of two at once: which was noted first */
    const char *what;
};

struct timeline {
    struct arena *arena;
    struct moment *list;
    size_t count, room;
    bool nomem;
};

/* at: 0, it has not happened. */
__attribute__((format(printf, 3, 4))) static void add(struct timeline *t, int64_t at,
                                                      const char *fmt, ...)
{
    AUTO(buf_clear) struct buf text = BUF_INIT((size_t)1024 * 1024);
    va_list ap;

    if (!at)
        return;
    if (t->count == t->room) {
        size_t room = t->room ? 2 * t->room : 32;
        struct moment *more = arena_array(t->arena, room, sizeof *more);

        if (!more) {
            t->nomem = true;
            return;
        }
        if (t->count)
            memcpy(more, t->list, t->count * sizeof *more);
        t->list = more;
        t->room = room;
    }
    va_start(ap, fmt);
    buf_addv(&text, fmt, ap);
    va_end(ap);
    t->list[t->count] = (struct moment){
        at, t->count,
        arena_str(t->arena, buf_failed(&text) ? "too long to be told" : buf_text(&text))};
    t->nomem = t->nomem || !t->list[t->count].what;
    t->count++;
}

static int by_time(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->n < y->n ? -1 : x->n > y->n;
}

/* ": why", as two arguments. */
#define BECAUSE(why) (why) ? ": " : "", (why) ? (why) : ""

static void add_judgement(struct timeline *t, const struct case_record *c)
{
    AUTO(json_freep) struct json *facts = NULL, *verdict = NULL;
    const char *at, *doubt;
    int64_t read = 0, judged = 0;

    if (c->facts)
        (void)json_parse(c->facts, strlen(c->facts), &facts, NULL); /* of our own store */
    if (c->verdict)
        (void)json_parse(c->verdict, strlen(c->verdict), &verdict, NULL);
    (void)json_int64(json_get(facts, "read_ms"), &read);
    at = json_get_string(verdict, "at");
    doubt = json_get_string(verdict, "doubt");
    if (at)
        (void)clock_parse(at, &judged, NULL);
    add(t, read, "read from Defender");
    add(t, judged, "judged: %s%s%s%s", c->rule ? "rule " : "no rule matches",
        c->rule ? c->rule : "", doubt ? ", in doubt: " : "", doubt ? doubt : "");
}

static void add_steps(struct timeline *t, const struct step_record *steps, size_t n)
{
    for (size_t i = 0; i < n; i++)
        add(t, steps[i].updated, "step %s: %s%s%s", steps[i].handler,
            explain_step_word(steps[i].handler, step_state_name(steps[i].state)),
            BECAUSE(steps[i].why));
}

/* Never ahead of what Defender said. */
static void add_isolation(struct timeline *t, const struct case_record *c,
                          const struct isolation_record *i)
{
    const char *others = i->requestor ? i->requestor : "somebody else";
    char id[ID_TEXT_SIZE];

    if (i->adopted)
        add(t, i->requested, "isolation asked for by %s", others);
    else if (i->case_id != c->id)
        add(t, i->requested, "isolation asked for, for case %s", id_format(i->case_id, id));
    else
        add(t, i->requested, "isolation asked for");
    add(t, i->sent, "request for it sent to Defender");
    add(t, i->confirmed, "isolated: confirmed by Defender");
    add(t, i->lapsed, "Defender gave up on the absent machine");
    if (i->state == ISOLATION_FAILED)
        add(t, i->updated, "isolation %s%s%s",
            isolation_is_unknown(i) ? "given up, and nobody knows what came of it" : "failed",
            BECAUSE(i->why));
    if (i->state == ISOLATION_RELEASING)
        add(t, i->updated, "release not confirmed by Defender%s%s", BECAUSE(i->release_why));
    /* Whose release it was, and whether Defender confirmed one, is in its reason: who ordered one that came to nothing did not
     * release it, and what Defender lists no more it has not confirmed. */
    add(t, i->released, "released%s%s", BECAUSE(i->why));
}

/* How a case was let go, how a question was answered: that stands with these. */
static const struct {
    const char *order, *words;
} orders[] = {{"case_retried", "tried again"},
              {"release_ordered", "release ordered"},
              {"isolation_extended", "isolation extended"}};

/* An order about another case is one about this one's, too, as far as the isolation is that they share. */
static void add_order(struct timeline *t, const struct api_story *s, const struct audit_record *r)
{
    AUTO(json_freep) struct json *doc = NULL;
    const char *order, *who, *why, *rule, *at;
    char id[ID_TEXT_SIZE];
    int64_t judged = 0;

    if (json_parse(r->detail, strlen(r->detail), &doc, NULL)) /* somebody else's writing */
        return;
    order = json_get_string(doc, "order");
    who = json_get_string(doc, "who");
    why = json_get_string(doc, "why");
    rule = json_get_string(doc, "rule");
    at = json_get_string(doc, "judged");
    if (r->case_id != s->c->id && (!s->isolation || !text_is_same(json_get_string(doc, "isolation"),
                                                                  id_format(s->isolation->id, id))))
        return;
    for (size_t i = 0; order && i < sizeof orders / sizeof *orders; i++) {
        if (strcmp(orders[i].order, order) != 0)
            continue;
        if (at)
            (void)clock_parse(at, &judged, NULL);
        add(t, judged, "judged for the time before: %s%s", rule ? "rule " : "no rule matches",
            rule ? rule : "");
        add(t, r->time, "%s%s%s%s%s", orders[i].words, who ? " by " : "", who ? who : "",
            BECAUSE(why));
    }
}

static void add_question(struct timeline *t, const struct api_asked *asked)
{
    const struct question_record *q = asked->q;

    add(t, q->created, "asked: %s", q->what);
    for (size_t i = 0; i < asked->n_answers; i++)
        add(t, asked->answers[i].at, "%s says %s%s%s", asked->answers[i].person,
            asked->answers[i].yes ? "yes" : "no", BECAUSE(asked->answers[i].why));
    add(t, q->ended, "question %s%s%s", question_state_name(q->state), BECAUSE(q->why));
}

static void add_action(struct timeline *t, const struct action_record *x)
{
    const char *detail = x->detail ? x->detail : "";

    add(t, x->requested, "%s%s%s asked for%s%s", x->handler, *detail ? " " : "", detail,
        x->adopted ? " by " : "",
        x->adopted ? (x->requestor ? x->requestor : "somebody else") : "");
    add(t, x->ended, "%s%s%s %s%s%s", x->handler, *detail ? " " : "", detail,
        action_state_name(x->state), BECAUSE(x->why));
}

static void add_notice(struct timeline *t, const struct notice_record *n)
{
    const char *subject = n->subject ? n->subject : n->kind;
    const char *by = n->channel ? n->channel : "mail";

    add(t, n->created, "%s made: %s", by, subject);
    add(t, n->ended, "%s %s: %s", by, n->state, subject);
}

void api_timeline(struct json_out *o, struct arena *a, const struct api_story *s)
{
    struct timeline t = {.arena = a};
    const struct case_record *c = s->c;

    /* Ids grow: a delivery after the case is that of another source, which has pushed it since and took the first one's place.
     * Polling and hunts take it, too, without any delivery: whether they were the first to know of it nobody can say. */
    if (!c->delivery || c->delivery > c->id)
        add(&t, c->created, "came");
    else
        add(&t, c->created, "came from source %s", c->source ? c->source : "unknown");
    for (size_t i = 0; i < s->n_orders; i++)
        add_order(&t, s, &s->orders[i]);
    add_judgement(&t, c);
    for (size_t i = 0; i < s->n_asked; i++)
        add_question(&t, &s->asked[i]);
    add_steps(&t, s->steps, s->n_steps);
    if (s->isolation)
        add_isolation(&t, c, s->isolation);
    for (size_t i = 0; i < s->n_actions; i++)
        add_action(&t, &s->actions[i]);
    for (size_t i = 0; i < s->n_notices; i++)
        add_notice(&t, &s->notices[i]);
    add(&t, c->updated, "case %s%s%s", case_state_name(c->state), BECAUSE(c->why));
    if (t.nomem)
        o->buf->failed = ERR_NOMEM;
    if (t.count)
        qsort(t.list, t.count, sizeof *t.list, by_time);
    json_out_array(o, "timeline");
    for (size_t i = 0; i < t.count && !t.nomem; i++) {
        json_out_object(o, NULL);
        json_out_time(o, "at", t.list[i].at);
        json_out_string(o, "what", t.list[i].what);
        json_out_object_end(o);
    }
    json_out_array_end(o);
}
