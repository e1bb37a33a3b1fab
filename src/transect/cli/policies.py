# SPDX-License-Identifier: Apache-2.0
"""Which files `transect check` reads: those named, and in folders those which declare a policy.  A TOML file that is
named is a configuration of an engine or gateway.

A folder of a project holds much that is no policy: services, tests, other people's packages.  Nothing is passed over
in silence: the summary counts what was left out.
"""

from __future__ import annotations

import ast
import codecs
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from transect.base.bounded import head

STDIN = "-"

_IMPORTS = re.compile(rb"^[ \t]*(?:from|import)[ \t]+([\w.]+)", re.MULTILINE | re.ASCII)
_MADE_OF = re.compile(r"transect\.(lang|shapes|(rpc|llm|cpu|memory)(\.\w+)?|examples(\.\w+)+)")
_DERIVES = re.compile(rb"^class[ \t]+\w+\((?:Element|Admission|Scheduler|Probe|Arbiter)\)", re.MULTILINE)
_CHAIN = re.compile(r"^(chain|edges)[ \t]*=", re.MULTILINE)
_TEST = re.compile(r"(test_.*|.*_test|conftest)\.py")
_FOREIGN = {"__pycache__", "node_modules", "build", "dist"}


@dataclass
class Found:
    """What the paths of a command stand for."""

    policies: list[Path] = field(default_factory=list)
    configurations: list[Path] = field(default_factory=list)
    stdin: bool = False
    others: int = 0  # Python files without a policy
    missing: list[str] = field(default_factory=list)


def find(paths: Iterable[str]) -> Found:
    found = Found()
    seen: set[Path] = set()
    for name in paths:
        path = Path(name)
        if name == STDIN:
            found.stdin = True
        elif path.is_dir():
            for file in _python_files(path):
                _sort(file, declares_policy(file), found, seen)
        elif path.suffix == ".toml" and path.exists():
            if path not in seen:
                seen.add(path)
                found.configurations.append(path)
        elif path.exists():
            _sort(path, _may_be_policy(path), found, seen)
        else:
            found.missing.append(name)
    return found


def declares_chain(text: str) -> bool:
    """Whether a file's text has `chain = …` or `edges = …`: chains of the rpc stratum."""
    return bool(_CHAIN.search(text))


def _sort(path: Path, policy: bool, found: Found, seen: set[Path]) -> None:
    if path in seen:
        return
    seen.add(path)
    if policy:
        found.policies.append(path)
    else:
        found.others += 1


def _python_files(folder: Path) -> Iterator[Path]:
    """Every Python file below, in order; hidden folders, environments and build outputs excepted.  What is no regular
    file, such as a link to a device or a pipe, is none."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _FOREIGN
            and not os.path.exists(os.path.join(place, name, "pyvenv.cfg"))
        )
        named = (Path(place, name) for name in sorted(files) if name.endswith(".py"))
        yield from (path for path in named if path.is_file())


def _may_be_policy(path: Path) -> bool:
    """A named file is taken at its word, unless it is a test or has nothing to do with transect.

    One whose class has the name of a base class has: it only lacks the import.
    """
    if _TEST.fullmatch(path.name):
        return False
    return _mentions(path) is not None or bool(_DERIVES.search(head(path)))


def _mentions(path: Path) -> bytes | None:
    """The bytes of a file that imports transect or a neighbour, or which only the compiler can judge."""
    try:
        data = head(path)
    except OSError:
        return b""  # the compiler says why it cannot be read
    if b"\0" in data:
        return data
    modules = {found[1].decode() for found in _IMPORTS.finditer(data.removeprefix(codecs.BOM_UTF8))}
    return data if any(_near(module, path.parent) for module in modules) else None


def _near(module: str, folder: Path) -> bool:
    first = module.partition(".")[0]
    return first in ("", "transect") or (folder / f"{first}.py").is_file() or (folder / first).is_dir()


def declares_policy(path: Path) -> bool:
    """Whether a class of the file derives from a base for policies, or the file declares a chain of them."""
    return not _TEST.fullmatch(path.name) and bool(_declared(path, frozenset()))


def _declared(path: Path, asking: frozenset[Path]) -> set[str]:
    """Names of the file which are policies, views or the like; those of neighbouring files that it builds on count."""
    data = _mentions(path) if path not in asking else None
    if data is None:
        return set()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {"?"}  # it wants to be one: the compiler says what is wrong
    known = {name for node in tree.body for name in _imported(node, path, asking | {path})}
    found: set[str] = set()
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name, bases=bases) if any(_root(base) in known | found for base in bases):
                found.add(name)
            case ast.Assign(targets=[ast.Name(id="chain")], value=ast.Call(func=maker)) if (
                _root(maker) in known
            ):
                found.add("chain")
            case _:
                pass
    return found


def _imported(node: ast.stmt, path: Path, asking: frozenset[Path]) -> Iterator[str]:
    """Names that an import takes from what policies are made of, or of policies in a file beside this one."""
    if not isinstance(node, ast.ImportFrom):
        return
    module = node.module or ""
    if _MADE_OF.fullmatch(module) and not node.level:
        yield from (alias.asname or alias.name for alias in node.names)
    elif module == "transect" and not node.level:
        yield from (a.asname or a.name for a in node.names if _MADE_OF.fullmatch(f"transect.{a.name}"))
    elif node.level < 2 and module:
        neighbour = path.parent / (module.replace(".", "/") + ".py")
        if neighbour.is_file():
            theirs = _declared(neighbour, asking)
            yield from (a.asname or a.name for a in node.names if a.name in theirs)


def _root(node: ast.expr) -> str:
    """`rpc` of `rpc.Element`, `Rpc` of `Rpc[Ask]`."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
