/* SPDX-License-Identifier: Apache-2.0 */
/* A chain of two elements, by hand, that do what the messages tell them, and keep a diary of what the carrier called.
 *
 * A message is lines; `q1 reject 7 no` is for `request` of element 1, `p0 …` for `response` of element 0.  Verbs: reject CODE
 * TEXT, respond TEXT, rewrite TEXT, after MS, to ROUTE, set SIDE NAME VALUE, remove SIDE NAME, get SIDE NAME,
 * later NAME (`finish` reads that header of the reply), retry MS (`finish` asks for it when the RPC failed).
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"

enum { ELEMENTS = 2, ROOM = 1 << 22, LONGEST = 1 << 16 };

struct ts_chain {
    pthread_mutex_t lock;
    uint64_t rpcs, sequence;
    int64_t param;
    size_t size;
    char diary[ROOM];
};

struct rpc {
    uint64_t id;
    uint8_t entered[ELEMENTS];
    char *made; /* the message of the last verdict */
    int64_t retry; /* ms; 0: do not */
    char *later; /* a header that `finish` reads */
};

const uint32_t ts_chain_abi = TS_CHAIN_ABI;
const char ts_chain_description[] = "{\"elements\":[{\"name\":\"First\"},{\"name\":\"Second\"}]}";
const size_t ts_chain_rpc_size = sizeof(struct rpc);
const size_t ts_chain_rpc_unset = 0;
const int ts_chain_peer = 1;
const int ts_chain_hears_end = 1;

ts_chain *ts_chain_new(void) {
    ts_chain *c = calloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void ts_chain_free(ts_chain *c) {
    free(c);
}

static void write_down(ts_chain *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void write_down(ts_chain *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&c->lock);
    int n = vsnprintf(c->diary + c->size, ROOM - c->size, format, args);
    if (n > 0 && c->size + (size_t)n < ROOM) c->size += (size_t)n;
    pthread_mutex_unlock(&c->lock);
    va_end(args);
}

static ts_slice text(const char *from) {
    return (ts_slice){(const uint8_t *)from, (uint32_t)strlen(from)};
}

static void headers(ts_chain *c, const struct rpc *r, const struct ts_rpc *rpc, char *verb, char *rest) {
    char *after, *side = strtok_r(rest, " ", &after), *name = strtok_r(NULL, " ", &after);
    enum ts_side which = *side == 'q' ? TS_REQUEST_HEADERS : *side == 'p' ? TS_RESPONSE_HEADERS : TS_RESPONSE_TRAILERS;
    ts_slice found = {0, 0};
    if (*verb == 's') rpc->carrier->header_set(rpc->ctx, which, text(name), text(after));
    else if (*verb == 'r') rpc->carrier->header_remove(rpc->ctx, which, text(name));
    else if (rpc->carrier->header_get(rpc->ctx, which, text(name), &found))
        write_down(c, "get %llu %s=%.*s\n", (unsigned long long)r->id, name, (int)found.size, (const char *)found.data);
    else write_down(c, "get %llu %s absent\n", (unsigned long long)r->id, name);
}

static void obey(ts_chain *c, struct rpc *r, const struct ts_rpc *rpc, uint32_t element, char *line, struct ts_verdict *out) {
    char *rest, *verb = strtok_r(line, " ", &rest);
    if (!verb) return;
    if (!strcmp(verb, "set") || !strcmp(verb, "remove") || !strcmp(verb, "get")) {
        headers(c, r, rpc, verb, rest);
    } else if (!strcmp(verb, "reject")) {
        out->action = TS_REJECT;
        out->code = (int)strtol(rest, &rest, 10);
        out->element = element;
        r->made = strdup(rest + (*rest == ' '));
        out->text = text(r->made);
    } else if (!strcmp(verb, "respond")) {
        out->action = TS_RESPOND;
        out->element = element;
        r->made = strdup(rest);
        out->text = text(r->made);
    } else if (!strcmp(verb, "rewrite")) {
        out->rewritten = 1;
        r->made = strdup(rest);
        out->message = text(r->made);
    } else if (!strcmp(verb, "after")) {
        out->after += strtol(rest, NULL, 10) * 1000000;
    } else if (!strcmp(verb, "retry")) {
        r->retry = strtol(rest, NULL, 10);
    } else if (!strcmp(verb, "later")) {
        free(r->later);
        if (!(r->later = malloc(strlen(rest) + 3))) abort();
        memcpy(r->later, "p ", 2);
        memcpy(r->later + 2, rest, strlen(rest) + 1);
    } else if (!strcmp(verb, "to")) {
        r->made = strdup(rest);
        out->to = text(r->made);
    }
}

static void run(ts_chain *c, struct rpc *r, const struct ts_rpc *rpc, char hook, uint32_t element, ts_slice message,
                struct ts_verdict *out) {
    write_down(c, "%c %llu %u %u\n", hook, (unsigned long long)r->id, element, message.size);
    if (rpc->carrier->record) {
        struct ts_record record = {.sequence = c->sequence++, .rpc = r->id, .element = element, .hook = hook == 'p',
                                   .arguments = message};
        rpc->carrier->record(rpc->ctx, &record);
    }
    if (message.size == 0 || message.size > LONGEST || (*message.data != 'q' && *message.data != 'p')) return;
    char *copy = strndup((const char *)message.data, message.size), *next = copy, *line;
    while (out->action == TS_FORWARD && (line = strsep(&next, "\n")))
        if (line[0] == hook && line[1] == (char)('0' + element) && line[2] == ' ') obey(c, r, rpc, element, line + 3, out);
    free(copy);
}

static void begin(ts_chain *c, struct rpc *r, const struct ts_rpc *rpc) {
    if (r->id == 0) {
        r->id = __atomic_add_fetch(&c->rpcs, 1, __ATOMIC_RELAXED);
        write_down(c, "rpc %llu %.*s %.*s\n", (unsigned long long)r->id, (int)rpc->method.size,
                   (const char *)rpc->method.data, (int)rpc->peer.size, (const char *)rpc->peer.data);
    }
    free(r->made);
    r->made = NULL;
}

void ts_chain_request(ts_chain *c, void *state, const struct ts_rpc *rpc, ts_slice message, struct ts_verdict *out) {
    struct rpc *r = state;
    begin(c, r, rpc);
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < ELEMENTS && out->action == TS_FORWARD; i++) {
        r->entered[i] = 1;
        run(c, r, rpc, 'q', i, message, out);
    }
}

