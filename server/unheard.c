/* unheard.c - see unheard.h. */
#include "unheard.h"

#include <string.h>

#include "action.h"
#include "channel.h"
#include "helpdesk.h"
#include "id.h"
#include "log.h"
#include "mime.h"
#include "mime_read.h"
#include "notice.h"
#include "notice_letter.h"
#include "notice_system.h"
#include "question_mail.h"
#include "standing.h"
#include "store_questions.h"
#include "utf8.h"

/* Of so many cases a post has a row. */
#define ROWS_POSTED 12
#define SUBJECT_MAX 300 /* bytes of it there */
/* Of a mail's text, in bytes: a template for people cuts it further. */
#define TEXT_POSTED_MAX 2000

struct unheard {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    const struct notice_record *n;
    int64_t now;
};

/* What a case has come to by now, which may be more than the notice said, as a notice of its own. */
struct stand {
    struct notice n;
    struct case_record c;
    struct isolation_record isolation;
    struct notice_question asked;
    struct json *doc;
    struct facts facts;
};

static void stand_clear(struct stand *s)
{
    json_free(s->doc);
}

static enum err_code read_stand(struct db_tx *tx, const struct unheard *u, struct stand *ret,
                                struct err *e)
{
    struct notice *n = &ret->n;
    enum err_code code = case_load(tx, u->arena, u->n->case_id, &ret->c, e);

    if (code)
        return code;
    n->c = &ret->c;
    n->doubt = ret->c.why;
    if (ret->c.facts && !json_parse(ret->c.facts, strlen(ret->c.facts), &ret->doc, NULL) &&
        !facts_read(ret->doc, &ret->facts, NULL))
        n->facts = &ret->facts;
    return standing_read(tx, u->arena, &ret->c, n, &ret->isolation, e);
}

/* The question that nobody got, if it still is one. It holds no link, for that is one person's; operators answer by command. */
static enum err_code read_question(struct db_tx *tx, const struct unheard *u, struct stand *s,
                                   struct err *e)
{
    struct question_record q;
    struct question_case *of;
    bool found = false;
    size_t n = 0;
    enum err_code code = question_find_holding(tx, u->arena, s->c.id, &q, &found, e);

    if (code || !found || !question_is_of_one(q.kind))
        return code;
    code = question_cases(tx, u->arena, q.id, 0, 1, &of, &n, e);
    if (code || !n)
        return code;
    s->asked = (struct notice_question){
        .id = q.id, .expires = q.expires, .people = q.people, .action = of->action};
    s->n.kind = NOTICE_QUESTION;
    s->n.why = q.what;
    s->n.isolation = NULL;
    s->n.to_come = false;
    s->n.question = &s->asked;
    return ERR_OK;
}

/* What is told of cordon's own in words of others, of alerts and machines: by how it begins what it is about. */
static const struct {
    const char *about, *what;
} of_others[] = {
    {QUESTION_ABOUT, "several cases"},
    {"burst:", "several cases"},
    {"digest:", "several cases"},
    {"silence:", "a silence"},
    {"hunt:", "a hunt"},
    {"machine:", "a machine that is isolated"},
};

/* What n is about, if others have a part in what it says; NULL: they have none, or there is no memory. */
static const char *what_of(const struct notice_record *n, struct arena *a)
{
    char id[ID_TEXT_SIZE];

    if (n->case_id)
        return arena_fmt(a, "case %s", id_format(n->case_id, id));
    for (size_t i = 0; i < sizeof of_others / sizeof *of_others; i++)
        if (strncmp(n->about, of_others[i].about, strlen(of_others[i].about)) == 0)
            return of_others[i].what;
    return NULL;
}

/* Whom it was for, where there is no mail.to: of a post, whom the mails of its case were for. */
static enum err_code bare_audience(struct db_tx *tx, const struct unheard *u, const char ***ret,
                                   size_t *ret_count, struct err *e)
{
    const struct notice_record *n = u->n;
    const char **to;

    *ret_count = 0;
    if (u->rt->config->mail.to.count)
        return ERR_OK;
    if (n->channel)
        return n->case_id ? notice_audience(tx, u->arena, n->case_id, ret, ret_count, e) : ERR_OK;
    *ret = to = arena_array(u->arena, n->n_recipients + 1, sizeof *to);
    if (!to)
        return err_set(e, ERR_NOMEM, "notice");
    for (size_t i = 0; i < n->n_recipients; i++)
        to[(*ret_count)++] = n->recipients[i].address;
    return ERR_OK;
}

