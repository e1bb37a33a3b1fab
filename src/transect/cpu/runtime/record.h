/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Keeping what handlers see and do: an event for each call, in one ring for all CPUs.
 *
 * The place in the ring is taken when the call begins; the order of places is the order of calls.  All events of an
 * object are of one size, so that the loader copies them without looking into each.  `count` is kept in the event, where
 * the verifier does not follow it: else every `if` of a policy would double the states that it goes through.
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

struct ts_event {
	u64 now;
	u32 pid;
	u16 hook;
	u16 cpu;
	u64 count; /* of words asked for; more than there is room for: the call is lost */
	s64 args[2];
	s64 result;
	s64 words[TS_TAPE];
	u16 sites[(TS_TAPE + 3) & ~3];
};

/* What the loader and all versions share. */
struct ts_recorder {
	u64 on;
	u64 lost;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} ts_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct ts_recorder);
} ts_recorders SEC(".maps");

TS_INLINE struct ts_event *ts_begin(u16 hook, u32 pid, s64 first, s64 second)
{
	u32 zero = 0;
	struct ts_recorder *recorder = bpf_map_lookup_elem(&ts_recorders, &zero);
	if (!recorder || !recorder->on)
		return NULL;
	struct ts_event *event = bpf_ringbuf_reserve(&ts_events, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&recorder->lost, 1);
		return NULL;
	}
	event->now = scx_bpf_now();
	event->pid = pid;
	event->hook = hook;
	event->cpu = bpf_get_smp_processor_id();
	*(volatile u64 *)&event->count = 0;
	event->args[0] = first;
	event->args[1] = second;
	return event;
}

/* The pointer itself is tested each time: were it a flag that clang keeps, the verifier would forget in loops what the
 * flag says of the pointer. */
TS_INLINE void ts_keep(struct ts_event *event, u16 site, s64 value)
{
	barrier_var(event);
	if (!event)
		return;
	u64 n = *(volatile u64 *)&event->count;
	if (n < TS_TAPE) {
		event->words[n] = value;
		event->sites[n] = site;
	}
	*(volatile u64 *)&event->count = n + 1;
}

#define TS_BEGIN(hook, pid, first, second) (call.event = ts_begin(TS_HOOK_##hook, pid, first, second))
#define TS_END(value) \
	do { \
		struct ts_event *event = call.event; \
		barrier_var(event); \
		if (event) { \
			event->result = (value); \
			bpf_ringbuf_submit(event, 1 /* BPF_RB_NO_WAKEUP */); \
		} \
		call.event = NULL; \
	} while (0)

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

/* ---------------------------------------------------------------- updates that give the value before */

TS_INLINE s64 ts_added(s64 *word, s64 value) { return __sync_fetch_and_add(word, value); }
