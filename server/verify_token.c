/* verify_token.c - a secret in a header: `Authorization: Bearer …`, or a header of the sender's own.
 *
 * Not a signature: it proves who holds the secret and nothing about the body (webhook-sources.md section
 * 5.2). SHA-256 digests are compared, all of them, so that the time tells neither length nor which.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "verify.h"

#define TOKEN_LENGTH_MAX 8192 /* bytes that a header may make us hash */
#define TOKENS_MAX       8    /* webhook-sources.md section 5: cap both, say 8 x 8 */
#define TOKEN_LENGTH_MIN 16   /* bytes; less can be guessed */

struct settings {
    const char *header;
    struct secret_list secrets;
    const char *query;
};

static const struct setting table[] = {
    {.key = "header",
     .type = SET_TEXT,
     .offset = offsetof(struct settings, header),
     .fallback = "Authorization: Bearer",
     .meaning = "header that carries the secret; `Authorization: Bearer` means after that word"},
    {.key = "secret",
     .type = SET_SECRET_LIST,
     .offset = offsetof(struct settings, secrets),
     .meaning = "files with the secrets; all are good, the first is the newest",
     .required = true},
    {.key = "query",
     .type = SET_UNSUPPORTED,
     .meaning = "name of a query parameter that carries it"},
    {.key = NULL},
};

struct state {
    const char *header, *word; /* word: "Bearer", or "" */
    size_t count;
    unsigned char digests[TOKENS_MAX][VERIFY_DIGEST_SIZE];
    const char *names[TOKENS_MAX];
};

/* "Name" or "Name: Word". */
static bool split_header(struct arena *a, const char *text, struct state *s)
{
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : strlen(text);

    s->header = arena_strn(a, text, len);
    s->word = colon ? arena_str(a, colon + 1 + strspn(colon + 1, " ")) : "";
    return s->header && s->word && len &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789!#$%&'*+-.^_`|~") == len &&
           !strpbrk(s->word, " \t");
}

static void *compile(const struct settings_reader *reader, const struct yaml_node *node,
                     const struct verify_source *source)
{
    struct settings *set = arena_alloc(reader->arena, sizeof *set);
    struct state *s = arena_alloc(reader->arena, sizeof *s);
    size_t faults = reader->faults->count;

    (void)source;
    if (!set || !s) {
        yaml_fault(reader->faults, node, "out of memory");
        return NULL;
    }
    settings_read(reader, node, "token", table, set);
    if (reader->faults->count != faults)
        return NULL;
    if (!split_header(reader->arena, set->header, s))
        yaml_fault(reader->faults, node, "token.header: expected `Name` or `Name: Word`, not '%s'",
                   set->header);
    if (set->secrets.count > TOKENS_MAX)
        yaml_fault(reader->faults, node, "token.secret_files: at most %d", TOKENS_MAX);
    for (size_t i = 0; i < set->secrets.count && i < TOKENS_MAX; i++) {
        struct secret *secret = &set->secrets.items[i];

        if (secret->len < TOKEN_LENGTH_MIN)
            yaml_fault(reader->faults, node,
                       "%s: a token needs at least %d characters; make one with "
                       "`openssl rand -base64 32`",
                       secret->file, TOKEN_LENGTH_MIN);
        if (!verify_digest(secret->text, secret->len, s->digests[s->count]))
            yaml_fault(reader->faults, node, "out of memory");
        s->names[s->count++] = secret->file;
        secret_wipe(secret); /* the digest is enough from here on */
    }
    return reader->faults->count == faults ? s : NULL;
}

/* The secret within the header's value, or NULL. */
static const char *presented(const struct state *s, const char *value)
{
    size_t len = strlen(s->word);

    if (!len)
        return value;
    if (strncasecmp(value, s->word, len) != 0 || value[len] != ' ')
        return NULL;
    return value + len + strspn(value + len, " ");
}

static void check(void *arg, const struct verify_env *env, const struct verify_request *q,
                  struct verify_result *ret)
{
    const struct state *s = arg;
    unsigned char seen[VERIFY_DIGEST_SIZE];
    unsigned count = 0;
    const char *value = q->header(q->ctx, s->header, &count), *token;

    (void)env;
    ret->verdict = VERIFY_DENIED;
    token = count == 1 && value ? presented(s, value) : NULL;
    if (!token || strlen(token) > TOKEN_LENGTH_MAX) {
        (void)snprintf(ret->why, sizeof ret->why, "token: %s",
                       count > 1 ? "the header is there more than once" : "no token in the header");
        return;
    }
    if (!verify_digest(token, strlen(token), seen)) {
        verify_no_memory(ret, "token");
        return;
    }
    for (size_t i = 0; i < s->count; i++)
        if (verify_equal(seen, VERIFY_DIGEST_SIZE, s->digests[i], VERIFY_DIGEST_SIZE)) {
            ret->verdict = VERIFY_GOOD;
            ret->key = s->names[i];
        }
    if (ret->verdict != VERIFY_GOOD)
        (void)snprintf(ret->why, sizeof ret->why, "token: not one of the %zu configured", s->count);
}

const struct verify_scheme verify_token = {
    .name = "token",
    .challenge = "Bearer",
    .compile = compile,
    .check = check,
};
