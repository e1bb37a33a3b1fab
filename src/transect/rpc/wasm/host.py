# SPDX-License-Identifier: Apache-2.0
"""What the operator may ask of a chain that runs as a plugin.  What cannot be asked of it is refused by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from transect.control import params
from transect.control.protocol import Refused
from transect.control.readings import readings
from transect.core.ir import Program
from transect.rpc.chain.metrics import causes, counters, rows
from transect.rpc.chain.times import latencies
from transect.rpc.envoy.control import ControlError
from transect.rpc.envoy.upgrading import Upgrades
from transect.rpc.versions.processor import refused_to
from transect.rpc.versions.upgrade import Version
from transect.rpc.wasm.config import Plugin
from transect.rpc.wasm.deploy import DeployedPlugin

AGAIN = "stop it, and start it with that"


class PluginHost:
    """A running Envoy's plugin, as `control.host.Host` wants it."""

    def __init__(
        self, name: str, running: DeployedPlugin, version: Version, about: Mapping[str, str], record: str
    ) -> None:
        self.name = name
        self.running = running
        self.upgrades: Upgrades[Plugin] = Upgrades(running, version, lambda: None)
        self.about = about  # carrier, address, upstream: for `status`
        self.record = record  # path of the log that is written when it ends; "" none
        self.since = time.time()

    @property
    def programs(self) -> list[Program]:
        return [element.program for element in self.running.binding.elements]

    def verbs(self) -> dict[str, Callable[..., Any]]:
        """What processors of an edge are asked, which a plugin is not: for `control.server.Server`."""
        return refused_to(
            f"{self.name} is a WASM plugin", "run it as native code in Envoy; or upgrade it alone"
        )

    def status(self) -> Mapping[str, Any]:
        try:
            found = self.running.told.counters()
        except OSError as wrong:
            raise Refused(f"Envoy does not answer: {wrong}") from wrong
        programs = self.programs
        images = [self._asked(partial(self.upgrades.now.save, i)) for i in range(len(programs))]
        return {
            **self.about,
            "name": self.name,
            "since": self.since,
            "policies": rows(programs, found, map(len, images)),
            "state": readings(programs, images),
            "latency": latencies([p.name for p in programs], found),
            "version": self.running.number,
            "settled": self.upgrades.settled,
            "counters": counters(found),
            "causes": causes(found),
            "recording": self.record or None,
        }

    def set(self, param: str, value: str) -> Mapping[str, Any]:
        if self.record:
            raise Refused(
                "it records, and a log does not say what is set", f"write it into the chain file; {AGAIN}"
            )
        found = params.find(self.programs, param)
        after = found.parse(value)
        before: list[object] = []
        self._asked(lambda: self.upgrades.now.swap(found.element, found.put(after, before.append)))
        return found.changed(before[0], after)

    def record_start(self, path: str) -> Mapping[str, Any]:
        raise Refused("a WASM plugin records from its start or not at all", f"`--record {path}`: {AGAIN}")

    def record_stop(self) -> Mapping[str, Any]:
        raise Refused("a WASM plugin records until it ends", "stop it")

    def upgrade(self, path: str, automatic_return: bool = True) -> Mapping[str, Any]:
        if self.record:
            raise Refused(
                "it records, and a log is of one version", "stop it, and start it without `--record`"
            )
        before = self.running.number
        fields = self._asked(lambda: self.upgrades.upgrade(Path(path), automatic_return))
        return {"before": before, "version": self.running.number, "fields": fields}

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except ControlError as wrong:
            raise Refused(str(wrong)) from wrong
