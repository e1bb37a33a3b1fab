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
uint64_t machine(void) {
    static uint64_t number;
    while (!number) getrandom(&number, 4, 0);
    return number;
}

int recording(const struct recorder *recorder) {
    return recorder != NULL;
}

void recorder_add(struct stream *s, const struct ts_record *r) {
    struct text t = {0};
    (void)s;
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

enum { FIXED = 17, OF_ELEMENT = 2, OF_TIMES = 1 + TS_TIMES };

/* A counter as the host knows it. */
struct told {
    uint64_t value;
    uint32_t metric;
    uint8_t defined;
};

static void tell_text(struct told *told, const struct text *name, uint64_t value) {
    if (!told->defined) told->defined = proxy_define_metric(WASM_COUNTER, name->data, name->size, &told->metric) == WASM_OK;
    if (told->defined) proxy_increment_metric(told->metric, (int64_t)(value - told->value));
    told->value = value;
}

/* transect.NAME, transect.NAME.i, or transect.NAME.i.j; of one version of several, transect.VERSION.NAME and so on */
static void tell(const struct config *config, struct told *told, const char *name, int i, int j, uint64_t value) {
    struct text t = {0};
    const int64_t parts[] = {i, j};
    uint32_t version = version_of(config->keeper);
    if (value == told->value) return;
    add(&t, "transect.", 9);
    if (version) add_number(&t, version), t.data[t.size - 1] = '.';
    add(&t, name, strlen(name));
    for (int part = 0; part < 2 && parts[part] >= 0; part++) {
        add(&t, ".", 1);
        add_number(&t, (uint64_t)parts[part]);
        t.size--;
    }
    tell_text(told, &t, value);
    free(t.data);
}

/* Of whole RPCs, or of an element: the sum, and a counter for each bucket that is not empty. */
static void tell_times(const struct config *config, struct told *told, int which) {
    const struct ts_times *times = &config->times[which];
    tell(config, told, "took", which, -1, times->sum);
    for (int b = 0; b < TS_TIMES; b++) tell(config, &told[1 + b], "took", which, b, times->buckets[b]);
}

/* The counters of all workers add up in the host. */
void tell_counters(struct config *config) {
    static const char *const names[FIXED] = {
        "rpcs",      "requests", "responses", "finishes", "rewritten", "delayed", "compressed", "malformed",
        "bad_headers", "causes.0", "causes.1", "causes.2", "causes.3", "causes.4", "refused",
        "traced",    "traces_left_out",
    };
    static struct told *told;
    struct totals *t = &config->totals;
    uint32_t count = config->elements < MAX_ELEMENTS ? config->elements : MAX_ELEMENTS;
    size_t counters = FIXED + count * OF_ELEMENT + (1 + count) * OF_TIMES;
    if (!told && !(told = calloc(counters, sizeof *told))) abort();
    const uint64_t values[FIXED] = {
        t->rpcs,      t->requests,  t->responses,   finishes_of(t),  t->rewritten, t->delayed,   t->compressed, t->malformed,
        t->bad_headers, t->causes[0], t->causes[1], t->causes[2], t->causes[3], t->causes[4], t->refused,
        t->traced,    t->traces_left_out,
    };
    for (size_t i = 0; i < FIXED; i++) tell(config, &told[i], names[i], -1, -1, values[i]);
    struct told *next = told + FIXED;
    for (uint32_t i = 0; i < count; i++) {
        tell(config, next++, "rejected", (int)i, -1, t->rejected[i]);
        tell(config, next++, "withheld", (int)i, -1, t->withheld[i]);
    }
    for (uint32_t i = 0; i <= count; i++, next += OF_TIMES) tell_times(config, next, (int)i);
}
