/* SPDX-License-Identifier: Apache-2.0 */
/* A chain of elements as a filter of a stock Envoy: the hooks that Envoy looks up by name.
 *
 * Headers of a request stand still until its first message is decided, so that a server sees nothing of an RPC that the
 * chain rejects and elements may change headers; methods listed as `early` are exempt, because there a server speaks
 * first.  The reply's headers stand still likewise, but for methods listed as `streaming`.
 */
#include <stdlib.h>
#include <string.h>

#include "envoy_module.h"

/* --- the chain ----------------------------------------------------------------------------------------------------- */

EXPORT const char *HOOK(program_init)(void) {
    return ts_chain_abi == TS_CHAIN_ABI ? ENVOY_ABI_VERSION : NULL;
}

EXPORT const void *HOOK(http_filter_config_new)(void *envoy, struct envoy_buffer name, struct envoy_buffer text) {
    (void)envoy, (void)name;
    return config_new(text);
}

EXPORT void HOOK(http_filter_config_destroy)(const void *config) {
    struct config *c = (struct config *)config;
    atomic_store(&c->gone, 1);
    if (!atomic_load(&c->kept) && !atomic_load(&c->guests)) config_free(c);
}

/* --- a stream's life ---------------------------------------------------------------------------------------------- */

/* A place for spare memory, of the running worker alone, as far as chance will have it. */
static _Atomic(struct stream *) *spare_of(struct config *c) {
#ifdef __wasm__
    return &c->spares[0];
#else
    uintptr_t worker = (uintptr_t)pthread_self();
    return &c->spares[(worker >> 12 ^ worker >> 6) % SPARES];
#endif
}

static struct stream *stream_memory(struct config *c) {
    struct stream *s = atomic_exchange_explicit(spare_of(c), NULL, memory_order_acquire);
    size_t size = sizeof *s + ts_chain_rpc_size;
    if (!s && !(s = aligned_alloc(16, (size + 15) & ~(size_t)15))) abort();
    return s;
}

/* A sanitizer sees what is used after it is free. */
static void give_back(struct config *c, struct stream *s) {
#ifndef __SANITIZE_ADDRESS__
    s = atomic_exchange_explicit(spare_of(c), s, memory_order_release);
#endif
    (void)c;
    free(s);
}

EXPORT const void *HOOK(http_filter_new)(const void *config, void *filter) {
    struct stream *s = stream_memory((struct config *)config);
    memset(s, 0, offsetof(struct stream, names));
    memset(s->own + ts_chain_rpc_unset, 0, ts_chain_rpc_size - ts_chain_rpc_unset);
    s->config = s->host = (struct config *)config;
    s->state = s->own;
    s->filter = filter;
    s->response.reply = 1;
    return s;
}

static void free_stream(struct stream *s) {
    bytes_free(&s->request.due.text);
    bytes_free(&s->response.due.text);
    bytes_free(&s->request.in);
    bytes_free(&s->request.out);
    bytes_free(&s->response.in);
    bytes_free(&s->response.out);
    bytes_free(&s->joined);
    forget_changes(s);
    free(s->long_names);
    free(s->status_text);
    if (s->state != s->own) free(s->state);
    struct config *host = s->host;
    if (s->guest) atomic_fetch_sub(&s->config->guests, 1);
    give_back(host, s);
}

/* Envoy may destroy the filter from within a callback that we make; the stream then goes when our hook returns. */
static struct stream *enter(const void *stream) {
    struct stream *s = (struct stream *)stream;
    s->depth++;
    return s;
}

static int leave(struct stream *s, int status) {
    if (--s->depth == 0 && s->gone) free_stream(s);
    return status;
}

EXPORT void HOOK(http_filter_destroy)(const void *stream) {
    struct stream *s = (struct stream *)stream;
    stop_waiting(s, &s->request);
    stop_waiting(s, &s->response);
    s->filter = NULL;
    s->gone = 1;
    finish(s, 1, TS_CANCEL); /* has happened already, unless Envoy skipped stream_complete */
    if (s->depth == 0) free_stream(s);
}

/* --- the request -------------------------------------------------------------------------------------------------- */

static int starts(struct envoy_buffer text, const char *with) {
    size_t size = strlen(with);
    return text.size >= size && memcmp(text.data, with, size) == 0;
}

