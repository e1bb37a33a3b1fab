/* SPDX-License-Identifier: Apache-2.0 */
/* XChaCha20-Poly1305: the cipher and authenticator of RFC 8439, with nonces of 24 bytes (draft-irtf-cfrg-xchacha-03).
 * Its time depends on sizes alone.  `rpc/functions/chacha.py` is the twin.
 */
#ifndef TRANSECT_SEAL_H
#define TRANSECT_SEAL_H

#include "transect.h"

#define TS_KEY_BYTES 32u
#define TS_TAG_BYTES 16u

struct ts_cipher {
    uint32_t words[16]; /* the start of each block; word 12 counts */
};

TS_INLINE uint32_t ts_le32(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

TS_INLINE void ts_put_le32(uint8_t *to, uint32_t word)
{
    to[0] = (uint8_t)word;
    to[1] = (uint8_t)(word >> 8);
    to[2] = (uint8_t)(word >> 16);
    to[3] = (uint8_t)(word >> 24);
}

TS_INLINE uint32_t ts_turn(uint32_t word, int by) { return word << by | word >> (32 - by); }

TS_INLINE void ts_quarter(uint32_t *w, int a, int b, int c, int d)
{
    w[a] += w[b], w[d] = ts_turn(w[d] ^ w[a], 16);
    w[c] += w[d], w[b] = ts_turn(w[b] ^ w[c], 12);
    w[a] += w[b], w[d] = ts_turn(w[d] ^ w[a], 8);
    w[c] += w[d], w[b] = ts_turn(w[b] ^ w[c], 7);
}

static __attribute__((unused)) void ts_rounds(uint32_t w[16])
{
    for (int i = 0; i < 10; i++) {
        for (int k = 0; k < 4; k++) {
            ts_quarter(w, k, 4 + k, 8 + k, 12 + k);
        }
        for (int k = 0; k < 4; k++) {
            ts_quarter(w, k, 4 + (k + 1) % 4, 8 + (k + 2) % 4, 12 + (k + 3) % 4);
        }
    }
}

/* "expand 32-byte k", the key, and what the last four words are. */
TS_INLINE void ts_cipher_fill(uint32_t w[16], const uint8_t *key)
{
    static const uint32_t start[4] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};
    for (int i = 0; i < 4; i++) {
        w[i] = start[i];
    }
    for (int i = 0; i < 8; i++) {
        w[4 + i] = ts_le32(key + 4 * i);
    }
}

/* 24 bytes of nonce: of the first 16, HChaCha20 makes another key. */
static __attribute__((unused)) void ts_cipher_begin(struct ts_cipher *c, const uint8_t *key, const uint8_t *nonce)
{
    uint8_t inner[TS_KEY_BYTES];
    uint32_t w[16];
    ts_cipher_fill(w, key);
    for (int i = 0; i < 4; i++) {
        w[12 + i] = ts_le32(nonce + 4 * i);
    }
    ts_rounds(w);
    for (int i = 0; i < 4; i++) {
        ts_put_le32(inner + 4 * i, w[i]);
        ts_put_le32(inner + 16 + 4 * i, w[12 + i]);
    }
    ts_cipher_fill(c->words, inner);
    c->words[12] = c->words[13] = 0;
    c->words[14] = ts_le32(nonce + 16);
    c->words[15] = ts_le32(nonce + 20);
}

static __attribute__((unused)) void ts_cipher_block(const struct ts_cipher *c, uint32_t counter, uint8_t to[64])
{
    uint32_t w[16];
    memcpy(w, c->words, sizeof w);
    w[12] = counter;
    ts_rounds(w);
    for (int i = 0; i < 16; i++) {
        ts_put_le32(to + 4 * i, w[i] + (i == 12 ? counter : c->words[i]));
    }
}

static __attribute__((unused)) void ts_cipher_stream(const struct ts_cipher *c, const uint8_t *from, uint8_t *to, uint32_t size)
{
    uint8_t block[64];
    for (uint32_t at = 0; at < size; at++) {
        if (at % 64 == 0) {
            ts_cipher_block(c, at / 64 + 1, block);
        }
        to[at] = from[at] ^ block[at % 64];
    }
}

