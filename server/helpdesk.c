/* helpdesk.c - see helpdesk.h. */
#include "helpdesk.h"

#include <strings.h>

#include "id.h"
#include "letter.h"
#include "log.h"
#include "notice_letter.h"

/* What a helpdesk is told. Everything is ours. */
struct news {
    const char *tag, *headline, *colour, *done, *tell;
    /* The same where Outlook, Teams and Skype go on, or may: a selective isolation, and somebody else's, of which Defender
     * does not say which it is (defender-api.md section 4.6, trap 20). NULL: the same words. */
    const char *done_partly, *tell_partly;
};

/* By what happened. */
static const struct news news[] = {
    [NOTICE_REQUESTED] =
        {"[REQUESTED]", "A machine is being cut off from the network", LETTER_AMBER,
         "The security team is cutting this machine off from the network. That has been asked for and "
         "is not confirmed yet: a machine that is switched on follows within minutes.",
         "Leave the machine switched on and do not restart, reinstall or repair it. Network drives, "
         "mail and the web will stop working on it. It is no fault of the network, and nothing is wrong with "
         "the user's account. Work can go on at another machine.",
         NULL,
         "Leave the machine switched on and do not restart, reinstall or repair it. Network drives "
         "and the web will stop working on it; Outlook, Teams and Skype may go on. It is no fault of the "
         "network, and nothing is wrong with the user's account. Work can go on at another machine."},
    [NOTICE_ISOLATED] =
        {"[ISOLATED]", "A machine is cut off from the network", LETTER_RED,
         "The security team has cut this machine off from the network. It reaches nothing but the "
         "security service until it is released.",
         "Leave the machine switched on and do not restart, reinstall or repair it. Network drives, "
         "mail and the web do not work on it, and will again when it is released. Work can go on at another "
         "machine.",
         "The security team has cut this machine off from the network. Until it is released it reaches "
         "nothing but the security service and, where they go on, Outlook, Teams and Skype.",
         "Leave the machine switched on and do not restart, reinstall or repair it. Network drives "
         "and the web do not work on it, and will again when it is released; Outlook, Teams and Skype may "
         "go on. Work can go on at another machine."},
    [NOTICE_NOT_ISOLATED] =
        {"[NOT ISOLATED]", "A machine stays on the network", LETTER_BLUE,
         "This machine was to be cut off from the network, and it was not.",
         "The user can go on working as usual. The security team is looking into it and may call."},
    [NOTICE_RELEASED] =
        {"[RELEASED]", "A machine is back on the network", LETTER_GREEN,
         "The machine reaches the network again.",
         "The user can go on working as usual. If something still does not connect, "
         "restarting the machine is fine now."},
};

/* Many wait for what Defender takes in a minute: nobody has asked it for this one yet. Of what will stop the rest says
 * enough. */
#define IN_LINE                                                                                                  \
    "The security team is about to cut this machine off from the network. Its turn is still to come, which may " \
    "take a while: nothing has happened to the machine yet."

/* Of a release, when the machine is isolated all the same: notice.h. */
static const struct news isolated_again = {
    "[ISOLATED]",
    "A machine stays cut off from the network",
    LETTER_RED,
    "This machine was released, and somebody has cut it off from the network again. It reaches "
    "nothing but the security service and, where they go on, Outlook, Teams and Skype. No mail "
    "says when that ends.",
    "Leave the machine switched on and do not restart, reinstall or repair it. Network drives "
    "and the web do not work on it; Outlook, Teams and Skype may go on. Work can go on at another "
    "machine.",
    NULL,
    NULL};

/* Where it is told that the machine is not isolated, which it is for something else. */
static const struct news isolated_already = {
    "[ISOLATED]",
    "A machine stays cut off from the network",
    LETTER_RED,
    "What was to be done to this machine was not done, and it is cut off from the network for another reason. It "
    "reaches nothing but the security service and, where they go on, Outlook, Teams and Skype. Perhaps no "
    "mail says when that ends.",
    "Leave the machine switched on and do not restart, reinstall or repair it. Network drives "
    "and the web do not work on it; Outlook, Teams and Skype may go on. Work can go on at another "
    "machine.",
    NULL,
    NULL};

