/* postgres.c - see postgres.h.
 *
 * PostgreSQL refuses to run as root, so root becomes the user `postgres` of the Debian package for it. Its
 * postmaster is a child of ours: the kernel sends it SIGQUIT ("immediate shutdown") when we are gone.
 */
#include "kit/postgres.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit/house.h"
#include "kit/look.h"
#include "kit/port.h"

#define READY_MS 30000
#define ARGS_MAX 60

static struct {
    char dir[60], data[80], log[80], bin[200];
    pid_t pid;
    int port;
    unsigned schemas;
    const char *settings[20];
    const struct passwd *user; /* whom to become; NULL: nobody else */
    const char *net_namespace;
} pg;

/* Where Debian puts initdb and postgres: the newest version's folder. */
static bool find_programs(void)
{
    glob_t found = {0};
    bool any = glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) == 0;

    if (any) {
        (void)snprintf(pg.bin, sizeof pg.bin, "%s", found.gl_pathv[found.gl_pathc - 1]);
        *strrchr(pg.bin, '/') = '\0';
    }
    globfree(&found);
    if (!any)
        print_message("PostgreSQL is not installed here (tests/deps-postgres does it): skipped\n");
    return any;
}

/* Some containers have a /dev/null that root alone may write to, and initdb's shells need it: then the child
 * gets one of its own, in a mount namespace of its own. Between fork and exec. */
static void mend_null(const char *own)
{
    struct stat st;

    if (stat("/dev/null", &st) || (st.st_mode & S_IWOTH) || unshare(CLONE_NEWNS) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return;
    if ((mknod(own, S_IFCHR | 0666, makedev(1, 3)) && errno != EEXIST) || chmod(own, 0666))
        return;
    (void)mount(own, "/dev/null", NULL, MS_BIND, NULL); /* else initdb says what is wrong */
}

/* A child that runs name with argv (argv[0] is set here), its output in the log. */
static pid_t spawn(const char *name, char *argv[], bool dies_with_us)
{
    char path[300], null[80];
    pid_t parent = getpid(), pid;
    int log = open(pg.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)snprintf(path, sizeof path, "%s/%s", pg.bin, name);
    (void)snprintf(null, sizeof null, "%s/null", pg.dir);
    argv[0] = path;
    if (log < 0 || nothing < 0)
        fail_msg("%s: %s", pg.log, strerror(errno));
    pid = fork();
    if (pid < 0)
        fail_msg("fork: %s", strerror(errno));
    if (pid == 0) {
        sigset_t none;

        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)dup2(nothing, STDIN_FILENO);
        (void)dup2(log, STDOUT_FILENO);
        (void)dup2(log, STDERR_FILENO);
        if (pg.net_namespace) {
            int net = open(pg.net_namespace, O_RDONLY | O_CLOEXEC);

            if (net < 0 || setns(net, CLONE_NEWNET))
                _exit(125);
        }
        if (pg.user)
            mend_null(null);
        if (pg.user && (setgid(pg.user->pw_gid) || setuid(pg.user->pw_uid)))
            _exit(126);
        if (dies_with_us) /* after the change of user, which clears it */
            (void)prctl(PR_SET_PDEATHSIG, SIGQUIT);
        if (getppid() != parent || chdir(pg.dir))
            _exit(127);
        (void)execv(path, argv);
        _exit(127);
    }
    (void)close(log);
    (void)close(nothing);
    return pid;
}

static void show_log(void)
{
    FILE *f = fopen(pg.log, "re");
    char line[1000];

    while (f && fgets(line, sizeof line, f))
        print_message("    postgres: %s", line);
    if (f)
        (void)fclose(f);
}

static PGconn *connect_as_superuser(void)
{
    char words[200];

    (void)snprintf(words, sizeof words,
                   "host=%s port=%d user=cordon dbname=postgres connect_timeout=5", pg.dir,
                   pg.port ? pg.port : 5432);
    return PQconnectdb(words);
}

static void start_postmaster(void)
{
    char port[12], socket_dir[100];
    char *argv[ARGS_MAX] = {NULL};
    int n = 1;
    int64_t until = look_until(READY_MS);
    static const char *const fixed[] = {"fsync=off",
                                        "shared_buffers=16MB",
                                        "max_connections=80",
                                        "autovacuum_naptime=30s",
                                        "log_line_prefix=%m [%p] ",
                                        "log_statement=none"};

    (void)snprintf(port, sizeof port, "%d", pg.port ? pg.port : 5432);
    (void)snprintf(socket_dir, sizeof socket_dir, "%s", pg.dir);
    argv[n++] = (char *)(uintptr_t) "-D";
    argv[n++] = pg.data;
    argv[n++] = (char *)(uintptr_t) "-k";
    argv[n++] = socket_dir;
    argv[n++] = (char *)(uintptr_t) "-p";
    argv[n++] = port;
    argv[n++] = (char *)(uintptr_t) "-h";
    argv[n++] = (char *)(uintptr_t)(pg.net_namespace ? "*" : pg.port ? "127.0.0.1" : "");
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        argv[n++] = (char *)(uintptr_t) "-c";
        argv[n++] = (char *)(uintptr_t)fixed[i];
    }
    for (size_t i = 0; pg.settings[i] && n + 3 < ARGS_MAX; i++) {
        argv[n++] = (char *)(uintptr_t) "-c";
        argv[n++] = (char *)(uintptr_t)pg.settings[i];
    }
    pg.pid = spawn("postgres", argv, true);
    for (;;) {
        PGconn *c = connect_as_superuser();
        bool good = PQstatus(c) == CONNECTION_OK;
        int status;

        PQfinish(c);
        if (good)
            return;
        if (waitpid(pg.pid, &status, WNOHANG) == pg.pid || look_is_over(until)) {
            show_log();
            fail_msg("PostgreSQL does not start");
        }
        look_again(until, "PostgreSQL does not start");
    }
}

