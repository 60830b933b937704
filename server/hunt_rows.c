/* hunt_rows.c - see hunt_rows.h. */
#include "hunt_rows.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "intake_words.h"
#include "store_audit.h"

#define CELL_MAX ((size_t)1 << 20) /* bytes of a cell that is written */

/* ---- reading ----------------------------------------------------------------------------------- */

/* A member by its name, case aside. */
static const struct json *member(const struct json *v, const char *name)
{
    const struct json *exact = json_get(v, name);

    if (exact)
        return exact;
    JSON_EACH (child, v)
        if (json_name(child) && strcasecmp(json_name(child), name) == 0)
            return child;
    return NULL;
}

static enum err_code read_columns(struct arena *a, const struct json *schema, struct hunt_answer *t,
                                  struct err *e)
{
    const char **columns;

    if (json_type(schema) != JSON_ARRAY)
        return err_set(e, ERR_AGAIN, "the answer has no schema");
    if (json_count(schema) > HUNT_COLUMNS_MAX)
        return err_set(e, ERR_TOO_BIG, "the answer has %zu columns; %d are the most",
                       json_count(schema), HUNT_COLUMNS_MAX);
    columns = arena_array(a, json_count(schema) + 1, sizeof *columns);
    if (!columns)
        return err_set(e, ERR_NOMEM, "an answer");
    JSON_EACH (column, schema) {
        const char *name = json_string(member(column, "name"));

        if (!name)
            return err_set(e, ERR_AGAIN, "a column of the answer has no name");
        columns[t->n_columns++] = name;
    }
    t->columns = columns;
    return ERR_OK;
}

/* Rows nearly always have their members in the order of the columns: looked for there first. */
static void read_row(const struct hunt_answer *t, const struct json *row, const struct json **cells)
{
    size_t next = 0;

    JSON_EACH (cell, row) {
        const char *name = json_name(cell);

        if (strstr(name, "@odata."))
            continue;
        for (size_t i = 0; i < t->n_columns; i++) {
            size_t at = (next + i) % t->n_columns;

            if (strcasecmp(t->columns[at], name) == 0) {
                cells[at] = json_type(cell) == JSON_NULL ? NULL : cell;
                next = at + 1;
                break;
            }
        }
    }
}

enum err_code hunt_answer_read(struct arena *a, const struct json *doc, struct hunt_answer *ret,
                               struct err *e)
{
    const struct json *rows = member(doc, "results");
    struct hunt_answer t = {0};
    const struct json **cells;
    enum err_code code = read_columns(a, member(doc, "schema"), &t, e);

    if (code)
        return code;
    if (json_type(rows) != JSON_ARRAY)
        return err_set(e, ERR_AGAIN, "the answer has no results");
    cells = arena_array(a, json_count(rows) * t.n_columns + 1, sizeof *cells);
    if (!cells)
        return err_set(e, ERR_NOMEM, "an answer of %zu rows", json_count(rows));
    JSON_EACH (row, rows) {
        if (json_type(row) != JSON_OBJECT)
            return err_set(e, ERR_AGAIN, "a row of the answer is %s",
                           json_type_name(json_type(row)));
        read_row(&t, row, cells + t.n_rows++ * t.n_columns);
    }
    t.cells = (const struct json *const *)cells;
    *ret = t;
    return ERR_OK;
}

int hunt_column(const struct hunt_answer *t, const char *name)
{
    for (size_t i = 0; i < t->n_columns; i++)
        if (strcasecmp(t->columns[i], name) == 0)
            return (int)i;
    return -1;
}

static const struct json *cell_at(const struct hunt_answer *t, size_t row, size_t column)
{
    return t->cells[row * t->n_columns + column];
}

void hunt_cell_write(struct buf *out, const struct hunt_answer *t, size_t row, size_t column)
{
    const struct json *cell = cell_at(t, row, column);

    if (json_string(cell))
        buf_adds(out, json_string(cell));
    else if (cell)
        json_write(out, cell);
}

/* ---- the same row again ------------------------------------------------------------------------ */

enum err_code hunt_key_find(const struct hunt_answer *t, const struct text_list *names,
                            struct hunt_key *ret, struct err *e)
{
    static const char *const event[] = {"ReportId", "DeviceId", "Timestamp"};
    static const char *const alert[] = {"AlertId", "DeviceId", "EntityType"};
    struct hunt_key key = {.given = names->count > 0, .alert_id = -1};

