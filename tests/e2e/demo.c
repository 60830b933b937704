/* demo.c - `make demo`: one signed High alert, from the sender to the isolated machine and the mail, told
 * line by line as it happens. Exit 0 only if Defender and the mail server saw what they should. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/house.h"
#include "kit/look.h"

#define ALERT   "da638712345678901234_-1027384756"
#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define SOON    30000

static int64_t start;
static int faults;

static void say(const char *what, const char *detail)
{
    (void)printf("%7.3f s  %-22s %s\n", (double)(look_now_ms() - start) / 1000, what,
                 detail ? detail : "");
    (void)fflush(stdout);
}

static void expect(int ok, const char *what)
{
    if (ok)
        return;
    faults++;
    (void)printf("           NOT AS IT SHOULD BE: %s\n", what);
}

/* The lines of cordon's own log that tell the story, in order. */
static void tell_log(const struct house *h)
{
    static const char *const events[] = {"accepted", "verdict",   "isolate_post",
                                         "notice",   "isolation", "mail"};
    FILE *f = fopen(h->log_file, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t len;

    while (f && (len = getline(&line, &room, f)) > 0) {
        AUTO(json_freep) struct json *v = NULL;
        const char *event;

        if (json_parse(line, (size_t)len - 1, &v, NULL))
            continue;
        event = json_get_string(v, "event");
        for (size_t i = 0; event && i < sizeof events / sizeof *events; i++)
            if (strcmp(events[i], event) == 0)
                (void)printf("           %s", line);
    }
    free(line);
    if (f)
        (void)fclose(f);
}

static const struct json *last_mail(const struct json *mails)
{
    const struct json *last = NULL;

    JSON_EACH (m, json_get(mails, "mails"))
        last = m;
    return last;
}

static int has_subject(const struct json *mail, const char *tag)
{
    const char *raw = json_get_string(mail, "raw");
    char want[100];

    (void)snprintf(want, sizeof want, "\r\nSubject: %s ", tag);
    return raw && strstr(raw, want) != NULL;
}

/* "rule contain-high: isolate, email", once it is given. */
static void tell_verdict(struct house *h, const char *id)
{
    AUTO(json_freep) struct json *c = NULL;
    char text[300];
    size_t len;

    house_wait_log(h, "\"event\":\"verdict\"", 1, SOON);
    (void)snprintf(text, sizeof text, "/api/cases/%s", id);
    c = house_get(h, text);
    len = (size_t)snprintf(text, sizeof text, "rule %.64s:", json_get_string(c, "rule"));
    JSON_EACH (step, json_get(c, "steps"))
        len += (size_t)snprintf(text + len, sizeof text - len, " %.20s",
                                json_get_string(step, "handler"));
    say("verdict", text);
}

/* The mail as it came, but for its HTML part: pages of markup, between the reader and what he came for. */
static void show_mail(const char *raw)
{
    static const char part[] = "\nContent-Type: text/html";
    const char *html = raw ? strstr(raw, part) : NULL;
    int lines = 0;

    for (const char *c = html; c && *c; c++)
        lines += *c == '\n';
    (void)printf(
        "\nThe second mail as the server received it:\n\n%.*s\n",
        (int)(html ? (size_t)(html - raw) + sizeof part - 1 : strlen(raw ? raw : "(unreadable)")),
        raw ? raw : "(unreadable)");
    if (html)
        (void)printf("(%d lines more: the same for the eye)\n\n", lines);
}

int main(void)
{
    struct house *h;
    const struct json *first, *last;
    const char *id;
    char text[700];

    start = look_now_ms();
    h = house_start(NULL);
    (void)snprintf(text, sizeof text, "Defender, Entra ID and mail at %s and %s", h->sim->api_url,
                   h->sim->smtp_url);
    say("simulator ready", text);
    (void)snprintf(text, sizeof text, "senders at %s/hooks/relay, people at %s", h->hooks,
                   h->admin);
    say("cordon ready", text);
    sim_tell(h->sim, "/machines",
             "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114.corp.example\"}");
    sim_tell(h->sim, "/alerts",
             "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\","
             "\"title\":\"Sensitive credential memory read\"}");

    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    id = json_string(json_first(json_get(answer, "cases")));
    (void)snprintf(text, sizeof text, "202, case %s", id);
    say("accepted", text);
    AUTO(json_freep) struct json *reads = sim_wait_calls(h->sim, "GET", "/api/alerts/*", 1, SOON);
    say("expanded", "alert, machine and its actions read from Defender");
    tell_verdict(h, id);
    AUTO(json_freep)
    struct json *posts = sim_wait_calls(h->sim, "POST",
                                        "/api/machines/*"
                                        "/isolate",
                                        1, SOON);
    say("isolation requested", json_get_string(json_first(json_get(posts, "calls")), "body"));
    AUTO(json_freep) struct json *isolated = sim_wait_isolated(h->sim, 1, SOON);
    say("Defender isolated", "ws-114.corp.example");
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    (void)snprintf(text, sizeof text, "cordon's ledger says %s",
                   json_get_string(json_get(c, "isolation"), "state"));
    say("isolation confirmed", text);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 2, SOON);
    say("mail as received", "two, of one thread");

    first = json_first(json_get(mails, "mails"));
    last = last_mail(mails);
    expect(json_count(json_get(posts, "calls")) == 1 && sim_state(h->sim, "isolate_posts") == 1,
           "exactly one isolate request");
    expect(has_subject(first, "[REQUESTED]"), "the first mail says [REQUESTED]");
    expect(has_subject(last, "[ISOLATED]"), "the second mail says [ISOLATED]");
    expect(json_is_true(json_get(last, "tls")), "mail goes over TLS");
    (void)printf("\nWhat cordon logged:\n");
    tell_log(h);
    show_mail(json_get_string(last, "raw"));
    (void)reads;
    (void)isolated;
    house_stop(h);
    (void)printf("%s\n",
                 faults ? "demo: FAILED" : "demo: the machine is isolated and people were told");
    return faults ? 1 : 0;
}
