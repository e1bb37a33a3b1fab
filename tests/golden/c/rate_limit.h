/* RateLimit, emitted by transect from rate_limit.py:21
 * source sha256 5f68e37236c2c891efd397001fa228c0d94f453d93aa1affa985fb5b6cdeab8f */
#ifndef TRANSECT_RATE_LIMIT_H
#define TRANSECT_RATE_LIMIT_H

#include "transect.h"
#include "codec.h"
#include "call.h"
#include "table.h"
#include "growing.h"
#include "ordered.h"
#include "heap.h"
#include "set.h"
#include "stable.h"

struct rate_limit_ask {
    ts_slice user;
};

struct rate_limit_headers {
    uint8_t nothing;
};

struct rate_limit_rpc_ask {
    struct rate_limit_ask *msg;
    void *reply;
    struct rate_limit_headers *headers;
    struct rate_limit_headers *trailers;
    ts_slice method;
    ts_slice peer;
    ts_slice body;
    ts_slice reply_body;
};

struct rate_limit_option_int {
    bool some;
    int64_t value;
};

struct rate_limit_option_text {
    bool some;
    ts_slice value;
};

struct rate_limit_forward {
    struct rate_limit_option_int after;
    struct rate_limit_option_text to;
};

struct rate_limit_reject {
    int64_t code;
    ts_slice message;
};

struct rate_limit_respond {
    ts_slice body;
};

union rate_limit_verdict_case {
    struct rate_limit_forward forward;
    struct rate_limit_reject reject;
    struct rate_limit_respond respond;
};

struct rate_limit_verdict {
    uint32_t kind;
    union rate_limit_verdict_case as;
};

struct rate_limit_rpc_any_any {
    void *msg;
    void *reply;
    struct rate_limit_headers *headers;
    struct rate_limit_headers *trailers;
    ts_slice method;
    ts_slice peer;
    ts_slice body;
    ts_slice reply_body;
};

struct rate_limit_outcome {
    int64_t code;
    int64_t cause;
    int64_t elapsed;
};

struct rate_limit_retry {
    struct rate_limit_option_int after;
};

struct rate_limit_option_retry {
    bool some;
    struct rate_limit_retry value;
};

TS_BOUNDED(rate_limit_text64, 64)

struct rate_limit_bucket {
    int64_t tokens;
    int64_t filled;
};

TS_TABLE(rate_limit_buckets_table, struct rate_limit_text64, struct rate_limit_bucket, 4096, 8192, ts_slice, ts_hash_text, rate_limit_text64_same, rate_limit_text64_store)

struct rate_limit_state {
    int64_t per_second;
    int64_t burst;
    struct rate_limit_buckets_table buckets;
    uint64_t per_second_overflow;
    uint64_t burst_overflow;
};

void rate_limit_init(struct rate_limit_state *self, uint64_t seed);
struct rate_limit_state *rate_limit_new(uint64_t seed);
void rate_limit_free(struct rate_limit_state *self);
bool rate_limit_set_per_second(struct rate_limit_state *self, int64_t value);
bool rate_limit_set_burst(struct rate_limit_state *self, int64_t value);
size_t rate_limit_save(struct rate_limit_state *self, uint8_t *image, size_t room);
int rate_limit_load(struct rate_limit_state *self, const uint8_t *image, size_t size);
struct rate_limit_verdict rate_limit_request(struct rate_limit_state *self, struct ts_call *call, struct rate_limit_rpc_ask *rpc);
struct rate_limit_verdict rate_limit_response(struct rate_limit_state *self, struct ts_call *call, struct rate_limit_rpc_any_any *rpc);
struct rate_limit_option_retry rate_limit_finish(struct rate_limit_state *self, struct ts_call *call, struct rate_limit_rpc_any_any *rpc, struct rate_limit_outcome *outcome);

#endif

