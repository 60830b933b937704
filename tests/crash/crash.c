/* crash.c - `make crash`: cordon is killed with SIGKILL again and again, at random moments and at chosen
 * ones, while senders push and Defender is asked, each time started again on the same store. Then it may
 * finish, and what senders were promised is compared with what Defender and the mail server saw
 * (contract.md section 0):
 *
 *   lost     an alert that was answered 2xx and has no case that ended, or a High one whose machine is not
 *            isolated, or a notice that never reached the mail server                     must be 0
 *   doubled  a machine that saw more than one isolate request, or two active at once      must be 0
 *   mails twice   the kill fell between the server's 250 and the record: at-least-once, the same Message-ID
 *            both times; at most the three under way at a kill (engine.c, SHARE_NOTICES)
 *
 * Senders behave as real ones do: no answer or 503 means "send it again". The moments of the kills and all
 * choices follow from the seed; how the two processes interleave does not. The senders' pace is tied to
 * cordon's lives: each life allows so many more alerts, so that there is load from the first kill to the last.
 * Thousands of kills are many runs side by side (tests/crash/many): most of a life is waiting.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "crash/dice.h"
#include "crash/life.h"
#include "kit/look.h"
#include "kit/port.h"
#include "kit/postgres.h"
#include "id.h"

#define KILLS            200
#define SENDERS          4
#define ALERTS_A_LIFE    6 /* each costs a few calls and a mail or two, each of which is a process */
#define ALERTS_A_MACHINE 3
#define ALERTS_A_PUSH    4    /* at most */
#define PUSHES_MAX       3    /* of one delivery, counting the first */
#define LIFE_MAX_MS      1200 /* once ready, of a life that ends at a random moment */
#define START_MS         150  /* until it is ready, to begin with: it is measured */
#define MOMENT_MS        3000 /* once ready, how long a kill at a chosen moment waits for it */
/* a sender gives up after so long: nothing keeps cordon away that long */
#define STUBBORN_MS 240000
#define READY_MS    30000
#define QUIET_MS    300000 /* to finish something of what was accepted, after the last kill */

/* ---- the run ----------------------------------------------------------------------------------------- */

struct alert {
    char id[64];
    unsigned machine;
    bool high;
    bool accepted;   /* a 2xx was seen by a sender */
    int64_t case_id; /* as the 2xx named it; 0: its body was cut off by the kill */
    unsigned cases;  /* found in the end */
};

struct mail {
    int64_t notice, case_id, seq;
    char kind[16];
    bool confirmed;
};

struct crash {
    struct house *h;
    struct dice dice;
    uint64_t seed;
    unsigned kills, senders, alerts_a_life;
    unsigned start_ms; /* as long as starting takes, about */
    bool postgresql;   /* the store is one; else SQLite */
    char store[POSTGRES_URL_MAX], hooks[100];

    pthread_mutex_t lock; /* of all below, while senders run */
    pthread_cond_t more, accepted_one;
    struct alert *alerts;
    size_t n_alerts, next, allowed;
    unsigned long pushes, accepted, duplicates, unanswered, unavailable;
    unsigned faults;

    struct mail *mails;
    size_t n_mails, mails_room;
    unsigned long self_ended;
};

#define fault(c, ...) life_fault(&(c)->faults, __VA_ARGS__)

/* ---- senders ------------------------------------------------------------------------------------------- */

struct delivery {
    size_t alerts[ALERTS_A_PUSH];
    size_t n;
    bool names_machine;
    char id[64];
    unsigned pushed;
};

struct sender {
    struct crash *c;
    pthread_t thread;
    struct dice dice;
    unsigned number, serial;
    struct delivery kept[32]; /* pushed before, to be pushed again */
    size_t n_kept;
};

static void name_delivery(struct sender *s, struct delivery *d)
{
    (void)snprintf(d->id, sizeof d->id, "msg_%u_%u", s->number, s->serial++);
}

static const char *body_of(const struct sender *s, const struct delivery *d, struct buf *b)
{
    char machine[41];

    buf_adds(b, d->n > 1 ? "[" : "");
    for (size_t i = 0; i < d->n; i++) {
        const struct alert *a = &s->c->alerts[d->alerts[i]];

        buf_addf(b, "%s{\"alertId\":\"%s\"", i ? "," : "", a->id);
        life_machine(a->machine, machine);
        if (d->names_machine)
            buf_addf(b, ",\"machineId\":\"%s\"", machine);
        buf_adds(b, "}");
    }
    buf_adds(b, d->n > 1 ? "]" : "");
    return buf_text(b);
}

