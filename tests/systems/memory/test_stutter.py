# SPDX-License-Identifier: Apache-2.0
"""A machine whose processor stands still again and again: rounds that follow each other see one half-way state twice;
what is confirmed when the kernel has gone on is no false alarm; what hides is found all the same."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.systems.memory.guest import Guest
from transect.linux import KernelDataError
from transect.memory.confirmation import Confirmation, progress_of
from transect.memory.native.probes import native
from transect.memory.questions import Answers
from transect.memory.scan import prepare
from transect.memory.standard import chosen

pytestmark = pytest.mark.parametrize("guest", ["6.12"], indirect=True)  # frees pages of modules late
PROBES = ("StrayCode", "MissingModules", "HiddenModules", "HiddenThreads", "HiddenTasks", "HiddenChildren")
MODULES = "ib_core", "ib_umad"  # the second needs the first; nothing, RDMA either, needs the second
SAME = 5  # states that two rounds in a row have seen
LIMIT_S = 120


@contextmanager
def stuttering(guest: Guest) -> Iterator[None]:
    """It runs for some milliseconds, and is stopped for some ten."""
    done, draw = threading.Event(), random.Random(1)

    def stutter() -> None:
        while not done.is_set():
            os.killpg(guest.vm.pid, signal.SIGSTOP)
            time.sleep(draw.uniform(0.01, 0.06))
            os.killpg(guest.vm.pid, signal.SIGCONT)
            time.sleep(draw.uniform(0.001, 0.012))

    thread = threading.Thread(target=stutter)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture
def busy(guest: Guest) -> Iterator[Guest]:
    """A module comes and goes, and so do processes; it is done when the file is gone."""
    load, (needed, module) = f"/usr/sbin/modprobe -d {guest.target.modules}", MODULES
    loop = f"while test -e /tmp/busy; do {load} {module}; /bin/true; /usr/sbin/rmmod {module}; done"
    guest.shell(f"touch /tmp/busy; {load} {needed}")
    guest.process(f"sh -c '{loop}; touch /tmp/ended'")
    yield guest
    guest.shell("rm /tmp/busy; while ! test -e /tmp/ended; do sleep 0.1; done; rm /tmp/ended")


def test_what_two_rounds_see_alike_is_no_finding_while_the_machine_stands_still(busy: Guest) -> None:
    machine, progress = busy.machine, progress_of(busy.machine)
    runs = native(machine, [prepare(p, machine, Answers(machine)) for p in chosen(PROBES)])
    heard = {name: Confirmation(progress) for name in runs}
    confirmed, same, until = [], set[object](), time.monotonic() + LIMIT_S
    with stuttering(busy):
        while len(same) < SAME and time.monotonic() < until:
            for name, probe in runs.items():
                try:
                    heard[name].begin()
                    first = probe.round(machine)[0]
                    keys = {s.key for s in probe.round(machine)[0]} if first else set()
                    confirmed += heard[name].said(first)
                except KernelDataError:
                    heard[name].lost()
                    continue
                same |= {(time.monotonic(), s.key) for s in first if s.key in keys}
    assert len(same) >= SAME, "nothing happened that could have been a false alarm"
    assert confirmed == []


def test_what_hides_is_found_in_a_machine_that_stutters(busy: Guest) -> None:
    with busy.tampered("module_list"), stuttering(busy):
        assert busy.found(*PROBES, engine=native) == {"HiddenModules", "StrayCode"}
    with stuttering(busy):
        assert busy.found(*PROBES, engine=native) == set()
