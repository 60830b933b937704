/* test_settings.c - one table reads, checks, defaults and explains. */
#include "settings.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "auto.h"
#include "buf.h"
#include "kit/torture.h"

enum { RED, GREEN, BLUE };
static const char *const colours[] = {"red", "green", "blue", NULL};

struct sample {
    const char *text, *url, *listen, *path, *address, *guid;
    int colour;
    bool flag;
    int64_t number, wait, size;
    struct secret password;
    struct secret_list keys;
    struct text_list texts, addresses;
    struct cidr_list nets;
    const struct yaml_node *node;
};

#define ROW(k, t, field, ...) SETTING(k, t, sample, field, __VA_ARGS__)

static const struct setting table[] = {
    ROW("text", SET_TEXT, text, .fallback = "none", .meaning = "a text"),
    ROW("url", SET_URL, url),
    ROW("listen", SET_LISTEN, listen, .fallback = "127.0.0.1:8080"),
    ROW("path", SET_PATH, path),
    ROW("address", SET_ADDRESS, address),
    ROW("guid", SET_GUID, guid),
    ROW("colour", SET_WORD, colour, .fallback = "green", .words = colours),
    ROW("flag", SET_BOOL, flag, .fallback = "true"),
    ROW("number", SET_INT, number, .fallback = "7", .least = -5, .most = 100),
    ROW("wait", SET_DURATION, wait, .fallback = "5m", .least = 30000, .most = 900000),
    ROW("size", SET_SIZE, size, .fallback = "1MiB", .least = 1024, .most = 64 * 1024 * 1024),
    ROW("password", SET_SECRET, password),
    ROW("key", SET_SECRET_LIST, keys),
    ROW("texts", SET_TEXT_LIST, texts, .fallback = "one"),
    ROW("addresses", SET_ADDRESS_LIST, addresses),
    ROW("nets", SET_CIDR_LIST, nets),
    ROW("node", SET_NODE, node),
    {.key = NULL},
};

struct fixture {
    struct arena *arena;
    struct yaml_faults faults, notes;
    struct settings_reader reader;
    char folder[64], file[96];
};

static const char *fake_env(const char *name)
{
    return strcmp(name, "HOST") == 0                    ? "cordon.example"
           : strcmp(name, "NUMBER") == 0                ? "42"
           : strcmp(name, "EMPTY") == 0                 ? ""
           : strcmp(name, "LATIN") == 0                 ? "St\xf6rung"
           : strcmp(name, "CREDENTIALS_DIRECTORY") == 0 ? getenv("TEST_SETTINGS_FOLDER")
                                                        : NULL;
}

static void put_file(const struct fixture *f, const char *name, const char *bytes, size_t len,
                     mode_t mode)
{
    char path[200];
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", f->folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");
    char path[200];

    if (!f)
        return -1;
    (void)snprintf(f->folder, sizeof f->folder, "%s/settings-XXXXXX",
                   tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(f->folder))
        return -1;
    (void)snprintf(f->file, sizeof f->file, "%s/cordon.yaml", f->folder);
    (void)setenv("TEST_SETTINGS_FOLDER", f->folder, 1);
    put_file(f, "one", "first secret\n", 13, 0600);
    put_file(f, "two", "second\r\n", 8, 0600);
    put_file(f, "bare", "no newline", 10, 0600);
    put_file(f, "empty", "\n", 1, 0600);
    put_file(f, "zero", "a\0b", 3, 0600);
    put_file(f, "open", "x\n\n", 3, 0644);
    (void)snprintf(path, sizeof path, "%s/sub", f->folder);
    if (mkdir(path, 0700) < 0)
        return -1;
    (void)snprintf(path, sizeof path, "%s/pipe", f->folder);
    if (mkfifo(path, 0600) < 0)
        return -1;
    f->arena = arena_new(0);
    yaml_faults_init(&f->faults, f->arena);
    yaml_faults_init(&f->notes, f->arena);
    f->reader = (struct settings_reader){
        .arena = f->arena, .faults = &f->faults, .env = fake_env, .notes = &f->notes};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"one",  "two",  "bare", "empty",
                                        "zero", "open", "big",  "pipe"};
    struct fixture *f = *state;
    char path[200];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", f->folder, names[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/sub", f->folder);
    (void)rmdir(path);
    (void)rmdir(f->folder);
    arena_free(f->arena);
    free(f);
    return 0;
}

/* Reads text as the map "s"; faults go to f->faults. */
static struct sample read_sample(struct fixture *f, const char *text)
{
    struct yaml_node *root = NULL;
    struct sample s = {0};
    struct err e = {0};

