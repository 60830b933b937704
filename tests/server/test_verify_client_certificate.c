/* test_verify_client_certificate.c - whose certificate is good, by its CA and name or by its fingerprint, and
 * which are not for all that they look like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kit/certs.h"
#include "kit/scheme.h"
#include "kit/torture.h"

#define NAMES(list) "[{client_certificate: {ca_file: ca, names: [" list "]}}]"

struct stage {
    struct scheme s;
    struct cert *ca, *other_ca, *leaf;
    unsigned char *shown; /* what s.certificates points at */
};

static void save(struct stage *t, const char *name, const struct cert *c)
{
    scheme_file(&t->s, name, ""); /* it is removed with the others */
    cert_save(c, t->s.paths[t->s.n_paths - 1], NULL);
}

static int setup(void **state)
{
    struct stage *t = calloc(1, sizeof *t);

    assert_non_null(t);
    scheme_open(&t->s);
    t->s.source.tls = true;
    t->s.hands.wall = (int64_t)time(NULL) * 1000; /* what certificates are made for */
    t->ca = cert_new(&(struct cert_wish){.name = "CA", .days = 10});
    t->other_ca = cert_new(&(struct cert_wish){.name = "CA", .days = 10});
    t->leaf = cert_new(&(struct cert_wish){
        .name = "relay.contoso.example", .issuer = t->ca, .purpose = "clientAuth", .days = 5});
    save(t, "ca", t->ca);
    save(t, "leaf", t->leaf);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct stage *t = *state;

    scheme_close(&t->s);
    cert_free(t->ca);
    cert_free(t->other_ca);
    cert_free(t->leaf);
    free(t->shown);
    free(t);
    return 0;
}

/* The next requests come over a connection that showed these; NULL ends. */
static void show(struct stage *t, const struct cert *const *chain)
{
    size_t len = 0;

    free(t->shown);
    t->shown = NULL;
    for (; *chain; chain++) {
        size_t n;
        unsigned char *der = cert_der(*chain, &n);

        t->shown = realloc(t->shown, len + n);
        assert_non_null(t->shown);
        memcpy(t->shown + len, der, n);
        len += n;
        free(der);
    }
    t->s.certificates = t->shown;
    t->s.certificates_len = len;
}

static enum verify_verdict ask(struct stage *t, struct verify_result *ret)
{
    static const struct scheme_header none[] = {{NULL, NULL}};

    return scheme_ask(&t->s, none, NULL, 0, ret);
}

static enum verify_verdict ask_with(struct stage *t, const struct cert *c,
                                    struct verify_result *ret)
{
    show(t, (const struct cert *const[]){c, NULL});
    return ask(t, ret);
}

/* A new certificate's verdict. */
static enum verify_verdict ask_new(struct stage *t, const struct cert_wish *wish)
{
    struct cert *c = cert_new(wish);
    struct verify_result r;
    enum verify_verdict verdict = ask_with(t, c, &r);

    cert_free(c);
    return verdict;
}

static void fingerprint(const struct cert *c, bool colons, bool upper, char out[100])
{
    unsigned char md[EVP_MAX_MD_SIZE], *der;
    unsigned n = 0;
    size_t len;

    der = cert_der(c, &len);
    assert_int_equal(EVP_Digest(der, len, md, &n, EVP_sha256(), NULL), 1);
    free(der);
    *out = '\0';
    for (unsigned i = 0; i < n; i++)
        (void)snprintf(out + strlen(out), 4, upper ? "%s%02X" : "%s%02x", colons && i ? ":" : "",
                       md[i]);
}

static void pin(struct stage *t, const struct cert *c)
{
    char print[100], yaml[200];

    fingerprint(c, false, false, print);
    (void)snprintf(yaml, sizeof yaml, "[{client_certificate: {fingerprints: ['%s']}}]", print);
    if (!scheme_compile(&t->s, yaml))
        fail_msg("%s: %s", yaml, scheme_faults(&t->s));
}

