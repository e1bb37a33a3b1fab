/* SPDX-License-Identifier: Apache-2.0 */
/* `Chain`, one copy of a chain's state, and the module. */
#include <pthread.h>
#include <string.h>

#include "grpc_extension.h"

static PyObject *chain_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    if (PyTuple_GET_SIZE(args) || (keywords && PyDict_GET_SIZE(keywords))) {
        PyErr_SetString(PyExc_TypeError, "Chain()");
        return NULL;
    }
    struct chain_object *self = (struct chain_object *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->carrier = carrier_functions;
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
    PyMem_RawFree(self->joined.data);
    for (int i = 0; i <= MOST_ELEMENTS; i++) PyMem_RawFree(self->totals.times[i]);
    Py_TYPE(object)->tp_free(object);
}

/* The state's image, in memory of PyMem_Malloc; NULL with an exception. */
static uint8_t *image_of(struct chain_object *self, uint32_t element, size_t *size) {
    size_t room = 256;
    uint8_t *image = PyMem_Malloc(room);
    while (image && (*size = ts_chain_save(self->chain, element, image, room)) > room) {
        PyMem_Free(image);
        room = *size;
        image = PyMem_Malloc(room);
    }
    if (!image) PyErr_NoMemory();
    return image;
}

static PyObject *image_bytes(struct chain_object *self, uint32_t element) {
    size_t size;
    uint8_t *image = image_of(self, element, &size);
    PyObject *bytes = image ? PyBytes_FromStringAndSize((char *)image, (Py_ssize_t)size) : NULL;
    PyMem_Free(image);
    return bytes;
}

static PyObject *chain_save(PyObject *object, PyObject *number) {
    unsigned long element = PyLong_AsUnsignedLong(number);
    return PyErr_Occurred() ? NULL : image_bytes((struct chain_object *)object, (uint32_t)element);
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

/* record(sink or None, elements): begin or end recording; the images of the elements' states at that very moment */
static PyObject *chain_record(PyObject *object, PyObject *args) {
    struct chain_object *self = (struct chain_object *)object;
    PyObject *sink;
    unsigned elements;
    if (!PyArg_ParseTuple(args, "OI", &sink, &elements)) return NULL;
    PyObject *images = PyTuple_New(elements);
    if (!images) return NULL;
    /* Allocating bytes runs no Python code, so no other thread comes in between. */
    for (unsigned i = 0; i < elements; i++) {
        PyObject *image = image_bytes(self, i);
        if (!image) {
            Py_DECREF(images);
            return NULL;
        }
        PyTuple_SET_ITEM(images, i, image);
    }
    PyObject *old = self->recorder;
    Py_XINCREF(old); /* what goes with it may run Python code; later */
    PyObject *done = set_sink(&self->recorder, sink);
    if (done) self->carrier.record = self->recorder ? carrier_record : NULL;
    Py_XDECREF(old);
    if (!done) {
        Py_DECREF(images);
        return NULL;
    }
    Py_DECREF(done);
    return images;
}

static PyObject *chain_trace(PyObject *object, PyObject *sink) {
    return set_sink(&((struct chain_object *)object)->tracer, sink);
}

/* begin(method, peer, metadata: tuple or None) */
static PyObject *chain_begin(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    if (count != 3 || !(args[2] == Py_None || PyTuple_CheckExact(args[2]))) {
        PyErr_SetString(PyExc_TypeError, "begin(method, peer, metadata: tuple or None)");
        return NULL;
    }
    return (PyObject *)begin_rpc((struct chain_object *)object, args[0], args[1], args[2]);
}

static PyObject *chain_unary(PyObject *object, PyObject *args) {
    return make_unary((struct chain_object *)object, args);
}

/* hold(): until release(), hooks of other threads wait; so that a change of state meets no other */
static PyObject *chain_hold(PyObject *object, PyObject *unused) {
    struct chain_object *self = (struct chain_object *)object;
    (void)unused;
    wait_for_holder(self);
    self->holder = PyThread_get_thread_ident();
    Py_RETURN_NONE;
}

static PyObject *chain_release(PyObject *object, PyObject *unused) {
    (void)unused;
    ((struct chain_object *)object)->holder = 0;
    Py_RETURN_NONE;
}

static PyMethodDef chain_methods[] = {
    {"begin", (PyCFunction)(void (*)(void))chain_begin, METH_FASTCALL, NULL},
    {"unary", chain_unary, METH_VARARGS, NULL},
    {"save", chain_save, METH_O, NULL},
    {"load", chain_load, METH_VARARGS, NULL},
    {"replace", chain_replace, METH_VARARGS, NULL},
    {"hold", chain_hold, METH_NOARGS, NULL},
    {"release", chain_release, METH_NOARGS, NULL},
    {"record", chain_record, METH_VARARGS, NULL},
    {"trace", chain_trace, METH_O, NULL},
    {0},
};

static PyObject *chain_busy(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromLong(((struct chain_object *)object)->busy);
}

static PyObject *chain_recording(PyObject *object, void *unused) {
    (void)unused;
    return PyBool_FromLong(((struct chain_object *)object)->recorder != NULL);
}

static PyObject *chain_open(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromLong(((struct chain_object *)object)->open);
}

static PyObject *list_of(const uint64_t *numbers, Py_ssize_t many) {
    PyObject *list = PyList_New(many);
    for (Py_ssize_t i = 0; list && i < many; i++) {
        PyObject *number = PyLong_FromUnsignedLongLong(numbers[i]);
        if (!number) Py_CLEAR(list);
        else PyList_SET_ITEM(list, i, number);
    }
    return list;
}

/* [bucket, count, …] of those that are not empty */
static PyObject *sparse(const struct ts_times *times) {
    uint64_t numbers[2 * TS_TIMES];
    Py_ssize_t many = 0;
    for (uint64_t i = 0; times && i < TS_TIMES; i++) {
        if (!times->buckets[i]) continue;
        numbers[many++] = i;
        numbers[many++] = times->buckets[i];
    }
    return list_of(numbers, many);
}

static PyObject *list_of_times(struct ts_times *const *times) {
    PyObject *list = PyList_New(1 + MOST_ELEMENTS);
    for (Py_ssize_t i = 0; list && i <= MOST_ELEMENTS; i++) {
        PyObject *one = Py_BuildValue("KN", times[i] ? times[i]->sum : 0, sparse(times[i]));
        if (!one) Py_CLEAR(list);
        else PyList_SET_ITEM(list, i, one);
    }
    return list;
}

static PyObject *chain_counts(PyObject *object, void *unused) {
    const struct totals *t = &((struct chain_object *)object)->totals;
    (void)unused;
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:N,s:N,s:N,s:N,s:N}", "rpcs", t->rpcs, "requests", t->requests, "responses",
                         t->responses, "rewritten", t->rewritten, "delayed", t->delayed, "malformed", t->malformed, "refused",
                         t->refused, "causes", list_of(t->causes, 5), "rejected", list_of(t->rejected, MOST_ELEMENTS), "responded",
                         list_of(t->responded, MOST_ELEMENTS), "withheld", list_of(t->withheld, MOST_ELEMENTS), "times", list_of_times(t->times));
}

