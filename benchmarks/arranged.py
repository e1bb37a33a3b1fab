# SPDX-License-Identifier: Apache-2.0
"""Arrangements of one chain, all up at once and called in turn: what each adds to a call without any chain.

Ends are C++ (`envoy_load.cc`: a language without a library carrier) or Python (`arranged_ends.py`), each a process of
its own on one processor; Envoys are on the other.  The baseline is the written order in two sidecars, a WASM plugin for
each element, as a mesh has it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from envoy_sides import METHOD, child, cpu_ns, free_port, pin, program

from transect.core.text import dump
from transect.rpc import echo
from transect.rpc.chain.arrangement import Carrier, Group, Layout, Processor
from transect.rpc.chain.file import read_chain
from transect.rpc.chain.model import ChainFile
from transect.rpc.envoy import Envoy
from transect.rpc.envoy.config import HttpFilter
from transect.rpc.grpcio import native
from transect.rpc.placement import calibrate, profile
from transect.rpc.placement.profile import Profile

ENDS = Path(__file__).parent / "arranged_ends.py"
DIRECT: Layout = ()
BODY: bytes = echo.Ask(user="alice", key="k", text="x" * 50).SerializeToString()


@dataclass(frozen=True)
class Tools:
    """What all chains of a run share."""

    load: Path  # the C++ ends
    cache: Path  # of modules and plugins

    @classmethod
    def made(cls, folder: Path) -> Tools:
        return cls(program(folder), folder / "built")


@dataclass
class Arranged:
    """The arrangements, by number."""

    client: subprocess.Popen[str]
    pids: list[tuple[int, ...]] = field(default_factory=list)  # of the processes that work for each
    took: dict[int, list[float]] = field(default_factory=dict)  # every call of each, µs

    def run(self, which: int, calls: int) -> dict[str, float]:
        """µs of latency (median) and of CPU, all processes together, per call."""
        before = sum(map(cpu_ns, self.pids[which]))
        took = self.ask(which, calls)
        cpu = (sum(map(cpu_ns, self.pids[which])) - before) / calls / 1000
        self.took.setdefault(which, []).extend(took)
        return {"p50": statistics.median(took), "cpu": cpu}

    def ask(self, which: int, calls: int) -> list[float]:
        assert self.client.stdin is not None and self.client.stdout is not None
        self.client.stdin.write(f"{which} {calls}\n")
        self.client.stdin.flush()
        answer = self.client.stdout.readline().strip()
        assert answer and not answer.startswith("status"), f"arrangement {which}: {answer}"
        return [float(one) for one in answer.split()]


@contextmanager
def arranged(
    chain: ChainFile,
    layouts: Sequence[Layout],
    tools: Tools,
    folder: Path,
    *,
    python_client: bool,
    python_server: bool,
) -> Iterator[Arranged]:
    with ExitStack() as stack:
        server, ports = _server(stack, chain, layouts, tools, python_server)

        def up(number: int) -> tuple[ExitStack, list[Envoy], int]:
            return _proxies(chain, layouts[number], tools, folder / str(number), ports[number])

        with ThreadPoolExecutor(len(layouts)) as pool:
            raised = list(pool.map(up, range(len(layouts))))
        for own, _, _ in raised:
            stack.enter_context(own)
        envoys = [those for _, those, _ in raised]
        fronts = [
            f"{port}:{_indices(layout, Processor.CLIENT_LIBRARY)}" if python_client else str(port)
            for layout, (_, _, port) in zip(layouts, raised, strict=True)
        ]
        end = (
            [sys.executable, ENDS, "call", chain.path]
            if python_client
            else [tools.load, METHOD, BODY.decode()]
        )
        client = stack.enter_context(child("env", "EACH=1", *end, *fronts))
        for pid in (server, client.pid):
            pin(pid, 0)
            foremost(pid)
        for envoy in (envoy for those in envoys for envoy in those):
            pin(envoy.pid, 1)
            foremost(envoy.pid)
        yield Arranged(client, [(client.pid, server, *(e.pid for e in those)) for those in envoys])


def foremost(pid: int) -> None:
    """Give a process real-time priority, where that is allowed: it works for a call at once, whatever else runs."""
    with suppress(PermissionError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(1))


def _proxies(
    chain: ChainFile, layout: Layout, tools: Tools, folder: Path, port: int
) -> tuple[ExitStack, list[Envoy], int]:
    """An arrangement's Envoys, the last one first, and the port which the client calls."""
    those: list[Envoy] = []
    with ExitStack() as stack:
        for group in reversed(layout):
            if group.processor.proxy:
                own = folder / group.processor.side
                started = calibrate.started(own, tools.cache, filters(chain, group, tools), port)
                those.append(stack.enter_context(started))
                port = those[-1].address.port
        return stack.pop_all(), those, port


