/* test_connect.c - what `cordon connect` writes does what it is for: scripts and the Function's relay push to a
 * running cordon, templates hold the right values, and the registration asks Entra for no more than it must. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auto.h"
#include "buf.h"
#include "kit/house.h"
#include "kit/program.h"
#include "kit/serving.h"

#define SOON    20000 /* ms; a deadline, not a wait */
#define TOKEN   "0rnQbqHyOWrKxV1Zc0dB2EwS4yYJgS3K"
#define K1      "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define K1_HEX  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f0"
#define PUBLIC  "https://cordon.contoso.example"
#define API     "api://cordon"
#define ROLE    "Alerts.Push"
#define CLIENT  "7b1c2d3e-4f50-4a61-8b72-9c83ad94be05"

/* One source per scheme, all in one file; `relay` is the house's own. */
static const char sources[] =
    "    verify: [{standard_webhooks: {secret_files: [relay-secret]}}]\n"
    "  own:\n    tenant: contoso\n"
    "    verify: [{standard_webhooks: {public_keys: ['%s']}}]\n"
    "  github:\n    tenant: contoso\n    verify: [{hmac: {preset: github, secret_files: text}}]\n"
    "  stripe:\n    tenant: contoso\n    verify: [{hmac: {preset: stripe, secret_files: text}}]\n"
    "  slack:\n    tenant: contoso\n    verify: [{hmac: {preset: slack, secret_files: text}}]\n"
    "  shopify:\n    tenant: contoso\n    verify: [{hmac: {preset: shopify, secret_files:\n"
    "      [{file: k1, not_before: '2999-01-01T00:00:00Z'}, text]}}]\n"
    "  over:\n    tenant: contoso\n    verify: [{hmac: {preset: github, secret_files:\n"
    "      [{file: text, not_after: '2001-01-01T00:00:00Z'}]}}]\n"
    "  teams:\n    tenant: contoso\n    verify: [{hmac: {preset: teams, secret_files: k1}}]\n"
    "  mine:\n    tenant: contoso\n"
    "    verify: [{hmac: {header: X-Mine, prefix: 'a$b`c\"d\\''''e%%', algorithm: sha512, encoding: "
    "base64,\n"
    "      secret_encoding: hex, payload: 'v\"$1 `:{timestamp}_{id}_{body}', timestamp_header: X-T,\n"
    "      id_header: X-Id, secret_files: k1hex}}]\n"
    "  header:\n    tenant: contoso\n    verify: [{token: {secret_files: text}}]\n"
    "  key:\n    tenant: contoso\n    verify: [{token: {header: X-Api-Key, secret_files: text}}]\n"
    "  url:\n    tenant: contoso\n    verify: [{token: {query: key, secret_files: odd}}]\n"
    "  basic:\n    tenant: contoso\n    verify: [{basic: {username: relay, password_file: text}}]\n"
    "  rotating:\n    tenant: contoso\n    verify: [{basic: {username: relay, password_files:\n"
    "      [{file: k1, not_before: '2999-01-01T00:00:00Z'}, text]}}]\n"
    "  later:\n    tenant: contoso\n    verify: [{token: {secret_files:\n"
    "      [{file: k1, not_before: '2999-01-01T00:00:00Z'}, text]}}]\n"
    "  flow:\n    tenant: contoso\n"
    "    verify: [{entra: {audience: [5d1f6c2e-8f3b-4a7d-9c11-2e4b6a8c0d13, '" API "'], roles: "
    "[" ROLE "], clients: [%s]}}]\n"
    "  both:\n    tenant: contoso\n    verify: [{standard_webhooks: {secret_files: relay-secret}, "
    "token: {secret_files: text}}]\n"
    "  either:\n    tenant: contoso\n    verify: [{standard_webhooks: {public_keys: ['%s']}}, "
    "{token: {secret_files: text}}]\n"
    "  open:\n    tenant: contoso\n    verify: [{none: {insecure: true}}]\n";

struct stage {
    struct house *h;
    char private_key[120], dir[300];
};

/* A house with all of them; its cordon runs when `more` says where it is reached from outside. */
static void open_stage(struct stage *t, const char *more)
{
    const char *keygen[] = {serving_program("cordon"), "keygen", "--ed25519", NULL};
    struct house_options o = {.more = more, .not_yet = true};
    struct house *h;
    struct ran ran;
    char text[4000], *public;

    program_run(&ran, NULL, NULL, keygen);
    assert_int_equal(ran.code, 0);
    public = strchr(ran.out, '\n');
    assert_non_null(public);
    *public ++ = '\0';
    public[strcspn(public, "\n")] = '\0';
    (void)snprintf(t->private_key, sizeof t->private_key, "%s", ran.out);
    /* The client of the simulator is known only when it runs: hence two steps. */
    (void)snprintf(text, sizeof text, sources, public, "@CLIENT@", public);
    o.source = text;
    h = t->h = house_start(&o);
    house_edit(h, "@CLIENT@", h->sim->client_id);
    ran_clear(&ran);
    free(house_write_file(h, "relay-secret", h->secret));
    free(house_write_file(h, "text", TOKEN "\r\n"));
    free(house_write_file(h, "odd", "a+b/c=&d%41" TOKEN));
    free(house_write_file(h, "k1", K1 "\r\n"));
    free(house_write_file(h, "k1hex", K1_HEX "\n"));
    (void)snprintf(t->dir, sizeof t->dir, "%s", h->dir);
}

