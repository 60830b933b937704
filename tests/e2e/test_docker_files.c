/* test_docker_files.c - docker/ against the rest of the tree: what drifts apart is found here, and not by
 * whoever builds the image next. The image itself needs an engine and is no test's business. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "arena.h"
#include "auto.h"
#include "buf.h"
#include "kit/certs.h"
#include "kit/program.h"
#include "kit/serving.h"
#include "kit/sim.h"
#include "yaml.h"

#define DOCKERFILE "docker/Dockerfile"
#define COMPOSE    "docker/compose.yaml"
#define WORDS_MAX  64

static char *read_whole(const char *path)
{
    struct buf b = BUF_INIT(4 << 20);
    char piece[4096];
    FILE *f = fopen(path, "re");
    size_t n;

    if (!f)
        fail_msg("cannot read %s", path);
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_add(&b, piece, n);
    (void)fclose(f);
    return buf_take(&b);
}

static void write_whole(const char *path, const char *text)
{
    FILE *f = fopen(path, "wxe");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* ---- lists of packages ------------------------------------------------------------------------- */

struct words {
    char *text; /* what they point into */
    const char *items[WORDS_MAX];
    size_t n;
};

static void words_clear(struct words *w)
{
    free(w->text);
    *w = (struct words){0};
}

static bool has_word(const struct words *w, const char *word)
{
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->items[i], word) == 0)
            return true;
    return false;
}

/* The words of file after the skip-th `mark`, over continued lines, up to the line's end or `until`. */
static void read_words(struct words *w, const char *file, const char *mark, unsigned skip,
                       const char *until)
{
    AUTO(auto_free) char *text = read_whole(file);
    const char *from = strstr(text, mark);
    char *save = NULL;

    while (from && skip--)
        from = strstr(from + 1, mark);
    if (!from) {
        fail_msg("%s: there is no '%s'", file, mark);
        return; /* never: for the analyzer */
    }
    *w = (struct words){.text = strdup(from + strlen(mark))};
    assert_non_null(w->text);
    for (char *p = w->text; *p; p++) {
        if (*p == '\\' && p[1] == '\n')
            p[0] = p[1] = ' ';
        if (*p == '\n')
            *p = '\0';
        if (!*p)
            break;
    }
    for (char *word = strtok_r(w->text, " \t", &save); word && strcmp(word, until) != 0;
         word = strtok_r(NULL, " \t", &save)) {
        assert_true(w->n < WORDS_MAX);
        w->items[w->n++] = word;
    }
    assert_true(w->n > 0);
}

/* The first word of b that a lacks; NULL: it lacks none. */
static const char *lacks(const struct words *a, const struct words *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (!has_word(a, b->items[i]))
            return b->items[i];
    return NULL;
}

static void test_docker_files__the_image_builds_with_the_makefiles_packages(void **state)
{
    struct words makefile, image;
    const char *word;

    (void)state;
    read_words(&makefile, "Makefile", "BUILD_DEBS :=", 0, "");
    read_words(&image, DOCKERFILE, "--no-install-recommends", 0, "&&");
    if ((word = lacks(&image, &makefile)))
        fail_msg("%s is in the Makefile's BUILD_DEBS, but not in " DOCKERFILE, word);
    makefile.items[makefile.n++] = "make"; /* who runs the Makefile has it */
    if ((word = lacks(&makefile, &image)))
        fail_msg("%s is in " DOCKERFILE ", but not in the Makefile's BUILD_DEBS", word);
    words_clear(&makefile);
    words_clear(&image);
}

/* The packages that own what a program is linked with, libc aside; what a sanitizer brings is not the
 * image's. dpkg knows paths before or after /usr was merged. */
static const char find_packages[] =
    "objdump -p \"$0\" | awk '$1 == \"NEEDED\" { print $2 }' | while read -r library; do\n"
    "    package=$(dpkg-query -S \"*/$library\" |\n"
    "        sed -n \"s|^\\([^:]*\\):[^ ]* \\(/usr\\)\\{0,1\\}/lib/[^/]*/$library\\$|\\1|p\")\n"
    "    case $package in libc6 | libgcc-s1 | lib?san* | libasan* | libubsan*) ;;\n"
    "    *) printf '%s ' \"${package:-no-package-has-$library}\" ;; esac\n"
    "done";

