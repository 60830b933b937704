/* main.c - the program's first line. */
#include <stdio.h>

int main(void)
{
    (void)puts("cordon 0.1.0");
    return 2;
}
