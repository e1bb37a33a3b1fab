# SPDX-License-Identifier: Apache-2.0
"""Chains whose elements together use more fields of one message than a machine word has bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rpc.three_ways import ThreeWays
from transect.rpc.chain.python import Action
from transect.rpc.native.chain import emit_chain
from transect.rpc.wasm.build import built

pytestmark = [pytest.mark.needs("grpcio"), pytest.mark.needs("gcc")]

HALF = 40
A, B = [f"a{i}" for i in range(HALF)], [f"b{i}" for i in range(HALF)]
MESSAGES = f"""
syntax = "proto3";
package test;
message Wide {{
  oneof pay {{ string cash = 1; string card = 200; string invoice = 201; Inner inner = 202; }}
{"".join(f"  optional string {a} = {i + 2};" for i, a in enumerate(A))}
{"".join(f"  optional string {b} = {i + 100};" for i, b in enumerate(B))}
  string plain = 300;
  int64 members = 301;
}}
message Inner {{ optional string secret = 1; string kept = 2; }}
message Outer {{ Wide wide = 1; string kept = 2; }}
"""
OF_WIDE = MESSAGES + "service T { rpc U(Wide) returns (Wide); }"
OF_OUTER = MESSAGES + "service T { rpc U(Outer) returns (Outer); }"


def view(name: str, fields: list[str]) -> str:
    return f"\n\nclass {name}(Message):\n" + "".join(f"    {field}: str | None\n" for field in fields)


def taking_out(fields: list[str], message: str) -> str:
    return "".join(f"        {message}.{field} = None\n" for field in fields) + "        return Forward()\n"


def takers(*groups: list[str]) -> list[str]:
    """Elements that take fields out of requests and replies, one for each group."""
    return [
        f"{view('Wide', fields)}\n\nclass Take{i}(Element):\n"
        f"    def request(self, rpc: Rpc[Wide]) -> Verdict:\n{taking_out(fields, 'rpc.msg')}\n"
        f"    def response(self, rpc: Rpc[Wide, Wide]) -> Verdict:\n{taking_out(fields, 'rpc.reply')}"
        for i, fields in enumerate(groups)
    ]


@pytest.fixture(scope="module")
def taken_out(tmp_path_factory: pytest.TempPathFactory) -> ThreeWays:
    return ThreeWays(OF_WIDE, takers(A, [*B, "card"]), tmp_path_factory.mktemp("taken_out"))


def test_a_refusal_by_the_presence_of_the_65th_field_is_not_passed_by(tmp_path: Path) -> None:
    first = [*A, *B][:64]
    absent = " and ".join(f"rpc.msg.{name} is None" for name in first)
    wide = f"""{view("Wide", first)}

class NoOthers(Element):
    def request(self, rpc: Rpc[Wide]) -> Verdict:
        if {absent}:
            return Forward()
        return Reject(Code.INVALID_ARGUMENT, "too much")
"""
    narrow = """

class Narrow(Message):
    card: str | None


class NoCards(Element):
    def request(self, rpc: Rpc[Narrow]) -> Verdict:
        if rpc.msg.card is not None:
            return Reject(Code.PERMISSION_DENIED, "no cards here")
        return Forward()
"""
    ways = ThreeWays(OF_WIDE, [wide, narrow], tmp_path)
    make = ways.message_class("test.Wide")
    assert ways.request(make(card="4111").SerializeToString()).text == b"no cards here"
    assert ways.request(make(card="").SerializeToString()).text == b"no cards here"
    assert ways.request(make(cash="1").SerializeToString()).action is Action.FORWARD
    assert ways.request(make(card="4111", a0="").SerializeToString()).text == b"too much"
    assert ways.request(make(card="4111", b23="").SerializeToString()).text == b"too much"


@pytest.mark.parametrize("hook", ["request", "response"])
def test_fields_taken_out_by_several_elements_are_all_gone(taken_out: ThreeWays, hook: str) -> None:
    make = taken_out.message_class("test.Wide")
    message = make(**dict.fromkeys([*A, *B, "card"], "secret"), plain="stays")
    verdict = getattr(taken_out, hook)(message.SerializeToString())
    assert make.FromString(verdict.message) == make(plain="stays")


def test_each_field_alone_is_taken_out(taken_out: ThreeWays) -> None:
    make = taken_out.message_class("test.Wide")
    for name in [*A, *B, "card"]:
        message = make(**{name: "secret", "plain": "stays"})
        assert (
            taken_out.request(message.SerializeToString()).message == make(plain="stays").SerializeToString()
        )


def test_a_message_in_which_nothing_is_assigned_passes_as_it_came(taken_out: ThreeWays) -> None:
    make = taken_out.message_class("test.Wide")
    for message in (make(), make(plain="x"), make(invoice="stays"), make(inner={"kept": "k"})):
        assert taken_out.request(message.SerializeToString()).message is None


def test_a_member_of_a_oneof_ends_those_of_another_word(tmp_path: Path) -> None:
    pay = """

