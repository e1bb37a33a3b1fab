/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of `rpc/functions/__init__.py` in C.  Results live as long as the call. */
#ifndef TRANSECT_FUNCTIONS_H
#define TRANSECT_FUNCTIONS_H

#include "call.h"
#include "lz4.h"
#include "seal.h"
#include "sha256.h"

#define TS_NONCE_BYTES 16u /* that are sent; the other 8 are 0 */

/* ---------------------------------------------------------------- base64, padded, written in one way only */

TS_INLINE ts_slice ts_to_base64(struct ts_call *call, ts_slice data)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t size = ((size_t)data.size + 2) / 3 * 4;
    uint8_t *made = ts_take_text(call, size), *to = made;
    for (uint32_t at = 0; at < data.size; at += 3) {
        uint32_t left = data.size - at, bits = (uint32_t)data.data[at] << 16;
        bits |= left > 1 ? (uint32_t)data.data[at + 1] << 8 : 0;
        bits |= left > 2 ? data.data[at + 2] : 0;
        *to++ = (uint8_t)digits[bits >> 18];
        *to++ = (uint8_t)digits[bits >> 12 & 63];
        *to++ = left > 1 ? (uint8_t)digits[bits >> 6 & 63] : '=';
        *to++ = left > 2 ? (uint8_t)digits[bits & 63] : '=';
    }
    return (ts_slice){made, (uint32_t)size};
}

/* 64: no digit. */
TS_INLINE uint32_t ts_base64_digit(uint8_t c)
{
    return c >= 'A' && c <= 'Z'   ? (uint32_t)(c - 'A')
           : c >= 'a' && c <= 'z' ? (uint32_t)(c - 'a' + 26)
           : c >= '0' && c <= '9' ? (uint32_t)(c - '0' + 52)
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : 64;
}

TS_INLINE bool ts_from_base64(struct ts_call *call, ts_slice text, ts_slice *data)
{
    *data = TS_EMPTY;
    if (text.size % 4 != 0) {
        return false;
    }
    if (text.size == 0) {
        return true;
    }
    uint32_t pads = text.data[text.size - 1] != '=' ? 0 : text.data[text.size - 2] != '=' ? 1 : 2;
    uint8_t *made = ts_take_text(call, text.size / 4 * 3), *to = made;
    for (uint32_t at = 0; at < text.size; at += 4) {
        uint32_t kept = at + 4 == text.size ? 4 - pads : 4, bits = 0;
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t digit = i < kept ? ts_base64_digit(text.data[at + i]) : 0;
            if (digit == 64) {
                return false;
            }
            bits = bits << 6 | digit;
        }
        for (uint32_t i = 0; i + 1 < kept; i++) {
            *to++ = (uint8_t)(bits >> (16 - 8 * i));
        }
        if (kept < 4 && (bits & (kept == 3 ? 0xffu : 0xffffu)) != 0) { /* bits that nothing is made of */
            return false;
        }
    }
    *data = (ts_slice){made, (uint32_t)(to - made)};
    return true;
}

TS_INLINE bool ts_as_text(bool found, ts_slice *data)
{
    if (!found || !ts_is_utf8(*data)) {
        *data = TS_EMPTY;
        return false;
    }
    return true;
}

/* ---------------------------------------------------------------- sealing */

TS_INLINE bool ts_seal(struct ts_call *call, ts_slice plain, ts_slice key, int64_t first, int64_t second, ts_slice *sealed)
{
    *sealed = TS_EMPTY;
    if (key.size != TS_KEY_BYTES) {
        return false;
    }
    size_t size = (size_t)TS_NONCE_BYTES + plain.size + TS_TAG_BYTES;
    uint8_t nonce[24] = {0}, *made = ts_take_text(call, size);
    struct ts_cipher cipher;
    for (int i = 0; i < 2; i++) {
        uint64_t half = (uint64_t)(i == 0 ? first : second);
        ts_put_le32(nonce + 8 * i, (uint32_t)half);
        ts_put_le32(nonce + 8 * i + 4, (uint32_t)(half >> 32));
    }
    memcpy(made, nonce, TS_NONCE_BYTES);
    ts_cipher_begin(&cipher, key.data, nonce);
    ts_cipher_stream(&cipher, plain.data, made + TS_NONCE_BYTES, plain.size);
    ts_cipher_tag(&cipher, made + TS_NONCE_BYTES, plain.size, made + TS_NONCE_BYTES + plain.size);
    *sealed = (ts_slice){made, (uint32_t)size};
    return true;
}

