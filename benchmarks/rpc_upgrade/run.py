# SPDX-License-Identifier: Apache-2.0
"""A hundred upgrades under load: 40 of an edge with elements in a client's library, in an Envoy and in a server's
library, and 40 of one without the Envoy, each of which moves an element from one processor to another; 20 of a chain
in Envoy.

What counts: failed RPCs; calls that the policies have not counted, or counted twice; RPCs that two versions saw; and
the 99th percentile of the latency while upgrades are under way, minus that of the same load without them.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent / "rpc_python_chain"))

import grpc
from chains import chain_file, policies
from children import child, line, running
from measuring import Control, Samples, begin, claim, report, result
from peers import built_server, generated

from transect.control.client import Client
from transect.emit.py.load import load_text
from transect.rpc import attach

ROUNDS = 10
UPGRADES = {"three": 4, "edge": 4, "envoy": 2}  # per round; all but those of the chain in one Envoy are moves
PROTO = HERE.parent / "rpc_python_chain" / "echo.proto"
THREADS, RATE = 4, 150  # calls a second of each
QUIET_S = 1.5
EXPECTED = {111 * version for version in (1, 2, 3)}


@dataclass
class Load:
    """Calls at a fixed rate, and what became of them."""

    stub: Any
    echo: Any
    latencies: list[float] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    failed: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    def loop(self, user: str) -> None:
        due = time.perf_counter()
        while not self.stopping.is_set():
            due += 1 / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            start = time.perf_counter()
            try:
                answer = self.stub.Say(self.echo.Ask(user=user, text="hi"), timeout=10).number
            except grpc.RpcError:
                self.failed += 1
                continue
            self.latencies.append(time.perf_counter() - start)
            self.answers.append(answer)
            due = max(due, start)  # a late call makes no others early

    def p99(self, since: int) -> float:
        return statistics.quantiles(self.latencies[since:], n=100)[98]

    @property
    def mixed(self) -> int:
        return sum(answer not in EXPECTED for answer in self.answers)


@contextmanager
def loaded(stub: Any, echo: Any) -> Iterator[Load]:
    load = Load(stub, echo)
    threads = [threading.Thread(target=load.loop, args=(f"u{n}",)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stopping.set()
        for thread in threads:
            thread.join()


@contextmanager
def upgrading(*names: str) -> Iterator[Any]:
    """A function that has another process upgrade the instances to the files that it is given."""
    with child(sys.executable, str(HERE / "upgrades.py"), *names) as process:
        assert line(process) == "ready"

        def upgrade(files: Sequence[Path]) -> None:
            assert process.stdin is not None
            print(*files, file=process.stdin, flush=True)
            assert line(process) == "done"

        yield upgrade


@dataclass
class Side:
    """One deployment: its stub, its two versions, and its counts."""

    stub: Any
    names: tuple[str, ...]
    versions: Sequence[list[Path]]  # in turn; the first one runs
    counted: Any  # () → calls that each element has counted, and those that it takes to be under way


@contextmanager
def edge(folder: Path, echo: Any, echo_grpc: Any) -> Iterator[Side]:
    """A client with two elements, one of which moves, and a server with the third."""
    client, served = f"bench-client-{os.getpid()}", f"bench-server-{os.getpid()}"
    with child(sys.executable, str(HERE / "server.py"), served) as server:
        module = load_text(policies(1))
        below = grpc.insecure_channel(f"127.0.0.1:{line(server)}")
        channel: Any = attach(below, [module.First(), module.Moving()], service=echo, name=client)
        here = [chain_file(folder, "client_1", 1, "First,Moving"), chain_file(folder, "server_1", 1, "Last")]
        there = [chain_file(folder, "client_2", 2, "First"), chain_file(folder, "server_2", 2, "Moving,Last")]

        def counted() -> list[tuple[int, int]]:
            states = [one for name in (client, served) for one in Client("rpc", name).ask("edge-state")]
            return [totals(one) for one in states]

        try:
            yield Side(echo_grpc.EchoStub(channel), (client, served), [here, there], counted)
        finally:
            channel.chain.close()
            channel.close()


@contextmanager
def three(folder: Path, echo: Any, echo_grpc: Any) -> Iterator[Side]:
    """A client with two elements, one of which moves to an Envoy, and on to a server with the third, and back."""
    client, front, served = (f"bench-{what}-{os.getpid()}" for what in ("web", "front", "shop"))
    (folder / "echo.proto").write_text(PROTO.read_text())
    with child(sys.executable, str(HERE / "server.py"), served) as server:
        module, upstream = load_text(policies(1)), f"127.0.0.1:{line(server)}"
        places = (("First,Moving", "", "Last"), ("First", "Moving", "Last"), ("First", "", "Moving,Last"))
        versions = [
            [
                chain_file(folder, f"{name}_{number}", number, elements, upstream)
                for name, elements in zip(("web", "front", "shop"), place, strict=True)
            ]
            for number, place in enumerate(places, 1)
        ]
        with running(folder, versions[0][1], "--name", front) as (_, address):
            below = grpc.insecure_channel(address)
            channel: Any = attach(below, [module.First(), module.Moving()], service=echo, name=client)
            names = (client, front, served)

            def counted() -> list[tuple[int, int]]:
                states = [one for name in names for one in Client("rpc", name).ask("edge-state")]
                return [totals(one) for one in states]

            try:
                yield Side(echo_grpc.EchoStub(channel), names, versions, counted)
            finally:
                channel.chain.close()
                channel.close()


def totals(state: dict[str, Any]) -> tuple[int, int]:
    """Calls that an element has counted, and those that it takes to be under way."""
    import base64

    from transect.core.codec import decode_state
    from transect.core.schema import Schema

    slots = decode_state(Schema.from_json(state["schema"]).declared, base64.b64decode(state["image"]))
    return sum(n for _, n in slots["users"].value), slots["under_way"].value


@contextmanager
def envoy(folder: Path, echo: Any, echo_grpc: Any) -> Iterator[Side]:
    """The three elements in one Envoy, before a C++ server."""
    name = f"bench-envoy-{os.getpid()}"
    (folder / "echo.proto").write_text(PROTO.read_text())
    with child(str(built_server())) as server:
        upstream = f"127.0.0.1:{line(server)}"
        files = [chain_file(folder, f"envoy_{v}", v, "First,Moving,Last", upstream) for v in (1, 2)]
        with running(folder, files[0], "--name", name) as (_, address):
            channel = grpc.insecure_channel(address)

            def counted() -> list[tuple[int, int]]:
                return [totals(one) for one in Client("rpc", name).ask("edge-state")]

            try:
                yield Side(echo_grpc.EchoStub(channel), (name,), [[files[0]], [files[1]]], counted)
            finally:
                channel.close()


def measured(side: Side, upgrade: Any, turn: int, upgrades: int, echo: Any, samples: Samples) -> Load:
    """Load without upgrades, then with them."""
    with loaded(side.stub, echo) as load:
        time.sleep(QUIET_S)
        middle = len(load.latencies)
        first = load.p99(0)
        time.sleep(QUIET_S)
        quiet, second = load.p99(0), load.p99(middle)
        since = len(load.latencies)
        for number in range(upgrades):
            upgrade(side.versions[(turn + number + 1) % len(side.versions)])
        delay = load.p99(since) - quiet
    samples.add("delay_s", delay)
    samples.aa.setdefault("delay_s", []).append(second - first)
    return load


def main() -> None:
    report(whole(), __file__)


def whole() -> dict[str, Any]:
    echo, echo_grpc = generated()
    the_claim, samples = claim(__file__), Samples()
    sums = {"failed": 0, "lost": 0, "mixed": 0}
    done, calls, seconds = 0, 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for make in (three, edge, envoy):
            upgrades = UPGRADES[make.__name__]
            with make(Path(folder), echo, echo_grpc) as side, upgrading(*side.names) as upgrade:
                for files in (*side.versions[1:], side.versions[0]):
                    upgrade(files)  # compiled before it is measured
                before, answered = side.counted()[0][0], 0
                for number in range(ROUNDS):
                    start = time.perf_counter()
                    load = measured(side, upgrade, number * upgrades, upgrades, echo, samples)
                    seconds += time.perf_counter() - start
                    sums["failed"] += load.failed
                    sums["mixed"] += load.mixed
                    answered += len(load.answers) + load.failed
                    done += upgrades
                time.sleep(1)
                for counted, under_way in side.counted():
                    sums["lost"] += abs(counted - before - answered) + abs(under_way)
                calls += answered
        toy = unnamed(Path(folder), echo, echo_grpc)
    for key, value in sums.items():
        samples.add(key, value)
    return result(
        the_claim,
        samples,
        [Control("an edge whose RPCs do not name their version: some see two", toy > 0)],
        upgrades=done,
        moves=ROUNDS * (UPGRADES["three"] + UPGRADES["edge"]),
        moves_with_envoy=ROUNDS * UPGRADES["three"],
        calls=calls,
        calls_a_second=round(calls / seconds),
        grpcio=grpc.__version__,
    )


def unnamed(folder: Path, echo: Any, echo_grpc: Any) -> int:
    """How many RPCs see two versions if nothing names the version."""
    with ExitStack() as stack:
        side = stack.enter_context(edge(folder, echo, echo_grpc))
        upgrade = stack.enter_context(upgrading("--unnamed", *side.names))
        load = stack.enter_context(loaded(side.stub, echo))
        for number in range(20):
            upgrade(side.versions[(number + 1) % 2])
            if load.mixed:
                break
    return load.mixed


if __name__ == "__main__":
    begin(main)
