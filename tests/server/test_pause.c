/* test_pause.c - the kill switch: what is not asked for while it is thrown, what people are told, and that
 * nothing of it is forgotten. */
#include "engine_kit.h"

#include <sys/stat.h>

#include "desk.h"
#include "log.h"
#include "mime_read.h"
#include "pause.h"

static const struct desk_order drill = {.who = "maria", .why = "a drill"};

static bool subject_has(struct rig *r, int64_t id, const char *text)
{
    return strstr(rig_subject(r, id), text) != NULL;
}

static void test_pause__withholds_what_rules_want_and_a_retry_does_it_later(void **state)
{
    struct rig r;
    struct err e = {0};
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    assert_int_equal(desk_pause(r.g, &drill, &e), ERR_OK);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(rig_isolation(&r).id, 0);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_true(subject_has(&r, id, "[NOT ISOLATED: paused by maria: a drill]"));
    assert_non_null(strstr(rig_words(&r, id), "cordon is paused by maria: a drill"));
    assert_non_null(strstr(rig_words(&r, id), "cordon cases retry"));

    assert_int_equal(desk_resume(r.g, &drill, &e), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0); /* nothing by itself */
    assert_int_equal(desk_retry(r.g, &(struct desk_order){.id = id}, &e), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_true(subject_has(&r, id, "[REQUESTED]"));
    assert_null(strstr(rig_words(&r, id), "cordon is paused"));
    rig_close(&r);
}

/* A request that Defender has not taken yet is tried on; not while it is paused. */
static void test_pause__stops_what_waits_to_be_asked_for_again(void **state)
{
    struct rig r;
    struct err e = {0};
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 1, 429,
             "{\"error\":{\"code\":\"429\",\"message\":\"in 8 seconds\"}}");
    rig_takes_isolate(&r, 0);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_REQUESTED);
    assert_int_equal(desk_pause(r.g, &drill, &e), ERR_OK);
    rig_pass(&r, 2 * MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    assert_true(subject_has(&r, id, "[NOT ISOLATED: paused by maria: a drill]"));

    assert_int_equal(desk_resume(r.g, &drill, &e), ERR_OK);
    assert_int_equal(desk_retry(r.g, &(struct desk_order){.id = id}, &e), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 2);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
    rig_close(&r);
}

/* What Defender has taken is followed to its end, and told. */
static void test_pause__lets_what_was_asked_for_come_to_its_end(void **state)
{
    struct rig r;
    struct err e = {0};
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(desk_pause(r.g, &drill, &e), ERR_OK);
    rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_true(subject_has(&r, id, "[ISOLATED]"));
    assert_non_null(strstr(rig_words(&r, id), "cordon is paused by maria: a drill"));
    rig_close(&r);
}

static void test_pause__survives_a_restart(void **state)
{
    struct rig r;
    struct err e = {0};
    struct pause p;
    struct runtime *rt;

    (void)state;
    rig_open(&r, NULL);
    assert_int_equal(desk_pause(r.g, &drill, &e), ERR_OK);
    rt = engine_runtime(r.g);
    store_free(r.store);
    assert_int_equal(store_open(r.store_url, false, &r.hands.clock, &r.store, &e), ERR_OK);
    r.g->store = r.store;
    assert_int_equal(store_pause(r.store, rt, r.arena, &p, &e), ERR_OK);
    assert_true(p.on);
    assert_string_equal(pause_words(&p, r.arena), "paused by maria: a drill");
    runtime_unref(rt);
    rig_close(&r);
}

