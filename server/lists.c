/* lists.c - see lists.h. */
#include "lists.h"

#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "file.h"

static const struct list_file *find(const struct list_files *files, const char *name)
{
    for (const struct list_file *f = files->first; f; f = f->next)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

enum err_code list_file_add(struct arena *a, struct list_files *files, const char *name,
                            const char **lines, size_t count)
{
    struct list_file *f = arena_alloc(a, sizeof *f);
    unsigned *numbers = arena_array(a, count + 1, sizeof *numbers);

    if (!f || !numbers)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        numbers[i] = (unsigned)i + 1;
    *f = (struct list_file){.name = name,
                            .path = name,
                            .lines = lines,
                            .numbers = numbers,
                            .count = count,
                            .next = files->first};
    files->first = f;
    return ERR_OK;
}

char *list_file_text(const struct settings_reader *r, const struct yaml_node *at, const char *path)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(LIST_FILE_MAX + 1);
    int error = 0;
    FILE *file = file_open_stream(path, &error);
    char chunk[16384], *out = NULL;
    size_t n;

    if (!file) {
        yaml_fault(r->faults, at, "cannot read %s: %s", path, file_why(error));
        return NULL;
    }
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0 && !buf_failed(&text))
        buf_add(&text, chunk, n);
    if (ferror(file))
        yaml_fault(r->faults, at, "cannot read %s", path);
    else if (text.len > LIST_FILE_MAX || buf_failed(&text) == ERR_TOO_BIG)
        yaml_fault(r->faults, at, "%s is longer than 1 MiB", path);
    else if (text.len && memchr(text.data, '\0', text.len))
        yaml_fault(r->faults, at, "%s is no text: it holds a NUL", path);
    else if (buf_failed(&text) || !(out = arena_strn(r->arena, buf_text(&text), text.len)))
        yaml_fault(r->faults, at, "out of memory");
    (void)fclose(file); /* was only read */
    return out;
}

/* Ends a line where its value ends, and returns where that begins. */
static char *value_of(char *line)
{
    char *end;

    line += strspn(line, " \t");
    for (end = line; *end && !(*end == '#' && (end == line || end[-1] == ' ' || end[-1] == '\t'));)
        end++;
    while (end > line && strchr(" \t\r", end[-1]))
        end--;
    *end = '\0';
    return line;
}

static bool split(const struct settings_reader *r, const struct yaml_node *at, char *text,
                  struct list_file *f)
{
    size_t lines = 1;
    unsigned number = 0;

    for (const char *p = text; (p = strchr(p, '\n')); p++)
        lines++;
    f->lines = arena_array(r->arena, lines, sizeof *f->lines);
    f->numbers = arena_array(r->arena, lines, sizeof *f->numbers);
    if (!f->lines || !f->numbers) {
        yaml_fault(r->faults, at, "out of memory");
        return false;
    }
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0) /* editors of Windows mark UTF-8 */
        text += 3;
    for (char *next; text; text = next) {
        next = strchr(text, '\n');
        if (next)
            *next++ = '\0';
        number++;
        text = value_of(text);
        if (*text) {
            f->numbers[f->count] = number;
            f->lines[f->count++] = text;
        }
    }
    if (f->count == 0)
        yaml_fault(r->faults, at, "%s holds no value; an empty list matches nothing", f->path);
    return f->count > 0;
}

const struct list_file *list_file_read(const struct settings_reader *reader,
                                       struct list_files *files, const struct yaml_node *map,
                                       const char *what)
{
    static const struct setting row = {.key = "in_file", .type = SET_PATH, .required = true};
    const struct yaml_node *at = yaml_get(map, "in_file");
    bool is_text = at->kind == YAML_SCALAR && !at->null;
    const char *name = is_text ? settings_text(reader, at) : NULL;
    const struct list_file *known = name ? find(files, name) : NULL;
    struct list_file *f;
    const char *path = NULL;
    char *text;

    if (known || (is_text && !name))
        return known;
    if (files->closed) {
        yaml_fault(reader->faults, at, "%s.in_file: '%.60s' was not kept with the policy", what,
                   name ? name : "");
        return NULL;
    }
    settings_read_key(reader, map, what, &row, &path); /* its faults are the usual ones */
    if (!path || !name || !(text = list_file_text(reader, at, path)))
        return NULL;
    f = arena_alloc(reader->arena, sizeof *f);
    if (!f) {
        yaml_fault(reader->faults, at, "out of memory");
        return NULL;
    }
    *f = (struct list_file){.name = name, .path = path};
    if (!split(reader, at, text, f))
        return NULL;
    f->next = files->first;
    files->first = f;
    return f;
}
