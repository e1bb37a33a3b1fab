# SPDX-License-Identifier: Apache-2.0
"""A policy that runs on the interpreter, which is the definition of what policies mean, behind the usual hooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transect.core.interp import Instance
from transect.llm.hooks import Queue, Refuse
from transect.llm.policies import Loaded
from transect.llm.request import Held


@dataclass(frozen=True, slots=True)
class Interpreted(Loaded):
    """As `Loaded`, except that the policy objects are interpreted."""

    def make(self, **state: Any) -> Any:
        return _Policy(Instance(self.program, {**self.params, **state}))


def interpreted(policy: Loaded) -> Interpreted:
    return Interpreted(policy.program, policy.params, policy.sources)


class _Policy:
    """The hooks by name, the state's fields, and `waiting`."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self.waiting = instance.waiting

    def __getattr__(self, name: str) -> Any:
        if name in self._instance.handlers:
            return self._hook(name)
        return self._instance.state[name]

    def _hook(self, name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            value = self._instance.call(name, args, locals=_locals(args))
            return _verdict(value) if name == "accept" else value

        return call


def _verdict(record: Any) -> Queue | Refuse:
    return Refuse(record.message) if record.__name__ == "Refuse" else Queue()


def _locals(args: tuple[Any, ...]) -> dict[Any, Any]:
    """The values that the policy keeps with a request."""
    return next((arg.__locals__ for arg in args if isinstance(arg, Held)), {})
