/* SPDX-License-Identifier: Apache-2.0 */
/* `hash64`: a hash that is the same in every target, on every machine and in every version: XXH64, with the seed given.
 *
 * Bytes are read as they lie, least significant first: the targets are little-endian.  It keeps nobody from choosing
 * texts that meet; the hash of tables, whose seed is a secret, is `ts_hash_text`. */
#ifndef TRANSECT_STABLE_H
#define TRANSECT_STABLE_H

#include "transect.h"

#define TS_XXH_1 0x9E3779B185EBCA87u
#define TS_XXH_2 0xC2B2AE3D27D4EB4Fu
#define TS_XXH_3 0x165667B19E3779F9u
#define TS_XXH_4 0x85EBCA77C2B2AE63u
#define TS_XXH_5 0x27D4EB2F165667C5u

TS_INLINE uint64_t ts_rotated(uint64_t x, int by) { return x << by | x >> (64 - by); }
TS_INLINE uint64_t ts_xxh_round(uint64_t lane, uint64_t word) { return ts_rotated(lane + word * TS_XXH_2, 31) * TS_XXH_1; }
TS_INLINE uint64_t ts_xxh_word(uint64_t hash, uint64_t word)
{
    return ts_rotated(hash ^ ts_xxh_round(0, word), 27) * TS_XXH_1 + TS_XXH_4;
}

TS_INLINE uint64_t ts_xxh_end(uint64_t hash)
{
    hash = (hash ^ hash >> 33) * TS_XXH_2;
    hash = (hash ^ hash >> 29) * TS_XXH_3;
    return hash ^ hash >> 32;
}

/* Four lanes of eight bytes, as far as there are 32 bytes together; where the rest begins. */
TS_INLINE const uint8_t *ts_xxh_lanes(const uint8_t *p, const uint8_t *end, uint64_t seed, uint64_t *hash)
{
    uint64_t lanes[4] = {seed + TS_XXH_1 + TS_XXH_2, seed + TS_XXH_2, seed, seed - TS_XXH_1};
    for (; end - p >= 32; p += 32) {
        for (int i = 0; i < 4; i++) {
            lanes[i] = ts_xxh_round(lanes[i], ts_load64(p + 8 * i));
        }
    }
    *hash = ts_rotated(lanes[0], 1) + ts_rotated(lanes[1], 7) + ts_rotated(lanes[2], 12) + ts_rotated(lanes[3], 18);
    for (int i = 0; i < 4; i++) {
        *hash = (*hash ^ ts_xxh_round(0, lanes[i])) * TS_XXH_1 + TS_XXH_4;
    }
    return p;
}

/* Of the bytes of a text. */
static __attribute__((unused)) uint64_t ts_hash64(ts_slice text, uint64_t seed)
{
    const uint8_t *p = text.data, *end = p + text.size;
    uint64_t hash = seed + TS_XXH_5;
    if (text.size >= 32) {
        p = ts_xxh_lanes(p, end, seed, &hash);
    }
    hash += text.size;
    for (; end - p >= 8; p += 8) {
        hash = ts_xxh_word(hash, ts_load64(p));
    }
    if (end - p >= 4) {
        hash = ts_rotated(hash ^ ts_load32(p) * TS_XXH_1, 23) * TS_XXH_2 + TS_XXH_3;
        p += 4;
    }
    for (; p != end; p++) {
        hash = ts_rotated(hash ^ *p * TS_XXH_5, 11) * TS_XXH_1;
    }
    return ts_xxh_end(hash);
}

/* Of the eight bytes of a number. */
TS_INLINE uint64_t ts_hash64_word(uint64_t x, uint64_t seed) { return ts_xxh_end(ts_xxh_word(seed + TS_XXH_5 + 8, x)); }

#endif
