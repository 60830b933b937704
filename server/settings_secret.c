/* settings_secret.c - files, and the secrets that are read out of them, as settings. See settings_own.h. */
#include "settings_own.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

#define SECRET_MAX  (64 * 1024) /* bytes of a secret file; a token has a few KiB at most */
#define CREDENTIALS "$CREDENTIALS_DIRECTORY"

/* ---- files ----------------------------------------------------------------------------------- */

/* The path as it is to be opened; NULL with a fault noted. */
static const char *resolve(const struct reading *x, const char *path)
{
    const struct settings_reader *r = x->reader;
    const char *file = x->node->file, *slash = file ? strrchr(file, '/') : NULL, *out = path;

    if (!*path) {
        yaml_fault(r->faults, x->node, "%s is empty", x->name);
        return NULL;
    }
    if (strncmp(path, CREDENTIALS, strlen(CREDENTIALS)) == 0 &&
        (path[strlen(CREDENTIALS)] == '/' || !path[strlen(CREDENTIALS)])) {
        const char *folder = settings_environment(r, &CREDENTIALS[1]);

        if (!folder || !*folder) {
            yaml_fault(
                r->faults, x->node,
                "%s: the environment has no CREDENTIALS_DIRECTORY; systemd sets it for a unit "
                "with LoadCredential=",
                x->name);
            return NULL;
        }
        out = arena_fmt(r->arena, "%s%s", folder, path + strlen(CREDENTIALS));
    } else if (*path != '/' && slash) {
        out = arena_fmt(r->arena, "%.*s/%s", (int)(slash - file), file, path);
    }
    if (!out)
        yaml_fault(r->faults, x->node, "%s: %s", x->name, SETTINGS_NO_MEMORY);
    return out;
}

/* Is it what stands in a file? A certificate in PEM, say, with its key behind it; or a query. */
static bool is_content(const char *text)
{
    return strchr(text, '\n') || strstr(text, "-----BEGIN");
}

/* Is it what no file of a secret is called: its content, a URL, or what begins as the secrets of Standard Webhooks and of
 * Shopify and as JSON Web Tokens do? */
