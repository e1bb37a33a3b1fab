/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Walks another machine's memory from the network: each RDMA READ response of a granted peer is rewritten into the next
 * READ request, and sent back where it came from.  User space sees the last response only.
 *
 * What is walked is data: a chain has registers and is at a step; a step says what to read, what to take from the answer,
 * what to test, what to keep, and which step comes next (`steps.py` has the same, and is the definition).  A new probe is
 * more steps in the map, while other chains run.
 *
 * A packet moves a chain only when it is the granted peer's answer to the one READ that the chain waits for: addresses,
 * queue pair, number, length and checksum must fit.  What does not fit is counted and dropped.  A READ is only asked for
 * within the ranges of memory that the peer has granted.  Every chain has a number of READs left, and ends with it.
 */
#include "kernel.h"

#include <bpf/bpf_endian.h>

#define CHAINS 16
#define STEPS 1024
#define REGISTERS 8
#define RANGES 16
#define MOVES 6
#define TESTS 4
#define KEPT (256 * 1024) /* bytes of records of a chain */
#define LONGEST 1024	  /* bytes of one READ */
#define SHORTEST 16	  /* a response must be as long as a request */
#define REQUEST 74	  /* bytes of a READ request, with Ethernet */
#define PORT 4791
#define PSNS 0xffffff
#define DONE 0xffff
#define PAYLOAD 0xff
#define SEED 0xdebb20e3 /* CRC-32 of eight bytes of ones, not yet inverted */
#define FRAME 0x000ffffffffff000ULL

enum { READ_REQUEST = 0x0c, ONLY = 0x10, ACKNOWLEDGE = 0x11 };
enum { CHECKS = 1, OPENS = 2, KEEPS = 4, CLOSES = 8, INSERTS = 16, OUTSIDERS = 32, STOPS = 64 };
enum { IDLE, RUNNING, FINISHED, BROKEN, OUTSIDE, UNMAPPED, STRADDLES, TOO_LONG, FULL, REFUSED };

enum { XDP_DROP = 1, XDP_PASS = 2, XDP_TX = 3 };
enum { BPF_MAP_TYPE_LRU_HASH = 9 };
enum { TYPE_IP = 0x0800, PROTOCOL_UDP = 17 };

struct xdp_md { /* of the kernel */
	__u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

struct ethernet {
	__u8 to[6], from[6];
	__be16 type;
} __attribute__((packed));

struct ip {
	__u8 version, tos;
	__be16 length, id, fragment;
	__u8 ttl, protocol;
	__u16 check;
	__be32 from, to;
} __attribute__((packed));

struct udp {
	__be16 from, to, length, check;
} __attribute__((packed));

struct bth {
	__u8 opcode, flags;
	__be16 partition;
	__be32 pair, psn;
};

struct reth {
	__u64 address; /* big-endian */
	__be32 key, length;
} __attribute__((packed));

struct request {
	struct ethernet eth;
	struct ip ip;
	struct udp udp;
	struct bth bth;
	struct reth reth;
	__u32 icrc;
} __attribute__((packed));

struct response {
	struct ethernet eth;
	struct ip ip;
	struct udp udp;
	struct bth bth;
	__be32 aeth;
} __attribute__((packed));

struct move {
	__u8 into, source;
	__u16 unused;
	__s32 at;
};

struct test {
	__u16 at, inverted; /* of the word with the field */
	__u32 shift;
	__u64 low, high, mask;
};

struct step {
	__s32 offset;
	__u16 length;
	__u8 base, flags;
	__u16 check_at;
	__u8 check, opens, member, set, stop, end;
	__u16 then, otherwise;
	__u8 moves, tests;
	__u16 unused;
	struct move move[MOVES];
	struct test test[TESTS];
};

struct chain {
	__u64 registers[REGISTERS];
	__u64 address; /* of the READ that is waited for, as the peer counts */
	__u64 fault;   /* where it ended, when that was not its end */
	__u64 target;  /* what the page tables are asked for */
	__u32 psn, hops, left, elements, records, used, opened, epoch;
	__u16 pc, length;
	__u8 status, level, matched, unused;
	__u32 ignored, unused2;
};

struct grant {
	__u64 linear, top, image, image_size, base, root;
	__u32 key, levels;
	__be32 own, peer;
	__u32 first_pair, ranges;
	__u32 pairs[CHAINS];
	__u64 range[RANGES][2];
};

struct member {
	__u64 address;
	__u32 set, epoch;
};

#define ARRAY(NAME, VALUE, COUNT, FLAGS)             \
	struct {                                     \
		__uint(type, BPF_MAP_TYPE_ARRAY);    \
		__uint(map_flags, FLAGS);            \
		__uint(max_entries, COUNT);          \
		__type(key, __u32);                  \
		__type(value, VALUE);                \
	} NAME SEC(".maps")

struct records {
	__u8 bytes[KEPT + LONGEST];
};

struct slices {
	__u32 of[4][256];
};

ARRAY(steps, struct step, STEPS, 0);
ARRAY(chains, struct chain, CHAINS, BPF_F_MMAPABLE);
ARRAY(kept, struct records, CHAINS, BPF_F_MMAPABLE);
ARRAY(grants, struct grant, 1, 0);
ARRAY(crc, struct slices, 1, 0);

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct member);
	__type(value, __u8);
} members SEC(".maps");

