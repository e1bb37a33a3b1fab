# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.core.test_effects import HEAD, compiled
from transect.core.codec import Reader, decode, encode
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.core.schema import schema
from transect.core.types import INT, SeqType
from transect.lang.tape import GivenTape, Tape
from transect.replay import Call, Comparison, Log, Policy, Record, RecordingTape, Trailer, compare
from transect.replay.log import Header, LogError
from transect.replay.tape import answer_types


class Plain:
    """A stratum whose calls have one argument, a number, as `rpc.msg.n`; or that of an Arbiter."""

    def tells_end(self, policy: int, policies: int) -> bool:
        return True

    def call(self, program: Program, hook: str, record: Record) -> Call:
        handler = program.handler(hook)
        assert handler is not None
        reader = Reader(record.arguments)
        values = []
        while reader.left:
            values.append(reader.value(INT))
        args: Sequence[object] = values
        if program.stratum == "rpc":
            asked = SimpleNamespace(get=lambda name: 1 / 0)
            args = [SimpleNamespace(msg=SimpleNamespace(n=values[0]), headers=asked)]
        ends = hook == "response"
        return Call(args, lambda value: encode(handler.returns, value), ends=ends)

    def words(self, program: Program, hook: str, result: bytes) -> str:
        handler = program.handler(hook)
        assert handler is not None
        return repr(Reader(result).value(handler.returns))


def recorded(
    program: Program, calls: Sequence[tuple[str, int, int]], tape: Tape | None = None, *, first: int = 0
) -> Log:
    """A log of calls (hook, number, instance) of a fresh policy."""
    instance = Instance(program)
    start = instance.image()
    hooks = [h.name for h in program.handlers]
    records: list[Record] = []
    kept: dict[int, dict[str, object]] = {}
    for sequence, (hook, number, rpc) in enumerate(calls, first):
        recording = RecordingTape(tape or GivenTape(), answer_types(program))
        message = SimpleNamespace(n=number)
        headers = SimpleNamespace(get=lambda name: f"{name}!")
        view = SimpleNamespace(msg=message, headers=headers)
        value = instance.call(hook, [view], tape=recording, locals=kept.setdefault(rpc, {}))
        handler = program.handler(hook)
        assert handler is not None
        records.append(
            Record(
                sequence,
                0,
                hooks.index(hook),
                rpc,
                encode(INT, number),
                bytes(recording.entries),
                encode(handler.returns, value),
            )
        )
    policy = Policy.of(program, schema(program), start, sources={}, first=first)
    trailer = Trailer(len(records), 0, {0: instance.image()})
    return Log(Header("rpc", "test", True), (policy,), tuple(records), trailer)


IMPORTS = "from transect.lang import Local, local, state\n"
LIMIT = """
class Num(Message):
    n: int

class P(Element):
    total: int = 0
    limit: Param[int] = param(10)
    mine: Local[int] = local(0)

    def request(self, rpc: Rpc[Num]) -> Verdict:
        self.total += rpc.msg.n
        self.mine += 1
        if self._over():
            return Reject(Code.ABORTED, "over")
        return Forward()

    def response(self, rpc: Rpc[Num]) -> Verdict:
        if self.mine > 1:
            return Reject(Code.ABORTED, "twice")
        return Forward()

    def _over(self) -> bool:
        return self.total > self.limit
"""


def policy(text: str = LIMIT) -> Program:
    return compiled(IMPORTS + text)


CALLS = [
    ("request", 4, 1),
    ("request", 5, 2),
    ("response", 0, 1),
    ("request", 0, 2),
    ("request", 3, 3),
    ("response", 0, 2),
]


def shown(found: Comparison, text: str) -> tuple[str, str]:
    """The message and the line of the policy at its span."""
    assert found.divergence is not None
    lines = (HEAD + IMPORTS + text).splitlines()
    return found.divergence.message, lines[found.divergence.span.line - 1].strip()


