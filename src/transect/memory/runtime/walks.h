/* SPDX-License-Identifier: Apache-2.0 */
/* Walks over the kernel's containers while the kernel changes them: the C side of memory/walks.py, which says what is
 * checked and why.  Each gives a list of links, with the bytes that were read around them. */
#ifndef TRANSECT_WALKS_H
#define TRANSECT_WALKS_H

#include "machine.h"
#include "set.h"

#define TM_TRIES 64
#define TM_AGAIN 3
#define TM_SLOTS 64
#define TM_SPECIAL 4096

TS_INLINE bool tm_same(uint64_t a, uint64_t b) { return a == b; }
TS_SET(tm_seen, uint64_t, ts_hash_u64, tm_same)

struct tm_found {
    uint64_t address, start; /* of the element (during a walk: of its link), and of the bytes that came with it */
    const uint8_t *data;     /* NULL: none came */
    uint64_t size;
};

struct tm_list {
    struct tm_found *items;
    uint64_t count, room;
};

struct tm_window {
    uint64_t before, after; /* bytes before the link, and from it on */
};

/* Where fields of the containers' own nodes lie in this kernel. */
struct tm_shapes {
    uint64_t xa_shift, xa_parent, xa_slots, xa_head, idr;
    uint64_t ma_root, wide[3], gaps[3], dense[2]; /* pivots, slots, count; slots, count */
    uint64_t latch_seq, latch_trees, rb_node;
};

