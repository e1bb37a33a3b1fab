# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import types as python_types
import typing
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.sink import EXAMPLES
from transect.base.span import NOWHERE, Span
from transect.core import ir
from transect.core import types as t
from transect.core.frontend import compile_file
from transect.core.passes.flatten import flatten
from transect.core.text import TextError, dump, parse

FAIR_SHARE = """\
transect-ir 1
policy FairShare stratum '' base 'Arbiter' stage CHECKED
path 'fair_share.py' hash 'abc'
doc 'Serve whoever has been served least.'
structs ()
unions ()
given waiting: [#Client]
state served: tally<#Client, int, 4096>  ; 7:4+46
state level: int = 0 'where the last one picked stood'  ; 8:17+1 4+14
handler arrive(client: #Client) -> None  ; 10:21+14 8-12:68
  locals floor: int, c: #Client
  let floor = min{.served.total(c) for c in values(.waiting) else .level}  ; 11:38+1 20+14 38+12 = 62+10 16+57 8+65
  store .served[client] = (.served.total(client) max floor)  ; 12:20+6 8+19 34+6 34+19 55+5 30+31 8+53
handler pick() -> #Client  ; 14:8-17:21
  locals chosen: #Client, c: #Client
  let chosen = argmin{.served.total(c) for c in values(.waiting)}  ; 15:25+12 = = = = 8+52
  store .level = (.level max .served.total(chosen))  ; 16:8+10 25+10 37+6 37+19 21+36 8+49
  return chosen  ; 17:15+6 8+13
handler charge(client: #Client, cost: int) -> None
  update .served[client] + cost
"""


def test_a_program_reads_and_comes_back_as_it_was() -> None:
    program = parse(FAIR_SHARE)
    assert dump(program) == FAIR_SHARE
    pick = program.handler("pick")
    assert pick is not None and pick.span == Span("fair_share.py", 14, 8, 17, 21)
    assert pick.body[0] == ir.Let(
        "chosen",
        ir.Reduce(
            ir.ReduceOp.ARGMIN,
            ("c",),
            ir.OverValue(
                ir.State("waiting", type=t.SeqType(t.KeyType("Client")), span=NOWHERE),
                ir.Part.VALUES,
                NOWHERE,
            ),
            None,
            ir.Lookup(
                ir.TableRead.TOTAL,
                "served",
                (ir.Local("c", type=t.KeyType("Client"), span=NOWHERE),),
                type=t.INT,
                span=NOWHERE,
            ),
            type=t.KeyType("Client"),
            span=NOWHERE,
        ),
        NOWHERE,
    )


# ---------------------------------------------------------------- any tree, well-typed or not

NAMES = st.sampled_from(
    ["a", "b2", "self", "min", "some", "cast", "with", "True", "_", "x.y", "é", "c#1", "int", ""]
)
SPANS = st.sampled_from(
    [
        NOWHERE,
        Span("p.py", 1, 0, 1, 5),
        Span("p.py", 1, 7, 2, 3),
        Span("q.py", 1, 7, 1, 7),
        Span("q.py", 30, 7, 30, 6),
    ]
)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
)
ENUM = t.EnumType("E", (("A", 0), ("b-c", -1)))
STRUCT = t.StructType(
    "S",
    (
        t.StructField("a", t.INT, 3, False),
        t.StructField("e", ENUM),
        t.StructField("q", t.U64, (1, (), "x"), True),
    ),
)
TYPES = st.sampled_from(
    [
        t.INT,
        *t.STORAGE.values(),
        t.U64,
        t.BOOL,
        t.FLOAT,
        t.TEXT,
        t.TextType(64),
        t.BytesType(3),
        t.UNIT,
        t.INSTANT,
        t.OptionType(t.OptionType(t.BYTES)),
        t.TupleType(()),
        t.TupleType((t.INT, t.SetType(t.DURATION, 4))),
        t.SetType(STRUCT),
        t.SeqType(t.ViewType("V", (t.ViewType("W"), t.INT))),
        t.DictType(t.TEXT, t.KeyType("x.y")),
        t.TableType(t.TableKind.LRU, t.TupleType((t.TEXT, t.INT)), STRUCT, 9),
        t.ArrayType(t.TextType(8), 3),
        t.CounterType(),
        t.HistogramType(),
        ENUM,
        STRUCT,
        t.EnumType("E", (), open=False),
        t.StructType("int", ()),
        t.StructType("set", ()),
        t.UnionType("U", (STRUCT, t.StructType("S", ()))),
    ]
)


