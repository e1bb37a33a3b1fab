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

enum { FIXED = 15 };

struct told {
    uint32_t metric[FIXED + 3 * MAX_ELEMENTS];
    uint64_t value[FIXED + 3 * MAX_ELEMENTS];
    uint8_t defined[FIXED + 3 * MAX_ELEMENTS];
};

static void tell(struct told *told, size_t which, const char *name, size_t size, uint64_t value) {
    if (value == told->value[which]) return;
    if (!told->defined[which]) told->defined[which] = proxy_define_metric(WASM_COUNTER, name, size, &told->metric[which]) == WASM_OK;
    if (told->defined[which]) proxy_increment_metric(told->metric[which], (int64_t)(value - told->value[which]));
    told->value[which] = value;
}

static void tell_elements(struct told *told, size_t first, const char *name, const _Atomic uint64_t *values, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        struct text t = {0};
        if (values[i] == told->value[first + i]) continue;
        add(&t, name, strlen(name));
        add_number(&t, i);
        tell(told, first + i, t.data, t.size - 1, values[i]);
        free(t.data);
    }
}

/* The counters of all workers add up in the host. */
void tell_counters(struct config *config) {
    static const char *const names[FIXED] = {
        "transect.rpcs",      "transect.entered",    "transect.requests",    "transect.responses",   "transect.finishes",
        "transect.rewritten", "transect.delayed",    "transect.compressed",  "transect.malformed",   "transect.bad_headers",
        "transect.causes.0",  "transect.causes.1",   "transect.causes.2",    "transect.causes.3",    "transect.causes.4",
    };
    static struct told *told;
    struct totals *t = &config->totals;
    if (!told && !(told = calloc(1, sizeof *told))) abort();
    const uint64_t values[FIXED] = {
        t->rpcs,      t->entered,    t->requests,  t->responses,   t->finishes,  t->rewritten, t->delayed,   t->compressed,
        t->malformed, t->bad_headers, t->causes[0], t->causes[1], t->causes[2], t->causes[3], t->causes[4],
    };
    for (size_t i = 0; i < FIXED; i++) tell(told, i, names[i], strlen(names[i]), values[i]);
    uint32_t count = config->elements < MAX_ELEMENTS ? config->elements : MAX_ELEMENTS;
    tell_elements(told, FIXED, "transect.rejected.", t->rejected, count);
    tell_elements(told, FIXED + MAX_ELEMENTS, "transect.withheld.", t->withheld, count);
}
