/* house.c - see house.h. */
#include "kit/house.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "kit/look.h"

#define READY_MS 15000
#define STOP_MS  20000

/* ---- files ------------------------------------------------------------------------------------- */

char *house_write_file(struct house *h, const char *name, const char *text)
{
    char *path = NULL;
    FILE *f;

    if (asprintf(&path, "%s/%s", h->dir, name) < 0)
        fail_msg("out of memory");
    f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f))
        fail_msg("%s: %s", path, strerror(errno));
    (void)chmod(path, 0600);
    return path;
}

/* The whole of a file, heap. */
static char *read_file(const char *path)
{
    struct buf b = BUF_INIT(64 << 20);
    FILE *f = fopen(path, "r");
    char piece[4096];
    size_t n;

    while (f && (n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_add(&b, piece, n);
    if (!f || fclose(f))
        fail_msg("%s: %s", path, strerror(errno));
    return buf_take(&b);
}

void house_edit(struct house *h, const char *from, const char *to)
{
    char *text = read_file(h->config_file), *at = strstr(text, from);
    struct buf b = BUF_INIT(1 << 20);

    if (!at || strstr(at + 1, from))
        fail_msg("'%s' is not there once in\n%s", from, text);
    buf_add(&b, text, (size_t)(at - text));
    buf_addf(&b, "%s%s", to, at + strlen(from));
    free(house_write_file(h, "cordon.yaml", buf_text(&b)));
    buf_clear(&b);
    free(text);
}

char *house_log(const struct house *h)
{
    return read_file(h->log_file);
}

unsigned house_log_count(const struct house *h, const char *text)
{
    char *log = house_log(h);
    unsigned n = 0;

    for (const char *at = log; (at = strstr(at, text)) != NULL; at += strlen(text))
        n++;
    free(log);
    return n;
}

void house_log_lacks(struct house *h, const char *text)
{
    char *log = house_log(h), *at = strstr(log, text);

    if (!*text)
        fail_msg("nothing to look for in the log");
    if (at) {
        while (at > log && at[-1] != '\n')
            at--;
        fail_msg("'%s' is in the log: %.*s", text, (int)strcspn(at, "\n"), at);
    }
    free(log);
}

void house_wait_log(struct house *h, const char *text, unsigned count, int64_t timeout_ms)
{
    for (int64_t until = look_until(timeout_ms);;
         look_again(until, "'%s' is not in the log", text)) {
        char *log = house_log(h);
        unsigned n = 0;

        for (const char *at = log; (at = strstr(at, text)) != NULL; at += strlen(text))
            n++;
        if (n < count && look_is_over(until))
            fail_msg("'%s' is in the log %u times, not %u:\n%s", text, n, count, log);
        free(log);
        if (n >= count)
            return;
    }
}

static const char default_rules[] = "  - name: contain-high\n"
                                    "    when: {alert.severity: High}\n"
                                    "    do:\n"
                                    "      - isolate: {type: full, comment: \"{{alert.title}}\"}\n"
                                    "      - email: {}\n"
                                    "  - name: tell\n"
                                    "    do: [email: {}]\n";

static void write_config(struct house *h, const struct house_options *o)
{
    const struct sim *s = h->sim;
    struct buf b = BUF_INIT(1 << 20);
    char *path;

    buf_addf(&b,
             "listen:\n  address: %s\n%s"
             "admin:\n  address: %s\n"
             "store:\n  url: %s%s\n"
             "tenants:\n  contoso:\n    tenant_id: %s\n    client_id: %s\n"
             "    client_secret_file: %s/client-secret\n"
             "    api_url: %s\n    api_scope: %s\n    login_url: %s\n"
             "    graph_url: %s\n    quota: %s\n"
             "sources:\n  relay:\n    tenant: contoso\n",
             o->listen_address ? o->listen_address : "127.0.0.1:0", o->listen ? o->listen : "",
             o->admin_address ? o->admin_address : "127.0.0.1:0",
             o->store_url ? "" : "sqlite:", o->store_url ? o->store_url : h->store_file,
             s->tenant_id, s->client_id, h->dir, s->api_url, s->api_scope, s->login_url,
             s->graph_url, o->quota ? o->quota : "{per_minute: 100000, per_hour: 1000000}");
    if (o->source)
        buf_adds(&b, o->source);
    else
        buf_addf(&b, "    verify:\n      - standard_webhooks: {secret_files: [%s]}\n",
                 h->secret_file);
    buf_addf(&b,
             "mail:\n  server: %s\n  from: cordon@contoso.example\n  to: [soc@contoso.example]\n"
             "  ca_file: %s\n%s%s",
             o->mail_url ? o->mail_url : s->smtp_url, s->smtp_ca_file,
             o->mail && strstr(o->mail, "group:") ? "" : "  group: {interval: 0}\n",
             o->mail ? o->mail : "");
    buf_addf(&b, "rules:\n%s", o->rules ? o->rules : default_rules);
    if (o->safety)
        buf_addf(&b, "safety:\n%s", o->safety);
    if (o->more)
        buf_adds(&b, o->more);
    path = house_write_file(h, "cordon.yaml", buf_text(&b));
    free(path);
    buf_clear(&b);
}

static void new_secret(char out[64])
{
    unsigned char key[32];

    if (RAND_bytes(key, sizeof key) != 1)
        fail_msg("RAND_bytes");
    memcpy(out, "whsec_", 6);
    (void)EVP_EncodeBlock((unsigned char *)out + 6, key, sizeof key);
}

/* ---- the process --------------------------------------------------------------------------------- */

static void program(char out[400], const char *name)
{
    const char *build = getenv("CORDON_BUILD");

    (void)snprintf(out, 400, "%s/%s", build ? build : "build", name);
}

/* An address of the log as fetch wants it. */
static void note_address(char *out, size_t room, const char *address)
{
    bool is_unix = address && strncmp(address, "unix:", 5) == 0;

    (void)snprintf(out, room, is_unix ? "%s:" : "http://%s", address ? address : "?");
}

static void note_ready(struct house *h, const struct json *line)
{
    uint64_t one = 1;

    note_address(h->hooks, sizeof h->hooks, json_get_string(line, "listen"));
    note_address(h->admin, sizeof h->admin, json_get_string(line, "admin"));
    (void)!write(h->ready_fd, &one, sizeof one);
}

/* Copies the log into its file and looks for the line `ready`. */
static void *read_log(void *arg)
{
    struct house *h = arg;
    FILE *in = fdopen(h->log_fd, "r"), *out = fopen(h->log_file, "a");
    char *line = NULL;
    size_t room = 0;
    ssize_t len;

    while (in && (len = getline(&line, &room, in)) > 0) {
        struct json *v = NULL;

        if (out) {
            (void)fwrite(line, 1, (size_t)len, out);
            (void)fflush(out);
        }
        if (strstr(line, "\"event\":\"ready\"") && !json_parse(line, (size_t)len - 1, &v, NULL))
            note_ready(h, v);
        json_free(v);
    }
    free(line);
    if (out)
        (void)fclose(out);
    if (in)
        (void)fclose(in);
    return NULL;
}

static void show_log(const struct house *h)
{
    FILE *f = fopen(h->log_file, "r");
    char line[2000];

    while (f && fgets(line, sizeof line, f))
        (void)fprintf(stderr, "    cordon: %s", line);
    if (f)
        (void)fclose(f);
}

#define ENV_MAX 1024

/* The environment of a process that is handed over a socket; LISTEN_PID is still to be filled in. */
static void hand_over_env(char *env[ENV_MAX], char pid[32])
{
    static char fds[] = "LISTEN_FDS=1", names[] = "LISTEN_FDNAMES=listen";
    size_t n = 0;

    (void)snprintf(pid, 32, "LISTEN_PID=");
    env[n++] = pid;
    env[n++] = fds;
    env[n++] = names;
    for (char **e = environ; *e && n < ENV_MAX - 1; e++)
        env[n++] = *e;
    env[n] = NULL;
}

/* In the child, between fork and exec: as a service manager does it. */
static void hand_over(int fd, char pid[32])
{
    char digits[12], *at = pid + strlen(pid);
    int n = 0;

    for (pid_t own = getpid(); own; own /= 10)
        digits[n++] = (char)('0' + own % 10);
    while (n)
        *at++ = digits[--n];
    *at = '\0';
    if (fd == 3)
        (void)fcntl(fd, F_SETFD, 0);
    else
        (void)dup2(fd, 3);
}

void house_cordon_start(struct house *h)
{
    char exe[400], pid_text[32], *handed[ENV_MAX];
    char *argv[] = {exe, (char *)(uintptr_t) "serve", (char *)(uintptr_t) "-c", h->config_file,
                    NULL};
    int log_pipe[2] = {-1, -1}, ready[2] = {-1, -1};
    struct pollfd p;
    uint64_t one;
    pid_t parent = getpid();

    assert_int_equal(h->pid, 0);
    program(exe, "cordon");
    hand_over_env(handed, pid_text);
    if (pipe2(log_pipe, O_CLOEXEC) || pipe2(ready, O_CLOEXEC))
        fail_msg("pipe: %s", strerror(errno));
    h->pid = fork();
    if (h->pid == 0) { /* only async-signal-safe calls from here to exec */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127);
        (void)dup2(log_pipe[1], 2);
        (void)signal(SIGXFSZ, SIG_DFL); /* whoever runs the tests may ignore these, */
        (void)signal(SIGPIPE, SIG_DFL); /* service managers do not */
        if (h->listen_fd)
            hand_over(h->listen_fd, pid_text); /* last: descriptor 3 may have been one of ours */
        (void)execve(exe, argv, h->listen_fd ? handed : environ);
        _exit(127);
    }
    (void)close(log_pipe[1]);
    if (h->pid < 0)
        fail_msg("fork: %s", strerror(errno));
    h->log_fd = log_pipe[0];
    h->ready_fd = ready[1];
    h->reading = pthread_create(&h->reader, NULL, read_log, h) == 0;
    p = (struct pollfd){.fd = ready[0], .events = POLLIN};
    if (!h->reading || poll(&p, 1, READY_MS) != 1 || read(ready[0], &one, sizeof one) < 1) {
        show_log(h);
        fail_msg("%s did not get ready", exe);
    }
    (void)close(ready[0]);
}

/* Reaps the process; its exit status, or -1 when it does not end. */
static int reap(struct house *h, int64_t timeout_ms)
{
    int64_t until = look_until(timeout_ms);
    int status = -1;

    while (waitpid(h->pid, &status, WNOHANG) == 0) {
        if (look_is_over(until)) {
            (void)kill(h->pid, SIGKILL);
            (void)waitpid(h->pid, &status, 0);
            status = -1;
            break;
        }
        look_again(until, "it does not end");
    }
    h->pid = 0;
    if (h->reading)
        (void)pthread_join(h->reader, NULL);
    h->reading = false;
    (void)close(h->ready_fd);
    return status;
}

void house_cordon_signal(struct house *h, int number)
{
    if (h->pid)
        (void)kill(h->pid, number);
}

void house_cordon_stop(struct house *h)
{
    int status;

    if (!h->pid)
        return;
    house_cordon_signal(h, SIGTERM);
    status = reap(h, STOP_MS);
    if (!(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
        show_log(h);
        fail_msg("cordon ended with status 0x%x after SIGTERM", (unsigned)status);
    }
}

void house_cordon_kill(struct house *h)
{
    if (!h->pid)
        return;
    house_cordon_signal(h, SIGKILL);
    (void)reap(h, STOP_MS);
}

static void move_in(struct house *h, struct house *beside)
{
    char *dir = NULL;

    h->beside = beside;
    h->sim = beside->sim;
    if (asprintf(&dir, "%s/replica-%u", beside->dir, ++beside->replicas) < 0 || mkdir(dir, 0700))
        fail_msg("%s: %s", dir ? dir : "out of memory", strerror(errno));
    h->dir = dir;
    memcpy(h->secret, beside->secret, sizeof h->secret);
}

struct house *house_start(const struct house_options *o)
{
    static const struct house_options defaults;
    struct house *h = calloc(1, sizeof *h);
    char *path;

    assert_non_null(h);
    o = o ? o : &defaults;
    if (o->beside) {
        move_in(h, o->beside);
    } else {
        h->sim = sim_start(&o->sim);
        h->dir = h->sim->dir;
        new_secret(h->secret);
    }
    (void)snprintf(h->config_file, sizeof h->config_file, "%s/cordon.yaml", h->dir);
    (void)snprintf(h->log_file, sizeof h->log_file, "%s/cordon.log", h->dir);
    (void)snprintf(h->store_file, sizeof h->store_file, "%s/cordon.db", h->dir);
    path = house_write_file(h, "relay-secret", h->secret);
    (void)snprintf(h->secret_file, sizeof h->secret_file, "%s", path);
    free(path);
    path = house_write_file(h, "client-secret", h->sim->client_secret);
    free(path);
    write_config(h, o);
    if (!o->not_yet)
        house_cordon_start(h);
    return h;
}

void house_stop(struct house *h)
{
    if (!h)
        return;
    house_cordon_stop(h);
    if (h->beside)
        free((char *)(uintptr_t)h->dir); /* ours, unlike the simulator's */
    else
        sim_stop(h->sim);
    free(h);
}

/* ---- the sender's side ---------------------------------------------------------------------------- */

void house_sign(const char *secret, const char *delivery_id, int64_t now_s, const char *body,
                size_t len, char out[3][200])
{
    unsigned char key[64], mac[EVP_MAX_MD_SIZE];
    unsigned char text[64];
    unsigned mac_len = 0;
    int key_len = EVP_DecodeBlock(key, (const unsigned char *)secret + 6, (int)strlen(secret) - 6);
    struct buf b = BUF_INIT(SIZE_MAX / 2);

    if (key_len > 0 &&
        secret[strlen(secret) - 1] == '=') /* DecodeBlock counts the padding as bytes */
        key_len -= secret[strlen(secret) - 2] == '=' ? 2 : 1;
    buf_addf(&b, "%s.%" PRId64 ".", delivery_id, now_s);
    buf_add(&b, body, len);
    (void)HMAC(EVP_sha256(), key, key_len, (const unsigned char *)buf_text(&b), b.len, mac,
               &mac_len);
    (void)EVP_EncodeBlock(text, mac, (int)mac_len);
    (void)snprintf(out[0], 200, "webhook-id: %s", delivery_id);
    (void)snprintf(out[1], 200, "webhook-timestamp: %" PRId64, now_s);
    (void)snprintf(out[2], 200, "webhook-signature: v1,%s", (char *)text);
    buf_clear(&b);
}

bool house_post(struct house *h, const char *delivery_id, const char *body, struct fetched *f)
{
    char url[300], id[80], signature[3][200];
    const char *headers[] = {"Content-Type: application/json", signature[0], signature[1],
                             signature[2], NULL};

    if (!delivery_id) {
        (void)snprintf(id, sizeof id, "msg_%d_%u", (int)getpid(),
                       __atomic_add_fetch(&h->serial, 1, __ATOMIC_RELAXED));
        delivery_id = id;
    }
    (void)snprintf(url, sizeof url, "%s/hooks/relay", h->hooks);
    house_sign(h->secret, delivery_id, time(NULL), body, strlen(body), signature);
    return fetch(f, "POST", url, headers, body, strlen(body), 10000);
}

struct json *house_push_timed(struct house *h, const char *alert_id, const char *machine_id,
                              int status, int64_t *ret_sent_us)
{
    struct fetched f;
    struct json *answer = NULL;
    char body[600];

    if (machine_id)
        (void)snprintf(body, sizeof body, "{\"alertId\":\"%s\",\"machineId\":\"%s\"}", alert_id,
                       machine_id);
    else
        (void)snprintf(body, sizeof body, "{\"alertId\":\"%s\"}", alert_id);
    (void)house_post(h, NULL, body, &f);
    if (status && f.status != status)
        fail_msg("push of %s: HTTP %d instead of %d: %s %s", alert_id, f.status, status, f.body,
                 f.why);
    (void)json_parse(f.body, f.body_len, &answer, NULL);
    *ret_sent_us = f.sent_us;
    fetched_clear(&f);
    return answer;
}

struct json *house_push(struct house *h, const char *alert_id, const char *machine_id, int status)
{
    int64_t unused;

    return house_push_timed(h, alert_id, machine_id, status, &unused);
}

/* ---- the people's side ------------------------------------------------------------------------------ */

struct json *house_get(struct house *h, const char *path)
{
    struct fetched f;
    struct json *answer = NULL;
    struct err e = {0};
    char url[400];

    (void)snprintf(url, sizeof url, "%s%s", h->admin, path);
    (void)fetch(&f, "GET", url, NULL, NULL, 0, 10000);
    if (f.status != 200)
        fail_msg("GET %s: HTTP %d: %s %s", path, f.status, f.body, f.why);
    if (json_parse(f.body, f.body_len, &answer, &e))
        fail_msg("GET %s: %s", path, e.text);
    fetched_clear(&f);
    return answer;
}

static void get_metrics(struct house *h, struct fetched *f)
{
    char url[400];

    (void)snprintf(url, sizeof url, "%s/metrics", h->admin);
    (void)fetch(f, "GET", url, NULL, NULL, 0, 10000);
    if (f->status != 200)
        fail_msg("GET /metrics: HTTP %d: %s %s", f->status, f->body, f->why);
}

static double metric_of(const char *text, const char *series)
{
    size_t len = strlen(series);
    const char *at = text;

    while (at && !(strncmp(at, series, len) == 0 && at[len] == ' ')) {
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    if (!at)
        fail_msg("/metrics has no %s: %s", series, text);
    return strtod(at + len, NULL);
}

double house_metric(struct house *h, const char *series)
{
    struct fetched f;
    double value;

    get_metrics(h, &f);
    value = metric_of(f.body, series);
    fetched_clear(&f);
    return value;
}

int house_order(struct house *h, const char *path, const char *body)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    struct fetched f;
    char url[400];
    int status;

    (void)snprintf(url, sizeof url, "%s%s", h->admin, path);
    if (!fetch(&f, "POST", url, headers, body, strlen(body), 30000))
        fail_msg("POST %s: %s", path, f.why);
    status = f.status;
    fetched_clear(&f);
    return status;
}

struct json *house_wait_case(struct house *h, const struct json *answer, const char *state,
                             int64_t timeout_ms)
{
    const char *id = json_string(json_first(json_get(answer, "cases")));
    char path[100];

    assert_non_null(id);
    (void)snprintf(path, sizeof path, "/api/cases/%s", id);
    for (int64_t until = look_until(timeout_ms);;
         look_again(until, "case %s is not %s", id, state)) {
        struct json *c = house_get(h, path);
        const char *now = json_get_string(c, "state");

        if (now && strcmp(now, state) == 0)
            return c;
        if (look_is_over(until)) {
            struct buf b = BUF_INIT(1 << 20);

            json_write(&b, c);
            show_log(h);
            fail_msg("case %s is %s, not %s: %.2000s", id, now ? now : "?", state, buf_text(&b));
        }
        json_free(c);
    }
}

struct json *house_wait_cases(struct house *h, size_t count, int64_t timeout_ms)
{
    for (int64_t until = look_until(timeout_ms);; look_again(until, "not %zu cases", count)) {
        struct json *list = house_get(h, "/api/cases?limit=500");
        size_t n = json_count(json_get(list, "cases"));

        if (n >= count || look_is_over(until)) {
            assert_int_equal(n, count);
            return list;
        }
        json_free(list);
    }
}

/* Until each of the series is 0 on /metrics, all of them in one look: what leaves one of them may come into another. */
static void wait_none(struct house *h, const char *const *series, const char *what,
                      int64_t timeout_ms)
{
    for (int64_t until = look_until(timeout_ms);; look_again(until, "there is still %s", what)) {
        struct fetched f;
        bool none = true;

        get_metrics(h, &f);
        for (const char *const *s = series; *s; s++)
            none = none && metric_of(f.body, *s) == 0;
        if (!none && look_is_over(until)) {
            show_log(h);
            fail_msg("there is still %s: %s", what, f.body);
        }
        fetched_clear(&f);
        if (none)
            return;
    }
}

void house_wait_time(struct house *h)
{
    /* it has its token then: the answer with that has told it */
    json_free(sim_wait_calls(h->sim, "GET", "/api/machineactions", 1, READY_MS));
}

void house_wait_quiet(struct house *h, int64_t timeout_ms)
{
    static const char *const open[] = {
        "cordon_cases{state=\"received\"}", "cordon_cases{state=\"expanding\"}",
        "cordon_cases{state=\"deciding\"}", "cordon_cases{state=\"acting\"}",
        "cordon_cases{state=\"waiting\"}",  NULL,
    };

    wait_none(h, open, "an open case", timeout_ms);
}

void house_wait_idle(struct house *h, int64_t timeout_ms)
{
    static const char *const work[] = {
        "cordon_work{kind=\"case\"}",
        "cordon_work{kind=\"isolation\"}",
        "cordon_work{kind=\"notice\"}",
        NULL,
    };

    wait_none(h, work, "work", timeout_ms);
}

int house_run(struct house *h, char **out, const char *const *args)
{
    char exe[400];
    const char *argv[32] = {exe};
    posix_spawn_file_actions_t actions;
    struct buf text = BUF_INIT(16 << 20);
    char piece[4096];
    int fds[2], status = -1;
    ssize_t n;
    pid_t pid;

    (void)h;
    program(exe, "cordon");
    for (size_t i = 0; i < 30 && args[i]; i++)
        argv[i + 1] = args[i];
    if (pipe2(fds, O_CLOEXEC))
        fail_msg("pipe: %s", strerror(errno));
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
    (void)posix_spawn_file_actions_adddup2(&actions, fds[1], 2);
    if (posix_spawn(&pid, exe, &actions, NULL, (char *const *)(uintptr_t)argv, environ))
        fail_msg("cannot run %s", exe);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(fds[1]);
    while ((n = read(fds[0], piece, sizeof piece)) > 0)
        buf_add(&text, piece, (size_t)n);
    (void)close(fds[0]);
    (void)waitpid(pid, &status, 0);
    *out = buf_take(&text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int64_t house_asked_defender(struct house *h)
{
    int64_t all, before, looks = sim_count_calls(h->sim, "GET", "/api/machineactions*");

    do { /* one that is just taken is in both numbers, or in none */
        before = looks;
        all = sim_count_calls(h->sim, NULL, "/api/*");
        looks = sim_count_calls(h->sim, "GET", "/api/machineactions*");
    } while (looks != before);
    return all - looks;
}

void house_wait_question(struct house *h, int64_t count, char out[20])
{
    int64_t now = -1;

    for (int64_t until = look_until(60000);;) {
        AUTO(json_freep) struct json *doc = house_get(h, "/api/questions?state=open");
        const struct json *list = json_get(doc, "questions");

        if (json_count(list) == 1 && json_int64(json_get(json_first(list), "count"), &now) &&
            now == count) {
            (void)snprintf(out, 20, "%s", json_get_string(json_first(list), "id"));
            return;
        }
        look_again(until, "%zu questions, the first over %lld cases, not %lld", json_count(list),
                   (long long)now, (long long)count);
    }
}
