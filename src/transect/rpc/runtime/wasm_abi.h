/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the proxy-wasm ABI 0.2.1 that our plugin uses, in our own words; and of WASI its clock and its random
 * bytes, which every proxy-wasm host has.  No SDK is needed: hosts give functions by name.
 */
#ifndef TRANSECT_WASM_ABI_H
#define TRANSECT_WASM_ABI_H

#include <stddef.h>
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(#name)))
#define WASM_EXPORT(name) __attribute__((export_name(#name)))

enum wasm_action { WASM_CONTINUE, WASM_PAUSE };
enum wasm_buffer { WASM_REQUEST_BODY = 0, WASM_RESPONSE_BODY = 1, WASM_CALL_REPLY = 4, WASM_CONFIGURATION = 7 };
enum wasm_stream { WASM_REQUEST, WASM_RESPONSE };
enum { WASM_OK = 0 };
enum wasm_metric { WASM_COUNTER };

IMPORT("env", proxy_log) int proxy_log(int level, const char *text, size_t size);
IMPORT("env", proxy_get_buffer_bytes)
int proxy_get_buffer_bytes(int buffer, uint32_t start, uint32_t most, const char **data, size_t *size);
IMPORT("env", proxy_set_buffer_bytes)
int proxy_set_buffer_bytes(int buffer, uint32_t start, uint32_t length, const char *data, size_t size);
IMPORT("env", proxy_get_header_map_pairs) int proxy_get_header_map_pairs(int map, const char **pairs, size_t *size);
IMPORT("env", proxy_replace_header_map_value)
int proxy_replace_header_map_value(int map, const char *name, size_t name_size, const char *value, size_t size);
IMPORT("env", proxy_remove_header_map_value)
int proxy_remove_header_map_value(int map, const char *name, size_t name_size);
IMPORT("env", proxy_get_property)
int proxy_get_property(const char *path, size_t path_size, const char **value, size_t *size);
IMPORT("env", proxy_send_local_response)
int proxy_send_local_response(uint32_t status, const char *details, size_t details_size, const char *body,
                              size_t body_size, const char *headers, size_t headers_size, int grpc_status);
IMPORT("env", proxy_continue_stream) int proxy_continue_stream(int stream);
IMPORT("env", proxy_set_effective_context) int proxy_set_effective_context(uint32_t context);
IMPORT("env", proxy_set_tick_period_milliseconds) int proxy_set_tick_period_milliseconds(uint32_t period);
IMPORT("env", proxy_define_metric) int proxy_define_metric(int kind, const char *name, size_t size, uint32_t *metric);
IMPORT("env", proxy_increment_metric) int proxy_increment_metric(uint32_t metric, int64_t by);
IMPORT("env", proxy_http_call)
int proxy_http_call(const char *cluster, size_t cluster_size, const char *headers, size_t headers_size, const char *body,
                    size_t body_size, const char *trailers, size_t trailers_size, uint32_t timeout_ms, uint32_t *token);
IMPORT("env", proxy_get_shared_data)
int proxy_get_shared_data(const char *key, size_t key_size, const char **value, size_t *size, uint32_t *changes);
IMPORT("env", proxy_set_shared_data)
int proxy_set_shared_data(const char *key, size_t key_size, const char *value, size_t size, uint32_t changes);
IMPORT("wasi_snapshot_preview1", clock_time_get) int wasi_clock_time_get(int clock, uint64_t precision, uint64_t *to);
IMPORT("wasi_snapshot_preview1", random_get) int wasi_random_get(void *to, size_t size);

#endif
