# SPDX-License-Identifier: Apache-2.0
"""A policy as C for wasm32: its driver, and what stands for a libc."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from transect.base.diagnostic import Diagnostic
from transect.core.ir import Program
from transect.emit.artifact import Artifact
from transect.emit.c.driver import MAIN, driver
from transect.emit.c.emitter import PASSES
from transect.emit.c.names import snake
from transect.emit.wasm import toolchain

LIBRARY = ("memory.c", "product.c")
"""What a libc and the compiler's own library would give."""
FIXED = (*LIBRARY, "wasi.c")


def libc() -> dict[str, bytes]:
    """Headers that stand for those of a libc, below `libc/`."""
    folder = files("transect.emit.wasm") / "runtime" / "libc"
    names = ("pthread.h", "stdio.h", "stdlib.h", "string.h", "time.h", "sys/random.h")
    return {f"libc/{name}": (folder / name).read_bytes() for name in names}


def fixed(*names: str) -> dict[str, bytes]:
    """Files of the runtime by name."""
    folder = files("transect.emit.wasm") / "runtime"
    return {name: (folder / name).read_bytes() for name in names}


class WasmEmitter:
    """The target `wasm`."""

    passes = PASSES

    def refuses(self, program: Program) -> list[Diagnostic]:
        """Nothing: it is C with 64-bit integers and IEEE floats, so every meaning is kept."""
        return []

    def emit(self, program: Program) -> Artifact:
        """A folder of its own for each policy, which `build` compiles."""
        name = snake(program.name)
        made = driver([program], prefixes=[name]).files | fixed(*FIXED) | libc()
        return Artifact({f"{name}/{path}": content for path, content in made.items()})

    def build(self, program: Program, folder: Path) -> list[Path]:
        """Compile what was written below `folder`: NAME.wasm.  Raises Unavailable, BuildError."""
        name = snake(program.name)
        target = folder / f"{name}.wasm"
        toolchain.compile((MAIN, *FIXED), folder / name, target, flags=("-Dmain=ts_main",))
        return [target]
