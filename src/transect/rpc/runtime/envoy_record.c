/* SPDX-License-Identifier: Apache-2.0 */
/* The log of handler calls: workers copy records into one of two buffers, a thread of ours writes the other to a file.
 *
 * A record is a frame `R` of a log, as src/transect/replay/log.py says; whoever starts a recording has written the frames
 * before it.  What does not fit is dropped and counted: a slow disk never holds up an RPC.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "envoy_module.h"

struct recorder {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t filled, written;
    size_t room;
    struct bytes filling, writing;
    uint64_t records, dropped;
    const struct config *config;
    int file;      /* -1: not recording */
    int busy, stop;
    _Atomic int active;
    _Atomic uint32_t log; /* which one is written, from 1 */
};

static void put32(uint8_t *to, uint32_t n) {
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(n >> 8 * i);
}

static void put64(uint8_t *to, uint64_t n) {
    put32(to, (uint32_t)n);
    put32(to + 4, (uint32_t)(n >> 32));
}

static void write_all(struct recorder *r, int file, const struct bytes *b) {
    for (size_t at = 0; at < b->size;) {
        ssize_t n = write(file, b->data + at, b->size - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            note(LEVEL_ERROR, "transect: the log cannot be written (%s); recording ends", strerror(errno));
            atomic_store(&r->active, 0);
            return;
        }
        at += (size_t)n;
    }
}

/* Under the lock; lets go of it while it writes. */
static void write_out(struct recorder *r) {
    struct bytes full = r->filling;
    r->filling = r->writing;
    r->filling.size = 0;
    r->writing = full;
    r->busy = 1;
    pthread_mutex_unlock(&r->lock);
    write_all(r, r->file, &r->writing);
    pthread_mutex_lock(&r->lock);
    r->busy = 0;
    pthread_cond_broadcast(&r->written);
}

static void *keep_log(void *arg) {
    struct recorder *r = arg;
    pthread_mutex_lock(&r->lock);
    while (!r->stop) {
        if (r->filling.size) {
            write_out(r);
            continue;
        }
        pthread_cond_wait(&r->filled, &r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

struct recorder *recorder_new(const struct config *config) {
    struct recorder *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->config = config;
    r->room = config->record_room;
    r->file = -1;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->filled, NULL);
    pthread_cond_init(&r->written, NULL);
    if (start_thread(&r->thread, keep_log, r)) return r;
    free(r);
    return NULL;
}

/* Appends to `path`, whose head somebody else has written. */
int recorder_start(struct recorder *r, const char *path) {
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) return 0;
    pthread_mutex_lock(&r->lock);
    int free_to_start = r->file < 0;
    if (free_to_start) {
        r->file = file;
        r->records = r->dropped = 0;
        atomic_fetch_add(&r->log, 1);
        atomic_store(&r->active, 1);
    }
    pthread_mutex_unlock(&r->lock);
    if (!free_to_start) close(file);
    return free_to_start;
}

/* Everything recorded so far is in the file when this returns. */
void recorder_stop(struct recorder *r) {
    pthread_mutex_lock(&r->lock);
    atomic_store(&r->active, 0);
    while (r->file >= 0 && (r->busy || r->filling.size)) {
        if (!r->busy) write_out(r);
        else pthread_cond_wait(&r->written, &r->lock);
    }
    if (r->file >= 0) close(r->file);
    r->file = -1;
    pthread_mutex_unlock(&r->lock);
}

void recorder_free(struct recorder *r) {
    recorder_stop(r);
    pthread_mutex_lock(&r->lock);
    r->stop = 1;
    pthread_cond_signal(&r->filled);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    bytes_free(&r->filling);
    bytes_free(&r->writing);
    free(r);
}

int recording(const struct recorder *r) {
    return r && atomic_load_explicit(&r->active, memory_order_relaxed);
}

/* CRC-32 as in zlib, a byte a step. */
static uint32_t crc_table[256];
static pthread_once_t crc_made = PTHREAD_ONCE_INIT;

static void make_crc(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
        crc_table[i] = c;
    }
}

static uint32_t crc_of(const struct bytes *b) {
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < b->size; i++) c = crc_table[(c ^ b->data[i]) & 255] ^ c >> 8;
    return ~c;
}

