/* sdnotify.c - see sdnotify.h. */
#include "sdnotify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

enum err_code sdnotify(const char *path, const char *state, struct err *e)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;
    ssize_t sent;
    int fd;

    if (!len)
        return ERR_OK;
    if ((path[0] != '/' && path[0] != '@') || len >= sizeof to.sun_path)
        return err_set(e, ERR_INVALID, "NOTIFY_SOCKET is no path of a socket");
    memcpy(to.sun_path, path, len);
    if (path[0] == '@')
        to.sun_path[0] = '\0'; /* the abstract name space */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(e, ERR_IO, "socket: %s", strerror(errno));
    sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    if (sent < 0)
        (void)err_set(e, ERR_IO, "NOTIFY_SOCKET: %s", strerror(errno));
    (void)close(fd);
    return sent < 0 ? ERR_IO : ERR_OK;
}

void sdnotify_tell(const char *state)
{
    struct err e;

    if (sdnotify(getenv("NOTIFY_SOCKET"), state, &e))
        log_event(LOG_WARN, "notify_failed", LOG_ERR(&e));
}
