# SPDX-License-Identifier: Apache-2.0
"""A model as a stream: the state that elements start from, the messages, and what each call is told.

Bytes whose fields the model speaks of become a real message with those fields, so that a reply out of a cache is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from transect.analysis.solve import Model
from transect.analysis.terms import Op, Sort, Term, function, var, walk
from transect.analysis.values import build, leaves
from transect.core import ir
from transect.core.ir import FieldKind
from transect.core.types import (
    ArrayType,
    BoolType,
    BytesType,
    CounterType,
    FloatType,
    HistogramType,
    IntType,
    OptionType,
    StructType,
    TableKind,
    TableType,
    TextType,
    TupleType,
    Type,
    UnitType,
)
from transect.core.values import Record, narrow, struct_fields, struct_name
from transect.rpc.equivalence.passes import Chain
from transect.rpc.equivalence.service import REPLY, REQUEST
from transect.rpc.equivalence.simulate import Trial, filler, zero_of
from transect.rpc.equivalence.streams import Content, Event, Facts, Step, Stream

CAUSES = 5
ABSTRACT = b"Text"  # how bytes begin of which a model says nothing but that they differ from others


class Reading:
    """Reads one model."""

    def __init__(self, chain: Chain, trial: Trial, model: Model, question: Iterable[Term]) -> None:
        self.chain = chain
        self.trial = trial
        self.model = model
        self.asked: dict[str, list[Term]] = {}  # inputs and unknown functions of the question, by name
        for term in walk(*question):
            if term.op in (Op.VAR, Op.FUNCTION):
                self.asked.setdefault(str(term.data), []).append(term)

    def stream(self, steps: Sequence[tuple[str, Step]]) -> Stream:
        state = {name: self.state(name) for name in self.chain.elements}
        events, calls = [], dict[tuple[str, Step], int]()
        for rpc, step in steps:
            calls[rpc, step] = calls.get((rpc, step), 0) + 1
            call = rpc if calls[rpc, step] == 1 else f"{rpc} {calls[rpc, step]}"
            events.append(self.event(rpc, step, call))
        return Stream({name: fields for name, fields in state.items() if fields}, events)

    # ------------------------------------------------------------ events

    def event(self, rpc: str, step: Step, call: str) -> Event:
        tapes = {name: self.facts(f"{name} {call} {step}") for name in self.chain.elements}
        answers = {name: self.facts(f"{name} {call} answer response") for name in self.chain.elements}
        tapes = {name: t if t != Facts() else answers[name] for name, t in tapes.items()}
        tapes = {name: t for name, t in tapes.items() if t != Facts()}
        match step:
            case Step.FINISH:
                outcome = {n: self.number(f"{call} {n}") for n in ("code", "cause", "elapsed")}
                return Event(
                    rpc,
                    step,
                    code=outcome["code"] % 17,
                    cause=outcome["cause"] % CAUSES,
                    elapsed=abs(outcome["elapsed"]),
                    tapes=tapes,
                )
            case Step.REQUEST:
                base = var(f"{call} request bytes", Sort.TEXT)
                fields, size = self.fields("request", base), self.size(base)
                headers = self.headers(f"{rpc} request headers")
                return Event(rpc, step, fields, size, headers, self.text(f"{rpc} peer"), tapes=tapes)
            case Step.RESPONSE:
                base = var(f"{rpc} reply bytes", Sort.TEXT)
                headers = self.headers(f"{rpc} reply headers")
                return Event(rpc, step, self.fields("reply", base), self.size(base), headers, tapes=tapes)

    def facts(self, tape: str) -> Facts:
        now = self.number(f"{tape} now")
        draws: dict[int, int] = {}
        for term in self.asked.get(f"{tape} rand", ()):
            share = self.value(term)
            assert isinstance(share, float), "a share"
            draws[self._index(term)] = int(share * 2.0**53) << 11
        for term in self.asked.get(f"{tape} draw", ()):
            draws[self._index(term)] = int(self.value(term)) & ((1 << 64) - 1)
        count = max(draws, default=-1) + 1
        return Facts(now, tuple(draws.get(i, 0) for i in range(count)))

    def _index(self, term: Term) -> int:
        index = self.value(term.args[0])
        assert isinstance(index, int), "draws are numbered"
        return index

    def fields(self, root: str, base: Term) -> dict[str, object]:
        """The fields of a message, as far as the question is about them."""
        found: dict[str, object] = {}
        message = self.trial.service.messages[REQUEST if root == "request" else REPLY]
        types = self._types(root)
        for f in message.fields:
            name = f"{root}.{f.name}"
            if f.name in types and any(t.args and t.args[0] is base for t in self._named(name)):
                found[f.name] = self.python(types[f.name], name, (base,))
        return found

    def _named(self, name: str) -> list[Term]:
        return [t for known, terms in self.asked.items() if known in (name, name + "?") for t in terms]

    def _types(self, root: str) -> dict[str, Type]:
        found: dict[str, Type] = {}
        place = 0 if root == "request" else 1
        for element in self.chain.elements.values():
            for handler in element.program.handlers:
                arguments = getattr(handler.params[0].type, "arguments", ()) if handler.params else ()
                view = getattr(arguments[place], "name", "") if len(arguments) > place else ""
                for v in element.program.views:
                    if v.name == view:
                        found |= {m.name: m.type for m in v.members}
        return found

    def size(self, base: Term) -> int:
        for term in self._all:
            if term.op is Op.LENGTH and term.args[0] is base:
                return min(int(self.value(term)), 1 << 20)
        return 0

    @cached_property
    def _all(self) -> list[Term]:
        return list(self.model.translation.terms())

    def headers(self, side: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for term in self.asked.get(f"{side}[]", ()):
            if self.value(term):
                key = self._text(self.value(term.args[0]))
                found[key] = self._text(self.value(function(side, Sort.TEXT, term.args)))
        return found

    def text(self, name: str) -> str:
        return self._text(self.value(var(name, Sort.TEXT))) if name in self.asked else ""

    def number(self, name: str) -> int:
        return int(self.value(var(name, Sort.INT))) if name in self.asked else 0

    # ------------------------------------------------------------ state

    def state(self, name: str) -> dict[str, object]:
        found: dict[str, object] = {}
        for f in self.chain.elements[name].program.state:
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
                keys = {
                    term.args for known, terms in self.asked.items() if _of(known, name) for term in terms
                }
                entries = [
                    (self.value(args[0]), self.python(item, name, args)) for args in keys if len(args) == 1
                ]
                return Content(entries) if entries else None
            case CounterType():
                return int(self.value(var(name, Sort.INT))) & ((1 << 64) - 1) if name in self.asked else None
            case HistogramType():
                return None
            case _:
                asked = any(_of(known, name) for known in self.asked)
                return self.python(f.type, name, ()) if asked else None

    def table(self, t: TableType, name: str) -> Content | None:
        entries: dict[object, object] = {}
        for args in self._keys(name):
            if self.value(function(f"{name}[]", Sort.BOOL, args)):
                key = self.python_key(t.key, args)
                entries[key] = _parsed(self.python(t.value, name, args))
        rank = self._ranks(t, name)
        for key in rank:  # it is there, whether or not the question asks for it
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
            if any(_of(known, f"{name}.{which}") for known in self.asked):
                found.setdefault(self.python(t.key, f"{name}.{which}", order), len(found))
        return found

    def _keys(self, name: str) -> list[tuple[Term, ...]]:
        return list(dict.fromkeys(term.args for term in self.asked.get(f"{name}[]", ())))

    # ------------------------------------------------------------ values

    def value(self, term: Term) -> bool | int | float | bytes | str:
        return self.model.value(term)

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
                return self._text(value)
            case BytesType(), bytes():
                return self.messages.get(value, value)
            case FloatType(), float():
                return value
            case _:
                return value

    def _text(self, value: object) -> str:
        assert isinstance(value, bytes), "a text"
        return value.decode("utf-8", "replace")

    @cached_property
    def messages(self) -> Mapping[bytes, bytes]:
        """For bytes which the model takes for a message: one with those fields."""
        found: dict[bytes, bytes] = {}
        for root, message in (("reply", REPLY), ("request", REQUEST)):
            bases = [
                term.args[0]
                for known, terms in self.asked.items()
                if known.startswith(f"{root}.")
                for term in terms
                if len(term.args) == 1 and term.args[0].sort is Sort.TEXT
            ]
            for base in dict.fromkeys(bases):
                value = self.value(base)
                assert isinstance(value, bytes), "a message is bytes"
                if value not in found:
                    data = self.trial.encode(message, self.fields(root, base))
                    # Two messages with the same fields stay two.
                    found[value] = self.trial.encode(
                        message, self.fields(root, base), len(data) + 4 + len(found)
                    )
        return found


def _parsed(value: Any) -> Any:
    """An entry whose bytes, which may be sent as a message, can be read as one."""
    match value:
        case Record():
            fields = struct_fields(value)
            return Record(struct_name(value), {k: _parsed(v) for k, v in fields.items()})
        case bytes() if value.startswith(ABSTRACT):
            return filler(len(value) + 3)
        case _:
            return value


def _of(known: str, name: str) -> bool:
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


__all__ = ["Reading", "leaves"]
