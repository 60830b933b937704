/* notice.c - see notice.h.
 *
 * A message is composed once, from values that attackers may have chosen: everything of the alert's is
 * defanged in both parts and escaped in the HTML one; only our own link to the portal is a link.
 */
#include "notice.h"

#include <stdio.h>
#include <string.h>

#include "channel.h"
#include "fault.h"
#include "id.h"
#include "letter.h"
#include "log.h"
#include "mail.h"
#include "mime.h"
#include "pause.h"
#include "rest.h"
#include "store_notices.h"
#include "ways.h"

#define PART_MAX (256 * 1024)
#define BODY_MAX 20000
#define WHY_MAX  160 /* characters of a reason in a subject */

/* A mail that cannot be delivered is tried for as long as mail servers do (RFC 5321 section 4.5.4.1). */
#define GIVE_UP_MS (5 * DAY_MS)

static const struct {
    const char *name, *tag, *headline;
    const char *colour; /* of the headline in HTML */
} kinds[] = {
    [NOTICE_ALERT] = {"alert", "[ALERT]", "Alert", LETTER_BLUE},
    [NOTICE_REQUESTED] = {"requested", "[REQUESTED]", "Isolation requested - not confirmed yet",
                          LETTER_AMBER},
    [NOTICE_ISOLATED] = {"isolated", "[ISOLATED]",
                         "The machine is isolated - Defender confirmed it", LETTER_GREEN},
    [NOTICE_NOT_ISOLATED] = {"not_isolated", "[NOT ISOLATED: %s]", "The machine is NOT isolated",
                             LETTER_RED},
    [NOTICE_QUESTION] = {"question", "[QUESTION]",
                         "A person must decide: the machine is not isolated", LETTER_AMBER},
    [NOTICE_LATE] = {"late", "[NOT ISOLATED: %s]",
                     "The machine is not isolated yet, as far as cordon knows", LETTER_RED},
    [NOTICE_LAPSING] = {"lapsing", "[NOT ISOLATED: %s]",
                        "The machine has been absent for days - Defender is about to give up",
                        LETTER_RED},
    [NOTICE_REVIEW] = {"review", "[ISOLATED] Review:",
                       "The machine is still isolated - is that still right?", LETTER_AMBER},
    [NOTICE_OVERDUE] = {"overdue", "[ISOLATED] Review overdue:",
                        "The machine is still isolated, and nobody has said that this is right",
                        LETTER_RED},
    [NOTICE_RELEASED] = {"released", "[RELEASED]",
                         "The machine is released - Defender confirmed it", LETTER_GREEN},
    [NOTICE_NOT_RELEASED] = {"not_released", "[NOT RELEASED: %s]",
                             "The machine was to be released, and it is not", LETTER_RED},
    [NOTICE_ACTION_DONE] = {"action_done", "[DONE: %s]", "Defender says that it is done",
                            LETTER_GREEN},
    [NOTICE_ACTION_FAILED] = {"action_failed", "[NOT DONE: %s]",
                              "A step that the rule asks for was not done", LETTER_RED},
};

const char *notice_kind_name(enum notice_kind kind)
{
    return kinds[kind].name;
}

bool notice_was_told(const struct case_record *c, enum notice_kind kind)
{
    return c->told && strcmp(c->told, kinds[kind].name) == 0;
}

const char *notice_not_yet(struct arena *a, const char *why)
{
    return arena_fmt(a, "not yet, cordon tries on: %s", why);
}

/* ---- composing -------------------------------------------------------------------------------- */

/* Defender's timestamps have 0 to 7 digits (trap 15): shown as ours are. */
static const char *alert_time(const struct json *alert, char out[CLOCK_TEXT_SIZE])
{
    const char *text = json_get_string(alert, "alertCreationTime");
    int64_t ms;

    return text && !clock_parse(text, &ms, NULL) ? clock_format(ms, out) : NULL;
}

