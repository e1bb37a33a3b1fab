# SPDX-License-Identifier: Apache-2.0
"""A policy class to a program: its fields, hooks, helpers, and everything that they reach."""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass, field

from transect.base.diagnostic import Diagnostics, Label, closest
from transect.base.span import Span
from transect.core import ir
from transect.core.frontend.declare import World, qualified
from transect.core.frontend.fields import FieldReader
from transect.core.frontend.modules import ClassDef, FunctionDef, Module, library_constant
from transect.core.frontend.statements import Statements
from transect.core.frontend.typing import Scope, Signature
from transect.core.ir import Effect, Program, Stage, StateField
from transect.core.types import (
    UNIT,
    KeyType,
    OptionType,
    StructType,
    TableType,
    Type,
    UnionType,
    UnitType,
    ViewType,
    spell,
)

MIGRATIONS = ("migrate", "migrate_back")
MAX_ROUNDS = 8  # types of locals only widen; a local widens at most a few times


@dataclass(frozen=True)
class Hook:
    """A hook of the stratum or shape, from the base class's source."""

    owner: ClassDef
    node: ast.FunctionDef
    params: tuple[ir.Param, ...]
    returns: Type
    required: bool
    intrinsic: bool  # a method which the runtime provides, called by policies
    nonempty: str | None


