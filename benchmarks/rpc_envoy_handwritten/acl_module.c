/* SPDX-License-Identifier: Apache-2.0 */
/* An access list on field 1 of the request (a text), as one would write it in C for this Envoy: a filter of its own,
 * without chain, streams or carrier.  It waits for the end of the request, reads the field, rejects or lets pass.  -DSLOW
 * spins for 60 µs besides: what the benchmark must not let pass.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "envoy_abi.h"

enum { SLOTS = 1024, HEAD = 5 };

struct config {
    pthread_mutex_t lock;
    struct {
        uint8_t used, allowed, size;
        char name[64];
    } slots[SLOTS];
};

/* --- the list ----------------------------------------------------------------------------------------------------- */

static uint32_t hash(const uint8_t *data, size_t size) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < size; i++) h = (h ^ data[i]) * 16777619u;
    return h;
}

static void allow(struct config *c, const char *name) {
    size_t size = strlen(name);
    uint32_t at = hash((const uint8_t *)name, size) % SLOTS;
    while (c->slots[at].used) at = (at + 1) % SLOTS;
    c->slots[at].used = c->slots[at].allowed = 1;
    c->slots[at].size = (uint8_t)size;
    memcpy(c->slots[at].name, name, size);
}

static bool allowed(struct config *c, const uint8_t *name, size_t size) {
    bool found = false;
    pthread_mutex_lock(&c->lock);
    for (uint32_t at = hash(name, size) % SLOTS; c->slots[at].used; at = (at + 1) % SLOTS)
        if (c->slots[at].size == size && memcmp(c->slots[at].name, name, size) == 0) {
            found = c->slots[at].allowed;
            break;
        }
    pthread_mutex_unlock(&c->lock);
    return found;
}

/* --- the message -------------------------------------------------------------------------------------------------- */

static bool varint(const uint8_t **p, const uint8_t *end, uint64_t *n) {
    *n = 0;
    for (int shift = 0; *p < end && shift < 64; shift += 7) {
        uint8_t byte = *(*p)++;
        *n |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return true;
    }
    return false;
}

/* The last field 1 counts. */
static bool user_of(const uint8_t *p, size_t left, const uint8_t **name, size_t *size) {
    const uint8_t *end = p + left;
    *name = p;
    *size = 0;
    while (p < end) {
        uint64_t tag, n;
        if (!varint(&p, end, &tag)) return false;
        switch (tag & 7) {
        case 0:
            if (!varint(&p, end, &n)) return false;
            continue;
        case 1: n = 8; break;
        case 2:
            if (!varint(&p, end, &n)) return false;
            break;
        case 5: n = 4; break;
        default: return false;
        }
        if (n > (uint64_t)(end - p)) return false;
        if (tag == (1 << 3 | 2)) *name = p, *size = n;
        p += n;
    }
    return true;
}

static void spin(void) {
#ifdef SLOW
    struct timespec began, now;
    clock_gettime(CLOCK_MONOTONIC, &began);
    do clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - began.tv_sec) * 1000000000 + now.tv_nsec - began.tv_nsec < 60000);
#endif
}

/* --- the filter --------------------------------------------------------------------------------------------------- */

EXPORT const char *HOOK(program_init)(void) {
    return ENVOY_ABI_VERSION;
}

EXPORT const void *HOOK(http_filter_config_new)(void *envoy, struct envoy_buffer name, struct envoy_buffer text) {
    (void)envoy, (void)name, (void)text;
    struct config *c = calloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    allow(c, "alice");
    allow(c, "carol");
    return c;
}

EXPORT void HOOK(http_filter_config_destroy)(const void *config) {
    free((void *)config);
}

EXPORT const void *HOOK(http_filter_new)(const void *config, void *filter) {
    (void)filter;
    return config;
}

EXPORT void HOOK(http_filter_destroy)(const void *filter) {
    (void)filter;
}

