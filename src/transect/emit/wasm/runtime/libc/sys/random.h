/* SPDX-License-Identifier: Apache-2.0 */
/* What our C uses of <sys/random.h>, where there is no libc: the host's random bytes. */
#ifndef TRANSECT_WASM_RANDOM_H
#define TRANSECT_WASM_RANDOM_H

#include <stddef.h>

typedef ptrdiff_t ssize_t;

ssize_t getrandom(void *to, size_t size, unsigned how);

#define TS_RANDOM(to, size) (getrandom(to, size, 0) == (ssize_t)(size)) /* of call.h */

#endif
