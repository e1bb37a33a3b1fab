/* SPDX-License-Identifier: Apache-2.0 */
/* The part of Envoy's dynamic-module interface (ABI v0.2, HTTP filters) that our module uses, in our own words.
 *
 * No header of Envoy is needed: hooks are found by name when the configuration loads, callbacks are symbols of the
 * binary.  `rpc/envoy/binary.py` compares both lists with the binary at hand before anything is started.
 */
#ifndef TRANSECT_ENVOY_ABI_H
#define TRANSECT_ENVOY_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENVOY_ABI_VERSION "v0.2.0"

/* Both kinds of buffer have the same layout and go by value; who owns the bytes differs. */
struct envoy_buffer {
    const char *data;
    size_t size;
};

struct envoy_header {
    const char *name;
    size_t name_size;
    const char *value;
    size_t value_size;
};

enum envoy_headers { REQUEST_HEADERS, REQUEST_TRAILERS, RESPONSE_HEADERS, RESPONSE_TRAILERS };
enum envoy_body { RECEIVED_REQUEST, BUFFERED_REQUEST, RECEIVED_RESPONSE, BUFFERED_RESPONSE };
enum envoy_attribute {
    RESPONSE_CODE_DETAILS = 16,
    SOURCE_ADDRESS = 24,
    SOURCE_PORT = 25,
    CONNECTION_MTLS = 29,
    SUBJECT_OF_PEER = 33,
    DNS_NAME_OF_PEER = 35,
    URI_OF_PEER = 37
};
enum envoy_level { LEVEL_DEBUG = 1, LEVEL_INFO, LEVEL_WARN, LEVEL_ERROR };

/* What hooks return.  STOP_AND_WATERMARK buffers and holds the sender back; STOP_NO_BUFFER: the module keeps the bytes. */
enum envoy_headers_status { HEADERS_CONTINUE, HEADERS_STOP };
enum envoy_body_status { BODY_CONTINUE, BODY_STOP_AND_BUFFER, BODY_STOP_AND_WATERMARK, BODY_STOP_NO_BUFFER };
enum envoy_trailers_status { TRAILERS_CONTINUE, TRAILERS_STOP };

#define CALLBACK(name) envoy_dynamic_module_callback_##name
#define HOOK(name) envoy_dynamic_module_on_##name
#define EXPORT __attribute__((visibility("default")))

void CALLBACK(log)(enum envoy_level level, struct envoy_buffer text);
bool CALLBACK(is_validation_mode)(void);

bool CALLBACK(http_get_header)(void *filter, enum envoy_headers map, struct envoy_buffer name,
                               struct envoy_buffer *value, size_t index, size_t *count);
size_t CALLBACK(http_get_headers_size)(void *filter, enum envoy_headers map);
bool CALLBACK(http_get_headers)(void *filter, enum envoy_headers map, struct envoy_header *headers);
bool CALLBACK(http_set_header)(void *filter, enum envoy_headers map, struct envoy_buffer name,
                               struct envoy_buffer value); /* a null value removes */

size_t CALLBACK(http_get_body_size)(void *filter, enum envoy_body body);
size_t CALLBACK(http_get_body_chunks_size)(void *filter, enum envoy_body body);
bool CALLBACK(http_get_body_chunks)(void *filter, enum envoy_body body, struct envoy_buffer *chunks);
bool CALLBACK(http_append_body)(void *filter, enum envoy_body body, struct envoy_buffer bytes);
bool CALLBACK(http_drain_body)(void *filter, enum envoy_body body, size_t size);

void CALLBACK(http_send_response)(void *filter, uint32_t status, struct envoy_header *headers, size_t count,
                                  struct envoy_buffer body, struct envoy_buffer details);
void CALLBACK(http_send_response_headers)(void *filter, struct envoy_header *headers, size_t count, bool end);
void CALLBACK(http_send_response_data)(void *filter, struct envoy_buffer bytes, bool end);
void CALLBACK(http_send_response_trailers)(void *filter, struct envoy_header *trailers, size_t count);

bool CALLBACK(http_filter_get_attribute_string)(void *filter, enum envoy_attribute id, struct envoy_buffer *value);
bool CALLBACK(http_filter_get_attribute_bool)(void *filter, enum envoy_attribute id, bool *value);
bool CALLBACK(http_filter_get_attribute_int)(void *filter, enum envoy_attribute id, uint64_t *value);

void CALLBACK(http_clear_route_cache)(void *filter);
void CALLBACK(http_filter_continue_decoding)(void *filter);
void CALLBACK(http_filter_continue_encoding)(void *filter);

/* A scheduler carries an event to the worker of its stream, from any thread; it outlives the stream safely. */
void *CALLBACK(http_filter_scheduler_new)(void *filter);
void CALLBACK(http_filter_scheduler_commit)(void *scheduler, uint64_t event);
void CALLBACK(http_filter_scheduler_delete)(void *scheduler);

#endif
