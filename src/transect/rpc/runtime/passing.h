/* SPDX-License-Identifier: Apache-2.0 */
/* A message on its way from element to element: found as far as anybody looks, written anew where one of them assigned.
 * And texts that last as long as an arena does.
 */
#ifndef TRANSECT_PASSING_H
#define TRANSECT_PASSING_H

#include "call.h"
#include "rewrite.h"
#include "scan.h"

/* A message type that is the request or reply of some method. */
struct ts_root {
    const char *name;
    size_t size; /* bytes of what a walk finds; 0: nobody looks into it */
    bool (*scan)(void *found, struct ts_cursor *c);
    bool (*changed)(const void *found); /* NULL: nobody assigns */
    void (*rewrite)(const void *found, const struct ts_pieces *pieces, struct ts_buffer *out);
};

TS_INLINE ts_slice ts_kept(struct ts_arena *arena, ts_slice text)
{
    if (text.size == 0) {
        return TS_EMPTY;
    }
    uint8_t *data = ts_take(arena, text.size);
    memcpy(data, text.data, text.size);
    return (ts_slice){data, text.size};
}

TS_INLINE void *ts_copied(struct ts_arena *arena, const void *data, size_t size)
{
    return size == 0 ? NULL : memcpy(ts_take(arena, size), data, size);
}

/* What look-ups need of a map, in memory that lasts. */
static __attribute__((unused)) const struct ts_map *ts_map_kept(struct ts_arena *arena, const struct ts_map *map)
{
    struct ts_map *made = ts_copied(arena, map, sizeof *map);
    made->items = ts_copied(arena, map->items, map->count * sizeof *map->items);
    made->index = ts_copied(arena, map->index, map->words * sizeof *map->index);
    for (uint32_t i = 0; i < map->count; i++) {
        made->items[i].key.content = ts_kept(arena, map->items[i].key.content);
        made->items[i].value.content = TS_EMPTY;
    }
    return made;
}

TS_INLINE ts_slice ts_both(struct ts_arena *arena, const char *first, ts_slice second)
{
    uint32_t size = (uint32_t)strlen(first);
    uint8_t *data = ts_take(arena, (size_t)size + second.size);
    memcpy(data, first, size);
    if (second.size > 0) {
        memcpy(data + size, second.data, second.size);
    }
    return (ts_slice){data, size + second.size};
}

/* A message between elements. */
struct ts_passing {
    const struct ts_root *root;
    ts_slice data;
    void *found;
    bool replaced;
};

/* Another message takes its place; false: it is malformed. */
static bool ts_take_message(struct ts_call *call, struct ts_passing *passing, ts_slice data)
{
    passing->data = data;
    passing->found = NULL;
    if (passing->root->size == 0) {
        return true;
    }
    if (data.size > TS_MAX_FIELD) { /* protobuf has no larger ones, and what counts bytes here counts to 4 GiB */
        return false;
    }
    passing->found = ts_take_zeroed(&call->arena, passing->root->size);
    struct ts_cursor c = ts_cursor(data, &call->arena);
    return passing->root->scan(passing->found, &c);
}

/* Write down what an element assigned. */
static bool ts_settle(struct ts_call *call, struct ts_passing *passing)
{
    const struct ts_root *root = passing->root;
    if (passing->found == NULL || root->changed == NULL || !root->changed(passing->found)) {
        return false;
    }
    struct ts_pieces whole = {&passing->data, 1, 1, 1};
    struct ts_buffer made = ts_buffer(&call->arena);
    root->rewrite(passing->found, &whole, &made);
    passing->replaced = true;
    ts_take_message(call, passing, ts_written(&made)); /* what we wrote is well formed */
    return true;
}

/* A text that is there, even when it is empty. */
TS_INLINE ts_slice ts_there(ts_slice text)
{
    return text.data == NULL ? TS_TEXT("") : text;
}

#endif
