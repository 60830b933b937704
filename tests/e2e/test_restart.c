/* test_restart.c - stopping and starting while senders push: with a socket that the service manager keeps, no
 * sender notices more than a 503; and an end comes soon, whatever hangs at the far ends.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "kit/house.h"
#include "kit/look.h"
#include "kit/raw.h"

#define SOON     30000  /* ms; a deadline, not a wait */
#define QUIET_MS 150000 /* for all mails of the load, on a busy host with sanitizers */

#define SENDERS    8 /* every second one keeps its connection */
#define EACH       100
#define PUSHES     (SENDERS * EACH)
#define PER_SECOND 200
#define RESTARTS   3
#define HIGH_EVERY 20 /* one alert of so many isolates its machine */
#define STUBBORN   SOON

struct sender {
    struct load *load;
    unsigned number;
    pthread_t thread;
};

struct load {
    struct house *h;
    char address[64];
    int64_t began_ms;
    atomic_uint accepted, again, errors;
    char why[200]; /* of the first error */
    struct sender senders[SENDERS];
};

/* A listening socket as the manager of services holds it. */
static int manager_socket(char address[64])
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(fd, 4096), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    (void)snprintf(address, 64, "127.0.0.1:%u", ntohs(in.sin_port));
    return fd;
}

/* ---- senders ------------------------------------------------------------------------------------- */

static void alert_id(unsigned n, char out[40])
{
    (void)snprintf(out, 40, "da638712345%06u_-%u", n, n);
}

static void error(struct load *l, unsigned n, const char *what)
{
    if (atomic_fetch_add(&l->errors, 1) == 0)
        (void)snprintf(l->why, sizeof l->why, "push %u: %s", n, what);
}

/* Pushes once over a connection of its own; the status, 0: none. */
static unsigned push_fresh(struct load *l, const char *delivery, const char *body, unsigned n)
{
    char url[120], signature[3][200];
    const char *headers[] = {"Content-Type: application/json", signature[0], signature[1],
                             signature[2], NULL};
    struct fetched f;
    unsigned status;

    (void)snprintf(url, sizeof url, "http://%s/hooks/relay", l->address);
    house_sign(l->h->secret, delivery, time(NULL), body, strlen(body), signature);
    (void)fetch(&f, "POST", url, headers, body, strlen(body), SOON);
    status = (unsigned)f.status;
    if (!status)
        error(l, n, f.why);
    fetched_clear(&f);
    return status;
}

/* The same over a connection that is kept until the server says that it closes it. */
static unsigned push_kept(struct load *l, struct raw **r, const char *delivery, const char *body,
                          unsigned n)
{
    AUTO(buf_clear) struct buf request = BUF_INIT(4096);
    char signature[3][200];
    struct raw_answer *a = malloc(sizeof *a);
    const char *connection;
    unsigned status = 0;

    if (!*r)
        *r = raw_open(l->address);
    if (*r && a) {
        house_sign(l->h->secret, delivery, time(NULL), body, strlen(body), signature);
        buf_addf(&request,
                 "POST /hooks/relay HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                 "%s\r\n%s\r\n%s\r\nContent-Length: %zu\r\n\r\n%s",
                 l->address, signature[0], signature[1], signature[2], strlen(body), body);
        raw_send(*r, buf_text(&request), request.len);
        raw_answer(*r, a, false);
        status = a->status;
        connection = status > 1 ? raw_header(a, "Connection") : "close";
        if (connection && strcasecmp(connection, "close") == 0) {
            raw_free(*r);
            *r = NULL;
        }
    }
    if (status < 2)
        error(l, n, *r || a ? "no answer" : "no connection");
    free(a);
    return status < 2 ? 0 : status;
}

