/* config_mail.c - see config_mail.h. */
#include "config_mail.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config_own.h"
#include "mail.h"
#include "mime.h"
#include "rest.h"
#include "template.h"
#include "verify_standard_webhooks.h"

#define fault(r, ...) yaml_fault((r)->faults, __VA_ARGS__)

/* The resource whose tokens Exchange Online's SMTP takes, by cloud: defender-api.md section 1.2 and 9.2 for the
 * public one, which GCC shares; those of the other two follow its hosts (inferred: `scope` overrides them). */
static const char *const exchange_scopes[] = {
    "https://outlook.office365.com/.default",
    "https://outlook.office365.com/.default",
    "https://outlook.office365.us/.default",
    "https://outlook-dod.office365.us/.default",
};

/* Graph's, whatever graph_url a proxy has: sections 1.1 and 1.2. */
static const char *const graph_scopes[] = {
    "https://graph.microsoft.com/.default",
    "https://graph.microsoft.com/.default",
    "https://graph.microsoft.us/.default",
    "https://dod-graph.microsoft.us/.default",
};

/* ---- tables ----------------------------------------------------------------------------------- */

struct mail_part {
    struct config_mail out;
    struct config_way way;
    const struct yaml_node *oauth, *fallback, *desk, *group;
    const char *subject, *body, *body_file;
};

static const struct setting mail_table[] = {
    SETTING("server", SET_TEXT, mail_part, way.server, .required = true,
            .meaning = "smtp://host:587, smtps://host:465 or graph:mailbox@domain"),
    SETTING("from", SET_ADDRESS, mail_part, out.from, .required = true,
            .meaning = "whom the mails come from"),
    SETTING("to", SET_ADDRESS_LIST, mail_part, out.to,
            .meaning = "whom they go to where a step names nobody"),
    SETTING("username", SET_TEXT, mail_part, way.username,
            .meaning = "the login; with oauth the mailbox, default mail.from"),
    SETTING("password", SET_SECRET, mail_part, way.password, .meaning = "its password"),
    SETTING("oauth", SET_NODE, mail_part, oauth,
            .meaning = "tenant, scope or token_file: log in with a token and not with a password"),
    SETTING("ca_file", SET_PATH, mail_part, way.ca_file,
            .meaning = "more roots to trust, for a private CA, PEM"),
    SETTING("fallback", SET_NODE, mail_part, fallback,
            .meaning = "after, ways: what is used when the server fails for that long"),
    SETTING("desk", SET_NODE, mail_part, desk,
            .meaning = "to, call: the helpdesk, and whom it calls"),
    SETTING("subject", SET_TEXT, mail_part, subject,
            .meaning = "follows the state in subjects, where a step has none; {{field}}"),
    SETTING("body", SET_TEXT, mail_part, body,
            .meaning = "a paragraph below the facts, where a step has none; {{field}}"),
    SETTING("body_file", SET_PATH, mail_part, body_file, .meaning = "the same, out of a file"),
    SETTING("group", SET_NODE, mail_part, group,
            .meaning = "by, wait, interval: cases that come in a burst are told in one mail"),
    {.key = NULL},
};

struct group_part {
    struct config_group out;
    struct text_list by;
};

static const struct setting group_table[] = {
    SETTING("by", SET_TEXT_LIST, group_part, by,
            .meaning = "incident, machine, rule: what cases have in common; default all of them"),
    SETTING("wait", SET_DURATION, group_part, out.wait_ms, .fallback = "30s", .least = SECOND_MS,
            .most = DAY_MS, .meaning = "how long what follows a first mail is collected"),
    SETTING("interval", SET_DURATION, group_part, out.interval_ms, .fallback = "5m", .most = DAY_MS,
            .meaning = "the time between two digests; 0: every notice is a mail of its own"),
    {.key = NULL},
};

struct way_part {
    struct config_way out;
    const char *webhook;
    const struct yaml_node *oauth;
};

