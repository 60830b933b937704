/* cable.c - see cable.h. Addresses are of 198.18.0.0/15, which is for tests of networks (RFC 2544). */
#include "kit/cable.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct cables {
    unsigned count;
    char name[40], file[80];
    char near[CABLES_MAX][16], far[CABLES_MAX][16]; /* devices */
    char address[CABLES_MAX][24];
};

/* Runs `ip WORDS`, given as one text with blanks between; false when it fails. */
static bool ip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static bool ip(const char *fmt, ...)
{
    char text[200], *words[20] = {(char *)(uintptr_t) "ip"}, *rest = NULL;
    posix_spawn_file_actions_t quiet;
    int status = -1, n = 1;
    va_list ap;
    pid_t pid;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (char *w = strtok_r(text, " ", &rest); w && n < 19; w = strtok_r(NULL, " ", &rest))
        words[n++] = w;
    words[n] = NULL;
    (void)posix_spawn_file_actions_init(&quiet);
    (void)posix_spawn_file_actions_addopen(&quiet, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&pid, "ip", &quiet, NULL, words, environ) == 0)
        (void)waitpid(pid, &status, 0);
    (void)posix_spawn_file_actions_destroy(&quiet);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool lay(struct cables *c, unsigned i)
{
    unsigned pid = (unsigned)getpid(), net = pid % 250 + 1, host = 4 * i;

    (void)snprintf(c->near[i], sizeof c->near[i], "cn%x-%u", pid, i);
    (void)snprintf(c->far[i], sizeof c->far[i], "cf%x-%u", pid, i);
    (void)snprintf(c->address[i], sizeof c->address[i], "198.18.%u.%u", net, host + 2);
    return ip("link add %s type veth peer name %s", c->near[i], c->far[i]) &&
           ip("link set %s netns %s", c->far[i], c->name) &&
           ip("addr add 198.18.%u.%u/30 dev %s", net, host + 1, c->near[i]) &&
           ip("-n %s addr add %s/30 dev %s", c->name, c->address[i], c->far[i]) &&
           ip("link set %s up", c->near[i]) && ip("-n %s link set %s up", c->name, c->far[i]);
}

struct cables *cables_new(unsigned count)
{
    struct cables *c = calloc(1, sizeof *c);
    bool good;

    if (!c || count > CABLES_MAX)
        abort();
    c->count = count;
    (void)snprintf(c->name, sizeof c->name, "cordon-test-%d", (int)getpid());
    (void)snprintf(c->file, sizeof c->file, "/var/run/netns/%s", c->name);
    good = ip("netns add %s", c->name) && ip("-n %s link set lo up", c->name);
    for (unsigned i = 0; i < count && good; i++)
        good = lay(c, i);
    if (good)
        return c;
    (void)printf("no network namespaces here: cuts are made by a proxy\n");
    cables_free(c);
    return NULL;
}

const char *cables_namespace(const struct cables *c)
{
    return c->file;
}

const char *cables_address(const struct cables *c, unsigned i)
{
    return c->address[i];
}

void cables_pull(struct cables *c, unsigned i, bool out)
{
    /* the far end: on the near one what is sent goes nowhere, as it would on a wire */
    (void)ip("-n %s link set %s %s", c->name, c->far[i], out ? "down" : "up");
}

void cables_free(struct cables *c)
{
    if (!c)
        return;
    (void)ip("netns del %s", c->name); /* takes the cables along */
    free(c);
}
