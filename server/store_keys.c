/* store_keys.c - see store_keys.h. Two replicas that start together each offer a key; the first one stays. */
#include "store_keys.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

#include "base64.h"

#define TEXT_SIZE BASE64URL_SIZE(STORE_KEY_SIZE)

struct wanted {
    const char *name;
    char offer[TEXT_SIZE];
    int64_t now;
    unsigned char key[STORE_KEY_SIZE];
};

static enum err_code key_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct wanted *w = arg;
    struct db_rows *rows;
    size_t n = 0;
    enum err_code code;

    code = db_run(tx, e, NULL,
                  "INSERT INTO server_keys (name, secret, created) VALUES ($1, $2, $3)"
                  " ON CONFLICT (name) DO NOTHING",
                  "tti", w->name, w->offer, w->now);
    if (!code)
        code =
            db_query(tx, e, &rows, "SELECT secret FROM server_keys WHERE name = $1", "t", w->name);
    if (code)
        return code;
    if (db_next(rows)) {
        const char *text = db_text(rows, 0);

        if (!base64url_decode(text, strlen(text), w->key, sizeof w->key, &n))
            n = 0;
    }
    code = db_rows_end(rows, e);
    if (!code && n != STORE_KEY_SIZE)
        return err_set(e, ERR_REFUSED, "the store's key '%s' is unreadable", w->name);
    return code;
}

enum err_code store_key(struct store *s, const char *name, unsigned char ret[STORE_KEY_SIZE],
                        struct err *e)
{
    struct wanted w = {.name = name, .now = clock_wall_ms(s->clock)};
    unsigned char fresh[STORE_KEY_SIZE];
    enum err_code code;

    if (RAND_bytes(fresh, sizeof fresh) != 1)
        return err_set(e, ERR_IO, "the system gives no random bytes");
    base64url_encode(fresh, sizeof fresh, w.offer);
    code = db_write(s->db, key_fn, &w, e);
    if (!code)
        memcpy(ret, w.key, sizeof w.key);
    OPENSSL_cleanse(&w, sizeof w);
    OPENSSL_cleanse(fresh, sizeof fresh);
    return code ? err_in(e, "key '%s'", name) : ERR_OK;
}

enum err_code capabilities_open(struct store *s, struct capabilities **ret, struct err *e)
{
    unsigned char key[STORE_KEY_SIZE];
    enum err_code code = store_key(s, "capability", key, e);

    if (!code)
        code = capabilities_new(key, ret, e);
    OPENSSL_cleanse(key, sizeof key);
    return code;
}
