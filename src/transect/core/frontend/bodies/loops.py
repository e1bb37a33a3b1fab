# SPDX-License-Identifier: Apache-2.0
"""What is gone over: sources of loops, reductions (`min`, `sum`, `any` …) and set comprehensions."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from transect.base.record import record
from transect.base.span import Span
from transect.core import ir
from transect.core.frontend.bodies.context import Typing, after, convert, join, short, widen
from transect.core.frontend.bodies.facts import (
    AtLeast,
    AtMost,
    Changes,
    Fact,
    Facts,
    Has,
    NonEmpty,
    implied,
    interval,
)
from transect.core.frontend.modules import FunctionDef
from transect.core.ir import Expr, OverRange, OverState, OverValue, Part, ReduceOp, Source
from transect.core.types import (
    BOOL,
    INT,
    ArrayType,
    BytesType,
    DictType,
    DurationType,
    FloatType,
    InstantType,
    IntType,
    KeyType,
    OptionType,
    SeqType,
    SetType,
    TableKind,
    TableType,
    TextType,
    TupleType,
    Type,
    an,
    is_key,
    spell,
)
from transect.core.walk import walk

MAX_STEPS = 1 << 24
ITEM = "<item>"  # what `min(self.waiting)` calls an item: no name that a policy could have


@record
class Walked:
    """A source with the types of its items and what is known about them inside the loop."""

    source: Source
    items: tuple[Type, ...]  # one, or two for items()
    size: int | None  # at most so many; None: as many as the outside data has
    key: int | None = None  # which target is the key of the table gone over


@record
class Target:
    """What takes one item of a source: a name, or, in brackets, names for the parts of a tuple."""

    name: str
    parts: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Those that a person gave."""
        return self.parts or (self.name,)


@record
class Opened:
    """A comprehension whose targets are in scope."""

    names: tuple[str, ...]
    walked: Walked
    cond: Expr | None
    parts: tuple[tuple[str, Expr], ...]  # what names within brackets stand for

    def whole(self, e: Expr) -> Expr:
        """An expression of the targets, with their parts."""
        return _with_parts(self.parts, e)


def _with_parts(parts: tuple[tuple[str, Expr], ...], e: Expr) -> Expr:
    used = {n.name for n in walk(e) if isinstance(n, ir.Local)}
    return after([(name, value) for name, value in parts if name in used], e)


@record
class OpenLoop:
    """A loop being typed, for the rule about changing the table which it goes over."""

    field: str
    keys: tuple[
        str, ...
    ]  # the local that holds the current key, or those that hold its parts; none: they change
    span: Span


