/* test_schemes.c - how other senders than relays prove who they are, through the whole server: what they get,
 * what became of it, and what the log tells. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "kit/certs.h"
#include "kit/house.h"
#include "kit/raw.h"

#define SOON   20000 /* ms; a deadline, not a wait */
#define SECRET "0rnQbqHyOWrKxV1Zc0dB2EwS4yYJgS3K"
#define BODY   "{\"alertId\":\"da1_-2\"}"

/* A house whose one source verifies by settings; SECRET stands in the file scheme-secret. */
static struct house *house_with(const char *settings)
{
    const struct house_options options = {.source = settings, .not_yet = true};
    struct house *h = house_start(&options);
    char *path = house_write_file(h, "scheme-secret", SECRET "\n");

    free(path);
    house_cordon_start(h);
    sim_tell(h->sim, "/alerts", "{\"id\":\"da1_-2\",\"severity\":\"Low\",\"title\":\"A title\"}");
    return h;
}

/* Posts BODY to /hooks/relay and what follows; the status of the answer. */
static int post(struct house *h, const char *query, const char *const *headers, struct json **ret)
{
    char url[400];
    struct fetched f;
    int status;

    (void)snprintf(url, sizeof url, "%s/hooks/relay%s", h->hooks, query);
    (void)fetch(&f, "POST", url, headers, BODY, sizeof BODY - 1, SOON);
    status = f.status;
    if (ret)
        assert_int_equal(json_parse(f.body, f.body_len, ret, NULL), ERR_OK);
    fetched_clear(&f);
    return status;
}

static void test_schemes__a_token_in_the_query_is_never_logged(void **state)
{
    static const char *const json[] = {"Content-Type: application/json", NULL};
    static const char *const text[] = {"Content-Type: text/plain", NULL};
    struct house *h =
        house_with("    verify: [{token: {query: key, secret_files: scheme-secret}}]\n");
    char *log;

    (void)state;
    assert_int_equal(post(h, "?key=" SECRET, json, NULL), 202);
    assert_int_equal(post(h, "?key=" SECRET "x", json, NULL), 401);
    assert_int_equal(post(h, "?key=" SECRET "&key=" SECRET, json, NULL), 401);
    assert_int_equal(post(h, "?key=%zz" SECRET, json, NULL), 401);
    assert_int_equal(post(h, "/elsewhere?key=" SECRET, json, NULL), 404);
    assert_int_equal(post(h, "?key=" SECRET, text, NULL), 415);
    json_free(sim_wait_mails(h->sim, 1, SOON));
    house_cordon_stop(h);
    log = house_log(h);
    assert_non_null(strstr(log, "\"refused\""));
    assert_null(strstr(log, "0rnQbq"));
    assert_null(strstr(log, "key="));
    free(log);
    house_stop(h);
}

static void test_schemes__what_github_sends_again_is_done_once(void **state)
{
    struct house *h =
        house_with("    verify: [{hmac: {preset: github, secret_files: scheme-secret}}]\n");
    char signature[120] = "X-Hub-Signature-256: sha256=", *log;
    const char *headers[] = {"Content-Type: application/json", signature, "X-GitHub-Delivery: a-1",
                             NULL};
    struct json *first = NULL, *again = NULL, *other = NULL;
    unsigned char mac[32];
    unsigned n = 0;

    (void)state;
    assert_non_null(HMAC(EVP_sha256(), SECRET, sizeof SECRET - 1, (const unsigned char *)BODY,
                         sizeof BODY - 1, mac, &n));
    for (unsigned i = 0; i < n; i++)
        (void)snprintf(signature + strlen(signature), 3, "%02x", mac[i]);
    assert_int_equal(post(h, "", headers, &first), 202);
    assert_int_equal(post(h, "", headers, &again), 200);
    assert_string_equal(json_get_string(first, "delivery"), json_get_string(again, "delivery"));
    headers[2] = "X-GitHub-Delivery: a-2"; /* another delivery, of the same case */
    assert_int_equal(post(h, "", headers, &other), 200);
    assert_string_not_equal(json_get_string(first, "delivery"), json_get_string(other, "delivery"));
    assert_string_equal(json_string(json_first(json_get(first, "cases"))),
                        json_string(json_first(json_get(other, "cases"))));
    signature[strlen(signature) - 1] ^= 1;
    assert_int_equal(post(h, "", headers, NULL), 401);
    json_free(sim_wait_mails(h->sim, 1, SOON));
    house_wait_quiet(h, SOON);
    json_free(first);
    json_free(again);
    json_free(other);
    house_cordon_stop(h);
    log = house_log(h);
    assert_null(strstr(log, signature + 29));
    free(log);
    house_stop(h);
}

