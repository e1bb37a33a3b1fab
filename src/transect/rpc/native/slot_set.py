# SPDX-License-Identifier: Apache-2.0
"""A set of a message's slots as C: those which are present, were assigned, or are left out.

A slot is the bit `slot.index`, counted through as many words of 64 bits as the plan needs.  The first word has the
set's own name, the others a number after it: `has`, `has_1`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

from transect.emit.c import tree as c
from transect.rpc.messages.plan import Plan, Slot

WORD = 64  # bits


@dataclass(frozen=True)
class SlotSet:
    """The set `name`, in the struct that `owner` points to; `owner` None: in local variables."""

    plan: Plan
    name: str
    owner: c.Expr | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the words."""
        count = max(1, -(-len(self.plan.visible) // WORD))
        return (self.name, *(f"{self.name}_{i}" for i in range(1, count)))

    @property
    def words(self) -> tuple[c.Expr, ...]:
        return tuple(c.name(n) if self.owner is None else c.arrow(self.owner, n) for n in self.names)

    def declared(self, begin: SlotSet | None = None) -> tuple[c.Var, ...]:
        """Declarations of the words; each begins with the value of the same word of `begin`."""
        values = (None,) * len(self.names) if begin is None else begin.words
        return tuple(c.Var(n, c.U64, value) for n, value in zip(self.names, values, strict=True))

    def filled(self) -> c.Expr:
        """Whether any slot is in it."""
        return _either([c.Binary("!=", word, c.ZERO) for word in self.words])

    def has(self, slot: Slot) -> c.Expr:
        return c.Binary("!=", self.meets((slot,)), c.ZERO)

    def meets(self, slots: tuple[Slot, ...]) -> c.Expr:
        """Not 0 when one of the slots is in the set; there is at least one slot."""
        return _either([c.Binary("&", word, mask) for word, mask in self._masks(slots)])

    def lacks(self, slot: Slot) -> c.Expr:
        return c.negated(self.meets((slot,)))

    def add(self, *slots: Slot) -> Iterator[c.Stmt]:
        for word, mask in self._masks(slots):
            yield c.Do(c.Assign("|=", word, mask))

    def remove(self, *slots: Slot) -> Iterator[c.Stmt]:
        for word, mask in self._masks(slots):
            yield c.Do(c.Assign("&=", word, c.Unary("~", mask)))

    def _masks(self, slots: tuple[Slot, ...]) -> Iterator[tuple[c.Expr, c.Expr]]:
        """The words in which the slots are, and their bits there."""
        assert all(not slot.hidden for slot in slots), "a slot that nobody reads has no bit"
        for i, word in enumerate(self.words):
            bits = sum(1 << slot.index % WORD for slot in slots if slot.index // WORD == i)
            if bits:
                yield word, c.Integer(bits, "ull")


def _either(conditions: list[c.Expr]) -> c.Expr:
    return reduce(lambda a, b: c.Binary("||", a, b), conditions)


def present(plan: Plan, owner: c.Expr) -> SlotSet:
    return SlotSet(plan, "has", owner)


def assigned(plan: Plan, owner: c.Expr) -> SlotSet:
    return SlotSet(plan, "dirty", owner)
