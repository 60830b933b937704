/* cmd_send.c - `cordon send`: pushes a notification as one of the configured sources would.
 *
 * No secret is printed: a command for curl reads it from its file, and a URL is named without its query.
 * It reads the source's own secret, so what it proves is that the server takes what an honest sender
 * sends. A source that shows a token of Entra cannot be played: its credential is not ours to have. For
 * that one the way with curl is shown.
 */
#include "cli.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auto.h"
#include "buf.h"
#include "clock.h"
#include "config.h"
#include "id.h"
#include "intake_words.h"
#include "json.h"
#include "mime.h"
#include "rest.h"
#include "settings.h"
#include "verify_basic.h"
#include "verify_hmac.h"
#include "verify_standard_webhooks.h"

#define TIMEOUT_MS                                                                                 \
    30000 /* the server answers within seconds or not at all: webhook-sources.md 8.2 */
#define HEADERS_MAX (REST_HEADERS_MAX - 1)

struct options {
    const char *config, *source, *alert, *machine, *url;
    bool print_curl, json;
};

static const struct cli_option options[] = {
    CLI_CONFIG(struct options, config),
    {.name = "source",
     .type = CLI_TEXT,
     .offset = offsetof(struct options, source),
     .value = "NAME",
     .help = "the source to send as",
     .required = true},
    {.name = "alert",
     .type = CLI_TEXT,
     .offset = offsetof(struct options, alert),
     .value = "ID",
     .help = "the alert's id",
     .required = true},
    CLI_OPTION("machine", CLI_TEXT, struct options, machine, "ID",
               "the machine's id, if it is to be sent"),
    CLI_OPTION("url", CLI_TEXT, struct options, url, "URL",
               "where to, with /hooks/NAME where it has no path; else public_url or listen"),
    CLI_OPTION("print-curl", CLI_FLAG, struct options, print_curl, NULL,
               "send nothing; print the curl command that would"),
    CLI_JSON(struct options, json),
    {.name = NULL},
};

static const struct cli_command command = {
    .name = "send",
    .about = "Signs and posts a notification as a source would, by the source's own settings.\n"
             "Prints the answer. Exit code 0 when the server took it.",
    .options = options,
};

/* One header. What is secret in it stands in a file, so that a printed command does not show it. */
struct header {
    const char *text;  /* "Name: value", or the part before the secret */
    const char *shell; /* what a shell puts in for the secret; NULL: there is none */
    char *secret;      /* what follows text */
};

struct sending {
    struct arena *arena;
    struct yaml_faults faults;
    struct settings_reader reader;
    struct config_sender sender;
    const char *url;
    /* parameter that holds a secret, which no message and no command shows; or NULL */
    const char *query;
    struct secret query_secret;
    struct buf body;
    struct header headers[HEADERS_MAX];
    size_t n_headers;
};

static void add_header(struct sending *s, const char *text, const char *shell, char *secret)
{
    if (text && s->n_headers < HEADERS_MAX)
        s->headers[s->n_headers++] =
            (struct header){.text = text, .shell = shell, .secret = secret};
}

/* text as one word of a shell. */
static void add_quoted(struct buf *out, const char *text)
{
    buf_addc(out, '\'');
    for (; *text; text++)
        if (*text == '\'')
            buf_adds(out, "'\\''");
        else
            buf_addc(out, *text);
    buf_addc(out, '\'');
}

/* `$(tr -d '\r' <'FILE')`, in the arena: the end of the line is cut, as the server cuts it. With a user name: what Basic
 * makes of the two. */
static const char *shell_of(const struct sending *s, const char *file, const char *username)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(64 * 1024);

    if (username) {
        buf_adds(&out, "$(printf '%s:%s' ");
        add_quoted(&out, username);
        buf_adds(&out, " \"");
    }
    buf_adds(&out, "$(tr -d '\\r' <");
    add_quoted(&out, file);
    buf_addc(&out, ')');
    if (username)
        buf_adds(&out, "\" | openssl base64 -A)");
    return arena_str(s->arena, buf_text(&out));
}

