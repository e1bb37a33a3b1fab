/* SPDX-License-Identifier: Apache-2.0 */
/* The binary encoding of values, as core/codec.py has it: little-endian, no padding, no tags. */
#ifndef TRANSECT_CODEC_H
#define TRANSECT_CODEC_H

#include "transect.h"

/* Writes as much as fits and counts all of it: if `size > room` afterwards, the room was too small. */
struct ts_writer {
    uint8_t *data;
    size_t room, size; /* bytes */
};

TS_INLINE void ts_write_bytes(struct ts_writer *out, const void *bytes, size_t size)
{
    if (size > 0 && out->size <= out->room && size <= out->room - out->size) {
        memcpy(out->data + out->size, bytes, size);
    }
    out->size += size;
}

TS_INLINE void ts_write_u8(struct ts_writer *out, uint8_t x) { ts_write_bytes(out, &x, 1); }

TS_INLINE void ts_write_u32(struct ts_writer *out, uint32_t x)
{
    uint8_t bytes[4] = {(uint8_t)x, (uint8_t)(x >> 8), (uint8_t)(x >> 16), (uint8_t)(x >> 24)};
    ts_write_bytes(out, bytes, sizeof bytes);
}

TS_INLINE void ts_write_u64(struct ts_writer *out, uint64_t x)
{
    ts_write_u32(out, (uint32_t)x);
    ts_write_u32(out, (uint32_t)(x >> 32));
}

TS_INLINE void ts_write_i64(struct ts_writer *out, int64_t x) { ts_write_u64(out, (uint64_t)x); }
TS_INLINE void ts_write_bool(struct ts_writer *out, bool x) { ts_write_u8(out, x); }

TS_INLINE void ts_write_float(struct ts_writer *out, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    /* One NaN for all: which bits arithmetic gives depends on the machine. */
    ts_write_u64(out, x != x ? UINT64_C(0x7ff8000000000000) : bits);
}

TS_INLINE void ts_write_text(struct ts_writer *out, ts_slice text)
{
    ts_write_u32(out, text.size);
    ts_write_bytes(out, text.data, text.size);
}

/* Once something is wrong, `bad` stays set and everything reads as zero.  Texts are slices of the data. */
struct ts_reader {
    const uint8_t *data;
    size_t left; /* bytes */
    bool bad;
};

TS_INLINE const uint8_t *ts_read_bytes(struct ts_reader *in, size_t size)
{
    if (in->bad || size > in->left) {
        in->bad = true;
        return NULL;
    }
    const uint8_t *bytes = in->data;
    in->data += size;
    in->left -= size;
    return bytes;
}

TS_INLINE uint8_t ts_read_u8(struct ts_reader *in)
{
    const uint8_t *bytes = ts_read_bytes(in, 1);
    return bytes == NULL ? 0 : bytes[0];
}

TS_INLINE uint32_t ts_read_u32(struct ts_reader *in)
{
    const uint8_t *b = ts_read_bytes(in, 4);
    return b == NULL ? 0 : (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

TS_INLINE uint64_t ts_read_u64(struct ts_reader *in)
{
    uint64_t low = ts_read_u32(in);
    return low | (uint64_t)ts_read_u32(in) << 32;
}

TS_INLINE int64_t ts_read_i64(struct ts_reader *in) { return (int64_t)ts_read_u64(in); }

/* Storage of fewer bits, in [low, high]. */
TS_INLINE int64_t ts_read_within(struct ts_reader *in, int64_t low, int64_t high)
{
    int64_t x = ts_read_i64(in);
    in->bad |= x < low || x > high;
    return x;
}

/* A bool, or the tag of an Option. */
TS_INLINE bool ts_read_bool(struct ts_reader *in)
{
    uint8_t x = ts_read_u8(in);
    in->bad |= x > 1;
    return x == 1;
}

TS_INLINE double ts_read_float(struct ts_reader *in)
{
    uint64_t bits = ts_read_u64(in);
    double x;
    memcpy(&x, &bits, 8);
    return x;
}

TS_INLINE ts_slice ts_read_blob(struct ts_reader *in)
{
    uint32_t size = ts_read_u32(in);
    const uint8_t *data = ts_read_bytes(in, size);
    return data == NULL ? TS_EMPTY : (ts_slice){data, size};
}

TS_INLINE ts_slice ts_read_text(struct ts_reader *in)
{
    ts_slice text = ts_read_blob(in);
    in->bad |= !ts_is_utf8(text);
    return text;
}

TS_INLINE ts_slice ts_read_bounded(struct ts_reader *in, uint32_t bound, bool utf8)
{
    ts_slice text = utf8 ? ts_read_text(in) : ts_read_blob(in);
    in->bad |= text.size > bound;
    return text;
}

/* A count of items of at least one byte each; an impossible count sets `bad` and reads as 0. */
TS_INLINE void ts_read_limit(struct ts_reader *in, uint32_t *count)
{
    if (*count > in->left) {
        in->bad = true;
    }
    if (in->bad) {
        *count = 0;
    }
}

#endif
