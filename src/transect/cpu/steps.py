# SPDX-License-Identifier: Apache-2.0
"""How long a call of a scheduler may take: it runs with its CPU's run queue locked and interrupts off.

`docs/design/steps.md` says how the limit was chosen.
"""

from __future__ import annotations

from transect.base.diagnostic import Diagnostics, Label
from transect.core import ir
from transect.core.bounds import Steps
from transect.core.frontend.steps import longest, spelled
from transect.core.ir import Program
from transect.core.walk import Node
from transect.cpu.calls import STEALS
from transect.cpu.platform import KERNEL

LIMIT = 1_000_000  # steps of one call: about a millisecond, a quarter of a tick
ASKED = 10  # steps that a function of the kernel counts: a look-up, a lock
CPUS = 1024  # `TS_CPUS` of `runtime/scx.h`: the most queues that are asked in turn


def step(node: Node) -> int:
    """The steps of a node without its parts."""
    match node:
        case ir.Intrinsic(name=name) if name in STEALS:
            return 1 + ASKED * CPUS
        case ir.Intrinsic(name=name) if name in KERNEL:
            return 1 + ASKED
        case _:
            return 1


def too_long(program: Program) -> Diagnostics:
    """The hooks that may take more than `LIMIT` steps."""
    diagnostics = Diagnostics()
    steps = Steps(program, step)
    for handler in program.handlers:
        total = steps.of(handler)
        if total > LIMIT:
            at, here = longest(handler, steps, LIMIT)
            diagnostics.error(
                "C012",
                f"a call of `{handler.name}` may take {spelled(total)} steps, and {LIMIT:,} are the most here",
                at,
                label=f"{spelled(here)} steps",
                others=() if at == handler.span else (Label(handler.span, "the hook"),),
                help="lower the bound of a loop, or do a part of it in each call",
                note="meanwhile its CPU does nothing else, not even interrupts",
            )
    return diagnostics
