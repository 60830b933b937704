/* raw.h - a client that sends what the test wrote, byte for byte, and shows what came back.
 *
 * Every wait has a deadline of RAW_WAIT_MS, after which the call says that nothing came.
 */
#ifndef CORDON_KIT_RAW_H
#define CORDON_KIT_RAW_H

#include <stdbool.h>
#include <stddef.h>

#define RAW_WAIT_MS 20000

struct raw_answer {
    unsigned status; /* 0: the far side closed without one; 1: nothing came in time */
    char head[8192]; /* status line and headers, NUL-terminated */
    char body[65536];
    size_t body_len;
};

struct raw {
    int fd;
    void *ssl;       /* NULL: plain */
    void *ctx;       /* of ssl */
    char in[131072]; /* received and not yet read as an answer */
    size_t in_len;
};

/* Connects to "127.0.0.1:1234", "[::1]:1234" or "unix:/path"; NULL when refused. */
struct raw *raw_open(const char *address);
/* The same with TLS; certificate and key: PEM files of the client, or NULL; max_tls_1_1: offers nothing
 * newer. NULL when the handshake fails. */
struct raw *raw_open_tls(const char *address, const char *certificate, const char *key,
                         bool max_tls_1_1);
void raw_free(struct raw *r);
/* Sends it all unless the far side closed. */
void raw_send(struct raw *r, const void *bytes, size_t len);
void raw_text(struct raw *r, const char *text);
/* Reads one whole answer (by its Content-Length; none after HEAD: no_body) into *a. */
void raw_answer(struct raw *r, struct raw_answer *a, bool no_body);
/* Waits until the far side closes; says how many bytes came before that, or -1 if it did not close. */
long raw_until_closed(struct raw *r);
/* Whether something can be read (or the end) within ms. */
bool raw_readable(struct raw *r, int ms);
/* A header's value in the answer's head, into a static buffer per thread; NULL when absent. */
const char *raw_header(const struct raw_answer *a, const char *name);

#endif
