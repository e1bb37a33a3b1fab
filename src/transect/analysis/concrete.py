# SPDX-License-Identifier: Apache-2.0
"""A model as plain values: the state that a policy starts from, its arguments, and its tape.  A model is never shown as
it is; it is first run on the interpreter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transect.analysis.solve import Model
from transect.analysis.specialise import Specialised
from transect.analysis.terms import Op, Sort, Term, boolean, function, integer, number, text, var, walk
from transect.analysis.values import build
from transect.core import ir, tables
from transect.core.interp import Instance
from transect.core.ir import FieldKind, Program
from transect.core.types import (
    ArrayType,
    BoolType,
    BytesType,
    CounterType,
    EnumType,
    FloatType,
    HistogramType,
    IntType,
    OptionType,
    SeqType,
    StructType,
    TableKind,
    TableType,
    TextType,
    TupleType,
    Type,
    UnitType,
)
from transect.core.values import Record, narrow, zero

LONGEST = 1000  # members of an outside sequence that a model is shown with


@dataclass(frozen=True)
class Content:
    """What a table holds at first: entries in order of insertion, then others up to a number."""

    entries: Sequence[tuple[object, object]]
    filled: int = 0  # entries altogether


@dataclass(frozen=True)
class Facts:
    """What one call is told by its tape."""

    now: int = 0  # ns
    draws: Sequence[int] = ()  # of 64 bits, then zeros


Plain = bool | int | float | bytes | str


class Reader:
    """Reads one model."""

    def __init__(self, model: Model, question: Iterable[Term]) -> None:
        self.model = model
        self._values: dict[Term, Plain] = {}
        self._chosen: dict[Term, Plain] = {}  # values that replace those of the model
        self._computed: Specialised | None = None
        self.asked: dict[str, list[Term]] = {}  # inputs and unknown functions of the question, by name
        for term in walk(*sorted(question, key=lambda t: t.serial)):
            if term.op in (Op.VAR, Op.FUNCTION):
                self.asked.setdefault(str(term.data), []).append(term)
        self._inputs = [t for terms in self.asked.values() for t in terms if t.sort is not Sort.OPAQUE]
        self._inputs.sort(key=lambda t: t.serial)

    # ------------------------------------------------------------ tapes and inputs

    def facts(self, tape: str) -> Facts:
        now = self.number(f"{tape} now")
        draws: dict[int, int] = {}
        for term in self.asked.get(f"{tape} rand", ()):
            share = self.value(term)
            assert isinstance(share, float), "a share"
            # One that is not part of the question may be anything.
            draws[self._index(term)] = int(share * 2.0**53) << 11 if 0.0 <= share < 1.0 else 0
        for term in self.asked.get(f"{tape} draw", ()):
            draws[self._index(term)] = int(self.value(term)) & ((1 << 64) - 1)
        count = max(draws, default=-1) + 1
        return Facts(now, tuple(draws.get(i, 0) for i in range(count)))

    def _index(self, term: Term) -> int:
        index = self.value(term.args[0])
        assert isinstance(index, int), "draws are numbered"
        return index

    def text(self, name: str) -> str:
        return self.text_of(self.value(var(name, Sort.TEXT))) if name in self.asked else ""

    def number(self, name: str) -> int:
        return int(self.value(var(name, Sort.INT))) if name in self.asked else 0

    # ------------------------------------------------------------ state

    def state(self, program: ir.Program, name: str) -> dict[str, object]:
        """The first content of the fields that the question is about; the others are as declared."""
        found: dict[str, object] = {}
        for f in program.state:
            if f.kind in (FieldKind.LOCAL, FieldKind.GIVEN):
                continue
            value = self.field(f, f"{name}.{f.name}")
            if value is not None:
                found[f.name] = value
        return found

    def field(self, f: ir.StateField, name: str) -> object:
        """A field's first content; None: as declared."""
        match f.type:
            case TableType():
                return self.table(f.type, name)
            case ArrayType(item=item):
                keys = dict.fromkeys(
                    term.args for known, terms in self.asked.items() if is_of(known, name) for term in terms
                )
                entries = [
                    (self.value(args[0]), self.python(item, name, args)) for args in keys if len(args) == 1
                ]
                return Content(entries) if entries else None
            case CounterType():
                return int(self.value(var(name, Sort.INT))) & ((1 << 64) - 1) if name in self.asked else None
            case HistogramType():
                return None
            case _:
                asked = any(is_of(known, name) for known in self.asked)
                return self.python(f.type, name, ()) if asked else None

    def table(self, t: TableType, name: str) -> Content | None:
        entries: dict[object, object] = {}
        for args in self._keys(name):
            if self.value(function(f"{name}[]", Sort.BOOL, args)):
                key = self.python_key(t.key, args)
                entries[key] = self.entry(self.python(t.value, name, args))
        rank = self._ranks(t, name)
        for key in rank:  # such a key is present, whether or not the question asks for it
            if self.number(f"{name}#") >= t.capacity:
                entries.setdefault(key, zero_of(t.value))
        ordered = sorted(entries.items(), key=lambda entry: rank.get(entry[0], len(rank)))
        size = self.number(f"{name}#")
        if not entries and not size:
            return None
        return Content(ordered, min(size, t.capacity))

    def _ranks(self, t: TableType, name: str) -> dict[object, int]:
        """The keys that are the least recent of an lru at first, in order."""
        if t.kind is not TableKind.LRU:
            return {}
        order = (var(f"{name} order", Sort.OPAQUE),)
        found: dict[object, int] = {}
        for which in ("oldest", "second"):
            if any(is_of(known, f"{name}.{which}") for known in self.asked):
                found.setdefault(self.python(t.key, f"{name}.{which}", order), len(found))
        return found

    def _keys(self, name: str) -> list[tuple[Term, ...]]:
        return list(dict.fromkeys(term.args for term in self.asked.get(f"{name}[]", ())))

    def input(self, t: Type, name: str) -> Any:
        """An input of the type; its zero where the question is not about it."""
        return self.python(t, name, ()) if any(is_of(known, name) for known in self.asked) else zero(t)

    def members(self, t: SeqType, whole: Term) -> list[Any]:
        """A sequence from outside: those that the question finds in it, and others up to its length."""
        found: list[Any] = []
        for term in self.asked.get("in", ()):
            if term.args[0] is whole and self.value(term):
                found.append(self.python_key(t.item, term.args[1:]))
        found = list(dict.fromkeys(found))
        length = function("len", Sort.INT, (whole,))
        wanted = int(self.value(length)) if length in self.asked.get("len", ()) else 0
        missing = min(wanted, LONGEST) - len(found)
        return [*found, *(other(t.item, number + 1) for number in range(missing))]

    # ------------------------------------------------------------ values

    def value(self, term: Term) -> Plain:
        if term in self._chosen:
            return self._chosen[term]
        if self._chosen and term.op not in (Op.VAR, Op.FUNCTION):
            computed = self.computed().of(term)
            if computed.is_const:
                return computed.data  # type: ignore[no-any-return]
        if term not in self._values:
            self._values[term] = self.model.value(term)
        return self._values[term]

    @property
    def chosen(self) -> Mapping[Term, Plain]:
        """Values of inputs in place of those that the model has."""
        return self._chosen

    @chosen.setter
    def chosen(self, values: Mapping[Term, Plain]) -> None:
        self._chosen = dict(values)
        self._computed = None

    def computed(self) -> Specialised:
        """Terms with the values that inputs have now."""
        if self._computed is None:
            known: dict[tuple[str, tuple[Term, ...]], Term] = {}
            self._computed = Specialised(lambda asked: known.get((str(asked.data), asked.args)))
            for term in self._inputs:  # arguments come before what they are given to
                args = tuple(self._computed.of(a) for a in term.args)
                known.setdefault((str(term.data), args), constant_of(self.value(term)))
        return self._computed

    def is_value(self, term: Term, plain: object) -> bool:
        """That a term has this value: a plain one, or that of another term."""
        if isinstance(plain, Term):
            return self.value(term) == self.value(plain)
        return bool(self.value(term) == (plain.encode() if isinstance(plain, str) else plain))

    def python_key(self, t: Type, args: Sequence[Term]) -> Any:
        """A key from its leaves, in their order."""
        rest = iter(args)
        return self._assembled(t, lambda path, leaf, sort: next(rest))

    def python(self, t: Type, name: str, args: tuple[Term, ...]) -> Any:
        """An unknown value of the type, as the interpreter has it."""
        return self._assembled(t, lambda path, leaf, sort: function(name + path, sort, args))

    def _assembled(self, t: Type, leaf: Any) -> Any:
        found: dict[str, Any] = {}

        def take(path: str, leaf_type: Type, sort: Sort) -> Term:
            term: Term = leaf(path, leaf_type, sort)
            found[path] = self._plain(leaf_type, self.value(term))
            return term

        build(t, take)
        return _put_together(t, found, "")

    def _plain(self, t: Type, value: object) -> object:
        match t, value:
            case IntType(bits=bits, signed=signed), int() if (bits, signed) != (64, True):
                return narrow(value, bits, signed)
            case TextType(), bytes():
                return self.text_of(value)
            case BytesType(), bytes():
                return self.body(value)
            case FloatType(), float():
                return value
            case _:
                return value

    def body(self, value: bytes) -> bytes:
        """Bytes that the model gives; a stratum makes a message of them where they stand for one."""
        return value

    def entry(self, value: Any) -> Any:
        """The value of a table's entry; a stratum may adjust it."""
        return value

    def text_of(self, value: object) -> str:
        assert isinstance(value, bytes), "a text"
        return value.decode("utf-8", "replace")


