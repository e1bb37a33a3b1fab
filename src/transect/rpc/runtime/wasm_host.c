/* SPDX-License-Identifier: Apache-2.0 */
/* The interface of Envoy's modules, made of functions of any proxy-wasm host.
 *
 * A host copies what is asked into our memory; such copies live until the outermost hook returns, headers as long as their
 * stream.  It has one buffer for each direction: what a hook is handed, or what waits while the direction stands still.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "wasm_plugin.h"

struct copy {
    struct copy *next;
    void *data;
};

static struct copy *copies;
static int hooks;

void host_begin(void) {
    hooks++;
}

void host_end(void) {
    if (--hooks) return;
    while (copies) {
        struct copy *c = copies;
        copies = c->next;
        free(c->data);
        free(c);
    }
}

/* What the host has put into our memory by `proxy_on_memory_allocate` goes with the hook. */
static void keep(const void *data) {
    if (!data) return;
    struct copy *c = malloc(sizeof *c);
    if (!c) abort();
    *c = (struct copy){copies, (void *)(uintptr_t)data};
    copies = c;
}

WASM_EXPORT(proxy_on_memory_allocate) void *proxy_on_memory_allocate(size_t size) {
    return malloc(size);
}

/* --- log, clock, random bytes ------------------------------------------------------------------------------------- */

void CALLBACK(log)(enum envoy_level level, struct envoy_buffer text) {
    proxy_log((int)level, text.data, text.size); /* both count trace, debug, info, warn, error */
}

bool CALLBACK(is_validation_mode)(void) {
    return false;
}

/* Only %s; what does not fit is cut. */
int vsnprintf(char *to, size_t room, const char *format, va_list args) {
    size_t at = 0;
    for (; *format && at + 1 < room; format++) {
        if (format[0] != '%' || format[1] != 's') {
            to[at++] = *format;
            continue;
        }
        format++;
        for (const char *text = va_arg(args, const char *); *text && at + 1 < room; text++) to[at++] = *text;
    }
    to[at] = 0;
    return (int)at;
}

int clock_gettime(int clock, struct timespec *to) {
    uint64_t ns = 0;
    if (wasi_clock_time_get(clock, 1, &ns)) return -1;
    *to = (struct timespec){(int64_t)(ns / 1000000000), (int64_t)(ns % 1000000000)};
    return 0;
}

ssize_t getrandom(void *to, size_t size, unsigned how) {
    (void)how;
    return wasi_random_get(to, size) ? -1 : (ssize_t)size;
}

/* --- headers ------------------------------------------------------------------------------------------------------ */

static void free_pairs(struct pairs *p) {
    if (p->ours) free((void *)(uintptr_t)p->data);
    *p = (struct pairs){0};
}

