# SPDX-License-Identifier: Apache-2.0
"""`transect prove` and `transect diff`: what they say, and how they end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from transect.base.shipped import path_of
from transect.cli.app import run
from transect.cli.exits import Exit

pytestmark = pytest.mark.needs("z3")

HEAD = """
from transect.lang import Map, Param, ensures, invariant, param, requires, table
from transect.rpc import Code, Element, Forward, Message, Outcome, Reject, Rpc, Verdict
"""
GAUGE = HEAD + dedent("""
    @invariant(lambda self: self.running >= 0)
    class Gauge(Element):
        most: Param[int] = param(10)
        running: int = 0

        @ensures(lambda self, rpc, verdict: self.running <= self.most)
        def request(self, rpc: Rpc) -> Verdict:
            if self.running >= self.most:
                return Reject(Code.UNAVAILABLE, "busy")
            self.running += 1
            return Forward()

        @requires(lambda self, rpc, outcome: self.running > 0)
        def finish(self, rpc: Rpc, outcome: Outcome) -> None:
            self.running -= 1
    """)
LOOP = HEAD + dedent("""
    class Busiest(Element):
        calls: Map[str, int] = table(64)
        most: int = 0

        @ensures(lambda self, rpc, verdict: self.most >= 0)
        def request(self, rpc: Rpc) -> Verdict:
            for name in self.calls:
                self.calls[name] = 0
            return Forward()
    """)


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = run([str(w) for w in words])
    return code, capsys.readouterr().out


@pytest.mark.parametrize(("condition", "code"), [(">= 0", Exit.DONE), ("> 0", Exit.NO)])
def test_a_promise_of_a_hook_that_is_written_to_return_nothing(
    condition: str, code: Exit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ends.py"
    path.write_text(
        HEAD
        + dedent(f"""
    class Ends(Element):
        running: int = 0

        def request(self, rpc: Rpc) -> Verdict:
            return Forward()

        @ensures(lambda self, rpc, outcome: self.running {condition})
        def finish(self, rpc: Rpc, outcome: Outcome) -> None:
            self.running = 0
    """)
    )
    assert said(capsys, "prove", path)[0] == code


def test_a_draw_is_shown_as_a_tape_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "drawn.py"
    path.write_text(
        HEAD.replace("ensures,", "ensures, rand_below,")
        + dedent("""
    class Drawn(Element):
        gap: int = 0

        @ensures(lambda self, rpc, verdict: self.gap != 3)
        def request(self, rpc: Rpc) -> Verdict:
            self.gap = rand_below(9)
            return Forward()
    """)
    )
    code, out = said(capsys, "prove", path)
    found = re.search(r"rand (\d+)", out)
    assert code == Exit.NO and found is not None and int(found[1]) % 9 == 3


def test_a_promise_that_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gauge.py"
    path.write_text(GAUGE.replace(">= self.most:", ">= self.most or self.most < 0:"))
    code, out = said(capsys, "prove", path)
    assert code == Exit.NO  # a state may hold more than a limit that was lowered
    path.write_text(GAUGE.replace("@ensures(lambda self, rpc, verdict: self.running <= self.most)", ""))
    code, out = said(capsys, "prove", path)
    assert (code, out) == (
        Exit.DONE,
        "1 promise, asked 3 times: 3 proved; "
        "a second proof confirms 2 of 2, and that it holds at the beginning was tested\n",
    )


def test_a_promise_that_is_broken_is_shown_at_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gauge.py"
    path.write_text(GAUGE.replace("self.running -= 1", "self.running -= 2"))
    code, out = said(capsys, "prove", path)
    assert code == Exit.NO
    assert "error[V002]: `finish` breaks the invariant" in out
    assert "@invariant(lambda self: self.running >= 0)" in out
    assert "self.running = 1" in out and "and leaves self.running = -1" in out


def test_what_cannot_be_evaluated_is_never_proved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "busiest.py"
    path.write_text(LOOP)
    code, out = said(capsys, "prove", path, "--json")
    assert code == Exit.UNKNOWN
    found = json.loads(out)
    assert found["complete"] is False
    assert [p["verdict"] for p in found["proofs"]] == ["unknown"]


def test_a_file_without_promises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gauge.py"
    path.write_text(GAUGE.replace("@", "# @"))
    code, out = said(capsys, "prove", path)
    assert code == Exit.DONE and out.startswith("nothing to prove")


def test_versions_that_differ_have_an_example_of_each_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text(GAUGE)
    new.write_text(GAUGE.replace('"busy"', '"try later"').replace(">= self.most:", "> self.most:"))
    code, out = said(capsys, "diff", old, new)
    assert code == Exit.NO
    assert "Gauge.request: Reject becomes Forward" in out
    assert "Gauge.request: another Reject" in out
    assert "old: Reject(code=14, message='busy')" in out


def test_what_is_not_decided_names_the_expressions_that_are_not_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = path_of("fair_share"), tmp_path / "new.py"
    text = old.read_text()
    new.write_text(text.replace("chosen = min(", "chosen = max("))
    line = text[: text.index("chosen = min(")].count("\n") + 1
    code, out = said(capsys, "diff", old, new)
    assert code == Exit.UNKNOWN
    (result,) = (said for said in out.splitlines() if "`pick`, another result" in said)
    assert f"any value is taken for `argmin` over `waiting` ({old}:{line})" in result
    assert (
        f"`argmax` over `waiting` ({new}:{line})" in result
        and "on recorded calls by `transect replay LOG NEW`" in result
    )


def test_versions_that_do_the_same_are_proved_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text(GAUGE)
    new.write_text(
        GAUGE.replace("self.running >= self.most", "not self.running < self.most").replace("+= 1", "-= -1")
    )
    code, out = said(capsys, "diff", old, new)
    assert (code, out) == (Exit.DONE, "Gauge: no input gives another result (proved)\n")


def test_a_default_that_changed_is_a_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text(GAUGE)
    new.write_text(GAUGE.replace("param(10)", "param(20)"))
    code, out = said(capsys, "diff", old, new)
    assert code == Exit.NO
    assert "Gauge.request: Reject becomes Forward" in out


def test_what_was_written_to_a_new_field_is_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text(GAUGE)
    new.write_text(
        GAUGE.replace("running: int = 0", "running: int = 0\n    seen: int = 0").replace(
            "        self.running += 1", "        self.running += 1\n        self.seen += 1"
        )
    )
    code, _ = said(capsys, "diff", old, new)
    assert code == Exit.DONE


CHAIN = """
from transect.examples.rpc.acl import Acl
from transect.examples.rpc.metrics import Metrics
from transect.rpc import Chain
chain = Chain(service="echo.Echo", upstream="127.0.0.1:1", elements=[{}])
"""


def test_diff_of_chains_tells_what_moved_and_what_is_configured(tmp_path: Path, capsys: Any) -> None:
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text(CHAIN.format('Metrics(), Acl(allowed={"ann": True})'))
    new.write_text(CHAIN.format('Acl(allowed={"bob": True}), Metrics()'))
    assert run(["diff", str(old), str(new), "--limit", "20", "--json"]) == Exit.NO
    (edge,) = json.loads(capsys.readouterr().out)["chains"]
    assert edge["configured"] == ["Acl.allowed: {'ann': True} becomes {'bob': True}"]
    (moved,) = edge["order"]
    assert (moved["elements"], moved["same_at"]) == (["Metrics", "Acl"], "service")
    assert "Metrics at the end" in moved["table"]
    assert [p["same"] for p in edge["policies"]] == [True, True]
    assert run(["diff", str(old), str(old)]) == Exit.DONE
