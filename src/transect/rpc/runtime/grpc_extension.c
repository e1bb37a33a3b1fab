/* SPDX-License-Identifier: Apache-2.0 */
/* One chain as a CPython module: `Chain()` is one copy of its state, `Chain.begin()` one RPC, whose hooks take and give
 * the bytes of messages.  Compiled together with the emitted chain; -DTS_MODULE names the module.
 *
 * A hook returns `bytes` when the message is to pass on as it is now, and nothing else is asked of the carrier: one
 * class comparison on the hot path.  Everything else is a tuple (action, code, data, after, to, element).
 *
 * No function which the chain calls back may run Python code or let the interpreter lock go: an element's own lock is
 * held then, and a second thread would wait for it while holding the interpreter lock.  So records, traces and header
 * changes are kept in plain memory, and handed to Python after the chain has returned.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "chain.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

enum { OVER = 3 };     /* fourth action: the RPC has ended already */
enum { SIDES = 3 };    /* of enum ts_side */
enum { SPARES = 16 };  /* ended RPCs kept for reuse */

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

static PyTypeObject chain_type, rpc_type;

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

static int64_t carrier_now(void *ctx) {
    struct timespec t;
    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The system's randomness, fetched 64 numbers at a time; guarded by the interpreter lock. */
static struct {
    uint64_t numbers[64];
    size_t left;
} draws;

static void forget_draws(void) { draws.left = 0; } /* a forked child must not draw what its parent draws */

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

static int carrier_header_get(void *ctx, enum ts_side side, ts_slice name, ts_slice *value) {
    struct rpc_object *self = ctx;
    struct change *changed = *change_at(self, (int)side, name);
    if (changed) {
        *value = (ts_slice){changed->text + changed->name_size, changed->value_size};
        return !changed->removed;
    }
    PyObject *all = self->metadata[side];
    for (Py_ssize_t i = all ? PyTuple_GET_SIZE(all) : 0; i-- > 0;) { /* of several, the last */
        PyObject *pair = PyTuple_GET_ITEM(all, i);
        if (!equals(PyTuple_GET_ITEM(pair, 0), name)) continue;
        Py_ssize_t size;
        const char *data = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(pair, 1), &size);
        if (!data) {
            PyErr_Clear();
            return 0;
        }
        *value = (ts_slice){(const uint8_t *)data, (uint32_t)size};
        return 1;
    }
    return 0;
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
    change_header(ctx, (int)side, name, value, 0);
}

static void carrier_header_remove(void *ctx, enum ts_side side, ts_slice name) {
    change_header(ctx, (int)side, name, (ts_slice){NULL, 0}, 1);
}

static void carrier_trace(void *ctx, ts_slice text) {
    struct chain_object *owner = ((struct rpc_object *)ctx)->owner;
    if (owner->tracer) append_slice(&owner->traces, text);
}

static void carrier_record(void *ctx, const struct ts_record *record) {
    struct memory *m = &((struct rpc_object *)ctx)->owner->records;
    append(m, &record->sequence, sizeof record->sequence);
    append(m, &record->rpc, sizeof record->rpc);
    append(m, &record->element, sizeof record->element);
    append(m, &record->hook, sizeof record->hook);
    append_slice(m, record->arguments);
    append_slice(m, record->tape);
    append_slice(m, record->result);
}

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
    return Py_BuildValue("KKIINNN", (unsigned long long)sequence, (unsigned long long)rpc, element, hook, arguments, tape, result);
}

