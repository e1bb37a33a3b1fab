# SPDX-License-Identifier: Apache-2.0
"""`transect memory run`."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from transect.cli.failure import usage
from transect.cli.memory.opening import Engine, with_target
from transect.cli.memory.options import Engines, Kernel, Target, Via
from transect.cli.memory.watching import Wanted, Wrong, rates_of, watched
from transect.cli.options import Metrics, place_of

if TYPE_CHECKING:
    from transect.memory.machine import Machine


Probes: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="PROBE", show_default=False, help="Names or files; else all but Text."),
]
Every: TypeAlias = Annotated[
    float, typer.Option("--every", metavar="SECONDS", min=0.0, help="Time between two rounds of a probe.")
]
Rate: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--rate", metavar="PROBE=SECONDS", show_default=False, help="Like --every, for one probe."),
]
Rounds: TypeAlias = Annotated[
    int | None,
    typer.Option("--rounds", metavar="N", min=1, show_default=False, help="Stop after so many rounds."),
]
Also: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--also", metavar="TARGET", show_default=False, help="More targets; fair_share gives them turns."
    ),
]
Budget: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--budget", metavar="SIZE", show_default=False, help="Read at most so many bytes a second: 64M."
    ),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="For programs: an object a line.")]
Live: TypeAlias = Annotated[bool, typer.Option("--live", help="A table that is kept up to date.")]
Alert: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--alert",
        metavar="COMMAND",
        show_default=False,
        help="Run this command for each event, which it gets on stdin.",
    ),
]
Name: TypeAlias = Annotated[
    str, typer.Option("--name", metavar="NAME", help="Name for status, set, record, upgrade.")
]


def run(
    target: Target,
    probes: Probes = None,
    kernel: Kernel = None,
    every: Every = 1.0,
    rate: Rate = None,
    rounds: Rounds = None,
    engine: Engines = Engine.PYTHON,
    via: Via = None,
    also: Also = None,
    budget: Budget = None,
    as_json: Json = False,
    live: Live = False,
    metrics: Metrics = None,
    alert: Alert = None,
    name: Name = "scan",
) -> int:
    """Watch targets in rounds, with random gaps between them, until Ctrl-C.

    It prints each finding when it is confirmed and when it is gone, and says when a probe cannot look. The exit code is
    1 when there is a finding at the end, and 4 when something could not be checked then.
    """
    if as_json and live:
        return usage("--json and --live do not go together", "take one of them")
    if via is not None and also:
        return usage("--via and --also do not go together", "watch each target by a command of its own")

    place = place_of("--metrics", metrics)

    def work(machine: Machine) -> int:
        from transect.memory.target import open_target, size

        try:
            wanted = Wanted(
                probes or (), every, rates_of(rate or ()), rounds, engine, float(size(budget)) if budget else None,
                as_json, live, place, alert, name, via,
            )  # fmt: skip
        except Wrong as wrong:
            return usage(*wrong.args)
        with ExitStack() as stack:
            others = [stack.enter_context(closing(open_target(t, kernel))) for t in also or ()]
            return watched([machine, *others], wanted)

    return with_target(target, kernel, work)
