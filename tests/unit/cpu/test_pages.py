# SPDX-License-Identifier: Apache-2.0
"""Pages about schedulers: the bad example gives exactly the page's code, the good one none."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from transect.base.diagnostic import Diagnostic, Diagnostics
from transect.base.render import render_text
from transect.core.frontend import compile_text
from transect.core.ir import Program
from transect.cpu.check import check
from transect.cpu.pace import Standstill, starvation
from transect.cpu.simulator import Work, simulate
from transect.errors import codes, page

PAGES = [
    code for code in codes() if code.startswith("C") and code not in ("C006", "C008")
]  # which the kernel alone says
SIMULATED = ("C010", "C011")  # which a simulation says


def simulated(program: Program) -> Iterable[Diagnostic]:
    """What shows on a machine that is idle now and then, and on one that is not."""
    busy = [Work("hog"), Work("nice", weight=33, start_ns=1)]
    idle = [Work("short", run_ns=1_000_000, sleep_ns=9_000_000)]
    try:
        return [
            d for work in (busy, idle) for d in starvation(program, simulate(program, work, cpus=1).starved())
        ]
    except Standstill as still:
        return still.diagnostics


def reported(code: str, mark: str) -> tuple[list[str], str]:
    found = page(code)
    assert found is not None
    (example,) = found.examples(mark)
    compiled = compile_text(example, "example.py")
    assert not compiled.diagnostics.failed, render_text(compiled.diagnostics, compiled.sources)
    diagnostics = Diagnostics()
    for diagnostic in (
        *check(compiled.programs[0]),
        *(simulated(compiled.programs[0]) if code in SIMULATED else ()),
    ):
        diagnostics.add(diagnostic)
    return sorted({d.code for d in diagnostics}), render_text(diagnostics, compiled.sources)


@pytest.mark.parametrize("code", PAGES)
def test_a_bad_example_gives_the_pages_code_and_no_other(code: str) -> None:
    found, shown = reported(code, "bad")
    assert found == [code], shown


@pytest.mark.parametrize("code", PAGES)
def test_a_good_example_gives_no_diagnostic(code: str) -> None:
    found, shown = reported(code, "good")
    assert not found, shown


def test_there_are_pages() -> None:
    assert PAGES[:5] == ["C001", "C002", "C003", "C004", "C005"]
