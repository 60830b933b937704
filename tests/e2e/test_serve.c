/* test_serve.c - the life of `cordon serve`: starting, reloading, telling its manager, ending. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "db.h"
#include "kit/house.h"
#include "kit/look.h"
#include "kit/peer.h"
#include "kit/serving.h"
#include "store_work.h"

#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define SOON    20000 /* ms; a deadline, not a wait */

#define ISOLATES                                                                                   \
    "/api/machines/*"                                                                              \
    "/isolate"
#define TELL "  - name: tell\n    do: [email: {}]\n"

static void add(struct house *h, const char *alert)
{
    sim_tellf(h->sim, "/machines", "{\"id\":\"%s\"}", MACHINE);
    sim_tellf(h->sim, "/alerts", "{\"id\":\"%s\",\"severity\":\"High\",\"machineId\":\"%s\"}",
              alert, MACHINE);
}

/* A whole small file; heap. */
static char *slurp(const char *path)
{
    struct buf b = BUF_INIT(16 << 20);
    char piece[4096];
    FILE *f = fopen(path, "r");
    size_t n;

    while (f && (n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_add(&b, piece, n);
    if (f)
        (void)fclose(f);
    return buf_take(&b);
}

/* Replaces one text of the configuration file, which must be there. */
static void edit(struct house *h, const char *from, const char *to)
{
    char *text = slurp(h->config_file), *at;
    struct buf b = BUF_INIT(1 << 20);

    assert_non_null(text);
    at = strstr(text, from);
    assert_non_null(at);
    buf_add(&b, text, (size_t)(at - text));
    buf_adds(&b, to);
    buf_adds(&b, at + strlen(from));
    free(house_write_file(h, "cordon.yaml", buf_text(&b)));
    buf_clear(&b);
    free(text);
}

/* Waits until the log holds a line with both texts. */
static void wait_log(struct house *h, const char *one, const char *two)
{
    for (int64_t until = look_until(SOON);;) {
        char *log = slurp(h->log_file), *rest = log;
        bool found = false;

        for (char *line; log && (line = strsep(&rest, "\n"));)
            found = found || (strstr(line, one) && strstr(line, two));
        free(log);
        if (found)
            return;
        look_again(until, "no line with %s and %s in the log", one, two);
    }
}

/* ---- reloading -------------------------------------------------------------------------------------- */

static void test_serve__a_good_file_is_in_force_after_sighup(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});

    (void)state;
    add(h, "da1_-1");
    add(h, "da2_-1");
    AUTO(json_freep) struct json *first = house_push(h, "da1_-1", MACHINE, 202);
    AUTO(json_freep) struct json *one = house_wait_case(h, first, "done", SOON);
    assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATES), 0);
    edit(h, TELL, "  - name: contain\n    do: [isolate: {}, email: {}]\n");
    house_cordon_signal(h, SIGHUP);
    wait_log(h, "\"event\":\"reloaded\"", "policy");
    AUTO(json_freep) struct json *second = house_push(h, "da2_-1", MACHINE, 202);
    AUTO(json_freep) struct json *two = house_wait_case(h, second, "done", SOON);
    assert_string_equal(json_get_string(one, "rule"), "tell");
    assert_string_equal(json_get_string(two, "rule"), "contain");
    assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATES), 1);
    house_stop(h);
}

static void test_serve__a_bad_file_changes_nothing_and_says_so(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});

    (void)state;
    add(h, "da1_-1");
    edit(h, TELL, "  - name: told\n    do: [emial: {}]\n");
    house_cordon_signal(h, SIGHUP);
    wait_log(h, "\"event\":\"reload_refused\"", "faults");
    AUTO(json_freep) struct json *answer = house_push(h, "da1_-1", MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    assert_string_equal(json_get_string(c, "rule"), "tell");
    house_stop(h);
}

