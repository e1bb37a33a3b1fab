# SPDX-License-Identifier: Apache-2.0
"""The target `p4`: the program for a switch that walks for a probe; the kernel need not be known yet."""

from __future__ import annotations

from transect.base.diagnostic import Diagnostic, Diagnostics
from transect.core.ir import Program
from transect.emit.artifact import Artifact
from transect.memory.p4.compiled import DoesNotFit, artifact


class SwitchEmitter:
    """NAME.p4 for each probe, in P4-16 for v1model."""

    passes = ()

    def refuses(self, program: Program) -> list[Diagnostic]:
        """What keeps the probe's walks out of a switch."""
        diagnostics = Diagnostics()
        try:
            artifact(program)
        except DoesNotFit as wrong:
            diagnostics.error(
                "M001",
                str(wrong),
                program.handlers[0].span,
                label="of this policy",
                help="`transect memory plan` shows what runs where; the observer's side runs every probe",
            )
        return list(diagnostics)

    def emit(self, program: Program) -> Artifact:
        return artifact(program)


emitter = SwitchEmitter()
