/* test_verify_entra.c - tokens of Entra ID: the ten checks, each with what must not pass it, against a
 * scripted authority. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jwks.h"
#include "kit/peer.h"
#include "kit/scheme.h"
#include "log.h"
#include "sim/keys.h"

#define TENANT "11111111-2222-3333-4444-555555555555"
#define OTHER  "99999999-2222-3333-4444-555555555555"
#define AUD    "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
#define CLIENT "99999999-8888-7777-6666-555555555555"
#define OID    "12121212-0000-0000-0000-000000000001"
#define ISS1   "https://sts.windows.net/" TENANT "/"
#define ISS2   "https://login.microsoftonline.com/" TENANT "/v2.0"
#define ENTRY  "[{entra: {audience: [" AUD "], clients: [" CLIENT "]}}]"

struct stage {
    struct scheme s;
    struct peer *peer;
    struct rest *rest;
    struct keys *keys;
    struct buf v1, v2;
    char discovery1[300], discovery2[300];
};

static void script(struct stage *t, const char *target, const char *body)
{
    peer_script(t->peer, &(struct peer_answer){
                             .method = "GET", .target = target, .status = 200, .body = body});
}

static void fresh_keys(struct stage *t)
{
    jwks_free(t->s.env.keys);
    assert_int_equal(jwks_new(&(struct jwks_options){.rest = t->rest, .clock = &t->s.hands.clock},
                              &t->s.env.keys, NULL),
                     ERR_OK);
}

/* The authority publishes the keys of now. */
static void publish(struct stage *t)
{
    peer_forget(t->peer);
    buf_reset(&t->v1);
    buf_reset(&t->v2);
    keys_jwks(t->keys, NULL, &t->v1);
    keys_jwks(t->keys, ISS2, &t->v2);
    script(t, "/" TENANT "/.well-known/openid-configuration", t->discovery1);
    script(t, "/" TENANT "/v2.0/.well-known/openid-configuration", t->discovery2);
    script(t, "/k1", buf_text(&t->v1));
    script(t, "/k2", buf_text(&t->v2));
}

static int setup(void **state)
{
    struct stage *t = calloc(1, sizeof *t);

    assert_non_null(t);
    scheme_open(&t->s);
    t->peer = peer_new(NULL);
    assert_int_equal(rest_new(&(struct rest_options){0}, &t->rest, NULL), ERR_OK);
    assert_int_equal(keys_new(&t->keys, NULL), ERR_OK);
    buf_init(&t->v1, 1 << 20);
    buf_init(&t->v2, 1 << 20);
    (void)snprintf(t->discovery1, sizeof t->discovery1,
                   "{\"issuer\":\"" ISS1 "\",\"jwks_uri\":\"%s/k1\"}", peer_url(t->peer));
    (void)snprintf(t->discovery2, sizeof t->discovery2,
                   "{\"issuer\":\"" ISS2 "\",\"jwks_uri\":\"%s/k2\"}", peer_url(t->peer));
    t->s.source.login_url = peer_url(t->peer);
    t->s.may_block = true;
    publish(t);
    fresh_keys(t);
    assert_true(scheme_compile(&t->s, ENTRY));
    log_setup(LOG_ERROR, false); /* keys out of reach are announced where they matter */
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct stage *t = *state;

    log_setup(LOG_INFO, false);
    jwks_free(t->s.env.keys);
    rest_free(t->rest);
    peer_free(t->peer);
    keys_free(t->keys);
    buf_clear(&t->v1);
    buf_clear(&t->v2);
    scheme_close(&t->s);
    free(t);
    return 0;
}

/* ---- tokens --------------------------------------------------------------------------------------- */

struct claim {
    const char *name, *json; /* json NULL: taken out */
};

struct mint {
    bool v1;
    enum key_slot slot;
    const char *alg;        /* NULL: RS256 */
    const char *header;     /* NULL: a good one; %k is the slot's kid */
    const char *payload;    /* NULL: a good one with `claims` put in */
    struct claim claims[6]; /* name NULL ends */
};

static void add_claim(struct stage *t, struct buf *out, const struct mint *m, const char *name,
                      const char *json)
{
    (void)t;
    for (const struct claim *c = m->claims; c->name; c++)
        if (strcmp(c->name, name) == 0)
            json = c->json;
    if (json)
        buf_addf(out, "%s\"%s\":%s", out->len > 1 ? "," : "", name, json);
}

