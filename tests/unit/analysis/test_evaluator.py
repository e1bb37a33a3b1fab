# SPDX-License-Identifier: Apache-2.0
"""The evaluator means what the interpreter means: on the examples, on a policy with every rule, on random programs.

And each rule of it that is broken is noticed by these tests (what folding computes is compared with z3, in
`test_fold.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tests.fuzz.compare import Refused, case
from tests.unit.analysis.differing import Trial
from tests.unit.core.running import compiled
from transect.analysis import evaluate, expressions, fold, state, values
from transect.analysis.terms import FALSE, TRUE, Op, integer
from transect.analysis.values import Unsupported
from transect.analysis.world import World
from transect.base.shipped import paths
from transect.core.frontend import compile_file
from transect.core.ir import Program

EVERY_RULE = """
@struct
class Pair:
    left: int
    right: u8 = 0

class Every(Element):
    calls: Map[str, int] = table(1, key=text(4))
    pairs: Map[int, Pair] = table(1)
    sums: Tally[int, int] = tally(1)
    slots: Array[int] = array(3)
    short: str = text(8)
    narrow: u8 = 0
    total: int = 0
    word: u64 = 1
    share: float = 0.5
    chosen: int = 0
    seen: Local[int] = local(0)

    def _step(self, by: int) -> int:
        return by * 3 if by > 1 else by - 1

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        user = rpc.msg.user
        self.seen += 1
        if user.startswith("a") or len(user) > 3:
            self.word = (self.word << 3) ^ as_u64(self.total)
        if rand() < self.share:
            self.share = self.share * 0.5
        self.short = user
        self.narrow = self.total
        self.sums[self.total] += self.chosen
        if user in self.calls and self.calls[user] > 5:
            del self.calls[user]
        else:
            self.calls[user] = self.calls.get(user, 1) + 1
        key = self.total
        pair = self.pairs.get(key)
        match pair:
            case None:
                if not self.pairs.put(self.total, Pair(self.chosen, self.total)):
                    return Reject(Code.RESOURCE_EXHAUSTED, "full")
            case Pair(left=left) if left > 3:
                if key in self.pairs:
                    self.pairs[key].left = left - self._step(self.chosen)
            case _:
                self.chosen = -1
        for i in range(3):
            if self.slots[i] == self.total:
                continue
            if self.slots[i] > 50:
                break
            self.slots[i] = max(self.slots[i], self.chosen)
        rpc.msg.user = user if self.total % 2 == 0 else "other"
        if any(s == 63 for s in self.slots):
            return Reject(Code.ABORTED, rpc.msg.user)
        self.total = self.total // 2 - self.sums[self.chosen]
        self.chosen = (-self.chosen if self.word > 4 else self.chosen & 7) | 1
        return Forward(after=ms(self.seen))
"""
SCALARS = """
class Scalars(Element):
    short: str = text(1)
    word: u64 = 0
    total: int = 0
    coin: bool = False
    slots: Array[int] = array(3)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.short = rpc.msg.user
        self.word = (self.word << 3) ^ as_u64(self.total)
        if rand() < 0.3:
            self.total = 7
        if rand() < 0.4:
            self.coin = True
        for i in range(3):
            self.slots[i] += 1
        return Forward()
