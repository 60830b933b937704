/* verify_none.c - no proof at all: for trying things out on one's own machine, and for a gateway on the same
 * host that has checked the sender already.
 *
 * It is asked for with an ugly word and refused on any address that other machines reach (webhook-sources.md
 * section 8.1). listen.address cannot change while the server runs, so it holds until the end.
 *
 * A browser on that machine is reached by all the world's pages: one whose name was made to mean 127.0.0.1 may post JSON
 * here as to its own host. Browsers say so of each POST (Origin, Sec-Fetch-Site), and nobody who pushes alerts does.
 */
#include "verify.h"

#define NAME "none"

struct settings {
    bool insecure;
};

static const struct setting table[] = {
    SETTING("insecure", SET_BOOL, settings, insecure,
            .meaning = "true: yes, anybody on this machine may push", .required = true),
    {.key = NULL},
};

static void *compile(const struct settings_reader *reader, const struct yaml_node *node,
                     const struct verify_source *source)
{
    struct settings *set = arena_alloc(reader->arena, sizeof *set);
    size_t faults = reader->faults->count;

    if (!set) {
        yaml_fault(reader->faults, node, "out of memory");
        return NULL;
    }
    settings_read(reader, node, NAME, table, set);
    if (reader->faults->count == faults && !set->insecure)
        yaml_fault(reader->faults, yaml_get(node, "insecure"),
                   NAME ": whoever reaches this source may push; say so with `insecure: true`, or "
                        "choose another scheme");
    if (!source->loopback)
        yaml_fault(reader->faults, node->key ? node->key : node,
                   NAME ": refused where other machines reach listen.address; listen on 127.0.0.1, "
                        "[::1] or unix:, or choose another scheme");
    if (reader->faults->count != faults)
        return NULL;
    if (reader->notes)
        yaml_fault(
            reader->notes, node->key ? node->key : node,
            "sources.%s: insecure: whoever reaches listen.address from this machine can push "
            "alerts",
            source->name);
    return set;
}

static void check(void *arg, const struct verify_env *env, const struct verify_request *q,
                  struct verify_result *ret)
{
    (void)arg;
    (void)env;
    if (q->header(q->ctx, "Origin", NULL) || q->header(q->ctx, "Sec-Fetch-Site", NULL)) {
        verify_deny(ret, NAME, "a page in a browser sent it, and no sender is one");
        ret->verdict = VERIFY_FORBIDDEN;
        return;
    }
    ret->verdict = VERIFY_GOOD;
    ret->key = NAME;
}

const struct verify_scheme verify_none = {
    .name = NAME,
    .compile = compile,
    .check = check,
};