EXPORT int HOOK(http_filter_request_headers)(void *envoy, const void *filter, bool end) {
    (void)envoy, (void)filter;
    return end ? HEADERS_CONTINUE : HEADERS_STOP;
}

static size_t copy(void *envoy, enum envoy_body from, uint8_t *to) {
    struct envoy_buffer chunks[64];
    size_t many = CALLBACK(http_get_body_chunks_size)(envoy, from), size = 0;
    if (many == 0 || many > 64 || !CALLBACK(http_get_body_chunks)(envoy, from, chunks)) return 0;
    for (size_t i = 0; i < many; i++) {
        memcpy(to + size, chunks[i].data, chunks[i].size);
        size += chunks[i].size;
    }
    return size;
}

static int reject(void *envoy, const char *code, const char *text) {
    struct envoy_header headers[] = {{"grpc-status", 11, code, strlen(code)}, {"grpc-message", 12, text, strlen(text)}};
    CALLBACK(http_send_response)(envoy, 200, headers, 2, (struct envoy_buffer){"", 0}, (struct envoy_buffer){"acl", 3});
    return BODY_STOP_NO_BUFFER;
}

EXPORT int HOOK(http_filter_request_body)(void *envoy, const void *filter, bool end) {
    struct envoy_buffer chunk;
    uint8_t whole[1 << 16];
    const uint8_t *data = whole, *name;
    size_t size, name_size;
    if (!end) return BODY_STOP_AND_BUFFER;
    size_t before = CALLBACK(http_get_body_size)(envoy, BUFFERED_REQUEST);
    if (before == 0 && CALLBACK(http_get_body_chunks_size)(envoy, RECEIVED_REQUEST) == 1) {
        CALLBACK(http_get_body_chunks)(envoy, RECEIVED_REQUEST, &chunk);
        data = (const uint8_t *)chunk.data;
        size = chunk.size;
    } else {
        size_t more = CALLBACK(http_get_body_size)(envoy, RECEIVED_REQUEST);
        if (before + more > sizeof whole) return reject(envoy, "8", "large");
        size = copy(envoy, BUFFERED_REQUEST, whole);
        size += copy(envoy, RECEIVED_REQUEST, whole + size);
    }
    spin();
    if (size < HEAD || data[0] != 0) return reject(envoy, "12", "compressed");
    if (!user_of(data + HEAD, size - HEAD, &name, &name_size)) return reject(envoy, "3", "damaged");
    return allowed((struct config *)filter, name, name_size) ? BODY_CONTINUE : reject(envoy, "7", "acl");
}

EXPORT int HOOK(http_filter_request_trailers)(void *envoy, const void *filter) {
    (void)envoy, (void)filter;
    return TRAILERS_CONTINUE;
}

EXPORT int HOOK(http_filter_response_headers)(void *envoy, const void *filter, bool end) {
    (void)envoy, (void)filter, (void)end;
    return HEADERS_CONTINUE;
}

EXPORT int HOOK(http_filter_response_body)(void *envoy, const void *filter, bool end) {
    (void)envoy, (void)filter, (void)end;
    return BODY_CONTINUE;
}

EXPORT int HOOK(http_filter_response_trailers)(void *envoy, const void *filter) {
    (void)envoy, (void)filter;
    return TRAILERS_CONTINUE;
}

EXPORT void HOOK(http_filter_stream_complete)(void) {}
EXPORT void HOOK(http_filter_scheduled)(void) {}
EXPORT void HOOK(http_filter_http_callout_done)(void) {}
EXPORT void HOOK(http_filter_http_stream_headers)(void) {}
EXPORT void HOOK(http_filter_http_stream_data)(void) {}
EXPORT void HOOK(http_filter_http_stream_trailers)(void) {}
EXPORT void HOOK(http_filter_http_stream_complete)(void) {}
EXPORT void HOOK(http_filter_http_stream_reset)(void) {}
EXPORT void HOOK(http_filter_downstream_above_write_buffer_high_watermark)(void) {}
EXPORT void HOOK(http_filter_downstream_below_write_buffer_low_watermark)(void) {}