def test_a_log_replays_on_the_policy_that_it_holds() -> None:
    found = compare(recorded(policy(), CALLS), Plain())
    assert found == Comparison(6, None, None, ())
    assert found.same


def test_a_log_without_the_state_at_the_end_is_not_said_to_be_whole() -> None:
    """Whoever forges a trailer and leaves it out gets no "as recorded" without a word."""
    log = recorded(policy(), CALLS)
    assert log.trailer is not None
    forged = replace(log, trailer=replace(log.trailer, finals={}))
    found = compare(forged, Plain())
    assert found == Comparison(6, None, None, ("the log does not hold the state of P at the end",))
    assert not found.same


def test_what_one_policy_lacks_hides_nothing_of_another() -> None:
    log = recorded(policy(), CALLS)
    assert log.trailer is not None
    second = tuple(replace(record, policy=1) for record in log.records)
    wrong = Instance(policy()).image()
    both = replace(
        log,
        policies=log.policies * 2,
        records=log.records + second,
        trailer=Trailer(2 * len(log.records), 0, {1: wrong}),
    )
    found = compare(both, Plain())
    assert found.divergence is not None
    assert found.divergence.code == "L002"


def test_a_tape_that_does_not_fit_is_a_divergence_with_another_policy_too() -> None:
    log = recorded(policy(), CALLS)
    odd = replace(log, records=(replace(log.records[0], tape=bytes(8)), *log.records[1:]))
    text = LIMIT.replace("self.total > self.limit", "self.total >= self.limit - 1")
    for other in (None, policy(text)):
        found = compare(odd, Plain(), program=other)
        assert found.divergence is not None
        assert "`request` leaves the recording" in found.divergence.message


def test_another_policy_shows_the_line_that_gives_another_result() -> None:
    text = LIMIT.replace("self.total > self.limit", "self.total >= self.limit - 1")
    found = compare(recorded(policy(), CALLS), Plain(), program=policy(text))
    assert found.calls == 1
    assert shown(found, text) == (
        "Reject(code=10, message='over') comes out, where Forward(after=None, to=None) was recorded",
        'return Reject(Code.ABORTED, "over")',
    )
    assert found.divergence is not None and found.record is not None
    assert found.record.sequence == 1
    assert found.divergence.note == f"call 2 of {len(CALLS)} in the log, hook `request`, instance 2"
    assert found.divergence.label == "gives Reject(code=10, message='over')"
    (other,) = found.divergence.others
    assert other.text == "the recorded policy gives Forward(after=None, to=None)"
    assert other.span.line == found.divergence.span.line + 1


def test_a_call_is_numbered_within_its_log_which_may_begin_late() -> None:
    log = recorded(policy(), CALLS)
    later = replace(
        log,
        policies=tuple(replace(p, first=57) for p in log.policies),
        records=tuple(replace(r, sequence=r.sequence + 57) for r in log.records),
    )
    text = LIMIT.replace("self.total > self.limit", "self.total >= self.limit - 1")
    found = compare(later, Plain(), program=policy(text))
    assert found.divergence is not None and found.calls == 1
    assert found.divergence.note == f"call 2 of {len(CALLS)} in the log, hook `request`, instance 2"


def test_locals_belong_to_their_instance_and_end_with_it() -> None:
    log = recorded(policy(), CALLS)
    log = replace(log, records=tuple(replace(r, instance=0) for r in log.records))
    found = compare(log, Plain())
    assert found.divergence is not None and "message='twice'" in found.divergence.message


def test_state_goes_over_as_in_an_upgrade() -> None:
    text = LIMIT.replace("total: int = 0", 'sum: int = state(0, was="total")').replace(
        "self.total", "self.sum"
    )
    log = recorded(policy(), CALLS)
    began = replace(log.policies[0], start=policy_at(policy(), total=100))
    later = replace(log, policies=(began,), trailer=None)
    found = compare(later, Plain(), program=policy(text))
    assert found.calls == 0 and found.divergence is not None
    assert found.open == ("the recording was not closed",)