static int is_grpc(struct envoy_buffer type) {
    return starts(type, "application/grpc") && (type.size == 16 || type.data[16] == '+' || type.data[16] == ';');
}

/* Those of every gRPC server.  One that is not known is refused there, which would count as the service's failure; servers
 * that know others have messages in them passed on (`on_compressed`). */
static int knows_encoding(const struct stream *s, const struct values *asked) {
    struct envoy_buffer name = asked->last;
    if (!asked->many || s->config->pass_compressed) return 1;
    return asked->many == 1 && (is_text(name, "identity") || is_text(name, "gzip") || is_text(name, "deflate"));
}

/* Of `127.0.0.1:4711` and `[::1]:4711` without the port: that of one connection names nobody.  A Unix socket is without a
 * port; its path is chosen by who calls, and may look like an address. */
static struct envoy_buffer host_of(struct stream *s, struct envoy_buffer address) {
    uint64_t port = 0;
    if (!CALLBACK(http_filter_get_attribute_int)(s->filter, SOURCE_PORT, &port)) return (struct envoy_buffer){"unix", 4};
    while (address.size && address.data[address.size - 1] != ':') address.size--;
    if (address.size) address.size--;
    if (address.size < 2 || address.data[0] != '[') return address;
    return (struct envoy_buffer){address.data + 1, address.size - 2};
}

/* A name with other bytes is nobody's, in every carrier: what one of them reads as its end, another reads over. */
static int printable(struct envoy_buffer name) {
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] < ' ' || name.data[i] > '~') return 0;
    return 1;
}

static void name_peer(struct stream *s, struct envoy_buffer *peer) {
    static const enum envoy_attribute identities[] = {URI_OF_PEER, DNS_NAME_OF_PEER, SUBJECT_OF_PEER};
    bool mtls = false;
    *peer = (struct envoy_buffer){"", 0};
    if (CALLBACK(http_filter_get_attribute_bool)(s->filter, CONNECTION_MTLS, &mtls) && mtls)
        for (size_t i = 0; i < sizeof identities / sizeof *identities; i++)
            if (CALLBACK(http_filter_get_attribute_string)(s->filter, identities[i], peer) && peer->size) {
                if (!printable(*peer)) peer->size = 0;
                return;
            }
    if (CALLBACK(http_filter_get_attribute_string)(s->filter, SOURCE_ADDRESS, peer)) *peer = host_of(s, *peer);
}

/* Envoy's bytes do not live as long as the RPC. */
static void keep_names(struct stream *s, struct envoy_buffer method, struct envoy_buffer peer) {
    char *to = s->names;
    if (method.size + peer.size > sizeof s->names && !(to = s->long_names = malloc(method.size + peer.size))) abort();
    if (method.size) memcpy(to, method.data, method.size);
    if (peer.size) memcpy(to + method.size, peer.data, peer.size);
    s->rpc.method = slice_of(to, method.size);
    s->rpc.peer = slice_of(to + method.size, peer.size);
}

/* Envoy has chosen a route before any filter runs. */
static void forbid_route(struct stream *s) {
    remove_header(s, ROUTE_HEADER);
    CALLBACK(http_clear_route_cache)(s->filter);
}

/* The version that it is for; false: that is not here. */
static int choose_version(struct stream *s, const struct values *asked, char stamp[VERSION_NAME]) {
    struct config *chosen = edge_version(s, asked, stamp);
    if (!chosen || chosen == s->config) return chosen != NULL;
    size_t size = (*chosen->calls->rpc_size + 15) & ~(size_t)15;
    s->config = chosen;
    if (!(s->state = aligned_alloc(16, size ? size : 16))) abort();
    memset(s->state, 0, size);
    return 1;
}

static uint8_t names_method(const struct names *names, const struct stream *s) {
    return (uint8_t)has_name(names, (const char *)s->rpc.method.data, s->rpc.method.size);
}

/* A server refuses these before its service hears of them, which would count as the service's failure. */
static void refuse_odd(struct stream *s, const struct head *head) {
    if (!is_text(head->method.last, "POST")) fail_with(s, 12, "a gRPC call is a POST request"); /* UNIMPLEMENTED */
    else if (!take_timeout(s, &head->timeout)) fail_with(s, 3, "malformed grpc-timeout"); /* INVALID_ARGUMENT */
    else if (!knows_encoding(s, &head->encoding)) fail_with(s, 12, "unknown grpc-encoding"); /* UNIMPLEMENTED */
}