static PyObject *read_trace(const uint8_t **at) {
    uint32_t size;
    memcpy(&size, *at, sizeof size);
    PyObject *text = PyUnicode_DecodeUTF8((const char *)*at + sizeof size, size, "replace");
    *at += sizeof size + size;
    return text;
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

static inline void drain(struct chain_object *owner) {
    if (owner->records.size) hand_over(&owner->records, owner->recorder, read_record);
    if (owner->traces.size) hand_over(&owner->traces, owner->tracer, read_trace);
}

/* --- one RPC ---------------------------------------------------------------------------------------------------- */

static int slice_of_text(PyObject *text, ts_slice *out) {
    Py_ssize_t size;
    const char *data = PyUnicode_AsUTF8AndSize(text, &size);
    if (!data) return -1;
    *out = (ts_slice){(const uint8_t *)data, (uint32_t)size};
    return 0;
}

static struct rpc_object *make_rpc(struct chain_object *owner) {
    struct rpc_object *self;
    if (owner->spares) {
        self = owner->spare[--owner->spares];
        (void)PyObject_Init((PyObject *)self, &rpc_type);
        return self;
    }
    self = PyObject_Malloc(sizeof *self + 15 + ts_chain_rpc_size);
    if (!self) return (struct rpc_object *)PyErr_NoMemory();
    (void)PyObject_Init((PyObject *)self, &rpc_type);
    self->state = (void *)(((uintptr_t)(self + 1) + 15) & ~(uintptr_t)15);
    return self;
}

/* begin(method, peer, metadata) */
static PyObject *chain_begin(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct chain_object *owner = (struct chain_object *)object;
    ts_slice method, peer;
    if (count != 3 || !(args[2] == Py_None || PyTuple_CheckExact(args[2]))) {
        PyErr_SetString(PyExc_TypeError, "begin(method, peer, metadata: tuple or None)");
        return NULL;
    }
    if (slice_of_text(args[0], &method) || slice_of_text(args[1], &peer)) return NULL;
    struct rpc_object *self = make_rpc(owner);
    if (!self) return NULL;
    self->owner = (struct chain_object *)Py_NewRef(owner);
    self->method = Py_NewRef(args[0]);
    self->peer = Py_NewRef(args[1]);
    self->metadata[TS_REQUEST_HEADERS] = args[2] == Py_None ? NULL : Py_NewRef(args[2]);
    self->metadata[TS_RESPONSE_HEADERS] = self->metadata[TS_RESPONSE_TRAILERS] = NULL;
    self->changes = NULL;
    self->fresh = 0;
    self->rpc = (struct ts_rpc){&owner->carrier, self, method, peer};
    self->started = carrier_now(NULL);
    self->entered = self->finished = 0;
    memset(self->state, 0, ts_chain_rpc_size);
    return (PyObject *)self;
}

static void end(struct rpc_object *self, int code, enum ts_cause cause, struct ts_ending *out) {
    *out = (struct ts_ending){0, 0};
    if (self->finished) return;
    self->finished = 1;
    if (self->entered) ts_chain_finish(self->owner->chain, self->state, &self->rpc, code, cause, carrier_now(NULL) - self->started, out);
}

/* An exception may be on its way while objects go. */
#if PY_VERSION_HEX >= 0x030c0000
static PyObject *take_exception(void) { return PyErr_GetRaisedException(); }
static void give_exception(PyObject *raised) { PyErr_SetRaisedException(raised); }
#else
static PyObject *take_exception(void) {
    PyObject *kind, *value, *trace;
    PyErr_Fetch(&kind, &value, &trace);
    if (!kind) return NULL;
    PyErr_NormalizeException(&kind, &value, &trace);
    if (trace) PyException_SetTraceback(value, trace);
    Py_DECREF(kind);
    Py_XDECREF(trace);
    return value;
}
static void give_exception(PyObject *raised) {
    if (raised) PyErr_Restore(Py_NewRef(Py_TYPE(raised)), raised, PyException_GetTraceback(raised));
}
#endif

static void rpc_dealloc(PyObject *object) {
    struct rpc_object *self = (struct rpc_object *)object;
    struct chain_object *owner = self->owner;
    if (self->entered && !self->finished) { /* nobody waits for it any more */
        struct ts_ending ending;
        PyObject *raised = take_exception();
        end(self, 1, TS_CANCEL, &ending);
        drain(owner);
        give_exception(raised);
    }
    for (struct change *c = self->changes, *next; c; c = next) {
        next = c->next;
        PyMem_RawFree(c);
    }
    for (int i = 0; i < SIDES; i++) Py_XDECREF(self->metadata[i]);
    Py_DECREF(self->method);
    Py_DECREF(self->peer);
    if (owner->spares < SPARES) {
        owner->spare[owner->spares++] = self;
    } else {
        PyObject_Free(self);
    }
    Py_DECREF(owner);
}

static PyObject *text_of(ts_slice s) {
    return PyUnicode_DecodeUTF8((const char *)s.data, s.size, "replace");
}

static PyObject *bytes_of(ts_slice s) {
    return PyBytes_FromStringAndSize((const char *)s.data, s.size);
}

static PyObject *decision(const struct ts_verdict *v, PyObject *message) {
    PyObject *data = NULL, *to = v->to.size ? text_of(v->to) : Py_NewRef(Py_None);
    switch (v->action) {
    case TS_FORWARD: data = v->rewritten ? bytes_of(v->message) : Py_NewRef(message); break;
    case TS_REJECT: data = text_of(v->text); break;
    case TS_RESPOND: data = bytes_of(v->text); break;
    }
    return Py_BuildValue("iiNLNI", (int)v->action, v->code, data, (long long)v->after, to, v->element);
}

static PyObject *over(void) {
    return Py_BuildValue("iisLOI", OVER, 1, "", 0LL, Py_None, 0U);
}

typedef void hook(ts_chain *, void *, const struct ts_rpc *, ts_slice, struct ts_verdict *);

static inline PyObject *pass(struct rpc_object *self, PyObject *message, hook *run) {
    if (!PyBytes_Check(message)) {
        PyErr_Format(PyExc_TypeError, "a message is bytes, not %.100s", Py_TYPE(message)->tp_name);
        return NULL;
    }
    if (PyBytes_GET_SIZE(message) > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a message has less than 4 GiB");
        return NULL;
    }
    if (self->finished) return over();
    struct ts_verdict v = {0};
    run(self->owner->chain, self->state, &self->rpc, (ts_slice){(const uint8_t *)PyBytes_AS_STRING(message), (uint32_t)PyBytes_GET_SIZE(message)}, &v);
    PyObject *result;
    if (v.action != TS_FORWARD || v.after || v.to.size || self->fresh) {
        result = decision(&v, message);
    } else {
        result = v.rewritten ? bytes_of(v.message) : Py_NewRef(message);
    }
    drain(self->owner);
    return result;
}

static PyObject *rpc_request(PyObject *object, PyObject *message) {
    struct rpc_object *self = (struct rpc_object *)object;
    self->entered = 1;
    return pass(self, message, ts_chain_request);
}

static PyObject *rpc_response(PyObject *object, PyObject *message) {
    return pass((struct rpc_object *)object, message, ts_chain_response);
}

/* finish(code, cause): ns after which to send the request again, or None */
static PyObject *rpc_finish(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct rpc_object *self = (struct rpc_object *)object;
    long code = count == 2 ? PyLong_AsLong(args[0]) : -1, cause = count == 2 ? PyLong_AsLong(args[1]) : -1;
    if (code < 0 || cause < TS_REPLY || cause > TS_RESET) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "finish(code, cause)");
        return NULL;
    }
    struct ts_ending ending;
    end(self, (int)code, (enum ts_cause)cause, &ending);
    drain(self->owner);
    if (!ending.retry) Py_RETURN_NONE;
    return PyLong_FromLongLong(ending.after);
}

