# SPDX-License-Identifier: Apache-2.0
"""Several processors that share the elements of one edge, and how another version comes to all of them at once.

    stage everywhere → the first processor names the new version → settle → the old version ends

Each RPC is for one version at all processors, because the first one names it in a header (`x-transect-version`), and
those behind have both versions until the last RPC of the old one has ended.  An element may move: its state goes with
it, and so does what old RPCs still do to it at its old place.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transect.base.unavailable import Unavailable
from transect.control.client import Client, ControlError
from transect.control.protocol import Refused

Ask = Callable[..., Any]
"""A processor: its verb and arguments, as `control.client.Client.ask` takes them."""

LOOK_S = 0.02
QUIET = 5  # looks in a row: a call that has read its version may not have begun yet
STAGE_S = 120.0  # for one processor to make a version ready: it compiles, and a machine may be busy
PATIENCE_S = 30.0  # for the RPCs of an old version
SILENT = (Unavailable, ControlError)  # a processor that is not there, or does not answer as it should


class Unfinished(Exception):
    """The new version is in force, but processors have gone meanwhile, and what they held of it with them."""

    def __init__(self, silent: Mapping[int, str]) -> None:
        super().__init__("; ".join(f"processor {index + 1}: {why}" for index, why in sorted(silent.items())))


@dataclass
class Moved:
    """An element that went from one processor to another."""

    source: int  # processor
    origin: int  # element there, in the old version
    target: int
    element: int
    base: str  # image of the old copy, as far as it has gone over


@dataclass
class Edge:
    """The processors of an edge, in the order in which a request passes them."""

    processors: Sequence[Ask]
    version: int = 1
    moved: list[Moved] = field(default_factory=list)
    silent: dict[int, str] = field(
        default_factory=dict
    )  # processors that went while versions changed, and how

    @classmethod
    def of(cls, names: Sequence[str]) -> Edge:
        """Running instances, which from now on change together; they may have done so before."""
        made = cls([Client("rpc", name, STAGE_S).ask for name in names])
        told = [ask("edge-named") for ask in made.processors]
        versions = [int(one["version"] or 0) for one in told]
        first = [index == 0 for index in range(len(names))]
        made.version = max(versions)
        if min(versions) != made.version or [one["stamps"] for one in told] != first:
            made.version += 1  # one of them has started anew, or stands elsewhere
            made.join()
        return made

    def join(self) -> None:
        """From now on RPCs name their version.  Those behind first: they must know what is named."""
        for index in reversed(range(len(self.processors))):
            self.processors[index]("edge-join", version=str(self.version), stamps=index == 0)

    def upgrade(
        self, files: Sequence[Path], waiting: Callable[[str], object] = lambda _: None
    ) -> dict[str, str]:
        """Put a chain file for each processor in force; what becomes of each field.

        Returns when the last RPC of the old version has ended, however long that takes; `waiting` is called with the
        old version when it takes longer than PATIENCE_S.

        Raises Refused, and the old version goes on everywhere, when one of them refuses, Unavailable or ControlError
        likewise when one is not there; Unfinished when one went after the new version was in force.
        """
        assert len(files) == len(self.processors), "one chain file for each processor"
        old, new = str(self.version), str(self.version + 1)
        states = [ask("edge-state") for ask in self.processors]
        moved, fields = self._staged(new, files, states)
        lost = self._lost(states, moved, files)
        if lost:
            self._drop()
            raise Refused(f"nothing continues {', '.join(lost)}", "let a processor have it")
        self._commit(new)
        self.version += 1
        self.moved = moved
        self._settle(old, waiting)
        return fields

    def _commit(self, version: str) -> None:
        """The first one decides: once it names the new version, there is no way back."""
        first, *behind = range(len(self.processors))
        try:
            self.processors[first]("edge-commit", version=version)
        except (*SILENT, Refused):
            self._drop()
            raise
        self.silent.clear()
        for index in behind:
            self._asked(index, "edge-commit", version=version)

    def _asked(self, index: int, verb: str, **arguments: Any) -> Any:
        """Its answer; None from a processor that has gone, which is noted."""
        if index in self.silent:
            return None
        try:
            return self.processors[index](verb, **arguments)
        except (*SILENT, Refused) as wrong:
            self.silent[index] = str(wrong)
            return None

    def _staged(
        self, version: str, files: Sequence[Path], states: Sequence[list[dict[str, Any]]]
    ) -> tuple[list[Moved], dict[str, str]]:
        moved: list[Moved] = []
        fields: dict[str, str] = {}
        for index in reversed(range(len(files))):
            others = [
                (source, origin, one)
                for source, state in enumerate(states)
                for origin, one in enumerate(state)
                if source != index
            ]
            incoming = [one for _, _, one in others]
            try:
                told = self.processors[index](
                    "edge-stage", version=version, path=str(files[index].absolute()), incoming=incoming
                )
            except (*SILENT, Refused):
                self._drop()
                raise
            for element, number in told["taken"].items():
                source, origin, one = others[number]
                moved.append(Moved(source, origin, index, int(element), one["image"]))
            fields |= told["fields"]
        return moved, {name: what for name, what in fields.items() if what != "dropped"}

    def _drop(self) -> None:
        for ask in self.processors:
            with contextlib.suppress(*SILENT, Refused):  # who is not there has nothing to drop
                ask("edge-drop")

    def _lost(
        self, states: Sequence[list[dict[str, Any]]], moved: Sequence[Moved], files: Sequence[Path]
    ) -> list[str]:
        """Elements with state which no processor goes on with."""
        from transect.rpc.chain.file import read_chain

        gone = {(m.source, m.origin) for m in moved}
        lost: list[str] = []
        for source, state in enumerate(states):
            read = read_chain(files[source])
            assert read.chain is not None, "it was staged"
            stays = [use.program.name for use in read.chain.elements]
            for origin, one in enumerate(state):
                if one["name"] in stays:
                    stays.remove(one["name"])
                elif (source, origin) not in gone and one["schema"]["fields"]:
                    lost.append(one["name"])
        return lost

    def _settle(self, old: str, waiting: Callable[[str], object]) -> None:
        """Carry over what RPCs of the old version do to elements that have moved, until there are none."""
        until = time.monotonic() + PATIENCE_S
        quiet = 0
        while True:
            found = [self._asked(index, "edge-images", version=old) for index in range(len(self.processors))]
            for one in self.moved:
                self._carry(one, found[one.source])
            # The first one's RPCs last as long as those of the processors behind it.
            quiet = quiet + 1 if all(not one or (one["open"] == 0 and one["settled"]) for one in found) else 0
            if quiet == QUIET:
                break
            if time.monotonic() > until:
                until = math.inf
                waiting(old)
            time.sleep(LOOK_S)
        for index in range(len(self.processors)):
            self._asked(index, "edge-end", version=old)
        if self.silent:
            raise Unfinished(self.silent)

    def _carry(self, moved: Moved, source: dict[str, Any] | None) -> None:
        theirs = moved.base if source is None else source["images"][moved.origin]
        if theirs != moved.base:
            merge = {"element": moved.element, "base": moved.base, "theirs": theirs}
            self._asked(moved.target, "edge-merge", **merge)
            moved.base = theirs
