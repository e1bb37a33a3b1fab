/* SPDX-License-Identifier: Apache-2.0 */
/* Another machine's memory, as a file that is mapped here: reads of its physical and virtual addresses.
 *
 * The C side of memory/machine.py and linux/pages.py: every address is checked against the ranges that the target has,
 * nothing is written, and what does not work out says why.  Memory changes while it is read, so that each word is read
 * once, and what is looked at more than once is copied first.
 */
#ifndef TRANSECT_MACHINE_H
#define TRANSECT_MACHINE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "call.h"

#define TM_PAGE UINT64_C(4096)
#define TM_FRAME UINT64_C(0x000FFFFFFFFFF000)
#define TM_PERCPU_ZERO (UINT64_C(1) << 32) /* below it an address of a symbol is an offset within a processor's own area */
#define TM_REMEMBERED 1024            /* pages of which a round remembers where they are */

struct tm_extent {
    uint64_t start, end, offset; /* physical; of the file */
};

struct tm_machine {
    const uint8_t *memory;
    const struct tm_extent *extents;
    uint64_t count;
    uint64_t top; /* of physical memory */
    uint64_t linear, slide, base, root, levels;
    uint64_t text, image_size;      /* link address of the kernel's beginning; bytes */
    uint64_t banner, banner_size;   /* physical */
    const uint8_t *banner_text;     /* as it must be */
    const uint8_t *expected;        /* constant memory as the package has it, moved by the slide; NULL: no package */
    uint64_t expected_at, expected_size; /* link address */
    const uint8_t *closed;          /* for each byte of text: 0xFF, or 0 where the kernel patches */
    uint64_t text_low, text_high;   /* link addresses of text proper */
    const uint64_t *sites;          /* link addresses of patched places of five bytes or more, ascending */
    uint64_t sites_count;
    const uint64_t *pointers;       /* link addresses of words of data in which functions stood at first */
    uint64_t pointers_count;
};

struct tm_page {
    uint64_t virtual, physical, round;
};

struct tm_book {
    uint64_t start, end; /* of code that is on record */
};

struct tm_round {
    const struct tm_machine *machine;
    const struct tm_plan *plan;
    uint64_t number;        /* of this round: what was remembered before is forgotten */
    uint64_t reads, bytes;
    struct ts_writer said;  /* what the probe reports and shows */
    void (*ask)(const uint8_t *name, uint32_t name_size, const uint8_t *arguments, uint32_t size); /* sets `answer` */
    const uint8_t *answer;
    uint64_t answer_size;
    struct tm_book *books;
    uint64_t books_count, books_room;
    uint64_t booked;        /* the round whose books these are */
    char problem[256];
    struct tm_page pages[TM_REMEMBERED];
};

TS_INLINE struct tm_round *tm_round_of(struct ts_call *call) { return call->context; }

/* ---------------------------------------------------------------- problems */

/* Says why something did not work out; false. */
static __attribute__((unused, noinline, format(printf, 2, 3))) bool tm_wrong(struct ts_call *call, const char *format, ...)
{
    struct tm_round *round = tm_round_of(call);
    va_list rest;
    va_start(rest, format);
    vsnprintf(round->problem, sizeof round->problem, format, rest);
    va_end(rest);
    return false;
}

/* The round ends here: what it was about cannot be checked. */
static __attribute__((unused, noinline, noreturn)) void tm_stop(struct ts_call *call) { ts_exhausted(&call->arena); }

TS_INLINE void tm_must(struct ts_call *call, bool done)
{
    if (!done) {
        tm_stop(call);
    }
}

/* ---------------------------------------------------------------- physical */

typedef uint64_t tm_u64 __attribute__((aligned(1), may_alias));

TS_INLINE uint64_t tm_load(const uint8_t *at) { return *(const volatile tm_u64 *)at; }

