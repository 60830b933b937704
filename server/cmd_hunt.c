/* cmd_hunt.c - `cordon hunt`: hunts as the running server has them, and one run by hand. */
#include "cli.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "auto.h"
#include "clock.h"
#include "json.h"
#include "rest.h"

/* Defender gives up after 200 s at most (defender-api.md section 5.1), and the run may have to wait for another. */
#define WAIT_MS  (10 * MINUTE_MS)
#define PAUSE_MS 300

struct list_options {
    const char *config;
    bool json;
};

static const struct cli_option list_options[] = {
    CLI_CONFIG(struct list_options, config),
    CLI_JSON(struct list_options, json),
    {.name = NULL},
};

static const struct cli_command list_command = {
    .name = "hunt list",
    .about =
        "Every hunt of the configuration in force: when it runs next, what its last run found, and\n"
        "why it fails if it does. A hunt without a baseline tells of nothing yet: its first run\n"
        "only notes what is there.",
    .options = list_options,
};

static const char *number(struct arena *a, const struct json *v)
{
    int64_t n;

    return json_int64(v, &n) ? arena_fmt(a, "%lld", (long long)n) : NULL;
}

static void show_hunts(const struct json *hunts, struct arena *a)
{
    static const char *const titles[] = {"HUNT", "STATE", "SCHEDULE", "NEXT", "RAN",
                                         "ROWS", "NEW",   "WHY",      NULL};
    struct cli_table t;

    cli_table_init(&t, a, titles);
    JSON_EACH (h, hunts) {
        const char *state = json_get_string(h, "state");
        bool bare = !json_is_true(json_get(h, "baseline"));
        const char *const cells[] = {
            json_get_string(h, "name"),
            bare && state && strcmp(state, "good") == 0 ? "no baseline" : state,
            arena_fmt(a, "%s (%s)", json_get_string(h, "schedule"), json_get_string(h, "timezone")),
            cli_time(a, json_get_string(h, "next")),
            cli_time(a, json_get_string(h, "ran")),
            number(a, json_get(h, "rows")),
            number(a, json_get(h, "new")),
            json_get_string(h, "why")};

        cli_table_row(&t, cells);
    }
    cli_table_show(&t, cli_width());
}

static int hunt_list(int argc, char **argv)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(json_freep) struct json *answer = NULL;
    struct list_options o = {0};
    int code = cli_parse(argc, argv, &list_command, &o, NULL);

    if (code != CLI_GO_ON)
        return code;
    if (!a ||
        cli_admin_call(o.config, "GET", "/api/hunts", NULL, NULL, "hunts", &answer) != CLI_GO_ON)
        return CLI_FAILED;
    if (o.json)
        cli_show_json(answer);
    else
        show_hunts(json_get(answer, "hunts"), a);
    return CLI_DONE;
}

/* ---- run --------------------------------------------------------------------------------------- */

struct run_options {
    const char *config;
    bool dry, json;
};

static const struct cli_option run_options[] = {
    CLI_CONFIG(struct run_options, config),
    CLI_OPTION("dry", CLI_FLAG, struct run_options, dry, NULL,
               "only ask: nothing is noted, mailed or made a case"),
    CLI_JSON(struct run_options, json),
    {.name = NULL},
};

static const struct cli_command run_command = {
    .name = "hunt run",
    .args = "NAME",
    .about =
        "Runs a hunt now, whatever its schedule says, and shows what it found. What is new is told and\n"
        "made cases as at any other time, unless it is --dry. Waits for its end: a query may take\n"
        "minutes. Exit code 1 when it failed.",
    .options = run_options,
    .least_args = 1,
    .most_args = 1,
};