static const char *machine_name(const struct notice *n)
{
    const char *name = n->facts ? json_get_string(n->facts->machine, "computerDnsName") : NULL;

    if (!name && n->isolation)
        name = n->isolation->machine_name;
    if (!name && n->facts)
        name = json_get_string(n->facts->alert, "computerDnsName");
    return name && name[0] ? name : NULL;
}

static void facts_of(struct letter *l, const struct notice *n, struct arena *arena)
{
    const struct json *alert = n->facts ? n->facts->alert : NULL;
    const char *user = json_get_string(json_get(alert, "relatedUser"), "userName");
    const char *id = n->c->machine_id ? n->c->machine_id : n->c->pushed_machine_id;
    const char *name = machine_name(n);
    char when[CLOCK_TEXT_SIZE], case_id[ID_TEXT_SIZE];

    letter_fact(l, "Machine",
                name && id ? arena_fmt(arena, "%s (%s)", name, id)
                : name     ? name
                           : id);
    letter_fact(l, "User", user);
    letter_fact(l, "Alert", json_get_string(alert, "title"));
    letter_fact(l, "Severity", json_get_string(alert, "severity"));
    letter_fact(l, "Category", json_get_string(alert, "category"));
    letter_own_fact(l, "Alert time", alert_time(alert, when));
    letter_own_fact(l, "Alert id", n->c->alert_id);
    letter_own_fact(l, "Tenant", n->c->tenant);
    letter_own_fact(l, "Rule", n->c->rule);
    letter_fact(l, "In doubt", n->doubt);
    if (n->isolation) {
        const struct isolation_record *i = n->isolation;

        letter_own_fact(l, "Isolation",
                        arena_fmt(arena, "%s, %s, since %s", i->type,
                                  isolation_state_name(i->state),
                                  clock_format(i->requested, when)));
        letter_own_fact(l, "Action id", i->action_id);
        letter_fact(l, "Asked by", i->adopted ? i->requestor : "cordon");
        letter_fact(l, "Reason", i->why);
        letter_fact(l, "Release", i->release_why);
    }
    letter_own_fact(l, "Case", id_format(n->c->id, case_id));
}

static const char *what_now(const struct notice *n, struct arena *arena)
{
    char case_id[ID_TEXT_SIZE];

    id_format(n->c->id, case_id);
    switch (n->kind) {
    case NOTICE_REQUESTED:
        return "Defender has been asked to isolate the machine. This is not a confirmation: an online "
               "machine follows within a minute or two, an absent one when it comes back within about "
               "three days. A second mail in this thread says how it ended.";
    case NOTICE_ISOLATED:
        return arena_fmt(
            arena,
            "Defender reports that the isolation succeeded: the machine reaches nothing but the "
            "Defender service. To release it: `cordon isolations release %s --why TEXT`, or "
            "\"Release from isolation\" in the Defender portal.",
            n->c->machine_id);
    case NOTICE_NOT_ISOLATED:
        return arena_fmt(
            arena,
            "A person should look at this now. Whether and how to isolate the machine is "
            "decided in the Defender portal; `cordon cases show %s` tells what cordon saw and "
            "did.",
            case_id);
    case NOTICE_QUESTION: {
        char when[CLOCK_TEXT_SIZE], id[ID_TEXT_SIZE];

        id_format(n->question->id, id);
        return arena_fmt(
            arena,
            "cordon wants to: %s. %s Until %s a yes lets it; when nobody answers, nothing "
            "is done and you are told again. By command: `cordon approve %s --why TEXT`, "
            "`cordon refuse %s --why TEXT`.",
            n->question->action,
            n->question->people > 1 ? arena_fmt(arena, "It needs the yes of %lld persons.",
                                                (long long)n->question->people)
                                    : "It needs a person's yes.",
            clock_format(n->question->expires, when), id, id);
    }
    case NOTICE_LATE:
        return arena_fmt(
            arena,
            "cordon tries on, and another mail in this thread says how it ended. A person "
            "may decide sooner, in the Defender portal: cordon looks there before it asks. "
            "`cordon cases show %s` tells how it stands.",
            case_id);
    case NOTICE_LAPSING:
        return "Defender keeps trying for about three days and gives up then. cordon looks on after that, for "
               "30 days: when the machine is seen again, the case begins anew and is judged by the policy of "
               "then. Another mail in this thread says how it ended.";
    case NOTICE_REVIEW:
    case NOTICE_OVERDUE:
        return arena_fmt(
            arena,
            "The machine stays isolated until somebody releases it: `cordon isolations release %s "
            "--why TEXT`. If it is right that it is isolated, `cordon isolations extend %s --for "
            "24h` says so; else the next mail comes when as much time has passed again.",
            n->c->machine_id, n->c->machine_id);
    case NOTICE_RELEASED:
        return "The machine reaches the network again. The next alert on it may isolate it again.";
    case NOTICE_NOT_RELEASED:
        return arena_fmt(
            arena,
            "As far as cordon knows the machine is isolated as before. Try again with `cordon "
            "isolations release %s --why TEXT`, or release it in the Defender portal.",
            n->c->machine_id);
    case NOTICE_ACTION_DONE:
    case NOTICE_ACTION_FAILED:
        return arena_fmt(arena, "`cordon cases show %s` tells the whole case.", case_id);
    default:
        return arena_fmt(arena,
                         "For your information; the rule asks for no isolation. `cordon cases show "
                         "%s` tells the whole case.",
                         case_id);
    }
}