static bool is_no_name(const char *text)
{
    static const char *const beginnings[] = {"whsec_", "whsk_", "shpss_", "eyJ"};

    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (strncmp(text, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return is_content(text) || strstr(text, "://");
}

/* Long words of all kinds of characters are secrets: tokens, and client secrets of Entra ID have 40; so are those that end
 * in more letters and digits than a name has: Slack's, and any other in hex. What has a slash is a path, unless all of it
 * is base64 and a sign of that is none of paths. */
bool settings_looks_secret(const char *text)
{
    static const char base64[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    bool upper = false, lower = false, digit = false, mixed;
    size_t len = strlen(text), run = 0; /* of letters and digits, at the end */

    for (const char *p = text; *p; p++) {
        bool big = *p >= 'A' && *p <= 'Z', small = *p >= 'a' && *p <= 'z';
        bool number = *p >= '0' && *p <= '9';

        upper = upper || big;
        lower = lower || small;
        digit = digit || number;
        run = big || small || number ? run + 1 : 0;
    }
    mixed = upper && lower && digit && len >= 24;
    if (strchr(text, '/'))
        return mixed && strspn(text, base64) == len &&
               (text[len - 1] == '=' || (text[0] != '/' && strchr(text, '+')));
    return mixed || (digit && (upper || lower) && run >= 32);
}

/* Has somebody written the secret itself where its file is to be named? Keys and tokens of which only the path is read
 * have names of all kinds of characters, too. */
static bool names_secret(const struct reading *x, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *const texts[] = {x->node->text, path, slash ? slash + 1 : path};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (is_no_name(texts[i]) || (!x->setting->secret && settings_looks_secret(texts[i])))
            return true;
    return false;
}

/* How much of the text is the variable's name, where it is nothing but a variable, as of those who hand secrets over in
 * the environment: whatever it, or the default behind the name, looks like, it may be one. 0: it is not. */
static size_t variable(const char *text)
{
    const char *end = strchr(text, '}');

    return strncmp(text, "${", 2) == 0 && end && !end[1] ? strcspn(text, ":}") : 0;
}

static void file_fault(const struct reading *x, const char *path, int error)
{
    bool names_nothing = error == ENOENT || error == ENAMETOOLONG || error == ENOTDIR;
    bool secret = *settings_suffix(x->setting) || x->setting->secret;
    size_t name = variable(x->node->text);

    if (names_nothing && strncmp(x->node->text, "file://", 7) == 0) {
        yaml_fault(x->reader->faults, x->node,
                   "%s: expected the name of a file as it is, without file:// before it", x->name);
        return;
    }
    if (names_nothing && !secret && is_content(path)) {
        yaml_fault(
            x->reader->faults, x->node,
            "%s: expected the name of a file; this looks like what the file is to hold: write "
            "it into one of its own and name that",
            x->name);
        return;
    }
    if (names_nothing && secret && name) {
        yaml_fault(
            x->reader->faults, x->node,
            "%s: cannot read the file that %.*s} names: %s; if the variable holds the secret itself, "
            "write that into a file of its own (chmod 600) and let it name that",
            x->name, (int)name, x->node->text, file_why(error));
        return;
    }
    if (names_nothing && secret && names_secret(x, path)) {
        yaml_fault(x->reader->faults, x->node,
                   "%s: expected the name of a file; this looks like the secret itself, which does "
                   "not stand here: write it into a file of its own (chmod 600) and name that",
                   x->name);
        return;
    }
    yaml_fault(
        x->reader->faults, x->node, "%s: cannot read %s: %s%s", x->name, path, file_why(error),
        error == ENOENT && *settings_suffix(x->setting) ? "; write the secret into it (chmod 600)"
                                                        : "");
}

/* Opens for reading; -1 with a fault noted. */
static int open_file(const struct reading *x, const char *path, struct stat *ret)
{
    int error = 0, fd = file_open(path, ret, &error);

    watch_note(x->reader->files, path, ret->st_mode ? ret : NULL);
    if (fd < 0)
        file_fault(x, path, error);
    return fd;
}

bool settings_read_path(const struct reading *x, const char **field)
{
    bool bare;
    const char *text = settings_scalar(x, "a file", &bare), *path = text ? resolve(x, text) : NULL;
    struct stat st;
    int fd;

    if (!path || (fd = open_file(x, path, &st)) < 0)
        return false;
    (void)close(fd); /* was only looked at */
    *field = path;
    return true;
}

/* Reads at most room bytes; -1 and errno. */
static ssize_t read_all(int fd, char *bytes, size_t room)
{
    size_t len = 0;

    while (len < room) {
        ssize_t n = read(fd, bytes + len, room - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

/* What nobody sees in an editor and the far end takes for another secret, or what makes of two secrets one; NULL:
 * nothing of the kind. A key in PEM has lines, and may stand among empty ones. */
static const char *oddity(const char *text, size_t len)
{
    if (strstr(text, "-----BEGIN"))
        return NULL;
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
        return "begins with a byte order mark";
    if (strchr(" \t\r\n", text[0]))
        return "begins with a blank or an empty line";
    if (strchr(" \t\r\n", text[len - 1]))
        return "ends with a blank or an empty line";
    return strpbrk(text, "\r\n") ? "holds a line break" : NULL; /* two secrets, mostly */
}

bool settings_take_secret_file(const struct reading *x, struct secret *ret)
{
    char bytes[SECRET_MAX + 1];
    const char *odd;
    bool bare, good = false;
    const char *text = settings_scalar(x, "a file", &bare), *path = text ? resolve(x, text) : NULL;
    struct stat st;
    ssize_t len;
    int fd;

    if (!path)
        return false;
    fd = open_file(x, path, &st);
    if (fd < 0)
        return false;
    len = read_all(fd, bytes, sizeof bytes);
    if (len < 0)
        file_fault(x, path, errno);
    (void)close(fd); /* was only read */
    if (len > 0 && bytes[len - 1] == '\n')
        len -= len > 1 && bytes[len - 2] == '\r' ? 2 : 1;
    if (len > SECRET_MAX) {
        yaml_fault(x->reader->faults, x->node,
                   "%s: %s is larger than 64 KiB, too large for a secret", x->name, path);
    } else if (len == 0) {
        yaml_fault(x->reader->faults, x->node, "%s: %s is empty", x->name, path);
    } else if (len > 0 && memchr(bytes, '\0', (size_t)len)) {
        yaml_fault(x->reader->faults, x->node, "%s: %s holds a zero byte", x->name, path);
    } else if (len > 0) {
        ret->file = path;
        ret->text = arena_strn(x->reader->arena, bytes, (size_t)len);
        ret->len = ret->text ? (size_t)len : 0;
        good = ret->text != NULL;
        if (!good)
            yaml_fault(x->reader->faults, x->node, "%s: %s", x->name, SETTINGS_NO_MEMORY);
        odd = good ? oddity(ret->text, ret->len) : NULL;
        if (x->reader->notes && odd)
            yaml_fault(x->reader->notes, x->node,
                       "%s: %s %s, which is taken for a part of the secret", x->name, path, odd);
        if (x->reader->notes && (st.st_mode & (S_IROTH | S_IWOTH)))
            yaml_fault(x->reader->notes, x->node,
                       "%s: everybody on this machine can read %s; chmod 600 would keep it secret",
                       x->name, path);
    }
    explicit_bzero(bytes, sizeof bytes);
    return good;
}

/* ---- secrets that are good for a time -------------------------------------------------------- */

bool window_holds(const struct window *w, int64_t now_ms)
{
    return (!w->not_before_ms || now_ms >= w->not_before_ms) &&
           (!w->not_after_ms || now_ms <= w->not_after_ms);
}

const char *secret_name(const struct secret *s)
{
    return s->name ? s->name : s->file ? s->file : s->text;
}

struct secret *secret_current(const struct secret_list *list, int64_t now_ms)
{
    for (size_t i = 0; i < list->count; i++)
        if (window_holds(&list->items[i].window, now_ms))
            return &list->items[i];
    return NULL;
}

/* The map form of an entry; `file` or `key` comes first in its table. */
struct entry {
    const struct yaml_node *what;
    const char *name;
    struct window window;
};

#define ENTRY_ROW(word, kind, field, ...)                                                          \
    {                                                                                              \
        .key = (word), .type = (kind), .offset = offsetof(struct entry, field), __VA_ARGS__        \
    }
#define ENTRY_REST                                                                                 \
    ENTRY_ROW("name", SET_TEXT, name, .meaning = "what the log calls it"),                         \
        ENTRY_ROW("not_before", SET_TIME, window.not_before_ms,                                    \
                  .meaning = "it is not good before this time"),                                   \
        ENTRY_ROW("not_after", SET_TIME, window.not_after_ms,                                      \
                  .meaning = "it is not good after this time"),                                    \
        {.key = NULL},
static const struct setting secret_entry[] = {
    ENTRY_ROW("file", SET_NODE, what, .meaning = "the file with the secret", .required = true),
    ENTRY_REST};
static const struct setting public_entry[] = {
    ENTRY_ROW("key", SET_NODE, what, .meaning = "the public key", .required = true), ENTRY_REST};

static bool take_public_text(const struct reading *x, struct secret *ret)
{
    bool bare;
    const char *text = settings_scalar(x, "text", &bare);

    if (!text)
        return false;
    if (!*text) {
        yaml_fault(x->reader->faults, x->node, "%s: an empty text", x->name);
        return false;
    }
    ret->text = arena_str(x->reader->arena, text);
    if (!ret->text) {
        yaml_fault(x->reader->faults, x->node, "%s: %s", x->name, SETTINGS_NO_MEMORY);
        return false;
    }
    ret->len = strlen(text);
    return true;
}

bool settings_take_entry(const struct reading *x, void *item)
{
    const bool is_public = x->setting->type == SET_PUBLIC_LIST;
    const struct settings_reader *r = x->reader;
    const size_t faults = r->faults->count;
    struct entry in = {.what = x->node};
    struct secret *ret = item;
    struct reading one = *x;

    if (x->node->kind == YAML_MAP) {
        in.what = NULL;
        settings_read(r, x->node, x->name, is_public ? public_entry : secret_entry, &in);
        if (in.name && !*in.name)
            yaml_fault(r->faults, yaml_get(x->node, "name"), "%s.name is empty", x->name);
        if (in.window.not_before_ms && in.window.not_after_ms &&
            in.window.not_after_ms <= in.window.not_before_ms)
            yaml_fault(r->faults, yaml_get(x->node, "not_after"),
                       "%s.not_after: expected a time after not_before", x->name);
    }
    if (!in.what)
        return false; /* the fault is noted */
    ret->name = in.name;
    ret->window = in.window;
    ret->at = one.node = in.what;
    return (is_public ? take_public_text(&one, ret) : settings_take_secret_file(&one, ret)) &&
           r->faults->count == faults;
}

void settings_note_windows(const struct reading *x, const struct secret_list *list)
{
    const struct settings_reader *r = x->reader;
    const int64_t now = clock_wall_ms(r->clock ? r->clock : clock_system());
    char text[CLOCK_TEXT_SIZE];

    if (!r->notes)
        return;
    if (list->count && !secret_current(list, now))
        yaml_fault(r->notes, x->node, "%s: none of them is good now: whoever uses one is refused",
                   x->name);
    for (size_t i = 0; i < list->count; i++) {
        const struct secret *s = &list->items[i];

        if (s->window.not_after_ms && now > s->window.not_after_ms)
            yaml_fault(r->notes, s->at, "%s: %.100s has not been good since %s; take it out",
                       x->name, secret_name(s), clock_format(s->window.not_after_ms, text));
    }
}

void secret_wipe(struct secret *s)
{
    if (s->text)
        explicit_bzero(s->text, s->len);
    s->text = NULL;
    s->len = 0;
}
