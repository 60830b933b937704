/* test_entra.c - tokens of Entra ID at the senders' door of a running cordon: who gets in, who does not, and
 * what Defender and Entra were asked meanwhile. The rules: webhook-sources.md section 1.2. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <assert.h>
#include <inttypes.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "kit/house.h"
#include "kit/look.h"
#include "kit/raw.h"

#define SOON           20000                                  /* ms; a deadline, not a wait */
#define APP            "6f1c0de0-1111-4222-8333-944444444444" /* our own registration */
#define FLOW           "99999999-8888-4777-8666-555555555555" /* an application that may push */
#define OBJECT         "12121212-0000-4000-8000-000000000001" /* its service principal */
#define OTHER          "77777777-8888-4777-8666-555555555555"
#define FOREIGN_TENANT "0f0f0f0f-98ab-4f0a-9d5e-0b1c2d3e4f50"
#define GRAPH          "00000003-0000-0000-c000-000000000000"

/* Who may push: those with the role. */
#define BY_ROLE                                                                                    \
    "    verify:\n"                                                                                \
    "      - entra: {audience: [\"api://" APP "\"], roles: [Alerts.Push]}\n"

/* ---- requests ------------------------------------------------------------------------------------ */

/* Posts an alert with these headers; the answer's status, which f holds too. */
static int post(struct house *h, const char *const *credentials, const char *path,
                const char *alert, struct fetched *f)
{
    const char *headers[8] = {"Content-Type: application/json"};
    char url[400], body[200];
    size_t n = 1;

    for (; credentials && *credentials && n < 7; credentials++)
        headers[n++] = *credentials;
    (void)snprintf(url, sizeof url, "%s%s", h->hooks, path);
    (void)snprintf(body, sizeof body, "{\"alertId\":\"%s\"}", alert);
    (void)fetch(f, "POST", url, headers, body, strlen(body), SOON);
    return f->status;
}

/* The same with a token as flows send it. Any thread. */
static int push(struct house *h, const char *token, const char *alert, struct fetched *f)
{
    char *header = NULL;
    const char *credentials[] = {NULL, NULL};
    int status;

    if (asprintf(&header, "Authorization: Bearer %s", token) < 0)
        return -1;
    credentials[0] = header;
    status = post(h, credentials, "/hooks/relay", alert, f);
    free(header);
    return status;
}

static int push_status(struct house *h, const char *token, const char *alert)
{
    struct fetched f;
    int status = push(h, token, alert, &f);

    fetched_clear(&f);
    return status;
}

/* A token that is good for BY_ROLE but for what `more` says of it: members of POST /sim/mint. */
static char *mint(struct house *h, const char *more)
{
    char *spec = NULL, *token;

    if (asprintf(&spec, "{%s%s%s%s%s}", strstr(more, "\"aud\":") ? "" : "\"aud\":\"" APP "\"",
                 strstr(more, "\"aud\":") || strstr(more, "\"roles\":") ? "" : ",",
                 strstr(more, "\"roles\":") ? "" : "\"roles\":[\"Alerts.Push\"]", *more ? "," : "",
                 more) < 0)
        fail_msg("out of memory");
    if (strncmp(spec, "{,", 2) == 0)
        spec[1] = ' ';
    token = sim_mint(h->sim, spec);
    free(spec);
    return token;
}

/* What no bad request may leave: a case, or a call to Defender or for its token. */
static void assert_untouched(struct house *h)
{
    AUTO(json_freep) struct json *cases = house_get(h, "/api/cases");

    assert_int_equal(json_count(json_get(cases, "cases")), 0);
    assert_int_equal(house_asked_defender(h), 0);
    assert_int_equal(sim_state(h->sim, "mails"), 0);
}

/* No part of a token that proves something is in the log. */
static void assert_not_logged(struct house *h, const char *token)
{
    const char *signature = strrchr(token, '.');
    char tail[41];

    if (!signature || strlen(signature + 1) < 40)
        return;
    (void)snprintf(tail, sizeof tail, "%.40s", signature + 1);
    house_log_lacks(h, tail);
}

static void add_alert(struct house *h, const char *id)
{
    sim_tellf(h->sim, "/alerts", "{\"id\":\"%s\",\"severity\":\"Low\",\"title\":\"A title\"}", id);
}

/* ---- good ones ----------------------------------------------------------------------------------- */