/* A 2xx came: from now on these alerts must not be lost, and belong to the cases it names. */
static void promised(struct sender *s, const struct delivery *d, const struct fetched *f)
{
    struct crash *c = s->c;
    AUTO(json_freep) struct json *answer = NULL;
    const struct json *one;
    bool whole = f->complete && !json_parse(f->body, f->body_len, &answer, NULL);
    size_t n = 0;

    if (whole && json_count(json_get(answer, "cases")) != d->n)
        fault(c, "delivery %s of %zu alerts was answered with %s", d->id, d->n, f->body);
    one = json_first(json_get(answer, "cases"));
    pthread_mutex_lock(&c->lock);
    c->accepted += f->status == 202;
    c->duplicates += f->status == 200;
    for (; n < d->n; n++, one = json_next(one)) {
        struct alert *a = &c->alerts[d->alerts[n]];
        int64_t id = 0;

        a->accepted = true;
        if (!json_string(one) || id_parse(json_string(one), &id, NULL))
            continue;
        if (a->case_id && a->case_id != id)
            fault(c, "alert %s was answered with two different cases", a->id);
        a->case_id = id;
    }
    pthread_cond_broadcast(&c->accepted_one);
    pthread_mutex_unlock(&c->lock);
}

/* One request. True: settled, false: to be sent again. */
static bool push_once(struct sender *s, const struct delivery *d, const char *body)
{
    struct crash *c = s->c;
    char signature[3][200];
    const char *headers[] = {"Content-Type: application/json", signature[0], signature[1],
                             signature[2], NULL};
    struct fetched f;
    bool settled = true;

    house_sign(c->h->secret, d->id, time(NULL), body, strlen(body), signature);
    (void)fetch(&f, "POST", c->hooks, headers, body, strlen(body), 10000);
    (void)__atomic_add_fetch(&c->pushes, 1, __ATOMIC_RELAXED);
    switch (f.status) {
    case 202:
    case 200:
        promised(s, d, &f);
        break;
    case 0:
        (void)__atomic_add_fetch(&c->unanswered, 1, __ATOMIC_RELAXED);
        settled = false;
        break;
    case 503:
        (void)__atomic_add_fetch(&c->unavailable, 1, __ATOMIC_RELAXED);
        settled = false;
        break;
    default:
        fault(c, "delivery %s was answered with %d %s", d->id, f.status, f.body);
    }
    fetched_clear(&f);
    return settled;
}

static void push(struct sender *s, struct delivery *d)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(4096);
    const char *body = body_of(s, d, &b);
    int64_t give_up = look_now_ms() + STUBBORN_MS;

    while (!push_once(s, d, body)) {
        if (look_now_ms() > give_up) {
            fault(s->c, "delivery %s was not accepted for %d s", d->id, STUBBORN_MS / 1000);
            return;
        }
        (void)poll(NULL, 0,
                   20 + (int)below(&s->dice, 80)); /* a sender's pause before it tries again */
    }
    d->pushed++;
}

/* Takes alerts that nobody has pushed, as soon as the pace allows. False: there are none any more. */
static bool take_new(struct sender *s, struct delivery *d)
{
    struct crash *c = s->c;
    size_t want = percent(&s->dice, 12) ? 2 + below(&s->dice, ALERTS_A_PUSH - 1) : 1;
    bool any;

    *d = (struct delivery){.names_machine = percent(&s->dice, 70)};
    name_delivery(s, d);
    pthread_mutex_lock(&c->lock);
    while (c->next >= c->allowed && c->allowed < c->n_alerts)
        pthread_cond_wait(&c->more, &c->lock);
    if (c->next && percent(&s->dice, 5)) /* another sender may be pushing it right now */
        d->alerts[d->n++] = c->next - 1 - below(&s->dice, c->next < 5 ? (unsigned)c->next : 5);
    while (d->n < want && c->next < c->allowed)
        d->alerts[d->n++] = c->next++;
    any = d->n > 0;
    pthread_mutex_unlock(&c->lock);
    return any;
}

static bool all_taken(struct crash *c)
{
    bool all;

    pthread_mutex_lock(&c->lock);
    all = c->next >= c->n_alerts;
    pthread_mutex_unlock(&c->lock);
    return all;
}