static const struct setting way_table[] = {
    SETTING("server", SET_TEXT, way_part, out.server,
            .meaning = "smtp://host:587, smtps://host:465 or graph:mailbox@domain"),
    SETTING("webhook", SET_TEXT, way_part, webhook,
            .meaning = "one of webhooks: it gets the mail's subject"),
    SETTING("username", SET_TEXT, way_part, out.username, .meaning = "the login"),
    SETTING("password", SET_SECRET, way_part, out.password, .meaning = "its password"),
    SETTING("oauth", SET_NODE, way_part, oauth, .meaning = "as in mail.oauth"),
    SETTING("ca_file", SET_PATH, way_part, out.ca_file,
            .meaning = "more roots to trust, for a private CA, PEM"),
    {.key = NULL},
};

struct oauth_part {
    const char *tenant, *scope;
    struct secret token;
};

static const struct setting oauth_table[] = {
    SETTING("tenant", SET_TEXT, oauth_part, tenant,
            .meaning = "the tenant whose application gets the token"),
    SETTING("scope", SET_TEXT, oauth_part, scope,
            .meaning = "what the token is asked for with; default the cloud's Exchange Online"),
    SETTING("token", SET_SECRET, oauth_part, token,
            .meaning = "a token that something else keeps fresh (Gmail)"),
    {.key = NULL},
};

struct fallback_part {
    int64_t after_ms;
    const struct yaml_node *ways;
};

static const struct setting fallback_table[] = {
    SETTING("after", SET_DURATION, fallback_part, after_ms, .fallback = CONFIG_FALLBACK_AFTER_TEXT,
            .least = 30 * SECOND_MS, .most = DAY_MS,
            .meaning = "a way that failed for so long gives way to the next"),
    SETTING("ways", SET_NODE, fallback_part, ways, .required = true,
            .meaning = "a list of up to 7: server with its login, or webhook"),
    {.key = NULL},
};

static const struct setting desk_table[] = {
    SETTING("to", SET_ADDRESS_LIST, config_mail, desk_to, .required = true,
            .meaning = "whom mails with `audience: desk` go to"),
    SETTING("call", SET_TEXT, config_mail, desk_call,
            .meaning = "whom the helpdesk calls, as it stands in those mails"),
    {.key = NULL},
};

static const char *const templates[] = {"cordon", "teams", "slack", NULL};

static const struct setting webhook_table[] = {
    SETTING("url", SET_TEXT, config_webhook, plain_url,
            .meaning = "where posts go, if that is no secret"),
    SETTING("url", SET_SECRET, config_webhook, url,
            .meaning = "the file with the URL: Teams' and Slack's are secrets"),
    SETTING("template", SET_WORD, config_webhook, template, .fallback = "cordon",
            .words = templates,
            .meaning = "cordon: JSON of ours; teams: an Adaptive Card for Workflows; slack"),
    SETTING("secret", SET_SECRET_LIST, config_webhook, secrets,
            .meaning = "files with `whsec_…` that posts are signed with (Standard Webhooks)"),
    SETTING("ca_file", SET_PATH, config_webhook, ca_file,
            .meaning = "more roots to trust, for a private CA, PEM"),
    {.key = NULL},
};

/* ---- helpers ---------------------------------------------------------------------------------- */

static const struct config_webhook *find_webhook(const struct settings_reader *r,
                                                 const struct config *c, const struct yaml_node *at,
                                                 const char *what, const char *name)
{
    const struct config_webhook *w = config_webhook(c, name);
    const char **names = arena_array(r->arena, c->n_webhooks + 1, sizeof *names);

    for (size_t i = 0; names && i < c->n_webhooks; i++)
        names[i] = c->webhooks[i].name;
    if (!w)
        fault(r, at, "%s: there is no webhook '%.60s' under webhooks%s", what, name,
              settings_meant(r, name, names));
    return w;
}

/* ---- webhooks --------------------------------------------------------------------------------- */

bool config_is_webhook_way(const char *way)
{
    return way && strncmp(way, CONFIG_WEBHOOK_WAY, strlen(CONFIG_WEBHOOK_WAY)) == 0;
}

const char *config_webhook_url(const struct config_webhook *w)
{
    return w->url.text ? w->url.text : w->plain_url;
}

/* The file is there; is it one that a far end's certificate can be checked with? */
static void check_roots(const struct settings_reader *r, const struct yaml_node *map,
                        const char *what, const char *file)
{
    struct err e = {0};

    if (file && rest_check_roots(file, &e))
        fault(r, yaml_get(map, "ca_file"), "%s.ca_file: %s", what, e.text);
}

