/* SPDX-License-Identifier: Apache-2.0 */
/* How an RPC ends: `finish` exactly once, rejections, replies of our own.
 *
 * A rejection is HTTP 200 with grpc-status and grpc-message as headers; once the reply's headers have gone to the
 * client, the status can only come in trailers, and those are sent from the scheduler, not from within another hook.
 */
#include <stdlib.h>
#include <string.h>

#include "envoy_module.h"

void finish(struct stream *s, int code, enum ts_cause cause) {
    if (s->finished || !s->grpc) return;
    s->finished = 1;
    int64_t elapsed = now_ns() - s->began;
    ts_took(&s->config->times[0], elapsed);
    if (s->entered) tell_chain(s, code, cause, elapsed);
    count(&s->config->totals.causes[cause]); /* last: who sees that none is under way sees all that they did */
}

/* --- status ------------------------------------------------------------------------------------------------------- */

/* Bytes.  A text may be made of a message, and peers refuse headers of 8 or 16 KiB in all, or end the connection that others
 * share. */
enum { LONGEST_TEXT = 1024 };

/* Cut where a letter begins. */
static ts_slice shortened(ts_slice text) {
    if (text.size <= LONGEST_TEXT) return text;
    text.size = LONGEST_TEXT;
    while (text.size && (text.data[text.size] & 0xc0) == 0x80) text.size--;
    return text;
}

char *encode_message(ts_slice text) {
    static const char digits[] = "0123456789ABCDEF";
    char *encoded = malloc((size_t)text.size * 3 + 1), *to = encoded;
    if (!encoded) abort();
    for (uint32_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        int at_an_end = i == 0 || i + 1 == text.size; /* HTTP/2 lets no value begin or end with a blank */
        if (c >= 0x20 && c <= 0x7e && c != '%' && !(c == ' ' && at_an_end)) {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = digits[c >> 4];
            *to++ = digits[c & 15];
        }
    }
    *to = 0;
    return encoded;
}

static void write_code(char text[12], int code) {
    char reversed[12];
    int n = 0, at = 0;
    unsigned rest = (unsigned)code;
    do reversed[n++] = (char)('0' + rest % 10);
    while (rest /= 10);
    while (n) text[at++] = reversed[--n];
    text[at] = 0;
}

static int code_of_http(struct envoy_buffer status) {
    int n = 0;
    for (size_t i = 0; i < status.size && i < 3; i++) n = n * 10 + (status.data[i] - '0');
    switch (n) {
    case 400: return 13;
    case 401: return 16;
    case 403: return 7;
    case 404: return 12;
    case 429: case 502: case 503: case 504: return 14;
    default: return 2;
    }
}

/* The code in grpc-status; without one, what gRPC makes of the HTTP status. */
static int code_of_reply(struct stream *s, enum envoy_headers map) {
    struct envoy_buffer found;
    if (header_of(s, map, "grpc-status", &found) && found.size && found.size < 4) {
        int code = 0;
        for (size_t i = 0; i < found.size; i++) {
            if (found.data[i] < '0' || found.data[i] > '9') return 2;
            code = code * 10 + (found.data[i] - '0');
        }
        return code;
    }
    return header_of(s, RESPONSE_HEADERS, ":status", &found) ? code_of_http(found) : 2;
}

/* "100m": one to eight digits, and a unit, one of H M S m u n.  Negative: it is none of these. */
static int64_t timeout_of(struct envoy_buffer text) {
    static const char units[] = "HMSmun";
    static const int64_t ns[] = {3600000000000, 60000000000, 1000000000, 1000000, 1000, 1};
    int64_t n = 0;
    if (text.size < 2 || text.size > 9) return -1;
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return -1;
        n = n * 10 + (text.data[i] - '0');
    }
    const char *unit = memchr(units, text.data[text.size - 1], sizeof units - 1);
    if (!unit) return -1;
    const int64_t most = INT64_MAX / 2; /* leaves room for the time it is added to */
    return n > most / ns[unit - units] ? most : n * ns[unit - units];
}

/* False: a `grpc-timeout` that is malformed, or there twice.  gRPC's servers answer one by ending the connection, which here
 * carries the calls of others. */
int take_timeout(struct stream *s, const struct values *asked) {
    int64_t ns = asked->many == 0 ? 0 : asked->many > 1 ? -1 : timeout_of(asked->last);
    s->timeout = ns < 0 ? 0 : ns == 0 && asked->many ? 1 : ns;
    return ns >= 0;
}

/* The client's clock started before ours, by some milliseconds where it is busy; and gRPC's core writes timeouts rounded up,
 * 1 s as 1010m, 120 s as 121000m: up to a hundredth too long.  So it is 50 ms, or 2 %, and never more than a tenth. */
static int64_t slack(int64_t timeout) {
    int64_t rounded = timeout / 50, least = 50000000;
    int64_t slack = rounded > least ? rounded : least;
    return slack < timeout / 10 ? slack : timeout / 10;
}

int late(const struct stream *s) {
    return s->timeout && now_ns() >= s->began + s->timeout - slack(s->timeout);
}

/* The server may notice the deadline before the client does, and say so.  A code that nobody hears, and that names no cause, is
 * not looked up. */
void finish_by(struct stream *s, enum envoy_headers map) {
    int code = *s->config->calls->hears_end || s->timeout ? code_of_reply(s, map) : 0;
    enum ts_cause cause = s->local_cause ? (enum ts_cause)(s->local_cause - 1) : TS_REPLY;
    finish(s, code, code == 4 && late(s) ? TS_DEADLINE : cause);
}

