/* test_mail_ways.c - the ways a mail of cordon's can take, and what attackers may make of it on the way.
 *
 * What counts is what the mail server was told (its transcript) and the bytes that it got. Those are read by
 * Python's email package: another hand than ours wrote it, as with the mail programs of those who are told.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "kit/certs.h"
#include "kit/house.h"
#include "kit/look.h"
#include "kit/program.h"

#define MACHINE  "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define SOON     20000 /* ms; a deadline, not a wait */
#define LATER    60000 /* the same, where a second attempt is waited for */
#define USERNAME "cordon@contoso.example"
#define PASSWORD "pass:word with blanks \xc3\xa5"

static const char *const login[] = {"--smtp-user", USERNAME, "--smtp-password", PASSWORD, NULL};

/* ---- the ways ------------------------------------------------------------------------------------ */

/* A cordon that is to log in; url NULL: the simulator's smtp://. Not started. */
static struct house *house_with_login(const char *url)
{
    const struct house_options o = {.sim = {.args = login},
                                    .mail = "  username: " USERNAME
                                            "\n  password_file: mail-password\n",
                                    .not_yet = true};
    struct house *h = house_start(&o);

    free(house_write_file(h, "mail-password", PASSWORD "\n"));
    if (url)
        house_edit(h, h->sim->smtp_url, url);
    return h;
}

static void push_high(struct house *h)
{
    sim_tell(h->sim, "/machines", "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114\"}");
    sim_tell(h->sim, "/alerts",
             "{\"id\":\"da1_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
    json_free(house_push(h, "da1_-1", MACHINE, 202));
}

/* All that the mail server was told, each command on a line. Heap. */
static char *transcript(struct house *h)
{
    AUTO(json_freep) struct json *smtp = sim_get(h->sim, "/smtp");
    struct buf b = BUF_INIT(1 << 20);

    JSON_EACH (command, json_get(smtp, "commands"))
        buf_addf(&b, "%s\n", json_string(command));
    buf_adds(&b, "");
    return buf_take(&b);
}

static size_t place_of(const char *text, const char *what)
{
    const char *at = strstr(text, what);

    if (!at)
        fail_msg("no '%s' in\n%s", what, text);
    return (size_t)(at - text);
}

static void assert_both_arrived(struct house *h, int64_t timeout_ms)
{
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 2, timeout_ms);

    assert_int_equal(json_count(json_get(mails, "mails")), 2);
    JSON_EACH (mail, json_get(mails, "mails")) {
        assert_true(json_is_true(json_get(mail, "tls")));
        assert_string_equal(json_get_string(mail, "user"), USERNAME);
        assert_string_equal(json_get_string(mail, "from"), "cordon@contoso.example");
        assert_int_equal(json_count(json_get(mail, "rcpt")), 1);
    }
}

static void test_mail_ways__implicit_tls_with_login(void **state)
{
    struct house *h = house_with_login(NULL);
    char *said;

    (void)state;
    house_edit(h, h->sim->smtp_url, h->sim->smtps_url);
    house_cordon_start(h);
    push_high(h);
    assert_both_arrived(h, SOON);
    said = transcript(h);
    assert_true(place_of(said, "AUTH ") < place_of(said, "MAIL FROM"));
    assert_null(strstr(said, "STARTTLS")); /* it was TLS from the start */
    free(said);
    house_log_lacks(h, "pass:word");
    house_stop(h);
}

static void test_mail_ways__starttls_with_login(void **state)
{
    struct house *h = house_with_login(NULL);
    char *said;

    (void)state;
    house_cordon_start(h);
    push_high(h);
    assert_both_arrived(h, SOON);
    said = transcript(h);
    assert_true(place_of(said, "STARTTLS") < place_of(said, "AUTH "));
    assert_true(place_of(said, "AUTH ") < place_of(said, "MAIL FROM"));
    free(said);
    house_log_lacks(h, "pass:word");
    house_stop(h);
}

/* The part of /readyz that is about mail; waits until it is sick. */
static void wait_until_sick(struct house *h)
{
    for (int64_t until = look_until(SOON);; look_again(until, "/readyz does not call mail sick")) {
        AUTO(json_freep) struct json *ready = house_get(h, "/readyz"); /* 200: pushes are taken */
        const struct json *mail = json_get(json_get(ready, "parts"), "mail");

        if (mail && !json_is_true(json_get(mail, "ok"))) {
            assert_true(json_is_true(json_get(ready, "degraded")));
            assert_true(strlen(json_get_string(mail, "why")) > 0);
            return;
        }
    }
}

