/* console_frame.h - what the pages of the console share: how they read, how they begin and end, their forms and words. */
#ifndef CORDON_CONSOLE_FRAME_H
#define CORDON_CONSOLE_FRAME_H

#include <string.h>

#include "console_pages.h"
#include "json.h"

#define FRAME_DOCUMENT_MAX (32 * 1024 * 1024) /* of what the API writes */

/* ---- reading ---------------------------------------------------------------------------------- */

/** What the API wrote, or NULL with p->e. code: what it returned. */
struct json *frame_taken(struct console_page *p, const struct buf *text, enum err_code code);
/** A time of a document, wall ms; 0: it holds none. */
int64_t frame_moment(const struct json *of, const char *name);
/** A number; 0: it holds none. */
int64_t frame_number(const struct json *of, const char *name);
/** A text; "": it holds none. */
const char *frame_text(const struct json *of, const char *name);
static inline bool frame_is(const char *text, const char *word)
{
    return strcmp(text, word) == 0;
}
/** In the place of a part that cannot be read; the answer is a 503 then. */
void frame_unreadable(struct console_page *p);

/* ---- the page --------------------------------------------------------------------------------- */

void frame_begin(struct console_page *p, const char *title);
void frame_end(struct console_page *p);
/** Who is there, and where he can go. */
void frame_header(struct console_page *p);
/** What every page must say while it holds, or nothing is as it looks: paused, shadow mode. */
void frame_alarms(struct console_page *p);
/** A part with a heading. id, title: literals. */
void frame_part_begin(struct console_page *p, const char *id, const char *title);
/** all: where the whole list is, when doc is only its beginning; NULL: nowhere. */
void frame_part_end(struct console_page *p, const struct json *doc, const char *all);

/* ---- forms: each sends who, and why ------------------------------------------------------------ */

void frame_form_begin(struct console_page *p, const char *action);
void frame_by_field(struct console_page *p);
void frame_why_field(struct console_page *p, bool demanded);
void frame_form_end(struct console_page *p, const char *button, bool danger);

/* ---- words ------------------------------------------------------------------------------------ */

enum html_tone frame_case_tone(const char *state);
enum html_tone frame_question_tone(const char *state);
/** What Defender says of an isolation, never ahead of it. */
void frame_isolation_badge(struct console_page *p, const struct json *isolation);
/** What people call an alert, and a machine; the latter NULL when nothing is known of it. */
const char *frame_alert(struct console_page *p, const struct json *c);
const char *frame_machine(const struct json *of);
/** The machine that a sender named, unless it is the alert's own; NULL: none. */
const char *frame_pushed_machine(const struct json *of);
/** Whose machine or alert it is; NULL: there is one tenant, and it is that one's. */
const char *frame_tenant(const struct console_page *p, const struct json *of);

/* ---- lists and pairs --------------------------------------------------------------------------- */

/** Says the sentence when a list holds nothing; true: it does not. */
bool frame_none(struct console_page *p, const struct json *list, const char *sentence);
/** "The first 50 newest first". */
const char *frame_caption(struct console_page *p, const struct json *doc, const char *list,
                          const char *what);
/** The next cell, a link; with the id below it unless that is NULL. */
void frame_link_cell(struct html_table *t, const char *href, const char *text, const char *id);
/** The next cell, a machine; with its tenant below it where several are: machines of two may have one name. */
void frame_machine_cell(struct console_page *p, struct html_table *t, const struct json *of);
/** A link to a case, by its id. */
void frame_case_link(struct console_page *p, const char *id);
/** Nothing at all for 0, for NULL. */
void frame_time_pair(struct console_page *p, const char *name, int64_t ms);
void frame_link_pair(struct console_page *p, const char *name, const char *href, const char *text);

#endif