static void test_pause__a_file_pauses_as_long_as_it_is_there(void **state)
{
    struct rig r;
    struct err e = {0};
    const char *file, *rules;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    file = arena_fmt(r.arena, "%s/stop", r.dir);
    rules = arena_fmt(r.arena, RULES_ISOLATE_AND_MAIL "safety: {pause_file: '%s'}\n", file);
    engine_use(r.g, rig_runtime(&r, rules));
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    rig_write(&r, "stop", "");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_true(
        subject_has(&r, id, arena_fmt(r.arena, "[NOT ISOLATED: paused: %s is there]", file)));
    /* and `cordon resume`, which would change nothing, is not what its mail speaks of */
    assert_non_null(strstr(rig_words(&r, id), "until this file is removed"));
    assert_null(strstr(rig_words(&r, id), "until `cordon resume`"));
    /* the order of a person does not lift it, and says so */
    assert_int_equal(desk_resume(r.g, &drill, &e), ERR_CONFLICT);
    assert_non_null(strstr(e.text, "remove this file"));

    assert_int_equal(unlink(file), 0);
    assert_int_equal(desk_retry(r.g, &(struct desk_order){.id = id}, &e), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* Both switches are thrown: the command alone would not end it, and the mail says so. */
static void test_pause__a_mail_names_the_file_beside_the_order(void **state)
{
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    engine_use(r.g,
               rig_runtime(&r, arena_fmt(r.arena,
                                         RULES_ISOLATE_AND_MAIL "safety: {pause_file: '%s/stop'}\n",
                                         r.dir)));
    rig_write(&r, "stop", "");
    assert_int_equal(desk_pause(r.g, &drill, &e), ERR_OK);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_non_null(strstr(rig_words(&r, id), "until `cordon resume`, and until the file of "
                                              "safety.pause_file is removed, too; releases"));
    rig_close(&r);
}

struct last {
    struct arena *arena;
    struct notice_record n;
};

static enum err_code last_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct last *l = arg;
    int64_t id = 0, created;
    enum err_code code = notice_last(tx, "pause", NULL, &id, &created, e);

    return code ? code : notice_load(tx, l->arena, id, &l->n, e);
}

/* Two switches are thrown, and one is taken back: nobody is told that isolations are asked for again. */
static void test_pause__a_resume_that_a_file_outlasts_is_no_good_news(void **state)
{
    struct last last;
    const char *rules;
    struct err e = {0};
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    last.arena = r.arena;
    rules = arena_fmt(r.arena, RULES_ISOLATE_AND_MAIL "safety: {pause_file: '%s/stop'}\n", r.dir);
    engine_use(r.g, rig_runtime(&r, rules));
    rig_write(&r, "stop", "");
    assert_int_equal(desk_pause(r.g, &drill, &e), ERR_OK);
    assert_int_equal(desk_resume(r.g, &drill, &e), ERR_CONFLICT);
    assert_int_equal(db_read(r.store->db, last_fn, &last, NULL), ERR_OK);
    assert_string_equal(last.n.kind, "resumed");
    assert_string_equal(last.n.subject,
                        "[CORDON] still paused: resumed by maria: a drill, but a file pauses");
    assert_null(strstr(rig_text(&r, last.n.message), "cordon goes on"));
    assert_null(strstr(rig_text(&r, last.n.message), "asked for again"));
    assert_non_null(strstr(rig_text(&r, last.n.message), "safety.pause_file"));
    rig_close(&r);
}

/* In shadow mode nothing is asked for, paused or not. */
static void test_pause__a_resume_in_shadow_mode_promises_no_isolations(void **state)
{
    struct last last;
    struct err e = {0};
    struct rig r;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "safety: {mode: shadow}\n");
    last.arena = r.arena;
    assert_int_equal(desk_pause(r.g, &drill, &e), ERR_OK);
    assert_int_equal(desk_resume(r.g, &drill, &e), ERR_OK);
    assert_int_equal(db_read(r.store->db, last_fn, &last, NULL), ERR_OK);
    assert_string_equal(last.n.subject, "[CORDON] resumed by maria: a drill");
    assert_null(strstr(rig_text(&r, last.n.message), "asked for again"));
    assert_non_null(strstr(rig_text(&r, last.n.message), "shadow mode is on"));
    rig_close(&r);
}

/* Whether the file is there cannot always be seen: then nothing is isolated. But a folder that is none has no file
 * in it. */
static void test_pause__a_file_that_cannot_be_looked_at_pauses(void **state)
{
    static const struct {
        const char *file;
        size_t posts;
    } rows[] = {{"loop", 0}, {"loop/stop", 0}, {"secret/stop", 1}, {"gone/stop", 1}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        rig_open(&r, NULL);
        assert_int_equal(symlink("loop", arena_fmt(r.arena, "%s/loop", r.dir)), 0);
        engine_use(
            r.g, rig_runtime(&r, arena_fmt(r.arena,
                                           RULES_ISOLATE_AND_MAIL "safety: {pause_file: '%s/%s'}\n",
                                           r.dir, rows[i].file)));
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_takes_isolate(&r, 0);
        (void)rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        print_message("  %s\n", rows[i].file);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].posts);
        rig_close(&r);
    }
}