@dataclass(eq=False)
class PolicyClass:
    """One policy and its base classes, and the functions typed so far."""

    world: World
    cls: ClassDef
    lineage: list[ClassDef] = field(default_factory=list)  # the class first, its library bases last
    hooks: dict[str, Hook] = field(default_factory=dict)
    fields: dict[str, StateField] = field(default_factory=dict)
    old_fields: dict[str, StateField] = field(default_factory=dict)
    nonempty: dict[str, str] = field(default_factory=dict)
    functions: dict[str, ir.Function] = field(
        default_factory=dict
    )  # in the order in which they were finished
    signatures: dict[str, Signature] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)  # helpers being typed, to find recursion
    intrinsics: dict[str, ir.IntrinsicDecl] = field(default_factory=dict)

    # ------------------------------------------------------------ building

    def build(self) -> Program | None:
        before = sum(d.is_error for d in self.world.diagnostics)
        self._lineage()
        base = self.base
        if base is None:
            return None
        self._read_hooks()
        self._read_fields()
        self._check_members()
        handlers = [
            h
            for name, hook in self.hooks.items()
            if not hook.intrinsic and (h := self._handler(name, hook)) is not None
        ]
        handlers += [m for name in MIGRATIONS if (m := self._migration(name)) is not None]
        if sum(d.is_error for d in self.world.diagnostics) > before:
            return None
        return self._program(base, handlers)

    @property
    def base(self) -> ClassDef | None:
        """The library class that gives the hooks."""
        return next((c for c in self.lineage if c.module.library), None)

    @property
    def diagnostics(self) -> Diagnostics:
        return self.world.diagnostics

    def _lineage(self) -> None:
        current: ClassDef | None = self.cls
        while current is not None and current not in self.lineage:
            self.lineage.append(current)
            bases = self.world.bases(current)
            if len(bases) > 1:
                self.diagnostics.error(
                    "P043",
                    f"`{current.node.name}` has several base classes",
                    current.module.source.header(current.node),
                    label="one base class only",
                    help="derive from one policy or base class; share code by helpers",
                )
            current = next((b for b in bases if isinstance(b, ClassDef)), None)

    def _program(self, base: ClassDef, handlers: list[ir.Function]) -> Program:
        module = self.cls.module
        structs: dict[str, StructType] = {}
        unions: dict[str, UnionType] = {}
        views: dict[str, ir.View] = {}
        collector = _Collector(self.world, structs, unions, views)
        for f in self.fields.values():
            collector.add(f.type)
        for function in [*self.functions.values(), *handlers]:
            for t in [function.returns, *(p.type for p in function.params), *(t for _, t in function.locals)]:
                collector.add(t)
        for decl in self.intrinsics.values():
            for t in [decl.returns, *(p.type for p in decl.params)]:
                collector.add(t)
        return Program(
            name=self.cls.node.name,
            stratum=base.module.stratum,
            base=qualified(base),
            path=module.source.path,
            source_hash=self._hash(),
            stage=Stage.CHECKED,
            structs=tuple(structs.values()),
            unions=tuple(unions.values()),
            views=tuple(views.values()),
            intrinsics=tuple(self.intrinsics.values()),
            state=tuple(self.fields.values()),
            functions=tuple(self.functions.values()),
            handlers=tuple(handlers),
            old_state=tuple(self.old_fields.values()),
            doc=ast.get_docstring(self.cls.node) or "",
        )

    def _hash(self) -> str:
        texts = sorted(
            {c.module.source.text for c in self.lineage if not c.module.library}
            | {self.cls.module.source.text}
        )
        return hashlib.sha256("\0".join(texts).encode()).hexdigest()

    # ------------------------------------------------------------ hooks

    def _read_hooks(self) -> None:
        for cls in reversed([c for c in self.lineage if c.module.library]):
            for node in cls.node.body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("__"):
                    self.hooks[node.name] = self._hook(cls, node)
        self.nonempty = {name: h.nonempty for name, h in self.hooks.items() if h.nonempty is not None}

    def _hook(self, cls: ClassDef, node: ast.FunctionDef) -> Hook:
        module = cls.module
        params = tuple(self._param(module, a) for a in [*node.args.posonlyargs, *node.args.args][1:])
        returns = UNIT if node.returns is None else self.world.type_of(module, node.returns)
        assert returns is not None, f"{module.name}.{node.name} has no legal result type"
        marks = {_decorator_name(d): d for d in node.decorator_list}
        nonempty = marks.get("nonempty")
        given = ast.literal_eval(nonempty.args[0]) if isinstance(nonempty, ast.Call) else None
        return Hook(cls, node, params, returns, _is_stub(node), "intrinsic" in marks, given)

    def _param(self, module: Module, arg: ast.arg) -> ir.Param:
        t = None if arg.annotation is None else self.world.type_of(module, arg.annotation)
        assert t is not None, f"{module.name}: parameter {arg.arg} has no legal type"
        return ir.Param(arg.arg, t, module.source.span(arg))

    def _handler(self, name: str, hook: Hook) -> ir.Function | None:
        found = self.method(name)
        if found is None:
            if hook.required:
                self.diagnostics.error(
                    "P008",
                    f"`{self.cls.node.name}` does not define `{name}`",
                    self.cls.module.source.header(self.cls.node),
                    label=f"`{qualified(hook.owner)}` needs it",
                    help=f"write `def {name}({_signature(hook)}) -> {spell(hook.returns)}:`",
                )
                return None
            return self._type(
                hook.owner.module, hook.node, name, hook.params, hook.returns, hook.owner, default=True
            )
        owner, node = found
        params = self._hook_params(owner.module, node, hook)
        return None if params is None else self._type(owner.module, node, name, params, hook.returns, owner)

    def _hook_params(self, module: Module, node: ast.FunctionDef, hook: Hook) -> tuple[ir.Param, ...] | None:
        """The policy's own names and narrower views for the hook's parameters."""
        args = [*node.args.posonlyargs, *node.args.args]
        extra = (
            node.args.vararg or node.args.kwarg or (node.args.kwonlyargs[0] if node.args.kwonlyargs else None)
        )
        help = f"write `def {node.name}({_signature(hook)}) -> {spell(hook.returns)}:`"
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
        t = self.world.type_of(module, node.returns)
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

    def _migration(self, name: str) -> ir.Function | None:
        """`migrate(self, old: V1)`: the fields of V1 are readable as `old.field`."""
        found = self.method(name)
        if found is None:
            return None
        owner, node = found
        args = [*node.args.posonlyargs, *node.args.args]
        annotation = args[1].annotation if len(args) == 2 else None
        binding = None if annotation is None else self.world.binding(owner.module, annotation)
        if not isinstance(binding, ClassDef) or self.world.kind(binding) != "old":
            self.diagnostics.error(
                "P048",
                f"`{name}` takes the old state",
                owner.module.source.header(node),
                label="no class of old state",
                help=f"write `def {name}(self, old: V1) -> None:` and `class V1(OldState):` with the old fields",
            )
            return None
        reader = FieldReader(self.world, binding.module, self._scopes())
        self.old_fields = {f"old.{f.name}": _renamed(f) for f in self._class_fields(binding, reader)}
        params = (ir.Param(args[1].arg, ViewType(binding.node.name), owner.module.source.span(args[1])),)
        return self._type(owner.module, node, name, params, UNIT, owner)

    # ------------------------------------------------------------ members

    def _scopes(self) -> tuple[str, ...]:
        base = self.base
        scopes = None if base is None else library_constant(base.module, "SCOPES")
        return (
            scopes
            if isinstance(scopes, tuple)
            else ("instance", "worker", "edge", "server", "client", "global", "cpu", "task")
        )

    def _read_fields(self) -> None:
        for cls in reversed(self.lineage):
            reader = FieldReader(self.world, cls.module, self._scopes())
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
            if f is not None:
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
            if not cls.module.library:
                for node in cls.node.body:
                    if isinstance(node, ast.FunctionDef) and node.name == name:
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

    # ------------------------------------------------------------ what function bodies call

    def helper_method(self, name: str, at: Span) -> Signature | None:
        found = self.method(name)
        if found is None:
            close = closest(name, [m for m in self.method_names() if m.startswith("_")])
            self.diagnostics.error(
                "P033",
                f"no helper `{name}`",
                at,
                label="not defined in this policy",
                help=f"write `self.{close}(…)`" if close else f"define it: `def {name}(self, …)`",
            )
            return None
        owner, node = found
        return self._helper(name, owner.module, node, at, owner)

    def helper(self, function: FunctionDef, at: Span) -> Signature | None:
        node = function.node
        if "helper" not in map(_decorator_name, node.decorator_list):
            self.diagnostics.error(
                "P033",
                f"`{node.name}` is not marked as a helper",
                at,
                label="not part of a policy",
                help=f"put `@helper` above `def {node.name}`",
                others=(Label(function.module.source.header(node), "defined here"),),
            )
            return None
        return self._helper(node.name, function.module, node, at, None)

    def parent_hook(self, name: str, owner: ClassDef, at: Span) -> Signature | None:
        """`super().hook(…)`: the next definition above, else the stratum's default."""
        above = self.lineage[self.lineage.index(owner) + 1 :]
        found = self._method_from(above, name)
        hook = self.hooks.get(name)
        if found is not None and hook is not None:
            parent, node = found
            params = self._hook_params(parent.module, node, hook)
            return (
                None
                if params is None
                else self._finish(
                    f"{parent.node.name}.{name}",
                    parent.module,
                    node,
                    params,
                    hook.returns,
                    at,
                    parent,
                    hook=name,
                )
            )
        if found is not None:
            parent, node = found
            return self._helper(name, parent.module, node, at, parent, label=f"{parent.node.name}.{name}")
        if hook is not None and not hook.required and not hook.intrinsic:
            return self._finish(
                f"{hook.owner.node.name}.{name}",
                hook.owner.module,
                hook.node,
                hook.params,
                hook.returns,
                at,
                hook.owner,
                hook=name,
            )
        self.diagnostics.error(
            "P033", f"no class above has `{name}`", at, label="nothing to call", help="leave it out"
        )
        return None

    def _helper(
        self,
        name: str,
        module: Module,
        node: ast.FunctionDef,
        at: Span,
        owner: ClassDef | None,
        label: str = "",
    ) -> Signature | None:
        key = label or name
        if key in self.signatures and key not in self.open:
            return self.signatures[key]
        if node.args.vararg or node.args.kwarg or node.args.kwonlyargs or node.args.defaults:
            self.diagnostics.error(
                "P020",
                f"`{name}` takes plain parameters",
                module.source.header(node),
                label="defaults, `*` or `**`",
                help="write each parameter with its type",
            )
            return None
        args = [*node.args.posonlyargs, *node.args.args]
        if owner is not None and (not args or args[0].arg != "self"):
            self.diagnostics.error(
                "P009",
                f"`{name}` is a method without `self`",
                module.source.header(node),
                label="no `self`",
                help=f"write `def {name}(self, …)`",
            )
            return None
        params = []
        for a in args[1:] if owner is not None else args:
            if a.annotation is None:
                self.diagnostics.error(
                    "P009",
                    f"`{a.arg}` has no type",
                    module.source.span(a),
                    label="no annotation",
                    help=f"write `{a.arg}: int`",
                )
                return None
            t = self.world.type_of(module, a.annotation)
            if t is None:
                return None
            params.append(ir.Param(a.arg, t, module.source.span(a)))
        returns = UNIT if node.returns is None else self.world.type_of(module, node.returns)
        return None if returns is None else self._finish(key, module, node, tuple(params), returns, at, owner)

    def _finish(
        self,
        key: str,
        module: Module,
        node: ast.FunctionDef,
        params: tuple[ir.Param, ...],
        returns: Type,
        at: Span,
        owner: ClassDef | None,
        hook: str = "",
    ) -> Signature | None:
        """Type a helper once; a call of one that is being typed is recursion."""
        if key in self.open:
            self.diagnostics.error(
                "P018",
                f"`{key}` calls itself",
                at,
                label="recursion",
                help="write a bounded loop: `for i in range(64):`",
                others=(Label(module.source.header(node), "defined here"),),
            )
            return None
        if key not in self.signatures:
            self.signatures[key] = Signature(key, params, returns)
            self.open.append(key)
            function = self._type(module, node, key, params, returns, owner, hook=hook)
            self.open.pop()
            if function is not None:
                self.functions[key] = function
        return self.signatures[key]

    def stratum_function(self, function: FunctionDef) -> ir.IntrinsicDecl | None:
        name = (
            f"{function.module.stratum}.{function.node.name}"
            if function.module.stratum
            else function.node.name
        )
        return self._declare(
            name, function.module, function.node, [*function.node.args.posonlyargs, *function.node.args.args]
        )

    def view_method(self, view: str, name: str) -> ir.IntrinsicDecl | None:
        node = self.world.view_methods.get(view, {}).get(name)
        if node is None:
            return None
        module = self.world.view_modules[view]
        return self._declare(
            f"{module.stratum}.{view}.{name}",
            module,
            node,
            [*node.args.posonlyargs, *node.args.args][1:],
            ViewType(view),
        )

    def own_method(self, name: str) -> ir.IntrinsicDecl | None:
        """A method of the base class which the runtime provides (`self.report(…)`)."""
        hook = self.hooks.get(name)
        if hook is None or not hook.intrinsic:
            return None
        return self._declare(
            f"{qualified(hook.owner)}.{name}",
            hook.owner.module,
            hook.node,
            [*hook.node.args.posonlyargs, *hook.node.args.args][1:],
        )

    def _declare(
        self, name: str, module: Module, node: ast.FunctionDef, args: list[ast.arg], first: Type | None = None
    ) -> ir.IntrinsicDecl | None:
        if name in self.intrinsics:
            return self.intrinsics[name]
        mark = next((d for d in node.decorator_list if _decorator_name(d) == "intrinsic"), None)
        if not isinstance(mark, ast.Call):
            return None
        effect = Effect(ast.literal_eval(mark.keywords[0].value))
        params = tuple(self._param(module, a) for a in args)
        if first is not None:
            params = (ir.Param("self", first, module.source.span(node)), *params)
        returns = UNIT if node.returns is None else self.world.type_of(module, node.returns)
        assert returns is not None, f"{name} has no legal result type"
        self.intrinsics[name] = ir.IntrinsicDecl(name, params, returns, effect)
        return self.intrinsics[name]

    # ------------------------------------------------------------ bodies

    def _type(
        self,
        module: Module,
        node: ast.FunctionDef,
        name: str,
        params: tuple[ir.Param, ...],
        returns: Type,
        owner: ClassDef | None,
        default: bool = False,
        hook: str = "",
    ) -> ir.Function | None:
        """Type a body until the types of its locals no longer widen."""
        reserved = frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name))
        scope = Scope({p.name: p.type for p in params}, reserved=reserved)
        is_hook = hook or (name if name in self.hooks or name in MIGRATIONS else "")
        for _ in range(MAX_ROUNDS):
            scope.begin_round()
            typing = Statements(self.world, module, self, scope, returns, is_hook, owner)
            before = len(self.world.diagnostics)
            body = typing.block(node.body)
            if not scope.changed or len(self.world.diagnostics) > before:
                break
        for d in typing.diagnostics:
            self.world.diagnostics.add(d)
        if typing.facts.live and not isinstance(returns, UnitType | OptionType):
            self._missing_return(module, node, name, returns)
        doc = ast.get_docstring(node) or ""
        return ir.Function(
            name, params, returns, body, scope.all_locals(), default, doc, span=module.source.header(node)
        )

    def _missing_return(self, module: Module, node: ast.FunctionDef, name: str, returns: Type) -> None:
        last = node.body[-1]
        self.diagnostics.error(
            "P023",
            f"`{name}` does not return on every path",
            module.source.header(last),
            label="this path returns nothing",
            help=f"end with `return` and a `{spell(returns)}`",
            others=(Label(module.source.header(node), f"must return `{spell(returns)}`"),),
        )


