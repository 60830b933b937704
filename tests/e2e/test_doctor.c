/* test_doctor.c - `cordon doctor` between the simulator and every way in which that can be wrong: the finding, its
 * grade, a cure, the exit code; and that it changes nothing and sends nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kit/disk.h"
#include "kit/house.h"
#include "kit/serving.h"

#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"

/* `cordon doctor --json`; the exit code must be this one. */
static struct json *doctor(struct house *h, const char *label, int code)
{
    const char *const args[] = {"doctor", "--json", "-c", h->config_file, NULL};
    struct json *doc = NULL;
    char *out, *line;
    int ended = house_run(h, &out, args);

    line = strstr(out, "{\"findings\"");
    if (!line || json_parse(line, strcspn(line, "\n"), &doc, NULL))
        fail_msg("no JSON: %s", out);
    if (ended != code)
        fail_msg("%s: exit code %d instead of %d: %s", label, ended, code, out);
    assert_int_equal(json_is_true(json_get(doc, "good")), code == 0);
    free(out);
    return doc;
}

static void print_all(const struct json *doc)
{
    JSON_EACH (f, json_get(doc, "findings"))
        print_error("%-4s %s: %s\n", json_get_string(f, "grade"), json_get_string(f, "part"),
                    json_get_string(f, "text"));
}

/* There is a finding of this grade with these words; what is not well has a cure. */
static void assert_finding(const struct json *doc, const char *label, const char *grade,
                           const char *words)
{
    bool found = false;

    JSON_EACH (f, json_get(doc, "findings")) {
        bool well = strcmp(json_get_string(f, "grade"), "ok") == 0;

        if (well != !json_get_string(f, "cure"))
            fail_msg("%s: cure: %s", label, json_get_string(f, "text"));
        found = found || (strcmp(json_get_string(f, "grade"), grade) == 0 &&
                          strstr(json_get_string(f, "text"), words));
    }
    if (!found) {
        print_all(doc);
        fail_msg("%s: no finding '%s' with '%s'", label, grade, words);
    }
}

/* ---- all is well ----------------------------------------------------------------------------------- */

static void test_doctor__all_is_well(void **state)
{
    static const char *const words[] = {"agrees",
                                        "the token is for https://api.securitycenter.microsoft.com",
                                        "permission",
                                        "alerts can be read",
                                        "machines can be read",
                                        "machine actions can be read",
                                        "no mail was sent",
                                        "is sound",
                                        "the audit is whole",
                                        "are free",
                                        "is answered by cordon",
                                        "Defender knows no machine of this name"};
    struct house *h = house_start(&(struct house_options){.not_yet = true});
    AUTO(json_freep) struct json *doc = NULL;

    (void)state;
    house_cordon_start(h); /* which finds a port; public_url names it */
    house_edit(h, "sources:", "public_url: PUBLIC\nsources:");
    house_edit(h, "PUBLIC", h->hooks);
    doc = doctor(h, "well", 0);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_finding(doc, "well", "ok", words[i]);
    /* It read, and did nothing else. */
    assert_int_equal(sim_count_calls(h->sim, "POST", "/api/*"), 0);
    assert_int_equal(sim_count_calls(h->sim, "PATCH", "/api/*"), 0);
    assert_true(sim_count_calls(h->sim, "GET", "/api/*") >= 4);
    assert_int_equal(sim_state(h->sim, "mails"), 0);
    house_stop(h);
}

/* ---- what can be wrong ------------------------------------------------------------------------------ */

struct wrong {
    const char *label;
    const char *path, *json;         /* told to the simulator; NULL: nothing */
    const char *edit_from, *edit_to; /* in the configuration; NULL: nothing */
    const char *mail, *safety;       /* mail: not NULL: with a login */
    const char *grade, *words;
    int code;
};

