/* fallback_kit.h - an engine whose mails go to a simulated server and whose posts go to the peer, on a clock whose hands the test
 * turns: for tests of what becomes of notices when a way out fails.
 *
 * Included by one file of a program only.
 */
#ifndef FALLBACK_KIT_H
#define FALLBACK_KIT_H

#include "engine_kit.h"

#include "burst.h"
#include "kit/sim.h"
#include "log.h"
#include "notice.h"
#include "ways.h"

#define DOWN      "{\"smtp\":{\"connect\":\"421 4.3.2 try later\"}}"
#define UP        "{\"smtp\":{\"connect\":null}}"
#define NO_SERVER "  server: smtp://127.0.0.1:9\n" /* nobody listens there */

static inline void no_line(enum log_level level, const char *line, void *ctx)
{
    (void)level, (void)line, (void)ctx;
}

/* YAML of the part `mail` behind from and to, and whole parts. */
static inline struct runtime *read_rules(struct rig *r, const char *rules, const char *mail,
                                         const char *more)
{
    struct arena *arena = arena_new(0);
    struct yaml_faults faults;
    struct config *config = NULL;
    struct runtime *rt = NULL;
    struct err e = {0};
    char text[6000], whole[8000], *at, *end;
    size_t len;
    FILE *f;

    runtime_unref(rig_runtime(r, rules)); /* writes the file */
    f = fopen(r->config_file, "r");
    assert_non_null(f);
    len = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[len] = '\0';
    at = strstr(text, "mail: {");
    assert_non_null(at);
    end = strchr(at, '\n');
    *at = '\0';
    (void)snprintf(whole, sizeof whole,
                   "%smail:\n  from: cordon@contoso.example\n  to: [soc@contoso.example]\n"
                   "  group: {interval: 0}\n%s%s%s",
                   text, mail, more, end);
    rig_write(r, "cordon.yaml", whole);
    yaml_faults_init(&faults, arena);
    if (config_load(r->config_file, NULL, arena, &config, &faults, &e))
        fail_msg("%s: %s", e.text, faults.count ? faults.first->text : "");
    arena_free(arena);
    assert_int_equal(runtime_new(config, r->rest, &r->hands.clock, &rt, &e), ERR_OK);
    return rt;
}

/* Mails take these ways from now on. */
static inline void use_rules(struct rig *r, const char *rules, const char *mail, const char *more)
{
    engine_use(r->g, read_rules(r, rules, mail, more));
}

static inline void open_rig(struct rig *r, const char *rules, const char *mail, const char *more)
{
    struct err e = {0};

    rig_open(r, rules);
    use_rules(r, rules, mail, more);
    assert_int_equal(health_new(&r->hands.clock, &r->g->health, &e), ERR_OK);
    rig_afresh(r);
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    log_divert(no_line, NULL); /* failures are what this is about */
}

static inline void close_rig(struct rig *r)
{
    struct health *health = r->g->health;

    log_divert(NULL, NULL);
    rig_close(r);
    health_free(health);
}

/* Everything that is due now. */
static inline void work_all(struct rig *r)
{
    struct work w;

    for (bool any = true; any;) {
        any = rig_work(r) > 0;
        for (; rig_claim(r, WORK_NOTICE, &w); any = true)
            notice_run(r->g, &w);
        for (; rig_claim(r, WORK_WAY, &w); any = true)
            ways_run(r->g, &w);
        for (; rig_claim(r, WORK_BURST, &w); any = true)
            burst_run(r->g, &w);
    }
}

static inline void pass(struct rig *r, int64_t total_ms, int64_t step_ms)
{
    for (int64_t t = 0; t < total_ms; t += step_ms) {
        hands_turn(&r->hands, step_ms);
        work_all(r);
    }
}

/* How many mails a server took whose subject begins so. */
static inline size_t taken(struct sim *sim, const char *subject)
{
    AUTO(json_freep) struct json *mails = sim_get(sim, "/mails");
    char header[200];
    size_t n = 0;

    (void)snprintf(header, sizeof header, "\r\nSubject: %s", subject);
    JSON_EACH (mail, json_get(mails, "mails"))
        n += strstr(json_get_string(mail, "raw"), header) != NULL;
    return n;
}

/* The newest post to /hook; "": none. */
static inline const char *last_post(struct rig *r)
{
    const char *body = "";

    for (size_t i = 0; i < peer_count(r->peer); i++)
        if (strcmp(peer_request(r->peer, i)->target, "/hook") == 0)
            body = peer_request(r->peer, i)->body;
    return body;
}

/* How many posts to /hook hold this? */
static inline size_t posted(struct rig *r, const char *words)
{
    size_t n = 0;

    for (size_t i = 0; i < peer_count(r->peer); i++)
        n += strcmp(peer_request(r->peer, i)->target, "/hook") == 0 &&
             strstr(peer_request(r->peer, i)->body, words);
    return n;
}

#endif
