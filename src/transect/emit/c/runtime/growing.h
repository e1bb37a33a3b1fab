/* SPDX-License-Identifier: Apache-2.0 */
/* Tables kept by client: the hash tables of table.h, but with room for as many entries as there are clients.
 *
 * All zero is an empty one, which has no memory of its own yet.  Entries lie in chunks and never move, so that a pointer
 * to one is good until its key is removed; the index and the links are made anew, twice as large, when they are full.
 */
#ifndef TRANSECT_GROWING_H
#define TRANSECT_GROWING_H

#include "call.h"
#include "table.h"

#define TS_CHUNKS 33 /* the first, and one for each doubling of what 32 bits number */

/* Doubles the index of a table and frees the old one. */
static __attribute__((unused, noinline)) void ts_grow_index(uint64_t **index, uint32_t *mask, uint32_t words)
{
    uint64_t *larger = ts_zeroed(words * sizeof *larger);
    for (size_t at = 0; *index != NULL && at <= *mask; at++) {
        if ((*index)[at] != 0) {
            ts_put_word(larger, words - 1, (*index)[at]);
        }
    }
    ts_give_back(*index);
    *index = larger;
    *mask = words - 1;
}

static __attribute__((unused, noinline)) void ts_grow_links(struct ts_link **links, uint32_t used, uint32_t room)
{
    struct ts_link *larger = ts_zeroed(room * sizeof *larger);
    if (used > 0) {
        memcpy(larger, *links, used * sizeof *larger);
    }
    ts_give_back(*links);
    *links = larger;
}

/* As TS_TABLE; room for FIRST entries, a power of two, is made when the first one comes, and doubled when it is full. */
#define TS_GROWING(NAME, KEY, VALUE, FIRST, ASK, HASH, SAME, KEEP) \
    struct NAME##_entry { \
        KEY key; \
        uint32_t number; /* from 0 */ \
        VALUE value; \
    }; \
    struct NAME { \
        uint64_t seed, overflow; \
        struct ts_order order; \
        uint32_t room, mask; /* entries; words of the index, less one */ \
        uint64_t *index;     /* hash << 32 | entry; 0: nothing */ \
        struct ts_link *links; \
        struct NAME##_entry *chunks[TS_CHUNKS]; /* FIRST entries, FIRST, then twice as many each */ \
    }; \
    \
    /* The entry of that number, from 0. */ \
    TS_INLINE struct NAME##_entry *NAME##_at(const struct NAME *table, uint32_t number) \
    { \
        if (number < (FIRST)) { \
            return &table->chunks[0][number]; \
        } \
        uint32_t chunk = ts_bit_length(number / (FIRST)); \
        return &table->chunks[chunk][number - ((uint32_t)(FIRST) << (chunk - 1))]; \
    } \
    /* The number of the entry that a pointer to its value leads to. */ \
    TS_INLINE uint32_t NAME##_number(const VALUE *value) \
    { \
        const uint8_t *entry = (const uint8_t *)value - offsetof(struct NAME##_entry, value); \
        return ((const struct NAME##_entry *)(const void *)entry)->number; \
    } \
    TS_INLINE uint32_t NAME##_lookup(const struct NAME *table, ASK key, uint32_t hash) \
    { \
        if (table->order.count == 0) { \
            return 0; \
        } \
        uint32_t at = hash & table->mask; \
        uint64_t word; \
        for (uint32_t distance = 0; (word = table->index[at]) != 0; at = (at + 1) & table->mask, distance++) { \
            if ((uint32_t)(word >> 32) == hash && SAME(&NAME##_at(table, (uint32_t)word - 1)->key, key)) { \
                return (uint32_t)word; \
            } \
            if (ts_distance(word, at, table->mask) < distance) { \
                break; \
            } \
        } \
        return 0; \
    } \
    TS_INLINE VALUE *NAME##_find(struct NAME *table, ASK key) \
    { \
        uint32_t entry = NAME##_lookup(table, key, (uint32_t)HASH(key, table->seed)); \
        return entry == 0 ? NULL : &NAME##_at(table, entry - 1)->value; \
    } \
    static __attribute__((unused, noinline)) void NAME##_grow(struct NAME *table) \
    { \
        uint32_t more = table->room == 0 ? (FIRST) : table->room; \
        uint32_t chunk = ts_bit_length(table->room / (FIRST)); \
        table->chunks[chunk] = ts_zeroed(more * sizeof *table->chunks[chunk]); \
        ts_grow_links(&table->links, table->room, table->room + more); \
        ts_grow_index(&table->index, &table->mask, 2 * (table->room + more)); \
        table->room += more; \
    } \
    /* A new entry with a zero value for a key that has none. */ \
    static __attribute__((unused, noinline)) VALUE *NAME##_insert(struct NAME *table, ASK key) \
    { \
        if (table->order.count == table->room) { \
            NAME##_grow(table); \
        } \
        uint32_t hash = (uint32_t)HASH(key, table->seed); \
        uint32_t entry = ts_insert(&table->order, table->links, table->index, table->mask, hash); \
        struct NAME##_entry *made = NAME##_at(table, entry - 1); \
        KEEP(&made->key, key); \
        made->number = entry - 1; \
        memset(&made->value, 0, sizeof made->value); \
        return &made->value; \
    } \
    /* The entry of the key, a new one if need be. */ \
    TS_INLINE VALUE *NAME##_place(struct NAME *table, ASK key) \
    { \
        VALUE *found = NAME##_find(table, key); \
        return found != NULL ? found : NAME##_insert(table, key); \
    } \
    TS_INLINE bool NAME##_remove(struct NAME *table, ASK key) \
    { \
        uint32_t hash = (uint32_t)HASH(key, table->seed), entry = NAME##_lookup(table, key, hash); \
        if (entry != 0) { \
            ts_release(&table->order, table->links, table->index, table->mask, hash, entry); \
        } \
        return entry != 0; \
    } \
    /* The next entry of a walk; NULL at the end. */ \
    TS_INLINE struct NAME##_entry *NAME##_step(struct NAME *table, struct ts_walk *walk) \
    { \
        uint32_t entry = ts_step(table->links, walk); \
        return entry == 0 ? NULL : NAME##_at(table, entry - 1); \
    } \
    /* Gives back the memory of all entries. */ \
    static __attribute__((unused)) void NAME##_give_back(struct NAME *table) \
    { \
        ts_give_back(table->index); \
        ts_give_back(table->links); \
        for (uint32_t chunk = 0; chunk < TS_CHUNKS; chunk++) { \
            ts_give_back(table->chunks[chunk]); \
        } \
    }

#endif
