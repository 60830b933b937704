/* verify_client_certificate.c - the certificate that a sender showed in the TLS handshake: issued by a known
 * CA to a name on the list, or one of those whose fingerprints are listed (webhook-sources.md section 5.2).
 *
 * The handshake has proven that the peer holds the certificate's key, and http_request.c hands over what it showed
 * without a judgement: that is made here alone, so that each source has its own CA, a reload can change it,
 * and certificates that flow authors made themselves can be pinned, which no CA vouches for.
 *
 * Names. A certificate speaks by its alternative names; the subject's common name counts only where there
 * is no such extension. A listed name with a colon is a URI, one with an at sign a mail address, any other
 * a DNS name or a common name: nobody becomes a host by having a mail address of that text. Names are
 * compared whole, without wildcards.
 *
 * Revocation lists are not read: a certificate is taken out by its name or fingerprint, or with its CA.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "text.h"
#include "verify.h"

#define NAME      "client_certificate"
#define LIST_MAX  256 /* names or fingerprints; far more than senders of one source */
#define CHAIN_MAX 10  /* certificates that a sender may show */
#define DEPTH_MAX 5   /* CAs between the sender's certificate and ours */
/* NIST SP 800-57 part 1, table 2: RSA of 2048 bits, P-224 and better; of OpenSSL's levels the second. */
#define SECURITY_BITS_MIN 112
#define AUTH_LEVEL        2

struct settings {
    const char *ca_file;
    struct text_list names, fingerprints;
};

static const struct setting table[] = {
    SETTING(
        "ca_file", SET_PATH, settings, ca_file,
        .meaning =
            "CA certificates of the senders, PEM; without it those of listen.tls.client_ca_file"),
    SETTING("names", SET_TEXT_LIST, settings, names, .may_be_empty = true, /* judged below */
            .meaning = "DNS names, URIs or mail addresses of the certificates that may push"),
    SETTING(
        "fingerprints", SET_TEXT_LIST, settings, fingerprints,
        .may_be_empty = true, /* judged below */
        .meaning =
            "SHA-256 of the certificates that may push, of whatever CA; hex, with colons or not"),
    {.key = NULL},
};

struct pin {
    const char *text; /* as in the file, for the log */
    unsigned char digest[VERIFY_DIGEST_SIZE];
};

struct state {
    X509_STORE *store; /* NULL: pins */
    struct text_list names;
    struct pin *pins;
    size_t n_pins;
};

/* ---- settings ------------------------------------------------------------------------------------ */

