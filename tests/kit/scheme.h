/* scheme.h - compiles a `verify:` list as the configuration would, and shows it requests.
 *
 *     struct scheme s;
 *     scheme_open(&s);
 *     scheme_file(&s, "new", "whsec_…");
 *     scheme_compile(&s, "[{standard_webhooks: {secret_files: [new]}}]");
 *     verdict = scheme_ask(&s, headers, body, body_len, &result);
 *     scheme_close(&s);
 *
 * The clock stands still unless s.hands are turned. What goes wrong here fails the running cmocka test.
 */
#ifndef KIT_SCHEME_H
#define KIT_SCHEME_H

#include <stdbool.h>
#include <stddef.h>

#include "kit/hands.h"
#include "verify.h"

struct scheme_header {
    const char *name, *value; /* the list ends with name NULL */
};

struct scheme {
    struct arena *arena; /* of the configuration and of all requests */
    struct yaml_faults faults;
    struct settings_reader reader;
    char folder[64], file[96];
    struct hands hands;
    struct verify_source source; /* tenant 11111111-2222-3333-4444-555555555555 */
    struct verify_env env;
    struct verifier *verifier;         /* of the last scheme_compile */
    bool may_block, clock_is_off;      /* of the next requests */
    const char *query;                 /* of the next requests, as sent; NULL: none */
    const unsigned char *certificates; /* of the next requests; NULL: none */
    size_t certificates_len;
    /* where the next scheme_compile notes what is no fault; may be NULL */
    struct yaml_faults *notes;
    char paths[32][160]; /* of files to remove */
    size_t n_paths;
};

void scheme_open(struct scheme *s);
void scheme_close(struct scheme *s);
/* Writes a file that settings can name. */
void scheme_file(struct scheme *s, const char *name, const char *text);
/* Compiles a list in place of the last one; true when it had no fault. */
bool scheme_compile(struct scheme *s, const char *yaml);
/* All faults of the last scheme_compile as "line:column: text", one per line. Arena memory. */
const char *scheme_faults(struct scheme *s);
/* Shows the verifier a request; body NULL: only the head is there. */
enum verify_verdict scheme_ask(struct scheme *s, const struct scheme_header *headers,
                               const char *body, size_t body_len, struct verify_result *ret);
/* Shows the verifier a good request, then every request that differs from it in one bit of a header's value or,
 * with signs_body, of the body: none of them may be good. Of an Authorization header the case of the first
 * `caseless` characters does not count (RFC 9110 section 11.1). body NULL: the head is enough. Returns how
 * many were shown. */
size_t scheme_refuses_flips(struct scheme *s, const struct scheme_header *headers, const char *body,
                            size_t body_len, bool signs_body, size_t caseless);
/* For struct verify_request.header; ctx is a list of struct scheme_header. */
const char *scheme_header(void *ctx, const char *name, unsigned *ret_count);

#endif
