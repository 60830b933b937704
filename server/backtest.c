/* backtest.c - see backtest.h.
 *
 * What grows with the alerts is small: one node per machine and per different reason, one entry per isolation. An
 * alert itself is forgotten as soon as it is counted.
 */
#include "backtest.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cordon/handler.h>

#include "arena.h"
#include "brakes.h"
#include "clock.h"
#include "decide.h"
#include "json.h"
#include "store_cases.h"

#define ISOLATE "isolate"
/* Different reasons that are counted apart; the rest is one. Doubts quote what Defender sent. */
#define REASONS_MAX 1000

struct rule_count {
    const char *name; /* NULL: none matched */
    int64_t alerts, doubt;
    int64_t *done, *withheld, *asked; /* by handler, as handler_table stands */
};

/* A machine of a tenant; a node of a tree. */
struct seen_machine {
    const char *tenant, *id;
    bool isolated;
    struct group *group; /* once it was counted among its machines */
};

/* A device group of a tenant, and how many of its machines alerts were about. */
struct group {
    const char *tenant, *name;
    int64_t machines;
};

struct sighting {
    const struct seen_machine *machine;
    int64_t at;
};

/* A detector, and when it fired last on which machine; those that storms count no more may be gone. */
struct detector {
    const char *tenant, *name;
    struct sighting *seen;
    size_t n, room;
};

/* A reason of a certain machine: for counting machines by reason. */
struct reason {
    enum hold hold;
    bool asked; /* it does not withhold: a person is asked */
    const char *why;
    int64_t alerts, machines;
    void *of; /* tree of machine keys */
};

struct isolated {
    const char *tenant, *machine_id, *machine_name, *alert_id, *rule, *type;
    const struct group *group;
    int64_t at;
};

struct limit_count {
    int64_t most, hits, first, last;
};

struct day {
    int64_t alerts, requested, joined, withheld, asked, over_limit;
};

struct backtest {
    const struct policy *policy, *live;
    int64_t from, to;
    struct arena *arena;
    int64_t alerts, unreadable, machines;
    struct rule_count *rules; /* one more than there are: none matched */
    size_t n_rules, n_handlers;
    void *seen;      /* tree of machines */
    void *groups;    /* tree */
    void *detectors; /* tree */
    struct reason *reasons;
    size_t n_reasons;
    const struct policy_limit *limits;
    struct limit_count *limit_counts;
    size_t n_limits;
    struct isolated *isolated; /* in the order of their times */
    size_t n_isolated, room;
    int64_t joined, over_limit, asked, storms;
    struct day *days;
    size_t n_days;
};

static void leave(void *node)
{
    (void)node; /* lives in the arena */
}

enum err_code backtest_new(const struct policy *p, int64_t from_ms, int64_t to_ms,
                           struct backtest **ret, struct err *e)
{
    AUTO(backtest_freep) struct backtest *b = calloc(1, sizeof *b);
    const char *const *names;

    if (!b || !(b->arena = arena_new(0)))
        return err_set(e, ERR_NOMEM, "backtest");
    b->policy = p;
    b->live = policy_live(p, b->arena);
    b->from = from_ms;
    b->to = to_ms;
    names = policy_rule_names(p, b->arena);
    while (handler_table()[b->n_handlers])
        b->n_handlers++;
    while (names && names[b->n_rules])
        b->n_rules++;
    b->rules = arena_array(b->arena, b->n_rules + 1, sizeof *b->rules);
    for (size_t i = 0; b->rules && i <= b->n_rules; i++) {
        b->rules[i].name = names ? names[i] : NULL;
        b->rules[i].done = arena_array(b->arena, b->n_handlers + 1, sizeof(int64_t));
        b->rules[i].withheld = arena_array(b->arena, b->n_handlers + 1, sizeof(int64_t));
        b->rules[i].asked = arena_array(b->arena, b->n_handlers + 1, sizeof(int64_t));
        if (!b->rules[i].done || !b->rules[i].withheld || !b->rules[i].asked)
            return err_set(e, ERR_NOMEM, "backtest");
    }
    b->reasons = arena_array(b->arena, REASONS_MAX + 1, sizeof *b->reasons);
    b->limits = policy_limits(p, &b->n_limits);
    b->limit_counts = arena_array(b->arena, b->n_limits + 1, sizeof *b->limit_counts);
    b->n_days = (size_t)((to_ms - from_ms) / DAY_MS) + 1;
    b->days = arena_array(b->arena, b->n_days, sizeof *b->days);
    if (!b->live || !names || !b->rules || !b->reasons || !b->limit_counts || !b->days)
        return err_set(e, ERR_NOMEM, "backtest");
    *ret = b;
    b = NULL;
    return ERR_OK;
}