static int setup(void **state)
{
    struct stage *t = calloc(1, sizeof *t);

    assert_non_null(t);
    open_stage(t, "public_url: " PUBLIC "\n");
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct stage *t = *state;

    house_stop(t->h);
    free(t);
    return 0;
}

/* cordon connect TARGET …; NULL arguments are left out. */
static void connect_to(struct stage *t, struct ran *ran, const char *target, const char *source,
                       const char *out)
{
    const char *argv[12] = {serving_program("cordon"), "connect", target, "-c", t->h->config_file};
    size_t n = 5;

    if (source) {
        argv[n++] = "--source";
        argv[n++] = source;
    }
    if (out) {
        argv[n++] = "--out";
        argv[n++] = out;
    }
    program_run(ran, NULL, NULL, argv);
}

/* The same into a folder of its own below the house's; the folder, heap. It must work, and tell no secret. */
static char *connect_into(struct stage *t, const char *target, const char *source)
{
    char *dir = NULL, cmd[900];
    struct ran ran;

    if (asprintf(&dir, "%s/out/%s-%s", t->dir, target, source) < 0)
        fail_msg("out of memory");
    connect_to(t, &ran, target, source, dir);
    if (ran.code != 0 || *ran.err)
        fail_msg("connect %s --source %s: exit %d\n%s%s", target, source, ran.code, ran.out,
                 ran.err);
    ran_clear(&ran);
    (void)snprintf(cmd, sizeof cmd,
                   "! grep -rF -e '%s' -e '" TOKEN "' -e '" K1 "' -e '" K1_HEX
                   "' -e '%s' -e '{{' '%s'",
                   t->h->secret + 6, t->h->sim->client_secret, dir);
    program_run(&ran, NULL, NULL, (const char *[]){"/bin/sh", "-c", cmd, NULL});
    if (ran.code != 0)
        fail_msg("connect %s --source %s tells a secret, or leaves a gap:\n%s", target, source,
                 ran.out);
    ran_clear(&ran);
    return dir;
}

static char *read_file(const char *dir, const char *name)
{
    struct buf b = BUF_INIT(1 << 20);
    char path[PATH_MAX], piece[4096];
    size_t n;
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "re");
    if (!f)
        fail_msg("%s is not there", path);
    while (f && (n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_add(&b, piece, n);
    if (f)
        (void)fclose(f);
    return buf_take(&b);
}

static struct json *read_json(const char *dir, const char *name)
{
    char *text = read_file(dir, name);
    struct json *doc = NULL;
    struct err e = {0};

    if (json_parse(text, strlen(text), &doc, &e))
        fail_msg("%s/%s: %s", dir, name, e.text);
    free(text);
    return doc;
}

static void plant(struct house *h, const char *alert)
{
    sim_tellf(h->sim, "/alerts",
              "{\"id\":\"%s\",\"severity\":\"Low\",\"title\":\"A title\",\"machineId\":\"" MACHINE
              "\"}",
              alert);
}

/* ---- curl ------------------------------------------------------------------------------------------ */

static void run_script(struct stage *t, struct ran *ran, const char *dir, const char *source,
                       const char *secret_file, const char *alert, const char *machine)
{
    char script[PATH_MAX], url[400], secret[400], client[200];
    const char *env[] = {url, client, secret_file ? secret : NULL, NULL};

    (void)snprintf(script, sizeof script, "%s/send-alert.sh", dir);
    (void)snprintf(url, sizeof url, "CORDON_URL=%s/hooks/%s", t->h->hooks, source);
    (void)snprintf(client, sizeof client, "CORDON_CLIENT_ID=%s", t->h->sim->client_id);
    (void)snprintf(secret, sizeof secret, "CORDON_SECRET_FILE=%s/%s", t->dir,
                   secret_file ? secret_file : "");
    program_run(ran, "/", env, (const char *[]){"/bin/sh", script, alert, machine, NULL});
}

static void test_connect__the_curl_script_of_every_scheme_is_let_in(void **state)
{
    static const struct {
        const char *source, *secret, *wrong; /* secret NULL: the one that the script names */
    } rows[] = {
        {"relay", NULL, "k1"},        {"github", NULL, "k1"},          {"stripe", NULL, "k1"},
        {"slack", NULL, "k1"},        {"shopify", NULL, "k1"},         {"teams", NULL, "relay-key"},
        {"mine", NULL, "k1hexwrong"}, {"header", NULL, "k1"},          {"key", NULL, "k1"},
        {"url", NULL, "k1"},          {"basic", NULL, "k1"},           {"rotating", NULL, "k1"},
        {"later", NULL, "k1"},        {"flow", "client-secret", NULL}, {"open", NULL, NULL},
    };
    struct stage *t = *state;

    free(house_write_file(t->h, "relay-key", t->h->secret + 6));
    free(house_write_file(t->h, "k1hexwrong", "ff0102030405060708090a0b0c0d0e0f"));
    house_cordon_start(t->h);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *dir = connect_into(t, "curl", rows[i].source), alert[60];
        struct ran ran;

        (void)snprintf(alert, sizeof alert, "da%zu.x_-1", i);
        plant(t->h, alert);
        run_script(t, &ran, dir, rows[i].source, rows[i].secret, alert, MACHINE);
        if (ran.code != 0 || !strstr(ran.out, " 202 ") || !strstr(ran.out, "\"accepted\""))
            fail_msg("%s: exit %d\n%s%s", rows[i].source, ran.code, ran.out, ran.err);
        ran_clear(&ran);
        run_script(t, &ran, dir, rows[i].source, rows[i].secret, alert, NULL);
        if (ran.code != 0 || !strstr(ran.out, " 200 "))
            fail_msg("%s, again: exit %d\n%s%s", rows[i].source, ran.code, ran.out, ran.err);
        ran_clear(&ran);
        if (rows[i].wrong) {
            run_script(t, &ran, dir, rows[i].source, rows[i].wrong, alert, NULL);
            if (ran.code == 0 || !strstr(ran.out, " 401 "))
                fail_msg("%s, wrong secret: exit %d\n%s%s", rows[i].source, ran.code, ran.out,
                         ran.err);
            ran_clear(&ran);
        }
        run_script(t, &ran, dir, rows[i].source, rows[i].secret, "da1\",\"x\":\"", NULL);
        assert_int_equal(ran.code, 2);
        assert_string_equal(ran.out, "");
        ran_clear(&ran);
        free(dir);
    }
    house_wait_quiet(t->h, SOON);
    assert_int_equal(sim_count_calls(t->h->sim, "GET", SIM_ALERT), sizeof rows / sizeof *rows);
    house_log_lacks(t->h, TOKEN);
    house_log_lacks(t->h, "other_body"); /* with a machine and without is not the same delivery */
}

