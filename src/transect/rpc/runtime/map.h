/* SPDX-License-Identifier: Apache-2.0 */
/* Map fields: entries in the order in which their keys first appeared; of several with one key the last one counts. */
#ifndef TRANSECT_MAP_H
#define TRANSECT_MAP_H

#include "scan.h"

/* Of a field; numbered as descriptors do. */
enum ts_kind {
    TS_KIND_DOUBLE = 1,
    TS_KIND_FLOAT,
    TS_KIND_INT64,
    TS_KIND_UINT64,
    TS_KIND_INT32,
    TS_KIND_FIXED64,
    TS_KIND_FIXED32,
    TS_KIND_BOOL,
    TS_KIND_STRING,
    TS_KIND_GROUP,
    TS_KIND_MESSAGE,
    TS_KIND_BYTES,
    TS_KIND_UINT32,
    TS_KIND_ENUM,
    TS_KIND_SFIXED32,
    TS_KIND_SFIXED64,
    TS_KIND_SINT32,
    TS_KIND_SINT64
};

/* A key or a value: a number widened to 64 bits (floats: their bits), or a slice. */
struct ts_datum {
    uint64_t number;
    ts_slice content;
};

struct ts_entry {
    struct ts_datum key, value;
};

struct ts_map {
    struct ts_entry *items;
    uint32_t count, room;
    uint32_t *index; /* numbers of items from 1, by hash; 0: nothing */
    uint32_t words;  /* a power of two, at least 2 * count */
};

/* What the entries of one map field look like. */
struct ts_entry_shape {
    enum ts_kind key, value;
    const int32_t *numbers; /* of a closed enum, else NULL */
    uint32_t number_count;
    void (*check)(struct ts_cursor *inner); /* walks a message value */
};

TS_INLINE enum ts_wire ts_wire_of(enum ts_kind kind)
{
    switch (kind) {
    case TS_KIND_DOUBLE:
    case TS_KIND_FIXED64:
    case TS_KIND_SFIXED64:
        return TS_FIXED64;
    case TS_KIND_FLOAT:
    case TS_KIND_FIXED32:
    case TS_KIND_SFIXED32:
        return TS_FIXED32;
    case TS_KIND_STRING:
    case TS_KIND_BYTES:
    case TS_KIND_MESSAGE:
        return TS_SIZED;
    case TS_KIND_GROUP:
        return TS_START_GROUP;
    default:
        return TS_VARINT;
    }
}

TS_INLINE uint64_t ts_widened(enum ts_kind kind, uint64_t raw)
{
    switch (kind) {
    case TS_KIND_INT32:
    case TS_KIND_ENUM:
    case TS_KIND_SFIXED32:
        return (uint64_t)ts_signed32(raw);
    case TS_KIND_UINT32:
    case TS_KIND_FIXED32:
    case TS_KIND_FLOAT:
        return raw & 0xffffffffu;
    case TS_KIND_SINT32:
        return (uint64_t)ts_zigzag32(raw);
    case TS_KIND_SINT64:
        return (uint64_t)ts_zigzag(raw);
    case TS_KIND_BOOL:
        return raw != 0;
    default:
        return raw;
    }
}

TS_INLINE bool ts_take_datum(struct ts_cursor *c, enum ts_kind kind, struct ts_datum *datum)
{
    uint64_t raw;
    switch (kind) {
    case TS_KIND_STRING:
        return ts_text(c, &datum->content);
    case TS_KIND_BYTES:
    case TS_KIND_MESSAGE:
        return ts_sized(c, &datum->content);
    default:
        if (!ts_number(c, ts_wire_of(kind), &raw)) {
            return false;
        }
        datum->number = ts_widened(kind, raw);
        return true;
    }
}

TS_INLINE uint64_t ts_key_hash(bool text, const struct ts_datum *key, uint64_t seed)
{
    return text ? ts_hash_text(key->content, seed) : ts_hash_u64(key->number, seed);
}

/* The index word of the key, or the empty one where it would go. */
TS_INLINE uint32_t ts_map_word(const struct ts_map *map, bool text, const struct ts_datum *key, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (map->words - 1);
    while (map->index[at] != 0) {
        const struct ts_datum *held = &map->items[map->index[at] - 1].key;
        if (text ? ts_text_equal(held->content, key->content) : held->number == key->number) {
            break;
        }
        at = (at + 1) & (map->words - 1);
    }
    return at;
}

