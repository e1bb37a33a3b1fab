# SPDX-License-Identifier: Apache-2.0
"""From a program to the class whose objects run it.

Emitted code carries the files and lines of the policy, so that tracebacks, breakpoints and coverage show the policy and
never the emitted text.
"""

from __future__ import annotations
import __future__

import ast
import importlib
import linecache
import sys
import types
from enum import IntEnum
from typing import Any

import transect.core.types
from transect import lang
from transect.core import ir, operations, stable, values
from transect.core.types import EnumType
from transect.emit.artifact import line_of
from transect.emit.py import runtime
from transect.emit.py.literals import Named
from transect.emit.py.module import Module, class_definition, module_of
from transect.emit.py.positions import Lines
from transect.emit.py.support import IMPORTED
from transect.emit.py.text import base_of


def build(program: ir.Program, raw: type[Any] | None = None, lines: Lines = linecache.getline) -> type[Any]:
    """The class of the program's objects, which derives from the class as it was written, else from its base.

    `lines` gives the lines of the program's files; for a program whose files must not be opened, pass `no_lines`.
    """
    if raw is None:
        home, name = base_of(program)
        raw = getattr(importlib.import_module(home), name)
    module = module_of(program, lines)
    space: dict[str, Any] = {
        "__name__": raw.__module__,
        "runtime": runtime,
        "types": transect.core.types,
        **{name: _imported(name) for name in IMPORTED},
        **_classes(module, raw),
    }
    exec(code_of(program, module), space)
    origin = runtime.Origin(program.path, line_of(program), program.source_hash)
    structs = [space[module.scope.classes[name]] for name in module.kept_structs]
    return runtime.policy(program.name, raw, space[module.state], space[module.fields], origin, structs)


def _imported(name: str) -> Any:
    return next(getattr(home, name) for home in (values, operations, stable, runtime) if hasattr(home, name))


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


def _classes(module: Module, raw: type[Any]) -> dict[str, type[Any]]:
    """The structs and enums as the policy's own modules know them; where they have none of that name, an equal one is
    made.
    """
    found: dict[str, type[Any]] = {}
    for name, named in module.scope.named.items():
        written = module.scope.classes[name]
        found[written] = _known(named, raw) or _like(
            class_definition(named, module.scope.classes), written, found
        )
    return found


def _known(named: Named, raw: type[Any]) -> type[Any] | None:
    for cls in raw.__mro__:
        space = vars(sys.modules.get(cls.__module__, object))
        for value in (space.get(named.name), *space.values()):  # it may have been imported under another name
            if isinstance(value, type) and value.__name__ == named.name and _is(named, value):
                return value
    return None


def _is(named: Named, value: type[Any]) -> bool:
    if isinstance(named, EnumType):
        return issubclass(value, IntEnum)
    return hasattr(value, "__dataclass_fields__")


def _like(definition: ast.stmt, name: str, known: dict[str, type[Any]]) -> type[Any]:
    space: dict[str, Any] = {**vars(lang), **known, "__name__": __name__, "IntEnum": IntEnum}
    module = ast.fix_missing_locations(ast.Module([definition], []))
    flags = __future__.annotations.compiler_flag
    exec(compile(module, f"<transect {name}>", "exec", flags=flags, dont_inherit=True), space)
    made: type[Any] = space[name]
    return made
