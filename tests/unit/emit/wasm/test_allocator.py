# SPDX-License-Identifier: Apache-2.0
"""The allocator and mem… of WebAssembly modules, in V8: random requests, every byte checked."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from transect.base.unavailable import Unavailable
from transect.emit.wasm import toolchain
from transect.emit.wasm.emitter import FIXED, fixed, libc

RUNNER = Path(__file__).parents[3] / "fuzz" / "wasi.mjs"
PROGRAM = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELD = 300 };

static uint64_t state = 7;

static uint32_t below(uint32_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

static void check(int good, const char *what) {
    if (!good) {
        fprintf(stderr, "wrong: %s", what);
        exit(1);
    }
}

static int all(const uint8_t *data, size_t size, uint8_t byte) {
    while (size && data[size - 1] == byte) size--;
    return size == 0;
}

static size_t some(void) {
    static const uint32_t most[] = {1, 20, 200, 3000, 70000};
    return below(most[below(5)] + 1);
}

int main(void) {
    static uint8_t *held[HELD];
    static size_t sizes[HELD];
    size_t pages = 0;
    for (int round = 0; round < 60000; round++) {
        uint32_t i = below(HELD);
        uint8_t mark = (uint8_t)i;
        check(all(held[i], sizes[i], mark), "a block changed");
        if (below(3) == 0) {
            free(held[i]);
            held[i] = NULL, sizes[i] = 0;
        } else if (below(2)) {
            size_t size = some(), kept = size < sizes[i] ? size : sizes[i];
            held[i] = realloc(held[i], size);
            check(all(held[i], kept, mark), "realloc lost bytes");
            memset(held[i], mark, sizes[i] = size);
        } else {
            free(held[i]);
            held[i] = calloc(1, sizes[i] = some());
            check(all(held[i], sizes[i], 0), "calloc is not zero");
            memset(held[i], mark, sizes[i]);
        }
        check(((uintptr_t)held[i] & 15) == 0, "not aligned");
        if (round == 30000) pages = __builtin_wasm_memory_size(0);
    }
    check(__builtin_wasm_memory_size(0) <= pages + pages / 4, "memory grows without end");
    uint8_t *a = malloc(400);
    for (int round = 0; round < 3000; round++) {
        uint32_t from = below(200), to = below(200), size = below(200);
        uint8_t copy[400];
        for (int i = 0; i < 400; i++) copy[i] = a[i] = (uint8_t)below(256);
        memmove(a + to, a + from, size);
        check(memcmp(a + to, copy + from, size) == 0, "memmove");
        check(memcmp(a, copy, to) == 0 && memcmp(a + to + size, copy + to + size, 400 - to - size) == 0, "around");
    }
    check(malloc((size_t)1 << 31) == NULL && calloc(SIZE_MAX / 2, 3) == NULL, "no such memory");
    check(memcmp("abc", "abd", 3) < 0 && memcmp("b", "a", 1) > 0, "memcmp");
    return 0;
}
"""


@pytest.mark.needs("clang-19", "wasm-ld-19", "node")
def test_blocks_do_not_overlap_and_memory_is_bounded(tmp_path: Path, needs: Callable[[str], Path]) -> None:
    for name, content in (fixed(*FIXED) | libc() | {"main.c": PROGRAM.encode()}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    toolchain.compile(("main.c", *FIXED), tmp_path, tmp_path / "main.wasm", flags=("-Dmain=ts_main",))
    asked = [str(needs("node")), "--no-warnings", str(RUNNER), str(tmp_path / "main.wasm")]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_compiler_without_its_linker_is_no_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clang = tmp_path / "clang-19"
    clang.write_text("#!/bin/sh\n")
    clang.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="wasm-ld-19") as caught:
        toolchain.compiler()
    assert caught.value.hint == "apt-get install clang-19 lld-19"
