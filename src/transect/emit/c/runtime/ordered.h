/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded map iterated by ascending key: a treap in an array, O(log n) expected whatever keys come in whatever order.
 *
 * All zero is an empty one.  An entry's rank in the heap is a hash of its number, so that no caller can choose it.
 * Numbers of entries count from 1; 0 is none.
 */
#ifndef TRANSECT_ORDERED_H
#define TRANSECT_ORDERED_H

#include "transect.h"

TS_INLINE uint64_t ts_rank(uint32_t entry, uint64_t seed) { return ts_hash_u64(entry, seed ^ TS_ODD_2); }

/* KEY is a key as stored, ASK as asked for; ORDER(const KEY *, ask) is negative, 0 or positive, KEEP(KEY *, ask) stores
 * one, RECALL(const KEY *) is a stored key as asked for. */
#define TS_ORDERED(NAME, KEY, VALUE, CAPACITY, ASK, ORDER, KEEP, RECALL) \
    struct NAME##_entry { \
        KEY key; \
        uint32_t left, right; \
        VALUE value; \
    }; \
    struct NAME { \
        uint64_t seed, overflow; \
        uint32_t count; \
        uint32_t used;  /* entries that ever held something */ \
        uint32_t spare; /* the first of those that hold nothing any more, linked by `left` */ \
        uint32_t root; \
        struct NAME##_entry entries[CAPACITY]; \
    }; \
    \
    TS_INLINE struct NAME##_entry *NAME##_entry_of(struct NAME *table, ASK key) \
    { \
        uint32_t entry = table->root; \
        while (entry != 0) { \
            struct NAME##_entry *here = &table->entries[entry - 1]; \
            int order = ORDER(&here->key, key); \
            if (order == 0) { \
                return here; \
            } \
            entry = order > 0 ? here->left : here->right; \
        } \
        return NULL; \
    } \
    TS_INLINE VALUE *NAME##_find(struct NAME *table, ASK key) \
    { \
        struct NAME##_entry *entry = NAME##_entry_of(table, key); \
        return entry == NULL ? NULL : &entry->value; \
    } \
    /* The entry with the smallest key; NULL when there is none. */ \
    TS_INLINE struct NAME##_entry *NAME##_first(struct NAME *table) \
    { \
        uint32_t entry = table->root; \
        if (entry == 0) { \
            return NULL; \
        } \
        while (table->entries[entry - 1].left != 0) { \
            entry = table->entries[entry - 1].left; \
        } \
        return &table->entries[entry - 1]; \
    } \
    /* The entry with the smallest key above this one; NULL when there is none. */ \
    TS_INLINE struct NAME##_entry *NAME##_after(struct NAME *table, ASK key) \
    { \
        struct NAME##_entry *best = NULL; \
        uint32_t entry = table->root; \
        while (entry != 0) { \
            struct NAME##_entry *here = &table->entries[entry - 1]; \
            if (ORDER(&here->key, key) > 0) { \
                best = here; \
                entry = here->left; \
            } else { \
                entry = here->right; \
            } \
        } \
        return best; \
    } \
    /* The entry of the key, a new one with a zero value if need be; NULL when the map is full. */ \
    TS_INLINE VALUE *NAME##_place(struct NAME *table, ASK key) \
    { \
        VALUE *found = NAME##_find(table, key); \
        if (found != NULL || table->count == (CAPACITY)) { \
            return found; \
        } \
        uint32_t made = table->spare; \
        if (made != 0) { \
            table->spare = table->entries[made - 1].left; \
        } else { \
            made = ++table->used; \
        } \
        struct NAME##_entry *entry = &table->entries[made - 1]; \
        KEEP(&entry->key, key); \
        memset(&entry->value, 0, sizeof entry->value); \
        uint64_t rank = ts_rank(made, table->seed); \
        uint32_t *link = &table->root; \
        while (*link != 0 && ts_rank(*link, table->seed) >= rank) { \
            struct NAME##_entry *here = &table->entries[*link - 1]; \
            link = ORDER(&here->key, RECALL(&entry->key)) > 0 ? &here->left : &here->right; \
        } \
        uint32_t rest = *link, *left = &entry->left, *right = &entry->right; \
        *link = made; \
        while (rest != 0) { /* split what hung there into the smaller and the larger */ \
            struct NAME##_entry *here = &table->entries[rest - 1]; \
            if (ORDER(&here->key, RECALL(&entry->key)) > 0) { \
                *right = rest; \
                right = &here->left; \
                rest = here->left; \
            } else { \
                *left = rest; \
                left = &here->right; \
                rest = here->right; \
            } \
        } \
        *left = 0; \
        *right = 0; \
        table->count++; \
        return &entry->value; \
    } \
    TS_INLINE bool NAME##_remove(struct NAME *table, ASK key) \
    { \
        uint32_t *link = &table->root; \
        int order = 1; \
        while (*link != 0 && (order = ORDER(&table->entries[*link - 1].key, key)) != 0) { \
            link = order > 0 ? &table->entries[*link - 1].left : &table->entries[*link - 1].right; \
        } \
        if (*link == 0) { \
            return false; \
        } \
        uint32_t gone = *link, left = table->entries[gone - 1].left, right = table->entries[gone - 1].right; \
        while (left != 0 && right != 0) { /* merge what hung below it */ \
            if (ts_rank(left, table->seed) >= ts_rank(right, table->seed)) { \
                *link = left; \
                link = &table->entries[left - 1].right; \
                left = *link; \
            } else { \
                *link = right; \
                link = &table->entries[right - 1].left; \
                right = *link; \
            } \
        } \
        *link = left != 0 ? left : right; \
        table->entries[gone - 1].left = table->spare; \
        table->spare = gone; \
        table->count--; \
        return true; \
    }

#endif
