/* odata.h - the query options of section 2.4: read, then asked of entities.
 *
 * What a query may say is what the reference lists; all else is a fault, as at Defender (400
 * `ODataError`), so that a client's mistake shows here and not first in production.
 *   filter   := or ; or := and {"or" and} ; and := unary {"and" unary}
 *   unary    := "not" unary | "(" or ")" | "startswith" "(" property "," string ")"
 *             | property ("eq"|"ne"|"gt"|"ge"|"lt"|"le") literal | property "in" "(" literal {"," literal} ")"
 *   literal  := 'text with '' doubled' | number | true | false | null | bare timestamp
 * Words without case (clients send AND), property names without case, values with case.
 */
#ifndef SIM_ODATA_H
#define SIM_ODATA_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "entity.h"
#include "err.h"

#define ODATA_TOP_MAX    10000 /* section 2.4 */
#define ODATA_DEPTH_MAX  100
#define ODATA_ORDERS_MAX 8

struct odata_node; /* a part of a filter */

struct odata {
    const struct schema *schema;
    struct odata_node *filter; /* NULL: everything */
    struct {
        int field;
        bool descending;
    } orders[ODATA_ORDERS_MAX];
    size_t n_orders;
    int64_t top;  /* -1: absent */
    int64_t skip; /* 0: absent */
    bool count, expand_evidence;
    bool *select; /* by field; NULL: all */
};

/** Reads a raw query string. Options without '$' are not ours and pass. ERR_INVALID says what is wrong.
 *  The result lives in a. */
enum err_code odata_read(struct arena *a, const struct schema *s, const char *query,
                         struct odata *ret, struct err *e);
bool odata_matches(const struct odata_node *filter, const struct entity *en);
/**
 * The values one of which `field` must equal for the filter to hold ("id in (…)", "machineId eq …" and
 * parts of an "and"), so that an index can be used. NULL: any. NULL-terminated, arena memory.
 */
const char **odata_keys(struct arena *a, const struct odata_node *filter, int field);
/** Sorts as $orderby says; equal ones keep their order. */
void odata_sort(const struct odata *o, struct entity **list, size_t count);

/** Decodes %XX, and + as a blank, in place; false for a broken escape. */
bool query_decode(char *text);
/** One decoded value of a raw query string, in a; NULL when absent. */
char *query_get(struct arena *a, const char *query, const char *name);

#endif
