# SPDX-License-Identifier: Apache-2.0
"""Emitted C as WebAssembly: random programs on random calls show the same in V8 as in the interpreter."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import native
from tests.fuzz.compare import Case, case
from tests.fuzz.machines import Observed
from tests.fuzz.sharing import lowered_all, shared_driver
from transect.emit.c import Lowered
from transect.emit.c.driver import MAIN
from transect.emit.wasm import toolchain
from transect.emit.wasm.emitter import FIXED, fixed, libc

pytestmark = pytest.mark.needs("clang-19", "wasm-ld-19", "node")

PROGRAMS = 40  # a compilation
RUNNER = Path(__file__).with_name("wasi.mjs")


def in_wasm(cases: list[Case], folder: Path, node: Path) -> list[Observed]:
    """What the programs show, all in one module; a state also takes its own image."""
    lowered = [done for done in lowered_all([one.program for one in cases]) if isinstance(done, Lowered)]
    assert len(lowered) == len(cases)
    made = shared_driver(lowered, loads=True).files | fixed(*FIXED) | libc()
    for name, content in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    flags = ("-Dmain=ts_main", "-O1", "-w")
    toolchain.compile((MAIN, *FIXED), folder, folder / "batch.wasm", flags=flags)
    command = folder / "batch"
    command.write_text(f'#!/bin/sh\nexec "{node}" --no-warnings "{RUNNER}" "{folder / "batch.wasm"}"\n')
    command.chmod(0o700)
    return native._run(command, [(one.program, one.calls) for one in cases], 0, loads=True)


def test_random_programs_show_the_same_in_webassembly(
    tmp_path: Path, fuzz_seconds: float, needs: Callable[[str], Path]
) -> None:
    until, start = time.monotonic() + fuzz_seconds, 0
    while not start or time.monotonic() < until:
        cases = [case(seed) for seed in range(start, start + PROGRAMS)]
        for one, seen in zip(cases, in_wasm(cases, tmp_path, needs("node")), strict=True):
            assert seen == one.expected, f"seed {one.seed}:\n{one.text}"
        start += PROGRAMS
