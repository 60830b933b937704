/* doctor_tenant.c - see doctor_own.h: what a tenant's application may, and which of its machines cordon stands on. Sections are
 * those of defender-api.md. */
#include "doctor_own.h"

#include <cordon/handler.h>
#include <arpa/inet.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "match.h"
#include "policy_rules.h"
#include "store_deliveries.h"

#define RELAYS_MAX 8 /* hosts of a source that are looked at, the latest */

/* An alert and a machine that no tenant has, in the form of one that it could have (sections 2.5, 3.2). */
#define NO_ALERT   "da000000000000000000_0"
#define NO_MACHINE "0000000000000000000000000000000000000000"

/* ---- a tenant's token and what it may ------------------------------------------------------------- */

/* Resources whose tokens Defender's API does not take (section 1.2), and what they are for. */
static const struct {
    const char *aud, *is;
} foreign[] = {
    {"https://api.security.microsoft.com", "Microsoft Threat Protection (XDR)"},
    {"https://graph.microsoft.com", "Microsoft Graph"},
    {"https://graph.microsoft.us", "Microsoft Graph"}, /* section 1.1 */
    {"https://dod-graph.microsoft.us", "Microsoft Graph"},
    {"https://outlook.office365.com", "Exchange Online"},
    {"00000003-0000-0000-c000-000000000000", "Microsoft Graph"},
};

static void look_at_audience(struct doctor *d, const struct config_tenant *t,
                             const struct json *claims)
{
    const char *aud = json_get_string(claims, "aud"), *tid = json_get_string(claims, "tid");
    const char *is = NULL;

    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (aud && strncasecmp(aud, foreign[i].aud, strlen(foreign[i].aud)) == 0)
            is = foreign[i].is;
    if (!aud || is)
        doctor_say(d, DOCTOR_BAD,
                   t->cloud ? "take api_scope out of the tenant: its cloud has one of its own"
                            : "take api_scope out of the tenant, or set it to "
                              "https://api.securitycenter.microsoft.com/.default",
                   "the token is for %s (%s), not for Defender for Endpoint", aud ? aud : "nobody",
                   is ? is : "no audience");
    else
        doctor_say(d, DOCTOR_OK, NULL, "the token is for %s", aud);
    if (tid && strcasecmp(tid, t->tenant_id) != 0)
        doctor_say(d, DOCTOR_BAD, "set tenant_id to the tenant whose alerts are pushed",
                   "the token is of tenant %s, not of %s", tid, t->tenant_id);
}

/* The permission or, for a reading one, its writing sister, which allows reading, too (sections 2.1, 3.1). */
static bool has_role(const struct json *claims, const char *role)
{
    static const char tail[] = ".Read.All";
    size_t len = strlen(role), head = len - (sizeof tail - 1);
    char sister[80];

    if (token_claims_have_role(claims, role))
        return true;
    if (len < sizeof tail || len > 40 || strcmp(role + head, tail) != 0)
        return false;
    (void)snprintf(sister, sizeof sister, "%.*s.ReadWrite.All", (int)head, role);
    return token_claims_have_role(claims, sister);
}

/* resource: as the list of permissions in Entra calls it. */
static unsigned need_of(struct doctor *d, const struct json *claims, const char *resource,
                        const char *role, const char *why)
{
    if (has_role(claims, role))
        return 0;
    doctor_say(d, DOCTOR_BAD,
               arena_fmt(d->arena,
                         "Entra, App registrations, this application, API permissions: add the "
                         "application permission %s %s, then grant admin consent",
                         resource, role),
               "the permission %s is missing: %s", role, why);
    return 1;
}

static unsigned need(struct doctor *d, const struct json *claims, const char *role, const char *why)
{
    return need_of(d, claims, "WindowsDefenderATP", role, why);
}

/* What a tenant's hunts need of Defender's own API. */
static unsigned look_at_hunts(struct doctor *d, const struct config_tenant *t,
                              const struct json *claims)
{
    unsigned missing = 0;

    for (size_t i = 0; i < d->o->config->n_hunts; i++) {
        const struct config_hunt *h = &d->o->config->hunts[i];

        if (h->tenant != t)
            continue;
        if (h->api == GRAPH_API_DEFENDER)
            missing += need(d, claims, "AdvancedQuery.Read.All",
                            arena_fmt(d->arena, "the hunt %s needs it", h->name));
        if (h->event.severity)
            missing += need(d, claims, "Alert.ReadWrite.All",
                            arena_fmt(d->arena, "the hunt %s makes alerts", h->name));
    }
    return missing;
}

