# SPDX-License-Identifier: Apache-2.0
"""Upper bounds that may depend on how many elements outside data has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce

HUGE = 10**24  # larger numbers are cut to this one
_TERMS, _FACTORS = 128, 64  # of one bound; a bound with more becomes HUGE


@dataclass(frozen=True, slots=True)
class Bound:
    """At most this many: a sum of terms, each a number for every combination of elements of the data that it names."""

    terms: Mapping[tuple[str, ...], int] = field(
        default_factory=dict
    )  # () is the constant; ("rpc.msg.parts",) …

    @staticmethod
    def of(number: int) -> Bound:
        return Bound({(): number} if number else {})

    @staticmethod
    def elements(of: str) -> Bound:
        """One for each element of outside data."""
        return Bound({(of,): 1})

    def __add__(self, other: Bound) -> Bound:
        return self._merged(other, lambda a, b: a + b)

    def __or__(self, other: Bound) -> Bound:
        """At least as large as both."""
        return self._merged(other, max)

    def __sub__(self, other: Bound) -> Bound:
        """What `other` lacks to be at least as large as this one, term by term."""
        missing = {k: n - other.terms.get(k, 0) for k, n in self.terms.items()}
        return Bound({k: n for k, n in missing.items() if n > 0})

    def __mul__(self, other: Bound) -> Bound:
        found: dict[tuple[str, ...], int] = {}
        for a, m in self.terms.items():
            for b, n in other.terms.items():
                names = tuple(sorted((*a, *b)))
                found[names] = found.get(names, 0) + m * n
        wide = len(found) > _TERMS or max(map(len, found), default=0) > _FACTORS
        return Bound.of(HUGE) if wide else Bound(found)

    def with_sizes(self, sizes: Mapping[str, Bound]) -> Bound:
        """The bound where the data of these names has so many elements."""
        if not any(name in sizes for names in self.terms for name in names):
            return self
        return total(
            reduce(Bound.__mul__, (sizes.get(name, Bound.elements(name)) for name in names), Bound.of(n))
            for names, n in self.terms.items()
        )

    def _merged(self, other: Bound, join: Callable[[int, int], int]) -> Bound:
        return Bound(
            {k: join(self.terms.get(k, 0), other.terms.get(k, 0)) for k in {**self.terms, **other.terms}}
        )

    @property
    def known(self) -> int | None:
        """The number; None when it depends on outside data."""
        return self.terms.get((), 0) if not set(self.terms) - {()} else None

    @property
    def data(self) -> tuple[str, ...]:
        """The outside data that it depends on."""
        return tuple(sorted({name for names in self.terms for name in names}))

    def __str__(self) -> str:
        terms = sorted(self.terms.items(), key=lambda term: (len(term[0]), term[0])) or [((), 0)]
        return " + ".join(
            f"{n} per element of {' × '.join(names)}" if names else str(n) for names, n in terms
        )


def total(bounds: Iterable[Bound]) -> Bound:
    return reduce(Bound.__add__, bounds, Bound())


def capped(bound: Bound) -> Bound:
    """The bound, with no number in it that is larger than huge."""
    return Bound({names: min(n, HUGE) for names, n in bound.terms.items()})


ONE = Bound.of(1)
