# SPDX-License-Identifier: Apache-2.0
"""Whether a policy keeps what it promises: `ensures` of its handlers, invariants of its class.

Each handler is taken from any state that keeps the invariants, with any arguments that keep its `requires`.  A promise
that can be broken comes with inputs that break it, which were run on the interpreter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from transect.analysis import fold
from transect.analysis.allowance import Spent, allowed
from transect.analysis.concrete import Reader, instance_of
from transect.analysis.did import Doing, ModelTape, told
from transect.analysis.evaluate import Evaluator, start
from transect.analysis.running import LimitedRun
from transect.analysis.shown import changes, snapshot
from transect.analysis.small import attempts, parameters
from transect.analysis.smaller import smallest
from transect.analysis.solve import CORRECTIONS, LIMIT, SECOND, Answer, Found, Model, Question
from transect.analysis.state import Path, Result, unknown
from transect.analysis.terms import TRUE, Term, unfolded
from transect.analysis.values import Unsupported, Value, View
from transect.analysis.views import Outside
from transect.analysis.world import World
from transect.base.span import Span
from transect.core import ir
from transect.core.frontend.contracts import Contract, Contracted
from transect.core.interp import Instance
from transect.core.ir import FieldKind
from transect.core.types import ViewType

EARLIER = " earlier"  # marks what was so after the call before

WorldOf = Callable[[str], World]
"""A world for a call, by the name of its tape."""


class Verdict(StrEnum):
    PROVED = "proved"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Example:
    """Inputs that break a promise."""

    state: dict[str, object]
    args: dict[str, str]  # the handler's parameters, as they are shown
    facts: str  # time and draws
    result: str
    after: dict[str, str]  # fields that the call changed


@dataclass(frozen=True)
class Finding:
    """The result for one promise at one handler (`""`: at the beginning)."""

    verdict: Verdict
    kind: str  # ensures, invariant
    hook: str
    span: Span
    why: str = ""
    example: Example | None = None
    seconds: float = 0.0
    unfollowed: Mapping[Span, str] = field(default_factory=dict)  # possible reasons, in words
    late: bool = False  # the solver's time was up


@dataclass(frozen=True)
class Prover:
    """Proves the contracts of one policy."""

    policy: Contracted
    world: WorldOf = World
    limit: float = LIMIT  # seconds of processor time to evaluate a handler, and again for each promise
    findings: list[Finding] = field(default_factory=list)

    def run(self) -> list[Finding]:
        return [*self.at_first(), *self.handlers()]

    # ------------------------------------------------------------ at the beginning

    def at_first(self) -> Iterator[Finding]:
        """Invariants of the state as it is declared: they are simply run."""
        instance = Instance(self.policy.program)
        for contract in self.policy.of("invariant"):
            verdict, why = Verdict.PROVED, ""
            try:
                with allowed(self.limit):
                    if not holds_on(instance, contract, ()):
                        verdict, why = Verdict.BROKEN, "the state as declared breaks it"
            except Spent as spent:
                verdict, why = Verdict.UNKNOWN, str(spent)
            yield Finding(verdict, "invariant", "", contract.function.span, why)

    # ------------------------------------------------------------ handlers

    def handlers(self) -> Iterator[Finding]:
        for handler in self.policy.program.handlers:
            promises = [*self.policy.of("ensures", handler.name), *self.policy.of("invariant")]
            if promises and not handler.default:
                yield from self._handler(handler, promises)

    def _handler(self, handler: ir.Function, promises: Sequence[Contract]) -> Iterator[Finding]:
        try:
            with allowed(self.limit):
                call = SymbolicCall(self.policy, handler, self.world(handler.name))
        except (Unsupported, Spent) as why:
            for promise in promises:
                yield self._not_evaluated(promise, handler, why)
            return
        for promise in promises:
            try:
                with allowed(self.limit):
                    found = self._promise(call, promise, handler)
            except (Unsupported, Spent) as why:
                found = self._not_evaluated(promise, handler, why)
            yield found

    def _not_evaluated(self, promise: Contract, handler: ir.Function, why: Unsupported | Spent) -> Finding:
        found = self._finding(promise, handler, Verdict.UNKNOWN, f"not evaluated: {why}")
        if isinstance(why, Spent):
            return replace(found, late=why.late)
        return found if why.span is None else replace(found, unfollowed={why.span: "not followed"})

    def _promise(self, call: SymbolicCall, promise: Contract, handler: ir.Function) -> Finding:
        holds = call.after(promise)
        if holds is TRUE:
            return self._finding(promise, handler, Verdict.PROVED, "for every input")
        question = [*call.given, fold.negate(holds)]
        impossible, late = "", False
        for found in self._asked(question, call.world):
            match found.answer:
                case Answer.NEVER:
                    return self._finding(
                        promise, handler, Verdict.PROVED, "by the solver", None, found.seconds
                    )
                case Answer.UNKNOWN:
                    impossible, late = f"the solver gave up ({found.why})", found.late
                case Answer.SOMETIMES:
                    assert found.model is not None, "an answer with a model"
                    example = self._replayed(call, promise, handler, found.model, question)
                    if example is not None:
                        return self._finding(promise, handler, Verdict.BROKEN, "", example, found.seconds)
                    impossible = "no proof, and no input that breaks it when it is run" + call.world.unsure()
        unknown = self._finding(promise, handler, Verdict.UNKNOWN, impossible)
        return replace(unknown, unfollowed=dict(call.world.unfollowed), late=late)

    def _asked(self, question: list[Term], world: World) -> Iterator[Found]:
        """Answers for small numbers, then for any, then with exact operators.  `NEVER` for small numbers alone proves
        nothing.
        """
        for attempt in attempts([("self", self.policy.program)], question, world, self.limit):
            found = Question(
                [*question, *attempt.more],
                world.assumptions,
                attempt.exact,
                attempt.exact,
                attempt.seconds,
                corrections=CORRECTIONS,
                plain=bool(attempt.more),
            ).ask()
            if found.answer is not Answer.NEVER or not attempt.more:
                yield found

    def _replayed(
        self, call: SymbolicCall, promise: Contract, handler: ir.Function, model: Model, question: list[Term]
    ) -> Example | None:
        """Run the inputs; None when the promise holds all the same."""
        reader = Reader(model, [*question, *call.world.assumptions])
        first = self._run(call, promise, handler, reader)
        if first is None:
            return None
        return smallest(
            reader,
            call.world.assumptions,
            first,
            lambda: self._run(call, promise, handler, reader),
            parameters("self", self.policy.program),
        )

    def _run(
        self, call: SymbolicCall, promise: Contract, handler: ir.Function, reader: Reader
    ) -> Example | None:
        concrete = ConcreteCall(self.policy.program, handler, reader, call.world)
        invariants = self.policy.of("invariant")
        if not (all(map(concrete.held, invariants)) and all(map(concrete.holds, call.requires))):
            return None
        before = concrete.shown()
        args = {p.name: shown(a) for p, a in zip(handler.params, concrete.args, strict=True)}
        args |= call.world.told(reader)
        concrete.run()
        if concrete.holds(promise):
            return None
        changed = changes(before, concrete.shown())
        return Example(concrete.state, args, concrete.facts(), repr(concrete.result), changed)

    def recheck(self, finding: Finding) -> Answer:
        """Check a proof a second time: with terms as written, another seed and another tactic."""
        handler = self.policy.program.handler(finding.hook)
        assert handler is not None, "of a handler"
        promise = next(c for c in self.policy.contracts if c.function.span == finding.span)
        with suppress(Spent), unfolded(), allowed(SECOND.times * self.limit):
            call = SymbolicCall(self.policy, handler, self.world(handler.name))
            parts = [*call.given, fold.negate(call.after(promise))]
            again = Question(parts, call.world.assumptions, limit=self.limit, asking=SECOND)
            return again.ask().answer
        return Answer.UNKNOWN

    def _finding(
        self,
        promise: Contract,
        handler: ir.Function,
        verdict: Verdict,
        why: str,
        example: Example | None = None,
        seconds: float = 0.0,
    ) -> Finding:
        return Finding(verdict, promise.kind, handler.name, promise.function.span, why, example, seconds)


class SymbolicCall:
    """One handler from any state that keeps the invariants."""

    def __init__(self, policy: Contracted, handler: ir.Function, world: World) -> None:
        self.policy = policy
        self.handler = handler
        self.world = world
        self.evaluator = Evaluator(policy.program, world)
        self.args: list[Value] = [argument(p, world) for p in handler.params]
        self.before = start(policy.program, "self", world)
        self.requires = policy.of("requires", handler.name)
        given = [*self._invariants(), *(self._holds(c, self.before, self.args) for c in self.requires)]
        self.given = [term for term in given if term is not TRUE]
        self.result: Result = self.evaluator.handler(handler.name, self.args, self.before)

    def _invariants(self) -> Iterator[Term]:
        """That the invariants held after the call before: with this state, but another time and other parameters."""
        earlier = World(f"{self.world.tape}{EARLIER}", self.world.assumptions)
        path = self.before.copy()
        for f in self.policy.program.state:
            if f.kind is FieldKind.PARAM:
                path.fields[f.name] = unknown(f"self.{f.name}{EARLIER}", f.type, self.world.assume)
        evaluator = Evaluator(self.policy.program, earlier)
        for c in self.policy.of("invariant"):
            held = evaluator.call(evaluator.program.function(c.function.name), [], path.copy()).value
            assert isinstance(held, Term), "a condition is a truth value"
            yield held

    def after(self, promise: Contract) -> Term:
        """Whether the promise holds after the call."""
        args: list[Value] = []
        if promise.kind == "ensures":
            args = list(self.args)
            if _takes_result(promise, self.handler):
                args.append(self.result.value)
        return self._holds(promise, self.result.path, args)

    def _holds(self, contract: Contract, path: Path, args: Sequence[Value]) -> Term:
        function = self.evaluator.program.function(contract.function.name)
        value = self.evaluator.call(function, args, path.copy()).value
        assert isinstance(value, Term), "a condition is a truth value"
        return value


def _takes_result(promise: Contract, handler: ir.Function) -> bool:
    """Whether the condition takes the handler's result: not if the policy declares `-> None`, even if the hook may
    return more.
    """
    return len(promise.function.params) > len(handler.params)


def argument(p: ir.Param, world: World) -> Value:
    """Any argument."""
    if isinstance(p.type, ViewType):
        return View(p.name)
    return unknown(p.name, p.type, world.assume)


class ConcreteCall:
    """The same call with a model's inputs, on the interpreter."""

    def __init__(self, program: ir.Program, handler: ir.Function, reader: Reader, world: World) -> None:
        self.program = program
        self.world = world
        self.handler = handler
        self.state = reader.state(program, "self")
        self.reader = reader
        self.instance = self._instance(self.state)
        self.doing = Doing(reader, program, world)
        self.tape = ModelTape(reader, world.tape)
        self.tapes = [self.tape]  # of the call, and of what is promised of it
        self.name = world.tape
        self.args: list[Any] = [self._argument(p) for p in handler.params]
        self.locals: dict[str, object] = {
            f.name: reader.input(f.type, f"self.{f.name}") for f in program.state if f.kind is FieldKind.LOCAL
        }
        self.result: Any = None
        self.done = False

    def _instance(self, state: Mapping[str, object]) -> Instance:
        made = instance_of(self.program, state)
        made.state.update(self.world.kept(self.reader, self.program, "self"))
        return made

    def _argument(self, p: ir.Param) -> Any:
        if isinstance(p.type, ViewType):
            return self.world.outside(self.reader, self.program, p.type, p.name)
        return self.reader.input(p.type, p.name)

    def run(self) -> None:
        run = LimitedRun(self.instance, self.tape, self.locals, self.doing.functions)
        self.result = run.call(self.handler, self.args)
        self.done = True

    def holds(self, contract: Contract) -> bool:
        args = list(self.args) if contract.kind != "invariant" else []
        if contract.kind == "ensures" and _takes_result(contract, self.handler):
            args.append(self.result)
        tape = ModelTape(self.reader, self.name, self.tape.drawn)
        self.tapes.append(tape)
        run = LimitedRun(self.instance, tape, self.locals, self.doing.functions)
        return bool(run.call(contract.function, args))

    def held(self, invariant: Contract) -> bool:
        """Whether the invariant held after the previous call, when parameters may have been different."""
        earlier = {
            f.name: value
            for f in self.program.state
            if f.kind is FieldKind.PARAM
            and (value := self.reader.field(f, f"self.{f.name}{EARLIER}")) is not None
        }
        tape = ModelTape(self.reader, f"{self.name}{EARLIER}")
        run = LimitedRun(self._instance(self.state | earlier), tape, self.locals, self.doing.functions)
        return bool(run.call(invariant.function, []))

    def shown(self) -> dict[str, object]:
        return snapshot(self.instance.state)

    def facts(self) -> str:
        return told(self.tapes)


def holds_on(instance: Instance, contract: Contract, args: Sequence[object]) -> bool:
    from transect.lang.tape import GivenTape

    return bool(LimitedRun(instance, GivenTape(), {}, {}).call(contract.function, args))


def shown(argument: object) -> str:
    """An argument in words."""
    return repr(argument.told() if isinstance(argument, Outside) else argument)
