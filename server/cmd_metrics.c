/* cmd_metrics.c - `cordon metrics`: what /metrics counts, and what to do about it. */
#include "cli.h"

#include <stdio.h>

#include "auto.h"
#include "buf.h"
#include "json.h"
#include "metrics.h"

struct options {
    bool json;
};

static const struct cli_option options[] = {
    CLI_JSON(struct options, json),
    {.name = NULL},
};

static const struct cli_command command = {
    .name = "metrics",
    .about =
        "Every metric of GET /metrics on the admin address: its type and labels, what it means\n"
        "and what to do about it.",
    .options = options,
};

static void show_json(void)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1024 * 1024);
    struct json_out o = JSON_OUT(&out);

    json_out_array(&o, NULL);
    for (int i = 0; i < METRICS; i++) {
        const struct metric_info *m = &metrics_table()[i];

        json_out_object(&o, NULL);
        json_out_string(&o, "name", m->name);
        json_out_string(&o, "type", m->type);
        json_out_array(&o, "labels");
        for (const char *const *label = m->labels; *label; label++)
            json_out_string(&o, NULL, *label);
        json_out_array_end(&o);
        json_out_string(&o, "meaning", m->meaning);
        json_out_string(&o, "advice", m->advice);
        json_out_object_end(&o);
    }
    json_out_array_end(&o);
    (void)puts(buf_text(&out));
}

/* Two sentences do not fit beside each other: a paragraph for each metric, not a row. */
static void show_text(void)
{
    for (int i = 0; i < METRICS; i++) {
        const struct metric_info *m = &metrics_table()[i];

        (void)printf("%s%s", i ? "\n" : "", m->name);
        for (const char *const *label = m->labels; *label; label++)
            (void)printf("%s%s%s", label == m->labels ? "{" : ", ", *label, label[1] ? "" : "}");
        (void)printf("  %s\n    %s\n    %s\n", m->type, m->meaning, m->advice);
    }
}

int cmd_metrics(int argc, char **argv)
{
    struct options o = {0};
    int code = cli_parse(argc, argv, &command, &o, NULL);

    if (code != CLI_GO_ON)
        return code;
    if (o.json)
        show_json();
    else
        show_text();
    return CLI_DONE;
}