void ts_chain_response(ts_chain *c, void *state, const struct ts_rpc *rpc, ts_slice message, struct ts_verdict *out) {
    struct rpc *r = state;
    begin(c, r, rpc);
    memset(out, 0, sizeof *out);
    for (uint32_t i = ELEMENTS; i-- > 0 && out->action == TS_FORWARD;) run(c, r, rpc, 'p', i, message, out);
}

void ts_chain_finish(ts_chain *c, void *state, const struct ts_rpc *rpc, int code, enum ts_cause cause, int64_t elapsed,
                     struct ts_ending *out) {
    struct rpc *r = state;
    memset(out, 0, sizeof *out);
    if (elapsed < 0) abort();
    if (r->later) headers(c, r, rpc, "get", r->later);
    free(r->later);
    r->later = NULL;
    if (code && r->retry) *out = (struct ts_ending){1, r->retry * 1000000};
    for (uint32_t i = ELEMENTS; i-- > 0;)
        if (r->entered[i]) write_down(c, "f %llu %u %d %d\n", (unsigned long long)r->id, i, code, cause);
    write_down(c, "end %llu %d %d\n", (unsigned long long)r->id, code, cause);
    rpc->carrier->header_set(rpc->ctx, TS_RESPONSE_TRAILERS, text("x-finished"), text("yes"));
    free(r->made);
    r->made = NULL;
}

size_t ts_chain_save(ts_chain *c, uint32_t element, uint8_t *image, size_t room) {
    pthread_mutex_lock(&c->lock);
    size_t size = element ? sizeof c->param : c->size;
    if (size <= room) memcpy(image, element ? (char *)&c->param : c->diary, size);
    pthread_mutex_unlock(&c->lock);
    return size;
}

int ts_chain_load(ts_chain *c, uint32_t element, const uint8_t *image, size_t size) {
    if (element != 1 || size != sizeof c->param) return -1;
    memcpy(&c->param, image, size);
    return 0;
}
