# SPDX-License-Identifier: Apache-2.0
"""Re-running a log, call by call, and finding the first one that comes out differently.

Calls of one policy are run in the order of their sequence numbers, from the state at the start, with recorded outside
answers.  What differs is shown at the policy's line: the `return` that gave the other result.

The recorded program has been verified when it was read (`core/foreign.py`); if it still misbehaves when run, only the
comparison ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from transect.base.diagnostic import Diagnostic, Label, Severity
from transect.base.span import NOWHERE, Span
from transect.core import ir
from transect.core.codec import CodecError, decode_state
from transect.core.interp import Instance, Run
from transect.core.ir import Program
from transect.core.upgrade import Refused, upgrade
from transect.lang.tape import Tape, current
from transect.replay.log import Log, LogError, Policy, Record
from transect.replay.tape import ReplayingTape, TapeMismatch, answer_types

Functions = Mapping[str, Callable[..., object]]
Question: TypeAlias = tuple[
    str, str, int
]  # the function, its arguments, and how much the call had done before
Answers: TypeAlias = Mapping[Question, object]  # from outside, in one call


@dataclass(frozen=True, slots=True)
class Call:
    """A recorded call as a policy can run it."""

    args: Sequence[object]
    result: Callable[[object], bytes]  # what the record holds when the hook returns this value
    functions: Functions = field(
        default_factory=dict
    )  # of the stratum, by full name; they ask the tape themselves
    begins: bool = True  # nothing of the instance came before it
    ends: bool = False  # the instance (RPC, request, task) ends with this call: its locals go
    waiting: Sequence[object] | None = None  # who waits at the time, oldest first, for an Arbiter
    # For a stratum whose answers are references: makes them available, with what lies below them
    tape: ReplayingTape | None = None
    given: Mapping[str, object] = field(default_factory=dict)  # what the adapter keeps in `given()` fields


class Decoder(Protocol):
    """What a stratum knows of its records."""

    def call(self, program: Program, hook: str, record: Record) -> Call:
        """The call that a record describes.  Raises `CodecError`."""
        ...

    def words(self, program: Program, hook: str, result: bytes) -> str:
        """A result as a person reads it: `Reject(PERMISSION_DENIED, "acl")`."""
        ...

    def tells_end(self, policy: int, policies: int) -> bool:
        """Whether a log of so many policies, once closed, holds the state of this one at the end."""
        ...


class Teller(Decoder, Protocol):
    """A decoder that also knows whom calls are about."""

    def whose(self, program: Program, hook: str, record: Record, answers: Answers) -> tuple[str, str]:
        """For whom a call is decided, and what it is about: a caller and his RPC.  Raises `CodecError`."""
        ...

    def forget(self, program: Program, instance: int) -> None:
        """Nothing more comes of this RPC, request or task, or there are too many."""
        ...

    def beside(self, program: Program, hook: str, record: Record) -> Call:
        """The call for another version, which may ask what the recorded one asked in another order.

        Raises `CodecError`.
        """
        ...


class Runner(Protocol):
    """One state instance of a policy, on the interpreter or as emitted Python."""

    def load(self, image: bytes, /) -> None: ...
    def image(self) -> bytes: ...
    def call(
        self,
        hook: str,
        args: Sequence[object],
        *,
        tape: Tape | None = None,
        locals: MutableMapping[str, object] | None = None,
        functions: Functions | None = None,
    ) -> Any: ...


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it."""

    calls: int  # that came out as recorded
    divergence: Diagnostic | None  # the first call that did not
    record: Record | None  # that call; None when it is the state in the end
    # Why part of the log could not be compared; with any, "no divergence" proves nothing
    open: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether everything was compared, and came out as recorded."""
        return self.divergence is None and not self.open


def compare(
    log: Log,
    decoder: Decoder,
    *,
    program: Program | None = None,
    runner: Callable[[Program], Runner] | None = None,
) -> Comparison:
    """Re-run a log.

    `program`: another policy to run instead of the recorded one of that name (or the only one); its state begins as
    after an upgrade.  `runner`: makes what runs a policy; the interpreter if None.
    """
    comparing = Comparing(log, decoder, runner or TracedInstance)
    return comparing.compare(program)


class _TracedRun(Run):
    """Remembers the last `return` of the handler."""

    returned: Span = NOWHERE

    def execute(self, s: ir.Stmt, frame: dict[str, Any]) -> Any:
        ended = super().execute(s, frame)
        # Those of helpers are overwritten by the handler's own, which ends last.
        if isinstance(s, ir.Return):
            self.returned = s.span
        return ended


class TracedInstance(Instance):
    """The interpreter, saying which line gave the result."""

    returned: Span = NOWHERE  # the `return` that ended the last call; NOWHERE: it fell off the end

    def call(
        self,
        hook: str,
        args: Sequence[object],
        *,
        tape: Tape | None = None,
        locals: MutableMapping[str, object] | None = None,
        functions: Functions | None = None,
    ) -> Any:
        run = _TracedRun(self, tape or current(), {} if locals is None else locals, functions or {})
        self.returned = NOWHERE
        try:
            return run.call(self.handlers[hook], args)
        finally:
            self.returned = run.returned


def _wait(runner: Runner, waiting: Sequence[object]) -> None:
    """Tell a policy who waits."""
    if isinstance(runner, Instance):
        runner.waiting[:] = waiting
    else:  # an emitted policy takes it as an attribute
        setattr(runner, "waiting", list(waiting))  # noqa: B010


@dataclass(slots=True)
class Played:
    """One policy under way."""

    policy: Policy
    program: Program  # that runs: the recorded one or the other
    runner: Runner
    locals: dict[int, dict[str, object]] = field(default_factory=dict)
    next: int | None = None  # sequence number that comes next, when known


@dataclass(frozen=True, slots=True)
class Outcome:
    result: bytes
    span: Span  # of the `return`


class Differs(Exception):
    """A call that does not come out as recorded."""

    def __init__(self, diagnostic: Diagnostic, record: Record | None) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic
        self.record = record


def _broken(
    policy: Policy, other: Program | None, error: Exception, record: Record | None = None
) -> Exception:
    """What an exception during a run means.  The recorded program may do what no compiled program does; with another
    program, which the compiler made, the fault is ours.
    """
    if other is not None:
        return error
    text = f"the recorded program {policy.name} cannot be run: {type(error).__name__}: {error}"
    return Differs(Diagnostic(Severity.ERROR, "L003", text, NOWHERE), record)


class Comparing:
    """Runs the policies of a log again."""

    def __init__(self, log: Log, decoder: Decoder, make: Callable[[Program], Runner]) -> None:
        self.log = log
        self.decoder = decoder
        self.make = make
        self.calls = 0
        numbers = {record.sequence for record in log.records}
        # Where the policies share one clock no number comes twice; else each counts by itself.
        self.numbers = numbers if len(numbers) == len(log.records) else frozenset[int]()
        self.open: list[str] = [log.shortcomings] if log.shortcomings else []

    def compare(self, other: Program | None) -> Comparison:
        try:
            for number, policy in enumerate(self.log.policies):
                self.policy(number, policy, self.stands_for(other, policy))
        except Differs as found:
            return Comparison(self.calls, found.diagnostic, found.record, tuple(self.open))
        return Comparison(self.calls, None, None, tuple(self.open))

    def stands_for(self, other: Program | None, policy: Policy) -> Program | None:
        """The other program, if it replaces this policy."""
        names = {p.name for p in self.log.policies}
        return other if other is not None and (other.name == policy.name or len(names) == 1) else None

    def policy(self, number: int, policy: Policy, other: Program | None) -> None:
        played = self.begin(policy, other)
        if played is None:
            return
        # With another policy, the recorded one runs too: it shows which line gave the recorded result.
        recorded = self.begin(policy, None) if other is not None else None
        keeps_state = bool(policy.schema.fields)
        for record in self.records(number):
            if keeps_state and self.gap(played.next, record.sequence):
                self.open.append(f"calls of {policy.name} are missing before number {record.sequence}")
                return
            self.step(played, recorded, record)
            played.next = record.sequence + 1
            self.calls += 1
        self.end(number, played)

    def records(self, number: int) -> list[Record]:
        """The calls of that policy, in the order in which they took effect."""
        return sorted((r for r in self.log.records if r.policy == number), key=lambda r: r.sequence)

    def gap(self, wanted: int | None, found: int) -> bool:
        """Whether a call is missing before this one.  Where the policies of a chain share one clock, a number that
        another policy's record has is not missing."""
        if wanted is None or wanted == found:
            return False
        return wanted > found or any(number not in self.numbers for number in range(wanted, found))

    def begin(self, policy: Policy, other: Program | None) -> Played | None:
        program = policy.program if other is None else other
        if program.stratum not in ("", self.log.header.stratum):
            raise LogError(
                f"the log is of {self.log.header.stratum}, and {policy.name} is a policy of {program.stratum}"
            )
        try:
            runner = self.make(program)
            runner.load(self.start(policy, other))
        except (Refused, CodecError) as error:
            self.open.append(f"the state of {policy.name} at the start cannot be taken over: {error}")
            return None
        except Exception as error:
            raise _broken(policy, other, error) from error
        return Played(policy, program, runner, next=policy.first)

    def start(self, policy: Policy, other: Program | None) -> bytes:
        return policy.start if other is None else upgrade(policy.start, policy.schema, other)

    # ---------------------------------------------------------------- one call

    def step(self, played: Played, recorded: Played | None, record: Record) -> None:
        hook = played.policy.hooks[record.hook]
        handler = played.program.handler(hook)
        if handler is None:
            raise Differs(self.missing(played, hook), record)
        try:
            before = self.run(recorded, hook, record) if recorded else None
            outcome = self.run(played, hook, record)
        except (TapeMismatch, CodecError) as error:
            text = f"`{hook}` leaves the recording: {error}"
            span = getattr(error, "span", None) or handler.span
            raise Differs(self.diagnostic(text, span, record, hook), record) from error
        if outcome.result != record.result:
            raise Differs(self.difference(played, hook, record, outcome, before), record)

    def run(self, played: Played, hook: str, record: Record) -> Outcome:
        call = self.decoder.call(played.program, hook, record)
        tape = call.tape or ReplayingTape(record.tape, answer_types(played.program))
        rpc_locals = played.locals.setdefault(record.instance, {})
        if call.waiting is not None:
            _wait(played.runner, call.waiting)
        if call.given and isinstance(played.runner, Instance):
            played.runner.state.update(call.given)
        try:
            value = played.runner.call(
                hook, call.args, tape=tape, locals=rpc_locals, functions=call.functions
            )
        except (TapeMismatch, CodecError):
            raise
        except Exception as error:
            other = None if played.program is played.policy.program else played.program
            raise _broken(played.policy, other, error, record) from error
        if call.ends:
            del played.locals[record.instance]
        if tape.left and played.program is played.policy.program:
            raise TapeMismatch(f"{tape.left} bytes of outside answers were recorded and not asked for")
        handler = played.program.handler(hook)
        assert handler is not None, f"{played.program.name} has run {hook}, which it does not have"
        span = getattr(played.runner, "returned", NOWHERE)
        return Outcome(call.result(value), handler.span if span == NOWHERE else span)

    # ---------------------------------------------------------------- what is said

    def diagnostic(self, text: str, span: Span, record: Record, hook: str, **more: Any) -> Diagnostic:
        same = [other.sequence for other in self.log.records if other.policy == record.policy]
        place = sum(
            number <= record.sequence for number in same
        )  # numbers continue from before the log began
        note = f"call {place} of {len(same)} in the log, hook `{hook}`, instance {record.instance}"
        return Diagnostic(Severity.ERROR, "L001", text, span, note=note, **more)

    def missing(self, played: Played, hook: str) -> Diagnostic:
        return Diagnostic(
            Severity.ERROR, "L001", f"{played.program.name} has no hook `{hook}`, which was recorded", NOWHERE
        )

    def difference(
        self, played: Played, hook: str, record: Record, outcome: Outcome, before: Outcome | None
    ) -> Diagnostic:
        was = self.words(played.policy.program, hook, record.result)
        now = self.words(played.program, hook, outcome.result)
        others = () if before is None else (Label(before.span, f"the recorded policy gives {was}"),)
        text = f"{now} comes out, where {was} was recorded"
        return self.diagnostic(text, outcome.span, record, hook, label=f"gives {now}", others=others)

    def words(self, program: Program, hook: str, result: bytes) -> str:
        try:
            return self.decoder.words(program, hook, result)
        except CodecError as error:
            return f"no result of `{hook}` ({error})"

    # ---------------------------------------------------------------- the end

    def end(self, number: int, played: Played) -> None:
        """The state must be the recorded one, when the recorded policy was run on every call."""
        if self.log.shortcomings or played.program is not played.policy.program:
            return
        assert self.log.trailer is not None, "a log without a trailer falls short"
        final = self.log.trailer.finals.get(number)
        if final is None:
            if played.policy.schema.fields and self.decoder.tells_end(number, len(self.log.policies)):
                self.open.append(f"the log does not hold the state of {played.policy.name} at the end")
            return
        try:
            image = played.runner.image()
        except Exception as error:
            raise _broken(played.policy, None, error) from error
        if image != final:
            fields = self.fields(played, image, final)
            text = f"the state of {played.policy.name} is another in the end: {fields}"
            raise Differs(Diagnostic(Severity.ERROR, "L002", text, NOWHERE), None)

    def fields(self, played: Played, image: bytes, final: bytes) -> str:
        try:
            ours, theirs = (decode_state(played.program.state, i) for i in (image, final))
        except CodecError as error:
            return f"the recorded one cannot be read ({error})"
        different = [n for n in ours if repr(ours[n]) != repr(theirs[n])]
        return ", ".join(f"`{n}` is {ours[n].value!r}, and was {theirs[n].value!r}" for n in different)
