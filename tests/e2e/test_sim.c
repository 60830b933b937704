/* test_sim.c - the simulator against the reference: what it says must be what Defender and Entra say.
 *
 * One simulator for the whole program, reset before each test; requests go over plain sockets
 * (kit/fetch.h). Sections are those of defender-api.md, which tests/sim/README.md names.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "auto.h"
#include "buf.h"
#include "clock.h"
#include "json.h"
#include "kit/fetch.h"
#include "kit/sim.h"

#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define OTHER   "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"
#define ISOLATE "/api/machines/" MACHINE "/isolate"
#define RELEASE "/api/machines/" MACHINE "/unisolate"
#define FULL    "{\"Comment\":\"c\",\"IsolationType\":\"Full\"}"
#define COMMENT "{\"Comment\":\"c\"}"
#define WAIT_MS 20000

static struct sim *sim;
static char *token;

/* ---- asking ------------------------------------------------------------------------------------ */

struct answer {
    struct fetched f;
    struct json *doc; /* NULL: the body is no JSON */
};

static void answer_clear(struct answer *a)
{
    fetched_clear(&a->f);
    json_free(a->doc);
    *a = (struct answer){0};
}

/* What comes of a request below sim->api_url, with the token unless bearer says another ("" none). */
static struct answer ask_as(const char *bearer, const char *method, const char *path,
                            const char *body)
{
    struct answer a = {0};
    char url[20000], authorization[8192];
    const char *headers[] = {"Content-Type: application/json", authorization, NULL};

    snprintf(url, sizeof url, "%s%s", sim->api_url, path);
    snprintf(authorization, sizeof authorization, "Authorization: Bearer %s", bearer);
    if (!*bearer)
        headers[1] = NULL;
    (void)fetch(&a.f, method, url, headers, body, body ? strlen(body) : 0, WAIT_MS);
    (void)json_parse(a.f.body, a.f.body_len, &a.doc, NULL); /* not every answer is JSON */
    return a;
}

static struct answer ask(const char *method, const char *path, const char *body)
{
    return ask_as(token, method, path, body);
}

static const char *text(const struct answer *a, const char *name)
{
    return json_get_string(a->doc, name);
}

static const char *error_code(const struct answer *a)
{
    const char *code = json_string(json_path(a->doc, "error", "code", NULL));

    return code ? code : "";
}

static void expect(const char *method, const char *path, const char *body, int status,
                   const char *code)
{
    AUTO(answer_clear) struct answer a = ask(method, path, body);

    if (a.f.status != status || strcmp(error_code(&a), code) != 0)
        fail_msg("%s %s %s: %d %s; expected %d %s", method, path, body ? body : "", a.f.status,
                 a.f.body, status, code);
}

/* The ids of a list, joined with blanks. */
static char *ids(const char *path)
{
    AUTO(answer_clear) struct answer a = ask("GET", path, NULL);
    struct buf b = BUF_INIT(1 << 20);

    if (a.f.status != 200)
        fail_msg("GET %s: %d %s", path, a.f.status, a.f.body);
    JSON_EACH (v, json_get(a.doc, "value"))
        buf_addf(&b, "%s%s", b.len ? " " : "", json_get_string(v, "id"));
    return buf_take(&b);
}

static void expect_ids(const char *path, const char *expected)
{
    AUTO(auto_free) char *got = ids(path);

    if (strcmp(got, expected) != 0)
        fail_msg("GET %s: [%s]; expected [%s]", path, got, expected);
}

static int64_t number(const struct json *v, const char *name)
{
    int64_t n = -1;

    assert_true(json_int64(json_get(v, name), &n));
    return n;
}

/* Waits (by the simulator's clock, which is turned) until an action has a status. */
static void expect_status(const char *action_id, const char *status)
{
    AUTO(answer_clear) struct answer a = {0};
    char path[128];

    snprintf(path, sizeof path, "/api/machineactions/%s", action_id);
    a = ask("GET", path, NULL);
    assert_int_equal(a.f.status, 200);
    assert_string_equal(text(&a, "status"), status);
}

static void advance(int64_t ms)
{
    sim_tellf(sim, "/clock", "{\"advance_ms\":%lld}", (long long)ms);
}

/* Posts and returns the new action's id (heap). */
static char *act(const char *path, const char *body)
{
    AUTO(answer_clear) struct answer a = ask("POST", path, body);

    if (a.f.status != 201)
        fail_msg("POST %s: %d %s", path, a.f.status, a.f.body);
    return strdup(text(&a, "id"));
}

static int setup(void **state)
{
    (void)state;
    sim = sim_start(&(struct sim_options){.args = (const char *const[]){"--seed", "7", NULL}});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_stop(sim);
    return 0;
}

/* A machine, an alert of it, a token; slow actions, so that only the turned clock moves them. */
static int fresh(void **state)
{
    (void)state;
    sim_tell(sim, "/reset", "{}");
    sim_tell(sim, "/config",
             "{\"actions\":{\"in_progress_after_ms\":60000,\"done_after_ms\":120000}}");
    sim_tell(sim, "/machines",
             "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114.corp.example\"}");
    sim_tell(sim, "/alerts", "{\"id\":\"da1_-2\",\"incidentId\":9007199254740993}");
    token = sim_token(sim);
    return 0;
}

static int stale(void **state)
{
    (void)state;
    free(token);
    token = NULL;
    return 0;
}

/* ---- Entra (sections 1.2, 1.7) ------------------------------------------------------------------- */

static struct answer ask_token(const char *path, const char *form)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
    struct answer a = {0};
    char url[512];

    snprintf(url, sizeof url, "%s%s", sim->login_url, path);
    (void)fetch(&a.f, "POST", url, headers, form, strlen(form), WAIT_MS);
    (void)json_parse(a.f.body, a.f.body_len, &a.doc, NULL);
    return a;
}

#define TENANT "/0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50"
#define V2     TENANT "/oauth2/v2.0/token"
#define V1     TENANT "/oauth2/token"
#define ID     "client_id=5d1f6c2e-8f3b-4a7d-9c11-2e4b6a8c0d13"
#define SECRET "&client_secret=sIm~8Q.a_b%2Bc%2Fd%3De%25f%26g"
#define GRANT  "&grant_type=client_credentials"
#define MDE    "https%3A%2F%2Fapi.securitycenter.microsoft.com"
#define SCOPE  "&scope=" MDE "%2F.default"

static void test_sim__refuses_a_token_request_as_entra_does(void **state)
{
    static const struct {
        const char *what, *path, *form;
        int status;
        const char *error;
        int64_t code;
    } rows[] = {
        {"wrong secret", V2, ID "&client_secret=x" GRANT SCOPE, 401, "invalid_client", 7000215},
        {"secret not encoded", V2, ID "&client_secret=sIm~8Q.a_b+c/d=e%25f%26g" GRANT SCOPE, 401,
         "invalid_client", 7000215},
        {"no secret", V2, ID GRANT SCOPE, 401, "invalid_client", 7000218},
        {"unknown application", V2, "client_id=x" SECRET GRANT SCOPE, 400, "unauthorized_client",
         700016},
        {"unknown tenant", "/contoso/oauth2/v2.0/token", ID SECRET GRANT SCOPE, 400,
         "invalid_request", 90002},
        {"scope without /.default", V2, ID SECRET GRANT "&scope=" MDE, 400, "invalid_scope", 70011},
        {"two scopes", V2, ID SECRET GRANT "&scope=a%2F.default+b%2F.default", 400, "invalid_scope",
         70011},
        {"unknown resource", V2, ID SECRET GRANT "&scope=https%3A%2F%2Fx.example%2F.default", 400,
         "invalid_resource", 500011},
        {"resource in v2", V2, ID SECRET GRANT SCOPE "&resource=" MDE, 400, "invalid_request",
         901002},
        {"other grant", V2, ID SECRET SCOPE "&grant_type=password", 400, "unsupported_grant_type",
         70003},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(answer_clear) struct answer a = ask_token(rows[i].path, rows[i].form);
        const char *description = text(&a, "error_description");
        int64_t code = 0;

        if (a.f.status != rows[i].status || !text(&a, "error") ||
            strcmp(text(&a, "error"), rows[i].error) != 0 ||
            !json_int64(json_first(json_get(a.doc, "error_codes")), &code) || code != rows[i].code)
            fail_msg("%s: %d %s", rows[i].what, a.f.status, a.f.body);
        assert_non_null(strstr(description, "\r\nCorrelation ID: "));
        assert_non_null(text(&a, "trace_id"));
        assert_non_null(text(&a, "timestamp"));
        assert_non_null(strstr(text(&a, "error_uri"), "/error?code="));
    }
}