static void read_webhook(const struct settings_reader *r, const struct yaml_node *map,
                         struct config_webhook *w)
{
    const char *name = config_name_of(r, "webhooks", map->key->text);
    bool has_url = yaml_get(map, "url"), has_file = yaml_get(map, "url_file");
    struct err e = {0};

    settings_read(r, map, name, webhook_table, w);
    w->name = map->key->text;
    w->way = arena_fmt(r->arena, CONFIG_WEBHOOK_WAY "%s", w->name);
    if (map->kind != YAML_MAP)
        return;
    if (has_url == has_file)
        fault(r, has_url ? config_place(map, "url_file") : map->key,
              has_url ? "%s: url and url_file are the same thing; keep one of them"
                      : "%s.url_file is missing: the file with the URL that posts go to",
              name);
    if (w->plain_url && !rest_url_ok(w->plain_url))
        fault(r, yaml_get(map, "url"),
              "%s.url: expected an https:// URL (http:// is for loopback alone)", name);
    else if (w->plain_url && strchr(w->plain_url, '?'))
        fault(
            r, yaml_get(map, "url"),
            "%s.url: what stands behind a ? is a secret; put the whole URL into a file of its own "
            "and name that with url_file",
            name);
    if (w->url.text && !rest_url_ok(w->url.text)) /* not echoed: it is a secret */
        fault(r, config_place(map, "url_file"),
              "%s.url_file: its text is no https:// URL (http:// is for loopback alone)", name);
    for (size_t i = 0; i < w->secrets.count; i++) {
        unsigned char key[STANDARD_WEBHOOKS_KEY_MAX];
        size_t len;

        if (standard_webhooks_key(w->secrets.items[i].text, key, &len, &e))
            fault(r, w->secrets.items[i].at, "%s.secret_files: %s", name, e.text);
        explicit_bzero(key, sizeof key);
    }
    check_roots(r, map, name, w->ca_file);
    if (w->template == CONFIG_TEMPLATE_CORDON && !yaml_get(map, "secret_files"))
        fault(
            r, map->key,
            "%s.secret_files is missing: whoever gets such posts must be able to tell that they are "
            "cordon's; `cordon keygen` makes a secret",
            name);
}

enum err_code config_read_webhooks(const struct settings_reader *r, const struct yaml_node *map,
                                   struct config *c)
{
    if (!map || !config_names_ok(r, map, "webhooks"))
        return ERR_OK; /* the fault is noted, or there need not be any */
    c->webhooks = arena_array(r->arena, map->count, sizeof *c->webhooks);
    c->webhook_ways = arena_array(r->arena, map->count, sizeof *c->webhook_ways);
    if (!c->webhooks || !c->webhook_ways)
        return ERR_NOMEM;
    for (const struct yaml_node *child = map->first; child; child = child->next)
        read_webhook(r, child, &c->webhooks[c->n_webhooks++]);
    for (size_t i = 0; i < c->n_webhooks; i++) {
        c->webhook_ways[i] = (struct config_way){
            .name = c->webhooks[i].way, .kind = CONFIG_WAY_WEBHOOK, .webhook = &c->webhooks[i]};
        if (!c->webhooks[i].way)
            return ERR_NOMEM;
    }
    return ERR_OK;
}

/* ---- the ways of mails ------------------------------------------------------------------------ */

static void read_oauth(const struct settings_reader *r, const struct yaml_node *map,
                       const char *what, const struct config *c, struct config_way *way)
{
    struct oauth_part in = {0};
    size_t before = r->faults->count;

    settings_read(r, map, what, oauth_table, &in);
    way->oauth = true;
    way->token = in.token;
    way->scope = in.scope;
    if (in.tenant)
        way->tenant = config_find_tenant(r, c, yaml_get(map, "tenant"), what, in.tenant);
    if (r->faults->count != before)
        return;
    if (!in.tenant && !in.token.text)
        fault(r, map->key, "%s.tenant is missing: the tenant whose application gets the token",
              what);
    if (in.token.text && (in.tenant || in.scope))
        fault(r, map->key, "%s: the token of token_file is somebody else's business; take %s out",
              what, in.tenant ? "tenant" : "scope");
}

