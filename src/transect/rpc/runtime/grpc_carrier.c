/* SPDX-License-Identifier: Apache-2.0 */
/* What the chain asks of its carrier: time, randomness, headers, traces, records. */
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "grpc_extension.h"
#include "headers.h"

/* --- memory ----------------------------------------------------------------------------------------------------- */

static void append(struct memory *m, const void *data, size_t size) {
    if (m->room - m->size < size) {
        size_t room = (m->size + size) * 2;
        uint8_t *grown = PyMem_RawRealloc(m->data, room);
        if (!grown) Py_FatalError("transect: out of memory");
        m->data = grown;
        m->room = room;
    }
    if (size) memcpy(m->data + m->size, data, size);
    m->size += size;
}

static void append_slice(struct memory *m, ts_slice s) {
    append(m, &s.size, sizeof s.size);
    append(m, s.data, s.size);
}

static PyObject *take_slice(const uint8_t **at) {
    uint32_t size;
    memcpy(&size, *at, sizeof size);
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)*at + sizeof size, size);
    *at += sizeof size + size;
    return bytes;
}

/* --- what the chain asks of its carrier -------------------------------------------------------------------------- */

int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t carrier_now(void *ctx) {
    (void)ctx;
    return now_ns();
}

/* The system's randomness, fetched 64 numbers at a time; guarded by the interpreter lock. */
static struct {
    uint64_t numbers[64];
    size_t left;
} draws;

void forget_draws(void) { draws.left = 0; }

static uint64_t carrier_draw(void *ctx) {
    (void)ctx;
    if (draws.left == 0) {
        if (getrandom(draws.numbers, sizeof draws.numbers, 0) != (ssize_t)sizeof draws.numbers) Py_FatalError("transect: getrandom");
        draws.left = sizeof draws.numbers / sizeof *draws.numbers;
    }
    return draws.numbers[--draws.left];
}

static int equals(PyObject *text, ts_slice name) {
    Py_ssize_t size;
    const char *data = PyUnicode_AsUTF8AndSize(text, &size);
    if (!data) {
        PyErr_Clear(); /* a lone surrogate: no header's name */
        return 0;
    }
    return (size_t)size == name.size && memcmp(data, name.data, name.size) == 0;
}

static struct change **change_at(struct rpc_object *self, int side, ts_slice name) {
    struct change **at = &self->changes;
    for (; *at; at = &(*at)->next) {
        struct change *c = *at;
        if (c->side == side && c->name_size == name.size && memcmp(c->text, name.data, name.size) == 0) break;
    }
    return at;
}

/* Values of one name are one text with commas between, by gRPC's own rule: who sends two means what he means who sends
 * "a,b".  The answer is copied before anything else happens (ts_header_get), so all RPCs share the room for it. */
static int carrier_header_get(void *ctx, enum ts_side side, ts_slice name, ts_slice *value) {
    struct rpc_object *self = ctx;
    struct change *changed = *change_at(self, (int)side, name);
    if (changed) {
        *value = (ts_slice){changed->text + changed->name_size, changed->value_size};
        return !changed->removed;
    }
    PyObject *all = self->metadata[side];
    struct memory *joined = &self->owner->joined;
    int found = 0;
    for (Py_ssize_t i = 0; i < (all ? PyTuple_GET_SIZE(all) : 0); i++) {
        PyObject *pair = PyTuple_GET_ITEM(all, i);
        if (!equals(PyTuple_GET_ITEM(pair, 0), name)) continue;
        Py_ssize_t size;
        const char *data = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(pair, 1), &size);
        if (!data) {
            PyErr_Clear();
            return 0;
        }
        if (found == 1) {
            joined->size = 0;
            append(joined, value->data, value->size);
        }
        if (found) {
            append(joined, ",", 1);
            append(joined, data, (size_t)size);
        }
        *value = found ? (ts_slice){joined->data, (uint32_t)joined->size} : (ts_slice){(const uint8_t *)data, (uint32_t)size};
        found += found < 2;
    }
    return found > 0;
}

static void change_header(struct rpc_object *self, int side, ts_slice name, ts_slice value, int removed) {
    struct change **at = change_at(self, side, name), *old = *at;
    struct change *c = PyMem_RawMalloc(sizeof *c + name.size + value.size);
    if (!c) Py_FatalError("transect: out of memory");
    *c = (struct change){old ? old->next : NULL, side, removed, 1, name.size, value.size};
    memcpy(c->text, name.data, name.size);
    if (value.size) memcpy(c->text + name.size, value.data, value.size);
    *at = c;
    self->fresh |= 1u << side;
    PyMem_RawFree(old);
}

static void carrier_header_set(void *ctx, enum ts_side side, ts_slice name, ts_slice value) {
    if (ts_header_sendable(name, value)) change_header(ctx, (int)side, name, value, 0);
    else change_header(ctx, (int)side, name, (ts_slice){NULL, 0}, 1); /* else the server would read the client's */
}

static void carrier_header_remove(void *ctx, enum ts_side side, ts_slice name) {
    change_header(ctx, (int)side, name, (ts_slice){NULL, 0}, 1);
}

