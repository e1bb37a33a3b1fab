# SPDX-License-Identifier: Apache-2.0
"""`transect explain`: pages, and a policy beside what it is compiled to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from tests.unit.cli.terminal import Run, in_terminal
from transect.cli.side_by_side import pairs, read_c
from transect.errors import codes

POLICY = """\
from transect.lang import Counter, counter
from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict


class Gate(Element):
    \"\"\"Let named callers through.\"\"\"

    refused: Counter = counter()

    def request(self, rpc: Rpc) -> Verdict:
        if rpc.headers.get("user") is None:
            self.refused.add()
            return Reject(Code.UNAUTHENTICATED, "who?")
        return Forward()
"""


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("gate.py").write_text(POLICY)
    return Path("gate.py")


def test_a_page_as_plain_text(transect: Run) -> None:
    ended = transect("explain", "P006")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == snapshot("""\
P006: an unknown state field

A handler names a field, `self.NAME`, which the class does not have. State is declared
as annotated fields of the class, so that its size is known and it can be kept, shown
and moved; it cannot be made up while the policy runs.

  this is refused:

    from transect.rpc import Element, Forward, Rpc, Verdict


    class Count(Element):
        seen: int = 0

        def request(self, rpc: Rpc) -> Verdict:
            self.sean += 1
            return Forward()

Write the name of a field that is declared, or declare it with its type and first value.

  this is accepted:

    from transect.rpc import Element, Forward, Rpc, Verdict


    class Count(Element):
        seen: int = 0

        def request(self, rpc: Rpc) -> Verdict:
            self.seen += 1
            return Forward()
""")


@pytest.mark.parametrize("code", codes())
def test_every_page_prints_in_both_ways(code: str, transect: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert transect("explain", code.lower()).out.startswith(f"{code}: ")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert code in transect("explain", code).out


def test_a_code_that_is_not_there(transect: Run) -> None:
    ended = transect("explain", "P999")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "transect: there is no code P999\n  hint: transect explain (lists all of them)\n"


def test_all_codes_are_listed(transect: Run) -> None:
    listed = transect("explain").out.splitlines()
    assert len(listed) == len(codes())
    assert "P006  an unknown state field" in listed


@pytest.mark.parametrize("form", ["ir", "py", "c"])
def test_without_a_terminal_only_the_output_is_printed(form: str, gate: Path, transect: Run) -> None:
    ended = transect("explain", gate, "--emit", form)
    assert (ended.code, ended.err) == (0, "")
    assert "Let named callers through" in ended.out if form != "c" else "gate_" in ended.out
    assert "│" not in ended.out


def test_in_a_wide_terminal_both_are_side_by_side_and_keep_step(gate: Path) -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", in_terminal("explain", gate, columns=130).out)
    rows = [line.split("│") for line in shown.splitlines()]
    assert [(left.strip()[:42], right.strip()[:32]) for left, right in rows] == snapshot(
        [
            ("5 class Gate(Element):", ""),
            ('6     """Let named callers through."""', ""),
            ("7", ""),
            ("8     refused: Counter = counter()", "state refused: Counter"),
            ("9", ""),
            ("10     def request(self, rpc: Rpc) -> Verd", "handler request(rpc: &Rpc) -> Ve"),
            ('11         if rpc.headers.get("user") is N', "if (not is_some(%rpc.Headers.get"),
            ("12             self.refused.add()", "update .refused + 1"),
            ("13             return Reject(Code.UNAUTHEN", "return cast(Reject{16::Code, 'wh"),
            ("14         return Forward()", "return cast(Forward{None::Durati"),
        ]
    )


def test_in_a_narrow_terminal_only_the_output_is_printed(gate: Path) -> None:
    assert "│" not in in_terminal("explain", gate, columns=80).out


def test_a_policy_with_errors_shows_them(gate: Path, transect: Run) -> None:
    gate.write_text(POLICY.replace("self.refused", "self.refusd"))
    ended = transect("explain", gate)
    assert ended.code == 1
    assert ended.out.startswith("error[P006]: no state field `refusd`\n")


def test_a_file_without_a_policy(tmp_path: Path, transect: Run) -> None:
    path = tmp_path / "empty.py"
    path.write_text("")
    ended = transect("explain", path)
    assert (ended.code, ended.out) == (1, f"transect: there is no policy in {path}\n")


def test_pairs_wait_for_the_longer_side() -> None:
    assert pairs(5, 8, [None, 5, None, None, 7, 6, 8]) == [
        (5, 0),
        (6, 1),
        (None, 2),
        (None, 3),
        (7, 4),
        (None, 5),
        (8, 6),
    ]


def test_line_directives_of_c_become_origins() -> None:
    text = [
        "int head;",
        '#line 7 "gate.py"',
        "int request(void) {",
        "    (void)0;",  # counted as line 8, but the next one says that it is line 8
        '#line 8 "gate.py"',
        "    int a;",
        "    int b;",  # counted, and meant
        '#line 9 "gate.c"',
        "int tail;",
    ]
    lines, origins, own = read_c("dir/gate.py", text)
    assert lines == [line for line in text if not line.startswith("#line")]
    assert origins == [None, 7, None, 8, 9, None]
    assert own == [False, True, True, True, True, False]


def test_a_page_in_a_narrow_terminal_loses_nothing() -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", in_terminal("explain", "P021", columns=80).out)
    assert shown.count("Code.PERMISSION_DENIED") == 2
