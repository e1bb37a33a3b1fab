/* SPDX-License-Identifier: Apache-2.0 */
/* LZ4 blocks, each behind its original size.  `rpc/functions/lz4.py` is the twin, and takes the same matches. */
#ifndef TRANSECT_LZ4_H
#define TRANSECT_LZ4_H

#include "seal.h"

enum { TS_LZ4_BITS = 12, TS_LZ4_LEAST = 4, TS_LZ4_LITERALS = 5, TS_LZ4_LAST = 12, TS_LZ4_FARTHEST = 65535 };

struct ts_lz4 {
    uint8_t *out;
    size_t size;
};

/* Bytes that a block of `size` bytes takes at most. */
TS_INLINE size_t ts_lz4_most(uint32_t size) { return (size_t)size + size / 255 + 24; }

TS_INLINE void ts_lz4_longer(struct ts_lz4 *to, uint32_t count)
{
    if (count < 15) {
        return;
    }
    for (count -= 15; count >= 255; count -= 255) {
        to->out[to->size++] = 255;
    }
    to->out[to->size++] = (uint8_t)count;
}

TS_INLINE void ts_lz4_sequence(struct ts_lz4 *to, const uint8_t *literals, uint32_t count, uint32_t more)
{
    to->out[to->size++] = (uint8_t)((count < 15 ? count : 15) << 4 | (more < 15 ? more : 15));
    ts_lz4_longer(to, count);
    if (count > 0) {
        memcpy(to->out + to->size, literals, count);
    }
    to->size += count;
}

/* `out` has room for `ts_lz4_most`; bytes written. */
static __attribute__((unused)) size_t ts_lz4_compress(const uint8_t *plain, uint32_t size, uint8_t *out)
{
    uint32_t seen[1 << TS_LZ4_BITS] = {0}; /* position + 1 */
    struct ts_lz4 to = {out, 4};
    uint32_t at = 0, anchor = 0;
    ts_put_le32(out, size);
    while (size >= TS_LZ4_LAST && at <= size - TS_LZ4_LAST) {
        uint32_t word = ts_le32(plain + at), slot = word * 2654435761u >> (32 - TS_LZ4_BITS);
        uint32_t before = seen[slot];
        seen[slot] = at + 1;
        if (before == 0 || at - (before - 1) > TS_LZ4_FARTHEST || ts_le32(plain + before - 1) != word) {
            at++;
            continue;
        }
        uint32_t back = at - (before - 1), end = at + TS_LZ4_LEAST;
        while (end < size - TS_LZ4_LITERALS && plain[end] == plain[end - back]) {
            end++;
        }
        ts_lz4_sequence(&to, plain + anchor, at - anchor, end - at - TS_LZ4_LEAST);
        out[to.size++] = (uint8_t)back;
        out[to.size++] = (uint8_t)(back >> 8);
        ts_lz4_longer(&to, end - at - TS_LZ4_LEAST);
        at = anchor = end;
    }
    ts_lz4_sequence(&to, plain == NULL ? NULL : plain + anchor, size - anchor, 0);
    return to.size;
}

/* A count that begins in a token; false: the block ends within it.  64 bits cannot overflow within 4 GiB. */
TS_INLINE bool ts_lz4_count(ts_slice packed, uint32_t *at, uint64_t *count)
{
    if (*count < 15) {
        return true;
    }
    uint8_t byte;
    do {
        if (*at == packed.size) {
            return false;
        }
        byte = packed.data[(*at)++];
        *count += byte;
    } while (byte == 255);
    return true;
}

/* Exactly `size` bytes to `out`; false: the block is damaged. */
static __attribute__((unused)) bool ts_lz4_expand(ts_slice packed, uint8_t *out, uint32_t size)
{
    uint32_t at = 4, made = 0;
    for (;;) {
        if (at == packed.size) {
            return false;
        }
        uint8_t token = packed.data[at++];
        uint64_t literals = token >> 4, length = token & 15;
        if (!ts_lz4_count(packed, &at, &literals) || literals > packed.size - at || literals > size - made) {
            return false;
        }
        if (literals > 0) {
            memcpy(out + made, packed.data + at, literals);
        }
        at += (uint32_t)literals;
        made += (uint32_t)literals;
        if (at == packed.size) {
            return made == size;
        }
        if (packed.size - at < 2) {
            return false;
        }
        uint32_t back = packed.data[at] | (uint32_t)packed.data[at + 1] << 8;
        at += 2;
        if (!ts_lz4_count(packed, &at, &length)) {
            return false;
        }
        length += TS_LZ4_LEAST;
        if (back == 0 || back > made || length > size - made) {
            return false;
        }
        for (; length > 0; length--, made++) {
            out[made] = out[made - back];
        }
    }
}

#endif
