/* client.h - whose request is it, when proxies stand in between? The address behind X-Forwarded-For.
 *
 * The header is a list: each proxy appends whom it heard. Only what a trusted proxy wrote is worth anything,
 * so the list is walked from its right end, from the peer of the socket on, for as long as the last one
 * reached is a trusted proxy (listen.trusted_proxies). What stands further left is anybody's invention.
 */
#ifndef CORDON_CLIENT_H
#define CORDON_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "http_socket.h"
#include "settings.h"

struct client {
    unsigned char address[16]; /* IPv4 as ::ffff:a.b.c.d */
    /* false: a trusted proxy wrote something that is no address. Then address is that proxy's own, good for
     * a log line and for a rate; it lies in no network. */
    bool known;
    char text[HTTP_PEER_TEXT_SIZE]; /* for people: without port; "unix" */
};

/**
 * Finds the client of a request. Pure.
 *
 * peer         of the socket; a peer on a Unix socket counts as 127.0.0.1.
 * peer_text    the same as http_peer_text writes it: a connection has it written once for all its requests.
 * header       gives the n-th X-Forwarded-For line of the request (from 0), or NULL when there are no more:
 *              several lines are one list (RFC 9110 section 5.3), and some proxies add a line of their own.
 * An entry is an IPv4 or IPv6 address, with a port or without: "192.0.2.1:4711", "[2001:db8::1]:4711".
 */
void client_find(const struct cidr_list *trusted, const struct sockaddr *peer,
                 const char *peer_text, const char *(*header)(void *ctx, unsigned n), void *ctx,
                 struct client *ret);
/** Does the client lie in one of the networks? Never, when it is not known. */
bool client_is_in(const struct client *c, const struct cidr_list *networks);

#endif