/* Every push has its moment; 503 is tried again, as senders do, only sooner than Retry-After asks. */
static void *send_all(void *arg)
{
    struct sender *s = arg;
    struct load *l = s->load;
    struct raw *kept = NULL;

    for (unsigned i = 0; i < EACH && !l->errors; i++) {
        unsigned n = i * SENDERS + s->number, status = 503;
        int64_t due = l->began_ms + (int64_t)n * 1000 / PER_SECOND;
        char id[40], delivery[40], body[100];
        int64_t wait = due - look_now_ms(), give_up;

        if (wait > 0)
            (void)poll(NULL, 0, (int)wait);
        give_up = look_now_ms() + STUBBORN; /* from `due` on a slow host had none left */
        alert_id(n, id);
        (void)snprintf(delivery, sizeof delivery, "msg_%u", n);
        (void)snprintf(body, sizeof body, "{\"alertId\":\"%s\"}", id);
        while (status == 503 && look_now_ms() < give_up) {
            status = s->number % 2 ? push_kept(l, &kept, delivery, body, n)
                                   : push_fresh(l, delivery, body, n);
            if (status == 503) {
                atomic_fetch_add(&l->again, 1);
                (void)poll(NULL, 0, 50);
            }
        }
        if (status == 202)
            atomic_fetch_add(&l->accepted, 1);
        else if (status)
            error(l, n, status == 503 ? "503 for all that time" : "an answer that is not 202");
    }
    raw_free(kept);
    return NULL;
}

/* ---- what came of it ------------------------------------------------------------------------------- */

static void fill(struct sim *sim)
{
    struct buf b = BUF_INIT(4 << 20);

    buf_addc(&b, '[');
    for (unsigned n = 0; n < PUSHES; n += HIGH_EVERY)
        buf_addf(&b, "%s{\"id\":\"c0ffee%034x\"}", n ? "," : "", n);
    buf_addc(&b, ']');
    sim_tell(sim, "/machines", buf_text(&b));
    buf_reset(&b);
    buf_addc(&b, '[');
    for (unsigned n = 0; n < PUSHES; n++) {
        char id[40];

        alert_id(n, id);
        buf_addf(&b, "%s{\"id\":\"%s\",\"severity\":\"%s\",\"machineId\":\"c0ffee%034x\"}",
                 n ? "," : "", id, n % HIGH_EVERY ? "Medium" : "High", n - n % HIGH_EVERY);
    }
    buf_addc(&b, ']');
    assert_false(buf_failed(&b));
    sim_tell(sim, "/alerts", buf_text(&b));
    buf_clear(&b);
}

/* Every alert has one case, which is done. */
static void check_cases(struct house *h)
{
    char path[100] = "/api/cases?limit=200";
    unsigned cases[PUSHES] = {0}, total = 0;

    while (path[0]) {
        AUTO(json_freep) struct json *page = house_get(h, path);
        const char *next = json_get_string(page, "next");

        JSON_EACH (c, json_get(page, "cases")) {
            unsigned n = PUSHES;

            assert_string_equal(json_get_string(c, "state"), "done");
            assert_int_equal(sscanf(json_get_string(c, "alert_id"), "da638712345%6u_", &n), 1);
            assert_true(n < PUSHES);
            cases[n]++;
            total++;
        }
        path[0] = '\0';
        if (next)
            (void)snprintf(path, sizeof path, "/api/cases?limit=200&cursor=%s", next);
    }
    for (unsigned n = 0; n < PUSHES; n++)
        if (cases[n] != 1)
            fail_msg("alert %u has %u cases", n, cases[n]);
    assert_int_equal(total, PUSHES);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Each notice arrived, and none of them twice: REQUESTED and ISOLATED of the High ones, ALERT of the rest. */
static void check_mails(struct house *h)
{
    const unsigned high = PUSHES / HIGH_EVERY, want = PUSHES - high + 2 * high;
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, want, SOON);
    char **ids = calloc(want + PUSHES, sizeof *ids);
    size_t n = 0;

    assert_non_null(ids);
    JSON_EACH (m, json_get(mails, "mails")) {
        const char *raw = json_get_string(m, "raw");
        const char *id = raw ? strcasestr(raw, "\r\nMessage-ID: ") : NULL;

        assert_non_null(id);
        assert_true(n < want + PUSHES);
        if (!id)
            continue; /* for the analyzer: the assertion does not come back */
        id += strlen("\r\nMessage-ID: ");
        ids[n++] = strndup(id, strcspn(id, "\r"));
    }
    if (ids)
        qsort(ids, n, sizeof *ids, by_text);
    for (size_t i = 1; i < n; i++)
        if (strcmp(ids[i - 1], ids[i]) == 0)
            fail_msg("the mail %s came twice", ids[i]);
    for (size_t i = 0; i < n; i++)
        free(ids[i]);
    free(ids);
    assert_int_equal(n, want);
}

