/* question_page.h - the page behind a mailed link: what a person is asked, and the form to answer it by.
 *
 * GET and HEAD never act: mail scanners open every link. The page holds the facts and a form, no script and
 * nothing from elsewhere; sending the form (POST, to the same link) answers, as the person whose mail the link
 * came in, or who it is that `approvers` wants proven (approver.h). A question that is over shows how it ended, and by
 * whom. What is no capability, forged or too old is 404 and never says which.
 */
#ifndef CORDON_QUESTION_PAGE_H
#define CORDON_QUESTION_PAGE_H

#include "engine.h"
#include "http.h"
#include "rest.h"

struct question_page;

/** g, rest: borrowed, g with its capabilities. Starts the thread that reads and writes for it. */
enum err_code question_page_new(struct engine *g, struct rest *rest, struct question_page **ret,
                                struct err *e);
/** No request may be under way: after http_server_free. NULL is fine. */
void question_page_free(struct question_page *p);
/** What a route wants (QUESTION_PATH): ctx is the struct question_page. */
struct http_handler question_page_handler(void);

#endif
