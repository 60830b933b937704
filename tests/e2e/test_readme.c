/* test_readme.c - README.md and the manuals of docs/ say nothing that is not so: what can run in them is run.
 *
 * A fenced block says by the words after its ``` what becomes of it:
 *
 *     sh test      run, in the order of the files, in one folder; exports live on from block to block
 *     sh serve     the same, in the background until the next such block or the end
 *     sh outside   needs the world outside: only its syntax is checked
 *     yaml part    takes the place of the starter's parts of the same names; `cordon check` must like it
 *     sh connect   run in a folder of its own whose cordon.yaml is the starter with the parts up to there
 *     js sender    run with Node, where there is one: push() must be answered
 *
 * The world of those that run is the simulator: the test puts its addresses into cordon.yaml after
 * `cordon init`, and a loopback address of its own in place of 127.0.0.1, and changes nothing else.
 */
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "arena.h"
#include "auto.h"
#include "buf.h"
#include "kit/program.h"
#include "kit/serving.h"
#include "kit/sim.h"

#define SOON        30000
#define BLOCKS_MAX  64
#define SHOWN_ALERT "da638712345678901234_-1027384756" /* pushed in shadow mode */
#define LIVE_ALERT  "da638712345678901299_-1027384756"
#define NODE_ALERT  "da638712345678901300_-1027384756"
#define MACHINE     "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f%d"

/* In this order: what one runs the next one has. */
static const char *const manuals[] = {"README.md",      "docs/senders.md",  "docs/mails.md",
                                      "docs/policy.md", "docs/settings.md", "docs/operating.md"};

#define N_MANUALS (sizeof manuals / sizeof *manuals)

struct block {
    const char *info, *text, *file;
    unsigned line; /* of its first line */
};

struct readme {
    struct arena *arena;
    const char *texts[N_MANUALS];
    const char *text; /* all of them */
    struct block blocks[BLOCKS_MAX];
    size_t n_blocks;
};

static const char *read_whole(struct arena *a, const char *path)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(4 << 20);
    char piece[4096];
    FILE *f = fopen(path, "re");
    size_t n;

    if (!f)
        fail_msg("cannot read %s", path);
    while (f && (n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_add(&b, piece, n);
    if (f)
        (void)fclose(f);
    return arena_str(a, buf_text(&b));
}

static void write_whole(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        fail_msg("cannot write %s", path);
    (void)chmod(path, 0600);
}

/* Takes the text apart where it stands. */
static void find_blocks(struct readme *r, const char *file, char *text)
{
    struct block *open = NULL;
    unsigned number = 0;
    char *line, *next;

    for (line = text; *line; line = next) {
        next = strchr(line, '\n') ? strchr(line, '\n') + 1 : line + strlen(line);
        number++;
        if (strncmp(line, "```", 3) != 0)
            continue;
        if (open) {
            *line = '\0';
            open = NULL;
        } else {
            assert_true(r->n_blocks < BLOCKS_MAX);
            open = &r->blocks[r->n_blocks++];
            *open =
                (struct block){.info = line + 3, .text = next, .file = file, .line = number + 1};
            next[-1] = '\0';
        }
    }
    if (open)
        fail_msg("%s:%u: a block without its end", open->file, open->line);
}

static int setup(void **state)
{
    AUTO(buf_clear) struct buf all = BUF_INIT(4 << 20);
    struct readme *r = calloc(1, sizeof *r);

    assert_non_null(r);
    r->arena = arena_new(0);
    for (size_t i = 0; i < N_MANUALS; i++) {
        char *text;

        r->texts[i] = read_whole(r->arena, manuals[i]);
        buf_adds(&all, r->texts[i]);
        text = arena_str(r->arena, r->texts[i]);
        assert_non_null(text);
        find_blocks(r, manuals[i], text);
    }
    r->text = arena_str(r->arena, buf_text(&all));
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct readme *r = *state;

    arena_free(r->arena);
    free(r);
    return 0;
}

/* text with every `from` changed; there must be one at least, unless may_lack. In the arena. */
static const char *changed(struct arena *a, const char *text, const char *from, const char *to,
                           bool may_lack)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(4 << 20);
    const char *hit = strstr(text, from);

    if (!hit && !may_lack)
        fail_msg("the starter has no '%s' any more", from);
    for (; (hit = strstr(text, from)) != NULL; text = hit + strlen(from)) {
        buf_add(&out, text, (size_t)(hit - text));
        buf_adds(&out, to);
    }
    buf_adds(&out, text);
    return arena_str(a, buf_text(&out));
}

