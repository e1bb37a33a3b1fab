/* SPDX-License-Identifier: Apache-2.0 */
/* The emitted scanner behind one function; `scanner.h` is emitted by run.py. */
#include "scanner.h"

uint64_t read_ours(const uint8_t *data, uint32_t size);

uint64_t read_ours(const uint8_t *data, uint32_t size)
{
    struct m0_Ask ask = {0};
    struct ts_cursor c = ts_cursor((ts_slice){data, size}, NULL);
    if (!scan_m0_Ask(&ask, &c)) {
        return 1;
    }
    return ask.v_user.size + 3 * (uint64_t)ask.v_key.size + (uint64_t)ask.v_cost * 7 + (uint64_t)ask.v_body.size * 11;
}
