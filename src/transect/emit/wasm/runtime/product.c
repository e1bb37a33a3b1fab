/* SPDX-License-Identifier: Apache-2.0 */
/* Products of 128 bits, for which clang calls its own library: so it does for a sum in a loop, which it makes a product. */
#include <stdint.h>

__extension__ typedef unsigned __int128 wide;

/* Of 64 bits each, in pieces of 32. */
static wide product(uint64_t a, uint64_t b) {
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t low = a0 * b0, left = a1 * b0, right = a0 * b1;
    uint64_t middle = (low >> 32) + (uint32_t)left + (uint32_t)right;
    uint64_t high = a1 * b1 + (left >> 32) + (right >> 32) + (middle >> 32);
    return (wide)high << 64 | (middle << 32 | (uint32_t)low);
}

wide __multi3(wide a, wide b);

/* Modulo 2**128: the same for numbers with and without a sign. */
wide __multi3(wide a, wide b) {
    uint64_t crosswise = (uint64_t)(a >> 64) * (uint64_t)b + (uint64_t)a * (uint64_t)(b >> 64);
    return product((uint64_t)a, (uint64_t)b) + ((wide)crosswise << 64);
}