static void test_sim__gives_tokens_in_both_shapes(void **state)
{
    AUTO(answer_clear) struct answer v2 = ask_token(V2, ID SECRET GRANT SCOPE);
    AUTO(answer_clear) struct answer v1 = ask_token(V1, ID SECRET GRANT "&resource=" MDE);
    AUTO(answer_clear) struct answer basic = {0};
    static const char *const headers[] = {
        "Content-Type: application/x-www-form-urlencoded",
        /* 5d1f…0d13:sIm~8Q.a_b%2Bc%2Fd%3De%25f%26g */
        "Authorization: Basic NWQxZjZjMmUtOGYzYi00YTdkLTljMTEtMmU0YjZhOGMwZDEzOnNJbX44US5hX2IlMkJj"
        "JTJGZCUzRGUlMjVmJTI2Zw==",
        NULL};
    char url[512];

    (void)state;
    assert_int_equal(v2.f.status, 200);
    assert_int_equal(number(v2.doc, "expires_in"), 3599);
    assert_null(json_get(v2.doc, "expires_on"));
    assert_int_equal(v1.f.status, 200);
    assert_string_equal(text(&v1, "expires_in"), "3599"); /* v1: strings */
    assert_non_null(text(&v1, "expires_on"));
    assert_string_equal(text(&v1, "resource"), "https://api.securitycenter.microsoft.com");
    snprintf(url, sizeof url, "%s" V2, sim->login_url);
    (void)fetch(&basic.f, "POST", url, headers, "grant_type=client_credentials" SCOPE,
                strlen("grant_type=client_credentials" SCOPE), WAIT_MS);
    assert_int_equal(basic.f.status, 200);

    sim_tell(sim, "/config", "{\"token\":{\"numbers_as_text\":true,\"lifetime_s\":1799}}");
    answer_clear(&v2);
    v2 = ask_token(V2, ID SECRET GRANT SCOPE);
    assert_string_equal(text(&v2, "expires_in"), "1799");
    sim_tell(sim, "/config", "{\"token\":{\"error\":90033}}");
    answer_clear(&v2);
    v2 = ask_token(V2, ID SECRET GRANT SCOPE);
    assert_int_equal(v2.f.status, 503);
    assert_string_equal(text(&v2, "error"), "temporarily_unavailable");
}

static void test_sim__never_writes_a_secret_into_the_journal(void **state)
{
    AUTO(json_freep) struct json *calls = NULL;

    (void)state;
    calls = sim_calls(sim, "POST", SIM_TOKEN, 0);
    assert_int_equal(json_count(json_get(calls, "calls")), 1); /* fresh() asked once */
    JSON_EACH (c, json_get(calls, "calls")) {
        assert_null(strstr(json_get_string(c, "body"), "8Q.a_b"));
        assert_non_null(strstr(json_get_string(c, "body"), "client_secret=***"));
    }
}

static void test_sim__takes_only_good_tokens(void **state)
{
    AUTO(answer_clear) struct answer xdr = {0}, a = {0};
    AUTO(auto_free) char *callers = sim_mint(sim, "{\"aud\":\"api://cordon\"}");
    char foreign[8192];

    (void)state;
    a = ask_as("", "GET", "/api/alerts", NULL);
    assert_int_equal(a.f.status, 401);
    assert_string_equal(error_code(&a), "Unauthorized");
    answer_clear(&a);
    a = ask_as(callers, "GET", "/api/alerts", NULL); /* good signature, another audience */
    assert_int_equal(a.f.status, 401);
    answer_clear(&a);
    snprintf(foreign, sizeof foreign, "%s", token);
    foreign[strlen(foreign) - 10] ^= 1;
    a = ask_as(foreign, "GET", "/api/alerts", NULL);
    assert_int_equal(a.f.status, 401);
    answer_clear(&a);

    /* an XDR token gives 403 on MDE paths: section 1.2 */
    xdr =
        ask_token(V2, ID SECRET GRANT "&scope=https%3A%2F%2Fapi.security.microsoft.com%2F.default");
    a = ask_as(text(&xdr, "access_token"), "GET", "/api/alerts", NULL);
    assert_int_equal(a.f.status, 403);
    answer_clear(&a);

    expect("GET", "/api/alerts/da1_-2", NULL, 200, "");
    sim_tell(sim, "/expire-tokens", "{}");
    expect("GET", "/api/alerts/da1_-2", NULL, 401, "Unauthorized");
    free(token);
    token = sim_token(sim);
    expect("GET", "/api/alerts/da1_-2", NULL, 200, "");
    advance(3600 * 1000);
    expect("GET", "/api/alerts/da1_-2", NULL, 401, "Unauthorized");
}

static void test_sim__enforces_roles(void **state)
{
    static const struct {
        const char *method, *path, *body, *role;
        int status;
    } rows[] = {
        {"GET", "/api/alerts", NULL, "Alert.Read.All", 200},
        {"GET", "/api/alerts/da1_-2", NULL, "Alert.ReadWrite.All", 200},
        {"PATCH", "/api/alerts/da1_-2", "{\"status\":\"InProgress\"}", "Alert.ReadWrite.All", 200},
        {"GET", "/api/alerts/da1_-2/machine", NULL, "Machine.Read.All", 200},
        {"GET", "/api/machines", NULL, "Machine.Read.All", 200},
        {"GET", "/api/machineactions", NULL, "Machine.ReadWrite.All", 200},
        {"POST", ISOLATE, FULL, "Machine.Isolate", 201},
        {"POST", RELEASE, COMMENT, "Machine.Isolate", 201},
        {"POST", "/api/machines/" MACHINE "/runAntiVirusScan",
         "{\"Comment\":\"c\",\"ScanType\":\"Quick\"}", "Machine.Scan", 201},
        {"POST", "/api/machines/" MACHINE "/tags", "{\"Value\":\"t\",\"Action\":\"Add\"}",
         "Machine.ReadWrite.All", 200},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(answer_clear) struct answer a = {0};
        char all[400];

        sim_tellf(sim, "/clients", "{\"client_id\":\"%s\",\"roles\":[\"Other.Role\"]}",
                  sim->client_id);
        free(token);
        token = sim_token(sim);
        a = ask(rows[i].method, rows[i].path, rows[i].body);
        if (a.f.status != 403 || strcmp(error_code(&a), "Forbidden") != 0)
            fail_msg("%s: %d %s", rows[i].path, a.f.status, a.f.body);
        snprintf(all, sizeof all, "%s", json_string(json_path(a.doc, "error", "message", NULL)));
        assert_non_null(strstr(all, "Missing application roles. API required roles: "));
        assert_non_null(strstr(all, rows[i].role));
        assert_non_null(strstr(all, "application roles: Other.Role."));

        sim_tellf(sim, "/clients", "{\"client_id\":\"%s\",\"roles\":[\"%s\"]}", sim->client_id,
                  rows[i].role);
        answer_clear(&a);
        a = ask(rows[i].method, rows[i].path, rows[i].body); /* the old token: trap 37 */
        assert_int_equal(a.f.status, 403);
        free(token);
        token = sim_token(sim);
        answer_clear(&a);
        a = ask(rows[i].method, rows[i].path, rows[i].body);
        if (a.f.status != rows[i].status)
            fail_msg("%s as %s: %d %s", rows[i].path, rows[i].role, a.f.status, a.f.body);
    }
    sim_tell(sim, "/config", "{\"token\":{\"no_roles\":true}}"); /* no claim at all: section 1.2 */
    free(token);
    token = sim_token(sim);
    expect("GET", "/api/alerts", NULL, 403, "Forbidden");
}

/* ---- a client with a certificate (section 1.3) ------------------------------------------------------ */

struct identity {
    EVP_PKEY *key;
    char pem[4096];
    char sha256[64], sha1[64]; /* of the certificate, base64url */
};

static void base64url(struct buf *out, const void *bytes, size_t len)
{
    unsigned char text[4096];
    int n = EVP_EncodeBlock(text, bytes, (int)len);

    for (int i = 0; i < n && text[i] != '='; i++)
        buf_addc(out, text[i] == '+' ? '-' : text[i] == '/' ? '_' : (char)text[i]);
}

static struct identity make_identity(void)
{
    struct identity id = {.key = EVP_RSA_gen(2048)};
    X509 *x = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    struct buf sha256 = BUF_INIT(sizeof id.sha256), sha1 = BUF_INIT(sizeof id.sha1);

    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, id.key);
    assert_true(X509_sign(x, id.key, EVP_sha256()) > 0 && PEM_write_bio_X509(bio, x));
    assert_true(BIO_read(bio, id.pem, sizeof id.pem - 1) > 0);
    assert_int_equal(X509_digest(x, EVP_sha256(), digest, &len), 1);
    base64url(&sha256, digest, len);
    assert_int_equal(X509_digest(x, EVP_sha1(), digest, &len), 1);
    base64url(&sha1, digest, len);
    snprintf(id.sha256, sizeof id.sha256, "%s", buf_text(&sha256));
    snprintf(id.sha1, sizeof id.sha1, "%s", buf_text(&sha1));
    buf_clear(&sha256);
    buf_clear(&sha1);
    BIO_free(bio);
    X509_free(x);
    return id;
}

