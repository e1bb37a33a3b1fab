# SPDX-License-Identifier: Apache-2.0
"""An engine model from a measured profile.

The profile is a JSON object, {input: {output: [batch, prefill s per request, decode s per request]}}: so many requests
of that size, run together, for one prefill and so many decode steps as `output` says.  Decode steps are fitted as
`Times` says them, prefills as a constant and a part for each token and each request, both by least squares of relative
errors.  Everything else that an engine does between its steps is one scalar, fitted on the total time of one run of a
known schedule (first come, first served) and on nothing else.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from transect.base.bounded import whole
from transect.llm.policies import load
from transect.llm.simulator.model import Times, of
from transect.llm.simulator.run import Setting, simulate
from transect.llm.simulator.workloads import workload

_Count = Annotated[int, msgspec.Meta(ge=1)]
_Seconds = Annotated[float, msgspec.Meta(gt=0)]
_Profile = dict[_Count, dict[_Count, tuple[_Count, _Seconds, _Seconds]]]


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement: `batch` requests of that size together."""

    input: int
    output: int
    batch: int
    prefill: float  # s, of the whole batch
    decode: float  # s, of the whole batch, all steps


@dataclass(frozen=True, slots=True)
class Fit:
    times: Times
    prefill_error: float  # mean relative error
    decode_error: float


def profile(path: Path) -> list[Point]:
    """The points of a profile.  Raises `ValueError` for a file that is none."""
    try:
        found = msgspec.json.decode(whole(path), type=_Profile)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no profile: {error}") from None
    return [
        Point(x, y, batch, batch * prefill, batch * decode)
        for x, outputs in found.items()
        for y, (batch, prefill, decode) in outputs.items()
    ]


def fit(points: Sequence[Point]) -> Fit:
    """Times, unscaled.  Raises `ValueError` when the points do not determine them."""
    prefills = [((1.0, p.batch * p.input, p.batch), p.prefill) for p in points]
    prefill = _least_squares(prefills)
    step, error = _step([p for p in points if p.output > 1])
    return Fit(Times(*step, *prefill), _error(prefills, prefill), error)


def _step(points: Sequence[Point]) -> tuple[list[float], float]:
    """The decode part of `Times`, and its error.  Points of a single step are mostly what surrounds it, and not used.

    For each batch at which the small ones could end, the rest is linear.  The best fit that agrees with its own
    division counts.
    """
    found: list[tuple[float, list[float]]] = []
    for small in sorted({p.batch for p in points})[1:-2]:
        rows = [(_decode_terms(p, p.batch <= small), p.decode) for p in points]
        try:
            factors = _least_squares(rows)
        except ValueError:  # too few on one side
            continue
        if all(_is_small(p, factors) == (p.batch <= small) for p in points):
            found.append((_squares(rows, factors), factors))
    if not found:
        raise ValueError("the profile does not show where small batches end")
    best = min(found)[1]
    return best, _error([(_decode_terms(p, _is_small(p, best)), p.decode) for p in points], best)


def _is_small(p: Point, factors: Sequence[float]) -> bool:
    """Whether these times make it one of a small batch."""
    as_small, as_large = (
        sum(f * t for f, t in zip(factors, _decode_terms(p, small), strict=True)) for small in (True, False)
    )
    return as_large <= as_small


def _decode_terms(p: Point, small: bool) -> tuple[float, ...]:
    """Steps, sequences and tokens of context, over all steps, of a small batch; and of a large one."""
    steps = p.output
    context = p.batch * (p.input * steps + steps * (steps + 1) / 2)
    terms = (steps, p.batch * steps, context)
    return (*terms, 0, 0, 0) if small else (0, 0, 0, *terms)


Rows = Sequence[tuple[Sequence[float], float]]


