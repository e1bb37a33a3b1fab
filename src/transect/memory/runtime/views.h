/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the kernel as probes see them: the C side of memory/views.py.  How fields and containers lie in the
 * target's kernel stands in tables (`struct tm_plan`), so that what is compiled serves every kernel. */
#ifndef TRANSECT_VIEWS_H
#define TRANSECT_VIEWS_H

#include "walks.h"

#define TM_STEPS 6     /* pointers of a path at most, and the last place */
#define TM_FARS 8      /* places of an object from which fields are read behind pointers */
#define TM_STRING 256  /* bytes of a text behind a pointer at most */
#define TM_NONE UINT32_MAX

struct tm_path {
    uint64_t offsets[TM_STEPS];
    uint64_t count;
};

enum tm_kind { TM_NUMBER, TM_PLACE, TM_ARRAY_TEXT, TM_POINTED_TEXT, TM_EMBEDDED, TM_POINTED };

struct tm_field {
    struct tm_path path;
    uint64_t symbol; /* link address that the path begins at; 0: the object */
    uint32_t kind, size, bit, bits, is_signed;
    uint32_t far;  /* which stretch holds it; TM_NONE: none */
    uint32_t view; /* of what it leads to */
    uint32_t unused;
};

struct tm_stretch {
    struct tm_path path;
    int64_t low, high;
};

struct tm_view {
    int64_t low, high; /* the stretch that is read at once */
    uint64_t fars;
    struct tm_stretch far[TM_FARS];
};

enum tm_container {
    TM_LISTED, TM_HLIST, TM_CHAIN, TM_TREE, TM_LATCH, TM_IDR, TM_MAPLE, TM_HASHED,
    TM_ARRAY, TM_POINTERS, TM_OFFSETS, TM_SINGLE, TM_PERCPU, TM_TOGETHER
};

struct tm_layout {
    struct tm_path path;
    struct tm_path count_path; /* where the number of elements stands; count 0: `fixed` says it */
    uint64_t symbol;           /* link address; 0: it begins in its owner */
    uint64_t until;            /* link address of the symbol behind the last element */
    uint64_t link, stride, fixed, count_size, least, most;
    struct tm_window window;
    uint32_t kind, is_pointer, behind, values; /* the symbol points there; a pointer to the array; elements are values */
    uint32_t view, inner, parts, parts_count;  /* indices; TM_NONE: none */
    const char *name;
};

struct tm_per_cpu {
    uint64_t count, mask, offsets; /* link addresses of nr_cpu_ids, __cpu_online_mask, __per_cpu_offset */
};

struct tm_books; /* asked.h */

struct tm_plan {
    const struct tm_field *fields;
    const struct tm_view *views;
    const struct tm_layout *layouts;
    struct tm_shapes shapes;
    struct tm_per_cpu processors;
    const struct tm_books *books;
};

struct tm_behind {
    uint64_t address;
    const uint8_t *data;
};

struct tm_node {
    uint64_t address, start, size;
    const uint8_t *data; /* from `start` on */
    const struct tm_view *view;
    struct tm_behind far[];
};

struct tm_items {
    void **nodes;
    uint64_t *values;
    uint32_t count;
};

static const struct tm_view tm_no_view = {0};

/* ---------------------------------------------------------------- paths */

TS_INLINE uint64_t tm_pointer(struct ts_call *call, uint64_t address)
{
    tm_must(call, address != 0 || tm_wrong(call, "an empty pointer on the way to a field"));
    return address;
}

TS_INLINE uint64_t tm_follow(struct ts_call *call, uint64_t address, const struct tm_path *path)
{
    for (uint64_t i = 0; i + 1 < path->count; i++) {
        address = tm_pointer(call, tm_u64_at(call, address + path->offsets[i]));
    }
    return address + path->offsets[path->count - 1];
}

/* ---------------------------------------------------------------- objects */

TS_INLINE struct tm_node *tm_node(struct ts_call *call, uint32_t view, uint64_t address, const struct tm_found *found)
{
    const struct tm_view *of = view == TM_NONE ? &tm_no_view : &tm_round_of(call)->plan->views[view];
    size_t size = sizeof(struct tm_node) + of->fars * sizeof(struct tm_behind);
    struct tm_node *node = ts_take(&call->arena, size);
    memset(node, 0, size);
    node->address = address;
    node->view = of;
    if (found != NULL && found->data != NULL) {
        node->start = found->start;
        node->size = found->size;
        node->data = found->data;
    }
    return node;
}

