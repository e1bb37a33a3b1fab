/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded hash tables whose loops go in order of insertion: table, tally and lru.
 *
 * All zero is an empty table.  The index is open addressing with linear probing, ordered by home (Robin Hood): a search
 * ends at the first word that is nearer to its home, a removal at the first that is at home, so that even keys in a row
 * cost no more than they must.  A word holds 32 bits of the key's hash and an entry's number, so that a probe reads no
 * other entry.  Entries are linked in order of insertion (lru: of last use).  Numbers count from 1; 0 is none.
 */
#ifndef TRANSECT_TABLE_H
#define TRANSECT_TABLE_H

#include "transect.h"

/* Keys which an adapter hands out: small numbers, never chosen by a stranger, so neighbours make the best hash. */
TS_INLINE uint64_t ts_hash_handle(uint64_t key, uint64_t seed)
{
    (void)seed;
    return key;
}

/* ---------------------------------------------------------------- what tables of all types share */

struct ts_link {
    uint32_t older, newer;
};

struct ts_order {
    uint32_t count;
    uint32_t used;        /* entries that ever held something */
    uint32_t spare;       /* the first of those that hold nothing any more, linked by `newer` */
    uint32_t first, last; /* in order of insertion */
};

TS_INLINE void ts_append(struct ts_order *order, struct ts_link *links, uint32_t entry)
{
    links[entry - 1] = (struct ts_link){order->last, 0};
    if (order->last == 0) {
        order->first = entry;
    } else {
        links[order->last - 1].newer = entry;
    }
    order->last = entry;
}

TS_INLINE void ts_unlink(struct ts_order *order, struct ts_link *links, uint32_t entry)
{
    struct ts_link link = links[entry - 1];
    if (link.older == 0) {
        order->first = link.newer;
    } else {
        links[link.older - 1].newer = link.newer;
    }
    if (link.newer == 0) {
        order->last = link.older;
    } else {
        links[link.newer - 1].older = link.older;
    }
}

/* How far from its home an index word stands. */
TS_INLINE uint32_t ts_distance(uint64_t word, uint32_t at, uint32_t mask) { return (at - (uint32_t)(word >> 32)) & mask; }

/* A word takes its place in the index, which has an empty one. */
TS_INLINE void ts_put_word(uint64_t *index, uint32_t mask, uint64_t word)
{
    uint32_t at = (uint32_t)(word >> 32) & mask, distance = 0;
    for (; index[at] != 0; at = (at + 1) & mask, distance++) {
        uint32_t other = ts_distance(index[at], at, mask);
        if (other < distance) { /* who is nearer to its home makes room */
            uint64_t moved = index[at];
            index[at] = word;
            word = moved;
            distance = other;
        }
    }
    index[at] = word;
}

/* A new entry at the end, found by that hash from now on; there is room for one. */
TS_INLINE uint32_t ts_insert(struct ts_order *order, struct ts_link *links, uint64_t *index, uint32_t mask, uint32_t hash)
{
    uint32_t entry = order->spare;
    if (entry != 0) {
        order->spare = links[entry - 1].newer;
    } else {
        entry = ++order->used;
    }
    ts_put_word(index, mask, (uint64_t)hash << 32 | entry);
    ts_append(order, links, entry);
    order->count++;
    return entry;
}

/* Takes out an entry of that hash: empties its index word, and shifts back those behind it that are not at home. */
TS_INLINE void ts_release(
    struct ts_order *order, struct ts_link *links, uint64_t *index, uint32_t mask, uint32_t hash, uint32_t entry)
{
    uint32_t hole = hash & mask;
    while ((uint32_t)index[hole] != entry) {
        hole = (hole + 1) & mask;
    }
    for (uint32_t at = (hole + 1) & mask; index[at] != 0 && ts_distance(index[at], at, mask) != 0; at = (at + 1) & mask) {
        index[hole] = index[at];
        hole = at;
    }
    index[hole] = 0;
    ts_unlink(order, links, entry);
    links[entry - 1].newer = order->spare;
    order->spare = entry;
    order->count--;
}

/* A loop over the entries present at its start.  The body may store to and remove the current one only. */
struct ts_walk {
    uint32_t next, left;
};

TS_INLINE struct ts_walk ts_walk_over(const struct ts_order *order)
{
    return (struct ts_walk){order->first, order->count};
}

/* The next entry; 0 at the end. */
TS_INLINE uint32_t ts_step(const struct ts_link *links, struct ts_walk *walk)
{
    if (walk->left == 0) {
        return 0;
    }
    uint32_t entry = walk->next;
    walk->left--;
    walk->next = links[entry - 1].newer;
    return entry;
}

/* ---------------------------------------------------------------- tables of one type */

/* KEY is a key as stored, ASK as asked for; HASH(ask, seed) is 64 bits, SAME(const KEY *, ask) whether they are equal,
 * KEEP(KEY *, ask) stores one.  WORDS is a power of two, at least 2 * CAPACITY. */