/* Arena memory. */
static char *mint(struct stage *t, const struct mint *m)
{
    static const char *const known[] = {"aud",   "iss", "iat", "nbf", "exp", "azp",
                                        "appid", "oid", "sub", "tid", "ver", NULL};
    AUTO(buf_clear) struct buf payload = BUF_INIT(1 << 16), out = BUF_INIT(1 << 20);
    long long now = clock_wall_ms(&t->s.hands.clock) / 1000;
    const char *header =
        m->header ? m->header : "{\"typ\":\"JWT\",\"alg\":\"RS256\",\"kid\":\"%k\"}";
    const char *mark = strstr(header, "%k");
    char kid[64];

    keys_kid(t->keys, m->slot, true, kid);
    if (mark)
        header = arena_fmt(t->s.arena, "%.*s%s%s", (int)(mark - header), header, kid, mark + 2);
    buf_addc(&payload, '{');
    add_claim(t, &payload, m, "aud", "\"" AUD "\"");
    add_claim(t, &payload, m, "iss", m->v1 ? "\"" ISS1 "\"" : "\"" ISS2 "\"");
    add_claim(t, &payload, m, "iat", arena_fmt(t->s.arena, "%lld", now));
    add_claim(t, &payload, m, "nbf", arena_fmt(t->s.arena, "%lld", now));
    add_claim(t, &payload, m, "exp", arena_fmt(t->s.arena, "%lld", now + 3600));
    add_claim(t, &payload, m, "azp", m->v1 ? NULL : "\"" CLIENT "\"");
    add_claim(t, &payload, m, "appid", m->v1 ? "\"" CLIENT "\"" : NULL);
    add_claim(t, &payload, m, "oid", "\"" OID "\"");
    add_claim(t, &payload, m, "sub", "\"" OID "\"");
    add_claim(t, &payload, m, "tid", "\"" TENANT "\"");
    add_claim(t, &payload, m, "ver", m->v1 ? "\"1.0\"" : "\"2.0\"");
    for (const struct claim *c = m->claims; c->name; c++) {
        size_t i = 0;

        while (known[i] && strcmp(known[i], c->name) != 0)
            i++;
        if (!known[i])
            buf_addf(&payload, ",\"%s\":%s", c->name, c->json);
    }
    buf_addc(&payload, '}');
    assert_int_equal(keys_sign(t->keys, m->slot, m->alg ? m->alg : "RS256", header,
                               m->payload ? m->payload : buf_text(&payload), &out, NULL),
                     ERR_OK);
    return arena_str(t->s.arena, buf_text(&out));
}

static enum verify_verdict show(struct stage *t, const char *token, struct verify_result *r)
{
    const struct scheme_header headers[] = {
        {"Authorization", arena_fmt(t->s.arena, "Bearer %s", token)}, {NULL, NULL}};

    return scheme_ask(&t->s, headers, NULL, 0, r);
}

static enum verify_verdict show_minted(struct stage *t, const struct mint *m)
{
    struct verify_result r;

    return show(t, mint(t, m), &r);
}

/* ---- what is good ----------------------------------------------------------------------------------- */

static void test_verify_entra__takes_tokens_of_both_versions(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    assert_int_equal(show(t, mint(t, &(struct mint){0}), &r), VERIFY_GOOD);
    assert_string_equal(r.key, CLIENT);
    assert_string_equal(r.tenant_id, TENANT);
    assert_null(r.delivery_id); /* one token, many requests */
    assert_int_equal(show(t, mint(t, &(struct mint){.v1 = true}), &r), VERIFY_GOOD);
    assert_string_equal(r.key, CLIENT);
    /* Two documents each, and no more from now on. */
    assert_int_equal(peer_count(t->peer), 4);
    t->s.may_block = false;
    for (int i = 0; i < 10; i++)
        assert_int_equal(show_minted(t, &(struct mint){.v1 = i % 2}), VERIFY_GOOD);
    assert_int_equal(peer_count(t->peer), 4);
}

