/* cmd_questions.c - `cordon questions`, `approve` and `refuse`: what people are asked, and what they say. */
#include "cli.h"

#include <stdio.h>

#include "auto.h"
#include "json.h"
#include "rest.h"

/* ---- list ------------------------------------------------------------------------------------- */

struct list_options {
    const char *config;
    int64_t limit;
    bool open, json;
};

static const struct cli_option list_options[] = {
    CLI_CONFIG(struct list_options, config),
    CLI_OPTION("open", CLI_FLAG, struct list_options, open, NULL,
               "only those that wait for an answer"),
    CLI_OPTION("limit", CLI_NUMBER, struct list_options, limit, "N", "so many; else 50"),
    CLI_JSON(struct list_options, json),
    {.name = NULL},
};

static const struct cli_command list_command = {
    .name = "questions list",
    .about =
        "What people are or were asked, newest first: by a rule's `ask`, or because safety holds\n"
        "isolations back.",
    .options = list_options,
};

static int questions_list(int argc, char **argv)
{
    static const char *const titles[] = {"QUESTION", "STATE",   "MACHINES", "UNTIL",
                                         "WHAT",     "OUTCOME", NULL};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(json_freep) struct json *answer = NULL;
    struct list_options o = {0};
    struct cli_table t;
    int code = cli_parse(argc, argv, &list_command, &o, NULL);

    if (code != CLI_GO_ON)
        return code;
    code = cli_admin_list(o.config, o.open ? "/api/questions?state=open" : "/api/questions",
                          "questions", o.limit, &answer);
    if (code != CLI_GO_ON || !a)
        return CLI_FAILED;
    if (o.json) {
        cli_show_json(answer);
        return CLI_DONE;
    }
    cli_table_init(&t, a, titles);
    JSON_EACH (q, json_get(answer, "questions")) {
        int64_t count = 0;

        (void)json_int64(json_get(q, "count"), &count);
        cli_table_row(&t,
                      (const char *const[]){json_get_string(q, "id"), json_get_string(q, "state"),
                                            arena_fmt(a, "%lld", (long long)count),
                                            cli_time(a, json_get_string(q, "expires")),
                                            json_get_string(q, "what"), json_get_string(q, "why")});
    }
    cli_table_show(&t, cli_width());
    return CLI_DONE;
}

int cmd_questions(int argc, char **argv)
{
    static const struct cli_sub table[] = {
        {"list", questions_list, "what people are or were asked"},
        {NULL, NULL, NULL},
    };

    return cli_sub(argc, argv, "questions", table);
}

/* ---- answers ---------------------------------------------------------------------------------- */

struct answer_options {
    const char *config, *why;
    bool json;
};

static const struct cli_option answer_options[] = {
    CLI_CONFIG(struct answer_options, config),
    CLI_OPTION("why", CLI_TEXT, struct answer_options, why, "TEXT", "the reason, for the record"),
    CLI_JSON(struct answer_options, json),
    {.name = NULL},
};

static const struct cli_command approve_command = {
    .name = "approve",
    .args = "ID",
    .about =
        "Says yes to a question (its ID stands in the mail and in `cordon questions list`): what\n"
        "waited for it is judged anew and done, unless another person must say yes, too.",
    .options = answer_options,
    .least_args = 1,
    .most_args = 1,
};

static const struct cli_command refuse_command = {
    .name = "refuse",
    .args = "ID",
    .about = "Says no to a question: what waited for it is not done, and people are told.",
    .options = answer_options,
    .least_args = 1,
    .most_args = 1,
};

static int give(int argc, char **argv, const struct cli_command *command)
{
    AUTO(buf_clear) struct buf path = BUF_INIT(4096), what = BUF_INIT(200);
    AUTO(json_freep) struct json *answer = NULL;
    AUTO(auto_free) char *id = NULL;
    struct answer_options o = {0};
    struct cli_words words;
    int code = cli_parse(argc, argv, command, &o, &words);

    if (code != CLI_GO_ON)
        return code;
    id = rest_encode(words.items[0]);
    buf_addf(&path, "/api/questions/%s/%s", id ? id : "", command->name);
    buf_addf(&what, "question '%.60s'", words.items[0]);
    code = cli_admin_order(o.config, buf_text(&path), o.why, buf_text(&what), &answer);
    if (code != CLI_GO_ON)
        return code;
    if (o.json)
        cli_show_json(answer);
    else
        (void)printf("question %s: %s\n", json_get_string(answer, "question"),
                     json_get_string(answer, "status"));
    return CLI_DONE;
}

int cmd_approve(int argc, char **argv)
{
    return give(argc, argv, &approve_command);
}

int cmd_refuse(int argc, char **argv)
{
    return give(argc, argv, &refuse_command);
}
