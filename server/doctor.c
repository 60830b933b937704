/* doctor.c - see doctor.h. Sections are those of defender-api.md.
 *
 * What is asked is what the server asks, by the same rooms (token.c, defender.c, mail.c), so that what the doctor
 * sees is what the server would see.
 */
#include "doctor.h"

#include <cordon/handler.h>
#include <arpa/inet.h>
#include <inttypes.h>
#include <limits.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "audit.h"
#include "mail_graph.h"
#include "match.h"
#include "policy_rules.h"
#include "runtime.h"
#include "store_check.h"
#include "store_deliveries.h"

#define TEXT_MAX 4096 /* bytes of a sentence */

/* Standard Webhooks and Entra's tokens are taken within 5 minutes (webhook-sources.md sections 1.2, 5): half of
 * that is too near. A host with NTP is within milliseconds; the header has seconds only. */
#define SKEW_WARN_MS (5 * SECOND_MS)
#define SKEW_BAD_MS  (150 * SECOND_MS)

#define ENDS_SOON_MS (14 * DAY_MS)

#define ROOM_WARN ((int64_t)1024 * 1024 * 1024) /* bytes free on the store's disk */
#define ROOM_BAD  ((int64_t)64 * 1024 * 1024)

#define RELAYS_MAX 8 /* hosts of a source that are looked at, the latest */
#define SHOWN_MAX  8 /* findings of one kind that are shown */

/* An alert and a machine that no tenant has, in the form of one that it could have (sections 2.5, 3.2). */
#define NO_ALERT   "da000000000000000000_0"
#define NO_MACHINE "0000000000000000000000000000000000000000"

struct doctor {
    const struct doctor_options *o;
    struct arena *arena;
    struct runtime *rt;
    const char *part;
};

static const char *const grades[] = {
    [DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_BAD] = "bad"};

const char *doctor_grade_name(enum doctor_grade grade)
{
    return grades[grade];
}

__attribute__((format(printf, 4, 5))) static void say(struct doctor *d, enum doctor_grade grade,
                                                      const char *cure, const char *fmt, ...)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(TEXT_MAX);
    struct doctor_finding f = {.grade = grade, .part = d->part, .cure = cure};
    va_list ap;

    va_start(ap, fmt);
    buf_addv(&text, fmt, ap);
    va_end(ap);
    f.text = buf_text(&text);
    d->o->found(d->o->ctx, &f);
}

/* ---- hosts --------------------------------------------------------------------------------------- */

static void look_at_tls(struct doctor *d, const char *url, const struct rest_answer *a)
{
    const int64_t left = a->tls_end_ms - clock_wall_ms(d->o->clock);

    if (strncmp(url, "https:", 6) != 0)
        say(d, DOCTOR_OK, NULL, "%s: plain HTTP, which is taken on loopback alone", url);
    else if (!a->tls_end_ms)
        say(d, DOCTOR_OK, NULL, "%s: TLS is good", url);
    else if (left < ENDS_SOON_MS)
        say(d, DOCTOR_WARN, "its owner has to renew it; if a proxy of yours opens TLS, that is you",
            "%s: TLS, certificate of %s by %s, ends in %" PRId64 " days", url, a->tls_subject,
            a->tls_issuer, left / DAY_MS);
    else
        say(d, DOCTOR_OK, NULL, "%s: TLS, certificate of %s by %s, good for %" PRId64 " days", url,
            a->tls_subject, a->tls_issuer, left / DAY_MS);
}

/* before, after: our clock around the call. */
static void look_at_clock(struct doctor *d, const char *url, const struct rest_answer *a,
                          int64_t before, int64_t after)
{
    int64_t ahead, off;

    if (!a->date_ms)
        return;
    ahead = clock_off_ms(a->date_ms, before, after);
    off = ahead < 0 ? -ahead : ahead;
    if (off < SKEW_WARN_MS)
        say(d, DOCTOR_OK, NULL, "this host's clock agrees with that of %s", url);
    else
        say(d, off < SKEW_BAD_MS ? DOCTOR_WARN : DOCTOR_BAD,
            "let NTP set this host's clock (chronyc tracking, timedatectl): signatures and tokens "
            "are good for minutes only",
            "this host's clock is %" PRId64 " s %s that of %s", off / SECOND_MS,
            ahead < 0 ? "behind" : "ahead of", url);
}

