/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the proxy-wasm plugin share.  What happens to an RPC is decided by the same C as in the native Envoy
 * module (`envoy_module.c`, `envoy_frames.c`, `envoy_end.c`, `envoy_carrier.c`); `wasm_host.c` is the module interface
 * that those files call, made of the host's functions.
 *
 * A host runs one virtual machine per worker thread: nothing here is shared, and nothing needs a lock.
 */
#ifndef TRANSECT_WASM_PLUGIN_H
#define TRANSECT_WASM_PLUGIN_H

#include "envoy_module.h"
#include "wasm_abi.h"

/* A map of headers, as a host gives it. */
struct pairs {
    const uint8_t *data; /* their count, the sizes of all, the texts of all, each with a 0 behind it; NULL: not there */
    size_t size;
    uint8_t ours; /* to free */
};

/* One of the host's contexts: the plugin (a root), or one stream. */
struct context {
    uint32_t id;
    struct context *next;  /* with the same hash */
    struct config *config; /* a root's own, a stream's root's */
    struct stream *stream; /* NULL: a root, or a stream that no chain will see */
    size_t bodies[2];      /* bytes that the running hook was handed, of the request and the reply */
    uint8_t handed[2];     /* such a hook is running */
    uint8_t root;
    struct pairs maps[4];  /* the headers of its stream, as they came; hosts forget them when they have gone on */
};

/* Of all plugins of a machine: nobody asks who calls. */
extern int skip_peer;

/* wasm_plugin.c */
struct context *context_of(uint32_t id);

/* wasm_host.c */
void host_begin(void);
void host_end(void);
void host_headers(struct context *c, enum envoy_headers map);
void host_forget(struct context *c);
uint8_t *host_bytes(int buffer, size_t *size);

/* wasm_wait.c: the earliest of all that must happen later decides when the host ticks next */
void tick(const struct config *config);
void tick_at(int64_t due);

/* wasm_config.c */
struct config *wasm_config_new(const char *text, size_t size);

/* wasm_control.c */
struct keeper *keeper_of(struct config *config, uint32_t version);
uint32_t version_of(const struct keeper *keeper);
int held(const struct keeper *keeper);
void keeper_tick(struct keeper *keeper);
void keeper_last(struct keeper *keeper);

/* wasm_record.c */
uint64_t machine(void);
void tell_counters(struct config *config);
void tell_states(struct config *config);

#endif
