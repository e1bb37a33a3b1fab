# SPDX-License-Identifier: Apache-2.0
"""A stack of a chain in Envoy, a service that takes turns and a gateway, under the load of two tenants: how many
requests are explained, and what it costs the stack's processes to write logs for one hundredth of the time.

`explained`: of all requests of three recorded loads, at each layer that they met.  `cost`: CPU time of all processes
of the stack for a load of ten seconds with a tenth of a second recorded / without.  `transect record --share 0.01`
records as much, with a tenth of the beginnings and ends.  The control: the service's logs without their first call.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import grpc
from measuring import Control, Numbers, Samples, begin, claim, interleaved, report, result
from processors import processor_s

from tests.parts import need
from tests.systems.stack.test_stack import Whole, whole
from transect.cli.replaying import decoder
from transect.control import Client
from transect.control.client import Recording
from transect.replay import Log, read
from transect.replay.decisions import Sample, Taken, decisions

BURST_S = 0.1
LOADS = 3  # that are recorded as a whole
ROUNDS = 15
CALLS = 150  # of each kind, by each of its threads: ten seconds
THREADS = 3  # of each tenant, for each kind


def load(running: Whole) -> None:
    """Both tenants, at once; each request has an id."""

    def buy(who: str) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{running.front}") as channel:
            for _ in range(CALLS):
                assert running.buy_by(channel, who, 60.0) is grpc.StatusCode.OK

    def ask(who: str) -> None:
        for _ in range(CALLS):
            assert running.ask(who).status_code == 200

    threads = [
        threading.Thread(target=do, args=(who,))
        for who in ("alice", "bob")
        for do in (buy, ask)
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(0.2)  # for what happens after an answer


class Loads:
    """Loads of one stack, recorded and not."""

    def __init__(self, running: Whole) -> None:
        self.running = running
        self.folders: list[Path] = []

    def whole(self) -> None:
        """A load that is recorded from before its beginning to after its end."""
        with self._recording() as recording:
            load(self.running)
            assert recording.end()["dropped"] == 0, "nothing is dropped"

    def burst(self) -> Numbers:
        burst = threading.Thread(target=self._burst)
        return self._cost(burst)

    def plain(self) -> Numbers:
        return self._cost(None)

    def _cost(self, beside: threading.Thread | None) -> Numbers:
        before = processor_s(self.running.process.pid)
        if beside is not None:
            beside.start()
        load(self.running)
        if beside is not None:
            beside.join()
        return {"cost": processor_s(self.running.process.pid) - before}

    def _burst(self) -> None:
        time.sleep(2.0)  # in the middle of the load
        with self._recording() as recording:
            time.sleep(BURST_S)
            assert recording.end()["records"] > 0, "it recorded something"

    def _recording(self) -> AbstractContextManager[Recording]:
        folder = self.running.folder / f"logs{len(self.folders)}"
        self.folders.append(folder)
        return Client("stack", self.running.name).recording(folder)


def logs_of(folders: Sequence[Path]) -> list[Log]:
    return [read(path) for folder in folders for path in sorted(folder.iterdir())]


def taken(log: Log) -> Taken:
    return decisions(log, decoder(log), Sample())


def torn(log: Log) -> Log:
    """The log without its first call."""
    return replace(log, records=log.records[1:])


def main() -> None:
    need("envoy")
    the_claim, samples = claim(__file__), Samples()
    with tempfile.TemporaryDirectory() as name, whole(Path(name)) as running:
        loads = Loads(running)
        for _ in range(LOADS):
            loads.whole()
        logs = logs_of(loads.folders)
        interleaved(loads.burst, loads.plain, ROUNDS, into=samples)
    found = [taken(log) for log in logs]
    broken = [taken(torn(log)) for log in logs if log.header.name.endswith(".shop")]
    asked = sum(one.requests for one in found)
    samples.add("explained", sum(one.explained for one in found) / asked)
    control = Control(
        "the service's logs without their first call", all(one.explained < one.requests for one in broken)
    )
    report(
        result(
            the_claim,
            samples,
            [control],
            requests=asked,
            decisions=sum(len(one.rows) for one in found),
            calls=sum(len(log.records) for log in logs),
            layers=["front", "gateway", "shop"],
            grpcio=grpc.__version__,
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
