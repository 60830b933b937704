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

static const char zero_guid[] = "00000000-0000-0000-0000-000000000000";

/* ---- tables ----------------------------------------------------------------------------------- */

/* Bytes, as of a sender's token: less can be guessed, and nobody counts the guesses. */
#define ADMIN_TOKEN_MIN 16

#define KIB ((int64_t)1024)
#define GIB (KIB * KIB * KIB)

/* Some hundred thousand cases: a busy year of a large tenant. */
#define STORE_MAX_SIZE      (16 * GIB)
#define STORE_MAX_SIZE_TEXT "16GiB"

/* A key, its type, and the field of a struct that it fills. */
#define ROW(k, t, of, field, ...)                                                                  \
    {                                                                                              \
        .key = (k), .type = (t), .offset = offsetof(struct of, field), __VA_ARGS__                 \
    }
#define NOT_YET(k, what)                                                                           \
    {                                                                                              \
        .key = (k), .type = SET_UNSUPPORTED, .meaning = (what)                                     \
    }

struct top {
    const struct yaml_node *listen, *admin, *store, *tenants, *sources, *mail, *rules, *safety,
        *approvers, *tests, *polling, *hunts, *webhooks;
    const char *public_url;
    int64_t retention_ms;
};

static const struct setting top_table[] = {
    ROW("listen", SET_NODE, top, listen, .meaning = "the senders' side"),
    ROW("admin", SET_NODE, top, admin,
        .meaning = "the people's side: console, API, health, metrics"),
    ROW("public_url", SET_URL, top, public_url,
        .meaning = "how senders and mailed links reach `listen`"),
    ROW("store", SET_NODE, top, store, .meaning = "where accepted notifications are kept"),
    ROW("retention", SET_DURATION, top, retention_ms, .fallback = "400d", .least = 7 * DAY_MS,
        .most = 36500 * DAY_MS, .meaning = "how long a case is kept after it was over"),
    ROW("tenants", SET_NODE, top, tenants, .required = true,
        .meaning = "whose Defender is read and acted on"),
    ROW("sources", SET_NODE, top, sources,
        .meaning = "who may push alerts, and how they prove who they are"),
    ROW("mail", SET_NODE, top, mail, .meaning = "how people are told"),
    ROW("webhooks", SET_NODE, top, webhooks,
        .meaning = "where `webhook` steps post to: Teams, Slack, programs of your own"),
    ROW("rules", SET_NODE, top, rules, .required = true,
        .meaning = "what is done about an alert; the first rule that matches gives the verdict"),
    ROW("safety", SET_NODE, top, safety,
        .meaning = "what is never isolated unasked, and how many isolations there may be"),
    ROW("tests", SET_NODE, top, tests,
        .meaning = "what the policy is to say of which facts; judged whenever the file is read"),
    ROW("polling", SET_NODE, top, polling, .meaning = "asking Defender for alerts"),
    ROW("approvers", SET_NODE, top, approvers,
        .meaning = "how those who answer questions prove who they are; absent: by their link"),
    ROW("hunts", SET_NODE, top, hunts, .meaning = "scheduled hunting queries"),
    {.key = NULL},
};

static const struct setting tls_table[] = {
    ROW("certificate_file", SET_PATH, config_tls, certificate_file, .required = true,
        .meaning = "the certificate chain, PEM"),
    ROW("key_file", SET_PATH, config_tls, key_file, .required = true, .secret = true,
        .meaning = "its private key, PEM"),
    ROW("client_ca_file", SET_PATH, config_tls, client_ca_file,
        .meaning = "CAs of client certificates, PEM, where a source names none of its own"),
    {.key = NULL},
};

/* A thousand a second, twenty thousand at once: a relay that pushes a storm of 10,000 alerts one by one, from
 * one address, is never turned away; what is more waits for its Retry-After, and nothing is lost. */
static const struct gate_rate usual_rate = {60000, MINUTE_MS, 20000};

