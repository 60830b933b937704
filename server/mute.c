/* mute.c - see mute.h.
 *
 * Conditions are judged outside of the transaction that withholds a notice: an expression on a hostile text may
 * take half a second (match.h), and with SQLite one thread writes for all. Inside of it is only asked whether the
 * silence that matched is still active, and whether the verdict lets it be heard.
 */
#include "mute.h"

#include <inttypes.h>
#include <string.h>

#include "fields.h"
#include "id.h"
#include "lists.h"
#include "log.h"
#include "notice_system.h"
#include "store_audit.h"

#define TOLD_MAX                                                                                   \
    50 /* cases listed in the mail of an end: more nobody reads, and the command has all */
/* The configuration has nobody to tell any more: looked at again after so long, for a reload may bring him back. */
#define NO_MAIL_MS (5 * MINUTE_MS)
#define LINE_MAX   120 /* bytes of a title, and of a machine's name, in such a list */

/* ---- conditions ------------------------------------------------------------------------------- */

/* What the server's environment holds is none of an operator's business. */
static const char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

/* yaml.h bounds the depth. */
static bool asks_for_file(const struct yaml_node *n)
{
    for (const struct yaml_node *v = n->first; v; v = v->next)
        if ((v->key && strcmp(v->key->text, "in_file") == 0) || asks_for_file(v))
            return true;
    return false;
}

enum err_code mute_compile(struct arena *a, const char *matcher, const struct condition **ret,
                           const struct yaml_node **ret_map, struct err *e)
{
    struct list_files no_files = {.closed = true};
    struct yaml_faults faults;
    const struct settings_reader reader = {
        .arena = a, .faults = &faults, .env = no_environment, .lists = &no_files};
    const struct condition *c;
    struct yaml_node *map;
    enum err_code code;

    if (strlen(matcher) > MUTE_WHEN_MAX)
        return err_set(e, ERR_INVALID, "when: more than %d bytes", MUTE_WHEN_MAX);
    code = yaml_read(a, "when", matcher, strlen(matcher), &map, e);
    if (code)
        return code;
    if (map->kind != YAML_MAP)
        return err_set(e, ERR_INVALID,
                       "when: expected a condition as rules have it: {alert.title: \"…\"}");
    if (asks_for_file(map))
        return err_set(e, ERR_INVALID, "when: in_file is for rules; a silence reads no files");
    yaml_faults_init(&faults, a);
    c = map->first ? condition_compile(&reader, map, "when") : NULL;
    if (faults.count) {
        AUTO(buf_clear) struct buf text = BUF_INIT(64 * 1024);

        yaml_faults_sort(&faults);
        yaml_fault_write(&text, faults.first);
        return err_set(e, ERR_INVALID, "%s", buf_text(&text));
    }
    if (map->first && !c)
        return err_set(e, ERR_NOMEM, "a condition");
    *ret = c;
    if (ret_map)
        *ret_map = map;
    return ERR_OK;
}

enum err_code mute_judge(const struct condition *c, const struct facts *f, int64_t now,
                         struct arena *a, bool *ret, struct err *e)
{
    struct match match = {.result = TRUTH_TRUE};

    if (c && condition_match(c, f, now, a, &match))
        return err_set(e, ERR_NOMEM, "a condition");
    *ret = match.result == TRUTH_TRUE;
    return ERR_OK;
}

const char *mute_passes(struct arena *a, const char *verdict_json)
{
    AUTO(json_freep) struct json *doc = NULL;
    struct verdict v;

    if (!verdict_json || json_parse(verdict_json, strlen(verdict_json), &doc, NULL) ||
        verdict_read(doc, a, &v, NULL))
        return "its verdict cannot be read";
    if (v.doubt)
        return "it is in doubt";
    for (size_t i = 0; i < v.n_steps; i++)
        if (v.steps[i].acts)
            return "its rule acts";
    return NULL;
}

/* ---- words ------------------------------------------------------------------------------------ */

/* To the second: "2026-01-01T00:00:00Z". */
static const char *time_words(struct arena *a, int64_t ms)
{
    char text[CLOCK_TEXT_SIZE];

    return arena_fmt(a, "%.19sZ", clock_format(ms, text));
}

