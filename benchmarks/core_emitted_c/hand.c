/* SPDX-License-Identifier: Apache-2.0 */
/* The same policies, written by hand in C with this table header; the control's pick scans. */
#include "sides.h"

#define CLIENTS 4096

/* ---------------------------------------------------------------- acl */

TS_BOUNDED(name64, 64)
TS_TABLE(users, struct name64, bool, 1024, 2048, ts_slice, ts_hash_text, name64_same, name64_store)

static void *acl_make(void) { return calloc(1, sizeof(struct users)); }

static void acl_allow(void *state, ts_slice user) { *users_place(state, user) = true; }

static struct acl_verdict acl_refuse(struct ts_call *call, ts_slice user, ts_slice method)
{
    static const char middle[] = " may not call ";
    uint32_t size = user.size + (uint32_t)sizeof middle - 1 + method.size;
    uint8_t *text = ts_take(&call->arena, size);
    if (user.size > 0) {
        memcpy(text, user.data, user.size);
    }
    memcpy(text + user.size, middle, sizeof middle - 1);
    if (method.size > 0) {
        memcpy(text + user.size + sizeof middle - 1, method.data, method.size);
    }
    return (struct acl_verdict){1, {.reject = {7, {text, size}}}};
}

static struct acl_verdict acl_ask_it(void *state, struct ts_call *call, struct acl_rpc_ask *rpc)
{
    const bool *allowed = users_find(state, rpc->msg->user);
    if (allowed != NULL && *allowed) {
        return (struct acl_verdict){0};
    }
    return acl_refuse(call, rpc->msg->user, rpc->method);
}

/* ---------------------------------------------------------------- rate_limit */

struct bucket {
    int64_t tokens, filled;
};

TS_TABLE(buckets, struct name64, struct bucket, 4096, 8192, ts_slice, ts_hash_text, name64_same, name64_store)

struct rate {
    int64_t per_second, burst;
    struct buckets buckets;
};

static void *rate_make(void)
{
    struct rate *rate = calloc(1, sizeof *rate);
    rate->per_second = 100;
    rate->burst = 20;
    return rate;
}

static struct rate_limit_verdict rate_refuse(struct ts_call *call, const struct rate *rate)
{
    static const char before[] = "more than ", after[] = " calls a second";
    char digits[24];
    size_t at = sizeof digits, size = sizeof before - 1;
    uint64_t left = (uint64_t)rate->per_second;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left != 0);
    uint8_t *text = ts_take(&call->arena, 64);
    memcpy(text, before, sizeof before - 1);
    memcpy(text + size, digits + at, sizeof digits - at);
    size += sizeof digits - at;
    memcpy(text + size, after, sizeof after - 1);
    size += sizeof after - 1;
    return (struct rate_limit_verdict){1, {.reject = {8, {text, (uint32_t)size}}}};
}

static struct rate_limit_verdict rate_ask_it(void *state, struct ts_call *call, struct rate_limit_rpc_ask *rpc)
{
    struct rate *rate = state;
    int64_t now = call->host->now(call->context);
    ts_slice user = rpc->msg->user;
    struct bucket *there = user.size <= 64 ? buckets_find(&rate->buckets, user) : NULL;
    struct bucket bucket = there != NULL ? *there : (struct bucket){rate->burst, now};
    int64_t earned = (now - bucket.filled) * rate->per_second / 1000000000;
    if (earned > 0) {
        int64_t tokens = bucket.tokens + earned;
        bucket = (struct bucket){tokens < rate->burst ? tokens : rate->burst, now};
    }
    if (bucket.tokens <= 0) {
        return rate_refuse(call, rate);
    }
    bucket.tokens--;
    if (there == NULL) {
        there = user.size <= 64 ? buckets_place(&rate->buckets, user) : NULL;
        if (there == NULL) {
            rate->buckets.overflow++;
            return (struct rate_limit_verdict){1, {.reject = {8, TS_TEXT("too many users at once")}}};
        }
    }
    *there = bucket;
    return (struct rate_limit_verdict){0};
}

