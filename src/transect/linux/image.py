# SPDX-License-Identifier: Apache-2.0
"""A kernel as it is distributed: `vmlinuz` (a boot image with a compressed payload) or `vmlinux` (ELF).

The image is a root of trust: it comes from the kernel's package, not from the machine that is looked at.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import mmap
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Self

from transect.base.programs import Endless, ran
from transect.base.unavailable import Unavailable
from transect.linux import elf
from transect.linux.btf import Btf
from transect.linux.errors import KernelDataError
from transect.linux.kallsyms import Symbols, find

ELF = b"\x7fELF"
BOOT_MAGIC = b"HdrS"  # at 0x202 of a boot image
LIMIT = 1 << 28  # bytes of an unpacked kernel at most
LARGEST = 1 << 30  # bytes of a kernel's file: one with debugging information has hundreds of megabytes
PATIENCE_S = 60.0  # for zstd and lz4
BANNER = b"Linux version "


@dataclass(frozen=True)
class Piece:
    """A loaded part of the kernel, at the addresses for which it was linked."""

    address: int
    physical: int
    offset: int  # in the file
    size: int

    @property
    def end(self) -> int:
        return self.address + self.size


@dataclass(frozen=True)
class Image:
    """An unpacked kernel."""

    data: bytes | mmap.mmap  # the ELF file
    pieces: tuple[Piece, ...]  # the loaded segments, by ascending address
    sections: tuple[elf.Section, ...]

    @staticmethod
    def from_bytes(data: bytes, into: Path | None = None) -> Image:
        """The image in a `vmlinuz` or `vmlinux`, which is unpacked into the file `into`, or a temporary one.

        Raises `KernelDataError`, `Unavailable` (a compression whose program is missing), OSError.
        """
        return Image.of(data if data.startswith(ELF) else unpack(payload(data), into))

    @classmethod
    def of(cls, data: bytes | mmap.mmap, **more: Any) -> Self:
        """Of an ELF file.  Raises `KernelDataError`."""
        head = elf.header(data)
        pieces = [
            Piece(s.virtual, s.physical, s.offset, min(s.file_size, max(len(data) - s.offset, 0)))
            for s in head.segments
            if s.type == elf.LOAD and s.virtual
        ]
        if not pieces:
            raise KernelDataError("this ELF file loads nothing: it is no kernel")
        pieces.sort(key=lambda piece: piece.address)
        return cls(data, tuple(pieces), elf.sections(data, head), **more)

    @cached_property
    def sha256(self) -> str:
        """Of the unpacked kernel, hex."""
        return hashlib.sha256(self.data).hexdigest()

    def read(self, address: int, size: int) -> bytes:
        """Bytes at a link address.  Raises `KernelDataError` outside of what is loaded."""
        for piece in self.pieces:
            if piece.address <= address and address + size <= piece.end:
                at = piece.offset + address - piece.address
                return self.data[at : at + size]
        raise KernelDataError(f"the kernel's image has no {size} bytes at {address:#x}")

    def loaded(self, piece: Piece) -> bytes:
        """All bytes of it."""
        return self.data[piece.offset : piece.offset + piece.size]

    def section(self, name: str) -> elf.Section | None:
        return next((s for s in self.sections if s.name == name), None)

    def section_data(self, name: str) -> bytes:
        """Raises `KernelDataError` when there is no such section."""
        found = self.section(name)
        if found is None or found.type == elf.NOBITS:
            raise KernelDataError(f"the kernel's image has no section `{name}`")
        return self.data[found.offset : found.offset + found.size]

    @cached_property
    def btf(self) -> Btf:
        return Btf(self.section_data(".BTF"))

    @cached_property
    def symbols(self) -> Symbols:
        """The kernel's own symbol table.  Raises `KernelDataError` when it has none."""
        for piece in self.pieces:
            found = find(self.loaded(piece), piece.address)
            if found is not None:
                return found
        raise KernelDataError("no kallsyms in this kernel's image (is it built with CONFIG_KALLSYMS?)")

    @cached_property
    def banner(self) -> bytes:
        """`Linux version …`, with its newline."""
        address = self.symbols.address("linux_banner")
        for piece in self.pieces:
            if piece.address <= address < piece.end:
                start = piece.offset + address - piece.address
                return self.data[start : self.data.find(b"\0", start)]
        raise KernelDataError("the kernel's image does not hold `linux_banner`")

    @property
    def release(self) -> str:
        """`6.12.118+deb13-amd64`"""
        return self.banner[len(BANNER) :].split(b" ", 1)[0].decode("ascii", "replace")


