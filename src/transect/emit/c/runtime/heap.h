/* SPDX-License-Identifier: Apache-2.0 */
/* The indexed heap of the waiting clients: smallest (value, arrival) first, so ties go to whoever waits longest.
 *
 * All zero is an empty one, which has no memory of its own yet.  A member is named by its slot, a number; the heap knows
 * where each slot stands, so that a value which grows or shrinks moves its member in O(log n) and nobody is entered
 * twice.  It grows with its members.
 */
#ifndef TRANSECT_HEAP_H
#define TRANSECT_HEAP_H

#include "call.h"
#include "transect.h"

/* SMALLER(a, b) is a strict order of two values.  For floats use TS_SMALLER_FLOAT: NaN is behind everything. */
#define TS_SMALLER(a, b) ((a) < (b))
#define TS_SMALLER_FLOAT(a, b) ((a) < (b) || ((a) == (a) && (b) != (b)))

/* An array with room for `wanted` items of that size, at least `first`, where there was room for `*room`; what is new is
 * zero. */
static __attribute__((unused, noinline)) void *ts_larger(void *old, uint32_t *room, uint32_t wanted, uint32_t first, size_t size)
{
    uint32_t more = *room == 0 ? first : *room;
    while (more < wanted) {
        more *= 2;
    }
    uint8_t *made = ts_zeroed(more * size);
    if (old != NULL) {
        memcpy(made, old, *room * size);
    }
    ts_give_back(old);
    *room = more;
    return made;
}

/* Room for ROOM members and SLOTS slots is made with the first member. */
#define TS_HEAP(NAME, VALUE, SMALLER, ROOM, SLOTS) \
    struct NAME##_item { \
        VALUE value; \
        uint64_t arrival; \
        uint32_t slot; \
    }; \
    struct NAME { \
        uint32_t count; \
        uint32_t room, slots; \
        uint32_t *place; /* of a slot: its item's number, from 1; 0: not a member */ \
        struct NAME##_item *items; \
    }; \
    \
    TS_INLINE bool NAME##_has(const struct NAME *heap, uint32_t slot) \
    { \
        return slot < heap->slots && heap->place[slot] != 0; \
    } \
    /* There is a place for that slot. */ \
    TS_INLINE void NAME##_admit(struct NAME *heap, uint32_t slot) \
    { \
        if (slot >= heap->slots) { \
            heap->place = ts_larger(heap->place, &heap->slots, slot + 1, SLOTS, sizeof *heap->place); \
        } \
    } \
    TS_INLINE bool NAME##_before(const struct NAME##_item *a, const struct NAME##_item *b) \
    { \
        return SMALLER(a->value, b->value) || (!(SMALLER(b->value, a->value)) && a->arrival < b->arrival); \
    } \
    TS_INLINE void NAME##_put(struct NAME *heap, uint32_t at, struct NAME##_item item) \
    { \
        heap->items[at - 1] = item; \
        heap->place[item.slot] = at; \
    } \
    TS_INLINE void NAME##_rise(struct NAME *heap, uint32_t at, struct NAME##_item item) \
    { \
        while (at > 1 && NAME##_before(&item, &heap->items[at / 2 - 1])) { \
            NAME##_put(heap, at, heap->items[at / 2 - 1]); \
            at /= 2; \
        } \
        NAME##_put(heap, at, item); \
    } \
    TS_INLINE void NAME##_sink(struct NAME *heap, uint32_t at, struct NAME##_item item) \
    { \
        for (uint32_t below = 2 * at; below <= heap->count; below = 2 * at) { \
            below += below < heap->count && NAME##_before(&heap->items[below], &heap->items[below - 1]); \
            if (!NAME##_before(&heap->items[below - 1], &item)) { \
                break; \
            } \
            NAME##_put(heap, at, heap->items[below - 1]); \
            at = below; \
        } \
        NAME##_put(heap, at, item); \
    } \
    TS_INLINE void NAME##_settle(struct NAME *heap, uint32_t at, struct NAME##_item item) \
    { \
        if (at > 1 && NAME##_before(&item, &heap->items[at / 2 - 1])) { \
            NAME##_rise(heap, at, item); \
        } else { \
            NAME##_sink(heap, at, item); \
        } \
    } \
    /* The slot is not a member yet. */ \
    TS_INLINE void NAME##_add(struct NAME *heap, uint32_t slot, uint64_t arrival, VALUE value) \
    { \
        if (heap->count == heap->room) { \
            heap->items = ts_larger(heap->items, &heap->room, heap->count + 1, ROOM, sizeof *heap->items); \
        } \
        NAME##_admit(heap, slot); \
        NAME##_rise(heap, ++heap->count, (struct NAME##_item){value, arrival, slot}); \
    } \
    TS_INLINE void NAME##_remove(struct NAME *heap, uint32_t slot) \
    { \
        uint32_t at = heap->place[slot]; \
        heap->place[slot] = 0; \
        struct NAME##_item last = heap->items[--heap->count]; \
        if (last.slot != slot) { \
            NAME##_settle(heap, at, last); \
        } \
    } \
    /* The member of one slot is another slot's from now on. */ \
    TS_INLINE void NAME##_rename(struct NAME *heap, uint32_t slot, uint32_t other) \
    { \
        NAME##_admit(heap, other); \
        uint32_t at = heap->place[slot]; \
        heap->place[slot] = 0; \
        heap->place[other] = at; \
        heap->items[at - 1].slot = other; \
    } \
    TS_INLINE void NAME##_change(struct NAME *heap, uint32_t slot, VALUE value) \
    { \
        uint32_t at = heap->place[slot]; \
        NAME##_settle(heap, at, (struct NAME##_item){value, heap->items[at - 1].arrival, slot}); \
    } \
    /* Gives back the memory of all members. */ \
    static __attribute__((unused)) void NAME##_give_back(struct NAME *heap) \
    { \
        ts_give_back(heap->items); \
        ts_give_back(heap->place); \
    }

#endif
