/* config_sources.c - who may push, and who may answer; see config_own.h.
 *
 * Both prove who they are by the same schemes (verify.h), and what a source may lead to is in the same words as what
 * polling may.
 */
#include "config_own.h"

#include <stddef.h>
#include <string.h>

#include "policy.h"
#include "verify.h"

/* ---- sources ---------------------------------------------------------------------------------- */

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
    SETTING("tenant", SET_TEXT, source, tenant, .required = true,
            .meaning = "whose alerts it may push"),
    SETTING("verify", SET_NODE, source, verify, .required = true,
            .meaning = "how it proves who it is: any one of the list"),
    SETTING("reply", SET_WORD, source, reply, .fallback = "accept", .words = config_replies,
            .meaning =
                "accept: 202; status: 202 and where the outcome is to be had; needs public_url"),
    SETTING("may", SET_NODE, source, may,
            .meaning = "what its deliveries may lead to: notify, isolate; default both"),
    SETTING("rate", SET_NODE, source, rate,
            .meaning = "requests, per, burst: how often it may push"),
    SETTING("networks", SET_CIDR_LIST, source, networks,
            .meaning = "where its requests may come from; default anywhere"),
    SETTING("heartbeat", SET_DURATION, source, heartbeat, .least = SECOND_MS, .most = 30 * DAY_MS,
            .meaning = "people are told when nothing comes from it for so long"),
    SETTING("mode", SET_WORD, source, mode, .fallback = "live", .words = modes,
            .meaning = "shadow: what its deliveries lead to is told, not done"),
    {.key = NULL},
};

const char *const config_rights[] = {"notify", "isolate", NULL};

void config_read_may(struct config_loading *l, const struct yaml_node *may, const char *name,
                     struct config_source *out)
{
    const struct yaml_node *first = may->kind == YAML_LIST ? may->first : may;
    bool notify = false;

    out->may_isolate = false;
    if (may->kind == YAML_MAP || !first) {
        config_fault(l, may, "%s.may: expected a list of notify and isolate", name);
        return;
    }
    for (const struct yaml_node *n = first; n; n = may->kind == YAML_LIST ? n->next : NULL) {
        const char *word = settings_text(&l->reader, n);

        if (word && strcmp(word, "notify") == 0)
            notify = true;
        else if (word && strcmp(word, "isolate") == 0)
            out->may_isolate = true;
        else if (word)
            config_fault(l, n, "%s.may: expected notify or isolate, found '%.60s'%s", name, word,
                         settings_meant(&l->reader, word, config_rights));
    }
    if (out->may_isolate && !notify)
        config_fault(l, may,
                     "%s.may: notify is missing: people are told of every alert that is accepted",
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
                                 .tenant_id = config_zero_guid,
                                 .login_url = config_cloud_defaults[0].login_url,
                                 .public_url = l->config->public_url,
                                 .loopback = settings_listen_is_local(l->config->listen.address),
                                 .tls = l->config->listen.tls.certificate_file != NULL,
                                 .client_ca_file = l->config->listen.tls.client_ca_file};
    struct source in = {0};

    settings_read(&l->reader, map, name, source_table, &in);
    *out = (struct config_source){.name = map->key->text, .may_isolate = true};
    if (in.tenant)
        out->tenant =
            config_find_tenant(&l->reader, l->config, yaml_get(map, "tenant"), name, in.tenant);
    out->heartbeat_ms = in.heartbeat;
    out->reply_status = in.reply == REPLY_STATUS;
    if (out->reply_status && !l->has_public_url)
        config_fault(
            l, yaml_get(map, "reply"),
            "%s.reply: status needs public_url, so that the sender can be told where to ask", name);
    if (in.may)
        config_read_may(l, in.may, name, out);
    out->rate = config_read_rate(l, in.rate, name);
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
        config_note(
            l, in.verify->key,
            "%s: a token is no signature: whoever sees one request can send others as this source",
            name);
}

