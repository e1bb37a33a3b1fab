/* SPDX-License-Identifier: Apache-2.0 */
/* What our C uses of <time.h>, where there is no libc: the host's monotonic clock. */
#ifndef TRANSECT_WASM_TIME_H
#define TRANSECT_WASM_TIME_H

#include <stdint.h>

#define CLOCK_MONOTONIC 1

struct timespec {
    int64_t tv_sec;
    int64_t tv_nsec;
};

int clock_gettime(int clock, struct timespec *to);

#endif