/* A token request's form with an assertion; heap. */
static char *assertion_form(const struct identity *id, const char *header, const char *payload,
                            bool pss)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(16384);
    struct buf form = BUF_INIT(16384);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    unsigned char signature[256];
    size_t len = sizeof signature;

    base64url(&text, header, strlen(header));
    buf_addc(&text, '.');
    base64url(&text, payload, strlen(payload));
    assert_int_equal(EVP_DigestSignInit(ctx, &pctx, EVP_sha256(), NULL, id->key), 1);
    if (pss) {
        EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST);
    }
    assert_int_equal(EVP_DigestSign(ctx, signature, &len, (unsigned char *)text.data, text.len), 1);
    EVP_MD_CTX_free(ctx);
    buf_adds(&form, ID GRANT SCOPE "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A"
                                   "client-assertion-type%3Ajwt-bearer&client_assertion=");
    buf_addf(&form, "%s.", buf_text(&text));
    base64url(&form, signature, len);
    return buf_take(&form);
}

static void test_sim__takes_a_clients_certificate(void **state)
{
    static const struct {
        const char *what;
        bool pss, old_thumbprint;
        const char *audience_tail;
        int64_t exp_in;
        int status;
        int64_t code;
    } rows[] = {
        {"PS256", true, false, "/oauth2/v2.0/token", 300, 200, 0},
        {"RS256, x5t", false, true, "/v2.0", 300, 200, 0},
        {"used twice", false, true, "/v2.0", 300, 401, 50012}, /* the jti of the row before */
        {"x5t with PS256", true, true, "/v2.0", 300, 401, 700027},
        {"expired", true, false, "/v2.0", -600, 401, 700024},
        {"another audience", true, false, "/x", 300, 401, 50012},
    };
    struct identity id = make_identity();
    AUTO(buf_clear) struct buf client = BUF_INIT(16384);
    struct json_out o = JSON_OUT(&client);

    (void)state;
    json_out_object(&o, NULL);
    json_out_string(&o, "client_id", sim->client_id);
    json_out_string(&o, "certificate", id.pem);
    json_out_object_end(&o);
    sim_tell(sim, "/clients", buf_text(&client));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(auto_free) char *form = NULL;
        AUTO(answer_clear) struct answer a = {0};
        char header[300], payload[600];
        int64_t now = clock_wall_ms(clock_system()) / 1000, code = 0;

        snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\",\"%s\":\"%s\"}",
                 rows[i].pss ? "PS256" : "RS256", rows[i].old_thumbprint ? "x5t" : "x5t#S256",
                 rows[i].old_thumbprint ? id.sha1 : id.sha256);
        snprintf(
            payload, sizeof payload,
            "{\"aud\":\"https://login.microsoftonline.com/%s%s\",\"iss\":\"%s\",\"sub\":\"%s\","
            "\"jti\":\"%d\",\"nbf\":%lld,\"exp\":%lld}",
            sim->tenant_id, rows[i].audience_tail, sim->client_id, sim->client_id,
            rows[i].old_thumbprint && !rows[i].pss ? 1 : (int)i + 10, (long long)now - 700,
            (long long)(now + rows[i].exp_in));
        form = assertion_form(&id, header, payload, rows[i].pss);
        a = ask_token(V2, form);
        (void)json_int64(json_first(json_get(a.doc, "error_codes")), &code); /* none on success */
        if (a.f.status != rows[i].status || code != rows[i].code)
            fail_msg("%s: %d %s", rows[i].what, a.f.status, a.f.body);
    }
    EVP_PKEY_free(id.key);
}

/* ---- alerts and machines (sections 2, 3) ----------------------------------------------------------- */

static void test_sim__gives_an_alert_with_every_field(void **state)
{
    static const char *const names[] = {"id",
                                        "incidentId",
                                        "investigationId",
                                        "assignedTo",
                                        "severity",
                                        "status",
                                        "classification",
                                        "determination",
                                        "investigationState",
                                        "detectionSource",
                                        "detectorId",
                                        "category",
                                        "threatFamilyName",
                                        "title",
                                        "description",
                                        "alertCreationTime",
                                        "firstEventTime",
                                        "lastEventTime",
                                        "lastUpdateTime",
                                        "resolvedTime",
                                        "machineId",
                                        "computerDnsName",
                                        "rbacGroupName",
                                        "aadTenantId",
                                        "threatName",
                                        "mitreTechniques",
                                        "relatedUser",
                                        "loggedOnUsers",
                                        "comments",
                                        "evidence",
                                        "domains"};
    AUTO(answer_clear) struct answer a = ask("GET", "/api/alerts/da1_-2", NULL);

    (void)state;
    assert_int_equal(a.f.status, 200);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!json_get(a.doc, names[i]))
            fail_msg("no %s in %s", names[i], a.f.body);
    assert_non_null(strstr(text(&a, "@odata.context"), "/api/$metadata#Alerts/$entity"));
    assert_int_equal(number(a.doc, "incidentId"), 9007199254740993);
    assert_string_equal(text(&a, "machineId"), MACHINE);
    assert_string_equal(text(&a, "computerDnsName"), "ws-114.corp.example");
    assert_int_equal(json_count(json_get(a.doc, "evidence")), 1);
}

static void test_sim__sends_what_it_is_told_to_send(void **state)
{
    AUTO(answer_clear) struct answer a = {0};

    (void)state;
    sim_tell(
        sim, "/alerts",
        "{\"id\":\"636688558380765161_2136280442\",\"severity\":\"Cataclysmic\",\"machineId\":null,"
        "\"title\":null,\"category\":\"null\",\"detectionSource\":\"WindowsDefenderAv, MTP\","
        "\"newField\":{\"a\":[1]},\"lastEventTime\":\"2024-12-31T09:32:01Z\"}");
    a = ask("GET", "/api/alerts/636688558380765161_2136280442", NULL);
    assert_string_equal(text(&a, "severity"), "Cataclysmic");
    assert_int_equal(json_type(json_get(a.doc, "machineId")), JSON_NULL);
    assert_int_equal(json_type(json_get(a.doc, "computerDnsName")), JSON_NULL);
    assert_string_equal(text(&a, "category"), "null");
    assert_string_equal(text(&a, "lastEventTime"), "2024-12-31T09:32:01Z");
    assert_int_equal(json_count(json_path(a.doc, "newField", "a", NULL)), 1);
    expect("GET", "/api/alerts/636688558380765161_2136280442/machine", NULL, 404,
           "ResourceNotFound");

    sim_tell(sim, "/machines",
             "{\"id\":\"00112233445566778899aabbccddeeff\",\"linux\":true,"
             "\"computerDnsName\":null,\"mergedIntoMachineId\":\"" MACHINE "\"}");
    answer_clear(&a);
    a = ask("GET", "/api/machines/00112233445566778899AABBCCDDEEFF", NULL);
    assert_int_equal(json_type(json_get(a.doc, "osBuild")), JSON_NULL);
    assert_int_equal(json_type(json_get(a.doc, "computerDnsName")), JSON_NULL);
    assert_string_equal(text(&a, "mergedIntoMachineId"), MACHINE);
}

static void test_sim__hides_an_alert_that_is_too_new(void **state)
{
    AUTO(answer_clear) struct answer a = {0};

    (void)state;
    sim_tell(sim, "/alerts",
             "{\"id\":\"da9_9\",\"sim\":{\"hidden_reads\":2,\"evidence_after_reads\":3,"
             "\"then\":{\"severity\":\"Low\"},\"then_after_reads\":3}}");
    expect_ids("/api/alerts", "da1_-2");
    expect("GET", "/api/alerts/da9_9", NULL, 404, "ResourceNotFound");
    expect("GET", "/api/alerts/da9_9", NULL, 404, "ResourceNotFound");
    expect_ids("/api/alerts", "da1_-2 da9_9");
    a = ask("GET", "/api/alerts/da9_9", NULL);
    assert_int_equal(a.f.status, 200);
    assert_string_equal(text(&a, "severity"), "High");
    assert_int_equal(json_count(json_get(a.doc, "evidence")), 0);
    answer_clear(&a);
    a = ask("GET", "/api/alerts/da9_9", NULL);
    assert_string_equal(text(&a, "severity"), "Low");
    assert_int_equal(json_count(json_get(a.doc, "evidence")), 1);
}

static void test_sim__shows_a_hidden_alert_to_lists_by_id_and_in_time(void **state)
{
    static const char by_id[] = "/api/alerts?$filter=id+in+('da9_9')&$expand=evidence";
    AUTO(answer_clear) struct answer a = {0};

    (void)state;
    sim_tell(sim, "/alerts",
             "{\"id\":\"da9_9\",\"sim\":{\"hidden_reads\":1,\"evidence_after_reads\":2}}");
    sim_tell(sim, "/alerts", "{\"id\":\"da8_8\",\"sim\":{\"hidden_ms\":5000}}");
    expect_ids(by_id, "");
    a = ask("GET", by_id, NULL);
    assert_int_equal(json_count(json_get(json_first(json_get(a.doc, "value")), "evidence")), 0);
    answer_clear(&a);
    a = ask("GET", by_id, NULL);
    assert_int_equal(json_count(json_get(json_first(json_get(a.doc, "value")), "evidence")), 1);
    expect_ids("/api/alerts", "da1_-2 da9_9");
    expect("GET", "/api/alerts/da8_8", NULL, 404, "ResourceNotFound");
    advance(5000);
    expect("GET", "/api/alerts/da8_8", NULL, 200, "");
}

