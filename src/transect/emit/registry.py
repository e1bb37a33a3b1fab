# SPDX-License-Identifier: Apache-2.0
"""Targets by name.  An emitter's module is imported when it is asked for, so that `check` never pays for them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from transect.base.diagnostic import Diagnostic, closest
from transect.core.ir import Program
from transect.emit.artifact import Artifact


class Emitter(Protocol):
    """One target: what it cannot mean, and the files of what it can."""

    @property
    def passes(self) -> Sequence[Callable[[Program], Program]]:
        """What it does to a checked program before lowering, in order; each is known by its name."""
        ...

    def refuses(self, program: Program) -> list[Diagnostic]:
        """Why the target cannot keep this program's meaning; empty: it can."""
        ...

    def emit(self, program: Program) -> Artifact:
        """The files.  The program is checked and not refused."""
        ...


MODULES = {  # each has a module attribute `emitter`
    "py": "transect.emit.py",
    "c": "transect.emit.c",
    "wasm": "transect.emit.wasm",
}
OF_ONE_STRATUM = {  # with its fixed code
    "bpf": "transect.cpu.target",
    "hints-c": "transect.cpu.hints.target_c",
    "hints-py": "transect.cpu.hints.target_py",
    "p4": "transect.memory.p4.target",
}


class UnknownTarget(LookupError):
    """No target of that name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = closest(name, names)
        hint = f"did you mean `{near}`?" if near else f"there are: {', '.join(names)}"
        super().__init__(f"no target `{name}`; {hint}")


def targets() -> tuple[str, ...]:
    """The names of those that any policy may have."""
    return tuple(MODULES)


def all_targets() -> tuple[str, ...]:
    """The names of all targets, those of one stratum last."""
    return (*MODULES, *OF_ONE_STRATUM)


def emitter(name: str) -> Emitter:
    """The target of that name; UnknownTarget when there is none."""
    module = (MODULES | OF_ONE_STRATUM).get(name)
    if module is None:
        raise UnknownTarget(name, all_targets())
    found: Emitter = importlib.import_module(module).emitter
    return found
