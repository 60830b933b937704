/* cli.c - see cli.h.
 *
 * getopt_long finds the options; its own messages are switched off, because they name neither the
 * command nor the nearest word.
 */
#include "cli.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auto.h"
#include "buf.h"
#include "log.h"
#include "mime.h"

#define OPTIONS_MAX 24                    /* of one command, the common ones included */
#define SAID_MAX    ((size_t)1024 * 1024) /* bytes of one sentence */

struct command {
    const char *word;
    int (*run)(int argc, char **argv);
    const char *help;
};

static const struct command commands[] = {
#define COMMAND(word, function, help) {word, function, help},
#include "cmd_list.h"
#undef COMMAND
    {NULL, NULL, NULL},
};

/* ---- saying it -------------------------------------------------------------------------------- */

/* Much of it quotes others: a far end's words, a machine's name. It is one line, and moves no cursor. */
__attribute__((format(printf, 2, 0))) static void say(const char *name, const char *fmt, va_list ap)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(SAID_MAX), line = BUF_INIT(4 * SAID_MAX);

    buf_addv(&text, fmt, ap);
    mime_clean_line(&line, buf_text(&text));
    (void)fflush(stdout); /* so that the two stay in order on a terminal */
    /* nobody is left to be told that stderr is gone */
    (void)fprintf(stderr, "cordon%s%s: %s\n", name ? " " : "", name ? name : "",
                  buf_failed(&text) || buf_failed(&line) ? "out of memory" : buf_text(&line));
}

void cli_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(NULL, fmt, ap);
    va_end(ap);
}

int cli_usage(const struct cli_command *command, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(command->name, fmt, ap);
    va_end(ap);
    (void)fprintf(stderr, "Try: cordon %s --help\n", command->name);
    return CLI_USAGE;
}

/* ---- help ------------------------------------------------------------------------------------- */

static void show_commands(FILE *to)
{
    (void)fputs(
        "Usage: cordon COMMAND [options]\n\n"
        "Receives Defender for Endpoint alerts, isolates the machine when the policy says so,\n"
        "and tells people.\n\nCommands:\n",
        to);
    for (const struct command *c = commands; c->word; c++)
        if (c->help)
            (void)fprintf(to, "  %-12s %s\n", c->word, c->help);
    (void)fputs("\nOptions:\n"
                "  -h, --help   this text; cordon COMMAND --help: about one command\n"
                "  --version    the version of cordon\n\n"
                "Exit codes: 0 done, 1 it failed or found something, 2 wrong usage.\n",
                to);
}

/* What every command takes. */
struct common {
    const char *log_level, *log_format;
    bool help;
};
static const struct cli_option common[] = {
    CLI_OPTION("log-level", CLI_TEXT, struct common, log_level, "LEVEL",
               "error, warn, info or debug; else $CORDON_LOG_LEVEL, info"),
    CLI_OPTION("log-format", CLI_TEXT, struct common, log_format, "FORMAT",
               "json or text; else $CORDON_LOG_FORMAT, json"),
    {.name = "help",
     .letter = 'h',
     .type = CLI_FLAG,
     .offset = offsetof(struct common, help),
     .help = "this text"},
    {.name = NULL},
};

static void show_option(const struct cli_option *o)
{
    char left[64];

    (void)snprintf(left, sizeof left, "%c%c%c --%s%s%s", o->letter ? '-' : ' ',
                   o->letter ? o->letter : ' ', o->letter ? ',' : ' ', o->name, o->value ? " " : "",
                   o->value ? o->value : "");
    (void)printf("  %-24s %s%s\n", left, o->help, o->required ? " (needed)" : "");
}

static void show_help(const struct cli_command *c)
{
    (void)printf("Usage: cordon %s [options]%s%s\n\n%s\n\nOptions:\n", c->name, c->args ? " " : "",
                 c->args ? c->args : "", c->about);
    for (const struct cli_option *o = c->options; o && o->name; o++)
        show_option(o);
    for (const struct cli_option *o = common; o->name; o++)
        show_option(o);
}

/* ---- options ---------------------------------------------------------------------------------- */

