/* letter_html.c - see letter_html.h. Colours have a contrast of at least 4.5 to what they stand on, by day and by
 * night (WCAG 2.2, success criterion 1.4.3). */
#include "letter_html.h"

#include <string.h>

#include "auto.h"
#include "mime.h"

#define INK   "#1f2328"
#define FAINT "#57606a"
#define FONT  "font-family:'Segoe UI',Helvetica,Arial,sans-serif"
#define MONO  "font-family:Consolas,Menlo,monospace"
#define TABLE "<table role=\"presentation\" border=\"0\" cellpadding=\"0\" cellspacing=\"0\""
/* A hash or a command line of theirs must not widen the page. */
#define WRAP "word-break:break-word;overflow-wrap:anywhere"

static const char night[] =
    "<style>\n"
    "@media (prefers-color-scheme:dark){.page{background:#16181b !important}"
    ".sheet{background:#22262b !important;border-color:#3d444d !important}"
    ".ink{color:#e6e8eb !important}.faint{color:#a5adb6 !important}"
    ".code{background:#343a42 !important;color:#f0f2f4 !important}"
    ".line{border-color:#3d444d !important}}\n"
    "@media (max-width:480px){.pad{padding-left:14px !important;padding-right:14px !important}"
    ".name{width:82px !important}}\n"
    "</style>";

void letter_html_begin(struct buf *out, const char *headline, const char *colour)
{
    buf_adds(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                  "<meta name=\"color-scheme\" content=\"light dark\">\n"
                  "<meta name=\"supported-color-schemes\" content=\"light dark\">\n<title>");
    mime_html_escape(out, headline);
    buf_addf(out,
             "</title>\n%s</head>\n"
             "<body class=\"page\" style=\"margin:0;padding:0;background:#f1f3f5\">\n" TABLE
             " width=\"100%%\" class=\"page\" style=\"background:#f1f3f5\"><tr>"
             "<td align=\"center\" style=\"padding:12px 6px\">\n"
             "<!--[if mso]>" TABLE " width=\"620\"><tr><td><![endif]-->\n" TABLE
             " width=\"100%%\" class=\"sheet\" style=\"max-width:620px;background:#ffffff;"
             "border:1px solid #d5d9de;text-align:left\">\n"
             "<tr><td class=\"pad\" bgcolor=\"%s\" style=\"background:%s;padding:14px 20px\">"
             "<h1 style=\"margin:0;" FONT
             ";font-size:18px;line-height:1.3;font-weight:bold;color:#ffffff\">",
             night, colour, colour);
    mime_html_escape(out, headline);
    buf_adds(out, "</h1></td></tr>\n"
                  "<tr><td class=\"pad\" style=\"padding:12px 20px 16px\">\n");
}

/* Text with <br> for line ends and, with code, a box around what stands between backticks. */
static void add_text(struct buf *out, const char *text, int code)
{
    AUTO(buf_clear) struct buf piece = BUF_INIT(MIME_PART_MAX);
    int within = 0;

    for (size_t n; *text; text += n) {
        if (*text == '\n') {
            buf_adds(out, "<br>\n");
            n = 1;
            continue;
        }
        if (code && *text == '`') {
            buf_adds(out, within ? "</code>"
                                 : "<code class=\"code\" style=\"" MONO
                                   ";font-size:13px;background:#eceff2;color:" INK
                                   ";padding:1px 4px;" WRAP "\">");
            within = !within;
            n = 1;
            continue;
        }
        n = strcspn(text, code ? "\n`" : "\n");
        buf_reset(&piece);
        buf_add(&piece, text, n);
        mime_html_escape(out, buf_text(&piece));
        out->failed = out->failed ? out->failed : buf_failed(&piece);
    }
    if (within)
        buf_adds(out, "</code>");
}

void letter_html_paragraph(struct buf *out, const char *label, const char *text, int code)
{
    buf_adds(out, "<p class=\"ink\" style=\"margin:10px 0 0;" FONT
                  ";font-size:15px;line-height:1.45;color:" INK ";" WRAP "\">");
    if (label) {
        buf_adds(out, "<b>");
        mime_html_escape(out, label);
        buf_adds(out, ":</b> ");
    }
    add_text(out, text, code);
    buf_adds(out, "</p>\n");
}

void letter_html_heading(struct buf *out, const char *text)
{
    buf_adds(out, "<h2 class=\"faint\" style=\"margin:18px 0 2px;" FONT
                  ";font-size:13px;line-height:1.4;font-weight:bold;color:" FAINT "\">");
    mime_html_escape(out, text);
    buf_adds(out, "</h2>\n");
}

void letter_html_table_begin(struct buf *out)
{
    buf_adds(out, TABLE " width=\"100%\" style=\"table-layout:fixed\">\n");
}

void letter_html_row(struct buf *out, const char *name, const char *value, int strong)
{
    buf_adds(out,
             "<tr><td width=\"100\" valign=\"top\" class=\"faint name\" style=\"width:100px;"
             "padding:3px 10px 3px 0;" FONT ";font-size:14px;line-height:20px;color:" FAINT "\">");
    mime_html_escape(out, name);
    buf_addf(out,
             "</td><td valign=\"top\" class=\"ink\" style=\"padding:3px 0;" FONT
             ";font-size:15px;line-height:20px;color:" INK ";%s" WRAP "\">",
             strong ? "font-weight:bold;" : "");
    mime_html_escape(out, value);
    buf_adds(out, "</td></tr>\n");
}

void letter_html_table_end(struct buf *out)
{
    buf_adds(out, "</table>\n");
}

/* A cell with a background: Outlook pads no <a>. */
void letter_html_link(struct buf *out, const char *label, const char *url)
{
    buf_adds(out, TABLE " style=\"margin:16px 0 0\"><tr><td bgcolor=\"#1f4e79\" "
                        "style=\"background:#1f4e79;padding:9px 16px\"><a href=\"");
    mime_html_escape(out, url);
    buf_adds(out, "\" style=\"" FONT ";font-size:15px;color:#ffffff;text-decoration:none\">");
    mime_html_escape(out, label);
    buf_adds(out, "</a></td></tr></table>\n");
}

void letter_html_list_begin(struct buf *out)
{
    buf_adds(out, TABLE " width=\"100%\" style=\"margin:6px 0 0\">\n");
}

/* The last is an id, and stays whole. Short styles, too: a digest has hundreds of these, and Gmail cuts a message at
 * 102 KB. */
void letter_html_list_row(struct buf *out, const char *const *cells, size_t n, int head)
{
    buf_adds(out, "<tr>");
    for (size_t i = 0; i < n; i++) {
        buf_addf(out,
                 "<td valign=\"top\" class=\"line %s\" style=\"border-top:1px solid #e3e6ea;"
                 "padding:3px 8px 3px 0;font:13px Arial;color:%s%s\">",
                 head ? "faint" : "ink", head ? FAINT : INK, head || i + 1 == n ? "" : ";" WRAP);
        mime_html_escape(out, cells[i] ? cells[i] : "");
        buf_adds(out, "</td>");
    }
    buf_adds(out, "</tr>\n");
}

void letter_html_list_end(struct buf *out)
{
    buf_adds(out, "</table>\n");
}

void letter_html_end(struct buf *out)
{
    buf_adds(out, "</td></tr></table>\n<!--[if mso]></td></tr></table><![endif]-->\n"
                  "</td></tr></table>\n</body></html>\n");
}