static void show_sample(const struct json *result, struct arena *a)
{
    const struct json *columns = json_get(result, "columns");
    size_t n = json_count(columns), i = 0;
    const char **titles = arena_array(a, n + 1, sizeof *titles);
    const char **cells = arena_array(a, n + 1, sizeof *cells);
    struct cli_table t;

    if (!titles || !cells || !n || !json_count(json_get(result, "sample")))
        return;
    JSON_EACH (c, columns)
        titles[i++] = json_string(c);
    cli_table_init(&t, a, titles);
    JSON_EACH (row, json_get(result, "sample")) {
        i = 0;
        JSON_EACH (cell, row)
            if (i < n)
                cells[i++] = json_string(cell);
        cli_table_row(&t, cells);
    }
    cli_table_show(&t, cli_width());
}

static int show_result(const struct json *result, bool json, struct arena *a)
{
    const char *error = json_get_string(result, "error");
    const char *rows = number(a, json_get(result, "rows"));
    const char *fresh = number(a, json_get(result, "new"));
    const char *cases = number(a, json_get(result, "cases"));

    if (json)
        cli_show_json(result);
    if (error) {
        cli_error("%s", error);
        return CLI_FAILED;
    }
    if (json)
        return CLI_DONE;
    show_sample(result, a);
    if (json_is_true(json_get(result, "baseline")))
        (void)printf("%s rows; this %s the baseline: none of them is new\n", rows ? rows : "?",
                     json_is_true(json_get(result, "dry")) ? "would be" : "is");
    else
        (void)printf("%s rows, %s of them new%s%s%s\n", rows ? rows : "?", fresh ? fresh : "?",
                     cases && strcmp(cases, "0") != 0 ? "; cases made: " : "",
                     cases && strcmp(cases, "0") != 0 ? cases : "",
                     json_is_true(json_get(result, "dry")) ? "; a dry run: nothing came of it"
                                                           : "");
    return CLI_DONE;
}

/* The answer to an order, once it is there. */
static int wait_for(const char *config, const char *path, const char *what, const char *order,
                    struct json **ret)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    int64_t deadline = clock_mono_ms(clock_system()) + WAIT_MS;

    while (clock_mono_ms(clock_system()) < deadline) {
        const char *got;

        if (cli_admin_call(config, "GET", path, NULL, what, "result", ret) != CLI_GO_ON)
            return CLI_FAILED;
        got = json_get_string(json_get(*ret, "result"), "order");
        if (got && strcmp(got, order) >= 0) /* ids grow: a later order took its place */
            return CLI_GO_ON;
        json_free(*ret);
        *ret = NULL;
        (void)nanosleep(&pause, NULL);
    }
    cli_error("no answer within ten minutes; the run goes on: see `cordon hunt list`");
    return CLI_FAILED;
}

static int hunt_run(int argc, char **argv)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(json_freep) struct json *ordered = NULL, *answer = NULL;
    struct run_options o = {0};
    struct cli_words words;
    int code = cli_parse(argc, argv, &run_command, &o, &words);
    AUTO(auto_free) char *encoded = NULL;
    const char *path, *run, *what, *order;

    if (code != CLI_GO_ON)
        return code;
    encoded = rest_encode(words.items[0]);
    path = a && encoded ? arena_fmt(a, "/api/hunts/%s", encoded) : NULL;
    run = path ? arena_fmt(a, "%s/run%s", path, o.dry ? "?dry=1" : "") : NULL;
    what = a ? arena_fmt(a, "hunt called '%.60s' in the configuration in force", words.items[0])
             : NULL;
    if (!run || !what) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    if (cli_admin_order(o.config, run, NULL, what, "order", &ordered) != CLI_GO_ON)
        return CLI_FAILED;
    order = json_get_string(ordered, "order");
    if (!order || wait_for(o.config, path, what, order, &answer) != CLI_GO_ON)
        return CLI_FAILED;
    return show_result(json_get(answer, "result"), o.json, a);
}

int cmd_hunt(int argc, char **argv)
{
    static const struct cli_sub table[] = {
        {"list", hunt_list, "every hunt: when it runs, and what its last run found"},
        {"run", hunt_run, "run one now: NAME [--dry]"},
        {NULL, NULL, NULL},
    };

    return cli_sub(argc, argv, "hunt", table);
}
