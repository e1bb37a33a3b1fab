# SPDX-License-Identifier: Apache-2.0
"""Compiling chains to shared objects, which are kept; and putting one where an Envoy finds it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from transect.base.cache import content, opened
from transect.base.places import place
from transect.emit.artifact import Artifact
from transect.emit.c import toolchain

RPC_RUNTIME = Path(__file__).parents[1] / "runtime"
FLAGS: tuple[str, ...] = ("-g1", "-fvisibility=hidden")


def cache_folder() -> Path:
    """Where built chains are kept when the caller names no folder.  Raises Unavailable for a user without a home."""
    return place("chains")


def shared_object(
    stem: str,
    sources: Mapping[str, bytes],
    *,
    folder: Path,
    fixed: Mapping[str, bytes] = {},
    system: Sequence[Path] = (),
    flags: Sequence[str] = (),
    suffix: str = ".so",
) -> Path:
    """As `emit.c.toolchain.shared_object`, with the runtime and the flags of chains."""
    return toolchain.shared_object(
        stem,
        sources,
        folder=folder,
        fixed=fixed,
        include=(RPC_RUNTIME,),
        system=system,
        flags=(*FLAGS, *flags),
        suffix=suffix,
    )


ENVOY_FLAGS = ("-D_GNU_SOURCE", "-pthread", "-Wl,-Bsymbolic", "-lm")


def envoy_module(chain: Artifact, folder: Path, *, flags: Sequence[str] = ()) -> Path:
    """`folder`/libtransect_HASH.so: an emitted chain and our C around it, as a module of Envoy; compiled once, and kept
    in the cache.

    Another version of a chain never has the name of the one before: Envoy loads a path only once.  Raises as
    `shared_object`.
    """
    module = {path.name: path.read_bytes() for path in RPC_RUNTIME.glob("envoy_*.c")}
    wanted = (*ENVOY_FLAGS, f"-DTS_LAYOUT=0x{_layout(module)}", *flags)
    built = shared_object("libtransect", chain.files, folder=cache_folder(), fixed=module, flags=wanted)
    return linked(built, folder)


def _layout(module: Mapping[str, bytes]) -> str:
    """A hash of the C around chains; `envoy_edge.c` asks whether two modules have the same."""
    headers = sorted(RPC_RUNTIME.glob("*.h"))
    parts = [*(content for _, content in sorted(module.items())), *(path.read_bytes() for path in headers)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:15]


def linked(built: Path, folder: Path) -> Path:
    """The same file in a folder of ours from which an Envoy loads it.  Raises Unavailable when others could change what
    lies there."""
    module = content(built)
    with opened(folder, make=True) as held:
        if held.plain(built.name) != module:
            held.put(built.name, module)
    return folder / built.name