static void put16(uint8_t *to, unsigned n) {
    to[0] = (uint8_t)n;
    to[1] = (uint8_t)(n >> 8);
}

static void add_slice(struct bytes *to, ts_slice slice) {
    bytes_add(to, slice.data, slice.size);
}

static struct bytes frame_of(const struct recorder *r, const struct ts_record *record) {
    enum { HEAD = 5, RECORD = 36 };
    uint8_t head[HEAD + RECORD] = {'R'};
    struct bytes frame = {0};
    size_t size = RECORD + (size_t)record->arguments.size + record->tape.size + record->result.size;
    put32(head + 1, (uint32_t)size);
    put64(head + 5, record->sequence);
    put16(head + 13, record->element);
    put16(head + 15, r->config->hooks[record->element][record->hook]);
    put64(head + 17, record->rpc);
    put32(head + 25, record->arguments.size);
    put32(head + 29, record->tape.size);
    put32(head + 33, record->result.size);
    bytes_add(&frame, head, sizeof head);
    add_slice(&frame, record->arguments);
    add_slice(&frame, record->tape);
    add_slice(&frame, record->result);
    return frame;
}

/* Takes the frame, which is written with its check.  `call`: it counts as one. */
static void add_frame(struct recorder *r, struct bytes frame, int call) {
    uint8_t check[4];
    pthread_once(&crc_made, make_crc);
    put32(check, crc_of(&frame));
    bytes_add(&frame, check, sizeof check);
    pthread_mutex_lock(&r->lock);
    if (r->file >= 0 && recording(r)) {
        if (r->filling.size + frame.size > r->room) {
            r->dropped++;
        } else {
            bytes_add(&r->filling, frame.data, frame.size);
            r->records += (uint64_t)call;
            if (!r->busy) pthread_cond_signal(&r->filled);
        }
    }
    pthread_mutex_unlock(&r->lock);
    bytes_free(&frame);
}

/* The frame `N` before the first call of an RPC. */
static struct bytes name_of(const struct ts_record *record, ts_slice request_id, ts_slice traceparent) {
    enum { HEAD = 5, NAMING = 24 };
    uint8_t head[HEAD + NAMING] = {'N'};
    struct bytes frame = {0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    put32(head + 1, NAMING + request_id.size + 1 + traceparent.size);
    put64(head + 5, record->rpc);
    put64(head + 13, record->sequence);
    put64(head + 21, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    bytes_add(&frame, head, sizeof head);
    add_slice(&frame, request_id);
    bytes_add(&frame, "\n", 1);
    add_slice(&frame, traceparent);
    return frame;
}

/* Empty where there is none, or one that is longer than any id. */
static ts_slice id_of(struct stream *s, const char *name) {
    enum { LONGEST = 128 }; /* of base/request_id.py */
    ts_slice value = {NULL, 0};
    if (!request_header(s, name, &value) || value.size > LONGEST) value.size = 0;
    return value;
}

static void name(struct stream *s, const struct ts_record *record) {
    struct bytes request_id = {0}; /* a copy: the next answer may stand in the same place */
    ts_slice traceparent = id_of(s, "x-request-id");
    bytes_add(&request_id, traceparent.data, traceparent.size);
    traceparent = id_of(s, "traceparent");
    if (request_id.size || traceparent.size)
        add_frame(s->config->recorder, name_of(record, slice_of(request_id.data, request_id.size), traceparent), 0);
    bytes_free(&request_id);
}

void recorder_add(struct stream *s, const struct ts_record *record) {
    struct recorder *r = s->config->recorder;
    uint32_t log = atomic_load_explicit(&r->log, memory_order_relaxed);
    if (record->element >= MAX_ELEMENTS || record->hook > 2) return;
    if (record->hook == 0 && s->named != log) {
        s->named = log;
        name(s, record);
    }
    add_frame(r, frame_of(r, record), 1);
}

void recorder_counts(struct recorder *r, uint64_t *records, uint64_t *dropped) {
    pthread_mutex_lock(&r->lock);
    *records = r->records;
    *dropped = r->dropped;
    pthread_mutex_unlock(&r->lock);
}
