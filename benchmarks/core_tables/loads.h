/* SPDX-License-Identifier: Apache-2.0 */
/* What both sides do.  `PROGRAM KEYS OPERATION COUNT CALLS` prints nanoseconds a call (of `memory`: bytes an entry) and a
 * sum over all answers, which is the same on both sides.
 *
 * A side defines, before it includes this, for KEY each of `text` and `flow`:
 *   put_KEY(key, value)   into a table, which has room; made by put_KEY_room()
 *   get_KEY(key)          its value, which is there
 *   renew_KEY(key, value) into a table that holds COUNT entries and drops the one used longest ago
 *   bytes_KEY()           of the table that drops
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t random_state = 1;

static uint32_t next_random(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(random_state >> 33);
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

/* Twice as many keys as entries: in turn, each of them has been dropped when it comes again. */
static struct text *texts;
static struct flow *flows;
static uint32_t *order; /* of look-ups */

static void make_keys(uint32_t count, uint32_t calls)
{
    order = (uint32_t *)malloc(calls * sizeof *order);
    for (uint32_t i = 0; i < calls; i++) {
        order[i] = next_random() % count;
    }
    texts = (struct text *)malloc(2 * (size_t)count * sizeof *texts);
    flows = (struct flow *)malloc(2 * (size_t)count * sizeof *flows);
    for (uint32_t i = 0; i < 2 * count; i++) {
        uint32_t scattered = i * UINT32_C(2654435761);
        texts[i].size = (uint32_t)snprintf(texts[i].data, sizeof texts[i].data, "user-%" PRIu32 "@example.com", scattered);
        flows[i].source = (int64_t)scattered << 8;
        flows[i].port = i % 60000;
    }
}

#define TIMED(KEY, KEYS) \
    static uint64_t run_##KEY(const char *operation, uint32_t count, uint32_t calls, double *each) \
    { \
        uint64_t sum = 0; \
        if (strcmp(operation, "lookup") == 0) { \
            for (uint32_t i = 0; i < count; i++) { \
                put_##KEY(&KEYS[i], i); \
            } \
            double begin = now_ns(); \
            for (uint32_t i = 0; i < calls; i++) { \
                sum += (uint64_t)get_##KEY(&KEYS[order[i]]); \
            } \
            *each = (now_ns() - begin) / calls; \
        } else { \
            for (uint32_t i = 0; i < count; i++) { \
                renew_##KEY(&KEYS[i], i); \
            } \
            double begin = now_ns(); \
            for (uint32_t i = 0, at = count; i < calls; i++, at = at + 1 == 2 * count ? 0 : at + 1) { \
                sum += (uint64_t)renew_##KEY(&KEYS[at], at); \
            } \
            *each = (now_ns() - begin) / calls; \
            if (strcmp(operation, "memory") == 0) { \
                *each = (double)bytes_##KEY() / count; \
            } \
        } \
        return sum; \
    }

TIMED(text, texts)
TIMED(flow, flows)

int main(int count_of_words, char **words)
{
    if (count_of_words != 5) {
        return 2;
    }
    uint32_t count = (uint32_t)strtoul(words[3], NULL, 10), calls = (uint32_t)strtoul(words[4], NULL, 10);
    double each = 0;
    make_keys(count, calls);
    make_tables(count);
    uint64_t sum = strcmp(words[1], "text") == 0 ? run_text(words[2], count, calls, &each) : run_flow(words[2], count, calls, &each);
    printf("%.3f %" PRIu64 "\n", each, sum);
    return 0;
}
