/* entra.c - the token service (sections 1.2 to 1.4, 1.7) and what receivers of tokens need of it: the
 * discovery documents and the JWKS (webhook-sources.md section 1.2).
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "house.h"
#include "odata.h"

#define BEARERS_MAX 20000 /* checked tokens remembered; then all are checked anew */

/* ---- errors (section 1.7) ---------------------------------------------------------------------- */

static const struct aadsts {
    int64_t number;
    unsigned status;
    const char *error, *text; /* %s: what it is about */
} known_errors[] = {
    {7000215, 401, "invalid_client",
     "Invalid client secret provided. Ensure the secret being sent in the request is the client "
     "secret value, not the client secret ID, for a secret added to app '%s'."},
    {7000222, 401, "invalid_client", "The provided client secret keys for app '%s' are expired."},
    {7000216, 400, "invalid_client",
     "'client_assertion', 'client_secret' or 'request' is required for the '%s' grant type."},
    {7000218, 401, "invalid_client",
     "The request body must contain the following parameter: 'client_assertion' or "
     "'client_secret'.%s"},
    {700027, 401, "invalid_client",
     "The certificate with identifier used to sign the client assertion is not registered on "
     "application '%s'."},
    {700024, 401, "invalid_client",
     "Client assertion is not within its valid time range. Application '%s'."},
    {50012, 401, "invalid_client", "Authentication failed: %s"},
    {700016, 400, "unauthorized_client",
     "Application with identifier '%s' was not found in the directory."},
    {90002, 400, "invalid_request",
     "Tenant '%s' not found. Check to make sure you have the correct tenant ID."},
    {70011, 400, "invalid_scope",
     "The provided value for the input parameter 'scope' is not valid. The scope %s is not valid."},
    {500011, 400, "invalid_resource",
     "The resource principal named %s was not found in the tenant."},
    {901002, 400, "invalid_request", "The 'resource' request parameter is not supported.%s"},
    {900144, 400, "invalid_request",
     "The request body must contain the following parameter: '%s'."},
    {70003, 400, "unsupported_grant_type", "The app requested an unsupported grant type '%s'."},
    {70021, 400, "invalid_request",
     "No matching federated identity record found for presented assertion.%s"},
    {53003, 400, "interaction_required",
     "Access has been blocked by Conditional Access policies.%s"},
    {50196, 400, "invalid_request",
     "The server terminated an operation because it encountered a client request loop.%s"},
    {90006, 503, "temporarily_unavailable", "External service is unavailable.%s"},
    {90033, 503, "temporarily_unavailable", "A transient error has occurred. Please try again.%s"},
    {90024, 503, "temporarily_unavailable", "A transient error has occurred. Please try again.%s"},
    {90055, 429, "temporarily_unavailable", "The server is busy. Please try again.%s"},
};

static void refuse(struct call *c, int64_t number, const char *about)
{
    struct world *w = &c->house->world;
    struct json_out o = JSON_OUT(&c->body);
    const struct aadsts *a = NULL;
    char text[600], trace[GUID_SIZE], correlation[GUID_SIZE], time[TICKS_TEXT_SIZE];
    AUTO(buf_clear) struct buf description = BUF_INIT(4096);
    const char *mark;

    for (size_t i = 0; i < sizeof known_errors / sizeof *known_errors; i++)
        if (known_errors[i].number == number)
            a = &known_errors[i];
    ticks_format(simclock_now(&w->clock), 0, time);
    time[10] = ' '; /* 2025-01-07 10:11:12Z */
    world_guid(w, trace);
    world_guid(w, correlation);
    mark = a ? strstr(a->text, "%s") : NULL;
    if (mark)
        snprintf(text, sizeof text, "%.*s%.300s%s", (int)(mark - a->text), a->text, about,
                 mark + 2);
    else
        snprintf(text, sizeof text, "%s", "The request was refused.");
    buf_addf(&description,
             "AADSTS%" PRId64 ": %s Trace ID: %s\r\nCorrelation ID: %s\r\nTimestamp: %s", number,
             text, trace, correlation, time);

    buf_reset(&c->body);
    c->status = a ? a->status : 400;
    c->type = "application/json; charset=utf-8";
    json_out_object(&o, NULL);
    json_out_string(&o, "error", a ? a->error : "invalid_request");
    json_out_string(&o, "error_description", buf_text(&description));
    json_out_array(&o, "error_codes");
    json_out_int(&o, NULL, number);
    json_out_array_end(&o);
    json_out_string(&o, "timestamp", time);
    json_out_string(&o, "trace_id", trace);
    json_out_string(&o, "correlation_id", correlation);
    snprintf(text, sizeof text, "https://login.microsoftonline.com/error?code=%" PRId64, number);
    json_out_string(&o, "error_uri", text);
    json_out_object_end(&o);
}