/* A far end may refuse a notice for what it says, and others chose some of that: one without a word of theirs is tried, and
 * again for others. */
static enum err_code tell_bare(struct db_tx *tx, const struct unheard *u, const char *what,
                               struct err *e)
{
    char id[ID_TEXT_SIZE];
    const char **to = NULL;
    size_t n_to = 0;
    enum err_code code = bare_audience(tx, u, &to, &n_to, e);
    const struct notice_system_fact facts[] = {{"It told", u->n->kind}, {"About", u->n->about}};
    const struct notice_system n = {
        .about = arena_fmt(u->arena, "unheard:%s:%s%s%s",
                           u->n->case_id ? id_format(u->n->case_id, id) : u->n->about, u->n->kind,
                           n_to ? ":" : "", n_to ? to[0] : ""),
        .kind = "unheard",
        .subject = arena_fmt(u->arena, "what was told about %s reached nobody", what),
        .headline = "A notice reached nobody",
        .body =
            "A person should look now: `cordon cases show CASE` tells a whole case, `cordon cases list` has all, "
            "`cordon silences show ID` what a silence withheld. Whoever was to take that notice refused it or "
            "did not for days, perhaps for what stands in it, which others chose; so this one holds nothing of "
            "that.",
        .not_within = ENGINE_LATE_MS,
        .facts = facts,
        .n_facts = sizeof facts / sizeof *facts,
        .to = to,
        .n_to = n_to,
        .logged_after = true};

    if (code)
        return code;
    if (!n.about || !n.subject)
        return err_set(e, ERR_NOMEM, "notice");
    return notice_system_put(tx, u->g, u->rt, u->arena, &n, u->now, e);
}

/* There is no other way to tell it: the log does. But not of a case that a mail over many has told of. */
static enum err_code reach_nobody(struct db_tx *tx, const struct unheard *u, struct err *e)
{
    const struct config *c = u->rt->config;
    const char *what = what_of(u->n, u->arena);
    bool told = false;
    enum err_code code =
        u->n->case_id ? question_may_be_mailed(tx, u->arena, u->n, &told, e) : ERR_OK;

    if (code || told)
        return code;
    log_event(LOG_WARN, "nobody_told", LOG_ID("case", u->n->case_id), LOG_STR("about", u->n->about),
              LOG_ID("notice", u->n->id), LOG_STR("kind", u->n->kind),
              LOG_STR("why", "nobody's server took it, and there is no other way"));
    return what && (c->mail.server || c->n_webhooks) ? tell_bare(tx, u, what, e) : ERR_OK;
}

/* What came of a step that is not what the case has come to, in the words that were to tell it: "NOT DONE: what and why". */
static void use_step(const struct unheard *u, struct notice *n)
{
    const char *said = notice_said_alone(n, u->arena), *of = u->n->said;

    if (!of || (said && strcmp(said, of) == 0))
        return;
    n->kind = strcmp(u->n->kind, notice_kind_name(NOTICE_ACTION_DONE)) == 0 ? NOTICE_ACTION_DONE
                                                                            : NOTICE_ACTION_FAILED;
    n->why = strstr(of, ": ") ? strstr(of, ": ") + strlen(": ") : of;
    n->said = of;
    n->unknown = n->kind == NOTICE_ACTION_FAILED && strstr(of, ACTION_UNKNOWN);
    n->since = u->n->created;
    n->aside = true;
    n->isolation = NULL;
    n->to_come = false;
}

/* Whom the mails of the case are for, of what came of a step: no mail told it, for posts were enough then, or others. n->n_to 0: one
 * did, and reached nobody. */
static enum err_code step_audience(struct db_tx *tx, const struct unheard *u, struct notice *n,
                                   struct err *e)
{
    struct notice_heard *heard;
    const char **to;
    size_t count = 0;
    enum err_code code = notice_channel_heard(tx, u->arena, u->n->case_id, NULL, &heard, &count, e);

    for (size_t i = 0; i < count && !code; i++)
        if (strcmp(heard[i].kind, u->n->kind) == 0 && heard[i].said && u->n->said &&
            strcmp(heard[i].said, u->n->said) == 0)
            return ERR_OK;
    if (!code)
        code = notice_audience(tx, u->arena, u->n->case_id, &to, &n->n_to, e);
    if (!code)
        n->to = to;
    return code;
}