static void test_verify_entra__takes_what_the_reference_prints(void **state)
{
    struct stage *t = *state;
    long long now = clock_wall_ms(&t->s.hands.clock) / 1000;
    const struct mint rows[] = {
        /* the offline token of webhook-sources.md section 1.2: no sub */
        {.payload =
             arena_fmt(t->s.arena,
                       "{\"aud\":\"" AUD "\",\"iss\":\"" ISS2
                       "\",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld,\"azp\":\"" CLIENT
                       "\",\"azpacr\":\"1\",\"oid\":\"" OID
                       "\",\"roles\":[\"Alerts.Push\"],\"tid\":\"" TENANT "\",\"ver\":\"2.0\"}",
                       now, now, now + 3600)},
        {.claims = {{"idtyp", "\"app\""}}},
        {.claims = {{"iat", NULL}}},
        {.claims = {{"oid", NULL}}},
        {.claims = {{"aud", "\"api://" AUD "\""}}}, /* the other spelling of the same app */
        {.claims = {{"azp", "\"" CLIENT "\""}, {"xms_mirid", "\"/subscriptions/x\""}}},
        {.claims = {{"exp", arena_fmt(t->s.arena, "%lld", now + 28 * 3600)}}}, /* long-lived */
        {.claims = {{"exp", "9223372036854775807"}}},
        {.header = "{\"typ\":\"JWT\",\"alg\":\"RS256\",\"kid\":\"%k\",\"x5t\":\"%k\"}"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (show_minted(t, &rows[i]) != VERIFY_GOOD)
            fail_msg("row %zu", i);
}

/* verify_source.people: the same token, and now a person's is wanted and an application's is none. */
static void test_verify_entra__takes_persons_where_persons_answer(void **state)
{
    struct stage *t = *state;
    static const struct {
        struct claim claims[6];
        enum verify_verdict verdict;
    } rows[] = {
        {{{"sub", "\"a-pairwise-subject\""}}, VERIFY_GOOD},
        {{{"sub", "\"a-pairwise-subject\""}, {"idtyp", "\"user\""}}, VERIFY_GOOD},
        {{{"sub", "\"a-pairwise-subject\""}, {"scp", "\"openid\""}}, VERIFY_GOOD},
        {{{"sub", "\"a-pairwise-subject\""}, {"idtyp", "\"app\""}}, VERIFY_DENIED},
        {{{"sub", "\"a-pairwise-subject\""}, {"idtyp", "1"}}, VERIFY_DENIED},
        {{{NULL, NULL}}, VERIFY_DENIED}, /* its subject is the object */
        {{{"sub", NULL}}, VERIFY_DENIED},
        {{{"sub", "\"\""}}, VERIFY_DENIED},
        {{{"sub", "\"a-pairwise-subject\""}, {"oid", NULL}}, VERIFY_DENIED},
        {{{"sub", "\"a-pairwise-subject\""}, {"oid", "\"\""}}, VERIFY_DENIED},
        {{{"sub", "\"a-pairwise-subject\""}, {"oid", "\"" OTHER "\""}}, VERIFY_FORBIDDEN},
    };

    t->s.source.people = true;
    assert_true(scheme_compile(&t->s, "[{entra: {audience: [" AUD "], objects: [" OID "]}}]"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mint m = {0};

        memcpy(m.claims, rows[i].claims, sizeof m.claims);
        if (show_minted(t, &m) != rows[i].verdict)
            fail_msg("row %zu", i);
    }
    assert_false(scheme_compile(&t->s, "[{entra: {audience: [" AUD "], objects: [" OID
                                       "], clients: [" CLIENT "]}}]"));
    assert_non_null(strstr(scheme_faults(&t->s), "approvers are persons"));
}

/* What stands in the record of an answer. The object is in it whatever the name is: two answers of one person are one
 * person's. */
static void test_verify_entra__names_a_person_and_his_object(void **state)
{
    struct stage *t = *state;
    const char *longest = arena_fmt(t->s.arena, "\"%0254d\"", 1);
    const char *longer = arena_fmt(t->s.arena, "\"%0255d\"", 1);
    const struct {
        struct claim claims[6];
        const char *name; /* NULL: denied */
    } rows[] = {
        {{{"sub", "\"s\""}}, "without a name (" OID ")"},
        {{{"sub", "\"s\""}, {"preferred_username", "\"ann@x.example\""}},
         "ann@x.example (" OID ")"},
        {{{"sub", "\"s\""}, {"upn", "\"ann@x.example\""}}, "ann@x.example (" OID ")"},
        {{{"sub", "\"s\""}, {"unique_name", "\"ann@x.example\""}}, "ann@x.example (" OID ")"},
        {{{"sub", "\"s\""}, {"email", "\"ann@x.example\""}}, "ann@x.example (" OID ")"},
        /* the first that says something */
        {{{"sub", "\"s\""}, {"email", "\"b@x.example\""}, {"upn", "\"ann@x.example\""}},
         "ann@x.example (" OID ")"},
        {{{"sub", "\"s\""}, {"preferred_username", "\"\""}, {"email", "\"b@x.example\""}},
         "b@x.example (" OID ")"},
        {{{"sub", "\"s\""}, {"preferred_username", "5"}, {"upn", "\"b@x.example\""}},
         "b@x.example (" OID ")"},
        {{{"sub", "\"s\""}, {"preferred_username", longer}, {"upn", "\"b@x.example\""}},
         "b@x.example (" OID ")"},
        {{{"sub", "\"s\""}, {"preferred_username", longest}, {"upn", "\"b@x.example\""}},
         arena_fmt(t->s.arena, "%0254d (" OID ")", 1)},
        {{{"sub", "\"s\""}, {"oid", longer}}, NULL},
    };

    t->s.source.people = true;
    assert_true(scheme_compile(&t->s, "[{entra: {audience: [" AUD "], objects: [" OID "]}}]"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct verify_result r;
        struct mint m = {0};

        memcpy(m.claims, rows[i].claims, sizeof m.claims);
        if (show(t, mint(t, &m), &r) != (rows[i].name ? VERIFY_GOOD : VERIFY_DENIED) ||
            (rows[i].name && strcmp(r.key, rows[i].name) != 0))
            fail_msg("row %zu: %s, %s", i, r.key, r.why);
    }
    assert_true(scheme_compile(
        &t->s, arena_fmt(t->s.arena, "[{entra: {audience: [" AUD "], objects: [%s]}}]", longest)));
    {
        struct verify_result r;
        struct mint m = {.claims = {{"sub", "\"s\""}, {"oid", longest}}};

        assert_int_equal(show(t, mint(t, &m), &r), VERIFY_GOOD);
    }
}

static void test_verify_entra__any_one_list_admits(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *entry;
        struct claim claims[3];
        enum verify_verdict verdict;
    } rows[] = {
        {"{audience: " AUD ", clients: [x, " CLIENT "]}", {{NULL, NULL}}, VERIFY_GOOD},
        {"{audience: " AUD ", clients: [\"99999999-8888-7777-6666-55555555555A\"]}",
         {{"azp", "\"99999999-8888-7777-6666-55555555555a\""}},
         VERIFY_GOOD},
        {"{audience: " AUD ", clients: [x]}", {{NULL, NULL}}, VERIFY_FORBIDDEN},
        {"{audience: " AUD ", objects: [" OID "]}", {{NULL, NULL}}, VERIFY_GOOD},
        {"{audience: " AUD ", objects: [\"12121212-0000-0000-0000-00000000000A\"]}",
         {{"oid", "\"12121212-0000-0000-0000-00000000000a\""},
          {"sub", "\"12121212-0000-0000-0000-00000000000a\""}},
         VERIFY_GOOD},
        {"{audience: " AUD ", objects: [" OID "]}", {{"oid", NULL}}, VERIFY_FORBIDDEN},
        {"{audience: " AUD ", objects: [" CLIENT "]}", {{NULL, NULL}}, VERIFY_FORBIDDEN},
        {"{audience: " AUD ", clients: [" OID "]}", {{NULL, NULL}}, VERIFY_FORBIDDEN},
        {"{audience: " AUD ", roles: [Alerts.Push]}",
         {{"roles", "[\"x\",\"Alerts.Push\"]"}},
         VERIFY_GOOD},
        {"{audience: " AUD ", roles: [Alerts.Push]}", {{NULL, NULL}}, VERIFY_FORBIDDEN},
        {"{audience: " AUD ", roles: [Alerts.Push]}", {{"roles", "[]"}}, VERIFY_FORBIDDEN},
        {"{audience: " AUD ", roles: [Alerts.Push]}",
         {{"roles", "[\"alerts.push\"]"}},
         VERIFY_FORBIDDEN},
        {"{audience: " AUD ", roles: [Alerts.Push]}",
         {{"roles", "[\"Alerts.Push.All\"]"}},
         VERIFY_FORBIDDEN},
        {"{audience: " AUD ", roles: [Alerts.Push]}",
         {{"roles", "\"Alerts.Push\""}},
         VERIFY_FORBIDDEN},
        {"{audience: " AUD ", roles: [Alerts.Push]}",
         {{"roles", "[[\"Alerts.Push\"]]"}},
         VERIFY_FORBIDDEN},
        {"{audience: " AUD ", roles: [Alerts.Push]}",
         {{"roles", "{\"Alerts.Push\":1}"}},
         VERIFY_FORBIDDEN},
        {"{audience: " AUD ", roles: [Alerts.Push]}",
         {{"roles", "{\"x\":\"Alerts.Push\"}"}},
         VERIFY_FORBIDDEN},
        {"{audience: " AUD ", roles: [Alerts.Push]}", {{"roles", "[null,5]"}}, VERIFY_FORBIDDEN},
        {"{audience: " AUD ", roles: [r], objects: [o], clients: [" CLIENT "]}",
         {{NULL, NULL}},
         VERIFY_GOOD},
        {"{audience: [x, \"api://" AUD "\"], clients: [" CLIENT "]}", {{NULL, NULL}}, VERIFY_GOOD},
        {"{audience: [\"AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee\"], clients: [" CLIENT "]}",
         {{NULL, NULL}},
         VERIFY_GOOD},
        {"{audience: [\"api://cordon\"], clients: [" CLIENT "]}",
         {{"aud", "\"api://cordon\""}},
         VERIFY_GOOD},
        {"{audience: [\"api://cordon\"], clients: [" CLIENT "]}", {{NULL, NULL}}, VERIFY_DENIED},
        /* only a client id has two spellings */
        {"{audience: [\"api://cordon\"], clients: [" CLIENT "]}",
         {{"aud", "\"cordon\""}},
         VERIFY_DENIED},
        {"{audience: cordon, clients: [" CLIENT "]}", {{"aud", "\"api://cordon\""}}, VERIFY_DENIED},
        {"{audience: \"" AUD "x\", clients: [" CLIENT "]}",
         {{"aud", "\"api://" AUD "x\""}},
         VERIFY_DENIED},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mint m = {0};

        memcpy(m.claims, rows[i].claims, sizeof rows[i].claims);
        assert_true(scheme_compile(&t->s, arena_fmt(t->s.arena, "[{entra: %s}]", rows[i].entry)));
        if (show_minted(t, &m) != rows[i].verdict)
            fail_msg("row %zu: %s", i, rows[i].entry);
    }
}

static void test_verify_entra__judges_times_with_leeway(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *leeway;
        int64_t s;
    } leeways[] = {{"5m", 300}, {"0", 0}, {"60s", 60}};

    for (size_t i = 0; i < sizeof leeways / sizeof *leeways; i++) {
        long long now = clock_wall_ms(&t->s.hands.clock) / 1000;
        int64_t l = leeways[i].s;
        const struct {
            const char *claim;
            int64_t in;
            bool good;
        } rows[] = {
            {"exp", 1, true},
            {"exp", 1 - l, true},
            {"exp", -l, false},
            {"exp", -1 - l, false},
            {"nbf", 0, true},
            {"nbf", l, true},
            {"nbf", l + 1, false},
            {"iat", l, true},
            {"iat", l + 1, false},
            {"iat", -1000000, true},
            {"nbf", -1000000, true},
            {"exp", -now, false},
            {"nbf", INT64_MAX - now, false},
            {"iat", INT64_MAX - now, false},
            {"exp", -now - 1, false},
        };

        assert_true(scheme_compile(&t->s, arena_fmt(t->s.arena,
                                                    "[{entra: {audience: " AUD ", clients: [" CLIENT
                                                    "], leeway: %s}}]",
                                                    leeways[i].leeway)));
        for (size_t j = 0; j < sizeof rows / sizeof *rows; j++) {
            const struct mint m = {
                .claims = {
                    {rows[j].claim, arena_fmt(t->s.arena, "%lld", now + (long long)rows[j].in)}}};

            if ((show_minted(t, &m) == VERIFY_GOOD) != rows[j].good)
                fail_msg("leeway %s: %s in %lld s", leeways[i].leeway, rows[j].claim,
                         (long long)rows[j].in);
        }
    }
}

/* ---- what is not ------------------------------------------------------------------------------------ */

static void test_verify_entra__refuses_every_broken_token(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *what;
        struct mint m;
    } rows[] = {
        /* 2: the header */
        {"alg none", {.alg = "none", .header = "{\"alg\":\"none\",\"kid\":\"%k\"}"}},
        {"alg none, signed", {.header = "{\"alg\":\"none\",\"kid\":\"%k\"}"}},
        {"alg RS256, unsigned", {.alg = "none"}},
        {"HS256 keyed with the PEM",
         {.alg = "HS256", .header = "{\"alg\":\"HS256\",\"kid\":\"%k\"}"}},
        {"HS256 keyed with the modulus",
         {.alg = "HS256n", .header = "{\"alg\":\"HS256\",\"kid\":\"%k\"}"}},
        {"the same, called RS256", {.alg = "HS256"}},
        {"rs256", {.header = "{\"alg\":\"rs256\",\"kid\":\"%k\"}"}},
        {"RS384", {.alg = "RS384", .header = "{\"alg\":\"RS384\",\"kid\":\"%k\"}"}},
        {"RS384 called RS256", {.alg = "RS384"}},
        {"PS256", {.alg = "PS256", .header = "{\"alg\":\"PS256\",\"kid\":\"%k\"}"}},
        {"PS256 called RS256", {.alg = "PS256"}},
        {"no kid", {.header = "{\"alg\":\"RS256\"}"}},
        {"crit", {.header = "{\"alg\":\"RS256\",\"kid\":\"%k\",\"crit\":[\"exp\"]}"}},
        {"alg twice", {.header = "{\"alg\":\"RS256\",\"alg\":\"RS256\",\"kid\":\"%k\"}"}},
        {"a JWE's type", {.header = "{\"alg\":\"RS256\",\"kid\":\"%k\",\"typ\":\"JWE\"}"}},
        /* 3: tenant and version */
        {"foreign tid", {.claims = {{"tid", "\"" OTHER "\""}}}},
        {"no tid", {.claims = {{"tid", NULL}}}},
        {"tid null", {.claims = {{"tid", "null"}}}},
        {"tid a list", {.claims = {{"tid", "[\"" TENANT "\"]"}}}},
        {"no ver", {.claims = {{"ver", NULL}}}},
        {"ver 3.0", {.claims = {{"ver", "\"3.0\""}}}},
        {"ver 3.0 of one like 1.0", {.v1 = true, .claims = {{"ver", "\"3.0\""}}}},
        {"ver a number", {.claims = {{"ver", "2.0"}}}},
        {"v1 issuer with ver 2.0", {.claims = {{"iss", "\"" ISS1 "\""}}}},
        {"v2 issuer with ver 1.0", {.v1 = true, .claims = {{"iss", "\"" ISS2 "\""}}}},
        /* 4, 5: key and signature */
        {"a key that left", {.slot = KEY_GONE}},
        {"a key that never was", {.slot = KEY_UNKNOWN}},
        {"a small key", {.slot = KEY_SMALL}},
        {"another key under this kid",
         {.slot = KEY_UNKNOWN, .header = "{\"alg\":\"RS256\",\"kid\":\"@\"}"}},
        /* 6: issuer */
        {"issuer without its slash",
         {.v1 = true, .claims = {{"iss", "\"https://sts.windows.net/" TENANT "\""}}}},
        {"issuer with one too many", {.claims = {{"iss", "\"" ISS2 "/\""}}}},
        {"issuer of another tenant",
         {.claims = {{"iss", "\"https://login.microsoftonline.com/" OTHER "/v2.0\""}}}},
        {"issuer unfilled",
         {.claims = {{"iss", "\"https://login.microsoftonline.com/{tenantid}/v2.0\""}}}},
        {"issuer upper case",
         {.claims = {{"iss", "\"HTTPS://login.microsoftonline.com/" TENANT "/v2.0\""}}}},
        {"no issuer", {.claims = {{"iss", NULL}}}},
        {"issuer a list", {.claims = {{"iss", "[\"" ISS2 "\"]"}}}},
        /* 7: audience */
        {"aud a list", {.claims = {{"aud", "[\"" AUD "\"]"}}}},
        {"aud of Graph", {.claims = {{"aud", "\"00000003-0000-0000-c000-000000000000\""}}}},
        {"aud with a slash", {.claims = {{"aud", "\"" AUD "/\""}}}},
        {"aud upper case", {.claims = {{"aud", "\"AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee\""}}}},
        {"aud empty", {.claims = {{"aud", "\"\""}}}},
        {"no aud", {.claims = {{"aud", NULL}}}},
        /* 8: times */
        {"no exp", {.claims = {{"exp", NULL}}}},
        {"exp as text", {.claims = {{"exp", "\"9999999999\""}}}},
        {"exp null", {.claims = {{"exp", "null"}}}},
        {"exp a fraction", {.claims = {{"exp", "9999999999.5"}}}},
        {"exp beyond 64 bits", {.claims = {{"exp", "99999999999999999999"}}}},
        {"exp negative", {.claims = {{"exp", "-9223372036854775808"}}}},
        {"exp in the past", {.claims = {{"exp", "1"}}}},
        {"exp true", {.claims = {{"exp", "true"}}}},
        {"exp a list", {.claims = {{"exp", "[9999999999]"}}}},
        {"nbf a fraction", {.claims = {{"nbf", "0.5"}}}},
        {"nbf null", {.claims = {{"nbf", "null"}}}},
        {"nbf a list", {.claims = {{"nbf", "[0]"}}}},
        {"iat a fraction", {.claims = {{"iat", "0.5"}}}},
        {"iat null", {.claims = {{"iat", "null"}}}},
        {"iat an object", {.claims = {{"iat", "{}"}}}},
        {"no nbf", {.claims = {{"nbf", NULL}}}},
        {"nbf as text", {.claims = {{"nbf", "\"0\""}}}},
        {"nbf in the future", {.claims = {{"nbf", "9999999999"}}}},
        {"iat in the future", {.claims = {{"iat", "9999999999"}}}},
        {"iat as text", {.claims = {{"iat", "\"0\""}}}},
        /* 9: no user */
        {"scp", {.claims = {{"scp", "\"user_impersonation\""}}}},
        {"scp empty", {.claims = {{"scp", "\"\""}}}},
        {"idtyp user", {.claims = {{"idtyp", "\"user\""}}}},
        {"idtyp a list", {.claims = {{"idtyp", "[\"app\"]"}}}},
        {"a user's id token",
         {.claims = {{"sub", "\"pairwise\""}, {"roles", "[\"Alerts.Push\"]"}}}},
        {"no application", {.claims = {{"azp", NULL}}}},
        {"the other version's application",
         {.claims = {{"azp", NULL}, {"appid", "\"" CLIENT "\""}}}},
        {"application empty", {.claims = {{"azp", "\"\""}}}},
        {"application a number", {.claims = {{"azp", "5"}}}},
        /* payloads */
        {"duplicate aud",
         {.payload = "{\"aud\":\"" AUD "\",\"aud\":\"x\",\"tid\":\"" TENANT "\",\"ver\":\"2.0\"}"}},
        {"a list", {.payload = "[]"}},
        {"empty", {.payload = "{}"}},
        {"no JSON", {.payload = "hello"}},
    };

    static_assert(sizeof rows / sizeof *rows >= 60, "the table has lost rows");

    /* So that `gone` has been in the document, and there are two keys in it. */
    assert_int_equal(keys_rotate(t->keys, NULL), ERR_OK);
    assert_int_equal(keys_rotate(t->keys, NULL), ERR_OK);
    publish(t);
    assert_int_equal(show_minted(t, &(struct mint){0}), VERIFY_GOOD);
    assert_int_equal(show_minted(t, &(struct mint){.slot = KEY_OLD}), VERIFY_GOOD);
    assert_int_equal(show_minted(t, &(struct mint){.v1 = true}), VERIFY_GOOD);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct verify_result r;
        struct mint m = rows[i].m;
        char *token;

        if (m.header && strchr(m.header, '@')) {
            char kid[64];

            keys_kid(t->keys, KEY_CURRENT, true, kid);
            m.header = arena_fmt(t->s.arena, "{\"alg\":\"RS256\",\"kid\":\"%s\"}", kid);
        }
        token = mint(t, &m);
        if (show(t, token, &r) != VERIFY_DENIED)
            fail_msg("%s: %d", rows[i].what, r.verdict);
        assert_true(strlen(r.why) > strlen("entra: "));
        assert_null(strstr(r.why, token));
        assert_null(r.key);
    }
}

