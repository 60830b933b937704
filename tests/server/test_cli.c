/* test_cli.c - the program as people run it: exit codes, words, and what the far side saw. */
#include "cli.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "auto.h"
#include "buf.h"
#include "clock.h"
#include "desk.h"
#include "http.h"
#include "json.h"
#include "kit/peer.h"
#include "kit/program.h"
#include "metrics.h"
#include "verify_standard_webhooks.h"

#define SECRET "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

struct fixture {
    char folder[64];
    struct ran ran;
};

static void put_file(const struct fixture *f, const char *name, const char *text)
{
    char path[200];
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", f->folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");

    if (!f)
        return -1;
    (void)snprintf(f->folder, sizeof f->folder, "%s/cli-XXXXXX",
                   tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(f->folder))
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    static const char *const files[] = {"cordon.yaml",   "other.yaml",     "secrets/defender",
                                        "secrets/relay", "secrets/it's a", "secret",
                                        "relay",         "admin.sock"};
    struct fixture *f = *state;
    char path[200];

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", f->folder, files[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/secrets", f->folder);
    (void)rmdir(path);
    (void)rmdir(f->folder);
    ran_clear(&f->ran);
    free(f);
    return 0;
}

/* Runs cordon with these words in the fixture's folder; returns its exit code. */
static int cordon(struct fixture *f, ...) __attribute__((sentinel));
static int cordon(struct fixture *f, ...)
{
    const char *argv[24] = {"cordon"};
    size_t n = 1;
    va_list ap;

    ran_clear(&f->ran);
    va_start(ap, f);
    while (n + 1 < sizeof argv / sizeof argv[0] && (argv[n] = va_arg(ap, const char *)))
        n++;
    va_end(ap);
    program_run(&f->ran, f->folder, NULL, argv);
    return f->ran.code;
}

#define assert_says(text, part)                                                                    \
    do {                                                                                           \
        if (!strstr(text, part))                                                                   \
            fail_msg("\"%s\" is not in:\n%s", part, text);                                         \
    } while (0)

/* ---- the frame -------------------------------------------------------------------------------- */

static void test_cli__without_a_command_it_says_which_there_are(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(cordon(f, NULL), 2);
    assert_string_equal(f->ran.out, "");
    assert_says(f->ran.err, "Usage: cordon COMMAND [options]");
    assert_int_equal(cordon(f, "--help", NULL), 0);
    assert_string_equal(f->ran.err, "");
    assert_says(f->ran.out, "  check        ");
    assert_null(strstr(f->ran.out, "smtp-child"));
    assert_int_equal(cordon(f, "--version", NULL), 0);
    assert_string_equal(f->ran.out, "cordon " CORDON_VERSION "\n");
}

static void test_cli__every_command_explains_itself(void **state)
{
    static const char *const commands[][2] = {{"init", NULL},
                                              {"check", NULL},
                                              {"fields", NULL},
                                              {"keygen", NULL},
                                              {"send", NULL},
                                              {"cases", NULL},
                                              {"cases", "list"},
                                              {"cases", "show"},
                                              {"isolations", NULL},
                                              {"isolations", "list"},
                                              {"healthcheck", NULL},
                                              {"metrics", NULL},
                                              {"serve", NULL},
                                              {"doctor", NULL},
                                              {"connect", NULL},
                                              {"approve", NULL},
                                              {"refuse", NULL},
                                              {"pause", NULL},
                                              {"resume", NULL},
                                              {"backtest", NULL},
                                              {"cases", "explain"},
                                              {"cases", "retry"},
                                              {"cases", "drop"},
                                              {"isolations", "show"},
                                              {"isolations", "release"},
                                              {"isolations", "extend"},
                                              {"questions", "list"},
                                              {"questions", "show"},
                                              {"silences", "add"},
                                              {"hunt", NULL},
                                              {"hunt", "list"},
                                              {"hunt", "run"},
                                              {"notify", "preview"},
                                              {"store", "check"},
                                              {"store", "backup"},
                                              {"store", "restore"},
                                              {"audit", NULL},
                                              {"audit", "verify"},
                                              {"audit", "export"}};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char usage[64];
        bool sub = commands[i][1] != NULL;

        (void)snprintf(usage, sizeof usage, "Usage: cordon %s%s%s ", commands[i][0], sub ? " " : "",
                       sub ? commands[i][1] : "");
        assert_int_equal(sub ? cordon(f, commands[i][0], commands[i][1], "--help", NULL)
                             : cordon(f, commands[i][0], "--help", NULL),
                         0);
        assert_int_equal(strncmp(f->ran.out, usage, strlen(usage)), 0);
        assert_string_equal(f->ran.err, "");
    }
    assert_int_equal(cordon(f, "help", "check", NULL), 0);
    assert_says(f->ran.out, "Usage: cordon check ");
}