static void test_mail_ways__without_tls_nothing_is_sent(void **state)
{
    static const struct {
        const char *label, *config, *heal; /* heal NULL: it stays so */
        const char *host; /* NULL: as it is; 127.1 is no name of loopback's for us */
        bool other_ca;
    } rows[] = {
        {"STARTTLS is dropped on the way", "{\"smtp\":{\"starttls\":false}}", NULL, "127.1", false},
        {"STARTTLS is refused", "{\"smtp\":{\"starttls_refused\":true}}",
         "{\"smtp\":{\"starttls_refused\":false}}", NULL, false},
        {"STARTTLS is refused elsewhere", "{\"smtp\":{\"starttls_refused\":true}}", NULL, "127.1",
         false},
        {"nobody vouches for the certificate", "{}", NULL, NULL, true},
        {"the certificate is of another host", "{}", NULL, "127.1", false},
    };
    enum { ROWS = sizeof rows / sizeof *rows };
    struct house *houses[ROWS];

    (void)state;
    for (size_t i = 0; i < ROWS; i++) { /* side by side */
        struct house *h = houses[i] = house_with_login(NULL);
        const char *port = strrchr(h->sim->smtp_url, ':');
        char url[100], ca[400];

        if (rows[i].host) {
            (void)snprintf(url, sizeof url, "smtp://%s%s", rows[i].host, port);
            house_edit(h, h->sim->smtp_url, url);
        }
        if (rows[i].other_ca) {
            struct cert *other = cert_new(&(struct cert_wish){.name = "Another CA", .days = 2});

            (void)snprintf(ca, sizeof ca, "%s/other-ca.pem", h->dir);
            cert_save(other, ca, NULL);
            cert_free(other);
            house_edit(h, h->sim->smtp_ca_file, ca);
        }
        sim_tell(h->sim, "/config", rows[i].config);
        house_cordon_start(h);
        push_high(h);
    }
    for (size_t i = 0; i < ROWS; i++) {
        struct house *h = houses[i];
        char *said;

        print_message("  %s\n", rows[i].label);
        wait_until_sick(h);
        json_free(sim_wait_isolated(h->sim, 1, SOON)); /* which mail does not hold up */
        said = transcript(h);
        (void)place_of(said, "EHLO");
        assert_null(strstr(said, "MAIL FROM"));
        assert_null(strstr(said, "AUTH"));
        assert_null(strstr(said, "RCPT"));
        free(said);
        assert_int_equal(sim_state(h->sim, "mails"), 0);
    }
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].heal) {
            sim_tell(houses[i]->sim, "/config", rows[i].heal);
            assert_both_arrived(houses[i], LATER);
        }
        house_log_lacks(houses[i], "pass:word");
        house_stop(houses[i]);
    }
}

static void test_mail_ways__a_wrong_password_is_said_and_sends_nothing(void **state)
{
    static const char *const servers[] = {"smtp", "smtps"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct house *h = house_with_login(NULL);
        char *said;

        free(house_write_file(h, "mail-password", "not the password"));
        if (i)
            house_edit(h, h->sim->smtp_url, h->sim->smtps_url);
        house_cordon_start(h);
        push_high(h);
        wait_until_sick(h);
        said = transcript(h);
        print_message("  %s\n", servers[i]);
        (void)place_of(said, "AUTH");
        assert_null(strstr(said, "MAIL FROM"));
        free(said);
        house_log_lacks(h, "not the password");
        assert_int_equal(sim_state(h->sim, "mails"), 0);
        house_stop(h);
    }
}

/* ---- hostile text -------------------------------------------------------------------------------- */