class Pay(Message):
    cash: str | None
    card: str | None
    invoice: str | None
    members: int


class Swap(Element):
    def request(self, rpc: Rpc[Pay]) -> Verdict:
        cash, card = rpc.msg.cash, rpc.msg.card
        if cash is not None:
            rpc.msg.invoice = cash
        elif card is not None:
            rpc.msg.cash = card
        return Forward()


class Count(Element):
    def request(self, rpc: Rpc[Pay]) -> Verdict:
        cash, card, invoice = rpc.msg.cash, rpc.msg.card, rpc.msg.invoice
        if cash is not None:
            rpc.msg.members += 1
        if card is not None:
            rpc.msg.members += 10
        if invoice is not None:
            rpc.msg.members += 100
        return Forward()
"""
    ways = ThreeWays(OF_WIDE, [*takers(A, B), pay], tmp_path)
    make = ways.message_class("test.Wide")

    def after(message: Any) -> Any:
        return make.FromString(ways.request(message.SerializeToString()).message)

    assert after(make(cash="1", a0="x")) == make(invoice="1", members=100)
    assert after(make(card="2", b39="x")) == make(cash="2", members=1)
    assert after(make(inner={"secret": "s"}, a0="x")) == make(inner={"secret": "s"})
    both = make(cash="1").SerializeToString() + make(invoice="2").SerializeToString()
    assert make.FromString(ways.request(both).message) == make(invoice="2", members=100)


def test_fields_of_a_wide_sub_message_are_taken_out_too(tmp_path: Path) -> None:
    def taker(i: int, fields: list[str], more: str) -> str:
        return (
            f"{view(f'Wide{i}', fields)}{more}\n\nclass Outer(Message):\n    wide: Wide{i} | None\n"
            f"\n\nclass Take{i}(Element):\n    def request(self, rpc: Rpc[Outer]) -> Verdict:\n"
            f"        wide = rpc.msg.wide\n        if wide is not None:\n"
            + "".join(f"            wide.{field} = None\n" for field in fields)
            + ("            inner = wide.inner\n            if inner is not None:\n" if more else "")
            + ("                inner.secret = None\n" if more else "")
            + "        return Forward()\n"
        )

    inner = "    inner: Inner | None\n\n\nclass Inner(Message):\n    secret: str | None\n"
    ways = ThreeWays(OF_OUTER, [taker(0, A, ""), taker(1, B, inner)], tmp_path)
    make = ways.message_class("test.Outer")
    fields = dict.fromkeys([*A, *B], "secret")
    message = make(kept="k", wide={**fields, "inner": {"secret": "s", "kept": "i"}, "plain": "stays"})
    expected = make(kept="k", wide={"inner": {"kept": "i"}, "plain": "stays"})
    assert make.FromString(ways.request(message.SerializeToString()).message) == expected
    alone = make(wide={"inner": {"secret": "s"}})
    assert make.FromString(ways.request(alone.SerializeToString()).message) == make(wide={"inner": {}})


def test_a_plugin_of_such_a_chain_is_made(taken_out: ThreeWays, needs: Callable[[str], Path]) -> None:
    needs("clang-19")
    needs("wasm-ld-19")
    assert built(emit_chain(taken_out.binding)).is_file()