static void test_cli__wrong_usage_is_2_and_names_the_right_word(void **state)
{
    static const struct {
        const char *words[6], *says;
    } rows[] = {
        {{"chekc"}, "cordon: there is no command 'chekc'; did you mean check?\n"},
        {{"frobnicate"}, "cordon: there is no command 'frobnicate'\n"},
        {{"-c", "x", "check"}, "cordon: the command comes first: cordon COMMAND -c …\n"},
        {{"check", "--confg", "x"},
         "cordon check: there is no option --confg; did you mean --config?\n"},
        {{"check", "-x"}, "cordon check: there is no option -x\n"},
        {{"check", "-c"}, "cordon check: -c needs a value\n"},
        {{"check", "--config"}, "cordon check: --config needs a value\n"},
        {{"check", "--json=1"}, "cordon check: --json takes no value\n"},
        {{"check", "cordon.yaml"}, "cordon check: 'cordon.yaml' is one word too many\n"},
        {{"check", "--log-level", "loud"},
         "cordon check: --log-level: 'loud' is no log level: expected error, warn, info or debug\n"},
        {{"check", "--log-format", "xml"},
         "cordon check: --log-format: expected json or text, found 'xml'\n"},
        {{"init", "a", "b"}, "cordon init: 'b' is one word too many\n"},
        {{"cases"}, "cordon: cases: expected a command after it\n"},
        {{"cases", "lits"}, "cordon: cases: there is no command 'lits'; did you mean list?\n"},
        {{"cases", "-c", "x", "list"},
         "cordon: cases: the command comes first: cordon cases COMMAND -c …\n"},
        {{"cases", "list", "--limit", "0"},
         "cordon cases list: --limit: expected a whole number from 1, found '0'\n"},
        {{"cases", "list", "--limit", "99999999999999999999"}, "found '99999999999999999999'\n"},
        {{"cases", "list", "--state", "open"},
         "cordon cases list: --state: there is no state 'open'; expected one of received, expanding, "
         "deciding, acting, waiting, done, failed, dropped\n"},
        {{"cases", "list", "--state", "dne"}, "did you mean done?\n"},
        {{"cases", "list", "--since", "yesterday"},
         "cordon cases list: --since: expected 4h, 3d or 2026-01-01T00:00:00Z, found 'yesterday'\n"},
        {{"cases", "show"}, "cordon cases show: expected ID\n"},
        {{"send", "--alert", "x"}, "cordon send: --source NAME is needed\n"},
        {{"send", "--source", "x"}, "cordon send: --alert ID is needed\n"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const *w = rows[i].words;

        assert_int_equal(cordon(f, w[0], w[1], w[2], w[3], w[4], NULL), 2);
        assert_says(f->ran.err, rows[i].says);
        assert_string_equal(f->ran.out, "");
    }
}

static void test_cli__the_environment_is_checked_like_the_options(void **state)
{
    static const char *const argv[] = {"cordon", "fields", NULL};
    static const char *const level[] = {"CORDON_LOG_LEVEL=loud", NULL};
    static const char *const format[] = {"CORDON_LOG_FORMAT=xml", NULL};
    struct fixture *f = *state;

    program_run(&f->ran, f->folder, level, argv);
    assert_int_equal(f->ran.code, 2);
    assert_says(f->ran.err, "cordon fields: CORDON_LOG_LEVEL: 'loud' is no log level");
    ran_clear(&f->ran);
    program_run(&f->ran, f->folder, format, argv);
    assert_int_equal(f->ran.code, 2);
    assert_says(f->ran.err, "cordon fields: CORDON_LOG_FORMAT: expected json or text, found 'xml'");
}

/* ---- init, check, fields, keygen --------------------------------------------------------------- */

static void test_cli__init_and_check_lead_to_a_good_configuration(void **state)
{
    struct fixture *f = *state;
    AUTO(json_freep) struct json *answer = NULL;
    struct stat st;
    char path[200];

    assert_int_equal(cordon(f, "init", "cordon.yaml", NULL), 0);
    (void)snprintf(path, sizeof path, "%s/cordon.yaml", f->folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);

    assert_int_equal(cordon(f, "init", "cordon.yaml", NULL), 1);
    assert_string_equal(f->ran.err, "cordon: cordon.yaml is there already, and is left alone\n");
    assert_int_equal(cordon(f, "init", "no/such/folder.yaml", NULL), 1);

    assert_int_equal(cordon(f, "check", "-c", "cordon.yaml", NULL), 1);
    assert_says(f->ran.err,
                ": tenants.contoso.client_secret_file: cannot read secrets/defender: there is "
                "no such file; write the secret into it (chmod 600)\n");
    assert_says(f->ran.err,
                ": standard_webhooks.secret_files: cannot read secrets/relay: there is no such "
                "file; write the secret into it (chmod 600)\n");
    assert_says(f->ran.err, "cordon: cordon.yaml: 2 faults\n");
    assert_int_equal(cordon(f, "check", "--json", NULL), 1);
    assert_int_equal(json_parse(f->ran.out, strlen(f->ran.out), &answer, NULL), ERR_OK);
    assert_false(json_is_true(json_get(answer, "good")));
    assert_int_equal(json_count(json_get(answer, "faults")), 2);
    assert_string_equal(json_get_string(json_first(json_get(answer, "faults")), "file"),
                        "cordon.yaml");

    (void)snprintf(path, sizeof path, "%s/secrets", f->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    put_file(f, "secrets/defender", "s3cret\n");
    put_file(f, "secrets/relay", SECRET "\n");
    assert_int_equal(cordon(f, "check", NULL), 0);
    assert_string_equal(f->ran.err, "");
    assert_says(f->ran.out, "note: tenants.contoso.tenant_id is still a placeholder\n");
    assert_says(f->ran.out, "cordon.yaml: good. 1 tenant, 1 source, 3 tests, policy ");
}

static void test_cli__init_prints_what_it_would_write(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(cordon(f, "init", "-", NULL), 0);
    assert_int_equal(strncmp(f->ran.out, "# cordon.yaml - ", 16), 0);
    assert_says(f->ran.out, "- name: contain-high\n    when: {alert.severity: High}\n");
}

static void test_cli__the_configuration_is_found_where_it_is_said_to_be(void **state)
{
    static const char *const check[] = {"cordon", "check", NULL};
    static const char *const named[] = {"CORDON_CONFIG=other.yaml", NULL};
    struct fixture *f = *state;

    put_file(f, "other.yaml", "");
    program_run(&f->ran, f->folder, named, check);
    assert_int_equal(f->ran.code, 1);
    assert_says(f->ran.err, "other.yaml:1:1: the file is empty\n");
    assert_int_equal(cordon(f, "check", "--config", "nowhere.yaml", NULL), 1);
    assert_string_equal(f->ran.err,
                        "cordon: cannot read nowhere.yaml: No such file or directory\n");
    if (access("/etc/cordon/cordon.yaml", F_OK) != 0) {
        assert_int_equal(cordon(f, "check", NULL), 1);
        assert_says(f->ran.err, "`cordon init` writes one\n");
    }
}

static void test_cli__fields_lists_the_vocabulary(void **state)
{
    struct fixture *f = *state;
    AUTO(json_freep) struct json *answer = NULL;
    bool found = false;

    assert_int_equal(cordon(f, "fields", NULL), 0);
    assert_says(f->ran.out, "\nalert.severity  ");
    assert_says(f->ran.out, "\nmachine.tags  ");
    assert_int_equal(cordon(f, "fields", "--json", NULL), 0);
    assert_int_equal(json_parse(f->ran.out, strlen(f->ran.out), &answer, NULL), ERR_OK);
    JSON_EACH (field, answer)
        if (strcmp(json_get_string(field, "name"), "alert.severity") == 0) {
            found = true;
            assert_int_equal(json_count(json_get(field, "values")), 5);
        }
    assert_true(found);
    assert_int_equal(cordon(f, "fields", "alert.severity", NULL), 0);
    assert_says(f->ran.out, "Informational, Low, Medium, High\n");
    assert_int_equal(cordon(f, "fields", "alert.severty", NULL), 1);
    assert_says(f->ran.err, "did you mean alert.severity?");
}

static bool is_base64(const char *text, size_t len)
{
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") == len;
}

static void test_cli__metrics_lists_the_table(void **state)
{
    struct fixture *f = *state;
    AUTO(json_freep) struct json *doc = NULL;
    const struct json *row;

    assert_int_equal(cordon(f, "metrics", NULL), 0);
    for (int i = 0; i < METRICS; i++) {
        assert_says(f->ran.out, metrics_table()[i].name);
        assert_says(f->ran.out, metrics_table()[i].meaning);
        assert_says(f->ran.out, metrics_table()[i].advice);
    }
    assert_says(f->ran.out, "cordon_deliveries_total{source, outcome}  counter");

    assert_int_equal(cordon(f, "metrics", "--json", NULL), 0);
    assert_int_equal(json_parse(f->ran.out, strlen(f->ran.out), &doc, NULL), ERR_OK);
    assert_int_equal(json_count(doc), METRICS);
    row = json_first(doc);
    assert_string_equal(json_get_string(row, "name"), "cordon_deliveries_total");
    assert_string_equal(json_get_string(row, "type"), "counter");
    assert_string_equal(json_string(json_first(json_get(row, "labels"))), "source");
    JSON_EACH (m, doc)
        assert_true(*json_get_string(m, "meaning") && *json_get_string(m, "advice"));

    assert_int_equal(cordon(f, "metrics", "extra", NULL), 2);
}

static void test_cli__keygen_makes_keys_that_fit(void **state)
{
    struct fixture *f = *state;
    unsigned char key[STANDARD_WEBHOOKS_KEY_MAX];
    char first[80];
    size_t len = 0;

    assert_int_equal(cordon(f, "keygen", NULL), 0);
    assert_int_equal(strlen(f->ran.out), 6 + 44 + 1);
    assert_int_equal(strncmp(f->ran.out, "whsec_", 6), 0);
    f->ran.out[50] = '\0';
    assert_int_equal(standard_webhooks_key(f->ran.out, key, &len, NULL), ERR_OK);
    assert_int_equal(len, 32);
    (void)snprintf(first, sizeof first, "%s", f->ran.out);
    assert_int_equal(cordon(f, "keygen", NULL), 0);
    assert_int_not_equal(strncmp(f->ran.out, first, 50), 0);

    assert_int_equal(cordon(f, "keygen", "--ed25519", NULL), 0);
    assert_int_equal(strlen(f->ran.out), 5 + 88 + 1 + 5 + 44 + 1);
    assert_int_equal(strncmp(f->ran.out, "whsk_", 5), 0);
    assert_true(is_base64(f->ran.out + 5, 88));
    assert_int_equal(strncmp(f->ran.out + 94, "whpk_", 5), 0);
    assert_true(is_base64(f->ran.out + 99, 44));
}

/* ---- send ------------------------------------------------------------------------------------- */

/* A configuration of which the rest is not even there: send looks at its source alone. */
static void put_sources(const struct fixture *f)
{
    char path[200];

    (void)snprintf(path, sizeof path, "%s/secrets", f->folder);
    (void)mkdir(path, 0700);
    put_file(f, "secrets/relay", SECRET "\n");
    put_file(f, "secrets/it's a", "a-token-with-$HOME-and-`id`\n");
    put_file(
        f, "cordon.yaml",
        "tenants: {contoso: {tenant_id: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50, cloud: gcc_high}}\n"
        "sources:\n"
        "  relay: {tenant: contoso, verify: [{standard_webhooks: {secret_files: [secrets/relay]}}]}\n"
        "  appliance: {tenant: contoso, verify: [{token: {header: X-Key, secret_files: \"secrets/it's a\"}}]}\n"
        "  both: {tenant: contoso, verify: [{entra: {audience: [a]}}, {token: {secret_files: \"secrets/it's a\"}, "
        "standard_webhooks: {secret_files: [secrets/relay]}}]}\n"
        "  flow: {tenant: contoso, verify: [{entra: {audience: [\"api://cordon\"], clients: [x]}}]}\n"
        "  lost: {tenant: contoso, verify: [{standard_webhooks: {secret_files: [secrets/nowhere]}}]}\n"
        "  cert: {tenant: contoso, verify: [{client_certificate: {}}]}\n"
        "  keyed: {tenant: contoso, verify: [{entra: {audience: [\"api://cordon\"], clients: [x]}, "
        "token: {header: X-Key, secret_files: \"secrets/it's a\"}}]}\n"
        "  shown: {tenant: contoso, verify: [{entra: {audience: [\"api://cordon\"], clients: [x]}, "
        "client_certificate: {}}]}\n");
}

static void test_cli__output_that_cannot_be_written_is_a_failure(void **state)
{
    static const char *const commands[] = {"fields", "init -", "keygen",
                                           "connect curl --source relay",
                                           "send --source relay --alert da1_-2 --print-curl"};
    struct fixture *f = *state;
    char line[4200];
    const char *const argv[] = {"/bin/sh", "-c", line, NULL};

    put_sources(f);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        ran_clear(&f->ran);
        (void)snprintf(line, sizeof line, "'%s' %s > /dev/full", program_path("cordon"),
                       commands[i]);
        program_run(&f->ran, f->folder, NULL, argv);
        assert_int_equal(f->ran.code, 1);
        assert_string_equal(f->ran.err,
                            "cordon: cannot write the output: No space left on device\n");
    }
}

static void accept_all(struct peer *p)
{
    peer_script(p, &(struct peer_answer){.status = 202,
                                         .headers = "Content-Type: application/json\r\n",
                                         .body = "{\"status\":\"accepted\"}"});
}

/* What arrived is signed as Standard Webhooks wants it, with the relay's secret, now. */
static void assert_signed(const struct peer_request *r)
{
    AUTO(buf_clear) struct buf expected = BUF_INIT(256);
    unsigned char key[STANDARD_WEBHOOKS_KEY_MAX];
    char id[80], timestamp[40];
    size_t len = 0;
    long long at;

    (void)snprintf(id, sizeof id, "%s", peer_header(r, "webhook-id"));
    (void)snprintf(timestamp, sizeof timestamp, "%s", peer_header(r, "webhook-timestamp"));
    at = strtoll(timestamp, NULL, 10) * SECOND_MS;
    assert_true(at > clock_wall_ms(clock_system()) - 120 * SECOND_MS);
    assert_true(at <= clock_wall_ms(clock_system()));
    assert_int_equal(standard_webhooks_key(SECRET, key, &len, NULL), ERR_OK);
    assert_int_equal(
        standard_webhooks_sign(key, len, id, timestamp, r->body, r->body_len, &expected, NULL),
        ERR_OK);
    assert_string_equal(peer_header(r, "webhook-signature"), buf_text(&expected));
}

static void test_cli__send_signs_as_the_source_would(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);
    const struct peer_request *r;
    static char endless[100000];
    char url[100];

    put_sources(f);
    accept_all(p);
    (void)snprintf(url, sizeof url, "%s/hooks/relay", peer_url(p));
    memset(endless, 'a', sizeof endless - 1); /* what is cut off is not sent */
    assert_int_equal(cordon(f, "send", "--source", "relay", "--alert", "da1_-2", "--machine",
                            endless, "--url", url, NULL),
                     2);
    assert_says(f->ran.err, "cordon send: --machine: the id is too long\n");
    assert_int_equal(peer_count(p), 0);
    assert_int_equal(cordon(f, "send", "--source", "relay", "--alert", "da1_-2", "--machine",
                            "0123456789abcdef", "--url", url, NULL),
                     0);
    assert_string_equal(f->ran.out, "HTTP 202 {\"status\":\"accepted\"}\n");
    r = peer_request(p, 0);
    assert_string_equal(r->method, "POST");
    assert_string_equal(r->target, "/hooks/relay");
    assert_string_equal(r->body, "{\"alertId\":\"da1_-2\",\"machineId\":\"0123456789abcdef\"}");
    assert_string_equal(peer_header(r, "Content-Type"), "application/json");
    assert_signed(r);

    assert_int_equal(cordon(f, "send", "--source", "relay", "--alert", "da1", "--url", peer_url(p),
                            "--json", NULL),
                     0);
    assert_string_equal(f->ran.out, "{\"status\":202,\"body\":{\"status\":\"accepted\"}}\n");
    assert_string_equal(peer_request(p, 1)->body, "{\"alertId\":\"da1\"}");
    assert_string_equal(peer_request(p, 1)->target, "/hooks/relay"); /* none was given */

    assert_int_equal(
        cordon(f, "send", "--source", "appliance", "--alert", "da1", "--url", url, NULL), 0);
    assert_string_equal(peer_header(peer_request(p, 2), "X-Key"), "a-token-with-$HOME-and-`id`");

    /* an entry of two schemes is satisfied with both, and one that cannot be is passed over */
    assert_int_equal(cordon(f, "send", "--source", "both", "--alert", "da1", "--url", url, NULL),
                     0);
    r = peer_request(p, 3);
    assert_string_equal(peer_header(r, "Authorization"), "Bearer a-token-with-$HOME-and-`id`");
    assert_signed(r);
    peer_free(p);
}

