# SPDX-License-Identifier: Apache-2.0
"""Machines of these tests: one of each kernel, started when first wanted."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systems.memory.guest import Guest
from tests.systems.memory.kernels import target
from transect.vm import Setup, Vm
from transect.vm import machine as machines

KERNELS = ("6.12", "7.3")


@pytest.fixture(scope="session", params=KERNELS)
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """As shipped: KASLR, and five levels of page tables where the machine has them."""
    wanted = target(request.param)
    module = wanted.build(tmp_path_factory.mktemp(f"tamper-{request.param}"))
    with (
        tempfile.TemporaryDirectory(prefix="transect-ram-", dir="/dev/shm") as folder,
        pytest.MonkeyPatch.context() as p,
    ):
        p.setattr(machines, "PARAMETERS", [w for w in machines.PARAMETERS if w != "no5lvl"])
        memory = Path(folder) / "ram"
        here, there = Path(folder) / "here", Path(folder) / "there"  # a network of two, without a network
        card = (
            "-netdev",
            f"dgram,id=card,local.type=unix,local.path={there},remote.type=unix,remote.path={here}",
            "-device",
            "virtio-net-pci,netdev=card",
            "-qmp",
            f"unix:{folder}/qmp,server=on,wait=off",
        )
        setup = Setup(
            wanted.kernel, cpus=1, memory_mib=512, ram=memory, boot="compressed", life_s=900, qemu=card
        )
        with Vm(setup) as vm:
            yield Guest.of(vm, wanted, memory, module, (here, there))
