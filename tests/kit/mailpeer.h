/* mailpeer.h - a scripted SMTP server on loopback: replies as told, keeps what it heard.
 *
 * Without a script it accepts everything: 220, EHLO with the given extensions, AUTH in one step, 250,
 * 354, 250, 221. A rule replaces the reply to commands that begin with its words.
 */
#ifndef CORDON_KIT_MAILPEER_H
#define CORDON_KIT_MAILPEER_H

#include <stddef.h>

#include "wire.h"

enum mailpeer_tls { MAILPEER_PLAIN, MAILPEER_IMPLICIT, MAILPEER_STARTTLS };

struct mailpeer_rule {
    const char *command; /* "" the greeting, "MAIL", "." the end of the message; borrowed */
    const char *reply;   /* lines with CRLF; NULL: close at this point without a word */
    bool close;          /* close after the reply */
};

struct mailpeer;

/* auth: the words after "AUTH" in EHLO's answer, NULL: none. rules: ends with command NULL; borrowed. */
struct mailpeer *mailpeer_new(enum mailpeer_tls mode, struct wire_tls *tls, const char *auth,
                              const struct mailpeer_rule *rules);
void mailpeer_free(struct mailpeer *p);
unsigned mailpeer_port(const struct mailpeer *p);
/* All that clients said, one line each, "1 " and so on for the connection before it, "(TLS)" where TLS
 * began; message lines as they came. Ends the server first, so that nothing more can come. */
const char *mailpeer_heard(struct mailpeer *p);

#endif
