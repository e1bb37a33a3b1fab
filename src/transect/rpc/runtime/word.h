/* SPDX-License-Identifier: Apache-2.0 */
/* How one layer tells the next whose a request is; the twin is identity/words.py, which describes the form. */
#ifndef TRANSECT_WORD_H
#define TRANSECT_WORD_H

#include "sha256.h"

enum { TS_TENANT_LONGEST = 64, TS_WORD_LONGEST = 256, TS_SIGNATURE = 64 };

struct ts_word {
    char tenant[TS_TENANT_LONGEST];
    size_t tenant_size;
    uint64_t ends;     /* Unix time in ms from which on nobody believes it */
    uint64_t deadline; /* Unix time in ms when the request is over; 0: no one said */
    uint64_t nonce;
};

/* What is left of a text that is being read. */
struct ts_word_rest {
    const char *at, *end;
};

TS_INLINE bool ts_tenant_letter(char c, bool first)
{
    bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    return word || (!first && (c == '.' || c == '@' || c == '-'));
}

/* As `NAME` of base/weights.py. */
TS_INLINE bool ts_tenant_name(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!ts_tenant_letter(name[i], i == 0)) {
            return false;
        }
    }
    return size > 0 && size <= TS_TENANT_LONGEST;
}

/* Up to the next `;`, which goes too; the last part goes up to the end. */
TS_INLINE ts_slice ts_word_part(struct ts_word_rest *rest)
{
    const char *from = rest->at;
    while (rest->at < rest->end && *rest->at != ';') {
        rest->at++;
    }
    ts_slice part = {(const uint8_t *)from, (uint32_t)(rest->at - from)};
    rest->at += rest->at < rest->end;
    return part;
}

/* One text for each number, so that no word has a twin. */
TS_INLINE bool ts_word_number(ts_slice text, uint64_t *number)
{
    *number = 0;
    for (uint32_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        *number = *number * 10 + (uint64_t)(text.data[i] - '0');
    }
    return text.size > 0 && text.size <= 16 && (text.data[0] != '0' || text.size == 1);
}

TS_INLINE bool ts_word_nonce(ts_slice text, uint64_t *nonce)
{
    *nonce = 0;
    for (uint32_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool letter = c >= 'a' && c <= 'f';
        if (!letter && (c < '0' || c > '9')) {
            return false;
        }
        *nonce = *nonce << 4 | (uint64_t)(letter ? c - 'a' + 10 : c - '0');
    }
    return text.size == 16;
}

TS_INLINE bool ts_word_parts(struct ts_word *word, struct ts_word_rest rest)
{
    ts_slice form = ts_word_part(&rest), tenant = ts_word_part(&rest);
    if (form.size != 1 || form.data[0] != '1' || !ts_tenant_name((const char *)tenant.data, tenant.size)) {
        return false;
    }
    memcpy(word->tenant, tenant.data, tenant.size);
    word->tenant_size = tenant.size;
    bool times = ts_word_number(ts_word_part(&rest), &word->ends);
    times = ts_word_number(ts_word_part(&rest), &word->deadline) && times;
    return times && ts_word_nonce((ts_slice){(const uint8_t *)rest.at, (uint32_t)(rest.end - rest.at)}, &word->nonce);
}

/* What a text says, and how many bytes of it are signed; its signature stands behind one more.  False: it is no word. */
static __attribute__((unused)) bool ts_word_read(struct ts_word *word, const char *text, size_t size, size_t *said)
{
    size_t at = size > TS_WORD_LONGEST ? 0 : size;
    bool hex = true;
    while (at > 0 && text[at - 1] != ';') {
        at--;
        hex &= (text[at] >= '0' && text[at] <= '9') || (text[at] >= 'a' && text[at] <= 'f');
    }
    *said = at - 1;
    return at > 0 && hex && size - at == TS_SIGNATURE && ts_word_parts(word, (struct ts_word_rest){text, text + *said});
}

TS_INLINE void ts_word_sign(const struct ts_hmac_key *key, const char *text, size_t said, char signature[TS_SIGNATURE])
{
    uint8_t digest[TS_SHA256_BYTES];
    ts_hmac(key, text, said, digest);
    ts_hex(signature, digest, sizeof digest);
}

/* Whether who has the key signed it; how long that takes tells nothing of the signature. */
static __attribute__((unused)) bool ts_word_signed_by(const struct ts_hmac_key *key, const char *text, size_t size, size_t said)
{
    char right[TS_SIGNATURE];
    unsigned differs = 0;
    if (size - said - 1 != TS_SIGNATURE) {
        return false;
    }
    ts_word_sign(key, text, said, right);
    for (size_t i = 0; i < TS_SIGNATURE; i++) {
        differs |= (unsigned)(uint8_t)(right[i] ^ text[said + 1 + i]);
    }
    return differs == 0;
}

TS_INLINE size_t ts_word_put_number(char *to, uint64_t number)
{
    size_t digits = 1;
    for (uint64_t rest = number; rest >= 10; rest /= 10) {
        digits++;
    }
    for (size_t i = digits; i > 0; i--, number /= 10) {
        to[i - 1] = (char)('0' + number % 10);
    }
    return digits;
}

/* The header's text, and its size. */
static __attribute__((unused)) size_t ts_word_write(char to[TS_WORD_LONGEST], const struct ts_word *word,
                                                    const struct ts_hmac_key *key)
{
    size_t at = 0;
    uint8_t nonce[8];
    for (int i = 0; i < 8; i++) {
        nonce[i] = (uint8_t)(word->nonce >> (56 - 8 * i));
    }
    to[at++] = '1';
    to[at++] = ';';
    memcpy(to + at, word->tenant, word->tenant_size);
    at += word->tenant_size;
    to[at++] = ';';
    at += ts_word_put_number(to + at, word->ends);
    to[at++] = ';';
    at += ts_word_put_number(to + at, word->deadline);
    to[at++] = ';';
    ts_hex(to + at, nonce, sizeof nonce);
    at += 2 * sizeof nonce;
    ts_word_sign(key, to, at, to + at + 1);
    to[at] = ';';
    return at + 1 + TS_SIGNATURE;
}

#endif