#define TS_TABLE(NAME, KEY, VALUE, CAPACITY, WORDS, ASK, HASH, SAME, KEEP) \
    struct NAME##_entry { \
        KEY key; \
        VALUE value; \
    }; \
    struct NAME { \
        uint64_t seed, overflow; \
        struct ts_order order; \
        uint64_t index[WORDS]; /* hash << 32 | entry; 0: nothing */ \
        struct ts_link links[CAPACITY]; \
        struct NAME##_entry entries[CAPACITY]; \
    }; \
    \
    /* Most entries are at home or beside it, and which of the two is chosen without a branch that goes either way. */ \
    TS_INLINE uint32_t NAME##_lookup(const struct NAME *table, ASK key, uint32_t hash) \
    { \
        uint32_t at = hash & ((WORDS) - 1); \
        uint64_t word = table->index[at], beside = table->index[(at + 1) & ((WORDS) - 1)]; \
        word = (uint32_t)(word >> 32) == hash ? word : beside; \
        if ((uint32_t)(word >> 32) == hash && word != 0 && SAME(&table->entries[(uint32_t)word - 1].key, key)) { \
            return (uint32_t)word; \
        } \
        for (uint32_t distance = 0; (word = table->index[at]) != 0; at = (at + 1) & ((WORDS) - 1), distance++) { \
            if ((uint32_t)(word >> 32) == hash && SAME(&table->entries[(uint32_t)word - 1].key, key)) { \
                return (uint32_t)word; \
            } \
            if (ts_distance(word, at, (WORDS) - 1) < distance) { \
                break; \
            } \
        } \
        return 0; \
    } \
    TS_INLINE VALUE *NAME##_find(struct NAME *table, ASK key) \
    { \
        uint32_t entry = NAME##_lookup(table, key, (uint32_t)HASH(key, table->seed)); \
        return entry == 0 ? NULL : &table->entries[entry - 1].value; \
    } \
    /* A new entry with a zero value for a key that has none; NULL when the table is full. */ \
    static __attribute__((unused, noinline)) VALUE *NAME##_insert(struct NAME *table, ASK key) \
    { \
        if (table->order.count == (CAPACITY)) { \
            return NULL; \
        } \
        uint32_t hash = (uint32_t)HASH(key, table->seed); \
        uint32_t entry = ts_insert(&table->order, table->links, table->index, (WORDS) - 1, hash); \
        struct NAME##_entry *made = &table->entries[entry - 1]; \
        KEEP(&made->key, key); \
        memset(&made->value, 0, sizeof made->value); \
        return &made->value; \
    } \
    /* The entry of the key, a new one if need be; NULL when the table is full. */ \
    TS_INLINE VALUE *NAME##_place(struct NAME *table, ASK key) \
    { \
        VALUE *found = NAME##_find(table, key); \
        return found != NULL ? found : NAME##_insert(table, key); \
    } \
    TS_INLINE bool NAME##_remove(struct NAME *table, ASK key) \
    { \
        uint32_t hash = (uint32_t)HASH(key, table->seed), entry = NAME##_lookup(table, key, hash); \
        if (entry != 0) { \
            ts_release(&table->order, table->links, table->index, (WORDS) - 1, hash, entry); \
        } \
        return entry != 0; \
    } \
    /* The next entry of a walk; NULL at the end. */ \
    TS_INLINE struct NAME##_entry *NAME##_step(struct NAME *table, struct ts_walk *walk) \
    { \
        uint32_t entry = ts_step(table->links, walk); \
        return entry == 0 ? NULL : &table->entries[entry - 1]; \
    }

/* What an lru adds to TS_TABLE; RECALL(const KEY *) is a stored key as asked for. */
#define TS_LRU(NAME, VALUE, CAPACITY, WORDS, ASK, HASH, RECALL) \
    /* The entry of the key, which becomes the one used last. */ \
    TS_INLINE VALUE *NAME##_use(struct NAME *table, ASK key) \
    { \
        uint32_t entry = NAME##_lookup(table, key, (uint32_t)HASH(key, table->seed)); \
        if (entry == 0) { \
            return NULL; \
        } \
        ts_unlink(&table->order, table->links, entry); \
        ts_append(&table->order, table->links, entry); \
        return &table->entries[entry - 1].value; \
    } \
    /* As `use`; a new key in a full table takes the place of the one used least recently. */ \
    TS_INLINE VALUE *NAME##_renew(struct NAME *table, ASK key) \
    { \
        VALUE *found = NAME##_use(table, key); \
        if (found == NULL && table->order.count == (CAPACITY)) { \
            uint32_t oldest = table->order.first; \
            uint32_t hash = (uint32_t)HASH(RECALL(&table->entries[oldest - 1].key), table->seed); \
            ts_release(&table->order, table->links, table->index, (WORDS) - 1, hash, oldest); \
        } \
        return found != NULL ? found : NAME##_insert(table, key); \
    }

#endif