/* ---- the request ------------------------------------------------------------------------------- */

struct form {
    char *client_id, *client_secret, *grant_type, *scope, *resource, *assertion_type, *assertion;
};

/* The body for the journal: everything but what must not be written down. */
static const char *without_secrets(struct call *c)
{
    static const char *const hidden[] = {"client_secret=", "client_assertion="};
    AUTO(buf_clear) struct buf b = BUF_INIT(1 << 20);
    char *text = arena_str(c->arena, c->q->body), *save = NULL;

    for (char *p = strtok_r(text, "&", &save); p; p = strtok_r(NULL, "&", &save)) {
        size_t i = 0;

        while (i < 2 && strncmp(p, hidden[i], strlen(hidden[i])) != 0)
            i++;
        buf_addf(&b, "%s%s%s", b.len ? "&" : "", i < 2 ? hidden[i] : p, i < 2 ? "***" : "");
    }
    return arena_str(c->arena, buf_text(&b));
}

/* HTTP Basic with encoded id and secret is accepted too: section 1.2. */
static void read_basic(struct call *c, struct form *f)
{
    const char *header = httpd_header(c->q, "Authorization");
    AUTO(buf_clear) struct buf b = BUF_INIT(4096);
    char *colon;

    if (!header || strncasecmp(header, "Basic ", 6) != 0 ||
        !b64_read(header + 6, strlen(header + 6), &b))
        return;
    f->client_id = arena_str(c->arena, buf_text(&b));
    colon = strchr(f->client_id, ':');
    if (!colon)
        return;
    *colon = '\0';
    f->client_secret = colon + 1;
    if (!query_decode(f->client_id) || !query_decode(f->client_secret))
        f->client_secret = NULL;
}

/* `<audience>/.default` to the audience; NULL: not one such scope. */
static char *audience_of_scope(struct call *c, const char *scope)
{
    static const char tail[] = "/.default";
    size_t len = strlen(scope);

    if (len <= sizeof tail - 1 || strcmp(scope + len - (sizeof tail - 1), tail) != 0 ||
        strpbrk(scope, " \t"))
        return NULL;
    return arena_strn(c->arena, scope, len - (sizeof tail - 1));
}

/* Section 1.2's table: the resources that this tenant knows. */
static bool audience_is_known(const char *aud)
{
    static const char *const audiences[] = {
        "https://api.securitycenter.microsoft.com",
        "https://securitycenter.onmicrosoft.com/windowsatpservice",
        "https://api.security.microsoft.com",
        "https://graph.microsoft.com",
        "https://graph.microsoft.us", /* section 1.1 */
        "https://dod-graph.microsoft.us",
        "https://outlook.office365.com",
        "https://api-gcc.securitycenter.microsoft.us",
        "https://api-gov.securitycenter.microsoft.us",
        "api://cordon", /* an application of the tenant itself: the door that senders knock at */
    };

    for (size_t i = 0; i < sizeof audiences / sizeof *audiences; i++) {
        size_t len = strlen(audiences[i]);

        if (strncmp(audiences[i], aud, len) == 0 && (!aud[len] || strcmp(aud + len, "/") == 0))
            return true;
    }
    return false;
}

