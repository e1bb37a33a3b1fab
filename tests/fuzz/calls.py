# SPDX-License-Identifier: Apache-2.0
"""Random calls of a policy's hooks, and the outside facts that each of them meets."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transect.core.ir import Function, Program
from transect.core.types import INT, KeyType

MASK = 2**64 - 1
_EDGES = (0, 1, 2, 3, 5, 7, 8, 63, 64, 100, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63 - 2)
_CLIENTS = (5, 5, 5, 40)  # how many there are, from program to program


@dataclass(frozen=True, slots=True)
class Call:
    hook: str
    args: tuple[int, ...]
    waiting: tuple[int, ...]  # those who wait, oldest first
    now: int  # ns
    seed: int  # of the draws of this call


class Facts:
    """The outside facts of one call: a tape whose draws follow from a seed (splitmix64, which C has in four lines)."""

    def __init__(self, call: Call) -> None:
        self._now = call.now
        self._state = call.seed

    def now(self) -> int:
        return self._now

    def draw(self) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) & MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        return ask()


def calls(program: Program, seed: int, count: int) -> list[Call]:
    """A sequence of calls of the hooks that the program defines."""
    rng = random.Random(seed)
    clients = range(1, rng.choice(_CLIENTS) + 1)
    hooks = [h for h in program.handlers if not h.default]
    made: list[Call] = []
    for _ in range(count):
        made.append(_call(rng, rng.choice(hooks), made[-1].waiting if made else (), clients))
    return made


def _call(rng: random.Random, hook: Function, waited: Sequence[int], clients: Sequence[int]) -> Call:
    waiting = _waiting(rng, waited, clients)
    if hook.name == "pick" and not waiting:
        waiting = [rng.choice(clients)]
    args = tuple(_argument(rng, p.type, clients) for p in hook.params)
    return Call(hook.name, args, tuple(waiting), _number(rng), rng.getrandbits(64))


def _waiting(rng: random.Random, before: Sequence[int], clients: Sequence[int]) -> list[int]:
    """Who waits next: others altogether, or some have left and some have come."""
    chosen = rng.sample(clients, rng.randrange(len(clients) + 1))
    if rng.randrange(3) == 0:
        return chosen
    stay = [c for c in before if rng.randrange(5)]
    return stay + [c for c in chosen if c not in before and rng.randrange(2)]


def _argument(rng: random.Random, t: object, clients: Sequence[int]) -> int:
    if isinstance(t, KeyType):
        return rng.choice(clients)
    assert t == INT, f"no argument of {t}"
    return _number(rng)


def _number(rng: random.Random) -> int:
    match rng.randrange(4):
        case 0:
            return rng.randint(-4, 8)
        case 1:
            return rng.choice(_EDGES) * rng.choice((1, -1))
        case 2:
            return rng.randint(-(2**63), 2**63 - 1)
        case _:
            return rng.randint(-1000, 1000)
