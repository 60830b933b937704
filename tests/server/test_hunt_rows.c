/* test_hunt_rows.c - answers of hunting queries: names in either case, which rows are the same, whom they are
 * about, and CSV that runs nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hunt_rows.h"

struct rig {
    struct arena *arena;
    struct json *doc;
    struct hunt_answer t;
};

static void open_answer(struct rig *r, const char *text)
{
    struct err e = {0};

    *r = (struct rig){.arena = arena_new(0)};
    if (json_parse(text, strlen(text), &r->doc, &e) ||
        hunt_answer_read(r->arena, r->doc, &r->t, &e))
        fail_msg("%s: %s", text, e.text);
}

static void close_answer(struct rig *r)
{
    json_free(r->doc);
    arena_free(r->arena);
}

static void key_of(struct rig *r, const struct text_list *names, size_t row,
                   char out[HUNT_KEY_SIZE])
{
    struct hunt_key key;
    struct err e = {0};

    if (hunt_key_find(&r->t, names, &key, &e) || hunt_row_key(&r->t, &key, row, out, &e))
        fail_msg("%s", e.text);
}

static void assert_same(struct rig *r, const struct text_list *names, bool same)
{
    char a[HUNT_KEY_SIZE], b[HUNT_KEY_SIZE];

    key_of(r, names, 0, a);
    key_of(r, names, 1, b);
    assert_int_equal(strlen(a), 32);
    assert_int_equal(strcmp(a, b) == 0, same);
}

#define EVENTS EVENTS_AND("")
#define EVENTS_AND(more)                                                                              \
    "\"schema\":[{\"name\":\"Timestamp\",\"type\":\"DateTime\"},{\"name\":\"DeviceId\",\"type\":"     \
    "\"String\"},{\"name\":\"ReportId\",\"type\":\"Int64\"},{\"name\":\"n\",\"type\":\"Int64\"}" more \
    "]"

static void test_hunt_rows__names_come_in_either_case(void **state)
{
    static const char *const rows[] = {
        "{\"schema\":[{\"name\":\"A\",\"type\":\"String\"}],\"results\":[{\"A\":\"x\",\"A@odata.type\":\"#y\"}]}",
        "{\"Stats\":{},\"Schema\":[{\"Name\":\"A\",\"Type\":\"String\"}],\"Results\":[{\"a\":\"x\"}]}",
        "{\"schema\":[{\"Name\":\"A\",\"Type\":\"String\"}],\"results\":[{\"A\":\"x\",\"B\":1}]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(buf_clear) struct buf cell = BUF_INIT(100);
        struct rig r;

        open_answer(&r, rows[i]);
        assert_int_equal(r.t.n_columns, 1);
        assert_int_equal(r.t.n_rows, 1);
        hunt_cell_write(&cell, &r.t, 0, 0);
        assert_string_equal(buf_text(&cell), "x");
        assert_int_equal(hunt_column(&r.t, "a"), 0);
        close_answer(&r);
    }
}

static void test_hunt_rows__refuses_what_is_no_answer(void **state)
{
    static const char *const rows[][2] = {
        {"{}", "has no schema"},
        {"{\"schema\":[]}", "has no results"},
        {"{\"schema\":[{\"type\":\"String\"}],\"results\":[]}",
         "a column of the answer has no name"},
        {"{\"schema\":[],\"results\":[1]}", "a row of the answer is a number"},
        {"{\"error\":{\"code\":\"x\"}}", "has no schema"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(arena_freep) struct arena *a = arena_new(0);
        AUTO(json_freep) struct json *doc = NULL;
        struct hunt_answer t;
        struct err e = {0};

        assert_int_equal(json_parse(rows[i][0], strlen(rows[i][0]), &doc, &e), ERR_OK);
        assert_int_equal(hunt_answer_read(a, doc, &t, &e), ERR_AGAIN);
        assert_non_null(strstr(e.text, rows[i][1]));
    }
}

/* ReportId, DeviceId and Timestamp identify an event: section 5.3. */
static void test_hunt_rows__the_triple_tells_events_apart(void **state)
{
    const struct text_list none = {0};
    const char *const names[] = {"n"};
    const struct text_list n = {(const char **)names, 1};
    struct rig r;

    (void)state;
    open_answer(&r, "{" EVENTS
                    ",\"results\":[{\"Timestamp\":\"t\",\"DeviceId\":\"d\",\"ReportId\":1,\"n\":1},"
                    "{\"n\":2,\"ReportId\":1,\"DeviceId\":\"d\",\"Timestamp\":\"t\"}]}");
    assert_same(&r, &none, true);
    assert_same(&r, &n, false); /* by other columns, where they are named */
    close_answer(&r);
    open_answer(&r, "{" EVENTS
                    ",\"results\":[{\"Timestamp\":\"t\",\"DeviceId\":\"d\",\"ReportId\":1,\"n\":1},"
                    "{\"Timestamp\":\"u\",\"DeviceId\":\"d\",\"ReportId\":1,\"n\":1}]}");
    assert_same(&r, &none, false);
    assert_same(&r, &n, true);
    close_answer(&r);
    /* without a part of it, every cell counts: two rows that name no machine are two */
    open_answer(&r, "{" EVENTS
                    ",\"results\":[{\"Timestamp\":\"t\",\"DeviceId\":null,\"ReportId\":1,\"n\":1},"
                    "{\"Timestamp\":\"t\",\"DeviceId\":null,\"ReportId\":1,\"n\":2}]}");
    assert_same(&r, &none, false);
    close_answer(&r);
}

