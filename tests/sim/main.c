/* main.c - cordon-sim: reads its options, builds the parts, says that it is ready, serves until told to
 * stop. README.md beside this file is the manual. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "house.h"
#include "hunting.h"
#include "log.h"
#include "smtp.h"

struct options {
    const char *api, *smtp, *smtps, *dir, *tenant, *client_id, *client_secret, *roles;
    const char *smtp_user, *smtp_password, *config;
    long delay_ms;
    uint64_t seed;
    bool until_eof, quiet;
};

/* The tenant of the reference's examples; a secret whose characters must be encoded (section 1.2). */
static const struct options defaults = {
    .api = "127.0.0.1:0",
    .smtp = "127.0.0.1:0",
    .smtps = "127.0.0.1:0",
    .tenant = "0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50",
    .client_id = "5d1f6c2e-8f3b-4a7d-9c11-2e4b6a8c0d13",
    .client_secret = "sIm~8Q.a_b+c/d=e%f&g",
};

static const char usage[] =
    "usage: cordon-sim [options]: simulates Entra ID, Defender for Endpoint and an SMTP server\n"
    "  --api ADDR             HTTP, login and control (127.0.0.1:0)\n"
    "  --smtp ADDR, --smtps ADDR   SMTP with STARTTLS, SMTP over TLS (127.0.0.1:0; \"\" for none)\n"
    "  --dir DIR              for ca.pem and journal.jsonl (a folder of its own, removed at the end)\n"
    "  --tenant GUID --client-id ID --client-secret S --roles \"A B\"\n"
    "  --smtp-user U --smtp-password P   asked for when given\n"
    "  --delay-ms D           every call is answered after D ms\n"
    "  --seed N               fixes every random choice\n"
    "  --config JSON          as for POST /sim/config\n"
    "  --until-eof            ends when stdin does\n"
    "  --quiet                no log\n";

