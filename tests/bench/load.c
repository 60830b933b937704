/* load.c - a sender's load: N kept connections, each with one request under way, for as many distinct
 * notifications as asked for; prints one JSON line.
 *
 * Usage: load ADDRESS [-p PATH] [-c CONNECTIONS] [-n REQUESTS] [-w WARM_UP] [-s SECRET] [-t SECONDS]
 *
 * All requests are built before the clock starts: bodies of about 300 bytes with an alert id of their
 * own, signed as Standard Webhooks v1 (webhook-signature: v1,base64(HMAC-SHA256(secret, "id.time.body"))).
 * The ids look as real ones do: `da`, 18 digits that rise with the time (.NET ticks), `_` and a signed
 * number that does not; the delivery ids rise, too.
 * SECRET: whsec_..., the sender's. Latency is measured from the write of a request to the last byte
 * of its answer, in a histogram whose buckets grow by 1/64. -t ends a run that takes longer.
 *
 * {"requests":N,"errors":N,"seconds":S,"per_second":R,"p50_us":..,"p99_us":..,"p999_us":..,"max_us":..,
 *  "status":{"202":N},"stored":N}: errors are answers other than 2xx and lost connections; stored counts
 * the 202 of the warm-up too.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct request {
    char *bytes;
    size_t len;
};

struct connection {
    int fd;
    size_t request; /* under way; SIZE_MAX: none */
    size_t sent;    /* bytes of it that are out */
    uint64_t began_ns;
    char in[16 * 1024];
    size_t in_len;
};

/* Values below 64 have a bucket each, larger ones 64 per doubling: at most 1.6 % wrong. */
enum { SUB = 64, BUCKETS = SUB * 40 };

static uint64_t histogram[BUCKETS], status_counts[600], errors, done, slowest_ns, stored;

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Units of 100 ns since the year 1, as .NET counts; 621355968 * 10^9 of them are before 1970. */
static long long ticks_now(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return 621355968000000000LL + (long long)ts.tv_sec * 10000000 + ts.tv_nsec / 100;
}

static void record(uint64_t ns)
{
    uint64_t v = ns / 100; /* 0.1 us */
    unsigned shift = 0;

    while (v >> shift >= 2 * SUB)
        shift++;
    v = v < SUB ? v : SUB * shift + (v >> shift);
    histogram[v < BUCKETS ? v : BUCKETS - 1]++;
    slowest_ns = ns > slowest_ns ? ns : slowest_ns;
}

static double percentile_us(double part)
{
    uint64_t total = 0, seen = 0;

    for (size_t i = 0; i < BUCKETS; i++)
        total += histogram[i];
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if ((double)seen >= part * (double)total) {
            unsigned shift = i < 2 * SUB ? 0 : (unsigned)(i / SUB - 1);
            uint64_t low = i < 2 * SUB ? i : (i - SUB * (uint64_t)shift) << shift;

            return (double)low / 10;
        }
    }
    return 0;
}

/* ---- what is sent ------------------------------------------------------------------------------ */

static size_t decode_secret(const char *text, unsigned char key[256])
{
    size_t len;
    int n;

    if (strncmp(text, "whsec_", 6) == 0)
        text += 6;
    len = strlen(text);
    if (!len || len % 4 || len / 4 * 3 > 255)
        fail("the secret must be whsec_ and base64");
    n = EVP_DecodeBlock(key, (const unsigned char *)text, (int)len);
    if (n < 0)
        fail("the secret must be whsec_ and base64");
    return (size_t)n - (text[len - 1] == '=') - (text[len - 2] == '=');
}