const char *mute_words(const struct mute_record *m, struct arena *a)
{
    const char *until = time_words(a, m->ends);

    return until ? arena_fmt(a, "silenced by %s until %s: %s", m->author, until, m->why) : NULL;
}

/* "Medium: Suspicious login on ws-114, rule tell, alert da1"; lives in a, with a stranger's words in it. */
static const char *line_of(struct arena *a, const struct facts *f, const char *rule,
                           const char *alert_id)
{
    const char *title = json_get_string(f->alert, "title");
    const char *severity = json_get_string(f->alert, "severity");
    const char *machine = json_get_string(f->machine, "computerDnsName");

    if (!machine || !*machine)
        machine = json_get_string(f->alert, "computerDnsName");
    title = title ? field_shown(a, title, LINE_MAX) : "no title";
    severity = severity ? field_shown(a, severity, LINE_MAX) : "unknown severity";
    machine = machine && *machine ? field_shown(a, machine, LINE_MAX) : NULL;
    if (!title || !severity)
        return NULL;
    return arena_fmt(a, "%s: %s%s%s, rule %s, alert %s", severity, title, machine ? " on " : "",
                     machine ? machine : "", rule ? rule : "none", alert_id);
}

/* ---- withholding ------------------------------------------------------------------------------ */

bool mute_can_be_told(const struct runtime *rt)
{
    return rt->config->mail.server && rt->config->mail.to.count > 0;
}

static bool matches(struct arena *a, const struct mute_record *m, const struct facts *f,
                    int64_t now)
{
    const struct condition *c;
    bool holds = false;
    struct err e;

    if (mute_compile(a, m->matcher, &c, NULL, &e) || /* put up by another version of cordon */
        mute_judge(c, f, now, a, &holds, &e)) {
        log_event(LOG_WARN, "silence_unreadable", LOG_ID("silence", m->id), LOG_ERR(&e));
        return false;
    }
    return holds;
}

void mute_find(struct engine *g, struct arena *a, const struct facts *f, int64_t now,
               struct mute_hold *ret)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct mute_record *list;
    size_t n = 0;
    struct err e;

    *ret = (struct mute_hold){0};
    if (!f || !mute_can_be_told(rt))
        return;
    if (store_mute_list(g->store, a, true, 0, MUTES_MAX, &list, &n, &e)) {
        log_event(LOG_WARN, "silences_unreadable", LOG_ERR(&e));
        return;
    }
    for (size_t i = 0; i < n && !ret->m; i++)
        if (list[i].state == MUTE_ACTIVE && list[i].ends > now && matches(a, &list[i], f, now))
            ret->m = &list[i];
}

enum err_code mute_withhold(struct db_tx *tx, struct arena *a, struct mute_hold *h, int64_t case_id,
                            const struct facts *f, int64_t now, struct err *e)
{
    struct muted_case muted = {.case_id = case_id, .at = now};
    struct case_record c;
    bool active = false;
    enum err_code code;

    h->why = NULL;
    if (!h->m)
        return ERR_OK;
    code = case_load(tx, a, case_id, &c, e);
    if (code || c.isolation || mute_passes(a, c.verdict))
        return code;
    muted.what = line_of(a, f, c.rule, c.alert_id);
    if (!muted.what)
        return err_set(e, ERR_NOMEM, "silence");
    code = mute_note(tx, h->m->id, &muted, &active, e);
    if (code || !active)
        return code;
    h->why = mute_words(h->m, a);
    return h->why ? ERR_OK : err_set(e, ERR_NOMEM, "silence");
}

/* ---- telling ---------------------------------------------------------------------------------- */

enum { FACTS = 10 }; /* rows that every mail about a silence has */

/* Its own rows; texts of the operators'. */
static size_t facts_of(const struct mute_record *m, struct arena *a,
                       struct notice_system_fact out[FACTS])
{
    char id[ID_TEXT_SIZE];
    const char *who = m->ended_by ? m->ended_by : m->ended ? "nobody: its time was over" : NULL;
    const struct notice_system_fact facts[FACTS] = {
        {"Silence", arena_str(a, id_format(m->id, id))},
        {"When", m->matcher},
        {"By", m->author},
        {"Reason", m->why},
        {"Broad", m->broad},
        {"Second person", m->second},
        {"Began", m->began ? time_words(a, m->began) : "never"},
        {"Until", time_words(a, m->ends)},
        {"Ended by", who},
        {"Ended because", m->ended_why},
    };