    if (yaml_read(f->arena, f->file, text, strlen(text), &root, &e))
        fail_msg("%s", e.text);
    settings_read(&f->reader, root, "s", table, &s);
    return s;
}

/* "line:column: text" of each, without the file's name and folder. */
static void list_faults(const struct fixture *f, struct yaml_faults *faults, struct buf *out)
{
    yaml_faults_sort(faults);
    for (const struct yaml_fault *x = faults->first; x; x = x->next) {
        const char *p = x->text, *folder;

        buf_addf(out, "%u:%u: ", x->line, x->column);
        while ((folder = strstr(p, f->folder))) {
            buf_add(out, p, (size_t)(folder - p));
            buf_adds(out, "DIR");
            p = folder + strlen(f->folder);
        }
        buf_adds(out, p);
        buf_addc(out, '\n');
    }
}

static void assert_no_faults(struct fixture *f)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(65536);

    list_faults(f, &f->faults, &out);
    assert_string_equal(buf_text(&out), "");
}

static void test_settings__an_absent_map_gives_the_defaults(void **state)
{
    struct fixture *f = *state;
    struct sample s = {0};

    settings_read(&f->reader, NULL, "s", table, &s);
    assert_no_faults(f);
    assert_string_equal(s.text, "none");
    assert_string_equal(s.listen, "127.0.0.1:8080");
    assert_int_equal(s.colour, GREEN);
    assert_true(s.flag);
    assert_int_equal(s.number, 7);
    assert_int_equal(s.wait, 300000);
    assert_int_equal(s.size, 1048576);
    assert_int_equal(s.texts.count, 1);
    assert_string_equal(s.texts.items[0], "one");
    assert_null(s.url);
    assert_null(s.password.text);
    assert_int_equal(s.keys.count, 0);
}

static void test_settings__reads_every_kind_of_value(void **state)
{
    static const unsigned char ten[16] = {[10] = 0xff, [11] = 0xff, [12] = 10};
    struct fixture *f = *state;
    struct sample s = read_sample(f, "text: \"a b\"\n"
                                     "url: https://eu.api.example:8443/base/\n"
                                     "listen: \"[::1]:0\"\n"
                                     "path: sub/../one\n"
                                     "address: soc@contoso.example\n"
                                     "guid: 0A4A1F60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                                     "colour: blue\n"
                                     "flag: false\n"
                                     "number: -5\n"
                                     "wait: 15m\n"
                                     "size: 64MiB\n"
                                     "password_file: one\n"
                                     "key_files: [bare, two]\n"
                                     "texts: [a, 'b']\n"
                                     "addresses: soc@contoso.example\n"
                                     "nets: [10.0.0.0/8, '2001:db8::/32', 192.0.2.1]\n"
                                     "node: {any: [thing]}\n");

    assert_no_faults(f);
    assert_string_equal(s.text, "a b");
    assert_string_equal(s.url, "https://eu.api.example:8443/base");
    assert_string_equal(s.listen, "[::1]:0");
    assert_string_equal(s.path + strlen(f->folder), "/sub/../one");
    assert_string_equal(s.address, "soc@contoso.example");
    assert_string_equal(s.guid, "0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50");
    assert_int_equal(s.colour, BLUE);
    assert_false(s.flag);
    assert_int_equal(s.number, -5);
    assert_int_equal(s.wait, 900000);
    assert_int_equal(s.size, 64 * 1024 * 1024);
    assert_string_equal(s.password.text, "first secret");
    assert_int_equal(s.password.len, 12);
    assert_string_equal(s.password.file + strlen(f->folder), "/one");
    assert_int_equal(s.keys.count, 2);
    assert_string_equal(s.keys.items[0].text, "no newline");
    assert_string_equal(s.keys.items[1].text, "second");
    assert_int_equal(s.texts.count, 2);
    assert_string_equal(s.texts.items[1], "b");
    assert_int_equal(s.addresses.count, 1);
    assert_int_equal(s.nets.count, 3);
    assert_memory_equal(s.nets.items[0].address, ten, 16);
    assert_int_equal(s.nets.items[0].bits, 104);
    assert_int_equal(s.nets.items[1].bits, 32);
    assert_int_equal(s.nets.items[2].bits, 128);
    assert_int_equal(s.node->kind, YAML_MAP);
}

