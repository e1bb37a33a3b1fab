# SPDX-License-Identifier: Apache-2.0
"""Random programs: texts of policies that pass the front end, small, and together reach the whole language.

Every decision is a number from `Choices`, so a program is its sequence of numbers, and shrinks with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from tests.fuzz.choices import Choices
from tests.fuzz.expressions import ARITHMETIC, SORTABLE, Expressions, each, parts_of
from tests.fuzz.pools import (
    BYTES,
    CLIENT,
    COLOUR,
    ITEMS,
    NARROW,
    PRELUDE,
    TEXT,
    TUPLES,
    VALUES,
    Field,
    constant,
    field,
    literal,
    loose,
    ordering,
    spell,
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
    UNIT,
    BytesType,
    IntType,
    OptionType,
    SetType,
    StructType,
    TextType,
    TupleType,
    Type,
)

Lines = list[str]
HOLDING = TextType | BytesType | StructType | TupleType
"""Types whose values might be held by reference where they should be copied."""
AUGMENTED: dict[Type, tuple[str, ...]] = {
    INT: infix("iii"),
    U64: infix("uuu"),
    FLOAT: infix("fff"),
    DURATION: ("+", "-", "%"),
    BOOL: ("&", "|", "^"),
}


HELD: tuple[Type, ...] = (NARROW[0], NARROW[1], CLIENT, CLIENT, CLIENT)
"""Types that a helper may give besides: narrow integers, which are cut, and a client."""
SINKS: tuple[tuple[str, Type, str], ...] = (
    ("seen", INT, "0"),
    ("real", FLOAT, "0.0"),
    ("word", TextType(64), "text(64)"),
    ("data", BytesType(64), "blob(64)"),
)
"""State which shows what locals hold."""
SINK_OF: dict[Type, str] = {FLOAT: "real", TEXT: "word", BYTES: "data"}


PLAIN = "Whoever has waited longest."
"""What a hook says that is there because it must be."""


@dataclass(frozen=True)
class Hook:
    name: str
    params: tuple[Type, ...]
    returns: Type
    nonempty: bool = False


HOOKS = (
    Hook("charge", (CLIENT, INT), UNIT),
    Hook("pick", (), CLIENT, nonempty=True),
    Hook("arrive", (CLIENT,), UNIT),
    Hook("leave", (CLIENT,), UNIT),
    Hook("forget", (CLIENT,), UNIT),
)


class Generator(Expressions):
    """Writes one program."""

    order: Field | None = None  # a tally by which those who wait are ordered

    # ---------------------------------------------------------------- the whole

    def program(self, name: str = "P") -> str:
        declared: Lines = []
        for name_, t, first in SINKS:
            self.fields.append(Field(name_, "scalar", t))
            declared.append(f"{name_}: {spell(t)} = {first}")
        self.field(declared)  # the first choice of all: seeds in a row have every kind and type of field
        for _ in range(self.c.of((0, 0, 1, 1))):
            self.field(declared)
        if self.c.chance(15):
            self.order, text = ordering(self.c, "order")
            self.fields.append(self.order)
            declared.append(text)
        self.c.parting()
        outside: Lines = []
        inside: Lines = []
        for index in range(self.c.of((0, 0, 1, 1))):
            self.helper(f"g{index}", outside, inside)
        for hook in HOOKS:
            if hook.name in ("charge", "pick") or self.c.chance(30 if hook.name == "arrive" else 8):
                inside += ["", *self.hook(hook)]
        body = "\n".join(f"    {line}" if line else "" for line in [*declared, *inside])
        return "\n".join([PRELUDE, *outside, "", f"class {name}(Arbiter):", body, ""])

    def field(self, declared: Lines) -> None:
        f, text = field(self.c, f"f{len(self.fields) - len(SINKS)}")
        self.fields.append(f)
        declared.append(text)

    def hook(self, hook: Hook) -> Lines:
        names = {CLIENT: "client", INT: "cost"}
        locals_ = tuple(Local(names[t], t, fixed=True) for t in hook.params)
        scope = Scope(locals_, returns=hook.returns, nonempty=hook.nonempty)
        params = "".join(f", {v.name}: {spell(v.type)}" for v in locals_)
        if hook.name == "pick" and self.order is not None and self.c.chance(70):
            body = [f"    return min(self.waiting, key=self.{self.order.name}.get)"]
        elif hook.name == "pick" and not self.c.chance(40):
            body = [f'    """{PLAIN}"""', "    return min(self.waiting, key=lambda c: 0)"]
        else:
            body = self.function(scope, self.c.of((1, 1, 1, 2)))
        if hook.name == "charge":
            first = self.fields[len(SINKS)]
            lines = [line for _ in range(2) if first.kind != "param" for line in self.store(first, scope, 2)]
            lines += self.ordered(self.order, scope) if self.order is not None else []
            body = [*(f"    {line}" for line in lines), *body]
        return [f"def {hook.name}(self{params}) -> {spell(hook.returns)}:", *body]

    def ordered(self, order: Field, s: Scope) -> Lines:
        """An entry of the order changes, and the least one is asked for."""
        name = self.fresh("c")
        default = self.expr(order.reads, s, 0)
        least = f"min((self.{order.name}[{name}] for {name} in self.waiting), default={default})"
        change = [f"del self.{order.name}[client]"] if self.c.chance(15) else self.store(order, s, 2)
        return [*change, *self.shown(least, order.reads)]

    def helper(self, name: str, outside: Lines, inside: Lines) -> None:
        pure = self.c.chance(50)
        params = tuple(self.kind(*VALUES, CLIENT) for _ in range(self.c.of((0, 1, 2, 3))))
        returns = self.kind(INT, *VALUES, *HELD) if pure or self.c.chance(80) else UNIT
        if returns == CLIENT and CLIENT not in params:
            returns = INT
        locals_ = tuple(Local(f"p{i}", t, fixed=True) for i, t in enumerate(params))
        scope = Scope(locals_, pure=pure, returns=returns)
        body = self.function(scope, self.c.of((0, 1, 2)))
        listed = ", ".join(f"{v.name}: {spell(v.type)}" for v in locals_)
        if pure:
            outside += ["", "", "@helper", f"def {name}({listed}) -> {spell(returns)}:", *body]
        else:
            name = f"_{name}"
            inside += ["", f"def {name}(self{', ' + listed if listed else ''}) -> {spell(returns)}:", *body]
        self.helpers.append(Helper(name, params, returns, pure))

    def function(self, scope: Scope, size: int) -> Lines:
        lines, scope, open_ = self.block(scope, size, 2 + self.c.chance(25))
        if open_ and scope.returns != UNIT:
            lines.append(self.returning(scope, 3))
        return [f"    {line}" for line in lines or ["pass"]]

    def returning(self, s: Scope, fuel: int) -> str:
        return "return" if s.returns in (UNIT, None) else f"return {self.expr(loose(s.returns), s, fuel)}"

    # ---------------------------------------------------------------- statements

    def block(self, s: Scope, size: int, fuel: int) -> tuple[Lines, Scope, bool]:
        """Statements, the scope after them, and whether control reaches their end."""
        lines: Lines = []
        known = s.locals
        for _ in range(size):
            more, s, open_ = self.statement(s, fuel)
            lines += more
            if not open_:
                return lines, s, False
        new = [v for v in s.locals if v not in known]
        for v in new[-2:]:
            if not s.pure and self.c.chance(85):
                lines += self.shown(v.name, v.type)
        return lines or ["pass"], s, True

    def shown(self, text: str, t: Type) -> Lines:
        """A value leaves its mark on the state."""
        match t:
            case _ if t in SINK_OF:
                return [f"self.{SINK_OF[t]} = {text}"]
            case _ if t == INT:
                return [f"self.seen = self.seen * 31 + {text}"]
            case _ if t in (U64, BOOL, COLOUR, DURATION, INSTANT):
                return [f"self.seen = self.seen * 31 + as_int({text})"]
            case OptionType(item=item):
                inner = self.shown(text, item)
                return [f"if {text} is not None:", *(f"    {line}" for line in inner)] if inner else []
            case SetType(item=item):
                name = self.fresh("s")
                inner = self.shown(name, item) or ["self.seen += 1"]
                return [f"for {name} in {text}:", *(f"    {line}" for line in inner)]
            case TupleType() | StructType():
                parts = parts_of(t)
                return [
                    line
                    for part, inner in parts[:3]
                    for line in self.shown(text + part, inner)
                    if "." not in part[1:]
                ]
            case _:
                return []

    def inner(self, s: Scope, fuel: int) -> Lines:
        """A block of its own: what it binds is not seen outside."""
        lines, _, _ = self.block(s, self.c.of((1, 1, 2)), fuel)
        return [f"    {line}" for line in lines]

    def statement(self, s: Scope, fuel: int) -> tuple[Lines, Scope, bool]:
        c = self.c
        simple: list[Callable[[], tuple[Lines, Scope]]] = [
            lambda: self.assign(s, fuel),
            lambda: self.assign(s, fuel),
            lambda: self.unpack(s, fuel),
        ]
        if any(not v.fixed for v in s.locals):
            simple.append(lambda: (self.again(s, fuel), s))
            simple.append(lambda: (self.again(s, fuel), s))
        if not s.pure:
            own = [f for f in self.fields[len(SINKS) :] if f.kind != "param"]
            simple += [partial(self.stored, f, s, fuel) for f in (*self.fields[: len(SINKS)], *own * 5)]
            simple += [lambda: self.asked(s, fuel)] * 2
            simple.append(lambda: ([self.effect(s, fuel)], s))
        simple.append(lambda: ([f"trace({self.message(s, fuel)})"], s))
        if fuel > 0 and c.chance(35):
            nested: list[Callable[[], tuple[Lines, Scope, bool]]] = [
                lambda: (self.branch(s, fuel - 1), s, True),
                lambda: (self.loop(s, fuel - 1), s, True),
                lambda: (self.match(s, fuel - 1), s, True),
                lambda: self.narrowed(s, fuel - 1),
                lambda: (self.guarded(s, fuel - 1), s, True),
            ]
            return c.of(nested)()
        if c.chance(8):
            if s.loops and c.chance(60):
                return [c.of(("break", "continue"))], s, False
            return [self.returning(s, fuel)], s, False
        lines, s = c.of(simple)()
        return lines or ["pass"], s, True

    def assign(self, s: Scope, fuel: int) -> tuple[Lines, Scope]:
        t = self.kind(*VALUES, SetType(self.c.of(ITEMS)), CLIENT)
        if (isinstance(t, SetType) and t.item == CLIENT and s.pure) or not self.can(t, s):
            t = INT
        name = self.fresh()
        annotation = f": {spell(t)}" if isinstance(t, OptionType) else ""
        return [f"{name}{annotation} = {self.expr(t, s, fuel)}"], s.having(Local(name, t))

    def unpack(self, s: Scope, fuel: int) -> tuple[Lines, Scope]:
        t = self.c.of(TUPLES)
        names = [self.fresh() for _ in t.items]
        locals_ = (Local(n, loose(i)) for n, i in zip(names, t.items, strict=True))
        return [f"{', '.join(names)} = {self.expr(t, s, fuel)}"], s.having(*locals_)

    def again(self, s: Scope, fuel: int) -> Lines:
        v = self.c.of([v for v in s.locals if not v.fixed])
        if v.type in AUGMENTED and self.c.chance(60):
            return [f"{v.name} {self.c.of(AUGMENTED[v.type])}= {self.expr(v.type, s, fuel)}"]
        if isinstance(v.type, SetType) and self.c.chance(50):
            return [f"{v.name} {self.c.of('|&-')}= {self.expr(v.type, s, fuel)}"]
        return [f"{v.name} = {self.expr(v.type, s, fuel)}"]

    def message(self, s: Scope, fuel: int) -> str:
        parts = []
        for _ in range(self.c.of((0, 1, 2, 3))):
            t = self.kind(INT, U64, BOOL, TEXT, COLOUR)
            names = [v.name for v in s.of_type(t)] or ["LIMIT" if t in (INT, TEXT) else self.expr(t, s, 0)]
            parts.append(
                "{" + self.c.of(names) + "}" if self.c.chance(60) else self.c.of(("é ", "x=", "{{}}", "%d"))
            )
        return 'f"' + "".join(parts) + '"'

    # ---------------------------------------------------------------- writing state

    def stored(self, f: Field, s: Scope, fuel: int) -> tuple[Lines, Scope]:
        return self.store(f, s, fuel), s

    def store(self, f: Field, s: Scope, fuel: int) -> Lines:
        if not s.may_write(f):
            return self.current(f, s, fuel)
        match f.kind:
            case "scalar":
                return self.change(f"self.{f.name}", f.type, s, fuel)
            case "counter":
                return [f"self.{f.name}.add({self.expr(INT, s, fuel) if self.c.chance(60) else ''})"]
            case "histogram":
                return [f"self.{f.name}.observe({self.expr(self.kind(INT, DURATION), s, fuel)})"]
            case "array":
                return self.change(f"self.{f.name}[{self.index(f, s, fuel)}]", f.type, s, fuel)
            case _ if not self.can(f.asks, s) or not self.can(f.reads, s):
                return []
            case "tally":
                return self.tally(f, s, fuel)
            case _:
                return self.entry(f, s, fuel)

    def change(self, place: str, t: Type, s: Scope, fuel: int) -> Lines:
        """A place that is there takes a value, or changes the one it has."""
        c, reads = self.c, loose(t)
        if isinstance(t, HOLDING) and place.startswith("self.") and c.chance(20):
            return self.remembered(place, t, s, fuel)
        if isinstance(t, StructType) and c.chance(75):
            part, inner = c.of(parts_of(t))
            if isinstance(inner, StructType) or "[" in part:
                return [f"{place}{part} = {self.expr(inner, s, fuel)}"]
            return self.change(place + part, next_type(t, part), s, fuel)
        if isinstance(t, StructType) and c.chance(60):
            return self.copied(place, t, s, fuel)
        if reads in AUGMENTED and c.chance(50):
            return [f"{place} {c.of(AUGMENTED[reads])}= {self.expr(reads, s, fuel)}"]
        if reads in SORTABLE and c.chance(30):
            # What is there itself has just the place's bound, which makes one step of it; hardly any other value has.
            other = (
                place if isinstance(t, TextType | BytesType) and c.chance(30) else self.expr(reads, s, fuel)
            )
            return [f"{place} = {c.of(('min', 'max'))}({place}, {other})"]
        if not self.can(reads.item if isinstance(reads, OptionType) else reads, s):
            return [f"{place} = None"] if isinstance(reads, OptionType) else []
        return [f"{place} = {self.expr(reads, s, fuel)}"]

    def remembered(self, place: str, t: Type, s: Scope, fuel: int) -> Lines:
        """What a place held is still known when it holds something else."""
        name = self.fresh()
        return [f"{name} = {place}", *self.change(place, t, s, fuel), *self.shown(name, loose(t))]

    def copied(self, place: str, t: StructType, s: Scope, fuel: int) -> Lines:
        """A copy is changed, then stored."""
        name = self.fresh()
        part, _ = self.c.of(parts_of(t))
        changes = self.change(f"{name}{part}", next_type(t, part), s, fuel)
        if self.c.chance(30):
            return [f"{name} = {place}", *changes, f"if {self.cond(s, fuel)}:", f"    {place} = {name}"]
        return [f"{name} = {place}", *changes, f"{place} = {name}"]

    def tally(self, f: Field, s: Scope, fuel: int) -> Lines:
        if self.c.chance(15):
            return [f"del self.{f.name}[{self.asked_key(f, s, fuel)}]"]
        nameable = self.nameable(f, s)
        key = self.asked_key(f, s, fuel)
        place = f"self.{f.name}[{key}]"
        if f.reads in AUGMENTED and self.c.chance(60):
            return [f"{place} {self.c.of(AUGMENTED[f.reads])}= {self.expr(f.reads, s, fuel)}"]
        return self.change(f"self.{f.name}[{self.key(f, s)}]", f.type, s, fuel) if nameable else []

    def entry(self, f: Field, s: Scope, fuel: int) -> Lines:
        if self.c.chance(15):
            return [f"del self.{f.name}[{self.asked_key(f, s, fuel)}]"]
        if self.nameable(f, s) and self.c.chance(75 if isinstance(f.type, StructType) else 50):
            key = self.key(f, s)
            # An effect within the value would end what the test has shown.
            changes = self.change(f"self.{f.name}[{key}]", f.type, replace(s, quiet=True, calls=False), fuel)
            return [f"if {key} in self.{f.name}:", *(f"    {line}" for line in changes or ["pass"])]
        key = self.asked_key(f, s, fuel)
        return [f"self.{f.name}[{key}] = {self.expr(f.reads, s, fuel)}"]

    def current(self, f: Field, s: Scope, fuel: int) -> Lines:
        """Within a loop over the table, its current entry alone may change."""
        key = s.locked.get(f.name)
        if key is None or s.quiet or s.pure or not self.can(f.reads, s):
            return []
        if f.kind != "array" and self.c.chance(40):
            return [f"del self.{f.name}[{key}]"]
        return [f"self.{f.name}[{key}] = {self.expr(f.reads, s, fuel)}"]

    def asked(self, s: Scope, fuel: int) -> tuple[Lines, Scope]:
        """What a table answers, which may be nothing."""
        makers: list[Callable[[], tuple[str, Type]]] = []
        for f in self.tables():
            if f.is_map and not isinstance(f.type, OptionType) and self.can(f.asks, s):
                makers.append(partial(self._got, f, s, fuel))
            if f.kind == "ordered" and f.name not in s.locked:
                makers.append(partial(self._first, f, s))
        if not makers:
            return self.assign(s, fuel)
        name = self.fresh()
        text, t = self.c.of(makers)()
        return [f"{name} = {text}"], s.having(Local(name, OptionType(t), fixed=True))

    def _got(self, f: Field, s: Scope, fuel: int) -> tuple[str, Type]:
        return f"self.{f.name}.get({self.asked_key(f, s, fuel)})", f.reads

    def _first(self, f: Field, s: Scope) -> tuple[str, Type]:
        method = "pop_first" if s.may_write(f) and self.c.chance(50) else "first"
        return f"self.{f.name}.{method}()", TupleType((f.asks, f.reads))

    def effect(self, s: Scope, fuel: int) -> str:
        """An expression for its effect."""
        makers: list[Callable[[], str]] = []
        for h in self.helpers:
            makers += self._calls(h, s, fuel) if not h.pure else []
        makers += each(self.puttable(s), lambda f: self.put(f, s, fuel))
        if s.of_type(CLIENT) and not s.locked and any(f.key == CLIENT for f in self.fields):
            makers.append(lambda: f"drop({self.c.of(s.of_type(CLIENT)).name})")
        return self.c.of(makers)() if makers else "pass"

    # ---------------------------------------------------------------- control

    def branch(self, s: Scope, fuel: int) -> Lines:
        lines = [f"if {self.cond(s, fuel)}:", *self.inner(s, fuel)]
        for _ in range(self.c.of((0, 0, 1, 2))):
            lines += [f"elif {self.cond(s, fuel)}:", *self.inner(s, fuel)]
        if self.c.chance(50):
            lines += ["else:", *self.inner(s, fuel)]
        return lines

    def guarded(self, s: Scope, fuel: int) -> Lines:
        """An index tested by `if`, or a `put` acted on."""
        arrays = [f for f in self.fields if f.kind == "array" and s.may_write(f)]
        ints = [v for v in s.of_type(INT)]
        if s.pure or not arrays or not ints:
            return self.branch(s, fuel)
        f, v = self.c.of(arrays), self.c.of(ints)
        changes = self.change(
            f"self.{f.name}[{v.name}]", f.type, replace(s, locals=tuple(x for x in s.locals)), fuel
        )
        return [f"if 0 <= {v.name} < {f.size}:", *(f"    {line}" for line in changes or ["pass"])]

    def narrowed(self, s: Scope, fuel: int) -> tuple[Lines, Scope, bool]:
        """An option is tested; where it is present, its value is used under the same name."""
        options = [v for v in s.locals if isinstance(v.type, OptionType)]
        if not options:
            return self.branch(s, fuel), s, True
        v = self.c.of(options)
        assert isinstance(v.type, OptionType)
        there = tuple(Local(x.name, v.type.item, fixed=True) if x is v else x for x in s.locals)
        if self.c.chance(30) and not s.loops:
            lines = [f"if {v.name} is None:", f"    {self.returning(s, fuel)}"]
            return lines, replace(s, locals=there), True
        lines = [f"if {v.name} is not None:", *self.inner(replace(s, locals=there), fuel)]
        if self.c.chance(40):
            lines += ["else:", *self.inner(s, fuel)]
        return lines, s, True

    def loop(self, s: Scope, fuel: int) -> Lines:
        source = self.source(s, fuel)
        names = [self.fresh("i") for _ in source.targets]
        locals_ = (Local(n, t, fixed=True) for n, t in zip(names, source.targets, strict=True))
        key = names[0] if source.key else None
        inner = replace(s.having(*locals_).locking(source.table, key), loops=s.loops + 1)
        return [f"for {', '.join(names)} in {source.text}:", *self.inner(inner, fuel)]

    def match(self, s: Scope, fuel: int) -> Lines:
        t = self.c.of(
            (
                INT,
                COLOUR,
                TEXT,
                BOOL,
                U64,
                BYTES,
                DURATION,
                INSTANT,
                *(v for v in VALUES if parts_of(v)),
                *OPTIONS,
            )
        )
        narrow = [] if s.pure else [f for f in self.fields if f.kind == "scalar" and is_narrow(f.type)]
        if narrow and self.c.chance(60):
            f = self.c.of(narrow)
            return self.cases(f"self.{f.name}", f.type, s, fuel)
        subject, lines = self.expr(t, s, fuel), list[str]()
        if isinstance(t, OptionType) or t == INT:  # which may come from narrow storage
            name = self.fresh()
            lines.append(f"{name}: {spell(t)} = {subject}")
            subject = name
        return lines + self.cases(subject, t, s, fuel)

    def cases(self, subject: str, t: Type, s: Scope, fuel: int) -> Lines:
        lines = [f"match {subject}:"]
        none = False  # whether a case before has dealt with None
        for _ in range(self.c.of((1, 2, 3))):
            pattern, bound = self.pattern(t, 2, none)
            scope = s.having(*bound)
            catches = pattern.isidentifier() and pattern not in ("None", "True", "False")
            guard = f" if {self.cond(scope, fuel)}" if catches or self.c.chance(30) else ""
            none = none or (pattern == "None" and not guard)
            lines += [f"    case {pattern}{guard}:", *(f"    {line}" for line in self.inner(scope, fuel))]
        return [*lines, "    case _:", *(f"    {line}" for line in self.inner(s, fuel))]

    def pattern(self, t: Type, depth: int, none: bool = False) -> tuple[str, tuple[Local, ...]]:
        """A pattern of the type, and what it binds; `none`: the option is certainly present."""
        if self.c.chance(20) or (none and t == OptionType(FLOAT)):  # which no constant matches
            name = self.fresh("m")
            return name, (
                Local(name, loose(t.item if none and isinstance(t, OptionType) else t), fixed=True),
            )
        if isinstance(t, OptionType):
            return self.valued(t.item, depth - 1) if none or self.c.chance(50) else ("None", ())
        return self.valued(t, depth)

    def valued(self, t: Type, depth: int) -> tuple[str, tuple[Local, ...]]:
        """A pattern that looks into the value."""
        match t:
            case TupleType(items=items) if depth > 0:
                return self._patterns("({})", [("", i) for i in items], depth)
            case StructType(name=name, fields=fields) if depth > 0:
                picked = [f for f in fields if self.c.chance(40)]
                return self._patterns(name + "({})", [(f"{f.name}=", f.type) for f in picked], depth)
            case _ if isinstance(t, IntType) or loose(t) in (TEXT, BYTES, COLOUR, BOOL, DURATION, INSTANT):
                options = [pattern_constant(self.c, t, depth) for _ in range(self.c.of((1, 1, 2)))]
                return " | ".join(options), ()
            case _:
                return "_", ()

    def _patterns(
        self, form: str, parts: list[tuple[str, Type]], depth: int
    ) -> tuple[str, tuple[Local, ...]]:
        inner = [(label, *self.pattern(t, depth - 1)) for label, t in parts]
        text = form.format(", ".join(f"{label}{p}" for label, p, _ in inner))
        return text, tuple(v for _, _, bound in inner for v in bound)


OPTIONS = tuple(v for v in VALUES if isinstance(v, OptionType))


def is_narrow(t: Type) -> bool:
    return t in NARROW or (isinstance(t, OptionType) and t.item in NARROW)


def pattern_constant(c: Choices, t: Type, depth: int) -> str:
    """A constant as a pattern; within something else an `int` may come from narrow storage."""
    if t in (DURATION, INSTANT) or (t == INT and depth == 2):
        return literal(c, INT)
    if t == INT:
        return str(c.of((0, 1, 3, 7)))
    return literal(c, loose(t) if isinstance(t, TextType | BytesType) else t)


def next_type(t: StructType, part: str) -> Type:
    """The type as stored of the field that `.a.b` names."""
    current: Type = t
    for name in part.split(".")[1:]:
        assert isinstance(current, StructType)
        found = current.field(name.partition("[")[0])
        assert found is not None
        current = found.type
    return current


def program(choices: Choices, name: str = "P") -> str:
    """The text of a random policy."""
    return Generator(choices).program(name)


__all__ = ["ARITHMETIC", "BYTES", "FLOAT", "INSTANT", "Generator", "constant", "program"]