static void test_verify_entra__refuses_tokens_cut_and_glued(void **state)
{
    struct stage *t = *state;
    char *good = mint(t, &(struct mint){0});
    const char *second = strrchr(good, '.');
    char *other = mint(t, &(struct mint){.claims = {{"azp", "\"" OTHER "\""}}});
    char *const rows[] = {
        arena_str(t->s.arena, ""),
        arena_fmt(t->s.arena, "%s=", good),
        arena_fmt(t->s.arena, "%s.AAAA", good),
        arena_fmt(t->s.arena, "%s.", good),
        arena_fmt(t->s.arena, "%s,", good),
        arena_fmt(t->s.arena, "%s %s", good, good),
        arena_strn(t->s.arena, good, (size_t)(second - good)),
        arena_strn(t->s.arena, good, (size_t)(second - good) + 1),
        arena_strn(t->s.arena, good, strlen(good) - 4),
        arena_fmt(t->s.arena, "%.*s%s", (int)(strrchr(other, '.') - other), other, second),
        arena_fmt(t->s.arena, "\"%s\"", good),
        arena_fmt(t->s.arena, "%s.%0*d", good, 17000, 0),
    };
    struct verify_result r;

    assert_int_equal(show(t, good, &r), VERIFY_GOOD);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (show(t, rows[i], &r) != VERIFY_DENIED)
            fail_msg("row %zu", i);
}