static const struct wrong wrongs[] = {
    {.label = "a wrong secret",
     .path = "/config",
     .json = "{\"token\":{\"error\":7000215}}",
     .grade = "bad",
     .words = "AADSTS7000215",
     .code = 1},
    {.label = "an expired secret",
     .path = "/config",
     .json = "{\"token\":{\"error\":7000222}}",
     .grade = "bad",
     .words = "AADSTS7000222",
     .code = 1},
    {.label = "a token without permissions",
     .path = "/config",
     .json = "{\"token\":{\"no_roles\":true}}",
     .grade = "bad",
     .words = "Alert.Read.All is missing",
     .code = 1},
    {.label = "the permission of the policy's step",
     .path = "@roles",
     .json = "[\"Alert.Read.All\",\"Machine.ReadWrite.All\"]",
     .grade = "bad",
     .words = "Machine.Isolate is missing: the policy's step `isolate` needs it",
     .code = 1},
    {.label = "the writing sister of a reading permission is enough",
     .path = "@roles",
     .json = "[\"Alert.ReadWrite.All\",\"Machine.ReadWrite.All\",\"Machine.Isolate\"]",
     .grade = "ok",
     .words = "every permission"},
    {.label = "a token for Graph",
     .edit_from = "https://api.securitycenter.microsoft.com/.default",
     .edit_to = "https://graph.microsoft.com/.default",
     .grade = "bad",
     .words = "Microsoft Graph",
     .code = 1},
    {.label = "a token for the Graph of another cloud",
     .edit_from = "https://api.securitycenter.microsoft.com/.default",
     .edit_to = "https://graph.microsoft.us/.default\n    cloud: gcc_high",
     .grade = "bad",
     .words = "Microsoft Graph",
     .code = 1},
    {.label = "a tenant that Entra does not know",
     .path = "/faults",
     .json = "{\"path\":\"*/openid-configuration\",\"count\":-1,\"kind\":\"answer\",\"status\":400,"
             "\"json\":{}}",
     .grade = "bad",
     .words = "knows no tenant",
     .code = 1},
    {.label = "a clock that is minutes off",
     .path = "@date",
     .json = "600",
     .grade = "bad",
     .words = "s behind that of",
     .code = 1},
    {.label = "a clock that is half a minute off",
     .path = "@date",
     .json = "-30",
     .grade = "warn",
     .words = "s ahead of that of"},
    {.label = "Defender refuses to let alerts be read",
     .path = "/faults",
     .json = "{\"path\":\"/api/alerts/*\",\"count\":-1,\"kind\":\"answer\",\"status\":403,"
             "\"json\":{\"error\":{\"code\":\"Forbidden\",\"message\":\"no\"}}}",
     .grade = "bad",
     .words = "alerts cannot be read",
     .code = 1},
    {.label = "another service stands at api_url",
     .path = "/faults",
     .json = "{\"path\":\"/api/*\",\"count\":-1,\"kind\":\"answer\",\"status\":404,"
             "\"json\":{\"statusCode\":404,\"message\":\"Resource not found\"}}",
     .grade = "warn",
     .words = "is api_url right?"},
    {.label = "Defender is out of reach",
     .edit_from = "api_url: http://127.0.0.1:",
     .edit_to = "api_url: http://127.0.0.1:9/ #",
     .grade = "bad",
     .words = "cannot be reached",
     .code = 1},
    {.label = "a mail server that does not do what it offers",
     .path = "/config",
     .json = "{\"smtp\":{\"starttls_refused\":true}}",
     .grade = "bad",
     .words = "smtp://",
     .code = 1},
    {.label = "a login that is refused",
     .path = "/config",
     .json = "{\"smtp\":{\"auth_refused\":\"535 5.7.3 Authentication unsuccessful\"}}",
     .mail = "login",
     .grade = "bad",
     .words = "535",
     .code = 1},
    {.label = "a mail server that hangs up",
     .path = "/config",
     .json = "{\"smtp\":{\"connect\":\"421 4.3.2 try later\"}}",
     .grade = "bad",
     .words = "421",
     .code = 1},
    {.label = "cordon's own host is a machine, and not protected",
     .path = "@host",
     .grade = "warn",
     .words = "nothing protects it"},
    {.label = "cordon's own host is a machine, and protected",
     .path = "@host",
     .safety = "  protected:\n    - machine.id: [" MACHINE "]\n",
     .grade = "ok",
     .words = "and protected"},
    {.label = "nobody of that name at public_url",
     .edit_from = "sources:",
     .edit_to = "public_url: http://127.0.0.1:9\nsources:",
     .grade = "warn",
     .words = "cannot be reached from here"},
};

/* Date, so many seconds from now. */
static void tell_date(struct house *h, int seconds)
{
    time_t at = time(NULL) + seconds;
    char text[64];
    struct tm tm;

    (void)strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&at, &tm));
    sim_tellf(
        h->sim, "/faults",
        "{\"path\":\"*/openid-configuration\",\"count\":-1,\"kind\":\"answer\",\"status\":200,"
        "\"headers\":{\"Date\":\"%s\"},\"json\":{}}",
        text);
}