static const struct setting rate_table[] = {
    ROW("requests", SET_INT, gate_rate, requests, .required = true, .least = 1,
        .most = GATE_REQUESTS_MAX, .meaning = "so many in each `per`, in the long run"),
    ROW("per", SET_DURATION, gate_rate, per_ms, .fallback = "1m", .least = SECOND_MS,
        .most = DAY_MS, .meaning = "the time that `requests` is for"),
    ROW("burst", SET_INT, gate_rate, burst, .least = 1, .most = GATE_REQUESTS_MAX,
        .meaning = "so many at once; default: as many as `requests`"),
    {.key = NULL},
};

struct listen {
    struct config_listen out;
    const struct yaml_node *tls, *rate;
};

static const struct setting listen_table[] = {
    ROW("address", SET_LISTEN, listen, out.address, .fallback = "127.0.0.1:8080",
        .meaning = "where senders are listened for"),
    ROW("tls", SET_NODE, listen, tls,
        .meaning = "certificate_file, key_file, client_ca_file; absent: plain HTTP"),
    ROW("max_body", SET_SIZE, listen, out.max_body, .fallback = "1MiB", .least = KIB,
        .most = 16 * KIB * KIB, .meaning = "the largest body of a request"),
    ROW("trusted_proxies", SET_CIDR_LIST, listen, out.trusted_proxies, .may_be_empty = true,
        .meaning = "whose X-Forwarded-For counts"),
    ROW("rate", SET_NODE, listen, rate,
        .meaning = "requests, per, burst: how often one client address may knock"),
    {.key = NULL},
};

