/* metrics.c - see metrics.h. Each pair of label values is a node of a list that only grows, so readers
 * need no lock: a counter is found by a short walk and added to atomically. */
#include "metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const struct metric_info table[METRICS] = {
    [METRIC_DELIVERIES] =
        {"cordon_deliveries_total",
         "counter",
         {"source", "outcome"},
         "requests of senders by what became of them",
         "denied: compare the sender's secret or token with the source's; unavailable: "
         "look at the store and at the keys of Entra; throttled: see cordon_throttled_total; "
         "other_body: the sender used a delivery id again for something else, which was not "
         "looked at: mend the sender"},
    [METRIC_CASES_MADE] = {"cordon_cases_made_total",
                           "counter",
                           {"tenant"},
                           "alerts that were pushed for the first time",
                           "no increase for long: is the flow or Function still switched on?"},
    [METRIC_STATUS_POLLS] =
        {"cordon_status_polls_total",
         "counter",
         {"outcome"},
         "requests for the outcome of a delivery (reply: status) by what was answered",
         "unknown: links that expired, or somebody guesses; unavailable: look at the store"},
    [METRIC_VERDICTS] = {"cordon_verdicts_total",
                         "counter",
                         {"rule", "doubt"},
                         "verdicts by rule, and whether something could not be judged",
                         "doubt: `cordon cases show` names the field; a person has to decide"},
    [METRIC_DEFENDER_CALLS] =
        {"cordon_case_reads_total",
         "counter",
         {"tenant", "outcome"},
         "reads of alert and machine from Defender by outcome",
         "forbidden, denied or refused: check the app registration's permissions "
         "and secret; throttled: another program shares the registration's quota"},
    [METRIC_ISOLATIONS_ENDED] =
        {"cordon_isolations_total",
         "counter",
         {"tenant", "state"},
         "isolations by the state they came to",
         "failed: `cordon isolations list` says why; the machine is not isolated, or nobody knows"},
    [METRIC_QUESTIONS] =
        {"cordon_questions_total",
         "counter",
         {"kind", "outcome"},
         "questions to people by what they are about (step, canary, storm, limit, failure) and what "
         "became of them",
         "expired: nobody answered, and the machines are not isolated: who reads those mails?"},
    [METRIC_OPEN_QUESTIONS] =
        {"cordon_questions_open",
         "gauge",
         {NULL},
         "questions that wait for a person",
         "above 0: `cordon approve` or `refuse`; the console and the mails name them"},
    [METRIC_MAILS] = {"cordon_mails_total",
                      "counter",
                      {"fate"},
                      "attempts to hand a mail to the server, by recipient",
                      "retry or refused: look at the log lines `mail` and at mail.server"},
    [METRIC_POSTS] = {"cordon_posts_total",
                      "counter",
                      {"webhook", "fate"},
                      "attempts to post to a webhook",
                      "retry: look at the log lines `post`, and at `cordon doctor`"},
    [METRIC_SILENCED] = {"cordon_silenced_total",
                         "counter",
                         {NULL},
                         "notices that a silence withheld",
                         "more than expected: `cordon silences list`, and end what is too broad"},
    [METRIC_THROTTLED] =
        {"cordon_throttled_total",
         "counter",
         {"rate"},
         "requests that were answered 429, by the rate that was used up: of the client or the source",
         "client: the log line `throttled` names the address, to be stopped in front of cordon; "
         "source: raise its rate if it may push that much"},
    [METRIC_FORGOTTEN] = {"cordon_forgotten_total",
                          "counter",
                          {"what"},
                          "rows that were older than they are kept",
                          "for rates only; `retention` says how long cases are kept"},
    [METRIC_CASES] = {"cordon_cases",
                      "gauge",
                      {"state"},
                      "cases by state",
                      "failed: `cordon cases list --state failed`"},
    [METRIC_ISOLATIONS] = {"cordon_isolations",
                           "gauge",
                           {"state"},
                           "isolations in the ledger by state",
                           "pending for long: the machine is offline"},
    [METRIC_PAUSED] = {"cordon_paused",
                       "gauge",
                       {NULL},
                       "1 while the kill switch is thrown: no new isolation is asked for",
                       "1: /readyz says by whom and why; `cordon resume`, or remove the file"},
    [METRIC_SILENCES] =
        {"cordon_silences",
         "gauge",
         {"state"},
         "silences that are not over: proposed (waits for a second person) or active",
         "proposed above 0: `cordon silences approve ID`, or `end ID`"},
    [METRIC_WORK] = {"cordon_work",
                     "gauge",
                     {"kind"},
                     "things to be done, now or at their time",
                     "grows without end: Defender, the mail server or the quota holds it up"},
    [METRIC_WORKERS_BUSY] = {"cordon_workers_busy",
                             "gauge",
                             {NULL},
                             "worker threads at work",
                             "always all of them: a far end is slow"},
    [METRIC_STORE_QUEUE] = {"cordon_store_queue",
                            "gauge",
                            {NULL},
                            "transactions that wait for the disk",
                            "grows: the disk is too slow; senders get 503 when it is full"},
    [METRIC_STORE_COMMITS] =
        {"cordon_store_commits_total", "counter", {NULL}, "commits of the store", "for rates only"},
    [METRIC_STORE_FAILURES] = {"cordon_store_failures_total",
                               "counter",
                               {NULL},
                               "commits that failed",
                               "any: look at the disk; /readyz says what it was"},
    [METRIC_STORE_BYTES] = {"cordon_store_bytes",
                            "gauge",
                            {NULL},
                            "size of the store's files",
                            "compare with the room on its disk; they never shrink, what was given "
                            "up in them is used again"},
    [METRIC_STORE_USED] = {"cordon_store_used_bytes",
                           "gauge",
                           {NULL},
                           "of the store's files, what is in use",
                           "near cordon_limit{of=\"store_used_bytes\"}: senders will get 503; give "
                           "store.max_size more, or retention less"},
    [METRIC_OLDEST_CASE] = {"cordon_oldest_case_seconds",
                            "gauge",
                            {NULL},
                            "age of the oldest case on record",
                            "far beyond cordon_limit{of=\"oldest_case_seconds\"}: a case or an "
                            "isolation of then is still open"},
    [METRIC_LIMIT] = {"cordon_limit",
                      "gauge",
                      {"of"},
                      "what the metric of this name may come to; 0: no limit",
                      "compare: at the limit senders get 503, or wait to be let in"},
    [METRIC_MEMORY] = {"cordon_memory_bytes",
                       "gauge",
                       {NULL},
                       "memory that the process holds",
                       "grows for days without more traffic: restart it, and tell us"},
    [METRIC_CONNECTIONS] = {"cordon_connections",
                            "gauge",
                            {"side"},
                            "open connections",
                            "at the limit: a peer holds connections open"},
    [METRIC_BODIES] =
        {"cordon_body_bytes",
         "gauge",
         {"side"},
         "memory that the bodies of requests under way take",
         "at the limit: larger bodies are answered 503; somebody pushes many of them at once"},
    [METRIC_CERTIFICATE_END] = {"cordon_certificate_end_time_seconds",
                                "gauge",
                                {NULL},
                                "when the certificate that senders are shown ends",
                                "soon or over: put another in its file's place; no restart is "
                                "needed"},
    [METRIC_QUOTA_USED] =
        {"cordon_quota_used",
         "gauge",
         {"tenant", "window"},
         "calls to Defender in the last minute and hour",
         "at the limit: cases wait; Defender allows 100 a minute and 1,500 an hour"},
    [METRIC_SOURCE_SILENCE] =
        {"cordon_source_silence_seconds",
         "gauge",
         {"source"},
         "how long ago a source was heard, to the minute",
         "much longer than usual: is the flow or Function still switched on? `heartbeat` "
         "of the source mails it"},
    [METRIC_POLLS] =
        {"cordon_polls_total",
         "counter",
         {"tenant", "outcome"},
         "questions to Defender for new alerts, by outcome",
         "forbidden or denied: check the app registration; throttled: the quota is used"},
    [METRIC_RECONCILED] =
        {"cordon_reconciled_total",
         "counter",
         {"tenant", "outcome"},
         "reads of Defender's list of isolations and releases, by outcome; and what others did that "
         "came into the ledger: adopted, released",
         "forbidden or denied: check the app registration; adopted: who else isolates?"},
    [METRIC_POLLING_LAG] = {"cordon_polling_lag_seconds",
                            "gauge",
                            {"tenant"},
                            "how long ago polling last read all that was new",
                            "much more than `polling.every`: /readyz says what is wrong"},
    [METRIC_WAY_FAILING] =
        {"cordon_way_failing_seconds",
         "gauge",
         {"way"},
         "for how long a way out of notices has been failing; 0: it works",
         "more than `mail.fallback.after`: notices take the next way, or wait; /readyz says what is "
         "wrong"},
    [METRIC_HUNTS] = {"cordon_hunts_total",
                      "counter",
                      {"hunt", "outcome"},
                      "runs of hunts by outcome",
                      "refused: the query has a fault; forbidden: the permission is missing; "
                      "throttled: the quota of hunting is used up; `cordon hunt list` says more"},
    [METRIC_HUNT_ROWS] = {"cordon_hunt_rows_total",
                          "counter",
                          {"hunt"},
                          "new rows that a hunt found",
                          "many: should its query find less?"},
    [METRIC_HUNT_LAG] = {"cordon_hunt_lag_seconds",
                         "gauge",
                         {"hunt"},
                         "how long ago a hunt last ran well",
                         "much more than between two of its times: /readyz says what is wrong"},
    [METRIC_HEALTHY] = {"cordon_healthy",
                        "gauge",
                        {"part"},
                        "1 when the part worked when last used",
                        "0: /readyz says what is wrong with it"},
    [METRIC_BUILD] = {"cordon_build_info", "gauge", {"version"}, "always 1", "for joins"},
    [METRIC_START] = {"cordon_start_time_seconds",
                      "gauge",
                      {NULL},
                      "when this process started",
                      "young again and again: it is being restarted"},
};