/* Bytes of the object itself; all that are read at once are kept. */
static __attribute__((unused)) const uint8_t *tm_fetch(struct ts_call *call, struct tm_node *node, uint64_t offset,
                                                        uint64_t size)
{
    uint64_t at = node->address + offset - node->start;
    if (node->data != NULL && at <= node->size && size <= node->size - at) {
        return node->data + at;
    }
    const struct tm_view *view = node->view;
    if (view->low <= (int64_t)offset && (int64_t)(offset + size) <= view->high) {
        node->size = (uint64_t)(view->high - view->low);
        node->data = tm_bytes_at(call, node->address + (uint64_t)view->low, node->size);
        node->start = node->address + (uint64_t)view->low;
        return node->data + ((int64_t)offset - view->low);
    }
    return tm_bytes_at(call, node->address + offset, size);
}

TS_INLINE uint64_t tm_fetched_word(struct ts_call *call, struct tm_node *node, uint64_t offset)
{
    uint64_t word;
    memcpy(&word, tm_fetch(call, node, offset, 8), 8);
    return word;
}

/* Where the pointers of a path lead, from an object. */
TS_INLINE uint64_t tm_lead(struct ts_call *call, struct tm_node *node, const struct tm_path *path)
{
    uint64_t address = tm_fetched_word(call, node, path->offsets[0]);
    for (uint64_t i = 1; i + 1 < path->count; i++) {
        address = tm_u64_at(call, tm_pointer(call, address) + path->offsets[i]);
    }
    return tm_pointer(call, address);
}

struct tm_spot {
    uint64_t address;
    const uint8_t *data; /* NULL: not read yet */
};

/* A field of an object: its address, and its bytes. */
static __attribute__((unused)) struct tm_spot tm_spot(struct ts_call *call, struct tm_node *node,
                                                       const struct tm_field *f, uint64_t size)
{
    const struct tm_path *path = &f->path;
    uint64_t last = path->offsets[path->count - 1];
    if (f->symbol) {
        uint64_t address = tm_symbol(tm_round_of(call)->machine, f->symbol);
        address = tm_follow(call, address, path);
        return (struct tm_spot){address, size ? tm_bytes_at(call, address, size) : NULL};
    }
    if (path->count == 1) {
        return (struct tm_spot){node->address + last, size ? tm_fetch(call, node, last, size) : NULL};
    }
    if (f->far == TM_NONE) {
        uint64_t address = tm_lead(call, node, path) + last;
        return (struct tm_spot){address, size ? tm_bytes_at(call, address, size) : NULL};
    }
    const struct tm_stretch *stretch = &node->view->far[f->far];
    struct tm_behind *far = &node->far[f->far];
    if (far->data == NULL) {
        far->address = tm_lead(call, node, path);
        far->data = tm_bytes_at(call, far->address + (uint64_t)stretch->low, (uint64_t)(stretch->high - stretch->low));
    }
    return (struct tm_spot){far->address + last, far->data + ((int64_t)last - stretch->low)};
}

TS_INLINE const struct tm_field *tm_field(struct ts_call *call, uint32_t index)
{
    return &tm_round_of(call)->plan->fields[index];
}

/* A number, its sign spread over 64 bits; of a structure or array, its address. */
static __attribute__((unused)) uint64_t tm_int(struct ts_call *call, struct tm_node *node, uint32_t index)
{
    const struct tm_field *f = tm_field(call, index);
    if (f->kind == TM_PLACE) {
        return tm_spot(call, node, f, 0).address;
    }
    uint64_t size = f->bits ? 8 : f->size, value = 0, width = f->bits ? f->bits : f->size * UINT64_C(8);
    memcpy(&value, tm_spot(call, node, f, size).data, size < 8 ? size : 8);
    value >>= f->bit;
    if (width < 64 && width > 0) {
        value &= (UINT64_C(1) << width) - 1;
        if (f->is_signed && value >> (width - 1)) {
            value |= ~UINT64_C(0) << width;
        }
    }
    return value;
}

