/* settings.c - see settings.h.
 *
 * One function per kind of value, each of which either writes the field or notes a fault; settings_read
 * walks the table. What a file says is echoed in faults so that people find it, secrets never are: a
 * secret is only ever named by its file.
 */
#include "settings.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "auto.h"
#include "buf.h"
#include "clock.h"
#include "mime.h"

#define EXPANDED_MAX (64 * 1024) /* bytes of a scalar after ${…} */
#define SECRET_MAX   (64 * 1024) /* bytes of a secret file; a token has a few KiB at most */
#define SHOWN_MAX    60          /* bytes of a value that a fault echoes */
#define FAULTS_WORTH_WORDS                                                                         \
    100 /* yaml.h keeps no more: looking for the nearest word is lost on the rest */
#define CREDENTIALS "$CREDENTIALS_DIRECTORY"

/* One key on its way into the struct. */
struct reading {
    const struct settings_reader *reader;
    const struct setting *setting;
    const char *name;             /* with the map's own, for messages */
    const struct yaml_node *node; /* the value */
};

static const char no_memory[] = "out of memory";

/* ---- saying it -------------------------------------------------------------------------------- */

/* A value for a message: in quotes, and cut. */
static const char *shown(const struct settings_reader *r, const char *text)
{
    size_t len = strlen(text);
    bool cut = len > SHOWN_MAX;
    char *out;

    if (cut)
        for (len = SHOWN_MAX; len && ((unsigned char)text[len] & 0xc0) == 0x80;)
            len--;
    out = arena_fmt(r->arena, "'%.*s%s'", (int)len, text, cut ? "…" : "");
    return out ? out : no_memory;
}

static const char *kind_name(const struct yaml_node *n)
{
    switch (n->kind) {
    case YAML_LIST:
        return "a list";
    case YAML_MAP:
        return "a map";
    case YAML_SCALAR:
        break;
    }
    return n->null ? "nothing" : "text";
}

/* "a, b, c" */
static const char *join(const struct settings_reader *r, const char *const *words)
{
    const char *out = "";

    for (; out && *words; words++)
        out = arena_fmt(r->arena, "%s%s%s", out, *out ? ", " : "", *words);
    return out ? out : no_memory;
}

static bool expected(const struct reading *x, const char *what, const char *found)
{
    yaml_fault(x->reader->faults, x->node, "%s: expected %s, found %s", x->name, what,
               shown(x->reader, found));
    return false;
}

/* What a key of secrets is written with at its end. */
static const char *suffix(const struct setting *s)
{
    return s->type == SET_SECRET ? "_file" : s->type == SET_SECRET_LIST ? "_files" : "";
}

/* ---- scalars ---------------------------------------------------------------------------------- */

static const char *environment(const struct settings_reader *r, const char *name)
{
    return r->env ? r->env(name) : getenv(name);
}

/* One ${…} at p; returns its end, or NULL with a fault noted. */
static const char *expand_one(const struct settings_reader *r, const struct yaml_node *node,
                              const char *p, struct buf *out)
{
    const char *start = p + 2, *end, *name_end = start, *value;
    char *name;

    end = strchr(start, '}');
    if (!end) {
        yaml_fault(r->faults, node, "${ without its }; write $${ for a plain ${");
        return NULL;
    }
    while (name_end < end && (isalpha((unsigned char)*name_end) || *name_end == '_' ||
                              (name_end > start && isdigit((unsigned char)*name_end))))
        name_end++;
    if (name_end == start || (name_end < end && strncmp(name_end, ":-", 2) != 0)) {
        yaml_fault(r->faults, node, "expected ${NAME} or ${NAME:-default}, found %s",
                   shown(r, arena_strn(r->arena, p, (size_t)(end + 1 - p))));
        return NULL;
    }
    name = arena_strn(r->arena, start, (size_t)(name_end - start));
    value = name ? environment(r, name) : NULL;
    if (name_end < end && (!value || !*value))
        buf_add(out, name_end + 2, (size_t)(end - name_end - 2));
    else if (value)
        buf_adds(out, value);
    else {
        yaml_fault(r->faults, node,
                   "the environment has no %s; set it, or give a default: ${%s:-default}",
                   name ? name : no_memory, name ? name : "NAME");
        return NULL;
    }
    return end + 1;
}