/* What needs a new socket or store waits for a restart, and holds nothing else up. */
static void test_serve__an_address_that_waits_keeps_no_rule_out(void **state)
{
    static const struct {
        const char *from, *to, *says;
    } rows[] = {
        {"store:\n  url: sqlite:", "store:\n  url: sqlite:/tmp/other-", "store.url"},
        {"admin:\n  address: 127.0.0.1:0", "admin:\n  address: 127.0.0.1:1", "admin.address"},
        {"listen:\n  address: 127.0.0.1:0", "listen:\n  address: 127.0.0.1:1", "listen.address"},
    };
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    char name[40] = "name: tell\n";

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char id[40], before[sizeof name];

        (void)snprintf(id, sizeof id, "da%zu_-1", i);
        memcpy(before, name, sizeof before);
        (void)snprintf(name, sizeof name, "name: tell-%zu\n", i);
        add(h, id);
        edit(h, rows[i].from, rows[i].to);
        edit(h, before, name);
        house_cordon_signal(h, SIGHUP);
        house_wait_log(h, "\"event\":\"reloaded\"", (unsigned)i + 1, SOON);
        wait_log(h, rows[i].says, "needs a restart");
        AUTO(json_freep) struct json *answer = house_push(h, id, MACHINE, 202);
        AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
        assert_int_equal(strncmp(json_get_string(c, "rule"), name + strlen("name: "), 6), 0);
        assert_non_null(strstr(name, json_get_string(c, "rule")));
        edit(h, rows[i].to, rows[i].from);
    }
    house_stop(h);
}

/* A collector of logs reads lines of JSON: what is wrong with the file must not be lost on it. */
static void test_serve__the_faults_of_a_reload_are_events_of_the_log(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    unsigned faults = 0;
    char *log, *rest;

    (void)state;
    edit(h, TELL, "  - name: tell\n    do: [emial: {}]\n    wen: {}\n");
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"reload_refused\"", 1, SOON);
    edit(h, "    wen: {}\n", "    - }\n"); /* no YAML at all */
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"reload_refused\"", 2, SOON);
    assert_int_equal(unlink(h->config_file), 0);
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"reload_refused\"", 3, SOON);
    wait_log(h, "\"event\":\"config_fault\"", "emial");
    wait_log(h, "\"event\":\"config_fault\"", "wen");
    wait_log(h, "\"event\":\"config_fault\"", "not YAML");
    wait_log(h, "\"event\":\"reload_refused\"", "No such file");
    log = rest = slurp(h->log_file);
    for (char *line; (line = strsep(&rest, "\n"));) {
        AUTO(json_freep) struct json *event = NULL;

        if (*line && json_parse(line, strlen(line), &event, NULL))
            fail_msg("no line of JSON: %s", line);
        if (event && strcmp(json_get_string(event, "event"), "config_fault") == 0) {
            assert_non_null(strstr(json_get_string(event, "why"), "cordon.yaml:"));
            faults++;
        }
    }
    assert_int_equal(faults, 3);
    free(log);
    house_stop(h);
}

/* ---- ending ------------------------------------------------------------------------------------------- */

struct load {
    struct house *h;
    _Atomic bool end;
    _Atomic unsigned accepted, other;
    unsigned number;
};

static void *push_on(void *arg)
{
    struct load *l = arg;

    for (unsigned i = 0; i < 5000 && !l->end; i++) {
        struct fetched f;
        char body[200];

        (void)snprintf(body, sizeof body,
                       "{\"alertId\":\"da%u_-%u\",\"machineId\":\"" MACHINE "\"}", i, l->number);
        (void)house_post(l->h, NULL, body, &f);
        if (f.status == 202)
            l->accepted++;
        else
            l->other++;
        if (f.status == 0)
            l->end = true; /* nobody listens any more */
        fetched_clear(&f);
    }
    return NULL;
}

static void test_serve__sigterm_under_load_loses_nothing(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    struct load loads[3] = {0};
    pthread_t threads[3];
    unsigned accepted = 0;
    size_t cases = 0;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        loads[i].h = h;
        loads[i].number = i + 1;
        assert_int_equal(pthread_create(&threads[i], NULL, push_on, &loads[i]), 0);
    }
    LOOK_FOR(loads[0].accepted + loads[1].accepted + loads[2].accepted >= 60, SOON,
             "fewer than 60 are accepted");
    house_cordon_stop(h); /* fails unless it ends with 0 */
    for (unsigned i = 0; i < 3; i++) {
        loads[i].end = true;
        (void)pthread_join(threads[i], NULL);
        accepted += loads[i].accepted;
    }
    assert_true(accepted >= 60);
    house_cordon_start(h);
    for (char cursor[100] = "";;) {
        char path[200];
        struct json *list;
        size_t n;

        (void)snprintf(path, sizeof path, "/api/cases?limit=100%s%s", cursor[0] ? "&cursor=" : "",
                       cursor);
        list = house_get(h, path);
        n = json_count(json_get(list, "cases"));
        cases += n;
        JSON_EACH (c, json_get(list, "cases"))
            (void)snprintf(cursor, sizeof cursor, "%s", json_get_string(c, "id"));
        json_free(list);
        if (n < 100)
            break;
    }
    assert_true(cases >= accepted);
    house_stop(h);
}

