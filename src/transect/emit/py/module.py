# SPDX-License-Identifier: Apache-2.0
"""A whole program as a module of Python: its classes, its fields, its helpers, its state with the handlers.

The parts are separate, because a policy loaded into its own module brings the real classes with it, while text that
stands alone imports or defines them.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from transect.core import ir
from transect.core.ir import FieldKind, Stage
from transect.core.passes.ordered_pick import ordered_pick
from transect.core.types import ArrayType, EnumType, StructType, Type, ViewType, spell
from transect.core.values import is_mutable
from transect.emit.py import nodes
from transect.emit.py.expressions import Expressions
from transect.emit.py.literals import Named, has_defaults, literal, named_within, type_literal, zero_of
from transect.emit.py.names import Names
from transect.emit.py.nodes import LOCAL, OUTSIDE, SELF
from transect.emit.py.positions import Lines, Places, no_lines
from transect.emit.py.scope import Needs, Scope
from transect.emit.py.statements import Statements


@dataclass(frozen=True)
class Module:
    """The parts of an emitted module, each a list of statements."""

    state: str  # the names of the class and of the dict
    fields: str
    scope: Scope
    types: list[ast.stmt]  # of structs and enums
    makers: list[ast.stmt]  # functions which store or make values of a type
    declarations: list[
        ast.stmt
    ]  # the state fields, in a dict, so that none hides a name that the next one uses
    helpers: list[ast.FunctionDef]
    code: ast.ClassDef  # the state, with the handlers

    @property
    def kept_structs(self) -> list[str]:
        """The names of the structs that the state holds."""
        held = [named for f in self.scope.program.state for named in named_within(f.type)]
        return list(dict.fromkeys(named.name for named in held if isinstance(named, StructType)))

    @property
    def body(self) -> list[ast.stmt]:
        return [*self.types, *self.makers, *self.declarations, *self.helpers, self.code]


def module_of(program: ir.Program, lines: Lines = no_lines) -> Module:
    """The parts of the module; `lines` gives the text that columns are counted in."""
    assert program.stage in (Stage.CHECKED, Stage.FLAT), f"emitted Python got {program.stage.name}"
    program = ordered_pick(program)
    scope = Scope(program)
    state, fields = (scope.names.fresh(f"{program.name}{part}") for part in ("State", "Fields"))
    for function in program.functions:
        scope.names[function.name]  # settled before any local is named
    helpers = [_helper(scope, f, lines) for f in program.functions if not scope.needs[f.name].state]
    methods = [_helper(scope, f, lines) for f in program.functions if scope.needs[f.name].state]
    handlers = [_handler(scope, h, lines) for h in program.handlers]
    types = _types(scope)
    declarations = _declarations(scope, fields)
    code = _state_class(program, state, [*methods, *handlers])
    made = Module(state, fields, scope, types, _makers(scope), declarations, helpers, code)
    for node in made.body:
        if not hasattr(node, "lineno"):
            ast.copy_location(node, ast.Pass(lineno=1, col_offset=0, end_lineno=1, end_col_offset=0))
        ast.fix_missing_locations(node)
    return made


# ---------------------------------------------------------------- functions


def _function(
    scope: Scope, f: ir.Function, lines: Lines, name: str, needs: Needs, *decorators: ast.expr
) -> ast.FunctionDef:
    names = Names(scope.names.taken)
    statements = Statements(Expressions(scope, names, Places(f.span.path, lines)), f)
    params = [names[p.name] for p in f.params]
    params += [extra for extra, wanted in ((OUTSIDE, needs.outside), (LOCAL, needs.local)) if wanted]
    body = statements.block(f.body)
    if isinstance(body[0], ast.Pass) and f.doc:
        body = []
    made = nodes.function(name, params, [*nodes.docstring(f.doc), *body], decorators)
    return statements.x.places.put(made, f.span)


def _helper(scope: Scope, f: ir.Function, lines: Lines) -> ast.FunctionDef:
    needs = scope.needs[f.name]
    made = _function(scope, f, lines, scope.names[f.name], needs)
    if needs.state:
        made.args.args.insert(0, ast.arg(SELF))
    return made


def _handler(scope: Scope, h: ir.Function, lines: Lines) -> ast.FunctionDef:
    needs = scope.hook_needs[h.name]
    options: dict[str, ast.expr] = {}
    if needs.outside:
        options["outside"] = nodes.constant(True)
    if needs.local:
        options["local"] = nodes.constant(_rpc_of(h))
    mark = nodes.call(nodes.member("runtime", "hook"), **options)
    made = _function(scope, h, lines, h.name, needs, mark)
    made.args.args.insert(0, ast.arg(SELF))
    return made


def _rpc_of(h: ir.Function) -> int:
    """Which argument stands for the RPC whose values the handler uses: the first view."""
    index = next((i for i, p in enumerate(h.params) if isinstance(p.type, ViewType)), None)
    assert index is not None, f"{h.name} uses a value of one RPC and has none"
    return index


# ---------------------------------------------------------------- state


def _declarations(scope: Scope, name: str) -> list[ast.stmt]:
    made: list[ast.stmt] = [nodes.assign(nodes.name(name), ast.Dict([], []))]
    for f in scope.program.state:
        made.append(nodes.assign(nodes.item(nodes.name(name), nodes.constant(f.name)), _field(scope, f)))
    return made


def _field(scope: Scope, f: ir.StateField) -> ast.expr:
    keywords: dict[str, ast.expr] = {}
    if f.kind is not FieldKind.STATE:
        keywords["kind"] = nodes.constant(f.kind.value)
    default = _default(scope, f)
    if default is not None:
        keywords["default"] = default
    if f.name in scope.ordered:
        keywords["ordered"] = nodes.constant(True)
    field = nodes.member("runtime", "Field")
    return nodes.call(field, type_literal(f.type, scope.types), **keywords)


def _default(scope: Scope, f: ir.StateField) -> ast.expr | None:
    """A first value that is not what `core/values.py` calls the zero, or that only this module can make."""
    if f.default is not None:
        x = Expressions(scope, Names(scope.names.taken), Places(""))
        return x.made(f.type, f.default)
    inner = f.type.item if isinstance(f.type, ArrayType) else f.type
    return zero_of(inner, scope.classes) if is_mutable(inner) else None


def _types(scope: Scope) -> list[ast.stmt]:
    """`BucketType = types.StructType(…)`, for those that the fields or the makers name; inner ones first."""
    held = [*(f.type for f in scope.program.state), *(t for t, _ in scope.makers)]
    wanted = {named.name: named for t in held for named in named_within(t)}
    made: list[ast.stmt] = []
    for name, named in wanted.items():
        constant = scope.names.fresh(f"{name}Type")
        made.append(nodes.assign(nodes.name(constant), type_literal(named, scope.types)))
        scope.types[name] = constant
    return made


def _makers(scope: Scope) -> list[ast.stmt]:
    """`stored = storer(…)`, for types whose storing is more than one expression."""
    made: list[ast.stmt] = []
    for (t, check), name in scope.makers.items():
        options = {} if check else {"check": nodes.constant(False)}
        made.append(
            nodes.assign(nodes.name(name), nodes.call("storer", type_literal(t, scope.types), **options))
        )
    return made


def _state_class(program: ir.Program, name: str, functions: list[ast.FunctionDef]) -> ast.ClassDef:
    own = [nodes.constant(f.name) for f in program.state if f.kind is not FieldKind.LOCAL]
    slots = nodes.assign(nodes.name("__slots__"), nodes.tuple_of(own))
    return nodes.class_of(
        name, [nodes.member("runtime", "State")], [*nodes.docstring(program.doc), slots, *functions]
    )


# ---------------------------------------------------------------- classes


def class_definition(named: Named, names: dict[str, str]) -> ast.stmt:
    """A struct or enum of the policy, for text that stands alone."""
    match named:
        case EnumType(name=name, members=members):
            body: list[ast.stmt] = [nodes.assign(nodes.name(m), nodes.constant(v)) for m, v in members]
            return nodes.class_of(names[name], [nodes.name("IntEnum")], body or [ast.Pass()])
        case StructType(name=name, fields=fields):
            usable = has_defaults(named)
            body = [_member(f.name, f.type, f.required or not usable, f.default, names) for f in fields]
            return nodes.class_of(names[name], [], body or [ast.Pass()], nodes.name("struct"))


def _member(name: str, t: Type, required: bool, default: object, names: dict[str, str]) -> ast.stmt:
    annotation = ast.parse(spell(t), mode="eval").body
    return ast.AnnAssign(
        nodes.target(name), annotation, None if required else literal(t, default, names), simple=1
    )
