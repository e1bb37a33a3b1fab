# SPDX-License-Identifier: Apache-2.0
"""Keys come from strangers: whoever does not know the seed can choose none that meet in one place."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.emit.c.machine import compile_c
from transect.emit.c.emitter import runtime

COMMON = r"""
/* What the constants are is no secret; the seed is. */
#include <stdio.h>
#include "transect.h"
#include "call.h"
#include "set.h"

static const uint64_t seeds[] = {0x2b992ddfa23249d6, 0x5f9c1d3b8a7e4c61, 0xc0ffee11d00d5eed, 0x9a3f7716e4b2d805};
#define SEEDS (sizeof seeds / sizeof *seeds)
#define MANY 256

static unsigned distinct(uint32_t *hashes)
{
    unsigned found = 0;
    for (unsigned i = 0; i < MANY; i++) {
        unsigned j = 0;
        while (j < i && hashes[j] != hashes[i]) {
            j++;
        }
        found += j == i;
    }
    return found;
}

static unsigned compared;
static bool same(uint64_t a, uint64_t b)
{
    compared++;
    return a == b;
}
TS_SET(numbers, uint64_t, ts_hash_u64, same)
"""

# Each prints how many different places the keys of its family have at the worst seed.
FAMILIES = {
    # A factor that a stranger makes zero leaves nothing of the other.
    "the last eight bytes cancel": """
        uint64_t bytes[2] = {i, TS_ODD_2};
        hashes[i] = (uint32_t)ts_hash_text((ts_slice){(const uint8_t *)bytes, sizeof bytes}, seeds[s]);""",
    "eight bytes in the middle cancel": """
        uint64_t bytes[5] = {i, TS_ODD_2, 5, 5, 5};
        hashes[i] = (uint32_t)ts_hash_text((ts_slice){(const uint8_t *)bytes, sizeof bytes}, seeds[s]);""",
    "two halves change places": """
        uint64_t turn = TS_ODD_1 ^ TS_ODD_2, a = i / 2, b = i / 2 + 1000;
        uint64_t bytes[3] = {i % 2 ? b ^ turn : a, i % 2 ? a ^ turn : b, 7};
        hashes[i] = (uint32_t)ts_hash_text((ts_slice){(const uint8_t *)bytes, sizeof bytes}, seeds[s]);""",
    # In a tuple one part's hash is the next part's seed.
    "a number that forgets the seed": """
        hashes[i] = (uint32_t)ts_hash_u64(TS_ODD_2, seeds[s] + i);""",
}


def said(folder: Path, body: str) -> int:
    """What a program prints."""
    for name, content in runtime().items():
        (folder / name).write_bytes(content)
    (folder / "main.c").write_text(f"{COMMON}\nint main(void)\n{{{body}\n    return 0;\n}}\n")
    compile_c(folder, "main.c", "-o", "main")
    return int(subprocess.run([folder / "main"], capture_output=True, check=True).stdout)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_family_of_keys_meets_at_every_seed(family: str, tmp_path: Path) -> None:
    body = f"""
    unsigned worst = MANY;
    for (unsigned s = 0; s < SEEDS; s++) {{
        uint32_t hashes[MANY];
        for (uint64_t i = 0; i < MANY; i++) {{{FAMILIES[family]}
        }}
        unsigned found = distinct(hashes);
        worst = found < worst ? found : worst;
    }}
    (void)numbers_make;
    printf("%u", worst);"""
    assert said(tmp_path, body) >= 250


def test_a_set_of_a_messages_items_has_a_seed(tmp_path: Path) -> None:
    """2,000 items which all begin at one word of an unseeded set would be compared two million times."""
    body = """
    struct ts_call call = {0};
    ts_call_begin(&call, NULL, NULL);
    struct numbers *set = numbers_make(&call, 2000);
    for (uint64_t key = 0; set->count < 2000; key++) {
        if (((uint32_t)ts_hash_u64(key, 0) & (set->words - 1)) == 0) {
            numbers_add(&call, set, key);
        }
    }
    (void)distinct;
    (void)seeds;
    ts_call_end(&call);
    printf("%u", compared);"""
    assert said(tmp_path, body) < 40_000
