/* cmd_pause.c - `cordon pause` and `cordon resume`: the kill switch of the running server. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#include "auto.h"
#include "desk.h"
#include "json.h"
#include "utf8.h"

struct options {
    const char *config, *why;
    bool json;
};

static const struct cli_option options[] = {
    CLI_CONFIG(struct options, config),
    CLI_OPTION("why", CLI_TEXT, struct options, why, "TEXT", "the reason, for the record"),
    CLI_JSON(struct options, json),
    {.name = NULL},
};

static const struct cli_command pause_command = {
    .name = "pause",
    .about = "Stops isolating: from now on no new isolation is asked for, by any replica, until\n"
             "`cordon resume`, also after a restart. What the rules want meanwhile is told as not\n"
             "isolated; releases, notices and reading go on. The console (admin.address, with a\n"
             "browser) has the same switch.",
    .options = options,
};

static const struct cli_command resume_command = {
    .name = "resume",
    .about =
        "Goes on after `cordon pause`. What was wanted meanwhile is not made up for by itself:\n"
        "`cordon cases retry ID` begins a case anew.",
    .options = options,
};

static int give(int argc, char **argv, const struct cli_command *command, const char *path,
                const char *status, const char *done)
{
    AUTO(json_freep) struct json *answer = NULL;
    struct options o = {0};
    int code = cli_parse(argc, argv, command, &o, NULL);
    char why[DESK_WHY_MAX + 1];
    const char *said;

    if (code != CLI_GO_ON)
        return code;
    if (o.why && strlen(o.why) > DESK_WHY_MAX) { /* words do not hold up the kill switch */
        (void)snprintf(why, sizeof why, "%.*s", (int)utf8_cut(o.why, DESK_WHY_MAX), o.why);
        cli_error("--why: the reason is longer than %d bytes, and was cut", DESK_WHY_MAX);
        o.why = why;
    }
    code = cli_admin_order(o.config, path, o.why, NULL, "status", &answer);
    if (code != CLI_GO_ON)
        return code;
    said = json_get_string(answer, "status");
    if (!said ||
        strcmp(said, status) != 0) { /* many a program has a status: nobody pulled the switch */
        cli_error(
            "admin.address is not cordon's: its answer is not '%s'; which program listens there?",
            status);
        return CLI_FAILED;
    }
    if (o.json)
        cli_show_json(answer);
    else
        (void)puts(done);
    return CLI_DONE;
}

int cmd_pause(int argc, char **argv)
{
    int code = give(argc, argv, &pause_command, "/api/pause", "paused",
                    "paused: no new isolation is asked for until `cordon resume`");

    if (code == CLI_FAILED)
        cli_error("cordon may go on isolating. While the file is there that "
                  "safety.pause_file names, if it names one, nothing is isolated, whoever answers");
    return code;
}

int cmd_resume(int argc, char **argv)
{
    return give(argc, argv, &resume_command, "/api/resume", "resumed",
                "resumed; `cordon cases retry ID` begins anew what was not done meanwhile");
}