static void test_sim__takes_paths_in_any_case_and_machines_by_name(void **state)
{
    (void)state;
    expect("GET", "/API/V1.0/Alerts/da1_-2", NULL, 200, "");
    expect("GET", "/api/machines/WS-114.corp.example", NULL, 200, "");
    expect("GET", "/api/machines/nobody.corp.example", NULL, 404, "ResourceNotFound");
    expect("POST", "/api/machines/ws-114.corp.example/isolate", FULL, 404, "ResourceNotFound");
    expect("GET", "/api/alerts/da1_%2D2", NULL, 200, "");
    expect("GET", "/api/alerts/DA1_-2", NULL, 404, "ResourceNotFound");
    expect("GET", "/api/nothing", NULL, 404, "NotFound");
    expect("DELETE", "/api/alerts", NULL, 405, "MethodNotAllowed");
}

static void test_sim__writes_timestamps_of_every_length(void **state)
{
    unsigned seen = 0;
    AUTO(answer_clear) struct answer a = {0};

    (void)state;
    sim_tell(sim, "/generate", "{\"count\":300}");
    a = ask("GET", "/api/alerts", NULL);
    JSON_EACH (v, json_get(a.doc, "value")) {
        const char *time = json_get_string(v, "alertCreationTime"), *dot = strchr(time, '.');
        size_t digits = dot ? strspn(dot + 1, "0123456789") : 0;

        assert_in_range(digits, 0, 7);
        assert_int_equal(time[strlen(time) - 1], 'Z');
        if (digits)
            assert_int_not_equal(dot[digits], '0'); /* trailing zeros are cut: trap 15 */
        seen |= 1u << digits;
    }
    assert_int_equal(seen, 0xff);
}

static void test_sim__changes_an_alert(void **state)
{
    AUTO(answer_clear) struct answer a = {0};

    (void)state;
    expect("PATCH", "/api/alerts/da1_-2", "{\"Status\":\"Resolved\"}", 400, "InvalidRequestBody");
    expect("PATCH", "/api/alerts/da0_0", "{\"status\":\"Resolved\"}", 404, "ResourceNotFound");
    a = ask("PATCH", "/api/alerts/da1_-2",
            "{\"status\":\"Resolved\",\"comment\":\"one\",\"determination\":\"Malware\"}");
    assert_int_equal(a.f.status, 200);
    answer_clear(&a);
    a = ask("PATCH", "/api/alerts/da1_-2", "{\"comment\":\"two\"}");
    assert_string_equal(text(&a, "status"), "Resolved");
    assert_string_equal(text(&a, "determination"), "Malware");
    assert_int_equal(json_type(json_get(a.doc, "resolvedTime")), JSON_STRING);
    assert_int_equal(json_count(json_get(a.doc, "comments")), 2);
    assert_string_equal(json_get_string(json_first(json_get(a.doc, "comments")), "comment"), "one");
}

/* ---- lists (section 2.4) --------------------------------------------------------------------------- */

static void five_alerts(void)
{
    sim_tell(sim, "/reset", "{}");
    sim_tell(sim, "/machines", "[{\"id\":\"" MACHINE "\"},{\"id\":\"" OTHER "\"}]");
    sim_tell(
        sim, "/alerts",
        "[{\"id\":\"a\",\"severity\":\"Low\",\"alertCreationTime\":\"2025-01-01T00:00:00Z\","
        "\"incidentId\":1,\"category\":\"O'Brien\"},"
        "{\"id\":\"b\",\"severity\":\"High\",\"alertCreationTime\":\"2025-01-01T00:00:00.5Z\","
        "\"incidentId\":2,\"machineId\":\"" OTHER "\"},"
        "{\"id\":\"c\",\"severity\":\"High\",\"alertCreationTime\":\"2025-01-01T00:00:00.45Z\","
        "\"incidentId\":3,\"assignedTo\":\"soc@corp.example\"},"
        "{\"id\":\"d\",\"severity\":\"Medium\",\"alertCreationTime\":\"2025-01-02T00:00:00Z\","
        "\"incidentId\":4,\"status\":\"Resolved\"},"
        "{\"id\":\"e\",\"severity\":\"UnSpecified\",\"alertCreationTime\":null,\"incidentId\":null}]");
    free(token);
    token = sim_token(sim);
}

static void test_sim__filters_as_odata_says(void **state)
{
    static const struct {
        const char *query, *ids;
    } rows[] = {
        {"$filter=severity+eq+'High'", "b c"},
        {"$filter=severity%20eq%20'High'", "b c"},
        {"%24filter=Severity+EQ+'High'", "b c"},
        {"$filter=severity+eq+'high'", ""},
        {"$filter=alertCreationTime+ge+2025-01-01T00:00:00.5Z", "b d"}, /* by time, not by text */
        {"$filter=alertCreationTime+gt+2025-01-01T00:00:00.4500000Z", "b d"},
        {"$filter=alertCreationTime+lt+2025-01-01T00:00:00.5Z", "a c"},
        {"$filter=alertCreationTime+le+2025-01-02Z", "a b c d"},
        {"$filter=alertCreationTime+eq+null", "e"},
        {"$filter=incidentId+gt+2+AND+incidentId+le+4", "c d"},
        {"$filter=id+in+('e','b','nope','b')", "e b"},
        {"$filter=id+eq+'a'+or+id+eq+'d'", "a d"},
        {"$filter=severity+eq+'High'+and+(id+eq+'b'+or+id+eq+'d')", "b"},
        {"$filter=severity+eq+'Low'+or+severity+eq+'High'+and+incidentId+eq+3", "a c"},
        {"$filter=not+(severity+eq+'High')+and+status+ne+'Resolved'", "a e"},
        {"$filter=category+eq+'O''Brien'", "a"},
        {"$filter=startswith(assignedTo,'soc@')", "c"},
        {"$filter=severity+in+('Low','Medium')&$orderby=id+desc", "d a"},
        {"$orderby=alertCreationTime", "e a c b d"},
        {"$orderby=severity+asc,incidentId+desc", "c b a d e"},
        {"$top=2", "a b"},
        {"$skip=3", "d e"},
        {"$skip=1&$top=2", "b c"},
        {"$top=0", ""},
        {"other=1", "a b c d e"},
    };

    (void)state;
    five_alerts();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[400];

        snprintf(path, sizeof path, "/api/alerts?%s", rows[i].query);
        expect_ids(path, rows[i].ids);
    }
    expect_ids("/api/machines/" OTHER "/alerts", "b");
}

static void test_sim__refuses_a_bad_query(void **state)
{
    static const char *const queries[] = {
        "$filter=severity+eq+High",
        "$filter=severity",
        "$filter=severity+eq+'High",
        "$filter=(severity+eq+'High'",
        "$filter=nothing+eq+'x'",
        "$filter=machineId+eq+'x'", /* section 2.4's list */
        "$filter=severity+like+'x'",
        "$filter=severity+eq+'a'+severity+eq+'b'",
        "$filter=alertCreationTime+gt+'2025-01-01T00:00:00Z'",
        "$filter=alertCreationTime+gt+yesterday",
        "$filter=incidentId+eq+'1'",
        "$filter=contains(title,'x')",
        "$filter=id+in+()",
        "$filter=severity+eq+'a'and",
        "$top=10001",
        "$top=-1",
        "$top=x",
        "$skip=x",
        "$orderby=nothing",
        "$expand=machine",
        "$select=nothing",
        "$count=yes",
        "$stop=10",
        "$filter=severity+eq+'%zz'",
    };

    (void)state;
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        char path[200];

        snprintf(path, sizeof path, "/api/alerts?%s", queries[i]);
        expect("GET", path, NULL, 400, "ODataError");
    }
    expect("GET", "/api/machines?$expand=evidence", NULL, 400, "ODataError");
}

static void test_sim__expands_counts_and_selects(void **state)
{
    AUTO(answer_clear) struct answer a = {0};
    const struct json *first;

    (void)state;
    five_alerts();
    a = ask("GET", "/api/alerts?$count=true&$top=1", NULL);
    first = json_first(json_get(a.doc, "value"));
    assert_int_equal(number(a.doc, "@odata.count"), 5);
    assert_non_null(json_get(first, "evidence"));
    assert_int_equal(json_count(json_get(first, "evidence")), 0); /* trap 22 */
    answer_clear(&a);
    a = ask("GET", "/api/alerts?$expand=evidence&$top=1", NULL);
    first = json_first(json_get(a.doc, "value"));
    assert_int_equal(json_count(json_get(first, "evidence")), 1);
    assert_null(json_get(a.doc, "@odata.count"));
    answer_clear(&a);
    a = ask("GET", "/api/alerts?$select=id,severity&$top=1", NULL);
    assert_int_equal(json_count(json_first(json_get(a.doc, "value"))), 2);
    answer_clear(&a);
    a = ask("GET", "/api/alerts/$count?$filter=severity+eq+'High'", NULL);
    assert_string_equal(a.f.body, "2");
}

