/* test_jwks.c - keys are found, renewed and kept, with one fetch at a time and no HTTP thread that waits.
 * The far side is a scripted Entra; what counts is what it was asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "jwks.h"
#include "kit/hands.h"
#include "kit/peer.h"
#include "kit/torture.h"
#include "log.h"
#include "sim/keys.h"

#define TENANT     "11111111-2222-3333-4444-555555555555"
#define V2         "/" TENANT "/v2.0/.well-known/openid-configuration"
#define V1         "/" TENANT "/.well-known/openid-configuration"
#define ISSUER     "https://login.microsoftonline.com/" TENANT "/v2.0"
#define DEADLINE_S 20

struct stage {
    struct hands hands;
    struct peer *peer;
    struct rest *rest;
    struct keys *keys;
    struct jwks *jwks;
    struct arena *arena;
    char *discovery; /* v2, of this peer */
    struct buf documents[8];
    size_t n_documents;
    int warnings; /* that the log held */
};

static void hear(enum log_level level, const char *line, void *ctx)
{
    struct stage *s = ctx;

    s->warnings += level <= LOG_WARN;
    if (level <= LOG_WARN && !strstr(line, "keys_out_of_reach"))
        abort(); /* nobody announced it */
}

static char *discovery_of(struct stage *s, const char *issuer, const char *uri_path)
{
    return arena_fmt(s->arena, "{\"issuer\":\"%s\",\"jwks_uri\":\"%s%s\"}", issuer,
                     peer_url(s->peer), uri_path);
}

/* The key document of now; lives as long as the stage. */
static const char *document(struct stage *s, const char *issuer)
{
    struct buf *b = &s->documents[s->n_documents++];

    assert_true(s->n_documents <= sizeof s->documents / sizeof *s->documents);
    buf_init(b, 1 << 20);
    keys_jwks(s->keys, issuer, b);
    return buf_text(b);
}

static void script(struct stage *s, const char *target, unsigned times, const char *body)
{
    peer_script(s->peer, &(struct peer_answer){.method = "GET",
                                               .target = target,
                                               .times = times,
                                               .status = 200,
                                               .headers = "Content-Type: application/json\r\n",
                                               .body = body});
}

/* Both v2 documents, as they are now, for ever. */
static void script_good(struct stage *s)
{
    script(s, V2, 0, s->discovery);
    script(s, "/keys", 0, document(s, ISSUER));
}