static const char *portal_url(const struct notice *n, const struct runtime *rt, struct arena *arena)
{
    const struct config_tenant *t = config_tenant(rt->config, n->c->tenant);
    char *id =
        rest_encode(n->c->alert_id); /* defender-api.md section 9.4: portal link for an alert */
    const char *url = NULL;

    if (id && t)
        url = arena_fmt(arena, "https://security.microsoft.com/alerts/%s?tid=%s", id, t->tenant_id);
    free(id);
    return url;
}

/* link: of this message's reader, to answer a question by; NULL: none. */
static void compose(struct letter *l, const struct notice *n, const struct runtime *rt,
                    const struct pause *pause, const char *link, struct arena *arena)
{
    const char *portal = portal_url(n, rt, arena);
    struct buf body = BUF_INIT(PART_MAX);
    char case_id[ID_TEXT_SIZE];

    letter_begin(l, arena, kinds[n->kind].headline, kinds[n->kind].colour);
    if (pause->on)
        letter_paused(l, pause_words(pause, arena),
                      n->kind == NOTICE_NOT_ISOLATED ? id_format(n->c->id, case_id) : NULL);
    if (n->why) {
        mime_text_defang(&body, letter_cut(arena, n->why, LETTER_VALUE_MAX));
        letter_paragraph(l, arena_fmt(arena, "Why: %s", buf_text(&body)));
        buf_reset(&body);
    }
    if (n->body) {
        mime_text_defang(&body, letter_cut(arena, n->body, BODY_MAX));
        letter_paragraph(l, buf_text(&body));
    }
    letter_table_begin(l);
    facts_of(l, n, arena);
    letter_table_end(l);
    letter_paragraph(l, what_now(n, arena));
    if (n->link)
        letter_link(l, "The investigation package (whoever has the link may read it)",
                    "Download the investigation package", n->link);
    if (link)
        letter_link(l, "Decide (opening the page does nothing)", "Look at it and decide", link);
    if (portal)
        letter_link(l, "In the portal", "Open the alert in the Defender portal", portal);
    buf_clear(&body);
}