static void tell(struct house *h, const struct wrong *w)
{
    char host[256] = "";

    if (!w->path)
        return;
    if (strcmp(w->path, "@roles") == 0) {
        sim_tellf(h->sim, "/clients", "{\"client_id\":\"%s\",\"secret\":\"%s\",\"roles\":%s}",
                  h->sim->client_id, h->sim->client_secret, w->json);
    } else if (strcmp(w->path, "@date") == 0) {
        tell_date(h, atoi(w->json));
    } else if (strcmp(w->path, "@host") == 0) {
        assert_int_equal(gethostname(host, sizeof host - 1), 0);
        /* Whatever DNS makes of the name: a machine of any name that is asked for by it. */
        sim_tellf(h->sim, "/faults",
                  "{\"method\":\"GET\",\"path\":\"/api/machines/*%s*\",\"count\":-1,"
                  "\"kind\":\"answer\",\"status\":200,\"json\":{\"id\":\"" MACHINE
                  "\",\"computerDnsName\":\"%s\"}}",
                  host, host);
    } else {
        sim_tell(h->sim, w->path, w->json);
    }
}

static void test_doctor__what_is_wrong_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        const struct wrong *w = &wrongs[i];
        const struct house_options o = {
            .not_yet = true,
            .safety = w->safety,
            .mail = w->mail ? "  username: u\n  password_file: secrets-of-mail\n" : NULL};
        struct house *h = house_start(&o);
        char *password = house_write_file(h, "mail-password", "p");
        AUTO(json_freep) struct json *doc = NULL;

        if (w->mail)
            house_edit(h, "secrets-of-mail", password);
        free(password);
        if (w->edit_from)
            house_edit(h, w->edit_from, w->edit_to);
        tell(h, w);
        doc = doctor(h, w->label, w->code);
        assert_finding(doc, w->label, w->grade, w->words);
        assert_int_equal(sim_count_calls(h->sim, "POST", "/api/*"), 0);
        house_stop(h);
    }
}

/* A second name of a tenant lends its application to mail. It reads nothing and acts on nothing, and nobody is told to
 * let it. */
static void test_doctor__an_application_for_mail_needs_no_permission_of_defenders(void **state)
{
    static const char client[] = "7b1c2d3e-4f50-4a61-8b72-9c83ad94be05";
    struct house *h = house_start(&(struct house_options){.not_yet = true});
    AUTO(json_freep) struct json *doc = NULL;
    char mailbox[2000];

    (void)state;
    sim_tellf(h->sim, "/clients", "{\"client_id\":\"%s\",\"secret\":\"%s\",\"roles\":[]}", client,
              h->sim->client_secret);
    (void)snprintf(mailbox, sizeof mailbox,
                   "tenants:\n  mailbox: {tenant_id: %s, client_id: %s, client_secret_file: "
                   "%s/client-secret, api_url: %s, api_scope: '%s', login_url: %s}\n",
                   h->sim->tenant_id, client, h->dir, h->sim->api_url, h->sim->api_scope,
                   h->sim->login_url);
    house_edit(h, "tenants:\n", mailbox);
    doc = doctor(h, "mail", 0);
    assert_finding(doc, "mail", "ok", "is another name of tenant contoso");
    assert_finding(doc, "mail", "ok", "every permission that the policy needs");
    JSON_EACH (f, json_get(doc, "findings"))
        if (strcmp(json_get_string(f, "part"), "tenant mailbox") == 0)
            assert_string_equal(json_get_string(f, "grade"), "ok");
    house_stop(h);
}

/* Whoever pushed last, from an address inside, is a machine that must not be isolated unasked. */
static void test_doctor__a_relay_that_nothing_protects_is_found(void **state)
{
    struct house *h = house_start(NULL);
    AUTO(json_freep) struct json *answer = NULL;
    AUTO(json_freep) struct json *doc = NULL;

    (void)state;
    sim_tell(h->sim, "/machines", "{\"id\":\"" MACHINE "\",\"lastIpAddress\":\"10.20.4.17\"}");
    answer = house_push(h, "da1_-1", NULL, 202);
    house_cordon_stop(h);
    assert_string_equal(
        disk_sql(h->store_file, "UPDATE deliveries SET peer = '10.20.4.17'", NULL, 0), "");
    doc = doctor(h, "a relay", 0);
    assert_finding(doc, "a relay", "warn",
                   "10.20.4.17, which pushes to source relay, is machine " MACHINE
                   ", and nothing protects it");
    house_stop(h);
}

/* ---- who has hold of the store ------------------------------------------------------------------- */

