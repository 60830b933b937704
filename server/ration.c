/* ration.c - see ration.h. */
#include "ration.h"

#include "clock.h"
#include "log.h"

void ration_init(struct ration *r)
{
    *r = (struct ration){.second = 0};
    (void)pthread_mutex_init(&r->lock, NULL); /* cannot fail without attributes on Linux */
}

void ration_clear(struct ration *r)
{
    pthread_mutex_destroy(&r->lock);
}

bool ration_takes(struct ration *r, int64_t now_ms, const char *event)
{
    const int64_t second = now_ms / SECOND_MS;
    int64_t withheld = 0;
    bool takes;

    pthread_mutex_lock(&r->lock);
    /* Who read the clock in the second before may come late. One that is further back was set back. */
    if (second > r->second || second < r->second - 1) {
        r->second = second;
        r->lines = 0;
        withheld = r->withheld;
        r->withheld = 0;
    }
    takes = r->lines++ < RATION_LINES;
    r->withheld += !takes;
    pthread_mutex_unlock(&r->lock);
    if (withheld)
        log_event(LOG_WARN, event, LOG_INT("count", withheld));
    return takes;
}
