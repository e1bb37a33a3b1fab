# SPDX-License-Identifier: Apache-2.0
"""`check`, `explain`, `compile` and `replay` are pure Python: they need nothing of Linux and no stratum's packages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.systems.wheel.installed import Ended, Installed

HERE = Path(__file__).parent
OF_LINUX = ("transect.control", "transect.linux", "transect.rpc.envoy", "transect.rpc.grpcio", "transect.vm")


@pytest.fixture(scope="module")
def folder(installed: Installed) -> Path:
    """A folder with a policy, what it would be elsewhere, and a log of it."""
    made = installed.folder()
    for name in ("elsewhere.py", "write_log.py"):
        shutil.copy(HERE / name, made)
    shutil.copy(installed.package / "examples" / "rpc" / "acl.py", made)
    written = installed.run(installed.python, "write_log.py", "acl.log", cwd=made)
    assert (written.returncode, written.stderr) == (0, "")
    return made


def elsewhere(installed: Installed, folder: Path, *words: str) -> Ended:
    """The verb on a machine that is no Linux, where it must load no module about Linux either."""
    ended = installed.run(installed.python, "elsewhere.py", *words, cwd=folder)
    loaded = [name for name in ended.stderr.splitlines() if name.startswith(OF_LINUX)]
    assert loaded == []
    return ended


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["check", "acl.py"], "1 policy in 1 file, no errors\n"),
        (["check", "--format", "sarif", "acl.py"], '"results": []'),
        (["explain", "P006"], "P006"),
        (["explain", "acl.py", "--emit", "c"], "acl_request"),
        (["compile", "acl.py", "--to", "c", "-o", "out"], "out/acl.c\n"),
        (["compile", "acl.py", "--to", "py", "-o", "out"], "out/acl.py\n"),
        (["replay", "acl.log"], "3 calls of Acl came out as recorded\n"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_it_runs_where_there_is_no_linux(
    installed: Installed, folder: Path, words: list[str], output: str
) -> None:
    ended = elsewhere(installed, folder, *words)
    assert ended.returncode == 0, ended.stderr
    assert output in ended.stdout


def test_the_machine_elsewhere_really_lacks_it(installed: Installed, folder: Path) -> None:
    ended = elsewhere(installed, folder, "demo", "rpc")
    assert ended.returncode == 3
    assert "grpc is not installed" in ended.stderr
