/* FairShare, emitted by transect from fair_share.py:11
 * source sha256 2463482cf1432477a0609817266fb05dcdcecb3c37928cc6632812b80d231680 */
#ifndef TRANSECT_FAIR_SHARE_H
#define TRANSECT_FAIR_SHARE_H

#include "transect.h"
#include "codec.h"
#include "call.h"
#include "table.h"
#include "growing.h"
#include "ordered.h"
#include "heap.h"
#include "set.h"
#include "stable.h"
TS_GROWING(fair_share_served_table, uint64_t, int64_t, 4096u, uint64_t, ts_hash_handle, TS_SAME, TS_KEEP)
TS_HEAP(fair_share_served_heap, int64_t, TS_SMALLER, 4096u, 8192u)
TS_GROWING(fair_share_waiting_table, uint64_t, uint64_t, 4096u, uint64_t, ts_hash_handle, TS_SAME, TS_KEEP)

struct fair_share_state {
    struct fair_share_served_table served;
    int64_t level;
    uint64_t level_overflow;
    struct fair_share_waiting_table waiting;
    uint64_t arrivals;
    struct fair_share_served_heap served_heap;
};

void fair_share_init(struct fair_share_state *self, uint64_t seed);
struct fair_share_state *fair_share_new(uint64_t seed);
void fair_share_clear(struct fair_share_state *self);
void fair_share_free(struct fair_share_state *self);
size_t fair_share_save(struct fair_share_state *self, uint8_t *image, size_t room);
int fair_share_load(struct fair_share_state *self, const uint8_t *image, size_t size);
bool fair_share_waiting_add(struct fair_share_state *self, uint64_t client);
bool fair_share_waiting_remove(struct fair_share_state *self, uint64_t client);
void fair_share_arrive(struct fair_share_state *self, struct ts_call *call, uint64_t client);
uint64_t fair_share_pick(struct fair_share_state *self, struct ts_call *call);
void fair_share_charge(struct fair_share_state *self, struct ts_call *call, uint64_t client, int64_t cost);
void fair_share_leave(struct fair_share_state *self, struct ts_call *call, uint64_t client);
void fair_share_forget(struct fair_share_state *self, struct ts_call *call, uint64_t client);

#endif