/* It was asked for, and nobody knows how it ended. */
static const struct news isolation_unknown = {
    "[REQUESTED]",
    "Whether a machine is cut off from the network is not known",
    LETTER_AMBER,
    "This machine was to be cut off from the network, and nobody knows whether it was. The security team is "
    "looking into it.",
    "Where the machine reaches the network the user can go on working as usual. Where it does not, it is "
    "no fault of the network: leave the machine switched on and do not restart, reinstall or repair it.",
    NULL,
    NULL};

bool helpdesk_cares(enum notice_kind kind, bool told)
{
    if ((size_t)kind >= sizeof news / sizeof *news || !news[kind].tag)
        return false;
    return told || kind == NOTICE_REQUESTED || kind == NOTICE_ISOLATED;
}

const char *helpdesk_nobody(const struct runtime *rt, size_t n_to)
{
    if (!rt->config->mail.server)
        return "no helpdesk to write to: there is no mail server";
    return n_to ? NULL : "no helpdesk to write to: the step names none, and mail.desk is not set";
}

/* already, again: the machine is isolated all the same. */
static const struct news *news_of(const struct notice *n, bool already, bool again)
{
    const bool unknown =
        n->kind == NOTICE_NOT_ISOLATED && n->isolation && isolation_is_unknown(n->isolation);

    return already   ? &isolated_already
           : again   ? &isolated_again
           : unknown ? &isolation_unknown
                     : &news[n->kind];
}

enum err_code helpdesk_put(struct db_tx *tx, struct engine *g, struct runtime *rt,
                           struct arena *arena, const struct notice *n, const char *const *to,
                           size_t n_to, int64_t first, int64_t last, int64_t now, struct err *e)
{
    const struct config_mail *mail = &rt->config->mail;
    const bool again = n->kind == NOTICE_RELEASED && n->anew;
    const bool already = notice_is_isolated_beside(n);
    const struct news *told = news_of(n, already, again);
    struct notice_record r = {.id = id_new_after(g->clock, last),
                              .case_id = n->c->id,
                              .after = last,
                              .channel = HELPDESK_CHANNEL,
                              .kind =
                                  notice_kind_name(already || again ? NOTICE_ISOLATED : n->kind),
                              .sender = mail->from};
    char case_id[ID_TEXT_SIZE], since[CLOCK_TEXT_SIZE];
    const struct mime_header headers[] = {{"X-Cordon-Case", id_format(n->c->id, case_id)},
                                          {"X-Cordon-State", r.kind}};
    struct letter_post post = {.to = to,
                               .n_to = n_to,
                               .root = first,
                               .answers_to = last,
                               .headers = headers,
                               .n_headers = sizeof headers / sizeof *headers};
    bool partly = n->isolation && strcasecmp(n->isolation->type, "Full") != 0;
    const char *done = told->done, *tell = told->tell;
    const char *topic = notice_machine_topic(n, arena);
    struct letter l;
    enum err_code code;

    if (helpdesk_nobody(rt, n_to)) {
        log_event(LOG_WARN, "nobody_told", LOG_ID("case", n->c->id), LOG_STR("kind", r.kind),
                  LOG_STR("why", helpdesk_nobody(rt, n_to)));
        return ERR_OK;
    }
    r.subject = topic ? arena_fmt(arena, "%s %s", told->tag, topic) : NULL;
    if (!r.subject)
        return err_set(e, ERR_NOMEM, "a mail to the helpdesk");
    letter_begin(&l, arena,
                 notice_is_in_line(n) ? "A machine is about to be cut off from the network"
                                      : told->headline,
                 told->colour);
    if (notice_is_in_line(n))
        done = IN_LINE;
    else if (partly && told->done_partly)
        done = told->done_partly;
    if (partly && told->tell_partly)
        tell = told->tell_partly;
    letter_paragraph(&l, done);
    letter_table_begin(&l);
    letter_fact(&l, "Machine", notice_machine(n));
    if (n->isolation && n->kind != NOTICE_NOT_ISOLATED && !again &&
        !notice_is_in_line(n)) /* nothing has happened to it */
        letter_own_fact(&l, "Since", clock_format(notice_since(n->isolation), since));
    letter_own_fact(&l, "Call", mail->desk_call);
    letter_own_fact(&l, "Reference", case_id);
    letter_table_end(&l);
    letter_paragraph(&l, arena_fmt(arena, "What to tell the user: %s", tell));
    code = letter_put(tx, &l, &post, &r, now, e);
    letter_clear(&l);
    return code;
}
