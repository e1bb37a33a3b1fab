/* SPDX-License-Identifier: Apache-2.0 */
/* A program which runs emitted policies for tests, fuzzing and replay: requests on standard input, answers on standard
 * output.  Included last in a file which defines `ts_policies`; brings `main`.
 *
 * | request                                                             | answer                                      |
 * |---------------------------------------------------------------------|---------------------------------------------|
 * | `p` u32 policy: a new state of that policy, with nobody waiting      |                                             |
 * | `l`: a new RPC: its locals begin anew                                |                                             |
 * | `w` u32 count, u64 clients: who waits, oldest first                  |                                             |
 * | `i` u32 size, image: load a state                                    | u8 1 loaded, 0 refused                      |
 * | `s` u32 parameter, u32 size, value                                   | u8 1 set, 0 it does not fit                 |
 * | `c` u32 hook, u32 size, arguments, tape: call a hook                 | u32 size, result; traces; u32 CRC of image  |
 * | `g`: get the state                                                   | u32 size, image                             |
 *
 * Arguments, results and images are in the encoding of codec.h; after the result come the views among the arguments, as
 * the call left them.  Traces: u32 count, texts.  Tape: `r` i64 now, u64 seed (draws are splitmix64 of it), or `t` u32
 * size and entries: `n` i64, `d` u64, `a` u32 size and an answer.  Exits with 3 when a tape does not fit the call.
 */
#ifndef TRANSECT_DRIVER_H
#define TRANSECT_DRIVER_H

#include <stdio.h>

#include "call.h"

/* One emitted policy; hooks and parameters in the order of the program. */
struct ts_policy {
    const char *name;
    void *(*make)(void);
    void (*drop)(void *state);
    size_t local_size;
    void (*local)(void *local);
    void (*call)(void *state, void *local, uint32_t hook, struct ts_call *call, struct ts_reader *from, struct ts_writer *out);
    size_t (*save)(void *state, uint8_t *image, size_t room);
    int (*load)(void *state, const uint8_t *image, size_t size);
    int (*set)(void *state, uint32_t parameter, struct ts_reader *from);
    void (*wait)(void *state, const uint64_t *clients, uint32_t count);
};

struct ts_driver {
    struct ts_reader tape;
    bool explicit_tape;
    int64_t now;
    uint64_t random;
    struct ts_writer traces;
    uint32_t trace_count;
    const struct ts_policy *policy;
    void *state, *local;
};

static void ts_die(const char *why)
{
    fprintf(stderr, "driver: %s\n", why);
    exit(3);
}

/* ---------------------------------------------------------------- the host */

static void ts_expect(struct ts_driver *driver, uint8_t kind)
{
    if (ts_read_u8(&driver->tape) != kind || driver->tape.bad) {
        ts_die("the tape has something else here");
    }
}

static int64_t ts_driver_now(void *context)
{
    struct ts_driver *driver = context;
    if (!driver->explicit_tape) {
        return driver->now;
    }
    ts_expect(driver, 'n');
    return ts_read_i64(&driver->tape);
}

static uint64_t ts_driver_draw(void *context)
{
    struct ts_driver *driver = context;
    if (driver->explicit_tape) {
        ts_expect(driver, 'd');
        return ts_read_u64(&driver->tape);
    }
    uint64_t z = driver->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Room for what is of no size known beforehand. */
static void ts_more(struct ts_writer *out, size_t size)
{
    if (out->room - out->size < size) {
        out->room = 2 * out->room + size;
        out->data = realloc(out->data, out->room);
        if (out->data == NULL) {
            ts_die("no memory");
        }
    }
}

static void ts_driver_trace(struct ts_call *call, ts_slice text)
{
    struct ts_driver *driver = call->context;
    ts_more(&driver->traces, text.size + 4);
    ts_write_text(&driver->traces, text);
    driver->trace_count++;
}

static ts_slice ts_driver_ask(void *context, ts_slice name, ts_slice arguments)
{
    struct ts_driver *driver = context;
    (void)name;
    (void)arguments;
    ts_expect(driver, 'a');
    return ts_read_blob(&driver->tape);
}

static const struct ts_host ts_driver_host = {ts_driver_now, ts_driver_draw, ts_driver_trace, ts_driver_ask};

/* ---------------------------------------------------------------- requests */

static void ts_take_input(void *bytes, size_t size)
{
    if (fread(bytes, 1, size, stdin) != size) {
        ts_die("a request is cut short");
    }
}

static uint32_t ts_take_u32(void)
{
    uint8_t bytes[4];
    ts_take_input(bytes, 4);
    struct ts_reader in = {bytes, 4, false};
    return ts_read_u32(&in);
}

/* Exactly as many bytes as it says: reading one too many is seen by AddressSanitizer. */
static uint8_t *ts_take_blob(uint32_t size)
{
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    if (bytes == NULL) {
        ts_die("no memory");
    }
    ts_take_input(bytes, size);
    return bytes;
}

static void ts_put(const struct ts_writer *out)
{
    if (out->size > 0) {
        fwrite(out->data, 1, out->size, stdout);
    }
}

static void ts_put_u32(uint32_t x)
{
    uint8_t bytes[4];
    struct ts_writer out = {bytes, 4, 0};
    ts_write_u32(&out, x);
    ts_put(&out);
}

static uint32_t ts_crc(const uint8_t *bytes, size_t size)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
    }
    return ~crc;
}

