# SPDX-License-Identifier: Apache-2.0
"""What a chain means, rule by rule.  The native chain is held to the same by `tests/fuzz/test_chain.py`."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from tests.unit.rpc.elements import HEAD
from tests.unit.rpc.wire_samples import message_class, service
from transect.base.diagnostic import Diagnostics
from transect.core.codec import CodecError
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.lang.tape import GivenTape
from transect.replay.tape import ReplayingTape, answer_types
from transect.rpc.chain.binding import bind
from transect.rpc.chain.python import NOBODY, Action, ChainEnding, Interpreted, PythonChain, PythonRpc
from transect.rpc.chain.record import Record, arguments_of
from transect.rpc.chain.views import PlainHeaders

pytestmark = pytest.mark.needs("grpcio")

SAY = "/sample.Sample/Say"


class Rig:
    """A chain on the interpreter, and what it recorded."""

    def __init__(
        self, *elements: str, methods: tuple[str, ...] = ("Say",), pass_unknown: bool = False
    ) -> None:
        text = HEAD + "".join(textwrap.dedent(e) for e in elements)
        compiled = compile_text(text)
        assert not compiled.diagnostics.failed, [str(d) for d in compiled.diagnostics]
        diagnostics = Diagnostics()
        binding = bind(compiled.programs, service("sample.Sample"), diagnostics, methods=methods)
        assert binding is not None, [str(d) for d in diagnostics]
        self.records: list[Record] = []
        self.instances = [Instance(p) for p in compiled.programs]
        engines = [Interpreted(i) for i in self.instances]
        self.chain = PythonChain(binding, engines, pass_unknown=pass_unknown, recording=self.records.append)
        self.headers = PlainHeaders()

    def rpc(self, method: str = SAY, tape: GivenTape | None = None) -> PythonRpc:
        return self.chain.rpc(method, "10.0.0.1", self.headers, tape or GivenTape())

    def calls(self) -> list[tuple[int, str]]:
        """Element and hook of each call, in order."""
        ordered = sorted(self.records, key=lambda r: r.sequence)
        return [(r.element, ("request", "response", "finish")[r.hook]) for r in ordered]


def ask(**fields: Any) -> bytes:
    data: bytes = message_class("sample.Ask")(**fields).SerializeToString()
    return data


def answer(**fields: Any) -> bytes:
    data: bytes = message_class("sample.Answer")(**fields).SerializeToString()
    return data


def element(
    name: str,
    request: str = "return Forward()",
    response: str = "",
    finish: str = "",
    state: str = "n: int = 0",
) -> str:
    """An element with these bodies of its hooks."""
    hooks = [f"def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:\n        {request}"]
    if response:
        hooks.append(f"def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:\n        {response}")
    if finish:
        hooks.append(
            f"def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> Retry | None:\n        {finish}"
        )
    return f"\n\nclass {name}(Element):\n    {state}\n\n    " + "\n\n    ".join(hooks) + "\n"


FULL = {"response": "return Forward()", "finish": "return None"}


def test_requests_pass_in_order_and_replies_and_endings_in_reverse() -> None:
    rig = Rig(element("A", **FULL), element("B", **FULL))
    rpc = rig.rpc()
    rpc.request(ask())
    rpc.response(answer())
    rpc.finish(0, 0, 5)
    assert rig.calls() == [
        (0, "request"),
        (1, "request"),
        (1, "response"),
        (0, "response"),
        (1, "finish"),
        (0, "finish"),
    ]


def test_a_rejection_ends_the_rpc_for_the_elements_that_it_entered() -> None:
    rig = Rig(
        element("A", **FULL),
        element("B", 'return Reject(Code.ABORTED, "stop")', **FULL),
        element("C", **FULL),
    )
    rpc = rig.rpc()
    verdict = rpc.request(ask())
    assert (verdict.action, verdict.code, verdict.text, verdict.element) == (Action.REJECT, 10, b"stop", 1)
    rpc.finish(10, 1, 5)
    assert rig.calls() == [(0, "request"), (1, "request"), (1, "finish"), (0, "finish")]


def test_an_element_without_request_is_entered_all_the_same() -> None:
    rig = Rig(
        """

        class Watch(Element):
            def finish(self, rpc: Rpc, outcome: Outcome) -> Retry | None:
                return None
        """,
        element("B", 'return Reject(Code.ABORTED, "stop")'),
    )
    rpc = rig.rpc()
    rpc.request(ask())
    rpc.finish(10, 1, 5)
    assert rig.calls() == [(1, "request"), (0, "finish")]


def test_a_reply_of_an_element_passes_the_elements_before_it() -> None:
    rig = Rig(
        element("A", response='rpc.reply.text = "seen"\n        return Forward()'),
        element("B", "return Respond(rpc.body)", response="return Forward()"),
        element("C"),
    )
    rpc = rig.rpc()
    verdict = rpc.request(answer(text="x", cost=3))  # its bytes serve as a request, too
    assert (verdict.action, verdict.element) == (Action.RESPOND, 1)
    assert message_class("sample.Answer").FromString(verdict.text).text == "seen"
    assert rig.calls() == [(0, "request"), (1, "request"), (0, "response")]


def test_a_rejection_while_an_element_answers_is_the_verdict() -> None:
    rig = Rig(
        element("A", response='return Reject(Code.DATA_LOSS, "no")'), element("B", 'return Respond(b"")')
    )
    verdict = rig.rpc().request(ask())
    assert (verdict.action, verdict.code, verdict.element) == (Action.REJECT, 15, 0)


def test_a_reply_in_response_takes_the_place_of_the_reply() -> None:
    rig = Rig(
        element("A", response="self.n = rpc.reply.cost\n        return Forward()"),
        element("B", response="return Respond(rpc.body)"),
    )
    rpc = rig.rpc()
    rpc.request(b"\x10\x07")  # field 2, as `cost`
    verdict = rpc.response(answer(cost=1))
    assert (verdict.action, verdict.message) == (Action.FORWARD, b"\x10\x07")
    assert rig.instances[0].state["n"] == 7


def test_delays_add_up_negative_ones_count_as_none_and_the_last_route_wins() -> None:
    rig = Rig(
        element("A", 'return Forward(after=ms(5), to="a")'),
        element("B", "return Forward(after=ms(-9))"),
        element("C", 'return Forward(after=ms(2), to="c")'),
        element("D"),
    )
    verdict = rig.rpc().request(ask())
    assert (verdict.after, verdict.to) == (7_000_000, "c")


def test_an_empty_name_of_a_route_is_a_name_and_not_the_way_to_the_service() -> None:
    named = Rig(element("A", 'return Forward(to="a")'), element("B", 'return Forward(to="")'), element("C"))
    assert named.rpc().request(ask()).to == ""
    assert Rig(element("A")).rpc().request(ask()).to is None


def test_delays_do_not_run_over() -> None:
    longest = "return Forward(after=ms(9223372036854))"
    assert Rig(element("A", longest), element("B", longest)).rpc().request(ask()).after == 2**63 - 1


def test_who_is_refused_or_answered_behind_delays_waits_for_them() -> None:
    delay, back = "return Forward(after=ms(5))", "return Forward(after=ms(2))"
    refused = Rig(element("A", delay), element("B", 'return Reject(Code.ABORTED, "no")')).rpc().request(ask())
    assert (refused.action, refused.after) == (Action.REJECT, 5_000_000)
    answering = (element("A", delay, response=back), element("B", 'return Respond(b"")'))
    answered = Rig(*answering).rpc().request(ask())
    assert (answered.action, answered.after) == (Action.RESPOND, 7_000_000)
    withheld = (
        element("A", delay, response='return Reject(Code.ABORTED, "no")'),
        element("B", delay, response=back),
        element("C", 'return Respond(b"")'),
    )
    assert Rig(*withheld).rpc().request(ask()).after == 12_000_000
    reading = element("A", delay, response="self.n = rpc.reply.cost\n        return Forward()")
    malformed = Rig(reading, element("B", 'return Respond(b"\\xff")')).rpc().request(ask())
    assert (malformed.action, malformed.code, malformed.after) == (Action.REJECT, 3, 5_000_000)


def test_each_element_sees_what_the_one_before_passed_on() -> None:
    rig = Rig(
        element("A", 'rpc.msg.user = "a"\n        return Forward()'),
        element("B", "self.n = len(rpc.msg.user) + len(rpc.body)\n        return Forward()"),
    )
    verdict = rig.rpc().request(ask(user="long", i64=5))
    assert verdict.message is not None
    assert message_class("sample.Ask").FromString(verdict.message) == message_class("sample.Ask")(
        user="a", i64=5
    )
    assert rig.instances[1].state["n"] == 1 + len(verdict.message)


def test_later_hooks_see_the_request_as_the_element_passed_it_on_and_its_body_as_it_came() -> None:
    rig = Rig(
        element(
            "A",
            'rpc.msg.user = "ab"\n        return Forward()',
            response="self.n = len(rpc.msg.user) * 100 + len(rpc.body)\n        return Forward()",
        ),
        element("B", 'rpc.msg.user = "much longer"\n        return Forward()'),
    )
    rpc = rig.rpc()
    rpc.request(ask(user="came"))
    rpc.response(answer())
    assert rig.instances[0].state["n"] == 2 * 100 + len(ask(user="came"))


def test_an_rpc_without_a_reply_finishes_with_an_empty_one() -> None:
    rig = Rig(element("A", finish="self.n = 7 + rpc.reply.cost + len(rpc.reply_body)\n        return None"))
    rpc = rig.rpc()
    rpc.request(ask())
    rpc.finish(1, 2, 5)
    assert rig.instances[0].state["n"] == 7


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05ab",
        b"\x0a\x02\xff\xfe",
        b"\x07",
        b"\x00\x00",
        b"\x0c",
        b"\x0a\x80\x80\x80\x80\x80\x00",
        b"\xa3\x06",
    ],
    ids=[
        "cut size",
        "cut text",
        "not UTF-8",
        "wire type 7",
        "field 0",
        "stray end",
        "long size",
        "open group",
    ],
)
def test_a_malformed_request_enters_nobody(data: bytes) -> None:
    rig = Rig(element("A", "self.n = len(rpc.msg.user)\n        return Forward()", **FULL))
    rpc = rig.rpc()
    verdict = rpc.request(data)
    assert (verdict.action, verdict.code, verdict.element) == (Action.REJECT, 3, NOBODY)
    assert verdict.text == b"malformed sample.Ask"
    rpc.finish(3, 1, 5)
    assert rig.calls() == []


def test_a_malformed_reply_runs_no_response() -> None:
    rig = Rig(element("A", response="self.n = rpc.reply.cost\n        return Forward()"))
    rpc = rig.rpc()
    rpc.request(ask())
    assert rpc.response(b"\x0a").code == 3
    assert rig.calls() == [(0, "request")]


def test_text_that_nobody_reads_is_not_checked() -> None:
    rig = Rig(element("A", "self.n = rpc.msg.i64\n        return Forward()"))
    assert rig.rpc().request(b"\x0a\x02\xff\xfe").action is Action.FORWARD


def test_a_message_that_nobody_reads_is_not_looked_into() -> None:
    assert Rig(element("A")).rpc().request(b"\x07\x07\x07").action is Action.FORWARD


def test_a_field_sent_twice_counts_as_its_last() -> None:
    rig = Rig(
        element("A", 'return Forward() if rpc.msg.user == "bob" else Reject(Code.ABORTED, rpc.msg.user)')
    )
    assert rig.rpc().request(ask(user="eve") + ask(user="bob")).action is Action.FORWARD
    assert rig.rpc().request(ask(user="bob") + ask(user="eve")).text == b"eve"


def test_a_method_that_nobody_covers_is_refused_or_passed() -> None:
    verdict = Rig(element("A")).rpc("/sample.Sample/Chat").request(ask())
    assert (verdict.action, verdict.code, verdict.element) == (Action.REJECT, 12, NOBODY)
    assert verdict.text == b"no policy covers /sample.Sample/Chat"
    rig = Rig(element("A", **FULL), pass_unknown=True)
    rpc = rig.rpc("/sample.Sample/Chat")
    assert rpc.request(b"\x07").action is Action.FORWARD
    assert rpc.response(b"\x07").action is Action.FORWARD
    rpc.finish(0, 0, 5)
    assert rig.calls() == []


def test_several_retries_are_one_after_the_longest_delay() -> None:
    rig = Rig(
        element("A", finish="return Retry(after=ms(3))"),
        element("B", finish="return Retry()"),
        element("C", finish="return None"),
    )
    rpc = rig.rpc()
    rpc.request(ask())
    assert rpc.finish(14, 4, 5) == ChainEnding(True, 3_000_000)


def test_headers_are_those_of_the_request_and_then_of_the_reply() -> None:
    rig = Rig(
        element(
            "A",
            'rpc.headers.set("x-a", "1")\n        rpc.headers.remove("x-b")\n        return Forward()',
            response='rpc.headers.set("x-a", "2")\n        rpc.trailers.set("x-t", "3")\n        return Forward()',
        )
    )
    rig.headers.set(0, "x-b", "there")
    rpc = rig.rpc()
    rpc.request(ask())
    rpc.response(answer())
    assert rig.headers.sides == ({"x-a": "1"}, {"x-a": "2"}, {"x-t": "3"})


def test_locals_are_of_one_rpc() -> None:
    rig = Rig(
        element(
            "A",
            "self.mine += 1\n        self.n = max(self.n, self.mine)\n        return Forward()",
            state="n: int = 0\n    mine: Local[int] = local(5)",
        ),
        methods=("Chat",),
    )
    first, second = rig.rpc("/sample.Sample/Chat"), rig.rpc("/sample.Sample/Chat")
    for rpc in (first, second, first):
        rpc.request(ask())
    assert rig.instances[0].state["n"] == 7


def test_a_record_holds_what_a_replay_needs() -> None:
    body = """self.n = now()
        if rpc.headers.get("x-a") is None:
            rpc.msg.user = "new"
        return Forward()"""
    rig = Rig(element("A", body, state="n: Instant = 0"))
    rig.rpc(tape=GivenTape(now=11)).request(ask(user="old"))
    (record,) = rig.records
    assert arguments_of(record) == (SAY, "10.0.0.1", ask(user="old"))
    tape = ReplayingTape(record.tape, answer_types(rig.instances[0].program))
    assert tape.now() == 11
    assert tape.answer("rpc.Headers.get", lambda: 1 / 0) is None
    assert tape.left == 0
    assert record.result.endswith(b"\x01" + len(ask(user="new")).to_bytes(4, "little") + ask(user="new"))


def test_the_state_of_an_element_goes_out_and_in() -> None:
    rig = Rig(element("A", "self.n += 1\n        return Forward()"))
    rig.rpc().request(ask())
    image = rig.chain.save(0)
    rig.rpc().request(ask())
    rig.chain.load(0, image)
    assert rig.instances[0].state["n"] == 1
    with pytest.raises(CodecError):
        rig.chain.load(0, image + b"x")
