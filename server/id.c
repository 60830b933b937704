/* id.c - see id.h. */
#include "id.h"

#include <ctype.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#define EPOCH_MS   1577836800000 /* 2020-01-01T00:00:00Z; 41 bits of ms from there end in 2089 */
#define COUNT_BITS 22
#define COUNT_MASK (((int64_t)1 << COUNT_BITS) - 1)

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz"; /* no i l o u */

static _Atomic int64_t last;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int64_t start; /* the random count that this process begins each millisecond with */

static void seed(void)
{
    uint32_t r = 0;

    if (getrandom(&r, sizeof r, GRND_NONBLOCK) != sizeof r)
        r = 0; /* a start of zero costs only a likelier retry between replicas */
    start = (int64_t)(r & (uint32_t)COUNT_MASK) / 2; /* the upper half is left to count in */
}

int64_t id_new(const struct clock *clock)
{
    int64_t old, next;

    pthread_once(&once, seed);
    old = atomic_load(&last);
    do {
        next = (clock_wall_ms(clock) - EPOCH_MS) << COUNT_BITS | start;
        if (next <= old) /* the same millisecond, or a clock that went back */
            next = old + 1;
    } while (!atomic_compare_exchange_weak(&last, &old, next));
    return next;
}

int64_t id_new_after(const struct clock *clock, int64_t earlier)
{
    int64_t old = atomic_load(&last);

    while (old < earlier && !atomic_compare_exchange_weak(&last, &old, earlier))
        ;
    return id_new(clock);
}

int64_t id_of_time(int64_t wall_ms)
{
    if (wall_ms <= EPOCH_MS)
        return 0;
    return wall_ms - EPOCH_MS > INT64_MAX >> COUNT_BITS ? INT64_MAX
                                                        : (wall_ms - EPOCH_MS) << COUNT_BITS;
}

char *id_format(int64_t id, char out[ID_TEXT_SIZE])
{
    uint64_t rest = (uint64_t)id;

    for (int i = ID_TEXT_SIZE - 2; i >= 0; i--, rest >>= 5)
        out[i] = alphabet[rest & 31];
    out[ID_TEXT_SIZE - 1] = '\0';
    return out;
}

enum err_code id_parse(const char *text, int64_t *ret_id, struct err *e)
{
    uint64_t id = 0;

    if (strlen(text) != ID_TEXT_SIZE - 1 || text[0] < '0' ||
        text[0] > '7') /* 63 bits: 3 + 12 * 5 */
        goto bad;
    for (const char *p = text; *p; p++) {
        const char *at = strchr(alphabet, tolower((unsigned char)*p));

        if (!at)
            goto bad;
        id = id << 5 | (uint64_t)(at - alphabet);
    }
    *ret_id = (int64_t)id;
    return ERR_OK;
bad:
    return err_set(e, ERR_INVALID, "'%.40s' is not an id: expected 13 letters and digits", text);
}
