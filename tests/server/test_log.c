/* test_log.c - one event, one line: what is written, how it is cut, and that lines never mix. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "json.h"
#include "kit/look.h"
#include "kit/torture.h"
#include "log.h"

/* The last line that was logged, and how many there were. */
struct heard {
    char line[9000];
    enum log_level level;
    int count;
};

static void hear(enum log_level level, const char *line, void *ctx)
{
    struct heard *h = ctx;

    assert_true(strlen(line) < sizeof h->line);
    memcpy(h->line, line, strlen(line) + 1);
    h->level = level;
    h->count++;
}

static struct heard heard;

static int begin(void **state)
{
    (void)state;
    heard = (struct heard){0};
    log_setup(LOG_INFO, false);
    log_divert(hear, &heard);
    return 0;
}

static int end(void **state)
{
    (void)state;
    log_divert(NULL, NULL);
    log_setup(LOG_INFO, false);
    return 0;
}

/* What stands after the time, which must be one. */
static const char *after_time(const char *line, const char *before)
{
    char time[CLOCK_TEXT_SIZE];
    int64_t ms;

    assert_memory_equal(line, before, strlen(before));
    line += strlen(before);
    (void)snprintf(time, sizeof time, "%s", line);
    assert_int_equal(clock_parse(time, &ms, NULL), ERR_OK);
    assert_true(llabs(ms - clock_wall_ms(clock_system())) < MINUTE_MS);
    return line + CLOCK_TEXT_SIZE - 1;
}

static void assert_json(const char *want)
{
    assert_string_equal(after_time(heard.line, "{\"time\":\""), want);
}

static void assert_text(const char *want)
{
    assert_string_equal(after_time(heard.line, ""), want);
}

static struct json *parsed(void)
{
    struct json *doc;
    struct err e;

    if (json_parse(heard.line, strlen(heard.line), &doc, &e))
        fail_msg("%s: %s", e.text, heard.line);
    return doc;
}

static void test_log__is_one_json_object(void **state)
{
    struct err e;

    (void)state;
    err_set(&e, ERR_AGAIN, "GET /alerts: HTTP %d", 503);
    log_event(LOG_WARN, "waiting", LOG_STR("source", "relay"), LOG_ID("case", 1),
              LOG_INT("next_ms", -5), LOG_BOOL("last", true), LOG_ERR(&e));
    assert_int_equal(heard.level, LOG_WARN);
    assert_json("\",\"level\":\"warn\",\"event\":\"waiting\",\"source\":\"relay\","
                "\"case\":\"0000000000001\",\"next_ms\":-5,\"last\":true,\"code\":\"again\","
                "\"why\":\"GET /alerts: HTTP 503\"}");
    log_event(LOG_INFO, "ready");
    assert_json("\",\"level\":\"info\",\"event\":\"ready\"}");
    assert_int_equal(heard.count, 2);
}

static void test_log__people_get_columns(void **state)
{
    (void)state;
    log_setup(LOG_DEBUG, true);
    log_event(LOG_INFO, "accepted", LOG_STR("source", "relay"), LOG_ID("case", 33),
              LOG_INT("cases", 2), LOG_BOOL("new", false));
    assert_text(" INFO  accepted source=relay case=0000000000011 cases=2 new=false");
    log_event(LOG_ERROR, "stopped");
    assert_text(" ERROR stopped");
    log_event(LOG_WARN, "w");
    assert_text(" WARN  w");
    log_event(LOG_DEBUG, "d");
    assert_text(" DEBUG d");
}

static void test_log__people_get_quotes_where_they_need_them(void **state)
{
    static const struct {
        const char *value, *want;
    } rows[] = {
        {"bare", "bare"},
        {"/alerts/da63_-1?x", "/alerts/da63_-1?x"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"line\nbreak", "\"line\\nbreak\""},
        {"\x1b[31mred", "\"\\u001b[31mred\""},
        {"\xc2\x9b"
         "31mred",
         "\"\\u009b31mred\""},
        {"\xe2\x80\xaegpj.exe", "\"\\u202egpj.exe\""},
        {"caf\xc3\xa9", "\"caf\xc3\xa9\""},
        {"\xff", "\"\xef\xbf\xbd\""},
        {"\x7f", "\"\\u007f\""},
    };

    (void)state;
    log_setup(LOG_INFO, true);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char want[100];

        log_event(LOG_INFO, "e", LOG_STR("v", rows[i].value), LOG_INT("n", 1));
        (void)snprintf(want, sizeof want, " INFO  e v=%s n=1", rows[i].want);
        assert_text(want);
    }
}

