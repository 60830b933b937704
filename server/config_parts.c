/* config_parts.c - what each part of the file may hold; see config_own.h.
 *
 * Tables say what each map may hold; what no table can say (a source's tenant must exist, an admin
 * address that others reach needs a token) is checked afterwards. Nothing stops at the first fault: the
 * file is read to its end, and every cross check looks only at what was read without one.
 */
#include "config_own.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "credential.h"
#include "db.h"
#include "http_tls.h"
#include "policy_tests.h"

#define NAME_MAX_CHARS 64 /* of a tenant or source: it stands in paths, logs and the store */

const char *const config_clouds[] = {"public", "gcc", "gcc_high", "dod", NULL};

/* Hosts: defender-api.md section 1.1; scopes: section 1.2 (the public cloud's resource stays
 * securitycenter whichever host is called; the government clouds' is the API's own host).
 * Portals: Microsoft's page "Microsoft Defender for Endpoint for US Government customers", portal URLs. */
const struct config_cloud config_cloud_defaults[] = {
    {"https://api.security.microsoft.com", "https://api.securitycenter.microsoft.com/.default",
     "https://login.microsoftonline.com", "https://graph.microsoft.com",
     "https://graph.microsoft.com/.default", "https://security.microsoft.com"},
    {"https://api-gcc.securitycenter.microsoft.us",
     "https://api-gcc.securitycenter.microsoft.us/.default", "https://login.microsoftonline.com",
     "https://graph.microsoft.com", "https://graph.microsoft.com/.default",
     "https://security.microsoft.com"},
    {"https://api-gov.securitycenter.microsoft.us",
     "https://api-gov.securitycenter.microsoft.us/.default", "https://login.microsoftonline.us",
     "https://graph.microsoft.us", "https://graph.microsoft.us/.default",
     "https://security.microsoft.us"},
    {"https://api-gov.securitycenter.microsoft.us",
     "https://api-gov.securitycenter.microsoft.us/.default", "https://login.microsoftonline.us",
     "https://dod-graph.microsoft.us", "https://dod-graph.microsoft.us/.default",
     "https://security.apps.mil"},
};

const char config_zero_guid[] = "00000000-0000-0000-0000-000000000000";

/* ---- tables ----------------------------------------------------------------------------------- */

/* Bytes, as of a sender's token: less can be guessed, and nobody counts the guesses. */
#define ADMIN_TOKEN_MIN 16

#define KIB ((int64_t)1024)
#define GIB (KIB * KIB * KIB)

/* Some hundred thousand cases: a busy year of a large tenant. */
#define STORE_MAX_SIZE      (16 * GIB)
#define STORE_MAX_SIZE_TEXT "16GiB"

struct top {
    const struct yaml_node *listen, *admin, *store, *tenants, *sources, *mail, *rules, *safety,
        *approvers, *tests, *polling, *hunts, *webhooks;
    const char *public_url;
    int64_t retention_ms;
};

static const struct setting top_table[] = {
    SETTING("listen", SET_NODE, top, listen, .meaning = "the senders' side"),
    SETTING("admin", SET_NODE, top, admin,
            .meaning = "the people's side: console, API, health, metrics"),
    SETTING("public_url", SET_URL, top, public_url,
            .meaning = "how senders and mailed links reach `listen`"),
    SETTING("store", SET_NODE, top, store, .meaning = "where accepted notifications are kept"),
    SETTING("retention", SET_DURATION, top, retention_ms, .fallback = "400d", .least = 7 * DAY_MS,
            .most = 36500 * DAY_MS, .meaning = "how long a case is kept after it was over"),
    SETTING("tenants", SET_NODE, top, tenants, .required = true,
            .meaning = "whose Defender is read and acted on"),
    SETTING("sources", SET_NODE, top, sources,
            .meaning = "who may push alerts, and how they prove who they are"),
    SETTING("mail", SET_NODE, top, mail, .meaning = "how people are told"),
    SETTING("webhooks", SET_NODE, top, webhooks,
            .meaning = "where `webhook` steps post to: Teams, Slack, programs of your own"),
    SETTING("rules", SET_NODE, top, rules, .required = true,
            .meaning =
                "what is done about an alert; the first rule that matches gives the verdict"),
    SETTING("safety", SET_NODE, top, safety,
            .meaning = "what is never isolated unasked, and how many isolations there may be"),
    SETTING("tests", SET_NODE, top, tests,
            .meaning =
                "what the policy is to say of which facts; judged whenever the file is read"),
    SETTING("polling", SET_NODE, top, polling, .meaning = "asking Defender for alerts"),
    SETTING("approvers", SET_NODE, top, approvers,
            .meaning = "how those who answer questions prove who they are; absent: by their link"),
    SETTING("hunts", SET_NODE, top, hunts, .meaning = "scheduled hunting queries"),
    {.key = NULL},
};

