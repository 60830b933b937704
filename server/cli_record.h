/* cli_record.h - commands about what the running server keeps (cases, isolations, questions, silences): one way to
 * list them, to show one, and to give an order about one.
 */
#ifndef CORDON_CLI_RECORD_H
#define CORDON_CLI_RECORD_H

#include "cli.h"

struct cli_kind {
    const char *name;          /* "silence": in messages, and where an order's answer has its id */
    const char *path;          /* "/api/silences" */
    const char *list;          /* the member of an answer that holds the list: "silences" */
    const char *open;          /* the query that leaves only those that are not over: "?open=1" */
    const char *const *titles; /* of the table, NULL-terminated */
    const char *const *but;    /* members that are left out where one is shown; NULL: none */
    const char *where;         /* follows "there is no question 01abc"; NULL: nothing */
    const char *paged;         /* a list of one's, of which an answer holds a page; NULL: none */
    /* One row: as many texts as there are titles; they live in a or in one. NULL: "-". */
    void (*row)(struct arena *a, const struct json *one, const char **cells);
    /* What follows where one is shown to people; NULL: nothing. */
    void (*after)(struct arena *a, const struct json *one);
};

/* The options of commands about one of them. */
struct cli_about_one {
    const char *config, *why;
    bool json;
};
extern const struct cli_option cli_show_options[];  /* --config, --json */
extern const struct cli_option cli_order_options[]; /* and --why */

/* The options of a list of which some are not over. */
struct cli_list_options {
    const char *config;
    int64_t limit;
    bool open, json;
};
#define CLI_LIST_OPTIONS(open_help_)                                                               \
    CLI_CONFIG(struct cli_list_options, config),                                                   \
        CLI_OPTION("open", CLI_FLAG, struct cli_list_options, open, NULL, open_help_),             \
        CLI_OPTION("limit", CLI_NUMBER, struct cli_list_options, limit, "N", "so many; else 50"),  \
        CLI_JSON(struct cli_list_options, json),                                                   \
    {                                                                                              \
        .name = NULL                                                                               \
    }

/* All of these return the command's exit code. */

/** A whole command: reads CLI_LIST_OPTIONS and shows the list. */
int cli_list_command(int argc, char **argv, const struct cli_command *command,
                     const struct cli_kind *kind);
/** Shows the list that path gives (kind's, with a query), at most limit of them (0: 50). */
int cli_list(const char *config, const struct cli_kind *kind, const char *path, int64_t limit,
             bool json);
/** The rows of a list that was read. */
void cli_show_list(struct arena *a, const struct cli_kind *kind, const struct json *list);

/** A whole command: reads cli_show_options and ID, and shows that one. */
int cli_show_command(int argc, char **argv, const struct cli_command *command,
                     const struct cli_kind *kind);
/** Shows the one with this id. */
int cli_show_one(const char *config, const struct cli_kind *kind, const char *id, bool json);

/** What an order is: its last word in the path, and what is said when it is done (NULL: the answer's status). */
struct cli_verb {
    const char *word, *done;
    bool why_demanded;
};

/** --why where it is demanded: a text that is not blank. CLI_GO_ON, or CLI_USAGE and it was said. */
int cli_check_why(const struct cli_command *command, const char *why);
/** --for, which must lie from least_ms to most_ms. range: the two, for people ("1m to 30d"). As cli_check_why. */
int cli_check_for(const struct cli_command *command, const char *text, int64_t least_ms,
                  int64_t most_ms, const char *range);

/** A whole command: reads cli_order_options and ID, and gives the order. */
int cli_order_command(int argc, char **argv, const struct cli_command *command,
                      const struct cli_kind *kind, const struct cli_verb *verb);
/** Gives the order about the one with this id. */
int cli_give_order(const char *config, const struct cli_kind *kind, const char *id,
                   const struct cli_verb *verb, const struct cli_order *order, bool json);

#endif
