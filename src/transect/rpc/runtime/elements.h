/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of a chain, once for all chains: order, entering, verdicts, delays, replies of `Respond`, locks, the log.
 * The emitted unit gives tables of elements, methods and messages, and includes this file.  `chain/python.py` says the
 * same rules in Python.
 */
#ifndef TRANSECT_ELEMENTS_H
#define TRANSECT_ELEMENTS_H

#include <pthread.h>
#include <stdlib.h>

#include "call.h"
#include "chain.h"
#include "headers.h"
#include "passing.h"

#define TS_NOBODY UINT32_MAX /* `element` of a verdict which the chain itself gives */
#define TS_INVALID_ARGUMENT 3
#define TS_RESOURCE_EXHAUSTED 8
#define TS_UNIMPLEMENTED 12
#define TS_TAPE_ROOM 65536 /* bytes of outside answers that one handler call can record */

/* Bytes which looking into a message of that size, and what elements make of it, may take beside it.  Many small items take
 * many times their own size, and who sends them need not be a friend. */
#define TS_MESSAGE_ROOM(SIZE) (((size_t)16 << 20) + 8 * (size_t)(SIZE))

/* A message in which nothing is present. */
#define TS_NOTHING(STRUCT, NAME) static const struct STRUCT NAME __attribute__((unused)) = {0};

enum ts_hook { TS_HOOK_REQUEST, TS_HOOK_RESPONSE, TS_HOOK_FINISH };

/* One hook call of one element: what its emitted wrapper gets and gives. */
struct ts_step {
    void *state;
    void *kept; /* the element's part of the RPC's memory: locals, and what later hooks read */
    struct ts_call *call;
    const struct ts_rpc *rpc;
    struct ts_arena *keep; /* memory until the RPC ends */
    uint32_t method;
    pthread_mutex_t *lock; /* NULL: the element has no state */
    pthread_mutex_t **held; /* says so, while it is taken */
    uint64_t *clock;       /* counts the element's calls; the wrapper takes its number inside the lock */
    uint64_t sequence;
    const void *scanned; /* what the walk found in the message; NULL: nobody looks into it */
    void *changing;      /* the same, for assignments */
    ts_slice body;
    int64_t code, cause, elapsed; /* finish */

    enum ts_action action;
    int64_t status;
    ts_slice text;
    int64_t after;
    ts_slice to; /* data NULL: none */
    bool retry;
    ts_slice verdict; /* encoded, where `call->tape` is there */
};

struct ts_method {
    const char *path;
    uint32_t size; /* bytes of the path */
    uint32_t request, reply; /* roots */
};

struct ts_element {
    const char *name;
    bool locks;
    void (*hooks[3])(struct ts_step *step); /* NULL: the policy does not define it, and keeps nothing there */
    bool defines[3];
    size_t kept; /* bytes of its part of the RPC's memory */
    void (*begin)(void *kept);
    void *(*make)(void);
    void (*release)(void *state);
    size_t (*save)(void *state, uint8_t *image, size_t room);
    int (*load)(void *state, const uint8_t *image, size_t size);
};

struct ts_tables {
    const struct ts_element *elements;
    uint32_t element_count;
    const struct ts_method *methods;
    uint32_t method_count;
    const struct ts_root *roots;
    bool pass_unknown;
};

#define TS_ALIGNED(SIZE) (((SIZE) + 15) & ~(size_t)15)

struct ts_part {
    void *state;
    size_t kept; /* where its part of an RPC's memory lies */
    uint64_t clock;
    pthread_mutex_t lock;
};

struct ts_chain {
    uint64_t rpcs;
    struct ts_part parts[];
};

/* At the start of an RPC's memory; zeroed by the carrier from `begun` on: what comes before is large, and set when a call
 * begins. */
struct ts_rpc_head {
    struct ts_call call;
    struct ts_arena keep;
    bool begun;
    uint32_t entered; /* elements 0 … entered - 1 */
    uint32_t method;  /* UINT32_MAX: not covered */
    uint64_t number;
    uint64_t unlogged; /* calls of hooks which the policies do not define */
    struct ts_said *said; /* what the running hook has traced; NULL: nothing */
    uint32_t running;     /* element of that hook */
    void *escape[5];       /* where a hook that runs out of memory ends */
    pthread_mutex_t *held; /* the lock that it had then */
};

const size_t ts_chain_rpc_unset = offsetof(struct ts_rpc_head, begun);

