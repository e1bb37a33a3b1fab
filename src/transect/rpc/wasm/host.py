# SPDX-License-Identifier: Apache-2.0
"""What a chain that runs as a plugin does for its operator.  What it cannot do, it refuses with the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transect.control.answers import Told
from transect.control.host import Outcome, Records, Trailer
from transect.control.params import Param
from transect.control.protocol import Refused
from transect.core.ir import Program
from transect.rpc.chain.status import Addresses, told
from transect.rpc.envoy.control import answering
from transect.rpc.envoy.upgrading import Upgrades
from transect.rpc.versions.processor import refused_to
from transect.rpc.versions.upgrade import Version
from transect.rpc.wasm.config import Plugin
from transect.rpc.wasm.deploy import DeployedPlugin

AGAIN = "stop it, and start it with that"
END_OF_RECORDING = "stop it, and start it without `--record`"


class PluginHost:
    """A running Envoy's plugin, as `control.host.Host` wants it."""

    def __init__(
        self,
        running: DeployedPlugin,
        version: Version,
        where: Addresses | None = None,
        record: Path | None = None,
    ) -> None:
        """`record`: the log that is written when the plugin ends."""
        self.running = running
        self.upgrades: Upgrades[Plugin] = Upgrades(running, version, lambda: None)
        self.where = where
        self.recording = record

    @property
    def programs(self) -> Sequence[Program]:
        return [element.program for element in self.running.binding.elements]

    @property
    def version(self) -> int:
        return self.running.number

    def verbs(self, name: str) -> dict[str, Callable[..., Any]]:
        """The verbs for processors of an edge, each of them refused: a plugin is none.  For `control.server.Server`."""
        return refused_to(f"{name} is a WASM plugin", "run it as native code in Envoy; or upgrade it alone")

    @answering()
    def told(self) -> Told:
        try:
            counted = self.running.told.counters()
        except OSError as wrong:
            raise Refused(f"Envoy does not answer: {wrong}") from wrong
        programs = self.programs
        return told(
            f"WASM in Envoy {self.running.binary.version}",
            programs,
            [self.upgrades.now.save(index) for index in range(len(programs))],
            counted,
            settled=self.upgrades.settled,
            runs_as="WASM",
            where=self.where,
        )

    @answering()
    def change(self, param: Param, value: object) -> object:
        if self.recording is not None:
            raise Refused(
                "it records, and a log does not say what is set", f"write it into the chain file; {AGAIN}"
            )
        return param.swapped(self.upgrades.now.swap, value)

    def record(self, path: Path, name: str) -> int:
        raise Refused("a WASM plugin records from its start or not at all", f"`--record {path}`: {AGAIN}")

    def end_record(self) -> Trailer:
        raise Refused("a WASM plugin records until it ends", END_OF_RECORDING)

    @answering()
    def upgrade(self, path: Path, automatic_return: bool) -> Outcome:
        if self.recording is not None:
            raise Records
        return Outcome(self.upgrades.upgrade(path, automatic_return))

    @answering()
    def go_back(self) -> Outcome:
        if self.recording is not None:
            raise Records
        return Outcome(self.upgrades.go_back())