static int set_up_log(const struct cli_command *command, const char *level, const char *format)
{
    const char *from_level = "--log-level", *from_format = "--log-format";
    enum log_level lowest = LOG_INFO;
    struct err e = {0};

    if (!level) {
        level = getenv("CORDON_LOG_LEVEL");
        from_level = "CORDON_LOG_LEVEL";
    }
    if (!format) {
        format = getenv("CORDON_LOG_FORMAT");
        from_format = "CORDON_LOG_FORMAT";
    }
    if (level && *level && log_level_parse(level, &lowest, &e))
        return cli_usage(command, "%s: %s", from_level, e.text);
    if (format && *format && strcmp(format, "json") != 0 && strcmp(format, "text") != 0)
        return cli_usage(command, "%s: expected json or text, found '%.40s'", from_format, format);
    log_setup(lowest, format && strcmp(format, "text") == 0);
    return CLI_GO_ON;
}

static bool parse_number(const char *text, int64_t *ret)
{
    int64_t value = 0;

    if (!*text)
        return false;
    for (; *text; text++)
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *text - '0', &value))
            return false;
    *ret = value;
    return value > 0;
}

/* A command's own options, then the common ones; and as getopt_long wants them. */
struct option_table {
    const struct cli_option *all[OPTIONS_MAX];
    size_t n, own;
    struct option longs[OPTIONS_MAX + 1];
    char shorts[2 * OPTIONS_MAX + 2];
};

/* t: zeroed. */
static void list_options(const struct cli_command *command, struct option_table *t)
{
    char *s = t->shorts;

    for (const struct cli_option *o = command->options; o && o->name; o++)
        t->all[t->n++] = o;
    t->own = t->n;
    for (const struct cli_option *o = common; o->name; o++)
        t->all[t->n++] = o;
    *s++ = ':'; /* a value that is missing is told from an option that is unknown */
    for (size_t i = 0; i < t->n; i++) {
        const struct cli_option *o = t->all[i];

        t->longs[i] =
            (struct option){.name = o->name,
                            .has_arg = o->type == CLI_FLAG ? no_argument : required_argument,
                            .val = 256 + (int)i};
        if (o->letter)
            *s++ = o->letter;
        if (o->letter && o->type != CLI_FLAG)
            *s++ = ':';
    }
}

/* What getopt_long could not make sense of. */
static int wrong_option(const struct cli_command *command, const struct option_table *t,
                        const char *word, bool lacks_value)
{
    const char *names[OPTIONS_MAX + 1] = {NULL}, *near = NULL;
    char bare[64];

    if (optopt >= 256 && (size_t)optopt - 256 < t->n)
        return cli_usage(command, lacks_value ? "--%s needs a value" : "--%s takes no value",
                         t->all[optopt - 256]->name);
    if (optopt)
        return cli_usage(command, lacks_value ? "-%c needs a value" : "there is no option -%c",
                         optopt);
    (void)snprintf(bare, sizeof bare, "%.*s", (int)strcspn(word, "="), word);
    for (size_t i = 0; i < t->n; i++)
        names[i] = t->all[i]->name;
    if (strncmp(bare, "--", 2) == 0)
        near = yaml_nearest(bare + 2, names);
    return cli_usage(command, "there is no option %s%s%s%s", bare, near ? "; did you mean --" : "",
                     near ? near : "", near ? "?" : "");
}

/* Fills the option's field of out; text: its value, unless it is a flag. False: it is no number. */
static bool take_option(const struct cli_option *o, void *out, const char *text)
{
    void *field = (char *)out + o->offset;

    switch (o->type) {
    case CLI_FLAG:
        *(bool *)field = true;
        return true;
    case CLI_TEXT:
        *(const char **)field = text;
        return true;
    case CLI_NUMBER:
        break;
    }
    return parse_number(text, field);
}

/* The words that are no options: as many as the command takes? */
static int check_words(const struct cli_command *command, const struct cli_words *words)
{
    if (words->count < command->least_args)
        return cli_usage(command, "expected %s", command->args);
    if (words->count > command->most_args)
        return cli_usage(command, "'%.60s' is one word too many", words->items[command->most_args]);
    return CLI_GO_ON;
}

int cli_parse(int argc, char **argv, const struct cli_command *command, void *out,
              struct cli_words *words)
{
    struct cli_words rest;
    struct option_table t = {.n = 0};
    struct common shared = {.help = false};
    bool given[OPTIONS_MAX] = {false};
    int found, code;

