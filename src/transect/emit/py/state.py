# SPDX-License-Identifier: Apache-2.0
"""The state of an emitted policy, and how its handlers reach the outside.

The state object holds the fields and the emitted code, in plain attributes and without checks.  Users get the policy
object of `policy.py`, which wraps it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from transect.core import tables
from transect.core.stratum_functions import provided
from transect.core.types import ArrayType, CounterType, HistogramType, SeqType, TableType, Type
from transect.core.values import copied, zero
from transect.emit.py.ordering import OrderedTally
from transect.emit.py.waiting import Waiting
from transect.lang.functions import PolicyError
from transect.lang.tape import Tape

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Field:
    """A state field.  `default`: its first value, of an array each item's; None: empty, or the type's zero."""

    type: Type
    kind: str = "state"  # as in ir.FieldKind
    default: Any = None
    ordered: bool = False  # a tally by which the policy orders its waiting clients

    def initial(self) -> Any:
        """The first value of the field, as an object of its own."""
        match self.type:
            case ArrayType(item=item, length=length):
                return tables.Array(item, length, self.default)
            case TableType(key=key, value=value, most=most) if self.ordered:
                return OrderedTally(key, value, most)
            case TableType() | CounterType() | HistogramType() as t:
                return tables.empty(t)
            case SeqType():
                return Waiting()
            case t:
                return zero(t) if self.default is None else copied(self.default)


class State:
    """Base of every emitted state: a subclass has the fields as slots and the handlers as methods."""

    __slots__ = ("__functions__", "__lock__", "__overflow__")

    __lock__: threading.RLock  # held during each hook; the order of taking it is the order of the calls
    __overflow__: dict[str, int]  # stores that found no room, of fields that hold one value
    __functions__: dict[str, Callable[..., Any]]  # what the host gives: the stratum's functions, `trace`


def fresh_state(
    cls: type[State], fields: Mapping[str, Field], functions: Mapping[str, Callable[..., Any]]
) -> State:
    """A state with every field as it is at first."""
    state = cls()
    state.__lock__ = threading.RLock()
    state.__functions__ = dict(functions)
    single = (name for name, f in fields.items() if not isinstance(f.type, TableType | ArrayType))
    state.__overflow__ = dict.fromkeys(single, 0)
    for name, f in fields.items():
        if f.kind != "local":
            setattr(state, name, f.initial())
    return state


class Outside:
    """What one handler call learns from outside."""

    __slots__ = ("_functions", "_now", "_tape")

    def __init__(self, tape: Tape, functions: Mapping[str, Callable[..., Any]]) -> None:
        self._tape = tape
        self._functions = functions
        self._now: int | None = None

    def now(self) -> int:
        """One time for the whole call, asked when it is first wanted."""
        if self._now is None:
            self._now = self._tape.now()
        return self._now

    def rand(self) -> float:
        return (self._tape.draw() >> 11) * 2.0**-53

    def rand_below(self, n: int) -> int:
        drawn = self._tape.draw()  # also for n ≤ 0, so that the length of a tape does not depend on n
        return drawn % n if n > 0 else 0

    def trace(self, text: str) -> None:
        self._functions["trace"](text)

    def call(self, name: str, *args: Any) -> Any:
        """Call a function of the stratum: the one that the host gives, else the stratum's own, else the method of that
        name of the first argument, a view.
        """
        if name in self._functions:
            return self._functions[name](*args)
        if (given := provided(name)) is not None:
            return given(*args)
        method = getattr(args[0], name.rpartition(".")[2], None) if args else None
        if method is None:
            raise PolicyError(f"nobody gives `{name}` here; set `policy.__functions__[{name!r}]`")
        return method(*args[1:])

    def ask(self, name: str, *args: Any) -> Any:
        """The same, where the answer goes by the tape."""
        return self._tape.answer(name, lambda: self.call(name, *args))


@dataclass(frozen=True, slots=True)
class Hook:
    """How the policy object calls a handler."""

    outside: bool  # it takes an Outside after its arguments
    local: int | None  # it takes the values of one RPC after that; which argument stands for the RPC


def hook(*, outside: bool = False, local: int | None = None) -> Callable[[F], F]:
    """Marks a method of a state as a handler."""

    def mark(function: F) -> F:
        function.__hook__ = Hook(outside, local)  # type: ignore[attr-defined]
        return function

    return mark
