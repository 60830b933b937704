/* mails.h - what the SMTP sink took, and what it was told. Any thread. */
#ifndef SIM_MAILS_H
#define SIM_MAILS_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "json.h"

struct mails; /* opaque */

struct mail {                       /* borrowed by mails_add */
    const char *from, *helo, *user; /* user NULL: not logged in */
    const char *const *rcpt;        /* count of them */
    size_t n_rcpt;
    bool tls, confirmed; /* confirmed: the final 250 was sent */
    const char *raw;     /* CRLF line ends, dots unstuffed */
    size_t raw_len;
};

enum err_code mails_new(struct mails **ret, struct err *e);
void mails_free(struct mails *m);
void mails_add(struct mails *m, const struct mail *mail);
void mails_forget(struct mails *m);
/** Mails with seq > since. */
int64_t mails_count(struct mails *m, int64_t since);
void mails_write(struct mails *m, int64_t since, struct json_out *out, const char *name);
/** Notes a command line as it came; credentials are the caller's to hide. */
void mails_note(struct mails *m, const char *line);
void mails_note_connection(struct mails *m);
/** {"connections":n,"commands":[…]} */
void mails_write_session(struct mails *m, struct json_out *out);

#endif
