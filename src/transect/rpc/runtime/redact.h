/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as logs hold them: in the place of each secret field stands its digest.  `rpc/messages/redaction.py` does the
 * same in Python.  The emitted unit gives the tables, `chain_secrets`, one for each message with something secret within.  What
 * follows something malformed is left out.
 */
#ifndef TRANSECT_REDACT_H
#define TRANSECT_REDACT_H

#include "rewrite.h"
#include "sha256.h"

#define TS_DIGEST (-1) /* the field itself is secret */
#define TS_OPEN (-1)   /* a message with nothing secret */
#define TS_DIGESTS 4096 /* in one message at most; what follows is emptied */

/* A field that is secret, or a sub-message with something secret within: its table. */
struct ts_secret {
    uint32_t number;
    int32_t within;
};

struct ts_secrets {
    const struct ts_secret *fields;
    uint32_t count;
};

static const struct ts_secret *ts_secret_of(const struct ts_secrets *table, uint32_t tag)
{
    for (uint32_t i = 0; i < table->count && (tag & 7) == TS_SIZED; i++) {
        if (table->fields[i].number == tag >> 3) {
            return &table->fields[i];
        }
    }
    return NULL;
}

/* At `to`, 64 bytes. */
static void ts_put_digest(uint8_t *to, ts_slice text)
{
    struct ts_sha256 h;
    uint8_t bytes[TS_SHA256_BYTES];
    ts_sha256_begin(&h);
    ts_sha256_add(&h, text.data, text.size);
    ts_sha256_end(&h, bytes);
    ts_hex((char *)to, bytes, sizeof bytes);
}

/* `left`: how many digests there may still be. */
static ts_slice ts_redacted_to(const struct ts_secrets *tables, int32_t table, struct ts_cursor c, uint32_t *left)
{
    struct ts_buffer out = ts_buffer(c.arena);
    for (const uint8_t *start = c.at; ts_next(&c); start = c.at) {
        const struct ts_secret *secret = ts_secret_of(&tables[table], c.tag);
        if (secret == NULL) {
            ts_pass(&out, &c, start);
            continue;
        }
        ts_slice held;
        ts_put(&out, start, (size_t)(c.at - start));
        if (!ts_sized(&c, &held)) {
            break;
        }
        if (secret->within == TS_DIGEST) {
            uint32_t size = held.size > 0 && *left > 0 ? 2 * TS_SHA256_BYTES : 0;
            ts_put_varint(&out, size);
            if (size > 0) {
                *left -= 1;
                ts_put_digest(ts_room(&out, size), held);
            }
            continue;
        }
        if (c.depth == 0) {
            break;
        }
        struct ts_cursor inner = ts_cursor(held, c.arena);
        inner.depth = c.depth - 1;
        held = ts_redacted_to(tables, secret->within, inner, left);
        ts_put_varint(&out, held.size);
        ts_put(&out, held.data, held.size);
    }
    return ts_written(&out);
}

static __attribute__((unused)) ts_slice ts_redacted(const struct ts_secrets *tables, int32_t table, ts_slice message, struct ts_arena *arena)
{
    uint32_t left = TS_DIGESTS;
    return table == TS_OPEN ? message : ts_redacted_to(tables, table, ts_cursor(message, arena), &left);
}

#endif
