/* test_listen.c - the doors of a running cordon: TLS, Unix sockets, tokens in headers, a disk that takes
 * nothing any more, and crowds of clients that never come to an end. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "kit/certs.h"
#include "kit/house.h"
#include "kit/look.h"
#include "kit/raw.h"

#define SOON 20000 /* ms; a deadline, not a wait */

static const struct house_options not_yet = {.not_yet = true};

static void add_alert(struct house *h, const char *id)
{
    sim_tellf(h->sim, "/alerts", "{\"id\":\"%s\",\"severity\":\"Low\",\"title\":\"A title\"}", id);
}

static int count_cases(struct house *h)
{
    AUTO(json_freep) struct json *cases = house_get(h, "/api/cases");

    return (int)json_count(json_get(cases, "cases"));
}

/* ---- TLS ----------------------------------------------------------------------------------------- */

/* A handshake of exactly this version, with whom the CA vouches for as localhost; NULL: refused. */
static struct raw *open_tls(const char *address, int version, const char *ca_file)
{
    struct raw *r = raw_open(address);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl;

    assert_non_null(r);
    assert_non_null(ctx);
    assert_int_equal(SSL_CTX_load_verify_locations(ctx, ca_file, NULL), 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    ssl = SSL_new(ctx);
    assert_non_null(ssl);
    assert_int_equal(SSL_set_min_proto_version(ssl, version), 1);
    assert_int_equal(SSL_set_max_proto_version(ssl, version), 1);
    assert_int_equal(SSL_set1_host(ssl, "localhost"), 1);
    assert_int_equal(SSL_set_fd(ssl, r->fd), 1);
    if (SSL_connect(ssl) != 1) {
        SSL_free(ssl);
        SSL_CTX_free(ctx);
        raw_free(r);
        return NULL;
    }
    r->ssl = ssl;
    r->ctx = ctx;
    return r;
}

static void send_push(struct house *h, struct raw *r, const char *alert)
{
    struct buf b = BUF_INIT(1 << 16);
    char body[200], headers[3][200], id[60];

    (void)snprintf(body, sizeof body, "{\"alertId\":\"%s\"}", alert);
    (void)snprintf(id, sizeof id, "msg_%s", alert);
    house_sign(h->secret, id, time(NULL), body, strlen(body), headers);
    buf_addf(&b,
             "POST /hooks/relay HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             "%s\r\n%s\r\n%s\r\nContent-Length: %zu\r\n\r\n%s",
             headers[0], headers[1], headers[2], strlen(body), body);
    raw_text(r, buf_text(&b));
    buf_clear(&b);
}

static void test_listen__tls_1_2_and_1_3_are_spoken_and_nothing_older(void **state)
{
    static const struct {
        int version;
        const char *name, *alert;
    } rows[] = {{TLS1_2_VERSION, "TLSv1.2", "da1_-12"}, {TLS1_3_VERSION, "TLSv1.3", "da1_-13"}};
    struct cert *ca = cert_new(&(struct cert_wish){.name = "A CA", .days = 2});
    struct cert *own = cert_new(
        &(struct cert_wish){.name = "localhost", .issuer = ca, .purpose = "serverAuth", .days = 1});
    struct house *h = house_start(&not_yet);
    char ca_file[300], certificate[300], key[300], listen[1000];
    struct raw_answer answer;
    const char *address;
    struct raw *r;

    (void)state;
    (void)snprintf(ca_file, sizeof ca_file, "%s/tls-ca.pem", h->dir);
    (void)snprintf(certificate, sizeof certificate, "%s/tls-chain.pem", h->dir);
    (void)snprintf(key, sizeof key, "%s/tls-key.pem", h->dir);
    cert_save(ca, ca_file, NULL);
    cert_save(own, certificate, key);
    (void)snprintf(listen, sizeof listen,
                   "listen:\n  address: 127.0.0.1:0\n"
                   "  tls: {certificate_file: tls-chain.pem, key_file: %s}\n", /* beside it, too */
                   key);
    house_edit(h, "listen:\n  address: 127.0.0.1:0\n", listen);
    house_cordon_start(h);
    address = h->hooks + strlen("http://");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        add_alert(h, rows[i].alert);
        r = open_tls(address, rows[i].version, ca_file);
        if (!r) {
            fail_msg("%s was refused", rows[i].name);
            break;
        }
        assert_string_equal(SSL_get_version(r->ssl), rows[i].name);
        send_push(h, r, rows[i].alert);
        raw_answer(r, &answer, false);
        assert_int_equal(answer.status, 202);
        raw_free(r);
    }
    json_free(sim_wait_mails(h->sim, 2, SOON));

