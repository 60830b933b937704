/* config_own.h - what the rooms of config.h share. For config*.c alone.
 *
 * config.c has the file as a whole: read, kept, asked; config_parts.c what each part of it may hold; config_sources.c,
 * config_mail.c and config_hunts.c three large parts; config_peek.c a corner of it for commands that need no more;
 * config_conditions.c what the policy says of the others.
 */
#ifndef CORDON_CONFIG_OWN_H
#define CORDON_CONFIG_OWN_H

#include "buf.h"
#include "config.h"
#include "settings.h"
#include "yaml.h"

/* yaml.h takes 1 MiB; one byte more shows that there is more. */
#define CONFIG_FILE_MAX (1024 * 1024 + 1)

/* A configuration while it is read. */
struct config_loading {
    struct settings_reader reader;
    struct config *config;
    const struct config
        *in_force;       /* of a server that runs, whose sockets and store stay; NULL: none */
    bool has_public_url; /* in the file, right or wrong */
};

#define config_fault(l, ...) yaml_fault((l)->reader.faults, __VA_ARGS__)
#define config_note(l, ...)  yaml_fault((l)->reader.notes, __VA_ARGS__)

/* ---- config_parts.c ----------------------------------------------------------------------------- */

/* The words of `cloud`, NULL at the end, and what each means. */
struct config_cloud {
    const char *api_url, *api_scope, *login_url, *graph_url, *graph_scope, *portal_url;
};
extern const char *const config_clouds[];
extern const struct config_cloud config_cloud_defaults[];
extern const struct setting config_admin_table[];
/* The id of a tenant that is none: of `init`'s file. */
extern const char config_zero_guid[];

/** Reads all of it into l->config; faults go to l->reader.faults. ERR_NOMEM or ERR_OK. */
enum err_code config_read_root(struct config_loading *l, const struct yaml_node *root);
/** The same of `store`; map NULL: there is none. */
void config_read_store(struct config_loading *l, const struct yaml_node *map);
/** Of the parts of a file the rules and safety alone (*ret_safety NULL: there is none), for policy_compile. A part that
 *  this version does not know is a fault all the same, as it may be one of these, misspelt. false: there are no rules. */
bool config_read_policy(const struct settings_reader *r, const struct yaml_node *root,
                        const struct yaml_node **ret_rules, const struct yaml_node **ret_safety);
/** what's `rate`; map NULL, or with a fault: the usual one. */
struct gate_rate config_read_rate(struct config_loading *l, const struct yaml_node *map,
                                  const char *what);
/** Where to point at for a key of map: at that key; at the map's own when it has none. */
const struct yaml_node *config_place(const struct yaml_node *map, const char *key);
/** "WHAT.NAME", or name without memory. */
const char *config_name_of(const struct settings_reader *r, const char *what, const char *name);
/** The tenant that WHAT.tenant, at `at`, names. NULL: there is none so called, which is a fault if there are any. */
const struct config_tenant *config_find_tenant(const struct settings_reader *r,
                                               const struct config *c, const struct yaml_node *at,
                                               const char *what, const char *name);

/* ---- config_sources.c --------------------------------------------------------------------------- */

/* The words of a source's `reply`: at once, or with a page to ask again. */
extern const char *const config_replies[];
/* The words of `may`, NULL at the end. */
extern const char *const config_rights[];

/** map NULL: there is no source. ERR_NOMEM or ERR_OK. */
enum err_code config_read_sources(struct config_loading *l, const struct yaml_node *map);
void config_read_approvers(struct config_loading *l, const struct yaml_node *map);
/** Of what is called name in faults: into out->may_isolate. */
void config_read_may(struct config_loading *l, const struct yaml_node *may, const char *name,
                     struct config_source *out);
/** Of a configuration without a fault: what is allowed, and hardly meant. */
void config_note_sources(struct config_loading *l, const struct yaml_node *sources,
                         const struct yaml_node *rules);

/* ---- config_conditions.c ------------------------------------------------------------------------ */

/** Do the conditions of rules and protections (NULL: none), both compiled without a fault, name tenants and sources that
 *  there are? ERR_NOMEM or ERR_OK. */
enum err_code config_check_conditions(struct config_loading *l, const struct yaml_node *rules,
                                      const struct yaml_node *protections);

/* ---- config.c ----------------------------------------------------------------------------------- */

enum err_code config_read_file(const char *file, struct buf *out, struct err *e);
/** The end of a reading that came to nothing: sorts the faults, says how many there are. Returns e's code. */
enum err_code config_end_of_faults(const char *file, enum err_code code, struct yaml_faults *faults,
                                   struct err *e);

#endif
