/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The first condition of the policy's that did not hold: its number, from 1; the loader looks. */
s64 ts_first_broken SEC(".data.broken");

TS_INLINE void ts_broken(s64 number) { __sync_val_compare_and_swap(&ts_first_broken, 0, number); }