def _least_squares(rows: Rows) -> list[float]:
    """The factors with the least sum of squared relative errors: normal equations, eliminated."""
    size = len(rows[0][0]) if rows else 0
    scaled = [[t / seconds for t in terms] for terms, seconds in rows]
    a = [
        [sum(r[i] * r[j] for r in scaled) for j in range(size)] + [sum(r[i] for r in scaled)]
        for i in range(size)
    ]
    for i in range(size):
        if abs(a[i][i]) < 1e-12:
            raise ValueError("the profile has too few different points")
        a[i] = [x / a[i][i] for x in a[i]]
        for j in range(size):
            if j != i:
                a[j] = [x - a[j][i] * y for x, y in zip(a[j], a[i], strict=True)]
    return [row[-1] for row in a]


def _squares(rows: Rows, factors: Sequence[float]) -> float:
    return sum(
        (sum(f * t for f, t in zip(factors, terms, strict=True)) / seconds - 1) ** 2
        for terms, seconds in rows
    )


def _error(rows: Rows, factors: Sequence[float]) -> float:
    errors = [
        abs(sum(f * t for f, t in zip(factors, terms, strict=True)) / seconds - 1) for terms, seconds in rows
    ]
    return sum(errors) / len(errors)


def scale(times: Times, seconds_of: Callable[[Times], float], measured: float) -> float:
    """The one scalar: with all times so many times longer, a known run takes as long as it was measured to take.

    `seconds_of` simulates that run; the mean of several perturbed ones, since one jumps by whole seconds.
    """
    low, high = 0.5, 2.0
    for _ in range(12):
        middle = (low + high) / 2
        if seconds_of(times.scaled(middle)) < measured:
            low = middle
        else:
            high = middle
    return (low + high) / 2


ENGINE = {
    "sequences": 1000,
    "quiet_steps": 10,
    "reserve": "peak",
    "longest_input": 1024,
    "longest_output": 1024,
    "batch_tokens": 3072,
    "prompt_extra": 2,
    "client_tokens": 32,
}
"""What is not measured: how the published engine (S-LoRA, as its artifact starts it) admits.

A prefill has 3,072 tokens of prompts at most (its longest request); "Hello " n times has two tokens more than n; and
each client is an adapter of rank 8, for which 4 · 8 tokens of memory are put aside while a request of it runs, although
none is loaded.
"""
SEEDS = 8  # perturbed runs whose mean is fitted


def model_text(path: Path, name: str, memory: int, trace: str, measured: float) -> str:
    """The text of a model file, from a profile and the seconds which a first-come-first-served run of the trace took.

    Raises `ValueError` for a file that is no profile, or one which does not determine the times.
    """
    fitted = fit(profile(path))
    arrivals, policy = workload(trace), load("fcfs")
    engine = {"memory_tokens": memory, **ENGINE}

    def seconds(times: Times) -> float:
        model = of(_data(name, "", times, 1.0, engine))
        return statistics.fmean(
            simulate(policy, arrivals, model, Setting(seed=seed)).seconds for seed in range(SEEDS)
        )

    factor = scale(fitted.times, seconds, measured)
    heading = (
        "# SPDX-License-Identifier: Apache-2.0\n"
        f"# Written by `transect llm calibrate {path.name} --name {name} --memory {memory} --trace {trace} "
        f"--seconds {measured}`.\n"
        f"# Mean relative error on the profile: prefill {fitted.prefill_error:.3f}, decode {fitted.decode_error:.3f}.\n"
    )
    data = _data(name, path.name, fitted.times, factor, engine)
    data["scale"]["fitted_on"] = f"the total time of {trace}, first come first served: {measured} s"
    return heading + _toml(data)


def _data(name: str, source: str, times: Times, factor: float, engine: dict[str, object]) -> dict[str, Any]:
    seconds = {field: getattr(times, field) for field in Times.__slots__}
    return {"name": name, "source": source, "seconds": seconds, "scale": {"value": factor}, "engine": engine}


def _toml(data: dict[str, Any]) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in data.items() if not isinstance(value, dict)]
    for section, values in data.items():
        if isinstance(values, dict):
            shown = (
                f"{k} = {v:.6e}" if isinstance(v, float) else f"{k} = {json.dumps(v)}"
                for k, v in values.items()
            )
            lines += ["", f"[{section}]", *shown]
    return "\n".join(lines) + "\n"
