/* defender_list.c - many at once, page by page. See defender_own.h. */
#include "defender_own.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PAGES_MAX 50
/* Of a list of so many elements some pages may be empty, but not more. A look is for one machine, and is tried again: pages that
 * lead in a circle must not use up the calls that others wait for. */
#define PAGES_EMPTY 5

/* ---- a list ---------------------------------------------------------------------------------- */

/* One element of an answer; NULL, or what is wrong with it. */
typedef const char *(*element_fn)(void *ctx, const struct json *element);

/* "?$filter=property in ('…','…')more". Ids hold nothing that a URL would need encoded: defender_is_id. */
static bool in_query(struct buf *out, const char *property, const char *const ids[], size_t n,
                     const char *more)
{
    buf_addf(out, "?$filter=%s%%20in%%20(", property);
    for (size_t i = 0; i < n; i++)
        buf_addf(out, "%s'%s'", i ? "," : "", ids[i]);
    buf_addf(out, ")%s", more);
    return !buf_failed(out);
}

/* Blanks and what is not ASCII may stand in a link as they are: a request holds them encoded. */
static bool add_encoded(struct buf *out, const char *query)
{
    for (const char *p = query; *p; p++) {
        if ((*p > 0 && *p < ' ') || *p == 0x7f || *p == '#')
            return false;
        if (*p == ' ' || (unsigned char)*p >= 0x80)
            buf_addf(out, "%%%02X", (unsigned char)*p);
        else
            buf_addc(out, *p);
    }
    return !buf_failed(out);
}

/* The path in a link; one without a host is of the same. NULL: none. */
static const char *path_in(const char *link)
{
    const char *host = link ? strstr(link, "://") : NULL;

    if (link && link[0] == '/' && link[1] != '/')
        return link;
    return host ? strchr(host + 3, '/') : NULL;
}

/* Where the rest of a list is, out of an @odata.nextLink. Its host is a regional one (section 1.1), which gets no
 * token of ours: path and query are asked for where the first page was. false: no link to follow. */
static bool next_page(const char *link, struct exchange *x, struct buf *query)
{
    AUTO(buf_clear) struct buf next = BUF_INIT(query->limit);
    const char *path = path_in(link);
    size_t len = path ? strcspn(path, "?") : 0;

    if (!path || len >= sizeof x->path || strncasecmp(path, "/api/", 5) != 0 || !path[len])
        return false;
    for (size_t i = 0; i < len; i++)
        if (path[i] <= ' ' || path[i] == 0x7f || path[i] == '#')
            return false;
    if (!add_encoded(&next, path + len))
        return false;
    if (strlen(x->path) == len && memcmp(x->path, path, len) == 0 &&
        strcmp(buf_text(query), buf_text(&next)) == 0) /* this page again, and again */
        return false;
    (void)snprintf(x->path, sizeof x->path, "%.*s", (int)len, path);
    buf_reset(query);
    buf_adds(query, buf_text(&next));
    return !buf_failed(query);
}

/* Takes the elements of a page that came. ERR_OK and *ret_more: there is another, which x is made ready for. */
static enum err_code take_page(struct exchange *x, struct buf *query, element_fn fn, void *ctx,
                               bool *ret_more)
{
    AUTO(json_freep) struct json *doc = exchange_parse(x);
    const struct json *list, *link;

    *ret_more = false;
    if (!doc)
        return x->code;
    list = json_get(doc, "value");
    if (json_type(list) != JSON_ARRAY) {
        exchange_spoil(x, "it holds no list");
        return x->code;
    }
    JSON_EACH (v, list) {
        const char *bad = fn(ctx, v);

        x->taken++;
        if (bad) {
            exchange_spoil(x, bad);
            return x->code;
        }
    }
    link = json_get(doc, "@odata.nextLink");
    if ((!x->most || x->taken < x->most) && json_type(link) != JSON_ABSENT &&
        json_type(link) != JSON_NULL && !(*ret_more = next_page(json_string(link), x, query)))
        exchange_spoil(x, "the link to its next page cannot be followed");
    rest_answer_clear(&x->answer);
    return x->code;
}

/* Asks for the page that x is ready for, and for those that come after it. */
static void read_pages(struct defender *d, struct exchange *x, struct buf *query, element_fn fn,
                       void *ctx)
{
    size_t max = x->most && x->most + PAGES_EMPTY < PAGES_MAX ? x->most + PAGES_EMPTY : PAGES_MAX;
    bool more = true;

    for (size_t page = 0; more && !x->code; page++) {
        if (page == max) {
            exchange_spoil(x, "its pages do not end");
            return;
        }
        x->query = buf_text(query);
        exchange_run(d, &x, 1);
        (void)take_page(x, query, fn, ctx, &more);
    }
}