static void test_settings__faults_say_what_was_expected(void **state)
{
#define LOOKS_LIKE_ONE                                                                             \
    "expected the name of a file; this looks like the secret itself, which does not stand here: "  \
    "write it into a file of its own (chmod 600) and name that\n"
    static const struct {
        const char *text, *faults;
    } rows[] = {
        /* keys */
        {"txet: x", "1:1: s.txet: unknown key; did you mean s.text?\n"},
        {"Colour: red", "1:1: s.Colour: unknown key; did you mean s.colour?\n"},
        {"password: hunter2",
         "1:1: s.password: secrets do not stand in this file; put it into a file of its own and name that "
         "with s.password_file\n"},
        {"key_file: one", "1:1: s.key_file: unknown key; did you mean s.key_files?\n"},
        {"entirely_else: 1",
         "1:1: s.entirely_else: unknown key; expected one of text, url, listen, path, address, guid, colour, "
         "flag, number, wait, size, password_file, key_files, texts, addresses, nets, node\n"},
        {"[a]", "1:1: s: expected a map of settings, found a list\n"},
        {"just text", "1:1: s: expected a map of settings, found text\n"},
        /* types */
        {"text: [a]", "1:7: s.text: expected text, found a list\n"},
        {"text:", "1:1: s.text is empty; expected text, or the key left out\n"},
        {"text: ~", "1:7: s.text is empty; expected text, or the key left out\n"},
        {"node:", "1:1: s.node is empty\n"},
        {"texts: []",
         "1:8: s.texts is an empty list; expected a list of texts, or the key left out\n"},
        {"addresses: []",
         "1:12: s.addresses is an empty list; expected a list of mail addresses, or the key left out\n"},
        /* what would be waited for, or never ends */
        {"password_file: pipe",
         "1:16: s.password_file: cannot read DIR/pipe: it is no regular file\n"},
        {"key_files: [pipe]", "1:13: s.key_files: cannot read DIR/pipe: it is no regular file\n"},
        {"path: pipe", "1:7: s.path: cannot read DIR/pipe: it is no regular file\n"},
        {"path: /dev/zero", "1:7: s.path: cannot read /dev/zero: it is no regular file\n"},
        {"flag: yes", "1:7: s.flag: expected true or false, found 'yes'\n"},
        {"flag: 'true'", "1:7: s.flag: expected true or false, found text in quotes\n"},
        {"flag: True", "1:7: s.flag: expected true or false, found 'True'\n"},
        {"colour: gren",
         "1:9: s.colour: expected one of red, green, blue, found 'gren'; did you mean green?\n"},
        {"colour: mauve", "1:9: s.colour: expected one of red, green, blue, found 'mauve'\n"},
        {"number: ten", "1:9: s.number: expected a whole number, found 'ten'\n"},
        {"number: 1.5", "1:9: s.number: expected a whole number, found '1.5'\n"},
        {"number: '5'", "1:9: s.number: expected a whole number, found text in quotes\n"},
        {"number: 99999999999999999999",
         "1:9: s.number: expected a whole number, found '99999999999999999999'\n"},
        {"number: 101", "1:9: s.number: 101 is too much; expected at most 100\n"},
        {"number: -6", "1:9: s.number: -6 is too little; expected at least -5\n"},
        {"wait: 5", "1:7: s.wait: expected a time such as 30s, 5m, 4h or 3d, found '5'\n"},
        {"wait: 5 minutes",
         "1:7: s.wait: expected a time such as 30s, 5m, 4h or 3d, found '5 minutes'\n"},
        {"wait: -5m", "1:7: s.wait: expected a time such as 30s, 5m, 4h or 3d, found '-5m'\n"},
        {"wait: 0", "1:7: s.wait: 0 is too little; expected at least 30s\n"},
        {"wait: 60000ms", ""},
        {"wait: 1200s", "1:7: s.wait: 1200s is too much; expected at most 15m\n"},
        {"size: 0", "1:7: s.size: 0 is too little; expected at least 1KiB\n"},
        {"wait: 1s", "1:7: s.wait: 1s is too little; expected at least 30s\n"},
        {"wait: 1h", "1:7: s.wait: 1h is too much; expected at most 15m\n"},
        {"size: 1MB", "1:7: s.size: expected a size such as 256KiB or 1MiB, found '1MB'\n"},
        {"size: 1GiB", "1:7: s.size: 1GiB is too much; expected at most 64MiB\n"},
        {"size: 5", "1:7: s.size: 5 is too little; expected at least 1KiB\n"},
        {"guid: 0a4a1f60",
         "1:7: s.guid: expected a GUID such as 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50, found '0a4a1f60'\n"},
        {"guid: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f5g",
         "1:7: s.guid: expected a GUID such as 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50, found "
         "'0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f5g'\n"},
        {"guid: a8Q~Cordon.Cordon_Cordon-Cordon~Cordon12",
         "1:7: s.guid: expected a GUID such as 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50, found what looks like a secret "
         "and is not repeated\n"},
        {"guid: 0a4a1f6098ab4f0a9d5e0b1c2d3e4f50", /* not repeated: a key in hexadecimal looks the same */
         "1:7: s.guid: expected a GUID such as 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50, found 32 hexadecimal digits "
         "without hyphens\n"},
        {"address: soc", "1:10: s.address: \"soc\" is not a mail address: no @\n"},
        {"addresses: [a@b.example, 'x y']",
         "1:26: s.addresses: \"x y\" is not a mail address: no @\n"},
        {"texts: {a: b}", "1:8: s.texts: expected a list of texts, found a map\n"},
        {"texts: [a, [b], '']",
         "1:12: s.texts: expected text, found a list\n1:17: s.texts: an empty text\n"},
        {"nets: [10.0.0.1/8, 300.0.0.0/8, 10.0.0.0/33, '::1/-1']",
         "1:8: s.nets: '10.0.0.1/8' has bits set behind its prefix of 8\n"
         "1:20: s.nets: '300.0.0.0/8' is not a network such as 10.0.0.0/8 or 2001:db8::/32\n"
         "1:33: s.nets: '10.0.0.0/33' is not a network such as 10.0.0.0/8 or 2001:db8::/32\n"
         "1:46: s.nets: '::1/-1' is not a network such as 10.0.0.0/8 or 2001:db8::/32\n"},
        /* URLs and addresses */
        {"url: ftp://x.example",
         "1:6: s.url: expected a URL such as https://host.example, found 'ftp://x.example'\n"},
        {"url: https://",
         "1:6: s.url: expected a URL such as https://host.example, found 'https://'\n"},
        {"url: https://a b",
         "1:6: s.url: expected a URL such as https://host.example, found 'https://a b'\n"},
        {"url: \"https://x\\r\\n\"",
         "1:6: s.url: expected a URL such as https://host.example, found 'https://x?"
         "?'\n"},
        {"url: https://h.example?q=1",
         "1:6: s.url: expected a URL such as https://host.example, found 'https://h.example?q=1'\n"},
        {"url: https://h.example:port",
         "1:6: s.url: expected a URL such as https://host.example, found 'https://h.example:port'\n"},
        {"url: https://user:hunter2@h.example",
         "1:6: s.url: a URL here has no user name or password\n"},
        {"url: http://h.example",
         "1:6: s.url: expected https:// (plain http is for this machine alone), found 'http://h.example'\n"},
        {"url: http://127.0.0.1.example",
         "1:6: s.url: expected https:// (plain http is for this machine alone), found 'http://127.0.0.1.example'\n"},
        {"listen: 8080",
         "1:9: s.listen: expected an address such as 127.0.0.1:8080, [::]:8443 or unix:/path, found '8080'\n"},
        {"listen: localhost:80",
         "1:9: s.listen: expected an address such as 127.0.0.1:8080, [::]:8443 or unix:/path, found 'localhost:80'\n"},
        {"listen: 127.0.0.1:65536",
         "1:9: s.listen: expected an address such as 127.0.0.1:8080, [::]:8443 or unix:/path, found '127.0.0.1:65536'\n"},
        {"listen: ::1:80",
         "1:9: s.listen: expected an address such as 127.0.0.1:8080, [::]:8443 or unix:/path, found '::1:80'\n"},
        {"listen: unix:x",
         "1:9: s.listen: expected an address such as 127.0.0.1:8080, [::]:8443 or unix:/path, found 'unix:x'\n"},
        /* files */
        {"path: nowhere", "1:7: s.path: cannot read DIR/nowhere: there is no such file\n"},
        {"path: sub", "1:7: s.path: cannot read DIR/sub: it is a folder\n"},
        {"path: one/two",
         "1:7: s.path: cannot read DIR/one/two: a part of its path is no folder\n"},
        {"path: ''", "1:7: s.path is empty\n"},
        {"password_file: nowhere",
         "1:16: s.password_file: cannot read DIR/nowhere: there is no such file; write the secret into it (chmod 600)\n"},
        {"password_file: empty", "1:16: s.password_file: DIR/empty is empty\n"},
        {"password_file: zero", "1:16: s.password_file: DIR/zero holds a zero byte\n"},
        {"password_file: [one]", "1:16: s.password_file: expected a file, found a list\n"},
        {"key_files: [one, nowhere, empty]",
         "1:18: s.key_files: cannot read DIR/nowhere: there is no such file; write the secret into it (chmod 600)\n"
         "1:27: s.key_files: DIR/empty is empty\n"},
        /* what a variable holds where a secret's file is to be named is perhaps the secret */
        {"password_file: ${HOST}",
         "1:16: s.password_file: cannot read the file that ${HOST} names: there is no such file; if the variable "
         "holds the secret itself, write that into a file of its own (chmod 600) and let it name that\n"},
        {"key_files: [{file: '${HOST:-x}'}]",
         "1:20: s.key_files: cannot read the file that ${HOST} names: there is no such file; if the variable "
         "holds the secret itself, write that into a file of its own (chmod 600) and let it name that\n"},
        {"password_file: no/${HOST}",
         "1:16: s.password_file: cannot read DIR/no/cordon.example: there is no such file; write the secret into it "
         "(chmod 600)\n"},
        {"path: ${HOST}", "1:7: s.path: cannot read DIR/cordon.example: there is no such file\n"},
        /* what stands there itself perhaps is, too */
        {"password_file: whsec_bm9uZQ==", "1:16: s.password_file: " LOOKS_LIKE_ONE},
        {"password_file: a8Q~Cordon.Cordon_Cordon-Cordon~Cordon12",
         "1:16: s.password_file: " LOOKS_LIKE_ONE},
        {"key_files: [8f742231b10e8888abcd99yyyzzz85a5]", "1:13: s.key_files: " LOOKS_LIKE_ONE},
        {"password_file: 5D41402ABC4B2A76B9719D911017C592AE1B0C7F",
         "1:16: s.password_file: " LOOKS_LIKE_ONE},
        {"password_file: https://chat.example/hooks/sesame",
         "1:16: s.password_file: " LOOKS_LIKE_ONE},
        {"password_file: file:///run/secrets/password",
         "1:16: s.password_file: expected the name of a file as it is, without file:// before it\n"},
        {"path: file:///etc/ca.pem",
         "1:7: s.path: expected the name of a file as it is, without file:// before it\n"},
        {"password_file: shpss_2b9e71", "1:16: s.password_file: " LOOKS_LIKE_ONE},
        {"key_files: [{file: 'q3/hZ7wPq0v/9xkT2mB5s8uYc1dE4fGjLnRoVaXiW6I='}]",
         "1:20: s.key_files: " LOOKS_LIKE_ONE},
        {"password_file: /q3hZ7wPq0v/9xkT2mB5s8uYc1dE4fGjLnRoVaXiW6I=",
         "1:16: s.password_file: " LOOKS_LIKE_ONE},
        {"password_file: q3hZ7wPq0v/9xkT2mB5+8uYc1dE4fGjLnRoVaXiW6Iqq",
         "1:16: s.password_file: " LOOKS_LIKE_ONE},
        {"password_file: '-----BEGIN PRIVATE KEY----- MIIE/vQ -----END PRIVATE KEY-----'",
         "1:16: s.password_file: " LOOKS_LIKE_ONE},
        {"password_file: \"sesame\\nsesame\"", "1:16: s.password_file: " LOOKS_LIKE_ONE},
        {"password_file: No/Such/Folder/Of/Contoso/Cordon2026",
         "1:16: s.password_file: cannot read DIR/No/Such/Folder/Of/Contoso/Cordon2026: there is no such file; write "
         "the secret into it (chmod 600)\n"},
        {"password_file: secret-of-contoso-for-cordon-2026.txt",
         "1:16: s.password_file: cannot read DIR/secret-of-contoso-for-cordon-2026.txt: there is no such file; write "
         "the secret into it (chmod 600)\n"},
        /* the environment */
        {"text: ${NOT_SET}",
         "1:7: the environment has no NOT_SET; set it, or give a default: ${NOT_SET:-default}\n"},
        {"text: a ${LATIN} b",
         "1:7: the environment's LATIN is no text: it holds bytes that are not UTF-8\n"},
        {"text: ${LATIN:-x}",
         "1:7: the environment's LATIN is no text: it holds bytes that are not UTF-8\n"},
        {"text: ${NOT_SET:-${HOST}}",
         "1:7: '${NOT_SET:-…}': a default ends at the first }, so it holds no { and no other variable\n"},
        {"text: '${HOST:-{{alert.title}}}'",
         "1:7: '${HOST:-…}': a default ends at the first }, so it holds no { and no other variable\n"},
        {"text: ${HOST", "1:7: ${ without its }; write $${ for a plain ${\n"},
        {"text: ${}", "1:7: expected ${NAME} or ${NAME:-default}, found '${}'\n"},
        {"text: ${A-b}", "1:7: expected ${NAME} or ${NAME:-default}, found '${A-…}'\n"},
        {"password_file: ${SECRET-a8Q~Cordon.Cordon_Cordon-Cordon~Cordon12}",
         "1:16: expected ${NAME} or ${NAME:-default}, found '${SECRET-…}'\n"},
        {"password_file: '${a8Q~Cordon.Cordon_Cordon-Cordon~Cordon12}'",
         "1:16: expected ${NAME} or ${NAME:-default}, found '${a8Q…}'\n"},
        {"number: ${HOST}", "1:9: s.number: expected a whole number, found 'cordon.example'\n"},
        /* all at once */
        {"flag: yes\nnumber: ten\ncolour: x\n",
         "1:7: s.flag: expected true or false, found 'yes'\n2:9: s.number: expected a whole number, found 'ten'\n"
         "3:9: s.colour: expected one of red, green, blue, found 'x'\n"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture *f = *state;
        AUTO(buf_clear) struct buf out = BUF_INIT(65536);

        yaml_faults_init(&f->faults, f->arena);
        (void)read_sample(f, rows[i].text);
        list_faults(f, &f->faults, &out);
        if (strcmp(buf_text(&out), rows[i].faults) != 0)
            fail_msg("%s\ngives\n%snot\n%s", rows[i].text, buf_text(&out), rows[i].faults);
    }
}

static void test_settings__a_fault_leaves_the_default(void **state)
{
    struct fixture *f = *state;
    struct sample s = read_sample(f, "number: ten\nwait: 1s\ntext: [x]\n");

    assert_int_equal(f->faults.count, 3);
    assert_int_equal(s.number, 7);
    assert_int_equal(s.wait, 300000);
    assert_string_equal(s.text, "none");
}

static void test_settings__a_required_key_points_at_its_map(void **state)
{
    static const struct setting needed[] = {
        {.key = "id", .type = SET_TEXT, .meaning = "who it is", .required = true}, {.key = NULL}};
    static const char text[] = "\n  outer:\n    other: 1\n";
    struct fixture *f = *state;
    AUTO(buf_clear) struct buf out = BUF_INIT(4096);
    struct yaml_node *root;
    const char *id = NULL;

    assert_int_equal(yaml_read(f->arena, f->file, text, strlen(text), &root, NULL), ERR_OK);
    settings_read(&f->reader, yaml_get(root, "outer"), "a.outer", needed, &id);
    list_faults(f, &f->faults, &out);
    assert_string_equal(buf_text(&out), "2:3: a.outer.id is missing: who it is\n"
                                        "3:5: a.outer.other: unknown key; expected one of id\n");
    assert_null(id);
}

static void test_settings__the_environment_fills_in(void **state)
{
    static const struct {
        const char *text, *value;
    } rows[] = {
        {"text: ${HOST}", "cordon.example"},
        {"text: https://${HOST}/x", "https://cordon.example/x"},
        {"text: \"${NOT_SET:-fall back}\"", "fall back"},
        {"text: ${EMPTY:-used}", "used"},
        {"text: ${EMPTY}", ""},
        {"text: ${NOT_SET:-}", ""},
        {"text: '$${HOST} costs $5'", "${HOST} costs $5"},
        {"text: ${HOST}${HOST}", "cordon.examplecordon.example"},
        {"text: $HOST", "$HOST"},
    };
    struct fixture *f = *state;
    struct sample s;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        s = read_sample(f, rows[i].text);
        assert_no_faults(f);
        assert_string_equal(s.text, rows[i].value);
    }
    /* in quotes, where JSON-like maps need them, a number is still a number */
    s = read_sample(f, "{number: \"${NUMBER}\", flag: \"${NOT_SET:-false}\"}");
    assert_no_faults(f);
    assert_int_equal(s.number, 42);
    assert_false(s.flag);
}

