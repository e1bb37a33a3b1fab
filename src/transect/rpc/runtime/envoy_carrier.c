/* SPDX-License-Identifier: Apache-2.0 */
/* What the chain asks of its carrier: time, randomness, headers; traces are in envoy_trace.c.
 *
 * What elements set or remove is kept in the stream's list, where reading sees it at once.  It is applied to the map when
 * that is there: a trailer that was set in `request`, when the trailers come.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "envoy_module.h"
#include "headers.h"

int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void note(enum envoy_level level, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    CALLBACK(log)(level, text_of(text));
}

static int64_t carrier_now(void *ctx) {
    (void)ctx;
    return now_ns();
}

/* One generator a thread (splitmix64), seeded by the kernel. */
static uint64_t carrier_draw(void *ctx) {
    static _Thread_local uint64_t state, seeded;
    (void)ctx;
    if (!seeded && getrandom(&state, sizeof state, 0) == (ssize_t)sizeof state) seeded = 1;
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void carrier_record(void *ctx, const struct ts_record *record) {
    recorder_add(ctx, record);
}

static void carrier_took(void *ctx, uint32_t element, int64_t ns) {
    struct config *c = ((struct stream *)ctx)->config;
    if (element < c->elements) ts_took(&c->times[1 + element], ns);
}

/* --- headers ---------------------------------------------------------------------------------------------------- */

/* The map of a side, or -1 while it does not exist. */
static int map_of(const struct stream *s, enum ts_side side) {
    if (!s->filter) return -1;
    switch (side) {
    case TS_REQUEST_HEADERS: return REQUEST_HEADERS;
    case TS_RESPONSE_HEADERS: return s->headers_here ? RESPONSE_HEADERS : -1;
    case TS_RESPONSE_TRAILERS:
        if (s->only_headers) return RESPONSE_HEADERS;
        return s->trailers_here ? RESPONSE_TRAILERS : -1;
    }
    return -1;
}

static int get(void *filter, enum envoy_headers map, struct envoy_buffer name, struct envoy_buffer *value) {
    size_t many = 0;
    if (!CALLBACK(http_get_header)(filter, map, name, value, 0, &many) || many == 0) return 0;
    if (many > 1) CALLBACK(http_get_header)(filter, map, name, value, many - 1, &many); /* the last one counts */
    return 1;
}

static struct values *place_of(struct head *head, struct envoy_buffer name) {
    if (is_text(name, ":method")) return &head->method;
    if (is_text(name, ":path")) return &head->path;
    if (is_text(name, "content-type")) return &head->type;
    if (is_text(name, "grpc-timeout")) return &head->timeout;
    if (is_text(name, "grpc-encoding")) return &head->encoding;
    if (is_text(name, ROUTE_HEADER)) return &head->route;
    if (is_text(name, VERSION_HEADER)) return &head->version;
    if (is_text(name, TENANT_HEADER)) return &head->tenant;
    return NULL;
}

/* All at once: each question after a name costs Envoy several hundred cycles, and one that is not there an index of all. */
struct head read_head(struct stream *s) {
    enum { FEW = 32 };
    struct head head = {0};
    struct envoy_header few[FEW], *all = few;
    size_t many = CALLBACK(http_get_headers_size)(s->filter, REQUEST_HEADERS);
    if (many > FEW && !(all = malloc(many * sizeof *all))) abort();
    if (!CALLBACK(http_get_headers)(s->filter, REQUEST_HEADERS, all)) many = 0, s->unreadable = 1;
    for (size_t i = 0; i < many; i++) {
        struct values *place = place_of(&head, (struct envoy_buffer){all[i].name, all[i].name_size});
        if (place) *place = (struct values){{all[i].value, all[i].value_size}, place->many + 1};
    }
    if (all != few) free(all);
    return head;
}

int named_header(struct stream *s, enum envoy_headers map, struct envoy_buffer name, struct envoy_buffer *value) {
    return s->filter && get(s->filter, map, name, value);
}

void set_header(struct stream *s, enum envoy_headers map, const char *name, const char *value, size_t size) {
    if (s->filter) CALLBACK(http_set_header)(s->filter, map, text_of(name), (struct envoy_buffer){value, size});
}

static struct change *change_of(struct stream *s, enum ts_side side, ts_slice name) {
    for (struct change *c = s->changes; c; c = c->next)
        if (c->side == side && c->name_size == name.size && memcmp(c->text, name.data, name.size) == 0) return c;
    return NULL;
}

/* By gRPC's own rule: who sends two values means what he means who sends "a,b".  Until the next question. */
static ts_slice join(struct stream *s, enum envoy_headers map, struct envoy_buffer name, size_t many) {
    struct envoy_buffer one;
    s->joined.size = 0;
    for (size_t i = 0; i < many; i++) {
        if (!CALLBACK(http_get_header)(s->filter, map, name, &one, i, &many)) break;
        if (i) bytes_add(&s->joined, ",", 1);
        bytes_add(&s->joined, one.data, one.size);
    }
    return slice_of(s->joined.data, s->joined.size);
}

static int header_get(void *ctx, enum ts_side side, ts_slice name, ts_slice *value) {
    struct stream *s = ctx;
    const struct change *c = change_of(s, side, name);
    if (c) {
        *value = slice_of(c->text + c->name_size, c->value_size);
        return !c->removed;
    }
    int map = map_of(s, side);
    struct envoy_buffer found;
    if (map < 0) return 0;
    size_t many = 0;
    if (!CALLBACK(http_get_header)(s->filter, (enum envoy_headers)map, buffer_of(name), &found, 0, &many) || !many) return 0;
    *value = slice_of(found.data, found.size);
    if (many > 1) *value = join(s, (enum envoy_headers)map, buffer_of(name), many);
    return 1;
}

static void apply(struct stream *s, enum envoy_headers map, const struct change *c) {
    struct envoy_buffer to = {c->removed ? NULL : c->text + c->name_size, c->value_size};
    CALLBACK(http_set_header)(s->filter, map, (struct envoy_buffer){c->text, c->name_size}, to);
}

/* Envoy does not check what modules set. */
static void change_header(struct stream *s, enum ts_side side, ts_slice name, ts_slice value, int removed) {
    int map = map_of(s, side), bad = removed ? !ts_header_name(name) : !ts_header_sendable(name, value);
    if (bad) {
        count(&s->config->totals.bad_headers);
        if (!ts_header_name(name)) return;
        removed = 1; /* else the server would read the client's */
        value = (ts_slice){0, 0};
    }
    struct change *old = change_of(s, side, name);
    for (struct change **at = &s->changes; old && *at; at = &(*at)->next)
        if (*at == old) {
            *at = old->next;
            free(old);
            break;
        }
    struct change *c = malloc(sizeof *c + name.size + value.size);
    if (!c) abort();
    *c = (struct change){s->changes, side, name.size, value.size, (uint8_t)removed};
    memcpy(c->text, name.data, name.size);
    if (value.size) memcpy(c->text + name.size, value.data, value.size);
    s->changes = c;
    if (map >= 0) apply(s, (enum envoy_headers)map, c);
}

static void header_set(void *ctx, enum ts_side side, ts_slice name, ts_slice value) {
    change_header(ctx, side, name, value, 0);
}

static void header_remove(void *ctx, enum ts_side side, ts_slice name) {
    change_header(ctx, side, name, (ts_slice){0, 0}, 1);
}

/* Of the request: neither elements nor the server see it. */
void remove_header(struct stream *s, const char *name) {
    change_header(s, TS_REQUEST_HEADERS, slice_of(name, strlen(name)), (ts_slice){0, 0}, 1);
}

/* Of the request, as elements see it; the server too, unless another one is set meanwhile. */
void put_header(struct stream *s, const char *name, ts_slice value) {
    change_header(s, TS_REQUEST_HEADERS, slice_of(name, strlen(name)), value, 0);
}

/* As elements see it. */
int request_header(struct stream *s, const char *name, ts_slice *value) {
    return header_get(s, TS_REQUEST_HEADERS, slice_of(name, strlen(name)), value);
}

void apply_all(struct stream *s, enum ts_side side) {
    int map = map_of(s, side);
    if (map < 0) return;
    for (const struct change *c = s->changes; c; c = c->next)
        if (c->side == side) apply(s, (enum envoy_headers)map, c);
}

void forget_changes(struct stream *s) {
    while (s->changes) {
        struct change *c = s->changes;
        s->changes = c->next;
        free(c);
    }
}

static const struct ts_carrier plain = {carrier_now, carrier_draw, header_get, header_set, header_remove,
                                        carrier_trace, NULL, carrier_took};
static const struct ts_carrier recorded = {carrier_now, carrier_draw, header_get, header_set, header_remove,
                                           carrier_trace, carrier_record, carrier_took};

const struct calls own_calls = {ts_chain_request, ts_chain_response, ts_chain_finish, &ts_chain_rpc_size,
                                &ts_chain_peer, &ts_chain_hears_end};

/* --- calls of the chain ------------------------------------------------------------------------------------------- */

/* Many at once; none while somebody holds the gate. */
static void open_gate(struct stream *s) {
    pthread_rwlock_rdlock(&s->config->gate);
    s->rpc.carrier = recording(s->config->recorder) ? &recorded : &plain;
    s->rpc.ctx = s;
}

void ask_chain(struct stream *s, int reply, ts_slice message, struct ts_verdict *out) {
    s->entered = 1;
    open_gate(s);
    const struct calls *calls = s->config->calls;
    (reply ? calls->response : calls->request)(s->config->chain, s->state, &s->rpc, message, out);
    pthread_rwlock_unlock(&s->config->gate);
}

void tell_chain(struct stream *s, int code, enum ts_cause cause, int64_t elapsed) {
    struct ts_ending ending = {0};
    int heard = *s->config->calls->hears_end; /* else it gives back the RPC's memory, and touches nothing that others see */
    if (heard) open_gate(s);
    s->config->calls->finish(s->config->chain, s->state, &s->rpc, code, cause, elapsed, &ending);
    if (heard) pthread_rwlock_unlock(&s->config->gate);
}
