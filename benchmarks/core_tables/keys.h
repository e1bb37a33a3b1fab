/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEYS_H
#define KEYS_H
#include <stdint.h>

struct text {
    uint32_t size;
    char data[28];
};

struct flow {
    int64_t source, port;
};

#endif
