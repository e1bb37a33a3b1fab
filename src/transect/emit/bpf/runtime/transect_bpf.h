/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What emitted BPF stands on: numbers as the language has them, atomic updates, tables.
 *
 * Names that macros declare inside begin with `ts_`, which no name of a policy does, since macro arguments come from
 * the policy.
 *
 * State is made of 64-bit words.  Every update of a word is atomic; narrow integers truncate when they are stored and
 * when they are read, so that additions may wrap in between.
 */
#pragma once

#include "kernel.h"

typedef struct {
	bool some;
	s64 value;
} ts_option;

/* An option in state. */
struct ts_option_words {
	s64 some, value;
};

/* Functions of the runtime have no lines of their own: what they do counts as done at the policy's line. */
#define TS_INLINE static __attribute__((always_inline, nodebug)) inline
#define TS_HANDLER static __attribute__((always_inline)) inline

TS_INLINE ts_option ts_some(s64 value) { return (ts_option){ true, value }; }

/* Floors, as Python does.  For a division by zero, and of the smallest number by minus one, the BPF instructions do
 * what the language says and C does not, so they are written as instructions.  There are no branches: each would double
 * the paths of the verifier. */
TS_INLINE s64 ts_sign(s64 a) { return (a >> 63) | (s64)((u64)-a >> 63); }

TS_INLINE s64 ts_floordiv(s64 a, s64 b)
{
	s64 q = a;
	asm("%0 s/= %1" : "+r"(q) : "r"(b));
	return q + (((a - q * b) * ts_sign(b)) >> 63);
}

TS_INLINE s64 ts_mod(s64 a, s64 b)
{
	s64 r = a;
	asm("%0 s%%= %1" : "+r"(r) : "r"(b));
	return r + (((r * ts_sign(b)) >> 63) & b);
}

TS_INLINE u64 ts_floordiv_u64(u64 a, u64 b) { return b ? a / b : 0; }
TS_INLINE u64 ts_mod_u64(u64 a, u64 b) { return b ? a % b : a; }
TS_INLINE s64 ts_min(s64 a, s64 b) { return b < a ? b : a; }
TS_INLINE s64 ts_max(s64 a, s64 b) { return b > a ? b : a; }
TS_INLINE u64 ts_min_u64(u64 a, u64 b) { return b < a ? b : a; }
TS_INLINE u64 ts_max_u64(u64 a, u64 b) { return b > a ? b : a; }
TS_INLINE s64 ts_abs(s64 a) { return a < 0 ? -a : a; }
TS_INLINE s64 ts_shl(s64 a, s64 n) { return (s64)((u64)a << (n & 63)); }
TS_INLINE s64 ts_shr(s64 a, s64 n) { return a >> (n & 63); }
TS_INLINE u64 ts_shr_u64(u64 a, u64 n) { return a >> (n & 63); }

