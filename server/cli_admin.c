/* cli_admin.c - commands that speak to the running server, see cli.h.
 *
 * They read the admin part of the configuration alone (config_peek_admin), so that an operator who may
 * not read Defender's secret, or is in the middle of editing the rules, can still look and act.
 */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auto.h"
#include "config.h"
#include "desk.h"
#include "json.h"
#include "mime.h"
#include "rest.h"
#include "utf8.h"

#define ANSWER_MAX ((size_t)64 * 1024 * 1024) /* bytes: a list of everything */
#define TIMEOUT_MS 30000                      /* the server answers out of its own store */

/* How the admin address is reached from here. [::] is everybody, whom IPv4 reaches, too (http_socket.c), and [::1] is not there in
 * every container. NULL: out of memory. */
static const char *base_url(struct arena *a, const char *address)
{
    if (strncmp(address, "unix:", 5) == 0)
        return "http://localhost";
    if (strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0)
        return arena_fmt(a, "http://127.0.0.1%s", strrchr(address, ':'));
    return arena_fmt(a, "http://%s", address);
}

void cli_show_parts(const struct json *readyz)
{
    JSON_EACH (part, json_get(readyz, "parts")) {
        AUTO(buf_clear) struct buf why = BUF_INIT(64 * 1024);
        const char *text = json_get_string(part, "why");

        if (json_is_true(json_get(part, "ok")))
            continue;
        mime_clean_line(&why, text ? text : "not well");
        cli_error("%s: %s", json_name(part), buf_text(&why));
    }
}

/* What is to be done about an answer that is no success. */
static void show_refusal(const struct config_admin *admin, const struct rest_answer *answer,
                         const char *path, const char *what, const struct json *problem)
{
    const char *detail = json_get_string(problem, "detail");

    if (answer->status == 404 && !problem) /* cordon's own is a document */
        cli_error(
            "%s is not cordon's: it answered 404, and no word of why; which program listens there?",
            admin->address);
    else if (answer->status == 404 && !what) /* what every people's side has */
        cli_error(
            "there is no %.*s at %s: is that the senders' side (listen.address)? admin.address "
            "is to be the people's",
            (int)strcspn(path, "?"), path, admin->address);
    else if (answer->status == 404)
        cli_error("there is no %s", what);
    else if (answer->status == 401 && admin->token.file)
        cli_error(
            "the server does not take the token of %s; does it run with another configuration?",
            admin->token.file);
    else if (answer->status == 401)
        cli_error("the server wants a token: name the file that holds it in admin.token_file");
    else
        cli_error("%s: the server answered %ld%s%s", path, answer->status, detail ? ": " : "",
                  detail ? detail : "");
    cli_show_parts(problem); /* of /readyz, which answers 503 when it is not ready */
}

/* Why the socket of address is out of reach though it is there, which is no server that is down; 0: nothing is known. */
static int keeps_out(const char *address)
{
    if (strncmp(address, "unix:", 5) != 0 || access(address + 5, W_OK) == 0)
        return 0;
    return errno == ENOENT ? 0 : errno;
}

static void show_failure(const char *address, enum err_code code, const struct err *e)
{
    int kept_out = code == ERR_AGAIN ? keeps_out(address) : 0;

    if (kept_out)
        cli_error("cannot use the socket of admin.address %s: %s%s", address, strerror(kept_out),
                  kept_out == EACCES ? "; run the command as the user whom the socket belongs to, "
                                       "or as root"
                                     : "");
    else if (code == ERR_AGAIN)
        cli_error(
            "cannot reach cordon at %s (%s); is it running? One that runs listens where it did "
            "when it started, whatever admin.address is by now. Start it with `cordon serve`, or "
            "name its configuration with -c",
            address, e->text);
    else if (code == ERR_INVALID)
        cli_error(
            "cannot speak to admin.address %s from here: commands use plain HTTP, which is for "
            "loopback, 0.0.0.0, [::] and unix: alone",
            address);
    else
        cli_error("no answer from cordon at %s: %s", address, e->text);
}

static int read_admin(const char *given, struct arena *a, struct config_admin *ret)
{
    const char *file = cli_config_file(given);
    struct yaml_faults faults;
    struct err e = {0};
    enum err_code code;

    if (!file)
        return CLI_FAILED;
    code = config_peek_admin(file, NULL, a, ret, &faults, &e);
    return cli_read(code, &faults, &e);
}

/* No header can carry a line end: a second one at the end of the file, for one. */
static bool can_be_sent(const struct secret *token)
{
    for (const char *c = token->text; c && *c; c++)
        if (iscntrl((unsigned char)*c)) {
            cli_error(
                "the admin token cannot be sent: %s holds more than one line, or a control character; "
                "`openssl rand -base64 32` makes one",
                token->file);
            return false;
        }
    return true;
}

