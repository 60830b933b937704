/* smtp.h - SMTP with STARTTLS through libesmtp, in a child process; the only room that knows libesmtp.
 *
 * libesmtp cannot be trusted with a deadline (look-up and connect have none) nor, left alone, with a
 * password or an answer (library-traps.md). So each message is sent by a child that is started for it,
 * watched and, at the deadline, killed. parent -> child: one JSON line (password included) and the message;
 * child -> parent: one JSON line per stage reached and one with the outcome. Inside the child a gate
 * looks at every command before it leaves: none but EHLO, STARTTLS and QUIT without the TLS that is
 * demanded, none of MAIL, RCPT, DATA without the login that is configured.
 */
#ifndef CORDON_SMTP_H
#define CORDON_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "mail.h"

/* How far a session got, in order. */
enum smtp_stage {
    SMTP_START,    /* the child was started */
    SMTP_CONNECT,  /* looking up and connecting */
    SMTP_GREETING, /* connected, waiting for 220 */
    SMTP_EHLO,
    SMTP_STARTTLS, /* asked for, or shaking hands */
    SMTP_AUTH,
    SMTP_MAIL,
    SMTP_RCPT,
    SMTP_DATA, /* sending the message */
    SMTP_END,  /* all of it has left; waiting for the answer that decides */
    SMTP_DONE,
    SMTP_STAGES
};

/** The stage as a phrase that ends a sentence ("waiting for the greeting"); static storage. */
const char *smtp_stage_name(enum smtp_stage stage);

/* One message for the child. All borrowed. */
struct smtp_job {
    const char *host;
    unsigned port;
    bool plain_ok;        /* loopback: go on without STARTTLS when it is not offered */
    bool probe;           /* stop before MAIL FROM; message and to are ignored */
    const char *username; /* NULL: no login */
    const char *password;
    const char *ca_file; /* NULL: the system's roots alone */
    const char *helo;
    int64_t timeout_ms;
    int64_t
        answer_ms; /* of that which decides, since the message has left: where it ends later than timeout_ms; or 0 */
    int stop_fd; /* once readable, the child is killed as at the deadline; 0: none */
    const char *from;
    const char *const *to;
    size_t to_count;
    const char *message;
    size_t message_len;
};

/**
 * Starts helper (NULL: /proc/self/exe) with the word `smtp-child`, hands it the job, waits for it, and
 * kills it when timeout_ms (and answer_ms) have passed, or when job->stop_fd says so (ERR_STOPPING). Never leaves a child behind.
 *
 * results   job->to_count elements, always filled.
 * ret_what  NULL, or 160 bytes for what the session found (TLS version, login), for a probe.
 * Returns   as mail_send.
 * Threads   any; the child is made by posix_spawn, never by a bare fork.
 */
enum err_code smtp_send(const char *helper, const struct smtp_job *job, struct mail_result *results,
                        char *ret_what, struct err *e);

/**
 * What a reply means for a recipient. The table behind it names a source per row.
 *
 * stage     where the reply came; a 2xx is delivery at SMTP_END alone. code 0: no reply came.
 * text      the reply's words; an enhanced code at their start ("5.1.1 no such user") is looked up.
 * ret_why   what a person should know or do, or "" when the server's own words say enough; static.
 * Threads   any.
 */
enum mail_fate smtp_fate(enum smtp_stage stage, int code, const char *text, const char **ret_why);

/* What is shown in the place of words that repeat the login. */
#define SMTP_WITHHELD "(words withheld: they repeat the login)"
/**
 * Does an answer hold the password or the token, or what begins as a login with it does, encoded (PLAIN, LOGIN, XOAUTH2,
 * OAUTHBEARER)? Some servers repeat the command that they do not like, credentials and all.
 */
bool smtp_repeats_login(const char *answer, const char *username, const char *secret);

/**
 * Had the server let us in, and is what came of it about no recipient alone: the sender, the message, or nothing came?
 * As in mail_result.for_all. stage, code, text as above.
 */
bool smtp_is_for_all(enum smtp_stage stage, int code, const char *text);

/**
 * The child's whole life: reads a job from `in`, sends it, writes stages and the outcome to `out`.
 * For a process of its own: sets its limits, an alarm and the signal it gets when the parent dies,
 * and leaves libesmtp's memory to the process's end. Returns the exit code.
 */
int smtp_child_main(int in, int out);

#endif
