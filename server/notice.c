/* notice.c - see notice.h. What it says: notice_letter.c. Whether it goes out at once or with others: burst.c. */
#include "notice.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "burst.h"
#include "channel.h"
#include "fault.h"
#include "id.h"
#include "log.h"
#include "mail.h"
#include "notice_letter.h"
#include "pause.h"
#include "question_mail.h"
#include "store_notices.h"
#include "template.h"
#include "unheard.h"
#include "ways.h"

/* A mail that cannot be delivered is tried for as long as mail servers do (RFC 5321 section 4.5.4.1). */
#define GIVE_UP_MS (5 * DAY_MS)
/* And for so many tries one after the other, some hours of them: cordon or its network may have been away for most of those
 * days, or its clock be ahead. A try that comes so long after the one before it is the first of them: a way asks to be
 * left alone for a day at most (rest.h). */
#define TRIES    20
#define PAUSE_MS (DAY_MS + HOUR_MS)
/* An earlier mail that was tried so lately has had its turn; how long one waits for those that have not. */
#define TRIED_MS MINUTE_MS
#define TURN_MS  (5 * SECOND_MS)

/* Was anybody asked about the case by a mail? Where the policy asks others than mail.to, those who were told of it are they. */
static enum err_code was_asked(struct db_tx *tx, struct arena *a, int64_t case_id, bool *ret,
                               struct err *e)
{
    struct notice_heard *heard;
    size_t n = 0;
    enum err_code code = notice_channel_heard(tx, a, case_id, NULL, &heard, &n, e);

    for (size_t i = 0; i < n && !code; i++)
        *ret = *ret || strcmp(heard[i].kind, notice_kind_name(NOTICE_QUESTION)) == 0;
    return code;
}

/* Was mail.to's turn, in a step of the case that names nobody? Under a silence that told nothing; what follows is told all the same.
 * And of a rule that writes to nobody all is for mail.to. */
static enum err_code is_for_usual(struct db_tx *tx, const struct config *config, struct arena *a,
                                  int64_t case_id, bool *ret, struct err *e)
{
    struct step_record *steps;
    size_t n = 0;
    bool named = false, others = config->policy && policy_terms(config->policy)->approvers.count;
    enum err_code code = case_steps(tx, a, case_id, &steps, &n, e);

    *ret = false;
    for (size_t i = 0; i < n && !code && !*ret; i++) {
        AUTO(json_freep) struct json *args = NULL;
        const char *who;

        named = named || strcmp(steps[i].handler, "email") == 0;
        if (strcmp(steps[i].handler, "ask") == 0 &&
            !json_parse(steps[i].args, strlen(steps[i].args), &args, NULL))
            others = others || json_count(json_get(args, "approvers"));
        if (steps[i].state == STEP_WAITING || steps[i].state == STEP_SKIPPED ||
            strcmp(steps[i].handler, "email") != 0 ||
            json_parse(steps[i].args, strlen(steps[i].args), &args, NULL))
            continue;
        who = json_get_string(args, "audience");
        *ret = !json_count(json_get(args, "to")) && !(who && strcmp(who, "desk") == 0);
    }
    if (code || named)
        return code;
    if (others)
        code = was_asked(tx, a, case_id, &named, e);
    *ret = !named;
    return code;
}

/* Those of usual who are not among the n of list, which has room for them. */
static size_t add_usual(const char **list, size_t n, const struct text_list *usual)
{
    size_t before = n;

    for (size_t i = 0; i < usual->count; i++) {
        size_t same = 0;

        while (same < before && strcmp(list[same], usual->items[i]) != 0)
            same++;
        if (same == before)
            list[n++] = usual->items[i];
    }
    return n;
}

/* Whom to write to: who is named, else who was told before, else mail.to. And where mail.to is another by now than it was for a
 * step whose turn it was, who is there now, too: they are to hear how it goes on. */
static enum err_code audience(struct db_tx *tx, const struct notice *n, const struct config *config,
                              struct arena *arena, const char *const **ret, size_t *ret_count,
                              struct err *e)
{
    const struct text_list *usual = &config->mail.to;
    const char **before, **all;
    size_t n_before = 0;
    bool for_usual = true;
    enum err_code code;