static void test_client_certificate__takes_a_listed_name_of_its_ca(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    assert_true(scheme_compile(&t->s, NAMES("other.example, relay.contoso.example")));
    if (ask_with(t, t->leaf, &r) != VERIFY_GOOD)
        fail_msg("%s", r.why);
    assert_string_equal(r.key, "relay.contoso.example");
    assert_null(r.delivery_id);
    assert_null(r.tenant_id);
    assert_string_equal(verifier_challenge(t->s.verifier), "ClientCertificate");
    t->s.certificates = NULL;
    t->s.certificates_len = 0;
    assert_int_equal(ask(t, &r), VERIFY_DENIED);
    assert_true(scheme_compile(&t->s, NAMES("other.example")));
    assert_int_equal(ask_with(t, t->leaf, &r), VERIFY_FORBIDDEN); /* ours, but not on the list */
}

static void test_client_certificate__without_a_ca_of_its_own_takes_that_of_listen(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    t->s.source.client_ca_file = t->s.paths[0];
    assert_true(scheme_compile(&t->s, "[{client_certificate: {names: [relay.contoso.example]}}]"));
    assert_int_equal(ask_with(t, t->leaf, &r), VERIFY_GOOD);
}

static void test_client_certificate__refuses_what_its_ca_did_not_issue_for_clients(void **state)
{
    struct stage *t = *state;
    struct verify_result r;
    struct cert_wish wish = {.name = "relay.contoso.example", .issuer = t->ca, .days = 5};

    assert_true(scheme_compile(&t->s, NAMES("relay.contoso.example, CA")));
    wish.purpose = "clientAuth";
    assert_int_equal(ask_new(t, &wish), VERIFY_GOOD);
    wish.purpose = "serverAuth,clientAuth";
    assert_int_equal(ask_new(t, &wish), VERIFY_GOOD);
    wish.purpose = "serverAuth";
    assert_int_equal(ask_new(t, &wish), VERIFY_DENIED);
    wish.purpose = "emailProtection";
    assert_int_equal(ask_new(t, &wish), VERIFY_DENIED);
    wish.purpose = ""; /* a CA below ours */
    assert_int_equal(ask_new(t, &wish), VERIFY_DENIED);
    wish.purpose = "clientAuth";
    wish.days = -2;
    assert_int_equal(ask_new(t, &wish), VERIFY_DENIED);
    wish.days = 5;
    wish.issuer = t->other_ca; /* of the same name */
    assert_int_equal(ask_new(t, &wish), VERIFY_DENIED);
    wish.issuer = NULL;
    assert_int_equal(ask_new(t, &wish), VERIFY_DENIED);
    assert_int_equal(ask_with(t, t->ca, &r), VERIFY_DENIED);
    wish.issuer = t->leaf; /* who is no CA */
    {
        struct cert *c = cert_new(&wish);

        show(t, (const struct cert *const[]){c, t->leaf, NULL});
        assert_int_equal(ask(t, &r), VERIFY_DENIED);
        cert_free(c);
    }
}

static void test_client_certificate__follows_the_chain_that_is_shown(void **state)
{
    struct stage *t = *state;
    struct verify_result r;
    struct cert *below =
        cert_new(&(struct cert_wish){.name = "Issuing", .issuer = t->ca, .days = 5});
    struct cert *leaf = cert_new(
        &(struct cert_wish){.name = "relay", .issuer = below, .purpose = "clientAuth", .days = 5});

    assert_true(scheme_compile(&t->s, NAMES("relay")));
    assert_int_equal(ask_with(t, leaf, &r), VERIFY_DENIED);
    show(t, (const struct cert *const[]){leaf, below, NULL});
    assert_int_equal(ask(t, &r), VERIFY_GOOD);
    show(t, (const struct cert *const[]){leaf, t->other_ca, t->other_ca, below, t->ca, NULL});
    assert_int_equal(ask(t, &r), VERIFY_GOOD);
    show(t, (const struct cert *const[]){below, leaf, NULL}); /* its own stands first */
    assert_int_equal(ask(t, &r), VERIFY_DENIED);
    /* An issuing CA may be trusted without its root. */
    save(t, "below", below);
    assert_true(scheme_compile(&t->s, "[{client_certificate: {ca_file: below, names: [relay]}}]"));
    assert_int_equal(ask_with(t, leaf, &r), VERIFY_GOOD);
    cert_free(leaf);
    cert_free(below);
}