"""
ASK = "class Ask(Message):\n    user: str\n"
SEEDS = 40


@cache
def programs() -> tuple[Program, ...]:
    files = paths()
    found = [p for f in files for p in compile_file(f).programs if p.base == "rpc.Element"]
    return (compiled(ASK + EVERY_RULE), compiled(ASK + SCALARS), *found)


def differences(chosen: tuple[Program, ...], seeds: int) -> tuple[int, list[str]]:
    """How many calls were compared, and what was found."""
    compared, found = 0, []
    for program in chosen:
        for handler in program.handlers:
            if handler.default:
                continue
            try:
                trial = Trial(program, handler.name)
            except Unsupported:
                continue
            for seed in range(seeds):
                differing = trial.differences(seed)
                if differing is not None:
                    compared += 1
                    found += [f"{program.name}.{handler.name} {seed}: {d}" for d in differing]
    return compared, found


def test_the_evaluator_means_what_the_interpreter_means() -> None:
    compared, found = differences(programs(), SEEDS)
    assert not found
    assert compared > 300


def test_it_does_on_random_programs_too() -> None:
    compared, found = 0, []
    for seed in range(120):
        try:
            program = case(seed, count=1).program
        except Refused:
            continue
        n, differing = differences((program,), 4)
        compared += n
        found += [f"program {seed}: {d}" for d in differing]
    assert not found
    assert compared > 150


# ---------------------------------------------------------------- each rule broken in turn


def swapped(name: str) -> Callable[..., Any]:
    original = getattr(fold, name)
    return lambda a, b, **more: original(b, a, **more)


def other_operator(op: Op, instead: Op) -> Callable[..., Any]:
    original = fold.arithmetic
    return lambda chosen, a, b: original(instead if chosen is op else chosen, a, b)


def forgetting(name: str, **fixed: object) -> Callable[..., Any]:
    """A method of a table whose result has another content."""
    original = getattr(state.Table, name)

    def broken(self: state.Table, *args: Any) -> Any:
        result = original(self, *args)
        table = result[1] if isinstance(result, tuple) else result
        from dataclasses import replace

        mended = replace(table, **{k: getattr(self, k) if v is None else v for k, v in fixed.items()})
        return (result[0], mended) if isinstance(result, tuple) else mended

    return broken


MUTANTS: dict[str, tuple[object, str, Any]] = {
    "a signed comparison is unsigned": (fold, "less", lambda a, b, **_: ORIGINAL["less"](a, b, signed=False)),
    "less is greater": (fold, "less", swapped("less")),
    "floats compare the other way": (fold, "float_less", swapped("float_less")),
    "plus is minus": (fold, "arithmetic", other_operator(Op.ADD, Op.SUB)),
    "times is plus": (fold, "arithmetic", other_operator(Op.MUL, Op.ADD)),
    "xor is or": (fold, "arithmetic", other_operator(Op.XOR, Op.BITOR)),
    "a shift goes the other way": (fold, "arithmetic", other_operator(Op.SHL, Op.SHR_U)),
    "narrow integers are not cut": (fold, "narrow", lambda a, bits, signed: a),
    "every text fits": (fold, "fits", lambda a, size: TRUE),
    "no text fits": (fold, "fits", lambda a, size: FALSE),
    "the branches of a choice are swapped": (expressions, "join", lambda c, a, b: values.join(c, b, a)),
    "paths are joined the wrong way": (
        evaluate,
        "join_paths",
        lambda c, a, b, first: state.join_paths(c, b, a, first),
    ),
    "a path that returned goes on": (evaluate.Evaluator, "_together", lambda self, found: list_of_on(found)),
    "a full table takes more": (state.Table, "_full", lambda self: FALSE),
    "a table is always full": (state.Table, "_full", lambda self: TRUE),
    "what is put is not there": (state.Table, "put", forgetting("put", writes=None)),
    "a put does not count": (state.Table, "put", forgetting("put", size=None)),
    "what is deleted stays": (state.Table, "removed", forgetting("removed", writes=None)),
    "an absent tally is not zero": (
        state.Table,
        "total",
        lambda self, key, zero, assume=state.nothing: self.get(key, assume),
    ),
    "a key that was written is not found": (
        state.Table,
        "has",
        lambda self, key, assume=state.nothing: self._first(key, assume)[0],
    ),
    "a pattern binds, but always matches": (
        evaluate.Evaluator,
        "matches",
        lambda self, pattern, subject, frame: (ORIGINAL["matches"](self, pattern, subject, frame), TRUE)[1],
    ),
    "a loop stops after its first round": (
        expressions.Expressions,
        "members",
        lambda self, source, path: (ORIGINAL["members"](self, source, path) or (None,))[:1],
    ),
    "draws are all the same": (World, "_next", lambda self, path: integer(0)),
    "an assignment to a message is lost": (World, "write", lambda self, *args: None),
    "a text starts with every other": (
        fold,
        "of_texts",
        lambda op, a, b: TRUE if op is Op.PREFIX else ORIGINAL["of_texts"](op, a, b),
    ),
}
ORIGINAL: dict[str, Any] = {
    **{name: getattr(fold, name) for name in ("less", "of_texts")},
    "matches": evaluate.Evaluator.matches,
    "members": expressions.Expressions.members,
}


def list_of_on(found: Any) -> list[state.End]:
    """Only what goes on, and where nothing does, the first."""
    ends = [state.End(state.Way.ON, fold.both(c, e.guard), e.path) for c, e in found]
    return ends[-1:]


@cache
def baseline() -> int:
    """How many calls the unbroken evaluator compares here."""
    return differences(programs()[:2], 60)[0] + differences(programs()[2:], 10)[0]


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_rule_is_noticed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, broken = MUTANTS[mutant]
    all_programs, usual = programs(), baseline()
    monkeypatch.setattr(owner, name, broken)
    try:
        compared, found = differences(all_programs[:2], 60)
        if not found:
            more, found = differences(all_programs[2:], 10)
            compared += more
    except (AssertionError, AttributeError, KeyError, TypeError):
        return  # it does not even run
    assert found or compared < 0.9 * usual, f"nobody noticed that {mutant}"
