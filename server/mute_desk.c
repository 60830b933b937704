/* mute_desk.c - see mute_desk.h. */
#include "mute_desk.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "api.h"
#include "fields.h"
#include "id.h"
#include "log.h"
#include "question.h"
#include "work.h"

#define PAGE        100              /* past cases in memory at a time: facts are large */
#define PAST_MAX    20000            /* looked at, at most */
#define LOOK_MS     (10 * SECOND_MS) /* and no longer than this: somebody waits for the answer */
#define LITERAL_MIN 4                /* letters and digits that make a pattern a name */

/* ---- is it about something? ------------------------------------------------------------------- */

enum pattern { NO_PATTERN, GLOB, REGEX };

/* Behind a class of a glob, as match_pattern.c reads it: its letters are not those of a name. */
static const char *behind_class(const char *p)
{
    const char *end;

    p += p[1] == '!' || p[1] == '^' ? 2 : 1;
    end = *p ? strchr(p + 1, ']') : NULL;
    return end ? end + 1 : p + strlen(p);
}

/* Does each text that fits hold so many letters and digits, with nothing left open between them? One here and one there fit any
 * title. Of an expression that leaves a choice nobody here can tell. */
static bool is_name(const char *text, enum pattern kind)
{
    static const char *const open[] = {[NO_PATTERN] = "", [GLOB] = "*?[", [REGEX] = ".*+"};
    size_t n = 0, most = 0;

    if (kind == REGEX && strpbrk(text, "|?{}[]()\\"))
        return false;
    while (*text) {
        if (strchr(open[kind], *text))
            n = 0;
        n += isalnum((unsigned char)*text) && (kind != REGEX || text[1] != '*');
        most = n > most ? n : most;
        text = kind == GLOB && *text == '[' ? behind_class(text) : text + 1;
    }
    return most >= (kind ? LITERAL_MIN : 1);
}

static bool all_are_names(const struct yaml_node *value, enum pattern kind)
{
    if (value->kind == YAML_SCALAR)
        return is_name(value->text, kind);
    for (const struct yaml_node *v = value->first; v; v = v->next)
        if (v->kind != YAML_SCALAR || !is_name(v->text, kind))
            return false;
    return value->kind == YAML_LIST && value->first;
}

/* {glob: "Foo*"}: all operators hold at once, so that one is enough. */
static bool demands(const struct yaml_node *value)
{
    static const struct {
        const char *word;
        enum pattern kind;
    } operators[] = {{"in", NO_PATTERN}, {"glob", GLOB}, {"regex", REGEX}};

    if (value->kind != YAML_MAP)
        return all_are_names(value, NO_PATTERN);
    for (const struct yaml_node *v = value->first; v; v = v->next)
        for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
            if (strcmp(v->key->text, operators[i].word) == 0 && all_are_names(v, operators[i].kind))
                return true;
    return false;
}

/* Does it demand a certain title, detector, alert or machine, whatever else it says? map: compiled well, which
 * bounds its depth. */
static bool names_something(const struct yaml_node *map)
{
    static const char *const narrow[] = {
        "alert.id",         "alert.title",           "alert.detector_id",
        "alert.machine_id", "alert.machine_name",    "machine.id",
        "machine.name",     "machine.aad_device_id", NULL};

    for (const struct yaml_node *v = map->first; v; v = v->next) {
        bool any = strcmp(v->key->text, "any") == 0, found = any && v->first;

        if (any || strcmp(v->key->text, "all") == 0) {
            for (const struct yaml_node *m = v->first; m; m = m->next)
                found = any ? found && names_something(m) : found || names_something(m);
            if (found)
                return true;
        }
        for (const char *const *f = narrow; *f; f++)
            if (strcmp(v->key->text, *f) == 0 && demands(v))
                return true;
    }
    return false;
}

/* ---- the past --------------------------------------------------------------------------------- */

struct past {
    const struct condition *c;
    struct json_out *cases; /* matched ones are written here */
    int64_t seen, matched, withheld;
    bool complete;
};