static void test_connect__curl_goes_to_stdout_and_to_a_socket(void **state)
{
    struct stage *t = *state;
    struct ran ran;

    connect_to(t, &ran, "curl", "github", NULL);
    assert_int_equal(ran.code, 0);
    assert_int_equal(strncmp(ran.out, "#!/bin/sh\n", 10), 0);
    assert_non_null(strstr(ran.out, "url='" PUBLIC "/hooks/github'"));
    ran_clear(&ran);
    house_edit(t->h, "public_url: " PUBLIC "\n", "");
    house_edit(t->h, "listen:\n  address: 127.0.0.1:0\n",
               "listen:\n  address: unix:/run/a b.sock\n");
    connect_to(t, &ran, "curl", "github", NULL);
    assert_int_equal(ran.code, 0);
    assert_non_null(strstr(ran.out, "set -- \"$@\" --unix-socket '/run/a b.sock'\n"));
    assert_non_null(strstr(ran.out, "url='http://localhost/hooks/github'"));
    ran_clear(&ran);
}

/* `cordon send` proves itself in the same ways, and so does the command that it prints. */
static void test_connect__send_is_let_in_by_the_same_sources(void **state)
{
    static const char *const names[] = {"relay", "github", "stripe", "slack", "shopify", "teams",
                                        "mine",  "header", "key",    "url",   "basic",   "rotating",
                                        "later", "both",   "either", "open"};
    struct stage *t = *state;

    house_cordon_start(t->h);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char alert[60], url[400];
        const char *argv[] = {serving_program("cordon"),
                              "send",
                              "-c",
                              t->h->config_file,
                              "--source",
                              names[i],
                              "--url",
                              url,
                              "--alert",
                              alert,
                              "--print-curl",
                              NULL};
        struct ran curl, ran;

        (void)snprintf(alert, sizeof alert, "da%zu_-1", i);
        (void)snprintf(url, sizeof url, "%s/hooks/%s", t->h->hooks, names[i]);
        plant(t->h, alert);
        program_run(&curl, NULL, NULL, argv);
        if (curl.code != 0 || strstr(curl.out, TOKEN) || strstr(curl.out, t->h->secret + 6) ||
            strstr(curl.out, K1) || strstr(curl.out, K1_HEX))
            fail_msg("%s: exit %d\n%s%s", names[i], curl.code, curl.out, curl.err);
        program_run(&ran, t->dir, NULL, (const char *[]){"/bin/sh", "-euc", curl.out, NULL});
        if (ran.code != 0 || !strstr(ran.out, " 202 "))
            fail_msg("%s: exit %d of %s\n%s%s", names[i], ran.code, curl.out, ran.out, ran.err);
        ran_clear(&ran);
        ran_clear(&curl);
        argv[10] = NULL; /* without --print-curl */
        program_run(&ran, NULL, NULL, argv);
        if (ran.code != 0 || !strstr(ran.out, "HTTP 200 "))
            fail_msg("%s: exit %d\n%s%s", names[i], ran.code, ran.out, ran.err);
        ran_clear(&ran);
        (void)snprintf(url, sizeof url, "http://127.0.0.1:1/hooks/%s", names[i]); /* nobody there */
        program_run(&ran, NULL, NULL, argv);
        assert_int_equal(ran.code, 1);
        assert_null(strstr(ran.err, TOKEN));
        assert_null(strstr(ran.err, "key="));
        ran_clear(&ran);
    }
    {
        const char *argv[] = {serving_program("cordon"),
                              "send",
                              "-c",
                              t->h->config_file,
                              "--source",
                              "over",
                              "--alert",
                              "da1_-1",
                              NULL};
        struct ran ran;

        program_run(&ran, NULL, NULL, argv);
        if (ran.code != 1 || !strstr(ran.err, "none of them is good at this time"))
            fail_msg("exit %d\n%s%s", ran.code, ran.out, ran.err);
        ran_clear(&ran);
    }
    house_wait_quiet(t->h, SOON);
    house_log_lacks(t->h, TOKEN);
}

/* ---- Logic Apps and flows ---------------------------------------------------------------------------- */

