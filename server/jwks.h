/* jwks.h - the keys that Entra signs tokens with: found by OIDC discovery, fetched, kept, renewed.
 *
 * One set of keys per authority, tenant and token version (v1 and v2 have documents of their own). A
 * set is an immutable snapshot that a refresh swaps; the last good one stays when a refresh fails.
 *
 * A fetch is a state of the set, not of a thread: whoever asks starts it, and the next ones who ask (or
 * one that may wait) carry it on when an answer is there. So there is one fetch at a time per set, an
 * hourly refresh costs nobody a wait, and an HTTP thread never blocks.
 *
 * Rules and times: webhook-sources.md section 1.2, "Key rotation".
 *
 * Unknown keys. "No such key" (401, which no sender repeats) is said only of a kid that a look was made for:
 * a fetch that began after the kid was first shown and did not bring it. Of a kid that stood in a document it is said when
 * one of 5 minutes after the first without it has it neither: until then that one may have been an older one, from another
 * of the authority's servers, and the kid is out of reach. Looks are rare, whoever asks: one per 5 minutes, of which four may be saved up, so that a few stray tokens are
 * answered at once and do not stand in the way of keys that roll. When they are used up, a kid that nobody
 * has looked for yet is out of reach (503, and the sender comes again): whoever makes up kids without end
 * causes no more fetches than that, and a good sender pays with a retry and loses nothing.
 */
#ifndef CORDON_JWKS_H
#define CORDON_JWKS_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "auto.h"
#include "clock.h"
#include "err.h"
#include "rest.h"

struct jwks;

struct jwks_options {
    struct rest *rest; /* borrowed, like clock; NULL: nothing can be fetched */
    const struct clock *clock;
    /* ms; 0: the default */
    int64_t keep_ms;    /* keys older than this are not trusted: 24 h */
    int64_t refresh_ms; /* keys older than this are fetched anew: 1 h */
    /* an unknown kid makes us look again once per so long: 5 min; a few are saved up */
    int64_t unknown_ms;
    int64_t failed_ms;  /* after a failed fetch the next one waits so long: 10 s */
    int64_t timeout_ms; /* of one call: 10 s */
};

/** Fetches nothing yet; o is copied. ERR_NOMEM. */
enum err_code jwks_new(const struct jwks_options *o, struct jwks **ret, struct err *e);
/** No jwks_find may be under way. Before rest_free. NULL is fine. */
void jwks_free(struct jwks *k);
AUTO_FREEP(struct jwks, jwks)

enum jwks_version { JWKS_V1, JWKS_V2 };

enum jwks_found {
    JWKS_FOUND,
    JWKS_UNKNOWN,      /* looked for, and there is no such key */
    JWKS_MUST_WAIT,    /* a fetch is under way; ask again with may_block */
    JWKS_OUT_OF_REACH, /* it may be there, but the documents cannot be had now, or not again so soon */
};

struct jwks_key {
    EVP_PKEY *key;      /* JWKS_FOUND: the caller's reference, EVP_PKEY_free */
    const char *issuer; /* what `iss` of its tokens must be; arena */
    char why[160];      /* not found: for the log */
};

/**
 * Looks a key up.
 *
 * login_url  authority without slash at the end; tenant_id: its GUID. Both from the configuration, never
 *            from a token: each pair makes a set that stays.
 * may_block  wait for a fetch (two calls of at most timeout_ms each). false: returns at once.
 * Threads    any, many at once.
 */
enum jwks_found jwks_find(struct jwks *k, const char *login_url, const char *tenant_id,
                          enum jwks_version version, const char *kid, bool may_block,
                          struct arena *a, struct jwks_key *ret);

/** May keys of this authority come from that URL? From the same origin, or by https from a host under the
 *  same domain: what is behind the first label of the authority's host, two labels at least. */
bool jwks_url_is_trusted(const char *login_url, const char *url);

#endif