static int side_of(PyObject *number) {
    long side = PyLong_AsLong(number);
    if (side >= 0 && side < SIDES) return (int)side;
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "no such side");
    return -1;
}

/* receive(side, metadata): headers which the peer sent */
static PyObject *rpc_receive(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct rpc_object *self = (struct rpc_object *)object;
    if (count != 2 || !PyTuple_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "receive(side, metadata: tuple)");
        return NULL;
    }
    int side = side_of(args[0]);
    if (side < 0) return NULL;
    Py_XSETREF(self->metadata[side], Py_NewRef(args[1]));
    Py_RETURN_NONE;
}

/* changes(side): what the chain has set and removed there since this was last asked, as (name, value or None) */
static PyObject *rpc_changes(PyObject *object, PyObject *number) {
    struct rpc_object *self = (struct rpc_object *)object;
    int side = side_of(number);
    PyObject *all = side < 0 ? NULL : PyList_New(0);
    for (struct change *c = self->changes; all && c; c = c->next) {
        if (c->side != side || !c->fresh) continue;
        char *name = (char *)c->text, *value = c->removed ? NULL : name + c->name_size;
        PyObject *pair = Py_BuildValue("s#z#", name, (Py_ssize_t)c->name_size, value, (Py_ssize_t)c->value_size);
        if (!pair || PyList_Append(all, pair)) Py_CLEAR(all);
        Py_XDECREF(pair);
        c->fresh = 0;
    }
    if (all) self->fresh &= ~(1u << side);
    return all;
}

