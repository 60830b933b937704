/* sim.c - see sim.h. */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "fetch.h"
#include "kit/look.h"

#define READY_MS   20000 /* sanitizers on two shared cores are slow */
#define CONTROL_MS 60000
#define ARGS_MAX   40

/* Fails the running test. cmocka's own way does not tell the compiler that it never returns. */
static _Noreturn void stop_test(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static _Noreturn void stop_test(const char *fmt, ...)
{
    char text[8192];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fail_msg("%s", text);
    abort();
}

/* ---- the process -------------------------------------------------------------------------------- */

/* $CORDON_SIM, else beside the test's own binary or a folder above it (build/e2e/test_x). */
static void find_binary(char out[PATH_MAX])
{
    const char *told = getenv("CORDON_SIM");
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n < 0)
        stop_test("readlink /proc/self/exe: %s", strerror(errno));
    self[n] = '\0';
    if (told) {
        snprintf(out, PATH_MAX, "%s", told);
        return;
    }
    for (int up = 0; up < 2; up++) {
        *strrchr(self, '/') = '\0';
        if (snprintf(out, PATH_MAX, "%s/cordon-sim", self) < PATH_MAX && access(out, X_OK) == 0)
            return;
    }
    stop_test("cordon-sim is not built: neither beside this test nor as $CORDON_SIM");
}

/* The child: never returns. */
static void become(const char *binary, char *const argv[], int in, int out, int log)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* --until-eof does the same where this cannot */
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        (log >= 0 && dup2(log, STDERR_FILENO) < 0))
        _exit(126);
    execv(binary, argv);
    _exit(127);
}

static char *read_line(int fd, int64_t timeout_ms)
{
    struct buf line = BUF_INIT(1 << 16);
    int64_t deadline = look_now_ms() + timeout_ms;
    char c = 0;

    while (c != '\n') {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - look_now_ms();

        if (left <= 0 || poll(&p, 1, (int)left) <= 0 || read(fd, &c, 1) != 1) {
            buf_clear(&line);
            return NULL;
        }
        buf_addc(&line, c);
    }
    return buf_take(&line);
}

static const char *said(const struct sim *sim, const char *name)
{
    const char *text = json_get_string(sim->ready, name);

    return text ? text : "";
}

static void learn_urls(struct sim *sim)
{
    sim->api_url = said(sim, "api_url");
    sim->login_url = said(sim, "login_url");
    sim->graph_url = said(sim, "graph_url");
    sim->control_url = said(sim, "control_url");
    sim->tenant_id = said(sim, "tenant_id");
    sim->client_id = said(sim, "client_id");
    sim->client_secret = said(sim, "client_secret");
    sim->api_scope = said(sim, "api_scope");
    sim->smtp_url = said(sim, "smtp");
    sim->smtps_url = said(sim, "smtps");
    sim->smtp_ca_file = said(sim, "smtp_ca_file");
    sim->smtp_username = said(sim, "smtp_username");
    sim->smtp_password = said(sim, "smtp_password");
    sim->journal_file = said(sim, "journal_file");
}

struct sim *sim_start(const struct sim_options *o)
{
    struct sim *sim = calloc(1, sizeof *sim);
    const char *tmp = getenv("TMPDIR");
    char binary[PATH_MAX], dir[PATH_MAX], log_file[PATH_MAX + 16], *argv[ARGS_MAX], *line;
    int to[2], from[2], log = -1;
    size_t n = 0;
    struct err e;

