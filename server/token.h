/* token.h - access tokens of Entra ID for one (tenant, scope).
 *
 * Order of use: token_new, any number of token_get / token_drop / token_renew from any thread, token_free.
 *
 * One request serves all threads: the first caller without a valid token asks, the others wait for
 * the same answer. About five minutes before the end (section 1.2) the first caller who comes by
 * starts the renewal and goes on with the old token; while that one is valid nobody waits.
 * A refusal is remembered for a while and given to everyone at once, so that a broken credential does
 * not hammer the endpoint (AADSTS50196, section 1.7; trap 36).
 * Sections and traps are those of defender-api.md.
 */
#ifndef CORDON_TOKEN_H
#define CORDON_TOKEN_H

#include <stdbool.h>

#include "auto.h"
#include "buf.h"
#include "clock.h"
#include "err.h"
#include "json.h"

struct rest;
struct token; /* opaque */

#define TOKEN_MAX 16384 /* bytes of an access token; Entra's are 1 to 4 KiB */

/* What is asked, for an assertion that is made for it. Borrowed for the call. */
struct token_grant {
    const char *url, *client_id;
    int64_t now_ms; /* wall */
};

struct token_options {
    struct rest *rest;         /* borrowed, outlives the token */
    const struct clock *clock; /* borrowed */
    /* NULL: "https://login.microsoftonline.com"; copied, like the next three */
    const char *login_url;
    const char *tenant_id; /* GUID or domain */
    const char *client_id; /* NULL: only with identity */
    const char *scope;     /* "https://api.securitycenter.microsoft.com/.default" (section 1.2) */

    /* Appends the client secret to out; called anew for every request, so that a rotated file works.
     * One trailing line end is ignored. out is wiped afterwards. */
    enum err_code (*secret)(void *ctx, struct buf *out, struct err *e);
    /* Another credential than a secret: appends its fields to a form that already holds client_id,
     * scope and grant_type, "&client_assertion_type=…&client_assertion=…" (sections 1.3, 1.4), values
     * encoded with token_form_add. NULL: client_secret from secret(). */
    enum err_code (*grant)(void *ctx, const struct token_grant *g, struct buf *form, struct err *e);
    /* A managed identity, which is asked with a GET instead (sections 1.5, 1.6): writes the URL, and the header
     * that goes with it. NULL: login_url is asked. */
    enum err_code (*identity)(void *ctx, const char *scope, struct buf *url, struct buf *header,
                              struct err *e);
    void *ctx; /* for the three, borrowed */

    /* NULL, or told after an answer of Entra's with a Date, but for a 5xx, how far our clock is off Entra's (clock_off_ms): where an assertion
     * is refused for its time (AADSTS700024), no API is ever asked that could say so. Any thread. */
    void (*on_clock)(void *ctx, int64_t off_ms);
    void *clock_ctx; /* for it, borrowed */
};

/** Asks for nothing yet. ERR_INVALID: login_url is neither https nor on loopback; ERR_NOMEM. */
enum err_code token_new(const struct token_options *o, struct token **ret, struct err *e);
/** Wipes and frees. No call may be under way; a renewal in flight is given up. NULL is fine. */
void token_free(struct token *t);
AUTO_FREEP(struct token, token)

/**
 * Appends a token that is valid now to out, which the caller wipes (token_wipe) and clears.
 * May block for one request (at most 30 s, section 7.6) when there is no valid token.
 *
 * Returns ERR_OK;
 *         ERR_REFUSED  Entra says no for good: the AADSTS code and the cure stand in e->text;
 *         ERR_AGAIN    transient, or the endpoint was not reached;
 *         what secret() or grant() returned; ERR_STOPPING, ERR_NOMEM, ERR_TOO_BIG (out's limit).
 * For all failures e->retry_ms says after how many ms the endpoint will be asked again.
 * Threads: any.
 */
enum err_code token_get(struct token *t, struct buf *out, struct err *e);

/** What an API says of a request, for logs and mails: said itself, or other words where it repeats the token that was shown.
 *  said: may be NULL. */
const char *token_unsaid(const char *said, const char *token);

/**
 * The API answered 401 to this token. Returns true when another try makes sense: the token was
 * current and is now dropped, or a newer one is there already. At most one drop a minute: a 401 that
 * a fresh token does not heal is a licence or a permission (section 7.2, trap 36), so false then.
 * Threads: any.
 */
bool token_drop(struct token *t, const char *token);

/**
 * The API answered 403 to this token: a permission that was given since stands in a newer one only (trap 37). Returns
 * true when another try makes sense: there is a newer one. It is asked for, and waited for, when this one is five minutes
 * old; until it comes, and if none does, this one stays in use.
 * Threads: any; blocks as token_get does.
 */
bool token_renew(struct token *t, const char *token);

/**
 * What the current token says of itself, fetched if there is none: *ret_claims is the decoded, NOT
 * verified payload ("aud", "roles", "appid", "tid", "exp"); json_free it. Only for telling people
 * (`doctor`), never for a decision. ERR_INVALID when the token is no JWT; else as token_get.
 */
enum err_code token_claims(struct token *t, struct json **ret_claims, struct err *e);

/** true when the claims' `roles` hold this application permission ("Machine.Isolate"). */
bool token_claims_have_role(const struct json *claims, const char *role);

/** Appends "&name=value" to a form, value percent-encoded. */
void token_form_add(struct buf *form, const char *name, const char *value, size_t len);
/** Overwrites all the memory of b, then empties it; for buffers that held a secret. */
void token_wipe(struct buf *b);
/** The same, and frees it: for AUTO. */
void token_clear(struct buf *b);

#endif
