/* credential.h - how cordon's application proves to Entra ID who it is: a secret, a certificate, an assertion that the
 * platform writes into a file (workload identity), or the identity of the machine it runs on.
 *
 * Files are read anew for every token, once an hour or so, so that what is rotated there works without a reload.
 * Sections are those of defender-api.md.
 */
#ifndef CORDON_CREDENTIAL_H
#define CORDON_CREDENTIAL_H

#include "config.h"
#include "token.h"

/** Fills what of o is about the tenant's authority, application and credential; scope, rest and clock are the
 *  caller's. tenant: borrowed for as long as the token lives. */
void credential_use(const struct config_tenant *tenant, struct token_options *o);

/** Do the files hold a certificate and the RSA key that belongs to it? ERR_INVALID says what is wrong. *ret_end_ms:
 *  when the certificate ends, wall ms. */
enum err_code credential_check(const char *certificate_file, const char *key_file,
                               int64_t *ret_end_ms, struct err *e);

#endif
