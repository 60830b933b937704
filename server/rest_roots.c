/* rest_roots.c - the certificates that a peer's must lead to; see rest_own.h.
 *
 * Extra roots: CURLOPT_CAINFO replaces the system's bundle, and a blob of both would switch curl's cache
 * of parsed roots off (10 ms for each new connection). So both are put together in a file that only
 * exists in memory and curl is given its name under /proc/self/fd.
 */
#include "rest_own.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"

#define FILE_MAX (4 * 1024 * 1024) /* bytes of a PEM file; Debian's bundle has 220 kB */

static const char *system_file; /* the bundle curl was built to use, or NULL; set once */

void rest_roots_init(void)
{
    system_file = curl_version_info(CURLVERSION_NOW)->cainfo; /* fills static buffers: only here */
}

void rest_roots_free(struct rest_roots *a)
{
    while (a) {
        struct rest_roots *next = a->next;

        if (a->fd >= 0)
            (void)close(a->fd); /* memory only: nothing to lose */
        free(a->file);
        free(a);
        a = next;
    }
}

/* NULL, or what is wrong with it. All of it is read as the far ends do: of one that is cut short they take nothing. */
static const char *wrong_with(FILE *f)
{
    bool any = false;
    X509 *x;

    while ((x = PEM_read_X509_AUX(f, NULL, NULL, NULL))) { /* what else there is is passed over */
        any = true;
        X509_free(x);
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return "holds a certificate that cannot be read";
    return any ? NULL : "holds no certificate in PEM";
}

enum err_code rest_check_roots(const char *file, struct err *e)
{
    int error = 0;
    FILE *f = file_open_stream(file, &error);
    const char *wrong = NULL;

    if (!f)
        return err_set(e, ERR_INVALID, "%s: %s", file, file_why(error));
    wrong = wrong_with(f);
    ERR_clear_error();
    (void)fclose(f); /* was only read */
    return wrong ? err_set(e, ERR_INVALID, "%s %s", file, wrong) : ERR_OK;
}

/* Appends a file to fd. A missing one is fine when may_miss (an image without ca-certificates). */
static enum err_code append_pem(int fd, const char *file, bool may_miss, struct err *e)
{
    AUTO(buf_clear) struct buf pem = BUF_INIT(FILE_MAX);
    int error = 0, in = file_open(file, NULL, &error);
    char chunk[16384];
    ssize_t n;

    if (in < 0 && may_miss && error == ENOENT)
        return ERR_OK;
    if (in < 0)
        return err_set(e, ERR_IO, "ca_file %s: %s", file, file_why(error));
    while ((n = read(in, chunk, sizeof chunk)) > 0)
        buf_add(&pem, chunk, (size_t)n);
    if (n < 0)
        buf_reset(&pem);
    (void)close(in); /* was only read */
    if (buf_failed(&pem))
        return err_set(e, buf_failed(&pem) == ERR_NOMEM ? ERR_NOMEM : ERR_IO,
                       "ca_file %s: more than %d bytes", file, FILE_MAX);
    if (!strstr(buf_text(&pem), "-----BEGIN "))
        return err_set(e, ERR_IO, "ca_file %s: holds no PEM certificate", file);
    buf_addc(&pem, '\n');
    for (size_t at = 0; at < pem.len; at += (size_t)n)
        if ((n = write(fd, pem.data + at, pem.len - at)) <= 0)
            return err_set(e, ERR_NOMEM, "ca_file %s", file);
    return ERR_OK;
}

static enum err_code find_locked(struct rest *r, const char *file, const char **ret_path,
                                 struct err *e)
{
    const char *const extra[] = {r->ca_file, file};
    struct stat now = {0};
    struct rest_roots *a;

    if (file && stat(file, &now) != 0)
        return err_set(e, ERR_IO, "ca_file %s: %s", file, strerror(errno));
    for (a = r->roots; a; a = a->next)
        if (strcmp(a->file, file ? file : "") == 0 && a->seen.st_ino == now.st_ino &&
            a->seen.st_size == now.st_size && a->seen.st_mtim.tv_sec == now.st_mtim.tv_sec &&
            a->seen.st_mtim.tv_nsec == now.st_mtim.tv_nsec) {
            *ret_path = a->path[0] ? a->path : NULL;
            return ERR_OK;
        }

    a = calloc(1, sizeof *a);
    if (!a || !(a->file = strdup(file ? file : ""))) {
        free(a);
        return err_set(e, ERR_NOMEM, "roots");
    }
    a->fd = -1;
    a->seen = now;
    if (file || r->ca_file) {
        enum err_code code = ERR_OK;

        a->fd = memfd_create("roots", MFD_CLOEXEC);
        if (a->fd < 0)
            code = err_set(e, ERR_IO, "memory for roots: %s", strerror(errno));
        if (!code && system_file)
            code = append_pem(a->fd, system_file, true, e);
        for (size_t i = 0; i < 2 && !code; i++)
            if (extra[i])
                code = append_pem(a->fd, extra[i], false, e);
        if (code) {
            rest_roots_free(a);
            return code;
        }
        (void)snprintf(a->path, sizeof a->path, "/proc/self/fd/%d", a->fd); /* fits */
    } else if (system_file && access(system_file, R_OK) == 0) {
        (void)snprintf(a->path, sizeof a->path, "%s", system_file); /* 34 characters on Debian */
    }
    a->next = r->roots;
    r->roots = a;
    *ret_path = a->path[0] ? a->path : NULL;
    return ERR_OK;
}

enum err_code rest_roots_find(struct rest *r, const char *file, const char **ret_path,
                              struct err *e)
{
    enum err_code code;

    (void)pthread_mutex_lock(&r->lock);
    code = find_locked(r, file, ret_path, e);
    (void)pthread_mutex_unlock(&r->lock);
    return code;
}
