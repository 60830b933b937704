/* notice_letter.c - see notice_letter.h. Values that attackers may have chosen go through letter_fact and letter_words,
 * or, for a subject, through harmless(). */
#include "notice_letter.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auto.h"
#include "id.h"
#include "mime.h"
#include "rest.h"
#include "utf8.h"

#define PART_MAX (256 * 1024)
#define BODY_MAX 20000
#define WHY_MAX  160 /* bytes of a reason in a subject */
#define TITLE_MAX                                                                                  \
    300 /* of a title: the machine comes behind it, and a subject is cut at MIME_VALUE_MAX */

/* The ledger says so: somebody may have released it at Defender since it was looked at. */
#define ALREADY ": the machine is isolated already, as far as cordon knows"

static const struct {
    const char *name;
    const char *said, *more; /* in brackets, with room for a reason; behind them */
    const char *headline, *colour;
    int urgency;
    const char *beside; /* the headline of a machine that is isolated, but not for this alert */
} kinds[] = {
    [NOTICE_ALERT] = {"alert", "ALERT", "", "Alert", LETTER_BLUE, 1},
    [NOTICE_REQUESTED] = {"requested", "REQUESTED", "", "Isolation requested - not confirmed yet",
                          LETTER_AMBER, 3},
    [NOTICE_ISOLATED] = {"isolated", "ISOLATED", "",
                         "The machine is isolated - Defender confirmed it", LETTER_GREEN, 2},
    [NOTICE_NOT_ISOLATED] = {"not_isolated", "NOT ISOLATED: %s", "", "The machine is NOT isolated",
                             LETTER_RED, 5, "This alert isolates nothing" ALREADY},
    [NOTICE_QUESTION] = {"question", "QUESTION", "",
                         "A person must decide: the machine is not isolated", LETTER_AMBER, 5,
                         "A person must decide" ALREADY},
    [NOTICE_LATE] = {"late", "NOT ISOLATED: %s", "",
                     "The machine is not isolated yet, as far as cordon knows", LETTER_RED, 5,
                     "This alert isolates nothing yet" ALREADY},
    [NOTICE_LAPSING] = {"lapsing", "NOT ISOLATED: %s", "",
                        "The machine has been absent for days - Defender is about to give up",
                        LETTER_RED, 5},
    [NOTICE_REVIEW] = {"review", "ISOLATED", " Review:",
                       "The machine is still isolated - is that still right?", LETTER_AMBER, 3},
    [NOTICE_OVERDUE] = {"overdue", "ISOLATED", " Review overdue:",
                        "The machine is still isolated, and nobody has said that this is right",
                        LETTER_RED, 4},
    [NOTICE_RELEASED] = {"released", "RELEASED", "",
                         "The machine is released - Defender confirmed it", LETTER_GREEN, 2},
    [NOTICE_NOT_RELEASED] = {"not_released", "NOT RELEASED: %s", "",
                             "The machine was to be released, and it is not", LETTER_RED, 4},
    [NOTICE_ACTION_DONE] = {"action_done", "DONE: %s", "", "Defender says that it is done",
                            LETTER_GREEN, 1},
    [NOTICE_ACTION_FAILED] = {"action_failed", "NOT DONE: %s", "",
                              "A step that the rule asks for was not done", LETTER_RED, 4},
};

#define KINDS (sizeof kinds / sizeof *kinds)

/* What is said where a release is no good news: the machine is isolated all the same. */
static bool is_again(const struct notice *n)
{
    return n->kind == NOTICE_RELEASED && n->anew;
}

/* … and it is so by an isolation that cordon asked for, as a rule for another alert. */
static bool is_again_by_cordon(const struct notice *n)
{
    return is_again(n) && n->beside && !n->beside->adopted;
}

/* One that is being released still is. */
static bool is_confirmed(const struct isolation_record *i)
{
    return i->state == ISOLATION_ISOLATED || i->state == ISOLATION_RELEASING;
}

bool notice_is_isolated_beside(const struct notice *n)
{
    return n->beside && n->beside->state == ISOLATION_ISOLATED && kinds[n->kind].beside;
}

bool notice_is_in_line(const struct notice *n)
{
    const struct isolation_record *i = n->isolation;

    return n->kind == NOTICE_REQUESTED && i && i->state == ISOLATION_REQUESTED && !i->posted;
}