/* 64 hex digits, with a colon after every second one or without any. */
static bool read_fingerprint(const char *text, unsigned char out[VERIFY_DIGEST_SIZE])
{
    const size_t step = text[0] && text[1] && text[2] == ':' ? 3 : 2;

    if (strlen(text) != VERIFY_DIGEST_SIZE * step - (step - 2))
        return false;
    for (size_t i = 0; i < VERIFY_DIGEST_SIZE; i++) {
        const char *p = text + i * step;
        int high = text_hex_digit(p[0]), low = text_hex_digit(p[1]);

        if (high < 0 || low < 0 || (step == 3 && i + 1 < VERIFY_DIGEST_SIZE && p[2] != ':'))
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static void read_pins(const struct settings_reader *reader, const struct yaml_node *at,
                      const struct text_list *list, struct state *s)
{
    s->pins = arena_array(reader->arena, list->count, sizeof *s->pins);
    if (!s->pins) {
        yaml_fault(reader->faults, at, "out of memory");
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        s->pins[i].text = list->items[i];
        if (!read_fingerprint(list->items[i], s->pins[i].digest))
            yaml_fault(reader->faults, at,
                       NAME ".fingerprints: '%.100s' is no SHA-256 of 64 hex digits; `openssl x509 "
                            "-noout -fingerprint -sha256 -in FILE` shows it",
                       list->items[i]);
    }
    s->n_pins = list->count;
}

static void read_names(const struct settings_reader *reader, const struct yaml_node *at,
                       const struct text_list *list, struct state *s)
{
    for (size_t i = 0; i < list->count; i++)
        if (!*list->items[i] || strchr(list->items[i], '*'))
            yaml_fault(reader->faults, at,
                       NAME ".names: '%.100s': names are compared whole, without wildcards",
                       list->items[i]);
    s->names = *list;
}

/* NULL, or what is wrong with the file. */
static const char *load_store(const char *file, X509_STORE *store)
{
    BIO *in = BIO_new_file(file, "r");
    const char *wrong = in ? NULL : "cannot be read";
    unsigned count = 0;
    X509 *x;

    while (!wrong && (x = PEM_read_bio_X509(in, NULL, NULL, NULL))) {
        count++;
        if (!X509_check_ca(x))
            wrong = "holds a certificate that is no CA's; name a single one in `fingerprints`";
        else if (X509_STORE_add_cert(store, x) != 1)
            wrong = "out of memory";
        X509_free(x);
    }
    if (!wrong && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        wrong = "holds a certificate that cannot be read";
    if (!wrong && !count)
        wrong = "holds no certificate in PEM";
    BIO_free(in);
    ERR_clear_error();
    return wrong;
}

static void clear(void *arg)
{
    struct state *s = arg;

    X509_STORE_free(s->store);
    s->store = NULL;
}

static void read_ca(const struct settings_reader *reader, const struct yaml_node *node,
                    const char *file, struct state *s)
{
    const struct yaml_node *own = yaml_get(node, "ca_file");
    const struct yaml_node *at = own ? own : node->key ? node->key : node;
    const char *wrong;

    if (!file) {
        if (!own)
            yaml_fault(reader->faults, at,
                       NAME ": `names` of whose certificates? Name the `ca_file`, here or as "
                            "listen.tls.client_ca_file");
        return;
    }
    s->store = X509_STORE_new();
    wrong = s->store ? load_store(file, s->store) : "out of memory";
    if (wrong)
        yaml_fault(reader->faults, at, "%s: %s", file, wrong);
}

static void *compile(const struct settings_reader *reader, const struct yaml_node *node,
                     const struct verify_source *source)
{
    struct settings *set = arena_alloc(reader->arena, sizeof *set);
    struct state *s = arena_alloc(reader->arena, sizeof *s);
    const struct yaml_node *names = yaml_get(node, "names");
    const struct yaml_node *pins = yaml_get(node, "fingerprints");
    const struct yaml_node *at = node->key ? node->key : node;
    size_t faults = reader->faults->count;

    if (!set || !s) {
        yaml_fault(reader->faults, node, "out of memory");
        return NULL;
    }
    settings_read(reader, node, NAME, table, set);
    if (!source->tls)
        yaml_fault(reader->faults, at,
                   NAME
                   ": a certificate is shown in TLS; give listen.tls a certificate of its own");
    if (set->names.count > LIST_MAX || set->fingerprints.count > LIST_MAX)
        yaml_fault(reader->faults, at, NAME ": at most %d names or fingerprints", LIST_MAX);
    else if (names && pins)
        yaml_fault(reader->faults, pins->key,
                   NAME ": `names` and `fingerprints` are two ways; write two entries for either");
    else if (pins && set->ca_file)
        yaml_fault(reader->faults, pins->key,
                   NAME ": a fingerprint needs no CA; leave `ca_file` out");
    else if (set->fingerprints.count)
        read_pins(reader, pins, &set->fingerprints, s);
    else if (set->names.count)
        read_names(reader, names, &set->names, s);
    else if (reader->faults->count == faults)
        yaml_fault(reader->faults, at,
                   NAME ": expected `names`, else every certificate of the CA could push, or "
                        "`fingerprints`");
    if (set->names.count && !pins)
        read_ca(reader, node, set->ca_file ? set->ca_file : source->client_ca_file, s);
    if (reader->faults->count == faults)
        return s;
    clear(s);
    return NULL;
}

/* ---- names ------------------------------------------------------------------------------------- */

static bool is_text(const ASN1_STRING *a, const char *text, size_t len, bool any_case)
{
    const char *bytes = (const char *)ASN1_STRING_get0_data(a);

    return a && (size_t)ASN1_STRING_length(a) == len &&
           (any_case ? strncasecmp(bytes, text, len) == 0 && !memchr(bytes, '\0', len)
                     : memcmp(bytes, text, len) == 0);
}

/* The part before the at sign as it stands, the domain without case (RFC 5280 section 7.5). */
static bool is_mail(const ASN1_STRING *a, const char *text)
{
    size_t len = strlen(text), local = (size_t)(strchr(text, '@') - text);

    return is_text(a, text, len, true) && memcmp(ASN1_STRING_get0_data(a), text, local) == 0;
}

static bool has_alternative(const GENERAL_NAMES *all, const char *name)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(all, i);

        if (strchr(name, ':')   ? n->type == GEN_URI && is_text(n->d.ia5, name, strlen(name), false)
            : strchr(name, '@') ? n->type == GEN_EMAIL && is_mail(n->d.ia5, name)
                                : n->type == GEN_DNS && is_text(n->d.ia5, name, strlen(name), true))
            return true;
    }
    return false;
}

/* The one common name as UTF-8. */
static bool has_common_name(const X509 *x, const char *name)
{
    const X509_NAME *subject = X509_get_subject_name(x);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1), len;
    unsigned char *utf8 = NULL;
    bool same;

    if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0 ||
        strpbrk(name, ":@"))
        return false;
    len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    same = len >= 0 && (size_t)len == strlen(name) && memcmp(utf8, name, (size_t)len) == 0;
    OPENSSL_free(utf8);
    return same;
}

