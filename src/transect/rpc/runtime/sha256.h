/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), and HMAC (RFC 2104) with it.  Its time depends on sizes alone. */
#ifndef TRANSECT_SHA256_H
#define TRANSECT_SHA256_H

#include "transect.h"

#define TS_SHA256_BYTES 32u
#define TS_SHA256_BLOCK 64u

struct ts_sha256 {
    uint32_t words[8];
    uint64_t size; /* bytes so far */
    uint8_t block[TS_SHA256_BLOCK];
};

/* A key as what it leaves of each of the two hashes once its own block has gone in. */
struct ts_hmac_key {
    struct ts_sha256 inner, outer;
};

TS_INLINE uint32_t ts_turn_right(uint32_t word, int by) { return word >> by | word << (32 - by); }

TS_INLINE uint32_t ts_be32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | (uint32_t)from[3];
}

TS_INLINE void ts_put_be32(uint8_t *to, uint32_t word)
{
    for (int i = 0; i < 4; i++) {
        to[i] = (uint8_t)(word >> (24 - 8 * i));
    }
}

/* One block goes in. */
static __attribute__((unused)) void ts_sha256_block(uint32_t words[8], const uint8_t *block)
{
    static const uint32_t round[64] = {
        0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u, 0xab1c5ed5u,
        0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u,
        0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu, 0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau,
        0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u, 0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u,
        0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u,
        0xa2bfe8a1u, 0xa81a664bu, 0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u,
        0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
        0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u,
    };
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) {
        w[i] = ts_be32(block + 4 * i);
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (ts_turn_right(a, 7) ^ ts_turn_right(a, 18) ^ a >> 3) +
               (ts_turn_right(b, 17) ^ ts_turn_right(b, 19) ^ b >> 10);
    }
    memcpy(s, words, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t e = s[4], a = s[0];
        uint32_t first = s[7] + (ts_turn_right(e, 6) ^ ts_turn_right(e, 11) ^ ts_turn_right(e, 25)) +
                         ((e & s[5]) ^ (~e & s[6])) + round[i] + w[i];
        uint32_t second = (ts_turn_right(a, 2) ^ ts_turn_right(a, 13) ^ ts_turn_right(a, 22)) +
                          ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += first;
        s[0] = first + second;
    }
    for (int i = 0; i < 8; i++) {
        words[i] += s[i];
    }
}

TS_INLINE void ts_sha256_begin(struct ts_sha256 *h)
{
    static const uint32_t start[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                      0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
    memcpy(h->words, start, sizeof start);
    h->size = 0;
}

static __attribute__((unused)) void ts_sha256_add(struct ts_sha256 *h, const void *data, size_t size)
{
    const uint8_t *from = data;
    while (size > 0) {
        size_t at = h->size % TS_SHA256_BLOCK, part = TS_SHA256_BLOCK - at < size ? TS_SHA256_BLOCK - at : size;
        memcpy(h->block + at, from, part);
        h->size += part;
        from += part;
        size -= part;
        if (at + part == TS_SHA256_BLOCK) {
            ts_sha256_block(h->words, h->block);
        }
    }
}

static __attribute__((unused)) void ts_sha256_end(struct ts_sha256 *h, uint8_t digest[TS_SHA256_BYTES])
{
    static const uint8_t padding[TS_SHA256_BLOCK] = {0x80};
    uint64_t bits = h->size * 8;
    uint8_t length[8];
    for (int i = 0; i < 8; i++) {
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    }
    ts_sha256_add(h, padding, 1 + (size_t)(119 - h->size % TS_SHA256_BLOCK) % TS_SHA256_BLOCK); /* 8 bytes short of a block */
    ts_sha256_add(h, length, sizeof length);
    for (int i = 0; i < 8; i++) {
        ts_put_be32(digest + 4 * i, h->words[i]);
    }
}

TS_INLINE void ts_hex(char *to, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        to[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        to[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
}

/* A key of 32 bytes: shorter than a block, as HMAC wants it. */
static __attribute__((unused)) void ts_hmac_key(struct ts_hmac_key *key, const uint8_t bytes[TS_SHA256_BYTES])
{
    uint8_t inner[TS_SHA256_BLOCK], outer[TS_SHA256_BLOCK];
    memset(inner, 0x36, sizeof inner);
    memset(outer, 0x5c, sizeof outer);
    for (uint32_t i = 0; i < TS_SHA256_BYTES; i++) {
        inner[i] ^= bytes[i];
        outer[i] ^= bytes[i];
    }
    ts_sha256_begin(&key->inner);
    ts_sha256_add(&key->inner, inner, sizeof inner);
    ts_sha256_begin(&key->outer);
    ts_sha256_add(&key->outer, outer, sizeof outer);
}

static __attribute__((unused)) void ts_hmac(const struct ts_hmac_key *key, const void *data, size_t size,
                                            uint8_t digest[TS_SHA256_BYTES])
{
    struct ts_sha256 h = key->inner;
    ts_sha256_add(&h, data, size);
    ts_sha256_end(&h, digest);
    h = key->outer;
    ts_sha256_add(&h, digest, TS_SHA256_BYTES);
    ts_sha256_end(&h, digest);
}

#endif