static void test_entra__good_tokens_of_both_versions_push(void **state)
{
    static const struct {
        const char *label, *spec;
    } rows[] = {
        {"v2, the client id is the audience", ""},
        {"v1, the App ID URI is the audience", "\"version\":1,\"aud\":\"api://" APP "\""},
        {"v1, the client id is the audience", "\"version\":1"},
        {"expired, but within the leeway", "\"exp_in\":-270"},
        {"valid soon, within the leeway", "\"nbf_in\":300"},
        {"issued soon, within the leeway", "\"iat_in\":300"},
        {"more roles than ours", "\"roles\":[\"Other\",\"Alerts.Push\"]"},
        {"says that it is an application's", "\"claims\":{\"idtyp\":\"app\"}"},
        {"has claims that nobody here knows", "\"claims\":{\"xms_mirid\":\"/subscriptions/1\"}"},
        {"the header names embedded keys, which nobody looks at",
         "\"header\":{\"jwk\":{\"kty\":\"RSA\"},\"jku\":\"http://127.0.0.1:1/trap\"}"},
    };
    const struct house_options o = {.source = BY_ROLE};
    struct house *h = house_start(&o);
    const char *lower[] = {NULL, NULL};
    char *token, *header = NULL;
    struct fetched f;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(json_freep) struct json *answer = NULL;
        char alert[40];

        (void)snprintf(alert, sizeof alert, "da%zu_-1", i);
        add_alert(h, alert);
        token = mint(h, rows[i].spec);
        if (push(h, token, alert, &f) != 202)
            fail_msg("%s: HTTP %d: %s", rows[i].label, f.status, f.body);
        assert_int_equal(json_parse(f.body, f.body_len, &answer, NULL), ERR_OK);
        json_free(house_wait_case(h, answer, "done", SOON));
        assert_not_logged(h, token);
        free(token);
        fetched_clear(&f);
    }
    assert_int_equal(sim_count_calls(h->sim, "GET", SIM_ALERT), sizeof rows / sizeof *rows);
    assert_int_equal(sim_count_calls(h->sim, "GET", "*/openid-configuration"), 2); /* v1, v2 */
    assert_int_equal(sim_count_calls(h->sim, "GET", "*/keys"), 2);

    token = mint(h, ""); /* RFC 9110 section 11.1: the scheme's name is without case */
    assert_true(asprintf(&header, "authorization: bearer %s", token) > 0);
    lower[0] = header;
    assert_int_equal(post(h, lower, "/hooks/relay", "da0_-1", &f), 200); /* seen before */
    fetched_clear(&f);
    free(header);
    free(token);
    house_stop(h);
}

static void test_entra__any_of_the_lists_lets_in(void **state)
{
    static const struct {
        const char *label, *source, *spec;
        int status;
    } rows[] = {
        {"the client is listed", "clients: [" FLOW "]", "\"roles\":[]", 202},
        {"the object is listed", "objects: [" OBJECT "]", "\"roles\":[]", 202},
        {"one of three", "clients: [" OTHER "], objects: [" OBJECT "], roles: [X]", "\"roles\":[]",
         202},
        {"another client, v2", "clients: [" OTHER "]", "\"roles\":[]", 403},
        {"another client, v1", "clients: [" OTHER "]", "\"version\":1,\"roles\":[]", 403},
        {"the listed id in the other version's claim", "clients: [" OTHER "]",
         "\"claims\":{\"appid\":\"" OTHER "\"}", 403},
        {"another object", "objects: [" OTHER "]", "\"roles\":[]", 403},
        {"a role named like the client", "clients: [" FLOW "]",
         "\"client\":\"" OTHER "\",\"roles\":[\"" FLOW "\"]", 403},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char source[400];
        const struct house_options o = {.source = source};
        struct house *h;
        char *token;
        int status;

        (void)snprintf(source, sizeof source,
                       "    verify:\n      - entra: {audience: [" APP "], %s}\n", rows[i].source);
        h = house_start(&o);
        add_alert(h, "da1_-1");
        token = mint(h, rows[i].spec);
        status = push_status(h, token, "da1_-1");
        if (status != rows[i].status)
            fail_msg("%s: HTTP %d", rows[i].label, status);
        if (status != 202)
            assert_untouched(h);
        free(token);
        house_stop(h);
    }
}

/* ---- broken ones, as the simulator mints them ---------------------------------------------------- */

