/* test_rotation.c - secrets, certificates and signing keys roll while senders push 200 times a second: nobody
 * is refused, no connection is dropped, nobody sends a signal. Files change as a Kubernetes volume changes
 * them: FOLDER/name leads to FOLDER/..data/name, and ..data swings to another folder. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "kit/certs.h"
#include "kit/house.h"
#include "kit/look.h"
#include "kit/raw.h"

#define SOON    20000 /* ms; a deadline, not a wait */
#define APP     "6f1c0de0-1111-4222-8333-944444444444"
#define SENDERS 4
#define EACH_MS 20 /* one sender's pace: 4 x 50 a second */
#define ENOUGH  1200
#define ROUNDS  3

/* ---- files that others rotate --------------------------------------------------------------------- */

static void put(struct house *h, const char *path, const char *text)
{
    free(house_write_file(h, path, text));
}

/* DIR/folder/..data leads to DIR/folder/generation from now on, in one step. */
static void swing(struct house *h, const char *folder, const char *generation)
{
    char link[300], data[300];

    (void)snprintf(link, sizeof link, "%.200s/%s/..next", h->dir, folder);
    (void)snprintf(data, sizeof data, "%.200s/%s/..data", h->dir, folder);
    assert_int_equal(symlink(generation, link), 0);
    assert_int_equal(rename(link, data), 0);
}

static void make_folder(struct house *h, const char *path)
{
    char whole[300];

    (void)snprintf(whole, sizeof whole, "%.200s/%s", h->dir, path);
    assert_int_equal(mkdir(whole, 0700), 0);
}

static void lead_to_data(struct house *h, const char *folder, const char *name)
{
    char link[300], target[60];

    (void)snprintf(link, sizeof link, "%.200s/%s/%s", h->dir, folder, name);
    (void)snprintf(target, sizeof target, "..data/%s", name);
    assert_int_equal(symlink(target, link), 0);
}

static void new_secret(char out[64])
{
    unsigned char key[32];

    assert_int_equal(RAND_bytes(key, sizeof key), 1);
    memcpy(out, "whsec_", 6);
    (void)EVP_EncodeBlock((unsigned char *)out + 6, key, sizeof key);
}

static void put_secrets(struct house *h, unsigned generation, const char *current,
                        const char *previous)
{
    char name[20], path[60];

    (void)snprintf(name, sizeof name, "%u", generation);
    (void)snprintf(path, sizeof path, "secrets/%u", generation);
    make_folder(h, path);
    (void)snprintf(path, sizeof path, "secrets/%u/current", generation);
    put(h, path, current);
    (void)snprintf(path, sizeof path, "secrets/%u/previous", generation);
    put(h, path, previous);
    swing(h, "secrets", name);
}

static void put_certificate(struct house *h, unsigned generation, const struct cert *ca, int days)
{
    struct cert *c = cert_new(&(struct cert_wish){
        .name = "localhost", .issuer = ca, .purpose = "serverAuth", .days = days});
    char name[20], path[60], chain[300], key[300];

    (void)snprintf(name, sizeof name, "%u", generation);
    (void)snprintf(path, sizeof path, "tls/%u", generation);
    make_folder(h, path);
    (void)snprintf(chain, sizeof chain, "%.200s/%s/chain.pem", h->dir, path);
    (void)snprintf(key, sizeof key, "%.200s/%s/key.pem", h->dir, path);
    cert_save(c, chain, key);
    cert_free(c);
    swing(h, "tls", name);
}

/* ---- senders ---------------------------------------------------------------------------------------- */

struct roll {
    struct house *h;
    SSL_CTX *tls;
    pthread_mutex_t lock; /* secret, other, token, why */
    char secret[64];      /* what senders sign with now */
    char other[64];       /* and what those that are careful sign with besides */
    char *token;
    char why[400]; /* of the first refusal */
    atomic_bool stop;
    atomic_int sent, refused;
};

struct sender {
    struct roll *roll;
    unsigned number;
    bool keeps;  /* one connection for all */
    bool signs;  /* else it shows a token */
    bool by_two; /* signs with both secrets */
    int opened, sent;
    ASN1_INTEGER *serial; /* of the last certificate */
    int certificates;     /* that it was shown, one unlike the one before */
    pthread_t thread;
};