int cli_admin_call(const char *given, const char *method, const char *path, const char *body,
                   const char *what, const char *holds, struct json **ret)
{
    const struct rest_options options = {.max_answer = ANSWER_MAX};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(rest_freep) struct rest *rest = NULL;
    AUTO(rest_answer_clear) struct rest_answer answer = {0};
    AUTO(json_freep) struct json *doc = NULL;
    struct rest_request q = {.method = method, .body = body, .timeout_ms = TIMEOUT_MS};
    struct config_admin admin = {0};
    struct err e = {0};
    enum err_code code;
    const char *base;

    if (!a || read_admin(given, a, &admin) != CLI_GO_ON || !can_be_sent(&admin.token))
        return CLI_FAILED;
    base = base_url(a, admin.address);
    q.url = base ? arena_fmt(a, "%s%s", base, path) : NULL;
    q.headers[0] = "Accept: application/json";
    q.headers[1] =
        admin.token.text ? arena_fmt(a, "Authorization: Bearer %s", admin.token.text) : NULL;
    if (body) {
        q.body_len = strlen(body);
        q.headers[q.headers[1] ? 2 : 1] = "Content-Type: application/json";
    }
    if (strncmp(admin.address, "unix:", 5) == 0)
        q.unix_socket = admin.address + 5;
    code = q.url ? rest_new(&options, &rest, &e) : err_set(&e, ERR_NOMEM, "out of memory");
    if (!code)
        code = rest_do(rest, &q, &answer, &e);
    secret_wipe(&admin.token);
    if (code) {
        show_failure(admin.address, code, &e);
        return CLI_FAILED;
    }
    code = json_parse_own(answer.body ? answer.body : "", answer.body_len, &doc, &e);
    if (answer.status < 200 || answer.status > 299) {
        show_refusal(&admin, &answer, path, what, doc);
        if (json_type(json_get(doc, holds)) != JSON_ABSENT) {
            *ret = doc;
            doc = NULL;
        }
        return CLI_FAILED;
    }
    if (code) {
        cli_error("%s is not cordon's: its answer is no JSON (%s)", admin.address, e.text);
        return CLI_FAILED;
    }
    if (json_type(json_get(doc, holds)) == JSON_ABSENT) {
        cli_error(
            "%s is not cordon's: its answer says nothing of '%s'; which program listens there?",
            admin.address, holds);
        return CLI_FAILED;
    }
    *ret = doc;
    doc = NULL;
    return CLI_GO_ON;
}

/* Who sits at the keyboard: sudo hides it from the user id. For the record; nobody has proven it. A name that is too
 * long for the record is cut, as it must not keep the kill switch from being pulled. */
static const char *operator_name(struct arena *a)
{
    const char *name = getenv("SUDO_USER");

    if (!name || !*name)
        name = getenv("USER");
    return name && *name ? arena_strn(a, name, utf8_cut(name, DESK_WHO_MAX)) : NULL;
}

int cli_admin_order_with(const char *given, const char *path, const struct cli_order *order,
                         const char *what, const char *holds, struct json **ret)
{
    AUTO(buf_clear) struct buf body = BUF_INIT(64 * 1024);
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct json_out o = JSON_OUT(&body);

    if (!a) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    json_out_object(&o, NULL);
    if (order->why)
        json_out_string(&o, "why", order->why);
    json_out_string(&o, "by", operator_name(a));
    if (order->machine)
        json_out_string(&o, "machine", order->machine);
    if (order->duration)
        json_out_string(&o, "for", order->duration);
    if (order->when)
        json_out_string(&o, "when", order->when);
    if (order->until)
        json_out_string(&o, "until", order->until);
    json_out_object_end(&o);
    if (buf_failed(&body)) {
        cli_error("--why: the reason is too long");
        return CLI_FAILED;
    }
    return cli_admin_call(given, "POST", path, buf_text(&body), what, holds, ret);
}

int cli_admin_order(const char *given, const char *path, const char *why, const char *what,
                    const char *holds, struct json **ret)
{
    return cli_admin_order_with(given, path, &(struct cli_order){.why = why}, what, holds, ret);
}

void cli_query_add(struct buf *path, const char *name, const char *value)
{
    AUTO(auto_free) char *encoded = value ? rest_encode(value) : NULL;

    if (encoded)
        buf_addf(path, "%c%s=%s", strchr(buf_text(path), '?') ? '&' : '?', name, encoded);
}

#define PAGE_MAX 100 /* elements of one answer: the server holds them in memory */

int cli_admin_list(const char *given, const char *path, const char *member, int64_t limit,
                   struct json **ret)
{
    AUTO(buf_clear) struct buf all = BUF_INIT(ANSWER_MAX), page = BUF_INIT(CLI_PATH_MAX);
    AUTO(auto_free) char *next = NULL;
    struct json_out o = JSON_OUT(&all);
    int64_t left = limit ? limit : CLI_LIST_LIMIT;
    struct err e = {0};

    json_out_object(&o, NULL);
    json_out_array(&o, member);
    do {
        AUTO(json_freep) struct json *answer = NULL;
        const struct json *elements;
        char digits[24];

        (void)snprintf(digits, sizeof digits, "%d", left < PAGE_MAX ? (int)left : PAGE_MAX);
        buf_reset(&page);
        buf_adds(&page, path);
        cli_query_add(&page, "limit", digits);
        cli_query_add(&page, "cursor", next);
        if (cli_admin_call(given, "GET", buf_text(&page), NULL, NULL, member, &answer) != CLI_GO_ON)
            return CLI_FAILED;
        elements = json_get(answer, member);
        JSON_EACH (x, elements)
            json_out_value(&o, NULL, x);
        left -= (int64_t)json_count(elements);
        free(next);
        next = json_get_string(answer, "next") ? strdup(json_get_string(answer, "next")) : NULL;
        if (json_count(elements) == 0)
            break;
    } while (next && left > 0 && !buf_failed(&all));
    json_out_array_end(&o);
    json_out_string(&o, "next", next);
    json_out_object_end(&o);
    if (buf_failed(&all) || json_parse_own(buf_text(&all), all.len, ret, &e)) {
        cli_error("the list is too long: ask for less of it with --limit");
        return CLI_FAILED;
    }
    return CLI_GO_ON;
}
