/* handlers.c - the table of handlers; see include/cordon/handler.h. A handler is a line in
 * handlers/list.h. */
#include <cordon/handler.h>

#include <stddef.h>
#include <string.h>

#define HANDLER(x) extern const struct handler handler_##x;
#include "../handlers/list.h"
#undef HANDLER

static const struct handler *const handlers[] = {
#define HANDLER(x) &handler_##x,
#include "../handlers/list.h"
#undef HANDLER
    NULL,
};

const struct handler *const *handler_table(void)
{
    return handlers;
}

const struct handler *handler_find(const char *name)
{
    for (size_t i = 0; handlers[i]; i++)
        if (strcmp(handlers[i]->name, name) == 0)
            return handlers[i];
    return NULL;
}