/* Reaps h's process; its wait status. */
static int reap(struct house *h)
{
    siginfo_t info = {0};

    LOOK_FOR(waitid(P_PID, (id_t)h->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid,
             SOON, "it did not end");
    return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

/* Has a request met the fault? */
static bool hung(struct house *h)
{
    AUTO(json_freep) struct json *faults = sim_get(h->sim, "/faults");
    struct buf b = BUF_INIT(1 << 16);
    bool met;

    json_write(&b, faults);
    met = strstr(buf_text(&b), "\"hits\"") && !strstr(buf_text(&b), "\"hits\":0");
    buf_clear(&b);
    return met;
}

static void test_serve__a_second_sigterm_ends_it_at_once(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    add(h, "da1_-1");
    sim_tell(h->sim, "/faults", "{\"path\":\"/api/alerts/*\",\"kind\":\"hang\",\"count\":-1}");
    AUTO(json_freep) struct json *answer = house_push(h, "da1_-1", MACHINE, 202);
    assert_non_null(answer);
    LOOK_FOR(hung(h), SOON, "no request met the fault");
    house_cordon_signal(h, SIGTERM);
    wait_log(h, "\"event\":\"stopping\"", "");
    house_cordon_signal(h, SIGHUP); /* must not end it */
    house_cordon_signal(h, SIGTERM);
    assert_int_equal(reap(h), 128 + SIGTERM);
    house_cordon_kill(h); /* only reaps it */
    sim_delete(h->sim, "/faults");
    house_cordon_start(h);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    assert_non_null(c); /* what was under way is begun again */
    assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATES), 1);
    house_stop(h);
}

/* ---- the manager ---------------------------------------------------------------------------------------- */

static void expect_word(int fd, const char *word)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char text[200];
    ssize_t n;

    if (poll(&p, 1, SOON) != 1)
        fail_msg("no %s", word);
    n = recv(fd, text, sizeof text - 1, 0);
    assert_true(n > 0);
    text[n] = '\0';
    if (strncmp(text, word, strlen(word)) != 0)
        fail_msg("%s instead of %s", text, word);
}

static void test_serve__tells_its_manager(void **state)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char dir[] = "/tmp/cordon-notify-XXXXXX";
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct house *h;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(to.sun_path, sizeof to.sun_path, "%s/socket", dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", to.sun_path, 1), 0);
    h = house_start(NULL);
    (void)unsetenv("NOTIFY_SOCKET");
    expect_word(fd, "READY=1");
    house_cordon_signal(h, SIGHUP);
    expect_word(fd, "RELOADING=1");
    expect_word(fd, "READY=1");
    house_cordon_stop(h);
    expect_word(fd, "STOPPING=1");
    house_stop(h);
    (void)close(fd);
    (void)unlink(to.sun_path);
    (void)rmdir(dir);
}

/* ---- starting -------------------------------------------------------------------------------------------- */

static void assert_refused(struct house *h, const char *why)
{
    char *out = NULL;
    const char *const args[] = {"serve", "-c", h->config_file, NULL};
    int code = house_run(h, &out, args);

    if (code != 1 || !out || !strstr(out, why))
        fail_msg("exit %d, and no '%s' in: %s", code, why, out ? out : "");
    free(out);
}

static void test_serve__it_may_open_as_many_files_as_it_has_connections(void **state)
{
    struct house *h = house_start(&(struct house_options){.not_yet = true});
    struct rlimit usual, files;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    files = usual;
    files.rlim_cur = files.rlim_max < 1024 ? files.rlim_max : 1024; /* what a login begins with */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    house_cordon_start(h);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
    assert_int_equal(prlimit(h->pid, RLIMIT_NOFILE, NULL, &files), 0);
    assert_true(files.rlim_cur > 2000 || files.rlim_cur == files.rlim_max);
    house_stop(h);
}

