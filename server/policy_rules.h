/* policy_rules.h - a compiled policy from inside; for policy.c, which builds it, and decide.c.
 *
 * All of it lives in the arena that it was compiled into and never changes.
 */
#ifndef CORDON_POLICY_RULES_H
#define CORDON_POLICY_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include <cordon/handler.h>

#include "match.h"
#include "policy.h"
#include "template.h"

/* One argument of a step; which of the four is set follows from arg->type. None: absent. */
struct policy_arg {
    const struct handler_arg *arg;
    const struct template *text;
    const char *word; /* ARG_DURATION: as written */
    struct text_list addresses;
    int64_t number; /* ARG_NUMBER; ARG_DURATION: in ms */
};

struct policy_step {
    const char *name; /* of the handler */
    bool acts;
    bool stops, asks_on;              /* on_failure: stop, ask */
    const char *if_step, *if_outcome; /* what a step before must have come to; NULL: always */
    struct policy_arg *args;
    size_t n_args;
};

struct policy_rule {
    const char *name;
    const struct condition *when; /* NULL: always */
    struct policy_step *steps;
    size_t n_steps;
    bool acts;   /* some step does */
    bool asks;   /* an `ask` stands before those that do */
    bool enough; /* … of as many as safety.ask wants, and of none but whom that names */
    bool tells;  /* some step is an email */
    bool shadow; /* its mode is: what it would do is told, not done */
};

struct policy {
    char hash[65];
    const char *text; /* the normal form that hash is of */
    size_t text_len;
    bool shadow;
    int64_t review_ms;
    struct policy_rule *rules;
    size_t n_rules;
    const struct condition **protections;
    size_t n_protections;
    struct policy_limit *limits;
    size_t n_limits;
    const char *pause_file;
    struct policy_step ask;    /* with what safety.ask sets; name NULL: there is no such handler */
    bool asks_in_doubt;        /* safety.ask is set: doubt and protection are put to a person */
    struct policy_terms terms; /* of ask */
    struct policy_storm storm;
    int64_t canary;
    struct policy_step tell; /* an email with nothing set, so that nobody stays silent */
};

#endif