static bool is_release(const char *codename)
{
    AUTO(auto_free)
    char *text = access("/etc/os-release", R_OK) == 0 ? read_whole("/etc/os-release") : strdup("");
    const char *line = strstr(text, "VERSION_CODENAME=");

    return line && strncmp(line + 17, codename, strlen(codename)) == 0;
}

static void test_docker_files__the_image_has_the_libraries_that_cordon_needs(void **state)
{
    static const char from[] = "FROM debian:bookworm-slim AS run";
    AUTO(auto_free) char *dockerfile = read_whole(DOCKERFILE);
    const char *argv[] = {"/bin/sh", "-c", find_packages, serving_program("cordon"), NULL};
    struct words image, needed = {0};
    const char *word;
    struct ran ran;
    char *save = NULL;

    (void)state;
    if (!strstr(dockerfile, from))
        fail_msg(DOCKERFILE " has another base: this test is about '%s'", from);
    if (!is_release("bookworm"))
        skip(); /* another release's packages have other names */
    program_run(&ran, NULL, NULL, argv);
    assert_int_equal(ran.code, 0);
    for (char *p = strtok_r(ran.out, " ", &save); p; p = strtok_r(NULL, " ", &save))
        if (!has_word(&needed, p))
            needed.items[needed.n++] = p;
    assert_true(needed.n > 5);
    read_words(&image, DOCKERFILE, "--no-install-recommends", 1, "&&");
    if ((word = lacks(&image, &needed)))
        fail_msg("cordon is linked with a library of %s, which " DOCKERFILE " lacks", word);
    needed.items[needed.n++] = "ca-certificates"; /* the roots that Defender is checked against */
    needed.items[needed.n++] = "tzdata";          /* the zones that hunts are scheduled in */
    if ((word = lacks(&needed, &image)))
        fail_msg("%s is in " DOCKERFILE ", but nothing of cordon needs it", word);
    words_clear(&image);
    ran_clear(&ran);
}

static void test_docker_files__every_folder_of_the_sources_is_in_the_context(void **state)
{
    AUTO(auto_free) char *dockerfile = read_whole(DOCKERFILE);
    AUTO(auto_free) char *ignore = read_whole(".dockerignore");
    size_t copies = 0;

    (void)state;
    for (const char *p = dockerfile; (p = strstr(p, "\nCOPY ")) != NULL; p += 6) {
        char path[200], want[210];

        if (strncmp(p + 6, "--from=", 7) == 0)
            continue;
        assert_int_equal(
            sscanf(p + 6 + (strncmp(p + 6, "--chown=", 8) == 0 ? strcspn(p + 6, " ") : 0), " %199s",
                   path),
            1);
        (void)snprintf(want, sizeof want, "\n!%s\n", path);
        if (access(path, R_OK) != 0)
            fail_msg(DOCKERFILE " copies %s, which is not there", path);
        if (!strstr(ignore, want))
            fail_msg(".dockerignore keeps %s out of the context", path);
        copies++;
    }
    assert_true(copies >= 6);
}

/* What `cordon init` writes and what stands in secrets/ is the user's alone: the command that docs/operating.md gives for that
 * lets user 10001 read all of it. */
