# SPDX-License-Identifier: Apache-2.0
"""clang for BPF: what is there, and how it is called."""

from __future__ import annotations

from pathlib import Path

from transect.base.unavailable import Unavailable
from transect.emit.toolchain import BuildError, called, on_path

__all__ = ["BuildError", "clang", "compiled"]

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


def clang() -> str:
    if path := on_path(*CLANGS):
        return path
    raise Unavailable(
        "clang", "it compiles BPF programs and is not installed", "apt-get install clang-19 libbpf-dev"
    )


def compiled(source: Path, target: Path, **defines: int) -> Path:
    """`defines`: macros and their values."""
    command = [clang(), *FLAGS, *(f"-D{name}={value}" for name, value in defines.items())]
    command += [source.name, "-o", target.name]
    try:
        called(command, source.parent)
    except BuildError as wrong:
        if "bpf/bpf_helpers.h" in str(wrong) and "not found" in str(wrong):
            lacking = "bpf/bpf_helpers.h is missing"
            raise Unavailable("libbpf's headers", lacking, "apt-get install libbpf-dev") from wrong
        raise
    return target
