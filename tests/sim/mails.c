/* mails.c - see mails.h. A mail is turned into its JSON once, when it comes. */
#include "mails.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "keys.h"

#define COMMANDS_KEPT 1000

struct mails {
    pthread_mutex_t lock;
    char **list; /* JSON texts */
    size_t count;
    int64_t first;                 /* seq of list[0] */
    char *commands[COMMANDS_KEPT]; /* a ring */
    size_t n_commands;
    int64_t connections;
};

enum err_code mails_new(struct mails **ret, struct err *e)
{
    struct mails *m = calloc(1, sizeof *m);

    if (!m)
        return err_set(e, ERR_NOMEM, "mails");
    pthread_mutex_init(&m->lock, NULL);
    m->first = 1;
    *ret = m;
    return ERR_OK;
}

static void forget_locked(struct mails *m)
{
    for (size_t i = 0; i < m->count; i++)
        free(m->list[i]);
    free(m->list);
    m->list = NULL;
    m->first += (int64_t)m->count;
    m->count = 0;
    for (size_t i = 0; i < COMMANDS_KEPT; i++) {
        free(m->commands[i]);
        m->commands[i] = NULL;
    }
    m->n_commands = 0;
    m->connections = 0;
}

void mails_forget(struct mails *m)
{
    pthread_mutex_lock(&m->lock);
    forget_locked(m);
    pthread_mutex_unlock(&m->lock);
}

void mails_free(struct mails *m)
{
    if (!m)
        return;
    mails_forget(m);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* A string that json_parse takes is what json_out_string would not have to change. */
static bool is_text(const char *bytes, size_t len)
{
    struct buf quoted = BUF_INIT(SIZE_MAX);
    struct json_out o = JSON_OUT(&quoted);
    bool good;

    json_out_stringn(&o, NULL, bytes, len);
    good = !memmem(bytes, len, "\xef\xbf\xbd", 3) && !strstr(buf_text(&quoted), "\xef\xbf\xbd");
    buf_clear(&quoted);
    return good;
}

void mails_add(struct mails *m, const struct mail *mail)
{
    struct buf b = BUF_INIT(SIZE_MAX), raw = BUF_INIT(SIZE_MAX);
    struct json_out o = JSON_OUT(&b);
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    b64_add(&raw, mail->raw, mail->raw_len);
    pthread_mutex_lock(&m->lock);
    json_out_object(&o, NULL);
    json_out_int(&o, "seq", m->first + (int64_t)m->count);
    json_out_int(&o, "wall_ms", (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000);
    json_out_string(&o, "from", mail->from);
    json_out_array(&o, "rcpt");
    for (size_t i = 0; i < mail->n_rcpt; i++)
        json_out_string(&o, NULL, mail->rcpt[i]);
    json_out_array_end(&o);
    json_out_string(&o, "helo", mail->helo);
    json_out_bool(&o, "tls", mail->tls);
    json_out_string(&o, "user", mail->user);
    json_out_bool(&o, "confirmed", mail->confirmed);
    if (is_text(mail->raw, mail->raw_len))
        json_out_stringn(&o, "raw", mail->raw, mail->raw_len);
    else
        json_out_null(&o, "raw");
    json_out_string(&o, "raw_base64", buf_text(&raw));
    json_out_object_end(&o);
    m->list = reallocarray(m->list, m->count + 1, sizeof *m->list);
    assert(m->list); /* a sink that loses mail would be a lie */
    m->list[m->count] = buf_take(&b);
    assert(m->list[m->count]);
    m->count++;
    pthread_mutex_unlock(&m->lock);
    buf_clear(&raw);
}

static size_t start(const struct mails *m, int64_t since)
{
    return since < m->first ? 0 : (size_t)(since - m->first + 1);
}

int64_t mails_count(struct mails *m, int64_t since)
{
    int64_t n;

    pthread_mutex_lock(&m->lock);
    n = start(m, since) < m->count ? (int64_t)(m->count - start(m, since)) : 0;
    pthread_mutex_unlock(&m->lock);
    return n;
}

void mails_write(struct mails *m, int64_t since, struct json_out *out, const char *name)
{
    pthread_mutex_lock(&m->lock);
    json_out_array(out, name);
    for (size_t i = start(m, since); i < m->count; i++)
        json_out_raw(out, NULL, m->list[i]);
    json_out_array_end(out);
    pthread_mutex_unlock(&m->lock);
}

void mails_note(struct mails *m, const char *line)
{
    char *own = strdup(line);

    pthread_mutex_lock(&m->lock);
    free(m->commands[m->n_commands % COMMANDS_KEPT]);
    m->commands[m->n_commands++ % COMMANDS_KEPT] = own;
    pthread_mutex_unlock(&m->lock);
}

void mails_note_connection(struct mails *m)
{
    pthread_mutex_lock(&m->lock);
    m->connections++;
    pthread_mutex_unlock(&m->lock);
}

void mails_write_session(struct mails *m, struct json_out *out)
{
    pthread_mutex_lock(&m->lock);
    json_out_object(out, NULL);
    json_out_int(out, "connections", m->connections);
    json_out_array(out, "commands");
    for (size_t i = m->n_commands > COMMANDS_KEPT ? m->n_commands - COMMANDS_KEPT : 0;
         i < m->n_commands; i++)
        json_out_string(out, NULL, m->commands[i % COMMANDS_KEPT]);
    json_out_array_end(out);
    json_out_object_end(out);
    pthread_mutex_unlock(&m->lock);
}