static const char *subject_of(const struct notice *n, struct arena *arena)
{
    const char *severity = n->facts ? json_get_string(n->facts->alert, "severity") : NULL;
    const char *title = letter_cut(
        arena, n->facts ? json_get_string(n->facts->alert, "title") : NULL, LETTER_VALUE_MAX);
    const char *machine = machine_name(n);
    const char *tag = kinds[n->kind].tag;
    struct buf why = BUF_INIT(PART_MAX);
    const char *subject;

    if (strchr(tag, '%')) { /* room for the reason */
        mime_clean_line(&why, n->why ? letter_cut(arena, n->why, LETTER_VALUE_MAX) : "unknown");
        tag = arena_fmt(arena, "%.*s%.*s]", (int)strcspn(tag, "%"), tag, WHY_MAX, buf_text(&why));
    }
    if (!machine)
        machine = n->c->machine_id ? n->c->machine_id : n->c->pushed_machine_id;
    if (n->subject)
        subject = arena_fmt(arena, "%s %s", tag, letter_cut(arena, n->subject, LETTER_VALUE_MAX));
    else if (title)
        subject = arena_fmt(arena, "%s %s: %s%s%s", tag, severity ? severity : "unknown severity",
                            title, machine ? " on " : "", machine ? machine : "");
    else
        subject = arena_fmt(arena, "%s alert %s%s%s", tag, n->c->alert_id, machine ? " on " : "",
                            machine ? machine : "");
    buf_clear(&why);
    return subject;
}

void notice_gist(const struct notice *n, const struct runtime *rt, struct arena *arena,
                 struct notice_gist *ret)
{
    *ret = (struct notice_gist){.subject = subject_of(n, arena),
                                .headline = kinds[n->kind].headline,
                                .next = what_now(n, arena),
                                .machine = machine_name(n),
                                .portal = portal_url(n, rt, arena),
                                .bad = strcmp(kinds[n->kind].colour, LETTER_RED) == 0};
}

/* Whom to write to: who is named, else who was told before, else mail.to. */
static enum err_code audience(struct db_tx *tx, const struct notice *n, const struct config *config,
                              struct arena *arena, const char *const **ret, size_t *ret_count,
                              struct err *e)
{
    const char **before;
    size_t n_before = 0;
    enum err_code code;

    if (n->n_to) {
        *ret = n->to;
        *ret_count = n->n_to;
        return ERR_OK;
    }
    code = notice_audience(tx, arena, n->c->id, &before, &n_before, e);
    if (code)
        return code;
    *ret = n_before ? (const char *const *)before : (const char *const *)config->mail.to.items;
    *ret_count = n_before ? n_before : config->mail.to.count;
    return ERR_OK;
}

enum err_code notice_put(struct db_tx *tx, struct engine *g, struct runtime *rt,
                         struct arena *arena, const struct notice *n, int64_t now, struct err *e)
{
    const struct notice_question *q = n->question;
    const char *const *to = NULL;
    const char *kind = kinds[n->kind].name, *subject;
    char case_id[ID_TEXT_SIZE];
    const struct mime_header headers[] = {{"X-Cordon-Case", id_format(n->c->id, case_id)},
                                          {"X-Cordon-State", kind}};
    struct letter_post post = {.headers = headers, .n_headers = sizeof headers / sizeof *headers};
    struct case_record c = *n->c;
    size_t n_to = 0, messages = q ? q->n_links : 1;
    bool only_others = false;
    struct pause pause;
    int64_t after = 0;
    enum err_code code;

