# SPDX-License-Identifier: Apache-2.0
"""A new version of a chain in the place of one that runs: what it is, what becomes of the state, how the old one ends.

    read → pair → carry the state over → (the carrier puts the new version in force) → settle

The old version goes on until the carrier has put the new one in force, and the RPCs that it began end on it.  What they
do to its state until then goes over to the new copy (`merging.py`), so that nothing which was counted is lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from transect.base.bounded import is_file
from transect.base.render import render_text
from transect.control.host import NO_RETURN, check_return
from transect.control.protocol import Refused
from transect.core.codec import CodecError, decode_state, encode_state
from transect.core.frontend import compile_file
from transect.core.ir import Program
from transect.core.schema import Schema, schema
from transect.core.upgrade import Refused as StateRefused
from transect.core.upgrade import compare, given_back, migration, upgrade
from transect.core.values import normal
from transect.rpc.chain.arrangement import names
from transect.rpc.chain.file import first_state, read_chain
from transect.rpc.chain.model import ChainFile
from transect.rpc.versions.merging import merged

_DECLARES = re.compile(r"^(chain|edges) = ", re.MULTILINE)
NOT_ALONE = "it is one of several processors of an edge, which change together"
TOGETHER = "transect rpc upgrade NAME=FILE NAME=FILE …"


@dataclass(frozen=True)
class Version:
    """The elements of a chain, and the state with which each begins when nothing goes over to it."""

    programs: tuple[Program, ...]
    firsts: tuple[bytes, ...] = field(repr=False)  # images
    given: tuple[frozenset[str], ...] = ()  # fields whose first value comes from the chain file
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    chain: ChainFile | None = None  # None: the file has policies only

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Its elements, as a later version sees them."""
        given = self.given or (None,) * len(self.programs)
        parts = zip(self.programs, self.firsts, given, strict=True)
        return tuple(Origin(program.name, schema(program), first, names) for program, first, names in parts)

    @classmethod
    def of_chain(cls, chain: ChainFile, sources: Mapping[str, str]) -> Version:
        uses = chain.elements
        firsts = tuple(first_state(use.program, use.values) for use in uses)
        given = tuple(frozenset(use.values) for use in uses)
        return cls(tuple(use.program for use in uses), firsts, given, sources, chain)


def read_version(path: Path, running: Version) -> Version:
    """The version that a file describes: the elements of its chain, or the running ones, with its policies in the place
    of those of the same names.  Raises Refused with the diagnostics."""
    if not is_file(path):
        raise Refused(f"{path} is no file", "give a chain file, or a file of policies")
    compiled = compile_file(path)
    if _DECLARES.search(compiled.sources.get(str(path), "")):
        read = read_chain(path, "" if running.chain is None else running.chain.service)
        if read.chain is None:
            raise Refused("the new version is not understood\n" + render_text(read.diagnostics, read.sources))
        return Version.of_chain(read.chain, read.sources)
    if compiled.diagnostics.failed:
        raise Refused("the new version has errors\n" + render_text(compiled.diagnostics, compiled.sources))
    named = {program.name: program for program in compiled.programs if program.base == "rpc.Element"}
    if not named.keys() & {program.name for program in running.programs}:
        there = ", ".join(program.name for program in running.programs)
        raise Refused(f"{path} has no policy of the running chain", f"there run {there}")
    programs = tuple(named.get(program.name, program) for program in running.programs)
    firsts = tuple(first_state(program, {}) for program in programs)
    return Version(programs, firsts, sources=compiled.sources)


# ---------------------------------------------------------------- state


@dataclass(frozen=True)
class Origin:
    """An old element, here or at another processor."""

    name: str
    schema: Schema
    first: bytes = b""  # what it began with
    given: frozenset[str] | None = None  # fields whose first value a chain file gave; None: there was none