/* Its list alone is on the heap. */
static void forget_detector(void *node)
{
    free(((struct detector *)node)->seen);
}

void backtest_free(struct backtest *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->n_reasons; i++)
        tdestroy(b->reasons[i].of, leave);
    tdestroy(b->seen, leave);
    tdestroy(b->groups, leave);
    tdestroy(b->detectors, forget_detector);
    free(b->isolated);
    arena_free(b->arena);
    free(b);
}

/* ---- machines ----------------------------------------------------------------------------------- */

static int by_machine(const void *a, const void *b)
{
    const struct seen_machine *x = a, *y = b;
    int order = strcmp(x->tenant, y->tenant);

    return order ? order : strcasecmp(x->id, y->id);
}

static int by_address(const void *a, const void *b)
{
    return a < b ? -1 : a > b;
}

/* The machine of an alert; NULL: it names none. *nomem when memory ran out. */
static struct seen_machine *machine_of(struct backtest *b, const struct facts *f, bool *nomem)
{
    const char *id = json_get_string(f->alert, "machineId");
    struct seen_machine key = {.tenant = f->tenant, .id = id}, *m, **found;

    if (!id || !*id)
        return NULL;
    found = tfind(&key, &b->seen, by_machine);
    if (found)
        return *found;
    m = arena_alloc(b->arena, sizeof *m);
    if (m) {
        m->tenant = arena_str(b->arena, f->tenant);
        m->id = arena_str(b->arena, id);
    }
    if (!m || !m->tenant || !m->id || !tsearch(m, &b->seen, by_machine)) {
        *nomem = true;
        return NULL;
    }
    b->machines++;
    return m;
}

/* ---- reasons ------------------------------------------------------------------------------------ */

/* What names a machine in its own words is one reason, told by its kind. */
static const char *kind_of(const struct verdict_step *s)
{
    return s->asks                   ? s->asks
           : s->hold == HOLD_MACHINE ? "there is no such machine, or it is not certain which"
                                     : s->withheld;
}

static struct reason *reason_of(struct backtest *b, const struct verdict_step *s)
{
    const char *why = kind_of(s);
    struct reason *r;

    for (size_t i = 0; i < b->n_reasons; i++)
        if (b->reasons[i].hold == s->hold && b->reasons[i].asked == (s->asks != NULL) &&
            strcmp(b->reasons[i].why, why) == 0)
            return &b->reasons[i];
    if (b->n_reasons >= REASONS_MAX) {
        r = &b->reasons[REASONS_MAX];
        b->n_reasons = REASONS_MAX + 1;
        r->why = "other reasons";
        return r;
    }
    r = &b->reasons[b->n_reasons];
    r->hold = s->hold;
    r->asked = s->asks != NULL;
    r->why = arena_str(b->arena, why);
    if (!r->why)
        return NULL;
    b->n_reasons++;
    return r;
}

static bool count_reason(struct backtest *b, const struct verdict_step *s, struct seen_machine *m)
{
    struct reason *r = reason_of(b, s);
    void *found;

    if (!r)
        return false;
    r->alerts++;
    if (!m || tfind(m, &r->of, by_address))
        return true;
    found = tsearch(m, &r->of, by_address);
    r->machines += found != NULL;
    return found != NULL;
}

/* ---- isolations and limits ----------------------------------------------------------------------- */

/* What an isolation is counted by. */
struct counting {
    const struct facts *f;
    const char *rule;
    struct seen_machine *m;
    const struct group *group;
};

