/* html.c - see html.h. Colours have a contrast of at least 4.5 to what they stand on, by day and by night (WCAG 2.2, success
 * criterion 1.4.3).
 *
 * The style stands in the page, and the policy names it by its hash: one answer holds all, so a page shows as it should
 * however bad the line is, and a second path that needs no credential is not there.
 *
 * Referrer-Policy is same-origin and not no-referrer, by which browsers send `Origin: null` with a form, too (Fetch
 * standard, "append a request Origin header"): who takes the form could not tell ours from others'. */
#include "html.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base64.h"
#include "mime.h"
#include "verify.h"

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1f2328;--faint:#57606a;--page:#eef1f4;--sheet:#fff;"
    "--line:#d5d9de;--link:#0b4f8a;--button:#1f4e79;--good:#116329;--warn:#7d4200;--bad:#a40e26;"
    "--good-bg:#dff3e4;--warn-bg:#fff0d1;--bad-bg:#ffe3e1;--plain-bg:#e6eaee}\n"
    "@media (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--faint:#a5adb6;--page:#121417;"
    "--sheet:#1d2125;--line:#3a4149;--link:#7cbcff;--button:#2d6cab;--good:#7ee2a0;--warn:#f5c266;"
    "--bad:#ff9d94;--good-bg:#12351f;--warn-bg:#3b2a08;--bad-bg:#4a1613;--plain-bg:#2d333a}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--page);color:var(--ink);font:15px/1.45 'Segoe UI',system-ui,"
    "Helvetica,Arial,sans-serif;overflow-wrap:anywhere}\n"
    "header,main,footer{max-width:82rem;margin:0 auto;padding:0 1rem}\n"
    "header{display:flex;flex-wrap:wrap;align-items:baseline;gap:.2rem 1.2rem;padding-top:.9rem}\n"
    "header p{margin:0;color:var(--faint)}\n"
    "nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:0;padding:0}\n"
    ".brand{font-weight:700;font-size:1.1rem}\n"
    "[aria-current]{font-weight:700;color:var(--ink);text-decoration:none}\n"
    "h1{font-size:1.45rem;line-height:1.25;margin:1rem 0 .6rem}\n"
    "h2{font-size:1.1rem;margin:0 0 .4rem}\n"
    "h3{font-size:1rem;margin:1rem 0 .2rem}\n"
    "p{margin:.4rem 0}\n"
    "a{color:var(--link)}\n"
    "a:focus-visible,button:focus-visible,input:focus-visible,select:focus-visible,"
    "summary:focus-visible{outline:3px solid var(--link);outline-offset:2px}\n"
    "section{background:var(--sheet);border:1px solid var(--line);border-radius:8px;"
    "padding:.8rem 1rem;margin:0 0 .9rem}\n"
    ".faint,caption,dt{color:var(--faint)}\n"
    ".state{display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:.9rem;"
    "margin:0 0 .9rem}\n"
    ".state section{margin:0}\n"
    ".big{font-size:1.3rem;font-weight:700;line-height:1.25;margin:.1rem 0 .3rem}\n"
    ".badge{display:inline-block;border-radius:4px;padding:0 .45em;font-weight:600;"
    "background:var(--plain-bg);overflow-wrap:normal}\n"
    ".good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}\n"
    ".badge.good{background:var(--good-bg)}.badge.warn{background:var(--warn-bg)}"
    ".badge.bad{background:var(--bad-bg)}\n"
    ".said{border-left:5px solid var(--good)}.alarm{border-left:5px solid var(--bad)}\n"
    "table{border-collapse:collapse;width:100%}\n"
    "caption{text-align:left;padding:0 0 .3rem}\n"
    "th,td{text-align:left;vertical-align:top;padding:.35rem .9rem .35rem 0;"
    "border-top:1px solid var(--line);font-weight:400}\n"
    "thead th{border-top:0;color:var(--faint);font-size:.85rem;padding-top:0;"
    "overflow-wrap:normal}\n"
    "tbody th{font-weight:600;min-width:11rem}\n"
    "td[data-label^=Machine],td[data-label=Why]{min-width:10rem}td[data-label=Rule]{min-width:6rem}\n"
    "dl{display:grid;grid-template-columns:minmax(7rem,max-content) 1fr;gap:.25rem 1rem;margin:.2rem 0}\n"
    "dd{margin:0}.state dl{grid-template-columns:1fr max-content}\n"
    "time,.nowrap{white-space:nowrap}\n"
    "code,pre,.id{font-family:Consolas,Menlo,'DejaVu Sans Mono',monospace;font-size:.92em}\n"
    "pre{white-space:pre-wrap;background:var(--plain-bg);padding:.7rem;border-radius:6px}\n"
    "ul.plain{list-style:none;margin:0;padding:0}\n"
    "form{margin:.5rem 0}\n"
    ".fields{display:flex;flex-wrap:wrap;gap:.5rem .9rem;align-items:end}\n"
    "label{display:block;color:var(--faint);font-size:.85rem}\n"
    "input,select,button{font:inherit;color:inherit;min-height:2.4rem;padding:.3rem .6rem;"
    "border:1px solid var(--faint);border-radius:6px;background:var(--sheet);max-width:100%}\n"
    "input{width:16rem}input.why{width:26rem}\n"
    "button{background:var(--button);border-color:var(--button);color:#fff;font-weight:600;"
    "cursor:pointer;padding:.3rem 1rem}\n"
    "button.danger{background:#a40e26;border-color:#a40e26}\n"
    "summary{cursor:pointer;color:var(--link);padding:.3rem 0}\n"
    ".act>summary{display:inline-block;font-weight:600;border:1px solid var(--link);"
    "border-radius:6px;padding:.4rem .9rem;margin:.2rem 0}\n"
    "footer{color:var(--faint);padding-bottom:1.5rem;font-size:.88rem}\n"
    ".skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--sheet);"
    "padding:.4rem}\n"
    "@media (max-width:46rem){table,tbody,tr,th,td,caption{display:block}"
    "thead{position:absolute;left:-99rem}tr{border-top:1px solid var(--line);padding:.45rem 0}"
    "th,td{border:0;padding:.1rem 0;min-width:0!important}"
    "td::before{content:attr(data-label) ': ';color:var(--faint)}"
    "input,input.why,select,form .fields p{width:100%}dl{grid-template-columns:1fr}"
    "dd{margin-bottom:.3rem}.state dl{grid-template-columns:1fr max-content}time{white-space:normal}}\n"
    "@media print{form,nav,.skip{display:none}}\n";

