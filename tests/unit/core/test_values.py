# SPDX-License-Identifier: Apache-2.0
"""Values compute as `semantics` says, at the edges of 64 bits, of binary64 and of texts."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import dataclass
from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.core import values
from transect.core.ir import BinaryOp, CompareOp, UnaryOp
from transect.core.operations import binary, cast, compare, unary
from transect.core.types import (
    BOOL,
    BYTES,
    DURATION,
    FLOAT,
    INT,
    TEXT,
    U64,
    BytesType,
    EnumType,
    IntType,
    KeyType,
    OptionType,
    SetType,
    StructField,
    StructType,
    TextType,
    TupleType,
    Type,
)
from transect.core.values import MISFIT, Record, equal, less, normal, storer, zero

MIN, MAX, TOP = -(2**63), 2**63 - 1, 2**64 - 1
NAN, INF = math.nan, math.inf

ints = st.integers(MIN, MAX)
u64s = st.integers(0, TOP)


@given(st.integers(-(2**130), 2**130))
def test_wrapping_keeps_the_low_64_bits(x: int) -> None:
    assert MIN <= values.wrap(x) <= MAX and (values.wrap(x) - x) % 2**64 == 0
    assert 0 <= values.wrap_u64(x) <= TOP and (values.wrap_u64(x) - x) % 2**64 == 0


@pytest.mark.parametrize(
    ("x", "bits", "signed", "stored"),
    [
        (300, 8, False, 44),
        (-1, 8, False, 255),
        (200, 8, True, -56),
        (127, 8, True, 127),
        (2**31, 32, True, -(2**31)),
    ],
)
def test_narrow_storage_truncates(x: int, bits: int, signed: bool, stored: int) -> None:
    assert values.narrow(x, bits, signed) == stored


@pytest.mark.parametrize(
    ("a", "b", "quotient", "rest"),
    [(7, 2, 3, 1), (-7, 2, -4, 1), (7, -2, -4, -1), (5, 0, 0, 5), (MIN, -1, MIN, 0), (MIN, 1, MIN, 0)],
)
def test_division_floors_and_is_total(a: int, b: int, quotient: int, rest: int) -> None:
    assert values.floordiv(a, b) == quotient
    assert values.modulo(a, b) == rest


def test_division_of_u64_uses_all_64_bits() -> None:
    assert values.floordiv_u64(TOP, 1) == TOP
    assert values.floordiv_u64(TOP, 0) == 0
    assert values.modulo(TOP, 0) == TOP


def test_shift_counts_are_modulo_64() -> None:
    assert values.shift_left(1, 63) == MIN
    assert values.shift_left(3, 64) == 3
    assert values.shift_left(1, -1) == MIN
    assert values.shift_left_u64(3, 63) == 2**63
    assert values.shift_right(-1, 200) == -1
    assert values.shift_right(TOP, 63) == 1


@given(ints, ints, ints)
def test_mul_div_has_a_product_of_128_bits(a: int, b: int, c: int) -> None:
    assert values.mul_div(a, b, c) == (values.wrap(a * b // c) if c else 0)


def test_mul_div_of_u64() -> None:
    assert values.mul_div_u64(TOP, TOP, 2) == (TOP * TOP // 2) % 2**64
    assert values.mul_div_u64(TOP, TOP, 0) == 0


@pytest.mark.parametrize(
    ("x", "as_int", "as_u64"),
    [
        (NAN, 0, 0),
        (INF, MAX, TOP),
        (-INF, MIN, 0),
        (2.0**63, MAX, 2**63),
        (-(2.0**63), MIN, 0),
        (-(2.0**63) - 1025, MIN, 0),
        (2.0**64, MAX, TOP),
        (-0.9, 0, 0),
        (1.9, 1, 1),
        (-1.9, -1, 0),
    ],
)
def test_floats_saturate(x: float, as_int: int, as_u64: int) -> None:
    assert values.saturate(x) == as_int
    assert values.saturate_u64(x) == as_u64


@pytest.mark.parametrize(
    ("a", "b", "quotient"),
    [
        (1.0, 0.0, INF),
        (-1.0, 0.0, -INF),
        (1.0, -0.0, -INF),
        (-1.0, -0.0, INF),
        (0.0, 0.0, NAN),
        (NAN, 0.0, NAN),
        (INF, 0.0, INF),
        (1.0, NAN, NAN),
        (1.0, 4.0, 0.25),
        (-0.0, 5.0, -0.0),
        (INF, INF, NAN),
    ],
)
def test_float_division_is_that_of_ieee(a: float, b: float, quotient: float) -> None:
    assert normal(values.float_div(a, b)) == normal(quotient)


@pytest.mark.parametrize(
    ("a", "b", "smaller", "larger"),
    [
        (1.0, 2.0, 1.0, 2.0),
        (0.0, -0.0, 0.0, 0.0),
        (-0.0, 0.0, -0.0, -0.0),
        (NAN, 1.0, 1.0, 1.0),
        (1.0, NAN, 1.0, 1.0),
        (NAN, NAN, NAN, NAN),
        (NAN, INF, INF, INF),
    ],
)
def test_the_first_of_equals_wins_and_nan_never(a: float, b: float, smaller: float, larger: float) -> None:
    assert normal(values.float_min(a, b)) == normal(binary(BinaryOp.MIN, FLOAT, a, b)) == normal(smaller)
    assert normal(values.float_max(a, b)) == normal(binary(BinaryOp.MAX, FLOAT, a, b)) == normal(larger)


def test_sizes_of_texts_are_in_bytes() -> None:
    assert values.size("aé€😀") == 10
    assert values.size("abc") == 3
    assert values.size(b"\xff\x00") == 2


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("-0", 0),
        ("-42", -42),
        ("0" * 5000 + "42", 42),
        (str(MAX), MAX),
        (str(MIN), MIN),
        *(
            (wrong, None)
            for wrong in (
                "",
                "-",
                "--1",
                "+1",
                " 1",
                "1 ",
                "1\n",
                "1_0",
                "0x1",
                "1e3",
                "1.0",
                "\u0663",
                "\u00b2",
            )
        ),
        (str(MAX + 1), None),
        (str(MIN - 1), None),
        ("1" * 5000, None),
    ],
)
def test_a_text_is_a_number_in_decimal_or_none(text: str, number: int | None) -> None:
    assert values.parse_int(text) == number


@given(ints)
def test_each_number_comes_back_from_its_text(x: int) -> None:
    assert values.parse_int(str(x)) == x


def test_parts_of_an_f_string() -> None:
    assert [values.formatted(x) for x in (-5, True, "é", Colour.RED)] == ["-5", "True", "é", "1"]


# ---------------------------------------------------------------- structs


@dataclass(slots=True)
class Point:
    x: int
    y: float


@dataclass(slots=True)
class Line:
    start: Point
    ends: tuple[Point, ...]


POINT = StructType("Point", (StructField("x", IntType(8, True)), StructField("y", FLOAT)))


def test_a_record_is_a_value() -> None:
    p = Record("Point", {"x": 1, "y": NAN})
    assert p.x == 1 and repr(p) == "Point(x=1, y=nan)"
    assert copy.copy(p) is p and copy.deepcopy(p) is p
    with pytest.raises(AttributeError, match="is a value"):
        p.x = 2
    with pytest.raises(AttributeError, match="has no field 'z'"):
        _ = p.z
    assert Record("A", {"x": 1}) == Record("A", {"x": 1}) != Record("B", {"x": 1})
    assert Record("A", {"x": 1}) != 1
    assert len({Record("A", {"x": 1}), Record("A", {"x": 1})}) == 1
    assert not hasattr(Record.__new__(Record), "x")
    assert pickle.loads(pickle.dumps(Point(1, 2.0))) == Point(1, 2.0)


def test_a_struct_has_no_fields_but_its_own() -> None:
    for struct in (Record("Point", {"x": 1, "y": 2.0}), Point(1, 2.0)):
        assert values.field_of(struct, "x") == 1
        with pytest.raises(KeyError, match="__class__"):
            values.field_of(struct, "__class__")


def test_replacing_a_field_copies() -> None:
    for inner, outer in (
        (Record("Point", {"x": 1, "y": 2.0}), Record("Line", {"start": Record("Point", {"x": 1, "y": 2.0})})),
        (Point(1, 2.0), Line(Point(1, 2.0), ())),
    ):
        assert values.replaced(inner, ("x",), 5).x == 5 and inner.x == 1
        assert values.replaced(outer, ("start", "x"), 5).start.x == 5 and outer.start.x == 1
        assert values.replaced(outer, (), 7) == 7


def test_copies_share_nothing_that_can_change() -> None:
    line = Line(Point(1, 2.0), (Point(3, 4.0),))
    other = values.copied((line, 1))[0]
    other.start.x = other.ends[0].x = 9
    assert (line.start.x, line.ends[0].x) == (1, 3)
    record = Record("Point", {})
    assert values.copied(record) is record and values.copied(5) == 5 and values.copied(Point) is Point


def test_structs_of_both_kinds_have_one_normal_form() -> None:
    ours = Record("Line", {"start": Record("Point", {"x": 1, "y": -0.0}), "ends": ()})
    theirs = Line(Point(Colour.RED, -0.0), ())
    assert normal(ours) == normal(theirs)
    assert normal(0.0) != normal(-0.0) and normal(NAN) == normal(-NAN)
    assert normal([1, (2.0,)]) == (1, ((2.0).hex(),))
    assert normal({3: None}) == ((3, None),)


# ---------------------------------------------------------------- comparing


def test_nan_equals_nothing_at_any_depth() -> None:
    nan = NAN
    assert not equal(nan, nan)
    assert not equal((1, nan), (1, nan))
    assert not equal(Point(1, nan), Point(1, nan))
    assert not values.contains([nan], nan)
    assert equal((0.0,), (-0.0,))


def test_equality_of_different_shapes() -> None:
    assert not equal((1,), (1, 2))
    assert not equal(None, (1,)) and not equal((1,), None)
    assert not equal(Record("A", {}), Record("B", {})) and not equal(Record("A", {}), None)
    assert equal(Colour.RED, 1)


@given(st.text(), st.text())
def test_texts_are_ordered_by_their_bytes(a: str, b: str) -> None:
    assert less(a, b) == (a.encode() < b.encode())


def test_tuples_are_ordered_by_the_first_difference() -> None:
    assert less((1, "a"), (1, "b")) and not less((1, "b"), (1, "a")) and not less((1, "a"), (1, "a"))
    assert not less((NAN, 1), (NAN, 2))
    assert compare(CompareOp.LE, (1, 2.0), (1, 2.0)) and not compare(CompareOp.LE, (1, NAN), (1, NAN))


@given(st.floats(), st.floats())
def test_comparisons_are_those_of_python(a: float, b: float) -> None:
    found = [compare(op, a, b) for op in CompareOp]
    assert found == [a == b, a != b, a < b, a <= b, a > b, a >= b]


# ---------------------------------------------------------------- sets


def test_sets_keep_the_order_of_first_insertion() -> None:
    a, b = values.make_set([3, 1, 3, 2]), values.make_set([9, 2, 3])
    t = SetType(INT)
    assert list(binary(BinaryOp.OR, t, a, b)) == [3, 1, 2, 9]
    assert list(binary(BinaryOp.AND, t, a, b)) == [3, 2]
    assert list(binary(BinaryOp.SUB, t, a, b)) == [1]
    assert list(binary(BinaryOp.XOR, t, a, b)) == [1, 9]


# ---------------------------------------------------------------- storing


@pytest.mark.parametrize(
    ("t", "value", "stored"),
    [
        (IntType(8, False), 257, 1),
        (TextType(3), "abc", "abc"),
        (TextType(3), "abé", MISFIT),
        (BytesType(1), b"ab", MISFIT),
        (OptionType(TextType(1)), None, None),
        (OptionType(TextType(1)), "ab", MISFIT),
        (TupleType((INT, IntType(8))), (300, 300), (300, 44)),
        (TupleType((INT, TextType(1))), (1, "ab"), MISFIT),
    ],
)
def test_storing_truncates_integers_and_refuses_texts(t: Type, value: object, stored: object) -> None:
    store = storer(t)
    assert store is not None and store(value) == stored


@pytest.mark.parametrize(
    "t", [INT, U64, TEXT, BYTES, FLOAT, OptionType(INT), TupleType((INT, TEXT)), KeyType("Client")]
)
def test_what_storing_does_not_change_costs_nothing(t: Type) -> None:
    assert storer(t) is None


def test_making_a_value_truncates_but_lets_texts_pass() -> None:
    assert storer(TextType(1), check=False) is None
    make = storer(TupleType((IntType(8), TextType(1))), check=False)
    assert make is not None and make((300, "abc")) == (44, "abc")


def test_storing_a_struct_copies_it() -> None:
    store = storer(POINT)
    assert store is not None
    point = Point(300, 1.0)
    assert store(point) == Point(44, 1.0) and point.x == 300
    assert store(Record("Point", {"x": 300, "y": 1.0})) == Record("Point", {"x": 44, "y": 1.0})
    bounded = storer(StructType("S", (StructField("t", TextType(1)),)))
    assert bounded is not None and bounded(Record("S", {"t": "ab"})) is MISFIT


def test_what_can_change() -> None:
    assert values.is_mutable(TupleType((INT, OptionType(POINT)))) and not values.is_mutable(TupleType((INT,)))


def test_zeros() -> None:
    t = TupleType(
        (INT, BOOL, FLOAT, TEXT, BYTES, OptionType(INT), EnumType("E", (("A", 1),)), DURATION, POINT)
    )
    assert zero(t) == (0, False, 0.0, "", b"", None, 0, 0, Record("Point", {"x": 0, "y": 0.0}))


# ---------------------------------------------------------------- operators by type


def test_operators_follow_the_type_of_their_result() -> None:
    assert binary(BinaryOp.ADD, INT, MAX, 1) == MIN
    assert binary(BinaryOp.ADD, U64, TOP, 1) == 0
    assert binary(BinaryOp.SUB, U64, 0, 1) == TOP
    assert binary(BinaryOp.MUL, DURATION, MAX, 2) == -2
    assert binary(BinaryOp.ADD, IntType(8), 200, 100) == 300
    assert binary(BinaryOp.DIV, FLOAT, 1.0, 0.0) == INF
    assert binary(BinaryOp.XOR, BOOL, True, True) is False
    assert binary(BinaryOp.MIN, TEXT, "b", "a") == "a"
    assert binary(BinaryOp.MAX, TupleType((INT,)), (1,), (2,)) == (2,)


def test_unary_operators() -> None:
    assert unary(UnaryOp.NEG, INT, MIN) == MIN
    assert unary(UnaryOp.NEG, U64, 1) == TOP
    assert unary(UnaryOp.INVERT, U64, 0) == TOP
    assert unary(UnaryOp.INVERT, INT, 0) == -1
    assert normal(unary(UnaryOp.NEG, FLOAT, 0.0)) == normal(-0.0)
    assert unary(UnaryOp.NOT, BOOL, True) is False


@pytest.mark.parametrize(
    ("t", "value", "result"),
    [
        (INT, 2.9, 2),
        (U64, -1.0, 0),
        (U64, -1, TOP),
        (INT, TOP, -1),
        (INT, True, 1),
        (INT, Colour.RED, 1),
        (IntType(8, True), 200, -56),
        (FLOAT, TOP, 2.0**64),
        (DURATION, 1e300, MAX),
        (DURATION, 5, 5),
        (TextType(1), "abc", "abc"),
        (TupleType((IntType(8),)), (300,), (44,)),
    ],
)
def test_casts(t: Type, value: object, result: object) -> None:
    assert cast(t, value) == result and type(cast(t, value)) is type(result)
