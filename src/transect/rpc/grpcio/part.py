# SPDX-License-Identifier: Apache-2.0
"""An attached chain as one of several processors of an edge: what `rpc/versions/edge.py` asks of it.

A new version is staged at every processor before the first one names it to those behind it; both versions stand until
the last RPC of the old one has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transect.control.host import Records
from transect.control.protocol import Refused
from transect.core.schema import schema
from transect.rpc.grpcio.attached import Attached
from transect.rpc.grpcio.handle import Carried
from transect.rpc.grpcio.standing import Standing
from transect.rpc.grpcio.yielding import yielding
from transect.rpc.versions.processor import (
    Element,
    check_name,
    from_elsewhere,
    merge,
    older,
    packed,
    taken,
    verbs_of_part,
)
from transect.rpc.versions.upgrade import Handover, read_version


@dataclass(frozen=True)
class Staged:
    """A version that waits to be put in force."""

    name: str
    standing: Standing
    handover: Handover
    bases: Mapping[int, bytes]


@dataclass
class Part:
    """One processor."""

    chain: Attached
    stamps: bool = False  # it is the first: it names the version
    staged: Staged | None = None
    handover: Handover | None = None  # that which the version in force came by
    kept: dict[str, Standing] = field(default_factory=dict)  # older versions, by name

    def verbs(self) -> dict[str, Callable[..., Any]]:
        """For `control.server.Server`."""
        return verbs_of_part(self)

    # ------------------------------------------------------------ verbs: `several.Part`

    def named(self) -> dict[str, Any]:
        name = self._carried(self.chain.now).version if self.chain.joined else ""
        return {"version": name, "stamps": self.stamps}

    def join(self, version: str, stamps: bool) -> None:
        check_name(version, self.kept)
        with self.chain.changing:
            self.stamps, self.chain.joined = stamps, True
            self.chain.now = self._named(self.chain.now, version)
            self.chain.versions.put(self._carried(self.chain.now))
            self._follow()

    def _named(self, standing: Standing, version: str) -> Standing:
        named = replace(self._carried(standing), version=version, stamps=self.stamps)
        return replace(standing, carried=lambda: named)

    @staticmethod
    def _carried(standing: Standing) -> Carried:
        carried = standing.carried()
        assert carried is not None, "it takes RPCs"
        return carried

    def _follow(self, *others: Standing) -> None:
        if not self.stamps:
            self.chain.versions.follow(*map(self._carried, (self.chain.now, *others)))

    def state(self) -> list[Element]:
        now = self.chain.now
        return [
            {
                "name": program.name,
                "schema": schema(program).to_json(),
                "image": packed(now.save(index)),
            }
            for index, program in enumerate(now.version.programs)
        ]

    def stage(self, version: str, path: str, incoming: Sequence[Element]) -> dict[str, Any]:
        with self.chain.changing, yielding():
            check_name(version, {self._carried(self.chain.now).version, *self.kept})
            if self.chain.recording is not None:
                raise Records
            read = read_version(Path(path), self.chain.now.version)
            own = self.chain.now.version.origins
            handover, image = from_elsewhere(own, read, incoming, self.chain.now.save)
            standing, bases = self.chain.ready(read, handover, image)
            here = {origin: base for origin, base in bases.items() if origin < len(own)}
            self.staged = Staged(version, self._named(standing, version), handover, here)
            self._follow(self.staged.standing)
            return {"taken": taken(handover, len(own)), "fields": handover.fields()}

    def drop(self) -> None:
        with self.chain.changing:
            self.staged = None
            self._follow()

    def commit(self, version: str) -> None:
        with self.chain.changing:
            staged, self.staged = self.staged, None
            if staged is None or staged.name != version:
                raise Refused(f"no version {version} is staged", "stage it first")
            old = self.chain.now
            held = self._carried(old)
            self.kept[held.version] = old
            self.handover = staged.handover
            self.chain.put(staged.standing, staged.handover, staged.bases)
            self._follow(old)

    def images(self, version: str) -> dict[str, Any]:
        with self.chain.changing:
            old = older(self.kept, version)
            images = [packed(old.save(index)) for index in range(len(old.elements))]
            return {"images": images, "open": old.open(), "settled": self.chain.settled}

    def merge(self, element: int, base: str, theirs: str) -> None:
        with self.chain.changing:
            merge(self.handover, element, self.chain.now, base, theirs)

    def end(self, version: str) -> None:
        with self.chain.changing:
            self.kept.pop(version, None)
            self._follow()