/* Who pauses what is paused already, and when the file is there besides: since when, by whom and why stays true. */
static void test_pause__is_told_as_the_last_who_threw_it(void **state)
{
    struct rig r;
    struct err e = {0};
    struct pause p, again;

    (void)state;
    rig_open(&r, NULL);
    assert_int_equal(desk_pause(r.g, &drill, &e), ERR_OK);
    assert_int_equal(store_pause(r.store, r.g->runtime, r.arena, &p, NULL), ERR_OK);
    hands_turn(&r.hands, HOUR_MS);
    assert_int_equal(desk_pause(r.g, &(struct desk_order){.who = "jan", .why = "an update"}, &e),
                     ERR_OK);
    rig_write(&r, "stop", "");
    engine_use(r.g,
               rig_runtime(&r, arena_fmt(r.arena,
                                         RULES_ISOLATE_AND_MAIL "safety: {pause_file: '%s/stop'}\n",
                                         r.dir)));
    assert_int_equal(store_pause(r.store, r.g->runtime, r.arena, &again, NULL), ERR_OK);
    assert_true(again.on);
    assert_int_equal(again.since, p.since);
    assert_string_equal(pause_words(&again, r.arena), "paused by jan: an update");
    rig_close(&r);
}

/* Who pulls it a second time in haste says nothing to it: what the first one said is why it is paused all the same. */
static void test_pause__a_reason_is_not_taken_back_by_none(void **state)
{
    struct rig r;
    struct err e = {0};
    struct pause p;

    (void)state;
    rig_open(&r, NULL);
    assert_int_equal(desk_pause(r.g, &(struct desk_order){.who = "jan"}, &e), ERR_OK);
    assert_int_equal(desk_pause(r.g, &(struct desk_order){.who = "ann", .why = "a worm"}, &e),
                     ERR_OK);
    assert_int_equal(desk_pause(r.g, &(struct desk_order){.who = "jan", .why = " "}, &e), ERR_OK);
    assert_int_equal(store_pause(r.store, r.g->runtime, r.arena, &p, NULL), ERR_OK);
    assert_string_equal(pause_words(&p, r.arena), "paused by ann: a worm");
    rig_close(&r);
}

static int resumed_lines;

static void count_resumed(enum log_level level, const char *line, void *ctx)
{
    (void)level;
    (void)ctx;
    resumed_lines += strstr(line, "\"event\":\"resume\"") != NULL;
}

static void test_pause__a_resume_of_nothing_says_so(void **state)
{
    struct rig r;
    struct err e = {0};

    (void)state;
    rig_open(&r, NULL);
    resumed_lines = 0;
    log_divert(count_resumed, NULL);
    assert_int_equal(desk_resume(r.g, &drill, &e), ERR_CONFLICT);
    assert_string_equal(e.text, "cordon is not paused");
    assert_int_equal(resumed_lines, 0); /* and no line of the log claims that one was taken back */
    assert_int_equal(desk_pause(r.g, &drill, &e), ERR_OK);
    assert_int_equal(desk_resume(r.g, &drill, &e), ERR_OK);
    assert_int_equal(resumed_lines, 1);
    log_divert(NULL, NULL);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pause__withholds_what_rules_want_and_a_retry_does_it_later),
        cmocka_unit_test(test_pause__stops_what_waits_to_be_asked_for_again),
        cmocka_unit_test(test_pause__lets_what_was_asked_for_come_to_its_end),
        cmocka_unit_test(test_pause__survives_a_restart),
        cmocka_unit_test(test_pause__a_file_pauses_as_long_as_it_is_there),
        cmocka_unit_test(test_pause__a_mail_names_the_file_beside_the_order),
        cmocka_unit_test(test_pause__a_resume_that_a_file_outlasts_is_no_good_news),
        cmocka_unit_test(test_pause__a_file_that_cannot_be_looked_at_pauses),
        cmocka_unit_test(test_pause__is_told_as_the_last_who_threw_it),
        cmocka_unit_test(test_pause__a_reason_is_not_taken_back_by_none),
        cmocka_unit_test(test_pause__a_resume_in_shadow_mode_promises_no_isolations),
        cmocka_unit_test(test_pause__a_resume_of_nothing_says_so),
    };

    return cmocka_run_group_tests_name("pause", tests, NULL, NULL);
}
