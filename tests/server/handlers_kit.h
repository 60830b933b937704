/* handlers_kit.h - a table of handlers that stands in for server/handlers.c in the tests of policies and
 * verdicts, so that they do not change when a handler's words do. Included by one file of a program.
 */
#ifndef HANDLERS_KIT_H
#define HANDLERS_KIT_H

#include <stddef.h>
#include <string.h>

#include <cordon/handler.h>

static const char *const kit_types[] = {"full", "selective", NULL};

static const struct handler_arg kit_isolate_args[] = {
    {"type", ARG_WORD, kit_types, NULL, "full, or selective"},
    {"comment", ARG_TEXT, NULL, "{{alert.title}} ({{alert.severity}}), alert {{alert.id}}",
     "stands beside the action"},
    {NULL, ARG_TEXT, NULL, NULL, NULL},
};

static const struct handler_arg kit_email_args[] = {
    {"to", ARG_ADDRESSES, NULL, NULL, "whom to write to"},
    {"subject", ARG_TEXT, NULL, NULL, "the mail's subject"},
    {"body", ARG_TEXT, NULL, NULL, "the mail's text"},
    {NULL, ARG_TEXT, NULL, NULL, NULL},
};

static const char *const kit_within[] = {"1m", "7d", NULL}, *const kit_people[] = {"1", "10", NULL};

static const struct handler_arg kit_ask_args[] = {
    {"within", ARG_DURATION, kit_within, "4h", "how long"},
    {"people", ARG_NUMBER, kit_people, "1", "how many"},
    {"approvers", ARG_ADDRESSES, NULL, NULL, "who"},
    {NULL, ARG_TEXT, NULL, NULL, NULL},
};

static const struct handler kit_ask = {.name = "ask", .meaning = "asks", .args = kit_ask_args};
static const struct handler kit_isolate = {
    .name = "isolate", .meaning = "isolates", .acts = true, .args = kit_isolate_args};
static const struct handler kit_email = {
    .name = "email", .meaning = "mails", .args = kit_email_args};
static const struct handler kit_page = {.name = "page", .meaning = "calls somebody"};

const struct handler *const *handler_table(void)
{
    static const struct handler *const table[] = {&kit_ask, &kit_email, &kit_isolate, &kit_page,
                                                  NULL};

    return table;
}

const struct handler *handler_find(const char *name)
{
    for (const struct handler *const *h = handler_table(); *h; h++)
        if (strcmp((*h)->name, name) == 0)
            return *h;
    return NULL;
}

#endif
