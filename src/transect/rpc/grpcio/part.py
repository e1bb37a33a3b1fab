# SPDX-License-Identifier: Apache-2.0
"""An attached chain as one of several processors of an edge: the verbs that `rpc/versions/edge.py` calls.

Every processor stages a new version before the first processor names that version to those behind it.  Both versions
stay until the last RPC of the old one has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transect.control.host import Records
from transect.control.operating import check_whole
from transect.control.protocol import Refused
from transect.core.schema import schema
from transect.rpc.grpcio.attached import Attached
from transect.rpc.grpcio.handle import Carried
from transect.rpc.grpcio.standing import Standing
from transect.rpc.grpcio.yielding import yielding
from transect.rpc.versions.processor import (
    Came,
    Element,
    Images,
    Incoming,
    InForce,
    Staged,
    came,
    check_name,
    from_elsewhere,
    merge,
    older,
    packed,
    staged,
    verbs_of_part,
)
from transect.rpc.versions.upgrade import Handover, read_version


@dataclass(frozen=True)
class Ready:
    """A version that waits to be put in force."""

    name: str
    standing: Standing
    handover: Handover
    bases: Mapping[int, bytes]
    came: list[Came]


@dataclass
class Part:
    """One processor."""

    chain: Attached
    stamps: bool = False  # this is the first processor, which names the version
    staged: Ready | None = None
    handover: Handover | None = None  # to the version in force, from the one before it
    came: list[Came] = field(default_factory=list)  # elements from other processors, with that version
    kept: dict[str, Standing] = field(default_factory=dict)  # older versions, by name

    def verbs(self) -> dict[str, Callable[..., Any]]:
        """For `control.server.Server`."""
        return verbs_of_part(self)

    # ------------------------------------------------------------ verbs: `processor.Part`

    def named(self) -> InForce:
        name = self._carried(self.chain.now).version if self.chain.joined else ""
        ready = "" if self.staged is None else self.staged.name
        return {
            "version": name,
            "stamps": self.stamps,
            "staged": ready,
            "kept": list(self.kept),
            "came": self.came,
        }

    def join(self, version: str, stamps: bool) -> None:
        check_name(version, self.kept)
        with self.chain.changing:
            self.stamps, self.chain.joined, self.staged = stamps, True, None
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
        followed = () if self.stamps else (self.chain.now, *others)  # the first processor is told none
        self.chain.versions.follow(*map(self._carried, followed))

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

    def stage(self, version: str, path: str, incoming: Sequence[Incoming]) -> Staged:
        check_whole(path)
        with self.chain.changing, yielding():
            check_name(version, {self._carried(self.chain.now).version, *self.kept})
            if self.chain.recording is not None:
                raise Records
            read = read_version(Path(path), self.chain.now.version)
            own = self.chain.now.version.origins
            handover, image = from_elsewhere(own, read, incoming, self.chain.now.save)
            standing, bases = self.chain.ready(read, handover, image)
            here = {origin: base for origin, base in bases.items() if origin < len(own)}
            named, strangers = self._named(standing, version), came(handover, len(own), incoming)
            self.staged = Ready(version, named, handover, here, strangers)
            self._follow(self.staged.standing)
            return staged(handover, len(own))

    def drop(self) -> None:
        with self.chain.changing:
            self.staged = None
            self._follow()

    def commit(self, version: str) -> None:
        with self.chain.changing:
            ready = self.staged
            if ready is None or ready.name != version:
                raise Refused(f"no version {version} is staged", "stage it first")
            old, self.staged = self.chain.now, None
            self.kept[self._carried(old).version] = old
            self.handover, self.came = ready.handover, ready.came
            self.chain.put(ready.standing, ready.handover, ready.bases)
            self._follow(old)

    def images(self, version: str) -> Images:
        with self.chain.changing:
            old = older(self.kept, version)
            images = [packed(old.save(index)) for index in range(len(old.elements))]
            return {"images": images, "open": old.open(), "settled": self.chain.settled}

    def merge(self, element: int, base: str, theirs: str) -> None:
        with self.chain.changing:
            merge(self.handover, self.came, element, self.chain.now, base, theirs)

    def end(self, version: str) -> None:
        with self.chain.changing:
            self.kept.pop(version, None)
            if not self.kept:
                self.came = []
            self._follow()