/* Where it lies; NULL where the target has no memory. */
TS_INLINE const uint8_t *tm_physical(struct ts_call *call, uint64_t address, uint64_t size)
{
    struct tm_round *round = tm_round_of(call);
    const struct tm_machine *m = round->machine;
    round->reads++;
    round->bytes += size;
    for (uint64_t i = 0; i < m->count; i++) {
        const struct tm_extent *e = &m->extents[i];
        if (address >= e->start && address <= e->end && size <= e->end - address) {
            return m->memory + e->offset + (address - e->start);
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------- virtual */

TS_INLINE uint64_t tm_running(const struct tm_machine *m, uint64_t link) { return link + m->slide; }
TS_INLINE uint64_t tm_linked(const struct tm_machine *m, uint64_t address) { return address - m->slide; }

TS_INLINE uint64_t tm_symbol(const struct tm_machine *m, uint64_t link)
{
    return link < TM_PERCPU_ZERO ? link : tm_running(m, link);
}

TS_INLINE bool tm_in_text(const struct tm_machine *m, uint64_t address)
{
    return tm_linked(m, address) - m->text_low < m->text_high - m->text_low;
}

/* The physical address of a page, by the page tables. */
static __attribute__((unused)) bool tm_page_of(struct ts_call *call, uint64_t virtual, uint64_t *physical)
{
    const struct tm_machine *m = tm_round_of(call)->machine;
    uint64_t top = virtual >> (11 + 9 * m->levels);
    if (top != 0 && top != (UINT64_C(1) << (64 - (11 + 9 * m->levels))) - 1) {
        return tm_wrong(call, "%#lx is not a canonical address", (unsigned long)virtual);
    }
    uint64_t table = m->root & TM_FRAME;
    for (uint64_t level = m->levels;; level--) {
        uint64_t shift = 12 + 9 * (level - 1);
        const uint8_t *at = tm_physical(call, table + 8 * (virtual >> shift & 511), 8);
        if (at == NULL) {
            return tm_wrong(call, "a page table lies where the machine has no memory (%#lx)", (unsigned long)table);
        }
        uint64_t entry = tm_load(at);
        if (!(entry & 1)) {
            return tm_wrong(call, "no page is mapped at %#lx", (unsigned long)virtual);
        }
        if (level == 1 || (level <= 3 && entry & 1 << 7)) {
            uint64_t inside = (UINT64_C(1) << shift) - 1;
            *physical = (entry & TM_FRAME & ~inside) + (virtual & inside);
            return true;
        }
        table = entry & TM_FRAME;
    }
}

TS_INLINE bool tm_translate(struct ts_call *call, uint64_t address, uint64_t *physical)
{
    struct tm_round *round = tm_round_of(call);
    uint64_t page = address & ~(TM_PAGE - 1);
    struct tm_page *known = &round->pages[page / TM_PAGE % TM_REMEMBERED];
    if (known->round != round->number || known->virtual != page) {
        uint64_t found = 0;
        if (!tm_page_of(call, page, &found)) {
            return false;
        }
        *known = (struct tm_page){page, found, round->number};
    }
    *physical = known->physical + (address & (TM_PAGE - 1));
    return true;
}

/* Bytes at a virtual address, as they are now, or in the memory of the call where they lie apart; NULL: see `problem`. */
static __attribute__((unused)) const uint8_t *tm_peek(struct ts_call *call, uint64_t address, uint64_t size)
{
    const struct tm_machine *m = tm_round_of(call)->machine;
    const uint8_t *at = NULL;
    if (address - m->linear < m->top || tm_linked(m, address) - m->text < m->image_size) {
        uint64_t physical = address - m->linear < m->top ? address - m->linear
                                                          : m->base + (tm_linked(m, address) - m->text);
        at = tm_physical(call, physical, size);
        if (at == NULL) {
            tm_wrong(call, "%#lx points to where the machine has no memory", (unsigned long)address);
        }
        return at;
    }
    uint8_t *whole = NULL, *to = NULL;
    do {
        uint64_t physical, part = TM_PAGE - address % TM_PAGE;
        part = part < size ? part : size;
        if (!tm_translate(call, address, &physical)) {
            return NULL;
        }
        at = tm_physical(call, physical, part);
        if (at == NULL) {
            tm_wrong(call, "no memory at physical %#lx", (unsigned long)physical);
            return NULL;
        }
        if (whole == NULL && part == size) {
            return at;
        }
        if (whole == NULL) {
            whole = to = ts_take(&call->arena, size);
        }
        memcpy(to, at, part);
        to += part;
        address += part;
        size -= part;
    } while (size > 0);
    return whole;
}

/* A copy, which no longer changes. */
TS_INLINE const uint8_t *tm_copy(struct ts_call *call, uint64_t address, uint64_t size)
{
    const uint8_t *at = tm_peek(call, address, size);
    if (at == NULL) {
        return NULL;
    }
    uint8_t *kept = ts_take(&call->arena, size);
    memcpy(kept, at, size);
    return kept;
}

TS_INLINE bool tm_word(struct ts_call *call, uint64_t address, uint64_t *word)
{
    const uint8_t *at = tm_peek(call, address, 8);
    if (at == NULL) {
        return false;
    }
    *word = tm_load(at);
    return true;
}

/* The same, or the end of the round. */
TS_INLINE uint64_t tm_u64_at(struct ts_call *call, uint64_t address)
{
    uint64_t word;
    tm_must(call, tm_word(call, address, &word));
    return word;
}

TS_INLINE uint64_t tm_number_at(struct ts_call *call, uint64_t address, uint64_t size)
{
    const uint8_t *at = tm_peek(call, address, size);
    tm_must(call, at != NULL);
    uint64_t value = 0;
    memcpy(&value, at, size < 8 ? size : 8);
    return value;
}

TS_INLINE const uint8_t *tm_bytes_at(struct ts_call *call, uint64_t address, uint64_t size)
{
    const uint8_t *at = tm_copy(call, address, size);
    tm_must(call, at != NULL);
    return at;
}

/* Up to the first NUL; at most so many. */
static __attribute__((unused)) ts_slice tm_text_at(struct ts_call *call, uint64_t address, uint64_t most)
{
    uint8_t *text = ts_take(&call->arena, most);
    uint64_t size = 0;
    while (size < most) {
        uint64_t part = TM_PAGE - (address + size) % TM_PAGE;
        part = part < 64 ? part : 64;
        part = part < most - size ? part : most - size;
        const uint8_t *at = tm_peek(call, address + size, part);
        tm_must(call, at != NULL);
        memcpy(text + size, at, part);
        const uint8_t *end = memchr(text + size, 0, part);
        if (end != NULL) {
            return (ts_slice){text, (uint32_t)(end - text)};
        }
        size += part;
    }
    return (ts_slice){text, (uint32_t)size};
}

#endif
