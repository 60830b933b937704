/* cmd_silences.c - `cordon silences`: for a while people are not told of the alerts that a condition matches. */
#include "cli_record.h"

#include <inttypes.h>
#include <stdio.h>

#include "auto.h"
#include "clock.h"
#include "json.h"
#include "mute.h"
#include "settings.h"

/* ---- list, show, approve and end -------------------------------------------------------------- */

static const char *const titles[] = {"SILENCE", "STATE", "BY",       "UNTIL",
                                     "WHEN",    "WHY",   "WITHHELD", NULL};

static void row(struct arena *a, const struct json *s, const char **cells)
{
    cells[0] = json_get_string(s, "id");
    cells[1] = json_get_string(s, "state");
    cells[2] = json_get_string(s, "by");
    cells[3] = cli_time(a, json_get_string(s, "until"));
    cells[4] = json_get_string(s, "when");
    cells[5] = json_get_string(s, "why");
    cells[6] = arena_fmt(a, "%" PRId64, json_get_int64(s, "withheld", 0));
}

static const struct cli_kind silence = {.name = "silence",
                                        .path = "/api/silences",
                                        .list = "silences",
                                        .open = "?open=1",
                                        .titles = titles,
                                        .paged = "cases",
                                        .row = row};

static const struct cli_option list_options[] = {
    CLI_LIST_OPTIONS("only those that have not ended"),
};

static const struct cli_command list_command = {
    .name = "silences list",
    .about = "The silences, newest first. One that is `proposed` waits for a second person.",
    .options = list_options,
};

static const struct cli_command show_command = {
    .name = "silences show",
    .args = "ID",
    .about = "Everything about one silence, and all that it has withheld so far.",
    .options = cli_show_options,
    .least_args = 1,
    .most_args = 1,
};

static const struct cli_command approve_command = {
    .name = "silences approve",
    .args = "ID",
    .about = "Says yes to a broad silence, as the second person: not its author. It begins now.",
    .options = cli_order_options,
    .least_args = 1,
    .most_args = 1,
};

static const struct cli_command end_command = {
    .name = "silences end",
    .args = "ID",
    .about =
        "Ends a silence before its time, or says no to one that is proposed. --why is demanded. What\n"
        "it withheld is mailed.",
    .options = cli_order_options,
    .least_args = 1,
    .most_args = 1,
};

static int silences_list(int argc, char **argv)
{
    return cli_list_command(argc, argv, &list_command, &silence);
}

static int silences_show(int argc, char **argv)
{
    return cli_show_command(argc, argv, &show_command, &silence);
}

static int silences_approve(int argc, char **argv)
{
    static const struct cli_verb approve = {.word = "approve", .done = "it has begun"};

    return cli_order_command(argc, argv, &approve_command, &silence, &approve);
}

static int silences_end(int argc, char **argv)
{
    static const struct cli_verb end = {
        .word = "end", .done = "it has ended; what it withheld is mailed", .why_demanded = true};

    return cli_order_command(argc, argv, &end_command, &silence, &end);
}

/* ---- add and preview -------------------------------------------------------------------------- */

struct add_options {
    const char *config, *when, *duration, *until, *why;
    bool json;
};

static const struct cli_option add_options[] = {
    CLI_CONFIG(struct add_options, config),
    {.name = "when",
     .type = CLI_TEXT,
     .offset = offsetof(struct add_options, when),
     .value = "COND",
     .help =
         "as in a rule: 'alert.title: {glob: \"Nmap*\"}', '{alert.severity: Low, machine.tags: lab}'",
     .required = true},
    CLI_OPTION("for", CLI_TEXT, struct add_options, duration, "TIME",
               "how long: 4h, 3d; at most 30d"),
    CLI_OPTION("until", CLI_TEXT, struct add_options, until, "TIME",
               "or until when: 2026-01-01T00:00:00Z"),
    {.name = "why",
     .type = CLI_TEXT,
     .offset = offsetof(struct add_options, why),
     .value = "TEXT",
     .help = "the reason, which every case of it will say",
     .required = true},
    CLI_JSON(struct add_options, json),
    {.name = NULL},
};

static const struct cli_option preview_options[] = {
    CLI_CONFIG(struct add_options, config),
    {.name = "when",
     .type = CLI_TEXT,
     .offset = offsetof(struct add_options, when),
     .value = "COND",
     .help = "as in a rule",
     .required = true},
    CLI_JSON(struct add_options, json),
    {.name = NULL},
};

static const struct cli_command add_command = {
    .name = "silences add",
    .about =
        "Withholds the mails about alerts that a condition matches (`cordon fields` names what it may\n"
        "ask for), until its end; then what it withheld is mailed. It hides no isolation: what acts,\n"
        "what is in doubt, questions and failures are told as ever. A broad one (see `silences\n"
        "preview`) begins only when another person says `silences approve`.",
    .options = add_options,
};

static const struct cli_command preview_command = {
    .name = "silences preview",
    .about =
        "What a silence would have matched among the cases of the last 7 days, and whether it is\n"
        "broad: above 20 % of them (of 20 at least), without any field, or with fewer cases while it\n"
        "demands no certain title, detector, alert or machine. Changes nothing.",
    .options = preview_options,
};