    assert_null(raw_open_tls(address, NULL, NULL, true)); /* 1.1 and less */
    r = raw_open(address);                                /* and not in plain text */
    assert_non_null(r);
    send_push(h, r, "da1_-0");
    raw_answer(r, &answer, false);
    assert_int_not_equal(answer.status, 202);
    raw_free(r);
    assert_int_equal(count_cases(h), 2);
    cert_free(own);
    cert_free(ca);
    house_stop(h);
}

/* ---- Unix sockets -------------------------------------------------------------------------------- */

static void test_listen__both_sides_take_unix_sockets(void **state)
{
    struct house *h = house_start(&not_yet);
    char in[300], people[300], text[700], *out;
    const char *const send[] = {"send",  "-c",      h->config_file, "--source",
                                "relay", "--alert", "da2_-1",       NULL};
    const char *const list[] = {"cases", "list", "--json", "-c", h->config_file, NULL};
    struct stat st;

    (void)state;
    (void)snprintf(in, sizeof in, "%s/in.sock", h->dir);
    (void)snprintf(people, sizeof people, "%s/people.sock", h->dir);
    (void)snprintf(text, sizeof text, "listen:\n  address: unix:%s\n", in);
    house_edit(h, "listen:\n  address: 127.0.0.1:0\n", text);
    (void)snprintf(text, sizeof text, "admin:\n  address: unix:%s\n", people);
    house_edit(h, "admin:\n  address: 127.0.0.1:0\n", text);
    house_cordon_start(h);
    add_alert(h, "da1_-1");
    add_alert(h, "da2_-1");
    AUTO(json_freep) struct json *answer = house_push(h, "da1_-1", NULL, 202);
    json_free(house_wait_case(h, answer, "done", SOON));
    assert_int_equal(stat(in, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07, 0); /* nobody else's */

    assert_int_equal(house_run(h, &out, send), 0);
    assert_non_null(strstr(out, "accepted"));
    free(out);
    assert_int_equal(house_run(h, &out, list), 0);
    assert_non_null(strstr(out, "\"da2_-1\""));
    free(out);

    /* what a killed one leaves behind is no obstacle; a stopped one leaves nothing */
    house_cordon_kill(h);
    assert_int_equal(stat(in, &st), 0);
    house_cordon_start(h);
    assert_int_equal(count_cases(h), 2);
    house_cordon_stop(h);
    assert_int_equal(stat(in, &st), -1);
    assert_int_equal(stat(people, &st), -1);
    house_stop(h);
}

/* ---- the token scheme ---------------------------------------------------------------------------- */

#define NEWER "kT9vQm2xL7bW4nR8cY1pZ5"
#define OLDER "aH3jF6dS0gE2uI9oP4tK7w"

static void test_listen__a_token_is_shown_in_the_header_that_was_agreed(void **state)
{
    static const struct {
        const char *label, *scheme, *header, *again; /* again: one more header */
        int status;
    } rows[] = {
        {"the newest secret", "", "Authorization: Bearer " NEWER, NULL, 202},
        {"an older one", "", "Authorization: Bearer " OLDER, NULL, 202},
        {"bearer", "", "authorization: bearer " NEWER, NULL, 202},
        {"none", "", NULL, NULL, 401},
        {"the secret of another", "", "Authorization: Bearer kT9vQm2xL7bW4nR8cY1pZ6", NULL, 401},
        {"its beginning", "", "Authorization: Bearer kT9vQm2xL7bW4nR8cY1p", NULL, 401},
        {"more than it", "", "Authorization: Bearer " NEWER "5", NULL, 401},
        {"in other letters", "", "Authorization: Bearer KT9VQM2XL7BW4NR8CY1PZ5", NULL, 401},
        {"both at once", "", "Authorization: Bearer " NEWER OLDER, NULL, 401},
        {"no word before it", "", "Authorization: " NEWER, NULL, 401},
        {"Basic", "", "Authorization: Basic " NEWER, NULL, 401},
        {"twice", "", "Authorization: Bearer " NEWER, "Authorization: Bearer " NEWER, 401},
        {"in a header of one's own", "", "X-Api-Key: " NEWER, NULL, 401},
        {"the header of their own", "header: X-Api-Key, ", "x-api-key: " NEWER, NULL, 202},
        {"the older one there", "header: X-Api-Key, ", "X-Api-Key: " OLDER, NULL, 202},
        {"wrong there", "header: X-Api-Key, ", "X-Api-Key: x" NEWER, NULL, 401},
        {"a word that is none", "header: X-Api-Key, ", "X-Api-Key: Bearer " NEWER, NULL, 401},
        {"the usual header", "header: X-Api-Key, ", "Authorization: Bearer " NEWER, NULL, 401},
        {"a word of their own", "header: \"X-Auth: Key\", ", "X-Auth: Key " NEWER, NULL, 202},
        {"without that word", "header: \"X-Auth: Key\", ", "X-Auth: " NEWER, NULL, 401},
    };
    struct house *h = NULL;
    const char *running = NULL;
    int good = 0;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *headers[] = {"Content-Type: application/json", rows[i].header, rows[i].again,
                                 NULL};
        char source[300], url[300], body[100];
        const struct house_options o = {.source = source, .not_yet = true};
        struct fetched f;

        if (!running || strcmp(running, rows[i].scheme) != 0) {
            house_stop(h);
            (void)snprintf(source, sizeof source,
                           "    verify:\n      - token: {%ssecret_files: [newer, older]}\n",
                           rows[i].scheme);
            h = house_start(&o);
            free(house_write_file(h, "newer", NEWER "\n"));
            free(house_write_file(h, "older", OLDER));
            house_cordon_start(h);
            running = rows[i].scheme;
            good = 0;
        }
        (void)snprintf(url, sizeof url, "%s/hooks/relay", h->hooks);
        (void)snprintf(body, sizeof body, "{\"alertId\":\"da%zu_-1\"}", i);
        (void)fetch(&f, "POST", url, headers, body, strlen(body), SOON);
        if (f.status != rows[i].status)
            fail_msg("%s: HTTP %d: %s", rows[i].label, f.status, f.body);
        good += f.status == 202;
        assert_int_equal(count_cases(h), good);
        fetched_clear(&f);
        house_log_lacks(h, "kT9vQm2x");
        house_log_lacks(h, "aH3jF6dS");
    }
    house_stop(h);
}