static void show_past(struct past *p, const struct mute_past *m, const struct facts *f,
                      const char *passes)
{
    struct json_out *o = p->cases;

    if (p->matched > MUTE_SHOWN)
        return;
    json_out_object(o, NULL);
    json_out_id(o, "case", m->case_id);
    json_out_string(o, "tenant", m->tenant);
    json_out_string(o, "alert_id", m->alert_id);
    json_out_string(o, "severity", json_get_string(f->alert, "severity"));
    json_out_string(o, "title", json_get_string(f->alert, "title"));
    json_out_string(o, "machine_id", m->machine_id);
    json_out_string(o, "machine_name", json_get_string(f->machine, "computerDnsName"));
    json_out_string(o, "rule", m->rule);
    json_out_bool(o, "withheld", !passes);
    json_out_string(o, "told_because", passes);
    json_out_object_end(o);
}

/* As it would have come out then: ages are as they were when Defender was read. */
static enum err_code judge_past(struct past *p, struct arena *a, const struct mute_past *m,
                                struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    struct facts f;
    const char *passes;
    bool matched = false;
    enum err_code code;

    p->seen++;
    if (json_parse(m->facts, strlen(m->facts), &doc, NULL) || facts_read(doc, &f, NULL))
        return ERR_OK; /* of a version before; it counts, and matches nothing */
    code = mute_judge(p->c, &f, f.read_ms, a, &matched, e);
    if (code || !matched)
        return code;
    passes = mute_passes(a, m->verdict);
    p->matched++;
    p->withheld += !passes;
    show_past(p, m, &f, passes);
    return ERR_OK;
}

static enum err_code look_back(struct engine *g, struct past *p, struct err *e)
{
    int64_t since = clock_wall_ms(g->clock) - MUTE_LOOK_BACK_MS, before = INT64_MAX;
    int64_t until = clock_mono_ms(clock_system()) + LOOK_MS;
    size_t n = PAGE;

    while (n == PAGE && p->seen < PAST_MAX) {
        AUTO(arena_freep) struct arena *a = arena_new(0);
        struct mute_past *list;
        enum err_code code = a ? store_mute_past(g->store, a, since, before, PAGE, &list, &n, e)
                               : err_set(e, ERR_NOMEM, "past cases");

        for (size_t i = 0; i < n && !code; i++) {
            if (clock_mono_ms(clock_system()) > until)
                return ERR_OK;
            if (!engine_goes_on(g))
                return err_set(e, ERR_AGAIN,
                               "cordon is stopping"); /* which waits for this answer */
            code = judge_past(p, a, &list[i], e);
            before = list[i].case_id;
        }
        if (code)
            return code;
    }
    p->complete = n < PAGE;
    return ERR_OK;
}

static int64_t percent(const struct past *p)
{
    return p->seen ? p->matched * 100 / p->seen : 0;
}

/* Why it is broad; NULL: it is not. Lives in a. */
static const char *find_broad(struct arena *a, const struct past *p, const struct yaml_node *map)
{
    if (!map->first)
        return "it names no field, and matches everything";
    if (p->seen >= MUTE_HISTORY_MIN && p->matched * 100 > p->seen * MUTE_BROAD_PERCENT)
        return arena_fmt(a,
                         "it would have matched %" PRId64 " of the %" PRId64
                         " cases of the last 7 days (%" PRId64 " %%)",
                         p->matched, p->seen, percent(p));
    if ((p->seen >= MUTE_HISTORY_MIN && p->complete) || names_something(map))
        return NULL;
    if (!p->complete)
        return "what it would have matched in the last 7 days takes too long to be found out, and "
               "it demands no certain title, detector, alert or machine";
    return arena_fmt(a,
                     "the last 7 days have only %" PRId64 " case%s to judge it by, and it demands "
                     "no certain title, detector, alert or machine",
                     p->seen, p->seen == 1 ? "" : "s");
}