static void build(struct request *r, size_t number, long long ticks, const char *path,
                  const char *host, const unsigned char *key, size_t key_len)
{
    char body[512], id[64], signed_text[1024], head[1024];
    unsigned char mac[32], signature[64];
    unsigned mac_len = sizeof mac;
    const size_t scattered = (number + 1) * 2654435761u % 2147483647; /* Knuth's multiplier */
    long long now = (long long)time(NULL);
    int body_len, head_len, signed_len;

    (void)snprintf(id, sizeof id, "msg_%lld", ticks);
    body_len = snprintf(
        body, sizeof body,
        "{\"alertId\":\"da%lld_%s%zu\",\"machineId\":\"%040zx\","
        "\"source\":\"load\",\"severity\":\"High\",\"title\":\"Suspicious process injection observed on "
        "a server\",\"note\":\"bodies of senders carry more than the ids, and none of it decides\","
        "\"sequence\":%zu}",
        ticks, number % 2 ? "-" : "", scattered, number, number);
    signed_len = snprintf(signed_text, sizeof signed_text, "%s.%lld.%s", id, now, body);
    if (!HMAC(EVP_sha256(), key, (int)key_len, (unsigned char *)signed_text, (size_t)signed_len,
              mac, &mac_len))
        fail("HMAC failed");
    (void)EVP_EncodeBlock(signature, mac, (int)mac_len);
    head_len = snprintf(
        head, sizeof head,
        "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
        "User-Agent: load\r\nAccept: */*\r\nwebhook-id: %s\r\n"
        "webhook-timestamp: %lld\r\nwebhook-signature: v1,%s\r\nContent-Length: %d\r\n\r\n",
        path, host, id, now, signature, body_len);
    r->len = (size_t)(head_len + body_len);
    r->bytes = malloc(r->len);
    if (!r->bytes)
        fail("out of memory");
    memcpy(r->bytes, head, (size_t)head_len);
    memcpy(r->bytes + head_len, body, (size_t)body_len);
}

/* ---- connections -------------------------------------------------------------------------------- */

