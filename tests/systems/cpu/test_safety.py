# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on a machine under a scheduler, and that it stays a machine."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.unit.cpu.policies import example, scheduler
from transect.cpu.machine import Bench

CROWD = """
#include <pthread.h>
#include <stdio.h>
#include <time.h>

static void *live(void *nothing)
{
	struct timespec moment = { 0, 20 * 1000 * 1000 };
	for (int n = 0; n < 3; n++)
		nanosleep(&moment, NULL);
	return nothing;
}

int main(void)
{
	static pthread_t threads[10000];
	pthread_attr_t small;
	int made = 0, ended = 0;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16384);
	while (made < 10000 && !pthread_create(&threads[made], &small, live, NULL))
		made++;
	for (int n = 0; n < made; n++)
		ended += !pthread_join(threads[n], NULL);
	printf("%d %d\\n", made, ended);
	return 0;
}
"""


@pytest.mark.needs("gcc")
def test_ten_thousand_tasks_all_end(bench: Bench, tmp_path: Path) -> None:
    source = tmp_path / "crowd.c"
    source.write_text(CROWD)
    subprocess.run(["gcc", "-O2", "-static", "-pthread", "-o", bench.folder / "crowd", source], check=True)
    bench.force(example("weighted_fair"))
    assert bench.shell(f"{bench.folder}/crowd", limit_s=400) == "10000 10000\n"
    bench.check()
    assert bench.scheduler() == "enabled"


def test_a_machine_that_its_host_stops_for_six_seconds_keeps_its_scheduler(bench: Bench) -> None:
    """Its clock goes on meanwhile, and nobody runs: with a patience of five seconds the kernel ended the scheduler."""
    bench.force(example("weighted_fair"))
    os.killpg(bench.vm.pid, signal.SIGSTOP)
    try:
        time.sleep(6)
    finally:
        os.killpg(bench.vm.pid, signal.SIGCONT)
    assert bench.shell("sleep 0.2; echo on") == "on\n"
    bench.check()
    assert bench.scheduler() == "enabled"


def test_a_table_that_is_full_counts_and_schedules_on(bench: Bench) -> None:
    bench.force(
        scheduler(
            """
    seen: Tally[int, int] = tally(4)
    turned_away: int = 0

    def running(self, task: Task) -> None:
        self.seen[task.pid] += 1
        self.turned_away = self.seen.overflow
"""
        )
    )
    many = "n=0; while [ $n -lt 30 ]; do sh -c : & n=$((n+1)); done; wait; echo done"
    assert bench.shell(many) == "done\n"
    bench.check()
    assert bench.status()["fields"]["turned_away"][0] > 10
    assert bench.scheduler() == "enabled"
