/* SPDX-License-Identifier: Apache-2.0 */
/* What bench.c times: three policies, emitted and by hand, behind the same interface: that of emitted C. */
#ifndef SIDES_H
#define SIDES_H

#include "acl.h"
#include "fair_share.h"
#include "rate_limit.h"

struct side {
    void *(*acl_new)(void);
    void (*acl_allow)(void *state, ts_slice user);
    struct acl_verdict (*acl)(void *state, struct ts_call *call, struct acl_rpc_ask *rpc);
    void *(*rate_new)(void);
    struct rate_limit_verdict (*rate)(void *state, struct ts_call *call, struct rate_limit_rpc_ask *rpc);
    void *(*fair_new)(void);
    void (*fair_arrive)(void *state, struct ts_call *call, uint64_t client);
    void (*fair_leave)(void *state, uint64_t client);
    uint64_t (*fair_pick)(void *state, struct ts_call *call);
    void (*fair_charge)(void *state, struct ts_call *call, uint64_t client, int64_t cost);
};

extern const struct side emitted, by_hand, by_scan;

#endif
