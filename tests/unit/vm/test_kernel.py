# SPDX-License-Identifier: Apache-2.0
"""Which kernel a machine boots: of the cache, or the user's own."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.unit.linux.test_image import a_boot_image, sized
from transect.base.unavailable import Unavailable
from transect.vm import own
from transect.vm.kernel import cached, find, fits

KERNEL = b"\x7fELF" + bytes(range(200))


def test_versions_are_compared_by_whole_numbers() -> None:
    assert fits("7.3.4+deb13-cloud-amd64", "7.3")
    assert fits("7.3.4+deb13-cloud-amd64", "7.3.4")
    assert not fits("7.13.4+deb13-cloud-amd64", "7.1")


def test_the_newest_fitting_kernel_of_the_cache_is_taken_without_network(tmp_path: Path) -> None:
    for release in ("7.2.11+deb13-cloud-amd64", "7.2.9+deb13-cloud-amd64", "6.19.8+deb13-cloud-amd64"):
        (tmp_path / "kernels" / release).mkdir(parents=True)
        (tmp_path / "kernels" / release / "vmlinux").write_bytes(KERNEL)
    assert [kernel.version for kernel in cached(tmp_path)] == [(6, 19, 8), (7, 2, 9), (7, 2, 11)]
    assert find("", cache=tmp_path).version == (7, 2, 11)
    assert find("6", cache=tmp_path).version == (6, 19, 8)


def test_a_file_of_the_users_that_is_no_kernel_is_unavailable(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a kernel\n" * 100)
    with pytest.raises(Unavailable, match="neither a vmlinux"):
        own(file, tmp_path)


def test_a_users_own_image_is_unpacked_once_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    file = tmp_path / "vmlinuz-6.1.0-custom"
    file.write_bytes(a_boot_image(sized(gzip.compress(KERNEL), KERNEL)))
    kernel = own(file, tmp_path)
    assert (kernel.release, kernel.version) == ("6.1.0-custom", (6, 1, 0))
    assert kernel.elf.read_bytes() == KERNEL
    assert kernel.elf.stat().st_mode & 0o777 == 0o600