static void test_log__leaves_out_what_is_not_there(void **state)
{
    (void)state;
    for (int text = 0; text < 2; text++) {
        log_setup(LOG_INFO, text);
        log_event(LOG_INFO, "e", LOG_STR("nobody", NULL), LOG_ID("no_id", 0), LOG_INT("zero", 0));
        assert_null(strstr(heard.line, "no"));
        assert_non_null(strstr(heard.line, text ? " zero=0" : ",\"zero\":0}"));
    }
}

static void test_log__nobody_can_forge_a_line(void **state)
{
    struct json *doc;

    (void)state;
    log_event(LOG_INFO, "e",
              LOG_STR("v", "x\"}\n{\"level\":\"error\",\"event\":\"forged\"}\r\n\t\x01"));
    assert_null(strpbrk(heard.line, "\r\n\t\x01"));
    doc = parsed();
    assert_string_equal(json_get_string(doc, "event"), "e");
    assert_string_equal(json_get_string(doc, "v"),
                        "x\"}\n{\"level\":\"error\",\"event\":\"forged\"}\r\n\t\x01");
    json_free(doc);
    log_setup(LOG_INFO, true);
    log_event(LOG_INFO, "e", LOG_STR("v", "x\n2026-01-01T00:00:00.000Z ERROR forged"));
    assert_null(strchr(heard.line, '\n'));
}

static void test_log__only_the_levels_asked_for(void **state)
{
    (void)state;
    for (enum log_level lowest = 0; lowest < LOG_LEVELS; lowest++)
        for (enum log_level level = 0; level < LOG_LEVELS; level++) {
            log_setup(lowest, false);
            heard.count = 0;
            log_event(level, "e");
            assert_int_equal(heard.count, level <= lowest);
        }
}

static void test_log__levels_have_names(void **state)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    static const char *const wrong[] = {"", "Error", "warning", "inf", "infoo", "1", "trace"};
    enum log_level level;
    struct err e;

    (void)state;
    for (int i = 0; i < LOG_LEVELS; i++) {
        assert_int_equal(log_level_parse(names[i], &level, &e), ERR_OK);
        assert_int_equal(level, i);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(log_level_parse(wrong[i], &level, &e), ERR_INVALID);
        assert_int_equal(level, LOG_DEBUG);
        assert_non_null(strstr(e.text, "expected error, warn, info or debug"));
    }
}

/* Texts of every hostile kind and many lengths, in front of and behind fields that matter. */
static void test_log__a_long_line_is_cut_and_stays_good(void **state)
{
    static const char *const units[] = {"x",    "\x01",    "\"", "\xc3\xa9", "\xf0\x9f\x98\x80",
                                        "\xff", "\xc2\x9b"};
    static char text[40001];

    (void)state;
    for (size_t u = 0; u < sizeof units / sizeof *units; u++)
        for (size_t len = 1; len < 40000; len = len * 3 / 2 + 1) {
            size_t unit = strlen(units[u]), used = 0;

            while (used + unit <= len) {
                memcpy(text + used, units[u], unit);
                used += unit;
            }
            text[used] = '\0';
            for (int many = 0; many < 2; many++)
                for (int words = 0; words < 2; words++) {
                    log_setup(LOG_INFO, words);
                    if (many)
                        log_event(LOG_INFO, "e", LOG_ID("case", 7), LOG_STR("a", text),
                                  LOG_STR("b", text), LOG_STR("c", text), LOG_STR("d", text),
                                  LOG_STR("e2", text), LOG_STR("f", text));
                    else
                        log_event(LOG_INFO, "e", LOG_STR("a", text), LOG_ID("case", 7));
                    assert_true(strlen(heard.line) < 4096);
                    if (words) {
                        assert_non_null(strstr(heard.line, " case=0000000000007"));
                        assert_true(used <= 1024 || strstr(heard.line, " cut=true"));
                    } else {
                        struct json *doc = parsed();

                        assert_string_equal(json_get_string(doc, "case"), "0000000000007");
                        assert_non_null(json_get_string(doc, "a"));
                        if (used > 1024)
                            assert_true(json_is_true(json_get(doc, "cut")));
                        if (!json_get(doc, "cut") && units[u][0] != '\xff')
                            assert_string_equal(json_get_string(doc, "a"), text);
                        /* no half character at the place of the cut */
                        if (units[u][0] != '\xff')
                            assert_null(strstr(json_get_string(doc, "a"), "\xef\xbf\xbd"));
                        json_free(doc);
                    }
                }
        }
}

