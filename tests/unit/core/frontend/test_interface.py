# SPDX-License-Identifier: Apache-2.0
"""What the library gives to policies, as programs that come as text are held against it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import transect
from transect.base.shipped import paths
from transect.core.foreign import admitted
from transect.core.frontend import compile_file
from transect.core.frontend.interface import interface
from transect.core.text import dump

BASES = (
    ("rpc", "rpc.Element"),
    ("llm", "llm.Admission"),
    ("cpu", "cpu.Scheduler"),
    ("memory", "memory.Probe"),
)


@pytest.mark.parametrize("stratum", [stratum for stratum, _ in BASES])
def test_every_function_that_a_stratum_marks_is_found(stratum: str) -> None:
    """A module of functions that `hooks.py` does not name as `LIBRARY` would be refused in every log."""
    given = interface(stratum, dict(BASES)[stratum])
    assert given is not None
    folder = Path(transect.__file__).parent / stratum
    marked = {
        name
        for path in folder.rglob("*.py")
        for name in re.findall(r"@intrinsic\(.*\)\n\s*def (\w+)", path.read_text())
    }
    assert {name.rpartition(".")[2] for name in given.intrinsics} == marked


def test_the_policies_of_the_library_are_admitted_as_text() -> None:
    programs = [p for path in paths() for p in compile_file(path).programs]
    probes = Path(transect.__file__).parent / "memory" / "probes"
    programs += [p for path in sorted(probes.glob("*.py")) for p in compile_file(path).programs]
    assert len(programs) > 60
    for program in programs:
        assert admitted(dump(program)) == program


def test_a_shape_s_policy_is_admitted_as_text() -> None:
    (program,) = compile_file(next(p for p in paths() if p.stem == "fair_share")).programs
    assert (program.stratum, program.base) == ("", "Arbiter")
    assert admitted(dump(program)) == program


@pytest.mark.parametrize(
    ("stratum", "base"),
    [
        ("rpc", "rpc.Rpc"),
        ("rpc", "Element"),
        ("rpc", "llm.Admission"),
        ("", "rpc.Element"),
        ("os", "os.path"),
        ("cli", "cli.main"),
    ],
)
def test_what_is_no_base_class_gives_nothing(stratum: str, base: str) -> None:
    assert interface(stratum, base) is None
