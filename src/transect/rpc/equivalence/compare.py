# SPDX-License-Identifier: Apache-2.0
"""Whether two arrangements give the same result: what is put out, and the relation that must hold again afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transect.analysis import fold
from transect.analysis.state import Held, Table, said_same, same_held
from transect.analysis.terms import FALSE, TRUE, Term
from transect.analysis.values import Option, same
from transect.analysis.world import World
from transect.rpc.equivalence.levels import Counts, Element, Level
from transect.rpc.equivalence.passes import Chain, Ending, Flight, Kind, Outcome, Side
from transect.rpc.equivalence.world import Body, Passing

_REPLY = ("reply headers", "reply trailers")


@dataclass
class Comparer:
    """Compares two sides at one level.  `watched`: what callers receive counts, too."""

    chain: Chain
    level: Level
    watched: bool

    def __post_init__(self) -> None:
        elements = self.chain.elements
        # At `loose`, what callers receive matters as at `service` if others act on it.
        level = Level.SERVICE if self.watched and self.level is Level.LOOSE else self.level
        self.counts: Mapping[str, Counts] = {name: e.counts(level) for name, e in elements.items()}
        self.ends_told = {n for n, e in elements.items() if e.told(("code", "cause"), level)}
        self.metadata_told = {n for n, e in elements.items() if e.told(("headers", "trailers"), level)}
        self.world = World("compare", self.chain.assumptions)

    # ------------------------------------------------------------ what is put out

    def outputs(self, a: Outcome, b: Outcome, *, reply: bool = False) -> Term:
        """Whether two outcomes look the same from outside."""
        if not self.watched:
            gone = (a.kind is not Kind.FORWARD, b.kind is not Kind.FORWARD)
            if gone == (True, True):
                return TRUE
            if gone != (False, False):
                return FALSE
            return TRUE if reply else self._sent(a, b)
        if a.kind is not b.kind:
            return FALSE
        match a.kind:
            case Kind.REJECT:
                return fold.both(
                    fold.equal(a.code, b.code),
                    fold.equal(a.message, b.message),
                    fold.equal(a.delay, b.delay),
                )
            case Kind.RESPOND:
                return self._replied(a, b)
            case Kind.FORWARD:
                return self._replied(a, b) if reply else self._sent(a, b)

    def _sent(self, a: Outcome, b: Outcome) -> Term:
        return fold.both(
            a.passing.request.same(b.passing.request, self.world),
            # A hook of the request may set what returns with the reply.
            self._metadata(a.passing, b.passing, ("request headers", *(_REPLY if self.watched else ()))),
            fold.equal(a.route, b.route),
            fold.equal(a.delay, b.delay),
        )

    def _replied(self, a: Outcome, b: Outcome) -> Term:
        return fold.both(
            a.passing.reply.same(b.passing.reply, self.world),
            self._metadata(a.passing, b.passing, _REPLY),
            fold.equal(a.delay, b.delay),
        )

    def _metadata(self, a: Passing, b: Passing, sides: Sequence[str]) -> Term:
        return fold.both(*(a.headers[s].same_entries(b.headers[s]) for s in sides))

    # ------------------------------------------------------------ the relation

    def states(self, a: Side, b: Side) -> Term:
        """Whether the state that counts is the same in every element."""
        return fold.both(*(self.state(name, a, b) for name in self.chain.elements))

    def state(self, name: str, a: Side, b: Side) -> Term:
        counts, element = self.counts[name], self.chain.elements[name]
        parts = [
            self.field(element, counts, f, a.fields[name][f], b.fields[name][f])
            for f in sorted(counts.fields)
        ]
        if counts.everything:
            parts += [fold.equal(n, b.overflow[name][f]) for f, n in a.overflow[name].items()]
            parts.append(said_same(a.said[name], b.said[name]))
        return fold.both(*parts)

    def field(self, element: Element, counts: Counts, name: str, a: Held, b: Held) -> Term:
        parts = [same_held(a, b)]
        if isinstance(a, Table) and isinstance(b, Table):
            parts.append(fold.equal(a.size, b.size))
            if counts.everything or name in element.ordered:
                parts.append(fold.equal(a.order, b.order))
            if counts.everything or name in element.overflowing:
                parts.append(fold.equal(a.overflow, b.overflow))
        return fold.both(*parts)

    def flights(self, rpc: str, a: Side, b: Side) -> Term:
        """Whether what is held of an RPC is the same in every element that it entered on both sides."""
        found = [
            self._flight(name, a.flights[rpc, name], b.flights[rpc, name])
            for name in self.chain.elements
            if (rpc, name) in a.flights and (rpc, name) in b.flights
        ]
        return fold.both(*found)

    def _flight(self, name: str, a: Flight, b: Flight) -> Term:
        counts = self.counts[name]
        parts = [same(a.locals[n], b.locals[n]) for n in sorted(counts.locals)]
        for path in sorted(counts.later):
            root, _, rest = path.partition(".")
            mine, theirs = (a.request, b.request) if root in ("msg", "body") else (a.reply, b.reply)
            parts.append(self._kept(rest, mine, theirs))
            if root == "?":
                parts.append(self._kept("?", a.request, b.request))
        return fold.both(*parts)

    def _kept(self, path: str, a: Body, b: Body) -> Term:
        if not path:
            return fold.equal(a.bytes, b.bytes)
        t = a.types.get(path) or b.types.get(path)
        if path == "?" or t is None or "." in path:
            return a.same(b, self.world)
        if path not in a.fields and path not in b.fields:
            return fold.equal(a.base, b.base)
        return same_held(a.read(path, t, self.world), b.read(path, t, self.world))

    # ------------------------------------------------------------ obligations

    def pass_same(self, rpc: str, a: Sequence[Outcome], b: Sequence[Outcome], *, reply: bool = False) -> Term:
        """After one pass that begins where the relation holds: the same is put out, and the relation holds again."""
        return fold.both(
            *(
                fold.implies(fold.both(x.guard, y.guard), self._after(rpc, x, y, reply))
                for x in a
                for y in b
                if fold.both(x.guard, y.guard) is not FALSE
            )
        )

    def _after(self, rpc: str, x: Outcome, y: Outcome, reply: bool) -> Term:
        out = self.outputs(x, y, reply=reply)
        if out is FALSE:
            return FALSE
        told = self._told(rpc, x, y)
        kept = fold.both(out, told, self.states(x.side, y.side), self.flights(rpc, x.side, y.side))
        if kept is FALSE:
            return FALSE
        return fold.both(kept, self.lone_ends(rpc, x, y))

    def _told(self, rpc: str, a: Outcome, b: Outcome) -> Term:
        """Whether the elements that the RPC entered on both sides are later told the same, as far as they ask."""
        entered = {name for of, name in {*a.side.flights} & {*b.side.flights} if of == rpc}
        metadata = self._metadata(a.passing, b.passing, _REPLY) if self.metadata_told & entered else TRUE
        if not self.ends_told & entered:
            return metadata
        return fold.both(metadata, fold.equal(a.code, b.code)) if a.kind is b.kind else FALSE

    def lone_ends(self, rpc: str, x: Outcome, y: Outcome) -> Term:
        """An element that the RPC entered on one side only must not notice its end, whenever that comes."""
        parts = []
        for here, there in ((x, y), (y, x)):
            for name, element in self.chain.elements.items():
                lone = (rpc, name) in here.side.flights and (rpc, name) not in there.side.flights
                if lone and "finish" in element.hooks:
                    parts.append(self._unnoticed(rpc, name, here))
        return fold.both(*parts)

    def _unnoticed(self, rpc: str, name: str, here: Outcome) -> Term:
        """`finish` is run in any state, since other RPCs may have come in between."""
        later = self.chain.start((name,), " later")
        key = (rpc, name)
        alone = Side((name,), later.fields, later.overflow, dict(later.said), {key: here.side.flights[key]})
        ending = self.chain.finish(alone, here.passing, f"{rpc} lone end")
        return fold.both(self.state(name, alone, ending.side), fold.negate(ending.retry))

    def endings_same(self, a: Ending, b: Ending) -> Term:
        return fold.both(self.retries(a, b), self.states(a.side, b.side))

    def retries(self, a: Ending, b: Ending) -> Term:
        return same(Option(a.retry, a.after), Option(b.retry, b.after))