static void test_hunt_rows__alerts_and_all_others(void **state)
{
    const struct text_list none = {0};
    struct rig r;

    (void)state;
    open_answer(
        &r,
        "{\"schema\":[{\"name\":\"AlertId\",\"type\":\"String\"},{\"name\":\"Title\",\"type\":\"String\"}],"
        "\"results\":[{\"AlertId\":\"a\",\"Title\":\"x\"},{\"AlertId\":\"a\",\"Title\":\"y\"}]}");
    assert_same(&r, &none, true);
    close_answer(&r);
    /* no cell passes for two, and a number is no text */
    open_answer(
        &r,
        "{\"schema\":[{\"name\":\"A\",\"type\":\"String\"},{\"name\":\"B\",\"type\":\"String\"}],"
        "\"results\":[{\"A\":\"x,\\\"\",\"B\":\"\"},{\"A\":\"x\",\"B\":\",\\\"\"}]}");
    assert_same(&r, &none, false);
    close_answer(&r);
    open_answer(
        &r,
        "{\"schema\":[{\"name\":\"A\",\"type\":\"String\"}],\"results\":[{\"A\":1},{\"A\":\"1\"}]}");
    assert_same(&r, &none, false);
    close_answer(&r);
}

/* An event of two alerts is two rows, and one whose alert comes later is another by then; without any it is the event. */
static void test_hunt_rows__an_event_is_told_apart_by_its_alert(void **state)
{
    static const struct {
        const char *first, *second;
        bool same;
    } rows[] = {
        {"\"AlertId\":\"da1\",\"n\":1", "\"AlertId\":\"da2\",\"n\":1", false},
        {"\"AlertId\":\"\",\"n\":1", "\"AlertId\":\"da2\",\"n\":1", false},
        {"\"AlertId\":\"da1\",\"n\":1", "\"AlertId\":\"da1\",\"n\":2", true},
        {"\"AlertId\":\"\",\"n\":1", "\"AlertId\":null,\"n\":2", true},
        {"\"n\":1", "\"n\":2", true},
    };
    static const char event[] = "\"Timestamp\":\"t\",\"DeviceId\":\"d\",\"ReportId\":1";
    const struct text_list none = {0};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(4096);
        struct rig r;

        buf_addf(
            &text,
            "{" EVENTS_AND(
                ",{\"name\":\"AlertId\",\"type\":\"String\"}") ",\"results\":[{%s,%s},{%s,%s}]}",
            event, rows[i].first, event, rows[i].second);
        open_answer(&r, buf_text(&text));
        assert_same(&r, &none, rows[i].same);
        close_answer(&r);
    }
}

static void test_hunt_rows__a_key_column_has_to_be_there(void **state)
{
    const char *const names[] = {"Sha1"};
    const struct text_list list = {(const char **)names, 1};
    struct hunt_key key;
    struct err e = {0};
    struct rig r;

    (void)state;
    open_answer(&r, "{" EVENTS ",\"results\":[]}");
    assert_int_equal(hunt_key_find(&r.t, &list, &key, &e), ERR_REFUSED);
    assert_non_null(strstr(e.text, "its key column Sha1 is not in the answer"));
    close_answer(&r);
}