static void check_smtp(const struct settings_reader *r, const struct yaml_node *map,
                       const char *what, const struct config_way *way)
{
    struct mail_server server;
    struct err e = {0};

    if (way->username && !*way->username) {
        fault(r, yaml_get(map, "username"), "%s.username is empty", what);
        return;
    }
    if (!way->oauth && way->username && !yaml_get(map, "password_file")) {
        fault(r, config_place(map, "username"), "%s.password_file is missing: %s.username needs it",
              what, what);
        return;
    }
    if (!way->oauth && !way->username && way->password.text) {
        fault(r, config_place(map, "password_file"),
              "%s.username is missing: %s.password_file needs it", what, what);
        return;
    }
    if (way->oauth && yaml_get(map, "password_file")) {
        fault(r, config_place(map, "password_file"),
              "%s: oauth logs in with a token; take password_file out", what);
        return;
    }
    server =
        (struct mail_server){.url = way->server,
                             .username = way->oauth || way->password.text ? way->username : NULL,
                             .password = way->oauth ? "token" : way->password.text,
                             .oauth = way->oauth,
                             .ca_file = way->ca_file};
    if (mail_server_check(&server, &e))
        fault(r, yaml_get(map, "server"), "%s.server: %s", what, e.text);
}

static void check_graph(const struct settings_reader *r, const struct yaml_node *map,
                        const char *what, const struct config *c, struct config_way *way)
{
    static const char *const needless[] = {"username", "password_file", "ca_file"};
    struct err e = {0};

    way->kind = CONFIG_WAY_GRAPH;
    way->mailbox = way->server + strlen("graph:");
    if (!mime_address_ok(way->mailbox, &e))
        fault(r, yaml_get(map, "server"),
              "%s.server: expected graph: and the address of a mailbox: %s", what, e.text);
    for (size_t i = 0; i < sizeof needless / sizeof *needless; i++)
        if (yaml_get(map, needless[i]))
            fault(r, config_place(map, needless[i]), "%s.%s: Graph has no such login; take it out",
                  what, needless[i]);
    if (way->oauth && way->token.text)
        fault(r, config_place(map, "oauth"), "%s.oauth: Graph wants a tenant; take token_file out",
              what);
    if (!way->oauth && c->n_tenants == 1)
        way->tenant = &c->tenants[0];
    else if (!way->oauth && c->n_tenants)
        fault(r, yaml_get(map, "server"),
              "%s.oauth is missing: there are several tenants; oauth: {tenant: NAME}", what);
    if (way->tenant && !way->scope)
        way->scope = graph_scopes[way->tenant->cloud];
}

/* What the tables cannot say of a way. way: as they read it. */
static void finish_way(const struct settings_reader *r, const struct yaml_node *map,
                       const struct yaml_node *oauth, const char *what, const struct config *c,
                       struct config_way *way)
{
    check_roots(r, map, what, way->ca_file);
    if (oauth)
        read_oauth(r, oauth, config_name_of(r, what, "oauth"), c, way);
    if (!way->server)
        return;
    if (strncasecmp(way->server, "graph:", 6) == 0) {
        check_graph(r, map, what, c, way);
        return;
    }
    if (way->oauth && !way->username)
        way->username = c->mail.from;
    if (way->oauth && way->tenant && !way->scope)
        way->scope = exchange_scopes[way->tenant->cloud];
    if (!way->oauth || way->username) /* else mail.from has a fault */
        check_smtp(r, map, what, way);
}

static void read_way(const struct settings_reader *r, const struct yaml_node *map, size_t n,
                     const struct config *c, struct config_way *ret)
{
    const char *what = arena_fmt(r->arena, "mail.fallback.ways[%zu]", n);
    const char *name = arena_fmt(r->arena, "mail:fallback-%zu", n);
    size_t before = r->faults->count;
    struct way_part in = {0};

    what = what ? what : "mail.fallback.ways";
    settings_read(r, map, what, way_table, &in);
    in.out.name = name ? name : "mail:fallback";
    if (map->kind == YAML_MAP && r->faults->count == before && !in.webhook == !in.out.server)
        fault(r, map, "%s: expected a server, or a webhook%s", what,
              in.webhook ? ", and not both" : "");
    if (in.webhook) {
        in.out.kind = CONFIG_WAY_WEBHOOK;
        in.out.webhook = find_webhook(r, c, yaml_get(map, "webhook"),
                                      config_name_of(r, what, "webhook"), in.webhook);
        if (in.out.webhook && in.out.webhook->way)
            in.out.name = in.out.webhook->way;
    }
    finish_way(r, map, in.oauth, what, c, &in.out);
    *ret = in.out;
}

