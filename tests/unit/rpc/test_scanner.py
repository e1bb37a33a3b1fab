# SPDX-License-Identifier: Apache-2.0
"""What the scanner finds, by example; `tests/fuzz/test_scanner.py` compares it with protobuf on everything."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.unit.rpc.wire_samples import message_class, service
from transect.rpc.messages.plan import Plans, plan_of
from transect.rpc.messages.rewriter import assign, changed, rewrite
from transect.rpc.messages.scanner import Malformed, Node, NumberZero, scan

pytestmark = pytest.mark.needs("grpcio")


def plans(*names: str, message: str = "sample.Ask") -> Plans:
    messages = service("sample.Sample").messages
    return plan_of(messages[message], messages, set(names) or None)


def found(data: bytes, *names: str) -> Any:
    """The values of these fields; of one field, its value."""
    node = scan(plans(*names), "sample.Ask", data)
    values = [node.values[node.plan.by_name[name].index] for name in names]
    return values[0] if len(values) == 1 else values


def ask(**fields: Any) -> bytes:
    data: bytes = message_class("sample.Ask")(**fields).SerializeToString()
    return data


def test_the_last_occurrence_wins() -> None:
    assert found(ask(user="a") + ask(i64=1) + ask(user="b"), "user") == "b"


def test_occurrences_of_a_sub_message_are_merged() -> None:
    who: Node = found(ask(who={"name": "a", "age": 1}) + ask(who={"age": 2, "mail": "m"}), "who")
    assert who.values == ["a", 2, "m", None]


def test_a_known_field_under_another_wire_type_is_unknown() -> None:
    assert found(b"\x08\x05" + b"\x12\x01x", "user", "i32") == ["", 0]


def test_packed_and_unpacked_numbers_mix() -> None:
    assert found(b"\xa8\x01\x01" + b"\xaa\x01\x02\x02\x03" + b"\xa8\x01\x04", "numbers") == [1, 2, 3, 4]


def test_a_member_of_a_oneof_ends_the_others() -> None:
    data = ask(person={"name": "a"}) + ask(word="w") + ask(person={"age": 3})
    word, person = found(data, "word", "person")
    assert (word, person.values[:2]) == ("", ["", 3])


def test_a_member_that_nobody_reads_ends_the_others_too() -> None:
    assert found(ask(word="w") + ask(raw=b"x"), "word") == ""


def test_maps_keep_the_order_of_first_appearance_and_the_last_value() -> None:
    data = ask(prices={"b": 1}) + ask(prices={"a": 2}) + ask(prices={"b": 3})
    assert list(found(data, "prices").items()) == [("b", 3), ("a", 2)]


def test_an_entry_without_key_or_value_has_their_zeros() -> None:
    assert found(b"\xc2\x01\x00", "prices") == {"": 0}


@pytest.mark.parametrize(
    "data",
    [
        b"\x10" + b"\x80" * 10 + b"\x01",
        b"\x90\x80\x80\x80\x80\x00\x01",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\xa3\x06\xac\x06",
        b"\xa3\x06" * 101 + b"\xa4\x06" * 101,
    ],
    ids=["11 bytes of varint", "6 bytes of tag", "size over 2³¹", "another group ends", "101 groups deep"],
)
def test_what_protobuf_calls_malformed_is(data: bytes) -> None:
    with pytest.raises(Malformed):
        found(data, "user")


def test_field_number_zero_is_malformed_even_within_an_unknown_group() -> None:
    with pytest.raises(NumberZero):
        found(b"\xa3\x06\x00\x00\xa4\x06", "user")


def test_assigning_keeps_every_other_byte() -> None:
    unknown = b"\xf8\x3f\x07"
    node = scan(plans("user"), "sample.Ask", unknown + ask(user="a", i64=5) + ask(user="b"))
    assert not changed(node)
    assign(node, node.plan.by_name["user"], "c")
    assert changed(node)
    assert rewrite(node) == unknown + ask(i64=5) + ask(user="c")


def test_taking_out_what_is_not_there_changes_nothing() -> None:
    node = scan(plans("nick"), "sample.Ask", ask(user="a"))
    assign(node, node.plan.by_name["nick"], None)
    assert not changed(node)


def test_taking_out_a_member_of_a_oneof_brings_no_other_back() -> None:
    node = scan(plans("word", "count"), "sample.Ask", ask(count=3) + ask(word="w"))
    assign(node, node.plan.by_name["word"], None)
    assert message_class("sample.Ask").FromString(rewrite(node)).WhichOneof("choice") is None


def test_numbers_are_cut_to_the_width_of_their_field() -> None:
    node = scan(plans("i32", "u32", "flt"), "sample.Ask", b"")
    for name, value in (("i32", 2**31), ("u32", -1), ("flt", 1e300)):
        assign(node, node.plan.by_name[name], value)
    assert node.values == [-(2**31), 2**32 - 1, float("inf")]


def test_a_copy_does_not_follow_later_assignments() -> None:
    node = scan(plans("who", "user"), "sample.Ask", ask(user="a", who={"name": "x"}))
    copy = node.copy()
    assign(node, node.plan.by_name["user"], "b")
    who = node.plan.by_name["who"]
    assign(node.values[who.index], node.values[who.index].plan.by_name["name"], "y")
    assert copy.values[0] == "a"
    assert copy.values[1].values[0] == "x"


@pytest.mark.parametrize("bits", [0x7FF8 << 48, 0xFFF8 << 48, 0x7FF0 << 48 | 1, (1 << 64) - 1])
def test_a_nan_that_is_assigned_is_sent_as_the_one_nan(bits: int) -> None:
    nan: float = struct.unpack("<d", bits.to_bytes(8, "little"))[0]
    node = scan(plans("dbl", "flt"), "sample.Ask", b"")
    for name in ("dbl", "flt"):
        assign(node, node.plan.by_name[name], nan)
    sent = rewrite(node)
    assert (0x7FF8 << 48).to_bytes(8, "little") in sent and 0x7FC00000.to_bytes(4, "little") in sent
    assert sent == ask(dbl=float("nan"), flt=float("nan"))


def test_a_nan_that_nobody_assigns_passes_as_it_came() -> None:
    for nan in (0xFFF8 << 48 | 3, 0x7FF0 << 48 | 1):
        data = ask(dbl=1.5).replace(struct.pack("<d", 1.5), nan.to_bytes(8, "little"))
        node = scan(plans("dbl", "user"), "sample.Ask", data)
        assign(node, node.plan.by_name["user"], "eve")
        assert rewrite(node) == data + ask(user="eve")