/* Writes what a preview shows. *ret_broad: as find_broad. */
static enum err_code preview(struct engine *g, struct arena *a, const char *when,
                             struct json_out *o, const char *name, const char **ret_broad,
                             struct err *e)
{
    struct past p = {.cases = o};
    const struct yaml_node *map;
    enum err_code code = mute_compile(a, when, &p.c, &map, e);

    if (code)
        return code;
    json_out_object(o, name);
    json_out_array(o, "cases");
    code = look_back(g, &p, e);
    json_out_array_end(o);
    if (code)
        return code;
    *ret_broad = find_broad(a, &p, map);
    json_out_int(o, "days", MUTE_LOOK_BACK_MS / DAY_MS);
    json_out_int(o, "cases_seen", p.seen);
    json_out_int(o, "matched", p.matched);
    json_out_int(o, "percent", percent(&p));
    json_out_int(o, "withheld", p.withheld);
    json_out_bool(o, "complete", p.complete);
    json_out_string(o, "broad", *ret_broad);
    json_out_object_end(o);
    return ERR_OK;
}

static enum err_code written(const struct buf *out, struct err *e)
{
    return buf_failed(out) ? err_set(e, buf_failed(out), "the answer") : ERR_OK;
}

enum err_code mute_desk_preview(struct engine *g, const char *when, struct buf *out, struct err *e)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct json_out o = JSON_OUT(out);
    const char *broad;
    enum err_code code;

    if (!when)
        return err_set(e, ERR_INVALID, "when: expected a condition: {alert.title: \"…\"}");
    code = a ? preview(g, a, when, &o, NULL, &broad, e) : err_set(e, ERR_NOMEM, "preview");
    if (code) {
        buf_reset(out); /* of an answer that is none */
        return code;
    }
    return written(out, e);
}

/* ---- orders ----------------------------------------------------------------------------------- */

struct order {
    struct mute_tale t;
    int64_t id;
    const char *who, *why;
    struct mute_record m;
};

/* Without blanks around it, so that nobody is a second person by one; NULL: nothing is left. */
static const char *trimmed(struct arena *a, const char *text)
{
    static const char blanks[] = " \t\r\n";
    size_t len;

    if (!text)
        return NULL;
    text += strspn(text, blanks);
    for (len = strlen(text); len && strchr(blanks, text[len - 1]);)
        len--;
    return len ? arena_strn(a, text, len) : NULL;
}

static const char nobody[] =
    "by: a silence is somebody's: say whose (the command takes $SUDO_USER, else $USER)";

static enum err_code give(struct engine *g, struct order *q, db_fn fn, const char *event,
                          struct err *e)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    enum err_code code;

    q->t.g = g;
    q->t.rt = rt;
    q->t.now = clock_wall_ms(g->clock);
    code = db_write(g->store->db, fn, q, e);
    if (code)
        return code;
    log_event(LOG_WARN, event, LOG_ID("silence", q->id), LOG_STR("who", q->who),
              LOG_STR("why", q->why), LOG_STR("when", q->m.matcher));
    engine_kick(g);
    return ERR_OK;
}

static enum err_code add_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct order *q = arg;
    int64_t open = 0;
    enum err_code code = mute_count_open(tx, &open, e);

    if (!code && open >= MUTES_MAX)
        code =
            err_set(e, ERR_CONFLICT,
                    "there are %d silences already: end one, or change a rule that mails too much",
                    MUTES_MAX);
    if (!code)
        code = mute_insert(tx, &q->m, e);
    return code ? code
                : mute_announce(tx, &q->t, &q->m, q->who,
                                q->m.state == MUTE_PROPOSED ? "propose" : "add", e);
}

