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

/* A rig whose mails go to a simulated server of its own. */
struct scene {
    struct sim *sim;
    struct rig r;
    char mail[200]; /* what names the server in the part `mail` */
};

static inline void open_scene(struct scene *s, const char *rules)
{
    s->sim = sim_start(NULL);
    (void)snprintf(s->mail, sizeof s->mail, "  server: %s\n", s->sim->smtp_url);
    open_rig(&s->r, rules, s->mail, "");
}

static inline void close_scene(struct scene *s)
{
    close_rig(&s->r);
    sim_stop(s->sim);
}

/* Rules, and the webhook `siem` of theirs, which is the peer's /hook. In the rig's arena. */
static inline const char *with_siem(struct rig *r, const char *rules)
{
    return arena_fmt(r->arena, "webhooks: {siem: {url: '%s/hook', template: slack}}\n%s",
                     peer_url(r->peer), rules);
}

static inline void open_scene_siem(struct scene *s, const char *rules)
{
    open_scene(s, RULES_MAIL_ONLY);
    use_rules(&s->r, with_siem(&s->r, rules), s->mail, "");
}

/* There is no mailbox of mail.to any more. */
static inline void refuse_soc(struct sim *sim)
{
    sim_tell(sim, "/config",
             "{\"smtp\":{\"reject\":{\"soc@contoso.example\":\"550 5.1.1 no such user\"}}}");
}

/* As rig_afresh, but for the list of actions: the alert is another one, "Number i", its id in id. */
static inline void see_number(struct rig *r, int i, char id[40])
{
    (void)snprintf(id, 40, "da%d_-1", i);
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", GET_ALERT, 0, 200,
             arena_fmt(r->arena,
                       "{\"id\":\"%s\",\"severity\":\"Medium\",\"title\":\"Number %d\","
                       "\"machineId\":\"" MACHINE "\"}",
                       id, i));
    rig_says(r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
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
