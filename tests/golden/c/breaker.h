/* Breaker, emitted by transect from breaker.py:11
 * source sha256 604d1bdd83c9d64b7630158360adb6ac33aa2dfd4794f8e684d5f08e267ddd1e */
#ifndef TRANSECT_BREAKER_H
#define TRANSECT_BREAKER_H

#include "transect.h"
#include "codec.h"
#include "call.h"
#include "table.h"
#include "growing.h"
#include "ordered.h"
#include "heap.h"
#include "set.h"
#include "stable.h"

struct breaker_headers {
    uint8_t nothing;
};

struct breaker_rpc {
    void *msg;
    void *reply;
    struct breaker_headers *headers;
    struct breaker_headers *trailers;
    ts_slice method;
    ts_slice peer;
    ts_slice body;
    ts_slice reply_body;
};

struct breaker_option_int {
    bool some;
    int64_t value;
};

struct breaker_option_text {
    bool some;
    ts_slice value;
};

struct breaker_forward {
    struct breaker_option_int after;
    struct breaker_option_text to;
};

struct breaker_reject {
    int64_t code;
    ts_slice message;
};

struct breaker_respond {
    ts_slice body;
};

union breaker_verdict_case {
    struct breaker_forward forward;
    struct breaker_reject reject;
    struct breaker_respond respond;
};

struct breaker_verdict {
    uint32_t kind;
    union breaker_verdict_case as;
};

struct breaker_rpc_any_any {
    void *msg;
    void *reply;
    struct breaker_headers *headers;
    struct breaker_headers *trailers;
    ts_slice method;
    ts_slice peer;
    ts_slice body;
    ts_slice reply_body;
};

struct breaker_outcome {
    int64_t code;
    int64_t cause;
    int64_t elapsed;
};

struct breaker_retry {
    struct breaker_option_int after;
};

struct breaker_option_retry {
    bool some;
    struct breaker_retry value;
};

struct breaker_state {
    int64_t limit;
    int64_t pause;
    int64_t failed;
    int64_t again;
    uint64_t limit_overflow;
    uint64_t pause_overflow;
    uint64_t failed_overflow;
    uint64_t again_overflow;
};

void breaker_init(struct breaker_state *self, uint64_t seed);
struct breaker_state *breaker_new(uint64_t seed);
void breaker_free(struct breaker_state *self);
bool breaker_set_limit(struct breaker_state *self, int64_t value);
bool breaker_set_pause(struct breaker_state *self, int64_t value);
size_t breaker_save(struct breaker_state *self, uint8_t *image, size_t room);
int breaker_load(struct breaker_state *self, const uint8_t *image, size_t size);
struct breaker_verdict breaker_request(struct breaker_state *self, struct ts_call *call, struct breaker_rpc *rpc);
struct breaker_verdict breaker_response(struct breaker_state *self, struct ts_call *call, struct breaker_rpc_any_any *rpc);
struct breaker_option_retry breaker_finish(struct breaker_state *self, struct ts_call *call, struct breaker_rpc *rpc, struct breaker_outcome *outcome);

#endif

