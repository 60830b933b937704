/* text.h - texts that may be missing. */
#ifndef CORDON_TEXT_H
#define CORDON_TEXT_H

#include <stdbool.h>
#include <string.h>

/** To the letter; what is missing (NULL) is the same as nothing else. */
static inline bool text_is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

#endif
