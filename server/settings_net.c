/* settings_net.c - networks, listen addresses and URLs as settings. See settings_own.h. */
#include "settings_own.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

static bool is_loopback(const unsigned char address[16])
{
    static const unsigned char v4[13] = {[10] = 0xff, [11] = 0xff, [12] = 127};

    return memcmp(address, v4, sizeof v4) == 0 ||
           memcmp(address, &in6addr_loopback, sizeof in6addr_loopback) == 0;
}

/* An address literal of either family, IPv4 as ::ffff:a.b.c.d. */
static bool take_ip(const char *text, bool *ret_v4, unsigned char ret[16])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, text, &v4) == 1) {
        memcpy(ret, mapped, sizeof mapped);
        memcpy(ret + sizeof mapped, &v4, sizeof v4);
        *ret_v4 = true;
        return true;
    }
    if (inet_pton(AF_INET6, text, &v6) == 1) {
        memcpy(ret, &v6, sizeof v6);
        *ret_v4 = false;
        return true;
    }
    return false;
}

enum err_code settings_cidr(const char *text, struct cidr *ret, struct err *e)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    struct cidr net;
    int64_t bits;
    bool v4;

    if (len >= sizeof address)
        goto bad;
    memcpy(address, text, len);
    address[len] = '\0';
    if (!take_ip(address, &v4, net.address))
        goto bad;
    bits = v4 ? 32 : 128;
    if (slash &&
        (strlen(slash + 1) > 3 || !settings_digits(slash + 1, &bits) || bits > (v4 ? 32 : 128)))
        goto bad;
    net.bits = (unsigned)bits + (v4 ? 96 : 0);
    for (unsigned i = net.bits; i < 128; i++)
        if (net.address[i / 8] & (0x80u >> i % 8))
            return err_set(e, ERR_INVALID, "'%.60s' has bits set behind its prefix of %lld", text,
                           (long long)bits);
    *ret = net;
    return ERR_OK;
bad:
    return err_set(e, ERR_INVALID, "'%.60s' is not a network such as 10.0.0.0/8 or 2001:db8::/32",
                   text);
}

bool cidr_contains(const struct cidr *net, const unsigned char address[16])
{
    unsigned whole = net->bits / 8, rest = net->bits % 8;

    if (memcmp(net->address, address, whole) != 0)
        return false;
    return rest == 0 || ((net->address[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

/* Splits "host:port", "[v6]:port"; an address literal and a port, or false. */
static bool take_listen(const char *text, unsigned char ret_address[16])
{
    char host[INET6_ADDRSTRLEN];
    const char *start = text, *end;
    bool bracket = *text == '[', v4;
    int64_t port;

    if (bracket)
        start++;
    end = bracket ? strchr(start, ']') : strchr(start, ':');
    if (!end || (size_t)(end - start) >= sizeof host)
        return false;
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    if (bracket && *++end != ':')
        return false;
    if (strlen(end + 1) > 5 || !settings_digits(end + 1, &port) || port > 65535)
        return false;
    return take_ip(host, &v4, ret_address) && v4 == !bracket;
}

bool settings_listen_is_local(const char *address)
{
    unsigned char ip[16];

    return strncmp(address, "unix:", 5) == 0 || (take_listen(address, ip) && is_loopback(ip));
}

bool settings_read_listen(const struct reading *x, const char **field)
{
    static const char what[] = "an address such as 127.0.0.1:8080, [::]:8443 or unix:/path";
    unsigned char ip[16];
    bool bare, good;
    const char *text = settings_scalar(x, what, &bare);

    if (!text)
        return false;
    if (strncmp(text, "unix:", 5) == 0)
        /* sun_path holds 107 bytes and the NUL */
        good = text[5] == '/' && strlen(text + 5) < sizeof((struct sockaddr_un *)0)->sun_path;
    else
        good = take_listen(text, ip);
    if (!good)
        return settings_expected(x, what, text);
    *field = text;
    return true;
}

/* Does an URL's host (len bytes, brackets included) name this machine? As rest.h has it. */
static bool host_is_loopback(const char *host, size_t len)
{
    char address[INET6_ADDRSTRLEN];
    unsigned char ip[16];
    bool v4;

    if (len == 9 && strncasecmp(host, "localhost", 9) == 0)
        return true;
    if (len > 2 && host[0] == '[') {
        host++;
        len -= 2;
    }
    if (len >= sizeof address)
        return false;
    memcpy(address, host, len);
    address[len] = '\0';
    return take_ip(address, &v4, ip) && is_loopback(ip);
}

bool settings_read_url(const struct reading *x, const char **field)
{
    static const char what[] = "a URL such as https://host.example";
    const char *text, *host, *out;
    size_t host_len, len;
    bool bare, https;

    text = settings_scalar(x, what, &bare);
    if (!text)
        return false;
    https = strncasecmp(text, "https://", 8) == 0;
    if (!https && strncasecmp(text, "http://", 7) != 0)
        return settings_expected(x, what, text);
    host = text + (https ? 8 : 7);
    host_len = strcspn(host, "/?#");
    if (memchr(host, '@', host_len)) { /* not echoed: it may be a password */
        yaml_fault(x->reader->faults, x->node, "%s: a URL here has no user name or password",
                   x->name);
        return false;
    }
    if (*host == '[') {
        const char *end = memchr(host, ']', host_len);

        host_len = end ? (size_t)(end + 1 - host) : 0;
    } else {
        host_len = strcspn(host, ":/?#");
    }
    if (host_len == 0 || strpbrk(host, "?# \\\"<>"))
        return settings_expected(x, what, text);
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
            return settings_expected(x, what, text);
    if (host[host_len] == ':') {
        const char *port = host + host_len + 1;
        size_t digits = strspn(port, "0123456789");

        if (digits == 0 || digits > 5 || (port[digits] && port[digits] != '/'))
            return settings_expected(x, what, text);
    } else if (host[host_len] && host[host_len] != '/') {
        return settings_expected(x, what, text);
    }
    if (!https && !host_is_loopback(host, host_len)) {
        yaml_fault(x->reader->faults, x->node,
                   "%s: expected https:// (plain http is for this machine alone), found %s",
                   x->name, settings_shown(x->reader, text));
        return false;
    }
    for (len = strlen(text); text[len - 1] == '/';)
        len--;
    out = arena_strn(x->reader->arena, text, len);
    if (!out)
        return settings_expected(x, what, SETTINGS_NO_MEMORY);
    *field = out;
    return true;
}