static int dial(const char *address)
{
    const int on = 1;
    int fd, rc;

    if (strncmp(address, "unix:", 5) == 0) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};

        if (strlen(address + 5) >= sizeof un.sun_path)
            fail("%s: too long", address);
        memcpy(un.sun_path, address + 5, strlen(address + 5));
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        rc = connect(fd, (struct sockaddr *)&un, sizeof un);
    } else {
        struct sockaddr_in in = {.sin_family = AF_INET};
        const char *colon = strrchr(address, ':');
        char host[64];

        if (!colon || (size_t)(colon - address) >= sizeof host)
            fail("%s: expected 127.0.0.1:PORT or unix:/path", address);
        memcpy(host, address, (size_t)(colon - address));
        host[colon - address] = '\0';
        in.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
        if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
            fail("%s: expected 127.0.0.1:PORT or unix:/path", address);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        rc = connect(fd, (struct sockaddr *)&in, sizeof in);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (fd < 0 || rc < 0)
        fail("%s: %s", address, strerror(errno));
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* The length of a whole answer at the start of c->in, or 0; *status is its status. */
static size_t answer_length(struct connection *c, unsigned *status)
{
    char *end, *length;
    size_t head;

    c->in[c->in_len] = '\0';
    end = strstr(c->in, "\r\n\r\n");
    if (!end)
        return 0;
    head = (size_t)(end + 4 - c->in);
    length = strcasestr(c->in, "\r\nContent-Length:");
    *status = (unsigned)strtoul(c->in + sizeof "HTTP/1.1", NULL, 10);
    head +=
        length && length < end ? strtoul(length + sizeof "\r\nContent-Length:" - 1, NULL, 10) : 0;
    if (head >= sizeof c->in)
        fail("an answer is longer than %zu bytes", sizeof c->in);
    return head <= c->in_len ? head : 0;
}

/* Writes what is left of c's request; false when the connection is lost. */
static bool push(struct connection *c, const struct request *r)
{
    ssize_t n = send(c->fd, r->bytes + c->sent, r->len - c->sent, MSG_NOSIGNAL);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    c->sent += (size_t)n;
    return true;
}

int main(int argc, char **argv)
{
    const char *path = "/hooks/relay", *secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    size_t connections = 16, requests = 100000, warm_up = SIZE_MAX, next = 0, open_count;
    double limit_s = 60;
    struct epoll_event events[1024];
    struct connection *all;
    struct request *list;
    unsigned char key[256];
    size_t key_len;
    long long ticks;
    uint64_t began = 0, ended = 0, give_up;
    const char *address;
    bool comma = false;
    int option, epoll;

    while ((option = getopt(argc, argv, "p:c:n:w:s:t:")) != -1) {
        switch (option) {
        case 'p':
            path = optarg;
            break;
        case 'c':
            connections = strtoul(optarg, NULL, 10);
            break;
        case 'n':
            requests = strtoul(optarg, NULL, 10);
            break;
        case 'w':
            warm_up = strtoul(optarg, NULL, 10);
            break;
        case 's':
            secret = optarg;
            break;
        case 't':
            limit_s = strtod(optarg, NULL);
            break;
        default:
            fail(
                "usage: load ADDRESS [-p PATH] [-c CONNECTIONS] [-n REQUESTS] [-w WARM_UP] [-s SECRET] "
                "[-t SECONDS]");
        }
    }
    if (optind + 1 != argc || !connections || !requests)
        fail("usage: load ADDRESS [options]");
    address = argv[optind];
    warm_up = warm_up == SIZE_MAX ? requests / 20 : warm_up;
    requests += warm_up;
    key_len = decode_secret(secret, key);
    ticks = ticks_now(); /* a run takes longer than it has ticks: the next one begins above */

    list = calloc(requests, sizeof *list);
    all = calloc(connections, sizeof *all);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!list || !all || epoll < 0)
        fail("out of memory");
    for (size_t i = 0; i < requests; i++)
        build(&list[i], i, ticks + (long long)i, path,
              strncmp(address, "unix:", 5) == 0 ? "localhost" : address, key, key_len);
    for (size_t i = 0; i < connections; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &all[i]};

        all[i].fd = dial(address);
        all[i].request = SIZE_MAX;
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &ev) < 0)
            fail("epoll: %s", strerror(errno));
    }

    open_count = connections;
    began = now_ns();
    give_up = began + (uint64_t)(limit_s * 1e9);
    for (size_t i = 0; i < connections && next < requests; i++) {
        all[i].request = next++;
        all[i].began_ns = now_ns();
        if (!push(&all[i], &list[all[i].request]))
            fail("%s: %s", address, strerror(errno));
    }
    while (done < requests && open_count && now_ns() < give_up) {
        int n = epoll_wait(epoll, events, 1024, 1000);

        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            ssize_t got = recv(c->fd, c->in + c->in_len, sizeof c->in - 1 - c->in_len, 0);
            unsigned status = 0;
            size_t len;

            if (got < 0 && (errno == EAGAIN || errno == EINTR))
                continue;
            if (got <= 0)
                goto lost;
            c->in_len += (size_t)got;
            len = answer_length(c, &status);
            if (!len)
                continue;
            ended = now_ns();
            memmove(c->in, c->in + len, c->in_len - len);
            c->in_len -= len;
            stored += status == 202;
            if (++done == warm_up) /* from here on it counts */
                began = ended;
            if (done > warm_up) {
                record(ended - c->began_ns);
                status_counts[status < 600 ? status : 0]++;
                errors += status < 200 || status > 299;
            }
            if (next >= requests) {
                c->request = SIZE_MAX;
                continue;
            }
            c->request = next++;
            c->sent = 0;
            c->began_ns = ended;
            if (push(c, &list[c->request]))
                continue;
        lost:
            errors += c->request != SIZE_MAX;
            done += c->request != SIZE_MAX;
            close(c->fd);
            c->fd = -1;
            open_count--;
        }
    }

    printf(
        "{\"connections\":%zu,\"requests\":%llu,\"errors\":%llu,\"seconds\":%.3f,\"per_second\":%.0f,"
        "\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,\"status\":{",
        connections, (unsigned long long)(done > warm_up ? done - warm_up : 0),
        (unsigned long long)errors, (double)(ended - began) / 1e9,
        (double)(done > warm_up ? done - warm_up : 0) / ((double)(ended - began) / 1e9 + 1e-9),
        percentile_us(0.5), percentile_us(0.99), percentile_us(0.999), (double)slowest_ns / 1e3);
    for (unsigned i = 0; i < 600; i++) {
        if (status_counts[i])
            printf("%s\"%u\":%llu", comma ? "," : "", i, (unsigned long long)status_counts[i]);
        comma |= status_counts[i] > 0;
    }
    printf("},\"stored\":%llu}\n", (unsigned long long)stored);
    return done < requests || errors ? 1 : 0;
}
