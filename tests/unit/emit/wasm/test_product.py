# SPDX-License-Identifier: Apache-2.0
"""Products of 128 bits in WebAssembly, in V8: against adding up, bit by bit."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from transect.emit.wasm import toolchain
from transect.emit.wasm.emitter import FIXED, fixed, libc

RUNNER = Path(__file__).parents[3] / "fuzz" / "wasi.mjs"
PROGRAM = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef unsigned __int128 wide;

static uint64_t state = 7;

static uint64_t some(void) {
    static const uint64_t special[] = {
        0, 1, 2, UINT32_MAX, UINT64_C(1) << 32, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX,
    };
    state = state * 6364136223846793005u + 1442695040888963407u;
    uint64_t high = state >> 32;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return high & 1 ? special[high >> 1 & 7] : high << 32 | state >> 32;
}

static wide added_up(wide a, wide b) {
    wide sum = 0;
    for (; b; b >>= 1, a <<= 1) {
        if (b & 1) sum += a;
    }
    return sum;
}

int main(void) {
    for (int round = 0; round < 20000; round++) {
        wide a = (wide)some() << 64 | some(), b = (wide)some() << 64 | some();
        if (a * b != added_up(a, b) || (wide)((__int128)a * (__int128)b) != added_up(a, b)) {
            fprintf(stderr, "wrong product");
            exit(1);
        }
    }
    return 0;
}
"""


@pytest.mark.needs("clang-19", "wasm-ld-19", "node")
def test_a_product_of_128_bits_is_the_sum_of_its_parts(tmp_path: Path, needs: Callable[[str], Path]) -> None:
    for name, content in (fixed(*FIXED) | libc() | {"main.c": PROGRAM.encode()}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    toolchain.compile(("main.c", *FIXED), tmp_path, tmp_path / "main.wasm", flags=("-Dmain=ts_main",))
    asked = [str(needs("node")), "--no-warnings", str(RUNNER), str(tmp_path / "main.wasm")]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
