/* rest_url.c - which URLs are fit to be called; see rest_own.h. */
#include "rest_own.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_loopback(const char *host)
{
    struct in6_addr six;
    struct in_addr four;
    char bare[INET6_ADDRSTRLEN + 1];
    size_t len = strlen(host);

    if (strcasecmp(host, "localhost") == 0) /* curl resolves this one to loopback by itself */
        return true;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    if (len < 3 || host[0] != '[' || len - 2 >= sizeof bare)
        return false;
    memcpy(bare, host + 1, len - 2);
    bare[len - 2] = '\0';
    return inet_pton(AF_INET6, bare, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

/* Where Azure tells what runs on it its own token, in plain HTTP: 169.254.169.254 for a virtual machine (defender-api.md
 * section 1.5), and for an App Service whatever IDENTITY_ENDPOINT says (section 1.6). On Linux that is an address between
 * the container and its host, such as 169.254.129.2 or 172.16.1.3, never one of the Internet. */
static bool is_platform(const char *host)
{
    static const struct {
        uint32_t net;
        int bits;
    } nets[] = {
        {0xa9fe0000, 16}, /* 169.254.0.0: RFC 3927 */
        {0x0a000000, 8},  /* 10.0.0.0, 172.16.0.0, 192.168.0.0: RFC 1918 */
        {0xac100000, 12}, {0xc0a80000, 16}, {0x64400000, 10}, /* 100.64.0.0: RFC 6598 */
    };
    struct in_addr four;
    bool is = false;

    if (inet_pton(AF_INET, host, &four) != 1)
        return false;
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        is = is || (ntohl(four.s_addr) ^ nets[i].net) >> (32 - nets[i].bits) == 0;
    return is;
}

CURLU *rest_parse_url(const char *url, bool metadata, enum rest_scheme *ret_scheme,
                      bool *ret_loopback, char host[REST_HOST_TEXT], bool *ret_nomem)
{
    static const struct {
        const char *name;
        enum rest_scheme scheme;
    } schemes[] = {
        {"http", REST_HTTP}, {"https", REST_HTTPS}, {"smtp", REST_SMTP}, {"smtps", REST_SMTPS}};
    CURLU *u = curl_url();
    char *name = NULL, *scheme = NULL;
    enum rest_scheme found = REST_OTHER;
    CURLUcode bad = u ? CURLUE_OK : CURLUE_OUT_OF_MEMORY;
    bool ok = false;

    if (!bad)
        bad = url ? curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER | CURLU_PATH_AS_IS)
                  : CURLUE_MALFORMED_INPUT;
    if (!bad)
        bad = curl_url_get(u, CURLUPART_HOST, &name, 0);
    if (!bad)
        bad = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
    if (!bad) {
        for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
            if (strcmp(scheme, schemes[i].name) == 0)
                found = schemes[i].scheme;
        *ret_loopback = is_loopback(name);
        *ret_scheme = found;
        (void)snprintf(host, REST_HOST_TEXT, "%s", name); /* for messages: may be cut */
        ok = name[0] && found != REST_OTHER &&
             (found != REST_HTTP || *ret_loopback || (metadata && is_platform(name)));
    }
    curl_free(name);
    curl_free(scheme);
    *ret_nomem = bad == CURLUE_OUT_OF_MEMORY;
    if (ok)
        return u;
    curl_url_cleanup(u);
    return NULL;
}

bool rest_url_ok(const char *url)
{
    enum rest_scheme scheme;
    bool loopback, nomem;
    char host[REST_HOST_TEXT];
    CURLU *u = rest_parse_url(url, false, &scheme, &loopback, host, &nomem);

    curl_url_cleanup(u);
    return u && (scheme == REST_HTTP || scheme == REST_HTTPS);
}

char *rest_encode(const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char unreserved[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t len = strlen(text);
    char *out = len < SIZE_MAX / 3 ? malloc(3 * len + 1) : NULL, *p = out;

    if (!out)
        return NULL;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (strchr(unreserved, c)) {
            *p++ = *text;
        } else {
            *p++ = '%';
            *p++ = hex[c >> 4];
            *p++ = hex[c & 15];
        }
    }
    *p = '\0';
    return out;
}
