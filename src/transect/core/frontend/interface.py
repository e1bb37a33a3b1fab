# SPDX-License-Identifier: Apache-2.0
"""What the library gives to the policies derived from one of its base classes, read from the library's own sources.

A program that comes as text is compared with it (`core/foreign.py`): what the program declares as the library's must be
exactly this.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from transect.base.diagnostic import Diagnostics
from transect.base.record import record
from transect.core import ir
from transect.core.frontend.declare import World, qualified
from transect.core.frontend.modules import ClassDef, FunctionDef, Module, Modules, library_constant
from transect.core.frontend.policies import PolicyClass
from transect.core.stratum_functions import STRATA
from transect.core.types import Type


@record
class Hook:
    """A hook that a policy may define."""

    params: tuple[Type, ...]
    returns: Type
    required: bool  # it has no default


@record
class Interface:
    """What a base class gives."""

    hooks: Mapping[str, Hook]  # in the order of the base class
    given: Mapping[str, Type]  # fields of the base class that the adapter keeps
    intrinsics: Mapping[str, ir.IntrinsicDecl]  # of the stratum, by full name: `rpc.Headers.get`
    views: Mapping[str, ir.View]  # of the library, by name
    # The views that a policy's own views may derive from, by qualified name: `rpc.Message`
    bases: Mapping[str, ir.View]
    writable: frozenset[str]  # qualified names of those whose members policies may write
    keys: frozenset[str]  # identities that the stratum hands out: `Client`
    scopes: tuple[str, ...]


@lru_cache(maxsize=16)
def interface(stratum: str, base: str) -> Interface | None:
    """The interface of `rpc.Element` and the like, or of a shape (`stratum` is ""); None when there is none."""
    home = "transect.shapes" if stratum == "" else f"transect.{stratum}"
    if stratum not in ("", *STRATA):
        return None
    world = World(diagnostics := Diagnostics(), Modules(Diagnostics()))
    module = world.modules.library(home)
    cls = None if module is None else module.names.get(base.removeprefix(f"{stratum}."))
    if module is None or not isinstance(cls, ClassDef) or not cls.module.library:
        return None
    if world.kind(cls) != "policy" or qualified(cls) != base:
        return None
    reading = _Reading(world, cls)
    found = reading.interface(module)
    assert not diagnostics.failed, f"{home} does not describe itself: {[d.message for d in diagnostics]}"
    return found


class _Reading(PolicyClass):
    """Reads the base class itself, as if it were a policy without anything of its own."""

    def interface(self, module: Module) -> Interface:
        self._lineage()
        self._read_hooks()
        self._read_fields()
        modules = self._library(module)
        bases: dict[str, ir.View] = {}
        writable: set[str] = set()
        keys: set[str] = set()
        for one in modules:
            for binding in one.names.values():
                if isinstance(binding, ClassDef) and binding.module.library:
                    self._class(binding, bases, writable, keys)
                elif isinstance(binding, FunctionDef) and binding.module.library:
                    self.stratum_function(binding)
        for name, hook in self.hooks.items():
            if hook.intrinsic:
                self.own_method(name)
        hooks = {
            name: Hook(tuple(p.type for p in hook.params), hook.returns, hook.required)
            for name, hook in self.hooks.items()
            if not hook.intrinsic
        }
        given = {f.name: f.type for f in self.fields.values() if f.kind is ir.FieldKind.GIVEN}
        views = {view.name: view for view in bases.values()}
        return Interface(
            hooks,
            given,
            self.intrinsics,
            views,
            bases,
            frozenset(writable),
            frozenset(keys),
            self._scopes(),
        )

    def _library(self, module: Module) -> list[Module]:
        """The stratum's `hooks.py`, and what it names as `LIBRARY` besides: modules that policies import from."""
        assert self.base is not None
        more = library_constant(module, "LIBRARY")
        names = more if isinstance(more, tuple) else ()
        found = [self.world.modules.library(f"{module.name}.{name}") for name in names]
        return [self.base.module, module, *(m for m in found if m is not None)]

    def _class(self, cls: ClassDef, bases: dict[str, ir.View], writable: set[str], keys: set[str]) -> None:
        match self.world.kind(cls):
            case "view":
                view = self.world.view(cls)
                bases[qualified(cls)] = view
                if self.world.writable(cls):
                    writable.add(qualified(cls))
                for name in self.world.view_methods[view.name]:
                    self.view_method(view.name, name)
            case "key":
                keys.add(cls.node.name)
            case _:
                pass
