/* SPDX-License-Identifier: Apache-2.0 */
/* Reading serialised protobuf messages.  Emitted code walks each message once, from `ts_next` to `ts_next`, and takes the
 * fields that the chain needs; this file knows varints, tags, groups and bounds.
 *
 * A cursor which has met something malformed stays so, and ends the walk.  What is malformed here is malformed for
 * protobuf's own readers, and the other way round.  Nothing is copied: texts are slices of the message.
 */
#ifndef TRANSECT_SCAN_H
#define TRANSECT_SCAN_H

#include "call.h"
#include "transect.h"

#define TS_MAX_DEPTH 100           /* nested messages and groups, as protobuf's own readers have it */
#define TS_MAX_FIELD UINT32_C(0x7fffffff) /* bytes */

enum ts_wire { TS_VARINT, TS_FIXED64, TS_SIZED, TS_START_GROUP, TS_END_GROUP, TS_FIXED32 };

struct ts_cursor {
    const uint8_t *at, *end;
    uint32_t tag;   /* of the field at hand; its content begins at `at` */
    int depth;      /* how many levels may still open */
    bool malformed;
    struct ts_arena *arena;
};

TS_INLINE struct ts_cursor ts_cursor(ts_slice message, struct ts_arena *arena)
{
    return (struct ts_cursor){message.data, message.data + message.size, 0, TS_MAX_DEPTH, false, arena};
}

/* False, so that the caller may return it. */
TS_INLINE bool ts_malformed(struct ts_cursor *c)
{
    c->malformed = true;
    c->at = c->end;
    return false;
}

TS_INLINE void *ts_take_zeroed(struct ts_arena *arena, size_t size)
{
    return memset(ts_take(arena, size), 0, size);
}

/* ---------------------------------------------------------------- numbers */

struct ts_long {
    uint64_t value;
    const uint8_t *at; /* behind it; NULL: malformed */
};

/* At most `most` bytes; bits beyond 64 are dropped.  By value: a cursor whose address nobody takes stays in registers. */
static __attribute__((unused, noinline)) struct ts_long ts_long_varint(const uint8_t *at, const uint8_t *end, unsigned most)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < most && at + i < end; i++) {
        uint64_t byte = at[i];
        sum |= (byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            return (struct ts_long){sum, at + i + 1};
        }
    }
    return (struct ts_long){0, NULL};
}

TS_INLINE bool ts_varint_of(struct ts_cursor *c, uint64_t *value, unsigned most)
{
    if (__builtin_expect(c->at < c->end && *c->at < 0x80, 1)) {
        *value = *c->at++;
        return true;
    }
    struct ts_long found = ts_long_varint(c->at, c->end, most);
    if (found.at == NULL) {
        return ts_malformed(c);
    }
    *value = found.value;
    c->at = found.at;
    return true;
}

TS_INLINE bool ts_varint(struct ts_cursor *c, uint64_t *value) { return ts_varint_of(c, value, 10); }

/* Tags and sizes have at most five bytes. */
TS_INLINE bool ts_short_varint(struct ts_cursor *c, uint64_t *value) { return ts_varint_of(c, value, 5); }

TS_INLINE bool ts_fixed64(struct ts_cursor *c, uint64_t *value)
{
    if (c->end - c->at < 8) {
        return ts_malformed(c);
    }
    *value = ts_load64(c->at);
    c->at += 8;
    return true;
}

TS_INLINE bool ts_fixed32(struct ts_cursor *c, uint64_t *value)
{
    if (c->end - c->at < 4) {
        return ts_malformed(c);
    }
    *value = ts_load32(c->at);
    c->at += 4;
    return true;
}

/* The raw number under a wire type. */
TS_INLINE bool ts_number(struct ts_cursor *c, enum ts_wire wire, uint64_t *value)
{
    return wire == TS_VARINT ? ts_varint(c, value) : wire == TS_FIXED64 ? ts_fixed64(c, value) : ts_fixed32(c, value);
}

TS_INLINE int64_t ts_signed32(uint64_t raw) { return (int32_t)(uint32_t)raw; }
TS_INLINE int64_t ts_signed64(uint64_t raw) { return (int64_t)raw; }
TS_INLINE int64_t ts_unsigned32(uint64_t raw) { return (int64_t)(raw & 0xffffffffu); }
TS_INLINE int64_t ts_zigzag(uint64_t raw) { return (int64_t)(raw >> 1 ^ (0 - (raw & 1))); }
TS_INLINE int64_t ts_zigzag32(uint64_t raw) { return ts_zigzag(raw & 0xffffffffu); }

