/* connect.c - see connect.h. One table of ways; each row's function reads the scheme's settings and gives names
 * to what its texts need. A text that takes in another one gets it as a value, already filled in. */
#include "connect.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "verify_basic.h"
#include "verify_hmac.h"

#define TEXT_MAX ((size_t)256 * 1024) /* of one filled-in text; they have a few KiB */

/* ---- filling in ---------------------------------------------------------------------------------- */

static void set(struct connect_values *v, const char *name, const char *text, bool as_is)
{
    assert(v->count < CONNECT_VALUES_MAX);
    v->items[v->count++] =
        (struct connect_value){.name = name, .text = text ? text : "", .as_is = as_is};
}

static void set_text(struct connect_values *v, const char *name, const char *text)
{
    set(v, name, text, false);
}

static const struct connect_value *find(const struct connect_values *v, const char *name,
                                        size_t len)
{
    for (size_t i = 0; i < v->count; i++)
        if (strlen(v->items[i].name) == len && strncmp(v->items[i].name, name, len) == 0)
            return &v->items[i];
    return NULL;
}

static const char *text_of(const struct connect_values *v, const char *name)
{
    const struct connect_value *value = find(v, name, strlen(name));

    assert(value);
    return value->text;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

/* As the inside of a JSON string. */
static void add_json(struct buf *out, const char *text)
{
    struct buf quoted = BUF_INIT(TEXT_MAX);
    struct json_out o = JSON_OUT(&quoted);

    json_out_string(&o, NULL, text);
    if (buf_failed(&quoted))
        out->failed = buf_failed(&quoted);
    else
        buf_add(out, buf_text(&quoted) + 1, quoted.len - 2);
    buf_clear(&quoted);
}

/* As the inside of '…' of a shell. */
static void add_shell(struct buf *out, const char *text)
{
    for (; *text; text++)
        if (*text == '\'')
            buf_adds(out, "'\\''");
        else
            buf_addc(out, *text);
}

void connect_expand(struct buf *out, const char *file, const struct connect_values *values)
{
    const char *text = connect_asset(file), *open;

    assert(text && "no such asset");
    for (; (open = strstr(text, "{{")) != NULL; text = strstr(open, "}}") + 2) {
        size_t len = strspn(open + 2, "abcdefghijklmnopqrstuvwxyz_");
        const struct connect_value *value = find(values, open + 2, len);

        assert(strncmp(open + 2 + len, "}}", 2) == 0 && value && "a name without a value");
        buf_add(out, text, (size_t)(open - text));
        if (!value->as_is && ends_with(file, ".json"))
            add_json(out, value->text);
        else if (!value->as_is && ends_with(file, ".sh"))
            add_shell(out, value->text);
        else
            buf_adds(out, value->text);
    }
    buf_adds(out, text);
}

/* An asset filled in with what is known so far, as a value for another one. */
static bool set_asset(const struct settings_reader *reader, struct connect_values *v,
                      const char *name, const char *file)
{
    struct buf out = BUF_INIT(TEXT_MAX);
    const char *text;

    connect_expand(&out, file, v);
    text = buf_failed(&out) ? NULL : arena_str(reader->arena, buf_text(&out));
    buf_clear(&out);
    if (text)
        set(v, name, text, true);
    return text != NULL;
}

/* This configuration and this sender do not go together. false, for `return`. */
static bool refuse(struct err *e, const struct connect_about *about, const char *why)
{
    (void)err_set(e, ERR_INVALID, "sources.%s: %s", about->source, why);
    return false;
}

/* ---- what schemes are about ------------------------------------------------------------------------ */

/* {{secret_file}}, from wherever the text is used later. */
static void set_file(const struct settings_reader *reader, struct connect_values *v,
                     const char *file)
{
    char path[PATH_MAX];
    const char *whole = file && realpath(file, path) ? arena_str(reader->arena, path) : NULL;

    set_text(v, "secret_file", whole ? whole : file);
}

#define NONE_IS_GOOD "none of its `secret_files` is good at this time (not_before, not_after)"

/* Where the newest secret of a scheme that is good now stands. */
static bool set_secret_file(const struct settings_reader *reader, const struct connect_about *about,
                            const char *scheme, struct connect_values *v, struct err *e)
{
    static const struct setting row = {.key = "secret", .type = SET_SECRET_LIST};
    struct secret_list list = {0};
    const struct secret *current;

    settings_read_key(reader, about->settings, scheme, &row, &list);
    current = secret_current(&list, clock_wall_ms(clock_system()));
    for (size_t i = 0; i < list.count; i++)
        secret_wipe(&list.items[i]);
    if (!current && !reader->faults->count)
        return refuse(e, about,
                      list.count
                          ? NONE_IS_GOOD
                          : "there are no `secret_files`, so there is nothing that such a sender "
                            "could prove itself by");
    set_file(reader, v, current ? current->file : NULL);
    return true;
}

/* What a list names first that begins with `start`; else the first; NULL when it is empty. */
static const char *pick(const struct text_list *list, const char *start)
{
    for (size_t i = 0; i < list->count; i++)
        if (strncmp(list->items[i], start, strlen(start)) == 0)
            return list->items[i];
    return list->count ? list->items[0] : NULL;
}

/* {{audience}}, {{role}}, {{client_id}}. The audience as a URI, where there is one: what a sender types. */
static void set_entra(const struct settings_reader *reader, const struct connect_about *about,
                      const char *no_client, struct connect_values *v)
{
    const struct setting audience_row = {
        .key = "audience", .type = SET_TEXT_LIST, .required = true};
    const struct setting clients_row = {
        .key = "clients", .type = SET_TEXT_LIST, .may_be_empty = true};
    const struct setting roles_row = {.key = "roles", .type = SET_TEXT_LIST, .may_be_empty = true};
    struct text_list audience = {0}, clients = {0}, roles = {0};
    const char *role;

    settings_read_key(reader, about->settings, "entra", &audience_row, &audience);
    settings_read_key(reader, about->settings, "entra", &clients_row, &clients);
    settings_read_key(reader, about->settings, "entra", &roles_row, &roles);
    role = pick(&roles, "");
    set_text(v, "audience", pick(&audience, "api://"));
    set_text(v, "role", role ? role : "Alerts.Push");
    set_text(v, "client_id", clients.count == 1 ? clients.items[0] : no_client);
}

/* ---- Logic Apps, Power Automate, Functions ----------------------------------------------------------- */

/* Whether a flow's action polls for the outcome: webhook-sources.md section 1.5, "Async contract". */
static void set_waiting(const struct connect_about *about, struct connect_values *v)
{
    bool waits = about->reply_status;

    set(v, "no_polling", waits ? "" : "\"operationOptions\": \"DisableAsyncPattern\",\n      ",
        true);
    set_text(v, "polling", waits ? "On" : "Off");
    set_text(v, "outcome",
             waits ? "The source has `reply: status`: the action waits until cordon has done with "
                     "the alert, and its output is what became\nof it."
                   : "The action ends when cordon has the alert on disk. To wait for the outcome, "
                     "give the source `reply: status` and let\ncordon write this anew.");
}

static bool fill_logic_app(const struct settings_reader *reader, const struct connect_about *about,
                           struct connect_values *v, struct err *e)
{
    (void)e;
    set_entra(reader, about, "", v);
    set_waiting(about, v);
    return set_asset(reader, v, "workflow", "logic-app/workflow.json");
}

static bool fill_flow_entra(const struct settings_reader *reader, const struct connect_about *about,
                            struct connect_values *v, struct err *e)
{
    (void)e;
    set_waiting(about, v);
    set_entra(reader, about, "what sh app-registration.sh client prints", v);
    return set_asset(reader, v, "script", "app-registration.sh") &&
           set_asset(reader, v, "registration", "power-automate/registration.md") &&
           set_asset(reader, v, "authentication", "power-automate/entra.md");
}

/* {{header}} and {{word}} ("Bearer " or ""), as verify_token.c reads `header`. */
static void set_token_header(const struct settings_reader *reader,
                             const struct connect_about *about, struct connect_values *v)
{
    static const struct setting row = {
        .key = "header", .type = SET_TEXT, .fallback = "Authorization: Bearer"};
    const char *header = NULL, *colon;

    settings_read_key(reader, about->settings, "token", &row, &header);
    header = header ? header : "";
    colon = strchr(header, ':');
    set_text(v, "header",
             colon ? arena_strn(reader->arena, header, (size_t)(colon - header)) : header);
    set_text(v, "word",
             colon ? arena_fmt(reader->arena, "%s ", colon + 1 + strspn(colon + 1, " ")) : "");
}

static bool fill_flow_token(const struct settings_reader *reader, const struct connect_about *about,
                            struct connect_values *v, struct err *e)
{
    bool raw;

    if (yaml_get(about->settings, "query"))
        return refuse(e, about,
                      "its token stands in the query of the URL, which a flow shows to everybody "
                      "who may see its runs; let it stand in a header");
    if (!set_secret_file(reader, about, "token", v, e))
        return false;
    set_waiting(about, v);
    set_token_header(reader, about, v);
    raw = strcmp(text_of(v, "header"), "Authorization") == 0;
    set_text(v, "registration", "");
    return set_asset(reader, v, "authentication",
                     raw ? "power-automate/token.md" : "power-automate/header.md");
}

/* {{username}}, and the file with the password as {{secret_file}}. */
static void set_basic(const struct settings_reader *reader, const struct connect_about *about,
                      struct connect_values *v)
{
    const char *username = NULL;
    struct secret password = {0};

    (void)basic_way(reader, about->settings, &username, &password); /* the caller sees the faults */
    secret_wipe(&password);
    set_text(v, "username", username);
    set_file(reader, v, password.file);
}

static bool fill_flow_basic(const struct settings_reader *reader, const struct connect_about *about,
                            struct connect_values *v, struct err *e)
{
    (void)e;
    set_basic(reader, about, v);
    set_waiting(about, v);
    set_text(v, "registration", "");
    return set_asset(reader, v, "authentication", "power-automate/basic.md");
}

/* Its keys come from app settings: whsec_… of secret_files, or the sender's own whsk_…. */
static bool fill_function(const struct settings_reader *reader, const struct connect_about *about,
                          struct connect_values *v, struct err *e)
{
    (void)reader;
    (void)about;
    (void)v;
    (void)e;
    return true;
}

/* ---- curl ------------------------------------------------------------------------------------------ */

/* Text as the inside of "…" of a shell, {body}, {timestamp} and {id} being the script's variables. */
static void add_double_quoted(struct buf *out, const char *text)
{
    static const struct {
        const char *name, *variable;
    } variables[] = {{"{body}", "${body}"}, {"{timestamp}", "${time}"}, {"{id}", "${id}"}};

    while (*text) {
        bool done = false;

        for (size_t i = 0; !done && i < sizeof variables / sizeof *variables; i++)
            if (strncmp(text, variables[i].name, strlen(variables[i].name)) == 0) {
                buf_adds(out, variables[i].variable);
                text += strlen(variables[i].name);
                done = true;
            }
        if (done)
            continue;
        if (strchr("\\\"$`", *text))
            buf_addc(out, '\\');
        buf_addc(out, *text++);
    }
}

static bool set_built(const struct settings_reader *reader, struct connect_values *v,
                      const char *name, struct buf *b)
{
    const char *text = buf_failed(b) ? NULL : arena_str(reader->arena, buf_text(b));

    buf_clear(b);
    if (text)
        set(v, name, text, true);
    return text != NULL;
}

static bool set_socket(const struct settings_reader *reader, const struct connect_about *about,
                       struct connect_values *v)
{
    struct buf b = BUF_INIT(TEXT_MAX);

    if (about->unix_socket) {
        buf_adds(&b, " \"$@\" --unix-socket '");
        add_shell(&b, about->unix_socket);
        buf_addc(&b, '\'');
    }
    return set_built(reader, v, "socket", &b);
}

/* The script around a proof. */
static bool finish_curl(const struct settings_reader *reader, const struct connect_about *about,
                        const char *scheme, const char *secret, const char *proof,
                        struct connect_values *v)
{
    set_text(v, "scheme", scheme);
    set(v, "secret_comment", secret, true);
    return set_socket(reader, about, v) && set_asset(reader, v, "proof", proof);
}

#define FROM_A_FILE                                                                                \
    "The secret is read from a file, which CORDON_SECRET_FILE names where it is\n"                 \
    "# another than cordon's own."
#define SIGNED_BY_OPENSSL                                                                          \
    FROM_A_FILE                                                                                    \
    " openssl is given the key as an argument, which others on the same host\n"                    \
    "# may see meanwhile: use this on hosts of your own."

static bool fill_curl_standard_webhooks(const struct settings_reader *reader,
                                        const struct connect_about *about, struct connect_values *v,
                                        struct err *e)
{
    return set_secret_file(reader, about, "standard_webhooks", v, e) &&
           set_asset(reader, v, "secret", "curl/secret.sh") &&
           finish_curl(reader, about, "a signature (Standard Webhooks)", SIGNED_BY_OPENSSL,
                       "curl/standard_webhooks.sh", v);
}

static bool fill_curl_hmac(const struct settings_reader *reader, const struct connect_about *about,
                           struct connect_values *v, struct err *e)
{
    struct buf payload = BUF_INIT(TEXT_MAX), headers = BUF_INIT(TEXT_MAX);
    struct hmac_way way;

    hmac_way(reader, about->settings, &way);
    if (reader->faults->count || !way.header)
        return true; /* the caller sees the faults */
    if (!way.secret_file)
        return refuse(e, about, NONE_IS_GOOD);
    add_double_quoted(&payload, way.payload);
    buf_addf(&headers, "%s: ", way.header);
    if (way.members)
        buf_adds(&headers, "t=${time},");
    add_double_quoted(&headers, way.prefix);
    buf_adds(&headers, "${signature}");
    if (way.timestamp_header)
        buf_addf(&headers, "\n%s: ${time}", way.timestamp_header);
    if (way.id_header)
        buf_addf(&headers, "\n%s: ${id}", way.id_header);
    set_file(reader, v, way.secret_file);
    set_text(v, "digest", way.digest);
    set(v, "encoder", way.base64 ? "openssl base64 -A" : "od -An -v -tx1 | tr -d ' \\n'", true);
    set(v, "key_decoder",
        strcmp(way.key_form, "hex") == 0 ? ""
        : strcmp(way.key_form, "base64") == 0
            ? " | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \\n'"
            : " | od -An -v -tx1 | tr -d ' \\n'",
        true);
    return set_built(reader, v, "payload", &payload) && set_built(reader, v, "headers", &headers) &&
           set_asset(reader, v, "secret", "curl/secret.sh") &&
           finish_curl(reader, about, "a signature (HMAC)", SIGNED_BY_OPENSSL, "curl/hmac.sh", v);
}

static bool fill_curl_token(const struct settings_reader *reader, const struct connect_about *about,
                            struct connect_values *v, struct err *e)
{
    static const struct setting query_row = {.key = "query", .type = SET_TEXT};
    struct buf headers = BUF_INIT(TEXT_MAX);
    const char *query = NULL;

    if (!set_secret_file(reader, about, "token", v, e) ||
        !set_asset(reader, v, "secret", "curl/secret.sh"))
        return false;
    settings_read_key(reader, about->settings, "token", &query_row, &query);
    if (query) {
        set_text(v, "query", query);
        return finish_curl(reader, about, "a token in the query", FROM_A_FILE, "curl/query.sh", v);
    }
    set_token_header(reader, about, v);
    buf_addf(&headers, "%s: ", text_of(v, "header"));
    add_double_quoted(&headers, text_of(v, "word"));
    return set_built(reader, v, "headers", &headers) &&
           finish_curl(reader, about, "a token", FROM_A_FILE, "curl/token.sh", v);
}

static bool fill_curl_basic(const struct settings_reader *reader, const struct connect_about *about,
                            struct connect_values *v, struct err *e)
{
    (void)e;
    set_basic(reader, about, v);
    return set_asset(reader, v, "secret", "curl/secret.sh") &&
           finish_curl(reader, about, "a user name and a password", FROM_A_FILE, "curl/basic.sh",
                       v);
}

static bool fill_curl_entra(const struct settings_reader *reader, const struct connect_about *about,
                            struct connect_values *v, struct err *e)
{
    (void)e;
    set_entra(reader, about, "", v);
    return finish_curl(reader, about, "a token of Entra ID",
                       "CORDON_CLIENT_ID is the sender's application, and\n"
                       "# CORDON_SECRET_FILE names a file with its client secret.",
                       "curl/entra.sh", v);
}

static bool fill_curl_none(const struct settings_reader *reader, const struct connect_about *about,
                           struct connect_values *v, struct err *e)
{
    (void)e;
    return finish_curl(reader, about, "nothing: the source takes whoever reaches it",
                       "There is no secret.", "curl/none.sh", v);
}

/* ---- the table --------------------------------------------------------------------------------------- */

const char *const connect_targets[] = {"logic-app", "power-automate", "azure-function", "curl",
                                       NULL};

#define STEPS .files = {{"flow.md", "power-automate/steps.md"}}
#define CURL  .files = {{"send-alert.sh", "curl/send-alert.sh"}}

static const struct connect_way ways[] = {
    {"logic-app", "entra", true, fill_logic_app,
     .files = {{"README.md", "logic-app/README.md"},
               {"template.json", "logic-app/template.json"},
               {"workflow.json", "logic-app/workflow.json"},
               {"app-registration.sh", "app-registration.sh"}}},
    {"power-automate", "entra", true, fill_flow_entra, STEPS},
    {"power-automate", "token", true, fill_flow_token, STEPS},
    {"power-automate", "basic", true, fill_flow_basic, STEPS},
    {"azure-function", "standard_webhooks", true, fill_function,
     .files = {{"README.md", "azure-function/README.md"},
               {"host.json", "azure-function/host.json"},
               {"package.json", "azure-function/package.json"},
               {"src/functions/relay.js", "azure-function/src/functions/relay.js"}}},
    {"curl", "standard_webhooks", false, fill_curl_standard_webhooks, CURL},
    {"curl", "hmac", false, fill_curl_hmac, CURL},
    {"curl", "token", false, fill_curl_token, CURL},
    {"curl", "basic", false, fill_curl_basic, CURL},
    {"curl", "entra", false, fill_curl_entra, CURL},
    {"curl", "none", false, fill_curl_none, CURL},
};
#define WAYS (sizeof ways / sizeof *ways)

const struct connect_way *connect_find(const char *target, const char *scheme)
{
    for (size_t i = 0; i < WAYS; i++)
        if (strcmp(ways[i].target, target) == 0 && strcmp(ways[i].scheme, scheme) == 0)
            return &ways[i];
    return NULL;
}

void connect_schemes(const char *target, struct buf *out)
{
    const char *last = NULL;

    for (size_t i = 0; i < WAYS; i++) {
        if (strcmp(ways[i].target, target) != 0)
            continue;
        if (last)
            buf_addf(out, "%s%s", out->len ? ", " : "", last);
        last = ways[i].scheme;
    }
    if (last)
        buf_addf(out, "%s%s", out->len ? " or " : "", last);
}

enum err_code connect_fill(const struct connect_way *way, const struct settings_reader *reader,
                           const struct connect_about *about, struct connect_values *values,
                           struct err *e)
{
    struct err why = {0};

    *values = (struct connect_values){0};
    set_text(values, "source", about->source);
    set_text(values, "url", about->url);
    set_text(values, "tenant_id", about->tenant_id);
    set_text(values, "login_url", about->login_url);
    set_text(values, "graph_url", about->graph_url);
    if (!way->fill(reader, about, values, &why))
        return *why.text ? err_set(e, ERR_INVALID, "%s", why.text)
                         : err_set(e, ERR_NOMEM, "connect");
    if (reader->faults->count)
        return err_set(e, ERR_INVALID,
                       "sources.%s: its `verify` cannot be read; see `cordon check`",
                       about->source);
    return ERR_OK;
}
