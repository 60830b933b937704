/* client.c - see client.h.
 *
 * An empty entry is no address, although RFC 9110 section 5.6.1 lets readers of lists pass over one: a proxy
 * that does not know its peer may write nothing, and what stands left of it would then be believed.
 */
#include "client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static void map_v4(const void *v4, unsigned char out[16])
{
    static const unsigned char prefix[12] = {[10] = 0xff, [11] = 0xff};

    memcpy(out, prefix, sizeof prefix);
    memcpy(out + sizeof prefix, v4, 4);
}

static void address_of(const struct sockaddr *peer, unsigned char out[16])
{
    static const unsigned char loopback[4] = {127, 0, 0, 1};

    if (peer->sa_family == AF_INET6)
        memcpy(out, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, 16);
    else if (peer->sa_family == AF_INET)
        map_v4(&((const struct sockaddr_in *)(const void *)peer)->sin_addr, out);
    else
        map_v4(loopback, out);
}

static bool in(const struct cidr_list *list, const unsigned char address[16])
{
    for (size_t i = 0; i < list->count; i++)
        if (cidr_contains(&list->items[i], address))
            return true;
    return false;
}

static bool is_port(const char *text)
{
    size_t len = strspn(text, "0123456789");

    return len >= 1 && len <= 5 && !text[len];
}

/* "192.0.2.1", "192.0.2.1:4711", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:4711". */
static bool read_entry(const char *start, size_t len, unsigned char out[16])
{
    char text[INET6_ADDRSTRLEN + sizeof "[]:65535"];
    char *host = text, *end;
    struct in_addr v4;

    if (len >= sizeof text || memchr(start, '\0', len))
        return false;
    memcpy(text, start, len);
    text[len] = '\0';
    if (*text == '[') {
        host++;
        end = strchr(host, ']');
        if (!end || (end[1] && (end[1] != ':' || !is_port(end + 2))))
            return false;
        *end = '\0';
        return inet_pton(AF_INET6, host, out) == 1;
    }
    end = strchr(text, ':');
    if (end && strchr(end + 1, ':')) /* two colons at least: no IPv4 address with a port */
        return inet_pton(AF_INET6, text, out) == 1;
    if (end && !is_port(end + 1))
        return false;
    if (end)
        *end = '\0';
    if (inet_pton(AF_INET, text, &v4) != 1)
        return false;
    map_v4(&v4, out);
    return true;
}

static void write_text(const unsigned char address[16], char out[HTTP_PEER_TEXT_SIZE])
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    memcpy(&v6.sin6_addr, address, 16);
    (void)http_peer_text((struct sockaddr *)&v6, out);
}

/* Walks one line from its right end; true when the walk goes on in the line before. */
static bool walk(const struct cidr_list *trusted, const char *line, struct client *c)
{
    const char *end = line + strlen(line);

    for (;;) {
        const char *start = end, *last = end, *entry;
        unsigned char address[16];

        while (start > line && start[-1] != ',')
            start--;
        entry = start;
        while (start < last && (*start == ' ' || *start == '\t'))
            start++;
        while (last > start && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        if (!read_entry(start, (size_t)(last - start), address)) {
            c->known = false;
            return false;
        }
        memcpy(c->address, address, sizeof c->address);
        write_text(address, c->text);
        if (!in(trusted, address))
            return false;
        if (entry == line)
            return true;
        end = entry - 1; /* the comma */
    }
}

void client_find(const struct cidr_list *trusted, const struct sockaddr *peer,
                 const char *peer_text, const char *(*header)(void *ctx, unsigned n), void *ctx,
                 struct client *ret)
{
    unsigned lines = 0;
    size_t len;

    address_of(peer, ret->address);
    ret->known = true;
    len = strnlen(peer_text, sizeof ret->text - 1);
    memcpy(ret->text, peer_text, len);
    ret->text[len] = '\0';
    if (!in(trusted, ret->address))
        return;
    while (header(ctx, lines))
        lines++;
    while (lines > 0 && walk(trusted, header(ctx, lines - 1), ret))
        lines--;
}

bool client_is_in(const struct client *c, const struct cidr_list *networks)
{
    return c->known && in(networks, c->address);
}