static const struct setting tls_table[] = {
    SETTING("certificate_file", SET_PATH, config_tls, certificate_file, .required = true,
            .meaning = "the certificate chain, PEM"),
    SETTING("key_file", SET_PATH, config_tls, key_file, .required = true, .secret = true,
            .meaning = "its private key, PEM"),
    SETTING("client_ca_file", SET_PATH, config_tls, client_ca_file,
            .meaning = "CAs of client certificates, PEM, where a source names none of its own"),
    {.key = NULL},
};

/* A thousand a second, twenty thousand at once: a relay that pushes a storm of 10,000 alerts one by one, from
 * one address, is never turned away; what is more waits for its Retry-After, and nothing is lost. */
static const struct gate_rate usual_rate = {60000, MINUTE_MS, 20000};

static const struct setting rate_table[] = {
    SETTING("requests", SET_INT, gate_rate, requests, .required = true, .least = 1,
            .most = GATE_REQUESTS_MAX, .meaning = "so many in each `per`, in the long run"),
    SETTING("per", SET_DURATION, gate_rate, per_ms, .fallback = "1m", .least = SECOND_MS,
            .most = DAY_MS, .meaning = "the time that `requests` is for"),
    SETTING("burst", SET_INT, gate_rate, burst, .least = 1, .most = GATE_REQUESTS_MAX,
            .meaning = "so many at once; default: as many as `requests`"),
    {.key = NULL},
};

struct listen {
    struct config_listen out;
    const struct yaml_node *tls, *rate;
};

static const struct setting listen_table[] = {
    SETTING("address", SET_LISTEN, listen, out.address, .fallback = "127.0.0.1:8080",
            .meaning = "where senders are listened for"),
    SETTING("tls", SET_NODE, listen, tls,
            .meaning = "certificate_file, key_file, client_ca_file; absent: plain HTTP"),
    SETTING("max_body", SET_SIZE, listen, out.max_body, .fallback = "1MiB", .least = KIB,
            .most = 16 * KIB * KIB, .meaning = "the largest body of a request"),
    SETTING("trusted_proxies", SET_CIDR_LIST, listen, out.trusted_proxies, .may_be_empty = true,
            .meaning = "whose X-Forwarded-For counts"),
    SETTING("rate", SET_NODE, listen, rate,
            .meaning = "requests, per, burst: how often one client address may knock"),
    {.key = NULL},
};

const struct setting config_admin_table[] = {
    SETTING("address", SET_LISTEN, config_admin, address, .fallback = "127.0.0.1:9180",
            .meaning = "where people and their tools are listened for"),
    SETTING("token", SET_SECRET, config_admin, token,
            .meaning =
                "the token that the API asks for, 16 characters at least; needed for anything but "
                "loopback and unix:"),
    {.key = NULL},
};

struct store_part {
    const char *url;
    struct secret password;
    int64_t max_size;
};

static const struct setting store_table[] = {
    SETTING(
        "url", SET_TEXT, store_part, url, .required = true,
        .meaning =
            "sqlite:FILE (relative to the working directory), or postgresql://user@host/database"),
    SETTING("password", SET_SECRET, store_part, password,
            .meaning = "the password of a postgresql:// url"),
    SETTING("max_size", SET_SIZE, store_part, max_size, .fallback = STORE_MAX_SIZE_TEXT,
            .least = KIB * KIB, .most = INT64_MAX / 2,
            .meaning = "from this size on nothing new is accepted; what was accepted goes on"),
    {.key = NULL},
};

