/* doctor.c - see doctor.h. Sections are those of defender-api.md.
 *
 * What is asked is what the server asks, by the same rooms (token.c, defender.c, mail.c), so that what the doctor
 * sees is what the server would see.
 */
#include "doctor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "doctor_own.h"
#include "mail_graph.h"

#define TEXT_MAX 4096 /* bytes of a sentence */

/* Standard Webhooks and Entra's tokens are taken within 5 minutes (webhook-sources.md sections 1.2, 5): half of
 * that is too near. A host with NTP is within milliseconds; the header has seconds only. */
#define SKEW_WARN_MS (5 * SECOND_MS)
#define SKEW_BAD_MS  (150 * SECOND_MS)

#define ENDS_SOON_MS (14 * DAY_MS)

static const char *const grades[] = {
    [DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_BAD] = "bad"};

const char *doctor_grade_name(enum doctor_grade grade)
{
    return grades[grade];
}

void doctor_say(struct doctor *d, enum doctor_grade grade, const char *cure, const char *fmt, ...)
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
        doctor_say(d, DOCTOR_OK, NULL, "%s: plain HTTP, which is taken on loopback alone", url);
    else if (!a->tls_end_ms)
        doctor_say(d, DOCTOR_OK, NULL, "%s: TLS is good", url);
    else if (left < ENDS_SOON_MS)
        doctor_say(d, DOCTOR_WARN,
                   "its owner has to renew it; if a proxy of yours opens TLS, that is you",
                   "%s: TLS, certificate of %s by %s, ends in %" PRId64 " days", url,
                   a->tls_subject, a->tls_issuer, left / DAY_MS);
    else
        doctor_say(d, DOCTOR_OK, NULL,
                   "%s: TLS, certificate of %s by %s, good for %" PRId64 " days", url,
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
        doctor_say(d, DOCTOR_OK, NULL, "this host's clock agrees with that of %s", url);
    else
        doctor_say(
            d, off < SKEW_BAD_MS ? DOCTOR_WARN : DOCTOR_BAD,
            "let NTP set this host's clock (chronyc tracking, timedatectl): signatures and tokens "
            "are good for minutes only",
            "this host's clock is %" PRId64 " s %s that of %s", off / SECOND_MS,
            ahead < 0 ? "behind" : "ahead of", url);
}

/* Asks without a credential. True, and the answer, when there was one. */
bool doctor_ask_host(struct doctor *d, const char *base, const char *path, struct rest_answer *ret)
{
    const struct rest_request q = {.method = "GET",
                                   .url = arena_fmt(d->arena, "%s%s", base, path),
                                   .timeout_ms = 20 * SECOND_MS,
                                   .show_peer = true};
    const int64_t before = clock_wall_ms(d->o->clock);
    struct err e = {0};

    if (rest_do(d->o->rest, &q, ret, &e)) {
        doctor_say(
            d, DOCTOR_BAD,
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
        doctor_say(d, DOCTOR_WARN, "set mail.server, mail.from and mail.to",
                   "no mail server is configured: nobody is told anything by mail");
    for (size_t i = 0; i < mail->n_ways; i++) {
        struct way *w = d->rt->ways[i];
        char what[160] = "";
        struct err e = {0};

        d->part = way_name(w);
        if (way_probe(w, mail->from, NULL, what, &e))
            doctor_say(d, DOCTOR_BAD, cure_of_way(&mail->ways[i], e.code), "%s: %s", way_words(w),
                       e.text);
        else
            doctor_say(d, DOCTOR_OK, NULL, "%s: %s; no mail was sent", way_words(w), what);
    }
    d->part = "mail";
    if (mail->server && !mail->to.count)
        doctor_say(d, DOCTOR_WARN, "set mail.to",
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
        if (base && doctor_ask_host(d, base, "/", &unused))
            doctor_say(d, DOCTOR_OK, NULL, "%s can be reached; nothing was posted%s", base,
                       w->secrets.count ? "; posts are signed" : "");
    }
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
        doctor_say(
            d, DOCTOR_WARN,
            "is cordon running? else see public_url, the proxy in front and its certificate; some "
            "networks only let others come in that way",
            "%s cannot be reached from here: %s", q.url, e.text);
        return;
    }
    look_at_tls(d, base, &a);
    if (a.status == 405)
        doctor_say(d, DOCTOR_OK, NULL, "%s is answered by cordon", q.url);
    else
        doctor_say(d, DOCTOR_WARN,
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
        doctor_say(d, DOCTOR_OK, NULL, "its secrets are there; it may %s; tenant %s",
                   s->may_isolate ? "notify and isolate" : "only notify", s->tenant->name);
        if (c->public_url)
            look_at_public_url(d, s->name);
    }
    d->part = "configuration";
    if (!c->public_url)
        doctor_say(d, DOCTOR_OK, NULL,
                   "public_url is not set: nobody has asked whether senders reach cordon");
    for (const char *const *note = c->notes; *note; note++)
        doctor_say(d, DOCTOR_WARN, "see the manual, docs/, or leave it so", "%s", *note);
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
        doctor_look_at_tenant(&d, &rt->tenants[i]);
    look_at_mail(&d);
    look_at_webhooks(&d);
    doctor_look_at_store(&d);
    look_at_sources(&d);
    return ERR_OK;
}