static void test_sim__pages_through_a_list(void **state)
{
    AUTO(buf_clear) struct buf seen = BUF_INIT(4096);
    char path[400] = "/api/alerts?$filter=severity+ne+'Low'&$count=true", host[200];
    unsigned pages = 0;

    (void)state;
    five_alerts();
    sim_tell(sim, "/config", "{\"lists\":{\"page_max\":2}}");
    while (*path) {
        AUTO(answer_clear) struct answer a = ask("GET", path, NULL);
        const char *next = text(&a, "@odata.nextLink");

        assert_int_equal(a.f.status, 200);
        JSON_EACH (v, json_get(a.doc, "value"))
            buf_addf(&seen, "%s ", json_get_string(v, "id"));
        snprintf(path, sizeof path, "%s", next ? next + strlen(sim->api_url) : "");
        pages++;
    }
    assert_string_equal(buf_text(&seen), "b c d e ");
    assert_int_equal(pages, 2);

    sim_tell(sim, "/config",
             "{\"lists\":{\"next_link_host\":\"https://api-us3.securitycenter.microsoft.com\"}}");
    {
        AUTO(answer_clear) struct answer a = ask("GET", "/api/alerts", NULL);

        snprintf(host, sizeof host, "%s", text(&a, "@odata.nextLink"));
        assert_memory_equal(host, "https://api-us3.securitycenter.microsoft.com/api/alerts?$skip=2",
                            61);
    }
}

static void test_sim__may_have_no_machines(void **state)
{
    (void)state;
    sim_tell(sim, "/reset", "{}");
    free(token);
    token = sim_token(sim);
    expect_ids("/api/machines", "");
    sim_tell(sim, "/config", "{\"lists\":{\"empty_machines_404\":true}}");
    expect("GET", "/api/machines", NULL, 404, "NotFound"); /* trap 38 */
}

/* ---- actions (section 4) ----------------------------------------------------------------------------- */

static void test_sim__isolates_in_its_own_time(void **state)
{
    static const char *const names[] = {"id",
                                        "type",
                                        "title",
                                        "requestor",
                                        "requestorComment",
                                        "status",
                                        "machineId",
                                        "computerDnsName",
                                        "creationDateTimeUtc",
                                        "lastUpdateDateTimeUtc",
                                        "cancellationRequestor",
                                        "cancellationComment",
                                        "cancellationDateTimeUtc",
                                        "errorHResult",
                                        "scope",
                                        "externalId",
                                        "requestSource",
                                        "relatedFileInfo",
                                        "commands",
                                        "troubleshootInfo"};
    AUTO(answer_clear)
    struct answer a =
        ask("POST", ISOLATE,
            "{\"Comment\":\"why\",\"IsolationType\":\"Full\",\"ExternalId\":\"case-7\"}");
    char id[64];

    (void)state;
    assert_int_equal(a.f.status, 201);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!json_get(a.doc, names[i]))
            fail_msg("no %s in %s", names[i], a.f.body);
    assert_string_equal(text(&a, "type"), "Isolate");
    assert_string_equal(text(&a, "status"), "Pending");
    assert_string_equal(text(&a, "requestorComment"), "why");
    assert_string_equal(text(&a, "externalId"), "case-7");
    assert_string_equal(text(&a, "requestSource"), "PublicApi");
    assert_int_equal(json_type(json_get(a.doc, "scope")), JSON_NULL); /* trap 20 */
    assert_int_equal(number(a.doc, "errorHResult"), 0);
    snprintf(id, sizeof id, "%s", text(&a, "id"));
    assert_int_equal(sim_state(sim, "open_actions"), 1);
    advance(60000);
    expect_status(id, "InProgress");
    advance(60000);
    expect_status(id, "Succeeded");
    json_free(sim_wait_isolated(sim, 1, 0));
    assert_int_equal(sim_state(sim, "open_actions"), 0);

    free(act(RELEASE, COMMENT));
    advance(120000);
    {
        AUTO(json_freep) struct json *now = sim_get(sim, "/state");

        assert_int_equal(json_count(json_get(now, "isolated")), 0);
    }
}

static void test_sim__wants_the_exact_keys(void **state)
{
    static const struct {
        const char *path, *body, *code;
    } rows[] = {
        {"isolate", "{\"comment\":\"c\",\"IsolationType\":\"Full\"}", "InvalidRequestBody"},
        {"isolate", "{\"Comment\":\"c\",\"isolationType\":\"Full\"}", "InvalidRequestBody"},
        {"isolate", "{\"IsolationType\":\"Full\"}", "MissingRequiredParameter"},
        {"isolate", "{\"Comment\":\"\",\"IsolationType\":\"Full\"}", "MissingRequiredParameter"},
        {"isolate", "{\"Comment\":1,\"IsolationType\":\"Full\"}", "InvalidRequestBody"},
        {"isolate", "{\"Comment\":\"c\",\"IsolationType\":\"full\"}", "InvalidInput"},
        {"isolate", "Comment=c", "InvalidRequestBody"},
        {"isolate", "", "InvalidRequestBody"},
        {"isolate", "[]", "InvalidRequestBody"},
        {"unisolate", "{}", "MissingRequiredParameter"},
        {"runAntiVirusScan", "{\"Comment\":\"c\"}", "MissingRequiredParameter"},
        {"StopAndQuarantineFile", "{\"Comment\":\"c\"}", "MissingRequiredParameter"},
        {"tags", "{\"Value\":\"t\",\"Action\":\"Change\"}", "InvalidInput"},
    };
    static const char *const plain[] = {"Content-Type: text/plain", NULL};
    AUTO(answer_clear) struct answer a = {0};
    char url[300];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[200];

        snprintf(path, sizeof path, "/api/machines/" MACHINE "/%s", rows[i].path);
        expect("POST", path, rows[i].body, 400, rows[i].code);
    }
    assert_int_equal(sim_state(sim, "actions"), 0);
    expect("POST", "/api/machines/" OTHER "/isolate", FULL, 404, "ResourceNotFound");
    snprintf(url, sizeof url, "%s" ISOLATE, sim->api_url);
    (void)fetch(&a.f, "POST", url, plain, FULL, strlen(FULL), WAIT_MS);
    assert_int_equal(a.f.status, 401); /* the door comes first */
}

static void test_sim__knows_three_ways_of_a_duplicate(void **state)
{
    AUTO(auto_free) char *first = act(ISOLATE, FULL), *second = NULL, *release = NULL;
    AUTO(answer_clear) struct answer a = {0};

    (void)state;
    expect("POST", ISOLATE, FULL, 400, "ActiveRequestAlreadyExists");
    assert_int_equal(sim_state(sim, "actions"), 1);
    assert_int_equal(sim_state(sim, "isolate_posts"), 2);

    sim_tell(sim, "/config", "{\"actions\":{\"duplicate\":\"existing201\"}}");
    a = ask("POST", ISOLATE, FULL);
    assert_int_equal(a.f.status, 201);
    assert_string_equal(text(&a, "id"), first);
    assert_int_equal(sim_state(sim, "actions"), 1);
    assert_int_equal(sim_state(sim, "max_active_isolates"), 1);

    /* "a second, new action that stays Pending and runs later: re-isolates after release" */
    sim_tell(sim, "/config", "{\"actions\":{\"duplicate\":\"second201\"}}");
    second = act(ISOLATE, FULL);
    assert_string_not_equal(second, first);
    assert_int_equal(sim_state(sim, "max_active_isolates"), 2);
    advance(120000);
    expect_status(first, "Succeeded");
    expect_status(second, "Pending");
    release = act(RELEASE, COMMENT);
    advance(120000);
    expect_status(release, "Succeeded");
    expect_status(second, "Pending");
    advance(120000);
    expect_status(second, "Succeeded");
    json_free(sim_wait_isolated(sim, 1, 0));
}

static void test_sim__leaves_an_offline_machine_pending(void **state)
{
    AUTO(auto_free) char *id = NULL, *again = NULL;
    AUTO(answer_clear) struct answer a = {0};
    char path[128];

    (void)state;
    sim_tell(sim, "/machines", "{\"id\":\"" MACHINE "\",\"sim\":{\"offline\":true}}");
    id = act(ISOLATE, FULL);
    advance(3 * DAY_MS - 60000);
    free(token);
    token = sim_token(sim);
    expect_status(id, "Pending");
    advance(60000);
    expect_status(id, "TimeOut");
    snprintf(path, sizeof path, "/api/machineactions/%s", id);
    a = ask("GET", path, NULL);
    assert_int_equal(number(a.doc, "errorHResult"), -2145844840); /* section 4.2 */

    again = act(ISOLATE, FULL);
    advance(120000);
    expect_status(again, "Pending");
    sim_tell(sim, "/machines", "{\"id\":\"" MACHINE "\",\"sim\":{\"offline\":false}}");
    advance(119000);
    expect_status(again, "InProgress");
    advance(1000);
    expect_status(again, "Succeeded");
}

