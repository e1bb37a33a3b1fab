# SPDX-License-Identifier: Apache-2.0
"""From an emitted chain to a plugin: its C and ours, compiled to wasm32 without any library or SDK.

What happens to an RPC is decided by the same C as in the native Envoy module; `runtime/wasm_*.c` stands for what is
around it there: Envoy's interface, libc, threads.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from transect.base.unavailable import Unavailable
from transect.emit.artifact import Artifact
from transect.rpc.build import RPC_RUNTIME, BuildError

SHARED = ("envoy_carrier.c", "envoy_end.c", "envoy_frames.c", "envoy_module.c")
LIBC = RPC_RUNTIME / "wasm"  # headers that stand for those of a libc
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
)
HINT = "apt-get install clang-19 lld-19"


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
    linker = "wasm-ld" + (f"-{path.rpartition('-')[2]}" if path.rpartition("-")[2].isdigit() else "")
    if not shutil.which(linker) and not (Path(path).resolve().parent / "wasm-ld").exists():
        raise Unavailable("wasm-ld", f"{linker}, with which {path} links, is not on PATH", HINT)
    return Compiler(path, _version(path))


@cache
def _version(path: str) -> str:
    return subprocess.run([path, "--version"], capture_output=True, text=True).stdout.partition("\n")[0]


def sources(chain: Artifact) -> dict[str, bytes]:
    """All files of a plugin: the emitted chain, the fixed C around it, headers instead of a libc's."""
    fixed = [RPC_RUNTIME / name for name in SHARED] + sorted(RPC_RUNTIME.glob("wasm_*.c"))
    headers = [
        RPC_RUNTIME / name for name in ("envoy_module.h", "envoy_abi.h", "wasm_plugin.h", "wasm_abi.h")
    ]
    for name in ("functions.h", "lz4.h", "seal.h"):
        headers.append(RPC_RUNTIME / name)
    libc = {f"libc/{path.relative_to(LIBC)}": path.read_bytes() for path in sorted(LIBC.rglob("*.h"))}
    return {**chain.files, **{path.name: path.read_bytes() for path in (*fixed, *headers)}, **libc}


def command(tool: str, files: Mapping[str, bytes], output: str) -> list[str]:
    """How a folder with `sources` is compiled."""
    units = sorted(name for name in files if name.endswith(".c"))
    return [tool, *FLAGS, "-I.", "-Ilibc", *units, "-o", output]


def build(chain: Artifact, folder: Path) -> Path:
    """`folder`/transect_HASH.wasm; raises Unavailable without a compiler, BuildError when it refuses."""
    tool, files = compiler(), sources(chain)
    target = folder / f"transect_{_key(files, tool)}.wasm"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as work:
        Artifact(files).write(Path(work))
        asked = command(tool.path, files, "built.wasm")
        done = subprocess.run(asked, cwd=work, capture_output=True, text=True)
        if done.returncode:
            raise BuildError(done.stderr.strip())
        os.replace(Path(work) / "built.wasm", target)
    return target


def _key(files: Mapping[str, bytes], tool: Compiler) -> str:
    digest = hashlib.sha256()
    for part in _parts(files, tool):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:20]


def _parts(files: Mapping[str, bytes], tool: Compiler) -> Iterator[bytes]:
    for name in sorted(files):
        yield name.encode()
        yield files[name]
    yield from (text.encode() for text in (tool.path, tool.version, *FLAGS))
