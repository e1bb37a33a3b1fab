# SPDX-License-Identifier: Apache-2.0
"""`transect memory plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transect.base.room import put
from transect.cli.exits import Exit
from transect.cli.failure import usage
from transect.cli.memory.opening import with_target
from transect.cli.memory.options import Kernel, Target

if TYPE_CHECKING:
    from transect.memory.machine import Machine


def plan(
    target: Target,
    probes: Annotated[list[str], typer.Argument(metavar="PROBE", help="Names of probes, or files.")],
    kernel: Kernel = None,
    switch: Annotated[
        Path | None,
        typer.Option(
            "--switch",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            show_default=False,
            help="The resources of a programmable switch (stages, ALUs); a probe that does not fit is an error.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            show_default=False,
            help="Write there what a switch needs for each probe: chaser.p4 and entries.txt.",
        ),
    ] = None,
) -> int:
    """Show what probes will read of a target (containers, reads and hops per element, fields that are read together),
    and where each walk can run: in the network (XDP, or a programmable switch), or at the observer.

    A field or symbol that the target's kernel does not have is named.
    """

    def work(machine: Machine) -> int:
        return _plan(machine, probes, switch, folder)

    return with_target(target, kernel, work)


def _plan(machine: Machine, probes: list[str], switch: Path | None, folder: Path | None) -> int:
    from transect.memory import plan as planning
    from transect.memory.p4.budget import DEFAULT as BUDGET
    from transect.memory.p4.budget import BadBudget, Budget
    from transect.memory.placed import Placed
    from transect.memory.standard import chosen

    try:
        budget = Budget.of(switch or BUDGET)
    except BadBudget as wrong:
        return usage(str(wrong))
    code = Exit.DONE
    for program in chosen(probes):
        print(planning.text(planning.plan(program, machine)))
        placed = Placed.of(program, machine, budget)
        print(*placed.lines(), sep="\n")
        if placed.problem and (switch is not None or folder is not None):
            code = Exit.NO
        elif folder is not None:
            for name, content in placed.files().items():
                path = folder / program.name / name
                path.parent.mkdir(parents=True, exist_ok=True)
                put(path, content.encode())
                print(f"  {path}")
    return code
