# SPDX-License-Identifier: Apache-2.0
"""`transect replay`: a log on the interpreter, with a stratum whose records are plain numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from tests.unit.cli.terminal import Run
from tests.unit.replay.test_compare import CALLS, IMPORTS, LIMIT, Plain, recorded
from transect.cli import decoders, replaying
from transect.cli.exits import Exit
from transect.core.frontend import compile_text
from transect.replay import Log, LogError, Writer
from transect.replay.log import MAGIC, VERSION, json_frame

POLICY = f"""\
from transect.lang import Param, param
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict
{IMPORTS}{LIMIT}"""
STRICTER = POLICY.replace("param(10)", "param(8)").replace(
    'Reject(Code.ABORTED, "over")', "Reject(Code.ABORTED)"
)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A log of a policy, written by the real writer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(replaying, "decoder", lambda log: Plain())
    (program,) = compile_text(POLICY, "limit.py").programs
    made = recorded(program, CALLS)
    write(made, Path("limit.log"))
    return Path("limit.log")


def write(log: Log, path: Path, *, dropped: int = 0) -> None:
    with Writer(path, log.header) as writer:
        for policy in log.policies:
            writer.policy(replace(policy, sources={"limit.py": POLICY}))
        for record in log.records:
            assert writer.add(record)
        for _ in range(dropped):
            writer.drop()
        assert log.trailer
        writer.close(log.trailer.finals)


def test_the_recorded_policy_gives_what_was_recorded(log: Path, transect: Run) -> None:
    ended = transect("replay", log)
    assert (ended.code, ended.err, ended.out) == (0, "", "6 calls of P came out as recorded\n")


def test_another_policy_diverges_at_its_line(log: Path, transect: Run) -> None:
    Path("stricter.py").write_text(STRICTER)
    ended = transect("replay", log, "stricter.py")
    assert (ended.code, ended.err) == (1, "")
    assert ended.out == snapshot("""\
error[L001]: Reject(code=10, message='') comes out, where Forward(after=None, to=None) was recorded
  --> stricter.py:17:13
   |
17 |             return Reject(Code.ABORTED)
   |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^ gives Reject(code=10, message='')
  ::: limit.py:18:9
   |
18 |         return Forward()
   |         ---------------- the recorded policy gives Forward(after=None, to=None)
   = note: call 2 of 6 in the log, hook `request`, instance 2

1 call before it came out as recorded
""")


def test_json(log: Path, transect: Run) -> None:
    same = json.loads(transect("replay", log, "--json").out)
    assert same == snapshot(
        {
            "stratum": "rpc",
            "name": "test",
            "real": True,
            "calls": 6,
            "same": True,
            "complete": True,
            "open": [],
            "divergence": None,
        }
    )
    Path("stricter.py").write_text(STRICTER)
    different = json.loads(transect("replay", log, "stricter.py", "--json").out)
    assert (different["same"], different["complete"], different["calls"]) == (False, True, 1)
    assert different["divergence"]["path"] == "stricter.py"


def test_a_log_with_dropped_calls_is_inconclusive(log: Path, transect: Run) -> None:
    (program,) = compile_text(POLICY, "limit.py").programs
    write(recorded(program, CALLS), Path("torn.log"), dropped=2)
    ended = transect("replay", "torn.log")
    assert (ended.code, ended.err) == (4, "")
    assert ended.out == snapshot("""\
6 calls of P came out as recorded
not compared: 2 calls were dropped
""")
    assert json.loads(transect("replay", "torn.log", "--json").out)["complete"] is False


def test_a_damaged_log_is_inconclusive(log: Path, transect: Run) -> None:
    log.write_bytes(log.read_bytes()[:-40])
    ended = transect("replay", log)
    assert ended.code == 4
    assert "not compared: " in ended.out


def test_a_log_without_policies_says_that_nothing_was_compared(log: Path, transect: Run) -> None:
    data = log.read_bytes()
    Path("cut.log").write_bytes(data[: data.index(b'"sources"')])
    ended = transect("replay", "cut.log")
    assert ended.code == 4
    first, second = ended.out.splitlines()
    assert first == "the log holds no policy, so no call was compared"
    assert second.startswith("not compared: the log is cut short after ")
    Path("two.py").write_text(POLICY + "\n\nclass Q(P):\n    pass\n")
    assert transect("replay", "cut.log", "two.py").out == (
        "transect: which policy of the file is meant? It has P, Q; the log has none\n"
    )


def test_a_chain_is_no_policy_to_compare_with(log: Path, transect: Run) -> None:
    Path("limit.py").write_text(POLICY)
    Path("front.py").write_text(
        "from limit import P\nfrom transect.rpc import Chain\n\n"
        'chain = Chain(service="echo.Echo", upstream="127.0.0.1:1", elements=[P()])\n'
    )
    ended = transect("replay", log, "front.py")
    assert ended.code == 1
    assert "hint: it declares a chain: give the file of one of its policies, limit.py;" in ended.out


def test_what_is_no_log(log: Path, transect: Run) -> None:
    Path("other.log").write_text("hello")
    ended = transect("replay", "other.log")
    assert (ended.code, ended.err) == (2, "transect: other.log: this is no log of transect\n")
    assert transect("replay", "gone.log").err == "transect: no such file: gone.log\n"


def test_a_policy_with_errors(log: Path, transect: Run) -> None:
    Path("bad.py").write_text(POLICY.replace("self.total += rpc.msg.n", "self.totl += 1"))
    ended = transect("replay", log, "bad.py")
    assert ended.code == 1
    assert ended.out.startswith("error[P006]: no state field `totl`\n")


def test_a_stratum_that_there_is_not() -> None:
    (program,) = compile_text(POLICY, "limit.py").programs
    log = recorded(program, CALLS)
    with pytest.raises(LogError, match="the log is of 'disk', which is no stratum"):
        decoders.decoder(replace(log, header=replace(log.header, stratum="disk")))


def test_what_a_log_says_reaches_no_terminal_as_a_control_character(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = compile_text(POLICY, "limit.py").programs
    log = recorded(program, CALLS)
    path = tmp_path / "log"
    for header in (replace(log.header, stratum="\x1b[31m"), replace(log.header, stratum="llm", notes={})):
        policy = replace(log.policies[0], name="\x1b]0;title\x07")
        frames = [json_frame(b"H", header.to_json()), json_frame(b"P", policy.to_json())]
        path.write_bytes(MAGIC + VERSION.to_bytes(4, "little") + b"".join(frames))
        assert replaying.replay(path, None, False) == Exit.USAGE
        said = capsys.readouterr()
        assert "no stratum" in said.err or "has another name" in said.err
        assert "\x1b" not in said.err + said.out
