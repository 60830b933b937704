/* http_tls.h - a certificate with its key, as the server shows it: read, judged, swapped while it serves.
 *
 * A pair is immutable and shared by counting references: a connection holds the one of its handshake, so
 * that another pair can take over for those that come later.
 */
#ifndef CORDON_HTTP_TLS_H
#define CORDON_HTTP_TLS_H

#include <gnutls/abstract.h>
#include <stdint.h>

#include "clock.h"
#include "err.h"

/* TLS 1.2 and 1.3, nothing older (webhook-sources.md section 1.1). Of key exchanges those on curves, which all senders have:
 * in the largest finite field one costs us a third of a second, and whoever asks for it nothing (CVE-2002-20001). */
#define HTTP_TLS_PRIORITIES                                                                        \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE:-DHE-RSA:-GROUP-FFDHE2048:"     \
    "-GROUP-FFDHE3072:-GROUP-FFDHE4096:-GROUP-FFDHE6144:-GROUP-FFDHE8192"

/* A certificate that ends so soon is worth a line a day: time for a person to see to it. Automatic renewal
 * comes earlier (ACME clients: a third of the certificate's life, 30 of 90 days). */
#define HTTP_TLS_ENDS_SOON_MS (14 * DAY_MS)

struct http_tls_pair;

/** Reads both files, PEM. ERR_INVALID, and which file is wrong, when they are no pair. */
enum err_code http_tls_load(const char *certificate_file, const char *key_file,
                            struct http_tls_pair **ret, struct err *e);
struct http_tls_pair *http_tls_ref(struct http_tls_pair *p);
/** The last one wipes and frees. NULL is fine. Any thread. */
void http_tls_unref(struct http_tls_pair *p);
/** When the server's own certificate ends; wall ms. */
int64_t http_tls_not_after_ms(const struct http_tls_pair *p);
/** What GnuTLS shows in a handshake; lives as long as p. */
void http_tls_show(const struct http_tls_pair *p, gnutls_pcert_st **ret_chain, unsigned *ret_count,
                   gnutls_privkey_t *ret_key);

/**
 * Has the client asked for a certificate, of whatever CA, in the handshake that is about to begin. It may show none;
 * one whose key costs too much to compute with ends the handshake.
 */
void http_tls_ask(gnutls_session_t session);

#endif