static void test_restart__at_200_pushes_a_second_nothing_is_lost_doubled_or_refused(void **state)
{
    struct house *h = house_start(&(struct house_options){.not_yet = true});
    struct load *l = calloc(1, sizeof *l);

    (void)state;
    assert_non_null(l);
    h->listen_fd = manager_socket(l->address);
    l->h = h;
    house_edit(h, h->sim->smtp_url, h->sim->smtps_url); /* no process for each of 800 mails */
    fill(h->sim);
    house_cordon_start(h);
    l->began_ms = look_now_ms();
    for (unsigned i = 0; i < SENDERS; i++) {
        l->senders[i].load = l;
        l->senders[i].number = i;
        assert_int_equal(pthread_create(&l->senders[i].thread, NULL, send_all, &l->senders[i]), 0);
    }
    for (unsigned i = 1; i <= RESTARTS; i++) {
        LOOK_FOR(l->accepted >= i * PUSHES / (RESTARTS + 1) || l->errors, SOON,
                 "%u accepted before restart %u", l->accepted, i);
        house_cordon_stop(h); /* fails unless it ends with 0 */
        house_cordon_start(h);
    }
    for (unsigned i = 0; i < SENDERS; i++)
        (void)pthread_join(l->senders[i].thread, NULL);
    if (l->errors)
        fail_msg("%u connection errors, the first: %s", l->errors, l->why);
    assert_int_equal(l->accepted, PUSHES);
    house_wait_idle(h, QUIET_MS);
    check_cases(h);
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), PUSHES / HIGH_EVERY);
    AUTO(json_freep) struct json *s = sim_wait_isolated(h->sim, PUSHES / HIGH_EVERY, SOON);
    assert_non_null(s);
    check_mails(h);
    (void)printf("    %d pushes, %u of them again after a 503\n", PUSHES, l->again);
    (void)close(h->listen_fd);
    house_stop(h);
    free(l);
}

/* A descriptor that has no use stops the start: somebody expects to be heard there. */
static void test_restart__a_socket_for_another_address_stops_the_start(void **state)
{
    struct house *h =
        house_start(&(struct house_options){.not_yet = true, .listen_address = "127.0.0.1:1"});
    char address[64], command[900], *out = NULL;
    int fd = manager_socket(address);
    FILE *p;
    struct buf b = BUF_INIT(1 << 20);
    int c;

    (void)state;
    (void)snprintf(command, sizeof command,
                   "LISTEN_FDS=1 exec 3<&%d; LISTEN_FDS=1; export LISTEN_FDS; exec sh -c "
                   "'LISTEN_PID=$$ exec %s/cordon serve -c %s' 2>&1",
                   dup(fd), getenv("CORDON_BUILD") ? getenv("CORDON_BUILD") : "build",
                   h->config_file);
    p = popen(command, "r");
    assert_non_null(p);
    while ((c = fgetc(p)) != EOF)
        buf_addc(&b, (char)c);
    assert_int_equal(WEXITSTATUS(pclose(p)), 1);
    out = buf_take(&b);
    if (!strstr(out, address) || !strstr(out, "127.0.0.1:1") || !strstr(out, "ListenStream="))
        fail_msg("%s", out);
    free(out);
    (void)close(fd);
    house_stop(h);
}