/* ---- schemes ---------------------------------------------------------------------------------- */

/* The newest of a scheme's secrets that is good now; false: said why not. */
static bool first_secret(struct sending *s, const struct yaml_node *settings, const char *scheme,
                         struct secret *ret)
{
    static const struct setting row = {.key = "secret",
                                       .type = SET_SECRET_LIST,
                                       .required = true,
                                       .meaning = "there is nothing to sign with"};
    struct secret_list list = {0};
    struct secret *current;

    settings_read_key(&s->reader, settings, scheme, &row, &list);
    if (s->faults.count) {
        cli_show_faults(&s->faults);
        return false;
    }
    if (list.count == 0) {
        cli_error("%s.secret_files is empty: there is nothing to sign with", scheme);
        return false;
    }
    current = secret_current(&list, clock_wall_ms(clock_system()));
    if (current)
        *ret = *current;
    else
        cli_error("%s.secret_files: none of them is good at this time (not_before, not_after)",
                  scheme);
    for (size_t i = 0; i < list.count; i++)
        if (&list.items[i] != current)
            secret_wipe(&list.items[i]);
    return current != NULL;
}

static bool prove_standard_webhooks(struct sending *s, const struct yaml_node *settings)
{
    AUTO(buf_clear) struct buf signature = BUF_INIT(256);
    unsigned char key[STANDARD_WEBHOOKS_KEY_MAX];
    char id[ID_TEXT_SIZE], timestamp[24], delivery[ID_TEXT_SIZE + 4];
    struct secret secret;
    size_t key_len = 0;
    struct err e = {0};
    enum err_code code;

    if (!first_secret(s, settings, "standard_webhooks", &secret))
        return false;
    (void)snprintf(delivery, sizeof delivery, "msg_%s", id_format(id_new(clock_system()), id));
    (void)snprintf(timestamp, sizeof timestamp, "%lld",
                   (long long)(clock_wall_ms(clock_system()) / SECOND_MS));
    code = standard_webhooks_key(secret.text, key, &key_len, &e);
    if (!code)
        code = standard_webhooks_sign(key, key_len, delivery, timestamp, buf_text(&s->body),
                                      s->body.len, &signature, &e);
    explicit_bzero(key, sizeof key);
    secret_wipe(&secret);
    if (code) {
        cli_error("%s: %s", secret.file, e.text);
        return false;
    }
    add_header(s, arena_fmt(s->arena, "webhook-id: %s", delivery), NULL, NULL);
    add_header(s, arena_fmt(s->arena, "webhook-timestamp: %s", timestamp), NULL, NULL);
    add_header(s, arena_fmt(s->arena, "webhook-signature: %s", buf_text(&signature)), NULL, NULL);
    return true;
}

static bool prove_token(struct sending *s, const struct yaml_node *settings)
{
    static const struct setting row = {
        .key = "header", .type = SET_TEXT, .fallback = "Authorization: Bearer"};
    static const struct setting query_row = {.key = "query", .type = SET_TEXT};
    const char *header = NULL, *colon;
    struct secret secret;

    settings_read_key(&s->reader, settings, "token", &query_row, &s->query);
    if (s->query)
        return first_secret(s, settings, "token", &s->query_secret);
    settings_read_key(&s->reader, settings, "token", &row, &header);
    if (!first_secret(s, settings, "token", &secret))
        return false;
    colon = strchr(header, ':'); /* "Name" or "Name: Word", as verify_token.c reads it */
    add_header(s,
               colon ? arena_fmt(s->arena, "%.*s: %s ", (int)(colon - header), header,
                                 colon + 1 + strspn(colon + 1, " "))
                     : arena_fmt(s->arena, "%s: ", header),
               shell_of(s, secret.file, NULL), secret.text);
    return true;
}