static __attribute__((unused)) ts_slice tm_text(struct ts_call *call, struct tm_node *node, uint32_t index)
{
    const struct tm_field *f = tm_field(call, index);
    if (f->kind == TM_POINTED_TEXT) {
        uint64_t pointer;
        memcpy(&pointer, tm_spot(call, node, f, 8).data, 8);
        return pointer ? tm_text_at(call, pointer, TM_STRING) : TS_EMPTY;
    }
    const uint8_t *data = tm_spot(call, node, f, f->size).data;
    const uint8_t *end = memchr(data, 0, f->size);
    return (ts_slice){data, end == NULL ? f->size : (uint32_t)(end - data)};
}

/* NULL: an empty pointer. */
static __attribute__((unused)) struct tm_node *tm_maybe(struct ts_call *call, struct tm_node *node, uint32_t index)
{
    const struct tm_field *f = tm_field(call, index);
    uint64_t address;
    if (f->kind == TM_EMBEDDED) {
        return tm_node(call, f->view, tm_spot(call, node, f, 0).address, NULL);
    }
    memcpy(&address, tm_spot(call, node, f, 8).data, 8);
    return address ? tm_node(call, f->view, address, NULL) : NULL;
}

TS_INLINE struct tm_node *tm_object(struct ts_call *call, struct tm_node *node, uint32_t index)
{
    struct tm_node *found = tm_maybe(call, node, index);
    tm_must(call, found != NULL || tm_wrong(call, "an empty pointer on the way to a field"));
    return found;
}

/* ---------------------------------------------------------------- containers */

static void tm_elements(struct ts_call *call, const struct tm_layout *l, uint64_t owner, struct tm_list *list);

#define TM_EMPTY UINT64_MAX /* a count that was read and is 0; 0: there is none */

static uint64_t tm_count(struct ts_call *call, const struct tm_layout *l, uint64_t owner)
{
    if (l->count_path.count == 0) {
        return l->fixed;
    }
    uint64_t total = tm_number_at(call, tm_follow(call, owner, &l->count_path), l->count_size);
    tm_must(call, total <= l->most || tm_wrong(call, "a container says that it has %lu elements", TM_HEX(total)));
    return total ? total : TM_EMPTY;
}

static void tm_array(struct ts_call *call, const struct tm_layout *l, uint64_t head, uint64_t count, struct tm_list *list)
{
    const uint8_t *raw = l->values && count ? tm_bytes_at(call, head, l->stride * count) : NULL;
    for (uint64_t i = 0; i < (count ? count : l->most); i++) {
        uint64_t at = head + i * l->stride;
        if (!count && tm_u64_at(call, at) == 0) {
            return;
        }
        if (l->values) {
            uint64_t value = 0; /* without a count nothing was read: as in views.py, its elements are 0 */
            if (raw != NULL) {
                memcpy(&value, raw + i * l->stride, 8);
            }
            at = value;
        }
        tm_add(call, list, (struct tm_found){at, 0, NULL, 0});
    }
}

static void tm_pointers(struct ts_call *call, const struct tm_layout *l, uint64_t head, uint64_t count, struct tm_list *list)
{
    for (uint64_t i = 0; i < (count ? count : l->most); i++) {
        uint64_t pointer = tm_u64_at(call, head + 8 * i);
        if (pointer) {
            tm_add(call, list, (struct tm_found){pointer, 0, NULL, 0});
        } else if (!count) {
            return;
        }
    }
}

static void tm_offsets(struct ts_call *call, const struct tm_layout *l, uint64_t head, struct tm_list *list)
{
    uint64_t size = tm_symbol(tm_round_of(call)->machine, l->until) - head;
    tm_must(call, size <= 4 * l->most || tm_wrong(call, "%s: its end is %lu bytes away", l->name, TM_HEX(size)));
    const uint8_t *raw = tm_bytes_at(call, head, size & ~UINT64_C(3));
    for (uint64_t at = 0; at + 4 <= size; at += 4) {
        int32_t distance;
        memcpy(&distance, raw + at, 4);
        tm_add(call, list, (struct tm_found){head + at + (uint64_t)(int64_t)distance, 0, NULL, 0});
    }
}