/* What is never tried would be no way out, and nobody would know before it is needed. */
static void check_count(const struct settings_reader *r, const struct yaml_node *ways)
{
    const size_t most = CONFIG_WAYS_MAX - 1; /* mail.server is the first */
    const struct yaml_node *n = ways->first;

    if (ways->count <= most)
        return;
    for (size_t i = 0; i < most; i++)
        n = n->next;
    fault(
        r, n,
        "mail.fallback.ways[%zu]: expected %zu ways at most, found %zu: mail.server and %zu more are tried for a "
        "notice; take %zu of them out",
        most + 1, most, ways->count, most, ways->count - most);
}

static enum err_code read_fallback(const struct settings_reader *r, const struct yaml_node *map,
                                   struct config *c)
{
    struct fallback_part in = {.after_ms = CONFIG_FALLBACK_AFTER_MS};
    struct config_mail *mail = &c->mail;
    struct config_way *ways;

    if (map)
        settings_read(r, map, "mail.fallback", fallback_table, &in);
    mail->fallback_after_ms = in.after_ms;
    if (!in.ways)
        return ERR_OK;
    if (in.ways->kind != YAML_LIST || !in.ways->count) {
        fault(r, in.ways, "mail.fallback.ways: expected a list of ways, one at least");
        return ERR_OK;
    }
    ways = arena_array(r->arena, in.ways->count + 1, sizeof *ways);
    if (!ways)
        return ERR_NOMEM;
    ways[0] = mail->ways[0];
    mail->ways = ways;
    check_count(r, in.ways);
    for (const struct yaml_node *n = in.ways->first; n; n = n->next, mail->n_ways++)
        read_way(r, n, mail->n_ways, c, &ways[mail->n_ways]);
    return ERR_OK;
}

static void read_group(const struct settings_reader *r, const struct yaml_node *map,
                       struct config_group *ret)
{
    static const char *const words[CONFIG_GROUPS + 1] = {[CONFIG_GROUP_INCIDENT] = "incident",
                                                         [CONFIG_GROUP_MACHINE] = "machine",
                                                         [CONFIG_GROUP_RULE] = "rule"};
    struct group_part in = {0};

    settings_read(r, map, "mail.group", group_table, &in);
    *ret = in.out;
    for (size_t i = 0; i < in.by.count; i++) {
        size_t k = 0;

        while (k < CONFIG_GROUPS && strcmp(in.by.items[i], words[k]) != 0)
            k++;
        if (k == CONFIG_GROUPS)
            fault(r, yaml_get(map, "by"),
                  "mail.group.by: expected incident, machine or rule, found '%.60s'%s",
                  in.by.items[i], settings_meant(r, in.by.items[i], words));
        else
            ret->by[k] = true;
    }
    for (size_t k = 0; k < CONFIG_GROUPS && !yaml_get(map, "by"); k++)
        ret->by[k] = true;
}

/* file: text is the name of the file that it stands in. */
static const struct template *read_template(const struct settings_reader *r,
                                            const struct yaml_node *map, const char *key,
                                            const char *text, bool file)
{
    const struct template *compiled = NULL;
    struct err e;

    if (text && (file ? template_load(r->arena, text, &compiled, &e)
                      : template_compile(r->arena, text, &compiled, &e)))
        fault(r, yaml_get(map, key), "mail.%s: %s", key, e.text);
    /* cppcheck-suppress CastIntegerToAddressAtReturn ; it takes `template` for the word of C++ */
    return compiled;
}

static bool is_of_texts(const char *name, size_t len)
{
    static const char end[] = ".example"; /* never anybody's: RFC 2606, section 2 */
    const size_t n = sizeof end - 1;

    return len >= n && memcmp(name + len - n, end, n) == 0;
}

/* The starter's reader of all mails is nobody: whoever has filled in the rest would be told nothing. A server that is
 * of texts too, or a bare address (tests), is no place where mail is expected. */