/* The text after expansion; NULL with a fault noted. *ret_bare: may be a number, a bool or null. */
static const char *expand(const struct settings_reader *r, const struct yaml_node *node,
                          bool *ret_bare)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(EXPANDED_MAX);
    const char *p = node->text, *dollar;
    char *text;

    *ret_bare = !node->quoted;
    if (!strstr(p, "${"))
        return p;
    while ((dollar = strchr(p, '$'))) {
        buf_add(&out, p, (size_t)(dollar - p));
        if (strncmp(dollar, "$${", 3) == 0) {
            buf_adds(&out, "${");
            p = dollar + 3;
        } else if (dollar[1] == '{') {
            *ret_bare = true;
            p = expand_one(r, node, dollar, &out);
            if (!p)
                return NULL;
        } else {
            buf_addc(&out, '$');
            p = dollar + 1;
        }
    }
    buf_adds(&out, p);
    text = buf_failed(&out) ? NULL : arena_strn(r->arena, buf_text(&out), out.len);
    if (!text)
        yaml_fault(r->faults, node, "%s",
                   buf_failed(&out) == ERR_TOO_BIG
                       ? "longer than 64 KiB with the environment's values"
                       : no_memory);
    return text;
}

const char *settings_text(const struct settings_reader *reader, const struct yaml_node *node)
{
    bool bare;

    if (node->kind != YAML_SCALAR || node->null) {
        yaml_fault(reader->faults, node, "expected text, found %s", kind_name(node));
        return NULL;
    }
    return expand(reader, node, &bare);
}

/* A scalar that must be there; what: as in "expected …". NULL with a fault noted. */
static const char *scalar(const struct reading *x, const char *what, bool *ret_bare)
{
    if (x->node->kind != YAML_SCALAR) {
        yaml_fault(x->reader->faults, x->node, "%s: expected %s, found %s", x->name, what,
                   kind_name(x->node));
        return NULL;
    }
    if (x->node->null) {
        yaml_fault(x->reader->faults, x->node, "%s is empty; expected %s%s", x->name, what,
                   x->setting->required ? "" : ", or the key left out");
        return NULL;
    }
    return expand(x->reader, x->node, ret_bare);
}

/* ---- numbers with units ------------------------------------------------------------------------ */

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit time_units[] = {
    {"d", DAY_MS}, {"h", HOUR_MS}, {"m", MINUTE_MS}, {"s", SECOND_MS}, {"ms", 1}};
static const struct unit size_units[] = {
    {"GiB", 1024 * 1024 * 1024}, {"MiB", 1024 * 1024}, {"KiB", 1024}, {"", 1}};
static const struct unit no_units[] = {{"", 1}};

/* Digits and a unit, nothing else. */
static bool measure(const char *text, const struct unit *units, size_t n, int64_t *ret)
{
    int64_t value = 0, product;
    const char *p = text;

    for (; isdigit((unsigned char)*p); p++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *p - '0', &value))
            return false;
    if (p == text)
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(p, units[i].name) == 0) {
            if (__builtin_mul_overflow(value, units[i].factor, &product))
                return false;
            *ret = product;
            return true;
        }
    if (value == 0 && *p == '\0') { /* no unit makes nothing more or less */
        *ret = 0;
        return true;
    }
    return false;
}

enum err_code settings_duration(const char *text, int64_t *ret_ms, struct err *e)
{
    if (!measure(text, time_units, sizeof time_units / sizeof time_units[0], ret_ms))
        return err_set(e, ERR_INVALID, "'%.40s' is not a time such as 30s, 5m, 4h or 3d", text);
    return ERR_OK;
}

/* "+01:00" at the end of a time, in minutes. */
static bool measure_offset(const char *text, int64_t *ret_minutes)
{
    const char hours[] = {text[1], text[2], '\0'}, minutes[] = {text[4], text[5], '\0'};
    int64_t h, m;

    if (text[3] != ':' || !measure(hours, no_units, 1, &h) || !measure(minutes, no_units, 1, &m) ||
        h > 23 || m > 59)
        return false;
    *ret_minutes = (*text == '-' ? -1 : 1) * (h * 60 + m);
    return true;
}

enum err_code settings_time(const char *text, int64_t *ret_ms, struct err *e)
{
    char utc[40]; /* one with nine digits behind its seconds has 30 */
    size_t len = strlen(text), offset_len = sizeof "+01:00" - 1;
    int64_t ms, offset = 0;

    if (len < sizeof utc - 1 && len > offset_len && strchr("+-", text[len - offset_len])) {
        if (!measure_offset(text + len - offset_len, &offset))
            goto bad;
        len -= offset_len;
        memcpy(utc, text, len);
        utc[len++] = 'Z';
    } else if (len < sizeof utc) {
        memcpy(utc, text, len);
    } else {
        goto bad;
    }
    utc[len] = '\0';
    if (clock_parse(utc, &ms, NULL))
        goto bad;
    *ret_ms = ms - offset * MINUTE_MS;
    return ERR_OK;
bad:
    return err_set(e, ERR_INVALID, "'%.40s' is not a time such as 2026-03-01T00:00:00Z", text);
}

enum err_code settings_size(const char *text, int64_t *ret_bytes, struct err *e)
{
    if (!measure(text, size_units, sizeof size_units / sizeof size_units[0], ret_bytes))
        return err_set(e, ERR_INVALID, "'%.40s' is not a size such as 256KiB or 1MiB", text);
    return ERR_OK;
}

