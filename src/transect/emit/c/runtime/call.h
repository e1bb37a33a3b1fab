/* SPDX-License-Identifier: Apache-2.0 */
/* One handler call: its outside facts, and the memory which its values live in until `ts_call_end`. */
#ifndef TRANSECT_CALL_H
#define TRANSECT_CALL_H

#include "codec.h"
#include "transect.h"

#ifndef TS_ALLOCATE
#include <stdlib.h>
#define TS_ALLOCATE(size) malloc(size)
#define TS_ALLOCATE_ZEROED(size) calloc(1, size)
#define TS_RELEASE(memory) free(memory)
#endif

/* Fills with random bytes; false where there are none (yet). */
#ifndef TS_RANDOM
#if defined(__linux__)
#include <sys/random.h>
#define TS_RANDOM(to, size) (getrandom(to, size, GRND_NONBLOCK) == (ssize_t)(size))
#else
#define TS_RANDOM(to, size) ((void)(to), false)
#endif
#endif

/* ---------------------------------------------------------------- a secret of the process */

/* Not 0.  Where no random bytes can be had, it is made of addresses, which differ from process to process. */
static __attribute__((unused, noinline)) uint64_t ts_new_secret(const void *there)
{
    uint64_t made;
    if (!TS_RANDOM(&made, sizeof made)) {
        uint64_t here = (uint64_t)(uintptr_t)__builtin_frame_address(0);
        made = ts_fold((uint64_t)(uintptr_t)there ^ TS_ODD_1, here ^ TS_ODD_2);
    }
    return made | 1;
}

