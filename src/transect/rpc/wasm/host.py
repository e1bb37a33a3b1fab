# SPDX-License-Identifier: Apache-2.0
"""What the operator may ask of a chain that runs as a plugin.  A plugin has no socket: it says by itself what it has
done, and what cannot be asked of it is refused by name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from transect.base.unavailable import Unavailable
from transect.control.protocol import Refused
from transect.rpc.envoy.host import CAUSES, COUNTERS
from transect.rpc.metrics import rows
from transect.rpc.times import latencies
from transect.rpc.wasm.deploy import DeployedPlugin

AGAIN = "stop it, and start it with that"


class PluginHost:
    """A running Envoy's plugin, as `control.host.Host` wants it."""

    def __init__(self, name: str, running: DeployedPlugin, about: Mapping[str, str], record: str) -> None:
        self.name = name
        self.running = running
        self.about = about  # carrier, address, upstream: for `status`
        self.record = record  # path of the log that is written when it ends; "" none
        self.since = time.time()

    def status(self) -> Mapping[str, Any]:
        try:
            found = self.running.told.counters()
        except OSError as wrong:
            raise Refused(f"Envoy does not answer: {wrong}") from wrong
        programs = [element.program for element in self.running.binding.elements]
        return {
            **self.about,
            "name": self.name,
            "since": self.since,
            "policies": rows(programs, found, [None] * len(programs)),
            "latency": latencies([p.name for p in programs], found),
            "version": 1,
            "counters": {name: found.get(name, 0) for name in COUNTERS},
            "causes": dict(zip(CAUSES, found["causes"], strict=True)),
            "recording": self.record or None,
        }

    def set(self, param: str, value: str) -> Mapping[str, Any]:
        raise Refused(
            f"a WASM plugin takes no `{param}` while it runs", f"write it into the chain file; {AGAIN}"
        )

    def record_start(self, path: str) -> Mapping[str, Any]:
        raise Refused("a WASM plugin records from its start or not at all", f"`--record {path}`: {AGAIN}")

    def record_stop(self) -> Mapping[str, Any]:
        raise Refused("a WASM plugin records until it ends", "stop it")

    def upgrade(self, path: str, automatic_return: bool = True) -> Mapping[str, Any]:
        raise Unavailable("upgrade of a WASM plugin", "it keeps no state across versions", f"{path}: {AGAIN}")
