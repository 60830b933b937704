/* config.c - see config.h: the file as a whole, read, kept and asked.
 *
 * The configuration, its YAML tree, the policy and the verifiers live in one arena and go together with
 * the last reference, after the secrets in it were wiped.
 */
#include "config_own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

/* A configuration and what it lives by; `public` comes first. */
struct holder {
    struct config public;
    struct arena *arena;
    atomic_uint references;
};

/* ---- loading ---------------------------------------------------------------------------------- */

enum err_code config_read_file(const char *file, struct buf *out, struct err *e)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char chunk[16384];
    size_t room;
    ssize_t n = 0;
    int error = 0;

    if (fd < 0)
        return err_set(e, ERR_IO, "cannot read %s: %s", file, strerrordesc_np(errno));
    /* up to the last byte that fits, which is one too many for yaml_read: a file that is cut would be another one */
    while (!buf_failed(out) && (room = out->limit - out->len) > 0 &&
           ((n = read(fd, chunk, room < sizeof chunk ? room : sizeof chunk)) > 0 ||
            (n < 0 && errno == EINTR)))
        if (n > 0)
            buf_add(out, chunk, (size_t)n);
    if (n < 0)
        error = errno;
    (void)close(fd); /* was only read */
    if (error)
        return err_set(e, ERR_IO, "cannot read %s: %s", file, strerrordesc_np(error));
    return buf_failed(out) ? err_set(e, ERR_NOMEM, "%s", file) : ERR_OK;
}

enum err_code config_end_of_faults(const char *file, enum err_code code, struct yaml_faults *faults,
                                   struct err *e)
{
    if (code == ERR_NOMEM)
        return err_set(e, ERR_NOMEM, "%s: out of memory", file);
    yaml_faults_sort(faults);
    return err_set(e, ERR_INVALID, "%s: %zu fault%s", file, faults->count,
                   faults->count == 1 ? "" : "s");
}

/* The notes as lines, in the order of their places. */
static const char *const *keep_notes(struct arena *a, struct yaml_faults *notes)
{
    const char **list;
    size_t n = 0;

    yaml_faults_sort(notes);
    for (const struct yaml_fault *x = notes->first; x; x = x->next)
        n++;
    list = arena_array(a, n + 1, sizeof *list);
    n = 0;
    for (const struct yaml_fault *x = notes->first; list && x; x = x->next)
        list[n++] = x->text;
    return list;
}

static void holder_free(struct holder *h)
{
    struct config *c = &h->public;

    for (size_t i = 0; i < c->n_sources; i++)
        verifier_clear(c->sources[i].verifier);
    verifier_clear(c->approvers);
    for (size_t i = 0; i < c->n_tenants; i++)
        secret_wipe(&c->tenants[i].client_secret);
    secret_wipe(&c->admin.token);
    config_wipe_mail(c);
    secret_wipe(&c->store_password);
    arena_free(h->arena);
}

/* in_force: of the server that is to take it; NULL: of none. */
static enum err_code load_text(const char *file, const char *text, size_t text_len,
                               const struct config *in_force, const char *(*env)(const char *name),
                               struct watch *files, struct config **ret, struct yaml_faults *faults,
                               struct err *e)
{
    struct yaml_faults notes;
    struct yaml_node *root;
    struct arena *arena = arena_new(16384);
    struct holder *h = arena ? arena_alloc(arena, sizeof *h) : NULL;
    struct config_loading l;
    enum err_code code;

    if (!h) {
        arena_free(arena);
        return err_set(e, ERR_NOMEM, "%s", file);
    }
    h->arena = arena; /* from here on holder_free releases everything */
    atomic_init(&h->references, 1);
    h->public.file = arena_str(arena, file);
    h->public.text = arena_strn(arena, text, text_len);
    h->public.text_len = text_len;
    yaml_faults_init(&notes, arena);
    l = (struct config_loading){
        .reader = {.arena = arena, .faults = faults, .env = env, .notes = &notes, .files = files},
        .config = &h->public,
        .in_force = in_force};

    code = h->public.file && h->public.text
               ? yaml_read_all(arena, file, text, text_len, faults, &root)
               : ERR_NOMEM;
    if (!code)
        code = config_read_root(&l, root);
    if (!code && !faults->count) {
        h->public.notes = keep_notes(arena, &notes);
        code = h->public.notes ? ERR_OK : ERR_NOMEM;
    }
    if (!code && !faults->count) {
        *ret = &h->public;
        return ERR_OK;
    }
    holder_free(h);
    return config_end_of_faults(file, code, faults, e);
}

enum err_code config_load_watched(const char *file, const char *(*env)(const char *name),
                                  struct watch *files, struct arena *faults_arena,
                                  struct config **ret, struct yaml_faults *faults, struct err *e)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(CONFIG_FILE_MAX);
    enum err_code code;

    yaml_faults_init(faults, faults_arena);
    code = config_read_file(file, &text, e);
    return code ? code
                : load_text(file, buf_text(&text), text.len, NULL, env, files, ret, faults, e);
}

/* First as a start would take it: what waits for a restart must not keep that from coming up, which nobody would hear of
 * before. */
enum err_code config_reload(const struct config *in_force, const char *(*env)(const char *name),
                            struct watch *files, struct arena *faults_arena, struct config **ret,
                            struct yaml_faults *faults, struct err *e)
{
    struct config *c = NULL;
    enum err_code code =
        config_load_watched(in_force->file, env, files, faults_arena, &c, faults, e);