/* ---- proof of the client ------------------------------------------------------------------------ */

/* Sections 1.3 and 1.4. 0: good; else the AADSTS number. */
static int64_t check_assertion(struct call *c, const struct client *client, const struct form *f)
{
    static const char type[] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    struct house *h = c->house;
    AUTO(json_freep) struct json *claims = NULL;
    const char *aud, *iss, *sub, *jti, *v2_path = "/oauth2/v2.0/token";
    int64_t nbf = 0, exp = 0, now = simclock_now(&h->world.clock) / TICKS_PER_S;
    const char *at;
    char *key;

    if (!f->assertion_type || strcmp(f->assertion_type, type) != 0)
        return 50012;
    if (client->assertion) /* federated: the exact text that the environment's file holds */
        return strcmp(client->assertion, f->assertion) == 0 ? 0 : 70021;
    if (!client->certificate)
        return 70021;
    switch (keys_verify_assertion(client->certificate, f->assertion, &claims, NULL)) {
    case ERR_OK:
        break;
    case ERR_DENIED:
        return 700027;
    default:
        return 50012;
    }
    aud = json_get_string(claims, "aud");
    iss = json_get_string(claims, "iss");
    sub = json_get_string(claims, "sub");
    jti = json_get_string(claims, "jti");
    if (!aud || !iss || !sub || !jti || strcasecmp(iss, client->id) != 0 || strcmp(iss, sub) != 0 ||
        !json_int64(json_get(claims, "exp"), &exp))
        return 50012;
    (void)json_int64(json_get(claims, "nbf"), &nbf); /* absent: 0 */
    if (exp < now - 300 || nbf > now + 300)
        return 700024;
    at = strstr(aud, h->world.tenant_id); /* …/{tenant}/oauth2/v2.0/token, older …/{tenant}/v2.0 */
    if (!at)
        return 50012;
    at += strlen(h->world.tenant_id);
    if (strcmp(at, v2_path) != 0 && strcmp(at, "/v2.0") != 0)
        return 50012;
    if (map_get(&h->seen_jti, jti)) /* "new GUID each time" */
        return 50012;
    key = strdup(jti);
    assert(key);
    map_put(&h->seen_jti, key, key);
    return 0;
}

static int64_t check_client(struct call *c, const struct client *client, const struct form *f)
{
    if (f->assertion)
        return check_assertion(c, client, f);
    if (!f->client_secret)
        return 7000218;
    if (!client->secret || strcmp(client->secret, f->client_secret) != 0)
        return 7000215;
    return client->expired ? 7000222 : 0;
}

/* ---- the token ---------------------------------------------------------------------------------- */

