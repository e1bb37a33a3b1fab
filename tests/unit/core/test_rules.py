# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.core.sink import sink
from transect.base.span import NOWHERE
from transect.core import ir, rules
from transect.core import types as t
from transect.core.interp import Instance
from transect.core.ir import BinaryOp, Part, TableRead
from transect.core.operations import binary
from transect.core.types import BOOL, BYTES, DURATION, FLOAT, INSTANT, INT, TEXT, U64, UNIT, Type
from transect.core.values import zero

CODE = t.EnumType("Code", (("OK", 0),))
CLIENT = t.KeyType("Client")
STRUCT = t.StructType("S", (t.StructField("a", INT), t.StructField("b", t.OptionType(TEXT))))
UNION = t.UnionType("U", (STRUCT,))
SET = t.SetType(INT)
WORDS = t.DictType(TEXT, INT)


@pytest.mark.parametrize("op", BinaryOp)
def test_the_interpreter_computes_what_the_rules_allow(op: BinaryOp) -> None:
    for rule in rules.BINARY[op]:
        left, right = (rules._TYPES.get(letter, SET) for letter in rule[:2])
        result = rules.binary_type(op, left, right)
        assert result == rules._TYPES.get(rule[2], SET)
        binary(op, result, {} if left == SET else zero(left), {} if right == SET else zero(right))


@pytest.mark.parametrize(
    ("op", "left", "right", "wanted"),
    [
        (BinaryOp.ADD, INT, U64, None),
        (BinaryOp.ADD, INSTANT, INSTANT, None),
        (BinaryOp.SUB, INSTANT, INSTANT, DURATION),
        (BinaryOp.DIV, INT, INT, None),
        (BinaryOp.ADD, t.IntType(8), t.IntType(8), None),
        (BinaryOp.OR, SET, t.SetType(INT, 4), SET),
        (BinaryOp.OR, SET, t.SetType(TEXT), None),
        (BinaryOp.MIN, CODE, CODE, CODE),
        (BinaryOp.MAX, t.TupleType((INT, TEXT)), t.TupleType((INT, t.TextType(8))), t.TupleType((INT, TEXT))),
        (BinaryOp.MIN, CLIENT, CLIENT, None),
        (BinaryOp.ADD, TEXT, TEXT, None),
    ],
)
def test_operators(op: BinaryOp, left: Type, right: Type, wanted: Type | None) -> None:
    assert rules.binary_type(op, left, right) == wanted


@pytest.mark.parametrize(
    ("of", "ordered", "comparable"),
    [
        (INT, True, True),
        (t.IntType(8), False, True),
        (CODE, True, True),
        (CLIENT, False, True),
        (SET, True, True),
        (STRUCT, False, True),
        (t.OptionType(INT), False, True),
        (t.TupleType((INT, CLIENT)), False, True),
        (UNION, False, False),
        (t.ViewType("V"), False, False),
        (UNIT, False, False),
    ],
)
def test_what_compares(of: Type, ordered: bool, comparable: bool) -> None:
    assert (rules.is_ordered(of) and of != SET, rules.is_comparable(of)) == (
        ordered and of != SET,
        comparable,
    )


@pytest.mark.parametrize(
    ("source", "target", "wanted"),
    [
        (STRUCT, UNION, True),
        (t.StructType("T", ()), UNION, False),
        (t.IntType(8), INT, True),
        (FLOAT, DURATION, True),
        (BOOL, INT, True),
        (INT, BOOL, False),
        (BOOL, BOOL, True),
        (INT, TEXT, False),
        (TEXT, t.TextType(8), True),
        (TEXT, BYTES, False),
    ],
)
def test_casts(source: Type, target: Type, wanted: bool) -> None:
    assert rules.casts(source, target) is wanted


@pytest.mark.parametrize(
    ("value", "place", "wanted"),
    [
        (INT, t.IntType(8), True),
        (U64, t.IntType(8), False),
        (t.IntType(8), INT, True),
        (t.TupleType((INT, TEXT)), t.TupleType((t.IntType(8), t.TextType(4))), True),
        (t.TupleType((INT,)), t.TupleType((INT, INT)), False),
        (t.OptionType(INT), t.OptionType(t.IntType(16)), True),
        (t.SeqType(TEXT), t.SeqType(t.TextType(8)), True),
        (WORDS, t.DictType(t.TextType(8), INT), True),
    ],
)
def test_stores(value: Type, place: Type, wanted: bool) -> None:
    assert rules.stores(value, place) is wanted


def table(kind: t.TableKind) -> t.TableType:
    return t.TableType(kind, TEXT, INT, 4)


@pytest.mark.parametrize(
    ("of", "questions"),
    [
        (table(t.TableKind.TABLE), {"at", "get", "get_or", "has", "len", "overflow", "put"}),
        (table(t.TableKind.LRU), {"at", "get", "get_or", "has", "len", "overflow", "put"}),
        (table(t.TableKind.TALLY), {"total", "has", "len", "overflow", "put"}),
        (
            table(t.TableKind.ORDERED),
            {"at", "get", "get_or", "has", "len", "overflow", "put", "first", "pop_first"},
        ),
        (t.ArrayType(INT, 4), {"at", "len", "overflow"}),
        (INT, {"overflow"}),
    ],
)
def test_questions_that_each_kind_answers(of: Type, questions: set[str]) -> None:
    assert {op.value for op in TableRead if rules.lookup_signature(op, of)} == questions


