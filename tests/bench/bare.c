/* bare.c - the least that libmicrohttpd can do: reads the body, answers 202, verifies and stores nothing.
 *
 * What cordon is compared with: same library, same polling mode, same number of threads, and one ready-made
 * response for all. Usage: bare [threads]; prints its address, stops when its input ends.
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct MHD_Response *accepted;

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **context)
{
    static int seen;

    (void)cls;
    (void)url;
    (void)method;
    (void)version;
    (void)upload;
    if (!*context) {
        *context = &seen;
        return MHD_YES;
    }
    if (*upload_len) {
        *upload_len = 0;
        return MHD_YES;
    }
    return MHD_queue_response(conn, MHD_HTTP_ACCEPTED, accepted);
}

int main(int argc, char **argv)
{
    static char body[] = "{\"status\":\"accepted\",\"delivery\":\"0000000000000\",\"cases\":[]}";
    unsigned threads = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2;
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct MHD_Daemon *daemon;

    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return 1;
    accepted = MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_PERSISTENT);
    if (!accepted || !MHD_add_response_header(accepted, "Content-Type", "application/json"))
        return 1;
    daemon = MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, on_request,
                              NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE,
                              threads, MHD_OPTION_CONNECTION_LIMIT, 4096u,
                              MHD_OPTION_CONNECTION_TIMEOUT, 60u, MHD_OPTION_END);
    if (!daemon)
        return 1;
    printf("127.0.0.1:%d\n", ntohs(sa.sin_port));
    (void)fflush(stdout);
    while (getchar() != EOF)
        ;
    MHD_stop_daemon(daemon);
    MHD_destroy_response(accepted);
    return 0;
}
