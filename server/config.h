/* config.h - the whole configuration, read once, immutable, shared by counting references.
 *
 * One YAML file (contract.md section 4). SIGHUP reads a new one and swaps the pointer; whoever holds a
 * reference goes on with the old one until it lets go. A faulty file changes nothing.
 *
 * Two things change by themselves: what the file says, for which people wait until they have checked it and
 * send a SIGHUP; and the secrets and certificates that it names, which others rotate at their own time
 * (watch.h). The second must not bring in half of the first: config_reread takes the text that is in force.
 */
#ifndef CORDON_CONFIG_H
#define CORDON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auto.h"
#include "config_hunts.h"
#include "config_mail.h"
#include "gate.h"
#include "policy.h"
#include "settings.h"
#include "verify.h"

struct config_tls {
    const char *certificate_file, *key_file;
    /* for `client_certificate` entries without a ca_file of their own */
    const char *client_ca_file;
    bool client_certificates; /* somebody is verified by them: clients are asked for theirs */
};

struct config_listen {
    const char *address;
    struct config_tls tls;
    int64_t max_body; /* bytes */
    struct cidr_list trusted_proxies;
    struct gate_rate rate; /* of each client address */
};

struct config_admin {
    const char *address;
    struct secret token; /* .text NULL: none, then address is loopback or unix */
};

struct config_quota {
    int64_t per_minute, per_hour; /* calls per API class: defender-api.md section 7.4 */
};

struct config_tenant {
    const char *name;                  /* the key under tenants: */
    const char *tenant_id, *client_id; /* client_id: NULL for the machine's only identity */
    /* The credential (credential.h): one of these four. */
    struct secret client_secret;
    const char *certificate_file, *key_file;
    const char *federated_token_file;
    bool managed_identity;
    int cloud; /* index into public, gcc, gcc_high, dod */
    const char *api_url, *api_scope, *login_url,
        *graph_url;                       /* resolved: the cloud's or overridden */
    const char *graph_scope, *portal_url; /* the cloud's; the portal is where people look */
    struct config_quota quota;
};

struct config_source {
    const char *name; /* path is /hooks/<name> */
    const struct config_tenant *tenant;
    struct verifier *verifier;
    bool may_isolate;          /* to notify, everyone may: nothing accepted stays silent */
    struct gate_rate rate;     /* of what it has proven to be its own */
    struct cidr_list networks; /* where its clients may be; none: anywhere */
    int64_t heartbeat_ms;      /* silence after which people are told; 0: never */
    bool reply_status; /* its 202 says where the outcome is to be had; public_url is there then */
    bool shadow;       /* what it leads to is told, not done */
};

/* The name that cases of polling bear as their source. */
#define CONFIG_POLLING "polling"

struct config_polling {
    int64_t every_ms; /* 0: Defender is not asked for alerts */
    bool may_isolate;
};

struct config {
    const char *file;
    const char *text; /* what stood in it */
    size_t text_len;
    struct config_listen listen;
    struct config_admin admin;
    const char *public_url; /* without slash at the end; NULL: not set */
    const char *store_url;
    int64_t store_max_size;       /* bytes in use; 0: no limit but the disk's */
    int64_t retention_ms;         /* of cases that are over; 0: for ever */
    struct secret store_password; /* of a postgresql: url */
    struct config_tenant *tenants;
    size_t n_tenants;
    struct config_source *sources;
    size_t n_sources;
    struct config_mail mail;
    struct config_webhook *webhooks;
    struct config_way *webhook_ways; /* the same as ways out, in the same order */
    size_t n_webhooks;
    struct config_polling polling;
    struct config_hunt *hunts;
    size_t n_hunts;
    const struct policy *policy;
    struct verifier *approvers; /* who may answer questions; NULL: whoever has a link */
    size_t n_tests;             /* of the policy: all of them hold */
    const char *const
        *notes; /* not faults, but worth a line at start ("source x: a token is no signature");
                                 NULL-terminated */
};

/**
 * Reads and checks a file. On ERR_OK *ret has one reference; faults is empty. On ERR_INVALID every fault
 * is in *faults (sorted by place), whose texts live in faults_arena. ERR_IO: the file cannot be read.
 * env: NULL for getenv.
 */
enum err_code config_load(const char *file, const char *(*env)(const char *name),
                          struct arena *faults_arena, struct config **ret,
                          struct yaml_faults *faults, struct err *e);
/** The same, and every file that is read beside the configuration's own is noted in files. */
enum err_code config_load_watched(const char *file, const char *(*env)(const char *name),
                                  struct watch *files, struct arena *faults_arena,
                                  struct config **ret, struct yaml_faults *faults, struct err *e);
/** The same of the file that in_force was read from, for a server that runs by it: another address or store than that has is
 *  a note, and stays away until a restart; all else is read as if the file said what there is. What a start would not take
 *  has faults. */
