/* SPDX-License-Identifier: Apache-2.0 */
/* `requests SCALE`: 1000 requests on CPU 1, one each 1.25 ms; one in forty takes 10 ms of CPU time, the others 200 us.
 * All times are multiplied by the scale.
 *
 * A thread of real-time priority on CPU 0 gives each to a worker that sleeps; a nice process works beside.  Prints p50,
 * p90 and p99 of the short ones from arrival to end in ns, and the CPU time of the batch job in ns. */
#include "cpu_timing.h"
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define WORKERS 64
#define REQUESTS 1000
#define EACH 40

struct worker {
	sem_t wake;
	int64_t arrived;
	int request; /* -1: it sleeps */
};

static struct worker workers[WORKERS];
static int64_t took[REQUESTS];
static int64_t *batch;
static int64_t scale;

static void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *serve(void *number)
{
	struct worker *w = &workers[(long)number];
	pin(1);
	for (;;) {
		while (sem_wait(&w->wake))
			;
		int request = w->request;
		work(scale * (request % EACH ? 200000 : 10000000));
		took[request] = nanoseconds(CLOCK_MONOTONIC) - w->arrived;
		__atomic_store_n(&w->request, -1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void beside(void)
{
	pin(1);
	if (nice(10) == -1)
		exit(1);
	for (;;) {
		work(100000);
		*batch = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
	}
}

int main(int count_of_words, char **words)
{
	static int64_t shorts[REQUESTS];
	struct sched_param first = { 2 };
	int count = 0, lost = 0;
	pthread_t thread;
	scale = count_of_words > 1 ? atoi(words[1]) : 1;
	batch = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child = fork();
	if (!child)
		beside();
	for (long n = 0; n < WORKERS; n++) {
		workers[n].request = -1;
		sem_init(&workers[n].wake, 0, 0);
		pthread_create(&thread, NULL, serve, (void *)n);
	}
	usleep(300000);
	pin(0);
	if (sched_setscheduler(0, SCHED_FIFO, &first))
		return 1;
	int64_t before = *batch, next = nanoseconds(CLOCK_MONOTONIC);
	for (int n = 0, at = 0; n < REQUESTS; n++) {
		next += scale * 1250000;
		sleep_until(next);
		int tries = 0;
		for (; tries < WORKERS; tries++, at++)
			if (__atomic_load_n(&workers[at % WORKERS].request, __ATOMIC_ACQUIRE) < 0)
				break;
		if (tries == WORKERS) {
			lost++;
			continue;
		}
		struct worker *w = &workers[at++ % WORKERS];
		w->arrived = next;
		w->request = n;
		sem_post(&w->wake);
	}
	int64_t done = *batch - before;
	usleep(scale * 250000); /* the last ones end */
	for (int n = 0; n < REQUESTS; n++)
		if (n % EACH && took[n])
			shorts[count++] = took[n];
	kill(child, SIGKILL);
	print_percentiles(shorts, count);
	printf("%ld %d\n", (long)done, lost);
	return 0;
}