    if (n->webhook || n->desk)
        return channel_step(tx, g, rt, arena, n, now, e);
    code = n->n_to ? ERR_OK : channels_tell(tx, g, rt, arena, n, now, &only_others, e);
    if (!code && only_others && !q)
        return n->aside ? ERR_OK : case_told(tx, &c, kind, e);
    if (!code)
        code = pause_read(tx, rt, arena, &pause, e);
    if (!code && !q)
        code = audience(tx, n, rt->config, arena, &to, &n_to, e);
    if (code)
        return code;
    if (!rt->config->mail.server || !(q ? messages : n_to)) {
        log_event(LOG_WARN, "nobody_told", LOG_ID("case", c.id), LOG_STR("kind", kind),
                  LOG_STR("why", n->why));
        return case_told(tx, &c, kind, e);
    }
    subject = subject_of(n, arena);
    code = notice_thread(tx, c.id, &post.answers_to, &after, e);
    for (size_t i = 0; i < messages && !code; i++) {
        struct notice_record r = {.id = id_new(g->clock),
                                  .case_id = c.id,
                                  .kind = kind,
                                  .sender = rt->config->mail.from,
                                  .subject = subject,
                                  .after = after};
        struct letter l;

        post.to = q ? &q->links[i].address : to;
        post.n_to = q ? 1 : n_to;
        compose(&l, n, rt, &pause, q ? q->links[i].url : NULL, arena);
        code = letter_put(tx, &l, &post, &r, now, e);
        letter_clear(&l);
    }
    return code || n->aside ? code : case_told(tx, &c, kind, e);
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
    int64_t now, due;
    bool give_up;
};

static enum err_code sent_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct sending *s = arg;
    size_t waiting = 0, sent = 0;
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
        code = notice_release(tx, s->n.id, s->n.case_id, s->now, e);
    if (code || waiting)
        return code ? code : work_again(tx, s->w, s->due, s->w->attempts, e);
    for (size_t i = 0; i < s->n.n_recipients; i++)
        sent += s->n.recipients[i].state == RECIPIENT_SENT;
    for (size_t i = 0; i < s->count; i++)
        sent += s->results[i].fate == MAIL_SENT;
    code = notice_end(tx, s->n.id, sent ? "sent" : "failed",
                      sent ? NULL : "no recipient's server took it", s->now, e);
    return code ? code : work_done(tx, s->w, e);
}

static bool is_post(const struct sending *s)
{
    return s->n.channel && strncmp(s->n.channel, "webhook:", 8) == 0;
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

static void send_it(struct sending *s, struct runtime *rt)
{
    struct err e = {0};
    int64_t wait;

    find_ways(s, rt);
    for (size_t i = 0; i < s->n.n_recipients && s->count < MAIL_RECIPIENTS_MAX; i++)
        if (s->n.recipients[i].state == RECIPIENT_WAITING) {
            s->who[s->count] = &s->n.recipients[i];
            s->to[s->count++] = s->n.recipients[i].address;
        }
    if (s->count && s->n_ways) {
        const struct way_mail mail = {.id = s->n.id,
                                      .case_id = s->n.case_id,
                                      .kind = s->n.kind,
                                      .subject = s->n.subject,
                                      .from = s->n.sender,
                                      .to = s->to,
                                      .n = s->count,
                                      .message = s->n.message,
                                      .len = strlen(s->n.message),
                                      .is_post = is_post(s),
                                      .helper = s->g->mail_helper};
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
    wait = engine_backoff(s->w->attempts, s->ways.retry_ms);
    s->due = s->now + wait;
    if (s->ways.by && s->ways.by < s->due) /* the next way may be used then */
        s->due = s->ways.by > s->now ? s->ways.by : s->now;
    s->give_up = s->now - s->n.created >= GIVE_UP_MS;
    log_fates(s);
    for (size_t i = 0; i < s->count; i++)
        if (is_post(s))
            metrics_add(s->g->metrics, METRIC_POSTS, 1, s->n.channel + strlen("webhook:"),
                        mail_fate_name(s->results[i].fate));
        else
            metrics_add(s->g->metrics, METRIC_MAILS, 1, mail_fate_name(s->results[i].fate), NULL);
    if (db_write(s->g->store->db, sent_fn, s, &e)) {
        log_event(LOG_ERROR, "notice_not_written", LOG_ID("notice", s->n.id), LOG_ERR(&e));
        engine_again(s->g, s->w, engine_backoff(s->w->attempts, 0));
    }
    engine_kick(s->g);
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
        engine_again(g, w, engine_backoff(w->attempts, 0));
        return;
    }
    send_it(&s, rt);
}
