/* verify_entra.c - access tokens of Entra ID, as Power Automate, Logic Apps and managed identities send
 * them: the ten checks of webhook-sources.md section 1.2, in that order.
 *
 * Every application of a tenant can get a token for our audience without any role (section 0, fact 4), so
 * a good signature admits nobody: the source's lists of clients, roles and objects do. A token does not
 * bind the body and is used for many requests: no delivery id comes from here.
 *
 * Persons (verify_source.people) sign in with tokens of the same making. Check 9 is then the other way round, no
 * application is let in, and `clients` says nothing about who somebody is: objects and roles do.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "jwks.h"
#include "jwt.h"
#include "verify.h"

#define GUID_LENGTH 36
#define PERSON_MAX  254 /* characters of a mail address: RFC 5321 */

struct settings {
    struct text_list audience, clients, roles, objects;
    int64_t leeway_ms;
};

static const struct setting table[] = {
    SETTING("audience", SET_TEXT_LIST, settings, audience,
            .meaning =
                "whom tokens must be for: the App ID URI or the client id of our registration",
            .required = true),
    SETTING("clients", SET_TEXT_LIST, settings, clients,
            .may_be_empty = true, /* one of three is enough */
            .meaning = "application ids that may push"),
    SETTING("roles", SET_TEXT_LIST, settings, roles,
            .may_be_empty = true, /* one of three is enough */
            .meaning = "app roles of our registration that may push"),
    SETTING("objects", SET_TEXT_LIST, settings, objects,
            .may_be_empty = true, /* one of three is enough */
            .meaning = "object ids of service principals and managed identities that may push"),
    SETTING("leeway", SET_DURATION, settings, leeway_ms,
            .fallback = "5m", /* as Microsoft's libraries: section 1.2, verification order 8 */
            .most = 5 * MINUTE_MS,
            .meaning = "how far clocks may be off when a token's times are judged"),
    {.key = NULL},
};

struct state {
    const char *tenant_id, *login_url;
    struct text_list audience; /* both spellings of ours */
    struct text_list clients, roles, objects;
    int64_t leeway_s;
    bool people;
};

/* ---- settings ------------------------------------------------------------------------------------ */

static bool is_guid(const char *s)
{
    size_t i;

    for (i = 0; i < GUID_LENGTH; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23
                ? s[i] != '-'
                : !s[i] || !strchr("0123456789abcdefABCDEF", s[i]))
            return false;
    return !s[i];
}

