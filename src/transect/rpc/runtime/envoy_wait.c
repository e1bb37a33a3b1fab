/* SPDX-License-Identifier: Apache-2.0 */
/* Delays: Envoy's interface has no timer for HTTP filters, so one thread of ours keeps a heap of due times and sends
 * each event to its worker through Envoy's scheduler.
 */
#include <stdlib.h>
#include <time.h>

#include "envoy_module.h"

struct wait {
    int64_t due;
    void *scheduler;
    struct clock *clock;
    size_t place; /* in the heap; OUT when not */
    enum event event;
};

struct clock {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct wait **heap;
    size_t count, room;
    int stop;
};

#define OUT SIZE_MAX

/* --- the heap, under the lock ------------------------------------------------------------------------------------- */

static void put(struct clock *c, size_t at, struct wait *w) {
    c->heap[at] = w;
    w->place = at;
}

static void sift_up(struct clock *c, size_t at) {
    struct wait *w = c->heap[at];
    for (; at && w->due < c->heap[(at - 1) / 2]->due; at = (at - 1) / 2) put(c, at, c->heap[(at - 1) / 2]);
    put(c, at, w);
}

static void sift_down(struct clock *c, size_t at) {
    struct wait *w = c->heap[at];
    for (size_t next; (next = 2 * at + 1) < c->count; at = next) {
        if (next + 1 < c->count && c->heap[next + 1]->due < c->heap[next]->due) next++;
        if (w->due <= c->heap[next]->due) break;
        put(c, at, c->heap[next]);
    }
    put(c, at, w);
}

static void insert(struct clock *c, struct wait *w) {
    if (c->count == c->room) {
        c->room = c->room ? c->room * 2 : 64;
        c->heap = realloc(c->heap, c->room * sizeof *c->heap);
        if (!c->heap) abort();
    }
    put(c, c->count++, w);
    sift_up(c, c->count - 1);
}

static void take_out(struct clock *c, struct wait *w) {
    size_t at = w->place;
    struct wait *last = c->heap[--c->count];
    w->place = OUT;
    if (last == w) return;
    put(c, at, last);
    sift_up(c, at);
    sift_down(c, last->place);
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

static void *keep_time(void *arg) {
    struct clock *c = arg;
    pthread_mutex_lock(&c->lock);
    while (!c->stop) {
        if (c->count == 0) {
            pthread_cond_wait(&c->changed, &c->lock);
            continue;
        }
        struct wait *first = c->heap[0];
        if (first->due > now_ns()) {
            struct timespec until = {first->due / 1000000000, first->due % 1000000000};
            pthread_cond_timedwait(&c->changed, &c->lock, &until);
            continue;
        }
        take_out(c, first);
        CALLBACK(http_filter_scheduler_commit)(first->scheduler, first->event);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

struct clock *clock_new(void) {
    struct clock *c = calloc(1, sizeof *c);
    if (!c) abort();
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&c->lock, NULL);
    if (start_thread(&c->thread, keep_time, c)) return c;
    free(c);
    return NULL;
}

void clock_free(struct clock *c) {
    pthread_mutex_lock(&c->lock);
    c->stop = 1;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c->heap);
    free(c);
}

/* --- what streams call -------------------------------------------------------------------------------------------- */

void wait_for(struct stream *s, struct way *w, int64_t delay) {
    struct clock *c = s->config->clock;
    if (!w->wait) {
        w->wait = calloc(1, sizeof *w->wait);
        if (!w->wait) abort();
        w->wait->scheduler = CALLBACK(http_filter_scheduler_new)(s->filter);
        w->wait->clock = c;
        w->wait->place = OUT;
        w->wait->event = w->reply ? WAKE_RESPONSE : WAKE_REQUEST;
    }
    int64_t now = now_ns();
    w->wait->due = delay > INT64_MAX - now ? INT64_MAX : now + delay;
    w->paused = 1;
    pthread_mutex_lock(&c->lock);
    insert(c, w->wait);
    if (w->wait->place == 0) pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

void stop_waiting(struct stream *s, struct way *w) {
    struct clock *c = s->config->clock;
    if (!w->wait) return;
    pthread_mutex_lock(&c->lock);
    if (w->wait->place != OUT) take_out(c, w->wait);
    pthread_mutex_unlock(&c->lock);
    CALLBACK(http_filter_scheduler_delete)(w->wait->scheduler);
    free(w->wait);
    w->wait = NULL;
}

/* As soon as the hook that runs now has returned. */
void call_back(struct stream *s, enum event event) {
    void *scheduler = CALLBACK(http_filter_scheduler_new)(s->filter);
    CALLBACK(http_filter_scheduler_commit)(scheduler, event);
    CALLBACK(http_filter_scheduler_delete)(scheduler);
}
