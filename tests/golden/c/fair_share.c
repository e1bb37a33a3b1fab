/* FairShare, emitted by transect from fair_share.py:11
 * source sha256 2463482cf1432477a0609817266fb05dcdcecb3c37928cc6632812b80d231680 */
#include "fair_share.h"
#pragma GCC diagnostic ignored "-Wtautological-compare"
#pragma GCC diagnostic ignored "-Wtype-limits"

TS_INLINE int64_t *fair_share_served_entry(struct fair_share_served_table *table, uint64_t key) {
    int64_t *found = fair_share_served_table_place(table, key);
    if (found == NULL) {
        table->overflow++;
    }
    return found;
}

TS_INLINE bool fair_share_served_put(struct fair_share_served_table *table, uint64_t key, int64_t value) {
    int64_t *found = fair_share_served_entry(table, key);
    if (found != NULL) {
        *found = value;
    }
    return found != NULL;
}

TS_INLINE void fair_share_served_moved(struct fair_share_state *self, uint64_t client, int64_t *entry) {
    uint32_t slot = fair_share_served_table_number(entry) * 2;
    if (fair_share_served_heap_has(&self->served_heap, slot)) {
        fair_share_served_heap_change(&self->served_heap, slot, *entry);
    } else {
        uint32_t number = fair_share_waiting_table_lookup(&self->waiting, client, (uint32_t)client);
        if (number != 0) {
            fair_share_served_heap_rename(&self->served_heap, number * 2 - 1, slot);
            fair_share_served_heap_change(&self->served_heap, slot, *entry);
        }
    }
}

TS_INLINE void fair_share_served_remove(struct fair_share_state *self, uint64_t client) {
    int64_t *entry = fair_share_served_table_find(&self->served, client);
    if (entry == NULL) {
        return;
    }
    uint32_t slot = fair_share_served_table_number(entry) * 2;
    if (fair_share_served_heap_has(&self->served_heap, slot)) {
        uint32_t other = fair_share_waiting_table_lookup(&self->waiting, client, (uint32_t)client) * 2 - 1;
        fair_share_served_heap_rename(&self->served_heap, slot, other);
        fair_share_served_heap_change(&self->served_heap, other, 0);
    }
    fair_share_served_table_remove(&self->served, client);
}

static void fair_share_start(struct fair_share_state *self, uint64_t seed) {
    self->served.seed = seed;
}

void fair_share_init(struct fair_share_state *self, uint64_t seed) {
    memset(self, 0, sizeof(struct fair_share_state));
    fair_share_start(self, seed);
}

struct fair_share_state *fair_share_new(uint64_t seed) {
    struct fair_share_state *self = TS_ALLOCATE_ZEROED(sizeof(struct fair_share_state));
    if (self != NULL) {
        fair_share_start(self, seed);
    }
    return self;
}

void fair_share_clear(struct fair_share_state *self) {
    fair_share_served_table_give_back(&self->served);
    fair_share_served_heap_give_back(&self->served_heap);
    fair_share_waiting_table_give_back(&self->waiting);
}

void fair_share_free(struct fair_share_state *self) {
    if (self != NULL) {
        fair_share_clear(self);
    }
    TS_RELEASE(self);
}

bool fair_share_waiting_add(struct fair_share_state *self, uint64_t client) {
    if (fair_share_waiting_table_lookup(&self->waiting, client, (uint32_t)client) != 0) {
        return false;
    }
    uint64_t arrival = self->arrivals++;
    uint64_t *held = fair_share_waiting_table_place(&self->waiting, client);
    *held = arrival;
    uint32_t number = fair_share_waiting_table_number(held) + 1;
    {
        int64_t *entry = fair_share_served_table_find(&self->served, client);
        uint32_t slot = entry != NULL ? fair_share_served_table_number(entry) * 2 : number * 2 - 1;
        fair_share_served_heap_add(&self->served_heap, slot, arrival, entry != NULL ? *entry : 0);
    }
    return true;
}

bool fair_share_waiting_remove(struct fair_share_state *self, uint64_t client) {
    uint32_t number = fair_share_waiting_table_lookup(&self->waiting, client, (uint32_t)client);
    if (number == 0) {
        return false;
    }
    {
        int64_t *entry = fair_share_served_table_find(&self->served, client);
        uint32_t slot = entry != NULL ? fair_share_served_table_number(entry) * 2 : number * 2 - 1;
        fair_share_served_heap_remove(&self->served_heap, slot);
    }
    return fair_share_waiting_table_remove(&self->waiting, client);
}

#line 14 "fair_share.py"
void fair_share_arrive(struct fair_share_state *self, struct ts_call *call, uint64_t client) {
    (void)call;
    int64_t t2 = 0;
#line 15 "fair_share.py"
    if ((int64_t)self->waiting.order.count > 0) {
#line 15 "fair_share.py"
        int64_t t1 = self->served_heap.items[0].value;
#line 15 "fair_share.py"
        t2 = t1;
    } else {
#line 15 "fair_share.py"
        t2 = self->level;
    }
#line 15 "fair_share.py"
    int64_t floor = t2;
    int64_t *entry = fair_share_served_entry(&self->served, client);
    if (entry != NULL) {
        *entry = ts_max(*entry, floor);
        fair_share_served_moved(self, client, entry);
    }
}

