/* watch.h - the files that something was read from: has one of them changed since?
 *
 * Secrets, certificates and the configuration are replaced by others than cordon: an editor, a cron job,
 * a container platform that swings a symbolic link. What a file was is noted when it is read, from the
 * open descriptor; watch_look compares that with what stands under the same path now, links followed.
 *
 *     watch_new, any number of watch_note (as files are read), then watch_look every WATCH_EVERY_MS;
 *     when it names a file: read everything anew with another watch, watch_take_over, watch_free the old.
 */
#ifndef CORDON_WATCH_H
#define CORDON_WATCH_H

#include <sys/stat.h>

#include "auto.h"
#include "err.h"

/* How often watch_look is to be called. A change takes effect after two to three of these. */
#define WATCH_EVERY_MS 500

struct watch;

/** Of no file yet. ERR_NOMEM. */
enum err_code watch_new(struct watch **ret, struct err *e);
void watch_free(struct watch *w);
AUTO_FREEP(struct watch, watch)

/** Notes a file as it was when it was read; st NULL: it was not there. Only the first note of a path counts.
 *  What is no regular file is passed over: it cannot be read twice. w NULL is fine. Without memory the
 *  file is not watched. */
void watch_note(struct watch *w, const char *path, const struct stat *st);

/** Notes the files of old that w does not know, as they were last seen: after a reading that failed, what
 *  the configuration in force stands on is watched as well as what the new one wants. */
void watch_take_over(struct watch *w, const struct watch *old);

/**
 * The path of a file that is another than the one noted, once nothing has changed any more since the last
 * look (a pair that is replaced one file after the other is read when both are there), or at the latest
 * after ten looks; else NULL. Borrowed from w. One thread.
 */
const char *watch_look(struct watch *w);

#endif
