# SPDX-License-Identifier: Apache-2.0
"""What is derived from a kernel's file, kept: the unpacked kernel, its symbols, and the index of its types, in a folder
that is named by the hash of what they were derived from.  They are mapped into memory, and nothing is read of them that
is not asked for.  The kernels that were used last are kept, `MOST` of them; a mapping outlives its file.

Whoever can write there could give symbols other places, so files which others own, or can write, are not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import shutil
import stat
import struct
import tempfile
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import overload

from transect.linux.btf import Btf, Index
from transect.linux.errors import KernelDataError
from transect.linux.image import Image
from transect.linux.kallsyms import Symbols

FORMAT = b"transect symbols 1"  # part of what is hashed: another format has other names
KERNEL, INDEX = "vmlinux", "index"
PARTS = ("addresses", "names", "name_ends", "order", "at", "keys", "key_ends", "types")
PLACE = struct.Struct("<QQ")
MOST = 8  # kernels; each takes about 70 MB
ABANDONED_S = 3600.0  # after which a folder under way is somebody's who was killed


def default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transect" / "symbols"


def image(path: Path | str, cache: Path | None = None) -> Image:
    """As `Image.from_file`; what is kept of that file serves, else it is kept from now on."""
    file = Path(path).read_bytes()
    told = hashlib.sha256(FORMAT)
    told.update(file)
    kept = (cache or default_cache()) / told.hexdigest()
    try:
        found = _opened(kept)
        with contextlib.suppress(OSError):
            os.utime(kept)  # it is used
        return found
    except (OSError, ValueError, struct.error, KernelDataError):  # none, or not one that we may trust
        made = Image.from_bytes(file)
    with contextlib.suppress(OSError):  # a full disk, or a home that cannot be written: then nothing is kept
        _keep(made, kept)
    return made


# --- the files ----------------------------------------------------------------------------------------------------


def _keep(made: Image, kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    work = Path(tempfile.mkdtemp(prefix=".", dir=kept.parent))
    try:
        (work / KERNEL).write_bytes(made.data)
        (work / INDEX).write_bytes(_index(made))
        if kept.exists():
            shutil.rmtree(kept)
        work.rename(kept)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _tidy(kept.parent)


def _tidy(cache: Path) -> None:
    """Throw those away that were not used for longest, and what others did not finish."""
    made: list[tuple[float, Path]] = []
    for folder in cache.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process tidies, too
            made.append((folder.stat().st_mtime, folder))
    whole = sorted((used, f) for used, f in made if not f.name.startswith("."))
    left = [f for used, f in made if f.name.startswith(".") and used < time.time() - ABANDONED_S]
    for folder in [*left, *(f for _, f in whole[: max(len(whole) - MOST, 0)])]:
        shutil.rmtree(folder, ignore_errors=True)


def _index(made: Image) -> bytes:
    """Where each part begins and its size; then the parts."""
    symbols, types = made.symbols, made.btf.index
    keys, bare = sorted(types.named), [name[1:] for name in symbols.names]
    names, name_ends = _texts(symbols.names)
    key_text, key_ends = _texts(keys)
    parts = (
        _numbers("Q", symbols.addresses), names, name_ends,
        _numbers("I", sorted(range(len(bare)), key=bare.__getitem__)),
        _numbers("I", types.at), key_text, key_ends, _numbers("I", map(types.named.__getitem__, keys)),
    )  # fmt: skip
    at, head, body = PLACE.size * len(PARTS), b"", []
    for part in parts:
        head += PLACE.pack(at, len(part))
        body += [part, bytes(-len(part) % 8)]
        at += -(-len(part) // 8) * 8
    return b"".join((head, *body))


def _numbers(form: str, values: Iterable[int]) -> bytes:
    return array(form, values).tobytes()


def _texts(texts: Sequence[bytes]) -> tuple[bytes, bytes]:
    """One after the other; and where each ends."""
    return b"".join(texts), _numbers("I", accumulate(map(len, texts)))


def _opened(kept: Path) -> Image:
    """Raises OSError, ValueError, struct.error: there is none that may serve."""
    whole = memoryview(_mapped(kept / INDEX))
    parts = {}
    for number, name in enumerate(PARTS):
        start, size = PLACE.unpack_from(whole, PLACE.size * number)
        parts[name] = whole[start : start + size]
        if len(parts[name]) != size:
            raise ValueError(f"{kept} is cut off")
    return Stored.of(_mapped(kept / KERNEL), parts=parts)


def _mapped(path: Path) -> mmap.mmap:
    with open(path, "rb") as file:
        for status in (os.fstat(file.fileno()), path.parent.stat()):
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise ValueError(f"{path} can be written by others")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


# --- what is read of them -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Texts(Sequence[bytes]):
    """Texts that stand one after the other."""

    text: memoryview
    ends: memoryview

    @staticmethod
    def of(parts: Mapping[str, memoryview], text: str, ends: str) -> Texts:
        return Texts(parts[text], parts[ends].cast("I"))

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        return bytes(self.text[self.ends[at - 1] if at else 0 : self.ends[at]])


@dataclass(frozen=True)
class Keyed(Mapping[bytes, int]):
    """Numbers by texts; these are in order."""

    texts: Texts
    numbers: memoryview

    def __getitem__(self, key: bytes) -> int:
        at = bisect_left(self.texts, key)
        if at == len(self.texts) or self.texts[at] != key:
            raise KeyError(key)
        return int(self.numbers[at])

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.texts)

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Ordered(Symbols):
    """Symbols, and their order by name."""

    order: memoryview

    def index(self, name: bytes) -> int | None:
        """Of the first symbol of that name."""
        at = bisect_left(self.order, name, key=lambda i: self.names[i][1:])
        if at == len(self.order) or self.names[self.order[at]][1:] != name:
            return None
        return int(self.order[at])


@dataclass(frozen=True)
class Stored(Image):
    """An image whose symbols and types need no search."""

    parts: Mapping[str, memoryview]

    @cached_property
    def symbols(self) -> Symbols:
        """The kernel's own symbol table."""
        names = Texts.of(self.parts, "names", "name_ends")
        addresses, order = self.parts["addresses"].cast("Q"), self.parts["order"].cast("I")
        return Ordered(names, addresses, order)

    @cached_property
    def btf(self) -> Btf:
        named = Keyed(Texts.of(self.parts, "keys", "key_ends"), self.parts["types"].cast("I"))
        return Btf(self.section_data(".BTF"), index=Index(self.parts["at"].cast("I"), named))
