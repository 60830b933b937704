/* fuzz_jwt.c - any token: no crash, nothing taken that could be written in a second way, and no signature that
 * fits a key whose private half nobody has.
 *
 * An input that begins with '{' is a header and, behind a line break, a payload, which are encoded here: so
 * the fuzzer gets past the base64 to what is inside. Any other input is a token as it came.
 */
#include <assert.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "jwt.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EVP_PKEY *key;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    key = EVP_RSA_gen(2048);
    return key ? 0 : -1;
}

/* base64url without padding, by OpenSSL's encoder. */
static void add_encoded(struct buf *out, const void *bytes, size_t len)
{
    char *text = malloc(len / 3 * 4 + 5);

    assert(text);
    (void)EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
    text[strcspn(text, "=")] = '\0';
    for (char *c = text; *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    buf_adds(out, text);
    free(text);
}

static void make_token(struct buf *out, const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    size_t header = end ? (size_t)(end - data) : size;

    add_encoded(out, data, header);
    buf_addc(out, '.');
    if (end)
        add_encoded(out, end + 1, size - header - 1);
    buf_adds(out, ".AAAA");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(buf_clear) struct buf token = BUF_INIT(1 << 20), signature = BUF_INIT(1 << 20);
    struct err e = {0};
    struct jwt t;
    enum err_code code;

    assert(arena);
    if (size && data[0] == '{')
        make_token(&token, data, size);
    else
        buf_add(&token, data, size);
    code = jwt_parse(arena, buf_text(&token), &t, &e);
    assert(code == ERR_OK || code == ERR_INVALID);
    if (code) {
        assert(e.code == code && e.text[0]);
        return 0;
    }
    assert(*t.kid && strlen(t.kid) <= JWT_KID_MAX);
    assert(json_type(t.claims) == JSON_OBJECT);
    assert(t.signed_text == buf_text(&token) && t.signed_text[t.signed_len] == '.');
    add_encoded(&signature, t.signature, t.signature_len);
    assert(strcmp(t.signed_text + t.signed_len + 1, buf_text(&signature)) == 0);
    assert(jwt_verify(&t, key, &e) == ERR_DENIED);
    jwt_clear(&t);
    return 0;
}