static void test_verify_entra__refuses_every_single_bit_flip(void **state)
{
    struct stage *t = *state;
    const struct scheme_header headers[] = {
        {"Authorization", arena_fmt(t->s.arena, "Bearer %s", mint(t, &(struct mint){0}))},
        {NULL, NULL}};

    /* It says nothing of the body: see the top of verify_entra.c. */
    assert_true(scheme_refuses_flips(&t->s, headers, NULL, 0, false, strlen("Bearer")) > 4000);
}

static void test_verify_entra__wants_one_bearer(void **state)
{
    struct stage *t = *state;
    const char *token = mint(t, &(struct mint){0});
    const struct {
        const char *value;
        enum verify_verdict verdict;
    } rows[] = {
        {arena_fmt(t->s.arena, "Bearer %s", token), VERIFY_GOOD},
        {arena_fmt(t->s.arena, "bearer %s", token), VERIFY_GOOD},
        {arena_fmt(t->s.arena, "BEARER   %s", token), VERIFY_GOOD},
        {token, VERIFY_DENIED},
        {arena_fmt(t->s.arena, "Basic %s", token), VERIFY_DENIED},
        {arena_fmt(t->s.arena, "Bearer%s", token), VERIFY_DENIED},
        {arena_fmt(t->s.arena, "Bearer\t%s", token), VERIFY_DENIED},
        {"Bearer", VERIFY_DENIED},
        {"Bearer ", VERIFY_DENIED},
        {"", VERIFY_DENIED},
    };
    struct verify_result r;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct scheme_header once[] = {{"authorization", rows[i].value}, {NULL, NULL}};
        const struct scheme_header twice[] = {
            {"Authorization", rows[i].value}, {"Authorization", rows[i].value}, {NULL, NULL}};
        const struct scheme_header elsewhere[] = {{"X-Authorization", rows[i].value}, {NULL, NULL}};

        if (scheme_ask(&t->s, once, NULL, 0, &r) != rows[i].verdict)
            fail_msg("%.20s", rows[i].value);
        assert_int_equal(!*r.why, r.verdict == VERIFY_GOOD); /* the log says why */
        assert_int_equal(scheme_ask(&t->s, twice, NULL, 0, &r), VERIFY_DENIED);
        assert_string_equal(r.why, "entra: more than one Authorization");
        assert_int_equal(scheme_ask(&t->s, elsewhere, NULL, 0, &r), VERIFY_DENIED);
        assert_string_equal(r.why, "entra: no Authorization");
    }
}