static const struct broken {
    const char *label, *spec;
    int status;
} broken[] = {
    {"algorithm none", "\"alg\":\"none\"", 401},
    {"algorithm none with a signature", "\"header\":{\"alg\":\"none\"}", 401},
    {"HS256 keyed with the public key's PEM", "\"alg\":\"HS256\"", 401},
    {"HS256 keyed with the modulus", "\"alg\":\"HS256n\"", 401},
    {"alg rs256", "\"alg\":\"rs256\"", 401},
    {"RS384", "\"alg\":\"RS384\"", 401},
    {"PS256", "\"alg\":\"PS256\"", 401},
    {"PS256 that says RS256", "\"alg\":\"PS256\",\"header\":{\"alg\":\"RS256\"}", 401},
    {"no alg", "\"header\":{\"alg\":null}", 401},
    {"alg in a list", "\"header\":{\"alg\":[\"RS256\"]}", 401},
    {"crit", "\"header\":{\"crit\":[\"exp\"],\"exp\":1}", 401},
    {"an empty crit", "\"header\":{\"crit\":[]}", 401},
    {"no kid", "\"header\":{\"kid\":null}", 401},
    {"an empty kid", "\"header\":{\"kid\":\"\"}", 401},
    {"kid is a number", "\"header\":{\"kid\":1}", 401},
    {"kid is a path", "\"header\":{\"kid\":\"../../../../dev/null\"}", 401},
    {"kid is a query", "\"header\":{\"kid\":\"x' OR '1'='1\"}", 401},
    {"another type of token", "\"header\":{\"typ\":\"logout+jwt\"}", 401},
    {"a header that is a list", "\"header_text\":\"[\\\"RS256\\\"]\"", 401},
    {"a key that nobody published", "\"key\":\"unknown\"", 401},
    {"a key of 1024 bits", "\"key\":\"small\"", 401},
    {"a key that rolled away", "\"key\":\"gone\"", 401},
    {"padded", "\"breaks\":[\"padded\"]", 401},
    {"four parts", "\"breaks\":[\"four_parts\"]", 401},
    {"no signature", "\"breaks\":[\"no_signature\"]", 401},
    {"an empty signature", "\"breaks\":[\"empty_signature\"]", 401},
    {"half a signature", "\"breaks\":[\"cut_signature\"]", 401},
    {"one bit of the signature turned", "\"breaks\":[\"bit_flip\"]", 401},
    {"standard base64", "\"breaks\":[\"standard_base64\"]", 401},
    {"stray bits", "\"breaks\":[\"stray_bits\"]", 401},
    {"foreign tenant", "\"tenant\":\"" FOREIGN_TENANT "\"", 401},
    {"foreign tenant, our issuer", "\"claims\":{\"tid\":\"" FOREIGN_TENANT "\"}", 401},
    {"no tenant", "\"claims\":{\"tid\":null}", 401},
    {"tid is a list", "\"claims\":{\"tid\":[\"x\"]}", 401},
    {"no version", "\"claims\":{\"ver\":null}", 401},
    {"version 3.0", "\"claims\":{\"ver\":\"3.0\"}", 401},
    {"version is a number", "\"claims\":{\"ver\":2.0}", 401},
    {"the issuer of v1 in v2",
     "\"claims\":{\"iss\":\"https://sts.windows.net/0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50/\"}", 401},
    {"v2's claims, said to be v1", "\"claims\":{\"ver\":\"1.0\"}", 401},
    {"v1's claims, said to be v2", "\"version\":1,\"claims\":{\"ver\":\"2.0\"}", 401},
    {"no issuer", "\"claims\":{\"iss\":null}", 401},
    {"an issuer of one's own", "\"claims\":{\"iss\":\"https://login.contoso.example/\"}", 401},
    {"expired by the leeway", "\"exp_in\":-300", 401},
    {"expired long ago", "\"iat_in\":-7200,\"nbf_in\":-7200,\"exp_in\":-3600", 401},
    {"not valid yet, beyond the leeway", "\"nbf_in\":330", 401},
    {"issued in the future", "\"iat_in\":330", 401},
    {"no exp", "\"claims\":{\"exp\":null}", 401},
    {"exp is null", "\"claims_null\":[\"exp\"]", 401},
    {"exp is a fraction", "\"claims\":{\"exp\":9999999999.5}", 401},
    {"nbf is a text", "\"claims\":{\"nbf\":\"0\"}", 401},
    {"iat is a text", "\"claims\":{\"iat\":\"0\"}", 401},
    {"iat is null", "\"claims_null\":[\"iat\"]", 401},
    {"nbf is null", "\"claims_null\":[\"nbf\"]", 401},
    {"exp is a text", "\"claims\":{\"exp\":\"9999999999\"}", 401},
    {"exp is beyond numbers", "\"claims\":{\"exp\":1e400}", 401},
    {"another audience", "\"aud\":\"api://other\"", 401},
    {"aud is a list", "\"claims\":{\"aud\":[\"" APP "\"]}", 401},
    {"no aud", "\"claims\":{\"aud\":null}", 401},
    {"an audience that begins like ours", "\"aud\":\"api://" APP "/x\"", 401},
    {"for Graph, with its nonce", "\"aud\":\"" GRAPH "\",\"header\":{\"nonce\":\"n\"}", 401},
    {"for Defender", "\"aud\":\"https://api.securitycenter.microsoft.com\"", 401},
    {"a user's token", "\"claims\":{\"scp\":\"Alerts.Push\"}", 401},
    {"a user's token with an empty scp", "\"claims\":{\"scp\":\"\"}", 401},
    {"idtyp is user", "\"claims\":{\"idtyp\":\"user\"}", 401},
    {"idtyp is a list", "\"claims\":{\"idtyp\":[\"app\"]}", 401},
    {"the subject is not the application", "\"claims\":{\"sub\":\"somebody\"}", 401},
    {"no calling application", "\"claims\":{\"azp\":null}", 401},
    {"no role", "\"roles\":[]", 403},
    {"roles are absent", "\"claims\":{\"roles\":null}", 403},
    {"another role", "\"roles\":[\"Alerts.Pull\"]", 403},
    {"the role in other letters", "\"roles\":[\"alerts.push\"]", 403},
    {"roles as a text", "\"claims\":{\"roles\":\"Alerts.Push\"}", 403},
    {"a role that holds ours", "\"roles\":[\"Alerts.Push.All\"]", 403},
    {"the role is in the user's groups", "\"roles\":[],\"claims\":{\"groups\":[\"Alerts.Push\"]}",
     403},
};

