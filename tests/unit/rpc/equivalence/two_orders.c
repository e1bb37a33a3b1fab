/* SPDX-License-Identifier: Apache-2.0 */
/* Random streams of RPCs (interleaved, cancelled, failing, of several messages) through two arrangements of one chain, as
 * compiled C.  Whatever the level compares must be the same after each event; the first difference is printed, and ends it.
 *
 *     two_orders A.so B.so GIVEN     GIVEN: what `two_orders.py` writes
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"

enum level { LOOSE, SERVICE, IDENTICAL };
enum { HEADERS = 12, LIVE = 24, DRAWS = 8, MAX_ELEMENTS = 16, OFTEN = 50 /* events between looks at all states */ };

struct ts_given {
    int64_t now, elapsed;
    uint64_t draws[DRAWS];
};

struct pool {
    uint32_t count;
    ts_slice *items;
};

/* What was read. */
static uint32_t level, elements, order[2][MAX_ELEMENTS];
static uint64_t seed, wanted;
static ts_slice images[MAX_ELEMENTS];
static struct pool requests, replies, names, values, peers;

/* --- numbers ------------------------------------------------------------------------------------------------------- */

static uint64_t mixed(uint64_t z)
{
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t state_of_dice;
static uint64_t dice(uint64_t sides) { return mixed(state_of_dice++) % sides; }

/* --- the chains ---------------------------------------------------------------------------------------------------- */

struct arrangement {
    ts_chain *chain;
    size_t rpc_size;
    void (*message[2])(ts_chain *, void *, const struct ts_rpc *, ts_slice, struct ts_verdict *);
    void (*finish)(ts_chain *, void *, const struct ts_rpc *, int, enum ts_cause, int64_t, struct ts_ending *);
    size_t (*save)(ts_chain *, uint32_t, uint8_t *, size_t);
    int (*load)(ts_chain *, uint32_t, const uint8_t *, size_t);
};
static struct arrangement arrangements[2];

struct header {
    char name[64], value[256];
};

struct copy { /* of an RPC, in one arrangement */
    void *memory;
    struct header headers[3][HEADERS];
    unsigned many[3];
    int over, code;
    enum ts_cause cause;
};

struct rpc {
    int used;
    uint64_t number, calls;
    uint32_t peer;
    struct copy in[2];
};
static struct rpc live[LIVE];
static uint64_t event_facts; /* what facts are made of, for the event at hand */
static int64_t clock_ns = 1000000000000;
static uint64_t heard[2]; /* what was traced, in whatever order */

static void given(uint32_t place, int hook, struct ts_given *to)
{
    uint64_t h = mixed(event_facts ^ mixed(place * 4 + (uint64_t)hook));
    to->now = clock_ns + (int64_t)(h % 3) * 1000000;
    to->elapsed = (int64_t)(mixed(h) % 1000000000);
    for (int i = 0; i < DRAWS; i++) to->draws[i] = mixed(h + 7 * (uint64_t)i + 1);
}

static struct header *found(struct copy *c, enum ts_side side, ts_slice name)
{
    for (unsigned i = 0; i < c->many[side]; i++) {
        struct header *h = &c->headers[side][i];
        if (strlen(h->name) == name.size && memcmp(h->name, name.data, name.size) == 0) return h;
    }
    return NULL;
}

static int header_get(void *ctx, enum ts_side side, ts_slice name, ts_slice *value)
{
    struct header *h = found(ctx, side, name);
    if (!h) return 0;
    *value = (ts_slice){(const uint8_t *)h->value, (uint32_t)strlen(h->value)};
    return 1;
}

static void header_set(void *ctx, enum ts_side side, ts_slice name, ts_slice value)
{
    struct copy *c = ctx;
    struct header *h = found(c, side, name);
    if (!h && c->many[side] < HEADERS) h = &c->headers[side][c->many[side]++];
    if (!h || name.size >= sizeof h->name || value.size >= sizeof h->value) abort();
    snprintf(h->name, sizeof h->name, "%.*s", (int)name.size, (const char *)name.data);
    snprintf(h->value, sizeof h->value, "%.*s", (int)value.size, (const char *)value.data);
}

static void header_remove(void *ctx, enum ts_side side, ts_slice name)
{
    struct copy *c = ctx;
    struct header *h = found(c, side, name);
    if (h) *h = c->headers[side][--c->many[side]];
}

static unsigned which; /* arrangement that runs */
static void trace(void *ctx, const struct ts_said *said)
{
    (void)ctx;
    for (uint32_t line = 0; line < said->count; line++) {
        uint64_t h = 0;
        for (uint32_t i = 0; i < said->texts[line].size; i++) h = mixed(h + said->texts[line].data[i]);
        heard[which] += h;
    }
}

static const struct ts_carrier carrier = {NULL, NULL, header_get, header_set, header_remove, trace, NULL};

/* --- what is compared ---------------------------------------------------------------------------------------------- */

static void differ(const struct rpc *r, const char *what)
{
    printf("RPC %llu: %s\n", (unsigned long long)r->number, what);
    exit(1);
}

/* A message is its fields: fields of other numbers may come in another order. */
struct field {
    uint64_t number;
    const uint8_t *at;
    size_t size;
};

static uint64_t varint(const uint8_t **p)
{
    uint64_t n = 0;
    for (int shift = 0;; shift += 7) {
        uint8_t b = *(*p)++;
        n |= (uint64_t)(b & 127) << shift;
        if (b < 128) return n;
    }
}

static int by_number(const void *a, const void *b)
{
    const struct field *x = a, *y = b;
    if (x->number != y->number) return x->number < y->number ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static size_t fields(ts_slice m, struct field *to)
{
    size_t many = 0;
    for (const uint8_t *p = m.data, *end = p + m.size; p < end;) {
        const uint8_t *at = p;
        uint64_t tag = varint(&p);
        switch (tag & 7) {
        case 0: varint(&p); break;
        case 1: p += 8; break;
        case 2: { uint64_t n = varint(&p); p += n; break; }
        case 5: p += 4; break;
        default: abort();
        }
        to[many++] = (struct field){tag >> 3, at, (size_t)(p - at)};
    }
    qsort(to, many, sizeof *to, by_number);
    return many;
}

static int same_message(ts_slice a, ts_slice b)
{
    struct field x[64], y[64];
    size_t n = fields(a, x);
    if (n != fields(b, y)) return 0;
    for (size_t i = 0; i < n; i++)
        if (x[i].size != y[i].size || memcmp(x[i].at, y[i].at, x[i].size) != 0) return 0;
    return 1;
}

static int same_text(ts_slice a, ts_slice b) { return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0); }

static int same_headers(struct rpc *r, enum ts_side side)
{
    struct copy *a = &r->in[0], *b = &r->in[1];
    if (a->many[side] != b->many[side]) return 0;
    for (unsigned i = 0; i < a->many[side]; i++) {
        struct header *h = &a->headers[side][i];
        struct header *g = found(b, side, (ts_slice){(const uint8_t *)h->name, (uint32_t)strlen(h->name)});
        if (!g || strcmp(h->value, g->value) != 0) return 0;
    }
    return 1;
}

static void compare(struct rpc *r, int reply, const struct ts_verdict *v, ts_slice came)
{
    const struct ts_verdict *a = &v[0], *b = &v[1];
    if (level == LOOSE) {
        int on[2] = {a->action == TS_FORWARD, b->action == TS_FORWARD};
        if (reply || (!on[0] && !on[1])) return;
        if (on[0] != on[1]) differ(r, "one is sent, the other is not");
    }
    if (a->action != b->action) differ(r, "other verdicts");
    if (a->after != b->after && level != LOOSE) differ(r, "other delays");
    if (a->action == TS_REJECT) {
        if (a->code != b->code || !same_text(a->text, b->text)) differ(r, "other rejections");
        return;
    }
    ts_slice x = a->action == TS_RESPOND ? a->text : a->rewritten ? a->message : came;
    ts_slice y = b->action == TS_RESPOND ? b->text : b->rewritten ? b->message : came;
    if (!same_message(x, y)) differ(r, "other messages");
    if (a->after != b->after) differ(r, "other delays of messages");
    int back = reply || a->action == TS_RESPOND;
    if (!back && !same_text(a->to, b->to)) differ(r, "other routes");
    if (!back && !same_headers(r, TS_REQUEST_HEADERS)) differ(r, "other request metadata");
    if (back && !(same_headers(r, TS_RESPONSE_HEADERS) && same_headers(r, TS_RESPONSE_TRAILERS))) differ(r, "other reply metadata");
}

static uint64_t counts[7]; /* of rpcs, messages, replies, ends; of those rejected, answered, sent again */

static void compare_states(struct rpc *r)
{
    static uint8_t image[2][1 << 20];
    if (level != IDENTICAL || (counts[1] + counts[2] + counts[3]) % OFTEN != 0) return;
    for (uint32_t i = 0; i < elements; i++)
        for (uint32_t j = 0; j < elements; j++) {
            if (order[0][i] != order[1][j]) continue;
            size_t a = arrangements[0].save(arrangements[0].chain, i, image[0], sizeof image[0]);
            size_t b = arrangements[1].save(arrangements[1].chain, j, image[1], sizeof image[1]);
            if (a > sizeof image[0] || a != b || memcmp(image[0], image[1], a) != 0) differ(r, "other states");
        }
}

/* --- events -------------------------------------------------------------------------------------------------------- */

static struct ts_rpc as_rpc(struct rpc *r, unsigned i)
{
    static const char path[] = "/transect.Trial/Call";
    return (struct ts_rpc){&carrier, &r->in[i], {(const uint8_t *)path, sizeof path - 1}, peers.items[r->peer]};
}

static void finish(struct rpc *r, int code, enum ts_cause cause)
{
    struct ts_ending ends[2];
    event_facts = mixed(seed ^ mixed(r->number * 64 + 63));
    for (which = 0; which < 2; which++) {
        struct arrangement *a = &arrangements[which];
        struct copy *c = &r->in[which];
        struct ts_rpc rpc = as_rpc(r, which);
        a->finish(a->chain, c->memory, &rpc, c->over ? c->code : code, c->over ? c->cause : cause, 0, &ends[which]);
    }
    counts[3]++;
    counts[6] += (uint64_t)ends[0].retry;
    if (level != LOOSE && (ends[0].retry != ends[1].retry || (ends[0].retry && ends[0].after != ends[1].after))) differ(r, "other retries");
    compare_states(r);
    r->used = 0;
}

static void message(struct rpc *r, int reply, ts_slice data)
{
    struct ts_verdict v[2];
    event_facts = mixed(seed ^ mixed(r->number * 64 + r->calls++ % 62));
    for (which = 0; which < 2; which++) {
        struct arrangement *a = &arrangements[which];
        struct copy *c = &r->in[which];
        struct ts_rpc rpc = as_rpc(r, which);
        a->message[reply](a->chain, c->memory, &rpc, data, &v[which]);
        if (v[which].action != TS_FORWARD) {
            c->over = 1;
            c->code = v[which].action == TS_REJECT ? v[which].code : 0;
            c->cause = v[which].action == TS_REJECT ? TS_REJECTED : TS_REPLY;
        }
    }
    counts[1 + reply]++;
    counts[4] += v[0].action == TS_REJECT;
    counts[5] += v[0].action == TS_RESPOND;
    compare(r, reply, v, data);
    compare_states(r);
}

static struct rpc *begun(void)
{
    for (int i = 0; i < LIVE; i++) {
        struct rpc *r = &live[i];
        if (r->used) continue;
        void *memory[2] = {r->in[0].memory, r->in[1].memory};
        memset(r, 0, sizeof *r);
        r->used = 1;
        r->number = counts[0]++;
        r->peer = (uint32_t)dice(peers.count);
        for (int k = 0; k < 2; k++) {
            r->in[k].memory = memory[k];
            memset(memory[k], 0, arrangements[k].rpc_size);
        }
        for (uint32_t n = 0; n < names.count; n++) {
            if (dice(3) == 0) continue;
            ts_slice value = values.items[dice(values.count)];
            for (int k = 0; k < 2; k++) header_set(&r->in[k], TS_REQUEST_HEADERS, names.items[n], value);
        }
        return r;
    }
    return NULL;
}

static struct rpc *chosen(void)
{
    struct rpc *r = &live[dice(LIVE)];
    return r->used ? r : NULL;
}

static int over(const struct rpc *r) { return r->in[0].over || r->in[1].over; }

static void step(void)
{
    static const struct { int code; enum ts_cause cause; } ends[] = {
        {0, TS_REPLY}, {0, TS_REPLY}, {14, TS_REPLY}, {13, TS_REPLY}, {8, TS_REPLY}, {1, TS_CANCEL}, {4, TS_DEADLINE}, {14, TS_RESET}, {7, TS_REJECTED},
    };
    clock_ns += (int64_t)(dice(40) == 0 ? dice(3000000000) : dice(20000000));
    struct rpc *r = dice(10) < 4 ? begun() : chosen();
    if (!r) return;
    uint64_t what = r->calls == 0 ? 0 : dice(10);
    if (what < 2 && !over(r)) message(r, 0, requests.items[dice(requests.count)]);
    else if (what < 6 && !over(r)) message(r, 1, replies.items[dice(replies.count)]);
    else {
        size_t i = dice(sizeof ends / sizeof *ends);
        finish(r, ends[i].code, ends[i].cause);
    }
    if (r->used && over(r) && dice(2)) finish(r, 0, TS_REPLY); /* at once, as carriers do */
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

static FILE *in;
static uint64_t number(int bytes)
{
    uint64_t n = 0;
    if (fread(&n, (size_t)bytes, 1, in) != 1) abort();
    return n;
}

static ts_slice blob(void)
{
    uint32_t size = (uint32_t)number(4);
    uint8_t *data = malloc(size + 1);
    if (!data || (size && fread(data, size, 1, in) != 1)) abort();
    return (ts_slice){data, size};
}

static void read_pool(struct pool *p)
{
    p->count = (uint32_t)number(4);
    p->items = calloc(p->count + 1, sizeof *p->items);
    for (uint32_t i = 0; i < p->count; i++) p->items[i] = blob();
}

static void open_chain(struct arrangement *a, const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) { puts(dlerror()); exit(2); }
    ts_chain *(*make)(void);
    *(void **)&make = dlsym(library, "ts_chain_new");
    *(void **)&a->message[0] = dlsym(library, "ts_chain_request");
    *(void **)&a->message[1] = dlsym(library, "ts_chain_response");
    *(void **)&a->finish = dlsym(library, "ts_chain_finish");
    *(void **)&a->save = dlsym(library, "ts_chain_save");
    *(void **)&a->load = dlsym(library, "ts_chain_load");
    *(void (**)(uint32_t, int, struct ts_given *))dlsym(library, "ts_given_source") = given;
    a->rpc_size = *(const size_t *)dlsym(library, "ts_chain_rpc_size");
    a->chain = make();
}

int main(int many, char **words)
{
    if (many != 4 || !(in = fopen(words[3], "rb"))) return 2;
    level = (uint32_t)number(4), elements = (uint32_t)number(4), seed = number(8), wanted = number(8);
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; i < elements; i++) order[k][i] = (uint32_t)number(4);
    for (uint32_t i = 0; i < elements; i++) images[i] = blob();
    struct pool *pools[] = {&requests, &replies, &names, &values, &peers};
    for (int i = 0; i < 5; i++) read_pool(pools[i]);
    for (int k = 0; k < 2; k++) {
        open_chain(&arrangements[k], words[1 + k]);
        for (uint32_t i = 0; i < elements; i++) {
            ts_slice image = images[order[k][i]];
            if (arrangements[k].load(arrangements[k].chain, i, image.data, image.size) != 0) abort();
        }
        for (int i = 0; i < LIVE; i++)
            if (!(live[i].in[k].memory = aligned_alloc(16, (arrangements[k].rpc_size + 15) & ~(size_t)15))) abort();
    }
    state_of_dice = mixed(seed);
    while (counts[0] < wanted) step();
    for (int i = 0; i < LIVE; i++)
        if (live[i].used) finish(&live[i], 1, TS_CANCEL);
    if (level == IDENTICAL && heard[0] != heard[1]) differ(&live[0], "other traces");
    for (int i = 0; i < 7; i++) printf("%llu ", (unsigned long long)counts[i]);
    puts("");
    return 0;
}
