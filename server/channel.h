/* channel.h - whom a case is told besides by mail to those who judge it: webhooks, and the users' helpdesk.
 *
 * A step opens a channel for its case; from then on whatever the mails say of the case later is said there, too:
 * never "isolated" before Defender says so, and the end as a post of its own. A channel knows what it was told last
 * and is not told it twice. It is a thread: its notices leave in their order, whatever the mails do.
 */
#ifndef CORDON_CHANNEL_H
#define CORDON_CHANNEL_H

#include "notice.h"
#include "post.h"

/** Inside a transaction: the notice of a step that names n->webhook, or is for the helpdesk (n->desk, to n->to). After
 *  a post people know this much of the case, where they knew nothing yet. */
enum err_code channel_step(struct db_tx *tx, struct engine *g, struct runtime *rt,
                           struct arena *arena, const struct notice *n, int64_t now, struct err *e);

/**
 * Inside a transaction: says n to every channel of its case. *ret_posted: a webhook is among them, so that people know it by
 * a post. *ret_enough: that is so, nobody was mailed of the case, and the news is not bad, so that nobody need be now.
 */
enum err_code channels_tell(struct db_tx *tx, struct engine *g, struct runtime *rt,
                            struct arena *arena, const struct notice *n, int64_t now,
                            bool *ret_posted, bool *ret_enough, struct err *e);

/** Inside a transaction: says n, which no webhook of its case's hears and nobody can be mailed, to every webhook of the
 *  configuration that does not know it; first: to those alone that were told nothing of the case. n: with its facts.
 *  *ret_posted: there is one that has got it, or may yet: what it did not take is not posted to it again. */
enum err_code channels_instead(struct db_tx *tx, struct engine *g, struct runtime *rt,
                               struct arena *arena, const struct notice *n, bool first, int64_t now,
                               bool *ret_posted, struct err *e);

/** Inside a transaction: posts p, which is about no one case ("question:…"), to every webhook of the configuration. p: all but
 *  its id and time. */
enum err_code channels_announce(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                const char *about, const struct post *p, int64_t now,
                                struct err *e);

/** The same as channels_tell for how an isolation ended when the mails said it already: only channels that were told of it and
 *  not of its end; only: none but this one, by its name in the store, and of the helpdesk those of n->to; NULL: all.
 *  n->facts may be NULL, they are read then. */
enum err_code channels_settle(struct db_tx *tx, struct engine *g, struct runtime *rt,
                              struct arena *arena, const struct notice *n, const char *only,
                              int64_t now, struct err *e);

#endif
