/* test_burst.c - storms of cases, whole: how many mails they are, whether each case is accounted for in them, and that no
 * mail is ahead of Defender. The mails are read by Python's email package. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/house.h"
#include "kit/look.h"
#include "kit/program.h"

#define SOON 120000 /* ms; a deadline, not a wait */

/* Reads mails.json and cases.json of its folder. */
static const char reader[] =
    "import base64, email, email.policy, json, re, sys\n"
    "mails = json.load(open('mails.json', encoding='utf-8'))['mails']\n"
    "cases = json.load(open('cases.json', encoding='utf-8'))\n"
    "most, word = int(sys.argv[1]), sys.argv[2]\n"
    "faults, ids, newest, seen = 0, set(), {}, {}\n"
    "def fault(n, what):\n"
    "    global faults\n"
    "    faults += 1\n"
    "    print('mail %d: %s' % (n, what))\n"
    "for n, mail in enumerate(mails):\n"
    "    msg = email.message_from_bytes(base64.b64decode(mail['raw_base64']),\n"
    "                                   policy=email.policy.default)\n"
    "    parts = list(msg.walk())\n"
    "    if [p.get_content_type() for p in parts] != ['multipart/alternative', 'text/plain', 'text/html']:\n"
    "        fault(n, 'structure')\n"
    "    if any(p.defects for p in parts): fault(n, 'defects')\n"
    "    text, page = parts[1].get_content(), parts[2].get_content()\n"
    "    here = {c for c in cases if c in text}\n"
    "    if here != {c for c in cases if c in page}: fault(n, 'the parts name other cases')\n"
    "    if not here: fault(n, 'about no case: %s' % msg['subject'])\n"
    "    subject = msg['subject']\n"
    "    if msg['message-id'] in seen: fault(n, 'came twice')\n"
    "    if n and msg['in-reply-to'] and msg['in-reply-to'] not in seen:\n"
    "        fault(n, 'answers a mail that was none')\n"
    "    seen[msg['message-id']] = subject\n"
    "    state = re.match(r'\\[([A-Z ]+)', subject).group(1) if subject[1].isupper() else None\n"
    "    for line in text.splitlines():\n" /* below the name of a state, or in the list behind it */
    "        m = re.match(r'(?:and \\d+ more )?([A-Z ]+?)(?: \\(\\d+\\)$|: )', line)\n"
    "        if m and 'digest' in msg['x-cordon-state']: state = m.group(1)\n"
    "        for c in cases:\n"
    "            if c in line: newest[c] = state\n"
    "    counted = sum(int(k) for k in re.findall(r'(\\d+) [A-Z]', subject.split(']')[0]))\n"
    "    if msg['x-cordon-state'] == 'digest' and counted != len(here):\n"
    "        fault(n, '%d in %r, %d cases' % (counted, subject, len(here)))\n"
    "    ids |= here\n"
    "    print('mail %d: %d cases: %s' % (n, len(here), subject))\n"
    "if len(mails) > most: fault(-1, '%d mails' % len(mails))\n"
    "if len(ids) != len(cases): fault(-1, '%d cases of %d' % (len(ids), len(cases)))\n"
    "wrong = {c: s for c, s in newest.items() if s not in word.split(',')}\n"
    "if wrong: fault(-1, 'last said: %r' % wrong)\n"
    "sys.exit(1 if faults else 0)\n";

struct crowd {
    struct house *h;
    struct buf cases; /* JSON */
    size_t n;
};

static void read_mails(struct crowd *k, const char *most, const char *last_words)
{
    const char *const argv[] = {"/usr/bin/env", "python3", "reader.py", most, last_words, NULL};
    AUTO(json_freep) struct json *mails = sim_get(k->h->sim, "/mails");
    struct buf b = BUF_INIT(64 << 20);
    struct ran ran;

    json_write(&b, mails);
    buf_adds(&k->cases, "]");
    free(house_write_file(k->h, "mails.json", buf_text(&b)));
    free(house_write_file(k->h, "cases.json", buf_text(&k->cases)));
    free(house_write_file(k->h, "reader.py", reader));
    buf_clear(&b);
    buf_clear(&k->cases);
    program_run(&ran, k->h->dir, NULL, argv);
    if (ran.code == 127) {
        print_message("  SKIPPED: python3 is missing; nobody but us has read the mails\n");
        ran_clear(&ran);
        house_stop(k->h);
        skip();
    }
    print_message("%s", ran.out);
    if (ran.code)
        fail_msg("what Python says of the mails:\n%s%s", ran.out, ran.err);
    ran_clear(&ran);
}

/* n machines, an alert on each; none of one incident. */
static void people_the_world(struct crowd *k, size_t n, const char *severity)
{
    struct buf machines = BUF_INIT(4 << 20), alerts = BUF_INIT(4 << 20);

    for (size_t i = 0; i < n; i++) {
        buf_addf(&machines, "%s{\"id\":\"%040zx\",\"computerDnsName\":\"ws-%zu.corp.example\"}",
                 i ? "," : "[", i + 1, i);
        buf_addf(&alerts,
                 "%s{\"id\":\"da%zu_-1\",\"severity\":\"%s\",\"machineId\":\"%040zx\","
                 "\"incidentId\":%zu,\"title\":\"Ransomware behaviour %zu\"}",
                 i ? "," : "[", i, severity, i + 1, i + 1, i);
    }
    buf_adds(&machines, "]");
    buf_adds(&alerts, "]");
    sim_tell(k->h->sim, "/machines", buf_text(&machines));
    sim_tell(k->h->sim, "/alerts", buf_text(&alerts));
    buf_clear(&machines);
    buf_clear(&alerts);
}

