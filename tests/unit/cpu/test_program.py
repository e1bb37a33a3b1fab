# SPDX-License-Identifier: Apache-2.0
"""What is emitted for a scheduler: its C, the objects that clang makes of it, and where its state lies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cpu import everything
from tests.unit.cpu.policies import ARBITERS, HEAD, SCHEDULERS, example, said, scheduler
from transect.core.frontend import compile_file, compile_text
from transect.core.frontend.contracts import contracted
from transect.cpu.build import build, build_shim, layout
from transect.cpu.built import Built
from transect.cpu.check import check
from transect.cpu.counters import sites
from transect.cpu.kernel import opened
from transect.cpu.program import source
from transect.cpu.scheduler import Scheduler, legal
from transect.cpu.trial import Invalid, read_watched
from transect.emit.bpf.recording import recorded

REST = """
    def enqueue(self, task: Task) -> None:
        self.ready.put(task)

    def dispatch(self, cpu: int) -> None:
        self.ready.take()
"""


@pytest.mark.parametrize("path", (*SCHEDULERS, *ARBITERS), ids=lambda path: path.stem)
def test_the_c_of_the_examples(path: Path, golden: Callable[[str, str], None]) -> None:
    (program,) = compile_file(path).programs
    text = source(Scheduler.of(program), marks=False).replace(str(path), path.name)
    golden(f"bpf/{path.stem}.bpf.c", text)


@pytest.mark.needs("clang")
def test_clang_takes_it_and_the_loader_finds_what_it_needs(tmp_path: Path) -> None:
    built = build(example("weighted_fair"), tmp_path, "fair")
    assert Built.read(tmp_path / "fair.json") == built
    assert build_shim(tmp_path).is_file()


@pytest.mark.needs("clang")
@pytest.mark.parametrize(
    ("known", "form"),
    [(b"SCX_OPS_ENQ_LAST", "policy"), (b"SCX_OPS_ALLOW_QUEUED_WAKEUP", "policy_queued")],
)
def test_the_form_is_one_whose_flags_the_kernel_knows(tmp_path: Path, known: bytes, form: str) -> None:
    build(example("fifo"), tmp_path)
    types = tmp_path / "btf"
    types.write_bytes(b"\0" + known + b"\0")
    for path in (build_shim(tmp_path), tmp_path / "policy.o"):
        found, chosen = opened(path, types)
        found.close()
        assert chosen == form


@pytest.mark.needs("clang")
def test_lines_of_the_policy_are_in_the_object(tmp_path: Path) -> None:
    built = build(example("fifo"), tmp_path)
    assert b"examples/cpu/fifo.py" in built.object.read_bytes()


@pytest.mark.needs("clang")
@pytest.mark.parametrize(
    "body",
    [
        """
    seen: Tally[int, int] = tally(64)
    last: Map[int, int] = table(8)
    share: Array[int] = array(16)
    narrow: u8 = 250
    limit: Param[int] = param(7)
    maybe: int | None = None
    much: Counter = counter()
    runs: Local[int] = local(3)

    def running(self, task: Task) -> None:
        self.seen[task.pid] += 1
        self.seen[task.pid] = max(self.seen[task.pid], self.limit)
        self.narrow += 10
        self.much.add(1)
        self.runs += 1
        if 0 <= task.cpu < 16:
            self.share[task.cpu] += task.weight
            self.share[task.cpu] = self.share[task.cpu] * 3 // 2 % 7
        for n in range(3):
            if self.seen.get(n) > 4:
                break
            if n == 1:
                continue
            self.maybe = n
        if self.maybe is not None:
            self.narrow = self.maybe
        match self.maybe:
            case None:
                self.runs = 0
            case 1 | 2:
                self.runs = -1
            case other:
                self.runs = other
        del self.seen[task.pid]
        self.last[self.runs] = 3
        key = task.pid
        if key in self.last and self.last.put(4, 5):
            self.last[9] = self.last.get(key, 2) << 3 ^ 5