static void test_cli__send_fails_when_the_server_does_not_take_it(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);
    char url[100];

    put_sources(f);
    peer_script(p, &(struct peer_answer){.status = 401, .body = "{\"title\":\"no\x1b[2J\"}"});
    (void)snprintf(url, sizeof url, "%s/hooks/relay", peer_url(p));
    assert_int_equal(cordon(f, "send", "--source", "relay", "--alert", "da1", "--url", url, NULL),
                     1);
    assert_int_equal(strncmp(f->ran.out, "HTTP 401 {", 10), 0);
    assert_null(strchr(f->ran.out, '\x1b'));
    peer_free(p);

    assert_int_equal(cordon(f, "send", "--source", "relay", "--alert", "da1", "--url", url, NULL),
                     1);
    assert_int_equal(cordon(f, "send", "--source", "rely", "--alert", "da1", NULL), 1);
    assert_string_equal(f->ran.err,
                        "cordon: cordon.yaml: there is no source 'rely'; did you mean relay?\n");
    assert_int_equal(cordon(f, "send", "--source", "lost", "--alert", "da1", NULL), 1);
    assert_says(f->ran.err,
                "cordon.yaml:7:72: standard_webhooks.secret_files: cannot read secrets/nowhere: ");
    assert_int_equal(cordon(f, "send", "--source", "cert", "--alert", "da1", NULL), 1);
    assert_says(f->ran.err, "none of its verify entries is one that `cordon send` can satisfy\n");
    assert_int_equal(
        cordon(f, "send", "--source", "relay", "--alert", "da1", "--url", "http://10.0.0.1/", NULL),
        2);
}

static void test_cli__the_printed_curl_command_works_when_pasted(void **state)
{
    static const char *const sources[] = {"relay", "appliance", "both"};
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);
    char url[100];

    put_sources(f);
    accept_all(p);
    (void)snprintf(url, sizeof url, "%s/hooks/x", peer_url(p));
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        AUTO(auto_free) char *line = NULL;
        const char *argv[] = {"/bin/sh", "-c", NULL, NULL};
        const struct peer_request *r;

        assert_int_equal(cordon(f, "send", "--source", sources[i], "--alert", "da1", "--machine",
                                "da'1 $(id) \"x\"", "--url", url, "--print-curl", NULL),
                         0);
        assert_int_equal(peer_count(p), i);
        assert_null(strstr(f->ran.out, "a-token-with")); /* what is secret is not shown */
        line = strdup(f->ran.out);
        ran_clear(&f->ran);
        argv[2] = line;
        program_run(&f->ran, f->folder, NULL, argv);
        assert_int_equal(f->ran.code, 0);
        assert_says(f->ran.out, "HTTP/1.1 202");
        r = peer_request(p, i);
        assert_string_equal(r->method, "POST");
        assert_string_equal(r->target, "/hooks/x");
        assert_string_equal(r->body,
                            "{\"alertId\":\"da1\",\"machineId\":\"da'1 $(id) \\\"x\\\"\"}");
        assert_string_equal(peer_header(r, "Content-Type"), "application/json");
        if (i != 1)
            assert_signed(r);
        if (i != 0)
            assert_string_equal(peer_header(r, i == 1 ? "X-Key" : "Authorization") +
                                    (i == 1 ? 0 : 7),
                                "a-token-with-$HOME-and-`id`");
    }
    peer_free(p);
}

static void test_cli__send_says_how_an_entra_source_sends(void **state)
{
    struct fixture *f = *state;

    put_sources(f);
    assert_int_equal(cordon(f, "send", "--source", "flow", "--alert", "da1", NULL), 1);
    assert_says(f->ran.err, "only the sender's own application can get");
    assert_int_equal(cordon(f, "send", "--source", "flow", "--alert", "da1", "--print-curl", NULL),
                     0);
    assert_says(
        f->ran.out,
        "'https://login.microsoftonline.us/0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50/oauth2/v2.0/token'");
    assert_says(f->ran.out, "'scope=api://cordon/.default'");
    assert_says(f->ran.out,
                "-H \"Authorization: Bearer $TOKEN\" --data-raw '{\"alertId\":\"da1\"}' "
                "'http://127.0.0.1:8080/hooks/flow'");
    /* What the entry asks for besides stands there, too; and where that cannot be had, nothing does. */
    assert_int_equal(cordon(f, "send", "--source", "keyed", "--alert", "da1", "--print-curl", NULL),
                     0);
    assert_says(f->ran.out, "-H 'X-Key: '\"$(tr -d '\\r' <'secrets/it'\\''s a')\" "
                            "-H \"Authorization: Bearer $TOKEN\"");
    assert_int_equal(cordon(f, "send", "--source", "shown", "--alert", "da1", "--print-curl", NULL),
                     1);
    assert_says(f->ran.err, "none of its verify entries is one that `cordon send` can satisfy\n");
}

/* ---- what the running server knows ------------------------------------------------------------- */

static void put_admin(const struct fixture *f, const struct peer *p)
{
    char text[200];

    (void)snprintf(text, sizeof text, "admin: {address: '%s', token_file: relay}\n",
                   peer_url(p) + 7);
    put_file(f, "cordon.yaml", text);
    put_file(f, "relay", "the-admin-token\n");
}