/* It was asked for, and nobody knows how it ended: that the machine is not isolated is not said of it. */
static bool is_unknown(const struct notice *n)
{
    return n->kind == NOTICE_NOT_ISOLATED && n->isolation && isolation_is_unknown(n->isolation);
}

/* Defender has given an absent machine up, and cordon has not (lookout.h). */
static bool is_looked_out_for(const struct notice *n)
{
    return n->kind == NOTICE_NOT_ISOLATED && n->isolation && !n->beside &&
           n->isolation->state == ISOLATION_FAILED && n->isolation->lapsed;
}

static const char *headline_of(const struct notice *n)
{
    if (n->beside && is_confirmed(n->beside) && kinds[n->kind].beside)
        return kinds[n->kind].beside;
    if (is_unknown(n))
        return "Nobody knows whether the machine is isolated";
    if (n->kind == NOTICE_ACTION_FAILED && n->unknown)
        return "Nobody knows whether a step that the rule asks for was done";
    if (notice_is_in_line(n))
        return "Isolation requested - its turn with Defender is still to come";
    if (is_again(n))
        return is_again_by_cordon(n)
                   ? "The machine was released, and cordon has isolated it again"
                   : "The machine was released, and somebody has isolated it again";
    return kinds[n->kind].headline;
}

static const char *more_of(const struct notice *n)
{
    if (notice_is_isolated_beside(n) && n->kind != NOTICE_QUESTION &&
        n->beside->id != n->c->isolation)
        return " Isolated already, not for this alert:";
    return is_again(n) ? " Isolated again:" : kinds[n->kind].more;
}

const char *notice_kind_name(enum notice_kind kind)
{
    return kinds[kind].name;
}

bool notice_was_told(const struct case_record *c, enum notice_kind kind)
{
    return c->told && strcmp(c->told, kinds[kind].name) == 0;
}

bool notice_is_known(const struct case_record *c, enum notice_kind kind)
{
    return notice_was_told(c, kind) ||
           (kind == NOTICE_ISOLATED &&
            (notice_was_told(c, NOTICE_REVIEW) || notice_was_told(c, NOTICE_OVERDUE) ||
             notice_was_told(c, NOTICE_NOT_RELEASED)));
}

const char *notice_not_yet(struct arena *a, const char *why)
{
    return arena_fmt(a, "not yet, cordon tries on: %s", why);
}