/* ---- a disk that takes nothing ------------------------------------------------------------------- */

/* From now on no file of the running process may grow beyond this; RLIM_INFINITY: as before. */
static void limit_files(struct house *h, rlim_t bytes)
{
    struct rlimit now;

    assert_int_equal(prlimit(h->pid, RLIMIT_FSIZE, NULL, &now), 0);
    now.rlim_cur = bytes < now.rlim_max ? bytes : now.rlim_max;
    assert_int_equal(prlimit(h->pid, RLIMIT_FSIZE, &now, NULL), 0);
}

static void test_listen__a_sick_store_is_a_503_and_heals(void **state)
{
    struct house *h = house_start(NULL);
    struct fetched f;
    char word[100], url[300];
    int status;

    (void)state;
    add_alert(h, "da1_-1");
    add_alert(h, "da2_-1");
    AUTO(json_freep) struct json *before = house_push(h, "da1_-1", NULL, 202);
    json_free(house_wait_case(h, before, "done", SOON));
    json_free(sim_wait_mails(h->sim, 1, SOON));

    limit_files(h, 0);
    for (int i = 0; i < 3; i++) {
        (void)house_post(h, NULL, "{\"alertId\":\"da2_-1\"}", &f);
        if (f.status != 503)
            fail_msg("HTTP %d instead of 503: %s %s", f.status, f.body, f.why);
        assert_non_null(fetched_header(&f, "Retry-After", word, sizeof word));
        assert_in_range(strtol(word, NULL, 10), 1, 300);
        assert_non_null(fetched_header(&f, "Content-Type", word, sizeof word));
        assert_string_equal(word, "application/problem+json");
        assert_null(strstr(f.body, ".db")); /* not a sender's business */
        fetched_clear(&f);
    }
    (void)snprintf(url, sizeof url, "%s/readyz", h->admin);
    (void)fetch(&f, "GET", url, NULL, NULL, 0, SOON);
    assert_int_equal(f.status, 503);
    assert_non_null(strstr(f.body, "\"store\":{\"ok\":false"));
    fetched_clear(&f);
    assert_int_equal(count_cases(h), 1); /* reading goes on */
    assert_int_equal(sim_count_calls(h->sim, "GET", "/api/alerts/da2_-1"), 0);

    limit_files(h, RLIM_INFINITY);
    for (int64_t until = look_until(SOON);; look_again(until, "still HTTP 503")) {
        (void)house_post(h, NULL, "{\"alertId\":\"da2_-1\"}", &f);
        status = f.status;
        fetched_clear(&f);
        if (status != 503)
            break;
    }
    assert_int_equal(status, 202);
    json_free(sim_wait_mails(h->sim, 2, SOON));
    (void)fetch(&f, "GET", url, NULL, NULL, 0, SOON);
    assert_int_equal(f.status, 200);
    fetched_clear(&f);
    house_stop(h);
}