static uint32_t size_at(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* The map has just come.  Asked by name, a host gives but one of several values, and nothing once the map has gone on: so it
 * is read as a whole, now. */
void host_headers(struct context *c, enum envoy_headers map) {
    static const uint8_t none[4]; /* a count of 0: hosts give no bytes for a map without headers */
    struct pairs *p = &c->maps[map];
    const char *data = NULL;
    free_pairs(p);
    if (proxy_get_header_map_pairs((int)map, &data, &p->size) != WASM_OK) return;
    *p = data && p->size >= sizeof none ? (struct pairs){(const uint8_t *)data, p->size, 1} : (struct pairs){none, sizeof none, 0};
}

void host_forget(struct context *c) {
    for (int map = 0; map < 4; map++) free_pairs(&c->maps[map]);
}

/* The headers of a map, one after the other. */
struct walk {
    uint32_t left;
    const uint8_t *sizes, *text;
};

/* Headers that could not be read are never taken for absent ones: whoever asked must not decide. */
static struct walk walk_of(const struct context *c, enum envoy_headers map) {
    struct pairs p = c->maps[map];
    if (!p.data) {
        c->stream->unreadable = 1;
        return (struct walk){0};
    }
    uint32_t count = size_at(p.data);
    return (struct walk){count, p.data + 4, p.data + 4 + 8 * (size_t)count};
}

static int next(struct walk *w, struct envoy_header *to) {
    if (!w->left) return 0;
    const char *text = (const char *)w->text;
    uint32_t name_size = size_at(w->sizes), value_size = size_at(w->sizes + 4);
    *to = (struct envoy_header){text, name_size, text + name_size + 1, value_size};
    w->left--;
    w->sizes += 8;
    w->text += (size_t)name_size + value_size + 2;
    return 1;
}

bool CALLBACK(http_get_header)(void *filter, enum envoy_headers map, struct envoy_buffer name,
                               struct envoy_buffer *value, size_t index, size_t *count) {
    struct walk walk = walk_of(filter, map);
    struct envoy_header h;
    *value = (struct envoy_buffer){NULL, 0};
    *count = 0;
    while (next(&walk, &h))
        if (h.name_size == name.size && memcmp(h.name, name.data, name.size) == 0 && (*count)++ == index)
            *value = (struct envoy_buffer){h.value, h.value_size};
    return index < *count;
}

size_t CALLBACK(http_get_headers_size)(void *filter, enum envoy_headers map) {
    return walk_of(filter, map).left;
}

bool CALLBACK(http_get_headers)(void *filter, enum envoy_headers map, struct envoy_header *headers) {
    struct walk walk = walk_of(filter, map);
    while (next(&walk, headers)) headers++;
    return true;
}

bool CALLBACK(http_set_header)(void *filter, enum envoy_headers map, struct envoy_buffer name,
                               struct envoy_buffer value) {
    (void)filter;
    if (!value.data) return proxy_remove_header_map_value((int)map, name.data, name.size) == WASM_OK;
    return proxy_replace_header_map_value((int)map, name.data, name.size, value.data, value.size) == WASM_OK;
}

void CALLBACK(http_clear_route_cache)(void *filter) {
    (void)filter; /* a change of the request's headers does that */
}

/* --- bodies ------------------------------------------------------------------------------------------------------- */

static int is_reply(enum envoy_body body) {
    return body == RECEIVED_RESPONSE || body == BUFFERED_RESPONSE;
}

static int is_received(enum envoy_body body) {
    return body == RECEIVED_REQUEST || body == RECEIVED_RESPONSE;
}

/* Of a direction whose hook runs, everything is "received"; of one that stands still, "buffered". */
static int here(const struct context *c, enum envoy_body body) {
    return c->handed[is_reply(body)] == is_received(body);
}

/* All of a buffer, copied; NULL when it is empty. */
uint8_t *host_bytes(int buffer, size_t *size) {
    const char *data = NULL;
    *size = 0;
    if (proxy_get_buffer_bytes(buffer, 0, UINT32_MAX, &data, size)) return NULL;
    keep(data);
    return (uint8_t *)(uintptr_t)data;
}

size_t CALLBACK(http_get_body_size)(void *filter, enum envoy_body body) {
    struct context *c = filter;
    size_t size = 0;
    if (!here(c, body)) return 0;
    if (is_received(body)) return c->bodies[is_reply(body)];
    host_bytes(is_reply(body), &size);
    return size;
}

size_t CALLBACK(http_get_body_chunks_size)(void *filter, enum envoy_body body) {
    struct context *c = filter;
    if (!here(c, body)) return 0;
    return is_received(body) ? c->bodies[is_reply(body)] > 0 : 1;
}

bool CALLBACK(http_get_body_chunks)(void *filter, enum envoy_body body, struct envoy_buffer *chunks) {
    struct context *c = filter;
    size_t size = 0;
    if (!here(c, body)) return false;
    chunks->data = (const char *)host_bytes(is_reply(body), &size);
    chunks->size = size;
    return true;
}

bool CALLBACK(http_append_body)(void *filter, enum envoy_body body, struct envoy_buffer bytes) {
    struct context *c = filter;
    size_t *size = &c->bodies[is_reply(body)];
    if (!is_received(body)) return proxy_set_buffer_bytes(is_reply(body), UINT32_MAX, 0, bytes.data, bytes.size) == WASM_OK;
    if (proxy_set_buffer_bytes(is_reply(body), (uint32_t)*size, 0, bytes.data, bytes.size)) return false;
    *size += bytes.size;
    return true;
}

bool CALLBACK(http_drain_body)(void *filter, enum envoy_body body, size_t size) {
    struct context *c = filter;
    (void)size; /* always everything */
    if (!here(c, body) || CALLBACK(http_get_body_size)(filter, body) == 0) return true;
    c->bodies[is_reply(body)] = 0;
    return proxy_set_buffer_bytes(is_reply(body), 0, UINT32_MAX, "", 0) == WASM_OK;
}

/* --- replies of our own ------------------------------------------------------------------------------------------- */

static uint8_t *put_size(uint8_t *to, size_t size) {
    for (int i = 0; i < 4; i++) *to++ = (uint8_t)(size >> (8 * i));
    return to;
}

static uint8_t *put_text(uint8_t *to, const char *text, size_t size) {
    memcpy(to, text, size);
    to[size] = 0;
    return to + size + 1;
}

static int is_status(const struct envoy_header *h) {
    return h->name_size == 11 && memcmp(h->name, "grpc-status", 11) == 0;
}

static int number_of(const struct envoy_header *h) {
    int n = 0;
    for (size_t i = 0; i < h->value_size; i++) n = n * 10 + (h->value[i] - '0');
    return n;
}

/* Pairs as the ABI wants them: their count, the sizes of all, the texts of all.  The status goes apart. */
void CALLBACK(http_send_response)(void *filter, uint32_t status, struct envoy_header *headers, size_t count,
                                  struct envoy_buffer body, struct envoy_buffer details) {
    size_t size = 4, pairs = 0;
    int grpc = -1;
    (void)filter;
    for (size_t i = 0; i < count; i++) {
        size += 10 + headers[i].name_size + headers[i].value_size;
        if (is_status(&headers[i])) grpc = number_of(&headers[i]);
        else pairs++;
    }
    uint8_t *text = malloc(size), *to = put_size(text, pairs);
    if (!text) abort();
    for (size_t i = 0; i < count; i++)
        if (!is_status(&headers[i])) to = put_size(put_size(to, headers[i].name_size), headers[i].value_size);
    for (size_t i = 0; i < count; i++)
        if (!is_status(&headers[i])) {
            to = put_text(to, headers[i].name, headers[i].name_size);
            to = put_text(to, headers[i].value, headers[i].value_size);
        }
    proxy_send_local_response(status, details.data, details.size, body.data, body.size, (const char *)text,
                              (size_t)(to - text), grpc);
    free(text);
}

/* A host has no way to answer a gRPC call with a message, so `rpc/chain/carrier.py` lets no chain ask for it. */
void CALLBACK(http_send_response_headers)(void *filter, struct envoy_header *headers, size_t count, bool end) {
    (void)filter, (void)headers, (void)count, (void)end;
    __builtin_trap();
}

void CALLBACK(http_send_response_data)(void *filter, struct envoy_buffer bytes, bool end) {
    (void)filter, (void)bytes, (void)end;
    __builtin_trap();
}

/* Nor can it end a reply that is on its way: it breaks the stream off. */
void CALLBACK(http_send_response_trailers)(void *filter, struct envoy_header *trailers, size_t count) {
    CALLBACK(http_send_response)(filter, 200, trailers, count, (struct envoy_buffer){"", 0}, text_of("transect_rejected"));
}

void CALLBACK(http_filter_continue_decoding)(void *filter) {
    (void)filter;
    proxy_continue_stream(WASM_REQUEST);
}

void CALLBACK(http_filter_continue_encoding)(void *filter) {
    (void)filter;
    proxy_continue_stream(WASM_RESPONSE);
}

/* --- attributes --------------------------------------------------------------------------------------------------- */

static const struct {
    enum envoy_attribute id;
    const char *path; /* parts end with 0 */
    size_t size;
} paths[] = {
#define PATH(id, text) {id, text, sizeof text - 1}
    PATH(RESPONSE_CODE_DETAILS, "response\0code_details"),
    PATH(SOURCE_ADDRESS, "source\0address"),
    PATH(SOURCE_PORT, "source\0port"),
    PATH(CONNECTION_MTLS, "connection\0mtls"),
    PATH(SUBJECT_OF_PEER, "connection\0subject_peer_certificate"),
    PATH(DNS_NAME_OF_PEER, "connection\0dns_san_peer_certificate"),
    PATH(URI_OF_PEER, "connection\0uri_san_peer_certificate"),
};

bool CALLBACK(http_filter_get_attribute_string)(void *filter, enum envoy_attribute id, struct envoy_buffer *value) {
    (void)filter;
    *value = (struct envoy_buffer){"", 0};
    if (skip_peer && id != RESPONSE_CODE_DETAILS) return false;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (paths[i].id == id && proxy_get_property(paths[i].path, paths[i].size, &value->data, &value->size) == WASM_OK) {
            keep(value->data);
            return value->data != NULL;
        }
    return false;
}

bool CALLBACK(http_filter_get_attribute_bool)(void *filter, enum envoy_attribute id, bool *value) {
    struct envoy_buffer text;
    *value = CALLBACK(http_filter_get_attribute_string)(filter, id, &text) && text.size && text.data[0];
    return *value;
}

/* Little-endian, as WebAssembly's memory. */
bool CALLBACK(http_filter_get_attribute_int)(void *filter, enum envoy_attribute id, uint64_t *value) {
    struct envoy_buffer text;
    if (!CALLBACK(http_filter_get_attribute_string)(filter, id, &text) || text.size != sizeof *value) return false;
    memcpy(value, text.data, sizeof *value);
    return true;
}
