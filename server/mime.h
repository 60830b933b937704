/* mime.h - building one mail message, and making hostile text harmless in it.
 *
 * Alert text is chosen by attackers (file names, command lines, titles): nothing of theirs may become
 * a header, markup, a link or a trick of the eye (design.md section 6). Two layers see to that:
 *   - mime_build cleans every value that it writes, so no caller can forget it: no CR, LF, NUL or other
 *     control reaches a header, and characters that reorder or hide text are shown as "[U+202E]".
 *   - mime_text_defang and mime_html_escape are for whoever composes a body out of foreign text:
 *     plain part: defang; HTML part: defang, then escape. Our own links are not to be defanged.
 *
 * All text is NUL-terminated UTF-8; what is not UTF-8 becomes U+FFFD. Pure functions: any thread.
 */
#ifndef CORDON_MIME_H
#define CORDON_MIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/* RFC 5321 section 4.5.3.1.1 (local part) and 4.5.3.1.3 (path, without its angle brackets). */
#define MIME_LOCAL_PART_MAX 64
#define MIME_ADDRESS_MAX    254

/* Bytes of a subject or X- value before it is cut with "…": mail clients show about 80 characters and
 * RFC 5322 section 2.1.1 wants no line over 998. */
#define MIME_VALUE_MAX 600

/* Bytes of text or html that mime_build takes, before encoding. Encoded twice over it stays below the
 * 10 MB that mail servers commonly take. */
#define MIME_PART_MAX (2 * 1024 * 1024)

#define MIME_THREAD_ID 16

struct mime_header {
    const char *name;  /* "X-" and letters, digits, hyphens; anything else is ERR_INVALID */
    const char *value; /* UTF-8, cleaned and encoded by mime_build */
};

struct mime_attachment {
    const char *name;  /* letters, digits, - _ and . alone */
    const char *type;  /* "text/csv; charset=UTF-8" */
    const char *bytes; /* sent as they are, in base64 */
    size_t len;
};

struct mime_message {
    const char *from;      /* one address, as mime_address_ok wants it */
    const char *const *to; /* likewise; shown in the To header */
    size_t to_count;       /* at least 1 */
    const char *subject;   /* UTF-8, one line */
    /* "left@right", without <>; characters that an id may not hold become _ */
    const char *message_id;
    const char *in_reply_to; /* likewise; NULL: none */
    const char *references;  /* ids separated by blanks, oldest first; NULL: none */
    /* Outlook and Exchange thread by these (MS-OXOMSG section 2.2.1.3 and .5), and the subjects of one thread
     * differ: NULL: none. Both or neither. */
    const char *thread_topic;       /* UTF-8, one line */
    const unsigned char *thread_id; /* MIME_THREAD_ID bytes, the same in all messages of a thread */
    int64_t date_ms;                /* ms since 1970 UTC */
    const struct mime_header *headers;
    size_t header_count;
    const char *text; /* UTF-8 with LF or CRLF; required */
    const char *html; /* the same as a whole HTML document; NULL: plain text alone */
    const struct mime_attachment *attachment; /* NULL: none */
};

/**
 * Writes m as an RFC 5322 message: CRLF line ends, 7-bit, no line over 76 bytes (but for an address
 * that is longer by itself), multipart/alternative when there is HTML, quoted-printable or base64 in
 * UTF-8, encoded words (RFC 2047), `Auto-Submitted: auto-generated` (RFC 3834 section 5). The same
 * m gives the same bytes.
 *
 * out       appended to; its limit applies. Of no use after a failure.
 * Returns   ERR_OK; ERR_INVALID for an address, header name or date that cannot be written; ERR_TOO_BIG;
 *           ERR_NOMEM.
 */
enum err_code mime_build(const struct mime_message *m, struct buf *out, struct err *e);

/**
 * Appends a built message with other addresses in a header that holds some.
 *
 * name      "From" or "To".
 * list, n   one at least, as mime_address_ok wants them.
 */
void mime_readdress(struct buf *out, const char *message, size_t len, const char *name,
                    const char *const *list, size_t n);

/**
 * true when address is one plain mailbox ("soc@contoso.example") and nothing else: no display name, no
 * list, no comment, no control, none of < > , ; and no route. The local part may be quoted (letters,
 * digits, blanks, dots and the atext of RFC 5322 within the quotes); the domain is letters, digits,
 * hyphens and dots, or an address literal. Domains outside ASCII are refused: the xn-- form is to be
 * written. e says what is wrong with it, otherwise untouched.
 */
bool mime_address_ok(const char *address, struct err *e);

/** May c stand in an atom as it is (RFC 5322 section 3.2.3)? */
bool mime_is_atext(char c);

/**
 * Appends text for a body: LF line ends and tabs stay; other controls become their pictures (U+2400…);
 * characters that reorder, join or hide text (bidirectional controls, zero-width, fillers, tags) are
 * shown as "[U+202E]"; bytes that are not UTF-8 become U+FFFD. Cleaning twice changes nothing more.
 */
void mime_clean_text(struct buf *out, const char *text);

/** The same for one line (subjects, headers): each control or line separator becomes one space. */
void mime_clean_line(struct buf *out, const char *text);

/** Appends text cleaned (mime_clean_text) and with & < > " ' as entities; for element text and quoted
 * attribute values. Line ends stay as they are. */
void mime_html_escape(struct buf *out, const char *text);

/**
 * Appends text cleaned and so changed that no mail client makes a link of it: "hxxp[:]//", "[.]" in host
 * names and IPv4 addresses, "[@]" in addresses, "[:]" after other schemes, "[\\]" before UNC paths
 * (which mail clients link too). File names with common extensions and version numbers stay readable.
 * Defanging twice changes nothing more.
 */
void mime_text_defang(struct buf *out, const char *text);

#endif
