# SPDX-License-Identifier: Apache-2.0
"""Kept results from a kernel's file: the unpacked kernel, its symbols, and the index of its types, in a folder named by
the hash of that file.  They are mapped into memory, so only the parts that are used are read.  The kernels that were
used last are kept, `MOST` of them; a mapping outlives its file.

Anyone who can write there could move symbols, so a folder open to others is neither used nor written (`base.cache`).  A
file that is cut off is noticed and made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from transect.base.bounded import whole
from transect.base.cache import Folder, opened
from transect.base.places import place
from transect.base.unavailable import Unavailable
from transect.linux.btf import Btf, Index
from transect.linux.errors import KernelDataError
from transect.linux.image import LARGEST, Image
from transect.linux.kallsyms import Names, Symbols

log = logging.getLogger("transect.linux")

FORMAT = b"transect symbols 3"  # part of what is hashed: another format has other names
KERNEL, INDEX = "vmlinux", "index"
PARTS = ("addresses", "names", "starts", "tokens", "order", "at", "types")
PLACE = struct.Struct("<QQ")
MOST = 8  # kernels; each takes about 70 MB


def image(path: Path | str, cache: Path | None = None) -> Image:
    """As `Image.from_file`, from what is kept of that file; if nothing is, it is kept from now on."""
    file = whole(Path(path), LARGEST)
    told = hashlib.sha256(FORMAT)
    told.update(file)
    try:
        with opened(cache or place("symbols"), make=True) as folder:
            return _found(folder, told.hexdigest()) or _kept(file, folder, told.hexdigest())
    except (Unavailable, OSError) as lacking:  # no home, one that cannot be written, a full disk
        log.warning("symbols of %s are not kept: %s", path, lacking)
        return Image.from_bytes(file)


# --- the files ----------------------------------------------------------------------------------------------------


def _kept(file: bytes, folder: Folder, name: str) -> Image:
    """The kernel of that file, which is now kept."""
    with folder.workplace() as work, _anew(folder, name) as kept:
        made = Image.from_bytes(file, work / KERNEL)
        if (work / KERNEL).exists():
            (work / KERNEL).chmod(0o600)
            os.rename(work / KERNEL, kept.here / KERNEL)
        else:  # it was not packed
            kept.put(KERNEL, bytes(made.data))
        kept.put(INDEX, _index(made))  # last: a folder with an index is complete
    _tidy(folder)
    return made


@contextlib.contextmanager
def _anew(folder: Folder, name: str) -> Iterator[Folder]:
    folder.remove(name)
    with folder.inside(name, make=True) as kept:
        yield kept


def _tidy(folder: Folder) -> None:
    """Remove the kernels that were used least recently, and unfinished files."""
    folder.tidy()
    with os.scandir(folder.descriptor) as entries:
        whole = sorted((e.stat().st_mtime, e.name) for e in entries if not e.name.startswith("."))
    for _, name in whole[: max(len(whole) - MOST, 0)]:
        folder.remove(name)


def _index(made: Image) -> bytes:
    """The size of the kernel, where each part begins and its size; then the parts."""
    symbols, types = made.symbols, made.btf.index
    names = symbols.names
    assert isinstance(names, Names)
    parts = (
        _numbers("Q", symbols.addresses), names.packed, _numbers("I", names.starts), b"\0".join(names.tokens),
        _numbers("I", symbols.by_name), _numbers("I", types.at), types.names,
    )  # fmt: skip
    at, head, body = PLACE.size * (1 + len(PARTS)), PLACE.pack(len(made.data), len(PARTS)), []
    for part in parts:
        head += PLACE.pack(at, len(part))
        body += [part, bytes(-len(part) % 8)]
        at += -(-len(part) // 8) * 8
    return b"".join((head, *body))


def _numbers(form: str, values: Iterable[int]) -> bytes:
    return array(form, values).tobytes()


def _found(folder: Folder, name: str) -> Image | None:
    """What is kept under that name; None if there is nothing usable."""
    with contextlib.suppress(Unavailable, ValueError, struct.error, KernelDataError):
        with folder.inside(name) as kept:
            index, kernel = kept.mapped(INDEX), kept.mapped(KERNEL)
            if index is None or kernel is None:
                return None
            found = Stored.of(kernel, parts=_parts(memoryview(index), len(kernel)))
            os.utime(kept.descriptor)  # marks it as used
            return found
    return None


def _parts(whole: memoryview, kernel: int) -> Mapping[str, memoryview]:
    """The parts of an index.  Raises ValueError, struct.error: it is cut off, or of another kernel."""
    if PLACE.unpack_from(whole) != (kernel, len(PARTS)):
        raise ValueError("the kernel beside it is cut off")
    parts = {}
    for number, name in enumerate(PARTS, 1):
        start, size = PLACE.unpack_from(whole, PLACE.size * number)
        parts[name] = whole[start : start + size]
        if len(parts[name]) != size:
            raise ValueError("the index is cut off")
    return parts


# --- what is read of them -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stored(Image):
    """An image whose symbols and types need no search."""

    parts: Mapping[str, memoryview]

    @cached_property
    def symbols(self) -> Symbols:
        """The kernel's own symbol table."""
        tokens = bytes(self.parts["tokens"]).split(b"\0")
        names = Names(self.parts["names"], self.parts["starts"].cast("I"), tokens)
        return Symbols(names, self.parts["addresses"].cast("Q"), self.parts["order"].cast("I"))

    @cached_property
    def btf(self) -> Btf:
        index = Index(self.parts["at"].cast("I"), self.parts["types"])
        return Btf(self.section_data(".BTF"), index=index)
