/* db_list.h - the engines. DB_DRIVER(x) means: a server/db_*.c defines `const struct db_driver
 * db_driver_x`, and its scheme is what stands before the first ':' of store.url. */
DB_DRIVER(sqlite)
DB_DRIVER(postgresql)
