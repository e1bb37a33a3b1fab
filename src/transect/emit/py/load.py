# SPDX-License-Identifier: Apache-2.0
"""From a policy class, as Python imported it, to the class whose objects run what the policy means.

The source text comes through `linecache`, as tracebacks get it: from files, doctests and consoles alike.  Emitted code
carries the policy's file and lines, so tracebacks, breakpoints and coverage show the policy and never the emitted text.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import linecache
import sys
import types
from enum import IntEnum
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import transect.core.types
from transect.base.render import render_text
from transect.core import ir, operations, values
from transect.core.frontend import Compiled, compile_file, compile_text
from transect.core.types import EnumType
from transect.emit.py import runtime
from transect.emit.py.literals import Named
from transect.emit.py.module import Module, class_definition, module_of
from transect.emit.py.support import IMPORTED
from transect.emit.py.text import line_of
from transect.lang.functions import PolicyError
from transect.lang.policy import struct

_classes: WeakKeyDictionary[type[Any], type[Any]] = WeakKeyDictionary()
_compiled: dict[tuple[str, str], Compiled] = {}  # by file and hash of its text


def emitted_class(cls: type[Any]) -> type[Any]:
    """The class, a subclass of `cls`, whose objects run the policy.  Raises `PolicyError` with the diagnostics."""
    if cls not in _classes:
        path, text = source_of(cls)
        _classes[cls] = build(program_of(path, text, cls.__name__), cls)
    return _classes[cls]


def source_of(cls: type[Any]) -> tuple[str, str]:
    """The file in which the class is written, and that file's text."""
    functions = (inspect.unwrap(f) for f in vars(cls).values() if isinstance(f, types.FunctionType))
    paths = [f.__code__.co_filename for f in functions]
    module = sys.modules.get(cls.__module__)
    path = paths[0] if paths else getattr(module, "__file__", None)
    lines = linecache.getlines(path, vars(module) if module else None) if path else []
    if not path or not lines:
        raise PolicyError(
            f"the source text of `{cls.__name__}` cannot be found; write the policy into a file, "
            "or load its text by `transect.load`"
        )
    return path, "".join(lines)


def program_of(path: str, text: str, name: str) -> ir.Program:
    """The policy of that name in a text.  Raises `PolicyError`."""
    key = (path, hashlib.sha256(text.encode()).hexdigest())
    if key not in _compiled:
        on_disk = Path(path).is_file() and Path(path).read_text(encoding="utf-8-sig") == text
        _compiled[key] = compile_file(path) if on_disk else compile_text(text, path)
    compiled = _compiled[key]
    if compiled.diagnostics.failed:
        raise PolicyError("\n" + render_text(compiled.diagnostics, compiled.sources))
    found = next((p for p in compiled.programs if p.name == name), None)
    if found is None:
        raise PolicyError(
            f"{path} has no policy `{name}` at its top level; it has {[p.name for p in compiled.programs]}"
        )
    return found


# ---------------------------------------------------------------- running emitted code


def build(program: ir.Program, raw: type[Any]) -> type[Any]:
    """The class of the program's objects, which derives from the class as it was written."""
    module = module_of(program, linecache.getline)
    space: dict[str, Any] = {
        "__name__": raw.__module__,
        "runtime": runtime,
        "types": transect.core.types,
        **{name: _imported(name) for name in IMPORTED},
    }
    for name, named in module.scope.named.items():
        space[module.scope.classes[name]] = _class(named, module, raw)
    exec(code_of(program, module), space)
    origin = runtime.Origin(program.path, line_of(program), program.source_hash)
    return runtime.policy(program.name, raw, space[module.state], space[module.fields], origin)


def _imported(name: str) -> Any:
    return next(getattr(home, name) for home in (values, operations, runtime) if hasattr(home, name))


def code_of(program: ir.Program, module: Module) -> types.CodeType:
    """The module's code, each function under the file that it was written in."""
    whole = ast.fix_missing_locations(ast.Module(module.body, []))
    code = compile(whole, f"<transect {program.name}>", "exec", dont_inherit=True)
    functions = {f.name: f.span.path for f in (*program.handlers,)}
    functions |= {module.scope.names[f.name]: f.span.path for f in program.functions}
    return _with_files(code, functions, module)


def _with_files(code: types.CodeType, files: dict[str, str], module: Module) -> types.CodeType:
    constants = []
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType) and constant.co_name == module.state:
            constant = _with_files(constant, files, module)
        elif isinstance(constant, types.CodeType) and constant.co_name in files:
            constant = _in_file(constant, files[constant.co_name])
        constants.append(constant)
    return code.replace(co_consts=tuple(constants))


def _in_file(code: types.CodeType, path: str) -> types.CodeType:
    inner = [_in_file(c, path) if isinstance(c, types.CodeType) else c for c in code.co_consts]
    return code.replace(co_filename=path, co_consts=tuple(inner))


# ---------------------------------------------------------------- classes that the policy names


def _class(named: Named, module: Module, raw: type[Any]) -> type[Any]:
    """The struct or enum as the policy's own module knows it; one like it, where it has none of that name."""
    for space in _spaces(raw):
        for value in (space.get(named.name), *space.values()):
            if isinstance(value, type) and value.__name__ == named.name and _is(named, value):
                return value
    return _like(named, module)


def _spaces(raw: type[Any]) -> list[dict[str, Any]]:
    """The modules in which the class and its bases were written, then their packages' hooks."""
    modules = [sys.modules[cls.__module__] for cls in raw.__mro__ if cls.__module__ in sys.modules]
    return [dict(vars(m)) for m in modules if m.__name__ != "builtins"]


def _is(named: Named, value: type[Any]) -> bool:
    return (
        issubclass(value, IntEnum) if isinstance(named, EnumType) else hasattr(value, "__dataclass_fields__")
    )


def _like(named: Named, module: Module) -> type[Any]:
    space: dict[str, Any] = {"IntEnum": IntEnum, "struct": struct}
    definition = ast.fix_missing_locations(ast.Module([class_definition(named, module.scope.classes)], []))
    exec(compile(definition, f"<transect {named.name}>", "exec", dont_inherit=True), space)
    made: type[Any] = space[module.scope.classes[named.name]]
    return made
