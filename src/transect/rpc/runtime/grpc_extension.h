/* SPDX-License-Identifier: Apache-2.0 */
/* One chain as a CPython module: `Chain()` is one copy of its state, `Chain.begin()` one RPC, whose hooks take and give
 * the bytes of messages; `Chain.unary()` a stub's method.  Compiled together with the emitted chain; -DTS_MODULE names
 * the module.
 *
 * A hook returns `bytes` when the message is to pass on as it is now, and nothing else is asked of the carrier: one
 * class comparison on the hot path.  Everything else is a tuple (action, code, data, after, to, element).
 *
 * No function which the chain calls back may run Python code or let the interpreter lock go: an element's own lock is
 * held then, and a second thread would wait for it while holding the interpreter lock.  So records, traces and header
 * changes are kept in plain memory, and handed to Python after the chain has returned.
 */
#ifndef TRANSECT_GRPC_EXTENSION_H
#define TRANSECT_GRPC_EXTENSION_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "chain.h"
#include "times.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

enum { OVER = 3 };     /* fourth action: the RPC has ended already */
enum { SIDES = 3 };    /* of enum ts_side */
enum { SPARES = 16 };  /* ended RPCs kept for reuse */
enum { MOST_ELEMENTS = 64 }; /* which are counted one by one */

/* Guarded by the interpreter lock. */
struct totals {
    uint64_t rpcs, requests, responses, rewritten, delayed, malformed;
    uint64_t causes[5];
    uint64_t refused; /* by no element */
    uint64_t rejected[MOST_ELEMENTS], responded[MOST_ELEMENTS], withheld[MOST_ELEMENTS];
    struct ts_times *times[1 + MOST_ELEMENTS]; /* of whole RPCs, then of each element; NULL: none so far */
};

struct memory { /* grows, never shrinks */
    uint8_t *data;
    size_t size, room;
};

struct change { /* of one header; name and value follow in `text` */
    struct change *next;
    int side;
    int removed;
    int fresh; /* Python has not fetched it yet */
    uint32_t name_size, value_size;
    uint8_t text[];
};

struct chain_object {
    PyObject_HEAD
    ts_chain *chain;
    struct ts_carrier carrier;
    PyObject *recorder, *tracer; /* callables or NULL */
    struct memory records, traces;
    struct memory joined;        /* the answer to a question about a header that came several times */
    int busy;                    /* threads which hand records or traces to Python */
    int open;                    /* RPCs under way */
    struct totals totals;
    unsigned long holder;        /* the thread which holds all hooks back; 0: none */
    struct rpc_object *spare[SPARES];
    int spares;
};

struct rpc_object {
    PyObject_HEAD
    struct chain_object *owner;
    PyObject *method, *peer;
    PyObject *metadata[SIDES]; /* tuples of (name, value), or NULL */
    struct change *changes;    /* laid over the metadata: reading sees them at once */
    unsigned fresh;            /* bit of each side with changes that Python has not fetched */
    struct ts_rpc rpc;
    int64_t started; /* ns */
    int entered, finished;
    void *state;
};

extern PyTypeObject chain_type, rpc_type, unary_type;

/* grpc_carrier.c */
extern const struct ts_carrier carrier_functions;
int64_t now_ns(void);
void forget_draws(void); /* a forked child must not draw what its parent draws */
void carrier_record(void *ctx, const struct ts_record *record);
void took(struct chain_object *owner, uint32_t which, int64_t ns); /* of `totals.times` */
void hand_over_all(struct chain_object *owner); /* records and traces, to Python */

static inline void drain(struct chain_object *owner) {
    if (owner->records.size || owner->traces.size) hand_over_all(owner);
}

void wait_for_holder(struct chain_object *owner);

/* At the start of every hook: while another thread changes the state, hooks wait, without the interpreter lock. */
static inline void let_pass(struct chain_object *owner) {
    if (owner->holder) wait_for_holder(owner);
}

/* grpc_rpc.c */
struct rpc_object *begin_rpc(struct chain_object *owner, PyObject *method, PyObject *peer, PyObject *metadata);
PyObject *pass_request(struct rpc_object *self, PyObject *message);
PyObject *pass_response(struct rpc_object *self, PyObject *message);
void end_rpc(struct rpc_object *self, int code, enum ts_cause cause, struct ts_ending *out);

/* grpc_unary.c */
PyObject *make_unary(struct chain_object *owner, PyObject *args);

#endif
