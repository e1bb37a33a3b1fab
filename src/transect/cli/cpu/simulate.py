# SPDX-License-Identifier: Apache-2.0
"""`transect cpu simulate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transect.cli.exits import Exit
from transect.cli.failure import refused, usage

if TYPE_CHECKING:
    from transect.cpu.simulator import Work

DEFAULT = ["hog", "nice:weight=33", "short:run=1ms,sleep=9ms"]
UNITS = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


def simulate(
    policy: Annotated[
        Path, typer.Argument(metavar="POLICY", exists=True, dir_okay=False, help="A scheduler's file.")
    ],
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:KEY=VALUE,…]",
            show_default=False,
            help="A task: run=, sleep= (2ms), weight=, hint=, cpu=; without run it never sleeps. Repeatable.",
        ),
    ] = None,
    cpus: Annotated[int, typer.Option(metavar="N", min=1, max=1024, help="Processors.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.001, help="Simulated time.")] = 2,
) -> int:
    """Run a scheduler on a SIMULATED machine: shares, waits and moves of each task.

    Switching costs nothing there and there are no caches: what is shown is who runs when, not how fast.
    """
    from transect.cpu.run import read
    from transect.cpu.simulator import CustodyError
    from transect.cpu.simulator import simulate as run
    from transect.cpu.watched import Invalid

    try:
        work = [_work(text) for text in task or DEFAULT]
    except ValueError as wrong:
        return usage(str(wrong), "--task short:run=1ms,sleep=9ms,weight=100")
    try:
        program, _ = read(policy)
        machine = run(program, work, cpus=cpus, seconds=seconds)
    except Invalid as invalid:
        return refused(invalid)
    except CustodyError as lost:
        print(f"transect: {lost}", file=sys.stderr)
        return Exit.NO
    print(f"SIMULATED: {program.name}, {cpus} {'CPU' if cpus == 1 else 'CPUs'}, {seconds:g} s")
    print(f"{'task':16}{'share':>8}{'waits':>8}{'p50 ms':>10}{'p99 ms':>10}{'moves':>8}")
    for one in machine.tasks:
        waits = sorted(one.waits_ns) or [0]
        p50, p99 = (waits[int(q * (len(waits) - 1))] / 1e6 for q in (0.5, 0.99))
        share = one.ran_ns / (seconds * 1e9 * cpus)
        print(f"{one.work.name:16}{share:8.1%}{len(one.waits_ns):8}{p50:10.2f}{p99:10.2f}{one.migrations:8}")
    return Exit.DONE


def _work(text: str) -> Work:
    from transect.cpu.simulator import Work

    name, _, rest = text.partition(":")
    given: dict[str, int] = {}
    for pair in filter(None, rest.split(",")):
        key, _, value = pair.partition("=")
        if key not in ("run", "sleep", "weight", "hint", "cpu"):
            raise ValueError(f"a task has no `{key}`")
        given[key] = _number(value)
    return Work(
        name,
        run_ns=given.get("run", 0),
        sleep_ns=given.get("sleep", 0),
        weight=given.get("weight", 100),
        hint=(given["hint"],) if "hint" in given else (),
        cpus=frozenset({given["cpu"]}) if "cpu" in given else None,
    )


def _number(text: str) -> int:
    unit = next((unit for unit in UNITS if text.endswith(unit) and text.removesuffix(unit).isdecimal()), "")
    if not text.removesuffix(unit).isdecimal():
        raise ValueError(f"`{text}` is no number or time")
    return int(text.removesuffix(unit)) * UNITS.get(unit, 1)
