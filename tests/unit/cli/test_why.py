# SPDX-License-Identifier: Apache-2.0
"""`transect why`: the decisions about one request, from logs."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from tests.unit.cli.terminal import Run
from tests.unit.cli.test_replay import POLICY
from tests.unit.replay.test_compare import CALLS, Plain, recorded
from transect.base.request_id import Named
from transect.cli import explaining, exporting
from transect.core.frontend import compile_text
from transect.replay import Log, Writer

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
AT = 1_765_000_000_123_456_000


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What `record -o FOLDER` writes: two layers that know the same requests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for module in (explaining, exporting):
        monkeypatch.setattr(module, "decoder", lambda log: Plain())
    monkeypatch.setattr(time, "time_ns", lambda: AT)
    (program,) = compile_text(POLICY, "limit.py").programs
    made = recorded(program, CALLS)
    Path("logs").mkdir()
    write(made, Path("logs/front.log"), "front")
    monkeypatch.setattr(time, "time_ns", lambda: AT + 2_000_000)
    write(made, Path("logs/shop.log"), "shop")
    return Path("logs")


def write(log: Log, path: Path, name: str) -> None:
    with Writer(path, replace(log.header, name=name)) as writer:
        for policy in log.policies:
            writer.policy(replace(policy, sources={"limit.py": POLICY}))
        writer.name(1, 0, Named("a-1"))
        writer.name(2, 1, Named("a-2", f"00-{TRACE}-00f067aa0ba902b7-01"))
        for record in log.records:
            assert writer.add(record)
        assert log.trailer
        writer.close(log.trailer.finals)


def test_a_request_is_shown_at_each_layer_in_the_order_in_which_it_came(folder: Path, transect: Run) -> None:
    ended = transect("why", "a-1", folder)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == snapshot("""\
a-1: 4 decisions at 2 layers, each as it was recorded

front   rpc, came 05:46:40.123456
  P.request → Forward(after=None, to=None)
    14 | self.total += rpc.msg.n                       rpc.msg.n = 4
    15 | self.mine += 1
    16 | if self._over():
    26 | return self.total > self.limit                self.total = 4, self.limit = 10, self.total > self.limit = false
    18 | return Forward()
    total: 0 → 4
    mine: nothing → 1
  P.response → Forward(after=None, to=None)
    21 | if self.mine > 1:                             self.mine = 1, self.mine > 1 = false
    23 | return Forward()

shop   rpc, came 05:46:40.125456
  P.request → Forward(after=None, to=None)
    14 | self.total += rpc.msg.n                       rpc.msg.n = 4
    15 | self.mine += 1
    16 | if self._over():
    26 | return self.total > self.limit                self.total = 4, self.limit = 10, self.total > self.limit = false
    18 | return Forward()
    total: 0 → 4
    mine: nothing → 1
  P.response → Forward(after=None, to=None)
    21 | if self.mine > 1:                             self.mine = 1, self.mine > 1 = false
    23 | return Forward()
""")


def test_a_whole_traceparent_is_understood_and_json_is_for_programs(folder: Path, transect: Run) -> None:
    ended = transect("why", f"00-{TRACE}-00f067aa0ba902b7-01", folder / "shop.log", "--json")
    assert ended.code == 0
    told = json.loads(ended.out)
    assert (told["request"], told["explained"]) == (TRACE, True)
    (layer,) = told["layers"]
    assert (layer["name"], layer["ids"], layer["explained"]) == ("shop", ["a-2", TRACE], True)
    assert [d["hook"] for d in layer["decisions"]] == ["request", "request", "response"]
    assert layer["decisions"][0]["changes"][0] == {"place": "total", "before": "4", "after": "9"}


def test_an_id_that_no_log_names(folder: Path, transect: Run) -> None:
    ended = transect("why", "a-3", folder)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == snapshot("""\
transect: no log names a request `a-3`
  front.log names 2, which came between 05:46:40.123456 and 05:46:40.123456
  shop.log names 2, which came between 05:46:40.125456 and 05:46:40.125456
""")


def test_a_folder_without_logs(folder: Path, transect: Run) -> None:
    Path("empty").mkdir()
    ended = transect("why", "a-1", "empty")
    assert ended.code == 2
    assert ended.err == snapshot("""\
transect: there is no log in empty
  hint: name the folder that `transect record -o FOLDER` wrote
""")


def test_what_cannot_be_shown_is_inconclusive(folder: Path, transect: Run) -> None:
    """The first of six calls is taken out: the state before all others is not known."""
    (program,) = compile_text(POLICY, "limit.py").programs
    made = recorded(program, CALLS)
    write(replace(made, records=made.records[1:]), folder / "torn.log", "torn")
    ended = transect("why", "a-2", folder / "torn.log")
    assert (ended.code, ended.err) == (4, "")
    assert ended.out == snapshot("""\
a-2: 0 decisions at 1 layer

torn   rpc, came 05:46:40.125456
  also called 4bf92f3577b34da6a3ce929d0e0e4736
  not shown: calls of P are missing before number 1
""")


def test_a_decision_that_is_not_as_recorded_is_a_no(folder: Path, transect: Run) -> None:
    (program,) = compile_text(POLICY, "limit.py").programs
    made = recorded(program, CALLS)
    forged = [replace(record, result=made.records[5].result) for record in made.records]
    write(replace(made, records=tuple(forged)), folder / "forged.log", "forged")
    ended = transect("why", "a-1", folder / "forged.log")
    assert (ended.code, ended.err) == (1, "")
    assert "but Reject(" in ended.out


def test_what_a_log_says_reaches_the_terminal_as_text(folder: Path, transect: Run) -> None:
    (program,) = compile_text(POLICY, "limit.py").programs
    write(recorded(program, CALLS), folder / "odd.log", "\x1b[31mred")
    assert "\x1b" not in transect("why", "a-1", folder / "odd.log").out