@st.composite
def nodes(draw: st.DrawFn, of: Any, depth: int = 3) -> Any:
    """Any value that a field with this annotation may hold; few nodes below `depth`."""
    if of is t.Type:
        return draw(TYPES)
    if of is t.StructType:
        return draw(st.sampled_from([STRUCT, t.StructType("S", ()), t.StructType("set", ())]))
    if of is t.UnionType:
        return t.UnionType("U", (STRUCT,))
    if of is Span:
        return draw(SPANS)
    if of is str:
        return draw(NAMES)
    if of is int:
        return draw(st.integers(0, 99))
    if of is bool:
        return draw(st.booleans())
    if of is type(None):
        return None
    origin, arguments = typing.get_origin(of), typing.get_args(of)
    if origin is tuple and arguments[-1] is ...:
        size = draw(st.integers(0, 2 if depth > 0 else 0))
        return tuple(draw(nodes(arguments[0], depth - 1)) for _ in range(size))
    if origin is tuple:
        return tuple(draw(nodes(a, depth - 1)) for a in arguments)
    if origin in (typing.Union, python_types.UnionType):
        small = [
            a for a in arguments if a in (ir.Const, ir.Local, ir.Break, ir.Pass, ir.MatchAny, type(None))
        ]
        return draw(nodes(draw(st.sampled_from(small if depth <= 0 and small else list(arguments))), depth))
    if issubclass(of, Enum):
        return draw(st.sampled_from(list(of)))
    hints = typing.get_type_hints(of)
    made = {
        f.name: draw(nodes(hints[f.name], depth - 1)) for f in dataclasses.fields(of) if f.name != "value"
    }
    if "value" in hints:
        made["value"] = draw(PLAIN) if of is ir.Const else draw(nodes(hints["value"], depth - 1))
    return of(**made)


def exactly_equal(a: Any, b: Any) -> bool:
    """With spans, which comparing nodes leaves out."""
    if dataclasses.is_dataclass(a) and type(a) is type(b):
        return all(exactly_equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(exactly_equal, a, b))
    return repr(a) == repr(b)


@settings(max_examples=100)
@given(nodes(ir.Program, 7))
def test_every_tree_comes_back_even_one_without_sense(program: ir.Program) -> None:
    text = dump(program)
    assert exactly_equal(parse(text), program), text


@pytest.mark.parametrize(
    ("line", "wrong", "message"),
    [
        (1, "transect-ir 2", "line 1: this version of the text form is not known"),
        (7, "given waiting: [Client]", "line 7: no type is called 'Client'"),
        (12, "  let floor = .level  ; 11:2+3", "line 12: there are fewer spans than nodes"),
        (12, "  let floor = .level  ; 11:2+3 = =", "line 12: there are more spans than nodes"),
        (12, "  let floor = .level  ; 11:2+3 x", "line 12: no span: x"),
        (12, "  let floor = other", "line 12: the type of this Local is not known; write `::` and the type"),
        (12, "  let floor = (1 ? 2)", "line 12: '?' is no operator"),
        (12, "  let floor = 1 2", "line 12: '2' is left over"),
        (12, "  let floor = \\", "line 12: cannot read '\\\\\\\\'"),
        (12, "  frob", "line 12: 'frob' begins no statement"),
        (12, "      pass", "line 12: this line is indented more than the one before"),
        (12, "  let True = 1", "line 12: expected a name, found 'True'"),
        (12, "  update .served[client] plus 1", "line 12: 'plus' is not a valid BinaryOp"),
    ],
)
def test_a_text_that_is_no_program_is_refused_with_its_line(line: int, wrong: str, message: str) -> None:
    lines = FAIR_SHARE.splitlines()
    lines[line - 1] = wrong
    with pytest.raises(TextError, match="^" + message.replace("(", r"\(").replace("?", r"\?") + "$"):
        parse("\n".join(lines))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_comes_back(path: Path) -> None:
    for program in compile_file(path).programs:
        assert exactly_equal(parse(dump(program)), program)
        flat = flatten(program)
        assert exactly_equal(parse(dump(flat)), flat)