/* About a third of what was pushed is pushed again, now or much later: with the same id, as a sender
 * that missed the answer, or with another one, as a second flow or a person who presses Resubmit. */
static void push_again(struct sender *s)
{
    size_t i = below(&s->dice, (unsigned)s->n_kept);
    struct delivery *d = &s->kept[i];
    struct delivery fresh = *d;

    if (percent(&s->dice, 50)) {
        push(s, d);
    } else {
        name_delivery(s, &fresh);
        push(s, &fresh);
        d->pushed++;
    }
    if (d->pushed >= PUSHES_MAX)
        *d = s->kept[--s->n_kept];
}

static void *send_all(void *arg)
{
    struct sender *s = arg;

    while (!all_taken(s->c)) {
        struct delivery d;

        if (!take_new(s, &d))
            continue;
        push(s, &d);
        if (s->n_kept < sizeof s->kept / sizeof *s->kept)
            s->kept[s->n_kept++] = d;
        if (s->n_kept && percent(&s->dice, 40))
            push_again(s);
    }
    while (s->n_kept && percent(&s->dice, 80))
        push_again(s);
    return NULL;
}

/* ---- cordon: started, killed --------------------------------------------------------------------------- */

/* Did it end although nobody told it to? */
static bool ended_by_itself(struct crash *c)
{
    siginfo_t info = {0};

    if (waitid(P_PID, (id_t)c->h->pid, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
        return false;
    fault(c, "cordon ended by itself: %s %d", info.si_code == CLD_EXITED ? "exit code" : "signal",
          info.si_status);
    return true;
}

/* False: it did not get ready for so long. */
static bool wait_ready(struct crash *c, int64_t wait_ms)
{
    int64_t deadline = look_now_ms() + wait_ms;
    char *answer;

    while (!(answer = life_ask(c->h, "/readyz"))) {
        if (look_now_ms() > deadline || ended_by_itself(c))
            return false;
        (void)poll(NULL, 0, 10); /* between two looks */
    }
    free(answer);
    return true;
}

/* ---- the moments ---------------------------------------------------------------------------------------- */

enum moment {
    ANY_TIME,   /* so many ms after the start */
    AT_START,   /* while it opens its store and its sockets */
    AT_READY,   /* it has just got ready, and takes up what the last life left */
    AT_ACCEPT,  /* a sender has just read its 2xx */
    AT_ISOLATE, /* Defender has just got an isolate request; the answer may be on its way */
    AT_MAIL,    /* the mail server has just got a mail; its 250 may be on its way */
    MOMENTS
};

static const char *const moment_names[MOMENTS] = {
    "at any time", "at start", "once ready", "at a 2xx", "at an isolate request", "at a mail"};

static enum moment choose(struct dice *d)
{
    unsigned n = below(d, 100);

    return n < 35   ? ANY_TIME
           : n < 47 ? AT_START
           : n < 57 ? AT_READY
           : n < 67 ? AT_ACCEPT
           : n < 84 ? AT_ISOLATE
                    : AT_MAIL;
}

static void pass_us(unsigned us)
{
    const struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000L};

    (void)nanosleep(&t, NULL);
}

static void wait_accept(struct crash *c)
{
    struct timespec until;
    unsigned long before;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (c->start_ms + MOMENT_MS) / 1000 + 1;
    pthread_mutex_lock(&c->lock);
    before = c->accepted;
    while (c->accepted == before &&
           pthread_cond_timedwait(&c->accepted_one, &c->lock, &until) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&c->lock);
}

static void wait_isolate(struct crash *c, unsigned nth)
{
    int64_t seen = sim_count_calls(c->h->sim, "POST", SIM_ISOLATE);
    char path[200];

    (void)snprintf(path, sizeof path,
                   "/journal/wait?method=POST&path=" SIM_ISOLATE "&limit=0&count=%" PRId64
                   "&timeout_ms=%d",
                   seen + nth, (int)c->start_ms + MOMENT_MS);
    json_free(sim_get(c->h->sim, path));
}

static void take_mails(struct crash *c, int wait_ms);

static void wait_for(struct crash *c, enum moment m)
{
    int64_t began;

    switch (m) {
    case AT_START:
        pass_us(below(&c->dice, c->start_ms * 1000));
        break;
    case AT_READY:
        began = look_now_ms();
        if (wait_ready(c, READY_MS)) /* which depends on what else the machine has to do */
            c->start_ms = (unsigned)(((int64_t)c->start_ms + look_now_ms() - began) / 2);
        pass_us(below(&c->dice, 40000));
        break;
    case AT_ACCEPT:
        wait_accept(c);
        break;
    case AT_ISOLATE:
        wait_isolate(c, 1 + below(&c->dice, 3));
        pass_us(below(&c->dice, 25000));
        break;
    case AT_MAIL:
        take_mails(c, (int)c->start_ms + MOMENT_MS);
        pass_us(below(&c->dice, 4000));
        break;
    default:
        pass_us(below(&c->dice, (c->start_ms + LIFE_MAX_MS) * 1000));
    }
}

/* ---- what Defender and the mail server know --------------------------------------------------------------- */

static void note_mail(struct crash *c, const struct json *m)
{
    const char *raw = json_get_string(m, "raw");
    struct mail one = {.confirmed = json_is_true(json_get(m, "confirmed"))};
    char text[200];

    (void)json_int64(json_get(m, "seq"), &one.seq);
    one.notice = life_notice_of(raw);
    if (!one.notice || id_parse(life_header(raw, "X-Cordon-Case", text), &one.case_id, NULL)) {
        fault(c, "a mail that names no notice and case: %.200s", raw ? raw : "(not text)");
        return;
    }
    (void)snprintf(one.kind, sizeof one.kind, "%.15s", life_header(raw, "X-Cordon-State", text));
    if (c->n_mails == c->mails_room) {
        c->mails_room = c->mails_room ? 2 * c->mails_room : 1024;
        c->mails = reallocarray(c->mails, c->mails_room, sizeof *c->mails);
        if (!c->mails)
            fail_msg("out of memory");
    }
    c->mails[c->n_mails++] = one;
}

/* Takes the mails that came since the last call; waits for one. */
static void take_mails(struct crash *c, int wait_ms)
{
    char path[100];
    AUTO(json_freep) struct json *doc = NULL;

    (void)snprintf(path, sizeof path, "/mails?since=%" PRId64 "&wait=%d&timeout_ms=%d",
                   c->n_mails ? c->mails[c->n_mails - 1].seq : 0, wait_ms ? 1 : 0, wait_ms);
    doc = sim_get(c->h->sim, path);
    JSON_EACH (m, json_get(doc, "mails"))
        note_mail(c, m);
}

static void make_alerts(struct crash *c)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(1 << 20);
    unsigned machines = (unsigned)(c->n_alerts / ALERTS_A_MACHINE) + 1;
    char id[41];

    assert(machines);
    for (unsigned m = 0; m < machines;) {
        buf_reset(&b);
        for (unsigned n = 0; n < 500 && m < machines; n++, m++) {
            life_machine(m, id);
            buf_addf(&b, "%s{\"id\":\"%s\",\"computerDnsName\":\"ws-%u.corp.example\"}",
                     n ? "," : "[", id, m);
        }
        buf_addc(&b, ']');
        sim_tell(c->h->sim, "/machines", buf_text(&b));
    }
    for (size_t i = 0; i < c->n_alerts;) {
        buf_reset(&b);
        for (unsigned n = 0; n < 500 && i < c->n_alerts; n++, i++) {
            struct alert *a = &c->alerts[i];

            (void)snprintf(a->id, sizeof a->id, "da638712345%09zu_-%zu", i, i);
            /* alerts of one machine are close together, but not next to each other */
            a->machine = (unsigned)((i / 12 * 4 + i % 4) % machines);
            a->high = percent(&c->dice, 45);
            life_machine(a->machine, id);
            buf_addf(&b,
                     "%s{\"id\":\"%s\",\"severity\":\"%s\",\"machineId\":\"%s\","
                     "\"title\":\"Sensitive credential memory read\"}",
                     n ? "," : "[", a->id, a->high ? "High" : "Medium", id);
        }
        buf_addc(&b, ']');
        sim_tell(c->h->sim, "/alerts", buf_text(&b));
    }
}

