/* cli_record.c - list, show and order of what the running server keeps, see cli_record.h. */
#include "cli_record.h"

#include <stdio.h>
#include <string.h>

#include "auto.h"
#include "buf.h"
#include "json.h"
#include "rest.h"
#include "settings.h"

#define WHOLE_MAX ((size_t)64 * 1024 * 1024) /* bytes: of one, with a list of everything */

const struct cli_option cli_show_options[] = {
    CLI_CONFIG(struct cli_about_one, config),
    CLI_JSON(struct cli_about_one, json),
    {.name = NULL},
};

const struct cli_option cli_order_options[] = {
    CLI_CONFIG(struct cli_about_one, config),
    CLI_OPTION("why", CLI_TEXT, struct cli_about_one, why, "TEXT", "the reason, for the record"),
    CLI_JSON(struct cli_about_one, json),
    {.name = NULL},
};

/* ---- lists ------------------------------------------------------------------------------------ */

void cli_show_list(struct arena *a, const struct cli_kind *kind, const struct json *list)
{
    struct cli_table t;

    cli_table_init(&t, a, kind->titles);
    JSON_EACH (one, list) {
        const char **cells = arena_array(a, t.columns, sizeof *cells);

        if (!cells)
            break;
        kind->row(a, one, cells);
        cli_table_row(&t, cells);
    }
    cli_table_show(&t, cli_width());
}

int cli_list(const char *config, const struct cli_kind *kind, const char *path, int64_t limit,
             bool json)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(json_freep) struct json *answer = NULL;

    if (!a || cli_admin_list(config, path, kind->list, limit, &answer) != CLI_GO_ON)
        return CLI_FAILED;
    if (json) {
        cli_show_json(answer);
        return CLI_DONE;
    }
    cli_show_list(a, kind, json_get(answer, kind->list));
    if (json_get_string(answer, "next"))
        (void)fputs("There are more: --limit N shows more of them.\n", stderr);
    return CLI_DONE;
}

int cli_list_command(int argc, char **argv, const struct cli_command *command,
                     const struct cli_kind *kind)
{
    AUTO(buf_clear) struct buf path = BUF_INIT(CLI_PATH_MAX);
    struct cli_list_options o = {0};
    int code = cli_parse(argc, argv, command, &o, NULL);

    if (code != CLI_GO_ON)
        return code;
    buf_addf(&path, "%s%s", kind->path, o.open ? kind->open : "");
    return cli_list(o.config, kind, buf_text(&path), o.limit, o.json);
}

/* ---- one of them ------------------------------------------------------------------------------ */

/* "/api/cases/ID[/VERB]", and what it is about for people. */
static void name_one(const struct cli_kind *kind, const char *id, const char *verb,
                     struct buf *path, struct buf *what)
{
    AUTO(auto_free) char *encoded = rest_encode(id);

    buf_addf(path, "%s/%s%s%s", kind->path, encoded ? encoded : "", verb ? "/" : "",
             verb ? verb : "");
    buf_addf(what, "%s '%.60s'%s", kind->name, id, kind->where ? kind->where : "");
}

/* *one, with all of the list of which it holds the first page. */
static int read_whole(const char *config, const struct cli_kind *kind, const char *path,
                      struct json **one)
{
    AUTO(json_freep) struct json *list = NULL, *first = *one;
    AUTO(buf_clear) struct buf whole = BUF_INIT(WHOLE_MAX);
    struct json_out o = JSON_OUT(&whole);
    struct err e = {0};

    *one = NULL;
    if (cli_admin_list(config, path, kind->paged, INT64_MAX, &list) != CLI_GO_ON)
        return CLI_FAILED;
    json_out_object(&o, NULL);
    JSON_EACH (member, first)
        if (strcmp(json_name(member), kind->paged) != 0 && strcmp(json_name(member), "next") != 0)
            json_out_value(&o, json_name(member), member);
    json_out_value(&o, kind->paged, json_get(list, kind->paged));
    json_out_object_end(&o);
    if (!buf_failed(&whole) && !json_parse_own(buf_text(&whole), whole.len, one, &e))
        return CLI_GO_ON;
    cli_error("%s: there are too many to be shown", kind->paged);
    return CLI_FAILED;
}

int cli_show_one(const char *config, const struct cli_kind *kind, const char *id, bool json)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(buf_clear) struct buf path = BUF_INIT(CLI_PATH_MAX), what = BUF_INIT(200);
    AUTO(json_freep) struct json *answer = NULL;
    int code;

    name_one(kind, id, NULL, &path, &what);
    code = cli_admin_call(config, "GET", buf_text(&path), NULL, buf_text(&what), "id", &answer);
    if (code == CLI_GO_ON && kind->paged)
        code = read_whole(config, kind, buf_text(&path), &answer);
    if (code != CLI_GO_ON)
        return code;
    if (json) {
        cli_show_json(answer);
        return CLI_DONE;
    }
    cli_show_value(answer, kind->but);
    if (kind->after && a)
        kind->after(a, answer);
    return CLI_DONE;
}

int cli_show_command(int argc, char **argv, const struct cli_command *command,
                     const struct cli_kind *kind)
{
    struct cli_about_one o = {0};
    struct cli_words words;
    int code = cli_parse(argc, argv, command, &o, &words);

    return code == CLI_GO_ON ? cli_show_one(o.config, kind, words.items[0], o.json) : code;
}

int cli_give_order(const char *config, const struct cli_kind *kind, const char *id,
                   const struct cli_verb *verb, const struct cli_order *order, bool json)
{
    AUTO(buf_clear) struct buf path = BUF_INIT(CLI_PATH_MAX), what = BUF_INIT(200);
    AUTO(json_freep) struct json *answer = NULL;
    int code;

    name_one(kind, id, verb->word, &path, &what);
    code =
        cli_admin_order_with(config, buf_text(&path), order, buf_text(&what), kind->name, &answer);
    if (code != CLI_GO_ON)
        return code;
    if (json)
        cli_show_json(answer);
    else
        (void)printf("%s %s: %s\n", kind->name, json_get_string(answer, kind->name),
                     verb->done ? verb->done : json_get_string(answer, "status"));
    return CLI_DONE;
}

int cli_check_why(const struct cli_command *command, const char *why)
{
    if (!why)
        return cli_usage(command, "--why TEXT is missing: say for what reason");
    if (!why[strspn(why, " \t\r\n")])
        return cli_usage(command, "--why: the text is empty: say for what reason");
    return CLI_GO_ON;
}

int cli_check_for(const struct cli_command *command, const char *text, int64_t least_ms,
                  int64_t most_ms, const char *range)
{
    int64_t ms;

    if (text && !settings_duration(text, &ms, NULL) && ms >= least_ms && ms <= most_ms)
        return CLI_GO_ON;
    return cli_usage(command, "--for: expected %s, such as 4h%s%.40s%s", range,
                     text ? ", found '" : "", text ? text : "", text ? "'" : "");
}

int cli_order_command(int argc, char **argv, const struct cli_command *command,
                      const struct cli_kind *kind, const struct cli_verb *verb)
{
    struct cli_about_one o = {0};
    struct cli_words words;
    int code = cli_parse(argc, argv, command, &o, &words);

    if (code != CLI_GO_ON)
        return code;
    if (verb->why_demanded)
        code = cli_check_why(command, o.why);
    if (code != CLI_GO_ON)
        return code;
    return cli_give_order(o.config, kind, words.items[0], verb, &(struct cli_order){.why = o.why},
                          o.json);
}
