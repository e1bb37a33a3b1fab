# SPDX-License-Identifier: Apache-2.0
"""State fields as a body names them: `self.field`, and `old.field` in a migration."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from transect.base.diagnostic import Label, closest
from transect.core import ir

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


def own(typing: Typing, node: ast.expr) -> str | None:
    """`field` of `self.field`."""
    match node:
        case ast.Attribute(value=ast.Name(id="self"), attr=attr) if typing.scope.lookup("self") is None:
            return attr
        case ast.Attribute(value=ast.Name(id=name), attr=attr) if _is_old(typing, name):
            return f"old.{attr}"
        case _:
            return None


def _is_old(typing: Typing, name: str) -> bool:
    """The parameter of `migrate` and `migrate_back`: state of another version."""
    return typing.hook in ("migrate", "migrate_back") and name in typing.scope.params


def state_field(typing: Typing, node: ast.Attribute, name: str) -> ir.StateField | None:
    """The field, or None with a diagnostic."""
    fields = typing.policy.old_fields if name.startswith("old.") else typing.policy.fields
    if name in fields:
        return fields[name]
    bare = name.removeprefix("old.")
    if bare in typing.policy.broken:
        return None
    close = closest(bare, [f.removeprefix("old.") for f in fields])
    others: tuple[Label, ...] = ()
    if close is not None:
        declared = fields.get(close) or fields[f"old.{close}"]
        others = (Label(declared.span, "a field with a close name is declared here"),)
    if typing.policy.method(bare) is not None:
        typing.error(
            "P033",
            node,
            f"`{bare}` is a method, not a value",
            f"call it: `self.{bare}(…)`",
            label="a method",
        )
        return None
    owner = ast.unparse(node.value)
    at = typing.span(node)
    typing.error(
        "P006",
        at,
        f"no state field `{bare}`",
        f"write `{owner}.{close}`" if close else f"declare it in the class: `{bare}: int = 0`",
        label="unknown field",
        others=others,
    )
    return None
