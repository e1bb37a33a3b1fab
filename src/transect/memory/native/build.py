# SPDX-License-Identifier: Apache-2.0
"""Compiling probes: a library is named by the hash of all that it was made from, so what is there is right."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from transect.base.unavailable import Unavailable
from transect.emit.artifact import Artifact

HEADERS = ("machine.h", "walks.h", "views.h", "asked.h", "round.h")
FLAGS = (
    "-std=gnu11",
    "-O2",
    "-fPIC",
    "-shared",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-Wall",
    "-Wextra",
)


def default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transect" / "probes"


def library(artifact: Artifact, cache: Path | None = None, flags: Sequence[str] = FLAGS) -> Path:
    """The compiled library.  Raises `Unavailable` without a compiler."""
    folder = files("transect.memory") / "runtime"
    headers = {name: (folder / name).read_bytes() for name in HEADERS}
    return compiled("probes in C", artifact.files | headers, "probes", flags, cache)


def compiled(
    what: str,
    sources: Mapping[str, bytes],
    main: str,
    flags: Sequence[str] = FLAGS,
    cache: Path | None = None,
    libraries: Sequence[str] = (),
) -> Path:
    """The library made of `main`.c.  `what` it is for.  Raises `Unavailable` without a compiler."""
    cc = next((p for name in ("cc", "gcc", "clang") if (p := shutil.which(name))), None)
    if cc is None:
        raise Unavailable(what, "there is no C compiler", "as root: apt-get install gcc")
    links = [f"-l{name}" for name in libraries]
    told = hashlib.sha256(repr((sorted(sources.items()), cc, *flags, *links)).encode()).hexdigest()[:24]
    cache = cache or default_cache()
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = cache / f"{main}-{told}.so"
    if made.exists():
        return made
    with tempfile.TemporaryDirectory(dir=cache) as work:
        Artifact(dict(sources)).write(Path(work))
        out = Path(work) / f"{main}.so"
        done = subprocess.run(
            [cc, *flags, "-I", work, "-o", out, Path(work) / f"{main}.c", *links],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{main}.c does not compile: {done.stderr[:4000]}"
        out.replace(made)
    return made
