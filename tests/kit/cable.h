/* cable.h - a network of its own for a server of the test's: a namespace that is reached by cables, each of which can
 * be pulled out. What is under way then is lost on the way, and the connections do not know: unlike with cut.h, whose
 * proxy takes what is sent, the kernel itself sends again, gives up, or goes on when the cable is back.
 *
 * Needs root, or what comes to the same (CAP_NET_ADMIN, CAP_SYS_ADMIN), and ip (iproute2).
 */
#ifndef KIT_CABLE_H
#define KIT_CABLE_H

#include <stdbool.h>

#define CABLES_MAX 8

struct cables;

/** NULL: it may not be done here; says so. */
struct cables *cables_new(unsigned count);
/** What a child enters with setns() to live behind them: a file of the namespace. */
const char *cables_namespace(const struct cables *c);
/** The address behind cable i, "198.18.7.2". */
const char *cables_address(const struct cables *c, unsigned i);
void cables_pull(struct cables *c, unsigned i, bool out);
/** When nobody lives there any more. NULL is fine. */
void cables_free(struct cables *c);

#endif
