# SPDX-License-Identifier: Apache-2.0
"""`transect new`: a policy and its test, which pass as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from tests.parts import ROOT
from tests.unit.cli.terminal import Run


def test_it_writes_two_files_and_says_what_to_do_next(
    transect: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = transect("new", "rate_limit.py", "--for", "rpc")
    assert ended.code == 0
    assert ended.out == snapshot("""\
wrote rate_limit.py and test_rate_limit.py; next:
  transect check rate_limit.py
  pytest test_rate_limit.py
""")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rate_limit.py", "test_rate_limit.py"]
    assert "class RateLimit(Element):" in (tmp_path / "rate_limit.py").read_text()
    assert "SPDX" not in (tmp_path / "rate_limit.py").read_text()


def test_what_it_writes_checks_types_and_passes_its_test(transect: Run, tmp_path: Path) -> None:
    policy = tmp_path / "acl.py"
    assert transect("new", policy, "--for", "rpc").code == 0
    assert transect("check", policy).code == 0
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert tested.returncode == 0, tested.stdout
    typed = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--cache-dir",
            tmp_path / "cache",
            "acl.py",
            "test_acl.py",
        ],
        cwd=tmp_path,
        env={"MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert typed.returncode == 0, typed.stdout


def test_nothing_is_overwritten(transect: Run, tmp_path: Path) -> None:
    test = tmp_path / "test_acl.py"
    test.write_text("mine")
    ended = transect("new", tmp_path / "acl.py", "--for", "rpc")
    assert (ended.code, ended.err) == (
        2,
        f"transect: {test} exists, and is not overwritten\n  hint: choose another name\n",
    )
    assert test.read_text() == "mine"
    assert not (tmp_path / "acl.py").exists()


def test_in_a_package_the_test_imports_from_it(transect: Run, tmp_path: Path) -> None:
    (tmp_path / "__init__.py").touch()
    transect("new", tmp_path / "acl.py", "--for", "rpc")
    assert (tmp_path / "test_acl.py").read_text().startswith("from .acl import Acl\n")


@pytest.mark.parametrize("name", ["acl", "acl.txt", "rate-limit.py", "2nd.py", "class.py"])
def test_a_name_that_nobody_can_import_is_refused(name: str, transect: Run, tmp_path: Path) -> None:
    ended = transect("new", tmp_path / name, "--for", "rpc")
    assert (ended.code, list(tmp_path.iterdir())) == (2, [])
    assert (
        ended.err
        == f"transect: `{name}` is no name of a Python module\n  hint: write it like rate_limit.py\n"
    )


def test_a_new_scheduler_passes_its_test(transect: Run, tmp_path: Path) -> None:
    assert transect("new", tmp_path / "first.py", "--for", "cpu").code == 0
    assert transect("check", tmp_path / "first.py").out == "1 policy in 1 file, no errors\n"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", tmp_path / "test_first.py"], capture_output=True
    )
    assert b"2 passed" in ran.stdout
