/* config_peek.c - a corner of the file, for commands that need no more of it; see config_own.h. What is wrong elsewhere
 * does not matter to them.
 */
#include "config_own.h"

#include <string.h>

static enum err_code peek_root(const char *file, struct arena *a, struct yaml_faults *faults,
                               struct yaml_node **ret_root, struct err *e)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(CONFIG_FILE_MAX);
    enum err_code code;

    yaml_faults_init(faults, a);
    code = config_read_file(file, &text, e);
    if (code)
        return code;
    code = yaml_read_all(a, file, buf_text(&text), text.len, faults, ret_root);
    return code ? config_end_of_faults(file, code, faults, e) : ERR_OK;
}

/* The lines of the part `key:`, which stands at the left edge, and an empty one for each of the others, so that faults
 * have their places; lives in a. NULL: there is no such part, or more than one. */
static const char *part_of(struct arena *a, const char *text, const char *key)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(CONFIG_FILE_MAX);
    size_t len = strlen(key), parts = 0;
    bool inside = false;

    if (strncmp(text, "\xef\xbb\xbf", 3) == 0) /* no part of the first key: yaml.c */
        text += 3;
    for (const char *line = text, *next; *line; line = next) {
        next = line + strcspn(line, "\n");
        next += *next == '\n';
        if (!strchr(" \t\r\n#", *line)) { /* another part begins */
            inside = strncmp(line, key, len) == 0 && line[len] == ':';
            parts += inside;
        }
        if (inside)
            buf_add(&out, line, (size_t)(next - line));
        else
            buf_addc(&out, '\n');
    }
    return parts == 1 && !buf_failed(&out) ? arena_str(a, buf_text(&out)) : NULL;
}

/* The root, or one with the part `key` alone when the file is no YAML elsewhere: whoever is in the middle of editing it can
 * still look and act. */
static enum err_code peek_part(const char *file, const char *key, struct arena *a,
                               struct yaml_faults *faults, struct yaml_node **ret_root,
                               struct err *e)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(CONFIG_FILE_MAX);
    enum err_code code = peek_root(file, a, faults, ret_root, e);
    struct yaml_faults own;
    const char *part;

    if (code != ERR_INVALID || config_read_file(file, &text, NULL))
        return code;
    yaml_faults_init(&own, a);
    part = part_of(a, buf_text(&text), key);
    if (!part || yaml_read_all(a, file, part, strlen(part), &own, ret_root))
        return code;
    yaml_faults_init(faults, a);
    return ERR_OK;
}

enum err_code config_peek_admin(const char *file, const char *(*env)(const char *name),
                                struct arena *a, struct config_admin *ret,
                                struct yaml_faults *faults, struct err *e)
{
    const struct settings_reader reader = {.arena = a, .faults = faults, .env = env};
    struct config_admin admin = {0};
    struct yaml_node *root;
    enum err_code code = peek_part(file, "admin", a, faults, &root, e);

    if (code)
        return code;
    settings_read(&reader, yaml_get(root, "admin"), "admin", config_admin_table, &admin);
    if (faults->count)
        return config_end_of_faults(file, ERR_INVALID, faults, e);
    *ret = admin;
    return ERR_OK;
}

enum err_code config_peek_store(const char *file, const char *(*env)(const char *name),
                                struct arena *a, const char **ret_url, const char **ret_password,
                                struct yaml_faults *faults, struct err *e)
{
    const struct settings_reader reader = {.arena = a, .faults = faults, .env = env};
    struct config config = {0};
    struct config_loading l = {.reader = reader, .config = &config};
    struct yaml_node *root;
    enum err_code code = peek_part(file, "store", a, faults, &root, e);

    if (code)
        return code;
    config_read_store(&l, yaml_get(root, "store"));
    if (faults->count)
        return config_end_of_faults(file, ERR_INVALID, faults, e);
    *ret_url = config.store_url;
    *ret_password = config.store_password.text;
    return ERR_OK;
}

/* Where a listen address is reached from this machine: all of its addresses include the loopback one, and [::] is IPv4's, too,
 * while [::1] is not there in every container. */
static const char *local_url(struct arena *a, const char *scheme, const char *address)
{
    if (strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0)
        return arena_fmt(a, "%s://127.0.0.1%s", scheme, strrchr(address, ':'));
    return arena_fmt(a, "%s://%s", scheme, address);
}

/* The tenant's place at Entra, as far as it is known. */
static void peek_tenant(const struct settings_reader *reader, const struct yaml_node *root,
                        const struct yaml_node *source, struct config_sender *sender)
{
    const struct setting tenant_row = {.key = "tenant", .type = SET_TEXT, .required = true};
    const struct setting id_row = {.key = "tenant_id", .type = SET_GUID, .required = true};
    const struct setting login_row = {.key = "login_url", .type = SET_URL};
    const struct setting graph_row = {.key = "graph_url", .type = SET_URL};
    const struct setting cloud_row = {
        .key = "cloud", .type = SET_WORD, .fallback = "public", .words = config_clouds};
    const struct yaml_node *tenant;
    const char *name = NULL;
    int cloud = 0;

    settings_read_key(reader, source, config_name_of(reader, "sources", source->key->text),
                      &tenant_row, &name);
    tenant = name ? yaml_get(yaml_get(root, "tenants"), name) : NULL;
    if (!tenant)
        return;
    name = config_name_of(reader, "tenants", name);
    settings_read_key(reader, tenant, name, &id_row, &sender->tenant_id);
    settings_read_key(reader, tenant, name, &login_row, &sender->login_url);
    settings_read_key(reader, tenant, name, &graph_row, &sender->graph_url);
    settings_read_key(reader, tenant, name, &cloud_row, &cloud);
    if (!sender->login_url)
        sender->login_url = config_cloud_defaults[cloud].login_url;
    if (!sender->graph_url)
        sender->graph_url = config_cloud_defaults[cloud].graph_url;
}

