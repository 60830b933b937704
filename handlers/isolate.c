/* isolate.c - asks Defender to isolate the alert's machine, or joins the isolation that is open.
 *
 * Done means requested: how it ended is followed by the isolation itself (episode_run.c), and told by a
 * second notice. Permission and words: defender-api.md sections 4.1 and 4.6.
 */
#include "cordon/handler.h"

#include "act.h"
#include "isolation.h"

static const char *const types[] = {"full", "selective", NULL};

static const struct handler_arg args[] = {
    {"type", ARG_WORD, types, NULL,
     "full, or selective: Outlook, Teams and Skype go on (Windows 10 1709 and newer)"},
    {"comment", ARG_TEXT, NULL, "cordon: {{alert.severity}} alert {{alert.id}}: {{alert.title}}",
     "shown in the portal beside the action"},
    {"release_after", ARG_DURATION, NULL, NULL,
     "released so long after it was confirmed, unless another High alert of the machine is open"},
    {0},
};

static enum outcome run(struct step *s, struct err *e)
{
    return isolation_request(s, isolation_type(s->args), isolation_comment(s->args), e);
}

const struct handler handler_isolate = {
    .name = "isolate",
    .meaning = "isolates the alert's machine and follows the action to its end",
    .permission = "Machine.Isolate",
    .acts = true,
    .follows = true,
    .args = args,
    .run = run,
};
