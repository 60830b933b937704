/* notice.c - see notice.h.
 *
 * A message is composed once, from values that attackers may have chosen: everything of the alert's is
 * defanged in both parts and escaped in the HTML one; only our own link to the portal is a link.
 */
#include "notice.h"

#include <stdio.h>
#include <string.h>

#include "fault.h"
#include "id.h"
#include "log.h"
#include "mail.h"
#include "mime.h"
#include "rest.h"
#include "store_notices.h"

#define PART_MAX    (256 * 1024)
#define MESSAGE_MAX (1024 * 1024)
/* Bytes of a text in a mail. Both parts have room for all of them, escaped (at most sixfold). */
#define VALUE_MAX 2000
#define BODY_MAX  20000
#define WHY_MAX   160 /* characters of a reason in a subject */

/* A mail that cannot be delivered is tried for as long as mail servers do (RFC 5321 section 4.5.4.1). */
#define GIVE_UP_MS (5 * DAY_MS)

static const struct {
    const char *name, *tag, *headline;
    const char *colour; /* of the headline in HTML */
} kinds[] = {
    [NOTICE_ALERT] = {"alert", "[ALERT]", "Alert", "#1f4e79"},
    [NOTICE_REQUESTED] = {"requested", "[REQUESTED]", "Isolation requested - not confirmed yet",
                          "#8a5a00"},
    [NOTICE_ISOLATED] = {"isolated", "[ISOLATED]",
                         "The machine is isolated - Defender confirmed it", "#1e6b34"},
    [NOTICE_NOT_ISOLATED] = {"not_isolated", "[NOT ISOLATED: %s]", "The machine is NOT isolated",
                             "#a61b1b"},
    [NOTICE_LATE] = {"late", "[NOT ISOLATED: %s]",
                     "The machine is not isolated yet, as far as cordon knows", "#a61b1b"},
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

/* Text for a mail, cut at a character when it is longer than a person reads. NULL stays NULL. */
static const char *cut(struct arena *arena, const char *text, size_t max)
{
    size_t len = text ? strnlen(text, max + 1) : 0;

    if (len <= max)
        return text;
    for (len = max; len && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
        ;
    return arena_fmt(arena, "%.*s …", (int)len, text);
}

/* Both parts at once: a row of the table in HTML is a line in the text. */
struct letter {
    struct buf text, html;
    struct arena *arena;
};

static void paragraph(struct letter *l, const char *what)
{
    buf_addf(&l->text, "%s\n\n", what);
    buf_adds(&l->html, "<p>");
    mime_html_escape(&l->html, what);
    buf_adds(&l->html, "</p>\n");
}

/* A row of the table; value is harmless already. */
static void row(struct letter *l, const char *name, const char *value)
{
    buf_addf(&l->text, "%-12s %s\n", name, value);
    buf_addf(&l->html,
             "<tr><td style=\"padding:2px 14px 2px 0;color:#555;vertical-align:top\">%s</td>"
             "<td style=\"padding:2px 0\">",
             name);
    mime_html_escape(&l->html, value);
    buf_adds(&l->html, "</td></tr>\n");
}

/* value: ours, from the configuration or from ids with a narrow alphabet; NULL leaves the row out. */
static void own_fact(struct letter *l, const char *name, const char *value)
{
    if (value && value[0])
        row(l, name, value);
}

/* value: text that an attacker may have chosen; NULL or empty leaves the row out. */
static void fact(struct letter *l, const char *name, const char *value)
{
    struct buf line = BUF_INIT(PART_MAX), safe = BUF_INIT(PART_MAX);

    if (!value || !value[0])
        return;
    /* a second line could pass for a fact of ours */
    mime_clean_line(&line, cut(l->arena, value, VALUE_MAX));
    mime_text_defang(&safe, buf_text(&line));
    row(l, name, buf_text(&safe));
    if (buf_failed(&line) || buf_failed(&safe))
        l->text.failed = buf_failed(&line) ? buf_failed(&line) : buf_failed(&safe);
    buf_clear(&line);
    buf_clear(&safe);
}

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

    fact(l, "Machine", name && id ? arena_fmt(arena, "%s (%s)", name, id) : name ? name : id);
    fact(l, "User", user);
    fact(l, "Alert", json_get_string(alert, "title"));
    fact(l, "Severity", json_get_string(alert, "severity"));
    fact(l, "Category", json_get_string(alert, "category"));
    own_fact(l, "Alert time", alert_time(alert, when));
    own_fact(l, "Alert id", n->c->alert_id);
    own_fact(l, "Tenant", n->c->tenant);
    own_fact(l, "Rule", n->c->rule);
    fact(l, "In doubt", n->doubt);
    if (n->isolation) {
        const struct isolation_record *i = n->isolation;

        own_fact(l, "Isolation",
                 arena_fmt(arena, "%s, %s, since %s", i->type, isolation_state_name(i->state),
                           clock_format(i->requested, when)));
        own_fact(l, "Action id", i->action_id);
        fact(l, "Asked by", i->adopted ? i->requestor : "cordon");
        fact(l, "Reason", i->why);
    }
    own_fact(l, "Case", id_format(n->c->id, case_id));
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
        return "Defender reports that the isolation succeeded: the machine reaches nothing but the "
               "Defender service. To release it, open it in the Defender portal and choose \"Release "
               "from isolation\".";
    case NOTICE_NOT_ISOLATED:
        return arena_fmt(
            arena,
            "A person should look at this now. Whether and how to isolate the machine is "
            "decided in the Defender portal; `cordon cases show %s` tells what cordon saw and "
            "did.",
            case_id);
    case NOTICE_LATE:
        return arena_fmt(
            arena,
            "cordon tries on, and another mail in this thread says how it ended. A person "
            "may decide sooner, in the Defender portal: cordon looks there before it asks. "
            "`cordon cases show %s` tells how it stands.",
            case_id);
    default:
        return arena_fmt(arena,
                         "For your information; the rule asks for no isolation. `cordon cases show "
                         "%s` tells the whole case.",
                         case_id);
    }
}

