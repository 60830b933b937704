/* test_credentials.c - cordon's application proves itself by a certificate, by a file of the platform's, and by the
 * identity of the machine: Entra ID (the simulator, which takes no other) gives tokens for it, and the machine is
 * isolated.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auto.h"
#include "buf.h"
#include "kit/certs.h"
#include "kit/house.h"
#include "kit/peer.h"
#include "kit/program.h"

#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define DIR_MAX 300

static struct house *open_house(void)
{
    static const struct house_options o = {.not_yet = true};

    return house_start(&o);
}

/* The credential in the configuration, in place of `was`; both with DIR for the house's folder. */
static void prove_by(struct house *h, const char *was, const char *lines)
{
    char text[2][1000];
    const char *in[] = {was, lines};

    for (int i = 0; i < 2; i++) {
        char *end = text[i];

        for (const char *p = in[i]; *p;) {
            if (strncmp(p, "DIR", 3) == 0) {
                end += snprintf(end, DIR_MAX, "%s", h->dir);
                p += 3;
            } else {
                *end++ = *p++;
            }
        }
        *end = '\0';
    }
    house_edit(h, text[0], text[1]);
}

#define SECRET      "    client_secret_file: DIR/client-secret\n"
#define CERTIFICATE "    certificate_file: DIR/app.pem\n    key_file: DIR/app.key\n"
#define FEDERATED   "    federated_token_file: DIR/federated\n"
#define IDENTITY    "    managed_identity: true\n"

/* A certificate and its key, as an administrator makes them. */
static void make_certificate(struct house *h, const char *name)
{
    char key[DIR_MAX + 20], cert[DIR_MAX + 20];
    struct ran ran;

    (void)snprintf(key, sizeof key, "%s/%s.key", h->dir, name);
    (void)snprintf(cert, sizeof cert, "%s/%s.pem", h->dir, name);
    program_run(&ran, NULL, NULL,
                (const char *[]){"/usr/bin/openssl", "req", "-x509", "-newkey", "rsa:2048",
                                 "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=cordon",
                                 "-days", "30", NULL});
    if (ran.code)
        fail_msg("openssl: %s", ran.err);
    ran_clear(&ran);
}

/* What the simulator knows of the application from now on. */
static void register_app(struct house *h, const char *key, const char *value)
{
    AUTO(buf_clear) struct buf spec = BUF_INIT(32768);
    struct json_out o = JSON_OUT(&spec);

    json_out_object(&o, NULL);
    json_out_string(&o, "client_id", h->sim->client_id);
    json_out_string(&o, "secret", "not told to cordon");
    json_out_string(&o, key, value);
    json_out_object_end(&o);
    sim_tell(h->sim, "/clients", buf_text(&spec));
}

static void isolates(struct house *h, const char *alert)
{
    AUTO(json_freep) struct json *answer = NULL;

    sim_tell(h->sim, "/machines", "{\"id\":\"" MACHINE "\"}");
    sim_tellf(h->sim, "/alerts",
              "{\"id\":\"%s\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}", alert);
    answer = house_push(h, alert, MACHINE, 202);
    json_free(house_wait_case(h, answer, "done", 30000));
    assert_int_equal(sim_count_calls(h->sim, "POST", "/api/machines/*/isolate"), 1);
}

static void test_credentials__a_certificate_signs_for_the_application(void **state)
{
    struct house *h = open_house();
    char path[DIR_MAX + 20], pem[16384];
    FILE *f;

    (void)state;
    make_certificate(h, "app");
    (void)snprintf(path, sizeof path, "%s/app.pem", h->dir);
    f = fopen(path, "re");
    assert_non_null(f);
    pem[fread(pem, 1, sizeof pem - 1, f)] = '\0';
    (void)fclose(f);
    register_app(h, "certificate", pem);
    prove_by(h, SECRET, CERTIFICATE);
    house_cordon_start(h);
    isolates(h, "da1_-1");
    house_stop(h);
}