static size_t find_kind(const char *name)
{
    for (size_t i = 0; i < KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return i;
    return NOTICE_ALERT;
}

const char *notice_colour(const char *kind)
{
    return kinds[find_kind(kind)].colour;
}

int notice_urgency(const char *kind)
{
    return kinds[find_kind(kind)].urgency;
}

bool notice_is_review(const char *kind)
{
    size_t k = find_kind(kind);

    return k == NOTICE_REVIEW || k == NOTICE_OVERDUE;
}

/* ---- composing -------------------------------------------------------------------------------- */

/* Defender's timestamps have 0 to 7 digits (trap 15): shown as ours are. */
static const char *alert_time(const struct json *alert, char out[CLOCK_TEXT_SIZE])
{
    const char *text = json_get_string(alert, "alertCreationTime");
    int64_t ms;

    return text && !clock_parse(text, &ms, NULL) ? clock_format(ms, out) : NULL;
}

/* The machine that it is about; NULL: nobody knows. Alerts change theirs: a case that is read again by the time that its
 * machine is isolated or released may have facts of another one. */
static const char *machine_id(const struct notice *n)
{
    return n->c->machine_id ? n->c->machine_id : n->c->pushed_machine_id;
}

/* NULL: nobody knows it. */
static const char *machine_name(const struct notice *n)
{
    const struct json *alert = n->facts ? n->facts->alert : NULL;
    const char *of = json_get_string(alert, "machineId"), *is = n->c->machine_id;
    const char *name = n->facts ? facts_name_of(n->facts->machine, is) : NULL;

    if (!name && n->isolation)
        name = n->isolation->machine_name;
    if (!name && (!is || (of && strcasecmp(of, is) == 0)))
        name = json_get_string(alert, "computerDnsName");
    return name && name[0] ? name : NULL;
}

const char *notice_machine(const struct notice *n)
{
    const char *name = machine_name(n);

    return name ? name : machine_id(n);
}

const char *notice_alert(const struct notice *n, struct arena *a)
{
    const struct json *alert = n->facts ? n->facts->alert : NULL;
    const char *severity = json_get_string(alert, "severity");
    const char *title = json_get_string(alert, "title");

    return title ? arena_fmt(a, "%s: %s", severity ? severity : "unknown severity",
                             letter_cut(a, title, LETTER_VALUE_MAX))
                 : arena_fmt(a, "alert %s", n->c->alert_id);
}

int64_t notice_isolated_since(const struct isolation_record *i)
{
    if (i->adopted && i->took_effect) /* it was for a while when it was found */
        return i->took_effect;
    return i->confirmed ? i->confirmed : i->requested;
}

int64_t notice_since(const struct isolation_record *i)
{
    switch (i->state) {
    case ISOLATION_ISOLATED:
    case ISOLATION_RELEASING: /* it still is */
        return notice_isolated_since(i);
    case ISOLATION_RELEASED:
        return i->released ? i->released : i->requested;
    default:
        return i->requested;
    }
}

/* "Full, isolated, since …": the word is the ledger's, the time that at which it became so. */
static const char *how_it_stands(const struct isolation_record *i, struct arena *a)
{
    const char *since = i->state == ISOLATION_FAILED      ? "asked for at"
                        : i->state == ISOLATION_RELEASING ? "isolated since"
                                                          : "since";
    char when[CLOCK_TEXT_SIZE];

    return arena_fmt(a, "%s, %s, %s %s", i->type, isolation_state_name(i->state), since,
                     clock_format(notice_since(i), when));
}

const char *notice_isolation(const struct notice *n, struct arena *a)
{
    if (n->isolation && n->beside)
        return arena_fmt(a, "%s; not for this alert: %s", how_it_stands(n->isolation, a),
                         how_it_stands(n->beside, a));
    if (n->isolation)
        return how_it_stands(n->isolation, a);
    if (!n->beside)
        return NULL;
    return arena_fmt(a, "%s%s", how_it_stands(n->beside, a),
                     n->beside->id == n->c->isolation ? "" : "; not for this alert");
}

static const char *isolation_of(const struct notice *n, struct arena *a)
{
    if (n->kind == NOTICE_ALERT && !n->isolation && !n->beside)
        return n->to_come ? "not asked for yet" : "none; the rule asks for none";
    return notice_isolation(n, a);
}

/* What a person wants to know first. */
static void first_facts(struct letter *l, const struct notice *n, struct arena *a)
{
    const struct json *alert = n->facts ? n->facts->alert : NULL;
    const struct json *user = json_get(alert, "relatedUser");
    const char *domain = json_get_string(user, "domainName");
    const char *name = json_get_string(user, "userName");

    letter_first_fact(l, "Machine", notice_machine(n));
    letter_fact(l, "User", name && domain ? arena_fmt(a, "%s (%s)", name, domain) : name);
    letter_first_fact(l, "Alert", json_get_string(alert, "title"));
    letter_fact(l, "Severity", json_get_string(alert, "severity"));
    letter_own_fact(l, "Isolation", isolation_of(n, a));
    letter_fact(l, "Why", letter_cut(a, n->why, LETTER_VALUE_MAX));
    letter_fact(l, "In doubt", n->doubt);
    letter_own_fact(l, "Rule", n->c->rule);
}

static void other_facts(struct letter *l, const struct notice *n, struct arena *a)
{
    const struct json *alert = n->facts ? n->facts->alert : NULL;
    char when[CLOCK_TEXT_SIZE], case_id[ID_TEXT_SIZE];
    int64_t incident;

    letter_fact(l, "Category", json_get_string(alert, "category"));
    letter_own_fact(l, "Alert time", alert_time(alert, when));
    letter_own_fact(l, "Alert id", n->c->alert_id);
    letter_fact(l, "Machine id", machine_id(n));
    if (json_int64_lax(json_get(alert, "incidentId"), &incident))
        letter_own_fact(l, "Incident", arena_fmt(a, "%" PRId64, incident));
    letter_own_fact(l, "Tenant", n->c->tenant);
    if (n->isolation) {
        letter_own_fact(l, "Action id", n->isolation->action_id);
        letter_fact(l, "Asked by", n->isolation->adopted ? n->isolation->requestor : "cordon");
        letter_fact(l, "Reason", n->isolation->why);
        letter_fact(l, "Release", n->isolation->release_why);
    }
    letter_own_fact(l, "Case", id_format(n->c->id, case_id));
}

/* What an isolated machine still reaches (defender-api.md section 4.6; of somebody else's isolation Defender does not say
 * which it is). */
static const char *reaches(const struct isolation_record *i)
{
    if (i && strcasecmp(i->type, "Selective") == 0)
        return "the Defender service, and Outlook, Teams and Skype (the isolation is selective)";
    if (i && strcasecmp(i->type, "Full") != 0)
        return "the Defender service, and perhaps Outlook, Teams and Skype (Defender does not say "
               "whether the isolation is full or selective)";
    return "the Defender service";
}

/* It may be in line still, or have left. */
static const char *after_request(const struct notice *n)
{
    return notice_is_in_line(n)
               ? "cordon asks Defender to isolate the machine when its turn comes, which may take a while "
                 "where many wait: Defender takes so many calls a minute. Nothing is confirmed yet. A second "
                 "message says how it ended."
               : "Defender has been asked to isolate the machine. This is not a confirmation: an online "
                 "machine follows within a minute or two, an absent one when it comes back within about "
                 "three days. A second message says how it ended.";
}

static const char *after_failure(const struct notice *n, struct arena *arena, const char *case_id)
{
    if (is_looked_out_for(n))
        return arena_fmt(
            arena,
            "A person should look at this now. cordon looks out for the machine for 30 days: when it is seen again, "
            "the case begins anew and is judged by the policy of then, unless `cordon cases drop %s --why TEXT` "
            "has let it go. `cordon cases show %s` tells what cordon saw and did.",
            case_id, case_id);
    return arena_fmt(
        arena,
        "A person should look at this now. %s; `cordon cases show %s` tells what cordon saw and did.",
        n->beside && is_confirmed(n->beside)
            ? "Somebody must say whether the isolation that there is will do for this alert, too"
        : is_unknown(n)
            ? "Whether the machine is isolated is to be seen in the Defender portal: look there before "
              "anybody isolates it again"
            : "Whether and how to isolate the machine is decided in the Defender portal",
        case_id);
}

static const char *what_is_asked(const struct notice_question *q, struct arena *arena)
{
    char when[CLOCK_TEXT_SIZE], id[ID_TEXT_SIZE];

    if (!q) /* a preview of what was never asked */
        return "A person is asked.";
    id_format(q->id, id);
    return arena_fmt(
        arena,
        "cordon wants to: %s. %s Until %s a yes lets it; when nobody answers, nothing is done and you are "
        "told again. By command: `cordon approve %s --why TEXT`, `cordon refuse %s --why TEXT`.",
        q->action,
        q->people > 1 ? arena_fmt(arena, "It needs the yes of %lld persons.", (long long)q->people)
                      : "It needs a person's yes.",
        clock_format(q->expires, when), id, id);
}

static const char *after_release(const struct notice *n)
{
    if (is_again_by_cordon(n))
        return "The machine is isolated all the same: cordon has isolated it again since, of which there are "
               "messages of its own.";
    if (n->anew)
        return "The machine is isolated all the same: somebody has asked for it again since, and "
               "cordon leaves that as it is.";
    return "The machine reaches the network again. The next alert on it may isolate it again.";
}

static const char *what_now(const struct notice *n, struct arena *arena)
{
    char case_id[ID_TEXT_SIZE];

    id_format(n->c->id, case_id);
    switch (n->kind) {
    case NOTICE_REQUESTED:
        return after_request(n);
    case NOTICE_ISOLATED:
        return arena_fmt(
            arena,
            "Defender reports that the isolation succeeded: the machine reaches nothing but %s. "
            "Nothing more happens by itself, unless the rule says so; after a while people are asked "
            "whether it is still right.",
            reaches(n->isolation));
    case NOTICE_NOT_ISOLATED:
        return after_failure(n, arena, case_id);
    case NOTICE_QUESTION:
        return what_is_asked(n->question, arena);
    case NOTICE_LATE:
        return arena_fmt(
            arena,
            "cordon tries on, and another message says how it ended. A person "
            "may decide sooner, in the Defender portal: cordon looks there before it asks. "
            "`cordon cases show %s` tells how it stands.",
            case_id);
    case NOTICE_LAPSING:
        return arena_fmt(
            arena,
            "Defender keeps trying for about three days and gives up then. cordon looks on after that, for "
            "30 days: when the machine is seen again, the case begins anew and is judged by the policy of "
            "then, unless `cordon cases drop %s --why TEXT` has let it go. Another message says how it ended.",
            case_id);
    case NOTICE_REVIEW:
    case NOTICE_OVERDUE:
        return arena_fmt(
            arena,
            "The machine stays isolated until somebody releases it, or its rule does. If that is right, "
            "`cordon isolations extend %s --for 24h` says so; else it is asked again when as "
            "much time has passed again.",
            n->c->machine_id);
    case NOTICE_RELEASED:
        return after_release(n);
    case NOTICE_NOT_RELEASED:
        return "As far as cordon knows the machine is isolated as before.";
    case NOTICE_ACTION_DONE:
    case NOTICE_ACTION_FAILED:
        if (n->unknown)
            return arena_fmt(arena,
                             "Whether it was done is to be seen in the Defender portal: look there "
                             "before anybody asks for it again. `cordon cases show %s` tells the "
                             "whole case.",
                             case_id);
        return arena_fmt(arena, "`cordon cases show %s` tells the whole case.", case_id);
    default:
        return arena_fmt(arena, "%s `cordon cases show %s` tells the whole case.",
                         n->to_come
                             ? "The rule asks for an isolation, which is still to come: another "
                               "message says what came of it."
                             : "For your information; the rule asks for no isolation.",
                         case_id);
    }
}

/* How to release the machine; NULL: it is not isolated, as far as anybody knows. */
static const char *how_to_release(const struct notice *n, struct arena *a)
{
    static const bool isolated[] = {[NOTICE_ISOLATED] = true,
                                    [NOTICE_REVIEW] = true,
                                    [NOTICE_OVERDUE] = true,
                                    [NOTICE_NOT_RELEASED] = true};

    return (size_t)n->kind < sizeof isolated / sizeof *isolated && isolated[n->kind]
               ? arena_fmt(
                     a,
                     "`cordon isolations release %s --why TEXT`, or \"Release from isolation\" in "
                     "the Defender portal.",
                     n->c->machine_id)
               : NULL;
}

const char *notice_portal_url(const struct config_tenant *t, const char *alert_id, struct arena *a)
{
    char *id = rest_encode(alert_id); /* defender-api.md section 9.4: portal link for an alert */
    const char *url = NULL;

    if (id)
        url = arena_fmt(a, "%s/alerts/%s?tid=%s", t->portal_url, id, t->tenant_id);
    free(id);
    return url;
}

void notice_compose(struct letter *l, const struct notice *n, const struct runtime *rt,
                    const struct pause *pause, const char *link, struct arena *a)
{
    const struct config_tenant *tenant = config_tenant(rt->config, n->c->tenant);
    const char *portal = tenant ? notice_portal_url(tenant, n->c->alert_id, a) : NULL;
    const char *release = how_to_release(n, a);
    char case_id[ID_TEXT_SIZE];

    letter_begin(l, a, headline_of(n), is_again(n) ? LETTER_AMBER : kinds[n->kind].colour);
    if (pause->on)
        letter_paused(l, pause_words(pause, a), pause_end(pause),
                      n->kind == NOTICE_NOT_ISOLATED ? id_format(n->c->id, case_id) : NULL);
    letter_table_begin(l);
    first_facts(l, n, a);
    letter_table_end(l);
    letter_labelled(l, "Next", what_now(n, a));
    if (release)
        letter_labelled(l, "To release it", release);
    if (n->body)
        letter_words(l, letter_cut(a, n->body, BODY_MAX));
    if (n->link)
        letter_link(l, NOTICE_PACKAGE_WORDS, NOTICE_PACKAGE_LABEL, n->link);
    if (link)
        letter_link(l, "Decide (opening the page does nothing)", "Look at it and decide", link);
    if (portal)
        letter_link(l, "The alert in the Defender portal", "Open the alert in the Defender portal",
                    portal);
    letter_heading(l, "Details");
    letter_table_begin(l);
    other_facts(l, n, a);
    letter_table_end(l);
}

/* ---- subjects ----------------------------------------------------------------------------------- */

/* A reason is mostly ours, and reads better as it stands; what may hold an address of theirs is defanged. */
static bool is_plain(const char *why)
{
    return !strstr(why, "://") && !strstr(why, "\\\\") && !strcasestr(why, "www.");
}

/* A mark that needs no encoding: what is plain in a subject is to be so on its way, too. */
static const char *cut(struct arena *a, const char *text, size_t max)
{
    return utf8_short(a, text, max, "...");
}

/* One line without brackets or links of theirs. Cut first, so that the work is bounded. */
static const char *harmless(struct arena *a, const char *text, size_t max, bool is_reason)
{
    AUTO(buf_clear) struct buf line = BUF_INIT(PART_MAX), safe = BUF_INIT(PART_MAX);
    const char *some = cut(a, text, max);
    char *own = some ? arena_str(a, some) : NULL;

    if (!own)
        return NULL;
    for (char *p = own; *p; p++)
        *p = *p == '[' ? '(' : *p == ']' ? ')' : *p;
    mime_clean_line(&line, own);
    if (is_reason && is_plain(own))
        mime_clean_line(&safe, own);
    else
        mime_text_defang(&safe, buf_text(&line));
    return buf_failed(&line) || buf_failed(&safe) ? NULL : arena_str(a, buf_text(&safe));
}

/* "ws-114" of "ws-114.corp.example": a subject is read on a phone, and what looks like a link is none. */
const char *notice_short_name(struct arena *a, const char *name)
{
    size_t len = strcspn(name, ".");

    return len && strspn(name, "0123456789") < len ? arena_strn(a, name, len) : name;
}

const char *notice_machine_topic(const struct notice *n, struct arena *a)
{
    const char *machine = notice_machine(n);

    machine = machine ? notice_short_name(a, machine) : "a machine";
    return machine ? harmless(a, machine, LETTER_VALUE_MAX, false) : NULL;
}

const char *notice_said(const struct notice *n, struct arena *a)
{
    const char *said = kinds[n->kind].said;
    size_t len = strcspn(said, "%");
    const char *why = said[len] ? harmless(a, n->why ? n->why : "unknown", WHY_MAX, true) : "";

    if (n->said)
        return n->said;
    return why ? arena_fmt(a, "%.*s%s", (int)len, said, why) : NULL;
}

const char *notice_said_alone(const struct notice *n, struct arena *a)
{
    const char *said = notice_said(n, a), *more = more_of(n);

    return said ? arena_fmt(a, "%s%s%.*s", said, *more ? " -" : "", (int)strcspn(more, ":"), more)
                : NULL;
}

const char *notice_topic(const struct notice *n, struct arena *a)
{
    const char *machine = notice_machine(n), *alert = notice_alert(n, a);

    if (n->subject)
        return harmless(a, n->subject, LETTER_VALUE_MAX, false);
    if (machine)
        machine = notice_short_name(a, machine);
    return alert ? harmless(a,
                            machine ? arena_fmt(a, "%s on %s", cut(a, alert, TITLE_MAX),
                                                cut(a, machine, TITLE_MAX))
                                    : alert,
                            LETTER_VALUE_MAX, false)
                 : NULL;
}

const char *notice_subject(const struct notice *n, struct arena *a)
{
    const char *said = notice_said(n, a), *topic = notice_topic(n, a);

    return said && topic ? arena_fmt(a, "[%s]%s %s", said, more_of(n), topic) : NULL;
}

void notice_gist(const struct notice *n, const struct runtime *rt, struct arena *arena,
                 struct notice_gist *ret)
{
    const struct config_tenant *tenant = config_tenant(rt->config, n->c->tenant);

    *ret = (struct notice_gist){.subject = notice_subject(n, arena),
                                .headline = headline_of(n),
                                .next = what_now(n, arena),
                                .machine = machine_name(n),
                                .portal = tenant ? notice_portal_url(tenant, n->c->alert_id, arena)
                                                 : NULL,
                                .bad = strcmp(kinds[n->kind].colour, LETTER_RED) == 0};
}