/* And those that ask Microsoft Graph, of that. */
static void look_at_graph(struct doctor *d, struct runtime_tenant *t)
{
    AUTO(json_freep) struct json *claims = NULL;
    const struct config_hunt *first = NULL;
    struct err e = {0};

    for (size_t i = 0; i < d->o->config->n_hunts && !first; i++)
        if (d->o->config->hunts[i].tenant == t->config &&
            d->o->config->hunts[i].api == GRAPH_API_GRAPH)
            first = &d->o->config->hunts[i];
    if (!first)
        return;
    if (token_claims(t->graph_token, &claims, &e))
        doctor_say(d, DOCTOR_BAD, "what Entra says says why", "no token for Microsoft Graph: %s",
                   e.text);
    else if (!need_of(d, claims, "Microsoft Graph", "ThreatHunting.Read.All",
                      arena_fmt(d->arena, "the hunt %s needs it", first->name)))
        doctor_say(d, DOCTOR_OK, NULL,
                   "the token for Microsoft Graph has the permission that hunts need");
}

static void look_at_roles(struct doctor *d, const struct config_tenant *t,
                          const struct json *claims)
{
    const struct policy *policy = d->o->config->policy;
    unsigned missing =
        need(d, claims, "Alert.Read.All", "no alert can be read, so nothing can be judged") +
        need(d, claims, "Machine.Read.All", "no machine can be read, so none is ever isolated");

    for (const struct handler *const *h = handler_table(); *h; h++)
        if ((*h)->permission && policy_uses(policy, (*h)->name))
            missing += need(d, claims, (*h)->permission,
                            arena_fmt(d->arena, "the policy's step `%s` needs it", (*h)->name));
    missing += look_at_hunts(d, t, claims);
    if (!missing)
        doctor_say(d, DOCTOR_OK, NULL,
                   "the token has every permission that the policy needs (%zu roles)",
                   json_count(json_get(claims, "roles")));
}

/* What a read that names nothing came to: not found is as good as an answer. */
static void look_at_read(struct doctor *d, const char *what, enum err_code code,
                         const struct err *why)
{
    if (!code || code == ERR_NOT_FOUND)
        doctor_say(d, DOCTOR_OK, NULL, "%s can be read", what);
    else
        doctor_say(d, code == ERR_THROTTLED || code == ERR_AGAIN ? DOCTOR_WARN : DOCTOR_BAD,
                   code == ERR_FORBIDDEN ? "the permissions above, or the licence of the tenant"
                   : code == ERR_DENIED  ? "see the token above: Defender does not take it"
                                         : "try again; if it stays so, what Defender said says why",
                   "%s cannot be read: %s", what, why->text);
}

static void look_at_reads(struct doctor *d, struct runtime_tenant *t)
{
    struct defender_reads reads;

    defender_read(t->defender, NO_ALERT, NO_MACHINE,
                  DEFENDER_READ_ALERT | DEFENDER_READ_MACHINE | DEFENDER_READ_ACTIONS, &reads);
    look_at_read(d, "alerts", reads.alert_code, &reads.alert_err);
    look_at_read(d, "machines", reads.machine_code, &reads.machine_err);
    look_at_read(d, "machine actions", reads.actions_code, &reads.actions_err);
    defender_reads_clear(&reads);
}

/* ---- machines that cordon itself stands on ----------------------------------------------------- */

/* An address inside an organisation: RFC 1918 and RFC 4193; digits, dots, colons and a to f only. */
static bool is_private(const char *address)
{
    struct in_addr four;
    struct in6_addr six;
    uint32_t a;

    if (inet_pton(AF_INET6, address, &six) == 1)
        return (six.s6_addr[0] & 0xfe) == 0xfc;
    if (inet_pton(AF_INET, address, &four) != 1)
        return false;
    a = ntohl(four.s_addr);
    return a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8;
}

