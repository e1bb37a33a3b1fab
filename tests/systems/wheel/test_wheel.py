# SPDX-License-Identifier: Apache-2.0
"""The installed wheel is the product: an ordinary user, an empty folder, no checkout within reach."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import ROOT
from tests.systems.wheel.installed import SYSTEM_PATH, Installed
from transect.base.shipped import paths
from transect.cli.strata import Stratum
from transect.cli.targets import OF_ANY_POLICY
from transect.rpc.envoy.binary import wheel_binary

PACKAGE = ROOT / "src" / "transect"
EXAMPLES = [str(path.relative_to(PACKAGE)) for path in paths()]
TARGETS = [
    pytest.param(name, marks=pytest.mark.needs("clang-19", "wasm-ld-19") if name == "wasm" else ())
    for name in OF_ANY_POLICY
]
YELLOW = "\033[1;33m"


@pytest.fixture
def folder(installed: Installed) -> Path:
    return installed.folder()


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- what is in it ------------------------------------------------------------------------------------------------


def test_every_tracked_file_of_the_package_is_installed_as_it_is(installed: Installed) -> None:
    listed = subprocess.run(["git", "ls-files", "."], cwd=PACKAGE, capture_output=True, text=True, check=True)
    tracked = [name for name in listed.stdout.splitlines() if (PACKAGE / name).is_file()]
    assert {"py.typed", "errors/P006.md", "examples/rpc/acl.py", "rpc/runtime/chain.h"} <= set(tracked)
    differing = [
        name
        for name in tracked
        if not (installed.package / name).is_file()
        or (installed.package / name).read_bytes() != (PACKAGE / name).read_bytes()
    ]
    assert differing == []


def test_what_is_imported_is_the_wheel(installed: Installed, folder: Path) -> None:
    ended = installed.run(
        installed.python,
        "-c",
        "import sys, transect; print(transect.__file__, *sys.path, sep='\\n')",
        cwd=folder,
    )
    imported, *path = ended.stdout.splitlines()
    assert Path(imported) == installed.package / "__init__.py"
    assert [entry for entry in path if Path(entry).is_relative_to(ROOT)] == []


def test_type_checkers_see_the_types_of_the_installed_package(installed: Installed, folder: Path) -> None:
    assert (installed.package / "py.typed").is_file()
    (folder / "wrong.py").write_text("from transect.lang import now\n\ntext: str = now()\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", installed.python, "wrong.py"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert "wrong.py:3: error: Incompatible types in assignment" in done.stdout
    assert "Found 1 error in 1 file" in done.stdout  # and none that the package has no types


# --- what it does -------------------------------------------------------------------------------------------------


def test_a_new_policy_passes_check(installed: Installed, folder: Path) -> None:
    written = installed.transect("new", "acl.py", "--for", "rpc", cwd=folder)
    assert (written.returncode, written.stderr, files(folder)) == (0, "", ["acl.py", "test_acl.py"])
    checked = installed.transect("check", "acl.py", cwd=folder)
    assert (checked.returncode, checked.stdout) == (0, "1 policy in 1 file, no errors\n")


def test_what_the_new_test_claims_holds(installed: Installed, folder: Path) -> None:
    installed.transect("new", "acl.py", "--for", "rpc", cwd=folder)
    called = "import test_acl as t; [f() for n, f in vars(t).items() if n.startswith('test_')]"
    ended = installed.run(
        installed.python, "-c", f"import sys; sys.path.insert(0, '.'); {called}", cwd=folder
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_an_error_is_shown_and_its_page_explained(installed: Installed, folder: Path) -> None:
    (folder / "bad.py").write_text(
        "from transect.rpc import Element, Forward, Rpc, Verdict\n\n\nclass Bad(Element):\n    served: int = 0\n\n"
        "    def request(self, rpc: Rpc) -> Verdict:\n        self.serving += 1\n        return Forward()\n"
    )
    checked = installed.transect("check", "bad.py", cwd=folder)
    assert checked.returncode == 1
    assert "error[P006]: no state field `serving`\n --> bad.py:8:9\n" in checked.stdout
    explained = installed.transect("explain", "P006", cwd=folder)
    page = (PACKAGE / "errors" / "P006.md").read_text()
    first_words = re.findall(r"^\w.*", page, re.MULTILINE)[0].partition("`")[0].strip()
    assert explained.returncode == 0
    assert first_words in " ".join(explained.stdout.split())


@pytest.mark.parametrize("target", TARGETS)
def test_every_example_compiles_to(target: str, installed: Installed, folder: Path) -> None:
    for name in (
        EXAMPLES if target != "wasm" else ("examples/rpc/acl.py", "examples/fair_share.py")
    ):  # clang takes its time
        ended = installed.transect(
            "compile", installed.package / name, "--to", target, "-o", "out", cwd=folder
        )
        assert (ended.returncode, ended.stderr) == (0, ""), name
        written = [folder / line for line in ended.stdout.splitlines()]
        assert any(path.suffix == f".{target}" for path in written)
        assert all(path.stat().st_size for path in written)


@pytest.mark.needs("gcc")
def test_emitted_c_needs_nothing_but_its_folder(installed: Installed, folder: Path) -> None:
    example = installed.package / "examples" / "rpc" / "acl.py"
    installed.transect("compile", example, "--to", "c", "-o", ".", cwd=folder)
    ended = installed.run("gcc", "-Wall", "-Werror", "-fsyntax-only", "acl.c", cwd=folder)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_what_a_policy_becomes_is_shown(installed: Installed, folder: Path) -> None:
    example = installed.package / "examples" / "rpc" / "acl.py"
    ended = installed.transect("explain", example, "--emit", "c", cwd=folder)
    assert ended.returncode == 0
    assert ended.stdout.startswith(f"/* Acl, emitted by transect from {example}:")


def test_doctor_names_the_extra_that_brings_envoy(installed: Installed, folder: Path) -> None:
    ended = installed.transect("doctor", "--json", cwd=folder)
    assert ended.returncode == 0
    strata = {entry["name"]: entry for entry in json.loads(ended.stdout)}
    assert set(Stratum) < strata.keys()
    parts = {part["name"]: part for part in strata["rpc"]["parts"]}
    assert strata["rpc"]["state"] == "partly"
    assert parts["grpcio"]["found"]
    assert (parts["Envoy"]["found"], parts["Envoy"]["hint"]) == (None, "pip install 'transect[envoy]'")


def test_the_demo_says_in_yellow_that_there_is_no_envoy(installed: Installed, folder: Path) -> None:
    ended = installed.transect("demo", "rpc", cwd=folder, FORCE_COLOR="1")
    assert (ended.returncode, ended.stderr) == (0, "")
    yellow = [line for line in ended.stdout.splitlines() if line.startswith(YELLOW)]
    assert any("no Envoy here" in line and "pip install 'transect[envoy]'" in line for line in yellow)
    assert "alice: answered" in ended.stdout and "mallory: refused, PERMISSION_DENIED" in ended.stdout
    assert "all agree" in ended.stdout


@pytest.mark.needs("envoy", "gcc")
@pytest.mark.timeout(600)
def test_the_demo_runs_through_the_envoy_on_path(installed: Installed, folder: Path) -> None:
    beside = installed.folder()
    binary = wheel_binary()
    assert binary is not None
    (beside / "envoy").symlink_to(binary)
    ended = installed.transect("demo", cwd=folder, path=f"{beside}:{SYSTEM_PATH}", FORCE_COLOR="1")
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert "no Envoy here" not in ended.stdout
    assert re.search(r"\033\[1;32ma stock Envoy [\d.]+ with the chain as a native module", ended.stdout)
    assert ended.stdout.count("mallory: refused, PERMISSION_DENIED") == 2  # by the library and by Envoy
    assert [left for left in files(folder) if not left.startswith(".cache/transect/")] == []


def test_measuring_needs_a_checkout_and_says_so(installed: Installed, folder: Path) -> None:
    ended = installed.transect("bench", cwd=folder)
    assert ended.returncode == 3
    assert "checkout" in ended.stderr