static int setup(void **state)
{
    struct stage *s = calloc(1, sizeof *s);
    const struct hands hands = HANDS_INIT;

    assert_non_null(s);
    s->hands.clock = hands.clock;
    s->hands.wall = hands.wall;
    s->hands.mono = hands.mono;
    s->arena = arena_new(0);
    s->peer = peer_new(NULL);
    assert_int_equal(rest_new(&(struct rest_options){0}, &s->rest, NULL), ERR_OK);
    assert_int_equal(keys_new(&s->keys, NULL), ERR_OK);
    assert_int_equal(
        jwks_new(&(struct jwks_options){.rest = s->rest, .clock = &s->hands.clock}, &s->jwks, NULL),
        ERR_OK);
    s->discovery = discovery_of(s, ISSUER, "/keys");
    log_divert(hear, s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    log_divert(NULL, NULL);
    jwks_free(s->jwks);
    rest_free(s->rest);
    peer_free(s->peer);
    keys_free(s->keys);
    for (size_t i = 0; i < s->n_documents; i++)
        buf_clear(&s->documents[i]);
    arena_free(s->arena);
    free(s);
    return 0;
}

static enum jwks_found find(struct stage *s, const char *kid, bool may_block)
{
    struct jwks_key key;
    enum jwks_found found =
        jwks_find(s->jwks, peer_url(s->peer), TENANT, JWKS_V2, kid, may_block, s->arena, &key);

    if (found == JWKS_FOUND) {
        assert_non_null(key.key);
        assert_string_equal(key.issuer, ISSUER);
        EVP_PKEY_free(key.key);
    } else {
        assert_null(key.key);
        assert_string_not_equal(key.why, "");
    }
    return found;
}

/* Asks without blocking until the answer is another than `until_not`. */
static enum jwks_found poll_until_not(struct stage *s, const char *kid, enum jwks_found until_not)
{
    const time_t deadline = time(NULL) + DEADLINE_S;
    enum jwks_found found;

    while ((found = find(s, kid, false)) == until_not && time(NULL) < deadline)
        sched_yield();
    return found;
}

static const char *kid(struct stage *s, enum key_slot slot)
{
    char out[64];

    keys_kid(s->keys, slot, true, out);
    return arena_str(s->arena, out);
}

static void test_jwks__finds_a_key_by_discovery(void **state)
{
    struct stage *s = *state;

    script_good(s);
    assert_int_equal(find(s, kid(s, KEY_CURRENT), true), JWKS_FOUND);
    assert_int_equal(peer_count(s->peer), 2);
    assert_string_equal(peer_request(s->peer, 0)->target, V2);
    assert_string_equal(peer_request(s->peer, 1)->target, "/keys");
    /* and keeps it */
    assert_int_equal(find(s, kid(s, KEY_CURRENT), false), JWKS_FOUND);
    assert_int_equal(find(s, kid(s, KEY_CURRENT), true), JWKS_FOUND);
    assert_int_equal(peer_count(s->peer), 2);
}

static void test_jwks__never_blocks_who_may_not(void **state)
{
    struct stage *s = *state;

    script_good(s);
    assert_int_equal(find(s, kid(s, KEY_CURRENT), false), JWKS_MUST_WAIT);
    /* The fetch was started by that and is carried on by whoever asks. */
    assert_int_equal(poll_until_not(s, kid(s, KEY_CURRENT), JWKS_MUST_WAIT), JWKS_FOUND);
    assert_int_equal(peer_count(s->peer), 2);
}

static void test_jwks__keeps_versions_and_tenants_apart(void **state)
{
    struct stage *s = *state;
    static const char other[] = "99999999-2222-3333-4444-555555555555";
    struct jwks_key key;

    script_good(s);
    script(s, V1, 0, discovery_of(s, "https://sts.windows.net/" TENANT "/", "/v1keys"));
    script(s, "/v1keys", 0, document(s, NULL));
    assert_int_equal(find(s, kid(s, KEY_CURRENT), true), JWKS_FOUND);
    assert_int_equal(jwks_find(s->jwks, peer_url(s->peer), TENANT, JWKS_V1, kid(s, KEY_CURRENT),
                               true, s->arena, &key),
                     JWKS_FOUND);
    assert_string_equal(key.issuer, "https://sts.windows.net/" TENANT "/");
    EVP_PKEY_free(key.key);
    assert_int_equal(peer_count(s->peer), 4);
    assert_int_equal(jwks_find(s->jwks, peer_url(s->peer), other, JWKS_V2, kid(s, KEY_CURRENT),
                               true, s->arena, &key),
                     JWKS_OUT_OF_REACH);
    assert_int_equal(s->warnings, 1);
}

/* Kids that nobody has use up the looks that are saved up: so many of them have been looked for. */
static unsigned use_up_looks(struct stage *s)
{
    unsigned n = 0;

    for (char stray[] = "stray-a"; find(s, stray, true) == JWKS_UNKNOWN; stray[6]++, n++)
        assert_int_equal(find(s, stray, false), JWKS_UNKNOWN); /* known by now: no further look */
    return n;
}

static void test_jwks__looks_again_for_an_unknown_kid_but_seldom(void **state)
{
    struct stage *s = *state;
    const char *before = kid(s, KEY_CURRENT), *after;

    script(s, V2, 0, s->discovery);
    script(s, "/keys", 5, document(s, ISSUER));
    assert_int_equal(find(s, before, true), JWKS_FOUND);
    assert_int_equal(find(s, "made-up", true), JWKS_UNKNOWN); /* having looked */
    assert_int_equal(peer_count(s->peer), 4);
    assert_int_equal(use_up_looks(s), 3);
    assert_int_equal(peer_count(s->peer), 10);
    assert_int_equal(keys_rotate(s->keys, NULL), ERR_OK);
    after = kid(s, KEY_CURRENT);
    script(s, "/keys", 0, document(s, ISSUER));

    /* Nobody has looked for that one: the sender is asked to come again. */
    assert_int_equal(find(s, after, true), JWKS_OUT_OF_REACH);
    assert_int_equal(find(s, after, false), JWKS_OUT_OF_REACH);
    assert_int_equal(find(s, "made-up", false), JWKS_UNKNOWN);
    hands_turn(&s->hands, 5 * MINUTE_MS - 1);
    assert_int_equal(find(s, after, true), JWKS_OUT_OF_REACH);
    assert_int_equal(find(s, "made-up", true), JWKS_UNKNOWN);
    assert_int_equal(peer_count(s->peer), 10);
    hands_turn(&s->hands, 1);
    assert_int_equal(find(s, after, true), JWKS_FOUND);
    assert_int_equal(find(s, before, true), JWKS_FOUND); /* still in the document */
    assert_int_equal(peer_count(s->peer), 12);
    assert_int_equal(find(s, "made-up", true), JWKS_UNKNOWN);
    assert_int_equal(peer_count(s->peer), 12);
    /* Nor does quiet save up more than four. */
    hands_turn(&s->hands, 50 * MINUTE_MS);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(find(s, "made-up", true), JWKS_UNKNOWN); /* long ago: looked for again */
        assert_int_equal(peer_count(s->peer), 14);
    }
    assert_int_equal(use_up_looks(s), 4 + 3); /* four are known by now, three looks were left */
    assert_int_equal(peer_count(s->peer), 20);
}

