# SPDX-License-Identifier: Apache-2.0
"""The system's C compiler: emitted C and the fixed C around it become a shared object."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from transect.base.unavailable import Unavailable
from transect.emit.toolchain import Compiler, called, compiler_at, kept, on_path

RUNTIME = Path(__file__).parent / "runtime"
# A constant that does not fit would be truncated, which would change the meaning of the policy.
STRICT = ("-Werror=overflow", "-Werror=shift-count-overflow")
FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-shared", "-ffp-contract=off", "-fno-strict-aliasing", *STRICT)


def compiler() -> Compiler:
    """CC=…, else `cc`, else `gcc`; Unavailable when there is none."""
    path = on_path(os.environ.get("CC"), "cc", "gcc")
    if path is None:
        raise Unavailable("a C compiler", "neither cc nor gcc is on PATH", "apt-get install gcc")
    return compiler_at(path)


def shared_object(
    stem: str,
    sources: Mapping[str, bytes],
    *,
    folder: Path,
    fixed: Mapping[str, bytes] = {},
    include: Sequence[Path] = (),
    system: Sequence[Path] = (),
    flags: Sequence[str] = (),
    libraries: Sequence[str] = (),
    units: Sequence[str] | None = None,
    suffix: str = ".so",
) -> Path:
    """Compile `units` of `sources`, by default all `.c` files, and those of `fixed`, into `folder/STEM_HASH.SUFFIX`, as
    `kept` does.

    Headers are looked for among the sources, in the folders `include` and in the runtime, whose headers are part of the
    hash, and in those of the `system`.  `{name}` in a flag stands for `STEM_HASH`; the files of `fixed` are compiled
    without such flags.  Raises Unavailable without a compiler or for an unsuitable folder, and BuildError when the
    compiler refuses.
    """
    tool = compiler()

    def compile(work: Path, given: Sequence[str], objects: Sequence[str], target: str | None) -> None:
        name = "" if target is None else target.removesuffix(suffix)
        named = [flag.replace("{name}", name) for flag in flags if target or "{name}" not in flag]
        places = ["-I.", *(f"-I{place}" for place in (*include, RUNTIME, *system))]
        output = ["-c"] if target is None else ["-o", target]
        linked = [f"-l{library}" for library in libraries if target]
        called([tool.path, *FLAGS, *named, *places, *given, *objects, *linked, *output], work)

    headers = [path for place in (*include, RUNTIME) for path in sorted(place.glob("*.h"))]
    words = [tool.path, tool.version, *FLAGS, *flags, *libraries, *map(str, system)]
    by = [*(path.read_bytes() for path in headers), *(word.encode() for word in words)]
    return kept(stem, suffix, sources, fixed, folder=folder, compile=compile, by=by, units=units)
