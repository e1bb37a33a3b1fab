# SPDX-License-Identifier: Apache-2.0
"""A host of each stratum with a policy that has the parameter `limit`, 5 at first; stand-ins for what is not here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypedDict, cast

import grpc
import pytest

import transect
import transect.rpc
from tests.unit.memory.test_watch import watched
from transect.base.shipped import path_of
from transect.control import Operated, Refused
from transect.control.host import NOTHING_BEFORE
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.cpu import run as cpu
from transect.llm import host as llm
from transect.llm.config import Config
from transect.llm.service import Service
from transect.memory import watch as memory
from transect.memory.standard import of_file
from transect.replay.log import Trailer
from transect.rpc import echo
from transect.rpc.chain import status as rpc
from transect.rpc.envoy.control import Control
from transect.rpc.envoy.host import EnvoyHost
from transect.rpc.grpcio.attached import Attached
from transect.rpc.grpcio.host import GrpcioHost
from transect.rpc.versions.upgrade import Handover, Version, read_version


class Nothing(TypedDict):
    """Details of a stratum that has none."""


@dataclass(frozen=True)
class Given:
    operated: Operated
    details: type[Any]  # of `status`
    newer: Path  # the next version, with the same state
    upgrade_details: type[Any] = Nothing


IMPORTS = "from transect.lang import Param, param\n"
ELEMENT = """from transect.rpc import Element

class Acl(Element):
    limit: Param[int] = param(5)
"""
PROBE = """from transect.memory import Probe, linux

class Many(Probe):
    limit: Param[int] = param(5)

    def scan(self) -> None:
        if len({t.address for t in linux.tasks()}) > self.limit:
            self.report("many", limit=self.limit)
"""
SCHEDULER = """from transect.cpu import Fifo, Scheduler, Task
from transect.lang import given

class First(Scheduler):
    ready: Fifo = given()
    limit: Param[int] = param(5)

    def enqueue(self, task: Task) -> None:
        self.ready.put(task)

    def dispatch(self, cpu: int) -> None:
        self.ready.take()
"""


def two(folder: Path, policy: str) -> tuple[Path, Path]:
    """The first version's file, and the second's."""
    paths = folder / "first.py", folder / "second.py"
    for path, more in zip(paths, ("", "# newer\n"), strict=True):
        path.write_text(IMPORTS + policy.replace("class ", f"{more}class ", 1))
    return paths


def gateway(folder: Path, _: pytest.MonkeyPatch) -> Given:
    text = path_of("rpm").read_text().replace("param(20)", "param(5)")
    text = text.replace("from .fcfs", "from transect.examples.llm.fcfs")
    paths = folder / "first.py", folder / "second.py"
    paths[0].write_text(text)
    paths[1].write_text(text.replace("class ", "# newer\nclass ", 1))
    service = Service(Config(policy=str(paths[0])), folder, bound=1 << 60, running=lambda: ())
    return Given(
        Operated("llm", "shop", llm.LlmHost(service, "gateway")), llm.Details, paths[1], llm.UpgradeDetails
    )


def chain(first: Path) -> Attached:
    channel = grpc.insecure_channel("127.0.0.1:1")
    elements = [transect.load(first.read_text()).Acl()]
    attached: Any = transect.rpc.attach(channel, elements, service=echo.DESCRIPTOR, native=False)
    return cast(Attached, attached.chain)


def grpcio(folder: Path, _: pytest.MonkeyPatch) -> Given:
    first, second = two(folder, ELEMENT)
    return Given(Operated("rpc", "shop", GrpcioHost(chain(first))), rpc.Details, second)


class Module:
    """Stands in for `Control`: one element's state, and no RPC."""

    def __init__(self, program: Program) -> None:
        self.image = Instance(program).image()
        self.counts = dict.fromkeys(rpc.COUNTERS, 0)

    def status(self) -> Mapping[str, Any]:
        none = {name: [0] for name in ("rejected", "responded", "withheld")}
        return {**self.counts, **none, "causes": [0] * 5, "times": [(0, []), (0, [])]}

    def save(self, element: int) -> bytes:
        return self.image

    def change(self, element: int, change: Callable[[bytes], bytes]) -> None:
        self.image = change(self.image)

    def record(self, head: Callable[[Sequence[bytes], int], Path]) -> None:
        head([self.image], 0)

    def stop_recording(self) -> tuple[int, int, list[bytes]]:
        return 0, 0, [self.image]