/* ---- a folder to run in ------------------------------------------------------------------------ */

struct scene {
    struct arena *arena;
    char dir[200], build[PATH_MAX], address[32]; /* of our own, for 127.0.0.1 */
    const char *env[3];
};

static void scene_open(struct scene *s, struct arena *a)
{
    const char *tmp = getenv("TMPDIR");
    unsigned pid = (unsigned)getpid();

    s->arena = a;
    (void)snprintf(s->dir, sizeof s->dir, "%s/readme-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(s->dir));
    assert_non_null(realpath(serving_program("."), s->build));
    (void)snprintf(s->address, sizeof s->address, "127.%u.%u.%u", 64 + (pid >> 16 & 63),
                   pid >> 8 & 255, pid & 255);
    s->env[0] = arena_fmt(a, "PATH=%s:%s", s->build, getenv("PATH"));
    s->env[1] = "CORDON_LOG_FORMAT=json";
    s->env[2] = NULL;
}

static void scene_close(struct scene *s)
{
    struct ran ran;

    program_run(&ran, NULL, NULL, (const char *[]){"/bin/rm", "-rf", s->dir, NULL});
    ran_clear(&ran);
}

static const char *at(const struct scene *s, const char *name)
{
    return arena_fmt(s->arena, "%s/%s", s->dir, name);
}

/* Runs a script in the folder; it must end well. What it printed, in the arena. */
static const char *run_at(const struct scene *s, const char *script, const char *file,
                          unsigned line)
{
    const char *argv[] = {"/bin/sh", "-euc", script, NULL}, *out;
    struct ran ran;

    program_run(&ran, s->dir, s->env, argv);
    if (ran.code != 0)
        fail_msg("%s:%u: exit %d of\n%s\n%s%s", file, line, ran.code, script, ran.out, ran.err);
    out = arena_str(s->arena, ran.out);
    ran_clear(&ran);
    return out;
}

static const char *run(const struct scene *s, const char *script)
{
    return run_at(s, script, "this test", 0);
}

static const char *run_block(const struct scene *s, const struct block *b)
{
    const char *text = changed(s->arena, b->text, "127.0.0.1", s->address, true);

    return run_at(
        s,
        arena_fmt(s->arena, "[ ! -e .env ] || . ./.env\n%s\nexport -p | grep CORDON_ >.env", text),
        b->file, b->line);
}

static void make_certificate(const struct scene *s)
{
    (void)run(s,
              "mkdir -p tls && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
              " -subj /CN=cordon.contoso.example -keyout tls/key.pem -out tls/chain.pem");
}

/* ---- each kind of block ------------------------------------------------------------------------ */

static void test_readme__every_block_says_how_it_is_tested(void **state)
{
    static const char *const known[] = {"sh test",   "sh serve",   "sh outside",
                                        "yaml part", "sh connect", "js sender"};
    const struct readme *r = *state;

    assert_true(r->n_blocks > 10);
    for (size_t i = 0; i < r->n_blocks; i++) {
        bool found = false;

        for (size_t j = 0; j < sizeof known / sizeof *known; j++)
            found = found || strcmp(r->blocks[i].info, known[j]) == 0;
        if (!found)
            fail_msg("%s:%u: a block of kind '%s'", r->blocks[i].file, r->blocks[i].line,
                     r->blocks[i].info);
    }
}

static void test_readme__what_needs_the_outside_is_a_shells(void **state)
{
    const struct readme *r = *state;

    for (size_t i = 0; i < r->n_blocks; i++) {
        const char *argv[] = {"/bin/sh", "-nc", r->blocks[i].text, NULL};
        struct ran ran;

        if (strcmp(r->blocks[i].info, "sh outside") != 0)
            continue;
        program_run(&ran, NULL, NULL, argv);
        if (ran.code != 0)
            fail_msg("%s:%u: %s", r->blocks[i].file, r->blocks[i].line, ran.err);
        ran_clear(&ran);
    }
}

/* Does a line of text begin with these len bytes? */
static bool has_line(const char *text, const char *start, size_t len)
{
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, start, len) == 0)
            return true;
    return false;
}