/* The value in its largest whole unit, for messages. */
static const char *measured(const struct settings_reader *r, int64_t value,
                            const struct unit *units, size_t n)
{
    size_t i = 0;
    const char *out;

    while (i + 1 < n && (value == 0 || value % units[i].factor))
        i++;
    out = arena_fmt(r->arena, "%lld%s", (long long)(value / units[i].factor), units[i].name);
    return out ? out : no_memory;
}

static bool in_range(const struct reading *x, int64_t value, const struct unit *units, size_t n)
{
    const struct setting *s = x->setting;

    if (s->least == 0 && s->most == 0)
        return true;
    if (value < s->least)
        yaml_fault(x->reader->faults, x->node, "%s: %s is too little; expected at least %s",
                   x->name, measured(x->reader, value, units, n),
                   measured(x->reader, s->least, units, n));
    else if (value > s->most)
        yaml_fault(x->reader->faults, x->node, "%s: %s is too much; expected at most %s", x->name,
                   measured(x->reader, value, units, n), measured(x->reader, s->most, units, n));
    else
        return true;
    return false;
}

static bool read_duration(const struct reading *x, int64_t *field)
{
    static const char what[] = "a time such as 30s, 5m, 4h or 3d";
    const size_t n = sizeof time_units / sizeof time_units[0];
    bool bare;
    int64_t value;
    const char *text = scalar(x, what, &bare);

    if (!text)
        return false;
    if (settings_duration(text, &value, NULL))
        return expected(x, what, text);
    if (!in_range(x, value, time_units, n))
        return false;
    *field = value;
    return true;
}

static bool read_size(const struct reading *x, int64_t *field)
{
    static const char what[] = "a size such as 256KiB or 1MiB";
    const size_t n = sizeof size_units / sizeof size_units[0];
    bool bare;
    int64_t value;
    const char *text = scalar(x, what, &bare);

    if (!text)
        return false;
    if (settings_size(text, &value, NULL))
        return expected(x, what, text);
    if (!in_range(x, value, size_units, n))
        return false;
    *field = value;
    return true;
}

static bool read_time(const struct reading *x, int64_t *field)
{
    static const char what[] = "a time such as 2026-03-01T00:00:00Z";
    bool bare;
    int64_t value;
    const char *text = scalar(x, what, &bare);

    if (!text)
        return false;
    if (settings_time(text, &value, NULL))
        return expected(x, what, text);
    *field = value;
    return true;
}

static bool read_int(const struct reading *x, int64_t *field)
{
    static const char what[] = "a whole number";
    bool bare, minus;
    int64_t value;
    const char *text = scalar(x, what, &bare);

    if (!text)
        return false;
    minus = *text == '-';
    if (!bare || !measure(text + minus, no_units, 1, &value)) {
        if (bare)
            return expected(x, what, text);
        yaml_fault(x->reader->faults, x->node, "%s: expected %s, found text in quotes", x->name,
                   what);
        return false;
    }
    if (!in_range(x, minus ? -value : value, no_units, 1))
        return false;
    *field = minus ? -value : value;
    return true;
}

static bool read_bool(const struct reading *x, bool *field)
{
    static const char what[] = "true or false";
    bool bare;
    const char *text = scalar(x, what, &bare);

    if (!text)
        return false;
    if (!bare || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0))
        return expected(x, what, text);
    *field = *text == 't';
    return true;
}

/* ---- texts ------------------------------------------------------------------------------------ */

static bool read_text(const struct reading *x, const char **field)
{
    bool bare;
    const char *text = scalar(x, "text", &bare);

    if (!text)
        return false;
    if (!*text && x->setting->required) {
        yaml_fault(x->reader->faults, x->node, "%s is empty", x->name);
        return false;
    }
    *field = text;
    return true;
}

static bool read_word(const struct reading *x, int *field)
{
    const char *const *words = x->setting->words;
    bool bare;
    const char *text = scalar(x, join(x->reader, words), &bare), *near;

    if (!text)
        return false;
    for (int i = 0; words[i]; i++)
        if (strcmp(text, words[i]) == 0) {
            *field = i;
            return true;
        }
    near = yaml_nearest(text, words);
    yaml_fault(x->reader->faults, x->node, "%s: expected one of %s, found %s%s%s%s", x->name,
               join(x->reader, words), shown(x->reader, text), near ? "; did you mean " : "",
               near ? near : "", near ? "?" : "");
    return false;
}

