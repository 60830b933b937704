/* test_metrics.c - the table, counting from many threads, and the Prometheus text (format 0.0.4). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/torture.h"
#include "metrics.h"

#define COUNTER METRIC_DELIVERIES /* two labels */

static const char *text_of(struct metrics *m, struct buf *b)
{
    buf_reset(b);
    metrics_write(m, b);
    assert_int_equal(buf_failed(b), ERR_OK);
    return buf_text(b);
}

static struct metrics *make(void)
{
    struct metrics *m = NULL;

    assert_int_equal(metrics_new(&m, NULL), ERR_OK);
    return m;
}

/* [a-zA-Z_:][a-zA-Z0-9_:]*, and the habits of Prometheus: a prefix, _total on counters. */
static void test_metrics__names_are_what_prometheus_takes(void **state)
{
    const struct metric_info *table = metrics_table();

    (void)state;
    for (int i = 0; i < METRICS; i++) {
        const char *name = table[i].name;
        size_t len = strlen(name);
        int counter = strcmp(table[i].type, "counter") == 0;

        print_message("  %s\n", name);
        assert_int_equal(strncmp(name, "cordon_", 7), 0);
        for (const char *p = name; *p; p++)
            assert_true(islower((unsigned char)*p) || *p == '_');
        assert_true(counter || strcmp(table[i].type, "gauge") == 0);
        if (counter)
            assert_string_equal(name + len - 6, "_total");
        assert_non_null(table[i].meaning);
        assert_non_null(table[i].advice);
        assert_null(strchr(table[i].meaning, '\n'));
        assert_null(strchr(table[i].meaning, '\\')); /* HELP would have to escape it */
        for (int j = 0; j < i; j++)
            assert_string_not_equal(name, table[j].name);
        for (int l = 0; l < 2 && table[i].labels[l]; l++)
            assert_true(strlen(table[i].labels[l]) > 0);
    }
}

static void test_metrics__counters_add_up_by_their_labels(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(1 << 20);
    struct metrics *m = make();
    const char *text;

    (void)state;
    assert_string_equal(text_of(m, &b), "");
    metrics_add(m, COUNTER, 1, "relay", "accepted");
    metrics_add(m, COUNTER, 2, "relay", "accepted");
    metrics_add(m, COUNTER, 5, "relay", "denied");
    metrics_add(m, COUNTER, 7, "flow", "accepted");
    metrics_add(NULL, COUNTER, 7, "flow", "accepted"); /* nobody counts */
    text = text_of(m, &b);
    assert_non_null(
        strstr(text, "\ncordon_deliveries_total{source=\"relay\",outcome=\"accepted\"} 3\n"));
    assert_non_null(
        strstr(text, "\ncordon_deliveries_total{source=\"relay\",outcome=\"denied\"} 5\n"));
    assert_non_null(
        strstr(text, "\ncordon_deliveries_total{source=\"flow\",outcome=\"accepted\"} 7\n"));
    metrics_free(m);
}

/* One HELP and one TYPE line for each name, before its values, which stand together. */
static void test_metrics__each_name_has_one_head_and_its_values_together(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(1 << 20);
    const struct metric_info *table = metrics_table();
    struct metrics *m = make();
    char *copy, *next, current[100] = "";
    int heads = 0, seen[METRICS] = {0};

    (void)state;
    for (int i = 0; i < METRICS; i++)
        if (strcmp(table[i].type, "counter") == 0)
            for (int n = 0; n < 3; n++)
                metrics_add(m, (enum metric)i, n, n ? "x" : "y", n == 2 ? "z" : NULL);
    copy = strdup(text_of(m, &b));
    for (char *line = copy; *line; line = next) {
        next = strchr(line, '\n');
        assert_non_null(next); /* the last line ends, too */
        *next++ = '\0';
        if (strncmp(line, "# HELP ", 7) == 0) {
            assert_int_equal(sscanf(line + 7, "%99s", current), 1);
            for (int i = 0; i < METRICS; i++)
                if (strcmp(table[i].name, current) == 0)
                    assert_int_equal(seen[i]++, 0);
            heads++;
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            assert_int_equal(strncmp(line + 7, current, strlen(current)), 0);
        } else {
            assert_int_equal(strncmp(line, current, strlen(current)), 0);
        }
    }
    assert_true(heads > 3);
    free(copy);
    metrics_free(m);
}

