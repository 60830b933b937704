/* log.c - see log.h.
 *
 * A line is made on the stack, so that logging works when memory has run out. It is at most as long as a pipe
 * takes in one piece (pipe(7), PIPE_BUF: 4096): beyond that the lines of two writers mix when the reader is slow. A
 * field that does not fit is cut, or left out, and the line says so with "cut":true.
 *
 * Whoever reads the log may stop reading: a driver of containers whose far end hangs, a pager, a terminal that was
 * halted. A pipe that is full made every thread wait, with what it had in hand, and the kill switch and SIGTERM with
 * them. So what is not taken in PATIENCE_MS is lost, and counted; as long as nothing is taken nobody waits again.
 *
 * A thread that has a line for each of many things in a row (a group commit) gathers them, as many as go
 * out in one piece: a write(2) for each line was half of all writes while notifications poured in.
 */
#include "log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "id.h"
#include "json.h"
#include "utf8.h"

#define LINE_MAX_BYTES  PIPE_BUF /* with the newline */
#define FIELD_MAX_BYTES 1024     /* of one text, unescaped: one does not crowd out the others */
#define PATIENCE_MS     3000 /* with a reader that has much to do; an isolation waits for it once */

static const char *const level_names[LOG_LEVELS] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};
static const char *const level_columns[LOG_LEVELS] = {
    [LOG_ERROR] = "ERROR", [LOG_WARN] = "WARN ", [LOG_INFO] = "INFO ", [LOG_DEBUG] = "DEBUG"};

static _Atomic(enum log_level) lowest = LOG_INFO;
static atomic_bool as_text;

static atomic_bool diverted;
static pthread_mutex_t divert_lock = PTHREAD_MUTEX_INITIALIZER;
static void (*divert_fn)(enum log_level level, const char *line, void *ctx);
static void *divert_ctx;

/* The end of every line, for which room is kept. */
static const char *line_end(bool text, bool cut)
{
    if (text)
        return cut ? " cut=true\n" : "\n";
    return cut ? ",\"cut\":true}\n" : "}\n";
}

/* In the text format a value stands bare when nobody could misread it. */
static bool is_bare(const char *text, size_t len)
{
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isascii(text[i]) || !isgraph((unsigned char)text[i]) || strchr("\"=\\", text[i]))
            return false;
    return true;
}

/* One field of either format; text: what of f->text is to be written. */
static void add_field(struct json_out *o, bool as_words, const struct log_field *f, size_t len)
{
    char id[ID_TEXT_SIZE];
    const char *name = f->name;

    if (as_words) {
        buf_addc(o->buf, ' ');
        buf_adds(o->buf, name);
        buf_addc(o->buf, '=');
        o->comma = false;
        name = NULL;
        if (f->type == LOG_FIELD_STR && is_bare(f->text, len)) {
            buf_add(o->buf, f->text, len);
            return;
        }
        if (f->type == LOG_FIELD_ID) {
            buf_adds(o->buf, id_format(f->number, id));
            return;
        }
    }
    switch (f->type) {
    case LOG_FIELD_STR:
        json_out_stringn(o, name, f->text, len);
        break;
    case LOG_FIELD_INT:
        json_out_int(o, name, f->number);
        break;
    case LOG_FIELD_ID:
        json_out_id(o, name, f->number);
        break;
    case LOG_FIELD_BOOL:
        json_out_bool(o, name, f->number != 0);
        break;
    }
}

/* Adds the field, or as much of it as fits. Returns false when something is missing. */
static bool fit_field(struct json_out *o, bool as_words, const struct log_field *f)
{
    const struct json_out before = *o;
    size_t len = f->type == LOG_FIELD_STR ? strnlen(f->text, FIELD_MAX_BYTES + 1) : 0;
    bool whole = len <= FIELD_MAX_BYTES;
    size_t used = o->buf->len;

    if (!whole)
        len = utf8_cut(f->text, FIELD_MAX_BYTES);
    for (;;) {
        add_field(o, as_words, f, len);
        if (!buf_failed(o->buf))
            return whole;
        *o = before;
        o->buf->len = used;
        o->buf->failed = ERR_OK;
        if (len < 16) /* too little to be worth reading */
            return false;
        whole = false;
        len = utf8_cut(f->text, len / 2);
    }
}

/* Makes the line at `line`, of LINE_MAX_BYTES + 1; returns its length, newline included. */
static size_t make_line(char *line, enum log_level level, const char *event,
                        const struct log_field *fields, size_t n)
{
    bool text = atomic_load(&as_text), cut = false;
    size_t room = LINE_MAX_BYTES - strlen(line_end(text, true));
    /* A buf that never needs to grow: all that its limit allows is there already. */
    struct buf b = {.data = line, .room = LINE_MAX_BYTES + 1, .limit = room};
    struct json_out o = JSON_OUT(&b);
    char time[CLOCK_TEXT_SIZE];

    clock_format(clock_wall_ms(clock_system()), time);
    if (text) {
        buf_addf(&b, "%s %s %.200s", time, level_columns[level], event);
    } else {
        json_out_object(&o, NULL);
        json_out_string(&o, "time", time);
        json_out_string(&o, "level", level_names[level]);
        json_out_stringn(&o, "event", event, strnlen(event, 200));
    }
    for (size_t i = 1; i < n; i++) {
        const struct log_field *f = &fields[i];

        if ((f->type == LOG_FIELD_STR && !f->text) || (f->type == LOG_FIELD_ID && !f->number))
            continue;
        if (!fit_field(&o, text, f))
            cut = true;
    }
    b.limit = LINE_MAX_BYTES;
    buf_adds(&b, line_end(text, cut));
    return b.len;
}