static bool make_token(struct call *c, const struct client *client, const char *aud,
                       const struct form *f, struct buf *out, int64_t now, int64_t lifetime)
{
    struct world *w = &c->house->world;
    AUTO(buf_clear) struct buf header = BUF_INIT(4096), payload = BUF_INIT(65536);
    struct json_out o = JSON_OUT(&header), p = JSON_OUT(&payload);
    /* each resource has permissions of its own: sections 1.2, 9.2, 10 */
    char **roles = strstr(aud, "graph.microsoft")     ? client->graph_roles
                   : strstr(aud, "outlook.office365") ? client->exchange_roles
                                                      : client->roles;
    char text[160], kid[64];

    keys_kid(c->house->keys, KEY_CURRENT, false, kid);
    json_out_object(&o, NULL); /* v1: webhook-sources.md section 1.2 */
    json_out_string(&o, "typ", "JWT");
    json_out_string(&o, "alg", "RS256");
    json_out_string(&o, "x5t", kid);
    json_out_string(&o, "kid", kid);
    json_out_object_end(&o);

    w->tokens_issued++;
    json_out_object(&p, NULL); /* claims seen: section 1.2 */
    json_out_string(&p, "aud", aud);
    snprintf(text, sizeof text, "https://sts.windows.net/%s/", w->tenant_id);
    json_out_string(&p, "iss", text);
    json_out_int(&p, "iat", now);
    json_out_int(&p, "nbf", now);
    json_out_int(&p, "exp", now + lifetime);
    json_out_string(&p, "app_displayname", client->name);
    json_out_string(&p, "appid", client->id);
    json_out_string(&p, "appidacr", f->assertion ? "2" : "1");
    json_out_string(&p, "oid", "7d0c1f4e-93a5-4b0e-8a7e-2f6a1b3c4d5e");
    if (!w->tuning.token.no_roles && roles[0]) {
        json_out_array(&p, "roles");
        for (size_t i = 0; roles[i]; i++)
            json_out_string(&p, NULL, roles[i]);
        json_out_array_end(&p);
    }
    json_out_string(&p, "sub", "7d0c1f4e-93a5-4b0e-8a7e-2f6a1b3c4d5e");
    json_out_string(&p, "tid", w->tenant_id);
    snprintf(text, sizeof text, "sim-%" PRId64, w->tokens_issued);
    json_out_string(&p, "uti", text);
    json_out_string(&p, "ver", "1.0");
    json_out_object_end(&p);
    return !keys_sign(c->house->keys, KEY_CURRENT, "RS256", buf_text(&header), buf_text(&payload),
                      out, NULL);
}

static void add_number(struct json_out *o, const char *name, int64_t number, bool as_text)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, number);
    if (as_text)
        json_out_string(o, name, text);
    else
        json_out_int(o, name, number);
}

static void answer_token(struct call *c, const struct client *client, const char *aud,
                         const struct form *f, bool v2)
{
    const struct tuning *t = &c->house->world.tuning;
    struct json_out o = JSON_OUT(&c->body);
    AUTO(buf_clear) struct buf token = BUF_INIT(1 << 20);
    int64_t now = simclock_now(&c->house->world.clock) / TICKS_PER_S, life = t->token.lifetime_s;
    bool as_text = !v2 || t->token.numbers_as_text; /* v1: all values are strings */

    if (!make_token(c, client, aud, f, &token, now, life)) {
        refuse(c, 90033, "");
        return;
    }
    c->status = 200;
    c->type = "application/json; charset=utf-8";
    call_header(c, "Cache-Control", "no-store, no-cache");
    json_out_object(&o, NULL);
    json_out_string(&o, "token_type", "Bearer");
    add_number(&o, "expires_in", life, as_text);
    add_number(&o, "ext_expires_in", life, as_text);
    if (!v2) {
        add_number(&o, "expires_on", now + life, true);
        add_number(&o, "not_before", now, true);
        json_out_string(&o, "resource", aud);
    }
    json_out_string(&o, "access_token", buf_text(&token));
    json_out_object_end(&o);
}

