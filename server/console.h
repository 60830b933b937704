/* console.h - the console: what cordon does and waits for, in a browser, and the forms to give orders by.
 *
 * It shows what the API serves (api.h), read by the same functions, and its forms give the same orders (desk.h). GET and HEAD
 * never act. A form is taken from a page of its own alone (door.h), and sends the browser on when its order is
 * given. No script is sent or needed.
 */
#ifndef CORDON_CONSOLE_H
#define CORDON_CONSOLE_H

#include <stdatomic.h>

#include "engine.h"
#include "http.h"

struct console;

struct console_options {
    struct engine *engine;       /* borrowed, like all of these */
    const char *version;         /* of the program */
    const atomic_bool *stopping; /* said on the page */
};

/** o is copied. ERR_NOMEM; ERR_IO without randomness. */
enum err_code console_new(const struct console_options *o, struct console **ret, struct err *e);
void console_free(struct console *c);
AUTO_FREEP(struct console, console)
/** Is this path one of the console's? */
bool console_serves(const char *path);
/** For the paths that it serves: ctx is the struct console. */
struct http_handler console_handler(void);

#endif
