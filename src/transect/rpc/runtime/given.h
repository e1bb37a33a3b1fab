/* SPDX-License-Identifier: Apache-2.0 */
/* A trial's outside facts: what the clock says, what the dice show and how long an RPC took are given, so that a stream
 * which a proof found can be sent through a real carrier (`rpc/trying/`), and two chains can be asked the same.
 *
 * `elements.h` includes this where TS_GIVEN_FACTS is defined: for each element, its place among those of the trial.  With
 * TS_GIVEN_FILE, facts are read from that file at each call of a hook, and its author writes it anew before each event of
 * the stream: at each place, by hook, a `struct ts_given`.  Without, `ts_given_source` tells them.
 */
#ifndef TRANSECT_GIVEN_H
#define TRANSECT_GIVEN_H

#include <stdio.h>

#define TS_GIVEN_DRAWS 8 /* further ones are zeros */

struct ts_given {
    int64_t now, elapsed; /* elapsed: for `finish` */
    uint64_t draws[TS_GIVEN_DRAWS];
};

static const uint32_t ts_given_places[] = {TS_GIVEN_FACTS};
static _Thread_local struct ts_given ts_given;
static _Thread_local uint32_t ts_given_drawn; /* of this call */

static int64_t ts_given_now(void *context)
{
    (void)context;
    return ts_given.now;
}

static uint64_t ts_given_draw(void *context)
{
    (void)context;
    return ts_given_drawn < TS_GIVEN_DRAWS ? ts_given.draws[ts_given_drawn++] : 0;
}

static const struct ts_host ts_given_host = {ts_given_now, ts_given_draw, ts_rpc_trace, NULL};

#ifdef TS_GIVEN_FILE
static void ts_given_source(uint32_t place, enum ts_hook hook, struct ts_given *to)
{
    FILE *file = fopen(TS_GIVEN_FILE, "rb");
    if (file == NULL || fseek(file, (long)((place * 3 + hook) * sizeof *to), SEEK_SET) != 0 || fread(to, sizeof *to, 1, file) != 1) {
        memset(to, 0, sizeof *to); /* where nothing is given, all is zero */
    }
    if (file != NULL) {
        fclose(file);
    }
}
#else
__attribute__((visibility("default"))) void (*ts_given_source)(uint32_t place, enum ts_hook hook, struct ts_given *to);
#endif

static void ts_given_take(struct ts_step *step, enum ts_hook hook, uint32_t element)
{
    ts_given_drawn = 0;
    ts_given_source(ts_given_places[element], hook, &ts_given);
    if (hook == TS_HOOK_FINISH) {
        step->elapsed = ts_given.elapsed;
    }
}

#endif
