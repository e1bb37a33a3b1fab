# SPDX-License-Identifier: Apache-2.0
"""Fields of outside data that are secret: a policy reads their digest alone.

So nothing that it keeps, says or compares can hold one, and a record with the digest in the place of the field replays
to the same decisions.
"""

from __future__ import annotations

from collections.abc import Iterator

from transect.core import ir
from transect.core.types import ViewType
from transect.core.walk import Node, children


def exposed(program: ir.Program) -> Iterator[ir.ViewField]:
    """Where a secret field is read otherwise than as the argument of a stratum's `digest`."""
    secret = {(view.name, member.name) for view in program.views for member in view.members if member.secret}
    if not secret:
        return
    below: list[Node] = [node for f in (*program.functions, *program.handlers) for node in f.body]
    below += [f.default for f in (*program.state, *program.old_state) if f.default is not None]
    while below:
        node = below.pop()
        if isinstance(node, ir.Intrinsic) and node.name.endswith(".digest"):
            below += [a.base if isinstance(a, ir.ViewField) else a for a in node.args]
            continue
        if isinstance(node, ir.ViewField) and _names(node, secret):
            yield node
        below += children(node)


def _names(node: ir.ViewField, members: set[tuple[str, str]]) -> bool:
    base = node.base.type
    return isinstance(base, ViewType) and (base.name, node.name) in members