/* ---- the comparison ------------------------------------------------------------------------------------------ */

/* Nothing is left to be done: the table of work is empty. How long that takes depends on the machine, for each mail is
 * a process, and some make room for others; that less is left, or one more mail came, does not. */
static void wait_quiet(struct crash *c)
{
    int64_t deadline = look_now_ms() + QUIET_MS, least = INT64_MAX;
    size_t mails = 0;

    for (;;) {
        AUTO(auto_free) char *text = life_ask(c->h, "/metrics");
        int64_t left = life_work_left(text);

        if (!left)
            return;
        take_mails(c, 0);
        if (left > 0 && (left < least || c->n_mails > mails)) {
            least = left < least ? left : least;
            mails = c->n_mails;
            deadline = look_now_ms() + QUIET_MS;
        }
        if (ended_by_itself(c) || look_now_ms() > deadline) {
            const char *work = text ? strstr(text, "cordon_work{") : NULL;

            fault(c, "nothing was finished for %d s: %.200s", QUIET_MS / 1000,
                  work ? work : "no answer");
            return;
        }
        (void)poll(NULL, 0, 250); /* between two looks */
    }
}

static int by_case(const void *a, const void *b)
{
    const struct mail *x = a, *y = b;

    return x->case_id != y->case_id ? (x->case_id < y->case_id ? -1 : 1)
                                    : (x->seq > y->seq) - (x->seq < y->seq);
}

