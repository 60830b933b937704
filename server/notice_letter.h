/* notice_letter.h - what a notice of a case says: its state, its subject, its letter.
 *
 * The state stands in brackets before everything else, and no bracket of anybody's else comes into a subject: a title
 * that begins with "[ISOLATED]" reads "(ISOLATED)". The letter has the facts first, then what comes next and how
 * to release the machine, the rule's own words, and the rest of the facts.
 */
#ifndef CORDON_NOTICE_LETTER_H
#define CORDON_NOTICE_LETTER_H

#include "letter.h"
#include "notice.h"
#include "pause.h"

/** "NOT ISOLATED: why", as the subject has it in brackets. Lives in a; NULL: out of memory. */
const char *notice_said(const struct notice *n, struct arena *a);
/** The same for a digest, where nothing stands behind it: "ISOLATED - Review". */
const char *notice_said_alone(const struct notice *n, struct arena *a);
/** The rest of the subject, the same in all notices of a case: n->subject, or the alert and the machine. */
const char *notice_topic(const struct notice *n, struct arena *a);
/** The whole of it. */
const char *notice_subject(const struct notice *n, struct arena *a);
/** "ws-114.corp.example", or the id; NULL: nobody knows. As Defender has it: hostile. */
const char *notice_machine(const struct notice *n);
/** "ws-114" of "ws-114.corp.example"; an address stays whole. NULL: out of memory. */
const char *notice_short_name(struct arena *a, const char *name);
/** Its short name for a subject, made harmless; "a machine" when nobody knows it. NULL: out of memory. */
const char *notice_machine_topic(const struct notice *n, struct arena *a);
/** "High: title", or "alert da…"; hostile. */
const char *notice_alert(const struct notice *n, struct arena *a);
/** "Full, isolated, since …": the word is the ledger's, the time that at which it became so; of n's case, and of what is
 *  beside it. NULL: there is none, or out of memory. */
const char *notice_isolation(const struct notice *n, struct arena *a);
/** Does n say that an isolation is requested which Defender is asked for only when its turn comes: many wait for what it takes
 *  in a minute? */
bool notice_is_in_line(const struct notice *n);
/** Does n say that its machine is not isolated, which is not so: it is for something else, as far as cordon knows, and nobody
 *  is releasing it? */
bool notice_is_isolated_beside(const struct notice *n);
/** Since when its machine is, or was, isolated, wall ms: since Defender said so to us, and of somebody else's by its own
 *  word. */
int64_t notice_isolated_since(const struct isolation_record *i);
/** Since when it stands as it does, wall ms. */
int64_t notice_since(const struct isolation_record *i);
/* The words of the link to a package, in the mail's text and in its HTML: preview.c knows it by them. */
#define NOTICE_PACKAGE_WORDS "The investigation package (whoever has the link may read it)"
#define NOTICE_PACKAGE_LABEL "Download the investigation package"
/** Composes l from its beginning up to letter_put or letter_build. link: of this message's reader, to answer a
 *  question by; NULL: none. */
void notice_compose(struct letter *l, const struct notice *n, const struct runtime *rt,
                    const struct pause *pause, const char *link, struct arena *a);
/** Where Defender's portal shows an alert; in a. NULL: out of memory. */
const char *notice_portal_url(const struct config_tenant *t, const char *alert_id, struct arena *a);
/** The colour of a kind, by its name; that of an alert for a name nobody knows. */
const char *notice_colour(const char *kind);
/* From this urgency on a person should look now. */
#define NOTICE_URGENT 4
/** How much a kind needs a person: greater is more. */
int notice_urgency(const char *kind);
/** Does it ask whether an isolation is still right? kind: its name. */
bool notice_is_review(const char *kind);

#endif
