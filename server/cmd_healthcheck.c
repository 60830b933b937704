/* cmd_healthcheck.c - `cordon healthcheck`: asks the running server whether it is ready, for service
 * managers and container engines (docker/Dockerfile, HEALTHCHECK). */
#include "cli.h"

#include <stdio.h>

#include "auto.h"
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
    .name = "healthcheck",
    .about =
        "Asks the running server, at its admin address, whether it is ready: whether it would\n"
        "accept a notification now. Exit code 0 when it is; what is wrong goes to stderr, and so\n"
        "does what hinders no acceptance (a mail server that does not answer).",
    .options = options,
};

int cmd_healthcheck(int argc, char **argv)
{
    AUTO(json_freep) struct json *answer = NULL;
    struct options o = {0};
    int code = cli_parse(argc, argv, &command, &o, NULL);

    if (code != CLI_GO_ON)
        return code;
    code = cli_admin_call(o.config, "GET", "/readyz", NULL, NULL, "parts", &answer);
    if (o.json && answer)
        cli_show_json(answer);
    if (code != CLI_GO_ON)
        return CLI_FAILED;
    if (!o.json) {
        cli_show_parts(answer);
        (void)puts(json_is_true(json_get(answer, "degraded")) ? "ready, degraded" : "ready");
    }
    return CLI_DONE;
}
