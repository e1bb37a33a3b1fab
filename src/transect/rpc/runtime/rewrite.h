/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a message back after some of its fields were assigned.  Emitted code copies the fields that did not change, byte
 * by byte as they came, and appends the others: the last one wins.
 */
#ifndef TRANSECT_REWRITE_H
#define TRANSECT_REWRITE_H

#include "map.h"
#include "scan.h"

struct ts_buffer {
    struct ts_arena *arena;
    uint8_t *data;
    uint32_t size, room; /* bytes */
};

TS_INLINE struct ts_buffer ts_buffer(struct ts_arena *arena) { return (struct ts_buffer){arena, NULL, 0, 0}; }
TS_INLINE ts_slice ts_written(const struct ts_buffer *out) { return (ts_slice){out->data, out->size}; }

TS_INLINE uint8_t *ts_room(struct ts_buffer *out, uint32_t size)
{
    if (size > out->room - out->size) {
        uint64_t most = UINT32_MAX, room = (out->room < 32 ? 64 : (uint64_t)out->room * 2) + size;
        if ((uint64_t)out->size + size > most) {
            __builtin_trap(); /* no message has 4 GiB; as when there is no memory */
        }
        room = room < most ? room : most;
        uint8_t *data = ts_take(out->arena, room);
        if (out->size > 0) {
            memcpy(data, out->data, out->size);
        }
        out->data = data;
        out->room = (uint32_t)room;
    }
    out->size += size;
    return out->data + out->size - size;
}

TS_INLINE void ts_put(struct ts_buffer *out, const uint8_t *data, size_t size)
{
    if (size > 0) {
        memcpy(ts_room(out, (uint32_t)size), data, size);
    }
}

TS_INLINE void ts_put_varint(struct ts_buffer *out, uint64_t value)
{
    while (value >= 0x80) {
        *ts_room(out, 1) = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *ts_room(out, 1) = (uint8_t)value;
}

/* The field at hand, from `start` (its tag) to its end. */
TS_INLINE void ts_pass(struct ts_buffer *out, struct ts_cursor *c, const uint8_t *start)
{
    if (ts_skip(c)) {
        ts_put(out, start, (size_t)(c->at - start));
    }
}

/* The field at hand goes, unless its closed enum does not name the number: then it is unknown, and stays. */
TS_INLINE void ts_pass_unnamed(struct ts_buffer *out, struct ts_cursor *c, const uint8_t *start, const int32_t *numbers, uint32_t count)
{
    uint64_t raw;
    if (ts_varint(c, &raw) && !ts_named(raw, numbers, count)) {
        ts_put(out, start, (size_t)(c->at - start));
    }
}

TS_INLINE void ts_put_number(struct ts_buffer *out, uint32_t tag, uint64_t raw)
{
    ts_put_varint(out, tag);
    switch (tag & 7) {
    case TS_FIXED64:
        memcpy(ts_room(out, 8), &raw, 8);
        break;
    case TS_FIXED32:
        memcpy(ts_room(out, 4), &raw, 4);
        break;
    default:
        ts_put_varint(out, raw);
        break;
    }
}

TS_INLINE void ts_put_slice(struct ts_buffer *out, uint32_t tag, ts_slice content)
{
    ts_put_varint(out, tag);
    if ((tag & 7) == TS_START_GROUP) {
        ts_put(out, content.data, content.size);
        ts_put_varint(out, (tag & ~7u) | TS_END_GROUP);
    } else {
        ts_put_varint(out, content.size);
        ts_put(out, content.data, content.size);
    }
}

/* From values to what stands on the wire.  Which NaN arithmetic gives depends on the machine: one for all. */
TS_INLINE uint64_t ts_raw_zigzag(int64_t value) { return ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0); }

TS_INLINE uint64_t ts_raw_double(double value)
{
    uint64_t raw;
    memcpy(&raw, &value, 8);
    return value != value ? UINT64_C(0x7ff8000000000000) : raw;
}

/* Rounded to 32 bits; too large: infinite. */
TS_INLINE uint64_t ts_raw_float(double value)
{
    float single = (float)value;
    uint32_t raw;
    memcpy(&raw, &single, 4);
    return single != single ? UINT32_C(0x7fc00000) : raw;
}

#endif
