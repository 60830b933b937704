/* fuzz_json.c - any bytes: json_parse must not crash, must never take what cJSON then refuses (that
 * would come back as ERR_NOMEM), and what it takes must survive being written and read again.
 *
 * The model of a target: tests/fuzz/fuzz_NAME.c with this one function, seeds as files in
 * tests/fuzz/seeds/NAME/, and if there are any, words of the format in tests/fuzz/NAME.dict.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct json *v)
{
    int64_t i;
    double d;

    (void)json_int64(v, &i);
    (void)json_int64_lax(v, &i);
    (void)json_double(v, &d);
    assert((json_type(v) == JSON_STRING) == (json_string(v) != NULL));
    JSON_EACH (c, v) {
        if (json_type(v) == JSON_OBJECT)
            assert(json_get(v, json_name(c)) == c); /* names are unique */
        walk(c);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(buf_clear) struct buf once = BUF_INIT(1 << 26), twice = BUF_INIT(1 << 26);
    struct json *doc = NULL, *again = NULL;
    struct json_out o = JSON_OUT(&twice);
    enum err_code code;

    code = json_parse((const char *)data, size, &doc, NULL);
    assert(code == ERR_OK || code == ERR_INVALID);
    if (!code) {
        walk(doc);
        json_write(&once, doc);
        assert(json_parse(buf_text(&once), once.len, &again, NULL) == ERR_OK);
        json_write(&twice, again);
        assert(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
        json_free(doc);
        json_free(again);
    }

    /* Whatever the bytes are, as a string they can be written and read back. */
    buf_reset(&twice);
    json_out_stringn(&o, NULL, (const char *)data, size);
    assert(json_parse(buf_text(&twice), twice.len, &again, NULL) == ERR_OK);
    json_free(again);
    return 0;
}