/* Who set a door up sees in the log what his source does not list. */
static void test_verify_entra__names_what_is_not_listed(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    (void)show(t, mint(t, &(struct mint){.claims = {{"aud", "\"api://other\""}}}), &r);
    assert_int_equal(r.verdict, VERIFY_DENIED);
    assert_string_equal(r.why, "entra: the audience api://other, which `audience` does not list");
    (void)show(t, mint(t, &(struct mint){.claims = {{"azp", "\"" OTHER "\""}}}), &r);
    assert_int_equal(r.verdict, VERIFY_FORBIDDEN);
    assert_string_equal(r.why, "entra: the application " OTHER " is on none of the source's lists");
}

/* ---- keys come and go -------------------------------------------------------------------------------- */

static void test_verify_entra__follows_a_rotation(void **state)
{
    struct stage *t = *state;
    char *before = mint(t, &(struct mint){0}), *after;
    struct verify_result r;

    assert_int_equal(show(t, before, &r), VERIFY_GOOD);
    assert_int_equal(keys_rotate(t->keys, NULL), ERR_OK);
    publish(t);
    hands_turn(&t->s.hands, 5 * MINUTE_MS);
    after = mint(t, &(struct mint){0});
    t->s.may_block = false;
    assert_int_equal(show(t, after, &r), VERIFY_MUST_WAIT);
    t->s.may_block = true;
    assert_int_equal(show(t, after, &r), VERIFY_GOOD);
    t->s.may_block = false;
    assert_int_equal(show(t, after, &r), VERIFY_GOOD);
    assert_int_equal(show(t, before, &r), VERIFY_GOOD);
}

