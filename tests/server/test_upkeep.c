/* test_upkeep.c - the thread that forgets: it begins at once, catches up with all there is, and ends when told. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kit/house.h"
#include "kit/hands.h"
#include "store_deliveries.h"
#include "store_upkeep.h"
#include "upkeep.h"

#define DELIVERIES 1050 /* of several transactions, the last of which is not full */

struct counting {
    int64_t n;
};

static enum err_code count(struct db_tx *tx, void *arg, struct err *e)
{
    struct counting *c = arg;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, "SELECT count(*) FROM deliveries", "");

    if (!code && db_next(rows))
        c->n = db_int(rows, 0);
    return code ? code : db_rows_end(rows, e);
}

static int64_t deliveries(struct store *s)
{
    struct counting c = {.n = -1};

    assert_int_equal(db_read(s->db, count, &c, NULL), ERR_OK);
    return c.n;
}

static enum err_code fill(struct db_tx *tx, void *arg, struct err *e)
{
    const int64_t *received = arg;

    for (int64_t i = 1; i <= DELIVERIES; i++) {
        enum err_code code =
            db_run(tx, e, NULL,
                   "INSERT INTO deliveries (id, source, body_sha256, received, cases)"
                   " VALUES ($1, 'relay', 'x', $2, '')",
                   "ii", i, i == DELIVERIES ? *received + DELIVERY_MEMORY_MS : *received);

        if (code)
            return code;
    }
    return ERR_OK;
}

static void test_upkeep__forgets_all_that_is_old_and_nothing_else(void **state)
{
    char dir[] = "/tmp/upkeep-XXXXXX", url[100], path[100];
    static const char *const files[] = {"cordon.db", "cordon.db-wal", "cordon.db-shm",
                                        "cordon.db.lock", "cordon.db-lock"};
    struct hands hands = HANDS_INIT;
    struct store *s = NULL;
    struct upkeep *u = NULL;
    struct err e = {0};
    int64_t received;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(url, sizeof url, "sqlite:%s/cordon.db", dir);
    if (store_open(url, false, &hands.clock, &s, &e))
        fail_msg("%s", e.text);
    received = clock_wall_ms(&hands.clock);
    assert_int_equal(db_write(s->db, fill, &received, &e), ERR_OK);
    hands_turn(&hands, DELIVERY_MEMORY_MS + 1);
    assert_int_equal(upkeep_start(s, &u, &e), ERR_OK);
    for (int64_t deadline = house_now_ms() + 20000; deliveries(s) > 1 && house_now_ms() < deadline;)
        (void)poll(NULL, 0, 5);
    upkeep_stop(u); /* which is not a minute away */
    assert_int_equal(deliveries(s), 1);
    store_free(s);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upkeep__forgets_all_that_is_old_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
