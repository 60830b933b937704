/* test_config.c - the whole file: every fault with its place, nothing taken that is not done. */
#include "config.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <pthread.h>
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
#include "kit/certs.h"
#include "watch.h"

#define TENANT_KEYS                                                                                \
    "    tenant_id: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"                                        \
    "    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n"                                        \
    "    client_secret_file: secret\n"
#define TENANTS "tenants:\n  contoso:\n" TENANT_KEYS
#define VERIFY  "    verify: [{standard_webhooks: {secret_files: [relay]}}]\n"
#define SOURCES "sources:\n  relay:\n    tenant: contoso\n" VERIFY
#define MAIL                                                                                       \
    "mail: {server: 'smtp://127.0.0.1:25', from: cordon@contoso.example, to: soc@contoso.example}\n"
#define RULES "rules: [{name: tell, do: [email: {}]}]\n"
#define ALL   TENANTS SOURCES MAIL RULES

struct fixture {
    char folder[64], file[96];
    struct arena *arena;
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

static const char *const files[] = {"cordon.yaml", "secret",   "relay",   "token",
                                    "pem",         "defender", "app.kql", "cut"};

/* A certificate and its key in one file, `pem`. */
static void put_pair(const struct fixture *f, int days)
{
    struct cert *c =
        cert_new(&(struct cert_wish){.name = "localhost", .purpose = "serverAuth", .days = days});
    char path[200];
    FILE *out;

    (void)snprintf(path, sizeof path, "%s/pem", f->folder);
    out = fopen(path, "we");
    assert_non_null(out);
    assert_int_equal(PEM_write_PrivateKey(out, c->key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(PEM_write_X509(out, c->x509), 1);
    assert_int_equal(fclose(out), 0);
    cert_free(c);
}

/* A bundle of which the second certificate is cut short, `cut`. */
static void put_cut(const struct fixture *f)
{
    char path[200], text[16384];
    const char *cert;
    size_t len;
    FILE *in;

    (void)snprintf(path, sizeof path, "%s/pem", f->folder);
    in = fopen(path, "re");
    assert_non_null(in);
    len = fread(text, 1, sizeof text - 1, in);
    text[len] = '\0';
    assert_int_equal(fclose(in), 0);
    cert = strstr(text, "-----BEGIN CERTIFICATE");
    assert_non_null(cert);
    put_file(f, "cut", arena_fmt(f->arena, "%s%.300s\n", cert, cert));
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");

    if (!f)
        return -1;
    (void)snprintf(f->folder, sizeof f->folder, "%s/config-XXXXXX",
                   tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(f->folder))
        return -1;
    (void)snprintf(f->file, sizeof f->file, "%s/cordon.yaml", f->folder);
    put_file(f, "secret", "s3cret~.+/=\n");
    put_file(f, "relay", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
    put_file(f, "token", "a-token-of-more-than-thirty-two-characters\n");
    put_pair(f, 90);
    f->arena = arena_new(0);
    put_cut(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char path[200];

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", f->folder, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(f->folder);
    arena_free(f->arena);
    free(f);
    return 0;
}

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

/* The faults as `cordon check` shows them, without the folder. */
static void list_faults(const struct fixture *f, const struct yaml_faults *faults, struct buf *out)
{
    for (const struct yaml_fault *x = faults->first; x; x = x->next) {
        AUTO(buf_clear) struct buf line = BUF_INIT(65536);
        const char *p, *found;

        yaml_fault_write(&line, x);
        for (p = buf_text(&line); (found = strstr(p, f->folder)); p = found + strlen(f->folder) + 1)
            buf_add(out, p, (size_t)(found - p));
        buf_adds(out, p);
        buf_addc(out, '\n');
    }
}

/* Loads text; fails the test with the faults when there are any. */
static struct config *load(struct fixture *f, const char *text)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(65536);
    struct config *config = NULL;
    struct yaml_faults faults;
    struct err e = {0};

    put_file(f, "cordon.yaml", text);
    if (config_load(f->file, no_env, f->arena, &config, &faults, &e)) {
        list_faults(f, &faults, &out);
        fail_msg("%s\n%s", e.text, buf_text(&out));
    }
    return config;
}

static void test_config__every_fault_is_named_with_its_place(void **state)
{
    static const struct {
        const char *text, *faults;
    } rows[] = {
        /* the file as such */
        {"", "cordon.yaml:1:1: the file is empty\n"},
        {"- a\n", "cordon.yaml:1:1: the file: expected a map of settings, found a list\n"},
        {"rules: [\n", NULL},
        {"a: &x 1\n" ALL,
         "cordon.yaml:1:4: anchors (&name) are not supported: write the value out where it is needed; a text that "
         "begins with & needs quotes\n"},
        {RULES ALL, "cordon.yaml:12:1: the key 'rules' is here twice, first in line 1\n"},
        /* the top */
        {"lisen: {}\n" ALL, "cordon.yaml:1:1: lisen: unknown key; did you mean listen?\n"},
        {"severity: 1\n" ALL,
         "cordon.yaml:1:1: severity: unknown key; expected one of listen, admin, public_url, store, retention, tenants, "
         "sources, mail, webhooks, rules, safety, tests, polling, approvers, hunts\n"},
        {"approvers: {tenant: contoso, verify: [{standard_webhooks: {secret_files: [relay]}}]}\n" ALL,
         "cordon.yaml:1:40: approvers.verify: 'standard_webhooks' proves no person; expected entra or "
         "client_certificate\n"},
        {"approvers: {tenant: contoso, verify: [{entra: {audience: [a]}}]}\n" ALL,
         "cordon.yaml:1:40: entra: everybody of the tenant can sign in; name the `roles` or `objects` "
         "of those who may answer\n"},
        {"approvers: {tenant: contoso, verify: [{entra: {audience: [a], clients: [b]}}]}\n" ALL,
         "cordon.yaml:1:72: entra.clients: these are applications, and approvers are persons: name "
         "`roles` or `objects`\n"},
        {"approvers: {tenant: fabrikam, verify: [{entra: {audience: [a], roles: [b]}}]}\n" ALL,
         "cordon.yaml:1:21: approvers.tenant: there is no tenant 'fabrikam'\n"},
        {"approvers: {verify: [{entra: {audience: [a], roles: [b]}}]}\n" ALL,
         "cordon.yaml:1:21: approvers.tenant is missing: whose Entra people sign in to\n"},
        {"approvers: {tenant: contoso}\n" ALL,
         "cordon.yaml:1:1: approvers.verify is missing: any one of a list: `entra` (with `roles` or "
         "`objects`), `client_certificate`\n"},
        {SOURCES MAIL RULES,
         "cordon.yaml:1:1: tenants is missing: whose Defender is read and acted on\n"},
        {TENANTS MAIL RULES,
         "cordon.yaml:1:1: sources is missing: who may push alerts, and how they prove who they are; or "
         "let cordon ask for them: polling: {every: 1m}\n"},
        {TENANTS SOURCES MAIL,
         "cordon.yaml:1:1: rules is missing: what is done about an alert; the first rule that "
         "matches gives the verdict\n"},
        {"public_url: http://cordon.contoso.example\n" ALL,
         "cordon.yaml:1:13: public_url: expected https:// (plain http is for this machine alone), found "
         "'http://cordon.contoso.example'\n"},
        {"public_url:\n" ALL,
         "cordon.yaml:1:1: public_url is empty; expected a URL such as https://host.example, or the key left out\n"},
        {"public_url: ${PUBLIC_URL}\n" ALL,
         "cordon.yaml:1:13: the environment has no PUBLIC_URL; set it, or give a "
         "default: ${PUBLIC_URL:-default}\n"},
        /* listen */
        {"listen:\n  adress: 127.0.0.1:80\n" ALL,
         "cordon.yaml:2:3: listen.adress: unknown key; did you mean listen.address?\n"},
        {"listen: 8080\n" ALL, "cordon.yaml:1:9: listen: expected a map of settings, found text\n"},
        {"listen:\n" ALL, "cordon.yaml:1:1: listen is empty\n"},
        {"listen: {address: localhost:8080}\n" ALL,
         "cordon.yaml:1:19: listen.address: expected an address such as 127.0.0.1:8080, [::]:8443 or unix:/path, "
         "found 'localhost:8080'\n"},
        {"listen: {max_body: 64MiB}\n" ALL,
         "cordon.yaml:1:20: listen.max_body: 64MiB is too much; expected at most 16MiB\n"},
        {"store: {url: 'sqlite:x', max_size: 4KiB}\n" ALL,
         "cordon.yaml:1:36: store.max_size: 4KiB is too little; expected at least 1MiB\n"},
        {"retention: 6d\n" ALL,
         "cordon.yaml:1:12: retention: 6d is too little; expected at least 7d\n"},
        {"retention: 20d\nsafety: {limits: [{isolations: 1, per: 21d}]}\n" ALL,
         "cordon.yaml:1:1: retention is shorter than a limit of safety.limits: what counts there "
         "would be forgotten\n"},
        {"listen: {max_body: 1 MB}\n" ALL,
         "cordon.yaml:1:20: listen.max_body: expected a size such as 256KiB or 1MiB, found '1 MB'\n"},
        {"listen: {trusted_proxies: [10.0.0.1/8]}\n" ALL,
         "cordon.yaml:1:28: listen.trusted_proxies: '10.0.0.1/8' has bits set behind its prefix of 8\n"},
        {"listen: {trusted_proxies: [proxy.contoso.example]}\n" ALL,
         "cordon.yaml:1:28: listen.trusted_proxies: 'proxy.contoso.example' is not a network such as 10.0.0.0/8 or "
         "2001:db8::/32\n"},
        {"listen: {rate: {per: 1m}}\n" ALL,
         "cordon.yaml:1:10: listen.rate.requests is missing: so many in each `per`, in the long run\n"},
        {"listen: {rate: 100}\n" ALL,
         "cordon.yaml:1:16: listen.rate: expected a map of settings, found text\n"},
        {"listen: {rate: {requests: 0, per: 1ms, burst: 1000001}}\n" ALL,
         "cordon.yaml:1:27: listen.rate.requests: 0 is too little; expected at least 1\n"
         "cordon.yaml:1:35: listen.rate.per: 1ms is too little; expected at least 1s\n"
         "cordon.yaml:1:47: listen.rate.burst: 1000001 is too much; expected at most 1000000\n"},
        {"listen: {rate: {requests: 1, per: 1d, burst: 8}}\n" ALL,
         "cordon.yaml:1:39: listen.rate: a burst of 8 would take more than a week to come back\n"},
        {"listen: {rate: {requests: 8, bursts: 8}}\n" ALL,
         "cordon.yaml:1:30: listen.rate.bursts: unknown key; did you mean listen.rate.burst?\n"},
        {"listen: {tls: {certificate_file: pem}}\n" ALL,
         "cordon.yaml:1:10: listen.tls.key_file is missing: its private key, PEM\n"},
        {"listen: {tls: {certificate_file: pem, key_file: nowhere}}\n" ALL,
         "cordon.yaml:1:49: listen.tls.key_file: cannot read nowhere: there is no such file\n"},
        {"listen: {tls: {certificate_file: pem, key_file: token}}\n" ALL,
         "cordon.yaml:1:34: listen.tls: token: expected a private key in PEM, without a passphrase "
         "(The requested data were not available.)\n"},
        {"listen: {tls: {cert_file: pem, key_file: pem}}\n" ALL,
         "cordon.yaml:1:10: listen.tls.certificate_file is missing: the certificate chain, PEM\n"
         "cordon.yaml:1:16: listen.tls.cert_file: unknown key; did you mean listen.tls.certificate_file?\n"},
        /* admin */
        {"admin: {address: 0.0.0.0:9180}\n" ALL,
         "cordon.yaml:1:9: admin.token_file is missing: admin.address 0.0.0.0:9180 is reachable from other machines\n"},
        {"admin: {address: 0.0.0.0:9180, token_file: nowhere}\n" ALL,
         "cordon.yaml:1:44: admin.token_file: cannot read nowhere: there is no such file; write the secret into it "
         "(chmod 600)\n"},
        {"admin: {token_file: secret}\n" ALL,
         "cordon.yaml:1:21: secret: an admin token needs at least 16 characters; make one with "
         "`openssl rand -base64 32`\n"},
        {"admin: {token: abc}\n" ALL,
         "cordon.yaml:1:9: admin.token: secrets do not stand in this file; put it into a file of its own and name that "
         "with admin.token_file\n"},
        {"admin: {address: 127.0.0.1:8080}\n" ALL,
         "cordon.yaml:1:9: admin.address: 127.0.0.1:8080 is listen.address already\n"},
        /* store */
        {"store: {url: mysql:x}\n" ALL,
         "cordon.yaml:1:14: store.url: expected sqlite:FILE or postgresql://user@host/database\n"},
        {"store: {url: 'sqlite:'}\n" ALL,
         "cordon.yaml:1:14: store.url: expected sqlite:FILE or postgresql://user@host/database\n"},
        {"store: {url: postgres://cordon@db/cordon}\n" ALL,
         "cordon.yaml:1:14: store.url: expected it to begin with postgresql://\n"},
        {"store: {url: postgresql:cordon}\n" ALL,
         "cordon.yaml:1:14: store.url: expected postgresql://user@host/database\n"},
        {"store: {url: 'postgresql://cordon:h%unter2@db/cordon'}\n" ALL,
         "cordon.yaml:1:14: store.url: it cannot be read: expected postgresql://user@host:port/database?name=value, "
         "with %XX for what is special; the names are libpq's\n"},
        {"store: {url: 'postgresql://db/cordon?sslmoode=require'}\n" ALL,
         "cordon.yaml:1:14: store.url: it cannot be read: expected postgresql://user@host:port/database?name=value, "
         "with %XX for what is special; the names are libpq's\n"},
        {"store: {url: 'postgresql://cordon:hunter2@db/cordon'}\n" ALL,
         "cordon.yaml:1:14: store.url: passwords do not stand in this file; put it into a file of its own and name "
         "that with store.password_file\n"},
        {"store: {url: 'postgresql://db/cordon?password=hunter2'}\n" ALL,
         "cordon.yaml:1:14: store.url: passwords do not stand in this file; put it into a file of its own and name "
         "that with store.password_file\n"},
        {"store: {url: 'sqlite:x.db', password_file: token}\n" ALL,
         "cordon.yaml:1:44: store.password_file: sqlite: takes no password; remove it\n"},
        {"store: {url: 'postgresql://db/cordon', password_file: nowhere}\n" ALL,
         "cordon.yaml:1:55: store.password_file: cannot read nowhere: there is no such file; write the secret into it "
         "(chmod 600)\n"},
        {"store: {}\n" ALL,
         "cordon.yaml:1:1: store.url is missing: sqlite:FILE (relative to the working directory), or "
         "postgresql://user@host/database\n"},
        {"store: {path: x}\n" ALL,
         "cordon.yaml:1:1: store.url is missing: sqlite:FILE (relative to the working directory), or "
         "postgresql://user@host/database\n"
         "cordon.yaml:1:9: store.path: unknown key; expected one of url, password_file, max_size\n"},
        /* tenants */
        {"tenants: {}\n" SOURCES MAIL RULES,
         "cordon.yaml:1:1: tenants: expected at least one, each with a name of your choice\n"},
        {"tenants: [contoso]\n" SOURCES MAIL RULES,
         "cordon.yaml:1:1: tenants: expected at least one, each with a name of your choice\n"},
        {"tenants:\n  Con toso:\n" TENANT_KEYS "  contoso:\n" TENANT_KEYS SOURCES MAIL RULES,
         "cordon.yaml:2:3: tenants: expected a name of a-z, 0-9, - and _, at most 64, that does not begin with -, "
         "found 'Con toso'\n"},
        {"tenants:\n  contoso: x\n" SOURCES MAIL RULES,
         "cordon.yaml:2:12: tenants.contoso: expected a map of settings, found text\n"},
        {"tenants:\n  contoso:\n    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n    client_secret_file: secret\n" SOURCES
             MAIL RULES,
         "cordon.yaml:2:3: tenants.contoso.tenant_id is missing: the Entra tenant's id\n"},
        {"tenants:\n  contoso:\n    tenant_id: contoso.example\n    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
         "    client_secret_file: secret\n" SOURCES MAIL RULES,
         "cordon.yaml:3:16: tenants.contoso.tenant_id: expected a GUID such as 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50, found "
         "'contoso.example'\n"},
        {"tenants:\n  contoso:\n    tenant_id: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
         "    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n" SOURCES MAIL RULES,
         "cordon.yaml:2:3: tenants.contoso.client_secret_file is missing: the file with the application's client secret; or "
         "certificate_file and key_file, federated_token_file, managed_identity: true\n"},
        {"tenants:\n  contoso:\n    tenant_id: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
         "    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n    client_secret: hunter2\n" SOURCES
             MAIL RULES,
         "cordon.yaml:5:5: tenants.contoso.client_secret: secrets do not stand in this file; put it into a file of its "
         "own and name that with tenants.contoso.client_secret_file\n"},
        {"tenants:\n  contoso:\n    tenant_id: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
         "    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n    client_secret_file: nowhere\n" SOURCES
             MAIL RULES,
         "cordon.yaml:5:25: tenants.contoso.client_secret_file: cannot read nowhere: there is no such file; write the "
         "secret into it (chmod 600)\n"},
        /* under two names each would isolate the same machines */
        {TENANTS "  twin:\n" TENANT_KEYS SOURCES "  other:\n    tenant: twin\n" VERIFY MAIL RULES,
         "cordon.yaml:7:16: tenants.twin.tenant_id: this is tenants.contoso already, and each would isolate the same "
         "machines; let all sources and hunts use one name\n"},
        {TENANTS
         "  twin:\n" TENANT_KEYS SOURCES MAIL RULES
         "hunts: [{name: h, tenant: twin, schedule: '@daily', query: a, do: [email: {}]}]\n",
         "cordon.yaml:7:16: tenants.twin.tenant_id: this is tenants.contoso already, and each would isolate the same "
         "machines; let all sources and hunts use one name\n"},
        {TENANTS "    managed_identity: true\n" SOURCES MAIL RULES,
         "cordon.yaml:2:3: tenants.contoso: expected one of client_secret_file, certificate_file with key_file, "
         "federated_token_file and managed_identity, not several\n"},
        {"tenants:\n  contoso:\n    tenant_id: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
         "    client_secret_file: secret\n" SOURCES MAIL RULES,
         "cordon.yaml:2:3: tenants.contoso.client_id is missing: the id of cordon's application in that tenant\n"},
        {TENANTS "    cloud: gcchigh\n" SOURCES MAIL RULES,
         "cordon.yaml:6:12: tenants.contoso.cloud: expected one of public, gcc, gcc_high, dod, found 'gcchigh'; did you "
         "mean gcc_high?\n"},
        {TENANTS "    api_url: https://api.security.microsoft.com/api/\n" SOURCES MAIL RULES,
         "cordon.yaml:6:14: tenants.contoso.api_url: expected without /api at its end\n"},
        /* a version: Defender would find nothing there, and say so as of a list that is empty */
        {TENANTS "    api_url: https://eu.api.security.microsoft.com/api/v1.0\n" SOURCES MAIL RULES,
         "cordon.yaml:6:14: tenants.contoso.api_url: expected without /api at its end\n"},
        {TENANTS "    api_url: http://10.0.0.1:8443\n" SOURCES MAIL RULES,
         "cordon.yaml:6:14: tenants.contoso.api_url: expected https:// (plain http is for this machine alone), found "
         "'http://10.0.0.1:8443'\n"},
        {TENANTS "    api_scope: https://api.securitycenter.microsoft.com\n" SOURCES MAIL RULES,
         "cordon.yaml:6:16: tenants.contoso.api_scope: expected a scope that ends with /.default\n"},
        {TENANTS "    quota: {per_minut: 5}\n" SOURCES MAIL RULES,
         "cordon.yaml:6:13: tenants.contoso.quota.per_minut: unknown key; did you mean tenants.contoso.quota.per_minute?\n"},
        {TENANTS "    quota: {per_hour: 0}\n" SOURCES MAIL RULES,
         "cordon.yaml:6:23: tenants.contoso.quota.per_hour: 0 is too little; expected at least 1\n"},
        /* sources */
        {"sources: {}\n" TENANTS MAIL RULES,
         "cordon.yaml:1:1: sources: expected at least one, each with a name of your choice\n"},
        {"sources:\n  Relay:\n    tenant: contoso\n" VERIFY TENANTS MAIL RULES,
         "cordon.yaml:2:3: sources: expected a name of a-z, 0-9, - and _, at most 64, that does not begin with -, found "
         "'Relay'\n"},
        {"sources:\n  relay:\n    tenant: contso\n" VERIFY TENANTS MAIL RULES,
         "cordon.yaml:3:13: sources.relay.tenant: there is no tenant 'contso'; did you mean contoso?\n"},
        {"sources:\n  relay:\n" VERIFY TENANTS MAIL RULES,
         "cordon.yaml:2:3: sources.relay.tenant is missing: whose alerts it may push\n"},
        {"sources:\n  relay:\n    tenant: contoso\n" TENANTS MAIL RULES,
         "cordon.yaml:2:3: sources.relay.verify is missing: how it proves who it is: any one of the list\n"},
        {SOURCES "    reply: status\n" TENANTS MAIL RULES,
         "cordon.yaml:5:12: sources.relay.reply: status needs public_url, so that the sender can be told where to ask\n"},
        {SOURCES "    reply: status\npublic_url: ftp://a\n" TENANTS MAIL RULES,
         "cordon.yaml:6:13: public_url: expected a URL such as https://host.example, found 'ftp://a'\n"},
        {SOURCES "    reply: acept\n" TENANTS MAIL RULES,
         "cordon.yaml:5:12: sources.relay.reply: expected one of accept, status, found 'acept'; did you mean accept?\n"},
        {SOURCES "    may: [notify, isolat]\n" TENANTS MAIL RULES,
         "cordon.yaml:5:19: sources.relay.may: expected notify or isolate, found 'isolat'; did you mean isolate?\n"},
        {SOURCES "    may: [isolate]\n" TENANTS MAIL RULES,
         "cordon.yaml:5:10: sources.relay.may: notify is missing: people are told of every alert that is accepted\n"},
        {SOURCES "    may: []\n" TENANTS MAIL RULES,
         "cordon.yaml:5:10: sources.relay.may: expected a list of notify and isolate\n"},
        {SOURCES "    rate: {requests: many}\n" TENANTS MAIL RULES,
         "cordon.yaml:5:22: sources.relay.rate.requests: expected a whole number, found 'many'\n"},
        {SOURCES "    rate:\n" TENANTS MAIL RULES,
         "cordon.yaml:5:5: sources.relay.rate is empty\n"},
        {SOURCES "    networks: [10.0.0.0/8, 2001:db8::/129, 10.1.0.0/8]\n" TENANTS MAIL RULES,
         "cordon.yaml:5:28: sources.relay.networks: '2001:db8::/129' is not a network such as 10.0.0.0/8 or "
         "2001:db8::/32\n"
         "cordon.yaml:5:44: sources.relay.networks: '10.1.0.0/8' has bits set behind its prefix of 8\n"},
        {SOURCES "    networks: []\n" TENANTS MAIL RULES,
         "cordon.yaml:5:15: sources.relay.networks is an empty list; expected a list of networks, or the key left "
         "out\n"},
        {SOURCES "    tolerance: 5m\n" TENANTS MAIL RULES,
         "cordon.yaml:5:5: sources.relay.tolerance: unknown key; expected one of tenant, verify, reply, may, rate, "
         "networks, heartbeat, mode\n"},
        {SOURCES "    heartbeat: 1\n" TENANTS MAIL RULES,
         "cordon.yaml:5:16: sources.relay.heartbeat: expected a time such as 30s, 5m, 4h or 3d, found '1'\n"},
        {SOURCES "    heartbeat: 500ms\n" TENANTS MAIL RULES,
         "cordon.yaml:5:16: sources.relay.heartbeat: 500ms is too little; expected at least 1s\n"},
        {SOURCES "    heartbeat: 31d\n" TENANTS MAIL RULES,
         "cordon.yaml:5:16: sources.relay.heartbeat: 31d is too much; expected at most 30d\n"},
        {"sources:\n  relay:\n    tenant: contoso\n    verify: [{standard_webhooks: {secret_files: [nowhere]}}]\n" TENANTS
             MAIL RULES,
         "cordon.yaml:4:50: standard_webhooks.secret_files: cannot read nowhere: there is no such file; write the secret "
         "into it (chmod 600)\n"},
        /* mail */
        {"mail: {server: 'smtp://localhost'}\n" TENANTS SOURCES RULES,
         "cordon.yaml:1:1: mail.from is missing: whom the mails come from\n"
         "cordon.yaml:11:27: email: it names nobody; give it `to`, or set mail.to\n"},
        {"mail: {server: 'smpt://h', from: a@b.example, to: c@d.example}\n" TENANTS SOURCES RULES,
         "cordon.yaml:1:16: mail.server: expected smtp://host:587, smtps://host:465 or graph:mailbox@domain\n"},
        {"mail: {server: 'smtp://h:0', from: a@b.example, to: c@d.example}\n" TENANTS SOURCES RULES,
         "cordon.yaml:1:16: mail.server: no port in smtp://h:0\n"},
        {"mail: {server: 'smtp://h', from: a@b.example, to: c@d.example, username: '', password_file: secret}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:74: mail.username is empty\n"},
        {"mail: {server: 'graph:soc', from: a@b.example, to: c@d.example}\n" TENANTS SOURCES RULES,
         "cordon.yaml:1:16: mail.server: expected graph: and the address of a mailbox: \"soc\" is not a mail "
         "address: no @\n"},
        {"mail: {server: 'graph:a@b.example', from: a@b.example, to: c@d.example, username: x}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:73: mail.username: Graph has no such login; take it out\n"},
        {"mail: {server: 'smtp://localhost', from: cordon, to: c@d.example}\n" TENANTS SOURCES
             RULES,
         "cordon.yaml:1:42: mail.from: \"cordon\" is not a mail address: no @\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: [c@d.example, nobody]}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:73: mail.to: \"nobody\" is not a mail address: no @\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, username: u}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:72: mail.password_file is missing: mail.username needs it\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, password_file: secret}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:72: mail.username is missing: mail.password_file needs it\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, oauth: {tenant: contosa}}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:88: mail.oauth.tenant: there is no tenant 'contosa'; did you mean contoso?\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, oauth: {scope: x}}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:72: mail.oauth.tenant is missing: the tenant whose application gets the token\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, oauth: {tenant: contoso, token_file: secret}}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:72: mail.oauth: the token of token_file is somebody else's business; take tenant out\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, oauth: {tenant: contoso}, password_file: secret}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:98: mail: oauth logs in with a token; take password_file out\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, fallback: {ways: []}}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:89: mail.fallback.ways: expected a list of ways, one at least\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, fallback: {ways: [{}, {webhook: tems}]}}\n" TENANTS
         "webhooks: {teams: {url: 'https://teams.example', template: teams}}\n" SOURCES RULES,
         "cordon.yaml:1:90: mail.fallback.ways[1]: expected a server, or a webhook\n"
         "cordon.yaml:1:104: mail.fallback.ways[2].webhook: there is no webhook 'tems' under webhooks; did you "
         "mean teams?\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, fallback: {ways: [\n"
         " {webhook: a}, {webhook: a}, {webhook: a}, {webhook: a}, {webhook: a}, {webhook: a}, {webhook: a},\n"
         " {webhook: a},\n {webhook: a}]}}\n" TENANTS
         "webhooks: {a: {url: 'https://teams.example', template: teams}}\n" SOURCES RULES,
         "cordon.yaml:3:2: mail.fallback.ways[8]: expected 7 ways at most, found 9: mail.server and 7 more are tried for "
         "a notice; take 2 of them out\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, desk: {call: x}}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:72: mail.desk.to is missing: whom mails with `audience: desk` go to\n"},
        /* a list of nobody */
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: []}\n" TENANTS SOURCES RULES,
         "cordon.yaml:1:59: mail.to is an empty list; expected a list of mail addresses, or the key left out\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, desk: {to: []}}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:83: mail.desk.to is an empty list; expected a list of mail addresses\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, group: {by: []}}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:84: mail.group.by is an empty list; expected a list of texts, or the key left out\n"},
        {"webhooks: {siem: {url: 'https://x.example', secret_files: []}}\n" ALL,
         "cordon.yaml:1:59: webhooks.siem.secret_files is an empty list; expected a list of files, or the key "
         "left out\n"},
        {"hunts: [{name: x, schedule: '@daily', query: a, key: [], do: [email: {to: []}]}]\n" ALL,
         "cordon.yaml:1:54: hunts.x.key is an empty list; expected a list of texts, or the key left out\n"
         "cordon.yaml:1:75: email.to is an empty list; expected a list of mail addresses, or the key left out\n"},
        /* webhooks */
        {"webhooks: {teams: {template: teams}}\n" ALL,
         "cordon.yaml:1:12: webhooks.teams.url_file is missing: the file with the URL that posts go to\n"},
        {"webhooks: {teams: {template: teams, url: 'https://x.example', url_file: secret}}\n" ALL,
         "cordon.yaml:1:63: webhooks.teams.url_file: its text is no https:// URL (http:// is for loopback "
         "alone)\n"
         "cordon.yaml:1:63: webhooks.teams: url and url_file are the same thing; keep one of them\n"},
        {"webhooks: {siem: {url: 'https://x.example'}}\n" ALL,
         "cordon.yaml:1:12: webhooks.siem.secret_files is missing: whoever gets such posts must be able to "
         "tell that they are cordon's; `cordon keygen` makes a secret\n"},
        {"webhooks: {soc: {url: 'https://x.example/a?sig=b', template: teams}}\n" ALL,
         "cordon.yaml:1:23: webhooks.soc.url: what stands behind a ? is a secret; put the whole URL into a "
         "file of its own and name that with url_file\n"},
        {"webhooks: {soc: {url: 'http://x.example/a', template: slack}}\n" ALL,
         "cordon.yaml:1:23: webhooks.soc.url: expected an https:// URL (http:// is for loopback alone)\n"},
        {"webhooks: {siem: {url: 'https://x.example', secret_files: secret}}\n" ALL, NULL},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, subject: '{{alert.titel}}'}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:81: mail.subject: character 1: no such field 'alert.titel'; did you mean "
         "alert.title?\n"},
        {"mail:\n  server: smtp://localhost\n  from: a@b.example\n  to: c@d.example\n  body: |\n    Runbook\n"
         "    {{if}}\n" TENANTS SOURCES RULES,
         "cordon.yaml:5:9: mail.body: line 2, character 1: no such field 'if'; see `cordon fields`\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, body: x, body_file: secret}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:81: mail.body_file: mail.body is there already; one of them\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, group: {by: [rule, machin]}}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:84: mail.group.by: expected incident, machine or rule, found 'machin'; did you mean machine?\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, group: {wait: 0, intervall: 5m}}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:86: mail.group.wait: 0 is too little; expected at least 1s\n"
         "cordon.yaml:1:89: mail.group.intervall: unknown key; did you mean mail.group.interval?\n"},
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, ca_file: nowhere}\n" TENANTS
             SOURCES RULES,
         "cordon.yaml:1:81: mail.ca_file: cannot read nowhere: there is no such file\n"},
        /* one in DER, say: every mail would fail */
        {"mail: {server: 'smtp://localhost', from: a@b.example, to: c@d.example, ca_file: secret,\n"
         "  fallback: {ways: [{server: 'smtp://localhost', ca_file: token}]}}\n" TENANTS SOURCES
             RULES,
         "cordon.yaml:1:81: mail.ca_file: secret holds no certificate in PEM\n"
         "cordon.yaml:2:59: mail.fallback.ways[1].ca_file: token holds no certificate in PEM\n"},
        {"webhooks: {soc: {url: 'https://x.example/a', template: slack, ca_file: secret}}\n" ALL,
         "cordon.yaml:1:72: webhooks.soc.ca_file: secret holds no certificate in PEM\n"},
        {"webhooks: {soc: {url: 'https://x.example/a', template: slack, ca_file: cut}}\n" ALL,
         "cordon.yaml:1:72: webhooks.soc.ca_file: cut holds a certificate that cannot be read\n"},
        /* rules and the rest */
        {RULES TENANTS SOURCES,
         "cordon.yaml:1:27: email: there is no mail: to send it with (mail.server, mail.from)\n"},
        {"rules: [{name: a, do: [ask: {people: '${PEOPLE}'}, isolate: {}, email: {}]}]\n" TENANTS
             SOURCES MAIL,
         "cordon.yaml:1:38: the environment has no PEOPLE; set it, or give a default: ${PEOPLE:-default}\n"},
        {"rules: []\n" TENANTS SOURCES MAIL,
         "cordon.yaml:1:8: rules: expected a list of rules, one at least\n"},
        {"rules: [{name: tell, when: {alert.severty: High}, do: [email: {}]}]\n" TENANTS SOURCES
             MAIL,
         NULL},
        {"safety: {mode: shadwo}\n" ALL,
         "cordon.yaml:1:16: safety.mode: expected one of live, shadow, found 'shadwo'; did you mean shadow?\n"},
        {"polling: {every: 9s}\n" ALL,
         "cordon.yaml:1:18: polling.every: expected 10s to 1d, or 0: not at all\n"},
        {"polling: {every: 1m, may: [isolate]}\n" ALL,
         "cordon.yaml:1:27: polling.may: notify is missing: people are told of every alert that is "
         "accepted\n"},
        {"polling: {}\n" ALL,
         "cordon.yaml:1:1: polling.every is missing: how often Defender is asked for alerts that nobody "
         "pushed; 0: not at all\n"},
        {"polling: {every: 0}\n" TENANTS MAIL RULES,
         "cordon.yaml:1:1: sources is missing: who may push alerts, and how they prove who they are; or "
         "let cordon ask for them: polling: {every: 1m}\n"},
        {"rules: [{name: a, when: {any: [{source: rely}, {source: [polling, ' RELAY ', flow]}]}, do: [email: {}]}]\n" TENANTS
             SOURCES MAIL,
         "cordon.yaml:1:41: source: there is no source 'rely'; did you mean relay?\n"
         "cordon.yaml:1:78: source: there is no source 'flow'\n"},
        {"rules: [{name: a, do: [email: {}]}]\n"
         "safety: {protected: [{tenant: contosa}, {not: {tenant: {not: [contoso, x], glob: 'y*'}}}]}\n" TENANTS
             SOURCES MAIL,
         "cordon.yaml:2:31: tenant: there is no tenant 'contosa'; did you mean contoso?\n"
         "cordon.yaml:2:72: tenant: there is no tenant 'x'\n"},
        {"rules: [{name: a, when: {source: 'hunt:z'}, do: [email: {}]}]\n" TENANTS SOURCES MAIL,
         "cordon.yaml:1:34: source: there is no source 'hunt:z'\n"},
        {"hunts: {x: 1}\n" ALL, "cordon.yaml:1:8: hunts: expected a list, each with a name\n"},
        {"hunts: [{name: x}]\n" ALL,
         "cordon.yaml:1:9: hunts.x.do is missing: what becomes of new rows: email, case\n"
         "cordon.yaml:1:9: hunts.x.query is missing: the query, or query_file with its file\n"
         "cordon.yaml:1:9: hunts.x.schedule is missing: minute, hour, day, month, day of the week, as in crontab(5); or "
         "@hourly and its kind\n"},
        {"hunts: [{name: x, tenant: contosso, schedule: '61 * * * *', timezone: Mars, query: ' ', do: [isolate: {}]}]\n" ALL,
         "cordon.yaml:1:27: hunts.x.tenant: there is no tenant 'contosso'; did you mean contoso?\n"
         "cordon.yaml:1:47: hunts.x.schedule: minute: found '61', expected *, a number that it can have, or a range of "
         "them\n"
         "cordon.yaml:1:71: hunts.x.timezone: there is no time zone 'Mars'; expected one such as Europe/Stockholm\n"
         "cordon.yaml:1:84: hunts.x: its query is empty\n"
         "cordon.yaml:1:94: hunts.x.do: 'isolate' is no step of a hunt; email tells of new rows, and case hands them to "
         "the rules, which isolate and do all else\n"},
        {"hunts: [{name: X, schedule: '@daily', query: a, do: [case: {severity: Urgent}]}]\n" ALL,
         "cordon.yaml:1:16: hunts: expected a name of a-z, 0-9, - and _, at most 48, that does not begin with -, found "
         "'X'\n"
         "cordon.yaml:1:71: case.severity: expected Informational, Low, Medium or High, found 'Urgent'\n"},
        {"hunts: [{name: x, schedule: '@daily', query: a, may: [notfy, isolat], do: [case: {severity: Hihg}]}]\n" ALL,
         "cordon.yaml:1:55: hunts.x.may: expected notify or isolate, found 'notfy'; did you mean notify?\n"
         "cordon.yaml:1:62: hunts.x.may: expected notify or isolate, found 'isolat'; did you mean isolate?\n"
         "cordon.yaml:1:93: case.severity: expected Informational, Low, Medium or High, found 'Hihg'; did you mean "
         "High?\n"},
        {"hunts: [{name: x, schedule: '@daily', query: a, do: [email: {subject: 'on {{machine.name}}'},\n"
         "  case: {severity: High, title: '{{alert.title}}', description: '{{x}}'}]}]\n" ALL,
         "cordon.yaml:1:71: email.subject: '{{' means nothing here: a hunt's rows have no fields of an alert\n"
         "cordon.yaml:2:33: case.title: '{{' means nothing here: a hunt's rows have no fields of an alert\n"
         "cordon.yaml:2:65: case.description: '{{' means nothing here: a hunt's rows have no fields of an alert\n"},
        {"hunts: [{name: x, schedule: '@daily', query: a, api: graf, do: [email: {}]}]\n" ALL,
         "cordon.yaml:1:54: hunts.x.api: expected one of graph, defender, found 'graf'\n"},
        /* many at once, in the order of their places, and those of one part do not hide another's */
        {"safety: {mode: on}\nadmin: {adress: x}\nlisten: {max_body: x}\n" TENANTS
         "    cloud: mars\n" SOURCES "    reply: no\n" MAIL RULES,
         "cordon.yaml:1:16: safety.mode: expected one of live, shadow, found 'on'\n"
         "cordon.yaml:2:9: admin.adress: unknown key; did you mean admin.address?\n"
         "cordon.yaml:3:20: listen.max_body: expected a size such as 256KiB or 1MiB, found 'x'\n"
         "cordon.yaml:9:12: tenants.contoso.cloud: expected one of public, gcc, gcc_high, dod, found 'mars'\n"
         "cordon.yaml:14:12: sources.relay.reply: expected one of accept, status, found 'no'\n"},
    };

    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf out = BUF_INIT(65536);
        struct config *config = NULL;
        struct yaml_faults faults;
        struct err e = {0};

        put_file(f, "cordon.yaml", rows[i].text);
        assert_int_equal(config_load(f->file, no_env, f->arena, &config, &faults, &e), ERR_INVALID);
        assert_null(config);
        list_faults(f, &faults, &out);
        if (!rows[i].faults) /* the words are another room's, or a library's */
            assert_int_equal(faults.count, 1);
        else if (strcmp(buf_text(&out), rows[i].faults) != 0)
            fail_msg("%s\ngives\n%snot\n%s", rows[i].text, buf_text(&out), rows[i].faults);
    }
}

