# SPDX-License-Identifier: Apache-2.0
"""Where each element can stand, and why not elsewhere: what carriers can do, and what the chain file says.

Whatever the file says, the written order must be possible, since it defines the chain's meaning.  If it is not, the
diagnostic names the words that contradict each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from transect.base.diagnostic import Diagnostics, Label
from transect.base.span import NOWHERE, Span
from transect.core.ir import Program
from transect.rpc.chain.arrangement import PROCESSORS, SIDES, Carrier, Processor, Wishes, names
from transect.rpc.chain.model import ElementUse
from transect.rpc.chain.needs import Made, structs_made


@dataclass(frozen=True, slots=True)
class Bar:
    """Why an element cannot stand in a processor."""

    why: str
    span: Span = NOWHERE  # of the word in the chain file; nowhere: carriers in general cannot do it


@dataclass(frozen=True, slots=True)
class Piece:
    """An element, and where it can stand."""

    name: str
    program: Program
    span: Span  # of its use in the chain file
    guards: bool
    bars: Mapping[Processor, tuple[Bar, ...]]

    @property
    def allowed(self) -> tuple[Processor, ...]:
        return tuple(p for p in PROCESSORS if not self.bars[p])


def pieces(uses: Sequence[ElementUse], wishes: Wishes) -> list[Piece]:
    """The elements of a chain in the written order."""
    called = names([use.program.name for use in uses])
    found = []
    for name, use in zip(called, uses, strict=True):
        made = list(structs_made(use.program))
        bars = {at: tuple(_bars(name, made, at, wishes)) for at in PROCESSORS}
        found.append(Piece(name, use.program, use.span, name in wishes.guards, bars))
    return found


def _bars(name: str, made: Sequence[Made], at: Processor, wishes: Wishes) -> Iterator[Bar]:
    place = wishes.place.get(name)
    if place is not None and at not in place.processors:
        yield Bar(f"`place` says {' or '.join(place.processors)}", place.span)
    for pair in wishes.pairs:
        if name == pair.outer and not at.at_client:
            yield Bar(f"`pairs` puts it at the client's side, {pair.inner} at the server's", pair.span)
        if name == pair.inner and at.at_client:
            yield Bar(f"`pairs` puts it at the server's side, {pair.outer} at the client's", pair.span)
    if name in wishes.guards and at not in wishes.trusted:
        trusted = " or ".join(wishes.trusted)
        yield Bar(f"it guards the service: only the {trusted} cannot be passed by", wishes.guards[name])
    if not at.proxy and at.side not in wishes.libraries:
        yield Bar(f"the {at.side}'s program carries no elements (`libraries=`)", wishes.libraries_span)
    yield from map(Bar, _unable(made, at, wishes.carriers))


def _unable(verdicts: Sequence[Made], at: Processor, carriers: Sequence[Carrier]) -> Iterator[str]:
    """What the element needs and this processor cannot do."""
    for made in verdicts:
        if made.name == "Retry" and at is not Processor.CLIENT_LIBRARY:
            yield "only the client's library can send a request again (`Retry`)"
        if made.name == "Forward" and "to" in made.given and at is not Processor.SERVER_PROXY:
            yield "only the server's proxy has the routes (`Forward(to=…)`)"
        if made.name == "Respond" and made.hook == "request" and at.proxy and Carrier.NATIVE not in carriers:
            yield "a WASM plugin cannot answer a call (`Respond`)"


# ---------------------------------------------------------------- the written arrangement


def written(found: Sequence[Piece]) -> tuple[Processor, ...] | None:
    """Where the elements stand as the file is written: in its order, at the server's side unless something says
    otherwise, in proxies if they can be there.  None if no such arrangement exists.
    """
    # For each processor: the cheapest arrangement of the elements so far with the last one there.
    ways: dict[Processor, tuple[int, tuple[Processor, ...]]] = {PROCESSORS[0]: (0, ())}
    for piece in found:
        after: dict[Processor, tuple[int, tuple[Processor, ...]]] = {}
        for at in piece.allowed:
            before = [way for last, way in ways.items() if last.rank <= at.rank]
            if before:
                strange = (10 if at.at_client else 0) + (0 if at.proxy else 1)
                cost, placed = min(before, key=lambda way: way[0])
                after[at] = (cost + strange, (*placed, at))
        ways = after
    return min(ways.values(), key=lambda way: way[0])[1] if ways else None


# ---------------------------------------------------------------- contradictions


def contradictions(uses: Sequence[ElementUse], wishes: Wishes, diagnostics: Diagnostics) -> None:
    """Report words of the chain file that contradict each other."""
    if not wishes.said:
        return
    found = pieces(uses, wishes)
    for piece in found:
        if not piece.allowed:
            _nowhere(piece, diagnostics)
    if not diagnostics.failed:
        _order(found, wishes, diagnostics)
    if not diagnostics.failed:
        _backwards(found, wishes, diagnostics)


def _nowhere(piece: Piece, diagnostics: Diagnostics) -> None:
    """Each processor is barred: name the fewest words that say so."""
    said: dict[str, Bar] = {}
    for at in PROCESSORS:
        bar = next((b for b in piece.bars[at] if b.why in said), piece.bars[at][0])
        said.setdefault(bar.why, bar)
    bars = list(said.values())
    placed = [bar for bar in bars if bar.span != NOWHERE]
    first = placed[0] if placed else bars[0]
    others = [Label(bar.span, bar.why) for bar in placed if bar is not first]
    diagnostics.error(
        "R034",
        f"`{piece.name}` can stand nowhere",
        piece.span if first.span == NOWHERE else first.span,
        label=first.why,
        others=others,
        help="; ".join(_help(bar.why, piece) for bar in bars if bar.span == NOWHERE)
        or "take one of these words back",
    )


def _help(why: str, piece: Piece) -> str:
    if "`libraries=`" in why:
        sides = {at.side for at in PROCESSORS if all("`libraries=`" in bar.why for bar in piece.bars[at])}
        program = "server" if sides == {"server"} else "client"
        return f'say which program carries elements: `libraries=["{program}"]`'
    return f"allow another place: {why}"


def _order(found: Sequence[Piece], wishes: Wishes, diagnostics: Diagnostics) -> None:
    at = {piece.name: index for index, piece in enumerate(found)}
    asked = [(o.first, o.second, o.span) for o in wishes.order]
    asked += [(p.outer, p.inner, p.span) for p in wishes.pairs]
    for first, second, span in asked:
        if at[first] > at[second]:
            diagnostics.error(
                "R034",
                f"`{first}` is to be before `{second}`, and is written behind it",
                span,
                label=f"{first} first",
                others=[Label(found[at[first]].span, f"behind {second}")],
                help="write the elements in the order in which a request passes them",
            )


def _backwards(found: Sequence[Piece], wishes: Wishes, diagnostics: Diagnostics) -> None:
    """Report the first element that cannot stand at or behind the place of an earlier one."""
    earliest, by = PROCESSORS[0], found[0] if found else None
    for piece in found:
        late = [at for at in piece.allowed if at.rank >= earliest.rank]
        if not late:
            assert by is not None, "the first processor is behind nothing"
            diagnostics.error(
                "R034",
                f"`{piece.name}` is written behind `{by.name}`, and cannot stand behind it",
                _word(piece, wishes, bars_after=earliest),
                label=f"{piece.name} stands in the {' or '.join(piece.allowed)}",
                others=[
                    Label(_word(by, wishes, bars_before=earliest), f"{by.name} not before the {earliest}")
                ],
                help="change the order of the elements, or one of the two places",
            )
            return
        if late[0].rank > earliest.rank:
            earliest, by = late[0], piece


def _word(
    piece: Piece,
    wishes: Wishes,
    *,
    bars_after: Processor | None = None,
    bars_before: Processor | None = None,
) -> Span:
    """The word because of which it cannot stand at `bars_after` or behind it (before `bars_before`); without one, the
    use of the element.
    """
    for at in PROCESSORS:
        after = bars_after is not None and at.rank >= bars_after.rank
        before = bars_before is not None and at.rank < bars_before.rank
        for bar in piece.bars[at] if after or before else ():
            if bar.span != NOWHERE:
                return bar.span
    return piece.span


__all__ = ["SIDES", "Bar", "Piece", "contradictions", "pieces", "written"]