static void test_settings__credentials_of_systemd_are_found(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_clear) struct buf out = BUF_INIT(4096);
    struct sample s = read_sample(f, "password_file: $CREDENTIALS_DIRECTORY/two\n");

    assert_no_faults(f);
    assert_string_equal(s.password.text, "second");
    (void)unsetenv("TEST_SETTINGS_FOLDER");
    (void)read_sample(f, "password_file: $CREDENTIALS_DIRECTORY/two\n");
    list_faults(f, &f->faults, &out);
    assert_string_equal(
        buf_text(&out),
        "1:16: s.password_file: the environment has no CREDENTIALS_DIRECTORY; systemd sets it "
        "for a unit with LoadCredential=\n");
}

static void test_settings__a_secret_others_can_read_is_a_note(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_clear) struct buf out = BUF_INIT(4096);
    struct sample s = read_sample(f, "password_file: open\n");

    assert_no_faults(f);
    assert_string_equal(s.password.text, "x\n"); /* one newline goes, not two */
    list_faults(f, &f->notes, &out);
    assert_string_equal(
        buf_text(&out),
        "1:16: s.password_file: DIR/open ends with a blank or an empty line, which is "
        "taken for a part of the secret\n"
        "1:16: s.password_file: everybody on this machine can read DIR/open; "
        "chmod 600 would keep it secret\n");
}