static void complain(struct roll *r, const struct sender *s, const struct raw_answer *a)
{
    if (atomic_fetch_add(&r->refused, 1))
        return;
    pthread_mutex_lock(&r->lock);
    (void)snprintf(r->why, sizeof r->why, "sender %u, request %d: %u %.200s", s->number, s->sent,
                   a->status, a->body);
    pthread_mutex_unlock(&r->lock);
}

static struct raw *open_tls(struct sender *s)
{
    struct raw *c = raw_open(s->roll->h->hooks + strlen("http://"));
    const ASN1_INTEGER *serial;
    X509 *shown;

    if (!c)
        return NULL;
    s->opened++;
    c->ssl = SSL_new(s->roll->tls);
    if (!c->ssl || SSL_set1_host(c->ssl, "localhost") != 1 || SSL_set_fd(c->ssl, c->fd) != 1 ||
        SSL_connect(c->ssl) != 1) {
        SSL_free(c->ssl);
        c->ssl = NULL;
        raw_free(c);
        return NULL;
    }
    shown = SSL_get1_peer_certificate(c->ssl);
    serial = X509_get0_serialNumber(shown);
    if (!s->serial || ASN1_INTEGER_cmp(serial, s->serial) != 0) {
        s->certificates++;
        ASN1_INTEGER_free(s->serial);
        s->serial = ASN1_INTEGER_dup(serial);
    }
    X509_free(shown);
    return c;
}

static void write_request(struct sender *s, struct buf *out)
{
    struct roll *r = s->roll;
    char body[100], id[60], headers[3][200], second[3][200];

    (void)snprintf(body, sizeof body, "{\"alertId\":\"da%u_-1\"}", s->number);
    (void)snprintf(id, sizeof id, "msg_%u_%d", s->number, s->sent);
    buf_reset(out);
    buf_addf(out,
             "POST /hooks/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n",
             s->signs ? "relay" : "flow", strlen(body));
    pthread_mutex_lock(&r->lock);
    if (s->signs) {
        house_sign(r->secret, id, time(NULL), body, strlen(body), headers);
        buf_addf(out, "%s\r\n%s\r\n%s", headers[0], headers[1], headers[2]);
        if (s->by_two) {
            house_sign(r->other, id, time(NULL), body, strlen(body), second);
            buf_adds(out, strchr(second[2], ' ')); /* " v1,…" */
        }
    } else {
        buf_addf(out, "Authorization: Bearer %s", r->token);
    }
    pthread_mutex_unlock(&r->lock);
    buf_addf(out, "\r\n\r\n%s", body);
}

/* One request; whatever is no 2xx counts. */
static void push(struct sender *s, struct raw **connection, struct buf *text,
                 struct raw_answer *answer)
{
    answer->status = 0;
    (void)snprintf(answer->body, sizeof answer->body, "no connection");
    if (!*connection)
        *connection = open_tls(s);
    write_request(s, text);
    if (*connection) {
        raw_text(*connection, buf_text(text));
        raw_answer(*connection, answer, false);
    }
    if (answer->status / 100 != 2)
        complain(s->roll, s, answer);
    if (!s->keeps || answer->status / 100 != 2) {
        raw_free(*connection);
        *connection = NULL;
    }
    s->sent++;
    (void)atomic_fetch_add(&s->roll->sent, 1);
}

static void *send_on(void *arg)
{
    struct sender *s = arg;
    struct buf text = BUF_INIT(1 << 16);
    struct raw_answer *answer = calloc(1, sizeof *answer);
    struct raw *connection = NULL;
    int64_t next = look_now_ms() + s->number * (EACH_MS / SENDERS);

    while (answer && !atomic_load(&s->roll->stop)) {
        int64_t now = look_now_ms();

        if (now < next)
            (void)poll(NULL, 0, (int)(next - now));         /* the pace is part of the test */
        next = next + EACH_MS > now ? next + EACH_MS : now; /* what was missed is not made up for */
        push(s, &connection, &text, answer);
    }
    raw_free(connection);
    free(answer);
    buf_clear(&text);
    return NULL;
}

/* ---- the house --------------------------------------------------------------------------------------- */

