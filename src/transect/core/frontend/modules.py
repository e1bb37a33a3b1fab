# SPDX-License-Identifier: Apache-2.0
"""What each name of a file stands for.  Imports are followed by reading the imported file; nothing is ever executed.

`transect.lang` is the language itself; `transect.<stratum>` and `transect.shapes` are read from this package's own
sources like any policy file; other imports are sibling files of the policy.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from transect.base import shipped
from transect.base.bounded import is_file
from transect.base.diagnostic import Diagnostics, closest
from transect.base.record import record
from transect.core.frontend.source import Source, parse, read
from transect.core.frontend.surface import FOR_STRATA, LANG_NAMES, OUTSIDE_NAMES

PACKAGE = Path(__file__).parents[2]  # …/transect
FOR_POLICIES = tuple(
    f"transect.{name}" for name in ("lang", "shapes", "rpc", "llm", "cpu", "memory", "stack")
)


@dataclass(frozen=True, eq=False)
class ClassDef:
    module: Module
    node: ast.ClassDef


@dataclass(frozen=True, eq=False)
class FunctionDef:
    module: Module
    node: ast.FunctionDef


@dataclass(frozen=True, eq=False)
class ConstantDef:
    """`NAME: Final = …` of a module."""

    module: Module
    node: ast.AnnAssign


@dataclass(frozen=True, eq=False)
class AliasDef:
    """`Name: TypeAlias = …`."""

    module: Module
    value: ast.expr


@record
class Surface:
    """A name of `transect.lang`, or of the few standard modules whose names have a meaning in policies."""

    name: str


@dataclass(frozen=True, eq=False)
class ModuleRef:
    module: Module


Binding: TypeAlias = ClassDef | FunctionDef | ConstantDef | AliasDef | Surface | ModuleRef


@dataclass(eq=False)
class Module:
    name: str  # dotted; "" for the file being compiled
    source: Source
    library: bool  # part of transect: its own rules hold (intrinsics, hook bases)
    names: dict[str, Binding] = field(default_factory=dict)
    lacking: set[str] = field(default_factory=set)  # names whose imports were refused and already reported

    @property
    def stratum(self) -> str:
        """`rpc` for `transect.rpc…`; "" for shapes and policy files."""
        parts = self.name.split(".")
        return parts[1] if self.library and parts[1] != "shapes" else ""


class Modules:
    """All files of one compilation, each read once."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.loaded: dict[str, Module | None] = {}

    def add(self, source: Source, name: str = "") -> Module:
        module = Module(name, source, library=False)
        self.loaded[source.path] = module
        _Binder(self, module, self.diagnostics).bind(source.tree.body)
        return module

    def library(self, dotted: str) -> Module | None:
        """A module of this package that is for policies, by its dotted name; None when there is none."""
        base = PACKAGE.joinpath(*dotted.split(".")[1:])
        for path in (base / "hooks.py", base / "__init__.py", base.with_suffix(".py")):
            if is_file(path):
                return self._file(path, dotted, library=not shipped.is_example(path))
        return None

    def _for_policies(self, source: Source, name: str) -> Module | None:
        """A library module, when it is made of what policy files are made of."""
        module, said = Module(name, source, library=True), Diagnostics()
        _Binder(self, module, said).bind(source.tree.body)
        return module if module.names and not said.failed else None

    def sibling(self, origin: Module, dotted: str) -> Module | None:
        """A file beside the importing one; None when there is none."""
        folder = PACKAGE.parent if origin.library else Path()
        base = folder / Path(origin.source.path).parent.joinpath(*dotted.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if is_file(path):
                return self._file(
                    path, f"{origin.name}.{dotted}" if origin.library else dotted, origin.library
                )
        return None

    def beside(self, origin: Module) -> list[str]:
        """The modules in files beside one."""
        path = Path(origin.source.path)
        return [file.stem for file in path.parent.glob("*.py") if file != path] if is_file(path) else []

    def _file(self, path: Path, name: str, library: bool) -> Module | None:
        key = str(path.relative_to(PACKAGE.parent)) if library else str(path)
        if key not in self.loaded:
            self.loaded[key] = None  # a cycle of imports ends here
            if library:
                self.loaded[key] = self._for_policies(_library_source(key), name)
            elif (source := self._user_source(path)) is not None:
                self.add(source, name)
        return self.loaded[key]

    def _user_source(self, path: Path) -> Source | None:
        text = read(path, self.diagnostics)
        return None if text is None else parse(text, str(path), self.diagnostics)


@lru_cache(maxsize=64)
def _library_source(path: str) -> Source:
    diagnostics = Diagnostics()
    text = read(PACKAGE.parent / path, diagnostics)
    source = None if text is None else parse(text, path, diagnostics)
    assert source is not None, f"transect's own {path} does not parse: {[d.message for d in diagnostics]}"
    return source


def _makes_chains(value: ast.expr) -> bool:
    """`Chain(…)`, or a list of such."""
    calls = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
    return any(isinstance(call, ast.Call) and ast.unparse(call.func) == "Chain" for call in calls)


class _Binder:
    """Binds the names of one module."""

    def __init__(self, modules: Modules, module: Module, diagnostics: Diagnostics) -> None:
        self.modules = modules
        self.module = module
        self.diagnostics = diagnostics

    def bind(self, body: list[ast.stmt]) -> None:
        for index, node in enumerate(body):
            self._statement(node, first=index == 0)

    def _statement(self, node: ast.stmt, first: bool) -> None:
        match node:
            case ast.ImportFrom():
                self._import_from(node)
            case ast.Import():
                self._import(node)
            case ast.ClassDef():
                self._define(node.name, ClassDef(self.module, node), node)
            case ast.FunctionDef():
                self._define(node.name, FunctionDef(self.module, node), node)
            case ast.AnnAssign(target=ast.Name(id="chain" | "edges" | "stack" as name)):
                self._refuse(node, f"`{name}` has an annotation", f"write `{name} = …`")
            case ast.Assign(targets=[ast.Name(id="chain" | "edges" | "stack")]):
                pass  # the declaration of a chain file or a stack file, read by the rpc stratum, or `transect.stack`
            case (
                ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value) | ast.Expr(value=value)
            ) if _makes_chains(value):
                self._refuse(
                    node,
                    "a chain has the name `chain`, and several in one list the name `edges`",
                    "write `chain = Chain(…)`, or `edges = [Chain(…), …]`",
                )
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                self._annotated(node, name, value)
            case ast.Expr(value=ast.Constant(value=str())):
                pass  # a docstring, or the text under a definition
            case ast.Pass():
                pass
            case ast.If(test=test) if self.module.library and ast.unparse(test).endswith("TYPE_CHECKING"):
                pass  # what only type checkers read
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                pass
            case ast.Assign(targets=[ast.Name(id=name)]) if self.module.library:
                pass  # SCOPES and the like: read by `library_constant`
            case ast.Assign(targets=[ast.Name(id=name)]):
                self._global(node, name)
            case ast.AsyncFunctionDef():
                self._refuse(node, "`async` has no meaning in a policy", "write an ordinary function", "P015")
            case _:
                self._refuse(
                    node,
                    "only imports, constants, classes and helpers may stand in a policy file",
                    "move this into a policy's handler, or into another file",
                )

    def _annotated(self, node: ast.AnnAssign, name: str, value: ast.expr) -> None:
        outer = node.annotation.value if isinstance(node.annotation, ast.Subscript) else node.annotation
        match surface_name(self.module, outer):
            case "TypeAlias":
                self._define(name, AliasDef(self.module, value), node)
            case "Final":
                self._define(name, ConstantDef(self.module, node), node)
            case _ if isinstance(outer, ast.Name) and outer.id in ("Final", "TypeAlias"):
                self._define(name, ConstantDef(self.module, node), node)
                self.diagnostics.error(
                    "P007",
                    f"unknown name `{outer.id}`",
                    self.module.source.span(outer),
                    label="not imported in this file",
                    help=f"import it: `{import_of(outer.id)}`",
                )
            case _:
                self._define(name, ConstantDef(self.module, node), node)
                if not self.module.library:
                    self._global(node, name)

    def _global(self, node: ast.stmt, name: str) -> None:
        self._refuse(
            node,
            f"`{name}` is a global variable",
            f"write `{name}: Final = …` for a constant, or make it state of a policy",
        )

    def _refuse(self, node: ast.stmt, message: str, help: str, code: str = "P047") -> None:
        self.diagnostics.error(
            code, message, self.module.source.header(node), label="not part of the language", help=help
        )

    def _define(self, name: str, binding: Binding, node: ast.stmt) -> None:
        """Define a name.  A second definition is an error, and so is a name that Python gives another meaning."""
        if name.startswith("__"):
            self.diagnostics.error(
                "P042",
                f"`{name}` cannot be defined in a policy file",
                self.module.source.header(node),
                label="reserved",
                help="Python gives such names another meaning within a class; choose one without `__`",
            )
        earlier = self.module.names.get(name)
        if isinstance(earlier, ClassDef | FunctionDef | ConstantDef) and earlier.module is self.module:
            self.diagnostics.error(
                "P042",
                f"`{name}` is defined twice",
                self.module.source.header(node),
                label="the second one",
                help="give one of them another name",
            )
        self.module.names[name] = binding

    # ------------------------------------------------------------ imports

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            known = ", ".join(sorted(OUTSIDE_NAMES))
            self.diagnostics.error(
                "P004",
                f"`import {alias.name}` cannot be used in a policy",
                self.module.source.span(node),
                label="nothing of it has a meaning in a policy",
                help="import names: `from transect.lang import …`, or from a file beside this one",
                note=f"of the standard library only {known} are known",
            )

    def _import_from(self, node: ast.ImportFrom) -> None:
        name = node.module or ""
        if node.level > 1:
            self._no_module(node, "." * node.level + name)
        elif node.level == 1 and not name:
            for alias in node.names:
                self._sibling_module(node, alias)
        elif node.level == 1:
            self._names_of(node, self.modules.sibling(self.module, name), name)
        elif name == "transect.lang":
            self._surface(node, name, LANG_NAMES)
        elif name in OUTSIDE_NAMES:
            self._surface(node, name, OUTSIDE_NAMES[name])
        elif name == "transect" or name.startswith("transect."):
            self._library(node, name)
        else:
            self._names_of(node, self.modules.sibling(self.module, name), name)

    def _sibling_module(self, node: ast.ImportFrom, alias: ast.alias) -> None:
        module = self.modules.sibling(self.module, alias.name)
        if module is None:
            self._no_module(node, f".{alias.name}")
        else:
            self.module.names[alias.asname or alias.name] = ModuleRef(module)

    def _surface(self, node: ast.ImportFrom, module: str, known: frozenset[str]) -> None:
        for alias in node.names:
            if alias.name in known:
                self.module.names[alias.asname or alias.name] = Surface(alias.name)
            elif not self.module.library:
                self._unknown(node, alias, module, known)

    def _library(self, node: ast.ImportFrom, name: str) -> None:
        module = None if name == "transect" else self.modules.library(name)
        for alias in node.names:
            if f"{name}.{alias.name}" == "transect.lang":
                self._whole_language(node)
                continue
            inner = (
                None
                if module and alias.name in module.names
                else self.modules.library(f"{name}.{alias.name}")
            )
            if inner is not None:
                self.module.names[alias.asname or alias.name] = ModuleRef(inner)
            elif module is not None:
                self._one(node, alias, module, name)
            else:
                self._no_module(node, f"{name}.{alias.name}" if name == "transect" else name)

    def _whole_language(self, node: ast.ImportFrom) -> None:
        self.diagnostics.error(
            "P004",
            "the language is imported by its names",
            self.module.source.span(node),
            label="a module, not names",
            help="write `from transect.lang import …`",
        )

    def _names_of(self, node: ast.ImportFrom, module: Module | None, name: str) -> None:
        if module is None:
            self._no_module(node, name)
            return
        for alias in node.names:
            self._one(node, alias, module, name)

    def _one(self, node: ast.ImportFrom, alias: ast.alias, module: Module, name: str) -> None:
        if alias.name in module.names:
            self.module.names[alias.asname or alias.name] = module.names[alias.name]
        else:
            self._unknown(node, alias, name, module.names)

    def _unknown(
        self, node: ast.ImportFrom, alias: ast.alias, module: str, known: frozenset[str] | dict[str, Binding]
    ) -> None:
        self.module.lacking.add(alias.asname or alias.name)
        close = closest(alias.name, known)
        self.diagnostics.error(
            "P005",
            f"`{module}` has no `{alias.name}`"
            if alias.name != "*"
            else "`import *` hides where names come from",
            self.module.source.span(alias),
            label="unknown name",
            help=_import_help(alias.name, close, known),
        )

    def _no_module(self, node: ast.ImportFrom, name: str) -> None:
        if self.module.library:
            return
        self.module.lacking.update(alias.asname or alias.name for alias in node.names)
        meant = self._meant(node, name)
        self.diagnostics.error(
            "P004",
            f"there is no module `{name}` for a policy to import",
            self.module.source.span(node),
            label="not found beside this file, and not part of transect",
            help=f"write `from {meant} import …`"
            if meant
            else "a policy imports from `transect.…`, from files beside it, and `Final`, `IntEnum` and the like",
        )

    def _meant(self, node: ast.ImportFrom, name: str) -> str:
        """The module whose name is probably misspelt here; "" when no name is close."""
        beside = self.modules.beside(self.module)
        if node.level:
            near = closest(name.lstrip("."), beside) if node.level == 1 and node.module else None
            return f".{near}" if near else ""
        first, dot, rest = name.partition(".")
        ours = f"transect{dot}{rest}"
        if closest(first.lower(), ["transect"]) and (not rest or self.modules.library(ours) is not None):
            return ours
        return closest(name, [*FOR_POLICIES, *OUTSIDE_NAMES, *beside], 0.85) or ""