/* Everything of theirs is at evil.example. */
static const char *const naughty[] = {
    "a\r\nBcc: victim@evil.example",
    "a\nBcc: victim@evil.example\nX-Cordon-State: isolated\n\nbody",
    "a\rTo: victim@evil.example\r",
    "x\r\n.\r\nMAIL FROM:<a@evil.example>\r\nRCPT TO:<b@evil.example>\r\nDATA\r\n",
    "\r\n--boundary\r\nContent-Type: text/html\r\n\r\n<h1>x</h1>\r\n--boundary--\r\n",
    "<script src=//evil.example/x.js></script><img src=http://evil.example/i onerror=alert(1)>",
    "</td></tr></table></body></html><a href='https://evil.example/'>Release</a><!--",
    "\"><svg/onload=alert`1`>&#60;b&#62;&lt;i&gt;&amp;",
    "<style>body{display:none}</style><base href=https://evil.example/><form action=//evil.example>",
    "http://evil.example/phish HTTPS://EVIL.EXAMPLE:8443 ftp://evil.example www.evil.example/x",
    "see https://user:pw@evil.example/?u=https://security.microsoft.com/alerts/x",
    "javascript:alert(1) data:text/html,x file:///etc/passwd \\\\evil.example\\share "
    "mailto:x@evil.example",
    "invoice\xe2\x80\xae"
    "fdp.exe \xe2\x81\xa6x\xe2\x81\xa9 a\xe2\x80\x8b"
    "b\xef\xbb\xbf \xd8\x9c",
    "\xf0\x9f\x94\xa5\xf0\x9f\xa7\xa8 \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb \xc3\xa9 "
    "\xe6\x97\xa5\xe6\x9c\xac \xf3\xa0\x81\x81",
    "=?utf-8?B?QmNjOiB4QGV2aWwuZXhhbXBsZQ==?= =?utf-8?Q?=0D=0ABcc:_x?=",
    "{{alert.id}} {{machine.tags}} %s%s%n ${HOME} $(id) `id`",
    "'; DROP TABLE cases; --",
    "\x1b[31mred\x1b[0m \x07\x08\x7f\x01",
    "\xe2\x80\xa8line\xe2\x80\xa9paragraph\xc2\x85next",
    "a@evil.example, <b@evil.example>; \"c\" <c@evil.example>",
    "[ISOLATED] High: all is well",
    ".\n..\n.",
    " ",
    "",
};

#define TEN_KB 10240

static char *alert_id(size_t i, char severity, char out[40])
{
    (void)snprintf(out, 40, "da%zu%c_-1", i, severity);
    return out;
}

/* An alert and a machine that carry the text wherever attackers choose it. */
static void add_naughty(struct house *h, size_t i, const char *text, const char *severity)
{
    struct buf machine = BUF_INIT(1 << 20), alert = BUF_INIT(1 << 20);
    struct json_out m = JSON_OUT(&machine), a = JSON_OUT(&alert);
    char id[50], machine_id[50];

    (void)snprintf(machine_id, sizeof machine_id, "%040zx", i + 1);
    json_out_object(&m, NULL);
    json_out_string(&m, "id", machine_id);
    json_out_string(&m, "computerDnsName", text);
    json_out_object_end(&m);
    json_out_object(&a, NULL);
    json_out_string(&a, "id", alert_id(i, *severity, id));
    json_out_string(&a, "severity", severity);
    json_out_string(&a, "title", text);
    json_out_string(&a, "category", text);
    json_out_string(&a, "machineId", machine_id);
    json_out_string(&a, "computerDnsName", text);
    json_out_object(&a, "relatedUser");
    json_out_string(&a, "userName", text);
    json_out_string(&a, "domainName", "CORP");
    json_out_object_end(&a);
    json_out_array(&a, "evidence");
    json_out_object(&a, NULL);
    json_out_string(&a, "entityType", "Process");
    json_out_string(&a, "processCommandLine", text);
    json_out_string(&a, "fileName", text);
    json_out_object_end(&a);
    json_out_array_end(&a);
    json_out_object_end(&a);
    sim_tell(h->sim, "/machines", buf_text(&machine));
    sim_tell(h->sim, "/alerts", buf_text(&alert));
    buf_clear(&machine);
    buf_clear(&alert);
}

/* One plain line of at most 1,000 characters (defender-api.md trap 30): no control, nothing that reorders. */
static void assert_plain(const char *comment)
{
    size_t characters = 0;

    for (const unsigned char *p = (const unsigned char *)comment; *p; p++) {
        characters += (*p & 0xc0) != 0x80;
        if (*p < ' ' || *p == 0x7f)
            fail_msg("control %02x in the comment '%s'", *p, comment);
        if (p[0] == 0xe2 && ((p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae) ||
                             (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9)))
            fail_msg("a control of directions or lines in the comment '%s'", comment);
    }
    assert_in_range(characters, 1, 1000);
}