struct tenant {
    struct config_tenant out;
    const struct yaml_node *quota;
};

static const struct setting tenant_table[] = {
    SETTING("tenant_id", SET_GUID, tenant, out.tenant_id, .required = true,
            .meaning = "the Entra tenant's id"),
    SETTING("client_id", SET_GUID, tenant, out.client_id,
            .meaning = "the id of cordon's application in that tenant"),
    SETTING("client_secret", SET_SECRET, tenant, out.client_secret,
            .meaning = "the application's client secret"),
    SETTING("certificate_file", SET_PATH, tenant, out.certificate_file,
            .meaning = "or a certificate that is registered with the application, PEM"),
    SETTING("key_file", SET_PATH, tenant, out.key_file, .secret = true,
            .meaning = "the certificate's RSA key, PEM"),
    SETTING("federated_token_file", SET_PATH, tenant, out.federated_token_file, .secret = true,
            .meaning =
                "or the file that the platform writes a token of its own into (workload identity)"),
    SETTING("managed_identity", SET_BOOL, tenant, out.managed_identity,
            .meaning =
                "true: or the identity of the Azure machine or app that cordon runs on; client_id "
                "only where it has several"),
    SETTING("cloud", SET_WORD, tenant, out.cloud, .fallback = "public", .words = config_clouds,
            .meaning = "which of Microsoft's clouds"),
    SETTING("api_url", SET_URL, tenant, out.api_url,
            .meaning = "Defender's API, without /api; overrides the cloud's own"),
    SETTING("api_scope", SET_TEXT, tenant, out.api_scope,
            .meaning =
                "the scope that a token for Defender is asked for with; overrides the cloud's own"),
    SETTING("login_url", SET_URL, tenant, out.login_url,
            .meaning = "Entra's authority; overrides the cloud's own"),
    SETTING("graph_url", SET_URL, tenant, out.graph_url,
            .meaning = "Microsoft Graph; overrides the cloud's own"),
    SETTING("quota", SET_NODE, tenant, quota,
            .meaning = "per_minute, per_hour: how many calls cordon may make"),
    {.key = NULL},
};

/* The defaults are what Defender grants an application: defender-api.md section 7.4. */
static const struct setting quota_table[] = {
    SETTING("per_minute", SET_INT, config_quota, per_minute, .fallback = "100", .least = 1,
            .most = 100000, .meaning = "calls in a minute"),
    SETTING("per_hour", SET_INT, config_quota, per_hour, .fallback = "1500", .least = 1,
            .most = 1000000, .meaning = "calls in an hour"),
    {.key = NULL},
};

struct polling {
    int64_t every_ms;
    const struct yaml_node *may;
};

/* Six calls a minute for it at most, of the hundred. */
#define POLLING_LEAST_MS (10 * SECOND_MS)

static const struct setting polling_table[] = {
    SETTING("every", SET_DURATION, polling, every_ms, .required = true, .most = DAY_MS,
            .meaning = "how often Defender is asked for alerts that nobody pushed; 0: not at all"),
    SETTING("may", SET_NODE, polling, may,
            .meaning = "what those may lead to: notify, isolate; default both"),
    {.key = NULL},
};

/* ---- helpers ---------------------------------------------------------------------------------- */

const struct yaml_node *config_place(const struct yaml_node *map, const char *key)
{
    const struct yaml_node *child = yaml_get(map, key);

    return child ? child->key : map && map->key ? map->key : map;
}

bool config_names_ok(const struct settings_reader *r, const struct yaml_node *map, const char *what)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    bool good = true;

    if (map->kind != YAML_MAP || map->count == 0) {
        yaml_fault(r->faults, map->key ? map->key : map,
                   "%s: expected at least one, each with a name of your choice", what);
        return false;
    }
    for (const struct yaml_node *child = map->first; child; child = child->next) {
        const char *name = child->key->text;
        size_t len = strlen(name);

        if (len > NAME_MAX_CHARS || *name == '-' || strspn(name, alphabet) != len) {
            yaml_fault(
                r->faults, child->key,
                "%s: expected a name of a-z, 0-9, - and _, at most %d, that does not begin with -, "
                "found '%.60s'",
                what, NAME_MAX_CHARS, name);
            good = false;
        }
    }
    return good;
}

