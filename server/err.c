/* err.c - see err.h. Fixed buffers: reporting "out of memory" must not need memory. */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

static const char *const names[ERR_CODES] = {
    [ERR_OK] = "ok",
    [ERR_INVALID] = "invalid",
    [ERR_DENIED] = "denied",
    [ERR_FORBIDDEN] = "forbidden",
    [ERR_NOT_FOUND] = "not_found",
    [ERR_CONFLICT] = "conflict",
    [ERR_STALE] = "stale",
    [ERR_TOO_BIG] = "too_big",
    [ERR_REFUSED] = "refused",
    [ERR_AGAIN] = "again",
    [ERR_THROTTLED] = "throttled",
    [ERR_TIMEOUT] = "timeout",
    [ERR_UNKNOWN] = "unknown_result",
    [ERR_IO] = "io",
    [ERR_NOMEM] = "no_memory",
    [ERR_STOPPING] = "stopping",
};

const char *err_name(enum err_code code)
{
    return (unsigned)code < ERR_CODES ? names[code] : "?";
}

/* A text of the peer's stands in it, whatever its bytes, and perhaps cut by a %.120s: it is stored and shown. */
static void mend(char *text)
{
    utf8_end_whole(text);
    utf8_mend(text);
}

enum err_code err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    if (e) {
        va_list ap;

        e->code = code;
        e->retry_ms = 0;
        va_start(ap, fmt);
        (void)vsnprintf(e->text, sizeof e->text, fmt, ap); /* cutting is the documented behaviour */
        va_end(ap);
        mend(e->text);
    }
    return code;
}

enum err_code err_in(struct err *e, const char *fmt, ...)
{
    char where[ERR_TEXT_SIZE + 2];
    va_list ap;
    size_t len;

    if (!e)
        return ERR_INVALID; /* the caller kept no code: it may not use this one either */
    if (e->code == ERR_OK)
        return ERR_OK;
    va_start(ap, fmt);
    (void)vsnprintf(where, sizeof e->text, fmt, ap); /* may read e->text, which moves only below */
    va_end(ap);
    mend(where);
    len = strlen(where);
    memcpy(where + len, ": ", 2);
    len = len + 2 < sizeof e->text ? len + 2 : sizeof e->text - 1;
    memmove(e->text + len, e->text, sizeof e->text - len);
    memcpy(e->text, where, len);
    e->text[sizeof e->text - 1] = '\0';
    utf8_end_whole(e->text);
    return e->code;
}
