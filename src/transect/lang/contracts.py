# SPDX-License-Identifier: Apache-2.0
"""What a policy promises, for `transect prove`: conditions beside the handlers, which no target runs.

    @invariant(lambda self: self.running >= 0)
    class Limit(Element):
        running: int = 0

        @requires(lambda self, rpc: self.running < 100)
        @ensures(lambda self, rpc, verdict: self.running <= 100)
        def request(self, rpc: Rpc) -> Verdict: ...

A condition is a lambda of one expression; anything longer goes into a helper of the policy, which the lambda calls.
The state that `ensures` sees is the one after the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])
C = TypeVar("C", bound=type)
T = TypeVar("T")


def requires(condition: Callable[..., bool], /) -> Callable[[F], F]:
    """Promise that the handler is called only when this holds: `lambda self, <its parameters>: …`."""
    return _unchanged


def ensures(condition: Callable[..., bool], /) -> Callable[[F], F]:
    """Promise that this holds when the handler returns: `lambda self, <its parameters>, <its result, if it has one>:
    …`.
    """
    return _unchanged


def invariant(condition: Callable[..., bool], /) -> Callable[[C], C]:
    """Promise that this holds in the initial state, and before and after every call: `lambda self: …`."""
    return _unchanged


def _unchanged(marked: T) -> T:
    return marked
