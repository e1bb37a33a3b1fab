# SPDX-License-Identifier: Apache-2.0
"""Hints before any kernel: their forms, what is emitted for applications, who is refused, and the simulated machine."""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.parts import ROOT
from tests.unit.cpu.policies import example, said, scheduler
from transect.cli.targets import emitter
from transect.core.frontend import compile_file
from transect.cpu.built import Built
from transect.cpu.hints import target_c, target_py
from transect.cpu.hints.broker import Unwelcome, known
from transect.cpu.hints.schema import Message, heard, silent, told
from transect.cpu.simulator import Machine, Work

MS = 1_000_000


def test_the_form_of_a_hint_is_in_its_kind() -> None:
    program = example("arachne")
    cores = heard(program)
    assert cores == Message("Cores", ("count", "priority"))
    assert told(program) == (Message("give_back", ("core",)), Message("granted", ("core",)))
    assert cores.kind != Message("Cores", ("count", "rank")).kind != Message("Core", ("count", "rank")).kind


def test_who_hears_and_tells_nothing_has_no_side_for_applications() -> None:
    (diagnostic,) = silent(example("fifo"))
    assert diagnostic.message == "this scheduler hears no hints and tells nothing"


@pytest.mark.parametrize(
    ("form", "body", "message"),
    [
        (
            "number: int",
            "    def hint(self, task: Task, said: Said) -> None:\n        pass\n",
            "no declared form",
        ),
        (
            "name: str",
            "    def hint(self, task: Task, said: Said[Form]) -> None:\n        pass\n",
            "a hint holds numbers, not a `str`",
        ),
        (
            "; ".join(f"n{n}: int" for n in range(7)),
            "    def hint(self, task: Task, said: Said[Form]) -> None:\n        pass\n",
            "a hint holds one to 6 numbers",
        ),
        (
            "number: int",
            '    def wake(self, task: Task) -> None:\n        self.tell(1, "two words", core=1)\n',
            "what is told has a constant name",
        ),
        (
            "number: int",
            "    def hint(self, task: Task, said: Said[Form]) -> None:\n        self.ready.put(task)\n",
            "`put` has no place in `hint`",
        ),
    ],
)
def test_what_cannot_be_said(form: str, body: str, message: str) -> None:
    fields = form.replace("; ", "\n    ")
    assert message in said(body, before=f"\n\nclass Form(Hint):\n    {fields}\n")


@pytest.mark.needs("gcc")
def test_the_c_side(golden: Callable[[str, str], None], tmp_path: Path) -> None:
    program = example("arachne")
    artifact = target_c.emitter.emit(program)
    text = artifact.files["arachne_hints.h"].decode().replace(program.path, "arachne.py")
    golden("hints/arachne_hints.h", text)
    artifact.write(tmp_path)
    for standard in ("gnu11", "gnu17"):
        unit = tmp_path / "unit.c"
        unit.write_text('#include "arachne_hints.h"\nint main(void) { return 0; }\n')
        command = ["gcc", f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", str(unit)]
        assert subprocess.run(command, capture_output=True, text=True).stderr == ""


def test_the_python_side(golden: Callable[[str, str], None]) -> None:
    program = example("arachne")
    text = (
        target_py.emitter.emit(program).files["arachne_hints.py"].decode().replace(program.path, "arachne.py")
    )
    ast.parse(text)
    golden("hints/arachne_hints.py", text)


@pytest.mark.parametrize("target", ["bpf", "hints-c", "hints-py"])
def test_they_are_targets_of_compile(target: str) -> None:
    assert emitter(target).refuses(example("locality")) == []
    (diagnostic,) = emitter(target).refuses(example("acl"))
    assert "only schedulers" in diagnostic.message


def asks(says: object = (), hears: object = (), version: int = 1) -> bytes:
    return json.dumps({"version": version, "says": says, "hears": hears}).encode()


BUILT = Built(
    name="Arachne", source="", object=Path(), schema={"hash": ""},
    hears=(("Cores", ("count", "priority")),), tells=(("granted", ("core",)),),
)  # fmt: skip


def test_who_means_the_same_is_welcome() -> None:
    known(BUILT, asks(says=[["Cores", ["count", "priority"]]], hears=[["granted", ["core"]]]))
    known(BUILT, asks(hears=[["granted", ["core"]]]))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (asks(says=[["Cores", ["count"]]]), "Arachne takes Cores(count, priority), not Cores(count)"),
        (asks(hears=[["taken", []]]), "Arachne tells granted(core), not taken()"),
        (asks(version=2), "version 1 of the protocol"),
        (b"", "malformed"),
        (b"[]", "malformed"),
        (b'{"version": 1, "says": [1], "hears": []}', "malformed"),
        (b"\xff", "malformed"),
        (b"[" * 50_000, "malformed"),
    ],
)
def test_others_are_told_why_not(data: bytes, why: str) -> None:
    with pytest.raises(Unwelcome) as no:
        known(BUILT, data)
    assert why in str(no.value)