def _decorator_name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Call(func=ast.Name(id=name)):
            return name
        case _:
            return ""


def _is_stub(node: ast.FunctionDef) -> bool:
    """`...` after the docstring: no default."""
    last = node.body[-1]
    return (
        isinstance(last, ast.Expr) and isinstance(last.value, ast.Constant) and last.value.value is Ellipsis
    )


def _signature(hook: Hook) -> str:
    return ", ".join(["self", *(f"{p.name}: {spell(p.type)}" for p in hook.params)])


def _renamed(f: StateField) -> StateField:
    return ir.StateField(f"old.{f.name}", f.type, f.kind, f.default, f.options, f.doc, span=f.span)


@dataclass(eq=False)
class _Collector:
    """The structs, unions and views that a program's types mention, each after those it is made of."""

    world: World
    structs: dict[str, StructType]
    unions: dict[str, UnionType]
    views: dict[str, ir.View]

    def add(self, t: Type) -> None:
        match t:
            case StructType():
                for f in t.fields:
                    self.add(f.type)
                self.structs.setdefault(t.name, t)
            case UnionType():
                for case in t.cases:
                    self.add(case)
                self.unions.setdefault(t.name, t)
            case ViewType():
                self._view(t)
            case TableType(key=key, value=value):
                self.add(key)
                self.add(value)
            case OptionType(item=item):
                self.add(item)
            case _:
                for inner in getattr(t, "items", ()) or (
                    getattr(t, "item", None),
                    getattr(t, "key", None),
                    getattr(t, "value", None),
                ):
                    if inner is not None and not isinstance(inner, KeyType):
                        self.add(inner)

    def _view(self, t: ViewType) -> None:
        for argument in t.arguments:
            self.add(argument)
        view = self.world.find_view(t.name)
        if view is None or t.name in self.views:
            return
        self.views[t.name] = view
        for member in view.members:
            self.add(member.type)
