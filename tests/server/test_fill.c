/* test_fill.c - people hear once that the store is full, and once that it is over, whoever says it and how often. */
#include "engine_kit.h"

#include "fill.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fill__people_hear_it_once_each_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