static bool is_protected(struct doctor *d, const struct runtime_tenant *t,
                         const struct json *machine)
{
    static const char text[] = "{\"id\":\"" NO_ALERT "\"}";
    const struct policy *p = d->o->config->policy;
    AUTO(json_freep) struct json *alert = NULL;
    struct facts f = {.tenant = t->config->name,
                      .alert_id = NO_ALERT,
                      .machine = machine,
                      .read_ms = clock_wall_ms(d->o->clock)};
    struct match m;

    if (json_parse(text, sizeof text - 1, &alert, NULL))
        return false;
    f.alert = alert;
    for (size_t i = 0; i < p->n_protections; i++)
        if (!condition_match(p->protections[i], &f, f.read_ms, d->arena, &m) &&
            m.result == TRUTH_TRUE)
            return true;
    return false;
}

/* GET of a path below the tenant's API; false: said already, or the token was told of above. */
static bool ask_api(struct doctor *d, struct runtime_tenant *t, const char *path, const char *what,
                    struct rest_answer *ret)
{
    AUTO(token_clear) struct buf header = BUF_INIT(TOKEN_MAX + 64);
    struct rest_request q = {.method = "GET", .timeout_ms = 20 * SECOND_MS};
    struct err e = {0};

    buf_adds(&header, "Authorization: Bearer ");
    if (!path || token_get(t->token, &header, &e))
        return false;
    q.url = arena_fmt(d->arena, "%s/api%s", t->config->api_url, path);
    q.headers[0] = buf_text(&header);
    q.headers[1] = "Accept: application/json";
    if (!rest_do(d->o->rest, &q, ret, &e) && (ret->status == 200 || ret->status == 404))
        return true;
    doctor_say(d, DOCTOR_WARN, "try again; it was only asked whether it needs protection",
               "%s: Defender did not say whether it knows it", what);
    return false;
}

/* Would cordon isolate what it needs itself? */
static void look_at_machine(struct doctor *d, const struct runtime_tenant *t,
                            const struct json *machine, const char *what)
{
    const char *id = json_get_string(machine, "id");

    if (!id)
        return;
    if (is_protected(d, t, machine))
        doctor_say(d, DOCTOR_OK, NULL, "%s is machine %s, and protected", what, id);
    else
        doctor_say(
            d, DOCTOR_WARN, arena_fmt(d->arena, "add to safety.protected:  - machine.id: [%s]", id),
            "%s is machine %s, and nothing protects it: isolated, cordon could neither act nor "
            "tell",
            what, id);
}

static void look_for_machine(struct doctor *d, struct runtime_tenant *t, const char *name,
                             const char *what)
{
    AUTO(rest_answer_clear) struct rest_answer answer = {0};
    AUTO(auto_free) char *encoded = rest_encode(name);
    AUTO(json_freep) struct json *doc = NULL;

    what = arena_fmt(d->arena, "%s %s", what, name);
    if (!encoded || !ask_api(d, t, arena_fmt(d->arena, "/machines/%s", encoded), what, &answer))
        return;
    if (answer.status == 404 || json_parse(answer.body, answer.body_len, &doc, NULL) != ERR_OK ||
        !json_get_string(doc, "id"))
        doctor_say(d, DOCTOR_OK, NULL, "%s: Defender knows no machine of this name", what);
    else
        look_at_machine(d, t, doc, what);
}

/* Hosts that push: a relay that is isolated pushes no more. By the address they came from, where that is not of the
 * Internet: there many share one. */
static void look_for_relays(struct doctor *d, struct runtime_tenant *t, struct store *s)
{
    const struct config *c = d->o->config;

    for (size_t i = 0; i < c->n_sources; i++) {
        const char **peers = NULL;
        size_t n = 0;
        struct err e;

        if (c->sources[i].tenant != t->config ||
            store_delivery_peers(s, d->arena, c->sources[i].name, RELAYS_MAX, &peers, &n, &e))
            continue; /* what is wrong with the store is said elsewhere */
        for (size_t k = 0; k < n; k++) {
            AUTO(rest_answer_clear) struct rest_answer answer = {0};
            AUTO(json_freep) struct json *doc = NULL;
            const char *what =
                arena_fmt(d->arena, "%s, which pushes to source %s,", peers[k], c->sources[i].name);

            if (!is_private(peers[k]) ||
                !ask_api(d, t,
                         arena_fmt(d->arena, "/machines?$filter=lastIpAddress%%20eq%%20%%27%s%%27",
                                   peers[k]),
                         what, &answer) ||
                json_parse(answer.body, answer.body_len, &doc, NULL) != ERR_OK)
                continue;
            JSON_EACH (machine, json_get(doc, "value"))
                look_at_machine(d, t, machine, what);
        }
    }
}

