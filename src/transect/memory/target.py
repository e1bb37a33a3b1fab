# SPDX-License-Identifier: Apache-2.0
"""Where a target's memory is, and which kernel runs in it: from the words of a command line.

| address                | what it is                                                                                |
|------------------------|-------------------------------------------------------------------------------------------|
| `ram:FILE[?low=SIZE]`  | a VM's shared RAM (`memory-backend-file,share=on`), live                                  |
| `raw:FILE[?low=SIZE]`  | a copy of such a file, or one whose machine has ended: what it holds does not change      |
| `core:FILE`            | a dump: ELF core, LiME, kdump (zlib)                                                      |
| `qmp:SOCKET`           | a QEMU by its monitor: its shared RAM file when it has one, else a dump taken now         |
| `roce://HOST/GRANT`    | RDMA READs over RoCEv2; the file holds what the target's /proc/transect_grant says;       |
|                        | `?via=verbs` sends them by this machine's RDMA card, and else they are packets of our own |

The kernel is found by its release: `--kernel`, else `/boot`, `/usr/lib/modules` and the cache of `transect vm`.  Its
banner must be the one in memory.  Without it, symbols and types are taken from the target's memory, and every answer
says so (*unanchored*).

What only one scheme needs is imported where it is met: a list of processes is over before that pays.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transect.base.bounded import is_file, whole
from transect.base.unavailable import Unavailable
from transect.linux import stored
from transect.linux.errors import KernelDataError
from transect.linux.found import find_kernel
from transect.linux.physical import FileMemory, Physical, dump, ram
from transect.memory.machine import Closable, Known, Machine

if TYPE_CHECKING:
    from transect.memory.roce.grant import Grant
    from transect.memory.roce.transport import Udp

SCHEMES = ("ram", "raw", "core", "qmp", "roce")
OPTIONS = {"ram": {"low"}, "raw": {"low"}, "roce": {"via", "own"}}
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
        known = OPTIONS.get(scheme, set())
        unknown = options.keys() - known
        if unknown:
            there = ", ".join(f"`{name}=`" for name in sorted(known)) or "none"
            raise BadTarget(f"`{text}`: no option `{sorted(unknown)[0]}`; there is {there}")
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
        case "ram" | "raw":
            low = size(address.options["low"]) if "low" in address.options else None
            return ram(address.place, low, live=address.scheme == "ram")
        case "core":
            return dump(address.place)
        case "qmp":
            from transect.memory.qmp import Monitor

            with Monitor(Path(address.place)) as monitor:
                return monitor.memory()
        case "roce":
            return _granted(address)
        case _:
            raise AssertionError(address.scheme)


def _granted(address: Address) -> Physical:
    """`roce://HOST/GRANT`; `?via=verbs` goes by an RDMA card, `?via=OWN,THEIRS&own=IP` by QEMU's datagram sockets."""
    from transect.memory.roce.grant import LARGEST, Grant, RoceMemory
    from transect.memory.roce.packet import Ends
    from transect.memory.roce.transport import Frames

    host, slash, path = address.place.removeprefix("//").partition("/")
    if not address.place.startswith("//") or not host or not slash:
        raise BadTarget("write roce://HOST/GRANT, where GRANT is a copy of the target's /proc/transect_grant")
    file = Path(path) if is_file(path) else Path("/") / path
    grant = Grant.parse(whole(file, LARGEST).decode(errors="replace"))
    if "via" not in address.options:
        return RoceMemory(grant, _socket(host))
    if address.options["via"] == "verbs":
        return _by_card(grant, host)
    own, comma, theirs = address.options["via"].partition(",")
    try:
        ends = Ends(socket.inet_aton(address.options.get("own", "")), socket.inet_aton(host))
    except OSError:
        raise BadTarget("with `via=` both sides are IPv4 addresses: roce://10.0.0.2/…&own=10.0.0.1") from None
    if not comma:
        raise BadTarget("`via=` is verbs, or names two sockets: where QEMU sends, and where it listens")
    return RoceMemory(grant, Frames(Path(own), Path(theirs), ends))


def _by_card(grant: Grant, host: str) -> Physical:
    from transect.memory.roce.verbs import VerbsMemory

    try:
        return VerbsMemory(grant, host)
    except OSError as wrong:
        raise BadTarget(f"`{host}` cannot be reached: {wrong.strerror}") from wrong


def _socket(host: str) -> Udp:
    from transect.memory.roce.packet import PORT
    from transect.memory.roce.transport import Udp

    try:
        return Udp(host)
    except OSError as wrong:
        if wrong.errno == errno.EADDRINUSE:
            raise BadTarget(f"UDP port {PORT} is taken here: another scan or watch goes on") from wrong
        raise BadTarget(f"`{host}` cannot be reached: {wrong.strerror}") from wrong


def open_target(text: str, kernel: Path | None = None) -> Machine:
    """The machine of an address.  Raises `BadTarget`, `Unavailable`, `KernelDataError`, OSError."""
    memory = memory_of(Address.of(text))
    try:
        return _machine(text, memory, kernel)
    except BaseException:
        if isinstance(memory, Closable):
            memory.close()  # a port of RoCE, which the next scan needs
        raise


def _machine(text: str, memory: Physical, kernel: Path | None) -> Machine:
    if kernel is not None:
        known = Known.of(stored.image(kernel))
        return Machine.find(text, memory, known)
    found = find_kernel(memory)
    release = release_of(found.banner)
    for path in packages(release):
        try:
            image = stored.image(path)
        except (KernelDataError, Unavailable, OSError):
            continue
        if image.banner == found.banner:
            return Machine.find(text, memory, Known.of(image))
    return Machine.find(text, memory, Known(found.banner, found.symbols, found.btf, None, release))


def release_of(banner: bytes) -> str:
    """The release that a target's banner names, or "?" if the text is no banner: the target may say anything."""
    named = re.match(rb"Linux version ([\w.+~-]{1,100}) ", banner)
    return named[1].decode() if named else "?"


def packages(release: str) -> Iterator[Path]:
    """Where the image of a kernel may lie on this machine."""
    if "/" in release:  # the release comes from the target, which must not choose a path
        return
    pattern = glob.escape(release)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transect"
    candidates = [
        Path("/boot") / f"vmlinuz-{release}",
        Path("/boot") / f"vmlinux-{release}",
        Path("/usr/lib/modules") / release / "vmlinuz",
        *sorted(cache.glob(f"**/vmlinu[xz]-{pattern}")),
        *sorted(cache.glob(f"**/{pattern}/vmlinu[xz]")),
    ]
    yield from (c for c in candidates if c.is_file())


__all__ = ["Address", "BadTarget", "FileMemory", "memory_of", "open_target", "packages", "size"]
