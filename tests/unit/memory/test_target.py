# SPDX-License-Identifier: Apache-2.0
"""Opening a target whose memory holds no kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.linux.errors import KernelDataError
from transect.linux.physical import Range
from transect.memory import target


class Empty:
    """Memory of zeros."""

    ranges = (Range(0, 1 << 20),)
    live = False
    closed = False

    def read(self, address: int, size: int) -> bytes:
        return bytes(size)

    def close(self) -> None:
        self.closed = True


def test_a_target_that_is_no_kernel_gives_its_port_back(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Empty()
    monkeypatch.setattr(target, "memory_of", lambda address: memory)
    with pytest.raises(KernelDataError):
        target.open_target("ram:/dev/null")
    assert memory.closed


def test_a_kernel_file_that_is_none_gives_the_port_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    memory = Empty()
    monkeypatch.setattr(target, "memory_of", lambda address: memory)
    (tmp_path / "vmlinuz").write_bytes(b"no kernel")
    with pytest.raises(KernelDataError):
        target.open_target("ram:/dev/null", tmp_path / "vmlinuz")
    assert memory.closed
