/* flood.c - see flood.h. */
#include "flood.h"

#include <inttypes.h>
#include <stdio.h>

#include "log.h"
#include "notice_system.h"

bool flood_tell(struct engine *g, const struct gate_flood *f)
{
    char subject[160], count[24];
    const struct notice_system_fact facts[] = {
        {"Latest client", f->client},
        {"Source", f->source},
        {"Within a minute", count},
    };
    const struct notice_system n = {
        .about = "senders",
        .kind = "flood",
        .subject = subject,
        .headline = "Requests are turned away at the senders' door",
        .body =
            *f->source
                ? "A source pushes more than its rate allows, and is answered 429. Other sources are not held "
                  "up. If it has no reason to, see what drives it, and give it a new secret if somebody else may have it; if it may push "
                  "that much, raise its rate. The log has a line `throttled` a minute while it lasts; there "
                  "will be no other message about floods for six hours."
                : "An address sends more requests than listen.rate allows, or many that prove nothing, and is "
                  "answered 429 before any cryptography is spent. Other addresses are not held up. If it is no "
                  "sender of yours, stop it in front of cordon; if it is a proxy of yours, name it in "
                  "listen.trusted_proxies; if it is a sender, see what it sends. The log has a line "
                  "`throttled` a minute while it lasts; there will be no other message about floods for six "
                  "hours.",
        .not_within = GATE_PEOPLE_MS,
        .facts = facts,
        .n_facts = sizeof facts / sizeof *facts,
    };
    struct err e;

    (void)snprintf(count, sizeof count, "%" PRId64 " and more", f->count);
    if (*f->source)
        (void)snprintf(subject, sizeof subject, "source %s pushes more than its rate", f->source);
    else
        (void)snprintf(subject, sizeof subject, "a flood of requests, the latest from %s",
                       f->client);
    if (!notice_system_tell(g, &n, &e))
        return true;
    log_event(LOG_ERROR, "notice_not_written", LOG_STR("about", n.about), LOG_ERR(&e));
    return false;
}