/* whole without its parts ("name:" at a line's start, and what follows) that part has too; then part. */
static const char *merged(struct arena *a, const char *whole, const char *part)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    bool skip = false;

    while (*whole) {
        size_t len = strcspn(whole, "\n"), name = strcspn(whole, ":\n");

        if (*whole != ' ' && *whole != '#' && len)
            skip = whole[name] == ':' && has_line(part, whole, name + 1);
        if (!skip)
            buf_addf(&out, "%.*s\n", (int)len, whole);
        whole += len + (whole[len] == '\n');
    }
    buf_adds(&out, part);
    return arena_str(a, buf_text(&out));
}

static const char ids[] = "export CORDON_TENANT_ID=0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50"
                          " CORDON_CLIENT_ID=5d1f6c2e-8f3b-4a7d-9c11-2e4b6a8c0d13\n";

static void test_readme__parts_of_a_configuration_are_good(void **state)
{
    const struct readme *r = *state;
    struct scene s;
    const char *starter;
    size_t n = 0;

    scene_open(&s, r->arena);
    starter =
        run(&s, "mkdir secrets; echo s >secrets/defender; cordon keygen >secrets/relay; "
                "cp secrets/relay secrets/grid; cp secrets/relay secrets/relay-spring; "
                "echo https://flow.example/hook >secrets/teams; cp secrets/teams secrets/slack; "
                "cp secrets/relay secrets/siem; "
                "cordon init -");
    make_certificate(&s);
    for (size_t i = 0; i < r->n_blocks; i++) {
        if (strcmp(r->blocks[i].info, "yaml part") != 0)
            continue;
        write_whole(at(&s, "part.yaml"), merged(r->arena, starter, r->blocks[i].text));
        (void)run_at(&s, arena_fmt(r->arena, "%scordon check -c part.yaml", ids), r->blocks[i].file,
                     r->blocks[i].line);
        n++;
    }
    assert_true(n >= 3);
    scene_close(&s);
}

/* What docs/senders.md has cordon write is written, and has something in it. */
static void test_readme__senders_are_connected_as_it_says(void **state)
{
    const struct readme *r = *state;
    struct scene s;
    const char *text;
    size_t n = 0;

    scene_open(&s, r->arena);
    text = run(&s, "mkdir secrets; echo s >secrets/defender; cordon keygen >secrets/relay; "
                   "chmod 600 secrets/*; cordon init -");
    make_certificate(&s);
    for (size_t i = 0; i < r->n_blocks; i++) {
        if (strcmp(r->blocks[i].info, "yaml part") == 0)
            text = merged(r->arena, text, r->blocks[i].text);
        if (strcmp(r->blocks[i].info, "sh connect") != 0)
            continue;
        write_whole(at(&s, "cordon.yaml"), text);
        (void)run_at(&s, arena_fmt(r->arena, "%s%s", ids, r->blocks[i].text), r->blocks[i].file,
                     r->blocks[i].line);
        (void)run_at(&s,
                     "jq -e . logic-app/*.json relay/*.json >/dev/null; sh -n send-alert.sh\n"
                     "sh -n logic-app/app-registration.sh; grep -q 'hooks/flow' flow.md\n"
                     "test -s relay/src/functions/relay.js",
                     r->blocks[i].file, r->blocks[i].line);
        n++;
    }
    assert_int_equal(n, 1);
    scene_close(&s);
}

