/* console_lists.h - the lists of the console: a table each, of the document that the API answers with. */
#ifndef CORDON_CONSOLE_LISTS_H
#define CORDON_CONSOLE_LISTS_H

#include "console_pages.h"
#include "json.h"

/* nothing: the sentence in place of a list that holds nothing. */
void console_list_cases(struct console_page *p, const struct json *doc, const char *nothing);
void console_list_isolations(struct console_page *p, const struct json *doc, const char *nothing);
void console_list_questions(struct console_page *p, const struct json *doc, const char *nothing);
void console_list_sources(struct console_page *p, const struct json *doc);
void console_list_hunts(struct console_page *p, const struct json *doc);

#endif