/* A webhook will never take its post. Who is told of the case by mail hears of it there; when nobody is, it is for those
 * of mail.to: as the case stands now, or what came of the step. Where there are none it is for the webhooks that were told nothing
 * of the case: what took nothing for days is not asked anew, for that would never end. */
static enum err_code mail_instead(struct db_tx *tx, const struct unheard *u, struct err *e)
{
    const struct config_mail *mail = &u->rt->config->mail;
    AUTO(stand_clear) struct stand now = {0};
    struct notice_thread thread = {0};
    bool posted = true, taken = false, many = false;
    enum err_code code = notice_was_taken(tx, u->n, HELPDESK_CHANNEL, &taken, e);

    if (!code && !u->n->case_id) /* all webhooks were posted it at once */
        return taken ? ERR_OK : reach_nobody(tx, u, e);
    if (!code)
        code = question_may_be_mailed(tx, u->arena, u->n, &many, e);
    if (code || many)
        return code;
    if (!code)
        code = notice_thread(tx, u->arena, u->n->case_id, "", &thread, e);
    if (!code && thread.last_of_case && !taken)
        code = notice_may_be_mailed(tx, u->n, &taken, e);
    if (code || (thread.last_of_case && taken))
        return code;
    if (thread.last_of_case && mail->server && notice_is_of_step(u->n->kind))
        code = step_audience(tx, u, &now.n, e);
    if (code || (thread.last_of_case && !now.n.n_to))
        return code ? code : reach_nobody(tx, u, e);
    code = read_stand(tx, u, &now, e);
    if (code)
        return code;
    if (notice_is_of_step(u->n->kind))
        use_step(u, &now.n);
    if (now.n.n_to)
        return notice_put(tx, u->g, u->rt, u->arena, &now.n, u->now, e);
    if (mail->server && mail->to.count) {
        now.n.to = (const char *const *)mail->to.items;
        now.n.n_to = mail->to.count;
        return notice_put(tx, u->g, u->rt, u->arena, &now.n, u->now, e);
    }
    code = channels_instead(tx, u->g, u->rt, u->arena, &now.n, true, u->now, &posted, e);
    return code || posted || taken ? code : reach_nobody(tx, u, e);
}

/* A mail about many cases will never reach anybody: one post about them, for so many posts of their own would be a storm. */
static enum err_code post_digest(struct db_tx *tx, const struct unheard *u, struct err *e)
{
    char id[ID_TEXT_SIZE], ids[ROWS_POSTED][ID_TEXT_SIZE];
    struct post_fact facts[ROWS_POSTED + 1];
    struct post p = {
        .kind = u->n->kind,
        .subject = u->n->subject,
        .headline = "These cases were to be told in one mail, which reaches nobody",
        .bad = true,
        .next =
            "They are told as they stood when that mail was made: `cordon cases show CASE` says how one "
            "stands now. No server took the mail for any of those whom it was for, nor for mail.to.",
        .facts = facts};
    struct notice_record *list;
    size_t n = 0;
    const char *about;
    enum err_code code = notice_digest(tx, u->arena, u->n->id, &list, &n, e);

    if (code)
        return code;
    about = arena_fmt(u->arena, "digest:%s", id_format(u->n->id, id));
    for (; p.n_facts < n && p.n_facts < ROWS_POSTED; p.n_facts++)
        facts[p.n_facts] = (struct post_fact){
            id_format(list[p.n_facts].case_id, ids[p.n_facts]),
            utf8_short(u->arena, list[p.n_facts].subject, SUBJECT_MAX, " " UTF8_ELLIPSIS)};
    if (n > p.n_facts) {
        const char *more = arena_fmt(
            u->arena, "%zu more, for which a post has no room: `cordon cases list` has them",
            n - p.n_facts);

        facts[p.n_facts++] = (struct post_fact){"And", more};
    }
    return about ? channels_announce(tx, u->g, u->rt, about, &p, u->now, e)
                 : err_set(e, ERR_NOMEM, "digest");
}