    if (code)
        return code;
    if (strcmp(c->listen.address, in_force->listen.address) == 0 &&
        strcmp(c->admin.address, in_force->admin.address) == 0 &&
        strcmp(c->store_url, in_force->store_url) == 0) {
        *ret = c; /* nothing waits */
        return ERR_OK;
    }
    code = load_text(c->file, c->text, c->text_len, in_force, env, files, ret, faults, e);
    config_unref(c);
    return code;
}

enum err_code config_load(const char *file, const char *(*env)(const char *name),
                          struct arena *faults_arena, struct config **ret,
                          struct yaml_faults *faults, struct err *e)
{
    return config_load_watched(file, env, NULL, faults_arena, ret, faults, e);
}

enum err_code config_reread(const struct config *old, const char *(*env)(const char *name),
                            struct watch *files, struct arena *faults_arena, struct config **ret,
                            struct yaml_faults *faults, struct err *e)
{
    yaml_faults_init(faults, faults_arena);
    return load_text(old->file, old->text, old->text_len, old, env, files, ret, faults, e);
}

struct config *config_ref(struct config *c)
{
    atomic_fetch_add_explicit(&((struct holder *)c)->references, 1, memory_order_relaxed);
    return c;
}

void config_unref(struct config *c)
{
    struct holder *h = (struct holder *)c;

    if (c && atomic_fetch_sub_explicit(&h->references, 1, memory_order_acq_rel) == 1)
        holder_free(h);
}

/* ---- asking ----------------------------------------------------------------------------------- */

const struct config_tenant *config_tenant(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n_tenants; i++)
        if (strcmp(c->tenants[i].name, name) == 0)
            return &c->tenants[i];
    return NULL;
}

bool config_is_pushed_for(const struct config *c, const struct config_tenant *t)
{
    bool any = false;

    for (size_t i = 0; i < c->n_sources; i++)
        any = any || c->sources[i].tenant == t;
    for (size_t i = 0; i < c->n_hunts; i++)
        any = any || c->hunts[i].tenant == t;
    return any;
}

bool config_is_second_name(const struct config *c, const struct config_tenant *t)
{
    bool own = config_is_pushed_for(c, t), any = false;

    for (const struct config_tenant *o = c->tenants; o < c->tenants + c->n_tenants; o++)
        any = any || (o != t && strcmp(o->tenant_id, t->tenant_id) == 0 && !own &&
                      (o < t || config_is_pushed_for(c, o)));
    return any;
}

bool config_is_polled(const struct config *c, const char *tenant)
{
    const struct config_tenant *t = config_tenant(c, tenant);

    return c->polling.every_ms && t && !config_is_second_name(c, t);
}

/* Whose a source or a hunt is; NULL: there is none of this name. */
static const struct config_tenant *tenant_of(const struct config *c, const char *source)
{
    const struct config_source *s = config_source(c, source);
    const struct config_hunt *hunt = config_hunt_of_source(c, source);

    return s ? s->tenant : hunt ? hunt->tenant : NULL;
}

bool config_knows_source(const struct config *c, const char *source, const char *tenant)
{
    const struct config_tenant *of = tenant_of(c, source);

    return of ? strcmp(of->name, tenant) == 0 : strcmp(source, CONFIG_POLLING) == 0;
}

bool config_may_isolate(const struct config *c, const char *source, const char *tenant)
{
    const struct config_source *s = config_source(c, source);
    const struct config_hunt *hunt = config_hunt_of_source(c, source);

    if (!config_knows_source(c, source, tenant))
        return false;
    return s ? s->may_isolate : hunt ? hunt->may_isolate : c->polling.may_isolate;
}

bool config_is_shadow(const struct config *c, const char *source)
{
    const struct config_source *s = config_source(c, source);
    const struct config_hunt *hunt = config_hunt_of_source(c, source);

    return s ? s->shadow : hunt && hunt->shadow;
}

size_t config_origins(const struct config *c, struct arena *a, const struct config_origin **ret)
{
    const struct config_origin polling = {.name = CONFIG_POLLING,
                                          .may_isolate = c->polling.may_isolate};
    struct config_origin *list = arena_array(a, c->n_sources + c->n_hunts + 1, sizeof *list);
    size_t n = 0;

    *ret = list;
    if (!list)
        return 0;
    for (size_t i = 0; i < c->n_sources; i++)
        list[n++] = (struct config_origin){.name = c->sources[i].name,
                                           .tenant = c->sources[i].tenant,
                                           .may_isolate = c->sources[i].may_isolate};
    if (c->polling.every_ms)
        list[n++] = polling;
    for (size_t i = 0; i < c->n_hunts; i++)
        list[n++] = (struct config_origin){.name = c->hunts[i].source,
                                           .tenant = c->hunts[i].tenant,
                                           .may_isolate = c->hunts[i].may_isolate};
    if (!c->polling.every_ms)
        list[n++] = polling;
    return n;
}

const struct config_source *config_source(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n_sources; i++)
        if (strcmp(c->sources[i].name, name) == 0)
            return &c->sources[i];
    return NULL;
}

const struct config_webhook *config_webhook(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n_webhooks; i++)
        if (strcmp(c->webhooks[i].name, name) == 0)
            return &c->webhooks[i];
    return NULL;
}

const char *config_needs_restart(const struct config *old, const struct config *new)
{
    if (!old->listen.tls.certificate_file != !new->listen.tls.certificate_file)
        return "listen.tls";
    if (new->listen.tls.client_certificates && !old->listen.tls.client_certificates)
        return "client_certificate"; /* connections that stand were not asked for any */
    return NULL;
}

bool config_keeps_password(const struct config *old, const struct config *new)
{
    return text_is_same(old->store_password.text, new->store_password.text);
}
