/* cmd_cases.c - `cordon cases`: what is known and done about each alert, as the running server has it. */
#include "cli_record.h"

#include <stdio.h>
#include <string.h>

#include "auto.h"
#include "buf.h"
#include "clock.h"
#include "cmd_cases.h"
#include "json.h"
#include "settings.h"

/* contract.md section 6 */
static const char *const states[] = {"received", "expanding", "deciding", "acting", "waiting",
                                     "done",     "failed",    "dropped",  NULL};
#define STATES "received, expanding, deciding, acting, waiting, done, failed, dropped"

static const char *const titles[] = {"CASE",    "STATE", "TOLD",    "TENANT", "ALERT",
                                     "MACHINE", "RULE",  "UPDATED", NULL};

static void row(struct arena *a, const struct json *c, const char **cells)
{
    const char *name = json_get_string(c, "machine_name"), *id = json_get_string(c, "machine_id");
    const char *pushed = json_get_string(c, "pushed_machine_id");

    cells[0] = json_get_string(c, "id");
    cells[1] = json_get_string(c, "state");
    cells[2] = json_get_string(c, "told");
    cells[3] = json_get_string(c, "tenant");
    cells[4] = json_get_string(c, "alert_id");
    cells[5] = name && *name ? name
               : id          ? id
               : pushed      ? arena_fmt(a, "%s, says the sender", pushed)
                             : NULL;
    cells[6] = json_get_string(c, "rule");
    cells[7] = cli_time(a, json_get_string(c, "updated"));
}

/* What happened, oldest first: the last that stands on the screen is how it stands now. */
static void show_timeline(struct arena *a, const struct json *c)
{
    static const char *const columns[] = {"TIME", "WHAT HAPPENED", NULL};
    const struct json *list = json_get(c, "timeline");
    struct cli_table t;

    if (json_count(list) == 0)
        return;
    (void)putchar('\n');
    cli_table_init(&t, a, columns);
    JSON_EACH (x, list)
        cli_table_row(&t, (const char *const[]){cli_time(a, json_get_string(x, "at")),
                                                json_get_string(x, "what")});
    cli_table_show(&t, 0); /* text to be read: better wrapped than cut */
}

/* Defender's whole documents are for programs, and the timeline is shown behind the rest. */
static const char *const left_out[] = {"facts", "timeline", NULL};

static const struct cli_kind kind = {.name = "case",
                                     .path = "/api/cases",
                                     .list = "cases",
                                     .titles = titles,
                                     .but = left_out,
                                     .row = row,
                                     .after = show_timeline};

/* ---- list ------------------------------------------------------------------------------------- */

struct list_options {
    const char *config, *state, *tenant, *since;
    int64_t limit;
    bool json;
};

static const struct cli_option list_options[] = {
    CLI_CONFIG(struct list_options, config),
    CLI_OPTION("state", CLI_TEXT, struct list_options, state, "STATE", "only these: " STATES),
    CLI_OPTION("tenant", CLI_TEXT, struct list_options, tenant, "NAME",
               "only those of this tenant"),
    CLI_OPTION("since", CLI_TEXT, struct list_options, since, "TIME",
               "not older than 4h, 3d, or 2026-01-01T00:00:00Z"),
    CLI_OPTION("limit", CLI_NUMBER, struct list_options, limit, "N", "so many; else 50"),
    CLI_JSON(struct list_options, json),
    {.name = NULL},
};

static const struct cli_command list_command = {
    .name = "cases list",
    .about =
        "The cases, newest first: one per alert and tenant. TOLD is what the last notice about it says\n"
        "(whether that went out says `cases show`): a case is done, too, whose machine is not isolated.",
    .options = list_options,
};

static int cases_list(int argc, char **argv)
{
    AUTO(buf_clear) struct buf path = BUF_INIT(CLI_PATH_MAX);
    struct list_options o = {0};
    int code = cli_parse(argc, argv, &list_command, &o, NULL);
    char text[CLOCK_TEXT_SIZE];
    struct err e = {0};

    if (code != CLI_GO_ON)
        return code;
    buf_adds(&path, kind.path);
    if (o.state) {
        size_t i = 0;

        while (states[i] && strcmp(states[i], o.state) != 0)
            i++;
        if (!states[i]) {
            char meant[YAML_MEANT_SIZE];

            return cli_usage(
                &list_command, "--state: there is no state '%.40s'%s", o.state,
                yaml_meant(yaml_nearest(o.state, states), "; expected one of " STATES, meant));
        }
        cli_query_add(&path, "state", o.state);
    }
    cli_query_add(&path, "tenant", o.tenant);
    if (o.since) {
        int64_t since;

        if (settings_since(o.since, clock_wall_ms(clock_system()), &since, &e))
            return cli_usage(&list_command, "--since: %s", e.text);
        cli_query_add(&path, "since", clock_format(since, text));
    }
    return cli_list(o.config, &kind, buf_text(&path), o.limit, o.json);
}

/* ---- show and orders -------------------------------------------------------------------------- */

static const struct cli_command show_command = {
    .name = "cases show",
    .args = "ID",
    .about =
        "Everything about one case: its alert and machine, the verdict and why, every step, who was\n"
        "asked, and who was told; and all of it once more in the order of time. With --json also the\n"
        "facts that the verdict was given by.\n"
        "ID is the case's or its alert's, as for every command about one case.",
    .options = cli_show_options,
    .least_args = 1,
    .most_args = 1,
};

static const struct cli_command retry_command = {
    .name = "cases retry",
    .args = "ID",
    .about =
        "Begins a case anew that failed, or of which a step failed or was withheld: Defender is read\n"
        "again, and the policy in force judges again. Not while its machine is isolated.",
    .options = cli_order_options,
    .least_args = 1,
    .most_args = 1,
};

static const struct cli_command drop_command = {
    .name = "cases drop",
    .args = "ID",
    .about =
        "Lets a case go that is not over, or whose absent machine is looked out for: nothing more is begun\n"
        "for it. --why is demanded. What Defender has taken already goes on, an isolation too, and who heard\n"
        "of it hears how it ends.",
    .options = cli_order_options,
    .least_args = 1,
    .most_args = 1,
};

static int cases_show(int argc, char **argv)
{
    return cli_show_command(argc, argv, &show_command, &kind);
}

static int cases_retry(int argc, char **argv)
{
    static const struct cli_verb retry = {.word = "retry", .done = "it begins anew"};

    return cli_order_command(argc, argv, &retry_command, &kind, &retry);
}

static int cases_drop(int argc, char **argv)
{
    static const struct cli_verb drop = {.word = "drop", .done = "dropped", .why_demanded = true};

    return cli_order_command(argc, argv, &drop_command, &kind, &drop);
}

int cmd_cases(int argc, char **argv)
{
    static const struct cli_sub table[] = {
        {"list", cases_list, "the cases, newest first"},
        {"show", cases_show, "everything about one case"},
        {"explain", cmd_cases_explain, "why one was judged as it was"},
        {"retry", cases_retry, "begins one anew that failed"},
        {"drop", cases_drop, "lets one go that is not over"},
        {NULL, NULL, NULL},
    };

    return cli_sub(argc, argv, "cases", table);
}
