# SPDX-License-Identifier: Apache-2.0
"""From an emitted chain to a module: one run of the user's C compiler.

The file's name carries the hash of all that went into it: what is there already is not compiled again, and another
version of a chain never has the name of the one before (Envoy loads a path only once).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from transect.base.unavailable import Unavailable
from transect.emit.artifact import Artifact

PACKAGE = Path(__file__).parents[2]
RUNTIME = PACKAGE / "rpc" / "runtime"
C_RUNTIME = PACKAGE / "emit" / "c" / "runtime"

FLAGS = (
    "-std=gnu11",
    "-D_GNU_SOURCE",
    "-O2",
    "-g1",
    "-fPIC",
    "-shared",
    "-pthread",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-Wall",
    "-Wextra",
    "-Wl,-Bsymbolic",
)


def compiler(named: str | None = None) -> Path:
    """The C compiler: `named`, else $CC, else cc or gcc on PATH; raises Unavailable."""
    for name in filter(None, [named] if named else [os.environ.get("CC"), "cc", "gcc", "clang"]):
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    raise Unavailable(named or "C compiler", "not on PATH", "apt-get install gcc")


def fixed_sources() -> list[Path]:
    """The module's own files."""
    return sorted(RUNTIME.glob("envoy_*.c"))


def _digest(chain: Artifact, command: Sequence[str]) -> str:
    seen = hashlib.sha256()
    headers = sorted(RUNTIME.glob("*.h")) + sorted(C_RUNTIME.glob("*.h"))
    for path in fixed_sources() + headers:
        seen.update(path.name.encode() + b"\0" + path.read_bytes())
    for name in sorted(chain.files):
        seen.update(name.encode() + b"\0" + chain.files[name])
    seen.update("\0".join(command).encode())
    return seen.hexdigest()[:16]


def build(chain: Artifact, folder: Path, *, cc: str | None = None, flags: Sequence[str] = ()) -> Path:
    """Compile the chain's C files together with the module's into `folder`/libtransect_HASH.so.

    Raises Unavailable without a compiler.  A compiler that refuses our own code is our own error: RuntimeError with
    what it said; the sources stay in `folder` then.
    """
    command = [str(compiler(cc)), *FLAGS, *flags]
    name = f"libtransect_{_digest(chain, command)}"
    made = folder / f"{name}.so"
    if made.is_file():
        return made
    folder.mkdir(parents=True, exist_ok=True)
    sources = folder / name
    chain_files = [p for p in chain.write(sources) if p.suffix == ".c"]
    folders = [f"-I{p}" for p in (sources, RUNTIME, C_RUNTIME)]
    inputs = [*folders, *map(str, fixed_sources()), *map(str, chain_files), "-lm"]
    handle, unfinished = tempfile.mkstemp(prefix=f".{name}-", suffix=".so", dir=folder)
    os.close(handle)
    try:
        run = subprocess.run([*command, *inputs, "-o", unfinished], capture_output=True, text=True)
        if run.returncode:
            raise RuntimeError(f"the C compiler refuses {sources}:\n{run.stderr}")
        Path(unfinished).chmod(0o755)
        Path(unfinished).replace(made)  # under its name there is never half a module
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return made