def payload(data: bytes) -> bytes:
    """The compressed kernel within a boot image.  Raises `KernelDataError`.

    Documentation/arch/x86/boot.rst of the kernel: `setup_sects`, `payload_offset`, `payload_length`.
    """
    if data[0x202:0x206] != BOOT_MAGIC or len(data) < 0x250:
        raise KernelDataError("this is neither a vmlinux (ELF) nor a vmlinuz (boot image)")
    setup = (data[0x1F1] or 4) + 1
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = setup * 512 + offset
    if length < 8 or start + length > len(data):
        raise KernelDataError("this boot image is cut off within its kernel")
    return data[start : start + length]


def unpack(packed: bytes, into: Path | None = None) -> mmap.mmap:
    """The kernel that a payload holds, unpacked into the file `into`, or a temporary one; the payload's last four bytes
    are its size.

    Raises `KernelDataError`, `Unavailable`, OSError.
    """
    size = int.from_bytes(packed[-4:], "little")
    if size > LIMIT:
        raise KernelDataError(f"this boot image says that its kernel has {size} bytes")
    for magic, how in _UNPACKERS.items():
        if packed.startswith(magic):
            with open(into, "w+b") if into else tempfile.TemporaryFile() as file:
                try:
                    how(packed, file)
                except (EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
                    raise KernelDataError(f"the kernel within this boot image is damaged: {error}") from error
                has = file.seek(0, os.SEEK_END)  # counts what a program has written, too
                if has != size or not has:
                    raise KernelDataError(
                        f"the kernel within this boot image has {has} bytes instead of {size}"
                    )
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    raise KernelDataError(f"this boot image is packed in an unknown way ({packed[:4].hex()})")


def _by_program(name: str) -> Callable[[bytes, IO[bytes]], None]:
    """Unpack by a program of that name, which is Debian's package of that name, too."""

    def unpacked(packed: bytes, file: IO[bytes]) -> None:
        program = shutil.which(name)
        if program is None:
            raise Unavailable(name, "this kernel is packed with it", f"apt-get install {name}")
        try:
            done = ran([program, "-dcq"], patience_s=PATIENCE_S, most=LIMIT, given=packed[:-4])
        except Endless as endless:
            raise ValueError(f"{name}: {endless}") from endless
        if done.status:
            raise ValueError(done.complaint.strip() or f"{name} refuses it")
        file.write(done.out)

    return unpacked


def _gzip(packed: bytes, file: IO[bytes]) -> None:
    file.write(zlib.decompressobj(wbits=31).decompress(packed, LIMIT))


def _xz(packed: bytes, file: IO[bytes]) -> None:
    file.write(lzma.LZMADecompressor().decompress(packed, LIMIT))


def _bzip2(packed: bytes, file: IO[bytes]) -> None:
    try:
        data = bz2.BZ2Decompressor().decompress(packed, LIMIT)
    except OSError as error:  # for data that is not bzip2
        raise ValueError(error) from error
    file.write(data)


_UNPACKERS: dict[bytes, Callable[[bytes, IO[bytes]], None]] = {
    b"\x28\xb5\x2f\xfd": _by_program("zstd"),
    b"\x02\x21\x4c\x18": _by_program("lz4"),
    b"\x1f\x8b": _gzip,
    b"\xfd7zXZ\0": _xz,
    b"BZh": _bzip2,
}

__all__ = ["BANNER", "ELF", "Image", "Piece", "payload", "unpack"]
