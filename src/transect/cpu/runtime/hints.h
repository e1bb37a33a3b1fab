/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What applications and the scheduler say to each other.  Each application that has attached has a seat: a ring that it
 * writes (`ts_inboxes`), one that it reads (`ts_outboxes`), and counts of what went through.  The broker of the loader
 * gives seats; `broker.py` and `transect_hints.h` have the same layouts. */
#undef TS_CLOCK
#define TS_CLOCK() bpf_ktime_get_ns() /* CLOCK_MONOTONIC */

#define TS_SEATS 64
#define TS_NUMBERS 6
#define TS_AT_ONCE 16		 /* hints that one look takes from a seat */
#define TS_PAUSE (1000 * 1000ull) /* ns until the next look at it, after so many: a flood costs this much, and no more */

struct ts_message {
	u32 kind;   /* of a hint: its name and fields */
	u32 thread; /* whom it is about */
	s64 numbers[TS_NUMBERS];
};

struct ts_seat {
	s64 process; /* 0: free */
	s64 looked;  /* when last, ns */
	s64 heard;
	s64 unknown; /* hints of another kind */
	s64 strange; /* about threads that are not its own, or gone */
	s64 short_;  /* not of a hint's size */
	s64 told;
	s64 lost;    /* not told: its ring was full */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TS_SEATS + 1); /* the last one: the number of seats to look at */
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct ts_seat);
} ts_seats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TS_SEATS);
	__type(key, u64);
	__type(value, u32);
} ts_seat_of SEC(".maps");

struct ts_inbox {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 1 << 16);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TS_SEATS);
	__type(key, u32);
	__array(values, struct ts_inbox);
} ts_inboxes SEC(".maps");

struct ts_outbox {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TS_SEATS);
	__type(key, u32);
	__array(values, struct ts_outbox);
} ts_outboxes SEC(".maps");

TS_INLINE struct ts_seat *ts_seat(u32 number) { return bpf_map_lookup_elem(&ts_seats, &number); }

#define TS_TELL(process, kind, ...) ts_tell(process, &(struct ts_message){ kind, 0, { __VA_ARGS__ } })

static __attribute__((noinline)) void ts_say(u64 process, struct ts_message *message)
{
	u32 *number = bpf_map_lookup_elem(&ts_seat_of, &process);
	void *box = number ? bpf_map_lookup_elem(&ts_outboxes, number) : NULL;
	struct ts_seat *seat = number ? ts_seat(*number) : NULL;
	if (!box || !seat)
		return;
	if (bpf_ringbuf_output(box, message, sizeof(*message), 0))
		ts_add(&seat->lost, 1);
	else
		ts_add(&seat->told, 1);
}

TS_INLINE void ts_tell(u64 process, struct ts_message *message) { ts_say(process, message); }
