/* preview.h - the mail of a case: as it was made, or as it would be made now. */
#ifndef CORDON_PREVIEW_H
#define CORDON_PREVIEW_H

#include "buf.h"
#include "engine.h"

/**
 * Writes {"case", "kind", "state", "from", "to", "subject", "text", "html", …}: the last notice of the case with the
 * digest that told of it or, when there is none yet, what a mail would say now (state "preview"). A link by which its
 * reader alone may answer a question is blotted out; such a mail is shown without its bytes ("message"). Writes nothing
 * to the store. ERR_NOT_FOUND: there is no such case; ERR_CONFLICT: nobody to write to, or nothing was judged yet that a
 * mail could tell. Threads: any that may wait for the store.
 */
enum err_code preview_case(struct engine *g, int64_t id, struct buf *out, struct err *e);

#endif