static PyObject *rpc_entered(PyObject *object, void *unused) {
    (void)unused;
    return PyBool_FromLong(((struct rpc_object *)object)->entered);
}

static PyObject *rpc_finished(PyObject *object, void *unused) {
    (void)unused;
    return PyBool_FromLong(((struct rpc_object *)object)->finished);
}

static PyMethodDef rpc_methods[] = {
    {"request", rpc_request, METH_O, NULL},
    {"response", rpc_response, METH_O, NULL},
    {"finish", (PyCFunction)(void (*)(void))rpc_finish, METH_FASTCALL, NULL},
    {"receive", (PyCFunction)(void (*)(void))rpc_receive, METH_FASTCALL, NULL},
    {"changes", rpc_changes, METH_O, NULL},
    {0},
};

static PyGetSetDef rpc_fields[] = {
    {"entered", rpc_entered, NULL, NULL, NULL},
    {"finished", rpc_finished, NULL, NULL, NULL},
    {0},
};

static PyTypeObject rpc_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = TEXT(TS_MODULE) ".Rpc",
    .tp_basicsize = sizeof(struct rpc_object),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = rpc_dealloc,
    .tp_methods = rpc_methods,
    .tp_getset = rpc_fields,
};

/* --- one copy of the chain's state ------------------------------------------------------------------------------- */