/* A rule's name may hold anything that YAML lets through. */
static void test_metrics__label_values_are_escaped(void **state)
{
    static const struct {
        const char *value, *written;
    } rows[] = {
        {"plain", "\"plain\""},
        {"a\"b", "\"a\\\"b\""},
        {"a\\b", "\"a\\\\b\""},
        {"a\nb", "\"a\\nb\""},
        {"} 1\ncordon_up 1", "\"} 1\\ncordon_up 1\""},
        {"", "\"\""},
        {"\xc3\xa5", "\"\xc3\xa5\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(buf_clear) struct buf b = BUF_INIT(1 << 20), want = BUF_INIT(1000);
        struct metrics *m = make();

        metrics_add(m, COUNTER, 1, rows[i].value, "x");
        buf_addf(&want, "{source=%s,outcome=\"x\"} 1\n", rows[i].written);
        assert_non_null(strstr(text_of(m, &b), buf_text(&want)));
        metrics_free(m);
    }
}

static void test_metrics__gauges_are_written_as_asked(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(1 << 16);

    (void)state;
    metrics_gauge(&b, METRIC_CASES, 1, "received", NULL, 4);
    metrics_gauge(&b, METRIC_CASES, 0, "done", NULL, -1);
    metrics_gauge(&b, METRIC_STORE_QUEUE, 1, NULL, NULL, INT64_MAX);
    assert_string_equal(
        buf_text(&b), "# HELP cordon_cases cases by state\n# TYPE cordon_cases gauge\n"
                      "cordon_cases{state=\"received\"} 4\ncordon_cases{state=\"done\"} -1\n"
                      "# HELP cordon_store_queue transactions that wait for the disk\n"
                      "# TYPE cordon_store_queue gauge\ncordon_store_queue 9223372036854775807\n");
}

struct adder {
    struct metrics *m;
    pthread_t thread;
};

static void *add_many(void *arg)
{
    static const char *const labels[] = {"a", "b", "c", "d", "e"};
    struct adder *a = arg;
    AUTO(buf_clear) struct buf b = BUF_INIT(1 << 20);

    for (int i = 0; i < 5000; i++) {
        metrics_add(a->m, COUNTER, 1, labels[i % 5], labels[i / 5 % 5]);
        if (i % 500 == 0) {
            buf_reset(&b);
            metrics_write(a->m, &b);
        }
    }
    return NULL;
}

static void test_metrics__no_count_is_lost_between_threads(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(1 << 20);
    struct metrics *m = make();
    struct adder adders[4];
    long long sum = 0;
    int rows = 0;

    (void)state;
    for (int i = 0; i < 4; i++) {
        adders[i].m = m;
        assert_int_equal(pthread_create(&adders[i].thread, NULL, add_many, &adders[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        (void)pthread_join(adders[i].thread, NULL);
    for (const char *p = text_of(m, &b); (p = strstr(p, "\"} ")); rows++) {
        p += 3;
        sum += strtoll(p, NULL, 10);
    }
    assert_int_equal(rows, 25); /* each pair once, whoever was first */
    assert_int_equal(sum, 4 * 5000);
    metrics_free(m);
}

/* Without memory a count is lost, and nothing else. */
static void test_metrics__survives_a_lack_of_memory(void **state)
{
    struct metrics *m = NULL;
    bool failed = true;

    (void)state;
    torture_arm(1);
    (void)metrics_new(&m, NULL);
    assert_true(torture_disarm());
    assert_null(m);
    m = make();
    for (long n = 1; failed; n++) {
        torture_arm(n);
        metrics_add(m, COUNTER, 1, "a", "b");
        failed = torture_disarm();
    }
    metrics_add(m, COUNTER, 1, "a", "b");
    metrics_free(m);
    metrics_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics__names_are_what_prometheus_takes),
        cmocka_unit_test(test_metrics__counters_add_up_by_their_labels),
        cmocka_unit_test(test_metrics__each_name_has_one_head_and_its_values_together),
        cmocka_unit_test(test_metrics__label_values_are_escaped),
        cmocka_unit_test(test_metrics__gauges_are_written_as_asked),
        cmocka_unit_test(test_metrics__no_count_is_lost_between_threads),
        cmocka_unit_test(test_metrics__survives_a_lack_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
