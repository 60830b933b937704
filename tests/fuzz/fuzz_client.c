/* fuzz_client.c - any X-Forwarded-For: who the client is depends on what trusted proxies wrote alone.
 *
 * A line break in the input begins another header line. Whatever stands left of an address that is no proxy's
 * changes nothing; who is not known is in no network; a peer that is no proxy is the client.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auto.h"
#include "client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINES_MAX 32

struct lines {
    const char *list[LINES_MAX];
    unsigned n;
};

static const char *line_of(void *ctx, unsigned n)
{
    const struct lines *l = ctx;

    return n < l->n ? l->list[n] : NULL;
}

static void find(const char *peer, struct lines *l, struct client *ret)
{
    static struct cidr proxies[2];
    const struct cidr_list trusted = {.items = proxies, .count = 2};
    struct sockaddr_in sa = {.sin_family = AF_INET};

    assert(!settings_cidr("10.0.0.0/8", &proxies[0], NULL));
    assert(!settings_cidr("2001:db8::/32", &proxies[1], NULL));
    assert(inet_pton(AF_INET, peer, &sa.sin_addr) == 1);
    memset(ret, 0xa5, sizeof *ret);
    client_find(&trusted, (struct sockaddr *)&sa, peer, line_of, l, ret);
    assert(strlen(ret->text) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char tail[] = ",198.51.100.1, 10.1.1.1";
    AUTO(auto_free) char *text = malloc(size + sizeof tail);
    struct cidr everywhere[1];
    const struct cidr_list networks = {.items = everywhere, .count = 1};
    struct lines l = {.list = {text}, .n = 1};
    struct client c;

    assert(text);
    assert(!settings_cidr("::/0", &everywhere[0], NULL));
    for (size_t i = 0; i < size; i++) {
        text[i] = (char)data[i];
        if (text[i] == '\r' || text[i] == '\0') /* a header's value holds neither */
            text[i] = ' ';
        if (text[i] == '\n' && l.n < LINES_MAX) {
            text[i] = '\0';
            l.list[l.n++] = text + i + 1;
        }
    }
    text[size] = '\0';
    find("10.0.0.7", &l, &c);
    assert(client_is_in(&c, &networks) == c.known);
    find("192.0.2.1", &l, &c);
    assert(c.known && !strcmp(c.text, "192.0.2.1"));
    memcpy(text + size, tail, sizeof tail);
    find("10.0.0.7", &l, &c);
    assert(c.known && !strcmp(c.text, "198.51.100.1"));
    return 0;
}
