# SPDX-License-Identifier: Apache-2.0
"""`Secret[str]`: a policy reads the digest alone, records hold nothing else, and replay to the same decisions."""

from __future__ import annotations

import ctypes as ct
import hashlib
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.rpc.native_driver import FLAGS, TRAPS, NativeChain, build
from tests.unit.rpc.three_ways import HEAD
from transect.base.diagnostic import Diagnostics, Severity
from transect.core.foreign import admitted
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.core.schema import schema
from transect.core.text import TextError, dump
from transect.emit.py.build import build as build_class
from transect.lang.tape import GivenTape
from transect.replay import Log, Policy, Trailer, compare
from transect.replay.log import Header
from transect.replay.log import Record as Logged
from transect.rpc.chain.binding import Binding, bind
from transect.rpc.chain.python import Emitted, Interpreted, PythonChain
from transect.rpc.chain.record import Record
from transect.rpc.chain.replay import RpcDecoder, about
from transect.rpc.chain.views import PlainHeaders
from transect.rpc.functions import meanings
from transect.rpc.messages import protos
from transect.rpc.messages.redaction import Redaction
from transect.rpc.native.chain import emit_chain

pytestmark = [pytest.mark.needs("grpcio"), pytest.mark.needs("gcc")]

PROTO = """
syntax = "proto3";
package test;
message Card { string number = 1; string holder = 2; Card other = 3; }
message Order { string user = 1; Card card = 2; repeated Card cards = 3; map<string, Card> named = 4; int64 n = 5; }
message Reply { string token = 1; string text = 2; }
service T { rpc U(Order) returns (Reply); rpc V(Reply) returns (Reply); }
"""
ONE = """
class Card(Message):
    number: Secret[str]
    holder: str
class Order(Message):
    user: str
    card: Card
    cards: Sequence[Card]
    named: Mapping[str, Card]
    n: int
class Reply(Message):
    token: Secret[str]
    text: str
class Guard(Element):
    seen: Tally[str, int] = tally(64)
    def request(self, rpc: Rpc[Order, Reply]) -> Verdict:
        number = digest(rpc.msg.card.number)
        self.seen[number] += 1
        if number == "CLOSED":
            return Reject(Code.PERMISSION_DENIED, f"not with {number}")
        for card in rpc.msg.cards:
            self.seen[digest(card.number)] += 1
        first = rpc.msg.named.get("first")
        if first is not None and digest(first.number) == number:
            rpc.msg.user = number
        return Forward()
    def response(self, rpc: Rpc[Order, Reply]) -> Verdict:
        rpc.reply.text = digest(rpc.reply.token)
        return Forward()
"""
HEADS = HEAD + "from transect.lang import Secret, Tally, tally\nfrom transect.rpc import digest\n"
NUMBERS = ("4111-1111-1111-1111", "5500-0000-0000-0004", "closed card", "")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def compiled(text: str) -> Program:
    made = compile_text(HEADS + text.replace("CLOSED", sha("closed card")), "guard.py")
    assert not list(made.diagnostics), [d.message for d in made.diagnostics]
    return made.programs[0]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("protos")
    (folder / "test.proto").write_text(PROTO)
    return protos.from_set(protos.compile_protos([folder / "test.proto"]))


def bound(
    served: Any, *programs: Program, methods: Sequence[str] = ("U",)
) -> tuple[Binding | None, list[str]]:
    diagnostics = Diagnostics()
    binding = bind(programs, served.service("test.T"), diagnostics, methods=methods)
    return binding, [f"{d.code} {d.message}" for d in diagnostics]


def size(data: bytes) -> bytes:
    out, left = bytearray(), len(data)
    while left >= 0x80:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes((*out, left)) + data


def card(number: str, *within: bytes) -> bytes:
    return (
        b"\x0a" + size(number.encode()) + b"\x12" + size(b"Ada") + b"".join(b"\x1a" + size(w) for w in within)
    )


def order(number: str, *others: str) -> bytes:
    cards = b"".join(b"\x1a" + size(card(other, card(number))) for other in others)
    named = b"\x22" + size(b"\x0a\x05first\x12" + size(card(number)))
    # The card comes twice: what is merged are two secrets.
    twice = b"\x12" + size(card("overwritten 1234")) + b"\x12" + size(card(number))
    return b"\x0a\x03bob" + twice + cards + named + b"\x28\x07" + b"\x99\x06" + bytes(8)


@dataclass
class Run:
    records: list[Record]
    verdicts: list[Any]
    start: bytes
    state: bytes


def play(chain: Any, records: list[Record]) -> Run:
    start = chain.save(0)
    verdicts = []
    for number in NUMBERS:
        rpc = chain.rpc("/test.T/U", "10.0.0.1:7", PlainHeaders(), GivenTape())
        verdicts.append(rpc.request(order(number, "9999 8888", number)))
        verdicts.append(rpc.response(b"\x0a" + size(f"token of {number}".encode())))
        rpc.finish(0, 0, 1)
    return Run(records, verdicts, start, chain.save(0))


