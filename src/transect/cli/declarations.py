# SPDX-License-Identifier: Apache-2.0
"""Whether a Python file declares a policy or a chain, or was meant to: if it has a mistake, the compiler shall see it
and say what is wrong.  A service that only imports transect declares neither."""

from __future__ import annotations

import ast
import builtins
import codecs
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transect.base.bounded import head, is_file, is_folder
from transect.base.diagnostic import closest

BASES = ("Element", "Admission", "Scheduler", "Probe", "Arbiter")
NOT_PYTHON = frozenset({"?"})  # stands for the names in a file that only the compiler can judge
PACKAGE = Path(__file__).parents[1]

_IMPORTS = re.compile(rb"^[ \t]*(?:from|import)[ \t]+([\w.]+)", re.MULTILINE | re.ASCII)
_MADE_OF = re.compile(r"transect\.(lang|shapes|stack|(rpc|llm|cpu|memory)(\.\w+)?|examples(\.\w+)+)")
_DERIVES = re.compile(rb"^class[ \t]+\w+\([ \t]*(?:%s)\b" % "|".join(BASES).encode(), re.MULTILINE)
# `form transect.rpc import`, where `from` is misspelt
_NEARLY_IMPORTS = re.compile(rb"^\w+[ \t]+transect[\w.]*[ \t]+import\b", re.MULTILINE)
# `chain = attach(…)` is a line of a service, not of a chain file
_ATTACHES = frozenset({"attach", "attach_plan"})


def may_be_policy(path: Path) -> bool:
    """Whether a named file may be a policy: yes, unless it is Python that has nothing to do with transect.

    A file whose class derives from a name such as `Element` has to do with it: only the import is missing.
    """
    data = _read(path)
    return data is None or _concerns(data, path.parent) or _tree(data) is None


def _read(path: Path) -> bytes | None:
    """The file's bytes; None if it cannot be read: the compiler says why."""
    try:
        return head(path)
    except OSError:
        return None


def _concerns(data: bytes, folder: Path) -> bool:
    """Whether a file imports transect or a file beside it, or looks as if it should."""
    if b"\0" in data or _DERIVES.search(data) or _NEARLY_IMPORTS.search(data):
        return True
    modules = {found[1].decode() for found in _IMPORTS.finditer(data.removeprefix(codecs.BOM_UTF8))}
    return any(_near(module, folder) for module in modules)


def _near(module: str, folder: Path) -> bool:
    first = module.partition(".")[0]
    known = first in ("", "transect") or is_file(folder / f"{first}.py") or is_folder(folder / first)
    return known or _is_for_policies(module)


def _tree(data: bytes) -> ast.Module | None:
    """The parsed file; None if it is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class Declared:
    """What the files of one run declare.  Each file is parsed once.  Files that import each other are settled together:
    they are gone over until no name is added."""

    def __init__(self) -> None:
        self._names: dict[Path, frozenset[str]] = {}

    def policy(self, path: Path) -> bool:
        """Whether the file declares a class that derives from a base for policies, or a chain.  A file in which one of
        these names is misspelt counts, too, and so does one that is not Python at all."""
        if path not in self._names:
            self._settle(path)
        return bool(self._names[path])

    def _settle(self, path: Path) -> None:
        files: dict[Path, _File] = {}
        pending = [path]
        while pending:
            at = pending.pop()
            if at not in files and at not in self._names:
                files[at] = _parsed(at)
                pending += [each for node in files[at].body for each in _neighbours(node, at)]
        self._names |= dict.fromkeys(files, frozenset())
        added = True
        while added:
            added = False
            for at in reversed(files):  # files that others import come first
                found = files[at].known or _Declarations(files[at], at, self._names).found
                added = added or found != self._names[at]
                self._names[at] = found


@dataclass(frozen=True)
class _File:
    """The parts of a file that decide what it declares."""

    body: Sequence[ast.stmt] = ()  # imports, assignments, and classes without what is in them
    bound: frozenset[str] = frozenset()
    """Every name that is bound anywhere in the file, and Python's own; `*` if an import may bind any name."""
    known: frozenset[str] = frozenset()  # what it declares, whatever the files declare that it imports


def _parsed(path: Path) -> _File:
    data = _read(path)
    if data is None:
        return _File(known=NOT_PYTHON)
    if not _concerns(data, path.parent):
        return _File()
    tree = _tree(data)
    if tree is None:
        return _File(known=NOT_PYTHON)
    bound = {*dir(builtins), *(name for node in ast.walk(tree) for name in _bound_by(node))}
    kinds = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr, ast.ClassDef)
    body = [node for node in tree.body if isinstance(node, kinds)]
    for node in body:
        if isinstance(node, ast.ClassDef):
            node.body = []
    return _File(body, frozenset(bound))