/* The seed of hashes: the sender of a message must not know where its keys go. */
TS_INLINE uint64_t ts_secret(void)
{
    static uint64_t secret;
    uint64_t found = __atomic_load_n(&secret, __ATOMIC_RELAXED);
    if (found == 0) {
        uint64_t made = ts_new_secret(&secret);
        if (__atomic_compare_exchange_n(&secret, &found, made, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            found = made;
        }
    }
    return found;
}

/* ---------------------------------------------------------------- memory of a state */

/* Without memory a policy has no way to go on, and must not go on wrongly. */
TS_INLINE void *ts_zeroed(size_t size)
{
    void *memory = TS_ALLOCATE_ZEROED(size);
    if (memory == NULL) {
        __builtin_trap();
    }
    return memory;
}

TS_INLINE void ts_give_back(void *memory)
{
    if (memory != NULL) {
        TS_RELEASE(memory);
    }
}

/* ---------------------------------------------------------------- memory of a call */

struct ts_block {
    struct ts_block *older;
    uint64_t bytes[];
};

#define TS_FIRST_WORDS 64
#define TS_BLOCK_BYTES 4096

struct ts_arena {
    struct ts_block *blocks; /* newest first */
    uint8_t *at;             /* the next free byte, a multiple of 8 */
    size_t left;             /* bytes from there */
    size_t most;             /* bytes that may still come from outside */
    void **escape;           /* for __builtin_longjmp, when there is no more; NULL: the end of the process */
    uint64_t first[TS_FIRST_WORDS];
};

/* Memory from outside comes when the first words are used up. */
TS_INLINE void ts_arena_begin(struct ts_arena *arena)
{
    arena->blocks = NULL;
    arena->at = (uint8_t *)arena->first;
    arena->left = sizeof arena->first;
    arena->most = SIZE_MAX;
    arena->escape = NULL;
}

TS_INLINE void ts_arena_free(struct ts_arena *arena)
{
    while (arena->blocks != NULL) {
        struct ts_block *older = arena->blocks->older;
        TS_RELEASE(arena->blocks);
        arena->blocks = older;
    }
}

/* What was taken is gone; the next may begin. */
TS_INLINE void ts_arena_end(struct ts_arena *arena)
{
    ts_arena_free(arena);
    ts_arena_begin(arena);
}

/* A policy without memory cannot go on and must not go on wrongly: the call ends by `escape` if the carrier gave one,
 * else the process ends. */
static __attribute__((unused, noinline, noreturn)) void ts_exhausted(struct ts_arena *arena)
{
#ifndef __wasm__
    if (arena->escape != NULL) {
        __builtin_longjmp(arena->escape, 1);
    }
#endif
    (void)arena;
    __builtin_trap();
}

static __attribute__((unused, noinline)) void ts_arena_grow(struct ts_arena *arena, size_t size)
{
    size_t bytes = size > TS_BLOCK_BYTES ? size : TS_BLOCK_BYTES;
    struct ts_block *block = bytes > arena->most ? NULL : TS_ALLOCATE(sizeof *block + bytes);
    if (block == NULL) {
        ts_exhausted(arena);
    }
    arena->most -= bytes;
    block->older = arena->blocks;
    arena->blocks = block;
    arena->at = (uint8_t *)block->bytes;
    arena->left = bytes;
}

/* Memory until the call ends, aligned to 8. */
TS_INLINE void *ts_take(struct ts_arena *arena, size_t size)
{
    size = (size + 7) & ~(size_t)7;
    if (size > arena->left) {
        ts_arena_grow(arena, size);
    }
    void *memory = arena->at;
    arena->at += size;
    arena->left -= size;
    return memory;
}

/* ---------------------------------------------------------------- outside facts */

struct ts_call;

struct ts_host {
    int64_t (*now)(void *context);   /* ns */
    uint64_t (*draw)(void *context); /* 64 random bits */
    void (*trace)(struct ts_call *call, ts_slice text); /* the text is valid until it returns */
    /* A stratum's intrinsic whose lowering has no direct form in C: arguments and answer as codec.h writes them.  The
     * answer is valid until the next question. */
    ts_slice (*ask)(void *context, ts_slice name, ts_slice arguments);
};

struct ts_call {
    const struct ts_host *host;
    void *context;
    struct ts_writer *tape; /* takes the outside answers, for the log; NULL: nobody wants them */
    int64_t time;           /* of this call, once asked for */
    bool timed;
    struct ts_arena arena;
};

TS_INLINE void ts_call_begin(struct ts_call *call, const struct ts_host *host, void *context)
{
    call->host = host;
    call->context = context;
    call->tape = NULL;
    call->timed = false;
    ts_arena_begin(&call->arena);
}

/* Ends the call; what it handed out (texts of a verdict) is gone. */
TS_INLINE void ts_call_end(struct ts_call *call) { ts_arena_free(&call->arena); }

static __attribute__((unused, noinline)) void ts_log_time(struct ts_call *call)
{
    ts_write_u8(call->tape, 'n');
    ts_write_i64(call->tape, call->time);
}

/* One value a call. */
TS_INLINE int64_t ts_now(struct ts_call *call)
{
    if (!call->timed) {
        call->time = call->host->now(call->context);
        call->timed = true;
        if (call->tape != NULL) {
            ts_log_time(call);
        }
    }
    return call->time;
}

TS_INLINE uint64_t ts_draw(struct ts_call *call)
{
    uint64_t draw = call->host->draw(call->context);
    if (call->tape != NULL) {
        ts_write_u8(call->tape, 'd');
        ts_write_u64(call->tape, draw);
    }
    return draw;
}

TS_INLINE void ts_log_answer(struct ts_call *call, ts_slice answer)
{
    if (call->tape != NULL) {
        ts_write_u8(call->tape, 'a');
        ts_write_bytes(call->tape, answer.data, answer.size);
    }
}

TS_INLINE double ts_rand(struct ts_call *call) { return ts_fraction(ts_draw(call)); }
TS_INLINE int64_t ts_rand_below(struct ts_call *call, int64_t n) { return ts_below(ts_draw(call), n); }
TS_INLINE void ts_trace(struct ts_call *call, ts_slice text) { call->host->trace(call, text); }

/* ---------------------------------------------------------------- texts which a call makes */

/* A copy which no store can change. */
TS_INLINE ts_slice ts_copy(struct ts_call *call, ts_slice text)
{
    if (text.size == 0) {
        return TS_EMPTY;
    }
    uint8_t *data = ts_take(&call->arena, text.size);
    memcpy(data, text.data, text.size);
    return (ts_slice){data, text.size};
}

/* Room for a text that is about to be written. */
TS_INLINE uint8_t *ts_take_text(struct ts_call *call, size_t size)
{
    if (size > UINT32_MAX) {
        ts_exhausted(&call->arena); /* no text has 4 GiB */
    }
    return ts_take(&call->arena, size);
}

TS_INLINE ts_slice ts_decimal_u64(struct ts_call *call, uint64_t x, bool negative)
{
    uint8_t *digits = ts_take(&call->arena, 24);
    uint32_t at = 24;
    do {
        digits[--at] = (uint8_t)('0' + x % 10);
        x /= 10;
    } while (x != 0);
    if (negative) {
        digits[--at] = '-';
    }
    return (ts_slice){digits + at, 24 - at};
}

TS_INLINE ts_slice ts_decimal(struct ts_call *call, int64_t x)
{
    return ts_decimal_u64(call, ts_magnitude(x), x < 0);
}

TS_INLINE bool ts_is_capital(uint8_t byte) { return byte >= 'A' && byte <= 'Z'; }

/* A text without a capital letter of ASCII is given back as it is. */
TS_INLINE ts_slice ts_lower(struct ts_call *call, ts_slice text)
{
    uint32_t at = 0;
    while (at < text.size && !ts_is_capital(text.data[at])) {
        at++;
    }
    if (at == text.size) {
        return text;
    }
    uint8_t *data = ts_take(&call->arena, text.size);
    for (uint32_t i = 0; i < text.size; i++) {
        data[i] = text.data[i] | (ts_is_capital(text.data[i]) ? 'a' - 'A' : 0);
    }
    return (ts_slice){data, text.size};
}

/* Whether a text is a number in decimal, with nothing before, between and after but a `-`; the number. */
TS_INLINE bool ts_parse_int(ts_slice text, int64_t *number)
{
    bool negative = text.size > 0 && text.data[0] == '-';
    uint64_t most = (uint64_t)INT64_MAX + negative, found = 0;
    *number = 0;
    if (text.size == negative) {
        return false;
    }
    for (uint32_t i = negative; i < text.size; i++) {
        uint64_t digit = (uint64_t)text.data[i] - '0';
        if (digit > 9 || found > (most - digit) / 10) {
            return false;
        }
        found = found * 10 + digit;
    }
    *number = (int64_t)(negative ? 0 - found : found);
    return true;
}

TS_INLINE ts_slice ts_spell_bool(bool x) { return x ? TS_TEXT("True") : TS_TEXT("False"); }

/* Adds a piece to a text that has room for it; where the next one goes. */
TS_INLINE uint8_t *ts_lay(uint8_t *to, ts_slice piece)
{
    if (piece.size > 0) {
        memcpy(to, piece.data, piece.size);
    }
    return to + piece.size;
}

#endif