void defender_mind_stranger(struct exchange *x)
{
    if (x->code == ERR_NOT_FOUND && !x->named)
        exchange_spoil(x, "not in Defender's words: is api_url right?");
}

/* most: elements that the query asks for (0: all). When they are there a link to the rest is not followed, which
 * answers with more rows may have (section 2.2). */
static enum err_code read_list(struct defender *d, const char *path, struct buf *query, bool to_act,
                               size_t most, element_fn fn, void *ctx, struct err *e)
{
    AUTO(exchange_clear) struct exchange x;

    exchange_init(&x, DEFENDER_CLASS_READ, "GET", path, NULL, "");
    x.list = true;
    x.to_act = to_act;
    x.most = most;
    if (buf_failed(query))
        x.code = err_set(&x.err, ERR_TOO_BIG, "GET %s: too many ids", path);
    read_pages(d, &x, query, fn, ctx);
    defender_mind_stranger(&x);
    if (x.code && e)
        *e = x.err;
    return x.code;
}

/* ---- the actions of one machine ---------------------------------------------------------------- */

struct of_one {
    const char *machine_id;
    struct defender_reads *look;
};

static const char *take_action(void *ctx, const struct json *v)
{
    const struct of_one *o = ctx;
    struct defender_action a;
    const char *bad = defender_read_action(v, o->machine_id, &a);

    return bad ? bad : defender_insert_action(o->look, &a);
}

void defender_take_actions(struct defender *d, struct exchange *x, struct buf *query,
                           const char *machine_id, struct defender_reads *r)
{
    struct of_one o = {machine_id, r};
    bool more = false;

    x->most = DEFENDER_ACTIONS_MAX;
    (void)take_page(x, query, take_action, &o, &more);
    if (more)
        read_pages(d, x, query, take_action, &o);
    if (x->code)
        r->n_actions = 0;
}

/* ---- many by their ids ------------------------------------------------------------------------- */

/* What is asked for by ids, and where what comes goes to. */
struct wanted {
    const char *const *ids;
    size_t n;
    enum defender_list of; /* whose ids they are; an action's are like a machine's */
    struct json **docs;
    struct defender_reads *const *looks;
    struct defender_action *actions;
    const char *const *machine_ids; /* of the actions */
    bool *listed;
};

/* Index of id among those wanted, or n. */
static size_t wanted_at(const struct wanted *w, const char *id)
{
    size_t i = 0;

    while (id && i < w->n && !defender_is_same(w->of, w->ids[i], id))
        i++;
    return id ? i : w->n;
}

static const char *take_doc(void *ctx, const struct json *v)
{
    struct wanted *w = ctx;
    size_t i = wanted_at(w, json_get_string(v, "id"));

    /* What nobody asked for says nothing of those that are asked for. What does not fit is read alone, and said so
     * then. */
    if (i == w->n || w->docs[i] || defender_misfit(w->of, v))
        return NULL;
    w->docs[i] = json_copy(v);
    return w->docs[i] ? NULL : "there is no memory for it";
}

static enum err_code check_ids(const char *const ids[], size_t n, bool machines, struct err *e)
{
    assert(n <= DEFENDER_MANY_MAX);
    for (size_t i = 0; i < n; i++)
        if (machines ? !defender_is_machine_id(ids[i]) : !defender_is_id(ids[i], 128))
            return err_set(e, ERR_INVALID, "not an id: '%.40s'", ids[i]);
    return ERR_OK;
}

static enum err_code list_docs(struct defender *d, const char *path, const char *more,
                               struct wanted *w, int64_t *ret_read_ms, struct err *e)
{
    AUTO(buf_clear) struct buf query = BUF_INIT(1 << 16);
    int64_t now = clock_wall_ms(d->o.clock);
    enum err_code code;

    memset(w->docs, 0, w->n * sizeof *w->docs);
    (void)in_query(&query, "id", w->ids, w->n, more);
    code = read_list(d, path, &query, false, 0, take_doc, w, e);
    if (code == ERR_NOT_FOUND) /* none of them: trap 38 */
        code = ERR_OK;
    if (!code)
        *ret_read_ms = now;
    for (size_t i = 0; code && i < w->n; i++) {
        json_free(w->docs[i]);
        w->docs[i] = NULL;
    }
    return code;
}

