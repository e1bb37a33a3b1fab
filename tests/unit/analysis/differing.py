# SPDX-License-Identifier: Apache-2.0
"""The evaluator against the interpreter: one handler over all inputs, then with random ones put in, against a run."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from transect.analysis.concrete import Content, Reader
from transect.analysis.evaluate import Evaluator, start
from transect.analysis.prove import ConcreteCall, argument
from transect.analysis.solve import relevant
from transect.analysis.specialise import Specialised
from transect.analysis.state import Path, Table
from transect.analysis.summary import SUMMARY
from transect.analysis.terms import FALSE, Op, Sort, Term, boolean, integer, number, text
from transect.analysis.values import Option, Struct, Tuple, Union, Unsupported, Value, leaves
from transect.analysis.world import World
from transect.core import ir, tables
from transect.core.ir import FieldKind, Program
from transect.core.types import TableType
from transect.core.values import normal, struct_fields, struct_name

INTS = (0, 1, -1, 2, 3, 5, 63, 64, 100, 2**31, -(2**63), 2**63 - 1)
FLOATS = (0.0, -0.0, 1.0, 0.5, -2.5, 1e300, float("inf"), float("nan"))
TEXTS = (b"", b"a", b"b", b"ab", b"user", b"text")
SHARES = (0.0, 0.25, 0.5, 0.999)


class Inputs:
    """Random values for the inputs of a question, as a model gives them."""

    def __init__(self, seed: int, sizes: Mapping[str, int] | None = None) -> None:
        self.seed = seed
        self.sizes = sizes or {}  # of tables, by name
        self.specialised = Specialised(self.given)

    def given(self, term: Term) -> Term | None:
        if any(not a.is_const and a.sort is not Sort.OPAQUE for a in term.args):
            return None
        rng = random.Random(f"{self.seed} {term.data} {[repr(a) for a in term.args]}")
        name = str(term.data)
        if name.startswith("format ") or term.sort is Sort.OPAQUE:
            return None
        if name in self.sizes:
            return integer(self.sizes[name])
        match term.sort:
            case Sort.BOOL:
                return boolean(rng.random() < 0.6)
            case Sort.INT:
                small = name.endswith(("#", "!", " draws")) or rng.random() < 0.6
                return integer(rng.choice((0, 1, 2) if small else INTS))
            case Sort.FLOAT:
                return number(rng.choice(SHARES if name.endswith(" rand") else FLOATS))
            case _:
                return text(rng.choice(TEXTS) if rng.random() < 0.95 else b"x" * 70)

    def value(self, term: Term) -> Any:
        found = self.specialised.of(term)
        return found.data if found.is_const else repr(found)


class Trial:
    """One handler, evaluated once for all inputs.  Raises `Unsupported`."""

    def __init__(self, program: Program, hook: str) -> None:
        self.program = program
        self.hook = hook
        self.world = self.world_for(hook)
        self.before = start(program, "self", self.world)
        handler = program.handler(hook)
        assert handler is not None
        self.handler = handler
        args = [argument(p, self.world) for p in handler.params]
        self.result = Evaluator(program, self.world).handler(hook, args, self.before)
        self.seed = 0

    def world_for(self, hook: str) -> World:
        return World(hook)

    def inputs(self, sizes: Mapping[str, int] | None = None) -> Inputs:
        return Inputs(self.seed, sizes)

    def concrete(self, reader: Reader) -> ConcreteCall:
        return ConcreteCall(self.program, self.handler, reader, self.world)

    def differences(self, seed: int) -> list[str] | None:
        """What the evaluator and the interpreter do not agree on; None: these inputs cannot be, or are not followed."""
        self.seed = seed
        world, before, result = self.world, self.before, self.result
        asked = [t for _, t in _leaves(result.value)] + list(_terms(result.path)) + list(world.assumptions)
        inputs = self.inputs(self._sizes(asked))
        needed = relevant(world.assumptions, [t for t in asked if t not in world.assumptions])
        if any(inputs.specialised.of(a) is FALSE for a in needed):
            return None
        reader = Reader(inputs, asked)  # type: ignore[arg-type]
        if any(self._unknown(name) for name in reader.asked):
            return None
        if not self._consistent(reader, before):
            return None
        concrete = self.concrete(reader)
        sizes = {
            n: len(t.entries()) for n, t in concrete.instance.state.items() if isinstance(t, tables.Table)
        }
        for name, held in before.fields.items():
            content = concrete.state.get(name)
            given = len(content.entries) if isinstance(content, Content) else 0
            if (
                isinstance(held, Table)
                and name in sizes
                and not inputs.value(held.size) == sizes[name] == given
            ):
                return None
        try:
            concrete.run()
        except (AssertionError, IndexError, KeyError):
            return None  # what the front end proves about real states need not hold of random ones
        return self._compared(concrete, result.value, result.path, inputs)

    def _sizes(self, asked: list[Term]) -> dict[str, int]:
        """As many entries as the inputs say that there are."""
        reader = Reader(self.inputs(), asked)  # type: ignore[arg-type]
        found = {}
        for f in self.program.state:
            if isinstance(f.type, TableType) and f.kind is FieldKind.STATE:
                content = reader.table(f.type, f"self.{f.name}")
                found[f"self.{f.name}#"] = 0 if content is None else len(content.entries)
        return found

    def _unknown(self, name: str) -> bool:
        """Whether a name is that of a function which the evaluator does not look into."""
        outside = any(d.name in name for d in self.program.intrinsics)
        return outside or name in ("mul_div", "mul_div_u", "len", "in") or name.startswith(SUMMARY)

    def _consistent(self, reader: Reader, before: Path) -> bool:
        return not any(known.endswith((".oldest", ".second")) for known in reader.asked)

    def _compared(self, concrete: ConcreteCall, value: Value, path: Path, inputs: Inputs) -> list[str]:
        found = []
        if not agrees(value, concrete.result, inputs):
            found.append(f"result {plain(value, inputs)!r}, not {concrete.result!r}")
        for f in self.program.state:
            if f.kind is FieldKind.LOCAL:
                held: Any = concrete.locals.get(f.name)
                mine: Any = path.locals[f.name]
                if held is not None and not agrees(mine, held, inputs):
                    found.append(f"local {f.name} {plain(mine, inputs)!r}, not {held!r}")
                continue
            if f.kind is FieldKind.GIVEN:
                continue
            found += self._field(f, concrete, path, inputs)
        return found

    def _field(self, f: ir.StateField, concrete: ConcreteCall, path: Path, inputs: Inputs) -> list[str]:
        held, mine = concrete.instance.state[f.name], path.fields[f.name]
        if isinstance(held, tables.Histogram):
            return []
        if isinstance(held, tables.Counter):
            held = held.value - (1 << 64 if held.value >> 63 else 0)
        if isinstance(held, tables.Lru):
            return []
        if isinstance(mine, Table) and isinstance(held, tables.Array):
            return [
                f"{f.name}[{i}] is not {held[i]!r}"
                for i in range(len(held))
                if not agrees(mine.get(integer(i)), held[i], inputs)
            ]
        if isinstance(mine, Table):
            return [
                f"{f.name}[{key!r}] {there}, {value!r}, not {held.get(key) if key in held else None!r}"
                for key, there, value in _entries(mine, inputs)
                if isinstance(held, tables.Table)
                and (there != (key in held) or (there and not agrees_plain(value, dict(held.entries())[key])))
            ] + (
                [f"{f.name} has {inputs.value(mine.size)} entries, not {len(held.entries())}"]
                if isinstance(held, tables.Table) and inputs.value(mine.size) != len(held.entries())
                else []
            )
        assert not isinstance(mine, Table)
        return [] if agrees(mine, held, inputs) else [f"{f.name} {plain(mine, inputs)!r}, not {held!r}"]


def _entries(table: Table, inputs: Inputs) -> list[tuple[Any, bool, Any]]:
    found = []
    for key in table.keys_asked():
        shown = plain(key, inputs)
        found.append((shown, bool(inputs.value(table.has(key))), plain(table.get(key), inputs)))
    return found


UNSEEN = object()


def plain(value: Value, inputs: Inputs) -> Any:
    """A symbolic value as a plain one; `UNSEEN` where it is not looked into."""
    match value:
        case None:
            return None
        case Term():
            found = inputs.specialised.of(value)
            if not found.is_const:
                return UNSEEN
            return found.data.decode("utf-8", "replace") if isinstance(found.data, bytes) else found.data
        case Struct(name=name, fields=fields):
            return (name, {k: plain(v, inputs) for k, v in fields.items()})
        case Tuple(items=items):
            return tuple(plain(i, inputs) for i in items)
        case Option(present=present, value=inner):
            return plain(inner, inputs) if inputs.value(present) is True else None
        case Union(cases=cases):
            for guard, case in cases.values():
                if inputs.value(guard) is True:
                    return plain(case, inputs)
            return UNSEEN
        case _:
            return UNSEEN


def agrees(value: Value, held: Any, inputs: Inputs) -> bool:
    return agrees_plain(plain(value, inputs), held)


def agrees_plain(mine: Any, held: Any) -> bool:
    if mine is UNSEEN:
        return True
    if hasattr(held, "_fields") or type(held).__name__ == "Record":
        name, fields = mine
        theirs = struct_fields(held)
        return name == struct_name(held) and all(agrees_plain(v, theirs[k]) for k, v in fields.items())
    if isinstance(held, tuple):
        return all(agrees_plain(a, b) for a, b in zip(mine, held, strict=True))
    if isinstance(held, bytes):
        held = held.decode("utf-8", "replace")
    if isinstance(held, int) and not isinstance(held, bool) and isinstance(mine, int):
        return (mine - held) % (1 << 64) == 0
    return normal(mine) == normal(held)


def _leaves(value: Value) -> list[tuple[str, Term]]:
    try:
        return leaves(value)
    except Unsupported:
        return []


def _terms(path: Path) -> list[Term]:
    found: list[Term] = []
    for held in (*path.fields.values(), *path.locals.values(), *path.overflow.values()):
        if isinstance(held, Table):
            found += [held.size, held.overflow]
            if held.kind is None and held.capacity is not None:
                found += [t for i in range(held.capacity) for _, t in _leaves(held.get(integer(i)))]
            for key in held.keys_asked():
                found += [
                    held.has(key),
                    *(t for _, t in _leaves(key)),
                    *(t for _, t in _leaves(held.get(key))),
                ]
        else:
            found += [t for _, t in _leaves(held)]
    return [t for t in found if t.op is not Op.CONST] if found else []
