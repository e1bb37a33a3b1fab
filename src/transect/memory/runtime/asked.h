/* SPDX-License-Identifier: Apache-2.0 */
/* What probes ask about code, symbols and constant tables: the C side of memory/questions.py. */
#ifndef TRANSECT_ASKED_H
#define TRANSECT_ASKED_H

#include "views.h"

#define TM_MOST 4096
#define TM_EVIDENCE 64
#define TM_PACK (UINT64_C(2) << 20)
#define TM_REAL_MODE (UINT64_C(1) << 20)
#define TM_CONTROL (2 * TM_PAGE)
#define TM_UNOWNED (UINT64_C(256) << 20)
#define TM_CODE_END UINT64_C(0xFFFFFFFFFF000000)

/* Where the kernel keeps its books of code, and how; link addresses of symbols, 0: this kernel has no such thing. */
struct tm_books {
    uint64_t modules, module_list, module_code, module_bytes, code_bases[2], code_sizes[2]; /* within module_bytes */
    uint64_t bpf, bpf_link;
    uint64_t trampolines, ops_list, ops_trampoline, ops_size;
    uint64_t slots[2], slot_pages, page_list, page_insns;
    uint64_t packs, pack_list, pack_pointer;
    uint64_t kprobes, kprobe_link, kprobe_address;
    uint64_t real_mode, real_mode_text, real_mode_end;
    uint64_t kexec[2], kexec_control, vmemmap, page_size;
    uint64_t calls, calls_end;                 /* the table of system calls */
    uint64_t idt, early, early_end;            /* handlers of early boot */
    uint64_t tables, tables_end;               /* constant tables */
};

static const struct tm_window tm_plain = {0, 16};

TS_INLINE const struct tm_books *tm_books_of(struct ts_call *call) { return tm_round_of(call)->plan->books; }

/* ---------------------------------------------------------------- the books */

static void tm_book(struct ts_call *call, uint64_t start, uint64_t end)
{
    struct tm_round *round = tm_round_of(call);
    if (round->books_count == round->books_room) {
        uint64_t room = round->books_room ? round->books_room * 2 : 256;
        struct tm_book *books = realloc(round->books, room * sizeof *books);
        tm_must(call, books != NULL || tm_wrong(call, "no memory is left"));
        round->books = books;
        round->books_room = room;
    }
    round->books[round->books_count++] = (struct tm_book){start, end};
}

static struct tm_list tm_linked_at(struct ts_call *call, uint64_t symbol, uint64_t offset, uint64_t most)
{
    struct tm_list list = {NULL, 0, 0};
    tm_must(call, tm_doubly(call, tm_symbol(tm_round_of(call)->machine, symbol) + offset, most, tm_plain, &list));
    return list;
}

static void tm_book_modules(struct ts_call *call, const struct tm_books *b)
{
    struct tm_list list = tm_linked_at(call, b->modules, 0, TM_MOST);
    for (uint64_t i = 0; i < list.count; i++) {
        uint64_t module = list.items[i].address - b->module_list;
        const uint8_t *raw = tm_bytes_at(call, module + b->module_code, b->module_bytes);
        for (int part = 0; part < 2; part++) {
            uint64_t start, length = 0;
            memcpy(&start, raw + b->code_bases[part], 8);
            memcpy(&length, raw + b->code_sizes[part], 4);
            if (start && length) {
                tm_book(call, start, start + length);
            }
        }
    }
}

