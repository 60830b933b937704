/* handover.h - listening sockets that the service manager opened and hands over (systemd socket activation).
 *
 * The manager keeps them while this process is stopped and another one starts: connections of that moment
 * wait in the kernel's queue, and no sender is turned away. Only one process can serve a store of SQLite, so
 * the old one must have ended before the new one begins: it is the socket that bridges the gap.
 */
#ifndef CORDON_HANDOVER_H
#define CORDON_HANDOVER_H

#include "err.h"

struct handover {
    int listen, admin; /* descriptors; 0: none was handed over */
};

/**
 * Takes what $LISTEN_FDS announces, if $LISTEN_PID says that it is for this process, and removes these
 * variables. By $LISTEN_FDNAMES ("listen", "admin"); without names the first socket is for `listen`, the
 * second for `admin`. The descriptors become close-on-exec and belong to the caller.
 * Returns ERR_INVALID for a name or a descriptor that has no use here: started like this, somebody expects
 * to be heard where nobody would listen. Before any thread is started.
 * Spec: sd_listen_fds(3).
 */
enum err_code handover_take(struct handover *ret, struct err *e);

#endif