/* ---- the way to a tenant ----------------------------------------------------------------------- */

static void plant(struct sim *sim, int n, const char *alert)
{
    sim_tellf(sim, "/machines",
              "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-%d.corp.example\"}", n, n);
    sim_tellf(sim, "/alerts", "{\"id\":\"%s\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}",
              alert, n);
}

/* The one thing that is not the README's: where Defender, Entra ID and the mail server are. */
static void move_to_simulator(const struct scene *s, const struct sim *sim)
{
    struct arena *a = s->arena;
    const char *text = read_whole(a, at(s, "cordon.yaml"));

    text = changed(a, text, "127.0.0.1", s->address, false);
    text = changed(a, text, "    cloud: public ",
                   arena_fmt(a, "    api_url: %s\n    login_url: %s\n    cloud: public ",
                             sim->api_url, sim->login_url),
                   false);
    text = changed(a, text, "smtp://${CORDON_MAIL_HOST:-localhost}:${CORDON_MAIL_PORT:-25}",
                   arena_fmt(a, "%s\n  ca_file: %s", sim->smtp_url, sim->smtp_ca_file), false);
    /* the second alert would be told half a minute after the first */
    text = changed(a, text, "  # group: {by: [incident, machine, rule], wait: 30s, interval: 5m}",
                   "  group: {interval: 0}", false);
    write_whole(at(s, "cordon.yaml"), text);
}

static bool mail_begins(const struct json *mails, size_t n, const char *subject)
{
    size_t i = 0;

    JSON_EACH (mail, json_get(mails, "mails"))
        if (i++ == n) {
            const char *raw = json_get_string(mail, "raw");

            return raw && strstr(raw, subject) != NULL;
        }
    return false;
}

static void node_pushes(const struct scene *s, const struct block *js, struct sim *sim)
{
    assert(js); /* the caller has found it */
    const char *script = arena_fmt(
        s->arena,
        "command -v node >/dev/null || exit 0\n"
        "CORDON_SECRET=$(cat secrets/relay) CORDON_URL=http://%s:8080/hooks/relay node relay.mjs",
        s->address);
    const char *out;

    plant(sim, 2, NODE_ALERT);
    write_whole(at(s, "relay.mjs"),
                arena_fmt(s->arena, "%s\nconsole.log(await push('" NODE_ALERT "', undefined));\n",
                          js->text));
    out = run_at(s, script, js->file, js->line);
    if (*out) {
        AUTO(json_freep) struct json *isolated = sim_wait_isolated(sim, 2, SOON);

        assert_non_null(strstr(out, "status: 'accepted'"));
        out = run_at(s, script, js->file, js->line); /* a retry */
        assert_non_null(strstr(out, "status: 'duplicate'"));
    }
}