static_assert(sizeof broken / sizeof *broken >= 70, "the table has lost rows");

/* ---- broken ones, made by hand ------------------------------------------------------------------- */

static void add_base64url(struct buf *out, const void *bytes, size_t len)
{
    char *text = malloc(len / 3 * 4 + 8);

    assert_non_null(text);
    (void)EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
    text[strcspn(text, "=")] = '\0';
    for (char *c = text; *c; c++)
        *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
    buf_adds(out, text);
    free(text);
}

/* A token that the attacker's own key signed. Heap. */
static char *forge(EVP_PKEY *key, const char *header, const char *payload)
{
    struct buf token = BUF_INIT(1 << 20);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char signature[512];
    size_t len = sizeof signature;

    add_base64url(&token, header, strlen(header));
    buf_addc(&token, '.');
    add_base64url(&token, payload, strlen(payload));
    if (!ctx || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSign(ctx, signature, &len, (const unsigned char *)token.data, token.len) != 1)
        fail_msg("cannot sign");
    EVP_MD_CTX_free(ctx);
    buf_addc(&token, '.');
    add_base64url(&token, signature, len);
    return buf_take(&token);
}

/* The public half as a JWK. */
static void add_jwk(struct buf *out, EVP_PKEY *key, const char *kid)
{
    BIGNUM *n = NULL;
    unsigned char bytes[512];
    int len;

    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) != 1)
        fail_msg("no modulus");
    len = BN_bn2bin(n, bytes);
    BN_free(n);
    buf_addf(out, "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"%s\",\"e\":\"AQAB\",\"n\":\"", kid);
    add_base64url(out, bytes, (size_t)len);
    buf_adds(out, "\"}");
}

/* The payload of a token that would be good. */
static void add_payload(struct buf *out, const struct house *h, const char *more)
{
    int64_t now = time(NULL);

    buf_addf(out,
             "{\"aud\":\"" APP "\",\"iss\":\"https://login.microsoftonline.com/%s/v2.0\","
             "\"iat\":%" PRId64 ",\"nbf\":%" PRId64 ",\"exp\":%" PRId64 ",\"azp\":\"" FLOW "\","
             "\"oid\":\"" OBJECT "\",\"sub\":\"" OBJECT "\",\"roles\":[\"Alerts.Push\"],"
             "\"tid\":\"%s\",\"ver\":\"2.0\"%s}",
             h->sim->tenant_id, now, now, now + 3600, h->sim->tenant_id, more);
}

static char *current_kid(struct house *h)
{
    AUTO(json_freep) struct json *keys = sim_get(h->sim, "/keys");
    char *kid = strdup(json_get_string(keys, "current"));

    assert_non_null(kid);
    return kid;
}