/* The simulator takes exactly the text that the platform wrote last. */
static void test_credentials__a_file_of_the_platform_is_read_for_each_token(void **state)
{
    struct house *h = open_house();

    (void)state;
    free(house_write_file(h, "federated", "eyJ.of-yesterday.sig"));
    prove_by(h, SECRET, FEDERATED);
    house_cordon_start(h);
    register_app(h, "assertion", "eyJ.of-today.sig");
    free(house_write_file(h, "federated", "eyJ.of-today.sig\n"));
    isolates(h, "da1_-1");
    house_log_lacks(h, "eyJ.of-today.sig");
    house_stop(h);
}

static void test_credentials__the_machine_has_an_identity(void **state)
{
    static const char target[] = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=";
    struct house *h = open_house();
    struct peer *metadata = peer_new(NULL);
    AUTO(auto_free) char *token = sim_token(h->sim);
    char body[20000];

    (void)state;
    (void)snprintf(body, sizeof body,
                   "{\"access_token\":\"%s\",\"expires_in\":\"3599\",\"token_type\":\"Bearer\","
                   "\"resource\":\"https://api.securitycenter.microsoft.com\"}",
                   token);
    peer_script(metadata, &(struct peer_answer){
                              .method = "GET", .target = target, .status = 200, .body = body});
    prove_by(h, SECRET, IDENTITY);
    assert_int_equal(setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", peer_url(metadata), 1), 0);
    house_cordon_start(h);
    assert_int_equal(unsetenv("AZURE_POD_IDENTITY_AUTHORITY_HOST"), 0);
    isolates(h, "da1_-1");
    assert_string_equal(peer_header(peer_request(metadata, 0), "Metadata"), "true");
    assert_null(strstr(peer_request(metadata, 0)->target, ".default"));
    assert_non_null(strstr(peer_request(metadata, 0)->target, h->sim->client_id));
    house_log_lacks(h, token);
    house_stop(h);
    peer_free(metadata);
}

static void test_credentials__check_says_what_is_wrong_with_them(void **state)
{
    static const struct {
        const char *lines, *says;
    } rows[] = {
        {"    certificate_file: DIR/app.pem\n", "key_file is missing"},
        {"    key_file: DIR/app.key\n", "certificate_file is missing"},
        {"    certificate_file: DIR/app.pem\n    key_file: DIR/other.key\n", "does not belong"},
        {"    certificate_file: DIR/ec.pem\n    key_file: DIR/ec.key\n", "no RSA key"},
        {"    certificate_file: DIR/app.key\n    key_file: DIR/app.key\n", "no certificate in PEM"},
        {"    certificate_file: DIR/app.pem\n    key_file: DIR/app.pem\n", "no private key in PEM"},
        {CERTIFICATE IDENTITY, "not several"},
        {"", "client_secret_file is missing"},
    };
    struct house *h = open_house();
    struct cert *ec = cert_new(&(struct cert_wish){.name = "cordon", .days = 30});
    const char *was = SECRET "    api_url";
    char key[DIR_MAX + 20], pem[DIR_MAX + 20];

    (void)state;
    make_certificate(h, "app");
    make_certificate(h, "other");
    (void)snprintf(pem, sizeof pem, "%s/ec.pem", h->dir);
    (void)snprintf(key, sizeof key, "%s/ec.key", h->dir);
    cert_save(ec, pem, key);
    cert_free(ec);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static char lines[2][1000];
        char *now = lines[i % 2];
        char *out = NULL;

        (void)snprintf(now, sizeof lines[0], "%s    api_url", rows[i].lines);
        prove_by(h, was, now);
        was = now;
        assert_int_equal(house_run(h, &out, (const char *[]){"check", "-c", h->config_file, NULL}),
                         1);
        if (!strstr(out, rows[i].says))
            fail_msg("%s: not found in: %s", rows[i].says, out);
        free(out);
    }
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_credentials__a_certificate_signs_for_the_application),
        cmocka_unit_test(test_credentials__a_file_of_the_platform_is_read_for_each_token),
        cmocka_unit_test(test_credentials__the_machine_has_an_identity),
        cmocka_unit_test(test_credentials__check_says_what_is_wrong_with_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