    list_options(command, &t);
    optind = 0; /* glibc: start anew */
    opterr = 0;
    while ((found = getopt_long(argc, argv, t.shorts, t.longs, NULL)) != -1) {
        size_t i = 0;

        if (found == '?' || found == ':')
            return wrong_option(command, &t, argv[optind - 1], found == ':');
        while (i < t.n && found != t.longs[i].val && found != t.all[i]->letter)
            i++;
        assert(i < t.n); /* getopt_long knows no others */
        given[i] = true;
        if (!take_option(t.all[i], i < t.own ? out : &shared, optarg))
            return cli_usage(command, "--%s: expected a whole number from 1, found '%.40s'",
                             t.all[i]->name, optarg);
    }
    if (shared.help) {
        show_help(command);
        return CLI_DONE;
    }
    for (size_t i = 0; i < t.own; i++)
        if (t.all[i]->required && !given[i])
            return cli_usage(command, "--%s %s is needed", t.all[i]->name,
                             t.all[i]->value ? t.all[i]->value : "");
    rest = (struct cli_words){.items = argv + optind, .count = argc - optind};
    code = check_words(command, &rest);
    if (code != CLI_GO_ON)
        return code;
    if (words)
        *words = rest;
    return set_up_log(command, shared.log_level, shared.log_format);
}

/* ---- commands --------------------------------------------------------------------------------- */

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

int cli_sub(int argc, char **argv, const char *name, const struct cli_sub *table)
{
    const char *words[16] = {NULL};
    char meant[YAML_MEANT_SIZE];
    size_t n = 0;

    for (const struct cli_sub *t = table; t->word; t++) {
        if (argc > 1 && strcmp(argv[1], t->word) == 0)
            return t->run(argc - 1, argv + 1);
        if (n + 1 < sizeof words / sizeof words[0])
            words[n++] = t->word;
    }
    if (argc > 1 && is_help(argv[1])) {
        (void)printf("Usage: cordon %s COMMAND [options]\n\nCommands:\n", name);
        for (const struct cli_sub *t = table; t->word; t++)
            (void)printf("  %-12s %s\n", t->word, t->help);
        return CLI_DONE;
    }
    if (argc < 2)
        cli_error("%s: expected a command after it", name);
    else if (*argv[1] == '-')
        cli_error("%s: the command comes first: cordon %s COMMAND %.40s …", name, name, argv[1]);
    else
        cli_error("%s: there is no command '%.60s'%s", name, argv[1],
                  yaml_meant(yaml_nearest(argv[1], words), "", meant));
    (void)fprintf(stderr, "Try: cordon %s --help\n", name);
    return CLI_USAGE;
}

static const struct command *find_command(const char *word)
{
    for (const struct command *c = commands; c->word; c++)
        if (strcmp(c->word, word) == 0)
            return c;
    return NULL;
}

static int unknown_command(const char *word)
{
    const char *words[64] = {NULL};
    char meant[YAML_MEANT_SIZE];
    size_t n = 0;

    if (*word == '-') {
        cli_error("the command comes first: cordon COMMAND %.40s …", word);
        (void)fputs("Try: cordon --help\n", stderr);
        return CLI_USAGE;
    }
    for (const struct command *c = commands; c->word && n + 1 < sizeof words / sizeof words[0]; c++)
        if (c->help)
            words[n++] = c->word;
    cli_error("there is no command '%.60s'%s", word,
              yaml_meant(yaml_nearest(word, words), "", meant));
    (void)fputs("Try: cordon --help\n", stderr);
    return CLI_USAGE;
}

static int run(int argc, char **argv)
{
    const struct command *c;

    if (argc < 2) {
        show_commands(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        (void)puts("cordon " CORDON_VERSION);
        return CLI_DONE;
    }
    if (is_help(argv[1]) && argc > 2 && *argv[2] != '-') { /* cordon help check */
        char help[] = "--help", *help_argv[] = {argv[2], help, NULL};

        c = find_command(argv[2]);
        return c ? c->run(2, help_argv) : unknown_command(argv[2]);
    }
    if (is_help(argv[1])) {
        show_commands(stdout);
        return CLI_DONE;
    }
    c = find_command(argv[1]);
    return c ? c->run(argc - 1, argv + 1) : unknown_command(argv[1]);
}

/* Whoever starts this with a stream closed gives its number to the next file that is opened: the lines of the log
 * went over the store's first pages. What takes its place fails as a closed one does. */
static bool fill_closed_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) !=
                                          fd) /* the lowest number */
            return false;
    return true;
}

int cli_main(int argc, char **argv)
{
    int code;

    if (!fill_closed_streams())
        return CLI_FAILED; /* without a stream to say it on */
    code = run(argc, argv);

    if ((fflush(stdout) != 0 || ferror(stdout)) && code == CLI_DONE) {
        cli_error("cannot write the output: %s", strerrordesc_np(errno));
        return CLI_FAILED;
    }
    return code;
}
