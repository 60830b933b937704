/* test_client.c - whose request is it? Every row is a peer, the proxies that are trusted, and what was claimed. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "client.h"

#define LINES 4

struct claims {
    const char *lines[LINES];
};

static const char *line_of(void *ctx, unsigned n)
{
    return n < LINES ? ((const struct claims *)ctx)->lines[n] : NULL;
}

/* "10.0.0.0/8 ::1 …" */
static size_t read_list(const char *text, struct cidr items[8])
{
    char copy[200], *save = NULL;
    size_t n = 0;

    assert_true(strlen(text) < sizeof copy);
    memcpy(copy, text, strlen(text) + 1);
    for (char *one = strtok_r(copy, " ", &save); one; one = strtok_r(NULL, " ", &save))
        assert_int_equal(settings_cidr(one, &items[n++], NULL), ERR_OK);
    return n;
}

static struct client find(const char *trusted, const char *peer, const struct claims *claims)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNIX};
    struct cidr items[8];
    const struct cidr_list list = {.items = items, .count = read_list(trusted, items)};
    char text[HTTP_PEER_TEXT_SIZE];
    struct client c;

    if (strchr(peer, '.') && !strchr(peer, ':')) {
        sa.ss_family = AF_INET;
        assert_int_equal(inet_pton(AF_INET, peer, &((struct sockaddr_in *)&sa)->sin_addr), 1);
    } else if (strchr(peer, ':')) {
        sa.ss_family = AF_INET6;
        assert_int_equal(inet_pton(AF_INET6, peer, &((struct sockaddr_in6 *)&sa)->sin6_addr), 1);
    }
    memset(&c, 0xa5, sizeof c);
    client_find(&list, (struct sockaddr *)&sa, http_peer_text((struct sockaddr *)&sa, text),
                line_of, (void *)(uintptr_t)claims, &c);
    return c;
}