/* --- our own replies ---------------------------------------------------------------------------------------------- */

enum { OURS = 4 }; /* headers of a reply that are not elements' */

/* Room for ours and for all that elements have set; the caller's to free. */
static struct envoy_header *room_for_headers(const struct stream *s) {
    size_t count = OURS;
    for (const struct change *c = s->changes; c; c = c->next) count++;
    struct envoy_header *room = calloc(count, sizeof *room);
    if (!room) abort();
    return room;
}

static void add(struct envoy_header *to, size_t *n, const char *name, const char *value) {
    *to = (struct envoy_header){name, strlen(name), value, strlen(value)};
    ++*n;
}

/* What elements set for a map that will never come from the server. */
static void add_changes(struct stream *s, enum ts_side side, struct envoy_header *to, size_t *n) {
    for (struct change *c = s->changes; c; c = c->next)
        if (c->side == side && !c->removed)
            to[(*n)++] = (struct envoy_header){c->text, c->name_size, c->text + c->name_size, c->value_size};
}

static void reply_at_once(struct stream *s) {
    struct envoy_header *headers = room_for_headers(s);
    char code[12];
    size_t n = 0;
    write_code(code, s->status);
    add(&headers[n], &n, "grpc-status", code);
    if (*s->status_text) add(&headers[n], &n, "grpc-message", s->status_text);
    add_changes(s, TS_RESPONSE_HEADERS, headers, &n);
    add_changes(s, TS_RESPONSE_TRAILERS, headers, &n);
    s->replying = 1;
    CALLBACK(http_send_response)(s->filter, 200, headers, n, (struct envoy_buffer){"", 0},
                                 text_of("transect_rejected"));
    free(headers);
}

void fail(struct stream *s, int code, ts_slice text) {
    if (s->closed) return;
    if (code < 1 || code > 16) code = 2; /* a rejection is no success; a code nobody knows is UNKNOWN */
    s->closed = 1;
    s->status = code;
    s->status_text = encode_message(shortened(text));
    finish(s, code, TS_REJECTED);
    if (s->response.open) {
        s->ending = 1;
        call_back(s, END);
    } else {
        reply_at_once(s);
    }
}

/* By no element. */
void fail_with(struct stream *s, int code, const char *text) {
    if (!s->closed) count(&s->config->totals.refused);
    fail(s, code, slice_of(text, strlen(text)));
}

/* In the trailers, or trailers-only headers, that the server has just sent. */
void end_in_trailers(struct stream *s, enum envoy_headers map) {
    char code[12];
    s->ending = 0;
    apply_changes(s, TS_RESPONSE_TRAILERS);
    write_code(code, s->status);
    set_header(s, map, "grpc-status", code, strlen(code));
    set_header(s, map, "grpc-message", *s->status_text ? s->status_text : NULL, strlen(s->status_text));
    set_header(s, map, "grpc-status-details-bin", NULL, 0);
}

/* From the scheduler: the server may go on for long, but for this client it is over. */
void end_now(struct stream *s) {
    char code[12];
    size_t n = 0;
    if (!s->ending || s->response.paused) return;
    struct envoy_header *trailers = room_for_headers(s);
    s->ending = 0;
    write_code(code, s->status);
    add(&trailers[n], &n, "grpc-status", code);
    if (*s->status_text) add(&trailers[n], &n, "grpc-message", s->status_text);
    add_changes(s, TS_RESPONSE_TRAILERS, trailers, &n);
    s->replying = 1;
    CALLBACK(http_send_response_trailers)(s->filter, trailers, n);
    free(trailers);
}

void respond(struct stream *s, ts_slice message) {
    size_t nh = 0, nt = 0;
    uint8_t head[FRAME_HEAD] = {0, (uint8_t)(message.size >> 24), (uint8_t)(message.size >> 16),
                                (uint8_t)(message.size >> 8), (uint8_t)message.size};
    struct bytes frame = {0};
    if (s->headers_here) {
        fail_with(s, 13, "the chain answers an RPC whose server has begun to reply");
        return;
    }
    bytes_add(&frame, head, sizeof head); /* before `finish`, which may end the life of `message` */
    bytes_add(&frame, message.data, message.size);
    s->closed = 1;
    finish(s, 0, TS_REPLY);
    struct envoy_header *headers = room_for_headers(s), *trailers = room_for_headers(s);
    add(&headers[nh], &nh, ":status", "200");
    add(&headers[nh], &nh, "content-type", "application/grpc");
    add_changes(s, TS_RESPONSE_HEADERS, headers, &nh);
    add(&trailers[nt], &nt, "grpc-status", "0");
    add_changes(s, TS_RESPONSE_TRAILERS, trailers, &nt);
    s->replying = 1;
    CALLBACK(http_send_response_headers)(s->filter, headers, nh, false);
    if (s->filter)
        CALLBACK(http_send_response_data)(s->filter, (struct envoy_buffer){(char *)frame.data, frame.size}, false);
    if (s->filter) CALLBACK(http_send_response_trailers)(s->filter, trailers, nt);
    bytes_free(&frame);
    free(headers);
    free(trailers);
}

/* A request that is not gRPC has no messages to decide, so it would walk around the chain. */
void refuse_plain(struct stream *s) {
    static const char text[] = "this proxy passes gRPC only\n";
    struct envoy_header type = {"content-type", 12, "text/plain", 10};
    s->closed = s->replying = 1;
    CALLBACK(http_send_response)(s->filter, 415, &type, 1, (struct envoy_buffer){text, sizeof text - 1},
                                 text_of("transect_not_grpc"));
}