@dataclass
class Versions:
    """Stands in for `Upgrades`: nothing loads a new version."""

    host: EnvoyHost
    version: Version
    deployed: Any = field(default_factory=lambda: SimpleNamespace(number=1))
    settled: bool = True
    before: Version | None = None

    def upgrade(self, path: Path, automatic_return: bool) -> Mapping[str, str]:
        version = read_version(path, self.version)
        handover = Handover.of(self.version.origins, version)
        handover.check(automatic_return)
        self.before = self.version
        return self._put(version, handover)

    def go_back(self) -> Mapping[str, str]:
        if self.before is None:
            raise Refused(*NOTHING_BEFORE)
        version, self.before = self.before, None
        return self._put(version, Handover.back(self.version, version))

    def _put(self, version: Version, handover: Handover) -> Mapping[str, str]:
        self.version, self.host.programs = version, version.programs
        self.deployed.number += 1
        return handover.fields()


def envoy(folder: Path, _: pytest.MonkeyPatch) -> Given:
    first, second = two(folder, ELEMENT)
    attached = chain(first)
    control = cast(Control, Module(attached.programs[0]))
    host = EnvoyHost(control, attached.binding, {})
    host.upgrades = cast(Any, Versions(host, attached.now.version))
    return Given(Operated("rpc", "shop", host), rpc.Details, second)


@dataclass
class Kernel:
    """Stands in for `cpu.run.Place`."""

    words: dict[str, list[int]] = field(default_factory=lambda: {"limit": [5]})
    carrier: str = "this kernel, 9.9"

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = {"fields": self.words, "partial": False, "longest_wait_s": 0.5}
        return {**found, "counts": [], "applications": [], "events": {"SCX_EV_X": 3}}

    def set(self, field: str, words: Sequence[int]) -> list[int]:
        before, self.words[field] = self.words[field], list(words)
        return before

    def record(self, program: Program, sources: Mapping[str, str], path: Path, name: str) -> None:
        with path.open("x"):
            pass

    def end_record(self) -> Trailer:
        return Trailer(3, 0, {})

    def upgrade(self, program: Program, **_: object) -> dict[str, str]:
        return dict.fromkeys(self.words, "keep")


def scheduler(folder: Path, _: pytest.MonkeyPatch) -> Given:
    first, second = two(folder, SCHEDULER)
    host = cpu.CpuHost(*cpu.read(first), cast(Any, Kernel()))
    return Given(Operated("cpu", "shop", host), cpu.Details, second, cpu.UpgradeDetails)


def probes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Given:
    first, second = two(folder, PROBE)
    host, _ = watched(monkeypatch, programs=of_file(first))
    monkeypatch.setattr(memory, "LogRecorder", Rounds)
    monkeypatch.setattr(memory, "notes_of", lambda *_: {})
    return Given(Operated("memory", "shop", host), memory.Details, second)


class Rounds:
    """Stands in for `LogRecorder`."""

    def __init__(self, machine: object, path: Path, notes: object) -> None:
        with path.open("x"):
            pass

    def close(self) -> Trailer:
        return Trailer(0, 0, {})


EVERY: Mapping[str, Callable[[Path, pytest.MonkeyPatch], Given]] = {
    "llm": gateway,
    "rpc in grpcio": grpcio,
    "rpc in Envoy": envoy,
    "cpu": scheduler,
    "memory": probes,
}
