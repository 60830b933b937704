/* mail_reader.h - reads a mail message back, strictly: whatever a careful reader might stumble over is a
 * fault (RFC 5322, 2045, 2046, 2047). Written apart from server/mime.c and sharing nothing with it.
 */
#ifndef CORDON_KIT_MAIL_READER_H
#define CORDON_KIT_MAIL_READER_H

#include <stddef.h>

#define MAIL_HEADERS_MAX 64
#define MAIL_PARTS_MAX   8

struct mail_header {
    char *name;
    char *value; /* unfolded, encoded words decoded: UTF-8 */
};

struct mail_part {
    char *type;     /* "text/plain; charset=UTF-8" */
    char *encoding; /* "base64" */
    char *body;     /* decoded; line ends as CRLF */
    size_t len;
};

struct mail_read {
    struct mail_header headers[MAIL_HEADERS_MAX];
    size_t header_count;
    struct mail_part parts[MAIL_PARTS_MAX]; /* one for a message without parts */
    size_t part_count;
    char fault[200]; /* "" when all is well; says where: "line 12: …" */
};

/* Reads len bytes as they would be sent (before dots are doubled). Always to be cleared. */
void mail_read(struct mail_read *m, const char *bytes, size_t len);
void mail_read_clear(struct mail_read *m);
/* The value of the one header of this name; NULL when there is none. */
const char *mail_header(const struct mail_read *m, const char *name);

#endif
