/* SPDX-License-Identifier: Apache-2.0 */
/* A trial's outside facts: what the clock says, what the dice show and how long an RPC took is read from a file, so that a
 * stream which a proof found can be sent through a real carrier (`rpc/trying/`).
 *
 * `elements.h` includes this where TS_GIVEN_FACTS is defined: for each element, its place in the file.  TS_GIVEN_FILE is
 * the file; it is read at each call of a hook, and its author writes it anew before each event of the stream.  At each
 * place, by hook: `i64 now; i64 elapsed; u64 draws[TS_GIVEN_DRAWS]`, in the machine's byte order.
 */
#ifndef TRANSECT_GIVEN_H
#define TRANSECT_GIVEN_H

#include <stdio.h>

#define TS_GIVEN_DRAWS 8 /* further ones are zeros */

static const uint32_t ts_given_places[] = {TS_GIVEN_FACTS};

static _Thread_local struct {
    int64_t now, elapsed;
    uint64_t draws[TS_GIVEN_DRAWS];
    uint32_t drawn; /* of this call; not in the file */
} ts_given;

#define TS_GIVEN_SIZE ((2 + TS_GIVEN_DRAWS) * 8)

static int64_t ts_given_now(void *context)
{
    (void)context;
    return ts_given.now;
}

static uint64_t ts_given_draw(void *context)
{
    (void)context;
    return ts_given.drawn < TS_GIVEN_DRAWS ? ts_given.draws[ts_given.drawn++] : 0;
}

static const struct ts_host ts_given_host = {ts_given_now, ts_given_draw, ts_rpc_trace, NULL};

/* Where nothing is given, all is zero. */
static void ts_given_take(struct ts_step *step, enum ts_hook hook, uint32_t element)
{
    FILE *file = fopen(TS_GIVEN_FILE, "rb");
    memset(&ts_given, 0, sizeof ts_given);
    if (file != NULL) {
        long at = (long)(ts_given_places[element] * 3 + hook) * TS_GIVEN_SIZE;
        if (fseek(file, at, SEEK_SET) != 0 || fread(&ts_given, TS_GIVEN_SIZE, 1, file) != 1) {
            memset(&ts_given, 0, sizeof ts_given);
        }
        fclose(file);
    }
    if (hook == TS_HOOK_FINISH) {
        step->elapsed = ts_given.elapsed;
    }
}

#endif