/* What the sender's own certificate must be, those between it and the CA must be too: of the time, and for clients. */
static void test_client_certificate__a_ca_between_must_be_good_itself(void **state)
{
    struct stage *t = *state;
    const int64_t now = t->s.hands.wall;
    struct verify_result r;
    struct cert *below =
        cert_new(&(struct cert_wish){.name = "Issuing", .issuer = t->ca, .days = 2});
    struct cert *leaf = cert_new(
        &(struct cert_wish){.name = "relay", .issuer = below, .purpose = "clientAuth", .days = 5});
    X509_EXTENSION *servers = X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, "serverAuth");

    assert_true(scheme_compile(&t->s, NAMES("relay")));
    show(t, (const struct cert *const[]){leaf, below, NULL});
    assert_int_equal(ask(t, &r), VERIFY_GOOD);
    t->s.hands.wall = now + INT64_C(3) * 86400 * 1000;
    assert_int_equal(ask(t, &r), VERIFY_DENIED);
    assert_non_null(strstr(r.why, "expired"));
    t->s.clock_is_off = true; /* and then nobody can say */
    assert_int_equal(ask(t, &r), VERIFY_UNAVAILABLE);
    assert_non_null(strstr(r.why, "expired"));
    t->s.clock_is_off = false;
    t->s.hands.wall = now;
    assert_int_equal(ask(t, &r), VERIFY_GOOD);
    assert_int_equal(X509_add_ext(below->x509, servers, -1), 1);
    assert_true(X509_sign(below->x509, t->ca->key, EVP_sha256()) > 0);
    show(t, (const struct cert *const[]){leaf, below, NULL});
    assert_int_equal(ask(t, &r), VERIFY_DENIED);
    X509_EXTENSION_free(servers);
    cert_free(leaf);
    cert_free(below);
    /* and its key strong */
    below = cert_new(&(struct cert_wish){.name = "Issuing", .issuer = t->ca, .days = 5});
    EVP_PKEY_free(below->key);
    below->key = EVP_RSA_gen(1024);
    assert_int_equal(X509_set_pubkey(below->x509, below->key), 1);
    assert_true(X509_sign(below->x509, t->ca->key, EVP_sha256()) > 0);
    leaf = cert_new(
        &(struct cert_wish){.name = "relay", .issuer = below, .purpose = "clientAuth", .days = 5});
    show(t, (const struct cert *const[]){leaf, below, NULL});
    assert_int_equal(ask(t, &r), VERIFY_DENIED);
    cert_free(leaf);
    cert_free(below);
}

/* Of a chain without end nobody looks for the end. */
static void test_client_certificate__a_chain_has_a_greatest_length(void **state)
{
    struct stage *t = *state;
    struct verify_result r;
    struct cert *between[6];
    const struct cert *chain[8] = {NULL};

    assert_true(scheme_compile(&t->s, NAMES("relay")));
    for (size_t i = 0; i < 6; i++) {
        char name[20];

        (void)snprintf(name, sizeof name, "Issuing %zu", i);
        between[i] = cert_new(
            &(struct cert_wish){.name = name, .issuer = i ? between[i - 1] : t->ca, .days = 5});
    }
    for (size_t n = 5; n <= 6; n++) {
        struct cert *leaf = cert_new(&(struct cert_wish){
            .name = "relay", .issuer = between[n - 1], .purpose = "clientAuth", .days = 5});

        chain[0] = leaf;
        for (size_t i = 0; i < n; i++)
            chain[1 + i] = between[n - 1 - i];
        chain[1 + n] = NULL;
        show(t, chain);
        assert_int_equal(ask(t, &r), n == 5 ? VERIFY_GOOD : VERIFY_DENIED);
        cert_free(leaf);
    }
    for (size_t i = 0; i < 6; i++)
        cert_free(between[i]);
}