    for (size_t i = 0; i < names->count && i < HUNT_COLUMNS_MAX; i++) {
        int column = hunt_column(t, names->items[i]);

        if (column < 0)
            return err_set(e, ERR_REFUSED,
                           "its key column %.60s is not in the answer: let the query project it",
                           names->items[i]);
        key.columns[key.n++] = (size_t)column;
    }
    for (int i = 0; i < 3 && !key.given && hunt_column(t, event[i]) >= 0; i++)
        key.columns[key.n++] = (size_t)hunt_column(t, event[i]);
    if (!key.given && key.n == 3) {
        key.alert_id = hunt_column(t, alert[0]);
    } else if (!key.given) {
        key.n = 0;
        for (int i = 0; i < 3 && hunt_column(t, alert[0]) >= 0; i++)
            if (hunt_column(t, alert[i]) >= 0)
                key.columns[key.n++] = (size_t)hunt_column(t, alert[i]);
    }
    *ret = key;
    return ERR_OK;
}

/* Texts of a query are never null: what is not there is empty. */
static bool is_blank(const struct json *cell)
{
    const char *text = json_string(cell);

    return !cell || (text && !*text);
}

enum err_code hunt_row_key(const struct hunt_answer *t, const struct hunt_key *key, size_t row,
                           char ret[HUNT_KEY_SIZE], struct err *e)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(64 * CELL_MAX);
    char hash[AUDIT_HASH_SIZE];
    bool all = key->n == 0;
    enum err_code code;

    for (size_t i = 0; i < key->n && !key->given; i++)
        all = all || !cell_at(t, row, key->columns[i]);
    for (size_t i = 0; i < (all ? t->n_columns : key->n); i++) {
        size_t column = all ? i : key->columns[i];

        /* as JSON: no cell can pass for two */
        json_write(&text, cell_at(t, row, column));
        buf_addc(&text, ',');
    }
    if (!all && key->alert_id >= 0 && !is_blank(cell_at(t, row, (size_t)key->alert_id)))
        json_write(&text, cell_at(t, row, (size_t)key->alert_id));
    if (buf_failed(&text))
        return err_set(e, buf_failed(&text), "the key of a row");
    code = audit_sha256(buf_text(&text), hash, e);
    if (code)
        return code;
    memcpy(ret, hash, HUNT_KEY_SIZE - 1);
    ret[HUNT_KEY_SIZE - 1] = '\0';
    return ERR_OK;
}

/* ---- whom it is about -------------------------------------------------------------------------- */

/* A cell as text; NULL: empty, or there is no such column. */
static const char *text_of(struct arena *a, const struct hunt_answer *t, size_t row,
                           const char *name, bool *nomem)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(CELL_MAX);
    int column = hunt_column(t, name);
    const char *copy;

    if (column >= 0)
        hunt_cell_write(&text, t, row, (size_t)column);
    if (!text.len)
        return NULL;
    copy = arena_str(a, buf_text(&text));
    *nomem = *nomem || !copy;
    return copy;
}

enum err_code hunt_row_ids(struct arena *a, const struct hunt_answer *t, size_t row,
                           struct hunt_row_ids *ret, struct err *e)
{
    struct hunt_row_ids ids = {0};
    bool nomem = false;
    char *machine = (char *)text_of(a, t, row, "DeviceId", &nomem);

    ids.alert_id = text_of(a, t, row, "AlertId", &nomem);
    ids.report_id = text_of(a, t, row, "ReportId", &nomem);
    ids.time = text_of(a, t, row, "Timestamp", &nomem);
    if (nomem)
        return err_set(e, ERR_NOMEM, "a row");
    if (ids.alert_id && !word_is_alert_id(ids.alert_id))
        ids.alert_id = NULL;
    for (char *p = machine; p && *p; p++)
        *p = *p >= 'A' && *p <= 'F' ? (char)(*p - 'A' + 'a') : *p;
    if (machine && word_is_machine_id(machine))
        ids.machine_id = machine;
    if (!ids.machine_id || !ids.report_id || !ids.time)
        ids.report_id = ids.time = NULL;
    *ret = ids;
    return ERR_OK;
}

/* A column of texts. */
struct column {
    const struct hunt_answer *answer;
    size_t at;
};