/* One that cannot be read might be the open isolation of its machine, and says nothing of the others. */
static const char *take_look(void *ctx, const struct json *v)
{
    struct wanted *w = ctx;
    struct defender_action a;
    const char *bad = defender_read_action(v, NULL, &a);
    size_t i = wanted_at(w, json_get_string(v, "machineId"));
    struct defender_reads *look;

    if (i == w->n)
        return bad ? bad : "an action is another machine's";
    look = w->looks[i];
    if (!bad)
        bad = defender_insert_action(look, &a);
    if (bad)
        look->actions_code =
            err_set(&look->actions_err, ERR_AGAIN, "GET /api/machineactions: %s", bad);
    return NULL;
}

static const char *take_listed(void *ctx, const struct json *v)
{
    struct wanted *w = ctx;
    struct defender_action a;
    const char *bad = defender_read_action(v, NULL, &a);
    size_t i;

    if (bad) /* read alone, and said so then */
        return NULL;
    i = wanted_at(w, a.id);
    if (i == w->n)
        return "it holds something that nobody asked for";
    w->actions[i] = a;
    w->listed[i] =
        a.type == DEFENDER_ISOLATE && defender_is_same(w->of, a.machine_id, w->machine_ids[i]);
    return NULL;
}

/* ---- the public side ------------------------------------------------------------------------- */

enum err_code defender_list_alerts(struct defender *d, const char *const ids[], size_t n,
                                   struct json *docs[], int64_t *ret_read_ms, struct err *e)
{
    struct wanted w = {.ids = ids, .n = n, .of = DEFENDER_ALERTS, .docs = docs};
    enum err_code code = check_ids(ids, n, false, e);

    return code ? code : list_docs(d, "/api/alerts", "&$expand=evidence", &w, ret_read_ms, e);
}

enum err_code defender_list_machines(struct defender *d, const char *const ids[], size_t n,
                                     struct json *docs[], int64_t *ret_read_ms, struct err *e)
{
    struct wanted w = {.ids = ids, .n = n, .of = DEFENDER_MACHINES, .docs = docs};
    enum err_code code = check_ids(ids, n, true, e);

    return code ? code : list_docs(d, "/api/machines", "", &w, ret_read_ms, e);
}

enum err_code defender_look(struct defender *d, const char *const ids[], size_t n,
                            struct defender_reads *const looks[], struct err *e)
{
    AUTO(buf_clear) struct buf query = BUF_INIT(1 << 16);
    struct wanted w = {.ids = ids, .n = n, .of = DEFENDER_MACHINES, .looks = looks};
    enum err_code code = check_ids(ids, n, true, e);
    int64_t now = clock_wall_ms(d->o.clock);

    for (size_t i = 0; i < n; i++) {
        looks[i]->n_actions = 0;
        looks[i]->actions_code = ERR_OK;
    }
    if (!code) {
        (void)in_query(&query, "machineId", ids, n,
                       "%20and%20(type%20eq%20'Isolate'%20or%20type%20eq%20'Unisolate')");
        code = read_list(d, "/api/machineactions", &query, true, 0, take_look, &w, e);
    }
    for (size_t i = 0; i < n; i++) {
        if (code || looks[i]->actions_code)
            looks[i]->n_actions = 0;
        looks[i]->read_ms = now;
    }
    return code;
}

enum err_code defender_list_isolations(struct defender *d, const char *const ids[],
                                       const char *const machine_ids[], size_t n,
                                       struct defender_action ret[], bool listed[], struct err *e)
{
    AUTO(buf_clear) struct buf query = BUF_INIT(1 << 16);
    struct wanted w = {.ids = ids,
                       .n = n,
                       .of = DEFENDER_MACHINES,
                       .actions = ret,
                       .machine_ids = machine_ids,
                       .listed = listed};
    enum err_code code = check_ids(ids, n, false, e);

    memset(listed, 0, n * sizeof *listed);
    if (code)
        return code;
    (void)in_query(&query, "id", ids, n, "");
    return read_list(d, "/api/machineactions", &query, false, 0, take_listed, &w, e);
}

struct changes {
    struct defender_change *out;
    size_t max, count, listed;
};

/* 0: there is none, or it is one of the year 1, as .NET writes that there is none. */
static int64_t time_of(const struct json *v, const char *name)
{
    const char *text = json_get_string(v, name);
    int64_t ms = 0;

    return text && !clock_parse(text, &ms, NULL) && ms > 0 ? ms : 0;
}