static void test_doctor__says_who_has_hold_of_the_store(void **state)
{
    struct house *h = house_start(&(struct house_options){.not_yet = true});
    char words[400];
    sqlite3 *db = NULL;

    (void)state;
    AUTO(json_freep) struct json *before = doctor(h, "before the start", 0);
    (void)snprintf(words, sizeof words, "the store's lock is free: no server runs on %s",
                   h->store_file);
    assert_finding(before, "before the start", "ok", words);

    house_cordon_start(h);
    AUTO(json_freep) struct json *served = doctor(h, "served", 0);
    (void)snprintf(words, sizeof words, "process %ld (cordon) serves the store", (long)h->pid);
    assert_finding(served, "served", "ok", words);

    /* somebody who writes beside it */
    assert_int_equal(sqlite3_open(h->store_file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_busy_timeout(db, 20000), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    AUTO(json_freep) struct json *beside = doctor(h, "written beside", 1);
    (void)snprintf(words, sizeof words,
                   "process %ld (test_doctor), which is not the server, is writing",
                   (long)getpid());
    assert_finding(beside, "written beside", "bad", words);
    assert_finding(beside, "written beside", "ok", "(cordon) serves the store");
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    house_cordon_stop(h);

    /* and who keeps it open when nobody serves it */
    assert_int_equal(sqlite3_exec(db, "SELECT count(*) FROM cases", NULL, NULL, NULL), SQLITE_OK);
    AUTO(json_freep) struct json *open = doctor(h, "open", 0);
    (void)snprintf(words, sizeof words,
                   "process %ld (test_doctor), which is not the server, has the store open",
                   (long)getpid());
    assert_finding(open, "open", "warn", words);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    house_stop(h);
}

/* As on a filesystem whose lock daemon is out of reach: the kernel answers every attempt with ENOLCK. */
static void take_no_locks(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_OFD_SETLK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOLCK),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {sizeof code / sizeof *code, code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
        _exit(99);
}

static void test_doctor__a_filesystem_that_keeps_no_locks_is_found(void **state)
{
    struct house *h = house_start(&(struct house_options){.not_yet = true});
    char file[300], text[64 * 1024] = "";
    int status, fd;
    FILE *f;
    pid_t pid;

    (void)state;
    (void)snprintf(file, sizeof file, "%s/doctor.txt", h->dir);
    pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        fd = open(file, O_WRONLY | O_CREAT, 0600);
        if (fd < 0 || dup2(fd, 1) != 1)
            _exit(98);
        take_no_locks();
        (void)execl(serving_program("cordon"), "cordon", "doctor", "-c", h->config_file,
                    (char *)NULL);
        _exit(97);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    f = fopen(file, "re");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    assert_int_equal(fclose(f), 0);
    if (!strstr(
            text,
            "the filesystem of the store keeps no locks: it takes no lock: No locks available") ||
        !strstr(text, "put store.url on a local filesystem"))
        fail_msg("%s", text);
    house_stop(h);
}

/* For people: a line each, the cure below, and no secret. */
static void test_doctor__speaks_to_people(void **state)
{
    struct house *h = house_start(&(struct house_options){.not_yet = true});
    const char *const args[] = {"doctor", "-c", h->config_file, NULL};
    char *out;

    (void)state;
    sim_tell(h->sim, "/config", "{\"token\":{\"no_roles\":true}}");
    assert_int_equal(house_run(h, &out, args), 1);
    assert_non_null(strstr(out, "bad   tenant contoso: the permission Machine.Isolate is missing"));
    assert_non_null(strstr(out, "      cure: Entra, App registrations"));
    assert_non_null(strstr(out, "there is no store yet"));
    assert_null(strstr(out, h->sim->client_secret));
    assert_null(strstr(out, "eyJ"));
    free(out);
    /* who stands behind a proxy looks for it in the environment first */
    house_edit(h, "api_url: http://127.0.0.1:", "api_url: http://127.0.0.1:9/ #");
    assert_int_equal(house_run(h, &out, args), 1);
    assert_non_null(
        strstr(out, "      cure: let this host reach it: name server, firewall, the proxy, which"));
    free(out);
    (void)setenv("https_proxy", "http://127.0.0.1:9", 1);
    assert_int_equal(house_run(h, &out, args), 1);
    assert_non_null(strstr(out, "      cure: let the proxy that https_proxy names reach it"));
    (void)unsetenv("https_proxy");
    free(out);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doctor__all_is_well),
        cmocka_unit_test(test_doctor__what_is_wrong_is_found),
        cmocka_unit_test(test_doctor__an_application_for_mail_needs_no_permission_of_defenders),
        cmocka_unit_test(test_doctor__a_relay_that_nothing_protects_is_found),
        cmocka_unit_test(test_doctor__says_who_has_hold_of_the_store),
        cmocka_unit_test(test_doctor__a_filesystem_that_keeps_no_locks_is_found),
        cmocka_unit_test(test_doctor__speaks_to_people),
    };

    return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