""",
    ],
)
def test_all_of_the_language_that_bpf_has_compiles(body: str, tmp_path: Path) -> None:
    assert said(body) == ""
    build(scheduler(body), tmp_path)


@pytest.mark.parametrize("name", ["at", "seen", "before", "said", "used", "old", "s64", "call", "cpu_"])
def test_a_local_may_have_any_name(name: str, tmp_path: Path) -> None:
    """The runtime's macros have names of their own inside, which catch none of a policy's."""
    program = scheduler(f"""
    n: int = 1
    share: Array[int] = array(8)
    seen: Tally[int, int] = tally(64)

    def tick(self, task: Task) -> None:
        {name} = task.pid
        if 0 <= {name} < 8 and task.may_run({name}):
            self.n = self.share[{name}] + self.seen[{name}]
        self.n *= {name}
        self.seen[{name}] |= {name}
        self.n += task.used() - {name}
""")
    build(program, tmp_path)
    build(program, tmp_path, recording=True)
    changed = "TS_CHANGED(&self->n, ts_before * {})"
    named = {"s64": "s64_2", "call": "call_2"}.get(name, name)
    for recording in (False, True):
        assert changed.format(named) in source(Scheduler.of(program, recording=recording), marks=False)


def test_every_update_of_one_value_is_one_step() -> None:
    """Two CPUs that update one word at a time lose nothing: what is no instruction of its own is tried again."""
    program = scheduler("""
    flags: int = 0
    most: u64 = 0
    least: u16 = 9

    def tick(self, task: Task) -> None:
        self.flags |= 1 << (task.cpu & 63)
        self.most = max(self.most, as_u64(task.pid))
        self.least = min(self.least, task.cpu)
""")
    text = source(Scheduler.of(program), marks=False)
    for field in ("flags", "most", "least"):
        assert f"TS_CHANGED(&self->{field}," in text
        assert f"TS_WRITE(self->{field}," not in text


def test_a_hook_that_would_migrate_state_is_refused() -> None:
    body = "    new: int = 0\n    def migrate(self, old: Before) -> None:\n        self.new = old.count\n"
    shown = said(body, before="\n\nclass Before(OldState):\n    count: int\n")
    assert "a scheduler has no `migrate`" in shown


def test_random_numbers_come_from_the_kernel(tmp_path: Path) -> None:
    program = scheduler(
        "    n: int = 0\n    def tick(self, task: Task) -> None:\n        self.n = rand_below(6)\n"
    )
    assert not said(
        "    n: int = 0\n    def tick(self, task: Task) -> None:\n        self.n = rand_below(6)\n"
    )
    build(program, tmp_path)
    build(program, tmp_path, recording=True)


def test_state_lies_in_words_in_the_order_of_its_fields() -> None:
    places, start = layout(
        scheduler("""
    level: int = -1
    maybe: int | None = 5
    share: Array[int] = array(3)
    seen: Tally[int, int] = tally(64)
    narrow: u8 = 250
""")
    )
    assert [(p.field, p.word, p.words) for p in places] == [
        ("level", 1, 1),
        ("maybe", 2, 2),
        ("share", 4, 3),
        ("seen", 0, 0),
        ("narrow", 7, 1),
    ]
    assert start == (1, 2**64 - 1, 1, 5, 0, 0, 0, 250, 0)


def test_the_kernel_calls_only_what_the_policy_has() -> None:
    assert Scheduler.of(example("fifo")).ops == ("select_cpu", "enqueue", "dispatch", "init")
    assert "enable" in Scheduler.of(example("weighted_fair")).ops, "it asks what its tasks have used"
    assert "stopping" not in Scheduler.of(example("weighted_fair")).ops, "each call costs, whatever it does"
    assert Scheduler.of(example("locality")).ops == (
        "select_cpu", "enqueue", "dispatch", "running", "tick", "init_task", "init"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    share: float = 0.5\n", "a scheduler's state cannot hold a `float`"),
        ('    name: str = ""\n', "a scheduler's state cannot hold a `str`"),
        ("    seen: Map[str, int] = table(4)\n", "a scheduler's table is kept by a number, not by a `str`"),
        (
            "    seen: Map[int, int] = table(4)\n    def tick(self, task: Task) -> None:\n"
            "        for k in self.seen.values():\n            pass\n",
            "a scheduler cannot loop over this",
        ),
        ("    n: Array[int] = array(4, exclusive=True)\n", "a scheduler has no `exclusive` state"),
        ("    n: Tally[int, int] = tally(4, persist=True)\n", "a scheduler has no `persist` state"),
        (
            '    n: Tally[int, int] = tally(4, sync="eventual", merge="sum")\n',
            "a scheduler has no `sync` state",
        ),
    ],
)
def test_what_bpf_could_only_approximate_is_refused(body: str, message: str) -> None:
    assert message in said(body)


PROMISING = """
from transect.cpu import Fifo, Scheduler, Task
from transect.lang import Tally, ensures, given, invariant, tally


