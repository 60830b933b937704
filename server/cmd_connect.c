/* cmd_connect.c - `cordon connect`: what a sender needs, filled in for a source of this configuration. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auto.h"
#include "buf.h"
#include "config.h"
#include "connect.h"

#define TEXT_MAX (1024 * 1024)

struct options {
    const char *config, *source, *out;
};

static const struct cli_option options[] = {
    CLI_CONFIG(struct options, config),
    CLI_OPTION("source", CLI_TEXT, struct options, source, "NAME",
               "the source to connect to; else the only one that fits"),
    CLI_OPTION("out", CLI_TEXT, struct options, out, "DIR",
               "write files there; else a single text goes to stdout"),
    {.name = NULL},
};

static const struct cli_command command = {
    .name = "connect",
    .args = "logic-app|power-automate|azure-function|curl",
    .about =
        "Writes what a sender needs to push alerts to one of the sources:\n"
        "  logic-app       workflow and ARM template with a managed identity; app registration\n"
        "  power-automate  the steps of a flow with every field's value; app registration\n"
        "  azure-function  a relay for Node that signs: over HTTP and from an Event Hub\n"
        "  curl            a script that signs and posts\n"
        "No secret is in any of it, and files that are there already are left alone.",
    .options = options,
    .least_args = 1,
    .most_args = 1,
};

struct connecting {
    const char *file; /* the configuration */
    const char *target;
    struct arena *arena;
    struct yaml_faults faults;
    struct config_sender sender;
    const char *source;
    const struct connect_way *way;
    const struct yaml_node *settings; /* of the way's scheme */
};

/* ---- which source ---------------------------------------------------------------------------------- */

/* The first entry that consists of one scheme which such a sender can do. */
static bool fits(struct connecting *c)
{
    const struct yaml_node *verify = c->sender.verify;

    for (const struct yaml_node *entry = verify->kind == YAML_LIST ? verify->first : NULL; entry;
         entry = entry->next) {
        if (entry->kind != YAML_MAP || entry->count != 1)
            continue;
        c->way = connect_find(c->target, entry->first->key->text);
        c->settings = entry->first;
        if (c->way)
            return true;
    }
    return false;
}

/* false: said why not. */
static bool peek(struct connecting *c, const char *name)
{
    struct err e = {0};
    enum err_code code =
        config_peek_source(c->file, NULL, c->arena, name, &c->sender, &c->faults, &e);

    c->source = name;
    return cli_read(code, &c->faults, &e) == CLI_GO_ON;
}

static bool no_fit(const struct connecting *c, const char *name)
{
    AUTO(buf_clear) struct buf schemes = BUF_INIT(TEXT_MAX);

    connect_schemes(c->target, &schemes);
    cli_error("%s%s%s: %s needs an entry of `verify` with %s alone", name ? "source " : "",
              name ? name : c->file, name ? "" : ": no source fits", c->target, buf_text(&schemes));
    return false;
}

static bool choose(struct connecting *c, const char *given)
{
    AUTO(buf_clear) struct buf fitting = BUF_INIT(TEXT_MAX);
    struct text_list names = {0};
    const char *found = NULL;
    struct err e = {0};
    enum err_code code;
    size_t n = 0;

    if (given)
        return peek(c, given) && (fits(c) || no_fit(c, given));
    code = config_peek_source_names(c->file, c->arena, &names, &c->faults, &e);
    if (cli_read(code, &c->faults, &e) != CLI_GO_ON)
        return false;
    for (size_t i = 0; i < names.count; i++) {
        if (!peek(c, names.items[i]))
            return false;
        if (fits(c)) {
            found = n++ ? found : names.items[i];
            buf_addf(&fitting, "%s%s", fitting.len ? ", " : "", names.items[i]);
        }
    }
    if (!n)
        return no_fit(c, NULL);
    if (n > 1) {
        cli_error("several sources fit (%s): name one with --source", buf_text(&fitting));
        return false;
    }
    return peek(c, found) && fits(c);
}

/* A sender somewhere else reaches cordon by public_url, and that by TLS. */
static bool is_reachable(const struct connecting *c)
{
    if (!c->way->from_outside)
        return true;
    if (!c->sender.public_url)
        cli_error("%s: public_url is missing: where does %s reach cordon? Such as `public_url: "
                  "https://cordon.contoso.example`",
                  c->file, c->target);
    else if (strncmp(c->sender.public_url, "https://", 8) != 0)
        cli_error("%s: public_url is %s, which %s does not reach: expected https://…", c->file,
                  c->sender.public_url, c->target);
    else
        return true;
    return false;
}

