/* store_keys.h - keys of the server's own, made at random when first asked for, and the same ever after.
 *
 * They are in the store because every replica needs the same ones and nobody should have to configure them; who
 * can read the store reads all that they protect anyway. No secret of a sender or of Defender is kept here.
 */
#ifndef CORDON_STORE_KEYS_H
#define CORDON_STORE_KEYS_H

#include "capability.h"
#include "store.h"

#define STORE_KEY_SIZE 32

/** The key of a name ("capability"). ERR_IO when there is no randomness; as db_write. Blocks. */
enum err_code store_key(struct store *s, const char *name, unsigned char ret[STORE_KEY_SIZE],
                        struct err *e);

/** Capabilities by the key that all replicas share, made at the first call. capabilities_free. */
enum err_code capabilities_open(struct store *s, struct capabilities **ret, struct err *e);

#endif