/* The listed name that the certificate has, or NULL. */
static const char *listed_name(const struct text_list *list, const X509 *x)
{
    int critical = 0;
    GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, &critical, NULL);
    bool none = !all && critical == -1; /* else there is one that cannot be read, or two */
    const char *found = NULL;

    for (size_t i = 0; i < list->count && !found; i++)
        if (all ? has_alternative(all, list->items[i]) : none && has_common_name(x, list->items[i]))
            found = list->items[i];
    GENERAL_NAMES_free(all);
    return found;
}

/* key: as it stands in a list, which is what a certificate is good by. */
static bool knows(const void *state, const char *key)
{
    const struct state *s = state;

    for (size_t i = 0; i < s->names.count; i++)
        if (strcmp(s->names.items[i], key) == 0)
            return true;
    for (size_t i = 0; i < s->n_pins; i++)
        if (strcmp(s->pins[i].text, key) == 0)
            return true;
    return false;
}

/* ---- judging ----------------------------------------------------------------------------------- */

static void judge_pin(const struct state *s, const unsigned char *der, size_t len,
                      struct verify_result *ret)
{
    unsigned char seen[VERIFY_DIGEST_SIZE];

    if (!verify_digest(der, len, seen)) {
        verify_no_memory(ret, NAME);
        return;
    }
    verify_deny(ret, NAME, "the certificate has none of the listed fingerprints");
    for (size_t i = 0; i < s->n_pins; i++)
        if (verify_equal(seen, sizeof seen, s->pins[i].digest, sizeof s->pins[i].digest)) {
            ret->verdict = VERIFY_GOOD;
            ret->key = s->pins[i].text;
        }
}

/* Does a chain lead to a CA of ours? others: what the sender showed besides. False: ret says why not. */
static bool is_issued(const struct state *s, const struct verify_request *q, X509 *leaf,
                      STACK_OF(X509) * others, struct verify_result *ret)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_VERIFY_PARAM *param;
    bool good = false;
    int error;

    if (!ctx || X509_STORE_CTX_init(ctx, s->store, leaf, others) != 1 ||
        X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT) != 1) {
        verify_no_memory(ret, NAME);
        X509_STORE_CTX_free(ctx);
        return false;
    }
    param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(param, (time_t)(q->now_ms / SECOND_MS));
    X509_VERIFY_PARAM_set_depth(param, DEPTH_MAX);
    X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
    /* Whatever stands in ca_file is trusted, an issuing CA without its root, too. */
    (void)X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    good = X509_verify_cert(ctx) == 1;
    error = X509_STORE_CTX_get_error(ctx);
    if (!good && error == X509_V_ERR_OUT_OF_MEM)
        verify_no_memory(ret, NAME);
    else if (!good)
        verify_deny(ret, NAME, X509_verify_cert_error_string(error));
    if (!good && (error == X509_V_ERR_CERT_NOT_YET_VALID || error == X509_V_ERR_CERT_HAS_EXPIRED))
        verify_untimely(q, ret); /* a CA's: the sender's own was looked at before */
    X509_STORE_CTX_free(ctx);
    return good;
}

/* What stands behind the sender's own certificate; NULL when out of memory. */
static STACK_OF(X509) * read_others(const unsigned char *p, const unsigned char *end)
{
    STACK_OF(X509) *others = sk_X509_new_null();

    while (others && p < end && sk_X509_num(others) < CHAIN_MAX) {
        X509 *x = d2i_X509(NULL, &p, end - p);

        if (!x)
            break; /* without it the chain leads nowhere, or was whole already */
        if (sk_X509_push(others, x) <= 0)
            X509_free(x);
    }
    return others;
}

