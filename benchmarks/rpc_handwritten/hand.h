/* SPDX-License-Identifier: Apache-2.0 */
/* What filters written by hand in C for this Envoy share: reading a field, whole bodies, statuses, hooks without use.
 *
 * A filter of its own, without chain, streams or carrier: it waits for the end of the request, reads a field, decides.
 * -DSLOW spins for 60 µs besides: what the benchmark must not let pass.
 */
#ifndef HAND_H
#define HAND_H

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "envoy_abi.h"

enum { HEAD = 5, LARGEST = 1 << 16 };

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint32_t hash(const uint8_t *data, size_t size) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < size; i++) h = (h ^ data[i]) * 16777619u;
    return h;
}

static bool varint(const uint8_t **p, const uint8_t *end, uint64_t *n) {
    *n = 0;
    for (int shift = 0; *p < end && shift < 64; shift += 7) {
        uint8_t byte = *(*p)++;
        *n |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return true;
    }
    return false;
}

/* The last occurrence of a text counts. */
static bool field_of(const uint8_t *p, size_t left, uint64_t number, const uint8_t **text, size_t *size) {
    const uint8_t *end = p + left;
    *text = p;
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
        if (tag == (number << 3 | 2)) *text = p, *size = n;
        p += n;
    }
    return true;
}

static inline void spin(void) {
#ifdef SLOW
    int64_t began = now_ns();
    while (now_ns() - began < 60000) {}
#endif
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
    CALLBACK(http_send_response)(envoy, 200, headers, 2, (struct envoy_buffer){"", 0}, (struct envoy_buffer){"hand", 4});
    return BODY_STOP_NO_BUFFER;
}

/* The whole request: where Envoy has it when it is in one piece, else copied to `whole`.  0: too large. */
static size_t request_of(void *envoy, uint8_t *whole, const uint8_t **data) {
    struct envoy_buffer chunk;
    size_t before = CALLBACK(http_get_body_size)(envoy, BUFFERED_REQUEST);
    *data = whole;
    if (before == 0 && CALLBACK(http_get_body_chunks_size)(envoy, RECEIVED_REQUEST) == 1) {
        CALLBACK(http_get_body_chunks)(envoy, RECEIVED_REQUEST, &chunk);
        *data = (const uint8_t *)chunk.data;
        return chunk.size;
    }
    if (before + CALLBACK(http_get_body_size)(envoy, RECEIVED_REQUEST) > LARGEST) return 0;
    size_t size = copy(envoy, BUFFERED_REQUEST, whole);
    return size + copy(envoy, RECEIVED_REQUEST, whole + size);
}

EXPORT const char *HOOK(program_init)(void) {
    return ENVOY_ABI_VERSION;
}

EXPORT void HOOK(http_filter_config_destroy)(const void *config) {
    free((void *)config);
}

EXPORT int HOOK(http_filter_request_headers)(void *envoy, const void *filter, bool end) {
    (void)envoy, (void)filter;
    return end ? HEADERS_CONTINUE : HEADERS_STOP;
}

EXPORT int HOOK(http_filter_request_trailers)(void *envoy, const void *filter) {
    (void)envoy, (void)filter;
    return TRAILERS_CONTINUE;
}

EXPORT int HOOK(http_filter_response_headers)(void *envoy, const void *filter, bool end) {
    (void)envoy, (void)filter, (void)end;
    return HEADERS_CONTINUE;
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

#endif