static void test_log__keeps_errno_and_needs_no_memory(void **state)
{
    bool failed;

    (void)state;
    errno = ENOSPC;
    torture_arm(1);
    log_event(LOG_INFO, "e", LOG_STR("v", "some text"), LOG_ID("id", 5), LOG_INT("n", 3));
    failed = torture_disarm();
    assert_false(failed);
    assert_int_equal(errno, ENOSPC);
    assert_non_null(strstr(heard.line, "some text"));
}

/* Puts the far end of a pipe, or a file, in the place of stderr. */
static int swap_stderr(int fd)
{
    int saved = dup(STDERR_FILENO);

    assert_true(saved >= 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    return saved;
}

static void put_back_stderr(int saved)
{
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    close(saved);
}

enum { THREADS = 4, EACH = 500 };

static void *log_many(void *arg)
{
    for (int i = 0; i < EACH; i++)
        log_event(LOG_INFO, "many", LOG_STR("thread", arg), LOG_INT("i", i));
    return NULL;
}

static void test_log__lines_of_threads_never_mix(void **state)
{
    char path[] = "/tmp/cordon-log-XXXXXX", thread[THREADS][200];
    pthread_t threads[THREADS];
    int seen[THREADS] = {0}, fd, saved;
    char line[1000];
    FILE *f;

    (void)state;
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
    log_divert(NULL, NULL);
    saved = swap_stderr(fd);
    for (int i = 0; i < THREADS; i++) {
        memset(thread[i], 'a' + i, sizeof thread[i] - 1);
        thread[i][sizeof thread[i] - 1] = '\0';
        pthread_create(&threads[i], NULL, log_many, thread[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    put_back_stderr(saved);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        struct json *doc;
        const char *who;
        int64_t i;

        assert_int_equal(json_parse(line, strlen(line), &doc, NULL), ERR_OK);
        who = json_get_string(doc, "thread");
        assert_true(who && who[0] >= 'a' && who[0] < 'a' + THREADS);
        assert_string_equal(who, thread[who[0] - 'a']);
        assert_true(json_int64(json_get(doc, "i"), &i));
        assert_int_equal(i, seen[who[0] - 'a']++); /* in the order of its thread */
        json_free(doc);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(seen[i], EACH);
    (void)fclose(f);
    close(fd);
    unlink(path);
}

/* A pipe that keeps packets apart shows how many writes there were. */
static void test_log__a_line_is_one_write(void **state)
{
    static char text[9000], line[9000];
    int fds[2], saved;
    ssize_t n;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    assert_int_equal(pipe2(fds, O_DIRECT), 0);
    log_divert(NULL, NULL);
    saved = swap_stderr(fds[1]);
    log_event(LOG_INFO, "short");
    log_event(LOG_INFO, "long", LOG_STR("a", text), LOG_STR("b", text));
    put_back_stderr(saved);
    for (int i = 0; i < 2; i++) {
        n = read(fds[0], line, sizeof line);
        assert_true(n > 0 && line[n - 1] == '\n');
        assert_ptr_equal(memchr(line, '\n', (size_t)n), line + n - 1);
        line[n - 1] = '\0';
        assert_non_null(strstr(line, i ? "\"long\"" : "\"short\""));
    }
    close(fds[0]);
    close(fds[1]);
}

/* No more than a pipe takes in one piece, and none of it before log_release. */
static void test_log__gathered_lines_go_together(void **state)
{
    enum { LINES = 100 };
    static char piece[9000];
    int fds[2], saved, seen = 0, pieces = 0;
    ssize_t n;

    (void)state;
    assert_int_equal(pipe2(fds, O_DIRECT | O_NONBLOCK), 0);
    log_divert(NULL, NULL);
    saved = swap_stderr(fds[1]);
    log_gather();
    log_event(LOG_INFO, "line", LOG_INT("n", 0));
    n = read(fds[0], piece, sizeof piece);
    for (int i = 1; i < LINES; i++)
        log_event(LOG_INFO, "line", LOG_INT("n", i));
    log_release();
    log_event(LOG_INFO, "line", LOG_INT("n", LINES));
    put_back_stderr(saved);
    assert_true(n < 0 && errno == EAGAIN);
    while ((n = read(fds[0], piece, sizeof piece - 1)) > 0) {
        assert_true(n <= PIPE_BUF && piece[n - 1] == '\n');
        piece[n] = '\0';
        pieces++;
        for (const char *at = piece; (at = strstr(at, "\"n\":")) != NULL; at++)
            assert_int_equal(strtol(at + 4, NULL, 10), seen++);
    }
    assert_int_equal(seen, LINES + 1);
    assert_in_range(pieces, 3, LINES / 10);
    close(fds[0]);
    close(fds[1]);
}

static size_t drain(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n;

    while (len < size - 1 && (n = read(fd, out + len, size - 1 - len)) > 0)
        len += (size_t)n;
    out[len] = '\0';
    return len;
}

/* A collector of logs that hangs holds up no isolation, no order to pause and no end of the server. */
static void test_log__a_reader_that_stopped_holds_nobody_up(void **state)
{
    enum { LINES = 5000 };
    static char text[1 << 20];
    int64_t began = look_now_ms(), lines = 0;
    int fds[2], saved, kept = 0;
    struct json *doc;
    char *last;

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0); /* the reader's end alone */
    log_divert(NULL, NULL);
    saved = swap_stderr(fds[1]);
    for (int i = 0; i < LINES; i++)
        log_event(LOG_INFO, "unread", LOG_INT("n", i));
    (void)drain(fds[0], text, sizeof text);
    for (const char *at = text; (at = strstr(at, "\"n\":")) != NULL; at++)
        assert_int_equal(strtol(at + 4, NULL, 10), kept++); /* the first ones, whole */
    log_event(LOG_INFO, "read");
    put_back_stderr(saved);
    assert_true(look_now_ms() - began < MINUTE_MS);
    assert_in_range(kept, 10, LINES - 10);
    (void)drain(fds[0], text, sizeof text);
    last = strchr(text, '\n');
    assert_non_null(last);
    assert_non_null(strstr(last, "\"event\":\"read\""));
    assert_int_equal(json_parse(text, (size_t)(last - text), &doc, NULL), ERR_OK);
    assert_string_equal(json_get_string(doc, "event"), "log_lost");
    assert_true(json_int64(json_get(doc, "lines"), &lines));
    assert_int_equal(lines, LINES - kept);
    json_free(doc);
    close(fds[0]);
    close(fds[1]);
}

/* One takes what it has room for and makes its writer wait for the rest. */
static void test_log__a_terminal_that_stopped_holds_nobody_up(void **state)
{
    enum { LINES = 5000 };
    static char text[1 << 20];
    int64_t began = look_now_ms(), lines = 0;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave, saved, kept = 0;
    struct json *doc;
    char *last;

    (void)state;
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0);
    assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0); /* the reader's end alone */
    log_divert(NULL, NULL);
    saved = swap_stderr(slave);
    for (int i = 0; i < LINES; i++)
        log_event(LOG_INFO, "unread", LOG_INT("n", i));
    (void)drain(master, text, sizeof text);
    for (const char *at = text; (at = strstr(at, "\"n\":")) != NULL && strchr(at, '\n'); at++)
        assert_int_equal(strtol(at + 4, NULL, 10), kept++); /* the first ones, whole */
    log_event(LOG_INFO, "read");
    put_back_stderr(saved);
    assert_int_equal(fcntl(slave, F_GETFL) & O_NONBLOCK, 0); /* it is the shell's, too */
    assert_true(look_now_ms() - began < MINUTE_MS);
    assert_in_range(kept, 10, LINES - 10);
    (void)drain(master, text, sizeof text);
    last = strstr(text, "{");
    assert_non_null(last);
    assert_non_null(strstr(last, "\"event\":\"read\""));
    assert_int_equal(json_parse(last, strcspn(last, "\r"), &doc, NULL), ERR_OK);
    assert_string_equal(json_get_string(doc, "event"), "log_lost");
    assert_true(json_int64(json_get(doc, "lines"), &lines));
    assert_int_equal(lines, LINES - kept);
    json_free(doc);
    close(master);
    close(slave);
}

static void test_log__nobody_listening_is_no_failure(void **state)
{
    int saved;

    (void)state;
    log_divert(NULL, NULL);
    saved = dup(STDERR_FILENO);
    assert_true(saved >= 0);
    close(STDERR_FILENO);
    log_event(LOG_INFO, "into the void");
    put_back_stderr(saved);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_log__is_one_json_object),
        TEST(test_log__people_get_columns),
        TEST(test_log__people_get_quotes_where_they_need_them),
        TEST(test_log__leaves_out_what_is_not_there),
        TEST(test_log__nobody_can_forge_a_line),
        TEST(test_log__only_the_levels_asked_for),
        TEST(test_log__levels_have_names),
        TEST(test_log__a_long_line_is_cut_and_stays_good),
        TEST(test_log__keeps_errno_and_needs_no_memory),
        TEST(test_log__lines_of_threads_never_mix),
        TEST(test_log__a_line_is_one_write),
        TEST(test_log__gathered_lines_go_together),
        TEST(test_log__a_reader_that_stopped_holds_nobody_up),
        TEST(test_log__a_terminal_that_stopped_holds_nobody_up),
        TEST(test_log__nobody_listening_is_no_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
