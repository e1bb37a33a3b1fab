# SPDX-License-Identifier: Apache-2.0
"""Functions that a policy may call.  Most have a meaning inside policies only and raise `PolicyError` when called
elsewhere.  Durations work everywhere, for class bodies (`param(seconds(1))`) and tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class PolicyError(Exception):
    """A policy that cannot be compiled, or a function of the language called outside a policy; the text says what to
    do.
    """


def _only_inside(name: str) -> NoReturn:
    raise PolicyError(
        f"`{name}` has a meaning inside a policy's handlers only; build the policy and call its hook"
    )


def now() -> int:
    """The time of this handler call (`Instant`, one value per call)."""
    _only_inside("now()")


def rand() -> float:
    """A uniformly distributed number in [0, 1); each call draws a new one."""
    _only_inside("rand()")


def rand_below(n: int, /) -> int:
    """A random number in [0, n): a 64-bit draw modulo n; 0 when n ≤ 0.  Unlike `rand`, every target has it."""
    _only_inside("rand_below()")


def as_int(value: int | float, /) -> int:
    """Convert to `int`: a float is rounded toward zero and saturates (NaN → 0), a `u64` keeps its 64 bits, a bool or
    enum gives its number.

    A time gives its nanoseconds.
    """
    _only_inside("as_int()")


def as_u64(value: int | float, /) -> int:
    """Convert to `u64`: a float is rounded toward zero and saturates (NaN and negative → 0), an `int` keeps its 64
    bits.
    """
    _only_inside("as_u64()")


def as_float(value: int, /) -> float:
    """Convert to `float`, rounded to the nearest value."""
    _only_inside("as_float()")


def as_text(value: int, /) -> str:
    """A number as text in decimal; of an enum its number, of a time its nanoseconds."""
    _only_inside("as_text()")


def parse_int(value: str, /) -> int | None:
    """The number that a text is in decimal, as `-7` or `042`; None where it is anything else, or beyond 64 bits."""
    _only_inside("parse_int()")


def hash64(value: str | bytes | int, seed: int = 0, /) -> int:
    """A `u64` that is the same for the same value and seed in every target, on every machine, in every version.

    XXH64 of the bytes of a text, or of the eight of a number (least significant first).  It spreads well, for sticky
    routing, sampling and sketches, and keeps nobody from choosing values that meet.
    """
    _only_inside("hash64()")


def ns(value: int, /) -> int:
    """A `Duration` of that many nanoseconds."""
    return value


def us(value: int, /) -> int:
    """A `Duration` of that many microseconds."""
    return value * 1_000


def ms(value: int, /) -> int:
    """A `Duration` of that many milliseconds."""
    return value * 1_000_000


def seconds(value: int, /) -> int:
    """A `Duration` of that many seconds."""
    return value * 1_000_000_000


def mul_div(a: int, b: int, c: int, /) -> int:
    """`a * b // c` with a product of 128 bits; the quotient keeps its low 64 bits, and is 0 when c is 0."""
    _only_inside("mul_div()")


def fits(value: str | bytes, size: int = 64, /) -> bool:
    """Whether a text or bytes has at most `size` bytes."""
    _only_inside("fits()")


def trace(message: str, /) -> None:
    """Write a line to the operator's log (an f-string); never part of a verdict."""
    _only_inside("trace()")


def drop(key: Any, /) -> None:
    """Delete whatever this policy's tables hold under `key` (a client or task that leaves)."""
    _only_inside("drop()")


def helper(function: Callable[P, R], /) -> Callable[P, R]:
    """Mark a function of the module as part of the policies which call it."""

    def refuse(*args: P.args, **kwargs: P.kwargs) -> R:
        _only_inside(f"{function.__name__}()")

    refuse.__name__ = function.__name__
    refuse.__doc__ = function.__doc__
    return refuse


def intrinsic(*, effect: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a stratum's function or view method which its runtime provides (used by strata).

    `effect`: pure, clock, random, outside-read, outside-write, report.
    """

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        vars(function)["__intrinsic__"] = True
        return function

    return mark


def ends(parameter: str, /) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a hook after which a client or task no longer exists (used by strata and shapes).  When the hook returns,
    every entry under that parameter is dropped from the policy's tables, also if the policy overrides the hook.
    """

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        return function

    return mark


def nonempty(given: str, /) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a hook which is called only while the given field (`waiting`) is not empty (used by strata and shapes)."""

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        return function

    return mark
