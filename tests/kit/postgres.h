/* postgres.h - a PostgreSQL of the test program's own: Debian's, in a folder under /tmp, reached by a
 * socket in it, ended with the program however that ends. One per program, started by the first who asks.
 *
 *     if (!postgres_start(NULL))
 *         skip();
 *     char url[POSTGRES_URL_MAX];
 *     postgres_url(url);                          a database of its own, by a schema of its own
 *     …
 *     postgres_stop();                            in the program's main, at its end
 *
 * fsync is off: what a crash of the whole machine would take is not what is tested with it.
 */
#ifndef KIT_POSTGRES_H
#define KIT_POSTGRES_H

#include <stdbool.h>
#include <sys/types.h>

#define POSTGRES_URL_MAX 300

struct postgres_options {
    bool tcp;                    /* on a port of 127.0.0.1, too: for what can be cut */
    const char *net_namespace;   /* it lives there, on all its addresses (cable.h); NULL: here */
    const char *const *settings; /* "name=value", NULL-terminated; may be NULL */
};

/** False: it is not installed (tests/deps-postgres); says so. What else goes wrong fails the test. */
bool postgres_start(const struct postgres_options *o);
void postgres_stop(void);
/** Ends it at once, as a power cut would, and starts it again on the same files and addresses. */
void postgres_restart(void);
/** The url of a new, empty schema. Returns out. */
char *postgres_url(char out[POSTGRES_URL_MAX]);
/** Its port on 127.0.0.1; 0 without .tcp. */
int postgres_port(void);
/** Runs SQL on a connection of its own, as its superuser; returns the first cell of the last answer (heap),
 *  NULL when there is none. What fails, fails the test. */
char *postgres_sql(const char *sql);

#endif
