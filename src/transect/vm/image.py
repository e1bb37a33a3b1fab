# SPDX-License-Identifier: Apache-2.0
"""The kernel inside a compressed kernel image: a machine that starts the ELF file skips decompressing and shuffling.

The x86 boot protocol (Documentation/arch/x86/boot.rst) says where the payload lies: `payload_offset` at 0x248 counts
from the end of the set-up sectors, `payload_length` at 0x24c; its last four bytes are the size of what it unpacks to.
"""

from __future__ import annotations

import shutil
import struct
import subprocess

from transect.base.unavailable import Unavailable

ELF = b"\x7fELF"
UNPACKERS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz"}


class NotAKernel(Exception):
    """The file is no x86 kernel image that we can read; the text says why."""


def is_elf(image: bytes) -> bool:
    return image.startswith(ELF)


def unpack(image: bytes) -> bytes:
    """The ELF kernel in a bzImage.  Raises `NotAKernel`, and `Unavailable` without the program that unpacks it."""
    packed = payload(image)
    for magic, name in UNPACKERS.items():
        if packed.startswith(magic):
            kernel = _through(name, packed[:-4])
            break
    else:
        raise NotAKernel(f"its payload begins with {packed[:6].hex()}, which is none of {_names()}")
    if not is_elf(kernel):
        raise NotAKernel("what it unpacks to is not an ELF file")
    return kernel


def payload(image: bytes) -> bytes:
    if image[0x202:0x206] != b"HdrS":
        raise NotAKernel("it has no x86 set-up header")
    sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    begin = (sectors + 1) * 512 + offset
    if length < 4 or begin + length > len(image):
        raise NotAKernel("its set-up header points outside the file")
    return image[begin : begin + length]


def _names() -> str:
    return ", ".join(UNPACKERS.values())


def _through(program: str, packed: bytes) -> bytes:
    path = shutil.which(program)
    if path is None:
        raise Unavailable(program, "it unpacks the kernel and is not on PATH", f"apt-get install {program}")
    done = subprocess.run([path, "-dc"], input=packed, capture_output=True)
    if done.returncode:
        raise NotAKernel(f"{program}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
