# SPDX-License-Identifier: Apache-2.0
"""From an emitted chain to a module: its C and ours, compiled into one shared object.

The file's name carries the hash of all that went into it, so another version of a chain never has the name of the one
before: Envoy loads a path only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transect.emit.artifact import Artifact
from transect.rpc.build import RPC_RUNTIME, shared_object

FLAGS = ("-D_GNU_SOURCE", "-pthread", "-Wl,-Bsymbolic", "-lm")


def build(chain: Artifact, folder: Path, *, flags: Sequence[str] = ()) -> Path:
    """`folder`/libtransect_HASH.so; raises Unavailable without a compiler, BuildError when it refuses."""
    module = {path.name: path.read_bytes() for path in RPC_RUNTIME.glob("envoy_*.c")}
    return shared_object("libtransect", {**chain.files, **module}, folder=folder, flags=(*FLAGS, *flags))
