/* verify_basic.c - a user name and a password in `Authorization: Basic` (RFC 7617), for appliances that know
 * nothing else.
 *
 * As with a token it proves who holds the password and nothing about the body (webhook-sources.md section
 * 5.2). One digest over "user:password" as a whole is compared, so that neither the time nor the answer
 * tells a wrong name from a wrong password; a name has no colon, so there is one way to split it.
 */
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base64.h"
#include "verify.h"
#include "verify_basic.h"

#define NAME                "basic"
#define USERNAME_MAX        256  /* bytes */
#define PASSWORD_MIN        16   /* bytes, as of a token; less can be guessed */
#define CREDENTIAL_TEXT_MAX 8192 /* characters that a header may make us decode */

struct settings {
    const char *username;
    struct secret password;
    struct secret_list passwords;
};

static const struct setting table[] = {
    SETTING("username", SET_TEXT, settings, username,
            .meaning = "name that the sender shows; the log names it as the key", .required = true),
    SETTING("password", SET_SECRET, settings, password, .meaning = "file with the password"),
    SETTING("password", SET_SECRET_LIST, settings, passwords,
            .meaning =
                "in place of it: files with passwords; all are good, the first is the newest"),
    {.key = NULL},
};

struct state {
    size_t count;
    struct {
        const char *name; /* of the password if it has one, else the user's */
        struct window window;
        unsigned char digest[VERIFY_DIGEST_SIZE]; /* of "user:password" */
    } keys[VERIFY_KEYS_MAX];
};

static bool digest_of(const char *username, const struct secret *password,
                      unsigned char out[VERIFY_DIGEST_SIZE])
{
    char text[CREDENTIAL_TEXT_MAX];
    size_t n = strlen(username);
    bool good;

    memcpy(text, username, n);
    text[n++] = ':';
    memcpy(text + n, password->text, password->len);
    good = verify_digest(text, n + password->len, out);
    OPENSSL_cleanse(text, sizeof text);
    return good;
}

/* fits: nothing was wrong so far, so there is a user name, and room for one more. */
static void add_password(const struct settings_reader *reader, const char *username,
                         const struct secret *password, bool fits, struct state *s)
{
    if (password->len < PASSWORD_MIN)
        yaml_fault(reader->faults, password->at,
                   "%s: a password needs at least %d characters; make one with "
                   "`openssl rand -base64 32`",
                   password->file, PASSWORD_MIN);
    else if (password->len > CREDENTIAL_TEXT_MAX / 2)
        yaml_fault(reader->faults, password->at,
                   "%s: a password of more than %d bytes fits in no header", password->file,
                   CREDENTIAL_TEXT_MAX / 2);
    else if (fits) {
        verify_note_short(reader, password);
        if (!digest_of(username, password, s->keys[s->count].digest))
            yaml_fault(reader->faults, password->at, "out of memory");
        s->keys[s->count].window = password->window;
        s->keys[s->count++].name = password->name ? password->name : username;
    }
}

static void *compile(const struct settings_reader *reader, const struct yaml_node *node,
                     const struct verify_source *source)
{
    struct settings *set = arena_alloc(reader->arena, sizeof *set);
    struct state *s = arena_alloc(reader->arena, sizeof *s);
    struct secret_list list;
    size_t faults = reader->faults->count;

    if (!set || !s) {
        yaml_fault(reader->faults, node, "out of memory");
        return NULL;
    }
    settings_read(reader, node, NAME, table, set);
    if (set->username && (strchr(set->username, ':') || strlen(set->username) > USERNAME_MAX))
        yaml_fault(reader->faults, yaml_get(node, "username"),
                   NAME ".username: expected a name without a colon, at most %d bytes",
                   USERNAME_MAX);
    list = set->password.text ? (struct secret_list){&set->password, 1} : set->passwords;
    if (set->password.text && yaml_get(node, "password_files"))
        yaml_fault(reader->faults, yaml_get(node, "password_files")->key,
                   NAME ": name `password_file` or `password_files`, not both");
    else if (!list.count && reader->faults->count == faults)
        yaml_fault(reader->faults, node->key ? node->key : node,
                   NAME ".password_file is missing: file with the password");
    (void)verify_keys_fit(reader, &list, NAME ".password_files");
    for (size_t i = 0; i < list.count; i++) {
        add_password(reader, set->username, &list.items[i], reader->faults->count == faults, s);
        secret_wipe(&list.items[i]); /* the digest is enough from here on */
    }
    if (reader->faults->count != faults)
        return NULL;
    if (reader->notes)
        yaml_fault(reader->notes, node->key ? node->key : node,
                   "sources.%s: a password is no signature: whoever sees one request can send "
                   "others as this source",
                   source->name);
    return s;
}

static void check(void *arg, const struct verify_env *env, const struct verify_request *q,
                  struct verify_result *ret)
{
    static const char word[] = "Basic";
    const struct state *s = arg;
    unsigned char shown[BASE64_ROOM(CREDENTIAL_TEXT_MAX)], seen[VERIFY_DIGEST_SIZE];
    const char *value = verify_header_once(q, "Authorization");
    size_t len;
    bool good;

    (void)env;
    if (!value || strncasecmp(value, word, sizeof word - 1) != 0 || value[sizeof word - 1] != ' ') {
        verify_deny(ret, NAME, "no user name and password in the header, or more than one header");
        return;
    }
    value += sizeof word - 1;
    value += strspn(value, " ");
    if (!base64_decode(value, strlen(value), shown, sizeof shown, &len)) {
        verify_deny(ret, NAME, "what stands in the header is too long or no base64");
        return;
    }
    good = verify_digest(shown, len, seen);
    OPENSSL_cleanse(shown, len);
    if (!good) {
        verify_no_memory(ret, NAME);
        return;
    }
    for (size_t i = 0; i < s->count; i++)
        if (verify_equal(seen, sizeof seen, s->keys[i].digest, VERIFY_DIGEST_SIZE) &&
            ret->verdict != VERIFY_GOOD)
            (void)verify_take_key(q, NAME, s->keys[i].name, &s->keys[i].window, ret);
    if (ret->verdict != VERIFY_GOOD)
        verify_no_key(ret, NAME, "the user name or the password is another");
}

static const char *header(const void *state)
{
    (void)state;
    return "Authorization";
}

const struct verify_scheme verify_basic = {
    .name = NAME,
    .challenge = "Basic realm=\"cordon\"",
    .compile = compile,
    .check = check,
    .header = header,
};

/* ---- the sender's side --------------------------------------------------------------------------- */

bool basic_way(const struct settings_reader *reader, const struct yaml_node *node,
               const char **ret_username, struct secret *ret_password)
{
    struct settings set = {0};
    size_t faults = reader->faults->count;
    struct secret_list list;
    struct secret *current;

    settings_read(reader, node, NAME, table, &set);
    list = set.password.text ? (struct secret_list){&set.password, 1} : set.passwords;
    current = secret_current(&list, clock_wall_ms(clock_system()));
    if (!current && reader->faults->count == faults)
        yaml_fault(reader->faults, node->key ? node->key : node,
                   list.count ? NAME ".password_files: none of them is good at this time "
                                     "(not_before, not_after)"
                              : NAME ".password_file is missing: file with the password");
    if (current && reader->faults->count == faults) {
        *ret_username = set.username;
        *ret_password = *current;
        current->text = NULL; /* the caller's now */
    }
    for (size_t i = 0; i < list.count; i++)
        secret_wipe(&list.items[i]);
    return reader->faults->count == faults;
}