    if (!sim)
        stop_test("out of memory");
    find_binary(binary);
    snprintf(dir, sizeof dir, "%s/sim-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir) || pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        stop_test("%s: %s", dir, strerror(errno));
    sim->own_dir = strdup(dir);
    sim->dir = sim->own_dir;
    snprintf(log_file, sizeof log_file, "%s/sim.log", dir);
    if (!o || !o->verbose)
        log = open(log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    argv[n++] = binary;
    argv[n++] = (char *)"--until-eof";
    argv[n++] = (char *)"--dir";
    argv[n++] = dir;
    if (o && o->config) {
        argv[n++] = (char *)"--config";
        argv[n++] = (char *)o->config;
    }
    for (size_t i = 0; o && o->args && o->args[i] && n < ARGS_MAX - 1; i++)
        argv[n++] = (char *)o->args[i];
    argv[n] = NULL;

    sim->pid = fork();
    if (sim->pid == 0)
        become(binary, argv, to[0], from[1], log);
    close(to[0]);
    close(from[1]);
    if (log >= 0)
        close(log);
    sim->stdin_fd = to[1];
    line = read_line(from[0], READY_MS);
    close(from[0]);
    if (!line)
        stop_test("%s did not get ready (its log: %s)", binary, log_file);
    if (json_parse(line, strlen(line), &sim->ready, &e))
        stop_test("%s: %s", line, e.text);
    free(line);
    learn_urls(sim);
    return sim;
}

static void remove_folder(const char *dir)
{
    char *argv[] = {(char *)"rm", (char *)"-rf", (char *)"--", (char *)dir, NULL};
    pid_t pid = fork();

    if (pid == 0) {
        execv("/bin/rm", argv);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0); /* a folder left in /tmp fails no test */
}

void sim_forget(struct sim *sim)
{
    if (!sim)
        return;
    close(sim->stdin_fd);
    if (sim->own_dir)
        remove_folder(sim->own_dir);
    free(sim->own_dir);
    json_free(sim->ready);
    free(sim);
}

void sim_stop(struct sim *sim)
{
    int status = 0;

    if (!sim)
        return;
    (void)kill(sim->pid, SIGTERM);
    while (waitpid(sim->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) { /* a sanitizer's finding, a crash */
        char log_file[PATH_MAX + 16], bytes[4096];
        FILE *f;

        snprintf(log_file, sizeof log_file, "%s/sim.log", sim->dir);
        f = fopen(log_file, "re");
        while (f && fgets(bytes, sizeof bytes, f))
            print_error("%s", bytes);
        if (f)
            fclose(f);
        stop_test("cordon-sim ended with status 0x%x", (unsigned)status);
    }
    sim_forget(sim);
}

/* ---- the control interface ------------------------------------------------------------------------ */

static struct json *control(struct sim *sim, const char *method, const char *path, const char *body,
                            int64_t timeout_ms)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    struct json *doc = NULL;
    struct fetched f;
    char url[2048];
    struct err e;

    snprintf(url, sizeof url, "%s%s", sim->control_url, path);
    if (!fetch(&f, method, url, headers, body, body ? strlen(body) : 0, timeout_ms) || !f.complete)
        stop_test("%s %s: %s", method, url, f.why);
    if (f.status != 200)
        stop_test("%s %s %s: %d %s", method, url, body ? body : "", f.status, f.body);
    if (json_parse(f.body, f.body_len, &doc, &e))
        stop_test("%s %s: %s", method, url, e.text);
    fetched_clear(&f);
    return doc;
}

struct json *sim_post(struct sim *sim, const char *path, const char *json)
{
    return control(sim, "POST", path, json, CONTROL_MS);
}

static struct json *post_formatted(struct sim *sim, const char *path, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

static struct json *post_formatted(struct sim *sim, const char *path, const char *fmt, va_list ap)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(16 << 20);

    buf_addv(&b, fmt, ap);
    return sim_post(sim, path, buf_text(&b));
}

struct json *sim_postf(struct sim *sim, const char *path, const char *fmt, ...)
{
    struct json *doc;
    va_list ap;

    va_start(ap, fmt);
    doc = post_formatted(sim, path, fmt, ap);
    va_end(ap);
    return doc;
}

void sim_tell(struct sim *sim, const char *path, const char *json)
{
    json_free(sim_post(sim, path, json));
}

void sim_tellf(struct sim *sim, const char *path, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    json_free(post_formatted(sim, path, fmt, ap));
    va_end(ap);
}

struct json *sim_get(struct sim *sim, const char *path)
{
    return control(sim, "GET", path, NULL, CONTROL_MS);
}

void sim_delete(struct sim *sim, const char *path)
{
    json_free(control(sim, "DELETE", path, NULL, CONTROL_MS));
}

/* ---- what it saw ------------------------------------------------------------------------------------ */

/* Paths and globs are sent as they are but for what a query cannot hold. */
static void add_param(struct buf *b, const char *name, const char *value)
{
    if (!value)
        return;
    buf_addf(b, "&%s=", name);
    for (const char *p = value; *p; p++)
        if (strchr(" %&+#?=", *p) || (unsigned char)*p <= ' ')
            buf_addf(b, "%%%02X", (unsigned char)*p);
        else
            buf_addc(b, *p);
}

static struct json *ask_journal(struct sim *sim, const char *what, const char *method,
                                const char *path, int64_t timeout_ms)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(4096);

    buf_adds(&b, what);
    add_param(&b, "method", method);
    add_param(&b, "path", path);
    return control(sim, "GET", buf_text(&b), NULL, timeout_ms);
}

struct json *sim_calls(struct sim *sim, const char *method, const char *path, int64_t since)
{
    char what[64];

    snprintf(what, sizeof what, "/journal?since=%lld", (long long)since);
    return ask_journal(sim, what, method, path, CONTROL_MS);
}

static int64_t number(const struct json *doc, const char *name)
{
    int64_t n = 0;

    if (!json_int64(json_get(doc, name), &n))
        stop_test("the simulator's answer has no number '%s'", name);
    return n;
}

int64_t sim_count_calls(struct sim *sim, const char *method, const char *path)
{
    AUTO(json_freep)
    struct json *doc = ask_journal(sim, "/journal/count?since=0", method, path, CONTROL_MS);

    return number(doc, "count");
}

/* Fails the test with everything that was seen. */
static void waited_in_vain(struct sim *sim, const char *for_what, const struct json *got)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(1 << 20);
    AUTO(json_freep) struct json *all = sim_calls(sim, NULL, NULL, 0);

