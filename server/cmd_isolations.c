/* cmd_isolations.c - `cordon isolations`: the ledger, as the running server has it. */
#include "cli_record.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "auto.h"
#include "desk.h"
#include "id.h"
#include "json.h"
#include "rest.h"
#include "settings.h"

static const char *const titles[] = {"ISOLATION", "STATE",     "MACHINE",   "TENANT",   "BY",
                                     "RULE",      "REQUESTED", "CONFIRMED", "RELEASED", "REVIEW",
                                     "CASE",      "WHY",       NULL};

static void row(struct arena *a, const struct json *i, const char **cells)
{
    const char *name = json_get_string(i, "machine_name"), *by = json_get_string(i, "requestor");
    bool adopted = json_is_true(json_get(i, "adopted"));

    cells[0] = json_get_string(i, "id");
    cells[1] = json_get_string(i, "state");
    cells[2] = name && *name ? name : json_get_string(i, "machine_id");
    cells[3] = json_get_string(i, "tenant");
    cells[4] = !adopted ? "cordon" : by && *by ? by : "others";
    cells[5] = json_get_string(i, "rule");
    cells[6] = cli_time(a, json_get_string(i, "requested"));
    cells[7] = cli_time(a, json_get_string(i, "confirmed"));
    cells[8] = cli_time(a, json_get_string(i, "released"));
    cells[9] = cli_time(a, json_get_string(i, "review"));
    cells[10] = json_get_string(i, "case");
    cells[11] = json_get_string(i, "why");
}

static const struct cli_kind isolation = {.name = "isolation",
                                          .path = "/api/isolations",
                                          .list = "isolations",
                                          .open = "?open=1",
                                          .titles = titles,
                                          .paged = "cases",
                                          .row = row};

static const struct cli_option list_options[] = {
    CLI_LIST_OPTIONS("only those that are not over"),
};

static const struct cli_command list_command = {
    .name = "isolations list",
    .about =
        "Every episode of a machine being isolated. A machine is isolated when its state says so:\n"
        "requested and pending mean that Defender has not confirmed it. BY: who asked Defender for it, and\n"
        "RULE: by which rule; REVIEW: when people are asked next whether it is still right; WHY: the reason\n"
        "of its state.",
    .options = list_options,
};

static int isolations_list(int argc, char **argv)
{
    return cli_list_command(argc, argv, &list_command, &isolation);
}

/* ---- one of them -------------------------------------------------------------------------------- */

#define NEAR_LOOKED_AT 1000 /* open isolations that are looked through for what was meant */

/* Does the word mean this name? As a mail's subject has it, without its domain; or as its text has it, defanged. */
static bool means(const char *word, const char *name)
{
    size_t n = 0;

    for (; *word; word++) {
        if ((*word == '[' && word[1] == '.') || (*word == ']' && n && name[n - 1] == '.'))
            continue;
        if (tolower((unsigned char)*word) != tolower((unsigned char)name[n]))
            return false;
        n++;
    }
    return n && (!name[n] || name[n] == '.');
}

/* Whoever reads that a machine is not isolated is not to believe it of one that is, by another name. */
static void say_near(const char *config, const char *word)
{
    AUTO(json_freep) struct json *answer = NULL;

    if (cli_admin_list(config, "/api/isolations?open=1", "isolations", NEAR_LOOKED_AT, &answer) !=
        CLI_GO_ON)
        return;
    JSON_EACH (one, json_get(answer, "isolations")) {
        const char *name = json_get_string(one, "machine_name");

        if (name && means(word, name))
            cli_error("there is an isolation of %s (%s, %s): name it so, if that is the one", name,
                      json_get_string(one, "machine_id"), json_get_string(one, "state"));
    }
}

/* The newest isolation of a machine that is not isolated now; *ret_id NULL: it has none. Heap. Whoever reads of it is told so;
 * whoever gives an order is told why there is nothing to be ordered, and that has failed. */
