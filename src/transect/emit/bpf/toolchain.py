# SPDX-License-Identifier: Apache-2.0
"""clang for BPF: what is there, and how it is called."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from transect.base.unavailable import Unavailable

CLANGS = ("clang-19", "clang-20", "clang-21", "clang")
FLAGS = (
    "-target",
    "bpf",
    "-mcpu=v4",
    "-O2",
    "-g",
    "-fwrapv",
    "-Wall",
    "-Wno-unused",
    "-Wno-tautological-compare",
    "-Werror",
    "-I.",
    "-c",
)


class BuildError(Exception):
    """clang refused what we emitted: our mistake; the text is what it said."""


def clang() -> str:
    for name in CLANGS:
        if path := shutil.which(name):
            return path
    raise Unavailable(
        "clang", "it compiles BPF programs and is not installed", "apt-get install clang-19 libbpf-dev"
    )


def compiled(source: Path, target: Path, **defines: int) -> Path:
    """`defines`: macros and their values."""
    command = [clang(), *FLAGS, *(f"-D{name}={value}" for name, value in defines.items())]
    command += [source.name, "-o", target.name]
    done = subprocess.run(command, cwd=source.parent, capture_output=True, text=True)
    if done.returncode:
        if "bpf/bpf_helpers.h" in done.stderr and "not found" in done.stderr:
            raise Unavailable(
                "libbpf's headers", "bpf/bpf_helpers.h is missing", "apt-get install libbpf-dev"
            )
        raise BuildError(done.stderr)
    return target