/* "": the row has none. */
static const char *text_in(const struct column *c, size_t row)
{
    const char *text = json_string(cell_at(c->answer, row, c->at));

    return text ? text : "";
}

static int by_text(const void *a, const void *b, void *column)
{
    return strcmp(text_in(column, *(const size_t *)a), text_in(column, *(const size_t *)b));
}

/* rows: some of one alert. */
static bool name_several(const struct column *machines, const size_t rows[], size_t n)
{
    const char *first = "";
    bool several = false;

    for (size_t i = 0; i < n; i++) {
        const char *machine = text_in(machines, rows[i]);

        several = several || (*first && *machine && strcasecmp(first, machine) != 0);
        first = *first ? first : machine;
    }
    return several;
}

enum err_code hunt_rows_torn(struct arena *a, const struct hunt_answer *t, const bool **ret,
                             struct err *e)
{
    int alert = hunt_column(t, "AlertId"), machine = hunt_column(t, "DeviceId");
    struct column alerts = {t, (size_t)alert}, machines = {t, (size_t)machine};
    size_t *sorted = arena_array(a, t->n_rows + 1, sizeof *sorted), n;
    bool *torn = arena_array(a, t->n_rows + 1, sizeof *torn);

    if (!sorted || !torn)
        return err_set(e, ERR_NOMEM, "%zu rows", t->n_rows);
    *ret = torn;
    if (alert < 0 || machine < 0)
        return ERR_OK;
    for (size_t i = 0; i < t->n_rows; i++)
        sorted[i] = i;
    qsort_r(sorted, t->n_rows, sizeof *sorted, by_text, &alerts);
    for (size_t at = 0; at < t->n_rows; at += n) {
        for (n = 1; at + n < t->n_rows && by_text(&sorted[at], &sorted[at + n], &alerts) == 0;)
            n++;
        if (!*text_in(&alerts, sorted[at]) || !name_several(&machines, &sorted[at], n))
            continue;
        for (size_t i = 0; i < n; i++)
            torn[sorted[at + i]] = true;
    }
    return ERR_OK;
}

/* ---- CSV --------------------------------------------------------------------------------------- */

/* Characters with which a spreadsheet begins a formula, also as full-width forms; a tab or a line end before one
 * is passed over by some. */
static bool begins_formula(const char *text)
{
    static const char *const wide[] = {"\xef\xbc\x9d", "\xef\xbc\x8b", "\xef\xbc\x8d",
                                       "\xef\xbc\xa0"};

    if (*text && strchr("=+-@\t\r\n", *text))
        return true;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (strncmp(text, wide[i], 3) == 0)
            return true;
    return false;
}

static void csv_cell(struct buf *out, const char *text, bool is_text)
{
    buf_addc(out, '"');
    if (is_text && (begins_formula(text) || begins_formula(text + strspn(text, " "))))
        buf_addc(out, '\'');
    for (; *text; text++) {
        if (*text == '"')
            buf_addc(out, '"');
        buf_addc(out, *text);
    }
    buf_addc(out, '"');
}

static void csv_row(struct buf *out, const struct hunt_answer *t, size_t row)
{
    for (size_t i = 0; i < t->n_columns; i++) {
        AUTO(buf_clear) struct buf cell = BUF_INIT(CELL_MAX);
        enum json_type type = json_type(cell_at(t, row, i));

        hunt_cell_write(&cell, t, row, i);
        if (i)
            buf_addc(out, ',');
        csv_cell(out, buf_text(&cell), type != JSON_NUMBER && type != JSON_BOOL);
    }
    buf_adds(out, "\r\n");
}

size_t hunt_csv(struct buf *out, const struct hunt_answer *t, const size_t rows[], size_t n,
                size_t max)
{
    size_t done = 0;

    buf_adds(out, "\xef\xbb\xbf");
    for (size_t i = 0; i < t->n_columns; i++) {
        if (i)
            buf_addc(out, ',');
        csv_cell(out, t->columns[i], true);
    }
    buf_adds(out, "\r\n");
    for (; done < n; done++) {
        AUTO(buf_clear) struct buf line = BUF_INIT(max);

        csv_row(&line, t, rows[done]);
        if (buf_failed(&line) || out->len + line.len > max)
            break;
        buf_add(out, line.data, line.len);
    }
    return done;
}