def surface_name(module: Module, node: ast.expr) -> str:
    """The name of the language that a name in the file stands for; "" when it stands for none."""
    binding = module.names.get(node.id) if isinstance(node, ast.Name) else None
    return binding.name if isinstance(binding, Surface) else ""


def import_of(name: str) -> str:
    """The line that imports a name of the language; "" when it has none of that name."""
    known = {"transect.lang": LANG_NAMES, **OUTSIDE_NAMES}
    return next((f"from {module} import {name}" for module, names in known.items() if name in names), "")


def _import_help(name: str, close: str | None, known: frozenset[str] | dict[str, Binding]) -> str:
    if name == "*":
        return "name what is used: `from … import a, b`"
    if close:
        return f"write `{close}`"
    return (
        f"write `{line}`"
        if (line := import_of(name))
        else f"known: {', '.join(_offered(known)) or 'nothing'}"
    )


def _offered(known: frozenset[str] | dict[str, Binding]) -> list[str]:
    """The names that a module offers to policies, without those that it only imports from the language."""
    own = {n for n, b in known.items() if not isinstance(b, Surface)} if isinstance(known, dict) else known
    return sorted(own - FOR_STRATA)


def library_constant(module: Module, name: str) -> object:
    """A literal that a library module assigns (`SCOPES`), or None."""
    for node in module.source.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                return ast.literal_eval(value)
            case _:
                continue
    return None