static const char *lower(struct arena *a, const char *text)
{
    char *copy = arena_str(a, text);

    for (char *c = copy; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return copy;
}

/* An app is known as its client id and as api://CLIENT-ID, and the token's version decides which one is
 * the audience (section 1.2, verification order 7): whoever names one of them means both. */
static bool spell_audience(struct arena *a, const struct text_list *in, struct text_list *out)
{
    static const char api[] = "api://";

    out->items = arena_array(a, 2 * in->count, sizeof *out->items);
    for (size_t i = 0; out->items && i < in->count; i++) {
        const char *text = in->items[i];
        const char *guid = strncmp(text, api, sizeof api - 1) == 0 ? text + sizeof api - 1 : text;

        if (is_guid(guid)) {
            const char *id = lower(a, guid), *uri = arena_fmt(a, "%s%s", api, id ? id : "");

            if (!id || !uri)
                return false;
            out->items[out->count++] = id;
            out->items[out->count++] = uri;
        } else {
            out->items[out->count++] = text;
        }
    }
    return out->items != NULL;
}

static bool has_empty(const struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (!*list->items[i])
            return true;
    return false;
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
    settings_read(reader, node, "entra", table, set);
    if (reader->faults->count != faults)
        return NULL;
    if (has_empty(&set->audience) || has_empty(&set->clients) || has_empty(&set->roles) ||
        has_empty(&set->objects))
        yaml_fault(reader->faults, node, "entra: an empty text in a list matches nothing");
    if (!set->audience.count)
        yaml_fault(reader->faults, node, "entra.audience: expected at least one");
    if (source->people && set->clients.count)
        yaml_fault(reader->faults, yaml_get(node, "clients"),
                   "entra.clients: these are applications, and approvers are persons: name "
                   "`roles` or `objects`");
    if (!set->clients.count && !set->roles.count && !set->objects.count)
        yaml_fault(
            reader->faults, node->key ? node->key : node,
            source->people
                ? "entra: everybody of the tenant can sign in; name the `roles` or `objects` of those "
                  "who may answer"
                : "entra: start refused without an allow-list: every application of the tenant can "
                  "get a token for this audience; name `clients`, `roles` or `objects`");
    if (reader->faults->count != faults)
        return NULL;
    *s = (struct state){.tenant_id = source->tenant_id,
                        .login_url = source->login_url,
                        .clients = set->clients,
                        .roles = set->roles,
                        .objects = set->objects,
                        .leeway_s = set->leeway_ms / SECOND_MS,
                        .people = source->people};
    if (!spell_audience(reader->arena, &set->audience, &s->audience)) {
        yaml_fault(reader->faults, node, "out of memory");
        return NULL;
    }
    return s;
}

/* ---- one token ----------------------------------------------------------------------------------- */

static void end(struct verify_result *ret, enum verify_verdict verdict, const char *why)
{
    ret->verdict = verdict;
    (void)snprintf(ret->why, sizeof ret->why, "entra: %.140s", why);
}

/* The token of `Authorization: Bearer TOKEN`, there exactly once; NULL with ret filled. */
static const char *bearer(const struct verify_request *q, struct verify_result *ret)
{
    static const char word[] = "Bearer ";
    unsigned count = 0;
    const char *value = q->header(q->ctx, "Authorization", &count);

    if (count != 1 || !value) {
        end(ret, VERIFY_DENIED, count > 1 ? "more than one Authorization" : "no Authorization");
        return NULL;
    }
    if (strncasecmp(value, word, sizeof word - 1) != 0) {
        end(ret, VERIFY_DENIED, "the Authorization is no Bearer");
        return NULL;
    }
    value += sizeof word - 1;
    return value + strspn(value, " ");
}

static bool in_list(const struct text_list *list, const char *text, bool caseless)
{
    for (size_t i = 0; text && i < list->count; i++)
        if (caseless ? strcasecmp(list->items[i], text) == 0 : strcmp(list->items[i], text) == 0)
            return true;
    return false;
}

/* Checks 6 and 7. The audience is said: it is what has to be added to a list, and Entra ID has signed it. */
static const char *wrong_parties(const struct state *s, const struct json *claims,
                                 const char *issuer, struct arena *a)
{
    const char *iss = json_get_string(claims, "iss"), *aud = json_get_string(claims, "aud");
    const char *why = "another audience";

    if (!iss || strcmp(iss, issuer) != 0)
        return "another issuer";
    if (in_list(&s->audience, aud, false))
        return NULL;
    if (aud)
        why = arena_fmt(a, "the audience %.60s, which `audience` does not list", aud);
    return why ? why : "another audience";
}

/* Check 8. Differences cannot overflow: now is near 0 beside INT64_MAX. */
static const char *wrong_times(const struct state *s, const struct json *claims, int64_t now_s)
{
    int64_t exp, nbf, iat;

    if (!json_int64(json_get(claims, "exp"), &exp) || !json_int64(json_get(claims, "nbf"), &nbf))
        return "no exp or nbf";
    if (now_s - s->leeway_s >= exp)
        return "expired";
    if (now_s + s->leeway_s < nbf)
        return "not valid yet";
    if (json_get(claims, "iat") &&
        (!json_int64(json_get(claims, "iat"), &iat) || now_s + s->leeway_s < iat))
        return "issued in the future";
    return NULL;
}

/* Check 9: an application's own token. A user's has `scp`, or (id tokens, with the user's roles) a `sub`
 * that is not the object's id. */
static const char *not_an_app(const struct json *claims, const char *client)
{
    const char *idtyp = json_get_string(claims, "idtyp");
    const char *sub = json_get_string(claims, "sub"), *oid = json_get_string(claims, "oid");

    if (json_get(claims, "scp"))
        return "a user's token, not an application's";
    if (json_get(claims, "idtyp") && !(idtyp && strcmp(idtyp, "app") == 0))
        return "idtyp is not app";
    if (sub && oid && strcmp(sub, oid) != 0)
        return "the subject is no application";
    if (!client || !*client)
        return "no calling application";
    return NULL;
}

/* The other way round. A person's subject is another for each application that he signs in to, so it is never
 * his object's id. */
static const char *not_a_person(const struct json *claims)
{
    const char *idtyp = json_get_string(claims, "idtyp");
    const char *sub = json_get_string(claims, "sub"), *oid = json_get_string(claims, "oid");

    if (json_get(claims, "idtyp") && !(idtyp && strcmp(idtyp, "user") == 0))
        return "an application's token, not a person's";
    if (!sub || !*sub || !oid || !*oid || strlen(oid) > PERSON_MAX)
        return "no subject or object";
    if (strcmp(sub, oid) == 0)
        return "the subject is an application";
    return NULL;
}

/* What people call him, for the record, and behind it his object, which tells two persons from one: his tokens name
 * him as the application asked for it, or not at all. NULL: out of memory. */
static const char *person_of(struct arena *a, const struct json *claims)
{
    static const char *const names[] = {"preferred_username", "upn", "unique_name", "email"};
    const char *oid = json_get_string(claims, "oid"), *name = NULL;

    for (size_t i = 0; i < sizeof names / sizeof *names && !name; i++) {
        name = json_get_string(claims, names[i]);
        if (name && (!*name || strlen(name) > PERSON_MAX))
            name = NULL;
    }
    return arena_fmt(a, "%s (%s)", name ? name : "without a name", oid);
}

/* person: of person_of; or a name that another scheme has proven, which may end in brackets as well, but in no object. Whether
 * he has a role still his next token says. */
static bool knows(const void *state, const char *person)
{
    const struct state *s = state;
    const char *object = strrchr(person, '(');
    char id[GUID_LENGTH + 1] = "";

    if (object && strlen(object) == 1 + GUID_LENGTH + 1 && object[1 + GUID_LENGTH] == ')')
        memcpy(id, object + 1, GUID_LENGTH);
    return is_guid(id) && (in_list(&s->objects, id, true) || s->roles.count > 0);
}

/* Check 10. */
static bool is_allowed(const struct state *s, const struct json *claims, const char *client)
{
    if (in_list(&s->clients, client, true) ||
        in_list(&s->objects, json_get_string(claims, "oid"), true))
        return true;
    if (json_type(json_get(claims, "roles")) == JSON_ARRAY)
        JSON_EACH (role, json_get(claims, "roles"))
            if (in_list(&s->roles, json_string(role), false))
                return true;
    return false;
}

static const char *not_listed(struct arena *a, const char *client)
{
    const char *why =
        arena_fmt(a, "the application %.60s is on none of the source's lists", client);

    return why ? why : "the application is on none of the source's lists";
}

/* Checks 4 to 10 of a token whose `tid` and `ver` are ours. */
static void judge(const struct state *s, const struct verify_env *env,
                  const struct verify_request *q, const struct jwt *t, bool v2,
                  struct verify_result *ret)
{
    const char *client = json_get_string(t->claims, v2 ? "azp" : "appid"), *why;
    struct jwks_key key;
    struct err e;
    enum err_code code;
    bool untimely = false;

    if (!env->keys) {
        end(ret, VERIFY_UNAVAILABLE, "keys cannot be fetched here");
        return;
    }
    switch (jwks_find(env->keys, s->login_url, s->tenant_id, v2 ? JWKS_V2 : JWKS_V1, t->kid,
                      q->may_block, q->arena, &key)) {
    case JWKS_UNKNOWN:
        end(ret, VERIFY_DENIED, key.why);
        return;
    case JWKS_MUST_WAIT:
        end(ret, VERIFY_MUST_WAIT, key.why);
        return;
    case JWKS_OUT_OF_REACH:
        end(ret, VERIFY_UNAVAILABLE, key.why);
        return;
    case JWKS_FOUND:
        break;
    }
    code = jwt_verify(t, key.key, &e);
    EVP_PKEY_free(key.key);
    if (code) {
        end(ret, code == ERR_NOMEM ? VERIFY_UNAVAILABLE : VERIFY_DENIED, e.text);
        return;
    }
    why = wrong_parties(s, t->claims, key.issuer, q->arena);
    if (!why) {
        why = wrong_times(s, t->claims, q->now_ms / SECOND_MS);
        untimely = why != NULL;
    }
    if (!why)
        why = s->people ? not_a_person(t->claims) : not_an_app(t->claims, client);
    if (why) {
        end(ret, VERIFY_DENIED, why);
        if (untimely)
            verify_untimely(q, ret);
        return;
    }
    ret->key = s->people ? person_of(q->arena, t->claims) : arena_str(q->arena, client);
    ret->tenant_id = s->tenant_id;
    if (!ret->key)
        end(ret, VERIFY_UNAVAILABLE, "out of memory");
    else if (!is_allowed(s, t->claims, client))
        end(ret, VERIFY_FORBIDDEN,
            s->people ? "the person is on none of the lists of approvers"
                      : not_listed(q->arena, client));
    else
        ret->verdict = VERIFY_GOOD;
}

static void check(void *arg, const struct verify_env *env, const struct verify_request *q,
                  struct verify_result *ret)
{
    const struct state *s = arg;
    const char *token = bearer(q, ret), *tid, *ver;
    struct jwt t;
    struct err e;
    enum err_code code;

    if (!token)
        return;
    code = jwt_parse(q->arena, token, &t, &e);
    if (code) {
        end(ret, code == ERR_NOMEM ? VERIFY_UNAVAILABLE : VERIFY_DENIED, e.text);
        return;
    }
    tid = json_get_string(t.claims, "tid");
    ver = json_get_string(t.claims, "ver");
    if (!tid || strcasecmp(tid, s->tenant_id) != 0)
        end(ret, VERIFY_DENIED, "another tenant");
    else if (!ver || (strcmp(ver, "1.0") != 0 && strcmp(ver, "2.0") != 0))
        end(ret, VERIFY_DENIED, "the version is neither 1.0 nor 2.0");
    else
        judge(s, env, q, &t, strcmp(ver, "2.0") == 0, ret);
    jwt_clear(&t);
}

static const char *header(const void *state)
{
    (void)state;
    return "Authorization";
}

const struct verify_scheme verify_entra = {
    .name = "entra",
    .challenge = "Bearer",
    .compile = compile,
    .check = check,
    .header = header,
    .knows = knows,
};
