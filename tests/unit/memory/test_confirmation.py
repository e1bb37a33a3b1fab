# SPDX-License-Identifier: Apache-2.0
"""What a probe says is a finding when it is said again after the kernel has gone on, by the kernel's own account."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.linux.types import Writer
from transect.core.interp import Instance
from transect.linux import KernelDataError
from transect.linux.btf import Btf
from transect.linux.kallsyms import Symbols
from transect.memory import confirmation, scan
from transect.memory.confirmation import GRACE, Confirmation, Dumped, Mark, Running, wait
from transect.memory.findings import Result, Said
from transect.memory.machine import Counts, Machine
from transect.memory.scan import Prepared
from transect.memory.standard import standard

STATE, DATA, QUEUES, TIMES, TICKS = 0x1000, 0x2000, 0x3000, 0x4000, 0x5000
OWN = 0x10000  # between the areas of two processors
IDLE, TASK = 0x7000, 0x8000
HIDDEN = Said("hidden", (("pid", 66),))
OTHER = Said("hidden", (("pid", 67),))
NEVER = Said("a private flag", (("pid", 68),), caught=True)


def a_kernel(without: str = "") -> Btf:
    w = Writer()
    u32, u64 = w.integer("u32", 4), w.integer("u64", 8)
    node = w.struct("rcu_node", 64, [("gp_seq_needed", u64, 16)])
    w.struct(
        "rcu_state",
        128,
        [("node", w.array(node, 1), 0), ("gp_seq", u64, 64), ("expedited_sequence", u64, 96)],
    )
    w.struct("kernel_cpustat", 80, [("cpustat", w.array(u64, 10), 0)])
    callbacks = w.struct("rcu_segcblist", 64, [("len", u64, 40)])
    w.struct("rcu_data", 128, [("cblist", callbacks, 8)])
    w.struct("tick_sched", 80, [("idle_calls", u64, 40)])
    w.enum("cpu_usage_stat", [("CPUTIME_USER", 0), ("CPUTIME_NICE", 1)])
    queue = [("nr_running", u32, 0), ("nr_switches", u64, 8), ("curr", u64, 32), ("idle", u64, 40)]
    w.struct("rq", 128, [member for member in queue if member[0] != without])
    return Btf(w.data())


class Target:
    """Stands in for a machine of two processors.  It goes on by `then`, once for each time that somebody looks."""

    def __init__(self, then: Callable[[Target], None] = lambda _: None, without: str = "") -> None:
        names = (b"Drcu_state", b"Drcu_data", b"Drunqueues", b"Dkernel_cpustat", b"Dtick_cpu_sched")
        symbols = Symbols(names, (STATE, DATA, QUEUES, TIMES, TICKS))
        self.known = SimpleNamespace(btf=a_kernel(without), symbols=symbols, release="9.9", anchored=True)
        self.physical = SimpleNamespace(live=True)
        self.name, self.counts = "ram:x", Counts()
        self.then, self.where = then, "here"
        self.grace = 100 << 2  # RCU's sequence: the number of grace periods, and whether one is under way
        self.needed = self.expedited = 0
        self.running, self.callbacks, self.switches, self.user = [1, 0], [0, 0], [5, 6], [7, 8]
        self.rests = [9, 10]

    def symbol(self, name: str) -> int:
        return self.known.symbols.address(name)

    def processors(self) -> Sequence[int]:
        return 0, OWN

    def u64(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")

    def read(self, address: int, size: int) -> bytes:
        cpu, at = divmod(address, OWN)
        if at == STATE + 64:
            self.then(self)
        words = {STATE + 16: self.needed, STATE + 64: self.grace, STATE + 96: self.expedited}
        words |= {DATA + 48: self.callbacks[cpu], TIMES: self.user[cpu], TICKS + 40: self.rests[cpu]}
        if at in words:
            return struct.pack("<Q", words[at])
        assert at == QUEUES, hex(address)
        task = TASK if self.running[cpu] else IDLE
        queue = struct.pack("<I4xQ16xQQ", self.running[cpu], self.switches[cpu], task, IDLE)
        return queue[:size].ljust(size, b"\0")

    @property
    def progress(self) -> Running:
        return Running(cast(Machine, self))


def grace_periods(target: Target) -> None:
    target.grace += 1 << confirmation.STATE_BITS


def strides(target: Target) -> None:
    target.grace += GRACE + 1 << confirmation.STATE_BITS


def rounds(target: Target, *said: Sequence[Said] | str, most: int = 6) -> tuple[Result, int]:
    """A scan with a probe whose rounds are written down; and how many rounds it had."""
    left = list(said)
    program = standard()["HiddenTasks"]

    def once(_: Machine) -> tuple[tuple[Said, ...], tuple[Said, ...]]:
        now = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(now, str):
            raise KernelDataError(now)
        return tuple(now), ()

    prepared = Prepared(program, Instance(program), cast(Any, None), {}, cast(Any, None))
    look = scan._Look(
        cast(Machine, target),
        prepared,
        cast(Any, SimpleNamespace(round=once)),
        most,
        None,
        Confirmation(target.progress),
    )
    scan._look([look])
    result = look.result()
    return result, result.rounds


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmation, "PATIENCE_S", 0.05)


# ---------------------------------------------------------------- how far a kernel has come


def test_grace_periods_that_began_before_do_not_count() -> None:
    progress = Target().progress
    begun, under_way = Mark(100 << 2), Mark(100 << 2 | 1)
    assert [progress.gone_on(begun, Mark(100 + n << 2)) for n in (0, GRACE - 1, GRACE)] == [
        False,
        False,
        True,
    ]
    assert not progress.gone_on(under_way, Mark(100 + GRACE << 2 | 1))
    assert progress.gone_on(under_way, Mark(101 + GRACE << 2))


def settles(target: Target, looks: int = 3) -> bool:
    """Whether what was under way is seen to be over within some looks."""
    progress = target.progress
    since = progress.mark()
    return any(progress.gone_on(since, progress.mark()) for _ in range(looks))


def test_a_machine_whose_processors_idle_has_ended_what_it_did() -> None:
    target = Target()
    target.running = [0, 0]
    assert settles(target)


def in_user_space(target: Target) -> None:
    target.user[0] += 4_000_000


def test_so_has_one_that_computes_in_user_space() -> None:
    assert settles(Target(in_user_space)) and not settles(Target())


def test_so_has_one_that_works_whenever_we_look_and_rests_between() -> None:
    def rests(target: Target) -> None:
        target.rests[0] += 1
        target.switches[0] += 2

    assert settles(Target(rests))


@pytest.mark.parametrize("what", ["processor", "second", "callback", "grace period", "wanted", "expedited"])
def test_who_has_something_to_do_has_not(what: str) -> None:
    target = Target(in_user_space)
    target.running = [1 + (what == "second"), int(what == "processor")]
    target.callbacks = [0, int(what == "callback")]
    target.grace += what == "grace period"
    target.needed = target.grace + 4 if what == "wanted" else 0
    target.expedited = int(what == "expedited")
    assert not settles(target)


def test_nor_has_one_that_switches_all_the_time_or_in_which_rcu_works_between_two_looks() -> None:
    def switches(target: Target) -> None:
        in_user_space(target)
        target.switches[0] += 1

    def works(target: Target) -> None:
        target.running = [0, 0]
        grace_periods(target)

    assert not settles(Target(switches)) and not settles(Target(works), GRACE - 1)


def test_a_kernel_that_started_again_is_looked_for_at_its_new_place() -> None:
    target = Target()
    target.running = [0, 0]
    progress = target.progress
    since = [progress.mark(), progress.mark()][1]
    target.where, plain = "there", target.read
    target.symbol = lambda name: target.known.symbols.address(name) + 0x20  # type: ignore[method-assign]
    target.read = lambda address, size: plain(address - 0x20, size)  # type: ignore[method-assign]
    assert not progress.gone_on(since, progress.mark()), "of the new one nothing is known yet"
    assert progress.gone_on(since, progress.mark())


def test_a_kernel_without_what_is_needed_is_told() -> None:
    with pytest.raises(KernelDataError, match="nr_switches"):
        Target(without="nr_switches").progress.mark()


def test_what_was_under_way_before_the_last_look_only_is_over() -> None:
    """A thread that waits for RCU is woken by a grace period: what it does then is not over yet."""
    target = Target()
    target.running = [0, 0]
    progress = target.progress
    progress.mark()
    since = progress.mark()
    target.running[0], target.grace = 1, target.grace + 4
    assert not any(progress.gone_on(since, progress.mark()) for _ in range(3))
    target.running[0] = 0
    assert progress.gone_on(since, progress.mark())


def test_waiting_ends_when_the_kernel_goes_on_and_when_patience_does() -> None:
    going, standing = Target(grace_periods), Target()
    assert wait(going.progress, going.progress.mark(), 5)
    assert not wait(standing.progress, standing.progress.mark(), 0.02)


# ---------------------------------------------------------------- scans


def test_what_is_said_again_when_the_kernel_has_gone_on_is_found() -> None:
    result, number = rounds(Target(grace_periods), [HIDDEN])
    assert (result.verdict, result.findings, number) == ("found", (HIDDEN,), 2)


def test_what_the_kernel_leaves_when_it_goes_on_is_no_finding() -> None:
    assert rounds(Target(grace_periods), [HIDDEN], [])[0].verdict == "clean"


def test_a_target_that_stands_still_confirms_nothing() -> None:
    result, number = rounds(Target(), [HIDDEN])
    assert (result.verdict, result.findings, result.unstable) == ("unconfirmed", (), (HIDDEN,))
    assert "stands still" in result.problem and number == 1


def test_what_never_is_so_is_confirmed_by_the_next_round() -> None:
    result, number = rounds(Target(), [NEVER])
    assert (result.verdict, result.findings, number) == ("found", (NEVER,), 2)
    assert rounds(Target(), [NEVER], [])[0].verdict == "clean"


def test_what_never_is_so_is_found_where_the_rest_cannot_be_confirmed() -> None:
    result, _ = rounds(Target(), [NEVER, HIDDEN])
    assert (result.verdict, result.findings, result.unstable) == ("found", (NEVER,), (HIDDEN,))


def test_what_several_elements_say_alike_is_told_once() -> None:
    result, _ = rounds(Target(), [NEVER, HIDDEN, NEVER, HIDDEN])
    assert (result.verdict, result.findings, result.unstable) == ("found", (NEVER,), (HIDDEN,))


def test_a_dump_is_what_it_is() -> None:
    target = Target()
    target.physical.live = False
    assert isinstance(confirmation.progress_of(cast(Machine, target)), Dumped)
    heard = Confirmation(Dumped())
    heard.begin()
    assert heard.said([HIDDEN]) == []
    heard.begin()
    assert heard.said([HIDDEN, OTHER]) == [HIDDEN]


def test_rounds_that_never_agree_are_unstable() -> None:
    many = [[Said("hidden", (("pid", n),))] for n in range(9)]
    result, number = rounds(Target(grace_periods), *many)
    assert (result.verdict, number) == ("unstable", 6)


def test_what_was_said_before_a_round_that_could_not_look_counts_no_more() -> None:
    result, number = rounds(Target(grace_periods), [HIDDEN], "torn", [HIDDEN])
    assert (result.verdict, number) == ("found", 4)


def test_a_clean_round_does_not_ask_how_far_the_kernel_is() -> None:
    target = Target(grace_periods)
    plain = target.read

    def counted(address: int, size: int) -> bytes:
        target.counts.reads += 1
        return plain(address, size)

    target.read = counted  # type: ignore[method-assign]
    rounds(target, [])
    assert target.counts.reads == 0
