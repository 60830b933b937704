/* cmd_fields.c - `cordon fields`: the vocabulary of rules and templates. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#include "auto.h"
#include "buf.h"
#include "fields.h"
#include "json.h"

struct options {
    bool json;
};

static const struct cli_option options[] = {
    CLI_JSON(struct options, json),
    {.name = NULL},
};

static const struct cli_command command = {
    .name = "fields",
    .args = "[FIELD]",
    .about =
        "Every field that rules and templates may name: its type, what it means and an example.\n"
        "With FIELD (alert.severity): that one, its operators and the values it knows.",
    .options = options,
    .most_args = 1,
};

static void show_json(const struct field *only)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1024 * 1024);
    struct json_out o = JSON_OUT(&out);

    json_out_array(&o, NULL);
    for (const struct field *f = field_table(); f->name; f++) {
        if (only && f != only)
            continue;
        json_out_object(&o, NULL);
        json_out_string(&o, "name", f->name);
        json_out_string(&o, "type", field_type_name(f));
        json_out_string(&o, "meaning", f->meaning);
        json_out_string(&o, "example", f->example);
        json_out_array(&o, "operators");
        for (enum field_op op = FIELD_OP_IN; op < FIELD_OPS; op++)
            if (field_ops(f) & 1u << op)
                json_out_string(&o, NULL, field_op_name(op));
        json_out_array_end(&o);
        json_out_array(&o, "values");
        for (const char *const *word = f->words; word && *word; word++)
            json_out_string(&o, NULL, *word);
        json_out_array_end(&o);
        json_out_object_end(&o);
    }
    json_out_array_end(&o);
    (void)puts(buf_text(&out));
}

static int show_table(void)
{
    static const char *const titles[] = {"FIELD", "TYPE", "MEANING", "EXAMPLE", NULL};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct cli_table t;

    if (!a)
        return CLI_FAILED;
    cli_table_init(&t, a, titles);
    for (const struct field *f = field_table(); f->name; f++) {
        const char *const cells[] = {f->name, field_type_name(f), f->meaning, f->example};

        cli_table_row(&t, cells);
    }
    cli_table_show(&t, 0); /* text to be read: better wrapped than cut */
    return CLI_DONE;
}

static void show_field(const struct field *f)
{
    const char *between = "";

    (void)printf("%s: %s\n\ntype:      %s\noperators: ", f->name, f->meaning, field_type_name(f));
    for (enum field_op op = FIELD_OP_IN; op < FIELD_OPS; op++)
        if (field_ops(f) & 1u << op) {
            (void)printf("%s%s", between, field_op_name(op));
            between = ", ";
        }
    if (f->words)
        (void)printf("\nvalues:   ");
    for (const char *const *word = f->words; word && *word; word++)
        (void)printf(" %s%s", *word, word[1] ? "," : "");
    (void)printf("\nexample:   %s\n", f->example);
}

int cmd_fields(int argc, char **argv)
{
    const struct field *only = NULL;
    struct cli_words words;
    struct options o = {0};
    int code = cli_parse(argc, argv, &command, &o, &words);

    if (code != CLI_GO_ON)
        return code;
    if (words.count) {
        only = field_find(words.items[0]);
        if (!only) {
            char meant[YAML_MEANT_SIZE];

            cli_error("there is no field '%.60s'%s", words.items[0],
                      yaml_meant(field_nearest(words.items[0]), "", meant));
            return CLI_FAILED;
        }
    }
    if (o.json)
        show_json(only);
    else if (only)
        show_field(only);
    else
        return show_table();
    return CLI_DONE;
}
