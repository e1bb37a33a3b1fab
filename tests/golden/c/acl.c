/* Acl, emitted by transect from acl.py:15
 * source sha256 ce1ce9575e87eaf8c11a6a7e3c47441b9f9a9a6533c5139b6633f0cb26283fbd */
#include "acl.h"
#pragma GCC diagnostic ignored "-Wtautological-compare"
#pragma GCC diagnostic ignored "-Wtype-limits"

TS_INLINE bool *acl_allowed_entry(struct acl_allowed_table *table, ts_slice key) {
    bool *found = key.size <= 64u ? acl_allowed_table_place(table, key) : NULL;
    if (found == NULL) {
        table->overflow++;
    }
    return found;
}

TS_INLINE bool acl_allowed_put(struct acl_allowed_table *table, ts_slice key, bool value) {
    bool *found = acl_allowed_entry(table, key);
    if (found != NULL) {
        *found = value;
    }
    return found != NULL;
}

TS_INLINE bool acl_allowed_get_or(struct acl_allowed_table *table, ts_slice key, bool value) {
    bool *found = acl_allowed_table_find(table, key);
    return found == NULL ? value : *found;
}

static void acl_start(struct acl_state *self, uint64_t seed) {
    self->allowed.seed = seed;
}

void acl_init(struct acl_state *self, uint64_t seed) {
    memset(self, 0, sizeof(struct acl_state));
    acl_start(self, seed);
}

struct acl_state *acl_new(uint64_t seed) {
    struct acl_state *self = TS_ALLOCATE_ZEROED(sizeof(struct acl_state));
    if (self != NULL) {
        acl_start(self, seed);
    }
    return self;
}

void acl_free(struct acl_state *self) {
    TS_RELEASE(self);
}

#line 17 "acl.py"
struct acl_verdict acl_request(struct acl_state *self, struct ts_call *call, struct acl_rpc_ask *rpc) {
    if (acl_allowed_get_or(&self->allowed, rpc->msg->user, false)) {
        return (struct acl_verdict){0, {.forward = (struct acl_forward){(struct acl_option_int){0}, (struct acl_option_text){0}}}};
    }
#line 20 "acl.py"
    ts_slice piece = rpc->msg->user;
    ts_slice piece_2 = rpc->method;
    size_t size = (size_t)piece.size + 14u + piece_2.size;
    uint8_t *text = ts_take_text(call, size);
    uint8_t *end = text;
    end = ts_lay(end, piece);
    end = ts_lay(end, TS_TEXT(" may not call "));
    end = ts_lay(end, piece_2);
    ts_slice t1 = (ts_slice){text, (uint32_t)size};
#line 20 "acl.py"
    return (struct acl_verdict){1, {.reject = (struct acl_reject){7, t1}}};
}

#line 186 "transect/rpc/hooks.py"
struct acl_verdict acl_response(struct acl_state *self, struct ts_call *call, struct acl_rpc_any_any *rpc) {
    (void)self;
    (void)call;
    (void)rpc;
#line 188 "transect/rpc/hooks.py"
    return (struct acl_verdict){0, {.forward = (struct acl_forward){(struct acl_option_int){0}, (struct acl_option_text){0}}}};
}

#line 190 "transect/rpc/hooks.py"
struct acl_option_retry acl_finish(struct acl_state *self, struct ts_call *call, struct acl_rpc_any_any *rpc, struct acl_outcome *outcome) {
    (void)self;
    (void)call;
    (void)rpc;
    (void)outcome;
#line 192 "transect/rpc/hooks.py"
    return (struct acl_option_retry){0};
}

#line 88 "acl.c"
static void acl_fill(struct acl_state *self, struct ts_reader *from) {
    struct ts_reader in = *from;
    {
        uint32_t count = ts_read_u32(&in);
        in.bad |= count > 1024u;
        for (uint32_t i = 0; i < count && !in.bad; i++) {
            ts_slice key = ts_read_bounded(&in, 64u, true);
            bool value = ts_read_bool(&in);
            if (in.bad || acl_allowed_table_find(&self->allowed, key) != NULL) {
                in.bad = true;
            } else if (!acl_allowed_put(&self->allowed, key, value)) {
                in.bad = true;
            }
        }
    }
    self->allowed.overflow = ts_read_u64(&in);
    *from = in;
}

size_t acl_save(struct acl_state *self, uint8_t *image, size_t room) {
    struct ts_writer writer = {image, room, 0};
    struct ts_writer *out = &writer;
    /* allowed */
    {
        ts_write_u32(out, self->allowed.order.count);
        struct ts_walk walk = ts_walk_over(&self->allowed.order);
        struct acl_allowed_table_entry *entry;
        while ((entry = acl_allowed_table_step(&self->allowed, &walk)) != NULL) {
            ts_write_text(out, acl_text64_load(&entry->key));
            ts_write_bool(out, entry->value);
        }
    }
    ts_write_u64(out, self->allowed.overflow);
    return writer.size;
}

int acl_load(struct acl_state *self, const uint8_t *image, size_t size) {
    struct acl_state *fresh = acl_new(self->allowed.seed);
    if (fresh == NULL) {
        return -1;
    }
    struct ts_reader in = {image, size, false};
    acl_fill(fresh, &in);
    bool good = !in.bad && in.left == 0;
    if (!good) {
        acl_free(fresh);
        return -1;
    }
    *self = *fresh;
    TS_RELEASE(fresh);
    return 0;
}

