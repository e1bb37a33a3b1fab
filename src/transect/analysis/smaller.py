# SPDX-License-Identifier: Apache-2.0
"""A counter-example made as small as it can be: numbers near 0, short texts, tables with few entries.

The solver is not asked again.  One input after the other gets a plainer value, which is kept if the interpreter still
shows the same and the assumptions about inputs still hold.  So the same question has the same example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from transect.analysis.allowance import Spent
from transect.analysis.concrete import Plain, Reader
from transect.analysis.terms import FALSE, Op, Sort, Term

T = TypeVar("T")

SHORT = (b"a", b"b")  # texts that are plain
ODD = "é".encode()  # a text that is not plain, for an input that must not be
RUNS = 300  # of the interpreter, for one example
ROUNDS = 3  # through all inputs


def smallest(
    reader: Reader,
    assumptions: Iterable[Term],
    first: T,
    again: Callable[[], T | None],
    declared: Mapping[str, Term],
) -> T:
    """The example with plainer inputs, as far as time allows.  `again`: runs the reader's current inputs; it returns
    None if they no longer show the same.  `declared`: the declared values of parameters, by the names of the inputs.
    """
    run = _Run(reader, sorted(assumptions, key=lambda t: t.serial), again)
    best = first
    with suppress(Spent):  # what was found last shows the same
        for found in _smaller(run, declared):
            best = found
    return best


def _smaller(run: _Run[T], declared: Mapping[str, Term]) -> Iterator[T]:
    """One example after the other, each with a plainer input."""
    inputs = sorted(_inputs(run.reader), key=_order)
    for _ in range(ROUNDS):
        changed = False
        for term in inputs:
            while (found := run.plainer(term, declared)) is not None:
                changed = True
                yield found
        if not changed:
            return


@dataclass
class _Run(Generic[T]):
    """Tries values until the limit of runs is reached."""

    reader: Reader
    assumed: Sequence[Term]
    again: Callable[[], T | None]
    left: int = RUNS

    def plainer(self, term: Term, declared: Mapping[str, Term]) -> T | None:
        """The example with the plainest value of an input that shows the same; None: there is none."""
        old = self.reader.value(term)
        for value in _plainer(term, old, declared):
            if self.left == 0:
                return None
            self.left -= 1
            before = self.reader.chosen
            self.reader.chosen = {**before, term: value}
            taken = self._possible() and self.reader.value(term) == value
            found = self.again() if taken else None
            if found is not None:
                return found
            self.reader.chosen = before
        return None

    def _possible(self) -> bool:
        """Whether the assumptions about inputs still hold, as far as this can be computed.  If one gives the result of
        an unknown function, that result is taken.
        """
        for a in self.assumed:
            unknown = next((t for t in a.args if t.op is Op.FUNCTION), None) if a.op is Op.EQ else None
            if unknown is not None and self.reader.computed().of(a) is FALSE:
                (said,) = [t for t in a.args if t is not unknown]
                self.reader.chosen = {**self.reader.chosen, unknown: self.reader.value(said)}
        computed = self.reader.computed()
        return all(computed.of(a) is not FALSE for a in self.assumed)


def _inputs(reader: Reader) -> Iterator[Term]:
    for name, terms in reader.asked.items():
        if not name.endswith(" now"):  # one time is as plain as another
            yield from (t for t in terms if t.sort is not Sort.OPAQUE)


def _order(term: Term) -> tuple[bool, bool, str, int]:
    """Sizes of tables first, then which entries are there, then what they are."""
    name = str(term.data)
    return not name.endswith("#"), term.sort is not Sort.BOOL, name, term.serial


def _plainer(term: Term, value: Plain, declared: Mapping[str, Term]) -> Iterator[Plain]:
    """Values to try, the plainest first."""
    own = declared.get(str(term.data))
    if own is not None:
        if own.data != value:
            yield own.data
        return
    match value:
        case bool():
            if value:
                yield False
        case int():
            yield from _numbers(value)
        case float():
            yield from (v for v in (0.0, 1.0, float(int(value)) if abs(value) < 1e15 else 0.0) if v != value)
        case b"":
            yield from SHORT  # easier to read
        case bytes() if value not in SHORT:
            yield from (v for v in (*SHORT, b"", value[: len(value) // 2], value[:-1]) if v != value)
            if value != ODD and not (value.isascii() and value.decode().isprintable()):
                yield ODD
        case _:
            pass


def _numbers(value: int) -> Iterator[int]:
    """Towards 0: at once, by half, by a quarter, …, by one."""
    yield from (v for v in (0, 1, 2) if abs(v) < abs(value) or value < 0)
    step = abs(value) // 2
    while step > 0:
        yield value - step if value > 0 else value + step
        step //= 2
