# SPDX-License-Identifier: Apache-2.0
"""Whether a program declares nothing but what the library gives and a policy may have: for programs that come as text.

The front end makes only such programs, so `verify.py` does not check this again after each pass; a text may say
anything.

| code | what does not hold                                                                    |
|------|---------------------------------------------------------------------------------------|
| I011 | the base class is one of the stratum's; handlers are its hooks, with their signatures |
| I012 | a function is the language's own, or the stratum's with its own signature             |
| I013 | a view is the library's, or derives from one of it; `given` fields are of such a view |
| I014 | a name is one that a policy file can write                                            |
| I015 | sizes, bounds and nesting are within those that the front end takes                   |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from transect.base.diagnostic import Diagnostic, Severity
from transect.base.span import NOWHERE, Span
from transect.core import ir
from transect.core.frontend.bodies.sources import MAX_STEPS
from transect.core.frontend.fields import MAX_CAPACITY, MERGES
from transect.core.frontend.interface import Hook, Interface, interface
from transect.core.ir import MIGRATIONS, FieldKind, Function, Program
from transect.core.rules import LANGUAGE
from transect.core.types import (
    UNIT,
    ArrayType,
    BytesType,
    CounterType,
    DictType,
    EnumType,
    HistogramType,
    KeyType,
    OptionType,
    SeqType,
    SetType,
    StructType,
    TableType,
    TextType,
    TupleType,
    Type,
    UnionType,
    UnitType,
    ViewType,
    spell,
)
from transect.core.walk import Node, children

# Nested nodes: every later walk, of four calls a node at most, stays within Python's own limit.
MAX_DEPTH = 200
MAX_TYPE_DEPTH = 30
ANY = "Any"


def verify_interface(program: Program) -> list[Diagnostic]:
    """What the program declares beyond what it may; empty when there is nothing."""
    given = interface(program.stratum, program.base)
    if given is None:
        text = f"there is no base class {program.base!r} in {program.stratum or 'the shapes'}"
        return [Diagnostic(Severity.ERROR, "I011", text, NOWHERE)]
    check = _Declared(program, given)
    check.program_()
    return check.found


class _Declared:
    def __init__(self, program: Program, given: Interface) -> None:
        self.program = program
        self.given = given
        self.views = {v.name: v for v in program.views}
        self.sound: set[Type] = set()  # types that were looked at
        self.found: list[Diagnostic] = []

    def report(self, code: str, message: str, span: Span = NOWHERE) -> None:
        self.found.append(Diagnostic(Severity.ERROR, code, message, span))

    def program_(self) -> None:
        p = self.program
        self.names((p.name, *(s.name for s in p.structs), *(u.name for u in p.unions)), NOWHERE)
        for view in p.views:
            self.view(view)
        for intrinsic in p.intrinsics:
            self.intrinsic(intrinsic)
        for field in (*p.state, *p.old_state):
            self.field(field)
        for function in (*p.functions, *p.handlers):
            self.function(function)
        for handler in p.handlers:
            self.handler(handler)
        for name, hook in self.given.hooks.items():
            if hook.required and p.handler(name) is None:
                self.report("I011", f"the hook {name} is missing")
        for given, t in self.given.given.items():
            if not any(f.name == given and f.kind is FieldKind.GIVEN and f.type == t for f in p.state):
                self.report("I013", f"the base class gives .{given}, which is not declared")

    # ---------------------------------------------------------------- declarations

    def names(self, names: Iterable[str], span: Span) -> None:
        for name in names:
            if not all(map(_is_name, name.split("."))):
                self.report("I014", f"{name!r:.80} is no name", span)

    def view(self, view: ir.View) -> None:
        self.names((view.name, *view.params, *(m.name for m in view.members)), view.span)
        for member in view.members:
            self.type(member.type, member.span, params=frozenset(view.params))
            if not _may_be_member(member.type):
                self.report("I013", f"{view.name}.{member.name} cannot be {spell(member.type)}", member.span)
            if member.secret and not isinstance(member.type, TextType):
                self.report("I013", f"{view.name}.{member.name} cannot be secret", member.span)
        if self.given.views.get(view.name) == view:
            return
        above = self.given.bases.get(view.base)
        if above is None or view.params:
            self.report("I013", f"{view.name} is no view of the library, and derives from none", view.span)
        elif any(m not in view.members and view.member(m.name) is None for m in above.members):
            self.report("I013", f"{view.name} lacks members of {view.base}", view.span)
        elif any(m.writable or m.secret for m in view.members) and view.base not in self.given.writable:
            self.report("I013", f"the members of {view.name} are read-only, and none is secret", view.span)

    def intrinsic(self, declared: ir.IntrinsicDecl) -> None:
        if self.given.intrinsics.get(declared.name) != declared:
            self.report("I012", f"the stratum has no {declared.name} with this signature")

    def field(self, field: ir.StateField) -> None:
        self.names((field.name.removeprefix("old."),), field.span)
        self.type(field.type, field.span)
        options = field.options
        if options.scope not in self.given.scopes or options.merge not in (None, *MERGES):
            self.report("I011", f"the options of .{field.name} are unknown", field.span)
        if not (type(options.persist) is type(options.exclusive) is bool):
            self.report("I011", f"the options of .{field.name} are no yes or no", field.span)
        if options.was is not None and not (isinstance(options.was, str) and _is_name(options.was)):
            self.report("I014", f"{options.was!r:.80} is no name", field.span)
        match field.type:
            case ViewType() if field.kind is FieldKind.GIVEN:
                pass
            case t if field.kind is FieldKind.GIVEN and self.given.given.get(field.name) != t:
                self.report("I013", f"nobody gives .{field.name}", field.span)
            case TableType() | ArrayType() | CounterType() | HistogramType() if (
                field.kind is not FieldKind.STATE and field.kind is not FieldKind.GIVEN
            ):
                self.report("I011", f".{field.name} cannot be a {field.kind}", field.span)
            case _:
                pass

    def handler(self, handler: Function) -> None:
        types = tuple(p.type for p in handler.params)
        if handler.name in MIGRATIONS:
            fits = len(types) == 1 and isinstance(types[0], ViewType) and handler.returns == UNIT
        else:
            hook = self.given.hooks.get(handler.name)
            fits = hook is not None and handler.returns == hook.returns and _same(hook, types)
        if not fits:
            self.report("I011", f"{handler.name} is no hook of {self.program.base}", handler.span)

    # ---------------------------------------------------------------- functions

    def function(self, function: Function) -> None:
        names = (*(p.name for p in function.params), *(name for name, _ in function.locals))
        self.names((function.name, *names), function.span)
        old = function.name in MIGRATIONS
        for t in chain(
            (p.type for p in function.params), (t for _, t in function.locals), (function.returns,)
        ):
            self.type(t, function.span, params=_names_of(t) if old else frozenset())
        for node, depth in _nodes(function.body):
            if depth > MAX_DEPTH:
                self.report("I015", f"{function.name} is nested more than {MAX_DEPTH} levels", function.span)
                return
            self.node(node, function)

    def node(self, node: Node, function: Function) -> None:
        if isinstance(node, ir.Intrinsic):
            self.call(node)
        if isinstance(node, ir.OverRange) and not 0 <= node.bound <= MAX_STEPS:
            self.report("I015", f"a loop of {node.bound} steps", node.span)
        elif isinstance(node, ir.Expr) and node.type not in self.sound:
            self.type(
                node.type,
                node.span,
                params=_names_of(node.type) if function.name in MIGRATIONS else frozenset(),
            )

    def call(self, node: ir.Intrinsic) -> None:
        if node.name in LANGUAGE:
            return
        declared = self.given.intrinsics.get(node.name)
        if declared is None:
            self.report("I012", f"neither the language nor the stratum has {node.name}", node.span)
        elif declared.named:
            keywords = node.args[len(declared.params) :: 2]
            self.names((str(k.value) for k in keywords if isinstance(k, ir.Const)), node.span)

    # ---------------------------------------------------------------- types

    def type(self, t: Type, span: Span, params: frozenset[str] = frozenset(), depth: int = 0) -> None:
        if t in self.sound:
            return
        if depth > MAX_TYPE_DEPTH:
            self.report("I015", f"a type of more than {MAX_TYPE_DEPTH} levels", span)
            return
        match t:
            case ViewType(name=name):
                if name != ANY and name not in params and name not in self.views:
                    self.report("I013", f"there is no view {name!r:.80}", span)
            case KeyType(name=name):
                if name not in self.given.keys:
                    self.report("I013", f"nobody hands out a {name!r:.80}", span)
            case EnumType(name=name, members=members):
                self.names((name, *(member for member, _ in members)), span)
            case StructType(name=name, fields=fields):
                self.names((name, *(f.name for f in fields)), span)
            case UnionType(name=name) if name:
                self.names((name,), span)
            case TextType(bound=size) | BytesType(bound=size) | SetType(bound=size) if size is not None:
                self.size(size, span)
            case TableType(capacity=size) | ArrayType(length=size):
                self.size(size, span)
            case _:
                pass
        for inner in _inner(t):
            self.type(inner, span, params, depth + 1)
        if not params:
            self.sound.add(t)

    def size(self, size: object, span: Span) -> None:
        if type(size) is not int or not 0 <= size <= MAX_CAPACITY:
            self.report("I015", f"a size of {size!r:.40}", span)


def _is_name(name: str) -> bool:
    """Whether a policy file can write it: nothing that Python gives another meaning."""
    return name.isidentifier() and not name.startswith("__")


def _names_of(t: Type) -> frozenset[str]:
    return frozenset((t.name,)) if isinstance(t, ViewType) else frozenset()


def _same(hook: Hook, types: tuple[Type, ...]) -> bool:
    """Whether parameters are the hook's; a view may say which views its type parameters are."""
    return len(types) == len(hook.params) and all(
        t == wanted or (isinstance(t, ViewType) and isinstance(wanted, ViewType) and t.name == wanted.name)
        for t, wanted in zip(types, hook.params, strict=True)
    )


def _may_be_member(t: Type) -> bool:
    return not isinstance(t, TableType | ArrayType | CounterType | HistogramType | UnionType | UnitType)


def _inner(t: Type) -> tuple[Type, ...]:
    match t:
        case ViewType(arguments=inner) | TupleType(items=inner) | UnionType(cases=inner):
            return tuple(inner)
        case OptionType(item=item) | SeqType(item=item) | SetType(item=item) | ArrayType(item=item):
            return (item,)
        case DictType(key=key, value=value) | TableType(key=key, value=value):
            return (key, value)
        case StructType(fields=fields):
            return tuple(f.type for f in fields)
        case _:
            return ()


def _nodes(block: ir.Block) -> Iterator[tuple[Node, int]]:
    """Every node with its depth."""
    rest: list[tuple[Node, int]] = [(s, 1) for s in block]
    while rest:
        node, depth = rest.pop()
        yield node, depth
        rest += [(child, depth + 1) for child in children(node)]