/* Reads mails.json of its folder; says on stdout what is wrong with which mail. */
static const char reader[] =
    "import base64, collections, email, email.policy, html.parser, json, re, sys\n"
    "OURS = 'https://security.microsoft.com/alerts/'\n"
    "ALWAYS = ['auto-submitted', 'content-type', 'date', 'from', 'message-id', 'mime-version',\n"
    "          'subject', 'thread-index', 'thread-topic', 'to', 'x-cordon-case', 'x-cordon-state']\n"
    "TAGS = {'requested': '[REQUESTED] ', 'isolated': '[ISOLATED] ', 'alert': '[ALERT] ',\n"
    "        'not_isolated': '[NOT ISOLATED: '}\n"
    "OURS_TOO = ('style', 'lang', 'charset', 'name', 'content', 'class', 'role', 'border', 'width',\n"
    "            'cellpadding', 'cellspacing', 'align', 'valign', 'bgcolor')\n"
    "MSO = ['[if mso]><table role=\"presentation\" border=\"0\" cellpadding=\"0\" cellspacing=\"0\" '\n"
    "       'width=\"620\"><tr><td><![endif]', '[if mso]></td></tr></table><![endif]']\n"
    "HIDING = re.compile('[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\u061c\\u200b-\\u200f"
    "\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\U000e0000-\\U000e007f]')\n"
    "faults = 0\n"
    "\n"
    "def fault(n, what):\n"
    "    global faults\n"
    "    faults += 1\n"
    "    print('mail %d: %s' % (n, what))\n"
    "\n"
    "class Page(html.parser.HTMLParser):\n"
    "    def __init__(self):\n"
    "        super().__init__(convert_charrefs=True)\n"
    "        self.text, self.tags, self.links, self.odd, self.comments = \\\n"
    "            '', collections.Counter(), [], [], []\n"
    "    def handle_starttag(self, tag, attrs):\n"
    "        self.tags[tag] += 1\n"
    "        for name, value in attrs:\n"
    "            if name == 'href': self.links.append(value)\n"
    "            elif name not in OURS_TOO: self.odd.append(name)\n"
    "            elif 'url(' in value: self.odd.append(value)\n"
    "    def handle_data(self, data): self.text += data\n"
    "    def handle_comment(self, data): self.comments.append(data)\n"
    "    def handle_pi(self, data): self.odd.append('instruction')\n"
    "\n"
    "def judge_text(n, where, text):\n"
    "    if HIDING.search(text):\n"
    "        fault(n, '%s: hides or reorders: %r' % (where, HIDING.search(text)))\n"
    "    if 'evil.example' in text.lower():\n"
    "        at = text.lower().index('evil.example')\n"
    "        fault(n, '%s: names their host: %r' % (where, text[max(0, at - 20):at + 30]))\n"
    "    for url in re.findall(r'(?i)[a-z0-9+.-]{1,20}://\\S*', text):\n"
    "        if not url.startswith(OURS): fault(n, '%s: their link: %r' % (where, url))\n"
    "    for word in re.findall(r'(?i)\\b(?:javascript|data|mailto|vbscript|file):\\S', text):\n"
    "        fault(n, '%s: a scheme: %r' % (where, word))\n"
    "    if re.search(r'(?i)\\\\\\\\[a-z0-9]', text): fault(n, '%s: a UNC path' % where)\n"
    "    if re.search(r'(?i)www\\.[a-z]', text): fault(n, '%s: www.' % where)\n"
    "\n"
    "def judge(n, mail, raw):\n"
    "    if b'\\r' in raw.replace(b'\\r\\n', b'') or b'\\n' in raw.replace(b'\\r\\n', b''):\n"
    "        fault(n, 'bare CR or LF')\n"
    "    if any(c > 126 or (c < 32 and c not in b'\\r\\n\\t') for c in raw):\n"
    "        fault(n, 'bytes beyond ASCII')\n"
    "    if max(map(len, raw.split(b'\\r\\n'))) > 998: fault(n, 'a line of more than 998')\n"
    "    msg = email.message_from_bytes(raw, policy=email.policy.default)\n"
    "    names = sorted(name.lower() for name in msg.keys())\n"
    "    reply = ['in-reply-to', 'references']\n"
    "    if names not in (ALWAYS, sorted(ALWAYS + reply)): fault(n, 'headers: %r' % names)\n"
    "    for name, value in msg.items():\n"
    "        if value.defects: fault(n, '%s: %r' % (name, value.defects))\n"
    "        if HIDING.search(value) or '\\n' in value or '\\r' in value:\n"
    "            fault(n, '%s hides something: %r' % (name, value))\n"
    "        if len(value) > 700: fault(n, '%s has %d characters' % (name, len(value)))\n"
    "    if [a.addr_spec for a in msg['to'].addresses] != ['soc@contoso.example']:\n"
    "        fault(n, 'to %r' % msg['to'])\n"
    "    if [a.addr_spec for a in msg['from'].addresses] != ['cordon@contoso.example']:\n"
    "        fault(n, 'from %r' % msg['from'])\n"
    "    if mail['rcpt'] != ['soc@contoso.example'] or mail['from'] != 'cordon@contoso.example':\n"
    "        fault(n, 'envelope %r' % mail['rcpt'])\n"
    "    said = (msg['subject'] + ' ')[len(TAGS[msg['x-cordon-state']]):]\n"
    "    if not (msg['subject'] + ' ').startswith(TAGS[msg['x-cordon-state']]) or 'ISOLATED]' in said:\n"
    "        fault(n, 'subject %r' % msg['subject'])\n"
    "    judge_text(n, 'subject', msg['subject'])\n"
    "    judge_text(n, 'topic', msg['thread-topic'])\n"
    "    parts = list(msg.walk())\n"
    "    types = [p.get_content_type() for p in parts]\n"
    "    if types != ['multipart/alternative', 'text/plain', 'text/html']:\n"
    "        return fault(n, 'structure %r' % types)\n"
    "    for part in parts:\n"
    "        if part.defects: fault(n, 'defects %r' % part.defects)\n"
    "    for part in parts[1:]:\n"
    "        if part.get_content_charset() != 'utf-8' or part.get_content_disposition():\n"
    "            fault(n, 'part %r' % part.items())\n"
    "    text, page = parts[1].get_content(), Page()\n"
    "    page.feed(parts[2].get_content())\n"
    "    page.close()\n"
    "    judge_text(n, 'text', text)\n"
    "    for line in text.splitlines():\n" /* what they say stays behind the name of a fact */
    "        if re.match(r'Bcc|To:|X-Cordon|MAIL|RCPT|DATA|--|Content-|\\.|line|paragraph|next', line):\n"
    "            fault(n, 'a line of theirs: %r' % line)\n"
    "    judge_text(n, 'page', page.text)\n"
    "    if page.odd: fault(n, 'odd in the page: %r' % page.odd)\n"
    "    if page.comments != MSO: fault(n, 'comments %r' % page.comments)\n"
    "    want = {'html': 1, 'head': 1, 'meta': 4, 'title': 1, 'style': 1, 'body': 1, 'h1': 1, 'h2': 1,\n"
    "            'table': 5, 'a': 1}\n"
    "    for tag, count in page.tags.items():\n"
    "        if want.get(tag, count if tag in ('p', 'b', 'br', 'code', 'tr', 'td') else 0) != count:\n"
    "            fault(n, 'tag %s %d times' % (tag, count))\n"
    "    if page.tags['td'] != 2 * (page.tags['tr'] - 4) + 4: fault(n, 'rows %r' % page.tags)\n"
    "    if len(page.links) != 1 or not page.links[0].startswith(OURS):\n"
    "        fault(n, 'links %r' % page.links)\n"
    "    return str(msg['subject']) + text\n"
    "\n"
    "mails = json.load(open('mails.json', encoding='utf-8'))['mails']\n"
    "all = ''\n"
    "for n, mail in enumerate(mails):\n"
    "    all += judge(n, mail, base64.b64decode(mail['raw_base64'])) or ''\n"
    "for literal in ('=?utf-8?B?QmNj', '{{alert[.]id}}', '${HOME}', \"'; DROP TABLE\", '[U+202E]'):\n"
    "    if literal not in all: fault(-1, 'nowhere as it was written: ' + literal)\n"
    "print('%d mails, %d faults' % (len(mails), faults))\n"
    "sys.exit(1 if faults else 0)\n";