static void test_readme__the_way_to_a_tenant_leads_there(void **state)
{
    static const char *const argv[] = {"/bin/sh", "-euc", ". ./.env; exec cordon serve", NULL};
    const struct readme *r = *state;
    struct serving serving = {.pid = 0};
    struct sim *sim = sim_start(NULL);
    const struct block *js = NULL;
    bool moved = false, seen = false;
    struct scene s;

    scene_open(&s, r->arena);
    plant(sim, 0, SHOWN_ALERT);
    plant(sim, 1, LIVE_ALERT);
    (void)run(&s, "mkdir secrets");
    write_whole(at(&s, "secrets/defender"), sim->client_secret); /* az's part */
    for (size_t i = 0; i < r->n_blocks; i++) {
        const struct block *b = &r->blocks[i];

        if (strcmp(b->info, "sh test") == 0) {
            (void)run_block(&s, b);
        } else if (strcmp(b->info, "sh serve") == 0) {
            assert_string_equal(b->text, "cordon serve\n");
            if (serving.pid) { /* the shadow is over: what did it do? */
                AUTO(json_freep) struct json *mails = sim_wait_mails(sim, 1, SOON);

                assert_true(mail_begins(mails, 0, "\r\nSubject: [NOT ISOLATED: shadow mode"));
                assert_int_equal(sim_state(sim, "isolate_posts"), 0);
                serving_stop(&serving);
                seen = true;
            }
            serving_start(&serving, argv, s.dir, s.env);
        } else if (strcmp(b->info, "js sender") == 0) {
            js = b;
        }
        if (!moved && access(at(&s, "cordon.yaml"), F_OK) == 0) {
            move_to_simulator(&s, sim);
            moved = true;
        }
    }
    assert_true(seen && js && serving.pid);

    AUTO(json_freep) struct json *isolated = sim_wait_isolated(sim, 1, SOON);
    AUTO(json_freep) struct json *mails = sim_wait_mails(sim, 3, SOON);
    assert_true(mail_begins(mails, 1, "\r\nSubject: [REQUESTED] "));
    assert_true(mail_begins(mails, 2, "\r\nSubject: [ISOLATED] "));
    assert_int_equal(sim_state(sim, "isolate_posts"), 1);
    node_pushes(&s, js, sim);
    serving_stop(&serving);
    scene_close(&s);
    sim_stop(sim);
}

/* ---- tables and lists -------------------------------------------------------------------------- */

/* What follows a mark up to an empty line, or up to the line's end. */
static const char *after(const struct readme *r, const char *mark, const char *end)
{
    const char *from = strstr(r->text, mark), *to;

    if (!from) {
        fail_msg("the manuals have no '%s'", mark);
        return ""; /* never: for the analyzer */
    }
    from += strlen(mark);
    to = strstr(from, end);
    return arena_strn(r->arena, from, to ? (size_t)(to - from) : strlen(from));
}

/* The next word in backticks, in the arena; NULL: none is left. */
static const char *next_word(struct arena *a, const char **text)
{
    const char *from = strchr(*text, '`'), *to = from ? strchr(from + 1, '`') : NULL;

    if (!to)
        return NULL;
    *text = to + 1;
    return arena_strn(a, from + 1, (size_t)(to - from - 1));
}

/* Is there a row whose first cell is the word? */
static bool has_row(const struct readme *r, const char *table, const char *word)
{
    return strstr(table, arena_fmt(r->arena, "\n| `%s` |", word)) != NULL;
}

static void test_readme__the_table_of_commands_is_the_programs(void **state)
{
    const struct readme *r = *state;
    const char *table = after(r, "<!-- commands -->", "\n\n"), *rows = table;
    const char *argv[] = {serving_program("cordon"), "--help", NULL};
    struct ran ran;
    char *list, *save = NULL;

    program_run(&ran, NULL, NULL, argv);
    list = strstr(ran.out, "\nCommands:\n");
    assert_non_null(list);
    *strstr(list, "\n\n") = '\0';
    while ((rows = strstr(rows, "\n| `")) != NULL) { /* each that it names is there … */
        char want[80];

        rows += 4;
        (void)snprintf(want, sizeof want, "\n  %.*s ", (int)strcspn(rows, "`"), rows);
        if (!strstr(list, want))
            fail_msg("docs/settings.md names the command%s, which there is none of", want + 2);
    }
    for (char *line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const char *word = arena_strn(r->arena, line + 2, strcspn(line + 2, " "));

        if (strncmp(line, "  ", 2) == 0 && !has_row(r, table, word))
            fail_msg("docs/settings.md's table of commands lacks %s",
                     word); /* … and the other way round */
    }
    ran_clear(&ran);
}