/* Headers that bring their own key, in every way that RFC 7515 section 4.1 has. */
static void forged_tokens_are_refused(struct house *h)
{
    static const struct {
        const char *label, *before, *after; /* with what fills it in between */
        enum { NOTHING, OWN_JWK, OUR_URL } fill;
    } ways[] = {
        {"jwk", "\"jwk\":", "", OWN_JWK},
        {"jku", "\"jku\":\"", "/jwks-trap\"", OUR_URL},
        {"x5u", "\"x5u\":\"", "/x5u-trap\"", OUR_URL},
        {"x5c", "\"x5c\":[\"MIIB\"]", "", NOTHING},
        {"x5t", "\"x5t\":\"AAAA\"", "", NOTHING},
        {"zip", "\"zip\":\"DEF\"", "", NOTHING},
        {"b64", "\"b64\":false", "", NOTHING},
    };
    EVP_PKEY *key = EVP_RSA_gen(2048);
    char *kid = current_kid(h);
    struct buf payload = BUF_INIT(1 << 16), jwk = BUF_INIT(1 << 16);

    assert_non_null(key);
    add_payload(&payload, h, "");
    for (int own_kid = 0; own_kid < 2; own_kid++) {
        const char *name = own_kid ? "mine" : kid;

        buf_reset(&jwk);
        add_jwk(&jwk, key, name);
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            struct buf header = BUF_INIT(1 << 16);
            char *token;
            int status;

            buf_addf(&header, "{\"typ\":\"JWT\",\"alg\":\"RS256\",\"kid\":\"%s\",", name);
            buf_addf(&header, "%s%s%s}", ways[i].before,
                     ways[i].fill == OWN_JWK   ? buf_text(&jwk)
                     : ways[i].fill == OUR_URL ? h->sim->login_url
                                               : "",
                     ways[i].after);
            token = forge(key, buf_text(&header), buf_text(&payload));
            status = push_status(h, token, "da1_-1");
            if (status != 401)
                fail_msg("signed with a key of one's own, %s: HTTP %d", ways[i].label, status);
            assert_not_logged(h, token);
            free(token);
            buf_clear(&header);
        }
    }
    assert_int_equal(sim_count_calls(h->sim, NULL, "*trap*"), 0); /* nobody went to look */
    buf_clear(&payload);
    buf_clear(&jwk);
    free(kid);
    EVP_PKEY_free(key);
}

/* Signed by Entra, and still not to be believed: the exact text of a payload. */
static void odd_payloads_are_refused(struct house *h)
{
    static const char *const more[] = {
        ",\"aud\":\"" APP "\"",       /* the same twice */
        ",\"roles\":[\"Other\"]",     /* which of the two counts? */
        ",\"\\u0061ud\":\"" APP "\"", /* twice, one of them escaped */
        ",\"x\":\"\\ud800\"",         /* half a surrogate */
        ",\"x\":01",                  /* no number of JSON's */
        "} ",                         /* ends early */
    };

    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        struct buf payload = BUF_INIT(1 << 16), spec = BUF_INIT(1 << 18);
        struct json_out o = JSON_OUT(&spec);
        char *token;
        int status;

        add_payload(&payload, h, more[i]);
        json_out_object(&o, NULL);
        json_out_string(&o, "payload_text", buf_text(&payload));
        json_out_object_end(&o);
        token = sim_mint(h->sim, buf_text(&spec));
        status = push_status(h, token, "da1_-1");
        if (status != 401)
            fail_msg("payload with %s: HTTP %d", more[i], status);
        free(token);
        buf_clear(&payload);
        buf_clear(&spec);
    }
}

/* A good token in every place and manner that is not `Authorization: Bearer TOKEN`, once. */
static void odd_headers_are_refused(struct house *h)
{
    enum { LINES = 2 };
    static const struct {
        const char *label, *lines[LINES]; /* %s: a good token */
        const char *path;
    } rows[] = {
        {"nothing", {NULL}, NULL},
        {"twice", {"Authorization: Bearer %s", "Authorization: Bearer %s"}, NULL},
        {"a good one and another", {"Authorization: Bearer %s", "Authorization: Bearer x"}, NULL},
        {"Basic", {"Authorization: Basic dXNlcjpwYXNzd29yZA=="}, NULL},
        {"the token as Basic", {"Authorization: Basic %s"}, NULL},
        {"the token as DPoP", {"Authorization: DPoP %s"}, NULL},
        {"no scheme", {"Authorization: %s"}, NULL},
        {"Bearer alone", {"Authorization: Bearer"}, NULL},
        {"Bearer and a blank", {"Authorization: Bearer "}, NULL},
        {"glued to the scheme", {"Authorization: Bearer%s"}, NULL},
        {"scheme twice", {"Authorization: Bearer Bearer %s"}, NULL},
        {"quoted", {"Authorization: Bearer \"%s\""}, NULL},
        {"two in one line", {"Authorization: Bearer %s, Bearer %s"}, NULL},
        {"with a parameter", {"Authorization: Bearer %s; x=y"}, NULL},
        {"another header", {"X-Authorization: Bearer %s"}, NULL},
        {"for a proxy", {"Proxy-Authorization: Bearer %s"}, NULL},
        {"a cookie", {"Cookie: token=%s"}, NULL},
        {"in the query", {NULL}, "/hooks/relay?access_token=x"},
    };
    char *token = mint(h, "");

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *lines[LINES + 1] = {NULL};
        struct fetched f;

        for (size_t k = 0; k < LINES && rows[i].lines[k]; k++) {
            struct buf line = BUF_INIT(1 << 16);

            for (const char *c = rows[i].lines[k]; *c; c++)
                if (c[0] == '%' && c[1] == 's') {
                    buf_adds(&line, token);
                    c++;
                } else {
                    buf_addc(&line, *c);
                }
            lines[k] = buf_take(&line);
        }
        (void)post(h, (const char *const *)lines, rows[i].path ? rows[i].path : "/hooks/relay",
                   "da1_-1", &f);
        if (f.status != 401)
            fail_msg("%s: HTTP %d: %s", rows[i].label, f.status, f.body);
        fetched_clear(&f);
        for (size_t k = 0; k < LINES; k++)
            free(lines[k]);
    }
    assert_not_logged(h, token);
    free(token);
}