static const char *take_change(void *ctx, const struct json *v)
{
    struct changes *c = ctx;
    struct defender_change *to = &c->out[c->count];
    const char *id = json_get_string(v, "id"), *machine = json_get_string(v, "machineId");
    const char *severity = json_get_string(v, "severity");

    if (++c->listed > c->max)
        return "it holds more than was asked for";
    if (!defender_is_id(id, 128)) /* it could not be read */
        return NULL;
    *to = (struct defender_change){.created_ms = time_of(v, "alertCreationTime"),
                                   .updated_ms = time_of(v, "lastUpdateTime")};
    to->high = severity && strcasecmp(severity, "High") == 0; /* trap 5 */
    defender_copy_plain(to->id, sizeof to->id, id);
    if (defender_is_machine_id(machine))
        defender_copy_plain(to->machine_id, sizeof to->machine_id, machine);
    for (char *p = to->machine_id; *p; p++)
        *p = *p >= 'A' && *p <= 'F' ? (char)(*p - 'A' + 'a') : *p;
    c->count++;
    return NULL;
}

enum err_code defender_changed_alerts(struct defender *d, int64_t since, size_t skip,
                                      struct defender_change ret[], size_t max, size_t *ret_count,
                                      size_t *ret_listed, struct err *e)
{
    AUTO(buf_clear) struct buf query = BUF_INIT(1 << 16);
    struct changes c = {.out = ret, .max = max};
    char from[CLOCK_TEXT_SIZE];
    enum err_code code;

    (void)clock_format(since, from);
    buf_addf(&query,
             "?$filter=lastUpdateTime%%20ge%%20%s%%20or%%20alertCreationTime%%20ge%%20%s"
             "&$orderby=lastUpdateTime&$top=%zu&$skip=%zu",
             from, from, max, skip);
    code = read_list(d, "/api/alerts", &query, false, max, take_change, &c, e);
    if (code == ERR_NOT_FOUND) /* as lists of machines have it: trap 38 */
        code = ERR_OK;
    *ret_count = code ? 0 : c.count;
    *ret_listed = code ? 0 : c.listed;
    return code;
}

struct recent {
    struct defender_action *out;
    size_t max, count, listed;
};

static const char *take_recent(void *ctx, const struct json *v)
{
    struct recent *r = ctx;
    struct defender_action *to = &r->out[r->count];
    const char *machine = json_get_string(v, "machineId");

    if (++r->listed > r->max)
        return "it holds more than was asked for";
    if (!defender_is_machine_id(machine))
        return NULL;
    if (defender_read_action(v, NULL, to)) {
        memset(to, 0, sizeof *to);
        defender_copy_plain(to->machine_id, sizeof to->machine_id, machine);
    }
    r->count++;
    return NULL;
}

/* By the time of creation, the only one that its filter is documented to take (section 2.4). */
enum err_code defender_recent_actions(struct defender *d, int64_t since, size_t skip,
                                      struct defender_action ret[], size_t max, size_t *ret_count,
                                      size_t *ret_listed, struct err *e)
{
    AUTO(buf_clear) struct buf query = BUF_INIT(1 << 16);
    struct recent r = {.out = ret, .max = max};
    char from[CLOCK_TEXT_SIZE];
    enum err_code code;

    buf_addf(&query,
             "?$filter=creationDateTimeUtc%%20ge%%20%s%%20and%%20(type%%20eq%%20'Isolate'%%20or%%20"
             "type%%20eq%%20'Unisolate')&$orderby=creationDateTimeUtc&$top=%zu&$skip=%zu",
             clock_format(since, from), max, skip);
    code = read_list(d, "/api/machineactions", &query, false, max, take_recent, &r, e);
    if (code == ERR_NOT_FOUND) /* as lists of machines have it: trap 38 */
        code = ERR_OK;
    *ret_count = code ? 0 : r.count;
    *ret_listed = code ? 0 : r.listed;
    return code;
}

enum err_code defender_get_page(struct defender *d, enum defender_list list, const char *query,
                                struct json **ret, struct err *e)
{
    AUTO(exchange_clear) struct exchange x;
    struct exchange *all[] = {&x};
    struct json *doc;

    exchange_init(&x, DEFENDER_CLASS_READ, "GET",
                  list == DEFENDER_ALERTS ? "/api/alerts" : "/api/machines", NULL, "");
    x.query = query;
    x.list = true;
    exchange_run(d, all, 1);
    defender_mind_stranger(&x);
    doc = exchange_parse(&x);
    if (doc && json_type(json_get(doc, "value")) != JSON_ARRAY)
        exchange_spoil(&x, "it holds no list");
    if (x.code) {
        json_free(doc);
        if (e)
            *e = x.err;
        return x.code;
    }
    *ret = doc;
    return ERR_OK;
}
