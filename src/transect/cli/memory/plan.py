# SPDX-License-Identifier: Apache-2.0
"""`transect memory plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from transect.cli.exits import Exit
from transect.cli.memory.opening import Kernel, Target, with_target

if TYPE_CHECKING:
    from transect.memory.machine import Machine


def plan(
    target: Target,
    probes: Annotated[list[str], typer.Argument(metavar="PROBE...", help="Names of probes, or files.")],
    kernel: Kernel = None,
) -> int:
    """What probes will read of a target: containers, reads and hops an element, which fields come together.

    A field or symbol that the target's kernel does not have is named.
    """

    def work(machine: Machine) -> int:
        from transect.memory import plan as planning
        from transect.memory.standard import chosen

        for program in chosen(probes):
            print(planning.text(planning.plan(program, machine)))
        return Exit.DONE

    return with_target(target, kernel, work)
