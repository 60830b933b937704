/* life.c - see life.h. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "crash/life.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "id.h"

#define ANSWER_MS    20000
#define FAULTS_SHOWN 30

void life_start(struct house *h)
{
    const char *build = getenv("CORDON_BUILD");
    char exe[400];
    char *argv[] = {exe, (char *)(uintptr_t) "serve", (char *)(uintptr_t) "-c", h->config_file,
                    NULL};
    pid_t parent = getpid();
    int log;

    (void)snprintf(exe, sizeof exe, "%s/cordon", build ? build : "build");
    log = open(h->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0)
        fail_msg("%s: %s", h->log_file, strerror(errno));
    h->pid = fork();
    if (h->pid < 0)
        fail_msg("fork: %s", strerror(errno));
    if (h->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127);
        (void)dup2(log, STDERR_FILENO);
        (void)execv(exe, argv);
        _exit(127);
    }
    (void)close(log);
}

int life_end(struct house *h, int number)
{
    int status = 0;

    if (number)
        (void)kill(h->pid, number);
    while (waitpid(h->pid, &status, 0) < 0 && errno == EINTR)
        ;
    h->pid = 0;
    return status;
}

char *life_ask(const struct house *h, const char *path)
{
    struct fetched f;
    char url[300], *body = NULL;

    (void)snprintf(url, sizeof url, "%s%s", h->admin, path);
    if (fetch(&f, "GET", url, NULL, NULL, 0, ANSWER_MS) && f.status == 200 && f.complete)
        body = strdup(f.body);
    fetched_clear(&f);
    return body;
}

int64_t life_work_left(const char *metrics)
{
    static const char *const names[] = {
        "cordon_work{kind=\"case\"} ",
        "cordon_work{kind=\"isolation\"} ",
        "cordon_work{kind=\"notice\"} ",
    };
    int64_t left = 0;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *at = metrics ? strstr(metrics, names[i]) : NULL;

        if (!at)
            return -1;
        left += strtoll(at + strlen(names[i]), NULL, 10);
    }
    return left;
}

void life_machine(unsigned n, char out[41])
{
    (void)snprintf(out, 41, "c0ffee%034x", n);
}

const char *life_header(const char *raw, const char *name, char out[200])
{
    const char *at = raw;
    size_t len = strlen(name);

    out[0] = '\0';
    for (; at && *at && *at != '\r'; at = (at = strstr(at, "\r\n")) ? at + 2 : NULL)
        if (strncmp(at, name, len) == 0 && at[len] == ':') {
            at += len + 1;
            at += strspn(at, " ");
            (void)snprintf(out, 200, "%.*s", (int)strcspn(at, "\r\n"), at);
            break;
        }
    return out;
}

int64_t life_notice_of(const char *raw)
{
    char text[200], id[ID_TEXT_SIZE];
    int64_t notice = 0;

    return sscanf(life_header(raw, "Message-ID", text), "<cordon.%13[0-9a-z]@contoso", id) == 1 &&
                   !id_parse(id, &notice, NULL)
               ? notice
               : 0;
}

void life_fault(unsigned *faults, const char *fmt, ...)
{
    va_list ap;
    unsigned n = __atomic_add_fetch(faults, 1, __ATOMIC_RELAXED);

    if (n > FAULTS_SHOWN)
        return;
    va_start(ap, fmt);
    flockfile(stdout);
    (void)printf("  FAULT: ");
    (void)vprintf(fmt, ap);
    (void)printf("%s\n", n == FAULTS_SHOWN ? "  (no more of them are shown)" : "");
    funlockfile(stdout);
    va_end(ap);
}

void life_check_log(const struct house *h, bool errors, unsigned *faults)
{
    const char *const bad[] = {"Sanitizer", "runtime error:", "ssertion", "whsec_"};
    const char *const secrets[] = {h->secret + strlen("whsec_"), h->sim->client_secret};
    FILE *f = fopen(h->log_file, "re");
    char *line = NULL;
    size_t room = 0;

    if (!f)
        life_fault(faults, "there is no log %s", h->log_file);
    while (f && getline(&line, &room, f) > 0) {
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            if (strstr(line, bad[i]))
                life_fault(faults, "in the log: %.300s", line);
        for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
            if (strstr(line, secrets[i]))
                life_fault(faults, "a secret is in the log");
        if (errors && strstr(line, "\"level\":\"error\""))
            life_fault(faults, "in the log: %.400s", line);
    }
    free(line);
    if (f)
        (void)fclose(f);
}
