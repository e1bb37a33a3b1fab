# SPDX-License-Identifier: Apache-2.0
"""Boot images and ELF kernels: what is packed is unpacked, and damage is a diagnostic."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import shutil
import struct
import subprocess
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transect.base.unavailable import Unavailable
from transect.linux import KernelDataError, elf
from transect.linux.image import Image, payload, unpack

TEXT = 0xFFFFFFFF81000000


def a_kernel(body: bytes = b"code" * 64, btf: tuple[int, int] = (4, 8)) -> bytes:
    """An ELF file with one segment, and within it a section `.BTF`: its place and size."""
    names = b"\0.BTF\0.shstrtab\0"
    at = elf.HEADER.size + elf.SEGMENT.size
    sections_at = at + len(body) + len(names)
    head = elf.HEADER.pack(
        b"\x7fELF\x02\x01\x01" + bytes(9), 2, 62, 1, 0, 64, sections_at, 0, 64, elf.SEGMENT.size, 1, 64, 3, 2
    )
    segment = elf.SEGMENT.pack(1, 5, at, TEXT, 0x1000000, len(body), len(body), 0)
    sections = elf.SECTION.pack(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    sections += elf.SECTION.pack(1, 1, 2, TEXT + btf[0], at + btf[0], btf[1], 0, 0, 0, 0)
    sections += elf.SECTION.pack(6, 3, 0, 0, at + len(body), len(names), 0, 0, 0, 0)
    return head + segment + body + names + sections


def a_boot_image(packed: bytes) -> bytes:
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", head, 0x248, 16, len(packed))
    return bytes(head) + bytes(16) + packed


def sized(packed: bytes, whole: bytes) -> bytes:
    return packed + len(whole).to_bytes(4, "little")


def packed_by(data: bytes, program: str, *options: str) -> bytes:
    if shutil.which(program) is None:
        raise Unavailable(program, "not on PATH", f"apt-get install {program}")
    return subprocess.run([program, "-c", *options], input=data, capture_output=True, check=True).stdout


def zstd(data: bytes) -> bytes:
    return packed_by(data, "zstd")


def lz4(data: bytes) -> bytes:
    """The older format, which a kernel's makefile asks for."""
    return packed_by(data, "lz4", "-l")


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress, zstd, lz4])
def test_a_boot_image_holds_its_kernel(pack: Callable[[bytes], bytes]) -> None:
    kernel = a_kernel()
    image = Image.from_bytes(a_boot_image(sized(pack(kernel), kernel)))
    assert bytes(image.data) == kernel
    assert image.read(TEXT, 4) == b"code"
    assert image.section_data(".BTF") == b"codecode"


def test_what_is_not_loaded_cannot_be_read() -> None:
    with pytest.raises(KernelDataError, match="no 8 bytes at"):
        Image.from_bytes(a_kernel()).read(TEXT + 250, 8)


def test_a_size_that_does_not_fit_is_told() -> None:
    kernel = a_kernel()
    with pytest.raises(KernelDataError, match="instead of"):
        unpack(gzip.compress(kernel) + (5).to_bytes(4, "little"))


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress, zstd, lz4])
def test_what_is_packed_badly_is_told(pack: Callable[[bytes], bytes]) -> None:
    packed = pack(a_kernel())
    broken = packed[:12] + bytes(len(packed) - 12)
    with pytest.raises(KernelDataError, match=r"damaged|instead of"):
        unpack(sized(broken, a_kernel()))


def test_another_way_to_pack_is_named() -> None:
    with pytest.raises(KernelDataError, match=r"unknown way \(894c5a4f\)"):
        unpack(b"\x89LZOrest" + (9).to_bytes(4, "little"))


def test_a_boot_image_that_is_cut_off_is_told() -> None:
    with pytest.raises(KernelDataError, match="cut off within its kernel"):
        payload(a_boot_image(b"packed and more")[:-4])


def test_something_else_is_refused() -> None:
    with pytest.raises(KernelDataError, match="neither a vmlinux"):
        payload(b"MZ" + bytes(4000))


@given(st.data())
@settings(max_examples=200)
def test_no_damage_raises_anything_else(data: st.DataObject) -> None:
    kernel = a_kernel()
    whole = bytearray(
        data.draw(st.sampled_from([kernel, a_boot_image(sized(gzip.compress(kernel), kernel))]))
    )
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        whole[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(KernelDataError):
        image = Image.from_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
        with contextlib.suppress(KernelDataError):
            assert image.symbols is not None
        with contextlib.suppress(KernelDataError):
            assert image.btf is not None