/* Whoever makes up kids all the time gets no fetch more than the limit allows, and does no harm. */
static void test_jwks__made_up_kids_neither_fetch_nor_get_a_good_one_refused(void **state)
{
    struct stage *s = *state;
    const char *before = kid(s, KEY_CURRENT), *after;
    char made_up[40];
    int unknown = 0;

    script(s, V2, 0, s->discovery);
    script(s, "/keys", 1, document(s, ISSUER));
    assert_int_equal(find(s, before, true), JWKS_FOUND);
    assert_int_equal(keys_rotate(s->keys, NULL), ERR_OK);
    after = kid(s, KEY_CURRENT);
    script(s, "/keys", 4, buf_text(&s->documents[0])); /* the authority is slow to show it */
    script(s, "/keys", 0, document(s, ISSUER));
    for (int minute = 0; minute < 4; minute++) {
        for (int i = 0; i < 500; i++) {
            (void)snprintf(made_up, sizeof made_up, "made-up-%d-%d", minute, i);
            unknown += find(s, made_up, true) == JWKS_UNKNOWN;
        }
        assert_int_equal(find(s, after, true), JWKS_OUT_OF_REACH);
        assert_int_equal(find(s, before, true), JWKS_FOUND);
        hands_turn(&s->hands, MINUTE_MS);
    }
    assert_int_equal(unknown, 4); /* those that were looked for */
    assert_int_equal(peer_count(s->peer), 10);
    hands_turn(&s->hands, MINUTE_MS);
    assert_int_equal(find(s, "made-up-again", true), JWKS_UNKNOWN);
    assert_int_equal(find(s, after, false), JWKS_FOUND); /* by whomever the look was caused */
    assert_int_equal(peer_count(s->peer), 12);
}

static void test_jwks__nobody_looks_for_what_cannot_be_a_kid(void **state)
{
    static const char *const rows[] = {"", "a b", "../../etc/passwd", "x' OR '1'='1", "{}", "a,b"};
    struct stage *s = *state;

    script_good(s);
    assert_int_equal(find(s, kid(s, KEY_CURRENT), true), JWKS_FOUND);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(find(s, rows[i], true), JWKS_UNKNOWN);
    assert_int_equal(peer_count(s->peer), 2);
}

/* Any fetch that began after a kid was shown is a look for it, the first and the hourly ones too. */
static void test_jwks__a_fetch_is_a_look_for_all_that_were_shown_before(void **state)
{
    struct stage *s = *state;

    script_good(s);
    assert_int_equal(find(s, "shown-first", true), JWKS_UNKNOWN);
    assert_int_equal(peer_count(s->peer), 2);
    assert_int_equal(use_up_looks(s), 4);
    assert_int_equal(find(s, "shown-later", true), JWKS_OUT_OF_REACH);
    assert_int_equal(peer_count(s->peer), 10);
    hands_turn(&s->hands, HOUR_MS);
    assert_int_equal(find(s, kid(s, KEY_CURRENT), false), JWKS_FOUND); /* starts the refresh */
    assert_int_equal(poll_until_not(s, "shown-later", JWKS_MUST_WAIT), JWKS_UNKNOWN);
    assert_int_equal(peer_count(s->peer), 12);
}

/* Otherwise a key that rolls within minutes of a start would be refused for good: 401 is not retried. */
static void test_jwks__the_first_fetch_does_not_count_as_looking_again(void **state)
{
    struct stage *s = *state;
    const char *before = kid(s, KEY_CURRENT), *after;

    script(s, V2, 0, s->discovery);
    script(s, "/keys", 1, document(s, ISSUER));
    assert_int_equal(find(s, before, true), JWKS_FOUND);
    assert_int_equal(keys_rotate(s->keys, NULL), ERR_OK);
    after = kid(s, KEY_CURRENT);
    script(s, "/keys", 0, document(s, ISSUER));
    assert_int_equal(find(s, after, true), JWKS_FOUND);
    assert_int_equal(peer_count(s->peer), 4);
}