def test_nothing_in_force_knows_nothing() -> None:
    with pytest.raises(Unwelcome, match="no policy takes nothing"):
        known(None, asks(says=[["Cores", []]]))


# --- the arbiter, simulated ----------------------------------------------------------------------------------------


def arachne(*work: Work) -> Machine:
    machine = Machine(example("arachne"), 4, work)
    machine.run(20 * MS)
    return machine


def owners(machine: Machine) -> list[int]:
    return [machine.instance.state["owner"][core] for core in range(4)]


def test_cores_are_granted_and_their_application_runs_there_alone() -> None:
    machine = arachne(Work("app", run_ns=MS, sleep_ns=MS, hint=(1, 1)), *(Work(f"hog{n}") for n in range(4)))
    assert owners(machine) == [0, 1, 0, 0]
    assert machine.told == [(1, "granted", {"core": 1})]  # to nobody before: that is no message
    app, *hogs = machine.tasks
    assert app.cpu == 1 and all(hog.cpu != 1 for hog in hogs)
    assert max(app.waits_ns[1:]) == 0


def test_a_higher_priority_takes_cores_and_gives_them_back() -> None:
    machine = arachne(Work("low", hint=(3, 1)), Work("high", hint=(2, 5)))
    assert owners(machine) == [0, 2, 2, 1]
    machine.hint(machine.tasks[1], 0, 5)
    assert owners(machine) == [0, 0, 0, 1], "they are shared until somebody asks again"
    machine.hint(machine.tasks[0], 3, 1)
    assert owners(machine) == [0, 1, 1, 1]
    assert [(who, what, n["core"]) for who, what, n in machine.told][-2:] == [
        (1, "granted", 1),
        (1, "granted", 2),
    ]


def test_who_runs_on_a_core_leaves_it_when_it_is_granted_and_its_application_sleeps() -> None:
    app = Work("app", run_ns=MS, sleep_ns=90 * MS, hint=(2, 1), start_ns=50 * MS)
    machine = Machine(example("arachne"), 3, [*(Work(f"hog{n}") for n in range(4)), app])
    machine.run(60 * MS)
    assert owners(machine)[1:3] == [5, 5] and machine.tasks[4].ran_ns == 1 * MS
    assert [cpu.current is None for cpu in machine.cpus] == [False, True, True]


def test_equals_do_not_take_from_each_other_and_core_0_stays_shared() -> None:
    machine = arachne(Work("one", hint=(9, 3)), Work("two", hint=(9, 3)))
    assert owners(machine) == [0, 1, 1, 1]


def test_who_goes_gives_back() -> None:
    machine = arachne(Work("app", hint=(2, 3)))
    machine.call("detach", 1)
    assert owners(machine) == [0, 0, 0, 0]


def test_nobody_who_waited_for_a_core_runs_on_it_once_it_is_granted() -> None:
    """Hogs share all cores and wait at each when an application comes and takes two, and when another takes one."""
    (program,) = compile_file(ROOT / "benchmarks" / "cpu_arbiter" / "watched.py").programs
    hogs = [Work(f"hog{n}") for n in range(8)]
    app = Work("app", run_ns=3 * MS, sleep_ns=MS, hint=(2, 1), start_ns=90 * MS)
    high = Work("high", run_ns=MS, sleep_ns=MS, hint=(1, 3), start_ns=190 * MS)
    bound = Work("bound", run_ns=MS, sleep_ns=9 * MS, cpus=frozenset({1}))
    machine = Machine(program, 4, [*hogs, app, high, bound])
    machine.run(400 * MS)
    state = machine.instance.state
    assert owners(machine) == [0, 10, 9, 0] and state["foreign"] == 0
    assert state["own"] > 100 and state["bound"] > 20
    assert all(hog.ran_ns > 50 * MS for hog in machine.tasks[:8]), "they share the other two"


def test_told_to_nobody_is_not_told() -> None:
    program = scheduler('    def wake(self, task: Task) -> None:\n        self.tell(0, "up", cpu=task.cpu)\n')
    machine = Machine(program, 1, [Work("one", run_ns=MS, sleep_ns=MS)])
    machine.run(10 * MS)
    assert machine.told == []
