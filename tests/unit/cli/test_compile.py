# SPDX-License-Identifier: Apache-2.0
"""`transect compile`: the files of each target."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.cli.terminal import Run
from transect.base.diagnostic import Diagnostic
from transect.base.shipped import path_of
from transect.cli import compiling, targets
from transect.core.ir import Program
from transect.emit.artifact import Artifact

TARGETS = [
    pytest.param(name, marks=pytest.mark.needs("clang-19", "wasm-ld-19") if name == "wasm" else ())
    for name in targets.OF_ANY_POLICY
]


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_writes_its_files_and_names_them(target: str, transect: Run, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    ended = transect("compile", path_of("acl"), "--to", target, "-o", out)
    assert (ended.code, ended.err) == (0, "")
    assert sorted(ended.out.split()) == sorted(str(path) for path in out.rglob("*") if path.is_file())
    assert (out / f"acl.{target}").stat().st_size


@pytest.mark.parametrize("target", targets.TARGETS)
def test_every_name_of_a_target_has_its_emitter(target: str) -> None:
    assert callable(targets.emitter(target).emit)


def test_a_target_that_is_not_there_is_wrong_usage_and_the_others_are_named(transect: Run) -> None:
    ended = transect("compile", path_of("acl"), "--to", "pyy")
    known = "py, c, wasm, bpf, hints-c, hints-py, p4"
    assert (ended.code, ended.err) == (2, f"transect: no target `pyy`\n  hint: there are: {known}\n")


@pytest.mark.needs("gcc")
def test_emitted_c_compiles(transect: Run, tmp_path: Path) -> None:
    transect("compile", path_of("acl"), "--to", "c", "-o", tmp_path)
    subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Werror", "-c", "acl.c"], cwd=tmp_path, check=True)


def test_emitted_python_runs(transect: Run, tmp_path: Path) -> None:
    transect("compile", path_of("rate_limit"), "--to", "py", "-o", tmp_path)
    (emitted,) = tmp_path.glob("*.py")
    subprocess.run([sys.executable, emitted], check=True)


CHAIN = """
from transect.examples.rpc.acl import Acl
from transect.rpc import Chain

chain = Chain(service="echo.Echo", upstream="127.0.0.1:1", elements=[Acl()])
"""


def test_a_chain_is_no_policy(transect: Run, tmp_path: Path) -> None:
    chain = tmp_path / "front.py"
    chain.write_text(CHAIN)
    ended = transect("compile", chain, "--to", "c", "-o", tmp_path / "out")
    assert (ended.code, ended.out) == (
        1,
        f"transect: there is no policy in {chain}\n"
        f"  hint: it declares a chain: give the file of one of its policies, {path_of('acl')}; "
        "as a whole it becomes a plugin: transect compile --to wasm\n",
    )


def test_the_files_of_the_policies_of_a_chain_are_named(transect: Run, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / f"{name}.py").write_text(path_of("acl").read_text())
    chain = tmp_path / "front.py"
    chain.write_text(
        "from first import Acl\nfrom second import Acl as Second\nfrom transect.rpc import Chain\n\n"
        'chain = Chain(service="echo.Echo", upstream="127.0.0.1:1", elements=[Acl(), Second()])\n'
    )
    ended = transect("compile", chain, "--to", "c", "-o", tmp_path / "out")
    assert ended.code == 1
    assert f"one of its policies, {tmp_path / 'first.py'} or {tmp_path / 'second.py'};" in ended.out


@pytest.mark.needs("z3")
def test_one_element_has_nothing_to_change_places_with(transect: Run, tmp_path: Path) -> None:
    chain = tmp_path / "front.py"
    chain.write_text(CHAIN)
    ended = transect("rpc", "try", chain)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("nothing to try: no two elements here could change places")


def test_a_target_that_is_not_there(transect: Run, tmp_path: Path) -> None:
    ended = transect("compile", path_of("acl"), "--to", "cobol", "-o", tmp_path)
    assert (ended.code, ended.err) == (
        2,
        "transect: no target `cobol`\n  hint: there are: py, c, wasm, bpf, hints-c, hints-py, p4\n",
    )


def test_a_policy_with_errors_writes_nothing(transect: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text(path_of("acl").read_text().replace("self.allowed", "self.alowed"))
    ended = transect("compile", bad, "--to", "py", "-o", tmp_path / "out")
    assert ended.code == 1
    assert ended.out.startswith("error[P006]: no state field `alowed`\n")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made(transect: Run, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    ended = transect("compile", path_of("acl"), "--to", "py", "-o", tmp_path / "out")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == f"transect: {tmp_path / 'out'}: File exists\n"


class Steps:
    """A target with two passes."""

    @staticmethod
    def renamed(program: Program) -> Program:
        return replace(program, doc="renamed")

    @staticmethod
    def marked(program: Program) -> Program:
        return replace(program, doc="marked")

    passes = (renamed, marked)

    def refuses(self, program: Program) -> list[Diagnostic]:
        return []

    def emit(self, program: Program) -> Artifact:
        return Artifact({"out": b""})


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "emitter", lambda name: Steps())


@pytest.mark.usefixtures("steps")
def test_the_tree_is_shown_after_a_pass(transect: Run, tmp_path: Path) -> None:
    ended = transect("compile", path_of("acl"), "--to", "c", "-o", tmp_path, "--print-after", "marked")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("; Acl after marked\ntransect-ir")
    assert "doc 'marked'" in ended.out and "doc 'renamed'" not in ended.out
    assert ended.out.endswith(f"\n{tmp_path / 'out'}\n")


@pytest.mark.usefixtures("steps")
def test_it_stops_after_a_pass_and_writes_nothing(transect: Run, tmp_path: Path) -> None:
    ended = transect("compile", path_of("acl"), "--to", "c", "-o", tmp_path, "--stop-after", "renamed")
    assert "doc 'renamed'" in ended.out and "marked" not in ended.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("steps")
def test_a_pass_that_is_not_there(transect: Run, tmp_path: Path) -> None:
    ended = transect("compile", path_of("acl"), "--to", "c", "--stop-after", "inline")
    assert (ended.code, ended.err) == (
        2,
        "transect: the target c has no pass `inline`\n  hint: its passes: renamed, marked\n",
    )


def test_a_folder_is_wanted(transect: Run) -> None:
    ended = transect("compile", path_of("acl"), "--to", "py")
    assert (ended.code, ended.err) == (
        2,
        "transect: where shall the files go?\n  hint: give a folder: -o DIR\n",
    )


def test_the_passes_of_c(transect: Run) -> None:
    ended = transect(
        "compile",
        path_of("fair_share"),
        "--to",
        "c",
        "--print-after",
        "ordered_pick",
        "--stop-after",
        "statements",
    )
    assert (ended.code, ended.err) == (0, "")
    picked, flat = ended.out.split("; FairShare after statements\n")
    assert "%waiting.argmin" in picked and " stage CHECKED\n" in picked
    assert " stage FLAT\n" in flat