static void test_cli__cases_are_listed_in_columns(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);
    const struct peer_request *r;

    put_admin(f, p);
    peer_script(
        p,
        &(struct peer_answer){
            .target = "/api/cases",
            .status = 200,
            .body =
                "{\"cases\":[{\"id\":\"01abc\",\"tenant\":\"contoso\",\"alert_id\":\"da1_-2\",\"machine_id\":null,"
                "\"state\":\"done\",\"rule\":\"contain-high\",\"updated\":\"2026-01-01T10:20:30.123Z\"},"
                "{\"id\":\"01abd\",\"tenant\":\"a\\u001b[31mb\\u202e\",\"alert_id\":\"x\",\"state\":\"acting\"}],"
                "\"next\":null}"});
    assert_int_equal(cordon(f, "cases", "list", "--state", "done", "--tenant", "con toso",
                            "--since", "2026-01-01T00:00:00Z", NULL),
                     0);
    assert_string_equal(f->ran.err, "");
    assert_says(f->ran.out, "CASE   STATE   TOLD  TENANT");
    assert_says(f->ran.out,
                "  ALERT   MACHINE  RULE          UPDATED\n01abc  done    -     contoso");
    assert_says(f->ran.out,
                "  da1_-2  -        contain-high  2026-01-01 10:20:30Z\n01abd  acting  -     a");
    assert_null(strchr(f->ran.out, '\x1b'));
    assert_null(strstr(f->ran.out, "\xe2\x80\xae"));
    r = peer_request(p, 0);
    assert_string_equal(r->method, "GET");
    assert_string_equal(
        r->target,
        "/api/cases?state=done&tenant=con%20toso&since=2026-01-01T00%3A00%3A00.000Z&limit=50");
    assert_string_equal(peer_header(r, "Authorization"), "Bearer the-admin-token");
    /* a time like any other */
    assert_int_equal(cordon(f, "cases", "list", "--since", "1970-01-01T00:00:00Z", NULL), 0);
    assert_string_equal(peer_request(p, 1)->target,
                        "/api/cases?since=1970-01-01T00%3A00%3A00.000Z&limit=50");
    assert_int_equal(cordon(f, "cases", "list", "--since", "1970-01-01T02:00:00+02:00", NULL), 0);
    assert_string_equal(peer_request(p, 2)->target,
                        "/api/cases?since=1970-01-01T00%3A00%3A00.000Z&limit=50");
    peer_free(p);
}

/* At 80 columns, which is what a terminal has: an id can still be copied, and a time has its date and hour. */
static void test_cli__a_narrow_terminal_cuts_no_id_and_no_time(void **state)
{
    static const char *const titles[] = {"ISOLATION", "STATE", "MACHINE", "REQUESTED",
                                         "CONFIRMED", "CASE",  "WHY",     NULL};
    static const char *const cells[] = {"0scjgh66r54gw",
                                        "isolated",
                                        "a-workstation.with-a-long-name.example",
                                        "2026-11-29 14:15:20Z",
                                        "2026-11-29 14:15:21Z",
                                        "0scjgh65c54gx",
                                        "the machine could not do it (Failed)"};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    FILE *to = tmpfile();
    char text[1000] = "";
    struct cli_table t;
    int kept;

    (void)state;
    assert_non_null(to);
    (void)fflush(stdout);
    kept = dup(STDOUT_FILENO);
    assert_true(kept >= 0 && dup2(fileno(to), STDOUT_FILENO) >= 0);
    cli_table_init(&t, a, titles);
    cli_table_row(&t, cells);
    cli_table_show(&t, 80);
    (void)fflush(stdout);
    assert_true(dup2(kept, STDOUT_FILENO) >= 0);
    (void)close(kept);
    assert_true(pread(fileno(to), text, sizeof text - 1, 0) > 0);
    (void)fclose(to);
    assert_says(text, "\n0scjgh66r54gw  isolated  a-works\xe2\x80\xa6  2026-11-29 14:15:20Z  "
                      "2026-11-29 14:15:21Z  0scjgh65c54gx  the mac\xe2\x80\xa6\n");
}

static void test_cli__a_long_list_comes_page_by_page(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);
    AUTO(buf_clear) struct buf page = BUF_INIT(65536), last = BUF_INIT(65536);

    put_admin(f, p);
    buf_adds(&page, "{\"isolations\":[");
    for (int i = 0; i < 100; i++)
        buf_addf(&page, "%s{\"id\":\"i%d\"}", i ? "," : "", i);
    buf_adds(&last, buf_text(&page));
    buf_adds(&page, "],\"next\":\"i99\"}");
    buf_adds(&last, "],\"next\":\"more\"}");
    peer_script(p, &(struct peer_answer){.target = "/api/isolations?open=1&limit=100",
                                         .times = 1,
                                         .status = 200,
                                         .body = buf_text(&page)});
    peer_script(
        p, &(struct peer_answer){.target = "/api/isolations?open=1&limit=50&cursor=i99",
                                 .times = 1,
                                 .status = 200,
                                 .body = "{\"isolations\":[{\"id\":\"last\"}],\"next\":null}"});
    assert_int_equal(cordon(f, "isolations", "list", "--open", "--limit", "150", "--json", NULL),
                     0);
    assert_int_equal(peer_count(p), 2);
    assert_says(f->ran.out, "{\"id\":\"i99\"},{\"id\":\"last\"}],\"next\":null}\n");

    peer_script(p, &(struct peer_answer){.target = "/api/isolations?limit=100",
                                         .times = 1,
                                         .status = 200,
                                         .body = buf_text(&last)});
    assert_int_equal(cordon(f, "isolations", "list", "--limit", "100", NULL), 0);
    assert_string_equal(f->ran.err, "There are more: --limit N shows more of them.\n");
    peer_free(p);
}

/* Nobody was told of those: the oldest of thousands is shown as well as the newest. */
static void test_cli__all_that_a_silence_withheld_is_shown(void **state)
{
#define SILENCE "{\"id\":\"01abc\",\"withheld\":101,\"cases\":["
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);
    AUTO(buf_clear) struct buf page = BUF_INIT(65536);
    AUTO(json_freep) struct json *whole = NULL;

    put_admin(f, p);
    buf_adds(&page, SILENCE);
    for (int i = 0; i < 100; i++)
        buf_addf(&page, "%s{\"case\":\"c%d\"}", i ? "," : "", i);
    buf_adds(&page, "],\"next\":\"c99\"}");
    for (int as_json = 0; as_json < 2; as_json++) {
        peer_script(p,
                    &(struct peer_answer){.target = "/api/silences/01abc?limit=100&cursor=c99",
                                          .times = 1,
                                          .status = 200,
                                          .body = SILENCE "{\"case\":\"oldest\"}],\"next\":null}"});
        peer_script(p, &(struct peer_answer){.target = "/api/silences/01abc?limit=100",
                                             .times = 1,
                                             .status = 200,
                                             .body = buf_text(&page)});
        peer_script(p, &(struct peer_answer){.target = "/api/silences/01abc",
                                             .times = 1,
                                             .status = 200,
                                             .body = SILENCE "],\"next\":\"c9\"}"});
        assert_int_equal(cordon(f, "silences", "show", "01abc", as_json ? "--json" : NULL, NULL),
                         0);
        assert_says(f->ran.out, "c0");
        assert_says(f->ran.out, "oldest");
    }
    assert_int_equal(json_parse(f->ran.out, strlen(f->ran.out), &whole, NULL), ERR_OK);
    assert_int_equal(json_count(json_get(whole, "cases")), 101);
    assert_int_equal(json_type(json_get(whole, "withheld")), JSON_NUMBER);
    peer_free(p);
#undef SILENCE
}

static void test_cli__one_case_is_shown_whole(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);
    AUTO(json_freep) struct json *answer = NULL;

    put_admin(f, p);
    peer_script(
        p,
        &(struct peer_answer){
            .target = "/api/cases/01abc",
            .status = 200,
            .body =
                "{\"id\":\"01abc\",\"state\":\"done\",\"rule\":null,\"steps\":[{\"handler\":\"isolate\",\"state\":"
                "\"done\"},{\"handler\":\"email\",\"state\":\"done\"}],\"verdict\":{\"rule\":\"tell\\nx\"},"
                "\"facts\":{\"alert\":{}}}"});
    peer_script(p, &(struct peer_answer){.status = 404, .body = "{\"title\":\"Not Found\"}"});
    assert_int_equal(cordon(f, "cases", "show", "01abc", NULL), 0);
    assert_string_equal(f->ran.out, "id:    01abc\n"
                                    "state: done\n"
                                    "rule:  -\n"
                                    "steps:\n"
                                    "  - handler: isolate\n"
                                    "    state:   done\n"
                                    "  - handler: email\n"
                                    "    state:   done\n"
                                    "verdict:\n"
                                    "  rule: tell x\n");
    assert_int_equal(cordon(f, "cases", "show", "01abc", "--json", NULL), 0);
    assert_int_equal(json_parse(f->ran.out, strlen(f->ran.out), &answer, NULL), ERR_OK);
    assert_int_equal(json_type(json_path(answer, "facts", "alert", NULL)), JSON_OBJECT);
    assert_int_equal(cordon(f, "cases", "show", "../x", NULL), 1);
    assert_string_equal(f->ran.err, "cordon: there is no case '../x'\n");
    assert_string_equal(peer_request(p, 2)->target, "/api/cases/..%2Fx");
    peer_free(p);
}

