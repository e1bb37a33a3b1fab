/* SPDX-License-Identifier: Apache-2.0 */
/* What our C uses of <stdlib.h>, where there is no libc: `memory.c` has it, and `wasi.c` the end. */
#ifndef TRANSECT_WASM_STDLIB_H
#define TRANSECT_WASM_STDLIB_H

#include <stddef.h>
#include <sys/random.h> /* call.h asks for random bytes */

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *memory, size_t size);
void *aligned_alloc(size_t alignment, size_t size); /* 16 at most */
void free(void *memory);

_Noreturn void exit(int code);

static inline _Noreturn void abort(void) { __builtin_trap(); }

#endif
