# SPDX-License-Identifier: Apache-2.0
"""clang and its linker for wasm32: what is there, and how it is called.  No library, no SDK; what a libc would give is
among the files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from transect.base.unavailable import Unavailable

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
    "-mbulk-memory",
    "-D_GNU_SOURCE",
    "-Wl,--no-entry",
    "-Wl,--gc-sections",
    "-Wl,--strip-debug",
    "-I.",
    "-Ilibc",
)
HINT = "apt-get install clang-19 lld-19"


class Failed(Exception):
    """The compiler refuses what it was given; the text is what it says."""


@dataclass(frozen=True, slots=True)
class Compiler:
    """clang and the linker that it calls."""

    path: str
    version: str  # its own words


def compiler() -> Compiler:
    """CLANG=…, else `clang-19`, else `clang`; Unavailable when there is none, or no linker for WebAssembly with it."""
    for name in (os.environ.get("CLANG"), "clang-19", "clang"):
        if name and (path := shutil.which(name)):
            break
    else:
        raise Unavailable("clang", "neither clang-19 nor clang is on PATH", HINT)
    version = path.rpartition("-")[2]
    linker = f"wasm-ld-{version}" if version.isdigit() else "wasm-ld"
    if not shutil.which(linker) and not (Path(path).resolve().parent / "wasm-ld").exists():
        raise Unavailable("wasm-ld", f"{linker}, with which {path} links, is not on PATH", HINT)
    return Compiler(path, _version(path))


@cache
def _version(path: str) -> str:
    return subprocess.run([path, "--version"], capture_output=True, text=True).stdout.partition("\n")[0]


def compile(units: Sequence[str], folder: Path, target: Path | None, *, flags: Sequence[str] = ()) -> None:
    """Compile and link `units` of `folder` into `target`; None: where the flags say.  Raises Unavailable, Failed."""
    output = [] if target is None else ["-o", str(target.absolute())]
    asked = [compiler().path, *FLAGS, *flags, *units, *output]
    done = subprocess.run(asked, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise Failed(done.stderr.strip())
