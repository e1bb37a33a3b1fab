# SPDX-License-Identifier: Apache-2.0
"""Another version of a policy beside a recorded one: each call that was recorded is decided by it, too.

Both run on the interpreter, each with a state of its own, that of the other version migrated from the recorded one's as
an upgrade would.  The recorded version runs again because a log holds answers without their questions: what it asks is
noted, and the other version is given the answer to the same question.  What it asks beyond that has no answer, and such
a call is not decided.

Both hear what truly happened: who came, who was served, what it cost.  What the other version would have brought about
by deciding otherwise, it does not hear.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from transect.core import ir
from transect.core.codec import CodecError, decode_state, encode_state
from transect.core.interp import Instance, Run
from transect.core.ir import Effect, Program
from transect.core.schema import schema
from transect.core.upgrade import upgrade
from transect.lang.tape import Tape
from transect.replay.compare import Call, Question, Teller
from transect.replay.log import Policy, Record
from transect.replay.tape import ReplayingTape, TapeMismatch, answer_types

LOCALS = 1 << 16  # RPCs or requests whose locals are kept

Deed: TypeAlias = tuple[str, str]  # the function, its arguments


class NotDecided(Exception):
    """Why a version could not decide a call."""


class OutOfStep(Exception):
    """The recorded version, run again, decides otherwise than was recorded: calls are missing."""


@dataclass(slots=True)
class Asked:
    """What a version asked of the outside in a call, and what it did there."""

    answers: dict[Question, object] = field(default_factory=dict)
    time: int | None = None
    draws: list[int] = field(default_factory=list)
    did: list[Deed] = field(default_factory=list)

    def question(self, function: str, args: Sequence[object]) -> Question:
        return function, repr(tuple(args)), len(self.did)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a version made of a call."""

    result: bytes
    did: tuple[Deed, ...] = ()

    @property
    def decides(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.result or self.did)


class _Noting(Run):
    """The recorded version: its questions are noted."""

    asked: Asked

    def outside(self, declared: ir.IntrinsicDecl, args: list[Any]) -> Any:
        if declared.name in self.functions:  # the decoder's: what it does comes out in the result
            return super().outside(declared, args)
        question = self.asked.question(declared.name, args)
        value = super().outside(declared, args)
        if declared.effect is Effect.OUTSIDE_WRITE:
            self.asked.did.append(question[:2])
        else:
            self.asked.answers[question] = value
        return value


@dataclass(slots=True)
class _NotingTape:
    """The recorded answers, of which time and draws are noted."""

    tape: Tape
    asked: Asked

    def now(self) -> int:
        self.asked.time = self.tape.now()
        return self.asked.time

    def draw(self) -> int:
        drawn = self.tape.draw()
        self.asked.draws.append(drawn)
        return drawn

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        return self.tape.answer(intrinsic, ask)


class _Deciding(Run):
    """The other version: answers are those to the same questions."""

    asked: Asked  # of the recorded version
    mine: Asked

    def outside(self, declared: ir.IntrinsicDecl, args: list[Any]) -> Any:
        if declared.name in self.functions:  # the decoder's: what it does comes out in the result
            return super().outside(declared, args)
        question = self.mine.question(declared.name, args)
        match declared.effect:
            case Effect.OUTSIDE_WRITE:
                self.mine.did.append(question[:2])
                return super().outside(declared, args)
            case Effect.CLOCK | Effect.RANDOM | Effect.OUTSIDE_READ:
                if question not in self.asked.answers or self.mine.did != self.asked.did[: question[2]]:
                    raise NotDecided(f"it asks `{declared.name}` what the version in force does not ask")
                return self.asked.answers[question]
            case _:
                return super().outside(declared, args)


@dataclass(slots=True)
class _Outside:
    """Time and draws as the recorded version had them; beyond that the other version's own, where it may have them."""

    asked: Asked
    clock: Callable[[], int] | None
    drawn: int = 0

    def now(self) -> int:
        if self.asked.time is not None:
            return self.asked.time
        if self.clock is None:
            raise NotDecided("it asks for the time, for which the version in force does not ask")
        return self.clock()

    def draw(self) -> int:
        self.drawn += 1
        if self.drawn <= len(self.asked.draws):
            return self.asked.draws[self.drawn - 1]
        if self.clock is None:
            raise NotDecided("it draws more often than the version in force")
        return secrets.randbits(64)

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        return ask()