/* ---- a clock that is off ------------------------------------------------------------------------- */

#define AHEAD_S 3600

/* The status of a push to a source that was signed by a clock which is so far ahead of this host's. */
static int push_ahead_to(struct house *h, const char *source, int64_t ahead_s)
{
    static const char body[] = "{\"alertId\":\"da2_-1\"}";
    char url[300], id[60], headers[3][200];
    const char *const list[] = {"Content-Type: application/json", headers[0], headers[1],
                                headers[2], NULL};
    struct fetched f;
    int status;

    (void)snprintf(url, sizeof url, "%s/hooks/%s", h->hooks, source);
    (void)snprintf(id, sizeof id, "msg_%u", ++h->serial);
    house_sign(h->secret, id, time(NULL) + ahead_s, body, sizeof body - 1, headers);
    (void)fetch(&f, "POST", url, list, body, sizeof body - 1, SOON);
    status = f.status;
    fetched_clear(&f);
    return status;
}

static int push_ahead(struct house *h, int64_t ahead_s)
{
    return push_ahead_to(h, "relay", ahead_s);
}

/* Whoever asks for this path is told that it is later. */
static void set_their_clock_ahead(struct house *h, int64_t ahead_s, const char *path, int status,
                                  const char *json)
{
    const time_t now = time(NULL) + ahead_s;
    char date[64];
    struct tm tm;

    assert_true(strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm)) > 0);
    sim_tellf(h->sim, "/faults",
              "{\"path\":\"%s\",\"kind\":\"answer\",\"status\":%d,\"count\":-1,"
              "\"headers\":{\"Date\":\"%s\"},\"json\":%s}",
              path, status, date, json);
}