const char *config_name_of(const struct settings_reader *r, const char *what, const char *name)
{
    const char *out = arena_fmt(r->arena, "%s.%s", what, name);

    return out ? out : name;
}

/* What a server that runs cannot change stays as it is, and all else is read as if the file said so: a source that may prove
 * itself by nothing on loopback alone is held against the socket that there is. */
static const char *keep_in_force(struct config_loading *l, const struct yaml_node *at,
                                 const char *key, const char *wanted, const char *in_force,
                                 bool shown)
{
    const char *kept;

    if (!l->in_force || strcmp(wanted, in_force) == 0)
        return wanted;
    config_note(l, at, "%s needs a restart: until then it stays %s", key,
                shown ? in_force : "what it was");
    kept = arena_str(l->reader.arena, in_force);
    if (!kept)
        config_fault(l, at, "%s: out of memory", key);
    return kept ? kept : in_force; /* with the fault nobody takes it */
}

const struct config_tenant *config_find_tenant(const struct settings_reader *r,
                                               const struct config *c, const struct yaml_node *at,
                                               const char *what, const char *name)
{
    const struct config_tenant *t = config_tenant(c, name);
    const char **names;

    if (t || !c->n_tenants)
        return t; /* without tenants there is a fault already */
    names = arena_array(r->arena, c->n_tenants + 1, sizeof *names);
    for (size_t i = 0; names && i < c->n_tenants; i++)
        names[i] = c->tenants[i].name;
    yaml_fault(r->faults, at, "%s.tenant: there is no tenant '%.60s'%s", what, name,
               settings_meant(r, name, names));
    return NULL;
}

/* ---- the parts -------------------------------------------------------------------------------- */

struct gate_rate config_read_rate(struct config_loading *l, const struct yaml_node *map,
                                  const char *what)
{
    const char *name = arena_fmt(l->reader.arena, "%s.rate", what);
    size_t faults_before = l->reader.faults->count;
    struct gate_rate rate = {0};

    if (!map)
        return usual_rate;
    settings_read(&l->reader, map, name ? name : what, rate_table, &rate);
    if (!rate.burst)
        rate.burst = rate.requests;
    if (l->reader.faults->count == faults_before && !gate_rate_is_sound(&rate))
        config_fault(l, config_place(map, "burst"),
                     "%s: a burst of %" PRId64 " would take more than a week to come back",
                     name ? name : what, rate.burst);
    return l->reader.faults->count == faults_before ? rate : usual_rate;
}

/* A proxy that could be anybody lets anybody say who he is. */
static void note_proxies(struct config_loading *l, const struct yaml_node *map,
                         const struct cidr_list *proxies)
{
    static const unsigned char mapped[16] = {[10] = 0xff, [11] = 0xff};

    for (size_t i = 0; i < proxies->count; i++)
        if (proxies->items[i].bits == 0 ||
            (proxies->items[i].bits == 96 && memcmp(proxies->items[i].address, mapped, 16) == 0))
            config_note(
                l, config_place(map, "trusted_proxies"),
                "listen.trusted_proxies: with all addresses trusted, whoever sends X-Forwarded-For "
                "chooses his own address; name the proxies alone");
}

static void check_certificate(struct config_loading *l, const struct yaml_node *map,
                              const struct config_tls *tls)
{
    const struct yaml_node *at = yaml_get(map, "certificate_file");
    struct http_tls_pair *pair;
    char text[CLOCK_TEXT_SIZE];
    struct err e;
    int64_t end;

    if (!tls->certificate_file || !tls->key_file)
        return; /* the fault is noted */
    if (http_tls_load(tls->certificate_file, tls->key_file, &pair, &e)) {
        config_fault(l, at, "listen.tls: %s", e.text);
        return;
    }
    end = http_tls_not_after_ms(pair);
    http_tls_unref(pair);
    if (end - clock_wall_ms(clock_system()) < HTTP_TLS_ENDS_SOON_MS)
        config_note(l, at, "listen.tls.certificate_file: the certificate %s %s",
                    end < clock_wall_ms(clock_system()) ? "ended at" : "ends at",
                    clock_format(end, text));
}