/* What cordon says of itself, as the mail had it: its subject, and what of its text has room. */
static enum err_code post_text(struct db_tx *tx, const struct unheard *u, struct err *e)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(MIME_PART_MAX);
    char made[CLOCK_TEXT_SIZE];
    const struct post_fact facts[] = {{"Made at", clock_format(u->n->created, made)}};
    struct post p = {.kind = u->n->kind,
                     .subject = u->n->subject,
                     .headline = "This was told in a mail, which reaches nobody",
                     .bad = true,
                     .facts = facts,
                     .n_facts = sizeof facts / sizeof *facts};
    enum err_code code = mime_part(u->n->message, "text/plain", &text, NULL);

    if (!code) /* one with an attachment is known by its subject */
        p.next = utf8_short(u->arena, buf_text(&text), TEXT_POSTED_MAX, " " UTF8_ELLIPSIS);
    if (code == ERR_NOMEM || (!code && !p.next))
        return err_set(e, ERR_NOMEM, "what a mail said");
    return channels_announce(tx, u->g, u->rt, u->n->about, &p, u->now, e);
}

/* A mail of cordon's own, or about many cases that a question holds back, will never reach anybody. */
static enum err_code post_own(struct db_tx *tx, const struct unheard *u, struct err *e)
{
    bool told = false;
    enum err_code code = question_post_instead(tx, u->g, u->rt, u->arena, u->n, u->now, &told, e);

    if (!code && !told) /* as that a way out fails, which webhooks are told at once */
        code = notice_was_posted(tx, u->n->about, u->n->subject, u->n->created, &told, e);
    return code || told ? code : post_text(tx, u, e);
}

/* Webhooks hear how the case stands, as where nobody can be mailed. */
static enum err_code post_case(struct db_tx *tx, const struct unheard *u, struct err *e)
{
    AUTO(stand_clear) struct stand now = {0};
    bool posted = false;
    enum err_code code = read_stand(tx, u, &now, e);

    if (!code && strcmp(u->n->kind, notice_kind_name(NOTICE_QUESTION)) == 0)
        code = read_question(tx, u, &now, e);
    if (!code && notice_is_of_step(u->n->kind))
        use_step(u, &now.n);
    if (!code)
        code = channels_instead(tx, u->g, u->rt, u->arena, &now.n, false, u->now, &posted, e);
    if (!code && !posted) /* to others, who may get it yet */
        code = notice_may_be_mailed(tx, u->n, &posted, e);
    return code || posted ? code : reach_nobody(tx, u, e);
}

/* Each of those who are asked has a mail of his own, of what is asked and of how it ended: has another one got his, or may he yet? */
static enum err_code is_anothers(struct db_tx *tx, const struct unheard *u, bool *ret,
                                 struct err *e)
{
    struct notice_record like = *u->n;
    bool asks = strcmp(like.kind, notice_kind_name(NOTICE_QUESTION)) == 0;

    *ret = false;
    like.kind = ""; /* what was asked before is another question */
    return asks || (like.about && strncmp(like.about, QUESTION_ABOUT, strlen(QUESTION_ABOUT)) == 0)
               ? notice_may_be_mailed(tx, &like, ret, e)
               : ERR_OK;
}

/* A mail will never reach anybody. What is told of a case is told where somebody who judges it has got another of the same time. */
static enum err_code post_instead(struct db_tx *tx, const struct unheard *u, struct err *e)
{
    bool taken = false;
    enum err_code code =
        u->n->case_id ? notice_was_taken(tx, u->n, HELPDESK_CHANNEL, &taken, e) : ERR_OK;

    if (!code && !taken && !u->rt->config->n_webhooks)
        code = is_anothers(tx, u, &taken, e);
    if (code || taken)
        return code;
    if (!u->rt->config->n_webhooks)
        return reach_nobody(tx, u, e);
    return strcmp(u->n->kind, "digest") == 0 ? post_digest(tx, u, e)
           : u->n->case_id                   ? post_case(tx, u, e)
                                             : post_own(tx, u, e);
}

enum err_code unheard_tell(struct db_tx *tx, struct engine *g, struct runtime *rt,
                           struct arena *arena, const struct notice_record *n, int64_t now,
                           struct err *e)
{
    const struct unheard u = {.g = g, .rt = rt, .arena = arena, .n = n, .now = now};

    if (config_is_webhook_way(n->channel))
        return mail_instead(tx, &u, e);
    return n->channel ? ERR_OK : post_instead(tx, &u, e); /* a helpdesk judges nothing */
}