#line 18 "fair_share.py"
uint64_t fair_share_pick(struct fair_share_state *self, struct ts_call *call) {
    (void)call;
#line 19 "fair_share.py"
    uint32_t slot = self->served_heap.items[0].slot;
    uint64_t chosen = (slot & 1) != 0 ? fair_share_waiting_table_at(&self->waiting, slot / 2)->key : fair_share_served_table_at(&self->served, slot / 2)->key;
    int64_t *found = (slot & 1) != 0 ? NULL : &fair_share_served_table_at(&self->served, slot / 2)->value;
#line 20 "fair_share.py"
    self->level = ts_max(self->level, found == NULL ? 0 : *found);
    return chosen;
}

#line 23 "fair_share.py"
void fair_share_charge(struct fair_share_state *self, struct ts_call *call, uint64_t client, int64_t cost) {
    (void)call;
#line 24 "fair_share.py"
    int64_t *entry = fair_share_served_entry(&self->served, client);
    if (entry != NULL) {
        *entry = ts_add(*entry, cost);
        fair_share_served_moved(self, client, entry);
    }
}

#line 37 "transect/shapes/arbiter.py"
void fair_share_leave(struct fair_share_state *self, struct ts_call *call, uint64_t client) {
    (void)self;
    (void)call;
    (void)client;
}

#line 41 "transect/shapes/arbiter.py"
void fair_share_forget(struct fair_share_state *self, struct ts_call *call, uint64_t client) {
    (void)call;
#line 45 "transect/shapes/arbiter.py"
    fair_share_served_remove(self, client);
}

#line 170 "fair_share.c"
static void fair_share_fill(struct fair_share_state *self, struct ts_reader *from) {
    struct ts_reader in = *from;
    {
        uint32_t count = ts_read_u32(&in);
        ts_read_limit(&in, &count);
        for (uint32_t i = 0; i < count && !in.bad; i++) {
            uint64_t key = ts_read_u64(&in);
            int64_t value = ts_read_i64(&in);
            if (in.bad || fair_share_served_table_find(&self->served, key) != NULL) {
                in.bad = true;
            } else if (!fair_share_served_put(&self->served, key, value)) {
                in.bad = true;
            }
        }
    }
    self->served.overflow = ts_read_u64(&in);
    {
        int64_t value = ts_read_i64(&in);
        self->level = value;
    }
    self->level_overflow = ts_read_u64(&in);
    *from = in;
}

size_t fair_share_save(struct fair_share_state *self, uint8_t *image, size_t room) {
    struct ts_writer writer = {image, room, 0};
    struct ts_writer *out = &writer;
    /* served */
    {
        ts_write_u32(out, self->served.order.count);
        struct ts_walk walk = ts_walk_over(&self->served.order);
        struct fair_share_served_table_entry *entry;
        while ((entry = fair_share_served_table_step(&self->served, &walk)) != NULL) {
            ts_write_u64(out, entry->key);
            ts_write_i64(out, entry->value);
        }
    }
    ts_write_u64(out, self->served.overflow);
    /* level */
    {
        ts_write_i64(out, self->level);
    }
    ts_write_u64(out, self->level_overflow);
    return writer.size;
}

int fair_share_load(struct fair_share_state *self, const uint8_t *image, size_t size) {
    struct fair_share_state *fresh = fair_share_new(self->served.seed);
    if (fresh == NULL) {
        return -1;
    }
    struct ts_reader in = {image, size, false};
    fair_share_fill(fresh, &in);
    bool good = !in.bad && in.left == 0;
    if (!good) {
        fair_share_free(fresh);
        return -1;
    }
    fair_share_served_table_give_back(&self->served);
    fair_share_served_heap_give_back(&self->served_heap);
    fresh->waiting = self->waiting;
    fresh->arrivals = self->arrivals;
    *self = *fresh;
    struct ts_walk walk = ts_walk_over(&self->waiting.order);
    struct fair_share_waiting_table_entry *waits;
    while ((waits = fair_share_waiting_table_step(&self->waiting, &walk)) != NULL) {
        uint64_t client = waits->key;
        uint32_t number = fair_share_waiting_table_number(&waits->value) + 1;
        {
            int64_t *entry = fair_share_served_table_find(&self->served, client);
            uint32_t slot = entry != NULL ? fair_share_served_table_number(entry) * 2 : number * 2 - 1;
            fair_share_served_heap_add(&self->served_heap, slot, waits->value, entry != NULL ? *entry : 0);
        }
    }
    TS_RELEASE(fresh);
    return 0;
}

