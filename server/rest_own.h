/* rest_own.h - what the rooms of rest.h share: a call, a lane, the roots. For rest*.c alone.
 *
 * rest.c has the threads and the life of a call; rest_request.c makes a call of a request; rest_outcome.c what curl calls
 * back, and what became of a call; rest_url.c reads URLs; rest_roots.c has the certificates that a peer's must lead to.
 */
#ifndef CORDON_REST_OWN_H
#define CORDON_REST_OWN_H

#include <curl/curl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "rest.h"

#define REST_HOST_TEXT 128
/* As many mails as leave at once do not wait for each other: those of the engine's share of notices, and a way that is asked
 * whether it works. */
#define REST_MAIL_LANES 4

/* PEM roots that curl can open by name. file "" are the roots of every call. */
struct rest_roots {
    struct rest_roots *next;
    char *file;
    struct stat seen; /* of file, when it was read: a rotated one is read again */
    int fd;           /* -1: path is not ours */
    char path[64];
};

/* A thread and the multi handle it drives. */
struct rest_lane {
    CURLM *multi;
    pthread_t thread;
    struct rest_call *under_way; /* the thread's own */

    pthread_mutex_t lock; /* what follows */
    bool running;         /* thread was started: at the first call */
    struct rest_call *incoming, **incoming_end;
    unsigned calls;    /* that it was given and that are not over */
    bool winding_down; /* nothing is begun any more, and nothing only read */
    bool giving_up;    /* nor anything else waited for */
    bool stopping;     /* the thread ends */
};

struct rest {
    struct rest_lane http, mail[REST_MAIL_LANES];
    char *user_agent, *https_proxy, *no_proxy, *ca_file;
    char *proxy_name; /* as rest_proxy */
    int stop_fd;      /* eventfd */
    int64_t connect_ms;
    size_t max_answer;

    pthread_mutex_t lock;     /* what follows */
    struct rest_roots *roots; /* newest first */
};

enum call_state { CALL_RUNNING, CALL_DONE, CALL_ABANDONED };

struct rest_call {
    struct rest_call *next, **link; /* incoming, then under_way */
    CURL *easy;
    CURLU *url;
    struct curl_slist *headers, *to;
    bool show_peer;
    char *body;
    size_t body_len, body_at;
    char host[REST_HOST_TEXT]; /* for messages */
    char why[CURL_ERROR_SIZE];

    bool is_mail, repeatable, with_others;
    int64_t begun_ms; /* mail: monotonic */
    long limit_ms;    /* mail: how long it may take in all */
    long patient_ms;  /* mail: with an answer_ms, the same once it has left */
    struct rest_lane *lane;
    bool left;  /* HTTP: the pre-request callback ran. Mail: all of the message was read */
    bool twice; /* it ran again for a request that may leave but once */
    int64_t leave_by_ms;
    bool too_late; /* it ran after that */
    bool stopped;  /* mail: given up because the process is about to end */
    bool no_login; /* mail: the server offers none and the request has one */
    bool wants_login, logged_in;
    bool probe; /* mail: to end when MAIL would be next */
    bool ready; /* mail: connected and logged in */
    int step;   /* mail: replies since then */
    bool too_big, no_memory;
    bool may_cut, cut; /* a longer body may be; it was */

    char *data; /* the body as it arrives; grows by hand, so that old copies are wiped */
    size_t data_len, data_room, data_max, head_len;
    bool reply_open;    /* mail: data holds the beginning of a reply of several lines */
    int64_t settled_ms; /* mail: when (monotonic) a reply came that nothing of ours follows; or 0 */

    enum err_code code; /* the outcome, valid when state is CALL_DONE */
    struct err err;
    struct rest_answer answer;
    atomic_int state;
    sem_t done;
};

/* Sets an option of the call c; the first failure sticks in bad (they are out of memory, or a bug). */
#define REST_SET(option, value) (bad = bad ? bad : curl_easy_setopt(c->easy, (option), (value)))

/* ---- rest.c ------------------------------------------------------------------------------------- */

/** Frees a call that no thread knows; NULL is fine. */
void rest_call_free(struct rest_call *c);
/** Gives a call to its lane's thread. ERR_STOPPING: it is the caller's still. */
enum err_code rest_call_send(struct rest *r, struct rest_call *c, struct err *e);

/* ---- rest_outcome.c: on the lane's thread --------------------------------------------------------- */

/** Sets what curl is to call back, for calls of every kind, of HTTP, of mail. */
CURLcode rest_hook(struct rest_call *c);
CURLcode rest_hook_http(struct rest_call *c);
CURLcode rest_hook_mail(struct rest_call *c);
/** c came to nothing: its error is this, with the host before it. */
void rest_call_fail(struct rest_call *c, enum err_code code, const char *what);
/** Fills the outcome from the finished easy handle. */
void rest_call_outcome(struct rest_call *c, CURLcode curl);

/* ---- rest_url.c ----------------------------------------------------------------------------------- */

enum rest_scheme { REST_OTHER, REST_HTTP, REST_HTTPS, REST_SMTP, REST_SMTPS };

/**
 * Parses url with curl's own parser, the one that will connect, so that no two readings of one URL can
 * differ ("http://127.0.0.1@elsewhere", "http://127.1"). NULL when it is not fit to be used, or without memory. Paths
 * are taken as they are: "/api/alerts/.." must not become "/api/". metadata: may be Azure's address of a machine's own
 * token. host: for messages, may be cut.
 */
CURLU *rest_parse_url(const char *url, bool metadata, enum rest_scheme *ret_scheme,
                      bool *ret_loopback, char host[REST_HOST_TEXT], bool *ret_nomem);

/* ---- rest_roots.c --------------------------------------------------------------------------------- */

/** Once per process, after curl_global_init: the bundle that curl was built to use. */
void rest_roots_init(void);
/**
 * The roots for a call that wants file beside the usual ones (NULL: none), put together at the first use and when the
 * file changes. Older ones stay until rest_free: calls under way may still open them by name. *ret_path: NULL when there
 * are none. Any thread.
 */
enum err_code rest_roots_find(struct rest *r, const char *file, const char **ret_path,
                              struct err *e);
void rest_roots_free(struct rest_roots *a);

#endif