static void test_readme__the_table_of_verifiers_is_the_programs(void **state)
{
    static const char *const there[] = {
#define SCHEME(x) #x,
#include "verify_list.h"
#undef SCHEME
    };
    const struct readme *r = *state;
    const char *table = after(r, "<!-- verifiers -->", "\n\n"), *rows = table;
    size_t n = 0;

    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        if (!has_row(r, table, there[i]))
            fail_msg("docs/settings.md's table of verifiers lacks %s", there[i]);
    for (; (rows = strstr(rows, "\n| `")) != NULL; rows++)
        n++;
    assert_int_equal(n, sizeof there / sizeof *there);
}

/* Is the word there, and not as the end of another? Behind it may stand more: a secret's "_file". */
static bool names(const char *text, const char *word)
{
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        if (at > text && !isalpha((unsigned char)at[-1]) && at[-1] != '_' &&
            !isalpha((unsigned char)at[strlen(word)]))
            return true;
    return false;
}

/* Nobody finds a setting that stands in a table of the program's alone. */
static void test_readme__every_setting_is_named(void **state)
{
    const struct readme *r = *state;
    char root[PATH_MAX], *list, *save = NULL;
    struct scene s;
    size_t n = 0;

    scene_open(&s, r->arena);
    assert_non_null(realpath(".", root));
    list = arena_str(
        r->arena,
        run(&s, arena_fmt(r->arena,
                          "cd '%s/server' && sed -nE"
                          " 's/^ *([A-Z_]+\\()?\"([a-z_]+)\", SET_.*/\\2/p' *.c | sort -u",
                          root)));
    assert_non_null(list);
    for (char *name = strtok_r(list, "\n", &save); name; name = strtok_r(NULL, "\n", &save), n++)
        if (!names(r->text, name))
            fail_msg("the manuals do not name the setting %s", name);
    assert_true(n > 50);
    scene_close(&s);
}

/* A link to `name` in the file that is `from`: to which manual? NULL: to none. */
static const char *manual_at(struct arena *a, const char *from, const char *name)
{
    const char *slash = strrchr(from, '/');
    const char *path = slash ? arena_fmt(a, "%.*s/%s", (int)(slash - from), from, name) : name;

    for (size_t i = 0; i < N_MANUALS; i++)
        if (strcmp(path, manuals[i]) == 0)
            return manuals[i];
    return NULL;
}

/* Is there a heading in text of which a renderer makes this anchor: small letters, "-" for a blank, no other signs? */
static bool has_anchor(const char *text, const char *anchor)
{
    for (const char *line = strstr(text, "\n#"); line; line = strstr(line + 1, "\n#")) {
        const char *a = anchor, *p = line + 1 + strspn(line + 1, "#") + 1;

        for (; *p && *p != '\n'; p++) {
            const int c = *p == ' ' ? '-' : tolower((unsigned char)*p);

            if (c != '-' && !isalnum(c))
                continue;
            if (*a != (char)c)
                break;
            a++;
        }
        if (!*a && (*p == '\n' || !*p))
            return true;
    }
    return false;
}

/* One link of the manual i: [word](path#anchor). */
static void follow(const struct readme *r, size_t i, const char *link)
{
    const size_t len = strcspn(link, "#");
    const char *name = arena_strn(r->arena, link, len), *file = manuals[i];
    const char *slash = strrchr(file, '/');
    const char *path =
        slash ? arena_fmt(r->arena, "%.*s/%s", (int)(slash - file), file, name) : name;

    if (len && access(path, F_OK) != 0)
        fail_msg("%s: a link to %s, which is not there", file, path);
    if (!link[len])
        return;
    if (len)
        file = manual_at(r->arena, file, name);
    for (size_t k = 0; file && k < N_MANUALS; k++)
        if (strcmp(file, manuals[k]) == 0 && !has_anchor(r->texts[k], link + len + 1))
            fail_msg("%s: a link to %s, which has no such heading", manuals[i], link);
}

