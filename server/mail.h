/* mail.h - sends one message to its recipients and tells what became of each.
 *
 * smtp://   libesmtp in a child process with a deadline (smtp.h). STARTTLS is demanded; on loopback
 *           it is used when the server offers it and plain text is allowed when not. A relay on loopback may
 *           show any certificate (plain text is no worse), unless ca_file says which is good.
 * smtps://  libcurl (rest.h), which speaks implicit TLS; one transaction per recipient. The same way
 *           goes every login with an OAuth token (XOAUTH2, OAUTHBEARER), smtp:// with STARTTLS included.
 *
 * A notice is work of its own that is tried again (design.md section 4), so nothing here waits or
 * repeats. A message may arrive twice when an answer was lost (`maybe_sent`): build it once with one
 * Message-ID, so that mail clients can fold the two.
 */
#ifndef CORDON_MAIL_H
#define CORDON_MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

struct rest;

/* Recipients of one message: what every server must take (RFC 5321 section 4.5.3.1.8). */
#define MAIL_RECIPIENTS_MAX 100

/* Login names and passwords: libesmtp's PLAIN copies both into 255 bytes each, unchecked. */
#define MAIL_USERNAME_MAX 255
#define MAIL_PASSWORD_MAX 255

#define MAIL_TIMEOUT_MS 60000 /* where mail_server.timeout_ms is 0 */

struct mail_server {
    const char *url;      /* "smtp://host:587" or "smtps://host:465"; these are the default ports */
    const char *username; /* NULL: no login */
    const char *password; /* used when read_password is NULL; never logged */
    /* Reads the password (or token) anew for each message, into ret; its bytes are wiped after use. */
    enum err_code (*read_password)(void *ctx, struct buf *ret, struct err *e);
    void *read_password_ctx;
    bool oauth;          /* the password is an access token (defender-api.md sections 9.2, 9.3) */
    const char *ca_file; /* extra PEM roots, for a private CA; NULL: the system's alone */
    const char *helo;    /* the name in EHLO; NULL: the host's own */
    int64_t timeout_ms;  /* for all of a message, from look-up to answer; 0: MAIL_TIMEOUT_MS */
    /* for the answer alone, once all of the message has left, where that is longer; 0: it is not. Then it is a matter of
     * minutes, and whoever waits does so alone: such sendings come one after the other */
    int64_t answer_ms;
    const char *helper; /* program started with the word `smtp-child`; NULL: /proc/self/exe */
};

/*   not tried --2xx for recipient and message--> MAIL_SENT
 *       \-------no answer, 4xx, a fault of ours or of the login-----> MAIL_RETRY
 *        \------5xx for this recipient or this message--------------> MAIL_REFUSED          */
enum mail_fate {
    MAIL_RETRY, /* not delivered (but see maybe_sent); a repeat may help, perhaps after a person did */
    MAIL_SENT,    /* the server took responsibility for it */
    MAIL_REFUSED, /* the same message to the same recipient will be refused again */
};

struct mail_result {
    enum mail_fate fate;
    bool maybe_sent; /* MAIL_RETRY: the whole message had left when the answer was lost */
    bool for_all;    /* MAIL_RETRY: we were let in, and no recipient alone was what it was about */
    int smtp_code;   /* the reply's code; 0: there was none */
    char text[160];  /* a sentence for people, UTF-8 without controls; never a secret */
};

/** "sent", "retry", "refused"; static storage. */
const char *mail_fate_name(enum mail_fate fate);

/** The same fate for n recipients; text is cleaned, and cut where it is too long. */
void mail_results_set(struct mail_result *results, size_t n, enum mail_fate fate, bool maybe_sent,
                      const char *text);

/**
 * Sends message from `from` to each of to[]. Blocks, for server->timeout_ms, answer_ms and a second at most.
 *
 * server    borrowed for the call.
 * rest      for smtps:// and OAuth; may be NULL when neither is configured.
 * from, to  addresses as mime_address_ok wants them. A bad one in to[] is MAIL_REFUSED by itself.
 * message   len bytes as mime_build writes them (CRLF line ends; a bare CR, LF or a NUL is ERR_INVALID).
 * results   n elements, always filled, whatever is returned.
 * Returns   ERR_OK: the server spoke about the message, each recipient's fate stands in results.
 *           Otherwise no recipient was reached, each is MAIL_RETRY and e says why:
 *           ERR_AGAIN   no connection, no (good) TLS, the server turned us away for now
 *           ERR_DENIED  the login was refused or is impossible: a person must act
 *           ERR_TIMEOUT the time for it passed (results[].maybe_sent tells whether the message had left)
 *           ERR_INVALID server, from or message cannot be used; ERR_IO the child process failed; ERR_NOMEM
 * Threads   any.
 */
enum err_code mail_send(const struct mail_server *server, struct rest *rest, const char *from,
                        const char *const *to, size_t n, const char *message, size_t len,
                        struct mail_result *results, struct err *e);

/**
 * Connects, checks TLS and logs in, and sends nothing: for `cordon doctor`. from as in mail_send.
 * ret_what  written on success: what was found, in words ("TLS 1.2 with mail.example, logged in as …").
 * Returns   as mail_send.
 */
enum err_code mail_probe(const struct mail_server *server, struct rest *rest, const char *from,
                         char ret_what[160], struct err *e);

/** ERR_INVALID, with the reason in e, for settings that mail_send would refuse. Touches no network. */
enum err_code mail_server_check(const struct mail_server *server, struct err *e);

#endif
