# SPDX-License-Identifier: Apache-2.0
"""The typing of one body: what is known at the place reached, and the entries by which its parts reach each other.

An expression with an error becomes None, and a statement with one adds nothing to the tree.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transect.base.diagnostic import Diagnostics, Label
from transect.base.span import Span
from transect.core import ir
from transect.core.frontend.bodies import conditions, expressions, statements
from transect.core.frontend.bodies.context import NUMBERS, Policy, Scope, convert, short, widen
from transect.core.frontend.bodies.facts import Facts, Present, stable
from transect.core.frontend.bodies.loops import OpenLoop
from transect.core.frontend.declare import World
from transect.core.frontend.modules import Module, surface_name
from transect.core.frontend.surface import BUILTIN_FUNCTIONS
from transect.core.ir import Block, Expr
from transect.core.types import (
    DurationType,
    EnumType,
    FloatType,
    IntType,
    OptionType,
    Type,
    UnitType,
    an,
    spell,
)

if TYPE_CHECKING:
    from transect.core.frontend.modules import ClassDef


class Typing:
    """One body's typing: names and their types, facts, complaints."""

    def __init__(
        self,
        world: World,
        module: Module,
        policy: Policy,
        scope: Scope,
        returns: Type,
        hook: str,
        owner: ClassDef | None,
    ) -> None:
        self.world = world
        self.module = module
        self.policy = policy
        self.scope = scope
        self.returns = returns
        self.hook = hook  # "" in a helper
        self.owner = owner
        self.facts = Facts(assigned=frozenset(scope.params))
        self.diagnostics = Diagnostics()
        self.open_loops: tuple[OpenLoop, ...] = ()
        self.breaks: list[Facts] = []  # what holds where the innermost loop is left
        self.continues: list[Facts] = []  # … and where a round of it ends early
        self.formats = False  # whether an f-string may stand here

    # ------------------------------------------------------------ the entries

    def block(self, body: list[ast.stmt]) -> Block:
        """Statements, with what is known after each of them."""
        return tuple(s for node in body for s in statements.statement(self, node))

    def expression(self, node: ast.expr, wanted: Type | None = None) -> Expr | None:
        """The typed expression; `wanted` gives literals their type, conversions are the caller's."""
        e = self.raw(node, wanted)
        return None if e is None else self.present(widen(e))

    def value(self, node: ast.expr, wanted: Type, what: str = "") -> Expr | None:
        """The expression, as a value of the wanted type."""
        e = self.expression(node, wanted)
        return None if e is None else self.convert(e, wanted, node, what)

    def raw(self, node: ast.expr, wanted: Type | None = None) -> Expr | None:
        """The typed expression without narrowing of options, for `is None` and `match`."""
        return expressions.raw(self, node, wanted)

    def condition(self, node: ast.expr) -> Expr | None:
        """An expression of type bool."""
        return conditions.condition(self, node)

    # ------------------------------------------------------------ complaints

    def span(self, node: ast.AST) -> Span:
        return self.module.source.span(node)

    def error(
        self,
        code: str,
        node: ast.AST | Span,
        message: str,
        help: str,
        label: str = "",
        others: Sequence[Label] = (),
        note: str = "",
    ) -> None:
        at = node if isinstance(node, Span) else self.span(node)
        self.diagnostics.error(code, message, at, label=label, others=others, help=help, note=note)

    def language_name(self, node: ast.expr) -> str:
        """The name of the language that the node stands for here, builtins among them; "" when it stands for none."""
        if not isinstance(node, ast.Name) or self.scope.lookup(node.id) is not None:
            return ""
        if node.id in self.module.names:
            return surface_name(self.module, node)
        return node.id if node.id in BUILTIN_FUNCTIONS else ""

    def may_be_none(self, node: ast.AST, t: Type) -> None:
        """Report an option that stands where its value is wanted."""
        text = short(node)
        help = f"test it first: `if {text} is not None:`"
        self.error("P022", node, f"`{text}` may be None", help, label=f"`{spell(t)}`")

    def is_parameter(self, node: ast.AST, name: str, help: str) -> bool:
        """Whether the target of an assignment is a parameter; then with a diagnostic."""
        if name not in self.scope.params:
            return False
        self.error("P037", node, f"the parameter `{name}` cannot be assigned", help, label="a parameter")
        return True

    # ------------------------------------------------------------ facts

    @contextmanager
    def assuming(self, facts: Facts) -> Iterator[None]:
        before = self.facts
        self.facts = facts
        try:
            yield
        finally:
            self.facts = before.surviving(self.facts)

    def present(self, e: Expr) -> Expr:
        """The option's value where it is known to be there."""
        if isinstance(e.type, OptionType) and stable(e) and Present(e) in self.facts.known:
            return widen(ir.Unwrap(e, type=e.type.item, span=e.span))
        return e

    # ------------------------------------------------------------ conversions

    def convert(self, e: Expr, wanted: Type, node: ast.AST, what: str = "") -> Expr | None:
        """The expression as a value of the wanted type, or None with a diagnostic."""
        converted = convert(e, wanted)
        if converted is None:
            self.mismatch(e, wanted, node, what)
        return converted

    def mismatch(self, e: Expr, wanted: Type, node: ast.AST, what: str = "") -> None:
        """Report that the expression does not have the wanted type."""
        code, help = "P011", f"give {an(wanted)}"
        if isinstance(e.type, OptionType):
            code, help = "P022", f"test it first: `if {short(node)} is not None:`"
        elif isinstance(wanted, NUMBERS) and isinstance(e.type, NUMBERS):
            code, help = "P038", _cast_help(wanted, short(node))
        elif isinstance(wanted, UnitType):
            help = "return nothing"
        message = f"{what or 'this'} is `{spell(e.type)}`, not `{spell(wanted)}`"
        self.error(code, node, message, help, label=f"`{spell(e.type)}`")


def _cast_help(wanted: Type, text: str) -> str:
    match wanted:
        case IntType(signed=True):
            return f"convert it: `as_int({text})`"
        case IntType():
            return f"convert it: `as_u64({text})`"
        case FloatType():
            return f"convert it: `as_float({text})`"
        case DurationType():
            return f"convert it: `ns({text})`, `ms({text})` or `seconds({text})`"
        case EnumType(name=name):
            return f"name a member: `{name}.…`; there is no conversion to it"
        case _:
            return f"there is no conversion to `{spell(wanted)}`"
