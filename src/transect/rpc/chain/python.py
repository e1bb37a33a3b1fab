# SPDX-License-Identifier: Apache-2.0
"""A chain in Python: the same calls on bytes as `runtime/chain.h`, over emitted Python or over the interpreter.

It serves where there is no compiler, in replay, and as the oracle of the native chain.  The rules of a chain:

- A message is walked once before the first element; a malformed one, or one whose text is not UTF-8 in a field that
  some element reads, is rejected with INVALID_ARGUMENT by the chain itself (`element` is `NOBODY`).  A message of which
  no element reads a field is not looked into.
- Each element sees the message that the one before passed on.  `rpc.body` is the message as it came to the element.
- In `response` and `finish`, `rpc.msg` is the request as this element passed it on (with its own assignments).
  Likewise, in `finish`, `rpc.reply` is the last reply.  Both are empty messages when none passed.
- `rpc.headers` are the request's in `request`, the reply's afterwards; `rpc.trailers` the reply's.
- Delays of `Forward(after=…)` add up; a negative one counts as none; the last route named by `to=` wins.
- The outcome of a message, also a refusal or an answer by a later element, is seen when the delays so far are over.
- `Respond` in `request`: the `response` hooks of the elements before it run, in reverse, on that reply.  In `response`
  it replaces the reply for the elements before it.
- A method which the binding does not cover is refused with UNIMPLEMENTED, or passed untouched (`pass_unknown`); it
  enters no element.
- Several `Retry` count as one, which waits for the longest of their delays.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from itertools import count
from typing import Any, Protocol

from transect.core import values
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.lang.tape import Tape, use
from transect.replay.tape import RecordingTape, answer_types
from transect.rpc.chain.binding import Binding, BoundElement
from transect.rpc.chain.fields import plans
from transect.rpc.chain.record import Record, Recording
from transect.rpc.chain.times import sampled
from transect.rpc.chain.views import HeaderStore, MessageView, OutcomeView, RpcView, ViewClasses
from transect.rpc.messages.plan import Plan, Plans
from transect.rpc.messages.redaction import Field, Redaction
from transect.rpc.messages.rewriter import changed, rewrite
from transect.rpc.messages.scanner import Malformed, Node, scan

NOBODY = 0xFFFF_FFFF  # `element` of a verdict that the chain itself gives
INVALID_ARGUMENT = 3
UNIMPLEMENTED = 12
LONGEST = (1 << 63) - 1  # ns


class Action(IntEnum):
    FORWARD = 0
    REJECT = 1
    RESPOND = 2


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """The same as `ts_verdict`."""

    action: Action
    code: int = 0  # REJECT
    text: bytes = b""  # REJECT: the message, UTF-8; RESPOND: the serialised reply
    message: bytes | None = None  # FORWARD: replaces the message that came in; None: pass it on as it came
    after: int = 0  # ns to wait before the message is passed on or the RPC is answered
    to: str | None = None  # FORWARD: the name of a route; no route is named ""
    element: int = NOBODY


@dataclass(frozen=True, slots=True)
class ChainEnding:
    """The same as `ts_ending`."""

    retry: bool = False
    after: int = 0  # ns


class Engine(Protocol):
    """Runs the handlers of one element and holds its state."""

    def call(self, hook: str, args: Sequence[object], tape: Tape, locals: dict[str, object]) -> Any:
        """The hook's verdict."""
        ...

    def image(self) -> bytes:
        """The state, as `core/codec.py` writes it."""
        ...

    def load(self, image: bytes) -> None:
        """Take over the state from an image; raises `CodecError`, having changed nothing."""
        ...


class Interpreted:
    """An element on the reference interpreter."""

    def __init__(
        self, instance: Instance, functions: Mapping[str, Callable[..., object]] | None = None
    ) -> None:
        self.instance = instance
        self._functions = functions

    def call(self, hook: str, args: Sequence[object], tape: Tape, locals: dict[str, object]) -> Any:
        return self.instance.call(hook, args, tape=tape, locals=locals, functions=self._functions)

    def image(self) -> bytes:
        return self.instance.image()

    def load(self, image: bytes) -> None:
        self.instance.load(image)