static void test_jwks__a_look_that_failed_says_nothing_about_a_kid(void **state)
{
    struct stage *s = *state;
    const char *before = kid(s, KEY_CURRENT), *after;

    script(s, V2, 1, s->discovery);
    script(s, "/keys", 1, document(s, ISSUER));
    peer_script(s->peer, &(struct peer_answer){.status = 503});
    assert_int_equal(find(s, before, true), JWKS_FOUND);
    assert_int_equal(keys_rotate(s->keys, NULL), ERR_OK);
    after = kid(s, KEY_CURRENT);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(find(s, after, true), JWKS_OUT_OF_REACH);
        hands_turn(&s->hands, 10 * SECOND_MS);
    }
    peer_forget(s->peer);
    script_good(s);
    assert_int_equal(find(s, after, true), JWKS_FOUND);
}

static void test_jwks__an_hourly_refresh_does_not_count_as_looking_again(void **state)
{
    struct stage *s = *state;
    const char *before = kid(s, KEY_CURRENT), *after;

    script(s, V2, 0, s->discovery);
    script(s, "/keys", 2, document(s, ISSUER));
    assert_int_equal(find(s, before, true), JWKS_FOUND);
    hands_turn(&s->hands, HOUR_MS);
    assert_int_equal(find(s, before, false),
                     JWKS_FOUND); /* starts the refresh, and waits for nothing */
    assert_non_null(peer_request(s->peer, 2));
    while (peer_count(s->peer) < 4) {
        assert_int_equal(find(s, before, false), JWKS_FOUND);
        sched_yield();
    }
    /* Right after it the keys roll: the new one is found at once. */
    assert_int_equal(keys_rotate(s->keys, NULL), ERR_OK);
    after = kid(s, KEY_CURRENT);
    script(s, "/keys", 0, document(s, ISSUER));
    assert_int_equal(find(s, after, true), JWKS_FOUND);
    assert_int_equal(peer_count(s->peer), 6);
}

static void test_jwks__a_key_that_left_the_document_is_trusted_no_longer(void **state)
{
    struct stage *s = *state;
    const char *gone = kid(s, KEY_CURRENT);

    script(s, V2, 0, s->discovery);
    script(s, "/keys", 1, document(s, ISSUER));
    assert_int_equal(find(s, gone, true), JWKS_FOUND);
    assert_int_equal(keys_rotate(s->keys, NULL), ERR_OK);
    keys_retire(s->keys);
    script(s, "/keys", 0, document(s, ISSUER));
    hands_turn(&s->hands, HOUR_MS);
    assert_int_equal(poll_until_not(s, gone, JWKS_FOUND), JWKS_MUST_WAIT); /* looked for */
    assert_int_equal(find(s, gone, true), JWKS_OUT_OF_REACH);
    assert_int_equal(peer_count(s->peer), 6);
    hands_turn(&s->hands, 5 * MINUTE_MS - 1);
    assert_int_equal(find(s, gone, true), JWKS_OUT_OF_REACH);
    assert_int_equal(peer_count(s->peer), 6);
    hands_turn(&s->hands, 1);
    assert_int_equal(find(s, gone, true), JWKS_UNKNOWN);
    assert_int_equal(peer_count(s->peer), 8);
    assert_int_equal(find(s, gone, true), JWKS_UNKNOWN);
    assert_int_equal(peer_count(s->peer), 8);
}

/* Whose servers do not all have the newest document: a good sender is never told 401, which none repeats. */
static void test_jwks__an_older_document_refuses_nobody_for_good(void **state)
{
    struct stage *s = *state;
    const char *before = kid(s, KEY_CURRENT), *after, *older = document(s, ISSUER), *newer;

    assert_int_equal(keys_rotate(s->keys, NULL), ERR_OK);
    after = kid(s, KEY_CURRENT);
    newer = document(s, ISSUER);
    script(s, V2, 0, s->discovery);
    script(s, "/keys", 1, newer);
    script(s, "/keys", 2, older);
    script(s, "/keys", 0, newer);
    assert_int_equal(find(s, after, true), JWKS_FOUND);
    hands_turn(&s->hands, HOUR_MS);
    assert_int_equal(poll_until_not(s, after, JWKS_FOUND), JWKS_MUST_WAIT); /* looked for at once */
    assert_int_equal(find(s, after, true), JWKS_OUT_OF_REACH);
    assert_int_equal(find(s, before, true), JWKS_FOUND);
    assert_int_equal(peer_count(s->peer), 6);
    hands_turn(&s->hands, 5 * MINUTE_MS);
    assert_int_equal(find(s, after, true), JWKS_FOUND);
    assert_int_equal(peer_count(s->peer), 8);
}