static void test_connect__the_logic_app_is_filled_in(void **state)
{
    struct stage *t = *state;
    char *dir = connect_into(t, "logic-app", "flow");
    AUTO(json_freep) struct json *workflow = read_json(dir, "workflow.json");
    AUTO(json_freep) struct json *template = read_json(dir, "template.json");
    const struct json *parameters = json_get(workflow, "parameters");
    const struct json *push = json_path(workflow, "actions", "Push_to_cordon", "inputs", NULL);
    const struct json *app = json_next(json_first(json_get(template, "resources")));
    struct buf alone = BUF_INIT(1 << 20), within = BUF_INIT(1 << 20);
    char *readme = read_file(dir, "README.md");

    assert_string_equal(json_get_string(json_get(parameters, "receiverUrl"), "defaultValue"),
                        PUBLIC "/hooks/flow");
    assert_string_equal(json_get_string(json_get(parameters, "receiverAudience"), "defaultValue"),
                        API); /* the URI, not the GUID that stands before it */
    assert_string_equal(json_get_string(push, "method"), "POST");
    assert_string_equal(json_get_string(push, "uri"), "@parameters('receiverUrl')");
    assert_string_equal(json_get_string(json_get(push, "authentication"), "type"),
                        "ManagedServiceIdentity");
    assert_string_equal(json_get_string(json_get(push, "body"), "alertId"),
                        "@triggerBody()?['id']");
    assert_string_equal(json_get_string(app, "type"), "Microsoft.Logic/workflows");
    assert_string_equal(json_get_string(json_get(app, "identity"), "type"), "SystemAssigned");
    json_write(&alone, workflow);
    json_write(&within, json_path(app, "properties", "definition", NULL));
    assert_string_equal(buf_text(&alone), buf_text(&within));
    assert_non_null(strstr(readme, t->h->sim->tenant_id));
    assert_string_equal(
        json_get_string(json_path(workflow, "actions", "Push_to_cordon", NULL), "operationOptions"),
        "DisableAsyncPattern");
    buf_clear(&alone);
    buf_clear(&within);
    free(readme);
    free(dir);
}

/* With `reply: status` the action is left to poll. */
static void test_connect__a_sender_may_wait_for_the_outcome(void **state)
{
    struct stage *t = *state;
    struct json *workflow;
    struct ran ran;
    char *dir;

    house_edit(t->h, "  flow:\n    tenant: contoso\n",
               "  flow:\n    tenant: contoso\n    reply: status\n");
    dir = connect_into(t, "logic-app", "flow");
    workflow = read_json(dir, "workflow.json");
    assert_null(json_path(workflow, "actions", "Push_to_cordon", "operationOptions", NULL));
    assert_non_null(json_path(workflow, "actions", "Push_to_cordon", "runtimeConfiguration", NULL));
    connect_to(t, &ran, "power-automate", "flow", NULL);
    assert_non_null(strstr(ran.out, "| Asynchronous pattern | On |"));
    ran_clear(&ran);
    json_free(workflow);
    free(dir);
}

/* An `az` that answers as the real one does and remembers what it was asked. An application called cordon is there: it is the one
 * by which cordon reads Defender and isolates. As the real one, it makes no second one of a name, but takes the one there is. */
static const char fake_az[] =
    "#!/bin/sh\n"
    "cd \"$(dirname \"$0\")\" || exit 1\n"
    "echo \"$*\" >>az.log\n"
    "for body; do :; done\n"
    "case \"$*\" in\n"
    "'account show '*) cat tenant ;;\n"
    "'ad app list --identifier-uri " API " '*) [ ! -e door ] || echo D-APP ;;\n"
    "'ad app create --display-name cordon --sign-in-audience AzureADMyOrg '*) echo C-APP ;;\n"
    "'ad app delete --id C-APP') rm own ;;\n"
    "'rest --method POST --url '*'/applications --headers '*'\"displayName\":\"cordon door\"'*) touch door; echo D-APP ;;\n"
    "\"ad app list --filter displayName eq 'cordon' \"*) echo C-APP ;;\n"
    "\"ad app list --filter displayName eq 'a-flow' \"*) ;;\n"
    "'ad app create --display-name a-flow '*) echo F-APP ;;\n"
    "'ad app update --id D-APP --identifier-uris " API "')\n"
    "    [ -e role ] && grep -q '\"requestedAccessTokenVersion\":2' patch.json && [ ! -e refuse ] ||\n"
    "        { echo HostNameNotOnVerifiedDomain >&2; exit 1; } ;;\n"
    "'ad app delete --id D-APP') rm -f door role ;;\n"
    "'ad app show --id D-APP --query appRoles[?value=='*) [ ! -e role ] || echo R-ID ;;\n"
    "'ad app show --id D-APP --query length(appRoles) '*) echo 0 ;;\n"
    "'ad app show --id D-APP --query id '*) echo D-OBJ ;;\n"
    "'rest --method PATCH '*/applications/D-OBJ' '*) echo \"$body\" >patch.json; touch role ;;\n"
    "'rest --method POST '*) echo \"$body\" >grant.json ;;\n"
    "'ad sp list '*D-APP*) [ ! -e sp ] || echo D-SP ;;\n"
    "'ad sp list '*) ;;\n"
    "'ad sp create --id D-APP '*) touch sp; echo D-SP ;;\n"
    "'ad sp create --id F-APP '*) echo F-SP ;;\n"
    "'ad sp update --id D-SP --set appRoleAssignmentRequired=true') ;;\n"
    "'ad app credential reset --id F-APP --append '*) echo s3cret ;;\n"
    "*) echo \"az: what is $*\" >&2; exit 1 ;;\n"
    "esac\n";