static void portal_link(struct letter *l, const struct notice *n, const struct runtime *rt)
{
    const struct config_tenant *t = config_tenant(rt->config, n->c->tenant);
    char *id =
        rest_encode(n->c->alert_id); /* defender-api.md section 9.4: portal link for an alert */
    struct buf url = BUF_INIT(1024);

    if (id && t) {
        buf_addf(&url, "https://security.microsoft.com/alerts/%s?tid=%s", id, t->tenant_id);
        buf_addf(&l->text, "\nIn the portal: %s\n", buf_text(&url));
        buf_adds(&l->html, "<p><a href=\"");
        mime_html_escape(&l->html, buf_text(&url));
        buf_adds(&l->html, "\">Open the alert in the Defender portal</a></p>\n");
    }
    buf_clear(&url);
    free(id);
}

static void compose(struct letter *l, const struct notice *n, const struct runtime *rt,
                    struct arena *arena)
{
    struct buf body = BUF_INIT(PART_MAX);

    buf_addf(&l->html,
             "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"></head>\n"
             "<body style=\"font-family:Segoe UI,Helvetica,Arial,sans-serif;font-size:15px;"
             "color:#222;max-width:640px\">\n<h2 style=\"font-size:18px;color:%s\">%s</h2>\n",
             kinds[n->kind].colour, kinds[n->kind].headline);
    buf_addf(&l->text, "%s\n\n", kinds[n->kind].headline);
    if (n->why) {
        mime_text_defang(&body, cut(arena, n->why, VALUE_MAX));
        paragraph(l, arena_fmt(arena, "Why: %s", buf_text(&body)));
        buf_reset(&body);
    }
    if (n->body) {
        mime_text_defang(&body, cut(arena, n->body, BODY_MAX));
        paragraph(l, buf_text(&body));
    }
    buf_adds(&l->html, "<table style=\"border-collapse:collapse;font-size:15px\">\n");
    facts_of(l, n, arena);
    buf_adds(&l->html, "</table>\n");
    buf_addc(&l->text, '\n');
    paragraph(l, what_now(n, arena));
    portal_link(l, n, rt);
    buf_adds(&l->html, "</body></html>\n");
    buf_clear(&body);
}

