/* text.h - texts that may be missing, and digits. */
#ifndef CORDON_TEXT_H
#define CORDON_TEXT_H

#include <stdbool.h>
#include <string.h>

/** To the letter; what is missing (NULL) is the same as nothing else. */
static inline bool text_is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/** What a hexadecimal digit of either case stands for; -1: it is none. */
static inline int text_hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

#endif