/* Headers change last: that ends the life of what was read. */
static void begin(struct stream *s, const struct head *head) {
    struct envoy_buffer peer = {"", 0};
    char stamp[VERSION_NAME] = "";
    int here = choose_version(s, &head->version, stamp);
    s->grpc = 1;
    s->began = now_ns();
    if (*s->config->calls->peer || recording(s->config->recorder)) name_peer(s, &peer);
    keep_names(s, head->path.last, peer);
    s->request.open = names_method(&s->config->early, s);
    s->streaming = names_method(&s->config->streaming, s);
    count(&s->config->totals.rpcs);
    if (!here) edge_refuse(s, &head->version);
    else refuse_odd(s, head);
    if (s->closed) return;
    meet(s, &head->tenant);
    if (s->config->routes.count && head->route.many) forbid_route(s);
    if (*stamp) set_header(s, REQUEST_HEADERS, VERSION_HEADER, stamp, strlen(stamp));
}

/* The request has ended.  One without a message would reach the server, and its handler run, undecided. */
static void must_have_spoken(struct stream *s) {
    if (!s->grpc || s->closed || s->request.paused || s->request.open || s->spoke) return;
    fail_with(s, 3, "a request without a message: the chain has nothing to decide"); /* INVALID_ARGUMENT */
}

EXPORT int HOOK(http_filter_request_headers)(void *filter, const void *stream, bool end) {
    struct stream *s = enter(stream);
    s->filter = filter;
    struct head head = read_head(s);
    if (is_grpc(head.type.last)) begin(s, &head);
    else if (s->unreadable || !s->config->pass_other) refuse_plain(s); /* what it is for is not known */
    if (end) must_have_spoken(s);
    int stays = s->closed || (s->grpc && !end && !s->request.open);
    if (s->grpc && !stays) vouch(s);
    return leave(s, stays ? HEADERS_STOP : HEADERS_CONTINUE);
}

static enum envoy_body_status body(struct stream *s, struct way *w, bool end) {
    if (s->closed) return w->paused ? BODY_STOP_AND_WATERMARK : BODY_STOP_NO_BUFFER;
    enum envoy_body_status status = pass_body(s, w, end);
    if (end && !w->reply) must_have_spoken(s);
    if (s->closed && !w->reply) return BODY_STOP_NO_BUFFER;
    if (status == BODY_CONTINUE && !w->reply) vouch(s);
    if (status == BODY_CONTINUE) w->open = 1;
    return status;
}

EXPORT int HOOK(http_filter_request_body)(void *filter, const void *stream, bool end) {
    struct stream *s = enter(stream);
    (void)filter;
    return leave(s, s->grpc || s->closed ? body(s, &s->request, end) : BODY_CONTINUE);
}

EXPORT int HOOK(http_filter_request_trailers)(void *filter, const void *stream) {
    struct stream *s = enter(stream);
    (void)filter;
    s->request.ended = 1;
    if (s->grpc && !s->closed && !s->request.paused && left_over(&s->request))
        bad_frame(s, &s->request, "the request ends within a message");
    must_have_spoken(s);
    int stays = s->closed || s->request.paused;
    if (s->grpc && !stays) vouch(s);
    return leave(s, stays ? TRAILERS_STOP : TRAILERS_CONTINUE);
}

/* --- the reply ---------------------------------------------------------------------------------------------------- */

static int is_grpc_reply(struct stream *s) {
    struct envoy_buffer type;
    return header_of(s, RESPONSE_HEADERS, "content-type", &type) && is_grpc(type);
}

static void only_headers(struct stream *s) {
    s->only_headers = 1;
    apply_changes(s, TS_RESPONSE_HEADERS);
    apply_changes(s, TS_RESPONSE_TRAILERS);
    finish_by(s, RESPONSE_HEADERS);
}

