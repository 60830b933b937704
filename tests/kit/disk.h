/* disk.h - a disk that fails when told to, and knows what a power cut would leave on it.
 *
 * A layer (VFS) between SQLite and the files; from disk_install on every database of the test program
 * is opened through it. It sees the calls for the database file and for its write-ahead log.
 *
 *     disk_install();
 *     disk_fail(DISK_SYNC, DISK_LOG, DISK_BROKEN, 0);     from now on every sync of the log fails
 *     … db_write() …                                      ERR_IO
 *     disk_mend();
 *
 * The mirror: a second folder that gets what was written only when it was synced, as a real disk does
 * behind the kernel's cache. After a failed sync it never gets what that sync was to bring, although the
 * next sync succeeds: the kernel has taken those pages for clean. disk_cut stops the mirror for good
 * and leaves a random half of what was not synced; opening the database there is starting after a power cut.
 *
 * One disk per program. Any thread.
 */
#ifndef KIT_DISK_H
#define KIT_DISK_H

#include <stdbool.h>
#include <stdint.h>

enum disk_file { DISK_DATABASE, DISK_LOG, DISK_FILES };
enum disk_call { DISK_WRITE, DISK_SYNC, DISK_CALLS };
enum disk_fault { DISK_FULL, DISK_BROKEN }; /* "no space left on device", an input/output error */

/** Once, before any database is opened. Later calls do nothing. */
void disk_install(void);

/** From now on, after `first` more that work, these calls fail until disk_mend. One at a time. */
void disk_fail(enum disk_call call, enum disk_file file, enum disk_fault fault, int first);
void disk_mend(void);
/** Calls that were made to fail since the last disk_fail. */
int64_t disk_failures(void);

/** Calls that worked, since the start. */
int64_t disk_count(enum disk_call call, enum disk_file file);
/** Is something written to the log that was not synced (in vain or not at all)? */
bool disk_log_is_dirty(void);

/** Starts a mirror in folder `to` of the files in folder `from`, none of which exist yet. */
void disk_mirror(const char *from, const char *to);
/** Power cut: the mirror stays as it is. seed: which of the unsynced writes it got. */
void disk_cut(unsigned seed);
/** Forgets about the mirror. */
void disk_mirror_end(void);

/** Runs SQL on the database at path as another program would. "" or SQLite's error (static, till the
 *  next call); out (may be NULL) gets the first column of the last row, at most size bytes. */
const char *disk_sql(const char *path, const char *sql, char *out, int size);
/** Another program takes the database's write lock, and gives it back. */
void *disk_lock(const char *path);
void disk_unlock(void *lock);

#endif
