/* SPDX-License-Identifier: Apache-2.0 */
/* A stub's method with one request and one reply: serialise, `request`, the call below, `response`, `finish`,
 * deserialise, without a frame of Python.  Whatever is not that goes to `otherwise`, which is Python:
 * otherwise(stage, rpc or None, data, value, args, keywords). */
#include <string.h>

#include "grpc_extension.h"

enum stage {
    BEGIN,   /* nothing has happened yet */
    REQUEST, /* value: the decision of `request` */
    FAILED,  /* value: what the call below raised */
    REPLY,   /* value: the decision of `response` */
    RETRY,   /* value: (ns to wait, the reply) */
    DECODE,  /* value: the reply, which the deserialiser refuses */
};

enum { MOST = 12 }; /* arguments of a call */

struct unary_object {
    PyObject_HEAD
    vectorcallfunc call;
    struct chain_object *owner;
    PyObject *inner, *serialize, *deserialize; /* serialisers may be None */
    PyObject *method, *peer;
    PyObject *otherwise;
    PyObject *with_call, *future; /* the stub's other ways to call */
    PyObject *successor;          /* takes the calls of a later version; NULL: none */
    PyObject *weak;               /* references which do not keep it */
};

static PyObject *otherwise(PyObject *python, enum stage stage, struct rpc_object *rpc, PyObject *data, PyObject *value,
                           PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyObject *result = NULL, *keywords = PyDict_New(), *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple && i < count; i++) PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    for (Py_ssize_t i = 0; keywords && names && i < PyTuple_GET_SIZE(names); i++)
        if (PyDict_SetItem(keywords, PyTuple_GET_ITEM(names, i), args[count + i])) Py_CLEAR(keywords);
    if (tuple && keywords)
        result = PyObject_CallFunction(python, "iOOOOO", (int)stage, rpc ? (PyObject *)rpc : Py_None, data ? data : Py_None,
                                       value ? value : Py_None, tuple, keywords);
    Py_XDECREF(tuple);
    Py_XDECREF(keywords);
    return result;
}

static PyObject *raised(void) {
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *kind, *value, *trace;
    PyErr_Fetch(&kind, &value, &trace);
    PyErr_NormalizeException(&kind, &value, &trace);
    if (trace) PyException_SetTraceback(value, trace);
    Py_DECREF(kind);
    Py_XDECREF(trace);
    return value;
#endif
}

/* Each step returns a new reference, or NULL with `*stage` and `*value` (new references) set for `otherwise`; a NULL
 * value with an exception is our own error. */
static PyObject *through(struct unary_object *self, struct chain_object *owner, struct rpc_object *rpc, PyObject *data, PyObject *const *args, Py_ssize_t count,
                         PyObject *names, enum stage *stage, PyObject **value) {
    PyObject *out = pass_request(rpc, data);
    if (!out || !PyBytes_CheckExact(out)) {
        *stage = REQUEST;
        *value = out;
        return NULL;
    }
    Py_ssize_t all = count + (names ? PyTuple_GET_SIZE(names) : 0);
    PyObject *given[MOST + 1]; /* [0] is room for the callee */
    memcpy(given + 1, args, (size_t)all * sizeof *args);
    given[1] = out;
    PyObject *reply = PyObject_Vectorcall(self->inner, given + 1, (size_t)count | PY_VECTORCALL_ARGUMENTS_OFFSET, names);
    Py_DECREF(out);
    if (!reply) {
        *stage = FAILED;
        *value = raised();
        return NULL;
    }
    out = pass_response(rpc, reply);
    Py_DECREF(reply);
    if (!out || !PyBytes_CheckExact(out)) {
        *stage = REPLY;
        *value = out;
        return NULL;
    }
    struct ts_ending ending;
    end_rpc(rpc, 0, TS_REPLY, &ending);
    drain(owner);
    if (ending.retry) {
        *stage = RETRY;
        *value = Py_BuildValue("LN", (long long)ending.after, out);
        return NULL;
    }
    if (self->deserialize == Py_None) return out;
    PyObject *result = PyObject_CallOneArg(self->deserialize, out);
    if (!result && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
        *stage = DECODE;
        *value = out;
        return NULL;
    }
    Py_DECREF(out);
    return result;
}

/* (request, timeout, metadata …), or by its name */
static int has_metadata(Py_ssize_t count, PyObject *names) {
    for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); i++)
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), "metadata") == 0) return 1;
    return count > 2;
}

