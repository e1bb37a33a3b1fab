/* SPDX-License-Identifier: Apache-2.0 */
/* Which words have been heard: memory that all versions of a chain share.
 *
 * A word belongs to the table of the time at which it ends, wherever and whenever it is heard, so that one step decides
 * which of two that come at once is the second.  Words that live have four such times at most; a table is used again when
 * all that it holds have died.  All zero, it has heard nothing.
 */
#ifndef TRANSECT_HEARD_H
#define TRANSECT_HEARD_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { TS_HEARD_TABLES = 4, TS_HEARD_BITS = 19, TS_HEARD_SLOTS = 1 << TS_HEARD_BITS, TS_HEARD_MOST = TS_HEARD_SLOTS / 8 * 7 };
#define TS_HEARD_MS 12000u /* of one table; three of them outlast a word: 30 s, and 5 s by which a clock may differ */
#define TS_HEARD_CLEARING UINT64_MAX
#define TS_HEARD_PATIENCE 100000 /* times that others are let go first while one clears a table, which takes a millisecond */

struct ts_heard_table {
    uint64_t age; /* 1 + the ends of its words / TS_HEARD_MS; 0: it has none */
    uint64_t many;
    uint64_t nonces[TS_HEARD_SLOTS]; /* 0: free */
};

struct ts_heard {
    struct ts_heard_table tables[TS_HEARD_TABLES];
};

enum ts_heard_as { TS_HEARD_NEW, TS_HEARD_AGAIN, TS_HEARD_FULL, TS_HEARD_DEAD };

/* True: it is of this age now.  False, with `why`: it is of the next words already, or somebody clears it for too long. */
static inline bool ts_heard_of_age(struct ts_heard_table *table, uint64_t age, enum ts_heard_as *why)
{
    for (int tries = 0; tries < TS_HEARD_PATIENCE; tries++) {
        uint64_t now = __atomic_load_n(&table->age, __ATOMIC_ACQUIRE);
        if (now == age) {
            return true;
        }
        if (now == age + TS_HEARD_TABLES) {
            *why = TS_HEARD_DEAD;
            return false;
        }
        if (now == TS_HEARD_CLEARING) {
            sched_yield();
            continue;
        }
        /* Older; or so much younger that the clock has been put back, and what was heard says nothing any more. */
        if (__atomic_compare_exchange_n(&table->age, &now, TS_HEARD_CLEARING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            memset(table->nonces, 0, sizeof table->nonces);
            __atomic_store_n(&table->many, 0, __ATOMIC_RELAXED);
            __atomic_store_n(&table->age, age, __ATOMIC_RELEASE);
        }
    }
    *why = TS_HEARD_FULL;
    return false;
}

/* Puts it there, unless it is. */
static inline enum ts_heard_as ts_heard_put(struct ts_heard_table *table, uint64_t nonce)
{
    if (__atomic_load_n(&table->many, __ATOMIC_RELAXED) >= TS_HEARD_MOST) {
        return TS_HEARD_FULL;
    }
    uint64_t at = nonce * UINT64_C(0x9e3779b97f4a7c15) >> (64 - TS_HEARD_BITS);
    for (uint64_t tries = 0; tries < TS_HEARD_SLOTS; tries++, at = (at + 1) % TS_HEARD_SLOTS) {
        uint64_t there = 0;
        if (__atomic_compare_exchange_n(&table->nonces[at], &there, nonce, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            __atomic_fetch_add(&table->many, 1, __ATOMIC_RELAXED);
            return TS_HEARD_NEW;
        }
        if (there == nonce) {
            return TS_HEARD_AGAIN;
        }
    }
    return TS_HEARD_FULL;
}

/* Any number of threads and processes at once: of those that hear a word, one hears it first. */
static inline enum ts_heard_as ts_heard(struct ts_heard *heard, uint64_t nonce, uint64_t ends_ms)
{
    uint64_t age = 1 + ends_ms / TS_HEARD_MS;
    struct ts_heard_table *table = &heard->tables[age % TS_HEARD_TABLES];
    enum ts_heard_as as;
    if (!ts_heard_of_age(table, age, &as)) {
        return as;
    }
    as = ts_heard_put(table, nonce ? nonce : 1);
    /* Whoever was held up so long that the table was cleared meanwhile knows nothing. */
    return __atomic_load_n(&table->age, __ATOMIC_ACQUIRE) == age ? as : TS_HEARD_DEAD;
}

#endif