static void show_preview(const struct json *p, struct arena *a)
{
    static const char *const found[] = {"CASE", "SEVERITY", "TITLE", "MACHINE",
                                        "RULE", "IT IS",    NULL};
    const struct json *cases = json_get(p, "cases");
    const int64_t matched = json_get_int64(p, "matched", 0);
    struct cli_table t;

    (void)printf("In the last 7 days it would have matched %" PRId64 " of %" PRId64
                 " cases (%" PRId64 " %%)%s; the mails about %" PRId64
                 " would have been withheld.\n",
                 matched, json_get_int64(p, "cases_seen", 0), json_get_int64(p, "percent", 0),
                 json_is_true(json_get(p, "complete")) ? "" : ", as far as there was time to look",
                 json_get_int64(p, "withheld", 0));
    if (json_count(cases) == 0)
        return;
    cli_table_init(&t, a, found);
    JSON_EACH (c, cases) {
        const char *name = json_get_string(c, "machine_name");
        const char *because = json_get_string(c, "told_because");

        cli_table_row(
            &t, (const char *const[]){json_get_string(c, "case"), json_get_string(c, "severity"),
                                      json_get_string(c, "title"),
                                      name ? name : json_get_string(c, "machine_id"),
                                      json_get_string(c, "rule"),
                                      because ? arena_fmt(a, "told: %s", because) : "withheld"});
    }
    cli_table_show(&t, cli_width());
    if (matched > (int64_t)json_count(cases))
        (void)printf("These are the newest %zu.\n", json_count(cases));
}

/* What `add` demands besides `when`. */
static int check_add(const struct add_options *o)
{
    const int64_t now = clock_wall_ms(clock_system());
    int64_t until;

    if (!o->duration && !o->until)
        return cli_usage(&add_command,
                         "--for 4h (or --until TIME) is missing: a silence has an end");
    if (o->duration && cli_check_for(&add_command, o->duration, MUTE_MIN_MS, MUTE_MAX_MS,
                                     "1m to 30d") != CLI_GO_ON)
        return CLI_USAGE;
    if (o->until && (settings_time(o->until, &until, NULL) || until < now + MUTE_MIN_MS ||
                     until > now + MUTE_MAX_MS))
        return cli_usage(&add_command,
                         "--until: expected a time such as 2026-01-01T00:00:00Z, 1m to 30d from "
                         "now, found '%.40s'",
                         o->until);
    return cli_check_why(&add_command, o->why);
}

static int send(int argc, char **argv, const struct cli_command *command, const char *path,
                const char *holds, struct add_options *o, struct json **ret)
{
    struct cli_order order;
    int code = cli_parse(argc, argv, command, o, NULL);

    if (code != CLI_GO_ON)
        return code;
    if (o->duration && o->until)
        return cli_usage(command, "--for and --until: one of them");
    if (command == &add_command)
        code = check_add(o);
    if (code != CLI_GO_ON)
        return code;
    order = (struct cli_order){
        .why = o->why, .duration = o->duration, .when = o->when, .until = o->until};
    return cli_admin_order_with(o->config, path, &order, NULL, holds, ret);
}

static int silences_add(int argc, char **argv)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(json_freep) struct json *answer = NULL;
    struct add_options o = {0};
    int code = send(argc, argv, &add_command, "/api/silences/add", "silence", &o, &answer);
    const char *id, *broad;

    if (code != CLI_GO_ON || !a)
        return code == CLI_GO_ON ? CLI_FAILED : code;
    if (o.json) {
        cli_show_json(answer);
        return CLI_DONE;
    }
    show_preview(json_get(answer, "preview"), a);
    id = json_get_string(answer, "silence");
    broad = json_get_string(answer, "broad");
    if (broad)
        (void)printf(
            "silence %s: proposed, not begun. It is broad: %s. Another person says yes with "
            "`cordon silences approve %s`.\n",
            id, broad, id);
    else
        (void)printf("silence %s: until %s\n", id, cli_time(a, json_get_string(answer, "until")));
    return CLI_DONE;
}

static int silences_preview(int argc, char **argv)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(json_freep) struct json *answer = NULL;
    struct add_options o = {0};
    int code = send(argc, argv, &preview_command, "/api/silences/preview", "matched", &o, &answer);
    const char *broad;

    if (code != CLI_GO_ON || !a)
        return code == CLI_GO_ON ? CLI_FAILED : code;
    if (o.json) {
        cli_show_json(answer);
        return CLI_DONE;
    }
    show_preview(answer, a);
    broad = json_get_string(answer, "broad");
    if (broad)
        (void)printf("It is broad, and would need a second person: %s.\n", broad);
    else
        (void)puts("It is not broad: one person may put it up.");
    return CLI_DONE;
}

int cmd_silences(int argc, char **argv)
{
    static const struct cli_sub table[] = {
        {"list", silences_list, "the silences, newest first"},
        {"show", silences_show, "one, and what it has withheld"},
        {"preview", silences_preview, "what one would have matched in the last 7 days"},
        {"add", silences_add, "puts one up"},
        {"approve", silences_approve, "lets a broad one begin, as the second person"},
        {"end", silences_end, "ends one before its time"},
        {NULL, NULL, NULL},
    };

    return cli_sub(argc, argv, "silences", table);
}