    if (n->n_to) {
        *ret = n->to;
        *ret_count = n->n_to;
        return ERR_OK;
    }
    code = notice_audience(tx, arena, n->c->id, &before, &n_before, e);
    if (!code && n_before)
        code = is_for_usual(tx, config, arena, n->c->id, &for_usual, e);
    if (code)
        return code;
    all = arena_array(arena, n_before + usual->count + 1, sizeof *all);
    if (!all)
        return err_set(e, ERR_NOMEM, "notice");
    for (size_t i = 0; i < n_before; i++)
        all[i] = before[i];
    *ret_count = for_usual ? add_usual(all, n_before, usual) : n_before;
    *ret = all;
    return ERR_OK;
}

/* What the caller did not have at hand: the facts, and the words of the rule's own email step, so that later mails of
 * a case are called as its first. */
struct background {
    struct json *doc, *args;
    struct facts facts;
};

static enum err_code read_facts(struct db_tx *tx, struct arena *a, struct notice *n,
                                struct background *b, struct err *e)
{
    struct case_record c = *n->c;
    enum err_code code = c.facts ? ERR_OK : case_load(tx, a, c.id, &c, e);

    if (!code && c.facts && !b->doc && !json_parse(c.facts, strlen(c.facts), &b->doc, NULL) &&
        !facts_read(b->doc, &b->facts, NULL))
        n->facts = &b->facts;
    return code;
}

static enum err_code read_words(struct db_tx *tx, struct arena *a, struct notice *n,
                                struct background *b, struct err *e)
{
    struct step_record *steps;
    size_t n_steps = 0;
    enum err_code code = case_steps(tx, a, n->c->id, &steps, &n_steps, e);

    for (size_t i = 0; i < n_steps && !code; i++) {
        const char *subject;

        if (strcmp(steps[i].handler, "email") != 0 ||
            json_parse(steps[i].args, strlen(steps[i].args), &b->args, NULL))
            continue;
        subject = json_get_string(b->args, "subject"); /* a mail to the helpdesk has none */
        if (subject) {
            n->subject = subject;
            return code;
        }
        json_free(b->args);
        b->args = NULL;
    }
    return code;
}

/* "contoso incident 924521": mails of one incident are one conversation. */
static const char *conversation(const struct notice *n, struct arena *a)
{
    char case_id[ID_TEXT_SIZE];
    int64_t incident;

    if (n->facts && json_int64_lax(json_get(n->facts->alert, "incidentId"), &incident))
        return arena_fmt(a, "%s incident %" PRId64, n->c->tenant, incident);
    return arena_fmt(a, "%s case %s", n->c->tenant, id_format(n->c->id, case_id));
}

/* Nobody hears of it: the log does, and whoever asked for the notice. */
static void nobody(const struct notice *n, const struct config_mail *mail)
{
    const char *why = !mail->server
                          ? "nobody to write to: there is no mail server"
                          : "nobody to write to: the step names nobody, and mail.to is not set";

    log_event(LOG_WARN, "nobody_told", LOG_ID("case", n->c->id),
              LOG_STR("kind", notice_kind_name(n->kind)), LOG_STR("news", n->why),
              LOG_STR("why", why));
    if (n->ret_nobody)
        *n->ret_nobody = why;
}

/* All that a notice is before it is stored. */
struct draft {
    struct notice n;
    struct background background;
    struct notice_record r;
    struct letter_post post;
    struct mime_header headers[2];
    char case_id[ID_TEXT_SIZE];
};

static void draft_clear(struct draft *d)
{
    json_free(d->background.doc);
    json_free(d->background.args);
}

/* The user's own words, where the rule has none. */
static enum err_code use_templates(struct draft *d, const struct config_mail *mail, struct arena *a)
{
    enum err_code code = ERR_OK;

    if (d->n.facts && !d->n.subject && mail->subject)
        code = template_expand(mail->subject, d->n.facts, a, &d->n.subject);
    if (d->n.facts && !d->n.body && mail->body && !code)
        code = template_expand(mail->body, d->n.facts, a, &d->n.body);
    return code;
}

void notice_look_beside(struct db_tx *tx, struct arena *arena, struct notice *n)
{
    struct isolation_record *r = arena_alloc(arena, sizeof *r);
    bool over = n->isolation && (n->isolation->state == ISOLATION_FAILED ||
                                 n->isolation->state == ISOLATION_RELEASED);
    bool found = false;

    if (r && (!n->isolation || over) && n->c->machine_id &&
        !isolation_find_open(tx, arena, n->c->tenant, n->c->machine_id, r, &found, NULL) && found)
        n->beside = r;
    if (n->kind == NOTICE_RELEASED && n->beside &&
        (n->beside->state == ISOLATION_ISOLATED || n->beside->state == ISOLATION_RELEASING))
        n->anew = true;
}

