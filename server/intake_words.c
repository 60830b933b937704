/* intake_words.c - see intake_words.h. */
#include "intake_words.h"

#include <stddef.h>
#include <string.h>

#define ALERT_ID_MAX 128 /* defender-api.md section 2.5 */
#define GUID_LENGTH  36

bool word_is(const char *name, const char *plain)
{
    for (;; name++) {
        char c = *name;

        if (c == '_' || c == '-' || c == ' ')
            continue;
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != *plain)
            return false;
        if (!c)
            return true;
        plain++;
    }
}

static size_t span_digits(const char *s)
{
    return strspn(s, "0123456789");
}

/* Does s begin with a GUID? */
static bool span_guid(const char *s)
{
    for (size_t i = 0; i < GUID_LENGTH; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23
                ? s[i] != '-'
                : !strchr("0123456789abcdefABCDEF", s[i]) || !s[i])
            return false;
    return true;
}

bool word_is_guid(const char *s)
{
    return span_guid(s) && s[GUID_LENGTH] == '\0';
}

bool word_looks_like_alert(const char *id)
{
    static const char providers[][3] = {"da", "ed", "ra", "ta", "ea", "fa", "aa", "ri",
                                        "ca", "ma", "rm", "ad", "dl", "dc", "sn", "ir"};
    const char *rest = id + 2;
    size_t n;

    for (size_t i = 0;; i++) {
        if (i == sizeof providers / sizeof *providers)
            return false;
        if (strncmp(id, providers[i], 2) == 0)
            break;
    }
    n = span_guid(rest) ? GUID_LENGTH : span_digits(rest);
    if (!n)
        return false;
    rest += n;
    if (*rest == '_') {
        rest += rest[1] == '-' ? 2 : 1;
        n = span_digits(rest);
        rest += n;
    }
    return n && !*rest;
}

bool word_is_alert_id(const char *id)
{
    size_t n = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");

    return n > 0 && n <= ALERT_ID_MAX && !id[n] && strspn(id, ".") < n;
}

bool word_is_machine_id(const char *id)
{
    size_t n = strspn(id, "0123456789abcdefABCDEF");

    return n >= MACHINE_ID_MIN && n <= MACHINE_ID_MAX && !id[n];
}

/* Graph writes microsoftDefenderForEndpoint, advanced hunting "Microsoft Defender for Endpoint" (its spelling
 * is not confirmed: webhook-sources.md section 9), Sentinel keeps the product's older name. */
bool word_is_endpoint_product(const char *name)
{
    return word_is(name, "microsoftdefenderforendpoint") ||
           word_is(name, "microsoftdefenderadvancedthreatprotection") ||
           word_is(name, "microsoftdefenderatp");
}
