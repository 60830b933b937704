/* cli.h - the command line: one table of commands (cmd_list.h), one reader of options, one way to say
 * what is wrong and one to show what was found.
 *
 * A command describes itself by a struct cli_command and calls cli_parse first:
 *
 *     struct options { const char *config; bool json; };
 *     static const struct cli_option options[] = {
 *         CLI_CONFIG(struct options, config),
 *         CLI_JSON(struct options, json),
 *         {.name = NULL},
 *     };
 *     static const struct cli_command command = {.name = "check", .about = "Reads …", .options = options};
 *
 *     int cmd_check(int argc, char **argv)
 *     {
 *         struct options o = {0};
 *         int code = cli_parse(argc, argv, &command, &o, NULL);
 *
 *         if (code != CLI_GO_ON)
 *             return code;
 *
 * --help, --log-level and --log-format (or $CORDON_LOG_LEVEL, $CORDON_LOG_FORMAT) are cli_parse's own.
 * Exit codes: contract.md section 3. What a command found goes to stdout, what is wrong to stderr.
 */
#ifndef CORDON_CLI_H
#define CORDON_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "buf.h"
#include "err.h"
#include "yaml.h"

#define CORDON_VERSION "0.1.0"

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_GO_ON = -1 };

enum cli_type {
    CLI_FLAG,  /* bool */
    CLI_TEXT,  /* const char *, borrowed from argv */
    CLI_NUMBER /* int64_t, 1 or more */
};

struct cli_option {
    const char *name; /* long, without the dashes; NULL ends the list */
    char letter;      /* 0: none */
    enum cli_type type;
    size_t offset;     /* of the field in the command's own struct */
    const char *value; /* what stands for the value in the help ("FILE"); NULL for a flag */
    const char *help;
    bool required;
};

#define CLI_OPTION(name_, type_, struct_, field_, value_, help_)                                   \
    {                                                                                              \
        .name = name_, .type = type_, .offset = offsetof(struct_, field_), .value = value_,        \
        .help = help_                                                                              \
    }
#define CLI_CONFIG(type_, field_)                                                                  \
    {                                                                                              \
        .name = "config", .letter = 'c', .type = CLI_TEXT, .offset = offsetof(type_, field_),      \
        .value = "FILE",                                                                           \
        .help = "the configuration; else $CORDON_CONFIG, /etc/cordon/cordon.yaml, cordon.yaml"     \
    }
#define CLI_JSON(type_, field_)                                                                    \
    {                                                                                              \
        .name = "json", .type = CLI_FLAG, .offset = offsetof(type_, field_),                       \
        .help = "as JSON, for programs"                                                            \
    }

struct cli_command {
    const char *name;                 /* with the words before it: "cases show" */
    const char *args;                 /* as in the usage line: "ID"; NULL: none */
    const char *about;                /* what it does; lines of at most 80 characters */
    const struct cli_option *options; /* NULL: none of its own */
    int least_args, most_args;
};

struct cli_words {
    char **items; /* the arguments that are no options, borrowed from argv */
    int count;
};

/* Every command's function. */
#define COMMAND(word, function, help) int function(int argc, char **argv);
#include "cmd_list.h"
#undef COMMAND

/** Runs the program: main's whole body. Returns the exit code. */
int cli_main(int argc, char **argv);

/**
 * Reads a command's options into out (zeroed by the caller) and sets up the log. words: may be NULL.
 * Returns CLI_GO_ON, or the exit code to end with (help was shown, or what is wrong was said).
 */
int cli_parse(int argc, char **argv, const struct cli_command *command, void *out,
              struct cli_words *words);

/* A command of a command: `cordon cases list`. */
struct cli_sub {
    const char *word; /* NULL ends the list */
    int (*run)(int argc, char **argv);
    const char *help;
};

/** Runs the one that argv[1] names; says what is wrong when there is none. */
int cli_sub(int argc, char **argv, const char *name, const struct cli_sub *table);

