# SPDX-License-Identifier: Apache-2.0
"""Pages about schedulers: the bad example gives exactly the page's code, the good one none."""

from __future__ import annotations

import pytest

from transect.base.diagnostic import Diagnostics
from transect.base.render import render_text
from transect.core.frontend import compile_text
from transect.cpu.check import check
from transect.errors import codes, page

PAGES = [
    code for code in codes() if code.startswith("C") and code not in ("C006", "C008")
]  # which the kernel alone says


def reported(code: str, mark: str) -> tuple[list[str], str]:
    found = page(code)
    assert found is not None
    (example,) = found.examples(mark)
    compiled = compile_text(example, "example.py")
    assert not compiled.diagnostics.failed, render_text(compiled.diagnostics, compiled.sources)
    diagnostics = Diagnostics()
    for diagnostic in check(compiled.programs[0]):
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
