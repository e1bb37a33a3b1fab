# SPDX-License-Identifier: Apache-2.0
"""From an emitted chain to a plugin: its C and ours, compiled to wasm32 without any library or SDK.

The same C as in the native Envoy module decides what happens to an RPC; `runtime/wasm_*.c` takes the place of what is
around that C there: Envoy's interface and threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transect.emit.artifact import Artifact
from transect.emit.toolchain import kept
from transect.emit.wasm import toolchain
from transect.emit.wasm.emitter import LIBRARY, fixed, libc
from transect.rpc.native.build import RPC_RUNTIME, cache_folder, linked

SHARED = ("envoy_carrier.c", "envoy_end.c", "envoy_frames.c", "envoy_module.c", "envoy_trace.c")
HEADERS = (
    "envoy_abi.h",
    "envoy_module.h",
    "functions.h",
    "headers.h",
    "lz4.h",
    "seal.h",
    "sha256.h",
    "times.h",
    "wasm_abi.h",
    "wasm_plugin.h",
)


def fixed_files(chain: Artifact) -> dict[str, bytes]:
    """The files around every chain: our C, the headers that it needs, and headers in place of a libc's."""
    own = [*SHARED, *HEADERS, *(path.name for path in sorted(RPC_RUNTIME.glob("wasm_*.c")))]
    around = {name: (RPC_RUNTIME / name).read_bytes() for name in own}
    headers = {name: content for name, content in chain.files.items() if name.endswith(".h")}
    return {**headers, **around, **fixed(*LIBRARY), **libc()}


def build(chain: Artifact, folder: Path) -> Path:
    """`folder`/transect_HASH.wasm, where an Envoy finds it; otherwise as `built`."""
    return linked(built(chain), folder)


def built(chain: Artifact) -> Path:
    """The plugin, compiled once and kept, sealed (`base.cache`).  Raises Unavailable without a compiler or a folder to
    keep the plugin in, BuildError when the compiler refuses."""
    tool = toolchain.compiler()
    by = [text.encode() for text in (tool.path, tool.version, *toolchain.FLAGS)]
    sources = {**libc(), **chain.files}
    return kept(
        "transect", ".wasm", sources, fixed_files(chain), folder=cache_folder(), compile=_compile, by=by
    )


def _compile(work: Path, units: Sequence[str], objects: Sequence[str], target: str | None) -> None:
    toolchain.compile((*units, *objects), work, None, flags=("-c",) if target is None else ("-o", target))