def constant_of(value: Plain) -> Term:
    """The term for a value of an input."""
    match value:
        case bool():
            return boolean(value)
        case int():
            return integer(value)
        case float():
            return number(value)
        case bytes():
            return text(value)
        case _:
            raise AssertionError(f"{value!r} names something opaque")


def is_of(known: str, name: str) -> bool:
    """Whether an input's name is that of a field or of a leaf within it."""
    return known == name or (known.startswith(name) and known[len(name)] in ".?:")


def _put_together(t: Type, found: Mapping[str, Any], path: str) -> Any:
    match t:
        case StructType(name=name, fields=fields):
            return Record(name, {f.name: _put_together(f.type, found, f"{path}.{f.name}") for f in fields})
        case TupleType(items=items):
            return tuple(_put_together(item, found, f"{path}.{i}") for i, item in enumerate(items))
        case OptionType(item=item):
            return _put_together(item, found, path) if found[f"{path}?"] else None
        case UnitType():
            return None
        case BoolType():
            return bool(found[path])
        case _:
            return found[path]


# ---------------------------------------------------------------- instances


def instance_of(program: Program, state: Mapping[str, object]) -> Instance:
    """An instance that begins with this state; fields that are not given are as declared."""
    made = Instance(program)
    for f in program.state:
        if f.name not in state or f.kind in (FieldKind.LOCAL, FieldKind.GIVEN):
            continue
        value, held = state[f.name], made.state[f.name]
        match held, value:
            case tables.Table(), Content(entries=entries, filled=filled):
                assert isinstance(f.type, TableType), "a table"
                for key, item in entries:
                    held[key] = item
                fill(held, f.type, filled)
                held.overflow = 0
            case tables.Array(), Content(entries=entries):
                for index, item in entries:
                    if isinstance(index, int) and 0 <= index < len(held):
                        held[index] = item
            case tables.Counter(), int():
                held.value = value
            case tables.Histogram(), _:
                pass
            case _:
                made.state[f.name] = value
    return made