static const char *subject_of(const struct notice *n, struct arena *arena)
{
    const char *severity = n->facts ? json_get_string(n->facts->alert, "severity") : NULL;
    const char *title =
        cut(arena, n->facts ? json_get_string(n->facts->alert, "title") : NULL, VALUE_MAX);
    const char *machine = machine_name(n);
    const char *tag = kinds[n->kind].tag;
    struct buf why = BUF_INIT(PART_MAX);
    const char *subject;

    if (n->kind == NOTICE_NOT_ISOLATED || n->kind == NOTICE_LATE) {
        mime_clean_line(&why, n->why ? cut(arena, n->why, VALUE_MAX) : "unknown");
        tag = arena_fmt(arena, "[NOT ISOLATED: %.*s]", WHY_MAX, buf_text(&why));
    }
    if (!machine)
        machine = n->c->machine_id ? n->c->machine_id : n->c->pushed_machine_id;
    if (n->subject)
        subject = arena_fmt(arena, "%s %s", tag, cut(arena, n->subject, VALUE_MAX));
    else if (title)
        subject = arena_fmt(arena, "%s %s: %s%s%s", tag, severity ? severity : "unknown severity",
                            title, machine ? " on " : "", machine ? machine : "");
    else
        subject = arena_fmt(arena, "%s alert %s%s%s", tag, n->c->alert_id, machine ? " on " : "",
                            machine ? machine : "");
    buf_clear(&why);
    return subject;
}

static const char *message_id(struct arena *arena, int64_t id, const char *from)
{
    const char *at = strrchr(from, '@');
    char text[ID_TEXT_SIZE];

    return arena_fmt(arena, "cordon.%s%s", id_format(id, text), at ? at : "@localhost");
}

