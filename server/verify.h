/* verify.h - who sent this? Schemes as a table: one file verify_NAME.c and one line in verify_list.h.
 *
 * A source names a list of entries; a request is good when any entry is good; an entry is a set of
 * schemes that must all be good together. Bytes are verified before they are parsed.
 *
 * Schemes whose proof is in the head (entra, token) are checked when the head is complete, before a
 * body is read; those that sign the body when it is there. A check that would have to wait for the
 * network (keys of Entra that are not known yet) says so unless it is told that it may block, so that
 * an HTTP thread never waits.
 */
#ifndef CORDON_VERIFY_H
#define CORDON_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "clock.h"
#include "settings.h"

struct jwks;     /* jwks.h */
struct verifier; /* a source's compiled list of entries */

/* What a scheme may look at. Borrowed for the call. */
struct verify_request {
    const char *method, *path, *query; /* raw */
    const char *(*header)(void *ctx, const char *name, unsigned *ret_count);
    void *ctx;        /* for header() */
    const char *body; /* NULL while only the head is there */
    size_t body_len;
    /* Certificates that the peer showed in the TLS handshake, DER, one after the other: its own first, whose
     * key it has proven to hold; nobody has judged them. NULL: none. */
    const unsigned char *certificates;
    size_t certificates_len;
    int64_t now_ms; /* wall clock, read once per request */
    /* now_ms may be wrong: what is not of this time by it is not denied, but to be sent again when it is right */
    bool clock_is_off;
    bool may_block; /* the caller is no HTTP thread */
    struct arena *arena;
};

enum verify_verdict {
    VERIFY_DENIED, /* 401; the answer never says which part. What a scheme that settles nothing says */
    VERIFY_GOOD,
    VERIFY_NEEDS_BODY,  /* head only: nothing wrong so far, ask again with the body */
    VERIFY_FORBIDDEN,   /* 403: known, but not on the source's lists */
    VERIFY_MUST_WAIT,   /* ask again from a thread that may block */
    VERIFY_UNAVAILABLE, /* 503: our keys are out of reach; a retry may help */
};

struct verify_result {
    enum verify_verdict verdict;
    const char *key;         /* name of the secret, key or application that matched, for the log */
    const char *delivery_id; /* signed or trusted id of this delivery; NULL: the scheme has none */
    const char *tenant_id;   /* tenant that the credential proves; NULL: none */
    char why[160];           /* for the log, never for the answer; no secret */
};

/* What schemes share: one per process. */
struct verify_env {
    struct jwks *keys; /* of Entra; NULL: none can be had */
    const struct clock *clock;
};

/* What a scheme knows of the source it is compiled for. */
struct verify_source {
    const char *name;
    bool people;                /* no source: persons who answer questions */
    const char *tenant_id;      /* GUID of the source's tenant */
    const char *login_url;      /* authority for discovery, without slash at the end */
    const char *public_url;     /* how senders reach us, without slash at the end; NULL: not set */
    bool loopback;              /* listen.address is loopback or unix */
    bool tls;                   /* listen speaks TLS */
    const char *client_ca_file; /* of listen.tls; NULL: none */
};

struct verify_scheme {
    const char *name;      /* word in the configuration */
    const char *challenge; /* WWW-Authenticate value of its 401; NULL: it denies nobody */
    bool needs_body;
    /* Reads its settings; faults to reader->faults. The state lives in reader->arena; NULL on a fault. */
    void *(*compile)(const struct settings_reader *reader, const struct yaml_node *settings,
                     const struct verify_source *source);
    /* Fills ret (zeroed before). Any thread, many at once. */
    void (*check)(void *state, const struct verify_env *env, const struct verify_request *q,
                  struct verify_result *ret);
    /* The header that its proof stands in, where another scheme may want the same one; NULL: none. May be NULL. */
    const char *(*header)(const void *state);
    /* Of schemes that prove persons: might who was good by this name (verify_result.key) be so still? NULL: nobody asks. */
    bool (*knows)(const void *state, const char *key);
    void (*clear)(void *state); /* wipes secrets, frees what is not in the arena; may be NULL */
};

