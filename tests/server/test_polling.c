/* test_polling.c - polling against a full store; the rest of polling is tests/e2e/test_polling.c. */
#include "engine_kit.h"

#include "polling.h"

#define CHANGED "/api/alerts?"

static bool poll_once(struct rig *r)
{
    struct work w;

    if (!rig_claim(r, WORK_POLL, &w))
        return false;
    polling_run(r->g, &w);
    return true;
}

/* Nothing is asked for that could not be kept; when there is room, what came meanwhile is read. */
static void test_polling__a_full_store_is_not_filled_further(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 0, 200,
             "{\"value\":[{\"id\":\"" ALERT "\",\"severity\":\"Low\",\"alertCreationTime\":"
             "\"2025-01-07T10:11:20Z\",\"lastUpdateTime\":\"2025-01-07T10:11:20Z\"}]}");
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    r.store->full = true;
    assert_true(poll_once(&r));
    assert_int_equal(rig_seen(&r, "GET", CHANGED), 0);
    for (int i = 0; i < 10; i++) {
        hands_turn(&r.hands, 30 * SECOND_MS);
        assert_true(poll_once(&r));
    }
    assert_int_equal(rig_seen(&r, "GET", CHANGED), 0);
    r.store->full = false;
    hands_turn(&r.hands, 30 * SECOND_MS);
    assert_true(poll_once(&r));
    assert_int_equal(rig_seen(&r, "GET", CHANGED), 1);
    {
        struct work w;

        assert_true(rig_claim(&r, WORK_CASE, &w)); /* the case */
    }
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_polling__a_full_store_is_not_filled_further),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