/* Paths are relative to the configuration file, which lies in h->dir. */
static struct house *start(const struct cert *ca, struct roll *r, int days)
{
    const struct house_options o = {
        .not_yet = true,
        .listen = "  tls: {certificate_file: tls/chain.pem, key_file: tls/key.pem}\n",
        .source = "    verify:\n      - standard_webhooks:\n          secret_files:\n"
                  "            - {file: secrets/current, name: the-current}\n"
                  "            - {file: secrets/previous, name: the-previous}\n"
                  "  flow:\n    tenant: contoso\n"
                  "    verify:\n      - entra: {audience: [" APP "], roles: [Alerts.Push]}\n"};
    struct house *h = house_start(&o);
    char ca_file[300];

    r->h = h;
    (void)pthread_mutex_init(&r->lock, NULL);
    make_folder(h, "secrets");
    make_folder(h, "tls");
    lead_to_data(h, "secrets", "current");
    lead_to_data(h, "secrets", "previous");
    lead_to_data(h, "tls", "chain.pem");
    lead_to_data(h, "tls", "key.pem");
    new_secret(r->secret);
    new_secret(r->other);
    put_secrets(h, 0, r->secret, r->other);
    put_certificate(h, 0, ca, days);
    (void)snprintf(ca_file, sizeof ca_file, "%.200s/ca.pem", h->dir);
    cert_save(ca, ca_file, NULL);
    r->tls = SSL_CTX_new(TLS_client_method());
    assert_non_null(r->tls);
    assert_int_equal(SSL_CTX_load_verify_locations(r->tls, ca_file, NULL), 1);
    SSL_CTX_set_verify(r->tls, SSL_VERIFY_PEER, NULL);
    for (unsigned i = 0; i < SENDERS; i++)
        sim_tellf(h->sim, "/alerts", "{\"id\":\"da%u_-1\",\"severity\":\"Low\"}", i);
    house_cordon_start(h);
    return h;
}

static void stop(struct roll *r)
{
    house_stop(r->h);
    SSL_CTX_free(r->tls);
    free(r->token);
    (void)pthread_mutex_destroy(&r->lock);
}

static void use_new_token(struct roll *r)
{
    char *token = sim_mint(r->h->sim, "{\"aud\":\"" APP "\",\"roles\":[\"Alerts.Push\"]}");

    pthread_mutex_lock(&r->lock);
    free(r->token);
    r->token = token;
    pthread_mutex_unlock(&r->lock);
}

/* The next secret comes in by itself; until it has, senders sign as before. */
static void roll_secret(struct roll *r, unsigned generation, unsigned *reloads, bool under_way)
{
    char next[64];

    new_secret(next);
    put_secrets(r->h, generation, next, r->secret);
    house_wait_log(r->h, "\"event\":\"reloaded\"", ++*reloads, SOON);
    if (under_way) /* the secret of before is taken under its new name */
        house_wait_log(r->h, "\"key\":\"the-previous\"", generation, SOON);
    pthread_mutex_lock(&r->lock);
    memcpy(r->other, r->secret, sizeof r->other);
    memcpy(r->secret, next, sizeof r->secret);
    pthread_mutex_unlock(&r->lock);
}