/* ---------------------------------------------------------------- outside facts */

static int64_t ts_rpc_now(void *context)
{
    const struct ts_rpc *rpc = context;
    return rpc->carrier->now(rpc->ctx);
}

static uint64_t ts_rpc_draw(void *context)
{
    const struct ts_rpc *rpc = context;
    return rpc->carrier->draw(rpc->ctx);
}

/* At most TS_TRACE_SIZE bytes of a text, without half a character. */
static ts_slice ts_trace_cut(struct ts_arena *arena, ts_slice text)
{
    static const char sign[] = "…";
    bool whole = text.size <= TS_TRACE_SIZE;
    uint32_t size = whole ? text.size : TS_TRACE_SIZE;
    while (!whole && (text.data[size] & 0xc0) == 0x80) {
        size--;
    }
    uint8_t *copy = ts_take(arena, size + sizeof sign);
    if (size > 0) {
        memcpy(copy, text.data, size);
    }
    memcpy(copy + size, sign, sizeof sign);
    return (ts_slice){copy, whole ? size : size + (uint32_t)sizeof sign - 1};
}

/* Kept until the hook has returned: writing it down may take long, and its element's lock is held now. */
static void ts_rpc_trace(struct ts_call *call, ts_slice text)
{
    struct ts_rpc_head *head = (struct ts_rpc_head *)((uint8_t *)call - offsetof(struct ts_rpc_head, call));
    if (head->said == NULL) {
        head->said = ts_take(&call->arena, sizeof *head->said);
        head->said->count = head->said->left_out = 0;
    }
    if (head->said->count == TS_TRACE_LINES) {
        head->said->left_out++;
    } else {
        ts_slice cut = ts_trace_cut(&call->arena, text);
        head->said->texts[head->said->count++] = cut;
    }
}

static void ts_tell_traces(struct ts_rpc_head *head, const struct ts_tables *tables, uint32_t element)
{
    const struct ts_rpc *rpc = head->call.context;
    struct ts_said *said = head->said;
    head->said = NULL;
    if (rpc->carrier->trace != NULL) {
        said->name = tables->elements[element].name;
        said->element = element;
        rpc->carrier->trace(rpc->ctx, said);
    }
}

static const struct ts_host ts_rpc_host = {ts_rpc_now, ts_rpc_draw, ts_rpc_trace, NULL};

#ifdef TS_GIVEN_FACTS
#include "given.h"
#define TS_HOST ts_given_host
#else
#define TS_HOST ts_rpc_host
#endif

/* `rpc.headers` or `rpc.trailers`. */
struct ts_headers {
    enum ts_side side;
};


/* HTTP/2's and gRPC's own names, as `rpc/headers.py` has them: each carrier has others of them in its metadata, and does
 * something else when one is set.  So a policy reads and writes them in none; nor a name in capitals, which Envoy would find
 * in lower case and grpcio would not. */
static bool ts_header_unreadable(ts_slice name)
{
    static const char *const names[] = {
        "te", "content-type", "content-length", "content-encoding", "host", "connection", "keep-alive",
        "transfer-encoding", "upgrade", "trailer", "proxy-connection",
    };
    for (uint32_t i = 0; i < name.size; i++) {
        if (name.data[i] >= 'A' && name.data[i] <= 'Z') {
            return true;
        }
    }
    if (name.size > 0 && name.data[0] == ':') {
        return true;
    }
    if (name.size >= 5 && memcmp(name.data, "grpc-", 5) == 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t size = strlen(names[i]);
        if (size == name.size && memcmp(name.data, names[i], size) == 0) {
            return true;
        }
    }
    return false;
}

static bool ts_header_unwritable(ts_slice name)
{
    return ts_header_unreadable(name) || (name.size == 10 && memcmp(name.data, "user-agent", 10) == 0);
}

/* What gRPC would not send counts as absent: grpcio hands bytes that are not UTF-8 out as other letters. */
TS_INLINE bool ts_header_get(struct ts_call *call, const struct ts_headers *headers, ts_slice name, ts_slice *value)
{
    const struct ts_rpc *rpc = call->context;
    *value = TS_EMPTY;
    bool found = !ts_header_unreadable(name) && rpc->carrier->header_get(rpc->ctx, headers->side, name, value) != 0 &&
                 ts_header_text(*value);
    *value = found ? ts_copy(call, *value) : TS_EMPTY;
    if (call->tape != NULL) {
        ts_write_u8(call->tape, 'a');
        ts_write_u8(call->tape, found);
        if (found) {
            ts_write_text(call->tape, *value);
        }
    }
    return found;
}