/* ---------------------------------------------------------------- fair_share */

struct client {
    int64_t served;
    bool waiting;
};

TS_TABLE(clients, uint64_t, struct client, CLIENTS, 2 * CLIENTS, uint64_t, ts_hash_handle, TS_SAME, TS_KEEP)
TS_HEAP(queue, int64_t, TS_SMALLER, CLIENTS, CLIENTS)

struct fair {
    int64_t level;
    uint64_t arrivals;
    struct clients clients;
    struct queue queue;
};

static void *fair_make(void) { return calloc(1, sizeof(struct fair)); }

static uint32_t slot_of(struct fair *fair, const struct client *client)
{
    const struct clients_entry *first = fair->clients.entries;
    return (uint32_t)((const struct clients_entry *)((const char *)client - offsetof(struct clients_entry, value)) - first);
}

static void fair_arrive(void *state, struct ts_call *call, uint64_t key)
{
    (void)call;
    struct fair *fair = state;
    int64_t floor = fair->queue.count > 0 ? fair->queue.items[0].value : fair->level;
    struct client *client = clients_place(&fair->clients, key);
    if (client == NULL || client->waiting) {
        return;
    }
    if (client->served < floor) {
        client->served = floor;
    }
    client->waiting = true;
    queue_add(&fair->queue, slot_of(fair, client), fair->arrivals++, client->served);
}

static void fair_leave(void *state, uint64_t key)
{
    struct fair *fair = state;
    struct client *client = clients_find(&fair->clients, key);
    if (client != NULL && client->waiting) {
        client->waiting = false;
        queue_remove(&fair->queue, slot_of(fair, client));
    }
}

static uint64_t fair_pick(void *state, struct ts_call *call)
{
    (void)call;
    struct fair *fair = state;
    struct queue_item *best = &fair->queue.items[0];
    if (best->value > fair->level) {
        fair->level = best->value;
    }
    return fair->clients.entries[best->slot].key;
}

static void fair_charge(void *state, struct ts_call *call, uint64_t key, int64_t cost)
{
    (void)call;
    struct fair *fair = state;
    struct client *client = clients_place(&fair->clients, key);
    if (client == NULL) {
        return;
    }
    client->served += cost;
    if (client->waiting) {
        queue_change(&fair->queue, slot_of(fair, client), client->served);
    }
}

const struct side by_hand = {
    acl_make, acl_allow, acl_ask_it, rate_make, rate_ask_it, fair_make, fair_arrive, fair_leave, fair_pick, fair_charge,
};

/* ---------------------------------------------------------------- the control: without the tables, without the heap */

struct listed {
    struct name64 names[1024];
    uint32_t count;
};

static void *list_make(void) { return calloc(1, sizeof(struct listed)); }

static void list_allow(void *state, ts_slice user)
{
    struct listed *list = state;
    name64_store(&list->names[list->count++], user);
}

static struct acl_verdict list_ask_it(void *state, struct ts_call *call, struct acl_rpc_ask *rpc)
{
    const struct listed *list = state;
    for (uint32_t i = 0; i < list->count; i++) {
        if (name64_same(&list->names[i], rpc->msg->user)) {
            return (struct acl_verdict){0};
        }
    }
    return acl_refuse(call, rpc->msg->user, rpc->method);
}

static uint64_t scan_pick(void *state, struct ts_call *call)
{
    (void)call;
    struct fair *fair = state;
    struct queue_item *best = &fair->queue.items[0];
    for (uint32_t i = 1; i < fair->queue.count; i++) {
        if (queue_before(&fair->queue.items[i], best)) {
            best = &fair->queue.items[i];
        }
    }
    if (best->value > fair->level) {
        fair->level = best->value;
    }
    return fair->clients.entries[best->slot].key;
}

const struct side by_scan = {
    list_make, list_allow, list_ask_it, rate_make, rate_ask_it, fair_make, fair_arrive, fair_leave, scan_pick, fair_charge,
};
