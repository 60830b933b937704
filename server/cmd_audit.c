/* cmd_audit.c - `cordon audit`: is the record of what cordon did whole, and what does it hold?
 *
 * It reads the store itself, read-only, and does not ask the server: what is looked at is what is on disk. So
 * it works on a backup, too, an older program's as well, and on a machine that has no configuration (--store).
 */
#include "cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit.h"
#include "auto.h"
#include "json.h"
#include "settings.h"

struct options {
    const char *config, *store, *head, *since;
    bool json;
};

#define STORE_OPTION                                                                               \
    CLI_OPTION("store", CLI_TEXT, struct options, store, "URL",                                    \
               "another store, such as a backup: sqlite:FILE")

static const struct cli_option verify_options[] = {
    CLI_CONFIG(struct options, config),
    STORE_OPTION,
    CLI_OPTION("head", CLI_TEXT, struct options, head, "HASH",
               "a hash kept elsewhere, as of a log line `audit_head`; it must be in the chain"),
    CLI_JSON(struct options, json),
    {.name = NULL},
};

static const struct cli_command verify_command = {
    .name = "audit verify",
    .about =
        "Looks at every record of the audit and names the first one that was edited, cut out or\n"
        "moved; exit code 1 when there is one. Whoever may write to the store could write the\n"
        "chain anew from some record on, which only a --head from before shows: the log has one\n"
        "at the start and once a day. Reads the store's file; the server may run meanwhile.",
    .options = verify_options,
};

static const struct cli_option export_options[] = {
    CLI_CONFIG(struct options, config),
    STORE_OPTION,
    CLI_OPTION("since", CLI_TEXT, struct options, since, "TIME",
               "from then on: 24h, 30d or 2026-01-01T00:00:00Z"),
    {.name = NULL},
};

static const struct cli_command export_command = {
    .name = "audit export",
    .about =
        "Writes the records of the audit as JSON lines, oldest first: n, time, kind, case, detail\n"
        "and hash. Reads the store's file; the server may run meanwhile.",
    .options = export_options,
};

/* CLI_GO_ON and *ret, or the exit code. */
static int open_store(const struct options *o, struct store **ret)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    const char *url = o->store, *password = NULL;
    struct err e = {0};

    if (!url && cli_peek_store(o->config, a, &url, &password) != CLI_GO_ON)
        return CLI_FAILED;
    if (!store_open_since(url, password, STORE_SINCE_AUDIT, clock_system(), ret, &e))
        return CLI_GO_ON;
    cli_error("%s", e.text);
    return CLI_FAILED;
}

static void show_json(const char *store, const struct audit_report *r)
{
    AUTO(buf_clear) struct buf out = BUF_INIT((size_t)64 * 1024);
    struct json_out o = JSON_OUT(&out);

    json_out_object(&o, NULL);
    json_out_string(&o, "store", store);
    json_out_bool(&o, "whole", r->whole);
    json_out_int(&o, "records", r->records);
    json_out_string(&o, "head", r->last.hash);
    json_out_time(&o, "time", r->last_ms);
    if (!r->whole)
        json_out_int(&o, "broken", r->broken);
    json_out_string(&o, "why", r->whole ? NULL : r->why);
    json_out_object_end(&o);
    (void)puts(buf_text(&out));
}

static bool is_hash(const char *text)
{
    return strlen(text) == AUDIT_HASH_SIZE - 1 &&
           strspn(text, "0123456789abcdefABCDEF") == AUDIT_HASH_SIZE - 1;
}

static int audit_verify_command(int argc, char **argv)
{
    AUTO(store_freep) struct store *s = NULL;
    struct audit_report report;
    char time[CLOCK_TEXT_SIZE];
    struct options o = {0};
    struct err e = {0};
    int code = cli_parse(argc, argv, &verify_command, &o, NULL);

    if (code != CLI_GO_ON)
        return code;
    if (o.head && !is_hash(o.head))
        return cli_usage(&verify_command,
                         "--head: expected the 64 hexadecimal digits of a log line `audit_head`");
    if (open_store(&o, &s) != CLI_GO_ON)
        return CLI_FAILED;
    if (audit_verify(s, o.head, &report, &e)) {
        cli_error("%s", e.text);
        return CLI_FAILED;
    }
    if (o.json)
        show_json(db_name(s->db), &report);
    else if (!report.whole)
        cli_error("%s: record %" PRId64 ": %s. The %" PRId64 " before it are as they were written",
                  db_name(s->db), report.broken, report.why, report.records);
    else
        (void)printf("whole: %" PRId64 " records of %s, the last of %s\nhead %s\n", report.records,
                     db_name(s->db), report.records ? clock_format(report.last_ms, time) : "never",
                     report.last.hash);
    return report.whole ? CLI_DONE : CLI_FAILED;
}

static bool show_record(const struct audit_record *r, void *ctx)
{
    struct buf *line = ctx;

    buf_reset(line);
    audit_write(line, r);
    return !buf_failed(line) && puts(buf_text(line)) >= 0;
}

static int audit_export(int argc, char **argv)
{
    AUTO(buf_clear) struct buf line = BUF_INIT((size_t)16 * 1024 * 1024);
    AUTO(store_freep) struct store *s = NULL;
    struct options o = {0};
    struct err e = {0};
    int64_t since = 0;
    int code = cli_parse(argc, argv, &export_command, &o, NULL);

    if (code != CLI_GO_ON)
        return code;
    if (o.since && settings_since(o.since, clock_wall_ms(clock_system()), &since, &e))
        return cli_usage(&export_command, "--since: %s", e.text);
    if (open_store(&o, &s) != CLI_GO_ON)
        return CLI_FAILED;
    if (audit_each(s, since, show_record, &line, &e)) {
        cli_error("%s", e.text);
        return CLI_FAILED;
    }
    if (buf_failed(&line) || fflush(stdout) != 0) {
        cli_error("not everything could be written");
        return CLI_FAILED;
    }
    return CLI_DONE;
}

int cmd_audit(int argc, char **argv)
{
    static const struct cli_sub table[] = {
        {"verify", audit_verify_command, "finds any edit, cut or reorder"},
        {"export", audit_export, "the records as JSON lines"},
        {NULL, NULL, NULL},
    };

    return cli_sub(argc, argv, "audit", table);
}
