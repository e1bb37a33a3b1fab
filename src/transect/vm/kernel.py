# SPDX-License-Identifier: Apache-2.0
"""Which kernel a machine boots: the newest of Debian's that fits, kept in the cache, or the user's own."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path

from transect.base.bounded import whole
from transect.base.cache import opened
from transect.base.places import place
from transect.base.unavailable import Unavailable
from transect.linux.errors import KernelDataError
from transect.linux.image import ELF, LARGEST, payload, unpack
from transect.vm.packages import OWN_KERNEL, Archive, Package


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that machines boot."""

    release: str  # 7.3.4+deb13-cloud-amd64; of a user's own, the name of its file
    elf: Path  # starts at once, at the addresses it was linked for
    compressed: Path | None  # the same as it is shipped: it unpacks itself, and picks a random address

    @property
    def version(self) -> tuple[int, ...]:
        match = re.match(r"\d+(?:\.\d+)+", self.release)
        return tuple(int(number) for number in match[0].split(".")) if match else ()


def find(
    version: str = "", *, cache: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> Kernel:
    """The newest kernel of the cache whose version begins with `version`; without one, the archive's newest that does.

    `7.3`, `7.3.4` and a whole release are versions.  Nothing is asked of the network while the cache has an answer.
    Raises `Unavailable`: no such kernel, no network, not a Debian system.
    """
    cache = cache or place("vm")
    if known := [kernel for kernel in cached(cache) if fits(kernel.release, version)]:
        return known[-1]
    with _locked(cache):
        if known := [kernel for kernel in cached(cache) if fits(kernel.release, version)]:
            return known[-1]  # another process was faster
        return fetch(version, cache, say)


def own(path: Path, cache: Path | None = None) -> Kernel:
    """A kernel of the user's: an ELF file, or a compressed image, whose content is unpacked into the cache."""
    try:
        data = whole(path, LARGEST)
        if data.startswith(ELF):
            return Kernel(path.name, path, None)
        unpacked = unpack(payload(data))
    except (KernelDataError, OSError) as reason:
        why = reason.strerror if isinstance(reason, OSError) else reason
        raise Unavailable(str(path), str(why), "give the vmlinuz or vmlinux of an x86-64 kernel") from None
    import hashlib

    folder = (cache or place("vm")) / "own" / hashlib.sha256(data).hexdigest()[:16]
    _write(_folder(folder) / "vmlinux", unpacked)
    return Kernel(path.name.removeprefix("vmlinuz-"), folder / "vmlinux", path)


def cached(cache: Path) -> list[Kernel]:
    """The kernels that are there already, oldest first.  Raises `Unavailable` where others could have put them."""
    with opened(cache, make=True), opened(cache / "kernels", make=True):
        pass  # opening them checks that nobody else can redirect a path through them
    kernels = [
        Kernel(file.parent.name, file, file.with_name("vmlinuz")) for file in cache.glob("kernels/*/vmlinux")
    ]
    return sorted(kernels, key=lambda kernel: kernel.version)


def fits(release: str, version: str) -> bool:
    """Whether a release begins with this version.  Whole numbers are compared: 7.1 is not the beginning of 7.13."""
    return not version or release == version or re.match(re.escape(version) + r"[.+-]", release) is not None


def fetch(version: str, cache: Path, say: Callable[[str], None]) -> Kernel:
    """The newest fitting kernel of Debian's archive, into the cache."""
    archive = Archive(_folder(cache / "apt"))
    say("looking for a kernel in Debian's archive")
    fitting = [package for package in archive.packages() if fits(package.release, version)]
    if not fitting:
        raise Unavailable(f"kernel {version}", "Debian's archive has none of that version", OWN_KERNEL)
    package: Package = fitting[-1]
    say(f"fetching {package.name} (some 14 MB, once)")
    compressed = archive.image(package)
    folder = _folder(cache / "kernels" / package.release)
    _write(folder / "vmlinuz", compressed)
    _write(folder / "vmlinux", unpack(payload(compressed)))
    return Kernel(package.release, folder / "vmlinux", folder / "vmlinuz")


def _folder(path: Path) -> Path:
    """Made, if need be.  Raises `Unavailable` where others could put something there."""
    with opened(path, make=True):
        return path


def _write(path: Path, data: bytes | mmap) -> None:
    """Write the file, whole or not at all, so that a machine never boots half a kernel."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    part.replace(path)


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    with open(_folder(cache) / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
