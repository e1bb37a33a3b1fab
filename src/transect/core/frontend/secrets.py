# SPDX-License-Identifier: Apache-2.0
"""Secret fields that a policy reads otherwise than by their digest."""

from __future__ import annotations

from transect.base.diagnostic import Diagnostics
from transect.core import ir
from transect.core.secrets import exposed


def check_secrets(program: ir.Program, diagnostics: Diagnostics) -> None:
    """Add the places where one is read."""
    for field in exposed(program):
        diagnostics.error(
            "P052",
            f"`{field.name}` is secret: a policy reads its digest alone",
            field.span,
            label="the value itself",
            help="write `digest(…)` around it, and compare it with another digest (`printf %s TEXT | sha256sum`)",
        )
