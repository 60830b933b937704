/* list.h - HANDLER(x) means: handlers/x.c defines `const struct handler handler_x`. */
HANDLER(email)
HANDLER(isolate)
