/* smtp.h - the SMTP sink: takes mail, checks what a submission server checks, misbehaves on demand.
 *
 * One thread per connection (there are few, and TLS wants blocking code). What it took goes to mails.h;
 * the loop is poked when something came.
 */
#ifndef SIM_SMTP_H
#define SIM_SMTP_H

#include "err.h"
#include "keys.h"
#include "loop.h"
#include "mails.h"

struct smtp_sink; /* opaque */

struct smtp_options {
    const char *address, *tls_address; /* plain with STARTTLS; implicit TLS. NULL: none */
    const char *ca_file;               /* written: the PEM of the CA made at start */
    const char *username, *password;   /* NULL: anybody */
    struct mails *mails;
    struct keys *keys; /* checks XOAUTH2 tokens */
    struct loop *loop;
};

enum err_code smtp_sink_new(const struct smtp_options *o, struct smtp_sink **ret, struct err *e);
/** Ends every connection, joins every thread. NULL is fine. */
void smtp_sink_free(struct smtp_sink *s);
/** The "smtp" object of the configuration as text; for connections from now on. */
void smtp_sink_tune(struct smtp_sink *s, const char *json);
/** Bound addresses; "" when there is none. */
const char *smtp_sink_address(const struct smtp_sink *s);
const char *smtp_sink_tls_address(const struct smtp_sink *s);

#endif
