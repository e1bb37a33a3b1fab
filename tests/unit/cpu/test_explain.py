# SPDX-License-Identifier: Apache-2.0
"""What the kernel says, in the policy's terms."""

from __future__ import annotations

import ctypes
import errno
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.cpu.policies import example, scheduler
from transect.base.shipped import path_of
from transect.control.protocol import Refused
from transect.core.ir import Program
from transect.cpu import kernel
from transect.cpu.built import Built
from transect.cpu.explain import missing, paragraph, verifier
from transect.cpu.kernel import Ended, Missing, look_for
from transect.cpu.platform import queue_number
from transect.cpu.run import CpuHost
from transect.cpu.scheduler import Scheduler
from transect.cpu.version import Kept, Version
from transect.linux.libbpf import BpfError

SLOW = """
    slow: Fifo = given()

    def enqueue(self, task: Task) -> None:
        self.slow.put(task)
"""


def dump(pid: int, queue: str) -> str:
    """As 7.3.4 wrote it; what the kernel says of the end stands in front, and names the task as well."""
    number = (1 << 48) | (queue_number(queue) << 12)
    return f"""transect: root
kworker/u4:0[12] triggered exit kind 1026 on CPU 0:
  runnable task stall (sh[{pid}] failed to run for 6.504s)

Backtrace:
  scx_vexit+0x6d/0xa0
  scx_watchdog_workfn+0x1b6/0x260

CPU states
----------

CPU 0   : nr_run=4 flags=0x1 cpu_rel=0 ksync=1781
          rescue=0 budget=0us rescuing=none[-1]
          curr=kworker/u4:0[12] class=ext_sched_class

 *R kworker/u4:0[12] *root +0ms
      scx_state/flags=4/0xd dsq_flags=0x0 ops_state/qseq=0/0
      sticky/holding_cpu=-1/-1 dsq_id=(n/a)
      dsq_vtime=0 slice=20000000 weight=100
      cpus=1 no_mig=0

    scx_dump_cpu+0x5e1/0x630

  R sh[{pid}] *root -6504ms
      scx_state/flags=4/0xb dsq_flags=0x0 ops_state/qseq=0/0
      sticky/holding_cpu=-1/-1 dsq_id={number:#x}
      dsq_vtime=0 slice=20000000 weight=11
      cpus=1 no_mig=0

    fuse_chan_send+0x120/0x270
"""


def test_a_stall_names_queue_and_lines() -> None:
    end = Ended("runnable task stall", "sh[77] failed to run for 6.504s", dump(77, "slow"))
    assert paragraph(scheduler(SLOW), end) == (
        "`sh` (pid 77) could run and did not for 7 s: it waited in the queue `slow`, put there at line 13; `dispatch`,"
        " line 15, did not take from it. All tasks are with the default scheduler again."
    )


def test_a_starved_watchdog_names_the_queue_in_which_tasks_wait() -> None:
    end = Ended("runnable task stall", "watchdog failed to check in for 5.024s", dump(9, "slow"))
    assert "1 task waited in the queue `slow`, put there at line 13" in paragraph(scheduler(SLOW), end)


def test_another_end_is_told_as_it_is() -> None:
    assert paragraph(scheduler(""), Ended("unregistered", "cpu 1 going offline", "")) == (
        "the kernel says: cpu 1 going offline. All tasks are with the default scheduler again."
    )


