/* replicas.c - three cordons on one PostgreSQL, while senders push: each is stopped (SIGSTOP), cut off from the
 * database, killed and started again, at random and whenever Defender has just got an isolate request. Then all
 * may finish, and Defender's journal and the mails are compared with what senders were promised:
 *
 *   lost     an alert answered 2xx without a case that ended; a machine with a High alert that is not isolated;
 *            a notice that never arrived                                                  must be 0
 *   doubled  a machine that saw more than one isolate request                             must be 0
 *   mails twice   who is stopped or cut off between the server's 250 and the record has sent it: no more than that
 *                 one can have under way
 *
 * Usage: replicas [--seconds N] [--seed N]. Afterwards it waits for the longest lease, a minute and a half.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "crash/dice.h"
#include "crash/life.h"
#include "kit/cable.h"
#include "kit/cut.h"
#include "kit/look.h"
#include "kit/port.h"
#include "kit/postgres.h"
#include "id.h"

#define REPLICAS    3
#define SENDERS     3
#define MACHINES    200
#define ALERTS      1000
#define SECONDS     60
#define STUBBORN_MS 120000 /* a sender gives up after so long */
#define QUIET_MS                                                                                   \
    180000 /* to finish something, after the last blow: leases of 90 s, and what follows */

struct alert {
    char id[64];
    unsigned machine, cases;
    bool high, accepted;
};

struct replica {
    struct house *h;
    struct cut *database; /* its way to it; NULL: a cable */
    char hooks[200];
    pthread_mutex_t lock; /* of hooks */
};

struct run {
    struct replica r[REPLICAS];
    struct cables *cables; /* to the database; NULL: not permitted here */
    struct alert alerts[ALERTS];
    unsigned n_alerts, n_machines; /* of a shorter run, fewer: the pace is the same */
    struct sim *sim;
    uint64_t seed;
    struct dice dice;
    unsigned seconds;
    unsigned next;  /* alert to be pushed; atomic */
    int64_t *mails; /* the notices that the mails are which arrived */
    size_t n_mails;
    int64_t began;
    unsigned faults;
    unsigned stops, cuts, kills, at_isolate;
    unsigned long pushes, unanswered, unavailable;
};

#define fault(c, ...) life_fault(&(c)->faults, __VA_ARGS__)

/* ---- senders ------------------------------------------------------------------------------------------- */

struct sender {
    struct run *c;
    pthread_t thread;
    struct dice dice;
    unsigned number, serial;
};

/* Pushes until somebody has said that he has it: to one replica after another, as a proxy before them would. */
static void push(struct sender *s, struct alert *a, const char *delivery_id)
{
    struct run *c = s->c;
    char body[200], machine[41], signature[3][200];
    const char *headers[] = {"Content-Type: application/json", signature[0], signature[1],
                             signature[2], NULL};
    int64_t give_up = look_now_ms() + STUBBORN_MS;
    unsigned at = below(&s->dice, REPLICAS);

    life_machine(a->machine, machine);
    (void)snprintf(body, sizeof body, "{\"alertId\":\"%s\",\"machineId\":\"%s\"}", a->id, machine);
    for (;; at = (at + 1) % REPLICAS) {
        struct replica *r = &c->r[at];
        struct fetched f;
        char url[200];
        int status;

        (void)pthread_mutex_lock(&r->lock);
        (void)snprintf(url, sizeof url, "%s", r->hooks);
        (void)pthread_mutex_unlock(&r->lock);
        house_sign(r->h->secret, delivery_id, time(NULL), body, strlen(body), signature);
        (void)fetch(&f, "POST", url, headers, body, strlen(body), 3000);
        status = f.status;
        (void)__atomic_add_fetch(&c->pushes, 1, __ATOMIC_RELAXED);
        if (status != 0 && status != 200 && status != 202 && status != 503)
            fault(c, "alert %s was answered with %d %s", a->id, status, f.body);
        fetched_clear(&f);
        if (status == 200 || status == 202) {
            __atomic_store_n(&a->accepted, true, __ATOMIC_RELAXED);
            return;
        }
        (void)__atomic_add_fetch(status ? &c->unavailable : &c->unanswered, 1, __ATOMIC_RELAXED);
        if (look_now_ms() > give_up) {
            fault(c, "alert %s was not accepted for %d s", a->id, STUBBORN_MS / 1000);
            return;
        }
        (void)poll(NULL, 0, 10); /* a sender's pause before it tries again */
    }
}