/* What every setting of a step alone does not show. */
static void test_config__a_step_that_could_never_work_is_a_fault(void **state)
{
    static const struct {
        const char *step, *fault; /* NULL: there is none */
    } rows[] = {
        {"tag: {}", "2:5: tag: expected the tag to add, or the one to remove, found neither"},
        {"tag: ", "2:5: tag: expected the tag to add, or the one to remove, found neither"},
        {"tag: {add: '', remove: ''}",
         "2:5: tag: expected the tag to add, or the one to remove, found neither"},
        {"tag: {add: a, remove: a}",
         "2:27: tag.remove: expected another tag than the one to add, found 'a'"},
        {"tag: {add: a, remove: b}", NULL},
        {"tag: {add: '{{machine.name}}'}", NULL},
        {"stop_file: {sha1: abc}",
         "2:23: stop_file.sha1: expected a SHA-1, 40 hexadecimal digits, found 'abc'"},
        {"stop_file: {sha1: da39a3ee5e6b4b0d3255bfef95601890afd8070g}",
         "2:23: stop_file.sha1: expected a SHA-1, 40 hexadecimal digits, found "
         "'da39a3ee5e6b4b0d3255bfef95601890afd8070g'"},
        {"stop_file: {sha1: da39a3ee5e6b4b0d3255bfef95601890afd80709}", NULL},
        {"stop_file: {sha1: '{{alert.title}}'}", NULL},
        {"stop_file: ", "2:5: stop_file.sha1 is missing"},
        {"annotate: {}",
         "2:5: annotate: expected a comment, a status or an assignee to write, found none"},
        {"annotate: {status: unchanged}",
         "2:5: annotate: expected a comment, a status or an assignee to write, found none"},
        {"annotate: {status: resolved}", NULL},
        {"annotate: {comment: '{{alert.title}}'}", NULL},
        {"ask: {people: 5, approvers: [a@b.example]}",
         "2:19: ask.people: expected at most as many as approvers names, which is 1, found 5"},
        {"ask: {people: 2, approvers: [a@b.example, A@B.Example]}",
         "2:19: ask.people: expected at most as many as approvers names, which is 1, found 2"},
        {"ask: {people: 2, approvers: [a@b.example, A@B.Example, c@b.example]}", NULL},
        {"ask: {people: 5}", NULL}, /* of mail.to, which may be a list of people */
        /* one fault is enough */
        {"stop_file: {sha: abc}", NULL},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(65536), out = BUF_INIT(65536);
        struct config *config = NULL;
        struct yaml_faults faults;
        struct err e = {0};

        buf_addf(&text, "rules: [{name: a, do: [\n  { %s },\n  isolate: {}, email: {}]}]\n%s%s%s",
                 rows[i].step, TENANTS, SOURCES, MAIL);
        put_file(f, "cordon.yaml", buf_text(&text));
        (void)config_load(f->file, no_env, f->arena, &config, &faults, &e);
        config_unref(config);
        list_faults(f, &faults, &out);
        print_message("  %s\n", rows[i].step);
        if (strstr(rows[i].step, "sha:"))
            assert_int_equal(faults.count,
                             2); /* the key that is unknown, and the one that is missing */
        else
            assert_int_equal(faults.count, rows[i].fault ? 1 : 0);
        if (rows[i].fault)
            assert_string_equal(buf_text(&out),
                                arena_fmt(f->arena, "cordon.yaml:%s\n", rows[i].fault));
    }
}

