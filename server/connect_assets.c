/* connect_assets.c - the files of server/connect, as they are: the assembler takes them in, so that each can
 * be read, run and checked as the file that it is. The Makefile knows that this object depends on them. */
#include "connect.h"

#include <string.h>

#define ASSET(symbol, file)                                                                        \
    __asm__(".pushsection .rodata\n"                                                               \
            "connect_asset_" #symbol ":\n"                                                         \
            ".incbin \"server/connect/" file "\"\n"                                                \
            ".byte 0\n"                                                                            \
            ".popsection\n");                                                                      \
    extern const char connect_asset_##symbol[] __attribute__((visibility("hidden")));
#include "connect_list.h"
#undef ASSET

static const struct {
    const char *file, *text;
} assets[] = {
#define ASSET(symbol, file) {file, connect_asset_##symbol},
#include "connect_list.h"
#undef ASSET
};

const char *connect_asset(const char *file)
{
    for (size_t i = 0; i < sizeof assets / sizeof *assets; i++)
        if (strcmp(assets[i].file, file) == 0)
            return assets[i].text;
    return NULL;
}
