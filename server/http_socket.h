/* http_socket.h - listening sockets from an address as people write it, and peers as text. */
#ifndef CORDON_HTTP_SOCKET_H
#define CORDON_HTTP_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "err.h"

#define HTTP_PEER_TEXT_SIZE 64 /* an IPv6 address with a scope, and the NUL */

struct http_socket {
    int fd; /* -1: none */
    /* As bound: "127.0.0.1:43121", "[::1]:8443", "unix:/path" */
    char address[160];
    bool is_unix;
    bool handed_over; /* not ours: it goes on listening for whoever comes after us */
    uint64_t inode;   /* of the socket's file, so that only our own is removed */
};

/**
 * Opens a listening socket. address: "127.0.0.1:8080", "[::]:8443" (takes IPv4 too), "localhost:80",
 * "unix:/path"; port 0: any free one. No name is looked up but localhost. The file of a Unix socket gets mode
 * 0660; one that nobody listens on any more is replaced.
 * Returns ERR_INVALID for an address that cannot be one, ERR_IO when it cannot be bound.
 */
enum err_code http_socket_open(const char *address, struct http_socket *ret, struct err *e);
/**
 * Takes a listening socket that somebody else opened (handover.h) as *ret; fd is *ret's from then on. It must be
 * bound to the address that is configured (port 0: any), because that address was checked: an insecure source,
 * or an admin side without a token, is for loopback alone.
 * Returns ERR_INVALID when it is another. fd stays the caller's then.
 */
enum err_code http_socket_take(int fd, const char *address, struct http_socket *ret, struct err *e);
/** Refuses further connections at once, unless it was handed over; the descriptor stays open until
 *  http_socket_close. */
void http_socket_quiesce(struct http_socket *s);
/** Closes, and removes the file of a Unix socket if it is still ours. */
void http_socket_close(struct http_socket *s);

/** Writes the peer without its port; returns out. IPv4 in IPv6 reads as IPv4, a Unix peer "unix". */
char *http_peer_text(const struct sockaddr *peer, char out[HTTP_PEER_TEXT_SIZE]);
/** Copies peer to *ret, IPv4 in IPv6 as plain IPv4. NULL or an unknown family: AF_UNIX. */
void http_peer_normalise(const struct sockaddr *peer, struct sockaddr_storage *ret);
/** Makes of an IPv6 address the network that is its owner's, the /64: whoever has one of it has them all. IPv4, in IPv6
 *  too, stays as it is. */
void http_peer_network(struct sockaddr_storage *peer);
/** Are they one owner's, whatever their ports? Both of http_peer_normalise. */
bool http_peer_is_same(const struct sockaddr_storage *a, const struct sockaddr_storage *b);

#endif
