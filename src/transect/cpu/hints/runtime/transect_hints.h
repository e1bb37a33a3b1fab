/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* How an application talks with the scheduler in force: the fixed part; what is said comes from the emitted header.
 *
 * Rings of shared memory go both ways.  The loader's broker hands them out at a Unix socket, where it refuses messages
 * that the policy in force does not know.  No privilege is needed.  Calls may come from any thread.
 */
#ifndef TRANSECT_HINTS_H
#define TRANSECT_HINTS_H

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define TRANSECT_SOCKET "/run/transect-hints.sock"
#define TRANSECT_NUMBERS 6
#define TRANSECT_RING (1u << 16) /* bytes of each ring */
#define TRANSECT_BUSY (1u << 31)
#define TRANSECT_DISCARD (1u << 30)

struct transect_message {
	uint32_t kind, thread;
	int64_t numbers[TRANSECT_NUMBERS];
};

struct transect {
	int socket, outbox;
	int lock;
	long page;
	volatile uint64_t *in_taken, *in_put; /* hints: the kernel takes, we put */
	unsigned char *in_data;
	volatile uint64_t *out_taken, *out_put; /* what we are told */
	unsigned char *out_data;
};

static inline int transect_failed(struct transect *t, char *why, size_t size, const char *what)
{
	if (why && size)
		snprintf(why, size, "%s", what);
	if (t->socket >= 0)
		close(t->socket);
	t->socket = -1;
	return -1;
}

static inline int transect_map(struct transect *t, int inbox)
{
	size_t rest = t->page + 2 * TRANSECT_RING;
	t->in_taken = mmap(NULL, t->page, PROT_READ, MAP_SHARED, inbox, 0);
	t->in_put = mmap(NULL, rest, PROT_READ | PROT_WRITE, MAP_SHARED, inbox, t->page);
	t->out_taken = mmap(NULL, t->page, PROT_READ | PROT_WRITE, MAP_SHARED, t->outbox, 0);
	t->out_put = mmap(NULL, rest, PROT_READ, MAP_SHARED, t->outbox, t->page);
	close(inbox);
	if (t->in_taken == MAP_FAILED || t->in_put == MAP_FAILED || t->out_taken == MAP_FAILED ||
	    t->out_put == MAP_FAILED)
		return -1;
	t->in_data = (unsigned char *)t->in_put + t->page;
	t->out_data = (unsigned char *)t->out_put + t->page;
	return 0;
}

/* Attach, saying what we would send and hear.  0; or -1, and `why` says what to do. */
static inline int transect_attach(struct transect *t, const char *forms, char *why, size_t size)
{
	struct sockaddr_un place = { .sun_family = AF_UNIX };
	char answer[1024], room[CMSG_SPACE(2 * sizeof(int))];
	struct iovec into = { answer, sizeof(answer) - 1 };
	struct msghdr got = { .msg_iov = &into, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	const char *other = getenv("TRANSECT_HINTS");
	int rings[2];

	memset(t, 0, sizeof(*t));
	t->page = sysconf(_SC_PAGESIZE);
	snprintf(place.sun_path, sizeof(place.sun_path), "%s", other ? other : TRANSECT_SOCKET);
	t->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (t->socket < 0 || connect(t->socket, (struct sockaddr *)&place, sizeof(place)))
		return transect_failed(t, why, size, "no scheduler that takes hints is in force");
	if (send(t->socket, forms, strlen(forms), MSG_NOSIGNAL) < 0)
		return transect_failed(t, why, size, strerror(errno));
	ssize_t length = recvmsg(t->socket, &got, MSG_CMSG_CLOEXEC);
	if (length <= 0)
		return transect_failed(t, why, size, "the scheduler's loader has gone");
	answer[length] = 0;
	struct cmsghdr *passed = CMSG_FIRSTHDR(&got);
	if (answer[0] != '+' || !passed || passed->cmsg_len != CMSG_LEN(sizeof(rings)))
		return transect_failed(t, why, size, answer + 1);
	memcpy(rings, CMSG_DATA(passed), sizeof(rings));
	t->outbox = rings[1];
	if (transect_map(t, rings[0]))
		return transect_failed(t, why, size, strerror(errno));
	return 0;
}

/* Say something of a thread of ours; 0: of the calling one.  0; or -1: the ring is full, try again later. */
static inline int transect_say(struct transect *t, uint32_t kind, uint32_t thread, int count, const int64_t *numbers)
{
	struct transect_message message = { kind, thread ? thread : (uint32_t)syscall(SYS_gettid), { 0 } };
	uint32_t head[2] = { sizeof(message), 0 };
	int done = -1;

	memcpy(message.numbers, numbers, (count < TRANSECT_NUMBERS ? count : TRANSECT_NUMBERS) * sizeof(*numbers));
	while (__atomic_exchange_n(&t->lock, 1, __ATOMIC_ACQUIRE))
		;
	uint64_t put = *t->in_put;
	uint64_t taken = __atomic_load_n(t->in_taken, __ATOMIC_ACQUIRE);
	if (put - taken + sizeof(head) + sizeof(message) <= TRANSECT_RING) {
		unsigned char *at = t->in_data + put % TRANSECT_RING;
		memcpy(at + sizeof(head), &message, sizeof(message));
		memcpy(at, head, sizeof(head));
		__atomic_store_n(t->in_put, put + sizeof(head) + sizeof(message), __ATOMIC_RELEASE);
		done = 0;
	}
	__atomic_store_n(&t->lock, 0, __ATOMIC_RELEASE);
	return done;
}

/* The next message that we are told, waiting for it so many milliseconds (-1: for ever).  1; or 0: none. */
static inline int transect_hear(struct transect *t, struct transect_message *message, int wait_ms)
{
	for (;;) {
		uint64_t taken = *t->out_taken;
		uint64_t put = __atomic_load_n(t->out_put, __ATOMIC_ACQUIRE);
		while (taken < put) {
			unsigned char *at = t->out_data + taken % TRANSECT_RING;
			uint32_t size = __atomic_load_n((uint32_t *)at, __ATOMIC_ACQUIRE);
			if (size & TRANSECT_BUSY)
				break;
			int kept = !(size & TRANSECT_DISCARD) && (size & ~TRANSECT_DISCARD) >= sizeof(*message);
			if (kept)
				memcpy(message, at + 8, sizeof(*message));
			taken += 8 + (((size & ~TRANSECT_DISCARD) + 7) & ~7u);
			__atomic_store_n(t->out_taken, taken, __ATOMIC_RELEASE);
			if (kept)
				return 1;
		}
		struct pollfd waiting = { t->outbox, POLLIN, 0 };
		if (!wait_ms || poll(&waiting, 1, wait_ms) <= 0)
			return 0;
	}
}

static inline void transect_detach(struct transect *t)
{
	size_t rest = t->page + 2 * TRANSECT_RING;
	munmap((void *)t->in_taken, t->page);
	munmap((void *)t->in_put, rest);
	munmap((void *)t->out_taken, t->page);
	munmap((void *)t->out_put, rest);
	close(t->outbox);
	close(t->socket);
	t->socket = -1;
}

#endif
