/* SPDX-License-Identifier: Apache-2.0 */
/* A chain of elements as a plugin of any proxy-wasm host: the functions that a host calls, ABI 0.2.1.
 *
 * Each of them finds its context and calls the hook of the module (`envoy_module.c`) that stands for the same event.
 * Headers stand still while messages are decided: in Envoy that wants `allow_on_headers_stop_iteration: true`, or the
 * host stops everything, bodies too.
 */
#include <stdlib.h>
#include <string.h>

#include "wasm_plugin.h"

const void *HOOK(http_filter_new)(const void *config, void *filter);
void HOOK(http_filter_destroy)(const void *stream);
int HOOK(http_filter_request_headers)(void *filter, const void *stream, bool end);
int HOOK(http_filter_request_body)(void *filter, const void *stream, bool end);
int HOOK(http_filter_request_trailers)(void *filter, const void *stream);
int HOOK(http_filter_response_headers)(void *filter, const void *stream, bool end);
int HOOK(http_filter_response_body)(void *filter, const void *stream, bool end);
int HOOK(http_filter_response_trailers)(void *filter, const void *stream);
int HOOK(http_filter_local_reply)(void *filter, const void *stream, uint32_t status, struct envoy_buffer details, bool reset);
void HOOK(http_filter_stream_complete)(void *filter, const void *stream);

static const int64_t SECOND = 1000000000;

/* --- contexts ----------------------------------------------------------------------------------------------------- */

enum { HASHES = 1024 };

static struct context *contexts[HASHES];

struct context *context_of(uint32_t id) {
    struct context *c = contexts[id % HASHES];
    while (c && c->id != id) c = c->next;
    return c;
}

static void forget(struct context *gone) {
    struct context **at = &contexts[gone->id % HASHES];
    while (*at != gone) at = &(*at)->next;
    *at = gone->next;
    host_forget(gone);
    free(gone);
}

WASM_EXPORT(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}

WASM_EXPORT(_initialize) void initialize(void) {}

WASM_EXPORT(proxy_on_context_create) void proxy_on_context_create(uint32_t id, uint32_t parent) {
    struct context *c = calloc(1, sizeof *c), *root = parent ? context_of(parent) : NULL;
    if (!c) abort();
    c->id = id;
    c->next = contexts[id % HASHES];
    contexts[id % HASHES] = c;
    c->root = !root;
    c->config = root ? root->config : NULL;
}

WASM_EXPORT(proxy_on_vm_start) int proxy_on_vm_start(uint32_t root, size_t size) {
    (void)root, (void)size;
    return ts_chain_abi == TS_CHAIN_ABI;
}

/* Until the plugin says the next time what it has done. */
static int64_t tick_period(const struct config *config) {
    return recording(config->recorder) ? SECOND / 20 : SECOND;
}

WASM_EXPORT(proxy_on_configure) int proxy_on_configure(uint32_t id, size_t size) {
    struct context *root = context_of(id);
    host_begin();
    const char *text = size ? (const char *)host_bytes(WASM_CONFIGURATION, &size) : "";
    root->config = wasm_config_new(text, size);
    host_end();
    /* A host tries a configuration in a machine that it ends at once: only one that ticks calls anybody. */
    if (root->config) tick_at(now_ns() + (root->config->keeper ? 0 : tick_period(root->config)));
    return root->config != NULL;
}

/* The host's clock for delays is the plugin's for what it says of itself, too. */
WASM_EXPORT(proxy_on_tick) void proxy_on_tick(uint32_t id) {
    struct context *root = context_of(id);
    struct config *config = root->config;
    host_begin();
    tick(config);
    proxy_set_effective_context(id);
    keeper_tick(config->keeper);
    tell_counters(config);
    tell_states(config);
    tick_at(now_ns() + tick_period(config));
    host_end();
}

/* A plugin is no one of several processors. */
struct config *edge_version(struct stream *s, const struct values *asked, char stamp[VERSION_NAME]) {
    (void)asked, (void)stamp;
    return s->config;
}

void edge_refuse(struct stream *s, const struct values *asked) {
    (void)s, (void)asked;
}