def built(chain: ChainFile, layouts: Sequence[Layout], tools: Tools) -> None:
    """Compile whatever the arrangements want."""
    for group in (group for layout in layouts for group in layout if group.elements):
        if group.processor.proxy:
            filters(chain, group, tools)
        else:
            uses = [chain.elements[index] for index in group.elements]
            native.compiled(native.emitted(calibrate.bound_to_echo(uses)))


def _server(
    stack: ExitStack, chain: ChainFile, layouts: Sequence[Layout], tools: Tools, python: bool
) -> tuple[int, list[int]]:
    """The server's process, and a port for each arrangement."""
    if python:
        parts = [_indices(layout, Processor.SERVER_LIBRARY) for layout in layouts]
        process = stack.enter_context(child(sys.executable, ENDS, "serve", chain.path, *parts))
        assert process.stdout is not None
        return process.pid, [int(port) for port in process.stdout.readline().split()]
    port = free_port()
    process = stack.enter_context(child(tools.load, port))
    assert process.stdout is not None
    process.stdout.readline()
    return process.pid, [port] * len(layouts)


def _indices(layout: Layout, at: Processor) -> str:
    group = next((g for g in layout if g.processor is at), None)
    return ",".join(map(str, group.elements)) if group is not None and group.elements else "-"


def filters(chain: ChainFile, group: Group, tools: Tools) -> list[HttpFilter]:
    uses = [chain.elements[index] for index in group.elements]
    if not uses:
        return []
    if group.carrier is Carrier.NATIVE:
        return [calibrate.module(uses, tools.cache)]
    if group.fused:
        return [calibrate.plugin(uses, tools.cache)]
    return [calibrate.plugin([use], tools.cache) for use in uses]


# ---------------------------------------------------------------- rounds


def a_round(those: Arranged, sides: dict[str, int], calls: int, turns: int) -> dict[str, dict[str, float]]:
    """Medians over turns; each side comes first in as many turns as the others."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    order = list(sides.items())
    for number in range(turns):
        turn = number % len(order)
        for name, which in (*order[turn:], *order[:turn]):
            runs[name].append(those.run(which, calls))
    return {
        name: {key: statistics.median(one[key] for one in got) for key in ("p50", "cpu")}
        for name, got in runs.items()
    }


def read(path: Path, text: str) -> ChainFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    found = read_chain(path)
    assert found.chain is not None, [d.message for d in found.diagnostics]
    return found.chain


def costs(chains: Sequence[ChainFile]) -> Profile:
    """The machine's profile (of `transect rpc calibrate`, made now where there is none), with these elements."""
    from transect.base.unavailable import Unavailable

    try:
        known = profile.load()
    except Unavailable:
        known = calibrate.calibrate([], lambda _: None)
        profile.save(known)
    elements = dict(known.elements)
    service = calibrate.echo_service()
    for chain in chains:
        unknown = [use for use in chain.elements if profile.content(dump(use.program)) not in elements]
        elements |= calibrate.of_elements(unknown, service) if unknown else {}
    return replace(known, elements=elements)