@pytest.fixture(scope="module")
def runs(served: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, Binding, list[Run]]:
    program = compiled(ONE)
    binding, problems = bound(served, program)
    assert binding is not None, problems

    def run(make: Callable[[Callable[[Record], None]], Any]) -> Run:
        records: list[Record] = []
        return play(make(records.append), records)

    library = build(binding, tmp_path_factory.mktemp("native"))
    functions = {"rpc.digest": meanings.digest}
    return (
        program,
        binding,
        [
            run(lambda r: PythonChain(binding, [Interpreted(Instance(program), functions)], recording=r)),
            run(lambda r: PythonChain(binding, [Emitted(build_class(program)())], recording=r)),
            run(lambda r: NativeChain(library, recording=r)),
        ],
    )


def test_three_ways_decide_and_record_the_same(runs: tuple[Program, Binding, list[Run]]) -> None:
    _, _, (one, two, three) = runs
    assert one == two == three
    refused = next(v for v in one.verdicts if v.text)
    assert refused.text == f"not with {sha('closed card')}".encode()


def test_nothing_that_is_kept_or_said_holds_a_secret(runs: tuple[Program, Binding, list[Run]]) -> None:
    _, _, (run, *_) = runs
    said = [
        run.state,
        *(v.text for v in run.verdicts),
        *(r.arguments + r.tape + r.result for r in run.records),
    ]
    for number in (*NUMBERS[:-1], "9999 8888", "overwritten 1234", "token of"):
        assert not any(number.encode() in one for one in said), number
    assert any(sha(NUMBERS[0]).encode() in one for one in said)
    assert sha(NUMBERS[0]).encode() in run.records[0].arguments


def log(program: Program, binding: Binding, run: Run) -> Log:
    hooks = [h.name for h in program.handlers]
    names = ("request", "response", "finish")
    records = tuple(
        Logged(r.sequence, 0, hooks.index(names[r.hook]), r.rpc, r.arguments, r.tape, r.result)
        for r in run.records
    )
    policy = Policy.of(program, schema(program), run.start, sources={})
    trailer = Trailer(len(records), 0, {0: run.state})
    return Log(Header("rpc", "test", True, about(binding)), (policy,), records, trailer)


def test_what_is_recorded_replays_to_the_same_decisions(runs: tuple[Program, Binding, list[Run]]) -> None:
    program, binding, (run, *_) = runs
    recorded = log(program, binding, run)
    found = compare(recorded, RpcDecoder(recorded))
    assert found.calls == len(run.records) == 8 and found.same


def test_another_version_decides_on_digests_and_one_that_wants_the_text_is_refused(
    runs: tuple[Program, Binding, list[Run]],
) -> None:
    program, binding, (run, *_) = runs
    recorded = log(program, binding, run)
    other = compiled(ONE.replace('"CLOSED"', f'"{sha(NUMBERS[0])}"'))
    found = compare(recorded, RpcDecoder(recorded), program=other)
    assert not found.same
    plain = compiled(ONE.replace("Secret[str]", "str"))
    with pytest.raises(Exception, match=r"only the digest of test.Card.number.*`Secret\[str\]`"):
        RpcDecoder(recorded).call(plain, "request", recorded.records[0])


def test_a_chain_without_secrets_is_emitted_as_before(served: Any) -> None:
    binding, _ = bound(served, compiled(ONE.replace("Secret[str]", "str")))
    assert binding is not None
    assert b"redact.h" not in emit_chain(binding).files["chain.c"] and "secrets" not in about(binding)


@pytest.mark.parametrize(
    "use",
    [
        "self.last = rpc.msg.card.number",
        'rpc.headers.set("x", rpc.msg.card.number)',
        "return Reject(Code.OK, f'not {rpc.msg.card.number}')",
        'if rpc.msg.card.number == "1": self.last = ""',
        "self.last = digest(rpc.msg.card.number.removeprefix('4'))",
        "self.last = digest(rpc.msg.card.number.lower())",
        "return Reject(Code.OK, rpc.msg.card.number)",
        'self.last = max((c.number for c in rpc.msg.cards), default="")',
        'if "1" in rpc.msg.card.number: self.last = ""',
    ],
)
def test_a_policy_that_reads_more_than_the_digest_is_refused(use: str) -> None:
    text = ONE.replace("        number = ", f"        {use}\n        number = ").replace(
        "    seen:", '    last: str = ""\n    seen:'
    )
    found = [d.code for d in compile_text(HEADS + text, "guard.py").diagnostics]
    assert "P052" in found, found


def test_a_policy_may_not_write_one() -> None:
    text = ONE.replace("        number = ", '        rpc.msg.card.number = ""\n        number = ')
    assert [d.code for d in compile_text(HEADS + text, "guard.py").diagnostics] == ["P037"]