/* The mails of a case in the order of their arrival; *ret_n of them. */
static const struct mail *mails_of(const struct crash *c, int64_t case_id, size_t *ret_n)
{
    size_t low = 0, high = c->n_mails, n = 0;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (c->mails[middle].case_id < case_id)
            low = middle + 1;
        else
            high = middle;
    }
    while (low + n < c->n_mails && c->mails[low + n].case_id == case_id)
        n++;
    *ret_n = n;
    return c->mails + low;
}

struct tally {
    unsigned long lost_cases, lost_isolations, lost_mails, doubled_isolations, doubled_mails;
};

/* The notices of a case, each with its mail; nothing mailed that is not on record. */
static void check_notices(struct crash *c, struct tally *t, const struct alert *a,
                          const struct json *full)
{
    const struct json *notices = json_get(full, "notices");
    size_t n, distinct = 0, known = 0;
    const struct mail *mails = mails_of(c, a->case_id, &n);
    const char *last = "nothing";

    for (size_t i = 0; i < n; i++) {
        bool again = false;

        for (size_t j = 0; j < i; j++) {
            again = again || mails[j].notice == mails[i].notice;
            if (mails[j].notice != mails[i].notice && strcmp(mails[j].kind, mails[i].kind) == 0)
                fault(c, "alert %s: two notices say %s", a->id, mails[i].kind);
        }
        distinct += !again;
        if (!again)
            last = mails[i].kind;
    }
    t->doubled_mails += n - distinct;
    JSON_EACH (notice, notices) {
        const char *text = json_get_string(notice, "id"), *state = json_get_string(notice, "state");
        int64_t id = 0;
        bool arrived = false;

        (void)id_parse(text ? text : "", &id, NULL);
        for (size_t i = 0; i < n; i++)
            arrived = arrived || mails[i].notice == id;
        known += arrived;
        if (!arrived || !state || strcmp(state, "sent") != 0) {
            t->lost_mails++;
            fault(c, "alert %s: notice %s is %s, and %s", a->id, text, state ? state : "?",
                  arrived ? "arrived" : "did not arrive");
        }
    }
    if (known != distinct)
        fault(c, "alert %s: %zu mails arrived that no notice on record explains", a->id,
              distinct - known);
    if (strcmp(last, a->high ? "isolated" : "alert") != 0) {
        t->lost_mails++;
        fault(c, "alert %s (%s): the last word that people read is %s", a->id,
              a->high ? "High" : "Medium", last);
    }
}

static void check_case(struct crash *c, struct tally *t, const struct json *one)
{
    const char *alert = json_get_string(one, "alert_id"), *state = json_get_string(one, "state");
    const char *text = json_get_string(one, "id");
    AUTO(json_freep) struct json *full = NULL;
    struct alert *a;
    size_t n = c->n_alerts;
    int64_t id = 0;
    char path[60];

    if (!alert || !state || !text || id_parse(text, &id, NULL) ||
        sscanf(alert, "da638712345%9zu_", &n) != 1 || n >= c->n_alerts) {
        fault(c, "a case of an alert that nobody pushed: %s", alert ? alert : "?");
        return;
    }
    a = &c->alerts[n];
    if (++a->cases > 1)
        fault(c, "alert %s has %u cases", a->id, a->cases);
    if (a->case_id && a->case_id != id)
        fault(c, "alert %s: the case is not the one that its sender was told", a->id);
    a->case_id = id;
    if (strcmp(state, "done") != 0) {
        t->lost_cases++;
        fault(c, "alert %s: the case is %s, why: %s", a->id, state,
              json_get_string(one, "why") ? json_get_string(one, "why") : "-");
    }
    (void)snprintf(path, sizeof path, "/api/cases/%s", text);
    full = house_get(c->h, path);
    check_notices(c, t, a, full);
    if (a->high && !json_get(full, "isolation"))
        fault(c, "alert %s: the case has no isolation", a->id);
    if (json_is_true(json_path(full, "isolation", "adopted", NULL)))
        fault(c, "alert %s: cordon takes its own isolation for somebody else's", a->id);
}

