/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded hash tables whose loops go in order of insertion: table, tally and lru.
 *
 * All zero is an empty table.  The index is open addressing with linear probing and backward shift; an index word holds
 * 32 bits of the key's hash and an entry's number, so that a probe reads no other entry.  Entries are linked in order of
 * insertion (lru: of last use).  Numbers of entries count from 1; 0 is none.
 */
#ifndef TRANSECT_TABLE_H
#define TRANSECT_TABLE_H

#include "transect.h"

/* A loop over the entries present at its start.  The body may store to and remove the current one only. */
struct ts_walk {
    uint32_t next, left;
};

/* Keys which an adapter hands out: small numbers, never chosen by a stranger, so neighbours make the best hash. */
TS_INLINE uint64_t ts_hash_handle(uint64_t key, uint64_t seed)
{
    (void)seed;
    return key;
}

/* KEY is a key as stored, ASK as asked for; HASH(ask, seed) is 64 bits, SAME(const KEY *, ask) whether they are equal,
 * KEEP(KEY *, ask) stores one.  WORDS is a power of two, at least 2 * CAPACITY. */
#define TS_TABLE(NAME, KEY, VALUE, CAPACITY, WORDS, ASK, HASH, SAME, KEEP) \
    struct NAME##_entry { \
        KEY key; \
        uint32_t older, newer; \
        VALUE value; \
    }; \
    struct NAME { \
        uint64_t seed, overflow; \
        uint32_t count; \
        uint32_t used;         /* entries that ever held something */ \
        uint32_t spare;        /* the first of those that hold nothing any more, linked by `newer` */ \
        uint32_t first, last;  /* in order of insertion */ \
        uint64_t index[WORDS]; /* hash << 32 | entry; 0: nothing */ \
        struct NAME##_entry entries[CAPACITY]; \
    }; \
    \
    TS_INLINE uint32_t NAME##_lookup(const struct NAME *table, ASK key, uint32_t hash) \
    { \
        for (uint32_t at = hash & ((WORDS) - 1); table->index[at] != 0; at = (at + 1) & ((WORDS) - 1)) { \
            uint32_t entry = (uint32_t)table->index[at]; \
            if ((uint32_t)(table->index[at] >> 32) == hash && SAME(&table->entries[entry - 1].key, key)) { \
                return entry; \
            } \
        } \
        return 0; \
    } \
    TS_INLINE VALUE *NAME##_find(struct NAME *table, ASK key) \
    { \
        uint32_t entry = NAME##_lookup(table, key, (uint32_t)HASH(key, table->seed)); \
        return entry == 0 ? NULL : &table->entries[entry - 1].value; \
    } \
    TS_INLINE void NAME##_append(struct NAME *table, uint32_t entry) \
    { \
        table->entries[entry - 1].older = table->last; \
        table->entries[entry - 1].newer = 0; \
        if (table->last == 0) { \
            table->first = entry; \
        } else { \
            table->entries[table->last - 1].newer = entry; \
        } \
        table->last = entry; \
    } \
    TS_INLINE void NAME##_unlink(struct NAME *table, uint32_t entry) \
    { \
        uint32_t older = table->entries[entry - 1].older, newer = table->entries[entry - 1].newer; \
        if (older == 0) { \
            table->first = newer; \
        } else { \
            table->entries[older - 1].newer = newer; \
        } \
        if (newer == 0) { \
            table->last = older; \
        } else { \
            table->entries[newer - 1].older = older; \
        } \
    } \
    /* The entry of the key, a new one with a zero value if need be; NULL when the table is full. */ \
    TS_INLINE VALUE *NAME##_place(struct NAME *table, ASK key) \
    { \
        uint32_t hash = (uint32_t)HASH(key, table->seed), entry = NAME##_lookup(table, key, hash); \
        if (entry != 0) { \
            return &table->entries[entry - 1].value; \
        } \
        if (table->count == (CAPACITY)) { \
            return NULL; \
        } \
        entry = table->spare; \
        if (entry != 0) { \
            table->spare = table->entries[entry - 1].newer; \
        } else { \
            entry = ++table->used; \
        } \
        struct NAME##_entry *made = &table->entries[entry - 1]; \
        KEEP(&made->key, key); \
        memset(&made->value, 0, sizeof made->value); \
        uint32_t at = hash & ((WORDS) - 1); \
        while (table->index[at] != 0) { \
            at = (at + 1) & ((WORDS) - 1); \
        } \
        table->index[at] = (uint64_t)hash << 32 | entry; \
        NAME##_append(table, entry); \
        table->count++; \
        return &made->value; \
    } \
    /* Empty the index word, and shift back what had to make way for it. */ \
    TS_INLINE void NAME##_release(struct NAME *table, uint32_t hole) \
    { \
        uint32_t entry = (uint32_t)table->index[hole]; \
        for (uint32_t at = (hole + 1) & ((WORDS) - 1); table->index[at] != 0; at = (at + 1) & ((WORDS) - 1)) { \
            uint32_t home = (uint32_t)(table->index[at] >> 32) & ((WORDS) - 1); \
            if (((at - home) & ((WORDS) - 1)) >= ((at - hole) & ((WORDS) - 1))) { \
                table->index[hole] = table->index[at]; \
                hole = at; \
            } \
        } \
        table->index[hole] = 0; \
        NAME##_unlink(table, entry); \
        table->entries[entry - 1].newer = table->spare; \
        table->spare = entry; \
        table->count--; \
    } \
    TS_INLINE uint32_t NAME##_word(const struct NAME *table, uint32_t hash, uint32_t entry) \
    { \
        uint32_t at = hash & ((WORDS) - 1); \
        while ((uint32_t)table->index[at] != entry) { \
            at = (at + 1) & ((WORDS) - 1); \
        } \
        return at; \
    } \
    TS_INLINE bool NAME##_remove(struct NAME *table, ASK key) \
    { \
        uint32_t hash = (uint32_t)HASH(key, table->seed), entry = NAME##_lookup(table, key, hash); \
        if (entry == 0) { \
            return false; \
        } \
        NAME##_release(table, NAME##_word(table, hash, entry)); \
        return true; \
    } \
    TS_INLINE struct ts_walk NAME##_walk(const struct NAME *table) \
    { \
        return (struct ts_walk){table->first, table->count}; \
    } \
    /* The next entry; NULL at the end. */ \
    TS_INLINE struct NAME##_entry *NAME##_step(struct NAME *table, struct ts_walk *walk) \
    { \
        if (walk->left == 0) { \
            return NULL; \
        } \
        struct NAME##_entry *entry = &table->entries[walk->next - 1]; \
        walk->left--; \
        walk->next = entry->newer; \
        return entry; \
    }

/* What an lru adds to TS_TABLE; RECALL(const KEY *) is a stored key as asked for. */
#define TS_LRU(NAME, VALUE, CAPACITY, ASK, HASH, RECALL) \
    /* The entry of the key, which becomes the one used last. */ \
    TS_INLINE VALUE *NAME##_use(struct NAME *table, ASK key) \
    { \
        uint32_t entry = NAME##_lookup(table, key, (uint32_t)HASH(key, table->seed)); \
        if (entry == 0) { \
            return NULL; \
        } \
        NAME##_unlink(table, entry); \
        NAME##_append(table, entry); \
        return &table->entries[entry - 1].value; \
    } \
    /* As `use`; a new key in a full table takes the place of the one used least recently. */ \
    TS_INLINE VALUE *NAME##_renew(struct NAME *table, ASK key) \
    { \
        VALUE *found = NAME##_use(table, key); \
        if (found == NULL && table->count == (CAPACITY)) { \
            uint32_t oldest = table->first; \
            uint32_t hash = (uint32_t)HASH(RECALL(&table->entries[oldest - 1].key), table->seed); \
            NAME##_release(table, NAME##_word(table, hash, oldest)); \
        } \
        return found != NULL ? found : NAME##_place(table, key); \
    }

#endif