static void registration(struct stage *t, struct ran *ran, const char *dir, const char *words)
{
    char cmd[2 * PATH_MAX + 200], path[PATH_MAX];
    const char *env[] = {path, NULL};

    (void)snprintf(path, sizeof path, "PATH=%s/az:%s", t->dir, getenv("PATH"));
    (void)snprintf(cmd, sizeof cmd, "cd '%s/az' && sh '%s/app-registration.sh' %s", t->dir, dir,
                   words);
    program_run(ran, NULL, env, (const char *[]){"/bin/sh", "-c", cmd, NULL});
}

static void test_connect__the_registration_asks_for_one_role_and_grants_it(void **state)
{
    struct stage *t = *state;
    char *dir = connect_into(t, "logic-app", "flow"), *log, az[400], path[500];
    struct ran ran;

    (void)snprintf(az, sizeof az, "%s/az", t->dir);
    assert_int_equal(mkdir(az, 0700), 0);
    free(house_write_file(t->h, "az/az", fake_az));
    free(house_write_file(t->h, "az/tenant", "another\n"));
    free(house_write_file(t->h, "az/own", ""));
    (void)snprintf(az, sizeof az, "%s/az/az", t->dir);
    assert_int_equal(chmod(az, 0700), 0);
    (void)snprintf(az, sizeof az, "%s/az", t->dir);

    registration(t, &ran, dir, "door"); /* of another tenant */
    assert_int_equal(ran.code, 1);
    assert_non_null(strstr(ran.err, "az login --tenant"));
    ran_clear(&ran);
    free(house_write_file(t->h, "az/tenant", t->h->sim->tenant_id));
    registration(t, &ran, dir, "grant M-SP"); /* too early */
    assert_int_equal(ran.code, 1);
    ran_clear(&ran);
    registration(t, &ran, dir, "");
    assert_int_equal(ran.code, 2);
    ran_clear(&ran);

    free(house_write_file(t->h, "az/refuse", "")); /* the audience: nothing is left behind */
    registration(t, &ran, dir, "door");
    assert_int_equal(ran.code, 1);
    if (!strstr(ran.err, "/cordon in the source's entra entry"))
        fail_msg("door: %s%s", ran.out, ran.err);
    ran_clear(&ran);
    (void)snprintf(path, sizeof path, "%s/door", az);
    assert_int_equal(access(path, F_OK), -1);
    (void)snprintf(path, sizeof path, "%s/refuse", az);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/az.log", az);
    assert_int_equal(unlink(path), 0);

    for (int twice = 0; twice < 2; twice++) {
        registration(t, &ran, dir, "door");
        if (ran.code != 0)
            fail_msg("door: %s%s", ran.out, ran.err);
        assert_non_null(
            strstr(ran.out, "entra: {audience: [\"" API "\", \"D-APP\"], roles: [" ROLE "]}"));
        ran_clear(&ran);
    }
    {
        AUTO(json_freep) struct json *patch = read_json(az, "patch.json");
        const struct json *role = json_first(json_get(patch, "appRoles"));

        assert_int_equal(json_count(json_get(patch, "appRoles")), 1);
        assert_string_equal(json_get_string(role, "value"), ROLE);
        assert_int_equal(json_count(json_get(role, "allowedMemberTypes")), 1);
        assert_string_equal(json_string(json_first(json_get(role, "allowedMemberTypes"))),
                            "Application");
    }
    registration(t, &ran, dir, "grant M-SP");
    assert_int_equal(ran.code, 0);
    ran_clear(&ran);
    {
        AUTO(json_freep) struct json *grant = read_json(az, "grant.json");

        assert_string_equal(json_get_string(grant, "principalId"), "M-SP");
        assert_string_equal(json_get_string(grant, "resourceId"), "D-SP");
        assert_string_equal(json_get_string(grant, "appRoleId"), "R-ID");
    }
    registration(t, &ran, dir, "client cordon"); /* whose secret may isolate */
    assert_int_equal(ran.code, 1);
    assert_non_null(strstr(ran.err, "called cordon already"));
    ran_clear(&ran);
    (void)snprintf(path, sizeof path, "%s/cordon.secret", az);
    assert_int_equal(access(path, F_OK), -1);
    registration(t, &ran, dir, "client a-flow");
    if (ran.code != 0)
        fail_msg("client: %s%s", ran.out, ran.err);
    assert_non_null(strstr(ran.out, "Client ID F-APP"));
    assert_null(strstr(ran.out, "s3cret"));
    ran_clear(&ran);
    {
        AUTO(json_freep) struct json *grant = read_json(az, "grant.json");
        char *secret = read_file(az, "a-flow.secret");
        struct stat st;

        assert_string_equal(json_get_string(grant, "principalId"), "F-SP");
        assert_string_equal(secret, "s3cret\n");
        (void)snprintf(path, sizeof path, "%s/a-flow.secret", az);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        free(secret);
    }
    log = read_file(az, "az.log");
    assert_non_null(strstr(log, "rest --method PATCH "));
    assert_null(strstr(strstr(log, "rest --method PATCH ") + 1, "rest --method PATCH "));
    free(log);
    (void)snprintf(path, sizeof path, "%s/own", az); /* nothing was done to it */
    assert_int_equal(access(path, F_OK), 0);
    free(dir);
}