static bool prove_hmac(struct sending *s, const struct yaml_node *settings)
{
    char id[ID_TEXT_SIZE], timestamp[24];
    struct text_list headers = {0};
    struct err e = {0};

    (void)snprintf(timestamp, sizeof timestamp, "%lld",
                   (long long)(clock_wall_ms(clock_system()) / SECOND_MS));
    if (hmac_sign(&s->reader, settings, timestamp, id_format(id_new(clock_system()), id),
                  buf_text(&s->body), s->body.len, &headers, &e)) {
        cli_show_faults(&s->faults);
        cli_error("%s", e.text);
        return false;
    }
    for (size_t i = 0; i < headers.count; i++)
        add_header(s, headers.items[i], NULL, NULL);
    return true;
}

static bool prove_basic(struct sending *s, const struct yaml_node *settings)
{
    struct secret password = {0};
    const char *username = NULL;
    char *plain, *code;
    size_t len;

    if (!basic_way(&s->reader, settings, &username, &password)) {
        cli_show_faults(&s->faults);
        return false;
    }
    plain = arena_fmt(s->arena, "%s:%s", username, password.text);
    len = plain ? strlen(plain) : 0;
    code = arena_alloc(s->arena, len / 3 * 4 + 8);
    if (plain && code) {
        (void)EVP_EncodeBlock((unsigned char *)code, (const unsigned char *)plain, (int)len);
        explicit_bzero(plain, len);
        add_header(s, "Authorization: Basic ", shell_of(s, password.file, username), code);
    }
    secret_wipe(&password);
    return plain && code;
}

/* Nothing is asked for. */
static bool prove_none(struct sending *s, const struct yaml_node *settings)
{
    (void)s;
    (void)settings;
    return true;
}

static const struct {
    const char *name;
    bool (*prove)(struct sending *s, const struct yaml_node *settings);
} schemes[] = {
    {"standard_webhooks", prove_standard_webhooks},
    {"hmac", prove_hmac},
    {"token", prove_token},
    {"basic", prove_basic},
    {"none", prove_none},
};

/* Can every scheme of an entry be played, but for the one that is named? Of a public key the other half is the sender's
 * alone. */
static bool is_playable(const struct yaml_node *entry, const char *but_for)
{
    const struct yaml_node *signed_by = yaml_get(entry, "standard_webhooks");
    size_t known = but_for && yaml_get(entry, but_for);

    if (yaml_get(signed_by, "public_keys") && !yaml_get(signed_by, "secret_files"))
        return false;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        known += yaml_get(entry, schemes[i].name) != NULL;
    return entry->kind == YAML_MAP && entry->count > 0 && known == entry->count;
}

/* ---- curl ------------------------------------------------------------------------------------- */

static void add_option(struct buf *out, const char *option, const char *value)
{
    buf_addf(out, " %s ", option);
    add_quoted(out, value);
}

static void add_post(struct buf *out, const struct sending *s)
{
    buf_adds(out, "curl -g -sS -i -X POST");
    if (s->sender.unix_socket && s->url == s->sender.url)
        add_option(out, "--unix-socket", s->sender.unix_socket);
    add_option(out, "-H", "Content-Type: application/json");
    for (size_t i = 0; i < s->n_headers; i++) {
        add_option(out, "-H", s->headers[i].text);
        if (s->headers[i].shell)
            buf_addf(out, "\"%s\"", s->headers[i].shell);
    }
    if (s->query) /* curl encodes it; it needs 7.87 for that */
        buf_addf(out, " --url-query %s=\"%s\"", s->query, shell_of(s, s->query_secret.file, NULL));
}

static void add_end(struct buf *out, const struct sending *s)
{
    add_option(out, "--data-raw", buf_text(&s->body));
    buf_addc(out, ' ');
    add_quoted(out, s->url);
    buf_addc(out, '\n');
}

static void show_curl(const struct sending *s)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1024 * 1024);

    add_post(&out, s);
    add_end(&out, s);
    (void)fputs(buf_text(&out), stdout);
}

