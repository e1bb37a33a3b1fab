/* SPDX-License-Identifier: Apache-2.0 */
/* Message frames in the bytes of one direction: each whole frame is decided and passed on at once.
 *
 * Bytes that hold whole frames, and nothing else, are decided where Envoy keeps them and pass untouched: no copy.  Part
 * of a frame is kept in `way.in` until the rest comes.  Nothing that is not decided ever passes.
 */
#include <stdlib.h>
#include <string.h>

#include "envoy_module.h"

void bytes_add(struct bytes *b, const void *data, size_t size) {
    if (size == 0) return;
    if (b->size + size > b->room) {
        size_t room = b->room ? b->room * 2 : 256;
        while (room < b->size + size) room *= 2;
        uint8_t *grown = realloc(b->data, room);
        if (!grown) abort();
        b->data = grown;
        b->room = room;
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

void bytes_free(struct bytes *b) {
    if (!b->data) return;
    free(b->data);
    *b = (struct bytes){0};
}

static void bytes_drop(struct bytes *b, size_t size) {
    b->size -= size;
    if (b->size == 0) bytes_free(b);
    else if (size) memmove(b->data, b->data + size, b->size);
}

int left_over(const struct way *w) {
    return w->in.size > 0;
}

static enum envoy_body received(const struct way *w) {
    return w->reply ? RECEIVED_RESPONSE : RECEIVED_REQUEST;
}

static enum envoy_body buffered(const struct way *w) {
    return w->reply ? BUFFERED_RESPONSE : BUFFERED_REQUEST;
}

/* Appends what Envoy holds. */
static void gather(struct stream *s, enum envoy_body body, struct bytes *to) {
    enum { FEW = 32 };
    struct envoy_buffer few[FEW], *chunks = few;
    size_t many = CALLBACK(http_get_body_chunks_size)(s->filter, body);
    if (many == 0) return;
    if (many > FEW && !(chunks = calloc(many, sizeof *chunks))) abort();
    if (CALLBACK(http_get_body_chunks)(s->filter, body, chunks))
        for (size_t i = 0; i < many; i++) bytes_add(to, chunks[i].data, chunks[i].size);
    if (chunks != few) free(chunks);
}

/* --- one pass over some bytes ------------------------------------------------------------------------------------- */

struct pass {
    struct stream *s;
    struct way *w;
    const uint8_t *data;
    size_t size;
    size_t at;    /* frames before it are decided */
    size_t run;   /* bytes [run, at) pass as they are and are not given out yet */
    size_t given; /* bytes given out */
    int aside;    /* give out to way.out, not to Envoy: appending there ends the life of bytes that are read in place */
};

static void give(struct pass *p, const void *data, size_t size) {
    if (size == 0) return;
    p->given += size;
    if (p->aside) bytes_add(&p->w->out, data, size);
    else CALLBACK(http_append_body)(p->s->filter, received(p->w), (struct envoy_buffer){data, size});
}

static void give_run(struct pass *p, size_t end) {
    give(p, p->data + p->run, end - p->run);
    p->run = end;
}

static void give_message(struct pass *p, ts_slice message) {
    uint8_t head[FRAME_HEAD] = {0, (uint8_t)(message.size >> 24), (uint8_t)(message.size >> 16),
                                (uint8_t)(message.size >> 8), (uint8_t)message.size};
    give(p, head, sizeof head);
    give(p, message.data, message.size);
}

enum step { PASS, WAIT, OVER }; /* go on; a delay began; the RPC has ended */

void bad_frame(struct stream *s, const struct way *w, const char *what) {
    count(&s->config->totals.malformed);
    fail_with(s, w->reply ? 13 : 3, what); /* INTERNAL, INVALID_ARGUMENT */
}

static enum step end_by(struct pass *p, const struct ts_verdict *v) {
    struct stream *s = p->s;
    if (v->action == TS_RESPOND) {
        respond(s, v->text);
        return OVER;
    }
    /* Replies that passed before this one still reach the client; the status then comes in trailers. */
    if (p->w->reply && (p->at > 0 || p->given || p->w->out.size)) s->response.open = 1;
    fail(s, v->code, v->text);
    return OVER;
}

static enum step begin_delay(struct pass *p, int64_t delay) {
    wait_for(p->s, p->w, delay);
    return WAIT;
}

/* What ends the RPC is seen when the delays before it are over; the message itself goes nowhere. */
static enum step put_off(struct pass *p, size_t frame_end, const struct ts_verdict *v) {
    struct verdict_due *due = &p->w->due;
    due->waits = 1;
    due->action = v->action;
    due->code = v->code;
    if (v->text.size) bytes_add(&due->text, v->text.data, v->text.size);
    give_run(p, p->at);
    p->run = frame_end;
    return begin_delay(p, v->after);
}

/* A delay that would end after the deadline ends there, and the RPC with it. */
static enum step end_late(struct pass *p) {
    if (p->w->reply && p->w->out.size) p->s->response.open = 1;
    finish(p->s, 4, TS_DEADLINE);
    fail(p->s, 4, (ts_slice)TS_TEXT("Deadline Exceeded"));
    return OVER;
}

static enum step end_due(struct pass *p) {
    struct verdict_due due = p->w->due;
    p->w->due = (struct verdict_due){0};
    if (due.late) return end_late(p);
    struct ts_verdict v = {.action = due.action, .code = due.code, .text = slice_of(due.text.data, due.text.size)};
    enum step step = end_by(p, &v);
    bytes_free(&due.text);
    return step;
}

static enum step wait_until_late(struct pass *p, size_t frame_end, int64_t left) {
    struct ts_verdict late = {.action = TS_REJECT, .after = left > 0 ? left : 1};
    enum step step = put_off(p, frame_end, &late);
    p->w->due.late = 1;
    return step;
}

static enum step obey(struct pass *p, size_t frame_end, const struct ts_verdict *v) {
    struct stream *s = p->s;
    if (v->after > 0 && s->timeout) {
        int64_t left = s->began + s->timeout - now_ns();
        if (v->after >= left) return wait_until_late(p, frame_end, left);
    }
    if (v->action != TS_FORWARD) return v->after > 0 ? put_off(p, frame_end, v) : end_by(p, v);
    if (v->rewritten) {
        give_run(p, p->at);
        give_message(p, v->message);
        p->run = frame_end;
    }
    return v->after > 0 ? begin_delay(p, v->after) : PASS;
}

/* A route is a header that the routing table of `config.py` matches; what a client sends under that name is removed.
 * A later message of a stream may name the route that the RPC has taken, and no other. */
static int take_route(struct stream *s, ts_slice to) {
    for (size_t i = 0; i < s->config->routes.count; i++) {
        const char *name = s->config->routes.texts[i];
        if (strlen(name) != to.size || memcmp(name, to.data, to.size) != 0) continue;
        if (s->request.open) {
            if (s->route == name) return 1;
            fail_with(s, 14, "the policy names a route after the RPC was sent on"); /* UNAVAILABLE */
            return 0;
        }
        s->route = name;
        set_header(s, REQUEST_HEADERS, ROUTE_HEADER, name, to.size);
        CALLBACK(http_clear_route_cache)(s->filter);
        return 1;
    }
    fail_with(s, 14, "the policy names a route that this proxy does not have"); /* UNAVAILABLE */
    return 0;
}

/* When it is given, not when its delay is over. */
static void note_verdict(struct totals *t, int reply, const struct ts_verdict *v) {
    if (v->after > 0) count(&t->delayed);
    if (v->action != TS_FORWARD && v->element >= MAX_ELEMENTS) { /* no element's */
        count(&t->refused);
        if (v->code == 3) count(&t->malformed);
        return;
    }
    count(reply ? &t->responses : &t->requests);
    switch (v->action) {
    case TS_FORWARD: if (v->rewritten) count(&t->rewritten); break;
    case TS_REJECT: count(reply ? &t->withheld[v->element] : &t->rejected[v->element]); break;
    case TS_RESPOND: count(&t->responded[v->element]); break;
    }
}

static enum step decide(struct pass *p, ts_slice message, size_t frame_end) {
    struct stream *s = p->s;
    struct ts_verdict v = {0};
    ask_chain(s, p->w->reply, message, &v);
    note_verdict(&s->config->totals, p->w->reply, &v);
    if (s->unreadable) return fail_with(s, 13, "the host does not show the headers"), OVER; /* INTERNAL: a policy took them for absent */
    if (v.action == TS_FORWARD && v.to.data && !p->w->reply && !take_route(s, v.to)) return OVER;
    return obey(p, frame_end, &v);
}

static enum step compressed(struct stream *s) {
    count(&s->config->totals.compressed);
    if (s->config->pass_compressed) return PASS;
    fail_with(s, 12, "compressed messages are not accepted here"); /* UNIMPLEMENTED */
    return OVER;
}

/* Decides all whole frames, up to a delay or the end of the RPC. */
static enum step decide_all(struct pass *p) {
    enum step step = PASS;
    while (step == PASS && p->size - p->at >= FRAME_HEAD) {
        const uint8_t *f = p->data + p->at;
        size_t size = (size_t)f[1] << 24 | (size_t)f[2] << 16 | (size_t)f[3] << 8 | f[4];
        if (f[0] > 1) return bad_frame(p->s, p->w, "malformed gRPC frame: unknown flag"), OVER;
        if (size > p->s->config->max_message)
            return fail_with(p->s, 8, "message larger than max_message"), OVER; /* RESOURCE_EXHAUSTED */
        if (p->size - p->at - FRAME_HEAD < size) break;
        size_t end = p->at + FRAME_HEAD + size;
        if (!p->w->reply) p->s->spoke = 1;
        step = f[0] ? compressed(p->s) : decide(p, slice_of(f + FRAME_HEAD, size), end);
        if (step != OVER) p->at = end;
    }
    return step;
}

/* --- Envoy brings bytes ------------------------------------------------------------------------------------------- */

/* What was given out aside goes to Envoy, in place of what it had. */
static void put_back(struct pass *p) {
    struct way *w = p->w;
    CALLBACK(http_drain_body)(p->s->filter, received(w), SIZE_MAX);
    if (w->out.size)
        CALLBACK(http_append_body)(p->s->filter, received(w), (struct envoy_buffer){(char *)w->out.data, w->out.size});
    bytes_free(&w->out);
}

static enum envoy_body_status over(struct pass *p) {
    int passes = p->w->reply && p->s->ending; /* earlier replies, then trailers */
    if (passes) give_run(p, p->at);
    if (passes && p->aside) put_back(p);
    bytes_free(&p->w->in);
    return passes && p->given ? BODY_CONTINUE : BODY_STOP_NO_BUFFER;
}

/* A delay began: all that this call decided waits for its end. */
static enum envoy_body_status hold(struct pass *p) {
    struct stream *s = p->s;
    if (p->given && !p->aside) gather(s, received(p->w), &p->w->out);
    p->aside = 1;
    give_run(p, p->at);
    if (p->data == p->w->in.data) bytes_drop(&p->w->in, p->at);
    else bytes_add(&p->w->in, p->data + p->at, p->size - p->at);
    CALLBACK(http_drain_body)(s->filter, received(p->w), SIZE_MAX);
    return BODY_STOP_NO_BUFFER;
}

static enum envoy_body_status cut_short(struct stream *s, struct way *w) {
    bad_frame(s, w, w->reply ? "the reply ends within a message" : "the request ends within a message");
    return BODY_STOP_NO_BUFFER;
}

static enum envoy_body_status in_place(struct stream *s, struct way *w, struct envoy_buffer chunk, bool end) {
    struct pass p = {.s = s, .w = w, .data = (const uint8_t *)chunk.data, .size = chunk.size, .aside = 1};
    switch (decide_all(&p)) {
    case OVER: return over(&p);
    case WAIT: return hold(&p);
    case PASS: break;
    }
    if (p.at == p.size && p.run == 0) return BODY_CONTINUE; /* untouched */
    if (p.at < p.size && end) return cut_short(s, w);
    give_run(&p, p.at);
    bytes_add(&w->in, p.data + p.at, p.size - p.at);
    put_back(&p);
    return p.given || end ? BODY_CONTINUE : BODY_STOP_NO_BUFFER;
}

static enum envoy_body_status gathered(struct stream *s, struct way *w, bool end) {
    struct pass p = {.s = s, .w = w, .data = w->in.data, .size = w->in.size};
    switch (decide_all(&p)) {
    case OVER: return over(&p);
    case WAIT: return hold(&p);
    case PASS: break;
    }
    give_run(&p, p.at);
    bytes_drop(&w->in, p.at);
    if (left_over(w) && end) return cut_short(s, w);
    return p.given || end ? BODY_CONTINUE : BODY_STOP_NO_BUFFER;
}

enum envoy_body_status pass_body(struct stream *s, struct way *w, bool end) {
    w->ended |= end;
    if (w->paused) return BODY_STOP_AND_WATERMARK;
    enum envoy_body from = received(w);
    struct envoy_buffer chunk;
    if (!left_over(w) && CALLBACK(http_get_body_chunks_size)(s->filter, from) == 1 &&
        CALLBACK(http_get_body_chunks)(s->filter, from, &chunk))
        return in_place(s, w, chunk, end);
    /* Envoy moves the last bytes of a stream that once stood still into its buffer before it calls us. */
    if (end && CALLBACK(http_get_body_size)(s->filter, buffered(w))) {
        gather(s, buffered(w), &w->in);
        CALLBACK(http_drain_body)(s->filter, buffered(w), SIZE_MAX);
    }
    gather(s, from, &w->in);
    CALLBACK(http_drain_body)(s->filter, from, SIZE_MAX);
    return gathered(s, w, end);
}

/* --- a delay is over ---------------------------------------------------------------------------------------------- */

static void end_of_reply(struct stream *s) {
    if (s->ending) {
        end_in_trailers(s, RESPONSE_TRAILERS);
        return;
    }
    apply_changes(s, TS_RESPONSE_TRAILERS);
    finish_by(s, RESPONSE_TRAILERS);
}

static void go_on(struct stream *s, struct way *w) {
    struct bytes out = w->out;
    w->out = (struct bytes){0};
    if (!w->reply) vouch(s);
    w->open = 1;
    if (out.size)
        CALLBACK(http_append_body)(s->filter, buffered(w), (struct envoy_buffer){(char *)out.data, out.size});
    bytes_free(&out);
    if (w->reply && w->trailers) end_of_reply(s);
    if (w->reply) CALLBACK(http_filter_continue_encoding)(s->filter);
    else CALLBACK(http_filter_continue_decoding)(s->filter);
}

/* The RPC ended while this direction waited: replies decided before still go out, then the status. */
static void wake_closed(struct stream *s, struct way *w) {
    bytes_free(&w->in);
    CALLBACK(http_drain_body)(s->filter, buffered(w), SIZE_MAX); /* came meanwhile, was never decided */
    if (!w->reply || !s->ending) return;
    go_on(s, w);
    if (s->ending) call_back(s, END);
}

void wake(struct stream *s, struct way *w) {
    w->paused = 0;
    if (s->closed) {
        wake_closed(s, w);
        return;
    }
    gather(s, buffered(w), &w->in);
    CALLBACK(http_drain_body)(s->filter, buffered(w), SIZE_MAX);
    struct pass p = {.s = s, .w = w, .data = w->in.data, .size = w->in.size, .aside = 1};
    enum step step = w->due.waits ? end_due(&p) : decide_all(&p);
    if (step == OVER) {
        if (s->ending) give_run(&p, p.at);
        if (s->filter) wake_closed(s, w);
        return;
    }
    give_run(&p, p.at);
    bytes_drop(&w->in, p.at);
    if (step == WAIT) return;
    if (left_over(w) && w->ended) cut_short(s, w);
    else go_on(s, w);
}