static void test_connect__a_flow_gets_every_fields_value(void **state)
{
    static const struct {
        const char *source, *has[8];
    } rows[] = {
        {"flow",
         {"| URI | `" PUBLIC "/hooks/flow` |", "| Audience | `" API "` |",
          "| Asynchronous pattern | Off |", "| Credential type | `Secret` |",
          "@{triggerBody()?['id']}", "role='" ROLE "'", "sh app-registration.sh client"}},
        {"header",
         {"| URI | `" PUBLIC "/hooks/header` |", "| Value | `Bearer ` and then the token"}},
        {"key", {"`X-Api-Key` : the token that", "| Authentication | `None` |"}},
        {"basic", {"| Username | `relay` |", "| Authentication | `Basic` |"}},
    };
    struct stage *t = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *dir = connect_into(t, "power-automate", rows[i].source);
        char *text = read_file(dir, "flow.md");
        struct ran ran;

        for (size_t j = 0; rows[i].has[j]; j++)
            if (!strstr(text, rows[i].has[j]))
                fail_msg("%s lacks '%s':\n%s", rows[i].source, rows[i].has[j], text);
        if (strcmp(rows[i].source, "flow") == 0) {
            char want[200];

            (void)snprintf(want, sizeof want, "| Client ID | `%s` |", t->h->sim->client_id);
            assert_non_null(strstr(text, want));
            (void)snprintf(want, sizeof want, "| Tenant | `%s` |", t->h->sim->tenant_id);
            assert_non_null(strstr(text, want));
        }
        connect_to(t, &ran, "power-automate", rows[i].source, NULL);
        assert_int_equal(ran.code, 0);
        assert_string_equal(ran.out, text);
        ran_clear(&ran);
        free(text);
        free(dir);
    }
}

/* ---- the Function -------------------------------------------------------------------------------------- */

static bool there_is_node(void)
{
    static const char *const argv[] = {"/bin/sh", "-c", "node --version", NULL};
    struct ran ran;
    bool there;

    program_run(&ran, NULL, NULL, argv);
    there = ran.code == 0;
    ran_clear(&ran);
    return there;
}

/* Each attempt the front saw: its status, and (with a secret) that it was signed for its own time. */
static void assert_attempts(const struct json *out, const char *secret, const int *statuses)
{
    const char *id = NULL, *time = NULL;
    size_t n = 0;

    JSON_EACH (attempt, json_get(out, "attempts")) {
        const char *body = json_get_string(attempt, "body");
        int64_t status = 0;

        assert_true(json_int64(json_get(attempt, "status"), &status));
        assert_int_equal(status, statuses[n]);
        assert_non_null(json_get_string(attempt, "id"));
        assert_non_null(json_get_string(attempt, "time"));
        assert_non_null(body);
        if (id)
            assert_string_equal(json_get_string(attempt, "id"), id);
        if (time) /* Retry-After: 1 lies between the two */
            assert_string_not_equal(json_get_string(attempt, "time"), time);
        id = json_get_string(attempt, "id");
        time = json_get_string(attempt, "time");
        if (secret) {
            char signature[3][200], want[240];

            house_sign(secret, id, strtoll(time, NULL, 10), body, strlen(body), signature);
            (void)snprintf(want, sizeof want, "webhook-signature: %s",
                           json_get_string(attempt, "signature"));
            assert_string_equal(want, signature[2]);
        }
        n++;
    }
    assert_int_equal(statuses[n], 0);
}

static int64_t status_of(const struct json *out)
{
    int64_t status = 0;

    (void)json_int64(json_path(out, "answer", "status", NULL), &status);
    return status;
}

/* Runs items through the relay of a source; one parsed line per item. */
static void run_relay(struct stage *t, const char *source, const char *secrets, const char *items,
                      struct json **ret, size_t count)
{
    char *dir = connect_into(t, "azure-function", source), cmd[PATH_MAX], cordon[400],
         own[PATH_MAX];
    char secret[200], *line, *save = NULL;
    const char *env[] = {cordon, secret, "DEFENDER_EVENT_HUB=alerts", NULL};
    struct ran ran;
    size_t n = 0;