/* The end that an order means. */
static enum err_code end_of(const struct mute_order *o, int64_t now, int64_t *ret, struct err *e)
{
    if (!o->for_ms == !o->until_ms)
        return err_set(
            e, ERR_INVALID,
            "a silence has an end: for (4h) or until (2026-01-01T00:00:00Z), one of them");
    if (o->until_ms && o->until_ms <= now)
        return err_set(e, ERR_INVALID, "until: this time is over");
    *ret = o->until_ms ? o->until_ms : o->for_ms > MUTE_MAX_MS ? INT64_MAX : now + o->for_ms;
    if (*ret - now < MUTE_MIN_MS || *ret - now > MUTE_MAX_MS)
        return err_set(e, ERR_INVALID,
                       "%s: a silence lasts 1m to 30d; what is to be quiet for longer is a rule's "
                       "business",
                       o->until_ms ? "until" : "for");
    return ERR_OK;
}

enum err_code mute_desk_add(struct engine *g, const struct mute_order *o, struct buf *out,
                            struct err *e)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct json_out j = JSON_OUT(out);
    struct order q = {.t.arena = a, .id = id_new(g->clock)};
    struct mute_record *m = &q.m;
    enum err_code code;

    if (!a)
        return err_set(e, ERR_NOMEM, "a silence");
    *m = (struct mute_record){.id = q.id, .created = clock_wall_ms(g->clock), .matcher = o->when};
    m->author = q.who = trimmed(a, o->who);
    m->why = q.why = trimmed(a, o->why);
    if (!o->when)
        return err_set(e, ERR_INVALID, "when: expected a condition: {alert.title: \"…\"}");
    if (!m->author)
        return err_set(e, ERR_INVALID, "%s", nobody);
    if (!m->why)
        return err_set(e, ERR_INVALID, "why: a silence has a reason; say which");
    code = end_of(o, m->created, &m->ends, e);
    if (code)
        return code;
    if (!mute_can_be_told(rt))
        return err_set(e, ERR_CONFLICT,
                       "the end of a silence is mailed, with what it withheld: name somebody in "
                       "mail.to first");
    json_out_object(&j, NULL);
    code = preview(g, a, o->when, &j, "preview", &m->broad, e);
    if (!code) {
        m->state = m->broad ? MUTE_PROPOSED : MUTE_ACTIVE;
        m->began = m->broad ? 0 : m->created;
        code = give(g, &q, add_fn, m->broad ? "silence_proposed" : "silence_added", e);
    }
    if (code) {
        buf_reset(out);
        return code;
    }
    json_out_id(&j, "silence", m->id);
    json_out_string(&j, "state", mute_state_name(m->state));
    json_out_time(&j, "until", m->ends);
    json_out_string(&j, "broad", m->broad);
    json_out_object_end(&j);
    return written(out, e);
}

static enum err_code load(struct db_tx *tx, struct order *q, struct err *e)
{
    return mute_load(tx, q->t.arena, q->id, &q->m, e);
}

static enum err_code approve_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct order *q = arg;
    enum err_code code = load(tx, q, e);

    if (code)
        return code;
    if (q->m.state != MUTE_PROPOSED)
        return err_set(e, ERR_CONFLICT, "the silence is %s: it waits for nobody's yes",
                       mute_state_name(q->m.state));
    if (q->m.ends <= q->t.now)
        return err_set(e, ERR_CONFLICT, "the time of this silence is over");
    if (question_is_same_person(q->who, q->m.author))
        return err_set(e, ERR_CONFLICT,
                       "%s put it up: a broad silence needs the yes of another person",
                       q->m.author);
    q->m.second = q->who;
    q->m.began = q->t.now;
    code = mute_move(tx, &q->m, MUTE_ACTIVE, e);
    return code ? code : mute_announce(tx, &q->t, &q->m, q->who, "approve", e);
}

static enum err_code end_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct order *q = arg;
    enum err_code code = load(tx, q, e);

    if (code)
        return code;
    if (q->m.state == MUTE_ENDED)
        return err_set(e, ERR_CONFLICT, "the silence has ended already");
    if (!mute_may_close(&q->t, &q->m))
        return err_set(e, ERR_CONFLICT,
                       "what it withheld is mailed at its end: name somebody in mail.to first");
    code = mute_close(tx, &q->t, &q->m, q->who, q->why, e);
    return code ? code : work_cancel(tx, q->id, e);
}