static void test_verify_entra__keys_out_of_reach_deny_nobody(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    peer_forget(t->peer);
    peer_script(t->peer, &(struct peer_answer){.status = 503});
    assert_int_equal(show_minted(t, &(struct mint){0}), VERIFY_UNAVAILABLE);
    t->s.may_block = false;
    assert_int_equal(show_minted(t, &(struct mint){0}), VERIFY_UNAVAILABLE);
    /* What needs no key to be refused is refused. */
    assert_int_equal(show_minted(t, &(struct mint){.claims = {{"tid", "\"" OTHER "\""}}}),
                     VERIFY_DENIED);
    assert_int_equal(show(t, "x.y.z", &r), VERIFY_DENIED);
    jwks_free(t->s.env.keys);
    t->s.env.keys = NULL;
    assert_int_equal(show_minted(t, &(struct mint){0}), VERIFY_UNAVAILABLE);
}

/* Of several entries the one decides that the sender can do most with: who only waits for keys is not turned away
 * because another entry denies him, and who is known but not listed hears that. */
static void test_verify_entra__what_waits_stands_above_what_is_denied(void **state)
{
    static const char *const entries[] = {
        "[{token: {secret_files: [t1]}}, {entra: {audience: [" AUD "], clients: [" CLIENT "]}}]",
        "[{entra: {audience: [" AUD "], clients: [" CLIENT "]}}, {token: {secret_files: [t1]}}]"};
    struct stage *t = *state;

    scheme_file(&t->s, "t1", "0123456789abcdefghij");
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        fresh_keys(t);
        assert_true(scheme_compile(&t->s, entries[i]));
        t->s.may_block = false;
        assert_int_equal(show_minted(t, &(struct mint){0}), VERIFY_MUST_WAIT);
        t->s.may_block = true;
        assert_int_equal(show_minted(t, &(struct mint){0}), VERIFY_GOOD);
        assert_int_equal(show_minted(t, &(struct mint){.claims = {{"sub", "\"" OTHER "\""},
                                                                  {"oid", "\"" OTHER "\""},
                                                                  {"azp", "\"" OTHER "\""}}}),
                         VERIFY_FORBIDDEN);
    }
}

