/* helpdesk.h - the mail for the helpdesk of the machine's user: which machine, what was done, what to tell the
 * user, whom to call. Nothing of the alert: neither its title nor its severity, and no word of an attacker's but
 * the machine's name, which is made harmless. */
#ifndef CORDON_HELPDESK_H
#define CORDON_HELPDESK_H

#include "notice.h"

/* The channel of its notices: store_notices.h. */
#define HELPDESK_CHANNEL "desk"

/** Is this news for a helpdesk? Only what happens to the machine is. told: it has heard of the machine before; the
 *  machine being let alone is news only then. */
bool helpdesk_cares(enum notice_kind kind, bool told);

/** Why no helpdesk can be told, when a step names n_to addresses (its own, or mail.desk's); NULL: one can. Static. */
const char *helpdesk_nobody(const struct runtime *rt, size_t n_to);

/** Inside a transaction: composes the mail and stores it with its work. n: with what is beside it. first, last: of its
 *  thread, or 0. Without mail configured or anybody to write to it logs so. */
enum err_code helpdesk_put(struct db_tx *tx, struct engine *g, struct runtime *rt,
                           struct arena *arena, const struct notice *n, const char *const *to,
                           size_t n_to, int64_t first, int64_t last, int64_t now, struct err *e);

#endif