EXPORT int HOOK(http_filter_response_headers)(void *filter, const void *stream, bool end) {
    struct stream *s = enter(stream);
    (void)filter;
    s->headers_here = 1;
    if (s->replying || s->closed || !s->grpc) return leave(s, HEADERS_CONTINUE);
    if (end) only_headers(s);
    else apply_changes(s, TS_RESPONSE_HEADERS);
    s->plain_reply = !end && (s->config->skip_replies || !is_grpc_reply(s));
    if (end || s->plain_reply || s->streaming) s->response.open = 1;
    return leave(s, s->response.open ? HEADERS_CONTINUE : HEADERS_STOP);
}

EXPORT int HOOK(http_filter_response_body)(void *filter, const void *stream, bool end) {
    struct stream *s = enter(stream);
    (void)filter;
    int status = s->replying || !s->grpc || (s->plain_reply && !s->closed) ? BODY_CONTINUE : (int)body(s, &s->response, end);
    if (end && s->grpc && !s->response.paused) finish_by(s, RESPONSE_HEADERS);
    return leave(s, status);
}

EXPORT int HOOK(http_filter_response_trailers)(void *filter, const void *stream) {
    struct stream *s = enter(stream);
    (void)filter;
    s->trailers_here = 1;
    if (s->replying || !s->grpc) return leave(s, TRAILERS_CONTINUE);
    s->response.ended = 1;
    if (s->response.paused) {
        s->response.trailers = 1;
        return leave(s, TRAILERS_STOP);
    }
    if (!s->closed && left_over(&s->response)) {
        s->response.open = 1; /* the status goes into the trailers that are here */
        bad_frame(s, &s->response, "the reply ends within a message");
    }
    if (!s->closed) {
        apply_changes(s, TS_RESPONSE_TRAILERS);
        finish_by(s, RESPONSE_TRAILERS);
    } else if (s->ending) {
        end_in_trailers(s, RESPONSE_TRAILERS);
    }
    return leave(s, TRAILERS_CONTINUE);
}

/* --- ends that are no reply --------------------------------------------------------------------------------------- */

static int contains(struct envoy_buffer text, const char *part) {
    return text.size && memmem(text.data, text.size, part, strlen(part)) != NULL;
}

/* Envoy itself replies: the server cannot be reached, was reset, took too long. */
EXPORT int HOOK(http_filter_local_reply)(void *filter, const void *stream, uint32_t status, struct envoy_buffer details,
                                  bool reset) {
    struct stream *s = enter(stream);
    (void)filter, (void)status, (void)reset;
    if (!s->closed) s->local_cause = 1 + (contains(details, "timeout") ? TS_DEADLINE : TS_RESET);
    return leave(s, 0);
}

/* The last word on an RPC that had no reply: who gave up? */
EXPORT void HOOK(http_filter_stream_complete)(void *filter, const void *stream) {
    struct stream *s = enter(stream);
    struct envoy_buffer details = {"", 0};
    if (!s->finished && s->grpc) {
        CALLBACK(http_filter_get_attribute_string)(filter, RESPONSE_CODE_DETAILS, &details);
        if (late(s)) finish(s, 4, TS_DEADLINE);
        else if (contains(details, "timeout")) finish(s, 4, TS_DEADLINE);
        else if (contains(details, "upstream")) finish(s, 14, TS_RESET);
        else finish(s, 1, TS_CANCEL);
    }
    leave(s, 0);
}

EXPORT void HOOK(http_filter_scheduled)(void *filter, const void *stream, uint64_t event) {
    struct stream *s = enter(stream);
    (void)filter;
    switch ((enum event)event) {
    case WAKE_REQUEST: wake(s, &s->request); break;
    case WAKE_RESPONSE: wake(s, &s->response); break;
    case END: end_now(s); break;
    }
    leave(s, 0);
}

/* --- hooks that Envoy insists on and we have no use for ----------------------------------------------------------- */

EXPORT void HOOK(http_filter_http_callout_done)(void) {}
EXPORT void HOOK(http_filter_http_stream_headers)(void) {}
EXPORT void HOOK(http_filter_http_stream_data)(void) {}
EXPORT void HOOK(http_filter_http_stream_trailers)(void) {}
EXPORT void HOOK(http_filter_http_stream_complete)(void) {}
EXPORT void HOOK(http_filter_http_stream_reset)(void) {}
EXPORT void HOOK(http_filter_downstream_above_write_buffer_high_watermark)(void) {}
EXPORT void HOOK(http_filter_downstream_below_write_buffer_low_watermark)(void) {}