class Emitted:
    """An element as an instance of an emitted policy class, which keeps its locals in the RPC's `__locals__`."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    def call(self, hook: str, args: Sequence[object], tape: Tape, locals: dict[str, object]) -> Any:
        args[0].__locals__ = locals  # type: ignore[attr-defined]
        with use(tape):
            return getattr(self.policy, hook)(*args)

    def image(self) -> bytes:
        from transect.emit.py.image import image

        return image(self.policy)

    def load(self, image: bytes) -> None:
        from transect.emit.py.image import restore

        restore(self.policy, image)


# ---------------------------------------------------------------- a message on its way


class Passing:
    """A message between elements: its bytes, and what was found in them."""

    __slots__ = ("_node", "data", "plan", "plans", "replaced")

    def __init__(self, plans: Plans, plan: Plan, data: bytes) -> None:
        self.plans = plans
        self.plan = plan
        self._node: Node | None = None
        self.replace(data)
        self.replaced = False  # whether an element replaced the message that came in

    def replace(self, data: bytes) -> None:
        """Put another message in its place; raises `Malformed`."""
        self.data = data
        self.replaced = True
        self._node = scan(self.plans, self.plan.message, data) if self.plan.visible else None

    @property
    def node(self) -> Node:
        return Node(self.plan) if self._node is None else self._node

    def settle(self) -> bytes | None:
        """Serialise what elements assigned; None if nothing was."""
        if self._node is None or not changed(self._node):
            return None
        self.replace(rewrite(self._node))
        return self.data


# ---------------------------------------------------------------- one element


@dataclass
class ElementState:
    """What is kept for one element and one RPC."""

    locals: dict[str, object] = field(default_factory=dict)
    request: Node | None = None  # the request as this element passed it on
    reply: Node | None = None
    body: bytes = b""  # the message as it came to the element
    reply_body: bytes = b""


class ElementRunner:
    """Runs the hooks of one element: makes its views, reads its verdicts, and keeps what later hooks need."""

    def __init__(
        self, element: BoundElement, engine: Engine, found: Plans, redacted: Container[Field] = ()
    ) -> None:
        """`redacted`: fields in whose place the messages have digests, as those of a log do."""
        self.element = element
        self.engine = engine
        self.plans = found
        self.lock = threading.Lock()
        self.sequence = count()  # of calls, taken inside the lock
        self._views = ViewClasses(element, found, redacted)
        self._methods = {m.method.path: m for m in element.methods}
        needs = element.needs
        self._later_request = bool(needs.uses_of("response", "msg") + needs.uses_of("finish", "msg"))
        self._later_reply = bool(needs.uses_of("finish", "reply"))

    @property
    def program(self) -> Program:
        return self.element.program

    def defines(self, hook: str) -> bool:
        return hook in self.element.needs.hooks

    def message(
        self, hook: str, rpc: RpcFacts, state: ElementState, passing: Passing, tape: Tape
    ) -> tuple[Any, bytes | None]:
        """Run `request` or `response` on a message: the verdict, and the message if it was rewritten."""
        came = passing.data
        verdict = None
        if self.defines(hook):
            view = self.view_of_message(hook, rpc, state, passing)
            verdict = self.engine.call(hook, [view], tape, state.locals)
        return verdict, self.passed(hook, state, passing, came)

    def view_of_message(self, hook: str, rpc: RpcFacts, state: ElementState, passing: Passing) -> RpcView:
        """The `rpc` for `request` or `response`."""
        view = self._view(hook, rpc, state)
        method = self._methods[rpc.method]
        if hook == "request":
            view.msg, view.body = self._of(method.requests, passing.node, hook), passing.data
        else:
            view.reply, view.reply_body = self._of(method.replies, passing.node, hook), passing.data
        return view

    def passed(self, hook: str, state: ElementState, passing: Passing, came: bytes) -> bytes | None:
        """After the hook has run: keep what later hooks read; return the message if it was rewritten."""
        self._keep(hook, state, passing.node, came)
        return passing.settle()

    def _keep(self, hook: str, state: ElementState, node: Node, came: bytes) -> None:
        if hook == "request":
            state.body = came
            state.request = node.copy() if self._later_request else None
        else:
            state.reply_body = came
            state.reply = node.copy() if self._later_reply else None

    def finish(self, rpc: RpcFacts, state: ElementState, outcome: OutcomeView, tape: Tape) -> Any:
        if not self.defines("finish"):
            return None
        return self.engine.call("finish", [self.view_of_end(rpc, state), outcome], tape, state.locals)

    def view_of_end(self, rpc: RpcFacts, state: ElementState) -> RpcView:
        """The `rpc` for `finish`."""
        view = self._view("finish", rpc, state)
        method = self._methods[rpc.method]
        view.reply_body = state.reply_body
        view.reply = self._of(method.replies, state.reply or Node(self.plans[method.method.reply]), "finish")
        return view

    def _view(self, hook: str, rpc: RpcFacts, state: ElementState) -> RpcView:
        view = RpcView(rpc.method, rpc.peer, rpc.headers, hook)
        if hook != "request":
            method = self._methods[rpc.method]
            view.body = state.body
            view.msg = self._of(
                method.requests, state.request or Node(self.plans[method.method.request]), hook
            )
        return view

    def _of(self, names: tuple[str, ...], node: Node, hook: str) -> MessageView | None:
        """The message, as the view class that the hook names."""
        handler = self.program.handler(hook)
        assert handler is not None
        arguments = getattr(handler.params[0].type, "arguments", ())
        wanted = [getattr(a, "name", "") for a in arguments]
        name = next((n for n in names if n in wanted), None)
        return None if name is None else self._views.of(name, node.plan.message)(node)


@dataclass(frozen=True)
class RpcFacts:
    """What is the same for all hooks of one RPC."""

    method: str  # /package.Service/Method
    peer: str
    headers: HeaderStore


# ---------------------------------------------------------------- the chain


class PythonChain:
    """All elements of a chain on one service."""

    def __init__(
        self,
        binding: Binding,
        engines: Sequence[Engine],
        *,
        pass_unknown: bool = False,
        recording: Recording | None = None,
        took: Callable[[int, int], object] | None = None,
    ) -> None:
        """`took`: called, for a sample of RPCs, with an element and the ns that it took for a message, including the
        delay that it asked for.
        """
        assert len(engines) == len(binding.elements), "one engine for each element"
        self.binding = binding
        self.plans = plans(binding)
        self.redaction = Redaction(binding.service.messages, binding.secrets)
        self.runners = [
            ElementRunner(e, engine, self.plans) for e, engine in zip(binding.elements, engines, strict=True)
        ]
        self.methods = {m.path: m for m in binding.methods}
        self.pass_unknown = pass_unknown
        self.recording = recording
        self.took = took
        self._rpcs = count()

    def rpc(self, method: str, peer: str, headers: HeaderStore, tape: Tape) -> PythonRpc:
        """Begin an RPC."""
        return PythonRpc(self, RpcFacts(method, peer, headers), tape)

    def next_rpc(self) -> int:
        return next(self._rpcs)

    def save(self, element: int) -> bytes:
        """The state of one element as an image."""
        with self.runners[element].lock:
            return self.runners[element].engine.image()

    def load(self, element: int, image: bytes) -> None:
        """Take over the state from an image; raises `CodecError`, having changed nothing."""
        with self.runners[element].lock:
            self.runners[element].engine.load(image)


class PythonRpc:
    """One RPC on its way through a chain.  Its hooks are called on one thread at a time."""

    def __init__(self, chain: PythonChain, facts: RpcFacts, tape: Tape) -> None:
        self.chain = chain
        self.facts = facts
        self.number = -1  # given at the first message
        self._tape = tape
        self._method = chain.methods.get(facts.method)
        self._states: list[ElementState] = []  # of the elements that the RPC has entered

    # ------------------------------------------------------------ hooks

    def _begin(self) -> None:
        if self.number < 0:
            self.number = self.chain.next_rpc()

    def request(self, message: bytes) -> ChainVerdict:
        self._begin()
        if self._method is None:
            return self._unknown()
        try:
            passing = Passing(self.chain.plans, self.chain.plans[self._method.request], message)
        except Malformed:
            return malformed(self._method.request)
        after, to = 0, None
        for index in range(len(self.chain.runners)):
            if index == len(self._states):
                self._states.append(ElementState())
            verdict = self._message("request", index, passing)
            match verdict_name(verdict):
                case "Reject":
                    return rejected(verdict, index, after)
                case "Respond":
                    return self._respond(verdict.body, index, after)
                case _:
                    after, to = passed(verdict, after, to)
        return ChainVerdict(
            Action.FORWARD, message=passing.data if passing.replaced else None, after=after, to=to
        )

    def _respond(self, body: bytes, index: int, after: int) -> ChainVerdict:
        verdict = self._replies(body, index)
        total = longer(after, verdict.after)
        if verdict.action is Action.REJECT:
            return replace(verdict, after=total)
        reply = body if verdict.message is None else verdict.message
        return ChainVerdict(Action.RESPOND, text=reply, after=total, element=index)

    def response(self, message: bytes) -> ChainVerdict:
        self._begin()
        if self._method is None:
            return ChainVerdict(Action.FORWARD)
        return self._replies(message, len(self._states))

    def _replies(self, message: bytes, end: int) -> ChainVerdict:
        """The `response` of the elements before `end`, last first."""
        assert self._method is not None
        name, after = self._method.reply, 0
        try:
            passing = Passing(self.chain.plans, self.chain.plans[name], message)
            for index in reversed(range(end)):
                verdict = self._message("response", index, passing)
                match verdict_name(verdict):
                    case "Reject":
                        return rejected(verdict, index, after)
                    case "Respond":
                        passing.replace(verdict.body)
                    case _:
                        after, _ = passed(verdict, after, None)
        except Malformed:
            return replace(malformed(name), after=after)
        return ChainVerdict(Action.FORWARD, message=passing.data if passing.replaced else None, after=after)

    def finish(self, code: int, cause: int, elapsed: int) -> ChainEnding:
        """Called once, when the RPC has ended; `elapsed` in ns."""
        retry, after = False, 0
        outcome = OutcomeView(code, cause, elapsed)
        for index in reversed(range(len(self._states))):
            verdict = self._finish(index, outcome)
            if verdict is not None:
                retry, after = True, max(after, verdict.after or 0)
        self._states = []
        return ChainEnding(retry, after)

    # ------------------------------------------------------------ one element

    def _message(self, hook: str, index: int, passing: Passing) -> Any:
        runner = self.chain.runners[index]
        tape, came = self._taped(runner), passing.data
        took = self.chain.took if runner.defines(hook) and sampled(self.number) else None
        began = time.monotonic_ns() if took else 0
        with runner.lock:
            sequence = next(runner.sequence) if runner.defines(hook) else 0
            verdict, rewritten = runner.message(hook, self.facts, self._states[index], passing, tape)
        if took:
            delay = passed(verdict, 0, None)[0] if verdict_name(verdict) == "Forward" else 0
            took(index, time.monotonic_ns() - began + delay)
        if isinstance(tape, RecordingTape) and runner.defines(hook):
            self._record(sequence, index, hook, tape, verdict, came=came, rewritten=rewritten)
        return verdict

    def _finish(self, index: int, outcome: OutcomeView) -> Any:
        runner = self.chain.runners[index]
        tape = self._taped(runner)
        with runner.lock:
            sequence = next(runner.sequence) if runner.defines("finish") else 0
            verdict = runner.finish(self.facts, self._states[index], outcome, tape)
        if isinstance(tape, RecordingTape) and runner.defines("finish"):
            self._record(sequence, index, "finish", tape, verdict, outcome=outcome)
        return verdict

    def _taped(self, runner: ElementRunner) -> Tape:
        return (
            self._tape
            if self.chain.recording is None
            else RecordingTape(self._tape, answer_types(runner.program))
        )

    def _record(
        self,
        sequence: int,
        index: int,
        hook: str,
        tape: RecordingTape,
        verdict: Any,
        *,
        came: bytes = b"",
        rewritten: bytes | None = None,
        outcome: OutcomeView | None = None,
    ) -> None:
        assert self.chain.recording is not None
        program = self.chain.runners[index].program
        if outcome is None and self._method is not None:
            name = self._method.request if hook == "request" else self._method.reply
            came = self.chain.redaction(name, came)
            rewritten = None if rewritten is None else self.chain.redaction(name, rewritten)
        record = Record.of(
            program,
            hook,
            verdict,
            method=self.facts.method,
            peer=self.facts.peer,
            message=came,
            rewritten=rewritten,
            outcome=outcome,
            tape=bytes(tape.entries),
        )
        self.chain.recording(record.placed(sequence, self.number, index))

    def _unknown(self) -> ChainVerdict:
        if self.chain.pass_unknown:
            return ChainVerdict(Action.FORWARD)
        return ChainVerdict(Action.REJECT, UNIMPLEMENTED, f"no policy covers {self.facts.method}".encode())


# ---------------------------------------------------------------- verdicts


def verdict_name(verdict: Any) -> str:
    return "Forward" if verdict is None else values.struct_name(verdict)


def rejected(verdict: Any, index: int, after: int) -> ChainVerdict:
    return ChainVerdict(
        Action.REJECT, int(verdict.code), verdict.message.encode(), after=after, element=index
    )


def malformed(message: str) -> ChainVerdict:
    return ChainVerdict(Action.REJECT, INVALID_ARGUMENT, f"malformed {message}".encode())


def passed(verdict: Any, after: int, to: str | None) -> tuple[int, str | None]:
    """The delay and route so far, combined with those of one more `Forward`."""
    if verdict is None:
        return after, to
    return longer(after, verdict.after or 0), to if verdict.to is None else verdict.to


def longer(after: int, more: int) -> int:
    """The sum of two delays, in ns."""
    return min(after + max(0, more), LONGEST)
