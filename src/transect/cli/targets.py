# SPDX-License-Identifier: Apache-2.0
"""What a policy can be compiled to.  A target is imported when it is asked for, so that no verb pays for the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from transect.base.diagnostic import Diagnostic
from transect.core.ir import Program
from transect.emit.artifact import Artifact

OF_ANY_POLICY = ("py", "c", "wasm")
OF_ONE_STRATUM = ("bpf", "hints-c", "hints-py", "p4")
TARGETS = (*OF_ANY_POLICY, *OF_ONE_STRATUM)


class Emitter(Protocol):
    """One target: which programs it refuses, and the files that it makes of the others."""

    @property
    def passes(self) -> Sequence[Callable[[Program], Program]]:
        """The passes over a checked program before lowering, in order; each is known by its name."""
        ...

    def refuses(self, program: Program) -> list[Diagnostic]:
        """Why the target cannot keep this program's meaning; empty: it can."""
        ...

    def emit(self, program: Program) -> Artifact:
        """The files.  The program is checked and not refused."""
        ...


def emitter(target: str) -> Emitter:
    """The emitter of one of `TARGETS`."""
    match target:
        case "py":
            from transect.emit import py

            return py.emitter
        case "c":
            from transect.emit import c

            return c.emitter
        case "wasm":
            from transect.emit import wasm

            return wasm.emitter
        case "bpf":
            from transect.cpu import target as bpf

            return bpf.emitter
        case "hints-c":
            from transect.cpu.hints import target_c

            return target_c.emitter
        case "hints-py":
            from transect.cpu.hints import target_py

            return target_py.emitter
        case "p4":
            from transect.memory.p4 import target as p4

            return p4.emitter
        case _:
            raise AssertionError(f"no target `{target}`")
