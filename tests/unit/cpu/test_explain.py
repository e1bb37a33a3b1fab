# SPDX-License-Identifier: Apache-2.0
"""What the kernel says, in the policy's terms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cpu.policies import example, scheduler
from transect.cpu.built import Built
from transect.cpu.explain import missing, paragraph, verifier
from transect.cpu.force import Ended, Missing, look_for
from transect.cpu.platform import queue_number
from transect.cpu.program import needs
from transect.linux.libbpf import BpfError

SLOW = """
    slow: Fifo = given()

    def enqueue(self, task: Task) -> None:
        self.slow.put(task)
"""


def dump(pid: int, queue: str) -> str:
    number = (1 << 48) | (queue_number(queue) << 12)
    head = f"CPU 0\n R sh[{pid}] -6504ms\n   scx_state/flags=3/0x1 dsq_flags=0x0\n"
    return f"{head}   sticky/holding_cpu=-1/-1 dsq_id={number:#x}\n"


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


def test_the_verifiers_refusal_stands_at_the_policys_line() -> None:
    log = "0: R1=ctx()\n; self.slow.put(task) @ p.py:14\n75: (7b) *(u64 *)(r6 +48) = r1\nR6 cannot write into ptr\n"
    shown = verifier(scheduler(SLOW), BpfError("refused", 13, log), {})
    assert "error[C006]" in shown and "p.py:14" in shown and "R6 cannot write" in shown


def test_a_missing_function_stands_at_the_line_that_needs_it() -> None:
    program = example("weighted_fair")
    assert ("scx_bpf_dsq_peek", 16) in needs(program)
    text = Path(program.path).read_text()
    shown = missing(program, Missing("scx_bpf_dsq_peek", 16), {program.path: text})
    assert "error[C008]: this kernel has no `scx_bpf_dsq_peek`" in shown and ".first(time)" in shown


def test_the_loader_looks_for_functions_by_their_whole_names(tmp_path: Path) -> None:
    types = tmp_path / "btf"
    types.write_bytes(b"\0scx_bpf_dsq_insert\0scx_bpf_dsq_peek_more\0")
    built = Built(
        "P", "", tmp_path, {}, (), (), (), (), "", (("scx_bpf_dsq_insert", 3), ("scx_bpf_dsq_peek", 4))
    )
    with pytest.raises(Missing, match="this kernel has no scx_bpf_dsq_peek, which line 4 needs"):
        look_for(built, types)