static void note_placeholders(const struct settings_reader *r, const struct yaml_node *map,
                              const struct config_mail *mail)
{
    const char *host = mail->server ? strstr(mail->server, "://") : NULL;
    const size_t len = host ? strcspn(host + 3, ":/") : 0;

    if (!r->notes || !host || is_of_texts(host + 3, len) || strspn(host + 3, "[0123456789.") == len)
        return;
    for (size_t i = 0; i < mail->to.count; i++)
        if (is_of_texts(mail->to.items[i], strlen(mail->to.items[i])))
            yaml_fault(r->notes, config_place(map, "to"), "mail.to: %.200s is still a placeholder",
                       mail->to.items[i]);
}

enum err_code config_read_mail(const struct settings_reader *r, const struct yaml_node *map,
                               struct config *c)
{
    struct mail_part in = {0};

    if (!map)
        return ERR_OK;
    settings_read(r, map, "mail", mail_table, &in);
    c->mail = in.out;
    c->mail.server = in.way.server;
    in.way.name = "mail";
    finish_way(r, map, in.oauth, "mail", c, &in.way);
    c->mail.ways = arena_array(r->arena, 1, sizeof *c->mail.ways);
    if (!c->mail.ways)
        return ERR_NOMEM;
    c->mail.ways[0] = in.way;
    c->mail.n_ways = 1;
    if (in.desk)
        settings_read(r, in.desk, "mail.desk", desk_table, &c->mail);
    read_group(r, in.group, &c->mail.group);
    note_placeholders(r, map, &c->mail);
    if (in.body && in.body_file)
        fault(r, config_place(map, "body_file"),
              "mail.body_file: mail.body is there already; one of them");
    c->mail.subject = read_template(r, map, "subject", in.subject, false);
    c->mail.body = in.body_file ? read_template(r, map, "body_file", in.body_file, true)
                                : read_template(r, map, "body", in.body, false);
    return read_fallback(r, in.fallback, c);
}

void config_wipe_mail(struct config *c)
{
    for (size_t i = 0; i < c->mail.n_ways; i++) {
        secret_wipe(&c->mail.ways[i].password);
        secret_wipe(&c->mail.ways[i].token);
    }
    for (size_t i = 0; i < c->n_webhooks; i++) {
        secret_wipe(&c->webhooks[i].url);
        for (size_t k = 0; k < c->webhooks[i].secrets.count; k++)
            secret_wipe(&c->webhooks[i].secrets.items[k]);
    }
}

/* ---- whom the rules tell ---------------------------------------------------------------------- */

struct told {
    bool people; /* somebody who can judge: by mail or a webhook */
    bool mailed; /* by mail */
    bool asked;  /* people are asked before, and told what came of it */
    const struct yaml_node *desk;
};

/* A step's setting as it is with the environment's values; NULL: there is none, or nobody knows. What cannot be had is a
 * fault of the policy's, noted by whoever compiled it: where it has any, no variable is looked up a second time. */
static const char *setting_of(const struct settings_reader *r, const struct config *c,
                              const struct yaml_node *step, const char *key)
{
    const struct yaml_node *n = yaml_get(step, key);

    if (!n || n->kind != YAML_SCALAR || n->null)
        return NULL;
    if (c->policy)
        return settings_text(r, n);
    return strstr(n->text, "${") ? NULL : n->text;
}

static void check_email(const struct settings_reader *r, const struct yaml_node *email,
                        const struct yaml_node *mail, const struct config *c, struct told *told)
{
    const char *audience = setting_of(r, c, email, "audience");
    bool desk = audience && strcmp(audience, "desk") == 0;

    told->people = told->people || !desk;
    told->mailed = told->mailed || !desk;
    if (desk)
        told->desk = email->key;
    if (!mail)
        fault(r, email->key, "email: there is no mail: to send it with (mail.server, mail.from)");
    else if (desk && (yaml_get(email, "subject") || yaml_get(email, "body")))
        fault(r, config_place(email, yaml_get(email, "subject") ? "subject" : "body"),
              "email: what the helpdesk is told has a text of its own; take subject and body out");
    else if (desk && !yaml_get(email, "to") && !yaml_get(mail, "desk"))
        fault(r, email->key, "email: it names no helpdesk; give it `to`, or set mail.desk");
    else if (!desk && !yaml_get(email, "to") && !yaml_get(mail, "to"))
        fault(r, email->key, "email: it names nobody; give it `to`, or set mail.to");
}