static void test_entra__broken_tokens_stop_at_the_door(void **state)
{
    const struct house_options o = {.source = BY_ROLE};
    struct house *h = house_start(&o);
    char *first = NULL, *token, *long_one, word[200];
    struct fetched f;

    (void)state;
    house_wait_time(h);
    add_alert(h, "da1_-1");
    for (int i = 0; i < 2; i++) /* so that there is a key that left, and one that is old */
        sim_tell(h->sim, "/keys", "{\"rotate\":true}");
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        token = mint(h, broken[i].spec);
        if (push(h, token, "da1_-1", &f) != broken[i].status)
            fail_msg("%s: HTTP %d: %s", broken[i].label, f.status, f.body);
        if (f.status == 401) { /* never says which part */
            if (!fetched_header(&f, "WWW-Authenticate", word, sizeof word) ||
                strncmp(word, "Bearer", 6) != 0)
                fail_msg("%s: WWW-Authenticate is missing", broken[i].label);
            if (!first)
                first = strdup(f.body);
            assert_string_equal(f.body, first);
        }
        fetched_header(&f, "Content-Type", word, sizeof word);
        assert_string_equal(word, "application/problem+json");
        assert_not_logged(h, token);
        free(token);
        fetched_clear(&f);
    }
    forged_tokens_are_refused(h);
    odd_payloads_are_refused(h);
    odd_headers_are_refused(h);

    /* oversize: more than 16 KiB, and more than any head may have */
    for (size_t size = 17000; size <= 40000; size += 23000) {
        long_one = malloc(size + 100);
        assert_non_null(long_one);
        (void)snprintf(long_one, 100, "\"claims\":{\"x\":\"");
        memset(long_one + strlen(long_one), 'x', size);
        memcpy(long_one + 15 + size, "\"}", 3);
        token = mint(h, long_one);
        assert_int_equal(push_status(h, token, "da1_-1"), size < 20000 ? 401 : 431);
        free(token);
        free(long_one);
    }
    assert_untouched(h);

    /* and the door is still open for the right one */
    token = mint(h, "");
    assert_int_equal(push_status(h, token, "da1_-1"), 202);
    json_free(sim_wait_calls(h->sim, "GET", SIM_ALERT, 1, SOON));
    free(token);
    free(first);
    house_stop(h);
}

static void test_entra__a_leeway_of_its_own_counts(void **state)
{
    static const struct {
        const char *spec;
        int status;
    } rows[] = {
        {"\"exp_in\":-60", 401}, {"\"exp_in\":-30", 202}, {"\"nbf_in\":60", 202},
        {"\"nbf_in\":90", 401},  {"\"iat_in\":90", 401},
    };
    const struct house_options o = {.source = "    verify:\n      - entra: {audience: [" APP
                                              "], clients: [" FLOW "], leeway: 60s}\n"};
    struct house *h = house_start(&o);

    (void)state;
    house_wait_time(h);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *token = mint(h, rows[i].spec), alert[40];
        int status;

        (void)snprintf(alert, sizeof alert, "da%zu_-1", i);
        add_alert(h, alert);
        status = push_status(h, token, alert);
        if (status != rows[i].status)
            fail_msg("%s: HTTP %d", rows[i].spec, status);
        free(token);
    }
    house_stop(h);
}

/* ---- keys ------------------------------------------------------------------------------------------ */

static void assert_told_to_come_back(struct house *h, const char *token)
{
    struct fetched f;
    char after[40];

    if (push(h, token, "da1_-1", &f) != 503)
        fail_msg("HTTP %d instead of 503: %s", f.status, f.body);
    assert_non_null(fetched_header(&f, "Retry-After", after, sizeof after));
    assert_in_range(strtol(after, NULL, 10), 1, 300);
    fetched_clear(&f);
}

/* Tries again and again until the answer is 202; 503 is the only other one that may come. */
static void push_until_taken(struct house *h, const char *token)
{
    int status;

    LOOK_FOR((status = push_status(h, token, "da1_-1")) != 503, 2 * SOON, "it is not taken");
    assert_int_equal(status, 202);
}