/* ---- an end in time ---------------------------------------------------------------------------------- */

#define M1 "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f1"
#define M2 "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f2"
#define M3 "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f3"

/* Waits until every fault was met, and a message is on its way to the mail server. */
static void wait_under_way(struct house *h, int faults)
{
    for (int64_t until = look_until(SOON);;) {
        AUTO(json_freep) struct json *list = sim_get(h->sim, "/faults");
        AUTO(json_freep) struct json *smtp = sim_get(h->sim, "/smtp");
        struct buf b = BUF_INIT(1 << 20);
        bool mailing;
        int met = 0;

        JSON_EACH (f, json_get(list, "faults"))
            met += json_get_int64(f, "hits", 0) > 0;
        json_write(&b, smtp);
        mailing = strstr(buf_text(&b), "\"DATA\"") != NULL;
        buf_clear(&b);
        if (met == faults && mailing)
            return;
        look_again(until, "%d of %d faults met, mail %d", met, faults, mailing);
    }
}

static void test_restart__an_end_comes_in_time_whatever_hangs(void **state)
{
    struct house *h = house_start(NULL);
    int64_t began, took;

    (void)state;
    sim_tell(h->sim, "/machines", "[{\"id\":\"" M1 "\"},{\"id\":\"" M2 "\"},{\"id\":\"" M3 "\"}]");
    sim_tell(h->sim, "/alerts",
             "[{\"id\":\"da1_-1\",\"severity\":\"High\",\"machineId\":\"" M1 "\"},"
             "{\"id\":\"da2_-1\",\"severity\":\"High\",\"machineId\":\"" M2 "\"},"
             "{\"id\":\"da3_-1\",\"severity\":\"Low\",\"machineId\":\"" M3 "\"}]");
    /* A read that is not answered; an isolate that is carried out and not answered; a mail server that does
     * not take the message. */
    sim_tell(h->sim, "/faults",
             "[{\"path\":\"/api/alerts/da1*\",\"kind\":\"hang\",\"count\":1},"
             "{\"path\":\"/api/machines/" M2
             "/isolate\",\"kind\":\"hang\",\"act\":true,\"count\":1}]");
    sim_tell(h->sim, "/config", "{\"smtp\":{\"hang\":\"data\",\"count\":-1}}");
    AUTO(json_freep) struct json *one = house_push(h, "da1_-1", NULL, 202);
    AUTO(json_freep) struct json *two = house_push(h, "da2_-1", NULL, 202);
    AUTO(json_freep) struct json *three = house_push(h, "da3_-1", NULL, 202);
    wait_under_way(h, 2);
    began = look_now_ms();
    house_cordon_stop(h); /* with 0 */
    took = look_now_ms() - began;
    if (took > 10000) /* when `docker stop` loses its patience */
        fail_msg("it took %" PRId64 " ms to stop", took);
    sim_tell(h->sim, "/config", "{\"smtp\":{\"hang\":null}}");
    house_cordon_start(h);
    AUTO(json_freep) struct json *c1 = house_wait_case(h, one, "done", SOON);
    AUTO(json_freep) struct json *c2 = house_wait_case(h, two, "done", SOON);
    AUTO(json_freep) struct json *c3 = house_wait_case(h, three, "done", SOON);
    assert_true(c1 && c2 && c3);
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 2); /* found, not repeated */
    AUTO(json_freep) struct json *s = sim_wait_isolated(h->sim, 2, SOON);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 3, SOON);
    assert_true(s && mails);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restart__at_200_pushes_a_second_nothing_is_lost_doubled_or_refused),
        cmocka_unit_test(test_restart__a_socket_for_another_address_stops_the_start),
        cmocka_unit_test(test_restart__an_end_comes_in_time_whatever_hangs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
