# SPDX-License-Identifier: Apache-2.0
"""Tests are run again, in a new machine, when QEMU's emulation killed theirs, and for no other reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import ROOT

SUITE = """
import pytest
from transect.vm import EmulatorFault, VmError

BOOTED = []

class Machine:
    dead = False

    def ask(self):
        if self.dead:
            raise EmulatorFault("the machine is off")

@pytest.fixture(scope="module")
def machine():
    BOOTED.append(Machine())
    return BOOTED[-1]

@pytest.fixture
def bench(machine):
    yield machine
    machine.ask()

def die(bench, often):
    if len(BOOTED) <= often:
        bench.dead = True
        bench.ask()

def test_before(bench): pass
def test_dies(bench): die(bench, 1)
def test_after(bench): assert len(BOOTED) == 2
"""


def outcomes(folder: Path, suite: str) -> tuple[dict[str, int], str]:
    (folder / "test_sample.py").write_text(suite)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.again", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    last = done.stdout.splitlines()[-1].strip("= ").rpartition(" in ")[0]
    return {kind: int(count) for count, kind in (word.split() for word in last.split(", "))}, done.stdout


def test_the_test_runs_again_in_a_new_machine_and_so_do_those_after_it(tmp_path: Path) -> None:
    counts, said = outcomes(tmp_path, SUITE)
    assert counts == {"passed": 3}
    assert "QEMU's emulation killed 1 machine under test_sample.py::test_dies; it ran again" in said


def test_one_that_always_dies_fails(tmp_path: Path) -> None:
    counts, said = outcomes(tmp_path, SUITE.replace("die(bench, 1)", "die(bench, 99)"))
    assert counts["failed"] == 2  # it, and the one that asks how many machines there were
    assert counts["error"] == 1  # the machine is gone afterwards, too
    assert "EmulatorFault: the machine is off" in said
    assert "QEMU's emulation killed 3 machines under test_sample.py::test_dies" in said


@pytest.mark.parametrize("error", ['VmError("the machine is off")', "AssertionError()"])
def test_nothing_else_is_run_again(tmp_path: Path, error: str) -> None:
    counts, said = outcomes(tmp_path, SUITE.replace("die(bench, 1)", f"raise {error}"))
    assert counts == {"failed": 2, "passed": 1}
    assert "ran again" not in said
