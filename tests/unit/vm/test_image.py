# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from transect.base.unavailable import Unavailable
from transect.vm import own
from transect.vm.image import NotAKernel, payload, unpack
from transect.vm.kernel import cached, find, fits

KERNEL = b"\x7fELF" + bytes(range(200))


def boot_image(packed: bytes, sectors: int = 3) -> bytes:
    """A compressed image as the x86 boot protocol lays it out, with its payload 64 bytes behind the set-up sectors."""
    head = bytearray((sectors + 1) * 512 + 64)
    head[0x1F1] = sectors
    head[0x202:0x206] = b"HdrS"
    packed += struct.pack("<I", len(KERNEL))
    struct.pack_into("<II", head, 0x248, 64, len(packed))
    return bytes(head) + packed + b"behind it"


@pytest.mark.parametrize("program", ["zstd", "gzip", "xz"])
def test_the_kernel_is_found_in_its_image(program: str) -> None:
    if shutil.which(program) is None:
        raise Unavailable(program, "not on PATH", f"apt-get install {program}")
    packed = subprocess.run([program, "-c"], input=KERNEL, capture_output=True, check=True).stdout
    assert unpack(boot_image(packed)) == KERNEL


def test_the_payload_ends_where_the_header_says() -> None:
    assert payload(boot_image(b"packed")) == b"packed" + struct.pack("<I", len(KERNEL))


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (bytes(4096), "it has no x86 set-up header"),
        (
            boot_image(b"\x02!L\x18rest"),
            "its payload begins with 02214c187265, which is none of zstd, gzip, xz",
        ),
        (boot_image(b"packed")[:2100], "its set-up header points outside the file"),
    ],
)
def test_what_is_no_kernel_says_why(image: bytes, reason: str) -> None:
    with pytest.raises(NotAKernel) as refused:
        unpack(image)
    assert str(refused.value) == reason


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
    with pytest.raises(Unavailable, match="it has no x86 set-up header"):
        own(file, tmp_path)


def test_a_users_own_image_is_unpacked_once_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    packed = subprocess.run(["gzip", "-c"], input=KERNEL, capture_output=True, check=True).stdout
    file = tmp_path / "vmlinuz-6.1.0-custom"
    file.write_bytes(boot_image(packed))
    kernel = own(file, tmp_path)
    assert (kernel.release, kernel.version) == ("6.1.0-custom", (6, 1, 0))
    assert kernel.elf.read_bytes() == KERNEL
    assert kernel.elf.stat().st_mode & 0o777 == 0o600