static bool read_guid(const struct reading *x, const char **field)
{
    static const char what[] = "a GUID such as 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50";
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    bool bare, good;
    const char *text = scalar(x, what, &bare);
    char *lower;

    if (!text)
        return false;
    good = strlen(text) == sizeof shape - 1;
    for (size_t i = 0; good && shape[i]; i++)
        good = shape[i] == '-' ? text[i] == '-' : isxdigit((unsigned char)text[i]) != 0;
    if (!good)
        return expected(x, what, text);
    lower = arena_str(x->reader->arena, text);
    if (!lower)
        return expected(x, what, no_memory);
    for (char *p = lower; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    *field = lower;
    return true;
}

static bool take_address(const struct reading *x, const char *text, const char **ret)
{
    struct err e = {0};

    if (!mime_address_ok(text, &e)) {
        yaml_fault(x->reader->faults, x->node, "%s: %s", x->name, e.text);
        return false;
    }
    *ret = text;
    return true;
}

static bool read_address(const struct reading *x, const char **field)
{
    bool bare;
    const char *text = scalar(x, "a mail address such as soc@contoso.example", &bare);

    return text && take_address(x, text, field);
}

/* ---- network addresses -------------------------------------------------------------------------- */

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
    if (slash && (strlen(slash + 1) > 3 || !measure(slash + 1, no_units, 1, &bits) ||
                  bits > (v4 ? 32 : 128)))
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
    if (strlen(end + 1) > 5 || !measure(end + 1, no_units, 1, &port) || port > 65535)
        return false;
    return take_ip(host, &v4, ret_address) && v4 == !bracket;
}

bool settings_listen_is_local(const char *address)
{
    unsigned char ip[16];

    return strncmp(address, "unix:", 5) == 0 || (take_listen(address, ip) && is_loopback(ip));
}