static void let_the_test_net_in(void)
{
    char path[400];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/pg_hba.conf", pg.data);
    f = fopen(path, "ae");
    if (!f || fputs("host all all 198.18.0.0/15 trust\n", f) < 0 || fclose(f))
        fail_msg("%s: %s", path, strerror(errno));
}

bool postgres_start(const struct postgres_options *o)
{
    char *initdb[] = {NULL,
                      (char *)(uintptr_t) "-D",
                      pg.data,
                      (char *)(uintptr_t) "-U",
                      (char *)(uintptr_t) "cordon",
                      (char *)(uintptr_t) "-A",
                      (char *)(uintptr_t) "trust",
                      (char *)(uintptr_t) "-E",
                      (char *)(uintptr_t) "UTF8",
                      (char *)(uintptr_t) "--no-locale",
                      (char *)(uintptr_t) "--no-sync",
                      (char *)(uintptr_t) "--no-instructions",
                      NULL};
    int status = -1;
    pid_t pid;

    if (pg.pid)
        return true;
    if (!find_programs())
        return false;
    if (getuid() == 0) {
        pg.user = getpwnam("postgres");
        if (!pg.user)
            fail_msg("PostgreSQL is installed, but there is no user postgres");
    }
    /* not in $TMPDIR: the name of a socket has 107 characters at most */
    (void)snprintf(pg.dir, sizeof pg.dir, "/tmp/cordon-pg.XXXXXX");
    if (!mkdtemp(pg.dir))
        fail_msg("%s: %s", pg.dir, strerror(errno));
    (void)snprintf(pg.data, sizeof pg.data, "%s/data", pg.dir);
    (void)snprintf(pg.log, sizeof pg.log, "%s/log", pg.dir);
    if (pg.user && chown(pg.dir, pg.user->pw_uid, pg.user->pw_gid))
        fail_msg("chown %s: %s", pg.dir, strerror(errno));
    (void)chmod(pg.dir, 0755);
    pg.port = o && o->tcp ? (int)port_take() : 0;
    for (size_t i = 0; o && o->settings && o->settings[i] && i + 1 < 20; i++)
        pg.settings[i] = o->settings[i];
    pid = spawn("initdb", initdb, false);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status != 0) {
        show_log();
        fail_msg("initdb ended with status 0x%x", (unsigned)status);
    }
    if (o && o->net_namespace) {
        pg.net_namespace = o->net_namespace;
        let_the_test_net_in();
    }
    start_postmaster();
    return true;
}

static void end_postmaster(int number)
{
    int status;

    if (!pg.pid)
        return;
    (void)kill(pg.pid, number);
    while (waitpid(pg.pid, &status, 0) < 0 && errno == EINTR)
        ;
    pg.pid = 0;
}

void postgres_restart(void)
{
    end_postmaster(SIGQUIT);
    start_postmaster();
}

void postgres_stop(void)
{
    char *argv[] = {(char *)(uintptr_t) "rm", (char *)(uintptr_t) "-rf", pg.dir, NULL};
    int status;
    pid_t pid;

    if (!pg.pid)
        return;
    end_postmaster(SIGQUIT);
    pid = fork();
    if (pid == 0) {
        (void)execvp(argv[0], argv);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
}

char *postgres_sql(const char *sql)
{
    PGconn *c = connect_as_superuser();
    PGresult *r = PQexec(c, sql);
    ExecStatusType status = PQresultStatus(r);
    char why[300] = "", *cell = NULL;

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        (void)snprintf(why, sizeof why, "%s", PQerrorMessage(c));
    else if (PQntuples(r) > 0 && PQnfields(r) > 0 && !PQgetisnull(r, 0, 0))
        cell = strdup(PQgetvalue(r, 0, 0));
    PQclear(r);
    PQfinish(c);
    if (why[0])
        fail_msg("%s: %s", sql, why);
    return cell;
}

char *postgres_url(char out[POSTGRES_URL_MAX])
{
    char sql[60];

    (void)snprintf(sql, sizeof sql, "CREATE SCHEMA s%u", ++pg.schemas);
    free(postgres_sql(sql));
    (void)snprintf(out, POSTGRES_URL_MAX,
                   "postgresql://cordon@/postgres?host=%s&port=%d&options=-csearch_path%%3Ds%u",
                   pg.dir, pg.port ? pg.port : 5432, pg.schemas);
    return out;
}

int postgres_port(void)
{
    return pg.port;
}