static void test_docker_files__the_containers_user_can_read_what_the_manual_lets_it(void **state)
{
    static const char in_code[] = "`[^`]*10001 secrets tls[^`]*`";
    AUTO(arena_freep) struct arena *a = arena_new(0);
    const char *tmp = getenv("TMPDIR"), *script;
    char dir[200], build[PATH_MAX], manual[PATH_MAX];
    struct ran ran;

    (void)state;
    if (geteuid() != 0) {
        print_message("only root can be another user\n");
        skip();
    }
    (void)snprintf(dir, sizeof dir, "%s/reads-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chmod(dir, 0755), 0);
    assert_non_null(realpath(serving_program("."), build));
    assert_non_null(realpath("docs/operating.md", manual));
    script =
        arena_fmt(a,
                  "umask 077; %s/cordon init >/dev/null; mkdir secrets tls; echo s >secrets/relay;"
                  " echo k >tls/key.pem\n"
                  "command=$(grep -o '%s' '%s' | tr -d '`' | sed 's/sudo //g')\n"
                  "eval \"${command:?no such command in the manual}\"\n"
                  "exec setpriv --reuid=10001 --regid=10001 --clear-groups"
                  " cat cordon.yaml secrets/relay tls/key.pem",
                  build, in_code, manual);
    program_run(&ran, dir, NULL, (const char *[]){"/bin/sh", "-euc", script, NULL});
    if (ran.code != 0)
        fail_msg("exit %d: %s", ran.code, ran.err);
    ran_clear(&ran);
    program_run(&ran, NULL, NULL, (const char *[]){"/bin/rm", "-rf", dir, NULL});
    ran_clear(&ran);
}

/* ---- the demonstration ------------------------------------------------------------------------- */

static const struct yaml_node *need(const struct yaml_node *map, const char *key)
{
    const struct yaml_node *child = yaml_get(map, key);

    if (!child)
        fail_msg("%s:%u: there is no %s", map->file, map->line, key);
    return child;
}

static bool lists(const struct yaml_node *list, const char *text)
{
    for (const struct yaml_node *n = list->first; n; n = n->next)
        if (strcmp(n->text, text) == 0)
            return true;
    return false;
}

static const struct yaml_node *read_compose(struct arena *a)
{
    AUTO(auto_free) char *text = read_whole(COMPOSE);
    struct yaml_node *root = NULL;
    struct err e = {0};

    if (yaml_read(a, COMPOSE, text, strlen(text), &root, &e))
        fail_msg("%s", e.text);
    return root;
}

static void test_docker_files__no_service_has_more_rights_than_it_needs(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    const struct yaml_node *root = read_compose(a), *services = need(root, "services");

    (void)state;
    assert_int_equal(services->count, 3);
    for (const struct yaml_node *s = services->first; s; s = s->next) {
        assert_string_equal(need(s, "read_only")->text, "true");
        assert_string_equal(need(s, "image")->text, "cordon-demo");
        assert_true(lists(need(s, "cap_drop"), "ALL"));
        assert_true(lists(need(s, "security_opt"), "no-new-privileges:true"));
        for (const struct yaml_node *p = yaml_get(s, "ports") ? yaml_get(s, "ports")->first : NULL;
             p; p = p->next)
            assert_int_equal(strncmp(p->text, "127.0.0.1:", 10), 0);
        for (const struct yaml_node *v = yaml_get(s, "volumes") ? yaml_get(s, "volumes")->first
                                                                : NULL;
             v; v = v->next) { /* a volume of the project, not a folder of the host */
            AUTO(auto_free) char *name = strndup(v->text, strcspn(v->text, ":"));

            (void)need(need(root, "volumes"), name);
        }
    }
}

/* Replaces every `from`, of which there must be one at least. */
static void replace(char **text, const char *from, const char *to)
{
    struct buf out = BUF_INIT(1 << 20);
    const char *p = *text, *hit;

    if (!strstr(p, from))
        fail_msg("docker/demo/cordon.yaml says nothing of %s", from);
    for (; (hit = strstr(p, from)) != NULL; p = hit + strlen(from)) {
        buf_add(&out, p, (size_t)(hit - p));
        buf_adds(&out, to);
    }
    buf_adds(&out, p);
    free(*text);
    *text = buf_take(&out);
}

static const char *option(const struct yaml_node *command, const char *name)
{
    for (const struct yaml_node *n = command->first; n; n = n->next)
        if (strncmp(n->text, name, strlen(name)) == 0)
            return n->text + strlen(name);
    fail_msg(COMPOSE ": the simulator is not told %s", name);
    return "";
}

/* The demonstration of compose.yaml without containers: the same simulator, configuration, secrets and
 * sender. Only addresses differ: ports of its own, and sockets in its own folder. */
static void test_docker_files__the_demonstration_does_what_it_says(void **state)
{
    static const char *const ids[] = {"--tenant=", "--client-id=", "--client-secret="};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    const struct yaml_node *services = need(read_compose(a), "services");
    const struct yaml_node *command = need(need(services, "sim"), "command");
    const char *args[] = {NULL, NULL, NULL, NULL};
    char demo[PATH_MAX], build[PATH_MAX], dir[200], path[300], socket[300];
    const char *tmp = getenv("TMPDIR");
    struct serving serving = {.pid = 0};
    struct sim *sim;
    struct ran ran;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        args[i] = arena_fmt(a, "%s%s", ids[i], option(command, ids[i]));
    sim = sim_start(&(struct sim_options){.args = args});
    (void)snprintf(dir, sizeof dir, "%s/demo-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    assert_non_null(realpath("docker/demo", demo));
    assert_non_null(realpath(serving_program("."), build));
    (void)snprintf(path, sizeof path, "%s/secrets", dir);
    assert_int_equal(symlink(arena_fmt(a, "%s/secrets", demo), path), 0);

    AUTO(auto_free) char *config = read_whole("docker/demo/cordon.yaml");
    AUTO(auto_free)
    char *ca_file = strdup(arena_fmt(a, "/var/lib/sim/%s/ca.pem",
                                     option(command, "--dir=") + strlen("/var/lib/cordon/")));
    replace(&config, arena_fmt(a, "http://%s", option(command, "--api=")), sim->api_url);
    replace(&config, arena_fmt(a, "smtp://%s", option(command, "--smtp=")), sim->smtp_url);
    replace(&config, ca_file, sim->smtp_ca_file);
    (void)snprintf(socket, sizeof socket, "unix:%s/hooks", dir);
    replace(&config, "127.0.0.1:8080", socket);
    (void)snprintf(socket, sizeof socket, "unix:%s/admin", dir);
    replace(&config, "0.0.0.0:9180", socket);
    (void)snprintf(path, sizeof path, "%s/cordon.yaml", dir);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(config, f) >= 0 && fclose(f) == 0);

    const char *env[] = {arena_fmt(a, "CORDON_CONFIG=%s", path),
                         arena_fmt(a, "CONTROL=%s", sim->control_url),
                         arena_fmt(a, "PATH=%s:%s", build, getenv("PATH")), NULL};
    const char *sender[] = {arena_fmt(a, "%s/sender", demo), NULL};
    const char *health[] = {arena_fmt(a, "%s/cordon", build), "healthcheck", NULL};

    serving_start(&serving, NULL, dir, env);
    program_run(&ran, dir, env, health);
    assert_string_equal(ran.out, "ready\n");
    assert_int_equal(ran.code, 0);
    ran_clear(&ran);
    for (int i = 0; i < 2; i++) { /* it can run again */
        program_run(&ran, dir, env, sender);
        if (ran.code != 0 ||
            !strstr(ran.out, "sender: the machine is isolated and people were told"))
            fail_msg("sender: exit %d\n%s%s", ran.code, ran.out, ran.err);
        ran_clear(&ran);
    }
    assert_int_equal(sim_state(sim, "isolate_posts"), 2);
    serving_stop(&serving);
    program_run(&ran, dir, env, health);
    assert_int_equal(ran.code, 1);
    ran_clear(&ran);
    program_run(&ran, NULL, NULL, (const char *[]){"/bin/rm", "-rf", dir, NULL});
    ran_clear(&ran);
    sim_stop(sim);
}

/* ---- replicas ---------------------------------------------------------------------------------- */

#define REPLICAS "docker/compose.replicas.yaml"

static void test_docker_files__three_replicas_share_one_database(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(auto_free) char *text = read_whole(REPLICAS);
    struct yaml_node *root = NULL;
    const struct yaml_node *services, *cordon;
    struct err e = {0};

    (void)state;
    if (yaml_read(a, REPLICAS, text, strlen(text), &root, &e))
        fail_msg("%s", e.text);
    services = need(root, "services");
    cordon = need(services, "cordon");
    assert_string_equal(need(need(cordon, "deploy"), "replicas")->text, "3");
    assert_null(yaml_get(cordon, "ports")); /* the proxy's alone */
    assert_null(yaml_get(need(services, "database"), "ports"));
    for (const struct yaml_node *s = services->first; s; s = s->next) {
        assert_true(lists(need(s, "security_opt"), "no-new-privileges:true"));
        if (strcmp(s->key->text, "database") != 0) { /* its image changes the owner of its files */
            assert_string_equal(need(s, "read_only")->text, "true");
            assert_true(lists(need(s, "cap_drop"), "ALL"));
        }
        for (
            const struct yaml_node *v = yaml_get(s, "volumes") ? yaml_get(s, "volumes")->first
                                                               : NULL;
            v;
            v = v->next) { /* the project's, or a file of it that is there, or a secret of people's */
            AUTO(auto_free) char *name = strndup(v->text, strcspn(v->text, ":"));
            struct stat st;

            if (strstr(v->text, "/cordon.yaml")) /* a reload would read what it was at the start */
                fail_msg(REPLICAS ": mounts a file that people edit: %s", v->text);
            if (name[0] != '.')
                (void)need(need(root, "volumes"), name);
            else if (!strstr(name, "/secrets") && stat(arena_fmt(a, "docker/%s", name), &st))
                fail_msg(REPLICAS ": there is no docker/%s", name);
        }
    }
}

/* Else all senders are one client, and strangers who knock use up the rate of those who may. */
static void test_docker_files__the_replicas_know_their_proxy(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(auto_free) char *compose = read_whole(REPLICAS);
    AUTO(auto_free) char *config = read_whole("docker/replicas/cordon.yaml");
    struct yaml_node *root = NULL, *own = NULL;
    const struct yaml_node *proxy, *networks;
    struct err e = {0};

    (void)state;
    if (yaml_read(a, REPLICAS, compose, strlen(compose), &root, &e) ||
        yaml_read(a, "docker/replicas/cordon.yaml", config, strlen(config), &own, &e))
        fail_msg("%s", e.text);
    networks = need(need(need(root, "services"), "proxy"), "networks");
    assert_int_equal(networks->count, 1); /* it comes from nowhere else */
    proxy = need(networks->first, "ipv4_address");
    assert_true(lists(need(need(own, "listen"), "trusted_proxies"), proxy->text));
}

/* A quota is all replicas' together: a third of it for each would be a third of what Defender allows. */
static void test_docker_files__the_replicas_take_all_calls_that_defender_allows(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(auto_free) char *config = read_whole("docker/replicas/cordon.yaml");
    struct yaml_node *root = NULL;
    struct err e = {0};

    (void)state;
    if (yaml_read(a, "docker/replicas/cordon.yaml", config, strlen(config), &root, &e))
        fail_msg("%s", e.text);
    for (const struct yaml_node *t = need(root, "tenants")->first; t; t = t->next)
        assert_null(yaml_get(t, "quota"));
}

/* With secrets in the files that it names, `cordon check` has nothing to say but what people are to fill in. */
static void test_docker_files__the_replicas_configuration_is_good(void **state)
{
    static const char script[] =
        "dir=$(mktemp -d) && trap 'rm -rf \"$dir\"' EXIT && mkdir \"$dir/secrets\" && umask 077 &&"
        " cp docker/replicas/cordon.yaml \"$dir\" && cd \"$dir/secrets\" &&"
        " for name in admin database defender; do echo secret-of-a-test-of-files >$name; done &&"
        " \"$0\" keygen >relay && \"$0\" check -c \"$dir/cordon.yaml\"";
    char cordon[PATH_MAX];
    const char *argv[] = {"/bin/sh", "-c", script, cordon, NULL};
    struct ran ran;

    (void)state;
    assert_non_null(realpath(serving_program("cordon"), cordon));
    program_run(&ran, NULL, NULL, argv);
    if (ran.code)
        fail_msg("exit %d: %s%s", ran.code, ran.out, ran.err);
    ran_clear(&ran);
}

/* ---- Kubernetes -------------------------------------------------------------------------------- */

#define KUBERNETES "docker/kubernetes.yaml"

static const struct yaml_node *read_kubernetes(struct arena *a)
{
    AUTO(auto_free) char *text = read_whole(KUBERNETES);
    struct yaml_node *root = NULL;
    struct err e = {0};

    if (yaml_read(a, KUBERNETES, text, strlen(text), &root, &e))
        fail_msg("%s", e.text);
    return need(root, "items");
}

static const struct yaml_node *of_kind(const struct yaml_node *items, const char *kind)
{
    for (const struct yaml_node *n = items->first; n; n = n->next)
        if (strcmp(need(n, "kind")->text, kind) == 0)
            return n;
    fail_msg(KUBERNETES ": there is no %s", kind);
    return NULL;
}

static const struct yaml_node *pod_of(const struct yaml_node *items)
{
    return need(need(need(of_kind(items, "Deployment"), "spec"), "template"), "spec");
}

static const struct yaml_node *named(const struct yaml_node *list, const char *name)
{
    for (const struct yaml_node *n = list->first; n; n = n->next)
        if (strcmp(need(n, "name")->text, name) == 0)
            return n;
    fail_msg("%s:%u: nothing is called %s", list->file, list->line, name);
    return NULL;
}

static void test_docker_files__a_pod_has_no_more_rights_than_it_needs(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(auto_free) char *dockerfile = read_whole(DOCKERFILE);
    const struct yaml_node *pod = pod_of(read_kubernetes(a)), *rights, *own, *container;

    (void)state;
    rights = need(pod, "securityContext");
    assert_string_equal(need(rights, "runAsNonRoot")->text, "true");
    assert_non_null(
        strstr(dockerfile, arena_fmt(a, "\nUSER %s:%s\n", need(rights, "runAsUser")->text,
                                     need(rights, "runAsGroup")->text)));
    assert_string_equal(need(pod, "automountServiceAccountToken")->text, "false");
    container = named(need(pod, "containers"), "cordon");
    own = need(container, "securityContext");
    assert_string_equal(need(own, "readOnlyRootFilesystem")->text, "true");
    assert_string_equal(need(own, "allowPrivilegeEscalation")->text, "false");
    assert_true(lists(need(need(own, "capabilities"), "drop"), "ALL"));
    for (const struct yaml_node *m = need(container, "volumeMounts")->first; m; m = m->next)
        (void)named(need(pod, "volumes"), need(m, "name")->text);
}

/* The ports that probes, the service and the policy name are those that its configuration listens at. */
static void test_docker_files__a_pod_listens_where_it_is_looked_for(void **state)
{
    static const struct {
        const char *port, *section;
    } rows[] = {{"senders", "listen"}, {"admin", "admin"}};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    const struct yaml_node *items = read_kubernetes(a), *pod = pod_of(items), *container, *probe;
    const struct yaml_node *labels, *service = need(of_kind(items, "Service"), "spec");
    const char *text = need(need(of_kind(items, "ConfigMap"), "data"), "cordon.yaml")->text;
    struct yaml_node *config = NULL;
    struct err e = {0};

    (void)state;
    if (yaml_read(a, "cordon.yaml", text, strlen(text), &config, &e))
        fail_msg("%s", e.text);
    container = named(need(pod, "containers"), "cordon");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(
            need(need(config, rows[i].section), "address")->text,
            arena_fmt(a, "[::]:%s",
                      need(named(need(container, "ports"), rows[i].port), "containerPort")->text));
    probe = need(need(container, "readinessProbe"), "httpGet");
    assert_string_equal(need(probe, "path")->text, "/readyz");
    assert_string_equal(need(probe, "port")->text, "admin");
    probe = need(need(container, "livenessProbe"), "httpGet");
    assert_string_equal(need(probe, "path")->text, "/healthz");
    assert_string_equal(need(probe, "port")->text, "admin");
    assert_int_equal(need(service, "ports")->count, 1); /* never the people's side */
    assert_string_equal(need(need(service, "ports")->first, "targetPort")->text, "senders");
    labels = need(need(need(need(of_kind(items, "Deployment"), "spec"), "template"), "metadata"),
                  "labels");
    assert_string_equal(need(need(service, "selector"), "app.kubernetes.io/name")->text,
                        need(labels, "app.kubernetes.io/name")->text);
}

/* Writes what the pod finds at /etc/cordon, as its volume says: the secret of a file is its key's name. */
static void lay_out(struct arena *a, const struct yaml_node *items, const char *dir)
{
    const struct yaml_node *volume = named(need(pod_of(items), "volumes"), "configuration");
    struct cert *c =
        cert_new(&(struct cert_wish){.name = "cordon.test", .purpose = "serverAuth", .days = 9});

    assert_int_equal(mkdir(arena_fmt(a, "%s/secrets", dir), 0700), 0);
    assert_int_equal(mkdir(arena_fmt(a, "%s/tls", dir), 0700), 0);
    for (const struct yaml_node *s = need(need(volume, "projected"), "sources")->first; s;
         s = s->next) {
        const struct yaml_node *secret = yaml_get(s, "secret");

        for (const struct yaml_node *n = secret ? need(secret, "items")->first : NULL; n;
             n = n->next) {
            const char *key = need(n, "key")->text;
            const char *path = arena_fmt(a, "%s/%s", dir, need(n, "path")->text);

            if (strcmp(key, "tls.crt") == 0)
                cert_save(c, path, NULL);
            else if (strcmp(key, "tls.key") == 0)
                cert_save(c, NULL, path);
            else if (strcmp(key, "relay") == 0)
                write_whole(path, "whsec_c2VjcmV0LW9mLWEtdGVzdC1vZi1maWxlcw==\n");
            else
                write_whole(path, "secret-of-a-test-of-files\n");
        }
    }
    write_whole(arena_fmt(a, "%s/cordon.yaml", dir),
                need(need(of_kind(items, "ConfigMap"), "data"), "cordon.yaml")->text);
    cert_free(c);
}

/* With secrets in the files that the volume makes, `cordon check` misses none and has nothing to say. */
static void test_docker_files__a_pod_finds_what_its_configuration_names(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    const char *tmp = getenv("TMPDIR");
    const char *argv[] = {serving_program("cordon"), "check", "-c", NULL, NULL};
    char dir[200];
    struct ran ran;

    (void)state;
    (void)snprintf(dir, sizeof dir, "%s/pod-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    lay_out(a, read_kubernetes(a), dir);
    argv[3] = arena_fmt(a, "%s/cordon.yaml", dir);
    program_run(&ran, NULL, NULL, argv);
    if (ran.code)
        fail_msg("exit %d: %s%s", ran.code, ran.out, ran.err);
    ran_clear(&ran);
    program_run(&ran, NULL, NULL, (const char *[]){"/bin/rm", "-rf", dir, NULL});
    ran_clear(&ran);
}

/* ---- systemd ----------------------------------------------------------------------------------- */

static void test_docker_files__systemd_understands_the_units(void **state)
{
    static const char verify[] =
        "command -v systemd-analyze >/dev/null || exit 77\n"
        "dir=$(mktemp -d) && trap 'rm -rf \"$dir\"' EXIT\n"
        "sed \"s,^ExecStart=/usr/local/bin/cordon ,ExecStart=$(realpath \"$0\") ,\" docker/cordon.service"
        " >\"$dir/cordon.service\"\n"
        "grep -q \"^ExecStart=$(realpath \"$0\") serve \" \"$dir/cordon.service\" || exit 1\n"
        "cp docker/cordon.socket \"$dir\" || exit 1\n"
        "systemd-analyze verify --man=no \"$dir/cordon.service\" \"$dir/cordon.socket\"";
    const char *argv[] = {"/bin/sh", "-c", verify, serving_program("cordon"), NULL};
    struct ran ran;
    int code;

    (void)state;
    program_run(&ran, NULL, NULL, argv);
    code = ran.code;
    if (code != 77 && (code != 0 || *ran.err))
        fail_msg("exit %d: %s", code, ran.err);
    ran_clear(&ran);
    if (code == 77)
        skip();
}

/* Settings of a unit that what the README says of it stands on. */
static void test_docker_files__the_units_say_what_restarts_and_silence_ask_for(void **state)
{
    static const struct {
        const char *file, *line, *else_;
    } rows[] = {
        {"docker/cordon.socket", "\nWants=cordon.service\n",
         "nothing is polled, gone on with or looked out for before the first sender comes"},
        {"docker/cordon.service", "\nRuntimeDirectoryPreserve=yes\n",
         "a restart removes a pause_file in /run/cordon"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(auto_free) char *text = read_whole(rows[i].file);

        if (!strstr(text, rows[i].line))
            fail_msg("%s: without%s%s", rows[i].file, rows[i].line, rows[i].else_);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_docker_files__the_image_builds_with_the_makefiles_packages),
        cmocka_unit_test(test_docker_files__the_image_has_the_libraries_that_cordon_needs),
        cmocka_unit_test(test_docker_files__every_folder_of_the_sources_is_in_the_context),
        cmocka_unit_test(test_docker_files__no_service_has_more_rights_than_it_needs),
        cmocka_unit_test(test_docker_files__the_containers_user_can_read_what_the_manual_lets_it),
        cmocka_unit_test(test_docker_files__the_demonstration_does_what_it_says),
        cmocka_unit_test(test_docker_files__three_replicas_share_one_database),
        cmocka_unit_test(test_docker_files__the_replicas_know_their_proxy),
        cmocka_unit_test(test_docker_files__the_replicas_take_all_calls_that_defender_allows),
        cmocka_unit_test(test_docker_files__the_replicas_configuration_is_good),
        cmocka_unit_test(test_docker_files__a_pod_has_no_more_rights_than_it_needs),
        cmocka_unit_test(test_docker_files__a_pod_listens_where_it_is_looked_for),
        cmocka_unit_test(test_docker_files__a_pod_finds_what_its_configuration_names),
        cmocka_unit_test(test_docker_files__systemd_understands_the_units),
        cmocka_unit_test(test_docker_files__the_units_say_what_restarts_and_silence_ask_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
