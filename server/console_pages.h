/* console_pages.h - what the console's pages hold; console.h is how they are asked for. */
#ifndef CORDON_CONSOLE_PAGES_H
#define CORDON_CONSOLE_PAGES_H

#include "door.h"
#include "engine.h"
#include "html.h"

/* One page being made, for one visitor. */
struct console_page {
    struct engine *g;
    struct runtime *rt;
    const char *version;
    bool stopping;
    struct http_request *r;
    struct arena *arena; /* the request's */
    const struct visitor *visitor;
    const char *path; /* of the page */
    const char *id;   /* of the path; "" when it has none */
    const char *said; /* what came of an order; NULL: none was given */
    int64_t now;
    unsigned status; /* of the answer */
    struct buf out;
    struct err e; /* with another status than 200 and nothing written: what is wrong */
};

/* Each writes a whole page, or nothing and sets status and e. */
void console_overview(struct console_page *p);
void console_cases(struct console_page *p);
void console_case(struct console_page *p);
void console_isolations(struct console_page *p);
void console_isolation(struct console_page *p);
void console_questions(struct console_page *p);
void console_question(struct console_page *p);

/** The form that opens a session. to: the path that was asked for; why: what was wrong with the last try, or NULL. */
void console_sign_in(struct console_page *p, const char *to, const char *why);
/** What went wrong and what to do about it. visitor may be NULL: then the page names nothing of the house. */
void console_trouble(struct console_page *p, const char *title, const char *text, const char *cure);

#endif
