/* defender.c - see defender.h; defender_own.h lists the rooms. */
#include "defender_own.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TIMEOUT_MS (60 * SECOND_MS) /* section 7.6 */

enum err_code defender_new(const struct defender_options *o, struct defender **ret, struct err *e)
{
    struct defender *d;
    size_t len = strlen(o->api_url);

    if (!rest_url_ok(o->api_url))
        return err_set(e, ERR_INVALID, "api_url %s: neither https nor http to loopback",
                       o->api_url);
    while (len && o->api_url[len - 1] == '/')
        len--;
    d = calloc(1, sizeof *d);
    if (!d || !(d->base = strndup(o->api_url, len))) {
        free(d);
        return err_set(e, ERR_NOMEM, "defender");
    }
    d->o = *o;
    d->o.api_url = d->base;
    if (!d->o.timeout_ms)
        d->o.timeout_ms = TIMEOUT_MS;
    *ret = d;
    return ERR_OK;
}

void defender_free(struct defender *d)
{
    if (!d)
        return;
    free(d->base);
    free(d);
}

void defender_read(struct defender *d, const char *alert_id, const char *machine_id,
                   enum defender_read_flags flags, struct defender_reads *ret)
{
    struct exchange alert, machine, actions, *wanted[3] = {NULL};
    AUTO(buf_clear) struct buf query = BUF_INIT(1 << 16);
    size_t n = 0;

    memset(ret, 0, sizeof *ret);
    exchange_init(&alert, DEFENDER_CLASS_READ, "GET", "/api/alerts/", NULL, "");
    exchange_init(&machine, DEFENDER_CLASS_READ, "GET", "/api/machines/", NULL, "");
    exchange_init(&actions, DEFENDER_CLASS_READ, "GET", "/api/machineactions", NULL, "");
    if (alert_id && flags & DEFENDER_READ_ALERT) {
        if (defender_is_id(alert_id, 128))
            exchange_init(&alert, DEFENDER_CLASS_READ, "GET", "/api/alerts/", alert_id, "");
        else
            alert.code = err_set(&alert.err, ERR_INVALID, "not an alert id: '%.40s'", alert_id);
        wanted[n++] = &alert;
    }
    if (machine_id && flags & DEFENDER_READ_MACHINE) {
        if (defender_is_machine_id(machine_id))
            exchange_init(&machine, DEFENDER_CLASS_READ, "GET", "/api/machines/", machine_id, "");
        else
            machine.code =
                err_set(&machine.err, ERR_INVALID, "not a machine id: '%.40s'", machine_id);
        wanted[n++] = &machine;
    }
    if (machine_id && flags & DEFENDER_READ_ACTIONS) {
        if (!defender_is_machine_id(machine_id))
            actions.code =
                err_set(&actions.err, ERR_INVALID, "not a machine id: '%.40s'", machine_id);
        else if (!defender_actions_query(&query, machine_id,
                                         "type eq 'Isolate' or type eq 'Unisolate'"))
            actions.code = err_set(&actions.err, ERR_NOMEM, "actions of a machine");
        actions.query = query.data;
        wanted[n++] = &actions;
    }

    for (size_t i = 0; i < n; i++)
        wanted[i]->to_act = flags & DEFENDER_READ_TO_ACT;
    ret->read_ms = clock_wall_ms(d->o.clock);
    exchange_run(d, wanted, n);
    defender_mind_stranger(&actions);
    for (size_t i = 0; i < n; i++) {
        struct exchange *x = wanted[i];

        if (x->code)
            continue;
        if (x == &alert)
            ret->alert = defender_take_entity(x, DEFENDER_ALERTS, alert_id);
        else if (x == &machine)
            ret->machine = defender_take_entity(x, DEFENDER_MACHINES, machine_id);
        else
            defender_take_actions(d, x, &query, machine_id, ret);
    }
    ret->alert_code = alert.code;
    ret->alert_err = alert.err;
    ret->machine_code = machine.code;
    ret->machine_err = machine.err;
    ret->actions_code = actions.code;
    ret->actions_err = actions.err;
    exchange_clear(&alert);
    exchange_clear(&machine);
    exchange_clear(&actions);
}

void defender_reads_clear(struct defender_reads *r)
{
    json_free(r->alert);
    json_free(r->machine);
    free(r->actions);
    memset(r, 0, sizeof *r);
}

enum err_code defender_run_action(struct defender *d, struct exchange *x, const char *machine_id,
                                  const char *action_id, const char *type,
                                  struct defender_action *ret, struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    struct defender_action a;

    exchange_run(d, &x, 1);
    doc = exchange_parse(x);
    if (doc) {
        const char *bad = defender_read_action(doc, machine_id, &a);

        if (!bad && action_id && strcasecmp(a.id, action_id) != 0) /* a GUID */
            bad = "it speaks of another id";
        if (!bad && type && strcasecmp(a.type_text, type) != 0)
            bad = "it is an action of another type";
        if (bad)
            exchange_spoil(x, bad);
        else
            *ret = a;
    }
    if (x->code && e)
        *e = x->err;
    return x->code;
}