/* Editors and shells of other systems leave them, nobody sees them, and the far end says that the secret is wrong. */
static void test_settings__what_nobody_sees_of_a_secret_is_a_note(void **state)
{
    static const struct {
        const char *text, *note;
    } rows[] = {
        {"secret\n", NULL},
        {"secret\r\n", NULL},
        {"se cret", NULL},
        {"secret \n", "ends with a blank or an empty line"},
        {"secret\t", "ends with a blank or an empty line"},
        {"secret\n\n", "ends with a blank or an empty line"},
        {"secret\r\n\r\n", "ends with a blank or an empty line"},
        {" secret\n", "begins with a blank or an empty line"},
        {"secret\nsecret\n", "holds a line break"}, /* an old one and a new one */
        {"secret\rsecret", "holds a line break"},
        {"\xef\xbb\xbfsecret\n", "begins with a byte order mark"},
        {"\n-----BEGIN PRIVATE KEY-----\nMII=\n-----END PRIVATE KEY-----\n\n", NULL},
    };
    struct fixture *f = *state;
    size_t noted = 0;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_clear) struct buf out = BUF_INIT(4096);

        put_file(f, "big", rows[i].text, strlen(rows[i].text), 0600);
        (void)read_sample(f, "password_file: big\n");
        assert_no_faults(f);
        list_faults(f, &f->notes, &out);
        assert_int_equal(f->notes.count, noted + (rows[i].note ? 1 : 0));
        assert_true(!rows[i].note || strstr(buf_text(&out), rows[i].note));
        noted = f->notes.count;
    }
}

