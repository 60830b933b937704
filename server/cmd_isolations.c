/* cmd_isolations.c - `cordon isolations`: the ledger, as the running server has it. */
#include "cli.h"

#include <stdio.h>

#include "auto.h"
#include "json.h"

struct list_options {
    const char *config;
    int64_t limit;
    bool open, json;
};

static const struct cli_option list_options[] = {
    CLI_CONFIG(struct list_options, config),
    CLI_OPTION("open", CLI_FLAG, struct list_options, open, NULL, "only those that are not over"),
    CLI_OPTION("limit", CLI_NUMBER, struct list_options, limit, "N", "so many; else 50"),
    CLI_JSON(struct list_options, json),
    {.name = NULL},
};

static const struct cli_command list_command = {
    .name = "isolations list",
    .about =
        "Every episode of a machine being isolated. A machine is isolated when its state says so:\n"
        "requested and pending mean that Defender has not confirmed it.",
    .options = list_options,
};

static void show_isolations(const struct json *isolations, struct arena *a)
{
    static const char *const titles[] = {"ISOLATION", "STATE",    "MACHINE", "TENANT", "REQUESTED",
                                         "CONFIRMED", "RELEASED", "CASE",    "WHY",    NULL};
    struct cli_table t;

    cli_table_init(&t, a, titles);
    JSON_EACH (i, isolations) {
        const char *name = json_get_string(i, "machine_name");
        const char *const cells[] = {json_get_string(i, "id"),
                                     json_get_string(i, "state"),
                                     name ? name : json_get_string(i, "machine_id"),
                                     json_get_string(i, "tenant"),
                                     cli_time(a, json_get_string(i, "requested")),
                                     cli_time(a, json_get_string(i, "confirmed")),
                                     cli_time(a, json_get_string(i, "released")),
                                     json_get_string(i, "case"),
                                     json_get_string(i, "why")};

        cli_table_row(&t, cells);
    }
    cli_table_show(&t, cli_width());
}

static int isolations_list(int argc, char **argv)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(json_freep) struct json *answer = NULL;
    struct list_options o = {0};
    int code = cli_parse(argc, argv, &list_command, &o, NULL);

    if (code != CLI_GO_ON)
        return code;
    code = cli_admin_list(o.config, o.open ? "/api/isolations?open=1" : "/api/isolations",
                          "isolations", o.limit, &answer);
    if (code != CLI_GO_ON || !a)
        return CLI_FAILED;
    if (o.json) {
        cli_show_json(answer);
        return CLI_DONE;
    }
    show_isolations(json_get(answer, "isolations"), a);
    if (json_get_string(answer, "next"))
        (void)fputs("There are more: --limit N shows more of them.\n", stderr);
    return CLI_DONE;
}

int cmd_isolations(int argc, char **argv)
{
    static const struct cli_sub table[] = {
        {"list", isolations_list, "every episode of a machine being isolated"},
        {NULL, NULL, NULL},
    };

    return cli_sub(argc, argv, "isolations", table);
}
