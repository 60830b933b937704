/* test_fill.c - people hear once that the store is full, and once that it is over, whoever says it and how often. */
#include "engine_kit.h"

#include "fill.h"
#include "notice_system.h"
#include "store_upkeep.h"

static enum err_code subjects_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct db_rows *rows;
    struct buf *text = arg;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT kind FROM notices WHERE about = 'store' ORDER BY id", "");

    if (code)
        return code;
    while (db_next(rows))
        buf_addf(text, "%s ", db_text(rows, 0));
    return db_rows_end(rows, e);
}

static void expect_told(struct rig *r, const char *wanted)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(400);

    assert_int_equal(db_read(r->store->db, subjects_fn, &text, NULL), ERR_OK);
    assert_string_equal(buf_text(&text), wanted);
}

static void test_fill__people_hear_it_once_each_way(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    assert_true(fill_tell(r.g, false, 1 << 20, 8 << 20)); /* at every start */
    expect_told(&r, "");
    assert_true(fill_tell(r.g, true, 8 << 20, 8 << 20));
    expect_told(&r, "store_full ");
    hands_turn(&r.hands, DAY_MS);
    assert_true(fill_tell(r.g, true, 9 << 20, 8 << 20)); /* a restart, or another replica */
    expect_told(&r, "store_full ");
    assert_true(fill_tell(r.g, false, 4 << 20, 16 << 20));
    expect_told(&r, "store_full store_has_room ");
    hands_turn(&r.hands, SECOND_MS);
    assert_true(fill_tell(r.g, false, 4 << 20, 16 << 20));
    assert_true(fill_tell(r.g, true, 16 << 20, 16 << 20)); /* soon after: it is news again */
    expect_told(&r, "store_full store_has_room store_full ");
    rig_close(&r);
}

/* It was full for longer than mails are remembered: those who were told hear the end all the same, whatever else they heard of the
 * store meanwhile. */
static void test_fill__a_store_that_is_full_for_long_has_room_again(void **state)
{
    const struct notice_system other = {
        .about = "store", .kind = "case_unreadable", .subject = "s", .headline = "h", .body = "b"};
    struct forgotten n = {0};
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    assert_true(fill_tell(r.g, true, 8 << 20, 8 << 20));
    assert_int_equal(notice_system_tell(r.g, &other, NULL), ERR_OK);
    rig_sql(&r, "UPDATE notices SET state = 'sent', ended = 1");
    rig_sql(&r, "DELETE FROM work");
    hands_turn(&r.hands, clock_wall_ms(clock_system()) + 8 * DAY_MS -
                             clock_wall_ms(&r.hands.clock)); /* ids are by that clock */
    assert_int_equal(
        store_forget_cases(r.store, clock_wall_ms(&r.hands.clock), 7 * DAY_MS, 20, &n, NULL),
        ERR_OK);
    assert_true(fill_tell(r.g, false, 4 << 20, 16 << 20));
    expect_told(&r, "store_full store_has_room ");
    rig_sql(&r, "UPDATE notices SET state = 'sent', ended = 1");
    rig_sql(&r, "DELETE FROM work");
    hands_turn(&r.hands, 8 * DAY_MS);
    assert_int_equal(
        store_forget_cases(r.store, clock_wall_ms(&r.hands.clock), 7 * DAY_MS, 20, &n, NULL),
        ERR_OK);
    assert_int_equal(n.notices, 2);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fill__people_hear_it_once_each_way),
        cmocka_unit_test(test_fill__a_store_that_is_full_for_long_has_room_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
