/* log.h - one event, one line on stderr: JSON by default, `--log-format text` for people.
 *
 *     log_event(LOG_INFO, "accepted", LOG_STR("source", s->name), LOG_ID("case", id));
 *     {"time":"2026-01-01T00:00:00.000Z","level":"info","event":"accepted","source":"relay","case":"01h…"}
 *
 * The process has one log, so this is the one room with a state of its own. Never a secret, a token
 * or a signature, at any level: nothing that came in an Authorization header, a secret file or a
 * query string may be passed here. Any thread; a line is one write(2), so lines never mix. Where nobody takes them
 * lines are lost after some seconds, and counted in a line `log_lost` when they are taken again: nothing waits for a log.
 */
#ifndef CORDON_LOG_H
#define CORDON_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVELS };

struct log_field {
    const char *name;
    enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_ID, LOG_FIELD_BOOL } type;
    const char *text; /* NULL: the field is left out */
    int64_t number;   /* LOG_FIELD_ID: 0 leaves it out */
};

#define LOG_STR(n, v)  ((struct log_field){.name = (n), .type = LOG_FIELD_STR, .text = (v)})
#define LOG_INT(n, v)  ((struct log_field){.name = (n), .type = LOG_FIELD_INT, .number = (v)})
#define LOG_ID(n, v)   ((struct log_field){.name = (n), .type = LOG_FIELD_ID, .number = (v)})
#define LOG_BOOL(n, v) ((struct log_field){.name = (n), .type = LOG_FIELD_BOOL, .number = (v)})
/* The code's name and the sentence of an error, as fields "code" and "why". */
#define LOG_ERR(e) LOG_STR("code", err_name((e)->code)), LOG_STR("why", (e)->text)

#define log_event(level, event, ...)                                                               \
    log_fields((level), (event), (const struct log_field[]){{0}, ##__VA_ARGS__},                   \
               sizeof((const struct log_field[]){{0}, ##__VA_ARGS__}) / sizeof(struct log_field))

/** Use log_event. fields[0] is a filler, so that an event without fields is possible. */
void log_fields(enum log_level level, const char *event, const struct log_field *fields, size_t n);

/**
 * From log_gather on the lines of the calling thread are kept, some 4 KiB of them, and written together,
 * at the latest by log_release. What they tell of must be safe already: a crash loses those that
 * wait. Nothing that blocks may stand between the two, but for rest_wait, which begins with log_release: so a request
 * leaves before the lines about it are written.
 */
void log_gather(void);
void log_release(void);

/** Sets the lowest level that is written, and the format. Call before threads start. */
void log_setup(enum log_level level, bool text);
/** "error", "warn", "info", "debug"; ERR_INVALID otherwise. */
enum err_code log_level_parse(const char *name, enum log_level *ret, struct err *e);

/**
 * Diverts lines (without the newline) to fn instead of stderr (tests: fail on a warning nobody
 * announced). NULL undoes. fn is called by one thread at a time and must not log.
 */
void log_divert(void (*fn)(enum log_level level, const char *line, void *ctx), void *ctx);

#endif
