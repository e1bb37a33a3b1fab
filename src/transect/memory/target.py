# SPDX-License-Identifier: Apache-2.0
"""Where a target's memory is, and which kernel runs in it: from the words of a command line.

| address                | what it is                                                                                |
|------------------------|-------------------------------------------------------------------------------------------|
| `ram:FILE[?low=SIZE]`  | a VM's shared RAM (`memory-backend-file,share=on`), live                                  |
| `core:FILE`            | a dump: ELF core, LiME, kdump (zlib)                                                      |
| `qmp:SOCKET`           | a QEMU by its monitor: its shared RAM file when it has one, else a dump taken now         |

The kernel is found by its release: `--kernel`, else `/boot`, `/usr/lib/modules` and the cache of `transect vm`.  Its
banner must be the one in memory.  Without it, symbols and types are taken from the target's memory, and every answer
says so (*unanchored*).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transect.base.unavailable import Unavailable
from transect.linux.errors import KernelDataError
from transect.linux.found import find_kernel
from transect.linux.image import Image
from transect.linux.physical import FileMemory, Physical, dump, ram
from transect.memory.machine import Known, Machine
from transect.memory.qmp import Monitor

SCHEMES = ("ram", "core", "qmp")
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class BadTarget(Exception):
    """An address that means nothing, or a target that is not there; the text says what to write."""


@dataclass(frozen=True, slots=True)
class Address:
    """A target as the user wrote it, taken apart."""

    scheme: str
    place: str
    options: dict[str, str]

    @staticmethod
    def of(text: str) -> Address:
        """Raises `BadTarget`."""
        scheme, colon, rest = text.partition(":")
        if not colon or scheme not in SCHEMES or not rest:
            forms = ", ".join(f"{s}:…" for s in SCHEMES)
            raise BadTarget(f"`{text}` is no target; there is {forms} (for example `ram:/dev/shm/vm.ram`)")
        place, _, query = rest.partition("?")
        options = dict(pair.partition("=")[::2] for pair in query.split("&") if pair)
        unknown = options.keys() - {"low"}
        if unknown:
            raise BadTarget(f"`{text}`: no option `{sorted(unknown)[0]}`; there is `low=SIZE`")
        return Address(scheme, place, options)


def size(text: str) -> int:
    """`2G`, `512M`, `4096`.  Raises `BadTarget`."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "")
    if not number.isdecimal():
        raise BadTarget(f"`{text}` is no size; write 2G, 512M or a number of bytes")
    return int(number) * UNITS.get(unit, 1)


def memory_of(address: Address) -> Physical:
    """Raises `BadTarget`, OSError, `KernelDataError` for a damaged dump."""
    match address.scheme:
        case "ram":
            return ram(address.place, size(address.options["low"]) if "low" in address.options else None)
        case "core":
            return dump(address.place)
        case "qmp":
            with Monitor(Path(address.place)) as monitor:
                return monitor.memory()
        case _:
            raise AssertionError(address.scheme)


def open_target(text: str, kernel: Path | None = None) -> Machine:
    """The machine of an address.  Raises `BadTarget`, `Unavailable`, `KernelDataError`, OSError."""
    memory = memory_of(Address.of(text))
    if kernel is not None:
        known = Known.of(Image.from_file(kernel))
        return Machine.find(text, memory, known)
    found = find_kernel(memory)
    release = found.banner.split(b" ")[2].decode("ascii", "replace")
    for path in packages(release):
        try:
            image = Image.from_file(path)
        except (KernelDataError, Unavailable, OSError):
            continue
        if image.banner == found.banner:
            return Machine.find(text, memory, Known.of(image))
    return Machine.find(text, memory, Known(found.banner, found.symbols, found.btf, None, release))


def packages(release: str) -> Iterator[Path]:
    """Where the image of a kernel may lie on this machine."""
    if "/" in release:  # it comes from the target
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transect"
    candidates = [
        Path("/boot") / f"vmlinuz-{release}",
        Path("/boot") / f"vmlinux-{release}",
        Path("/usr/lib/modules") / release / "vmlinuz",
        *sorted(cache.glob(f"**/vmlinu[xz]-{release}")),
        *sorted(cache.glob(f"**/{release}/vmlinu[xz]")),
    ]
    yield from (c for c in candidates if c.is_file())


__all__ = ["Address", "BadTarget", "FileMemory", "memory_of", "open_target", "packages", "size"]
