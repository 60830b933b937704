/* door.h - who may come in at the admin address: programs by the admin token, browsers by a session that it opened.
 *
 * Where no token is configured the address is a loopback one, and whoever is on this host is in. But a page of the web in an
 * administrator's browser reaches it, too: by a name that it makes resolve to 127.0.0.1 (then Host is that name), or by
 * sending blindly (then Origin and Sec-Fetch-Site tell of it). Neither is let in. Nor is what a proxy on this
 * host passes on: it comes from 127.0.0.1, and many proxies write the address that they call into Host, so that all the
 * world would be this host.
 *
 * A session is a cookie that the server does not remember:
 *
 *     expiry, Unix seconds . random, 16 bytes . the person's name . HMAC-SHA-256 of them, keyed with the admin token
 *
 * (bytes in base64url). So it holds over restarts and at every replica, and ends when the token is changed. Each form
 * of a page carries a second MAC, over the session, which no other site can read or make: what is sent without it is
 * nobody's order. Without an admin token there is no session; the key of the forms is then made anew at each start.
 */
#ifndef CORDON_DOOR_H
#define CORDON_DOOR_H

#include "arena.h"
#include "config.h"
#include "http.h"

#define DOOR_SESSION_MS                                                                            \
    (12 * HOUR_MS)        /* a shift; and a browser that was left open is no key for ever */
#define DOOR_NAME_MAX 100 /* bytes of a person's name: DESK_WHO_MAX */
#define DOOR_FORM     "form_token" /* the name of the hidden field */

enum door_answer {
    DOOR_IN,
    DOOR_TOKEN,  /* the token, or a session, is missing or wrong: 401 */
    DOOR_FOREIGN /* there is no token, and the request is not one of this host: 403 */
};

/** A request of a program: Authorization: Bearer. */
enum door_answer door_knock(const struct config_admin *c, const struct http_request *r);

struct door; /* opaque */

/** ERR_IO when there is no randomness; ERR_NOMEM. */
enum err_code door_new(struct door **ret, struct err *e);
void door_free(struct door *d);
AUTO_FREEP(struct door, door)

struct visitor {
    const char *name; /* as he gave it when he signed in; "": he did not have to */
    const char *form; /* what DOOR_FORM of his forms must be */
    bool signed_in;   /* by a session, which he can end */
};

/** A request of a browser, or of a program that reads pages: as door_knock, or by a session. Fills *ret for DOOR_IN, in a.
 *  Out of memory is DOOR_TOKEN. Any thread. */
enum door_answer door_let_in(const struct door *d, const struct config_admin *c,
                             const struct http_request *r, int64_t now, struct arena *a,
                             struct visitor *ret);
/** Does the browser say of a POST that a page of another site sent it? What no browser sent says nothing. public_url: how
 *  people reach this server where that is not what Host says, behind a proxy; or NULL. */
bool door_is_foreign_page(const struct http_request *r, const char *public_url);
/** Does a POST come from a page of ours, as far as the browser says? A form needs its token besides. */
bool door_is_own_page(const struct http_request *r);
/** Is it the form of a page that this visitor was shown? */
bool door_is_own_form(const struct visitor *v, const char *form_token);
/** Opens a session for whoever brings the token: *ret is a Set-Cookie value, in a. False: it is not the token, or out of
 *  memory. r: of the form that brought it. */
bool door_open(const struct config_admin *c, const struct http_request *r, const char *token,
               const char *name, int64_t now, struct arena *a, const char **ret);
/** The Set-Cookie value that ends it; static storage. */
const char *door_close(void);

#endif