/* A question says nothing of how the isolation stands, nor does what came of another step. */
static bool is_of_isolation(const char *kind)
{
    return strcmp(kind, notice_kind_name(NOTICE_QUESTION)) != 0 &&
           strcmp(kind, notice_kind_name(NOTICE_ACTION_DONE)) != 0 &&
           strcmp(kind, notice_kind_name(NOTICE_ACTION_FAILED)) != 0;
}

static bool knows(const struct notice_heard *list, size_t n, const char *address, const char *kind,
                  const char *said)
{
    while (n-- > 0)
        if (strcmp(list[n].address, address) == 0 && is_of_isolation(list[n].kind))
            return strcmp(list[n].kind, kind) == 0 && !list[n].refused && list[n].said &&
                   strcmp(list[n].said, said) == 0;
    return false;
}

enum err_code notice_leave_out(struct db_tx *tx, struct arena *arena, struct notice *n,
                               struct err *e)
{
    const char **left = arena_array(arena, n->n_to + 1, sizeof *left), *said;
    struct notice mine = *n;
    struct notice_heard *heard;
    size_t n_heard = 0, n_left = 0;
    enum err_code code = notice_channel_heard(tx, arena, n->c->id, NULL, &heard, &n_heard, e);

    if (code)
        return code;
    notice_look_beside(tx, arena, &mine);
    said = notice_said_alone(&mine, arena);
    if (!said || !left)
        return err_set(e, ERR_NOMEM, "notice");
    for (size_t i = 0; i < n->n_to; i++)
        if (!knows(heard, n_heard, n->to[i], notice_kind_name(n->kind), said))
            left[n_left++] = n->to[i];
    n->to = left;
    n->n_to = n_left;
    return ERR_OK;
}

/* d: n, r.id and post.to are there. */
static enum err_code fill(struct db_tx *tx, struct runtime *rt, struct arena *a, struct draft *d,
                          struct err *e)
{
    struct notice *n = &d->n;
    struct notice_record *r = &d->r;
    struct notice_thread thread;
    enum err_code code = ERR_OK;

    if (!n->facts)
        code = read_facts(tx, a, n, &d->background, e);
    if (!code && !n->subject)
        code = read_words(tx, a, n, &d->background, e);
    if (!code && use_templates(d, &rt->config->mail, a))
        code = err_set(e, ERR_NOMEM, "notice");
    notice_look_beside(tx, a, n);
    if (!code)
        code = notice_thread(tx, a, n->c->id, conversation(n, a), &thread, e);
    if (code)
        return code;
    r->case_id = n->c->id;
    r->kind = notice_kind_name(n->kind);
    r->sender = rt->config->mail.from;
    r->thread = thread.name;
    r->after = thread.last_of_case;
    r->subject = notice_subject(n, a);
    r->said = notice_said_alone(n, a);
    r->machine = notice_machine(n);
    r->alert = notice_alert(n, a);
    d->headers[0] = (struct mime_header){"X-Cordon-Case", id_format(n->c->id, d->case_id)};
    d->headers[1] = (struct mime_header){"X-Cordon-State", r->kind};
    d->post.headers = d->headers;
    d->post.n_headers = 2;
    d->post.root = thread.first;
    d->post.answers_to = thread.last;
    d->post.topic = strstr(thread.name, " incident ") ? thread.name : notice_topic(n, a);
    return r->subject && r->said && d->post.topic ? ERR_OK : err_set(e, ERR_NOMEM, "notice");
}

/* Those of to whom mail number i is for: the steps of a case may tell more people than one can go to. */
static void take_share(struct letter_post *post, const char *const *to, size_t n_to, size_t i)
{
    size_t from = i * MAIL_RECIPIENTS_MAX, left = n_to - from;

    post->to = to + from;
    post->n_to = left < MAIL_RECIPIENTS_MAX ? left : MAIL_RECIPIENTS_MAX;
}