def policy_at(program: Program, **values: Any) -> bytes:
    instance = Instance(program)
    instance.state.update(values)
    return instance.image()


def test_state_that_cannot_go_over_leaves_the_question_open() -> None:
    text = (
        LIMIT.replace("total: int = 0", "total: float = 0.0")
        .replace("+= rpc.msg.n", "+= 1.0")
        .replace("self.total > self.limit", "self.total > 3.0")
    )
    found = compare(recorded(policy(), CALLS), Plain(), program=policy(text))
    assert not found.same and found.divergence is None
    assert found.open == (
        "the state of P at the start cannot be taken over: `total`: `int` became `float`, which is another kind",
    )


def test_missing_calls_leave_the_question_open() -> None:
    log = recorded(policy(), CALLS, first=7)
    missing = replace(log, records=log.records[:2] + log.records[3:])
    found = compare(missing, Plain())
    assert (found.calls, found.open) == (2, ("calls of P are missing before number 10",))
    assert compare(replace(log, records=log.records[1:]), Plain()).open == (
        "calls of P are missing before number 8",
    )
    dropped = replace(log, trailer=Trailer(6, 2, {}))
    assert compare(dropped, Plain()).open == ("2 calls were dropped",)


def test_the_order_of_calls_is_that_of_their_numbers() -> None:
    log = recorded(policy(), CALLS)
    assert compare(replace(log, records=tuple(reversed(log.records))), Plain()).same


def test_another_state_in_the_end_is_a_divergence() -> None:
    log = recorded(policy(), CALLS)
    found = compare(replace(log, trailer=Trailer(6, 0, {0: policy_at(policy(), total=3)})), Plain())
    assert found.divergence is not None and found.divergence.code == "L002"
    assert found.divergence.message == "the state of P is another in the end: `total` is 12, and was 3"


ASKING = """
class Num(Message):
    n: int

class P(Element):
    def request(self, rpc: Rpc[Num]) -> Verdict:
        if rand_below(10) < rpc.msg.n and rpc.headers.get("token") is not None:
            return Reject(Code.ABORTED, "x")
        return Forward()
"""


def test_outside_answers_come_from_the_log() -> None:
    log = recorded(policy(ASKING), [("request", 5, 1), ("request", 1, 2)], GivenTape(rand=[3, 4]))
    assert compare(log, Plain()).same
    assert [len(r.tape) for r in log.records] == [9 + 1 + 1 + 4 + 6, 9]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('and rpc.headers.get("token") is not None', "and now() > now()",
         "`request` leaves the recording: the handler asks for the time, where an outside answer was recorded"),
        ("rand_below(10) < rpc.msg.n", "rand_below(10) < rpc.msg.n and rand_below(2) == 0",
         "`request` leaves the recording: the handler asks for a random number, where an outside answer was "
         "recorded"),
    ],
)  # fmt: skip
def test_a_policy_that_asks_for_something_else_diverges(old: str, new: str, message: str) -> None:
    log = recorded(policy(ASKING), [("request", 5, 1)], GivenTape(rand=[3]))
    text = ASKING.replace(old, new)
    found = compare(log, Plain(), program=policy(text))
    assert shown(found, text) == (message, "def request(self, rpc: Rpc[Num]) -> Verdict:")


def test_a_hook_that_is_no_more() -> None:
    log = recorded(policy(), CALLS)
    program = policy()
    without = replace(program, handlers=tuple(h for h in program.handlers if h.name != "response"))
    found = compare(log, Plain(), program=without)
    assert found.divergence is not None
    assert found.divergence.message == "P has no hook `response`, which was recorded"


def test_any_runner_may_run_it() -> None:
    made = []

    def runner(program: Program) -> Instance:
        made.append(Instance(program))
        return made[-1]

    assert compare(recorded(policy(), CALLS), Plain(), runner=runner).same
    assert made[0].state["total"] == 12