def test_what_is_refused_since_the_kernel_has_ended_the_scheduler_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Queues are made in the scheduler that is attached: without one, ENODEV."""

    class Refusing:
        def __init__(self, path: Path) -> None:
            self.closed = False

        def load(self) -> None:
            raise BpfError("queues cannot be made", errno.ENODEV, "")

        def close(self) -> None:
            self.closed = True

    forced = object.__new__(kernel.Force)
    said = kernel.SHIM.pack(
        1026, 0, b"runnable task stall", b"watchdog failed to check in for 5.0s", b"CPU 0"
    )
    forced.versions, forced._active, forced._memory = [], ctypes.c_uint64(0), said  # type: ignore[assignment]
    monkeypatch.setattr(kernel, "opened", lambda path: (Refusing(path), "policy"))
    monkeypatch.setattr(kernel, "look_for", lambda built: None)
    with pytest.raises(Ended, match="runnable task stall: watchdog failed to check in") as ended:
        forced.load(Built(name="P", source="", object=tmp_path, schema={}))
    assert ended.value.__notes__ == ["CPU 0"]


def test_an_operator_is_told_why_when_the_scheduler_ends_under_an_upgrade() -> None:
    class Where:
        def upgrade(self, program: Program, **_: object) -> dict[str, str]:
            raise Ended("runnable task stall", "watchdog failed to check in for 31.0s", dump(9, "ready"))

    fifo = path_of("fifo")
    host = CpuHost(example("fifo"), {}, Where())  # type: ignore[arg-type]
    with pytest.raises(
        Refused, match=r"watchdog failed .*: 1 task waited in the queue `ready`, put there at line 14"
    ):
        host.upgrade(fifo, True)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("every_s", "returns_s"), [(0.0, 1.1), (0.3, None)])
def test_a_version_is_taken_back_when_nobody_gets_on(
    monkeypatch: pytest.MonkeyPatch, every_s: float, returns_s: float | None
) -> None:
    """Not when those are served each 0.3 s who have waited for more than a second, as a light task does."""
    clock = Clock()

    class Watched(kernel.Force):
        def __init__(self) -> None:
            self.returned: float | None = None

        def check(self) -> None:
            pass

        def longest_wait(self) -> float:
            since = clock.now - 100
            return 1.2 + since % every_s if every_s else since

        def _return(self, old: Version, new: Version) -> str:
            self.returned = clock.now - 100
            return "the old version is back"

    monkeypatch.setattr(kernel, "time", clock)
    built = Built(name="P", source="", object=Path(), schema={})
    version, watched = Version(1, built, None, {}), Watched()  # type: ignore[arg-type]
    with suppress(Kept):
        watched._watch(version, version, 2.0)
    assert watched.returned == (None if returns_s is None else pytest.approx(returns_s, abs=0.1))


def test_the_kernels_counters_may_go_while_they_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def gone(path: Path) -> str:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(Path, "read_text", gone)
    assert kernel.events() == {}


def test_the_verifiers_refusal_stands_at_the_policys_line() -> None:
    log = "0: R1=ctx()\n; self.slow.put(task) @ p.py:14\n75: (7b) *(u64 *)(r6 +48) = r1\nR6 cannot write into ptr\n"
    shown = verifier(scheduler(SLOW), BpfError("refused", 13, log), {})
    assert "error[C006]" in shown and "p.py:14" in shown and "R6 cannot write" in shown


def test_a_missing_function_stands_at_the_line_that_needs_it() -> None:
    program = example("weighted_fair")
    assert ("scx_bpf_dsq_peek", 27) in Scheduler.of(program).needs
    text = Path(program.path).read_text()
    shown = missing(program, Missing("scx_bpf_dsq_peek", 27), {program.path: text})
    assert "error[C008]: this kernel has no `scx_bpf_dsq_peek`" in shown and ".first(task.time())" in shown


def test_the_loader_looks_for_functions_by_their_whole_names(tmp_path: Path) -> None:
    types = tmp_path / "btf"
    types.write_bytes(b"\0scx_bpf_dsq_insert\0scx_bpf_dsq_peek_more\0")
    needs = (("scx_bpf_dsq_insert", 3), ("scx_bpf_dsq_peek", 4))
    built = Built(name="P", source="", object=tmp_path, schema={}, needs=needs)
    with pytest.raises(Missing, match="this kernel has no scx_bpf_dsq_peek, which line 4 needs"):
        look_for(built, types)
