# SPDX-License-Identifier: Apache-2.0
"""A plan that may be put in force: checked against the chain file, its policies and the proofs as they are now.

Nothing in a plan file is trusted: neither where elements stand, nor the level at which that means the same; whoever
puts the plan in force says which level it must have.  Solvers are asked only about pairs that changed places; a pair
takes tenths of a second, and answers are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

from transect.rpc.chain.arrangement import Carrier, Group, Layout, Processor, order_of, places_of
from transect.rpc.chain.constraints import Piece, pieces, written
from transect.rpc.chain.file import ReadEdges, read_edges
from transect.rpc.chain.model import ChainFile
from transect.rpc.equivalence.arrangement import Judge
from transect.rpc.equivalence.levels import LEVELS, Level
from transect.rpc.equivalence.oneofs import oneofs_of
from transect.rpc.messages.protos import ProtoError
from transect.rpc.placement import saved
from transect.rpc.placement.built_in import usual
from transect.rpc.placement.moves import (
    Relations,
    comes_first,
    looks_at_peer,
    permitted,
    relations,
    together,
)
from transect.rpc.placement.planning import judge
from transect.rpc.placement.saved import PlanError, SavedEdge, anew
from transect.rpc.placement.streamed import apart


@dataclass(frozen=True)
class Checked:
    """A plan that may be followed.  Where the chain file is not understood (`read` says why), the plan has no edges."""

    path: Path  # of the chain file
    read: ReadEdges
    edges: tuple[SavedEdge, ...]  # in the order of the file's chains, as are the layouts
    layouts: tuple[Layout, ...]

    def layout(self, chain: ChainFile) -> Layout:
        return self.layouts[self.read.chains.index(chain)]

    def level(self, chain: ChainFile) -> Level:
        """The level at which the plan means what the chain file says."""
        return self.edges[self.read.chains.index(chain)].level


def checked(plan: Path, chain: Path | None = None, level: Level = Level.SERVICE) -> Checked:
    """The plan, if it is of that chain file (None: of the one that it names) and means the same at `level` at least.

    Raises PlanError if not, and Unavailable when a pair has to be proved and there is no solver.
    """
    kept = saved.load(plan)
    path = saved.chain_of(kept, plan)
    if chain is not None and path != chain.resolve():
        raise PlanError(f"{plan} is of {path}", anew(chain, plan))
    read = read_edges(chain or path)
    if read.diagnostics.failed:
        return Checked(path, read, (), ())
    of = {edge.service: edge for edge in kept.edges}
    try:
        _each_edge_once(kept.edges, read.chains, path)
        edges = tuple(of[one.service] for one in read.chains)
        _strict_enough(edges, level)
        layouts = tuple(_layout(edge, one, judge()) for edge, one in zip(edges, read.chains, strict=True))
    except _Objection as why:
        raise PlanError(f"{plan} cannot be followed: {why}", anew(chain or path, plan)) from None
    except ProtoError as wrong:
        raise PlanError(f"{plan} cannot be held against its protos: {wrong}", wrong.help) from wrong
    return Checked(path, read, edges, layouts)


class _Objection(Exception):
    """Why a plan is not followed."""


def _each_edge_once(edges: Sequence[SavedEdge], chains: Sequence[ChainFile], path: Path) -> None:
    said, there = [edge.service for edge in edges], [chain.service for chain in chains]
    if sorted(said) != sorted(there):
        raise _Objection(
            f"its edges are {', '.join(said) or 'none'}, and those of {path}: {', '.join(there)}"
        )


def _strict_enough(edges: Sequence[SavedEdge], level: Level) -> None:
    for edge in edges:
        if LEVELS.index(edge.level) < LEVELS.index(level):
            raise _Objection(
                f"it is at level `{edge.level}`, and `{level}` is wanted (who means `{edge.level}` says `--level"
                f" {edge.level}`, in a program `level=`)"
            )


def _layout(edge: SavedEdge, chain: ChainFile, judging: Judge) -> Layout:
    _same_policies(edge, chain)
    _each_element_once(edge, chain)
    number = {name: index for index, name in enumerate(chain.names)}
    layout = tuple(
        Group(g.processor, tuple(number[name] for name in g.elements), g.carrier) for g in edge.processors
    )
    for why in _Question(chain, edge.level, layout, judging).objections():
        raise _Objection(why)
    return layout


def _same_policies(edge: SavedEdge, chain: ChainFile) -> None:
    now = {name: use.program.source_hash for name, use in zip(chain.names, chain.elements, strict=True)}
    if set(edge.policies) != set(now):
        raise _Objection(f"it was made for {', '.join(edge.policies) or 'no elements'}, not {', '.join(now)}")
    changed = [name for name, digest in now.items() if edge.policies[name] != digest]
    if changed:
        raise _Objection(f"the sources of {_and(changed)} have changed since it was made")


def _each_element_once(edge: SavedEdge, chain: ChainFile) -> None:
    times = Counter(name for group in edge.processors for name in group.elements)
    if unknown := [name for name in times if name not in chain.names]:
        raise _Objection(f"{unknown[0]} is no element of {chain.service}")
    if missing := [name for name in chain.names if name not in times]:
        raise _Objection(f"{_and(missing)} stand{'' if len(missing) > 1 else 's'} nowhere in it")
    if again := [name for name, count in times.items() if count > 1]:
        raise _Objection(f"{again[0]} stands in it more than once")


def _and(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


@dataclass(frozen=True)
class _Question:
    """Whether an arrangement of a chain is one of those among which the planner chooses."""

    chain: ChainFile
    level: Level
    layout: Layout
    judge: Judge

    def objections(self) -> Iterator[str]:
        yield from self._processors()
        yield from self._carriers()
        yield from self._places()
        yield from self._order()
        yield from self._behind()
        yield from self._torn_apart()

    @cached_property
    def pieces(self) -> Sequence[Piece]:
        return pieces(self.chain.elements, self.chain.wishes)

    @cached_property
    def reference(self) -> Sequence[Processor]:
        found = written(self.pieces)
        assert found is not None, "contradictions are told when the file is read"
        return found

    @cached_property
    def changed(self) -> list[tuple[int, int]]:
        """Pairs, in the written order, of which the second now stands before the first."""
        place = {element: index for index, element in enumerate(order_of(self.layout))}
        return [(i, j) for i, j in combinations(range(len(place)), 2) if place[i] > place[j]]

    @cached_property
    def answers(self) -> Relations:
        judging = self.judge.of(oneofs_of(self.chain)) if self.changed else self.judge
        order = self.chain.wishes.order
        return relations(self.pieces, self.reference, order, self.level, judging, self.changed)

    def _processors(self) -> Iterator[str]:
        there = [group.processor for group in self.layout]
        if there != sorted(set(there), key=lambda at: at.rank):
            yield f"its processors are {', '.join(there)}: each stands there once, as a request passes them"
        for at in self.chain.wishes.required:
            if at not in there:
                yield f"the {at} is not in it, which `required=` names"

    def _carriers(self) -> Iterator[str]:
        wishes = self.chain.wishes
        may = {usual(wishes), Carrier.BUILT_IN} & set(wishes.carriers)
        for group in self.layout:
            allowed = may if group.processor.proxy else {Carrier.NATIVE}
            if group.carrier not in allowed:
                yield f"it has a {group} that is `{group.carrier}`, and not {' or '.join(sorted(allowed))}"

    def _places(self) -> Iterator[str]:
        elsewhere = apart(self.chain, self.pieces, self.reference)
        may = permitted(self.pieces, self.reference, self.answers, elsewhere)
        for index, at in sorted(places_of(self.layout).items()):
            piece, home = self.pieces[index], self.reference[index]
            if piece.bars[at]:
                why = piece.bars[at][0].why
            elif at not in may[index]:
                why = elsewhere[index].get(at) or self.answers.sides[index].why
            elif not comes_first(piece, at, home, self.level):
                why = f"it asks who calls (`rpc.peer`), as the {home} sees it"
            else:
                continue
            yield f"it has {piece.name} in the {at}: {why}"

    def _order(self) -> Iterator[str]:
        for first, second in self.changed:
            if why := self.answers.kept.get((first, second)):
                before, after = self.pieces[second].name, self.pieces[first].name
                yield f"it has {before} before {after}, which may not change places at `{self.level}`: {why}"

    def _behind(self) -> Iterator[str]:
        proxies = {group.processor.side: group.processor for group in self.layout if group.processor.proxy}
        for index, at in places_of(self.layout).items():
            piece, proxy = self.pieces[index], proxies.get(at.side)
            if proxy and not at.proxy and looks_at_peer(piece, self.level):
                yield f"it has {piece.name} in the {at} beside a {proxy}: it asks who calls (`rpc.peer`)"

    def _torn_apart(self) -> Iterator[str]:
        place = places_of(self.layout)
        for those in together(self.reference, self.answers):
            if len({place[index] for index in those}) > 1:
                named = _and([self.pieces[index].name for index in sorted(those)])
                yield f"it has {named} in several processors, between which a call could be lost"
