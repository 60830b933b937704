/* journal.c - see journal.h. */
#include "journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "glob.h"
#include "json.h"
#include "loop.h"

struct line {
    char *text; /* JSON, then '\n' */
    size_t len;
    char *path;
    char method[16];
    unsigned status;
};

struct journal {
    int fd;
    int64_t start_us, first; /* first: seq of lines[0] */
    struct line *lines;
    size_t count, room;
};

enum err_code journal_new(const char *path, struct journal **ret, struct err *e)
{
    struct journal *j = calloc(1, sizeof *j);

    if (!j)
        return err_set(e, ERR_NOMEM, "the journal");
    j->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (j->fd < 0) {
        free(j);
        return err_set(e, ERR_IO, "open %s: %s", path, strerror(errno));
    }
    j->start_us = loop_now_us();
    j->first = 1;
    *ret = j;
    return ERR_OK;
}

void journal_forget(struct journal *j)
{
    j->first += (int64_t)j->count;
    for (size_t i = 0; i < j->count; i++) {
        free(j->lines[i].text);
        free(j->lines[i].path);
    }
    j->count = 0;
    (void)!ftruncate(j->fd, 0); /* a file that keeps old lines is no harm: they have their seq */
}

void journal_free(struct journal *j)
{
    if (!j)
        return;
    for (size_t i = 0; i < j->count; i++) {
        free(j->lines[i].text);
        free(j->lines[i].path);
    }
    close(j->fd);
    free(j->lines);
    free(j);
}

int64_t journal_add(struct journal *j, const struct journal_entry *en)
{
    struct buf text = BUF_INIT(SIZE_MAX);
    struct json_out o = JSON_OUT(&text);
    struct line *line;
    struct timespec wall;
    int64_t seq = j->first + (int64_t)j->count, us = en->arrived_us - j->start_us;
    char t_ms[32];
    struct buf number = BUF_INIT(sizeof t_ms);

    if (j->count == j->room) {
        j->room = j->room ? j->room * 2 : 1024;
        j->lines = reallocarray(j->lines, j->room, sizeof *j->lines);
        assert(j->lines); /* a journal with gaps would be a lie */
    }
    clock_gettime(CLOCK_REALTIME, &wall);
    buf_addf(&number, "%lld.%03d", (long long)(us / 1000), (int)(us % 1000));
    json_out_object(&o, NULL);
    json_out_int(&o, "seq", seq);
    json_out_raw(&o, "t_ms", buf_text(&number));
    buf_clear(&number);
    json_out_int(&o, "wall_ms",
                 (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000 -
                     (loop_now_us() - en->arrived_us) / 1000);
    json_out_string(&o, "method", en->method);
    json_out_string(&o, "path", en->path);
    json_out_string(&o, "query", en->query);
    json_out_string(&o, "api", en->api);
    json_out_string(&o, "client", en->client);
    json_out_string(&o, "content_type", en->content_type);
    json_out_stringn(&o, "body", en->body, en->body_len);
    json_out_int(&o, "status", en->status);
    json_out_string(&o, "fault", en->fault);
    json_out_string(&o, "action_id", en->action_id);
    json_out_object_end(&o);
    buf_addc(&text, '\n');
    assert(!buf_failed(&text));

    line = &j->lines[j->count++];
    *line = (struct line){.len = text.len, .path = strdup(en->path), .status = en->status};
    line->text = buf_take(&text);
    assert(line->text && line->path);
    snprintf(line->method, sizeof line->method, "%s", en->method);
    (void)!write(j->fd, line->text, line->len); /* the copy in memory is the one that is asked */
    return seq;
}

int64_t journal_last(const struct journal *j)
{
    return j->first + (int64_t)j->count - 1;
}

bool journal_matches(const struct journal *j, int64_t seq, const struct journal_filter *f)
{
    const struct line *line = &j->lines[seq - j->first];

    return seq > f->since && (!f->method || strcasecmp(f->method, line->method) == 0) &&
           (f->status < 0 || f->status == (int64_t)line->status) &&
           glob_matches(f->path, line->path);
}

int64_t journal_count(const struct journal *j, const struct journal_filter *f)
{
    int64_t n = 0;

    for (int64_t seq = f->since >= j->first ? f->since + 1 : j->first; seq <= journal_last(j);
         seq++)
        n += journal_matches(j, seq, f);
    return n;
}

int64_t journal_write(const struct journal *j, const struct journal_filter *f, int64_t limit,
                      struct buf *out)
{
    int64_t n = 0;

    for (int64_t seq = f->since >= j->first ? f->since + 1 : j->first;
         seq <= journal_last(j) && n < limit; seq++) {
        const struct line *line = &j->lines[seq - j->first];

        if (!journal_matches(j, seq, f))
            continue;
        if (n++)
            buf_addc(out, ',');
        buf_add(out, line->text, line->len - 1);
    }
    return n;
}