static void test_readme__every_link_leads_somewhere(void **state)
{
    const struct readme *r = *state;
    size_t n = 0;

    for (size_t i = 0; i < N_MANUALS; i++)
        for (const char *at = r->texts[i]; (at = strstr(at, "](")) != NULL; at += 2) {
            const char *link = arena_strn(r->arena, at + 2, strcspn(at + 2, ")\n"));

            if (strncmp(link, "http", 4) == 0)
                continue;
            follow(r, i, link);
            n++;
        }
    assert_true(n > 5);
}

/* What no test reads says soon what is not so, and what README.md does not lead to nobody reads. */
static void test_readme__every_manual_is_read_and_linked(void **state)
{
    const struct readme *r = *state;
    DIR *dir = opendir("docs");
    size_t n = 1; /* README.md itself */

    assert_non_null(dir);
    for (const struct dirent *d; (d = readdir(dir)) != NULL;) {
        const char *path = arena_fmt(r->arena, "docs/%s", d->d_name);

        if (d->d_name[0] == '.')
            continue;
        n++;
        if (!manual_at(r->arena, "README.md", path))
            fail_msg("nobody reads %s", path);
        if (!strstr(r->texts[0], arena_fmt(r->arena, "](%s)", path)))
            fail_msg("README.md does not lead to %s", path);
    }
    (void)closedir(dir);
    assert_int_equal(n, N_MANUALS);
}

/* Does the tour name a path: itself, its folder, or its group ("verify_*")? */
static bool tours(const struct readme *r, const char *tour, const char *name)
{
    const char *word;

    while ((word = next_word(r->arena, &tour)) != NULL) {
        size_t len = strlen(word);

        if (strcmp(word, name) == 0 ||
            (len > 1 && word[len - 1] == '*' && strncmp(word, name, len - 1) == 0))
            return true;
    }
    return false;
}

static void test_readme__the_tour_comes_by_every_room_and_no_other(void **state)
{
    const struct readme *r = *state;
    const char *tour = after(r, "## The rooms", "\n**Adding to it**"), *rest = tour, *word;
    char root[PATH_MAX], *list, *save = NULL;
    struct scene s;

    scene_open(&s, r->arena);
    assert_non_null(realpath(".", root));
    list = arena_str(r->arena, run(&s, arena_fmt(r->arena,
                                                 "cd '%s/server' && ls *.c && cd ../tests &&"
                                                 " for dir in */; do echo tests/$dir; done",
                                                 root)));
    assert_non_null(list);
    for (char *name = strtok_r(list, "\n", &save); name; name = strtok_r(NULL, "\n", &save))
        if (!tours(r, tour, name))
            fail_msg("README.md's tour of the rooms does not come by %s", name);
    while ((word = next_word(r->arena, &rest)) != NULL) {
        size_t len = strlen(word);
        bool file =
            len > 2 && word[len - 2] == '.' && (word[len - 1] == 'c' || word[len - 1] == 'h');

        if (file && access(arena_fmt(r->arena, "server/%s", word), F_OK) != 0 &&
            strcmp(word, "NAME.c") != 0 && strcmp(word, "NAME.h") != 0)
            fail_msg("README.md's tour names %s, which is not there", word);
        if (len > 1 && word[len - 1] == '/' && access(word, F_OK) != 0)
            fail_msg("README.md's tour names %s, which is not there", word);
    }
    scene_close(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_readme__##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_block_says_how_it_is_tested),
        TEST(what_needs_the_outside_is_a_shells),
        TEST(parts_of_a_configuration_are_good),
        TEST(senders_are_connected_as_it_says),
        TEST(the_way_to_a_tenant_leads_there),
        TEST(the_table_of_commands_is_the_programs),
        TEST(the_table_of_verifiers_is_the_programs),
        TEST(every_setting_is_named),
        TEST(every_link_leads_somewhere),
        TEST(every_manual_is_read_and_linked),
        TEST(the_tour_comes_by_every_room_and_no_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