static PyObject *chain_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    if (PyTuple_GET_SIZE(args) || (keywords && PyDict_GET_SIZE(keywords))) {
        PyErr_SetString(PyExc_TypeError, "Chain()");
        return NULL;
    }
    struct chain_object *self = (struct chain_object *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->carrier = (struct ts_carrier){
        .now = carrier_now,
        .draw = carrier_draw,
        .header_get = carrier_header_get,
        .header_set = carrier_header_set,
        .header_remove = carrier_header_remove,
        .trace = carrier_trace,
    };
    self->chain = ts_chain_new();
    if (!self->chain) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void chain_dealloc(PyObject *object) {
    struct chain_object *self = (struct chain_object *)object;
    while (self->spares) PyObject_Free(self->spare[--self->spares]);
    if (self->chain) ts_chain_free(self->chain);
    Py_XDECREF(self->recorder);
    Py_XDECREF(self->tracer);
    PyMem_RawFree(self->records.data);
    PyMem_RawFree(self->traces.data);
    Py_TYPE(object)->tp_free(object);
}

/* The state's image, in memory of PyMem_Malloc; NULL with an exception. */
static uint8_t *image_of(struct chain_object *self, uint32_t element, size_t *size) {
    uint8_t *image = NULL;
    size_t room = 0;
    while ((*size = ts_chain_save(self->chain, element, image, room)) > room) {
        room = *size;
        uint8_t *grown = PyMem_Realloc(image, room);
        if (!grown) {
            PyMem_Free(image);
            PyErr_NoMemory();
            return NULL;
        }
        image = grown;
    }
    return image ? image : PyMem_Malloc(1);
}

static PyObject *chain_save(PyObject *object, PyObject *number) {
    unsigned long element = PyLong_AsUnsignedLong(number);
    if (PyErr_Occurred()) return NULL;
    size_t size;
    uint8_t *image = image_of((struct chain_object *)object, (uint32_t)element, &size);
    PyObject *bytes = image ? PyBytes_FromStringAndSize((char *)image, (Py_ssize_t)size) : NULL;
    PyMem_Free(image);
    return bytes;
}

/* load(element, image): whether it fits; nothing is changed if not */
static PyObject *chain_load(PyObject *object, PyObject *args) {
    unsigned element;
    Py_buffer image;
    if (!PyArg_ParseTuple(args, "Iy*", &element, &image)) return NULL;
    int wrong = ts_chain_load(((struct chain_object *)object)->chain, element, image.buf, (size_t)image.len);
    PyBuffer_Release(&image);
    return PyBool_FromLong(!wrong);
}

/* replace(element, old, new): load `new` if the state still is `old`, as one step */
static PyObject *chain_replace(PyObject *object, PyObject *args) {
    struct chain_object *self = (struct chain_object *)object;
    unsigned element;
    Py_buffer old, new;
    if (!PyArg_ParseTuple(args, "Iy*y*", &element, &old, &new)) return NULL;
    size_t size;
    uint8_t *now = image_of(self, element, &size);
    int same = now && size == (size_t)old.len && memcmp(now, old.buf, size) == 0;
    int done = same && ts_chain_load(self->chain, element, new.buf, (size_t)new.len) == 0;
    PyMem_Free(now);
    PyBuffer_Release(&old);
    PyBuffer_Release(&new);
    return PyErr_Occurred() ? NULL : PyBool_FromLong(done);
}

static PyObject *set_sink(PyObject **sink, PyObject *value) {
    if (value != Py_None && !PyCallable_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "a callable, or None");
        return NULL;
    }
    Py_XSETREF(*sink, value == Py_None ? NULL : Py_NewRef(value));
    Py_RETURN_NONE;
}

static PyObject *chain_record(PyObject *object, PyObject *sink) {
    struct chain_object *self = (struct chain_object *)object;
    PyObject *done = set_sink(&self->recorder, sink);
    if (done) self->carrier.record = self->recorder ? carrier_record : NULL;
    return done;
}

static PyObject *chain_trace(PyObject *object, PyObject *sink) {
    return set_sink(&((struct chain_object *)object)->tracer, sink);
}

static PyMethodDef chain_methods[] = {
    {"begin", (PyCFunction)(void (*)(void))chain_begin, METH_FASTCALL, NULL},
    {"save", chain_save, METH_O, NULL},
    {"load", chain_load, METH_VARARGS, NULL},
    {"replace", chain_replace, METH_VARARGS, NULL},
    {"record", chain_record, METH_O, NULL},
    {"trace", chain_trace, METH_O, NULL},
    {0},
};

static PyTypeObject chain_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = TEXT(TS_MODULE) ".Chain",
    .tp_basicsize = sizeof(struct chain_object),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = chain_new,
    .tp_dealloc = chain_dealloc,
    .tp_methods = chain_methods,
};

/* --- the module -------------------------------------------------------------------------------------------------- */

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = TEXT(TS_MODULE), .m_size = -1};

PyMODINIT_FUNC JOIN(PyInit_, TS_MODULE)(void) {
    if (ts_chain_abi != TS_CHAIN_ABI) {
        PyErr_Format(PyExc_ImportError, "the chain speaks ABI %u, its carrier %u", (unsigned)ts_chain_abi, (unsigned)TS_CHAIN_ABI);
        return NULL;
    }
    if (PyType_Ready(&chain_type) || PyType_Ready(&rpc_type)) return NULL;
    PyObject *self = PyModule_Create(&module);
    if (!self) return NULL;
    if (PyModule_AddObjectRef(self, "Chain", (PyObject *)&chain_type) || PyModule_AddStringConstant(self, "description", ts_chain_description) || pthread_atfork(NULL, NULL, forget_draws)) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}