static void tm_hashed(struct ts_call *call, const struct tm_layout *l, uint64_t head, struct tm_list *list)
{
    for (uint64_t i = 0; i < l->fixed; i++) {
        tm_must(call, tm_singly_headed(call, head + 8 * i, l->most, l->window, list));
    }
}

static void tm_latched(struct ts_call *call, const struct tm_layout *l, uint64_t head, struct tm_list *list)
{
    const struct tm_shapes *at = &tm_round_of(call)->plan->shapes;
    uint64_t which = tm_number_at(call, head + at->latch_seq, 4) & 1, first = list->count;
    TM_RETRY(call, list, tm_in_order(call, head + at->latch_trees + 8 * which, l->most, list));
    for (uint64_t i = first; i < list->count; i++) {
        list->items[i].address -= which * at->rb_node;
    }
}

/* The elements that hang at a head. */
static void tm_hanging(struct ts_call *call, const struct tm_layout *l, uint64_t head, uint64_t count, struct tm_list *list)
{
    const struct tm_shapes *at = &tm_round_of(call)->plan->shapes;
    uint64_t first = list->count;
    switch (l->kind) {
    case TM_LISTED: tm_must(call, tm_doubly(call, head, l->most, l->window, list)); break;
    case TM_HLIST: tm_must(call, tm_singly_headed(call, head, l->most, l->window, list)); break;
    case TM_CHAIN: tm_must(call, tm_chain(call, head, l->link, l->most, l->window, list)); break;
    case TM_HASHED: tm_hashed(call, l, head, list); break;
    case TM_TREE: TM_RETRY(call, list, tm_in_order(call, head, l->most, list)); break;
    case TM_LATCH: tm_latched(call, l, head, list); break;
    case TM_IDR: TM_RETRY(call, list, tm_entries(call, head + at->idr, l->most, at, list)); return;
    case TM_MAPLE: TM_RETRY(call, list, tm_ranges(call, head, l->most, at, list)); return;
    case TM_ARRAY:
        if (head && count != TM_EMPTY) {
            tm_array(call, l, head, count, list);
        }
        return;
    case TM_POINTERS:
        if (head && count != TM_EMPTY) {
            tm_pointers(call, l, head, count, list);
        }
        return;
    case TM_OFFSETS: tm_offsets(call, l, head, list); return;
    default:
        if (head) {
            tm_add(call, list, (struct tm_found){head, 0, NULL, 0});
        }
        return;
    }
    for (uint64_t i = first; i < list->count; i++) {
        list->items[i].address -= l->link;
    }
}

static uint64_t tm_head(struct ts_call *call, const struct tm_layout *l, uint64_t begin)
{
    uint64_t at = tm_follow(call, begin, &l->path);
    return l->behind ? tm_u64_at(call, at) : at;
}

static void tm_processors(struct ts_call *call, const struct tm_layout *l, struct tm_list *list)
{
    const struct tm_machine *m = tm_round_of(call)->machine;
    const struct tm_per_cpu *at = &tm_round_of(call)->plan->processors;
    uint64_t count = tm_number_at(call, tm_symbol(m, at->count), 4);
    count = count < 1 ? 1 : count > 8192 ? 8192 : count;
    const uint8_t *mask = tm_bytes_at(call, tm_symbol(m, at->mask), (count + 63) / 64 * 8);
    for (uint64_t cpu = 0; cpu < count; cpu++) {
        if (mask[cpu / 8] >> cpu % 8 & 1) {
            uint64_t own = tm_symbol(m, l->symbol) + tm_u64_at(call, tm_symbol(m, at->offsets) + 8 * cpu);
            uint64_t head = tm_head(call, l, l->is_pointer ? tm_u64_at(call, own) : own);
            tm_hanging(call, l, head, 0, list);
        }
    }
}

