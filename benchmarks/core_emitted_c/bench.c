/* SPDX-License-Identifier: Apache-2.0 */
/* `bench SIDE POLICY CALLS`: prints nanoseconds a call and a sum over all answers. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sides.h"

#define USERS 256
#define WAITING 1000

static int64_t clock_now;

static int64_t host_now(void *context)
{
    (void)context;
    return clock_now;
}

static const struct ts_host host = {host_now, NULL, NULL, NULL};

static char names[USERS][24];
static ts_slice users[USERS];

static uint64_t random_state = 1;

static uint64_t next_random(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return random_state >> 33;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What is left of a verdict in the sum that all sides must agree on. */
static uint64_t digest(uint32_t kind, int64_t code, ts_slice text)
{
    return kind == 0 ? 0 : (uint64_t)code * 31 + text.size * 7 + (text.size > 0 ? text.data[text.size / 2] : 0);
}

/* 9 calls of 10 are allowed. */
static uint64_t run_acl(const struct side *side, long calls)
{
    void *state = side->acl_new();
    for (int i = 0; i < USERS; i++) {
        if (i % 10 != 0) {
            side->acl_allow(state, users[i]);
        }
    }
    uint64_t sum = 0;
    for (long i = 0; i < calls; i++) {
        struct ts_call call;
        ts_call_begin(&call, &host, NULL);
        struct acl_ask ask = {users[next_random() % USERS]};
        struct acl_rpc_ask rpc; /* the policy reads two of its fields */
        rpc.msg = &ask;
        rpc.method = TS_TEXT("/shop.Orders/Place");
        struct acl_verdict verdict = side->acl(state, &call, &rpc);
        sum += digest(verdict.kind, verdict.as.reject.code, verdict.as.reject.message);
        ts_call_end(&call);
    }
    return sum;
}

/* About a fifth is refused. */
static uint64_t run_rate(const struct side *side, long calls)
{
    void *state = side->rate_new();
    uint64_t sum = 0;
    for (long i = 0; i < calls; i++) {
        clock_now += 30000;
        struct ts_call call;
        ts_call_begin(&call, &host, NULL);
        struct rate_limit_ask ask = {users[next_random() % USERS]};
        struct rate_limit_rpc_ask rpc;
        rpc.msg = &ask;
        struct rate_limit_verdict verdict = side->rate(state, &call, &rpc);
        sum += digest(verdict.kind, verdict.as.reject.code, verdict.as.reject.message);
        ts_call_end(&call);
    }
    return sum;
}

/* The chosen is charged; every eighth leaves and arrives again. */
static uint64_t run_fair(const struct side *side, long calls)
{
    void *state = side->fair_new();
    struct ts_call call;
    ts_call_begin(&call, &host, NULL);
    uint64_t sum = 0;
    for (uint64_t client = 0; client < WAITING; client++) {
        side->fair_arrive(state, &call, client);
    }
    for (long i = 0; i < calls; i++) {
        uint64_t client = side->fair_pick(state, &call);
        sum = sum * 31 + client;
        side->fair_charge(state, &call, client, 1 + (int64_t)(next_random() % 1000));
        if (i % 8 == 0) {
            side->fair_leave(state, client);
            side->fair_arrive(state, &call, client);
        }
    }
    ts_call_end(&call);
    return sum;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        return 2;
    }
    const struct side *side = argv[1][0] == 'e' ? &emitted : argv[1][0] == 'h' ? &by_hand : &by_scan;
    for (int i = 0; i < USERS; i++) {
        int size = snprintf(names[i], sizeof names[i], "user-%d@example", i * 7919);
        users[i] = (ts_slice){(const uint8_t *)names[i], (uint32_t)size};
    }
    long calls = atol(argv[3]);
    double start = seconds();
    uint64_t sum = argv[2][0] == 'a' ? run_acl(side, calls) : argv[2][0] == 'r' ? run_rate(side, calls) : run_fair(side, calls);
    printf("%.3f %llu\n", (seconds() - start) * 1e9 / (double)calls, (unsigned long long)sum);
    return 0;
}
