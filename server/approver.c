/* approver.c - see approver.h. */
#include "approver.h"

bool approver_is_wanted(const struct config *c)
{
    return c->approvers != NULL;
}

static const char *header_of(void *ctx, const char *name, unsigned *ret_count)
{
    return http_header(ctx, name, ret_count);
}

void approver_prove(const struct config *c, const struct verify_env *env, struct http_request *r,
                    const unsigned char *certificates, size_t certificates_len, bool clock_is_off,
                    struct arena *a, struct approver *ret)
{
    size_t len = 0;
    const char *body = http_body(r, &len);
    const struct verify_request q = {.method = http_method(r),
                                     .path = http_path(r),
                                     .query = http_query(r),
                                     .header = header_of,
                                     .ctx = r,
                                     .body = body ? body : "",
                                     .body_len = len,
                                     .certificates = certificates,
                                     .certificates_len = certificates_len,
                                     .now_ms = clock_wall_ms(env->clock),
                                     .clock_is_off = clock_is_off,
                                     .may_block = true,
                                     .arena = a};
    struct verify_result who = {.verdict = VERIFY_DENIED};

    verifier_check(c->approvers, env, &q, &who);
    *ret = (struct approver){.verdict = who.verdict,
                             .name = who.key,
                             /* only Entra proves a tenant */
                             .way = who.tenant_id ? "entra" : "client_certificate",
                             .challenge = verifier_challenge(c->approvers),
                             .why = arena_str(a, who.why)};
}