TS_INLINE s64 ts_rand_below(s64 n)
{
	u64 drawn = (u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();
	return n > 0 ? (s64)(drawn % (u64)n) : 0;
}

/* `hash64` of a number: XXH64 of its eight bytes, as in every other target. */
#define TS_ROTATED(x, by) ((x) << (by) | (x) >> (64 - (by)))
TS_INLINE u64 ts_hash64(u64 x, u64 seed)
{
	u64 word = x * 0xC2B2AE3D27D4EB4Full, hash = seed + 0x27D4EB2F165667C5ull + 8;
	hash ^= TS_ROTATED(word, 31) * 0x9E3779B185EBCA87ull;
	hash = TS_ROTATED(hash, 27) * 0x9E3779B185EBCA87ull + 0x85EBCA77C2B2AE63ull;
	hash = (hash ^ hash >> 33) * 0xC2B2AE3D27D4EB4Full;
	hash = (hash ^ hash >> 29) * 0x165667B19E3779F9ull;
	return hash ^ hash >> 32;
}

/* ---------------------------------------------------------------- words of state */

#define TS_READ(word) (*(volatile s64 *)&(word))
#define TS_WRITE(word, ...) (*(volatile s64 *)&(word) = (__VA_ARGS__))

TS_INLINE ts_option ts_option_read(struct ts_option_words *words)
{
	return (ts_option){ TS_READ(words->some) != 0, TS_READ(words->value) };
}

TS_INLINE void ts_option_write(struct ts_option_words *words, ts_option value)
{
	TS_WRITE(words->value, value.value);
	TS_WRITE(words->some, value.some);
}

TS_INLINE void ts_add(s64 *word, s64 value) { __sync_fetch_and_add(word, value); }

/* Keep the larger (the smaller) value, whoever else writes meanwhile; return the value before.  These are global
 * functions, so the verifier checks them once and not again on each path to a call. */
__weak s64 ts_raise(s64 *word __arg_nonnull, s64 value)
{
	s64 old = TS_READ(*word);
	while (value > old && can_loop) {
		s64 seen = __sync_val_compare_and_swap(word, old, value);
		if (seen == old)
			break;
		old = seen;
	}
	return old;
}

__weak s64 ts_lower(s64 *word __arg_nonnull, s64 value)
{
	s64 old = TS_READ(*word);
	while (value < old && can_loop) {
		s64 seen = __sync_val_compare_and_swap(word, old, value);
		if (seen == old)
			break;
		old = seen;
	}
	return old;
}

/* Any other update, tried until nobody wrote meanwhile: `ts_before` is the value that it is made from, and what the
 * macro gives. */
#define TS_CHANGED(word, ...) \
	({ \
		s64 *ts_word = (word); \
		s64 ts_seen = TS_READ(*ts_word), ts_before; \
		do { \
			ts_before = ts_seen; \
			ts_seen = __sync_val_compare_and_swap(ts_word, ts_before, (s64)(__VA_ARGS__)); \
		} while (ts_seen != ts_before && can_loop); \
		ts_before; \
	})

/* ---------------------------------------------------------------- tables: a word by a word */

#define TS_TABLE(name, capacity) \
	struct { \
		__uint(type, BPF_MAP_TYPE_HASH); \
		__uint(max_entries, capacity); \
		__type(key, u64); \
		__type(value, s64); \
	} name SEC(".maps");

TS_INLINE bool ts_table_has(void *table, u64 key) { return bpf_map_lookup_elem(table, &key) != NULL; }

TS_INLINE s64 ts_table_get_or(void *table, u64 key, s64 absent)
{
	s64 *word = bpf_map_lookup_elem(table, &key);
	return word ? TS_READ(*word) : absent;
}

TS_INLINE ts_option ts_table_get(void *table, u64 key)
{
	s64 *word = bpf_map_lookup_elem(table, &key);
	return word ? ts_some(TS_READ(*word)) : (ts_option){ false, 0 };
}

/* The word under the key, made with `first` when it is new; NULL and one overflow more when the table is full. */
TS_INLINE s64 *ts_table_word(void *table, u64 key, s64 first, s64 *overflow)
{
	s64 *word = bpf_map_lookup_elem(table, &key);
	if (word)
		return word;
	bpf_map_update_elem(table, &key, &first, BPF_NOEXIST);
	word = bpf_map_lookup_elem(table, &key); /* ours, or that of another CPU which was faster */
	if (!word)
		ts_add(overflow, 1);
	return word;
}

TS_INLINE bool ts_table_put(void *table, u64 key, s64 value, s64 *overflow)
{
	s64 *word = ts_table_word(table, key, value, overflow);
	if (!word)
		return false;
	TS_WRITE(*word, value);
	return true;
}

TS_INLINE void ts_table_remove(void *table, u64 key) { bpf_map_delete_elem(table, &key); }

/* ---------------------------------------------------------------- loops and elements */

/* How often a range is gone through; its step is never 0. */
TS_INLINE s64 ts_rounds(s64 first, s64 last, s64 step)
{
	s64 span = step > 0 ? last - first : first - last;
	s64 size = step > 0 ? step : -step;
	return span <= 0 ? 0 : (span + size - 1) / size;
}

/* The front end has shown that the index is in range, and clang may see it too; the verifier must see the test. */
#define TS_ELEMENT(array, index, length) \
	({ \
		u64 ts_index = (index); \
		barrier_var(ts_index); \
		ts_index < (length) ? TS_READ((array)[ts_index]) : 0; \
	})