static struct ts_writer ts_image(struct ts_driver *driver)
{
    size_t size = driver->policy->save(driver->state, NULL, 0);
    struct ts_writer out = {malloc(size > 0 ? size : 1), size, size};
    if (out.data == NULL || driver->policy->save(driver->state, out.data, size) != size) {
        ts_die("an image changes its size");
    }
    return out;
}

static void ts_new_local(struct ts_driver *driver)
{
    free(driver->local);
    driver->local = NULL;
    if (driver->policy->local != NULL) {
        driver->local = malloc(driver->policy->local_size);
        if (driver->local == NULL) {
            ts_die("no memory");
        }
        driver->policy->local(driver->local);
    }
}

static void ts_stop(struct ts_driver *driver)
{
    if (driver->state != NULL) {
        driver->policy->drop(driver->state);
    }
    free(driver->local);
    driver->state = driver->local = NULL;
}

static void ts_start(struct ts_driver *driver, const struct ts_policy *policy)
{
    ts_stop(driver);
    driver->policy = policy;
    driver->state = policy->make();
    if (driver->state == NULL) {
        ts_die("no memory");
    }
    ts_new_local(driver);
}

static void ts_wait_for(struct ts_driver *driver)
{
    uint32_t count = ts_take_u32();
    uint8_t *bytes = ts_take_blob(8 * count);
    uint64_t *clients = malloc(8 * (count + 1));
    struct ts_reader in = {bytes, 8 * count, false};
    for (uint32_t i = 0; i < count; i++) {
        clients[i] = ts_read_u64(&in);
    }
    driver->policy->wait(driver->state, clients, count);
    free(clients);
    free(bytes);
}

static uint8_t *ts_take_tape(struct ts_driver *driver)
{
    uint8_t kind;
    ts_take_input(&kind, 1);
    driver->explicit_tape = kind == 't';
    uint32_t size = driver->explicit_tape ? ts_take_u32() : 16;
    uint8_t *bytes = ts_take_blob(size);
    driver->tape = (struct ts_reader){bytes, size, false};
    if (!driver->explicit_tape) {
        driver->now = ts_read_i64(&driver->tape);
        driver->random = ts_read_u64(&driver->tape);
    }
    return bytes;
}

/* The call runs once; its result is kept, since writing it twice would take what a writer of unknown room needs. */
static void ts_call_hook(struct ts_driver *driver)
{
    uint32_t hook = ts_take_u32(), size = ts_take_u32();
    uint8_t *bytes = ts_take_blob(size);
    uint8_t *tape = ts_take_tape(driver);
    static uint8_t result[1 << 22];
    struct ts_call call;
    ts_call_begin(&call, &ts_driver_host, driver);
    driver->traces.size = 0;
    driver->trace_count = 0;
    struct ts_reader in = {bytes, size, false};
    struct ts_writer out = {result, sizeof result, 0};
    driver->policy->call(driver->state, driver->local, hook, &call, &in, &out);
    if (in.bad || in.left != 0) {
        ts_die("the arguments are no encoding");
    }
    if (driver->explicit_tape && driver->tape.left != 0) {
        ts_die("the tape is longer than the call");
    }
    if (out.size > out.room) {
        ts_die("the result is too large");
    }
    ts_put_u32((uint32_t)out.size);
    ts_put(&out);
    ts_put_u32(driver->trace_count);
    ts_put(&driver->traces);
    struct ts_writer image = ts_image(driver);
    ts_put_u32(ts_crc(image.data, image.size));
    free(image.data);
    ts_call_end(&call);
    free(tape);
    free(bytes);
}

static void ts_load_image(struct ts_driver *driver)
{
    uint32_t size = ts_take_u32();
    uint8_t *bytes = ts_take_blob(size);
    putchar(driver->policy->load(driver->state, bytes, size) == 0);
    free(bytes);
}

static void ts_set_parameter(struct ts_driver *driver)
{
    uint32_t parameter = ts_take_u32(), size = ts_take_u32();
    uint8_t *bytes = ts_take_blob(size);
    struct ts_reader in = {bytes, size, false};
    putchar(driver->policy->set(driver->state, parameter, &in));
    free(bytes);
}

static void ts_show(struct ts_driver *driver)
{
    struct ts_writer image = ts_image(driver);
    ts_put_u32((uint32_t)image.size);
    ts_put(&image);
    free(image.data);
}

static int ts_drive(const struct ts_policy *const *policies, uint32_t count)
{
    static struct ts_driver driver;
    for (int request = getchar(); request != EOF; request = getchar()) {
        if (request == 'p') {
            uint32_t index = ts_take_u32();
            if (index >= count) {
                ts_die("no such policy");
            }
            ts_start(&driver, policies[index]);
            continue;
        }
        if (driver.state == NULL) {
            ts_die("no policy yet");
        }
        switch (request) {
        case 'l':
            ts_new_local(&driver);
            break;
        case 'w':
            ts_wait_for(&driver);
            break;
        case 'i':
            ts_load_image(&driver);
            break;
        case 's':
            ts_set_parameter(&driver);
            break;
        case 'c':
            ts_call_hook(&driver);
            break;
        case 'g':
            ts_show(&driver);
            break;
        default:
            ts_die("no such request");
        }
        fflush(stdout);
    }
    ts_stop(&driver);
    free(driver.traces.data);
    return 0;
}

#endif