/* Who asks Defender for this alert. */
static void set_defenders_clock_ahead(struct house *h, int64_t ahead_s, const char *alert)
{
    char path[100];

    (void)snprintf(path, sizeof path, "/api/alerts/%s", alert);
    set_their_clock_ahead(h, ahead_s, path, 503, "{}");
}

/* Until it takes its own clock for right, and that of a sender for wrong. */
static void wait_believed(struct house *h)
{
    for (int64_t until = look_until(SOON); push_ahead(h, AHEAD_S) != 401;
         look_again(until, "it does not see that its clock is right"))
        ;
}

/* Defender says what time it is: this host's clock is behind by an hour. By that clock a good sender's pushes are of another
 * time, and none repeats what was answered with 401. */
static void test_listen__a_clock_that_is_off_is_a_503_and_heals(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    set_defenders_clock_ahead(h, AHEAD_S, "da1_-1");
    add_alert(h, "da1_-1");
    add_alert(h, "da2_-1");
    wait_believed(h); /* nobody knows better so far */
    json_free(house_push(h, "da1_-1", NULL, 202));
    for (int64_t until = look_until(SOON); push_ahead(h, AHEAD_S) != 503;
         look_again(until, "it says that a sender's time is wrong, and its own is"))
        ;
    assert_int_equal(sim_count_calls(h->sim, "GET", "/api/alerts/da2_-1"), 0);
    sim_delete(h->sim, "/faults"); /* the next answer is of this time */
    wait_believed(h);
    assert_int_equal(push_ahead(h, 0), 202);
    json_free(sim_wait_mails(h->sim, 2, SOON));
    house_stop(h);
}

/* Off by less than what isolations bear, and by more than this source tolerates: no push of its sender's would ever be taken. */
static void test_listen__a_clock_that_is_off_by_more_than_a_source_tolerates(void **state)
{
    const struct house_options o = {.not_yet = true};
    struct house *h = house_start(&o);
    char from[400], to[400];

    (void)state;
    (void)snprintf(from, sizeof from, "{secret_files: [%s]}", h->secret_file);
    (void)snprintf(to, sizeof to, "{secret_files: [%s], tolerance: 1m}", h->secret_file);
    house_edit(h, from, to);
    house_cordon_start(h);
    wait_believed(h);
    set_defenders_clock_ahead(h, 150, "da1_-1");
    add_alert(h, "da1_-1");
    json_free(house_push(h, "da1_-1", NULL, 202));
    for (int64_t until = look_until(SOON); push_ahead(h, 150) != 503;
         look_again(until, "it says that a sender's time is wrong, and its own is"))
        ;
    house_stop(h);
}

/* By a clock that is years off, as it may be at boot, no certificate of Defender's or Entra's is good, and nobody says what time it is:
 * who is right about that is not known. */
static void test_listen__a_clock_that_nobody_knows_of_refuses_no_push_for_good(void **state)
{
    const struct house_options o = {.not_yet = true};
    struct house *h = house_start(&o);

    (void)state;
    sim_tell(h->sim, "/faults", "{\"path\":\"*\",\"kind\":\"reset\",\"count\":-1}");
    house_cordon_start(h);
    assert_int_equal(push_ahead(h, AHEAD_S), 503);
    add_alert(h, "da1_-1");
    json_free(house_push(h, "da1_-1", NULL, 202));
    assert_int_equal(push_ahead(h, AHEAD_S), 503);
    sim_delete(h->sim, "/faults");
    wait_believed(h);
    json_free(sim_wait_mails(h->sim, 1, SOON));
    house_stop(h);
}

/* A host has one clock: what a tenant's Defender says of it is true for those senders, too, of whose tenant's nothing was
 * heard yet. */