/* Facts may be as deep as any document of Defender's, and stand inside the case's own. */
static void test_cli__a_case_whose_facts_are_deep_is_shown(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);
    char open[JSON_DEPTH_MAX] = "", close[JSON_DEPTH_MAX] = "", body[300];

    memset(open, '[', JSON_DEPTH_MAX - 2);
    memset(close, ']', JSON_DEPTH_MAX - 2);
    (void)snprintf(body, sizeof body,
                   "{\"id\":\"01abc\",\"state\":\"done\",\"facts\":{\"alert\":{\"more\":%s%s}}}",
                   open, close);
    put_admin(f, p);
    peer_script(p,
                &(struct peer_answer){.target = "/api/cases/01abc", .status = 200, .body = body});
    assert_int_equal(cordon(f, "cases", "show", "01abc", NULL), 0);
    assert_string_equal(f->ran.out, "id:    01abc\nstate: done\n");
    assert_int_equal(cordon(f, "cases", "show", "01abc", "--json", NULL), 0);
    assert_says(f->ran.out, open);
    peer_free(p);
}

/* What does not fit would be left out: another thing would be asked for than was said. */
static void test_cli__a_word_of_any_length_is_asked_for_whole(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);
    char word[5001], target[5200];

    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    put_admin(f, p);
    peer_script(p, &(struct peer_answer){.status = 404, .body = "{\"title\":\"Not Found\"}"});
    assert_int_equal(cordon(f, "cases", "list", "--tenant", word, NULL), 1);
    (void)snprintf(target, sizeof target, "/api/cases?tenant=%s&limit=50", word);
    assert_string_equal(peer_request(p, 0)->target, target);
    assert_int_equal(cordon(f, "isolations", "show", word, NULL), 1);
    (void)snprintf(target, sizeof target, "/api/isolations?open=1&machine=%s&limit=50", word);
    assert_string_equal(peer_request(p, 1)->target, target);
    assert_int_equal(cordon(f, "cases", "retry", word, NULL), 1);
    (void)snprintf(target, sizeof target, "/api/cases/%s/retry", word);
    assert_string_equal(peer_request(p, 2)->target, target);
    assert_int_equal(cordon(f, "notify", "preview", word, NULL), 1);
    (void)snprintf(target, sizeof target, "/api/cases/%s/notice", word);
    assert_string_equal(peer_request(p, 3)->target, target);
    peer_free(p);
}

/* A problem's detail quotes names that machines give themselves, and reasons that people typed. */
static void test_cli__a_refusal_moves_no_cursor(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);

    put_admin(f, p);
    peer_script(p,
                &(struct peer_answer){
                    .status = 409,
                    .body = "{\"detail\":\"name the machine: ws\\u001b[2J\\u009b1A\\u202e\\nx\"}"});
    assert_int_equal(cordon(f, "cases", "retry", "01abc", NULL), 1);
    assert_null(strchr(f->ran.err, '\x1b'));
    assert_null(strstr(f->ran.err, "\xc2\x9b"));
    assert_null(strstr(f->ran.err, "\xe2\x80\xae"));
    assert_says(f->ran.err, "the server answered 409: name the machine: ws [2J");
    peer_free(p);
}

/* A query may make columns of what it finds. */
static void test_cli__titles_of_what_a_hunt_found_are_cleaned(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);

    put_admin(f, p);
    peer_script(p, &(struct peer_answer){.target = "/api/hunts/h/run",
                                         .status = 200,
                                         .body = "{\"status\":\"ordered\",\"order\":\"01\"}"});
    peer_script(p, &(struct peer_answer){
                       .target = "/api/hunts/h",
                       .status = 200,
                       .body = "{\"result\":{\"order\":\"01\",\"rows\":1,\"new\":1,\"columns\":"
                               "[\"a\\u001b]0;x\\u0007\",\"b\"],\"sample\":[[\"1\",\"2\"]]}}"});
    assert_int_equal(cordon(f, "hunt", "run", "h", NULL), 0);
    assert_null(strchr(f->ran.out, '\x1b'));
    assert_null(strchr(f->ran.out, '\x07'));
    assert_says(f->ran.out, "a ]0;x   b\n1        2\n");
    peer_free(p);
}

static void test_cli__a_machine_that_is_not_isolated_is_one_sentence(void **state)
{
    static const char says[] =
        "cordon: there is no machine called 'nope' that is isolated, and no isolation 'nope'\n";
    static const char *const other_names[] = {"ws-1", "WS-1", "ws-1[.]corp[.]example", "ws-1.corp"};
    static const char *const others[] = {"ws", "ws-", "ws-11", "ws-1.corp.example.net"};
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);

    put_admin(f, p);
    peer_script(p, &(struct peer_answer){.target = "/api/isolations?open=1&machine=nope&limit=50",
                                         .status = 200,
                                         .body = "{\"isolations\":[],\"next\":null}"});
    peer_script(p,
                &(struct peer_answer){
                    .target = "/api/isolations?open=1&limit=100",
                    .status = 200,
                    .body = "{\"isolations\":[{\"id\":\"01\",\"machine_id\":\"9c1f\",\"state\":"
                            "\"isolated\",\"machine_name\":\"Ws-1.corp.example\"},{\"id\":\"02\"}],"
                            "\"next\":null}"});
    peer_script(p, &(struct peer_answer){.target = "/api/isolations?open=1&machine=",
                                         .status = 200,
                                         .body = "{\"isolations\":[],\"next\":null}"});
    peer_script(p, &(struct peer_answer){.target = "/api/isolations?machine=",
                                         .status = 200,
                                         .body = "{\"isolations\":[],\"next\":null}"});
    peer_script(p, &(struct peer_answer){.status = 404, .body = "{\"title\":\"Not Found\"}"});
    assert_int_equal(cordon(f, "isolations", "show", "nope", NULL), 1);
    assert_string_equal(f->ran.err, says);
    assert_int_equal(cordon(f, "isolations", "release", "nope", "--why", "x", NULL), 1);
    assert_string_equal(f->ran.err, says);
    assert_int_equal(cordon(f, "isolations", "extend", "nope", "--for", "4h", NULL), 1);
    assert_string_equal(f->ran.err, says);
    assert_string_equal(peer_request(p, 2)->target, "/api/isolations/nope");

    /* a name as a mail has it, which is not the machine's whole one: that is isolated */
    for (size_t i = 0; i < sizeof other_names / sizeof other_names[0]; i++) {
        assert_int_equal(cordon(f, "isolations", "release", other_names[i], "--why", "x", NULL), 1);
        assert_says(f->ran.err,
                    "cordon: there is an isolation of Ws-1.corp.example (9c1f, isolated): ");
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(cordon(f, "isolations", "show", others[i], NULL), 1);
        assert_null(strstr(f->ran.err, "there is an isolation"));
    }
    peer_free(p);
}

/* Yesterday's is asked for by the machine's name as well: nobody knows its number. Orders are about what is open alone. */
static void test_cli__the_last_isolation_of_a_machine_is_shown(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);

    put_admin(f, p);
    peer_script(p, &(struct peer_answer){.target = "/api/isolations?open=1",
                                         .status = 200,
                                         .body = "{\"isolations\":[],\"next\":null}"});
    peer_script(p, &(struct peer_answer){.target = "/api/isolations?machine=ws-1&limit=1",
                                         .status = 200,
                                         .body = "{\"isolations\":[{\"id\":\"0000000000077\"}],"
                                                 "\"next\":null}"});
    peer_script(p, &(struct peer_answer){.target = "/api/isolations/0000000000077",
                                         .status = 200,
                                         .body = "{\"id\":\"0000000000077\",\"state\":\"released\","
                                                 "\"cases\":[]}"});
    peer_script(p, &(struct peer_answer){.status = 404, .body = "{\"title\":\"Not Found\"}"});
    assert_int_equal(cordon(f, "isolations", "show", "ws-1", NULL), 0);
    assert_says(f->ran.out, "released\n");
    assert_says(f->ran.err, "'ws-1' is not isolated now");
    assert_int_equal(cordon(f, "isolations", "release", "ws-1", "--why", "x", NULL), 1);
    assert_says(f->ran.err, "'ws-1' is not isolated now");

    /* what was given up may have been carried out: nobody is told that the machine is free */
    peer_forget(p);
    peer_script(p, &(struct peer_answer){.target = "/api/isolations?open=1",
                                         .status = 200,
                                         .body = "{\"isolations\":[],\"next\":null}"});
    peer_script(p, &(struct peer_answer){.target = "/api/isolations/0000000000077",
                                         .status = 200,
                                         .body = "{\"id\":\"0000000000077\",\"state\":\"failed\","
                                                 "\"cases\":[]}"});
    peer_script(p, &(struct peer_answer){.target = "/api/isolations?machine=ws-2&limit=1",
                                         .status = 200,
                                         .body = "{\"isolations\":[{\"id\":\"0000000000077\","
                                                 "\"state\":\"failed\",\"unknown\":true}],"
                                                 "\"next\":null}"});
    assert_int_equal(cordon(f, "isolations", "show", "ws-2", NULL), 0);
    assert_null(strstr(f->ran.err, "is not isolated"));
    assert_says(f->ran.err, "nobody knows whether 'ws-2' is isolated");
    assert_int_equal(cordon(f, "isolations", "release", "ws-2", "--why", "x", NULL), 1);
    assert_null(strstr(f->ran.err, "is not isolated"));
    assert_null(strstr(f->ran.err, "there is no machine"));
    assert_says(f->ran.err, "nobody knows whether 'ws-2' is isolated: ");
    assert_says(f->ran.err, "release it there");
    assert_null(strstr(peer_request(p, peer_count(p) - 1)->target, "/release"));
    peer_free(p);
}