/* What RFC 9421 signs is the address that senders use, here behind a proxy, with its query. */
static void test_schemes__a_signed_message_is_taken_once(void **state)
{
    static const char target[] = "https://cordon.contoso.example/hooks/relay?from=flow";
    const struct house_options options = {
        .source = "    verify: [{http_signature: {secret_files: relay-secret}}]\n",
        .more = "public_url: https://cordon.contoso.example\n",
        .not_yet = true};
    struct house *h = house_start(&options);
    unsigned char md[32], mac[32], key[64], code[50];
    char digest[100], input[300], signature[100], *params, base[900];
    const char *headers[] = {"Content-Type: application/json", digest, input, signature, NULL};
    struct json *first = NULL, *again = NULL;
    unsigned n = 0;

    (void)state;
    free(house_write_file(h, "relay-secret", h->secret));
    house_cordon_start(h);
    sim_tell(h->sim, "/alerts", "{\"id\":\"da1_-2\",\"severity\":\"Low\",\"title\":\"A title\"}");
    assert_int_equal(EVP_Digest(BODY, sizeof BODY - 1, md, &n, EVP_sha256(), NULL), 1);
    (void)EVP_EncodeBlock(code, md, 32);
    (void)snprintf(digest, sizeof digest, "Content-Digest: sha-256=:%s:", (char *)code);
    (void)snprintf(
        input, sizeof input,
        "Signature-Input: s=(\"@method\" \"@target-uri\" \"content-digest\");created=%lld;"
        "nonce=\"n-1\"",
        (long long)time(NULL));
    params = strchr(input, '(');
    (void)snprintf(base, sizeof base,
                   "\"@method\": POST\n\"@target-uri\": %s\n\"content-digest\": %s\n"
                   "\"@signature-params\": %s",
                   target, digest + strlen("Content-Digest: "), params);
    assert_int_equal(
        EVP_DecodeBlock(key, (const unsigned char *)h->secret + 6, (int)strlen(h->secret) - 6), 33);
    assert_non_null(
        HMAC(EVP_sha256(), key, 32, (const unsigned char *)base, strlen(base), mac, &n));
    (void)EVP_EncodeBlock(code, mac, 32);
    (void)snprintf(signature, sizeof signature, "Signature: s=:%s:", (char *)code);
    assert_int_equal(post(h, "", headers, NULL), 401); /* the query is signed */
    assert_int_equal(post(h, "?from=flow", headers, &first), 202);
    assert_int_equal(post(h, "?from=flow", headers, &again), 200);
    assert_string_equal(json_get_string(first, "delivery"), json_get_string(again, "delivery"));
    digest[strlen(digest) - 3] ^= 1;
    assert_int_equal(post(h, "?from=flow", headers, NULL), 401);
    json_free(first);
    json_free(again);
    json_free(sim_wait_mails(h->sim, 1, SOON));
    house_log_lacks(h, (char *)code);
    house_stop(h);
}