static void read_listen(struct config_loading *l, const struct yaml_node *map)
{
    struct listen in = {0};

    settings_read(&l->reader, map, "listen", listen_table, &in);
    in.out.address =
        keep_in_force(l, config_place(map, "address"), "listen.address", in.out.address,
                      l->in_force ? l->in_force->listen.address : NULL, true);
    if (in.tls) {
        settings_read(&l->reader, in.tls, "listen.tls", tls_table, &in.out.tls);
        check_certificate(l, in.tls, &in.out.tls);
    }
    in.out.rate = config_read_rate(l, in.rate, "listen");
    note_proxies(l, map, &in.out.trusted_proxies);
    l->config->listen = in.out;
    if (!in.tls && !settings_listen_is_local(in.out.address))
        config_note(
            l, config_place(map, "address"),
            "listen.address: %s is reachable from other machines over plain HTTP; give listen.tls a "
            "certificate, or have a proxy in front do TLS",
            in.out.address);
}

static void read_admin(struct config_loading *l, const struct yaml_node *map)
{
    struct config_admin *admin = &l->config->admin;

    settings_read(&l->reader, map, "admin", config_admin_table, admin);
    admin->address = keep_in_force(l, config_place(map, "address"), "admin.address", admin->address,
                                   l->in_force ? l->in_force->admin.address : NULL, true);
    if (admin->token.text && admin->token.len < ADMIN_TOKEN_MIN)
        config_fault(l, yaml_get(map, "token_file"),
                     "%s: an admin token needs at least %d characters; make one with "
                     "`openssl rand -base64 32`",
                     admin->token.file, ADMIN_TOKEN_MIN);
    if (!admin->token.text && !yaml_get(map, "token_file") &&
        !settings_listen_is_local(admin->address))
        config_fault(
            l, config_place(map, "address"),
            "admin.token_file is missing: admin.address %s is reachable from other machines",
            admin->address);
}

/* The password goes with the url, and so does the size: the store that is to come may be smaller than what is in this one, which
 * would be full at once and take nothing more. */
static void keep_store(struct config_loading *l, const struct yaml_node *map)
{
    struct config *c = l->config;
    const char *wanted = c->store_url;
    const struct secret *password;

    c->store_url = keep_in_force(l, config_place(map, "url"), "store.url", wanted,
                                 l->in_force ? l->in_force->store_url : NULL, false);
    if (c->store_url == wanted)
        return;
    if (c->store_max_size != l->in_force->store_max_size)
        config_note(l, config_place(map, "max_size"),
                    "store.max_size waits with store.url: until then it stays %" PRId64 " bytes",
                    l->in_force->store_max_size);
    c->store_max_size = l->in_force->store_max_size;
    secret_wipe(&c->store_password);
    password = &l->in_force->store_password;
    if (!password->text)
        return;
    c->store_password = *password;
    c->store_password.file = NULL; /* it lives with the other configuration */
    c->store_password.name = NULL;
    c->store_password.at = NULL;
    c->store_password.text = arena_strn(l->reader.arena, password->text, password->len);
    if (!c->store_password.text)
        config_fault(l, config_place(map, "url"), "store: out of memory");
}

