# SPDX-License-Identifier: Apache-2.0
"""From an emitted chain to a plugin: its C and ours, compiled to wasm32 without any library or SDK.

What happens to an RPC is decided by the same C as in the native Envoy module; `runtime/wasm_*.c` stands for what is
around it there: Envoy's interface and threads.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from transect.emit.artifact import Artifact
from transect.emit.wasm import toolchain
from transect.emit.wasm.emitter import fixed, libc
from transect.rpc.build import RPC_RUNTIME, BuildError

SHARED = ("envoy_carrier.c", "envoy_end.c", "envoy_frames.c", "envoy_module.c")
HEADERS = ("envoy_abi.h", "envoy_module.h", "functions.h", "lz4.h", "seal.h", "wasm_abi.h", "wasm_plugin.h")


def sources(chain: Artifact) -> dict[str, bytes]:
    """All files of a plugin: the emitted chain, the fixed C around it, headers instead of a libc's."""
    own = [*SHARED, *HEADERS, *(path.name for path in sorted(RPC_RUNTIME.glob("wasm_*.c")))]
    around = {name: (RPC_RUNTIME / name).read_bytes() for name in own}
    return {**chain.files, **around, **fixed("memory.c"), **libc()}


def build(chain: Artifact, folder: Path) -> Path:
    """`folder`/transect_HASH.wasm; raises Unavailable without a compiler, BuildError when it refuses."""
    tool, files = toolchain.compiler(), sources(chain)
    target = folder / f"transect_{_key(files, tool)}.wasm"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as work:
        Artifact(files).write(Path(work))
        built = Path(work) / "built.wasm"
        try:
            toolchain.compile(sorted(name for name in files if name.endswith(".c")), Path(work), built)
        except toolchain.Failed as wrong:
            raise BuildError(str(wrong)) from wrong
        os.replace(built, target)
    return target


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