static size_t open_files(pid_t pid)
{
    char path[40];
    size_t n = 0;
    DIR *dir;

    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n - 2;
}

/* However many connections somebody opens, Defender, the mail server and people's orders are not out of reach. */
static void test_serve__where_files_are_few_senders_wait_and_nobody_else(void **state)
{
    enum { MANY = 300 };
    struct house *h = house_start(&(struct house_options){.not_yet = true});
    char program[PATH_MAX], listen[400], admin[400];
    const char *const few[] = {
        "/bin/sh", "-c",           "ulimit -n 200 && exec \"$0\" serve -c \"$1\"",
        program,   h->config_file, NULL};
    const char *const pause[] = {"pause", "--why", "a test", "-c", h->config_file, NULL};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct serving serving = {.pid = 0};
    int fds[MANY], n = 0;
    char *out = NULL;

    (void)state;
    (void)snprintf(to.sun_path, sizeof to.sun_path, "%s/listen", h->dir);
    (void)snprintf(listen, sizeof listen, "listen:\n  address: unix:%s/listen\n", h->dir);
    (void)snprintf(admin, sizeof admin, "admin:\n  address: unix:%s/admin\n", h->dir);
    edit(h, "listen:\n  address: 127.0.0.1:0\n", listen);
    edit(h, "admin:\n  address: 127.0.0.1:0\n", admin);
    assert_non_null(realpath(serving_program("cordon"), program));
    serving_start(&serving, few, h->dir, NULL);
    for (int64_t until = look_until(SOON); open_files(serving.pid) < 70;) {
        for (int fd; n < MANY; fds[n++] = fd) {
            fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            assert_true(fd >= 0);
            if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) { /* the queue is full */
                (void)close(fd);
                break;
            }
        }
        look_again(until, "only %zu files are open", open_files(serving.pid));
    }
    if (house_run(h, &out, pause) != 0)
        fail_msg("%s", out);
    free(out);
    (void)snprintf(h->admin, sizeof h->admin, "unix:%s/admin:", h->dir);
    assert_true(house_metric(h, "cordon_limit{of=\"connections\"}") == 100);
    assert_true(open_files(serving.pid) < 160);
    while (n > 0)
        (void)close(fds[--n]);
    serving_stop(&serving);
    house_stop(h);
}

/* Somebody else listens on the port: that is found out before anything is done. */
static void assert_does_nothing(const char *part)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct house *h = house_start(&(struct house_options){.rules = TELL, .not_yet = true});
    AUTO(store_freep) struct store *store = NULL;
    int64_t work[WORK_KINDS];
    char url[400], from[100], to[100];

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    (void)snprintf(from, sizeof from, "%s:\n  address: 127.0.0.1:0", part);
    (void)snprintf(to, sizeof to, "%s:\n  address: 127.0.0.1:%d", part, ntohs(in.sin_port));
    edit(h, from, to);
    assert_refused(h, "Address already in use");

    assert_int_equal(sim_count_calls(h->sim, NULL, NULL), 0); /* not even a token was asked for */
    (void)snprintf(url, sizeof url, "sqlite:%s", h->store_file);
    assert_int_equal(store_open(url, true, clock_system(), &store, NULL), ERR_OK);
    assert_int_equal(store_work_count(store, work, NULL), ERR_OK);
    for (int i = 0; i < WORK_KINDS; i++)
        assert_int_equal(work[i], 0);
    close(fd);
    house_stop(h);
}

static void test_serve__where_it_cannot_listen_it_does_nothing(void **state)
{
    (void)state;
    assert_does_nothing("listen");
    assert_does_nothing("admin");
}

