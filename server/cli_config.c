/* cli_config.c - how commands find and read the configuration, see cli.h. */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auto.h"
#include "buf.h"
#include "config.h"
#include "log.h"

/* In doubt it is: another one in its place would be a server that somebody else is asked about. */
static bool is_there(const char *file)
{
    return access(file, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static const char *find_file(const char *given, struct err *e)
{
    static const char *const usual[] = {"/etc/cordon/cordon.yaml", "cordon.yaml"};
    const char *named = getenv("CORDON_CONFIG");

    if (given)
        return given;
    if (named && *named)
        return named;
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        if (is_there(usual[i]))
            return usual[i];
    err_set(e, ERR_NOT_FOUND,
            "there is no configuration: neither -c, $CORDON_CONFIG, %s nor ./%s; `cordon init` "
            "writes one",
            usual[0], usual[1]);
    return NULL;
}

const char *cli_config_file(const char *given)
{
    struct err e;
    const char *file = find_file(given, &e);

    if (!file)
        cli_error("%s", e.text);
    return file;
}

void cli_show_faults(const struct yaml_faults *faults)
{
    AUTO(buf_clear) struct buf line = BUF_INIT(1024 * 1024);
    size_t shown = 0;

    (void)fflush(stdout);
    for (const struct yaml_fault *x = faults->first; x; x = x->next, shown++) {
        buf_reset(&line);
        yaml_fault_write(&line, x);
        (void)fprintf(stderr, "%s\n", buf_text(&line));
    }
    if (faults->count > shown)
        (void)fprintf(stderr, "… and %zu more\n", faults->count - shown);
}

int cli_read(enum err_code code, const struct yaml_faults *faults, const struct err *e)
{
    if (!code)
        return CLI_GO_ON;
    if (code == ERR_INVALID)
        cli_show_faults(faults);
    cli_error("%s", e->text);
    return CLI_FAILED;
}

int cli_load_config(const char *given, struct watch *files, struct config **ret)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    const char *file = cli_config_file(given);
    struct yaml_faults faults;
    struct err e = {0};
    enum err_code code;

    if (!file || !arena)
        return CLI_FAILED;
    code = config_load_watched(file, NULL, files, arena, ret, &faults, &e);
    return cli_read(code, &faults, &e);
}

int cli_peek_store(const char *given, struct arena *a, const char **ret_url,
                   const char **ret_password)
{
    const char *file = cli_config_file(given);
    struct yaml_faults faults;
    struct err e = {0};
    enum err_code code;

    if (!file || !a)
        return CLI_FAILED;
    code = config_peek_store(file, NULL, a, ret_url, ret_password, &faults, &e);
    return cli_read(code, &faults, &e);
}

/* As events of the log. */
static void log_faults(const struct yaml_faults *faults)
{
    AUTO(buf_clear) struct buf line = BUF_INIT(1024 * 1024);

    for (const struct yaml_fault *x = faults->first; x; x = x->next) {
        buf_reset(&line);
        yaml_fault_write(&line, x);
        log_event(LOG_ERROR, "config_fault", LOG_STR("why", buf_text(&line)));
    }
}

enum err_code cli_start_config(const char *given, struct watch *files, struct config **ret,
                               struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    const char *file = find_file(given, e);
    struct yaml_faults faults;
    enum err_code code;

    if (!arena)
        return err_set(e, ERR_NOMEM, "configuration");
    if (!file)
        return e->code;
    code = config_load_watched(file, NULL, files, arena, ret, &faults, e);
    if (code == ERR_INVALID)
        log_faults(&faults);
    return code;
}

enum err_code cli_reload_config(const struct config *in_force, bool same_text, struct watch *files,
                                struct config **ret, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(buf_clear) struct buf first = BUF_INIT(1024 * 1024);
    struct yaml_faults faults;
    enum err_code code;

    if (!arena)
        return err_set(e, ERR_NOMEM, "configuration");
    code = same_text ? config_reread(in_force, NULL, files, arena, ret, &faults, e)
                     : config_reload(in_force, NULL, files, arena, ret, &faults, e);
    if (code == ERR_INVALID) {
        log_faults(&faults);
        if (faults.first)
            yaml_fault_write(&first, faults.first);
        if (first.len)
            (void)err_set(e, code, "%s", buf_text(&first));
    }
    return code;
}

void cli_log_notes(const struct config *c)
{
    for (const char *const *note = c->notes; *note; note++)
        log_event(LOG_WARN, "note", LOG_STR("why", *note));
}
