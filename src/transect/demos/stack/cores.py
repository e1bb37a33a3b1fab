# SPDX-License-Identifier: Apache-2.0
"""The CPU's part of the demonstration: a real kernel in a virtual machine, whose scheduler is told for whom each thread
works."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from transect.base.shipped import path_of
from transect.base.weights import written
from transect.core.frontend import compile_file
from transect.cpu.build import clang
from transect.cpu.machine import Bench
from transect.cpu.tenants import Shares
from transect.demos.stack.files import WEIGHTS

SECONDS = 2.0  # of alice's requests, under each scheduler
PATIENCE_S = 60.0  # for them, in the machine
DEFAULT, BY_TENANT = "Linux's own", "by_tenant.py"
MUCH_LESS = 0.67
SOURCES = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Requests:
    """Alice's requests, of ten milliseconds each, beside three hogs of bob's on one CPU."""

    release: str
    """The kernel's release."""
    kvm: bool
    """Whether the machine runs on the processor itself; else it is emulated."""
    took_s: Mapping[str, float]
    """The median time of a request, by scheduler."""

    @property
    def right(self) -> bool:
        """Whether requests take much less time where the scheduler knows whose they are."""
        return self.took_s[BY_TENANT] < MUCH_LESS * self.took_s[DEFAULT]


class Cores:
    """The virtual machine.  It boots while other work goes on, and ends with the block."""

    def __enter__(self) -> Self:
        self._beside = ThreadPoolExecutor(1)
        self._bench: Future[Bench] = self._beside.submit(booted)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._beside.shutdown()
        if self._bench.exception() is None:
            self._bench.result().close()

    def wait(self) -> None:
        """Wait until it has booted, or cannot."""
        wait([self._bench])

    def seen(self) -> Requests:
        """Measure under both schedulers in turn.  Raises `Unavailable`, `VmError`, `BpfError`, `Ended`."""
        return compared(self._bench.result())


def compared(bench: Bench) -> Requests:
    """Measure under both schedulers in turn, in a machine with none of ours in force.  Raises as `Cores.seen` does."""
    took = {DEFAULT: requests(bench)}
    (program,) = compile_file(path_of("by_tenant")).programs
    bench.force(program)
    with tempfile.TemporaryDirectory(prefix="transect-demo-") as folder:
        weights = Path(folder) / "tenants.toml"
        weights.write_text(written(WEIGHTS))
        Shares(weights).give(bench)
    took[BY_TENANT] = requests(bench)
    bench.stop()
    return Requests(bench.vm.release, bench.vm.accelerator == "kvm", took)


def booted() -> Bench:
    clang()
    return Bench(ahead=compile_file(path_of("by_tenant")).programs)


def requests(bench: Bench) -> float:
    """The median time of a request, under the scheduler in force."""
    command = f"PYTHONPATH={SOURCES} {bench.vm.setup.python} -s -S -m transect.demos.stack.hogs {SECONDS}"
    return float(statistics.median(json.loads(bench.shell(command, PATIENCE_S))))