static void carrier_trace(void *ctx, const struct ts_said *said) {
    struct chain_object *owner = ((struct rpc_object *)ctx)->owner;
    if (!owner->tracer) return;
    for (uint32_t i = 0; i < said->count; i++) {
        uint32_t more = i + 1 == said->count ? said->left_out : 0;
        append(&owner->traces, &said->element, sizeof said->element);
        append(&owner->traces, &more, sizeof more);
        append_slice(&owner->traces, said->texts[i]);
    }
}

/* What the request is called, where this record can be its first: the log keeps it once. */
static void append_name(struct memory *m, void *ctx, const struct ts_record *record, const char *name) {
    ts_slice value = {NULL, 0};
    int found = record->hook == 0 && carrier_header_get(ctx, TS_REQUEST_HEADERS, (ts_slice){(const uint8_t *)name, (uint32_t)strlen(name)}, &value);
    append_slice(m, found ? value : (ts_slice){NULL, 0});
}

void carrier_record(void *ctx, const struct ts_record *record) {
    struct memory *m = &((struct rpc_object *)ctx)->owner->records;
    append(m, &record->sequence, sizeof record->sequence);
    append(m, &record->rpc, sizeof record->rpc);
    append(m, &record->element, sizeof record->element);
    append(m, &record->hook, sizeof record->hook);
    append_slice(m, record->arguments);
    append_slice(m, record->tape);
    append_slice(m, record->result);
    append_name(m, ctx, record, "x-request-id");
    append_name(m, ctx, record, "traceparent");
}

/* Under the interpreter lock, as all that counts. */
void took(struct chain_object *owner, uint32_t which, int64_t ns) {
    struct ts_times **times = &owner->totals.times[which];
    if (!*times && !(*times = PyMem_RawCalloc(1, sizeof **times))) return;
    ts_took(*times, ns);
}

static void carrier_took(void *ctx, uint32_t element, int64_t ns) {
    if (element < MOST_ELEMENTS) took(((struct rpc_object *)ctx)->owner, 1 + element, ns);
}

const struct ts_carrier carrier_functions = {
    .now = carrier_now,
    .draw = carrier_draw,
    .header_get = carrier_header_get,
    .header_set = carrier_header_set,
    .header_remove = carrier_header_remove,
    .trace = carrier_trace,
    .took = carrier_took,
};

/* --- handing records and traces to Python ------------------------------------------------------------------------ */

static PyObject *read_record(const uint8_t **at) {
    uint64_t sequence, rpc;
    uint32_t element, hook;
    memcpy(&sequence, *at, 8);
    memcpy(&rpc, *at + 8, 8);
    memcpy(&element, *at + 16, 4);
    memcpy(&hook, *at + 20, 4);
    *at += 24;
    PyObject *arguments = take_slice(at), *tape = take_slice(at), *result = take_slice(at);
    PyObject *request_id = take_slice(at), *traceparent = take_slice(at);
    return Py_BuildValue("KKIINNNNN", (unsigned long long)sequence, (unsigned long long)rpc, element, hook, arguments, tape, result,
                         request_id, traceparent);
}

static PyObject *read_trace(const uint8_t **at) {
    uint32_t element, more, size;
    memcpy(&element, *at, 4);
    memcpy(&more, *at + 4, 4);
    memcpy(&size, *at + 8, 4);
    PyObject *text = PyUnicode_DecodeUTF8((const char *)*at + 12, size, "replace");
    *at += 12 + size;
    return text ? Py_BuildValue("INI", element, text, more) : NULL;
}

/* Calls `sink` with each thing kept in `m`.  What the sink raises is reported and ends nothing else. */
static void hand_over(struct memory *m, PyObject *sink, PyObject *(*read)(const uint8_t **)) {
    struct memory taken = *m;
    *m = (struct memory){NULL, 0, 0}; /* other threads may run, and add, while Python code does */
    Py_XINCREF(sink);
    for (const uint8_t *at = taken.data; sink && at < taken.data + taken.size;) {
        PyObject *thing = read(&at);
        PyObject *done = thing ? PyObject_CallOneArg(sink, thing) : NULL;
        if (!done) PyErr_WriteUnraisable(sink);
        Py_XDECREF(done);
        Py_XDECREF(thing);
    }
    Py_XDECREF(sink);
    if (m->data) {
        PyMem_RawFree(taken.data);
    } else {
        *m = (struct memory){taken.data, 0, taken.room};
    }
}

void hand_over_all(struct chain_object *owner) {
    owner->busy++;
    if (owner->records.size) hand_over(&owner->records, owner->recorder, read_record);
    if (owner->traces.size) hand_over(&owner->traces, owner->tracer, read_trace);
    owner->busy--;
}

void wait_for_holder(struct chain_object *owner) {
    while (owner->holder && owner->holder != PyThread_get_thread_ident()) {
        Py_BEGIN_ALLOW_THREADS
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
        Py_END_ALLOW_THREADS
    }
}