static void test_sim__ends_actions_as_told(void **state)
{
    static const struct {
        const char *outcome;
        int64_t hresult;
    } rows[] = {{"Failed", -2147467259}, {"TimeOut", -2145844840}, {"Cancelled", -2147467260}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(auto_free) char *id = NULL;
        AUTO(answer_clear) struct answer a = {0};
        char path[128];

        sim_tellf(sim, "/machines", "{\"id\":\"" MACHINE "\",\"sim\":{\"outcome\":\"%s\"}}",
                  rows[i].outcome);
        id = act(ISOLATE, FULL);
        advance(120000);
        expect_status(id, rows[i].outcome);
        snprintf(path, sizeof path, "/api/machineactions/%s", id);
        a = ask("GET", path, NULL);
        assert_int_equal(number(a.doc, "errorHResult"), rows[i].hresult);
    }
    sim_tell(sim, "/machines", "{\"id\":\"" MACHINE "\",\"sim\":{\"outcome\":\"Pending\"}}");
    {
        AUTO(auto_free) char *id = act(ISOLATE, FULL);

        advance(10 * DAY_MS);
        free(token);
        token = sim_token(sim);
        expect_status(id, "Pending");
        sim_tellf(sim, "/actions", "{\"id\":\"%s\",\"status\":\"Succeeded\"}", id);
        expect_status(id, "Succeeded");
    }
    assert_int_equal(sim_state(sim, "open_actions"), 0);
}

static void test_sim__refuses_what_a_machine_cannot_do(void **state)
{
    (void)state;
    sim_tell(sim, "/machines", "{\"id\":\"" MACHINE "\",\"osPlatform\":\"Ubuntu\"}");
    expect("POST", ISOLATE, "{\"Comment\":\"c\",\"IsolationType\":\"Selective\"}", 400,
           "OsPlatformNotSupported");
    sim_tell(sim, "/machines", "{\"id\":\"" MACHINE "\",\"onboardingStatus\":\"CanBeOnboarded\"}");
    expect("POST", ISOLATE, FULL, 400, "BadRequest");
    sim_tell(sim, "/machines",
             "{\"id\":\"" MACHINE "\",\"onboardingStatus\":\"onboarded\","
             "\"sim\":{\"refuse\":{\"status\":403,\"code\":\"DisallowedOperation\"}}}");
    expect("POST", ISOLATE, FULL, 403, "DisallowedOperation");
    sim_tell(sim, "/machines", "{\"id\":\"" MACHINE "\",\"sim\":{\"refuse\":null}}");
    expect("POST", ISOLATE, FULL, 201, "");
}

static void test_sim__cancels_an_open_action(void **state)
{
    AUTO(auto_free) char *id = act(ISOLATE, FULL);
    AUTO(answer_clear) struct answer a = {0};
    char path[128];

    (void)state;
    snprintf(path, sizeof path, "/api/machineactions/%s/cancel", id);
    expect("POST", path, "{}", 400, "MissingRequiredParameter");
    a = ask("POST", path, "{\"Comment\":\"no\"}");
    assert_int_equal(a.f.status, 200);
    assert_string_equal(text(&a, "status"), "Cancelled");
    assert_string_equal(text(&a, "cancellationComment"), "no");
    assert_int_equal(number(a.doc, "errorHResult"), -2147467260);
    expect("POST", path, "{\"Comment\":\"no\"}", 400, "BadRequest");
    expect("POST", "/api/machineactions/no-such/cancel", "{\"Comment\":\"no\"}", 404,
           "ResourceNotFound");
}

static void test_sim__lists_the_actions_of_a_machine(void **state)
{
    AUTO(auto_free) char *mine = NULL, *release = NULL, *filtered = NULL;

    (void)state;
    sim_tell(sim, "/machines", "{\"id\":\"" OTHER "\"}");
    /* what a person did in the portal */
    sim_tell(sim, "/actions",
             "{\"id\":\"b2d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e5f\",\"machineId\":\"" OTHER "\","
             "\"type\":\"Isolate\",\"status\":\"Succeeded\"}");
    mine = act(ISOLATE, FULL);
    advance(120000);
    release = act(RELEASE, COMMENT);
    free(act("/api/machines/" MACHINE "/runAntiVirusScan",
             "{\"Comment\":\"c\",\"ScanType\":\"Quick\"}"));
    filtered =
        ids("/api/machineactions?$filter=machineId+eq+'" MACHINE "'+and+(type+eq+'Isolate'+or+"
            "type+eq+'Unisolate')&$orderby=creationDateTimeUtc+desc&$top=1"); /* section 4.5 */
    assert_string_equal(filtered, release);
    expect_ids("/api/machineactions?$filter=machineId+eq+'" OTHER "'",
               "b2d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e5f");
    json_free(sim_wait_isolated(sim, 2, 0)); /* the planted one and ours */
}

static void test_sim__may_fail_a_release_of_what_is_not_isolated(void **state)
{
    AUTO(auto_free) char *id = NULL;

    (void)state;
    sim_tell(sim, "/config", "{\"actions\":{\"unisolate_idle\":\"Failed\"}}");
    id = act(RELEASE, COMMENT);
    advance(120000);
    expect_status(id, "Failed");
}

/* ---- limits (section 7.3) --------------------------------------------------------------------------- */

static void test_sim__throttles_per_application_and_api(void **state)
{
    AUTO(answer_clear) struct answer a = {0};
    char header[32];
    long first;

    (void)state;
    sim_tell(sim, "/config", "{\"limits\":{\"per_minute\":3,\"per_hour\":5}}");
    for (int i = 0; i < 3; i++)
        expect("GET", "/api/alerts/da1_-2", NULL, 200, "");
    a = ask("GET", "/api/alerts/da1_-2", NULL);
    assert_int_equal(a.f.status, 429);
    assert_string_equal(error_code(&a), "429"); /* trap 34 */
    assert_string_equal(json_string(json_path(a.doc, "error", "target", NULL)), sim->tenant_id);
    assert_non_null(strstr(json_string(json_path(a.doc, "error", "message", NULL)),
                           "maximum allowed 3 per 00:01:00 for the key Destination+TenantID+AppID. "
                           "You can send requests again in "));
    assert_non_null(fetched_header(&a.f, "Retry-After", header, sizeof header));
    first = strtol(header, NULL, 10);
    assert_in_range(first, 1, 60);
    expect("GET", "/api/machines", NULL, 200, ""); /* another API counts apart */
    advance((first - 1) * 1000);
    expect("GET", "/api/alerts/da1_-2", NULL, 429, "429"); /* too early: the block starts anew */
    advance(2000);
    expect("GET", "/api/alerts/da1_-2", NULL, 429, "429");
    advance(61000);
    expect("GET", "/api/alerts/da1_-2", NULL, 200, "");
    expect("GET", "/api/alerts/da1_-2", NULL, 200, "");
    answer_clear(&a);
    sim_tell(sim, "/config", "{\"limits\":{\"retry_after\":false,\"long_message\":false}}");
    a = ask("GET", "/api/alerts/da1_-2", NULL); /* the sixth of the hour */
    assert_int_equal(a.f.status, 429);
    assert_null(fetched_header(&a.f, "Retry-After", header, sizeof header));
    assert_non_null(
        strstr(json_string(json_path(a.doc, "error", "message", NULL)), "per 01:00:00"));
    assert_null(strstr(json_string(json_path(a.doc, "error", "message", NULL)), "again"));
}

/* Some APIs have limits of their own, and are counted apart. */
static void test_sim__throttles_links_to_packages_and_new_alerts_earlier(void **state)
{
    (void)state;
    sim_tell(sim, "/config", "{\"limits\":{\"per_minute\":100,\"per_hour\":1500}}");
    for (int i = 0; i < 2; i++)
        expect("GET", "/api/machineactions/x/GetPackageUri", NULL, 404, "ResourceNotFound");
    expect("GET", "/api/machineactions/x/getPackageUri", NULL, 429, "429");
    for (int i = 0; i < 15; i++)
        expect("POST", "/api/alerts/CreateAlertByReference", "{}", 400, "BadRequest");
    expect("POST", "/api/alerts/CreateAlertByReference", "{}", 429, "429");
    expect("GET", "/api/machineactions", NULL, 200, "");
    expect("GET", "/api/alerts", NULL, 200, "");
}

/* ---- faults -------------------------------------------------------------------------------------------- */

static void fault(const char *spec)
{
    sim_tell(sim, "/faults", spec);
}

static void test_sim__can_lose_an_answer(void **state)
{
    AUTO(answer_clear) struct answer a = {0}, b = {0};

    (void)state;
    fault("{\"method\":\"POST\",\"path\":\"" SIM_ISOLATE "\",\"kind\":\"lost\"}");
    a = ask("POST", ISOLATE, FULL);
    assert_int_equal(a.f.status, 0);
    assert_int_equal(sim_state(sim, "actions"), 1); /* it was carried out */
    fault("{\"path\":\"" SIM_UNISOLATE "\",\"kind\":\"reset\"}");
    b = ask("POST", RELEASE, COMMENT);
    assert_int_equal(b.f.status, 0);
    assert_int_equal(sim_state(sim, "actions"), 1); /* it was not */
    {
        AUTO(json_freep) struct json *calls = sim_calls(sim, "POST", SIM_ISOLATE, 0);
        const struct json *call = json_first(json_get(calls, "calls"));

        assert_int_equal(number(call, "status"), 0);
        assert_string_equal(json_get_string(call, "fault"), "lost");
        assert_non_null(json_get_string(call, "action_id"));
        assert_string_equal(json_get_string(call, "body"), FULL);
    }
}