class _Declarations:
    """What one file declares if the files beside it declare `names`."""

    def __init__(self, file: _File, path: Path, names: Mapping[Path, frozenset[str]]) -> None:
        self._bound = file.bound
        imports = [pair for node in file.body for pair in _imported(node, path, names)]
        self._known = {name for name, _ in imports}
        self._chains = {name for name, original in imports if original == "Chain"}
        self._services = {name for name, original in imports if original in _ATTACHES}
        self._own: set[str] = set()
        for node in file.body:
            self._own.update(self._of(node))
        self.found = frozenset(self._own)

    def _of(self, node: ast.stmt) -> Iterator[str]:
        match node:
            case ast.ClassDef(name=name, bases=bases) if any(self._is_base(base) for base in bases):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield from self._chain(name, value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield from self._chain(name, value)
            case ast.Expr(value=ast.Call(func=maker)) if _root(maker) in self._chains:
                yield "chain"
            case _:
                pass

    def _chain(self, name: str, value: ast.expr) -> Iterator[str]:
        """The name, if it stands for chains: any name to which a `Chain(…)` is assigned; also `chain` and `edges` if
        `Chain` is misspelt."""
        makers = {_root(call.func) for call in _calls(value)}
        meant = name in ("chain", "edges") and any(self._is_ours(maker) for maker in makers - self._services)
        if meant or makers & self._chains:
            yield name

    def _is_base(self, base: ast.expr) -> bool:
        whole = _dotted(base)
        return (
            self._is_ours(_root(base))
            or whole in self._known
            or _MADE_OF.fullmatch(whole.rpartition(".")[0]) is not None
        )

    def _is_ours(self, name: str) -> bool:
        """Whether the name comes from transect, or is a policy's.  A name that nothing binds counts, too, if the file
        has other names from transect, or if it is the name of a base class."""
        if name in self._known or name in self._own:
            return True
        if not name or not (self._known or name in BASES):
            return False
        return name not in self._bound and ("*" in self._known or "*" not in self._bound)


def _bound_by(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            yield name
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.alias(name=name, asname=other):
            yield other or name.partition(".")[0]
        case _:
            pass


def _calls(value: ast.expr) -> Iterable[ast.Call]:
    """The calls in `value`: itself, or the elements of a list or tuple."""
    parts = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
    return [part for part in parts if isinstance(part, ast.Call)]


def _imported(
    node: ast.stmt, path: Path, declared: Mapping[Path, frozenset[str]]
) -> Iterator[tuple[str, str]]:
    """The names that an import binds to parts of policies, or to policies in a file beside this one; and the name that
    each has there."""
    match node:
        case ast.Import(names=names):
            for alias in names:
                if alias.asname and _MADE_OF.fullmatch(alias.name):
                    yield alias.asname, alias.name
                yield from _members(alias, path, declared)
        case ast.ImportFrom(module=None, names=names, level=1):
            for alias in names:
                yield from _members(alias, path, declared)
        case ast.ImportFrom(module=str(module), names=names, level=0) if _is_for_policies(module):
            yield from ((a.asname or a.name, a.name) for a in names)
        case ast.ImportFrom(module="transect", names=names, level=0):
            yield from (
                (a.asname or a.name, a.name) for a in names if _MADE_OF.fullmatch(f"transect.{a.name}")
            )
        case ast.ImportFrom(module=str(module), names=names, level=0 | 1):
            theirs = declared.get(_beside(module, path), frozenset())
            yield from ((a.asname or a.name, a.name) for a in names if a.name in theirs)
        case _:
            pass


def _members(
    alias: ast.alias, path: Path, declared: Mapping[Path, frozenset[str]]
) -> Iterator[tuple[str, str]]:
    """`acl.P`, if a file beside this one is imported as a whole."""
    for name in declared.get(_beside(alias.name, path), ()):
        yield f"{alias.asname or alias.name}.{name}", name


def _neighbours(node: ast.stmt, path: Path) -> Iterator[Path]:
    """The files beside this one that an import names."""
    match node:
        case ast.Import(names=names) | ast.ImportFrom(module=None, names=names, level=1):
            modules = [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0 | 1):
            modules = [module]
        case _:
            modules = []
    yield from (place for place in (_beside(module, path) for module in modules) if is_file(place))


def _beside(module: str, path: Path) -> Path:
    """Where the file of that module lies, if it is beside this one."""
    return path.parent / (module.replace(".", "/") + ".py")


def _is_for_policies(module: str) -> bool:
    """Whether a module has what policies are made of, or would have if `transect`, or the rest, were spelt right."""
    first, *rest = module.split(".")
    if _MADE_OF.fullmatch(".".join(["transect", *rest])):
        return first == "transect" or closest(first.lower(), ["transect"]) is not None
    place = PACKAGE.joinpath(*rest)
    return first == "transect" and bool(rest) and not is_folder(place) and not is_file(f"{place}.py")


def _root(node: ast.expr) -> str:
    """`rpc` of `rpc.Element`, `Rpc` of `Rpc[Ask]`."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _dotted(base: ast.expr) -> str:
    """`transect.rpc.Element` of `transect.rpc.Element[Ask]`, as after `import transect`; "" if it is no attribute."""
    outer = base.value if isinstance(base, ast.Subscript) else base
    names: list[str] = []
    while isinstance(outer, ast.Attribute):
        names.append(outer.attr)
        outer = outer.value
    return ".".join([outer.id, *reversed(names)]) if names and isinstance(outer, ast.Name) else ""