/* docs/policy.md, "What is isolated, and how it ends": since when, by which rule and for which case, who asked, when people are asked next. */
static void test_cli__the_ledger_says_who_asked_and_when_people_are_asked_next(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);

    put_admin(f, p);
    peer_script(
        p,
        &(struct peer_answer){
            .target = "/api/isolations",
            .status = 200,
            .body =
                "{\"isolations\":[{\"id\":\"01\",\"state\":\"isolated\",\"machine_name\":\"ws-1\","
                "\"tenant\":\"contoso\",\"adopted\":false,\"requestor\":\"app-7\",\"rule\":\"contain\",\"requested\":"
                "\"2026-01-01T10:20:30.123Z\",\"review\":\"2026-01-02T10:20:31.000Z\",\"case\":\"c1\"},"
                "{\"id\":\"02\",\"state\":\"isolated\",\"machine_name\":\"ws-2\",\"adopted\":true,"
                "\"requestor\":\"ann@x.example\"},"
                "{\"id\":\"03\",\"state\":\"isolated\",\"machine_name\":\"ws-3\",\"adopted\":true,"
                "\"requestor\":null}],\"next\":null}"});
    assert_int_equal(cordon(f, "isolations", "list", NULL), 0);
    assert_says(f->ran.out,
                "  BY             RULE     REQUESTED             CONFIRMED  RELEASED  REVIEW  ");
    assert_says(
        f->ran.out,
        "\n01         isolated  ws-1     contoso  cordon         contain  2026-01-01 10:20:30Z  -      "
        "    -         2026-01-02 10:20:31Z  c1    -\n");
    assert_says(f->ran.out, "  ws-2     -        ann@x.example  ");
    assert_says(f->ran.out, "  ws-3     -        others         ");
    peer_free(p);
}

/* An unset variable of a script names no machine, and there may be one without a name. */
static void test_cli__an_empty_word_is_no_machine(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);

    put_admin(f, p);
    peer_script(
        p, &(struct peer_answer){.target = "/api/isolations",
                                 .status = 200,
                                 .body = "{\"isolations\":[{\"id\":\"01\",\"machine_id\":\"9c1f\","
                                         "\"machine_name\":\"\"}],\"next\":null}"});
    assert_int_equal(cordon(f, "isolations", "release", "", "--why", "x", NULL), 2);
    assert_says(f->ran.err, "MACHINE: the word is empty");
    assert_int_equal(cordon(f, "isolations", "extend", " ", "--for", "4h", NULL), 2);
    assert_int_equal(cordon(f, "isolations", "show", "", NULL), 2);
    assert_int_equal(peer_count(p), 0);
    assert_int_equal(cordon(f, "isolations", "list", NULL), 0);
    assert_says(f->ran.out, "9c1f");
    peer_free(p);
}

static void test_cli__a_server_that_is_not_there_is_said_with_the_cure(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);

    put_admin(f, p);
    peer_script(p, &(struct peer_answer){.times = 1, .status = 401});
    peer_script(p, &(struct peer_answer){
                       .times = 1, .status = 503, .body = "{\"detail\":\"The store is locked.\"}"});
    peer_script(p, &(struct peer_answer){.times = 1, .status = 200, .body = "<html>"});
    assert_int_equal(cordon(f, "cases", "list", NULL), 1);
    assert_says(f->ran.err, "cordon: the server does not take the token of relay; ");
    assert_int_equal(cordon(f, "cases", "list", NULL), 1);
    assert_says(f->ran.err, ": the server answered 503: The store is locked.\n");
    assert_int_equal(cordon(f, "cases", "list", NULL), 1);
    assert_says(f->ran.err, " is not cordon's: its answer is no JSON");
    peer_free(p);
    assert_int_equal(cordon(f, "cases", "list", NULL), 1);
    assert_says(f->ran.err, "cordon: cannot reach cordon at 127.0.0.1:");
    assert_says(f->ran.err,
                "is it running? One that runs listens where it did when it started, whatever "
                "admin.address is by now. Start it with `cordon serve`, or name its configuration "
                "with -c\n");
    put_file(f, "cordon.yaml", "admin: {address: '10.255.255.1:9180', token_file: relay}\n");
    assert_int_equal(cordon(f, "cases", "list", NULL), 1);
    assert_says(f->ran.err, "cordon: cannot speak to admin.address 10.255.255.1:9180 from here: ");
    put_file(f, "cordon.yaml", "admin: {token_file: relay}\n");
    put_file(f, "relay", "the-admin-token-of-two\nlines\n");
    assert_int_equal(cordon(f, "cases", "list", NULL), 1);
    assert_says(f->ran.err,
                "cordon: the admin token cannot be sent: relay holds more than one line");
    put_file(f, "cordon.yaml", "admin: {adress: x}\n");
    assert_int_equal(cordon(f, "cases", "list", NULL), 1);
    assert_says(f->ran.err,
                "cordon.yaml:1:9: admin.adress: unknown key; did you mean admin.address?\n");
}

/* A name of a directory service may be longer than the record has room for: the kill switch is pulled all the same. */
static void test_cli__nobodys_name_is_too_long_to_pause(void **state)
{
    static const char *const argv[] = {"cordon", "pause", NULL};
    static char user[5 + 300 + 1] = "USER=";
    const char *const env[] = {"SUDO_USER=", user, NULL};
    AUTO(json_freep) struct json *doc = NULL;
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);
    const struct peer_request *r;

    put_admin(f, p);
    peer_script(p, &(struct peer_answer){.status = 200, .body = "{\"status\":\"paused\"}"});
    for (size_t i = 0; i < 300; i += 2)
        memcpy(user + 5 + i, "\xc3\xa9", 2);
    program_run(&f->ran, f->folder, env, argv);
    assert_int_equal(f->ran.code, 0);
    r = peer_request(p, 0);
    assert_string_equal(r->target, "/api/pause");
    assert_int_equal(json_parse(r->body, r->body_len, &doc, NULL), ERR_OK);
    assert_int_equal(strlen(json_get_string(doc, "by")), DESK_WHO_MAX);
    peer_free(p);
}

/* Nor is what he says to it: a report that somebody pastes is cut. */
static void test_cli__no_reason_is_too_long_to_pause(void **state)
{
    AUTO(json_freep) struct json *doc = NULL;
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);
    static char why[2001];

    for (size_t i = 0; i + 1 < sizeof why; i += 2)
        memcpy(why + i, "\xc3\xa9", 2);
    put_admin(f, p);
    peer_script(p, &(struct peer_answer){.status = 200, .body = "{\"status\":\"paused\"}"});
    assert_int_equal(cordon(f, "pause", "--why", why, NULL), 0);
    assert_int_equal(json_parse(peer_request(p, 0)->body, peer_request(p, 0)->body_len, &doc, NULL),
                     ERR_OK);
    assert_int_equal(strlen(json_get_string(doc, "why")), DESK_WHY_MAX);
    assert_says(f->ran.err, "was cut");
    peer_free(p);
}

/* The other kill switch needs nobody who answers: whoever cannot pull the one is told of it. */
static void test_cli__who_cannot_pause_is_told_of_the_file_that_does(void **state)
{
    struct fixture *f = *state;

    put_file(f, "cordon.yaml", "admin: {address: '127.0.0.1:1'}\n");
    assert_int_equal(cordon(f, "pause", "--why", "a worm", NULL), 1);
    assert_says(f->ran.err, "cannot reach cordon at 127.0.0.1:1");
    assert_says(f->ran.err, "cordon may go on isolating");
    assert_says(f->ran.err, "safety.pause_file");
    assert_int_equal(cordon(f, "resume", NULL), 1);
    assert_null(strstr(f->ran.err, "safety.pause_file"));
    assert_int_equal(cordon(f, "pause", "--wy", "a worm", NULL), 2);
    assert_null(strstr(f->ran.err, "safety.pause_file"));
}

/* cordon's own refusal of a path that is nothing of the senders': the people's side has each of these. */
static void test_cli__who_asks_the_senders_side_hears_which_it_is(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);

    put_admin(f, p);
    peer_script(p, &(struct peer_answer){
                       .status = 404,
                       .body = "{\"title\":\"Not Found\",\"status\":404,\"detail\":\"There is no "
                               "source under this path.\"}"});
    assert_int_equal(cordon(f, "pause", "--why", "a worm", NULL), 1);
    assert_says(f->ran.err, "there is no /api/pause at 127.0.0.1:");
    assert_says(f->ran.err, "the senders' side (listen.address)");
    assert_says(f->ran.err, "safety.pause_file");
    assert_int_equal(cordon(f, "cases", "list", NULL), 1);
    assert_says(f->ran.err, "there is no /api/cases at 127.0.0.1:");
    assert_int_equal(cordon(f, "cases", "show", "01abc", NULL), 1); /* here it may be missing */
    assert_string_equal(f->ran.err, "cordon: there is no case '01abc'\n");
    peer_free(p);
}

/* Another program listens where cordon is thought to: most answer anything with 404 or with some JSON. Nothing that
 * it says is told as cordon's word, least of all that nothing is isolated any more. */
