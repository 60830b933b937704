/* cut.h - a network that can be cut: a port on 127.0.0.1 whose connections lead to another one's, until the
 * test cuts it. What is under way then stays under way, unheard, as with a cable that is pulled out: no end, no
 * reset; and new connections are taken up and lead nowhere. Threads: one of its own; calls from any.
 */
#ifndef KIT_CUT_H
#define KIT_CUT_H

#include <stdbool.h>

struct cut;

struct cut *cut_new(int port);
int cut_port(const struct cut *c);
/** true: cuts it; false: heals it, and the connections that were cut are gone (a peer has given up by then). */
void cut_now(struct cut *c, bool cut);
void cut_free(struct cut *c);

#endif