static enum err_code give_about(struct engine *g, const struct desk_order *o, db_fn fn,
                                const char *event, bool why_demanded, struct err *e)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct order q = {.t.arena = a, .id = o->id};

    if (!a)
        return err_set(e, ERR_NOMEM, "a silence");
    q.who = trimmed(a, o->who);
    q.why = trimmed(a, o->why);
    if (!q.who)
        return err_set(e, ERR_INVALID, "%s", nobody);
    if (why_demanded && !q.why)
        return err_set(e, ERR_INVALID, "why: a silence is ended for a reason; say which");
    return give(g, &q, fn, event, e);
}

enum err_code mute_desk_approve(struct engine *g, const struct desk_order *o, struct err *e)
{
    return give_about(g, o, approve_fn, "silence_approved", false, e);
}

enum err_code mute_desk_end(struct engine *g, const struct desk_order *o, struct err *e)
{
    return give_about(g, o, end_fn, "silence_ended", true, e);
}

/* ---- showing ---------------------------------------------------------------------------------- */

/* Without the closing brace. */
static void begin_mute(struct json_out *o, const struct mute_record *m)
{
    json_out_object(o, NULL);
    json_out_id(o, "id", m->id);
    json_out_string(o, "state", mute_state_name(m->state));
    json_out_string(o, "when", m->matcher);
    json_out_string(o, "by", m->author);
    json_out_string(o, "why", m->why);
    json_out_string(o, "broad", m->broad);
    json_out_string(o, "second", m->second);
    json_out_time(o, "created", m->created);
    json_out_time(o, "began", m->began);
    json_out_time(o, "until", m->ends);
    json_out_time(o, "ended", m->ended);
    json_out_string(o, "ended_by", m->ended_by);
    json_out_string(o, "ended_why", m->ended_why);
    json_out_int(o, "withheld", m->withheld);
}

enum err_code mute_desk_list(struct store *s, bool open_only, int64_t before_id, size_t limit,
                             struct buf *out, struct err *e)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct json_out o = JSON_OUT(out);
    struct mute_record *list;
    size_t n = 0;
    bool more;
    enum err_code code = a ? store_mute_list(s, a, open_only, before_id, limit + 1, &list, &n, e)
                           : err_set(e, ERR_NOMEM, "list of silences");

    if (code)
        return code;
    more = api_cut(&n, limit);
    json_out_object(&o, NULL);
    json_out_array(&o, "silences");
    for (size_t i = 0; i < n; i++) {
        begin_mute(&o, &list[i]);
        json_out_object_end(&o);
    }
    json_out_array_end(&o);
    json_out_id(&o, "next", more ? list[n - 1].id : 0);
    json_out_object_end(&o);
    return written(out, e);
}

enum err_code mute_desk_show(struct store *s, int64_t id, int64_t before_id, size_t limit,
                             struct buf *out, struct err *e)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct json_out o = JSON_OUT(out);
    struct muted_case *cases;
    struct mute_record m;
    size_t n = 0;
    bool more;
    enum err_code code = a ? store_mute_load(s, a, id, &m, e) : err_set(e, ERR_NOMEM, "silence");

    if (!code)
        code = store_mute_cases(s, a, id, before_id, limit + 1, &cases, &n, e);
    if (code)
        return code;
    more = api_cut(&n, limit);
    begin_mute(&o, &m);
    json_out_array(&o, "cases");
    for (size_t i = 0; i < n; i++) {
        json_out_object(&o, NULL);
        json_out_id(&o, "case", cases[i].case_id);
        json_out_time(&o, "at", cases[i].at);
        json_out_string(&o, "what", cases[i].what);
        json_out_object_end(&o);
    }
    json_out_array_end(&o);
    json_out_id(&o, "next", more ? cases[n - 1].case_id : 0);
    json_out_object_end(&o);
    return written(out, e);
}