static void test_settings__a_secret_has_a_size_limit(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_clear) struct buf out = BUF_INIT(4096), big = BUF_INIT(100000);
    struct sample s;

    for (int i = 0; i < 64 * 1024; i++)
        buf_addc(&big, 'x');
    put_file(f, "big", big.data, big.len, 0600);
    s = read_sample(f, "password_file: big\n");
    assert_no_faults(f);
    assert_int_equal(s.password.len, 64 * 1024);
    buf_addc(&big, 'x');
    put_file(f, "big", big.data, big.len, 0600);
    (void)read_sample(f, "password_file: big\n");
    list_faults(f, &f->faults, &out);
    assert_string_equal(
        buf_text(&out),
        "1:16: s.password_file: DIR/big is larger than 64 KiB, too large for a secret\n");
}

static void test_settings__a_wiped_secret_is_gone(void **state)
{
    struct fixture *f = *state;
    struct sample s = read_sample(f, "password_file: one\n");
    const char *text = s.password.text;

    secret_wipe(&s.password);
    assert_null(s.password.text);
    for (size_t i = 0; i < 12; i++)
        assert_int_equal(text[i], 0);
    secret_wipe(&s.password); /* twice is fine */
}

static void test_settings__durations_and_sizes_have_units(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } times[] = {
        {"250ms", 250}, {"30s", 30000}, {"5m", 300000}, {"4h", 14400000}, {"3d", 259200000},
        {"0", 0},       {"0s", 0},      {"", -1},       {"5", -1},        {"1h30m", -1},
        {"5 m", -1},    {"+5m", -1},    {"m", -1},      {"5M", -1},       {"106751991168d", -1}};
    static const struct {
        const char *text;
        int64_t bytes;
    } sizes[] = {{"512", 512},          {"256KiB", 262144}, {"1MiB", 1048576}, {"2GiB", 2147483648},
                 {"9999999999GiB", -1}, {"1kb", -1},        {"", -1},          {"KiB", -1}};

    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        int64_t ms = -1;

        assert_int_equal(settings_duration(times[i].text, &ms, NULL),
                         times[i].ms < 0 ? ERR_INVALID : ERR_OK);
        assert_int_equal(ms, times[i].ms);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int64_t bytes = -1;

        assert_int_equal(settings_size(sizes[i].text, &bytes, NULL),
                         sizes[i].bytes < 0 ? ERR_INVALID : ERR_OK);
        assert_int_equal(bytes, sizes[i].bytes);
    }
}

