/* SPDX-License-Identifier: Apache-2.0 */
/* How long something took, counted in a fixed number of buckets: four for each power of two nanoseconds, so what is read
 * from it is within an eighth of what was.  `rpc/chain/times.py` reads it.
 */
#ifndef TRANSECT_TIMES_H
#define TRANSECT_TIMES_H

#include <stdint.h>

enum { TS_TIMES = 160 }; /* the last one: 2^40 ns, 18 minutes, and above */

struct ts_times {
    uint64_t sum; /* ns */
    uint64_t buckets[TS_TIMES];
};

static inline uint32_t ts_bucket(int64_t ns) {
    uint64_t n = ns < 0 ? 0 : (uint64_t)ns;
    if (n < 4) return (uint32_t)n;
    uint32_t top = 63 - (uint32_t)__builtin_clzll(n);
    uint32_t bucket = (top - 1) * 4 + (uint32_t)(n >> (top - 2) & 3);
    return bucket < TS_TIMES ? bucket : TS_TIMES - 1;
}

/* Several threads may. */
static inline void ts_took(struct ts_times *times, int64_t ns) {
    __atomic_fetch_add(&times->sum, ns < 0 ? 0 : (uint64_t)ns, __ATOMIC_RELAXED);
    __atomic_fetch_add(&times->buckets[ts_bucket(ns)], 1, __ATOMIC_RELAXED);
}

#endif