static void read_with_python(struct house *h, const struct json *mails)
{
    static const char *const argv[] = {"/usr/bin/env", "python3", "reader.py", NULL};
    struct buf b = BUF_INIT(64 << 20);
    struct ran ran;

    json_write(&b, mails);
    free(house_write_file(h, "mails.json", buf_text(&b)));
    free(house_write_file(h, "reader.py", reader));
    buf_clear(&b);
    program_run(&ran, h->dir, NULL, argv);
    if (ran.code == 127) {
        print_message("  SKIPPED: python3 is missing; nobody but us has read the mails\n");
        ran_clear(&ran);
        house_stop(h);
        skip();
    }
    print_message("  %s", ran.out);
    if (ran.code)
        fail_msg("what Python says of the mails:\n%s%s", ran.out, ran.err);
    ran_clear(&ran);
}

static void test_mail_ways__hostile_text_stays_text(void **state)
{
    static const char body[] = "Title: {{alert.title}} Machine: {{machine.name}} User: "
                               "{{alert.user}} Commands: {{alert.evidence.processes}}";
    enum { GIVEN = sizeof naughty / sizeof *naughty, ALL = GIVEN + 3 };
    struct buf rules = BUF_INIT(1 << 16);
    struct house_options o = {.sim = {.config = "{\"actions\":{\"done_after_ms\":300}}"}};
    char ascii[TEN_KB + 1], accents[TEN_KB + 1], brackets[TEN_KB + 1];
    struct house *h;

    (void)state;
    buf_addf(
        &rules,
        "  - name: contain\n    when: {alert.severity: High}\n    do:\n"
        "      - isolate: {type: full, comment: \"%s\"}\n      - email: {body: \"%s\"}\n"
        "  - name: tell\n    do:\n"
        "      - email: {subject: \"{{alert.title}} {{alert.evidence.files}}\", body: \"%s\"}\n",
        body, body, body);
    o.rules = buf_text(&rules);
    h = house_start(&o);
    buf_clear(&rules);
    for (size_t i = 0; i < TEN_KB; i++) {
        ascii[i] = 'A';
        accents[i] = "\xc3\xa9"[i % 2];
        brackets[i] = "<&>\""[i % 4];
    }
    ascii[TEN_KB] = accents[TEN_KB] = brackets[TEN_KB] = '\0';
    for (size_t i = 0; i < ALL; i++) {
        const char *text = i < GIVEN        ? naughty[i]
                           : i == GIVEN     ? ascii
                           : i == GIVEN + 1 ? accents
                                            : brackets;
        char id[40];

        add_naughty(h, i, text, "High");
        add_naughty(h, i, text, "Medium");
        json_free(house_push(h, alert_id(i, 'H', id), NULL, 202));
        json_free(house_push(h, alert_id(i, 'M', id), NULL, 202));
    }
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 3 * ALL, LATER);
    AUTO(json_freep)
    struct json *calls = sim_calls(h->sim, "POST", SIM_ISOLATE, 0);

    assert_int_equal(json_count(json_get(calls, "calls")), ALL);
    JSON_EACH (call, json_get(calls, "calls")) {
        const char *sent = json_get_string(call, "body");
        AUTO(json_freep) struct json *doc = NULL;

        assert_int_equal(json_parse(sent, strlen(sent), &doc, NULL), ERR_OK);
        assert_int_equal(json_count(doc), 3); /* Comment, IsolationType, ExternalId */
        assert_plain(json_get_string(doc, "Comment"));
    }
    read_with_python(h, mails);
    house_stop(h);
}