static void push(struct crowd *k, size_t i)
{
    char id[40];

    (void)snprintf(id, sizeof id, "da%zu_-1", i);
    AUTO(json_freep) struct json *answer = house_push(k->h, id, NULL, 202);
    buf_addf(&k->cases, "%s\"%s\"", k->n++ ? "," : "[",
             json_string(json_first(json_get(answer, "cases"))));
}

static struct crowd open_house(const struct house_options *o)
{
    struct crowd k = {.h = house_start(o), .cases = BUF_INIT(1 << 20)};

    return k;
}

/* Until every case was told, no burst holds one of them, and all mails are out. */
static void wait_told(struct house *h, int64_t cases)
{
    for (int64_t until = look_until(SOON);;) {
        AUTO(json_freep) struct json *page = house_get(h, "/api/cases?limit=500");
        int64_t told = 0;

        JSON_EACH (c, json_get(page, "cases")) {
            char path[80];
            const char *state = "held";

            (void)snprintf(path, sizeof path, "/api/cases/%s", json_get_string(c, "id"));
            AUTO(json_freep) struct json *one = house_get(h, path);

            JSON_EACH (n, json_get(one, "notices"))
                state = json_get_string(n, "state");
            if (strcmp(state, "held") == 0 || strcmp(state, "waiting") == 0)
                break;
            told++;
        }
        if (told == cases)
            break;
        look_again(until, "%lld of %lld cases are told", (long long)told, (long long)cases);
    }
    house_wait_idle(h, SOON); /* a digest, too */
}

static void test_burst__five_hundred_cases_are_at_most_ten_mails(void **state)
{
    enum { ALL = 500 };
    struct crowd k =
        open_house(&(struct house_options){.mail = "  group: {wait: 5s, interval: 15s}\n"});
    int64_t began;

    (void)state;
    people_the_world(&k, ALL, "Medium");
    push(&k, 0);
    began = look_now_ms();
    json_free(sim_wait_mails(k.h->sim, 1, SOON));
    house_log_lacks(k.h, "\"event\":\"burst_told\""); /* the first is not delayed */
    for (size_t i = 1; i < ALL; i++)
        push(&k, i);
    print_message("  pushed within %lld ms\n", (long long)(look_now_ms() - began));
    house_wait_quiet(k.h, SOON);
    wait_told(k.h, ALL);
    read_mails(&k, "10", "ALERT");
    house_stop(k.h);
}

/* What becomes of isolations is told together as well, and never before Defender says so. */
static void test_burst__outcomes_are_digests_too_and_true(void **state)
{
    enum { ALL = 24, ISOLATED = 13 };
    struct crowd k = open_house(
        &(struct house_options){.sim = {.config = "{\"actions\":{\"done_after_ms\":3000}}"},
                                .safety = "  limits: [{isolations: 100, per: 1h}]\n"
                                          "  protected:\n    - machine.name: {glob: \"ws-1*\"}\n",
                                .mail = "  group: {wait: 1s, interval: 4s}\n"});
    int64_t began = look_now_ms();
    char most[24];

    (void)state;
    people_the_world(&k, ALL, "High");
    for (size_t i = 0; i < ALL; i++)
        push(&k, i);
    json_free(sim_wait_isolated(k.h->sim, ISOLATED, SOON));
    house_wait_quiet(k.h, SOON);
    wait_told(k.h, ALL);
    assert_int_equal(sim_state(k.h->sim, "isolate_posts"), ISOLATED);
    /* Those of the case that begins it, and then one in an interval, however many that takes. */
    (void)snprintf(most, sizeof most, "%lld", 6 + (long long)(look_now_ms() - began) / 4000);
    print_message("  at most %s\n", most);
    read_mails(&k, most, "ISOLATED,NOT ISOLATED");
    house_stop(k.h);
}

static void test_burst__a_kill_loses_nothing_that_is_held(void **state)
{
    enum { ALL = 20 };
    struct crowd k =
        open_house(&(struct house_options){.mail = "  group: {wait: 20s, interval: 20s}\n"});

    (void)state;
    people_the_world(&k, ALL, "Medium");
    for (size_t i = 0; i < ALL; i++)
        push(&k, i);
    house_wait_quiet(k.h, SOON);
    house_wait_log(k.h, "\"event\":\"mail\"", 1, SOON);
    house_wait_idle(k.h, SOON);
    house_cordon_kill(k.h);
    assert_int_equal(sim_state(k.h->sim, "mails"), 1);
    house_cordon_start(k.h);
    wait_told(k.h, ALL);
    read_mails(&k, "2", "ALERT");
    house_stop(k.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst__five_hundred_cases_are_at_most_ten_mails),
        cmocka_unit_test(test_burst__outcomes_are_digests_too_and_true),
        cmocka_unit_test(test_burst__a_kill_loses_nothing_that_is_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