static void test_jwks__keeps_the_last_good_keys_for_a_day(void **state)
{
    struct stage *s = *state;
    const char *good = kid(s, KEY_CURRENT);

    script(s, V2, 1, s->discovery);
    script(s, "/keys", 1, document(s, ISSUER));
    peer_script(s->peer, &(struct peer_answer){.status = 503});
    assert_int_equal(find(s, good, true), JWKS_FOUND);
    for (int hour = 1; hour < 24; hour++) {
        hands_turn(&s->hands, HOUR_MS);
        assert_int_equal(find(s, good, false), JWKS_FOUND);
        /* An unknown kid waits for the refresh that fails; the known one does not care. */
        assert_int_equal(find(s, "new", true), JWKS_OUT_OF_REACH);
        assert_int_equal(find(s, good, false), JWKS_FOUND);
    }
    assert_int_equal(s->warnings, 23);
    hands_turn(&s->hands, HOUR_MS);
    assert_int_equal(find(s, good, true), JWKS_OUT_OF_REACH);
    peer_forget(s->peer);
    script_good(s);
    hands_turn(&s->hands, 10 * SECOND_MS);
    assert_int_equal(find(s, good, true), JWKS_FOUND);
}

/* An answer that came while nobody asked is as old as it is: whoever picks it up days later does not make it new. */
static void test_jwks__an_answer_that_lay_there_for_days_is_not_new(void **state)
{
    struct stage *s = *state;
    const char *gone = kid(s, KEY_CURRENT);

    script(s, V2, 0, s->discovery);
    script(s, "/keys", 2, document(s, ISSUER));
    assert_int_equal(find(s, gone, true), JWKS_FOUND);
    hands_turn(&s->hands, HOUR_MS);
    while (peer_count(s->peer) < 4) { /* the refresh, as far as the request for the keys */
        assert_int_equal(find(s, gone, false), JWKS_FOUND);
        sched_yield();
    }
    /* The key is taken back, and pushes come again two days later. */
    assert_int_equal(keys_rotate(s->keys, NULL), ERR_OK);
    keys_retire(s->keys);
    script(s, "/keys", 0, document(s, ISSUER));
    hands_turn(&s->hands, 2 * DAY_MS);
    assert_int_equal(find(s, gone, true), JWKS_OUT_OF_REACH);
    assert_int_equal(find(s, kid(s, KEY_CURRENT), false), JWKS_FOUND);
}

static void test_jwks__does_not_hammer_a_dead_authority(void **state)
{
    struct stage *s = *state;

    peer_script(s->peer, &(struct peer_answer){.act = PEER_RESET});
    assert_int_equal(find(s, "k", true), JWKS_OUT_OF_REACH);
    {
        size_t asked = peer_count(s->peer);

        for (int i = 0; i < 100; i++) {
            assert_int_equal(find(s, "k", true), JWKS_OUT_OF_REACH);
            assert_int_equal(find(s, "k", false), JWKS_OUT_OF_REACH);
        }
        assert_int_equal(peer_count(s->peer), asked);
    }
    assert_int_equal(s->warnings, 1);
    peer_forget(s->peer);
    script_good(s);
    hands_turn(&s->hands, 10 * SECOND_MS);
    assert_int_equal(find(s, kid(s, KEY_CURRENT), true), JWKS_FOUND);
}

struct asker {
    struct stage *s;
    const char *kid;
    bool may_block;
    int found[20];
};

static void *ask_often(void *arg)
{
    struct asker *a = arg;
    struct arena *arena = arena_new(0);

    for (size_t i = 0; i < sizeof a->found / sizeof *a->found; i++) {
        struct jwks_key key;

        a->found[i] = (int)jwks_find(a->s->jwks, peer_url(a->s->peer), TENANT, JWKS_V2, a->kid,
                                     a->may_block, arena, &key);
        EVP_PKEY_free(key.key);
    }
    arena_free(arena);
    return NULL;
}

static void test_jwks__many_threads_share_one_fetch(void **state)
{
    struct stage *s = *state;
    struct asker askers[12];
    pthread_t threads[12];

    script_good(s);
    for (size_t i = 0; i < 12; i++) {
        askers[i] = (struct asker){
            .s = s, .kid = kid(s, i % 3 ? KEY_CURRENT : KEY_UNKNOWN), .may_block = i % 4 != 1};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &askers[i]), 0);
    }
    for (size_t i = 0; i < 12; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < 12; i++)
        for (size_t j = 0; askers[i].may_block && j < 20; j++)
            assert_int_equal(askers[i].found[j], i % 3 ? JWKS_FOUND : JWKS_UNKNOWN);
    /* The first one, and the one look for the unknown, unless it was shown before the first began. */
    assert_true(peer_count(s->peer) == 4 || peer_count(s->peer) == 2);
}

