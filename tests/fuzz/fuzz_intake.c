/* fuzz_intake.c - any body: what intake_read takes has only ids of their alphabets, each alert once, at most
 * a hundred; written as the canonical body it is read as the same again, and so it is in base64 and within
 * a CloudEvent. What it refuses, it refuses with a sentence. A validation code
 * is of harmless characters, and comes alone. */
#include <assert.h>
#include <ctype.h>
#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "intake.h"
#include "json.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(const struct intake *in)
{
    assert(in->count <= INTAKE_BATCH_MAX);
    assert(in->count > 0 || in->test || in->validation_code);
    if (in->validation_code) {
        size_t len = strlen(in->validation_code);

        assert(!in->count && !in->test && len >= 1 && len <= INTAKE_CODE_MAX);
        for (const char *c = in->validation_code; *c; c++)
            assert(isalnum((unsigned char)*c) || *c == '-' || *c == '_');
    }
    for (size_t i = 0; i < in->count; i++) {
        const struct alert_ref *a = &in->alerts[i];
        size_t len = strlen(a->alert_id);

        assert(len >= 1 && len <= 128 && strcmp(a->alert_id, ".") && strcmp(a->alert_id, ".."));
        for (const char *c = a->alert_id; *c; c++)
            assert(isalnum((unsigned char)*c) || strchr("_.-", *c));
        for (size_t j = 0; j < i; j++)
            assert(strcmp(in->alerts[j].alert_id, a->alert_id) != 0);
        if (a->machine_id) {
            assert(strlen(a->machine_id) >= 32 && strlen(a->machine_id) <= 64);
            assert(strspn(a->machine_id, "0123456789abcdef") == strlen(a->machine_id));
        }
        assert(!a->tenant_id || strlen(a->tenant_id) == 36);
    }
}

static void write_canonically(const struct intake *in, struct buf *out)
{
    struct json_out o = JSON_OUT(out);

    json_out_array(&o, NULL);
    for (size_t i = 0; i < in->count; i++) {
        json_out_object(&o, NULL);
        json_out_string(&o, "alertId", in->alerts[i].alert_id);
        json_out_string(&o, "machineId", in->alerts[i].machine_id);
        json_out_string(&o, "tenantId", in->alerts[i].tenant_id);
        json_out_bool(&o, "test", in->test);
        json_out_object_end(&o);
    }
    json_out_array_end(&o);
}

static void read_again(struct arena *arena, const struct buf *body, const struct intake *in)
{
    struct intake again;
    struct err e = {0};

    assert(intake_read(arena, buf_text(body), body->len, &again, &e) == ERR_OK);
    assert(again.count == in->count && again.test == in->test && !again.validation_code);
    for (size_t i = 0; i < in->count; i++) {
        assert(text_is_same(again.alerts[i].alert_id, in->alerts[i].alert_id));
        assert(text_is_same(again.alerts[i].machine_id, in->alerts[i].machine_id));
        assert(text_is_same(again.alerts[i].tenant_id, in->alerts[i].tenant_id));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(buf_clear) struct buf canonical = BUF_INIT(1 << 20), wrapped = BUF_INIT(1 << 20);
    unsigned char *encoded;
    struct intake in;
    struct err e = {0};
    enum err_code code;

    assert(arena);
    code = intake_read(arena, (const char *)data, size, &in, &e);
    assert(code == ERR_OK || code == ERR_INVALID || code == ERR_TOO_BIG);
    if (code) {
        assert(e.code == code && e.text[0]);
        return 0;
    }
    look_at(&in);
    if (!in.count)
        return 0;
    write_canonically(&in, &canonical);
    read_again(arena, &canonical, &in);
    buf_addf(&wrapped,
             "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"x\",\"type\":\"y\",\"data\":%s}",
             buf_text(&canonical));
    read_again(arena, &wrapped, &in);
    encoded = arena_alloc(arena, canonical.len * 2 + 8);
    assert(encoded);
    buf_reset(&wrapped);
    buf_add(&wrapped, (const char *)encoded,
            (size_t)EVP_EncodeBlock(encoded, (const unsigned char *)buf_text(&canonical),
                                    (int)canonical.len));
    read_again(arena, &wrapped, &in);
    return 0;
}