/* As DNS has it, where it does. */
static const char *own_name(struct doctor *d)
{
    const struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    const char *name = d->o->host_name;
    char host[256] = "";

    if (name)
        return name;
    if (gethostname(host, sizeof host - 1) != 0 || !host[0])
        return NULL;
    if (getaddrinfo(host, NULL, &hints, &list) == 0 && list && list->ai_canonname)
        name = arena_str(d->arena, list->ai_canonname);
    if (list)
        freeaddrinfo(list);
    return name ? name : arena_str(d->arena, host);
}

/* The host of "smtp://host:587"; NULL when it is an address, or this host. */
static const char *mail_host(struct doctor *d)
{
    const char *url = d->o->config->mail.server, *host = url ? strstr(url, "://") : NULL;
    size_t len;

    if (!host)
        return NULL;
    host += 3;
    len = strcspn(host, ":/");
    if (!len || host[0] == '[' || strspn(host, "0123456789.") == len ||
        (len == 9 && strncasecmp(host, "localhost", 9) == 0))
        return NULL;
    return arena_strn(d->arena, host, len);
}

/* The name under which a tenant of several is read and acted on. */
static const char *first_name(const struct doctor *d, const struct config_tenant *t)
{
    const struct config *c = d->o->config;

    for (size_t i = 0; i < c->n_tenants; i++)
        if (strcmp(c->tenants[i].tenant_id, t->tenant_id) == 0 &&
            !config_is_second_name(c, &c->tenants[i]))
            return c->tenants[i].name;
    return t->name; /* no configuration is like that */
}

void doctor_look_at_tenant(struct doctor *d, struct runtime_tenant *t)
{
    AUTO(rest_answer_clear) struct rest_answer login = {0}, api = {0};
    AUTO(json_freep) struct json *claims = NULL;
    AUTO(store_freep) struct store *store = NULL;
    const char *relay = mail_host(d), *own = own_name(d);
    struct err e = {0};
    bool reached;

    d->part = arena_fmt(d->arena, "tenant %s", t->config->name);
    reached = doctor_ask_host(
        d, t->config->login_url,
        arena_fmt(d->arena, "/%s/v2.0/.well-known/openid-configuration", t->config->tenant_id),
        &login);
    if (reached && login.status != 200)
        doctor_say(d, DOCTOR_BAD,
                   "look tenant_id up in Entra, Overview; and cloud, for a government tenant",
                   "Entra knows no tenant %s (HTTP %ld)", t->config->tenant_id, login.status);
    if (config_is_second_name(d->o->config, t->config)) {
        doctor_say(
            d, DOCTOR_OK, NULL,
            "it is another name of tenant %s, under which new alerts are read: they need no permission of "
            "this application",
            first_name(d, t->config));
        return;
    }
    if (!doctor_ask_host(d, t->config->api_url, "/api/", &api) || !reached)
        return;
    if (token_claims(t->token, &claims, &e)) {
        doctor_say(d, DOCTOR_BAD,
                   "what Entra says above says which of client_id, credential and tenant_id it is",
                   "no token: %s", e.text);
        return;
    }
    look_at_audience(d, t->config, claims);
    look_at_roles(d, t->config, claims);
    look_at_graph(d, t);
    look_at_reads(d, t);
    if (own)
        look_for_machine(d, t, own, "this host");
    if (relay)
        look_for_machine(d, t, relay, "the mail server");
    if (!store_open_as(d->o->config->store_url, d->o->config->store_password.text, true,
                       d->o->clock, &store, &e))
        look_for_relays(d, t, store);
}
