# SPDX-License-Identifier: Apache-2.0
"""What a stack does for its operator: the verbs of its parts, under one name and as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from transect.control import Client
from transect.control.answers import Status, Told
from transect.control.client import Recording
from transect.control.host import Outcome, Records
from transect.control.params import Param
from transect.control.protocol import Refused
from transect.core.ir import Program
from transect.core.param_text import parse_value, show_value
from transect.stack.process import Process, State
from transect.stack.running import Running
from transect.stack.upgrading import Upgrade, read_next


class PartRow(TypedDict):
    """One part of a stack."""

    part: str
    kind: str
    """The word of the stack file: `Front`, `Gateway` …"""
    state: str
    """`begins`, `ready`, `gone` (until it begins again), `ended`."""
    pid: int | None
    restarts: int
    """How often it was restarted."""
    carrier: str
    """What runs its policies."""
    layers: list[str]
    """The names of its layers in `shares`; empty if it does not share among tenants, or does not answer."""


class Details(TypedDict):
    """`details` of `transect status`."""

    parts: list[PartRow]
    """In the order in which they start."""
    tenants: Mapping[str, int]
    """Weights in percent of an ordinary share."""


class UpgradeDetails(TypedDict):
    """`details` of `transect upgrade`."""

    parts: Mapping[str, str]
    """What happened to each: `same`, `upgraded`, `begun anew`, `new`, `gone`."""


@dataclass(frozen=True, slots=True)
class Written:
    """What is known of the logs of a recording."""

    records: int
    dropped: int


class StackHost:
    """A stack, as `control.host.Host` wants it: its policies are called by their parts, `front.Acl`."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.version = 1
        self.recording: Path | None = None
        self._recordings: list[Recording] = []
        self._open = ExitStack()

    @property
    def _policies(self) -> list[tuple[str, str, Program]]:
        """For each policy, the stratum and instance by which it is reached, and its program, named by its part."""
        return [
            (part.stratum, instance, replace(program, name=f"{part.name}.{program.name}"))
            for part in self.running.stack.parts
            for instance, program in part.programs
        ]

    @property
    def programs(self) -> Sequence[Program]:
        return [program for _, _, program in self._policies]

    # ------------------------------------------------------------ status

    def told(self) -> Told:
        processes = list(self.running.processes)
        told = [(process, process.layers(self._others(process))) for process in processes]
        answered = [(p.part.name, status) for p, found in told for status in found.values() if p.part.stratum]
        ready = all(process.state is State.READY for process, _ in told)
        details: Details = {
            "parts": [self._row(process, found) for process, found in told],
            "tenants": self.running.weights(),
        }
        return {
            "carrier": "processes",
            "settled": ready and all(status["settled"] for _, status in answered),
            "policies": [
                {**row, "name": f"{part}.{row['name']}"}
                for part, status in answered
                for row in status["policies"]
            ],
            "state": [
                {**row, "element": f"{part}.{row['element']}"}
                for part, status in answered
                for row in status["state"]
            ],
            "counters": {
                f"{part}.{name}": count
                for part, status in answered
                for name, count in status["counters"].items()
            },
            "shares": [
                {**row, "layer": self._layer(name)}
                for _, found in told
                for name, status in found.items()
                for row in status.get("shares", ())
            ],
            "details": details,
        }

    def _layer(self, instance: str) -> str:
        return instance.removeprefix(f"{self.running.stack.name}.")

    def _row(self, process: Process, layers: Mapping[str, Status]) -> PartRow:
        return {
            "part": process.part.name,
            "kind": process.part.kind,
            "state": process.state.value,
            "pid": process.pid,
            "restarts": max(process.restarts, 0),
            "carrier": ", ".join(sorted({status["carrier"] for status in layers.values()})),
            "layers": [self._layer(name) for name, status in layers.items() if "shares" in status],
        }

    # ------------------------------------------------------------ set

    def change(self, param: Param, value: object) -> object:
        stratum, instance, named = self._policies[param.element]
        name = f"{named.name.partition('.')[2]}.{param.field.name}"
        changed = Client(stratum, instance).set(name, show_value(value, param.field.type))
        return parse_value(changed["before"], param.field.type)

    # ------------------------------------------------------------ record

    def record(self, path: Path, name: str) -> int:
        """Record into a folder, with a log for each instance."""
        path.mkdir()
        with ExitStack() as opened:
            begun = [
                opened.enter_context(client.recording(path / f"{client.name}.log"))
                for client in self._clients()
            ]
            self._open = opened.pop_all()
        self._recordings, self.recording = begun, path
        return sum(one.started["under_way"] for one in begun)

    def end_record(self) -> Written:
        self.recording = None
        with self._open:
            ended = [one.end() for one in self._recordings]
        return Written(sum(one["records"] for one in ended), sum(one["dropped"] for one in ended))

    def _clients(self) -> list[Client]:
        processes = list(self.running.processes)
        return [Client(*pair) for process in processes for pair in process.listening(self._others(process))]

    def _others(self, process: Process) -> set[str]:
        """Names of other programs."""
        return {other.part.called for other in self.running.processes} - {process.part.called}

    # ------------------------------------------------------------ upgrade

    def upgrade(self, path: Path, automatic_return: bool) -> Outcome:
        if self.recording is not None:
            raise Records
        upgrade = Upgrade(self.running, read_next(path, self.running.stack.name), automatic_return)
        details: UpgradeDetails = {"parts": upgrade.run()}
        self.version += 1
        return Outcome(upgrade.fields, details)

    def go_back(self) -> Outcome:
        raise Refused(
            "a stack goes back part by part", "put the version that you want in force: `upgrade FILE`"
        )