enum err_code notice_put(struct db_tx *tx, struct engine *g, struct runtime *rt,
                         struct arena *arena, const struct notice *n, int64_t now, struct err *e)
{
    AUTO(draft_clear) struct draft d = {.n = *n};
    const struct notice_question *q = n->question;
    struct case_record c = *n->c;
    const char *kind = notice_kind_name(n->kind), *const *to = NULL;
    size_t messages = q ? q->n_links : 0, n_to = 0;
    bool posted = false, only_others = false;
    struct pause pause;
    enum err_code code = ERR_OK;

    if (n->webhook || n->desk)
        return channel_step(tx, g, rt, arena, n, now, e);
    if (!n->facts)
        code = read_facts(tx, arena, &d.n, &d.background, e);
    if (!code && !n->n_to)
        code = channels_tell(tx, g, rt, arena, &d.n, now, &posted, &only_others, e);
    if (!code && only_others && !q)
        return n->aside ? ERR_OK : case_told(tx, &c, kind, e);
    if (!code)
        code = pause_read(tx, rt, arena, &pause, e);
    if (!code && !q)
        code = audience(tx, n, rt->config, arena, &to, &n_to, e);
    if (code)
        return code;
    if (!q)
        messages = (n_to + MAIL_RECIPIENTS_MAX - 1) / MAIL_RECIPIENTS_MAX;
    if (!rt->config->mail.server || !messages) {
        if (!posted)
            code = channels_instead(tx, g, rt, arena, &d.n, false, now, &posted, e);
        if (code)
            return code;
        if (posted && !n->link) /* they are not told the same with each try */
            return n->aside ? ERR_OK : case_told(tx, &c, kind, e);
        nobody(n, &rt->config->mail);
        return ERR_OK;
    }
    code = fill(tx, rt, arena, &d, e);
    for (size_t i = 0; i < messages && !code; i++) {
        struct letter l;

        d.r.id = id_new_after(g->clock, d.r.after);
        d.r.burst = 0;
        if (q) { /* a link is one person's, and a question is never held */
            d.post.to = &q->links[i].address;
            d.post.n_to = 1;
        } else {
            take_share(&d.post, to, n_to, i);
            if (!n->link) /* one to a package stands in its mail alone, and in no digest */
                code = burst_gate(tx, g, rt, arena, &c, &d.r, d.post.to, d.post.n_to, now, e);
        }
        if (code)
            return code;
        notice_compose(&l, &d.n, rt, &pause, q ? q->links[i].url : NULL, arena);
        code = letter_put(tx, &l, &d.post, &d.r, now, e);
        letter_clear(&l);
    }
    return code || n->aside ? code : case_told(tx, &c, kind, e);
}

enum err_code notice_preview(struct db_tx *tx, struct engine *g, struct runtime *rt,
                             struct arena *arena, const struct notice *n, int64_t now,
                             struct notice_record *ret, struct err *e)
{
    AUTO(draft_clear) struct draft d = {.n = *n, .r.id = id_new(g->clock)};
    AUTO(buf_clear) struct buf message = BUF_INIT(LETTER_MESSAGE_MAX);
    struct pause pause;
    struct letter l;
    enum err_code code = audience(tx, n, rt->config, arena, &d.post.to, &d.post.n_to, e);

    if (!code)
        code = pause_read(tx, rt, arena, &pause, e);
    if (!code && (!rt->config->mail.server || !d.post.n_to))
        code = err_set(e, ERR_CONFLICT, "no mail is configured, or nobody to write to");
    if (!code)
        code = fill(tx, rt, arena, &d, e);
    if (code)
        return code;
    d.r.recipients = arena_array(arena, d.post.n_to, sizeof *d.r.recipients);
    for (size_t i = 0; d.r.recipients && i < d.post.n_to; i++)
        d.r.recipients[d.r.n_recipients++].address = d.post.to[i];
    notice_compose(&l, &d.n, rt, &pause, NULL, arena);
    code = letter_build(tx, &l, &d.post, &d.r, d.post.to, d.post.n_to, now, &message, e);
    letter_clear(&l);
    d.r.message = code ? NULL : arena_str(arena, buf_text(&message));
    if (!code && (!d.r.message || !d.r.recipients))
        code = err_set(e, ERR_NOMEM, "preview");
    if (!code)
        *ret = d.r;
    return code;
}

/* ---- sending ---------------------------------------------------------------------------------- */

