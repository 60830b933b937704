/* cmd_notify.c - `cordon notify`: what people are told, as the running server tells it. */
#include "cli.h"

#include <stdio.h>

#include "auto.h"
#include "buf.h"
#include "json.h"
#include "mime.h"
#include "rest.h"

struct options {
    const char *config;
    bool html, text, digest, json;
};

static const struct cli_option options[] = {
    CLI_CONFIG(struct options, config),
    CLI_OPTION("html", CLI_FLAG, struct options, html, NULL, "the HTML part alone, as it is sent"),
    CLI_OPTION("text", CLI_FLAG, struct options, text, NULL, "the plain part alone"),
    CLI_OPTION("digest", CLI_FLAG, struct options, digest, NULL,
               "the digest that the case was told in, instead of its own mail"),
    CLI_JSON(struct options, json),
    {.name = NULL},
};

static const struct cli_command command = {
    .name = "notify preview",
    .args = "CASE",
    .about =
        "The last mail about a case as it was made or, when there is none yet, as it would be made\n"
        "now, once a rule has judged the case. A case of a storm is told in a digest: its own mail is\n"
        "shown all the same, and --digest shows that one. --html goes well with a file: > mail.html.\n"
        "Sends nothing.",
    .options = options,
    .least_args = 1,
    .most_args = 1,
};

/* One line of what strangers may have worded. */
static void line(const char *name, const char *value)
{
    AUTO(buf_clear) struct buf clean = BUF_INIT(64 * 1024);

    mime_clean_line(&clean, value ? value : "");
    (void)printf("%-9s%s\n", name, buf_text(&clean));
}

static void show(const struct json *mail, const struct json *whole)
{
    const char *text = json_get_string(mail, "text");
    const char *digest = json_get_string(json_get(whole, "digest"), "subject");
    AUTO(buf_clear) struct buf clean = BUF_INIT(8 << 20);

    line("From:", json_get_string(mail, "from"));
    JSON_EACH (to, json_get(mail, "to"))
        line("To:", json_string(to));
    line("Subject:", json_get_string(mail, "subject"));
    line("State:", json_get_string(mail, "state"));
    if (digest && mail == whole)
        line("Told in:", digest);
    mime_clean_text(&clean, text ? text : "");
    (void)printf("\n%s", buf_text(&clean));
}

static int notify_preview(int argc, char **argv)
{
    AUTO(buf_clear) struct buf path = BUF_INIT(CLI_PATH_MAX), what = BUF_INIT(200);
    AUTO(json_freep) struct json *answer = NULL;
    AUTO(auto_free) char *id = NULL;
    struct options o = {0};
    struct cli_words words;
    int code = cli_parse(argc, argv, &command, &o, &words);
    const struct json *mail;
    const char *part;

    if (code != CLI_GO_ON)
        return code;
    if (o.html && o.text)
        return cli_usage(&command, "--html or --text: one of them");
    id = rest_encode(words.items[0]);
    buf_addf(&path, "/api/cases/%s/notice", id ? id : "");
    buf_addf(&what, "case '%.60s'", words.items[0]);
    code = cli_admin_call(o.config, "GET", buf_text(&path), NULL, buf_text(&what), "case", &answer);
    if (code != CLI_GO_ON)
        return code;
    mail = o.digest ? json_get(answer, "digest") : answer;
    if (json_type(mail) != JSON_OBJECT) {
        (void)fprintf(stderr, "cordon notify preview: this case was told in no digest\n");
        return CLI_FAILED;
    }
    part = json_get_string(mail, o.html ? "html" : "text");
    if (o.json)
        cli_show_json(mail);
    else if (o.html || o.text)
        (void)fputs(part ? part : "", stdout);
    else
        show(mail, answer);
    return CLI_DONE;
}

int cmd_notify(int argc, char **argv)
{
    static const struct cli_sub table[] = {
        {"preview", notify_preview, "the mail of a case, as it was or would be"},
        {NULL, NULL, NULL},
    };

    return cli_sub(argc, argv, "notify", table);
}
