/* cmd_doctor.c - `cordon doctor`: could cordon do its work? Asks the outside world, reads only. */
#include "cli.h"

#include <stdio.h>

#include "auto.h"
#include "clock.h"
#include "doctor.h"
#include "json.h"
#include "mime.h"

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
    .name = "doctor",
    .about =
        "Asks the outside world whether cordon could do its work: hosts, TLS and clocks, the\n"
        "token and what it may, reading from Defender, the mail login, the store, the way of the\n"
        "senders, and whether cordon's own host could be isolated. Reads only; sends no mail.\n"
        "What is not well is told with its cure; exit code 1 when something does not work.",
    .options = options,
};

struct showing {
    bool as_json;
    struct json_out out;
    unsigned counts[DOCTOR_BAD + 1];
};

static void show(void *ctx, const struct doctor_finding *f)
{
    AUTO(buf_clear) struct buf text = BUF_INIT((size_t)64 * 1024);
    struct showing *s = ctx;

    s->counts[f->grade]++;
    if (s->as_json) {
        json_out_object(&s->out, NULL);
        json_out_string(&s->out, "grade", doctor_grade_name(f->grade));
        json_out_string(&s->out, "part", f->part);
        json_out_string(&s->out, "text", f->text);
        json_out_string(&s->out, "cure", f->cure);
        json_out_object_end(&s->out);
        return;
    }
    mime_clean_line(&text, f->text); /* a far end may have chosen it */
    (void)printf("%-4s  %s: %s\n", doctor_grade_name(f->grade), f->part, buf_text(&text));
    if (f->cure)
        (void)printf("      cure: %s\n", f->cure);
    (void)fflush(stdout); /* the next one may take a while */
}

/* A program that reads the findings has them, too, when nobody could be asked. */
static int end_early(struct showing *s, const struct buf *json, const char *part, const char *text,
                     const char *cure)
{
    if (!s->as_json)
        return CLI_FAILED;
    show(s,
         &(struct doctor_finding){.grade = DOCTOR_BAD, .part = part, .text = text, .cure = cure});
    json_out_array_end(&s->out);
    json_out_bool(&s->out, "good", false);
    json_out_object_end(&s->out);
    (void)puts(buf_text(json));
    return CLI_FAILED;
}

int cmd_doctor(int argc, char **argv)
{
    AUTO(buf_clear) struct buf json = BUF_INIT((size_t)4 * 1024 * 1024);
    struct showing s = {.out = JSON_OUT(&json)};
    AUTO(rest_freep) struct rest *rest = NULL;
    struct doctor_options doctor = {.clock = clock_system(), .found = show, .ctx = &s};
    struct options o = {0};
    struct err e = {0};
    int code = cli_parse(argc, argv, &command, &o, NULL);
    enum err_code failed;

    if (code != CLI_GO_ON)
        return code;
    s.as_json = o.json;
    json_out_object(&s.out, NULL);
    json_out_array(&s.out, "findings");
    code = cli_load_config(o.config, NULL, &doctor.config);
    if (code != CLI_GO_ON)
        return end_early(&s, &json, "configuration", "it cannot be read, or has faults",
                         "`cordon check` names what is wrong with it");
    failed = cli_rest_new(&rest, &e);
    doctor.rest = rest;
    if (!failed)
        failed = doctor_run(&doctor, &e);
    config_unref(doctor.config);
    if (failed) {
        cli_error("%s", e.text);
        return end_early(&s, &json, "doctor", e.text, "try again");
    }
    json_out_array_end(&s.out);
    json_out_bool(&s.out, "good", s.counts[DOCTOR_BAD] == 0);
    json_out_object_end(&s.out);
    if (o.json)
        (void)puts(buf_text(&json));
    else
        (void)printf("%u ok, %u to look at, %u that do not work\n", s.counts[DOCTOR_OK],
                     s.counts[DOCTOR_WARN], s.counts[DOCTOR_BAD]);
    return s.counts[DOCTOR_BAD] ? CLI_FAILED : CLI_DONE;
}