/* A start may wait for its database for long. Here one takes the connection and says nothing. */
static void test_serve__whoever_ends_it_before_it_is_ready_is_heard(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct pollfd p = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .events = POLLIN};
    socklen_t len = sizeof in;
    struct house *h;
    char url[100];
    int log, status = -1;
    pid_t pid;

    (void)state;
    assert_true(p.fd >= 0);
    assert_int_equal(bind(p.fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(p.fd, 8), 0);
    assert_int_equal(getsockname(p.fd, (struct sockaddr *)&in, &len), 0);
    (void)snprintf(url, sizeof url, "postgresql://cordon@127.0.0.1:%d/cordon?connect_timeout=60",
                   ntohs(in.sin_port));
    h = house_start(&(struct house_options){.rules = TELL, .store_url = url, .not_yet = true});
    log = open(h->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(log >= 0);
    pid = fork();
    if (pid == 0) {
        (void)dup2(log, STDERR_FILENO);
        (void)execl(serving_program("cordon"), "cordon", "serve", "-c", h->config_file, NULL);
        _exit(127);
    }
    assert_int_equal(poll(&p, 1, SOON), 1); /* it waits for an answer */
    assert_int_equal(kill(pid, SIGTERM), 0);
    LOOK_FOR(waitpid(pid, &status, WNOHANG) == pid, SOON, "it does not end");
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    wait_log(h, "\"event\":\"stopped\"", "before it was ready");
    (void)close(log);
    (void)close(p.fd);
    house_stop(h);
}

/* What leaves this host goes by the proxy that the environment names; what stays on it does not. */
static void test_serve__defender_is_reached_by_the_proxy_of_the_environment(void **state)
{
    struct peer *proxy = peer_new(NULL);
    const struct peer_request *asked;
    struct house *h;
    char url[100], log[60];

    (void)state;
    peer_script(proxy, &(struct peer_answer){.method = "CONNECT", .status = 502, .close = true});
    (void)snprintf(url, sizeof url, "http://cordon:geheim@127.0.0.1:%u", peer_port(proxy));
    (void)snprintf(log, sizeof log, "\"proxy\":\"127.0.0.1:%u\"", peer_port(proxy));
    (void)setenv("https_proxy", url, 1);
    h = house_start(&(struct house_options){.rules = TELL, .not_yet = true});
    house_edit(h, "api_url: http://127.0.0.1:", "api_url: https://api.contoso.example/ #");
    house_cordon_start(h);
    (void)unsetenv("https_proxy");
    json_free(house_push(h, "da1_-1", MACHINE, 202));
    asked = peer_request(proxy, 0);
    assert_non_null(asked);
    assert_string_equal(asked->target, "api.contoso.example:443");
    assert_non_null(peer_header(asked, "Proxy-Authorization"));
    assert_true(sim_count_calls(h->sim, "POST", "/*/oauth2/v2.0/token") > 0); /* by itself */
    house_wait_log(h, log, 1, SOON);
    house_log_lacks(h, "geheim");
    house_stop(h);
    peer_free(proxy);
}

/* Whoever starts it with closed streams: the next file that it opens has the number of one of them, and the log is
 * written to number 2. */
static void test_serve__no_line_of_the_log_gets_into_the_store(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    char program[PATH_MAX];
    const char *const closed[] = {
        "/bin/sh", "-c",           "exec \"$0\" serve -c \"$1\" </dev/null >&- 2>&-",
        program,   h->config_file, NULL};
    const char *const check[] = {"store", "check", "-c", h->config_file, NULL};
    struct serving serving = {.pid = 0};
    char *out = NULL;

    (void)state;
    add(h, "da1_-1");
    AUTO(json_freep) struct json *answer = house_push(h, "da1_-1", MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    assert_non_null(c);
    house_cordon_stop(h);
    assert_non_null(realpath(serving_program("cordon"), program));
    serving_start(&serving, closed, h->dir, NULL);
    serving_stop(&serving);
    if (house_run(h, &out, check) != 0)
        fail_msg("%s", out);
    free(out);
    house_stop(h);
}

static void test_serve__a_second_server_on_the_store_is_refused(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    assert_refused(h, "serves it already");
    add(h, "da1_-1");
    AUTO(json_freep) struct json *answer = house_push(h, "da1_-1", MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    assert_non_null(c); /* the first one is none the worse */
    house_stop(h);
}

static void test_serve__a_newer_schema_is_refused(void **state)
{
    struct db_migration future[101] = {{0}}; /* more steps than there are for long */
    struct house *h = house_start(NULL);
    struct db *db = NULL;
    char url[400];

    (void)state;
    for (int i = 0; i < 100; i++)
        future[i] = (struct db_migration){i + 1, "CREATE TABLE IF NOT EXISTS future (x INTEGER)"};
    house_cordon_stop(h);
    (void)snprintf(url, sizeof url, "sqlite:%s", h->store_file);
    assert_int_equal(
        db_open(&(struct db_options){.url = url, .migrations = future, .queue_max = 8}, &db, NULL),
        ERR_OK);
    db_free(db);
    assert_refused(h, "newer");
    house_stop(h);
}

/* ---- the people's side ------------------------------------------------------------------------------------- */

static int admin_status(struct house *h, const char *path, const char *authorization)
{
    const char *headers[] = {authorization, NULL};
    struct fetched f;
    char url[300];
    int status;

    (void)snprintf(url, sizeof url, "%s%s", h->admin, path);
    (void)fetch(&f, "GET", url, authorization ? headers : NULL, NULL, 0, 10000);
    status = f.status;
    fetched_clear(&f);
    return status;
}

static void test_serve__the_admin_token_opens_all_but_health(void **state)
{
    static const struct {
        const char *path, *authorization;
        int status;
    } rows[] = {
        {"/healthz", NULL, 200},
        {"/readyz", NULL, 200},
        {"/metrics", NULL, 401},
        {"/api/cases", NULL, 401},
        {"/api/cases", "Authorization: Bearer wrong", 401},
        {"/api/cases", "Authorization: Bearer 0123456789abcdef0123456789abcde", 401},
        {"/api/cases", "Authorization: Basic 0123456789abcdef0123456789abcdef", 401},
        {"/api/cases", "Authorization: Bearer 0123456789abcdef0123456789abcdef", 200},
        {"/metrics", "Authorization: Bearer 0123456789abcdef0123456789abcdef", 200},
    };
    struct house *h = house_start(&(struct house_options){.not_yet = true});
    char *path = house_write_file(h, "admin-token", "0123456789abcdef0123456789abcdef");
    char text[400];

    (void)state;
    (void)snprintf(text, sizeof text, "admin:\n  address: 127.0.0.1:0\n  token_file: %s\n", path);
    edit(h, "admin:\n  address: 127.0.0.1:0\n", text);
    free(path);
    house_cordon_start(h);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (admin_status(h, rows[i].path, rows[i].authorization) != rows[i].status)
            fail_msg("%s with %s: not %d", rows[i].path,
                     rows[i].authorization ? rows[i].authorization : "nothing", rows[i].status);
    house_stop(h);
}

/* Waits until a part of /readyz is (not) ok. The answer stays 200: a push is accepted all the while. */
static void wait_part(struct house *h, const char *name, bool ok)
{
    for (int64_t until = look_until(60000);;) {
        AUTO(json_freep) struct json *ready = house_get(h, "/readyz");
        const struct json *part = json_get(json_get(ready, "parts"), name);

        if (part && json_is_true(json_get(part, "ok")) == ok &&
            json_is_true(json_get(ready, "degraded")) == !ok)
            return;
        look_again(until, "%s did not become %s", name, ok ? "good" : "bad");
    }
}

static void test_serve__readyz_names_what_is_wrong_and_when_it_is_over(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    add(h, "da1_-1");
    sim_tell(h->sim, "/faults",
             "{\"path\":\"/api/alerts/*\",\"kind\":\"error\",\"status\":503,\"count\":-1}");
    AUTO(json_freep) struct json *answer = house_push(h, "da1_-1", MACHINE, 202);
    wait_part(h, "defender:contoso", false);
    sim_delete(h->sim, "/faults");
    wait_part(h, "defender:contoso", true);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    assert_non_null(c);
    house_stop(h);
}

/* Waits until the mails are so many; how many of them are of this kind. */
static unsigned mails_with(struct house *h, int64_t count, const char *kind)
{
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, count, SOON);
    unsigned n = 0;

    JSON_EACH (mail, json_get(mails, "mails"))
        n += strstr(json_get_string(mail, "raw"), kind) != NULL;
    return n;
}

/* Whoever has just named a machine that is to be protected believes that it is, for all that the signal says. */
static void test_serve__people_are_told_that_what_they_changed_is_not_in_force(void **state)
{
    static const char not_in_force[] = "X-Cordon-State: configuration_refused";
    static const char in_force[] = "X-Cordon-State: configuration_in_force";
    static const char part[] = "cordon_healthy{part=\"configuration\"}";
    struct house *h = house_start(&(struct house_options){
        .rules = TELL, .safety = "  protected: [{machine.tags: [tier-0]}]\n"});
    struct fetched f;
    char url[300];

    (void)state;
    wait_part(h, "configuration", true);
    edit(h, "{machine.tags: [tier-0]}", "{machine.tgas: [tier-0, plc]}");
    house_cordon_signal(h, SIGHUP);
    wait_part(h, "configuration", false);
    assert_true(house_metric(h, part) == 0);
    (void)snprintf(url, sizeof url, "%s/", h->admin);
    assert_true(fetch(&f, "GET", url, NULL, NULL, 0, SOON));
    assert_non_null(strstr(f.body, "not all is well"));
    assert_non_null(strstr(f.body, "machine.tgas"));
    fetched_clear(&f);
    assert_int_equal(mails_with(h, 1, not_in_force), 1);
    house_cordon_signal(h, SIGHUP); /* the same is no news */
    house_wait_log(h, "\"event\":\"reload_refused\"", 2, SOON);
    edit(h, "machine.tgas", "machine.tagz"); /* and this is */
    house_cordon_signal(h, SIGHUP);
    assert_int_equal(mails_with(h, 2, not_in_force), 2);
    edit(h, "machine.tagz", "machine.tags");
    house_cordon_signal(h, SIGHUP);
    wait_part(h, "configuration", true);
    assert_int_equal(mails_with(h, 3, in_force), 1);
    house_cordon_signal(h, SIGHUP); /* nobody is told of what was not in doubt */
    house_wait_log(h, "\"event\":\"reloaded\"", 2, SOON);
    house_wait_idle(h, SOON);
    assert_int_equal(mails_with(h, 3, not_in_force), 2);
    assert_true(house_metric(h, part) == 1);
    house_stop(h);
}

/* A file that others rotate comes into force by itself, and says nothing of what a person asked for before. */
static void test_serve__a_rotated_secret_does_not_put_a_refused_file_in_force(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    char *secret = slurp(h->secret_file);

    (void)state;
    edit(h, TELL, "  - name: told\n    do: [emial: {}]\n");
    house_cordon_signal(h, SIGHUP);
    wait_part(h, "configuration", false);
    free(house_write_file(h, strrchr(h->secret_file, '/') + 1, "whsec_tooshort"));
    house_wait_log(h, "\"event\":\"reload_refused\"", 2, SOON);
    assert_int_equal(mails_with(h, 2, "X-Cordon-State: configuration_refused"), 2);
    free(house_write_file(h, strrchr(h->secret_file, '/') + 1, secret));
    house_wait_log(h, "\"event\":\"reloaded\"", 1, SOON);
    wait_part(h, "configuration", false);
    house_cordon_stop(
        h); /* the next run takes what is good, and people hear that their change is */
    edit(h, "emial", "email");
    house_cordon_start(h);
    wait_part(h, "configuration", true);
    assert_int_equal(mails_with(h, 3, "X-Cordon-State: configuration_in_force"), 1);
    free(secret);
    house_stop(h);
}

/* Files that settle by themselves are nobody's news; that of a person's word, which failed by the same, is. */
static void test_serve__what_a_person_asked_for_is_told_though_the_files_settle(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    const char *secret_name = strrchr(h->secret_file, '/') + 1;
    char *secret = slurp(h->secret_file);

    (void)state;
    free(house_write_file(h, secret_name, "whsec_tooshort"));
    house_wait_log(h, "\"event\":\"reload_refused\"", 1, SOON);
    edit(h, "email: {}", "email: { }"); /* what is at fault stays where it was */
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"reload_refused\"", 2, SOON);
    free(house_write_file(h, secret_name, secret));
    house_wait_log(h, "\"event\":\"reloaded\"", 1, SOON);
    wait_part(h, "configuration", false);
    assert_int_equal(mails_with(h, 1, "X-Cordon-State: configuration_refused"), 1);
    free(secret);
    house_stop(h);
}

/* Nor is it said that all is in force where the file says more by now, which nobody asked for yet. */
static void test_serve__that_files_settled_says_nothing_of_a_file_that_was_not_read(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    const char *secret_name = strrchr(h->secret_file, '/') + 1;
    char *secret = slurp(h->secret_file);

    (void)state;
    free(house_write_file(h, secret_name, "whsec_tooshort"));
    assert_int_equal(mails_with(h, 1, "X-Cordon-State: configuration_refused"), 1);
    edit(h, "email: {}", "email: { }");
    free(house_write_file(h, secret_name, secret));
    assert_int_equal(mails_with(h, 2, "itself was NOT read"), 1);
    free(secret);
    house_stop(h);
}

/* ---- unix sockets -------------------------------------------------------------------------------------------- */

static void test_serve__both_sides_on_unix_sockets(void **state)
{
    struct house *h = house_start(&(struct house_options){.not_yet = true, .rules = TELL});
    char listen[400], admin[400];
    char *out = NULL;

    (void)state;
    add(h, "da1_-1");
    (void)snprintf(listen, sizeof listen, "listen:\n  address: unix:%s/listen\n", h->dir);
    (void)snprintf(admin, sizeof admin, "admin:\n  address: unix:%s/admin\n", h->dir);
    edit(h, "listen:\n  address: 127.0.0.1:0\n", listen);
    edit(h, "admin:\n  address: 127.0.0.1:0\n", admin);
    house_cordon_start(h);
    const char *const send[] = {"send",  "-c",      h->config_file, "--source",
                                "relay", "--alert", "da1_-1",       NULL};
    const char *const list[] = {"cases", "list", "-c", h->config_file, "--json", NULL};
    assert_int_equal(house_run(h, &out, send), 0);
    assert_non_null(strstr(out, "accepted"));
    free(out);
    assert_int_equal(house_run(h, &out, list), 0);
    assert_non_null(strstr(out, "da1_-1"));
    free(out);
    house_stop(h);
}

/* ---- strangers at the admin address --------------------------------------------------------------------------- */

/* Asks from 127.0.0.2 and keeps the connection, whatever comes. */
static int linger_at(const char *admin)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    struct sockaddr_in from = {.sin_family = AF_INET}, to = from;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, "127.0.0.2", &from.sin_addr), 1);
    assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &to.sin_addr), 1);
    to.sin_port = htons((uint16_t)strtoul(strrchr(admin, ':') + 1, NULL, 10));
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    (void)!send(fd, request, sizeof request - 1, MSG_NOSIGNAL); /* it may be closed by now */
    return fd;
}