static bool is_counted(const struct isolated *x, const struct counting *c, int of)
{
    switch (of) {
    case POLICY_TENANT:
        return strcmp(x->tenant, c->m->tenant) == 0;
    case POLICY_RULE:
        return strcmp(x->rule, c->rule) == 0;
    case POLICY_GROUP:
        return x->group == c->group;
    default:
        return true;
    }
}

/* How many of those that a limit counts with this one were asked for within its time. They stand in the order of
 * their times. */
static int64_t count_since(const struct backtest *b, const struct counting *c,
                           const struct policy_limit *l)
{
    int64_t since = c->f->read_ms - l->per_ms, count = 0;
    size_t low = 0, high = b->n_isolated;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (b->isolated[middle].at >= since)
            high = middle;
        else
            low = middle + 1;
    }
    if (l->of == POLICY_ALL)
        return (int64_t)(b->n_isolated - low);
    for (; low < b->n_isolated; low++)
        count += is_counted(&b->isolated[low], c, l->of);
    return count;
}

static int by_group(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    int order = strcmp(x->tenant, y->tenant);

    return order ? order : strcmp(x->name, y->name);
}

/* The machine's device group, the machine counted among it; NULL: out of memory. Each alert that names a machine
 * which Defender knows is asked for it, as expand.c notes each, whatever becomes of it. */
static struct group *group_of(struct backtest *b, const struct facts *f, struct seen_machine *m)
{
    struct group key = {.tenant = m->tenant, .name = facts_group_of(f->machine)}, *g, **found;

    if (m->group)
        return m->group;
    found = tfind(&key, &b->groups, by_group);
    g = found ? *found : arena_alloc(b->arena, sizeof *g);
    if (!found && g) {
        *g = (struct group){.tenant = m->tenant, .name = arena_str(b->arena, key.name)};
        if (!g->name || !tsearch(g, &b->groups, by_group))
            return NULL;
    }
    if (g) {
        m->group = g;
        g->machines++;
    }
    return g;
}

/* How many a limit allows here, as brakes.c has it. */
static int64_t allowed(const struct policy_limit *l, const struct group *g)
{
    int64_t n = l->percent ? g->machines * l->percent / 100 : l->isolations;

    return n < 1 ? 1 : n;
}

/* Is there room? The first limit that says no is the one that is told, as brakes.c tells it. */
static bool has_room(struct backtest *b, const struct counting *c)
{
    for (size_t i = 0; i < b->n_limits; i++) {
        struct limit_count *l = &b->limit_counts[i];

        if (count_since(b, c, &b->limits[i]) < allowed(&b->limits[i], c->group))
            continue;
        if (!l->hits++)
            l->first = c->f->read_ms;
        l->last = c->f->read_ms;
        return false;
    }
    return true;
}

static int by_detector(const void *a, const void *b)
{
    const struct detector *x = a, *y = b;
    int order = strcmp(x->tenant, y->tenant);

    return order ? order : strcmp(x->name, y->name);
}

static struct detector *find_detector(struct backtest *b, const struct counting *c)
{
    struct detector key = {.tenant = c->m->tenant, .name = brakes_detector(c->f->alert, b->arena)};
    struct detector *d, **found;

    if (!key.name)
        return NULL;
    found = tfind(&key, &b->detectors, by_detector);
    if (found)
        return *found;
    d = arena_alloc(b->arena, sizeof *d);
    if (d)
        *d = key;
    return d && tsearch(d, &b->detectors, by_detector) ? d : NULL;
}

/* Notes the machine; *ret_storm: the detector has fired on too many. false: out of memory. */
static bool check_storm(struct backtest *b, const struct counting *c, bool *ret_storm)
{
    const struct policy_storm *storm = policy_storm(b->policy);
    struct detector *d = storm->machines ? find_detector(b, c) : NULL;
    size_t kept = 0;

    *ret_storm = false;
    if (!storm->machines)
        return true;
    if (!d)
        return false;
    for (size_t i = 0; i < d->n; i++)
        if (d->seen[i].machine != c->m && d->seen[i].at >= c->f->read_ms - storm->within_ms)
            d->seen[kept++] = d->seen[i];
    d->n = kept;
    if (d->n == d->room) {
        size_t room = d->room ? d->room * 2 : 16;
        struct sighting *seen = reallocarray(d->seen, room, sizeof *seen);

        if (!seen)
            return false;
        d->seen = seen;
        d->room = room;
    }
    d->seen[d->n++] = (struct sighting){.machine = c->m, .at = c->f->read_ms};
    *ret_storm = (int64_t)d->n > storm->machines;
    return true;
}

