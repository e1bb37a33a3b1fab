/* SPDX-License-Identifier: Apache-2.0 */
/* The log of handler calls: workers copy records into one of two buffers, a thread of ours writes the other to a file.
 *
 * A record is `u32 size of the rest; u64 sequence, rpc; u32 element, hook; arguments, tape, result`, each of the last
 * three a u32 size and bytes; all little-endian.  What does not fit is dropped and counted: a slow disk never holds up an RPC.
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
    int file;      /* -1: not recording */
    int busy, stop;
    _Atomic int active;
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

struct recorder *recorder_new(size_t room) {
    struct recorder *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->room = room;
    r->file = -1;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->filled, NULL);
    pthread_cond_init(&r->written, NULL);
    if (pthread_create(&r->thread, NULL, keep_log, r) == 0) return r;
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

static void put_slice(struct bytes *to, ts_slice slice) {
    uint8_t size[4];
    put32(size, slice.size);
    bytes_add(to, size, sizeof size);
    bytes_add(to, slice.data, slice.size);
}

void recorder_add(struct recorder *r, const struct ts_record *record) {
    uint8_t head[28];
    size_t size = sizeof head - 4 + 12 + (size_t)record->arguments.size + record->tape.size + record->result.size;
    put32(head, (uint32_t)size);
    put64(head + 4, record->sequence);
    put64(head + 12, record->rpc);
    put32(head + 20, record->element);
    put32(head + 24, record->hook);
    pthread_mutex_lock(&r->lock);
    if (r->file >= 0 && recording(r)) {
        if (r->filling.size + size + 4 > r->room) {
            r->dropped++;
        } else {
            bytes_add(&r->filling, head, sizeof head);
            put_slice(&r->filling, record->arguments);
            put_slice(&r->filling, record->tape);
            put_slice(&r->filling, record->result);
            r->records++;
            if (!r->busy) pthread_cond_signal(&r->filled);
        }
    }
    pthread_mutex_unlock(&r->lock);
}

void recorder_counts(struct recorder *r, uint64_t *records, uint64_t *dropped) {
    pthread_mutex_lock(&r->lock);
    *records = r->records;
    *dropped = r->dropped;
    pthread_mutex_unlock(&r->lock);
}
