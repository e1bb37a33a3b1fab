# SPDX-License-Identifier: Apache-2.0
"""SECURITY.md says what tests show: each row names those that do, and they exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.parts import ROOT

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
SHOWN = (
    "What runs whose code",
    "The control socket",
    "Files",
)  # sections whose sentences are rows of a table
HEAD = "| what holds | shown by |"


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n", 1)[1].partition("\n## ")[0]


def rows(title: str) -> list[tuple[str, str]]:
    lines = section(title).splitlines()
    table = lines[lines.index(HEAD) + 2 :]
    return [(says, shown) for says, shown in (line.strip("| ").split(" | ") for line in table if line)]


def named(text: str) -> Iterator[tuple[str, str]]:
    """(file, test) of `FILE`: `TEST`, `TEST`; …"""
    for path, names in re.findall(r"`(tests/[\w/]+\.py)`: ((?:`test_\w+`(?:, )?)+)", text):
        for name in re.findall(r"`(test_\w+)`", names):
            yield path, name


@pytest.mark.parametrize("title", SHOWN)
def test_each_sentence_names_its_tests(title: str) -> None:
    assert len(rows(title)) >= 7
    for says, shown in rows(title):
        assert list(named(shown)), says
        rest = re.sub(r"`(tests/[\w/]+\.py)`: ((?:`test_\w+`(?:, )?)+)", "", shown).strip("; ")
        assert rest == "", f"{rest!r} is no test"


def test_the_tests_that_are_named_exist() -> None:
    found = list(named(PAGE))
    assert len(found) > 40
    there = {
        path: {
            node.name
            for node in ast.parse((ROOT / path).read_text()).body
            if isinstance(node, ast.FunctionDef)
        }
        for path in {path for path, _ in found}
    }
    assert [(path, name) for path, name in found if name not in there[path]] == []