    assert_non_null(realpath("tests/e2e/relay.mjs", own));
    free(house_write_file(t->h, "items.json", items));
    (void)snprintf(cordon, sizeof cordon, "CORDON=%s/hooks/%s", t->h->hooks, source);
    (void)snprintf(secret, sizeof secret, "SECRETS=%s", secrets);
    (void)snprintf(cmd, sizeof cmd, "exec node '%.2000s' <'%.300s/items.json'", own, t->dir);
    program_run(&ran, dir, env, (const char *[]){"/bin/sh", "-c", cmd, NULL});
    if (ran.code != 0)
        fail_msg("relay.mjs: exit %d\n%s%s", ran.code, ran.out, ran.err);
    for (line = strtok_r(ran.out, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        assert_true(n < count);
        assert_int_equal(json_parse(line, strlen(line), &ret[n++], NULL), ERR_OK);
    }
    assert_int_equal(n, count);
    ran_clear(&ran);
    program_run(&ran, NULL, NULL, (const char *[]){"/bin/rm", "-rf", dir, NULL});
    ran_clear(&ran);
    free(dir);
}

/* Node 20 has had its last mend in April 2026, Linux in a Consumption plan gets no newer one than 22 and ends in 2028; and
 * `func` publishes the folder as it is, with the package that the relay stands on or without it. */
static void test_connect__a_new_function_app_is_one_that_azure_keeps(void **state)
{
    struct stage *t = *state;
    char *dir = connect_into(t, "azure-function", "relay"), *text = read_file(dir, "README.md");
    const char *version = strstr(text, "--runtime node --runtime-version "),
               *npm = strstr(text, "\nnpm install");

    assert_non_null(version);
    assert_true(strtol(version + strlen("--runtime node --runtime-version "), NULL, 10) >= 22);
    assert_non_null(strstr(text, " --flexconsumption-location "));
    assert_null(strstr(text, "--consumption-plan-location"));
    assert_non_null(npm);
    assert_non_null(strstr(npm, "\nfunc azure functionapp publish "));
    free(text);
    free(dir);
}

static void test_connect__the_relay_signs_each_attempt_and_tries_again(void **state)
{
    static const char items[] =
        "[{\"do\":\"relay\",\"refuse\":1,"
        "\"body\":\"{\\\"alertId\\\":\\\"da1_-1\\\",\\\"machineId\\\":\\\"" MACHINE "\\\"}\"},"
        /* the trigger's own shape; the same alert */
        "{\"do\":\"relay\",\"body\":\"{\\\"id\\\":\\\"da1_-1\\\",\\\"machineId\\\":\\\"" MACHINE
        "\\\"}\"},"
        "{\"do\":\"relay\",\"body\":\"{\\\"id\\\":5}\"},{\"do\":\"relay\",\"body\":\"no JSON\"},"
        "{\"do\":\"relay\",\"body\":\"{\\\"id\\\":\\\"da9_-1\\\"}\",\"secrets\":\"whsec_" K1 "\"},"
        "{\"do\":\"stream\",\"refuse\":1,\"messages\":["
        "{\"records\":[{\"category\":\"AdvancedHunting-AlertInfo\",\"properties\":{\"AlertId\":"
        "\"da2_-1\",\"Severity\":\"High\",\"ServiceSource\":\"Microsoft Defender for Endpoint\"}},"
        "{\"category\":\"AdvancedHunting-AlertInfo\",\"properties\":{\"AlertId\":\"fa3\","
        "\"ServiceSource\":\"Microsoft Defender for Office 365\"}},"
        "{\"category\":\"AdvancedHunting-AlertEvidence\",\"properties\":{\"AlertId\":\"da2_-1\"}}]},"
        "{},null]},"
        "{\"do\":\"stream\",\"secrets\":\"whsec_" K1
        "\",\"messages\":[{\"records\":[{\"category\":\"AdvancedHunting-AlertInfo\",\"properties\":{"
        "\"AlertId\":\"da9_-1\",\"ServiceSource\":\"Microsoft Defender for Endpoint\"}}]}]},"
        /* a header cannot carry the one id, and cordon takes neither */
        "{\"do\":\"relay\",\"body\":\"{\\\"alertId\\\":\\\"da\u2603\\\"}\"},"
        "{\"do\":\"relay\",\"body\":\"{\\\"alertId\\\":\\\"da 1\\\"}\"},"
        /* a source that is not there yet, or a proxy that does not know where it is */
        "{\"do\":\"stream\",\"messages\":[{\"records\":[{\"category\":\"AdvancedHunting-AlertInfo\","
        "\"properties\":{\"AlertId\":\"da1_-1\",\"ServiceSource\":\"Microsoft Defender for "
        "Endpoint\"}}]}]},"
        "{\"do\":\"stream\",\"refuse\":1,\"refusal\":404,\"messages\":[{\"records\":[{\"category\":"
        "\"AdvancedHunting-AlertInfo\",\"properties\":{\"AlertId\":\"da8_-1\",\"ServiceSource\":"
        "\"Microsoft Defender for Endpoint\"}}]}]}]";
    enum { ITEMS = 11 };
    struct stage *t = *state;
    struct json *out[ITEMS] = {NULL};
    AUTO(json_freep) struct json *cases = NULL;
    const char *body;

    if (!there_is_node()) {
        print_message("there is no node on this machine\n");
        skip();
    }
    house_cordon_start(t->h);
    plant(t->h, "da1_-1");
    plant(t->h, "da2_-1");
    run_relay(t, "relay", t->h->secret, items, out, ITEMS);

    assert_attempts(out[0], t->h->secret, (int[]){503, 202, 0});
    assert_int_equal(status_of(out[0]), 202);
    body = json_get_string(json_get(out[0], "answer"), "body");
    assert_non_null(body);
    assert_non_null(strstr(body, "\"accepted\""));
    assert_attempts(out[1], t->h->secret, (int[]){200, 0}); /* a duplicate: the id is the alert's */
    assert_int_equal(status_of(out[1]), 200);
    assert_attempts(out[2], NULL, (int[]){0});
    assert_int_equal(status_of(out[2]), 400);
    assert_attempts(out[3], NULL, (int[]){0});
    assert_int_equal(status_of(out[3]), 400);
    assert_attempts(out[4], NULL, (int[]){401, 0}); /* no retry would cure that */
    assert_int_equal(status_of(out[4]), 401);
    assert_attempts(out[5], t->h->secret, (int[]){503, 202, 0});
    assert_null(json_get(out[5], "error"));
    assert_attempts(out[6], NULL, (int[]){401, 0});
    assert_string_equal(json_get_string(out[6], "error"), "not pushed: da9_-1");
    for (size_t i = 7; i < 9; i++) {
        assert_attempts(out[i], NULL, (int[]){0});
        assert_int_equal(status_of(out[i]), 400);
    }
    assert_attempts(out[9], t->h->secret,
                    (int[]){200, 0}); /* pushed by the flow, with its machine */
    assert_attempts(out[10], NULL, (int[]){404, 0});
    assert_string_equal(json_get_string(out[10], "error"), "not pushed: da8_-1");

    house_wait_quiet(t->h, SOON);
    cases = house_get(t->h, "/api/cases");
    assert_int_equal(json_count(json_get(cases, "cases")), 2);
    house_log_lacks(t->h, t->h->secret + 6);
    house_log_lacks(t->h, "other_body");
    for (size_t i = 0; i < ITEMS; i++)
        json_free(out[i]);
}

static void test_connect__the_relay_signs_with_its_own_key_or_with_two(void **state)
{
    static const char item[] = "[{\"do\":\"relay\",\"body\":\"{\\\"id\\\":\\\"da1_-1\\\"}\"}]";
    struct stage *t = *state;
    struct json *out = NULL;
    char two[200];

    if (!there_is_node()) {
        print_message("there is no node on this machine\n");
        skip();
    }
    house_cordon_start(t->h);
    plant(t->h, "da1_-1");
    run_relay(t, "own", t->private_key, item, &out, 1);
    assert_attempts(out, NULL, (int[]){202, 0});
    json_free(out);
    out = NULL;
    (void)snprintf(two, sizeof two, "whsec_" K1 " %s", t->h->secret); /* a rotation */
    run_relay(t, "relay", two, item, &out, 1);
    assert_int_equal(status_of(out), 200); /* the same alert */
    json_free(out);
}

/* ---- what cannot be done -------------------------------------------------------------------------------- */

static void test_connect__says_what_is_missing(void **state)
{
    static const struct {
        const char *target, *source, *out, *says;
        int code;
    } rows[] = {
        {"logic-app", "relay", "x", "logic-app needs an entry of `verify` with entra alone", 1},
        {"azure-function", "flow", "x",
         "azure-function needs an entry of `verify` with standard_webhooks alone", 1},
        {"curl", "both", NULL, "with standard_webhooks, hmac, token, basic, entra or none alone",
         1},
        {"power-automate", "url", NULL, "its token stands in the query of the URL", 1},
        {"curl", "own", NULL, "there are no `secret_files`", 1},
        {"curl", "over", NULL, "none of its `secret_files` is good at this time", 1},
        {"curl", NULL, NULL, "several sources fit (relay, own, github, ", 1},
        {"logic-app", "flw", "x", "did you mean flow?", 1},
        {"azure-function", "relay", NULL, "is 4 files: name a folder for them with --out", 2},
        {"logic-ap", NULL, NULL, "did you mean logic-app?", 2},
    };
    struct stage *t = *state;
    struct ran ran;
    char *dir;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        connect_to(t, &ran, rows[i].target, rows[i].source, rows[i].out);
        if (ran.code != rows[i].code || !strstr(ran.err, rows[i].says) || *ran.out)
            fail_msg("%s %s: exit %d\n%s%s", rows[i].target, rows[i].source, ran.code, ran.out,
                     ran.err);
        ran_clear(&ran);
    }
    dir = connect_into(t, "logic-app", "flow");  /* what is there already is left alone */
    connect_to(t, &ran, "logic-app", NULL, dir); /* and the source is the only one that fits */
    assert_int_equal(ran.code, 1);
    assert_non_null(strstr(ran.err, "README.md is there already, and is left alone"));
    ran_clear(&ran);
    free(dir);

