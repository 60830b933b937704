/* graph.h - hunting queries of one tenant: Microsoft Graph's runHuntingQuery, or Defender's older call.
 *
 * A query is a read: it may be repeated, and is given up at once when the process is to end. When to try again is
 * the caller's business. What a failure means:
 *
 *   ERR_REFUSED    no, for good: the query has a fault, or its answer is larger than Defender gives out; the
 *                  sentence holds Defender's
 *   ERR_FORBIDDEN  the permission is missing: ThreatHunting.Read.All of Graph, AdvancedQuery.Read.All of the older call
 *   ERR_DENIED     no usable credential
 *   ERR_TOO_BIG    the answer is over GRAPH_ANSWER_MAX
 *   ERR_THROTTLED  over the governor's or Defender's quota (calls, or its share of CPU); retry_ms is set
 *   ERR_AGAIN      transient: a slow query ends so, too (section 5.2); also an answer that cannot be read
 *   ERR_STOPPING, ERR_NOMEM
 *
 * Sections are those of defender-api.md. Threads: any.
 */
#ifndef CORDON_GRAPH_H
#define CORDON_GRAPH_H

#include <stddef.h>
#include <stdint.h>

#include "auto.h"
#include "err.h"
#include "json.h"

struct quota;
struct rest;
struct token;
struct graph; /* opaque */

/* Section 5.2: about 50 MB is what Graph gives out at most. The older call's 124 MB would take more memory to read
 * than a small machine has. */
#define GRAPH_ANSWER_MAX ((size_t)56 << 20)

/* Rows of one answer: sections 5.1, 5.2. As many mean that there may be more. */
#define GRAPH_ROWS_MAX 100000

enum graph_api {
    GRAPH_API_GRAPH,
    GRAPH_API_DEFENDER /* /api/advancedqueries/run; returns nothing from 1 February 2027 on (0.2) */
};

struct graph_options {
    struct rest *rest;               /* borrowed, as all of these; they outlive the graph */
    struct token *token;             /* for Graph */
    struct token *defender_token;    /* for Defender's API */
    struct quota *quota;             /* of hunting alone: section 7.4 */
    const char *graph_url, *api_url; /* copied */
    int64_t timeout_ms;              /* of one query; 0: 240 s, section 7.6 */
};

/** Calls nobody yet; o is copied. ERR_NOMEM. */
enum err_code graph_new(const struct graph_options *o, struct graph **ret, struct err *e);
/** Another one in the quota's place. Before anybody calls. */
void graph_use_quota(struct graph *g, struct quota *quota);
/** No call may be under way. NULL is fine. */
void graph_free(struct graph *g);
AUTO_FREEP(struct graph, graph)

/**
 * Runs a query and waits for its answer.
 *
 * query     KQL.
 * from_ms   with Graph: rows with an older Timestamp are not asked for (wall ms); 0: what Defender has, 30 days. The older
 *           call knows no such thing.
 * ret       the answer, an object; json_free it. See hunt_rows.h.
 */
enum err_code graph_hunt(struct graph *g, enum graph_api api, const char *query, int64_t from_ms,
                         struct json **ret, struct err *e);

#endif
