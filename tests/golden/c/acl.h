/* Acl, emitted by transect from acl.py:15
 * source sha256 ce1ce9575e87eaf8c11a6a7e3c47441b9f9a9a6533c5139b6633f0cb26283fbd */
#ifndef TRANSECT_ACL_H
#define TRANSECT_ACL_H

#include "transect.h"
#include "codec.h"
#include "call.h"
#include "table.h"
#include "growing.h"
#include "ordered.h"
#include "heap.h"
#include "set.h"
#include "stable.h"

struct acl_ask {
    ts_slice user;
};

struct acl_headers {
    uint8_t nothing;
};

struct acl_rpc_ask {
    struct acl_ask *msg;
    void *reply;
    struct acl_headers *headers;
    struct acl_headers *trailers;
    ts_slice method;
    ts_slice peer;
    ts_slice body;
    ts_slice reply_body;
};

struct acl_option_int {
    bool some;
    int64_t value;
};

struct acl_option_text {
    bool some;
    ts_slice value;
};

struct acl_forward {
    struct acl_option_int after;
    struct acl_option_text to;
};

struct acl_reject {
    int64_t code;
    ts_slice message;
};

struct acl_respond {
    ts_slice body;
};

union acl_verdict_case {
    struct acl_forward forward;
    struct acl_reject reject;
    struct acl_respond respond;
};

struct acl_verdict {
    uint32_t kind;
    union acl_verdict_case as;
};

struct acl_rpc_any_any {
    void *msg;
    void *reply;
    struct acl_headers *headers;
    struct acl_headers *trailers;
    ts_slice method;
    ts_slice peer;
    ts_slice body;
    ts_slice reply_body;
};

struct acl_outcome {
    int64_t code;
    int64_t cause;
    int64_t elapsed;
};

struct acl_retry {
    struct acl_option_int after;
};

struct acl_option_retry {
    bool some;
    struct acl_retry value;
};

TS_BOUNDED(acl_text64, 64)
TS_TABLE(acl_allowed_table, struct acl_text64, bool, 1024, 2048, ts_slice, ts_hash_text, acl_text64_same, acl_text64_store)

struct acl_state {
    struct acl_allowed_table allowed;
};

void acl_init(struct acl_state *self, uint64_t seed);
struct acl_state *acl_new(uint64_t seed);
void acl_free(struct acl_state *self);
size_t acl_save(struct acl_state *self, uint8_t *image, size_t room);
int acl_load(struct acl_state *self, const uint8_t *image, size_t size);
struct acl_verdict acl_request(struct acl_state *self, struct ts_call *call, struct acl_rpc_ask *rpc);
struct acl_verdict acl_response(struct acl_state *self, struct ts_call *call, struct acl_rpc_any_any *rpc);
struct acl_option_retry acl_finish(struct acl_state *self, struct ts_call *call, struct acl_rpc_any_any *rpc, struct acl_outcome *outcome);

#endif

