# SPDX-License-Identifier: Apache-2.0
"""Plain values written in a class: literals, named constants, durations, enum members, and numbers made of these."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Protocol

from transect.base.diagnostic import Diagnostics
from transect.core.frontend.constants import Plain, constant_int, fit, literal
from transect.core.frontend.modules import Binding, ClassDef, ConstantDef, Module, surface_name
from transect.core.frontend.surface import DURATION_UNITS
from transect.core.types import DurationType, EnumType, IntType, OptionType, StructType, TupleType, Type

_NONE: tuple[bool, Plain] = (False, None)
Seen = tuple[ConstantDef, ...]  # constants that are being read, to find a cycle


class Declarations(Protocol):
    """What the names of one compilation stand for, as far as plain values are made of it."""

    diagnostics: Diagnostics
    structs: dict[int, StructType | None]  # by the identity of their classes

    def binding(self, module: Module, node: ast.expr) -> Binding | None: ...

    def kind(self, cls: ClassDef) -> str: ...

    def enum(self, cls: ClassDef) -> EnumType: ...

    def enum_numbers(self, cls: ClassDef) -> Mapping[str, int]: ...

    def type_of(self, module: Module, node: ast.expr) -> Type | None: ...


def plain(
    world: Declarations, module: Module, node: ast.expr, t: Type, seen: Seen = ()
) -> tuple[bool, Plain]:
    """Whether the node stands for a plain value of the type, and the value."""
    ok, value = literal(node, t)
    if ok:
        return ok, value
    inner = t.item if isinstance(t, OptionType) else t
    binding = world.binding(module, node) if isinstance(node, ast.Name | ast.Attribute) else None
    match node:
        case _ if isinstance(binding, ConstantDef) and binding not in seen:
            named = binding.node.value
            return _NONE if named is None else plain(world, binding.module, named, t, (*seen, binding))
        case ast.Tuple(elts=elts) if isinstance(inner, TupleType):
            return _all(world, module, elts, inner.items, seen)
        case ast.Call(func=func) if isinstance(inner, StructType):
            return _struct(world, module, node, func, inner, seen)
        case ast.Attribute(value=owner, attr=member) if isinstance(inner, EnumType):
            return _member(world, module, owner, member, inner)
        case ast.Call(func=func, args=[count]) if (unit := surface_name(module, func)) in DURATION_UNITS:
            units = number(world, module, count, seen)
            fits = units is not None and isinstance(inner, DurationType)
            return fit(units * DURATION_UNITS[unit], t) if fits and units is not None else _NONE
        case _:
            whole = number(world, module, node, seen)
            return _NONE if whole is None or not isinstance(inner, IntType) else fit(whole, t)


def _all(
    world: Declarations, module: Module, nodes: list[ast.expr], types: Sequence[Type], seen: Seen
) -> tuple[bool, Plain]:
    """The items of a tuple."""
    if len(nodes) != len(types):
        return _NONE
    found = [plain(world, module, node, t, seen) for node, t in zip(nodes, types, strict=True)]
    return all(ok for ok, _ in found), tuple(value for _, value in found)


def _struct(
    world: Declarations, module: Module, node: ast.Call, func: ast.expr, t: StructType, seen: Seen
) -> tuple[bool, Plain]:
    """The fields of a struct in order, as a tuple."""
    binding = world.binding(module, func)
    names = [f.name for f in t.fields]
    given = dict(zip(names, node.args, strict=False)) | {k.arg or "": k.value for k in node.keywords}
    twice = len(given) < len(node.args) + len(node.keywords)
    if (
        not isinstance(binding, ClassDef)
        or world.structs.get(id(binding)) != t
        or twice
        or set(given) - set(names)
    ):
        return _NONE
    values: list[Plain] = []
    for f in t.fields:
        ok, value = not f.required, f.default
        if f.name in given:
            ok, value = plain(world, module, given[f.name], f.type, seen)
        if not ok:
            return _NONE
        values.append(value)  # type: ignore[arg-type]  # a default is plain
    return True, tuple(values)


def _member(
    world: Declarations, module: Module, owner: ast.expr, member: str, t: EnumType
) -> tuple[bool, Plain]:
    """`Code.OK`"""
    binding = world.binding(module, owner)
    if not isinstance(binding, ClassDef) or world.kind(binding) != "enum" or world.enum(binding) != t:
        return _NONE
    value = world.enum_numbers(binding).get(member)
    return value is not None, value


def readable(world: Declarations, module: Module, node: ast.expr, seen: Seen = ()) -> bool:
    """Whether the node stands for a plain value of some type."""
    binding = world.binding(module, node) if isinstance(node, ast.Name | ast.Attribute) else None
    match node:
        case _ if isinstance(binding, ConstantDef) and binding not in seen:
            named = binding.node.value
            return named is not None and readable(world, binding.module, named, (*seen, binding))
        case ast.Constant(value=value):
            return isinstance(value, bool | int | float | str | bytes | None)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=float())):
            return True
        case ast.Tuple(elts=elts):
            return all(readable(world, module, e, seen) for e in elts)
        case ast.Attribute(value=owner, attr=member):
            enum = world.binding(module, owner)
            return (
                isinstance(enum, ClassDef)
                and world.kind(enum) == "enum"
                and member in world.enum_numbers(enum)
            )
        case ast.Call(func=func, args=args, keywords=keywords):
            made = world.binding(module, func)
            known = isinstance(made, ClassDef) and world.kind(made) == "struct"
            within = [*args, *(k.value for k in keywords)]
            return (known or surface_name(module, func) in DURATION_UNITS) and all(
                readable(world, module, e, seen) for e in within
            )
        case _:
            return number(world, module, node, seen) is not None


def is_constant(world: Declarations, constant: ConstantDef) -> bool:
    """Whether a constant's value is a plain one, of the type that it says; else a diagnostic, once."""
    module, node = constant.module, constant.node
    if node.value is None or _stands_for_a_value(world, constant, node.value):
        return True
    world.diagnostics.error(
        "P028",
        f"`{ast.unparse(node.target)}` is not a constant",
        module.source.span(node.value),
        label="not a plain value",
        help="write a number, text, True, False, None, a duration, a member of an enum, or a tuple of these",
    )
    return False


def _stands_for_a_value(world: Declarations, constant: ConstantDef, value: ast.expr) -> bool:
    """Also true if its declared type has a diagnostic."""
    declared = constant.node.annotation
    if not isinstance(declared, ast.Subscript):
        return readable(world, constant.module, value, (constant,))
    t = world.type_of(constant.module, declared.slice)
    return t is None or plain(world, constant.module, value, t, (constant,))[0]


def number(world: Declarations, module: Module, node: ast.expr, seen: Seen = ()) -> int | None:
    """The value of an integer expression of literals and named constants, or None."""

    def named(name: ast.expr) -> int | None:
        binding = world.binding(module, name)
        if not isinstance(binding, ConstantDef) or binding in seen or binding.node.value is None:
            return None
        return number(world, binding.module, binding.node.value, (*seen, binding))

    return constant_int(node, named)
