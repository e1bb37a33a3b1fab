# SPDX-License-Identifier: Apache-2.0
"""The work of `transect memory run`: watches, what they tell, and who may reach them."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transect.base.counted import counted
from transect.cli.exits import Exit
from transect.cli.failure import usage
from transect.cli.memory.opening import Engine, running

if TYPE_CHECKING:
    from rich.table import Table

    from transect.control.stopping import Stop
    from transect.memory.machine import Machine
    from transect.memory.scan import Engine as Runs
    from transect.memory.watch import Event, Watch
    from transect.rpc.chain.address import Endpoint

LIVE_S = 0.5


class Wrong(Exception):
    """What was asked for makes no sense; the arguments are the message, and what to write instead."""


@dataclass(frozen=True)
class Wanted:
    """What the command line says."""

    probes: Sequence[str]
    every: float
    rates: Mapping[str, float]  # by probe
    rounds: int | None
    engine: Engine
    budget: float | None  # bytes a second
    as_json: bool
    live: bool
    metrics: Endpoint | None
    alert: str | None
    name: str
    via: str | None = None

    def tell(self, target: str | None, event: Event) -> None:
        """One event, for people or programs.  `target`: where there are several."""
        from transect.memory.findings import shown

        plain = event.plain() | ({} if target is None else {"target": target})
        line = json.dumps(plain, ensure_ascii=False)
        if self.as_json:
            print(line, flush=True)
        elif not self.live:
            evidence = "  ".join(f"{name}={shown(name, value)}" for name, value in event.evidence.items())
            clock = time.strftime("%H:%M:%S", time.localtime(event.time))
            where = "" if target is None else f"{target}  "
            print(
                f"{clock}  {event.kind:9}  {where}{event.probe}: {event.what}  {evidence}".rstrip(),
                flush=True,
            )
        if self.alert is not None:
            done = subprocess.run(shlex.split(self.alert), input=line.encode(), timeout=30)
            if done.returncode:
                print(f"transect: the alert command ended with {done.returncode}", file=sys.stderr)


def rates_of(words: Sequence[str]) -> Mapping[str, float]:
    """Seconds by probe, from words such as `Text=60`.  Raises `Wrong`."""
    found = {}
    for word in words:
        name, equals, seconds = word.partition("=")
        try:
            found[name] = float(seconds)
        except ValueError:
            found[name] = -1.0
        if not equals or not name or found[name] < 0:
            raise Wrong(f"`{word}` is no rate", "write a probe and seconds between its rounds: Text=60")
    return found


def watched(machines: Sequence[Machine], wanted: Wanted) -> int:
    """Watch until Ctrl-C; the exit code."""
    with ExitStack() as stack:
        several = len(machines) > 1
        engines = {m.name: stack.enter_context(running(m, wanted.engine, wanted.via)) for m in machines}
        return _watched({m.name: _watch(m, wanted, several, engines[m.name]) for m in machines}, wanted)


def _watched(watches: Mapping[str, Watch], wanted: Wanted) -> int:
    from transect.control import Taken
    from transect.control.stopping import stopping

    unknown = wanted.rates.keys() - {name for w in watches.values() for name in w.probes}
    if unknown:
        return usage(f"`{sorted(unknown)[0]}` has a rate, but does not run", "name it among the probes")
    try:
        with stopping() as stop, _reached(watches, wanted):
            for name, watch in watches.items():
                print(f"watching {name}: {counted(len(watch.probes), 'probe')}", file=sys.stderr, flush=True)
            with _shown(watches, wanted.live):
                _run(watches, wanted, stop)
    except Taken as taken:
        return usage(str(taken))
    blind = any(p.problem for w in watches.values() for p in w.probes.values())
    return Exit.NO if any(w.findings for w in watches.values()) else Exit.UNKNOWN if blind else Exit.DONE


def _watch(machine: Machine, wanted: Wanted, several: bool, runs: Runs | None) -> Watch:
    from transect.memory.standard import chosen
    from transect.memory.watch import Watch

    programs = chosen(wanted.probes)
    if not wanted.probes:
        programs = [p for p in programs if p.name != "Text" or "Text" in wanted.rates]
    target = machine.name if several else None
    return Watch(
        machine,
        programs,
        lambda event: wanted.tell(target, event),
        every_s=wanted.every,
        rates=wanted.rates,
        engine=runs,
    )


def _run(watches: Mapping[str, Watch], wanted: Wanted, stop: Stop) -> None:
    """Run one target by itself; several targets, or one with a budget, take the turns that fair_share gives."""
    if len(watches) == 1 and wanted.budget is None:
        next(iter(watches.values())).run(stop, wanted.rounds)
        return
    from transect.base.shipped import path_of
    from transect.emit.py.load import load_text
    from transect.memory.sharing import Shared

    policy = load_text(path_of("fair_share").read_text(encoding="utf-8")).FairShare()
    Shared(watches, policy, wanted.budget).run(stop, wanted.rounds)


@contextmanager
def _reached(watches: Mapping[str, Watch], wanted: Wanted) -> Iterator[None]:
    """Serve sockets for `status`, `set`, `record` and `upgrade`, named NAME, NAME-2 …, and the counters."""
    from transect.control import Operated
    from transect.control.prometheus import Exporter
    from transect.memory.metrics import text

    with ExitStack() as stack:
        if wanted.metrics is not None:
            exporter = Exporter(
                wanted.metrics.host, wanted.metrics.port, lambda: text(list(watches.values()))
            )
            stack.callback(exporter.close)
        for number, watch in enumerate(watches.values(), 1):
            name = wanted.name if number == 1 else f"{wanted.name}-{number}"
            stack.enter_context(Operated("memory", name, watch).serve())
        yield


@contextmanager
def _shown(watches: Mapping[str, Watch], live: bool) -> Iterator[None]:
    """A table of all probes that is kept up to date on the terminal."""
    if not live:
        yield
        return
    from rich.live import Live

    with Live(get_renderable=lambda: table(watches), refresh_per_second=1 / LIVE_S):
        yield


def table(watches: Mapping[str, Watch]) -> Table:
    """What each probe has done and found so far."""
    from rich.table import Table

    made = Table("target", "probe", "rounds", "ms a round", "found", "last")
    for target, watch in watches.items():
        for name, probe in list(watch.probes.items()):
            found: list[Any] = list(probe.found.values())
            last = probe.problem or "; ".join(sorted({f.what for f in found}))
            each = 1000 * probe.seconds / max(probe.rounds, 1)
            made.add_row(
                target, name, str(probe.rounds), f"{each:.2f}", str(len(found)), last,
                style="red" if found else "yellow" if probe.problem else "",
            )  # fmt: skip
    return made