/* One push over a connection that shows the certificate in DIR/sender.pem; the status of the answer. */
static unsigned push_with(struct house *h, const struct cert *own, const char *path)
{
    char certificate[300], key[300];
    struct raw_answer answer;
    struct buf b = BUF_INIT(1 << 16);
    struct raw *r;

    (void)snprintf(certificate, sizeof certificate, "%s/sender.pem", h->dir);
    (void)snprintf(key, sizeof key, "%s/sender-key.pem", h->dir);
    if (own)
        cert_save(own, certificate, key);
    r = raw_open_tls(h->hooks + strlen("http://"), own ? certificate : NULL, key, false);
    assert_non_null(r);
    buf_addf(&b,
             "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             path, sizeof BODY - 1, BODY);
    raw_text(r, buf_text(&b));
    buf_clear(&b);
    raw_answer(r, &answer, false);
    raw_free(r);
    return answer.status;
}

/* A house that is to begin with a certificate of its own; verify: of the source relay. */
static struct house *house_with_tls(const struct cert *server, const char *verify)
{
    char source[200], path[300], key[300];
    const struct house_options not_yet = {.source = source, .not_yet = true};
    struct house *h;

    (void)snprintf(source, sizeof source, "    verify: [{%s}]\n", verify);
    h = house_start(&not_yet);
    (void)snprintf(path, sizeof path, "%s/own-tls.pem", h->dir);
    (void)snprintf(key, sizeof key, "%s/own-tls-key.pem", h->dir);
    cert_save(server, path, key);
    house_edit(h, "listen:\n  address: 127.0.0.1:0\n",
               "listen:\n  address: 127.0.0.1:0\n"
               "  tls: {certificate_file: own-tls.pem, key_file: own-tls-key.pem}\n");
    return h;
}

static void fingerprint_of(const struct cert *c, char out[65])
{
    unsigned char md[32], *der;
    unsigned n = 0;
    size_t len;

    der = cert_der(c, &len);
    assert_int_equal(EVP_Digest(der, len, md, &n, EVP_sha256(), NULL), 1);
    free(der);
    for (unsigned i = 0; i < n; i++)
        (void)snprintf(out + (size_t)2 * i, 3, "%02x", md[i]);
}

static void test_schemes__a_certificate_is_asked_for_and_judged_per_source(void **state)
{
    struct cert *server =
        cert_new(&(struct cert_wish){.name = "localhost", .purpose = "serverAuth", .days = 2});
    struct cert *ca = cert_new(&(struct cert_wish){.name = "A CA", .days = 2});
    struct cert *named = cert_new(
        &(struct cert_wish){.name = "relay", .issuer = ca, .purpose = "clientAuth", .days = 2});
    struct cert *other = cert_new(
        &(struct cert_wish){.name = "other", .issuer = ca, .purpose = "clientAuth", .days = 2});
    struct cert *own =
        cert_new(&(struct cert_wish){.name = "flow", .purpose = "clientAuth", .days = 2});
    struct house *h =
        house_with_tls(server, "client_certificate: {ca_file: senders-ca.pem, names: [relay]}");
    char path[300], text[800], print[65];

    (void)state;
    (void)snprintf(path, sizeof path, "%s/senders-ca.pem", h->dir);
    cert_save(ca, path, NULL);
    fingerprint_of(own, print);
    (void)snprintf(text, sizeof text,
                   "sources:\n  flow:\n    tenant: contoso\n    verify: "
                   "[{client_certificate: {fingerprints: ['%s']}}]\n",
                   print);
    house_edit(h, "sources:\n", text);
    house_cordon_start(h);
    sim_tell(h->sim, "/alerts", "{\"id\":\"da1_-2\",\"severity\":\"Low\",\"title\":\"A title\"}");
    assert_int_equal(push_with(h, NULL, "/hooks/relay"), 401);
    assert_int_equal(push_with(h, own, "/hooks/relay"), 401);
    assert_int_equal(push_with(h, other, "/hooks/relay"), 403);
    assert_int_equal(push_with(h, named, "/hooks/flow"), 401);
    assert_int_equal(push_with(h, named, "/hooks/relay"), 202);
    assert_int_equal(push_with(h, own, "/hooks/flow"), 200); /* the same alert */
    json_free(sim_wait_mails(h->sim, 1, SOON));
    house_stop(h);
    cert_free(server);
    cert_free(ca);
    cert_free(named);
    cert_free(other);
    cert_free(own);
}

/* The socket asks for certificates as long as it is open, whether or not a source wants one meanwhile. */
static void test_schemes__a_certificate_that_is_wanted_again_needs_no_restart(void **state)
{
    struct cert *server =
        cert_new(&(struct cert_wish){.name = "localhost", .purpose = "serverAuth", .days = 2});
    struct cert *own =
        cert_new(&(struct cert_wish){.name = "flow", .purpose = "clientAuth", .days = 2});
    char print[65], pinned[120], token[340];
    struct house *h;

    (void)state;
    fingerprint_of(own, print);
    (void)snprintf(pinned, sizeof pinned, "client_certificate: {fingerprints: ['%s']}", print);
    h = house_with_tls(server, pinned);
    (void)snprintf(token, sizeof token, "token: {secret_files: [%s]}", h->secret_file);
    house_cordon_start(h);
    sim_tell(h->sim, "/alerts", "{\"id\":\"da1_-2\",\"severity\":\"Low\",\"title\":\"A title\"}");
    assert_int_equal(push_with(h, own, "/hooks/relay"), 202);
    house_edit(h, pinned, token);
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"reloaded\"", 1, SOON);
    assert_int_equal(push_with(h, own, "/hooks/relay"), 401);
    house_edit(h, token, pinned);
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"reloaded\"", 2, SOON);
    assert_int_equal(push_with(h, own, "/hooks/relay"), 200); /* the same alert */
    json_free(sim_wait_mails(h->sim, 1, SOON));
    house_stop(h);
    cert_free(server);
    cert_free(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schemes__a_token_in_the_query_is_never_logged),
        cmocka_unit_test(test_schemes__what_github_sends_again_is_done_once),
        cmocka_unit_test(test_schemes__a_signed_message_is_taken_once),
        cmocka_unit_test(test_schemes__a_certificate_is_asked_for_and_judged_per_source),
        cmocka_unit_test(test_schemes__a_certificate_that_is_wanted_again_needs_no_restart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
