/* cmd_questions.c - `cordon questions`, `approve` and `refuse`: what people are asked, and what they say. */
#include "api.h"
#include "cli_record.h"
#include "json.h"

static const char *const titles[] = {"QUESTION", "STATE", "MACHINES", "ASKED",
                                     "UNTIL",    "WHAT",  "OUTCOME",  NULL};

/* "ann@contoso.example, bob@contoso.example"; NULL: nobody, or no memory. */
static const char *asked(struct arena *a, const struct json *q)
{
    const char *all = NULL;

    JSON_EACH (x, json_get(q, "asked"))
        all = arena_fmt(a, "%s%s%s", all ? all : "", all ? ", " : "", json_string(x));
    return all;
}

static void row(struct arena *a, const struct json *q, const char **cells)
{
    cells[0] = json_get_string(q, "id");
    cells[1] = json_get_string(q, "state");
    cells[2] = api_question_machines(q, a);
    cells[3] = asked(a, q);
    cells[4] = cli_time(a, json_get_string(q, "expires"));
    cells[5] = json_get_string(q, "what");
    cells[6] = json_get_string(q, "why");
}

static const struct cli_kind question = {.name = "question",
                                         .path = "/api/questions",
                                         .list = "questions",
                                         .open = "?state=open",
                                         .titles = titles,
                                         .where = "; `cordon questions list --open` has those "
                                                  "that wait for an answer, with their ids",
                                         .paged = "cases",
                                         .row = row};

static const struct cli_option list_options[] = {
    CLI_LIST_OPTIONS("only those that wait for an answer"),
};

static const struct cli_command list_command = {
    .name = "questions list",
    .about =
        "What people are or were asked, and who, newest first: by a rule's `ask`, or because safety holds\n"
        "isolations back.",
    .options = list_options,
};

static const struct cli_command approve_command = {
    .name = "approve",
    .args = "ID",
    .about =
        "Says yes to a question (its ID stands in the mail and in `cordon questions list`): what\n"
        "waited for it is judged anew and done, unless another person must say yes, too.",
    .options = cli_order_options,
    .least_args = 1,
    .most_args = 1,
};

static const struct cli_command refuse_command = {
    .name = "refuse",
    .args = "ID",
    .about = "Says no to a question: what waited for it is not done, and people are told.",
    .options = cli_order_options,
    .least_args = 1,
    .most_args = 1,
};

static const struct cli_command show_command = {
    .name = "questions show",
    .args = "ID",
    .about =
        "Everything about one question: why people are asked, which machines and cases wait for the\n"
        "answer and what a yes does to them, who was asked, and who has said what.",
    .options = cli_show_options,
    .least_args = 1,
    .most_args = 1,
};

static int questions_list(int argc, char **argv)
{
    return cli_list_command(argc, argv, &list_command, &question);
}

static int questions_show(int argc, char **argv)
{
    return cli_show_command(argc, argv, &show_command, &question);
}

int cmd_questions(int argc, char **argv)
{
    static const struct cli_sub table[] = {
        {"list", questions_list, "what people are or were asked"},
        {"show", questions_show, "everything about one question"},
        {NULL, NULL, NULL},
    };

    return cli_sub(argc, argv, "questions", table);
}

int cmd_approve(int argc, char **argv)
{
    static const struct cli_verb approve = {.word = "approve"};

    return cli_order_command(argc, argv, &approve_command, &question, &approve);
}

int cmd_refuse(int argc, char **argv)
{
    static const struct cli_verb refuse = {.word = "refuse"};

    return cli_order_command(argc, argv, &refuse_command, &question, &refuse);
}
