/* tuning.h - how the simulator is told to behave: what POST /sim/config takes and GET shows.
 *
 * One table (tuning.c, keys[]) reads, checks and writes; README.md explains each key. Read and changed
 * in the loop's thread; the SMTP sink gets a copy of its part as text.
 */
#ifndef SIM_TUNING_H
#define SIM_TUNING_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "json.h"

enum duplicate_mode { DUPLICATE_ERROR400, DUPLICATE_EXISTING201, DUPLICATE_SECOND201 };
enum scope_mode { SCOPE_NULL, SCOPE_ECHO, SCOPE_RANDOM };
enum idle_mode { IDLE_SUCCEEDED, IDLE_FAILED };
enum casing_mode { CASING_USUAL, CASING_LOWER, CASING_UPPER, CASING_MIXED };

struct tuning {
    int64_t delay_ms, delay_jitter_ms;
    bool delay_exact;
    struct {
        int64_t lifetime_s;
        bool numbers_as_text, no_roles;
        int64_t error; /* an AADSTS number; 0: none */
    } token;
    struct {
        int64_t duplicate;            /* enum duplicate_mode, section 4.7 rule 2 */
        int64_t in_progress_after_ms; /* rule 1; simulator's time */
        int64_t done_after_ms;
        int64_t listed_after_ms; /* until then only a GET by its id finds a new action */
        int64_t outcome;         /* enum outcome, world.h */
        int64_t error_hresult;
        int64_t offline_timeout_ms;
        int64_t unisolate_idle; /* enum idle_mode, rule 4 */
        int64_t scope;          /* enum scope_mode, rule 6 */
        int64_t success_status;
    } actions;
    struct {
        int64_t per_minute, per_hour; /* 0: none; section 7.4 */
        bool retry_after, long_message, extend;
    } limits;
    struct {
        int64_t page_max;
        char *next_link_host;
        bool empty_machines_404;
    } lists;
    struct {
        char *mailboxes;    /* those that there are, blanks between; NULL: any */
        char *reject;       /* addresses that it takes for none, blanks between */
        int64_t per_minute; /* mails; 0: no limit; section 9.1: 30 */
    } graph;
    struct {
        int64_t casing;   /* how an answer's names are written: enum casing_mode */
        bool annotations; /* "…@odata.type" beside the columns */
    } hunting;
    int64_t timestamp_digits; /* 0 to 7; -1: random (trap 15) */
    int64_t max_url;          /* bytes of path and query; longer: 414 */
    char *smtp;               /* the object's JSON text, all keys */
};

/** The defaults of README.md. */
void tuning_init(struct tuning *t);
void tuning_clear(struct tuning *t);
/** Changes what object names; nothing when it is at fault. ERR_INVALID names the key. */
enum err_code tuning_read(struct tuning *t, const struct json *object, struct err *e);
void tuning_write(struct json_out *out, const struct tuning *t);

#endif
