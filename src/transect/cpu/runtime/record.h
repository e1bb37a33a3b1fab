/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Keeping what handlers see and do: an event for each call, in a ring for each CPU.
 *
 * A call takes the most room that an event may need, writes in place, and in the end gives back what it did not use.
 * Events nest: `dequeue` is called while `dispatch` takes a task, and an interrupt may come at any time; then the outer
 * one keeps its room.  No two CPUs write to one ring, so nobody waits; `number` is the order of calls over all of them.
 * No call is under way where `begun` is `ended`: what lies before `end` is complete then, and the loader copies it
 * without looking into it.  `used` is kept in the event, where the verifier does not follow it: else every `if` of a
 * policy would double the states that it goes through.
 */
enum ts_hook { /* in the order of `HOOKS` in ring.py */
	TS_HOOK_enter,
	TS_HOOK_select,
	TS_HOOK_enqueue,
	TS_HOOK_dequeue,
	TS_HOOK_keep,
	TS_HOOK_dispatch,
	TS_HOOK_running,
	TS_HOOK_stopping,
	TS_HOOK_tick,
	TS_HOOK_alarm,
	TS_HOOK_wake,
	TS_HOOK_sleep,
	TS_HOOK_weight,
	TS_HOOK_affinity,
	TS_HOOK_leave,
	TS_HOOK_hint,
	TS_HOOK_detach,
};

#define TS_WORD 10 /* bytes of a word: its value, then its site */
#define TS_ROOM (1ull << (64 - __builtin_clzll(TS_TAPE * TS_WORD))) /* a power of two that has more */
#define TS_RING (4ull << 20)
#define TS_GAP (~0ull) /* as a number: up to the end of the ring no event fits */

struct ts_event { /* as `EVENT` in ring.py */
	u64 number;
	u64 now;
	u32 pid;
	u16 hook;
	u16 cpu;
	u32 used; /* bytes of words asked for; more than `TS_TAPE` words: the call is lost */
	u32 size; /* bytes to the next event */
	s64 args[2];
	s64 result;
	u8 words[TS_ROOM + 16];
};

struct ts_ring { /* as `Ring` in ring.py */
	u64 limit; /* the loader's: where an event may begin; 0: nothing is kept */
	u64 end;   /* where the next one begins */
	u64 begun;
	u64 ended;
	u64 lost;
	struct ts_event nowhere; /* of a call that is lost */
	u8 events[TS_RING + sizeof(struct ts_event)] __attribute__((aligned(4096)));
} __attribute__((aligned(4096)));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* the loader: of each CPU */
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct ts_ring);
} ts_rings SEC(".maps");

u64 ts_calls_kept SEC(".data.order");

TS_INLINE struct ts_event *ts_place(struct ts_ring *ring, u64 at)
{
	return (struct ts_event *)(ring->events + (at & (TS_RING - 1)));
}

/* Where the event that comes next begins: not so near the end of the ring that it would not fit. */
TS_INLINE u64 ts_reserve(struct ts_ring *ring)
{
	u64 at = __sync_fetch_and_add(&ring->end, sizeof(struct ts_event));
	if ((at & (TS_RING - 1)) <= TS_RING - sizeof(struct ts_event))
		return at;
	ts_place(ring, at)->number = TS_GAP;
	return __sync_fetch_and_add(&ring->end, sizeof(struct ts_event));
}

TS_INLINE void ts_begin(struct ts_call *call, u16 hook, u32 pid, s64 first, s64 second)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct ts_ring *ring = bpf_map_lookup_elem(&ts_rings, &cpu);
	struct ts_event *event = NULL;
	u64 at = TS_GAP; /* no place in the ring: nothing is given back */
	if (ring) {
		__sync_fetch_and_add(&ring->begun, 1);
		if (*(volatile u64 *)&ring->end < *(volatile u64 *)&ring->limit) {
			at = ts_reserve(ring);
			event = ts_place(ring, at);
			event->number = __sync_fetch_and_add(&ts_calls_kept, 1);
		} else {
			__sync_fetch_and_add(&ring->lost, 1);
			event = &ring->nowhere;
		}
		event->now = scx_bpf_now();
		event->pid = pid;
		event->hook = hook;
		event->cpu = cpu;
		*(volatile u32 *)&event->used = 0;
		event->args[0] = first;
		event->args[1] = second;
	}
	call->ring = ring;
	call->event = event;
	call->at = at;
}

/* The pointer itself is tested each time: were it a flag that clang keeps, the verifier would forget in loops what the
 * flag says of the pointer. */
TS_INLINE void ts_keep(struct ts_event *event, u16 site, s64 value)
{
	barrier_var(event);
	if (!event)
		return;
	u64 used = *(volatile u32 *)&event->used;
	u8 *word = event->words + (used & (TS_ROOM - 1));
	*(volatile s64 *)word = value;
	*(volatile u16 *)(word + 8) = site;
	*(volatile u32 *)&event->used = used + TS_WORD;
}

TS_INLINE void ts_end(struct ts_call *call, s64 result)
{
	struct ts_ring *ring = call->ring;
	struct ts_event *event = call->event;
	barrier_var(event);
	barrier_var(ring);
	if (!event || !ring)
		return;
	u64 words = *(volatile u32 *)&event->used & (TS_ROOM - 1);
	u64 size = (__builtin_offsetof(struct ts_event, words) + words + 7) & ~7ull;
	u64 most = call->at + sizeof(*event);
	bool last = __sync_val_compare_and_swap(&ring->end, most, call->at + size) == most;
	event->result = result;
	event->size = last ? size : sizeof(*event);
	__sync_fetch_and_add(&ring->ended, 1);
	call->event = NULL;
}

#define TS_BEGIN(hook, pid, first, second) ts_begin(&call, TS_HOOK_##hook, pid, first, second)
#define TS_END(value) ts_end(&call, value)

/* ---------------------------------------------------------------- what emitted handlers keep */

#define TS_SAY(site, value) ts_keep(call->event, site, (s64)(value))
#define TS_SAY_OPTION(site, ...) \
	do { \
		ts_option ts_said = (__VA_ARGS__); \
		TS_SAY(site, ts_said.some); \
		TS_SAY(site, ts_said.some ? ts_said.value : 0); \
	} while (0)
#define TS_SEEN(site, ...) \
	({ \
		__auto_type ts_value = (__VA_ARGS__); \
		TS_SAY(site, ts_value); \
		ts_value; \
	})
#define TS_SEEN_OPTION(site, ...) \
	({ \
		ts_option ts_value = (__VA_ARGS__); \
		TS_SAY_OPTION(site, ts_value); \
		ts_value; \
	})
#define TS_SEEN_PUT(site, key, stored, ...) \
	({ \
		TS_SAY(site, key); \
		TS_SAY(site, stored); \
		TS_SEEN(site, __VA_ARGS__); \
	})
#define TS_ASK(...) (__VA_ARGS__)
#define TS_OF(queue, ...) \
	({ \
		u64 ts_queue = (queue); \
		__VA_ARGS__; \
	}) /* what is asked of a queue that is found first: `ts_queue` */

/* ---------------------------------------------------------------- updates that give the value before */

TS_INLINE s64 ts_added(s64 *word, s64 value) { return __sync_fetch_and_add(word, value); }