def test_the_policies_of_a_chain_share_one_clock() -> None:
    first = recorded(policy(), CALLS)
    trailer = first.trailer
    assert trailer is not None
    evens = [replace(r, sequence=2 * r.sequence) for r in first.records]
    odds = [replace(r, sequence=2 * r.sequence + 1, policy=1) for r in first.records]
    both = replace(
        first,
        policies=(*first.policies, replace(first.policies[0], first=1)),
        records=tuple(evens + odds),
        trailer=Trailer(2 * trailer.records, 0, {0: trailer.finals[0], 1: trailer.finals[0]}),
    )
    assert compare(both, Plain()) == Comparison(12, None, None, ())
    torn = replace(both, records=tuple(evens + odds[:2] + odds[3:]))
    assert compare(torn, Plain()).open == (
        "calls of P are missing before number 6",
        "calls of P are missing before number 7",
    )


# ---------------------------------------------------------------- an Arbiter: who waits is part of a call

ARBITER = """
class P(Arbiter):
    served: Tally[Client, int] = tally(8)

    def pick(self) -> Client:
        chosen = min(self.waiting, key=self.served.get)
        self.served[chosen] += 1
        return chosen
"""


class Picks:
    """Records of `pick` hold who waits."""

    def tells_end(self, policy: int, policies: int) -> bool:
        return False

    def call(self, program: Program, hook: str, record: Record) -> Call:
        waiting = decode(SeqType(INT), record.arguments)
        return Call([], lambda value: encode(INT, value), waiting=waiting)

    def words(self, program: Program, hook: str, result: bytes) -> str:
        return f"client {decode(INT, result)}"


class Plainly:
    """A runner that is not the interpreter, but behaves like an emitted policy."""

    def __init__(self, program: Program) -> None:
        self._instance = Instance(program)
        self.waiting: list[object] = []

    def load(self, image: bytes) -> None:
        self._instance.load(image)

    def image(self) -> bytes:
        return self._instance.image()

    def call(self, hook: str, args: Sequence[object], **rest: Any) -> Any:
        self._instance.waiting[:] = self.waiting
        return self._instance.call(hook, args, **rest)


@pytest.mark.parametrize("runner", [None, Plainly])
def test_who_waits_comes_from_the_record(runner: Any) -> None:
    program = compiled(IMPORTS + ARBITER)
    hook = [h.name for h in program.handlers].index("pick")
    start = Instance(program).image()
    waits = [((3, 1), 3), ((3, 1), 1), ((1, 3), 1), ((2, 1, 3), 2)]
    records = tuple(
        Record(i, 0, hook, 0, encode(SeqType(INT), waiting), b"", encode(INT, picked))
        for i, (waiting, picked) in enumerate(waits)
    )
    log = Log(
        Header("llm", "x", False),
        (Policy.of(program, schema(program), start, sources={}),),
        records,
        Trailer(4, 0, {}),
    )
    assert compare(log, Picks(), runner=runner).same
    wrong = replace(log, records=(*records[:3], replace(records[3], result=encode(INT, 3))))
    found = compare(wrong, Picks(), runner=runner)
    assert found.divergence is not None
    assert found.divergence.message == "client 2 comes out, where client 3 was recorded"


def test_a_policy_of_another_stratum_is_none_of_the_log() -> None:
    log = replace(recorded(policy(), [("request", 1, 1)]), header=Header("llm", "x", True))
    with pytest.raises(LogError, match=r"the log is of llm, and .* is a policy of rpc"):
        compare(log, Plain())


def test_a_missing_call_is_not_hidden_by_another_policy_that_numbers_its_own_calls() -> None:
    """Elements in C have a clock each: both policies have a call of every number."""
    one, two = recorded(policy(), CALLS), recorded(policy(), CALLS)
    records = [*one.records[:1], *one.records[2:], *(replace(record, policy=1) for record in two.records)]
    both = replace(one, policies=(*one.policies, *two.policies), records=tuple(records), trailer=None)
    found = compare(both, Plain())
    assert "calls of P are missing before number 2" in found.open