static void test_rotation__nobody_is_refused_while_everything_rolls(void **state)
{
    struct sender senders[SENDERS] = {{.keeps = true, .signs = true},
                                      {.signs = true, .by_two = true},
                                      {.keeps = true},
                                      {.signs = false}};
    struct cert *ca = cert_new(&(struct cert_wish){.name = "A CA", .days = 90});
    struct roll r = {.token = NULL};
    struct house *h = start(ca, &r, 90);
    unsigned reloads = 0, rounds = 0;
    int64_t began;

    (void)state;
    use_new_token(&r);
    began = look_now_ms();
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i].roll = &r;
        senders[i].number = i;
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_on, &senders[i]), 0);
    }
    for (; rounds < ROUNDS || (atomic_load(&r.sent) < ENOUGH && rounds < 5 * ROUNDS); rounds++) {
        roll_secret(&r, rounds + 1, &reloads, true);
        if (rounds < ROUNDS) { /* more often than Entra ever did */
            sim_tell(h->sim, "/keys", "{\"rotate\":true}");
            use_new_token(&r); /* the first to use it makes cordon look */
        }
        put_certificate(h, rounds + 1, ca, 90);
        house_wait_log(h, "\"event\":\"reloaded\"", ++reloads, SOON);
        if (rounds == 0)
            sim_tell(h->sim, "/keys", "{\"retire\":true}");
        house_cordon_signal(h, SIGHUP);
        house_wait_log(h, "\"event\":\"reloaded\"", ++reloads, SOON);
    }
    atomic_store(&r.stop, true);
    for (unsigned i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
    print_message("  %d pushes in %lld ms, %u rounds\n", atomic_load(&r.sent),
                  (long long)(look_now_ms() - began), rounds);
    if (atomic_load(&r.refused))
        fail_msg("%d of %d were refused; the first: %s", atomic_load(&r.refused),
                 atomic_load(&r.sent), r.why);
    assert_true(atomic_load(&r.sent) >= ENOUGH);
    for (unsigned i = 0; i < SENDERS; i++) {
        assert_in_range(senders[i].sent, ENOUGH / SENDERS / 4, INT32_MAX);
        if (senders[i].keeps)
            assert_int_equal(senders[i].opened, 1); /* the same from the first to the last */
        else
            assert_in_range(senders[i].certificates, ROUNDS, rounds + 1); /* maybe not the last */
        ASN1_INTEGER_free(senders[i].serial);
    }
    house_wait_log(h, "\"key\":\"the-current\"", 1, SOON);
    house_log_lacks(h, "reload_refused");
    assert_int_equal(sim_count_calls(h->sim, "GET", "*/keys"), 1 + ROUNDS);
    stop(&r);
    cert_free(ca);
}

/* ---- what goes wrong ----------------------------------------------------------------------------------- */

static unsigned push_once(struct roll *r, const char *secret, struct raw_answer *answer)
{
    struct sender s = {.roll = r, .signs = true, .sent = atomic_fetch_add(&r->sent, 1)};
    struct buf text = BUF_INIT(1 << 16);
    struct raw *connection = NULL;

    memcpy(r->secret, secret, sizeof r->secret);
    push(&s, &connection, &text, answer);
    buf_clear(&text);
    ASN1_INTEGER_free(s.serial);
    return answer->status;
}

static void test_rotation__a_faulty_file_changes_nothing_and_says_so(void **state)
{
    struct cert *ca = cert_new(&(struct cert_wish){.name = "A CA", .days = 90});
    struct cert *other = cert_new(&(struct cert_wish){
        .name = "localhost", .issuer = ca, .purpose = "serverAuth", .days = 90});
    struct roll r = {.token = NULL};
    struct raw_answer *answer = calloc(1, sizeof *answer);
    struct house *h = start(ca, &r, 90);
    char old[64], next[64], key[300];

    (void)state;
    assert_non_null(answer);
    memcpy(old, r.secret, sizeof old);
    new_secret(next);
    assert_int_equal(push_once(&r, old, answer), 202);
    put_secrets(h, 1, "whsec_tooshort", old);
    house_wait_log(h, "\"event\":\"reload_refused\"", 1, SOON);
    house_wait_log(h, "secrets/current", 1, SOON);
    assert_int_equal(push_once(&r, old, answer), 200); /* an alert that is known */
    assert_int_equal(push_once(&r, next, answer), 401);

    /* A key that belongs to another certificate: both stay as they were. */
    make_folder(h, "tls/1");
    (void)snprintf(key, sizeof key, "%.200s/tls/1/key.pem", h->dir);
    cert_save(other, NULL, key);
    (void)snprintf(key, sizeof key, "%.200s/tls/1/chain.pem", h->dir);
    cert_save(ca, key, NULL);
    swing(h, "tls", "1");
    house_wait_log(h, "\"event\":\"reload_refused\"", 2, SOON);
    assert_int_equal(push_once(&r, old, answer), 200);

    put_secrets(h, 2, next, old);
    house_wait_log(h, "\"event\":\"reload_refused\"", 3, SOON); /* the certificate is still wrong */
    put_certificate(h, 2, ca, 90);
    house_wait_log(h, "\"event\":\"reloaded\"", 1, SOON);
    assert_int_equal(push_once(&r, next, answer), 200);
    assert_int_equal(push_once(&r, old, answer), 200);
    free(answer);
    stop(&r);
    cert_free(other);
    cert_free(ca);
}

