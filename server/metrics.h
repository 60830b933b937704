/* metrics.h - what can be counted, as one table: name, labels, meaning, and what to do about it.
 *
 * Counters live here and are added to from any thread; gauges are asked for when somebody scrapes
 * (metrics_gauge). `cordon metrics` and the Prometheus text both come from the table.
 */
#ifndef CORDON_METRICS_H
#define CORDON_METRICS_H

#include <stdint.h>

#include "auto.h"
#include "buf.h"
#include "err.h"

enum metric {
    METRIC_DELIVERIES,
    METRIC_CASES_MADE,
    METRIC_STATUS_POLLS,
    METRIC_VERDICTS,
    METRIC_DEFENDER_CALLS,
    METRIC_ISOLATIONS_ENDED,
    METRIC_QUESTIONS,
    METRIC_MAILS,
    METRIC_POSTS,
    METRIC_SILENCED,
    METRIC_THROTTLED,
    METRIC_FORGOTTEN,
    METRIC_POLLS,
    METRIC_RECONCILED,
    /* gauges */
    METRIC_CASES,
    METRIC_ISOLATIONS,
    METRIC_OPEN_QUESTIONS,
    METRIC_PAUSED,
    METRIC_SILENCES,
    METRIC_WORK,
    METRIC_WORKERS_BUSY,
    METRIC_STORE_QUEUE,
    METRIC_STORE_COMMITS,
    METRIC_STORE_FAILURES,
    METRIC_STORE_BYTES,
    METRIC_STORE_USED,
    METRIC_OLDEST_CASE,
    METRIC_LIMIT,
    METRIC_MEMORY,
    METRIC_CONNECTIONS,
    METRIC_BODIES,
    METRIC_CERTIFICATE_END,
    METRIC_QUOTA_USED,
    METRIC_SOURCE_SILENCE,
    METRIC_POLLING_LAG,
    METRIC_WAY_FAILING,
    METRIC_HUNTS,
    METRIC_HUNT_ROWS,
    METRIC_HUNT_LAG,
    METRIC_HEALTHY,
    METRIC_BUILD,
    METRIC_START,
    METRICS
};

struct metric_info {
    const char *name;      /* "cordon_deliveries_total" */
    const char *type;      /* "counter" or "gauge" */
    const char *labels[3]; /* names, NULL-terminated */
    const char *meaning;
    const char *advice; /* what to do about it */
};

/** The table, METRICS rows; static storage. */
const struct metric_info *metrics_table(void);

struct metrics;

/** All counters at 0. ERR_NOMEM. */
enum err_code metrics_new(struct metrics **ret, struct err *e);
void metrics_free(struct metrics *m);
AUTO_FREEP(struct metrics, metrics)

/** Adds to a counter. a, b: values of its labels (NULL for labels it has not); from small sets, since
 *  each pair is kept for ever: never an id or an address. m NULL is fine. Any thread. */
void metrics_add(struct metrics *m, enum metric which, int64_t n, const char *a, const char *b);

/** Calls each with every value that a counter has had so far. Any thread. */
void metrics_each(struct metrics *m, enum metric which,
                  void (*each)(void *ctx, const char *a, const char *b, int64_t value), void *ctx);
/** Writes all counters as Prometheus text. */
void metrics_write(struct metrics *m, struct buf *out);
/** Writes one value of a gauge, with its HELP and TYPE lines when first is set. */
void metrics_gauge(struct buf *out, enum metric which, int first, const char *a, const char *b,
                   int64_t value);

#endif
