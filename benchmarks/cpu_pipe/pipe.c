/* SPDX-License-Identifier: Apache-2.0 */
/* Two processes on one CPU pass a byte to and fro; prints nanoseconds a round trip, the smallest of several rounds.
 *
 *   pipe CPU ROUNDS TRIPS
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv)
{
	int there[2], back[2], rounds = atoi(argv[2]), trips = atoi(argv[3]);
	double best = 1e18;
	char byte = 0;
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(atoi(argv[1]), &set);
	if (argc != 4 || sched_setaffinity(0, sizeof set, &set) || pipe(there) || pipe(back))
		return 1;
	if (fork() == 0) {
		close(there[1]);
		while (read(there[0], &byte, 1) == 1)
			if (write(back[1], &byte, 1) != 1)
				return 1;
		return 0;
	}
	for (int r = 0; r < rounds; r++) {
		double begin = now(), took;
		for (int i = 0; i < trips; i++)
			if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
				return 1;
		took = (now() - begin) / trips;
		if (took < best)
			best = took;
	}
	close(there[1]);
	wait(NULL);
	printf("%.0f\n", best);
	return 0;
}