static void test_verify_entra__known_keys_go_on_while_entra_is_down(void **state)
{
    struct stage *t = *state;

    assert_int_equal(show_minted(t, &(struct mint){0}), VERIFY_GOOD);
    peer_forget(t->peer);
    peer_script(t->peer, &(struct peer_answer){.status = 500});
    hands_turn(&t->s.hands, HOUR_MS);
    assert_int_equal(show_minted(t, &(struct mint){0}), VERIFY_GOOD);
    assert_int_equal(show_minted(t, &(struct mint){.slot = KEY_UNKNOWN}), VERIFY_UNAVAILABLE);
    assert_int_equal(show_minted(t, &(struct mint){0}), VERIFY_GOOD);
}

/* ---- settings ------------------------------------------------------------------------------------------ */

static void test_verify_entra__names_what_is_wrong_with_its_settings(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        {"[{entra: {audience: [x]}}]", "start refused without an allow-list"},
        {"[{entra: {audience: [x], clients: [], roles: [], objects: []}}]", "allow-list"},
        {"[{entra: {clients: [x]}}]", "audience"},
        {"[{entra: {audience: [], clients: [x]}}]", "audience"},
        {"[{entra: {audience: [\"\"], clients: [x]}}]", "empty"},
        {"[{entra: {audience: [x], clients: [\"\"]}}]", "empty"},
        {"[{entra: {audience: [x], roles: [\"\"]}}]", "empty"},
        {"[{entra: {audience: [x], clients: [x], leeway: 6m}}]", "leeway"},
        {"[{entra: {audience: [x], clients: [x], leeway: forever}}]", "leeway"},
        {"[{entra: {audience: [x], client: [x]}}]", "clients"},
        {"[{entra: {}}]", "audience"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_false(scheme_compile(&t->s, rows[i].yaml));
        if (!strstr(scheme_faults(&t->s), rows[i].says))
            fail_msg("%s: %s", rows[i].yaml, scheme_faults(&t->s));
        assert_int_equal(strncmp(scheme_faults(&t->s), "1:", 2), 0);
    }
    /* The contract's own example. */
    assert_true(scheme_compile(
        &t->s,
        "[{entra: {audience: [\"api://cordon\"], clients: [app-id], roles: [], objects: []}}]"));
    assert_string_equal(verifier_challenge(t->s.verifier), "Bearer");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_verify_entra__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(takes_tokens_of_both_versions),
        TEST(takes_what_the_reference_prints),
        TEST(any_one_list_admits),
        TEST(takes_persons_where_persons_answer),
        TEST(names_a_person_and_his_object),
        TEST(judges_times_with_leeway),
        TEST(refuses_every_broken_token),
        TEST(refuses_tokens_cut_and_glued),
        TEST(refuses_every_single_bit_flip),
        TEST(wants_one_bearer),
        TEST(names_what_is_not_listed),
        TEST(follows_a_rotation),
        TEST(keys_out_of_reach_deny_nobody),
        TEST(what_waits_stands_above_what_is_denied),
        TEST(known_keys_go_on_while_entra_is_down),
        TEST(names_what_is_wrong_with_its_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
