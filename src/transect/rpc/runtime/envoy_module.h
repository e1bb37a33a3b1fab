/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Envoy module share: one `config` per loaded chain, one `stream` per RPC.
 *
 * Workers run streams; a stream lives on one worker.  The chain locks its own state; everything else that workers
 * share here is atomic or has a mutex of its own.
 */
#ifndef TRANSECT_ENVOY_MODULE_H
#define TRANSECT_ENVOY_MODULE_H

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "chain.h"
#include "envoy_abi.h"
#include "times.h"

enum { MAX_ELEMENTS = 64, FRAME_HEAD = 5, VERSION_NAME = 32, OTHERS = 2, SPARES = 64 };

/* Headers of a request that are between processors, not between client and server. */
#define ROUTE_HEADER "x-transect-route"
#define VERSION_HEADER "x-transect-version"
#define TENANT_HEADER "x-transect-tenant"

#ifndef TS_LAYOUT
#define TS_LAYOUT 0 /* a hash of our C: modules with the same one may look into each other's memory */
#endif

/* The chain of one module, for others whose RPCs are for it. */
struct calls {
    void (*request)(ts_chain *, void *, const struct ts_rpc *, ts_slice, struct ts_verdict *);
    void (*response)(ts_chain *, void *, const struct ts_rpc *, ts_slice, struct ts_verdict *);
    void (*finish)(ts_chain *, void *, const struct ts_rpc *, int, enum ts_cause, int64_t, struct ts_ending *);
    const size_t *rpc_size;
    const int *peer;
    const int *hears_end;
};

struct bytes {
    uint8_t *data;
    size_t size, room;
};

struct names { /* a set of texts from the configuration */
    char **texts;
    size_t count;
};

/* What becomes of words about whose an RPC is; as `Refused` of identity/verifier.py. */
enum word_is { WORD_BELIEVED, WORD_MALFORMED, WORD_FORGED, WORD_EXPIRED, WORD_EARLY, WORD_REPLAYED, WORD_FULL, WORDS };

/* Counters of a running chain, as docs/rpc.md says of every carrier.  Calls of element i: `requests` less what elements
 * before it ended. */
struct totals {
    _Atomic uint64_t rpcs, requests, responses;
    _Atomic uint64_t rewritten, delayed, compressed, malformed, bad_headers;
    _Atomic uint64_t causes[5]; /* of RPCs that have ended */
    _Atomic uint64_t refused; /* by no element: a malformed message, one that is too large, none at all, a method without a policy */
    _Atomic uint64_t rejected[MAX_ELEMENTS], responded[MAX_ELEMENTS]; /* requests */
    _Atomic uint64_t withheld[MAX_ELEMENTS];                           /* replies that were rejected */
    _Atomic uint64_t traced, traces_left_out; /* lines */
    _Atomic uint64_t words[WORDS]; /* met */
    _Atomic uint64_t anonymous, vouched; /* RPCs that went on without a word; with one of ours */
};

/* Lines of `trace` in the present second. */
struct traces {
    _Atomic int64_t second;
    _Atomic uint64_t said;
    _Atomic uint64_t untold; /* left out since that was last said */
};

struct recorder; /* envoy_record.c */
struct keeper;   /* envoy_control.c */
struct clock;    /* envoy_wait.c */
struct identity; /* envoy_identity.c */

/* A version of the chain in another module. */
struct version {
    char name[VERSION_NAME];
    struct config *config;
};

/* Which version an RPC is for, where several processors share an edge. */
struct edge {
    int joined;              /* RPCs name a version */
    int stamps;              /* it is named here, and told to those behind */
    int yields;              /* RPCs that name none are for the first of the others */
    char own[VERSION_NAME];
    size_t many;
    struct version others[OTHERS];
};