/* ---------------------------------------------------------------- Poly1305, in limbs of 26 bits */

struct ts_poly {
    uint32_t r[5], h[5];
};

TS_INLINE void ts_poly_limbs(uint32_t to[5], const uint8_t *from, uint32_t top)
{
    to[0] = ts_le32(from) & 0x3ffffff;
    to[1] = ts_le32(from + 3) >> 2 & 0x3ffffff;
    to[2] = ts_le32(from + 6) >> 4 & 0x3ffffff;
    to[3] = ts_le32(from + 9) >> 6 & 0x3ffffff;
    to[4] = ts_le32(from + 12) >> 8 | top << 24;
}

TS_INLINE void ts_poly_carry(uint32_t h[5], uint64_t d[5])
{
    uint64_t carry = 0;
    for (int i = 0; i < 5; i++) {
        d[i] += carry;
        h[i] = (uint32_t)d[i] & 0x3ffffff;
        carry = d[i] >> 26;
    }
    carry = h[0] + carry * 5;
    h[0] = (uint32_t)carry & 0x3ffffff;
    h[1] += (uint32_t)(carry >> 26);
}

TS_INLINE void ts_poly_block(struct ts_poly *p, const uint8_t *block)
{
    uint32_t m[5];
    uint64_t d[5];
    ts_poly_limbs(m, block, 1);
    for (int i = 0; i < 5; i++) {
        p->h[i] += m[i];
    }
    for (int i = 0; i < 5; i++) {
        d[i] = 0;
        for (int k = 0; k < 5; k++) { /* 2^130 is 5 */
            d[i] += (uint64_t)p->h[k] * (k <= i ? p->r[i - k] : 5 * p->r[5 + i - k]);
        }
    }
    ts_poly_carry(p->h, d);
}

/* Modulo 2^130 - 5, plus the second half of the key, modulo 2^128. */
TS_INLINE void ts_poly_end(struct ts_poly *p, const uint8_t *add, uint8_t tag[16])
{
    uint32_t h[5], g[5], carry = 5;
    uint64_t d[5];
    for (int i = 0; i < 5; i++) {
        d[i] = p->h[i];
    }
    ts_poly_carry(h, d);
    for (int i = 0; i < 5; i++) {
        d[i] = h[i];
    }
    ts_poly_carry(h, d);
    for (int i = 0; i < 5; i++) {
        carry += h[i];
        g[i] = carry & 0x3ffffff;
        carry >>= 26;
    }
    uint32_t take = 0 - carry; /* h + 5 reaches 2^130: h is not smaller than the prime */
    for (int i = 0; i < 5; i++) {
        h[i] = (h[i] & ~take) | (g[i] & take);
    }
    uint32_t words[4] = {h[0] | h[1] << 26, h[1] >> 6 | h[2] << 20, h[2] >> 12 | h[3] << 14, h[3] >> 18 | h[4] << 8};
    uint64_t sum = 0;
    for (int i = 0; i < 4; i++) {
        sum += (uint64_t)words[i] + ts_le32(add + 4 * i);
        ts_put_le32(tag + 4 * i, (uint32_t)sum);
        sum >>= 32;
    }
}

/* Over the ciphertext, padded, and the sizes of what is not there and of it. */
static __attribute__((unused)) void ts_cipher_tag(const struct ts_cipher *c, const uint8_t *data, uint32_t size, uint8_t tag[16])
{
    uint8_t first[64], last[16] = {0};
    struct ts_poly p = {{0}, {0}};
    ts_cipher_block(c, 0, first);
    for (int i = 3; i < 16; i += 4) { /* as the RFC clamps it */
        first[i] &= 15;
    }
    for (int i = 4; i < 16; i += 4) {
        first[i] &= 252;
    }
    ts_poly_limbs(p.r, first, 0);
    for (uint32_t at = 0; at < size; at += 16) {
        if (size - at >= 16) {
            ts_poly_block(&p, data + at);
        } else {
            uint8_t block[16] = {0};
            memcpy(block, data + at, size - at);
            ts_poly_block(&p, block);
        }
    }
    ts_put_le32(last + 8, size);
    ts_poly_block(&p, last);
    ts_poly_end(&p, first + 16, tag);
}

#endif
