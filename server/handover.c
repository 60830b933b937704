/* handover.c - see handover.h. */
#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_FD  3 /* sd_listen_fds(3), SD_LISTEN_FDS_START */
#define NAMES_MAX 200

static const struct {
    const char *name;
    size_t at;
} places[] = {
    {"listen", offsetof(struct handover, listen)},
    {"admin", offsetof(struct handover, admin)},
};

#define PLACES (sizeof places / sizeof *places)

/* Digits and nothing else; 0 for anything that is none. */
static long number(const char *text)
{
    size_t len = text ? strlen(text) : 0;

    return len && len < 10 && strspn(text, "0123456789") == len ? strtol(text, NULL, 10) : 0;
}

static int *place_of(struct handover *h, size_t i)
{
    return (int *)((char *)h + places[i].at);
}

static enum err_code take(struct handover *h, int fd, const char *name, struct err *e)
{
    int value = 0, *place = NULL;
    socklen_t len = sizeof value;

    for (size_t i = 0; i < PLACES; i++)
        if (name ? strcmp(name, places[i].name) == 0 : fd == FIRST_FD + (int)i)
            place = place_of(h, i);
    if (!place)
        return err_set(e, ERR_INVALID,
                       "socket %d handed over as '%.60s': expected listen or admin; "
                       "in a systemd socket unit: FileDescriptorName=listen",
                       fd, name ? name : "");
    if (*place)
        return err_set(e, ERR_INVALID, "two sockets are handed over as '%.60s'", name);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return err_set(e, ERR_INVALID, "socket %d handed over: %s", fd, strerror(errno));
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) != 0 || !value ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &len) != 0 || value != SOCK_STREAM)
        return err_set(e, ERR_INVALID,
                       "descriptor %d handed over is no listening socket; in a systemd socket "
                       "unit: ListenStream=, and Accept=no",
                       fd);
    *place = fd;
    return ERR_OK;
}

enum err_code handover_take(struct handover *ret, struct err *e)
{
    const char *names = getenv("LISTEN_FDNAMES");
    bool for_us = number(getenv("LISTEN_PID")) == (long)getpid();
    long n = number(getenv("LISTEN_FDS"));
    char copy[NAMES_MAX] = "", *rest = copy;
    struct handover h = {0};
    enum err_code code = ERR_OK;

    *ret = h;
    if (names && strlen(names) >= sizeof copy)
        code = err_set(e, ERR_INVALID, "LISTEN_FDNAMES is too long");
    else if (names)
        memcpy(copy, names, strlen(names) + 1);
    names = names ? copy : NULL;
    /* A child of ours must not believe that they are for it. */
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    if (!for_us || n == 0)
        return ERR_OK;
    if (!code && n > (long)PLACES)
        code = err_set(e, ERR_INVALID, "%ld sockets are handed over, and there is use for %zu", n,
                       PLACES);
    for (long i = 0; i < n && !code; i++) {
        const char *name = names ? strsep(&rest, ":") : NULL;

        code = take(&h, FIRST_FD + (int)i, names && !name ? "" : name, e);
    }
    if (!code)
        *ret = h;
    return code;
}