static void test_config__the_wrong_severity_is_corrected(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_clear) struct buf out = BUF_INIT(65536);
    struct config *config = NULL;
    struct yaml_faults faults;

    put_file(f, "cordon.yaml",
             TENANTS SOURCES MAIL "rules:\n  - name: contain\n    when: {alert.severty: High}\n"
                                  "    do: [email: {}]\n");
    assert_int_equal(config_load(f->file, no_env, f->arena, &config, &faults, NULL), ERR_INVALID);
    list_faults(f, &faults, &out);
    assert_non_null(strstr(buf_text(&out), "cordon.yaml:13:12: "));
    assert_non_null(strstr(buf_text(&out), "alert.severity?"));
}

static void test_config__a_file_that_cannot_be_read_is_no_fault_of_its_text(void **state)
{
    struct fixture *f = *state;
    struct config *config = NULL;
    struct yaml_faults faults;
    struct err e = {0};

    assert_int_equal(
        config_load("/nonexistent/cordon.yaml", no_env, f->arena, &config, &faults, &e), ERR_IO);
    assert_string_equal(e.text, "cannot read /nonexistent/cordon.yaml: No such file or directory");
    assert_int_equal(config_load(f->folder, no_env, f->arena, &config, &faults, &e), ERR_IO);
}

