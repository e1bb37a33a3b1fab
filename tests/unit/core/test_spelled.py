# SPDX-License-Identifier: Apache-2.0
"""Values on a command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.core.param_text import parse_value, show_value, spelled
from transect.core.types import (
    BOOL,
    DURATION,
    FLOAT,
    INT,
    U64,
    EnumType,
    IntType,
    KeyType,
    OptionType,
    StructField,
    StructType,
    TextType,
    TupleType,
    Type,
    UnionType,
)
from transect.core.values import Record

PHASE = EnumType("Phase", (("CLOSED", 0), ("OPEN", 1)))


@pytest.mark.parametrize(
    ("text", "t", "value"),
    [
        ("5", INT, 5),
        ("0.25", FLOAT, 0.25),
        ("true", BOOL, True),
        ("100ms", DURATION, 100_000_000),
        ("1.5s", DURATION, 1_500_000_000),
        ("OPEN", PHASE, 1),
        ("none", OptionType(INT), None),
        ("7", OptionType(INT), 7),
        ("bob", TextType(8), "bob"),
    ],
)
def test_a_text_is_read_by_its_type(text: str, t: Type, value: object) -> None:
    assert parse_value(text, t) == value
    assert parse_value(show_value(value, t), t) == value


@pytest.mark.parametrize(
    ("text", "t", "says"),
    [
        ("five", INT, "`five` is not a whole number"),
        ("-1", U64, "`-1` does not fit in `u64`"),
        ("300", IntType(8, False), "`300` does not fit in `u8`"),
        ("yes", BOOL, "`yes` is none of true, false"),
        ("100", DURATION, "`100` is not a duration; write a number with ns, us, ms, s, min: `100ms`"),
        ("SHUT", PHASE, "`SHUT` is none of CLOSED, OPEN"),
        ("too long for it", TextType(4), "`too long for it` does not fit in `str`"),
    ],
)
def test_what_is_no_value_says_what_to_write(text: str, t: Type, says: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_value(text, t)
    assert str(refused.value) == says


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_duration_is_shown_as_it_is_read(ns: int) -> None:
    assert parse_value(show_value(ns, DURATION), DURATION) == ns


FORWARD = StructType(
    "Forward", (StructField("after", OptionType(DURATION)), StructField("to", OptionType(TextType(8))))
)
REJECT = StructType("Reject", (StructField("code", PHASE), StructField("message", TextType(80))))
VERDICT = UnionType("Verdict", (FORWARD, REJECT))


@pytest.mark.parametrize(
    ("value", "t", "said"),
    [
        (7, KeyType("Client"), "client 7"),
        (None, OptionType(KeyType("Client")), "none"),
        ((7, 1), TupleType((KeyType("Client"), PHASE)), "client 7, OPEN"),
        (Record("Reject", {"code": 1, "message": "no"}), REJECT, "code OPEN, message no"),
        (Record("Reject", {"code": 1, "message": 'a "b"'}), VERDICT, 'Reject(OPEN, "a \\"b\\"")'),
        (Record("Forward", {"after": None, "to": None}), VERDICT, "Forward()"),
        (Record("Forward", {"after": 3_000_000, "to": "b"}), VERDICT, 'Forward(after=3ms, to="b")'),
    ],
)
def test_any_value_is_spelled_as_the_policy_writes_it(value: object, t: Type, said: str) -> None:
    assert spelled(value, t, lambda number: f"client {number}") == said
