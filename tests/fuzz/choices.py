# SPDX-License-Identifier: Apache-2.0
"""Where a generator's decisions come from: a sequence of numbers, drawn once and then replayed and made smaller.

Zero is always the simplest choice, and a sequence that ends goes on with zeros; so cutting and lowering numbers gives
a simpler program, whatever the generator is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

KIN = 4
"""Seeds which begin alike: their programs have one state, which C compiles once, and differ in all that they do."""


class Choices:
    """Decisions, remembered as they are made."""

    def __init__(self, draw: Callable[[int], int], own: Callable[[int], int] | None = None) -> None:
        self._draw = draw
        self._own = own or draw
        self.made: list[int] = []

    @classmethod
    def of_seed(cls, seed: int) -> Choices:
        """Random ones.  Seeds in a row, KIN at a time, choose alike until `parting`; the first choice of all goes
        through everything that there is to choose from as seeds go on."""
        kin = random.Random(f"kin of {seed // KIN}")
        own = random.Random(seed)
        first = [seed // KIN]
        return cls(lambda n: first.pop() % n if first else kin.randrange(n), own.randrange)

    @classmethod
    def of_sequence(cls, numbers: Sequence[int]) -> Choices:
        rest = iter(numbers)
        return cls(lambda n: next(rest, 0) % n)

    def parting(self) -> None:
        """What follows is each seed's own."""
        self._draw = self._own

    def below(self, n: int) -> int:
        """A number from 0 to n - 1."""
        number = self._draw(n)
        self.made.append(number)
        return number

    def of(self, options: Sequence[T]) -> T:
        """One of the options; the first is the simplest."""
        return options[self.below(len(options))]

    def chance(self, percent: int) -> bool:
        """True that often; False is simpler."""
        return self.below(100) >= 100 - percent


def smaller(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Simpler sequences, the boldest first: pieces cut out, pieces zeroed, numbers lowered."""
    size = len(numbers)
    for width in _widths(size):
        for start in range(0, size, width):
            yield [*numbers[:start], *numbers[start + width :]]
    for width in _widths(size):
        for start in range(0, size, width):
            if any(numbers[start : start + width]):
                yield [
                    *numbers[:start],
                    *[0] * len(numbers[start : start + width]),
                    *numbers[start + width :],
                ]
    for index, number in enumerate(numbers):
        for less in {number // 2, number - 1}:
            if 0 <= less < number:
                yield [*numbers[:index], less, *numbers[index + 1 :]]


def _widths(size: int) -> list[int]:
    return [w for w in (size // 2, size // 4, size // 8, 16, 8, 4, 3, 2, 1) if w]


def shrink(
    numbers: Sequence[int], fails: Callable[[list[list[int]]], int | None], batch: int = 60
) -> list[int]:
    """The simplest sequence found that still fails.

    `fails` is given several at once (a compiler run costs the same for many) and says which is the first that fails.
    """
    best = list(numbers)
    while True:
        candidates = smaller(best)
        while pack := [c for c, _ in zip(candidates, range(batch), strict=False)]:
            index = fails(pack)
            if index is not None:
                best = pack[index]
                break
        else:
            return best
