# SPDX-License-Identifier: Apache-2.0
"""Several processors that share the elements of one edge, and how a new version is put in force at all of them at once.

    stage everywhere → the first processor names the new version → settle → the old version ends

Each RPC is for one version at all processors, because the first one names it in a header (`x-transect-version`), and
those behind have both versions until the last RPC of the old one has ended.  An element may move to another processor:
its state goes with it, and so does what old RPCs still do to the state at its old place.

The command may be killed at any point, and an answer may be lost.  No processor waits for either.  The next command
asks the processors how far the last one got: the first one says which version is in force, and the others have it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

from transect.base.unavailable import Unavailable
from transect.control.client import Client, ControlError
from transect.control.protocol import Refused
from transect.rpc.versions.processor import Element, Images, InForce, Staged

Ask = Callable[..., Any]
"""A processor: a function of a verb and its arguments, as `control.client.Client.ask`."""

T = TypeVar("T")
Waiting = Callable[[str], object]
"""Called with the version whose RPCs take long to end."""

LOOK_S = 0.02
QUIET = 5  # looks in a row that find no RPC: a call that has read its version may not have begun its RPC yet
STAGE_S = 120.0  # for one processor to make a version ready: it compiles, and a machine may be busy
PATIENCE_S = 30.0  # for the RPCs of an old version
SILENT = (Unavailable, ControlError)  # a processor that is not there, or does not answer as it should


class Unfinished(Exception):
    """The new version is in force, but some processors have gone meanwhile, and their part of it with them."""

    def __init__(self, silent: Mapping[int, str]) -> None:
        super().__init__("; ".join(f"processor {index + 1}: {why}" for index, why in sorted(silent.items())))


class InDoubt(ControlError):
    """The first processor was told to name the new version, and does not say whether it does: the others keep both."""

    def __init__(self, old: str, new: str, why: Exception) -> None:
        super().__init__(
            f"{why}; whether version {old} or {new} is in force is not known, and the others take RPCs of both: "
            "when it answers again, or has started anew, give the command again"
        )


def processor(name: str) -> Ask:
    """A running instance."""
    quick, patient = Client("rpc", name), Client("rpc", name, STAGE_S)

    def ask(verb: str, **arguments: Any) -> Any:
        return (patient if verb == "edge-stage" else quick).ask(verb, **arguments)

    return ask


def _number(name: str) -> int:
    """The number of a version; 0: its name is no number."""
    return int(name) if name.isascii() and name.isdigit() else 0


def _unchanged(wrong: Exception, version: str) -> Exception:
    """The same error, which also says what stays in force."""
    stays = f"version {version} stays in force"
    match wrong:
        case Refused():
            return Refused(wrong.why, f"{wrong.hint}; {stays}" if wrong.hint else stays)
        case Unavailable():
            return Unavailable(wrong.what, f"{wrong.why}; {stays}", wrong.hint)
        case _:
            return ControlError(f"{wrong}; {stays}")


@dataclass
class Moved:
    """An element that went from one processor to another."""

    source: int  # processor
    origin: int  # element there, in the old version
    target: int
    element: int
    base: str  # image of the old copy, up to which its changes have gone over


@dataclass
class Edge:
    """The processors of an edge, in the order in which a request passes them."""

    processors: Sequence[Ask]
    names: Sequence[str] = ()  # of the processors, as other commands call them too
    version: int = 1  # in force
    known: int = 1  # the greatest that was ever made ready: no later version gets a name that was used
    moved: list[Moved] = field(default_factory=list)
    silent: dict[int, str] = field(
        default_factory=dict
    )  # processors that went while versions changed, and how

    @classmethod
    def of(cls, names: Sequence[str], waiting: Waiting = lambda _: None) -> Edge:
        """Running instances, which from now on change together.

        They may have done so before; an earlier change that was left half done is finished first.  `waiting`: as for
        `upgrade`.
        """
        made = cls([processor(name) for name in names], names)
        made.agree(waiting)
        return made

    def agree(self, waiting: Waiting = lambda _: None) -> None:
        """Make all processors have the version in force, and the first one name it."""
        told = self._all()
        # The first one decides, and so is never behind the others, unless it has started anew.
        self.version = max(1, *(_number(one["version"]) for one in told))
        names = [name for one in told for name in (one["version"], one["staged"], *one["kept"])]
        self.known = max(self.version, *map(_number, names))
        for index in reversed(range(len(told))):
            self._bring(index, told[index])
        self._finish(waiting)

    def _all(self) -> list[InForce]:
        return [self._told(InForce, index, "edge-named") for index in range(len(self.processors))]

    def _bring(self, index: int, told: InForce) -> None:
        """Bring a processor to the version in force, which it may have ready.  Those behind are brought first: they
        must know a version before it is named."""
        version, stamps = str(self.version), index == 0
        if told["version"] not in ("", version) and told["staged"] == version:
            self.processors[index]("edge-commit", version=version)
        elif told["version"] != version or told["stamps"] != stamps:
            self.processors[index]("edge-join", version=version, stamps=stamps)

    def _finish(self, waiting: Waiting) -> None:
        """End versions that an earlier change left.  RPCs that are on them end there, but no more can come to them: so
        this waits, PATIENCE_S at most, for RPCs on the way from one processor to the next."""
        told = self._all()
        self.silent.clear()
        olds = sorted({name for one in told for name in one["kept"]}, key=_number)
        for old in olds:
            self.moved = self._came(told) if old == olds[-1] else []  # elements moved with the last change
            self._settle(old, [i for i, one in enumerate(told) if old in one["kept"]], waiting, PATIENCE_S)
        if self.silent:
            raise ControlError(f"an earlier change cannot be brought to its end: {Unfinished(self.silent)}")

    def _came(self, told: Sequence[InForce]) -> list[Moved]:
        """The elements that have moved with the version in force."""
        return [
            Moved(source, origin, target, one["element"], one["image"])
            for target, has in enumerate(told)
            for one in has["came"]
            for source, origin in self._place(one["at"])
        ]

    def _at(self, source: int, origin: int) -> str:
        """The name of an element's place, which the next command understands too."""
        return f"{self.names[source] if self.names else source}/{origin}"

    def _place(self, at: str) -> list[tuple[int, int]]:
        """The processor and element that `_at` named; none when the place is not of this edge any more."""
        sources = range(len(self.processors))
        return [
            (source, int(origin))
            for source in sources
            for name, _, origin in [at.rpartition("/")]
            if self._at(source, 0) == f"{name}/0"
        ]

    def upgrade(self, files: Sequence[Path], waiting: Waiting = lambda _: None) -> dict[str, str]:
        """Put a chain file for each processor in force; returns what becomes of each field.

        Returns when the last RPC of the old version has ended, however long that takes; `waiting` is called with the
        old version when it takes longer than PATIENCE_S.

        Raises Refused when a processor refuses, Unavailable or ControlError when one is not there; the old version then
        goes on everywhere.  Raises InDoubt when the first processor does not say whether it has changed, Unfinished
        when one went after the new version was in force.
        """
        assert len(files) == len(self.processors), "one chain file for each processor"
        self.known += 1
        old, new = str(self.version), str(self.known)
        moved, fields = self._ready(new, files)
        self._commit(old, new)
        self.version = self.known
        self.moved = moved
        self._settle(old, range(len(self.processors)), waiting)
        if self.silent:
            raise Unfinished(self.silent)
        return fields

    def _ready(self, new: str, files: Sequence[Path]) -> tuple[list[Moved], dict[str, str]]:
        """Stage the new version at all processors, or at none; returns what moves, and what becomes of each field."""
        try:
            states = [self._told(list[Element], index, "edge-state") for index in range(len(self.processors))]
            moved, fields, stays = self._staged(new, files, states)
            if lost := self._lost(states, moved, stays):
                raise Refused(f"nothing continues {', '.join(lost)}", "let a processor have it")
        except (*SILENT, Refused) as wrong:
            self._drop()
            raise _unchanged(wrong, str(self.version)) from wrong
        return moved, fields

    def _commit(self, old: str, new: str) -> None:
        """The first processor decides: once it names the new version, there is no way back."""
        try:
            self.processors[0]("edge-commit", version=new)
        except (*SILENT, Refused) as wrong:
            if not self._names(old, new, wrong):
                self._drop()
                raise _unchanged(wrong, old) from wrong
        self.silent.clear()
        for index in range(1, len(self.processors)):
            self._asked(NoneType, index, "edge-commit", version=new)

    def _names(self, old: str, new: str, why: Exception) -> bool:
        """Whether the first processor names the new version, although its answer did not come.  It is made to drop what
        it has ready, so that a request which still waits there changes nothing; then what it says holds.  Raises
        InDoubt."""
        try:
            self.processors[0]("edge-drop")
            return self._told(InForce, 0, "edge-named")["version"] == new
        except (*SILENT, Refused) as wrong:
            raise InDoubt(old, new, why) from wrong

    def _told(self, schema: type[T], index: int, verb: str, **arguments: Any) -> T:
        """A processor's answer, of that kind.  Raises as a processor does, and ControlError for another kind."""
        import msgspec

        value = self.processors[index](verb, **arguments)
        try:
            return msgspec.convert(value, schema)
        except msgspec.ValidationError as wrong:
            raise ControlError(f"processor {index + 1} answers `{verb}` wrongly: {wrong}") from wrong

    def _asked(self, schema: type[T], index: int, verb: str, **arguments: Any) -> T | None:
        """A processor's answer; None where the processor has gone, which is noted in `silent`."""
        if index in self.silent:
            return None
        try:
            return self._told(schema, index, verb, **arguments)
        except (*SILENT, Refused) as wrong:
            self.silent[index] = str(wrong)
            return None

    def _staged(
        self, version: str, files: Sequence[Path], states: Sequence[list[Element]]
    ) -> tuple[list[Moved], dict[str, str], dict[int, list[str]]]:
        """Stage everywhere; returns what moves, what becomes of each field, and each processor's new elements."""
        moved: list[Moved] = []
        fields: dict[str, str] = {}
        elements: dict[int, list[str]] = {}
        for index in reversed(range(len(files))):
            others = [
                (source, origin, one)
                for source, state in enumerate(states)
                for origin, one in enumerate(state)
                if source != index
            ]
            incoming = [{**one, "at": self._at(source, origin)} for source, origin, one in others]
            told = self._told(
                Staged,
                index,
                "edge-stage",
                version=version,
                path=str(files[index].absolute()),
                incoming=incoming,
            )
            for element, number in told["taken"].items():
                source, origin, one = others[number]
                moved.append(Moved(source, origin, index, int(element), one["image"]))
            fields |= told["fields"]
            elements[index] = told["elements"]
        return moved, {name: what for name, what in fields.items() if what != "dropped"}, elements

    def _drop(self) -> None:
        for ask in self.processors:
            with contextlib.suppress(*SILENT, Refused):  # who is not there has nothing to drop
                ask("edge-drop")

    @staticmethod
    def _lost(
        states: Sequence[list[Element]], moved: Sequence[Moved], elements: Mapping[int, list[str]]
    ) -> list[str]:
        """Elements with state that no processor continues."""
        gone = {(m.source, m.origin) for m in moved}
        lost: list[str] = []
        for source, state in enumerate(states):
            stays = list(elements[source])
            for origin, one in enumerate(state):
                if one["name"] in stays:
                    stays.remove(one["name"])
                elif (source, origin) not in gone and one["schema"]["fields"]:
                    lost.append(one["name"])
        return lost

    def _settle(self, old: str, having: Sequence[int], waiting: Waiting, most_s: float = math.inf) -> None:
        """Carry over what RPCs of the old version do to elements that have moved, until there are no such RPCs, or for
        `most_s`.  `having`: the processors that have the old version."""
        began = time.monotonic()
        said, quiet = False, 0
        while quiet < QUIET and time.monotonic() < began + most_s:
            found: dict[int, Images | None] = {
                index: self._asked(Images, index, "edge-images", version=old) for index in having
            }
            for one in self.moved:
                self._carry(one, found.get(one.source))
            # The first one's RPCs last as long as those of the processors behind it.
            over = all(one is None or (one["open"] == 0 and one["settled"]) for one in found.values())
            quiet = quiet + 1 if over else 0
            if not said and time.monotonic() > began + min(PATIENCE_S, most_s / 10):
                said = True
                waiting(old)
            time.sleep(LOOK_S)
        for index in having:
            self._asked(NoneType, index, "edge-end", version=old)

    def _carry(self, moved: Moved, source: Images | None) -> None:
        theirs = moved.base if source is None else source["images"][moved.origin]
        if theirs != moved.base:
            merge = {"element": moved.element, "base": moved.base, "theirs": theirs}
            self._asked(NoneType, moved.target, "edge-merge", **merge)
            moved.base = theirs
