/* SPDX-License-Identifier: Apache-2.0 */
/* An application that talks with the scheduler of `test_hints.py`: `hinting polite|flood|forge`. */
#include "asking_hints.h"
#include <time.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void polite(struct transect *scheduler)
{
	struct transect_message message;
	int64_t core, sum = 0, heard = 0;
	for (int n = 0; n < 100; n++) {
		while (asking_say_cores(scheduler, 0, n, 7))
			usleep(100);
		while (transect_hear(scheduler, &message, 60000))
			if (asking_is_granted(&message, &core)) {
				heard++;
				sum += core;
				break;
			}
	}
	printf("heard %ld sum %ld\n", (long)heard, (long)sum);
}

/* As fast as it can, for half a second, and until its ring is full. */
static void flood(struct transect *scheduler)
{
	long sent = 0, full = 0;
	for (double end = now() + 0.5; now() < end || !full;)
		for (int n = 0; n < 64; n++)
			asking_say_cores(scheduler, 0, 1, 1) ? full++ : sent++;
	printf("sent %ld full %d\n", sent, full > 0);
}

/* What it must not: another's thread, a kind that nobody knows, and less than a message. */
static void forge(struct transect *scheduler)
{
	int64_t numbers[2] = { 1, 1 };
	asking_say_cores(scheduler, 1, 1, 1);
	transect_say(scheduler, 12345, 0, 2, numbers);
	uint64_t put = *scheduler->in_put;
	uint32_t head[2] = { 8, 0 };
	memcpy(scheduler->in_data + put % TRANSECT_RING, head, sizeof(head));
	__atomic_store_n(scheduler->in_put, put + 16, __ATOMIC_RELEASE);
	printf("forged\n");
}

int main(int count, char **words)
{
	struct transect scheduler;
	char why[512];
	if (asking_attach(&scheduler, why, sizeof(why))) {
		printf("refused: %s\n", why);
		return 1;
	}
	switch (words[1][0] + words[1][1]) {
	case 'p' + 'o':
		polite(&scheduler);
		break;
	case 'f' + 'l':
		flood(&scheduler);
		break;
	default:
		forge(&scheduler);
	}
	if (count > 2) {
		fflush(stdout);
		sleep(atoi(words[2]));
	}
	transect_detach(&scheduler);
	return 0;
}