TS_INLINE void ts_header_set(struct ts_call *call, const struct ts_headers *headers, ts_slice name, ts_slice value)
{
    const struct ts_rpc *rpc = call->context;
    if (!ts_header_unwritable(name)) {
        rpc->carrier->header_set(rpc->ctx, headers->side, name, value);
    }
}

TS_INLINE void ts_header_remove(struct ts_call *call, const struct ts_headers *headers, ts_slice name)
{
    const struct ts_rpc *rpc = call->context;
    if (!ts_header_unwritable(name)) {
        rpc->carrier->header_remove(rpc->ctx, headers->side, name);
    }
}

/* ---------------------------------------------------------------- verdicts */

TS_INLINE void ts_forwarding(struct ts_verdict *out)
{
    *out = (struct ts_verdict){.action = TS_FORWARD, .element = TS_NOBODY};
}

TS_INLINE void ts_refusing(struct ts_verdict *out, int code, ts_slice text, uint32_t element)
{
    *out = (struct ts_verdict){.action = TS_REJECT, .code = code, .text = text, .element = element};
}

static void ts_refuse_malformed(struct ts_call *call, struct ts_verdict *out, const struct ts_root *root)
{
    ts_slice name = {(const uint8_t *)root->name, (uint32_t)strlen(root->name)};
    ts_refusing(out, TS_INVALID_ARGUMENT, ts_both(&call->arena, "malformed ", name), TS_NOBODY);
}

TS_INLINE int64_t ts_longer(int64_t after, int64_t more)
{
    return more <= 0 ? after : after > INT64_MAX - more ? INT64_MAX : after + more;
}

/* ---------------------------------------------------------------- one element */

static void ts_log_call(const struct ts_step *step, enum ts_hook hook, uint32_t element, uint64_t number, ts_slice came, const ts_slice *rewritten)
{
    const struct ts_rpc *rpc = step->rpc;
    struct ts_arena *arena = &step->call->arena;
    struct ts_writer arguments = {NULL, 0, 0}, result = {NULL, 0, 0};
    ts_slice went = rewritten == NULL ? TS_EMPTY : *rewritten;
#ifdef TRANSECT_REDACT_H
    if (hook != TS_HOOK_FINISH && step->method != UINT32_MAX) {
        int32_t table = chain_secret_messages[step->method][hook];
        came = ts_redacted(chain_secrets, table, came, arena);
        went = ts_redacted(chain_secrets, table, went, arena);
    }
#endif
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1) {
            arguments = (struct ts_writer){ts_take(arena, arguments.size), arguments.size, 0};
            result = (struct ts_writer){ts_take(arena, result.size), result.size, 0};
        }
        ts_write_text(&arguments, rpc->method);
        ts_write_text(&arguments, rpc->peer);
        ts_write_bytes(&result, step->verdict.data, step->verdict.size);
        if (hook == TS_HOOK_FINISH) {
            ts_write_i64(&arguments, step->code);
            ts_write_i64(&arguments, step->cause);
            ts_write_i64(&arguments, step->elapsed);
        } else {
            ts_write_text(&arguments, came);
            ts_write_u8(&result, rewritten != NULL);
            ts_write_text(&result, went);
        }
    }
    const struct ts_writer *tape = step->call->tape;
    struct ts_record record = {
        .sequence = step->sequence,
        .rpc = number,
        .element = element,
        .hook = hook,
        .arguments = {arguments.data, (uint32_t)arguments.size},
        .tape = {tape->data, (uint32_t)(tape->size < tape->room ? tape->size : tape->room)},
        .result = {result.data, (uint32_t)result.size},
    };
    rpc->carrier->record(rpc->ctx, &record);
}

static struct ts_step ts_step_of(const struct ts_tables *tables, ts_chain *chain, struct ts_rpc_head *head, const struct ts_rpc *rpc, uint32_t element)
{
    return (struct ts_step){
        .state = chain->parts[element].state,
        .kept = (uint8_t *)head + chain->parts[element].kept,
        .call = &head->call,
        .rpc = rpc,
        .keep = &head->keep,
        .method = head->method,
        .lock = tables->elements[element].locks ? &chain->parts[element].lock : NULL,
        .held = &head->held,
        .clock = &chain->parts[element].clock,
        .action = TS_FORWARD,
    };
}

