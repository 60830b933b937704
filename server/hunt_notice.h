/* hunt_notice.h - what people are told of a hunt: its new rows, or that it does not run.
 *
 * Both are notices about "hunt:NAME" and stored with their work, so that they survive a crash and a mail server that is
 * down. Rows hold what attackers chose: they are defanged and escaped in the mail, and defused in its CSV.
 */
#ifndef CORDON_HUNT_NOTICE_H
#define CORDON_HUNT_NOTICE_H

#include "engine.h"
#include "hunt_rows.h"

#define HUNT_ROWS_SHOWN    20
#define HUNT_COLUMNS_SHOWN 10
#define HUNT_CSV_MAX       ((size_t)256 * 1024) /* bytes; in base64 a third more, of the letter's 1 MiB */

struct hunt_news {
    const struct config_hunt *hunt;
    const struct hunt_answer *answer;
    const size_t *rows; /* that are told of */
    size_t n_rows;
    size_t n_fresh;      /* new rows in all */
    size_t n_cases;      /* cases that they made */
    const char *refused; /* why some could not become cases; NULL: all could, or none was to */
    bool cut;            /* Defender may have left rows out */
};

/** Inside a transaction: composes the mail and stores it with its work. Where there is nobody to write to it is a post to every
 *  webhook; where there is none either it logs so and returns ERR_OK. Kick the engine after the commit. */
enum err_code hunt_notice_put(struct db_tx *tx, struct engine *g, struct runtime *rt,
                              struct arena *arena, const struct hunt_news *n, int64_t now,
                              struct err *e);

/** Inside a transaction: it fails (why), or is well again (why NULL); said once a day, and once. */
enum err_code hunt_notice_state(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                struct arena *arena, const struct config_hunt *hunt,
                                const char *why, int64_t now, struct err *e);

/** Inside a transaction: its answer is as long as Defender gives out, and nothing else says so; once a day. */
enum err_code hunt_notice_cut(struct db_tx *tx, struct engine *g, struct runtime *rt,
                              struct arena *arena, const struct config_hunt *hunt, int64_t now,
                              struct err *e);

#endif
