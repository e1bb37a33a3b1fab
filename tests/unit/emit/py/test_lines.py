# SPDX-License-Identifier: Apache-2.0
"""Tracebacks, breakpoints and coverage show the policy's own file and lines, in every Python that runs here."""

from __future__ import annotations

import bdb
import json
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from tests.parts import ROOT, need

POLICY = """\
from transect.lang import Tally, helper, tally
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict


class Ask(Message):
    user: str
    n: int


@helper
def half(n: int) -> int:
    return n // 2


class Count(Element):
    served: Tally[str, int] = tally(8)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if rpc.msg.user == "é" and self._many(rpc.msg.n):
            return Reject(Code.ABORTED, "é")
        match half(rpc.msg.n):
            case 0:
                pass
            case 1:
                self.served["one"] += 1
            case _:
                self.served["more"] += 1
        for user in self.served:
            if self.served[user] > 100:
                return Reject(Code.ABORTED, user)
        return Forward()

    def _many(self, n: int) -> bool:
        return any(v > n for v in self.served.values())

    def finish(self, rpc: Rpc[Ask], outcome: object) -> None:
        self.served["never"] += 1
""".replace("outcome: object", "outcome: Outcome").replace("Message, Reject", "Message, Outcome, Reject")

TEST = """\
from count import Ask, Count
from transect.rpc import Rpc, Forward


def test_count() -> None:
    count = Count()
    assert count.request(Rpc(msg=Ask(user="al", n=0))) == Forward()
    assert count.request(Rpc(msg=Ask(user="é", n=3))) == Forward()
"""


def line_of(text: str) -> int:
    """The number of the line of the policy that holds this text."""
    return next(n for n, line in enumerate(POLICY.splitlines(), 1) if text in line)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "count.py").write_text(POLICY)
    (tmp_path / "test_count.py").write_text(TEST)
    return tmp_path


@pytest.fixture
def count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "count", raising=False)
    import count  # type: ignore[import-not-found]

    yield count
    sys.modules.pop("count", None)


class Broken:
    """An adapter's message whose field cannot be read."""

    user = "é"

    @property
    def n(self) -> int:
        raise ValueError("this adapter is broken")


def test_a_traceback_ends_at_the_policys_line(count: Any) -> None:
    with pytest.raises(ValueError, match="this adapter is broken") as raised:
        count.Count().request(count.Rpc(msg=Broken()))
    frames = traceback.extract_tb(raised.value.__traceback__)
    policy = next(f for f in frames if f.name == "request")
    assert (policy.filename, policy.lineno) == (count.__file__, line_of('rpc.msg.user == "é"'))
    assert policy.line == 'if rpc.msg.user == "é" and self._many(rpc.msg.n):'
    # Python counts columns in bytes, and "é" stands before this place.
    marked = ("        " + policy.line).encode()[policy.colno : policy.end_colno]
    assert marked.decode() == "rpc.msg.n"


class Stops(bdb.Bdb):
    """A debugger which notes where its breakpoints stop it, and the names that it sees there."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, dict[str, Any]]] = []

    def user_line(self, frame: Any) -> None:
        if self.break_here(frame):
            self.seen.append((frame.f_lineno, dict(frame.f_locals)))
        self.set_continue()


def test_a_breakpoint_stops_in_the_policy(count: Any) -> None:
    policy, debugger = count.Count(served={"al": 3}), Stops()
    for text in ("return n // 2", 'self.served["more"] += 1', "return any("):
        assert debugger.set_break(count.__file__, line_of(text)) is None
    rpc = count.Rpc(msg=count.Ask(user="al", n=9))
    tracing = sys.gettrace()  # coverage's, perhaps, which a debugger takes the place of
    debugger.runcall(policy.request, rpc)
    sys.settrace(tracing)
    assert [line for line, _ in debugger.seen] == [line_of("return n // 2"), line_of('"more"')]
    assert debugger.seen[0][1] == {"n": 9}
    assert debugger.seen[1][1]["rpc"] is rpc


def missing(folder: Path) -> tuple[set[str], list[list[int]]]:
    """The lines of the policy, as text, that coverage.py says were not run, and the branches not taken."""
    data = folder / "coverage.json"
    coverage = [sys.executable, "-m", "coverage"]
    command = [
        *coverage,
        "run",
        "--branch",
        "--include=count.py",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    subprocess.run([*coverage, "json", "-q", "-o", data], cwd=folder, check=True)
    report = json.loads(data.read_text())["files"]["count.py"]
    text = POLICY.splitlines()
    return {text[n - 1].strip() for n in report["missing_lines"]}, report["missing_branches"]


def test_coverage_counts_the_lines_of_the_policy(folder: Path) -> None:
    lines, branches = missing(folder)
    assert lines == {
        'return Reject(Code.ABORTED, "é")',
        "case _:",
        'self.served["more"] += 1',
        "return Reject(Code.ABORTED, user)",
        'self.served["never"] += 1',
    }
    taken = [('rpc.msg.user == "é"', 'ABORTED, "é"'), ("case 1:", "case _:"), ("> 100", "ABORTED, user")]
    assert branches == [[line_of(a), line_of(b)] for a, b in taken]


@pytest.mark.needs("python3.13")
def test_python_3_13_has_the_same_lines(folder: Path) -> None:
    python = need("python3.13")
    done = subprocess.run(
        [str(python), "-c", PROBE],
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        line_of("return n // 2"),
        line_of('"more"'),
        "Forward(after=None, to=None)",
    ]


PROBE = """\
import json, sys
from count import Ask, Count
from transect.rpc import Rpc
seen = []
def trace(frame, event, argument):
    if event == "line" and frame.f_code.co_filename.endswith("count.py"):
        seen.append(frame.f_lineno)
    return trace
policy = Count()
sys.settrace(trace)
verdict = policy.request(Rpc(msg=Ask(n=9)))
sys.settrace(None)
print(json.dumps([n for n in seen if n in (HALF, MORE)] + [repr(verdict)]))
""".replace("HALF", str(line_of("return n // 2"))).replace("MORE", str(line_of('"more"')))