static const __u32 zero;

/* ---------------------------------------------------------------- checksums */

/* Four bytes at a time.  `words` from the IP header on, without the ICRC itself; what routers may change counts as ones. */
__u32 icrc(struct xdp_md *packet, __u32 words)
{
	void *data = (void *)(long)packet->data, *end = (void *)(long)packet->data_end;
	struct slices *slices = bpf_map_lookup_elem(&crc, &zero);
	__u32 now = SEED, i;

	if (!slices)
		return 0;
	for (i = 0; i < (LONGEST + 44) / 4; i++) {
		__u32 *at = data + sizeof(struct ethernet) + 4 * i, word;

		if (i >= words || (void *)(at + 1) > end)
			break;
		word = *at;
		if (i == 0)
			word |= 0x0000ff00; /* type of service */
		else if (i == 2)
			word |= 0xffff00ff; /* time to live, checksum */
		else if (i == 6)
			word |= 0xffff0000; /* checksum of UDP */
		else if (i == 8)
			word |= 0x000000ff; /* reserved byte of the BTH */
		now ^= word;
		now = slices->of[3][now & 255] ^ slices->of[2][now >> 8 & 255] ^ slices->of[1][now >> 16 & 255] ^
		      slices->of[0][now >> 24];
	}
	return ~now;
}