static enum err_code write_message(const struct notice *n, const struct notice_record *r,
                                   const struct runtime *rt, struct arena *arena, int64_t first,
                                   const char **to, int64_t now, struct buf *out, struct err *e)
{
    char case_id[ID_TEXT_SIZE];
    const struct mime_header headers[] = {{"X-Cordon-Case", id_format(n->c->id, case_id)},
                                          {"X-Cordon-State", kinds[n->kind].name}};
    struct letter l = {.text = BUF_INIT(PART_MAX), .html = BUF_INIT(PART_MAX), .arena = arena};
    struct mime_message m = {
        .from = r->sender,
        .to = to,
        .to_count = r->n_recipients,
        .subject = r->subject,
        .message_id = message_id(arena, r->id, r->sender),
        .in_reply_to = first ? message_id(arena, first, r->sender) : NULL,
        .references = first ? message_id(arena, first, r->sender) : NULL,
        .date_ms = now,
        .headers = headers,
        .header_count = sizeof headers / sizeof *headers,
    };
    enum err_code code;

    compose(&l, n, rt, arena);
    code = buf_failed(&l.text) ? buf_failed(&l.text) : buf_failed(&l.html);
    m.text = buf_text(&l.text);
    m.html = buf_text(&l.html);
    if (code)
        (void)err_set(e, code, "compose a notice");
    else
        code = mime_build(&m, out, e);
    buf_clear(&l.text);
    buf_clear(&l.html);
    return code;
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
    struct notice_record r = {.id = id_new(g->clock),
                              .case_id = n->c->id,
                              .kind = kinds[n->kind].name,
                              .sender = rt->config->mail.from};
    struct case_record c = *n->c;
    struct buf message = BUF_INIT(MESSAGE_MAX);
    const char *const *to;
    const char **copy;
    int64_t first;
    enum err_code code;

    code = audience(tx, n, rt->config, arena, &to, &r.n_recipients, e);
    if (code)
        return code;
    if (!rt->config->mail.server || !r.n_recipients) {
        log_event(LOG_WARN, "nobody_told", LOG_ID("case", c.id), LOG_STR("kind", r.kind),
                  LOG_STR("why", n->why));
        return case_told(tx, &c, r.kind, e);
    }
    if (r.n_recipients > MAIL_RECIPIENTS_MAX) {
        log_event(LOG_ERROR, "too_many_recipients", LOG_ID("case", c.id),
                  LOG_INT("not_told", (int64_t)(r.n_recipients - MAIL_RECIPIENTS_MAX)));
        r.n_recipients = MAIL_RECIPIENTS_MAX;
    }
    r.recipients = arena_array(arena, r.n_recipients, sizeof *r.recipients);
    copy = arena_array(arena, r.n_recipients, sizeof *copy);
    r.subject = subject_of(n, arena);
    if (!r.recipients || !copy || !r.subject)
        return err_set(e, ERR_NOMEM, "notice");
    for (size_t i = 0; i < r.n_recipients; i++)
        r.recipients[i].address = copy[i] = to[i];
    code = notice_thread(tx, c.id, &first, &r.after, e);
    if (!code)
        code = write_message(n, &r, rt, arena, first, copy, now, &message, e);
    r.message = buf_text(&message);
    if (!code)
        code = notice_insert(tx, &r, now, e);
    if (!code)
        code = case_told(tx, &c, r.kind, e);
    buf_clear(&message);
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

static void log_fates(const struct sending *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct mail_result *r = &s->results[i];

        log_event(r->fate == MAIL_SENT ? LOG_INFO : LOG_WARN, "mail", LOG_ID("case", s->n.case_id),
                  LOG_ID("notice", s->n.id), LOG_STR("kind", s->n.kind), LOG_STR("to", s->to[i]),
                  LOG_STR("fate", mail_fate_name(r->fate)), LOG_INT("code", r->smtp_code),
                  LOG_STR("why", r->fate == MAIL_SENT ? NULL : r->text));
    }
}

static void send_it(struct sending *s, struct runtime *rt)
{
    struct mail_server server = rt->mail;
    struct err e = {0};

    server.helper = s->g->mail_helper;
    for (size_t i = 0; i < s->n.n_recipients && s->count < MAIL_RECIPIENTS_MAX; i++)
        if (s->n.recipients[i].state == RECIPIENT_WAITING) {
            s->who[s->count] = &s->n.recipients[i];
            s->to[s->count++] = s->n.recipients[i].address;
        }
    if (s->count && server.url) {
        enum err_code code;

        fault_point("before a mail is sent");
        code = mail_send(&server, s->g->rest, s->n.sender, s->to, s->count, s->n.message,
                         strlen(s->n.message), s->results, &e);
        fault_point("after a mail was sent");
        (void)health_note(s->g->health, "mail", NULL, !code, e.text);
        if (code)
            log_event(LOG_WARN, "mail_failed", LOG_ID("case", s->n.case_id),
                      LOG_ID("notice", s->n.id), LOG_INT("attempt", s->w->attempts), LOG_ERR(&e));
    } else {
        for (size_t i = 0; i < s->count; i++)
            (void)snprintf(s->results[i].text, sizeof s->results[i].text,
                           "no mail server configured");
    }
    s->now = clock_wall_ms(s->g->clock);
    s->due = s->now + engine_backoff(s->w->attempts, 0);
    s->give_up = s->now - s->n.created >= GIVE_UP_MS;
    log_fates(s);
    for (size_t i = 0; i < s->count; i++)
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
    struct sending s = {.g = g, .w = w};
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
