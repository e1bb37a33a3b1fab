# SPDX-License-Identifier: Apache-2.0
"""The target `bpf`: a scheduler as C for the kernel, and the object that clang compiles from it."""

from __future__ import annotations

from pathlib import Path

from transect.base.diagnostic import Diagnostic, Diagnostics
from transect.core.ir import Program
from transect.cpu.build import build
from transect.cpu.check import check
from transect.cpu.program import emit
from transect.cpu.scheduler import Scheduler, legal
from transect.emit.artifact import Artifact
from transect.emit.c.names import snake

BASES = ("cpu.Scheduler", "Arbiter")


class SchedulerEmitter:
    """A folder for each policy: `policy.bpf.c` with what it includes, `policy.o`, and `policy.json` for its loader."""

    passes = (legal,)

    def refuses(self, program: Program) -> list[Diagnostic]:
        if program.base in BASES:
            return check(program)
        diagnostics = Diagnostics()
        diagnostics.error(
            "C005",
            f"only schedulers go into the kernel, and `{program.name}` is a `{program.base}`",
            program.handlers[0].span,
            label="of this policy",
            help="another target: --to py, c or wasm",
        )
        return list(diagnostics)

    def emit(self, program: Program) -> Artifact:
        name = snake(program.name)
        return Artifact(
            {f"{name}/{path}": content for path, content in emit(Scheduler.of(program)).files.items()}
        )

    def build(self, program: Program, folder: Path) -> list[Path]:
        """Compile what was written below `folder`.  Raises `Unavailable` without clang."""
        made = build(program, folder / snake(program.name))
        return [made.object, made.object.with_suffix(".json")]


emitter = SchedulerEmitter()
