/* glob.c - see glob.h. On a mismatch the last star takes one character more: linear in practice. */
#include "glob.h"

#include <ctype.h>
#include <stddef.h>

static bool same(char a, char b)
{
    return a == '?' || tolower((unsigned char)a) == tolower((unsigned char)b);
}

bool glob_matches(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;

    if (!pattern)
        return true;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern && same(*pattern, *text)) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}