static void test_client_certificate__compares_names_by_their_kind(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *listed, *cn, *names;
        bool good;
    } rows[] = {
        {"relay.example", "x", "DNS:relay.example", true},
        {"relay.example", "x", "DNS:RELAY.example", true},
        {"relay.example", "x", "DNS:a.example,DNS:relay.example", true},
        {"'spiffe://a/relay'", "x", "URI:spiffe://a/relay", true},
        {"a@b.example", "x", "email:a@b.example", true},
        {"a@b.example", "x", "email:a@B.Example", true},
        {"Relay", "Relay", "", true},
        {"relay.example", "x", "DNS:*.example", false},
        {"relay.example", "x", "DNS:relay.example.org", false},
        {"relay.example", "x", "DNS:xrelay.example", false},
        {"relay.example", "x", "URI:relay.example", false},
        {"relay.example", "x", "email:relay.example", false},
        {"'spiffe://a/relay'", "x", "URI:spiffe://a/Relay", false},
        {"'spiffe://a/relay'", "x", "DNS:spiffe://a/relay", false},
        {"a@b.example", "x", "email:A@b.example", false},
        {"a@b.example", "x", "DNS:a@b.example", false},
        {"Relay", "relay", "", false},
        {"Relay", "Relay", "DNS:other", false},    /* names there are, so the CN is none */
        {"Relay", "Relay", "IP:127.0.0.1", false}, /* even if of another kind */
        {"a@b.example", "a@b.example", "", false}, /* a CN is a plain name */
        {"'urn:relay'", "urn:relay", "", false},
        {"127.0.0.1", "x", "IP:127.0.0.1", false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char yaml[200];
        const struct cert_wish wish = {.name = rows[i].cn,
                                       .issuer = t->ca,
                                       .purpose = "clientAuth",
                                       .days = 5,
                                       .names = rows[i].names};

        (void)snprintf(yaml, sizeof yaml, NAMES("%s"), rows[i].listed);
        assert_true(scheme_compile(&t->s, yaml));
        if (ask_new(t, &wish) != (rows[i].good ? VERIFY_GOOD : VERIFY_FORBIDDEN))
            fail_msg("%s against '%s' (%s)", rows[i].listed, rows[i].names, rows[i].cn);
    }
}

/* "relay.example" must not be had by "relay.example\0.attacker.example", nor by two common names. */
static void test_client_certificate__is_not_fooled_by_odd_names(void **state)
{
    struct stage *t = *state;
    struct verify_result r;
    struct cert *c = cert_new(&(struct cert_wish){
        .name = "relay", .issuer = t->ca, .purpose = "clientAuth", .days = 5, .names = ""});
    X509_NAME *subject = X509_get_subject_name(c->x509);
    X509_NAME *plain = X509_NAME_dup(subject);

    assert_true(scheme_compile(&t->s, NAMES("relay")));
    assert_int_equal(ask_with(t, c, &r), VERIFY_GOOD);
    assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                                (const unsigned char *)"x", -1, -1, 0),
                     1);
    assert_true(X509_sign(c->x509, t->ca->key, EVP_sha256()) > 0);
    assert_int_equal(ask_with(t, c, &r), VERIFY_FORBIDDEN);
    X509_NAME_ENTRY_free(X509_NAME_delete_entry(plain, 0));
    assert_int_equal(X509_NAME_add_entry_by_txt(plain, "CN", MBSTRING_UTF8,
                                                (const unsigned char *)"relay\0x", 7, -1, 0),
                     1);
    assert_int_equal(X509_set_subject_name(c->x509, plain), 1);
    assert_true(X509_sign(c->x509, t->ca->key, EVP_sha256()) > 0);
    assert_int_equal(ask_with(t, c, &r), VERIFY_FORBIDDEN);
    X509_NAME_free(plain);
    cert_free(c);
}