/* What stands behind the last byte that is read may be `safety`: such a file is none, rather than another one. */
static void test_config__a_file_that_is_too_long_is_not_cut(void **state)
{
    static const char all[] = ALL, end[] = "\nsafety: {mode: shadow}\n";
    const size_t most = 1024 * 1024; /* bytes: yaml.h */
    struct fixture *f = *state;

    for (int over = 0; over <= 2; over++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(2 * most), said = BUF_INIT(4096);
        struct config *c = NULL;
        struct yaml_faults faults;
        size_t len = over == 2 ? most + 65536 : most + (size_t)over;

        buf_addf(&text, "%s#", all);
        while (text.len < len - strlen(end))
            buf_addc(&text, 'x');
        buf_adds(&text, end);
        put_file(f, "cordon.yaml", buf_text(&text));
        if (!over) {
            c = load(f, buf_text(&text));
            assert_true(policy_is_shadow(c->policy));
            config_unref(c);
            continue;
        }
        assert_int_equal(config_load(f->file, no_env, f->arena, &c, &faults, NULL), ERR_INVALID);
        list_faults(f, &faults, &said);
        assert_string_equal(buf_text(&said), "cordon.yaml:1:1: the file is larger than 1 MiB\n");
    }
}

static void test_config__defaults_and_clouds(void **state)
{
    static const struct {
        const char *cloud, *api_url, *api_scope, *login_url, *graph_url, *portal_url;
    } rows[] = {
        {"", "https://api.security.microsoft.com",
         "https://api.securitycenter.microsoft.com/.default", "https://login.microsoftonline.com",
         "https://graph.microsoft.com", "https://security.microsoft.com"},
        {"    cloud: gcc\n", "https://api-gcc.securitycenter.microsoft.us",
         "https://api-gcc.securitycenter.microsoft.us/.default",
         "https://login.microsoftonline.com", "https://graph.microsoft.com",
         "https://security.microsoft.com"},
        {"    cloud: gcc_high\n", "https://api-gov.securitycenter.microsoft.us",
         "https://api-gov.securitycenter.microsoft.us/.default", "https://login.microsoftonline.us",
         "https://graph.microsoft.us", "https://security.microsoft.us"},
        {"    cloud: dod\n", "https://api-gov.securitycenter.microsoft.us",
         "https://api-gov.securitycenter.microsoft.us/.default", "https://login.microsoftonline.us",
         "https://dod-graph.microsoft.us", "https://security.apps.mil"},
        {"    api_url: http://127.0.0.1:8443/\n    api_scope: api://sim/.default\n    login_url: http://localhost:1\n"
         "    graph_url: http://[::1]:2\n",
         "http://127.0.0.1:8443", "api://sim/.default", "http://localhost:1", "http://[::1]:2",
         "https://security.microsoft.com"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(65536);
        const struct config_tenant *t;
        struct config *c;

        buf_addf(&text, TENANTS "%s" SOURCES MAIL RULES, rows[i].cloud);
        c = load(*state, buf_text(&text));
        t = config_tenant(c, "contoso");
        assert_non_null(t);
        assert_string_equal(t->api_url, rows[i].api_url);
        assert_string_equal(t->api_scope, rows[i].api_scope);
        assert_string_equal(t->login_url, rows[i].login_url);
        assert_string_equal(t->graph_url, rows[i].graph_url);
        assert_string_equal(t->portal_url, rows[i].portal_url);
        assert_string_equal(t->client_secret.text, "s3cret~.+/=");
        assert_int_equal(t->quota.per_minute, 100);
        assert_int_equal(t->quota.per_hour, 1500);
        assert_string_equal(c->listen.address, "127.0.0.1:8080");
        assert_int_equal(c->listen.max_body, 1024 * 1024);
        assert_string_equal(c->admin.address, "127.0.0.1:9180");
        assert_null(c->admin.token.text);
        assert_string_equal(c->store_url, "sqlite:cordon.db");
        assert_int_equal(c->store_max_size, (int64_t)16 * 1024 * 1024 * 1024);
        assert_int_equal(c->retention_ms, 400 * DAY_MS);
        assert_null(c->public_url);
        assert_non_null(c->policy);
        assert_null(c->notes[0]);
        assert_null(config_tenant(c, "fabrikam"));
        config_unref(c);
    }
}

/* contract.md section 4, as it stands there, and what else a part may hold. */
static void test_config__the_example_of_the_contract_is_good(void **state)
{
    struct config *c;

    put_file(*state, "app.kql", "DeviceProcessEvents | take 1\n");
    c = load(
        *state,
        "listen:\n"
        "  address: 127.0.0.1:8080\n"
        "  tls: {certificate_file: pem, key_file: pem, client_ca_file: pem}\n"
        "  max_body: 1MiB\n"
        "  trusted_proxies: [10.0.0.0/8]\n"
        "  rate: {requests: 100, per: 1s, burst: 200}\n"
        "admin:\n"
        "  address: 127.0.0.1:9180\n"
        "  token_file: token\n"
        "public_url: https://cordon.contoso.example/\n"
        "store:\n"
        "  url: sqlite:cordon.db\n"
        "tenants:\n"
        "  contoso:\n"
        "    tenant_id: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
        "    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
        "    client_secret_file: secret\n"
        "    cloud: public\n"
        "    quota: {per_minute: 50, per_hour: 700}\n"
        "sources:\n"
        "  relay:\n"
        "    tenant: contoso\n"
        "    verify:\n"
        "      - standard_webhooks: {secret_files: [relay, relay], tolerance: 5m}\n"
        "  flow:\n"
        "    tenant: contoso\n"
        "    verify:\n"
        "      - entra: {audience: [api://cordon], clients: [5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50], "
        "roles: [], objects: []}\n"
        "    reply: status\n"
        "    heartbeat: 1h\n"
        "    may: [notify]\n"
        "    rate: {requests: 30}\n"
        "    networks: [10.0.0.0/8, \"2001:db8::/32\"]\n"
        "mail:\n"
        "  server: smtp://smtp.contoso.example:587\n"
        "  from: cordon@contoso.example\n"
        "  to: [soc@contoso.example]\n"
        "  username: cordon\n"
        "  password_file: token\n"
        "  ca_file: pem\n"
        "rules:\n"
        "  - name: contain-high\n"
        "    when: {alert.severity: High}\n"
        "    do:\n"
        "      - isolate: {type: full, comment: \"{{alert.title}}\"}\n"
        "      - email: {}\n"
        "  - name: review-medium\n"
        "    when:\n"
        "      alert.severity: Medium\n"
        "      machine.os: {glob: \"Windows*\"}\n"
        "      machine.tags: {not: [lab]}\n"
        "    do:\n"
        "      - ask: {within: 4h}\n"
        "      - isolate: {type: selective}\n"
        "      - email: {to: [soc@contoso.example, desk@contoso.example]}\n"
        "  - name: tell\n"
        "    do: [email: {}]\n"
        "safety:\n"
        "  mode: live\n"
        "  protected:\n"
        "    - machine.tags: [tier-0, no-isolate]\n"
        "    - machine.value: High\n"
        "  limits:\n"
        "    - {isolations: 10, per: 1h}\n"
        "    - {isolations: 30, per: 24h}\n"
        "polling:\n"
        "  every: 1m\n"
        "hunts:\n"
        "  - name: lsass-dumps\n"
        "    tenant: contoso\n"
        "    schedule: \"*/15 * * * *\"\n"
        "    timezone: Europe/Stockholm\n"
        "    query_file: app.kql\n"
        "    do: [email: {}]\n");
    const struct config_source *relay = config_source(c, "relay"), *flow = config_source(c, "flow");

    assert_string_equal(c->public_url, "https://cordon.contoso.example");
    assert_string_equal(c->admin.token.text, "a-token-of-more-than-thirty-two-characters");
    assert_int_equal(c->listen.trusted_proxies.count, 1);
    assert_int_equal(c->tenants[0].quota.per_minute, 50);
    assert_int_equal(c->n_sources, 2);
    assert_ptr_equal(relay->tenant, config_tenant(c, "contoso"));
    assert_non_null(relay->verifier);
    assert_true(relay->may_isolate);
    assert_false(flow->may_isolate);
    assert_int_equal(c->listen.rate.requests, 100);
    assert_int_equal(c->listen.rate.per_ms, 1000);
    assert_int_equal(c->listen.rate.burst, 200);
    assert_int_equal(flow->rate.per_ms,
                     60000); /* what is not said: a minute, and all of it at once */
    assert_int_equal(flow->rate.burst, 30);
    assert_int_equal(flow->networks.count, 2);
    assert_int_equal(relay->networks.count, 0);
    assert_true(relay->rate.burst >= 20000); /* nothing said: a storm of alerts is let in */
    assert_true(flow->reply_status && !relay->reply_status);
    assert_int_equal(flow->heartbeat_ms, HOUR_MS);
    assert_int_equal(relay->heartbeat_ms, 0);
    assert_null(config_source(c, "Relay"));
    assert_string_equal(c->mail.ways[0].username, "cordon");
    assert_int_equal(c->mail.to.count, 1);
    assert_true(policy_uses(c->policy, "isolate"));
    assert_true(policy_uses(c->policy, "ask"));
    assert_false(policy_is_shadow(c->policy));
    assert_int_equal(c->polling.every_ms, MINUTE_MS);
    assert_true(c->polling.may_isolate);
    assert_int_equal(c->n_hunts, 1);
    assert_string_equal(c->hunts[0].query, "DeviceProcessEvents | take 1\n");
    assert_ptr_equal(c->hunts[0].tenant, config_tenant(c, "contoso"));
    assert_true(c->hunts[0].tells && !c->hunts[0].makes_cases);
    assert_null(c->notes[0]);
    config_unref(c);
}

/* Whoever stands behind the hundredth would never be written to. */
static void test_config__a_list_of_addresses_is_told_whole(void **state)
{
    struct fixture *f = *state;

    for (int n = 100; n <= 101; n++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(65536);
        struct config *config = NULL;
        struct yaml_faults faults;
        struct err e = {0};
        enum err_code code;

        buf_adds(&text, TENANTS SOURCES RULES "mail:\n  server: 'smtp://localhost:25'\n"
                                              "  from: cordon@contoso.example\n  to:\n");
        for (int i = 0; i < n; i++)
            buf_addf(&text, "  - a%d@contoso.example\n", i);
        put_file(f, "cordon.yaml", buf_text(&text));
        code = config_load(f->file, no_env, f->arena, &config, &faults, &e);
        assert_int_equal(code, n == 100 ? ERR_OK : ERR_INVALID);
        if (code)
            assert_string_equal(faults.first->text, "mail.to: a mail goes to 100 addresses at "
                                                    "most, found 101; take a distribution list");
        config_unref(config);
    }
}

/* Which secret it is says its file, whether that stands alone or with a name and a time. */
static void test_config__notes_a_secret_in_common_however_it_is_written(void **state)
{
    static const struct {
        const char *scheme;
        bool common;
    } rows[] = {
        {"standard_webhooks: {secret_files: relay}", true},
        {"standard_webhooks: {secret_files: [{file: relay, name: new}]}", true},
        {"standard_webhooks: {secret_files: '${NEWEST:-relay}'}", true},
        {"basic: {username: scanner, password_file: relay}", true},
        {"basic: {username: scanner, password_files: [token, relay]}", true},
        {"token: {secret_files: [{file: token, name: new}]}", false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *c = load(
            f, arena_fmt(
                   f->arena,
                   "%ssources:\n  relay:\n    tenant: contoso\n    verify:\n"
                   "      - standard_webhooks: {secret_files: [{file: relay, name: old}]}\n"
                   "  scanner:\n    tenant: contoso\n    may: [notify]\n    verify: [{%s}]\n" MAIL
                       RULES,
                   TENANTS, rows[i].scheme));
        bool noted = false;

        for (size_t k = 0; c->notes[k]; k++)
            noted = noted || strstr(c->notes[k], "a secret in common");
        if (noted != rows[i].common)
            fail_msg("%s: %s", rows[i].scheme, noted ? "noted" : "not noted");
        config_unref(c);
    }
}

static void test_config__notes_are_worth_a_line(void **state)
{
    struct fixture *f = *state;
    struct config *c;

    c = load(
        f,
        "listen: {address: '0.0.0.0:8080'}\n" TENANTS
        "sources:\n  relay:\n    tenant: contoso\n    verify: [{token: {secret_files: [token]}}]\n" MAIL
            RULES);
    assert_string_equal(
        c->notes[0],
        "listen.address: 0.0.0.0:8080 is reachable from other machines over plain HTTP; "
        "give listen.tls a certificate, or have a proxy in front do TLS");
    assert_string_equal(
        c->notes[1],
        "sources.relay: a token is no signature: whoever sees one request can send others "
        "as this source");
    assert_null(c->notes[2]);
    config_unref(c);

    for (int i = 0; i < 3; i++) { /* one secret, and different rights */
        c = load(f, arena_fmt(f->arena,
                              "%s" SOURCES "  scanner:\n    tenant: contoso\n%s" VERIFY MAIL RULES,
                              TENANTS,
                              i == 0   ? "    may: [notify]\n"
                              : i == 1 ? "    mode: shadow\n"
                                       : ""));
        if (i < 2)
            assert_string_equal(
                c->notes[0],
                arena_fmt(
                    f->arena,
                    "source scanner %s, but source relay has a secret in common with it and does "
                    "isolate: what is signed for the one can be sent to the other",
                    i ? "is in shadow mode" : "may only notify"));
        assert_null(c->notes[i < 2]);
        config_unref(c);
    }

    for (int i = 0; i < 2; i++) {
        c = load(f, i ? "listen: {trusted_proxies: [10.0.0.7, '0.0.0.0/0']}\n" ALL
                      : "listen: {trusted_proxies: ['::/0']}\n" ALL);
        assert_string_equal(
            c->notes[0],
            "listen.trusted_proxies: with all addresses trusted, whoever sends X-Forwarded-For "
            "chooses his own address; name the proxies alone");
        assert_null(c->notes[1]);
        config_unref(c);
    }

    c = load(
        f,
        "tenants:\n  contoso:\n    tenant_id: 00000000-0000-0000-0000-000000000000\n"
        "    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n    client_secret_file: secret\n" SOURCES
        "mail: {server: 'smtp://localhost:25', from: cordon@contoso.example}\n"
        "rules: [{name: tell, do: [email: {to: a@b.example}]}]\n");
    assert_string_equal(c->notes[0], "tenants.contoso.tenant_id is still a placeholder");
    assert_string_equal(
        c->notes[1],
        "mail.to is missing: doubts and failures reach only whom a rule's own email names");
    assert_null(c->notes[2]);
    config_unref(c);

    c = load(f,
             TENANTS SOURCES "mail: {server: 'smtp://localhost:25', from: cordon@contoso.example}\n"
                             "webhooks: {soc: {url: 'https://x.example/a', template: slack}}\n"
                             "rules: [{name: tell, do: [webhook: {to: soc}]}]\n");
    assert_string_equal(c->notes[0], "mail.to is missing, and no rule's email names anybody: "
                                     "nobody is told of doubts and failures by mail");
    assert_null(c->notes[1]);
    config_unref(c);
}

static const char *some_env(const char *name)
{
    return strcmp(name, "TENANT") == 0   ? "0A4A1F60-98AB-4F0A-9D5E-0B1C2D3E4F50"
           : strcmp(name, "PORT") == 0   ? "9999"
           : strcmp(name, "SECRET") == 0 ? "secret"
           : strcmp(name, "TITLE") == 0  ? "on {{machine.name}}"
                                         : NULL;
}

static void test_config__the_environment_fills_in(void **state)
{
    struct fixture *f = *state;
    struct config *c = NULL;
    struct yaml_faults faults;

    put_file(
        f, "cordon.yaml",
        "listen: {address: \"127.0.0.1:${PORT}\", max_body: \"${BODY:-2MiB}\"}\n"
        "tenants:\n  contoso:\n    tenant_id: ${TENANT}\n    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
        "    client_secret_file: ${SECRET}\n" SOURCES MAIL RULES);
    assert_int_equal(config_load(f->file, some_env, f->arena, &c, &faults, NULL), ERR_OK);
    assert_string_equal(c->listen.address, "127.0.0.1:9999");
    assert_int_equal(c->listen.max_body, 2 * 1024 * 1024);
    assert_string_equal(c->tenants[0].tenant_id, "0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50");
    assert_string_equal(c->tenants[0].client_secret.text, "s3cret~.+/=");
    config_unref(c);
}

static void test_config__braces_in_a_hunts_text_are_found_where_a_variable_holds_them(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_clear) struct buf out = BUF_INIT(65536);
    struct config *c = NULL;
    struct yaml_faults faults;

    put_file(f, "cordon.yaml",
             "hunts: [{name: x, schedule: '@daily', query: a, do: [email: {subject: '${TITLE}'},\n"
             "  case: {severity: High, title: '${TITLE}'}]}]\n" ALL);
    assert_int_equal(config_load(f->file, some_env, f->arena, &c, &faults, NULL), ERR_INVALID);
    list_faults(f, &faults, &out);
    assert_string_equal(
        buf_text(&out),
        "cordon.yaml:1:71: email.subject: '{{' means nothing here: a hunt's rows have no fields of an alert\n"
        "cordon.yaml:2:33: case.title: '{{' means nothing here: a hunt's rows have no fields of an alert\n");
}

static const char *keys_env(const char *name)
{
    return strcmp(name, "KEY") == 0
               ? "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN/Bgkqh\n-----END PRIVATE KEY-----"
           : strcmp(name, "TOKEN") == 0 ? "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2lnbmF0dXJl"
                                        : NULL;
}

/* A key or a token, itself or in a variable, where a file is to be named, is repeated by no fault; what is no secret is. */
static void test_config__a_key_in_place_of_its_file_is_not_repeated(void **state)
{
#define WITH_KEY(key) "listen: {tls: {certificate_file: nowhere, key_file: " key "}}\n" ALL
#define NAMED(name)                                                                                \
    "cannot read the file that " name " names: there is no such file; if the variable holds the "  \
    "secret itself, write that into a file of its own (chmod 600) and let it name that\n"
#define ITSELF                                                                                     \
    "expected the name of a file; this looks like the secret itself, which does not stand here: "  \
    "write it into a file of its own (chmod 600) and name that\n"
#define CONTENT                                                                                    \
    "expected the name of a file; this looks like what the file is to hold: write it into one of " \
    "its own and name that\n"
#define WITH_TOKEN(file)                                                                           \
    "tenants:\n  contoso: {tenant_id: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50, client_id: "           \
    "5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50, federated_token_file: '" file "'}\n" SOURCES MAIL RULES
    static const struct {
        const char *text, *faults;
    } rows[] = {
        {WITH_KEY("'${KEY}'"),
         "cordon.yaml:1:34: listen.tls.certificate_file: cannot read nowhere: there is no such file\n"
         "cordon.yaml:1:53: listen.tls.key_file: " NAMED("${KEY}")},
        {WITH_KEY("No-Such-Key-Of-This-Name-2026.pem"),
         "cordon.yaml:1:34: listen.tls.certificate_file: cannot read nowhere: there is no such file\n"
         "cordon.yaml:1:53: listen.tls.key_file: cannot read No-Such-Key-Of-This-Name-2026.pem: there is "
         "no such file\n"},
        {WITH_KEY(
             "\"-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADAN/Bgkqh\\n-----END PRIVATE KEY-----\\n\""),
         "cordon.yaml:1:53: listen.tls.key_file: " ITSELF},
        /* nor with the certificate, in one text */
        {"listen: {tls: {certificate_file: '${KEY}', key_file: pem}}\n" ALL,
         "cordon.yaml:1:34: listen.tls.certificate_file: " CONTENT},
        {"listen: {tls: {certificate_file: \"-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADAN\\n\", key_file: pem}}\n" ALL,
         "cordon.yaml:1:34: listen.tls.certificate_file: " CONTENT},
        {WITH_TOKEN("${TOKEN}"), "federated_token_file: " NAMED("${TOKEN}")},
        {WITH_TOKEN("${NO_TOKEN:-eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2lnbmF0dXJl}"),
         "federated_token_file: " NAMED("${NO_TOKEN}")},
        {WITH_TOKEN("eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2lnbmF0dXJl"),
         "federated_token_file: " ITSELF},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(buf_clear) struct buf out = BUF_INIT(65536);
        struct config *c = NULL;
        struct yaml_faults faults;

        put_file(f, "cordon.yaml", rows[i].text);
        assert_int_equal(config_load(f->file, keys_env, f->arena, &c, &faults, NULL), ERR_INVALID);
        list_faults(f, &faults, &out);
        if (!strstr(buf_text(&out), rows[i].faults))
            fail_msg("row %zu: %s", i, buf_text(&out));
        assert_null(strstr(buf_text(&out), "Bgkqh"));
        assert_null(strstr(buf_text(&out), "c2lnbmF0dXJl"));
    }
}

/* What a step says with a variable is held to what it comes to: that the desk alone would be told is found, and a webhook
 * that there is. */
static void test_config__the_environment_says_whom_a_rule_tells(void **state)
{
#define TELLING(step)                                                                                          \
    TENANTS SOURCES                                                                                            \
        "mail: {server: 'smtp://127.0.0.1:25', from: a@b.example, to: c@d.example, desk: {to: e@f.example}}\n" \
        "webhooks: {chat: {url: 'https://chat.example/in', template: slack}}\n"                                \
        "rules: [{name: a, do: [" step "]}]\n"
    static const struct {
        const char *text, *faults;
    } rows[] = {
        {TELLING("email: {audience: '${TO:-soc}'}"), ""},
        {TELLING("email: {audience: '${TO:-desk}'}"),
         "cordon.yaml:12:24: email: the helpdesk is told nothing of the alert; add a step for those "
         "who are to judge it: email: {}\n"},
        {TELLING("email: {audience: '${TO:-desk}'}, webhook: {to: '${HOOK:-chat}'}"), ""},
        /* nor is a webhook missed because of another fault */
        {TELLING("webhook: {to: '${HOOK:-chat}'}, emial: {}"),
         "cordon.yaml:12:56: no such step 'emial'; did you mean email?\n"},
        {TELLING("webhook: {to: '${HOOK:-chta}'}"),
         "cordon.yaml:12:38: webhook.to: there is no webhook 'chta' under webhooks; did you mean chat?\n"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(buf_clear) struct buf out = BUF_INIT(65536);
        struct config *c = NULL;
        struct yaml_faults faults;

        put_file(f, "cordon.yaml", rows[i].text);
        (void)config_load(f->file, no_env, f->arena, &c, &faults, NULL);
        list_faults(f, &faults, &out);
        assert_string_equal(buf_text(&out), rows[i].faults);
        assert_int_equal(c != NULL, !*rows[i].faults);
        config_unref(c);
    }
}

/* What is no fault and yet not what somebody meant. */
static void test_config__rules_that_act_on_nothing_are_noted(void **state)
{
    static const char rules[] =
        "rules:\n"
        "- {name: a, when: {source: relay, alert.severity: High}, do: [isolate: {}, email: {}]}\n"
        "- {name: b, when: {alert.severity: High}, do: [isolate: {}, email: {}]}\n"
        "- {name: c, when: {source: relay}, do: [email: {}]}\n";
    static const struct {
        const char *source, *note;
    } rows[] = {
        {"    may: [notify]\n", "rule a acts on nothing: source relay may only notify"},
        {"    mode: shadow\n", "rule a acts on nothing: source relay is in shadow mode"},
        {"    may: [notify, isolate]\n    mode: live\n", NULL},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(65536);
        struct config *c;

        buf_addf(&text, "%s%s%s%s%s", SOURCES, rows[i].source, TENANTS, MAIL, rules);
        c = load(f, buf_text(&text));
        if (rows[i].note)
            assert_string_equal(c->notes[0], rows[i].note);
        assert_null(c->notes[rows[i].note ? 1 : 0]);
        assert_int_equal(config_source(c, "relay")->shadow, i == 1);
        config_unref(c);
    }
}

static void test_config__rules_that_tell_nobody_are_noted(void **state)
{
    static const char hooks[] = "webhooks: {soc: {url: 'https://x.example/a', template: slack}}\n";
    static const struct {
        const char *steps;
        bool noted;
    } rows[] = {
        {"[isolate: {}]", true},
        {"[annotate: {status: in_progress}, tag: {add: seen}]", true},
        {"[isolate: {}, email: {}]", false},
        {"[isolate: {}, webhook: {to: soc}]", false},
        {"[ask: {}, isolate: {}]", false}, /* who is asked is told what came of it */
        {"[email: {}]", false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(65536);
        struct config *c;

        buf_addf(&text, "%s%s%s%srules:\n- when: {alert.severity: High}\n  name: a\n  do: %s\n",
                 SOURCES, TENANTS, MAIL, hooks, rows[i].steps);
        c = load(f, buf_text(&text));
        assert_true(!rows[i].noted == !c->notes[0]);
        if (rows[i].noted)
            assert_string_equal(
                c->notes[0],
                "rule a tells nobody what it does: people hear of it only when that fails; "
                "add a step that tells them, such as email: {}");
        assert_true(!rows[i].noted || !c->notes[1]);
        config_unref(c);
    }
}

/* A machine of a domain has a longer name, and is not protected by its first label. */
static void test_config__notes_a_database_that_anybody_could_be(void **state)
{
    static const struct {
        const char *url;
        bool noted;
    } rows[] = {
        {"postgresql://cordon@db.contoso.example/cordon", true},
        {"postgresql://cordon@db.contoso.example/cordon?sslmode=require", true},
        {"postgresql://cordon@127.0.0.1,10.0.0.7/cordon", true},
        {"postgresql://cordon@localhost/cordon?hostaddr=10.0.0.7", true},
        {"postgresql://cordon@db.contoso.example/cordon?sslmode=verify-full", false},
        {"postgresql://cordon@localhost/cordon", false},
        {"postgresql://cordon@[::1]:5433,127.0.0.1/cordon", false},
        {"postgresql://cordon@/cordon?host=/run/postgresql", false},
        {"postgresql:///cordon", false},
        {"sqlite:cordon.db", false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(4096);
        struct config *c;

        buf_addf(&text, "store: {url: '%s'}\n" ALL, rows[i].url);
        c = load(f, buf_text(&text));
        if (rows[i].noted != (c->notes[0] != NULL))
            fail_msg("%s: %s", rows[i].url, c->notes[0] ? c->notes[0] : "no note");
        if (rows[i].noted)
            assert_non_null(strstr(c->notes[0], "sslmode=verify-full"));
        config_unref(c);
    }
}

/* Of an event that a hunt found an alert is made, if Defender takes its words. */
static void test_config__notes_a_hunt_whose_alerts_defender_may_refuse(void **state)
{
    static const struct {
        const char *words, *note; /* NULL: none */
    } rows[] = {
        {"severity: Informational", "one that is Informational it may refuse"},
        {"severity: Low", NULL},
        {"severity: High, category: CredentialAccess", NULL},
        {"severity: High, category: Credential access",
         "'Credential access' is none of those that Defender takes; did you mean CredentialAccess?"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config *c = load(
            f, arena_fmt(f->arena,
                         "hunts: [{name: x, schedule: '@daily', query: a, do: [case: {%s}]}]\n" ALL,
                         rows[i].words));

        if (rows[i].note ? !c->notes[0] || !strstr(c->notes[0], rows[i].note) : !!c->notes[0])
            fail_msg("%s: %s", rows[i].words, c->notes[0] ? c->notes[0] : "no note");
        config_unref(c);
    }
}

static void test_config__notes_texts_that_hardly_equal_anything(void **state)
{
    static const struct {
        const char *condition, *note; /* NULL: none */
    } rows[] = {
        {"machine.name: dc01", "does not equal dc01"},
        {"machine.name: [dc01.corp.example, dc02, dc03]", "does not equal dc02"}, /* once */
        {"machine.name: {not: dc01}", "does not equal dc01"},
        {"machine.name: {glob: dc01}", "does not equal dc01"},
        {"machine.name: dc01.corp.example", NULL},
        {"machine.name: {glob: ['dc-*', dc01.*]}", NULL},
        {"machine.name: {regex: dc01}", NULL},
        {"machine.tags: dc01", NULL},
        {"machine.name: 'dc-*'", "machine.name: 'dc-*' is compared as it stands, with its '*'; to "
                                 "match a pattern write {glob: 'dc-*'}"},
        {"machine.name: ['dc-*.corp.example', '*.dmz']", "{glob: 'dc-*.corp.example'}"},
        {"machine.tags: {not: tier*}", "{glob: 'tier*'}"},
        {"machine.tags: {glob: tier*}", NULL},
        {"machine.tags: 'tier-0, lab'",
         "'tier-0, lab' is one text, with its ','; write a list as [tier-0, lab]"},
        {"alert.title: 'One, two'", NULL},
        {"machine.os: Windows Server 2022", "'Windows Server 2022' has blanks"},
        {"machine.os: {not: {glob: 'Windows 1*'}}", "'Windows 1*' has blanks"},
        {"machine.os: 'Windows11 '", NULL},
        {"machine.os: {glob: Windows1*}", NULL},
        {"alert.category: [Malware, Credential access, Lateral movement]",
         "'Credential access' has blanks"}, /* once */
        {"alert.category: {glob: 'Credential *'}", "'Credential *' has blanks"},
        {"alert.category: [Malware, CredentialAccess]", NULL},
        {"alert.category: {regex: 'Credential ?access'}", NULL},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(65536);
        struct config *c;
        size_t n = 0;

        buf_addf(&text, "%s%s%ssafety: {protected: [{%s}]}\nrules:\n- {name: a, do: [email: {}]}\n",
                 SOURCES, TENANTS, MAIL, rows[i].condition);
        c = load(f, buf_text(&text));
        while (c->notes[n])
            n++;
        if (n != (rows[i].note != NULL) || (n && !strstr(c->notes[0], rows[i].note)))
            fail_msg("%s: %zu notes, %s", rows[i].condition, n, n ? c->notes[0] : "");
        config_unref(c);
    }
}

/* A file in there is not seen, or is gone after a reboot. */
static void test_config__notes_a_pause_file_that_is_no_kill_switch(void **state)
{
    static const struct {
        const char *file, *note; /* NULL: none */
    } rows[] = {
        {"/tmp/pause", "the service has a /tmp of its own"},
        {"/var/tmp/cordon/pause", "a file of yours is not seen"},
        {"/run/cordon/pause", "would end the pause"},
        {"/var/lib/cordon/pause", NULL},
        {"/tmpfiles/pause", NULL},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *c =
            load(f, arena_fmt(f->arena, "safety: {pause_file: %s}\n" ALL, rows[i].file));

        if (rows[i].note && (!c->notes[0] || !strstr(c->notes[0], rows[i].note)))
            fail_msg("%s: %s", rows[i].file, c->notes[0] ? c->notes[0] : "no note");
        assert_null(c->notes[rows[i].note != NULL]);
        config_unref(c);
    }
}

/* A question that reaches nobody is asked in vain, unless somebody happens to look. */
static void test_config__notes_questions_that_nobody_gets(void **state)
{
    static const struct {
        const char *mail, *ask;
        bool noted;
    } rows[] = {
        {MAIL, "{}", false},
        {"mail: {server: 'smtp://localhost', from: c@d.example}\n", "{approvers: [a@b.example]}",
         false},
        {"mail: {server: 'smtp://localhost', from: c@d.example}\n", "{}", true},
        {"", "{within: 2h}", true},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(65536);
        struct config *c;
        bool noted = false;

        buf_addf(&text, "%s%s%srules:\n- name: a\n  do: [ask: %s, isolate: {}]\n", SOURCES, TENANTS,
                 rows[i].mail, rows[i].ask);
        c = load(f, buf_text(&text));
        for (size_t k = 0; c->notes[k]; k++)
            noted =
                noted ||
                strcmp(
                    c->notes[k],
                    "rule a asks, and nobody gets the question: unless somebody looks and answers "
                    "nothing is done; give the step `approvers`, or set mail.to") == 0;
        assert_true(noted == rows[i].noted);
        config_unref(c);
    }
}

/* Whoever has one address for a whole desk, and wants two of them to say yes. */
static void test_config__notes_questions_with_fewer_links_than_answers(void **state)
{
#define TWO                                                                                        \
    "mail: {server: 'smtp://localhost', from: c@d.example, to: [a@b.example, b@b.example]}\n"
#define SIGN_IN                                                                                    \
    "approvers: {tenant: contoso, verify: [{entra: {audience: [a], roles: [Approver]}}]}\n"
    static const struct {
        const char *more, *ask, *safety;
        bool noted;
    } rows[] = {
        {MAIL, "{people: 2}", "{}", true},
        {MAIL, "{people: 1}", "{}", false},
        {MAIL, "{people: 2, approvers: [a@b.example, b@b.example]}", "{}", false},
        {TWO, "{people: 2}", "{}", false},
        {TWO, "{people: 3}", "{}", true},
        {MAIL SIGN_IN, "{people: 2}", "{}", false},
        {MAIL, "{}", "{ask: {people: 2}}", true},
        {MAIL, "{}", "{ask: {people: 2, approvers: [a@b.example, b@b.example]}}", false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(65536);
        struct config *c;
        bool noted = false;

        buf_addf(&text, "%s%s%ssafety: %s\nrules:\n- name: a\n  do: [ask: %s, isolate: {}]\n",
                 SOURCES, TENANTS, rows[i].more, rows[i].safety, rows[i].ask);
        c = load(f, buf_text(&text));
        for (size_t k = 0; c->notes[k]; k++)
            noted = noted || strstr(c->notes[k], "people, and mail.to, who are asked, has ");
        if (noted != rows[i].noted)
            fail_msg("%zu: %s", i, rows[i].ask);
        config_unref(c);
    }
}

static void test_config__the_starter_lacks_its_secrets_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_clear) struct buf out = BUF_INIT(65536);
    struct config *c = NULL;
    struct yaml_faults faults;
    char path[200];

    put_file(f, "cordon.yaml", config_starter);
    assert_int_equal(config_load(f->file, no_env, f->arena, &c, &faults, NULL), ERR_INVALID);
    list_faults(f, &faults, &out);
    assert_int_equal(faults.count, 2); /* wherever they stand: the starter grows */
    assert_non_null(strstr(buf_text(&out),
                           ": tenants.contoso.client_secret_file: cannot read secrets/defender: "
                           "there is no such file; write the secret into it (chmod 600)\n"));
    assert_non_null(strstr(buf_text(&out),
                           ": standard_webhooks.secret_files: cannot read secrets/relay: there is "
                           "no such file; write the secret into it (chmod 600)\n"));

    (void)snprintf(path, sizeof path, "%s/secrets", f->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    put_file(f, "secrets/defender", "x\n");
    put_file(f, "secrets/relay", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
    c = load(f, config_starter);
    assert_string_equal(c->notes[0], "tenants.contoso.tenant_id is still a placeholder");
    assert_string_equal(c->notes[1], "tenants.contoso.client_id is still a placeholder");
    assert_string_equal(c->notes[2], "mail.to: soc@contoso.example is still a placeholder");
    assert_null(c->notes[3]);
    assert_true(policy_uses(c->policy, "isolate"));
    assert_int_equal(c->n_tests, 3);
    config_unref(c);
    (void)snprintf(path, sizeof path, "%s/secrets/defender", f->folder);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/secrets/relay", f->folder);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/secrets", f->folder);
    (void)rmdir(path);
}

/* Other letters would be asked for, and nothing found. */
static void test_config__a_query_that_is_no_text_is_a_fault(void **state)
{
    static const char text[] =
        ALL "hunts: [{name: a, schedule: '@hourly', query_file: app.kql, do: [email: {}]}]\n";
    struct fixture *f = *state;
    AUTO(buf_clear) struct buf said = BUF_INIT(4096);
    struct config *c = NULL;
    struct yaml_faults faults;

    put_file(f, "app.kql", "DeviceEvents | where A == 'St\xc3\xb6rung'\n");
    config_unref(load(f, text));
    put_file(f, "app.kql", "DeviceEvents | where A == 'St\xf6rung'\n");
    assert_int_equal(config_load(f->file, no_env, f->arena, &c, &faults, NULL), ERR_INVALID);
    list_faults(f, &faults, &said);
    assert_non_null(strstr(buf_text(&said), "hunts.a: its query holds bytes that are not UTF-8"));
}

/* A case that waits is judged by the configuration in force: what took the right away may not give it by being gone. */
static void test_config__what_is_gone_may_not_isolate(void **state)
{
    static const struct {
        const char *more, *source, *tenant;
        bool may;
    } rows[] = {
        {"polling: {every: 1m}\n", "polling", "contoso", true},
        {"polling: {every: 1m, may: [notify]}\n", "polling", "contoso", false},
        {"polling: {every: 0, may: [notify, isolate]}\n", "polling", "contoso", true},
        {"", "polling", "contoso", false},
        {"", "relay", "contoso", true},
        {"", "relay", "fabrikam", false},
        {"", "flow", "contoso", false},
        {"", "hunt:dumps", "contoso", false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(65536);
        struct config *c;

        buf_addf(&text, "%s%s", ALL, rows[i].more);
        c = load(f, buf_text(&text));
        if (config_may_isolate(c, rows[i].source, rows[i].tenant) != rows[i].may)
            fail_msg("%s%s", rows[i].more, rows[i].source);
        config_unref(c);
    }
}

/* What a rule may ask for a test can be about, without any source that pushes, too. */
static void test_config__a_test_may_be_about_polling_and_a_hunt(void **state)
{
#define JUDGED                                                                                     \
    "rules:\n"                                                                                     \
    "  - {name: found, when: {tenant: contoso, source: 'hunt:dumps'}, do: [isolate: {}]}\n"        \
    "  - {name: polled, when: {tenant: contoso, source: polling}, do: [isolate: {}]}\n"            \
    "  - {name: tell, do: [email: {}]}\n"                                                          \
    "hunts:\n  - {name: dumps, schedule: '@hourly', query: DeviceEvents, do: [case: {}]}\n"        \
    "tests:\n"                                                                                     \
    "  - {name: a, facts: {source: 'hunt:dumps'}, expect: {rule: found, withheld: none}}\n"        \
    "  - {name: b, facts: {source: polling}, expect: {rule: polled, withheld: source polling*}}\n"
#define TELL   "  - {name: c, expect: {rule: tell}}\n"
#define POLLED "  - {name: c, expect: {rule: polled}}\n"
#define POLLS  "polling: {every: 1m, may: [notify]}\n"
    struct fixture *f = *state;

    config_unref(load(f, TENANTS SOURCES MAIL POLLS JUDGED TELL));
    config_unref(load(f, TENANTS MAIL POLLS JUDGED POLLED));
}

/* For the server that old is in force in. */
static struct config *reload(struct fixture *f, const struct config *old, const char *text)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(65536);
    struct config *config = NULL;
    struct yaml_faults faults;
    struct err e = {0};

    put_file(f, "cordon.yaml", text);
    if (config_reload(old, no_env, NULL, f->arena, &config, &faults, &e)) {
        list_faults(f, &faults, &out);
        fail_msg("%s\n%s", e.text, buf_text(&out));
    }
    return config;
}

static bool has_note(const struct config *c, const char *part)
{
    for (const char *const *note = c->notes; *note; note++)
        if (strstr(*note, part))
            return true;
    return false;
}

/* contract.md section 4: a reload reads all that needs no new socket or store. */
static void test_config__what_a_reload_cannot_change_keeps_nothing_else_out(void **state)
{
#define ELSEWHERE                                                                                  \
    "listen: {address: 127.0.0.1:8081, max_body: 2MiB}\n"                                          \
    "admin: {address: 127.0.0.1:9181}\n"                                                           \
    "store: {url: 'postgresql://cordon@db/cordon?sslmode=verify-full', password_file: token,\n"    \
    "        max_size: 64MiB}\n"
    struct config *old = load(*state, ALL);
    struct config *fresh = reload(*state, old, ELSEWHERE "public_url: https://c.example\n" ALL);

    assert_string_equal(fresh->listen.address, "127.0.0.1:8080");
    assert_string_equal(fresh->admin.address, "127.0.0.1:9180");
    assert_string_equal(fresh->store_url, old->store_url);
    assert_null(fresh->store_password.text);
    assert_int_equal(fresh->store_max_size, old->store_max_size); /* of the store that is to come */
    assert_int_equal(fresh->listen.max_body, 2 * 1024 * 1024);
    assert_string_equal(fresh->public_url, "https://c.example");
    assert_null(config_needs_restart(old, fresh));
    assert_true(config_keeps_password(old, fresh));
    assert_true(has_note(fresh, "listen.address needs a restart"));
    assert_true(
        has_note(fresh, "admin.address needs a restart: until then it stays 127.0.0.1:9180"));
    assert_true(has_note(fresh, "store.url needs a restart"));
    assert_true(has_note(fresh, "store.max_size waits with store.url"));
    config_unref(old);
    config_unref(fresh);
}

/* The sockets stay where they are, and so do those who reach them: nobody comes in by what is good on loopback alone. */
static void test_config__a_reload_opens_no_door_that_others_reach(void **state)
{
#define NONE                                                                                       \
    TENANTS "sources:\n  relay: {tenant: contoso, verify: [{none: {insecure: true}}]}\n" MAIL RULES
    static const struct {
        const char *open, *closed, *fault;
    } rows[] = {
        {"listen: {address: '0.0.0.0:8080'}\n" ALL, "listen: {address: 127.0.0.1:8080}\n" NONE,
         "refused where other machines reach"},
        {"admin: {address: '0.0.0.0:9180', token_file: token}\n" ALL,
         "admin: {address: 127.0.0.1:9180}\n" ALL, "admin.token_file is missing"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf out = BUF_INIT(65536);
        struct config *old = load(f, rows[i].open), *fresh = NULL;
        struct yaml_faults faults;
        struct err e = {0};

        config_unref(load(f, rows[i].closed)); /* as a start would take it */
        assert_int_equal(config_reload(old, no_env, NULL, f->arena, &fresh, &faults, &e),
                         ERR_INVALID);
        list_faults(f, &faults, &out);
        if (!strstr(buf_text(&out), rows[i].fault))
            fail_msg("%s", buf_text(&out));
        config_unref(old);
    }
}

/* What waits for a restart is to be there then: a file that no start would take is faulty now. */
static void test_config__a_reload_takes_no_file_that_a_start_would_not(void **state)
{
    static const struct {
        const char *in_force, *text, *fault;
    } rows[] = {
        {ALL, "listen: {address: 127.0.0.1:9180}\n" ALL,
         "admin.address: 127.0.0.1:9180 is listen.address already"},
        {NONE, "listen: {address: '0.0.0.0:8080'}\n" NONE, "refused where other machines reach"},
        {ALL, "admin: {address: '0.0.0.0:9180'}\n" ALL, "admin.token_file is missing"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf out = BUF_INIT(65536);
        struct config *old = load(f, rows[i].in_force), *fresh = NULL;
        struct yaml_faults faults;
        struct err e = {0};

        put_file(f, "cordon.yaml", rows[i].text);
        assert_int_equal(config_reload(old, no_env, NULL, f->arena, &fresh, &faults, &e),
                         ERR_INVALID);
        list_faults(f, &faults, &out);
        if (!strstr(buf_text(&out), rows[i].fault))
            fail_msg("%s", buf_text(&out));
        config_unref(old);
    }
}

static void test_config__a_reload_says_what_needs_a_restart(void **state)
{
    static const struct {
        const char *text, *key;
    } rows[] = {
        {ALL, NULL},
        {"listen: {max_body: 2MiB, trusted_proxies: [10.0.0.0/8]}\n" ALL, NULL},
        {"listen: {rate: {requests: 5}}\n" ALL, NULL},
        {"retention: 30d\nstore: {url: 'sqlite:cordon.db', max_size: 1MiB}\n" ALL, NULL},
        {"public_url: https://c.example\n" ALL, NULL},
        {"safety: {mode: shadow}\n" ALL, NULL},
        {"admin: {token_file: token}\n" ALL, NULL},
        {TENANTS "    cloud: gcc\n" SOURCES MAIL RULES, NULL},
        {"listen: {tls: {certificate_file: pem, key_file: pem}}\n" ALL, "listen.tls"},
    };
    struct config *old = load(*state, ALL);

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config *fresh = reload(*state, old, rows[i].text);
        const char *key = config_needs_restart(old, fresh);

        if (rows[i].key)
            assert_string_equal(key, rows[i].key);
        else if (key)
            fail_msg("%s needs no restart", key);
        config_unref(fresh);
    }
    config_unref(old);
}

/* The store's password is rotated with the senders' secrets, which are not to wait for a restart because of it. */
static void test_config__another_password_of_the_store_refuses_no_reload(void **state)
{
#define DATABASE "store: {url: 'postgresql://cordon@db/cordon?sslmode=verify-full', password_file: "
    struct config *old = load(*state, DATABASE "token}\n" ALL);
    struct config *fresh = load(*state, DATABASE "secret}\n" ALL);
    struct config *none =
        load(*state, "store: {url: 'postgresql://cordon@db/cordon?sslmode=verify-full'}\n" ALL);

    assert_string_not_equal(old->store_password.text, fresh->store_password.text);
    assert_null(config_needs_restart(old, fresh));
    assert_false(config_keeps_password(old, fresh));
    assert_true(config_keeps_password(old, old));
    /* nor does one that is named for the first time, or no more */
    assert_null(config_needs_restart(old, none));
    assert_null(config_needs_restart(none, old));
    assert_false(config_keeps_password(old, none));
    assert_false(config_keeps_password(none, old));
    config_unref(old);
    config_unref(fresh);
    config_unref(none);
}

/* Connections are asked for certificates from their beginning, or never. */
static void test_config__a_first_client_certificate_needs_a_restart(void **state)
{
#define TLS  "listen: {tls: {certificate_file: pem, key_file: pem}}\n"
#define PINS "{client_certificate: {fingerprints: ["
#define ZERO "'0000000000000000000000000000000000000000000000000000000000000000'"
    struct config *without = load(*state, TLS ALL);
    struct config *with =
        load(*state, TLS TENANTS "sources:\n  relay: {tenant: contoso, verify: [" PINS ZERO
                                 "]}}]}\n" MAIL RULES);

    assert_false(without->listen.tls.client_certificates);
    assert_true(with->listen.tls.client_certificates);
    assert_string_equal(config_needs_restart(without, with), "client_certificate");
    assert_null(config_needs_restart(with, without));
    assert_null(config_needs_restart(with, with));
    config_unref(without);
    config_unref(with);
}

static void test_config__a_certificate_that_ends_soon_is_a_note(void **state)
{
    static const struct {
        int days;
        const char *note; /* NULL: none */
    } rows[] = {
        {15, NULL}, {13, "the certificate ends at 20"}, {-1, "the certificate ended at 20"}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *c;

        put_pair(*state, rows[i].days);
        c = load(*state, TLS ALL);
        if (rows[i].note && !(c->notes[0] && strstr(c->notes[0], rows[i].note)))
            fail_msg("%d days: %s", rows[i].days, c->notes[0] ? c->notes[0] : "no note");
        assert_true(rows[i].note || !c->notes[0]);
        config_unref(c);
    }
}

/* What a person has half edited does not come in with a secret that others rotate. */
static void test_config__a_new_secret_brings_no_new_text(void **state)
{
    struct fixture *f = *state;
    AUTO(watch_freep) struct watch *first = NULL;
    AUTO(watch_freep) struct watch *again = NULL;
    struct config *old = NULL, *fresh = NULL;
    struct yaml_faults faults;
    struct err e = {0};

    put_file(f, "cordon.yaml", "public_url: https://old.example\n" ALL);
    assert_int_equal(watch_new(&first, &e), ERR_OK);
    assert_int_equal(config_load_watched(f->file, no_env, first, f->arena, &old, &faults, &e),
                     ERR_OK);
    put_file(f, "cordon.yaml", "public_url: https://new.example\nhalf: [\n");
    assert_null(watch_look(first)); /* that is for a SIGHUP */
    assert_null(watch_look(first));
    put_file(f, "secret", "another\n");
    assert_null(watch_look(first)); /* it may still be written */
    assert_non_null(strstr(watch_look(first), "/secret"));
    assert_int_equal(watch_new(&again, &e), ERR_OK);
    assert_int_equal(config_reread(old, no_env, again, f->arena, &fresh, &faults, &e), ERR_OK);
    assert_string_equal(fresh->public_url, "https://old.example");
    assert_string_equal(fresh->tenants[0].client_secret.text, "another");
    assert_null(watch_look(again));
    config_unref(old);
    config_unref(fresh);
}

static void *hold_and_let_go(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        struct config *c = config_ref(arg);

        if (strcmp(c->tenants[0].name, "contoso") != 0)
            abort();
        config_unref(c);
    }
    config_unref(arg);
    return NULL;
}

static void test_config__mail_has_ways_in_their_order(void **state)
{
    static const struct {
        const char *cloud, *exchange, *graph;
    } clouds[] = {
        {"public", "https://outlook.office365.com/.default",
         "https://graph.microsoft.com/.default"},
        {"gcc", "https://outlook.office365.com/.default", "https://graph.microsoft.com/.default"},
        {"gcc_high", "https://outlook.office365.us/.default",
         "https://graph.microsoft.us/.default"},
        {"dod", "https://outlook-dod.office365.us/.default",
         "https://dod-graph.microsoft.us/.default"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof clouds / sizeof *clouds; i++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(65536);
        const struct config_way *ways;
        struct config *c = NULL;
        struct yaml_faults faults;
        struct err e = {0};

        buf_addf(&text,
                 TENANTS
                 "    cloud: %s\n" SOURCES RULES
                 "mail:\n  server: smtp://smtp.office365.com:587\n  from: a@b.example\n"
                 "  to: c@d.example\n  oauth: {tenant: contoso}\n"
                 "  desk: {to: desk@b.example, call: the SOC}\n"
                 "  fallback:\n    ways:\n      - server: graph:m@b.example\n"
                 "      - {server: 'smtps://mail.b.example', oauth: {token_file: token}}\n"
                 "      - webhook: siem\n"
                 "webhooks: {siem: {url: 'https://siem.example/in', secret_files: [relay]}}\n",
                 clouds[i].cloud);
        put_file(f, "cordon.yaml", buf_text(&text));
        if (config_load(f->file, no_env, f->arena, &c, &faults, &e))
            fail_msg("%s: %s", e.text, faults.count ? faults.first->text : "");
        ways = c->mail.ways;
        assert_int_equal(c->mail.n_ways, 4);
        assert_int_equal(c->mail.fallback_after_ms, 10 * MINUTE_MS);
        assert_string_equal(ways[0].name, "mail");
        assert_string_equal(ways[0].username, "a@b.example"); /* the mailbox is mail.from */
        assert_string_equal(ways[0].scope, clouds[i].exchange);
        assert_int_equal(ways[1].kind, CONFIG_WAY_GRAPH);
        assert_string_equal(ways[1].name, "mail:fallback-1");
        assert_string_equal(ways[1].mailbox, "m@b.example");
        assert_ptr_equal(ways[1].tenant, &c->tenants[0]); /* the only one there is */
        assert_string_equal(ways[1].scope, clouds[i].graph);
        assert_null(ways[2].tenant);
        assert_true(ways[2].token.len > 0);
        assert_int_equal(ways[3].kind, CONFIG_WAY_WEBHOOK);
        assert_string_equal(ways[3].name, "webhook:siem");
        assert_string_equal(config_webhook_url(ways[3].webhook), "https://siem.example/in");
        assert_string_equal(c->mail.desk_to.items[0], "desk@b.example");
        config_unref(c);
    }
}

static void test_config__lives_until_the_last_reference(void **state)
{
    struct config *c = load(*state, ALL);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hold_and_let_go, config_ref(c)), 0);
    config_unref(c);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    config_unref(NULL);
}

static void test_config__a_command_sees_the_admin_part_alone(void **state)
{
    struct fixture *f = *state;
    struct config_admin admin = {0};
    struct yaml_faults faults;
    struct err e = {0};

    /* the rest may be half-edited */
    put_file(f, "cordon.yaml",
             "admin: {address: 127.0.0.1:7, token_file: token}\ntenants: broken\nlisten: [1]\n");
    assert_int_equal(config_peek_admin(f->file, no_env, f->arena, &admin, &faults, &e), ERR_OK);
    assert_string_equal(admin.address, "127.0.0.1:7");
    assert_string_equal(admin.token.text, "a-token-of-more-than-thirty-two-characters");

    put_file(f, "cordon.yaml", "rules: []\n");
    assert_int_equal(config_peek_admin(f->file, no_env, f->arena, &admin, &faults, &e), ERR_OK);
    assert_string_equal(admin.address, "127.0.0.1:9180");
    assert_null(admin.token.text);

    put_file(f, "cordon.yaml", "admin: {adress: x}\n");
    assert_int_equal(config_peek_admin(f->file, no_env, f->arena, &admin, &faults, &e),
                     ERR_INVALID);
    assert_int_equal(faults.count, 1);
    put_file(f, "cordon.yaml", "admin: [\n");
    assert_int_equal(config_peek_admin(f->file, no_env, f->arena, &admin, &faults, &e),
                     ERR_INVALID);
    assert_int_equal(config_peek_admin("/nonexistent", no_env, f->arena, &admin, &faults, &e),
                     ERR_IO);
}

/* Nobody is to mend his rules before he may pull the kill switch. */
static void test_config__a_command_sees_the_admin_part_of_what_is_no_yaml(void **state)
{
    static const struct {
        const char *text, *address; /* NULL: it cannot be seen */
        const char *fault;
    } rows[] = {
        {"rules:\n  - name: [\nadmin: {address: 127.0.0.1:7, token_file: token}\n", "127.0.0.1:7",
         NULL},
        {"admin:\n  address: 127.0.0.1:7\n# more\n\n  token_file: token\nrules: \"\n",
         "127.0.0.1:7", NULL},
        /* as editors of Windows write it */
        {"\xef\xbb\xbf"
         "admin: {address: 127.0.0.1:7, token_file: token}\r\nrules: [\r\n",
         "127.0.0.1:7", NULL},
        {"rules: {a: b: c\nadmin: {adress: x}\n", NULL,
         "cordon.yaml:2:9: admin.adress: unknown key; did you mean admin.address?\n"},
        /* the server's own would be another */
        {"rules: [\n", NULL, "cordon.yaml:2:1: not YAML: "},
        {"{rules: [, admin: {address: 127.0.0.1:7}}\n", NULL, "cordon.yaml:1:"},
        {"admin: {address: 127.0.0.1:7}\nrules: a: b\nadmin: {address: 127.0.0.1:8}\n", NULL,
         "cordon.yaml:2:"},
        {"admin: {address: 127.0.0.1:7\nrules: []\n", NULL, "cordon.yaml:"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf out = BUF_INIT(65536);
        struct config_admin admin = {0};
        struct yaml_faults faults;
        struct err e = {0};
        enum err_code code;

        print_message("  %s", rows[i].text);
        put_file(f, "cordon.yaml", rows[i].text);
        code = config_peek_admin(f->file, no_env, f->arena, &admin, &faults, &e);
        list_faults(f, &faults, &out);
        assert_int_equal(code, rows[i].address ? ERR_OK : ERR_INVALID);
        if (rows[i].address) {
            assert_string_equal(admin.address, rows[i].address);
            assert_string_equal(admin.token.text, "a-token-of-more-than-thirty-two-characters");
            assert_int_equal(faults.count, 0);
        } else if (strncmp(buf_text(&out), rows[i].fault, strlen(rows[i].fault)) != 0) {
            fail_msg("%s", buf_text(&out));
        }
    }
}

static void test_config__a_sender_is_told_where_to_post(void **state)
{
    static const struct {
        const char *text, *url, *unix_socket;
    } rows[] = {
        {"", "http://127.0.0.1:8080/hooks/relay", NULL},
        {"listen: {address: '0.0.0.0:81'}\n", "http://127.0.0.1:81/hooks/relay", NULL},
        {"listen: {address: '[::]:81', tls: {certificate_file: /root/unreadable}}\n",
         "https://127.0.0.1:81/hooks/relay", NULL},
        {"listen: {address: '[::1]:81'}\n", "http://[::1]:81/hooks/relay", NULL},
        {"listen: {address: 'unix:/run/cordon'}\n", "http://localhost/hooks/relay", "/run/cordon"},
        {"public_url: https://c.example/base/\n", "https://c.example/base/hooks/relay", NULL},
    };
    struct fixture *f = *state;
    struct config_sender sender;
    struct yaml_faults faults;
    struct err e = {0};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(4096);

        buf_addf(&text, "%s" SOURCES, rows[i].text);
        put_file(f, "cordon.yaml", buf_text(&text));
        assert_int_equal(
            config_peek_source(f->file, no_env, f->arena, "relay", &sender, &faults, &e), ERR_OK);
        assert_string_equal(sender.url, rows[i].url);
        if (rows[i].unix_socket)
            assert_string_equal(sender.unix_socket, rows[i].unix_socket);
        else
            assert_null(sender.unix_socket);
        assert_int_equal(sender.verify->kind, YAML_LIST);
    }
    assert_int_equal(config_peek_source(f->file, no_env, f->arena, "flow", &sender, &faults, &e),
                     ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "there is no source 'flow'"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_config__##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_fault_is_named_with_its_place),
        TEST(a_step_that_could_never_work_is_a_fault),
        TEST(the_wrong_severity_is_corrected),
        TEST(a_file_that_cannot_be_read_is_no_fault_of_its_text),
        TEST(a_file_that_is_too_long_is_not_cut),
        TEST(defaults_and_clouds),
        TEST(the_example_of_the_contract_is_good),
        TEST(a_list_of_addresses_is_told_whole),
        TEST(notes_a_secret_in_common_however_it_is_written),
        TEST(notes_are_worth_a_line),
        TEST(the_environment_fills_in),
        TEST(braces_in_a_hunts_text_are_found_where_a_variable_holds_them),
        TEST(a_key_in_place_of_its_file_is_not_repeated),
        TEST(the_environment_says_whom_a_rule_tells),
        TEST(rules_that_act_on_nothing_are_noted),
        TEST(rules_that_tell_nobody_are_noted),
        TEST(notes_a_database_that_anybody_could_be),
        TEST(notes_a_hunt_whose_alerts_defender_may_refuse),
        TEST(notes_texts_that_hardly_equal_anything),
        TEST(notes_a_pause_file_that_is_no_kill_switch),
        TEST(notes_questions_that_nobody_gets),
        TEST(notes_questions_with_fewer_links_than_answers),
        TEST(the_starter_lacks_its_secrets_and_nothing_else),
        TEST(a_query_that_is_no_text_is_a_fault),
        TEST(what_is_gone_may_not_isolate),
        TEST(a_test_may_be_about_polling_and_a_hunt),
        TEST(a_reload_says_what_needs_a_restart),
        TEST(what_a_reload_cannot_change_keeps_nothing_else_out),
        TEST(a_reload_opens_no_door_that_others_reach),
        TEST(a_reload_takes_no_file_that_a_start_would_not),
        TEST(another_password_of_the_store_refuses_no_reload),
        TEST(a_first_client_certificate_needs_a_restart),
        TEST(a_certificate_that_ends_soon_is_a_note),
        TEST(a_new_secret_brings_no_new_text),
        TEST(mail_has_ways_in_their_order),
        TEST(lives_until_the_last_reference),
        TEST(a_command_sees_the_admin_part_alone),
        TEST(a_command_sees_the_admin_part_of_what_is_no_yaml),
        TEST(a_sender_is_told_where_to_post),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
