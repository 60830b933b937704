/* sdnotify.h - tells the service manager how far we are: one datagram to $NOTIFY_SOCKET.
 *
 * sd_notify(3): newline-separated assignments ("READY=1", "STOPPING=1", "RELOADING=1"). Without the
 * variable nothing happens.
 */
#ifndef CORDON_SDNOTIFY_H
#define CORDON_SDNOTIFY_H

#include "err.h"

/** socket: value of $NOTIFY_SOCKET, NULL: none. ERR_OK also when there is none. */
enum err_code sdnotify(const char *socket, const char *state, struct err *e);
/** The same to $NOTIFY_SOCKET; that it failed is a line of the log. */
void sdnotify_tell(const char *state);

#endif