static void serve_token(struct call *c, const char *tenant, bool v2)
{
    struct house *h = c->house;
    const char *type = httpd_header(c->q, "Content-Type"), *body = c->q->body;
    struct form f = {
        .client_id = query_get(c->arena, body, "client_id"),
        .client_secret = query_get(c->arena, body, "client_secret"),
        .grant_type = query_get(c->arena, body, "grant_type"),
        .scope = query_get(c->arena, body, "scope"),
        .resource = query_get(c->arena, body, "resource"),
        .assertion_type = query_get(c->arena, body, "client_assertion_type"),
        .assertion = query_get(c->arena, body, "client_assertion"),
    };
    const struct client *client;
    const char *aud;
    int64_t number;

    c->api = "token";
    c->noted_body = without_secrets(c);
    if (strcmp(c->q->method, "POST") != 0) {
        c->status = 405;
        return;
    }
    if (h->world.tuning.token.error) {
        refuse(c, h->world.tuning.token.error, "");
        return;
    }
    read_basic(c, &f);
    if (strcasecmp(tenant, h->world.tenant_id) != 0)
        refuse(c, 90002, tenant);
    else if (!type || strncasecmp(type, "application/x-www-form-urlencoded", 33) != 0 ||
             !f.grant_type)
        refuse(c, 900144, "grant_type");
    else if (strcmp(f.grant_type, "client_credentials") != 0)
        refuse(c, 70003, f.grant_type);
    else if (!f.client_id)
        refuse(c, 900144, "client_id");
    else if (!(client = world_client(&h->world, f.client_id)))
        refuse(c, 700016, f.client_id);
    else if (v2 && f.resource)
        refuse(c, 901002, "");
    else if (v2 ? !f.scope : !f.resource)
        refuse(c, 900144, v2 ? "scope" : "resource");
    else if (!(aud = v2 ? audience_of_scope(c, f.scope) : f.resource))
        refuse(c, 70011, f.scope);
    else if (!audience_is_known(aud))
        refuse(c, 500011, aud);
    else if ((number = check_client(c, client, &f)))
        refuse(c, number, f.client_id);
    else {
        c->client = client->id;
        answer_token(c, client, aud, &f, v2);
    }
}

/* ---- discovery and keys (webhook-sources.md section 1.2) ---------------------------------------- */

static bool serve_discovery(struct call *c, const char *tenant, bool v2)
{
    struct json_out o = JSON_OUT(&c->body);
    const char *base = c->house->base_url;
    char text[400];

    c->api = "discovery";
    if (c->house->keys_down) {
        c->status = 503;
        return true;
    }
    c->status = 200;
    c->type = "application/json; charset=utf-8";
    json_out_object(&o, NULL);
    snprintf(text, sizeof text, "%s/%s/oauth2/%stoken", base, tenant, v2 ? "v2.0/" : "");
    json_out_string(&o, "token_endpoint", text);
    snprintf(text, sizeof text, "%s/%s/discovery/%skeys", base, tenant, v2 ? "v2.0/" : "");
    json_out_string(&o, "jwks_uri", text);
    /* the issuer is the real one, as in the tokens: it is not under the authority in v1 anyhow */
    if (strcasecmp(tenant, "common") == 0)
        tenant = "{tenantid}"; /* the tenant-independent document */
    snprintf(text, sizeof text,
             v2 ? "https://login.microsoftonline.com/%s/v2.0" : "https://sts.windows.net/%s/",
             tenant);
    json_out_string(&o, "issuer", text);
    json_out_array(&o, "id_token_signing_alg_values_supported");
    json_out_string(&o, NULL, "RS256");
    json_out_array_end(&o);
    json_out_array(&o, "response_types_supported");
    json_out_string(&o, NULL, "code");
    json_out_array_end(&o);
    json_out_array(&o, "subject_types_supported");
    json_out_string(&o, NULL, "pairwise");
    json_out_array_end(&o);
    json_out_object_end(&o);
    return true;
}

static bool serve_keys(struct call *c, const char *tenant, bool v2)
{
    char issuer[160];

    c->api = "keys";
    if (c->house->keys_down) {
        c->status = 503;
        return true;
    }
    c->status = 200;
    c->type = "application/json; charset=utf-8";
    snprintf(issuer, sizeof issuer, "https://login.microsoftonline.com/%s/v2.0",
             strcasecmp(tenant, "common") == 0 ? "{tenantid}" : tenant);
    keys_jwks(c->house->keys, v2 ? issuer : NULL, &c->body);
    return true;
}

