# SPDX-License-Identifier: Apache-2.0
"""A name that is longer than any file's can be (255 bytes) is a mistake of the command line, in every command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.terminal import Run

LONG = "x" * 300
POLICY = """
from transect.rpc import Element, Forward, Rpc, Verdict

class Pass(Element):
    def request(self, rpc: Rpc) -> Verdict:
        return Forward()
"""
READ = {
    "check": ["check", f"{LONG}.py"],
    "compile": ["compile", f"{LONG}.py", "--to", "c", "-o", "out"],
    "explain": ["explain", LONG],
    "explain a file": ["explain", f"{LONG}.py"],
    "replay": ["replay", LONG],
    "prove": ["prove", f"{LONG}.py"],
    "diff": ["diff", f"{LONG}.py", f"{LONG}.py"],
    "run": ["run", f"{LONG}.py"],
    "rpc run": ["rpc", "run", f"{LONG}.py"],
    "rpc plan": ["rpc", "plan", f"{LONG}.py"],
    "rpc upgrade": ["rpc", "upgrade", f"{LONG}.py"],
    "rpc upgrade of several": ["rpc", "upgrade", f"a={LONG}.py"],
    "rpc try": ["rpc", "try", f"{LONG}.py"],
    "llm run": ["llm", "run", f"{LONG}.py"],
    "llm upgrade": ["llm", "upgrade", f"{LONG}.py"],
    "llm simulate": ["llm", "simulate", f"{LONG}.py"],
    "cpu run": ["cpu", "run", f"{LONG}.py"],
    "cpu simulate": ["cpu", "simulate", f"{LONG}.py"],
    "memory ps": ["memory", "ps", "core:dump", "--kernel", LONG],
}
WRITTEN = {
    "new": ["new", f"{LONG}.py", "--for", "rpc"],
    "new in a folder": ["new", f"{LONG}/limit.py", "--for", "rpc"],
    "compile -o": ["compile", "policy.py", "--to", "c", "-o", LONG],
    "record": ["record", "-o", LONG],
    "rpc record": ["rpc", "record", "-o", LONG],
    "cpu record": ["cpu", "record", "-o", LONG, "policy.py"],
    "rpc run --record": ["rpc", "run", "policy.py", "--carrier", "wasm", "--record", LONG],
    "llm key new": ["llm", "key", "new", "alice", "--add-to", LONG],
    "memory scan": ["memory", "scan", f"core:{LONG}"],
    "memory scan of RoCE": ["memory", "scan", f"roce://host/{LONG}"],
}


@pytest.mark.parametrize("name", READ)
def test_a_file_that_is_to_be_read_is_not_there(
    name: str, transect: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = transect(*READ[name])
    assert ended.code == 2
    assert ended.err.startswith("transect: no such file"), ended.err


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_that_is_to_be_written_cannot_have_that_name(
    name: str, transect: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.py").write_text(POLICY)
    ended = transect(*WRITTEN[name])
    assert ended.code == 2
    assert "File name too long" in ended.err and "Traceback" not in ended.err, ended.err


@pytest.mark.parametrize("option", ["--trace", "--engine"])
def test_what_a_simulation_wants_is_not_there(option: str, transect: Run) -> None:
    ended = transect(
        "llm", "simulate", "vtc", option, LONG + {"--trace": ".csv", "--engine": ".toml"}[option]
    )
    assert ended.code == 3 and "there is no such file" in ended.err, ended.err


@pytest.mark.parametrize("name", ["a b", LONG])
def test_a_name_that_no_instance_can_have(name: str, transect: Run) -> None:
    ended = transect("llm", "run", "vtc", "--upstream", "http://127.0.0.1:1", "--name", name)
    assert ended.code == 2 and "--name" in ended.err and "Traceback" not in ended.err, ended.err


def test_a_folder_for_sockets_that_others_may_enter(
    transect: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setattr("transect.control.sockets.folder", lambda: tmp_path)
    ended = transect("llm", "run", "vtc", "--upstream", "http://127.0.0.1:1")
    assert ended.code == 3
    assert "is open to other users (mode 777)" in ended.err and "Traceback" not in ended.err, ended.err