static PyGetSetDef chain_fields[] = {
    {"counts", chain_counts, NULL, NULL, NULL}, /* since the chain was made */
    {"busy", chain_busy, NULL, NULL, NULL}, /* threads which hand records over */
    {"recording", chain_recording, NULL, NULL, NULL},
    {"open", chain_open, NULL, NULL, NULL}, /* RPCs under way */
    {0},
};

PyTypeObject chain_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = TEXT(TS_MODULE) ".Chain",
    .tp_basicsize = sizeof(struct chain_object),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = chain_new,
    .tp_dealloc = chain_dealloc,
    .tp_methods = chain_methods,
    .tp_getset = chain_fields,
};

/* --- the module -------------------------------------------------------------------------------------------------- */

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = TEXT(TS_MODULE), .m_size = -1};

PyMODINIT_FUNC JOIN(PyInit_, TS_MODULE)(void) {
    if (ts_chain_abi != TS_CHAIN_ABI) {
        PyErr_Format(PyExc_ImportError, "the chain speaks ABI %u, its carrier %u", (unsigned)ts_chain_abi, (unsigned)TS_CHAIN_ABI);
        return NULL;
    }
    if (PyType_Ready(&chain_type) || PyType_Ready(&rpc_type) || PyType_Ready(&unary_type)) return NULL;
    PyObject *self = PyModule_Create(&module);
    if (!self) return NULL;
    if (PyModule_AddObjectRef(self, "Chain", (PyObject *)&chain_type) || PyModule_AddObjectRef(self, "Unary", (PyObject *)&unary_type) ||
        PyModule_AddStringConstant(self, "description", ts_chain_description) ||
        pthread_atfork(NULL, NULL, forget_draws)) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}