@dataclass(frozen=True)
class Handover:
    """Which old element's state each element of the new version continues."""

    old: tuple[Origin, ...]
    new: Version
    origins: tuple[int | None, ...]  # for each new element: the old one that it continues; None: it is new
    back_from: tuple[Program, ...] = ()  # the old elements' policies, where this is a way back

    @classmethod
    def of(cls, old: Sequence[Origin], new: Version) -> Handover:
        """Elements continue those of the same name; several with one name are paired in their order."""
        places: dict[str, list[int]] = {}
        for index, origin in enumerate(old):
            places.setdefault(origin.name, []).append(index)
        origins = tuple(places[p.name].pop(0) if places.get(p.name) else None for p in new.programs)
        return cls(tuple(old), new, origins)

    @classmethod
    def back(cls, now: Version, before: Version) -> Handover:
        """From the version in force to the one before.  Raises Refused for state that cannot go back."""
        made = replace(cls.of(now.origins, before), back_from=now.programs)
        for index, origin in enumerate(made.origins):
            if origin is not None:
                check_return(
                    before.programs[index].name, schema(before.programs[index]), now.programs[origin]
                )
        return made

    def _pairs(self) -> Iterator[tuple[str, Schema, Program]]:
        """What goes over: each element's name, its old schema and its new policy."""
        for name, program, origin in zip(self.names, self.new.programs, self.origins, strict=True):
            if origin is not None:
                yield name, self.old[origin].schema, program

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the new elements."""
        return names([program.name for program in self.new.programs])

    def check(self, automatic_return: bool) -> None:
        """Raises Refused for state that cannot go over, or, with `automatic_return`, cannot go back."""
        for name, before, program in self._pairs():
            found = compare(before, schema(program), migration(program) is not None)
            if not found.accepted:
                why = "; ".join(f"{name}.{d.field}: {d.reason}" for d in found.refused)
                raise Refused(
                    f"the state cannot go over: {why}", "write `migrate`, or keep the field as it was"
                )
            if automatic_return:
                check_return(name, before, program)
        gone = [origin.name for origin in self.dropped if origin.schema.fields]
        if gone and automatic_return:
            raise Refused(f"the state of {', '.join(gone)} would go with it", NO_RETURN)

    @property
    def dropped(self) -> list[Origin]:
        return [origin for i, origin in enumerate(self.old) if i not in self.origins]

    def fields(self) -> dict[str, str]:
        """What becomes of each field, for the operator."""
        new = [name for name, origin in zip(self.names, self.origins, strict=True) if origin is None]
        told = dict.fromkeys(new, "new")
        for name, old, program in self._pairs():
            told |= compare(old, schema(program), migration(program) is not None).of(name)
        old_names = names([origin.name for origin in self.old])
        return told | {n: "dropped" for i, n in enumerate(old_names) if i not in self.origins}

    def carried(self, element: int, image: bytes) -> bytes:
        """The state with which a new element goes on, made of its origin's.  Raises Refused."""
        origin = self.origins[element]
        program = self.new.programs[element]
        assert origin is not None, f"{program.name} is new"
        try:
            made = (
                given_back(image, self.back_from[origin], schema(program))
                if self.back_from
                else upgrade(image, self.old[origin].schema, program)
            )
        except (StateRefused, CodecError) as error:
            raise Refused(f"the state of {program.name} cannot go over: {error}") from error
        return self._configured(element, origin, image, made)

    def _configured(self, element: int, origin: int, image: bytes, made: bytes) -> bytes:
        """What a chain file gives is configuration: where a field still is what the old version began with, it becomes
        what the new file says."""
        old = self.old[origin]
        names = self.new.given[element] | (old.given or frozenset()) if self.new.given else frozenset()
        if not names or not old.first:
            return made
        new = schema(self.new.programs[element])
        was, now = (decode_state(old.schema.declared, one) for one in (old.first, image))
        first, state = (decode_state(new.declared, one) for one in (self.new.firsts[element], made))
        for name in names & was.keys() & first.keys():
            if normal(was[name].value) == normal(now[name].value):
                state[name] = first[name]
        return encode_state(new.declared, state)

    def merge(self, element: int, new: Copy, base: bytes, theirs: bytes) -> None:
        """Apply to the new copy what happened to the old one between these images."""
        of = schema(self.new.programs[element])
        before, after = (self.carried(element, image) for image in (base, theirs))
        new.swap(element, lambda ours: merged(before, after, ours, of))

    def start(self, image: Callable[[int], bytes]) -> tuple[list[bytes], dict[int, bytes]]:
        """The state with which each new element begins, and the images of the old elements that it was made of.
        `image`: gives an old element's image at this moment.  Raises Refused."""
        bases = {origin: image(origin) for origin in self.origins if origin is not None}
        made = [
            self.new.firsts[index] if origin is None else self.carried(index, bases[origin])
            for index, origin in enumerate(self.origins)
        ]
        return made, bases


# ---------------------------------------------------------------- the end of the old version


class Copy(Protocol):
    """The state of one version of a chain, wherever it lives."""

    def save(self, element: int) -> bytes: ...

    def swap(self, element: int, change: Callable[[bytes], bytes]) -> None:
        """Put what `change` makes of the image in force, as one step."""
        ...

    def open(self) -> int:
        """RPCs that are on it."""
        ...

    def over(self) -> bool:
        """Whether no RPC is on it, and none can come."""
        ...

    def end(self) -> None:
        """The copy is over, and nobody needs it any more."""
        ...


class Settling:
    """An old copy whose RPCs have not ended: what they still do goes over to the new copy."""

    def __init__(
        self, handover: Handover, old: Copy, new: Copy, bases: Mapping[int, bytes], before: Settling | None
    ) -> None:
        """`bases`: the images of old elements that new ones went on from.  `before`: an older settling, which goes into
        the old copy of this one first."""
        self._handover = handover
        self._old, self._new = old, new
        self._bases = dict(bases)
        self._before = before
        self.quiet = False  # what RPCs did has gone over, and none is under way now

    def settle(self) -> bool:
        """Carry over what has changed; returns whether nothing more can change."""
        before = self._before
        if before is not None and before.settle():
            self._before = None
        over = before is None and self._old.over()
        quiet = self._old.open() == 0 and (before is None or before.quiet)
        # Both are asked first, so that the merge below sees all that RPCs have done by then.
        for element, origin in enumerate(self._handover.origins):
            if origin in self._bases:
                self._merge(element, origin)
        self.quiet = quiet
        if over:
            self._old.end()
        return over

    def _merge(self, element: int, origin: int) -> None:
        base, theirs = self._bases[origin], self._old.save(origin)
        if theirs != base:
            self._handover.merge(element, self._new, base, theirs)
            self._bases[origin] = theirs
