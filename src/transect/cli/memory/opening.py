# SPDX-License-Identifier: Apache-2.0
"""Opens a target for a verb, or says why that cannot be done, and chooses what runs the probes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from transect.cli.exits import Exit
from transect.cli.failure import tell, usage

if TYPE_CHECKING:
    from transect.memory.machine import Machine
    from transect.memory.scan import Engine as Runs


class Engine(StrEnum):
    """What runs probes."""

    PYTHON = "python"
    C = "c"

    def runs(self, machine: Machine) -> Runs | None:
        """The runner; None for the interpreter with one read after the other.  Over a link, reads are made ahead."""
        if self is Engine.PYTHON:
            from transect.memory.prefetch import Batched, ahead

            return ahead if isinstance(machine.physical, Batched) else None
        from transect.memory.native.probes import native

        return native


@contextmanager
def running(machine: Machine, engine: Engine, via: str | None) -> Iterator[Runs | None]:
    """The runner of the probes; at the end, say what ran in the network.  Raises what `in_xdp` raises."""
    if via is None:
        yield engine.runs(machine)
        return
    from transect.memory.chaser.engine import in_xdp
    from transect.memory.target import BadTarget

    network, _, interface = via.partition(":")
    if network != "xdp":
        raise BadTarget(f"`--via {via}` is not known; there is xdp, and xdp:INTERFACE")
    if engine is Engine.C:
        raise BadTarget("`--engine c` is for memory in a file: with `--via` leave it out")
    with in_xdp(machine, interface) as runs:
        yield runs
        for line in runs.summary():
            tell(line)


def with_target(target: str, kernel: Path | None, work: Callable[[Machine], int]) -> int:
    """Open the target and do the work; if something cannot be read, say so and return the exit code for that."""
    from transect.base.traced import to_stderr
    from transect.linux.errors import KernelDataError
    from transect.memory.standard import Refused, UnknownProbe
    from transect.memory.target import BadTarget, open_target

    to_stderr()
    try:
        with closing(open_target(target, kernel)) as machine:
            return work(machine)
    except (BadTarget, UnknownProbe) as wrong:
        return usage(str(wrong))
    except Refused as refused:
        from transect.base.render import render_text
        from transect.cli.checking import in_color

        print(render_text(refused.diagnostics, refused.sources, color=in_color()))
        return Exit.NO
    except KernelDataError as problem:
        tell(f"{target}: {problem}")
        return Exit.UNKNOWN