static void check_cases(struct crash *c, struct tally *t)
{
    char path[100] = "/api/cases?limit=200";

    while (path[0]) {
        AUTO(json_freep) struct json *page = house_get(c->h, path);
        const char *next = json_get_string(page, "next");

        JSON_EACH (one, json_get(page, "cases"))
            check_case(c, t, one);
        path[0] = '\0';
        if (next)
            (void)snprintf(path, sizeof path, "/api/cases?limit=200&cursor=%s", next);
    }
    for (size_t i = 0; i < c->n_alerts; i++)
        if (c->alerts[i].accepted && !c->alerts[i].cases) {
            t->lost_cases++;
            fault(c, "alert %s was accepted and has no case", c->alerts[i].id);
        }
}

static void check_machines(struct crash *c, struct tally *t, size_t *ret_isolated)
{
    AUTO(json_freep) struct json *state = sim_get(c->h->sim, "/state");
    unsigned machines = (unsigned)(c->n_alerts / ALERTS_A_MACHINE) + 1;
    bool *wanted = calloc(machines, sizeof *wanted), *seen = calloc(machines, sizeof *seen);

    if (!wanted || !seen)
        fail_msg("out of memory");
    for (size_t i = 0; i < c->n_alerts; i++)
        if (c->alerts[i].accepted && c->alerts[i].high)
            wanted[c->alerts[i].machine] = true;
    *ret_isolated = 0;
    JSON_EACH (m, json_get(state, "by_machine")) {
        int64_t posts = json_get_int64(m, "isolate_posts", -1),
                actions = json_get_int64(m, "isolate_actions", -1);
        unsigned n = machines;

        if (sscanf(json_name(m), "c0ffee%x", &n) != 1 || n >= machines || !wanted[n]) {
            fault(c, "machine %s was touched without a High alert", json_name(m));
            continue;
        }
        seen[n] = json_is_true(json_get(m, "isolated"));
        *ret_isolated += seen[n];
        if (posts != 1 || actions != 1 || json_get_int64(m, "max_active_isolates", -1) > 1) {
            t->doubled_isolations++;
            fault(c, "machine %s saw %" PRId64 " isolate requests, %" PRId64 " isolations",
                  json_name(m), posts, actions);
        }
        if (json_get_int64(m, "unisolate_posts", -1) > 0)
            fault(c, "machine %s was released by nobody's wish", json_name(m));
    }
    for (unsigned i = 0; i < machines; i++)
        if (wanted[i] && !seen[i]) {
            t->lost_isolations++;
            fault(c, "machine %u has a High alert and is not isolated", i);
        }
    free(wanted);
    free(seen);
}

/* The same on PostgreSQL; its server looks after its own files. */
static void check_store_postgresql(struct crash *c)
{
    static const char *const none[] = {
        "SELECT count(*) FROM s1.work WHERE kind <= 2",
        "SELECT count(*) FROM s1.isolations WHERE state <> 'isolated'",
    };

    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        AUTO(auto_free) char *count = postgres_sql(none[i]);

        if (!count || strcmp(count, "0") != 0)
            fault(c, "the database, on its own: %s: %s", none[i], count ? count : "nothing");
    }
}

/* The database by itself, with the server gone, seen by another program. */
static void check_store(struct crash *c)
{
    char sql[] = "PRAGMA integrity_check; SELECT count(*) FROM work WHERE kind <= 2;"
                 " SELECT count(*) FROM isolations WHERE state <> 'isolated';";
    char *argv[] = {(char *)(uintptr_t) "sqlite3", c->h->store_file, sql, NULL};
    posix_spawn_file_actions_t actions;
    char out[400] = "";
    size_t len = 0;
    ssize_t n;
    int fds[2], status = -1;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC))
        fail_msg("pipe: %s", strerror(errno));
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ))
        fail_msg("cannot run sqlite3");
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(fds[1]);
    while (len < sizeof out - 1 && (n = read(fds[0], out + len, sizeof out - 1 - len)) > 0)
        len += (size_t)n;
    (void)close(fds[0]);
    (void)waitpid(pid, &status, 0);
    if (strcmp(out, "ok\n0\n0\n") != 0)
        fault(c, "the database, on its own: %s", out);
}