static enum err_code no_such_source(const struct yaml_node *sources, const char *file,
                                    const char *name, struct arena *a, struct err *e)
{
    size_t n = sources && sources->kind == YAML_MAP ? sources->count : 0, i = 0;
    const char **names = arena_array(a, n + 1, sizeof *names);
    char meant[YAML_MEANT_SIZE];

    for (const struct yaml_node *s = n ? sources->first : NULL; names && s; s = s->next)
        names[i++] = s->key->text;
    return err_set(e, ERR_NOT_FOUND, "%s: there is no source '%.60s'%s", file, name,
                   yaml_meant(names ? yaml_nearest(name, names) : NULL, "", meant));
}

enum err_code config_peek_source(const char *file, const char *(*env)(const char *name),
                                 struct arena *a, const char *name, struct config_sender *ret,
                                 struct yaml_faults *faults, struct err *e)
{
    const struct setting address_row = {
        .key = "address", .type = SET_LISTEN, .fallback = "127.0.0.1:8080"};
    const struct setting public_row = {.key = "public_url", .type = SET_URL};
    const struct setting reply_row = {
        .key = "reply", .type = SET_WORD, .fallback = "accept", .words = config_replies};
    const struct settings_reader reader = {.arena = a, .faults = faults, .env = env};
    int reply = 0;
    const char *address = NULL, *public_url = NULL, *base;
    const struct yaml_node *listen, *source;
    struct config_sender sender = {0};
    struct yaml_node *root;
    enum err_code code = peek_root(file, a, faults, &root, e);

    if (code)
        return code;
    source = yaml_get(yaml_get(root, "sources"), name);
    if (!source)
        return no_such_source(yaml_get(root, "sources"), file, name, a, e);
    listen = yaml_get(root, "listen");
    settings_read_key(&reader, listen, "listen", &address_row, &address);
    settings_read_key(&reader, root, "", &public_row, &public_url);
    settings_read_key(&reader, source, config_name_of(&reader, "sources", name), &reply_row,
                      &reply);
    sender.reply_status = reply == 1;
    peek_tenant(&reader, root, source, &sender);
    sender.verify = yaml_get(source, "verify");
    if (!sender.verify)
        yaml_fault(faults, source->key, "sources.%s.verify is missing", name);
    if (faults->count)
        return config_end_of_faults(file, ERR_INVALID, faults, e);
    sender.public_url = public_url;
    if (public_url) {
        base = public_url;
    } else if (strncmp(address, "unix:", 5) == 0) {
        sender.unix_socket = address + 5;
        base = yaml_get(listen, "tls") ? "https://localhost" : "http://localhost";
    } else {
        base = local_url(a, yaml_get(listen, "tls") ? "https" : "http", address);
    }
    sender.url = base ? arena_fmt(a, "%s/hooks/%s", base, name) : NULL;
    if (!sender.url)
        return err_set(e, ERR_NOMEM, "%s", file);
    *ret = sender;
    return ERR_OK;
}

enum err_code config_peek_source_names(const char *file, struct arena *a, struct text_list *ret,
                                       struct yaml_faults *faults, struct err *e)
{
    const struct yaml_node *sources;
    struct text_list list = {0};
    struct yaml_node *root;
    enum err_code code = peek_root(file, a, faults, &root, e);

    if (code)
        return code;
    sources = yaml_get(root, "sources");
    if (sources && sources->kind == YAML_MAP && sources->count) {
        list.items = arena_array(a, sources->count, sizeof *list.items);
        if (!list.items)
            return err_set(e, ERR_NOMEM, "%s", file);
        for (const struct yaml_node *s = sources->first; s; s = s->next)
            list.items[list.count++] = s->key->text;
    }
    *ret = list;
    return ERR_OK;
}

enum err_code config_peek_policy(const char *file, const char *(*env)(const char *name),
                                 struct config *config, struct arena *a, const struct policy **ret,
                                 struct yaml_faults *faults, struct err *e)
{
    struct config_loading l = {.reader = {.arena = a, .faults = faults, .env = env},
                               .config = config};
    const struct yaml_node *rules, *safety;
    const struct policy *p = NULL;
    struct yaml_node *root;
    enum err_code code = peek_root(file, a, faults, &root, e);

    if (code)
        return code;
    if (config_read_policy(&l.reader, root, &rules, &safety))
        p = policy_compile(&l.reader, rules, safety);
    if (p)
        code = config_check_conditions(&l, rules, yaml_get(safety, "protected"));
    if (code || !p || faults->count)
        return config_end_of_faults(file, code ? code : ERR_INVALID, faults, e);
    *ret = p;
    return ERR_OK;
}