#define POLICY_SIZE 320

/* "…; style-src 'sha256-…'": the hash is that of the style's bytes. */
static bool policy(char out[POLICY_SIZE])
{
    unsigned char digest[VERIFY_DIGEST_SIZE];
    char text[BASE64URL_SIZE(VERIFY_DIGEST_SIZE)];

    if (!verify_digest(style, sizeof style - 1, digest))
        return false;
    base64url_encode(digest, sizeof digest, text);
    for (char *c = text; *c; c++)
        *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    (void)snprintf(out, POLICY_SIZE,
                   "default-src 'none'; style-src 'sha256-%s='; form-action 'self'; "
                   "base-uri 'none'; frame-ancestors 'none'",
                   text);
    return true;
}

void html_text(struct buf *out, const char *text)
{
    if (text)
        mime_html_escape(out, text);
    else if (!out->failed)
        out->failed = ERR_NOMEM;
}

void html_begin(struct buf *out, const char *title)
{
    buf_adds(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                  "<title>");
    html_text(out, title);
    buf_addf(out, "</title>\n<style>%s</style>\n</head>\n<body>\n", style);
}

void html_end(struct buf *out)
{
    buf_adds(out, "</body>\n</html>\n");
}

void html_line(struct buf *out, const char *element, const char *class, const char *text)
{
    if (class)
        buf_addf(out, "<%s class=\"%s\">", element, class);
    else
        buf_addf(out, "<%s>", element);
    html_text(out, text);
    buf_addf(out, "</%s>\n", element);
}

void html_link(struct buf *out, const char *href, const char *text)
{
    buf_adds(out, "<a href=\"");
    html_text(out, href);
    buf_adds(out, "\">");
    html_text(out, text);
    buf_adds(out, "</a>");
}

void html_badge(struct buf *out, enum html_tone tone, const char *text)
{
    static const char *const classes[] = {
        [HTML_PLAIN] = "badge",
        [HTML_GOOD] = "badge good",
        [HTML_WARN] = "badge warn",
        [HTML_BAD] = "badge bad",
    };

    buf_addf(out, "<strong class=\"%s\">", classes[tone]);
    html_text(out, text);
    buf_adds(out, "</strong>");
}

/* "45 s", "2 h 5 min", "3 d 4 h": two units are enough for a person. */
static void add_span(struct buf *out, int64_t ms)
{
    const int64_t days = ms / DAY_MS, hours = ms / HOUR_MS % 24, minutes = ms / MINUTE_MS % 60;

    if (days)
        buf_addf(out, "%" PRId64 " d %" PRId64 " h", days, hours);
    else if (hours)
        buf_addf(out, "%" PRId64 " h %" PRId64 " min", hours, minutes);
    else if (minutes)
        buf_addf(out, "%" PRId64 " min", minutes);
    else
        buf_addf(out, "%" PRId64 " s", ms / SECOND_MS);
}