static PyObject *called(struct unary_object *self, struct chain_object *owner, PyObject *python, PyObject *const *args, Py_ssize_t count,
                        PyObject *names) {
    int named = owner->recorder && has_metadata(count, names); /* a log says what headers call it, which Python reads */
    if (named || count < 1 || count + (names ? PyTuple_GET_SIZE(names) : 0) > MOST)
        return otherwise(python, BEGIN, NULL, NULL, NULL, args, count, names);
    PyObject *data = self->serialize == Py_None ? Py_NewRef(args[0]) : PyObject_CallOneArg(self->serialize, args[0]);
    if (!data || !PyBytes_CheckExact(data)) { /* Python reports what is wrong with it */
        Py_XDECREF(data);
        if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) return NULL;
        PyErr_Clear();
        return otherwise(python, BEGIN, NULL, NULL, NULL, args, count, names);
    }
    PyObject *result = NULL, *value = NULL;
    struct rpc_object *rpc = begin_rpc(owner, self->method, self->peer, Py_None);
    if (rpc) {
        enum stage stage;
        result = through(self, owner, rpc, data, args, count, names, &stage, &value);
        if (!result && value) result = otherwise(python, stage, rpc, data, value, args, count, names);
    }
    Py_XDECREF(value);
    Py_XDECREF(rpc);
    Py_DECREF(data);
    return result;
}

/* What the call needs of this version is held until it ends: serialising runs Python code, and so may `follow`. */
static PyObject *unary_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names) {
    struct unary_object *self = (struct unary_object *)object;
    struct chain_object *owner = (struct chain_object *)Py_NewRef(self->owner);
    PyObject *python = Py_NewRef(self->otherwise);
    PyObject *result = called(self, owner, python, args, PyVectorcall_NARGS(flags), names);
    Py_DECREF(python);
    Py_DECREF(owner);
    return result;
}

static PyObject *forward_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names) {
    PyObject *successor = Py_NewRef(((struct unary_object *)object)->successor);
    PyObject *result = PyObject_Vectorcall(successor, args, flags, names);
    Py_DECREF(successor);
    return result;
}

/* follow(successor): from now on it takes the calls; those under way end here */
static PyObject *unary_follow(PyObject *object, PyObject *successor) {
    struct unary_object *self = (struct unary_object *)object;
    self->call = forward_call;
    Py_XSETREF(self->successor, Py_NewRef(successor));
    Py_CLEAR(self->owner); /* nothing more enters the old version: who waits for its end looks who holds it */
    Py_CLEAR(self->otherwise);
    Py_RETURN_NONE;
}

/* unary(inner, serialize, deserialize, method, peer, otherwise, with_call, future) */
PyObject *make_unary(struct chain_object *owner, PyObject *args) {
    struct unary_object *self = PyObject_New(struct unary_object, &unary_type);
    if (!self) return NULL;
    memset((char *)self + sizeof(PyObject), 0, sizeof *self - sizeof(PyObject));
    self->call = unary_call;
    self->owner = (struct chain_object *)Py_NewRef(owner);
    PyObject **fields[] = {&self->inner, &self->serialize, &self->deserialize, &self->method, &self->peer, &self->otherwise, &self->with_call, &self->future};
    if (!PyArg_ParseTuple(args, "OOOUUOOO", fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], fields[6], fields[7])) {
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) *fields[i] = NULL; /* borrowed */
        Py_DECREF(self);
        return NULL;
    }
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) Py_INCREF(*fields[i]);
    return (PyObject *)self;
}

static void unary_dealloc(PyObject *object) {
    struct unary_object *self = (struct unary_object *)object;
    if (self->weak) PyObject_ClearWeakRefs(object);
    Py_XDECREF(self->inner);
    Py_XDECREF(self->serialize);
    Py_XDECREF(self->deserialize);
    Py_XDECREF(self->method);
    Py_XDECREF(self->peer);
    Py_XDECREF(self->otherwise);
    Py_XDECREF(self->with_call);
    Py_XDECREF(self->future);
    Py_XDECREF(self->successor);
    Py_XDECREF(self->owner);
    PyObject_Free(self);
}

static PyObject *unary_with_call(PyObject *object, void *unused) {
    (void)unused;
    return Py_NewRef(((struct unary_object *)object)->with_call);
}

static PyObject *unary_future(PyObject *object, void *unused) {
    (void)unused;
    return Py_NewRef(((struct unary_object *)object)->future);
}

static PyGetSetDef unary_fields[] = {
    {"with_call", unary_with_call, NULL, NULL, NULL},
    {"future", unary_future, NULL, NULL, NULL},
    {0},
};

static PyMethodDef unary_methods[] = {
    {"follow", unary_follow, METH_O, NULL},
    {0},
};

PyTypeObject unary_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "transect.Unary",
    .tp_basicsize = sizeof(struct unary_object),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = unary_dealloc,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(struct unary_object, call),
    .tp_weaklistoffset = offsetof(struct unary_object, weak),
    .tp_methods = unary_methods,
    .tp_getset = unary_fields,
};
