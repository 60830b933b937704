/* verify_token.c - a secret in a header: `Authorization: Bearer …`, a header of the sender's own, or, for
 * senders that can only be given a URL (Event Grid), a parameter of the query.
 *
 * A URL is written down by many: proxies, senders, histories. So the query is opt-in per source, then no
 * header is looked at, and nothing of it goes into `why`, which is logged. `+` is a plus and no blank:
 * secrets in base64 have some, and one with a blank is worth a note.
 *
 * Not a signature: it proves who holds the secret and nothing about the body (webhook-sources.md section
 * 5.2). SHA-256 digests are compared, all of them, so that the time tells neither length nor which.
 */
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "text.h"
#include "verify.h"

#define TOKEN_LENGTH_MAX 8192 /* bytes that a header may make us hash */
#define TOKEN_LENGTH_MIN 16   /* bytes; less can be guessed */

struct settings {
    const char *header;
    struct secret_list secrets;
    const char *query;
};

static const struct setting table[] = {
    SETTING("header", SET_TEXT, settings, header, .fallback = "Authorization: Bearer",
            .meaning =
                "header that carries the secret; `Authorization: Bearer` means after that word"),
    SETTING("secret", SET_SECRET_LIST, settings, secrets,
            .meaning = "files with the secrets; all are good, the first is the newest",
            .required = true),
    SETTING("query", SET_TEXT, settings, query,
            .meaning = "name of a query parameter that carries the secret, in place of the header"),
    {.key = NULL},
};