static void *send_all(void *arg)
{
    struct sender *s = arg;
    struct run *c = s->c;

    for (;;) {
        unsigned n = __atomic_fetch_add(&c->next, 1, __ATOMIC_RELAXED);
        int64_t due = c->began + (int64_t)n * c->seconds * 1000 / c->n_alerts;
        char id[40], other[40];

        if (n >= c->n_alerts)
            return NULL;
        while (look_now_ms() < due)
            (void)poll(NULL, 0, (int)(due - look_now_ms())); /* their pace */
        (void)snprintf(id, sizeof id, "msg_%u_%u", s->number, s->serial++);
        push(s, &c->alerts[n], id);
        if (n % 3 == 0) { /* once more as a sender that missed the answer, once as a second flow */
            (void)snprintf(other, sizeof other, "msg_%u_%u", s->number, s->serial++);
            push(s, &c->alerts[n], id);
            push(s, &c->alerts[n], other);
        }
    }
}

/* ---- the replicas ---------------------------------------------------------------------------------------- */

/* Did it end although nobody told it to? Then it is started again, and that was a fault. */
static void mind(struct run *c, struct replica *r)
{
    siginfo_t info = {0};

    if (waitid(P_PID, (id_t)r->h->pid, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
        return;
    /* A start without the database says so and ends: a service manager starts it again. */
    if (info.si_code != CLD_EXITED || info.si_status != 1)
        fault(c, "cordon ended by itself: %s %d",
              info.si_code == CLD_EXITED ? "exit code" : "signal", info.si_status);
    (void)life_end(r->h, 0);
    life_start(r->h);
}

static void pass_ms(unsigned ms)
{
    (void)poll(NULL, 0, (int)ms);
}

/* Waits for the next isolate request, a moment at most. */
static void wait_isolate(struct run *c)
{
    char path[200];

    (void)snprintf(path, sizeof path,
                   "/journal/wait?method=POST&path=" SIM_ISOLATE "&limit=0&count=%" PRId64
                   "&timeout_ms=2000",
                   sim_count_calls(c->sim, "POST", SIM_ISOLATE) + 1);
    json_free(sim_get(c->sim, path));
}

static void cut(struct run *c, struct replica *r, bool out)
{
    if (c->cables)
        cables_pull(c->cables, (unsigned)(r - c->r), out);
    else
        cut_now(r->database, out);
}

static void strike(struct run *c)
{
    struct replica *r = &c->r[below(&c->dice, REPLICAS)];
    unsigned kind = below(&c->dice, 3);

    if (below(&c->dice, 2)) {
        wait_isolate(c);
        c->at_isolate++;
        pass_ms(below(&c->dice, 20));
    }
    mind(c, r);
    switch (kind) {
    case 0:
        (void)kill(r->h->pid, SIGSTOP);
        pass_ms(100 + below(&c->dice, 4000));
        (void)kill(r->h->pid, SIGCONT);
        c->stops++;
        break;
    case 1:
        cut(c, r, true);
        pass_ms(100 + below(&c->dice, 4000));
        cut(c, r, false);
        c->cuts++;
        break;
    default:
        (void)life_end(r->h, SIGKILL);
        c->kills++;
        pass_ms(below(&c->dice, 1000));
        life_start(r->h);
    }
    pass_ms(below(&c->dice, 500));
}

/* One is stopped for longer than any lease, with what it holds, while the others go on. */
static void *stop_one_for_long(void *arg)
{
    struct run *c = arg;
    struct replica *r = &c->r[0];

    (void)kill(r->h->pid, SIGSTOP);
    pass_ms(100000);
    (void)kill(r->h->pid, SIGCONT);
    return NULL;
}

/* ---- set up ---------------------------------------------------------------------------------------------- */

static void make_alerts(struct run *c)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(4 << 20);
    char id[41];

    buf_addc(&b, '[');
    for (unsigned m = 0; m < c->n_machines; m++) {
        life_machine(m, id);
        buf_addf(&b, "%s{\"id\":\"%s\",\"computerDnsName\":\"ws-%u.corp.example\"}", m ? "," : "",
                 id, m);
    }
    buf_addc(&b, ']');
    sim_tell(c->sim, "/machines", buf_text(&b));
    for (unsigned i = 0; i < c->n_alerts;) {
        buf_reset(&b);
        for (unsigned n = 0; n < 500 && i < c->n_alerts; n++, i++) {
            struct alert *a = &c->alerts[i];

            (void)snprintf(a->id, sizeof a->id, "da638712345%09u_-%u", i, i);
            a->machine = i % c->n_machines;
            a->high = below(&c->dice, 3) == 0;
            life_machine(a->machine, id);
            buf_addf(&b,
                     "%s{\"id\":\"%s\",\"severity\":\"%s\",\"machineId\":\"%s\","
                     "\"title\":\"Sensitive credential memory read\"}",
                     n ? "," : "[", a->id, a->high ? "High" : "Medium", id);
        }
        buf_addc(&b, ']');
        sim_tell(c->sim, "/alerts", buf_text(&b));
    }
}

static void set_up(struct run *c)
{
    struct postgres_options postgres = {.tcp = true};
    char base[POSTGRES_URL_MAX];
    const char *schema;

    c->cables = cables_new(REPLICAS);
    postgres.net_namespace = c->cables ? cables_namespace(c->cables) : NULL;
    if (!postgres_start(&postgres))
        exit(0); /* it says so */
    schema = strstr(postgres_url(base), "options=");
    for (unsigned i = 0; i < REPLICAS; i++) {
        struct replica *r = &c->r[i];
        char url[POSTGRES_URL_MAX], listen[40], admin[40];
        struct house_options o = {
            .sim = {.config = "{\"delay_ms\":2,\"delay_jitter_ms\":20,\"actions\":{\"duplicate\":"
                              "\"second201\",\"listed_after_ms\":1000,\"in_progress_after_ms\":100,"
                              "\"done_after_ms\":400}}"},
            .store_url = url,
            .listen_address = listen,
            .admin_address = admin,
            .beside = i ? c->r[0].h : NULL,
            .not_yet = true,
        };

        r->database = c->cables ? NULL : cut_new(postgres_port());
        (void)snprintf(url, sizeof url, "postgresql://cordon@%s:%d/postgres?%s",
                       c->cables ? cables_address(c->cables, i) : "127.0.0.1",
                       c->cables ? postgres_port() : cut_port(r->database), schema ? schema : "");
        (void)port_take_address(listen);
        (void)port_take_address(admin);
        r->h = house_start(&o);
        c->sim = r->h->sim;
        (void)snprintf(r->hooks, sizeof r->hooks, "http://%s/hooks/relay", listen);
        (void)snprintf(r->h->admin, sizeof r->h->admin, "http://%s", admin);
        (void)pthread_mutex_init(&r->lock, NULL);
    }
    make_alerts(c);
    for (unsigned i = 0; i < REPLICAS; i++)
        life_start(c->r[i].h);
}

/* ---- the comparison ---------------------------------------------------------------------------------------- */

/* How long it takes depends on the machine, for each mail is a process; that less and less is left does not. */
static void wait_quiet(struct run *c)
{
    int64_t deadline = look_now_ms() + QUIET_MS, least = INT64_MAX;

    for (;;) {
        AUTO(auto_free) char *text = NULL;
        int64_t left;

        for (unsigned i = 0; i < REPLICAS; i++)
            mind(c, &c->r[i]);
        text = life_ask(c->r[1].h, "/metrics");
        left = life_work_left(text);
        if (left >= 0 && left < least) {
            least = left;
            deadline = look_now_ms() + QUIET_MS;
        }
        if (left && look_now_ms() > deadline) {
            const char *work = text ? strstr(text, "cordon_work{") : NULL;

            fault(c, "nothing was finished for %d s: %.200s", QUIET_MS / 1000,
                  work ? work : "no answer");
            left = 0;
        }
        if (!left)
            return;
        pass_ms(100); /* between two looks */
    }
}

static void check_machines(struct run *c, unsigned *ret_isolated, unsigned *ret_twice)
{
    AUTO(json_freep) struct json *state = sim_get(c->sim, "/state");
    bool wanted[MACHINES] = {false}, seen[MACHINES] = {false};

    for (unsigned i = 0; i < c->n_alerts; i++)
        if (c->alerts[i].accepted && c->alerts[i].high)
            wanted[c->alerts[i].machine] = true;
    JSON_EACH (m, json_get(state, "by_machine")) {
        unsigned n = MACHINES;

        if (sscanf(json_name(m), "c0ffee%x", &n) != 1 || n >= MACHINES || !wanted[n]) {
            fault(c, "machine %s was touched without a High alert", json_name(m));
            continue;
        }
        seen[n] = json_is_true(json_get(m, "isolated"));
        *ret_isolated += seen[n];
        if (json_get_int64(m, "isolate_posts", -1) != 1 ||
            json_get_int64(m, "isolate_actions", -1) != 1) {
            ++*ret_twice;
            fault(c, "machine %s saw %" PRId64 " isolate requests", json_name(m),
                  json_get_int64(m, "isolate_posts", -1));
        }
        if (json_get_int64(m, "unisolate_posts", -1) > 0)
            fault(c, "machine %s was released by nobody's wish", json_name(m));
    }
    for (unsigned i = 0; i < MACHINES; i++)
        if (wanted[i] && !seen[i])
            fault(c, "machine %u has a High alert and is not isolated", i);
}

static void take_mails(struct run *c)
{
    AUTO(json_freep) struct json *doc = sim_get(c->sim, "/mails");
    const struct json *mails = json_get(doc, "mails");

    c->mails = calloc(json_count(mails) + 1, sizeof *c->mails);
    if (!c->mails)
        fail_msg("out of memory");
    JSON_EACH (m, mails) {
        const char *raw = json_get_string(m, "raw");
        int64_t notice = life_notice_of(raw);

        if (!notice)
            fault(c, "a mail that names no notice: %.200s", raw ? raw : "(not text)");
        c->mails[c->n_mails++] = notice;
    }
}

/* Is this notice among the first n mails? */
static bool is_mailed(const struct run *c, int64_t notice, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c->mails[i] == notice)
            return true;
    return false;
}