/* In each element of another container one begins. */
static void tm_within(struct ts_call *call, const struct tm_layout *l, uint64_t owner, struct tm_list *list)
{
    const struct tm_layout *inner = &tm_round_of(call)->plan->layouts[l->inner];
    struct tm_list outer = {NULL, 0, 0};
    tm_elements(call, inner, owner, &outer);
    tm_must(call, outer.count >= inner->least || tm_wrong(call, "%s gave %lu elements, and at least %lu must be there",
                                                          inner->name, TM_HEX(outer.count), TM_HEX(inner->least)));
    for (uint64_t i = 0; i < outer.count; i++) {
        uint64_t head = tm_head(call, l, outer.items[i].address);
        tm_must(call, i <= l->most || tm_wrong(call, "%s has more than %lu parts", l->name, TM_HEX(l->most)));
        tm_hanging(call, l, head, tm_count(call, l, outer.items[i].address), list);
    }
}

static void tm_elements(struct ts_call *call, const struct tm_layout *l, uint64_t owner, struct tm_list *list)
{
    if (l->kind == TM_TOGETHER) {
        for (uint32_t i = 0; i < l->parts_count; i++) {
            tm_elements(call, &tm_round_of(call)->plan->layouts[l->parts + i], owner, list);
        }
    } else if (l->kind == TM_PERCPU) {
        tm_processors(call, l, list);
    } else if (l->inner != TM_NONE) {
        tm_within(call, l, owner, list);
    } else {
        uint64_t begin = owner;
        if (l->symbol) {
            begin = tm_symbol(tm_round_of(call)->machine, l->symbol);
            begin = l->is_pointer ? tm_pointer(call, tm_u64_at(call, begin)) : begin;
        }
        tm_hanging(call, l, tm_head(call, l, begin), tm_count(call, l, owner), list);
    }
}

/* A container's elements: objects, or values. */
static __attribute__((unused)) struct tm_items tm_walk(struct ts_call *call, uint64_t owner, uint32_t index)
{
    const struct tm_layout *l = &tm_round_of(call)->plan->layouts[index];
    struct tm_list list = {NULL, 0, 0};
    struct tm_items items = {NULL, NULL, 0};
    tm_elements(call, l, owner, &list);
    tm_must(call, list.count >= l->least || tm_wrong(call, "%s gave %lu elements, and at least %lu must be there",
                                                     l->name, TM_HEX(list.count), TM_HEX(l->least)));
    items.count = (uint32_t)list.count;
    if (l->view == TM_NONE) {
        items.values = ts_take(&call->arena, list.count * sizeof *items.values);
        for (uint64_t i = 0; i < list.count; i++) {
            items.values[i] = list.items[i].address;
        }
        return items;
    }
    items.nodes = ts_take(&call->arena, list.count * sizeof *items.nodes);
    for (uint64_t i = 0; i < list.count; i++) {
        items.nodes[i] = tm_node(call, l->view, list.items[i].address, &list.items[i]);
    }
    return items;
}

/* ---------------------------------------------------------------- what a probe says */

/* `how`: it is shown (0), reported (1), caught (2). */
TS_INLINE void tm_say(struct ts_call *call, uint32_t how, ts_slice what, uint32_t count)
{
    struct ts_writer *out = &tm_round_of(call)->said;
    ts_write_u8(out, (uint8_t)how);
    ts_write_text(out, what);
    ts_write_u32(out, count);
}

TS_INLINE struct ts_writer *tm_named(struct ts_call *call, ts_slice name, char kind)
{
    struct ts_writer *out = &tm_round_of(call)->said;
    ts_write_text(out, name);
    ts_write_u8(out, (uint8_t)kind);
    return out;
}

TS_INLINE void tm_say_int(struct ts_call *call, ts_slice name, int64_t x) { ts_write_i64(tm_named(call, name, 'i'), x); }
TS_INLINE void tm_say_u64(struct ts_call *call, ts_slice name, uint64_t x) { ts_write_u64(tm_named(call, name, 'u'), x); }
TS_INLINE void tm_say_bool(struct ts_call *call, ts_slice name, bool x) { ts_write_bool(tm_named(call, name, 'b'), x); }
TS_INLINE void tm_say_text(struct ts_call *call, ts_slice name, ts_slice x) { ts_write_text(tm_named(call, name, 't'), x); }
TS_INLINE void tm_say_bytes(struct ts_call *call, ts_slice name, ts_slice x) { ts_write_text(tm_named(call, name, 'x'), x); }

#endif