/* ---- stderr ----------------------------------------------------------------------------------- */

/* Held between the look for room and the write. */
static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t lost; /* lines since the last that was taken */
static bool torn;    /* the last that was taken lacks its end */

/* Is there room for a piece of PIPE_BUF bytes, or on a terminal for some of it? Where nobody reads any more there is: the
 * write tells. */
static bool takes(int wait_ms)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    int n;

    do
        n = poll(&p, 1, wait_ms);
    while (n < 0 && errno == EINTR);
    return n != 0;
}

/* A terminal takes what it has room for, and its writer waits for the rest: so it is written to by a description of
 * our own, which does not wait. stderr's own may be the shell's, too; it is what is left where the terminal is another
 * user's (after su). */
static int open_terminal(void)
{
    int fd = isatty(STDERR_FILENO)
                 ? open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
                 : -1;

    return fd < 0 ? STDERR_FILENO : fd;
}

/* Returns how many bytes were taken in that time. */
static size_t write_piece(int fd, const char *bytes, size_t len, int wait_ms)
{
    int64_t until = clock_mono_ms(clock_system()) + wait_ms, left = wait_ms;
    size_t done = 0;

    while (done < len && takes((int)left)) {
        ssize_t n = write(fd, bytes + done, len - done);

        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return len; /* nobody is left to be told of it */
        if (n > 0)
            done += (size_t)n;
        left = until - clock_mono_ms(clock_system());
        if (left <= 0)
            break;
        if (n < 0 && errno == EAGAIN) /* room for less than a character */
            (void)poll(NULL, 0, 10);
    }
    return done;
}

static void write_out(const char *bytes, size_t len)
{
    int wait_ms = PATIENCE_MS, fd;
    size_t taken;

    pthread_mutex_lock(&out_lock);
    fd = open_terminal();
    if (torn && write_piece(fd, "\n", 1, 0) == 1)
        torn = false;
    if (lost)
        wait_ms = 0;
    if (lost && !torn && takes(0)) {
        const struct log_field fields[] = {{0}, LOG_INT("lines", lost)};
        char line[LINE_MAX_BYTES + 1];
        size_t line_len = make_line(line, LOG_WARN, "log_lost", fields, 2);

        taken = write_piece(fd, line, line_len, 0);
        torn = taken && taken < line_len;
        if (taken == line_len)
            lost = 0;
    }
    taken = torn ? 0 : write_piece(fd, bytes, len, wait_ms);
    if (taken && taken < len)
        torn = bytes[taken - 1] != '\n';
    for (size_t i = taken; i < len; i++)
        lost += bytes[i] == '\n';
    if (fd != STDERR_FILENO)
        (void)close(fd);
    pthread_mutex_unlock(&out_lock);
}

/* Lines of this thread that wait for log_release. */
static _Thread_local struct {
    bool on;
    size_t len;
    char bytes[LINE_MAX_BYTES];
} gathered;

static void write_gathered(void)
{
    if (gathered.len)
        write_out(gathered.bytes, gathered.len);
    gathered.len = 0;
}

void log_gather(void)
{
    gathered.on = true;
}

void log_release(void)
{
    int saved_errno = errno;

    gathered.on = false;
    write_gathered();
    errno = saved_errno;
}

static void write_line(enum log_level level, char *line, size_t len)
{

    if (atomic_load(&diverted)) {
        bool taken;

        pthread_mutex_lock(&divert_lock);
        taken = divert_fn != NULL;
        if (taken) {
            line[len - 1] = '\0'; /* without the newline */
            divert_fn(level, line, divert_ctx);
        }
        pthread_mutex_unlock(&divert_lock);
        if (taken)
            return;
    }
    if (!gathered.on) {
        write_out(line, len);
        return;
    }
    if (len > sizeof gathered.bytes - gathered.len)
        write_gathered();
    memcpy(gathered.bytes + gathered.len, line, len);
    gathered.len += len;
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    int saved_errno = errno;
    char line[LINE_MAX_BYTES + 1];

    if (level > atomic_load(&lowest))
        return;
    write_line(level, line, make_line(line, level, event, fields, n));
    errno = saved_errno;
}

void log_setup(enum log_level level, bool text)
{
    atomic_store(&lowest, level);
    atomic_store(&as_text, text);
}

enum err_code log_level_parse(const char *name, enum log_level *ret, struct err *e)
{
    for (enum log_level l = 0; l < LOG_LEVELS; l++)
        if (strcmp(name, level_names[l]) == 0) {
            *ret = l;
            return ERR_OK;
        }
    return err_set(e, ERR_INVALID, "'%.40s' is no log level: expected error, warn, info or debug",
                   name);
}

void log_divert(void (*fn)(enum log_level level, const char *line, void *ctx), void *ctx)
{
    pthread_mutex_lock(&divert_lock);
    divert_fn = fn;
    divert_ctx = ctx;
    atomic_store(&diverted, fn != NULL);
    pthread_mutex_unlock(&divert_lock);
}