static int find_past(const char *config, const char *word, bool ordered, char **ret_id)
{
    AUTO(buf_clear) struct buf path = BUF_INIT(CLI_PATH_MAX);
    AUTO(json_freep) struct json *answer = NULL;
    const struct json *last;
    const char *id;

    buf_adds(&path, "/api/isolations");
    cli_query_add(&path, "machine", word);
    if (cli_admin_list(config, buf_text(&path), "isolations", 1, &answer) != CLI_GO_ON)
        return CLI_FAILED;
    last = json_first(json_get(answer, "isolations"));
    id = json_get_string(last, "id");
    *ret_id = id ? strdup(id) : NULL;
    if (*ret_id && json_is_true(json_get(last, "unknown"))) /* it may have been carried out */
        cli_error("nobody knows whether '%.60s' is isolated: %s", word,
                  ordered
                      ? "Defender has not said what came of its last isolation. See there, in the "
                        "portal, and release it there if it is"
                      : "this is its last isolation");
    else if (*ret_id)
        cli_error("'%.60s' is not isolated now, as far as cordon knows: %s", word,
                  ordered ? "`cordon isolations show` has its last isolation"
                          : "this is its last isolation");
    if (!*ret_id || !ordered)
        return CLI_GO_ON;
    say_near(config, word);
    return CLI_FAILED;
}

/* The isolation that the word means: the open one of a machine (name or id), one by its own id or, to be shown, the last one
 * of a machine. ret_named: it was a machine that is isolated that was named. Heap. */
static int find_isolation(const struct cli_command *command, const char *config, const char *word,
                          bool past, char **ret_id, bool *ret_named)
{
    AUTO(buf_clear) struct buf path = BUF_INIT(CLI_PATH_MAX), what = BUF_INIT(400);
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(json_freep) struct json *answer = NULL, *one = NULL;
    AUTO(auto_free) char *encoded = rest_encode(word);
    const struct json *list;
    const char *id;
    int64_t unused;

    if (!word[strspn(word, " \t\r\n")]) /* a variable of a script that is not set */
        return cli_usage(command, "MACHINE: the word is empty: say which machine");
    buf_adds(&path, "/api/isolations?open=1");
    cli_query_add(&path, "machine", word);
    if (!a || cli_admin_list(config, buf_text(&path), "isolations", 0, &answer) != CLI_GO_ON)
        return CLI_FAILED;
    list = json_get(answer, "isolations");
    if (json_count(list) > 1) {
        cli_show_list(a, &isolation, list);
        cli_error("%zu machines are called '%.60s': name the machine's id or the isolation's",
                  json_count(list), word);
        return CLI_FAILED;
    }
    *ret_named = json_count(list) == 1;
    if (!*ret_named && id_parse(word, &unused, NULL)) {
        if (find_past(config, word, !past, ret_id) != CLI_GO_ON)
            return CLI_FAILED;
        if (*ret_id)
            return CLI_GO_ON;
    }
    if (!*ret_named) {
        buf_reset(&path);
        buf_addf(&path, "/api/isolations/%s", encoded ? encoded : "");
        buf_addf(&what, "machine called '%.60s' that is isolated, and no isolation '%.60s'", word,
                 word);
        if (cli_admin_call(config, "GET", buf_text(&path), NULL, buf_text(&what), "id", &one) !=
            CLI_GO_ON) {
            say_near(config, word);
            return CLI_FAILED;
        }
    }
    id = json_get_string(*ret_named ? json_first(list) : one, "id");
    *ret_id = id ? strdup(id) : NULL;
    if (!*ret_id)
        cli_error(id ? "out of memory" : "the answer names no isolation's id: is it cordon's?");
    return *ret_id ? CLI_GO_ON : CLI_FAILED;
}

static const struct cli_command show_command = {
    .name = "isolations show",
    .args = "MACHINE",
    .about =
        "Everything about one isolation: since when, for which cases, who asked Defender, when people are\n"
        "asked about it next. MACHINE: the machine's name or id, or the isolation's id. Of a machine that is\n"
        "not isolated now it is the last one.",
    .options = cli_show_options,
    .least_args = 1,
    .most_args = 1,
};

