# SPDX-License-Identifier: Apache-2.0
"""Tenants share the CPUs of a real kernel by their weights, as applications say whom their threads work for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts import ROOT
from tests.unit.cpu.policies import example
from transect.base.tenant import number_of
from transect.cpu.hints import target_py
from transect.cpu.machine import Bench
from transect.cpu.tenants import Shares
from transect.demos.stack.cores import compared

ALICE, BOB = number_of("alice"), number_of("bob")
SERVING = Path(__file__).with_name("serving.py")


@pytest.fixture(scope="module")
def bench(machine: Bench) -> Iterator[Bench]:
    """With the scheduler in force, for all of these tests."""
    target_py.emitter.emit(example("by_tenant")).write(machine.folder / "py")
    machine.force(example("by_tenant"))
    yield machine
    machine.stop()


def share(bench: Bench, folder: Path, weights: str) -> None:
    path = folder / "tenants.toml"
    path.write_text(f"[tenants]\n{weights}\n")
    Shares(path).give(bench)


def run(bench: Bench, *words: object) -> str:
    path = f"PYTHONPATH={ROOT / 'src'}"
    return bench.shell(" ".join(map(str, (path, bench.vm.setup.python, SERVING, *words))))


def ran(bench: Bench, says: str) -> dict[int, float]:
    """Seconds by tenant: one hog of alice's beside three of bob's."""
    found = {ALICE: 0.0, BOB: 0.0}
    for line in run(bench, "hogs", says, ALICE, BOB, BOB, BOB).splitlines():
        tenant, seconds = line.split()
        found[int(tenant)] += float(seconds)
    return found


def test_alices_requests_are_sooner_done_than_under_linuxs_own_scheduler(machine: Bench) -> None:
    """What `transect demo stack` shows of the CPU."""
    assert compared(machine).right


def test_hogs_share_a_cpu_by_the_weights_of_their_tenants(bench: Bench, tmp_path: Path) -> None:
    share(bench, tmp_path, "alice = 400\nbob = 100")
    times = ran(bench, "say")
    assert times[ALICE] / times[BOB] == pytest.approx(4, rel=0.2)
    assert [a["heard"] for a in bench.status()["applications"]] == []


def test_where_nothing_is_said_one_hog_gets_less_than_three(bench: Bench, tmp_path: Path) -> None:
    share(bench, tmp_path, "alice = 400\nbob = 100")
    times = ran(bench, "mute")
    assert times[ALICE] / times[BOB] < 0.5


def test_requests_shorter_than_a_tick_are_their_tenants(bench: Bench, tmp_path: Path) -> None:
    share(bench, tmp_path, "alice = 1")  # so light that what she is charged is far more than others
    fields = bench.status()["fields"]
    lane = fields["tenants"].index(ALICE)
    weight = fields["weights"][lane]
    fields["time"][lane] = fields["level"][0]
    bench.set("time", fields["time"])
    least, most = (float(word) * 1e9 for word in run(bench, "requests", "alice", 300).split())
    charged = (bench.status()["fields"]["time"][lane] - fields["time"][lane]) * weight / 100
    assert 0.95 * least < charged < 1.05 * most