static void test_client__is_whom_the_last_trusted_proxy_heard(void **state)
{
    static const struct {
        const char *label, *trusted, *peer;
        struct claims claims;
        const char *text; /* as people read it; NULL: not known */
    } rows[] = {
        {"no proxies, no header", "", "192.0.2.1", {{NULL}}, "192.0.2.1"},
        {"no proxies: the header is nobody's", "", "192.0.2.1", {{"10.0.0.1"}}, "192.0.2.1"},
        {"another peer than the proxy", "10.0.0.7", "10.0.0.8", {{"198.51.100.1"}}, "10.0.0.8"},
        {"one proxy", "10.0.0.7", "10.0.0.7", {{"198.51.100.1"}}, "198.51.100.1"},
        {"the proxy itself", "10.0.0.7", "10.0.0.7", {{NULL}}, "10.0.0.7"},
        {"a forged entry on the left",
         "10.0.0.7",
         "10.0.0.7",
         {{"10.0.0.7, 198.51.100.1"}},
         "198.51.100.1"},
        {"two forged, one of them nonsense",
         "10.0.0.7",
         "10.0.0.7",
         {{"x, 127.0.0.1, 198.51.100.1"}},
         "198.51.100.1"},
        {"two proxies", "10.0.0.0/8", "10.0.0.7", {{"198.51.100.1, 10.9.9.9"}}, "198.51.100.1"},
        {"two proxies and a forged one",
         "10.0.0.0/8",
         "10.0.0.7",
         {{"10.1.1.1, 198.51.100.1,10.9.9.9"}},
         "198.51.100.1"},
        {"proxies alone: the first of them",
         "10.0.0.0/8",
         "10.0.0.7",
         {{"10.3.3.3, 10.9.9.9"}},
         "10.3.3.3"},
        {"a line of its own",
         "10.0.0.7",
         "10.0.0.7",
         {{"10.0.0.7", "198.51.100.1"}},
         "198.51.100.1"},
        {"three lines, two proxies",
         "10.0.0.0/8",
         "10.0.0.7",
         {{"6.6.6.6", "1.1.1.1, 198.51.100.1", "10.2.2.2"}},
         "198.51.100.1"},
        {"tabs and blanks",
         "10.0.0.7",
         "10.0.0.7",
         {{" 6.6.6.6 ,\t198.51.100.1 \t"}},
         "198.51.100.1"},
        {"with a port", "10.0.0.7", "10.0.0.7", {{"6.6.6.6, 198.51.100.1:4711"}}, "198.51.100.1"},
        {"the lowest port", "10.0.0.7", "10.0.0.7", {{"198.51.100.1:1"}}, "198.51.100.1"},
        {"the highest port", "10.0.0.7", "10.0.0.7", {{"198.51.100.1:65535"}}, "198.51.100.1"},
        {"IPv6", "10.0.0.7", "10.0.0.7", {{"2001:db8::5"}}, "2001:db8::5"},
        {"IPv6 in brackets", "10.0.0.7", "10.0.0.7", {{"[2001:db8::5]"}}, "2001:db8::5"},
        {"IPv6 with a port", "10.0.0.7", "10.0.0.7", {{"[2001:DB8:0::5]:443"}}, "2001:db8::5"},
        {"IPv4 in IPv6 is IPv4",
         "10.0.0.0/8",
         "10.0.0.7",
         {{"198.51.100.1, ::ffff:10.1.1.1"}},
         "198.51.100.1"},
        {"an IPv6 proxy", "2001:db8::/32", "2001:db8::7", {{"198.51.100.1"}}, "198.51.100.1"},
        {"a proxy on a mapped socket",
         "10.0.0.7",
         "::ffff:10.0.0.7",
         {{"198.51.100.1"}},
         "198.51.100.1"},
        {"a Unix socket, not trusted", "", "unix", {{"198.51.100.1"}}, "unix"},
        {"a Unix socket is 127.0.0.1", "127.0.0.1", "unix", {{"198.51.100.1"}}, "198.51.100.1"},
        {"a Unix socket without the header", "127.0.0.1", "unix", {{NULL}}, "unix"},
        /* what is no address */
        {"nothing", "10.0.0.7", "10.0.0.7", {{""}}, NULL},
        {"blanks", "10.0.0.7", "10.0.0.7", {{"  "}}, NULL},
        {"a word", "10.0.0.7", "10.0.0.7", {{"unknown"}}, NULL},
        {"an empty last entry", "10.0.0.7", "10.0.0.7", {{"10.0.0.7,"}}, NULL},
        {"an empty last entry, and blanks", "10.0.0.7", "10.0.0.7", {{"198.51.100.1, ,"}}, NULL},
        {"an empty last line", "10.0.0.7", "10.0.0.7", {{"198.51.100.1", ""}}, NULL},
        {"an empty entry behind a proxy",
         "10.0.0.0/8",
         "10.0.0.7",
         {{"198.51.100.1,,10.9.9.9"}},
         NULL},
        {"three numbers", "10.0.0.7", "10.0.0.7", {{"198.51.100"}}, NULL},
        {"octal", "10.0.0.7", "10.0.0.7", {{"010.0.0.1"}}, NULL},
        {"hexadecimal", "10.0.0.7", "10.0.0.7", {{"0x0a.0.0.1"}}, NULL},
        {"one number", "10.0.0.7", "10.0.0.7", {{"167772161"}}, NULL},
        {"a name", "10.0.0.7", "10.0.0.7", {{"localhost"}}, NULL},
        {"a quoted one", "10.0.0.7", "10.0.0.7", {{"\"198.51.100.1\""}}, NULL},
        {"two in one", "10.0.0.7", "10.0.0.7", {{"198.51.100.1 198.51.100.2"}}, NULL},
        {"a port that is none", "10.0.0.7", "10.0.0.7", {{"198.51.100.1:"}}, NULL},
        {"a port that is a word", "10.0.0.7", "10.0.0.7", {{"198.51.100.1:http"}}, NULL},
        {"a port of six digits", "10.0.0.7", "10.0.0.7", {{"198.51.100.1:123456"}}, NULL},
        {"a bracket left open", "10.0.0.7", "10.0.0.7", {{"[2001:db8::5"}}, NULL},
        {"IPv4 in brackets", "10.0.0.7", "10.0.0.7", {{"[198.51.100.1]"}}, NULL},
        {"more behind the bracket", "10.0.0.7", "10.0.0.7", {{"[2001:db8::5]x"}}, NULL},
        {"a zone", "10.0.0.7", "10.0.0.7", {{"fe80::1%eth0"}}, NULL},
        {"a network", "10.0.0.7", "10.0.0.7", {{"198.51.100.1/32"}}, NULL},
        {"the syntax of Forwarded", "10.0.0.7", "10.0.0.7", {{"for=198.51.100.1"}}, NULL},
        {"a long one",
         "10.0.0.7",
         "10.0.0.7",
         {{"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001"}},
         NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct client c = find(rows[i].trusted, rows[i].peer, &rows[i].claims);

        if (c.known != (rows[i].text != NULL) || (c.known && strcmp(c.text, rows[i].text) != 0))
            fail_msg("%s: %s, %s", rows[i].label, c.text, c.known ? "known" : "not known");
    }
}

/* Who cannot be told is nowhere, not even where the proxy that could not tell is. */
static void test_client__who_is_not_known_is_in_no_network(void **state)
{
    struct cidr items[8];
    const struct cidr_list all = {.items = items, .count = read_list("::/0 0.0.0.0/0", items)};
    struct client c = find("10.0.0.7", "10.0.0.7", &(struct claims){{"unknown"}});

    (void)state;
    assert_false(client_is_in(&c, &all));
    assert_string_equal(c.text, "10.0.0.7"); /* for a log line, and for a rate */
    c = find("10.0.0.0/8", "10.0.0.7", &(struct claims){{"198.51.100.1, x, 10.2.2.2"}});
    assert_false(client_is_in(&c, &all));
    assert_string_equal(c.text, "10.2.2.2");
    c = find("10.0.0.7", "10.0.0.7", &(struct claims){{"198.51.100.1", "unknown"}});
    assert_false(client_is_in(&c, &all));
    assert_string_equal(c.text, "10.0.0.7"); /* and not what another line claims */
    c = find("10.0.0.7", "10.0.0.7", &(struct claims){{NULL}});
    assert_true(client_is_in(&c, &all));
}

static void test_client__networks_of_both_families(void **state)
{
    static const struct {
        const char *peer, *networks;
        bool in;
    } rows[] = {
        {"10.1.2.3", "10.0.0.0/8", true},
        {"11.1.2.3", "10.0.0.0/8", false},
        {"::ffff:10.1.2.3", "10.0.0.0/8", true},
        {"10.1.2.3", "192.0.2.0/24 10.1.2.3", true},
        {"10.1.2.4", "192.0.2.0/24 10.1.2.3", false},
        {"2001:db8:ffff::1", "10.0.0.0/8 2001:db8::/32", true},
        {"2001:db9::1", "10.0.0.0/8 2001:db8::/32", false},
        {"::10.1.2.3", "10.0.0.0/8", false}, /* another thing than IPv4 in IPv6 */
        {"unix", "127.0.0.0/8", true},
        {"unix", "10.0.0.0/8 ::1", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cidr items[8];
        const struct cidr_list list = {.items = items, .count = read_list(rows[i].networks, items)};
        const struct client c = find("", rows[i].peer, &(struct claims){{NULL}});

        if (client_is_in(&c, &list) != rows[i].in)
            fail_msg("%s in %s", rows[i].peer, rows[i].networks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client__is_whom_the_last_trusted_proxy_heard),
        cmocka_unit_test(test_client__who_is_not_known_is_in_no_network),
        cmocka_unit_test(test_client__networks_of_both_families),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
