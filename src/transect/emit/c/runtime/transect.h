/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime under emitted C: 64-bit arithmetic with a defined result for all operands, texts, hashes.
 *
 * C11 for gcc and clang.  Of libc only memcpy, memmove, memset and memcmp are used, so that freestanding targets can
 * bring their own.  Nothing here is undefined for any operand: UBSan stays silent without -fwrapv.
 */
#ifndef TRANSECT_H
#define TRANSECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef TS_FREESTANDING /* no libc: whoever links gives these four, and TS_ALLOCATE and its like before call.h */
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
#else
#include <string.h>
#endif

#define TS_INLINE static inline __attribute__((unused))

typedef struct {
    const uint8_t *data;
    uint32_t size; /* bytes */
} ts_slice;

#define TS_TEXT(literal) ((ts_slice){(const uint8_t *)(literal), sizeof(literal) - 1})
#define TS_EMPTY ((ts_slice){NULL, 0})

/* ---------------------------------------------------------------- integers: `int` wraps, division floors */

TS_INLINE int64_t ts_add(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
TS_INLINE int64_t ts_sub(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }
TS_INLINE int64_t ts_mul(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }
TS_INLINE int64_t ts_neg(int64_t a) { return (int64_t)(0 - (uint64_t)a); }
TS_INLINE int64_t ts_abs(int64_t a) { return a < 0 ? ts_neg(a) : a; }

/* x // 0 == 0; -2**63 // -1 wraps. */
TS_INLINE int64_t ts_floordiv(int64_t a, int64_t b)
{
    if (b > 0) { /* ~a is -a - 1: what a negative one is above a multiple of b turns into what it is below */
        int64_t sign = a >> 63;
        return (int64_t)((uint64_t)(a ^ sign) / (uint64_t)b) ^ sign;
    }
    if (b == 0) {
        return 0;
    }
    if (b == -1) {
        return ts_neg(a);
    }
    return a / b - (a % b != 0 && a > 0);
}

/* x % 0 == x; the sign is the divisor's. */
TS_INLINE int64_t ts_mod(int64_t a, int64_t b)
{
    if (b == 0) {
        return a;
    }
    if (b == -1) {
        return 0;
    }
    int64_t rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

TS_INLINE uint64_t ts_floordiv_u64(uint64_t a, uint64_t b) { return b == 0 ? 0 : a / b; }
TS_INLINE uint64_t ts_mod_u64(uint64_t a, uint64_t b) { return b == 0 ? a : a % b; }

/* Counts are taken modulo 64. */
TS_INLINE int64_t ts_shl(int64_t a, int64_t count) { return (int64_t)((uint64_t)a << ((uint64_t)count & 63)); }
TS_INLINE int64_t ts_shr(int64_t a, int64_t count) { return a >> ((uint64_t)count & 63); }
TS_INLINE uint64_t ts_shl_u64(uint64_t a, uint64_t count) { return a << (count & 63); }
TS_INLINE uint64_t ts_shr_u64(uint64_t a, uint64_t count) { return a >> (count & 63); }

/* How many steps `range(start, stop, step)` has; the step is not 0. */
TS_INLINE uint64_t ts_steps(int64_t start, int64_t stop, int64_t step)
{
    if (step > 0 ? start >= stop : start <= stop) {
        return 0;
    }
    uint64_t way = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    return (way - 1) / (step > 0 ? (uint64_t)step : 0 - (uint64_t)step) + 1;
}

TS_INLINE int64_t ts_min(int64_t a, int64_t b) { return b < a ? b : a; }
TS_INLINE int64_t ts_max(int64_t a, int64_t b) { return b > a ? b : a; }
TS_INLINE uint64_t ts_min_u64(uint64_t a, uint64_t b) { return b < a ? b : a; }
TS_INLINE uint64_t ts_max_u64(uint64_t a, uint64_t b) { return b > a ? b : a; }

/* Significant bits: 0 for 0. */
TS_INLINE uint32_t ts_bit_length(uint64_t x) { return x == 0 ? 0 : 64 - (uint32_t)__builtin_clzll(x); }

/* ---------------------------------------------------------------- products of 128 bits */

typedef struct {
    uint64_t high, low;
} ts_wide;

/* Compilers for wasm32 call a library for __int128, which freestanding code lacks. */
#if defined(__SIZEOF_INT128__) && !defined(__wasm__) && !defined(TS_NO_INT128)
__extension__ typedef unsigned __int128 ts_u128;

TS_INLINE ts_wide ts_product(uint64_t a, uint64_t b)
{
    ts_u128 product = (ts_u128)a * b;
    return (ts_wide){(uint64_t)(product >> 64), (uint64_t)product};
}

/* The quotient modulo 2**64; c is not 0. */
TS_INLINE uint64_t ts_wide_div(ts_wide a, uint64_t c, uint64_t *rest)
{
    ts_u128 value = (ts_u128)a.high << 64 | a.low;
    *rest = (uint64_t)(value % c);
    return (uint64_t)(value / c);
}
#else
TS_INLINE ts_wide ts_product(uint64_t a, uint64_t b)
{
    uint64_t a0 = a & 0xffffffffu, a1 = a >> 32, b0 = b & 0xffffffffu, b1 = b >> 32;
    uint64_t low = a0 * b0, left = a1 * b0, right = a0 * b1;
    uint64_t middle = (low >> 32) + (left & 0xffffffffu) + (right & 0xffffffffu);
    return (ts_wide){a1 * b1 + (left >> 32) + (right >> 32) + (middle >> 32), middle << 32 | (low & 0xffffffffu)};
}

TS_INLINE uint64_t ts_wide_div(ts_wide a, uint64_t c, uint64_t *rest)
{
    uint64_t remainder = a.high % c, quotient = 0;
    for (int bit = 63; bit >= 0; bit--) {
        uint64_t carry = remainder >> 63;
        remainder = remainder << 1 | (a.low >> bit & 1);
        if (carry || remainder >= c) {
            remainder -= c;
            quotient |= (uint64_t)1 << bit;
        }
    }
    *rest = remainder;
    return quotient;
}
#endif

TS_INLINE uint64_t ts_mul_div_u64(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t rest;
    return c == 0 ? 0 : ts_wide_div(ts_product(a, b), c, &rest);
}

TS_INLINE uint64_t ts_magnitude(int64_t x) { return x < 0 ? 0 - (uint64_t)x : (uint64_t)x; }

/* floor(a * b / c), cut to 64 bits; 0 when c is 0. */
TS_INLINE int64_t ts_mul_div(int64_t a, int64_t b, int64_t c)
{
    if (c == 0) {
        return 0;
    }
    uint64_t rest;
    uint64_t size = ts_wide_div(ts_product(ts_magnitude(a), ts_magnitude(b)), ts_magnitude(c), &rest);
    bool negative = ((a < 0) != (b < 0)) != (c < 0);
    return (int64_t)(negative ? 0 - (size + (rest != 0)) : size);
}

/* ---------------------------------------------------------------- floats */

/* Towards zero, saturating; NaN is 0. */
TS_INLINE int64_t ts_int_of_float(double x)
{
    if (x != x) {
        return 0;
    }
    if (x >= 9223372036854775808.0) {
        return INT64_MAX;
    }
    return x < -9223372036854775808.0 ? INT64_MIN : (int64_t)x;
}

TS_INLINE uint64_t ts_u64_of_float(double x)
{
    if (!(x > 0)) {
        return 0;
    }
    return x >= 18446744073709551616.0 ? UINT64_MAX : (uint64_t)x;
}

/* The first of equals; NaN never wins against a number. */
TS_INLINE double ts_min_float(double a, double b) { return b < a || (a != a && b == b) ? b : a; }
TS_INLINE double ts_max_float(double a, double b) { return b > a || (a != a && b == b) ? b : a; }
TS_INLINE double ts_abs_float(double a) { return __builtin_fabs(a); }

/* 64 random bits as a number in [0, 1), as Python makes it. */
TS_INLINE double ts_fraction(uint64_t draw) { return (double)(draw >> 11) * (1.0 / 9007199254740992.0); }
TS_INLINE int64_t ts_below(uint64_t draw, int64_t n) { return n <= 0 ? 0 : (int64_t)(draw % (uint64_t)n); }

/* ---------------------------------------------------------------- hashes */

/* memcpy of a constant size is one load. */
TS_INLINE uint64_t ts_load64(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}

TS_INLINE uint64_t ts_load32(const uint8_t *p)
{
    uint32_t x;
    memcpy(&x, p, 4);
    return x;
}

TS_INLINE uint64_t ts_fold(uint64_t a, uint64_t b)
{
    ts_wide product = ts_product(a, b);
    return product.high ^ product.low;
}

#define TS_ODD_1 UINT64_C(0x9e3779b97f4a7c15)
#define TS_ODD_2 UINT64_C(0xd1342543de82ef95)

/* The seed in another place: both factors of a product depend on it, for a factor that a stranger can make zero takes the
 * other one with it, and the same seed in both lets him swap them. */
TS_INLINE uint64_t ts_turned(uint64_t seed) { return (seed << 32 | seed >> 32) ^ TS_ODD_2; }

/* Whoever may choose keys must not know the seed. */
TS_INLINE uint64_t ts_hash_u64(uint64_t x, uint64_t seed) { return ts_fold(x ^ ts_turned(seed), seed ^ TS_ODD_1); }

TS_INLINE uint64_t ts_hash_text(ts_slice text, uint64_t seed)
{
    const uint8_t *p = text.data;
    uint64_t hash = seed ^ TS_ODD_1, other = ts_turned(seed), a = 0, b = 0;
    uint32_t left = text.size;
    for (; left > 16; left -= 16, p += 16) {
        hash = ts_fold(ts_load64(p) ^ hash, ts_load64(p + 8) ^ other);
    }
    if (left >= 8) {
        a = ts_load64(p);
        b = ts_load64(p + left - 8);
    } else if (left >= 4) {
        a = ts_load32(p);
        b = ts_load32(p + left - 4);
    } else if (left > 0) {
        a = (uint64_t)p[0] << 16 | (uint64_t)p[left / 2] << 8 | p[left - 1];
    }
    return ts_fold(ts_fold(a ^ hash, b ^ other), text.size ^ TS_ODD_1);
}

/* ---------------------------------------------------------------- texts: compared and measured in bytes */

/* Keys are short: comparing them word by word is cheaper than a call. */
TS_INLINE bool ts_same_bytes(const uint8_t *a, const uint8_t *b, uint32_t size)
{
    if (size > 64) {
        return memcmp(a, b, size) == 0;
    }
    if (size >= 8) {
        for (uint32_t i = 0; i + 8 < size; i += 8) {
            if (ts_load64(a + i) != ts_load64(b + i)) {
                return false;
            }
        }
        return ts_load64(a + size - 8) == ts_load64(b + size - 8);
    }
    if (size >= 4) {
        return ts_load32(a) == ts_load32(b) && ts_load32(a + size - 4) == ts_load32(b + size - 4);
    }
    for (uint32_t i = 0; i < size; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

TS_INLINE bool ts_text_equal(ts_slice a, ts_slice b)
{
    return a.size == b.size && ts_same_bytes(a.data, b.data, a.size);
}

/* Negative, 0, positive: the order of the bytes. */
TS_INLINE int ts_text_order(ts_slice a, ts_slice b)
{
    uint32_t both = a.size < b.size ? a.size : b.size;
    int order = both == 0 ? 0 : memcmp(a.data, b.data, both);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

TS_INLINE ts_slice ts_min_text(ts_slice a, ts_slice b) { return ts_text_order(b, a) < 0 ? b : a; }
TS_INLINE ts_slice ts_max_text(ts_slice a, ts_slice b) { return ts_text_order(b, a) > 0 ? b : a; }

TS_INLINE bool ts_startswith(ts_slice text, ts_slice prefix)
{
    return prefix.size <= text.size && (prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0);
}

TS_INLINE bool ts_endswith(ts_slice text, ts_slice suffix)
{
    return suffix.size <= text.size
        && (suffix.size == 0 || memcmp(text.data + (text.size - suffix.size), suffix.data, suffix.size) == 0);
}

TS_INLINE bool ts_fits(ts_slice text, int64_t size) { return (int64_t)text.size <= size; }

/* Where the lexicographically largest suffix starts, under the order of bytes or its reverse, and its period. */
TS_INLINE uint32_t ts_largest_suffix(ts_slice word, bool reversed, uint32_t *period)
{
    uint32_t best = UINT32_MAX, next = 0, step = 1; /* best + step is where the largest suffix so far continues */
    *period = 1;
    while (next + step < word.size) {
        uint8_t a = word.data[next + step], b = word.data[best + step];
        if (reversed ? a > b : a < b) {
            next += step;
            step = 1;
            *period = next - best;
        } else if (a == b) {
            if (step == *period) {
                next += *period;
                step = 1;
            } else {
                step++;
            }
        } else {
            best = next++;
            step = 1;
            *period = 1;
        }
    }
    return best + 1;
}

/* Where a word begins for the first time; UINT32_MAX where it does not.  Two-way search (Crochemore and Perrin): linear time
 * and no memory, whoever chose the texts. */
TS_INLINE uint32_t ts_find(ts_slice text, ts_slice word)
{
    if (word.size == 0) {
        return 0;
    }
    uint32_t period, other;
    uint32_t cut = ts_largest_suffix(word, false, &period), cut_reversed = ts_largest_suffix(word, true, &other);
    if (cut_reversed > cut) {
        cut = cut_reversed;
        period = other;
    }
    bool periodic = memcmp(word.data, word.data + period, cut) == 0;
    if (!periodic) {
        period = (cut > word.size - cut ? cut : word.size - cut) + 1;
    }
    uint64_t at = 0;
    uint32_t known = 0; /* that many bytes of the word's start are known to match */
    while (at + word.size <= text.size) {
        const uint8_t *window = text.data + at;
        uint32_t i = cut > known ? cut : known;
        while (i < word.size && word.data[i] == window[i]) {
            i++;
        }
        if (i < word.size) {
            at += i - cut + 1;
            known = 0;
            continue;
        }
        i = cut;
        while (i > known && word.data[i - 1] == window[i - 1]) {
            i--;
        }
        if (i <= known) {
            return (uint32_t)at;
        }
        at += period;
        known = periodic ? word.size - period : 0;
    }
    return UINT32_MAX;
}

TS_INLINE bool ts_contains(ts_slice text, ts_slice word) { return ts_find(text, word) != UINT32_MAX; }

TS_INLINE ts_slice ts_from(ts_slice text, uint32_t begin) { return (ts_slice){text.data + begin, text.size - begin}; }
TS_INLINE ts_slice ts_until(ts_slice text, uint32_t end) { return (ts_slice){text.data, end}; }

TS_INLINE ts_slice ts_removeprefix(ts_slice text, ts_slice prefix)
{
    return ts_startswith(text, prefix) ? ts_from(text, prefix.size) : text;
}

TS_INLINE ts_slice ts_removesuffix(ts_slice text, ts_slice suffix)
{
    return ts_endswith(text, suffix) ? ts_until(text, text.size - suffix.size) : text;
}

TS_INLINE bool ts_is_blank(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

TS_INLINE ts_slice ts_strip(ts_slice text)
{
    while (text.size > 0 && ts_is_blank(text.data[0])) {
        text = ts_from(text, 1);
    }
    while (text.size > 0 && ts_is_blank(text.data[text.size - 1])) {
        text = ts_until(text, text.size - 1);
    }
    return text;
}

/* Strict UTF-8: no surrogates, nothing over-long, nothing beyond U+10FFFF. */
TS_INLINE bool ts_is_utf8(ts_slice text)
{
    uint32_t i = 0;
    while (i < text.size) {
        const uint8_t *p = text.data + i;
        uint32_t left = text.size - i;
        if (left >= 8 && (ts_load64(p) & UINT64_C(0x8080808080808080)) == 0) {
            i += 8;
            continue;
        }
        if (p[0] < 0x80) {
            i++;
            continue;
        }
        uint32_t more = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : 1;
        if (p[0] < 0xc2 || p[0] > 0xf4 || left <= more) {
            return false;
        }
        uint8_t low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
        uint8_t high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
        if (p[1] < low || p[1] > high) {
            return false;
        }
        for (uint32_t k = 2; k <= more; k++) {
            if ((p[k] & 0xc0) != 0x80) {
                return false;
            }
        }
        i += more + 1;
    }
    return true;
}

/* ---------------------------------------------------------------- what state holds */

/* A text of at most BOUND bytes as state holds it.  A loaded slice changes when the storage does; what is stored is
 * known to fit, and may lie in that very storage. */
#define TS_BOUNDED(NAME, BOUND) \
    struct NAME { \
        uint32_t size; \
        uint8_t data[(BOUND) > 0 ? (BOUND) : 1]; \
    }; \
    TS_INLINE ts_slice NAME##_load(const struct NAME *from) { return (ts_slice){from->data, from->size}; } \
    TS_INLINE void NAME##_store(struct NAME *to, ts_slice text) \
    { \
        if (text.size > 0) { \
            memmove(to->data, text.data, text.size); \
        } \
        to->size = text.size; \
    } \
    TS_INLINE bool NAME##_same(const struct NAME *stored, ts_slice text) \
    { \
        return ts_text_equal(NAME##_load(stored), text); \
    } \
    TS_INLINE int NAME##_order(const struct NAME *stored, ts_slice text) \
    { \
        return ts_text_order(NAME##_load(stored), text); \
    }

/* Keys which are stored as they are asked for, for the templates of tables. */
#define TS_SAME(stored, asked) (*(stored) == (asked))
#define TS_ORDER(stored, asked) ((*(stored) > (asked)) - (*(stored) < (asked)))
#define TS_KEEP(stored, asked) (*(stored) = (asked))
#define TS_RECALL(stored) (*(stored))
#define TS_EQUAL(a, b) ((a) == (b))

TS_INLINE bool ts_less_bool(bool a, bool b) { return !a && b; }

/* ---------------------------------------------------------------- histograms */

typedef struct {
    uint64_t buckets[64]; /* bucket i counts values of i significant bits; bucket 0 the negative ones too */
} ts_histogram;

TS_INLINE void ts_observe(ts_histogram *histogram, int64_t value)
{
    uint32_t bits = value > 0 ? ts_bit_length((uint64_t)value) : 0;
    histogram->buckets[bits < 63 ? bits : 63]++;
}

#endif