static void test_settings__times_are_moments(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: no time */
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-03-01T00:00:00Z", INT64_C(1772323200000)},
        {"2026-03-01T01:00:00+01:00", INT64_C(1772323200000)},
        {"2026-02-28T18:30:00.5-05:30", INT64_C(1772323200500)},
        {"2026-03-01T00:00:00.123456789+00:00", INT64_C(1772323200123)},
        {"", -1},
        {"2026-03-01", -1},
        {"2026-03-01T00:00:00", -1},
        {"2026-03-01 00:00:00Z", -1},
        {"2026-03-01T00:00:00+0100", -1},
        {"2026-03-01T00:00:00+24:00", -1},
        {"2026-03-01T00:00:00+01:60", -1},
        {"2026-03-01T00:00:00Z+01:00", -1},
        {"2026-02-29T00:00:00Z", -1},
        {"+01:00", -1},
        {"2026-03-01T00:00:00.00000000000000000000Z", -1},
        {"2026-03-01T00:00:00.00000000000000000000+01:00", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t ms = -1;

        if (settings_time(rows[i].text, &ms, NULL) != (rows[i].ms < 0 ? ERR_INVALID : ERR_OK) ||
            ms != rows[i].ms)
            fail_msg("%s: %lld", rows[i].text, (long long)ms);
    }
}