class Loops(Typing):
    """Typing of sources and of what folds them."""

    open_loops: tuple[OpenLoop, ...] = ()

    # What the later classes give (the chain is Typing, Loops, Calls, Expressions, Statements).
    def expression(self, node: ast.expr, wanted: Type | None = None) -> Expr | None:
        raise NotImplementedError

    def value(self, node: ast.expr, wanted: Type, what: str = "") -> Expr | None:
        raise NotImplementedError

    def raw(self, node: ast.expr, wanted: Type | None = None) -> Expr | None:
        raise NotImplementedError

    def condition(self, node: ast.expr) -> Expr | None:
        raise NotImplementedError

    def own(self, node: ast.expr) -> str | None:
        raise NotImplementedError

    def state_field(self, node: ast.Attribute, name: str) -> ir.StateField | None:
        raise NotImplementedError

    def flexible(self, node: ast.expr) -> bool:
        raise NotImplementedError

    def constant_number(self, node: ast.expr) -> int | None:
        raise NotImplementedError

    def call(self, node: ast.Call, wanted: Type | None) -> Expr | None:
        raise NotImplementedError

    def combine(self, node: ast.AST, op: ir.BinaryOp, a: Expr, b: Expr) -> Expr | None:
        raise NotImplementedError

    def alike(self, nodes: Sequence[ast.expr], wanted: Type | None = None) -> list[Expr] | None:
        """Typed operands: bare numbers take the type of the first operand that has one of its own.

        Each is typed once, however deep they nest; numbers may be typed late, since they write nothing.
        """
        at = next((i for i, n in enumerate(nodes) if not self.flexible(n)), None)
        anchor = None if at is None else self.expression(nodes[at], wanted)
        if at is not None and anchor is None:
            return None
        kind = wanted if anchor is None else anchor.type
        typed = [anchor if i == at else self.expression(n, kind) for i, n in enumerate(nodes)]
        good = [t for t in typed if t is not None]
        return good if len(good) == len(nodes) else None

    # ------------------------------------------------------------ sources

    def source(self, node: ast.expr) -> Walked | None:
        """What stands after `in` of a loop."""
        match node:
            case ast.Call(func=function) if self.language_name(function) == "range":
                return self._range(node)
            case ast.Call(func=function, args=[inner]) if self.language_name(function) == "enumerate":
                return self._enumerate(node, inner)
            case ast.Call(
                func=ast.Attribute(value=value, attr="keys" | "values" | "items" as attr),
                args=[],
                keywords=[],
            ):
                return self._parts(node, value, Part(attr))
            case ast.Call(func=ast.Name(id="sorted" | "reversed" | "zip" | "map" | "filter" as name)):
                help = (
                    "loop over an `ordered(…)` table, or reduce with `min` and `max`"
                    if name == "sorted"
                    else "loop over one thing by its index or keys"
                )
                self.error(
                    "P010",
                    node,
                    f"`{name}` is not part of the language",
                    help,
                    label="not something to go over",
                )
                return None
            case _:
                return self._parts(node, node, Part.KEYS)

    def _range(self, node: ast.Call) -> Walked | None:
        if node.keywords or not 1 <= len(node.args) <= 3:
            self.error(
                "P010",
                node,
                "`range` takes a stop, a start and stop, or these and a step",
                "write `range(64)`",
                label="not a range",
            )
            return None
        args = [self.value(a, INT, "the bound") for a in node.args]
        good = [a for a in args if a is not None]
        if len(good) < len(args):
            return None
        zero, one = (ir.Const(n, type=INT, span=self.span(node)) for n in (0, 1))
        start, stop = (zero, good[0]) if len(good) == 1 else (good[0], good[1])
        step = good[2] if len(good) == 3 else one
        if not isinstance(step, ir.Const) or not isinstance(step.value, int) or step.value == 0:
            self.error(
                "P010",
                node.args[-1],
                "the step of a range is a constant, not 0",
                "write a number",
                label="must be known when compiling",
            )
            return None
        return self._bounded_range(node, start, stop, step.value)

    def _bounded_range(self, node: ast.Call, start: Expr, stop: Expr, step: int) -> Walked | None:
        (low, _), (_, high) = interval(start, self.facts), interval(stop, self.facts)
        if step < 0:
            (_, low), (high, _) = interval(start, self.facts), interval(stop, self.facts)
        bound = max(0, -((low - high) // abs(step)) if step > 0 else -((high - low) // abs(step)))
        if bound > MAX_STEPS:
            at = node.args[0] if len(node.args) == 1 else node.args[1]
            self.error(
                "P010",
                at,
                "loop bound is not a constant",
                f"write `for i in range(64)` and leave early with `break`, or `range(min({short(at)}, 64))`",
                label="must be known when compiling",
            )
            return None
        return Walked(OverRange(start, stop, step, bound, self.span(node)), (INT,), bound)

    def _enumerate(self, node: ast.Call, inner: ast.expr) -> Walked | None:
        name = self.own(inner)
        f = self.state_field(inner, name) if name is not None and isinstance(inner, ast.Attribute) else None
        if f is None and name is not None:
            return None
        if f is None or not isinstance(f.type, ArrayType):
            self.error(
                "P010",
                node,
                "`enumerate` goes over an array",
                "loop over the table's `items()`, or count in a local",
                label="not an array",
            )
            return None
        return Walked(
            OverState(f.name, Part.ITEMS, self.span(node)), (INT, f.type.item), f.type.length, key=0
        )

    def _parts(self, node: ast.expr, value: ast.expr, part: Part) -> Walked | None:
        name = self.own(value)
        if name is not None and isinstance(value, ast.Attribute):
            f = self.state_field(value, name)
            if f is None:
                return None
            if isinstance(f.type, TableType):
                return self._table(node, f, f.type, part)
            if isinstance(f.type, ArrayType):
                if part is Part.KEYS and node is value:
                    return Walked(
                        OverState(f.name, Part.VALUES, self.span(node)), (f.type.item,), f.type.length
                    )
                self.error(
                    "P031",
                    node,
                    "an array has no keys",
                    "write `for v in self.a:` or `for i, v in enumerate(self.a):`",
                    label="an array",
                )
                return None
        e = self.expression(value)
        return None if e is None else self._over_value(node, e, part, method=node is not value)

    def _table(self, node: ast.expr, f: ir.StateField, t: TableType, part: Part) -> Walked | None:
        if t.kind is TableKind.LRU:
            self.error(
                "P040",
                node,
                "an `lru` table cannot be gone over",
                "reading changes its order; keep a `table(…)`",
                label="no loops over `lru`",
            )
            return None
        items = {Part.KEYS: (t.key,), Part.VALUES: (t.value,), Part.ITEMS: (t.key, t.value)}[part]
        return Walked(
            OverState(f.name, part, self.span(node)), items, t.most, None if part is Part.VALUES else 0
        )

    def _over_value(self, node: ast.expr, e: Expr, part: Part, method: bool) -> Walked | None:
        match e.type:
            case DictType(key=key, value=value):
                items = {Part.KEYS: (key,), Part.VALUES: (value,), Part.ITEMS: (key, value)}[part]
                return Walked(OverValue(e, part, self.span(node)), items, None)
            case SetType(item=item, bound=bound) if not method:
                return Walked(OverValue(e, Part.VALUES, self.span(node)), (item,), bound)
            case SeqType(item=item) if not method:
                return Walked(OverValue(e, Part.VALUES, self.span(node)), (item,), None)
            case OptionType():
                self.error(
                    "P022",
                    node,
                    f"`{short(node)}` may be None",
                    f"test it first: `if {short(node)} is not None:`",
                    label=f"`{spell(e.type)}`",
                )
            case _:
                self.error(
                    "P010",
                    node,
                    f"{an(e.type)} cannot be gone over",
                    "loops go over ranges, tables, arrays, sets, sequences and maps",
                    label=f"`{spell(e.type)}`",
                )
        return None

    # ------------------------------------------------------------ targets

    def targets(self, target: ast.expr, walked: Walked) -> list[Target] | None:
        """A loop's targets, one for each item of the source (two for items())."""
        single = isinstance(target, ast.Tuple) and len(walked.items) == 1
        parts = target.elts if isinstance(target, ast.Tuple) and not single else [target]
        if len(parts) != len(walked.items) or (single and not isinstance(walked.items[0], TupleType)):
            self.error(
                "P034",
                target,
                f"there {'are two' if len(walked.items) == 2 else 'is one'} to name here",
                "name as many as the source gives: one, or key and value for `items()`",
                label=f"{len(target.elts) if isinstance(target, ast.Tuple) else 1} named",
            )
            return None
        found = [self._target(part, t) for part, t in zip(parts, walked.items, strict=True)]
        good = [f for f in found if f is not None]
        return good if len(good) == len(found) else None

    def _target(self, node: ast.expr, t: Type) -> Target | None:
        match node:
            case ast.Name(id=name):
                return Target(name)
            case ast.Tuple(elts=elts) if isinstance(t, TupleType) and len(elts) == len(t.items):
                names = tuple(e.id for e in elts if isinstance(e, ast.Name))
                if len(names) == len(elts):
                    return Target("", names)
            case _:
                pass
        self.error(
            "P034",
            node,
            "loop targets are names, and names in brackets for the parts of a tuple",
            "take other parts out inside the loop",
            label=f"takes {an(t)}",
        )
        return None

    def parts_of(self, whole: ir.Local) -> list[Expr]:
        assert isinstance(whole.type, TupleType), f"no parts: {whole}"
        return [widen(ir.Item(whole, i, type=t, span=whole.span)) for i, t in enumerate(whole.type.items)]

    def part_facts(self, targets: list[Target], walked: Walked) -> list[Fact]:
        """The parts of a table's key, put together, are a key that is there."""
        if walked.key is None or not isinstance(walked.source, OverState) or not targets[walked.key].parts:
            return []
        span = walked.source.span
        found = [(name, self.scope.lookup(name)) for name in targets[walked.key].parts]
        locals_ = [
            ir.Local(f[0], type=f[1], span=span) for _, f in found if f is not None and f[1] is not None
        ]
        made = ir.MakeTuple(tuple(locals_), type=TupleType(tuple(x.type for x in locals_)), span=span)
        key = convert(made, walked.items[walked.key])
        return [] if key is None or len(locals_) < len(found) else [Has(walked.source.field, key)]

    def entry_facts(self, walked: Walked, names: tuple[str, ...]) -> list[Fact]:
        """What is known inside the loop about its targets."""
        source = walked.source
        facts: list[Fact] = []
        if isinstance(source, OverRange):
            local = ir.Local(names[0], type=INT, span=source.span)
            low, high = (interval(source.start, self.facts)[0], interval(source.stop, self.facts)[1] - 1)
            if source.step < 0:
                low, high = (interval(source.stop, self.facts)[0] + 1, interval(source.start, self.facts)[1])
            facts += [AtLeast(local, low), AtMost(local, high)]
        if isinstance(source, OverState):
            f = self.policy.old_fields.get(source.field) or self.policy.fields[source.field]
            if isinstance(f.type, ArrayType) and source.part is Part.ITEMS:
                local = ir.Local(names[0], type=INT, span=source.span)
                facts += [AtLeast(local, 0), AtMost(local, f.type.length - 1)]
            elif walked.key is not None:
                facts.append(
                    Has(
                        source.field,
                        widen(ir.Local(names[walked.key], type=walked.items[walked.key], span=source.span)),
                    )
                )
        return facts

    @contextmanager
    def within(
        self, walked: Walked, names: tuple[str, ...], targets: Sequence[Target], body: Sequence[ast.stmt] = ()
    ) -> Iterator[None]:
        """Remember that a table is being gone over."""
        before = self.open_loops
        source = walked.source
        if isinstance(source, OverState):
            keys = () if walked.key is None else targets[walked.key].parts or (names[walked.key],)
            kept = () if any(_binds(body, key) for key in keys) else keys
            self.open_loops = (*before, OpenLoop(source.field, kept, source.span))
        try:
            yield
        finally:
            self.open_loops = before

    def disturbed(self, node: ast.AST, field: str) -> OpenLoop | None:
        """The loop over the field whose current key is not what the subscript, or the call of `put`, names."""
        loops = (loop for loop in self.open_loops if loop.field == field)
        return next((loop for loop in loops if not self._touches_current(node, loop)), None)

    def _touches_current(self, node: ast.AST, loop: OpenLoop) -> bool:
        match node:
            case ast.Subscript(slice=key) | ast.Call(func=ast.Attribute(attr="put"), args=[key, _]):
                parts = key.elts if isinstance(key, ast.Tuple) else [key]
                found = [self.scope.lookup(p.id) if isinstance(p, ast.Name) else None for p in parts]
                return bool(loop.keys) and tuple(f[0] if f else "" for f in found) == loop.keys
            case _:
                return False

    # ------------------------------------------------------------ what a body may write

    def without_spoilt(self, body: ast.AST) -> Facts:
        """What holds whenever the body begins, however often it has run: nothing about what it may write."""
        facts = self.facts
        inner = {
            id(n) for c in ast.walk(body) if isinstance(c, ast.comprehension) for n in ast.walk(c.target)
        }  # a comprehension's own variables are no locals
        for node in ast.walk(body):
            facts = facts if id(node) in inner else self._spoilt(facts, node)
        return replace(facts, assigned=self.facts.assigned)

    def _spoilt(self, facts: Facts, node: ast.AST) -> Facts:
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.MatchAs(name=str(name)):
                return facts.assign(name)
            case ast.keyword(arg="key", value=ast.Attribute() | ast.Name() as called):
                return self._spoilt(facts, ast.copy_location(ast.Call(called, [], []), called))
            case ast.Attribute(attr=attr, ctx=ast.Store() | ast.Del()):
                return self._spoilt_attribute(facts, node, attr)
            case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()):
                field = self.own(value)
                return facts if field is None else facts.write_field(field, removes=True)
            case ast.Call():
                changes = self._changes(node)
                return facts.write_anything() if changes is None else facts.after(changes)
            case _:
                return facts

    def _changes(self, node: ast.Call) -> Changes | None:
        """What a call may write; None when that is not known."""
        match node.func:
            case ast.Attribute(value=value, attr=attr) if (field := self.own(value)) is not None:
                # Reading an lru changes its order, which is no fact.
                return Changes(frozenset({field}) if attr in ("put", "pop_first") else frozenset())
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super"), args=[]), attr=attr):
                other = attr in self.policy.hook_names() and attr != self.hook
                return self._super_changes(node, attr) if self.owner is not None and not other else None
            case ast.Attribute(attr=attr) if self.own(node.func) is not None:
                return self._helper_changes(node.func, attr)
            case ast.Name() as function if self.language_name(function) == "drop":
                fields = self.policy.fields.values()
                return Changes(frozenset(f.name for f in fields if _kept_by_identity(f.type)))
            case ast.Name() | ast.Attribute():
                return self._function_changes(node, node.func)
            case _:
                return Changes()

    def _super_changes(self, node: ast.Call, attr: str) -> Changes | None:
        assert self.owner is not None, "`super()` has an owner"
        signature = self.policy.parent_hook(attr, self.owner, self.span(node))
        return None if signature is None else self.policy.changes(signature.name)

    def _helper_changes(self, function: ast.Attribute, attr: str) -> Changes | None:
        """Of `self._helper(…)`; what the stratum's runtime gives writes no state."""
        if not attr.startswith("_"):
            return Changes()
        signature = self.policy.helper_method(attr, self.span(function))
        return None if signature is None else self.policy.changes(signature.name)

    def _function_changes(self, node: ast.Call, function: ast.Name | ast.Attribute) -> Changes | None:
        """Of a function of a module; those of the language, of a stratum and of values write no state."""
        if isinstance(function, ast.Name) and self.scope.lookup(function.id) is not None:
            return Changes()
        binding = self.world.binding(self.module, function)
        if not isinstance(binding, FunctionDef) or binding.module.library:
            return Changes()
        signature = self.policy.helper(binding, self.span(node))
        return None if signature is None else self.policy.changes(signature.name)

    def _spoilt_attribute(self, facts: Facts, node: ast.Attribute, attr: str) -> Facts:
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute | ast.Subscript):
            field = self.own(inner)
            if field is not None:
                return facts.write_field(field, removes=True)
            inner = inner.value
        if isinstance(inner, ast.Name):
            facts = facts.assign(inner.id)
        return facts.write_view(attr)

    # ------------------------------------------------------------ comprehensions

    @contextmanager
    def comprehension(
        self, node: ast.expr, generators: list[ast.comprehension], options: Sequence[ast.keyword] = ()
    ) -> Iterator[Opened | None]:
        """Targets, source and condition of `for x in s if c`, with the targets in scope; None with a diagnostic.

        `options`: those of the reduction around it, whose `key=` runs for each item.
        """
        opened = self._open(node, generators)
        if opened is None:
            yield None
            return
        targets, unique, walked = opened
        for part in [node, *generators[0].ifs, *options]:  # every round may see what an earlier one did
            self.facts = self.without_spoilt(part)
        before = self.facts
        self.facts = self.facts.assign(*unique).having(self.entry_facts(walked, unique))
        parts = self._hide(targets, unique, walked)
        self.facts = self.facts.assign(*(name for name, _ in parts)).having(self.part_facts(targets, walked))
        inside = [replace(t, parts=tuple(self.scope.hidden[p][-1] for p in t.parts)) for t in targets]
        try:
            with self.within(walked, unique, inside):
                cond = self.condition(generators[0].ifs[0]) if generators[0].ifs else None
                if generators[0].ifs and cond is None:
                    yield None
                else:
                    self.facts = self.facts if cond is None else self.facts.having(implied(cond, True))
                    yield Opened(unique, walked, None if cond is None else _with_parts(parts, cond), parts)
        finally:
            for name in (n for t in targets for n in t.names):
                self.scope.hidden[name].pop()
            self.facts = before.surviving(self.facts)

    def _hide(
        self, targets: list[Target], unique: tuple[str, ...], walked: Walked
    ) -> tuple[tuple[str, Expr], ...]:
        """The targets' names stand for their items, and those in brackets for the parts of one."""
        parts: list[tuple[str, Expr]] = []
        for target, name, t in zip(targets, unique, walked.items, strict=True):
            if not target.parts:
                self.scope.hidden.setdefault(target.name, []).append(name)
                continue
            whole = ir.Local(name, type=t, span=walked.source.span)
            for part, e in zip(target.parts, self.parts_of(whole), strict=True):
                parts.append((self.scope.unique(part, e.type), e))
                self.scope.hidden.setdefault(part, []).append(parts[-1][0])
        return tuple(parts)

    def _open(
        self, node: ast.expr, generators: list[ast.comprehension]
    ) -> tuple[list[Target], tuple[str, ...], Walked] | None:
        generator = generators[0]
        if len(generators) > 1 or len(generator.ifs) > 1 or generator.is_async:
            self.error(
                "P034",
                node,
                "a comprehension has one `for` and at most one `if`",
                "join conditions by `and`; write an outer loop as a statement",
                label="too many parts",
            )
            return None
        walked = self.source(generator.iter)
        targets = None if walked is None else self.targets(generator.target, walked)
        if walked is None or targets is None:
            return None
        names = ["item" if t.name in ("", ITEM) else t.name for t in targets]
        return (
            targets,
            tuple(self.scope.unique(n, t) for n, t in zip(names, walked.items, strict=True)),
            walked,
        )

    def set_comprehension(self, node: ast.SetComp) -> Expr | None:
        with self.comprehension(node, node.generators) as opened:
            item = None if opened is None else self.expression(node.elt)
            if opened is None or item is None:
                return None
            if not is_key(item.type):
                self.error(
                    "P034",
                    node.elt,
                    f"a set cannot hold {an(item.type)}",
                    "members are integers, texts, enums, keys, and tuples of these",
                    label=f"`{spell(item.type)}`",
                )
                return None
            return ir.MakeSet(
                opened.names,
                opened.walked.source,
                opened.cond,
                opened.whole(item),
                type=SetType(item.type, opened.walked.size),
                span=self.span(node),
            )

    # ------------------------------------------------------------ reductions

    def is_reduction(self, node: ast.Call, name: str) -> bool:
        """`min(iterable…)` as against `min(a, b)`."""
        return name in ("sum", "any", "all") or len(node.args) == 1

    def reduction(self, node: ast.Call, name: str, wanted: Type | None) -> Expr | None:
        options = {k.arg: k.value for k in node.keywords}
        allowed = {"min": ("key", "default"), "max": ("key", "default")}.get(name, ())
        unknown = next((k for k in node.keywords if k.arg not in allowed), None)
        if len(node.args) != 1 or unknown is not None:
            self.error(
                "P032",
                node if unknown is None else unknown,
                f"`{name}` takes one thing to go over{' and `key=`, `default=`' if allowed else ''}",
                f"write `{name}(… for … in …)`",
                label="not understood",
            )
            return None
        elt, generators = self._generator(node.args[0])
        with self.comprehension(node.args[0], generators, node.keywords) as opened:
            if opened is None:
                return None
            names, walked, cond = opened.names, opened.walked, opened.cond
            if "key" in options:
                target = generators[0].target
                op, value, result = self._chosen(name, elt, target, names, walked, options["key"])
            else:
                op, value, result = self._folded(name, elt, wanted)
        if value is None or result is None:
            return None
        value = opened.whole(value)
        default = self._default(options["default"], result) if "default" in options else None
        if "default" in options and default is None:
            return None
        if default is None and name in ("min", "max") and not self._certainly_some(walked, cond):
            self.error(
                "P041",
                node,
                f"`{name}` of nothing has no value",
                f"say what then: `{name}(…, default=0)`",
                label="may go over nothing",
            )
            return None
        return ir.Reduce(op, names, walked.source, cond, value, default, type=result, span=self.span(node))

    def _generator(self, node: ast.expr) -> tuple[ast.expr, list[ast.comprehension]]:
        """Everything is a generator: `min(self.waiting)` goes over its items."""
        if isinstance(node, ast.GeneratorExp):
            return node.elt, node.generators
        item = ast.copy_location(ast.Name(ITEM, ast.Load()), node)
        target = ast.copy_location(ast.Name(ITEM, ast.Store()), node)
        return item, [ast.comprehension(target, node, [], 0)]

    def _chosen(
        self,
        name: str,
        elt: ast.expr,
        target: ast.expr,
        names: tuple[str, ...],
        walked: Walked,
        key: ast.expr,
    ) -> tuple[ReduceOp, Expr | None, Type | None]:
        """Operation, compared value and result type of `min` or `max` with `key=`."""
        op = ReduceOp.ARGMIN if name == "min" else ReduceOp.ARGMAX
        match elt, target:
            case ast.Name(id=item), ast.Name(id=bound) if item == bound:
                pass
            case _:
                self.error(
                    "P034",
                    elt,
                    "with `key=` the items themselves are compared",
                    "write `min(source, key=…)`",
                    label="not the loop's item",
                )
                return op, None, None
        local = ir.Local(names[0], type=walked.items[0], span=self.span(elt))
        hidden = self.scope.hidden[bound].pop()  # what `key=` says does not know the comprehension's own name
        value = self._keyed(key, local)
        self.scope.hidden[bound].append(hidden)
        return op, self._ordered_value(key, value, name), widen(local).type

    def _folded(
        self, name: str, elt: ast.expr, wanted: Type | None
    ) -> tuple[ReduceOp, Expr | None, Type | None]:
        """Operation, folded value and result type."""
        op = ReduceOp(name)
        if op in (ReduceOp.ANY, ReduceOp.ALL):
            return op, self.condition(elt), BOOL
        value = self.expression(elt, wanted)
        if op is ReduceOp.SUM:
            if value is not None and not isinstance(value.type, IntType | FloatType | DurationType):
                self.error(
                    "P011",
                    elt,
                    f"`sum` adds numbers, not `{spell(value.type)}`",
                    "give a number",
                    label=f"`{spell(value.type)}`",
                )
                return op, None, None
            return op, value, None if value is None else value.type
        return op, self._ordered_value(elt, value, name), None if value is None else value.type

    def _ordered_value(self, node: ast.expr, value: Expr | None, name: str) -> Expr | None:
        if value is None or orderable(value.type):
            return value
        self.error(
            "P011",
            node,
            f"`{name}` cannot compare values of type `{spell(value.type)}`",
            "compare numbers, texts, times, or tuples of these",
            label=f"`{spell(value.type)}`",
        )
        return None

    def _keyed(self, key: ast.expr, item: ir.Local) -> Expr | None:
        """`key=self.served.get`, `key=self._score`, or a lambda of one expression."""
        stand_in = ast.copy_location(ast.Name(ITEM, ast.Load()), key)
        self.scope.hidden.setdefault(ITEM, []).append(item.name)
        try:
            match key:
                case ast.Lambda(
                    args=ast.arguments(
                        posonlyargs=[], args=[ast.arg(arg=arg)], vararg=None, kwonlyargs=[], kwarg=None
                    ),
                    body=body,
                ):
                    self.scope.hidden.setdefault(arg, []).append(item.name)
                    try:
                        return self.expression(body)
                    finally:
                        self.scope.hidden[arg].pop()
                case ast.Attribute() | ast.Name():
                    e = self.call(ast.copy_location(ast.Call(key, [stand_in], []), key), None)
                    return None if e is None else widen(e)
                case _:
                    self.error(
                        "P034",
                        key,
                        "`key=` takes `self.table.get`, a helper, or a lambda of one argument",
                        "write `key=lambda c: …`",
                        label="not understood",
                    )
                    return None
        finally:
            self.scope.hidden[ITEM].pop()

    def _default(self, value: ast.expr, result: Type) -> Expr | None:
        e = self.expression(value, result)
        if e is None:
            return None
        t = join(e.type, result)
        converted = convert(e, result)
        if converted is None:
            self.error(
                "P011",
                value,
                f"the default is `{spell(e.type)}`, the values are `{spell(result)}`",
                f"give {an(result)}" if t is None else "test for emptiness first",
                label=f"`{spell(e.type)}`",
            )
        return converted

    def _certainly_some(self, walked: Walked, cond: Expr | None) -> bool:
        """Whether the source has a member on every path to here."""
        if cond is not None:
            return False
        match walked.source:
            case OverRange(start=start, stop=stop, step=step):
                (_, a), (b, _) = interval(start, self.facts), interval(stop, self.facts)
                return step > 0 and a < b
            case OverState(field=field):
                f = self.policy.fields.get(field)
                if f is None or (isinstance(f.type, TableType) and f.type.kind is TableKind.TALLY):
                    return False  # a tally's zeros are skipped
                return isinstance(f.type, ArrayType) or NonEmpty(field) in self.facts.known
            case OverValue(value=ir.State(field=field)):
                return NonEmpty(field) in self.facts.known or self.policy.nonempty.get(self.hook) == field
            case _:
                return False


def _kept_by_identity(t: Type) -> bool:
    return isinstance(t, TableType) and isinstance(t.key, KeyType)


def _binds(body: Sequence[ast.stmt], name: str) -> bool:
    """Whether statements give the name another value."""
    nodes = (n for statement in body for n in ast.walk(statement))
    return any(
        isinstance(n, ast.Name | ast.MatchAs) and name == (n.id if isinstance(n, ast.Name) else n.name)
        for n in nodes
        if not isinstance(getattr(n, "ctx", None), ast.Load)
    )


def orderable(t: Type) -> bool:
    match t:
        case IntType() | FloatType() | TextType() | BytesType() | InstantType() | DurationType():
            return True
        case TupleType(items=items):
            return all(map(orderable, items))
        case _:
            return False