static void test_jwks__a_fetch_may_be_left_behind(void **state)
{
    struct stage *s = *state;

    peer_script(s->peer, &(struct peer_answer){.act = PEER_HANG});
    assert_int_equal(find(s, "k", false), JWKS_MUST_WAIT);
    assert_non_null(peer_request(s->peer, 0)); /* and teardown ends it all */
}

static void test_jwks__believes_only_its_own_authority(void **state)
{
    static const char ms[] = "https://login.microsoftonline.com";
    static const struct {
        const char *login, *url;
        bool trusted;
    } rows[] = {
        {ms, "https://login.microsoftonline.com/common/discovery/keys", true},
        {ms, "https://LOGIN.microsoftonline.com/x", true},
        {ms, "https://sts.microsoftonline.com/x", true},
        {ms, "https://a.b.microsoftonline.com/x", true},
        {ms, "https://login.microsoftonline.com", false}, /* no path */
        {ms, "https://login.microsoftonline.com.evil.example/x", false},
        {ms, "https://evilmicrosoftonline.com/x", false},
        {ms, "https://microsoftonline.com/x", false},
        {ms, "https://login.microsoftonline.us/x", false},
        {ms, "https://evil.example/login.microsoftonline.com/", false},
        {ms, "https://evil.example/.microsoftonline.com/x", false},
        {ms, "https://login.microsoftonline.com@evil.example/x", false},
        {ms, "https://evil.example#.microsoftonline.com/x", false},
        {ms, "https://evil.example\\.microsoftonline.com/x", false},
        {ms, "https://evil.example?.microsoftonline.com/x", false},
        {ms, "https://x.microsoftonline.com:444/x", false},
        {ms, "http://login.microsoftonline.com/x", false},
        {ms, "file:///etc/passwd", false},
        {ms, "", false},
        {"https://login.partner.microsoftonline.cn", "https://x.partner.microsoftonline.cn/k",
         true},
        {"https://login.partner.microsoftonline.cn", "https://login.microsoftonline.cn/k", false},
        {"https://login.example.co.uk", "https://keys.example.co.uk/k", true},
        {"https://login.example.co.uk", "https://evil.co.uk/k", false},
        {"https://contoso.com", "https://x.contoso.com/k", false},
        {"https://contoso.com", "https://evil.com/k", false},
        {"https://contoso.com", "https://contoso.com/k", true},
        {"https://login.contoso.com:8443/base", "https://login.contoso.com:8443/k", true},
        {"https://login.contoso.com:8443/base", "https://login.contoso.com:84430/k", false},
        {"http://127.0.0.1:8080", "http://127.0.0.1:8080/k", true},
        {"http://127.0.0.1:8080", "http://127.0.0.1:8081/k", false},
        {"https://127.0.0.1", "https://1.0.0.1/k", false},
        {"https://10.0.0.1", "https://x.0.0.1/k", false},
        {"https://[::1]:8080", "https://[::1]:8080/k", true},
        {"https://localhost", "https://x.localhost/k", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (jwks_url_is_trusted(rows[i].login, rows[i].url) != rows[i].trusted)
            fail_msg("%s, %s", rows[i].login, rows[i].url);
}

static void test_jwks__takes_the_tenant_independent_documents(void **state)
{
    struct stage *s = *state;
    static const char mark[] = "https://login.microsoftonline.com/{tenantid}/v2.0";

    script(s, V2, 0, discovery_of(s, mark, "/keys"));
    script(s, "/keys", 0, document(s, mark));
    assert_int_equal(find(s, kid(s, KEY_CURRENT), true), JWKS_FOUND);
}

static void test_jwks__refuses_documents_that_are_not_as_they_should_be(void **state)
{
    struct stage *s = *state;
    AUTO(buf_clear) struct buf many = BUF_INIT(1 << 16);
    const char *keys = document(s, ISSUER);
    const struct {
        const char *what, *discovery, *keys;
    } rows[] = {
        {"no JSON", "<html>", keys},
        {"a list", "[]", keys},
        {"empty", "", keys},
        {"no issuer", arena_fmt(s->arena, "{\"jwks_uri\":\"%s/keys\"}", peer_url(s->peer)), keys},
        {"no jwks_uri", "{\"issuer\":\"" ISSUER "\"}", keys},
        {"another tenant's issuer",
         discovery_of(s,
                      "https://login.microsoftonline.com/99999999-2222-3333-4444-555555555555/v2.0",
                      "/keys"),
         keys},
        {"keys elsewhere", "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://evil.example/keys\"}",
         keys},
        {"issuer twice",
         arena_fmt(s->arena,
                   "{\"issuer\":\"" ISSUER "\",\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"%s/keys\"}",
                   peer_url(s->peer)),
         keys},
        {"a key document that is no JSON", s->discovery, "<html>"},
        {"one without keys", s->discovery, "{}"},
        {"with none", s->discovery, "{\"keys\":[]}"},
        {"with keys that are no list", s->discovery, "{\"keys\":{}}"},
        {"with another issuer's keys", s->discovery,
         document(s,
                  "https://login.microsoftonline.com/99999999-2222-3333-4444-555555555555/v2.0")},
        {"with a key twice", s->discovery,
         arena_fmt(s->arena, "{\"keys\":[%.*s,%s", (int)(strlen(keys) - 11), keys + 9, keys + 9)},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        peer_forget(s->peer);
        script(s, V2, 0, rows[i].discovery);
        script(s, "/keys", 0, rows[i].keys);
        if (find(s, kid(s, KEY_CURRENT), true) != JWKS_OUT_OF_REACH)
            fail_msg("%s was taken", rows[i].what);
        hands_turn(&s->hands, 10 * SECOND_MS);
    }
    /* A status other than 200, and more than one may say. */
    peer_forget(s->peer);
    peer_script(s->peer, &(struct peer_answer){.target = V2,
                                               .status = 302,
                                               .headers = "Location: /keys\r\n",
                                               .body = s->discovery});
    assert_int_equal(find(s, kid(s, KEY_CURRENT), true), JWKS_OUT_OF_REACH);
    hands_turn(&s->hands, 10 * SECOND_MS);
    peer_forget(s->peer);
    script(s, V2, 0, s->discovery);
    script(s, "/keys", 0, arena_fmt(s->arena, "{\"keys\":[],\"x\":\"%0600000d\"}", 1));
    assert_int_equal(find(s, kid(s, KEY_CURRENT), true), JWKS_OUT_OF_REACH);
    hands_turn(&s->hands, 10 * SECOND_MS);
    peer_forget(s->peer);
    script(s, V2, 0, s->discovery);
    buf_adds(&many, "{\"keys\":[");
    for (int i = 0; i < 100; i++)
        buf_adds(&many, "{},");
    buf_adds(&many, keys + 9); /* behind {"keys":[ */
    script(s, "/keys", 0, buf_text(&many));
    assert_int_equal(find(s, kid(s, KEY_CURRENT), true), JWKS_OUT_OF_REACH);
    /* The world is well again. */
    hands_turn(&s->hands, 10 * SECOND_MS);
    peer_forget(s->peer);
    script_good(s);
    assert_int_equal(find(s, kid(s, KEY_CURRENT), true), JWKS_FOUND);
}

/* One key after the other in a document beside a good one; none may be found, and none may spoil it. */
static void test_jwks__passes_over_keys_that_are_not_fit(void **state)
{
    struct stage *s = *state;
    const char *good = document(s, ISSUER), *inside = good + 9; /* behind {"keys":[ */
    size_t inside_len = strlen(good) - 11;                      /* before ]} */
    const char *n = strstr(good, "\"n\":\"") + 5;
    int n_len = (int)strcspn(n, "\"");
    const char *const rows[] = {
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"%n\"}",
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"%n\",\"e\":\"\"}",
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"%n\",\"e\":\"AQ\"}",   /* 1 */
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"%n\",\"e\":\"Aw\"}",   /* 3 */
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"%n\",\"e\":\"AQAA\"}", /* even */
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"%n\",\"e\":\"AAEAAQ\"}", /* leading zero */
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"%n\",\"e\":\"AQAAAAE\"}", /* 2^32+1 */
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"%n\",\"e\":\"AQAB=\"}",
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"%n\",\"e\":65537}",
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"%n=\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"AA%n\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"use\":\"enc\",\"kid\":\"k\",\"n\":\"%n\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"%n\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"alg\":\"RS512\",\"kid\":\"k\",\"n\":\"%n\",\"e\":\"AQAB\"}",
        "{\"kty\":\"rsa\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"%n\",\"e\":\"AQAB\"}",
        "{\"kty\":\"EC\",\"use\":\"sig\",\"kid\":\"k\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"oct\",\"use\":\"sig\",\"kid\":\"k\",\"k\":\"AAAA\"}",
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"n\":\"%n\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":5,\"n\":\"%n\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"\",\"n\":\"%n\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"%n\",\"e\":\"AQAB\",\"issuer\":\"x\"}",
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"gQ\",\"e\":\"AQAB\"}", /* 8 bits */
        "null",
        "5",
        "\"k\"",
        "[]",
        "{}",
    };

    script(s, V2, 0, s->discovery);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *mark = strstr(rows[i], "%n");
        char *bad = mark ? arena_fmt(s->arena, "%.*s%.*s%s", (int)(mark - rows[i]), rows[i], n_len,
                                     n, mark + 2)
                         : arena_str(s->arena, rows[i]);

        peer_forget(s->peer);
        script(s, V2, 0, s->discovery);
        script(s, "/keys", 0,
               arena_fmt(s->arena, "{\"keys\":[%s,%.*s]}", bad, (int)inside_len, inside));
        hands_turn(&s->hands, 5 * MINUTE_MS);
        if (find(s, "k", true) != JWKS_UNKNOWN)
            fail_msg("%s", rows[i]);
        assert_int_equal(find(s, kid(s, KEY_CURRENT), true), JWKS_FOUND);
    }
    /* And it is this table that was tested: the same key with nothing wrong is found. */
    peer_forget(s->peer);
    script(s, V2, 0, s->discovery);
    script(s, "/keys", 0,
           arena_fmt(s->arena,
                     "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"sig\",\"alg\":\"RS256\",\"kid\":\"k\","
                     "\"n\":\"%.*s\",\"e\":\"AQAB\"}]}",
                     n_len, n));
    hands_turn(&s->hands, 5 * MINUTE_MS);
    assert_int_equal(find(s, "k", true), JWKS_FOUND);
}

static void test_jwks__refuses_keys_of_1024_bits(void **state)
{
    struct stage *s = *state;
    EVP_PKEY *small = EVP_RSA_gen(1024);
    BIGNUM *n = NULL;
    unsigned char bytes[128];
    AUTO(buf_clear) struct buf text = BUF_INIT(1000);

    assert_int_equal(EVP_PKEY_get_bn_param(small, "n", &n), 1);
    assert_int_equal(BN_bn2binpad(n, bytes, sizeof bytes), 128);
    b64url_add(&text, bytes, sizeof bytes);
    script(s, V2, 0, s->discovery);
    script(s, "/keys", 0,
           arena_fmt(s->arena,
                     "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"%s\","
                     "\"e\":\"AQAB\"}]}",
                     buf_text(&text)));
    assert_int_equal(find(s, "k", true), JWKS_OUT_OF_REACH);
    BN_free(n);
    EVP_PKEY_free(small);
}

static void test_jwks__without_memory_nothing_is_lost(void **state)
{
    struct stage *s = *state;
    const char *k = kid(s, KEY_CURRENT);

    script_good(s);
    for (long n = 1;; n++) {
        struct jwks *jwks = NULL;
        struct jwks_key key = {0};
        enum jwks_found found = JWKS_OUT_OF_REACH;
        bool failed;

        log_divert(NULL, NULL);
        log_setup(LOG_ERROR, false);
        torture_arm(n);
        if (jwks_new(&(struct jwks_options){.rest = s->rest, .clock = &s->hands.clock}, &jwks,
                     NULL) == ERR_OK)
            found = jwks_find(jwks, peer_url(s->peer), TENANT, JWKS_V2, k, true, s->arena, &key);
        failed = torture_disarm();
        log_setup(LOG_INFO, false);
        EVP_PKEY_free(key.key);
        jwks_free(jwks);
        if (!failed) {
            assert_int_equal(found, JWKS_FOUND);
            break;
        }
        assert_true(found == JWKS_OUT_OF_REACH || found == JWKS_FOUND);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_jwks__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(finds_a_key_by_discovery),
        TEST(never_blocks_who_may_not),
        TEST(keeps_versions_and_tenants_apart),
        TEST(looks_again_for_an_unknown_kid_but_seldom),
        TEST(made_up_kids_neither_fetch_nor_get_a_good_one_refused),
        TEST(nobody_looks_for_what_cannot_be_a_kid),
        TEST(a_fetch_is_a_look_for_all_that_were_shown_before),
        TEST(the_first_fetch_does_not_count_as_looking_again),
        TEST(a_look_that_failed_says_nothing_about_a_kid),
        TEST(an_hourly_refresh_does_not_count_as_looking_again),
        TEST(a_key_that_left_the_document_is_trusted_no_longer),
        TEST(an_older_document_refuses_nobody_for_good),
        TEST(keeps_the_last_good_keys_for_a_day),
        TEST(an_answer_that_lay_there_for_days_is_not_new),
        TEST(does_not_hammer_a_dead_authority),
        TEST(many_threads_share_one_fetch),
        TEST(a_fetch_may_be_left_behind),
        TEST(believes_only_its_own_authority),
        TEST(takes_the_tenant_independent_documents),
        TEST(refuses_documents_that_are_not_as_they_should_be),
        TEST(passes_over_keys_that_are_not_fit),
        TEST(refuses_keys_of_1024_bits),
        TEST(without_memory_nothing_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