static __attribute__((unused, noinline)) void ts_map_grow(struct ts_arena *arena, struct ts_map *map, bool text)
{
    uint32_t room = map->room == 0 ? 4 : map->room * 2;
    struct ts_entry *items = ts_take(arena, room * sizeof *items);
    if (map->count > 0) {
        memcpy(items, map->items, map->count * sizeof *items);
    }
    map->items = items;
    map->room = room;
    map->words = room * 2;
    map->index = ts_take(arena, map->words * sizeof *map->index);
    memset(map->index, 0, map->words * sizeof *map->index);
    for (uint32_t i = 0; i < map->count; i++) {
        const struct ts_datum *key = &items[i].key;
        map->index[ts_map_word(map, text, key, ts_key_hash(text, key, ts_secret()))] = i + 1;
    }
}

TS_INLINE void ts_map_put(struct ts_arena *arena, struct ts_map *map, bool text, const struct ts_entry *entry)
{
    if (map->count == map->room) {
        ts_map_grow(arena, map, text);
    }
    uint32_t at = ts_map_word(map, text, &entry->key, ts_key_hash(text, &entry->key, ts_secret()));
    if (map->index[at] == 0) {
        map->index[at] = ++map->count;
    }
    map->items[map->index[at] - 1] = *entry;
}

/* Which entry has the key; count: none. */
TS_INLINE uint32_t ts_map_index(const struct ts_map *map, bool text, struct ts_datum key)
{
    if (map->count == 0) {
        return 0;
    }
    uint32_t at = ts_map_word(map, text, &key, ts_key_hash(text, &key, ts_secret()));
    return map->index[at] == 0 ? map->count : map->index[at] - 1;
}

TS_INLINE uint32_t ts_map_index_text(const struct ts_map *map, ts_slice key)
{
    return ts_map_index(map, true, (struct ts_datum){0, key});
}

/* The key widened to 64 bits. */
TS_INLINE uint32_t ts_map_index_number(const struct ts_map *map, uint64_t key)
{
    return ts_map_index(map, false, (struct ts_datum){key, TS_EMPTY});
}

/* The occurrences of a message value, which protobuf merges: their bytes joined. */
static __attribute__((unused)) ts_slice ts_joined(struct ts_arena *arena, ts_slice entry, uint32_t tag, uint32_t total)
{
    uint8_t *bytes = ts_take(arena, total);
    uint32_t size = 0;
    struct ts_cursor c = ts_cursor(entry, arena);
    while (ts_next(&c)) {
        ts_slice content;
        if (c.tag != tag) {
            ts_skip(&c);
        } else if (ts_sized(&c, &content) && content.size > 0) {
            memcpy(bytes + size, content.data, content.size);
            size += content.size;
        }
    }
    return (ts_slice){bytes, size};
}

/* One entry.  A number which its closed enum does not name makes the whole entry an unknown field. */
static __attribute__((unused, noinline)) bool ts_take_entry(struct ts_cursor *c, struct ts_map *map, const struct ts_entry_shape *shape)
{
    ts_slice content;
    struct ts_cursor inner, within;
    if (!ts_sized(c, &content) || !ts_enter(c, content, &inner)) {
        return false;
    }
    struct ts_entry entry = {{0, TS_EMPTY}, {0, TS_EMPTY}};
    uint32_t key_tag = 1u << 3 | ts_wire_of(shape->key), value_tag = 2u << 3 | ts_wire_of(shape->value);
    uint64_t total = 0;
    bool known = true, several = false;
    while (ts_next(&inner)) {
        if (inner.tag == key_tag) {
            ts_take_datum(&inner, shape->key, &entry.key);
        } else if (inner.tag != value_tag) {
            ts_skip(&inner);
        } else if (ts_take_datum(&inner, shape->value, &entry.value)) {
            if (shape->check != NULL && ts_enter(&inner, entry.value.content, &within)) {
                shape->check(&within);
                ts_leave(&inner, &within);
                several |= total > 0;
                total += entry.value.content.size;
            }
            known = known && (shape->numbers == NULL || ts_named(entry.value.number, shape->numbers, shape->number_count));
        }
    }
    if (!ts_leave(c, &inner)) {
        return false;
    }
    if (several) {
        entry.value.content = ts_joined(c->arena, content, value_tag, (uint32_t)total);
    }
    if (known) {
        ts_map_put(c->arena, map, shape->key == TS_KIND_STRING, &entry);
    }
    return true;
}

#endif
