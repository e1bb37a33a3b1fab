/* SPDX-License-Identifier: Apache-2.0 */
/* Many RPCs through one chain on four threads, while its state is saved and loaded: for the sanitizers. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"

enum { THREADS = 4, ROUNDS = 4000, IMAGE = 1 << 16 };

static int64_t ticks;
static long records;
static ts_chain *chain;
static uint8_t messages[1 << 20]; /* each behind its size, a u32 */
static uint32_t starts[1024];
static unsigned count;

static int64_t now(void *context)
{
    (void)context;
    return __atomic_add_fetch(&ticks, 1000, __ATOMIC_RELAXED);
}

static uint64_t draw(void *context) { return (uint64_t)now(context) * UINT64_C(0x9e3779b97f4a7c15); }

static int header_get(void *context, enum ts_side side, ts_slice name, ts_slice *value)
{
    (void)context, (void)side, (void)name, (void)value;
    return 0;
}

static void header_set(void *context, enum ts_side side, ts_slice name, ts_slice value)
{
    (void)context, (void)side, (void)name, (void)value;
}

static void header_remove(void *context, enum ts_side side, ts_slice name) { (void)context, (void)side, (void)name; }

static void record(void *context, const struct ts_record *one)
{
    (void)context, (void)one;
    __atomic_add_fetch(&records, 1, __ATOMIC_RELAXED);
}

static const struct ts_carrier carrier = {now, draw, header_get, header_set, header_remove, NULL, record};

static void *run(void *argument)
{
    static const char method[] = "/sample.Sample/Say";
    static const uint8_t reply[] = {10, 2, 'h', 'i', 16, 5};
    struct ts_rpc rpc = {&carrier, NULL, {(const uint8_t *)method, sizeof method - 1}, {NULL, 0}};
    uint8_t *memory = aligned_alloc(16, (ts_chain_rpc_size + 15) & ~(size_t)15), *image = malloc(IMAGE);
    unsigned seed = (unsigned)(uintptr_t)argument;
    for (int i = 0; i < ROUNDS; i++) {
        seed = seed * 1103515245u + 12345u;
        const uint8_t *message = messages + starts[(seed >> 16) % count];
        /* Memory of its own: what is read beyond the message is reported. */
        uint32_t size;
        memcpy(&size, message, sizeof size);
        uint8_t *copy = malloc(size ? size : 1);
        memcpy(copy, message + sizeof size, size);
        struct ts_verdict verdict;
        struct ts_ending ending;
        memset(memory, 0, ts_chain_rpc_size);
        ts_chain_request(chain, memory, &rpc, (ts_slice){copy, size}, &verdict);
        if (verdict.action == TS_FORWARD) {
            ts_chain_response(chain, memory, &rpc, (ts_slice){reply, sizeof reply}, &verdict);
        }
        ts_chain_finish(chain, memory, &rpc, verdict.code, TS_REPLY, i, &ending);
        free(copy);
        if (i % 500 == 0) {
            size_t size = ts_chain_save(chain, 1, image, IMAGE);
            if (size > IMAGE || ts_chain_load(chain, 1, image, size) != 0) {
                abort();
            }
        }
    }
    free(memory);
    free(image);
    return NULL;
}

int main(int argc, char **argv)
{
    FILE *file = fopen(argv[argc - 1], "rb");
    size_t size = fread(messages, 1, sizeof messages, file);
    fclose(file);
    for (uint32_t at = 0, length; at < size; at += (uint32_t)sizeof length + length) {
        memcpy(&length, messages + at, sizeof length);
        starts[count++] = at;
    }
    chain = ts_chain_new();
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, run, (void *)(i + 1));
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    ts_chain_free(chain);
    printf("%ld\n", records);
    return 0;
}