static void judge_name(const struct state *s, const struct verify_request *q, X509 *leaf,
                       STACK_OF(X509) * others, struct verify_result *ret)
{
    if (!others) {
        verify_no_memory(ret, NAME);
        return;
    }
    if (X509_check_ca(leaf)) {
        verify_deny(ret, NAME, "a CA's certificate is no sender's");
        return;
    }
    if (!is_issued(s, q, leaf, others, ret))
        return;
    ret->key = listed_name(&s->names, leaf);
    if (ret->key) {
        ret->verdict = VERIFY_GOOD;
        return;
    }
    verify_deny(ret, NAME, "the certificate is issued by our CA, but to none of the listed names");
    ret->verdict = VERIFY_FORBIDDEN;
}

/* NULL, or why it is not of this time. */
static const char *untimely(X509 *leaf, int64_t now_s)
{
    time_t now = (time_t)now_s;

    if (X509_cmp_time(X509_get0_notBefore(leaf), &now) != -1)
        return "the certificate is not valid yet";
    if (X509_cmp_time(X509_get0_notAfter(leaf), &now) != 1)
        return "the certificate has expired";
    return NULL;
}

/* What must hold of every certificate; NULL, or what does not. */
static const char *unfit(X509 *leaf)
{
    /* Extended key usage clientAuth, and key usage digitalSignature, where they are stated. */
    if (X509_check_purpose(leaf, X509_PURPOSE_SSL_CLIENT, 0) != 1)
        return "the certificate is not made for clients of TLS";
    return NULL;
}

/* Is the key strong enough? */
static bool is_strong(X509 *leaf, struct verify_result *ret)
{
    EVP_PKEY *key = X509_get0_pubkey(leaf);
    int bits = key ? EVP_PKEY_get_security_bits(key) : 0;

    if (bits >= SECURITY_BITS_MIN)
        return true;
    if (bits > 0)
        verify_deny(ret, NAME, "the certificate's key is too weak");
    else /* the handshake could use it: what is amiss is on our side, and OpenSSL does not say */
        verify_no_memory(ret, NAME);
    return false;
}

/* Empties the thread's queue of errors, for whoever comes next. Was there one for want of memory? Then what
 * could not be read or followed may well be good. */
static bool drain_errors(void)
{
    bool found = false;
    unsigned long error;

    while ((error = ERR_get_error()))
        found = found || ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE;
    return found;
}

/* leaf: the sender's own, NULL when it cannot be read; others: from where it ends. */
static void judge(const struct state *s, const struct verify_request *q, X509 *leaf,
                  const unsigned char *others, struct verify_result *ret)
{
    const char *why = leaf ? unfit(leaf) : "the certificate cannot be read";

    if (why) {
        verify_deny(ret, NAME, why);
    } else if ((why = untimely(leaf, q->now_ms / SECOND_MS))) {
        verify_deny(ret, NAME, why);
        verify_untimely(q, ret);
    } else if (is_strong(leaf, ret)) {
        if (s->store) {
            STACK_OF(X509) *chain = read_others(others, q->certificates + q->certificates_len);

            judge_name(s, q, leaf, chain, ret);
            sk_X509_pop_free(chain, X509_free);
        } else {
            judge_pin(s, q->certificates, (size_t)(others - q->certificates), ret);
        }
    }
}

static void check(void *arg, const struct verify_env *env, const struct verify_request *q,
                  struct verify_result *ret)
{
    const unsigned char *p = q->certificates;
    X509 *leaf;

    (void)env;
    if (!p) {
        verify_deny(ret, NAME, "none was shown in the handshake (a proxy that ends TLS keeps it)");
        return;
    }
    ERR_clear_error();
    leaf = d2i_X509(NULL, &p, (long)q->certificates_len);
    judge(arg, q, leaf, p, ret);
    X509_free(leaf);
    if (drain_errors() && ret->verdict != VERIFY_GOOD)
        verify_no_memory(ret, NAME);
}

const struct verify_scheme verify_client_certificate = {
    .name = NAME,
    .challenge = "ClientCertificate",
    .compile = compile,
    .check = check,
    .knows = knows,
    .clear = clear,
};