/* It says that it was sent, and its mail arrived. */
static void check_notice(struct run *c, const char *alert, const struct json *notice)
{
    const char *state = json_get_string(notice, "state"), *text = json_get_string(notice, "id");
    int64_t id = 0;

    if (!state || strcmp(state, "sent") != 0)
        fault(c, "alert %s: a notice is %s", alert, state ? state : "?");
    else if (!text || id_parse(text, &id, NULL) || !is_mailed(c, id, c->n_mails))
        fault(c, "alert %s: notice %s was sent, says cordon, and did not arrive", alert,
              text ? text : "?");
}

/* Every alert has its one case, and it is done; every notice was sent. */
static void check_cases(struct run *c)
{
    char path[100] = "/api/cases?limit=200";

    while (path[0]) {
        AUTO(json_freep) struct json *page = house_get(c->r[1].h, path);
        const char *next = json_get_string(page, "next");

        JSON_EACH (one, json_get(page, "cases")) {
            const char *alert = json_get_string(one, "alert_id");
            const char *state = json_get_string(one, "state"), *id = json_get_string(one, "id");
            AUTO(json_freep) struct json *full = NULL;
            unsigned n = ALERTS;

            if (!alert || sscanf(alert, "da638712345%9u_", &n) != 1 || n >= c->n_alerts) {
                fault(c, "a case of an alert that nobody pushed: %s", alert ? alert : "?");
                continue;
            }
            if (++c->alerts[n].cases > 1)
                fault(c, "alert %s has %u cases", alert, c->alerts[n].cases);
            if (!state || strcmp(state, "done") != 0)
                fault(c, "alert %s: the case is %s, why: %s", alert, state ? state : "?",
                      json_get_string(one, "why") ? json_get_string(one, "why") : "-");
            (void)snprintf(path, sizeof path, "/api/cases/%s", id ? id : "");
            full = house_get(c->r[1].h, path);
            if (json_count(json_get(full, "notices")) == 0)
                fault(c, "alert %s: nobody was told", alert);
            JSON_EACH (notice, json_get(full, "notices"))
                check_notice(c, alert, notice);
            if (json_is_true(json_path(full, "isolation", "adopted", NULL)))
                fault(c, "alert %s: cordon takes its own isolation for somebody else's", alert);
        }
        path[0] = '\0';
        if (next)
            (void)snprintf(path, sizeof path, "/api/cases?limit=200&cursor=%s", next);
    }
    for (unsigned i = 0; i < c->n_alerts; i++)
        if (c->alerts[i].accepted && !c->alerts[i].cases)
            fault(c, "alert %s was accepted and has no case", c->alerts[i].id);
}

