/* mime_address.c - is a text one mail address, and nothing else? See mime.h. */
#include "mime.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "auto.h"

bool mime_is_atext(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static const char *local_part_fault(const char *s, size_t len)
{
    if (len == 0)
        return "nothing before the @";
    if (len > MIME_LOCAL_PART_MAX)
        return "more than 64 characters before the @";
    if (s[0] == '"') {
        if (len < 3 || s[len - 1] != '"')
            return "a quote that does not close before the @";
        for (size_t i = 1; i < len - 1; i++)
            if (!mime_is_atext(s[i]) && s[i] != '.' && s[i] != ' ')
                return "a character that may not stand in quotes here";
        return NULL;
    }
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '.' ? i == 0 || i == len - 1 || s[i - 1] == '.' : !mime_is_atext(s[i]))
            return (unsigned char)s[i] >= 0x80 ? "a letter outside ASCII before the @"
                   : s[i] == '.'               ? "a dot that stands first, last or twice"
                                               : "a character that may not stand before the @";
    }
    return NULL;
}

static const char *domain_fault(const char *s, size_t len)
{
    size_t label = 0;

    if (len == 0)
        return "nothing after the @";
    if (s[0] == '[') { /* an address literal, RFC 5321 section 4.1.3 */
        char literal[64];
        unsigned char address[16];
        bool v6 = !strncasecmp(s, "[IPv6:", 6);
        size_t skip = v6 ? 6 : 1;

        if (len < skip + 2 || len - skip - 1 >= sizeof literal || s[len - 1] != ']')
            return "an address literal that is not [1.2.3.4] or [IPv6:…]";
        memcpy(literal, s + skip, len - skip - 1);
        literal[len - skip - 1] = '\0';
        return inet_pton(v6 ? AF_INET6 : AF_INET, literal, address) == 1
                   ? NULL
                   : "an address literal that is not [1.2.3.4] or [IPv6:…]";
    }
    for (size_t i = 0; i <= len; i++) {
        if (i == len || s[i] == '.') {
            if (label == 0)
                return "an empty label in the domain";
            if (label > 63)
                return "a label of more than 63 characters in the domain";
            if (s[i - 1] == '-')
                return "a hyphen at the end of a label of the domain";
            label = 0;
            continue;
        }
        if ((unsigned char)s[i] >= 0x80)
            return "a domain outside ASCII; write its xn-- form";
        if (!isalnum((unsigned char)s[i]) && !(s[i] == '-' && label > 0))
            return "a character that may not stand in a domain";
        label++;
    }
    return NULL;
}

bool mime_address_ok(const char *address, struct err *e)
{
    const char *fault = NULL, *at;
    AUTO(buf_clear) struct buf shown = BUF_INIT(1024);
    size_t len = strnlen(address, MIME_ADDRESS_MAX + 1);

    if (len > MIME_ADDRESS_MAX) {
        fault = "more than 254 characters";
    } else if (!(at = strrchr(address, '@'))) {
        fault = len ? "no @" : "empty";
    } else {
        fault = local_part_fault(address, (size_t)(at - address));
        if (!fault)
            fault = domain_fault(at + 1, strlen(at + 1));
    }
    if (!fault)
        return true;
    for (size_t i = 0; i < len && i < 80; i++) /* enough to find it by; plain characters alone */
        buf_addc(&shown, address[i] >= ' ' && address[i] <= '~' ? address[i] : '?');
    err_set(e, ERR_INVALID, "\"%s\" is not a mail address: %s", buf_text(&shown), fault);
    return false;
}
