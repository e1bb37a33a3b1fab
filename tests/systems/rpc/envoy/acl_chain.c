/* SPDX-License-Identifier: Apache-2.0 */
/* An access list on field 1 of the request (a text), written by hand against chain.h. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"

enum { SLOTS = 64 };

struct ts_chain {
    pthread_mutex_t lock;
    struct {
        uint8_t used, allowed, size;
        char name[64];
    } slots[SLOTS];
};

const uint32_t ts_chain_abi = TS_CHAIN_ABI;
const char ts_chain_description[] = "{\"elements\":[{\"name\":\"Acl\"}]}";
const size_t ts_chain_rpc_size = 16;

static uint32_t hash(const uint8_t *data, uint32_t size) {
    uint32_t h = 2166136261u;
    for (uint32_t i = 0; i < size; i++) h = (h ^ data[i]) * 16777619u;
    return h;
}

static void allow(ts_chain *c, const char *name) {
    uint32_t size = (uint32_t)strlen(name), at = hash((const uint8_t *)name, size) % SLOTS;
    while (c->slots[at].used) at = (at + 1) % SLOTS;
    c->slots[at].used = c->slots[at].allowed = 1;
    c->slots[at].size = (uint8_t)size;
    memcpy(c->slots[at].name, name, size);
}

static int allowed(ts_chain *c, ts_slice name) {
    int found = 0;
    pthread_mutex_lock(&c->lock);
    for (uint32_t at = hash(name.data, name.size) % SLOTS; c->slots[at].used; at = (at + 1) % SLOTS)
        if (c->slots[at].size == name.size && memcmp(c->slots[at].name, name.data, name.size) == 0) {
            found = c->slots[at].allowed;
            break;
        }
    pthread_mutex_unlock(&c->lock);
    return found;
}

ts_chain *ts_chain_new(void) {
    ts_chain *c = calloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    allow(c, "alice");
    allow(c, "carol");
    return c;
}

void ts_chain_free(ts_chain *c) {
    free(c);
}

static int varint(const uint8_t **p, const uint8_t *end, uint64_t *n) {
    *n = 0;
    for (int shift = 0; *p < end && shift < 64; shift += 7) {
        uint8_t byte = *(*p)++;
        *n |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return 1;
    }
    return 0;
}

/* The last field 1 of the message counts; 0 when the message is damaged. */
static int user(ts_slice message, ts_slice *found) {
    const uint8_t *p = message.data, *end = p + message.size;
    *found = (ts_slice){p, 0};
    while (p < end) {
        uint64_t tag, n;
        if (!varint(&p, end, &tag)) return 0;
        switch (tag & 7) {
        case 0:
            if (!varint(&p, end, &n)) return 0;
            continue;
        case 1: n = 8; break;
        case 5: n = 4; break;
        case 2:
            if (!varint(&p, end, &n)) return 0;
            break;
        default: return 0;
        }
        if (n > (uint64_t)(end - p)) return 0;
        if (tag == (1 << 3 | 2)) *found = (ts_slice){p, (uint32_t)n};
        p += n;
    }
    return 1;
}

void ts_chain_request(ts_chain *c, void *state, const struct ts_rpc *rpc, ts_slice message, struct ts_verdict *out) {
    ts_slice name;
    (void)state, (void)rpc;
    *out = (struct ts_verdict){.action = TS_FORWARD};
    if (!user(message, &name)) *out = (struct ts_verdict){.action = TS_REJECT, .code = 3, .text = TS_TEXT("damaged")};
    else if (!allowed(c, name)) *out = (struct ts_verdict){.action = TS_REJECT, .code = 7, .text = TS_TEXT("acl")};
}

void ts_chain_response(ts_chain *c, void *state, const struct ts_rpc *rpc, ts_slice message, struct ts_verdict *out) {
    (void)c, (void)state, (void)rpc, (void)message;
    *out = (struct ts_verdict){.action = TS_FORWARD};
}

void ts_chain_finish(ts_chain *c, void *state, const struct ts_rpc *rpc, int code, enum ts_cause cause, int64_t elapsed,
                     struct ts_ending *out) {
    (void)c, (void)state, (void)rpc, (void)code, (void)cause, (void)elapsed;
    *out = (struct ts_ending){0};
}

size_t ts_chain_save(ts_chain *c, uint32_t element, uint8_t *image, size_t room) {
    (void)c, (void)element, (void)image, (void)room;
    return 0;
}

int ts_chain_load(ts_chain *c, uint32_t element, const uint8_t *image, size_t size) {
    (void)c, (void)element, (void)image, (void)size;
    return -1;
}
