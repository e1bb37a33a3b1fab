/* SPDX-License-Identifier: Apache-2.0 */
/* One RPC: `Rpc`, made by `Chain.begin`. */
#include <string.h>

#include "grpc_extension.h"

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

struct rpc_object *begin_rpc(struct chain_object *owner, PyObject *text, PyObject *who, PyObject *metadata) {
    ts_slice method, peer;
    if (slice_of_text(text, &method) || slice_of_text(who, &peer)) return NULL;
    struct rpc_object *self = make_rpc(owner);
    if (!self) return NULL;
    self->owner = (struct chain_object *)Py_NewRef(owner);
    self->method = Py_NewRef(text);
    self->peer = Py_NewRef(who);
    self->metadata[TS_REQUEST_HEADERS] = metadata == Py_None ? NULL : Py_NewRef(metadata);
    self->metadata[TS_RESPONSE_HEADERS] = self->metadata[TS_RESPONSE_TRAILERS] = NULL;
    self->changes = NULL;
    self->fresh = 0;
    self->rpc = (struct ts_rpc){&owner->carrier, self, method, peer};
    self->started = now_ns();
    self->entered = self->finished = 0;
    owner->totals.rpcs++;
    owner->open++;
    memset((uint8_t *)self->state + ts_chain_rpc_unset, 0, ts_chain_rpc_size - ts_chain_rpc_unset);
    return self;
}

void end_rpc(struct rpc_object *self, int code, enum ts_cause cause, struct ts_ending *out) {
    *out = (struct ts_ending){0, 0};
    let_pass(self->owner);
    if (self->finished) return;
    self->finished = 1;
    self->owner->open--;
    self->owner->totals.causes[cause]++;
    self->owner->totals.refused += cause == TS_REJECTED && !self->entered; /* no element's: none has seen it */
    int64_t elapsed = now_ns() - self->started;
    took(self->owner, 0, elapsed);
    if (self->entered) ts_chain_finish(self->owner->chain, self->state, &self->rpc, code, cause, elapsed, out);
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
    if (!self->finished) { /* nobody waits for it any more */
        struct ts_ending ending;
        PyObject *raised = take_exception();
        end_rpc(self, 1, TS_CANCEL, &ending);
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
    PyObject *data = NULL, *to = v->to.data ? text_of(v->to) : Py_NewRef(Py_None);
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

static void note_verdict(struct totals *t, int reply, const struct ts_verdict *v) {
    t->delayed += v->after > 0;
    if (v->action != TS_FORWARD && v->element >= MOST_ELEMENTS) { /* no element's */
        t->refused++;
        t->malformed += v->code == 3;
        return;
    }
    ++*(reply ? &t->responses : &t->requests);
    switch (v->action) {
    case TS_FORWARD: t->rewritten += v->rewritten; break;
    case TS_REJECT: (reply ? t->withheld : t->rejected)[v->element]++; break;
    case TS_RESPOND: t->responded[v->element]++; break;
    }
}

typedef void hook(ts_chain *, void *, const struct ts_rpc *, ts_slice, struct ts_verdict *);

static PyObject *pass(struct rpc_object *self, PyObject *message, hook *run) {
    if (!PyBytes_Check(message)) {
        PyErr_Format(PyExc_TypeError, "a message is bytes, not %.100s", Py_TYPE(message)->tp_name);
        return NULL;
    }
    if (PyBytes_GET_SIZE(message) > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a message has less than 4 GiB");
        return NULL;
    }
    let_pass(self->owner);
    if (self->finished) return over();
    struct ts_verdict v = {0};
    run(self->owner->chain, self->state, &self->rpc, (ts_slice){(const uint8_t *)PyBytes_AS_STRING(message), (uint32_t)PyBytes_GET_SIZE(message)}, &v);
    note_verdict(&self->owner->totals, run == ts_chain_response, &v);
    PyObject *result;
    if (v.action != TS_FORWARD || v.after || v.to.data || self->fresh) {
        result = decision(&v, message);
    } else {
        result = v.rewritten ? bytes_of(v.message) : Py_NewRef(message);
    }
    drain(self->owner);
    return result;
}

PyObject *pass_request(struct rpc_object *self, PyObject *message) {
    let_pass(self->owner);
    self->entered |= !self->finished;
    return pass(self, message, ts_chain_request);
}

PyObject *pass_response(struct rpc_object *self, PyObject *message) {
    return pass(self, message, ts_chain_response);
}

static PyObject *rpc_request(PyObject *object, PyObject *message) {
    return pass_request((struct rpc_object *)object, message);
}

static PyObject *rpc_response(PyObject *object, PyObject *message) {
    return pass_response((struct rpc_object *)object, message);
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
    end_rpc(self, (int)code, (enum ts_cause)cause, &ending);
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

static PyObject *rpc_elapsed(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromLongLong(now_ns() - ((struct rpc_object *)object)->started);
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
    {"elapsed", rpc_elapsed, NULL, NULL, NULL}, /* ns since it began */
    {0},
};

PyTypeObject rpc_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "transect.Rpc",
    .tp_basicsize = sizeof(struct rpc_object),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = rpc_dealloc,
    .tp_methods = rpc_methods,
    .tp_getset = rpc_fields,
};