enum err_code config_reload(const struct config *in_force, const char *(*env)(const char *name),
                            struct watch *files, struct arena *faults_arena, struct config **ret,
                            struct yaml_faults *faults, struct err *e);
/** The same from the text that old was read from, whatever its file holds by now. */
enum err_code config_reread(const struct config *old, const char *(*env)(const char *name),
                            struct watch *files, struct arena *faults_arena, struct config **ret,
                            struct yaml_faults *faults, struct err *e);
struct config *config_ref(struct config *c);
/** Lets go; the last one wipes secrets and frees. NULL is fine. */
void config_unref(struct config *c);
const struct config_tenant *config_tenant(const struct config *c, const char *name);
const struct config_source *config_source(const struct config *c, const char *name);
const struct config_webhook *config_webhook(const struct config *c, const char *name);
/** Is another name of the same tenant the one that its cases go by? Then t lends its application to mail, and no more. */
bool config_is_second_name(const struct config *c, const struct config_tenant *t);
/** Is Defender asked for alerts of the tenant called so? Nobody looks after what the store holds of another one's polling. */
bool config_is_polled(const struct config *c, const char *tenant);
/** Is t the tenant of a source or a hunt? */
bool config_is_pushed_for(const struct config *c, const struct config_tenant *t);
/** Is it a source of this tenant's, CONFIG_POLLING or the source of a hunt of its? */
bool config_knows_source(const struct config *c, const char *source, const char *tenant);
/* Where a case may come from. */
struct config_origin {
    const char *name;                   /* of a source or a hunt's, or CONFIG_POLLING */
    const struct config_tenant *tenant; /* NULL: of any */
    bool may_isolate;
};

/** Every one: sources, polling, hunts; polling last where it is off. Returns how many; *ret lives in a, NULL: out of
 *  memory. */
size_t config_origins(const struct config *c, struct arena *a, const struct config_origin **ret);
/** May a case of this source (CONFIG_POLLING and hunts included) and tenant lead to an isolation? What a source may that is
 *  another tenant's is nothing to this one's. */
bool config_may_isolate(const struct config *c, const char *source, const char *tenant);
/** Is what its deliveries lead to told, and not done? */
bool config_is_shadow(const struct config *c, const char *source);
/** Does new, which was read for the server that old is in force in, ask for what no reload can give? Returns the name of the
 *  first such key ("listen.tls"), or NULL: a reload may swap. */
const char *config_needs_restart(const struct config *old, const struct config *new);
/** Is the store's password the same, or none as before? Another one is taken with the next start, and no reason to refuse a
 *  reload. */
bool config_keeps_password(const struct config *old, const struct config *new);

/* ---- for commands that speak to a running server ------------------------------------------------
 * They need a corner of the file only: the rest of it may be half-edited, or hold secrets that the user
 * at the keyboard may not read. Everything lives in a, the faults' texts too. */

/** The admin part. Returns as config_load. */
enum err_code config_peek_admin(const char *file, const char *(*env)(const char *name),
                                struct arena *a, struct config_admin *ret,
                                struct yaml_faults *faults, struct err *e);

/** Where the store is, and its password (NULL: none). Returns as config_load. */
enum err_code config_peek_store(const char *file, const char *(*env)(const char *name),
                                struct arena *a, const char **ret_url, const char **ret_password,
                                struct yaml_faults *faults, struct err *e);

struct config_sender {       /* what `cordon send` and `cordon connect` must know of a source */
    const char *url;         /* where it posts to, /hooks/NAME included */
    const char *public_url;  /* as in the file; NULL: not set */
    const char *unix_socket; /* path of the socket to connect to; NULL: none */
    const struct yaml_node *verify; /* the source's list of entries */
    const char *tenant_id,
        *login_url; /* of the source's tenant: where it would get a token of Entra */
    const char *graph_url;
    bool reply_status; /* the sender is told where to ask for the outcome */
};

/** A source, seen from its sender; ERR_NOT_FOUND when there is none of this name. Else as config_load. */
enum err_code config_peek_source(const char *file, const char *(*env)(const char *name),
                                 struct arena *a, const char *name, struct config_sender *ret,
                                 struct yaml_faults *faults, struct err *e);

/** The names of all sources, in the order of the file; there may be none. Returns as config_load. */
enum err_code config_peek_source_names(const char *file, struct arena *a, struct text_list *ret,
                                       struct yaml_faults *faults, struct err *e);
/** The rules and safety of a file, whatever else it holds: a policy that is to be tried with the tenants and sources of
 *  config, so that it must name no others. Returns as config_load; lives in a. */
enum err_code config_peek_policy(const char *file, const char *(*env)(const char *name),
                                 struct config *config, struct arena *a, const struct policy **ret,
                                 struct yaml_faults *faults, struct err *e);

/** The starter configuration that `cordon init` writes: commented, complete, checks without a fault. */
extern const char config_starter[];

#endif
