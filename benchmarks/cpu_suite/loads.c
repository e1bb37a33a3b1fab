/* SPDX-License-Identifier: Apache-2.0 */
/* `loads futex|epoll TRIPS`: two threads of one CPU wake each other by turns; prints ns a round trip.
 * `loads wake MESSENGERS WORKERS SECONDS`: schbench's shape: each messenger wakes its workers, which work a little and
 * wait for the next time; prints the p99 of how late they ran, in ns. */
#include "cpu_timing.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#define MOST 100000

static uint32_t turn;
static int trips, events[2];
static int64_t late[MOST], until;
static int samples;

struct worker {
	uint32_t called;
	int64_t at;
};

static void futex(uint32_t *word, int op, uint32_t value) { syscall(SYS_futex, word, op, value, NULL, NULL, 0); }

static void *by_futex(void *mine)
{
	uint32_t me = (uint32_t)(long)mine, now;
	for (int n = 0; n < trips; n++) {
		while ((now = __atomic_load_n(&turn, __ATOMIC_ACQUIRE)) != me)
			futex(&turn, FUTEX_WAIT_PRIVATE, now);
		__atomic_store_n(&turn, !me, __ATOMIC_RELEASE);
		futex(&turn, FUTEX_WAKE_PRIVATE, 1);
	}
	return NULL;
}

static void *by_epoll(void *mine)
{
	long me = (long)mine;
	struct epoll_event event = { .events = EPOLLIN };
	eventfd_t value;
	int all = epoll_create1(0);
	epoll_ctl(all, EPOLL_CTL_ADD, events[me], &event);
	for (int n = 0; n < trips; n++) {
		epoll_wait(all, &event, 1, -1);
		eventfd_read(events[me], &value);
		eventfd_write(events[!me], 1);
	}
	return NULL;
}

static void *worker(void *own)
{
	struct worker *w = own;
	while (nanoseconds(CLOCK_MONOTONIC) < until) {
		while (!__atomic_load_n(&w->called, __ATOMIC_ACQUIRE))
			futex(&w->called, FUTEX_WAIT_PRIVATE, 0);
		int64_t waited = nanoseconds(CLOCK_MONOTONIC) - w->at;
		int n = __atomic_fetch_add(&samples, 1, __ATOMIC_RELAXED);
		if (n < MOST)
			late[n] = waited;
		work(200000);
		__atomic_store_n(&w->called, 0, __ATOMIC_RELEASE);
	}
	return NULL;
}

static int workers;

/* Sleeps of no fixed length: else each run has one phase between its messengers, and its p99 is that of the phase. */
static void *messenger(void *number)
{
	unsigned drawn = (unsigned)(long)number;
	int between = 1000 + 500 * workers;
	struct worker *all = calloc(workers, sizeof(*all));
	pthread_t *threads = calloc(workers, sizeof(*threads));
	for (int n = 0; n < workers; n++)
		pthread_create(&threads[n], NULL, worker, &all[n]);
	while (nanoseconds(CLOCK_MONOTONIC) < until + 100000000) { /* nobody sleeps for ever */
		for (int n = 0; n < workers; n++)
			if (!__atomic_load_n(&all[n].called, __ATOMIC_ACQUIRE)) {
				all[n].at = nanoseconds(CLOCK_MONOTONIC);
				__atomic_store_n(&all[n].called, 1, __ATOMIC_RELEASE);
				futex(&all[n].called, FUTEX_WAKE_PRIVATE, 1);
			}
		usleep(between / 2 + rand_r(&drawn) % between);
	}
	for (int n = 0; n < workers; n++)
		pthread_join(threads[n], NULL);
	return NULL;
}

static void together(int count, void *(*run)(void *))
{
	pthread_t threads[64];
	for (long n = 0; n < count; n++)
		pthread_create(&threads[n], NULL, run, (void *)n);
	for (int n = 0; n < count; n++)
		pthread_join(threads[n], NULL);
}

int main(int count, char **words)
{
	if (count == 5) {
		workers = atoi(words[3]);
		until = nanoseconds(CLOCK_MONOTONIC) + atoi(words[4]) * 1000000000ll;
		together(atoi(words[2]), messenger);
		samples = samples < MOST ? samples : MOST;
		qsort(late, samples, sizeof(*late), smaller);
		printf("%ld\n", (long)late[samples * 99 / 100]);
		return 0;
	}
	trips = atoi(words[2]);
	events[0] = eventfd(1, 0);
	events[1] = eventfd(0, 0);
	int64_t began = nanoseconds(CLOCK_MONOTONIC);
	together(2, words[1][0] == 'f' ? by_futex : by_epoll);
	printf("%ld\n", (long)((nanoseconds(CLOCK_MONOTONIC) - began) / trips));
	return 0;
}