static int tm_by_start(const void *a, const void *b)
{
    const struct tm_book *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

static void tm_keep_books(struct ts_call *call)
{
    struct tm_round *round = tm_round_of(call);
    const struct tm_books *b = tm_books_of(call);
    if (round->booked == round->number) {
        return;
    }
    round->books_count = 0;
    tm_book_modules(call, b);
    struct tm_list list = tm_linked_at(call, b->bpf, 0, 1 << 16);
    for (uint64_t i = 0; i < list.count; i++) {
        const uint8_t *ends = tm_bytes_at(call, list.items[i].address - b->bpf_link, 16);
        uint64_t pair[2];
        memcpy(pair, ends, sizeof pair);
        tm_book(call, pair[0], pair[1]);
    }
    list = tm_linked_at(call, b->trampolines, 0, TM_MOST);
    for (uint64_t i = 0; i < list.count; i++) {
        uint64_t ops = list.items[i].address - b->ops_list;
        uint64_t start = tm_u64_at(call, ops + b->ops_trampoline), size = tm_u64_at(call, ops + b->ops_size);
        if (start) {
            tm_book(call, start, start + (size < 1 << 16 ? size : 1 << 16));
        }
    }
    for (int which = 0; which < 2; which++) {
        if (b->slots[which]) {
            list = tm_linked_at(call, b->slots[which], b->slot_pages, TM_MOST);
            for (uint64_t i = 0; i < list.count; i++) {
                uint64_t start = tm_u64_at(call, list.items[i].address - b->page_list + b->page_insns);
                tm_book(call, start, start + TM_PAGE);
            }
        }
    }
    if (round->books_count) {
        qsort(round->books, round->books_count, sizeof *round->books, tm_by_start);
    }
    round->booked = round->number;
}

/* The last stretch that begins at or before an address; NULL: none does. */
static const struct tm_book *tm_near(struct ts_call *call, uint64_t address)
{
    tm_keep_books(call);
    struct tm_round *round = tm_round_of(call);
    uint64_t low = 0, high = round->books_count;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (round->books[middle].start <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low ? &round->books[low - 1] : NULL;
}

static __attribute__((unused)) bool tm_trusted_code(struct ts_call *call, uint64_t address)
{
    if (tm_in_text(tm_round_of(call)->machine, address)) {
        return true;
    }
    const struct tm_book *near = tm_near(call, address);
    return near != NULL && near->start <= address && address < near->end;
}

/* ---------------------------------------------------------------- memory and the package */

TS_INLINE uint64_t tm_u32_at(struct ts_call *call, uint64_t address) { return tm_number_at(call, address, 4); }

TS_INLINE ts_slice tm_evidence(struct ts_call *call, uint64_t address, int64_t size)
{
    uint64_t some = size < 0 ? 0 : size > TM_EVIDENCE ? TM_EVIDENCE : (uint64_t)size;
    return (ts_slice){tm_bytes_at(call, address, some), (uint32_t)some};
}

static __attribute__((unused)) const uint8_t *tm_expected(struct ts_call *call, uint64_t link, uint64_t size)
{
    const struct tm_machine *m = tm_round_of(call)->machine;
    tm_must(call, m->expected != NULL || tm_wrong(call, "the kernel's package is needed for this; give it by --kernel"));
    uint64_t at = link - m->expected_at;
    tm_must(call, (at <= m->expected_size && size <= m->expected_size - at) ||
                      tm_wrong(call, "%#lx is not in the kernel's constant memory", TM_HEX(link)));
    return m->expected + at;
}

TS_INLINE uint64_t tm_original(struct ts_call *call, uint64_t address)
{
    return tm_load(tm_expected(call, tm_linked(tm_round_of(call)->machine, address), 8));
}

/* ---------------------------------------------------------------- lists of addresses */

static struct tm_items tm_values(struct ts_call *call, const struct tm_list *list)
{
    struct tm_items items = {NULL, ts_take(&call->arena, list->count * 8), (uint32_t)list->count};
    for (uint64_t i = 0; i < list->count; i++) {
        items.values[i] = list->items[i].address;
    }
    return items;
}

TS_INLINE void tm_give(struct ts_call *call, struct tm_list *list, uint64_t address)
{
    tm_add(call, list, (struct tm_found){address, 0, NULL, 0});
}

/* Each once. */
TS_INLINE void tm_give_new(struct ts_call *call, struct tm_list *list, struct tm_seen *seen, uint64_t address)
{
    if (!tm_seen_has(seen, address)) {
        tm_seen_add(call, seen, address);
        tm_give(call, list, address);
    }
}

static __attribute__((unused)) struct tm_items tm_system_calls(struct ts_call *call)
{
    const struct tm_machine *m = tm_round_of(call)->machine;
    const struct tm_books *b = tm_books_of(call);
    struct tm_list list = {NULL, 0, 0};
    uint64_t table = tm_symbol(m, b->calls), count = (b->calls_end - b->calls) / 8;
    count = count < 1 ? 1 : count > TM_MOST ? TM_MOST : count;
    const uint8_t *raw = tm_bytes_at(call, table, 8 * count);
    while (count && tm_load(raw + 8 * count - 8) == 0) {
        count--;
    }
    for (uint64_t i = 0; i < count; i++) {
        tm_give(call, &list, table + 8 * i);
    }
    return tm_values(call, &list);
}

TS_INLINE uint64_t tm_call_target(const struct tm_machine *m, uint64_t site, const uint8_t *distance)
{
    int32_t by;
    memcpy(&by, distance, 4);
    return tm_running(m, site + 5 + (uint64_t)(int64_t)by);
}

TS_INLINE bool tm_calls(uint8_t byte) { return byte == 0xE8 || byte == 0xE9; }

static __attribute__((unused)) struct tm_items tm_direct_calls(struct ts_call *call, ts_slice function)
{
    const struct tm_machine *m = tm_round_of(call)->machine;
    uint64_t start, end;
    ts_slice ends = call->host->ask(call->context, TS_TEXT("function"), function);
    tm_must(call, ends.size == 16 || tm_wrong(call, "the kernel has no such function"));
    start = tm_load(ends.data);
    end = tm_load(ends.data + 8);
    uint64_t size = end - start < 1 << 16 ? end - start : 1 << 16;
    const uint8_t *data = tm_bytes_at(call, tm_running(m, start), size);
    const uint8_t *wanted = m->expected != NULL ? tm_expected(call, start, size) : data;
    struct tm_list list = {NULL, 0, 0};
    struct tm_seen *seen = tm_seen_make(call, 512);
    for (uint64_t at = 0; at + 4 < size; at++) {
        uint64_t five = size - at < 5 ? size - at : 5;
        if (tm_calls(data[at]) && (memcmp(data + at, wanted + at, five) != 0 || m->expected == NULL)) {
            tm_give_new(call, &list, seen, tm_call_target(m, start + at, data + at + 1));
        } else if (tm_calls(wanted[at])) {
            uint64_t target = tm_call_target(m, start + at, wanted + at + 1);
            if (tm_in_text(m, target) && tm_linked(m, target) - start >= end - start) {
                tm_give_new(call, &list, seen, target);
            }
        }
    }
    return tm_values(call, &list);
}

static __attribute__((unused)) struct tm_items tm_gates(struct ts_call *call)
{
    const struct tm_machine *m = tm_round_of(call)->machine;
    const struct tm_books *b = tm_books_of(call);
    const uint8_t *raw = tm_bytes_at(call, tm_symbol(m, b->idt), 256 * 16);
    struct tm_list list = {NULL, 0, 0};
    struct tm_seen *seen = tm_seen_make(call, 256);
    for (int i = 0; i < 256; i++, raw += 16) {
        uint64_t low = tm_load(raw), high = tm_load(raw + 8) & UINT32_MAX;
        uint64_t address = (low & 0xFFFF) | (low >> 48) << 16 | high << 32;
        if (address && tm_linked(m, address) - b->early >= b->early_end - b->early) {
            tm_give_new(call, &list, seen, address);
        }
    }
    return tm_values(call, &list);
}

/* ---------------------------------------------------------------- constant tables and text against the package */

static __attribute__((unused)) struct tm_items tm_changed_tables(struct ts_call *call)
{
    const struct tm_machine *m = tm_round_of(call)->machine;
    const struct tm_books *b = tm_books_of(call);
    struct tm_list list = {NULL, 0, 0};
    for (uint64_t page = b->tables; page < b->tables_end; page += TM_PAGE) {
        uint64_t size = (b->tables_end - page < TM_PAGE ? b->tables_end - page : TM_PAGE) & ~UINT64_C(7);
        const uint8_t *wanted = tm_expected(call, page, size), *data = tm_peek(call, tm_running(m, page), size);
        tm_must(call, data != NULL);
        bool differs = memcmp(data, wanted, size) != 0;
        for (uint64_t i = 0; differs && i < size; i += 8) {
            if (tm_load(data + i) != tm_load(wanted + i) && list.count < TM_MOST) {
                tm_give(call, &list, tm_running(m, page + i));
            }
        }
    }
    return tm_values(call, &list);
}

/* Pointers to functions in data that the kernel writes: those that lead to no code on record any more. */
static __attribute__((unused)) struct tm_items tm_changed_pointers(struct ts_call *call)
{
    const struct tm_machine *m = tm_round_of(call)->machine;
    struct tm_list list = {NULL, 0, 0};
    tm_must(call, m->expected != NULL || tm_wrong(call, "the kernel's package is needed for this; give it by --kernel"));
    for (uint64_t i = 0; i < m->pointers_count; i++) {
        uint64_t at = tm_running(m, m->pointers[i]), now = tm_u64_at(call, at);
        if (now && !tm_trusted_code(call, now) && list.count < TM_MOST) {
            tm_give(call, &list, at);
        }
    }
    return tm_values(call, &list);
}

/* Link addresses of bytes under kprobes that are on record. */
static struct tm_seen *tm_probed(struct ts_call *call, const struct tm_books *b)
{
    const struct tm_machine *m = tm_round_of(call)->machine;
    struct tm_seen *probed = tm_seen_make(call, 64);
    struct tm_list list = {NULL, 0, 0};
    for (uint64_t bucket = 0; bucket < 64; bucket++) {
        uint64_t head = tm_symbol(m, b->kprobes) + 8 * bucket;
        tm_must(call, tm_singly_headed(call, head, TM_MOST, tm_plain, &list));
    }
    for (uint64_t i = 0; i < list.count; i++) {
        uint64_t at = tm_u64_at(call, list.items[i].address - b->kprobe_link + b->kprobe_address);
        for (uint64_t byte = 0; byte < 5; byte++) {
            tm_seen_add(call, probed, tm_linked(m, at) + byte);
        }
    }
    return probed;
}

/* Whether a page of text differs where the kernel does not patch it. */
static bool tm_differs(const uint8_t *data, const uint8_t *wanted, const uint8_t *closed, uint64_t size)
{
    uint64_t wrong = 0;
    for (uint64_t i = 0; i + 8 <= size; i += 8) {
        uint64_t a, b, mask;
        memcpy(&a, data + i, 8);
        memcpy(&b, wanted + i, 8);
        memcpy(&mask, closed + i, 8);
        wrong |= (a ^ b) & mask;
    }
    for (uint64_t i = size & ~UINT64_C(7); i < size; i++) {
        wrong |= (uint64_t)((data[i] ^ wanted[i]) & closed[i]);
    }
    return wrong != 0;
}

static int tm_ascending(const void *a, const void *b)
{
    const struct tm_found *x = a, *y = b;
    return x->address < y->address ? -1 : x->address > y->address;
}

static void tm_changed_sites(struct ts_call *call, const uint8_t *text, struct tm_list *list)
{
    const struct tm_machine *m = tm_round_of(call)->machine;
    const uint8_t *wanted = tm_expected(call, m->text_low, m->text_high - m->text_low);
    for (uint64_t i = 0; i < m->sites_count; i++) {
        uint64_t at = m->sites[i] - m->text_low;
        if (at + 5 <= m->text_high - m->text_low && tm_calls(text[at]) && memcmp(text + at, wanted + at, 5) != 0 &&
            !tm_trusted_code(call, tm_call_target(m, m->sites[i], text + at + 1))) {
            tm_give(call, list, m->sites[i]);
        }
    }
}

static __attribute__((unused)) struct tm_items tm_changed_text(struct ts_call *call)
{
    const struct tm_machine *m = tm_round_of(call)->machine;
    struct tm_seen *probed = tm_probed(call, tm_books_of(call));
    struct tm_list list = {NULL, 0, 0}, starts = {NULL, 0, 0};
    const uint8_t *text = tm_peek(call, tm_running(m, m->text_low), m->text_high - m->text_low);
    tm_must(call, text != NULL);
    for (uint64_t page = m->text_low; page < m->text_high; page += TM_PAGE) {
        uint64_t size = m->text_high - page < TM_PAGE ? m->text_high - page : TM_PAGE, there = 0;
        const uint8_t *data = text + (page - m->text_low), *wanted = tm_expected(call, page, size);
        const uint8_t *closed = m->closed + (page - m->text_low);
        bool differs = tm_differs(data, wanted, closed, size);
        for (uint64_t i = 0; differs && i < size; i++) {
            if ((data[i] ^ wanted[i]) & closed[i] && !tm_seen_has(probed, page + i)) {
                tm_give(call, &list, page + i);
            }
        }
        if (page % (UINT64_C(2) << 20) == 0 && (!tm_page_of(call, tm_running(m, page), &there) ||
                                                there != m->base + page - m->text)) {
            tm_give(call, &list, page);
        }
    }
    tm_changed_sites(call, text, &list);
    if (list.count) {
        qsort(list.items, list.count, sizeof *list.items, tm_ascending);
    }
    for (uint64_t i = 0, before = 0; i < list.count && starts.count < TM_MOST; before = list.items[i++].address) {
        if (i == 0 || before < list.items[i].address - 16) {
            tm_give(call, &starts, tm_running(m, list.items[i].address));
        }
    }
    return tm_values(call, &starts);
}

/* ---------------------------------------------------------------- executable pages that nobody owns */

struct tm_stray {
    struct tm_list found;
    struct tm_book *others; /* what is no code that anybody calls by a pointer, but in its place */
    uint64_t others_count, end, tables, looked; /* where the last stray page ended; tables and bytes that were read */
};

static bool tm_on_record(struct ts_call *call, const struct tm_stray *s, uint64_t start, uint64_t end)
{
    const struct tm_book *near = tm_near(call, end - 1);
    if (near != NULL && near->end > start) {
        return true;
    }
    for (uint64_t i = 0; i < s->others_count; i++) {
        if (start < s->others[i].end && s->others[i].start < end) {
            return true;
        }
    }
    return false;
}

/* Whether to go on. */
static bool tm_stray_page(struct ts_call *call, struct tm_stray *s, uint64_t virtual, uint64_t physical, uint64_t size)
{
    for (uint64_t at = 0; at < size; at += TM_PAGE) {
        if (tm_on_record(call, s, virtual + at, virtual + at + TM_PAGE)) {
            continue;
        }
        const uint8_t *data = tm_physical(call, physical + at, TM_PAGE);
        tm_must(call, data != NULL || tm_wrong(call, "no memory at physical %#lx", TM_HEX(physical + at)));
        bool empty = (data[0] == 0 || data[0] == 0xCC) && memcmp(data, data + 1, TM_PAGE - 1) == 0;
        if (!empty) {
            if (virtual + at != s->end) {
                tm_give(call, &s->found, virtual + at);
            }
            s->end = virtual + at + TM_PAGE;
        }
        s->looked += TM_PAGE;
        if (s->found.count >= TM_MOST || (s->looked >= TM_UNOWNED && s->found.count)) {
            return false;
        }
        tm_must(call, s->looked < TM_UNOWNED || tm_wrong(call, "more than %lu MiB of executable memory belong to nobody",
                                                         TM_HEX(TM_UNOWNED >> 20)));
    }
    return true;
}

static bool tm_stray_below(struct ts_call *call, struct tm_stray *s, uint64_t table, uint64_t level, uint64_t base)
{
    const struct tm_machine *m = tm_round_of(call)->machine;
    tm_must(call, s->tables++ < 1 << 20 || tm_wrong(call, "these page tables have more tables than the limit"));
    uint64_t shift = 12 + 9 * (level - 1);
    const uint8_t *raw = tm_physical(call, table, TM_PAGE);
    tm_must(call, raw != NULL || tm_wrong(call, "no memory at physical %#lx", TM_HEX(table)));
    for (uint64_t i = 0; i < 512; i++) {
        uint64_t entry = tm_load(raw + 8 * i), virtual = base + (i << shift);
        if (level == m->levels && i >= 256) {
            virtual |= ~UINT64_C(0) << (shift + 9);
        }
        if (!(entry & 1) || !(virtual >> 63) || virtual >= TM_CODE_END) { /* the kernel has the upper half */
            continue;
        }
        bool now = !(entry >> 63);
        if (level == 1 || (level <= 3 && entry & 1 << 7)) {
            uint64_t size = UINT64_C(1) << shift;
            if (now && !tm_stray_page(call, s, virtual, entry & TM_FRAME & ~(size - 1), size)) {
                return false;
            }
        } else if (now && !tm_stray_below(call, s, entry & TM_FRAME, level - 1, virtual)) {
            return false;
        }
    }
    return true;
}

static __attribute__((unused)) struct tm_items tm_stray_code(struct ts_call *call)
{
    const struct tm_machine *m = tm_round_of(call)->machine;
    const struct tm_books *b = tm_books_of(call);
    struct tm_list list = tm_linked_at(call, b->packs, 0, TM_MOST);
    struct tm_book *others = ts_take(&call->arena, (list.count + 4) * sizeof *others);
    struct tm_stray s = {{NULL, 0, 0}, others, 0, 0, 0, 0};
    for (uint64_t i = 0; i < list.count; i++) { /* pages that BPF programs share */
        uint64_t start = tm_u64_at(call, list.items[i].address - b->pack_list + b->pack_pointer);
        others[s.others_count++] = (struct tm_book){start, start + TM_PACK};
    }
    if (b->real_mode) { /* what processors begin with */
        uint64_t header = tm_u64_at(call, tm_symbol(m, b->real_mode));
        uint64_t text = tm_u32_at(call, header + b->real_mode_text);
        uint64_t end = tm_u32_at(call, header + b->real_mode_end);
        if (text < end && end <= TM_REAL_MODE) {
            others[s.others_count++] = (struct tm_book){m->linear + text, m->linear + end};
        }
    }
    for (int which = 0; which < 2; which++) { /* what goes over to another kernel */
        uint64_t image = b->kexec[which] ? tm_u64_at(call, tm_symbol(m, b->kexec[which])) : 0;
        if (image) {
            uint64_t page = tm_u64_at(call, image + b->kexec_control);
            uint64_t number = (page - tm_u64_at(call, tm_symbol(m, b->vmemmap))) / b->page_size;
            others[s.others_count++] =
                (struct tm_book){m->linear + number * TM_PAGE, m->linear + number * TM_PAGE + TM_CONTROL};
        }
    }
    others[s.others_count++] = (struct tm_book){tm_running(m, m->text_low), tm_running(m, m->text_high)};
    tm_keep_books(call);
    tm_stray_below(call, &s, m->root & TM_FRAME, m->levels, 0);
    return tm_values(call, &s.found);
}

#endif