/* ---- writing ---------------------------------------------------------------------------------------- */

/* Makes the folders that path goes through, below dir too. 0, or an errno. */
static int make_folders(const char *path, struct arena *a)
{
    char *copy = arena_str(a, path);

    for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
            return errno;
        *slash = '/';
    }
    return copy ? 0 : ENOMEM;
}

/* 0, or an errno; a file that is there already is left alone. */
static int write_file(const char *path, const struct buf *text)
{
    size_t len = strlen(path);
    bool script = len > 3 && strcmp(path + len - 3, ".sh") == 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, script ? 0755 : 0644), error = 0;
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

    if (!f)
        return errno;
    if (fwrite(buf_text(text), 1, text->len, f) != text->len)
        error = errno ? errno : EIO;
    if (fclose(f) != 0 && !error)
        error = errno;
    if (error)
        (void)unlink(path); /* half a file would keep the next one away */
    return error;
}

static int put(struct connecting *c, const struct connect_values *values, size_t i, const char *dir)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(TEXT_MAX);
    const char *path;
    int error;

    connect_expand(&text, c->way->files[i].asset, values);
    if (buf_failed(&text)) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    if (!dir) {
        (void)fwrite(buf_text(&text), 1, text.len, stdout); /* cli_main says when it did not go */
        return CLI_DONE;
    }
    path = arena_fmt(c->arena, "%s/%s", dir, c->way->files[i].name);
    error = path ? make_folders(path, c->arena) : ENOMEM;
    if (!error)
        error = write_file(path, &text);
    if (error == EEXIST)
        cli_error("%s is there already, and is left alone", path);
    else if (error)
        cli_error("cannot write %s: %s", path, strerrordesc_np(error));
    else
        (void)printf("%s\n", path);
    return error ? CLI_FAILED : CLI_DONE;
}

static int write_all(struct connecting *c, const struct connect_values *values, const char *dir)
{
    size_t n = 0;
    int code = CLI_DONE;

    while (n < CONNECT_FILES_MAX && c->way->files[n].name)
        n++;
    if (n > 1 && !dir) {
        cli_error("%s is %zu files: name a folder for them with --out", c->target, n);
        return CLI_USAGE;
    }
    for (size_t i = 0; i < n && code == CLI_DONE; i++)
        code = put(c, values, i, dir);
    return code;
}

/* ---- the command -------------------------------------------------------------------------------------- */

static int connect_source(struct connecting *c, const struct options *o)
{
    const struct settings_reader reader = {.arena = c->arena, .faults = &c->faults};
    struct connect_about about;
    struct connect_values values;
    struct err e = {0};
    enum err_code code;

    if (!choose(c, o->source) || !is_reachable(c))
        return CLI_FAILED;
    about = (struct connect_about){
        .source = c->source,
        .url = c->sender.url,
        .unix_socket = c->sender.unix_socket,
        .tenant_id = c->sender.tenant_id,
        .login_url = c->sender.login_url,
        .graph_url = c->sender.graph_url,
        .reply_status = c->sender.reply_status,
        .settings = c->settings,
    };
    code = connect_fill(c->way, &reader, &about, &values, &e);
    if (code) {
        cli_show_faults(&c->faults);
        cli_error("%s", e.text);
        return CLI_FAILED;
    }
    return write_all(c, &values, o->out);
}

int cmd_connect(int argc, char **argv)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct connecting c = {.arena = arena};
    struct options o = {0};
    struct cli_words words = {0};
    int code = cli_parse(argc, argv, &command, &o, &words);
    char meant[YAML_MEANT_SIZE];
    size_t i = 0;

    if (code != CLI_GO_ON)
        return code;
    c.target = words.items[0];
    while (connect_targets[i] && strcmp(connect_targets[i], c.target) != 0)
        i++;
    if (!connect_targets[i])
        return cli_usage(&command,
                         "there is no sender '%.60s'%s; expected logic-app, power-automate, "
                         "azure-function or curl",
                         c.target, yaml_meant(yaml_nearest(c.target, connect_targets), "", meant));
    c.file = cli_config_file(o.config);
    if (!c.file || !arena)
        return CLI_FAILED;
    yaml_faults_init(&c.faults, arena);
    return connect_source(&c, &o);
}
