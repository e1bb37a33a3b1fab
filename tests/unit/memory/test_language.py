# SPDX-License-Identifier: Apache-2.0
"""Probes as programs: views say where their fields are, reports name their evidence, and the text form keeps both."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

from transect import memory
from transect.core import ir
from transect.core.frontend import compile_text
from transect.core.text import dump, parse
from transect.core.walk import walk
from transect.memory.layout import KINDS
from transect.memory.standard import FOLDER, standard
from transect.memory.testing import reports

PROBE = """
from collections.abc import Sequence
from transect.lang import given, u32, u64
from transect.memory import Probe, Struct, Symbols, at, chain, linux

class Block(Struct, of="notifier_block"):
    call: u64 = at("notifier_call")

class Keyboard(Symbols):
    listeners: Sequence[Block] = chain("atomic_notifier_head keyboard_notifier_list.head", by="next")

class Listeners(Probe):
    kernel: Keyboard = given()
    def scan(self) -> None:
        for block in self.kernel.listeners:
            self.report("someone listens to the keyboard", call=block.call, at=block.address)
        for task in linux.tasks():
            self.show("task", pid=task.pid, name=task.comm)
"""


def program() -> ir.Program:
    compiled = compile_text(PROBE)
    assert not list(compiled.diagnostics)
    return compiled.programs[0]


def test_a_view_says_what_it_is_of_and_where_its_fields_are() -> None:
    block = next(v for v in program().views if v.name == "Block")
    assert (block.of, block.base) == ("notifier_block", "memory.Struct")
    call = block.member("call")
    assert call is not None and call.layout == "at('notifier_call')"


def test_a_report_carries_the_names_of_its_evidence() -> None:
    said = [
        n for s in program().handlers[0].body for n in walk(s) if isinstance(n, ir.Intrinsic) and n.args[1:]
    ]
    names = [[a.value for a in n.args if isinstance(a, ir.Const)] for n in said]
    assert names == [["someone listens to the keyboard", "call", "at"], ["task", "pid", "name"]]


def test_the_text_form_keeps_layouts_and_evidence() -> None:
    made = program()
    assert parse(dump(made)) == made


def test_evidence_is_a_value() -> None:
    wrong = PROBE.replace("call=block.call", "call=block")
    messages = [d.message for d in compile_text(wrong).diagnostics]
    assert messages == ["a `Block` cannot be reported"]


def test_rdmis_policies_are_no_longer_than_theirs() -> None:
    text = (FOLDER / "rdmi.py").read_text()
    probes = [n for n in ast.parse(text).body if isinstance(n, ast.ClassDef)]
    lines = {p.name: p.body[-1].end_lineno - p.body[-1].lineno for p in probes if p.body[-1].end_lineno}
    assert len(lines) == 11
    assert max(lines.values()) <= 7


def test_no_probe_that_comes_with_transect_is_longer_than_fifteen_lines() -> None:
    for path in FOLDER.glob("[a-z]*.py"):
        for cls in (n for n in ast.parse(path.read_text()).body if isinstance(n, ast.ClassDef)):
            scan = cls.body[-1]
            assert scan.end_lineno is not None and scan.end_lineno - scan.lineno <= 15, cls.name


def test_every_probe_that_comes_with_transect_compiles() -> None:
    assert len(standard()) >= 33


def test_a_probe_is_tested_without_a_machine(tmp_path: Path) -> None:
    path = tmp_path / "probe.py"
    path.write_text(PROBE)
    block = SimpleNamespace(call=7, address=9)
    said = reports(path, kernel=SimpleNamespace(listeners=[block]), tasks=[])
    assert said == [("someone listens to the keyboard", {"call": 7, "at": 9})]


def test_probes_may_use_every_container() -> None:
    assert sorted(KINDS) == [name for name in memory.__all__ if name.islower()]
    joined = PROBE.replace('chain("atomic', 'together(single("notifier_block x"), chain("atomic').replace(
        'by="next")', 'by="next"))'
    )
    joined = joined.replace("at, chain, linux", "at, chain, linux, single, together")
    compiled = compile_text(joined)
    assert not [d.message for d in compiled.diagnostics]
    assert parse(dump(compiled.programs[0])) == compiled.programs[0]
