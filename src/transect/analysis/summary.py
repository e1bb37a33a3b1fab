# SPDX-License-Identifier: Apache-2.0
"""Loops that are not unrolled: their results are unknown functions of everything that they read.

This is sound: a loop is a function of what it reads, so a proof for every such function holds for it.  Loops that say
the same, in the tree, are the same function, also in two versions of a policy.  A loop that cannot be expressed in this
way (one that returns from within, or writes tables) raises `Unsupported`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import assert_never

from transect.analysis.entries import Evaluating, assume_of_entries
from transect.analysis.state import UNROLLED, End, Held, Path, Said, Table, Way, unknown
from transect.analysis.terms import TRUE, Sort, Term, function, var
from transect.analysis.values import Many, Unsupported, Value, View, leaves
from transect.core import ir
from transect.core.effects import Effects, Facts, bindings, nodes
from transect.core.ir import FieldKind

SUMMARY = "summary of "  # what the names of these functions begin with


def summarised_value(evaluator: Evaluating, e: ir.Reduce | ir.MakeSet, path: Path) -> Value:
    """A reduction as an unknown function."""
    touched = Facts(evaluator.program).of(e)
    if not touched.reads_only or touched.random or touched.outside_reads or touched.reports:
        raise Unsupported(f"one value {_over(e.source)} by what does more than compute")
    if isinstance(e, ir.MakeSet):
        raise Unsupported(f"a set of what stands {_over(e.source)}")
    name = f"{SUMMARY}{e.op} {_meaning(evaluator.program, e, touched)}"

    def whole(at: Path) -> Value:
        return unknown(name, e.type, evaluator.world.assume, _inputs(evaluator, e, touched, at))

    if not assume_of_entries(evaluator, e, path, whole):
        evaluator.world.unfollowed[e.span] = f"`{e.op}` {_over(e.source)}"
    return whole(path)


def summarised_loop(evaluator: Evaluating, s: ir.For, path: Path) -> list[End]:
    """A loop as unknown functions for each local and field that it writes."""
    touched = Facts(evaluator.program).of((s,))
    if any(isinstance(node, ir.Return) for node in nodes((s,))):
        raise Unsupported(f"a loop {_over(s.source)} that returns from within")
    if touched.view_writes or touched.outside_writes or touched.outside_reads:
        raise Unsupported(f"a loop {_over(s.source)} that writes outside data")
    inputs = _inputs(evaluator, s, touched, path)
    evaluator.world.unfollowed[s.span] = f"a loop {_over(s.source)}"
    name = f"{SUMMARY}for {_meaning(evaluator.program, s, touched)}"
    for field in sorted(touched.written_fields):
        _havoc_field(evaluator, field, name, inputs, path)
    types = {
        local: t for f in (*evaluator.program.handlers, *evaluator.program.functions) for local, t in f.locals
    }
    for local in bindings((s,)):
        if local in path.frame:
            path.frame[local] = unknown(f"{name} local {local}", types[local], evaluator.world.assume, inputs)
    if touched.reports:
        path.said = (*path.said, Said(TRUE, name, inputs))
    if touched.random:
        path.draws = function(f"{name} draws", Sort.INT, inputs)
    return [End(Way.ON, TRUE, path)]


def _havoc_field(evaluator: Evaluating, field: str, name: str, inputs: tuple[Term, ...], path: Path) -> None:
    declared = evaluator.fields[field]
    if isinstance(path.fields.get(field), Table):
        raise Unsupported(f"a loop of more than {UNROLLED} rounds that writes the table `{field}`")
    value = unknown(f"{name} field {field}", declared.type, evaluator.world.assume, inputs)
    path.overflow[field] = function(f"{name} field {field}!", Sort.INT, (*inputs, path.overflow[field]))
    if declared.kind is FieldKind.LOCAL:
        path.locals[field] = value
    else:
        path.fields[field] = value


def _over(source: ir.Source) -> str:
    """What a loop goes over, in words."""
    match source:
        case ir.OverState(field=field):
            return f"over the entries of `{field}`"
        case ir.OverValue(value=ir.State(field=field)):
            return f"over `{field}`"
        case ir.OverRange():
            return f"of more than {UNROLLED} rounds"
        case ir.OverValue():
            return "over what comes from outside"
        case _:
            assert_never(source)


def _meaning(program: ir.Program, part: ir.Reduce | ir.For, touched: Effects) -> str:
    """A name for everything that decides what a part of a program does, its inputs apart: the part, the helpers that it
    calls, the declarations of the fields that it touches, and the views."""
    calls, helpers = {node.function for node in nodes(part) if isinstance(node, ir.Call)}, []
    for helper in reversed(program.functions):  # each stands after those that it calls
        if helper.name in calls:
            helpers.append(helper)
            calls |= {node.function for node in nodes(helper) if isinstance(node, ir.Call)}
    fields = [f for f in program.state if f.name in touched.read_fields | touched.written_fields]
    views = program.views if touched.view_reads else ()
    told = _spelt((program.stratum, part, helpers, fields, views))
    return hashlib.sha256(told.encode()).hexdigest()


def _spelt(part: object) -> str:
    """The tree as text, without places and docstrings.  Equal values that are not the same (0.0 and -0.0) differ."""
    if dataclasses.is_dataclass(part):
        told = [f.name for f in dataclasses.fields(part) if f.compare and f.name != "doc"]
        return f"{type(part).__name__}({', '.join(f'{n}={_spelt(getattr(part, n))}' for n in told)})"
    if isinstance(part, list | tuple):
        return f"[{', '.join(map(_spelt, part))}]"
    return repr(part)


def _inputs(evaluator: Evaluating, part: ir.Expr | ir.For, touched: Effects, path: Path) -> tuple[Term, ...]:
    """Everything that may affect the loop's results, in a fixed order."""
    terms: list[Term] = []
    for field in sorted(touched.read_fields | touched.written_fields):
        held: Held = path.locals[field] if field in path.locals else path.fields[field]
        terms += _held(held)
    read = {
        node.name
        for node in nodes(part if not isinstance(part, ir.For) else (part,))
        if isinstance(node, ir.Local)
    }
    for name in sorted(read & path.frame.keys()):
        terms += _held(path.frame[name])
    if touched.view_reads:
        terms.append(var(evaluator.world.tape, Sort.OPAQUE))
        outside = {**evaluator.world.given(), **path.outside}
        for place in sorted(outside):
            terms += [var(place, Sort.OPAQUE), *_held(outside[place])]
    if touched.clock or touched.random:
        terms += [var(evaluator.world.tape, Sort.OPAQUE), evaluator.world.now(), path.draws]
    return tuple(terms)


def _held(held: Held) -> list[Term]:
    match held:
        case Table(writes=writes):
            found = [var(f"{held.name} whole", Sort.OPAQUE), held.size, held.overflow, held.order]
            for w in writes:
                value = [] if w.value is None else [t for _, t in leaves(w.value)]
                found += [w.guard, *(t for _, t in leaves(w.key)), *value]
            return found
        case Many(members=members):
            return [t for guard, value in members for t in (guard, *(x for _, x in leaves(value)))]
        case View():
            return [var(held.path, Sort.OPAQUE)]
        case _:
            return [term for _, term in leaves(held)]
