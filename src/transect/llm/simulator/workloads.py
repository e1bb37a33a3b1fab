# SPDX-License-Identifier: Apache-2.0
"""The workloads of the paper (OSDI'24, section 5) by name.

Rates in requests per second; 256 tokens in and out and ten minutes unless stated otherwise.  `real` and `overload` are
the published traces; the others follow the paper's description, with numbers of our own where it gives none.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from transect.base.diagnostic import closest
from transect.base.unavailable import Unavailable
from transect.llm.simulator.trace import Arrival, Trace, in_order, read

MINUTES = 60.0
LENGTH = 600.0  # s
TOKENS = 256

Sizes = tuple[int, int]


def steady(
    client: str,
    rate: float,
    sizes: Sizes = (TOKENS, TOKENS),
    *,
    begin: float = 0.0,
    end: float = LENGTH,
    on_off: float = 0.0,
) -> Iterator[Arrival]:
    """Evenly spaced arrivals from a random phase; `on_off`: only in every other period of that many seconds."""
    at = begin + (random.Random(f"{client} {rate}").random() + 1) / rate
    while at < end:
        if not on_off or int(at // on_off) % 2 == 0:
            yield Arrival(at, client, *sizes)
        at += 1 / rate


def poisson(
    client: str, rate: float, sizes: Sizes, *, seed: int = 42, end: float = LENGTH
) -> Iterator[Arrival]:
    """Arrivals of a Poisson process."""
    draw = random.Random(f"{client} {rate} {seed}")
    at = draw.expovariate(rate)
    while at < end:
        yield Arrival(at, client, *sizes)
        at += draw.expovariate(rate)


def ramp(client: str, first: float, last: float, end: float = LENGTH) -> Iterator[Arrival]:
    """A rate that grows evenly."""
    at = 1 / first
    while at < end:
        yield Arrival(at, client, TOKENS, TOKENS)
        at += 1 / (first + (last - first) * at / end)


def _overload_multi() -> Iterator[Arrival]:
    for client, rate in enumerate([0.4] * 3 + [0.6] * 5):
        yield from steady(str(client), rate, end=6 * MINUTES)


def _weighted() -> Iterator[Arrival]:
    for client, rate in enumerate([0.8, 0.8, 1.2, 1.6]):
        yield from steady(str(client), rate, end=6 * MINUTES)


def _proportional() -> Iterator[Arrival]:
    for client, rate in enumerate([0.25, 0.5, 1.5]):
        yield from steady(str(client), rate)


def _on_off_less() -> Iterator[Arrival]:
    yield from steady("0", 0.5, on_off=60)
    yield from steady("1", 2)


def _on_off_overload() -> Iterator[Arrival]:
    yield from steady("0", 2, on_off=60)
    yield from steady("1", 3)


def _poisson_short_long() -> Iterator[Arrival]:
    yield from poisson("0", 8, (64, 64))
    yield from poisson("1", 1.5, (256, 256))


def _poisson_short_long_2() -> Iterator[Arrival]:
    yield from poisson("0", 8, (512, 32))
    yield from poisson("1", 1.5, (32, 512))


def _increase() -> Iterator[Arrival]:
    yield from steady("0", 0.5)
    yield from ramp("1", 0.2, 2)


def _dist_shift() -> Iterator[Arrival]:
    """Three phases of 300 s: a client that comes and goes beside a busy one; both overload; both less, unequally."""
    first, second, third = 300.0, 600.0, 900.0
    yield from steady("0", 0.5, on_off=60, end=first)
    yield from steady("1", 2.0, end=first)
    for client, rate in (("0", 1.0), ("1", 1.0)):
        yield from steady(client, rate, begin=first, end=second)
    for client, rate in (("0", 0.5), ("1", 1.5)):
        yield from steady(client, rate, begin=second, end=third)


_MADE: dict[str, Callable[[], Iterator[Arrival]]] = {
    "overload_multi": _overload_multi,
    "weighted": _weighted,
    "proportional": _proportional,
    "on_off_less": _on_off_less,
    "on_off_overload": _on_off_overload,
    "poisson_short_long": _poisson_short_long,
    "poisson_short_long_2": _poisson_short_long_2,
    "increase": _increase,
    "dist_shift": _dist_shift,
}
_PUBLISHED = {"real": "real_trace", "overload": "overload_vtc"}
NAMES = (*_PUBLISHED, *_MADE)


def workload(name: str) -> Trace:
    """A workload by name, or a trace from a CSV file.  Raises `Unavailable`, saying which there are."""
    if name in _PUBLISHED:
        return replace(read(_PUBLISHED[name]), name=name)
    if name in _MADE:
        weights = {str(i): 100 * (i + 1) for i in range(4)} if name == "weighted" else {}
        return Trace(name, in_order(_MADE[name]()), weights)
    if name.endswith(".csv"):
        return read(name)
    near = closest(name, NAMES)
    hint = f"did you mean `{near}`?" if near else f"a CSV file, or one of: {', '.join(NAMES)}"
    raise Unavailable(f"the workload {name}", "there is none of that name", hint)


def varied(trace: Trace, spread: float, seed: int) -> Trace:
    """The trace with output lengths uniform within ± spread of what they were."""
    draw = random.Random(seed)
    changed = (
        replace(a, output=max(1, round(a.output * draw.uniform(1 - spread, 1 + spread))))
        for a in trace.arrivals
    )
    return replace(trace, name=f"{trace.name} ± {spread:.0%}", arrivals=tuple(changed))


def forecast(spread: float, seed: int) -> Callable[[Arrival], int]:
    """An oracle that errs: hints uniform within ± spread of the true output (0: exact)."""
    draw = random.Random(seed)
    return lambda a: max(1, round(a.output * draw.uniform(1 - spread, 1 + spread))) if spread else a.output
