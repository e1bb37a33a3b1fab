/* SPDX-License-Identifier: Apache-2.0 */
/* The same access list as a filter of its own, as one would write it for Envoy: no chain, no streams, no carrier.
 *
 * It waits for the end of the request, reads field 1, rejects or lets pass.  Baseline of the benchmark rpc.envoy_handwritten.
 */
#include <stdlib.h>
#include <string.h>

#include "acl_chain.c"
#include "envoy_abi.h"

EXPORT const char *HOOK(program_init)(void) {
    return ENVOY_ABI_VERSION;
}

EXPORT const void *HOOK(http_filter_config_new)(void *envoy, struct envoy_buffer name, struct envoy_buffer text) {
    (void)envoy, (void)name, (void)text;
    return ts_chain_new();
}

EXPORT void HOOK(http_filter_config_destroy)(const void *config) {
    ts_chain_free((ts_chain *)config);
}

struct filter {
    ts_chain *chain;
};

EXPORT const void *HOOK(http_filter_new)(const void *config, void *filter) {
    (void)filter;
    struct filter *f = malloc(sizeof *f);
    f->chain = (ts_chain *)config;
    return f;
}

EXPORT void HOOK(http_filter_destroy)(const void *filter) {
    free((void *)filter);
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
        if (to) memcpy(to + size, chunks[i].data, chunks[i].size);
        size += chunks[i].size;
    }
    return size;
}

EXPORT int HOOK(http_filter_request_body)(void *envoy, const void *filter, bool end) {
    static struct envoy_header no[] = {{"grpc-status", 11, "7", 1}, {"grpc-message", 12, "acl", 3}};
    const struct filter *f = filter;
    uint8_t whole[1 << 16];
    struct ts_verdict v;
    if (!end) return BODY_STOP_AND_BUFFER;
    size_t size = copy(envoy, BUFFERED_REQUEST, whole);
    size += copy(envoy, RECEIVED_REQUEST, whole + size);
    ts_chain_request(f->chain, NULL, NULL, (ts_slice){whole + 5, (uint32_t)(size < 5 ? 0 : size - 5)}, &v);
    if (v.action == TS_FORWARD) return BODY_CONTINUE;
    CALLBACK(http_send_response)(envoy, 200, no, 2, (struct envoy_buffer){"", 0}, (struct envoy_buffer){"acl", 3});
    return BODY_STOP_NO_BUFFER;
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
