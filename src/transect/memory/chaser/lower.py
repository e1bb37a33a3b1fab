# SPDX-License-Identifier: Apache-2.0
"""From a probe to chains: one for each container that it walks in the network.

The reads of an element are those of the plan: fields that stand close together come by one READ, followed by one for
what is behind each pointer.  `Limits` say how much one READ may fetch where the chain runs; a switch takes few bytes
from a packet, so there the same fields come by more READs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transect.core.ir import Program
from transect.core.types import BytesType, ViewType
from transect.linux.errors import KernelDataError
from transect.memory.chaser.steps import DONE, LONGEST, MOVES, REGISTERS, TESTS, Chain, Move, Step, Test
from transect.memory.chaser.walk_sites import WORD, Compared, Site, sites
from transect.memory.machine import Machine
from transect.memory.paths import Root, resolve, root
from transect.memory.views import Bound, Views

LINK, CAME, END, MEMBER = 0, 1, 2, 3  # the fixed registers, by what they hold
BEHIND = range(4, REGISTERS)  # pointers of the element
KINDS = ("listed", "hlist", "chain")


@dataclass(frozen=True)
class Limits:
    """What one READ may fetch."""

    most: int = LONGEST
    least: int = 16  # a response must be as long as the request that takes its place
    tests: int = TESTS  # conditions on one READ's answer
    behind: int = REGISTERS - 4  # pointers of an element that are followed

    def length(self, wanted: int) -> int:
        return max(self.least, wanted)


XDP = Limits()


class Refused(Exception):
    """A walk that no chain can do; the text says why."""


@dataclass(frozen=True)
class Piece:
    """What one step keeps of an element."""

    pointers: tuple[int, ...]  # pointers to follow from the element; (): the piece is in the element itself
    offset: int
    length: int


@dataclass(frozen=True)
class Lowered:
    """A walk as a chain, and how its records are read."""

    site: Site
    chain: Chain
    view: str  # class of the elements
    link: int  # offset of the link within an element: records hold addresses of links
    pieces: tuple[Piece, ...]
    tested: int = 0  # conditions that the chain tests
    left: int = 0  # conditions that the observer tests
    near: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Kept:
    """A walk that stays with the observer."""

    site: Site
    why: str


def lower(program: Program, views: Views, limits: Limits = XDP) -> tuple[Lowered | Kept, ...]:
    """Every walk of a probe, in order."""
    found: list[Lowered | Kept] = []
    names: dict[str, int] = {}
    for site in sites(program):
        try:
            found.append(_Lowering(views, site, limits, names).run())
        except Refused as refused:
            found.append(Kept(site, str(refused)))
    return tuple(found)


class _Lowering:
    """One walk."""

    def __init__(self, views: Views, site: Site, limits: Limits, sets: dict[str, int]) -> None:
        layout, item = site.layout, site.type.item
        if layout.kind not in KINDS or layout.inner is not None or layout.parts:
            raise Refused(f"a container of the kind `{layout.kind}` is no list")
        if not isinstance(item, ViewType):
            raise Refused("its elements are values")
        self.site, self.limits, self.sets = site, limits, sets
        self.views, self.view, self.layout = views, item.name, layout
        self.machine: Machine = views.machine
        self.struct = views.struct_of(item.name)
        self.link = resolve(views.btf, self.struct, layout.by).first
        self.plain = layout.kind == "chain"  # pointers lead to elements, not to links
        self.start = root(views.btf, layout.path)
        self.bounds = {b.name: b for b in views.bounds[item.name] if b.path is not None}
        self.pieces: list[Piece] = []
        self.tested: list[Compared] = []

    def run(self) -> Lowered:
        head = self._head(self.start)
        element = self._element()
        steps = [replace(s, then=i + 1) for i, s in enumerate((*head, *element))]
        first = len(head)
        steps[first - 1] = replace(steps[first - 1], stop=(LINK, END), otherwise=DONE)
        steps[-1] = replace(steps[-1], closes=True, then=first, stop=(LINK, END), otherwise=DONE)
        registers = [0] * REGISTERS
        registers[LINK] = self.machine.symbol(self.start.symbol)
        reads = len(head) + (self.layout.most + 1) * len(element) * 6
        chain = Chain(self.site.text, tuple(steps), tuple(registers), reads, len(self.sets))
        filter_ = self.site.filter
        unlisted = any(s.outside is not None for s in steps)
        left = filter_.rest + len(filter_.compared) - len(self.tested)
        left += filter_.unlisted is not None and not unlisted
        near = [p for p in self.pieces if not p.pointers]
        span = (min(p.offset for p in near), max(p.offset + p.length for p in near))
        return Lowered(
            self.site,
            chain,
            self.view,
            0 if self.plain else self.link,
            tuple(self.pieces),
            len(self.tested) + unlisted,
            left,
            span,
        )

    # ------------------------------------------------------------ where it begins

    def _head(self, start: Root) -> list[Step]:
        """From the symbol to the first element."""
        why = f"the head of {self.site.text}"
        *pointers, last = start.path.offsets
        if start.pointer:
            pointers = [0, *pointers]
        length = self.limits.length(8)
        steps = [Step(LINK, offset, length, (Move(LINK, 0),), why=why) for offset in pointers]
        moves = [Move(CAME, last, LINK)]
        if self.layout.kind == "listed":
            moves.append(Move(END, last, LINK))
        moves.append(Move(LINK, 0))
        return [*steps, Step(LINK, last, length, tuple(moves), why=why)]

    # ------------------------------------------------------------ an element

    def _element(self) -> list[Step]:
        base = 0 if self.plain else self.link
        groups = self._groups()
        if len(groups) > len(BEHIND):
            raise Refused(
                f"it follows {len(groups)} pointers of an element; there are {len(BEHIND)} registers"
            )
        registers = dict(zip(groups, BEHIND, strict=False))
        steps = [self._near(r, base, registers) for r in self._stretches()]
        for pointers, (low, high) in groups.items():
            steps += self._behind(pointers, low, high, registers[pointers])
        steps[0] = replace(steps[0], opens=LINK)
        self._members(steps)
        return steps

    def _width(self, bound: Bound) -> int:
        assert bound.path is not None
        if len(bound.path.offsets) > 1:
            return 8
        return max(self.views.btf.size_of(bound.path.type.id), 8 if bound.path.bits else 1)

    def _stretches(self) -> list[tuple[int, int]]:
        """The stretches of the element itself, in words; the one with the link comes last, since it leads to the next
        element.
        """
        link = range(self.link, self.link + (8 if self.plain else 16), 8)  # both pointers come by one READ
        wanted = set[int]()
        for bound in self.bounds.values():
            assert bound.path is not None
            at = bound.path.first
            wanted.update(range(at & ~7, at + self._width(bound), 8))
        parts = [(word, word + 8) for word in wanted.difference(link)] + [(link.start, link.stop)]
        groups: list[tuple[int, int]] = []
        for start, end in sorted(parts):
            if groups and end - groups[-1][0] <= self.limits.most:
                groups[-1] = groups[-1][0], end
            else:
                groups.append((start, end))
        found = [(start, self.limits.length(end - start)) for start, end in groups]
        return sorted(found, key=lambda r: r[0] <= self.link < r[0] + r[1])

    def _near(self, stretch: tuple[int, int], base: int, registers: dict[tuple[int, ...], int]) -> Step:
        offset, length = stretch
        moves = [
            Move(register, pointers[0] - offset)
            for pointers, register in registers.items()
            if offset <= pointers[0] < offset + length
        ]
        check = None
        if offset <= self.link < offset + length:
            at = self.link - offset
            if not self.plain:
                check = (at + 8, CAME)
                moves.append(Move(CAME, 0, LINK))
            moves.append(Move(LINK, at))
        self.pieces.append(Piece((), offset, length))
        names = [b.name for b in self.bounds.values() if self._in(b, offset, offset + length)]
        return Step(
            LINK,
            offset - base,
            length,
            self._moves(moves),
            check,
            self._tests(offset, length, ()),
            keeps=True,
            why=", ".join(names) or "the link",
        )

    def _in(self, bound: Bound, start: int, end: int) -> bool:
        """Whether a field, or a part of it, lies between `start` and `end`."""
        assert bound.path is not None
        return bound.path.first < end and bound.path.first + self._width(bound) > start

    def _moves(self, moves: Sequence[Move]) -> tuple[Move, ...]:
        if len(moves) > MOVES:
            raise Refused(f"one READ leads to {len(moves)} pointers; {MOVES} are the most")
        return tuple(moves)

    # ------------------------------------------------------------ behind pointers

    def _groups(self) -> dict[tuple[int, ...], tuple[int, int]]:
        """What is wanted behind pointers, by the pointers on the way."""
        found: dict[tuple[int, ...], tuple[int, int]] = {}
        for bound in self.bounds.values():
            assert bound.path is not None
            *pointers, last = bound.path.offsets
            if pointers:
                width = max(self.views.btf.size_of(bound.path.type.id), 8 if bound.path.bits else 1)
                low, high = found.get(tuple(pointers), (last, last + width))
                found[tuple(pointers)] = min(low, last), max(high, last + width)
        return found

    def _behind(self, pointers: tuple[int, ...], low: int, high: int, register: int) -> list[Step]:
        names = [b.name for b in self.bounds.values() if b.path and b.path.offsets[:-1] == pointers]
        why, steps = ", ".join(names), list[Step]()
        for depth, offset in enumerate(pointers[1:], 1):
            length = self.limits.length(8)
            steps.append(Step(register, offset, length, (Move(register, 0),), keeps=True, why=why))
            self.pieces.append(Piece(pointers[:depth], offset, length))
        low, high = low & ~7, high + 7 & ~7
        for at in range(low, high, self.limits.most):
            length = self.limits.length(min(self.limits.most, high - at))
            tests = self._tests(at, length, pointers)
            steps.append(Step(register, at, length, (), None, tests, keeps=True, why=why))
            self.pieces.append(Piece(pointers, at, length))
        return steps

    # ------------------------------------------------------------ conditions

    def _tests(self, offset: int, length: int, pointers: tuple[int, ...]) -> tuple[Test, ...]:
        made: list[Test] = []
        for wanted in self.site.filter.compared:
            bound = self.bounds.get(wanted.field)
            if bound is None or bound.path is None or bound.path.bits or wanted in self.tested:
                continue
            *way, at = bound.path.offsets
            size = self.views.btf.size_of(bound.path.type.id)
            inside = offset <= at and at + size <= offset + length
            if (
                tuple(way) != pointers
                or not inside
                or size not in (1, 2, 4, 8)
                or len(made) == self.limits.tests
            ):
                continue
            if isinstance(bound.type, BytesType):
                continue
            whole = (1 << 8 * size) - 1
            high = wanted.high if wanted.low != wanted.high else wanted.high & whole
            made.append(
                Test(
                    at - offset,
                    size,
                    wanted.low & whole if wanted.low == wanted.high else wanted.low,
                    high,
                    wanted.inverted,
                    wanted.mask & whole,
                )
            )
            self.tested.append(wanted)
        return tuple(made)

    def _members(self, steps: list[Step]) -> None:
        """Sets that the walk fills, or asks."""
        site = self.site
        if site.fills is not None and self._member(steps, site.fills[1], inserts=True):
            self.sets[site.fills[0]] = len(self.sets)
            self._mark(steps, self.sets[site.fills[0]], inserts=True)
        elif site.filter.unlisted is not None and site.filter.unlisted[1] in self.sets:
            field, name = site.filter.unlisted
            if self._member(steps, field, inserts=False):
                self._mark(steps, self.sets[name], inserts=False)

    def _mark(self, steps: list[Step], number: int, inserts: bool) -> None:
        at = next(i for i, s in enumerate(steps) if any(m.into == MEMBER for m in s.moves))
        marked = replace(steps[at], set=number)
        steps[at] = replace(marked, inserts=MEMBER) if inserts else replace(marked, outside=MEMBER)

    def _member(self, steps: list[Step], field: str, inserts: bool) -> bool:
        """Let a register hold the field; False if it cannot."""
        if field == "address":
            move, at = Move(MEMBER, 0 if self.plain else -self.link, LINK), 0
        else:
            path = self.bounds[field].path if field in self.bounds else None
            if path is None or len(path.offsets) > 1 or self.views.btf.size_of(path.type.id) != 8:
                return False
            near = [p for p in self.pieces if not p.pointers]
            at = next(i for i, p in enumerate(near) if p.offset <= path.first < p.offset + p.length)
            move = Move(MEMBER, path.first - near[at].offset)
        if len(steps[at].moves) == MOVES:
            return False
        steps[at] = replace(steps[at], moves=(move, *steps[at].moves))
        return True


def check(lowered: Sequence[Lowered | Kept]) -> None:
    """Raises `KernelDataError` if nothing of the probe runs in the network."""
    if not any(isinstance(one, Lowered) for one in lowered):
        reasons = "; ".join(f"{k.site.text}: {k.why}" for k in lowered if isinstance(k, Kept))
        raise KernelDataError(
            f"nothing of this probe can run in the network ({reasons or 'it walks nothing'})"
        )


__all__ = ["WORD", "XDP", "Kept", "Limits", "Lowered", "Piece", "Refused", "check", "lower"]
