# SPDX-License-Identifier: Apache-2.0
"""On a fresh machine a benchmark says what to install: it runs no program that is merely there."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import needed
from tests.parts import ROOT
from transect.base.unavailable import Unavailable

FOLDER = ROOT / "benchmarks"
SOURCES = sorted(FOLDER.rglob("*.py"))
# Essential in Debian, or what runs the command itself.
ESSENTIAL = {"cat", "cp", "sh", "sleep", "/bin/sh", "/bin/sleep", "nice", "test"}


def commands(source: Path) -> Iterator[tuple[int, str]]:
    """The programs that lists of words begin with, where they are run or kept to be run."""
    for node in ast.walk(ast.parse(source.read_text())):
        if not isinstance(node, ast.List) or not node.elts:
            continue
        match node.elts[0]:
            case ast.Constant(value=str(first)) if first in needed.PACKAGES:
                yield node.lineno, first
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="subprocess")),
                args=[ast.List(elts=[ast.Constant(value=str(first)), *_]), *_],
            ):
                yield node.lineno, first


# In the machine of the cpu stratum, whose programs the benchmark has asked for.
INSIDE = {"cpu_upgrade/swaps.py"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_benchmark_asks_for_the_programs_that_it_runs(source: Path) -> None:
    found = [f"line {line}: {name}" for line, name in commands(source) if name not in ESSENTIAL]
    assert found == [] or str(source.relative_to(FOLDER)) in INSIDE
    assert re.findall(r"/usr/s?bin/\w+", source.read_text()) == []


def test_a_program_that_is_not_there_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, package in needed.PACKAGES.items():
        with pytest.raises(Unavailable) as lacking:
            needed.tools(name)
        assert (lacking.value.what, lacking.value.hint) == (name, f"apt-get install {package}")


@pytest.mark.parametrize("name", ["cpu_arbiter", "cpu_suite", "cpu_handwritten"])
def test_a_benchmark_without_its_programs_ends_with_3_and_says_what_to_install(
    name: str, tmp_path: Path
) -> None:
    script = FOLDER / name / "run.py"
    done = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3
    assert (
        "not on PATH" in done.stderr and "apt-get install" in done.stderr and "Traceback" not in done.stderr
    )