struct sending {
    struct engine *g;
    struct work *w;
    struct notice_record n;
    const char *to[MAIL_RECIPIENTS_MAX];
    struct recipient_record *who[MAIL_RECIPIENTS_MAX];
    struct mail_result results[MAIL_RECIPIENTS_MAX];
    size_t count; /* of the three above: those who have not got it */
    struct runtime *rt;
    struct arena *arena;
    struct way *const *way; /* those that it may take, n_ways of them */
    size_t n_ways;
    struct ways_sent ways; /* what was tried */
    int64_t now, due, attempts;
    bool give_up;
};

static bool is_post(const struct sending *s)
{
    return config_is_webhook_way(s->n.channel);
}

/* Since when those who have not got it are tried: for whom it was readdressed to, that is when the last of the others
 * had refused it. */
static int64_t tried_since(const struct notice_record *n)
{
    int64_t since = n->created;

    for (size_t i = 0; i < n->n_recipients; i++)
        if (n->recipients[i].state == RECIPIENT_REFUSED && n->recipients[i].updated > since)
            since = n->recipients[i].updated;
    return since;
}

/* How many tries there were without a pause of days, this one included. */
static int64_t tries_of(const struct sending *s)
{
    int64_t last = s->n.created;

    for (size_t i = 0; i < s->count; i++)
        last = s->who[i]->updated > last ? s->who[i]->updated : last;
    return s->now - last > PAUSE_MS ? 1 : s->w->attempts;
}

static bool is_given_up(const struct sending *s)
{
    int64_t age = s->now - tried_since(&s->n);
    bool elsewhere = is_post(s) || (!s->n.channel && s->rt->config->n_webhooks); /* unheard.c */

    /* Without a way there is nothing to wait for, but a reload that was a mistake. */
    return elsewhere && !s->n_ways ? age >= ENGINE_LATE_MS
                                   : age >= GIVE_UP_MS && s->attempts >= TRIES;
}

static bool is_recipient(const struct notice_record *n, const char *address)
{
    for (size_t i = 0; i < n->n_recipients; i++)
        if (strcmp(n->recipients[i].address, address) == 0)
            return true;
    return false;
}

/* Whom it is for when none of its people can get it: those of mail.to. A link to decide by is its reader's alone, and
 * when nobody answers people are told. */
static bool is_for_another(const struct sending *s, const char *address)
{
    return !s->n.channel && strcmp(s->n.kind, notice_kind_name(NOTICE_QUESTION)) != 0 &&
           !is_recipient(&s->n, address);
}

/* Nobody has got it yet, and there is nobody else to write to. */
static bool is_last_hope(const struct sending *s)
{
    const struct text_list *usual = &s->rt->config->mail.to;

    for (size_t i = 0; i < s->n.n_recipients; i++)
        if (s->n.recipients[i].state == RECIPIENT_SENT)
            return false;
    for (size_t i = 0; i < usual->count; i++)
        if (is_for_another(s, usual->items[i]))
            return false;
    return true;
}

/* Nobody got it, and nobody will. Of how a question over many ended each of those who were asked has a mail of his own. */
static enum err_code readdress(struct db_tx *tx, const struct sending *s, size_t *ret_added,
                               struct err *e)
{
    const struct text_list *usual = &s->rt->config->mail.to;
    const bool each =
        s->n.about && strncmp(s->n.about, QUESTION_ABOUT, strlen(QUESTION_ABOUT)) == 0;
    enum err_code code = ERR_OK;

    *ret_added = 0;
    for (size_t i = 0; i < usual->count && !code; i++) {
        bool has = !is_for_another(s, usual->items[i]);

        if (each && !has)
            code = notice_is_for(tx, &s->n, usual->items[i], &has, e);
        if (!code && !has)
            code = recipient_add(tx, s->n.id, (int64_t)(s->n.n_recipients + (*ret_added)++),
                                 usual->items[i], s->now, e);
    }
    return code;
}