    house_edit(t->h, "public_url: " PUBLIC "\n", "");
    connect_to(t, &ran, "logic-app", "flow", "x");
    assert_int_equal(ran.code, 1);
    assert_non_null(strstr(ran.err, "public_url is missing"));
    ran_clear(&ran);
    house_edit(t->h, "admin:\n", "public_url: http://127.0.0.1:8080\nadmin:\n");
    connect_to(t, &ran, "azure-function", "relay", "x");
    assert_int_equal(ran.code, 1);
    assert_non_null(strstr(ran.err, "expected https://"));
    ran_clear(&ran);
    house_edit(t->h, "public_url: http://127.0.0.1:8080\n", "public_url: 5\n");
    connect_to(t, &ran, "azure-function", "relay", "x");
    assert_int_equal(ran.code, 1);
    assert_non_null(strstr(ran.err, "cordon.yaml:"));
    ran_clear(&ran);
    assert_int_equal(access("x", F_OK), -1);
}

/* It wrote a script without a secret, or ended by an assertion. */
static void test_connect__writes_nothing_where_a_secret_cannot_be_read(void **state)
{
    static const char *const rows[][2] = {
        {"curl", "github"}, {"curl", "header"}, {"power-automate", "header"}, {"curl", "basic"}};
    struct stage *t = *state;
    char gone[PATH_MAX];

    (void)snprintf(gone, sizeof gone, "%s/text", t->dir);
    assert_int_equal(unlink(gone), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ran ran;

        connect_to(t, &ran, rows[i][0], rows[i][1], NULL);
        if (ran.code != 1 || *ran.out || !strstr(ran.err, "cannot read ") ||
            !strstr(ran.err, "its `verify` cannot be read; see `cordon check`"))
            fail_msg("%s %s: exit %d\n%s%s", rows[i][0], rows[i][1], ran.code, ran.out, ran.err);
        ran_clear(&ran);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_connect__##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_curl_script_of_every_scheme_is_let_in),
        TEST(curl_goes_to_stdout_and_to_a_socket),
        TEST(send_is_let_in_by_the_same_sources),
        TEST(the_logic_app_is_filled_in),
        TEST(a_sender_may_wait_for_the_outcome),
        TEST(the_registration_asks_for_one_role_and_grants_it),
        TEST(a_flow_gets_every_fields_value),
        TEST(a_new_function_app_is_one_that_azure_keeps),
        TEST(the_relay_signs_each_attempt_and_tries_again),
        TEST(the_relay_signs_with_its_own_key_or_with_two),
        TEST(says_what_is_missing),
        TEST(writes_nothing_where_a_secret_cannot_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
