/* SPDX-License-Identifier: Apache-2.0 */
/* What our C uses of <string.h>, where there is no libc: `memory.c` has it. */
#ifndef TRANSECT_WASM_STRING_H
#define TRANSECT_WASM_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
void *memchr(const void *in, int byte, size_t size);
void *memmem(const void *in, size_t size, const void *part, size_t part_size);
size_t strlen(const char *text);

#endif
