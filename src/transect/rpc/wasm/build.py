# SPDX-License-Identifier: Apache-2.0
"""From an emitted chain to a plugin: its C and ours, compiled to wasm32 without any library or SDK.

What happens to an RPC is decided by the same C as in the native Envoy module; `runtime/wasm_*.c` stands for what is
around it there: Envoy's interface and threads.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from transect.emit.artifact import Artifact
from transect.emit.wasm import toolchain
from transect.emit.wasm.emitter import fixed, libc
from transect.rpc.build import (
    RPC_RUNTIME,
    BuildError,
    cache_folder,
    linked,
    must_be_ours,
    objects,
    write,
)

SHARED = ("envoy_carrier.c", "envoy_end.c", "envoy_frames.c", "envoy_module.c")
HEADERS = (
    "envoy_abi.h",
    "envoy_module.h",
    "functions.h",
    "lz4.h",
    "seal.h",
    "times.h",
    "wasm_abi.h",
    "wasm_plugin.h",
)


def fixed_files(chain: Artifact) -> dict[str, bytes]:
    """What is around every chain: our C, the headers that it needs, headers instead of a libc's."""
    own = [*SHARED, *HEADERS, *(path.name for path in sorted(RPC_RUNTIME.glob("wasm_*.c")))]
    around = {name: (RPC_RUNTIME / name).read_bytes() for name in own}
    headers = {name: content for name, content in chain.files.items() if name.endswith(".h")}
    return {**headers, **around, **fixed("memory.c"), **libc()}


def build(chain: Artifact, folder: Path) -> Path:
    """`folder`/transect_HASH.wasm, compiled once and kept in the cache; raises Unavailable without a compiler,
    BuildError when it refuses."""
    tool, around, cache = toolchain.compiler(), fixed_files(chain), cache_folder()
    files = {**around, **chain.files}
    target = cache / f"transect_{_key(files, tool)}.wasm"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    must_be_ours(cache)
    if not target.exists():
        place = cache / f"objects_{_key(around, tool)}"
        kept = objects(place, lambda work: _compiled(around, work, flags=("-c",)))
        with tempfile.TemporaryDirectory(prefix=".building-", dir=cache) as work:
            built = Path(work) / "built.wasm"
            _compiled({**libc(), **chain.files}, Path(work), *kept, target=built)
            os.replace(built, target)
    return linked(target, folder)


def _compiled(
    files: Mapping[str, bytes],
    work: Path,
    *objects: str,
    target: Path | None = None,
    flags: Sequence[str] = (),
) -> None:
    write(work, files)
    units = sorted(name for name in files if name.endswith(".c"))
    try:
        toolchain.compile((*units, *objects), work, target, flags=flags)
    except toolchain.Failed as wrong:
        raise BuildError(str(wrong)) from wrong


def _key(files: Mapping[str, bytes], tool: toolchain.Compiler) -> str:
    digest = hashlib.sha256()
    for part in _parts(files, tool):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:20]


def _parts(files: Mapping[str, bytes], tool: toolchain.Compiler) -> Iterator[bytes]:
    for name in sorted(files):
        yield name.encode()
        yield files[name]
    yield from (text.encode() for text in (tool.path, tool.version, *toolchain.FLAGS))