@pytest.mark.parametrize(
    ("name", "args", "wanted"),
    [
        ("len", (TEXT,), INT),
        ("len", (INT,), None),
        ("abs", (DURATION,), DURATION),
        ("abs", (BOOL,), None),
        ("startswith", (TEXT, t.TextType(4)), BOOL),
        ("startswith", (TEXT, BYTES), None),
        ("contains", (BYTES, BYTES), BOOL),
        ("fits", (TEXT, INT), BOOL),
        ("parse_int", (TEXT,), t.OptionType(INT)),
        ("parse_int", (BYTES,), None),
        ("removeprefix", (t.TextType(8), TEXT), TEXT),
        ("removesuffix", (BYTES, BYTES), BYTES),
        ("removesuffix", (BYTES, TEXT), None),
        ("lower", (BYTES,), None),
        ("strip", (TEXT,), TEXT),
        ("partition", (TEXT, TEXT), t.TupleType((TEXT, TEXT, TEXT))),
        ("hash64", (TEXT, U64), U64),
        ("hash64", (INT, U64), U64),
        ("hash64", (TEXT, INT), None),
        ("hash64", (BOOL, U64), None),
        ("now", (), INSTANT),
        ("now", (INT,), None),
        ("rand_below", (INT,), INT),
        ("mul_div", (INT, INT, INT), INT),
        ("mul_div", (INT, U64, INT), None),
        ("dict.get", (WORDS, TEXT), t.OptionType(INT)),
        ("dict.get_or", (WORDS, TEXT, INT), INT),
        ("dict.get_or", (WORDS, TEXT, TEXT), None),
        ("odd", (), None),
    ],
)
def test_functions_of_the_language(name: str, args: tuple[Type, ...], wanted: Type | None) -> None:
    assert rules.builtin_type(name, args) == wanted


def test_what_loops_bind() -> None:
    scope = rules.Scope(sink(), {"words": WORDS, "seen": SET, "n": INT})

    def over(name: str, part: Part) -> tuple[Type, ...] | None:
        local = ir.Local(name, type=scope.locals[name], span=NOWHERE)
        return rules.targets_of(ir.OverValue(local, part, NOWHERE), scope)

    def state(name: str, part: Part) -> tuple[Type, ...] | None:
        return rules.targets_of(ir.OverState(name, part, NOWHERE), scope)

    assert over("words", Part.ITEMS) == (TEXT, INT)
    assert over("seen", Part.VALUES) == over("seen", Part.KEYS) == (INT,)
    assert over("seen", Part.ITEMS) is None and over("n", Part.VALUES) is None
    assert state("slots", Part.ITEMS) == (INT, INT)
    assert state("served", Part.KEYS) == (CLIENT,)
    assert state("recent", Part.KEYS) is None  # an lru
    assert state("level", Part.KEYS) is None and state("nothing", Part.KEYS) is None


def test_places_that_are_not_there_have_no_type() -> None:
    scope = rules.Scope(sink(), {"b": STRUCT})
    local = ir.Local("b", type=STRUCT, span=NOWHERE)
    for place in (
        ir.StatePlace("nothing", (), INT, NOWHERE),
        ir.StatePlace("level", ("a",), INT, NOWHERE),
        ir.EntryPlace("level", local, (), INT, NOWHERE),
        ir.LocalPlace("c", ("a",), INT, NOWHERE),
        ir.ViewPlace(local, "a", INT, NOWHERE),
        ir.ViewPlace(ir.Local("r", type=t.ViewType("Odd"), span=NOWHERE), "a", INT, NOWHERE),
    ):
        assert rules.place_type(place, scope) is None
    assert rules.place_type(ir.EntryPlace("slots", local, (), INT, NOWHERE), scope) == INT


def test_a_views_arguments_stand_for_its_parameters() -> None:
    members: list[tuple[str, Type]] = [
        ("msg", t.ViewType("M")),
        ("all", t.SeqType(t.ViewType("M"))),
        ("inner", t.ViewType("Rpc", (t.ViewType("M"),))),
        ("n", INT),
    ]
    views = (
        ir.View(
            "Rpc",
            "",
            ("M",),
            tuple(ir.ViewMember(name, of) for name, of in members),
            span=NOWHERE,
        ),
    )
    scope = rules.Scope(replace(sink(), views=views))
    ask = t.ViewType("Ask")
    rpc = t.ViewType("Rpc", (ask,))
    assert [scope.member_type(rpc, name) for name in ("msg", "all", "inner", "n", "x")] == [
        ask,
        t.SeqType(ask),
        rpc,
        INT,
        None,
    ]


def test_the_sink_runs() -> None:
    """The program of these tests is one that the interpreter takes."""
    assert Instance(sink()).image()
