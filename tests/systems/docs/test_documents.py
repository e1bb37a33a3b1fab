# SPDX-License-Identifier: Apache-2.0
"""README, tutorial and the pages on testing and on elements do what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.systems.docs.documents import Block, matches, run_section, sections

ROOT = Path(__file__).parents[3]
DOCUMENTS = (
    "README.md",
    "docs/tutorial.md",
    "docs/testing.md",
    "docs/gateway.md",
    "docs/rpc-mesh.md",
    "docs/rpc-writing-an-element.md",
)
SECTIONS = [(name, i, blocks) for name in DOCUMENTS for i, blocks in enumerate(sections(ROOT / name))]


@pytest.mark.part("docs")
@pytest.mark.needs("envoy", "clang-19", "wasm-ld-19")
@pytest.mark.parametrize(("name", "number", "blocks"), SECTIONS, ids=[f"{n}-{i}" for n, i, _ in SECTIONS])
def test_a_section_does_what_it_says(name: str, number: int, blocks: list[Block], tmp_path: Path) -> None:
    commands = run_section(blocks, tmp_path)
    assert commands or not any(b.kind == "console" for b in blocks)


def test_the_documents_have_commands() -> None:
    assert sum(b.kind == "console" for _, _, blocks in SECTIONS for b in blocks) >= 4


def test_dots_stand_for_anything_and_nothing_else_does() -> None:
    assert matches("a 1 b\nc\n", "a … b\nc")
    assert not matches("a 1 b\nd\n", "a … b\nc")


def test_a_time_stands_for_any_time() -> None:
    assert matches("a 12 µs p50   b\n", "a 4.5 ms p50   b")
    assert not matches("a 12 calls p50\n", "a 4 calls p50")
