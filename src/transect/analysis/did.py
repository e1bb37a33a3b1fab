# SPDX-License-Identifier: Apache-2.0
"""What a stratum's functions do while a model is run: their calls are recorded, and their answers come from the model.
A scheduler's queues belong to the kernel, so a proof does not model them: putting a task into one is an action, and the
answer of `take` is the model's choice, but the same for the same question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transect.analysis.concrete import Reader, is_of
from transect.analysis.shown import time_and_draws
from transect.analysis.terms import Sort, Term, function, integer, var
from transect.analysis.views import Handle, Outside
from transect.analysis.world import World
from transect.core import ir
from transect.core.ir import Effect
from transect.core.stratum_functions import provided
from transect.core.types import ViewType
from transect.core.values import zero


@dataclass(frozen=True)
class Asked:
    """A question to the outside."""

    declared: ir.IntrinsicDecl
    args: tuple[object, ...]


class Doing:
    """The functions of a stratum for one call, and what they did, in order."""

    def __init__(self, reader: Reader, program: ir.Program, world: World) -> None:
        self.done: list[str] = []
        self._reader = reader
        self._world = world
        self.functions: Mapping[str, Callable[..., object]] = {
            "trace": lambda said: self.done.append(f"says {said!r}"),
            **{d.name: self._function(d) for d in program.intrinsics if self._taken(d)},
        }

    def _taken(self, declared: ir.IntrinsicDecl) -> bool:
        """Whether nothing else is there that could be called."""
        return provided(declared.name) is None and not self._world.has_method(declared)

    def _function(self, declared: ir.IntrinsicDecl) -> Callable[..., object]:
        match declared.effect:
            case Effect.PURE:
                return lambda *args: self._pure(declared, args)
            case Effect.REPORT | Effect.OUTSIDE_WRITE:
                return lambda *args: self._note(declared, args)
            case Effect.CLOCK | Effect.RANDOM | Effect.OUTSIDE_READ:
                return lambda *args: self._asked(declared, args)

    def _note(self, declared: ir.IntrinsicDecl, args: tuple[object, ...]) -> None:
        self.done.append(f"calls {written(declared, args)}")

    def _asked(self, declared: ir.IntrinsicDecl, args: tuple[object, ...]) -> Asked:
        """Record the question; the tape has the answer."""
        if self._world.changes(declared):
            self._note(declared, args)
        return Asked(declared, args)

    def _pure(self, declared: ir.IntrinsicDecl, args: tuple[object, ...]) -> object:
        if isinstance(declared.returns, ViewType):
            terms = [as_term(arg) for arg in args]
            return Handle(function(declared.name, Sort.OPAQUE, terms), written(declared, args))
        return answer(self._reader, Asked(declared, args), declared.name, ())


class ModelTape:
    """A tape with the model's facts, which keeps what was asked; `drawn`: how many numbers and answers were taken
    before.
    """

    def __init__(self, reader: Reader, tape: str, drawn: int = 0) -> None:
        self._facts = reader.facts(tape)
        self._reader = reader
        self._tape = tape
        self.drawn = drawn
        self.time: int | None = None  # ns; None: nobody asked
        self.draws: dict[int, int] = {}  # of 64 bits, by their place among all that is taken
        self.answers: dict[int, str] = {}  # what was asked and answered, likewise

    def now(self) -> int:
        self.time = self._facts.now
        return self.time

    def draw(self) -> int:
        index, self.drawn = self.drawn, self.drawn + 1
        self.draws[index] = self._facts.draws[index] if index < len(self._facts.draws) else 0
        return self.draws[index]

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        """The model's answer, unless a view of the world's own has given one."""
        found = ask()
        if not isinstance(found, Asked):
            return found
        index, self.drawn = self.drawn, self.drawn + 1
        said = answer(self._reader, found, f"{self._tape} {intrinsic}", (index,))
        self.answers[index] = f"{written(found.declared, found.args)} is {said!r}"
        return said


def told(tapes: Sequence[ModelTape]) -> str:
    """The time, draws and answers that runs of one call asked for; "" when there are none."""
    times = [tape.time for tape in tapes if tape.time is not None]
    draws = {index: draw for tape in tapes for index, draw in tape.draws.items()}
    answers = {index: said for tape in tapes for index, said in tape.answers.items()}
    first = time_and_draws(next(iter(times), None), [draws[index] for index in sorted(draws)])
    return ", ".join([*([first] if first else []), *(answers[index] for index in sorted(answers))])


def answer(reader: Reader, asked: Asked, name: str, number: tuple[int, ...]) -> object:
    """The model's answer to a question, with or without a number; zero if the model has none."""
    of = tuple(map(as_value, asked.args))
    for known, terms in reader.asked.items():
        if not is_of(known, name):
            continue
        for term in terms:
            wanted = of if len(term.args) == len(of) else (*number, *of)
            if len(term.args) == len(wanted) and all(map(reader.is_value, term.args, wanted)):
                return reader.python(asked.declared.returns, name, term.args)
    return zero(asked.declared.returns)


def as_term(arg: object) -> Term:
    """The name of something outside; of a plain value, the value."""
    match arg:
        case Handle(term=term):
            return term
        case Outside():
            return var(arg.__dict__["_of"][3], Sort.OPAQUE)
        case int():
            return integer(int(arg))
        case _:
            raise AssertionError(f"{arg!r} does not lead to a piece of the outside")


def as_value(arg: object) -> object:
    return as_term(arg) if isinstance(arg, Handle | Outside) else arg


def written(declared: ir.IntrinsicDecl, args: tuple[object, ...]) -> str:
    """A call as a policy writes it: `self.fast.put(task)`."""
    *_, name = declared.name.split(".")
    shown = [_named(arg) for arg in args]
    if declared.params and isinstance(declared.params[0].type, ViewType) and declared.name.count(".") > 1:
        return f"{shown[0]}.{name}({', '.join(shown[1:])})"
    return f"{name}({', '.join(shown)})"


def _named(arg: Any) -> str:
    return str(arg.__dict__["_of"][3]) if isinstance(arg, Outside) else repr(arg)
