/* health.c - see health.h. */
#include "health.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

struct health {
    const struct clock *clock;
    pthread_mutex_t lock;
    unsigned count;
    struct health_part parts[HEALTH_PARTS_MAX];
};

enum err_code health_new(const struct clock *clock, struct health **ret, struct err *e)
{
    struct health *h = calloc(1, sizeof *h);

    if (!h)
        return err_set(e, ERR_NOMEM, "health");
    h->clock = clock;
    (void)pthread_mutex_init(&h->lock, NULL);
    *ret = h;
    return ERR_OK;
}

void health_free(struct health *h)
{
    if (!h)
        return;
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static struct health_part *find_locked(struct health *h, const char *name)
{
    for (unsigned i = 0; i < h->count; i++)
        if (strcmp(h->parts[i].name, name) == 0)
            return &h->parts[i];
    return NULL;
}

bool health_note(struct health *h, const char *kind, const char *name, bool ok, const char *why)
{
    struct health_part *p;
    char full[sizeof p->name];
    bool changed = false;

    if (!h)
        return false;
    (void)snprintf(full, sizeof full, "%s%s%s", kind, name ? ":" : "", name ? name : "");
    pthread_mutex_lock(&h->lock);
    p = find_locked(h, full);
    if (!p && h->count < HEALTH_PARTS_MAX) {
        p = &h->parts[h->count++];
        memcpy(p->name, full, sizeof full);
        p->ok = !ok;
    }
    if (p) {
        changed = p->ok != ok;
        if (changed)
            p->since = clock_wall_ms(h->clock);
        p->ok = ok;
        (void)snprintf(p->why, sizeof p->why, "%s", ok || !why ? "" : why);
        utf8_end_whole(p->why);
    }
    pthread_mutex_unlock(&h->lock);
    return changed;
}

void health_keep(struct health *h, bool (*keep)(const void *ctx, const char *name), const void *ctx)
{
    unsigned n = 0;

    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < h->count; i++)
        if (keep(ctx, h->parts[i].name))
            h->parts[n++] = h->parts[i];
    h->count = n;
    pthread_mutex_unlock(&h->lock);
}

unsigned health_list(struct health *h, struct health_part *ret, unsigned max)
{
    unsigned n;

    pthread_mutex_lock(&h->lock);
    n = h->count < max ? h->count : max;
    memcpy(ret, h->parts, n * sizeof *ret);
    pthread_mutex_unlock(&h->lock);
    return n;
}
