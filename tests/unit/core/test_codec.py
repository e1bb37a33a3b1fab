# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.base.span import NOWHERE
from transect.core import tables
from transect.core import types as t
from transect.core.codec import CodecError, Slot, decode, decode_state, encode, encode_state
from transect.core.ir import FieldKind, StateField
from transect.core.types import BOOL, BYTES, DURATION, FLOAT, INSTANT, INT, TEXT, U64, UNIT, Type
from transect.core.values import Record, normal

CODE = t.EnumType("Code", (("OK", 0), ("ABORTED", 10)))
FORWARD = t.StructType("Forward", (t.StructField("after", t.OptionType(DURATION), None, False),))
REJECT = t.StructType("Reject", (t.StructField("code", CODE), t.StructField("message", TEXT, "", False)))
VERDICT = t.UnionType("Verdict", (FORWARD, REJECT))


@pytest.mark.parametrize(
    ("of", "value", "wanted"),
    [
        (INT, -2, b"\xfe" + b"\xff" * 7),
        (U64, 2**64 - 1, b"\xff" * 8),
        (t.IntType(8, False), 200, b"\xc8" + bytes(7)),
        (BOOL, True, b"\x01"),
        (FLOAT, 1.5, b"\0\0\0\0\0\0\xf8\x3f"),
        (TEXT, "bé", b"\3\0\0\0b\xc3\xa9"),
        (BYTES, b"", b"\0\0\0\0"),
        (UNIT, None, b""),
        (t.OptionType(BOOL), None, b"\0"),
        (t.OptionType(BOOL), False, b"\1\0"),
        (t.TupleType((BOOL, BOOL)), (True, False), b"\1\0"),
        (VERDICT, Record("Reject", {"code": 10, "message": "no"}), b"\1\x0a" + bytes(7) + b"\2\0\0\0no"),
        (t.SeqType(BOOL), (True,), b"\1\0\0\0\1"),
        (t.SetType(BOOL), {True: None, False: None}, b"\2\0\0\0\1\0"),
        (t.DictType(BOOL, BOOL), {True: False}, b"\1\0\0\0\1\0"),
    ],
)
def test_the_bytes_of_each_type(of: Type, value: object, wanted: bytes) -> None:
    assert encode(of, value) == wanted
    assert normal(decode(of, wanted)) == normal(value)


def values(of: Type) -> st.SearchStrategy[Any]:
    match of:
        case t.IntType(bits=bits, signed=signed):
            low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
            return st.integers(low, high)
        case t.InstantType() | t.DurationType() | t.EnumType():
            return st.integers(-(2**63), 2**63 - 1)
        case t.KeyType():
            return st.integers(0, 2**64 - 1)
        case t.BoolType():
            return st.booleans()
        case t.FloatType():
            return st.floats()
        case t.TextType(bound=bound):
            return st.text(max_size=(bound or 80) // 4)
        case t.BytesType(bound=bound):
            return st.binary(max_size=bound or 80)
        case t.OptionType(item=item):
            return st.none() | values(item)
        case t.TupleType(items=items):
            return st.tuples(*map(values, items))
        case t.StructType(name=name, fields=fields):
            return st.tuples(*(values(f.type) for f in fields)).map(
                lambda items: Record(name, {f.name: item for f, item in zip(fields, items, strict=True)})
            )
        case t.UnionType(cases=cases):
            return st.one_of(*map(values, cases))
        case _:
            raise AssertionError(of)


LEAVES = st.sampled_from(
    [INT, U64, BOOL, FLOAT, TEXT, BYTES, INSTANT, DURATION, CODE, t.KeyType("Client"), t.TextType(64)]
    + [t.IntType(bits, signed) for bits in (8, 16, 32) for signed in (True, False)]
    + [FORWARD, VERDICT]
)
TYPES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda items: t.TupleType(tuple(items)))
        | inner.filter(lambda i: not isinstance(i, t.OptionType)).map(t.OptionType)
        | st.lists(inner, max_size=3).map(
            lambda items: t.StructType("S", tuple(t.StructField(f"f{i}", x) for i, x in enumerate(items)))
        )
    ),
    max_leaves=5,
)


@given(st.data())
def test_every_value_comes_back_and_no_cut_or_longer_one_is_taken(data: st.DataObject) -> None:
    of: Type = data.draw(TYPES)
    value = data.draw(values(of))
    bytes_ = encode(of, value)
    assert normal(decode(of, bytes_)) == normal(value)
    with pytest.raises(CodecError, match="left over"):
        decode(of, bytes_ + b"\0")
    if bytes_:
        with pytest.raises(CodecError):
            decode(of, bytes_[:-1])


@given(TYPES, st.binary(max_size=60))
def test_whatever_bytes_are_taken_are_the_bytes_that_would_be_written(of: Type, data: bytes) -> None:
    try:
        value = decode(of, data)
    except CodecError:
        return
    if "nan" not in repr(value):  # reading a NaN may quieten it
        assert encode(of, value) == data