const struct setting config_admin_table[] = {
    ROW("address", SET_LISTEN, config_admin, address, .fallback = "127.0.0.1:9180",
        .meaning = "where people and their tools are listened for"),
    ROW("token", SET_SECRET, config_admin, token,
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
    ROW("url", SET_TEXT, store_part, url, .required = true,
        .meaning =
            "sqlite:FILE (relative to the working directory), or postgresql://user@host/database"),
    ROW("password", SET_SECRET, store_part, password,
        .meaning = "the password of a postgresql:// url"),
    ROW("max_size", SET_SIZE, store_part, max_size, .fallback = STORE_MAX_SIZE_TEXT,
        .least = KIB * KIB, .most = INT64_MAX / 2,
        .meaning = "from this size on nothing new is accepted; what was accepted goes on"),
    {.key = NULL},
};

struct tenant {
    struct config_tenant out;
    const struct yaml_node *quota;
};

static const struct setting tenant_table[] = {
    ROW("tenant_id", SET_GUID, tenant, out.tenant_id, .required = true,
        .meaning = "the Entra tenant's id"),
    ROW("client_id", SET_GUID, tenant, out.client_id,
        .meaning = "the id of cordon's application in that tenant"),
    ROW("client_secret", SET_SECRET, tenant, out.client_secret,
        .meaning = "the application's client secret"),
    ROW("certificate_file", SET_PATH, tenant, out.certificate_file,
        .meaning = "or a certificate that is registered with the application, PEM"),
    ROW("key_file", SET_PATH, tenant, out.key_file, .secret = true,
        .meaning = "the certificate's RSA key, PEM"),
    ROW("federated_token_file", SET_PATH, tenant, out.federated_token_file, .secret = true,
        .meaning =
            "or the file that the platform writes a token of its own into (workload identity)"),
    ROW("managed_identity", SET_BOOL, tenant, out.managed_identity,
        .meaning =
            "true: or the identity of the Azure machine or app that cordon runs on; client_id "
            "only where it has several"),
    ROW("cloud", SET_WORD, tenant, out.cloud, .fallback = "public", .words = config_clouds,
        .meaning = "which of Microsoft's clouds"),
    ROW("api_url", SET_URL, tenant, out.api_url,
        .meaning = "Defender's API, without /api; overrides the cloud's own"),
    ROW("api_scope", SET_TEXT, tenant, out.api_scope,
        .meaning =
            "the scope that a token for Defender is asked for with; overrides the cloud's own"),
    ROW("login_url", SET_URL, tenant, out.login_url,
        .meaning = "Entra's authority; overrides the cloud's own"),
    ROW("graph_url", SET_URL, tenant, out.graph_url,
        .meaning = "Microsoft Graph; overrides the cloud's own"),
    ROW("quota", SET_NODE, tenant, quota,
        .meaning = "per_minute, per_hour: how many calls cordon may make"),
    {.key = NULL},
};

/* The defaults are what Defender grants an application: defender-api.md section 7.4. */
static const struct setting quota_table[] = {
    ROW("per_minute", SET_INT, config_quota, per_minute, .fallback = "100", .least = 1,
        .most = 100000, .meaning = "calls in a minute"),
    ROW("per_hour", SET_INT, config_quota, per_hour, .fallback = "1500", .least = 1,
        .most = 1000000, .meaning = "calls in an hour"),
    {.key = NULL},
};

enum { REPLY_ACCEPT, REPLY_STATUS };
const char *const config_replies[] = {"accept", "status", NULL};
enum { MODE_LIVE, MODE_SHADOW };
static const char *const modes[] = {"live", "shadow", NULL};

struct source {
    const char *tenant;
    const struct yaml_node *verify, *may, *rate;
    struct cidr_list networks;
    int64_t heartbeat;
    int reply, mode;
};

static const struct setting source_table[] = {
    ROW("tenant", SET_TEXT, source, tenant, .required = true,
        .meaning = "whose alerts it may push"),
    ROW("verify", SET_NODE, source, verify, .required = true,
        .meaning = "how it proves who it is: any one of the list"),
    ROW("reply", SET_WORD, source, reply, .fallback = "accept", .words = config_replies,
        .meaning = "accept: 202; status: 202 and where the outcome is to be had; needs public_url"),
    ROW("may", SET_NODE, source, may,
        .meaning = "what its deliveries may lead to: notify, isolate; default both"),
    ROW("rate", SET_NODE, source, rate, .meaning = "requests, per, burst: how often it may push"),
    ROW("networks", SET_CIDR_LIST, source, networks,
        .meaning = "where its requests may come from; default anywhere"),
    ROW("heartbeat", SET_DURATION, source, heartbeat, .least = SECOND_MS, .most = 30 * DAY_MS,
        .meaning = "people are told when nothing comes from it for so long"),
    ROW("mode", SET_WORD, source, mode, .fallback = "live", .words = modes,
        .meaning = "shadow: what its deliveries lead to is told, not done"),
    {.key = NULL},
};

struct polling {
    int64_t every_ms;
    const struct yaml_node *may;
};

/* Six calls a minute for it at most, of the hundred. */
#define POLLING_LEAST_MS (10 * SECOND_MS)

static const struct setting polling_table[] = {
    ROW("every", SET_DURATION, polling, every_ms, .required = true, .most = DAY_MS,
        .meaning = "how often Defender is asked for alerts that nobody pushed; 0: not at all"),
    ROW("may", SET_NODE, polling, may,
        .meaning = "what those may lead to: notify, isolate; default both"),
    {.key = NULL},
};

/* ---- helpers ---------------------------------------------------------------------------------- */

#define fault(l, ...) yaml_fault((l)->reader.faults, __VA_ARGS__)
#define note(l, ...)  yaml_fault((l)->reader.notes, __VA_ARGS__)

/* The key of a map's child, to point at; the map's own when there is none. */
static const struct yaml_node *place(const struct yaml_node *map, const char *key)
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

/* ---- the parts -------------------------------------------------------------------------------- */

/* map NULL, or with a fault: the usual rate. */
static struct gate_rate read_rate(struct config_loading *l, const struct yaml_node *map,
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
        fault(l, place(map, "burst"),
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
            note(
                l, place(map, "trusted_proxies"),
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
        fault(l, at, "listen.tls: %s", e.text);
        return;
    }
    end = http_tls_not_after_ms(pair);
    http_tls_unref(pair);
    if (end - clock_wall_ms(clock_system()) < HTTP_TLS_ENDS_SOON_MS)
        note(l, at, "listen.tls.certificate_file: the certificate %s %s",
             end < clock_wall_ms(clock_system()) ? "ended at" : "ends at", clock_format(end, text));
}

static void read_listen(struct config_loading *l, const struct yaml_node *map)
{
    struct listen in = {0};

    settings_read(&l->reader, map, "listen", listen_table, &in);
    if (in.tls) {
        settings_read(&l->reader, in.tls, "listen.tls", tls_table, &in.out.tls);
        check_certificate(l, in.tls, &in.out.tls);
    }
    in.out.rate = read_rate(l, in.rate, "listen");
    note_proxies(l, map, &in.out.trusted_proxies);
    l->config->listen = in.out;
    if (!in.tls && !settings_listen_is_local(in.out.address))
        note(
            l, place(map, "address"),
            "listen.address: %s is reachable from other machines over plain HTTP; give listen.tls a "
            "certificate, or have a proxy in front do TLS",
            in.out.address);
}

static void read_admin(struct config_loading *l, const struct yaml_node *map)
{
    struct config_admin *admin = &l->config->admin;

    settings_read(&l->reader, map, "admin", config_admin_table, admin);
    if (admin->token.text && admin->token.len < ADMIN_TOKEN_MIN)
        fault(l, yaml_get(map, "token_file"),
              "%s: an admin token needs at least %d characters; make one with "
              "`openssl rand -base64 32`",
              admin->token.file, ADMIN_TOKEN_MIN);
    if (!admin->token.text && !yaml_get(map, "token_file") &&
        !settings_listen_is_local(admin->address))
        fault(l, place(map, "address"),
              "admin.token_file is missing: admin.address %s is reachable from other machines",
              admin->address);
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
        fault(l, at, "store.url: expected it to begin with postgresql://");
    else if (!postgres && (strncmp(in.url, "sqlite:", 7) != 0 || !in.url[7]))
        fault(l, at, "store.url: expected sqlite:FILE or postgresql://user@host/database");
    else if (postgres && db_check_url(in.url, in.password.text, &e))
        fault(l, at, "store.url: %s", e.text);
    else if (l->reader.notes && db_url_is_exposed(in.url))
        note(l, at,
             "store.url: the database is on another host: without sslmode=verify-full (and its "
             "sslrootcert) whoever stands between can read along, or be the database");
    else if (!postgres && in.password.text)
        fault(l, yaml_get(map, "password_file"),
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
        fault(l, map->key, "%s.client_id is missing: the id of cordon's application in that tenant",
              name);
    if (ways == 0)
        fault(l, map->key,
              "%s.client_secret_file is missing: the file with the application's client secret; or "
              "certificate_file and key_file, federated_token_file, managed_identity: true",
              name);
    else if (ways > 1)
        fault(l, map->key,
              "%s: expected one of client_secret_file, certificate_file with key_file, "
              "federated_token_file and managed_identity, not several",
              name);
    else if (by_certificate && !(t->certificate_file && t->key_file))
        fault(l, map->key, "%s.%s is missing: a certificate and its key are named together", name,
              t->key_file ? "certificate_file" : "key_file");
    else if (by_certificate && credential_check(t->certificate_file, t->key_file, &end_ms, &e))
        fault(l, place(map, "certificate_file"), "%s.certificate_file: %s", name, e.text);
    else if (by_certificate && end_ms < clock_wall_ms(clock_system()))
        note(l, place(map, "certificate_file"), "%s.certificate_file: the certificate has ended",
             name);
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
    if (out->api_url && strlen(out->api_url) > 4 &&
        strcmp(out->api_url + strlen(out->api_url) - 4, "/api") == 0)
        fault(l, yaml_get(map, "api_url"), "%s.api_url: expected without /api at its end", name);
    /* Always "/.default" for an application's own token: defender-api.md section 1.2. */
    if (out->api_scope && (strlen(out->api_scope) <= 9 ||
                           strcmp(out->api_scope + strlen(out->api_scope) - 9, "/.default") != 0))
        fault(l, yaml_get(map, "api_scope"),
              "%s.api_scope: expected a scope that ends with /.default", name);
    if (out->tenant_id && strcmp(out->tenant_id, zero_guid) == 0)
        note(l, place(map, "tenant_id"), "%s.tenant_id is still a placeholder", name);
    if (out->client_id && strcmp(out->client_id, zero_guid) == 0)
        note(l, place(map, "client_id"), "%s.client_id is still a placeholder", name);
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

const char *const config_rights[] = {"notify", "isolate", NULL};

static void read_may(struct config_loading *l, const struct yaml_node *may, const char *name,
                     struct config_source *out)
{
    const struct yaml_node *first = may->kind == YAML_LIST ? may->first : may;
    bool notify = false;

    out->may_isolate = false;
    if (may->kind == YAML_MAP || !first) {
        fault(l, may, "%s.may: expected a list of notify and isolate", name);
        return;
    }
    for (const struct yaml_node *n = first; n; n = may->kind == YAML_LIST ? n->next : NULL) {
        const char *word = settings_text(&l->reader, n);

        if (word && strcmp(word, "notify") == 0)
            notify = true;
        else if (word && strcmp(word, "isolate") == 0)
            out->may_isolate = true;
        else if (word)
            fault(l, n, "%s.may: expected notify or isolate, found '%.60s'%s", name, word,
                  settings_meant(&l->reader, word, config_rights));
    }
    if (out->may_isolate && !notify)
        fault(l, may, "%s.may: notify is missing: people are told of every alert that is accepted",
              name);
}

/* Is a scheme of this name anywhere in a source's list of entries? */
static bool verifies_by(const struct yaml_node *list, const char *scheme)
{
    for (const struct yaml_node *entry = list->kind == YAML_LIST ? list->first : NULL; entry;
         entry = entry->next)
        if (yaml_get(entry, scheme))
            return true;
    return false;
}

static void read_source(struct config_loading *l, const struct yaml_node *map,
                        struct config_source *out)
{
    const char *name = config_name_of(&l->reader, "sources", map->key->text);
    /* Where the tenant has a fault, the schemes are still checked: against a tenant that is none. */
    struct verify_source self = {.name = map->key->text,
                                 .tenant_id = zero_guid,
                                 .login_url = config_cloud_defaults[0].login_url,
                                 .public_url = l->config->public_url,
                                 .loopback = settings_listen_is_local(l->config->listen.address),
                                 .tls = l->config->listen.tls.certificate_file != NULL,
                                 .client_ca_file = l->config->listen.tls.client_ca_file};
    struct source in = {0};

    settings_read(&l->reader, map, name, source_table, &in);
    *out = (struct config_source){.name = map->key->text, .may_isolate = true};
    if (in.tenant) {
        out->tenant = config_tenant(l->config, in.tenant);
        if (!out->tenant && l->config->n_tenants) {
            const char **names =
                arena_array(l->reader.arena, l->config->n_tenants + 1, sizeof *names);
            const char *near;

            for (size_t i = 0; names && i < l->config->n_tenants; i++)
                names[i] = l->config->tenants[i].name;
            near = names ? yaml_nearest(in.tenant, names) : NULL;
            fault(l, yaml_get(map, "tenant"), "%s.tenant: there is no tenant '%.60s'%s%s%s", name,
                  in.tenant, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
        }
    }
    out->heartbeat_ms = in.heartbeat;
    out->reply_status = in.reply == REPLY_STATUS;
    if (out->reply_status && !l->has_public_url)
        fault(l, yaml_get(map, "reply"),
              "%s.reply: status needs public_url, so that the sender can be told where to ask",
              name);
    if (in.may)
        read_may(l, in.may, name, out);
    out->rate = read_rate(l, in.rate, name);
    out->networks = in.networks;
    out->shadow = in.mode == MODE_SHADOW;
    if (!in.verify)
        return;
    if (out->tenant && out->tenant->tenant_id) {
        self.tenant_id = out->tenant->tenant_id;
        self.login_url = out->tenant->login_url;
    }
    out->verifier = verifier_compile(&l->reader, in.verify, &self);
    if (verifies_by(in.verify, "client_certificate"))
        l->config->listen.tls.client_certificates = true;
    if (verifies_by(in.verify, "token"))
        note(l, in.verify->key,
             "%s: a token is no signature: whoever sees one request can send others as this source",
             name);
}

/* ---- approvers -------------------------------------------------------------------------------- */

struct approvers {
    const char *tenant;
    const struct yaml_node *verify;
};

static const struct setting approvers_table[] = {
    ROW("tenant", SET_TEXT, approvers, tenant,
        .meaning = "whose Entra people sign in to; needed for `entra`"),
    ROW("verify", SET_NODE, approvers, verify, .required = true,
        .meaning = "any one of a list: `entra` (with `roles` or `objects`), `client_certificate`"),
    {.key = NULL},
};

/* What else verifies a request proves no person. */
static void check_proofs(struct config_loading *l, const struct yaml_node *list)
{
    for (const struct yaml_node *entry = list->kind == YAML_LIST ? list->first : NULL; entry;
         entry = entry->next)
        for (const struct yaml_node *n = entry->kind == YAML_MAP ? entry->first : NULL; n;
             n = n->next)
            if (strcmp(n->key->text, "entra") != 0 &&
                strcmp(n->key->text, "client_certificate") != 0)
                fault(l, n->key,
                      "approvers.verify: '%.60s' proves no person; expected entra or "
                      "client_certificate",
                      n->key->text);
}

static void read_approvers(struct config_loading *l, const struct yaml_node *map)
{
    struct verify_source self = {.name = "approvers",
                                 .people = true,
                                 .tenant_id = zero_guid,
                                 .login_url = config_cloud_defaults[0].login_url,
                                 .public_url = l->config->public_url,
                                 .tls = l->config->listen.tls.certificate_file != NULL,
                                 .client_ca_file = l->config->listen.tls.client_ca_file};
    const struct config_tenant *tenant;
    struct approvers in = {0};

    settings_read(&l->reader, map, "approvers", approvers_table, &in);
    tenant = in.tenant ? config_tenant(l->config, in.tenant) : NULL;
    if (in.tenant && !tenant)
        fault(l, yaml_get(map, "tenant"), "approvers.tenant: there is no tenant '%.60s'",
              in.tenant);
    if (!in.verify)
        return;
    if (!in.tenant && verifies_by(in.verify, "entra"))
        fault(l, in.verify, "approvers.tenant is missing: whose Entra people sign in to");
    check_proofs(l, in.verify);
    if (tenant && tenant->tenant_id) {
        self.tenant_id = tenant->tenant_id;
        self.login_url = tenant->login_url;
    }
    l->config->approvers = verifier_compile(&l->reader, in.verify, &self);
    if (verifies_by(in.verify, "client_certificate"))
        l->config->listen.tls.client_certificates = true;
}

static enum err_code read_sources(struct config_loading *l, const struct yaml_node *map)
{
    if (!map || !config_names_ok(&l->reader, map, "sources"))
        return ERR_OK; /* the fault is noted, or there need not be any */
    if (yaml_get(map, CONFIG_POLLING))
        fault(l, yaml_get(map, CONFIG_POLLING)->key,
              "sources: '" CONFIG_POLLING
              "' is what cases of polling are called; choose another name");
    l->config->sources = arena_array(l->reader.arena, map->count, sizeof *l->config->sources);
    if (!l->config->sources)
        return ERR_NOMEM;
    for (const struct yaml_node *child = map->first; child; child = child->next)
        read_source(l, child, &l->config->sources[l->config->n_sources++]);
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
            read_may(l, in.may, "polling", &rights);
    }
    if (in.every_ms && in.every_ms < POLLING_LEAST_MS)
        fault(l, yaml_get(map, "every"), "polling.every: expected 10s to 1d, or 0: not at all");
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
            fault(l, place(root, "retention"),
                  "retention is shorter than a limit of safety.limits: what counts there would be "
                  "forgotten");
            return;
        }
}

/* A rule that can only match what a source pushes which may not isolate does nothing but tell. */
static void note_pointless_rules(struct config_loading *l, const struct yaml_node *rules)
{
    for (size_t i = 0; i < l->config->n_sources; i++) {
        const struct config_source *s = &l->config->sources[i];
        const char *rule;
        size_t at = 0;

        while ((!s->may_isolate || s->shadow) &&
               (rule = policy_rule_of_source(l->config->policy, s->name, &at)))
            note(l, rules->key, "rule %s acts on nothing: source %s %s", rule, s->name,
                 s->may_isolate ? "is in shadow mode" : "may only notify");
    }
}

/* The file of a source's secret number i, counted through all its schemes; NULL: there are fewer. */
static const char *secret_file(const struct config_loading *l, const struct yaml_node *verify,
                               size_t i)
{
    static const char *const keys[] = {"secret_files", "password_files", "password_file"};
    const size_t n_keys = sizeof keys / sizeof *keys;

    for (const struct yaml_node *entry = verify->first; entry; entry = entry->next)
        for (const struct yaml_node *scheme = entry->first; scheme; scheme = scheme->next)
            for (size_t k = 0; k < n_keys; k++) {
                const struct yaml_node *files = yaml_get(scheme, keys[k]);

                for (const struct yaml_node *n = files && files->kind == YAML_LIST ? files->first
                                                                                   : files;
                     n; n = files->kind == YAML_LIST ? n->next : NULL)
                    if (i-- == 0)
                        return settings_text(&l->reader,
                                             n->kind == YAML_MAP ? yaml_get(n, "file") : n);
            }
    return NULL;
}

static bool share_secret(const struct config_loading *l, const struct yaml_node *a,
                         const struct yaml_node *b)
{
    const char *x, *y;

    for (size_t i = 0; (x = secret_file(l, a, i)); i++)
        for (size_t k = 0; (y = secret_file(l, b, k)); k++)
            if (strcmp(x, y) == 0)
                return true;
    return false;
}

static bool is_live(const struct config_source *s)
{
    return s->may_isolate && !s->shadow;
}

/* Nothing that is signed names the path: what one source pushed is as good at that of another with the same secret. */
static void note_shared_secrets(struct config_loading *l, const struct yaml_node *map)
{
    const struct config_source *sources = l->config->sources;

    for (size_t i = 0; i < l->config->n_sources; i++)
        for (size_t k = 0; k < l->config->n_sources; k++) {
            const struct yaml_node *mine = yaml_get(yaml_get(map, sources[i].name), "verify");
            const struct yaml_node *other = yaml_get(yaml_get(map, sources[k].name), "verify");

            if (!is_live(&sources[i]) && is_live(&sources[k]) && share_secret(l, mine, other))
                note(
                    l, mine->key,
                    "source %s %s, but source %s has a secret in common with it and does isolate: what is "
                    "signed for the one can be sent to the other",
                    sources[i].name,
                    sources[i].may_isolate ? "is in shadow mode" : "may only notify",
                    sources[k].name);
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
                strcmp(t->tenant_id, zero_guid) != 0 && config_is_pushed_for(c, t) &&
                config_is_pushed_for(c, twin))
                fault(
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
        fault(l, place(in.admin, "address"), "admin.address: %s is listen.address already",
              c->admin.address);
    config_read_store(l, in.store);
    code = read_tenants(l, in.tenants);
    if (!code)
        code = read_sources(l, in.sources);
    if (code)
        return code;
    if (in.approvers)
        read_approvers(l, in.approvers);
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
    if (!in.mail)
        note(l, root,
             "mail: there is none, so nobody is told by mail, not even of doubts and failures");
    else if (!yaml_get(in.mail, "to") && c->mail.server)
        note(
            l, in.mail->key,
            mailed
                ? "mail.to is missing: doubts and failures reach only whom a rule's own email names"
                : "mail.to is missing, and no rule's email names anybody: nobody is told of doubts "
                  "and failures by mail");
    read_polling(l, in.polling);
    code = config_hunts_read(
        &l->reader,
        &(struct config_hunts_input){.hunts = in.hunts, .config = c, .has_mail = in.mail != NULL},
        &c->hunts, &c->n_hunts);
    if (code)
        return code;
    check_twins(l, in.tenants);
    if (root->kind == YAML_MAP && !in.sources && !l->config->polling.every_ms && !c->n_hunts)
        fault(
            l, root,
            "sources is missing: who may push alerts, and how they prove who they are; or let cordon "
            "ask for them: polling: {every: 1m}");
    if (c->policy)
        code = config_check_conditions(l, in.rules, yaml_get(in.safety, "protected"));
    if (code)
        return code;
    if (l->reader.faults->count)
        return ERR_OK;
    note_pointless_rules(l, in.rules);
    note_shared_secrets(l, in.sources);
    if (in.tests)
        return run_tests(l, in.tests);
    return ERR_OK;
}
