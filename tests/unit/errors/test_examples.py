# SPDX-License-Identifier: Apache-2.0
"""Every page's bad example gives exactly the page's code, and its good example none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import transect
from transect.base.render import render_text
from transect.core.frontend import compile_text
from transect.errors import Page, codes, page

FRONT_END = {code for code in codes() if code.startswith("P")}
WITHOUT_EXAMPLES = {"P002": "a text in a page is UTF-8 and can be read"}


def reported(code: str) -> list[str]:
    compiled = compile_text(code, "example.py")
    return sorted({d.code for d in compiled.diagnostics})


def text_of(code: str) -> str:
    compiled = compile_text(code, "example.py")
    return render_text(compiled.diagnostics, compiled.sources)


def written(code: str) -> Page:
    found = page(code)
    assert found, f"{code} has no page"
    return found


def examples(mark: str) -> list[tuple[str, str]]:
    return [(code, example) for code in sorted(FRONT_END) for example in written(code).examples(mark)]


@pytest.mark.parametrize(("code", "example"), examples("bad"))
def test_a_bad_example_gives_the_pages_code_and_no_other(code: str, example: str) -> None:
    assert reported(example) == [code], text_of(example)


@pytest.mark.parametrize(("code", "example"), examples("good"))
def test_a_good_example_gives_no_diagnostic(code: str, example: str) -> None:
    assert not reported(example), text_of(example)


def test_every_page_of_the_front_end_has_both_examples_or_a_reason() -> None:
    both = {code for code in FRONT_END if written(code).examples("bad") and written(code).examples("good")}
    assert FRONT_END - both == set(WITHOUT_EXAMPLES)


def test_no_page_has_one_example_alone() -> None:
    for code in codes():
        assert bool(written(code).examples("bad")) == bool(written(code).examples("good")), code


def used() -> set[str]:
    """Codes that the package's sources report.  I… are the verifiers': a user never meets them."""
    root = Path(transect.__file__).parent
    found: set[str] = set()
    for path in root.rglob("*.py"):
        found |= set(re.findall(r'"([A-HJ-Z]\d{3})"', path.read_text()))
    return found


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert used() == set(codes())
