# SPDX-License-Identifier: Apache-2.0
"""What a chain in Envoy does for its operator."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from transect.base.unavailable import Unavailable
from transect.control.answers import Told
from transect.control.host import NOTHING_BEFORE, Outcome, Records, Trailer
from transect.control.params import Param
from transect.control.protocol import Refused
from transect.core.ir import Program
from transect.core.schema import schema
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.status import Addresses, told
from transect.rpc.envoy.config import Module
from transect.rpc.envoy.control import Control, answering
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
        control: Control,
        binding: Binding,
        sources: Mapping[str, str],
        carrier: str = "Envoy",
        where: Addresses | None = None,
        deployed: Deployed | None = None,
        version: Version | None = None,
    ) -> None:
        self.control = control
        self.binding = binding
        self.programs: Sequence[Program] = [element.program for element in binding.elements]
        self.sources = sources
        self.carrier = carrier
        self.where = where
        self.under_way: Recording | None = None
        self.upgrades: Upgrades[Module] | None = (
            None
            if deployed is None or version is None
            else Upgrades(deployed, version, partial(self._take, deployed))
        )

    def _take(self, deployed: Deployed) -> None:
        """Another version is in force now."""
        assert self.upgrades is not None, "who upgrades calls this"
        self.control, self.binding = deployed.control, deployed.binding
        self.programs = [element.program for element in self.binding.elements]
        self.sources = {**self.sources, **self.upgrades.version.sources}

    @property
    def version(self) -> int:
        return 1 if self.upgrades is None else self.upgrades.deployed.number

    @property
    def recording(self) -> Path | None:
        return None if self.under_way is None else self.under_way.path

    @answering()
    def told(self) -> Told:
        control, programs = self.control, self.programs  # an upgrade may happen meanwhile
        counted = control.status()
        images = [control.save(index) for index in range(len(programs))]
        settled = self.upgrades is None or self.upgrades.settled
        return told(self.carrier, programs, images, counted, settled=settled, where=self.where)

    @answering()
    def state(self) -> list[Element]:
        """The elements that run, each with its schema and the image of this moment (base64)."""
        images = [self.control.save(index) for index in range(len(self.programs))]
        return [
            {"name": p.name, "schema": schema(p).to_json(), "image": b64encode(image).decode()}
            for p, image in zip(self.programs, images, strict=True)
        ]

    @answering()
    def change(self, param: Param, value: object) -> object:
        return param.swapped(self.control.change, value)

    @answering()
    def record(self, path: Path, name: str) -> int:
        recording = Recording(path, name, self.binding, self.sources)
        under_way = recording.join(self.control)
        self.under_way = recording
        return under_way

    @answering()
    def end_record(self) -> Trailer:
        assert self.under_way is not None, "nothing is recorded"
        recording, ended = self.under_way, self.control.stop_recording()
        self.under_way = None  # even if closing the log fails
        return recording.end(*ended)

    @answering()
    def upgrade(self, path: Path, automatic_return: bool) -> Outcome:
        if self.upgrades is None:
            raise Unavailable("upgrade", "this Envoy was started without it", "restart: transect rpc run")
        if self.under_way is not None:
            raise Records
        return Outcome(self.upgrades.upgrade(path, automatic_return))

    @answering()
    def go_back(self) -> Outcome:
        if self.upgrades is None:
            raise Refused(*NOTHING_BEFORE)
        if self.under_way is not None:
            raise Records
        return Outcome(self.upgrades.go_back())