static void test_entra__keys_out_of_reach_are_no_no(void **state)
{
    const struct house_options o = {.source = BY_ROLE};
    struct house *h = house_start(&o);
    char *token;

    (void)state;
    add_alert(h, "da1_-1");
    sim_tell(h->sim, "/keys", "{\"down\":true}");
    token = mint(h, "");
    assert_told_to_come_back(h, token);
    assert_told_to_come_back(h, token); /* and without asking Entra each time */
    assert_int_equal(sim_count_calls(h->sim, "GET", "*/openid-configuration"), 1);
    assert_untouched(h);
    sim_tell(h->sim, "/keys", "{\"down\":false}");
    push_until_taken(h, token);
    free(token);
    house_stop(h);
}

static void test_entra__known_keys_stay_good_while_new_ones_cannot_be_had(void **state)
{
    const struct house_options o = {.source = BY_ROLE};
    struct house *h = house_start(&o);
    char *old, *new;

    (void)state;
    add_alert(h, "da1_-1");
    add_alert(h, "da2_-1");
    add_alert(h, "da3_-1");
    old = mint(h, "");
    assert_int_equal(push_status(h, old, "da2_-1"), 202);
    sim_tell(h->sim, "/keys", "{\"rotate\":true,\"down\":true}");
    new = mint(h, "");
    assert_told_to_come_back(h, new);
    assert_int_equal(push_status(h, old, "da3_-1"), 202);
    sim_tell(h->sim, "/keys", "{\"down\":false}");
    push_until_taken(h, new);
    assert_int_equal(push_status(h, old, "da3_-1"), 200); /* seen before; in the JWKS still */
    free(old);
    free(new);
    house_stop(h);
}

struct pusher {
    struct house *h;
    const char *_Atomic *token;
    atomic_bool *stop;
    pthread_barrier_t *start; /* NULL: none */
    unsigned number, pushed;
    int refused; /* the first status that was none of 200 and 202 */
};

static void *push_on(void *arg)
{
    struct pusher *p = arg;
    char alert[60];

    if (p->start)
        (void)pthread_barrier_wait(p->start);
    do {
        int status;

        (void)snprintf(alert, sizeof alert, "da%u%06u_-1", p->number, p->pushed++);
        status = push_status(p->h, atomic_load(p->token), alert);
        if (status != 202 && !p->refused)
            p->refused = status ? status : -1;
    } while (p->stop && !atomic_load(p->stop) && !p->refused);
    return NULL;
}

static void test_entra__keys_roll_while_requests_run(void **state)
{
    enum { PUSHERS = 4 };
    const struct house_options o = {.source = BY_ROLE};
    struct house *h = house_start(&o);
    const char *_Atomic token;
    atomic_bool stop = false;
    struct pusher pushers[PUSHERS];
    pthread_t threads[PUSHERS];
    char *before = mint(h, ""), *after;
    unsigned pushed = 0;

    (void)state;
    atomic_init(&token, before);
    for (unsigned i = 0; i < PUSHERS; i++) {
        pushers[i] = (struct pusher){.h = h, .token = &token, .stop = &stop, .number = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, push_on, &pushers[i]), 0);
    }
    json_free(sim_wait_calls(h->sim, "GET", SIM_ALERT, 20, SOON)); /* well under way */
    sim_tell(h->sim, "/keys", "{\"rotate\":true}");
    after = mint(h, "");
    atomic_store(&token, after);
    json_free(sim_wait_calls(h->sim, "GET", "*/keys", 2, SOON));
    json_free(sim_wait_calls(h->sim, "GET", SIM_ALERT,
                             sim_count_calls(h->sim, "GET", SIM_ALERT) + 20, SOON));
    atomic_store(&stop, true);
    for (unsigned i = 0; i < PUSHERS; i++) {
        (void)pthread_join(threads[i], NULL);
        if (pushers[i].refused)
            fail_msg("a good token was answered with HTTP %d", pushers[i].refused);
        pushed += pushers[i].pushed;
    }
    assert_true(pushed >= 40);
    assert_int_equal(push_status(h, before, "da9_-1"), 202); /* the old key has not left */
    assert_int_equal(sim_count_calls(h->sim, "GET", "*/openid-configuration"), 2);
    assert_int_equal(sim_count_calls(h->sim, "GET", "*/keys"), 2);
    free(before);
    free(after);
    house_cordon_kill(h); /* with its hundreds of cases under way */
    house_stop(h);
}

