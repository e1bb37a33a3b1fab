# SPDX-License-Identifier: Apache-2.0
"""Programs that come as text, for example from a log, which anybody may have written.

Nothing evaluates, emits or loads such a program before it has been verified: it is well formed, as after every pass of
the compiler, and declares nothing but what its stratum gives.  What the front end proves besides (a look-up is
dominated by a test, an index is in range) the interpreter checks at each step.
"""

from __future__ import annotations

from transect.base.diagnostic import Diagnostic, Diagnostics
from transect.core.frontend.steps import check_steps
from transect.core.ir import Program, Stage
from transect.core.text import TextError, parse
from transect.core.verify import verify
from transect.core.verify_interface import verify_interface

MAX_BYTES = 1 << 23  # of a program's text; the largest that the front end makes of a file is smaller


def admitted(text: str) -> Program:
    """The checked program that a text shows.  Raises `TextError` when it shows none, or one that breaks a rule."""
    if len(text) > MAX_BYTES:
        raise TextError(f"a program of {len(text):,} characters is too large")
    program = parse(text)
    found = verify_interface(program) or verify(program, Stage.CHECKED) or _too_long(program)
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise TextError(f"the program breaks a rule ({found[0].code}): {found[0].message}{more}")
    return program


def _too_long(program: Program) -> list[Diagnostic]:
    """Handlers with too many steps; the limit is the same as for policy files."""
    diagnostics = Diagnostics()
    check_steps(program, diagnostics)
    return list(diagnostics)
