/* wire.h - what scripted servers stand on: a listener, a thread per connection, plain or TLS.
 *
 * Every call on a wire blocks until it is done or the far side is gone; wire_server_free ends them all.
 */
#ifndef CORDON_KIT_WIRE_H
#define CORDON_KIT_WIRE_H

#include <stdbool.h>
#include <stddef.h>

struct wire_tls; /* a server's TLS context with a fresh self-signed certificate */

/* For 127.0.0.1, ::1 and localhost. pem_path receives the certificate, to be trusted as a root. */
struct wire_tls *wire_tls_new(const char *pem_path);
void wire_tls_free(struct wire_tls *t);
/* Takes HTTP/2 from whoever offers it (ALPN), as far ends of the cloud do. Before the first connection. */
void wire_tls_take_h2(struct wire_tls *t);

struct wire {
    int fd;
    void *ssl; /* NULL: plain */
    char in[65536];
    size_t in_len, in_at;
};

struct wire_server;

/* Listens on 127.0.0.1, any free port, and calls serve on a thread of its own for each connection
 * (numbered from 1), which ends when serve returns; *ret_reset makes that end an RST. Aborts when it
 * cannot. */
struct wire_server *wire_server_new(void (*serve)(struct wire *w, unsigned number, void *ctx,
                                                  bool *ret_reset),
                                    void *ctx);
unsigned wire_server_port(const struct wire_server *s);
/* Ends all connections and joins their threads. */
void wire_server_free(struct wire_server *s);

bool wire_start_tls(struct wire *w, struct wire_tls *t);
/* Has TLS settled on HTTP/2? */
bool wire_is_h2(const struct wire *w);
/* One byte, or -1 at the end. */
int wire_getc(struct wire *w);
/* A line without its CRLF into out (NUL-terminated); false at the end or when it does not fit. */
bool wire_line(struct wire *w, char *out, size_t room);
bool wire_write(struct wire *w, const void *bytes, size_t len);
/* Blocks until the far side closes or the server is freed. */
void wire_wait_closed(struct wire *w);

#endif
