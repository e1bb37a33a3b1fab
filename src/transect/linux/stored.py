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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from transect.linux.btf import Btf, Index
from transect.linux.errors import KernelDataError
from transect.linux.image import Image
from transect.linux.kallsyms import Names, Symbols

FORMAT = b"transect symbols 2"  # part of what is hashed: another format has other names
KERNEL, INDEX = "vmlinux", "index"
PARTS = ("addresses", "names", "starts", "tokens", "order", "at", "types")
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
    # There may be none, or one that we may not trust.
    with contextlib.suppress(OSError, ValueError, struct.error, KernelDataError):
        found = _opened(kept)
        with contextlib.suppress(OSError):
            os.utime(kept)  # it is used
        return found
    try:
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        work = Path(tempfile.mkdtemp(prefix=".", dir=kept.parent))
    except OSError:  # a home that cannot be written: then nothing is kept
        return Image.from_bytes(file)
    try:
        return _kept(file, work, kept)
    except OSError:  # a full disk
        return Image.from_bytes(file)
    finally:
        shutil.rmtree(work, ignore_errors=True)


# --- the files ----------------------------------------------------------------------------------------------------


def _kept(file: bytes, work: Path, kept: Path) -> Image:
    """The kernel of that file, from now on kept."""
    made = Image.from_bytes(file, work / KERNEL)
    if not (work / KERNEL).exists():  # it was not packed
        (work / KERNEL).write_bytes(made.data)
    (work / INDEX).write_bytes(_index(made))
    if kept.exists():
        shutil.rmtree(kept)
    work.rename(kept)
    _tidy(kept.parent)
    return made


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
    names = symbols.names
    assert isinstance(names, Names)
    parts = (
        _numbers("Q", symbols.addresses), names.packed, _numbers("I", names.starts), b"\0".join(names.tokens),
        _numbers("I", symbols.by_name), _numbers("I", types.at), types.names,
    )  # fmt: skip
    at, head, body = PLACE.size * len(PARTS), b"", []
    for part in parts:
        head += PLACE.pack(at, len(part))
        body += [part, bytes(-len(part) % 8)]
        at += -(-len(part) // 8) * 8
    return b"".join((head, *body))


def _numbers(form: str, values: Iterable[int]) -> bytes:
    return array(form, values).tobytes()


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