@invariant(lambda self: self.count >= 0)
@invariant(lambda self: all(self.seen[p] >= 0 for p in self.seen))
class P(Scheduler):
    ready: Fifo = given()
    count: int = 0
    seen: Tally[int, int] = tally(8)

    def enqueue(self, task: Task) -> None:
        self.ready.put(task)

    def dispatch(self, cpu: int) -> None:
        self.ready.take()

    @ensures(lambda self, task, cpu, kept: not kept or self.count > 0)
    def keep(self, task: Task, cpu: int) -> bool:
        self.count += 1
        return False
"""


def test_what_a_policy_promises_is_looked_at_after_each_call(tmp_path: Path) -> None:
    """What BPF has no form for is left out; a condition that makes no sense is refused."""
    path = tmp_path / "p.py"
    path.write_text(PROMISING)
    program = read_watched(path)
    assert program is not None
    looked = [(c.kind, c.hook, c.function.span.line) for c in contracted(program).contracts]
    assert looked == [("invariant", "", 6), ("ensures", "keep", 19)]
    text = source(Scheduler.of(program), marks=False)
    assert [text.count(f"ts_broken({n}ll)") for n in (1, 2, 3)] == [3, 1, 0], "each hook, the one, none"
    path.write_text(PROMISING.replace("self.count > 0", "self.nonesuch > 0"))
    with pytest.raises(Invalid, match="nonesuch"):
        read_watched(path)


def test_a_loop_through_a_table_is_refused() -> None:
    body = (
        "    seen: Tally[int, int] = tally(8)\n    most: int = 0\n\n    def tick(self, task: Task) -> None:\n"
    )
    assert "BPF does not go through a table" in said(
        body + "        for pid in self.seen:\n            self.most = max(self.most, pid)\n"
    )


def test_what_p050_advises_is_taken() -> None:
    """It advised `exclusive=True`, which a scheduler may not have."""
    racing = "    n: int = 0\n\n    def running(self, task: Task) -> None:\n        self.n = self.n * 2 + 1\n"
    step = racing.replace("self.n = self.n * 2 + 1", "self.n += 1")
    local = racing.replace("n: int = 0", "n: Local[int] = local(0)")

    def warned(body: str) -> list[str]:
        compiled = compile_text(HEAD + body + REST, "p.py")
        return [*(d.code for d in compiled.diagnostics), *(d.code for d in check(compiled.programs[0]))]

    assert warned(racing) == ["P050"]
    assert warned(step) == warned(local) == []


def test_a_queue_of_a_cpu_that_may_not_exist_is_counted_once_at_its_line(tmp_path: Path) -> None:
    program = scheduler(
        """
    mine: Fifos = given()
    near: NodeFifos = given()

    def enqueue(self, task: Task) -> None:
        if task.pid > 9:
            self.mine.on(task.pid).put(task)
        elif task.pid > 5:
            self.mine.on(task.cpu).put(task)
        elif task.pid > 3:
            self.near.on(task.pid).put(task)
        else:
            self.near.on(node_of(task.cpu)).put(task)

    def dispatch(self, cpu: int) -> None:
        if not self.mine.on(cpu).take() and not self.mine.on(0).take():
            self.near.steal(0)
        self.ready.take()
"""
    )
    found = [(what, line) for what, _, line in sites(program) if what == "beyond"]
    assert found == [("beyond", 15), ("beyond", 19)]
    for recording in (False, True):
        text = source(Scheduler.of(program, recording=recording), marks=False)
        assert text.count("ts_on(") + text.count("ts_on_node(") == 2, text


@pytest.mark.parametrize("path", (*SCHEDULERS, Path(everything.__file__)), ids=lambda path: path.stem)
def test_what_is_counted_is_the_same_in_the_form_that_records(path: Path) -> None:
    (program,) = compile_file(path).programs
    assert sites(legal(program)) == sites(recorded(program))
