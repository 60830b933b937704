/* cmd_check.c - `cordon check`: reads configuration and policy, starts nothing. */
#include "cli.h"

#include <stdio.h>

#include "auto.h"
#include "buf.h"
#include "config.h"
#include "json.h"

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
    .name = "check",
    .about =
        "Reads the configuration and its policy and says what is wrong with it: every fault with\n"
        "file:line:column, what was expected and the nearest valid word; a test of the policy or\n"
        "of a hunt that fails, a rule that no alert can reach. Starts nothing, asks nobody. Exit code 1 when\n"
        "there is a fault.",
    .options = options,
};

static void show_json(const char *file, const struct config *config,
                      const struct yaml_faults *faults)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(8 * 1024 * 1024);
    struct json_out o = JSON_OUT(&out);

    json_out_object(&o, NULL);
    json_out_string(&o, "file", file);
    json_out_bool(&o, "good", config != NULL);
    json_out_string(&o, "policy", config ? policy_hash(config->policy) : NULL);
    json_out_int(&o, "tests", config ? (int64_t)config->n_tests : 0);
    json_out_int(&o, "hunts", config ? (int64_t)config->n_hunts : 0);
    json_out_array(&o, "faults");
    for (const struct yaml_fault *x = faults->first; x; x = x->next) {
        json_out_object(&o, NULL);
        json_out_string(&o, "file", x->file);
        json_out_int(&o, "line", x->line);
        json_out_int(&o, "column", x->column);
        json_out_string(&o, "text", x->text);
        json_out_object_end(&o);
    }
    json_out_array_end(&o);
    json_out_array(&o, "notes");
    for (const char *const *note = config ? config->notes : NULL; note && *note; note++)
        json_out_string(&o, NULL, *note);
    json_out_array_end(&o);
    json_out_object_end(&o);
    (void)puts(buf_text(&out));
}

static void show_text(const char *file, const struct config *config)
{
    size_t tests = 0;

    for (size_t i = 0; i < config->n_hunts; i++)
        tests += config->hunts[i].n_tests;
    for (const char *const *note = config->notes; *note; note++)
        (void)printf("note: %s\n", *note);
    (void)printf("%s: good. %zu tenant%s, %zu source%s, %zu test%s, policy %.12s%s\n", file,
                 config->n_tenants, config->n_tenants == 1 ? "" : "s", config->n_sources,
                 config->n_sources == 1 ? "" : "s", config->n_tests,
                 config->n_tests == 1 ? "" : "s", policy_hash(config->policy),
                 policy_is_shadow(config->policy) ? " in shadow mode: nothing is isolated" : "");
    if (config->n_hunts)
        (void)printf("hunts: %zu, with %zu test%s\n", config->n_hunts, tests,
                     tests == 1 ? "" : "s");
}

int cmd_check(int argc, char **argv)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct options o = {0};
    int code = cli_parse(argc, argv, &command, &o, NULL);
    struct config *config = NULL;
    struct yaml_faults faults;
    struct err e = {0};
    enum err_code loaded;
    const char *file;

    if (code != CLI_GO_ON)
        return code;
    file = cli_config_file(o.config);
    if (!arena)
        return CLI_FAILED;
    yaml_faults_init(&faults, arena);
    loaded = file ? config_load(file, NULL, arena, &config, &faults, &e)
                  : err_set(&e, ERR_NOT_FOUND, "there is no configuration");
    if (loaded && loaded != ERR_INVALID) { /* of a file without places: it cannot be read */
        if (file)
            cli_error("%s", e.text); /* else it was said */
        if (!o.json)
            return CLI_FAILED;
        yaml_fault(&faults, NULL, "%s", e.text);
    }
    if (o.json) {
        show_json(file, config, &faults);
    } else if (config) {
        show_text(file, config);
    } else {
        cli_show_faults(&faults);
        cli_error("%s", e.text);
    }
    config_unref(config);
    return loaded ? CLI_FAILED : CLI_DONE;
}
