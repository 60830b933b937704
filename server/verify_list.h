/* verify_list.h - SCHEME(x) means: verify_x.c defines `const struct verify_scheme verify_x`. Schemes that
 * cost less to check stand first. */
SCHEME(none)
SCHEME(token)
SCHEME(basic)
SCHEME(client_certificate)
SCHEME(standard_webhooks)
SCHEME(hmac)
SCHEME(http_signature)
SCHEME(entra)
