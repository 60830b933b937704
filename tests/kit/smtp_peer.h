/* smtp_peer.h - a scripted SMTP server on loopback that can misbehave, and certificates for it.
 *
 * Without rules it is a good server: 220, EHLO with the extensions asked for, STARTTLS, AUTH PLAIN and
 * LOGIN, 250 to each recipient, 354, 250, 221. A rule takes the place of one reply. It keeps all that
 * clients said, in order, and each message as it was on the wire.
 *
 * One client at a time, in a thread of its own; the next waits in the backlog. Aborts when it cannot
 * do its work: a test cannot go on then.
 */
#ifndef CORDON_KIT_SMTP_PEER_H
#define CORDON_KIT_SMTP_PEER_H

#include <stdbool.h>
#include <stddef.h>

/* ---- certificates ---------------------------------------------------------------------------- */

struct smtp_ca; /* a root of our own */

/* A fresh root; its certificate is written to pem_path, as a ca_file. */
struct smtp_ca *smtp_ca_new(const char *pem_path);
void smtp_ca_free(struct smtp_ca *ca);
/* A certificate of ca's for names ("DNS:localhost") and its key, in one PEM file for another server. */
void smtp_ca_issue(const struct smtp_ca *ca, const char *names, const char *pem_path);

/* ---- the server ------------------------------------------------------------------------------ */

enum smtp_peer_then {
    PEER_GO_ON,
    PEER_CLOSE, /* after the reply */
    PEER_HANG,  /* after the reply: reads nothing and says nothing until the client has gone */
    PEER_LATE,  /* the reply comes late_ms later, unless the client has gone; NULL: the usual one */
};

struct smtp_peer_rule {
    /* "" the greeting, "MAIL", "RCPT TO:<b@", "." the end of the message; "AUTH" before the login's
     * dialogue, "AUTH-END" after it; "TLS" the handshake (PEER_HANG and PEER_CLOSE). The first that fits. */
    const char *command;
    const char *reply; /* lines with CRLF, written in one piece; NULL: none */
    enum smtp_peer_then then;
    bool second_only; /* from the second EHLO on, that is inside TLS */
};

struct smtp_peer_options {
    const struct smtp_ca *ca;  /* NULL: plain text alone */
    bool implicit_tls;         /* otherwise STARTTLS, unless stripped */
    bool stripped;             /* STARTTLS is not offered */
    const char *names;         /* subjectAltName; NULL: "DNS:localhost,IP:127.0.0.1" */
    bool self_signed, expired; /* the certificate */
    int tls_min, tls_max;      /* TLS1_2_VERSION …; 0: as the library likes */
    const char *auth; /* what AUTH offers ("PLAIN LOGIN"); NULL: no AUTH. Inside TLS alone, where
                                   there is TLS */
    const char *extensions;             /* further lines, "250-PIPELINING\r\n" */
    bool drip;                          /* writes byte by byte */
    int late_ms;                        /* of PEER_LATE */
    const struct smtp_peer_rule *rules; /* ends with command NULL; borrowed */
};

struct smtp_peer;

struct smtp_peer *smtp_peer_new(const struct smtp_peer_options *o);
void smtp_peer_free(struct smtp_peer *p);
unsigned smtp_peer_port(const struct smtp_peer *p);
/* Has it come to a PEER_HANG? Any thread. */
bool smtp_peer_hangs(const struct smtp_peer *p);
/* Ends the server, then: all lines that clients said, and "(connected)", "(TLS sni=localhost)",
 * "(message)" where these came, each with its LF. */
const char *smtp_peer_heard(struct smtp_peer *p);
/* Likewise: message i as sent, dots still doubled, without the final dot; NULL when there is none. */
const char *smtp_peer_message(struct smtp_peer *p, size_t i, size_t *ret_len);

#endif
