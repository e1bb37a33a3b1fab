# SPDX-License-Identifier: Apache-2.0
"""The hooks of a policy: what the base class declares, and how the policy's own definitions fit."""

from __future__ import annotations

import ast

from transect.core import ir
from transect.core.frontend.declare import World, qualified
from transect.core.frontend.endings import ending
from transect.core.frontend.fields import FieldReader
from transect.core.frontend.helpers import Helpers
from transect.core.frontend.members import Hook, decorator_name, signature
from transect.core.frontend.modules import ClassDef
from transect.core.ir import StateField
from transect.core.types import (
    UNIT,
    ViewType,
    spell,
)


class Handlers(Helpers):
    """Reading of hooks, typing of handlers."""

    def __init__(self, world: World, cls: ClassDef) -> None:
        super().__init__(world)
        self.cls = cls

    def _read_hooks(self) -> None:
        for cls in reversed([c for c in self.lineage if c.module.library]):
            for node in cls.node.body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("__"):
                    self.hooks[node.name] = self._hook(cls, node)
        self.nonempty = {name: h.nonempty for name, h in self.hooks.items() if h.nonempty is not None}

    def _hook(self, cls: ClassDef, node: ast.FunctionDef) -> Hook:
        module = cls.module
        params = tuple(self._param(module, a) for a in [*node.args.posonlyargs, *node.args.args][1:])
        returns = UNIT if node.returns is None else self.world.result_type(module, node.returns)
        assert returns is not None, f"{module.name}.{node.name} has no legal result type"
        marks = {decorator_name(d): d for d in node.decorator_list}
        given, ended = _argument(marks.get("nonempty")), _argument(marks.get("ends"))
        ends = None if ended is None else [p.name for p in params].index(ended)
        return Hook(cls, node, params, returns, _is_stub(node), "intrinsic" in marks, given, ends)

    def _handler(self, name: str, hook: Hook) -> ir.Function | None:
        made = self._body(name, hook)
        return made if made is None or hook.ends is None else ending(made, hook.ends, self.fields.values())

    def _body(self, name: str, hook: Hook) -> ir.Function | None:
        found = self.method(name)
        if found is None:
            if hook.required:
                self.diagnostics.error(
                    "P008",
                    f"`{self.cls.node.name}` does not define `{name}`",
                    self.cls.module.source.header(self.cls.node),
                    label=f"`{qualified(hook.owner)}` needs it",
                    help=f"write `def {name}({signature(hook)}) -> {spell(hook.returns)}:`",
                )
                return None
            return self._type(
                hook.owner.module, hook.node, name, hook.params, hook.returns, hook.owner, default=True
            )
        owner, node = found
        params = self._hook_params(owner.module, node, hook)
        return None if params is None else self._type(owner.module, node, name, params, hook.returns, owner)

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
        reader = FieldReader(self.world, binding.module, self._scopes(), old=True)
        for f in map(_renamed, self._class_fields(binding, reader)):
            if self.old_fields.setdefault(f.name, f).type != f.type:
                self.diagnostics.error(
                    "P048",
                    f"`{f.name.removeprefix('old.')}` has two types in the old states",
                    f.span,
                    label=f"`{spell(f.type)}`",
                    help="name a field alike in the classes of `migrate` and `migrate_back`, or leave it out of one",
                )
        params = (ir.Param(args[1].arg, ViewType(binding.node.name), owner.module.source.span(args[1])),)
        return self._type(owner.module, node, name, params, UNIT, owner)


def _argument(mark: ast.expr | None) -> str | None:
    """What stands in the brackets of a decorator: the name of a field or parameter."""
    return ast.literal_eval(mark.args[0]) if isinstance(mark, ast.Call) else None


def _is_stub(node: ast.FunctionDef) -> bool:
    """`raise NotImplementedError`: no default; every policy defines the hook."""
    return isinstance(node.body[-1], ast.Raise)


def _renamed(f: StateField) -> StateField:
    return ir.StateField(f"old.{f.name}", f.type, f.kind, f.default, f.options, f.doc, span=f.span)