static void test_cli__another_program_is_not_taken_for_cordon(void **state)
{
    static const char *const commands[][8] = {
        {"healthcheck"},
        {"pause"},
        {"resume"},
        {"cases", "list"},
        {"cases", "show", "01abc"},
        {"cases", "explain", "01abc"},
        {"cases", "drop", "01abc", "--why", "x"},
        {"isolations", "list"},
        {"isolations", "release", "ws-1", "--why", "x"},
        {"questions", "list"},
        {"approve", "01abc"},
        {"hunt", "list"},
        {"hunt", "run", "h"},
        {"notify", "preview", "01abc"},
        {"silences", "add", "--when", "{}", "--for", "4h",
         "--why"}, /* the next word is added below */
        {"silences", "preview", "--when", "{}"},
    };
    static const struct {
        int status;
        const char *body;
    } answers[] = {{200, "{\"status\":\"ok\"}"}, {200, "[]"}, {200, "null"}, {404, "<h1>404</h1>"}};
    struct fixture *f = *state;

    for (size_t k = 0; k < sizeof answers / sizeof answers[0]; k++) {
        struct peer *p = peer_new(NULL);

        put_admin(f, p);
        peer_script(p, &(struct peer_answer){.status = answers[k].status, .body = answers[k].body});
        for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i += k ? 5 : 1) {
            const char *const *w = commands[i];

            assert_int_equal(
                cordon(f, w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[6] ? "x" : NULL, NULL), 1);
            assert_string_equal(f->ran.out, "");
            assert_says(f->ran.err, " is not cordon's: ");
        }
        peer_free(p);
    }
}

static void test_cli__a_healthcheck_says_ready_and_what_is_not(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);

    put_admin(f, p);
    peer_script(p, &(struct peer_answer){
                       .target = "/readyz",
                       .times = 1,
                       .status = 200,
                       .body = "{\"ready\":true,\"parts\":{\"store\":{\"ok\":true,\"why\":null}},"
                               "\"degraded\":false}"});
    peer_script(p, &(struct peer_answer){
                       .target = "/readyz",
                       .times = 1,
                       .status = 200,
                       .body = "{\"ready\":true,\"parts\":{\"store\":{\"ok\":true},\"mail\":"
                               "{\"ok\":false,\"why\":\"421 a\\u001b[31mb\"}},\"degraded\":true}"});
    peer_script(p, &(struct peer_answer){
                       .target = "/readyz",
                       .times = 1,
                       .status = 503,
                       .body = "{\"ready\":false,\"parts\":{\"store\":{\"ok\":false,\"why\":\"disk "
                               "full\"},\"senders\":{\"ok\":true}},\"degraded\":false}"});
    assert_int_equal(cordon(f, "healthcheck", NULL), 0);
    assert_string_equal(f->ran.out, "ready\n");
    assert_string_equal(f->ran.err, "");
    assert_int_equal(cordon(f, "healthcheck", NULL), 0);
    assert_string_equal(f->ran.out, "ready, degraded\n");
    assert_string_equal(f->ran.err, "cordon: mail: 421 a [31mb\n");
    assert_int_equal(cordon(f, "healthcheck", NULL), 1);
    assert_string_equal(f->ran.out, "");
    assert_string_equal(f->ran.err, "cordon: /readyz: the server answered 503\n"
                                    "cordon: store: disk full\n");
    peer_free(p);
    assert_int_equal(cordon(f, "healthcheck", NULL), 1);
    assert_says(f->ran.err, "cordon: cannot reach cordon at 127.0.0.1:");
}

/* Many a container has no [::1], and [::] is what its admin address is told to be: the kill switch would be out of reach. */
static void test_cli__who_listens_for_everybody_is_reached_without_ipv6(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL); /* at 127.0.0.1 alone */
    char text[100];

    (void)snprintf(text, sizeof text, "admin: {address: '[::]%s'}\n", strrchr(peer_url(p), ':'));
    put_file(f, "cordon.yaml", text);
    peer_script(p, &(struct peer_answer){
                       .target = "/api/pause", .status = 200, .body = "{\"status\":\"paused\"}"});
    if (cordon(f, "pause", NULL) != 0)
        fail_msg("%s", f->ran.err);
    assert_int_equal(peer_count(p), 1);
    peer_free(p);
}

/* An auditor may read the store, and need not be let read Defender's secret; nor wait until the rules are mended. */
static void test_cli__who_looks_at_the_store_needs_no_more_of_the_configuration(void **state)
{
    static const char *const commands[][2] = {
        {"store", "check"}, {"audit", "verify"}, {"audit", "export"}};
    struct fixture *f = *state;
    char says[400];

    /* by its whole name: a relative one is another store in another folder */
    (void)snprintf(
        says, sizeof says,
        "cordon: store: database sqlite: %s/none.db does not exist; a relative name is of the folder "
        "that the command runs in: go to the server's (under systemd /var/lib/cordon)\n",
        f->folder);
    put_file(f, "cordon.yaml",
             "store: {url: 'sqlite:none.db'}\ntenants: {contoso: {client_secret_file: none}}\n"
             "rules: [{name: x}]\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        assert_int_equal(cordon(f, commands[i][0], commands[i][1], NULL), 1);
        assert_string_equal(f->ran.err, says);
    }
}

static enum http_next answer_head(struct http_request *r, void *ctx, size_t *ret_body_max)
{
    static const char body[] =
        "{\"isolations\":[{\"id\":\"by-socket\",\"state\":\"isolated\",\"machine_name\":\"ws-1\"}]}";
    const struct http_answer answer = {.status = 200,
                                       .content_type = "application/json",
                                       .body = body,
                                       .body_len = sizeof body - 1};

    (void)ctx, (void)ret_body_max;
    http_reply(r, &answer);
    return HTTP_ANSWERED;
}

static void answer_body(struct http_request *r, void *ctx)
{
    (void)r, (void)ctx;
}

static void test_cli__a_unix_socket_is_an_admin_address_too(void **state)
{
    struct fixture *f = *state;
    struct http_server *server = NULL;
    char address[120], text[200];
    struct err e = {0};
    struct http_options o = {.address = address,
                             .max_body = 1024,
                             .max_head = 8192,
                             .head_deadline_ms = 10000,
                             .body_deadline_ms = 10000,
                             .idle_ms = 10000,
                             .threads = 1,
                             .max_connections = 8,
                             .max_connections_per_ip = 8,
                             .handler = {.head = answer_head, .body = answer_body},
                             .clock = clock_system()};

    (void)snprintf(address, sizeof address, "unix:%s/admin.sock", f->folder);
    if (http_server_open(&o, &server, &e))
        fail_msg("%s", e.text);
    (void)snprintf(text, sizeof text, "admin: {address: '%s'}\n", address);
    put_file(f, "cordon.yaml", text);
    assert_int_equal(cordon(f, "isolations", "list", NULL), 0);
    assert_says(f->ran.out, "\nby-socket  isolated  ws-1  ");
    http_server_free(server, 1000);
    assert_int_equal(cordon(f, "isolations", "list", NULL), 1);
    assert_says(f->ran.err, "cordon: cannot reach cordon at unix:");
}

/* To start the server is no cure where it runs and its socket is another user's. Root may use any: here it is a link to itself. */
static void test_cli__a_socket_that_cannot_be_used_is_no_server_that_is_down(void **state)
{
    struct fixture *f = *state;
    char path[200], text[300];

    (void)snprintf(path, sizeof path, "%s/admin.sock", f->folder);
    assert_int_equal(symlink("admin.sock", path), 0);
    (void)snprintf(text, sizeof text, "admin: {address: 'unix:%s'}\n", path);
    put_file(f, "cordon.yaml", text);
    assert_int_equal(cordon(f, "pause", "--why", "a drill", NULL), 1);
    assert_says(f->ran.err, "cordon: cannot use the socket of admin.address unix:");
    assert_says(f->ran.err, "Too many levels of symbolic links");
}

/* A configuration that cannot be looked at is no leave to take another one. Whoever runs the tests may be root, who may look
 * everywhere: here it is a link to itself. */
static void test_cli__a_configuration_that_cannot_be_looked_at_is_there(void **state)
{
    struct fixture *f = *state;
    char path[200];

    if (access("/etc/cordon/cordon.yaml", F_OK) == 0)
        return;
    (void)snprintf(path, sizeof path, "%s/cordon.yaml", f->folder);
    assert_int_equal(symlink("cordon.yaml", path), 0);
    assert_int_equal(cordon(f, "check", NULL), 1);
    assert_string_equal(f->ran.err,
                        "cordon: cannot read cordon.yaml: Too many levels of symbolic links\n");
}

/* Whoever asks for JSON reads what is wrong out of it, too, as far as there is anything to say. */
static void test_cli__a_program_is_answered_in_json_whatever_is_wrong(void **state)
{
    static const char *const words[][4] = {{"check", "--json", "-c", "nowhere.yaml"},
                                           {"check", "--json", NULL, NULL},
                                           {"doctor", "--json", "-c", "nowhere.yaml"}};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        AUTO(json_freep) struct json *answer = NULL;
        const struct json *what;

        if (!words[i][2] && access("/etc/cordon/cordon.yaml", F_OK) == 0)
            continue;
        assert_int_equal(cordon(f, words[i][0], words[i][1], words[i][2], words[i][3], NULL), 1);
        assert_int_equal(json_parse(f->ran.out, strlen(f->ran.out), &answer, NULL), ERR_OK);
        assert_int_equal(json_type(json_get(answer, "good")), JSON_BOOL);
        assert_false(json_is_true(json_get(answer, "good")));
        what = json_get(answer, i < 2 ? "faults" : "findings");
        assert_int_equal(json_count(what), 1);
        assert_non_null(json_get_string(json_first(what), "text"));
        assert_says(f->ran.err, "cordon: ");
    }
}

