# SPDX-License-Identifier: Apache-2.0
"""Functions of a policy: their bodies typed once, when first called; and a stratum's functions."""

from __future__ import annotations

import ast

from transect.base.diagnostic import Diagnostic, Label, closest
from transect.base.span import Span
from transect.core import ir
from transect.core.frontend.bodies.context import Scope, Signature
from transect.core.frontend.bodies.facts import Changes, changes_of
from transect.core.frontend.bodies.typing import Typing
from transect.core.frontend.declare import qualified
from transect.core.frontend.members import Members, decorator_name, is_helper, marked
from transect.core.frontend.modules import ClassDef, FunctionDef, Module
from transect.core.frontend.nothing import check_values
from transect.core.ir import MIGRATIONS, Effect
from transect.core.types import (
    UNIT,
    OptionType,
    Type,
    UnitType,
    ViewType,
    an,
    spell,
)

MAX_ROUNDS = 32  # the type of a local widens once or twice, but one local may have to wait for another


class Helpers(Members):
    """Typing of whatever a handler calls."""

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
        if not is_helper(function):
            self.diagnostics.error(
                "P033",
                f"`{node.name}` is not marked as a helper",
                at,
                label="not part of a policy",
                help=marked(function),
                others=(Label(function.module.source.header(node), "defined here"),),
            )
            return None
        return self._helper(node.name, function.module, node, at, None)

    def check_all_of(self, module: Module) -> None:
        """The module's helpers, whether or not anybody calls them; those that nobody calls are no part of a program."""
        if id(module) in self.world.checked_modules:
            return
        self.world.checked_modules.add(id(module))
        used, intrinsics = dict(self.functions), dict(self.intrinsics)
        for binding in module.names.values():
            if isinstance(binding, FunctionDef) and binding.module is module and is_helper(binding):
                self.helper(binding, module.source.header(binding.node))
        self.functions, self.intrinsics = used, intrinsics

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
                    self._key(f"{parent.node.name}.{name}", node),
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
                self._key(f"{hook.owner.node.name}.{name}", hook.node),
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
        key = self._key(label or name, node)
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
        returns = UNIT if node.returns is None else self.world.result_type(module, node.returns)
        return None if returns is None else self._finish(key, module, node, tuple(params), returns, at, owner)

    def _key(self, name: str, node: ast.FunctionDef) -> str:
        """The function's name in the program: its own, with a number if a hook or another file's function has it."""
        key, n = name, 1
        while key in self.hooks or self.defined.setdefault(key, node) is not node:
            n += 1
            key = f"{name}_{n}"
        return key

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
            self.functions[key] = self._type(module, node, key, params, returns, owner, hook=hook)
            self.open.pop()
        return self.signatures[key]

    def changes(self, name: str) -> Changes | None:
        """What the helper may write; None when its body has a diagnostic, or is being typed."""
        if name not in self.changed and name not in self.open and name in self.functions:
            self.changed[name] = changes_of(self.functions[name].body, self.changes)
        return self.changed.get(name)

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
        mark = next((d for d in node.decorator_list if decorator_name(d) == "intrinsic"), None)
        if not isinstance(mark, ast.Call):
            return None
        effect = Effect(ast.literal_eval(mark.keywords[0].value))
        params = tuple(self._param(module, a) for a in args)
        if first is not None:
            params = (ir.Param("self", first, module.source.span(node)), *params)
        returns = UNIT if node.returns is None else self.world.result_type(module, node.returns)
        assert returns is not None, f"{name} has no legal result type"
        named = node.args.kwarg is not None
        self.intrinsics[name] = ir.IntrinsicDecl(name, params, returns, effect, named)
        return self.intrinsics[name]

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
    ) -> ir.Function:
        """Type a body until the types of its locals no longer widen."""
        reserved = frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name))
        scope = Scope({p.name: p.type for p in params}, reserved=reserved)
        earlier: list[Diagnostic] = []  # from rounds that were followed by another
        is_hook = hook or (name if name in self.hooks or name in MIGRATIONS else "")
        for _ in range(MAX_ROUNDS):
            scope.begin_round()
            typing = Typing(self.world, module, self, scope, returns, is_hook, owner)
            before = len(self.world.diagnostics)
            body = typing.block(node.body)
            if not scope.changed or len(self.world.diagnostics) > before:
                break
            earlier += typing.diagnostics
        else:
            self._unsettled(module, node, name)
        for d in typing.diagnostics:
            self.world.diagnostics.add(d)
        if not self.world.diagnostics.failed and None in scope.types.values():
            for (
                d
            ) in earlier:  # a local that hides a name its own value needs: only the first round reports it
                self.world.diagnostics.add(d)
        if len(self.world.diagnostics) == before:
            check_values(body, self.diagnostics)
        if typing.facts.live and not isinstance(returns, UnitType | OptionType):
            self._missing_return(module, node, name, returns)
        doc = ast.get_docstring(node) or ""
        return ir.Function(
            name, params, returns, body, scope.all_locals(), default, doc, span=module.source.header(node)
        )

    def _unsettled(self, module: Module, node: ast.FunctionDef, name: str) -> None:
        self.diagnostics.error(
            "P003",
            f"the types of the locals of `{name}` hang on each other in too long a chain",
            module.source.header(node),
            label=f"more than {MAX_ROUNDS} steps",
            help="say the types of some: `x: int | None = None`",
        )

    def _missing_return(self, module: Module, node: ast.FunctionDef, name: str, returns: Type) -> None:
        last = node.body[-1]
        self.diagnostics.error(
            "P023",
            f"`{name}` does not return on every path",
            module.source.header(last),
            label="this path returns nothing",
            help=f"end with `return` and {an(returns)}",
            others=(Label(module.source.header(node), f"must return `{spell(returns)}`"),),
        )
