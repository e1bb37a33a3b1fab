# SPDX-License-Identifier: Apache-2.0
"""Hooks that end a client: when such a hook returns, by any path, no table has an entry of that client."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from transect.core import ir
from transect.core.types import KeyType, TableType


def ending(function: ir.Function, parameter: int, state: Iterable[ir.StateField]) -> ir.Function:
    """The function, which drops what tables hold under a parameter of it before it returns.

    Where state lives in the record of a client (a kernel's task storage), it is lost with that record whatever the
    policy says, so every target drops it.
    """
    client = function.params[parameter]
    assert isinstance(client.type, KeyType), f"{function.name} ends what is no client"
    key = ir.Local(client.name, type=client.type, span=function.span)
    drops = tuple(
        ir.Remove(f.name, key, function.span)
        for f in state
        if isinstance(f.type, TableType) and f.type.key == client.type
    )
    body = _before_returns(function.body, drops)
    if not body or not isinstance(body[-1], ir.Return):
        body = _with(body, drops)
    return replace(function, body=body)


def _with(block: ir.Block, drops: ir.Block) -> ir.Block:
    """The statements, then the drops, without those that the policy has just made itself."""
    return block if drops and block[-len(drops) :] == drops else (*block, *drops)


def _before_returns(block: ir.Block, drops: ir.Block) -> ir.Block:
    out: ir.Block = ()
    for s in block:
        match s:
            case ir.Return(value=value):
                assert value is None, "a hook that ends a client has no result"
                out = (*_with(out, drops), s)
            case ir.If(then=then, orelse=orelse):
                then, orelse = _before_returns(then, drops), _before_returns(orelse, drops)
                out = (*out, replace(s, then=then, orelse=orelse))
            case ir.For(body=body):
                out = (*out, replace(s, body=_before_returns(body, drops)))
            case ir.Switch(cases=cases):
                inside = tuple(replace(case, body=_before_returns(case.body, drops)) for case in cases)
                out = (*out, replace(s, cases=inside))
            case (
                ir.Let()
                | ir.Store()
                | ir.Update()
                | ir.Remove()
                | ir.Do()
                | ir.Break()
                | ir.Continue()
                | ir.Pass()
            ):
                out = (*out, s)
            case _:
                assert_never(s)
    return out
