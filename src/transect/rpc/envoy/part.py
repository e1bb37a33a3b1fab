# SPDX-License-Identifier: Apache-2.0
"""A chain in Envoy as one of several processors of an edge: what `rpc/versions/edge.py` asks of it.

Both versions are loaded in one Envoy, each as a module.  Whichever of them is in a worker's filter chain when an RPC
comes, the RPC goes to the version that its header names (runtime/envoy_edge.c): nothing depends on when workers change.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transect.control.host import Records
from transect.control.operating import check_whole
from transect.control.protocol import Refused
from transect.rpc.envoy.config import Module
from transect.rpc.envoy.control import Control, ControlError, EnvoyCopy, answering
from transect.rpc.envoy.host import EnvoyHost
from transect.rpc.envoy.upgrading import Ready, Upgrades
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

NOBODY = "-"  # a name that no RPC uses


@dataclass(frozen=True)
class Named:
    """A version, by the name that RPCs use."""

    name: str
    module: Module

    @property
    def control(self) -> Control:
        return Control(Path(self.module.settings.control))


@dataclass(frozen=True)
class Waiting:
    """A version that waits to be put in force."""

    named: Named
    ready: Ready[Module]
    came: list[Came]


@dataclass
class EnvoyPart:
    """One processor."""

    host: EnvoyHost
    name: str = ""  # of the version in force; "": nobody has asked for one yet
    stamps: bool = False  # it is the first processor, which gives RPCs the name of a version
    staged: Waiting | None = None
    # versions that will not be in force; Envoy may still have one loaded
    dropped: list[Named] = field(default_factory=list)
    handover: Handover | None = None  # the one with which the version in force came
    came: list[Came] = field(default_factory=list)  # what came from other processors with that version
    kept: dict[str, Control] = field(default_factory=dict)  # older versions, by name

    def verbs(self) -> dict[str, Callable[..., Any]]:
        """For `control.server.Server`."""
        return {name: self._locked(verb) for name, verb in verbs_of_part(self).items()}

    def _locked(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(verb)
        def asked(**arguments: Any) -> Any:
            with self.upgrades.changing, answering():
                return verb(**arguments)

        return asked

    @property
    def upgrades(self) -> Upgrades[Module]:
        assert self.host.upgrades is not None, "it was started with them"
        return self.host.upgrades

    @property
    def _now(self) -> Named:
        return Named(self.name, self.upgrades.deployed.module)

    def _table(self, own: str, yields: bool, *others: Named) -> str:
        """What a module is told; `yields`: RPCs that name no version go to the first of the others."""
        fields = [own, str(int(self.stamps)), str(int(yields))]
        for other in others:
            fields += [other.name, str(other.module.library), other.module.settings.control]
        assert not any("\t" in text or "\n" in text for text in fields), fields
        return "\t".join(fields)

    def _tell(self, now: Named, *others: Named) -> None:
        """Tell every module to which Envoy may give an RPC: `now` takes those that name no version."""
        now.control.edge(self._table(now.name, False, *others))
        for other in others:
            told = [now, *(one for one in others if one is not other)]
            other.control.edge(self._table(other.name, True, *told))
        self.dropped = [one for one in self.dropped if self._hands_on(one, now, *others)]

    def _hands_on(self, dropped: Named, *versions: Named) -> bool:
        """Whether a dropped version is still loaded; if so, it now passes all RPCs on to the other versions."""
        try:
            dropped.control.edge(self._table(NOBODY, True, *versions))
        except ControlError:
            if dropped.control.path.exists():
                raise
            return False  # its last stream has ended, and another version is in its place
        return True

    # ------------------------------------------------------------ verbs: `processor.Part`

    def named(self) -> InForce:
        ready = "" if self.staged is None else self.staged.named.name
        return {
            "version": self.name,
            "stamps": self.stamps,
            "staged": ready,
            "kept": list(self.kept),
            "came": self.came,
        }

    def join(self, version: str, stamps: bool) -> None:
        check_name(version, self.kept)
        self.drop()  # a version that was prepared continues under another name
        self.name, self.stamps = version, stamps
        self.upgrades.joined = True
        self._tell(self._now)

    def state(self) -> list[Element]:
        return self.host.state()

    def stage(self, version: str, path: str, incoming: Sequence[Incoming]) -> Staged:
        check_whole(path)
        check_name(version, {self.name, *self.kept})
        if self.host.under_way is not None:
            raise Records
        self.drop()  # remains of an earlier change whose requester did not wait for its end
        now = self._now
        read = read_version(Path(path), self.upgrades.version)
        own = self.upgrades.version.origins
        handover, image = from_elsewhere(own, read, incoming, now.control.save)
        ready = self.upgrades.ready(read, handover, image, self._table(version, True, now))
        here = {origin: base for origin, base in ready.bases.items() if origin < len(own)}
        ready = replace(ready, bases=here)  # what happens elsewhere is merged by the caller
        made = Named(version, ready.module)
        self.staged = Waiting(made, ready, came(handover, len(own), incoming))
        self._tell(now, made)
        return staged(handover, len(own))

    def drop(self) -> None:
        """Drop the prepared version: it stays loaded until the next one comes, and passes all RPCs on."""
        if self.staged is None:
            return
        self.dropped.append(self.staged.named)
        self.staged = None
        self._tell(self._now)

    def commit(self, version: str) -> None:
        if self.staged is None or self.staged.named.name != version:
            raise Refused(f"no version {version} is staged", "stage it first")
        staged, old = self.staged, self._now
        self._tell(staged.named, old)
        self.staged = None
        self.kept[old.name] = old.control
        self.name, self.handover, self.came = version, staged.ready.handover, staged.came
        self.upgrades.put(staged.ready, lambda: old.name in self.kept)

    def images(self, version: str) -> Images:
        old = EnvoyCopy(older(self.kept, version))
        under_way = old.open()  # asked first: the effects of RPCs that have ended by then are seen below
        images = [packed(old.save(index)) for index in range(self._elements(old.control))]
        return {"images": images, "open": under_way, "settled": self.upgrades.settled}

    @staticmethod
    def _elements(control: Control) -> int:
        return len(control.description()["elements"])

    def merge(self, element: int, base: str, theirs: str) -> None:
        merge(self.handover, self.came, element, EnvoyCopy(self._now.control), base, theirs)

    def end(self, version: str) -> None:
        if version in self.kept:
            self._tell(self._now)
            del self.kept[version]
            if not self.kept:
                self.came = []