/* A token of Entra is for the sender's own application to get: the way to do it by hand. */
static int show_entra(struct sending *s, const struct yaml_node *settings, bool print_curl)
{
    static const struct setting row = {.key = "audience", .type = SET_TEXT_LIST, .required = true};
    AUTO(buf_clear) struct buf out = BUF_INIT(1024 * 1024);
    struct text_list audience = {0};
    const char *form;

    settings_read_key(&s->reader, settings, "entra", &row, &audience);
    if (s->faults.count) {
        cli_show_faults(&s->faults);
        return CLI_FAILED;
    }
    form =
        arena_fmt(s->arena, "%s/%s/oauth2/v2.0/token",
                  s->sender.login_url ? s->sender.login_url : "https://login.microsoftonline.com",
                  s->sender.tenant_id ? s->sender.tenant_id : "TENANT");
    buf_adds(&out, "TOKEN=$(curl -sS");
    add_option(&out, "-d", "grant_type=client_credentials");
    buf_adds(&out,
             " -d client_id=\"$CLIENT_ID\" --data-urlencode client_secret=\"$CLIENT_SECRET\"");
    add_option(
        &out, "--data-urlencode",
        arena_fmt(s->arena, "scope=%s/.default", audience.count ? audience.items[0] : "AUDIENCE"));
    buf_addc(&out, ' ');
    add_quoted(&out, form ? form : "");
    buf_adds(&out, " | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')\n");
    add_post(&out, s);
    buf_adds(&out, " -H \"Authorization: Bearer $TOKEN\"");
    add_end(&out, s);
    if (print_curl) {
        (void)fputs("Set CLIENT_ID and CLIENT_SECRET of the sender's application first.\n", stderr);
        (void)fputs(buf_text(&out), stdout);
        return CLI_DONE;
    }
    cli_error(
        "this source shows a token of Entra, which only the sender's own application can get. With "
        "its CLIENT_ID and CLIENT_SECRET in the environment:");
    (void)fputs(buf_text(&out), stderr);
    return CLI_FAILED;
}

/* ---- posting ---------------------------------------------------------------------------------- */

static void show_answer(const struct rest_answer *answer, bool as_json)
{
    AUTO(json_freep) struct json *body = NULL;
    AUTO(buf_clear) struct buf out = BUF_INIT(16 * 1024 * 1024);
    struct json_out o = JSON_OUT(&out);
    const char *text = answer->body ? answer->body : "";

    (void)json_parse(text, answer->body_len, &body, NULL); /* shown as it is when it is none */
    if (!as_json) {
        buf_addf(&out, "HTTP %ld ", answer->status);
        mime_clean_line(&out, text);
    } else {
        json_out_object(&o, NULL);
        json_out_int(&o, "status", answer->status);
        if (body)
            json_out_value(&o, "body", body);
        else
            json_out_string(&o, "body", text);
        json_out_object_end(&o);
    }
    (void)puts(buf_text(&out));
}

/* The URL with its secret, for the wire alone; in the arena. */
static const char *with_query(struct sending *s)
{
    char *code = rest_encode(s->query_secret.text);
    const char *url = code ? arena_fmt(s->arena, "%s%c%s=%s", s->url,
                                       strchr(s->url, '?') ? '&' : '?', s->query, code)
                           : s->url;

    if (code)
        explicit_bzero(code, strlen(code));
    free(code);
    return url;
}

static int post(struct sending *s, bool as_json)
{
    AUTO(rest_freep) struct rest *rest = NULL;
    AUTO(rest_answer_clear) struct rest_answer answer = {0};
    struct rest_request q = {.method = "POST",
                             .url = s->url,
                             .body = buf_text(&s->body),
                             .body_len = s->body.len,
                             .timeout_ms = TIMEOUT_MS};
    struct err e = {0};
    enum err_code code;

    if (s->query)
        q.url = with_query(s);
    q.unix_socket = s->url == s->sender.url ? s->sender.unix_socket : NULL;
    q.headers[0] = "Content-Type: application/json";
    for (size_t i = 0; i < s->n_headers; i++)
        q.headers[i + 1] = s->headers[i].secret ? arena_fmt(s->arena, "%s%s", s->headers[i].text,
                                                            s->headers[i].secret)
                                                : s->headers[i].text;
    code = cli_rest_new(&rest, &e);
    if (!code)
        code = rest_do(rest, &q, &answer, &e);
    if (code) {
        cli_error("%s: %s%s", s->url, e.text,
                  code == ERR_AGAIN     ? "; is cordon running there? --url names another place"
                  : code == ERR_INVALID ? "; --print-curl prints a command that may do it"
                                        : "");
        return CLI_FAILED;
    }
    show_answer(&answer, as_json);
    return answer.status >= 200 && answer.status < 300 ? CLI_DONE : CLI_FAILED;
}