class Side:
    """A version with its state, and the locals of what is under way."""

    def __init__(self, program: Program, image: bytes) -> None:
        """Raises `CodecError`."""
        self.program = program
        self.instance = Instance(program)
        self.instance.load(image)
        self._locals: OrderedDict[int, dict[str, object]] = OrderedDict()

    def knows(self, number: int) -> bool:
        return number in self._locals

    def run(self, run: Run, hook: str, call: Call) -> Any:
        """The hook's value."""
        if call.waiting is not None:
            self.instance.waiting[:] = call.waiting
        self.instance.state.update(call.given)
        return run.call(self.instance.handlers[hook], call.args)

    def locals_of(self, decoder: Teller, record: Record) -> MutableMapping[str, object]:
        kept = self._locals.setdefault(record.instance, {})
        self._locals.move_to_end(record.instance)
        if len(self._locals) > LOCALS:
            decoder.forget(self.program, self._locals.popitem(last=False)[0])
        return kept

    def ended(self, record: Record) -> None:
        self._locals.pop(record.instance, None)


class Original(Side):
    """The recorded version."""

    def again(self, decoder: Teller, hook: str, record: Record) -> tuple[Outcome, Asked, bool]:
        """What was recorded, what it asked, and whether the past of what the call is about is known.

        Raises `OutOfStep`.
        """
        asked = Asked()
        try:
            call = decoder.call(self.program, hook, record)
            known = call.begins or self.knows(record.instance)
            tape = _NotingTape(call.tape or ReplayingTape(record.tape, answer_types(self.program)), asked)
            run = _Noting(self.instance, tape, self.locals_of(decoder, record), call.functions)
            run.asked = asked
            result = call.result(self.run(run, hook, call))
        except (TapeMismatch, CodecError) as error:
            raise OutOfStep(f"`{hook}` of the version in force: {error}") from error
        if call.ends:
            self.ended(record)
        if known and result != record.result:
            raise OutOfStep(f"`{hook}` of the version in force comes out otherwise when it runs again")
        return Outcome(record.result, tuple(asked.did)), asked, known


class Other(Side):
    """The version beside it."""

    def __init__(self, program: Program, image: bytes, clock: Callable[[], int] | None = None) -> None:
        super().__init__(program, image)
        self._clock = clock

    def decided(self, decoder: Teller, hook: str, record: Record, asked: Asked) -> Outcome:
        """Raises `NotDecided`."""
        call = self._call(decoder, hook, record)
        run = _Deciding(
            self.instance, _Outside(asked, self._clock), self.locals_of(decoder, record), call.functions
        )
        run.asked, run.mine = asked, Asked()
        try:
            result = call.result(self.run(run, hook, call))
        except (NotDecided, TapeMismatch, CodecError) as error:
            raise NotDecided(str(error)) from error
        except Exception as error:
            raise NotDecided(f"`{hook}` raises {type(error).__name__}: {error}") from error
        finally:
            if call.ends:
                self.ended(record)
        return Outcome(result, tuple(run.mine.did))

    def _call(self, decoder: Teller, hook: str, record: Record) -> Call:
        try:
            return decoder.beside(self.program, hook, record)
        except CodecError as error:
            raise NotDecided(str(error)) from error


@dataclass(frozen=True, slots=True)
class Version:
    """Another version of a policy, and what its configuration gives it."""

    program: Program
    first: bytes = field(default=b"", repr=False)  # the image with which it would begin
    given: frozenset[str] = frozenset()  # fields whose first value is the configuration's
    stands_for: str = ""  # a recorded policy of another name

    def begun(self, policy: Policy, clock: Callable[[], int] | None = None) -> Other:
        """It, with the state with which it would go on from the recorded one.  Raises `Refused`, `CodecError`."""
        image = upgrade(policy.start, policy.schema, self.program)
        if self.given:
            declared = schema(self.program).declared
            state, first = decode_state(declared, image), decode_state(declared, self.first)
            image = encode_state(declared, {**state, **{name: first[name] for name in self.given}})
        return Other(self.program, image, clock)


__all__ = ["Asked", "NotDecided", "Original", "Other", "OutOfStep", "Outcome", "Version"]
