/* cmd_cases.c - `cordon cases`: what is known and done about each alert, as the running server has it. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#include "auto.h"
#include "buf.h"
#include "clock.h"
#include "cmd_cases.h"
#include "json.h"
#include "rest.h"
#include "settings.h"

/* contract.md section 6 */
static const char *const states[] = {"received", "expanding", "deciding", "acting", "waiting",
                                     "done",     "failed",    "dropped",  NULL};

/* ---- list ------------------------------------------------------------------------------------- */

struct list_options {
    const char *config, *state, *tenant, *since;
    int64_t limit;
    bool json;
};

static const struct cli_option list_options[] = {
    CLI_CONFIG(struct list_options, config),
    CLI_OPTION("state", CLI_TEXT, struct list_options, state, "STATE",
               "only these: received, expanding, … done, failed, dropped"),
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
    .about = "The cases, newest first: one per alert and tenant.",
    .options = list_options,
};

/* "4h" or a timestamp, as a timestamp; 0: neither. */
static int64_t parse_since(const char *text)
{
    int64_t ms;

    if (!settings_duration(text, &ms, NULL))
        return clock_wall_ms(clock_system()) - ms;
    return clock_parse(text, &ms, NULL) ? 0 : ms;
}

static void show_cases(const struct json *cases, struct arena *a)
{
    static const char *const titles[] = {"CASE",    "STATE", "TENANT",  "ALERT",
                                         "MACHINE", "RULE",  "UPDATED", NULL};
    struct cli_table t;

    cli_table_init(&t, a, titles);
    JSON_EACH (c, cases) {
        const char *const cells[] = {json_get_string(c, "id"),
                                     json_get_string(c, "state"),
                                     json_get_string(c, "tenant"),
                                     json_get_string(c, "alert_id"),
                                     json_get_string(c, "machine_id"),
                                     json_get_string(c, "rule"),
                                     cli_time(a, json_get_string(c, "updated"))};

        cli_table_row(&t, cells);
    }
    cli_table_show(&t, cli_width());
}

static int cases_list(int argc, char **argv)
{
    AUTO(buf_clear) struct buf path = BUF_INIT(4096);
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(json_freep) struct json *answer = NULL;
    struct list_options o = {0};
    int code = cli_parse(argc, argv, &list_command, &o, NULL);
    char text[CLOCK_TEXT_SIZE];

    if (code != CLI_GO_ON)
        return code;
    buf_adds(&path, "/api/cases");
    if (o.state) {
        size_t i = 0;

        while (states[i] && strcmp(states[i], o.state) != 0)
            i++;
        if (!states[i]) {
            const char *near = yaml_nearest(o.state, states);

            return cli_usage(&list_command, "--state: there is no state '%.40s'%s%s%s", o.state,
                             near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
        }
        cli_query_add(&path, "state", o.state);
    }
    cli_query_add(&path, "tenant", o.tenant);
    if (o.since) {
        int64_t since = parse_since(o.since);

        if (!since)
            return cli_usage(&list_command,
                             "--since: expected 4h, 3d or 2026-01-01T00:00:00Z, found '%.40s'",
                             o.since);
        cli_query_add(&path, "since", clock_format(since, text));
    }
    code = cli_admin_list(o.config, buf_text(&path), "cases", o.limit, &answer);
    if (code != CLI_GO_ON || !a)
        return CLI_FAILED;
    if (o.json) {
        cli_show_json(answer);
        return CLI_DONE;
    }
    show_cases(json_get(answer, "cases"), a);
    if (json_get_string(answer, "next"))
        (void)fputs("There are more: --limit N shows more of them.\n", stderr);
    return CLI_DONE;
}

/* ---- show ------------------------------------------------------------------------------------- */

struct show_options {
    const char *config;
    bool json;
};

static const struct cli_option show_options[] = {
    CLI_CONFIG(struct show_options, config),
    CLI_JSON(struct show_options, json),
    {.name = NULL},
};

static const struct cli_command show_command = {
    .name = "cases show",
    .args = "ID",
    .about =
        "Everything about one case: its alert and machine, the verdict and why, every step, who\n"
        "was told. With --json also the facts that the verdict was given by.",
    .options = show_options,
    .least_args = 1,
    .most_args = 1,
};

static int cases_show(int argc, char **argv)
{
    AUTO(buf_clear) struct buf path = BUF_INIT(4096), what = BUF_INIT(200);
    AUTO(json_freep) struct json *answer = NULL;
    AUTO(auto_free) char *id = NULL;
    struct show_options o = {0};
    struct cli_words words;
    int code = cli_parse(argc, argv, &show_command, &o, &words);

    if (code != CLI_GO_ON)
        return code;
    id = rest_encode(words.items[0]);
    buf_addf(&path, "/api/cases/%s", id ? id : "");
    buf_addf(&what, "case '%.60s'", words.items[0]);
    code = cli_admin_call(o.config, "GET", buf_text(&path), NULL, buf_text(&what), &answer);
    if (code != CLI_GO_ON)
        return code;
    if (o.json)
        cli_show_json(answer);
    else
        cli_show_value(answer, "facts"); /* Defender's whole documents: for programs */
    return CLI_DONE;
}

/* ---- orders ----------------------------------------------------------------------------------- */

struct order_options {
    const char *config, *why;
    bool json;
};

static const struct cli_option order_options[] = {
    CLI_CONFIG(struct order_options, config),
    CLI_OPTION("why", CLI_TEXT, struct order_options, why, "TEXT", "the reason, for the record"),
    CLI_JSON(struct order_options, json),
    {.name = NULL},
};

static const struct cli_command retry_command = {
    .name = "cases retry",
    .args = "ID",
    .about =
        "Begins a case anew that failed, or of which a step failed or was withheld: Defender is read\n"
        "again, and the policy in force judges again.",
    .options = order_options,
    .least_args = 1,
    .most_args = 1,
};

static const struct cli_command drop_command = {
    .name = "cases drop",
    .args = "ID",
    .about =
        "Lets a case go that is not over: nothing more is done or told about it. --why is demanded.\n"
        "An isolation that was requested already is still followed.",
    .options = order_options,
    .least_args = 1,
    .most_args = 1,
};

/* Sends the order `verb` about one case and says what came of it. */
static int give_order(int argc, char **argv, const struct cli_command *command, const char *verb,
                      bool why_demanded, const char *done)
{
    AUTO(buf_clear) struct buf path = BUF_INIT(4096), what = BUF_INIT(200);
    AUTO(json_freep) struct json *answer = NULL;
    AUTO(auto_free) char *id = NULL;
    struct order_options o = {0};
    struct cli_words words;
    int code = cli_parse(argc, argv, command, &o, &words);

    if (code != CLI_GO_ON)
        return code;
    if (why_demanded && !o.why)
        return cli_usage(command, "--why TEXT is missing: say for what reason");
    id = rest_encode(words.items[0]);
    buf_addf(&path, "/api/cases/%s/%s", id ? id : "", verb);
    buf_addf(&what, "case '%.60s'", words.items[0]);
    code = cli_admin_order(o.config, buf_text(&path), o.why, buf_text(&what), &answer);
    if (code != CLI_GO_ON)
        return code;
    if (o.json)
        cli_show_json(answer);
    else
        (void)printf("case %s: %s\n", json_get_string(answer, "case"), done);
    return CLI_DONE;
}

static int cases_retry(int argc, char **argv)
{
    return give_order(argc, argv, &retry_command, "retry", false, "it begins anew");
}

static int cases_drop(int argc, char **argv)
{
    return give_order(argc, argv, &drop_command, "drop", true, "dropped");
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
