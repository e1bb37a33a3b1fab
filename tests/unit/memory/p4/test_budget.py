# SPDX-License-Identifier: Apache-2.0
"""What the P4 program takes of a switch, the refusal of what does not fit, and the program and entries as files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.memory.chaser.memories import IMAGE, Memory
from tests.unit.memory.p4.test_switch import ENDS, GRANT, chain
from transect.cli import main
from transect.core.frontend import compile_text
from transect.core.ir import Program
from transect.errors import page
from transect.memory.chaser.lower import Kept, Lowered
from transect.memory.chaser.steps import Step
from transect.memory.chaser.walk_sites import sites
from transect.memory.p4 import entries
from transect.memory.p4.budget import DEFAULT, BadBudget, Budget, usage
from transect.memory.p4.compiled import DoesNotFit, artifact, fit
from transect.memory.p4.syntax import SyntaxProblem, parse, resolve
from transect.memory.p4.target import emitter
from transect.memory.standard import standard

SOURCE = entries.SOURCE.read_text()
OWNERS = """
from transect.memory import Probe, linux
class Owners(Probe):
    def scan(self) -> None:
        for task in linux.tasks():
            if task.uid == 0 and task.memory is not None:
                self.show("task", pid=task.pid, comm=task.comm)
"""


def owners() -> Program:
    return compile_text(OWNERS).program("Owners")


def walks(**more: int) -> list[Lowered | Kept]:
    (site,) = sites(owners())
    return [Lowered(site, chain(IMAGE, **more), "Task", 0, ())]


@pytest.mark.parametrize("blocks", [(), ("PAGES",), ("PAGES", "SETS", "TESTS")])
def test_the_program_fits_into_twelve_stages(blocks: tuple[str, ...]) -> None:
    budget = Budget.of()
    taken = usage(parse(resolve(SOURCE, blocks)), budget.alu_bits)
    assert list(taken.exceeds(budget)) == []
    assert (taken.ingress_stages, taken.egress_stages) == (10, 6)
    assert set(taken.accesses.values()) == {1}


def test_what_is_longer_than_an_alu_takes_more_stages() -> None:
    program = parse(resolve(SOURCE, ("PAGES",)))
    stages = [usage(program, bits).ingress_stages for bits in (64, 32, 16, 8)]
    assert stages == sorted(stages) and stages[0] < stages[1] < stages[2]


def test_a_second_access_to_a_register_is_counted() -> None:
    text = resolve(SOURCE, ()).replace("nodes.read(m.node, m.at);", "nodes.read(m.node, m.at);" * 2)
    taken = usage(parse(text), 32)
    assert taken.accesses["nodes"] == 2
    assert "2 accesses to the register nodes" in "".join(taken.exceeds(Budget.of()))


def test_a_probe_that_does_not_fit_is_refused_and_the_read_is_named() -> None:
    found = [replace(w, chain=replace(w.chain, steps=_named(w))) for w in walks() if isinstance(w, Lowered)]
    assert fit(found, Budget.of())[1] == ("PAGES", "TESTS")
    with pytest.raises(
        DoesNotFit, match=r"the read of `number` in ring .*10 stages of the ingress; there are 9"
    ):
        fit(found, replace(Budget.of(), ingress_stages=9))


def _named(one: Lowered) -> tuple[Step, ...]:
    return tuple(replace(s, why="number") for s in one.chain.steps)


def test_a_table_of_steps_that_is_full_names_the_read() -> None:
    with pytest.raises(DoesNotFit, match="the table of steps has 1024 entries"):
        fit(walks() * 300, Budget.of())


def test_a_probe_without_lists_is_refused_with_what_it_walks() -> None:
    with pytest.raises(DoesNotFit, match=r"pid_table\(\) \(hlist"):
        artifact(compile_text(OWNERS.replace("tasks()", "pid_table()")).program("Owners"))


def test_the_program_of_a_probe_is_the_golden_file(golden: Callable[[str, str], None]) -> None:
    golden("p4/owners.p4", artifact(owners()).files["owners.p4"].decode())
    golden("p4/hidden_modules.p4", artifact(standard()["HiddenModules"]).files["hidden_modules.p4"].decode())


def test_the_entries_of_a_chain_are_the_golden_file(golden: Callable[[str, str], None]) -> None:
    rows, _ = entries.of_chains([chain(IMAGE, 10, 20, inserts=3), chain(IMAGE, outside=3)])
    rows += entries.of_grant(replace(GRANT, pairs=GRANT.pairs[:1]), Memory().places, ENDS)
    golden("p4/entries.txt", "".join(row.command + "\n" for row in rows))


def test_compile_writes_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "owners.py").write_text(OWNERS)
    assert main(["compile", str(tmp_path / "owners.py"), "--to", "p4", "-o", str(tmp_path / "out")]) == 0
    assert "V1Switch(" in (tmp_path / "out" / "owners.p4").read_text()
    (tmp_path / "owners.py").write_text(OWNERS.replace("tasks()", "pid_table()"))
    assert main(["compile", str(tmp_path / "owners.py"), "--to", "p4", "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().out
    assert "error[M001]: Owners walks no list that a switch can walk: pid_table() (hlist, line " in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no switch"),
        ("[switch.a]\nstages = 3\n", "switch `a`"),
        ("not toml", "budget"),
    ],
)
def test_a_budget_that_says_nothing_of_use_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "budget.toml").write_text(text)
    with pytest.raises(BadBudget, match=message):
        Budget.of(tmp_path / "budget.toml")
    with pytest.raises(BadBudget, match="no switch `huge`; there is twelve"):
        Budget.of(DEFAULT, "huge")


@pytest.mark.parametrize(
    "text", ["for", "control C() { apply { x = y ? 1 : 2; } }", "header h { int<4> x; }", "const"]
)
def test_what_the_subset_does_not_have_is_an_error(text: str) -> None:
    with pytest.raises((SyntaxProblem, ValueError)):
        parse(text)


@pytest.mark.parametrize("word", ["control", "table", "default", "error", "this"])
@pytest.mark.parametrize(
    "text", ["header h {{ bit<8> {}; }}", "struct s {{ h_t {}; }}", "control C() {{ apply {{ m.{} = 1; }} }}"]
)
def test_a_reserved_word_is_no_name_as_for_the_reference_compiler(text: str, word: str) -> None:
    parse(text.format("control_"))
    with pytest.raises(SyntaxProblem, match=f"a name, not `{word}`"):
        parse(text.format(word))


def test_the_examples_of_the_page_are_what_it_says() -> None:
    found = page("M001")
    assert found is not None
    (bad,), (good,) = found.examples("bad"), found.examples("good")
    refusals = [emitter.refuses(program) for program in compile_text(bad).programs]
    assert [[(d.code, d.span.line) for d in of_one] for of_one in refusals] == [[("M001", 5)]]
    assert [emitter.refuses(program) for program in compile_text(good).programs] == [[]]