    memcpy(out, facts, sizeof facts);
    return FACTS;
}

static enum err_code tell(struct db_tx *tx, const struct mute_tale *t, const struct mute_record *m,
                          struct notice_system *n, struct err *e)
{
    char id[ID_TEXT_SIZE];

    n->about = arena_fmt(t->arena, "silence:%s", id_format(m->id, id));
    if (!n->about || !n->subject || !n->body)
        return err_set(e, ERR_NOMEM, "notice");
    return notice_system_put(tx, t->g, t->rt, t->arena, n, t->now, e);
}

static enum err_code record(struct db_tx *tx, const struct mute_record *m, const char *order,
                            const char *who, const char *why, int64_t now, struct err *e)
{
    char until[CLOCK_TEXT_SIZE];

    return audit_put(tx, e, AUDIT_SILENCE, 0, now, LOG_ID("silence", m->id),
                     LOG_STR("order", order), LOG_STR("who", who), LOG_STR("why", why),
                     LOG_STR("when", m->matcher), LOG_STR("until", clock_format(m->ends, until)),
                     LOG_STR("broad", m->broad), LOG_STR("state", mute_state_name(m->state)));
}

enum err_code mute_announce(struct db_tx *tx, const struct mute_tale *t,
                            const struct mute_record *m, const char *who, const char *order,
                            struct err *e)
{
    struct notice_system_fact facts[FACTS];
    const char *until = time_words(t->arena, m->ends);
    char id[ID_TEXT_SIZE];
    struct notice_system n = {.facts = facts, .n_facts = facts_of(m, t->arena, facts)};
    enum err_code code = record(tx, m, order, who, m->why, t->now, e);

    if (code || !until)
        return code ? code : err_set(e, ERR_NOMEM, "notice");
    if (m->state == MUTE_PROPOSED) {
        n.kind = "silence_proposed";
        n.headline = "A broad silence waits for a second person";
        n.subject =
            arena_fmt(t->arena, "%s wants a silence until %s: %s", m->author, until, m->why);
        n.body = arena_fmt(
            t->arena,
            "Nothing is withheld yet. It is broad: %s. So it begins only when another person says "
            "yes: `cordon silences approve %s`; `cordon silences end %s --why TEXT` says no.",
            m->broad, id_format(m->id, id), id);
    } else {
        n.kind = "silence_begun";
        n.headline = "A silence has begun";
        n.follows = m->second != NULL;
        n.subject = arena_fmt(t->arena, "silence by %s until %s: %s", m->author, until, m->why);
        n.body = arena_fmt(
            t->arena,
            "Until then nobody is told of alerts that it matches. What acts on a machine, what is in "
            "doubt, questions and failures are told as ever. A message at its end lists what it "
            "withheld; `cordon silences end %s --why TEXT` ends it sooner.",
            id_format(m->id, id));
    }
    return tell(tx, t, m, &n, e);
}

