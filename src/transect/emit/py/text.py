# SPDX-License-Identifier: Apache-2.0
"""A program as Python text which stands alone: it needs transect, and not the policy's own file."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePath

from transect.core import ir
from transect.core.types import EnumType
from transect.emit.artifact import line_of
from transect.emit.py import nodes
from transect.emit.py.literals import named_of_stratum
from transect.emit.py.module import Module, class_definition, module_of
from transect.emit.py.support import IMPORTED


def text_of(program: ir.Program, version: str) -> str:
    """The text; its head names the policy, its line and the hash of its sources."""
    module = module_of(program)
    own = own_classes(program, module)
    classes = [class_definition(module.scope.named[name], module.scope.classes) for name in own]
    made = _made(program, module)
    body = [*classes, *module.body, made]
    imports = _imports(program, module, own, body)
    head = nodes.docstring(_head(program, version))
    whole = ast.Module([*head, *imports, *body], [])
    return _spaced(ast.fix_missing_locations(whole))


def own_classes(program: ir.Program, module: Module) -> list[str]:
    """The structs and enums that the policy's files define, inner ones first."""
    stratum = named_of_stratum(program)
    return [name for name in module.scope.named if name not in stratum]


def _head(program: ir.Program, version: str) -> str:
    return (
        f"Policy {program.name} from {PurePath(program.path).name}, line {line_of(program)}, "
        f"sha256 {program.source_hash}.\n\n"
        f"Emitted by transect {version}.  Change the policy, not this file.\n"
    )


def _made(program: ir.Program, module: Module) -> ast.stmt:
    """`Acl = runtime.policy('Acl', Element, AclState, AclFields, runtime.Origin(…))`."""
    origin = nodes.call(
        nodes.member("runtime", "Origin"),
        nodes.constant(PurePath(program.path).name),
        nodes.constant(line_of(program)),
        nodes.constant(program.source_hash),
    )
    made = nodes.call(
        nodes.member("runtime", "policy"),
        nodes.constant(program.name),
        nodes.name(base_of(program)[1]),
        nodes.name(module.state),
        nodes.name(module.fields),
        origin,
    )
    if module.kept_structs:
        structs = nodes.tuple_of(nodes.name(module.scope.classes[s]) for s in module.kept_structs)
        made.keywords.append(ast.keyword("structs", structs))
    return nodes.assign(nodes.name(program.name), made)


def base_of(program: ir.Program) -> tuple[str, str]:
    """The module and the name of the class that gives the hooks."""
    stratum, _, name = program.base.rpartition(".")
    return (f"transect.{stratum}.hooks" if stratum else "transect.shapes", name)


def _imports(program: ir.Program, module: Module, own: list[str], body: list[ast.stmt]) -> list[ast.stmt]:
    used = {node.id for statement in body for node in ast.walk(statement) if isinstance(node, ast.Name)}
    wanted: dict[str, set[str]] = defaultdict(set)
    for name in used & set(IMPORTED):
        wanted[IMPORTED[name]].add(name)
    if "types" in used:
        wanted["transect.core"].add("types")
    wanted["transect.emit.py"].add("runtime")
    wanted[base_of(program)[0]].add(base_of(program)[1])
    kinds = {type(module.scope.named[name]) for name in own}
    if EnumType in kinds:
        wanted["enum"].add("IntEnum")
    if kinds - {EnumType}:
        wanted["transect.lang"].add("struct")
    for name in set(module.scope.named) - set(own):
        if module.scope.classes[name] in used:
            wanted[f"transect.{program.stratum}.hooks"].add(name)
    future = ast.ImportFrom("__future__", [ast.alias("annotations")], 0)
    return [future, *(ast.ImportFrom(m, _aliases(names), 0) for m, names in sorted(wanted.items()))]


def _aliases(names: Iterable[str]) -> list[ast.alias]:
    return [ast.alias(name) for name in sorted(names)]


def _spaced(module: ast.Module) -> str:
    """The text with two lines between definitions, as people write it."""
    text = ""
    for before, node in zip([None, *module.body], module.body, strict=False):
        definition = isinstance(node, ast.ClassDef | ast.FunctionDef)
        after = isinstance(before, ast.ClassDef | ast.FunctionDef)
        same = type(before) is type(node) and not definition
        gap = "" if before is None or same else "\n\n" if definition or after else "\n"
        text += (
            f"{gap}{ast.unparse(ast.Module([node], []))}\n"  # as a module: a docstring is then written as one
        )
    return text
