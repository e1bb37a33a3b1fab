# SPDX-License-Identifier: Apache-2.0
"""Outside data in C: plain views, locals of one RPC, questions to the host and the log of its answers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.unit.emit.c.machine import Session, build
from tests.unit.emit.c.test_state import policy
from transect.core.codec import encode
from transect.core.interp import Instance
from transect.core.types import TEXT, OptionType
from transect.core.values import normal
from transect.emit.c.driver import answered, argument, clock, drawn
from transect.lang.tape import GivenTape

TEXT_OF_VIEWS = """
from collections.abc import Mapping, Sequence

from transect.lang import Local, Map, Tally, local, table, tally, u32
from transect.rpc import Code, Element, Forward, Message, Outcome, Reject, Respond, Retry, Rpc, Verdict


class Item(Message):
    name: str
    price: int


class Ask(Message):
    user: str
    size: u32
    note: str | None
    tags: Sequence[str]
    items: Sequence[Item]
    labels: Mapping[str, int]
    best: Item | None


class P(Element):
    seen: Tally[str, int] = tally(4)
    first: Map[str, str] = table(4)
    total: int = 0
    who: Local[str] = local("nobody")

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.who = rpc.msg.user
        self.seen[rpc.msg.user] += rpc.msg.size
        for tag in rpc.msg.tags:
            if tag not in self.first:
                self.first[tag] = rpc.msg.user
        for item in rpc.msg.items:
            self.total += item.price
        for key, value in rpc.msg.labels.items():
            self.total += value
            if key == "stop":
                return Reject(Code.ABORTED, f"{key} {len(rpc.msg.labels)}")
        self.total += rpc.msg.labels.get("extra", 100)
        wanted = {item.name for item in rpc.msg.items}
        if rpc.msg.user in wanted and "t" in rpc.msg.tags:
            return Respond(rpc.body)
        best = rpc.msg.best
        if best is not None:
            best.price = best.price + 1
            return Reject(Code.NOT_FOUND, best.name)
        note = rpc.msg.note
        if note is not None:
            rpc.msg.user = note
            rpc.msg.size = 4294967303
        old = self.first.get("t", rpc.msg.user)
        self.first["t"] = "new"
        return Reject(Code.UNKNOWN, old) if old != "" else Forward()

    def finish(self, rpc: Rpc[Ask], outcome: Outcome) -> Retry | None:
        if self.who != rpc.peer and outcome.code != Code.OK:
            return Retry(outcome.elapsed)
        return None
"""


def item(name: str, price: int) -> SimpleNamespace:
    return SimpleNamespace(name=name, price=price)


def rpc(**fields: Any) -> SimpleNamespace:
    """An RPC whose request has these fields."""
    ask: dict[str, Any] = {
        "user": "bob", "size": 3, "note": None, "tags": (), "items": (), "labels": {}, "best": None,
    }  # fmt: skip
    texts = {"method": "/p.S/M", "peer": "alice", "body": b"body", "reply_body": b""}
    return SimpleNamespace(
        msg=SimpleNamespace(**{**ask, **fields}), reply=None, headers=None, trailers=None, **texts
    )


ASKED: list[dict[str, Any]] = [
    {},
    {"tags": ("t", "u"), "items": (item("bob", 2**62), item("x", 2**62))},
    {"tags": ("t", "u"), "user": "eve"},
    {"labels": {"a": 5, "stop": 1, "b": 7}},
    {"labels": {"extra": -3}, "note": "a note"},
    {"best": item("first", -(2**63)), "user": "n" * 65},
    {"best": item("best", 2**63 - 1)},
    {"tags": ("x" * 64, "x" * 65, "", "é")},
]


def outcome(code: int) -> SimpleNamespace:
    return SimpleNamespace(code=code, cause=0, elapsed=5)


def test_views_and_locals_mean_what_the_interpreter_means(tmp_path: Path) -> None:
    program = policy(TEXT_OF_VIEWS)
    session, instance = Session(build([program], tmp_path), [program]), Instance(program)
    session.start()
    request, finish = (program.handler(h) for h in ("request", "finish"))
    assert request is not None and finish is not None
    wanted: list[tuple[Any, bytes, bytes]] = []
    for number, fields in enumerate(ASKED):
        call, twin = rpc(**fields), rpc(**fields)  # the interpreter writes to its own
        local: dict[str, object] = {}
        session.requests.begin_rpc()
        session.call("request", call)
        result = instance.call("request", (twin,), locals=local)
        wanted.append((normal(result), argument(program, request.params[0].type, twin), instance.image()))
        session.show()
        end = outcome(number % 2)
        session.call("finish", twin, end)
        result = instance.call("finish", (twin, end), locals=local)
        left = b"".join(argument(program, p.type, a) for p, a in zip(finish.params, (twin, end), strict=True))
        wanted.append((normal(result), left, instance.image()))
        session.show()
    found = session.run()
    shown = [(normal(a.result), a.views[0], image) for a, image in zip(found[::2], found[1::2], strict=True)]
    assert shown == wanted


ASKING = """
from transect.lang import as_int, now, rand, rand_below, trace
from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict


class P(Element):
    level: int = 0

    def request(self, rpc: Rpc) -> Verdict:
        who = rpc.headers.get("x-user")
        trace(f"at {as_int(now())} {rand_below(10)} {rand() < 0.5} {-9223372036854775808}")
        if who is None:
            rpc.headers.set("x-user", "nobody")
            return Forward()
        return Reject(Code.ABORTED, who)
"""


def test_outside_answers_come_from_the_tape(tmp_path: Path) -> None:
    program = policy(ASKING)
    session = Session(build([program], tmp_path), [program])
    session.start()
    option = OptionType(TEXT)
    facts = (clock(-5), drawn(2**64 - 1), drawn(0))
    session.call_with("request", [rpc()], answered(encode(option, "bob")), *facts)
    session.call_with("request", [rpc()], answered(encode(option, None)), *facts, answered(b""))
    first, second = session.run()
    assert normal(first.result) == ("Reject", (("code", 10), ("message", "bob")))
    assert normal(second.result)[0] == "Forward"
    said = f"at -5 {(2**64 - 1) % 10} True {-(2**63)}"
    assert first.traces == second.traces == (said,)


def test_the_same_by_the_interpreter() -> None:
    """The two tests before this one share their expectations with the definition."""
    program = policy(ASKING)
    said: list[str] = []
    call = rpc()
    call.headers = SimpleNamespace(get=lambda name: "bob", set=lambda name, value: None)
    tape = GivenTape(-5, [2**64 - 1, 0])
    result = Instance(program).call("request", (call,), tape=tape, functions={"trace": said.append})
    assert normal(result) == ("Reject", (("code", 10), ("message", "bob")))
    assert said == [f"at -5 {(2**64 - 1) % 10} True {-(2**63)}"]
