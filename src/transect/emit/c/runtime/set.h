/* SPDX-License-Identifier: Apache-2.0 */
/* Sets which live for one call, in order of first insertion.  They grow, and are never changed once they have a name. */
#ifndef TRANSECT_SET_H
#define TRANSECT_SET_H

#include "call.h"

/* Items come out of messages, so that sets have a secret seed too.  HASH(item, seed) is 64 bits, SAME(a, b) whether two items are equal. */
#define TS_SET(NAME, ITEM, HASH, SAME) \
    struct NAME { \
        uint32_t count, words; /* words is a power of two, at least 2 * count */ \
        uint32_t *index;       /* numbers of items from 1; 0: nothing */ \
        ITEM *items; \
    }; \
    \
    TS_INLINE struct NAME *NAME##_make(struct ts_call *call, uint32_t room) \
    { \
        uint32_t words = 8; \
        while (words / 2 < room) { \
            words *= 2; \
        } \
        struct NAME *set = ts_take(&call->arena, sizeof *set); \
        set->count = 0; \
        set->words = words; \
        set->index = ts_take(&call->arena, words * sizeof *set->index); \
        memset(set->index, 0, words * sizeof *set->index); \
        set->items = ts_take(&call->arena, words / 2 * sizeof *set->items); \
        return set; \
    } \
    /* The index word of the item, or the empty one where it would go. */ \
    TS_INLINE uint32_t NAME##_word(const struct NAME *set, ITEM item) \
    { \
        uint32_t at = (uint32_t)HASH(item, ts_secret()) & (set->words - 1); \
        while (set->index[at] != 0 && !SAME(set->items[set->index[at] - 1], item)) { \
            at = (at + 1) & (set->words - 1); \
        } \
        return at; \
    } \
    TS_INLINE bool NAME##_has(const struct NAME *set, ITEM item) { return set->index[NAME##_word(set, item)] != 0; } \
    TS_INLINE void NAME##_add(struct ts_call *call, struct NAME *set, ITEM item) \
    { \
        uint32_t at = NAME##_word(set, item); \
        if (set->index[at] != 0) { \
            return; \
        } \
        if (set->count == set->words / 2) { \
            struct NAME *larger = NAME##_make(call, set->words); \
            for (uint32_t i = 0; i < set->count; i++) { \
                larger->items[i] = set->items[i]; \
                larger->index[NAME##_word(larger, set->items[i])] = i + 1; \
                larger->count++; \
            } \
            *set = *larger; \
            at = NAME##_word(set, item); \
        } \
        set->items[set->count++] = item; \
        set->index[at] = set->count; \
    } \
    TS_INLINE struct NAME *NAME##_pick(struct ts_call *call, const struct NAME *a, const struct NAME *b, bool both) \
    { \
        struct NAME *set = NAME##_make(call, a->count); \
        for (uint32_t i = 0; i < a->count; i++) { \
            if (NAME##_has(b, a->items[i]) == both) { \
                NAME##_add(call, set, a->items[i]); \
            } \
        } \
        return set; \
    } \
    TS_INLINE void NAME##_extend(struct ts_call *call, struct NAME *set, const struct NAME *more) \
    { \
        for (uint32_t i = 0; i < more->count; i++) { \
            NAME##_add(call, set, more->items[i]); \
        } \
    } \
    /* Those of a, then the others of b. */ \
    TS_INLINE struct NAME *NAME##_or(struct ts_call *call, const struct NAME *a, const struct NAME *b) \
    { \
        struct NAME *set = NAME##_make(call, a->count + b->count); \
        NAME##_extend(call, set, a); \
        NAME##_extend(call, set, b); \
        return set; \
    } \
    TS_INLINE struct NAME *NAME##_and(struct ts_call *call, const struct NAME *a, const struct NAME *b) \
    { \
        return NAME##_pick(call, a, b, true); \
    } \
    TS_INLINE struct NAME *NAME##_sub(struct ts_call *call, const struct NAME *a, const struct NAME *b) \
    { \
        return NAME##_pick(call, a, b, false); \
    } \
    TS_INLINE struct NAME *NAME##_xor(struct ts_call *call, const struct NAME *a, const struct NAME *b) \
    { \
        struct NAME *set = NAME##_sub(call, a, b); \
        NAME##_extend(call, set, NAME##_sub(call, b, a)); \
        return set; \
    } \
    /* The same members; order does not count. */ \
    TS_INLINE bool NAME##_equal(const struct NAME *a, const struct NAME *b) \
    { \
        if (a->count != b->count) { \
            return false; \
        } \
        for (uint32_t i = 0; i < a->count; i++) { \
            if (!NAME##_has(b, a->items[i])) { \
                return false; \
            } \
        } \
        return true; \
    }

#endif