static bool read_listen(const struct reading *x, const char **field)
{
    static const char what[] = "an address such as 127.0.0.1:8080, [::]:8443 or unix:/path";
    unsigned char ip[16];
    bool bare, good;
    const char *text = scalar(x, what, &bare);

    if (!text)
        return false;
    if (strncmp(text, "unix:", 5) == 0)
        /* sun_path holds 107 bytes and the NUL */
        good = text[5] == '/' && strlen(text + 5) < sizeof((struct sockaddr_un *)0)->sun_path;
    else
        good = take_listen(text, ip);
    if (!good)
        return expected(x, what, text);
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

static bool read_url(const struct reading *x, const char **field)
{
    static const char what[] = "a URL such as https://host.example";
    const char *text, *host, *out;
    size_t host_len, len;
    bool bare, https;

    text = scalar(x, what, &bare);
    if (!text)
        return false;
    https = strncasecmp(text, "https://", 8) == 0;
    if (!https && strncasecmp(text, "http://", 7) != 0)
        return expected(x, what, text);
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
        return expected(x, what, text);
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
            return expected(x, what, text);
    if (host[host_len] == ':') {
        const char *port = host + host_len + 1;
        size_t digits = strspn(port, "0123456789");

        if (digits == 0 || digits > 5 || (port[digits] && port[digits] != '/'))
            return expected(x, what, text);
    } else if (host[host_len] && host[host_len] != '/') {
        return expected(x, what, text);
    }
    if (!https && !host_is_loopback(host, host_len)) {
        yaml_fault(x->reader->faults, x->node,
                   "%s: expected https:// (plain http is for this machine alone), found %s",
                   x->name, shown(x->reader, text));
        return false;
    }
    for (len = strlen(text); text[len - 1] == '/';)
        len--;
    out = arena_strn(x->reader->arena, text, len);
    if (!out)
        return expected(x, what, no_memory);
    *field = out;
    return true;
}

/* ---- files ------------------------------------------------------------------------------------ */

/* The path as it is to be opened; NULL with a fault noted. */
static const char *resolve(const struct reading *x, const char *path)
{
    const struct settings_reader *r = x->reader;
    const char *file = x->node->file, *slash = file ? strrchr(file, '/') : NULL, *out = path;

    if (!*path) {
        yaml_fault(r->faults, x->node, "%s is empty", x->name);
        return NULL;
    }
    if (strncmp(path, CREDENTIALS, strlen(CREDENTIALS)) == 0 &&
        (path[strlen(CREDENTIALS)] == '/' || !path[strlen(CREDENTIALS)])) {
        const char *folder = environment(r, &CREDENTIALS[1]);

        if (!folder || !*folder) {
            yaml_fault(
                r->faults, x->node,
                "%s: the environment has no CREDENTIALS_DIRECTORY; systemd sets it for a unit "
                "with LoadCredential=",
                x->name);
            return NULL;
        }
        out = arena_fmt(r->arena, "%s%s", folder, path + strlen(CREDENTIALS));
    } else if (*path != '/' && slash) {
        out = arena_fmt(r->arena, "%.*s/%s", (int)(slash - file), file, path);
    }
    if (!out)
        yaml_fault(r->faults, x->node, "%s: %s", x->name, no_memory);
    return out;
}

/* Has somebody written the secret itself where its file is to be named? "whsec_…" is one; long words of
 * all kinds of characters are: tokens, and client secrets of Entra ID have 40. */
static bool looks_like_secret(const char *text)
{
    bool upper = false, lower = false, digit = false;

    if (strncmp(text, "whsec_", 6) == 0 || strncmp(text, "whsk_", 5) == 0)
        return true;
    for (const char *p = text; *p; p++) {
        upper = upper || (*p >= 'A' && *p <= 'Z');
        lower = lower || (*p >= 'a' && *p <= 'z');
        digit = digit || (*p >= '0' && *p <= '9');
        if (*p == '/')
            return false;
    }
    return upper && lower && digit && strlen(text) >= 24;
}

static void file_fault(const struct reading *x, const char *path, int error)
{
    const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
    const char *why = error == ENOENT    ? "there is no such file"
                      : error == EACCES  ? "this user may not read it"
                      : error == EISDIR  ? "it is a folder"
                      : error == ENOTDIR ? "a part of its path is no folder"
                                         : strerrordesc_np(error);

    if ((error == ENOENT || error == ENAMETOOLONG || error == ENOTDIR) && *suffix(x->setting) &&
        (looks_like_secret(x->node->text) || looks_like_secret(last))) {
        yaml_fault(x->reader->faults, x->node,
                   "%s: expected the name of a file; this looks like the secret itself, which does "
                   "not stand here: write it into a file of its own (chmod 600) and name that",
                   x->name);
        return;
    }
    yaml_fault(x->reader->faults, x->node, "%s: cannot read %s: %s%s", x->name, path,
               why ? why : "unknown error",
               error == ENOENT && *suffix(x->setting) ? "; write the secret into it (chmod 600)"
                                                      : "");
}

/* Opens for reading; -1 with a fault noted. */
static int open_file(const struct reading *x, const char *path, struct stat *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int error = fd < 0 || fstat(fd, ret) < 0 ? errno : S_ISDIR(ret->st_mode) ? EISDIR : 0;

    watch_note(x->reader->files, path, fd < 0 ? NULL : ret);
    if (!error)
        return fd;
    if (fd >= 0)
        (void)close(fd); /* was only read */
    file_fault(x, path, error);
    return -1;
}

static bool read_path(const struct reading *x, const char **field)
{
    bool bare;
    const char *text = scalar(x, "a file", &bare), *path = text ? resolve(x, text) : NULL;
    struct stat st;
    int fd;

    if (!path || (fd = open_file(x, path, &st)) < 0)
        return false;
    (void)close(fd); /* was only looked at */
    *field = path;
    return true;
}

/* Reads at most room bytes; -1 and errno. */
static ssize_t read_all(int fd, char *bytes, size_t room)
{
    size_t len = 0;

    while (len < room) {
        ssize_t n = read(fd, bytes + len, room - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static bool take_secret_file(const struct reading *x, struct secret *ret)
{
    char bytes[SECRET_MAX + 1];
    bool bare, good = false;
    const char *text = scalar(x, "a file", &bare), *path = text ? resolve(x, text) : NULL;
    struct stat st;
    ssize_t len;
    int fd;

    if (!path)
        return false;
    fd = open_file(x, path, &st);
    if (fd < 0)
        return false;
    len = read_all(fd, bytes, sizeof bytes);
    if (len < 0)
        file_fault(x, path, errno);
    (void)close(fd); /* was only read */
    if (len > 0 && bytes[len - 1] == '\n')
        len -= len > 1 && bytes[len - 2] == '\r' ? 2 : 1;
    if (len > SECRET_MAX) {
        yaml_fault(x->reader->faults, x->node,
                   "%s: %s is larger than 64 KiB, too large for a secret", x->name, path);
    } else if (len == 0) {
        yaml_fault(x->reader->faults, x->node, "%s: %s is empty", x->name, path);
    } else if (len > 0 && memchr(bytes, '\0', (size_t)len)) {
        yaml_fault(x->reader->faults, x->node, "%s: %s holds a zero byte", x->name, path);
    } else if (len > 0) {
        ret->file = path;
        ret->text = arena_strn(x->reader->arena, bytes, (size_t)len);
        ret->len = ret->text ? (size_t)len : 0;
        good = ret->text != NULL;
        if (!good)
            yaml_fault(x->reader->faults, x->node, "%s: %s", x->name, no_memory);
        if (x->reader->notes && S_ISREG(st.st_mode) && (st.st_mode & (S_IROTH | S_IWOTH)))
            yaml_fault(x->reader->notes, x->node,
                       "%s: everybody on this machine can read %s; chmod 600 would keep it secret",
                       x->name, path);
    }
    explicit_bzero(bytes, sizeof bytes);
    return good;
}

/* ---- secrets that are good for a time ---------------------------------------------------------- */

bool window_holds(const struct window *w, int64_t now_ms)
{
    return (!w->not_before_ms || now_ms >= w->not_before_ms) &&
           (!w->not_after_ms || now_ms <= w->not_after_ms);
}

const char *secret_name(const struct secret *s)
{
    return s->name ? s->name : s->file ? s->file : s->text;
}

struct secret *secret_current(const struct secret_list *list, int64_t now_ms)
{
    for (size_t i = 0; i < list->count; i++)
        if (window_holds(&list->items[i].window, now_ms))
            return &list->items[i];
    return NULL;
}

/* The map form of an entry; `file` or `key` comes first in its table. */
struct entry {
    const struct yaml_node *what;
    const char *name;
    struct window window;
};

#define ENTRY_ROW(word, kind, field, ...)                                                          \
    {                                                                                              \
        .key = (word), .type = (kind), .offset = offsetof(struct entry, field), __VA_ARGS__        \
    }
#define ENTRY_REST                                                                                 \
    ENTRY_ROW("name", SET_TEXT, name, .meaning = "what the log calls it"),                         \
        ENTRY_ROW("not_before", SET_TIME, window.not_before_ms,                                    \
                  .meaning = "it is not good before this time"),                                   \
        ENTRY_ROW("not_after", SET_TIME, window.not_after_ms,                                      \
                  .meaning = "it is not good after this time"),                                    \
        {.key = NULL},
static const struct setting secret_entry[] = {
    ENTRY_ROW("file", SET_NODE, what, .meaning = "the file with the secret", .required = true),
    ENTRY_REST};
static const struct setting public_entry[] = {
    ENTRY_ROW("key", SET_NODE, what, .meaning = "the public key", .required = true), ENTRY_REST};

static bool take_public_text(const struct reading *x, struct secret *ret)
{
    bool bare;
    const char *text = scalar(x, "text", &bare);

    if (!text)
        return false;
    if (!*text) {
        yaml_fault(x->reader->faults, x->node, "%s: an empty text", x->name);
        return false;
    }
    ret->text = arena_str(x->reader->arena, text);
    if (!ret->text) {
        yaml_fault(x->reader->faults, x->node, "%s: %s", x->name, no_memory);
        return false;
    }
    ret->len = strlen(text);
    return true;
}

/* One entry of a list: a file or a public key, or a map around it. */
static bool take_entry(const struct reading *x, void *item)
{
    const bool is_public = x->setting->type == SET_PUBLIC_LIST;
    const struct settings_reader *r = x->reader;
    const size_t faults = r->faults->count;
    struct entry in = {.what = x->node};
    struct secret *ret = item;
    struct reading one = *x;

    if (x->node->kind == YAML_MAP) {
        in.what = NULL;
        settings_read(r, x->node, x->name, is_public ? public_entry : secret_entry, &in);
        if (in.name && !*in.name)
            yaml_fault(r->faults, yaml_get(x->node, "name"), "%s.name is empty", x->name);
        if (in.window.not_before_ms && in.window.not_after_ms &&
            in.window.not_after_ms <= in.window.not_before_ms)
            yaml_fault(r->faults, yaml_get(x->node, "not_after"),
                       "%s.not_after: expected a time after not_before", x->name);
    }
    if (!in.what)
        return false; /* the fault is noted */
    ret->name = in.name;
    ret->window = in.window;
    ret->at = one.node = in.what;
    return (is_public ? take_public_text(&one, ret) : take_secret_file(&one, ret)) &&
           r->faults->count == faults;
}

/* What time has made of a list is worth a line, and no fault. */
static void note_windows(const struct reading *x, const struct secret_list *list)
{
    const struct settings_reader *r = x->reader;
    const int64_t now = clock_wall_ms(r->clock ? r->clock : clock_system());
    char text[CLOCK_TEXT_SIZE];

    if (!r->notes)
        return;
    if (list->count && !secret_current(list, now))
        yaml_fault(r->notes, x->node, "%s: none of them is good now: whoever uses one is refused",
                   x->name);
    for (size_t i = 0; i < list->count; i++) {
        const struct secret *s = &list->items[i];

        if (s->window.not_after_ms && now > s->window.not_after_ms)
            yaml_fault(r->notes, s->at, "%s: %.100s has not been good since %s; take it out",
                       x->name, secret_name(s), clock_format(s->window.not_after_ms, text));
    }
}

void secret_wipe(struct secret *s)
{
    if (s->text)
        explicit_bzero(s->text, s->len);
    s->text = NULL;
    s->len = 0;
}

/* ---- lists ------------------------------------------------------------------------------------ */

/* Walks a list, or one scalar as a list of one. take writes one element of `size` bytes. */
static bool read_list(const struct reading *x, const char *what, size_t size, void **ret_items,
                      size_t *ret_count, bool (*take)(const struct reading *x, void *item))
{
    const struct yaml_node *first = x->node;
    size_t count = 1, done = 0;
    bool good = true;
    char *items;

    if (x->node->kind == YAML_LIST) {
        first = x->node->first;
        count = x->node->count;
        if (count == 0 && x->setting->required) {
            yaml_fault(x->reader->faults, x->node, "%s is an empty list; expected %s", x->name,
                       what);
            return false;
        }
    } else if ((x->node->kind == YAML_MAP && take != take_entry) || x->node->null) {
        yaml_fault(x->reader->faults, x->node, "%s: expected %s, found %s", x->name, what,
                   kind_name(x->node));
        return false;
    }
    items = arena_array(x->reader->arena, count ? count : 1, size);
    if (!items) {
        yaml_fault(x->reader->faults, x->node, "%s: %s", x->name, no_memory);
        return false;
    }
    for (const struct yaml_node *n = first; n && done < count; n = n->next, done++) {
        struct reading one = *x;

        one.node = n;
        if (!take(&one, items + done * size))
            good = false;
    }
    if (good) {
        *ret_items = items;
        *ret_count = count;
    }
    return good;
}

static bool take_list_text(const struct reading *x, void *item)
{
    bool bare;
    const char *text = scalar(x, "text", &bare);

    if (text && !*text) {
        yaml_fault(x->reader->faults, x->node, "%s: an empty text", x->name);
        return false;
    }
    *(const char **)item = text;
    return text != NULL;
}

static bool take_list_address(const struct reading *x, void *item)
{
    return read_address(x, item);
}

static bool take_list_cidr(const struct reading *x, void *item)
{
    struct err e = {0};
    bool bare;
    const char *text = scalar(x, "a network such as 10.0.0.0/8", &bare);

    if (!text)
        return false;
    if (settings_cidr(text, item, &e)) {
        yaml_fault(x->reader->faults, x->node, "%s: %s", x->name, e.text);
        return false;
    }
    return true;
}

static bool read_text_list(const struct reading *x, struct text_list *field)
{
    void *items = NULL;
    size_t count = 0;

    if (!read_list(x, "a list of texts", sizeof(const char *), &items, &count, take_list_text))
        return false;
    *field = (struct text_list){.items = items, .count = count};
    return true;
}

static bool read_address_list(const struct reading *x, struct text_list *field)
{
    void *items = NULL;
    size_t count = 0;

    if (!read_list(x, "a list of mail addresses", sizeof(const char *), &items, &count,
                   take_list_address))
        return false;
    *field = (struct text_list){.items = items, .count = count};
    return true;
}

static bool read_secret_list(const struct reading *x, struct secret_list *field)
{
    const char *what = x->setting->type == SET_PUBLIC_LIST ? "a list of texts" : "a list of files";
    void *items = NULL;
    size_t count = 0;

    if (!read_list(x, what, sizeof(struct secret), &items, &count, take_entry))
        return false;
    *field = (struct secret_list){.items = items, .count = count};
    note_windows(x, field);
    return true;
}

static bool read_cidr_list(const struct reading *x, struct cidr_list *field)
{
    void *items = NULL;
    size_t count = 0;

    if (!read_list(x, "a list of networks", sizeof(struct cidr), &items, &count, take_list_cidr))
        return false;
    *field = (struct cidr_list){.items = items, .count = count};
    return true;
}

/* ---- the table -------------------------------------------------------------------------------- */

static bool read_value(const struct reading *x, void *field)
{
    switch (x->setting->type) {
    case SET_TEXT:
        return read_text(x, field);
    case SET_URL:
        return read_url(x, field);
    case SET_LISTEN:
        return read_listen(x, field);
    case SET_PATH:
        return read_path(x, field);
    case SET_ADDRESS:
        return read_address(x, field);
    case SET_GUID:
        return read_guid(x, field);
    case SET_WORD:
        return read_word(x, field);
    case SET_BOOL:
        return read_bool(x, field);
    case SET_INT:
        return read_int(x, field);
    case SET_DURATION:
        return read_duration(x, field);
    case SET_SIZE:
        return read_size(x, field);
    case SET_TIME:
        return read_time(x, field);
    case SET_SECRET:
        ((struct secret *)field)->at = x->node;
        return take_secret_file(x, field);
    case SET_SECRET_LIST:
    case SET_PUBLIC_LIST:
        return read_secret_list(x, field);
    case SET_TEXT_LIST:
        return read_text_list(x, field);
    case SET_ADDRESS_LIST:
        return read_address_list(x, field);
    case SET_CIDR_LIST:
        return read_cidr_list(x, field);
    case SET_NODE:
        if (x->node->null) {
            yaml_fault(x->reader->faults, x->node, "%s is empty", x->name);
            return false;
        }
        *(const struct yaml_node **)field = x->node;
        return true;
    case SET_UNSUPPORTED:
        yaml_fault(x->reader->faults, x->node->key ? x->node->key : x->node,
                   "%s: %s is not available in this version of cordon", x->name,
                   x->setting->meaning ? x->setting->meaning : "this");
        return false;
    }
    assert(!"a setting of unknown type");
    return false;
}

/* Is this how the key is written in the file? */
static bool is_key(const struct setting *s, const char *text)
{
    size_t len = strlen(s->key);

    return strncmp(text, s->key, len) == 0 && strcmp(text + len, suffix(s)) == 0;
}

static const struct yaml_node *find_value(const struct yaml_node *map, const struct setting *s)
{
    for (const struct yaml_node *n = map && map->kind == YAML_MAP ? map->first : NULL; n;
         n = n->next)
        if (is_key(s, n->key->text))
            return n;
    return NULL;
}

/* The key as it is written in the file, for messages. */
static const char *written(const struct settings_reader *r, const struct setting *s)
{
    const char *key = *suffix(s) ? arena_fmt(r->arena, "%s%s", s->key, suffix(s)) : s->key;

    return key ? key : s->key;
}

static const char *full_name(const struct settings_reader *r, const char *what, const char *key)
{
    const char *name = what && *what ? arena_fmt(r->arena, "%s.%s", what, key) : key;

    return name ? name : key;
}

static void apply_fallback(const struct settings_reader *reader, const struct setting *s,
                           const char *name, void *field)
{
    const struct yaml_node node = {.kind = YAML_SCALAR, .text = s->fallback};
    const struct reading x = {.reader = reader, .setting = s, .name = name, .node = &node};

    /* There is nothing a file could write for these. */
    assert(s->type != SET_NODE && s->type != SET_SECRET && s->type != SET_SECRET_LIST &&
           s->type != SET_PUBLIC_LIST);
    /* Were it no good, the fault would be noted like any other, only without a place. */
    (void)read_value(&x, field);
}

static void unknown_key(const struct settings_reader *reader, const struct yaml_node *key,
                        const char *what, const struct setting *table)
{
    const struct setting *s;
    const char **words, *near;
    size_t n = 0;

    for (s = table; s->key; s++) {
        if (*suffix(s) && strcmp(key->text, s->key) == 0) {
            yaml_fault(
                reader->faults, key,
                "%s: secrets do not stand in this file; put it into a file of its own and name "
                "that with %s",
                full_name(reader, what, key->text), full_name(reader, what, written(reader, s)));
            return;
        }
        n++;
    }
    if (reader->faults->count >= FAULTS_WORTH_WORDS) {
        yaml_fault(reader->faults, key, "%s: unknown key", key->text);
        return;
    }
    words = arena_array(reader->arena, n + 1, sizeof *words);
    for (size_t i = 0; words && i < n; i++)
        words[i] = written(reader, &table[i]);
    near = words ? yaml_nearest(key->text, words) : NULL;
    if (near)
        yaml_fault(reader->faults, key, "%s: unknown key; did you mean %s?",
                   full_name(reader, what, key->text), full_name(reader, what, near));
    else
        yaml_fault(reader->faults, key, "%s: unknown key; expected one of %s",
                   full_name(reader, what, key->text), words ? join(reader, words) : no_memory);
}

void settings_read_key(const struct settings_reader *reader, const struct yaml_node *map,
                       const char *what, const struct setting *row, void *out)
{
    const struct reading x = {.reader = reader,
                              .setting = row,
                              .name = full_name(reader, what, written(reader, row)),
                              .node = find_value(map, row)};
    void *field = (char *)out + row->offset;

    if (row->fallback)
        apply_fallback(reader, row, x.name, field);
    if (x.node)
        (void)read_value(&x, field); /* a fault was noted; the others are read all the same */
    else if (row->required)
        yaml_fault(reader->faults, map && map->key ? map->key : map, "%s is missing%s%s", x.name,
                   row->meaning ? ": " : "", row->meaning ? row->meaning : "");
}

void settings_read(const struct settings_reader *reader, const struct yaml_node *map,
                   const char *what, const struct setting *table, void *out)
{
    if (map && map->kind != YAML_MAP) {
        yaml_fault(reader->faults, map, "%s: expected a map of settings, found %s",
                   what && *what ? what : "the file", kind_name(map));
        for (const struct setting *s = table; s->key; s++)
            if (s->fallback)
                apply_fallback(reader, s, s->key, (char *)out + s->offset);
        return;
    }
    for (const struct yaml_node *child = map ? map->first : NULL; child; child = child->next) {
        const struct setting *s = table;

        while (s->key && !is_key(s, child->key->text))
            s++;
        if (!s->key)
            unknown_key(reader, child->key, what, table);
    }
    for (const struct setting *s = table; s->key; s++)
        settings_read_key(reader, map, what, s, out);
}