/* A policy that a person is at work on waits for its SIGHUP, whatever rotates meanwhile. */
static void test_rotation__a_rotated_secret_brings_no_edited_text(void **state)
{
    struct cert *ca = cert_new(&(struct cert_wish){.name = "A CA", .days = 90});
    struct roll r = {.token = NULL};
    struct house *h = start(ca, &r, 90);
    unsigned reloads = 0;

    (void)state;
    house_edit(h, "name: tell\n", "name: told\n    when: {alert.\n");
    roll_secret(&r, 1, &reloads, false);
    house_log_lacks(h, "reload_refused");
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"reload_refused\"", 1, SOON);
    roll_secret(&r, 2, &reloads, false);
    house_edit(h, "name: told\n    when: {alert.\n", "name: told\n");
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"reloaded\"", ++reloads, SOON);
    stop(&r);
    cert_free(ca);
}

static void test_rotation__send_signs_with_the_secret_that_is_good_now(void **state)
{
    const struct house_options o = {
        .source = "    verify:\n      - standard_webhooks:\n          secret_files:\n"
                  "            - {file: relay-next, name: next, not_before: 2999-01-01T00:00:00Z}\n"
                  "            - {file: relay-secret, name: now}\n"
                  "            - {file: relay-last, name: last, not_after: 2001-01-01T00:00:00Z}\n",
        .not_yet = true};
    struct house *h = house_start(&o);
    const char *args[] = {"send",    "-c",     h->config_file, "--source", "relay",
                          "--alert", "da1_-1", "--url",        NULL,       NULL};
    const char *check[] = {"check", "-c", h->config_file, NULL};
    char next[64], last[64], url[300], *out;
    struct fetched f;

    (void)state;
    new_secret(next);
    new_secret(last);
    put(h, "relay-next", next);
    put(h, "relay-last", last);
    assert_int_equal(house_run(h, &out, check), 0);
    assert_non_null(strstr(out, "last has not been good since 2001-01-01T00:00:00.000Z"));
    assert_null(strstr(out, "none of them"));
    free(out);
    house_cordon_start(h);
    house_wait_log(h, "last has not been good since", 1, SOON);
    (void)snprintf(url, sizeof url, "%s/hooks/relay", h->hooks);
    args[8] = url;
    if (house_run(h, &out, args) != 0)
        fail_msg("%s", out);
    free(out);
    house_wait_log(h, "\"key\":\"now\"", 1, SOON);
    house_wait_time(h);
    memcpy(h->secret, last, sizeof last);
    (void)house_post(h, NULL, "{\"alertId\":\"da1_-1\"}", &f);
    assert_int_equal(f.status, 401);
    assert_null(strstr(f.body, "last")); /* the log says more, the answer does not */
    fetched_clear(&f);
    house_wait_log(h, "standard_webhooks: last has not been good since", 1, SOON);
    house_cordon_kill(h); /* Defender was told of no such alert */
    house_stop(h);
}

static void test_rotation__a_certificate_near_its_end_is_told(void **state)
{
    struct cert *ca = cert_new(&(struct cert_wish){.name = "A CA", .days = 90});
    struct roll r = {.token = NULL};
    struct house *h = start(ca, &r, 3);
    int64_t end;

    (void)state;
    house_wait_log(h, "\"event\":\"certificate_ends\"", 1, SOON);
    put_certificate(h, 1, ca, 60);
    house_wait_log(h, "\"event\":\"reloaded\"", 1, SOON);
    end = (int64_t)house_metric(h, "cordon_certificate_end_time_seconds");
    assert_in_range(end - time(NULL), 59 * 86400, 60 * 86400);
    stop(&r);
    cert_free(ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rotation__nobody_is_refused_while_everything_rolls),
        cmocka_unit_test(test_rotation__a_faulty_file_changes_nothing_and_says_so),
        cmocka_unit_test(test_rotation__a_rotated_secret_brings_no_edited_text),
        cmocka_unit_test(test_rotation__send_signs_with_the_secret_that_is_good_now),
        cmocka_unit_test(test_rotation__a_certificate_near_its_end_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
