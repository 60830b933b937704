/* config_hunts.h - the part `hunts` of the configuration: what is asked of Defender on a schedule, and what becomes
 * of the rows. */
#ifndef CORDON_CONFIG_HUNTS_H
#define CORDON_CONFIG_HUNTS_H

#include "cron.h"
#include "defender.h"
#include "graph.h"
#include "hunt_rows.h"
#include "settings.h"

struct config;
struct config_tenant;

/* The source of its cases is called so, and then its name; no source of senders has a colon. */
#define HUNT_SOURCE "hunt:"

/* Defender has the events of thirty days (defender-api.md sections 5.1, 5.2). */
#define HUNT_BACK_MAX_MS (30 * DAY_MS)

struct config_hunt {
    const char *name;   /* a-z, 0-9, - and _ */
    const char *source; /* HUNT_SOURCE and the name */
    const struct config_tenant *tenant;
    const char *schedule, *timezone; /* as written */
    struct cron cron;
    const struct zone *zone;
    const char *plan;  /* both in one text */
    int api;           /* enum graph_api */
    const char *query; /* KQL */
    const char *hash;  /* of query, key and api */
    const char *asks;  /* the same, and whose Defender is asked: what a baseline is of */
    struct text_list key;
    int64_t look_back_ms, jitter_ms, catch_up_ms;
    bool may_isolate, shadow;
    bool tells;          /* step `email` */
    struct text_list to; /* none: mail.to */
    const char *subject; /* NULL: the usual one */
    /* step `case`; of event: severity, category, title and texts, where an alert has to be made */
    bool makes_cases;
    struct defender_new_alert event; /* severity NULL: none is made */
    size_t n_tests;
};

struct config_hunts_input {
    const struct yaml_node *hunts; /* the list; NULL: none */
    const struct config *config;   /* tenants and mail are read */
    bool has_mail;
};

/** Reads, checks and tests them all; faults go to reader->faults. ERR_NOMEM or ERR_OK. */
enum err_code config_hunts_read(const struct settings_reader *reader,
                                const struct config_hunts_input *in, struct config_hunt **ret,
                                size_t *ret_count);
/** By name; NULL: there is none. */
const struct config_hunt *config_hunt(const struct config *c, const char *name);
/** Is `asks` what a baseline is of that was noted as this? As one was noted without the tenant, any will do. */
bool config_hunt_asks(const struct config_hunt *h, const char *noted);
/** The one whose cases are of this source; NULL: none. */
const struct config_hunt *config_hunt_of_source(const struct config *c, const char *source);
/** A hunt of the tenant that makes alerts of these words and may not have machines isolated, or is in shadow mode; NULL:
 *  none, or the alert came from another hunt that makes such alerts: it is that one's. What an alert says may be NULL. */
const struct config_hunt *config_hunt_held_back(const struct config *c, const char *source,
                                                const char *tenant, const char *title,
                                                const char *description);

#endif