/* ---- main ----------------------------------------------------------------------------------------------------- */

static void set_up(struct crash *c, struct house_options *o, char listen[40], char admin[40])
{
    (void)port_take_address(listen);
    (void)port_take_address(admin);
    *o = (struct house_options){
        /* a second isolate would be obeyed: the worst of the three ways (defender-api.md section 4.5);
         * and lists show a new action late, so that looking too soon after a kill sees nothing */
        .sim =
            {.config =
                 "{\"delay_ms\":2,\"delay_jitter_ms\":20,\"actions\":{\"duplicate\":\"second201\","
                 "\"listed_after_ms\":1000,\"in_progress_after_ms\":100,\"done_after_ms\":400}}"},
        .listen_address = listen,
        .admin_address = admin,
        .store_url = c->postgresql ? postgres_url(c->store) : NULL,
        /* Each life takes a tenth of a minute's calls with it, used or not (quota.c): an hour has enough for
         * five thousand lives. */
        .quota = "{per_minute: 2000, per_hour: 1000000}",
        .not_yet = true,
    };
    c->h = house_start(o);
    c->h->ready_fd = -1;
    (void)snprintf(c->hooks, sizeof c->hooks, "http://%s/hooks/relay", listen);
    (void)snprintf(c->h->admin, sizeof c->h->admin, "http://%s", admin);
    c->n_alerts = (size_t)c->kills * c->alerts_a_life;
    c->alerts = calloc(c->n_alerts, sizeof *c->alerts);
    if (!c->alerts)
        fail_msg("out of memory");
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->more, NULL);
    (void)pthread_cond_init(&c->accepted_one, NULL);
    make_alerts(c);
    /* what a network does to an isolate: the answer lost, the request lost; and a Defender with hiccups */
    sim_tell(
        c->h->sim, "/faults",
        "[{\"method\":\"POST\",\"path\":\"" SIM_ISOLATE
        "\",\"kind\":\"lost\",\"probability\":0.03,\"count\":-1},"
        "{\"method\":\"POST\",\"path\":\"" SIM_ISOLATE
        "\",\"kind\":\"reset\",\"probability\":0.03,\"count\":-1},"
        "{\"method\":\"GET\",\"kind\":\"error\",\"status\":503,\"probability\":0.01,\"count\":-1}]");
}

static void allow(struct crash *c, size_t n)
{
    pthread_mutex_lock(&c->lock);
    c->allowed = n < c->n_alerts ? n : c->n_alerts;
    pthread_cond_broadcast(&c->more);
    pthread_mutex_unlock(&c->lock);
}

static void kill_again_and_again(struct crash *c, unsigned kills[MOMENTS])
{
    for (unsigned life = 0; life < c->kills; life++) {
        enum moment m = life ? choose(&c->dice) : AT_READY; /* how long does that take here? */

        life_start(c->h);
        allow(c, (size_t)(life + 1) * c->alerts_a_life);
        wait_for(c, m);
        kills[m]++;
        c->self_ended += ended_by_itself(c);
        (void)life_end(c->h, SIGKILL);
        if (life % 20 == 19) {
            take_mails(c, 0);
            pthread_mutex_lock(&c->lock);
            (void)printf("  %u kills, %lu pushes, %lu accepted, %zu mails\n", life + 1,
                         __atomic_load_n(&c->pushes, __ATOMIC_RELAXED), c->accepted, c->n_mails);
            pthread_mutex_unlock(&c->lock);
            (void)fflush(stdout);
        }
    }
}

static void converge(struct crash *c, struct sender *senders)
{
    life_start(c->h);
    if (!wait_ready(c, READY_MS))
        fail_msg("cordon did not get ready after the last kill");
    for (unsigned i = 0; i < c->senders; i++)
        (void)pthread_join(senders[i].thread, NULL);
    wait_quiet(c);
    take_mails(c, 0);
    qsort(c->mails, c->n_mails, sizeof *c->mails, by_case);
}

static uint64_t number_of(const char *text)
{
    char *rest;
    unsigned long long n = strtoull(text, &rest, 0);

    if (!*text || *rest) {
        (void)fprintf(stderr, "crash: '%s' is no number\n", text);
        exit(2);
    }
    return n;
}