static void test_listen__a_clock_that_is_off_is_off_for_every_tenant(void **state)
{
    const struct house_options o = {.not_yet = true};
    struct house *h = house_start(&o);
    char text[900];

    (void)state;
    (void)snprintf(text, sizeof text,
                   "tenants:\n  fabrikam:\n    tenant_id: 11111111-2222-4333-8444-555555555555\n"
                   "    client_id: %s\n    client_secret_file: %s/client-secret\n"
                   "    api_url: http://127.0.0.1:9\n    login_url: http://127.0.0.1:9\n",
                   h->sim->client_id, h->dir);
    house_edit(h, "tenants:\n", text);
    (void)snprintf(text, sizeof text,
                   "sources:\n  branch:\n    tenant: fabrikam\n    verify:\n"
                   "      - standard_webhooks: {secret_files: [%s]}\n",
                   h->secret_file);
    house_edit(h, "sources:\n", text);
    house_cordon_start(h);
    wait_believed(h);
    set_defenders_clock_ahead(h, AHEAD_S, "da1_-1");
    add_alert(h, "da1_-1");
    json_free(house_push(h, "da1_-1", NULL, 202));
    /* each answer of Defender's to something else says the right time */
    for (int64_t until = look_until(SOON); push_ahead_to(h, "branch", AHEAD_S) != 503;
         look_again(until, "it says that a sender's time is wrong, and its own is"))
        ;
    house_stop(h);
}

/* Entra ID refuses what such a clock has dated, the assertion of an application with a certificate: Defender, which is not even
 * asked then, cannot say what time it is. */
static void test_listen__a_clock_that_gets_no_token_is_off_all_the_same(void **state)
{
    const struct house_options o = {.not_yet = true};
    struct house *h = house_start(&o);

    (void)state;
    set_their_clock_ahead(h, AHEAD_S, "*/oauth2/v2.0/token", 401,
                          "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS700024\","
                          "\"error_codes\":[700024]}");
    house_cordon_start(h);
    for (int64_t until = look_until(SOON);; look_again(until, "its clock is not called wrong")) {
        AUTO(json_freep) struct json *ready = house_get(h, "/readyz");
        const struct json *part = json_get(json_get(ready, "parts"), "clock:contoso");

        if (part && !json_is_true(json_get(part, "ok")))
            break;
    }
    assert_int_equal(push_ahead(h, AHEAD_S), 503);
    assert_int_equal(push_ahead(h, 0), 202);
    house_stop(h);
}

/* ---- slow clients -------------------------------------------------------------------------------- */

enum { SLOW = 500, PUSHES = 80 };

struct crowd {
    struct house *h;
    char *head,
        *body; /* what they send so slowly: never the end of a head; a head, never all its body */
    pthread_t thread;
    atomic_bool stop;
    atomic_int connected;
};

struct slow {
    struct raw *raw;
    const char *left;
};

static void open_slow(struct crowd *c, struct slow *s, size_t i)
{
    s->raw = raw_open(c->h->hooks + strlen("http://"));
    s->left = c->head;
    if (s->raw && i % 2) { /* every other one has shown its head, and is slow with its body */
        raw_text(s->raw, c->body);
        s->left = "{\"alertId\":\"                                                        ";
    }
    if (s->raw)
        (void)atomic_fetch_add(&c->connected, 1);
}