static void check_webhook(const struct settings_reader *r, const struct yaml_node *webhook,
                          const struct config *c, struct told *told)
{
    const char *to = setting_of(r, c, webhook, "to");

    told->people = true;
    if (to)
        (void)find_webhook(r, c, yaml_get(webhook, "to"), "webhook.to", to);
}

/* contract: a person is told of every alert, or a rule says why not; one that says nothing may be meant so. */
static void note_silence(const struct settings_reader *r, const struct yaml_node *rule)
{
    const struct yaml_node *name = yaml_get(rule, "name");

    if (name && name->kind == YAML_SCALAR && name->text)
        yaml_fault(
            r->notes, name,
            "rule %.64s tells nobody what it does: people hear of it only when that fails; add a step "
            "that tells them, such as email: {}",
            name->text);
}

/* Others may still answer it, who look: on the console or with `cordon questions`. */
static void note_unasked(const struct settings_reader *r, const struct yaml_node *rule)
{
    const struct yaml_node *name = yaml_get(rule, "name");

    if (name && name->kind == YAML_SCALAR && name->text)
        yaml_fault(
            r->notes, name,
            "rule %.64s asks, and nobody gets the question: unless somebody looks and answers nothing is "
            "done; give the step `approvers`, or set mail.to",
            name->text);
}

/* Each of mail.to gets a link of his own, which is one answer; a list of many people is one of them. what: "rule a", or
 * "safety.ask". */
static void note_too_few(const struct settings_reader *r, const char *what, int64_t people,
                         const struct config *c)
{
    if (r->notes && c->mail.to.count && people > (int64_t)c->mail.to.count && !c->approvers)
        yaml_fault(
            r->notes, NULL,
            "%.80s wants the yes of %lld people, and mail.to, who are asked, has %zu address%s with one answer "
            "each: the others have to answer with `cordon approve`; name people in `approvers`",
            what ? what : "a question", (long long)people, c->mail.to.count,
            c->mail.to.count == 1 ? "" : "es");
}

/* The same of a step `ask` of a rule. */
static void check_ask(const struct settings_reader *r, const struct yaml_node *rule,
                      const struct yaml_node *ask, const struct config *c)
{
    const struct yaml_node *name = yaml_get(rule, "name");
    const char *text = setting_of(r, c, ask, "people");

    if (yaml_get(ask, "approvers"))
        return;
    if (r->notes && !c->mail.to.count && !c->n_webhooks)
        note_unasked(r, rule);
    if (text) /* a number, or a fault of its own */
        note_too_few(r, arena_fmt(r->arena, "rule %s", name ? name->text : ""),
                     strtoll(text, NULL, 10), c);
}

bool config_check_telling(const struct settings_reader *r, const struct yaml_node *rules,
                          const struct yaml_node *mail, const struct config *c)
{
    bool mailed = false;

    for (const struct yaml_node *rule = rules->kind == YAML_LIST ? rules->first : NULL; rule;
         rule = rule->next) {
        const struct yaml_node *steps = yaml_get(rule, "do");
        struct told told = {0};

        for (const struct yaml_node *step = steps && steps->kind == YAML_LIST ? steps->first : NULL;
             step; step = step->next) {
            const struct yaml_node *email = yaml_get(step, "email");
            const struct yaml_node *webhook = yaml_get(step, "webhook");
            const struct yaml_node *ask = yaml_get(step, "ask");

            if (email)
                check_email(r, email, mail, c, &told);
            if (webhook)
                check_webhook(r, webhook, c, &told);
            if (ask)
                check_ask(r, rule, ask, c);
            told.asked = told.asked || ask;
        }
        if (told.desk && !told.people)
            fault(r, told.desk,
                  "email: the helpdesk is told nothing of the alert; add a step for those who are "
                  "to judge it: email: {}");
        if (steps && !told.people && !told.desk && !told.asked && r->notes)
            note_silence(r, rule);
        mailed = mailed || told.mailed;
    }
    if (c->policy && !policy_terms(c->policy)->approvers.count)
        note_too_few(r, "safety.ask", policy_terms(c->policy)->people, c);
    return mailed;
}