bool entra_serve(struct call *c)
{
    char *tenant = arena_str(c->arena, c->q->path + 1), *rest = strchr(tenant, '/');
    bool get = strcmp(c->q->method, "GET") == 0;

    if (!rest)
        return false;
    *rest++ = '\0';
    if (strcasecmp(rest, "oauth2/v2.0/token") == 0 || strcasecmp(rest, "oauth2/token") == 0) {
        serve_token(c, tenant, strcasecmp(rest, "oauth2/token") != 0);
        return true;
    }
    if (!get ||
        (strcasecmp(tenant, c->house->world.tenant_id) != 0 && strcasecmp(tenant, "common") != 0))
        return false;
    if (strcasecmp(rest, ".well-known/openid-configuration") == 0)
        return serve_discovery(c, tenant, false);
    if (strcasecmp(rest, "v2.0/.well-known/openid-configuration") == 0)
        return serve_discovery(c, tenant, true);
    if (strcasecmp(rest, "discovery/keys") == 0)
        return serve_keys(c, tenant, false);
    if (strcasecmp(rest, "discovery/v2.0/keys") == 0)
        return serve_keys(c, tenant, true);
    return false;
}

/* ---- checking a token --------------------------------------------------------------------------- */

static void bearer_free(struct bearer *b)
{
    free(b->token);
    free(b->client);
    free(b->aud);
    for (size_t i = 0; b->roles && b->roles[i]; i++)
        free(b->roles[i]);
    free(b->roles);
    free(b);
}

static void forget_bearers(struct house *h)
{
    for (size_t i = 0; i < h->bearers.room; i++)
        if (h->bearers.slots[i].key)
            bearer_free(h->bearers.slots[i].value);
    map_clear(&h->bearers);
}

void entra_forget(struct house *h)
{
    forget_bearers(h);
    for (size_t i = 0; i < h->seen_jti.room; i++)
        if (h->seen_jti.slots[i].key)
            free(h->seen_jti.slots[i].value);
    map_clear(&h->seen_jti);
}

static char *claim(const struct json *claims, const char *name)
{
    const char *text = json_get_string(claims, name);
    char *own = strdup(text ? text : "");

    assert(own);
    return own;
}

static struct bearer *new_bearer(const char *token, const struct json *claims)
{
    struct bearer *b = calloc(1, sizeof *b);
    const struct json *roles = json_get(claims, "roles");
    const char *uti = json_get_string(claims, "uti");
    size_t n = 0;

    assert(b);
    b->token = strdup(token);
    b->client = claim(claims, "appid");
    b->aud = claim(claims, "aud");
    b->roles = calloc(json_count(roles) + 1, sizeof *b->roles);
    assert(b->token && b->roles);
    JSON_EACH (r, roles)
        if (json_string(r)) {
            b->roles[n] = strdup(json_string(r));
            assert(b->roles[n]);
            n++;
        }
    (void)json_int64(json_get(claims, "nbf"), &b->nbf_s); /* our own tokens have them */
    (void)json_int64(json_get(claims, "exp"), &b->exp_s);
    b->number = uti && strncmp(uti, "sim-", 4) == 0 ? strtoll(uti + 4, NULL, 10) : INT64_MAX;
    return b;
}

enum err_code entra_check(struct house *h, const char *token, struct bearer **ret, struct err *e)
{
    struct bearer *b = map_get(&h->bearers, token);
    int64_t now = simclock_now(&h->world.clock) / TICKS_PER_S;

    if (!b) {
        AUTO(json_freep) struct json *claims = NULL;

        if (keys_verify(h->keys, token, &claims, e))
            return ERR_DENIED;
        if (h->bearers.count >= BEARERS_MAX)
            forget_bearers(h);
        b = new_bearer(token, claims);
        map_put(&h->bearers, b->token, b);
    }
    if (b->exp_s <= now || b->number <= h->world.tokens_dead_before)
        return err_set(e, ERR_DENIED, "Invalid token: the token is expired");
    if (b->nbf_s > now + 300)
        return err_set(e, ERR_DENIED, "Invalid token: the token is not valid yet");
    *ret = b;
    return ERR_OK;
}