static enum err_code sent_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct sending *s = arg;
    size_t waiting = 0, sent = 0, added = 0;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < s->count && !code; i++) {
        const struct mail_result *r = &s->results[i];
        enum recipient_state to = r->fate == MAIL_SENT                    ? RECIPIENT_SENT
                                  : r->fate == MAIL_REFUSED || s->give_up ? RECIPIENT_REFUSED
                                                                          : RECIPIENT_WAITING;

        waiting += to == RECIPIENT_WAITING;
        code = recipient_move(tx, s->n.id, s->who[i]->n, to, r->smtp_code, r->text, s->now, e);
    }
    /* Later notices of the case may follow when somebody's fate is settled, or have waited long enough:
     * whom they are for may be others. */
    if (!code)
        code = ways_note(tx, s->g, s->rt, s->arena, &s->ways, s->now, e);
    if (!code && (!waiting || waiting < s->count || s->now - s->n.created >= ENGINE_LATE_MS))
        code = notice_release(tx, s->n.id, s->now, e);
    if (code || waiting)
        return code ? code : work_again(tx, s->w, s->due, s->attempts, e);
    for (size_t i = 0; i < s->n.n_recipients; i++)
        sent += s->n.recipients[i].state == RECIPIENT_SENT;
    for (size_t i = 0; i < s->count; i++)
        sent += s->results[i].fate == MAIL_SENT;
    if (!sent)
        code = readdress(tx, s, &added, e);
    if (code || added)
        return code ? code : work_again(tx, s->w, s->now, 0, e);
    code = notice_end(tx, s->n.id, sent ? "sent" : "failed",
                      sent ? NULL : "no recipient's server took it", s->now, e);
    if (!code && !sent)
        code = unheard_tell(tx, s->g, s->rt, s->arena, &s->n, s->now, e);
    return code ? code : work_done(tx, s->w, e);
}

static void log_fates(const struct sending *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct mail_result *r = &s->results[i];

        log_event(r->fate == MAIL_SENT ? LOG_INFO : LOG_WARN, is_post(s) ? "post" : "mail",
                  LOG_ID("case", s->n.case_id), LOG_STR("about", s->n.about),
                  LOG_ID("notice", s->n.id), LOG_STR("kind", s->n.kind), LOG_STR("to", s->to[i]),
                  LOG_STR("fate", mail_fate_name(r->fate)), LOG_INT("code", r->smtp_code),
                  LOG_STR("why", r->fate == MAIL_SENT ? NULL : r->text));
    }
}

/* A post has the one way that it is for. */
static void find_ways(struct sending *s, struct runtime *rt)
{
    s->way = rt->ways;
    s->n_ways = is_post(s) ? 0 : rt->config->mail.n_ways;
    for (size_t i = 0; is_post(s) && i < rt->config->n_webhooks; i++)
        if (strcmp(way_name(rt->posts[i]), s->n.channel) == 0) {
            s->way = &rt->posts[i];
            s->n_ways = 1;
        }
}

/* mail.from may be another since the mail was made, and with it the login, which may send as nobody else: what waits is
 * not lost to an address that was mended. Its Message-ID stays what it was. */
static void send_from(const char *from, struct way_mail *m, struct buf *room)
{
    if (m->is_post || !from || strcmp(from, m->from) == 0)
        return;
    mime_readdress(room, m->message, m->len, "From", &from, 1);
    if (buf_failed(room))
        return;
    m->from = from;
    m->message = buf_text(room);
    m->len = room->len;
}