static void test_client_certificate__takes_pinned_ones_that_nobody_issued(void **state)
{
    struct stage *t = *state;
    static const char *const purposes[] = {"clientAuth", "clientAuth,serverAuth", ""};
    struct verify_result r;

    for (size_t i = 0; i < sizeof purposes / sizeof *purposes; i++) {
        struct cert *own =
            cert_new(&(struct cert_wish){.name = "flow", .purpose = purposes[i], .days = 5});
        struct cert *twin =
            cert_new(&(struct cert_wish){.name = "flow", .purpose = purposes[i], .days = 5});

        pin(t, own);
        if (ask_with(t, own, &r) != VERIFY_GOOD)
            fail_msg("%s: %s", purposes[i], r.why);
        assert_int_equal(strlen(r.key), 64);
        assert_int_equal(ask_with(t, twin, &r), VERIFY_DENIED);
        show(t, (const struct cert *const[]){twin, own, NULL}); /* its key was not proven */
        assert_int_equal(ask(t, &r), VERIFY_DENIED);
        show(t, (const struct cert *const[]){own, twin, NULL});
        assert_int_equal(ask(t, &r), VERIFY_GOOD);
        cert_free(own);
        cert_free(twin);
    }
    pin(t, t->leaf); /* one that a CA issued, too */
    assert_int_equal(ask_with(t, t->leaf, &r), VERIFY_GOOD);
}

static void test_client_certificate__a_pin_does_not_excuse_dates_and_purpose(void **state)
{
    struct stage *t = *state;
    struct verify_result r;
    struct cert *servers =
        cert_new(&(struct cert_wish){.name = "flow", .purpose = "serverAuth", .days = 5});
    struct cert *issuing = cert_new(&(struct cert_wish){.name = "flow", .days = 5});
    struct cert *weak =
        cert_new(&(struct cert_wish){.name = "flow", .purpose = "clientAuth", .days = 5});
    const int64_t now = t->s.hands.wall;

    pin(t, t->leaf);
    t->s.hands.wall = now + INT64_C(4) * 86400 * 1000;
    assert_int_equal(ask_with(t, t->leaf, &r), VERIFY_GOOD);
    t->s.hands.wall = now + INT64_C(6) * 86400 * 1000;
    assert_int_equal(ask_with(t, t->leaf, &r), VERIFY_DENIED);
    assert_non_null(strstr(r.why, "expired"));
    t->s.hands.wall = now - INT64_C(2) * 86400 * 1000;
    assert_int_equal(ask_with(t, t->leaf, &r), VERIFY_DENIED);
    assert_non_null(strstr(r.why, "not valid yet"));
    t->s.hands.wall = now;
    pin(t, servers);
    assert_int_equal(ask_with(t, servers, &r), VERIFY_DENIED);
    pin(t, issuing); /* whose key may sign certificates alone */
    assert_int_equal(ask_with(t, issuing, &r), VERIFY_DENIED);
    EVP_PKEY_free(weak->key);
    weak->key = EVP_RSA_gen(1024);
    assert_int_equal(X509_set_pubkey(weak->x509, weak->key), 1);
    assert_true(X509_sign(weak->x509, weak->key, EVP_sha256()) > 0);
    pin(t, weak);
    assert_int_equal(ask_with(t, weak, &r), VERIFY_DENIED);
    assert_non_null(strstr(r.why, "weak"));
    cert_free(servers);
    cert_free(issuing);
    cert_free(weak);
}