static void make_body(struct sending *s, const struct options *o)
{
    struct json_out out = JSON_OUT(&s->body);

    json_out_object(&out, NULL);
    json_out_string(&out, "alertId", o->alert);
    if (o->machine)
        json_out_string(&out, "machineId", o->machine);
    json_out_object_end(&out);
}

static int send_as(struct sending *s, const struct options *o)
{
    const struct yaml_node *list =
        s->sender.verify->kind == YAML_LIST ? s->sender.verify->first : NULL;
    const struct yaml_node *chosen = list, *entra;

    while (chosen && !is_playable(chosen, NULL))
        chosen = chosen->next;
    for (const struct yaml_node *entry = list; entry && !chosen; entry = entry->next)
        if (yaml_get(entry, "entra") && is_playable(entry, "entra"))
            chosen = entry; /* all but the token, which is got by hand */
    if (!chosen) {
        cli_error("source %s: none of its verify entries is one that `cordon send` can satisfy",
                  o->source);
        return CLI_FAILED;
    }
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        const struct yaml_node *settings = yaml_get(chosen, schemes[i].name);

        if (settings && !schemes[i].prove(s, settings))
            return CLI_FAILED;
    }
    entra = yaml_get(chosen, "entra");
    if (entra)
        return show_entra(s, entra, o->print_curl);
    if (o->print_curl) {
        show_curl(s);
        return CLI_DONE;
    }
    return post(s, o->json);
}

/* The URL that somebody names; one of a host alone is meant as public_url is. */
static const char *where_to(struct arena *a, const char *url, const char *source)
{
    const char *host = strstr(url, "://") + 3;
    size_t len = strcspn(host, "/?");

    if (host[len] && strcmp(host + len, "/") != 0)
        return url;
    return arena_fmt(a, "%.*s/hooks/%s", (int)(host + len - url), url, source);
}

int cmd_send(int argc, char **argv)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct sending s = {.arena = arena, .body = BUF_INIT(64 * 1024)};
    struct options o = {0};
    struct err e = {0};
    const char *file;
    int code = cli_parse(argc, argv, &command, &o, NULL);

    if (code != CLI_GO_ON)
        return code;
    if (o.url && !rest_url_ok(o.url))
        return cli_usage(&command,
                         "--url: expected https://…, or http:// on this machine, found '%.80s'",
                         o.url);
    if (!word_is_alert_id(o.alert))
        return cli_usage(&command,
                         "--alert: expected an alert's id (letters, digits, '_', '-' and '.', at "
                         "most 128), found '%.40s'",
                         o.alert);
    if (o.print_curl && o.json)
        return cli_usage(&command, "--print-curl and --json: one of them; the command is text");
    file = cli_config_file(o.config);
    if (!file || !arena)
        return CLI_FAILED;
    code = cli_read(config_peek_source(file, NULL, arena, o.source, &s.sender, &s.faults, &e),
                    &s.faults, &e);
    if (code != CLI_GO_ON)
        return code;
    s.reader = (struct settings_reader){.arena = arena, .faults = &s.faults};
    s.url = o.url ? where_to(arena, o.url, o.source) : s.sender.url;
    make_body(&s, &o);
    code = buf_failed(&s.body) ? cli_usage(&command, "--machine: the id is too long")
                               : send_as(&s, &o);
    buf_clear(&s.body);
    secret_wipe(&s.query_secret);
    for (size_t i = 0; i < s.n_headers; i++)
        if (s.headers[i].secret)
            explicit_bzero(s.headers[i].secret, strlen(s.headers[i].secret));
    return code;
}