@pytest.mark.parametrize(
    ("of", "data", "why"),
    [
        (BOOL, b"\2", "2 is no bool tag"),
        (t.OptionType(BOOL), b"\2\0", "2 is no option tag"),
        (t.IntType(8, True), b"\x80" + bytes(7), "128 is out of range for i8"),
        (TEXT, b"\1\0\0\0\xff", "not valid UTF-8"),
        (VERDICT, b"\2", "Verdict has no case 2"),
        (t.EnumType("E", (("A", 1),), open=False), bytes(8), "E has no member 0"),
        (TEXT, b"\xff\xff\xff\xff", "cut short: 4294967295 bytes wanted at 4, 0 are left"),
        (t.SetType(BOOL), b"\xff\xff\xff\xff", "cut short: 4294967295 items wanted at 4, 0 bytes are left"),
        (
            t.TableType(t.TableKind.TABLE, BOOL, BOOL, 1),
            b"\2\0\0\0\0\0\1\0",
            "2 entries, where the capacity is 1",
        ),
        (t.TableType(t.TableKind.TABLE, BOOL, BOOL, 9), b"\2\0\0\0\0\0\0\1", "a key occurs twice"),
        (t.TableType(t.TableKind.ORDERED, BOOL, BOOL, 9), b"\2\0\0\0\1\0\0\0", "do not ascend"),
        (t.ViewType("Rpc"), b"", "Rpc is a reference to outside data: it has no encoding"),
    ],
)
def test_what_no_writer_writes_is_refused(of: Type, data: bytes, why: str) -> None:
    with pytest.raises(CodecError, match=why):
        decode(of, data)


@pytest.mark.parametrize(
    ("of", "value", "why"),
    [
        (INT, 2**63, "expected an integer in"),
        (INT, True, "expected an integer, found True"),
        (t.IntType(8, False), -1, r"expected an integer in \[0, 255\]"),
        (BOOL, 1, "expected a bool, found 1"),
        (FLOAT, 1, "expected a float"),
        (TEXT, "\ud800", "not valid UTF-8"),
        (t.TupleType((INT,)), (1, 2), "expected 1 items"),
        (FORWARD, Record("Forward", {}), "has no field after"),
        (VERDICT, Record("Other", {}), "Other is no case of Verdict"),
        (t.ArrayType(INT, 2), [1], "expected 2 items"),
    ],
)
def test_a_value_of_another_type_is_refused(of: Type, value: object, why: str) -> None:
    with pytest.raises(CodecError, match=why):
        encode(of, value)


def field(name: str, of: Type, kind: FieldKind = FieldKind.STATE) -> StateField:
    return StateField(name, of, kind, None, span=NOWHERE)


def test_a_state_image_holds_what_tables_hold() -> None:
    tally = t.TableType(t.TableKind.TALLY, TEXT, INT, 2)
    lru = t.TableType(t.TableKind.LRU, INT, BOOL, 2)
    fields = (
        field("served", tally),
        field("recent", lru),
        field("limit", INT, FieldKind.PARAM),
        field("start", INT, FieldKind.LOCAL),
        field("slots", t.ArrayType(INT, 2)),
        field("calls", t.CounterType()),
        field("took", t.HistogramType()),
    )
    state: dict[str, Any] = {f.name: tables.empty(f.type) for f in fields if f.kind is FieldKind.STATE}  # type: ignore[arg-type]
    state["served"]["a"] = 0
    state["served"]["b"] = 7
    state["served"]["c"] = 1
    state["recent"].put(1, True)
    state["recent"].put(2, False)
    state["recent"].get(1)
    state["calls"].add(3)
    state["took"].observe(5)
    slots = {name: Slot(value, getattr(value, "overflow", 0)) for name, value in state.items()}
    image = encode_state(fields, slots | {"limit": Slot(9)})
    assert decode_state(fields, image) == {
        "served": Slot([("a", 0), ("b", 7)], 1),
        "recent": Slot([(2, False), (1, True)]),
        "limit": Slot(9),
        "slots": Slot([0, 0]),
        "calls": Slot(3),
        "took": Slot([0, 0, 0, 1] + [0] * 60),
    }
    assert encode_state(fields, decode_state(fields, image)) == image
    with pytest.raises(CodecError, match="cut short"):
        decode_state(fields, image[:-1])


def test_a_text_keeps_to_its_bound_in_state_alone() -> None:
    fields = (field("name", t.TextType(1)),)
    assert decode(t.TextType(1), encode(t.TextType(1), "long")) == "long"
    with pytest.raises(CodecError, match="at most 1 bytes"):
        encode_state(fields, {"name": Slot("é")})
    with pytest.raises(CodecError, match="2 bytes, where the bound is 1"):
        decode_state(fields, encode_state((field("name", t.TextType(2)),), {"name": Slot("é")}))