static void test_sim__misbehaves_on_demand(void **state)
{
    static const struct {
        const char *spec;
        int status;
        const char *code;
        bool complete;
    } rows[] = {
        {"\"kind\":\"truncated\"", 200, "", false},
        {"\"kind\":\"wrong_length\"", 200, "", false},
        {"\"kind\":\"close\"", 0, "", false},
        {"\"kind\":\"malformed\"", 200, "", true},
        {"\"kind\":\"huge\",\"bytes\":1000000", 200, "", true},
        {"\"kind\":\"drip\",\"every_ms\":1", 200, "", true},
        {"\"kind\":\"html\"", 502, "", true},
        {"\"kind\":\"unauthorized\"", 401, "Unauthorized", true},
        {"\"kind\":\"licence\"", 401, "Unauthorized", true},
        {"\"kind\":\"forbidden\"", 403, "Forbidden", true},
        {"\"kind\":\"disabled\"", 403, "DisabledFeature", true},
        {"\"kind\":\"disallowed\"", 403, "DisallowedOperation", true},
        {"\"kind\":\"throttle\",\"retry_after_s\":7", 429, "429", true},
        {"\"kind\":\"error\",\"status\":503", 503, "InternalServerError", true},
        {"\"kind\":\"error\",\"status\":400,\"code\":\"ClientVersionNotSupported\"", 400,
         "ClientVersionNotSupported", true},
        {"\"kind\":\"answer\",\"status\":504,\"body\":\"no\",\"headers\":{\"Retry-After\":\"3\"}",
         504, "", true},
        {"\"kind\":\"answer\",\"status\":200,\"json\":{\"error\":{\"code\":\"x\"}}", 200, "x",
         true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(answer_clear) struct answer a = {0};
        char spec[300];

        snprintf(spec, sizeof spec, "{\"path\":\"/api/alerts/*\",%s}", rows[i].spec);
        fault(spec);
        a = ask("GET", "/api/alerts/da1_-2", NULL);
        if (a.f.status != rows[i].status || strcmp(error_code(&a), rows[i].code) != 0 ||
            a.f.complete != rows[i].complete)
            fail_msg("%s: %d %d %.200s", rows[i].spec, a.f.status, a.f.complete, a.f.body);
        if (strstr(rows[i].spec, "malformed"))
            assert_null(a.doc);
        if (strstr(rows[i].spec, "huge"))
            assert_true(a.f.body_len > 1000000 && a.doc);
        if (strstr(rows[i].spec, "drip"))
            assert_string_equal(text(&a, "id"), "da1_-2");
        expect("GET", "/api/alerts/da1_-2", NULL, 200, ""); /* one was used up */
    }
}

static void test_sim__applies_a_fault_where_it_is_told(void **state)
{
    AUTO(json_freep) struct json *faults = NULL;

    (void)state;
    fault("[{\"path\":\"/api/alerts/*\",\"skip\":1,\"count\":2,\"kind\":\"error\"},"
          "{\"path\":\"/api/machines*\",\"query\":\"*top=3*\",\"count\":-1,\"kind\":\"html\"}]");
    expect("GET", "/api/alerts/da1_-2", NULL, 200, "");
    expect("GET", "/api/alerts/da1_-2", NULL, 500, "InternalServerError");
    expect("GET", "/api/alerts/da1_-2", NULL, 500, "InternalServerError");
    expect("GET", "/api/alerts/da1_-2", NULL, 200, "");
    expect("GET", "/api/machines", NULL, 200, "");
    expect("GET", "/api/machines?$top=3", NULL, 502, "");
    expect("GET", "/api/machines?$top=3", NULL, 502, "");
    faults = sim_get(sim, "/faults");
    assert_int_equal(number(json_first(json_get(faults, "faults")), "hits"), 2);
    sim_delete(sim, "/faults");
    expect("GET", "/api/machines?$top=3", NULL, 200, "");
}

static void test_sim__answers_after_the_delay_and_no_earlier(void **state)
{
    const struct clock *c = clock_system();
    int64_t start;

    (void)state;
    sim_tell(sim, "/config", "{\"delay_ms\":150}");
    start = clock_mono_ms(c);
    expect("GET", "/api/alerts/da1_-2", NULL, 200, "");
    assert_true(clock_mono_ms(c) - start >= 150);
    for (int exact = 0; exact < 2; exact++) {
        fault("{\"kind\":\"delay\",\"delay_ms\":100,\"path\":\"/api/*\"}");
        sim_tell(sim, "/config", exact ? "{\"delay_exact\":true}" : "{\"delay_exact\":false}");
        start = clock_mono_ms(c);
        expect("GET", "/api/alerts/da1_-2", NULL, 200, "");
        assert_true(clock_mono_ms(c) - start >= 250);
    }
    sim_tell(sim, "/config", "{\"delay_ms\":0,\"delay_exact\":false}");
}

static void test_sim__hangs_until_the_peer_gives_up(void **state)
{
    struct fetched f;
    char url[200];

    (void)state;
    fault("{\"path\":\"/api/alerts/*\",\"kind\":\"hang\"}");
    snprintf(url, sizeof url, "%s/api/alerts/da1_-2", sim->api_url);
    assert_false(fetch(&f, "GET", url, NULL, NULL, 0, 50));
    fetched_clear(&f);
    expect("GET", "/api/alerts/da1_-2", NULL, 200, "");
}

/* ---- journal, generator, control ------------------------------------------------------------------- */

static void test_sim__keeps_a_journal_on_disk(void **state)
{
    AUTO(json_freep) struct json *calls = NULL;
    FILE *f = fopen(sim->journal_file, "re");
    size_t lines = 0;
    char *line = NULL;
    size_t room = 0;

    (void)state;
    assert_non_null(f);
    expect("GET", "/api/alerts/da1_-2", NULL, 200, "");
    expect("GET", "/api/nothing?x=1", NULL, 404, "NotFound");
    calls = sim_calls(sim, NULL, NULL, 0);
    while (getline(&line, &room, f) > 0) {
        AUTO(json_freep) struct json *doc = NULL;

        assert_int_equal(json_parse(line, strlen(line), &doc, NULL), ERR_OK);
        lines++;
    }
    free(line);
    fclose(f);
    assert_int_equal(lines, 3); /* the token and these two; /sim is not noted */
    assert_int_equal(json_count(json_get(calls, "calls")), 3);
    assert_int_equal(sim_count_calls(sim, "GET", "/api/*"), 2);
}

static void test_sim__waits_for_calls(void **state)
{
    AUTO(json_freep) struct json *one = NULL, *none = NULL;

    (void)state;
    sim_tell(sim, "/config", "{\"delay_ms\":50}");
    expect("GET", "/api/alerts/da1_-2", NULL, 200, "");
    one = sim_wait_calls(sim, "GET", SIM_ALERT, 1, 5000);
    assert_int_equal(json_count(json_get(one, "calls")), 1);
    none = sim_get(sim, "/journal/wait?count=2&path=/api/alerts/*&timeout_ms=30");
    assert_false(json_is_true(json_get(none, "done")));
    assert_int_equal(number(none, "count"), 1);
}

static void test_sim__generates_by_share(void **state)
{
    AUTO(json_freep) struct json *made = NULL;
    AUTO(answer_clear) struct answer a = {0};

    (void)state;
    made = sim_post(sim, "/generate",
                    "{\"count\":1000,\"machines\":100,\"severity\":{\"High\":0.1,\"Medium\":0.3,"
                    "\"Low\":0.6},\"prefix\":\"zz\",\"machine\":{\"machineTags\":[\"gen\"],"
                    "\"sim\":{\"offline\":true}},\"alert\":{\"category\":\"Malware\"}}");
    assert_int_equal(json_count(json_get(made, "alert_ids")), 1000);
    assert_int_equal(json_count(json_get(made, "machine_ids")), 100);
    a = ask("GET",
            "/api/alerts/$count?$filter=startswith(id,'zz')+and+severity+eq+'High'"
            "+and+category+eq+'Malware'",
            NULL);
    assert_string_equal(a.f.body, "100");
}

static void test_sim__refuses_misspelt_orders(void **state)
{
    static const struct {
        const char *path, *body;
    } rows[] = {
        {"/config", "{\"delay\":1}"},
        {"/config", "{\"actions\":{\"duplicate\":\"twice\"}}"},
        {"/config", "{\"smtp\":{\"starttls\":1}}"},
        {"/config", "{\"token\":{\"lifetime_s\":-1}}"},
        {"/alerts", "{\"Severity\":\"High\"}"},
        {"/alerts", "{\"sim\":{\"hidden\":1}}"},
        {"/alerts", "7"},
        {"/machines", "{\"sim\":{\"outcome\":\"Fine\"}}"},
        {"/actions", "{\"machineId\":\"nobody\",\"type\":\"Isolate\"}"},
        {"/faults", "{\"kind\":\"sad\"}"},
        {"/faults", "{\"kind\":\"lost\",\"times\":1}"},
        {"/clock", "{\"advance\":1}"},
        {"/mint", "{\"audience\":\"x\"}"},
        {"/clients", "{}"},
        {"/nothing", "{}"},
        {"/config", "{"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(answer_clear) struct answer a = {0};
        char path[64];

        snprintf(path, sizeof path, "/sim%s", rows[i].path);
        a = ask("POST", path, rows[i].body);
        if ((a.f.status != 400 && a.f.status != 404) || !text(&a, "error"))
            fail_msg("%s %s: %d %s", path, rows[i].body, a.f.status, a.f.body);
    }
}

/* ---- callers' tokens (webhook-sources.md section 1.2) ------------------------------------------------ */

static void test_sim__publishes_its_keys(void **state)
{
    AUTO(answer_clear) struct answer v1 = {0}, v2 = {0}, keys = {0};
    const struct json *key;

    (void)state;
    v1 = ask_as("", "GET", TENANT "/.well-known/openid-configuration", NULL);
    v2 = ask_as("", "GET", TENANT "/v2.0/.well-known/openid-configuration", NULL);
    assert_string_equal(text(&v1, "issuer"),
                        "https://sts.windows.net/0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50/");
    assert_string_equal(
        text(&v2, "issuer"),
        "https://login.microsoftonline.com/0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50/v2.0");
    assert_memory_equal(text(&v2, "jwks_uri"), sim->login_url, strlen(sim->login_url));
    keys = ask_as("", "GET", text(&v2, "jwks_uri") + strlen(sim->login_url), NULL);
    key = json_first(json_get(keys.doc, "keys"));
    assert_string_equal(json_get_string(key, "kty"), "RSA");
    assert_string_equal(json_get_string(key, "e"), "AQAB");
    assert_int_equal(strlen(json_get_string(key, "n")), 342); /* 2,048 bits */
    assert_non_null(json_get_string(key, "issuer"));
    sim_tell(sim, "/keys", "{\"down\":true}");
    answer_clear(&keys);
    keys = ask_as("", "GET", TENANT "/discovery/keys", NULL);
    assert_int_equal(keys.f.status, 503);
}

static void test_sim__rotates_its_keys(void **state)
{
    AUTO(json_freep) struct json *before = sim_get(sim, "/keys"), *after = NULL;

    (void)state;
    after = sim_post(sim, "/keys", "{\"rotate\":true}");
    assert_string_equal(json_get_string(after, "old"), json_get_string(before, "current"));
    expect("GET", "/api/alerts/da1_-2", NULL, 200, ""); /* signed by the old one */
    sim_tell(sim, "/keys", "{\"retire\":true}");
}

/* A token's part as JSON. */
static struct json *part_of(const char *jwt, int which)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    AUTO(buf_clear) struct buf b = BUF_INIT(1 << 16);
    struct json *doc = NULL;
    unsigned v = 0, bits = 0;

    for (; which; which--)
        jwt = strchr(jwt, '.') + 1;
    for (; *jwt && *jwt != '.'; jwt++) {
        v = v << 6 | (unsigned)(strchr(digits, *jwt) - digits);
        bits += 6;
        if (bits >= 8)
            buf_addc(&b, (char)(v >> (bits -= 8) & 255));
    }
    (void)json_parse(buf_text(&b), b.len, &doc, NULL); /* broken on purpose, maybe */
    return doc;
}

static void test_sim__mints_tokens_for_cordons_doors(void **state)
{
    AUTO(auto_free)
    char *v1 = sim_mint(sim, "{\"version\":1,\"aud\":\"api://x\",\"client\":\"c\"}");
    AUTO(auto_free)
    char *v2 =
        sim_mint(sim, "{\"roles\":[\"Alerts.Push\"],\"claims\":{\"scp\":\"x\",\"azp\":null},"
                      "\"claims_null\":[\"nbf\"],\"header\":{\"crit\":[\"x\"]},\"exp_in\":-10}");
    AUTO(auto_free)
    char *twice = sim_mint(sim, "{\"payload_text\":\"{\\\"aud\\\":1,\\\"aud\\\":2}\"}");
    AUTO(auto_free) char *none = sim_mint(sim, "{\"alg\":\"none\"}");
    AUTO(auto_free) char *four = sim_mint(sim, "{\"breaks\":[\"four_parts\"]}");
    AUTO(auto_free) char *padded = sim_mint(sim, "{\"breaks\":[\"padded\"]}");
    AUTO(json_freep) struct json *p1 = part_of(v1, 1), *p2 = part_of(v2, 1), *h2 = part_of(v2, 0);
    AUTO(json_freep) struct json *broken = part_of(twice, 1), *unsecured = part_of(none, 0);

    (void)state;
    assert_string_equal(json_get_string(p1, "appid"), "c");
    assert_string_equal(json_get_string(p1, "ver"), "1.0");
    assert_string_equal(json_get_string(p1, "iss"),
                        "https://sts.windows.net/0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50/");
    assert_string_equal(json_get_string(p2, "scp"), "x");
    assert_null(json_get(p2, "azp"));
    assert_int_equal(json_type(json_get(p2, "nbf")), JSON_NULL);
    assert_non_null(json_get(h2, "crit"));
    assert_int_equal(number(p2, "exp"), number(p2, "iat") - 10);
    assert_null(broken); /* json_parse refuses doubles */
    assert_string_equal(json_get_string(unsecured, "alg"), "none");
    assert_int_equal(none[strlen(none) - 1], '.');
    assert_non_null(strchr(strchr(strchr(four, '.') + 1, '.') + 1, '.'));
    assert_int_equal(padded[strlen(padded) - 1], '=');
    for (size_t i = 0; i < 5; i++) {
        static const char *const algs[] = {"HS256", "HS256n", "PS256", "RS384", "rs256"};
        AUTO(auto_free) char *jwt = NULL;
        char spec[64];

        snprintf(spec, sizeof spec, "{\"alg\":\"%s\"}", algs[i]);
        jwt = sim_mint(sim, spec);
        assert_true(strlen(jwt) > 100);
    }
    for (size_t i = 0; i < 4; i++) {
        static const char *const keys[] = {"old", "gone", "unknown", "small"};
        AUTO(auto_free) char *jwt = NULL;
        char spec[64];

        snprintf(spec, sizeof spec, "{\"key\":\"%s\"}", keys[i]);
        jwt = sim_mint(sim, spec);
        assert_true(strlen(jwt) > 100);
    }
}

/* ---- the process ------------------------------------------------------------------------------------- */

static void test_sim__ends_when_its_stdin_does(void **state)
{
    struct sim *other = sim_start(NULL);

    (void)state;
    close(other->stdin_fd);
    other->stdin_fd = -1;
    sim_stop(other); /* waits for it; SIGTERM to what has ended does nothing */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, stale)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_sim__refuses_a_token_request_as_entra_does),
        TEST(test_sim__gives_tokens_in_both_shapes),
        TEST(test_sim__takes_a_clients_certificate),
        TEST(test_sim__never_writes_a_secret_into_the_journal),
        TEST(test_sim__takes_only_good_tokens),
        TEST(test_sim__enforces_roles),
        TEST(test_sim__gives_an_alert_with_every_field),
        TEST(test_sim__sends_what_it_is_told_to_send),
        TEST(test_sim__hides_an_alert_that_is_too_new),
        TEST(test_sim__shows_a_hidden_alert_to_lists_by_id_and_in_time),
        TEST(test_sim__takes_paths_in_any_case_and_machines_by_name),
        TEST(test_sim__writes_timestamps_of_every_length),
        TEST(test_sim__changes_an_alert),
        TEST(test_sim__filters_as_odata_says),
        TEST(test_sim__refuses_a_bad_query),
        TEST(test_sim__expands_counts_and_selects),
        TEST(test_sim__pages_through_a_list),
        TEST(test_sim__may_have_no_machines),
        TEST(test_sim__isolates_in_its_own_time),
        TEST(test_sim__wants_the_exact_keys),
        TEST(test_sim__knows_three_ways_of_a_duplicate),
        TEST(test_sim__leaves_an_offline_machine_pending),
        TEST(test_sim__ends_actions_as_told),
        TEST(test_sim__refuses_what_a_machine_cannot_do),
        TEST(test_sim__cancels_an_open_action),
        TEST(test_sim__lists_the_actions_of_a_machine),
        TEST(test_sim__may_fail_a_release_of_what_is_not_isolated),
        TEST(test_sim__throttles_per_application_and_api),
        TEST(test_sim__throttles_links_to_packages_and_new_alerts_earlier),
        TEST(test_sim__can_lose_an_answer),
        TEST(test_sim__misbehaves_on_demand),
        TEST(test_sim__applies_a_fault_where_it_is_told),
        TEST(test_sim__answers_after_the_delay_and_no_earlier),
        TEST(test_sim__hangs_until_the_peer_gives_up),
        TEST(test_sim__keeps_a_journal_on_disk),
        TEST(test_sim__waits_for_calls),
        TEST(test_sim__generates_by_share),
        TEST(test_sim__refuses_misspelt_orders),
        TEST(test_sim__publishes_its_keys),
        TEST(test_sim__rotates_its_keys),
        TEST(test_sim__mints_tokens_for_cordons_doors),
        TEST(test_sim__ends_when_its_stdin_does),
    };

    return cmocka_run_group_tests_name("sim", tests, setup, teardown);
}