TS_INLINE double ts_double(uint64_t raw)
{
    double value;
    memcpy(&value, &raw, 8);
    return value;
}

TS_INLINE double ts_float(uint64_t raw)
{
    uint32_t bits = (uint32_t)raw;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/* ---------------------------------------------------------------- fields */

/* Whether there is a next field; its tag is in `tag` then. */
TS_INLINE bool ts_next(struct ts_cursor *c)
{
    uint64_t tag;
    if (c->at >= c->end || !ts_short_varint(c, &tag)) {
        return false;
    }
    if (tag < 8 || tag > 0xffffffffu || (tag & 7) > TS_FIXED32) {
        return ts_malformed(c);
    }
    c->tag = (uint32_t)tag;
    return true;
}

TS_INLINE bool ts_sized(struct ts_cursor *c, ts_slice *content)
{
    uint64_t size;
    if (!ts_short_varint(c, &size)) {
        return false;
    }
    if (size > TS_MAX_FIELD || size > (uint64_t)(c->end - c->at)) {
        return ts_malformed(c);
    }
    *content = (ts_slice){c->at, (uint32_t)size};
    c->at += size;
    return true;
}

static __attribute__((unused, noinline)) bool ts_is_long_utf8(ts_slice text) { return ts_is_utf8(text); }

#define TS_HIGH_BITS UINT64_C(0x8080808080808080)

/* Whether a text of at most 16 bytes is ASCII. */
TS_INLINE bool ts_is_short_ascii(ts_slice text)
{
    const uint8_t *p = text.data;
    uint32_t size = text.size;
    if (size >= 8) {
        return size <= 16 && ((ts_load64(p) | ts_load64(p + size - 8)) & TS_HIGH_BITS) == 0;
    }
    if (size >= 4) {
        return ((ts_load32(p) | ts_load32(p + size - 4)) & TS_HIGH_BITS) == 0;
    }
    return size == 0 || ((p[0] | p[size / 2] | p[size - 1]) & 0x80) == 0;
}

/* A text that some element reads. */
TS_INLINE bool ts_text(struct ts_cursor *c, ts_slice *content)
{
    return ts_sized(c, content) && (ts_is_short_ascii(*content) || ts_is_long_utf8(*content) || ts_malformed(c));
}

/* Where a group's content ends, groups within it included; what follows the group begins at `*after`.  NULL: malformed. */
static __attribute__((unused, noinline)) const uint8_t *ts_group_end(struct ts_cursor c, const uint8_t **after)
{
    uint32_t open[TS_MAX_DEPTH]; /* field numbers */
    int level = 0;
    if (c.depth == 0) {
        return NULL;
    }
    open[level++] = c.tag >> 3;
    for (const uint8_t *before = c.at; ts_next(&c); before = c.at) {
        uint64_t number;
        ts_slice within;
        switch (c.tag & 7) {
        case TS_START_GROUP:
            if (level == c.depth) {
                return NULL;
            }
            open[level++] = c.tag >> 3;
            break;
        case TS_END_GROUP:
            if (c.tag >> 3 != open[--level]) {
                return NULL;
            }
            if (level == 0) {
                *after = c.at;
                return before;
            }
            break;
        case TS_SIZED:
            ts_sized(&c, &within);
            break;
        default:
            ts_number(&c, (enum ts_wire)(c.tag & 7), &number);
            break;
        }
    }
    return NULL; /* cut short */
}

/* What stands between a group's two tags. */
TS_INLINE bool ts_group(struct ts_cursor *c, ts_slice *content)
{
    const uint8_t *after, *end = ts_group_end(*c, &after);
    if (end == NULL) {
        return ts_malformed(c);
    }
    *content = (ts_slice){c->at, (uint32_t)(end - c->at)};
    c->at = after;
    return true;
}

/* Pass over a field which nobody needs, or which came under another wire type. */
TS_INLINE bool ts_skip(struct ts_cursor *c)
{
    uint64_t number;
    ts_slice content;
    switch (c->tag & 7) {
    case TS_SIZED:
        return ts_sized(c, &content);
    case TS_START_GROUP:
        return ts_group(c, &content);
    case TS_END_GROUP:
        return ts_malformed(c);
    default:
        return ts_number(c, (enum ts_wire)(c->tag & 7), &number);
    }
}

/* A sub-message's content: sized, or between the tags of a group. */
TS_INLINE bool ts_content(struct ts_cursor *c, ts_slice *content)
{
    return (c->tag & 7) == TS_SIZED ? ts_sized(c, content) : ts_group(c, content);
}

/* A cursor over a sub-message's content; `ts_leave` hands back what it met. */
TS_INLINE bool ts_enter(struct ts_cursor *c, ts_slice content, struct ts_cursor *inner)
{
    if (c->depth == 0) {
        return ts_malformed(c);
    }
    *inner = ts_cursor(content, c->arena);
    inner->depth = c->depth - 1;
    return true;
}

TS_INLINE bool ts_leave(struct ts_cursor *c, const struct ts_cursor *inner)
{
    return !inner->malformed || ts_malformed(c);
}

/* Whether a closed enum names the number. */
TS_INLINE bool ts_named(uint64_t raw, const int32_t *numbers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (numbers[i] == (int32_t)(uint32_t)raw) {
            return true;
        }
    }
    return false;
}