void config_read_store(struct config_loading *l, const struct yaml_node *map)
{
    struct store_part in = {.url = "sqlite:cordon.db", .max_size = STORE_MAX_SIZE};
    const struct yaml_node *at = yaml_get(map, "url");
    bool postgres;
    struct err e;

    if (map)
        settings_read(&l->reader, map, "store", store_table, &in);
    l->config->store_url = in.url;
    l->config->store_password = in.password;
    l->config->store_max_size = in.max_size;
    if (!at)
        return;
    postgres = strncmp(in.url, "postgresql:", 11) == 0;
    /* not echoed: a URL of this kind may hold a password */
    if (strncmp(in.url, "postgres:", 9) == 0)
        config_fault(l, at, "store.url: expected it to begin with postgresql://");
    else if (!postgres && (strncmp(in.url, "sqlite:", 7) != 0 || !in.url[7]))
        config_fault(l, at, "store.url: expected sqlite:FILE or postgresql://user@host/database");
    else if (postgres && db_check_url(in.url, in.password.text, &e))
        config_fault(l, at, "store.url: %s", e.text);
    else if (l->reader.notes && db_url_is_exposed(in.url))
        config_note(
            l, at,
            "store.url: the database is on another host: without sslmode=verify-full (and its "
            "sslrootcert) whoever stands between can read along, or be the database");
    else if (!postgres && in.password.text)
        config_fault(l, yaml_get(map, "password_file"),
                     "store.password_file: sqlite: takes no password; remove it");
}

/* How often is the credential named? One way is wanted. */
static void check_credential(struct config_loading *l, const struct yaml_node *map,
                             const char *name, const struct config_tenant *t)
{
    const bool by_certificate = t->certificate_file || t->key_file;
    int ways = (t->client_secret.text != NULL) + by_certificate +
               (t->federated_token_file != NULL) + t->managed_identity;
    int64_t end_ms = 0;
    struct err e;

    if (!t->client_id && !t->managed_identity)
        config_fault(l, map->key,
                     "%s.client_id is missing: the id of cordon's application in that tenant",
                     name);
    if (ways == 0)
        config_fault(
            l, map->key,
            "%s.client_secret_file is missing: the file with the application's client secret; or "
            "certificate_file and key_file, federated_token_file, managed_identity: true",
            name);
    else if (ways > 1)
        config_fault(l, map->key,
                     "%s: expected one of client_secret_file, certificate_file with key_file, "
                     "federated_token_file and managed_identity, not several",
                     name);
    else if (by_certificate && !(t->certificate_file && t->key_file))
        config_fault(l, map->key, "%s.%s is missing: a certificate and its key are named together",
                     name, t->key_file ? "certificate_file" : "key_file");
    else if (by_certificate && credential_check(t->certificate_file, t->key_file, &end_ms, &e))
        config_fault(l, config_place(map, "certificate_file"), "%s.certificate_file: %s", name,
                     e.text);
    else if (by_certificate && end_ms < clock_wall_ms(clock_system()))
        config_note(l, config_place(map, "certificate_file"),
                    "%s.certificate_file: the certificate has ended", name);
}

/* Does it lead into the API itself: "…/api", "…/api/v1.0" (defender-api.md section 1.1)? Each call names that path by itself. */
static bool leads_into_api(const char *url)
{
    const char *last = strrchr(url, '/');
    size_t len = strlen(url);

    if (last[1] == 'v' && last[1 + strspn(last + 1, "v0123456789.")] == '\0')
        len = (size_t)(last - url);
    return len > 4 && strncasecmp(url + len - 4, "/api", 4) == 0;
}

static void read_tenant(struct config_loading *l, const struct yaml_node *map,
                        struct config_tenant *out)
{
    const char *name = config_name_of(&l->reader, "tenants", map->key->text);
    size_t faults_before = l->reader.faults->count;
    struct tenant in = {0};