static void test_settings__networks_hold_their_addresses(void **state)
{
    static const struct {
        const char *net, *address;
        bool held;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"2001:db8::/33", "2001:db8::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "203.0.113.9", true},
        {"203.0.113.128/25", "203.0.113.129", true},
        {"203.0.113.128/25", "203.0.113.1", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cidr net, address;

        assert_int_equal(settings_cidr(rows[i].net, &net, NULL), ERR_OK);
        assert_int_equal(settings_cidr(rows[i].address, &address, NULL), ERR_OK);
        assert_int_equal(cidr_contains(&net, address.address), rows[i].held);
    }
}

static void test_settings__knows_which_addresses_are_local(void **state)
{
    (void)state;
    assert_true(settings_listen_is_local("127.0.0.1:80"));
    assert_true(settings_listen_is_local("127.9.9.9:80"));
    assert_true(settings_listen_is_local("[::1]:80"));
    assert_true(settings_listen_is_local("unix:/run/cordon.sock"));
    assert_false(settings_listen_is_local("0.0.0.0:80"));
    assert_false(settings_listen_is_local("[::]:80"));
    assert_false(settings_listen_is_local("10.0.0.1:80"));
}

static void test_settings__memory_that_runs_out_is_a_fault(void **state)
{
    static const char text[] =
        "{text: '${HOST}', url: 'https://x.example/', path: one, guid: 0A4A1F60-98ab-4f0a-9d5e-0b1c2d3e4f50, colour: "
        "blue, number: '${NUMBER}', password_file: one, key_files: [one, two], texts: [a, b], addresses: a@b.example, "
        "nets: [10.0.0.0/8]}";
    struct fixture *f = *state;
    struct yaml_node *root;

    assert_int_equal(yaml_read(f->arena, f->file, text, strlen(text), &root, NULL), ERR_OK);
    for (long n = 1;; n++) {
        AUTO(arena_freep)
        struct arena *arena = arena_new(64); /* every few values need a new chunk */
        struct settings_reader reader = {.arena = arena, .env = fake_env};
        struct yaml_faults faults;
        struct sample s = {0};
        bool failed;

        assert_non_null(arena);
        yaml_faults_init(&faults, f->arena);
        reader.faults = &faults;
        torture_arm(n);
        settings_read(&reader, root, "s", table, &s);
        failed = torture_disarm();
        if (faults.count == 0) { /* nothing was lost but words for messages */
            assert_string_equal(s.text, "cordon.example");
            assert_string_equal(s.url, "https://x.example");
            assert_int_equal(s.number, 42);
            assert_string_equal(s.password.text, "first secret");
            assert_int_equal(s.keys.count, 2);
            assert_int_equal(s.texts.count, 2);
            assert_int_equal(s.nets.count, 1);
        }
        if (!failed) {
            assert_int_equal(faults.count, 0);
            break;
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_settings__##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_absent_map_gives_the_defaults),
        TEST(reads_every_kind_of_value),
        TEST(faults_say_what_was_expected),
        TEST(a_fault_leaves_the_default),
        TEST(a_required_key_points_at_its_map),
        TEST(the_environment_fills_in),
        TEST(credentials_of_systemd_are_found),
        TEST(a_secret_others_can_read_is_a_note),
        TEST(what_nobody_sees_of_a_secret_is_a_note),
        TEST(times_are_moments),
        TEST(a_secret_has_a_size_limit),
        TEST(a_wiped_secret_is_gone),
        TEST(durations_and_sizes_have_units),
        TEST(networks_hold_their_addresses),
        TEST(knows_which_addresses_are_local),
        TEST(memory_that_runs_out_is_a_fault),
    };

    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
