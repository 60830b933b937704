/* scheme.c - see scheme.h. */
#include "kit/scheme.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <cmocka.h>

void scheme_open(struct scheme *s)
{
    struct hands hands = HANDS_INIT;
    const char *tmp = getenv("TMPDIR");

    memset(s, 0, sizeof *s);
    s->hands.clock = hands.clock;
    s->hands.wall = hands.wall;
    s->hands.mono = hands.mono;
    s->env.clock = &s->hands.clock;
    s->source = (struct verify_source){.name = "relay",
                                       .tenant_id = "11111111-2222-3333-4444-555555555555",
                                       .login_url = "https://login.microsoftonline.com",
                                       .loopback = true};
    s->arena = arena_new(0);
    assert_non_null(s->arena);
    (void)snprintf(s->folder, sizeof s->folder, "%s/scheme-XXXXXX",
                   tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    assert_non_null(mkdtemp(s->folder));
    (void)snprintf(s->file, sizeof s->file, "%s/cordon.yaml", s->folder);
}

void scheme_close(struct scheme *s)
{
    verifier_clear(s->verifier);
    arena_free(s->arena);
    for (size_t i = 0; i < s->n_paths; i++)
        (void)unlink(s->paths[i]);
    assert_int_equal(rmdir(s->folder), 0);
}

void scheme_file(struct scheme *s, const char *name, const char *text)
{
    char *path = s->paths[s->n_paths++];
    FILE *f;

    assert_true(s->n_paths <= sizeof s->paths / sizeof *s->paths);
    (void)snprintf(path, sizeof *s->paths, "%s/%s", s->folder, name);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

bool scheme_compile(struct scheme *s, const char *yaml)
{
    struct yaml_node *root = NULL;
    struct err e = {0};

    verifier_clear(s->verifier);
    yaml_faults_init(&s->faults, s->arena);
    s->reader = (struct settings_reader){
        .arena = s->arena, .faults = &s->faults, .notes = s->notes, .clock = &s->hands.clock};
    if (yaml_read(s->arena, s->file, yaml, strlen(yaml), &root, &e))
        fail_msg("%s: %s", yaml, e.text);
    s->verifier = verifier_compile(&s->reader, root, &s->source);
    assert_int_equal(s->verifier != NULL, s->faults.count == 0);
    return s->verifier != NULL;
}

const char *scheme_faults(struct scheme *s)
{
    char *out = arena_str(s->arena, "");

    for (const struct yaml_fault *f = s->faults.first; f; f = f->next)
        out = arena_fmt(s->arena, "%s%u:%u: %s\n", out, f->line, f->column, f->text);
    assert_non_null(out);
    return out;
}

const char *scheme_header(void *ctx, const char *name, unsigned *ret_count)
{
    const char *value = NULL;
    unsigned count = 0;

    for (const struct scheme_header *h = ctx; h->name; h++)
        if (strcasecmp(h->name, name) == 0 && !count++)
            value = h->value;
    if (ret_count)
        *ret_count = count;
    return value;
}

enum verify_verdict scheme_ask(struct scheme *s, const struct scheme_header *headers,
                               const char *body, size_t body_len, struct verify_result *ret)
{
    const struct verify_request q = {.method = "POST",
                                     .path = "/hooks/relay",
                                     .query = s->query ? s->query : "",
                                     .header = scheme_header,
                                     .ctx = (void *)headers,
                                     .body = body,
                                     .body_len = body_len,
                                     .certificates = s->certificates,
                                     .certificates_len = s->certificates_len,
                                     .now_ms = clock_wall_ms(&s->hands.clock),
                                     .may_block = s->may_block,
                                     .clock_is_off = s->clock_is_off,
                                     .arena = s->arena};

    memset(ret, 0, sizeof *ret);
    verifier_check(s->verifier, &s->env, &q, ret);
    return ret->verdict;
}

/* Shows the request with each bit of text turned, one at a time; text is a part of it. */
static size_t flip_all(struct scheme *s, const struct scheme_header *headers, const char *body,
                       size_t body_len, char *text, size_t len, size_t caseless, const char *what)
{
    struct verify_result r;

    for (size_t bit = 0; bit < 8 * len; bit++) {
        bool same = bit / 8 < caseless && bit % 8 == 5; /* what parts a from A */

        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
        if ((scheme_ask(s, headers, body, body_len, &r) == VERIFY_GOOD) != same)
            fail_msg("%s with bit %zu turned: verdict %d: %s", what, bit, r.verdict, r.why);
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
    }
    return 8 * len;
}

size_t scheme_refuses_flips(struct scheme *s, const struct scheme_header *headers, const char *body,
                            size_t body_len, bool signs_body, size_t caseless)
{
    struct scheme_header copy[12] = {{NULL, NULL}};
    char *own = body ? arena_strn(s->arena, body, body_len) : NULL;
    struct verify_result r;
    size_t count = 0, shown = 0;

    for (; headers[count].name; count++) {
        assert_true(count + 1 < sizeof copy / sizeof *copy);
        copy[count] =
            (struct scheme_header){headers[count].name, arena_str(s->arena, headers[count].value)};
    }
    if (scheme_ask(s, copy, own, body_len, &r) != VERIFY_GOOD)
        fail_msg("not good as it is: %s", r.why);
    for (size_t i = 0; i < count; i++) {
        bool is_credential = strcasecmp(copy[i].name, "Authorization") == 0;

        shown += flip_all(s, copy, own, body_len, (char *)copy[i].value, strlen(copy[i].value),
                          is_credential ? caseless : 0, copy[i].name);
    }
    if (signs_body)
        shown += flip_all(s, copy, own, body_len, own, body_len, 0, "the body");
    assert_int_equal(scheme_ask(s, copy, own, body_len, &r), VERIFY_GOOD);
    return shown;
}