static void test_client_certificate__reads_fingerprints_as_people_copy_them(void **state)
{
    struct stage *t = *state;
    char print[100], yaml[300];
    struct verify_result r;

    for (int form = 0; form < 4; form++) {
        fingerprint(t->leaf, form & 1, form & 2, print);
        (void)snprintf(yaml, sizeof yaml, "[{client_certificate: {fingerprints: ['%064d', '%s']}}]",
                       7, print);
        assert_true(scheme_compile(&t->s, yaml));
        assert_int_equal(ask_with(t, t->leaf, &r), VERIFY_GOOD);
        assert_string_equal(r.key, print);
    }
}

static void test_client_certificate__refuses_every_single_bit_flip(void **state)
{
    struct stage *t = *state;
    struct verify_result r;

    for (int by_pin = 0; by_pin < 2; by_pin++) {
        if (by_pin)
            pin(t, t->leaf);
        else
            assert_true(scheme_compile(&t->s, NAMES("relay.contoso.example")));
        assert_int_equal(ask_with(t, t->leaf, &r), VERIFY_GOOD);
        for (size_t bit = 0; bit < 8 * t->s.certificates_len; bit += by_pin ? 1 : 7) {
            t->shown[bit / 8] = (unsigned char)(t->shown[bit / 8] ^ 1u << bit % 8);
            if (ask(t, &r) == VERIFY_GOOD)
                fail_msg("bit %zu", bit);
            t->shown[bit / 8] = (unsigned char)(t->shown[bit / 8] ^ 1u << bit % 8);
        }
        for (size_t len = t->s.certificates_len; len-- > 0;) {
            t->s.certificates_len = len;
            assert_int_equal(ask(t, &r), VERIFY_DENIED);
        }
    }
}

static void test_client_certificate__names_what_is_wrong_with_its_settings(void **state)
{
    struct stage *t = *state;
    char good[100];
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        {"{}", "`names`"},
        {"{ca_file: ca}", "every certificate of the CA"},
        {"{ca_file: ca, names: []}", "`names`"},
        {"{names: [relay]}", "Name the `ca_file`"},
        {"{ca_file: gone, names: [relay]}", "gone"},
        {"{ca_file: empty, names: [relay]}", "no certificate"},
        {"{ca_file: leaf, names: [relay]}", "no CA"},
        {"{ca_file: broken, names: [relay]}", "cannot be read"},
        {"{ca_file: ca, names: ['*.example']}", "without wildcards"},
        {"{ca_file: ca, names: ['']}", "names"},
        {"{fingerprints: []}", "`fingerprints`"},
        {"{fingerprints: ['']}", "empty"},
        {"{fingerprints: ['0000000000000000000000000000000000000000']}",
         "64 hex digits"}, /* of SHA-1 */
        {"{fingerprints: ['00:00-00:00:00:00:00:00:00:00:00:00:00:00:00:00:"
         "00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00']}",
         "64 hex digits"},
        {"{fingerprints: ['0g00000000000000000000000000000000000000000000000000000000000000']}",
         "64 hex digits"},
        {"{fingerprints: ['G000000000000000000000000000000000000000000000000000000000000000']}",
         "64 hex digits"},
        {"{fingerprints: ['GOOD:']}", "64 hex digits"},
        {"{fingerprints: ['GOOD0']}", "64 hex digits"},
        {"{fingerprints: ['sha256:GOOD']}", "64 hex digits"},
        {"{fingerprints: ['GOOD'], ca_file: ca}", "needs no CA"},
        {"{fingerprints: ['GOOD'], names: [relay], ca_file: ca}", "two ways"},
        {"{fingerprints: ['GOOD'], name: relay}", "names"},
        {"relay", "client_certificate"},
    };

    fingerprint(t->leaf, false, false, good);
    scheme_file(&t->s, "empty", "nothing of the kind\n");
    scheme_file(&t->s, "broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char yaml[300] = "[{client_certificate: ";
        const char *mark = strstr(rows[i].yaml, "GOOD");

        (void)snprintf(yaml + strlen(yaml), sizeof yaml - strlen(yaml), "%.*s%s%s}]",
                       mark ? (int)(mark - rows[i].yaml) : (int)strlen(rows[i].yaml), rows[i].yaml,
                       mark ? good : "", mark ? mark + 4 : "");
        assert_false(scheme_compile(&t->s, yaml));
        if (!strstr(scheme_faults(&t->s), rows[i].says))
            fail_msg("%s: %s", yaml, scheme_faults(&t->s));
    }
    t->s.source.tls = false;
    assert_false(scheme_compile(&t->s, NAMES("relay")));
    assert_non_null(strstr(scheme_faults(&t->s), "listen.tls"));
}

static void *many(void *arg)
{
    static const struct scheme_header none[] = {{NULL, NULL}};
    const struct stage *t = arg;
    intptr_t wrong = 0;

    for (int i = 0; i < 50; i++) {
        struct arena *arena = arena_new(0);
        struct verify_request q = {.method = "POST",
                                   .header = scheme_header,
                                   .ctx = (void *)(uintptr_t)none,
                                   .certificates = t->shown,
                                   .certificates_len = t->s.certificates_len - (size_t)(i % 2),
                                   .now_ms = t->s.hands.wall,
                                   .arena = arena};
        struct verify_result r = {0};

        verifier_check(t->s.verifier, &t->s.env, &q, &r);
        wrong += (r.verdict == VERIFY_GOOD) != (i % 2 == 0);
        arena_free(arena);
    }
    return (void *)wrong;
}

static void test_client_certificate__judges_for_many_threads(void **state)
{
    struct stage *t = *state;
    pthread_t threads[8];

    assert_true(scheme_compile(&t->s, NAMES("relay.contoso.example")));
    show(t, (const struct cert *const[]){t->leaf, NULL});
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many, t), 0);
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        void *wrong;

        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

