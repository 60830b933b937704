/* pretender.h - a TLS client that shows a certificate and claims to hold its key: what it signs with are bytes of
 * no meaning. So the certificate may have a key of any size, and the client computes nothing.
 */
#ifndef CORDON_KIT_PRETENDER_H
#define CORDON_KIT_PRETENDER_H

#include <stddef.h>

/* Shakes hands until the server ends it. version: "VERS-TLS1.3"; bits: of the RSA key in the certificate. Fails the test
 * when the certificate was not asked for. */
void pretender_call(const char *address, const char *version, const unsigned char *der, size_t len,
                    unsigned bits);

#endif
