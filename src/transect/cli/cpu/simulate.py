# SPDX-License-Identifier: Apache-2.0
"""`transect cpu simulate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transect.base.counted import counted
from transect.base.render import render_text
from transect.cli.checking import in_color
from transect.cli.exits import Exit
from transect.cli.failure import refused, tell, usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from transect.base.diagnostic import Diagnostic
    from transect.core.ir import Program
    from transect.cpu.simulator import Machine, Work

DEFAULT = ["hog", "nice:weight=33", "short:run=1ms,sleep=9ms"]
RANGES = {"weight": (1, 10_000), "hint": (0, (1 << 63) - 1), "cpu": (0, 1023)}  # weights: as in the kernel
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
    seconds: Annotated[float, typer.Option(min=0.001, max=86_400, help="Simulated time.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the numbers that `rand_below` draws.")] = 1,
) -> int:
    """Run a scheduler on a SIMULATED machine: shares, waits and moves of each task.

    Switching costs nothing there and there are no caches: what is shown is who runs when, not how fast.
    """
    from transect.cpu.pace import Standstill, starvation
    from transect.cpu.run import read
    from transect.cpu.simulator import CustodyError, Machine
    from transect.cpu.trial import Invalid

    try:
        work = [_work(text, cpus) for text in task or DEFAULT]
        _apart(work)
    except ValueError as wrong:
        return usage(str(wrong), "--task short:run=1ms,sleep=9ms,weight=100")
    try:
        program, sources = read(policy)
        machine = Machine(program, cpus, work, seed=seed)
        machine.run(round(seconds * 1e9))
        print(f"SIMULATED: {program.name}, {counted(cpus, 'CPU')}, {seconds:g} s")
        print("\n".join(_table(machine, seconds)))
        starved = starvation(program, machine.starved())
    except Invalid as invalid:
        return refused(invalid)
    except Standstill as still:
        return _wrong(still.diagnostics, sources)
    except CustodyError as lost:
        tell(lost)
        return Exit.NO
    return _wrong(starved, sources) if len(starved) else Exit.DONE


def _wrong(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str]) -> int:
    """Print what the simulation shows to be wrong with the policy."""
    print(render_text(diagnostics, dict(sources), color=in_color()), file=sys.stderr)
    return Exit.NO


def _table(machine: Machine, seconds: float) -> Iterator[str]:
    yield f"{'task':16}{'share':>8}{'waits':>8}{'p50 ms':>10}{'p99 ms':>10}{'moves':>8}"
    for one in machine.tasks:
        waits = sorted(one.waits_ns)
        p50, p99 = (f"{waits[int(q * (len(waits) - 1))] / 1e6:.2f}" if waits else "-" for q in (0.5, 0.99))
        share = one.ran_ns / (seconds * 1e9 * len(machine.cpus))
        yield f"{one.work.name:16}{share:8.1%}{len(waits):8}{p50:>10}{p99:>10}{one.migrations:8}"
    yield from _notes(machine.program, machine)


def _notes(program: Program, machine: Machine) -> Iterator[str]:
    """Notes on what is odd in the policy, and on what a simulation cannot show of it."""
    from transect.cpu.simulator import UNSIMULATED

    for queues, count in sorted(machine.beyond.items()):
        yield f"`self.{queues}.on(…)` was asked for a CPU or node that does not exist: {count} times, and gave queue 0"
    for hook in UNSIMULATED:
        handler = program.handler(hook)
        if handler is not None and not handler.default:
            yield f"`{hook}` is not called here: it never happens on a simulated machine"


def _apart(work: Sequence[Work]) -> None:
    """Raises ValueError for two tasks with one name: nobody could tell their rows apart."""
    for number, one in enumerate(work):
        if one.name in [other.name for other in work[:number]]:
            raise ValueError(f"two tasks are called `{one.name}`")


def _work(text: str, cpus: int) -> Work:
    """The task that `text` describes.  Raises ValueError for one that no machine with so many CPUs can have."""
    from transect.cpu.simulator import Work

    name, _, rest = text.partition(":")
    if not name:
        raise ValueError("a task has no name")
    given: dict[str, int] = {}
    for pair in filter(None, rest.split(",")):
        key, _, value = pair.partition("=")
        if key not in ("run", "sleep", "weight", "hint", "cpu"):
            raise ValueError(f"a task has no `{key}`")
        given[key] = _time(value) if key in ("run", "sleep") else _number(key, value)
    if "sleep" in given and "run" not in given:
        raise ValueError(f"`{name}` sleeps and never runs; give `run=`, too")
    if given.get("cpu", 0) >= cpus:
        raise ValueError(f"`{name}` may run on CPU {given['cpu']} alone, and there are CPUs 0 to {cpus - 1}")
    return Work(
        name,
        run_ns=given.get("run", 0),
        sleep_ns=given.get("sleep", 0),
        weight=given.get("weight", 100),
        hint=(given["hint"],) if "hint" in given else (),
        cpus=frozenset({given["cpu"]}) if "cpu" in given else None,
    )


def _time(text: str) -> int:
    """In ns.  Raises ValueError."""
    unit = next((unit for unit in UNITS if text.endswith(unit) and text.removesuffix(unit).isdecimal()), None)
    if unit is None:
        raise ValueError(
            f"`{text}` is no time; write `{text}ms`" if text.isdecimal() else f"`{text}` is no time"
        )
    return int(text.removesuffix(unit)) * UNITS[unit]


def _number(key: str, text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"`{text}` is no number")
    least, most = RANGES[key]
    if len(text) > len(str(most)) or not least <= int(text) <= most:
        raise ValueError(f"`{key}` is from {least} to {most}")
    return int(text)
