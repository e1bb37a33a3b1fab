# SPDX-License-Identifier: Apache-2.0
"""Several processors that share the elements of one edge, and how another version comes to all of them at once.

    stage everywhere → the first processor names the new version → settle → the old version ends

Each RPC is for one version at all processors, because the first one names it in a header (`x-transect-version`), and
those behind have both versions until the last RPC of the old one has ended.  An element may move: its state goes with
it, and so does what old RPCs still do to it at its old place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transect.control.protocol import Refused

Ask = Callable[..., Any]
"""A processor: its verb and arguments, as `control.client.Client.ask` takes them."""

LOOK_S = 0.02
QUIET = 5  # looks in a row: a call that has read its version may not have begun yet
PATIENCE_S = 30.0  # for the RPCs of an old version


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

    def join(self) -> None:
        """From now on RPCs name their version.  Those behind first: they must know what is named."""
        for index in reversed(range(len(self.processors))):
            self.processors[index]("edge-join", version=str(self.version), stamps=index == 0)

    def upgrade(self, files: Sequence[Path], patience_s: float = PATIENCE_S) -> dict[str, str]:
        """Put a chain file for each processor in force; what becomes of each field.

        Raises Refused, and the old version goes on everywhere, when one of them refuses; TimeoutError when RPCs of the
        old version go on for longer than `patience_s`: then `settle` carries on.
        """
        assert len(files) == len(self.processors), "one chain file for each processor"
        old, new = str(self.version), str(self.version + 1)
        states = [ask("edge-state") for ask in self.processors]
        moved, fields = self._staged(new, files, states)
        lost = self._lost(states, moved, files)
        if lost:
            self._drop()
            raise Refused(f"nothing continues {', '.join(lost)}", "let a processor have it")
        for ask in (self.processors[0], *self.processors[1:]):
            ask("edge-commit", version=new)
        self.version += 1
        self.moved = moved
        self.settle(old, patience_s)
        return fields

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
            except Refused:
                self._drop()
                raise
            for element, number in told["taken"].items():
                source, origin, one = others[number]
                moved.append(Moved(source, origin, index, int(element), one["image"]))
            fields |= told["fields"]
        return moved, {name: what for name, what in fields.items() if what != "dropped"}

    def _drop(self) -> None:
        for ask in self.processors:
            ask("edge-drop")

    def _lost(
        self, states: Sequence[list[dict[str, Any]]], moved: Sequence[Moved], files: Sequence[Path]
    ) -> list[str]:
        """Elements with state which no processor goes on with."""
        from transect.rpc.chain_file import read_chain

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

    def settle(self, old: str, patience_s: float = PATIENCE_S) -> None:
        """Carry over what RPCs of the old version do to elements that have moved, until there are none."""
        until = time.monotonic() + patience_s
        quiet = 0
        while True:
            found = [ask("edge-images", version=old) for ask in self.processors]
            for one in self.moved:
                theirs = found[one.source]["images"][one.origin]
                if theirs != one.base:
                    merge = {"element": one.element, "base": one.base, "theirs": theirs}
                    self.processors[one.target]("edge-merge", **merge)
                    one.base = theirs
            # The first one's RPCs last as long as those of the processors behind it.
            quiet = quiet + 1 if all(one["open"] == 0 and one["settled"] for one in found) else 0
            if quiet == QUIET:
                break
            if time.monotonic() > until:
                raise TimeoutError(f"RPCs of version {old} are still under way")
            time.sleep(LOOK_S)
        for ask in self.processors:
            ask("edge-end", version=old)