static void test_cli__who_is_not_ready_says_in_json_why(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);
    AUTO(json_freep) struct json *answer = NULL;

    put_admin(f, p);
    peer_script(p, &(struct peer_answer){
                       .target = "/readyz",
                       .times = 1,
                       .status = 503,
                       .body = "{\"ready\":false,\"parts\":{\"store\":{\"ok\":false,\"why\":\"disk "
                               "full\"}},\"degraded\":false}"});
    peer_script(p, &(struct peer_answer){.status = 503, .body = "{\"title\":\"stopping\"}"});
    assert_int_equal(cordon(f, "healthcheck", "--json", NULL), 1);
    assert_int_equal(json_parse(f->ran.out, strlen(f->ran.out), &answer, NULL), ERR_OK);
    assert_string_equal(json_get_string(json_path(answer, "parts", "store", NULL), "why"),
                        "disk full");
    assert_int_equal(cordon(f, "healthcheck", "--json", NULL), 1);
    assert_string_equal(f->ran.out, ""); /* that is no answer of a healthy part or a sick one */
    peer_free(p);
}

/* At three in the morning what was when is one list. Names in it are the attacker's. */
static void test_cli__a_case_ends_with_what_happened_when(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);

    put_admin(f, p);
    peer_script(
        p, &(struct peer_answer){
               .target = "/api/cases/01abc",
               .status = 200,
               .body = "{\"id\":\"01abc\",\"timeline\":[{\"at\":\"2026-01-01T00:00:00.123Z\","
                       "\"what\":\"came from source relay\"},{\"at\":\"2026-01-01T00:00:07.000Z\","
                       "\"what\":\"mail made: \\u001b[2J\"}]}"});
    assert_int_equal(cordon(f, "cases", "show", "01abc", NULL), 0);
    assert_string_equal(f->ran.out, "id: 01abc\n"
                                    "\n"
                                    "TIME                  WHAT HAPPENED\n"
                                    "2026-01-01 00:00:00Z  came from source relay\n"
                                    "2026-01-01 00:00:07Z  mail made:  [2J\n");
    peer_free(p);
}

static void test_cli__a_question_is_shown_whole(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);

    put_admin(f, p);
    peer_script(
        p,
        &(struct peer_answer){
            .target = "/api/questions/01abc",
            .status = 200,
            .body = "{\"id\":\"01abc\",\"what\":\"a limit\",\"cases\":[{\"machine_name\":\"ws-1\"},"
                    "{\"machine_name\":\"ws-2\"}]}"});
    assert_int_equal(cordon(f, "questions", "show", "01abc", NULL), 0);
    assert_says(f->ran.out, "- machine_name: ws-2\n");
    assert_int_equal(cordon(f, "questions", "show", NULL), 2);
    peer_free(p);
}

/* People have the case's id at hand, or the alert's. */
static void test_cli__who_names_no_question_hears_where_they_are(void **state)
{
    static const char *const words[] = {"approve", "refuse"};
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);

    put_admin(f, p);
    peer_script(p, &(struct peer_answer){.status = 404, .body = "{\"title\":\"Not Found\"}"});
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        assert_int_equal(cordon(f, words[i], "da1_-1", NULL), 1);
        assert_says(f->ran.err,
                    "there is no question 'da1_-1'; `cordon questions list --open` has");
    }
    peer_free(p);
}

/* Whoever finds one open knows whom to wake. */
static void test_cli__a_list_of_questions_says_who_was_asked(void **state)
{
    struct fixture *f = *state;
    struct peer *p = peer_new(NULL);

    put_admin(f, p);
    peer_script(
        p, &(struct peer_answer){
               .target = "/api/questions?state=open",
               .status = 200,
               .body =
                   "{\"questions\":[{\"id\":\"01\",\"state\":\"open\",\"asked\":"
                   "[\"ann@x.example\",\"bob\\u001b[2J@x.example\"]},{\"id\":\"02\",\"asked\":[]}],"
                   "\"next\":null}"});
    assert_int_equal(cordon(f, "questions", "list", "--open", NULL), 0);
    assert_says(f->ran.out, "  ASKED  ");
    assert_says(f->ran.out, "ann@x.example, bob [2J@x.example  ");
    peer_free(p);
}

/* A yes lets go all of them: whoever gives it can read them all, however many there are. */
static void test_cli__what_one_is_about_is_shown_to_its_end(void **state)
{
    static const struct {
        const char *path, *command;
    } rows[] = {{"/api/questions/0000000000077", "questions"},
                {"/api/isolations/0000000000077", "isolations"}};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct peer *p = peer_new(NULL);
        char more[80], last[90];

        (void)snprintf(more, sizeof more, "%s?limit=100", rows[i].path);
        (void)snprintf(last, sizeof last, "%s&cursor=c1", more);
        put_admin(f, p);
        peer_script(
            p,
            &(struct peer_answer){
                .target = last,
                .status = 200,
                .body = "{\"id\":\"0000000000077\",\"count\":2,\"cases\":[{\"alert_id\":\"da2\"}],"
                        "\"next\":null,\"answers\":[]}"});
        peer_script(
            p,
            &(struct peer_answer){
                .target = rows[i].path,
                .status = 200,
                .body = "{\"id\":\"0000000000077\",\"count\":2,\"cases\":[{\"alert_id\":\"da1\"}],"
                        "\"next\":\"c1\",\"answers\":[]}"});
        peer_script(p, &(struct peer_answer){.target = "/api/isolations?",
                                             .status = 200,
                                             .body = "{\"isolations\":[],\"next\":null}"});
        assert_int_equal(cordon(f, rows[i].command, "show", "0000000000077", NULL), 0);
        assert_says(f->ran.out, "- alert_id: da1\n");
        assert_says(f->ran.out, "- alert_id: da2\n");
        assert_null(strstr(f->ran.out, "next"));
        peer_free(p);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_cli__##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_command_it_says_which_there_are),
        TEST(every_command_explains_itself),
        TEST(wrong_usage_is_2_and_names_the_right_word),
        TEST(the_environment_is_checked_like_the_options),
        TEST(output_that_cannot_be_written_is_a_failure),
        TEST(init_and_check_lead_to_a_good_configuration),
        TEST(init_prints_what_it_would_write),
        TEST(the_configuration_is_found_where_it_is_said_to_be),
        TEST(a_configuration_that_cannot_be_looked_at_is_there),
        TEST(a_program_is_answered_in_json_whatever_is_wrong),
        TEST(who_is_not_ready_says_in_json_why),
        TEST(a_case_ends_with_what_happened_when),
        TEST(a_question_is_shown_whole),
        TEST(who_names_no_question_hears_where_they_are),
        TEST(a_list_of_questions_says_who_was_asked),
        TEST(what_one_is_about_is_shown_to_its_end),
        TEST(fields_lists_the_vocabulary),
        TEST(metrics_lists_the_table),
        TEST(keygen_makes_keys_that_fit),
        TEST(send_signs_as_the_source_would),
        TEST(send_fails_when_the_server_does_not_take_it),
        TEST(the_printed_curl_command_works_when_pasted),
        TEST(send_says_how_an_entra_source_sends),
        TEST(cases_are_listed_in_columns),
        TEST(a_narrow_terminal_cuts_no_id_and_no_time),
        TEST(a_long_list_comes_page_by_page),
        TEST(all_that_a_silence_withheld_is_shown),
        TEST(one_case_is_shown_whole),
        TEST(a_case_whose_facts_are_deep_is_shown),
        TEST(a_word_of_any_length_is_asked_for_whole),
        TEST(a_refusal_moves_no_cursor),
        TEST(titles_of_what_a_hunt_found_are_cleaned),
        TEST(a_machine_that_is_not_isolated_is_one_sentence),
        TEST(the_last_isolation_of_a_machine_is_shown),
        TEST(the_ledger_says_who_asked_and_when_people_are_asked_next),
        TEST(an_empty_word_is_no_machine),
        TEST(a_server_that_is_not_there_is_said_with_the_cure),
        TEST(nobodys_name_is_too_long_to_pause),
        TEST(no_reason_is_too_long_to_pause),
        TEST(who_cannot_pause_is_told_of_the_file_that_does),
        TEST(who_asks_the_senders_side_hears_which_it_is),
        TEST(another_program_is_not_taken_for_cordon),
        TEST(a_healthcheck_says_ready_and_what_is_not),
        TEST(who_listens_for_everybody_is_reached_without_ipv6),
        TEST(who_looks_at_the_store_needs_no_more_of_the_configuration),
        TEST(a_unix_socket_is_an_admin_address_too),
        TEST(a_socket_that_cannot_be_used_is_no_server_that_is_down),
    };

    return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