static enum err_code tell_end(struct db_tx *tx, const struct mute_tale *t,
                              const struct mute_record *m, struct err *e)
{
    struct notice_system_fact *facts =
        arena_array(t->arena, (size_t)FACTS + TOLD_MAX, sizeof *facts);
    struct notice_system n = {.kind = "silence_ended",
                              .headline = "A silence has ended",
                              .follows = true,
                              .good = m->withheld == 0,
                              .facts = facts};
    char id[ID_TEXT_SIZE], case_id[ID_TEXT_SIZE];
    struct muted_case *cases;
    size_t n_cases = 0;
    enum err_code code = facts ? mute_cases(tx, t->arena, m->id, 0, TOLD_MAX, &cases, &n_cases, e)
                               : err_set(e, ERR_NOMEM, "notice");

    if (code)
        return code;
    n.n_facts = facts_of(m, t->arena, facts);
    for (size_t i = 0; i < n_cases; i++)
        facts[n.n_facts++] = (struct notice_system_fact){
            arena_fmt(t->arena, "Case %s", id_format(cases[i].case_id, case_id)), cases[i].what};
    for (size_t i = 0; i < n.n_facts; i++)
        if (!facts[i].name)
            return err_set(e, ERR_NOMEM, "notice");
    id_format(m->id, id);
    n.subject = arena_fmt(t->arena, "silence by %s ended: %" PRId64 " case%s withheld", m->author,
                          m->withheld, m->withheld == 1 ? "" : "s");
    n.body =
        !m->began ? arena_str(t->arena, "It never began: no second person said yes to it in time, "
                                        "and nothing was withheld.")
        : !m->withheld
            ? arena_str(t->arena, "Nothing was withheld: no alert came that it matches.")
            : arena_fmt(
                  t->arena,
                  "Nobody was told of %s while it held; a person should look over the list "
                  "now.%s `cordon silences show %s` has it, and `cordon cases show CASE` the whole "
                  "of a case.",
                  m->withheld == 1 ? "this case" : "these cases",
                  m->withheld > (int64_t)n_cases
                      ? arena_fmt(t->arena, " The newest %zu of %" PRId64 " are listed.", n_cases,
                                  m->withheld)
                      : "",
                  id);
    return tell(tx, t, m, &n, e);
}

bool mute_may_close(const struct mute_tale *t, const struct mute_record *m)
{
    return !m->withheld || mute_can_be_told(t->rt);
}

enum err_code mute_close(struct db_tx *tx, const struct mute_tale *t, struct mute_record *m,
                         const char *who, const char *why, struct err *e)
{
    enum err_code code;

    m->ended = t->now;
    m->ended_by = who;
    m->ended_why = why;
    code = mute_move(tx, m, MUTE_ENDED, e);
    if (!code)
        code = record(tx, m, who ? "end" : "ran out", who, why, t->now, e);
    return code ? code : tell_end(tx, t, m, e);
}

/* ---- its end ---------------------------------------------------------------------------------- */

struct look {
    struct mute_tale t;
    const struct work *w;
    struct mute_record m;
};

/* The clock was set back since it was put up, and all work was hurried: it lasts as long as was said, from now on, and not
 * until the clock has caught up. Set back since it began alone, its end is right as it is. */
static enum err_code mind_the_clock(struct db_tx *tx, struct mute_record *m, int64_t now,
                                    struct err *e)
{
    if (m->created <= now && m->began <= now)
        return ERR_OK;
    if (m->created > now) {
        m->ends -= m->created - now;
        m->created = now;
    }
    m->began = m->began < now ? m->began : now;
    return mute_date(tx, m, e);
}

static enum err_code look_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct look *l = arg;
    enum err_code code = mute_load(tx, l->t.arena, l->w->id, &l->m, e);

    if (code == ERR_NOT_FOUND || (!code && l->m.state == MUTE_ENDED))
        return work_done(tx, l->w, e);
    if (!code)
        code = mind_the_clock(tx, &l->m, l->t.now, e);
    if (code)
        return code;
    if (l->t.now < l->m.ends) /* hurried, after the clock was set back */
        return work_again(tx, l->w, l->m.ends, 0, e);
    if (!mute_may_close(&l->t, &l->m)) { /* it withholds nothing more meanwhile */
        log_event(LOG_WARN, "nobody_told", LOG_ID("silence", l->m.id),
                  LOG_INT("cases", l->m.withheld), LOG_STR("why", "mail.to is not set"));
        return work_again(tx, l->w, l->t.now + NO_MAIL_MS, 0, e);
    }
    code = mute_close(tx, &l->t, &l->m, NULL, NULL, e);
    return code ? code : work_done(tx, l->w, e);
}

void mute_run(struct engine *g, struct work *w)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct look l = {.t = {.g = g, .rt = rt, .arena = arena, .now = clock_wall_ms(g->clock)},
                     .w = w};
    struct err e;
    enum err_code code =
        arena ? db_write(g->store->db, look_fn, &l, &e) : err_set(&e, ERR_NOMEM, "silence");

    if (code) {
        log_event(code == ERR_STALE ? LOG_INFO : LOG_ERROR, "silence_not_written",
                  LOG_ID("silence", w->id), LOG_ERR(&e));
        engine_retry(g, w);
        return;
    }
    engine_kick(g);
}
