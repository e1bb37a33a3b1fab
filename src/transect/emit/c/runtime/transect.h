/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime under emitted C: arithmetic, texts, tables. */
#ifndef TRANSECT_H
#define TRANSECT_H

#include <stdint.h>

typedef struct {
    const uint8_t *data;
    uint32_t size; /* bytes */
} ts_slice;

#endif
