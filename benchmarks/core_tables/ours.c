/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of `policy.py`, as emitted. */
#include "timed.c"

#include "keys.h"

static struct timed_state *state;

static void make_tables(uint32_t count)
{
    (void)count;
    state = timed_new(UINT64_C(0x6a09e667f3bcc908));
}

static ts_slice slice(const struct text *key) { return (ts_slice){(const uint8_t *)key->data, key->size}; }

static struct timed_tuple2_int_int pair(const struct flow *key) { return (struct timed_tuple2_int_int){key->source, key->port}; }

static void put_text(const struct text *key, int64_t value) { *timed_by_text_table_place(&state->by_text, slice(key)) = value; }
static int64_t get_text(const struct text *key) { return *timed_by_text_table_find(&state->by_text, slice(key)); }
static int64_t renew_text(const struct text *key, int64_t value)
{
    return *timed_recent_text_table_renew(&state->recent_text, slice(key)) = value;
}
static uint64_t bytes_text(void) { return sizeof state->recent_text; }

static void put_flow(const struct flow *key, int64_t value) { *timed_by_flow_table_place(&state->by_flow, pair(key)) = value; }
static int64_t get_flow(const struct flow *key) { return *timed_by_flow_table_find(&state->by_flow, pair(key)); }
static int64_t renew_flow(const struct flow *key, int64_t value)
{
    return *timed_recent_flow_table_renew(&state->recent_flow, pair(key)) = value;
}
static uint64_t bytes_flow(void) { return sizeof state->recent_flow; }

#include "loads.h"