static bool read_options(int argc, char **argv, struct options *o)
{
    static const struct option known[] = {
        {"api", 1, NULL, 'a'},           {"smtp", 1, NULL, 's'},      {"smtps", 1, NULL, 'S'},
        {"dir", 1, NULL, 'd'},           {"tenant", 1, NULL, 't'},    {"client-id", 1, NULL, 'i'},
        {"client-secret", 1, NULL, 'k'}, {"roles", 1, NULL, 'r'},     {"smtp-user", 1, NULL, 'u'},
        {"smtp-password", 1, NULL, 'p'}, {"delay-ms", 1, NULL, 'D'},  {"seed", 1, NULL, 'n'},
        {"config", 1, NULL, 'c'},        {"until-eof", 0, NULL, 'e'}, {"quiet", 0, NULL, 'q'},
        {"help", 0, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    struct {
        int letter;
        const char **slot;
    } texts[] = {
        {'a', &o->api},       {'s', &o->smtp},          {'S', &o->smtps},         {'d', &o->dir},
        {'t', &o->tenant},    {'i', &o->client_id},     {'k', &o->client_secret}, {'r', &o->roles},
        {'u', &o->smtp_user}, {'p', &o->smtp_password}, {'c', &o->config},
    };
    int letter;

    *o = defaults;
    o->seed = (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid();
    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            if (texts[i].letter == letter)
                *texts[i].slot = optarg;
        if (letter == 'D')
            o->delay_ms = strtol(optarg, NULL, 10);
        else if (letter == 'n')
            o->seed = strtoull(optarg, NULL, 10);
        else if (letter == 'e')
            o->until_eof = true;
        else if (letter == 'q')
            o->quiet = true;
        else if (letter == 'h' || letter == '?')
            return false;
    }
    return optind == argc && o->delay_ms >= 0 && (!o->smtp_user == !o->smtp_password);
}

/* ---- the house --------------------------------------------------------------------------------------- */

static enum err_code tune_with(struct house *h, const char *text, struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    enum err_code code = json_parse(text, strlen(text), &doc, e);

    return code ? code : tuning_read(&h->world.tuning, doc, e);
}

enum err_code house_furnish(struct house *h, struct err *e)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(1 << 16);
    AUTO(json_freep) struct json *object = NULL;
    struct json_out o = JSON_OUT(&b);
    struct client *client;

    tuning_clear(&h->world.tuning);
    tuning_init(&h->world.tuning);
    if (h->start_config && tune_with(h, h->start_config, e))
        return err_in(e, "--config");
    if (h->start_delay_ms)
        h->world.tuning.delay_ms = h->start_delay_ms;
    smtp_sink_tune(h->sink, h->world.tuning.smtp);
    json_out_object(&o, NULL);
    json_out_string(&o, "client_id", h->client_id);
    json_out_string(&o, "secret", h->client_secret);
    if (h->roles) {
        char *list = strdup(h->roles), *save = NULL;

        json_out_array(&o, "roles");
        for (char *p = list ? strtok_r(list, " ,", &save) : NULL; p;
             p = strtok_r(NULL, " ,", &save))
            json_out_string(&o, NULL, p);
        json_out_array_end(&o);
        free(list);
    }
    json_out_object_end(&o);
    if (json_parse(buf_text(&b), b.len, &object, e))
        return ERR_INVALID;
    return world_put_client(&h->world, object, &client, e);
}

static void mail_came(void *ctx)
{
    control_look(ctx);
}

static void house_clear(struct house *h)
{
    smtp_sink_free(h->sink); /* first: its threads use mails, keys and the loop */
    control_free(h->control);
    httpd_free(h->httpd);
    (void)faults_remove(&h->faults, NULL);
    limits_clear(&h->limits);
    entra_forget(h);
    sinks_forget(h);
    hunting_forget(h);
    world_clear(&h->world);
    journal_free(h->journal);
    mails_free(h->mails);
    keys_free(h->keys);
    loop_free(h->loop);
}

static enum err_code build(struct house *h, const struct options *o, const char *dir,
                           const char *ca_file, struct err *e)
{
    struct smtp_options smtp = {.username = o->smtp_user, .password = o->smtp_password};
    char journal[4200];
    enum err_code code;

    snprintf(journal, sizeof journal, "%s/journal.jsonl", dir);
    h->start_config = o->config;
    h->start_delay_ms = o->delay_ms;
    h->client_id = o->client_id;
    h->client_secret = o->client_secret;
    h->roles = o->roles;
    world_init(&h->world, o->tenant, o->seed);
    if ((code = loop_new(&h->loop, e)) || (code = keys_new(&h->keys, e)) ||
        (code = journal_new(journal, &h->journal, e)) || (code = mails_new(&h->mails, e)) ||
        (code = control_new(h, &h->control, e)) ||
        (code = httpd_open(h->loop, o->api, front_door, h, &h->httpd, e)))
        return code;
    snprintf(h->base_url, sizeof h->base_url, "http://%s", httpd_address(h->httpd));
    smtp.address = *o->smtp ? o->smtp : NULL;
    smtp.tls_address = *o->smtps ? o->smtps : NULL;
    smtp.ca_file = ca_file;
    smtp.mails = h->mails;
    smtp.keys = h->keys;
    smtp.loop = h->loop;
    loop_on_poke(h->loop, mail_came, h);
    if ((code = smtp_sink_new(&smtp, &h->sink, e)))
        return code;
    return house_furnish(h, e);
}

static void say_ready(const struct house *h, const struct options *o, const char *dir,
                      const char *ca_file)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(1 << 16);
    struct json_out j = JSON_OUT(&b);
    char text[4200];

    json_out_object(&j, NULL);
    json_out_bool(&j, "ready", true);
    json_out_string(&j, "api_url", h->base_url);
    json_out_string(&j, "login_url", h->base_url);
    snprintf(text, sizeof text, "%s/graph", h->base_url);
    json_out_string(&j, "graph_url", text);
    snprintf(text, sizeof text, "%s/sim", h->base_url);
    json_out_string(&j, "control_url", text);
    json_out_string(&j, "tenant_id", o->tenant);
    json_out_string(&j, "client_id", o->client_id);
    json_out_string(&j, "client_secret", o->client_secret);
    json_out_string(&j, "api_scope", "https://api.securitycenter.microsoft.com/.default");
    snprintf(text, sizeof text, "smtp://%s", smtp_sink_address(h->sink));
    json_out_string(&j, "smtp", *o->smtp ? text : NULL);
    snprintf(text, sizeof text, "smtps://%s", smtp_sink_tls_address(h->sink));
    json_out_string(&j, "smtps", *o->smtps ? text : NULL);
    json_out_string(&j, "smtp_ca_file", ca_file);
    json_out_string(&j, "smtp_username", o->smtp_user ? o->smtp_user : "");
    json_out_string(&j, "smtp_password", o->smtp_password ? o->smtp_password : "");
    json_out_string(&j, "dir", dir);
    snprintf(text, sizeof text, "%s/journal.jsonl", dir);
    json_out_string(&j, "journal_file", text);
    json_out_int(&j, "pid", getpid());
    json_out_object_end(&j);
    printf("%s\n", buf_text(&b));
    fflush(stdout);
}