/* --- a stream ----------------------------------------------------------------------------------------------------- */

/* The stream of a context, made at its first event. */
static struct context *enter(uint32_t id) {
    struct context *c = context_of(id);
    host_begin();
    if (!c->stream) c->stream = (struct stream *)(uintptr_t)HOOK(http_filter_new)(c->config, c);
    return c;
}

static int leave(int status) {
    host_end();
    return status ? WASM_PAUSE : WASM_CONTINUE;
}

WASM_EXPORT(proxy_on_request_headers) int proxy_on_request_headers(uint32_t id, uint32_t count, int end) {
    struct context *c = enter(id);
    (void)count;
    host_headers(c, REQUEST_HEADERS);
    return leave(HOOK(http_filter_request_headers)(c, c->stream, end));
}

/* Messages wait while somebody looks at the state and changes it. */
static void hold(struct stream *s, struct way *w) {
    if (s->grpc && !s->closed && !w->paused && held(s->config->keeper)) wait_for(s, w, 0);
}

/* What we have taken, or refuse to pass, must not wait in the host's buffer. */
static int body(struct context *c, int reply, size_t size, int end) {
    c->bodies[reply] = size;
    c->handed[reply] = 1;
    hold(c->stream, reply ? &c->stream->response : &c->stream->request);
    int status = (reply ? HOOK(http_filter_response_body) : HOOK(http_filter_request_body))(c, c->stream, end);
    if (status == BODY_STOP_NO_BUFFER) CALLBACK(http_drain_body)(c, reply ? RECEIVED_RESPONSE : RECEIVED_REQUEST, SIZE_MAX);
    c->handed[reply] = 0;
    return leave(status);
}

WASM_EXPORT(proxy_on_request_body) int proxy_on_request_body(uint32_t id, size_t size, int end) {
    return body(enter(id), 0, size, end);
}

WASM_EXPORT(proxy_on_request_trailers) int proxy_on_request_trailers(uint32_t id, uint32_t count) {
    struct context *c = enter(id);
    (void)count;
    return leave(HOOK(http_filter_request_trailers)(c, c->stream));
}

/* A reply that the host made itself, which for gRPC is headers alone, says so in its details. */
static void local_reply(struct context *c) {
    struct envoy_buffer details;
    if (!CALLBACK(http_filter_get_attribute_string)(c, RESPONSE_CODE_DETAILS, &details) || !details.size) return;
    if (details.size == 12 && memcmp(details.data, "via_upstream", 12) == 0) return;
    HOOK(http_filter_local_reply)(c, c->stream, 0, details, false);
}

WASM_EXPORT(proxy_on_response_headers) int proxy_on_response_headers(uint32_t id, uint32_t count, int end) {
    struct context *c = enter(id);
    (void)count;
    host_headers(c, RESPONSE_HEADERS);
    if (end) local_reply(c);
    return leave(HOOK(http_filter_response_headers)(c, c->stream, end));
}

WASM_EXPORT(proxy_on_response_body) int proxy_on_response_body(uint32_t id, size_t size, int end) {
    return body(enter(id), 1, size, end);
}

WASM_EXPORT(proxy_on_response_trailers) int proxy_on_response_trailers(uint32_t id, uint32_t count) {
    struct context *c = enter(id);
    (void)count;
    host_headers(c, RESPONSE_TRAILERS);
    return leave(HOOK(http_filter_response_trailers)(c, c->stream));
}

WASM_EXPORT(proxy_on_log) void proxy_on_log(uint32_t id) {
    struct context *c = context_of(id);
    if (!c->stream) return;
    host_begin();
    HOOK(http_filter_stream_complete)(c, c->stream);
    host_end();
}

WASM_EXPORT(proxy_on_delete) void proxy_on_delete(uint32_t id) {
    struct context *c = context_of(id);
    if (!c) return;
    host_begin();
    if (c->stream) HOOK(http_filter_destroy)(c->stream);
    else if (c->root && c->config) keeper_last(c->config->keeper);
    host_end();
    forget(c);
}