/* Asks without a credential. True, and the answer, when there was one. */
static bool ask_host(struct doctor *d, const char *base, const char *path, struct rest_answer *ret)
{
    const struct rest_request q = {.method = "GET",
                                   .url = arena_fmt(d->arena, "%s%s", base, path),
                                   .timeout_ms = 20 * SECOND_MS,
                                   .show_peer = true};
    const int64_t before = clock_wall_ms(d->o->clock);
    struct err e = {0};

    if (rest_do(d->o->rest, &q, ret, &e)) {
        say(d, DOCTOR_BAD,
            rest_proxy(d->o->rest)
                ? "let the proxy that https_proxy names reach it, or name its host in no_proxy; and "
                  "give this host the root certificates of a proxy that opens TLS"
                : "let this host reach it: name server, firewall, the proxy, which https_proxy names "
                  "where there is one, and the root certificates of a proxy that opens TLS",
            "%s cannot be reached: %s", base, e.text);
        return false;
    }
    look_at_tls(d, base, ret);
    look_at_clock(d, base, ret, before, clock_wall_ms(d->o->clock));
    return true;
}

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
        say(d, DOCTOR_BAD,
            t->cloud ? "take api_scope out of the tenant: its cloud has one of its own"
                     : "take api_scope out of the tenant, or set it to "
                       "https://api.securitycenter.microsoft.com/.default",
            "the token is for %s (%s), not for Defender for Endpoint", aud ? aud : "nobody",
            is ? is : "no audience");
    else
        say(d, DOCTOR_OK, NULL, "the token is for %s", aud);
    if (tid && strcasecmp(tid, t->tenant_id) != 0)
        say(d, DOCTOR_BAD, "set tenant_id to the tenant whose alerts are pushed",
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
    say(d, DOCTOR_BAD,
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
        say(d, DOCTOR_BAD, "what Entra says says why", "no token for Microsoft Graph: %s", e.text);
    else if (!need_of(d, claims, "Microsoft Graph", "ThreatHunting.Read.All",
                      arena_fmt(d->arena, "the hunt %s needs it", first->name)))
        say(d, DOCTOR_OK, NULL, "the token for Microsoft Graph has the permission that hunts need");
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
        say(d, DOCTOR_OK, NULL, "the token has every permission that the policy needs (%zu roles)",
            json_count(json_get(claims, "roles")));
}

/* What a read that names nothing came to: not found is as good as an answer. */
static void look_at_read(struct doctor *d, const char *what, enum err_code code,
                         const struct err *why)
{
    if (!code || code == ERR_NOT_FOUND)
        say(d, DOCTOR_OK, NULL, "%s can be read", what);
    else
        say(d, code == ERR_THROTTLED || code == ERR_AGAIN ? DOCTOR_WARN : DOCTOR_BAD,
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
    say(d, DOCTOR_WARN, "try again; it was only asked whether it needs protection",
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
        say(d, DOCTOR_OK, NULL, "%s is machine %s, and protected", what, id);
    else
        say(d, DOCTOR_WARN, arena_fmt(d->arena, "add to safety.protected:  - machine.id: [%s]", id),
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
        say(d, DOCTOR_OK, NULL, "%s: Defender knows no machine of this name", what);
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

static void look_at_tenant(struct doctor *d, struct runtime_tenant *t)
{
    AUTO(rest_answer_clear) struct rest_answer login = {0}, api = {0};
    AUTO(json_freep) struct json *claims = NULL;
    AUTO(store_freep) struct store *store = NULL;
    const char *relay = mail_host(d), *own = own_name(d);
    struct err e = {0};
    bool reached;

    d->part = arena_fmt(d->arena, "tenant %s", t->config->name);
    reached = ask_host(
        d, t->config->login_url,
        arena_fmt(d->arena, "/%s/v2.0/.well-known/openid-configuration", t->config->tenant_id),
        &login);
    if (reached && login.status != 200)
        say(d, DOCTOR_BAD,
            "look tenant_id up in Entra, Overview; and cloud, for a government tenant",
            "Entra knows no tenant %s (HTTP %ld)", t->config->tenant_id, login.status);
    if (config_is_second_name(d->o->config, t->config)) {
        say(d, DOCTOR_OK, NULL,
            "it is another name of tenant %s, under which new alerts are read: they need no permission of "
            "this application",
            first_name(d, t->config));
        return;
    }
    if (!ask_host(d, t->config->api_url, "/api/", &api) || !reached)
        return;
    if (token_claims(t->token, &claims, &e)) {
        say(d, DOCTOR_BAD,
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

/* ---- the rest ------------------------------------------------------------------------------------ */

/* What a way's failing is mended with. */
static const char *cure_of_way(const struct config_way *w, enum err_code code)
{
    if (w->kind == CONFIG_WAY_GRAPH)
        return code == ERR_FORBIDDEN
                   ? "Entra, App registrations, this application, API permissions: add the application "
                     "permission Microsoft Graph " MAIL_GRAPH_ROLE
                     ", then grant admin consent; and "
                     "limit in Exchange (RBAC for Applications) which mailboxes it is good for"
                   : "what it says of the token says which of client_id, credential and tenant_id it is";
    if (w->oauth && w->tenant)
        return code == ERR_DENIED
                   ? "Exchange Online takes the token when the application has its permission "
                     "SMTP.SendAsApp with admin consent, is known there (New-ServicePrincipal) and may use "
                     "the mailbox (Add-MailboxPermission), and the mailbox allows SMTP AUTH"
                   : "see the token, mail.server and the firewall";
    if (w->oauth)
        return "see that what writes oauth.token_file writes one that is good, mail.server, and the "
               "firewall";
    return code == ERR_DENIED
               ? "renew mail.username and mail.password_file, or allow the login at the mail server"
               : "see mail.server (port 587 with STARTTLS is smtp://, 465 is smtps://), mail.ca_file, and "
                 "the firewall";
}

static void look_at_mail(struct doctor *d)
{
    const struct config_mail *mail = &d->o->config->mail;

    d->part = "mail";
    if (!mail->server)
        say(d, DOCTOR_WARN, "set mail.server, mail.from and mail.to",
            "no mail server is configured: nobody is told anything by mail");
    for (size_t i = 0; i < mail->n_ways; i++) {
        struct way *w = d->rt->ways[i];
        char what[160] = "";
        struct err e = {0};

        d->part = way_name(w);
        if (way_probe(w, mail->from, NULL, what, &e))
            say(d, DOCTOR_BAD, cure_of_way(&mail->ways[i], e.code), "%s: %s", way_words(w), e.text);
        else
            say(d, DOCTOR_OK, NULL, "%s: %s; no mail was sent", way_words(w), what);
    }
    d->part = "mail";
    if (mail->server && !mail->to.count)
        say(d, DOCTOR_WARN, "set mail.to",
            "mail.to is empty: who is told what no rule has a name for?");
}

/* Nothing is posted: only whether the host can be reached, by its root. The rest of a URL may be a secret. */
static void look_at_webhooks(struct doctor *d)
{
    for (size_t i = 0; i < d->o->config->n_webhooks; i++) {
        const struct config_webhook *w = &d->o->config->webhooks[i];
        AUTO(rest_answer_clear) struct rest_answer unused = {0};
        const char *url = config_webhook_url(w), *host = strstr(url, "://");
        const char *base =
            host ? arena_strn(d->arena, url, (size_t)(host - url) + 3 + strcspn(host + 3, "/?#"))
                 : NULL;

        d->part = w->way;
        if (base && ask_host(d, base, "/", &unused))
            say(d, DOCTOR_OK, NULL, "%s can be reached; nothing was posted%s", base,
                w->secrets.count ? "; posts are signed" : "");
    }
}

struct counted {
    struct doctor *d;
    unsigned n;
};

static void store_found(void *ctx, const char *text)
{
    struct counted *c = ctx;

    if (c->n++ < SHOWN_MAX)
        say(c->d, DOCTOR_BAD, "stop cordon, keep the files, and `cordon store restore` a backup",
            "%s", text);
}

static void look_into_store(struct doctor *d, struct store *s)
{
    struct counted found = {.d = d};
    struct audit_report audit;
    struct err e = {0};

    if (store_check(s, store_found, &found, &e))
        say(d, DOCTOR_BAD, "see its disk", "the store cannot be read: %s", e.text);
    else if (!found.n)
        say(d, DOCTOR_OK, NULL, "%s is sound", db_name(s->db));
    if (audit_verify(s, NULL, &audit, &e))
        say(d, DOCTOR_BAD, "see its disk", "the audit cannot be read: %s", e.text);
    else if (!audit.whole)
        say(d, DOCTOR_BAD,
            "somebody wrote to the store beside cordon: find out who, and keep the files",
            "the audit is broken at record %" PRId64 ": %s", audit.broken, audit.why);
    else
        say(d, DOCTOR_OK, NULL, "the audit is whole: %" PRId64 " records", audit.records);
}

static void look_at_room(struct doctor *d, const char *file)
{
    const char *slash = strrchr(file, '/');
    const char *folder = slash ? arena_strn(d->arena, file, (size_t)(slash - file) + 1) : ".";
    struct statvfs v;
    int64_t room;

    if (!folder || statvfs(folder, &v) != 0) {
        say(d, DOCTOR_BAD, "make the folder, and let cordon's user write into it",
            "the store's folder %s cannot be seen", folder ? folder : file);
        return;
    }
    room = (int64_t)v.f_bavail * (int64_t)v.f_frsize;
    if (access(folder, W_OK) != 0)
        say(d, DOCTOR_WARN,
            "run this as cordon's own user; if that is who you are, let it write there",
            "the store's folder %s cannot be written to by this user", folder);
    if (room < ROOM_WARN)
        say(d, room < ROOM_BAD ? DOCTOR_BAD : DOCTOR_WARN,
            "give the disk more room: without any, senders are answered 503",
            "%" PRId64 " MiB are free on the store's disk", room >> 20);
    else
        say(d, DOCTOR_OK, NULL, "%" PRId64 " MiB are free on the store's disk", room >> 20);
}

/* "4711 (sqlite3)"; -1: nobody here knows its number. In the arena. */
static const char *process(struct doctor *d, int64_t pid)
{
    char path[64], name[64] = "";
    const char *text = NULL;
    FILE *f;

    if (pid < 0)
        return "of another container or user";
    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/comm", pid);
    f = fopen(path, "re");
    if (f && fgets(name, sizeof name, f))
        text = arena_fmt(d->arena, "%" PRId64 " (%.*s)", pid, (int)strcspn(name, "\n"), name);
    else
        text = arena_fmt(d->arena, "%" PRId64, pid);
    if (f)
        (void)fclose(f);
    return text ? text : "";
}

/* The file of an embedded store by its whole name: a relative one is another in another folder. */
static const char *store_place(struct doctor *d)
{
    const char *colon = strchr(d->o->config->store_url, ':');
    const char *file = colon ? colon + 1 : d->o->config->store_url;
    char folder[PATH_MAX];

    if (file[0] == '/' || !getcwd(folder, sizeof folder))
        return file;
    return arena_fmt(d->arena, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, file);
}

/* Who has hold of it, before this process opens it itself. */
static void look_at_locks(struct doctor *d, const char *place)
{
    struct db_locks l;
    struct err e = {0};

    if (db_locks(d->o->config->store_url, &l, &e) || !l.embedded)
        return; /* a url that is wrong is said where it is opened */
    if (l.network)
        say(d,
            strcmp(l.network, "FUSE") == 0 ? DOCTOR_WARN : DOCTOR_BAD, /* that may be local, too */
            "put store.url on a disk of this host, or use postgresql: for several hosts",
            "the store is on a network or shared filesystem (%s): its locks and memory hold within one host alone, "
            "and two servers could write at once",
            l.network);
    if (l.tried && !l.works)
        say(d, DOCTOR_BAD,
            "put store.url on a local filesystem (ext4, xfs, btrfs): without locks a second server would not be kept away",
            "the filesystem of the store keeps no locks: %s", l.why);
    if (l.server)
        say(d, DOCTOR_OK, NULL, "process %s serves the store and holds its lock",
            process(d, l.server));
    else if (l.tried && l.works && !l.writer && !l.other)
        say(d, DOCTOR_OK, NULL, "the store's lock is free: no server runs on %s", place);
    if (l.writer)
        say(d, DOCTOR_BAD,
            "end it: cordon alone may write to its store; `cordon store backup` makes a copy to work with",
            "process %s, which is not the server, is writing to the store", process(d, l.writer));
    else if (l.other)
        say(d, DOCTOR_WARN,
            "end it when it is not yours: reading does no harm for a moment, but keeps the log from being cut; "
            "`cordon store backup` makes a copy to work with",
            "process %s, which is not the server, has the store open", process(d, l.other));
}

/* An upgraded program before its first start, which is no reason not to start it. */
static bool is_older(struct doctor *d)
{
    const struct config *c = d->o->config;
    AUTO(store_freep) struct store *s = NULL;

    return !store_open_since(c->store_url, c->store_password.text, STORE_SINCE_EVER, d->o->clock,
                             &s, NULL);
}

static void look_at_store(struct doctor *d)
{
    static const char sqlite[] = "sqlite:";
    const struct config *c = d->o->config;
    const char *place = store_place(d);
    const bool is_file = strncmp(c->store_url, sqlite, sizeof sqlite - 1) == 0;
    AUTO(store_freep) struct store *s = NULL;
    struct err e = {0};
    enum err_code code;

    d->part = "store";
    look_at_locks(d, place);
    code = store_open_as(c->store_url, c->store_password.text, true, d->o->clock, &s, &e);
    if (code == ERR_NOT_FOUND)
        say(d, DOCTOR_OK, NULL, "there is no store yet: the first start makes %s", place);
    else if (code == ERR_REFUSED && is_older(d))
        say(d, DOCTOR_WARN,
            is_file
                ? "back it up before the first start, which migrates it: no older cordon reads it "
                  "afterwards; `cordon store backup FILE`"
                : "back it up before the first start, which migrates it: no older cordon writes to "
                  "it afterwards; pg_dump, and start this one when that is done",
            "it is an older cordon's: %s", e.text);
    else if (code)
        say(d, DOCTOR_BAD, "what it says says what to do", "%s", e.text);
    else
        look_into_store(d, s);
    if (is_file)
        look_at_room(d, c->store_url + sizeof sqlite - 1);
}

/* A GET of a source's path is refused with 405, and by nobody else in this way. */
static void look_at_public_url(struct doctor *d, const char *source)
{
    const char *base = d->o->config->public_url;
    AUTO(rest_answer_clear) struct rest_answer a = {0};
    struct rest_request q = {.method = "GET",
                             .url = arena_fmt(d->arena, "%s/hooks/%s", base, source),
                             .timeout_ms = 20 * SECOND_MS,
                             .show_peer = true};
    struct err e = {0};

    if (rest_do(d->o->rest, &q, &a, &e)) {
        say(d, DOCTOR_WARN,
            "is cordon running? else see public_url, the proxy in front and its certificate; some "
            "networks only let others come in that way",
            "%s cannot be reached from here: %s", q.url, e.text);
        return;
    }
    look_at_tls(d, base, &a);
    if (a.status == 405)
        say(d, DOCTOR_OK, NULL, "%s is answered by cordon", q.url);
    else
        say(d, DOCTOR_WARN,
            a.status == 404
                ? "reload cordon if the source is new; else let the proxy in front pass "
                  "/hooks/ on, path and all"
                : "is cordon running, and does the proxy in front pass /hooks/ on to it?",
            "%s is answered with %ld, and not with 405 as cordon does", q.url, a.status);
}

static void look_at_sources(struct doctor *d)
{
    const struct config *c = d->o->config;

    for (size_t i = 0; i < c->n_sources; i++) {
        const struct config_source *s = &c->sources[i];

        d->part = arena_fmt(d->arena, "source %s", s->name);
        say(d, DOCTOR_OK, NULL, "its secrets are there; it may %s; tenant %s",
            s->may_isolate ? "notify and isolate" : "only notify", s->tenant->name);
        if (c->public_url)
            look_at_public_url(d, s->name);
    }
    d->part = "configuration";
    if (!c->public_url)
        say(d, DOCTOR_OK, NULL,
            "public_url is not set: nobody has asked whether senders reach cordon");
    for (const char *const *note = c->notes; *note; note++)
        say(d, DOCTOR_WARN, "see the manual, docs/, or leave it so", "%s", *note);
}

enum err_code doctor_run(const struct doctor_options *o, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = NULL;
    struct doctor d = {.o = o, .arena = arena, .part = ""};
    enum err_code code;

    if (!arena)
        return err_set(e, ERR_NOMEM, "doctor");
    code = runtime_new(config_ref(o->config), o->rest, o->clock, &rt, e);
    if (code)
        return code;
    d.rt = rt;
    for (size_t i = 0; i < o->config->n_tenants; i++)
        look_at_tenant(&d, &rt->tenants[i]);
    look_at_mail(&d);
    look_at_webhooks(&d);
    look_at_store(&d);
    look_at_sources(&d);
    return ERR_OK;
}
