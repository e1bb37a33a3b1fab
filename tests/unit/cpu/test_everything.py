# SPDX-License-Identifier: Apache-2.0
"""Every hook and every function of schedulers runs in a simulation, replays, and compiles for BPF."""

from __future__ import annotations

import inspect
import re
import subprocess
from pathlib import Path

import pytest

from tests.operators import infix
from tests.unit.cpu import everything
from tests.unit.cpu.logs import event, log_of, replayed
from tests.unit.cpu.policies import said, scheduler
from transect.core import ir
from transect.core.frontend import compile_file
from transect.core.ir import Program
from transect.core.stable import hash64
from transect.core.types import ViewType
from transect.core.walk import walk
from transect.cpu import hooks, ring
from transect.cpu.build import build
from transect.cpu.check import check
from transect.cpu.replay import Player, Words
from transect.cpu.scheduler import OPS
from transect.cpu.simulator import UNSIMULATED, Machine, Work
from transect.emit import bpf
from transect.emit.bpf.recording import site

MS = 1_000_000
RUNTIME = Path(hooks.__file__).parent / "runtime"
HOOKS = [name for name, f in vars(hooks.Scheduler).items() if inspect.isfunction(f) and name != "tell"]


@pytest.fixture(scope="module")
def program() -> Program:
    compiled = compile_file(Path(everything.__file__))
    assert not compiled.diagnostics.failed
    (program,) = compiled.programs
    return program


def called(program: Program) -> set[str]:
    functions = (*program.functions, *program.handlers)
    parts = (part for f in functions for s in f.body for part in walk(s))
    return {part.name for part in parts if isinstance(part, ir.Intrinsic)}


def test_it_has_every_hook_and_calls_every_function(program: Program) -> None:
    assert [h.name for h in program.handlers if h.default] == []
    assert {h.name for h in program.handlers} == set(HOOKS)
    assert called(program) == {i.name for i in program.intrinsics} | {"now", "rand_below", "hash64"}
    assert len(program.intrinsics) == sum(
        text.count("@intrinsic(") for text in [Path(hooks.__file__).read_text()]
    )
    assert check(program) == []


def test_a_number_has_the_same_hash_in_bpf(tmp_path: Path) -> None:
    text = (Path(bpf.__file__).parent / "runtime" / "transect_bpf.h").read_text()
    (function,) = re.findall(r"#define TS_ROTATED.*?\n}\n", text, re.DOTALL)
    asked = [(x, seed) for x in (0, 1, 2**63, 2**64 - 1, 0x123456789) for seed in (0, 7, 2**64 - 1)]
    said = "".join(f'printf("%llu\\n", ts_hash64({x}ull, {seed}ull));' for x, seed in asked)
    source = tmp_path / "hash.c"
    source.write_text(
        "#include <stdio.h>\ntypedef unsigned long long u64;\n#define TS_INLINE static inline\n"
        f"{function}int main(void) {{ {said} }}\n"
    )
    subprocess.run(["gcc", "-Wall", "-Werror", source, "-o", tmp_path / "hash"], check=True)
    found = subprocess.run([tmp_path / "hash"], check=True, capture_output=True, text=True).stdout
    assert [int(line) for line in found.split()] == [hash64(x, seed) for x, seed in asked]


@pytest.mark.parametrize("asked", ['parse_int("7") is None', 'hash64("seven") == 0'])
def test_texts_are_refused_where_they_are_read(asked: str) -> None:
    told = said(f"\n    def keep(self, task: Task, cpu: int) -> bool:\n        return {asked}\n")
    assert "error[C005]: a scheduler has no texts, and so no `" in told