    settings_read(&l->reader, map, name, tenant_table, &in);
    settings_read(&l->reader, in.quota, config_name_of(&l->reader, name, "quota"), quota_table,
                  &in.out.quota);
    *out = in.out;
    out->name = map->key->text;
    if (map->kind == YAML_MAP && l->reader.faults->count == faults_before)
        check_credential(l, map, name, out);
    if (out->api_url && leads_into_api(out->api_url))
        config_fault(l, yaml_get(map, "api_url"), "%s.api_url: expected without /api at its end",
                     name);
    /* Always "/.default" for an application's own token: defender-api.md section 1.2. */
    if (out->api_scope && (strlen(out->api_scope) <= 9 ||
                           strcmp(out->api_scope + strlen(out->api_scope) - 9, "/.default") != 0))
        config_fault(l, yaml_get(map, "api_scope"),
                     "%s.api_scope: expected a scope that ends with /.default", name);
    if (out->tenant_id && strcmp(out->tenant_id, config_zero_guid) == 0)
        config_note(l, config_place(map, "tenant_id"), "%s.tenant_id is still a placeholder", name);
    if (out->client_id && strcmp(out->client_id, config_zero_guid) == 0)
        config_note(l, config_place(map, "client_id"), "%s.client_id is still a placeholder", name);
    if (!out->api_url)
        out->api_url = config_cloud_defaults[out->cloud].api_url;
    if (!out->api_scope)
        out->api_scope = config_cloud_defaults[out->cloud].api_scope;
    if (!out->login_url)
        out->login_url = config_cloud_defaults[out->cloud].login_url;
    if (!out->graph_url)
        out->graph_url = config_cloud_defaults[out->cloud].graph_url;
    out->graph_scope = config_cloud_defaults[out->cloud].graph_scope;
    out->portal_url = config_cloud_defaults[out->cloud].portal_url;
}

static enum err_code read_tenants(struct config_loading *l, const struct yaml_node *map)
{
    if (!map || !config_names_ok(&l->reader, map, "tenants"))
        return ERR_OK; /* the fault is noted */
    l->config->tenants = arena_array(l->reader.arena, map->count, sizeof *l->config->tenants);
    if (!l->config->tenants)
        return ERR_NOMEM;
    for (const struct yaml_node *child = map->first; child; child = child->next)
        read_tenant(l, child, &l->config->tenants[l->config->n_tenants++]);
    return ERR_OK;
}

static void read_polling(struct config_loading *l, const struct yaml_node *map)
{
    /* Without this part polling is a source that is gone: what it has found may only be told, whatever `may` said. */
    struct config_source rights = {.may_isolate = map != NULL};
    struct polling in = {0};

    if (map) {
        settings_read(&l->reader, map, "polling", polling_table, &in);
        if (in.may)
            config_read_may(l, in.may, "polling", &rights);
    }
    if (in.every_ms && in.every_ms < POLLING_LEAST_MS)
        config_fault(l, yaml_get(map, "every"),
                     "polling.every: expected 10s to 1d, or 0: not at all");
    l->config->polling =
        (struct config_polling){.every_ms = in.every_ms, .may_isolate = rights.may_isolate};
}

/* Isolations count against a limit for as long as they are on record. */
static void read_retention(struct config_loading *l, const struct yaml_node *root, int64_t keep_ms)
{
    size_t n = 0;
    const struct policy_limit *limits =
        l->config->policy ? policy_limits(l->config->policy, &n) : NULL;

    l->config->retention_ms = keep_ms;
    for (size_t i = 0; i < n; i++)
        if (keep_ms && keep_ms < limits[i].per_ms) {
            config_fault(
                l, config_place(root, "retention"),
                "retention is shorter than a limit of safety.limits: what counts there would be "
                "forgotten");
            return;
        }
}

/* Cases, isolations and their leases are kept by a tenant's name: under two names of one tenant a machine would be
 * isolated twice, once for each. */
static void check_twins(struct config_loading *l, const struct yaml_node *map)
{
    const struct config *c = l->config;

    for (size_t i = 0; i < c->n_tenants; i++)
        for (size_t k = 0; k < i; k++) {
            const struct config_tenant *t = &c->tenants[i], *twin = &c->tenants[k];

            if (t->tenant_id && twin->tenant_id && strcmp(t->tenant_id, twin->tenant_id) == 0 &&
                strcmp(t->tenant_id, config_zero_guid) != 0 && config_is_pushed_for(c, t) &&
                config_is_pushed_for(c, twin))
                config_fault(
                    l, yaml_get(yaml_get(map, t->name), "tenant_id"),
                    "tenants.%s.tenant_id: this is tenants.%s already, and each would isolate the "
                    "same machines; let all sources and hunts use one name",
                    t->name, twin->name);
        }
}

/* Only with a policy and sources that have no fault. */
static enum err_code run_tests(struct config_loading *l, const struct yaml_node *tests)
{
    const struct config *c = l->config;
    const struct config_origin *origins;
    size_t n = config_origins(c, l->reader.arena, &origins);
    struct policy_tests_source *sources = arena_array(l->reader.arena, n + 1, sizeof *sources);