/* Nobody has to prove anything to be connected: the kill switch is pulled from another address all the same. */
static void test_serve__one_address_leaves_others_room_at_the_admin_address(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    int strangers[100];

    (void)state;
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        strangers[i] = linger_at(h->admin);
    assert_int_equal(house_order(h, "/api/pause", "{\"why\":\"a test\"}"), 200);
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        (void)close(strangers[i]);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serve__a_good_file_is_in_force_after_sighup),
        cmocka_unit_test(test_serve__a_bad_file_changes_nothing_and_says_so),
        cmocka_unit_test(test_serve__an_address_that_waits_keeps_no_rule_out),
        cmocka_unit_test(test_serve__the_faults_of_a_reload_are_events_of_the_log),
        cmocka_unit_test(test_serve__sigterm_under_load_loses_nothing),
        cmocka_unit_test(test_serve__a_second_sigterm_ends_it_at_once),
        cmocka_unit_test(test_serve__tells_its_manager),
        cmocka_unit_test(test_serve__it_may_open_as_many_files_as_it_has_connections),
        cmocka_unit_test(test_serve__where_files_are_few_senders_wait_and_nobody_else),
        cmocka_unit_test(test_serve__where_it_cannot_listen_it_does_nothing),
        cmocka_unit_test(test_serve__whoever_ends_it_before_it_is_ready_is_heard),
        cmocka_unit_test(test_serve__defender_is_reached_by_the_proxy_of_the_environment),
        cmocka_unit_test(test_serve__no_line_of_the_log_gets_into_the_store),
        cmocka_unit_test(test_serve__a_second_server_on_the_store_is_refused),
        cmocka_unit_test(test_serve__a_newer_schema_is_refused),
        cmocka_unit_test(test_serve__the_admin_token_opens_all_but_health),
        cmocka_unit_test(test_serve__readyz_names_what_is_wrong_and_when_it_is_over),
        cmocka_unit_test(test_serve__people_are_told_that_what_they_changed_is_not_in_force),
        cmocka_unit_test(test_serve__a_rotated_secret_does_not_put_a_refused_file_in_force),
        cmocka_unit_test(test_serve__what_a_person_asked_for_is_told_though_the_files_settle),
        cmocka_unit_test(test_serve__that_files_settled_says_nothing_of_a_file_that_was_not_read),
        cmocka_unit_test(test_serve__both_sides_on_unix_sockets),
        cmocka_unit_test(test_serve__one_address_leaves_others_room_at_the_admin_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
