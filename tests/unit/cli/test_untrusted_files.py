# SPDX-License-Identifier: Apache-2.0
"""What the commands that only read do to the machine, as Python's own audit tells it: nothing.

The policy is one whose author wants to run code on the reader's machine: what Python would do when it imports the file
is there.  With that taken out it is understood.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.terminal import Run
from transect.core.frontend import compile_file

POLICY = """
from transect.lang import param, Param
from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict
{imported}
{called}
class Limit(Element):
    most: Param[int] = param(10)
    running: int = 0

    def request(self, rpc: Rpc) -> Verdict:
        if self.running >= self.most:
            return Reject(Code.UNAVAILABLE, "busy")
        self.running += 1
        return Forward()
"""
CHAIN = """
from policy import Limit
from transect.rpc import Chain
{called}
chain = Chain(service="echo.Echo", upstream="127.0.0.1:1", elements=[Limit(most=3)])
"""
EVIL = {"imported": "import os", "called": 'os.system("touch PWNED"); open("PWNED", "w")'}
SOUND = {"imported": "", "called": ""}

COMMANDS = {
    "check": ["check", "policy.py"],
    "check of a chain": ["check", "chain.py"],
    "explain": ["explain", "policy.py"],
    "compile": ["compile", "policy.py", "--to", "c", "-o", "out"],
    "prove": ["prove", "policy.py"],
    "diff": ["diff", "policy.py", "policy.py"],
    "rpc plan": ["rpc", "plan", "chain.py"],
}

WATCHED = """
import json, os, sys
from pathlib import Path

here, events = os.getcwd(), []


def note(event, args):
    match event:
        case "open":
            path, mode, flags = args
            if isinstance(path, str) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                events.append(["writes", os.path.abspath(path)])
        case "exec" if args[0].co_filename.startswith((here, "policy", "chain", "<policy")):
            events.append(["runs", args[0].co_filename])
        case "import" if args[1] and args[1].startswith(here):
            events.append(["imports", args[1]])
        case "subprocess.Popen" | "os.system" | "os.exec" | "os.fork" | "os.posix_spawn":
            events.append([event, str(args[:1])])
        case "socket.connect" | "socket.bind":
            events.append([event, str(args[:1])])


from transect.cli import main

sys.addaudithook(note)
code = main(sys.argv[1:])
print(json.dumps([int(code), events]), file=sys.stderr)
"""


def watched(folder: Path, arguments: list[str], script: str = WATCHED) -> tuple[int, list[list[str]]]:
    """The exit code of a command, and what it did besides reading."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    code, events = json.loads(done.stderr.splitlines()[-1])
    return code, events


@pytest.mark.needs("z3")
@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_file_says_is_never_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "policy.py").write_text(POLICY.format(**EVIL))
    (tmp_path / "chain.py").write_text(CHAIN.format(**SOUND))
    code, events = watched(tmp_path, COMMANDS[name])
    assert code == 1, "it is refused"
    assert [e for e in events if e[0] in ("runs", "imports") or "PWNED" in e[1]] == []
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.needs("z3")
@pytest.mark.parametrize("name", [n for n in COMMANDS if n != "rpc plan"])
def test_reading_is_all_that_they_do(tmp_path: Path, name: str) -> None:
    (tmp_path / "policy.py").write_text(POLICY.format(**SOUND))
    (tmp_path / "chain.py").write_text(CHAIN.format(**SOUND))
    code, events = watched(tmp_path, COMMANDS[name])
    assert code == 0
    below = str(tmp_path / "out") if name == "compile" else None
    assert [e for e in events if not (below and e[0] == "writes" and e[1].startswith(below))] == []


def test_the_audit_sees_what_it_looks_for(tmp_path: Path) -> None:
    (tmp_path / "policy.py").write_text(POLICY.format(**EVIL))
    imports = WATCHED.replace(
        "code = main(sys.argv[1:])", "sys.path.insert(0, here); import policy; code = 0"
    )
    _, events = watched(tmp_path, [], imports)
    assert {"runs", "os.system", "writes"} <= {event for event, _ in events}
    assert (tmp_path / "PWNED").exists()


@pytest.mark.parametrize(
    "call",
    ['open("x")', '__import__("os")', 'eval("1")', "rpc.__class__", "self.__dict__", "print(1)", "globals()"],
)
def test_a_policy_reaches_nothing_outside(tmp_path: Path, call: str) -> None:
    text = POLICY.format(**SOUND).replace("self.running += 1", f"x = {call}")
    (tmp_path / "policy.py").write_text(text)
    compiled = compile_file(str(tmp_path / "policy.py"))
    assert not compiled.programs and compiled.diagnostics.failed


@pytest.mark.parametrize("words", [["check"], ["llm", "run", "-c"], ["replay"], ["rpc", "run"]], ids=" ".join)
def test_a_command_says_what_it_was_given(words: list[str], transect: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    ended = transect(*words, tmp_path / "pipe")
    assert ended.code != 0 and "not a regular file" in ended.out + ended.err
