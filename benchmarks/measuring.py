# SPDX-License-Identifier: Apache-2.0
"""How a claim is measured: both sides in turn, medians, a bootstrap interval, the baseline against itself, a control.

A benchmark is a folder with `run.py`, which prints one result, and `expected.toml`, which holds the claim:

    id = "rpc.python_chain"
    source = "our own"                 # or paper and section
    [target.p50]
    limit = 1.06
    at_most = true                     # false: at least
    ratio = true                       # compared with a baseline in the same rounds

A ratio whose A/A interval is wider than the distance from the target to 1 is undecided, never true.
"""

from __future__ import annotations

import compileall
import json
import os
import platform
import random
import statistics
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transect.base.unavailable import Unavailable

Numbers = Mapping[str, float]
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Target:
    limit: float
    at_most: bool = True
    ratio: bool = False
    null: float = 1.0  # what the baseline against itself comes to: 1 for a ratio, 0 for a saving

    def met(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit


@dataclass(frozen=True, slots=True)
class Claim:
    id: str
    source: str
    targets: dict[str, Target]


@dataclass(frozen=True, slots=True)
class Control:
    """A toy which must fall short of the claim."""

    name: str
    failed: bool


@dataclass(slots=True)
class Samples:
    """What the rounds gave, by key; for a ratio also the baseline against itself."""

    values: dict[str, list[float]] = field(default_factory=dict)
    aa: dict[str, list[float]] = field(default_factory=dict)

    def add(self, key: str, value: float, aa: float | None = None) -> None:
        self.values.setdefault(key, []).append(value)
        if aa is not None:
            self.aa.setdefault(key, []).append(aa)


def installed() -> dict[str, str]:
    """The environment of a user, for whom pip compiles what it installs: so our own files are compiled now."""
    source = Path(__file__).parents[1] / "src"
    assert compileall.compile_dir(source, quiet=2), "every file of ours compiles"
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def claim(script: str) -> Claim:
    """The claim beside a `run.py` (give `__file__`)."""
    data = tomllib.loads((Path(script).parent / "expected.toml").read_text())
    return Claim(data["id"], data["source"], {k: Target(**t) for k, t in data["target"].items()})


def interleaved(
    ours: Callable[[], Numbers], baseline: Callable[[], Numbers], rounds: int, *, into: Samples | None = None
) -> Samples:
    """Ratios ours / baseline of every key, round by round; the baseline runs twice a round, for the A/A control.

    The order within a round rotates, so that no side always comes first.
    """
    samples = Samples() if into is None else into
    for number in range(rounds):
        sides = [("ours", ours), ("first", baseline), ("second", baseline)]
        turn = number % 3
        got = {name: run() for name, run in (*sides[turn:], *sides[:turn])}
        for key in got["ours"]:
            base = (got["first"][key] + got["second"][key]) / 2
            samples.add(key, got["ours"][key] / base, got["first"][key] / got["second"][key])
    return samples


def spread(values: Sequence[float]) -> tuple[float, float]:
    """A bootstrap 95 % interval of the median."""
    rng = random.Random(len(values))
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES) - 1]


def result(
    of: Claim, samples: Samples, controls: Sequence[Control] = (), **conditions: Any
) -> dict[str, Any]:
    """The claim's result; `holds` is None when the machine is too noisy to tell."""
    medians = {key: statistics.median(values) for key, values in samples.values.items()}
    why = _why(of, samples, medians, controls)
    holds = all(of.targets[key].met(medians[key]) for key in of.targets if key in medians)
    return {
        "id": of.id,
        "value": medians,
        "target": {key: t.limit for key, t in of.targets.items()},
        "holds": None if why else holds,
        "why": why,
        "aa": {key: _interval(values) for key, values in samples.aa.items()},
        "rounds": max(map(len, samples.values.values()), default=0),
        "spread": {key: _interval(values) for key, values in samples.values.items()},
        "machine": {
            "cpus": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
        "controls": [{"name": c.name, "failed": c.failed} for c in controls],
        "source": of.source,
        **conditions,
    }


def _why(of: Claim, samples: Samples, medians: Numbers, controls: Sequence[Control]) -> str:
    missing = [key for key in of.targets if key not in medians]
    if missing:
        return f"not measured: {', '.join(missing)}"
    passed = [c.name for c in controls if not c.failed]
    if passed:
        return f"the control passes as well: {', '.join(passed)}"
    for key, target in of.targets.items():
        if target.ratio:
            low, high = spread(samples.aa[key])
            if high - low > abs(target.limit - target.null):
                return f"noise: the baseline against itself spans {high - low:.3f} for {key}"
    return ""


def _interval(values: Sequence[float]) -> dict[str, float]:
    low, high = spread(values)
    return {"low": low, "high": high}


def report(found: Mapping[str, Any], script: str) -> None:
    """Print the result, and keep it under `results/` beside the script."""
    folder = Path(script).parent / "results"
    folder.mkdir(exist_ok=True)
    text = json.dumps(found, indent=2)
    (folder / "latest.json").write_text(text + "\n")
    print(text)
    sys.stdout.flush()


def begin(main: Callable[[], None]) -> None:
    """Run a benchmark; if something is missing here, say what, and end with exit code 3."""
    try:
        main()
    except Unavailable as lacking:
        print(lacking, file=sys.stderr)
        raise SystemExit(3) from None