struct counter {
    struct counter *_Atomic next;
    _Atomic int64_t value;
    char *a, *b;
};

struct metrics {
    struct counter *_Atomic lists[METRICS];
    pthread_mutex_t lock; /* of growing */
};

const struct metric_info *metrics_table(void)
{
    return table;
}

enum err_code metrics_new(struct metrics **ret, struct err *e)
{
    struct metrics *m = calloc(1, sizeof *m);

    if (!m)
        return err_set(e, ERR_NOMEM, "metrics");
    (void)pthread_mutex_init(&m->lock, NULL);
    *ret = m;
    return ERR_OK;
}

static void counter_free(struct counter *c)
{
    if (!c)
        return;
    free(c->a);
    free(c->b);
    free(c);
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    for (int i = 0; i < METRICS; i++)
        for (struct counter *c = m->lists[i], *next; c; c = next) {
            next = c->next;
            counter_free(c);
        }
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static struct counter *find(struct counter *list, const char *a, const char *b)
{
    for (struct counter *c = list; c; c = c->next)
        if (strcmp(c->a, a) == 0 && strcmp(c->b, b) == 0)
            return c;
    return NULL;
}

static struct counter *grow(struct metrics *m, enum metric which, const char *a, const char *b)
{
    struct counter *c;

    pthread_mutex_lock(&m->lock);
    c = find(m->lists[which], a, b); /* another thread may have been first */
    if (!c && (c = calloc(1, sizeof *c)) != NULL) {
        c->a = strdup(a);
        c->b = strdup(b);
        if (c->a && c->b) {
            c->next = m->lists[which];
            m->lists[which] = c;
        } else {
            counter_free(c);
            c = NULL;
        }
    }
    pthread_mutex_unlock(&m->lock);
    return c;
}

void metrics_add(struct metrics *m, enum metric which, int64_t n, const char *a, const char *b)
{
    struct counter *c;

    if (!m)
        return;
    a = a ? a : "";
    b = b ? b : "";
    c = find(m->lists[which], a, b);
    if (!c)
        c = grow(m, which, a, b);
    if (c) /* out of memory: a count is lost, nothing else */
        atomic_fetch_add_explicit(&c->value, n, memory_order_relaxed);
}

void metrics_each(struct metrics *m, enum metric which,
                  void (*each)(void *ctx, const char *a, const char *b, int64_t value), void *ctx)
{
    if (!m)
        return;
    for (struct counter *c = m->lists[which]; c; c = c->next)
        each(ctx, c->a, c->b, atomic_load_explicit(&c->value, memory_order_relaxed));
}

/* A label value: backslash, quote and line end are escaped (Prometheus text format 0.0.4). */
static void write_label(struct buf *out, const char *name, const char *value)
{
    buf_addf(out, "%s=\"", name);
    for (const char *p = value; *p; p++) {
        if (*p == '\\' || *p == '"')
            buf_addc(out, '\\');
        if (*p == '\n')
            buf_adds(out, "\\n");
        else
            buf_addc(out, *p);
    }
    buf_addc(out, '"');
}

static void write_value(struct buf *out, const struct metric_info *info, const char *a,
                        const char *b, int64_t value)
{
    buf_adds(out, info->name);
    if (info->labels[0]) {
        buf_addc(out, '{');
        write_label(out, info->labels[0], a ? a : "");
        if (info->labels[1]) {
            buf_addc(out, ',');
            write_label(out, info->labels[1], b ? b : "");
        }
        buf_addc(out, '}');
    }
    buf_addf(out, " %lld\n", (long long)value);
}

static void write_head(struct buf *out, const struct metric_info *info)
{
    buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", info->name, info->meaning, info->name,
             info->type);
}

void metrics_write(struct metrics *m, struct buf *out)
{
    for (int i = 0; i < METRICS; i++) {
        if (!m->lists[i])
            continue;
        write_head(out, &table[i]);
        for (struct counter *c = m->lists[i]; c; c = c->next)
            write_value(out, &table[i], c->a, c->b, c->value);
    }
}

void metrics_gauge(struct buf *out, enum metric which, int first, const char *a, const char *b,
                   int64_t value)
{
    if (first)
        write_head(out, &table[which]);
    write_value(out, &table[which], a, b, value);
}
