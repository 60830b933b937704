/* cmd_store.c - `cordon store`: care of the store's files, beside a running server or without one. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "auto.h"
#include "clock.h"
#include "json.h"
#include "pause.h"
#include "store.h"
#include "store_check.h"

struct options {
    const char *config;
    bool json;
};

static const struct cli_option options[] = {
    CLI_CONFIG(struct options, config),
    {.name = NULL},
};

static const struct cli_option check_options[] = {
    CLI_CONFIG(struct options, config),
    CLI_JSON(struct options, json),
    {.name = NULL},
};

/* Where it is, and its password (NULL: none). */
struct place {
    const char *url, *password;
    bool json; /* what is found is for programs */
};

/* Reads the options, and of the configuration where the store is. */
static int begin(int argc, char **argv, const struct cli_command *command, struct arena *a,
                 struct place *ret, struct cli_words *words)
{
    struct options o = {0};
    int code = cli_parse(argc, argv, command, &o, words);

    ret->json = o.json;
    return code == CLI_GO_ON ? cli_peek_store(o.config, a, &ret->url, &ret->password) : code;
}

/* ---- check ------------------------------------------------------------------------------------ */

struct findings {
    size_t n;
    bool as_json;
    struct json_out out; /* an open list */
};

static void show_finding(void *ctx, const char *text)
{
    struct findings *f = ctx;

    f->n++;
    if (f->as_json)
        json_out_string(&f->out, NULL, text);
    else
        (void)printf("%s\n", text);
}

/* name: of the store; NULL, and why: it could not be looked at. */
static void end_findings(struct findings *f, const char *name, const char *why)
{
    json_out_array_end(&f->out);
    json_out_string(&f->out, "store", name);
    if (name)
        json_out_bool(&f->out, "sound", f->n == 0);
    else
        json_out_null(&f->out, "sound");
    json_out_string(&f->out, "why", why);
    json_out_object_end(&f->out);
    if (f->as_json)
        (void)puts(buf_text(f->out.buf));
}

static int store_check_command(int argc, char **argv)
{
    static const struct cli_command command = {
        .name = "store check",
        .about =
            "Reads through all of the store: is its file sound, does the schema fit this program,\n"
            "does every row lead somewhere? Changes nothing; the server may run meanwhile. Exit\n"
            "code 1 when something was found.",
        .options = check_options,
    };
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(store_freep) struct store *s = NULL;
    AUTO(buf_clear) struct buf text = BUF_INIT((size_t)4 * 1024 * 1024);
    struct findings found = {.out = JSON_OUT(&text)};
    struct place at = {0};
    struct err e = {0};
    int code = begin(argc, argv, &command, a, &at, NULL);

    found.as_json = at.json;
    json_out_object(&found.out, NULL);
    json_out_array(&found.out, "findings");
    if (code == CLI_FAILED)
        end_findings(&found, NULL, "the configuration does not say where the store is");
    if (code != CLI_GO_ON)
        return code;
    if (store_open_as(at.url, at.password, true, clock_system(), &s, &e) ||
        store_check(s, show_finding, &found, &e)) {
        end_findings(&found, NULL, e.text);
        cli_error("%s", e.text);
        return CLI_FAILED;
    }
    end_findings(&found, db_name(s->db), NULL);
    if (found.n) {
        cli_error(db_is_shared(s->db)
                      ? "the store is not sound. Put a backup that was made with PostgreSQL's own "
                        "tools in its place: `cordon store restore` does not do that"
                      : "the store is not sound. Keep its files, and put a backup in its place: "
                        "`cordon store restore FILE`");
        return CLI_FAILED;
    }
    if (!at.json)
        (void)printf("%s: sound\n", db_name(s->db));
    return CLI_DONE;
}

/* ---- backup ----------------------------------------------------------------------------------- */