/** Compiles the `verify:` list of a source; NULL when a fault was noted. Lives in reader->arena. */
struct verifier *verifier_compile(const struct settings_reader *reader,
                                  const struct yaml_node *list, const struct verify_source *source);
/** Wipes secrets; before the arena goes. NULL is fine. */
void verifier_clear(struct verifier *v);
/** Judges a request. Any thread. */
void verifier_check(struct verifier *v, const struct verify_env *env,
                    const struct verify_request *q, struct verify_result *ret);
/** Might a person who has proven himself by this name before (verify_result.key), perhaps to another list, do so to this one? Not
 *  whom it names no more; of whom it lets in by a role that is not known. Any thread. */
bool verifier_knows(const struct verifier *v, const char *key);
/** The WWW-Authenticate value of this source's 401; static or arena memory of the verifier. */
const char *verifier_challenge(const struct verifier *v);

/* ---- what schemes share ------------------------------------------------------------------------ */

/* Keys that are good for a source at the same time: webhook-sources.md section 5: cap both, say 8 x 8. */
#define VERIFY_KEYS_MAX    8
#define VERIFY_STAMP_MAX   12 /* digits of a time: good for 30,000 years, and no overflow */
#define VERIFY_DIGEST_SIZE 32
#define VERIFY_LEAST_MS    (30 * SECOND_MS) /* of `tolerance`: section 6, 30-900 s configurable */

/** The one constant-time comparison: equal only when both lengths and all bytes are. */
bool verify_equal(const void *a, size_t a_len, const void *b, size_t b_len);
/** A header that must be there exactly once, or NULL. */
const char *verify_header_once(const struct verify_request *q, const char *name);
/** Length of text as a Unix time in seconds: digits alone, no leading zero, so that a time that is signed
 *  as text cannot be written in two ways (webhook-sources.md section 5, remarks). 0: it is none. */
size_t verify_stamp(const char *text, int64_t *ret_seconds);
/** Is a sender's time within the tolerance, both ways? If not, ret says by how much: a denial, unless it is this host's clock
 *  that is off. */
bool verify_is_fresh(const struct verify_request *q, int64_t seconds, int64_t tolerance_s,
                     const char *scheme, struct verify_result *ret);
/** SHA-256 of a secret that is compared and never shown: texts of any length in equal time. False when
 *  out of memory. */
bool verify_digest(const void *bytes, size_t len, unsigned char out[VERIFY_DIGEST_SIZE]);
/**
 * A key fits this request. Is it good at this time? Then ret is good by it. If not, ret is a denial that says
 * so, and the search goes on: the same secret may stand in another entry.
 */
bool verify_take_key(const struct verify_request *q, const char *scheme, const char *name,
                     const struct window *window, struct verify_result *ret);
/** Every key was tried and none taken: ret is a denial, with `why` unless verify_take_key has said more. */
void verify_no_key(struct verify_result *ret, const char *scheme, const char *why);
/** Notes (no fault) that a secret which is sent as it is has fewer characters than VERIFY_SECRET_GOOD: it must be chosen at
 *  random, every one of them, not to be guessed. */
void verify_note_short(const struct settings_reader *reader, const struct secret *secret);
#define VERIFY_SECRET_GOOD 32
/** Notes a fault when a list has more than VERIFY_KEYS_MAX entries; what: "hmac.secret_files". */
bool verify_keys_fit(const struct settings_reader *reader, const struct secret_list *list,
                     const char *what);
/** ret becomes a denial: "scheme: why", for the log. why: no secret. */
void verify_deny(struct verify_result *ret, const char *scheme, const char *why);
/** ret is what a time that does not fit leads to: a denial, unless it is this host's clock that is off. */
void verify_untimely(const struct verify_request *q, struct verify_result *ret);
/** ret says that memory ran out: the sender is asked to come again. */
void verify_no_memory(struct verify_result *ret, const char *scheme);

#endif