TS_INLINE void tm_add(struct ts_call *call, struct tm_list *list, struct tm_found found)
{
    if (list->count == list->room) {
        uint64_t room = list->room ? list->room * 2 : 32;
        struct tm_found *items = ts_take(&call->arena, room * sizeof *items);
        if (list->count) {
            memcpy(items, list->items, list->count * sizeof *items);
        }
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = found;
}

#define TM_HEX(x) ((unsigned long)(x))

/* ---------------------------------------------------------------- lists */

struct tm_link {
    const uint8_t *data;
    uint64_t size, after, back;
};

TS_INLINE bool tm_fetch_link(struct ts_call *call, uint64_t node, struct tm_window w, struct tm_link *link)
{
    link->size = w.before + (w.after < 16 ? 16 : w.after);
    link->data = tm_copy(call, node - w.before, link->size);
    if (link->data == NULL) {
        return false;
    }
    memcpy(&link->after, link->data + w.before, 8);
    memcpy(&link->back, link->data + w.before + 8, 8);
    return true;
}

TS_INLINE struct tm_found tm_found_at(uint64_t node, struct tm_window w, const struct tm_link *link)
{
    return (struct tm_found){node, node - w.before, link->data, link->size};
}

/* Where to go on: what the last element that is still in the list leads to now. */
static __attribute__((unused)) bool tm_repaired(struct ts_call *call, const uint64_t *way, uint32_t *length, uint64_t *node)
{
    for (;;) {
        uint64_t now, before;
        bool read = tm_word(call, way[*length - 1], &now);
        if (read && *length == 1) {
            *node = now;
            return true;
        }
        if (!read && *length == 1) {
            return false;
        }
        if (read && tm_word(call, way[*length - 2], &before) && before == way[*length - 1]) {
            *node = now;
            return true;
        }
        --*length;
    }
}

TS_INLINE bool tm_still_wrong(struct ts_call *call, uint64_t before, uint64_t node, uint32_t tries)
{
    uint64_t leads, back;
    return tries >= TM_AGAIN && tm_word(call, before, &leads) && tm_word(call, node + 8, &back) && leads == node &&
           back != before;
}

static __attribute__((unused)) bool tm_doubly(struct ts_call *call, uint64_t head, uint64_t most, struct tm_window w,
                                               struct tm_list *list)
{
    uint64_t way[257], node;
    uint32_t length = 1, tries = 0;
    struct tm_seen *seen = tm_seen_make(call, 64);
    way[0] = head;
    if (!tm_word(call, head, &node)) {
        return false;
    }
    while (node != head) {
        struct tm_link link = {NULL, 0, 0, 0};
        if (seen->count > most) {
            return tm_wrong(call, "the list at %#lx has more than %lu elements", TM_HEX(head), TM_HEX(most));
        }
        if (tries > TM_TRIES) {
            return tm_wrong(call, "the list at %#lx is broken behind %#lx: it leads to %#lx", TM_HEX(head),
                            TM_HEX(way[length - 1]), TM_HEX(node));
        }
        bool read = tm_fetch_link(call, node, w, &link);
        if (!read || link.back != way[length - 1]) {
            tries++;
            if (!tm_repaired(call, way, &length, &node)) {
                return false;
            }
            if (node == way[length - 1] && node != head) {
                return tm_wrong(call, "the list at %#lx runs in a circle at %#lx", TM_HEX(head), TM_HEX(node));
            }
            if (!read || !tm_still_wrong(call, way[length - 1], node, tries)) {
                continue;
            }
            return tm_wrong(call, "the list at %#lx is broken: %#lx leads to %#lx, which names %#lx before it",
                            TM_HEX(head), TM_HEX(way[length - 1]), TM_HEX(node), TM_HEX(link.back));
        }
        if (tm_seen_has(seen, node)) {
            return tm_wrong(call, "the list at %#lx runs in a circle at %#lx", TM_HEX(head), TM_HEX(node));
        }
        tm_seen_add(call, seen, node);
        tries = 0;
        tm_add(call, list, tm_found_at(node, w, &link));
        way[length++] = node;
        if (length > 256) {
            memmove(way + 1, way + 128, (length - 128) * sizeof *way);
            length -= 127;
        }
        node = link.after;
    }
    return true;
}

static __attribute__((unused)) bool tm_singly_headed(struct ts_call *call, uint64_t head, uint64_t most,
                                                      struct tm_window w, struct tm_list *list)
{
    uint64_t place = head, node;
    uint32_t tries = 0;
    if (!tm_word(call, head, &node)) {
        return false;
    }
    if (!node || node & 1) {
        return true;
    }
    struct tm_seen *seen = tm_seen_make(call, 4);
    while (node && !(node & 1)) {
        struct tm_link link;
        if (seen->count > most) {
            return tm_wrong(call, "the hlist at %#lx has more than %lu elements", TM_HEX(head), TM_HEX(most));
        }
        if (tm_seen_has(seen, node)) {
            return tm_wrong(call, "the hlist at %#lx runs in a circle at %#lx", TM_HEX(head), TM_HEX(node));
        }
        if (!tm_fetch_link(call, node, w, &link)) {
            return false;
        }
        if (link.back != place) {
            if (++tries > TM_AGAIN) {
                return tm_wrong(call, "the hlist at %#lx is broken: %#lx says that %#lx leads to it, not %#lx",
                                TM_HEX(head), TM_HEX(node), TM_HEX(link.back), TM_HEX(place));
            }
            if (!tm_word(call, place, &node)) {
                return false;
            }
            continue;
        }
        tm_seen_add(call, seen, node);
        tries = 0;
        tm_add(call, list, tm_found_at(node, w, &link));
        place = node;
        node = link.after;
    }
    return true;
}

/* Elements that name the next element, not its link; `link` is where the link lies within an element. */
static __attribute__((unused)) bool tm_chain(struct ts_call *call, uint64_t head, uint64_t link_at, uint64_t most,
                                              struct tm_window w, struct tm_list *list)
{
    uint64_t first;
    if (!tm_word(call, head, &first)) {
        return false;
    }
    uint64_t node = first ? first + link_at : 0;
    struct tm_seen *seen = tm_seen_make(call, 8);
    while (node) {
        struct tm_link link;
        if (seen->count > most || tm_seen_has(seen, node)) {
            return tm_wrong(call, "the chain at %#lx runs in a circle or beyond %lu elements", TM_HEX(first + link_at),
                            TM_HEX(most));
        }
        tm_seen_add(call, seen, node);
        if (!tm_fetch_link(call, node, w, &link)) {
            return false;
        }
        tm_add(call, list, tm_found_at(node, w, &link));
        node = link.after ? link.after + link_at : 0;
    }
    return true;
}

/* ---------------------------------------------------------------- trees */

struct tm_above {
    uint64_t node, right;
};

static __attribute__((unused)) bool tm_in_order(struct ts_call *call, uint64_t root, uint64_t most, struct tm_list *list)
{
    struct tm_above stack[129];
    uint64_t node, parent = 0, count = 0;
    uint32_t depth = 0;
    if (!tm_word(call, root, &node)) {
        return false;
    }
    while (node || depth) {
        while (node) {
            const uint8_t *data = tm_copy(call, node, 24);
            if (data == NULL) {
                return false;
            }
            uint64_t word[3]; /* colour and parent, right, left */
            memcpy(word, data, sizeof word);
            if ((word[0] & ~UINT64_C(3)) != parent) {
                return tm_wrong(call, "the tree at %#lx is broken: %#lx does not name %#lx above it", TM_HEX(root),
                                TM_HEX(node), TM_HEX(parent));
            }
            stack[depth++] = (struct tm_above){node, word[1]};
            if (depth > 128) {
                return tm_wrong(call, "the tree at %#lx is more than 128 levels deep", TM_HEX(root));
            }
            parent = node;
            node = word[2];
        }
        struct tm_above top = stack[--depth];
        if (++count > most) {
            return tm_wrong(call, "the tree at %#lx has more than %lu nodes", TM_HEX(root), TM_HEX(most));
        }
        tm_add(call, list, (struct tm_found){top.node, 0, NULL, 0});
        parent = top.node;
        node = top.right;
    }
    return true;
}

/* ---------------------------------------------------------------- xarray and maple tree */

struct tm_entry {
    uint64_t entry, parent, above, last; /* of an xarray: its node's shift + 1 above; of a maple tree: above and
                                             last are its range */
};

struct tm_stack {
    struct tm_entry *items;
    uint64_t count, room;
};

TS_INLINE void tm_push(struct ts_call *call, struct tm_stack *stack, struct tm_entry entry)
{
    if (stack->count == stack->room) {
        uint64_t room = stack->room ? stack->room * 2 : 256;
        struct tm_entry *items = ts_take(&call->arena, room * sizeof *items);
        if (stack->count) {
            memcpy(items, stack->items, stack->count * sizeof *items);
        }
        stack->items = items;
        stack->room = room;
    }
    stack->items[stack->count++] = entry;
}

static __attribute__((unused)) bool tm_entries(struct ts_call *call, uint64_t array, uint64_t most,
                                                const struct tm_shapes *at, struct tm_list *list)
{
    uint64_t head, count = 0;
    struct tm_stack stack = {NULL, 0, 0};
    if (!tm_word(call, array + at->xa_head, &head)) {
        return false;
    }
    tm_push(call, &stack, (struct tm_entry){head, 0, 0, 0});
    while (stack.count) {
        struct tm_entry top = stack.items[--stack.count];
        if ((top.entry & 3) == 2 && top.entry > TM_SPECIAL) {
            uint64_t node = top.entry - 2, up;
            const uint8_t *data = tm_copy(call, node, at->xa_slots + 8 * TM_SLOTS);
            if (data == NULL) {
                return false;
            }
            uint64_t shift = data[at->xa_shift];
            memcpy(&up, data + at->xa_parent, 8);
            if (up != top.parent || (top.above && shift + 7 != top.above) || shift > 60) {
                return tm_wrong(call, "the array at %#lx is broken at the node %#lx", TM_HEX(array), TM_HEX(node));
            }
            for (int i = TM_SLOTS - 1; i >= 0; i--) {
                uint64_t slot;
                memcpy(&slot, data + at->xa_slots + 8 * i, 8);
                if (slot) {
                    tm_push(call, &stack, (struct tm_entry){slot, node, shift + 1, 0});
                }
            }
        } else if (top.entry && (top.entry & 3) == 0) {
            if (++count > most) {
                return tm_wrong(call, "the array at %#lx has more than %lu entries", TM_HEX(array), TM_HEX(most));
            }
            tm_add(call, list, (struct tm_found){top.entry, 0, NULL, 0});
        }
        if (stack.count > most + 4096) {
            return tm_wrong(call, "the array at %#lx has more than %lu entries", TM_HEX(array), TM_HEX(most));
        }
    }
    return true;
}

static __attribute__((unused)) bool tm_maple_node(struct ts_call *call, uint64_t tree, struct tm_entry top,
                                                   const struct tm_shapes *at, struct tm_stack *stack,
                                                   struct tm_list *list)
{
    uint64_t kind = top.entry >> 3 & 15, node = top.entry & ~UINT64_C(0xFF), low = top.above, high = top.last, up;
    uint32_t held = list->count;
    if (kind > 3) {
        return tm_wrong(call, "the maple tree at %#lx has a node of an unknown kind (%lu) at %#lx", TM_HEX(tree),
                        TM_HEX(kind), TM_HEX(node));
    }
    const uint8_t *data = tm_copy(call, node, 256);
    if (data == NULL) {
        return false;
    }
    memcpy(&up, data, 8); /* with the place in the parent, but for the root */
    if ((top.parent & 1 ? up : up & ~UINT64_C(0xFF)) != top.parent) {
        return tm_wrong(call, "the maple tree at %#lx is broken: %#lx does not name %#lx above it", TM_HEX(tree),
                        TM_HEX(node), TM_HEX(top.parent));
    }
    if (kind == 0) {
        for (uint64_t i = 0; i < at->dense[1]; i++) {
            uint64_t slot;
            memcpy(&slot, data + at->dense[0] + 8 * i, 8);
            if (slot && (slot & 3) == 0) {
                tm_add(call, list, (struct tm_found){slot, 0, NULL, 0});
            }
        }
        return true;
    }
    const uint64_t *shape = kind == 3 ? at->gaps : at->wide;
    uint64_t first = low, bottom = stack->count;
    for (uint64_t i = 0; i < shape[2]; i++) {
        uint64_t slot, last = high;
        memcpy(&slot, data + shape[1] + 8 * i, 8);
        if (i < shape[2] - 1) {
            memcpy(&last, data + shape[0] + 8 * i, 8);
        }
        if (i && last == 0) {
            last = high;
        }
        if (low > first || first > last || last > high) {
            return tm_wrong(call, "the maple tree at %#lx is broken: pivots of %#lx do not ascend", TM_HEX(tree),
                            TM_HEX(node));
        }
        if (slot > TM_SPECIAL && kind == 1 && (slot & 3) == 0) {
            tm_add(call, list, (struct tm_found){slot, 0, NULL, 0});
        } else if (slot > TM_SPECIAL && kind != 1) {
            tm_push(call, stack, (struct tm_entry){slot, node, first, last});
        }
        if (last >= high) {
            break;
        }
        first = last + 1;
    }
    if (list->count == held && stack->count == bottom && !(top.parent & 1)) {
        return tm_wrong(call, "the maple tree at %#lx is broken: there is nothing in %#lx", TM_HEX(tree), TM_HEX(node));
    }
    for (uint64_t a = bottom, b = stack->count; a + 1 < b; a++) { /* the first child comes off first */
        struct tm_entry swapped = stack->items[a];
        stack->items[a] = stack->items[--b];
        stack->items[b] = swapped;
    }
    return true;
}

static __attribute__((unused)) bool tm_ranges(struct ts_call *call, uint64_t tree, uint64_t most,
                                               const struct tm_shapes *at, struct tm_list *list)
{
    uint64_t root, steps = 0;
    struct tm_stack stack = {NULL, 0, 0};
    if (!tm_word(call, tree + at->ma_root, &root)) {
        return false;
    }
    if (!((root & 3) == 2 && root > TM_SPECIAL)) {
        if (root && (root & 3) == 0) {
            tm_add(call, list, (struct tm_found){root, 0, NULL, 0});
        }
        return true;
    }
    tm_push(call, &stack, (struct tm_entry){root, tree | 1, 0, UINT64_MAX});
    while (stack.count) {
        struct tm_entry top = stack.items[--stack.count];
        if (++steps > most + TM_SPECIAL) {
            return tm_wrong(call, "the maple tree at %#lx has more than %lu entries", TM_HEX(tree), TM_HEX(most));
        }
        if (!tm_maple_node(call, tree, top, at, &stack, list)) {
            return false;
        }
    }
    return true;
}

/* A tree that is being turned while it is read is read again. */
#define TM_RETRY(call, list, walk) \
    do { \
        uint64_t before_ = (list)->count; \
        uint32_t left_ = TM_AGAIN + 2; \
        while (!(walk)) { \
            tm_must(call, --left_ > 0); \
            (list)->count = before_; \
        } \
    } while (0)

#endif