@pytest.mark.parametrize(
    "annotation", ["Secret[int]", "Secret[bytes]", "Sequence[Secret[str]]", "Secret[str] | None", "Secret"]
)
def test_other_secrets_are_refused(annotation: str) -> None:
    text = ONE.replace("    number: Secret[str]", f"    number: {annotation}")
    found = list(compile_text(HEADS + text, "guard.py").diagnostics)
    assert found and found[0].severity is Severity.ERROR
    assert annotation in ("Secret[int]", "Secret[bytes]") or "Secret" in found[0].message, found[0].message


def test_a_forged_program_that_reads_one_is_refused() -> None:
    program = compiled(ONE)
    text = dump(program)
    assert "member number: str secret" in text and admitted(text) == program
    forged = re.sub(r"%rpc\.digest\((rpc->msg->card->number)\)  ;.*", r"\1", text, count=1)
    assert forged != text
    with pytest.raises(TextError, match=r"I015.*\.number is secret"):
        admitted(forged)
    with pytest.raises(TextError, match=r"I013.*cannot be secret"):
        admitted(text.replace("member n: int writable", "member n: int secret"))


def test_what_one_element_keeps_secret_another_may_not_read(served: Any) -> None:
    plain = compiled(ONE.replace("Guard", "Plain").replace("Secret[str]", "str"))
    binding, problems = bound(served, compiled(ONE), plain)
    assert binding is None
    assert problems[0] == "R025 field `number` of test.Card is secret to another element of the chain"


def test_bytes_of_a_whole_message_with_a_secret_may_not_be_read(served: Any) -> None:
    text = """
class Whole(Element):
    last: str = ""
    def request(self, rpc: Rpc) -> Verdict:
        if len(rpc.body) > 7:
            return Reject(Code.OK, "")
        return Forward()
"""
    _, problems = bound(served, compiled(ONE), compiled(text))
    assert problems == ["R025 the messages of /test.T/U have a secret field, and this reads them whole"]


WRAPPED = """
#include "chain.c"
uint32_t redact(const uint8_t *data, uint32_t size, uint8_t *out) {
    struct ts_arena arena;
    ts_arena_begin(&arena);
    ts_slice made = ts_redacted(chain_secrets, chain_secret_messages[0][0], (ts_slice){data, size}, &arena);
    if (made.size > 0) memcpy(out, made.data, made.size);
    ts_arena_free(&arena);
    return made.size;
}
"""


@pytest.fixture(scope="module")
def both(served: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Redaction, Callable[[bytes], bytes]]:
    """What a log holds of an order, in Python and in C."""
    binding, _ = bound(served, compiled(ONE))
    assert binding is not None
    folder = tmp_path_factory.mktemp("redact")
    emit_chain(binding).write(folder)
    (folder / "wrapped.c").write_text(WRAPPED)
    library = folder / "wrapped.so"
    subprocess.run(["gcc", *FLAGS, *TRAPS, folder / "wrapped.c", "-o", library, "-pthread"], check=True)
    loaded = ct.CDLL(str(library))
    room = ct.create_string_buffer(1 << 21)

    def compiled_(message: bytes) -> bytes:
        size = loaded.redact(message, len(message), room)
        return room.raw[:size]

    return Redaction(binding.service.messages, binding.secrets), compiled_


@given(data=st.data())
@settings(max_examples=600)
def test_two_ways_of_redacting_agree_on_damaged_messages(
    both: tuple[Redaction, Callable[[bytes], bytes]], data: st.DataObject
) -> None:
    interpreted, compiled_ = both
    whole = bytearray(order("4111-1111-1111-1111", "9999 8888"))
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=3)):
        whole[at] = data.draw(st.integers(0, 255))
    message = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    assert interpreted("test.Order", message) == compiled_(message)
    assert interpreted("test.Other", message) == message


def test_a_message_of_nothing_but_secrets_does_not_swell(
    both: tuple[Redaction, Callable[[bytes], bytes]],
) -> None:
    interpreted, compiled_ = both
    message = b"\x12" + size(b"\x0a\x01x" * 10_000 + b"\x0a\x00")
    made = interpreted("test.Order", message)
    assert made == compiled_(message) and b"x" not in made
    assert len(made) < len(message) + 64 * 4096 and made.count(sha("x").encode()) == 4096


def test_nested_deeper_than_messages_may_be_is_left_out(
    both: tuple[Redaction, Callable[[bytes], bytes]],
) -> None:
    interpreted, compiled_ = both
    deep = b"\x0a\x05deep!"
    for _ in range(150):
        deep = b"\x1a" + size(deep)
    message = b"\x12" + size(deep)
    assert interpreted("test.Order", message) == compiled_(message)
    assert b"deep!" not in compiled_(message)
