/* mime_read.h - reads back what mime_build wrote: one part of a stored message, as people see it. */
#ifndef CORDON_MIME_READ_H
#define CORDON_MIME_READ_H

#include "buf.h"
#include "err.h"

/**
 * Appends the decoded part of a type ("text/plain", "text/html"), with LF line ends. Only for messages of mime_build: no
 * mail of anybody else's comes here. ERR_NOT_FOUND: it has no such part; ERR_INVALID: it was not written by us.
 */
enum err_code mime_part(const char *message, const char *type, struct buf *out, struct err *e);

#endif
