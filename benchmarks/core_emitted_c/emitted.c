/* SPDX-License-Identifier: Apache-2.0 */
/* The emitted side. */
#include "sides.h"

#include "acl.c"
#include "fair_share.c"
#include "rate_limit.c"

static void *acl_make(void) { return acl_new(0); }

static void acl_allow(void *state, ts_slice user) { acl_allowed_put(&((struct acl_state *)state)->allowed, user, true); }

static struct acl_verdict acl_ask_it(void *state, struct ts_call *call, struct acl_rpc_ask *rpc)
{
    return acl_request(state, call, rpc);
}

static void *rate_make(void) { return rate_limit_new(0); }

static struct rate_limit_verdict rate_ask_it(void *state, struct ts_call *call, struct rate_limit_rpc_ask *rpc)
{
    return rate_limit_request(state, call, rpc);
}

static void *fair_make(void) { return fair_share_new(0); }

static void fair_arrive(void *state, struct ts_call *call, uint64_t client)
{
    fair_share_arrive(state, call, client);
    fair_share_waiting_add(state, client);
}

static void fair_leave(void *state, uint64_t client) { fair_share_waiting_remove(state, client); }

static uint64_t fair_pick(void *state, struct ts_call *call) { return fair_share_pick(state, call); }

static void fair_charge(void *state, struct ts_call *call, uint64_t client, int64_t cost)
{
    fair_share_charge(state, call, client, cost);
}

const struct side emitted = {
    acl_make, acl_allow, acl_ask_it, rate_make, rate_ask_it, fair_make, fair_arrive, fair_leave, fair_pick, fair_charge,
};
