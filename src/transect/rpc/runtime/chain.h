/* SPDX-License-Identifier: Apache-2.0 */
/* Between a carrier (grpcio extension, Envoy module) and the emitted code of one chain of elements.
 *
 * The chain decides; the carrier moves bytes.  A carrier may run RPCs of one chain on several threads at once, the hooks
 * of one RPC on one thread at a time.  Whatever a call hands out (slices of a verdict) stays valid until the next call
 * for the same RPC.
 */
#ifndef TRANSECT_CHAIN_H
#define TRANSECT_CHAIN_H

#include <stddef.h>
#include <stdint.h>

#include "transect.h"

#define TS_CHAIN_ABI 1

enum ts_side { TS_REQUEST_HEADERS, TS_RESPONSE_HEADERS, TS_RESPONSE_TRAILERS };
enum ts_action { TS_FORWARD, TS_REJECT, TS_RESPOND };
enum ts_cause { TS_REPLY, TS_REJECTED, TS_CANCEL, TS_DEADLINE, TS_RESET };

/* One handler call of one element, for the log; see replay/. */
struct ts_record {
    uint64_t sequence;  /* taken inside the element's lock: the order in which calls took effect */
    uint64_t rpc;       /* tells RPCs of one chain apart */
    uint32_t element;   /* position in the chain */
    uint32_t hook;      /* 0 request, 1 response, 2 finish */
    ts_slice arguments; /* encoded as replay/ says: message bytes, method, peer; outcome */
    ts_slice tape;      /* outside answers in the order asked */
    ts_slice result;    /* the verdict, and the message if it was rewritten */
};

/* What one hook call has traced.  Each text is cut to TS_TRACE_SIZE bytes; the carrier makes a line of it. */
#define TS_TRACE_LINES 64
#define TS_TRACE_SIZE 1024

struct ts_said {
    const char *name;  /* the element's */
    uint32_t element;
    uint32_t count;
    uint32_t left_out; /* beyond TS_TRACE_LINES */
    ts_slice texts[TS_TRACE_LINES]; /* in UTF-8; one that was cut ends with "…" */
};

/* What a carrier offers.  `ctx` is the carrier's own, one per RPC.  `header_set` takes the header out where gRPC refuses the
 * value (`ts_header_sendable`): the server would read the client's otherwise. */
struct ts_carrier {
    int64_t (*now)(void *ctx);   /* ns, monotonic */
    uint64_t (*draw)(void *ctx); /* 64 random bits */
    int (*header_get)(void *ctx, enum ts_side side, ts_slice name, ts_slice *value); /* 1 found, 0 absent */
    void (*header_set)(void *ctx, enum ts_side side, ts_slice name, ts_slice value);
    void (*header_remove)(void *ctx, enum ts_side side, ts_slice name);
    void (*trace)(void *ctx, const struct ts_said *said); /* after each hook call that traced; no lock is held then */
    void (*record)(void *ctx, const struct ts_record *record); /* NULL: not recording */
    /* How long an element took for a message, with the delay that it asked for; of a sample of RPCs.  NULL: nobody counts. */
    void (*took)(void *ctx, uint32_t element, int64_t ns);
};

struct ts_rpc {
    const struct ts_carrier *carrier;
    void *ctx;
    ts_slice method; /* /package.Service/Method */
    ts_slice peer;
};

struct ts_verdict {
    enum ts_action action;
    int code;          /* TS_REJECT */
    ts_slice text;     /* TS_REJECT: message; TS_RESPOND: the serialised reply, already seen by earlier elements */
    int rewritten;     /* TS_FORWARD: `message` replaces what came in */
    ts_slice message;
    int64_t after;     /* ns to wait before the message goes on or the RPC is answered; 0 none (delays add up) */
    ts_slice to;       /* TS_FORWARD: route; data NULL: none. `""` is a name, of no route */
    uint32_t element;  /* who decided, for REJECT and RESPOND */
};

struct ts_ending {
    int retry;
    int64_t after; /* ns */
};

/* Emitted, one set per chain.  `rpc_state` is `ts_chain_rpc_size` zeroed bytes of the carrier's, 16-byte aligned. */
typedef struct ts_chain ts_chain;

extern const uint32_t ts_chain_abi;          /* TS_CHAIN_ABI */
extern const char ts_chain_description[];    /* JSON: elements (name, schema hash, fields), methods, needs */
extern const size_t ts_chain_rpc_size;
extern const size_t ts_chain_rpc_unset;      /* bytes at its beginning that need not be zeroed */
extern const int ts_chain_peer; /* whether an element asks who calls */
extern const int ts_chain_hears_end; /* whether an element has a `finish` */

ts_chain *ts_chain_new(void);
void ts_chain_free(ts_chain *chain);
void ts_chain_request(ts_chain *chain, void *rpc_state, const struct ts_rpc *rpc, ts_slice message, struct ts_verdict *out);
void ts_chain_response(ts_chain *chain, void *rpc_state, const struct ts_rpc *rpc, ts_slice message, struct ts_verdict *out);
/* Exactly once per RPC that saw a request; frees what rpc_state holds. */
void ts_chain_finish(ts_chain *chain, void *rpc_state, const struct ts_rpc *rpc, int code, enum ts_cause cause, int64_t elapsed, struct ts_ending *out);

/* State of one element as the image that core/schema.py reads and writes.  save: returns the size; writes at most `room`.
 * load: 0, or -1 when the image does not fit the schema (nothing is changed then). */
size_t ts_chain_save(ts_chain *chain, uint32_t element, uint8_t *image, size_t room);
int ts_chain_load(ts_chain *chain, uint32_t element, const uint8_t *image, size_t size);

#endif
