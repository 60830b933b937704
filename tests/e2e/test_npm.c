/* test_npm.c - what the public libraries of senders sign, cordon takes; with a changed byte it does not.
 *
 * The libraries (standardwebhooks, svix, @octokit/webhooks-methods, stripe, jose) are those of npm, in the versions
 * of tests/npm/package.json; tests/npm/sign.mjs signs with them. Skipped only where npm cannot be reached. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auto.h"
#include "buf.h"
#include "kit/house.h"
#include "kit/peer.h"
#include "kit/program.h"

#define SOON     20000 /* ms; a deadline, not a wait */
#define TEXT     "0rnQbqHyOWrKxV1Zc0dB2EwS4yYJgS3K"
#define TENANT   "11111111-2222-3333-4444-555555555555" /* whose authority is scripted */
#define AUDIENCE "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
#define CLIENT   "99999999-8888-7777-6666-555555555555"
#define ISSUER   "https://login.microsoftonline.com/" TENANT "/v2.0"

static const char sources[] =
    "    verify: [{standard_webhooks: {secret_files: [whsec]}}]\n"
    "  standardwebhooks: {tenant: contoso, verify: [{standard_webhooks: {secret_files: [whsec]}}]}\n"
    "  svix: {tenant: contoso, verify: [{standard_webhooks: {secret_files: [whsec]}}]}\n"
    "  github: {tenant: contoso, verify: [{hmac: {preset: github, secret_files: text}}]}\n"
    "  stripe: {tenant: contoso, verify: [{hmac: {preset: stripe, secret_files: text}}]}\n"
    "  jose:\n    tenant: other\n"
    "    verify: [{entra: {audience: [" AUDIENCE "], clients: [" CLIENT "]}}]\n";

/* A house for all of them, whose second tenant has its keys from the peer. */
static struct house *open_house(struct peer *peer)
{
    const struct house_options o = {.source = sources, .not_yet = true};
    struct house *h = house_start(&o);
    char tenant[1200];

    free(house_write_file(h, "whsec", h->secret));
    free(house_write_file(h, "text", TEXT));
    (void)snprintf(tenant, sizeof tenant,
                   "  other:\n    tenant_id: " TENANT "\n    client_id: " CLIENT "\n"
                   "    client_secret_file: text\n    api_url: %s\n    login_url: %s\nsources:\n",
                   h->sim->api_url, peer_url(peer));
    house_edit(h, "sources:\n", tenant);
    house_cordon_start(h);
    return h;
}

/* Lets the libraries sign; skips the test where there are none. */
static struct json *signed_requests(const struct house *h)
{
    struct json *doc = NULL;
    char script[PATH_MAX + 600], own[PATH_MAX];
    struct ran ran;

    program_run(&ran, NULL, NULL, (const char *[]){"tests/npm/install", NULL});
    if (ran.code == 3) {
        print_message("%s", ran.out);
        ran_clear(&ran);
        return NULL;
    }
    if (ran.code != 0)
        fail_msg("tests/npm/install: exit %d\n%s%s", ran.code, ran.out, ran.err);
    ran_clear(&ran);
    assert_non_null(realpath("tests/npm/sign.mjs", own));
    (void)snprintf(script, sizeof script,
                   "cd build/npm && echo '{\"whsec\":\"%s\",\"text\":\"" TEXT
                   "\",\"tenant\":\"" TENANT "\",\"audience\":\"" AUDIENCE "\",\"client\":\"" CLIENT
                   "\"}' | node '%s'",
                   h->secret, own);
    program_run(&ran, NULL, NULL, (const char *[]){"/bin/sh", "-c", script, NULL});
    if (ran.code != 0 || json_parse(ran.out, strlen(ran.out), &doc, NULL))
        fail_msg("sign.mjs: exit %d\n%s%s", ran.code, ran.out, ran.err);
    ran_clear(&ran);
    return doc;
}

/* Entra, as far as cordon's door needs it: the key that jose signed with. */
static void script_authority(struct peer *peer, const struct json *doc, struct buf *discovery,
                             struct buf *keys)
{
    buf_addf(discovery, "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"%s/keys\"}", peer_url(peer));
    json_write(keys, json_get(doc, "jwks"));
    peer_script(peer,
                &(struct peer_answer){.method = "GET",
                                      .target = "/" TENANT "/v2.0/.well-known/openid-configuration",
                                      .status = 200,
                                      .body = buf_text(discovery)});
    peer_script(peer,
                &(struct peer_answer){
                    .method = "GET", .target = "/keys", .status = 200, .body = buf_text(keys)});
}

enum change { NOTHING, BODY, PROOF };

/* Sends a request of the list as it is, or with one byte changed; the status of the answer. */
static int send_request(struct house *h, const struct json *request, enum change change, char **ret)
{
    const char *source = json_get_string(request, "source");
    const char *proof = json_get_string(request, "proof");
    const char *headers[8] = {"Content-Type: application/json"};
    char *body = strdup(json_get_string(request, "body")), *copies[8] = {NULL}, url[400];
    struct fetched f;
    size_t n = 1;
    int status;

    assert_non_null(body);
    JSON_EACH (header, json_get(request, "headers")) {
        char *text = strdup(json_string(header));

        assert_non_null(text);
        if (change == PROOF && strncasecmp(text, proof, strlen(proof)) == 0) {
            char *last = text + strlen(text) - 10; /* well within a MAC or a signature */

            *last = *last == '0' ? '1' : '0';
        }
        assert_true(n < 7);
        copies[n] = text;
        headers[n++] = text;
    }
    if (change == BODY)
        body[strlen(body) - 4] ^= 1; /* the last letter of `note` */
    (void)snprintf(url, sizeof url, "%s/hooks/%s", h->hooks, source);
    (void)fetch(&f, "POST", url, headers, body, strlen(body), SOON);
    status = f.status;
    if (ret)
        *ret = strdup(f.body);
    fetched_clear(&f);
    for (size_t i = 1; i < n; i++)
        free(copies[i]);
    free(body);
    return status;
}

static void test_npm__what_public_libraries_sign_is_taken_and_no_other_byte(void **state)
{
    struct buf discovery = BUF_INIT(1 << 16), keys = BUF_INIT(1 << 16);
    struct peer *peer = peer_new(NULL);
    struct house *h = open_house(peer);
    struct json *doc = signed_requests(h);
    size_t n = 0;

    (void)state;
    if (!doc) {
        house_stop(h);
        peer_free(peer);
        skip();
    }
    script_authority(peer, doc, &discovery, &keys);
    JSON_EACH (request, json_get(doc, "requests")) {
        const char *source = json_get_string(request, "source");
        char *answer = NULL;
        int status;

        /* A token says nothing of the body; what signs it, signs every byte. */
        if (strcmp(source, "jose") != 0)
            assert_int_equal(send_request(h, request, BODY, NULL), 401);
        assert_int_equal(send_request(h, request, PROOF, NULL), 401);
        status = send_request(h, request, NOTHING, &answer);
        if (status != 202)
            fail_msg("%s: HTTP %d: %s", source, status, answer);
        free(answer);
        status = send_request(h, request, NOTHING, &answer);
        if (status != 200)
            fail_msg("%s, again: HTTP %d: %s", source, status, answer);
        free(answer);
        n++;
    }
    assert_int_equal(n, 5);
    house_log_lacks(h, TEXT);
    house_log_lacks(h, h->secret + 6);
    house_stop(h);
    peer_free(peer);
    buf_clear(&discovery);
    buf_clear(&keys);
    json_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_npm__what_public_libraries_sign_is_taken_and_no_other_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