def fill(table: tables.Table, t: TableType, entries: int) -> None:
    """Fill the table up to that many entries, with keys that nothing asks for."""
    number = 0
    there = table.entries()
    missing = min(entries, t.capacity) - len(there)
    while missing > 0:
        number += 1
        missing -= other(t.key, number) not in table
        table[other(t.key, number)] = zero_of(t.value)


_JUNK = 1 << 40


def other(t: Type, number: int) -> Any:
    """A key that nothing asks for, different for each number."""
    match t:
        case TextType():
            return f"other{number}"
        case BytesType():
            return f"other{number}".encode()
        case TupleType(items=items):
            return tuple(other(item, number) for item in items)
        case BoolType():
            return bool(number % 2)
        case _:
            return _JUNK + number


def is_junk(key: object) -> bool:
    """Whether `fill` made the key."""
    match key:
        case tuple():
            return all(map(is_junk, key))
        case str():
            return key.startswith("other")
        case bytes():
            return key.startswith(b"other")
        case bool():
            return True
        case int():
            return key > _JUNK
        case _:
            return False


def zero_of(t: Type) -> Any:
    """A value for an entry of no interest; a tally's is 1, so that it counts."""
    match t:
        case StructType() | TupleType() | OptionType() | TextType() | BytesType() | BoolType() | FloatType():
            return zero(t)
        case EnumType():
            return 0
        case _:
            return 1
