/* cmd_cases_explain.c - `cordon cases explain`: a verdict in words, from what is stored of it. */
#include "cmd_cases.h"

#include <stdio.h>
#include <string.h>

#include "auto.h"
#include "buf.h"
#include "cli.h"
#include "explain.h"
#include "json.h"
#include "mime.h"
#include "rest.h"

#define LINE_MAX_BYTES (64 * 1024)
#define FIELD_WIDTH    30 /* of a predicate, so that what was seen stands below each other */
#define WANTED_WIDTH   34

struct options {
    const char *config;
    bool json;
};

static const struct cli_option options[] = {
    CLI_CONFIG(struct options, config),
    CLI_JSON(struct options, json),
    {.name = NULL},
};

static const struct cli_command command = {
    .name = "cases explain",
    .args = "ID",
    .about =
        "Why a case was judged as it was: every rule, what each asked for and what it saw, which one\n"
        "gave the verdict, what protects the machine, each step and why it was withheld, by which\n"
        "policy and when. All of it is as it was stored then; and the verdict is given once more,\n"
        "of the same facts by the same policy, to see whether today's cordon says the same. Exit\n"
        "code 1 when it does not.",
    .options = options,
    .least_args = 1,
    .most_args = 1,
};

/* One line of values that strangers may have worded. */
__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
    AUTO(buf_clear) struct buf raw = BUF_INIT(LINE_MAX_BYTES), line = BUF_INIT(LINE_MAX_BYTES);
    size_t indent = strspn(fmt, " ");
    va_list ap;

    va_start(ap, fmt);
    buf_addv(&raw, fmt + indent, ap);
    va_end(ap);
    mime_clean_line(&line, buf_text(&raw));
    (void)printf("%*s%s\n", (int)indent, "", buf_text(&line));
}

static const char *or_dash(const char *text)
{
    return text && *text ? text : "-";
}

/* "any[2]: machine.os glob "Windows*"       seen "Ubuntu"      false" */
static void show_predicates(const struct json *match)
{
    JSON_EACH (p, json_get(match, "predicates")) {
        AUTO(buf_clear) struct buf what = BUF_INIT(LINE_MAX_BYTES);
        const char *within = json_get_string(p, "within");

        if (within)
            buf_addf(&what, "%s: ", within);
        buf_addf(&what, "%s %s", or_dash(json_get_string(p, "field")),
                 or_dash(json_get_string(p, "operator")));
        say("        %-*s %-*s saw %-*s %s", FIELD_WIDTH, buf_text(&what), WANTED_WIDTH,
            or_dash(json_get_string(p, "wanted")), WANTED_WIDTH,
            or_dash(json_get_string(p, "seen")), or_dash(json_get_string(p, "result")));
    }
}

static void show_rules(const struct json *verdict)
{
    const char *gave = json_get_string(verdict, "rule");
    bool found = false;

    say("Rules, in order:");
    JSON_EACH (rule, json_get(verdict, "why")) {
        say("    %s: %s", or_dash(json_get_string(rule, "rule")),
            explain_rule_says(rule, gave, &found));
        show_predicates(rule);
    }
    if (!gave)
        say("    none of them matches: people are told");
}

static void show_protections(const struct json *verdict)
{
    const struct json *list = json_get(verdict, "protected");

    if (json_count(list) == 0)
        return;
    say("Protected machines:");
    JSON_EACH (p, list) {
        say("    %s:", explain_protection_says(p));
        show_predicates(p);
    }
}

static void show_steps(const struct json *doc)
{
    say("Steps:");
    JSON_EACH (step, json_get(doc, "steps")) {
        const char *why = json_get_string(step, "why"), *asks = json_get_string(step, "asks");

        say("    %s%s%s%s: %s%s%s", or_dash(json_get_string(step, "handler")),
            asks ? " (after a yes to: " : "", asks ? asks : "", asks ? ")" : "",
            or_dash(explain_step_says(step)), why ? ", " : "", why ? why : "");
    }
    JSON_EACH (name, json_get(doc, "not_taken"))
        say("    %s: not taken, as the case keeps the steps that it was first judged to",
            or_dash(json_string(name)));
}

static void show(const struct json *doc, struct arena *a)
{
    const struct json *verdict = json_get(doc, "verdict"), *policy = json_get(doc, "policy");
    const struct json *facts = json_get(doc, "facts"), *again = json_get(doc, "again");
    const struct json *alert = json_get(facts, "alert"), *machine = json_get(facts, "machine");
    const char *doubt = json_get_string(verdict, "doubt");
    const char *since = cli_time(a, json_get_string(policy, "since"));

    say("Case %s of tenant %s, judged %s", or_dash(json_get_string(doc, "case")),
        or_dash(json_get_string(doc, "tenant")),
        or_dash(cli_time(a, json_get_string(verdict, "at"))));
    say("Alert %s: %s, %s", or_dash(json_get_string(doc, "alert_id")),
        or_dash(json_get_string(alert, "severity")), or_dash(json_get_string(alert, "title")));
    say("Machine %s: %s, %s", or_dash(json_get_string(doc, "machine_id")),
        or_dash(json_get_string(machine, "computerDnsName")),
        or_dash(json_get_string(machine, "osPlatform")));
    say("Pushed by %s%s%s", or_dash(json_get_string(facts, "source")),
        json_is_true(json_get(facts, "may_isolate")) ? "" : ", which may only notify",
        json_is_true(json_get(facts, "source_shadow")) ? ", in shadow mode" : "");
    if (doubt)
        say("In doubt: %s", doubt);
    show_rules(verdict);
    show_protections(verdict);
    show_steps(doc);
    say("Policy %s, %s%s%s", or_dash(json_get_string(policy, "hash")),
        json_is_true(json_get(policy, "in_force")) ? "in force" : "not in force now",
        since ? ", first on " : "", since ? since : "");
    if (json_is_true(json_get(again, "same")))
        say("Judged again by this version of cordon: the same.");
    else if (json_type(json_get(again, "same")) == JSON_BOOL)
        say("Judged again by this version of cordon: NOT the same; %s.",
            or_dash(json_get_string(again, "why")));
    else
        say("It cannot be judged again: %s.", or_dash(json_get_string(again, "why")));
}

int cmd_cases_explain(int argc, char **argv)
{
    AUTO(buf_clear) struct buf path = BUF_INIT(CLI_PATH_MAX), what = BUF_INIT(200);
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(json_freep) struct json *answer = NULL;
    AUTO(auto_free) char *id = NULL;
    struct options o = {0};
    struct cli_words words;
    int code = cli_parse(argc, argv, &command, &o, &words);
    const struct json *same;

    if (code != CLI_GO_ON)
        return code;
    id = rest_encode(words.items[0]);
    buf_addf(&path, "/api/cases/%s/explain", id ? id : "");
    buf_addf(&what, "case '%.60s'", words.items[0]);
    code = cli_admin_call(o.config, "GET", buf_text(&path), NULL, buf_text(&what), "case", &answer);
    if (code != CLI_GO_ON || !a)
        return CLI_FAILED;
    if (o.json)
        cli_show_json(answer);
    else
        show(answer, a);
    same = json_get(json_get(answer, "again"), "same");
    return json_type(same) == JSON_BOOL && !json_is_true(same) ? CLI_FAILED : CLI_DONE;
}
