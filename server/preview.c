/* preview.c - see preview.h. */
#include "preview.h"

#include <string.h>

#include "capability.h"
#include "json.h"
#include "mime.h"
#include "mime_read.h"
#include "notice_letter.h"
#include "question.h"
#include "standing.h"

struct looking {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    int64_t id;
    struct notice_record mail, digest;
};

/* An email step's arguments, if it tells those who judge the alert; else NULL. */
static struct json *mail_of(const struct step_record *s)
{
    AUTO(json_freep) struct json *args = NULL;
    const char *audience;
    struct json *ret = NULL;

    if (strcmp(s->handler, "email") != 0 || json_parse(s->args, strlen(s->args), &args, NULL))
        return NULL;
    audience = json_get_string(args, "audience");
    if (!audience || strcmp(audience, "desk") != 0) {
        ret = args;
        args = NULL;
    }
    return ret;
}

/* The words of the case's own email step, and whom it names, as when it mails. */
static enum err_code words_of(struct db_tx *tx, struct looking *k, struct notice *n,
                              struct json **ret_args, struct err *e)
{
    struct step_record *steps;
    size_t count = 0;
    const char **to;
    enum err_code code = case_steps(tx, k->arena, k->id, &steps, &count, e);

    for (size_t i = 0; i < count && !code && !*ret_args; i++)
        *ret_args = mail_of(&steps[i]);
    n->subject = json_get_string(*ret_args, "subject");
    n->body = json_get_string(*ret_args, "body");
    if (code)
        return code;
    to = arena_array(k->arena, json_count(json_get(*ret_args, "to")) + 1, sizeof *to);
    if (!to)
        return err_set(e, ERR_NOMEM, "preview");
    JSON_EACH (address, json_get(*ret_args, "to")) /* copied: the mail outlives the arguments */
        if (json_string(address) && !(to[n->n_to++] = arena_str(k->arena, json_string(address))))
            return err_set(e, ERR_NOMEM, "preview");
    n->to = to;
    return ERR_OK;
}

static enum err_code would_be(struct db_tx *tx, struct looking *k, const struct case_record *c,
                              struct err *e)
{
    AUTO(json_freep) struct json *args = NULL;
    struct isolation_record isolation;
    struct notice n = {.c = c, .doubt = c->why};
    enum err_code code = standing_read(tx, k->arena, c, &n, &isolation, e);

    if (!code)
        code = words_of(tx, k, &n, &args, e);
    if (!code)
        code =
            notice_preview(tx, k->g, k->rt, k->arena, &n, clock_wall_ms(k->g->clock), &k->mail, e);
    k->mail.id = 0;
    k->mail.state = "preview";
    return code;
}

static enum err_code look(struct db_tx *tx, void *arg, struct err *e)
{
    struct looking *k = arg;
    struct notice_thread thread;
    struct case_record c;
    enum err_code code = case_load(tx, k->arena, k->id, &c, e);

    if (!code)
        code = notice_thread(tx, k->arena, k->id, "", &thread, e);
    if (code)
        return code;
    if (!thread.last_of_case && !c.verdict) /* what its rule asks for is not known */
        return err_set(
            e, ERR_CONFLICT,
            "there is no mail about the case, and no verdict that one would tell of: it is %s",
            case_state_name(c.state));
    if (!thread.last_of_case)
        return would_be(tx, k, &c, e);
    code = notice_load(tx, k->arena, thread.last_of_case, &k->mail, e);
    if (!code && k->mail.digest)
        code = notice_load(tx, k->arena, k->mail.digest, &k->digest, e);
    return code;
}

/* A link to answer a question by is a permission, and its reader's alone: whoever looks at a case is somebody else.
 * Overwrites what makes it one; true: there was some. */
static bool blot_links(char *text)
{
    bool found = false;

    for (char *p = text; p && (p = strstr(p, QUESTION_PATH)) != NULL;) {
        size_t len;

        p += strlen(QUESTION_PATH);
        len = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
        if (len >= CAPABILITY_TEXT_SIZE - 1) {
            memset(p, '*', len);
            found = true;
        }
        p += len;
    }
    return found;
}

/* What of a link's text follows its host; true: there was something. */
static bool blot_behind_host(char *url, size_t len)
{
    const char *host = strstr(url, "://");
    size_t kept = host && host < url + len ? (size_t)(host - url) + strlen("://") : 0;

    kept += strcspn(url + kept, "/?#");
    if (kept >= len)
        return false;
    memset(url + kept, '*', len - kept);
    return true;
}

/* Nor is the link to a package, which holds its own permission: Defender's in its query, as token=, and what else it may be
 * called nobody has written down. It is known by the words beside it. */
static bool blot_packages(char *text)
{
    bool found = false;

    for (char *p = text; p && (p = strstr(p, NOTICE_PACKAGE_WORDS)) != NULL;) {
        size_t len;

        p += strlen(NOTICE_PACKAGE_WORDS);
        p += strspn(p, ": \t\r\n");
        len = strcspn(p, " \t\r\n");
        found = blot_behind_host(p, len) || found;
        p += len;
    }
    for (char *p = text; p && (p = strstr(p, "<a href=\"")) != NULL;) {
        const char *words;

        p += strlen("<a href=\"");
        words = strchr(p, '>');
        if (words && strncmp(words + 1, NOTICE_PACKAGE_LABEL, strlen(NOTICE_PACKAGE_LABEL)) == 0)
            found = blot_behind_host(p, strcspn(p, "\"")) || found;
    }
    return found;
}

static enum err_code write_mail(struct json_out *o, const struct notice_record *r, struct err *e)
{
    static const struct {
        const char *name, *type;
    } parts[] = {{"text", "text/plain"}, {"html", "text/html"}};
    enum err_code code = ERR_OK;
    bool blotted = false;

    json_out_string(o, "kind", r->kind);
    json_out_string(o, "state", r->state);
    json_out_id(o, "notice", r->id);
    json_out_string(o, "from", r->sender);
    json_out_string(o, "subject", r->subject);
    json_out_array(o, "to");
    for (size_t i = 0; i < r->n_recipients; i++)
        json_out_string(o, NULL, r->recipients[i].address);
    json_out_array_end(o);
    for (size_t i = 0; i < 2 && !code; i++) {
        AUTO(buf_clear) struct buf part = BUF_INIT(2 * (size_t)MIME_PART_MAX);

        code = mime_part(r->message, parts[i].type, &part, e);
        blotted = blot_links(part.data) || blotted;
        blotted = blot_packages(part.data) || blotted;
        json_out_string(o, parts[i].name, buf_text(&part));
    }
    if (!blotted) /* it is encoded: no place to look for a link */
        json_out_string(o, "message", r->message);
    return code;
}

enum err_code preview_case(struct engine *g, int64_t id, struct buf *out, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct looking k = {.g = g, .rt = rt, .arena = arena, .id = id};
    struct json_out o = JSON_OUT(out);
    enum err_code code =
        arena ? db_read(g->store->db, look, &k, e) : err_set(e, ERR_NOMEM, "preview");

    if (code)
        return code;
    json_out_object(&o, NULL);
    json_out_id(&o, "case", id);
    code = write_mail(&o, &k.mail, e);
    if (!code && k.mail.digest) {
        json_out_object(&o, "digest");
        code = write_mail(&o, &k.digest, e);
        json_out_object_end(&o);
    }
    json_out_object_end(&o);
    return code ? code : buf_failed(out) ? err_set(e, buf_failed(out), "the answer") : ERR_OK;
}