int main(int argc, char **argv)
{
    struct crash c = {.kills = KILLS,
                      .senders = SENDERS,
                      .alerts_a_life = ALERTS_A_LIFE,
                      .start_ms = START_MS,
                      .seed = (uint64_t)time(NULL)};
    struct tally t = {0};
    struct house_options o;
    struct sender *senders;
    char listen[40], admin[40];
    unsigned kills[MOMENTS] = {0};
    size_t isolated = 0, accepted = 0;
    int64_t began = look_now_ms(), killed;
    int status = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--postgresql") == 0)
            c.postgresql = true;
        else if (i + 1 < argc && strcmp(argv[i], "--kills") == 0)
            c.kills = (unsigned)number_of(argv[++i]);
        else if (i + 1 < argc && strcmp(argv[i], "--alerts") == 0)
            c.alerts_a_life = (unsigned)number_of(argv[++i]);
        else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
            c.seed = number_of(argv[++i]);
        else
            return (void)fprintf(stderr, "usage: crash [--postgresql] [--kills N] [--alerts N] "
                                         "[--seed N]\n"),
                   2;
    }
    if (!c.kills || !c.alerts_a_life)
        return (void)fprintf(stderr, "crash: expected a kill and an alert at least\n"), 2;
    if (c.postgresql && !postgres_start(NULL))
        return 1;
    (void)printf("crash: %u kills on %s, seed %" PRIu64 "\n", c.kills,
                 c.postgresql ? "PostgreSQL" : "SQLite", c.seed);
    (void)fflush(stdout);
    c.dice.state = c.seed;
    set_up(&c, &o, listen, admin);
    senders = calloc(c.senders, sizeof *senders);
    if (!senders)
        fail_msg("out of memory");
    for (unsigned i = 0; i < c.senders; i++) {
        senders[i] = (struct sender){.c = &c, .number = i, .dice = {.state = c.seed + 1000 + i}};
        if (pthread_create(&senders[i].thread, NULL, send_all, &senders[i]))
            fail_msg("pthread_create");
    }
    kill_again_and_again(&c, kills);
    killed = look_now_ms();
    converge(&c, senders);
    check_cases(&c, &t);
    check_machines(&c, &t, &isolated);
    status = life_end(c.h, SIGTERM);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fault(&c, "cordon ended with status 0x%x after SIGTERM", (unsigned)status);
    life_check_log(c.h, true, &c.faults);
    if (c.postgresql)
        check_store_postgresql(&c);
    else
        check_store(&c);
    if (t.doubled_mails > (unsigned long)c.kills * LIFE_UNDER_WAY)
        fault(&c, "%lu mails came twice: more than %d a kill", t.doubled_mails, LIFE_UNDER_WAY);
    for (size_t i = 0; i < c.n_alerts; i++)
        accepted += c.alerts[i].accepted;
    (void)printf("crash: %u kills (", c.kills);
    for (int m = 0; m < MOMENTS; m++)
        (void)printf("%s%u %s", m ? ", " : "", kills[m], moment_names[m]);
    (void)printf(
        ")\n"
        "crash: %lu pushes (%lu answered 202, %lu 200, %lu 503, %lu not at all), %zu alerts accepted,"
        " %lu lost\n"
        "crash: %zu machines isolated, %lu not, %lu twice; %zu mails, %lu lost, %lu twice\n"
        "crash: %.1f s of kills, %.1f s to finish; %u faults; %s\n",
        c.pushes, c.accepted, c.duplicates, c.unavailable, c.unanswered, accepted, t.lost_cases,
        isolated, t.lost_isolations, t.doubled_isolations, c.n_mails, t.lost_mails, t.doubled_mails,
        (double)(killed - began) / 1000, (double)(look_now_ms() - killed) / 1000, c.faults,
        c.faults ? "FAILED" : "well");
    if (c.faults) { /* what happened stays to be looked at */
        (void)printf("crash: see %s; once more with %s--kills %u --alerts %u --seed %" PRIu64 "\n",
                     c.h->dir, c.postgresql ? "--postgresql " : "", c.kills, c.alerts_a_life,
                     c.seed);
        postgres_stop();
        return 1;
    }
    house_stop(c.h);
    postgres_stop();
    free(senders);
    free(c.alerts);
    free(c.mails);
    return 0;
}