static bool request(struct backtest *b, const struct counting *c, const struct verdict_step *s)
{
    const struct facts *f = c->f;
    struct seen_machine *m = c->m;
    AUTO(json_freep) struct json *args = NULL;
    const char *name = json_get_string(f->machine, "computerDnsName"), *type = NULL;
    struct isolated *i;

    if (b->n_isolated == b->room) {
        size_t room = b->room ? b->room * 2 : 64;

        i = reallocarray(b->isolated, room, sizeof *i);
        if (!i)
            return false;
        b->isolated = i;
        b->room = room;
    }
    if (json_parse(s->args, strlen(s->args), &args, NULL) == ERR_OK)
        type = json_get_string(args, "type");
    i = &b->isolated[b->n_isolated];
    *i = (struct isolated){.tenant = m->tenant,
                           .machine_id = m->id,
                           .machine_name = name ? arena_str(b->arena, name) : NULL,
                           .alert_id = arena_str(b->arena, f->alert_id),
                           .rule = arena_str(b->arena, c->rule),
                           .group = c->group,
                           .type = type ? arena_str(b->arena, type) : NULL,
                           .at = f->read_ms};
    if (!i->alert_id || !i->rule)
        return false;
    b->n_isolated++;
    m->isolated = true;
    for (size_t k = 0; k < b->n_limits; k++) {
        int64_t now = count_since(b, c, &b->limits[k]);

        if (now > b->limit_counts[k].most)
            b->limit_counts[k].most = now;
    }
    return true;
}

/* ---- one alert ---------------------------------------------------------------------------------- */

static size_t handler_index(const char *name)
{
    size_t i = 0;

    while (strcmp(handler_table()[i]->name, name) != 0)
        i++;
    return i;
}

/* What becomes of an isolation that nothing withholds. *ret_held: it waits for a person's yes, and what acts behind it does,
 * too. false: out of memory. */
static bool isolate(struct backtest *b, const struct facts *f, const struct verdict *v,
                    const struct verdict_step *s, struct seen_machine *m, struct day *day,
                    int64_t *done, bool *ret_held)
{
    struct counting c = {.f = f, .rule = v->rule, .m = m};
    bool storm = false;

    if (m->isolated) {
        b->joined++;
        day->joined++;
        ++*done;
        return true;
    }
    c.group = m->group;
    if (!check_storm(b, &c, &storm))
        return false;
    *ret_held = storm || !has_room(b, &c);
    if (storm) {
        b->storms++;
    } else if (*ret_held) {
        b->over_limit++;
        day->over_limit++;
    } else if (!request(b, &c, s)) {
        return false;
    } else {
        day->requested++;
        ++*done;
    }
    return true;
}

/* What each step comes to, where each that is begun is done: a step may hang on what one before it came to (act.c).
 * NULL: out of memory. */
static const enum step_state *come_to(const struct verdict *v, struct arena *a)
{
    enum step_state *states = arena_array(a, v->n_steps + 1, sizeof *states);

    for (size_t i = 0; states && i < v->n_steps; i++) {
        AUTO(json_freep) struct json *args = NULL;
        const struct json *wanted;
        const char *word;

        states[i] = v->steps[i].withheld ? STEP_WITHHELD : STEP_DONE;
        if (states[i] == STEP_WITHHELD ||
            json_parse(v->steps[i].args, strlen(v->steps[i].args), &args, NULL))
            continue;
        wanted = json_first(json_get(args, "if"));
        word = json_string(wanted);
        if (word && strcmp(word, "isolated") == 0)
            word = step_state_name(STEP_DONE);
        for (size_t k = 0; word && k < i; k++)
            if (strcmp(v->steps[k].handler, json_name(wanted)) == 0 &&
                strcmp(step_state_name(states[k]), word) != 0)
                states[i] = STEP_SKIPPED;
    }
    return states;
}