TS_INLINE bool ts_unseal(struct ts_call *call, ts_slice sealed, ts_slice key, ts_slice *plain)
{
    *plain = TS_EMPTY;
    if (key.size != TS_KEY_BYTES || sealed.size < TS_NONCE_BYTES + TS_TAG_BYTES) {
        return false;
    }
    uint8_t nonce[24] = {0}, tag[TS_TAG_BYTES], wrong = 0;
    uint32_t size = sealed.size - TS_NONCE_BYTES - TS_TAG_BYTES;
    const uint8_t *data = sealed.data + TS_NONCE_BYTES;
    struct ts_cipher cipher;
    memcpy(nonce, sealed.data, TS_NONCE_BYTES);
    ts_cipher_begin(&cipher, key.data, nonce);
    ts_cipher_tag(&cipher, data, size, tag);
    for (uint32_t i = 0; i < TS_TAG_BYTES; i++) {
        wrong |= tag[i] ^ data[size + i];
    }
    if (wrong != 0) {
        return false;
    }
    uint8_t *made = ts_take_text(call, size);
    ts_cipher_stream(&cipher, data, made, size);
    *plain = (ts_slice){made, size};
    return true;
}

TS_INLINE bool ts_seal_text(struct ts_call *call, ts_slice plain, ts_slice key, int64_t first, int64_t second, ts_slice *sealed)
{
    bool found = ts_seal(call, plain, key, first, second, sealed);
    *sealed = found ? ts_to_base64(call, *sealed) : TS_EMPTY;
    return found;
}

TS_INLINE bool ts_unseal_text(struct ts_call *call, ts_slice sealed, ts_slice key, ts_slice *plain)
{
    ts_slice data;
    *plain = TS_EMPTY;
    return ts_as_text(ts_from_base64(call, sealed, &data) && ts_unseal(call, data, key, plain), plain);
}

/* ---------------------------------------------------------------- compression */

TS_INLINE ts_slice ts_compress(struct ts_call *call, ts_slice plain)
{
    uint8_t *made = ts_take_text(call, ts_lz4_most(plain.size));
    return (ts_slice){made, (uint32_t)ts_lz4_compress(plain.data, plain.size, made)};
}

TS_INLINE bool ts_expand(struct ts_call *call, ts_slice packed, int64_t most, ts_slice *plain)
{
    *plain = TS_EMPTY;
    if (packed.size < 5) {
        return false;
    }
    uint32_t size = ts_le32(packed.data);
    /* One byte of a block stands for 255 at most: what claims more is damaged, and no memory is set aside for it. */
    if ((int64_t)size > most || size / 256 > packed.size) {
        return false;
    }
    uint8_t *made = ts_take_text(call, size);
    if (!ts_lz4_expand(packed, made, size)) {
        return false;
    }
    *plain = (ts_slice){made, size};
    return true;
}

TS_INLINE ts_slice ts_compress_text(struct ts_call *call, ts_slice plain)
{
    return ts_to_base64(call, ts_compress(call, plain));
}

TS_INLINE bool ts_expand_text(struct ts_call *call, ts_slice packed, int64_t most, ts_slice *plain)
{
    ts_slice data;
    *plain = TS_EMPTY;
    return ts_as_text(ts_from_base64(call, packed, &data) && ts_expand(call, data, most, plain), plain);
}

/* ---------------------------------------------------------------- digests */

TS_INLINE ts_slice ts_digest(struct ts_call *call, ts_slice text)
{
    struct ts_sha256 h;
    uint8_t bytes[TS_SHA256_BYTES], *made = ts_take_text(call, 2 * TS_SHA256_BYTES);
    ts_sha256_begin(&h);
    ts_sha256_add(&h, text.data, text.size);
    ts_sha256_end(&h, bytes);
    ts_hex((char *)made, bytes, sizeof bytes);
    return (ts_slice){made, 2 * TS_SHA256_BYTES};
}

#endif