static void test_hunt_rows__ids_only_of_their_alphabet(void **state)
{
    static const char head[] =
        "{\"schema\":[{\"name\":\"AlertId\",\"type\":\"String\"},{\"name\":\"DeviceId\",\"type\":\"String\"},"
        "{\"name\":\"ReportId\",\"type\":\"Int64\"},{\"name\":\"Timestamp\",\"type\":\"DateTime\"}],"
        "\"results\":[";
    AUTO(buf_clear) struct buf text = BUF_INIT(4096);
    struct hunt_row_ids ids;
    struct rig r;

    (void)state;
    buf_addf(
        &text,
        "%s{\"AlertId\":\"da1_-2\",\"DeviceId\":\"9C1F6F3D2B7A4E58A0D4C3B2E1F0A9B8C7D6E5F4\",\"ReportId\":12,"
        "\"Timestamp\":\"t\"},{\"AlertId\":\"../x\",\"DeviceId\":\"ws-1\",\"ReportId\":1,\"Timestamp\":\"t\"},"
        "{\"DeviceId\":\"9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4\",\"ReportId\":9007199254740993,\"Timestamp\":\"t\"}]}",
        head);
    open_answer(&r, buf_text(&text));
    assert_int_equal(hunt_row_ids(r.arena, &r.t, 0, &ids, NULL), ERR_OK);
    assert_string_equal(ids.alert_id, "da1_-2");
    assert_string_equal(ids.machine_id, "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4");
    assert_string_equal(ids.report_id, "12");
    assert_int_equal(hunt_row_ids(r.arena, &r.t, 1, &ids, NULL), ERR_OK);
    assert_null(ids.alert_id);
    assert_null(ids.machine_id);
    assert_null(ids.report_id); /* of no machine: no event */
    assert_int_equal(hunt_row_ids(r.arena, &r.t, 2, &ids, NULL), ERR_OK);
    assert_string_equal(ids.report_id, "9007199254740993"); /* to the last digit */
    close_answer(&r);
}

static void test_hunt_rows__csv_runs_nothing(void **state)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(4096);
    const size_t rows[] = {0, 1};
    struct rig r;

    (void)state;
    open_answer(
        &r,
        "{\"schema\":[{\"name\":\"A\",\"type\":\"String\"},{\"name\":\"=B\",\"type\":\"Int64\"},{\"name\":\"C\",\"type\":"
        "\"Object\"}],\"results\":[{\"A\":\"=HYPERLINK(\\\"http://x\\\")\",\"=B\":-5,\"C\":{\"k\":[1]}},"
        "{\"A\":\"a,\\\"b\\\"\\r\\nc\",\"=B\":null,\"C\":\"  \\t@SUM(1)\"}]}");
    assert_int_equal(hunt_csv(&out, &r.t, rows, 2, 4096), 2);
    assert_string_equal(buf_text(&out),
                        "\xef\xbb\xbf\"A\",\"'=B\",\"C\"\r\n"
                        "\"'=HYPERLINK(\"\"http://x\"\")\",\"-5\",\"{\"\"k\"\":[1]}\"\r\n"
                        "\"a,\"\"b\"\"\r\nc\",\"\",\"'  \t@SUM(1)\"\r\n");
    close_answer(&r);
}

static void test_hunt_rows__each_way_to_begin_a_formula_is_defused(void **state)
{
    static const char *const texts[] = {"=1",       "+1",       "-1",       "@a",
                                        "\\t=1",    "\\r=1",    "\\n=1",    "  =1",
                                        "\\uff1d1", "\\uff0b1", "\\uff0d1", "\\uff20a"};
    const size_t row = 0;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        AUTO(buf_clear) struct buf text = BUF_INIT(400), out = BUF_INIT(400);
        struct rig r;

        buf_addf(&text,
                 "{\"schema\":[{\"name\":\"A\",\"type\":\"String\"}],\"results\":[{\"A\":\"%s\"}]}",
                 texts[i]);
        open_answer(&r, buf_text(&text));
        assert_int_equal(hunt_csv(&out, &r.t, &row, 1, 400), 1);
        if (!strstr(buf_text(&out), "\r\n\"'"))
            fail_msg("%s: %s", texts[i], buf_text(&out));
        close_answer(&r);
    }
}

static void test_hunt_rows__csv_is_bounded(void **state)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(60);
    const size_t rows[] = {0, 0, 0, 0, 0, 0, 0, 0};
    struct rig r;

    (void)state;
    open_answer(
        &r,
        "{\"schema\":[{\"name\":\"A\",\"type\":\"String\"}],\"results\":[{\"A\":\"0123456789\"}]}");
    assert_int_equal(hunt_csv(&out, &r.t, rows, 8, 60), 3);
    assert_int_equal(buf_failed(&out), ERR_OK);
    assert_int_equal(strcmp(buf_text(&out) + out.len - 2, "\r\n"), 0);
    close_answer(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hunt_rows__names_come_in_either_case),
        cmocka_unit_test(test_hunt_rows__refuses_what_is_no_answer),
        cmocka_unit_test(test_hunt_rows__the_triple_tells_events_apart),
        cmocka_unit_test(test_hunt_rows__alerts_and_all_others),
        cmocka_unit_test(test_hunt_rows__an_event_is_told_apart_by_its_alert),
        cmocka_unit_test(test_hunt_rows__a_key_column_has_to_be_there),
        cmocka_unit_test(test_hunt_rows__ids_only_of_their_alphabet),
        cmocka_unit_test(test_hunt_rows__csv_runs_nothing),
        cmocka_unit_test(test_hunt_rows__each_way_to_begin_a_formula_is_defused),
        cmocka_unit_test(test_hunt_rows__csv_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