static bool count(struct backtest *b, const struct facts *f, const struct verdict *v,
                  struct arena *a)
{
    const enum step_state *states = come_to(v, a);
    struct rule_count *r = &b->rules[b->n_rules];
    int64_t n = (f->read_ms - b->from) / DAY_MS;
    struct day *day = &b->days[n < 0 ? 0 : (size_t)n < b->n_days ? (size_t)n : b->n_days - 1];
    bool nomem = false, good = true, held = false;
    struct seen_machine *m = machine_of(b, f, &nomem);

    if (!states || (m && f->machine && !group_of(b, f, m)))
        return false;
    for (size_t i = 0; v->rule && i < b->n_rules; i++)
        if (strcmp(b->rules[i].name, v->rule) == 0)
            r = &b->rules[i];
    b->alerts++;
    day->alerts++;
    r->alerts++;
    r->doubt += v->doubt != NULL;
    for (size_t i = 0; i < v->n_steps && good && !nomem; i++) {
        const struct verdict_step *s = &v->steps[i];
        size_t h = handler_index(s->handler);

        if (states[i] == STEP_SKIPPED || (held && s->acts))
            continue;
        if (s->withheld) {
            r->withheld[h]++;
            day->withheld += strcmp(s->handler, ISOLATE) == 0;
            good = count_reason(b, s, m);
        } else if (s->asks) {
            r->asked[h]++;
            day->asked += strcmp(s->handler, ISOLATE) == 0;
            b->asked += strcmp(s->handler, ISOLATE) == 0;
            good = count_reason(b, s, m);
        } else if (strcmp(s->handler, ISOLATE) == 0 && m) {
            good = isolate(b, f, v, s, m, day, &r->done[h], &held);
        } else {
            r->done[h]++;
        }
    }
    return good && !nomem;
}

enum err_code backtest_add(struct backtest *b, const struct facts *f, struct err *e)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct verdict v;
    enum err_code code =
        a ? decide(b->live, f, f->read_ms, a, &v, e) : err_set(e, ERR_NOMEM, "backtest");

    if (!code && !count(b, f, &v, a))
        code = err_set(e, ERR_NOMEM, "backtest");
    return code;
}

void backtest_skip(struct backtest *b)
{
    b->unreadable++;
}

/* ---- the outcome -------------------------------------------------------------------------------- */

static void write_rules(const struct backtest *b, struct json_out *o)
{
    json_out_array(o, "rules");
    for (size_t i = 0; i <= b->n_rules; i++) {
        const struct rule_count *r = &b->rules[i];

        if (!r->name && !r->alerts)
            continue;
        json_out_object(o, NULL);
        json_out_string(o, "rule", r->name);
        json_out_int(o, "alerts", r->alerts);
        json_out_int(o, "doubt", r->doubt);
        json_out_object_end(o);
    }
    json_out_array_end(o);
    json_out_array(o, "steps");
    for (size_t i = 0; i <= b->n_rules; i++)
        for (size_t h = 0; h < b->n_handlers; h++) {
            const struct rule_count *r = &b->rules[i];

            if (!r->done[h] && !r->withheld[h] && !r->asked[h])
                continue;
            json_out_object(o, NULL);
            json_out_string(o, "rule", r->name);
            json_out_string(o, "step", handler_table()[h]->name);
            json_out_int(o, "done", r->done[h]);
            json_out_int(o, "withheld", r->withheld[h]);
            json_out_int(o, "asked", r->asked[h]);
            json_out_object_end(o);
        }
    json_out_array_end(o);
}

static int by_alerts(const void *a, const void *b)
{
    const struct reason *const *x = a, *const *y = b;

    return (*x)->alerts < (*y)->alerts ? 1 : (*x)->alerts > (*y)->alerts ? -1 : 0;
}