enum err_code config_read_sources(struct config_loading *l, const struct yaml_node *map)
{
    if (!map || !config_names_ok(&l->reader, map, "sources"))
        return ERR_OK; /* the fault is noted, or there need not be any */
    if (yaml_get(map, CONFIG_POLLING))
        config_fault(l, yaml_get(map, CONFIG_POLLING)->key,
                     "sources: '" CONFIG_POLLING
                     "' is what cases of polling are called; choose another name");
    l->config->sources = arena_array(l->reader.arena, map->count, sizeof *l->config->sources);
    if (!l->config->sources)
        return ERR_NOMEM;
    for (const struct yaml_node *child = map->first; child; child = child->next)
        read_source(l, child, &l->config->sources[l->config->n_sources++]);
    return ERR_OK;
}

/* ---- approvers -------------------------------------------------------------------------------- */

struct approvers {
    const char *tenant;
    const struct yaml_node *verify;
};

static const struct setting approvers_table[] = {
    SETTING("tenant", SET_TEXT, approvers, tenant,
            .meaning = "whose Entra people sign in to; needed for `entra`"),
    SETTING("verify", SET_NODE, approvers, verify, .required = true,
            .meaning =
                "any one of a list: `entra` (with `roles` or `objects`), `client_certificate`"),
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
                config_fault(l, n->key,
                             "approvers.verify: '%.60s' proves no person; expected entra or "
                             "client_certificate",
                             n->key->text);
}

void config_read_approvers(struct config_loading *l, const struct yaml_node *map)
{
    struct verify_source self = {.name = "approvers",
                                 .people = true,
                                 .tenant_id = config_zero_guid,
                                 .login_url = config_cloud_defaults[0].login_url,
                                 .public_url = l->config->public_url,
                                 .tls = l->config->listen.tls.certificate_file != NULL,
                                 .client_ca_file = l->config->listen.tls.client_ca_file};
    const struct config_tenant *tenant;
    struct approvers in = {0};

    settings_read(&l->reader, map, "approvers", approvers_table, &in);
    tenant = in.tenant ? config_find_tenant(&l->reader, l->config, yaml_get(map, "tenant"),
                                            "approvers", in.tenant)
                       : NULL;
    if (!in.verify)
        return;
    if (!in.tenant && verifies_by(in.verify, "entra"))
        config_fault(l, in.verify, "approvers.tenant is missing: whose Entra people sign in to");
    check_proofs(l, in.verify);
    if (tenant && tenant->tenant_id) {
        self.tenant_id = tenant->tenant_id;
        self.login_url = tenant->login_url;
    }
    l->config->approvers = verifier_compile(&l->reader, in.verify, &self);
    if (verifies_by(in.verify, "client_certificate"))
        l->config->listen.tls.client_certificates = true;
}

/* ---- what is allowed, and hardly meant ---------------------------------------------------------- */

/* A rule that can only match what a source pushes which may not isolate does nothing but tell. */
static void note_pointless_rules(struct config_loading *l, const struct yaml_node *rules)
{
    for (size_t i = 0; i < l->config->n_sources; i++) {
        const struct config_source *s = &l->config->sources[i];
        const char *rule;
        size_t at = 0;

        while ((!s->may_isolate || s->shadow) &&
               (rule = policy_rule_of_source(l->config->policy, s->name, &at)))
            config_note(l, rules->key, "rule %s acts on nothing: source %s %s", rule, s->name,
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
                config_note(
                    l, mine->key,
                    "source %s %s, but source %s has a secret in common with it and does isolate: what is "
                    "signed for the one can be sent to the other",
                    sources[i].name,
                    sources[i].may_isolate ? "is in shadow mode" : "may only notify",
                    sources[k].name);
        }
}

void config_note_sources(struct config_loading *l, const struct yaml_node *sources,
                         const struct yaml_node *rules)
{
    note_pointless_rules(l, rules);
    note_shared_secrets(l, sources);
}