    if (!origins || !sources)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        sources[i] = (struct policy_tests_source){
            .name = origins[i].name,
            .tenant = origins[i].tenant ? origins[i].tenant->name : c->tenants[0].name,
            .may_isolate = origins[i].may_isolate};
    l->config->n_tests = policy_tests_run(&l->reader, tests, c->policy, sources, n);
    return ERR_OK;
}

bool config_read_policy(const struct settings_reader *r, const struct yaml_node *root,
                        const struct yaml_node **ret_rules, const struct yaml_node **ret_safety)
{
    struct top in = {0};

    if (root->kind == YAML_MAP)
        settings_check_keys(r, root, "", top_table);
    for (const struct setting *s = top_table; s->key; s++)
        if (s->offset == offsetof(struct top, rules) || s->offset == offsetof(struct top, safety))
            settings_read_key(r, root, "", s, &in);
    *ret_rules = in.rules;
    *ret_safety = in.safety;
    return in.rules;
}

/* mailed: a rule's own email names somebody. */
static void note_untold(struct config_loading *l, const struct yaml_node *root,
                        const struct yaml_node *mail, bool mailed)
{
    if (!mail)
        config_note(
            l, root,
            "mail: there is none, so nobody is told by mail, not even of doubts and failures");
    else if (!yaml_get(mail, "to") && l->config->mail.server)
        config_note(
            l, mail->key,
            mailed
                ? "mail.to is missing: doubts and failures reach only whom a rule's own email names"
                : "mail.to is missing, and no rule's email names anybody: nobody is told of doubts "
                  "and failures by mail");
}

enum err_code config_read_root(struct config_loading *l, const struct yaml_node *root)
{
    struct config *c = l->config;
    struct top in = {0};
    bool mailed = false;
    enum err_code code;

    settings_read(&l->reader, root, "", top_table, &in);
    c->public_url = in.public_url;
    l->has_public_url = yaml_get(root, "public_url") != NULL;
    read_listen(l, in.listen);
    read_admin(l, in.admin);
    if (strcmp(c->listen.address, c->admin.address) == 0 &&
        (!strchr(c->listen.address, ':') || strcmp(strrchr(c->listen.address, ':'), ":0") != 0))
        config_fault(l, config_place(in.admin, "address"),
                     "admin.address: %s is listen.address already", c->admin.address);
    config_read_store(l, in.store);
    keep_store(l, in.store);
    code = read_tenants(l, in.tenants);
    if (!code)
        code = config_read_sources(l, in.sources);
    if (code)
        return code;
    if (in.approvers)
        config_read_approvers(l, in.approvers);
    code = config_read_webhooks(&l->reader, in.webhooks, c);
    if (!code)
        code = config_read_mail(&l->reader, in.mail, c);
    if (code)
        return code;
    if (in.rules) {
        c->policy = policy_compile(&l->reader, in.rules, in.safety);
        mailed = config_check_telling(&l->reader, in.rules, in.mail, c);
    }
    read_retention(l, root, in.retention_ms);
    note_untold(l, root, in.mail, mailed);
    read_polling(l, in.polling);
    code = config_hunts_read(
        &l->reader,
        &(struct config_hunts_input){.hunts = in.hunts, .config = c, .has_mail = in.mail != NULL},
        &c->hunts, &c->n_hunts);
    if (code)
        return code;
    check_twins(l, in.tenants);
    if (root->kind == YAML_MAP && !in.sources && !l->config->polling.every_ms && !c->n_hunts)
        config_fault(
            l, root,
            "sources is missing: who may push alerts, and how they prove who they are; or let cordon "
            "ask for them: polling: {every: 1m}");
    if (c->policy)
        code = config_check_conditions(l, in.rules, yaml_get(in.safety, "protected"));
    if (code)
        return code;
    if (l->reader.faults->count)
        return ERR_OK;
    config_note_sources(l, in.sources, in.rules);
    if (in.tests)
        return run_tests(l, in.tests);
    return ERR_OK;
}
