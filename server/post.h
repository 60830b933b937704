/* post.h - writes what a webhook is sent, by its template: JSON of ours, an Adaptive Card for Teams, or Slack.
 *
 * Values may be an attacker's. For people (teams, slack) they are defanged and stripped of all markup; a program
 * (cordon) gets them as they are, as JSON strings. The only link is ours.
 */
#ifndef CORDON_POST_H
#define CORDON_POST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "config_mail.h"
#include "err.h"

/* Bytes: a Teams message may have about 28 KB (defender-api.md section 9.4). */
#define POST_MAX (26 * 1024)

struct post_fact {
    const char *name, *value; /* name: ours; value NULL or empty: left out */
};

struct post {
    int64_t id, case_id; /* case_id 0: of no case */
    int64_t now;
    const char *kind;                           /* "isolated" */
    const char *subject;                        /* the state in brackets, and what it is about */
    const char *headline;                       /* ours */
    bool bad;                                   /* a person should look */
    const char *why;                            /* may be NULL, like all below */
    const char *next;                           /* what happens next: ours */
    const char *tenant, *alert_id, *machine_id; /* for programs */
    const struct post_fact *facts;
    size_t n_facts;
    const char *link, *link_words; /* https, ours */
};

/** Writes p for a template (enum config_webhook_template). ERR_TOO_BIG, ERR_NOMEM. */
enum err_code post_write(int template, const struct post *p, struct buf *out, struct err *e);

/** Was this, which post_write wrote, written for a template? */
bool post_is_for(int template, const char *written);

#endif
