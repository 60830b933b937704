/* approver.h - who answers a question, where the configuration wants a better proof than a mailed link.
 *
 * Without `approvers` whoever has a link answers as the person it was mailed to. With it the link only names the
 * question: who answers is the person of an Entra sign-in token, or of a client certificate, whichever the
 * request carries of what `approvers.verify` allows.
 */
#ifndef CORDON_APPROVER_H
#define CORDON_APPROVER_H

#include "config.h"
#include "http.h"

struct approver {
    enum verify_verdict verdict;
    const char *name;      /* good: the person, as the credential says */
    const char *way;       /* good: "entra" or "client_certificate" */
    const char *challenge; /* denied: WWW-Authenticate */
    const char *why;       /* not good: for the log; no secret */
};

/** Do answers need a proof of their own? */
bool approver_is_wanted(const struct config *c);
/**
 * Judges a request. certificates: of http_client_certificates, or NULL. clock_is_off: of verify_request.
 *
 * ret      its texts live in a, or as long as c.
 * Threads  any that may wait for the network, as Entra's keys may have to be fetched.
 */
void approver_prove(const struct config *c, const struct verify_env *env, struct http_request *r,
                    const unsigned char *certificates, size_t certificates_len, bool clock_is_off,
                    struct arena *a, struct approver *ret);

#endif