void html_time(struct buf *out, int64_t wall_ms, int64_t now)
{
    char text[CLOCK_TEXT_SIZE];

    if (!wall_ms) {
        buf_adds(out, "never");
        return;
    }
    clock_format(wall_ms, text);
    buf_addf(out, "<time datetime=\"%s\">%.10s %.8s UTC</time> <span class=\"nowrap\">(", text,
             text, text + 11);
    if (wall_ms > now)
        buf_adds(out, "in ");
    add_span(out, wall_ms > now ? wall_ms - now : now - wall_ms);
    buf_adds(out, wall_ms > now ? ")</span>" : " ago)</span>");
}

/* ---- names and values ------------------------------------------------------------------------- */

void html_pairs_begin(struct buf *out)
{
    buf_adds(out, "<dl>\n");
}

void html_pair_begin(struct buf *out, const char *name)
{
    buf_adds(out, "<dt>");
    html_text(out, name);
    buf_adds(out, "</dt><dd>");
}

void html_pair_end(struct buf *out)
{
    buf_adds(out, "</dd>\n");
}

void html_pair(struct buf *out, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    html_pair_begin(out, name);
    html_text(out, value);
    html_pair_end(out);
}

void html_pairs_end(struct buf *out)
{
    buf_adds(out, "</dl>\n");
}

/* ---- tables ----------------------------------------------------------------------------------- */

void html_table_begin(struct html_table *t, struct buf *out, const char *caption,
                      const char *const *columns)
{
    *t = (struct html_table){.out = out, .columns = columns};
    buf_adds(out, "<table>\n<caption>");
    html_text(out, caption);
    buf_adds(out, "</caption>\n<thead><tr>");
    for (unsigned i = 0; columns[i]; i++) {
        assert(i < HTML_COLUMNS_MAX);
        buf_addf(out, "<th scope=\"col\">%s</th>", columns[i]);
    }
    buf_adds(out, "</tr></thead>\n<tbody>\n");
}

void html_row_begin(struct html_table *t)
{
    t->column = 0;
    buf_adds(t->out, "<tr>");
}

void html_cell_begin(struct html_table *t)
{
    assert(t->columns[t->column]);
    if (t->column == 0)
        buf_adds(t->out, "<th scope=\"row\">");
    else
        buf_addf(t->out, "<td data-label=\"%s\">", t->columns[t->column]);
}

void html_cell_end(struct html_table *t)
{
    buf_adds(t->out, t->column == 0 ? "</th>" : "</td>");
    t->column++;
}

void html_cell(struct html_table *t, const char *text)
{
    html_cell_begin(t);
    html_text(t->out, text && *text ? text : "\xe2\x80\x93");
    html_cell_end(t);
}

void html_cell_time(struct html_table *t, int64_t wall_ms, int64_t now)
{
    html_cell_begin(t);
    html_time(t->out, wall_ms, now);
    html_cell_end(t);
}

void html_row_end(struct html_table *t)
{
    assert(!t->columns[t->column]);
    buf_adds(t->out, "</tr>\n");
}

void html_table_end(struct html_table *t)
{
    buf_adds(t->out, "</tbody>\n</table>\n");
}

/* ---- its answer ------------------------------------------------------------------------------- */

static void reply(struct http_request *r, struct http_answer *a, const char *const extra[][2])
{
    size_t n = 0;

    while (a->headers[n].name)
        n++;
    for (size_t i = 0; extra && extra[i][0]; i++) {
        assert(n < sizeof a->headers / sizeof *a->headers);
        a->headers[n].name = extra[i][0];
        a->headers[n++].value = extra[i][1];
    }
    http_reply(r, a);
}

void html_reply(struct http_request *r, unsigned status, struct buf *out,
                const char *const extra[][2])
{
    char rules[POLICY_SIZE];
    struct http_answer a = {.status = status,
                            .content_type = "text/html; charset=utf-8",
                            .headers = {{"Cache-Control", "no-store"},
                                        {"Content-Security-Policy", rules},
                                        {"Referrer-Policy", "same-origin"},
                                        {"X-Content-Type-Options", "nosniff"},
                                        {"X-Frame-Options", "DENY"}}};

    if (buf_failed(out) || !policy(rules)) {
        http_reply_problem(r, 503, "The page cannot be made now; come again.", NULL);
        return;
    }
    a.body = buf_text(out);
    a.body_len = out->len;
    reply(r, &a, extra);
}

void html_redirect(struct http_request *r, const char *location, const char *const extra[][2])
{
    struct http_answer a = {.status = 303,
                            .headers = {{"Location", location}, {"Cache-Control", "no-store"}}};

    if (location)
        reply(r, &a, extra);
    else
        http_reply_problem(r, 503, "Out of memory: what was ordered is done.", NULL);
}

bool html_is_form(const struct http_request *r)
{
    static const char form[] = "application/x-www-form-urlencoded";
    unsigned count = 0;
    const char *type = http_header(r, "Content-Type", &count);
    size_t len = type ? strcspn(type, "; \t") : 0;

    return count == 1 && len == sizeof form - 1 && strncasecmp(type, form, len) == 0;
}