/* Registry values hold NULs: one in an alert is no way past cordon. */
static void test_mail_ways__a_nul_in_an_alert_hides_nothing(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    sim_tell(h->sim, "/machines", "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114\"}");
    sim_tell(h->sim, "/faults",
             "{\"method\":\"GET\",\"path\":\"/api/alerts/*\",\"kind\":\"answer\",\"count\":-1,"
             "\"status\":200,\"body\":\"{\\\"id\\\":\\\"da1_-1\\\",\\\"severity\\\":\\\"High\\\","
             "\\\"title\\\":\\\"a\\\\u0000b\\\",\\\"machineId\\\":\\\"" MACHINE
             "\\\",\\\"evidence\\\":[{\\\"registryValue\\\":\\\"\\\\ud800\\\\u0000\\\"}]}\"}");
    AUTO(json_freep) struct json *answer = house_push(h, "da1_-1", MACHINE, 202);
    json_free(house_wait_case(h, answer, "done", SOON));
    AUTO(json_freep) struct json *calls = sim_calls(h->sim, "POST", SIM_ISOLATE, 0);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 2, SOON);

    assert_int_equal(json_count(json_get(calls, "calls")), 1);
    assert_non_null(strstr(json_get_string(json_first(json_get(calls, "calls")), "body"),
                           "\"a\xef\xbf\xbd"
                           "b\""));
    assert_int_equal(json_count(json_get(mails, "mails")), 2);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_ways__implicit_tls_with_login),
        cmocka_unit_test(test_mail_ways__starttls_with_login),
        cmocka_unit_test(test_mail_ways__without_tls_nothing_is_sent),
        cmocka_unit_test(test_mail_ways__a_wrong_password_is_said_and_sends_nothing),
        cmocka_unit_test(test_mail_ways__hostile_text_stays_text),
        cmocka_unit_test(test_mail_ways__a_nul_in_an_alert_hides_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