/* The most frequent first; of what withholds, or of what a person is asked about. */
static void write_reasons(const struct backtest *b, struct json_out *o, const char *name,
                          bool asked)
{
    const struct reason **sorted = arena_array(b->arena, b->n_reasons + 1, sizeof *sorted);

    json_out_array(o, name);
    for (size_t i = 0; sorted && i < b->n_reasons; i++)
        sorted[i] = &b->reasons[i];
    if (sorted)
        qsort(sorted, b->n_reasons, sizeof *sorted, by_alerts);
    for (size_t i = 0; i < b->n_reasons; i++) {
        const struct reason *r = sorted ? sorted[i] : &b->reasons[i];

        if (r->asked != asked)
            continue;
        json_out_object(o, NULL);
        if (!asked)
            json_out_string(o, "by", hold_name(r->hold));
        json_out_string(o, "why", r->why);
        json_out_int(o, "alerts", r->alerts);
        json_out_int(o, "machines", r->machines);
        json_out_object_end(o);
    }
    json_out_array_end(o);
}

static void write_limits(const struct backtest *b, struct json_out *o)
{
    json_out_array(o, "limits");
    for (size_t i = 0; i < b->n_limits; i++) {
        const struct limit_count *l = &b->limit_counts[i];

        json_out_object(o, NULL);
        if (b->limits[i].percent)
            json_out_int(o, "percent", b->limits[i].percent);
        else
            json_out_int(o, "isolations", b->limits[i].isolations);
        json_out_string(o, "of", policy_scope_name(b->limits[i].of));
        json_out_int(o, "per_ms", b->limits[i].per_ms);
        json_out_int(o, "most", l->most);
        json_out_int(o, "hits", l->hits);
        json_out_time(o, "first", l->first);
        json_out_time(o, "last", l->last);
        json_out_object_end(o);
    }
    json_out_array_end(o);
}

static void write_days(const struct backtest *b, struct json_out *o)
{
    json_out_array(o, "days");
    for (size_t i = 0; i < b->n_days; i++) {
        const struct day *d = &b->days[i];

        if (i + 1 == b->n_days && !d->alerts) /* the end falls on a day's end */
            continue;
        json_out_object(o, NULL);
        json_out_time(o, "day", b->from + (int64_t)i * DAY_MS);
        json_out_int(o, "alerts", d->alerts);
        json_out_int(o, "requested", d->requested);
        json_out_int(o, "joined", d->joined);
        json_out_int(o, "withheld", d->withheld);
        json_out_int(o, "asked", d->asked);
        json_out_int(o, "over_limit", d->over_limit);
        json_out_object_end(o);
    }
    json_out_array_end(o);
}

static void write_isolated(const struct backtest *b, struct json_out *o)
{
    json_out_array(o, "isolated");
    for (size_t i = 0; i < b->n_isolated; i++) {
        const struct isolated *x = &b->isolated[i];

        json_out_object(o, NULL);
        json_out_string(o, "tenant", x->tenant);
        json_out_string(o, "machine_id", x->machine_id);
        json_out_string(o, "machine_name", x->machine_name);
        json_out_string(o, "alert_id", x->alert_id);
        json_out_string(o, "rule", x->rule);
        json_out_string(o, "type", x->type);
        json_out_time(o, "at", x->at);
        json_out_object_end(o);
    }
    json_out_array_end(o);
}

void backtest_write(const struct backtest *b, struct buf *out)
{
    struct json_out o = JSON_OUT(out);

    json_out_object(&o, NULL);
    json_out_string(&o, "policy", policy_hash(b->policy));
    json_out_time(&o, "from", b->from);
    json_out_time(&o, "to", b->to);
    json_out_int(&o, "alerts", b->alerts);
    json_out_int(&o, "unreadable", b->unreadable);
    json_out_int(&o, "machines", b->machines);
    write_rules(b, &o);
    write_reasons(b, &o, "withheld", false);
    write_reasons(b, &o, "asked", true);
    json_out_object(&o, "isolations");
    json_out_int(&o, "requested", (int64_t)b->n_isolated);
    json_out_int(&o, "joined", b->joined);
    json_out_int(&o, "over_limit", b->over_limit);
    json_out_int(&o, "asked", b->asked);
    json_out_int(&o, "storm", b->storms);
    json_out_object_end(&o);
    write_limits(b, &o);
    write_days(b, &o);
    write_isolated(b, &o);
    json_out_object_end(&o);
}
