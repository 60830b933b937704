/* config_mail.h - how people are told: the parts `mail` and `webhooks` of a configuration.
 *
 * A mail has ways out, in an order: the first is `mail.server`, the others stand in `mail.fallback.ways` and
 * are used when those before them have failed for `mail.fallback.after`. A webhook is where a `webhook`
 * step posts to; it may be a way out of mails, too.
 */
#ifndef CORDON_CONFIG_MAIL_H
#define CORDON_CONFIG_MAIL_H

#include "settings.h"

struct config;
struct config_tenant;

enum config_way_kind {
    CONFIG_WAY_SMTP,   /* smtp:// or smtps:// */
    CONFIG_WAY_GRAPH,  /* sendMail of Microsoft Graph */
    CONFIG_WAY_WEBHOOK /* the gist of the mail, posted */
};

enum config_webhook_template {
    CONFIG_TEMPLATE_CORDON,
    CONFIG_TEMPLATE_TEAMS,
    CONFIG_TEMPLATE_SLACK
};

/* A webhook's way: this and its name. */
#define CONFIG_WEBHOOK_WAY "webhook:"

/** Is it one's? way: by its name; NULL: no. */
bool config_is_webhook_way(const char *way);

struct config_webhook {
    const char *name;           /* the key under webhooks: */
    const char *way;            /* "webhook:NAME", as in /readyz, metrics and the store */
    const char *plain_url;      /* of one that holds no secret; or NULL */
    struct secret url;          /* of one that does: never shown */
    int template;               /* enum config_webhook_template */
    struct secret_list secrets; /* what posts are signed with; count 0: they are not */
    const char *ca_file;        /* extra roots for a private CA */
};

/** Where it posts to. */
const char *config_webhook_url(const struct config_webhook *w);

struct config_way {
    /* "mail", "mail:fallback-1", "webhook:NAME": in /readyz, metrics and the store */
    const char *name;
    enum config_way_kind kind;
    const char *server;  /* as in the file, for people; NULL for a webhook */
    const char *mailbox; /* Graph: whose sendMail is called */
    const char *username;
    struct secret password;
    bool oauth;                         /* the login shows a token of one of these two */
    const struct config_tenant *tenant; /* OAuth and Graph: whose application gets the token */
    struct secret token;                /* or it is kept fresh by somebody else, in a file */
    const char *scope;                  /* of the tenant's token */
    const char *ca_file;                /* extra roots for a private CA */
    const struct config_webhook *webhook;
};

/* What makes notices of several cases one digest, in the order they are asked. */
enum config_group_by {
    CONFIG_GROUP_INCIDENT,
    CONFIG_GROUP_MACHINE,
    CONFIG_GROUP_RULE,
    CONFIG_GROUPS
};

struct config_group {
    int64_t wait_ms, interval_ms; /* interval_ms 0: every notice is a mail of its own */
    bool by[CONFIG_GROUPS];
};

struct template;

struct config_mail {
    const char *server; /* the first way's; NULL: no mail configured */
    const char *from;
    struct text_list to;
    struct config_way *ways; /* in their order */
    size_t n_ways;
    int64_t fallback_after_ms; /* a way that failed for so long gives way to the next */
    struct text_list desk_to;  /* the users' helpdesk */
    const char *desk_call;     /* whom it calls; NULL: nobody is named */
    struct config_group group;
    const struct template *subject, *body; /* where a step has none; NULL: the usual one, none */
};

/* Where `mail.fallback.after` is not said: a mail server that is restarted is back by then, and a person who is
 * to look at once has not waited longer than for a slow one. */
#define CONFIG_FALLBACK_AFTER_TEXT "10m"
#define CONFIG_FALLBACK_AFTER_MS   (10 * MINUTE_MS)

#define CONFIG_WAYS_MAX 8 /* that are tried for one notice: mail.server and seven more */

/* The order of reading: tenants, webhooks, mail, rules. map NULL: the file has no such part. Faults are noted;
 * ERR_NOMEM. */
enum err_code config_read_webhooks(const struct settings_reader *r, const struct yaml_node *map,
                                   struct config *c);
enum err_code config_read_mail(const struct settings_reader *r, const struct yaml_node *map,
                               struct config *c);
/** Has every step that tells somebody to tell, and a way to do it? mail: the part, NULL when there is none.
 *  Returns whether there is an email step at all for those who judge. */
bool config_check_telling(const struct settings_reader *r, const struct yaml_node *rules,
                          const struct yaml_node *mail, const struct config *c);
/** Wipes the secrets of both parts. */
void config_wipe_mail(struct config *c);

/** A map of things that the user named: each name fit for a path and a log. Defined in config.c. */
bool config_names_ok(const struct settings_reader *r, const struct yaml_node *map,
                     const char *what);

#endif