static void test_client_certificate__a_lack_of_memory_leaves_nothing_behind(void **state)
{
    struct stage *t = *state;

    for (int by_pin = 0; by_pin < 2; by_pin++) {
        if (by_pin)
            pin(t, t->leaf);
        else
            assert_true(scheme_compile(&t->s, NAMES("relay.contoso.example")));
        show(t, (const struct cert *const[]){t->leaf, NULL});
        for (long n = 1;; n++) {
            struct verify_result r;
            enum verify_verdict verdict;

            torture_arm(n);
            verdict = ask(t, &r);
            if (!torture_disarm())
                break;
            /* OpenSSL does not always say that it could not read something for want of memory; what
             * counts is that nothing of it stays behind. */
            if (verdict != VERIFY_GOOD && !r.why[0])
                fail_msg("allocation %ld: no reason", n);
            if (ask(t, &r) != VERIFY_GOOD)
                fail_msg("after allocation %ld: %s", n, r.why);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_client_certificate__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(takes_a_listed_name_of_its_ca),
        TEST(without_a_ca_of_its_own_takes_that_of_listen),
        TEST(refuses_what_its_ca_did_not_issue_for_clients),
        TEST(follows_the_chain_that_is_shown),
        TEST(a_ca_between_must_be_good_itself),
        TEST(a_chain_has_a_greatest_length),
        TEST(compares_names_by_their_kind),
        TEST(is_not_fooled_by_odd_names),
        TEST(takes_pinned_ones_that_nobody_issued),
        TEST(a_pin_does_not_excuse_dates_and_purpose),
        TEST(reads_fingerprints_as_people_copy_them),
        TEST(refuses_every_single_bit_flip),
        TEST(names_what_is_wrong_with_its_settings),
        TEST(judges_for_many_threads),
        TEST(a_lack_of_memory_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