/* ---------------------------------------------------------------- repeated fields */

/* Where the values stand: a packed run is one piece, a text or message one piece each. */
struct ts_pieces {
    ts_slice *items;
    uint32_t count, room;
    uint64_t length; /* values */
};

TS_INLINE void ts_add_piece(struct ts_arena *arena, struct ts_pieces *pieces, ts_slice piece)
{
    if (pieces->count == pieces->room) {
        uint32_t room = pieces->room == 0 ? 4 : pieces->room * 2;
        ts_slice *items = ts_take(arena, room * sizeof *items);
        if (pieces->count > 0) {
            memcpy(items, pieces->items, pieces->count * sizeof *items);
        }
        pieces->items = items;
        pieces->room = room;
    }
    pieces->items[pieces->count++] = piece;
}

/* Numbers, packed or one by one; `numbers` of a closed enum, else NULL. */
static __attribute__((unused)) bool ts_take_numbers(struct ts_cursor *c, struct ts_pieces *into, enum ts_wire wire, const int32_t *numbers, uint32_t count)
{
    struct ts_cursor run = *c;
    ts_slice content;
    uint64_t raw, length = 0;
    if ((c->tag & 7) == TS_SIZED) {
        if (!ts_sized(c, &content)) {
            return false;
        }
        run = ts_cursor(content, c->arena);
        while (run.at < run.end && ts_number(&run, wire, &raw)) {
            length += numbers == NULL || ts_named(raw, numbers, count);
        }
        if (!ts_leave(c, &run)) {
            return false;
        }
    } else {
        const uint8_t *start = c->at;
        if (!ts_number(c, wire, &raw)) {
            return false;
        }
        content = (ts_slice){start, (uint32_t)(c->at - start)};
        length = numbers == NULL || ts_named(raw, numbers, count);
    }
    if (length > 0) {
        ts_add_piece(c->arena, into, content);
        into->length += length;
    }
    return true;
}

/* Texts (checked) or bytes. */
static __attribute__((unused)) bool ts_take_sized(struct ts_cursor *c, struct ts_pieces *into, bool text)
{
    ts_slice content;
    if (text ? !ts_text(c, &content) : !ts_sized(c, &content)) {
        return false;
    }
    ts_add_piece(c->arena, into, content);
    into->length++;
    return true;
}

/* Going over the numbers of a repeated field; the caller stops after `length` of them. */
struct ts_numbers {
    const struct ts_pieces *of;
    uint32_t next;
    struct ts_cursor run;
};

TS_INLINE struct ts_numbers ts_numbers(const struct ts_pieces *of)
{
    return (struct ts_numbers){of, 0, {NULL, NULL, 0, 0, false, NULL}};
}

TS_INLINE bool ts_next_number(struct ts_numbers *each, enum ts_wire wire, uint64_t *raw)
{
    while (each->run.at >= each->run.end) {
        if (each->next == each->of->count) {
            return false;
        }
        each->run = ts_cursor(each->of->items[each->next++], NULL);
    }
    return ts_number(&each->run, wire, raw);
}

TS_INLINE bool ts_next_named(struct ts_numbers *each, enum ts_wire wire, const int32_t *numbers, uint32_t count, uint64_t *raw)
{
    while (ts_next_number(each, wire, raw)) {
        if (ts_named(*raw, numbers, count)) {
            return true;
        }
    }
    return false;
}

#endif
