# SPDX-License-Identifier: Apache-2.0
"""A policy class to a program: its fields, hooks, helpers, and everything that they reach."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from transect.core import ir
from transect.core.frontend.declare import World, qualified
from transect.core.frontend.handlers import Handlers
from transect.core.frontend.hashing import sha256_of
from transect.core.frontend.modules import ClassDef, library_constant
from transect.core.ir import MIGRATIONS, Program, Stage
from transect.core.types import (
    KeyType,
    OptionType,
    StructType,
    TableType,
    Type,
    UnionType,
    ViewType,
)
from transect.core.walk import walk

LONGEST_NAME = 100  # bytes of a policy's name: files are called after it, and the system's names have 255


class PolicyClass(Handlers):
    """One policy on its way to a program."""

    def build(self) -> Program | None:
        before = sum(d.is_error for d in self.world.diagnostics)
        self._lineage()
        base = self.base
        if base is None:
            self._refuse_bare()
            return None
        self._check_name()
        self._read_hooks()
        self._read_fields()
        self._check_members()
        handlers = [
            h
            for name, hook in self.hooks.items()
            if not hook.intrinsic and (h := self._handler(name, hook)) is not None
        ]
        handlers += [m for name in MIGRATIONS if (m := self._migration(name)) is not None]
        self._check_misspelt()
        self._check_unused()
        if sum(d.is_error for d in self.world.diagnostics) > before:
            return None
        return self._program(base, handlers)

    def _check_misspelt(self) -> None:
        """The body of a misspelt hook is checked as that of the hook which is meant."""
        for owner, node, name in self.misspelt:
            hook = self.hooks[name]
            params = self._hook_params(owner.module, node, hook)
            if params is not None:
                self._type(owner.module, node, name, params, hook.returns, owner)

    def _check_unused(self) -> None:
        """Helpers that nobody calls are checked like the others; they are not part of the program."""
        used = dict(self.functions)
        for cls in self.lineage:
            for node in cls.node.body if not cls.module.library else ():
                if isinstance(node, ast.FunctionDef) and node.name.startswith("_") and node.name[:2] != "__":
                    self.helper_method(node.name, cls.module.source.header(node))
        self.functions = used
        self.check_all_of(self.cls.module)

    def warn_of_races(self, program: Program) -> None:
        """Warn where the stratum says `ATOMIC = False`.  For a policy of a shape, the stratum that runs it decides."""
        base = self.base
        if base is not None and library_constant(base.module, "ATOMIC") is False:
            from transect.core.atomicity import warn  # most strata need none of it

            serial = library_constant(base.module, "SERIAL")
            warn(program, self.diagnostics, serial if isinstance(serial, tuple) else ())

    def warn_of_failing_open(self, program: Program) -> None:
        """Warn where the policy refuses by a table that may be full."""
        if any(isinstance(f.type, TableType) for f in program.state):
            from transect.core.failing_open import REFUSAL, warn  # most policies need none of it

            if any(s.name == REFUSAL for s in program.structs):
                warn(program, self.diagnostics)

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

    def _check_name(self) -> None:
        name = self.cls.node.name
        if len(name.encode()) > LONGEST_NAME:
            self.diagnostics.error(
                "P043",
                f"the name `{name:.20}…` of a policy is too long",
                self.cls.module.source.header(self.cls.node),
                label=f"more than {LONGEST_NAME} bytes",
                help="choose a shorter name: files are called after it",
            )

    def _refuse_bare(self) -> None:
        """Report a class that derives from `Policy` directly, and not from a base class of a stratum or shape."""
        lowest = self.lineage[-1]
        self.diagnostics.error(
            "P043",
            f"`{lowest.node.name}` derives from `Policy` itself, which no stratum runs",
            lowest.module.source.header(lowest.node),
            label="it has no hooks",
            help="derive from a base class of a stratum, for example `from transect.rpc import Element`",
        )

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
            for node in (n for statement in function.body for n in walk(statement)):
                if (made := getattr(node, "type", None)) is not None:
                    collector.add(made)
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
        own = {c.module.source.path: c.module.source.text for c in self.lineage if not c.module.library}
        own[self.cls.module.source.path] = self.cls.module.source.text
        known, paths = self.world.hashes, tuple(sorted(own))
        if paths not in known:
            known[paths] = sha256_of("\0".join(sorted(set(own.values()))).encode())
        return known[paths]


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