/* ---- the end of it -------------------------------------------------------------------------------------- */

struct ending {
    struct loop *loop;
    struct loop_watch signals, input;
};

static void on_signal(void *ctx, uint32_t events)
{
    struct ending *end = ctx;

    (void)events;
    loop_stop(end->loop);
}

static void on_input(void *ctx, uint32_t events)
{
    struct ending *end = ctx;
    char bytes[256];

    (void)events;
    if (read(end->input.fd, bytes, sizeof bytes) == 0)
        loop_stop(end->loop);
}

static enum err_code watch_for_end(struct ending *end, struct loop *l, const sigset_t *signals,
                                   bool until_eof, struct err *e)
{
    enum err_code code;

    end->loop = l;
    end->signals = (struct loop_watch){
        .fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK), .fn = on_signal, .ctx = end};
    end->input = (struct loop_watch){.fd = STDIN_FILENO, .fn = on_input, .ctx = end};
    code = loop_watch(l, &end->signals, EPOLLIN, e);
    if (!code && until_eof)
        code = loop_watch(l, &end->input, EPOLLIN, e);
    return code;
}

static int serve(const struct options *o, const char *dir)
{
    struct house h = {0};
    struct ending end = {0};
    struct err e = {0};
    char ca_file[4200];
    sigset_t signals;
    enum err_code code;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* before threads: they inherit it */
    snprintf(ca_file, sizeof ca_file, "%s/ca.pem", dir);
    code = build(&h, o, dir, ca_file, &e);
    if (!code)
        code = watch_for_end(&end, h.loop, &signals, o->until_eof, &e);
    if (code) {
        fprintf(stderr, "cordon-sim: %s\n", e.text);
    } else {
        say_ready(&h, o, dir, ca_file);
        loop_run(h.loop);
        close(end.signals.fd);
    }
    house_clear(&h);
    return code ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void remove_own(const char *dir)
{
    static const char *const files[] = {"ca.pem", "journal.jsonl"};
    char path[4200];

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        (void)unlink(path); /* may not be there after a failed start */
    }
    (void)rmdir(dir);
}

int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    char own[4096];
    struct options o;
    int status;

    if (!read_options(argc, argv, &o)) {
        fputs(usage, stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN); /* writes to a peer that is gone fail instead */
    log_setup(o.quiet ? LOG_ERROR : LOG_INFO, true);
    if (!o.dir) {
        snprintf(own, sizeof own, "%s/cordon-sim-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        if (!mkdtemp(own)) {
            fprintf(stderr, "cordon-sim: %s: %s\n", own, strerror(errno));
            return EXIT_FAILURE;
        }
    } else if (mkdir(o.dir, 0700) != 0 && errno != EEXIST) {
        fprintf(stderr, "cordon-sim: %s: %s\n", o.dir, strerror(errno));
        return EXIT_FAILURE;
    }
    status = serve(&o, o.dir ? o.dir : own);
    if (!o.dir)
        remove_own(own);
    return status;
}