/* Reading the clock costs as much as a small element: of the first RPCs all are timed, later a sample.  As `rpc/chain/times.py`. */
TS_INLINE bool ts_sampled(uint64_t rpc)
{
    return rpc < 256 || rpc % 16 == 0;
}

/* Run one hook of one element; what it says is in the step. */
static void ts_run(const struct ts_tables *tables, struct ts_rpc_head *head, struct ts_step *step, enum ts_hook hook, uint32_t element, struct ts_passing *passing)
{
    const struct ts_element *code = &tables->elements[element];
    if (code->hooks[hook] == NULL) {
        return;
    }
    struct ts_writer tape = {NULL, 0, 0};
    const struct ts_carrier *carrier = step->rpc->carrier;
    bool logging = carrier->record != NULL && code->defines[hook];
    if (!code->defines[hook]) {
        step->clock = &head->unlogged;
    }
    ts_slice came = passing == NULL ? TS_EMPTY : passing->data;
    head->call.context = (void *)(uintptr_t)step->rpc;
    head->call.timed = false;
    if (logging) {
        tape = (struct ts_writer){ts_take(&head->call.arena, TS_TAPE_ROOM), TS_TAPE_ROOM, 0};
        head->call.tape = &tape;
    }
    if (passing != NULL) {
        step->scanned = step->changing = passing->found;
        step->body = came;
    }
#ifdef TS_GIVEN_FACTS
    ts_given_take(step, hook, element);
#endif
    bool timed = carrier->took != NULL && passing != NULL && code->defines[hook] && ts_sampled(head->number);
    int64_t began = timed ? carrier->now(step->rpc->ctx) : 0;
    head->running = element;
    code->hooks[hook](step);
    if (head->said != NULL) {
        ts_tell_traces(head, tables, element);
    }
    bool rewritten = passing != NULL && ts_settle(&head->call, passing);
    if (logging) {
        ts_log_call(step, hook, element, head->number, came, rewritten ? &passing->data : NULL);
    }
    head->call.tape = NULL;
    if (timed) {
        carrier->took(step->rpc->ctx, element, ts_longer(carrier->now(step->rpc->ctx) - began, step->after));
    }
}

/* ---------------------------------------------------------------- the chain */