static void test_entra__parallel_first_requests_fetch_the_keys_once(void **state)
{
    enum { PUSHERS = 24 };
    const struct house_options o = {
        .source = BY_ROLE, .sim = {.config = "{\"delay_ms\":150}"}}; /* so that they meet */
    struct house *h = house_start(&o);
    const char *_Atomic token;
    pthread_barrier_t start;
    struct pusher pushers[PUSHERS];
    pthread_t threads[PUSHERS];
    char *own = mint(h, "");

    (void)state;
    atomic_init(&token, own);
    assert_int_equal(pthread_barrier_init(&start, NULL, PUSHERS), 0);
    for (unsigned i = 0; i < PUSHERS; i++) {
        char alert[60];

        (void)snprintf(alert, sizeof alert, "da%u%06u_-1", i + 1, 0u);
        add_alert(h, alert);
        pushers[i] = (struct pusher){.h = h, .token = &token, .start = &start, .number = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, push_on, &pushers[i]), 0);
    }
    for (unsigned i = 0; i < PUSHERS; i++) {
        (void)pthread_join(threads[i], NULL);
        assert_int_equal(pushers[i].refused, 0);
    }
    assert_int_equal(sim_count_calls(h->sim, "GET", "*/openid-configuration"), 1);
    assert_int_equal(sim_count_calls(h->sim, "GET", "*/keys"), 1);
    (void)pthread_barrier_destroy(&start);
    free(own);
    house_stop(h);
}

struct waiting {
    struct house *h;
    const char *token;
    int status;
};

static void *push_one(void *arg)
{
    struct waiting *w = arg;

    w->status = push_status(w->h, w->token, "da1_-1");
    return NULL;
}

/* Not every sender comes again when a connection just ends (webhook-sources.md section 4.3). */
static void test_entra__who_waits_for_keys_when_it_stops_is_told_to_come_again(void **state)
{
    const struct house_options o = {.source = BY_ROLE};
    struct house *h = house_start(&o);
    char *token = mint(h, "");
    struct waiting w = {.h = h, .token = token};
    pthread_t thread;

    (void)state;
    sim_tell(h->sim, "/faults",
             "{\"path\":\"*/openid-configuration\",\"kind\":\"hang\",\"count\":-1}");
    assert_int_equal(pthread_create(&thread, NULL, push_one, &w), 0);
    json_free(sim_wait_calls(h->sim, "GET", "*/openid-configuration", 1, SOON));
    house_cordon_stop(h);
    (void)pthread_join(thread, NULL);
    assert_int_equal(w.status, 503);
    free(token);
    house_stop(h);
}

/* Somebody at the admin address asks for more than he reads: senders pay nothing for that. */
static void test_entra__who_waits_for_keys_is_told_whoever_else_does_not_read(void **state)
{
    enum { WAITING = 24 };
    const struct house_options o = {.not_yet = true, .source = BY_ROLE};
    struct house *h = house_start(&o);
    char admin[400], *token = mint(h, "");
    struct waiting w[WAITING];
    struct raw *reader;
    pthread_t threads[WAITING];

    (void)state;
    (void)snprintf(admin, sizeof admin, "admin:\n  address: unix:%s/admin", h->dir);
    house_edit(h, "admin:\n  address: 127.0.0.1:0", admin);
    house_cordon_start(h);
    reader = raw_open(admin + strlen("admin:\n  address: "));
    assert_non_null(reader);
    for (int i = 0; i < 100; i++)
        raw_text(reader, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_true(raw_readable(reader, SOON));
    sim_tell(h->sim, "/faults",
             "{\"path\":\"*/openid-configuration\",\"kind\":\"hang\",\"count\":-1}");
    for (int i = 0; i < WAITING; i++) {
        w[i] = (struct waiting){.h = h, .token = token};
        assert_int_equal(pthread_create(&threads[i], NULL, push_one, &w[i]), 0);
    }
    json_free(sim_wait_calls(h->sim, "GET", "*/openid-configuration", 1, SOON));
    LOOK_FOR(house_metric(h, "cordon_connections{side=\"senders\"}") >= WAITING, SOON,
             "not all of them have come");
    house_cordon_stop(h);
    for (int i = 0; i < WAITING; i++) {
        (void)pthread_join(threads[i], NULL);
        assert_int_equal(w[i].status, 503);
    }
    raw_free(reader);
    free(token);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entra__good_tokens_of_both_versions_push),
        cmocka_unit_test(test_entra__any_of_the_lists_lets_in),
        cmocka_unit_test(test_entra__broken_tokens_stop_at_the_door),
        cmocka_unit_test(test_entra__a_leeway_of_its_own_counts),
        cmocka_unit_test(test_entra__keys_out_of_reach_are_no_no),
        cmocka_unit_test(test_entra__known_keys_stay_good_while_new_ones_cannot_be_had),
        cmocka_unit_test(test_entra__keys_roll_while_requests_run),
        cmocka_unit_test(test_entra__parallel_first_requests_fetch_the_keys_once),
        cmocka_unit_test(test_entra__who_waits_for_keys_when_it_stops_is_told_to_come_again),
        cmocka_unit_test(test_entra__who_waits_for_keys_is_told_whoever_else_does_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
