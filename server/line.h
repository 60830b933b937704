/* line.h - requests that stand in line for the disk, or for what must be fetched, and the one thread that serves them.
 *
 * An HTTP thread must not wait for the store, or a slow disk would hold up pushes: what has to be read or
 * written for an answer is done here, one request after the other, while the connection is suspended. The line
 * is bounded.
 */
#ifndef CORDON_LINE_H
#define CORDON_LINE_H

#include "auto.h"
#include "err.h"
#include "http.h"

struct line;

/** serve: answers one request, in the line's own thread; ctx is passed on. max: how many may wait. */
enum err_code line_new(void (*serve)(struct http_request *r, void *ctx), void *ctx, unsigned max,
                       struct line **ret, struct err *e);
/** Serves those that wait, then ends. NULL is fine. */
void line_free(struct line *l);
AUTO_FREEP(struct line, line)

/** From a handler's body(): defers r and puts it in line. False: it is deferred, and there is no room or
 *  memory for it; the caller answers. */
bool line_put(struct line *l, struct http_request *r);

#endif