static __always_inline __u16 ip_checksum(void *ip)
{
	__u16 *at = ip;
	__u32 sum = 0;
	int i;

	for (i = 0; i < 10; i++)
		sum += at[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* ---------------------------------------------------------------- what to read next */

static __always_inline bool granted(struct grant *grant, __u64 address, __u32 length)
{
	__u32 i;

	for (i = 0; i < RANGES && i < grant->ranges; i++)
		if (address >= grant->range[i][0] && address + length <= grant->range[i][1] &&
		    address + length > address)
			return true;
	return false;
}

static __always_inline void stop(struct chain *chain, __u8 status, __u64 fault)
{
	chain->status = status;
	chain->fault = fault;
}

/* A READ of physical memory. */
static __always_inline void want(struct chain *chain, struct grant *grant, __u64 address, __u32 length)
{
	if (!granted(grant, address, length))
		return stop(chain, OUTSIDE, address);
	chain->address = grant->linear + address;
	chain->length = length;
}

static __always_inline void want_entry(struct chain *chain, struct grant *grant, __u64 table)
{
	__u64 index = chain->target >> (3 + 9 * (chain->level & 7)) & 511;

	want(chain, grant, table + 8 * index & ~15ULL, 16);
}

/* Where the step that comes next reads. */
static __always_inline void locate(struct chain *chain, struct grant *grant, struct step *step)
{
	__u64 pointer = chain->registers[step->base & 7], address = pointer + step->offset;

	chain->level = 0;
	if (address - grant->linear < grant->top)
		want(chain, grant, address - grant->linear, step->length);
	else if (address - grant->image < grant->image_size)
		want(chain, grant, grant->base + address - grant->image, step->length);
	else if (!(pointer >> 63))
		stop(chain, OUTSIDE, address);
	else if ((address & 4095) + step->length > 4096)
		stop(chain, STRADDLES, address);
	else {
		chain->target = address;
		chain->level = grant->levels;
		want_entry(chain, grant, grant->root);
	}
}

/* The answer is an entry of a page table. */
static __always_inline void descend(struct chain *chain, struct grant *grant, __u64 entry)
{
	__u32 level = chain->level & 7;
	__u64 within = (1ULL << (3 + 9 * level)) - 1, frame = entry & FRAME;
	struct step *step;
	__u32 pc = chain->pc;

	if (!(entry & 1))
		return stop(chain, UNMAPPED, chain->target);
	if (level > 1 && !(level <= 3 && entry & 128)) {
		chain->level = level - 1;
		return want_entry(chain, grant, frame);
	}
	step = bpf_map_lookup_elem(&steps, &pc);
	chain->level = 0;
	if (step)
		want(chain, grant, (frame & ~within) | (chain->target & within), step->length);
}

/* ---------------------------------------------------------------- what an answer does */

static __always_inline __u64 word_at(struct xdp_md *packet, __u32 at)
{
	__u64 word = 0;

	bpf_xdp_load_bytes(packet, sizeof(struct response) + (at & LONGEST - 1), &word, sizeof(word));
	return word;
}

static __always_inline bool passes(struct test *test, struct xdp_md *packet)
{
	__u64 value = word_at(packet, test->at) >> (test->shift & 63) & test->mask;

	return (value >= test->low && value <= test->high) != test->inverted;
}

static __always_inline void keep(struct chain *chain, struct records *records, struct xdp_md *packet, __u32 length)
{
	if (length && length <= LONGEST)
		bpf_xdp_load_bytes(packet, sizeof(struct response), records->bytes + (chain->used & KEPT - 8), length);
	chain->used += length;
}

static __always_inline void sets(struct chain *chain, struct step *step)
{
	struct member key = {
		.address = chain->registers[step->member & 7],
		.set = step->set,
		.epoch = chain->epoch,
	};
	__u8 one = 1;

	if (step->flags & INSERTS)
		bpf_map_update_elem(&members, &key, &one, BPF_ANY);
	if (step->flags & OUTSIDERS && bpf_map_lookup_elem(&members, &key))
		chain->matched = 0;
}

static __always_inline void moves(struct chain *chain, struct step *step, struct xdp_md *packet)
{
	__u32 i;

	for (i = 0; i < MOVES && i < step->moves; i++) {
		struct move *move = &step->move[i];

		chain->registers[move->into & 7] = move->source == PAYLOAD
							   ? word_at(packet, move->at)
							   : chain->registers[move->source & 7] + move->at;
	}
}

static __always_inline void record(struct chain *chain, struct step *step, struct records *records,
				   struct xdp_md *packet)
{
	__u32 i;

	if (step->flags & OPENS) {
		chain->opened = chain->used;
		chain->matched = 1;
		chain->elements++;
		*(__u64 *)(records->bytes + (chain->used & KEPT - 8)) = chain->registers[step->opens & 7];
		chain->used += 8;
	}
	for (i = 0; i < TESTS && i < step->tests; i++)
		if (!passes(&step->test[i], packet))
			chain->matched = 0;
	if (step->flags & KEEPS)
		keep(chain, records, packet, step->length);
}

static __always_inline void close(struct chain *chain, struct step *step)
{
	if (!(step->flags & CLOSES))
		return;
	if (chain->matched)
		chain->records++;
	else
		chain->used = chain->opened;
}

/* The answer is what the step wanted. */
static __always_inline void advance(struct chain *chain, struct grant *grant, struct records *records,
				    struct xdp_md *packet)
{
	__u32 pc = chain->pc;
	struct step *step = bpf_map_lookup_elem(&steps, &pc), *next;

	if (!step)
		return stop(chain, BROKEN, 0);
	if (step->flags & CHECKS &&
	    word_at(packet, step->check_at) != chain->registers[step->check & 7])
		return stop(chain, BROKEN, chain->registers[step->base & 7]);
	if (step->flags & OPENS && chain->used > KEPT - 8 * LONGEST)
		return stop(chain, FULL, chain->registers[step->base & 7]);
	record(chain, step, records, packet);
	moves(chain, step, packet);
	sets(chain, step);
	close(chain, step);
	pc = step->then;
	if (step->flags & STOPS && chain->registers[step->stop & 7] == chain->registers[step->end & 7])
		pc = step->otherwise;
	chain->pc = pc;
	if (pc == DONE)
		return stop(chain, FINISHED, 0);
	next = bpf_map_lookup_elem(&steps, &pc);
	if (!next)
		return stop(chain, BROKEN, 0);
	locate(chain, grant, next);
}

/* ---------------------------------------------------------------- packets */

/* The response in place of which the request stands now. */
static __always_inline int ask(struct xdp_md *packet, struct chain *chain, struct grant *grant, __u32 slot)
{
	int length = packet->data_end - packet->data;
	struct request *request;
	void *end;
	__u8 mac[6];

	if (bpf_xdp_adjust_tail(packet, REQUEST - length))
		return XDP_DROP;
	request = (void *)(long)packet->data;
	end = (void *)(long)packet->data_end;
	if ((void *)(request + 1) > end)
		return XDP_DROP;
	chain->psn = (chain->psn + 1) & PSNS;
	__builtin_memcpy(mac, request->eth.to, 6);
	__builtin_memcpy(request->eth.to, request->eth.from, 6);
	__builtin_memcpy(request->eth.from, mac, 6);
	request->ip.tos = 0;
	request->ip.length = bpf_htons(REQUEST - sizeof(struct ethernet));
	request->ip.id = 0;
	request->ip.fragment = bpf_htons(0x4000);
	request->ip.ttl = 64;
	request->ip.from = grant->own;
	request->ip.to = grant->peer;
	request->ip.check = 0;
	request->ip.check = ip_checksum((void *)request + sizeof(struct ethernet));
	request->udp.from = request->udp.to = bpf_htons(PORT);
	request->udp.length = bpf_htons(REQUEST - sizeof(struct ethernet) - sizeof(struct ip));
	request->udp.check = 0;
	request->bth.opcode = READ_REQUEST;
	request->bth.flags = 0x40;
	request->bth.partition = bpf_htons(0xffff);
	request->bth.pair = bpf_htonl(grant->pairs[slot & (CHAINS - 1)]);
	request->bth.psn = bpf_htonl(chain->psn);
	request->reth.address = bpf_cpu_to_be64(chain->address);
	request->reth.key = bpf_htonl(grant->key);
	request->reth.length = bpf_htonl(chain->length);
	request->icrc = icrc(packet, (REQUEST - sizeof(struct ethernet) - 4) / 4);
	return XDP_TX;
}

static __always_inline int ignored(struct chain *chain)
{
	chain->ignored++;
	return XDP_DROP;
}

/* A refusal ends the chain, and user space is told by the packet itself. */
static __always_inline int refused(struct chain *chain, struct response *response, __u32 length)
{
	__u32 syndrome = bpf_ntohl(response->aeth) >> 24;

	if (length != sizeof(*response) + 4 || (syndrome & 0x60) != 0x60)
		return ignored(chain);
	stop(chain, REFUSED, (__u64)syndrome << 24 | (bpf_ntohl(response->bth.psn) & PSNS));
	return XDP_PASS;
}

SEC("xdp")
int chase(struct xdp_md *packet)
{
	void *data = (void *)(long)packet->data, *end = (void *)(long)packet->data_end;
	struct response *response = data;
	struct grant *grant = bpf_map_lookup_elem(&grants, &zero);
	struct chain *chain;
	struct records *records;
	__u32 slot, length, sum;
	__u32 *given;

	if (!grant || (void *)(response + 1) > end || response->eth.type != bpf_htons(TYPE_IP) ||
	    response->ip.version != 0x45 || response->ip.protocol != PROTOCOL_UDP ||
	    response->udp.to != bpf_htons(PORT))
		return XDP_PASS;
	slot = (bpf_ntohl(response->bth.pair) & PSNS) - grant->first_pair;
	if (slot >= CHAINS)
		return XDP_PASS;
	chain = bpf_map_lookup_elem(&chains, &slot);
	records = bpf_map_lookup_elem(&kept, &slot);
	if (!chain || !records || chain->status != RUNNING)
		return XDP_PASS; /* user space's own traffic */
	if (response->ip.from != grant->peer || response->ip.to != grant->own)
		return ignored(chain);
	length = sizeof(struct ethernet) + bpf_ntohs(response->ip.length);
	if (length > LONGEST + sizeof(*response) + 4 || length < sizeof(*response) + 4)
		return ignored(chain);
	given = data + ((length - 4) & 0x7ff);
	if ((void *)(given + 1) > end)
		return ignored(chain);
	sum = *given;
	if (icrc(packet, (length - sizeof(struct ethernet) - 4) / 4) != sum)
		return ignored(chain);
	if (response->bth.opcode == ACKNOWLEDGE)
		return refused(chain, response, length);
	if (response->bth.opcode != ONLY || (bpf_ntohl(response->bth.psn) & PSNS) != chain->psn ||
	    length != sizeof(*response) + chain->length + 4 || response->bth.flags & 0x30)
		return ignored(chain);
	chain->hops++;
	if (chain->level)
		descend(chain, grant, word_at(packet, chain->target >> (3 + 9 * (chain->level & 7)) & 1 ? 8 : 0));
	else
		advance(chain, grant, records, packet);
	if (chain->status == RUNNING && !chain->left)
		stop(chain, TOO_LONG, chain->address);
	if (chain->status != RUNNING)
		return XDP_PASS;
	chain->left--;
	return ask(packet, chain, grant, slot);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
