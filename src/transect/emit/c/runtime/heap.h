/* SPDX-License-Identifier: Apache-2.0 */
/* The indexed heap of the waiting clients: smallest (value, arrival) first, so ties go to whoever waits longest.
 *
 * All zero is an empty one.  A member is named by its slot, a number below SLOTS; the heap knows where each slot stands,
 * so that a value which grows or shrinks moves its member in O(log n) and nobody is entered twice.
 */
#ifndef TRANSECT_HEAP_H
#define TRANSECT_HEAP_H

#include "transect.h"

/* SMALLER(a, b) is a strict order of two values.  For floats use TS_SMALLER_FLOAT: NaN is behind everything. */
#define TS_SMALLER(a, b) ((a) < (b))
#define TS_SMALLER_FLOAT(a, b) ((a) < (b) || ((a) == (a) && (b) != (b)))

#define TS_HEAP(NAME, VALUE, SMALLER, CAPACITY, SLOTS) \
    struct NAME##_item { \
        VALUE value; \
        uint64_t arrival; \
        uint32_t slot; \
    }; \
    struct NAME { \
        uint32_t count; \
        uint32_t place[SLOTS]; /* of a slot: its item's number, from 1; 0: not a member */ \
        struct NAME##_item items[CAPACITY]; \
    }; \
    \
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
        uint32_t at = heap->place[slot]; \
        heap->place[slot] = 0; \
        heap->place[other] = at; \
        heap->items[at - 1].slot = other; \
    } \
    TS_INLINE void NAME##_change(struct NAME *heap, uint32_t slot, VALUE value) \
    { \
        uint32_t at = heap->place[slot]; \
        NAME##_settle(heap, at, (struct NAME##_item){value, heap->items[at - 1].arrival, slot}); \
    }

#endif