static void send_it(struct sending *s, struct runtime *rt)
{
    AUTO(buf_clear) struct buf room = BUF_INIT(LETTER_MESSAGE_MAX + MIME_ADDRESS_MAX);
    struct err e = {0};
    int64_t wait;

    find_ways(s, rt);
    for (size_t i = 0; i < s->n.n_recipients && s->count < MAIL_RECIPIENTS_MAX; i++)
        if (s->n.recipients[i].state == RECIPIENT_WAITING) {
            s->who[s->count] = &s->n.recipients[i];
            s->to[s->count++] = s->n.recipients[i].address;
        }
    if (s->count && s->n_ways) {
        struct way_mail mail = {.id = s->n.id,
                                .case_id = s->n.case_id,
                                .kind = s->n.kind,
                                .subject = s->n.subject,
                                .from = s->n.sender,
                                .to = s->to,
                                .n = s->count,
                                .message = s->n.message,
                                .len = strlen(s->n.message),
                                .is_post = is_post(s),
                                .nobody_else = is_last_hope(s),
                                .helper = s->g->mail_helper};
        send_from(rt->config->mail.from, &mail, &room);
        fault_point("before a mail is sent");
        ways_send(s->g, rt, s->way, s->n_ways, &mail, s->n.created, s->results, &s->ways);
        fault_point("after a mail was sent");
    } else {
        for (size_t i = 0; i < s->count; i++)
            (void)snprintf(s->results[i].text, sizeof s->results[i].text,
                           s->n.channel ? "this webhook is not configured any more"
                                        : "no mail server configured");
    }
    s->now = clock_wall_ms(s->g->clock);
    s->attempts = tries_of(s);
    wait = engine_backoff(s->attempts, s->ways.retry_ms);
    s->due = s->now + wait;
    if (s->ways.by && s->ways.by < s->due) /* the next way may be used then */
        s->due = s->ways.by > s->now ? s->ways.by : s->now;
    s->give_up = is_given_up(s);
    /* One that wants to be left alone for hours counts as the tries that there would have been meanwhile: else people would
     * wait until it has been asked so often. */
    s->attempts += s->ways.retry_ms / ENGINE_LATE_MS;
    log_fates(s);
    for (size_t i = 0; i < s->count; i++)
        if (is_post(s))
            metrics_add(s->g->metrics, METRIC_POSTS, 1, s->n.channel + strlen(CONFIG_WEBHOOK_WAY),
                        mail_fate_name(s->results[i].fate));
        else
            metrics_add(s->g->metrics, METRIC_MAILS, 1, mail_fate_name(s->results[i].fate), NULL);
    if (db_write(s->g->store->db, sent_fn, s, &e)) {
        log_event(LOG_ERROR, "notice_not_written", LOG_ID("notice", s->n.id),
                  LOG_ID("case", s->n.case_id), LOG_ERR(&e));
        engine_retry(s->g, s->w);
    }
    engine_kick(s->g);
}

/* ---- in their order ---------------------------------------------------------------------------- */

struct turn {
    const struct work *w;
    int64_t *earlier, now;
    size_t n;
};

static enum err_code turn_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct turn *t = arg;
    int64_t attempts = t->w->attempts > 0 ? t->w->attempts - 1 : 0; /* this was none */
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < t->n && !code; i++)
        code = notice_hurry(tx, t->earlier[i], t->now, e);
    return code ? code : work_again(tx, t->w, t->now + TURN_MS, attempts, e);
}

/* How many are left of ids without this one. */
static size_t all_but(int64_t *ids, size_t n, int64_t id)
{
    size_t left = 0;

    for (size_t i = 0; i < n; i++)
        if (ids[i] != id)
            ids[left++] = ids[i];
    return left;
}

/* After an outage all that waits is tried again at times of its own: what is old news to its readers by now goes first,
 * so that no [REQUESTED] comes behind the [ISOLATED]. Those that were tried just now, in vain, hold up nobody; nor does
 * the one that waits for its answer for long, which left whole before. True: the claim has ended. */
static bool others_go_first(struct sending *s)
{
    struct turn t = {.w = s->w, .now = clock_wall_ms(s->g->clock)};
    struct err e = {0};

    if (store_notice_earlier(s->g->store, s->arena, &s->n, t.now - TRIED_MS, &t.earlier, &t.n, &e))
        log_event(LOG_WARN, "notices_unreadable", LOG_ID("notice", s->n.id),
                  LOG_ID("case", s->n.case_id), LOG_ERR(&e));
    t.n = all_but(t.earlier, t.n, atomic_load(&s->g->patient));
    if (!t.n)
        return false;
    if (db_write(s->g->store->db, turn_fn, &t, &e)) {
        log_event(LOG_ERROR, "notice_not_written", LOG_ID("notice", s->n.id),
                  LOG_ID("case", s->n.case_id), LOG_ERR(&e));
        engine_retry(s->g, s->w);
    }
    engine_kick(s->g);
    return true;
}

void notice_run(struct engine *g, struct work *w)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct sending s = {.g = g, .w = w, .rt = rt, .arena = arena};
    struct err e;
    enum err_code code = arena ? store_notice_load(g->store, arena, w->id, &s.n, &e)
                               : err_set(&e, ERR_NOMEM, "notice");

    if (code) {
        log_event(LOG_ERROR, "notice_unreadable", LOG_ID("notice", w->id), LOG_ERR(&e));
        engine_retry(g, w);
        return;
    }
    if (others_go_first(&s))
        return;
    if (engine_enter(g, w, is_post(&s) ? s.n.channel : "mail", 1 + rt->config->n_webhooks))
        send_it(&s, rt);
}
