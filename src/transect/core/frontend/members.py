# SPDX-License-Identifier: Apache-2.0
"""Members of a policy class: which fields and methods it has, its own and its base classes'."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from transect.base.diagnostic import Diagnostics, Label, closest
from transect.base.record import record
from transect.core import ir
from transect.core.frontend.bodies.context import Signature
from transect.core.frontend.bodies.facts import Changes
from transect.core.frontend.declare import World, qualified
from transect.core.frontend.fields import FieldReader
from transect.core.frontend.modules import (
    ClassDef,
    FunctionDef,
    Module,
    import_of,
    library_constant,
    surface_name,
)
from transect.core.ir import MIGRATIONS, StateField
from transect.core.types import (
    UNIT,
    OptionType,
    Type,
    UnionType,
    ViewType,
    spell,
)


@record
class Hook:
    """A hook of the stratum or shape, from the base class's source."""

    owner: ClassDef
    node: ast.FunctionDef
    params: tuple[ir.Param, ...]
    returns: Type
    required: bool
    intrinsic: bool  # a method which the runtime provides, called by policies
    nonempty: str | None
    ends: int | None = None  # the parameter that is no more afterwards


@dataclass(eq=False)
class Members:
    """A policy class with its base classes, and what they define; nothing, for a file which has only helpers."""

    world: World
    lineage: list[ClassDef] = field(default_factory=list)  # the class first, its library bases last
    hooks: dict[str, Hook] = field(default_factory=dict)
    fields: dict[str, StateField] = field(default_factory=dict)
    old_fields: dict[str, StateField] = field(default_factory=dict)
    misspelt: list[tuple[ClassDef, ast.FunctionDef, str]] = field(
        default_factory=list
    )  # and the hook that is meant
    broken: set[str] = field(default_factory=set)  # fields that have a diagnostic of their own
    nonempty: dict[str, str] = field(default_factory=dict)
    functions: dict[str, ir.Function] = field(
        default_factory=dict
    )  # in the order in which they were finished
    defined: dict[str, ast.FunctionDef] = field(default_factory=dict)  # name in the program -> its definition
    signatures: dict[str, Signature] = field(default_factory=dict)
    changed: dict[str, Changes | None] = field(default_factory=dict)  # what each typed helper may write
    open: list[str] = field(default_factory=list)  # helpers being typed, to find recursion
    intrinsics: dict[str, ir.IntrinsicDecl] = field(default_factory=dict)

    @property
    def base(self) -> ClassDef | None:
        """The library class that gives the hooks."""
        return next((c for c in self.lineage if c.module.library), None)

    @property
    def diagnostics(self) -> Diagnostics:
        return self.world.diagnostics

    def _scopes(self) -> tuple[str, ...]:
        base = self.base
        scopes = None if base is None else library_constant(base.module, "SCOPES")
        return (
            scopes
            if isinstance(scopes, tuple)
            else ("instance", "worker", "edge", "server", "client", "global", "cpu", "task")
        )

    def _locals(self) -> bool:
        base = self.base
        return base is not None and library_constant(base.module, "LOCALS") is not None

    def _read_fields(self) -> None:
        for cls in reversed(self.lineage):
            reader = FieldReader(self.world, cls.module, self._scopes(), locals=self._locals())
            for f in self._class_fields(cls, reader):
                self.fields[f.name] = f

    def _class_fields(self, cls: ClassDef, reader: FieldReader) -> list[StateField]:
        found: dict[str, StateField] = {}
        for node in cls.node.body:
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            name = node.target.id
            if name.startswith("__") or (name in self.hooks and cls is not self.base):
                self.diagnostics.error(
                    "P042",
                    f"`{name}` cannot be the name of a field",
                    cls.module.source.span(node),
                    label="the name of a hook" if name in self.hooks else "reserved",
                    help="choose another name",
                )
                continue
            if name in found:
                self.diagnostics.error(
                    "P042",
                    f"`{name}` is defined twice",
                    cls.module.source.span(node),
                    label="the second one",
                    others=(Label(found[name].span, "the first one"),),
                    help="give one of them another name",
                )
                continue
            f = reader.read(node, name)
            if f is None:
                self.broken.add(name)
            else:
                found[name] = f
        return list(found.values())

    def _check_members(self) -> None:
        for cls in self.lineage:
            if cls.module.library:
                continue
            seen: dict[str, ast.stmt] = {}
            for node in cls.node.body:
                self._check_member(cls, node, seen)
            for decorator in cls.node.decorator_list:
                self.diagnostics.error(
                    "P043",
                    "a policy takes no decorators",
                    cls.module.source.span(decorator),
                    label="not part of the language",
                    help="leave it out",
                )
            for keyword in cls.node.keywords:
                self.diagnostics.error(
                    "P043",
                    "a policy takes no class arguments",
                    cls.module.source.span(keyword),
                    label="not part of the language",
                    help="leave it out",
                )

    def _check_member(self, cls: ClassDef, node: ast.stmt, seen: dict[str, ast.stmt]) -> None:
        source = cls.module.source
        match node:
            case ast.FunctionDef(name=name):
                if name in seen:
                    self.diagnostics.error(
                        "P042",
                        f"`{name}` is defined twice",
                        source.header(node),
                        label="the second one",
                        others=(Label(source.header(seen[name]), "the first one"),),
                        help="give one of them another name",
                    )
                seen[name] = node
                self._check_method(cls, node)
            case ast.AnnAssign(target=ast.Name()) | ast.Pass() | ast.Expr(value=ast.Constant()):
                pass
            case ast.AsyncFunctionDef():
                self.diagnostics.error(
                    "P015",
                    "`async` has no meaning in a policy",
                    source.header(node),
                    label="not part of the language",
                    help="write `def`; handlers never wait",
                )
            case ast.Assign(targets=[ast.Name(id=name)]):
                self.diagnostics.error(
                    "P028",
                    f"`{name}` has no type",
                    source.span(node),
                    label="not a state field",
                    help=f"annotate it: `{name}: int = …`",
                )
            case _:
                self.diagnostics.error(
                    "P043",
                    "only fields and methods may stand in a policy",
                    source.header(node),
                    label="not part of the language",
                    help="move it into a handler or helper",
                )

    def _check_method(self, cls: ClassDef, node: ast.FunctionDef) -> None:
        source = cls.module.source
        for decorator in node.decorator_list:
            self.diagnostics.error(
                "P043",
                f"`{node.name}` takes no decorators",
                source.span(decorator),
                label="not part of the language",
                help="leave it out",
            )
        name = node.name
        if name.startswith("__"):
            self.diagnostics.error(
                "P043",
                f"`{name}` has no meaning in a policy",
                source.header(node),
                label="a special method",
                help="give state its first values in the class; parameters come from `param(…)`",
            )
        elif name.startswith("_") or name in MIGRATIONS:
            return
        elif name not in self.hooks or self.hooks[name].intrinsic:
            known = self.hook_names()
            close = closest(name, known)
            if close is not None:
                self.misspelt.append((cls, node, close))
            base = self.base
            self.diagnostics.error(
                "P008",
                f"`{qualified(base) if base else '?'}` has no hook `{name}`",
                source.header(node),
                label="unknown hook",
                help=f"write `def {close}`"
                if close
                else f"hooks are {', '.join(known)}; helper methods begin with `_`",
            )

    def method(self, name: str) -> tuple[ClassDef, ast.FunctionDef] | None:
        """The user's own method, from the class nearest."""
        return self._method_from(self.lineage, name)

    def _method_from(self, lineage: list[ClassDef], name: str) -> tuple[ClassDef, ast.FunctionDef] | None:
        for cls in lineage:
            node = None if cls.module.library else self.world.method(cls, name)
            if node is not None:
                return cls, node
        return None

    def method_names(self) -> list[str]:
        return [
            n.name
            for c in self.lineage
            if not c.module.library
            for n in c.node.body
            if isinstance(n, ast.FunctionDef)
        ]

    def hook_names(self) -> list[str]:
        return [name for name, h in self.hooks.items() if not h.intrinsic]

    # ------------------------------------------------------------ parameters

    def _param(self, module: Module, arg: ast.arg) -> ir.Param:
        t = None if arg.annotation is None else self.world.type_of(module, arg.annotation)
        assert t is not None, f"{module.name}: parameter {arg.arg} has no legal type"
        return ir.Param(arg.arg, t, module.source.span(arg))

    def _hook_params(self, module: Module, node: ast.FunctionDef, hook: Hook) -> tuple[ir.Param, ...] | None:
        """The policy's own names and narrower views for the hook's parameters."""
        args = [*node.args.posonlyargs, *node.args.args]
        extra = (
            node.args.vararg or node.args.kwarg or (node.args.kwonlyargs[0] if node.args.kwonlyargs else None)
        )
        help = f"write `def {node.name}({signature(hook)}) -> {spell(hook.returns)}:`"
        if extra is not None or node.args.defaults:
            self.diagnostics.error(
                "P020" if extra else "P009",
                f"`{node.name}` takes plain parameters",
                module.source.span(extra or node.args.defaults[0]),
                label="not a plain parameter",
                help=help,
            )
            return None
        if len(args) != len(hook.params) + 1 or args[0].arg != "self":
            self.diagnostics.error(
                "P009",
                f"`{node.name}` takes {len(hook.params) + 1} parameters, `self` among them",
                module.source.header(node),
                label=f"{len(args)} here",
                help=help,
            )
            return None
        self._check_returns(module, node, hook.returns)
        found = [self._hook_param(module, a, p) for a, p in zip(args[1:], hook.params, strict=True)]
        good = tuple(f for f in found if f is not None)
        return good if len(good) == len(found) else None

    def _hook_param(self, module: Module, arg: ast.arg, declared: ir.Param) -> ir.Param | None:
        t = declared.type if arg.annotation is None else self.world.type_of(module, arg.annotation)
        if t is None:
            return None
        same_view = (
            isinstance(t, ViewType) and isinstance(declared.type, ViewType) and t.name == declared.type.name
        )
        if t != declared.type and not same_view:
            self.diagnostics.error(
                "P009",
                f"`{arg.arg}` is `{spell(declared.type)}` in this hook, not `{spell(t)}`",
                module.source.span(arg),
                label=f"`{spell(t)}`",
                help=f"write `{arg.arg}: {spell(declared.type).replace('[Any, Any]', '[…]')}`",
            )
            return None
        return ir.Param(arg.arg, t, module.source.span(arg))

    def _check_returns(self, module: Module, node: ast.FunctionDef, returns: Type) -> None:
        """The annotation may be narrower than the hook's result (`Forward` for `Verdict`)."""
        if node.returns is None:
            return
        t = self.world.result_type(module, node.returns)
        fits = (
            t is None
            or t == returns
            or (isinstance(returns, UnionType) and t in returns.cases)
            or (isinstance(returns, OptionType) and t in (returns.item, UNIT))
        )
        if not fits and t is not None:
            self.diagnostics.error(
                "P009",
                f"`{node.name}` returns `{spell(returns)}`, not `{spell(t)}`",
                module.source.span(node.returns),
                label=f"`{spell(t)}`",
                help=f"write `-> {spell(returns)}`",
            )


def signature(hook: Hook) -> str:
    return ", ".join(["self", *(f"{p.name}: {spell(p.type)}" for p in hook.params)])


def is_helper(function: FunctionDef) -> bool:
    """Whether a module's function is marked `@helper`."""
    return any(surface_name(function.module, d) == "helper" for d in function.node.decorator_list)


def marked(function: FunctionDef) -> str:
    """How to mark it."""
    if "helper" in map(decorator_name, function.node.decorator_list):
        return f"import the mark: `{import_of('helper')}`"
    return f"put `@helper` above `def {function.node.name}`"


def decorator_name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Call(func=ast.Name(id=name)):
            return name
        case _:
            return ""