static void *drip(void *arg)
{
    struct crowd *c = arg;
    struct slow *crowd = calloc(SLOW, sizeof *crowd);

    while (crowd && !atomic_load(&c->stop)) {
        for (size_t i = 0; i < SLOW; i++) {
            struct slow *s = &crowd[i];

            if (!s->raw)
                open_slow(c, s, i);
            if (!s->raw || !*s->left)
                continue;
            if (send(s->raw->fd, s->left, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) {
                s->left++;
            } else if (errno != EAGAIN) { /* it was told to go: the next one comes */
                raw_free(s->raw);
                s->raw = NULL;
                (void)atomic_fetch_sub(&c->connected, 1);
            }
        }
        (void)poll(NULL, 0, 100); /* "now and then" */
    }
    for (size_t i = 0; crowd && i < SLOW; i++)
        raw_free(crowd[i].raw);
    free(crowd);
    return NULL;
}

static void crowd_start(struct crowd *c, struct house *h)
{
    struct buf head = BUF_INIT(1 << 16), body = BUF_INIT(1 << 16);

    c->h = h;
    buf_adds(&head, "POST /hooks/relay HTTP/1.1\r\nHost: localhost\r\nX-Filler: ");
    for (int i = 0; i < 2000; i++)
        buf_addc(&head, 'a');
    buf_addf(&body,
             "POST /hooks/relay HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             "webhook-id: msg_slow\r\nwebhook-timestamp: %lld\r\nwebhook-signature: v1,%s\r\n"
             "Content-Length: 1000\r\n\r\n",
             (long long)time(NULL), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    c->head = buf_take(&head);
    c->body = buf_take(&body);
    assert_int_equal(pthread_create(&c->thread, NULL, drip, c), 0);
}

static void crowd_stop(struct crowd *c)
{
    atomic_store(&c->stop, true);
    (void)pthread_join(c->thread, NULL);
    free(c->head);
    free(c->body);
}

/* What the server itself counts. */
static int64_t connections(struct house *h)
{
    return (int64_t)house_metric(h, "cordon_connections{side=\"senders\"}");
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Pushes one after another, each answered 202; the time in ms within which nine of ten were answered. */
static int64_t ninth_of_ten(struct house *h, const char *prefix)
{
    int64_t took[PUSHES];

    for (int i = 0; i < PUSHES; i++) {
        char alert[60];
        int64_t start = look_now_ms();

        (void)snprintf(alert, sizeof alert, "%s%d_-1", prefix, i);
        json_free(house_push(h, alert, NULL, 202));
        took[i] = look_now_ms() - start;
    }
    qsort(took, PUSHES, sizeof *took, compare);
    return took[PUSHES * 9 / 10];
}

static void test_listen__slow_clients_hold_up_nobody(void **state)
{
    struct rlimit files;
    struct crowd crowd = {0};
    int64_t idle, crowded;
    struct house *h;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_cur < 2048) { /* both ends need one for each */
        files.rlim_cur = files.rlim_max < 2048 ? files.rlim_max : 2048;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
        if (files.rlim_cur < 1200)
            skip();
    }
    h = house_start(NULL);
    idle = ninth_of_ten(h, "da1");
    crowd_start(&crowd, h);
    LOOK_FOR(connections(h) >= SLOW, SOON, "the crowd is not there");
    crowded = ninth_of_ten(h, "da2");
    assert_in_range(connections(h), SLOW * 8 / 10, SLOW + 10); /* they were there all the time */
    print_message("  nine of ten pushes: %lld ms alone, %lld ms in the crowd\n", (long long)idle,
                  (long long)crowded);
    /* Who is held up waits until some of them are told to go, after ten seconds. */
    assert_true(crowded <= 20 * idle + 2000);
    crowd_stop(&crowd);
    house_cordon_kill(h); /* with its cases under way: nobody told Defender about their alerts */
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listen__tls_1_2_and_1_3_are_spoken_and_nothing_older),
        cmocka_unit_test(test_listen__both_sides_take_unix_sockets),
        cmocka_unit_test(test_listen__a_token_is_shown_in_the_header_that_was_agreed),
        cmocka_unit_test(test_listen__a_sick_store_is_a_503_and_heals),
        cmocka_unit_test(test_listen__a_clock_that_is_off_is_a_503_and_heals),
        cmocka_unit_test(test_listen__a_clock_that_is_off_by_more_than_a_source_tolerates),
        cmocka_unit_test(test_listen__a_clock_that_is_off_is_off_for_every_tenant),
        cmocka_unit_test(test_listen__a_clock_that_gets_no_token_is_off_all_the_same),
        cmocka_unit_test(test_listen__a_clock_that_nobody_knows_of_refuses_no_push_for_good),
        cmocka_unit_test(test_listen__slow_clients_hold_up_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
