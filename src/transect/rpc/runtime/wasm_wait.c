/* SPDX-License-Identifier: Apache-2.0 */
/* Delays: a host ticks in whole milliseconds, for all streams of a virtual machine at once. */
#include <stdlib.h>

#include "wasm_plugin.h"

struct wait {
    struct wait *next;
    struct context *context;
    int64_t due; /* ns */
    enum event event;
};

enum { MILLISECOND = 1000000 };

/* A reply that cannot be ended any more is broken off, unless the server ends it within this time. */
static const int64_t GRACE = 1000 * (int64_t)MILLISECOND;

static struct wait *waits; /* the earliest first */
static int64_t next_tick;  /* 0: none is asked for */

void tick_at(int64_t due) {
    if (next_tick && next_tick <= due) return;
    int64_t rest = due - now_ns();
    next_tick = due;
    proxy_set_tick_period_milliseconds(rest <= 0 ? 1 : rest > INT32_MAX * (int64_t)MILLISECOND ? INT32_MAX : (uint32_t)((rest + MILLISECOND - 1) / MILLISECOND));
}

static struct wait *insert(struct context *context, int64_t delay, enum event event) {
    struct wait *w = malloc(sizeof *w), **at = &waits;
    if (!w) abort();
    int64_t now = now_ns();
    *w = (struct wait){NULL, context, delay > INT64_MAX - now ? INT64_MAX : now + delay, event};
    while (*at && (*at)->due <= w->due) at = &(*at)->next;
    w->next = *at;
    *at = w;
    tick_at(w->due);
    return w;
}

static void take_out(struct wait *w) {
    for (struct wait **at = &waits; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            free(w);
            return;
        }
}

void wait_for(struct stream *s, struct way *w, int64_t delay) {
    w->paused = 1;
    if (s->filter) w->wait = insert(s->filter, delay, w->reply ? WAKE_RESPONSE : WAKE_REQUEST);
}

void stop_waiting(struct stream *s, struct way *w) {
    for (struct wait *one = waits, *next; one; one = next) { /* also one for the end of the stream */
        next = one->next;
        if (one->context == s->filter && (one == w->wait || one->event == END)) take_out(one);
    }
    w->wait = NULL;
}

void call_back(struct stream *s, enum event event) {
    if (s->filter) insert(s->filter, GRACE, event);
}

void HOOK(http_filter_scheduled)(void *filter, const void *stream, uint64_t event);

/* The host ticks: whatever is due happens in the context of its stream. */
void tick(const struct config *config) {
    next_tick = 0;
    proxy_set_tick_period_milliseconds(0);
    if (waits && held(config->keeper)) {
        tick_at(now_ns() + MILLISECOND);
        return;
    }
    while (waits && waits->due <= now_ns()) {
        struct wait *w = waits;
        struct context *c = w->context;
        enum event event = w->event;
        if (c->stream->request.wait == w) c->stream->request.wait = NULL;
        if (c->stream->response.wait == w) c->stream->response.wait = NULL;
        take_out(w);
        if (proxy_set_effective_context(c->id) == WASM_OK) HOOK(http_filter_scheduled)(c, c->stream, event);
    }
    if (waits) tick_at(waits->due);
}
