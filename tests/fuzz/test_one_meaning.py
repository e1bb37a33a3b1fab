# SPDX-License-Identifier: Apache-2.0
"""One meaning: random programs on random calls show the same in the interpreter, in emitted Python of two versions and
in emitted C under sanitizers; and together they reach every (node, type) pair that the front end can produce.

`make test` takes programs that are chosen by what they reach (`tests/fuzz/chosen.py`).  FUZZ_SECONDS=600 takes all that
those are chosen from, goes on that long with programs never seen before, and makes what it finds small.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.chosen import PROGRAMS, chosen
from tests.fuzz.compare import (
    SITUATIONS,
    Refused,
    Report,
    case,
    compare,
    difference,
    explain,
    implementations,
    own_text,
)
from tests.fuzz.coverage import pairs
from tests.fuzz.machines import emitted
from tests.fuzz.probes import producible
from tests.parts import need
from transect.emit.py.build import build

pytestmark = pytest.mark.timeout(0)  # whichever comes first waits for all programs

BATCH = 100  # programs a compilation
EXPLAINED = 3  # differences that are made small and shown


SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))


@cache
def _seeds() -> Sequence[int]:
    return range(PROGRAMS) if SECONDS else chosen()


def _path(name: str) -> Path:
    found = need(name)
    assert isinstance(found, Path)
    return found


def _compared(seeds: Sequence[int]) -> Report:
    """One batch, in a process of its own."""
    return compare(seeds, implementations(_path))


def _reaching(missing: set[str]) -> list[list[int]]:
    """Further programs with pairs that no other has: which pairs come by chance once in thousands may vary."""
    found: dict[str, int] = {}
    for seed in range(PROGRAMS, 4 * PROGRAMS):
        try:
            found |= dict.fromkeys(pairs(case(seed, count=1).program) & missing - found.keys(), seed)
        except Refused:
            continue
        if len(found) == len(missing):
            break
    return [sorted(set(found.values()))] if found else []


@pytest.fixture(scope="module")
def report() -> Report:
    """What came of all programs."""
    found = Report()
    implementations(_path)  # what is lacking here is said before the work begins
    workers = max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        seeds = _seeds()
        for part in pool.map(_compared, [seeds[at : at + BATCH] for at in range(0, len(seeds), BATCH)]):
            found.add(part)
        missing = producible() - found.pairs
        while missing and (more := _reaching(missing)):
            for part in pool.map(_compared, more):
                found.add(part)
            missing -= found.pairs
        over = time.monotonic() + SECONDS
        fresh = random.randrange(10**6, 10**12)
        while time.monotonic() < over and not found.different:
            for part in pool.map(
                _compared, [range(at, at + BATCH) for at in range(fresh, fresh + workers * BATCH, BATCH)]
            ):
                found.add(part)
            fresh += workers * BATCH
    return found


@pytest.mark.needs("gcc", "python3.11", "python3.13")
def test_no_program_means_two_things(report: Report) -> None:
    machines = implementations(_path)
    shown = [explain(seed, name, machines[name]) for seed, name in report.different[:EXPLAINED]]
    assert not report.different, f"{len(report.different)} of {report.programs} programs:\n\n" + "\n\n".join(
        shown
    )
    assert len(report.texts) >= len(_seeds())  # distinct ones


@pytest.mark.needs("gcc", "python3.11", "python3.13")
def test_the_front_end_takes_every_generated_program(report: Report) -> None:
    assert not report.refused, "\n\n".join(report.refused[:3])


@pytest.mark.needs("gcc", "python3.11", "python3.13")
def test_the_programs_meet_full_tables_long_texts_and_extremes(report: Report) -> None:
    assert not SITUATIONS - report.situations


@pytest.mark.needs("gcc", "python3.11", "python3.13")
def test_the_programs_reach_every_pair_of_node_and_type(
    report: Report, record_property: Callable[[str, Any], None]
) -> None:
    wanted = producible()
    missing = sorted(wanted - report.pairs)
    record_property("pairs", f"{len(wanted) - len(missing)} of {len(wanted)}")
    print(f"(node, type) pairs reached: {len(wanted) - len(missing)} of {len(wanted)}")
    assert not missing, missing


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(0, 2**16), max_size=400), st.integers(0, 2**32))
def test_hypothesis_finds_no_program_that_python_reads_otherwise(numbers: list[int], seed: int) -> None:
    try:
        one = case(seed, numbers)
    except Refused as refused:
        pytest.fail(str(refused))
    seen = emitted(build(one.program), one.calls)
    assert seen == one.expected, f"{own_text(one)}\n{difference(one, seen)}"
