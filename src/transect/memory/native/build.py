# SPDX-License-Identifier: Apache-2.0
"""Compiling probes, and other C of this stratum; what was compiled is kept."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from importlib.resources import files

from transect.base import cache
from transect.base.places import place
from transect.base.unavailable import Unavailable
from transect.emit.artifact import Artifact
from transect.emit.c.toolchain import shared_object
from transect.emit.toolchain import BuildError

HEADERS = ("machine.h", "walks.h", "views.h", "asked.h", "round.h")
FLAGS = ("-Wall", "-Wextra")


def library(artifact: Artifact, flags: Sequence[str] = FLAGS) -> ctypes.CDLL:
    """Compiled probes.  Raises `Unavailable` without a compiler, or a folder to keep them in."""
    folder = files("transect.memory") / "runtime"
    headers = {name: (folder / name).read_bytes() for name in HEADERS}
    return loaded("probes in C", artifact.files | headers, "probes", flags)


def loaded(
    what: str,
    sources: Mapping[str, bytes],
    main: str,
    flags: Sequence[str] = FLAGS,
    libraries: Sequence[str] = (),
) -> ctypes.CDLL:
    """The library made of `main`.c.  `what` it is for.  Raises `Unavailable`."""
    try:
        path = shared_object(
            main,
            sources,
            folder=place("probes"),
            flags=flags,
            libraries=libraries,
            units=[f"{main}.c"],
        )
        with cache.loadable(path) as file:
            return ctypes.CDLL(file.name)
    except (BuildError, OSError) as error:
        raise Unavailable(what, str(error)[:4000], "CC=PROGRAM names another compiler") from error
