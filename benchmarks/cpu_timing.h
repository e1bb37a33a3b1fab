/* SPDX-License-Identifier: Apache-2.0 */
/* What the load programs of the cpu benchmarks share: time, and how late a sleeper wakes up. */
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static inline int64_t nanoseconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static inline void sleep_until(int64_t at)
{
	struct timespec t = { at / 1000000000, at % 1000000000 };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
		;
}

/* Work for so much CPU time of the calling thread. */
static inline void work(int64_t ns)
{
	int64_t end = nanoseconds(CLOCK_THREAD_CPUTIME_ID) + ns;
	while (nanoseconds(CLOCK_THREAD_CPUTIME_ID) < end)
		;
}

static int smaller(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* `p50 p90 p99`, in ns. */
static inline void print_percentiles(int64_t *values, int count)
{
	qsort(values, count, sizeof(*values), smaller);
	printf("%ld %ld %ld\n", (long)values[count / 2], (long)values[count * 9 / 10], (long)values[count * 99 / 100]);
}

/* Sleep `count` times until the next multiple of the period; how late we woke up each time. */
static inline void sleeper(int64_t period, int count, int64_t *late)
{
	int64_t next = nanoseconds(CLOCK_MONOTONIC);
	for (int n = 0; n < count; n++) {
		next += period;
		sleep_until(next);
		late[n] = nanoseconds(CLOCK_MONOTONIC) - next;
		if (late[n] > period)
			next = nanoseconds(CLOCK_MONOTONIC);
	}
}