static uint32_t ts_method_of(const struct ts_tables *tables, ts_slice path)
{
    for (uint32_t i = 0; i < tables->method_count; i++) {
        const struct ts_method *method = &tables->methods[i];
        if (method->size == path.size && memcmp(method->path, path.data, path.size) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

static void ts_begin(const struct ts_tables *tables, ts_chain *chain, struct ts_rpc_head *head, const struct ts_rpc *rpc)
{
    if (!head->begun) {
        head->begun = true;
        head->method = ts_method_of(tables, rpc->method);
        head->number = __atomic_fetch_add(&chain->rpcs, 1, __ATOMIC_RELAXED);
        ts_call_begin(&head->call, &TS_HOST, NULL);
        ts_arena_begin(&head->keep);
    } else {
        ts_arena_end(&head->call.arena); /* what the last call handed out */
    }
}

/* Says where it ends when a hook on a message of that size takes too much memory, or there is none; then answers true. */
#ifdef __wasm__ /* the host ends the instance */
#define TS_OUT_OF_MEMORY(HEAD, SIZE) (ts_bounded(HEAD, SIZE), false)
#else
#define TS_OUT_OF_MEMORY(HEAD, SIZE) (ts_bounded(HEAD, SIZE), __builtin_setjmp((HEAD)->escape) != 0 && ts_escaped(tables, HEAD))
#endif

#define TS_TOO_MUCH "looking into this message takes too much memory"

static void ts_bounded(struct ts_rpc_head *head, size_t size)
{
    head->call.arena.most = head->keep.most = TS_MESSAGE_ROOM(size);
    head->call.arena.escape = head->keep.escape = head->escape;
}

/* What the handler has done to its state by then stays: there is no way back to what was before. */
static __attribute__((unused)) bool ts_escaped(const struct ts_tables *tables, struct ts_rpc_head *head)
{
    if (head->held != NULL) {
        pthread_mutex_unlock(head->held);
        head->held = NULL;
    }
    if (head->said != NULL) {
        ts_tell_traces(head, tables, head->running);
    }
    head->call.tape = NULL;
    ts_arena_end(&head->call.arena);
    return true;
}

/* The `response` of the elements before `end`, last first. */
static void ts_replies(const struct ts_tables *tables, ts_chain *chain, struct ts_rpc_head *head, const struct ts_rpc *rpc, uint32_t end, ts_slice message, struct ts_verdict *out)
{
    struct ts_passing passing = {.root = &tables->roots[tables->methods[head->method].reply]};
    int64_t after = 0;
    bool good = ts_take_message(&head->call, &passing, message);
    for (uint32_t i = end; good && i-- > 0;) {
        struct ts_step step = ts_step_of(tables, chain, head, rpc, i);
        ts_run(tables, head, &step, TS_HOOK_RESPONSE, i, &passing);
        if (step.action == TS_REJECT) {
            ts_refusing(out, (int)step.status, step.text, i);
            out->after = after;
            return;
        }
        if (step.action == TS_RESPOND) {
            passing.replaced = true;
            good = ts_take_message(&head->call, &passing, step.text);
        }
        after = ts_longer(after, step.after);
    }
    if (!good) {
        ts_refuse_malformed(&head->call, out, passing.root);
        out->after = after;
        return;
    }
    ts_forwarding(out);
    out->rewritten = passing.replaced;
    out->message = passing.replaced ? passing.data : TS_EMPTY;
    out->after = after;
}

static void ts_requests(const struct ts_tables *tables, ts_chain *chain, struct ts_rpc_head *head, const struct ts_rpc *rpc, ts_slice message, struct ts_verdict *out)
{
    struct ts_passing passing = {.root = &tables->roots[tables->methods[head->method].request]};
    int64_t after = 0;
    ts_slice to = TS_EMPTY;
    if (!ts_take_message(&head->call, &passing, message)) {
        ts_refuse_malformed(&head->call, out, passing.root);
        return;
    }
    for (uint32_t i = 0; i < tables->element_count; i++) {
        struct ts_step step = ts_step_of(tables, chain, head, rpc, i);
        if (i == head->entered) {
            head->entered++;
            if (tables->elements[i].begin != NULL) {
                tables->elements[i].begin(step.kept);
            }
        }
        ts_run(tables, head, &step, TS_HOOK_REQUEST, i, &passing);
        if (step.action == TS_REJECT) {
            ts_refusing(out, (int)step.status, step.text, i);
            out->after = after;
            return;
        }
        if (step.action == TS_RESPOND) {
            ts_replies(tables, chain, head, rpc, i, step.text, out);
            if (out->action == TS_FORWARD) {
                ts_slice body = out->rewritten ? out->message : step.text;
                *out = (struct ts_verdict){.action = TS_RESPOND, .text = body, .after = out->after, .element = i};
            }
            out->after = ts_longer(after, out->after);
            return;
        }
        after = ts_longer(after, step.after);
        to = step.to.data == NULL ? to : step.to;
    }
    ts_forwarding(out);
    out->rewritten = passing.replaced;
    out->message = passing.replaced ? passing.data : TS_EMPTY;
    out->after = after;
    out->to = to;
}

/* Who passes a message on as it came is handed nothing: the memory that looking into it took, which may be many times its
 * size, does not wait with the RPC for its next call. */
TS_INLINE void ts_let_go(struct ts_call *call, const struct ts_verdict *out)
{
    if (out->action == TS_FORWARD && !out->rewritten && out->to.data == NULL) {
        ts_arena_end(&call->arena);
    }
}

static void ts_elements_request(const struct ts_tables *tables, ts_chain *chain, void *rpc_state, const struct ts_rpc *rpc, ts_slice message, struct ts_verdict *out)
{
    struct ts_rpc_head *head = rpc_state;
    ts_begin(tables, chain, head, rpc);
    if (TS_OUT_OF_MEMORY(head, message.size)) {
        ts_refusing(out, TS_RESOURCE_EXHAUSTED, TS_TEXT(TS_TOO_MUCH), TS_NOBODY);
    } else if (head->method != UINT32_MAX) {
        ts_requests(tables, chain, head, rpc, message, out);
        ts_let_go(&head->call, out);
    } else if (tables->pass_unknown) {
        ts_forwarding(out);
    } else {
        ts_refusing(out, TS_UNIMPLEMENTED, ts_both(&head->call.arena, "no policy covers ", rpc->method), TS_NOBODY);
    }
}

static void ts_elements_response(const struct ts_tables *tables, ts_chain *chain, void *rpc_state, const struct ts_rpc *rpc, ts_slice message, struct ts_verdict *out)
{
    struct ts_rpc_head *head = rpc_state;
    ts_begin(tables, chain, head, rpc);
    if (TS_OUT_OF_MEMORY(head, message.size)) {
        ts_refusing(out, TS_RESOURCE_EXHAUSTED, TS_TEXT(TS_TOO_MUCH), TS_NOBODY);
    } else if (head->method == UINT32_MAX) {
        ts_forwarding(out);
    } else {
        ts_replies(tables, chain, head, rpc, head->entered, message, out);
        ts_let_go(&head->call, out);
    }
}

static void ts_elements_finish(const struct ts_tables *tables, ts_chain *chain, void *rpc_state, const struct ts_rpc *rpc, int code, enum ts_cause cause, int64_t elapsed, struct ts_ending *out)
{
    struct ts_rpc_head *head = rpc_state;
    *out = (struct ts_ending){0, 0};
    if (!head->begun) {
        return;
    }
    ts_arena_end(&head->call.arena);
    (void)TS_OUT_OF_MEMORY(head, 0); /* then go on with the next element */
    while (head->entered > 0) {
        uint32_t i = --head->entered;
        if (tables->elements[i].hooks[TS_HOOK_FINISH] == NULL) {
            continue;
        }
        struct ts_step step = ts_step_of(tables, chain, head, rpc, i);
        step.code = code;
        step.cause = cause;
        step.elapsed = elapsed;
        ts_run(tables, head, &step, TS_HOOK_FINISH, i, NULL);
        if (step.retry) {
            out->after = out->after < step.after ? step.after : out->after;
            out->retry = 1;
        }
    }
    ts_call_end(&head->call);
    ts_arena_end(&head->keep);
    head->begun = false;
}

static ts_chain *ts_elements_new(const struct ts_tables *tables)
{
    ts_chain *chain = calloc(1, sizeof *chain + tables->element_count * sizeof chain->parts[0]);
    if (chain == NULL) {
        return NULL;
    }
    size_t kept = TS_ALIGNED(sizeof(struct ts_rpc_head));
    for (uint32_t i = 0; i < tables->element_count; i++) {
        struct ts_part *part = &chain->parts[i];
        part->kept = kept;
        kept += TS_ALIGNED(tables->elements[i].kept);
        part->state = tables->elements[i].make();
        if (part->state == NULL) {
            while (i-- > 0) {
                tables->elements[i].release(chain->parts[i].state);
                pthread_mutex_destroy(&chain->parts[i].lock);
            }
            free(chain);
            return NULL;
        }
        pthread_mutex_init(&part->lock, NULL);
    }
    return chain;
}

static void ts_elements_free(const struct ts_tables *tables, ts_chain *chain)
{
    for (uint32_t i = 0; chain != NULL && i < tables->element_count; i++) {
        tables->elements[i].release(chain->parts[i].state);
        pthread_mutex_destroy(&chain->parts[i].lock);
    }
    free(chain);
}

static size_t ts_elements_save(const struct ts_tables *tables, ts_chain *chain, uint32_t element, uint8_t *image, size_t room)
{
    if (element >= tables->element_count) {
        return 0;
    }
    pthread_mutex_lock(&chain->parts[element].lock);
    size_t size = tables->elements[element].save(chain->parts[element].state, image, room);
    pthread_mutex_unlock(&chain->parts[element].lock);
    return size;
}

static int ts_elements_load(const struct ts_tables *tables, ts_chain *chain, uint32_t element, const uint8_t *image, size_t size)
{
    if (element >= tables->element_count) {
        return -1;
    }
    pthread_mutex_lock(&chain->parts[element].lock);
    int result = tables->elements[element].load(chain->parts[element].state, image, size);
    pthread_mutex_unlock(&chain->parts[element].lock);
    return result;
}

/* Take the element's lock and a number in the order of calls. */
TS_INLINE void ts_lock(struct ts_step *step)
{
    if (step->lock != NULL) {
        pthread_mutex_lock(step->lock);
        *step->held = step->lock;
    }
    step->sequence = __atomic_fetch_add(step->clock, 1, __ATOMIC_RELAXED);
}

TS_INLINE void ts_unlock(struct ts_step *step)
{
    if (step->lock != NULL) {
        *step->held = NULL;
        pthread_mutex_unlock(step->lock);
    }
}

#endif