/** "cordon: ..." and a newline on stderr. */
void cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** The same for wrong usage, with a word on --help; returns CLI_USAGE. */
int cli_usage(const struct cli_command *command, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- the configuration ------------------------------------------------------------------------- */

struct config;
struct watch;

/** The file to read: given (-c), $CORDON_CONFIG, /etc/cordon/cordon.yaml, cordon.yaml; NULL when there
 *  is none (said on stderr). */
const char *cli_config_file(const char *given);
/**
 * Reads and checks the configuration; given as for cli_config_file. Every fault goes to stderr. files: see
 * config_load_watched. Returns CLI_GO_ON and *ret (config_unref it), or CLI_FAILED.
 */
int cli_load_config(const char *given, struct watch *files, struct config **ret);
/**
 * The same for the server. Every fault is an event of the log, `config_fault`: its stderr is lines of JSON
 * (contract.md section 7). Returns as config_load, with how many faults there are in e; ERR_NOT_FOUND without a file.
 */
enum err_code cli_start_config(const char *given, struct watch *files, struct config **ret,
                               struct err *e);
/** Likewise reads anew the file that in_force was read from, or, same_text, only those that it names. With faults e holds
 *  the first. */
enum err_code cli_reload_config(const struct config *in_force, bool same_text, struct watch *files,
                                struct config **ret, struct err *e);
struct rest;

/** For calls to Defender, Entra ID and other hosts, by the proxy that the environment names. As rest_new. */
enum err_code cli_rest_new(struct rest **ret, struct err *e);

/** What is fine in it and yet worth a word, as events `note`. */
void cli_log_notes(const struct config *c);
/**
 * Reads of the configuration where the store is, and nothing else: who looks after the store need not be able to read
 * Defender's secret, nor have rules without a fault.
 *
 * a         holds *ret_url and *ret_password (NULL: none).
 * Returns   CLI_GO_ON; else CLI_FAILED, and stderr says what is wrong.
 */
int cli_peek_store(const char *given, struct arena *a, const char **ret_url,
                   const char **ret_password);
/** One line per fault on stderr, and how many were not kept. */
void cli_show_faults(const struct yaml_faults *faults);
/** What reading a configuration came to, by what config_load or one of its kin returned and left behind: CLI_GO_ON; else
 *  CLI_FAILED, and stderr says what is wrong. */
int cli_read(enum err_code code, const struct yaml_faults *faults, const struct err *e);

/* ---- the running server ------------------------------------------------------------------------- */

struct json;

/**
 * Calls the admin address that the configuration names, over HTTP or its socket.
 *
 * given     as for cli_config_file.
 * path      with its query, encoded ("/api/cases?limit=5").
 * body      JSON, or NULL.
 * what      what a 404 is about ("case 01h…"); NULL: nothing that may be missing, at the right address.
 * holds     a member that cordon's answer to this has. Without it the answer is that of another program, which
 *           listens at the address in cordon's place: nothing that was asked for is done.
 * Returns   CLI_GO_ON and *ret, a 2xx answer (json_free it); else CLI_FAILED, and stderr says what is
 *           wrong and what to do about it. *ret, which is NULL before, is an answer then, too, if one came that holds
 *           what was asked for, as that of a server which is not ready does.
 */
int cli_admin_call(const char *given, const char *method, const char *path, const char *body,
                   const char *what, const char *holds, struct json **ret);

/** Gives an order: POST with {"why", "by"}, `by` being the user at the keyboard. why: NULL is fine. Else as
 *  cli_admin_call. */
int cli_admin_order(const char *given, const char *path, const char *why, const char *what,
                    const char *holds, struct json **ret);

/* What an order may say besides; NULL: nothing. */
struct cli_order {
    const char *why, *machine;
    const char *duration; /* "for": 4h */
    const char *when, *until;
};
int cli_admin_order_with(const char *given, const char *path, const struct cli_order *order,
                         const char *what, const char *holds, struct json **ret);

/**
 * Reads a list, page by page, until limit elements are there (0: CLI_LIST_LIMIT) or no more.
 *
 * path      as above; limit and cursor are added to it.
 * member    where an answer holds the elements ("cases").
 * Returns   CLI_GO_ON and *ret, {member: [...], "next": null or where the rest begins}; else CLI_FAILED.
 */
int cli_admin_list(const char *given, const char *path, const char *member, int64_t limit,
                   struct json **ret);
#define CLI_LIST_LIMIT 50

/** One line on stderr for each part of an answer of /readyz that is not well; nothing of other answers. */
void cli_show_parts(const struct json *readyz);

/* Bytes of a path with its query: every word of a command line has room, so that none is left out. What the server
 * makes of one that long it says itself. */
#define CLI_PATH_MAX ((size_t)8 * 1024 * 1024)

/** Adds "&name=value" to a path's query ("?" first); value is encoded. NULL adds nothing. */
void cli_query_add(struct buf *path, const char *name, const char *value);

/* ---- showing ----------------------------------------------------------------------------------- */

/* Rows of texts in columns. What comes from elsewhere is cleaned: nothing in a machine's name moves a
 * terminal's cursor. On a terminal the widest columns are cut until a row fits its width; but an id is of no use, and a
 * time says nothing, without its end: columns of short words stay whole, and the terminal folds what is still too long. */
struct cli_table {
    const char *const *titles; /* NULL-terminated */
    size_t columns;
    const char **cells; /* rows * columns, in the arena */
    size_t rows, room;
    struct arena *arena; /* borrowed */
};

void cli_table_init(struct cli_table *t, struct arena *a, const char *const *titles);
/** cells: t->columns texts, copied; NULL shows "-". */
void cli_table_row(struct cli_table *t, const char *const *cells);
/** To stdout. width: columns of the terminal, 0: never cut; see cli_width. */
void cli_table_show(const struct cli_table *t, size_t width);
/** The width of the terminal that stdout is, or 0. */
size_t cli_width(void);

/** A JSON document for people on stdout: "name: value" lines, indented. but: NULL, or the members of the
 *  document itself that are left out, NULL-terminated. */
void cli_show_value(const struct json *v, const char *const *but);
/** The same as one line of JSON. */
void cli_show_json(const struct json *v);
/** "2026-01-01 00:00:00Z" for a time of the API; anything else as it is; lives in a. NULL: NULL. */
const char *cli_time(struct arena *a, const char *rfc3339);

#endif