    JSON_EACH (c, json_get(all, "calls")) {
        const struct json *status = json_get(c, "status");

        buf_addf(&b, "  %s %s -> ", json_get_string(c, "method"), json_get_string(c, "path"));
        json_write(&b, status);
        buf_adds(&b, "\n");
    }
    buf_adds(&b, "got: ");
    json_write(&b, got);
    print_error("calls so far:\n%s\n", buf_text(&b));
    stop_test("waited in vain for %s", for_what);
}

struct json *sim_wait_calls(struct sim *sim, const char *method, const char *path, int64_t count,
                            int64_t timeout_ms)
{
    struct json *doc;
    char what[96];

    timeout_ms = look_patience(timeout_ms);
    snprintf(what, sizeof what, "/journal/wait?count=%lld&timeout_ms=%lld", (long long)count,
             (long long)timeout_ms);
    doc = ask_journal(sim, what, method, path, timeout_ms + CONTROL_MS);
    if (!json_is_true(json_get(doc, "done"))) {
        snprintf(what, sizeof what, "%lld x %s %.60s", (long long)count, method ? method : "any",
                 path ? path : "path");
        waited_in_vain(sim, what, doc);
    }
    return doc;
}

struct json *sim_wait_mails(struct sim *sim, int64_t count, int64_t timeout_ms)
{
    struct json *doc;
    char what[96];

    timeout_ms = look_patience(timeout_ms);
    snprintf(what, sizeof what, "/mails?wait=%lld&timeout_ms=%lld", (long long)count,
             (long long)timeout_ms);
    doc = control(sim, "GET", what, NULL, timeout_ms + CONTROL_MS);
    if (!json_is_true(json_get(doc, "done"))) {
        snprintf(what, sizeof what, "%lld mails", (long long)count);
        waited_in_vain(sim, what, doc);
    }
    return doc;
}

struct json *sim_wait_isolated(struct sim *sim, int64_t count, int64_t timeout_ms)
{
    struct json *doc;
    char what[96];

    timeout_ms = look_patience(timeout_ms);
    snprintf(what, sizeof what, "/state?wait_isolated=%lld&timeout_ms=%lld", (long long)count,
             (long long)timeout_ms);
    doc = control(sim, "GET", what, NULL, timeout_ms + CONTROL_MS);
    if ((int64_t)json_count(json_get(doc, "isolated")) < count) {
        snprintf(what, sizeof what, "%lld isolated machines", (long long)count);
        waited_in_vain(sim, what, doc);
    }
    return doc;
}

int64_t sim_state(struct sim *sim, const char *name)
{
    AUTO(json_freep) struct json *doc = sim_get(sim, "/state");

    return number(doc, name);
}

/* ---- tokens ------------------------------------------------------------------------------------------ */

static char *text_of(const struct json *doc, const char *name)
{
    const char *text = json_get_string(doc, name);
    char *own = text ? strdup(text) : NULL;

    if (!own)
        stop_test("the simulator's answer has no '%s'", name);
    return own;
}

char *sim_mint(struct sim *sim, const char *spec)
{
    AUTO(json_freep) struct json *doc = sim_post(sim, "/mint", spec);

    return text_of(doc, "token");
}

static void add_encoded(struct buf *b, const char *name, const char *value)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    buf_addf(b, "%s%s=", b->len ? "&" : "", name);
    for (const char *p = value; *p; p++)
        if (strchr(plain, *p))
            buf_addc(b, *p);
        else
            buf_addf(b, "%%%02X", (unsigned char)*p);
}

char *sim_token(struct sim *sim)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
    AUTO(buf_clear) struct buf form = BUF_INIT(16384);
    AUTO(json_freep) struct json *doc = NULL;
    struct fetched f;
    char url[512], *token;

    snprintf(url, sizeof url, "%s/%s/oauth2/v2.0/token", sim->login_url, sim->tenant_id);
    add_encoded(&form, "client_id", sim->client_id);
    add_encoded(&form, "client_secret", sim->client_secret);
    add_encoded(&form, "grant_type", "client_credentials");
    add_encoded(&form, "scope", sim->api_scope);
    if (!fetch(&f, "POST", url, headers, buf_text(&form), form.len, CONTROL_MS) || f.status != 200)
        stop_test("POST %s: %d %s %s", url, f.status, f.why, f.body);
    if (json_parse(f.body, f.body_len, &doc, NULL))
        stop_test("POST %s: %s", url, f.body);
    token = text_of(doc, "access_token");
    fetched_clear(&f);
    return token;
}
