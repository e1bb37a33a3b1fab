/* SPDX-License-Identifier: Apache-2.0 */
/* What elements trace, as lines of the host's log: one line each, bounded in size and number, whatever the text holds.
 *
 * The text may be a client's.  A control character, or one that changes the direction of writing, would let it end the
 * line and forge the next one, or show another than it is.  `base/traced.py` says the same in Python.
 */
#include <string.h>

#include "envoy_module.h"

#ifndef TS_TRACES_A_SECOND
#define TS_TRACES_A_SECOND 100 /* lines of a chain */
#endif

/* No character becomes more than four times as long. */
enum { HEAD = 320, LINE = HEAD + 4 * (TS_TRACE_SIZE + 4), SECOND = 1000000000 };

/* --- one line, whose characters are what they look like ------------------------------------------------------------- */

static size_t length_of(uint8_t first) {
    return first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Of a character in UTF-8, at most three bytes of it: none that is escaped is longer. */
static unsigned character_at(const uint8_t *at, size_t size) {
    if (size == 1) return at[0];
    if (size == 2) return (at[0] & 0x1fu) << 6 | (at[1] & 0x3fu);
    return (at[0] & 0x0fu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu);
}

static int is_escaped(unsigned c, size_t size) {
    if (size > 3) return 0;
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069) || c == '\\';
}

static size_t escape(char *to, unsigned c) {
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    to[at++] = '\\';
    if (c == '\\') {
        to[at++] = '\\';
        return at;
    }
    to[at++] = c < 0x100 ? 'x' : 'u';
    for (int shift = c < 0x100 ? 4 : 12; shift >= 0; shift -= 4) to[at++] = digits[c >> shift & 15];
    return at;
}

static void say(const char *name, ts_slice text) {
    char line[LINE];
    size_t at = 0;
    for (const char *head = "transect-trace "; *head;) line[at++] = *head++;
    while (*name && at < HEAD - 1) line[at++] = *name++;
    line[at++] = ' ';
    for (size_t i = 0; i < text.size;) {
        size_t size = length_of(text.data[i]);
        if (size > text.size - i) break;
        unsigned c = character_at(text.data + i, size);
        if (is_escaped(c, size)) {
            at += escape(line + at, c);
        } else {
            memcpy(line + at, text.data + i, size);
            at += size;
        }
        i += size;
    }
    CALLBACK(log)(LEVEL_INFO, (struct envoy_buffer){line, at});
}

/* --- so many a second ------------------------------------------------------------------------------------------------ */

static void leave_out(struct config *c, uint64_t lines) {
    atomic_fetch_add_explicit(&c->totals.traces_left_out, lines, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->traces.untold, lines, memory_order_relaxed);
}

/* Threads that meet at the turn of a second may let some lines more pass: a bound is wanted, not a number. */
static int may_say(struct config *c) {
    int64_t second = now_ns() / SECOND;
    if (atomic_exchange_explicit(&c->traces.second, second, memory_order_relaxed) != second)
        atomic_store_explicit(&c->traces.said, 0, memory_order_relaxed);
    return atomic_fetch_add_explicit(&c->traces.said, 1, memory_order_relaxed) < TS_TRACES_A_SECOND;
}

static void tell_left_out(struct config *c, const char *name) {
    static const char rest[] = " lines of `trace` were left out: there were too many in a second";
    char text[20 + sizeof rest], digits[20];
    uint64_t lines = atomic_exchange_explicit(&c->traces.untold, 0, memory_order_relaxed);
    size_t at = sizeof digits, size;
    if (!lines) return;
    do digits[--at] = (char)('0' + lines % 10);
    while (lines /= 10);
    size = sizeof digits - at;
    memcpy(text, digits + at, size);
    memcpy(text + size, rest, sizeof rest - 1);
    say(name, slice_of(text, size + sizeof rest - 1));
}

void carrier_trace(void *ctx, const struct ts_said *said) {
    struct config *c = ((struct stream *)ctx)->config;
    for (uint32_t i = 0; i < said->count; i++) {
        if (!may_say(c)) {
            leave_out(c, 1);
            continue;
        }
        tell_left_out(c, said->name);
        count(&c->totals.traced);
        say(said->name, said->texts[i]);
    }
    leave_out(c, said->left_out);
}
