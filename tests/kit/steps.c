/* steps.c - see steps.h. */
#include "kit/steps.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stddef.h>

#define GRAIN 100

static _Atomic int64_t grains;

static int count(void *unused)
{
    (void)unused;
    atomic_fetch_add(&grains, 1);
    return 0;
}

static int on_open(sqlite3 *db, char **ret_why, const struct sqlite3_api_routines *unused)
{
    (void)ret_why;
    (void)unused;
    sqlite3_progress_handler(db, GRAIN, count, NULL);
    return SQLITE_OK;
}

/* https://sqlite.org/c3ref/auto_extension.html: the type says nothing of the arguments, which are on_open's. */
void steps_watch(void)
{
    (void)sqlite3_auto_extension((void (*)(void))on_open);
}

void steps_unwatch(void)
{
    (void)sqlite3_cancel_auto_extension((void (*)(void))on_open);
}

int64_t steps_taken(void)
{
    return atomic_load(&grains) * GRAIN;
}
