/* SPDX-License-Identifier: Apache-2.0 */
/* Memory where there is no libc: blocks of sizes in steps of a quarter, each size with a list of what was freed.
 *
 * A freed block serves the next request of its size and is never cut or joined, so what a plugin takes is at most the sum
 * of what each size once needed at the same time.  The loops of mem… are not turned into calls of themselves.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#pragma clang attribute push(__attribute__((no_builtin("memcpy", "memmove", "memset", "memcmp"))), apply_to = function)

void *memset(void *to, int byte, size_t size) {
    uint8_t *at = to;
    uint64_t eight = 0x0101010101010101u * (uint8_t)byte;
    for (; size >= 8; size -= 8, at += 8) __builtin_memcpy_inline(at, &eight, 8);
    while (size--) *at++ = (uint8_t)byte;
    return to;
}

void *memmove(void *to, const void *from, size_t size) {
    uint8_t *at = to;
    const uint8_t *f = from;
    if (at <= f || at >= f + size) {
        for (; size >= 8; size -= 8, at += 8, f += 8) {
            uint64_t eight;
            __builtin_memcpy_inline(&eight, f, 8);
            __builtin_memcpy_inline(at, &eight, 8);
        }
        while (size--) *at++ = *f++;
    } else {
        while (size--) at[size] = f[size];
    }
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    return memmove(to, from, size);
}

int memcmp(const void *a, const void *b, size_t size) {
    const uint8_t *x = a, *y = b;
    for (; size; size--, x++, y++)
        if (*x != *y) return *x < *y ? -1 : 1;
    return 0;
}

size_t strlen(const char *text) {
    size_t size = 0;
    while (text[size]) size++;
    return size;
}

#pragma clang attribute pop

void *memchr(const void *in, int byte, size_t size) {
    const uint8_t *at = in;
    for (; size; size--, at++)
        if (*at == (uint8_t)byte) return (void *)(uintptr_t)at;
    return NULL;
}

void *memmem(const void *in, size_t size, const void *part, size_t part_size) {
    const uint8_t *at = in;
    for (; size >= part_size; size--, at++)
        if (memcmp(at, part, part_size) == 0) return (void *)(uintptr_t)at;
    return NULL;
}

/* --- blocks ------------------------------------------------------------------------------------------------------- */

extern uint8_t __heap_base; /* the linker says where our data end */

enum { PAGE = 65536, HEAD = 16, SIZES = 128, LARGEST = 1 << 30 };

struct block {
    uint32_t size; /* its number among the sizes */
    struct block *next;
    _Alignas(16) uint8_t data[];
};

static struct block *freed[SIZES];
static uintptr_t top, end;

/* Bytes of data that a block of that number has: 16, 32, 48, 64, 80, 96, 112, 128, 160, … */
static size_t room_of(uint32_t number) {
    if (number < 8) return 16 * (number + 1);
    return (size_t)(5 + (number & 3)) << (number / 4 + 3);
}

static uint32_t number_of(size_t size) {
    uint32_t number = 0;
    if (size > 128) number = 4 * (26 - (uint32_t)__builtin_clz((uint32_t)size - 1));
    while (room_of(number) < size) number++;
    return number;
}

static void grow_to(uintptr_t wanted) {
    size_t pages = (wanted - end + PAGE - 1) / PAGE;
    if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX) __builtin_trap(); /* a policy must not go on wrongly */
    end += pages * PAGE;
}

void *malloc(size_t size) {
    if (size > LARGEST) return NULL;
    uint32_t number = number_of(size);
    struct block *b = freed[number];
    if (b) {
        freed[number] = b->next;
        return b->data;
    }
    if (!top) {
        top = ((uintptr_t)&__heap_base + 15) & ~(uintptr_t)15;
        end = (uintptr_t)__builtin_wasm_memory_size(0) * PAGE;
    }
    uintptr_t after = top + HEAD + room_of(number);
    if (after > end) grow_to(after);
    b = (struct block *)top;
    top = after;
    b->size = number;
    return b->data;
}

static struct block *block_of(void *memory) {
    return (struct block *)((uint8_t *)memory - HEAD);
}

void free(void *memory) {
    if (!memory) return;
    struct block *b = block_of(memory);
    b->next = freed[b->size];
    freed[b->size] = b;
}

void *calloc(size_t count, size_t size) {
    if (size && count > SIZE_MAX / size) return NULL;
    void *made = malloc(count * size);
    return made ? memset(made, 0, count * size) : NULL;
}

void *realloc(void *memory, size_t size) {
    if (!memory) return malloc(size);
    size_t room = room_of(block_of(memory)->size);
    if (size <= room) return memory;
    void *made = malloc(size);
    if (!made) return NULL;
    memcpy(made, memory, room);
    free(memory);
    return made;
}

void *aligned_alloc(size_t alignment, size_t size) {
    return alignment <= 16 ? malloc(size) : NULL;
}