/* What people read: each notice's mail; *ret_twice: those that came again, and how many blows explain. */
static void check_mails(struct run *c, size_t *ret_twice)
{
    AUTO(auto_free)
    char *count = postgres_sql("SELECT count(*) FROM s1.notices WHERE state = 'sent'");
    /* Cases, isolations, notices: machines that are isolated are looked after from then on. */
    AUTO(auto_free) char *left = postgres_sql("SELECT count(*) FROM s1.work WHERE kind <= 2");
    size_t notices = strtoul(count ? count : "0", NULL, 10), distinct = 0;
    size_t blows = c->stops + c->cuts + c->kills + 1; /* stop_one_for_long */

    for (size_t i = 0; i < c->n_mails; i++)
        distinct += !is_mailed(c, c->mails[i], i);
    *ret_twice = c->n_mails - distinct;
    if (distinct != notices)
        fault(c, "%zu notices were sent, says cordon, and the mails of %zu arrived", notices,
              distinct);
    if (*ret_twice > blows * LIFE_UNDER_WAY)
        fault(c, "%zu mails came twice: more than %d a blow", *ret_twice, LIFE_UNDER_WAY);
    if (!left || strcmp(left, "0") != 0)
        fault(c, "%s rows of work are left", left ? left : "?");
}

int main(int argc, char **argv)
{
    static struct run c;
    static struct sender senders[SENDERS];
    unsigned isolated = 0, twice = 0;
    size_t mails_twice = 0;
    int64_t struck;
    pthread_t stopped;

    c.seconds = SECONDS;
    c.seed = (uint64_t)time(NULL);
    for (int i = 1; i < argc; i += 2) {
        char *rest = NULL;
        unsigned long long n = i + 1 < argc ? strtoull(argv[i + 1], &rest, 0) : 0;

        if (rest && !*rest && n >= 5 && n <= 3600 && strcmp(argv[i], "--seconds") == 0)
            c.seconds = (unsigned)n;
        else if (rest && !*rest && strcmp(argv[i], "--seed") == 0)
            c.seed = n;
        else
            return (void)fprintf(stderr, "usage: replicas [--seconds N] [--seed N]\n"), 2;
    }
    (void)printf("replicas: %u s, seed %" PRIu64 "\n", c.seconds, c.seed);
    (void)fflush(stdout);
    c.n_alerts = c.seconds < SECONDS ? ALERTS * c.seconds / SECONDS : ALERTS;
    c.n_machines = c.n_alerts / (ALERTS / MACHINES);
    c.dice.state = c.seed;
    set_up(&c);
    c.began = look_now_ms();
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.c = &c, .number = i, .dice = {c.seed + 1000 + i}};
        if (pthread_create(&senders[i].thread, NULL, send_all, &senders[i]))
            fail_msg("pthread_create");
    }
    while (look_now_ms() < c.began + (int64_t)c.seconds * 1000)
        strike(&c);
    struck = look_now_ms();
    for (unsigned i = 0; i < REPLICAS; i++)
        mind(&c, &c.r[i]);
    if (pthread_create(&stopped, NULL, stop_one_for_long, &c))
        fail_msg("pthread_create");
    for (unsigned i = 0; i < SENDERS; i++)
        (void)pthread_join(senders[i].thread, NULL);
    (void)pthread_join(stopped, NULL);
    wait_quiet(&c);
    pass_ms(2000); /* what one that wakes up late would do now */
    check_machines(&c, &isolated, &twice);
    take_mails(&c);
    check_cases(&c);
    check_mails(&c, &mails_twice);
    for (unsigned i = 0; i < REPLICAS; i++) {
        int status = life_end(c.r[i].h, SIGTERM);

        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fault(&c, "replica %u ended with status 0x%x after SIGTERM", i, (unsigned)status);
        life_check_log(c.r[i].h, false, &c.faults);
    }
    (void)printf("replicas: cuts by %s\n", c.cables ? "cables of a network namespace" : "a proxy");
    (void)printf("replicas: %u stopped, %u cut off, %u killed; %u of them at an isolate request\n"
                 "replicas: %lu pushes of %u alerts (%lu answered 503, %lu not at all)\n"
                 "replicas: %u machines isolated, %u twice; %zu mails, %zu of them twice\n"
                 "replicas: %.1f s of blows, %.1f s to finish; %u faults; %s\n",
                 c.stops, c.cuts, c.kills, c.at_isolate, c.pushes, c.n_alerts, c.unavailable,
                 c.unanswered, isolated, twice, c.n_mails, mails_twice,
                 (double)(struck - c.began) / 1000, (double)(look_now_ms() - struck) / 1000,
                 c.faults, c.faults ? "FAILED" : "well");
    if (c.faults) {
        (void)printf("replicas: see %s; once more with --seconds %u --seed %" PRIu64 "\n",
                     c.r[0].h->dir, c.seconds, c.seed);
        postgres_stop();
        cables_free(c.cables);
        return 1;
    }
    for (unsigned i = REPLICAS; i-- > 0;) {
        house_stop(c.r[i].h);
        cut_free(c.r[i].database);
    }
    postgres_stop();
    cables_free(c.cables);
    free(c.mails);
    return 0;
}
