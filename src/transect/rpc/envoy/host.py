# SPDX-License-Identifier: Apache-2.0
"""What the operator may ask of a chain in Envoy: `status`, `set`, `record`."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transect.base.unavailable import Unavailable
from transect.control import params
from transect.control.protocol import Refused
from transect.control.readings import readings
from transect.core.schema import schema
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.metrics import causes, counters, rows
from transect.rpc.chain.times import latencies
from transect.rpc.envoy.config import Module
from transect.rpc.envoy.control import Control, ControlError
from transect.rpc.envoy.recording import Recording
from transect.rpc.envoy.upgrading import Upgrades
from transect.rpc.versions.processor import Element
from transect.rpc.versions.upgrade import Version

if TYPE_CHECKING:
    from transect.rpc.envoy.deploy import Deployed


class EnvoyHost:
    """A running Envoy's chain, as `control.host.Host` wants it."""

    def __init__(
        self,
        name: str,
        control: Control,
        binding: Binding,
        sources: Mapping[str, str],
        about: Mapping[str, str],
        deployed: Deployed | None = None,
        version: Version | None = None,
    ) -> None:
        self.name = name
        self.control = control
        self.binding = binding
        self.programs = [element.program for element in binding.elements]
        self.sources = sources
        self.about = about  # carrier, address, upstream: for `status`
        self.since = time.time()
        self.recording: Recording | None = None
        self.upgrades: Upgrades[Module] | None = (
            None
            if deployed is None or version is None
            else Upgrades(deployed, version, partial(self._take, deployed))
        )

    def _take(self, deployed: Deployed) -> None:
        """Another version is in force."""
        assert self.upgrades is not None, "who upgrades calls this"
        self.control, self.binding = deployed.control, deployed.binding
        self.programs = [element.program for element in self.binding.elements]
        self.sources = {**self.sources, **self.upgrades.version.sources}

    def status(self) -> Mapping[str, Any]:
        control, programs = self.control, self.programs  # an upgrade may come meanwhile
        found = self._asked(control.status)
        images = [self._asked(partial(control.save, i)) for i in range(len(programs))]
        return {
            **self.about,
            "name": self.name,
            "since": self.since,
            "policies": rows(programs, found, map(len, images)),
            "state": readings(programs, images),
            "latency": latencies([program.name for program in programs], found),
            "version": 1 if self.upgrades is None else self.upgrades.deployed.number,
            "settled": self.upgrades is None or self.upgrades.settled,
            "counters": counters(found),
            "causes": causes(found),
            "recording": None if self.recording is None else str(self.recording.path),
        }

    def state(self) -> list[Element]:
        """The elements that run, each with its schema and the image of this moment (base64)."""
        images = [self._asked(partial(self.control.save, index)) for index in range(len(self.programs))]
        return [
            {"name": p.name, "schema": schema(p).to_json(), "image": b64encode(image).decode()}
            for p, image in zip(self.programs, images, strict=True)
        ]

    def set(self, param: str, value: str) -> Mapping[str, Any]:
        found = params.find(self.programs, param)
        after = found.parse(value)
        before: list[object] = []
        self._asked(lambda: self.control.change(found.element, found.put(after, before.append)))
        return found.changed(before[0], after)

    def record_start(self, path: str) -> Mapping[str, Any]:
        if self.recording is not None:
            raise Refused(f"it records already, into {self.recording.path}", "stop that first")
        recording = Recording(Path(path), self.name, self.binding, self.sources)
        try:
            under_way = self._asked(lambda: recording.join(self.control))
        except FileExistsError:
            raise Refused(f"{path} is there already", "give a new name") from None
        except OSError as wrong:
            raise Refused(f"{path} cannot be written: {wrong.strerror}", "give another place") from wrong
        self.recording = recording
        return {"path": path, "under_way": under_way}

    def record_stop(self) -> Mapping[str, Any]:
        recording = self.recording
        if recording is None:
            raise Refused("nothing is recorded", "begin with `transect rpc record FILE`")
        trailer = self._asked(lambda: recording.end(self.control))
        self.recording = None
        return {"path": str(recording.path), "records": trailer.records, "dropped": trailer.dropped}

    def upgrade(self, path: str, automatic_return: bool = True) -> Mapping[str, Any]:
        if self.upgrades is None:
            raise Unavailable("upgrade", "this Envoy was started without it", "restart: transect rpc run")
        if self.recording is not None:
            raise Refused("it records, and a log is of one version", "stop the recording first")
        before = self.upgrades.deployed.number
        fields = self._asked(lambda: self.upgrades.upgrade(Path(path), automatic_return))
        return {"before": before, "version": self.upgrades.deployed.number, "fields": fields}

    def _asked(self, ask: Any) -> Any:
        try:
            return ask()
        except ControlError as wrong:
            raise Refused(str(wrong)) from wrong