struct config {
    uint64_t layout;
    const struct calls *calls;
    ts_chain *chain;
    pthread_rwlock_t gate;  /* read: a call of the chain; write: whoever wants to see or change it as a whole */
    struct names early;     /* methods of which the server hears before the first message */
    struct names streaming; /* methods whose headers of the reply pass before its first message */
    struct names routes;    /* what Forward(to=…) may name */
    struct names states;    /* files with the first state of the elements, in chain order; none: as declared */
    size_t max_message;     /* bytes */
    int pass_compressed, pass_other;
    int skip_replies;       /* no element looks at them */
    char *control;          /* path of the socket; NULL none */
    char *keys, *heard;     /* paths: of keys (NULL: nobody is vouched for), and of memory that other versions share (NULL: none do) */
    size_t parent;          /* process that stops this Envoy; 0: it runs for itself */
    _Atomic int kept;       /* its state is wanted when Envoy has let it go: a later version goes on from it */
    _Atomic int gone;       /* Envoy has let it go: no stream is on it, and none can come */
    _Atomic int guests;     /* streams of other modules */
    pthread_rwlock_t versions; /* guards `edge` */
    struct edge edge;
    struct config *next;    /* of the same module */
    char *record;           /* path; NULL: not recording from the start */
    size_t record_room;     /* bytes */
    uint32_t elements;      /* with a line `hooks` in the configuration */
    uint16_t hooks[MAX_ELEMENTS][3]; /* number of request, response, finish among the hooks of the policy, for the log */
    struct totals totals;
    struct traces traces;
    struct ts_times *times; /* of whole RPCs, then of each element */
    struct recorder *recorder;
    struct keeper *keeper;
    struct clock *clock;
    struct identity *identity; /* NULL: no word is believed, and none is given */
    _Atomic(struct stream *) spares[SPARES]; /* memory of streams that have gone, for the next ones: it is in the cache */
};

/* The end of an RPC as the chain decided it, until the delay before it is over. */
struct verdict_due {
    uint8_t waits;
    uint8_t late; /* the deadline comes first, and is all that is seen */
    enum ts_action action; /* TS_REJECT, TS_RESPOND */
    int code;
    struct bytes text; /* a copy: the other direction may call the chain meanwhile */
};

/* One direction of a stream. */
struct way {
    struct verdict_due due;
    struct bytes in;  /* not yet decided: part of a frame, or what came behind a delayed message */
    struct bytes out; /* decided, waiting for the delay to end */
    struct wait *wait;
    uint8_t reply;    /* 1: from the server to the client */
    uint8_t paused;
    uint8_t ended;    /* the peer has sent its last message byte */
    uint8_t trailers; /* trailers wait for the delay to end */
    uint8_t open;     /* headers have gone on */
};

struct change { /* a header that an element set or removed */
    struct change *next;
    enum ts_side side;
    uint32_t name_size, value_size;
    uint8_t removed;
    char text[]; /* name, value */
};

/* The values of one header: the last one, and how many there are. */
struct values {
    struct envoy_buffer last;
    size_t many;
};

/* What the module itself asks of a request's headers.  Valid until one is set or removed. */
struct head {
    struct values method, path, type, timeout, encoding, route, version, tenant;
};

struct stream {
    struct config *config;
    struct config *host;   /* whose module's hooks run; `config` may be another version's */
    void *filter;          /* Envoy's; NULL once it is going */
    struct ts_rpc rpc;
    struct way request, response;
    struct change *changes;
    struct bytes joined;   /* the answer about a header that came several times */
    int64_t began; /* ns */
    int64_t timeout; /* ns that the client gives the RPC; 0: it has no deadline */
    int64_t until;   /* ns, when it is over by the word of who vouches for it; 0: nobody said */
    char *long_names;
    const char *route;     /* that it has taken; NULL: the one of its service */
    char *status_text;     /* encoded grpc-message of an end that is still to be sent */
    int status;            /* its code */
    uint32_t named;        /* the log that says what it is called; 0: none */
    uint8_t grpc;          /* a gRPC request: messages are decided */
    uint8_t streaming;     /* headers of the reply do not wait for messages */
    uint8_t spoke;         /* a whole message of the request was there */
    uint8_t entered;       /* the chain holds something in `state` */
    uint8_t finished;
    uint8_t closed;        /* we ended it: nothing passes any more */
    uint8_t ending;        /* trailers with status and status_text are still to be sent */
    uint8_t replying;      /* what passes now is our own reply */
    uint8_t plain_reply;   /* the reply is not gRPC, or nobody looks at it */
    uint8_t headers_here, trailers_here; /* the maps of the reply exist */
    uint8_t only_headers;  /* the reply has its trailers in the headers */
    uint8_t local_cause;   /* 1 + cause of a reply that Envoy made itself; 0 none */
    uint8_t depth, gone;   /* hooks running; Envoy destroyed the filter meanwhile */
    uint8_t guest;         /* `config` is another module's */
    uint8_t vouched;       /* its headers have gone on with our word, or without */
    uint8_t unreadable;    /* the host did not give us headers that are there */
    void *state;           /* the chain's: `own`, or memory of malloc */
    char names[160];       /* method and peer, when they fit; what comes before is zeroed */
    _Alignas(16) uint8_t own[];
};

/* envoy_config.c */
struct config *config_new(struct envoy_buffer text);
void config_free(struct config *config);
int has_name(const struct names *names, const char *data, size_t size);
int start_thread(pthread_t *thread, void *(*run)(void *), void *arg);