def test_every_function_is_simulated_and_every_hook_called_but_those_that_are_named(program: Program) -> None:
    work = [Work(f"hog{n}", hint=(n,)) for n in range(3)]
    work += [Work(f"short{n}", run_ns=MS, sleep_ns=2 * MS, weight=1 + 99 * n) for n in range(3)]
    work += [Work("ends", bursts=((0, MS), (9 * MS, 3 * MS)), hint=(1,)), Work("there", cpus=frozenset({2}))]
    machine = Machine(program, 4, work, nodes=2)
    asked: set[str] = set()
    heard: set[str] = set()
    for name, function in list(machine.functions.items()):
        machine.functions[name] = lambda *args, name=name, function=function: (
            asked.add(name) or function(*args)
        )
    call = machine.hook
    machine.hook = lambda hook, *args: heard.add(hook) or call(hook, *args)  # type: ignore[method-assign]
    machine.run(300 * MS)
    assert asked == {i.name for i in program.intrinsics}
    assert heard == set(HOOKS) - set(UNSIMULATED)
    assert machine.starved() == []


@pytest.mark.needs("clang")
@pytest.mark.parametrize("recording", [False, True])
def test_it_compiles_for_bpf(program: Program, tmp_path: Path, recording: bool) -> None:
    built = build(program, tmp_path, recording=recording)
    assert built.object.stat().st_size > 0
    assert {op for op, _ in OPS.values()} <= set(built.ops)


def test_each_hook_has_an_operation_of_the_kernel_or_is_called_by_our_own() -> None:
    assert set(HOOKS) - set(OPS) == {"keep", "alarm", "hint", "detach"}


def test_hooks_have_one_number_in_logs_and_in_the_kernel() -> None:
    enum = re.search(r"enum ts_hook \{(.*?)\};", (RUNTIME / "record.h").read_text(), re.DOTALL)
    assert enum and tuple(re.findall(r"TS_HOOK_(\w+)", enum[1])) == ring.HOOKS
    assert set(ring.HOOKS) == set(HOOKS)


def test_the_shim_hands_on_every_operation() -> None:
    shim = (RUNTIME / "shim.bpf.c").read_text()
    for word in ("TS_FORWARD", "TS_OP"):
        assert {op for op, _ in OPS.values()} <= set(re.findall(rf"{word}\((\w+)\)", shim)), word


@pytest.mark.needs("clang")
def test_every_operator_of_whole_numbers_compiles_for_bpf(tmp_path: Path) -> None:
    lines = [f"self.a = self.a {op} self.b" for op in infix("iii")]
    lines += [f"self.c = self.c {op} self.d" for op in infix("uuu")]
    of_numbers = "".join(f"        {line}\n" for line in lines)
    program = scheduler(f"""
    a: int = 1
    b: int = 2
    c: u64 = 3
    d: u64 = 4

    def enqueue(self, task: Task) -> None:
{of_numbers}
        self.ready.put(task)

    def dispatch(self, cpu: int) -> None:
        self.ready.take()
""")
    assert build(program, tmp_path).object.stat().st_size > 0


class Answering(Words):
    """A tape that has whatever is asked for, and keeps it."""

    def __init__(self, first: int) -> None:
        super().__init__(b"", {})
        self.kept: list[tuple[int, int]] = []
        self.first = first

    def saw(self, number: int) -> int:
        self.kept.append((number, (self.first + len(self.kept)) % 9))
        return self.kept[-1][1]

    def said(self, number: int, value: int) -> None:
        self.kept.append((number, int(value)))


@pytest.mark.parametrize("hook", HOOKS)
def test_what_each_hook_saw_and_said_replays(program: Program, tmp_path: Path, hook: str) -> None:
    player = Player(program, 4, 2)
    names = {site(i.name): i.name for i in program.intrinsics}
    names |= {site(f.name): f.name for f in program.state} | {
        site(name): name for name in ("now", "rand_below")
    }
    names |= {site(f"{v.name}.{m.name}"): f"{v.name}.{m.name}" for v in program.views for m in v.members}
    handler = program.handler(hook)
    assert handler is not None
    events = []
    for first in range(9):
        tape = Answering(first)
        args = [player.views[p.type.name] if isinstance(p.type, ViewType) else 1 for p in handler.params]
        result = player.call(hook, args, tape=tape)
        words = [(names[number], word) for number, word in tape.kept]
        events.append(event(hook, words, args=(1, 0), result=int(result or 0)))
    found = replayed(log_of(tmp_path, program, *events))
    assert found.divergence is None and found.calls == 9
