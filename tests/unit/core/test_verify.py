# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.core.sink import EXAMPLES, changed, sink
from transect.core import ir
from transect.core import types as t
from transect.core.frontend import compile_file, compile_text
from transect.core.ir import Stage
from transect.core.passes.flatten import flatten
from transect.core.patterns import exhaustive
from transect.core.text import dump, parse
from transect.core.verify import require, verify
from transect.core.walk import Node, map_children, walk


def found(program: ir.Program, stage: Stage = Stage.CHECKED) -> list[str]:
    return [f"{d.code} {d.message}" for d in verify(program, stage)]


def test_a_well_formed_program_breaks_no_rule() -> None:
    assert found(sink()) == []


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        # I001: the type that the operands give
        ("(i * 2::Duration)", "(i * 2::Instant)::Duration", "I001 no Binary has such operands"),
        ("cast(rpc->msg->size)::int", "rpc->msg->size", "I005 `+=` does not take u32 where int is kept"),
        ("if (.level > 3)", "if (.level > 3)::int", "I001 its type is int, where its operands give bool"),
        ("let user = rpc->msg->user", "let user = 1", "I001 user is str, and takes int"),
        ("return (x + x)", "return (x == x)", "I001 bool is returned, where int is promised"),
        ("return .buckets.len()", "return", "I001 nothing is returned, where int is promised"),
        # I002: operands and names
        (".buckets.has(user)", ".buckets.has(1)", "I002 expected str, found int"),
        (".buckets.has(user)", ".buckets.has()", "I002 expected 1 operands, found 0"),
        ("(- p#0)", "(~ p#1)::int", "I002 `~` does not take float"),
        ("(not .buckets", "(- .buckets", "I002 `-` does not take bool"),
        ("(t != '')", "(t != 1)", "I002 str is compared with int"),
        ("rpc->msg->inner)", "rpc->msg->user)", "I002 str is no Option"),
        ("(user in s)", "(i in s)", "I002 expected str, found int"),
        ("(user in s)", "(user in n)", "I002 nothing is in int"),
        ("@_double(1)", "@_double(true, 1)", "line"),
        ("Bucket{.limit, %now()}", "Bucket{.limit}", "I002 expected 2 operands, found 1"),
        ("some((i * 2::Duration))", "some(some((i * 2::Duration)))", "I002 an Option within an Option"),
        ("cast(Forward{some", "cast(Bucket{0, 0::Instant})::Forward = Forward{some", "line"),
        ("cast(Reject{10::Code, t})", "cast(Bucket{1, 0::Instant})", "I002 Bucket does not become Verdict"),
        ("10::Code, t", "11::Code, t", "I002 11 is no Code"),
        ("'anonymous'", "'anonymous'::bytes", "I002 'anonymous' is no bytes"),
        ("format('seen ', n)", "format('seen ', .ratio)", "I002 float has no text"),
        ("for k, v in items(", "for k in items(", "I002 1 target for 2 values"),
        ("for k, v in items(rpc->msg->labels)", "for k, v in items(rpc->msg->tags)", "I002 nothing can be gone over"),
        ("range(0, .limit, 1, 8)", "range(0, .limit, 0, 8)", "I002 a range with step 0 and bound 8"),
        ("for x in values@.slots", "for k, x in values@.slots", "I002 2 targets for 1 value"),
        ("set{t for", "set{.ratio for", "I002 float cannot be a member of a set"),
        ("max{.served.total(c) for", "max{.best for", "I002 `max` does not take Bucket"),
        ("any{(x > 0) for", "sum{(x > 0) for", "I002 `sum` does not take bool"),
        ("else 0}", "else true}", "line"),
        ("else 0}", "else 0::u64}", "I002 expected int, found u64"),
        ("case =0:", "case ='a':", "I002 str is matched with int"),
        ("case ?[i, x]:", "case ?[i, x, n]:", "I002 tuple[int, int] is no tuple of 3"),
        ("case ?t:", "case [t]:", "I002 str | None is no tuple of 1"),
        ("Reject{code: (", "Reject{size: (", "I002 Reject has no field size"),
        ("case Forward{}:", "case Bucket{}:", "I002 Bucket is no case of Verdict"),
        ("case m if any{", "case zz if any{", "I002 zz is not declared"),
        ("let b = .buckets.at(user)", "let b = .buckets::Bucket", "I001 its type is Bucket, where"),
        ("do %rand()", "do %say('a', 1, 2)", "I002 a keyword's name is no constant text"),
        ("do %rand()", "do %say('a', 'size', 2)", ""),
        # I003, I006, I007: paths
        ("  let user = rpc->msg->user\n", "", "I003 user is read on a path which has not bound it"),
        ("    case _:\n      pass\n  match %rpc", "    case _:\n      break\n  match %rpc", "I006 Break outside"),
        ("    if ((i == n) or (user in s)):\n      break\n", "", ""),
        ("    case Forward{}:\n", "    case Forward{after: ?_}:\n", "I007 a path of request"),
        ("(=0::Code | =10::Code)", "=0::Code", "I007 a path of request"),
        # I004: declarations
        ("state level: int = 0", "state level: int = 0::u64", "I004 the default of .level is u64, not int"),
        ("state level: int = 0", "state level: int = (1 + 2)", "I004 the default of .level is not constant"),
        ("state level: int = 0", "state level: int = 0\nstate odd: &Ask", "I004 Ask cannot be state: .odd"),
        ("table<str[64], Bucket, 16>", "table<float, Bucket, 16>", "I004 Map[float, Bucket] cannot be state: .buckets"),
        ("state calls: Counter", "state calls: Counter\nstate took: Counter", "I004 took is declared 2 times"),
        ("locals p: (int, float)", "locals rpc: int, p: (int, float)", "I004 rpc is declared 2 times"),
        # I005: places
        ("store .began = %now()", "store .limit = 1", "I005 .limit is read-only"),
        ("store .began = %now()", "store .waiting = .waiting", "I005 .waiting is read-only"),
        ("store .began = %now()", "store .began = 1", "I005 int is stored where Instant is kept"),
        ("store .began = %now()", "store .calls = 1", "I005 Counter is stored whole"),
        ("update .best!tokens", "update .best!token::int", "I005 there is no such place"),
        ("update .best!tokens", "update .best!tokens::u64", "I005 the place is int, not u64"),
        ("(rpc->msg)->user = 'anonymous'", "(rpc)->peer = 'anonymous'", "I005 Rpc.peer is read-only"),
        ("update b!tokens + 1", "update n + 1", "I005 n is written whole: that is a Let"),
        ("remove .buckets[user]", "remove .slots[0]", "I005 .slots is no table to remove from"),
        ("remove .buckets[user]", "remove .buckets[n]", "I005 expected str, found int"),
        ("update .slots[(i % 4)] + 1", "update .slots['a'] + 1", "I005 expected int, found str"),
        ("update .calls + 1", "update .calls - 1", "I005 `-=` does not take int where Counter is kept"),
        # I008: helpers
        ("  return (x + x)", "  return @_double(x)::int", "I008 _double calls _double, which does not come before it"),
        ("  return (x + x)", "  return @_count('a')::int", "I008 _double calls _count, which does not come before it"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_named(old: str, new: str, wanted: str) -> None:
    if wanted == "line":  # the text form itself refuses it
        with pytest.raises(ValueError, match="line"):
            changed(old, new)
    elif not wanted:
        assert found(changed(old, new)) == []
    else:
        assert any(fault.startswith(wanted) for fault in found(changed(old, new))), found(changed(old, new))


def test_paths_need_not_return_before_they_are_checked() -> None:
    old = "  return (x + x)"
    unfinished = dataclasses.replace(changed(old, "  pass"), stage=Stage.TYPED)
    assert found(unfinished, Stage.TYPED) == []
    assert found(unfinished) == [
        "I010 the program is TYPED, not CHECKED",
        "I007 a path of _double ends without a return",
    ]


def test_an_unknown_name_is_no_effect() -> None:
    unknown = dataclasses.replace(changed("@_count(user)", "@_counts(user)::int"), stage=Stage.FLAT)
    faults = found(unknown, Stage.FLAT)
    assert "I001 no Call has such operands, or it names something unknown" in faults
    assert not any("Call with an effect" in fault for fault in faults)
    within = dataclasses.replace(changed("@_count(user)", "(@_counts(user)::int + 1)"), stage=Stage.FLAT)
    assert not any("Call with an effect" in fault for fault in found(within, Stage.FLAT))


def test_flat_effects_stand_alone() -> None:
    flat = dataclasses.replace(sink(), stage=Stage.FLAT)
    assert sorted(set(found(flat, Stage.FLAT))) == [
        "I009 a Intrinsic with an effect is part of something else",
        "I009 a Lookup with an effect is part of something else",
    ]


def test_a_mistake_of_the_compiler_shows_the_program() -> None:
    broken = changed("store .began = %now()", "store .limit = 1")
    with pytest.raises(AssertionError, match=r"(?s)I005 .*\.limit is read-only.*policy Sink"):
        require(broken, Stage.CHECKED)
    assert require(sink(), Stage.CHECKED) == sink()


# ---------------------------------------------------------------- every node, with another type


def variants(node: Node) -> Iterator[Node]:
    """The tree with the type of one expression changed, for each expression in it."""
    if isinstance(node, ir.Expr):
        other = t.FLOAT if node.type != t.FLOAT else t.INT
        yield dataclasses.replace(node, type=other)
    children: list[Node] = []
    map_children(node, lambda child: children.append(child) or child)
    for i, child in enumerate(children):
        for variant in variants(child):
            count = iter(range(len(children)))
            yield map_children(node, lambda c, v=variant, i=i, n=count: v if next(n) == i else c)  # type: ignore[misc]


def test_no_expression_may_change_its_type() -> None:
    program = sink()
    tried = 0
    for handler in program.handlers:
        for i, s in enumerate(handler.body):
            for variant in variants(s):
                body = (*handler.body[:i], variant, *handler.body[i + 1 :])
                mutant = dataclasses.replace(program, handlers=(dataclasses.replace(handler, body=body),))  # type: ignore[arg-type]
                assert verify(mutant, Stage.CHECKED), f"{variant}"
                tried += 1
    assert (
        tried == sum(isinstance(n, ir.Expr) for h in program.handlers for s in h.body for n in walk(s)) > 150
    )


# ---------------------------------------------------------------- exhaustive patterns

ANY = ir.MatchAny(None)
CLOSED = t.EnumType("E", (("A", 0), ("B", 1)), open=False)
S = t.StructType("S", (t.StructField("b", t.BOOL), t.StructField("e", CLOSED)))


def const(value: int | bool | str | None, of: t.Type) -> ir.MatchConst:
    from transect.base.span import NOWHERE

    return ir.MatchConst(ir.Const(value, type=of, span=NOWHERE))


YES, NO, NOTHING = const(True, t.BOOL), const(False, t.BOOL), const(None, t.OptionType(t.BOOL))


@pytest.mark.parametrize(
    ("patterns", "of", "whole"),
    [
        ([], t.BOOL, False),
        ([ANY], t.INT, True),
        ([const(0, t.INT)], t.INT, False),
        ([YES], t.BOOL, False),
        ([YES, NO], t.BOOL, True),
        ([ir.MatchOr((YES, NO))], t.BOOL, True),
        ([NOTHING, ir.MatchSome(ANY)], t.OptionType(t.INT), True),
        ([NOTHING, ir.MatchSome(YES)], t.OptionType(t.BOOL), False),
        ([ir.MatchSome(ANY)], t.OptionType(t.BOOL), False),
        ([const(0, CLOSED), const(1, CLOSED)], CLOSED, True),
        ([const(0, CLOSED)], CLOSED, False),
        ([const(0, t.EnumType("O", (("A", 0),)))], t.EnumType("O", (("A", 0),)), False),
        ([ir.MatchTuple((YES, ANY)), ir.MatchTuple((ANY, NO))], t.TupleType((t.BOOL, t.BOOL)), False),
        ([ir.MatchTuple((YES, ANY)), ir.MatchTuple((NO, ANY))], t.TupleType((t.BOOL, t.BOOL)), True),
        ([ir.MatchTuple((ANY, YES)), ir.MatchTuple((ANY, NO))], t.TupleType((t.INT, t.BOOL)), True),
        ([ir.MatchStruct(S, (("b", YES),)), ir.MatchStruct(S, (("b", NO),))], S, True),
        ([ir.MatchStruct(S, (("b", YES),)), ir.MatchStruct(S, (("e", const(0, CLOSED)),))], S, False),
        ([ir.MatchStruct(S, ())], t.UnionType("U", (S, t.StructType("T", ()))), False),
        ([ir.MatchStruct(S, ()), ANY], t.UnionType("U", (S, t.StructType("T", ()))), True),
    ],
)  # fmt: skip
def test_cases_that_leave_nothing_out(patterns: list[ir.Pattern], of: t.Type, whole: bool) -> None:
    assert exhaustive(patterns, of) is whole


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_well_formed_at_every_stage(path: Path) -> None:
    for program in compile_file(path).programs:
        require(program, Stage.CHECKED)
        require(flatten(program), Stage.FLAT)
        require(flatten(program, lambda e: not isinstance(e, ir.Const | ir.Local), loops=True), Stage.FLAT)


def test_what_migrate_reads_of_the_old_state_is_there_and_read_only() -> None:
    text = """
from transect.lang import OldState, Tally, tally
from transect.rpc import Element

class V1(OldState):
    served: Tally[str, int] = tally(8)

class P(Element):
    total: int = 0

    def migrate(self, old: V1) -> None:
        for who in old.served:
            self.total += old.served[who]
"""
    (program,) = compile_text(text).programs
    require(program, Stage.CHECKED)
    assert parse(dump(program)) == program
    writing = parse(
        re.sub(r"  ; .*", "", dump(program)).replace("update .total + ", "update .`old.served`[who] + ")
    )
    assert found(writing) == ["I005 .old.served is read-only"]