/* envoy_edge.c */
void edge_enter(struct config *c);
void edge_leave(struct config *c);
int edge_table(struct config *c, const char *data, size_t size);
struct config *edge_version(struct stream *s, const struct values *asked, char stamp[VERSION_NAME]);
void edge_refuse(struct stream *s, const struct values *asked);

/* envoy_carrier.c */
extern const struct calls own_calls;
void ask_chain(struct stream *s, int reply, ts_slice message, struct ts_verdict *out);
void tell_chain(struct stream *s, int code, enum ts_cause cause, int64_t elapsed);
int64_t now_ns(void);
void note(enum envoy_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct head read_head(struct stream *s);
int named_header(struct stream *s, enum envoy_headers map, struct envoy_buffer name, struct envoy_buffer *value);
void set_header(struct stream *s, enum envoy_headers map, const char *name, const char *value, size_t size);
void remove_header(struct stream *s, const char *name);
void put_header(struct stream *s, const char *name, ts_slice value);
int request_header(struct stream *s, const char *name, ts_slice *value);
void apply_all(struct stream *s, enum ts_side side);
void forget_changes(struct stream *s);

/* envoy_trace.c */
void carrier_trace(void *ctx, const struct ts_said *said);

/* envoy_frames.c */
void bytes_add(struct bytes *b, const void *data, size_t size);
void bytes_free(struct bytes *b);
enum envoy_body_status pass_body(struct stream *s, struct way *w, bool end);
void wake(struct stream *s, struct way *w);
int left_over(const struct way *w);
void bad_frame(struct stream *s, const struct way *w, const char *what);

/* envoy_end.c */
char *encode_message(ts_slice text);
void finish(struct stream *s, int code, enum ts_cause cause);
void fail(struct stream *s, int code, ts_slice text);
void fail_with(struct stream *s, int code, const char *text);
void respond(struct stream *s, ts_slice message);
void refuse_plain(struct stream *s);
void end_now(struct stream *s);
void end_in_trailers(struct stream *s, enum envoy_headers map);
int take_timeout(struct stream *s, const struct values *asked);
int late(const struct stream *s);
void finish_by(struct stream *s, enum envoy_headers map);

/* envoy_identity.c */
struct identity *identity_new(const char *path, const char *heard);
void identity_free(struct identity *identity);
void meet(struct stream *s, const struct values *said);
void vouch(struct stream *s);

/* envoy_wait.c */
enum event { WAKE_REQUEST, WAKE_RESPONSE, END };
struct clock *clock_new(void);
void clock_free(struct clock *clock);
void wait_for(struct stream *s, struct way *w, int64_t delay);
void stop_waiting(struct stream *s, struct way *w);
void call_back(struct stream *s, enum event event);

/* envoy_record.c */
struct recorder *recorder_new(const struct config *config);
void recorder_free(struct recorder *recorder);
int recorder_start(struct recorder *recorder, const char *path);
void recorder_stop(struct recorder *recorder);
int recording(const struct recorder *recorder);
void recorder_add(struct stream *s, const struct ts_record *record); /* a call of one of its handlers */
void recorder_counts(struct recorder *recorder, uint64_t *records, uint64_t *dropped);

/* envoy_control.c */
struct keeper *keeper_new(struct config *config);
void keeper_free(struct keeper *keeper);

static inline void count(_Atomic uint64_t *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static inline uint64_t finishes_of(struct totals *totals) {
    uint64_t all = 0;
    for (int cause = 0; cause < 5; cause++) all += atomic_load(&totals->causes[cause]);
    return all;
}

/* RPCs under way. */
static inline uint64_t open_of(struct totals *totals) {
    uint64_t ended = finishes_of(totals); /* first: one that ends meanwhile has begun before */
    return atomic_load(&totals->rpcs) - ended;
}

static inline struct envoy_buffer text_of(const char *text) {
    return (struct envoy_buffer){text, __builtin_strlen(text)};
}

/* The map of `side` has just come into being. */
static inline void apply_changes(struct stream *s, enum ts_side side) {
    if (s->changes) apply_all(s, side);
}

/* The size of a name that is written down where it is asked for is known to the compiler. */
static inline int header_of(struct stream *s, enum envoy_headers map, const char *name, struct envoy_buffer *value) {
    return named_header(s, map, text_of(name), value);
}

static inline int is_text(struct envoy_buffer text, const char *wanted) {
    return text.size == __builtin_strlen(wanted) && memcmp(text.data, wanted, text.size) == 0;
}

static inline struct envoy_buffer buffer_of(ts_slice slice) {
    return (struct envoy_buffer){(const char *)slice.data, slice.size};
}

static inline ts_slice slice_of(const void *data, size_t size) {
    return (ts_slice){data, (uint32_t)size};
}

#endif
