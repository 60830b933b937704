/* db_sqlite_log.h - a VFS that gathers what SQLite writes to its write-ahead log.
 *
 * SQLite writes each page of a commit with two calls, 24 bytes and 4,096, one after the other. A group
 * commit of thirty deliveries is some forty pages, and the eighty calls cost more than its sync. Here they
 * are put together in memory and written with one call when the log is synced, which SQLite does at the
 * end of every commit (synchronous=FULL) and before any other connection may look at the pages.
 *
 * Part of the SQLite driver: for db_sqlite.c and its tests.
 */
#ifndef CORDON_DB_SQLITE_LOG_H
#define CORDON_DB_SQLITE_LOG_H

#include "err.h"

/** Makes the VFS known to SQLite (once per process; later calls do nothing) and returns its name for
 *  sqlite3_open_v2; NULL without memory. For connections that write with synchronous=FULL, and no others.
 *  Any thread. */
const char *db_sqlite_log_vfs(void);

#endif
