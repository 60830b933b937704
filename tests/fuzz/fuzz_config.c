/* fuzz_config.c - any bytes as a configuration: reading them must not crash, what is wrong must be said with
 * a place that exists in the file, and the same bytes must give the same faults again.
 */
#include <assert.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sanitizer/lsan_interface.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/tmp/fuzz-config-XXXXXX", file[64];
static int memory = -1;

static void tidy_up(void)
{
    static const char *const names[] = {"secret", "relay", "cordon.yaml", ""};
    char path[128];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)remove(path);
    }
}

static void put_file(const char *name, const char *text)
{
    char path[128];
    FILE *to;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    to = fopen(path, "w");
    assert(to && fputs(text, to) >= 0);
    (void)fclose(to);
}

/* A folder with the secrets that the seeds name; the file itself is memory behind a link. */
static void set_up(void)
{
    char target[64];

    if (memory >= 0)
        return;
    assert(mkdtemp(folder));
    (void)atexit(tidy_up);
    put_file("secret", "s3cret\n");
    put_file("relay", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
    memory = memfd_create("cordon.yaml", MFD_CLOEXEC);
    assert(memory >= 0);
    (void)snprintf(target, sizeof target, "/proc/self/fd/%d", memory);
    (void)snprintf(file, sizeof file, "%s/cordon.yaml", folder);
    assert(symlink(target, file) == 0);
}

static const char *environment(const char *name)
{
    return strcmp(name, "PORT") == 0                    ? "8080"
           : strcmp(name, "HOST") == 0                  ? "cordon.example"
           : strcmp(name, "CREDENTIALS_DIRECTORY") == 0 ? folder
                                                        : NULL;
}

/* Faults as text; every one has words, and a place within the file if it has one at all. */
static void write_faults(struct buf *out, const struct yaml_faults *faults, size_t lines)
{
    for (const struct yaml_fault *x = faults->first; x; x = x->next) {
        assert(x->text && *x->text);
        assert(x->line <= lines + 1);
        for (const char *p = x->text; *p; p++)
            assert((unsigned char)*p >= 0x20 && *p != 0x7f);
        yaml_fault_write(out, x);
        buf_addc(out, '\n');
    }
}

static enum err_code load(struct buf *out, size_t lines)
{
    struct arena *arena = arena_new(0);
    struct config *config = NULL;
    struct yaml_faults faults;
    struct err e = {0};
    enum err_code code;

    assert(arena);
    code = config_load(file, environment, arena, &config, &faults, &e);
    assert(code == ERR_OK || code == ERR_INVALID);
    assert((code == ERR_OK) == (config != NULL));
    assert((code == ERR_OK) == (faults.count == 0));
    write_faults(out, &faults, lines);
    if (config) {
        assert(config->n_tenants && config->n_sources && config->policy && config->notes);
        for (size_t i = 0; i < config->n_sources; i++)
            assert(config->sources[i].tenant && config->sources[i].verifier);
        config_unref(config_ref(config));
        config_unref(config);
    }
    arena_free(arena);
    return code;
}

static void peek(void)
{
    struct arena *arena = arena_new(0);
    struct config_sender sender;
    struct config_admin admin;
    struct yaml_faults faults;

    assert(arena);
    if (!config_peek_admin(file, environment, arena, &admin, &faults, NULL))
        assert(admin.address);
    if (!config_peek_source(file, environment, arena, "relay", &sender, &faults, NULL))
        assert(sender.url && sender.verify);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(buf_clear) struct buf once = BUF_INIT(1 << 26), twice = BUF_INIT(1 << 26);
    size_t lines = 1;

    set_up();
    assert(ftruncate(memory, 0) == 0 && pwrite(memory, data, size, 0) == (ssize_t)size);
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n' || data[i] == '\r';
    __lsan_disable(); /* libfyaml 0.7.12 loses memory on some faults; a configuration is read seldom */
    assert(load(&once, lines) == load(&twice, lines));
    peek();
    __lsan_enable();
    assert(strcmp(buf_text(&once), buf_text(&twice)) == 0);
    return 0;
}