static int store_backup_command(int argc, char **argv)
{
    static const struct cli_command command = {
        .name = "store backup",
        .args = "FILE",
        .about =
            "Writes what the store holds now to a new file, which is synced, and readable by its\n"
            "owner alone. The server may run meanwhile: what it commits from then on is not in the\n"
            "copy.",
        .options = options,
        .least_args = 1,
        .most_args = 1,
    };
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(store_freep) struct store *s = NULL;
    struct place at = {0};
    struct cli_words words;
    struct stat st = {0};
    struct err e = {0};
    int code = begin(argc, argv, &command, a, &at, &words);

    if (code != CLI_GO_ON)
        return code;
    /* It would be a file of that name, and whoever pipes it on would keep the line below. */
    if (strcmp(words.items[0], "-") == 0)
        return cli_usage(&command, "a backup is written to a file, not to standard output");
    if (store_open_since(at.url, at.password, STORE_SINCE_EVER, clock_system(), &s, &e) ||
        store_backup(s, words.items[0], &e)) {
        cli_error("%s", e.text);
        return CLI_FAILED;
    }
    (void)stat(words.items[0], &st); /* for people: 0 if it is gone already */
    (void)printf("%s: %lld bytes\n", words.items[0], (long long)st.st_size);
    return CLI_DONE;
}

/* ---- restore ---------------------------------------------------------------------------------- */

/* A relative name is another file in another folder: people see which one it was. */
static const char *whole_name(struct arena *a, const char *url)
{
    const char *colon = strchr(url, ':');
    AUTO(auto_free) char *whole = colon ? realpath(colon + 1, NULL) : NULL;

    return whole ? arena_str(a, whole) : url;
}

struct keeping {
    const char *url; /* of the store */
    struct arena *arena;
    struct pause pause;
    struct err unread;   /* why it is not known */
    struct pause copied; /* the backup's own, where the store has none */
};

/* Nothing is isolated until `cordon resume`, whatever store is served. In the copy before it is the store: nobody, wherever
 * the restore is cut off, finds one that isolates. */
static enum err_code keep_paused(void *ctx, const char *copy, struct err *e)
{
    struct keeping *k = ctx;

    (void)pause_look(k->url, k->arena, &k->pause, &k->unread);
    if (!k->pause.on) {
        struct err unused;

        (void)pause_look(copy, k->arena, &k->copied, &unused);
        return ERR_OK;
    }
    if (!pause_carry(copy, &k->pause, e))
        return ERR_OK;
    return err_in(e, "what stands there is %s, and the copy cannot be",
                  pause_words(&k->pause, k->arena));
}

static int store_restore_command(int argc, char **argv)
{
    static const struct cli_command command = {
        .name = "store restore",
        .args = "FILE",
        .about =
            "Puts a backup in the place of the store, whose old files are kept beside it. Refuses\n"
            "while a server runs, and a backup that is damaged or of a newer cordon. What the store\n"
            "learned after the backup is gone: an alert that is pushed again is handled again; its\n"
            "machine is looked at first, so that no isolation is asked for twice, and people are\n"
            "told again. A pause stays.",
        .options = options,
        .least_args = 1,
        .most_args = 1,
    };
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(auto_free) char *aside = NULL;
    struct keeping k = {.arena = a};
    struct place at = {0};
    struct cli_words words;
    struct err e = {0};
    int code = begin(argc, argv, &command, a, &at, &words);

    if (code != CLI_GO_ON)
        return code;
    k.url = at.url;
    if (store_restore(at.url, words.items[0], keep_paused, &k, &aside, &e)) {
        cli_error("%s", e.text);
        return CLI_FAILED;
    }
    (void)printf("%s: restored from %s\n", whole_name(a, at.url), words.items[0]);
    if (aside)
        (void)printf("what stood there is kept as %s\n", aside);
    else
        (void)printf("no store stood there; is this where cordon serves from?\n");
    if (aside && k.unread.code)
        (void)printf("whether that one was paused cannot be read: %s\n", k.unread.text);
    if (k.pause.on)
        (void)printf("%s, as before: nothing is isolated until `cordon resume`\n",
                     pause_words(&k.pause, a));
    if (k.copied.on)
        (void)printf("%s, when the backup was made: nothing is isolated until `cordon resume`\n",
                     pause_words(&k.copied, a));
    return CLI_DONE;
}

int cmd_store(int argc, char **argv)
{
    static const struct cli_sub table[] = {
        {"check", store_check_command, "is it sound, and does every row lead somewhere?"},
        {"backup", store_backup_command, "a copy of it as a new file; the server may run"},
        {"restore", store_restore_command, "puts a copy in its place; the server must not run"},
        {NULL, NULL, NULL},
    };

    return cli_sub(argc, argv, "store", table);
}
