# SPDX-License-Identifier: Apache-2.0
"""clang and its linker for wasm32: which of them is installed, and how it is called.  Neither a library nor an SDK is
needed; the files of the runtime stand in for a libc.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from transect.base.unavailable import Unavailable
from transect.emit.toolchain import Compiler, called, compiler_at, on_path

FLAGS = (
    "--target=wasm32",
    "-std=gnu11",
    "-O2",
    "-ffreestanding",
    "-nostdlib",
    "-nostdlibinc",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    # A constant that does not fit would be truncated, which would change the meaning of the policy.
    "-Werror=constant-conversion",
    "-Werror=integer-overflow",
    "-Werror=shift-count-overflow",
    "-mbulk-memory",
    "-D_GNU_SOURCE",
    "-Wl,--no-entry",
    "-Wl,--gc-sections",
    "-Wl,--strip-debug",
    "-I.",
    "-Ilibc",
)
HINT = "apt-get install clang-19 lld-19"


def compiler() -> Compiler:
    """CLANG=…, else `clang-19`, else `clang`; Unavailable when there is none, or no linker for WebAssembly with it."""
    path = on_path(os.environ.get("CLANG"), "clang-19", "clang")
    if path is None:
        raise Unavailable("clang", "neither clang-19 nor clang is on PATH", HINT)
    version = path.rpartition("-")[2]
    linker = f"wasm-ld-{version}" if version.isdigit() else "wasm-ld"
    if not shutil.which(linker) and not (Path(path).resolve().parent / "wasm-ld").exists():
        raise Unavailable("wasm-ld", f"{linker}, with which {path} links, is not on PATH", HINT)
    return compiler_at(path)


def compile(units: Sequence[str], folder: Path, target: Path | None, *, flags: Sequence[str] = ()) -> None:
    """Compile `units` of `folder` into `target`; None: where the flags say.  Raises Unavailable, BuildError."""
    output = [] if target is None else ["-o", str(target.absolute())]
    called([compiler().path, *FLAGS, *flags, *units, *output], folder)