struct state {
    const char *header, *word; /* word: "Bearer", or "" */
    const char *query;         /* NULL: the header */
    size_t count;
    struct {
        const char *name;
        struct window window;
        unsigned char digest[VERIFY_DIGEST_SIZE];
    } keys[VERIFY_KEYS_MAX];
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

/* A name that stands in a URL as it is: the unreserved characters of RFC 3986 section 2.3. */
static bool is_plain_name(const char *text)
{
    size_t len = strlen(text);

    return len && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789-._~") == len;
}

static void check_query(const struct settings_reader *reader, const struct yaml_node *node,
                        const struct verify_source *source, const char *query)
{
    const struct yaml_node *at = yaml_get(node, "query");

    if (!is_plain_name(query))
        yaml_fault(reader->faults, at,
                   "token.query: expected the name of a parameter, of letters, digits and -._~");
    if (yaml_get(node, "header"))
        yaml_fault(reader->faults, at->key,
                   "token: the secret stands in `header` or in `query`, not in either");
    if (reader->notes)
        yaml_fault(reader->notes, at->key,
                   "sources.%s: a secret in a URL is written down by proxies and senders; prefer a "
                   "header where the sender can set one",
                   source->name);
}

/* Has it what no header may hold (RFC 9110 section 5.5)? */
static bool has_control(const struct secret *secret)
{
    for (size_t i = 0; i < secret->len; i++) {
        unsigned char c = (unsigned char)secret->text[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

/* Can a sender show it at all? */
static void check_secret(const struct settings_reader *reader, const struct secret *secret,
                         bool in_header)
{
    if (secret->len < TOKEN_LENGTH_MIN)
        yaml_fault(reader->faults, secret->at,
                   "%s: a token needs at least %d characters; make one with "
                   "`openssl rand -base64 32`",
                   secret->file, TOKEN_LENGTH_MIN);
    else if (secret->len > TOKEN_LENGTH_MAX)
        yaml_fault(reader->faults, secret->at, "%s: a token of more than %d bytes is never taken",
                   secret->file, TOKEN_LENGTH_MAX);
    else if (in_header && has_control(secret))
        yaml_fault(reader->faults, secret->at,
                   "%s: a token with line breaks or other control characters fits in no header; "
                   "of several tokens each has a file of its own in `secret_files`",
                   secret->file);
    else
        verify_note_short(reader, secret);
}

static void *compile(const struct settings_reader *reader, const struct yaml_node *node,
                     const struct verify_source *source)
{
    struct settings *set = arena_alloc(reader->arena, sizeof *set);
    struct state *s = arena_alloc(reader->arena, sizeof *s);
    size_t faults = reader->faults->count;

    if (!set || !s) {
        yaml_fault(reader->faults, node, "out of memory");
        return NULL;
    }
    settings_read(reader, node, "token", table, set);
    if (reader->faults->count != faults)
        return NULL;
    if (!split_header(reader->arena, set->header, s)) /* not echoed: the secret may be with it */
        yaml_fault(reader->faults, node,
                   "token.header: expected `Name` or `Name: Word`; the secret behind it stands in "
                   "a file of `secret_files`");
    if (set->query)
        check_query(reader, node, source, set->query);
    s->query = set->query;
    if (!verify_keys_fit(reader, &set->secrets, "token.secret_files"))
        return NULL;
    for (size_t i = 0; i < set->secrets.count; i++) {
        struct secret *secret = &set->secrets.items[i];

        check_secret(reader, secret, !set->query);
        if (set->query && reader->notes && strchr(secret->text, ' '))
            yaml_fault(reader->notes, secret->at,
                       "%s: a blank in a secret for the query is good as %%20 alone, and curl and "
                       "others write `+`; make one with `openssl rand -hex 32`",
                       secret->file);
        if (!verify_digest(secret->text, secret->len, s->keys[s->count].digest))
            yaml_fault(reader->faults, node, "out of memory");
        s->keys[s->count].window = secret->window;
        s->keys[s->count++].name = secret_name(secret);
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

/* Undoes percent-encoding; false when it is malformed or out has too little room. */
static bool percent_decode(const char *text, size_t len, char *out, size_t room, size_t *ret_len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (c == '%') {
            int high = i + 2 < len ? text_hex_digit(text[i + 1]) : -1;
            int low = i + 2 < len ? text_hex_digit(text[i + 2]) : -1;

            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (n >= room)
            return false;
        out[n++] = c;
    }
    *ret_len = n;
    return true;
}

/* The parameter's value as it stands in the query: there once, or NULL. */
static const char *query_value(const char *query, const char *name, size_t *ret_len)
{
    const size_t name_len = strlen(name);
    const char *found = NULL;

    for (const char *p = query;; p++) {
        size_t len = strcspn(p, "&");

        if (len > name_len && strncmp(p, name, name_len) == 0 && p[name_len] == '=') {
            if (found)
                return NULL;
            found = p + name_len + 1;
            *ret_len = len - name_len - 1;
        }
        p += len;
        if (!*p)
            return found;
    }
}

/* Where the token is, and how long; NULL, and why. room: TOKEN_LENGTH_MAX bytes, for one that must be
 * decoded. */
static const char *find(const struct state *s, const struct verify_request *q, char *room,
                        size_t *ret_len, const char **ret_why)
{
    const char *value, *token = NULL;
    unsigned count = 0;

    if (s->query) {
        value = query_value(q->query, s->query, ret_len);
        *ret_why = "no token in the query, or more than one, or it is malformed";
        if (value && percent_decode(value, *ret_len, room, TOKEN_LENGTH_MAX, ret_len))
            token = room;
    } else {
        value = q->header(q->ctx, s->header, &count);
        *ret_why = count > 1 ? "the header is there more than once" : "no token in the header";
        token = count == 1 ? presented(s, value) : NULL;
        *ret_len = token ? strlen(token) : 0;
    }
    return *ret_len <= TOKEN_LENGTH_MAX ? token : NULL;
}

static void check(void *arg, const struct verify_env *env, const struct verify_request *q,
                  struct verify_result *ret)
{
    const struct state *s = arg;
    unsigned char seen[VERIFY_DIGEST_SIZE];
    char room[TOKEN_LENGTH_MAX];
    size_t len = 0;
    const char *why, *token = find(s, q, room, &len, &why);
    bool good;

    (void)env;
    if (!token) {
        verify_deny(ret, "token", why);
        return;
    }
    good = verify_digest(token, len, seen);
    if (token == room)
        OPENSSL_cleanse(room, len);
    if (!good) {
        verify_no_memory(ret, "token");
        return;
    }
    for (size_t i = 0; i < s->count; i++)
        if (verify_equal(seen, VERIFY_DIGEST_SIZE, s->keys[i].digest, VERIFY_DIGEST_SIZE) &&
            ret->verdict != VERIFY_GOOD)
            (void)verify_take_key(q, "token", s->keys[i].name, &s->keys[i].window, ret);
    if (ret->verdict != VERIFY_GOOD)
        verify_no_key(ret, "token", "none of those that are configured");
}

static const char *header(const void *state)
{
    const struct state *s = state;

    return s->query ? NULL : s->header;
}

const struct verify_scheme verify_token = {
    .name = "token",
    .challenge = "Bearer",
    .compile = compile,
    .check = check,
    .header = header,
};
