/* hunting.h - advanced hunting: Graph's runHuntingQuery (section 5.2) and Defender's older call (5.1).
 *
 * Nobody here reads KQL. A test plants answers for queries that match a glob; a query that nothing was planted for
 * is one with a fault. Of the language only the time is understood: with Graph's Timespan, rows whose Timestamp lies
 * outside are left out, so that late rows and windows that overlap are what they are at Microsoft's.
 */
#ifndef SIM_HUNTING_H
#define SIM_HUNTING_H

#include "house.h"

/** false: the path is none of Graph's hunting. */
bool hunting_serve_graph(struct call *c);
/** POST /api/advancedqueries/run, after token, quota and role. */
void hunting_serve_defender(struct call *c);
/** Is there an event that the triple of section 5.3 identifies? */
bool hunting_has_event(const struct house *h, const char *machine_id, const char *report_id,
                       const char *time);
/** POST /sim/hunts: plants an answer, in the place of an earlier one for the same glob. */
enum err_code hunting_put(struct house *h, const struct json *object, struct err *e);
void hunting_forget(struct house *h);

#endif