static int isolations_show(int argc, char **argv)
{
    AUTO(auto_free) char *id = NULL;
    struct cli_about_one o = {0};
    struct cli_words words;
    bool named;
    int code = cli_parse(argc, argv, &show_command, &o, &words);

    if (code == CLI_GO_ON)
        code = find_isolation(&show_command, o.config, words.items[0], true, &id, &named);
    return code == CLI_GO_ON ? cli_show_one(o.config, &isolation, id, o.json) : code;
}

static const struct cli_command release_command = {
    .name = "isolations release",
    .args = "MACHINE",
    .about =
        "Has Defender release a machine, and follows that to its end; people are told in the thread of its\n"
        "alert. --why is demanded. An isolation that somebody else asked for is released only when the\n"
        "machine is named, by its name or id.",
    .options = cli_order_options,
    .least_args = 1,
    .most_args = 1,
};

struct extend_options {
    const char *config, *why, *duration;
    bool json;
};

static const struct cli_option extend_options[] = {
    CLI_CONFIG(struct extend_options, config),
    CLI_OPTION("for", CLI_TEXT, struct extend_options, duration, "TIME",
               "so long from now: 4h, 3d"),
    CLI_OPTION("why", CLI_TEXT, struct extend_options, why, "TEXT", "the reason, for the record"),
    CLI_JSON(struct extend_options, json),
    {.name = NULL},
};

static const struct cli_command extend_command = {
    .name = "isolations extend",
    .args = "MACHINE",
    .about =
        "Says that it is right that a machine is isolated: people are asked again after --for TIME, which is\n"
        "demanded, and a rule's release_after waits until then.",
    .options = extend_options,
    .least_args = 1,
    .most_args = 1,
};

static int isolations_release(int argc, char **argv)
{
    static const struct cli_verb release = {.word = "release",
                                            .done = "its release is asked for and followed"};
    AUTO(auto_free) char *id = NULL;
    struct cli_about_one o = {0};
    struct cli_words words;
    bool named;
    int code = cli_parse(argc, argv, &release_command, &o, &words);

    if (code != CLI_GO_ON)
        return code;
    code = cli_check_why(&release_command, o.why);
    if (code != CLI_GO_ON)
        return code;
    code = find_isolation(&release_command, o.config, words.items[0], false, &id, &named);
    if (code != CLI_GO_ON)
        return code;
    return cli_give_order(
        o.config, &isolation, id, &release,
        &(struct cli_order){.why = o.why, .machine = named ? words.items[0] : NULL}, o.json);
}

static int isolations_extend(int argc, char **argv)
{
    static const struct cli_verb extend = {.word = "extend",
                                           .done = "people are asked about it again after that"};
    AUTO(auto_free) char *id = NULL;
    struct extend_options o = {0};
    struct cli_words words;
    bool named;
    int code = cli_parse(argc, argv, &extend_command, &o, &words);

    if (code != CLI_GO_ON)
        return code;
    code = cli_check_for(&extend_command, o.duration, DESK_EXTEND_MIN_MS, DESK_EXTEND_MAX_MS,
                         "1m to 366d");
    if (code != CLI_GO_ON)
        return code;
    code = find_isolation(&extend_command, o.config, words.items[0], false, &id, &named);
    if (code != CLI_GO_ON)
        return code;
    return cli_give_order(o.config, &isolation, id, &extend,
                          &(struct cli_order){.why = o.why,
                                              .machine = named ? words.items[0] : NULL,
                                              .duration = o.duration},
                          o.json);
}

int cmd_isolations(int argc, char **argv)
{
    static const struct cli_sub table[] = {
        {"list", isolations_list, "every episode of a machine being isolated"},
        {"show", isolations_show, "everything about one of them"},
        {"release", isolations_release, "has a machine released"},
        {"extend", isolations_extend, "it is right that it is isolated: ask again later"},
        {NULL, NULL, NULL},
    };

    return cli_sub(argc, argv, "isolations", table);
}
