/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin says of itself: counters as metrics of the host, and, when it is told to record, each call of a handler
 * and the states after it as lines of the host's log, in base64.  A plugin has no socket and no files.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "functions.h"
#include "wasm_plugin.h"

struct text {
    char *data;
    size_t size, room;
};

static void add(struct text *t, const void *data, size_t size) {
    if (t->size + size > t->room) {
        t->room = 2 * t->room + size;
        if (!(t->data = realloc(t->data, t->room))) abort();
    }
    if (size) memcpy(t->data + t->size, data, size);
    t->size += size;
}

static void add_number(struct text *t, uint64_t n) {
    char digits[21];
    size_t at = sizeof digits;
    digits[--at] = ' ';
    do digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    add(t, digits + at, sizeof digits - at);
}

/* "-" when it is empty. */
static void add_bytes(struct text *t, ts_slice data) {
    struct ts_call call;
    ts_call_begin(&call, NULL, NULL);
    ts_slice text = data.size ? ts_to_base64(&call, data) : TS_TEXT("-");
    add(t, text.data, text.size);
    add(t, " ", 1);
    ts_call_end(&call);
}

static void say(struct text *t) {
    proxy_log(LEVEL_INFO, t->data, t->size);
    free(t->data);
}

/* Each machine of a host says its own: a number tells them apart. */
static uint64_t machine(void) {
    static uint64_t number;
    while (!number) getrandom(&number, 4, 0);
    return number;
}

int recording(const struct recorder *recorder) {
    return recorder != NULL;
}

void recorder_add(struct recorder *recorder, const struct ts_record *r) {
    struct text t = {0};
    (void)recorder;
    add(&t, "transect-record ", 16);
    add_number(&t, machine());
    add_number(&t, r->sequence);
    add_number(&t, r->rpc);
    add_number(&t, r->element);
    add_number(&t, r->hook);
    add_bytes(&t, r->arguments);
    add_bytes(&t, r->tape);
    add_bytes(&t, r->result);
    say(&t);
}

/* The states that are others than when they were told last; when that was looked at, and the RPCs until then. */
void tell_states(struct config *config) {
    static uint64_t told[MAX_ELEMENTS];
    int64_t now = now_ns();
    if (!recording(config->recorder)) return;
    for (uint32_t i = 0; i < config->elements && i < MAX_ELEMENTS; i++) {
        size_t size = ts_chain_save(config->chain, i, NULL, 0);
        uint8_t *image = malloc(size + 1);
        struct text t = {0};
        if (!image) abort();
        ts_chain_save(config->chain, i, image, size);
        uint64_t hash = ts_hash_text(slice_of(image, size), 0);
        if (hash != told[i]) {
            add(&t, "transect-state ", 15);
            add_number(&t, machine());
            add_number(&t, i);
            add_bytes(&t, slice_of(image, size));
            say(&t);
        }
        told[i] = hash;
        free(image);
    }
    struct text t = {0};
    add(&t, "transect-told ", 14);
    add_number(&t, machine());
    add_number(&t, (uint64_t)now);
    add_number(&t, config->totals.rpcs);
    say(&t);
}

/* --- counters ----------------------------------------------------------------------------------------------------- */

enum { FIXED = 16, OF_ELEMENT = 2, OF_TIMES = 1 + TS_TIMES };

/* A counter as the host knows it. */
struct told {
    uint64_t value;
    uint32_t metric;
    uint8_t defined;
};

static void tell(struct told *told, const char *name, size_t size, uint64_t value) {
    if (value == told->value) return;
    if (!told->defined) told->defined = proxy_define_metric(WASM_COUNTER, name, size, &told->metric) == WASM_OK;
    if (told->defined) proxy_increment_metric(told->metric, (int64_t)(value - told->value));
    told->value = value;
}

/* NAME.i, or NAME.i.j */
static void tell_one(struct told *told, const char *name, uint32_t i, int j, uint64_t value) {
    struct text t = {0};
    if (value == told->value) return;
    add(&t, name, strlen(name));
    add_number(&t, i);
    if (j >= 0) {
        t.data[t.size - 1] = '.';
        add_number(&t, (uint64_t)j);
    }
    tell(told, t.data, t.size - 1, value);
    free(t.data);
}

/* Of whole RPCs, or of an element: the sum, and a counter for each bucket that is not empty. */
static void tell_times(struct told *told, uint32_t which, const struct ts_times *times) {
    tell_one(told, "transect.took.", which, -1, times->sum);
    for (int b = 0; b < TS_TIMES; b++) tell_one(&told[1 + b], "transect.took.", which, b, times->buckets[b]);
}

/* The counters of all workers add up in the host. */
void tell_counters(struct config *config) {
    static const char *const names[FIXED] = {
        "transect.rpcs",      "transect.entered",    "transect.requests",    "transect.responses",   "transect.finishes",
        "transect.rewritten", "transect.delayed",    "transect.compressed",  "transect.malformed",   "transect.bad_headers",
        "transect.causes.0",  "transect.causes.1",   "transect.causes.2",    "transect.causes.3",    "transect.causes.4",
        "transect.refused",
    };
    static struct told *told;
    struct totals *t = &config->totals;
    uint32_t count = config->elements < MAX_ELEMENTS ? config->elements : MAX_ELEMENTS;
    size_t counters = FIXED + count * OF_ELEMENT + (1 + count) * OF_TIMES;
    if (!told && !(told = calloc(counters, sizeof *told))) abort();
    const uint64_t values[FIXED] = {
        t->rpcs,      t->entered,    t->requests,  t->responses,   t->finishes,  t->rewritten, t->delayed,   t->compressed,
        t->malformed, t->bad_headers, t->causes[0], t->causes[1], t->causes[2], t->causes[3], t->causes[4], t->refused,
    };
    for (size_t i = 0; i < FIXED; i++) tell(&told[i], names[i], strlen(names[i]), values[i]);
    struct told *next = told + FIXED;
    for (uint32_t i = 0; i < count; i++) {
        tell_one(next++, "transect.rejected.", i, -1, t->rejected[i]);
        tell_one(next++, "transect.withheld.", i, -1, t->withheld[i]);
    }
    for (uint32_t i = 0; i <= count; i++, next += OF_TIMES) tell_times(next, i, &config->times[i]);
}
