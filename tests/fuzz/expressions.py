# SPDX-License-Identifier: Apache-2.0
"""Random expressions of a wanted type, as text in parentheses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from tests.fuzz import pools
from tests.fuzz.choices import Choices
from tests.fuzz.pools import (
    BYTES,
    CLIENT,
    COLOUR,
    ITEMS,
    NEST,
    PAIR,
    TEXT,
    TUPLES,
    VALUES,
    Field,
    constant,
    literal,
    loose,
)
from tests.fuzz.scope import Helper, Local, Scope
from tests.operators import infix
from transect.core.types import (
    BOOL,
    DURATION,
    FLOAT,
    INSTANT,
    INT,
    U64,
    OptionType,
    SetType,
    StructType,
    TupleType,
    Type,
)

Maker = Callable[[], str]
X = TypeVar("X")


def each(items: Iterable[X], make: Callable[[X], str]) -> list[Maker]:
    """A maker for each of the items."""
    return [partial(make, item) for item in items]


ORDERED_TYPES: tuple[Type, ...] = (
    INT,
    U64,
    FLOAT,
    TEXT,
    BYTES,
    INSTANT,
    DURATION,
    TUPLES[1],
    TUPLES[2],
)
SORTABLE: tuple[Type, ...] = (INT, U64, FLOAT, TEXT, BYTES, INSTANT, DURATION)
COMPARABLE: tuple[Type, ...] = (*ORDERED_TYPES, BOOL, COLOUR, CLIENT, PAIR, NEST, TUPLES[0], TUPLES[3])
DEFAULTED = frozenset("btfndy")  # fields of structs which may be left out
ARITHMETIC: dict[Type, tuple[str, ...]] = {
    INT: infix("iii"),
    U64: infix("uuu"),
    FLOAT: infix("fff"),
    BOOL: ("&", "|", "^"),
}


@dataclass(frozen=True)
class Source:
    """What a loop goes over: its text, its targets, and the table that it locks."""

    text: str
    targets: tuple[Type, ...]
    table: str | None = None
    key: bool = False  # whether the first target is the current key


class Expressions:
    def __init__(self, choices: Choices) -> None:
        self.c = choices
        self.fields: list[Field] = []
        self.helpers: list[Helper] = []
        self._names = 0

    def kind(self, *types: Type) -> Type:
        """One of the types."""
        return self.c.of(types)

    def fresh(self, stem: str = "v") -> str:
        self._names += 1
        return f"{stem}{self._names}"

    # ---------------------------------------------------------------- any type

    def expr(self, t: Type, s: Scope, fuel: int) -> str:
        """An expression of the type; `fuel` bounds its depth."""
        makers = self.leaves(t, s)
        if fuel > 0 and (not makers or self.c.chance(65)):
            compound = self.compounds(t, s, fuel - 1)
            makers = compound or makers
        return self.c.of(makers)()

    def cond(self, s: Scope, fuel: int) -> str:
        """A condition that is seldom a constant."""
        return (
            self.c.of(self.conditions(s, max(fuel - 1, 0)))()
            if self.c.chance(90)
            else self.expr(BOOL, s, fuel)
        )

    def leaves(self, t: Type, s: Scope) -> list[Maker]:
        makers: list[Maker] = []
        if not isinstance(t, OptionType | TupleType | StructType | SetType) and t not in (CLIENT, INSTANT):
            makers.append(lambda: constant(self.c, t))
        if t == INSTANT:
            makers.append(lambda: "now()")
        if isinstance(t, StructType | TupleType):
            makers.append(lambda: self.made(t, s, 0))
        if isinstance(t, OptionType):
            makers.append(lambda: self.optional(t, s, 0))
        makers += [self._name_of(v) for v in s.of_type(t)] * 3
        makers += [self._name_of(v, part) for v in s.locals for part, inner in parts_of(v.type) if inner == t]
        if not s.pure:
            makers += [self._state(f) for f in self.fields if f.kind in ("scalar", "param") and f.reads == t]
            makers += [
                self._state(f, part)
                for f in self.fields
                if f.kind == "scalar"
                for part, inner in parts_of(f.type)
                if inner == t
            ]
        if t == CLIENT and s.nonempty and not s.pure:
            makers.append(lambda: self.chosen_client(s, 0))
        if isinstance(t, SetType):
            makers.append(lambda: self.comprehension(t, s, 0))
        assert makers or t == CLIENT, f"no leaf of {t}"
        return makers

    def _name_of(self, v: Local, part: str = "") -> Maker:
        return lambda: v.name + part

    def _state(self, f: Field, part: str = "") -> Maker:
        return lambda: f"self.{f.name}{part}"

    def compounds(self, t: Type, s: Scope, fuel: int) -> list[Maker]:
        e = self.expr
        if isinstance(t, OptionType) and not self.can(t.item, s):
            return self.leaves(t, s)
        makers: list[Maker] = [
            lambda: f"({self.present(t, s, fuel)} if {self.cond(s, fuel)} else {e(t, s, fuel)})",
        ]
        if t == CLIENT and not self.leaves(t, s):
            return []
        makers += [m for h in self.helpers if loose(h.returns) == t for m in self._calls(h, s, fuel)]
        makers += self.reads(t, s, fuel)
        makers += [partial(self.best_item, source, t, s, fuel) for source in self.giving(t, s)]
        if t in ITEMS[:-1]:
            makers.append(lambda: self.best_item(self.expr(SetType(t), s, fuel), t, s, fuel))
        makers += each(
            s.of_type(OptionType(t)), lambda v: f"({v.name} if {v.name} is not None else {e(t, s, fuel)})"
        )
        kept = [f for f in self.fields if f.kind == "scalar" and f.type == OptionType(t) and not s.pure]
        makers += each(kept, lambda f: f"(self.{f.name} if self.{f.name} is not None else {e(t, s, fuel)})")
        makers += each(ARITHMETIC.get(t, ()), lambda op: f"({e(t, s, fuel)} {op} {e(t, s, fuel)})")
        if t in ARITHMETIC:
            makers += [partial(self.nested, t, s)] * 3
        if t in (INT, U64, FLOAT, DURATION):
            makers.append(lambda: f"(-{e(t, s, fuel)})")
        if t in (INT, U64, FLOAT, DURATION):
            makers.append(lambda: f"abs({e(t, s, fuel)})")
        if t in (INT, U64):
            makers.append(lambda: f"(~{e(t, s, fuel)})")
            makers.append(lambda: f"mul_div({self.named(t, s, fuel)}, {e(t, s, fuel)}, {e(t, s, fuel)})")
            makers.append(
                lambda: f"({self.named(t, s, fuel)} {self.c.of(('+', '<<', '%'))} {literal(self.c, t)})"
            )
        if t in SORTABLE:
            makers.append(lambda: f"{self.c.of(('min', 'max'))}({e(t, s, fuel)}, {e(t, s, fuel)})")
            makers.append(
                lambda: f"{self.c.of(('min', 'max'))}({e(t, s, fuel)}, {e(t, s, fuel)}, {e(t, s, fuel)})"
            )
            makers.append(lambda: self.reduction(self.c.of(("min", "max")), t, s, fuel))
        if t in TUPLES[1:3]:
            makers.append(lambda: self.reduction(self.c.of(("min", "max")), t, s, fuel))
        if t in (INT, U64, FLOAT, DURATION):
            makers.append(lambda: self.reduction("sum", t, s, fuel))
        makers += self.special(t, s, fuel)
        return makers

    def nested(self, t: Type, s: Scope) -> str:
        """Two operators, of which either may come first."""
        a, b, c = (self.expr(t, s, 0) for _ in range(3))
        first, second = self.c.of(ARITHMETIC[t]), self.c.of(ARITHMETIC[t])
        return self.c.of((f"(({a} {first} {b}) {second} {c})", f"({a} {first} ({b} {second} {c}))"))

    def present(self, t: Type, s: Scope, fuel: int) -> str:
        """A value that is not just `None`: one side of a conditional has a type of its own."""
        return self.expr(t.item if isinstance(t, OptionType) and self.can(t.item, s) else t, s, fuel)

    def named(self, t: Type, s: Scope, fuel: int) -> str:
        """An expression whose type does not depend on where it stands."""
        return f"as_u64({self.expr(INT, s, fuel)})" if t == U64 else self.expr(t, s, fuel)

    def special(self, t: Type, s: Scope, fuel: int) -> list[Maker]:
        """What this one type has besides."""
        e = self.expr
        match t:
            case _ if t == INT:
                return self.integers(s, fuel)
            case _ if t == U64:
                return [
                    lambda: f"as_u64({e(self.kind(INT, FLOAT, BOOL, COLOUR, DURATION, INSTANT), s, fuel)})",
                    lambda: f"hash64({e(self.kind(TEXT, BYTES), s, fuel)}, {e(U64, s, fuel)})",
                    lambda: f"hash64({self.named(self.kind(INT, U64), s, fuel)})",
                ]
            case _ if t == TEXT:
                return [
                    lambda: f"as_text({self.named(self.kind(INT, U64), s, fuel)})",
                    lambda: f"{e(TEXT, s, fuel)}.{self.c.of(('lower', 'strip'))}()",
                    lambda: (
                        f"{e(TEXT, s, fuel)}.{self.c.of(('removeprefix', 'removesuffix'))}({e(TEXT, s, fuel)})"
                    ),
                    lambda: f"{e(TEXT, s, fuel)}.partition({e(TEXT, s, fuel)})[{self.c.of('012')}]",
                ]
            case _ if t == FLOAT:
                return [
                    lambda: "rand()",
                    lambda: f"as_float({e(self.kind(INT, U64, BOOL, DURATION, INSTANT, COLOUR), s, fuel)})",
                ]
            case _ if t == BOOL:
                return self.conditions(s, fuel)
            case _ if t == INSTANT:
                return [
                    lambda: f"({e(INSTANT, s, fuel)} {self.c.of('+-')} {e(DURATION, s, fuel)})",
                    lambda: f"({e(DURATION, s, fuel)} + {e(INSTANT, s, fuel)})",
                ]
            case _ if t == DURATION:
                return self.durations(s, fuel)
            case TupleType() | StructType():
                return [lambda: self.made(t, s, fuel)]
            case OptionType():
                return [lambda: self.optional(t, s, fuel)]
            case SetType():
                return [
                    lambda: f"({e(t, s, fuel)} {self.c.of('|&-')} {e(t, s, fuel)})",
                    lambda: self.comprehension(t, s, fuel),
                ]
            case _ if t == CLIENT and s.nonempty:
                return [lambda: self.chosen_client(s, fuel)]
            case _:
                return []

    def made(self, t: Type, s: Scope, fuel: int) -> str:
        """A struct or tuple from its parts."""
        match t:
            case TupleType(items=items):
                return f"({', '.join(self.expr(i, s, fuel) for i in items)})"
            case StructType(name=name, fields=fields):
                given = [f for f in fields if f.name not in DEFAULTED or not self.c.chance(20)]
                values = [f"{f.name}={self.expr(loose(f.type), s, fuel)}" for f in given]
                return f"{name}({', '.join(values)})"
            case _:
                raise AssertionError(t)

    def optional(self, t: Type, s: Scope, fuel: int) -> str:
        assert isinstance(t, OptionType)
        if not self.c.chance(60) or t.item == CLIENT:
            return "None"
        if t.item == INT and self.c.chance(20):
            return f"parse_int({self.expr(TEXT, s, fuel)})"
        return self.expr(t.item, s, fuel)

    # ---------------------------------------------------------------- numbers and times

    def integers(self, s: Scope, fuel: int) -> list[Maker]:
        e = self.expr
        makers: list[Maker] = [
            lambda: f"len({e(self.kind(TEXT, BYTES), s, fuel)})",
            lambda: f"len({e(SetType(self.c.of(ITEMS[:-1])), s, fuel)})",
            lambda: f"as_int({e(self.kind(FLOAT, U64, BOOL, COLOUR, DURATION, INSTANT), s, fuel)})",
            lambda: f"({e(DURATION, s, fuel)} // {e(DURATION, s, fuel)})",
            lambda: f"rand_below({e(INT, s, fuel)})",
        ]
        if not s.pure:
            open_ = [f for f in self.tables() if f.name not in s.locked]
            makers.append(lambda: "len(self.waiting)")
            makers += each(open_, lambda f: f"len(self.{f.name})")
            makers += each(open_, lambda f: f"self.{f.name}.overflow")
            makers += each(self.puttable(s), lambda f: self.before_and_after(f, s, fuel))
            makers += [
                partial(self.around, h, s, fuel) for h in self.helpers if not h.pure and h.returns == INT
            ]
        return makers

    def before_and_after(self, f: Field, s: Scope, fuel: int) -> str:
        """Operands of which a later one changes what an earlier one has read."""
        key = self.asked_key(f, s, 0)
        read = self.c.of(
            (f"len(self.{f.name})", f"self.{f.name}.overflow", f"as_int({key} in self.{f.name})")
        )
        return f"({read} * 5 + as_int({self.put(f, s, fuel)}))"

    def around(self, h: Helper, s: Scope, fuel: int) -> str:
        """The same, by a helper."""
        calls = self._calls(h, s, fuel)
        return f"(self.seen * 3 + {calls[0]()})" if calls else "self.seen"

    def computed(self, s: Scope, fuel: int) -> str:
        """An integer that is no constant, where there can be one: a duration out of range is refused."""
        names = [v.name for v in s.of_type(INT)] + ([] if s.pure else ["self.seen"])
        return f"({self.c.of(names)} {self.c.of('+*')} {self.expr(INT, s, fuel)})" if names else "7"

    def durations(self, s: Scope, fuel: int) -> list[Maker]:
        e = self.expr
        return [
            lambda: f"{self.c.of(('ns', 'us', 'ms', 'seconds'))}({self.computed(s, fuel)})",
            lambda: f"({e(INSTANT, s, fuel)} - {e(INSTANT, s, fuel)})",
            lambda: f"({e(DURATION, s, fuel)} {self.c.of('+-%')} {e(DURATION, s, fuel)})",
            lambda: f"({e(DURATION, s, fuel)} {self.c.of(('*', '//'))} {e(INT, s, fuel)})",
            lambda: f"({e(INT, s, fuel)} * {e(DURATION, s, fuel)})",
        ]

    # ---------------------------------------------------------------- conditions

    def conditions(self, s: Scope, fuel: int) -> list[Maker]:
        e, c = self.expr, self.c
        makers: list[Maker] = [
            lambda: self.comparison(s, fuel),
            lambda: self.comparison(s, fuel),
            lambda: self.chain(s, fuel),
            lambda: f"({e(BOOL, s, fuel)} {c.of(('and', 'or'))} {e(BOOL, s, fuel)})",
            lambda: f"(not {e(BOOL, s, fuel)})",
            lambda: f"(not ({e(FLOAT, s, fuel)} {c.of(('<', '<=', '>', '>='))} {e(FLOAT, s, fuel)}))",
            lambda: self.text_question(s, fuel),
            lambda: self.one_of(s, fuel),
            lambda: self.membership(s, fuel),
            lambda: self.reduction(c.of(("any", "all")), BOOL, s, fuel),
        ]
        options = [v for v in s.locals if isinstance(v.type, OptionType)]
        makers += each(options, lambda v: f"({v.name} {c.of(('is', 'is not'))} None)")
        makers += each(
            s.of_type(OptionType(INT)),
            lambda v: f"({v.name} is not None and {v.name} {c.of(('<', '=='))} {e(INT, s, fuel)})",
        )
        if s.pure:
            return makers
        scalars = [f for f in self.fields if f.kind == "scalar" and isinstance(f.type, OptionType)]
        asked = [f for f in self.tables() if f.name not in s.locked and self.can(f.asks, s)]
        makers.append(lambda: "(not self.waiting)")
        makers += each(scalars, lambda f: f"(self.{f.name} {c.of(('is', 'is not'))} None)")
        makers += each(
            asked, lambda f: f"({self.asked_key(f, s, fuel)} {c.of(('in', 'not in'))} self.{f.name})"
        )
        makers += each(self.puttable(s), lambda f: self.put(f, s, fuel))
        return makers

    def tables(self) -> list[Field]:
        return [f for f in self.fields if f.has_keys and f.kind != "array"]

    def puttable(self, s: Scope) -> list[Field]:
        """Tables in which something may be put here."""
        return [f for f in self.tables() if s.may_write(f) and self.can(f.asks, s) and self.can(f.reads, s)]

    def put(self, f: Field, s: Scope, fuel: int) -> str:
        return f"self.{f.name}.put({self.asked_key(f, s, fuel)}, {self.expr(f.reads, s, fuel)})"

    def can(self, t: Type, s: Scope) -> bool:
        """Whether there is any expression of the type here (not, for instance, of a client)."""
        return t != CLIENT or bool(self.leaves(t, s))

    def comparison(self, s: Scope, fuel: int) -> str:
        types = [t for t in COMPARABLE if self.can(t, s)]
        t = self.c.of(types)
        ops = ("==", "!=", "<", "<=", ">", ">=") if t in ORDERED_TYPES else ("==", "!=")
        right = literal(self.c, t) if t in (INT, U64, FLOAT) and self.c.chance(20) else self.expr(t, s, fuel)
        return f"({self.named(t, s, fuel)} {self.c.of(ops)} {right})"

    def chain(self, s: Scope, fuel: int) -> str:
        t = self.c.of(SORTABLE)
        ops = ("<", "<=", "==", "!=", ">", ">=")
        operands = [self.named(t, s, fuel) for _ in range(self.c.of((3, 3, 4)))]
        text = operands[0]
        for operand in operands[1:]:
            text += f" {self.c.of(ops)} {operand}"
        return f"({text})"

    def one_of(self, s: Scope, fuel: int) -> str:
        t = self.kind(INT, TEXT, COLOUR, BYTES, DURATION, BOOL, PAIR, TUPLES[0], U64, FLOAT, INSTANT)
        leaf = t in (PAIR, TUPLES[0], INSTANT)
        choices = ", ".join(
            self.expr(t, s, 0) if leaf else constant(self.c, t) for _ in range(self.c.of((1, 2, 3)))
        )
        return f"({self.named(t, s, fuel)} {self.c.of(('in', 'not in'))} ({choices},))"

    def text_question(self, s: Scope, fuel: int) -> str:
        t = self.kind(TEXT, BYTES)
        a, b = self.expr(t, s, fuel), self.expr(t, s, fuel)
        if self.c.chance(25):
            size = literal(self.c, INT) if self.c.chance(50) else self.expr(INT, s, fuel)
            return f"fits({a}, {size})"
        return self.c.of((f"{a}.startswith({b})", f"{a}.endswith({b})", f"({b} in {a})", f"({b} not in {a})"))

    def membership(self, s: Scope, fuel: int) -> str:
        if not s.pure and self.can(CLIENT, s) and self.c.chance(30):
            return f"({self.expr(CLIENT, s, fuel)} in self.waiting)"
        t = self.c.of([i for i in ITEMS if self.can(i, s)])
        return f"({self.expr(t, s, fuel)} {self.c.of(('in', 'not in'))} {self.expr(SetType(t), s, fuel)})"

    # ---------------------------------------------------------------- state and helpers

    def _calls(self, h: Helper, s: Scope, fuel: int) -> list[Maker]:
        if not s.calls or ((s.pure or s.quiet or s.locked) and not h.pure):
            return []
        if not all(self.can(p, s) for p in h.params):
            return []
        return [lambda: self.call(h, s, fuel)] * 2

    def call(self, h: Helper, s: Scope, fuel: int) -> str:
        args = ", ".join(self.expr(p, s, fuel) for p in h.params)
        return f"{'' if h.pure else 'self.'}{h.name}({args})"

    def reads(self, t: Type, s: Scope, fuel: int) -> list[Maker]:
        """Reading an entry, where it may or may not be there."""
        makers: list[Maker] = []
        if s.pure:
            return makers
        for f in self.fields:
            if not f.has_keys or not self.can(f.asks, s):
                continue
            if f.kind == "lru" and s.quiet:
                continue  # reading changes its order
            if f.reads == t:
                makers += self._entry(f, s, fuel)
            if OptionType(f.reads) == t and f.is_map:
                makers += each([f, f], lambda f: f"self.{f.name}.get({self.asked_key(f, s, fuel)})")
            if (
                f.kind == "ordered"
                and f.name not in s.locked
                and t == OptionType(TupleType((f.asks, f.reads)))
            ):
                makers += each([f, f], lambda f: f"self.{f.name}.first()")
            if f.name not in s.locked and self.nameable(f, s):
                makers += [
                    self._part_of_entry(f, part, s, fuel) for part, inner in parts_of(f.type) if inner == t
                ]
        return makers

    def _entry(self, f: Field, s: Scope, fuel: int) -> list[Maker]:
        e = self.expr
        match f.kind:
            case "array":
                return [lambda: f"self.{f.name}[{self.index(f, s, fuel)}]"]
            case "tally" if f.name not in s.locked:
                return [
                    lambda: f"self.{f.name}[{self.asked_key(f, s, fuel)}]",
                    lambda: f"self.{f.name}.get({self.asked_key(f, s, fuel)})",
                ]
            case "tally":
                return [lambda: f"self.{f.name}.get({self.asked_key(f, s, fuel)})"]
            case _:
                default = lambda: f"self.{f.name}.get({self.asked_key(f, s, fuel)}, {e(f.reads, s, fuel)})"  # noqa: E731
                return (
                    [default]
                    if f.name in s.locked or isinstance(f.type, OptionType) or not self.nameable(f, s)
                    else [default, lambda: self._tested(f, s, fuel)]
                )

    def _tested(self, f: Field, s: Scope, fuel: int) -> str:
        key = self.key(f, s)
        return f"(self.{f.name}[{key}] if {key} in self.{f.name} else {self.expr(f.reads, s, fuel)})"

    def _part_of_entry(self, f: Field, part: str, s: Scope, fuel: int) -> Maker:
        def make() -> str:
            if f.kind == "array":
                return f"self.{f.name}[{self.index(f, s, fuel)}]{part}"
            key = self.key(f, s)
            inner = dict(parts_of(f.type))[part]
            return f"(self.{f.name}[{key}]{part} if {key} in self.{f.name} else {self.expr(inner, s, fuel)})"

        return make

    def nameable(self, f: Field, s: Scope) -> bool:
        """Whether `key` can give a key here."""
        return f.asks != CLIENT or bool(s.of_type(CLIENT))

    def key(self, f: Field, s: Scope) -> str:
        """A key that is the same whenever it is evaluated."""
        names = [v.name for v in s.of_type(f.asks)]
        if f.asks == CLIENT or (names and self.c.chance(40)):
            return self.c.of(names)
        return pools.near(self.c, f.asks)

    def asked_key(self, f: Field, s: Scope, fuel: int) -> str:
        """A key, mostly one of a few, so that entries are met again."""
        if self.nameable(f, s) and self.c.chance(70):
            return self.key(f, s)
        return self.expr(f.asks, s, fuel)

    def index(self, f: Field, s: Scope, fuel: int) -> str:
        """An index that is certainly in range."""
        if f.size == 1 or not self.c.chance(70):
            return str(self.c.below(f.size))
        inner = self.expr(INT, s, fuel)
        if f.size & (f.size - 1) == 0:
            return self.c.of((f"{inner} % {f.size}", f"({inner} & {f.size - 1})"))
        return self.c.of(
            (f"{inner} % {f.size}", f"rand_below({f.size})", f"min(max({inner}, 0), {f.size - 1})")
        )

    # ---------------------------------------------------------------- loops within expressions

    def sources(self, s: Scope, fuel: int, wanted: Type | None = None) -> list[Callable[[], Source]]:
        """What can be gone over here; with `wanted`, what gives one target of that type."""
        makers: list[Callable[[], Source]] = [lambda: self.range(s, fuel)]
        makers += [partial(Source, v.name, (v.type.item,)) for v in s.locals if isinstance(v.type, SetType)]
        if fuel > 0 and wanted != CLIENT:
            item = wanted or self.c.of(ITEMS[:-1])
            makers.append(lambda: Source(self.expr(SetType(item), s, fuel - 1), (item,)))
        if not s.pure:
            makers.append(lambda: Source("self.waiting", (CLIENT,)))
            whole = [f for f in self.fields if f.has_keys and f.kind != "lru" and f.name not in s.locked]
            makers += [partial(self.over_state, f) for f in whole]
        return makers

    def range(self, s: Scope, fuel: int) -> Source:
        c = self.c
        match c.below(6):
            case 0:
                return Source(f"range({c.of((0, 1, 2, 3, 5))})", (INT,))
            case 1:
                return Source(f"range({c.of((0, 1, -3, 2))}, {c.of((1, 0, 4, -5))})", (INT,))
            case 2:
                return Source(
                    f"range({c.of((0, 7, -3))}, {c.of((5, -5, 1))}, {c.of((2, -1, 3, -4))})", (INT,)
                )
            case 3:
                return Source(f"range({self.expr(INT, s, fuel)} % {c.of((4, 3, 1))})", (INT,))
            case 4:
                return Source(f"range(min({self.expr(INT, s, fuel)}, 3))", (INT,))
            case _:
                return Source(f"range({self.expr(INT, s, fuel)} & 3, 5)", (INT,))

    def over_state(self, f: Field) -> Source:
        if f.kind == "array":
            return self.c.of(
                (
                    Source(f"self.{f.name}", (f.reads,), f.name),
                    Source(f"enumerate(self.{f.name})", (INT, f.reads), f.name, key=True),
                    Source(f"range({f.size})", (INT,)),
                )
            )
        return self.c.of(
            (
                Source(f"self.{f.name}", (f.asks,), f.name, key=True),
                Source(f"self.{f.name}.keys()", (f.asks,), f.name, key=True),
                Source(f"self.{f.name}.values()", (f.reads,), f.name),
                Source(f"self.{f.name}.items()", (f.asks, f.reads), f.name, key=True),
            )
        )

    def source(self, s: Scope, fuel: int) -> Source:
        return self.c.of(self.sources(s, fuel))()

    def inside(self, source: Source, s: Scope) -> tuple[str, Scope]:
        """The targets of a comprehension, and the scope of its inner expressions."""
        names = [self.fresh("c") for _ in source.targets]
        inner = s.having(*(Local(n, t, fixed=True) for n, t in zip(names, source.targets, strict=True)))
        return ", ".join(names), replace(inner.locking(source.table), quiet=True)

    def clause(self, source: Source, targets: str, inner: Scope, fuel: int) -> str:
        cond = f" if {self.cond(inner, fuel)}" if self.c.chance(35) else ""
        return f"for {targets} in {source.text}{cond}"

    def comprehension(self, t: Type, s: Scope, fuel: int) -> str:
        assert isinstance(t, SetType)
        if t.item == CLIENT:
            name = self.fresh("c")
            inner = replace(s.having(Local(name, CLIENT, fixed=True)), quiet=True)
            return "{" + f"{name} {self.clause(Source('self.waiting', (CLIENT,)), name, inner, fuel)}" + "}"
        source = self.source(s, fuel)
        targets, inner = self.inside(source, s)
        return "{" + f"{self.expr(t.item, inner, fuel)} {self.clause(source, targets, inner, fuel)}" + "}"

    def reduction(self, op: str, t: Type, s: Scope, fuel: int) -> str:
        source = self.source(s, fuel)
        targets, inner = self.inside(source, s)
        value = self.expr(t, inner, fuel)
        clause = self.clause(source, targets, inner, fuel)
        if op in ("sum", "any", "all"):
            return f"{op}({value} {clause})"
        return f"{op}(({value} {clause}), default={self.expr(t, s.locking(source.table), fuel)})"

    def giving(self, t: Type, s: Scope) -> list[str]:
        """What gives items of the type when it is gone over."""
        if isinstance(t, OptionType):
            return []  # a default would have to be more than `None`
        found = ["range(3)", "range(4, -2, -3)"] if t == INT else []
        found += [v.name for v in s.of_type(SetType(t))]
        for f in self.fields if not s.pure else []:
            if f.name in s.locked or f.kind == "lru" or not f.has_keys:
                continue
            if f.kind == "array":
                found += [f"self.{f.name}"] if f.reads == t else []
                continue
            found += [f"self.{f.name}"] if f.asks == t else []
            found += [f"self.{f.name}.values()"] if f.reads == t else []
        return found

    def best_item(self, source: str, t: Type, s: Scope, fuel: int) -> str:
        """The item whose key is best."""
        name = self.fresh("c")
        table = source.removeprefix("self.").split(".")[0] if source.startswith("self.") else None
        inner = replace(s.having(Local(name, t, fixed=True)).locking(table), quiet=True)
        key = self.expr(self.kind(*SORTABLE, TUPLES[1], TUPLES[2]), inner, fuel)
        default = self.expr(t, s.locking(table), fuel)
        return f"{self.c.of(('min', 'max'))}({source}, key=lambda {name}: {key}, default={default})"

    def chosen_client(self, s: Scope, fuel: int) -> str:
        """An arg-min over those who wait, of whom there are some."""
        op = self.c.of(("min", "max"))
        keyed = [f for f in self.fields if f.kind == "tally" and f.key == CLIENT and f.name not in s.locked]
        if keyed and self.c.chance(50):
            return f"{op}(self.waiting, key=self.{self.c.of(keyed).name}.get)"
        name = self.fresh("c")
        inner = replace(s.having(Local(name, CLIENT, fixed=True)), quiet=True)
        return f"{op}(self.waiting, key=lambda {name}: {self.expr(self.c.of(SORTABLE), inner, fuel)})"


def parts_of(t: Type) -> list[tuple[str, Type]]:
    """What can be read out of a value of the type: the text that follows it, and what that is."""
    match t:
        case StructType(fields=fields):
            own = [(f".{f.name}", loose(f.type)) for f in fields]
            return own + [(f".{f.name}{part}", inner) for f in fields for part, inner in parts_of(f.type)]
        case TupleType(items=items):
            return [(f"[{i}]", loose(item)) for i, item in enumerate(items)]
        case _:
            return []


__all__ = ["VALUES", "Expressions", "Source", "parts_of", "pools"]
